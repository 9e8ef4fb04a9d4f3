"""A platform counts what it was sent, whoever sent it: a relay that takes a destination over begins with what is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from relay.app.relay import Seams
from tests.relays import config_of, open_relay, open_sink, post, url_of

LIMITS = {"per_second": 100, "per_minute": 3}
HELD_BACK = ("relay_rate_limited_seconds_total", {"channel": "sink-0"})


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_was_sent_before_a_takeover_or_a_restart_counts(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'relay.db'}"
    database = sqlite if kind == "sqlite" else request.getfixturevalue("postgres_url")
    async with open_sink() as sink:
        config = config_of(database, sink, limits=LIMITS)
        async with open_relay(config) as first:
            for number in (1, 2, 3):
                assert await post(url_of(first), number) == 200
            await sink.until(1, 2, 3)
        registry = CollectorRegistry()
        async with open_relay(config, Seams(registry=registry)) as second:
            assert await post(url_of(second), 4) == 200
            async with asyncio.timeout(20):
                while not registry.get_sample_value(*HELD_BACK):  # noqa: ASYNC110  a metric tells nobody
                    await asyncio.sleep(0.02)
            assert 4 not in sink.numbers
