"""All commands by name, with the role each needs. The names are a promise (`docs/reference/bot.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relay.access import Role
from relay.bot.commands import acks, basics, details, figures, lists, silence_flow, silences
from relay.bot.commands.command import Command

__all__ = ["COMMANDS", "Command"]

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "start": Command(None, basics.help_),
        "help": Command(None, basics.help_),
        "whoami": Command(None, basics.whoami),
        "alerts": Command(Role.VIEWER, lists.alerts),
        "alert": Command(Role.VIEWER, details.alert),
        "status": Command(Role.VIEWER, figures.status),
        "stats": Command(Role.VIEWER, figures.stats),
        "silence": Command(Role.RESPONDER, silence_flow.command, reply=silence_flow.reply, awaits=silence_flow.awaits),
        "silences": Command(Role.VIEWER, silences.silences),
        "unsilence": Command(Role.RESPONDER, silences.unsilence),
        "extend": Command(Role.RESPONDER, silences.extend),
        "ack": Command(Role.RESPONDER, acks.ack),
        "unack": Command(Role.RESPONDER, acks.unack),
    }
)
