"""The tables grow from version to version, while relays of both run; whoever meets a newer schema than it knows stops."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Boolean, Table, Text, create_engine, insert, inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from relay.store.database import Connection, Database, Engine, StoreUnavailable
from relay.store.migrate import HEAD
from relay.store.schema import metadata
from tests.programs import ROOT
from tests.relays import query
from tests.state import open_state, postgres_engine, sqlite_engine, wire_alert

VERSIONS = sorted((ROOT / "relay" / "migrations" / "versions").glob("[0-9]*.py"))
CONTRACTING = {"drop_table", "drop_column", "drop_index", "drop_constraint", "alter_column", "rename_table"}
"""What would take something away from a relay of the version before, which runs until the last one is replaced."""
HARMLESS = {"0006_fewer_trees": {"drop_index", "drop_constraint"}, "0009_history": {"drop_index"}}
"""Indexes whose place others take in the same transaction, with what they made quick and what they forbade; and one that
only made the retention's search quick."""


@pytest.fixture(params=["sqlite", "postgresql"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Engine]:
    """Makes engines of one database."""
    if request.param == "sqlite":
        return partial(sqlite_engine, tmp_path)
    return partial(postgres_engine, request.getfixturevalue("postgres_url"))


SQLITE_SHAPE = "SELECT name, coalesce(sql, '') FROM sqlite_master"
POSTGRES_SHAPE = """
SELECT table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""


def _shape(conn: Connection) -> dict[str, str]:
    """Every table, column, index and constraint with its definition, blanks and quotes aside."""
    rows = conn.execute(text(SQLITE_SHAPE if conn.dialect.name == "sqlite" else POSTGRES_SHAPE))
    return {name: "".join(definition.replace('"', "").split()) for name, definition in rows}


def _migrate_from_nothing(conn: Connection) -> None:
    metadata.drop_all(conn)
    conn.execute(text("DROP TABLE alembic_version"))
    _be_older(conn, HEAD)


ELSEWHERE = {
    "sqlite": {"alerts_identity", "alert_groups_identity"},
    "postgresql": {"alerts_code", "alert_groups_code"},
}
"""Of the metadata, but not of this database (`ddl_if`)."""


def _differences(conn: Connection) -> Any:
    """What Alembic would change to get from the tables to the metadata."""
    elsewhere = ELSEWHERE[conn.dialect.name]
    options = {"include_object": lambda _object, name, *_others: name not in elsewhere}
    return compare_metadata(MigrationContext.configure(conn, opts=options), metadata)


async def test_migrations_end_in_the_tables_that_an_empty_database_gets(make_engine: Callable[[], Engine]) -> None:
    assert VERSIONS[-1].name.startswith(HEAD)
    database = Database(make_engine())
    await database.start()
    made = await database.read(_shape)
    await database.write(_migrate_from_nothing)
    migrated = await database.read(_shape)
    different = await database.read(_differences)
    await database.close()
    assert {"posts_due", "alerts_firing"} <= made.keys()
    assert made == migrated
    assert different == []


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_takes_nothing_away_from_a_relay_of_the_version_before(path: Path) -> None:
    calls = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    harmless = HARMLESS.get(path.stem, set())
    assert calls & CONTRACTING == harmless, "expand now, contract in the version after: docs/howto/upgrade.md"


def _be_older(conn: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "relay:migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, revision)


async def test_what_an_older_version_wrote_is_kept(postgres_url: str) -> None:
    def begin(conn: Connection) -> None:
        _be_older(conn, VERSIONS[0].stem[:4])
        conn.execute(text("INSERT INTO leases (name, owner, until, epoch) VALUES ('old', 'one', 5, 7)"))

    older = create_async_engine(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    async with older.begin() as conn:
        await conn.run_sync(begin)
    await older.dispose()
    database = Database(postgres_engine(postgres_url))
    await database.start()
    await database.close()
    assert await query(postgres_url, "SELECT owner, epoch FROM leases WHERE name = 'old'") == [("one", 7)]
    assert await query(postgres_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


async def test_tables_that_were_built_anew_hold_every_row_and_every_index(tmp_path: Path) -> None:
    """Each table of a database of revision 0005 gets two rows; a wrong order of columns would show in any of them."""
    path, kept = tmp_path / "relay.db", {}
    older = create_engine(f"sqlite:///{path}")
    with older.begin() as conn:
        _be_older(conn, "0005")
        for number, table in enumerate(metadata.sorted_tables):
            names = [column["name"] for column in inspect(conn).get_columns(table.name)]
            rows = [{name: 100 * number + 7 * n + at for at, name in enumerate(names)} for n in (1, 2)]
            conn.execute(insert(table), [_typed(table, row) for row in rows])
            there = [table.c[name] for name in names]
            kept[table.name] = there, conn.execute(select(*there)).all()
    older.dispose()
    database = Database(sqlite_engine(tmp_path))
    await database.start()
    await database.close()
    newer = create_engine(f"sqlite:///{path}")
    with newer.connect() as conn:
        assert {name: (there, conn.execute(select(*there)).all()) for name, (there, _) in kept.items()} == kept
        indexes = {row.name for row in conn.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'"))}
        plan = conn.execute(text("EXPLAIN QUERY PLAN SELECT * FROM alerts WHERE code IN ('a', 'b')")).all()
        rare = conn.execute(text("EXPLAIN QUERY PLAN SELECT id FROM alerts WHERE flapping_until <= 5")).all()
        told = "SELECT id FROM history WHERE alert_id IN (1, 2) OR incident_id IN (3, 4)"
        timeline = " ".join(row[-1] for row in conn.execute(text(f"EXPLAIN QUERY PLAN {told}")))
    newer.dispose()
    assert {index.name for table in metadata.sorted_tables for index in table.indexes} <= indexes
    assert "code=?" in plan[0][-1]
    assert "alerts_flapping" in rare[0][-1]
    assert "history_alert" in timeline
    assert "history_incident" in timeline


def _typed(table: Table, row: dict[str, int]) -> dict[str, object]:
    """The values as the columns want them."""
    kinds: dict[type, Callable[[int], object]] = {Text: str, Boolean: lambda value: value % 2 == 0}
    return {name: kinds.get(type(table.c[name].type), int)(value) for name, value in row.items()}


async def test_relays_that_start_at_once_on_an_empty_database_make_the_tables_once(postgres_url: str) -> None:
    databases = [Database(postgres_engine(postgres_url)) for _ in range(4)]
    await asyncio.gather(*(database.start() for database in databases))
    names = await asyncio.gather(
        *(database.read(lambda conn: inspect(conn).get_table_names()) for database in databases)
    )
    await asyncio.gather(*(database.close() for database in databases))
    assert {"alembic_version", *metadata.tables} == set(names[0]) == set(names[-1])


async def test_a_relay_goes_on_while_a_newer_one_adds_to_its_tables(postgres_url: str) -> None:
    async with open_state(postgres_engine(postgres_url)) as state:
        await state.post(wire_alert())
        assert await state.kinds() == ["new"]
        for table in ("alerts", "alert_groups", "incidents", "memberships", "posts", "history", "leases", "episodes"):
            await query(postgres_url, f"ALTER TABLE {table} ADD COLUMN newer TEXT NOT NULL DEFAULT ''")
        await query(postgres_url, "CREATE TABLE newer (id BIGINT PRIMARY KEY)")
        await query(postgres_url, "UPDATE alembic_version SET version_num = '9999'")
        await state.post(wire_alert(), wire_alert(instance="db-2"))
        assert await state.kinds() == ["reply", "edit"]
        await state.post(wire_alert(firing=False), wire_alert(instance="db-2", firing=False))
        assert await state.kinds() == ["reply", "edit"]


async def test_a_schema_newer_than_this_version_is_refused(make_engine: Callable[[], Engine]) -> None:
    database = Database(make_engine())
    await database.start()
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await database.close()
    database = Database(make_engine())
    with pytest.raises(StoreUnavailable, match=f"schema 9999, newer than this version's {HEAD}: upgrade the relay"):
        await database.start()
    await database.close()
