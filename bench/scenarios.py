"""What is measured. Each scenario gives rows: what, the figure, the floor it is compared with, the goal."""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import statistics
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from pathlib import Path

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from bench.blocking import longest_block
from bench.load import Connection, at_once, steady, webhook
from bench.servers import bare_server, relay_server
from relay.demo.telegram import FakeTelegram

HOST = "127.0.0.1"
ROUNDS = 3
SAMPLES = 100
PAUSE = 0.55
TURNS = 10
A_TURN = 320
AS_LONG = 4
"""So many times more posts for the bare handler: its turns last as long as the relay's, and meet the same moods."""
PERSON = 1001


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where nothing is judged."""

    what: str
    figure: str
    goal: str = ""
    met: bool | None = None

    def plain(self) -> dict[str, object]:
        return asdict(self)


async def ingest(folder: Path) -> list[Row]:
    """Durable one-alert webhooks a second at concurrency 32, best of interleaved rounds, against the bare handler.

    Each is a new group for a channel that cannot be reached: what is measured is the taking, not the telling. Within a
    round the servers take short turns, for a machine may be twice as fast from one second to the next.
    """
    best: dict[str, float] = {}
    async with (
        bare_server() as bare,
        bare_server("uvloop") as quick,
        relay_server(folder / "ingest", chats=False) as relay,
    ):
        servers = (("bare", bare, AS_LONG), ("uvloop", quick, AS_LONG), ("relay", relay, 1))
        await asyncio.sleep(2)
        for round_ in range(ROUNDS):
            seconds = dict.fromkeys(("bare", "uvloop", "relay"), 0.0)
            for turn in range(round_ * TURNS, (round_ + 1) * TURNS):
                bodies = [webhook(number) for number in range(turn * A_TURN, (turn + 1) * A_TURN)]
                for name, server, times in servers:
                    found = await steady(HOST, server.port, bodies * times, 32)
                    assert found.statuses == {200: A_TURN * times}, found.statuses
                    seconds[name] += found.seconds / times
            for name, took in seconds.items():
                best[name] = max(best.get(name, 0.0), TURNS * A_TURN / took)
    ratio = best["relay"] / best["bare"]
    return [
        Row("bare handler, webhooks/s", f"{best['bare']:.0f}"),
        Row("bare handler on uvloop, webhooks/s", f"{best['uvloop']:.0f}"),
        Row("relay, durable webhooks/s", f"{best['relay']:.0f}"),
        Row("ingest ratio", f"{ratio:.2f}", "≥ 0.25", ratio >= 0.25),
        Row("… to the bare handler on uvloop", f"{best['relay'] / best['uvloop']:.2f}"),
    ]


async def simultaneous(folder: Path) -> list[Row]:
    """1,000 connections at once: all 200, within 5 times the bare handler's time and one fsync for each batch."""
    bodies = [webhook(number) for number in range(1000)]
    async with bare_server() as bare, relay_server(folder / "simultaneous") as relay:
        await asyncio.sleep(6)
        floor = await at_once(HOST, bare.port, bodies)
        found = await at_once(HOST, relay.port, bodies)
    bound = 5 * floor.seconds + fsync_seconds(folder) * (1000 / 128 + 1)
    return [
        Row("1,000 posts at once, bare", f"{floor.seconds:.2f} s"),
        Row("1,000 posts at once, relay", f"{found.seconds:.2f} s", f"≤ {bound:.2f} s", found.seconds <= bound),
        Row("… refused or failed", str(1000 - found.statuses.get(200, 0)), "0", found.statuses == {200: 1000}),
    ]


async def latency(folder: Path) -> list[Row]:
    """From a webhook to the call of the Bot API, idle, against one aiogram call and one committed transaction.

    In a private chat, which takes a message a second: in a group of 20 a minute the later ones would wait. Floor and
    way take turns after the same pause, so that both meet an idle processor, and the same mood of the machine.
    """
    calls: list[float] = []
    commits: list[float] = []
    found: list[float] = []
    async with FakeTelegram(limits=False) as telegram:
        telegram.add_chat(PERSON, "private")
        async with (
            Bot(telegram.token, session=AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))) as bot,
            relay_server(folder / "latency", telegram=telegram.url, chat=PERSON) as relay,
        ):
            await asyncio.sleep(6)
            connection = Connection(HOST, relay.port)
            await connection.open()
            for number in range(SAMPLES):
                await asyncio.sleep(PAUSE)
                calls.append(await _seconds(bot.send_message(PERSON, f"echo {number}")))
                commits.append(fsync_seconds(folder))
                await asyncio.sleep(PAUSE)
                found.append(await _seconds(_post_until_called(connection, telegram, webhook(number))))
    floor, slow = p99(calls) + p99(commits), p99(found)
    return [
        Row("floor: aiogram call + commit, p99", f"{floor * 1000:.1f} ms"),
        Row("post → Bot API call, p50", f"{statistics.median(found) * 1000:.1f} ms"),
        Row("post → Bot API call, p99", f"{slow * 1000:.1f} ms", f"≤ {4 * floor * 1000:.1f} ms", slow <= 4 * floor),
    ]


async def _seconds(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _post_until_called(connection: Connection, telegram: FakeTelegram, body: bytes) -> None:
    before = len(telegram.calls("sendMessage"))
    await connection.post(body)
    while len(telegram.calls("sendMessage")) == before:
        await asyncio.sleep(0.0005)


async def large_groups(folder: Path) -> list[Row]:
    """How long one large message keeps the event loop from anything else."""
    rows = []
    for alerts, bound in ((5000, 50), (20_000, 250)):
        block, took = await longest_block(folder / f"large-{alerts}", webhook(1, alerts))
        rows.append(Row(f"{alerts} alerts: answered in", f"{took:.2f} s"))
        rows.append(
            Row(f"{alerts} alerts: loop blocked", f"{block * 1000:.0f} ms", f"≤ {bound} ms", block * 1000 <= bound)
        )
    return rows


async def start_up(folder: Path) -> list[Row]:
    """From exec until it listens, and what memory an idle relay takes, with and without Telegram."""
    times = []
    for number in range(ROUNDS):
        async with relay_server(folder / f"start-{number}") as relay:
            times.append(relay.started_in)
            early = relay.rss
            await asyncio.sleep(6)
            idle = relay.rss
    async with relay_server(folder / "start-http", chats=False) as relay:
        await asyncio.sleep(3)
        without = relay.rss
    best = min(times)
    return [
        Row("listening after", f"{best:.2f} s", "≤ 1.5 s", best <= 1.5),
        Row("RSS when it begins to listen", f"{early:.0f} MiB"),
        Row("RSS idle with Telegram", f"{idle:.0f} MiB"),
        Row("RSS idle without Telegram", f"{without:.0f} MiB"),
    ]


def fsync_seconds(folder: Path) -> float:
    """One committed transaction on this disk, as the store commits."""
    path = folder / "floor.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (a TEXT)")
        connection.commit()
        started = time.perf_counter()
        connection.execute("INSERT INTO t VALUES (?)", (os.urandom(8).hex(),))
        connection.commit()
        took = time.perf_counter() - started
    connection.close()
    return took


def p99(values: list[float]) -> float:
    """What 99 of 100 are not above (nearest rank)."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]
