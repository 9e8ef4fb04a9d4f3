"""`relay copy-database`: everything arrives, an interrupted copy goes on, and nothing is copied beside a running relay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from relay.cli import create_program
from relay.store import copying
from relay.store.copying import TABLES, copy_database
from relay.store.database import Connection, Database, Engine, StoreUnavailable
from relay.store.leases import Wishes, give_up, renew
from relay.store.migrate import migrate
from relay.store.postgres import PostgresEngine
from relay.store.sqlite import SqliteEngine
from tests.state import FakeClock, open_state, postgres_engine, sqlite_engine, wire_alert


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'relay.db'}"


async def fill(engine: Engine, groups: int = 3) -> None:
    """A state with some of nearly everything."""
    async with open_state(engine) as state:
        for number in range(groups):
            await state.post(wire_alert(instance=f"db-{number}", summary="диск \ufffd 🔥"), key=f"{{}}:{number}")
            await state.show()
        await state.post(wire_alert(firing=False, instance="db-0"), key="{}:0")


async def contents(engine: Engine) -> dict[str, Sequence[Any]]:
    def rows(conn: Connection) -> dict[str, Sequence[Any]]:
        return {t.name: [tuple(r) for r in conn.execute(select(t).order_by(*t.primary_key.columns))] for t in TABLES}

    database = Database(engine)
    await database.start()
    try:
        return await database.read(rows)
    finally:
        await database.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(create_program(), ["copy-database", *arguments])


async def test_a_state_is_the_same_after_a_journey_to_postgres_and_back(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    await fill(sqlite_engine(tmp_path))
    before = await contents(sqlite_engine(tmp_path))
    assert len(before["alerts"]) == 3
    address = tmp_path / "address"
    address.write_text(postgres_url + "\n")
    there = await off_loop(sqlite_url, f"@{address}")
    assert there.exit_code == 0, there.output
    assert "alerts: 3 rows\n" in there.output
    assert await contents(postgres_engine(postgres_url)) == before
    back = await off_loop(f"@{address}", f"sqlite:///{tmp_path / 'back' / 'relay.db'}")
    assert back.exit_code == 0, back.output
    assert await contents(sqlite_engine(tmp_path / "back")) == before


async def test_a_copied_state_goes_on_where_it_was(sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert())
        assert await state.kinds() == ["new"]
        clock = state.clock
    assert (await off_loop(sqlite_url, postgres_url)).exit_code == 0
    async with open_state(postgres_engine(postgres_url), clock=clock) as state:
        await state.post(wire_alert(), wire_alert(instance="db-2"))
        assert await state.kinds() == ["reply", "edit"]


async def test_an_interrupted_copy_goes_on_and_no_relay_starts_on_half_a_state(
    sqlite_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(sqlite_engine(tmp_path), groups=7)
    monkeypatch.setattr(copying, "CHUNK", 2)
    source, target = SqliteEngine(tmp_path / "relay.db", prepare=migrate), PostgresEngine(postgres_url, prepare=migrate)
    await source.open()
    await target.open()
    left = 5

    def interrupt(_table: str, _rows: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise StoreUnavailable("the cable was pulled")

    with pytest.raises(StoreUnavailable, match="cable"):
        await copy_database(source, target, interrupt)
    await source.close()
    await target.close()
    with pytest.raises(StoreUnavailable, match="only part of a state was copied"):
        await postgres_engine(postgres_url).open()
    onwards = await off_loop(postgres_url, f"sqlite:///{tmp_path / 'other.db'}")
    assert (onwards.exit_code, "only part of a copy" in onwards.output) == (1, True)
    finished = await off_loop(sqlite_url, postgres_url)
    assert finished.exit_code == 0, finished.output
    assert "of them earlier" in finished.output
    assert await contents(postgres_engine(postgres_url)) == await contents(sqlite_engine(tmp_path))


async def test_nothing_is_copied_while_a_relay_runs(sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
    running = Database(sqlite_engine(tmp_path))
    await running.start()
    refused = await off_loop(sqlite_url, postgres_url)
    assert (refused.exit_code, "in use by another relay" in refused.output) == (1, True)
    await running.close()
    running = Database(postgres_engine(postgres_url))
    await running.start()
    await running.write(renew, Wishes(), "one", FakeClock(), alone=False)
    for pair in ((sqlite_url, postgres_url), (postgres_url, sqlite_url)):
        refused = await off_loop(*pair)
        assert (refused.exit_code, "a relay runs on one of the databases" in refused.output) == (1, True)
    await running.write(give_up, None, "one", FakeClock())
    await running.close()
    assert (await off_loop(sqlite_url, postgres_url)).exit_code == 0


async def test_a_target_that_holds_something_is_left_alone(sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
    await fill(sqlite_engine(tmp_path))
    await fill(postgres_engine(postgres_url))
    refused = await off_loop(sqlite_url, postgres_url)
    assert (refused.exit_code, "the target is not empty" in refused.output) == (1, True)


def test_what_is_no_database_is_refused_without_its_password(tmp_path: Path) -> None:
    for wrong, said in (
        ("mysql://relay:secret-word@host/relay", "must be sqlite:///relay.db"),
        (f"@{tmp_path / 'nothing'}", "No such file"),
        (f"sqlite:///{tmp_path / 'nothing.db'}", "no such file"),
    ):
        refused = run(wrong, f"sqlite:///{tmp_path / 'relay.db'}")
        assert refused.exit_code == 1
        assert said in refused.output
        assert "secret-word" not in refused.output
    same = f"sqlite:///{tmp_path / 'relay.db'}"
    assert "the same database" in run(same, same).output


async def off_loop(*arguments: str) -> Result:
    """The command has an event loop of its own."""
    return await asyncio.to_thread(run, *arguments)
