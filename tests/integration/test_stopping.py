"""What a relay does and says while it stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.channels.http import HttpChannel
from relay.channels.http_options import HttpOptions
from relay.rendering import Renderer
from relay.store.digests import look
from tests.fakes.gateway import FakeGateway
from tests.simulation import Simulation, simulate
from tests.state import APPENDING, open_state, sqlite_engine
from tests.storms import deliver, message


@pytest.mark.parametrize(("stops", "said"), [(True, False), (False, True)], ids=["stopping", "running"])
async def test_a_lease_given_up_between_two_steps_is_only_said_to_be_lost_by_a_relay_that_goes_on(
    tmp_path: Path,
    gateway: FakeGateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stops: bool,
    said: bool,
) -> None:
    options = HttpOptions.model_validate({"type": "http", "url": gateway.url})
    async with (
        open_state(sqlite_engine(tmp_path), capabilities={"chat": APPENDING}) as state,
        aiohttp.ClientSession() as session,
        simulate(state, [HttpChannel(name="chat", options=options, renderer=Renderer(), session=session)]) as relay,
    ):
        await deliver(state, [message(1)])
        await relay.keeper.renew()
        monkeypatch.setattr(state.database, "read", _losing_the_lease(relay, stops=stops))
        await relay.run(0.5)
    assert gateway.journal == []
    assert ("lease lost" in caplog.text) is said


def _losing_the_lease(relay: Simulation, *, stops: bool) -> Callable[..., Any]:
    """The database's `read`; the lease is gone when a worker has looked what is due."""
    read = relay.state.database.read

    async def read_and_lose(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        found = await read(function, *args, **more)
        if function is look:
            if stops:
                relay.stop()
            await relay.keeper.release()
        return found

    return read_and_lose
