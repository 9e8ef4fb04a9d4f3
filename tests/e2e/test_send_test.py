"""`relay send-test`: one line for each channel, the reason of each failure, and nothing left firing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.telegram import FakeTelegram
from tests.programs import ROOT
from tests.relay_process import TOKEN, RelayProcess
from tests.servers import free_port

CHAT = -1001234567890
QUICK = {"per_second": 50, "per_minute": 3000}


class Desk:
    """The three platforms, a config that names them, and the command run on it."""

    def __init__(self, folder: Path, telegram: FakeTelegram, slack: FakeSlack, mail: FakeMail) -> None:
        self.folder = folder
        self.telegram = telegram
        self.slack = slack
        self.mail = mail
        self.config: dict[str, Any] = {
            "server": {"listen": f"127.0.0.1:{free_port()}", "auth": {"bearer_token": TOKEN}},
            "database": {"url": f"sqlite:///{folder / 'relay.db'}"},
            "telegram": {"bot_token": telegram.token, "api_url": telegram.url},
            "slack": {"bot_token": slack.token, "api_url": slack.url},
            "smtp": {"host": mail.host, "port": mail.port, "from": "Alerts <alerts@example.org>", "tls": "none"},
            "channels": {
                "chat": {"type": "telegram", "chat_id": CHAT, "limits": QUICK},
                "team": {"type": "slack", "channel": "#alerts", "limits": QUICK},
                "ops": {"type": "email", "to": ["ops@example.org"], "limits": QUICK},
            },
            "routes": [
                {"matchers": ['severity="critical"'], "channels": ["chat", "team", "ops"]},
                {"matchers": ['severity="warning"'], "channels": ["chat", "team"]},
            ],
        }

    async def serve(self) -> RelayProcess:
        relay = RelayProcess(self.folder, self.config)
        await relay.start()
        return relay

    async def run(self, *options: str, token: str = TOKEN) -> tuple[int, list[str], str]:
        """The exit code, the lines of stdout, and stderr."""
        server = {**self.config["server"], "auth": {"bearer_token": token}}
        path = self.folder / "sender.yml"
        path.write_text(yaml.safe_dump({**self.config, "server": server}, sort_keys=False))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay", "send-test", "--config", str(path), *options,
            cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        assert "Traceback" not in err.decode()
        return process.returncode, out.decode().splitlines(), err.decode()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    slack, mail = FakeSlack(), FakeMail()
    async with FakeTelegram(limits=False) as telegram:
        telegram.add_chat(CHAT)
        await slack.start()
        await mail.start()
        yield Desk(tmp_path, telegram, slack, mail)
        await mail.stop()
        await slack.stop()


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[Desk]:
    """With a relay that runs on the same config."""
    relay = await desk.serve()
    await desk.telegram.until(lambda: desk.telegram.updates.polled, within=60)
    yield desk
    assert await relay.stop() == 0


async def test_each_channel_of_the_running_relay_gets_a_marked_alert_that_ends(served: Desk) -> None:
    code, lines, errors = await served.run()
    assert (code, errors) == (0, "")
    assert sorted(line.split(" within ")[0] for line in lines) == [
        "chat (telegram): delivered",
        "ops (email): delivered",
        "resolved again",
        "team (slack): delivered",
    ]
    [message, *_] = served.telegram.chat(CHAT).messages
    assert "This is a test" in message.text
    assert message.text.startswith("🟢")
    assert "This is a test" in served.mail.mailbox[0].text
    assert "This is a test" in served.slack.channel("alerts").messages[0].shown


async def test_a_channel_that_refuses_fails_with_the_reason_and_the_others_do_not(served: Desk) -> None:
    served.slack.script.refuse("channel_not_found", method="chat.postMessage", times=None)
    code, lines, _ = await served.run()
    assert code == 1
    said = {line.partition(" ")[0]: line for line in lines}
    assert "delivered within" in said["chat"]
    assert "failed: not_found" in said["team"]
    assert "delivered within" in said["ops"]


async def test_one_that_does_not_answer_in_time_is_said_with_what_is_known(served: Desk) -> None:
    await served.mail.stop()
    code, lines, _ = await served.run("--timeout", "4", "--channel", "ops")
    assert code == 1
    assert lines[0].startswith("ops (email): not delivered in time: connection: ")


async def test_a_named_channel_is_waited_for_alone(served: Desk) -> None:
    served.slack.script.refuse("fatal_error", method="chat.postMessage", times=None)
    code, lines, errors = await served.run("--channel", "ops")
    assert (code, errors) == (0, "")
    assert lines[0].startswith("ops (email): delivered within")


async def test_a_channel_where_no_route_leads_is_said_before_anything_is_sent(served: Desk) -> None:
    code, lines, errors = await served.run("--channel", "ops", "--severity", "warning")
    assert (code, lines) == (1, [])
    assert "the routes do not bring" in errors
    assert "chat, team" in errors
    code, _, errors = await served.run("--severity", "info")
    assert (code, "no route" in errors) == (1, True)
    code, _, errors = await served.run("--channel", "pager")
    assert (code, "known: chat, team, ops" in errors) == (1, True)
    assert served.telegram.chat(CHAT).messages == []


async def test_a_wrong_token_is_said_as_such(served: Desk) -> None:
    code, lines, errors = await served.run(token="another-token")
    assert (code, lines) == (1, [])
    assert "401" in errors
    assert "credentials" in errors
    assert "another-token" not in errors


async def test_twice_is_two_incidents(served: Desk) -> None:
    for _ in range(2):
        code, _, _ = await served.run("--channel", "chat", "--severity", "warning")
        assert code == 0
    assert len([one for one in served.telegram.chat(CHAT).messages if one.reply_to is None]) == 2


async def test_without_a_running_relay_one_is_started_for_the_test(desk: Desk) -> None:
    code, lines, errors = await desk.run()
    assert (code, errors) == (0, "")
    assert lines[0].startswith("nothing answers at 127.0.0.1:")
    assert len([line for line in lines if "delivered within" in line]) == 3
    assert desk.telegram.chat(CHAT).messages[0].text.startswith("🟢")


async def test_something_else_that_listens_there_is_no_relay(desk: Desk) -> None:
    host, _, port = desk.config["server"]["listen"].partition(":")

    async def teapot(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(teapot, host, int(port)):
        code, lines, errors = await desk.run()
    assert (code, lines) == (1, [])
    assert "404" in errors


async def test_whether_posts_arrived_is_told_to_posters_alone(desk: Desk) -> None:
    relay = await desk.serve()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{relay.url}/api/posts?group=gaaaaa") as answer:
            assert answer.status == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.get(f"{relay.url}/api/posts", headers=headers) as answer:
            assert answer.status == 400
        async with session.get(f"{relay.url}/api/posts?group=gaaaaa", headers=headers) as answer:
            assert await answer.json() == {"group": "gaaaaa", "posts": []}
    await relay.stop()
