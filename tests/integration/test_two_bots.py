"""The bot on two relays: one polls Telegram, and people notice nothing when it is another one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.demo.telegram import FakeTelegram
from tests.bot_relay import ANNA, CHAT, BotRelay, captions
from tests.relay_process import fire
from tests.servers import AlertmanagerStarter

NOBODY = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
LABELS = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"}


class Pair:
    """Two relays with the same bot on one database; the first one polls."""

    def __init__(self, telegram: FakeTelegram, stack: AsyncExitStack, folder: Path, sections: dict[str, Any]) -> None:
        self.telegram = telegram
        self._stack = stack
        self.first, self.second = (BotRelay(telegram, folder, sections) for _ in range(2))

    async def start(self) -> None:
        for one in (self.first, self.second):
            await one.start()
            self._stack.push_async_callback(one.stop)


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(limits=False) as telegram:
        telegram.add_chat(CHAT)
        telegram.add_user(ANNA, "Anna")
        yield telegram


@pytest.fixture
async def stack(telegram: FakeTelegram, postgres_url: str) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:  # ends before what the relays need
        yield stack


async def test_another_relay_answers_when_the_one_that_polls_is_gone(
    telegram: FakeTelegram, stack: AsyncExitStack, tmp_path: Path, postgres_url: str
) -> None:
    pair = Pair(telegram, stack, tmp_path, {"database": {"url": postgres_url}})
    await pair.start()
    assert f"{ANNA}" in (await pair.first.ask(ANNA, "/whoami")).text
    for _ in range(2):  # the second time at once: it gives nothing back, as if it were killed
        pair.first.relay.request_stop()
    sent = telegram.user_sends(CHAT, ANNA, "/whoami")
    began = time.monotonic()
    await pair.second.answer_to(sent.id)
    assert 5 < time.monotonic() - began < 20


async def test_only_one_relay_polls(
    telegram: FakeTelegram, stack: AsyncExitStack, tmp_path: Path, postgres_url: str
) -> None:
    pair = Pair(telegram, stack, tmp_path, {"database": {"url": postgres_url}})
    await pair.start()
    for number in range(5):
        assert f"{ANNA}" in (await pair.first.ask(ANNA, "/whoami")).text, number
    await pair.first.stop()
    assert f"{ANNA}" in (await pair.second.ask(ANNA, "/whoami")).text
    answers = [message for message in pair.second.messages if message.sender is telegram.bot]
    assert len(answers) == 6


async def test_a_draft_begun_at_one_relay_is_finished_at_the_other(
    telegram: FakeTelegram,
    stack: AsyncExitStack,
    tmp_path: Path,
    postgres_url: str,
    start_alertmanager: AlertmanagerStarter,
) -> None:
    url = start_alertmanager(NOBODY)
    sections = {"alertmanagers": [{"name": "main", "urls": [url], "poll": 0}], "database": {"url": postgres_url}}
    pair = Pair(telegram, stack, tmp_path, sections)
    await pair.start()
    await fire(url, LABELS)
    message = await pair.first.fire(instance="db-1")
    await pair.first.press(message, "Silence")
    await telegram.until(lambda: len(pair.first.messages) > 1)
    draft = pair.first.messages[1]
    await pair.first.press(draft, "1h")
    await telegram.until(lambda: "Preview" in captions(draft))
    await pair.first.stop()
    await pair.second.press(message, "Ack")
    await telegram.until(lambda: "Unack" in captions(message))
    await pair.second.press(draft, "Preview")
    await telegram.until(lambda: "Confirm" in captions(draft))
    await pair.second.press(draft, "Confirm")
    await telegram.until(lambda: "Undo" in captions(draft))
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/silences") as answer:
        assert [one["createdBy"] for one in await answer.json()] == ["anna"]


async def test_in_webhook_mode_each_relay_takes_the_call(
    telegram: FakeTelegram, stack: AsyncExitStack, tmp_path: Path, postgres_url: str
) -> None:
    hook = {
        "mode": "webhook",
        "webhook_url": "https://relay.example.org/telegram",
        "secret_token": "secret-of-telegram",
    }
    own = {"bot_token": telegram.token, "api_url": telegram.url}
    pair = Pair(telegram, stack, tmp_path, {"database": {"url": postgres_url}, "telegram": {**own, **hook}})
    await pair.start()
    for number, relay in enumerate((pair.first, pair.second), start=1):
        sent = telegram.user_sends(CHAT, ANNA, "/whoami")
        assert await call(relay, {"update_id": number, "message": wire_of(sent)}) == 200
        assert f"{ANNA}" in (await relay.answer_to(sent.id)).text


async def call(relay: BotRelay, update: dict[str, Any]) -> int:
    """Telegram's call, tried again as long as the relay is not ready."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": "secret-of-telegram"}
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.post(f"{relay.url}/telegram", json=update, headers=headers) as answer:
                if answer.status != 503:
                    return answer.status


def wire_of(message: Any) -> dict[str, Any]:
    """What Telegram would send of it."""
    person = {"id": ANNA, "is_bot": False, "first_name": "Anna"}
    entity = {"type": "bot_command", "offset": 0, "length": len(message.text)}
    chat = {"id": CHAT, "type": "supergroup", "title": "Chat"}
    return {
        "message_id": message.id, "date": int(time.time()), "chat": chat, "from": person, "text": message.text,
        "entities": [entity],
    }  # fmt: skip
