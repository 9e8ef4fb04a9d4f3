"""The buttons below a digest: each says what it means in the digest as it is now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from relay.bot.commands import acks, silence_flow
from relay.bot.commands.subject import Subject
from relay.bot.desk import Desk
from relay.bot.digest_keyboard import label_code, name_code
from relay.bot.keyboard import from_base36
from relay.bot.values import MAX_TOAST, Answer, Request, Sorry, Tap
from relay.notification import AlertView, IncidentView
from relay.silencing import Choice, Plan, choices_of
from relay.store.digest_views import DigestAlerts, alerts_of_digest
from relay.text import one_line


async def tap_ack(desk: Desk, request: Request) -> Tap:
    """Takes all alerts of a name."""
    found, code = await _found(desk, request)
    subjects = _subjects(desk, found, lambda alert: name_code(alert.name) == code)
    return _ack(desk, request, subjects)


async def tap_silence(desk: Desk, request: Request) -> Tap:
    """Begins a silence of all that share a label."""
    found, code = await _found(desk, request)
    pairs = dict.fromkeys(pair for _, alert in found.alerts for pair in alert.labels.items())
    pair = next((one for one in pairs if label_code(*one) == code), None)
    if pair is None:
        return Tap(toast=request.own_texts.gettext("Nothing of it fires any more."))
    name, value = pair
    return _silence(desk, request, _subjects(desk, found, lambda alert: alert.labels.get(name) == value), pair)


async def _found(desk: Desk, request: Request) -> tuple[DigestAlerts, str]:
    """What fires of the digest, if it stands in the chat of the tap, and the code of what is meant; else raises `Sorry`."""
    _, _, rest = request.rest.partition(":")
    key, _, code = rest.partition(":")
    digest_id = from_base36(key)
    found = None
    if digest_id is not None:
        found = await desk.database.read(alerts_of_digest, digest_id, request.now)
    here = found is not None and (
        found.remote.get("chat_id") == request.place.chat_id or found.channel in request.place.channels
    )
    if found is None or not here:
        raise Sorry(request.own_texts.gettext("This button no longer works. /alerts shows what fires now."))
    if not found.remote:  # a message stands in the chat a moment before that is written down, and what it shows
        raise Sorry(request.own_texts.gettext("This message is still being written down. Tap again in a moment."))
    return found, code


def _subjects(desk: Desk, found: DigestAlerts, wanted: Callable[[AlertView], bool]) -> list[Subject]:
    """What is meant, cluster by cluster."""
    clusters: dict[str, list[AlertView]] = {}
    for alertmanager, alert in found.alerts:
        if wanted(alert):
            clusters.setdefault(alertmanager, []).append(alert)
    return [
        Subject(
            view=IncidentView(
                id=0,
                code="",
                alertmanager=alertmanager,
                receiver="",
                group_labels={},
                external_url="",
                alerts=tuple(alerts),
                revision=0,
                opened_at=min(alert.starts_at for alert in alerts),
                several_alertmanagers=desk.several,
            )
        )
        for alertmanager, alerts in clusters.items()
    ]


def _ack(desk: Desk, request: Request, subjects: list[Subject]) -> Tap:
    if not subjects:
        return Tap(toast=request.own_texts.gettext("Nothing of it fires any more."))
    taps = [acks.offer(desk, request, "ack", subject) for subject in subjects]
    deeds = [tap for tap in taps if tap.then is not None]

    async def then() -> Answer | None:
        answers = [await tap.then() for tap in deeds if tap.then is not None]
        return next((answer for answer in answers if answer is not None), None)

    def otherwise() -> None:
        for tap in deeds:
            if tap.otherwise is not None:
                tap.otherwise()

    toast = one_line(" · ".join(dict.fromkeys(tap.toast for tap in taps)), MAX_TOAST)
    return Tap(toast=toast, then=then if deeds else None, otherwise=otherwise if deeds else None)


def _silence(desk: Desk, request: Request, subjects: list[Subject], pair: tuple[str, str]) -> Tap:
    _ = request.own_texts.gettext
    known = [subject for subject in subjects if subject.view.alertmanager in desk.clusters]
    if not known:
        gone = _("Nothing of it fires any more.")
        return Tap(toast=_("No Alertmanager is configured: nothing can be asked or silenced.") if subjects else gone)
    subject = max(known, key=lambda one: len(one.view.alerts))
    offered = [replace(one, on=False) for one in choices_of(subject.view.firing) if one.name != pair[0]]
    plan = Plan(alertmanager=subject.view.alertmanager, choices=(Choice(name=pair[0], value=pair[1]), *offered))

    async def then() -> Answer:
        return await silence_flow.begin_from(desk, request, plan)

    return Tap(then=then)
