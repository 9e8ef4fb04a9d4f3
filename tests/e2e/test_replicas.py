"""Several relay processes on one PostgreSQL: killed, frozen, cut off. Nothing is lost, and nearly nothing comes twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.fakes.gateway import Answer
from tests.postgres_server import PostgresCluster
from tests.relay_process import RelayProcess
from tests.relays import Sink, config_of, deliver, destinations_held, open_sink, post

DESTINATIONS = 20
MOVED_WITHIN = 25.0
"""Seconds from a SIGKILL until every destination is served again: some 13, and as much again on a machine with other work."""
DROP_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alertmanager-relay'"
)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with open_sink() as sink:
        yield sink


@pytest.fixture
def own_postgres() -> Iterator[PostgresCluster]:
    """A server for this test alone, which may kill it."""
    cluster = PostgresCluster(programs.find_postgres(), synchronous_commit="on")  # else a kill costs what was committed
    yield cluster
    cluster.stop()


@pytest.fixture
async def start_relays(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`one, two = await start_relays(2, config)`: processes that differ in nothing but their ports."""
    started: list[RelayProcess] = []

    async def start(count: int, config: dict[str, Any]) -> list[RelayProcess]:
        for _ in range(count):
            folder = tmp_path / f"relay-{len(started)}"
            folder.mkdir()
            started.append(RelayProcess(folder, {**config, "server": dict(config["server"])}, forked=True))
        await asyncio.gather(*(relay.start() for relay in started[-count:]))
        return started[-count:]

    yield start
    for relay in started:
        await relay.kill()


@pytest.mark.timeout(300)  # half a minute where nothing else runs; a stalled machine takes several times that
async def test_two_of_three_relays_killed_under_load_lose_nothing(
    postgres_url: str, sink: Sink, start_relays: Any
) -> None:
    config = config_of(postgres_url, sink, DESTINATIONS)
    relays = await start_relays(3, config)
    await until_shared(postgres_url, relays=3)
    alive = list(relays)
    first = 0
    for killed in relays[:2]:
        numbers = range(first, first + 120)
        load = asyncio.create_task(deliver(lambda: [one.url for one in alive], numbers, DESTINATIONS, pace=0.03))
        await sink.until(*numbers[:40])
        await killed.kill()
        alive.remove(killed)
        began = time.monotonic()
        await load
        each = range(numbers[-1] + 1, numbers[-1] + 1 + DESTINATIONS)
        await deliver(lambda: [one.url for one in alive], each, DESTINATIONS, pace=0)
        await sink.until(*numbers, *each)
        assert time.monotonic() - began < MOVED_WITHIN
        first = each[-1] + 1
    assert set(sink.twice.values()) <= {2}
    for destination in range(DESTINATIONS):  # each has one call in flight, and two relays were killed
        assert sum(number % DESTINATIONS == destination for number in sink.twice) <= 2


async def test_a_frozen_relay_that_wakes_up_sends_nothing(postgres_url: str, sink: Sink, start_relays: Any) -> None:
    config = config_of(postgres_url, sink)
    [frozen] = await start_relays(1, config)
    assert await post(frozen.url, 0) == 200
    await sink.until(0)
    [other] = await start_relays(1, config)
    answer = asyncio.Event()
    sink.gateway.script.extend([Answer(status=503), Answer(gate=answer)])
    assert await post(other.url, 1) == 200
    await sink.until(1)  # refused for now: the holder comes again in a second or two, if it is not frozen
    frozen.send(signal.SIGSTOP)
    began = time.monotonic()
    while len(sink.numbers) < 3:  # noqa: ASYNC110  the other one, as soon as the lease has run out
        await asyncio.sleep(0.05)
    assert 5 < time.monotonic() - began < MOVED_WITHIN
    frozen.send(signal.SIGCONT)
    await asyncio.sleep(4)
    assert sink.numbers == [0, 1, 1]  # although the post is due, as far as the database knows
    answer.set()
    for url in (frozen.url, other.url):
        assert await post(url, 2 + (url == other.url)) == 200
    await sink.until(2, 3)
    assert sink.numbers == [0, 1, 1, 2, 3]


async def test_a_database_that_drops_connections_and_restarts_costs_nothing(
    own_postgres: PostgresCluster, sink: Sink, start_relays: Any
) -> None:
    database = own_postgres.create_database()
    relays = await start_relays(2, config_of(database, sink, 4))
    numbers = range(100)
    load = asyncio.create_task(deliver(lambda: [one.url for one in relays], numbers, 4, pace=0.05))
    for told in (10, 20):
        await sink.until(*range(told))
        await asyncio.to_thread(own_postgres.execute, DROP_CONNECTIONS)
    await sink.until(*range(40))
    await asyncio.to_thread(own_postgres.kill)
    await answered(relays, 503)
    await asyncio.to_thread(own_postgres.start_again)
    await load
    await sink.until(*numbers)
    await answered(relays, 200)
    for destination in range(4):  # a call in hand whose lease ran out meanwhile
        assert sum(number % 4 == destination for number in sink.twice) <= 1
    assert "Traceback" not in "".join(relay.output for relay in relays)


async def test_a_promoted_standby_takes_over(own_postgres: PostgresCluster, sink: Sink, start_relays: Any) -> None:
    database = own_postgres.create_database()
    standby = await asyncio.to_thread(PostgresCluster, programs.find_postgres(), of=own_postgres)
    try:
        name = database.rpartition("/")[2]
        await asyncio.to_thread(own_postgres.execute, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await asyncio.to_thread(own_postgres.execute, "SELECT pg_reload_conf()")
        hosts = f"127.0.0.1:{own_postgres.port},127.0.0.1:{standby.port}"
        both = f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"
        relays = await start_relays(2, config_of(both, sink, 4))
        numbers = range(60)
        load = asyncio.create_task(deliver(lambda: [one.url for one in relays], numbers, 4, pace=0.05))
        await sink.until(*range(20))
        await asyncio.to_thread(own_postgres.kill)
        await answered(relays, 503)
        await asyncio.to_thread(standby.execute, "SELECT pg_promote()")
        await load
        await sink.until(*numbers)
        for destination in range(4):
            assert sum(number % 4 == destination for number in sink.twice) <= 1
    finally:
        await asyncio.to_thread(standby.stop)


async def answered(relays: list[RelayProcess], status: int) -> None:
    """Returns once every relay's readiness is answered so."""
    async with asyncio.timeout(30):
        for relay in relays:
            while (await relay.get("/-/ready"))[0] != status:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.1)


async def until_shared(database: str, *, relays: int) -> None:
    """Returns once the destinations are spread: each relay has some, and none more than 70 %."""
    async with asyncio.timeout(40):
        held: dict[str, int] = {}
        while len(held) < relays or max(held.values()) > 0.7 * DESTINATIONS or sum(held.values()) < DESTINATIONS:
            await asyncio.sleep(0.2)
            held = await destinations_held(database)
