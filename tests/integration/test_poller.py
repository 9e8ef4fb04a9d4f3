"""The poll of one Alertmanager: when it asks, what it takes for an outage, and what it does without the lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from relay.alertmanager import Alertmanager
from relay.clock import CommonClock, system_clock
from relay.clusters import AlertmanagerConfig
from relay.demo.alertmanager import FakeAlertmanager
from relay.metrics import Metrics
from relay.poller import Poller
from relay.store.leases import LeaseKeeper
from tests.state import State, open_state, sqlite_engine, wire_alert

LABELS = {"alertname": "DiskFull", "severity": "critical"}


class Polled:
    """One poller at work. `lists` counts the lists that it asked for."""

    def __init__(self, state: State, fake: FakeAlertmanager, session: aiohttp.ClientSession, every: str) -> None:
        self.state = state
        self.fake = fake
        self.registry = CollectorRegistry()
        self.keeper = LeaseKeeper(state.database, "one", CommonClock(state.clock), monotonic=time.monotonic)
        config = AlertmanagerConfig.model_validate({"name": "main", "urls": [fake.url], "poll": every, "settle": "0s"})
        self.poller = Poller(
            Alertmanager(config, session, lambda *_: None, system_clock),
            database=state.database,
            reconciler=state.reconciler,
            keeper=self.keeper,
            metrics=Metrics(self.registry),
            clock=system_clock,
            on_change=lambda _: None,
        )

    @property
    def up_metric(self) -> float | None:
        return self.registry.get_sample_value("relay_alertmanager_up", {"alertmanager": "main"})

    @property
    def lists(self) -> int:
        return sum(path.startswith("/api/v2/alerts") for _, path in self.fake.journal)


@asynccontextmanager
async def polling(folder: Path, fake: FakeAlertmanager, every: str) -> AsyncIterator[Polled]:
    async with aiohttp.ClientSession() as session, open_state(sqlite_engine(folder)) as state:
        polled = Polled(state, fake, session, every)
        stopping = asyncio.Event()
        running = asyncio.create_task(polled.poller.run(stopping))
        await asyncio.sleep(0)  # it says which lease it wants
        try:
            yield polled
        finally:
            stopping.set()
            await running


@pytest.fixture
async def fake() -> AsyncIterator[FakeAlertmanager]:
    server = FakeAlertmanager()
    await server.start()
    yield server
    await server.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is awaited happens in another task
            await asyncio.sleep(0.005)


async def test_it_is_asked_as_soon_as_the_lease_is_ours_not_one_interval_later(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    async with polling(tmp_path, fake, "1h") as polled:
        assert polled.lists == 0
        await polled.keeper.renew()
        await until(lambda: polled.poller.answered_at)
        assert polled.lists == 1


async def test_after_the_first_question_an_interval_lies_between_two(tmp_path: Path, fake: FakeAlertmanager) -> None:
    async with polling(tmp_path, fake, "200ms") as polled:
        began = time.monotonic()
        await polled.keeper.renew()
        await until(lambda: polled.lists >= 3)
        assert time.monotonic() - began >= 0.4


async def test_what_is_missing_right_after_the_start_is_over_only_when_it_is_missing_again(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    async with polling(tmp_path, fake, "300ms") as polled:
        await polled.state.post(wire_alert(starts=polled.state.clock()))
        await polled.keeper.renew()
        await until(lambda: polled.poller._missing)
        assert (await polled.state.show())[-1][2].open
        await until(lambda: not polled.poller._missing)
        assert not (await polled.state.show())[-1][2].open


async def test_without_the_lease_it_is_only_asked_how_it_is(tmp_path: Path, fake: FakeAlertmanager) -> None:
    async with polling(tmp_path, fake, "50ms") as polled:
        await until(lambda: polled.poller.version)
        assert {path for _, path in fake.journal} == {"/api/v2/status"}
        assert polled.poller.answered_at is not None
        await fake.stop()
        await until(lambda: not polled.poller.up)
        await fake.start()
        await until(lambda: polled.poller.up)


async def test_one_that_starts_a_little_later_than_the_relay_is_no_outage(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    await fake.stop()
    async with polling(tmp_path, fake, "500ms") as polled:
        await polled.keeper.renew()
        seen = []
        began = time.monotonic()
        await until(lambda: seen.append(polled.poller.up) or time.monotonic() - began > 0.3)  # type: ignore[func-returns-value]  # samples
        assert all(seen)
        await until(lambda: not polled.poller.up)  # it had its interval
        assert time.monotonic() - began >= 0.5


async def test_stopping_ends_the_wait_for_the_lease_and_for_the_interval(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    for leased in (False, True):
        async with asyncio.timeout(5), polling(tmp_path, fake, "1h") as polled:
            if leased:
                await polled.keeper.renew()
                await until(lambda polled=polled: polled.poller.answered_at)  # type: ignore[misc]  # bound


async def test_one_that_is_never_asked_does_not_count_as_unreachable(tmp_path: Path, fake: FakeAlertmanager) -> None:
    async with aiohttp.ClientSession() as session, open_state(sqlite_engine(tmp_path)) as state:
        assert Polled(state, fake, session, "0").up_metric == 1
        assert Polled(state, fake, session, "30s").up_metric is None  # the app declares it, at zero
