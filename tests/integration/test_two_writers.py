"""Two relays write to one PostgreSQL at once: each sees what the other has just committed, and none waits for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from relay.clock import MINUTE
from relay.ids import make_ids
from relay.ingest.accept import Delivered, Source, acceptor
from relay.notification import IncidentView
from relay.store.digest_views import load_digest
from relay.store.digests import STORM, DigestRow, absorb, open_digest
from relay.store.held import held_alerts
from relay.store.posts import Due, record_done
from relay.store.retention import forget_incidents
from relay.store.subjects import of_group
from tests.relays import query
from tests.state import State, open_state, postgres_engine, wire_alert, wire_message

ROUNDS = 40


@pytest.fixture
async def relays(postgres_url: str) -> AsyncIterator[tuple[State, State]]:
    """Two relays with one clock."""
    async with (
        open_state(postgres_engine(postgres_url)) as one,
        open_state(postgres_engine(postgres_url), clock=one.clock) as other,
    ):
        yield one, other


def accepting(state: State, *alerts: dict[str, object], **more: Any) -> Callable[[Connection], object]:
    """A webhook as a change."""
    message = Delivered(source=Source(name="main", has_api=True), message=wire_message(*alerts, **more))
    batch = acceptor(state.policy, state.new_id, state.clock)
    return lambda conn: batch(conn, [message])


@asynccontextmanager
async def uncommitted(
    url: str, state: State, change: Callable[[Connection], object]
) -> AsyncIterator[asyncpg.Connection]:
    """While the block runs the change is made, holds its locks, and is not committed."""
    gate = await asyncpg.connect(url)
    await gate.execute("SELECT pg_advisory_lock(1)")

    def hold(conn: Connection) -> None:
        change(conn)
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")

    held = asyncio.create_task(state.database.write(hold))
    await until_waiting(gate, 1)
    yield gate
    await gate.close()
    await held


async def until_waiting(gate: asyncpg.Connection, transactions: int) -> None:
    """Returns once so many of them wait for another one."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await gate.fetchval(waiting) < transactions:  # noqa: ASYNC110  the server tells nobody
            await asyncio.sleep(0.01)


def as_done(_: State, due: Due) -> Callable[[Connection], object]:
    return lambda conn: record_done(conn, due.post.id, due.view.revision, None, None)


def as_told_by_a_digest(state: State, _: Due) -> Callable[[Connection], object]:
    now = state.clock()

    def tell(conn: Connection) -> None:
        digest = DigestRow(id=state.new_id(), channel="chat", state=STORM, began_at=now)
        open_digest(conn, digest, None, appending=False)
        told = load_digest(conn, digest, now, several=False, appending=False)
        absorb(conn, digest, told.entries, None, appending=False)

    return tell


@pytest.mark.parametrize("recorded", [as_done, as_told_by_a_digest])
async def test_what_changes_while_a_post_is_recorded_is_shown(
    postgres_url: str, relays: tuple[State, State], recorded: Callable[[State, Due], Callable[[Connection], object]]
) -> None:
    one, other = relays
    await one.post(wire_alert(instance="db-1"))
    due = await other.due()
    assert due is not None
    change = accepting(one, wire_alert(instance="db-1"), wire_alert(instance="db-2"))
    async with uncommitted(postgres_url, one, change) as gate:
        recording = asyncio.create_task(other.database.write(recorded(other, due)))
        await until_waiting(gate, 2)
    await recording
    [(_, _, view), *_] = await other.show()
    assert len(view.firing) == 2


async def test_an_incident_that_another_relay_adds_to_is_not_closed_by_one_that_looked_before(
    postgres_url: str, relays: tuple[State, State]
) -> None:
    one, other = relays
    shared = wire_alert("Shared")
    await one.post(shared, key="one")
    both = await one.post(shared, key="two")
    async with uncommitted(postgres_url, one, accepting(one, wire_alert("Second"), key="two")) as gate:
        resolved = accepting(other, wire_alert("Shared", firing=False, ends=one.clock()), key="one")
        ending = asyncio.create_task(other.database.write(resolved))
        await until_waiting(gate, 2)
    await ending
    view = await one.database.read(of_group, both.group, one.clock())
    assert view is not None
    assert view.closed_at is None
    assert [alert.name for alert in view.firing] == ["Second"]
    await one.post(wire_alert("Second", firing=False, ends=one.clock()), key="two")
    view = await one.database.read(of_group, both.group, one.clock())
    assert view is not None
    assert not view.open


async def test_an_incident_that_goes_on_at_the_moment_of_its_retention_is_not_forgotten(
    postgres_url: str, relays: tuple[State, State]
) -> None:
    one, other = relays
    await one.post(wire_alert())
    await one.post(wire_alert(firing=False, ends=one.clock()))
    await one.show()
    ended = one.clock()
    one.clock.advance(10 * MINUTE)  # `reopen`, and as long it is kept
    async with uncommitted(postgres_url, one, accepting(one, wire_alert(starts=one.clock()))) as gate:
        forgetting = asyncio.create_task(other.database.write(forget_incidents, ended))
        await until_waiting(gate, 2)
    await forgetting
    [(_, _, view), *_] = await other.show()
    assert len(view.firing) == 1


async def test_relays_that_are_told_of_the_same_alerts_in_other_groups_do_not_wait_for_each_other_in_turn(
    postgres_url: str, relays: tuple[State, State]
) -> None:
    """With `continue: true` both groups notify at once, each perhaps at another relay: none locks what the other needs."""
    names = [f"Alert{number}" for number in range(8)]
    groups = [names[:5], names[3:]]
    for alerts, key in zip(groups, "ab", strict=True):
        await relays[0].post(*map(wire_alert, alerts), key=key)
    now = relays[0].clock()

    async def tell(state: State, key: str, alerts: list[str]) -> None:
        for number in range(ROUNDS):
            starts, firing = now + number // 2 * MINUTE, number % 2 == 1
            listed = [wire_alert(name, firing=firing, starts=starts, ends=starts + 1) for name in alerts]
            await state.post(*listed, key=key)

    relays[1].new_id = make_ids(relays[0].clock, random.Random(2))
    await asyncio.gather(*(tell(state, key, group) for state, key, group in zip(relays, "ab", groups, strict=True)))
    assert await query(postgres_url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [
        (0,)
    ]
    assert {alert.fingerprint for alert in await relays[0].database.read(held_alerts, "main")} == {
        wire_alert(name)["fingerprint"] for name in names
    }


async def test_what_one_look_reads_is_of_one_moment(relays: tuple[State, State]) -> None:
    """Else a message could show more than its revision says, and what it has announced would be announced again."""
    one, other = relays
    group = (await one.post(wire_alert(instance="db-1"))).group
    now = one.clock()

    def look(conn: Connection) -> tuple[IncidentView | None, IncidentView | None]:
        before = of_group(conn, group, now)
        await_only(other.post(wire_alert(instance="db-1"), wire_alert(instance="db-2")))
        return before, of_group(conn, group, now)

    before, after = await one.database.read(look)
    assert before is not None
    assert before == after
