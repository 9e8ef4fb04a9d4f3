"""SIGKILL at random moments under load: nothing that was answered 200 may be lost, and only calls in hand may double."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load import Connection, webhook
from bench.scenarios import Row
from bench.servers import relay_server
from bench.sink import Sink, open_sink

CHANNELS = ("one", "two", "three")
RESOLVED_AFTER = 5
"""A group resolves while the fifth one after it fires."""
LONGEST_LIFE = 1.2
"""Seconds under load until the next kill."""
CONNECTIONS = 4


@dataclass
class Losses:
    """What came of the kills. `doubled` holds, for each life, the most calls that one destination got twice."""

    kills: int
    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    older: int = 0  # states that came after a newer one
    doubled: list[int] = field(default_factory=list)


class Source:
    """An Alertmanager: group after group fires, and three in four resolve again; what is not answered 200 comes again."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted = 0
        self.stopping = False
        self.state: dict[int, bool] = {}  # group -> whether its last accepted message fired

    async def run(self, worker: int) -> None:
        number = worker
        while not self.stopping:
            await self._tell(number, firing=True)
            earlier = number - RESOLVED_AFTER * CONNECTIONS
            if earlier in self.state and number % 4:
                await self._tell(earlier, firing=False)
            number += CONNECTIONS

    async def _tell(self, number: int, *, firing: bool) -> None:
        body = message(number, firing=firing)
        while not await self._post(body):
            await asyncio.sleep(0.02)
        self.state[number] = firing
        self.accepted += 1

    async def _post(self, body: bytes) -> bool:
        connection = Connection("127.0.0.1", self.port)
        try:
            await connection.open()
            return await connection.post(body) == 200
        except (OSError, asyncio.IncompleteReadError):
            return False
        finally:
            connection.close()


def message(number: int, *, firing: bool) -> bytes:
    if firing:
        return webhook(number)
    body = json.loads(webhook(number))
    body["status"] = body["alerts"][0]["status"] = "resolved"
    body["alerts"][0]["endsAt"] = "2026-01-01T03:20:00Z"
    return json.dumps(body).encode()


async def kill_often(folder: Path, kills: int, seed: int) -> Losses:
    """The relay is killed and started anew so many times while groups keep changing; then all comes to rest."""
    rng, losses, source = random.Random(seed), Losses(kills), Source()
    async with open_sink(slow=0.01) as sink:
        sections: dict[str, Any] = {
            "channels": {name: sink.channel(name) for name in CHANNELS},
            "routes": [{"channels": list(CHANNELS)}],
        }
        loading: list[asyncio.Task[None]] = []
        for _ in range(kills):
            seen = len(sink.taken)
            async with relay_server(folder, chats=False, **sections) as relay:  # killed at its end
                source.port = relay.port
                loading = loading or [asyncio.create_task(source.run(worker)) for worker in range(CONNECTIONS)]
                await asyncio.sleep(rng.uniform(0.01, LONGEST_LIFE))
            losses.doubled.append(most_doubled(sink, seen))
        async with relay_server(folder, chats=False, **sections) as relay:
            seen = len(sink.taken)
            source.port, source.stopping = relay.port, True
            await asyncio.gather(*loading)
            await rest(sink)
            losses.doubled.append(most_doubled(sink, seen))
    losses.accepted = source.accepted
    judge(sink, source, losses)
    return losses


def most_doubled(sink: Sink, since: int) -> int:
    """Of the requests since then, how many one destination had got before."""
    before = {(taken.channel, taken.key) for taken in sink.taken[:since]}
    doubled: Counter[str] = Counter()
    for taken in sink.taken[since:]:
        if (taken.channel, taken.key) in before:
            doubled[taken.channel] += 1
        before.add((taken.channel, taken.key))
    return max(doubled.values(), default=0)


async def rest(sink: Sink) -> None:
    """Returns when nothing has arrived for three seconds."""
    seen, quiet = -1, 0
    while quiet < 30:
        await asyncio.sleep(0.1)
        quiet = quiet + 1 if len(sink.taken) == seen else 0
        seen = len(sink.taken)


def judge(sink: Sink, source: Source, losses: Losses) -> None:
    for channel in CHANNELS:
        last: dict[str, str] = {}
        newest: dict[str, int] = {}
        for taken in sink.of(channel):
            name = taken.says["incident"]
            losses.older += taken.says["revision"] < newest.get(name, 0)
            newest[name] = max(newest.get(name, 0), taken.says["revision"])
            if instance := taken.says["alerts"][0]["labels"].get("instance"):  # the relay's alerts on itself have none
                last[instance] = taken.says["status"]
        for number, firing in source.state.items():
            shown = last.get(f"node-{number}-0.example.net:9100")
            if shown != ("firing" if firing else "resolved"):
                losses.lost.append(f"{channel}: group {number} was last shown as {shown}")


async def random_kills(folder: Path) -> list[Row]:
    """100 kills under load."""
    found = await kill_often(folder / "kills", 100, seed=1)
    most = max(found.doubled)
    return [
        Row("100 kills: webhooks answered 200", str(found.accepted)),
        Row("… lost", str(len(found.lost)), "0", not found.lost),
        Row("… older state after a newer one", str(found.older), "0", not found.older),
        Row("… doubled by a kill, per destination", str(most), "≤ 1", most <= 1),
    ]
