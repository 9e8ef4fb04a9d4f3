"""Keeps the bot listening: one replica polls (or Telegram calls), whatever Telegram does, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import ClientDecodeError
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.methods.base import Response, TelegramType
from aiogram.types import TelegramObject
from aiogram.utils.backoff import BackoffConfig

from relay import logs
from relay.bot.chores import Chores
from relay.bot.desk import Desk
from relay.bot.menus import announce
from relay.bot.messenger import Budget, Messenger
from relay.bot.reception import Reception
from relay.bot.router import make_router
from relay.bot.updates import read_each, read_update
from relay.bot.webhook import TelegramDoor
from relay.channels.telegram_options import TelegramConfig
from relay.store.leases import LeaseKeeper

LEASE = "telegram poller"
UPDATES = ["message", "channel_post", "callback_query"]
POLL_SECONDS = 25
BACKOFF = BackoffConfig(min_delay=0.5, max_delay=30.0, factor=2.0, jitter=0.1)
DRAIN = 5.0
"""Seconds that commands in hand get at the end."""
_LOOK_EVERY = 1.0


class State(Protocol):
    """Where `/health` looks."""

    running: bool
    username: str | None
    last_error: str | None


class TelegramBot:
    """`run` returns after `stopping` is set. A Telegram that is away ends nothing: it is tried again."""

    def __init__(
        self,
        bot: Bot,
        config: TelegramConfig,
        desk: Desk,
        *,
        keeper: LeaseKeeper,
        state: State,
        budget: Callable[[int], Budget],
        door: TelegramDoor | None = None,
    ) -> None:
        self._bot = bot
        self._config = config
        self._desk = desk
        self._keeper = keeper
        self._state = state
        self._door = door
        self._log = logs.get("bot")
        self._in_hand = _InHand()
        self.messenger = Messenger(bot, budget, desk.monotonic)
        self.chores = Chores(desk, self.messenger, keeper)
        self._dispatcher = Dispatcher()
        self._dispatcher.update.outer_middleware(self._in_hand)
        self._dispatcher.include_router(make_router(Reception(desk), self.messenger))
        bot.session.middleware(_Watch(state))

    async def run(self, stopping: asyncio.Event) -> None:
        self._keeper.want([LEASE])
        await self._keeper.renew()  # not only with the next round: who restarts the relay waits for the bot's answer
        aiograms = logging.getLogger("aiogram.dispatcher")
        aiograms.addFilter(_not_the_outage)
        try:
            await self._listen(stopping)
        finally:
            aiograms.removeFilter(_not_the_outage)
            self._state.running = False
        await self._in_hand.drained()

    async def _listen(self, stopping: asyncio.Event) -> None:
        backoff = BACKOFF.min_delay
        while not stopping.is_set():
            try:
                await self._serve(stopping)
                backoff = BACKOFF.min_delay
            except Exception as error:  # noqa: BLE001  the door of the bot: neither mail nor webhooks depend on it
                self._state.last_error = f"{type(error).__name__}: {error}"
                self._log.warning("the bot cannot reach Telegram", error=self._state.last_error, again_in=backoff)
                await _pause(stopping, backoff)
                backoff = min(backoff * BACKOFF.factor, BACKOFF.max_delay)

    async def _serve(self, stopping: asyncio.Event) -> None:
        while self._keeper.get(LEASE) is None and not stopping.is_set() and self._door is None:
            await _pause(stopping, _LOOK_EVERY)
        if stopping.is_set():
            return
        me = await self._bot.me()
        self._state.username = me.username
        announcing = asyncio.create_task(self._announce(), name="telegram menus")
        try:
            if self._door is not None:
                await self._wait_for_calls(self._door, stopping)
            else:
                await self._bot.delete_webhook(drop_pending_updates=False)
                lease = self._keeper.get(LEASE)
                if lease is not None:
                    with self._keeper.using(lease):  # the next one may begin when we have ended
                        await self._poll(stopping)
        finally:
            announcing.cancel()
            await asyncio.gather(announcing, return_exceptions=True)

    async def _announce(self) -> None:
        try:
            await announce(self._bot, self._desk)
        except Exception as error:  # noqa: BLE001  a menu is no reason not to answer
            self._log.warning("menus not announced", error=f"{type(error).__name__}: {error}")

    async def _poll(self, stopping: asyncio.Event) -> None:
        polling = asyncio.create_task(
            self._dispatcher.start_polling(
                self._bot,
                polling_timeout=POLL_SECONDS,
                backoff_config=BACKOFF,
                allowed_updates=UPDATES,
                handle_signals=False,
                close_bot_session=False,
            ),
            name="telegram polling",
        )
        self._state.running = True
        try:
            while not polling.done() and not stopping.is_set() and self._keeper.get(LEASE) is not None:
                await _pause(stopping, _LOOK_EVERY)
        finally:
            self._state.running = False
            if not polling.done():
                with contextlib.suppress(RuntimeError):  # it had not begun
                    await self._dispatcher.stop_polling()
            await polling

    async def _wait_for_calls(self, door: TelegramDoor, stopping: asyncio.Event) -> None:
        assert self._config.webhook_url is not None
        assert self._config.secret_token is not None
        door.open(self._feed)
        try:
            await self._bot.set_webhook(
                self._config.webhook_url,
                secret_token=self._config.secret_token.get_secret_value(),
                allowed_updates=UPDATES,
                drop_pending_updates=False,
            )
            self._state.running = True
            await stopping.wait()
        finally:
            self._state.running = False
            door.close()

    async def _feed(self, said: dict[str, Any]) -> None:
        update = read_update(self._bot, said)
        if update is not None:
            await self._dispatcher.feed_update(self._bot, update)


class _InHand(BaseMiddleware):
    """Counts updates that are being answered, so that a stop can wait for them."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        self._count += 1
        self._idle.clear()
        try:
            return await handler(event, data)
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def drained(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await self._idle.wait()


class _Watch(BaseRequestMiddleware):
    """Tells `/health` and, at each change, the log how the long poll fares: aiogram retries it by itself."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._log = logs.get("bot")

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        try:
            result = await self._ask(make_request, bot, method)
        except Exception as error:
            if isinstance(method, GetUpdates):
                said = f"{type(error).__name__}: {error}"
                if self._state.last_error is None:
                    self._log.warning("Telegram does not hand out updates, trying again", error=said)
                self._state.last_error = said
            raise
        if isinstance(method, GetUpdates):
            if self._state.last_error is not None:
                self._log.info("Telegram hands out updates again")
            self._state.last_error = None
        return result

    async def _ask(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        try:
            return await make_request(bot, method)
        except ClientDecodeError as error:
            if not isinstance(method, GetUpdates):
                raise
            return cast("Response[TelegramType]", read_each(bot, method, error))


def _not_the_outage(record: logging.LogRecord) -> bool:
    """Aiogram reports each failed poll as an error; an outage is told once, above, and is none of ours."""
    return not str(record.msg).startswith(("Failed to fetch updates", "Sleep for"))


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
