"""The dashboards' PromQL asked of a real Prometheus that scrapes the players and a relay's metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry

from relay.demo.players.server import Players
from relay.metrics import Metrics
from tests.boards import BOARDS, promql
from tests.programs import ROOT
from tests.servers import READY_WITHIN, PrometheusStarter

EMPTY_WHEN_ALL_IS_WELL = ("ALERTS{", "[7d:1d]")
"""Nothing fires, and the mean of the days before needs days."""


@pytest.fixture
async def relay_url() -> AsyncIterator[str]:
    """Metrics of a relay to which something happens before each scrape."""
    metrics = Metrics(CollectorRegistry())
    metrics.declare({"ops": "email", "chat": "telegram"}, ["main"], "1")
    metrics.watchdog_last_seen.labels("main").set(time.time())

    async def scrape(request: web.Request) -> web.Response:
        metrics.webhook_seconds.observe(0.01)
        for kind, channel in (("email", "ops"), ("telegram", "chat")):
            metrics.notifications.labels(channel, kind, "sent").inc()
            metrics.notification_delay_seconds.labels(kind).observe(0.7)
        return web.Response(body=metrics.render()[0], content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", scrape)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def players() -> AsyncIterator[Players]:
    started = Players(first_port=0)
    await started.start()
    yield started
    await started.stop()


def scraping(targets: Mapping[str, tuple[str, str]]) -> str:
    """A config with the shipped rules; `targets` has address and path by job."""
    jobs = [
        {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [urlsplit(url).netloc]}]}
        for job, (url, path) in targets.items()
    ]
    often = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    return yaml.safe_dump({"global": often, "rule_files": [f"{ROOT}/prometheus/rules/*.yml"], "scrape_configs": jobs})


async def test_every_query_is_answered_with_data(
    start_prometheus: PrometheusStarter, players: Players, relay_url: str
) -> None:
    targets = {name: (players.urls[name], player.system.path) for name, player in players.players.items()}
    config = scraping({**targets, "relay": (relay_url, "/metrics")})
    prometheus = await asyncio.to_thread(start_prometheus, config)
    waiting = {(uid, title, target["expr"]) for uid in BOARDS for title, target in promql(uid)}
    end = time.monotonic() + READY_WITHIN
    async with aiohttp.ClientSession(prometheus) as session:
        while waiting and time.monotonic() < end:
            waiting = {query for query in waiting if not await ask(session, query[2])}
            if all(any(part in expr for part in EMPTY_WHEN_ALL_IS_WELL) for _, _, expr in waiting):
                return
            await asyncio.sleep(0.3)
    pytest.fail("no data for " + ", ".join(f"{uid}: {title}" for uid, title, _ in sorted(waiting)))


async def ask(session: aiohttp.ClientSession, expr: str) -> list[Any]:
    """The series that the expression has now."""
    async with session.get("/api/v1/query", params={"query": expr}) as response:
        answer = await response.json()
    assert answer["status"] == "success", f"{expr}: {answer['error']}"
    found: list[Any] = answer["data"]["result"]
    return found
