"""No secret ever: every one is a marker, everything fails that can, and all that the relay says is searched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.e2e.test_faults import body
from tests.forked import ForkedProcess
from tests.servers import free_port

MARK = "Zm9vYmFy"


async def said_by_check(config: Path) -> str:
    log = config.with_name("check.log")
    process = ForkedProcess(["check", "--online", "--config", str(config)], os.environ, log)
    await process.start()
    await process.wait()
    said = log.read_text()
    assert said
    return said


@pytest.mark.expects_errors
@pytest.mark.parametrize("status", [None, 401, 404, 502])
async def test_no_secret_is_in_any_log_page_or_metric(
    telegram: FakeTelegram, start_relay: Any, tmp_path: Path, status: int | None
) -> None:
    if status is None:
        telegram.down()
    else:
        telegram.fail_next(status=status, times=1000)
    nobody = f"http://127.0.0.1:{free_port()}"
    relay = await start_relay(
        server={
            "listen": "127.0.0.1:0",
            "auth": {"bearer_token": f"{MARK}-hook", "basic": {"username": "am", "password": f"{MARK}-basic"}},
        },
        alertmanagers=[{"name": "main", "urls": [nobody], "poll": "1s", "auth": {"bearer_token": f"{MARK}-am"}}],
        telegram={"bot_token": f"123:{MARK}-bot", "api_url": telegram.url},
        slack={"bot_token": f"xoxb-{MARK}", "api_url": f"{nobody}/api/"},
        smtp={"host": "127.0.0.1", "port": free_port(), "username": "u", "password": f"{MARK}-mail", "from": "a@b.org"},
        channels={
            "chat": {"type": "telegram", "chat_id": CHAT},
            "slack": {"type": "slack", "channel": "#alerts"},
            "hook": {"type": "slack", "webhook_url": f"{nobody}/services/{MARK}"},
            "mail": {"type": "email", "to": ["ops@example.org"]},
            "sms": {"type": "http", "url": f"{nobody}/send?key={MARK}", "headers": {"X-Key": f"{MARK}-key"}},
        },
        routes=[{"channels": ["chat", "slack", "hook", "mail", "sms"]}],
    )
    assert (await relay.post(body(1), token=f"{MARK}-wrong"))[0] == 401
    assert (await relay.post(body(1), token=f"{MARK}-hook"))[0] == 200
    for channel in ("chat", "slack", "hook", "mail", "sms"):
        await relay.until_channel(lambda found: found["last_error"] is not None, channel)
    pages = [str((await relay.get(path))[1]) for path in ("/health", "/metrics", "/-/ready")]
    checked = await said_by_check(tmp_path / "relay-0" / "relay.yml")
    await relay.stop()
    for said in (relay.output, checked, *pages):
        assert MARK not in said
