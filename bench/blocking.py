"""How long the event loop of a relay is kept busy by one message: the relay runs here, a heartbeat beside it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.load import TOKEN, Connection
from relay.app import Relay
from relay.app.process import settle
from relay.config import Config


async def longest_block(folder: Path, body: bytes) -> tuple[float, float]:
    """The longest gap between two beats while the message is taken and shown, and the seconds until the 200."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Config.model_validate(
        {
            "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": TOKEN}},
            "database": {"url": f"sqlite:///{folder / 'relay.db'}"},
            "channels": {"sink": {"type": "http", "url": "http://127.0.0.1:9/", "method": "POST"}},
            "routes": [{"channels": ["sink"]}],
        }
    )
    relay = Relay(config)
    await relay.start()
    await settle(relay)
    await asyncio.sleep(1)
    connection = Connection(*relay.address)
    await connection.open()
    gaps: list[float] = []
    beating = asyncio.create_task(_beat(gaps))
    try:
        started = time.perf_counter()
        status = await connection.post(body)
        took = time.perf_counter() - started
        assert status == 200, status
        await asyncio.sleep(3)  # and its first rendering
    finally:
        beating.cancel()
        connection.close()
        await relay.stop()
    return max(gaps), took


async def _beat(gaps: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        gaps.append(now - last - 0.001)
        last = now
