"""The shipped config for a pair: two meshed Alertmanagers post to two relays on one PostgreSQL, and nobody is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from relay.demo.stack.rhythm import quicken_routes
from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.programs import ROOT, find_alertmanager
from tests.relay_process import TOKEN, RelayProcess, fire
from tests.servers import AlertmanagerStarter, free_port

ALERT = {"alertname": "DatabaseIssues", "service": "bgw", "severity": "critical", "instance": "bgw-1:8000"}


@pytest.fixture
def alertmanagers(tmp_path: Path) -> Iterator[AlertmanagerStarter]:
    starter = AlertmanagerStarter(tmp_path, program=find_alertmanager("installed"))
    yield starter
    starter.stop_all()


def start_pair(starter: AlertmanagerStarter, addresses: list[str], folder: Path) -> list[str]:
    """Both members with the shipped file; only addresses, the token's place and the rhythm are others."""
    (folder / "webhook_token").write_text(TOKEN)
    config = quicken_routes((ROOT / "alertmanager" / "alertmanager-ha.yml").read_text())
    config = config.replace("/run/secrets", str(folder))
    for name, address in zip(("relay-1:8080", "relay-2:8080"), addresses, strict=True):
        config = config.replace(name, address)
    ports = [free_port(), free_port()]
    return [
        starter(
            config,
            arguments=[
                f"--cluster.listen-address=127.0.0.1:{mine}",
                f"--cluster.peer=127.0.0.1:{other}",
                "--cluster.settle-timeout=2s",
                "--cluster.pushpull-interval=5s",
                "--cluster.peer-timeout=3s",
            ],
        )
        for mine, other in (ports, ports[::-1])
    ]


async def test_both_relays_are_posted_to_and_either_alone_is_enough(
    telegram: FakeTelegram, alertmanagers: AlertmanagerStarter, postgres_url: str, tmp_path: Path
) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    urls = start_pair(alertmanagers, addresses, tmp_path)
    relays = []
    async with AsyncExitStack() as parts:
        for number, address in enumerate(addresses):
            folder = tmp_path / f"relay-{number}"
            folder.mkdir()
            config = {
                "server": {"listen": address, "auth": {"bearer_token": TOKEN}},
                "database": {"url": postgres_url},
                "alertmanagers": [{"name": "main", "urls": urls, "poll": "1s", "settle": "0s"}],
                "telegram": {"bot_token": telegram.token, "api_url": telegram.url},
                "channels": {"chat": {"type": "telegram", "chat_id": CHAT}},
                "routes": [{"channels": ["chat"]}],
            }
            relay = RelayProcess(folder, config)
            parts.push_async_callback(relay.kill)
            await relay.start()
            relays.append(relay)
        for url in urls:
            await fire(url, ALERT)
        messages = telegram.chat(CHAT).messages
        await telegram.until(lambda: all("component=webhook" in relay.output for relay in relays))
        await telegram.until(lambda: any("event=sent" in relay.output for relay in relays))  # and not only on its way
        await relays[0].kill()
        for url in urls:
            await fire(url, ALERT, resolved=True)
        await telegram.until(lambda: messages[0].text.startswith("🟢"), within=90)
        assert len([one for one in messages if one.reply_to is None]) == 1
        assert "event=duplicate" in "".join(relay.output for relay in relays)
