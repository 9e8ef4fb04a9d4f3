"""Says what the bot has to say: within the limits that posts share, in the right topic, and never twice on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter
from aiogram.types import (
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)

from relay import logs
from relay.bot.values import Answer

TRIES = 3
LONGEST_WAIT = 20.0
"""Seconds; an answer that comes later is of no use to anybody."""
LONGEST_QUEUE = 60.0
"""Seconds, the longest window of a limit: whoever waits for longer has been overtaken by a flood, which must not pile up."""
_TOO_OLD = ("query is too old", "query id is invalid")


@dataclass(frozen=True, slots=True)
class Spot:
    """A chat, and the topic in it."""

    chat_id: int
    thread_id: int | None = None


class Budget(Protocol):
    """What a chat may be sent, and the bot in all; `relay.delivery` keeps it for the posts of the same chat."""

    def delay(self, now: float, *, urgent: bool = False) -> float: ...

    def take(self, now: float) -> Any: ...

    def settle(self, tickets: Any, now: float) -> None: ...

    def pause(self, until: float) -> None: ...


class _Looks:
    """How often one message was to be changed lately, and whose turn it is."""

    def __init__(self) -> None:
        self.newest = 0
        self.turn = asyncio.Lock()


class Messenger:
    """Sends and edits. A failure is logged and swallowed: whoever asked can ask again."""

    def __init__(self, bot: Bot, budget: Callable[[int], Budget], monotonic: Callable[[], float]) -> None:
        self._bot = bot
        self._budget = budget
        self._monotonic = monotonic
        self._looks: WeakValueDictionary[tuple[int, int], _Looks] = WeakValueDictionary()
        self._log = logs.get("bot")

    async def toast(self, query_id: str, text: str, *, alert: bool) -> bool:
        """Answers a tap; False if it is so old that Telegram no longer takes the answer."""
        try:
            await self._bot.answer_callback_query(query_id, text=text or None, show_alert=alert)
        except TelegramBadRequest as error:
            if any(sign in str(error).lower() for sign in _TOO_OLD):
                self._log.info("a tap came too late, nothing was done")
                return False
            self._log.warning("tap not answered", error=str(error))
        except Exception as error:  # noqa: BLE001  the tap is fresh, only the way to say so failed
            self._log.warning("tap not answered", error=f"{type(error).__name__}: {error}")
        return True

    async def deliver(self, spot: Spot, answer: Answer, *, message_id: int | None) -> bool:
        """Sends an answer, in reply to `message_id`, or makes that message look like it; whether Telegram took it."""
        try:
            shown = await self._show(spot, answer, message_id)
            if answer.later is not None and shown is not None:
                await self._follow(spot, answer.later, shown)
        except Exception as error:  # noqa: BLE001  aiogram, aiohttp and proxies let a dozen kinds through
            self._log.warning("answer not sent", chat=spot.chat_id, error=f"{type(error).__name__}: {error}")
            return False
        else:
            return True
        finally:
            if answer.later is not None:
                answer.later.cancel()
                await asyncio.gather(answer.later, return_exceptions=True)

    async def _show(self, spot: Spot, answer: Answer, message_id: int | None) -> int | None:
        """The number of the message that looks like the answer now; None if Telegram took none."""
        if answer.edit and message_id is not None:
            await self._change(spot, answer, message_id)
            return message_id
        sent: int | None = await self._within_limits(spot.chat_id, lambda: self._send(spot, answer, message_id))
        if answer.sent is not None and sent is not None:
            await answer.sent(sent)
        return sent

    async def _follow(self, spot: Spot, later: asyncio.Task[Answer], message_id: int) -> None:
        """Brings the message up to date, unless somebody turned its page meanwhile."""
        looks = self._looks_of(spot, message_id)
        seen = looks.newest
        answer = await later
        if looks.newest == seen:
            await self._change(spot, answer, message_id)

    async def _change(self, spot: Spot, answer: Answer, message_id: int) -> None:
        """Looks of one message follow each other as they were made; one that is outdated meanwhile is left out."""
        looks = self._looks_of(spot, message_id)
        looks.newest += 1
        mine = looks.newest
        async with looks.turn:
            if mine == looks.newest:
                await self._within_limits(spot.chat_id, lambda: self._edit(spot, answer, message_id))

    def _looks_of(self, spot: Spot, message_id: int) -> _Looks:
        key = (spot.chat_id, message_id)
        looks = self._looks.get(key)
        if looks is None:
            self._looks[key] = looks = _Looks()
        return looks

    async def _within_limits(self, chat_id: int, call: Callable[[], Any]) -> Any:
        budget = self._budget(chat_id)
        for left in reversed(range(TRIES)):
            await self._wait(budget)
            tickets = budget.take(self._monotonic())
            try:
                return await call()
            except TelegramRetryAfter as error:
                budget.pause(self._monotonic() + error.retry_after)
                if not left or error.retry_after > LONGEST_WAIT:
                    raise
            finally:
                budget.settle(tickets, self._monotonic())
        return None

    async def _wait(self, budget: Budget) -> None:
        """Until the budget allows a call; raises `TimeoutError` after `LONGEST_QUEUE`."""
        async with asyncio.timeout(LONGEST_QUEUE):
            delay = budget.delay(self._monotonic(), urgent=True)
            while delay > 0:
                await asyncio.sleep(min(delay, 1.0))
                delay = budget.delay(self._monotonic(), urgent=True)

    async def _send(self, spot: Spot, answer: Answer, reply_to: int | None) -> int:
        reply = ReplyParameters(message_id=reply_to, allow_sending_without_reply=True) if reply_to else None
        sent = await self._bot.send_message(
            spot.chat_id,
            answer.text,
            message_thread_id=spot.thread_id,
            entities=_entities(answer),
            parse_mode=None,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            reply_parameters=reply,
            reply_markup=ForceReply(selective=True) if answer.asks else _markup(answer),
        )
        return sent.message_id

    async def _edit(self, spot: Spot, answer: Answer, message_id: int) -> None:
        try:
            await self._bot.edit_message_text(
                answer.text,
                chat_id=spot.chat_id,
                message_id=message_id,
                entities=_entities(answer),
                parse_mode=None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                reply_markup=_markup(answer),
            )
        except TelegramBadRequest as error:
            text = str(error).lower()
            if "message is not modified" in text:
                return
            if "message to edit not found" not in text and "can't be edited" not in text:
                raise
            await self._send(spot, answer, None)


def _entities(answer: Answer) -> list[MessageEntity] | None:
    return [
        MessageEntity(type=one.type, offset=one.offset, length=one.length, url=one.url, language=one.language)
        for one in answer.entities
    ] or None


def _markup(answer: Answer) -> InlineKeyboardMarkup | None:
    rows = [
        [InlineKeyboardButton(text=one.caption, url=one.url or None, callback_data=one.data or None) for one in row]
        for row in answer.rows
        if row
    ]
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None
