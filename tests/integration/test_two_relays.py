"""Two relays in this process on one PostgreSQL: who takes a webhook does not matter, nor whose clock is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.app.relay import Seams
from relay.clock import MINUTE, Millis, system_clock
from relay.routing import RouteConfig
from tests.relays import Sink, config_of, open_relay, open_sink, post, query, url_of
from tests.state import APPENDING, open_state, postgres_engine, wire_alert

SOON = 3.0
"""Seconds; less than the pause between two looks, so that somebody must have been woken."""


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with open_sink() as sink:
        yield sink


async def test_whoever_takes_a_webhook_the_holder_of_its_destination_is_woken(postgres_url: str, sink: Sink) -> None:
    config = config_of(postgres_url, sink)
    async with open_relay(config) as holder, open_relay(config) as other:
        await warmed_up(sink, url_of(holder))
        for number in range(1, 6):
            assert await post(url_of(other), number) == 200
            assert await sink.until(number, within=SOON) < SOON
    assert sink.twice == {}


async def test_a_relay_that_stops_hands_its_destinations_over_at_once(postgres_url: str, sink: Sink) -> None:
    config = config_of(postgres_url, sink, 4)
    async with open_relay(config) as other:
        async with open_relay(config) as stopping:
            await warmed_up(sink, url_of(stopping))
            await other.keeper.renew()
            assert other.keeper.replicas == 2
        for number in range(1, 5):
            assert await post(url_of(other), number, 4) == 200
        assert await sink.until(1, 2, 3, 4, within=SOON) < SOON
        assert other.keeper.replicas == 1
    assert sink.twice == {}


@pytest.mark.parametrize("order", [(-5, 0), (0, -5), (5, 0), (0, 5)])
async def test_clocks_minutes_apart_delay_and_double_nothing(
    postgres_url: str, sink: Sink, order: tuple[int, int]
) -> None:
    config = config_of(postgres_url, sink)
    first, second = (Seams(clock=Wrong(minutes * MINUTE)) for minutes in order)
    async with open_relay(config, first) as one, open_relay(config, second) as two:
        await warmed_up(sink, url_of(one))
        for number in range(1, 5):
            assert await post(url_of(two if number % 2 else one), number) == 200
            assert await sink.until(number, within=SOON) < SOON
    assert sink.twice == {}
    stamps = await query(postgres_url, "SELECT opened_at FROM incidents")
    now = system_clock()
    assert all(now - MINUTE < opened_at <= now for (opened_at,) in stamps)


async def test_a_line_that_breaks_is_opened_anew(postgres_url: str, sink: Sink) -> None:
    config = config_of(postgres_url, sink)
    async with open_relay(config) as holder, open_relay(config) as other:
        await warmed_up(sink, url_of(holder))
        await lines_other_than(postgres_url, set())
        broken = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + LINES
        await lines_other_than(postgres_url, {(pid,) for pid, _ in await query(postgres_url, broken)})
        assert await post(url_of(other), 1) == 200
        assert await sink.until(1, within=SOON) < SOON


LINES = (
    "datname = current_database() AND application_name = 'alertmanager-relay' "
    "AND (query LIKE 'LISTEN%' OR query = 'SELECT pg_notify($1, $2)')"
)


async def lines_other_than(url: str, known: set[tuple[int, ...]]) -> None:
    """Returns once both relays listen on lines that are not among the known ones."""
    found = f"SELECT pid FROM pg_stat_activity WHERE {LINES}"
    async with asyncio.timeout(20):
        while len(set(await query(url, found)) - known) < 2:  # noqa: ASYNC110  the server tells nobody
            await asyncio.sleep(0.1)


async def test_what_nobody_was_woken_for_is_found_by_looking(postgres_url: str, sink: Sink) -> None:
    async with open_relay(config_of(postgres_url, sink)) as relay:
        await warmed_up(sink, url_of(relay))
        routes = [RouteConfig(channels=["sink-0"])]
        async with open_state(
            postgres_engine(postgres_url), routes=routes, capabilities={"sink-0": APPENDING}
        ) as other:
            await other.post(wire_alert(number="1"))  # by a relay whose notification got lost
        assert await sink.until(1, within=10) < 10


class Wrong:
    """A clock that is so many milliseconds off."""

    def __init__(self, off: Millis) -> None:
        self._off = off

    def __call__(self) -> Millis:
        return system_clock() + self._off


async def warmed_up(sink: Sink, url: str) -> None:
    """The first relay serves the destinations: it was there first."""
    assert await post(url, 0) == 200
    await sink.until(0)
