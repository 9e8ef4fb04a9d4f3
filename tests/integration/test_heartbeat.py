"""The heartbeat beats only while the relay can do its work, and never tells its address."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from relay.checked import Checked
from relay.clock import HOUR, MINUTE, CommonClock
from relay.metrics import Metrics
from relay.notification import DeliveryError
from relay.store.destinations import record_refusal, record_success
from relay.store.leases import LeaseKeeper
from relay.watching.heartbeat import Heartbeat, Vitals
from relay.watching.probe import Check
from tests.state import LIVING, State, open_state, sqlite_engine
from tests.watching import KICKED

SECRET = "marker-of-the-address"


@dataclass
class Ward:
    """A heartbeat, the switch that it asks, and the channels it looks at."""

    state: State
    heartbeat: Heartbeat
    asked: list[str]
    checks: dict[str, DeliveryError | None]
    checked: list[str] = field(default_factory=list)
    still: list[str] = field(default_factory=list)
    status: int = 200


@asynccontextmanager
async def open_ward(folder: Path, *, address: str = "", owner: str = "one") -> AsyncIterator[Ward]:
    async with AsyncExitStack() as stack:
        capabilities = {"chat": LIVING, "mail": LIVING}
        state = await stack.enter_async_context(open_state(sqlite_engine(folder), capabilities=capabilities))
        ward: Ward

        async def answer(request: web.Request) -> web.Response:
            ward.asked.append(request.path)
            return web.Response(status=ward.status)

        application = web.Application()
        application.router.add_get("/{anything}", answer)
        server = await stack.enter_async_context(TestServer(application))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        checks: dict[str, DeliveryError | None] = {"chat": None, "mail": None}

        def check_of(name: str) -> Check:
            async def check() -> Checked:
                ward.checked.append(name)
                if (error := checks[name]) is not None:
                    raise error
                return Checked("works")

            return check

        keeper = LeaseKeeper(state.database, owner, CommonClock(state.clock))
        keeper.want(["heartbeat"])
        await keeper.renew()
        vitals = Vitals(
            state.database, state.clock, {name: check_of(name) for name in checks}, lambda: list(ward.still)
        )
        heartbeat = Heartbeat(
            SecretStr(address or str(server.make_url(f"/{SECRET}"))),
            MINUTE,
            vitals=vitals,
            keeper=keeper,
            metrics=Metrics(CollectorRegistry()),
            session=session,
        )
        ward = Ward(state, heartbeat, [], checks)
        yield ward


async def test_it_beats_while_all_is_well(tmp_path: Path) -> None:
    async with open_ward(tmp_path) as ward:
        assert await ward.heartbeat.beat()
        assert ward.asked == [f"/{SECRET}"]


async def test_one_channel_that_works_is_enough_and_none_is_not(tmp_path: Path) -> None:
    async with open_ward(tmp_path) as ward:
        await ward.state.database.write(record_refusal, "chat", ward.state.clock(), KICKED)
        assert await ward.heartbeat.beat()
        await ward.state.database.write(record_refusal, "mail", ward.state.clock(), KICKED)
        assert not await ward.heartbeat.beat()
        await ward.state.database.write(record_success, "mail", ward.state.clock())
        assert await ward.heartbeat.beat()
        assert len(ward.asked) == 2


async def test_in_quiet_times_the_platforms_are_asked_whether_a_message_would_go(tmp_path: Path) -> None:
    async with open_ward(tmp_path) as ward:
        await ward.state.database.write(record_success, "chat", ward.state.clock())
        assert await ward.heartbeat.beat()
        assert ward.checked == []
        ward.state.clock.advance(HOUR)
        ward.checks["chat"] = KICKED
        assert await ward.heartbeat.beat()
        assert ward.checked == ["chat", "mail"]
        ward.checks["mail"] = KICKED
        assert not await ward.heartbeat.beat()


async def test_it_stops_when_a_worker_stands_still(tmp_path: Path) -> None:
    async with open_ward(tmp_path) as ward:
        ward.still.append("telegram:-100")
        assert not await ward.heartbeat.beat()
        ward.still.clear()
        assert await ward.heartbeat.beat()


async def test_it_stops_when_the_store_does_not_commit(tmp_path: Path) -> None:
    async with open_ward(tmp_path) as ward:
        away = tmp_path / "away"
        (tmp_path / "relay.db").rename(away)
        assert not await ward.heartbeat.beat()
        away.rename(tmp_path / "relay.db")
        assert await ward.heartbeat.beat()


@pytest.mark.parametrize("status", [404, 500])
async def test_a_switch_that_refuses_is_logged_without_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async with open_ward(tmp_path) as ward:
        ward.status = status
        assert await ward.heartbeat.beat()
    assert said(caplog, "heartbeat refused")
    assert SECRET not in everything(caplog)


async def test_a_switch_that_cannot_be_reached_is_logged_without_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_ward(tmp_path, address=f"http://127.0.0.1:9/{SECRET}") as ward:
        assert await ward.heartbeat.beat()
    assert said(caplog, "heartbeat not delivered")
    assert SECRET not in everything(caplog)


async def test_why_it_is_withheld_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="relay")
    async with open_ward(tmp_path) as ward:
        ward.still.append("telegram:-100")
        for _ in range(3):
            await ward.heartbeat.beat()
        ward.still.clear()
        await ward.heartbeat.beat()
    assert len(said(caplog, "heartbeat withheld")) == 1
    assert len(said(caplog, "heartbeat goes on")) == 1


async def test_it_runs_until_the_relay_stops(tmp_path: Path) -> None:
    async with open_ward(tmp_path) as ward:
        stopping = asyncio.Event()
        task = asyncio.create_task(ward.heartbeat.run(stopping))
        async with asyncio.timeout(10):
            while not ward.asked:  # noqa: ASYNC110  the test server's own task
                await asyncio.sleep(0.01)
            stopping.set()
            await task


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if event in record.getMessage()]


def everything(caplog: pytest.LogCaptureFixture) -> str:
    fields: list[Any] = [vars(record) for record in caplog.records]
    return caplog.text + str(fields)
