"""Behind an HA pair of real Alertmanagers: one message, whatever the two say of the same alert, and in which order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.relay_process import TOKEN, RelayProcess, alertmanager_config, fire
from tests.servers import AlertmanagerStarter, free_port

ALERT = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1", "summary": "Disk of db-1 is full"}


async def pair(
    start_relay: Any, start_alertmanager: AlertmanagerStarter, *, mesh: bool
) -> tuple[RelayProcess, list[str]]:
    """Two Alertmanagers of one cluster; without the mesh they are what a partition leaves of it."""
    address = f"127.0.0.1:{free_port()}"
    config = alertmanager_config(f"http://{address}")
    ports = [free_port(), free_port()]
    urls = []
    for mine, other in (ports, ports[::-1]):
        gossip = [
            f"--cluster.listen-address=127.0.0.1:{mine}", f"--cluster.peer=127.0.0.1:{other}",
            "--cluster.settle-timeout=2s", "--cluster.pushpull-interval=5s", "--cluster.peer-timeout=3s",
        ]  # fmt: skip
        urls.append(start_alertmanager(config, arguments=gossip if mesh else ["--cluster.listen-address="]))
    relay = await start_relay(
        server={"listen": address, "auth": {"bearer_token": TOKEN}},
        alertmanagers=[{"name": "main", "urls": urls, "poll": "1s", "settle": "0s"}],
    )
    return relay, urls


async def fire_at(url: str, starts: datetime, *, ends: datetime | None = None) -> None:
    """One alert with the times of a Prometheus whose clock is its own."""
    labels = {name: value for name, value in ALERT.items() if name != "summary"}
    alert: dict[str, Any] = {"labels": labels, "startsAt": starts.isoformat()}
    if ends is not None:
        alert["endsAt"] = ends.isoformat()
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/alerts", json=[alert]) as answer:
        assert answer.status == 200, await answer.text()


def incidents(telegram: FakeTelegram) -> list[str]:
    """The living messages of the chat."""
    return [message.text for message in telegram.chat(CHAT).messages if message.reply_to is None]


async def test_a_meshed_pair_makes_one_message(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    _, urls = await pair(start_relay, start_alertmanager, mesh=True)
    for url in urls:
        await fire(url, ALERT)
    await telegram.until(lambda: incidents(telegram))
    for url in urls:
        await fire(url, ALERT, resolved=True)
    await telegram.until(lambda: incidents(telegram)[0].startswith("🟢"))
    assert len(incidents(telegram)) == 1


async def test_a_split_pair_posts_everything_twice_and_is_shown_once(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    relay, urls = await pair(start_relay, start_alertmanager, mesh=False)
    starts = datetime.now(UTC) - timedelta(seconds=10)
    for url in urls:
        await fire_at(url, starts)
    await telegram.until(lambda: relay.output.count("component=webhook") >= 2)
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    assert "event=duplicate" in relay.output
    ends = starts + timedelta(seconds=5)
    for url in urls:
        await fire_at(url, starts, ends=ends)
    await telegram.until(lambda: incidents(telegram)[0].startswith("🟢"))
    await telegram.until(lambda: relay.output.count("component=webhook") >= 4)
    assert len(incidents(telegram)) == 1


async def test_two_prometheus_with_clocks_apart_make_one_message_that_ends_resolved(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    _, urls = await pair(start_relay, start_alertmanager, mesh=False)
    now = datetime.now(UTC)
    ahead, behind = now + timedelta(seconds=2), now - timedelta(seconds=40)
    await fire_at(urls[0], behind)
    await fire_at(urls[1], ahead, ends=ahead + timedelta(hours=1))
    await telegram.until(lambda: incidents(telegram))
    await fire_at(urls[0], behind, ends=behind + timedelta(seconds=1))
    await fire_at(urls[1], ahead, ends=ahead + timedelta(seconds=1))  # in three seconds, by its own clock
    await telegram.until(lambda: incidents(telegram)[0].startswith("🟢"))
    await asyncio.sleep(3)  # whatever still comes must not open it again
    assert len(incidents(telegram)) == 1
    assert incidents(telegram)[0].startswith("🟢")


async def test_one_peer_killed_leaves_the_other_asked_and_believed(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    _, urls = await pair(start_relay, start_alertmanager, mesh=True)
    for url in urls:
        await fire(url, ALERT)
    await telegram.until(lambda: incidents(telegram))
    start_alertmanager.stop(urls[0])
    await fire(urls[1], ALERT, resolved=True)
    await telegram.until(lambda: incidents(telegram)[0].startswith("🟢"))
    assert len(incidents(telegram)) == 1
