"""What end-to-end tests start: the strict stand-in for Telegram and the relay's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.demo.telegram import FakeTelegram
from tests.relay_process import RelayProcess

CHAT = -1001234567890


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
        relay = RelayProcess(folder, config)
        started.append(relay)
        await relay.start()
        return relay

    yield start
    for relay in started:
        await relay.kill()
