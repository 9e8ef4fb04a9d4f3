"""`relay check --online` against servers that answer, refuse and are not there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from relay.demo.alertmanager import FakeAlertmanager
from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.telegram import FakeTelegram
from tests.config_files import EXAMPLE

CHAT = -1001234567890
NOBODY = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Servers:
    telegram: FakeTelegram
    slack: FakeSlack
    mail: FakeMail
    alertmanager: FakeAlertmanager

    def config(self) -> dict[str, dict[str, object]]:
        return {
            "server": {"auth": {"bearer_token": "letmein"}},
            "telegram": {"bot_token": self.telegram.token, "api_url": self.telegram.url},
            "slack": {"bot_token": self.slack.token, "api_url": self.slack.url},
            "smtp": {"host": "127.0.0.1", "port": self.mail.port, "from": "a@example.org", "tls": "none"},
            "alertmanagers": [{"name": "main", "urls": [self.alertmanager.url]}],  # type: ignore[dict-item]
            "channels": {
                "chat": {"type": "telegram", "chat_id": CHAT},
                "team": {"type": "slack", "channel": "#alerts"},
                "mail": {"type": "email", "to": "ops@example.org"},
            },
            "routes": [{"channels": ["chat", "team", "mail"]}],  # type: ignore[dict-item]
        }


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    found = Servers(FakeTelegram(), FakeSlack(), FakeMail(), FakeAlertmanager())
    found.telegram.add_chat(CHAT)
    async with AsyncExitStack() as stack:
        for one in (found.telegram, found.slack, found.mail, found.alertmanager):
            await one.start()
            stack.push_async_callback(one.stop)
        yield found


async def check(folder: Path, config: object) -> tuple[int | None, dict[str, str], str]:
    """The exit code, the answers by who was asked, and all that was said."""
    path = folder / "relay.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "check", "--online", "--config", str(path),
        cwd=EXAMPLE.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    stdout, stderr = await process.communicate()
    answers = {}
    for line in stdout.decode().splitlines():
        who, _, answer = line.partition(": ")
        answers[" ".join(who.split()[:2])] = answer
    return process.returncode, answers, (stdout + stderr).decode()


async def test_everyone_who_is_well_has_a_line(tmp_path: Path, servers: Servers) -> None:
    code, answers, said = await check(tmp_path, servers.config())
    assert code == 0, said
    assert "On-call" in answers["channel chat"]
    assert {"channel chat", "channel team", "channel mail"} <= set(answers)
    assert answers["alertmanager main"].partition(": ")[0].startswith("version ")
    assert not servers.mail.mailbox  # asked, never written to


async def test_one_who_is_not_there_does_not_silence_the_others(tmp_path: Path, servers: Servers) -> None:
    config = servers.config()
    config["slack"] |= {"bot_token": "xoxb-marker-wrong-token"}
    config["channels"]["chat"] = {"type": "telegram", "chat_id": -7}
    config["alertmanagers"] = [{"name": "main", "urls": [servers.alertmanager.url]}, {"name": "eu", "urls": [NOBODY]}]  # type: ignore[assignment]
    code, answers, said = await check(tmp_path, config)
    assert code == 1
    assert "chat not found" in answers["channel chat"]
    assert "invalid_auth" in answers["channel team"]
    assert answers["alertmanager main"].startswith("version ")
    assert answers["alertmanager eu"]
    assert "version" not in answers["alertmanager eu"]
    assert "marker" not in said
    assert servers.telegram.token not in said


async def test_a_config_with_errors_asks_nobody(tmp_path: Path, servers: Servers) -> None:
    config: dict[str, object] = {**servers.config(), "routes": []}
    code, _, said = await check(tmp_path, config)
    assert code == 1
    assert "routes: at least one is required" in said
    assert not servers.telegram.journal
