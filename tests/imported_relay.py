"""Imports all of the relay, its bot's library included: what a server of forks does once, before the first relay starts."""

from __future__ import annotations

import importlib

from relay.channels.telegram.loading import load_channel

load_channel()
for name in ("relay.__main__", "relay.app", "relay.bot.runner", "relay.channels.email", "relay.channels.slack"):
    importlib.import_module(name)
