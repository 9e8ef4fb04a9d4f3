"""What the bot's parts hand to each other: who asks, where, what for, and the answer."""

from __future__ import annotations

import asyncio
import gettext
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from relay.access import Role
from relay.clock import Millis
from relay.text import Entity

MAX_TOAST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who writes or taps. `name` is how messages call this person, `signature` how Alertmanager's silences do.

    `anonymous`: a group's anonymous admin or a channel; nobody can tell who that is.
    """

    id: int
    name: str
    signature: str
    role: Role | None
    language: str
    anonymous: bool = False

    def may(self, role: Role) -> bool:
        return self.role is not None and self.role >= role


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A Telegram channel of the config. `chat` is its chat's number or `@name` as of now, `home` as the config has it."""

    name: str
    chat: int | str
    home: int | str
    topic: int | None
    language: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it happens. `channels` are those of the config that write to this chat, `scope` those of its topic."""

    chat_id: int
    private: bool
    thread_id: int | None
    channels: frozenset[str]
    scope: frozenset[str]
    language: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command or tap. `texts` are in the language of the place, `own_texts` in the person's."""

    person: Person
    place: Place
    texts: gettext.NullTranslations
    own_texts: gettext.NullTranslations
    now: Millis
    rest: str = ""  # what follows the command, or the button's data
    message_id: int | None = None  # the message itself; of a tap, the one with the button
    reply_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button: it opens `url` or sends `data` back."""

    caption: str
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A message to send, or with `edit` the new look of the one that was tapped. `asks`: the reply is expected.

    `sent` is told the message's number. `later` is how the same message looks once what was slow has come; whoever gets
    the answer waits for it or cancels it.
    """

    text: str
    entities: Sequence[Entity] = ()
    rows: Sequence[Sequence[Button]] = ()
    edit: bool = False
    asks: bool = False
    sent: Callable[[int], Awaitable[None]] | None = None
    later: asyncio.Task[Answer] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """The answer to a tap: a short text at once, and what is done after that text has arrived.

    Telegram takes the text for some 15 s only. A tap that is older was meant for another moment: then nothing is done.
    """

    toast: str = ""
    alert: bool = False
    then: Callable[[], Awaitable[Answer | None]] | None = None
    otherwise: Callable[[], None] | None = None


class Sorry(Exception):
    """It cannot be done. The text is for people: what is wrong, where, and what would work."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
