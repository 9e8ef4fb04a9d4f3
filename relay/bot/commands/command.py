"""The shape of a command and of a tap: who may, and what answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relay.access import Role
from relay.bot.desk import Desk
from relay.bot.values import Answer, Request, Tap


@dataclass(frozen=True, slots=True)
class Command:
    """`role` None: anyone at all. `reply` takes the answer to a question that the command asked, if `awaits`."""

    role: Role | None
    run: Callable[[Desk, Request], Awaitable[Answer | None]]
    reply: Callable[[Desk, Request], Awaitable[Answer | None]] | None = None
    awaits: Callable[[Desk, Request], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class TapKind:
    """What a button does. `command` is the name it counts under."""

    command: str
    role: Role
    run: Callable[[Desk, Request], Awaitable[Tap | None]]
