"""`make stack` as a process: it says where everything is, plays incidents, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from relay.demo.mail import FakeMail
from relay.demo.programs import free_port
from relay.demo.stack.plan import Ports
from relay.demo.stack.shipped import NEEDED
from tests.programs import ROOT, find

START_WITHIN = 90.0
STOP_WITHIN = 15.0


@pytest.fixture(autouse=True)
def programs() -> None:
    find("prometheus", "prometheus")
    find("alertmanager", "prometheus-alertmanager", "alertmanager")


@contextlib.asynccontextmanager
async def running(folder: Path, *arguments: str, cwd: Path = ROOT) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay.demo.stack", *arguments, cwd=cwd, env=environ,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.communicate()


async def welcomed(process: asyncio.subprocess.Process) -> dict[str, str]:
    """The addresses that it told."""
    assert process.stdout is not None
    urls = {}
    async with asyncio.timeout(START_WITHIN):
        while (line := (await process.stdout.readline()).decode()) and not line.startswith("Ctrl-C"):
            words = line.split()
            if len(words) > 1 and words[1].startswith("http://"):
                urls[words[0]] = words[1]
    return urls


def started_by(pid: int) -> list[int]:
    listed = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text()
    return [int(child) for child in listed.split()]


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def page_items(url: str) -> Mapping[str, Mapping[str, Any]]:
    """What the page shows now."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/events") as events:
        async for line in events.content:
            said = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
            if "items" in said:
                items: Mapping[str, Mapping[str, Any]] = said["items"]
                return items
    raise AssertionError("the page ended")


async def story_until(url: str, word: str) -> str:
    async with asyncio.timeout(120):
        while word not in (text := str((await page_items(url))["status"]["story"]["text"])):  # noqa: ASYNC110  another process
            await asyncio.sleep(0.5)
    return text


@pytest.mark.timeout(280)
async def test_it_tells_its_addresses_plays_an_incident_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path, "--free-ports", "--play", "bgw/DatabaseIssues") as process:
        urls = await welcomed(process)
        assert set(urls) == {"page", "prometheus", "alertmanager", "relay", "players"}
        programs = started_by(process.pid)
        assert len(programs) == 2
        assert await story_until(urls["page"], "is over") == "bgw/DatabaseIssues is over."
        items = (await page_items(urls["page"])).values()
        chat = [item["text"] for item in items if item.get("pane") == "telegram"]
        assert any("🟢" in text and "DatabaseIssues" in text and "bgw" in text for text in chat)
        assert any(item.get("pane") == "mail" and "DatabaseIssues" in item["subject"] for item in items)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_WITHIN):
            _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    assert not any((Path("/proc") / str(pid)).exists() for pid in programs)
    assert files(tmp_path) == []


@pytest.mark.timeout(280)
async def test_a_config_of_ones_own_gets_the_alerts_of_the_players(tmp_path: Path) -> None:
    mail = FakeMail()
    await mail.start()
    config = {
        "server": {"ops_listen": "127.0.0.1:0", "auth": {"bearer_token": "token-of-my-own"}},
        "database": {"url": f"sqlite:///{tmp_path}/own.db"},
        "alertmanagers": [{"name": "mine", "urls": ["http://alertmanager:9093"]}],
        "smtp": {"host": mail.host, "port": mail.port, "from": "relay@example.org", "tls": "none"},
        "channels": {"mail": {"type": "email", "to": ["ops@example.org"]}},
        "routes": [{"channels": ["mail"]}],
    }
    (tmp_path / "relay.yml").write_text(yaml.safe_dump(config))
    try:
        async with running(tmp_path, "--free-ports", "--config", str(tmp_path / "relay.yml")) as process:
            urls = await welcomed(process)
            assert "page" not in urls
            async with aiohttp.ClientSession() as session:
                switch = f"{urls['players']}/incident/callcenter/CircuitBreakerOpen"
                (await session.post(switch)).close()
            async with asyncio.timeout(90):
                while not any("CircuitBreakerOpen" in one.subject for one in mail.mailbox):  # noqa: ASYNC110  from another process
                    await asyncio.sleep(0.2)
    finally:
        await mail.stop()


async def test_a_config_without_a_token_for_webhooks_is_told(tmp_path: Path) -> None:
    config = {
        "server": {"auth": {"basic": {"username": "alertmanager", "password": "secret"}}},
        "smtp": {"host": "127.0.0.1", "port": 9, "from": "relay@example.org", "tls": "none"},
        "channels": {"mail": {"type": "email", "to": ["ops@example.org"]}},
        "routes": [{"channels": ["mail"]}],
    }
    (tmp_path / "relay.yml").write_text(yaml.safe_dump(config))
    async with running(tmp_path, "--free-ports", "--config", str(tmp_path / "relay.yml")) as process:
        code, errors = await told(process)
    assert code == 1
    assert errors == "server.auth has no bearer_token, which the Alertmanager of this stack posts with\n"


async def told(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(START_WITHIN):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_a_port_that_is_taken_is_named_and_nothing_starts(tmp_path: Path) -> None:
    port = Ports().prometheus
    with socket.socket() as listening:
        with contextlib.suppress(OSError):  # somebody else's is as good
            listening.bind(("127.0.0.1", port))
            listening.listen()
        async with running(tmp_path) as process:
            code, errors = await told(process)
    assert code == 1
    assert f"port {port} of 127.0.0.1, for Prometheus, is taken\n" in errors
    assert "Traceback" not in errors
    assert files(tmp_path) == []


async def test_somewhere_else_than_in_a_checkout_it_says_what_is_missing(tmp_path: Path) -> None:
    async with running(tmp_path, "--free-ports", cwd=tmp_path) as process:
        code, errors = await told(process)
    assert code == 1
    assert [line.split()[0] for line in errors.splitlines()][: len(NEEDED)] == list(NEEDED)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--play", "bgw/APIDown"], "there is no incident 'bgw/APIDown'"),
        (["--play", "bgw/NoAgentRuns", "--config", "relay.yml"], "--play needs the stand-ins"),
        (["--config", "nowhere.yml"], "nowhere.yml: cannot be read"),
    ],
)
async def test_a_mistake_is_told_in_a_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    async with running(tmp_path, "--free-ports", *arguments) as process:
        code, errors = await told(process)
    assert code == 1
    assert said in errors
    assert "Traceback" not in errors


def test_every_port_of_the_stack_is_looked_at() -> None:
    ports = Ports(page=free_port(), relay=free_port(), prometheus=free_port(), alertmanager=free_port(), players=20000)
    wanted = [ports.page, ports.relay, ports.prometheus, ports.alertmanager, *range(20000, 20006)]
    for port in wanted:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", port))
            listening.listen()
            assert any(f"port {port} of" in one for one in ports.taken())
