"""Several relays on one PostgreSQL, and a far side that notes what arrives there, how often and when."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg

from relay.app import Relay
from relay.app.relay import Seams
from relay.config import Config
from tests.fakes.gateway import FakeGateway
from tests.state import wire_alert

TOKEN = "webhook-token"
QUICK = {"per_second": 100, "per_minute": 6000}
WITHIN = 40.0
"""Seconds; a loaded machine needs a few."""


class Sink:
    """The far side of all channels; each message is the `number` of its alert."""

    def __init__(self) -> None:
        self.gateway = FakeGateway()

    @property
    def numbers(self) -> list[int]:
        """The alerts that were told, in order."""
        return [int(request.body) for request in self.gateway.journal]

    @property
    def twice(self) -> dict[int, int]:
        """What was told more than once, and how often."""
        return {number: times for number, times in Counter(self.numbers).items() if times > 1}

    async def until(self, *numbers: int, within: float = WITHIN) -> float:
        """Returns once all of these were told; the seconds that took."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(within):
                while set(numbers) - set(self.numbers):  # noqa: ASYNC110  another process may be what we wait for
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not told within {within} s: {sorted(set(numbers) - set(self.numbers))}") from None
        return time.monotonic() - started


def config_of(
    database: str, sink: Sink, destinations: int = 1, *, limits: Mapping[str, float] = QUICK
) -> dict[str, Any]:
    """A relay's config: alert `number` goes to destination `number % destinations`."""
    channels = {}
    for number in range(destinations):
        url = f"{sink.gateway.url}/{number}"
        body = "{{ alerts[0].labels.number }}"
        channels[f"sink-{number}"] = {
            "type": "http", "url": url, "body": body, "content_type": "text/plain", "limits": dict(limits),
        }  # fmt: skip
    return {
        "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": TOKEN}},
        "database": {"url": database},
        "channels": channels,
        "routes": [
            {"matchers": [f'sink="{number}"'], "channels": [f"sink-{number}"]} for number in range(destinations)
        ],
    }


def body_of(number: int, destinations: int = 1) -> bytes:
    """The webhook of a group of its own."""
    alert = wire_alert(f"Alert{number}", number=str(number), sink=str(number % destinations))
    alert["startsAt"] = "2026-01-01T00:00:00Z"
    message = {"version": "4", "receiver": "relay", "status": "firing", "groupKey": f"{{}}:{number}", "groupLabels": {}}
    return json.dumps({**message, "alerts": [alert]}).encode()


async def post(url: str, number: int, destinations: int = 1) -> int:
    """The status of the answer; 0 for none."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/webhook", data=body_of(number, destinations), headers=headers) as answer,
        ):
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, ConnectionError):
        return 0


async def deliver(urls: Callable[[], Sequence[str]], numbers: Sequence[int], destinations: int, *, pace: float) -> None:
    """Posts each alert to the relays in turn until one of them takes it, as Alertmanager behind a balancer does."""

    async def one(number: int) -> None:
        turn = number
        while await post(urls()[turn % len(urls())], number, destinations) != 200:
            turn += 1
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(one(number))
            await asyncio.sleep(pace)


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    sink = Sink()
    await sink.gateway.start()
    try:
        yield sink
    finally:
        await sink.gateway.stop()


@asynccontextmanager
async def open_relay(config: Mapping[str, Any], seams: Seams | None = None) -> AsyncIterator[Relay]:
    """A relay in this process, once it listens."""
    relay = Relay(Config.model_validate(config), seams=seams)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


def url_of(relay: Relay) -> str:
    host, port = relay.address
    return f"http://{host}:{port}"


async def query(database: str, sql: str) -> list[tuple[Any, ...]]:
    """Asks the database on a connection of its own."""
    connection = await asyncpg.connect(database)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def destinations_held(database: str) -> dict[str, int]:
    """How many destinations each relay holds now."""
    held = "SELECT owner, count(*) FROM leases WHERE name LIKE 'destination %' AND owner <> '' GROUP BY owner"
    return dict(await query(database, held))
