"""What end-to-end tests start: the strict stand-in for Telegram and the relay's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.demo.telegram import FakeTelegram
from tests import programs
from tests.fakes.gateway import FakeGateway
from tests.programs import AlertmanagerProgram
from tests.relay_process import RelayProcess

CHAT = -1001234567890


def only_http(gateway: FakeGateway) -> dict[str, Any]:
    """Sections for `start_relay`: everything goes to the gateway, as fast as it answers."""
    limits = {"per_second": 500, "per_minute": 30_000}
    channel = {"type": "http", "url": gateway.url, "limits": limits}
    return {"telegram": None, "channels": {"hook": channel}, "routes": [{"channels": ["hook"]}]}


async def until(condition: Callable[[], object], *, within: float = 30.0) -> None:
    """Returns as soon as the condition on another process holds; `TimeoutError` if it does not in time."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)


@pytest.fixture(params=dict.fromkeys((programs.alertmanager_names()[0], programs.alertmanager_names()[-1])))
def alertmanager_program(request: pytest.FixtureRequest) -> AlertmanagerProgram:
    """The installed and the newest Alertmanager: what lies between them differs in what integration tests ask of each."""
    return programs.find_alertmanager(request.param)


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(limits=False) as fake:
        fake.add_chat(CHAT)
        yield fake


@pytest.fixture
async def start_relay(tmp_path: Path, telegram: FakeTelegram) -> AsyncIterator[Callable[..., Any]]:
    """`relay = await start_relay(alertmanagers=[…])`: everything to one chat, without our own limits unless asked."""
    started: list[RelayProcess] = []

    async def start(**sections: Any) -> RelayProcess:
        folder = tmp_path / f"relay-{len(started)}"
        folder.mkdir()
        quick = {"per_second": 50, "per_minute": 3000}
        config = {
            "telegram": {"bot_token": telegram.token, "api_url": telegram.url},
            "channels": {"chat": {"type": "telegram", "chat_id": CHAT, "limits": quick}},
            "routes": [{"channels": ["chat"]}],
            **sections,
        }
        wanted = {name: section for name, section in config.items() if section is not None}
        relay = RelayProcess(folder, wanted, forked=True)
        started.append(relay)
        await relay.start()
        return relay

    yield start
    for relay in started:
        await relay.kill()
