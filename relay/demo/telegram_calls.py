"""What a call of the stand-in's Bot API is made of: its parameters, and the memory that it reads and changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.demo.telegram_chats import Chat, Document, Refusal, User
from relay.demo.telegram_flood import Floods

QUERY_LIFETIME = 15.0
"""Seconds in which a press must be answered; the real limit is undocumented and about that."""


@dataclass(frozen=True, slots=True)
class Toast:
    """What a person sees after a press: the text over the chat, or an alert to be closed."""

    text: str
    alert: bool = False


@dataclass(slots=True)
class Query:
    """A press that waits for its answer."""

    asked: float
    answer: asyncio.Future[Toast]


@dataclass(slots=True, kw_only=True)
class Memory:
    """All that the stand-in knows."""

    bot: User
    clock: Callable[[], float]
    floods: Floods
    chats: dict[int, Chat] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    queries: dict[str, Query] = field(default_factory=dict)
    commands: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def chat(self, chat_id: Any) -> Chat:
        """Raises the `Refusal` of the real one for a chat that does not exist."""
        for chat in self.chats.values():
            if str(chat_id) == str(chat.id) or (chat.username and chat_id == f"@{chat.username}"):
                return chat
        raise Refusal("chat not found" if chat_id else "chat_id is empty")


class Params(dict[str, Any]):
    """The parameters of one call, from a query, a form or JSON; `files` are the uploads by their field."""

    files: Mapping[str, Document]

    def number(self, name: str, default: int | None = None) -> int | None:
        value = self.get(name)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except (TypeError, ValueError):
            raise Refusal(f"{name} must be a number") from None

    def flag(self, name: str) -> bool:
        return str(self.get(name, "")).lower() in {"true", "1", "yes"}
