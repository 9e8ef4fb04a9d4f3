"""The relay's own process when a bot is kicked, a watchdog falls silent, or nothing can be sent any more."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.demo.slack import FakeSlack
from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.programs import ROOT
from tests.relay_process import TOKEN, RelayProcess, alertmanager_config, fire, silence
from tests.servers import AlertmanagerStarter, free_port
from tests.state import wire_alert

QUICK = {"per_second": 50, "per_minute": 3000}


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    fake = FakeSlack()
    await fake.start()
    yield fake
    await fake.stop()


def body(name: str, **labels: Any) -> bytes:
    alert = wire_alert(name, **labels)
    message = {
        "version": "4", "receiver": "relay", "status": "firing", "groupKey": name, "groupLabels": {"alertname": name},
        "externalURL": "http://am.example.org", "alerts": [alert],
    }  # fmt: skip
    return json.dumps(message).encode()


def shown(slack: FakeSlack) -> list[str]:
    """The messages of the Slack channel, newest state."""
    return [message.shown for message in slack.channel("alerts").messages]


async def deliveries(folder: Path, *words: str) -> Any:
    """What `relay deliveries … --json` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "deliveries", *words, "--json", "--config", str(folder / "relay.yml"),
        cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return json.loads(out)


async def kicked(telegram: FakeTelegram, start_relay: Any, slack: FakeSlack) -> RelayProcess:
    """A relay whose chat has thrown the bot out, with Slack to stand in."""
    telegram.chat(CHAT).bot_status = "kicked"
    relay: RelayProcess = await start_relay(
        server={"listen": f"127.0.0.1:{free_port()}", "auth": {"bearer_token": TOKEN}},
        slack={"bot_token": slack.token, "api_url": slack.url},
        channels={
            "oncall-chat": {"type": "telegram", "chat_id": CHAT, "limits": QUICK, "fallback": "team-slack"},
            "team-slack": {"type": "slack", "channel": "#alerts", "limits": QUICK},
        },
        routes=[{"channels": ["oncall-chat"]}],
    )
    return relay


async def test_a_kicked_bot_is_told_on_slack_which_stands_in_until_a_retry_brings_everything_back(
    telegram: FakeTelegram, slack: FakeSlack, start_relay: Any, tmp_path: Path
) -> None:
    relay = await kicked(telegram, start_relay, slack)
    await relay.post(body("DiskFull", summary="Disk of db-1 is full"))
    await relay.post(body("Slow", severity="warning", summary="It is slow"))
    await telegram.until(lambda: len(shown(slack)) == 2)
    told, stood_in = sorted(shown(slack), key=lambda text: "DiskFull" in text)
    assert "oncall-chat refuses since" in told
    assert "bot was kicked from the supergroup chat" in told
    assert "Disk of db-1 is full" in stood_in
    assert "Shown here because oncall-chat does not deliver." in stood_in
    chat = (await relay.get("/health"))[1]["channels"]["oncall-chat"]
    assert (chat["pending"], chat["paused_since"] is not None) == (2, True)
    assert 'relay_channel_paused{channel="oncall-chat"} 1.0' in (await relay.get("/metrics"))[1]
    waiting = await deliveries(tmp_path / "relay-0", "list", "--state", "pending")
    assert {(one["channel"], one["state"], one["reason"]) for one in waiting} == {
        ("oncall-chat", "pending", "forbidden")
    }

    telegram.chat(CHAT).bot_status = "member"  # the next probe is five minutes away, unless somebody asks for it
    await deliveries(tmp_path / "relay-0", "retry", waiting[0]["id"])
    await telegram.until(lambda: len(telegram.chat(CHAT).messages) == 2)
    await telegram.until(lambda: any("refuses since" in text and "Resolved" in text for text in shown(slack)))
    assert await deliveries(tmp_path / "relay-0", "list") == []


async def test_what_is_discarded_never_arrives_and_a_restart_tells_nothing_twice(
    telegram: FakeTelegram, slack: FakeSlack, start_relay: Any, tmp_path: Path
) -> None:
    relay = await kicked(telegram, start_relay, slack)
    await relay.post(body("Slow", severity="warning", summary="It is slow"))
    await telegram.until(lambda: len(shown(slack)) == 1)
    await relay.until_channel(lambda team: team["pending"] == 0, "team-slack")
    await relay.kill()
    [waiting] = await deliveries(tmp_path / "relay-0", "list")
    telegram.journal.clear()
    await relay.start()
    await telegram.until(lambda: telegram.calls("sendMessage"))  # the start's own probe
    [same] = await deliveries(tmp_path / "relay-0", "discard", waiting["id"])
    assert same["id"] == waiting["id"]
    assert await deliveries(tmp_path / "relay-0", "list") == []
    assert len(shown(slack)) == 1
    telegram.chat(CHAT).bot_status = "member"
    await relay.post(body("Another", severity="warning"))
    [another] = await deliveries(tmp_path / "relay-0", "list")
    await deliveries(tmp_path / "relay-0", "retry", another["id"])
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    assert ["Slow" in message.text for message in telegram.chat(CHAT).messages] == [False]


async def test_a_silent_watchdog_is_told_and_its_return_too(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = alertmanager_config(f"http://{address}", interval="1s").replace(
        "repeat_interval: 1h", "repeat_interval: 1s"
    )
    url = start_alertmanager(config)
    watchdog = {"matchers": ['alertname="Watchdog"'], "timeout": "8s", "channels": ["chat"]}
    await start_relay(
        server={"listen": address, "auth": {"bearer_token": TOKEN}},
        alertmanagers=[{"name": "main", "urls": [url], "poll": "1s", "watchdog": watchdog}],
    )
    await fire(url, {"alertname": "Watchdog", "severity": "none"})
    await asyncio.sleep(12)  # longer than the timeout: the beats keep it quiet
    assert telegram.chat(CHAT).messages == []
    await silence(url, alertname="Watchdog")
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    [message] = telegram.chat(CHAT).messages
    assert "No watchdog from Alertmanager main" in message.text
    await end_silences(url)
    await telegram.until(lambda: message.text.startswith("🟢"))
    assert all("No watchdog" in message.text or "resolved" in message.text for message in telegram.chat(CHAT).messages)


async def end_silences(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/v2/silences") as answer:
            found = await answer.json()
        for one in found:
            async with session.delete(f"{url}/api/v2/silence/{one['id']}") as answer:
                assert answer.status == 200


async def test_the_heartbeat_stops_while_the_only_channel_is_down(telegram: FakeTelegram, start_relay: Any) -> None:
    beats: list[str] = []

    async def beat(request: web.Request) -> web.Response:
        beats.append(request.path)
        return web.Response()

    application = web.Application()
    application.router.add_get("/ping/{secret}", beat)
    async with TestServer(application) as switch:
        heartbeat = {"url": str(switch.make_url("/ping/marker-secret")), "every": "1s"}
        relay = await start_relay(heartbeat=heartbeat)
        await telegram.until(lambda: len(beats) >= 2)
        telegram.down()
        await relay.post(body("DiskFull"))
        await relay.until_channel(lambda chat: chat["paused_since"] is not None)
        await telegram.until(lambda: "heartbeat withheld" in relay.output)
        before = len(beats)
        await asyncio.sleep(3)
        assert len(beats) == before
        telegram.up()
        await telegram.until(lambda: len(beats) > before)
        assert "marker-secret" not in relay.output
