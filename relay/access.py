"""Who may do what in the chat: roles, the people and chats that hold them, and the bounds of the bot's commands."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from relay.clock import DAY, Millis
from relay.sections import Duration, Section


class Role(IntEnum):
    """Each may do what the one below may."""

    VIEWER = 1
    RESPONDER = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        return self.name.lower()


def parse_role(value: object) -> object:
    """The role of that name; raises `ValueError` that lists them."""
    if isinstance(value, Role):
        return value
    for role in Role:
        if role.label == value:
            return role
    raise ValueError("must be viewer, responder or admin")


RoleName = Annotated[
    Role, BeforeValidator(parse_role), WithJsonSchema({"type": "string", "enum": [role.label for role in Role]})
]


class User(Section):
    """A person who may talk to the bot."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """How messages call this person: "acked by anna"."""
    telegram_id: Annotated[int, Field(gt=0)]
    """The person's Telegram id; the bot's `/whoami` tells it."""
    role: RoleName


class ChatRole(Section):
    """A role for every member of a chat."""

    chat_id: int
    """The chat's number; a group's is negative."""
    role: RoleName


def _default_silences() -> dict[Role, Millis]:
    return {Role.RESPONDER: DAY}


class BotConfig(Section):
    """Bounds of the bot's commands."""

    max_silence: Annotated[
        Mapping[RoleName, Duration],
        WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
    ] = Field(default_factory=_default_silences)
    """The longest silence that a role may make; a role that is not named has no bound."""
    ack_silence: bool = False
    """An ack also silences the alert in Alertmanager."""
