"""Who does this now, on both databases: one holder, taken over soon, and no outcome from one who lost it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.clock import SECOND
from relay.store.database import Connection, Database
from relay.store.leases import LAST, LeaseKeeper, LeaseLost, check, renew
from tests.state import FakeClock, postgres_engine, sqlite_engine


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


async def test_a_lease_has_one_holder_until_it_runs_out(tmp_path: Path) -> None:
    database, clock = Database(sqlite_engine(tmp_path)), FakeClock()
    await database.start()
    assert await database.write(renew, ["a", "b"], "one", clock, alone=False) == {"a": 1, "b": 1}
    assert await database.write(renew, ["a"], "two", clock, alone=False) == {}
    clock.advance(LAST + 1)
    assert await database.write(renew, ["a"], "two", clock, alone=False) == {"a": 2}
    assert await database.write(renew, ["a", "b"], "one", clock, alone=False) == {"b": 1}
    await database.close()


async def test_what_was_left_by_a_killed_process_is_taken_at_once_when_no_other_can_be_there(
    database: Database,
) -> None:
    clock = FakeClock()
    await database.write(renew, ["a"], "killed", clock, alone=False)
    assert await database.write(renew, ["a"], "next", clock, alone=True) == {"a": 2}


async def test_an_outcome_without_the_lease_is_refused(database: Database) -> None:
    keeper = LeaseKeeper(database, "one", FakeClock())
    keeper.want(["a"])
    await keeper.renew()
    lease = keeper.get("a")
    await database.write(check, lease)
    await database.write(renew, ["a"], "two", FakeClock(), alone=True)
    with pytest.raises(LeaseLost):
        await database.write(check, lease)


async def test_a_holder_that_cannot_renew_stops_before_others_may_begin(database: Database) -> None:
    monotonic = Monotonic()
    keeper = LeaseKeeper(database, "one", FakeClock(), monotonic=monotonic)
    keeper.want(["a"])
    await keeper.renew()
    monotonic.now += LAST / SECOND - 2.5
    assert keeper.get("a") is not None
    monotonic.now += 1
    assert keeper.get("a") is None


async def test_a_released_lease_is_free_at_once(database: Database) -> None:
    keeper = LeaseKeeper(database, "one", FakeClock())
    keeper.want(["a"])
    await keeper.renew()
    await keeper.release()

    def taken(conn: Connection) -> dict[str, int]:
        return renew(conn, ["a"], "two", FakeClock(), alone=False)

    assert await database.write(taken) == {"a": 2}
