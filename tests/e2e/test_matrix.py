"""The severity matrix with a real Alertmanager, and every recorded body through every channel's strict stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Rates
from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.e2e.test_faults import body
from tests.recorded import all_payloads
from tests.relay_process import TOKEN, RelayProcess, alertmanager_config, fire
from tests.servers import AlertmanagerStarter, free_port

QUICK = {"per_second": 50, "per_minute": 3000}
ENDLESS = Rates(post_burst=1e6, posts_per_second=1e6, update_burst=1e6, updates_per_second=1e6)
NAMES = ("chat", "team", "ops")


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    fake = FakeSlack(rates=ENDLESS)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def mail() -> AsyncIterator[FakeMail]:
    fake = FakeMail()
    await fake.start()
    yield fake
    await fake.stop()


def sections(slack: FakeSlack, mail: FakeMail, routes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "slack": {"bot_token": slack.token, "api_url": slack.url, "limits": QUICK},
        "smtp": {"host": mail.host, "port": mail.port, "from": "Alerts <alerts@example.org>", "tls": "none"},
        "channels": {
            "chat": {"type": "telegram", "chat_id": CHAT, "limits": QUICK},
            "team": {"type": "slack", "channel": "#alerts", "limits": QUICK},
            "ops": {"type": "email", "to": ["ops@example.org"], "limits": QUICK},
        },
        "routes": routes,
    }


async def rest(relay: RelayProcess) -> None:
    for name in NAMES:
        await relay.until_channel(lambda found: found["pending"] == 0, name)


async def test_each_severity_reaches_exactly_its_channels(
    telegram: FakeTelegram, slack: FakeSlack, mail: FakeMail, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    routes: list[dict[str, Any]] = [
        {"matchers": ['severity="critical"'], "channels": ["chat", "team", "ops"]},
        {"matchers": ['severity="warning"'], "channels": ["chat", "team"]},
        {"channels": ["chat"], "silent": True},
    ]
    address = f"127.0.0.1:{free_port()}"
    url = start_alertmanager(alertmanager_config(f"http://{address}"))
    server = {"listen": address, "auth": {"bearer_token": TOKEN}}
    relay = await start_relay(server=server, **sections(slack, mail, routes))
    await fire(url, *({"alertname": f"Is{name}", "severity": name.lower()} for name in ("Critical", "Warning", "Info")))
    await telegram.until(lambda: len(telegram.chat(CHAT).messages) == 3)
    await rest(relay)
    by_name = {
        name: message
        for message in telegram.chat(CHAT).messages
        for name in ("IsCritical", "IsWarning", "IsInfo")
        if name in message.text
    }
    assert {name: message.silent for name, message in by_name.items()} == {
        "IsCritical": False,
        "IsWarning": False,
        "IsInfo": True,
    }
    posted = json.dumps([message.shown for message in slack.channel("alerts").main], default=str)
    assert [name in posted for name in by_name] == [name != "IsInfo" for name in by_name]
    assert len(mail.mailbox) == 1
    assert "IsCritical" in str(mail.mailbox[0])


async def test_every_recorded_body_is_taken_by_every_channel(
    telegram: FakeTelegram, slack: FakeSlack, mail: FakeMail, start_relay: Any
) -> None:
    relay = await start_relay(**sections(slack, mail, [{"channels": list(NAMES)}]))
    for recorded in all_payloads():
        status, answer = await relay.post(recorded.body)
        assert status == 200, f"{recorded}: {answer}"
    health = (await relay.get("/health"))[1]["channels"]
    assert {name: (health[name]["dead"], health[name]["last_error"]) for name in NAMES} == dict.fromkeys(
        NAMES, (0, None)
    )
    assert "event=retried" not in relay.output
    assert mail.mailbox
    assert slack.channel("alerts").main


async def test_a_channel_that_hangs_leaves_the_others_alone(
    telegram: FakeTelegram, slack: FakeSlack, mail: FakeMail, start_relay: Any
) -> None:
    relay = await start_relay(**sections(slack, mail, [{"channels": list(NAMES)}]))
    await relay.post(body(1))
    await rest(relay)  # every library is imported, every connection was made once
    mails, posts = len(mail.mailbox), len(slack.channel("alerts").main)
    telegram.fail_next("sendMessage", hang=25)
    async with asyncio.timeout(2):
        await relay.post(body(2))
        while len(mail.mailbox) == mails or len(slack.channel("alerts").main) == posts:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.02)
    assert len(telegram.chat(CHAT).messages) == 1
