"""All that is known of one alert or group: labels, annotations, times, who did what, links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from relay.alertmanager import AlertmanagerError, Silence, alert_link
from relay.bot.commands.subject import Subject, find_subject, post_subject
from relay.bot.desk import Desk
from relay.bot.troubles import PATIENCE, tell_slow, tell_trouble
from relay.bot.values import Answer, Button, Request, Tap
from relay.silencing import silence_code
from relay.store.chronicle import timeline
from relay.store.database import Connection
from relay.store.rows import HistoryRow
from relay.store.subjects import of_fingerprint
from relay.text import checked_link

MAX_EVENTS = 15


async def alert(desk: Desk, request: Request) -> Answer:
    subject = await find_subject(desk, request, request.rest.partition(" ")[0], "/alert kzrpt")
    return await show(desk, request, subject)


async def tap_details(desk: Desk, request: Request) -> Tap:
    subject = await post_subject(desk, request)

    async def then() -> Answer:
        return await show(desk, request, subject)

    return Tap(then=then)


async def show(
    desk: Desk, request: Request, subject: Subject, *, rows: Sequence[Sequence[Button]] = (), edit: bool = False
) -> Answer:
    events = await desk.database.read(_events, subject)
    silences, trouble = await _silences(desk, request, subject)
    return desk.pages.show(
        request,
        "alert",
        view=subject.view,
        rows=rows,
        edit=edit,
        events=[(event.at, describe(event, request.texts.gettext)) for event in events],
        silences=[(silence, silence_code(subject.view.alertmanager, silence.id)) for silence in silences],
        trouble=trouble,
        links=_links(subject),
    )


def _events(conn: Connection, subject: Subject) -> list[HistoryRow]:
    view = subject.view
    found = [of_fingerprint(conn, view.alertmanager, alert.fingerprint) for alert in view.alerts[:50]]
    ids = [one.id for one in found if one is not None]
    return timeline(conn, alert_ids=ids, incident_ids=[view.id] if view.id else [], limit=MAX_EVENTS)


async def _silences(desk: Desk, request: Request, subject: Subject) -> tuple[list[Silence], str]:
    """The silences that hold an alert of it now, and why Alertmanager could not be asked."""
    client = desk.clusters.get(subject.view.alertmanager)
    if client is None or not subject.view.firing:
        return [], ""
    try:
        async with asyncio.timeout(PATIENCE):
            silences = await client.silences(states={"active"})
    except TimeoutError:
        return [], tell_slow(client.name, request.texts)
    except AlertmanagerError as error:
        return [], tell_trouble(error, request.texts)
    return [one for one in silences if any(one.mutes(alert.labels) for alert in subject.view.firing)], ""


def _links(subject: Subject) -> list[tuple[str, str]]:
    """Names and addresses: what the annotations and the sender offer, and Alertmanager's own page."""
    view = subject.view
    found = {
        name: address
        for one in view.alerts[:1]
        for name, value in one.annotations.items()
        if name.endswith(("_url", "url", "link", "runbook")) and (address := checked_link(value))
    }
    if view.alerts and (source := checked_link(view.alerts[0].generator_url)):
        found["Source"] = source
    labels = view.common_labels
    if view.external_url and labels and (page := checked_link(alert_link(view.external_url, labels))):
        found["Alertmanager"] = page
    return list(found.items())


def describe(event: HistoryRow, _: Callable[[str], str]) -> str:
    """One event as a line."""
    known = {
        "fired": _("fired"),
        "reopened": _("fires again, the same run"),
        "resolved": _("resolved"),
        "opened": _("the group began"),
        "closed": _("the group is over"),
        "acked": _("acked by %(name)s"),
        "unacked": _("given back by %(name)s"),
        "silenced": _("silenced by %(name)s"),
        "unsilenced": _("silence ended by %(name)s"),
        "extended": _("silence prolonged by %(name)s"),
        "fallback": _("shown at a fallback"),
        "unreported": _("no longer reported"),
    }
    text = known.get(event.kind, event.kind)
    named = text % {"name": event.actor} if "%(name)s" in text else text
    noted = event.detail and event.kind in {"acked", "unacked", "silenced", "unsilenced", "extended"}
    return f"{named}: {event.detail}" if noted else named
