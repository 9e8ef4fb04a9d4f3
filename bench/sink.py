"""A destination of type http that keeps what it took: every request, and who is still waiting for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Taken:
    """One request: of which channel, by its key the try of one message, and what it says."""

    channel: str
    key: str
    says: Any


class Sink:
    """Serves any path as a channel of that name; answers `slow` seconds after it took a request, 503 while `away`."""

    def __init__(self, *, slow: float = 0.0) -> None:
        self.taken: list[Taken] = []
        self.away = False
        self._slow = slow
        self.url = ""

    def channel(self, name: str, **options: Any) -> dict[str, Any]:
        """The config of a channel that ends here, with limits that are none."""
        limits = {"per_second": 500, "per_minute": 30_000}
        return {"type": "http", "url": f"{self.url}/{name}", "limits": limits, **options}

    def of(self, channel: str) -> list[Taken]:
        return [one for one in self.taken if one.channel == channel]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.away:
            return web.Response(status=503)
        self.taken.append(Taken(request.match_info["channel"], request.headers["Idempotency-Key"], body))
        await asyncio.sleep(self._slow)
        return web.Response(text="ok")


@asynccontextmanager
async def open_sink(*, slow: float = 0.0) -> AsyncIterator[Sink]:
    sink = Sink(slow=slow)
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.add_routes([web.post("/{channel}", sink.take)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sink.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield sink
    finally:
        await runner.cleanup()
