"""How fast the bot answers: a list of 10,000 alerts, and taps while a storm is sent. An echo bot runs beside it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.load import Connection, steady, webhook
from bench.scenarios import HOST, Row, p99
from bench.servers import CHAT, Running, alertmanager_server, echo_bot, relay_server
from relay.alerts import fingerprint_of
from relay.demo.telegram import FakeTelegram, Message

USER = 1001
ALERTS, A_WEBHOOK, A_NAME = 10_000, 1000, 100
GROUPS, CONNECTIONS = 1000, 32
ASKED, TAPS = 20, 300
PAUSE = 0.15
"""Seconds between two taps: people are not faster, and the storm lasts for them all."""
MOST = 0.2
"""Seconds that a tap may take beyond an echo."""
OPENED_WITHIN = 60.0
_SLOW = "is slow to answer"
"""What an answer says until Alertmanager's own list has come."""
_USERS = [{"name": "anna", "telegram_id": USER, "role": "admin"}]
_QUICK = {"chat": {"type": "telegram", "chat_id": CHAT, "limits": {"per_second": 50, "per_minute": 3000}}}


@dataclass(frozen=True)
class Beside:
    """The relay and the echo bot, each with a Telegram of its own."""

    relay: Running
    chat: FakeTelegram
    echo: FakeTelegram


@asynccontextmanager
async def opened(folder: Path, *, limits: bool, **sections: Any) -> AsyncIterator[Beside]:
    """Both bots listen. `limits`: Telegram's flood limits are on, and ours with them."""
    sections = {"users": _USERS, **({} if limits else {"channels": _QUICK}), **sections}
    async with FakeTelegram(limits=limits) as chat, FakeTelegram(limits=limits) as echo:
        for telegram in (chat, echo):
            telegram.add_chat(CHAT)
            telegram.add_user(USER, "Anna")
        async with relay_server(folder, telegram=chat.url, **sections) as relay, echo_bot(echo.url):
            for telegram in (chat, echo):
                await telegram.until(lambda one=telegram: one.updates.polled, within=OPENED_WITHIN)  # type: ignore[misc]  # as default
            yield Beside(relay, chat, echo)


async def list_of_many(folder: Path) -> list[Row]:
    """`/alerts` with 10,000 alerts, each of which the state knows as well; from the command to its answer."""
    bodies = list(_bodies())
    async with alertmanager_server(folder / "alertmanager") as url:
        await _fire(url, bodies)
        clusters = [{"name": "main", "urls": [url]}]
        async with opened(folder / "list", limits=False, alertmanagers=clusters) as both:
            connection = Connection(HOST, both.relay.port)
            await connection.open()
            for body in bodies:
                assert await connection.post(body) == 200
            await _rest(both.chat)
            floor, found, fresh = [], [], []
            for _ in range(ASKED):
                floor.append((await _ask(both.echo, "/alerts"))[0])
                took, answer = await _ask(both.chat, "/alerts")
                assert f"\n{ALERTS} alerts" in f"\n{answer.text}", answer.text
                found.append(took)
                started = time.perf_counter()
                await both.chat.until(lambda answer=answer: _SLOW not in answer.text)  # type: ignore[misc]  # as default
                fresh.append(took + time.perf_counter() - started)
    worst = max(found)
    return [
        Row("echo of a command, median", _milliseconds(statistics.median(floor))),
        Row("/alerts of 10,000, median", _milliseconds(statistics.median(found))),
        Row(f"/alerts of 10,000, worst of {ASKED}", _milliseconds(worst), "≤ 1000 ms", worst <= 1.0),
        Row("… with Alertmanager's list of that moment, median", _milliseconds(statistics.median(fresh))),
        Row("… with Alertmanager's list of that moment, worst", _milliseconds(max(fresh))),
    ]


async def taps_in_a_storm(folder: Path) -> list[Row]:
    """Ack and Unack in turn on one message while 1,000 groups arrive and are sent within Telegram's limits."""
    async with opened(folder / "storm", limits=True) as both:
        connection = Connection(HOST, both.relay.port)
        await connection.open()
        assert await connection.post(webhook(0)) == 200
        messages = both.chat.chat(CHAT).messages
        await both.chat.until(lambda: messages)
        echoed = both.echo.user_sends(CHAT, USER, "/echo")
        ack = messages[0].button("Ack")["callback_data"]
        bodies = [webhook(1 + number) for number in range(GROUPS)]
        storm = asyncio.create_task(steady(HOST, both.relay.port, bodies, CONNECTIONS))
        floor, found = [], []
        for number in range(TAPS):
            floor.append(await _tap(both.echo, echoed, "tap"))
            found.append(await _tap(both.chat, messages[0], ack.replace("a:", "au"[number % 2] + ":", 1)))
            await asyncio.sleep(PAUSE)
        assert (await storm).statuses == {200: GROUPS}
        refused = both.chat.floods.refused
    limit = p99(floor) + MOST
    return [
        Row("echo of a tap in a storm, p99", _milliseconds(p99(floor))),
        Row("tap in a storm, median", _milliseconds(statistics.median(found))),
        Row("tap in a storm, p99", _milliseconds(p99(found)), f"≤ {_milliseconds(limit)}", p99(found) <= limit),
        Row("… messages that Telegram refused", str(refused), "0", refused == 0),
    ]


async def answers(folder: Path) -> list[Row]:
    return [*await list_of_many(folder), *await taps_in_a_storm(folder)]


async def _fire(url: str, bodies: Sequence[bytes]) -> None:
    """The same alerts, as Prometheus posts them."""
    async with aiohttp.ClientSession() as session:
        for body in bodies:
            alerts = json.loads(body)["alerts"]
            posted = [{name: one[name] for name in ("labels", "annotations", "generatorURL")} for one in alerts]
            async with session.post(f"{url}/api/v2/alerts", json=posted) as answer:
                answer.raise_for_status()


def _bodies() -> Iterator[bytes]:
    """Webhooks with the alerts; each name is that of a hundred."""
    for number in range(ALERTS // A_WEBHOOK):
        message = json.loads(webhook(number, A_WEBHOOK))
        for index, alert in enumerate(message["alerts"]):
            alert["labels"]["alertname"] = f"HighLatency{(number * A_WEBHOOK + index) // A_NAME}"
            alert["fingerprint"] = fingerprint_of(alert["labels"])
        yield json.dumps(message).encode()


async def _rest(telegram: FakeTelegram) -> None:
    """Returns when the relay has had nothing to say for some seconds."""
    told = -1
    while told != len(telegram.journal):
        told = len(telegram.journal)
        await asyncio.sleep(5)


async def _ask(telegram: FakeTelegram, text: str) -> tuple[float, Message]:
    """The seconds until the answer, and the answer."""
    messages = telegram.chat(CHAT).messages
    started = time.perf_counter()
    sent = telegram.user_sends(CHAT, USER, text)
    await telegram.until(lambda: messages[-1].reply_to == sent.id)
    return time.perf_counter() - started, messages[-1]


async def _tap(telegram: FakeTelegram, message: Message, data: str) -> float:
    """The seconds until the text of a button that sends this back, whatever the message offers now."""
    message.buttons = [[{"text": data, "callback_data": data}]]
    started = time.perf_counter()
    await telegram.user_presses(CHAT, message.id, data, user_id=USER)
    return time.perf_counter() - started


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
