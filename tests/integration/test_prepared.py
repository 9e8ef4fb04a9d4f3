"""Answers are prepared while their change is being committed, and nobody hears of them before it is kept."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
import pytest_asyncio
from sqlalchemy import Engine, event

from relay import logs
from relay.store.database import Connection, Database
from relay.store.sqlite import SqliteEngine
from tests.relays import TOKEN, body_of, config_of, open_relay, open_sink, url_of

T = TypeVar("T")
ACCEPTED = 'relay_webhooks_total{alertmanager="default",outcome="accepted"}'


class SlowCommit(SqliteEngine):
    """Its changes are done at once and committed when the test says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "relay.db", prepare=lambda _conn: None)
        self.commits = asyncio.Event()

    async def write(self, work: Callable[[Connection], T]) -> T:
        done = await super().write(work)
        await self.commits.wait()
        return done


class Prepared:
    """Makes texts of results, and notes for which it did."""

    def __init__(self) -> None:
        self.of: list[int] = []
        self.first = asyncio.Event()

    def __call__(self, result: int) -> str:
        self.of.append(result)
        self.first.set()
        if result == 1:
            raise ValueError("no text for 1")
        return f"text for {result}"


def _as_they_are(_conn: Connection, items: Sequence[int]) -> Sequence[int]:
    return items


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SlowCommit]:
    engine = SlowCommit(tmp_path)
    yield engine
    engine.commits.set()


async def test_an_answer_is_prepared_during_the_commit_and_given_after_it(engine: SlowCommit) -> None:
    database, prepared = Database(engine), Prepared()
    await database.start()
    waiting = asyncio.create_task(database.write_batched(_as_they_are, 7, prepared))

    async with asyncio.timeout(20):
        await prepared.first.wait()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        engine.commits.set()
        assert await waiting == "text for 7"
    await database.close()


async def test_an_answer_that_cannot_be_prepared_is_the_error_of_its_own_change_alone(engine: SlowCommit) -> None:
    database, prepared = Database(engine), Prepared()
    engine.commits.set()
    await database.start()

    waiting = [database.write_batched(_as_they_are, number, prepared) for number in range(3)]
    first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
    await database.close()

    assert (first, third) == ("text for 0", "text for 2")
    assert isinstance(second, ValueError)
    assert sorted(prepared.of) == [0, 1, 2]


@pytest.mark.expects_errors
async def test_a_webhook_whose_commit_is_refused_is_nowhere_called_accepted(tmp_path: Path) -> None:
    lines = io.StringIO()
    logs.configure("info", "logfmt", lines)
    async with (
        open_sink() as sink,
        open_relay(config_of(f"sqlite:///{tmp_path / 'relay.db'}", sink)) as relay,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        url = url_of(relay)
        with _full_disk():
            async with session.post(f"{url}/webhook", data=body_of(1)) as answer:
                assert answer.status == 503
        assert "event=accepted" not in lines.getvalue()
        assert await _counted(session, url) == 0

        async with session.post(f"{url}/webhook", data=body_of(1)) as answer:
            assert answer.status == 200
        assert lines.getvalue().count("event=accepted") == 1
        assert await _counted(session, url) == 1


@contextmanager
def _full_disk() -> Iterator[None]:
    """Whatever is written meanwhile, only its COMMIT is refused."""
    event.listen(Engine, "commit", _refuse)
    try:
        yield
    finally:
        event.remove(Engine, "commit", _refuse)


def _refuse(_conn: Connection) -> None:
    raise sqlite3.OperationalError("database or disk is full")


async def _counted(session: aiohttp.ClientSession, url: str) -> float:
    async with session.get(f"{url}/metrics") as answer:
        values = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines())
    return float(values.get(ACCEPTED, 0))
