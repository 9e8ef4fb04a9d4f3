"""What anyone may ask: what can the bot do for me, and who am I to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.access import Role
from relay.bot.desk import Desk
from relay.bot.values import Answer, Request

Gettext = Callable[[str], str]


def menu(role: Role | None, _: Gettext) -> Sequence[tuple[str, str, str]]:
    """The commands of a role: name, arguments, what it does."""
    rows = [
        (Role.VIEWER, "alerts", "[…]", _("What fires now")),
        (Role.VIEWER, "alert", "ID", _("All about one alert or group")),
        (Role.RESPONDER, "ack", "ID […]", _("Take an alert, with a note")),
        (Role.RESPONDER, "unack", "ID", _("Give it back")),
        (Role.RESPONDER, "silence", "2h a=b", _("Silence alerts")),
        (Role.VIEWER, "silences", "[…]", _("Silences, who made them, time left")),
        (Role.RESPONDER, "unsilence", "ID", _("End a silence")),
        (Role.RESPONDER, "extend", "ID 1h", _("Prolong a silence")),
        (Role.VIEWER, "status", "", _("How the relay and Alertmanager are")),
        (Role.VIEWER, "stats", "[7d]", _("How many alerts, how fast we were")),
        (None, "whoami", "", _("Your id and role")),
        (None, "help", "", _("What I can do")),
    ]
    return [
        (name, arguments, text)
        for needed, name, arguments, text in rows
        if needed is None or (role is not None and role >= needed)
    ]


async def help_(desk: Desk, request: Request) -> Answer:
    commands = menu(request.person.role, request.texts.gettext)
    return desk.pages.show(request, "help", commands=commands, role=request.person.role, person=request.person)


async def whoami(desk: Desk, request: Request) -> Answer:
    role = request.person.role.label if request.person.role else ""
    return desk.pages.show(request, "whoami", person=request.person, place=request.place, role=role)
