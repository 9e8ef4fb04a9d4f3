"""What it costs to find the next post depends on what is due, and not on all that ever was."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, insert, text

from relay.store.posts import next_due
from relay.store.schema import posts
from tests.state import State, open_state, postgres_engine, sqlite_engine, sqlite_steps, wire_alert

AT_REST, DUE = 5000, 50


def rest_posts(conn: Connection, first: int) -> None:
    """Posts of incidents that are over: nothing of them is due."""
    rows = [
        {"id": number, "incident_id": number, "channel": "chat", "state": "live", "shown_rev": 2, "announced_rev": 2}
        for number in range(first, first + AT_REST)
    ]
    conn.execute(insert(posts), rows)


async def fire(state: State) -> None:
    for number in range(DUE):
        await state.post(wire_alert(instance=f"db-{number}"), key=f"group {number}")


async def test_on_sqlite_posts_at_rest_cost_nothing(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await fire(state)

        def steps(conn: Connection) -> int:
            return sqlite_steps(conn, lambda: next_due(conn, ["chat"], state.clock(), several=False))

        before = await state.database.read(steps)
        await state.database.write(rest_posts, 1)
        assert await state.database.read(steps) <= before * 1.1


async def test_on_postgresql_no_more_than_twice_the_due_rows_are_touched(postgres_url: str) -> None:
    async with open_state(postgres_engine(postgres_url)) as state:
        await fire(state)
        await state.database.write(rest_posts, 1)
        await state.database.write(lambda conn: conn.execute(text("ANALYZE posts")))

        def touched(conn: Connection) -> int:
            next_due(conn, ["chat"], state.clock(), several=False)
            read = "pg_stat_get_xact_tuples_returned('posts'::regclass) + pg_stat_get_xact_tuples_fetched('posts'::regclass)"
            return int(conn.execute(text(f"SELECT {read}")).scalar_one())

        assert 0 < await state.database.read(touched) <= 2 * DUE
