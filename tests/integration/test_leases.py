"""Who does this now, on both databases: one holder, taken over soon, shared evenly, and no outcome from one who lost it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import update

from relay.clock import MINUTE, SECOND, Clock, CommonClock, Millis
from relay.store.database import Connection, Database
from relay.store.leases import (
    LAST,
    ORPHANED,
    SETTLED,
    LeaseKeeper,
    LeaseLost,
    Standing,
    Wishes,
    check,
    give_up,
    renew,
)
from relay.store.schema import leases
from tests.state import FakeClock, postgres_engine, sqlite_engine

DESTINATIONS = [f"destination {number}" for number in range(20)]


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    sqlite = request.param == "sqlite"
    engine = sqlite_engine(tmp_path) if sqlite else postgres_engine(request.getfixturevalue("postgres_url"))
    database = Database(engine)
    await database.start()
    yield database
    await database.close()


class Monotonic:
    """Seconds in hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def take(
    database: Database, owner: str, names: Collection[str], *, clock: Clock | None = None, alone: bool = False
) -> dict[str, int]:
    """One renewal of a process that wants all of these; what it holds then."""
    standing = await database.write(renew, Wishes(single=names), owner, clock or FakeClock(), alone=alone)
    return standing.held


async def share(database: Database, owner: str, names: Collection[str] = DESTINATIONS) -> Standing:
    return await database.write(renew, Wishes(spread=names), owner, FakeClock(), alone=False)


async def let_pass(database: Database, length: Millis, owner: str | None = None) -> None:
    """As if the last renewals (of this owner, or of all) were so long ago."""

    def work(conn: Connection) -> None:
        old = update(leases).values(until=leases.c.until - length)
        conn.execute(old if owner is None else old.where(leases.c.owner == owner))

    await database.write(work)


async def test_a_lease_has_one_holder_until_it_runs_out(database: Database) -> None:
    assert await take(database, "one", ["a", "b"]) == {"a": 1, "b": 1}
    assert await take(database, "two", ["a"]) == {}
    await let_pass(database, LAST + 1)
    assert await take(database, "two", ["a"]) == {"a": 2}
    assert await take(database, "one", ["a", "b"]) == {"b": 1}


async def test_what_was_left_by_a_killed_process_is_taken_at_once_when_no_other_can_be_there(
    database: Database,
) -> None:
    await take(database, "killed", ["a"])
    assert await take(database, "next", ["a"], alone=True) == {"a": 2}


async def test_an_outcome_without_the_lease_is_refused(database: Database) -> None:
    keeper = LeaseKeeper(database, "one", CommonClock(FakeClock()))
    keeper.want(["a"])
    await keeper.renew()
    lease = keeper.get("a")
    await database.write(check, lease)
    await take(database, "two", ["a"], alone=True)
    with pytest.raises(LeaseLost):
        await database.write(check, lease)


async def test_a_holder_that_cannot_renew_stops_before_others_may_begin(database: Database) -> None:
    monotonic = Monotonic()
    keeper = LeaseKeeper(database, "one", CommonClock(FakeClock()), monotonic=monotonic)
    keeper.want(["a"])
    await keeper.renew()
    monotonic.now += LAST / SECOND - 2.5
    lease = keeper.get("a")
    assert lease is not None
    keeper.confirm(lease)
    monotonic.now += 1
    assert keeper.get("a") is None
    with pytest.raises(LeaseLost):
        keeper.confirm(lease)
    with pytest.raises(LeaseLost), keeper.using(lease):
        raise AssertionError("nothing may be begun")


async def test_a_released_lease_is_free_at_once(database: Database) -> None:
    keeper = LeaseKeeper(database, "one", CommonClock(FakeClock()))
    keeper.want(["a"])
    await keeper.renew()
    await keeper.release()
    assert await take(database, "two", ["a"]) == {"a": 2}


async def test_clocks_that_are_minutes_apart_do_not_shorten_a_lease_where_replicas_share_a_database(
    postgres_url: str,
) -> None:
    database = Database(postgres_engine(postgres_url))
    await database.start()
    clock, ahead = FakeClock(), FakeClock()
    ahead.advance(5 * MINUTE)
    assert await take(database, "one", ["a"], clock=clock) == {"a": 1}
    assert await take(database, "two", ["a"], clock=ahead) == {}
    await database.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_destinations_are_shared_evenly_by_relays_that_come_and_go(database: Database) -> None:
    async with AsyncExitStack() as stack:
        keepers = {name: LeaseKeeper(database, name, CommonClock(FakeClock())) for name in ("one", "two", "three")}
        stops = {name: asyncio.Event() for name in keepers}
        running: dict[str, asyncio.Task[None]] = {}

        def begin(name: str) -> None:
            keepers[name].want(DESTINATIONS, spread=True)
            running[name] = asyncio.create_task(keepers[name].run(stops[name]))
            stack.callback(running[name].cancel)

        def held() -> list[int]:
            return [sum(keepers[name].get(one) is not None for one in DESTINATIONS) for name in running]

        async def until(counts: list[int]) -> None:
            async with asyncio.timeout(30):
                while held() != counts:
                    assert sum(held()) <= len(DESTINATIONS)
                    for keeper in keepers.values():
                        keeper.nudge()
                    await asyncio.sleep(0.05)

        begin("one")
        await until([20])
        begin("two")
        await until([10, 10])
        begin("three")
        await until([7, 7, 6])
        stops["two"].set()
        await running.pop("two")
        await until([10, 10])


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_what_is_done_under_a_lease_is_finished_before_it_is_handed_over(database: Database) -> None:
    keeper = LeaseKeeper(database, "one", CommonClock(FakeClock()))
    keeper.want(["a", "b"], spread=True)
    await keeper.renew()
    lease = keeper.get("b")
    assert lease is not None
    for _ in range(SETTLED):
        await share(database, "two", ["a", "b"])
    with keeper.using(lease):
        await keeper.renew()
        assert keeper.get("b") is None  # nothing new is begun
        keeper.confirm(lease)  # what was begun may go on
        await keeper.renew()
        assert "b" not in (await share(database, "two", ["a", "b"])).held
    await keeper.renew()
    assert (await share(database, "two", ["a", "b"])).held == {"b": 2}
    assert keeper.get("a") is not None


async def test_a_relay_that_dies_soon_after_its_start_moves_nothing(database: Database) -> None:
    await share(database, "one")
    for _ in range(4):  # what a start takes
        await share(database, "restarting")
    assert (await share(database, "one")).surplus == []


async def test_the_destinations_of_a_killed_relay_are_shared_by_the_others(database: Database) -> None:
    for owner in ("one", "two", "three") * (SETTLED + 1):
        standing = await share(database, owner)
        await database.write(give_surplus, standing, owner)
    await let_pass(database, LAST + 1, "one")
    two, three = await share(database, "two"), await share(database, "three")
    assert (len(two.held), len(three.held)) == (10, 10)
    assert two.replicas == 2


def give_surplus(conn: Connection, standing: Standing, owner: str) -> None:
    give_up(conn, standing.surplus, owner, FakeClock())


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_destination_that_only_one_relay_knows_stays_there(database: Database) -> None:
    """During an upgrade the other one may have an older config."""
    monotonic = Monotonic()
    keeper = LeaseKeeper(database, "new", CommonClock(FakeClock()), monotonic=monotonic)
    keeper.want(["a", "b"], spread=True)
    for _ in range(SETTLED + 1):
        await share(database, "old", ["c"])
        await keeper.renew()
    assert keeper.get("b") is None  # handed over, and nobody wants it
    await let_pass(database, ORPHANED + SECOND, "")
    for _ in range(3):
        await keeper.renew()
        assert keeper.get("b") is not None


async def test_what_is_wanted_while_a_renewal_runs_is_taken_by_the_next_one(database: Database) -> None:
    """It works in another thread: a set that changes under it once killed a start."""
    keeper = LeaseKeeper(database, "one", CommonClock(FakeClock()), monotonic=Monotonic())
    keeper.want(["a"])
    running = asyncio.create_task(keeper.renew())
    await asyncio.sleep(0)
    keeper.want(["b"])
    await running
    assert (keeper.get("a") is not None, keeper.get("b")) == (True, None)
    await keeper.renew()
    assert keeper.get("b") is not None
