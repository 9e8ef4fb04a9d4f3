"""A database that cannot be written: full, read-only, locked. Webhooks get 503, nothing shown is forgotten, and it heals.

The kernel's limit on the size of files stands for the disk: every write beyond it fails in the running relay, for root as
for anybody else, and lifting it is the repair.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT, only_http, until
from tests.e2e.test_faults import body, names
from tests.fakes.gateway import Answer, FakeGateway
from tests.relay_process import RelayProcess


@contextmanager
def no_file_beyond(size: int, pid: int) -> Iterator[None]:
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


async def post_until_refused(relay: RelayProcess, first: int) -> int:
    """Posts alerts until one is not taken; its number. All before it were answered 200."""
    for number in range(first, first + 500):
        status, _ = await relay.post(body(number))
        if status != 200:
            assert status == 503
            return number
    raise AssertionError("it never filled up")


@pytest.mark.expects_errors
async def test_a_full_disk_answers_503_says_so_and_heals(
    telegram: FakeTelegram, start_relay: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    relay = await start_relay(database={"url": f"sqlite:///{store / 'relay.db'}"})
    assert (await relay.post(body(0)))[0] == 200
    await telegram.until(lambda: "Alert0" in names(telegram, "🟡"))
    taken = max(path.stat().st_size for path in store.iterdir())
    with no_file_beyond(taken + 100_000, relay.pid):
        refused = await post_until_refused(relay, 1)
    assert f"event=unavailable alertmanager=default reason={store / 'relay.db'}: " in relay.output.replace('"', "")
    with no_file_beyond(0, relay.pid):
        assert (await relay.post(body(refused)))[0] == 503
        status, why = await relay.get("/-/ready")
        assert (status, "cannot commit" in why) == (503, True)
        assert (await relay.get("/-/healthy"))[0] == 200
        assert (await relay.get("/health"))[0] == 200
    assert (await relay.post(body(refused)))[0] == 200
    await relay.until_channel(lambda chat: chat["pending"] == 0)
    shown = [message.text for message in telegram.chat(CHAT).messages]
    for number in range(refused + 1):
        assert sum(f"Alert{number} " in text.replace("\n", " ") for text in shown) == 1, number


async def test_an_outcome_that_cannot_be_written_down_is_written_later_and_nothing_is_sent_twice(
    gateway: FakeGateway, start_relay: Any, tmp_path: Path
) -> None:
    """As on a file system that turns read-only while a call is in hand."""
    relay = await start_relay(**only_http(gateway), database={"url": f"sqlite:///{tmp_path / 'relay.db'}"})
    answered = asyncio.Event()
    gateway.script.append(Answer(gate=answered))
    assert (await relay.post(body(0)))[0] == 200
    await until(lambda: gateway.journal)
    log, written = len(relay.output), (tmp_path / "relay.db-wal").stat().st_size
    with no_file_beyond(min(log + 10_000, written), relay.pid):  # the log goes on, the database does not
        answered.set()
        await until(lambda: "outcome not recorded yet" in relay.output)
    await relay.until_channel(lambda hook: hook["pending"] == 0, "hook")
    assert len(gateway.journal) == 1


@pytest.mark.expects_errors
async def test_a_locked_database_answers_503_and_goes_on_when_it_is_let_go(
    telegram: FakeTelegram, start_relay: Any, tmp_path: Path
) -> None:
    file = tmp_path / "relay.db"
    relay = await start_relay(database={"url": f"sqlite:///{file}"})
    other = sqlite3.connect(file, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert (await relay.post(body(0)))[0] == 503
        assert "database is locked" in relay.output
        other.execute("ROLLBACK")
        assert (await relay.post(body(0)))[0] == 200
        await telegram.until(lambda: names(telegram, "🟡") == {"Alert0"})
    finally:
        other.close()
