"""Puts the Telegram bot together: one client of the Bot API for channels and bot, and the desk that commands work at."""

from __future__ import annotations

import asyncio
import importlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from relay.acking import Acker
from relay.alertmanager import Alertmanager
from relay.bot.desk import Contact, Desk
from relay.bot.pages import Pages
from relay.bot.people import People
from relay.bot.values import Seat
from relay.bot.webhook import TelegramDoor
from relay.channels import TelegramOptions
from relay.channels.telegram.loading import load_channel
from relay.clock import Clock
from relay.config import Config
from relay.delivery import Delivery
from relay.ingest.policy import Policy
from relay.ingest.turn import Turn
from relay.metrics import Metrics
from relay.notification import Channel
from relay.queries import Queries
from relay.rendering import Renderer
from relay.rendering.translations import load_translations
from relay.server.operations import BotState
from relay.silencing import Silencer
from relay.store.database import Database
from relay.store.leases import LeaseKeeper

LANGUAGES = ("en", "ru")


@dataclass(frozen=True, slots=True, kw_only=True)
class BotSurroundings:
    """What the app has built that the bot works with."""

    config: Config
    database: Database
    policy: Policy
    new_id: Callable[[], int]
    clock: Clock
    monotonic: Callable[[], float]
    metrics: Metrics
    renderer: Renderer
    keeper: LeaseKeeper
    state: BotState
    clusters: Mapping[str, Alertmanager]
    contacts: Mapping[str, Contact]
    wake: Callable[[Iterable[str]], None]
    refresh: Callable[[str], Awaitable[None]]


def telegram_door(config: Config) -> TelegramDoor | None:
    """The route that Telegram calls, if the config wants it to."""
    telegram = config.telegram
    if telegram is None or telegram.mode != "webhook" or not telegram.webhook_url or telegram.secret_token is None:
        return None
    return TelegramDoor(telegram.webhook_url, telegram.secret_token)


async def open_telegram(config: Config, resources: AsyncExitStack) -> Any:
    """The one client of the Bot API, None without Telegram in the config; nothing is asked yet."""
    if config.telegram is None:
        return None
    module = await asyncio.to_thread(load_channel)
    bot = module.open_bot(config.telegram)
    resources.push_async_callback(bot.session.close)
    return bot


async def build_bot(
    bot: Any, around: BotSurroundings, channels: Sequence[Channel], delivery: Delivery, door: TelegramDoor | None
) -> Any:
    """The bot, ready to `run`."""
    runner = await asyncio.to_thread(importlib.import_module, "relay.bot.runner")
    telegram = around.config.telegram
    assert telegram is not None
    return runner.TelegramBot(
        bot,
        telegram,
        _desk(around, channels),
        keeper=around.keeper,
        state=around.state,
        budget=lambda chat_id: delivery.budget(
            f"telegram:{chat_id}", f"telegram:{bot.id}", telegram.limits_of_answers(chat_id)
        ),
        door=door,
    )


def _desk(around: BotSurroundings, channels: Sequence[Channel]) -> Desk:
    config = around.config
    return Desk(
        config=config.bot,
        database=around.database,
        acker=Acker(lambda scope: Turn(scope, around.policy, around.new_id, around.clock()), around.policy.severities),
        queries=Queries(around.database, around.clusters, around.policy.router, around.policy.severities, around.clock),
        silencer=Silencer(around.clusters, around.policy.router, around.clock),
        channels=tuple(config.channels),
        started_at=around.clock(),
        people=People(config.users, config.chats),
        seats=lambda: _seats(config, channels),
        clusters=around.clusters,
        contacts=around.contacts,
        router=around.policy.router,
        severities=around.policy.severities,
        pages=Pages(around.renderer),
        languages={language: load_translations(language) for language in LANGUAGES},
        metrics=around.metrics,
        clock=around.clock,
        monotonic=around.monotonic,
        new_id=around.new_id,
        new_token=lambda: secrets.token_urlsafe(9),
        zone=ZoneInfo("UTC"),
        wake=around.wake,
        refresh=around.refresh,
    )


def _seats(config: Config, channels: Sequence[Channel]) -> list[Seat]:
    """The Telegram channels where they are now: a chat may have moved since the config was written."""
    seats = []
    for channel in channels:
        options = config.channels[channel.name]
        if isinstance(options, TelegramOptions):
            chat = channel.destination.partition(":")[2]
            seats.append(
                Seat(
                    name=channel.name,
                    chat=chat if chat.startswith("@") else int(chat),
                    home=options.chat_id,
                    topic=options.topic_id,
                    language=options.language,
                    zone=options.zone,
                )
            )
    return seats
