"""One message that cannot be shown takes no other along: whatever is wrong with it, the others arrive. Time is simulated."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.channels.http import HttpChannel
from relay.channels.http_options import HttpOptions
from relay.rendering import Renderer
from relay.store.deliveries import list_deliveries
from relay.store.overview import overview
from tests.fakes.gateway import Answer, FakeGateway, Request
from tests.simulation import Simulation, simulate
from tests.state import APPENDING, State, open_state, sqlite_engine, wire_alert
from tests.storms import deliver, message

Open = Callable[..., AbstractAsyncContextManager[Simulation]]


@pytest.fixture
def opened(tmp_path: Path, gateway: FakeGateway) -> Open:
    @asynccontextmanager
    async def open_simulation(**options: Any) -> AsyncIterator[Simulation]:
        values = HttpOptions.model_validate({"type": "http", "url": gateway.url, **options})
        async with (
            open_state(sqlite_engine(tmp_path), capabilities={"chat": APPENDING}) as state,
            aiohttp.ClientSession() as session,
        ):
            channel = HttpChannel(name="chat", options=values, renderer=Renderer(), session=session)
            async with simulate(state, [channel]) as simulation:
                yield simulation

    return open_simulation


async def post(state: State, name: str, **more: Any) -> None:
    await state.post(wire_alert(name, **more), key=name, groupLabels={"alertname": name})


def refuse(pattern: str, status: int = 500) -> Callable[[Request], Answer]:
    return lambda request: Answer(status=status if re.search(pattern.encode(), request.body) else 200)


def taken(gateway: FakeGateway, names: Sequence[str]) -> list[str]:
    return [name for name in names if any(name.encode() in request.body for request in gateway.journal)]


@pytest.mark.parametrize("status", [500, 403])
async def test_a_message_that_a_service_fails_for_holds_up_no_other(
    opened: Open, gateway: FakeGateway, status: int
) -> None:
    gateway.judge = refuse("Poison", status)
    async with opened() as simulation:
        await post(simulation.state, "PoisonOne")
        await post(simulation.state, "PoisonTwo")
        names = [f"Alert{number}" for number in range(5)]
        for name in names:
            await post(simulation.state, name, severity="info")
        await simulation.run(2000)
        assert taken(gateway, names) == names
        waiting = await simulation.state.database.read(list_deliveries, "pending")
        assert len(waiting) == 2


async def test_what_one_message_meets_again_and_again_is_no_failure_of_the_service(
    opened: Open, gateway: FakeGateway
) -> None:
    gateway.judge = refuse("Poison")
    async with opened() as simulation:
        await post(simulation.state, "Poison")
        for number in range(4):
            await simulation.run(100 * (number + 1))
            await post(simulation.state, f"Alert{number}", severity="info")
        await simulation.run(500)
        asked = len(gateway.journal)
        await simulation.run(3000)
        figures = (await simulation.state.database.read(overview)).channels["chat"]
        assert figures.paused_since is None
        assert len(gateway.journal) - asked < 40  # its own back-off, not the service's


@pytest.mark.expects_errors
async def test_a_message_that_cannot_be_rendered_is_a_dead_letter_and_holds_up_no_other(
    opened: Open, gateway: FakeGateway
) -> None:
    async with opened() as simulation:
        await post(simulation.state, "Huge", summary="x" * 1_200_000)
        await post(simulation.state, "Alert", severity="info")
        await simulation.run(60)
        assert taken(gateway, ["Alert"]) == ["Alert"]
        [dead] = await simulation.state.database.read(list_deliveries, "dead")
        assert (dead.reason, "TooMuchWork" in dead.detail) == ("template", True)


@pytest.mark.expects_errors
async def test_a_digest_that_cannot_be_rendered_leaves_its_incidents_to_themselves(
    opened: Open, gateway: FakeGateway
) -> None:
    async with opened(limits={"per_minute": 10}) as simulation:
        await post(simulation.state, "Huge", severity="warning", summary="x" * 1_200_000)
        await deliver(simulation.state, [message(number) for number in range(100, 140)])
        await simulation.run(400)
        names = [f"node-{number:04}" for number in range(100, 140)]
        assert taken(gateway, names) == names
