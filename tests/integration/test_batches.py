"""Changes that come together are one transaction; none waits long for others, and a lone one not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError

from relay.store import database as module
from relay.store.database import Connection, Database
from relay.store.sqlite import SqliteEngine
from tests.state import sqlite_engine

MANY = 8
FOR_EVER = 3600.0


class Batches:
    """A batch function that answers each change with the size of the batch it was in."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, _conn: Connection, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        return [len(items)] * len(items)


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(sqlite_engine(tmp_path))
    await opened.start()
    yield opened
    await opened.close()


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _come_twice(database: Database, batches: Batches, number: int) -> None:
    """A sender who is answered and comes again: the first two at once, the others some turns of the loop later."""
    await database.write_batched(batches, number)
    await _turns(3 * (number // 2))
    await database.write_batched(batches, number)


async def test_senders_who_were_answered_together_and_come_again_share_a_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER", FOR_EVER)  # whoever is not waited for, or waits in vain, ends the test
    batches = Batches()

    async with asyncio.timeout(20):
        await asyncio.gather(*(_come_twice(database, batches, number) for number in range(MANY)))

    assert batches.sizes == [MANY, MANY]


async def test_a_lone_change_waits_for_nobody_however_many_came_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = Batches()
    await asyncio.gather(*(database.write_batched(batches, number) for number in range(MANY)))
    monkeypatch.setattr(module, "GATHER", FOR_EVER)

    async with asyncio.timeout(20):
        assert await database.write_batched(batches, 0) == 1


async def test_fewer_than_last_time_are_written_when_the_time_is_over(database: Database) -> None:
    batches = Batches()
    await asyncio.gather(*(database.write_batched(batches, number) for number in range(MANY)))

    async with asyncio.timeout(20):
        assert await asyncio.gather(*(database.write_batched(batches, number) for number in range(2))) == [2, 2]


async def test_a_database_that_closes_writes_what_waits_for_company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, batches = Database(sqlite_engine(tmp_path)), Batches()
    await database.start()
    await asyncio.gather(*(database.write_batched(batches, number) for number in range(MANY)))
    monkeypatch.setattr(module, "GATHER", FOR_EVER)
    waiting = [asyncio.ensure_future(database.write_batched(batches, number)) for number in range(2)]
    await _turns(10)
    assert batches.sizes == [MANY], "nothing waited: the test would show nothing"

    async with asyncio.timeout(20):
        await database.close()
        assert await asyncio.gather(*waiting) == [2, 2]


async def test_the_writer_keeps_its_connection_whoever_reads_beside_it(tmp_path: Path) -> None:
    """SQLite forgets every page it knows when another connection has written: it cost a tenth of all webhooks."""
    engine = SqliteEngine(tmp_path / "relay.db")
    await engine.open()

    def connection(conn: Connection) -> int:
        conn.execute(text("SELECT count(*) FROM sqlite_master"))
        return id(conn.connection.dbapi_connection)

    written, read = set(), set()
    for _ in range(20):
        found = await asyncio.gather(engine.read(connection), engine.write(connection), engine.read(connection))
        written.add(found[1])
        read |= {found[0], found[2]}
    await engine.close()

    assert len(written) == 1
    assert not written & read


async def test_a_commit_that_is_refused_leaves_no_transaction_open_behind_it(tmp_path: Path) -> None:
    """Else every later change would be refused, too, until a restart."""
    engine = SqliteEngine(tmp_path / "relay.db")
    event.listen(Engine, "connect", _check_references)
    try:
        await engine.open()
    finally:
        event.remove(Engine, "connect", _check_references)

    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        await engine.write(_point_nowhere)
    left = await engine.write(lambda conn: conn.execute(text("SELECT count(*) FROM leases")).scalar_one())
    await engine.close()

    assert left == 0


def _check_references(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _point_nowhere(conn: Connection) -> None:
    """A change of which only the COMMIT is refused, as by a full disk."""
    conn.execute(text("INSERT INTO leases (name, owner, until, epoch) VALUES ('lost', 'me', 1, 1)"))
    conn.execute(text("CREATE TABLE points (at TEXT REFERENCES leases (name) DEFERRABLE INITIALLY DEFERRED)"))
    conn.execute(text("INSERT INTO points VALUES ('nowhere')"))
