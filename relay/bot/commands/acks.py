"""Taking alerts and giving them back, by button and by command."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from relay.acking import Acked, Identity, Listed
from relay.bot.commands.subject import Subject, find_subject, post_subject
from relay.bot.desk import Desk
from relay.bot.pages import local_time
from relay.bot.values import Answer, Request, Sorry, Tap
from relay.notification import AlertView
from relay.text import one_line

Deed = Literal["ack", "unack"]


async def ack(desk: Desk, request: Request) -> Answer:
    code, *note = request.rest.split(maxsplit=1) or [""]
    subject = await find_subject(desk, request, code, "/ack kzrpt looking at it")
    outcome = await write(desk, request, "ack", subject, note="".join(note))
    return Answer(text=_said(request, "ack", outcome, subject, own=False))


async def unack(desk: Desk, request: Request) -> Answer:
    code, _, _ = request.rest.partition(" ")
    subject = await find_subject(desk, request, code, "/unack kzrpt")
    outcome = await write(desk, request, "unack", subject)
    return Answer(text=_said(request, "unack", outcome, subject, own=False))


async def tap_ack(desk: Desk, request: Request) -> Tap:
    return offer(desk, request, "ack", await post_subject(desk, request))


async def tap_unack(desk: Desk, request: Request) -> Tap:
    return offer(desk, request, "unack", await post_subject(desk, request))


def offer(desk: Desk, request: Request, deed: Deed, subject: Subject) -> Tap:
    """Says what will come of it and does it once that was heard: two who tap at once hear different things."""
    holders = {one: _holder(desk, one, view) for one, view in subject.firing.items()}
    wanted = [one for one, holder in holders.items() if bool(holder) is (deed == "unack")]
    others = list(dict.fromkeys(holder for holder in holders.values() if holder))
    expected = Acked(changed=len(wanted), firing=len(holders), by=", ".join(others) if deed == "ack" else "")
    toast = one_line(_said(request, deed, expected, subject, own=True), 200)
    if not wanted:
        return Tap(toast=toast)
    if deed == "ack":
        desk.claims.take(wanted, request.person.name)

    async def then() -> Answer | None:
        try:
            outcome = await write(desk, request, deed, subject)
        finally:
            desk.claims.drop(wanted)
        return None if outcome.changed else Answer(text=_said(request, deed, outcome, subject, own=False))

    return Tap(toast=toast, then=then, otherwise=lambda: desk.claims.drop(wanted))


async def write(desk: Desk, request: Request, deed: Deed, subject: Subject, *, note: str = "") -> Acked:
    identities: Collection[Identity] = list(subject.firing)
    if deed == "ack":
        listed: Mapping[Identity, Listed] = subject.listed
        outcome = await desk.database.write(
            desk.acker.ack, identities, request.person.name, one_line(note, 400), listed=listed
        )
    else:
        outcome = await desk.database.write(desk.acker.unack, identities, request.person.name)
    desk.wake(outcome.woken)
    return outcome


def _holder(desk: Desk, identity: Identity, view: AlertView) -> str | None:
    return view.acked_by or desk.claims.of(identity)


def _said(request: Request, deed: Deed, outcome: Acked, subject: Subject, *, own: bool) -> str:
    """What came of it, or will; `own`: in a toast that only this person sees."""
    _ = (request.own_texts if own else request.texts).gettext
    name = request.person.name
    if not outcome.firing:
        return _("%(what)s is resolved already.") % {"what": subject.title}
    if deed == "unack":
        return _given_back(request, outcome, subject, own=own)
    if outcome.changed and outcome.by in {"", name}:
        return _("You have it: %(what)s") % {"what": subject.title} if own else _("%(name)s has it: %(what)s") % {
            "name": name, "what": subject.title
        }  # fmt: skip
    if outcome.changed:
        return _("%(name)s took %(count)s of %(total)s, the rest is with %(others)s.") % {
            "name": name,
            "count": outcome.changed,
            "total": outcome.firing,
            "others": outcome.by,
        }
    if outcome.by == name:
        return _("You have it already.")
    if len({alert.acked_by for alert in subject.view.acked}) > 1:
        return _("%(names)s have it already.") % {"names": outcome.by}
    since = subject.acked_at
    if since is None:
        return _("%(name)s has it already.") % {"name": outcome.by}
    at = local_time(since, request.now, request.place.zone)
    return _("%(name)s has it since %(time)s.") % {"name": outcome.by, "time": at}


def _given_back(request: Request, outcome: Acked, subject: Subject, *, own: bool) -> str:
    _ = (request.own_texts if own else request.texts).gettext
    if not outcome.changed:
        return _("Nobody has it.")
    return _("Given back: %(what)s") % {"what": subject.title}


def ensure_firing(request: Request, subject: Subject) -> Sequence[AlertView]:
    """What fires of it; raises `Sorry` when nothing does."""
    _ = request.texts.gettext
    if not subject.firing:
        raise Sorry(_("%(what)s is resolved already.") % {"what": subject.title})
    return list(subject.firing.values())
