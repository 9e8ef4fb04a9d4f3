"""All commands by name, with the role each needs. The names are a promise (`docs/reference/bot.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relay.access import Role
from relay.bot.commands import acks, basics
from relay.bot.commands.command import Command

__all__ = ["COMMANDS", "Command"]

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "start": Command(None, basics.help_),
        "help": Command(None, basics.help_),
        "whoami": Command(None, basics.whoami),
        "ack": Command(Role.RESPONDER, acks.ack),
        "unack": Command(Role.RESPONDER, acks.unack),
    }
)
