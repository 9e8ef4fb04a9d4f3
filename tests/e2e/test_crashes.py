"""SIGKILL at every step of a webhook's way to a destination, and at random: nothing is lost, one call in hand may double.

Nothing in the relay helps: the relay is caught at a step by what is around it. A foreign lock on the database holds it
before a COMMIT or before it writes an outcome down, half a body holds it while it reads, a destination that does not
answer holds it in a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.kills import kill_often
from tests.e2e.conftest import only_http, until
from tests.e2e.test_faults import body
from tests.fakes.gateway import Answer, FakeGateway
from tests.relay_process import TOKEN, RelayProcess


@dataclass(frozen=True, slots=True)
class Scene:
    """A relay, its one destination, and its database."""

    relay: RelayProcess
    gateway: FakeGateway
    file: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can commit meanwhile."""
        other = sqlite3.connect(self.file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()

    def committed(self) -> bool:
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as reader:
            return bool(reader.execute("SELECT count(*) FROM incidents").fetchone()[0])


@asynccontextmanager
async def posting(scene: Scene) -> AsyncIterator[None]:
    """A webhook whose answer nobody will ever read."""
    task = asyncio.create_task(scene.relay.post(body(0)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def reading_the_body(scene: Scene) -> AsyncIterator[None]:
    host, _, port = scene.relay.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = body(0)
    head = f"POST /webhook HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\n"
    writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode())
    assert b"100" in await reader.readline()  # it has begun to read
    writer.write(sent[: len(sent) // 2])
    await writer.drain()
    yield
    writer.close()


@asynccontextmanager
async def before_the_commit(scene: Scene) -> AsyncIterator[None]:
    with scene.locked():
        async with posting(scene):
            assert (await scene.relay.get("/-/healthy"))[0] == 200  # it came after the webhook
            yield
        assert not scene.committed()


@asynccontextmanager
async def after_the_commit_before_the_answer_is_read(scene: Scene) -> AsyncIterator[None]:
    scene.gateway.script.append(Answer(gate=asyncio.Event()))
    async with posting(scene):
        await until(scene.committed)
        yield
    scene.gateway.script.clear()


@asynccontextmanager
async def after_the_answer_before_the_first_call(scene: Scene) -> AsyncIterator[None]:
    await scene.gateway.stop()
    assert (await scene.relay.post(body(0)))[0] == 200
    yield
    await scene.gateway.start()


@asynccontextmanager
async def waiting_for_the_limit(scene: Scene) -> AsyncIterator[None]:
    """Planned, and not yet sent: another message has used up the second."""
    assert (await scene.relay.post(body(1)))[0] == 200
    await until(lambda: scene.gateway.journal)
    assert (await scene.relay.post(body(0)))[0] == 200
    yield
    scene.gateway.journal.clear()


@asynccontextmanager
async def in_the_call(scene: Scene) -> AsyncIterator[None]:
    scene.gateway.script.append(Answer(gate=asyncio.Event()))
    assert (await scene.relay.post(body(0)))[0] == 200
    await until(lambda: scene.gateway.journal)
    yield


@asynccontextmanager
async def after_the_call_before_its_outcome_is_written(scene: Scene) -> AsyncIterator[None]:
    answer = asyncio.Event()
    scene.gateway.script.append(Answer(gate=answer))
    assert (await scene.relay.post(body(0)))[0] == 200
    await until(lambda: scene.gateway.journal)
    with scene.locked():
        answer.set()
        assert (await scene.relay.get("/-/healthy"))[0] == 200
        yield


@asynccontextmanager
async def after_the_outcome_is_written(scene: Scene) -> AsyncIterator[None]:
    assert (await scene.relay.post(body(0)))[0] == 200
    await until(lambda: scene.gateway.journal)
    await scene.relay.until_channel(lambda hook: hook["pending"] == 0, "hook")
    yield


Step = Callable[[Scene], AbstractAsyncContextManager[None]]
UNANSWERED = (reading_the_body, before_the_commit, after_the_commit_before_the_answer_is_read)
"""Alertmanager saw no 200 and comes again."""
DOUBLING = (after_the_commit_before_the_answer_is_read, in_the_call, after_the_call_before_its_outcome_is_written)
"""A call may have been in hand: the duplicate window."""
STEPS = (
    *UNANSWERED,
    after_the_answer_before_the_first_call,
    waiting_for_the_limit,
    *DOUBLING[1:],
    after_the_outcome_is_written,
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
async def test_a_kill_at_any_step_loses_nothing_and_doubles_only_the_call_in_hand(
    gateway: FakeGateway, start_relay: Any, tmp_path: Path, step: Step
) -> None:
    file = tmp_path / "relay.db"
    sections = only_http(gateway)
    sections["channels"]["hook"]["limits"]["per_second"] = 1
    relay = await start_relay(**sections, database={"url": f"sqlite:///{file}"})
    async with step(Scene(relay, gateway, file)):
        await relay.kill()
    await relay.start()
    if step in UNANSWERED:
        assert (await relay.post(body(0)))[0] == 200
    await until(lambda: statuses(gateway))
    await relay.until_channel(lambda hook: hook["pending"] == 0, "hook")
    assert (await relay.post(body(0, firing=False)))[0] == 200
    await until(lambda: statuses(gateway)[-1] == "resolved")
    told = [request.headers["idempotency-key"] for request in gateway.journal]
    assert len(told) - len(set(told)) <= (step in DOUBLING), "the same message came twice"
    assert sorted(set(statuses(gateway))) == ["firing", "resolved"]
    assert len(set(told)) == 2, "more messages than changes"


def statuses(gateway: FakeGateway) -> list[str]:
    return [request.json["status"] for request in gateway.journal]


async def test_random_kills_under_load_lose_nothing_and_double_at_most_the_calls_in_hand(tmp_path: Path) -> None:
    found = await kill_often(tmp_path, kills=5, seed=1)
    assert found.lost == []
    assert found.older == 0
    assert max(found.doubled) <= 1
    assert found.accepted > 5 * found.kills, "there was no load"
