"""`/alerts` while Alertmanager takes its time: people read what was known, and its answer follows in the same message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.demo.alertmanager import FakeAlertmanager
from tests.bot_relay import ANNA, VERA, BotRelay, captions, open_bot_relay

DISK = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"}
LOAD = {"alertname": "HighLoad", "severity": "warning", "instance": "web-1"}


@pytest.fixture
async def slow() -> AsyncIterator[FakeAlertmanager]:
    server = FakeAlertmanager(receiver="relay")
    await server.start()
    yield server
    await server.stop()


def hold(server: FakeAlertmanager) -> asyncio.Event:
    """The next list is answered when the event is set."""
    return server.script.hold(path="alerts", method="GET")


@asynccontextmanager
async def listening(folder: Path, server: FakeAlertmanager, *, listed: bool = True) -> AsyncIterator[BotRelay]:
    """A relay that polls never; with `listed` somebody has asked once."""
    clusters: list[dict[str, Any]] = [{"name": "main", "urls": [server.url], "poll": 0}]
    async with open_bot_relay(folder, alertmanagers=clusters) as bot:
        if listed:
            assert "slow" not in (await bot.ask(VERA, "/alerts")).text
        yield bot


async def test_what_was_known_is_shown_at_once_and_the_answer_follows(tmp_path: Path, slow: FakeAlertmanager) -> None:
    slow.put_alert(DISK)
    async with listening(tmp_path, slow) as bot:
        released = hold(slow)
        answer = await bot.ask(VERA, "/alerts")
        assert answer.text.startswith("⏳ main is slow to answer. This is what was known at ")
        assert "1 alert · critical 1" in answer.text
        slow.put_alert(LOAD)
        released.set()
        await bot.telegram.until(lambda: "HighLoad" in answer.text)
        assert answer.text.startswith("2 alerts · critical 1 · warning 1")


async def test_an_ack_shows_even_in_a_list_from_before_it(tmp_path: Path, slow: FakeAlertmanager) -> None:
    slow.put_alert(DISK)
    async with listening(tmp_path, slow) as bot:
        await bot.press(await bot.fire(instance="db-1"), "Ack")
        released = hold(slow)
        answer = await bot.ask(VERA, "/alerts")
        assert "is slow to answer" in answer.text
        assert "anna" in answer.text
        released.set()
        await bot.telegram.until(lambda: "slow" not in answer.text)
        assert "anna" in answer.text


async def test_without_a_list_our_own_state_is_shown(tmp_path: Path, slow: FakeAlertmanager) -> None:
    slow.put_alert(DISK)
    slow.put_alert(LOAD)
    async with listening(tmp_path, slow, listed=False) as bot:
        released = hold(slow)
        empty = await bot.ask(VERA, "/alerts")
        assert "main is slow to answer. Nothing is known of it yet." in empty.text
        assert "Nothing fires" not in empty.text
        released.set()
        await bot.telegram.until(lambda: "2 alerts" in empty.text)
        bot.relay._clusters["main"].latest = None
        await bot.fire(instance="db-1")
        released = hold(slow)
        answer = await bot.ask(VERA, "/alerts")
        assert "is slow to answer. This is what was known at " in answer.text
        assert "1 alert · critical 1" in answer.text
        released.set()
        await bot.telegram.until(lambda: "2 alerts" in answer.text)


async def test_the_answer_to_a_page_that_was_turned_is_left_out(tmp_path: Path, slow: FakeAlertmanager) -> None:
    for number in range(20):
        slow.put_alert({**DISK, "alertname": f"Disk{number:02}"})
    async with listening(tmp_path, slow) as bot:
        first, second = hold(slow), hold(slow)
        answer = await bot.ask(ANNA, "/alerts")
        assert "slow" in answer.text
        await bot.press(answer, "Next")
        await bot.telegram.until(lambda: "2/3" in answer.text)
        first.set()
        second.set()
        await bot.telegram.until(lambda: "slow" not in answer.text)
        assert "2/3" in answer.text
        assert "Back" in captions(answer)
        assert not any("1/3" in look.text and "slow" not in look.text for look in answer.edits)


async def test_an_alertmanager_that_breaks_off_is_told_in_the_same_message(
    tmp_path: Path, slow: FakeAlertmanager
) -> None:
    slow.put_alert(DISK)
    async with listening(tmp_path, slow) as bot:
        hold(slow)
        answer = await bot.ask(VERA, "/alerts")
        assert "is slow to answer" in answer.text
        await slow.stop()
        await bot.telegram.until(lambda: "⚠️" in answer.text)
        assert "slow" not in answer.text
