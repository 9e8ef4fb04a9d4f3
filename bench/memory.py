"""What memory an hour of alerts and one enormous group leave behind."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.load import Connection, steady, webhook
from bench.scenarios import HOST, Row
from bench.servers import CHAT, Running, relay_server
from relay.demo.telegram import FakeTelegram

HOUR = 3600
"""One webhook a second for an hour, sent as fast as it is taken: 200 groups that change all the time."""
GROUPS = 200
ALERTS = 20_000
MORE = 50
"""MiB that may stay."""
SETTLES_WITHIN = 90.0


async def memory(folder: Path) -> list[Row]:
    """Resident memory of a relay with Telegram, before and after."""
    quick = {"per_second": 100, "per_minute": 6000}
    channel = {"type": "telegram", "chat_id": CHAT, "limits": quick}
    async with FakeTelegram(limits=False) as telegram:
        telegram.add_chat(CHAT)
        async with relay_server(folder / "memory", telegram=telegram.url, channels={"chat": channel}) as relay:
            await asyncio.sleep(6)
            hour = await _hour(relay)
            return [*hour, *await _enormous(relay)]


async def _hour(relay: Running) -> list[Row]:
    idle = relay.rss
    bodies = [webhook(number % GROUPS, 1 + number % 7) for number in range(HOUR)]
    found = await steady(HOST, relay.port, bodies, 8)
    assert found.statuses == {200: HOUR}, found.statuses
    after = await _settled(relay, idle + 80)
    return [
        Row("RSS idle, with Telegram", f"{idle:.0f} MiB"),
        Row("RSS after an hour's 3,600 webhooks", f"{after:.0f} MiB", f"≤ {idle + 80:.0f} MiB", after <= idle + 80),
    ]


async def _enormous(relay: Running) -> list[Row]:
    before = relay.rss
    body = webhook(GROUPS + 1, ALERTS)
    connection = Connection(HOST, relay.port)
    await connection.open()
    watching = asyncio.create_task(_highest(relay))
    started = time.perf_counter()
    status = await connection.post(body)
    took = time.perf_counter() - started
    assert status == 200, status
    connection.close()
    after = await _settled(relay, before + MORE)
    watching.cancel()
    highest = await watching
    return [
        Row("20,000 alerts in one webhook: 200 after", f"{took:.2f} s", "< 3 s", took < 3),
        Row("… RSS at most", f"{highest:.0f} MiB"),
        Row("… RSS before → after", f"{before:.0f} → {after:.0f} MiB", f"≤ {MORE} more", after - before <= MORE),
    ]


async def _highest(relay: Running) -> float:
    """The most there ever was, until cancelled."""
    most = 0.0
    try:
        while True:
            most = max(most, relay.rss)
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return most


async def _settled(relay: Running, goal: float) -> float:
    """Resident memory once it is below the goal, or after a minute and a half."""
    end = time.monotonic() + SETTLES_WITHIN
    await asyncio.sleep(10)  # what the webhook brought is shown meanwhile
    while relay.rss > goal and time.monotonic() < end:
        await asyncio.sleep(0.5)
    return relay.rss
