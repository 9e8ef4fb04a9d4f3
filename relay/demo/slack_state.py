"""What a Slack workspace is made of: channels, messages with their edits, threads, files, and budgets of requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.demo import slack_rules as rules


class Refused(Exception):
    """Slack says no: the error word, and what stands in `response_metadata.messages` or beside it."""

    def __init__(self, error: str, messages: Sequence[str] = (), **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.body: dict[str, Any] = {"ok": False, "error": error, **more}
        if messages:
            self.body["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in messages]}


class TooFast(Exception):
    """HTTP 429: wait so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.retry_after = max(1, math.ceil(seconds))


@dataclass(slots=True, kw_only=True)
class File:
    id: str
    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    shared: bool = False


@dataclass(slots=True, kw_only=True)
class Message:
    """As people see it now; `edits` holds what it showed before, oldest first."""

    ts: str
    user: str
    text: str
    blocks: list[Any]
    attachments: list[Any] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    files: list[File] = field(default_factory=list)
    edits: list[tuple[str, list[Any]]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        return rules.shown({"text": self.text, "blocks": self.blocks})

    @property
    def mentions(self) -> list[str]:
        """Whom it calls: `!channel`, `@U…`, `#C…`; an alert's values must never be able to."""
        return rules.mentions({"text": self.text, "blocks": self.blocks})


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One channel, or the direct messages with a `person`. `member` is whether the bot was invited."""

    id: str
    name: str
    member: bool = True
    archived: bool = False
    person: str = ""
    messages: list[Message] = field(default_factory=list)

    @property
    def main(self) -> list[Message]:
        """What the channel itself shows: messages outside threads, and the replies that were broadcast."""
        return [message for message in self.messages if message.thread_ts is None or message.broadcast]

    def thread(self, ts: str) -> list[Message]:
        return [message for message in self.messages if message.thread_ts == ts]

    def find(self, ts: object) -> Message | None:
        return next((message for message in self.messages if message.ts == ts), None)

    def about(self) -> dict[str, Any]:
        if self.person:  # such a conversation has no name and no members
            return {"id": self.id, "is_im": True, "user": self.person}
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": True,
            "is_archived": self.archived,
            "is_member": self.member,
        }


@dataclass(slots=True)
class Bucket:
    """So many at once, refilled at `rate` a second."""

    size: float
    rate: float
    filled: float
    at: float

    def take(self, now: float) -> None:
        self.filled = min(self.size, self.filled + (now - self.at) * self.rate)
        self.at = now
        if self.filled < 1:
            raise TooFast((1 - self.filled) / self.rate)
        self.filled -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Posts: one a second in a channel with short bursts. Edits: tier 3, 50 a minute in the workspace."""

    post_burst: float = 4
    posts_per_second: float = 1.0
    update_burst: float = 50
    updates_per_second: float = 50 / 60
