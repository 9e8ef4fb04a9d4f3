"""`relay demo` as people start it: its address at once, the whole story, and nothing left behind after Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.demo.show import Plan, Show
from relay.demo.source import find_alertmanager
from relay.demo.story import ON_TRUNK, STORM, TRUNK
from tests.programs import ROOT, find

START_WITHIN, STOP_WITHIN = 10.0, 2.0  # a laptop needs a second for the first; the second is a promise


@asynccontextmanager
async def running(folder: Path, *options: str, path: str | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command with an empty HOME and a temporary folder of its own; killed if the test leaves it running."""
    environ = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "PATH": path or os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "demo", *options,
        cwd=ROOT, env=environ, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_line(process: asyncio.subprocess.Process, within: float = 90.0) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(within):
        return (await process.stdout.readline()).decode().strip()


def children(pid: int) -> list[str]:
    """The processes that this one started and that still run."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def runs(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def kernel_on(pid: str) -> dict[str, str]:
    """What the kernel says of a process; of one that is gone, nothing."""
    gone = {"Name": "", "State": ""}
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return gone
    return gone | {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def folders(parent: Path) -> list[Path]:
    return list(parent.glob("relay-demo-*"))


async def interrupt(
    process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGINT
) -> tuple[str, str, float]:
    """Ctrl-C; what the rest of stdout and stderr said, and how many seconds it took."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = await process.communicate()
    return out.decode(), err.decode(), time.monotonic() - began


async def test_the_address_comes_first_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    find("alertmanager", "prometheus-alertmanager", "alertmanager")
    async with running(tmp_path, "--no-story") as process:
        first = await read_line(process, START_WITHIN)
        assert first.startswith("The demo is at http://127.0.0.1:")
        assert "real Alertmanager" in await read_line(process)
        [alertmanager] = children(process.pid)
        async with aiohttp.ClientSession() as session, session.get(first.split()[-1]) as page:
            assert page.status == 200
        _, errors, seconds = await interrupt(process)
        assert (process.returncode, errors) == (0, "")
        assert seconds < STOP_WITHIN
        assert not runs(alertmanager)
        assert folders(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "its-terminal-is-closed"])
async def test_it_ends_as_well_while_it_starts(number: signal.Signals, tmp_path: Path) -> None:
    async with running(tmp_path) as process:
        await read_line(process, START_WITHIN)
        _, errors, seconds = await interrupt(process, number)
        assert (process.returncode, errors) == (0, "")
        assert seconds < STOP_WITHIN
        assert folders(tmp_path) == []


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_what_it_started_ends_with_it_even_when_it_is_killed(loop: str, tmp_path: Path) -> None:
    program = f"Program(['sleep', '60'], url='http://127.0.0.1:9', log=Path({str(tmp_path / 'log')!r}))"
    code = f"import {loop}; from pathlib import Path; from relay.demo.programs import Program; {loop}.run({program}.start())"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    try:
        async with asyncio.timeout(20):
            while not (started := children(process.pid)):  # noqa: ASYNC110  another process
                await asyncio.sleep(0.02)
            while kernel_on(started[0])["Name"] != "sleep":  # noqa: ASYNC110  the same
                await asyncio.sleep(0.02)
    finally:
        process.kill()
        await process.wait()
    async with asyncio.timeout(5):
        while kernel_on(started[0])["State"] not in ("Z (zombie)", ""):  # noqa: ASYNC110  the same
            await asyncio.sleep(0.02)


async def test_kept_files_are_a_config_that_check_accepts(tmp_path: Path) -> None:
    async with running(tmp_path, "--no-story", "--keep") as process:
        await read_line(process, START_WITHIN)
        await read_line(process)
        out, _, _ = await interrupt(process)
    [folder] = folders(tmp_path)
    assert f"Kept in {folder}" in out
    assert {"relay.db", "relay.yml"} <= {path.name for path in files(folder)}
    checked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "check", "--config", str(folder / "relay.yml"),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await checked.communicate()
    assert b"good: 3 channels" in said


async def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        async with running(tmp_path, "--port", str(port)) as process:
            out, errors = await process.communicate()
            assert process.returncode == 1
            assert f"127.0.0.1:{port}" in out.decode()
            assert "Traceback" not in errors.decode()


async def test_without_an_alertmanager_the_page_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, "--no-story", path=str(tmp_path)) as process:
        first = await read_line(process, START_WITHIN)
        assert "stand-in" in await read_line(process)
        status = await status_of(first.split()[-1])
        assert "stand-in" in status["alertmanager"]
        assert children(process.pid) == []


async def status_of(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/events") as events:
        async for line in events.content:
            if line.startswith(b"data:") and "items" in (news := json.loads(line[5:])):
                return news["items"]["status"]
    raise AssertionError("the page told nothing")


@asynccontextmanager
async def told(program: str | None) -> AsyncIterator[Show]:
    """A show whose story is over, told in a hurry."""
    show = Show(Plan(story=False, hurried=True, pace=0.05, program=program))
    try:
        await show.start()
        await show.open()
        await show.story.tell()
        yield show
    finally:
        await show.stop()


async def test_the_story_is_one_message_for_each_incident_and_one_for_a_storm_and_ends_well() -> None:
    find("alertmanager", "prometheus-alertmanager", "alertmanager")
    async with told(find_alertmanager()) as show:
        await assert_it_ended_well(show)


async def test_without_an_alertmanager_the_story_is_the_same_and_can_be_told_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with told(None) as show:
        await assert_it_ended_well(show)
        before = show.story
        show.play()
        assert show.story is not before
        await eventually(lambda: show.story.progress.step == show.story.progress.steps, within=90)
        assert "does not show it yet" not in caplog.text


async def assert_it_ended_well(show: Show) -> None:
    assert show.story.progress.step == show.story.progress.steps
    assert not show.story.progress.running
    bot = show.scene.telegram.bot
    messages = [one for one in show.scene.telegram.chat(-1001234567890).messages if one.sender is bot]
    living = [one for one in messages if one.reply_to is None]
    assert all(one.text.startswith("🟢") for one in living)
    first, *own, digest = living
    assert len(own) <= 9  # those that are told while the others come in
    assert any("CircuitBreakerOpen" in one.text and "severity: critical" in one.text for one in own)
    assert "The alert storm is over" in digest.text
    assert f"{1 + STORM} groups" in digest.text
    assert all(f"{number:03}/" in digest.text for number in range(1, STORM + 1))
    assert "HighResponseLatency" in first.edits[0].text or "HighResponseLatency" in first.text
    assert any("👤" in version.text and "anna" in version.text for version in first.edits)
    slack = show.scene.slack.channel("alerts")
    posts = [one for one in slack.messages if one.thread_ts is None]
    assert len(posts) <= 10
    assert any(f"{1 + STORM} groups" in one.text for one in posts)
    await eventually(lambda: all("🟢" in str(one.blocks) for one in posts))
    await eventually(lambda: len(mails(show, "voice-robot")) == 3)
    first_mail, second, last = mails(show, "voice-robot")
    assert "2 firing" in first_mail
    assert "Acked by anna" in second
    assert "All resolved" in last
    await eventually(lambda: "Resolved" in mails(show, "orders")[-1])
    [silence] = [one for one in messages if "Silence ended by anna" in one.text]
    assert f'{{trunk="{TRUNK}"}}' in silence.text
    assert any(f"hits {ON_TRUNK} firing alerts" in version.text for version in silence.edits)
    assert show.scene.telegram.calls("setWebhook") == []


async def test_alerts_of_ones_own_fire_and_resolve_in_the_language_that_was_asked_for() -> None:
    show = Show(Plan(story=False, hurried=True, program=None, language="ru"))
    try:
        await show.start()
        await show.open()
        await show.fire()
        chat = show.scene.telegram.chat(-1001234567890).messages
        await show.scene.telegram.until(lambda: chat)
        assert "AbnormalAPISpend" in chat[0].text
        assert "Сегодня API обходится в 2,3 раза дороже обычного" in chat[0].text
        toast = await show.scene.press(chat[0].id, "Взять")
        assert toast.text == "Взято вами: AbnormalAPISpend"
        await show.scene.telegram.until(lambda: "anna" in chat[0].text)
        await eventually(lambda: show.scene.mail.mailbox)
        assert "Колл-центр: неполадки billing-1" in show.scene.mail.mailbox[0].subject
        await show.resolve()
        await show.scene.telegram.until(lambda: chat[0].text.startswith("🟢"))
    finally:
        await show.stop()
    assert not show.folder.exists()


async def test_the_page_takes_orders_from_itself_alone() -> None:
    show = Show(Plan(story=False, hurried=True, program=None))
    try:
        await show.start()
        async with aiohttp.ClientSession() as session:
            async with session.get(show.page.url, headers={"Host": "rebound.example.org"}) as answer:
                assert answer.status == 403
            async with session.post(f"{show.page.url}/say", data={"text": "/help"}) as answer:
                assert answer.status == 415
            for body in ("[]", "{", '{"message": "x"}'):
                headers = {"Content-Type": "application/json"}
                async with session.post(f"{show.page.url}/press", data=body, headers=headers) as answer:
                    assert answer.status == 400
            async with session.post(f"{show.page.url}/press", json={"message": 99, "data": "x"}) as answer:
                assert (await answer.json())["text"] == "This button is gone."
            async with session.get(f"{show.page.url}/../../pyproject.toml") as answer:
                assert answer.status == 404
        assert show.scene.telegram.chat(-1001234567890).messages == []
    finally:
        await show.stop()
        shutil.rmtree(show.folder, ignore_errors=True)


def mails(show: Show, service: str) -> list[str]:
    return [one.text for one in show.scene.mail.mailbox if service in one.subject]


async def eventually(condition: Any, within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  what the stand-ins hold changes without a signal
            await asyncio.sleep(0.05)
