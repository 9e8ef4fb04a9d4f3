"""All destinations are away at once and come back: is anything lost, and how soon is everything true again?

Ten minutes are made of 100 seconds: the longest pause between two probes is 30 s, reached after some five of them, so a
longer outage only repeats the last of these seconds.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.load import Connection
from bench.scenarios import HOST, Row
from bench.servers import CHAT, relay_server
from bench.sink import Sink, open_sink
from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.telegram import FakeTelegram

OUTAGE = 100.0
BEFORE, MEANWHILE = range(5), range(5, 8)
"""Groups that fire before and during the outage, too few for a digest. Every second one resolves unseen."""
WITHIN = 60.0

State = Mapping[str, bool]
"""By the name of the alert, whether the destination shows it as firing."""


def name_of(number: int) -> str:
    return f"Outage{number:02}"


def message(number: int, *, firing: bool) -> bytes:
    labels = {"alertname": name_of(number), "severity": "warning", "instance": "node-1"}
    alert = {
        "status": "firing" if firing else "resolved",
        "labels": labels,
        "annotations": {"summary": "The service does not answer."},
        "startsAt": "2026-01-01T03:12:00Z",
        "endsAt": "0001-01-01T00:00:00Z" if firing else "2026-01-01T03:20:00Z",
        "fingerprint": f"{number:016x}",
    }
    group = {"alertname": name_of(number)}
    body = {"receiver": "relay", "status": alert["status"], "alerts": [alert], "groupLabels": group, "version": "4"}
    return json.dumps({**body, "groupKey": f"{{}}:{number}", "truncatedAlerts": 0}).encode()


TRUTH: State = {name_of(number): number % 2 == 1 for number in (*BEFORE, *MEANWHILE)}


class World:
    """The four platforms, together away or there."""

    def __init__(self, telegram: FakeTelegram, slack: FakeSlack, mail: FakeMail, sink: Sink) -> None:
        self.telegram, self.slack, self.mail, self.sink = telegram, slack, mail, sink

    def sections(self) -> dict[str, Any]:
        return {
            "slack": {"bot_token": self.slack.token, "api_url": self.slack.url},
            "smtp": {"host": self.mail.host, "port": self.mail.port, "from": "relay@example.org", "tls": "none"},
            "channels": {
                "telegram": {"type": "telegram", "chat_id": CHAT},
                "slack": {"type": "slack", "channel": "#alerts"},
                "email": {"type": "email", "to": ["ops@example.org"]},
                "http": {"type": "http", "url": f"{self.sink.url}/http"},
            },
            "routes": [{"channels": ["telegram", "slack", "email", "http"]}],
        }

    async def leave(self) -> None:
        self.telegram.down()
        await self.slack.down()
        await self.mail.stop()
        self.sink.away = True

    async def come_back(self) -> None:
        self.telegram.up()
        await self.slack.up()
        await self.mail.start()
        self.sink.away = False

    def shown(self) -> Mapping[str, State]:
        """What each platform shows of each alert by now; of several messages the last one counts."""
        texts = {
            "telegram": [one.text for one in self.telegram.chat(CHAT).messages if one.sender is self.telegram.bot],
            "slack": [json.dumps(one.shown, ensure_ascii=False) for one in self.slack.channel("alerts").main],
            "email": [mail.text.replace("1 resolved", "🟢") for mail in self.mail.mailbox],
        }
        found = {channel: read(said) for channel, said in texts.items()}
        told = [one.says for one in self.sink.of("http")]
        return {**found, "http": {one["title"]: one["status"] == "firing" for one in told}}


def read(texts: list[str]) -> dict[str, bool]:
    return {name: "🟢" not in text for text in texts for name in TRUTH if name in text}


async def outage(folder: Path) -> list[Row]:
    """Telegram, Slack, mail and http away together, with their usual limits."""
    async with AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(FakeTelegram(burst=20))
        telegram.add_chat(CHAT)
        slack, mail = FakeSlack(), FakeMail()
        for fake in (slack, mail):
            await fake.start()
            stack.push_async_callback(fake.stop)
        world = World(telegram, slack, mail, await stack.enter_async_context(open_sink()))
        relay = await stack.enter_async_context(
            relay_server(folder / "outage", telegram=telegram.url, **world.sections())
        )
        connection = Connection(HOST, relay.port)
        await connection.open()
        assert [await connection.post(message(number, firing=True)) for number in BEFORE] == [200] * len(BEFORE)
        before = await until_shown(world, {name_of(number): True for number in BEFORE}, within=120)
        assert max(before.values()) < 120, before
        await asyncio.sleep(60)  # the minute's budget is whole again
        await world.leave()
        began = time.monotonic()
        for number in MEANWHILE:
            assert await connection.post(message(number, firing=True)) == 200
            await asyncio.sleep(2)
        for name, firing in TRUTH.items():
            if not firing:
                assert await connection.post(message(int(name[-2:]), firing=False)) == 200
        await asyncio.sleep(OUTAGE - (time.monotonic() - began))
        await world.come_back()
        times = await until_shown(world, TRUTH, within=180)
        connection.close()
    return [
        Row(f"outage: {channel} true again after", f"{seconds:.0f} s", f"≤ {WITHIN:.0f} s", seconds <= WITHIN)
        for channel, seconds in times.items()
    ]


async def until_shown(world: World, wanted: State, *, within: float) -> dict[str, float]:
    """Seconds until each platform shows exactly this, or all that time."""
    began, times = time.monotonic(), dict.fromkeys(world.shown(), within)
    missing = set(times)
    while missing and time.monotonic() - began < within:
        await asyncio.sleep(0.1)
        for channel, state in world.shown().items():
            if channel in missing and state == wanted:
                missing.discard(channel)
                times[channel] = time.monotonic() - began
    return times
