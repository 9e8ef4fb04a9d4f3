"""What a digest is read as from one step to the next: the same as all of it read anew, and unchanged what has not changed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from relay.acking import Acker
from relay.clock import MINUTE
from relay.ingest.turn import Turn
from relay.notification_digest import DigestView
from relay.store.digest_views import alerts_of_digest, load_digest
from relay.store.digests import STORM, DigestRow, absorb, open_digest, release
from tests.state import START, State, open_state, postgres_engine, sqlite_engine, wire_alert

GROUPS = 12


class Storm:
    """A digest of one channel, read twice at each step: from what is known, and anew."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.row = DigestRow(id=state.new_id(), channel="chat", state=STORM, began_at=START)
        self.view: DigestView | None = None

    async def open(self) -> None:
        await self.state.database.write(open_digest, self.row, None, appending=False)

    async def read(self, before: DigestView | None) -> DigestView:
        now = self.state.clock()
        return await self.state.database.read(load_digest, self.row, now, several=False, appending=False, before=before)

    async def look(self) -> DigestView:
        self.view = await self.read(self.view)
        anew = await self.read(None)
        assert [_all_of(entry) for entry in self.view.entries] == [_all_of(entry) for entry in anew.entries]
        assert self.view == anew
        return self.view

    async def tell(self, *places: int) -> None:
        """The digest shows these from now on."""
        assert self.view is not None
        shown = [self.view.entries[place] for place in places]
        await self.state.database.write(absorb, self.row, shown, None, appending=False)

    async def ack(self, alert: dict[str, object]) -> None:
        state = self.state
        acker = Acker(lambda scope: Turn(scope, state.policy, state.new_id, state.clock()), state.policy.severities)
        await state.database.write(acker.ack, [("main", str(alert["fingerprint"]))], "anna")


def _all_of(entry: Any) -> list[object]:
    """What is told of an entry does not count when two are compared."""
    return [getattr(entry, field.name) for field in fields(entry)]


@pytest.fixture(params=["sqlite", "postgresql"])
async def storm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storm]:
    sqlite = request.param == "sqlite"
    engine = sqlite_engine(tmp_path) if sqlite else postgres_engine(request.getfixturevalue("postgres_url"))
    async with open_state(engine) as state:
        found = Storm(state)
        await found.open()
        yield found


def alert(number: int, **times: Any) -> dict[str, object]:
    return wire_alert(f"Alert{number % 3}", severity="warning", instance=f"node-{number:02}", **times)


async def fire(storm: Storm, number: int, **times: Any) -> None:
    await storm.state.post(alert(number, **times), key=str(number), groupLabels={"instance": f"node-{number:02}"})


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_what_is_kept_is_what_would_be_read_anew(storm: Storm, seed: int) -> None:
    rng, state = random.Random(seed), storm.state
    for number in range(GROUPS):
        await fire(storm, number)
    await storm.look()
    for _ in range(40):
        number = rng.randrange(GROUPS + 3)
        match rng.choice(["fire", "resolve", "ack", "silence", "tell", "wait"]):
            case "fire":
                await fire(storm, number, starts=state.clock())
            case "resolve":
                await fire(storm, number, firing=False, ends=state.clock())
            case "ack":
                await storm.ack(alert(number))
            case "silence":
                await state.poll(*map(alert, range(number, GROUPS)), silenced=[alert(number)])
            case "tell":
                await storm.tell(*rng.sample(range(len((await storm.look()).entries)), 5))
            case "wait":
                state.clock.advance(rng.choice([1000, 11 * MINUTE]))
        await storm.look()


async def test_of_a_digest_only_what_changed_is_read_again(storm: Storm) -> None:
    for number in range(GROUPS):
        await fire(storm, number)
    first = await storm.look()
    assert (await storm.look()).entries is first.entries
    await fire(storm, 7, firing=False, ends=storm.state.clock())
    second = await storm.look()
    kept = [entry for entry in second.entries if any(entry is known for known in first.entries)]
    assert [entry.place for entry in second.entries if entry not in kept] == ["node-07"]
    assert len(kept) == GROUPS - 1


async def test_what_was_told_makes_no_entry_look_different(storm: Storm) -> None:
    for number in range(GROUPS):
        await fire(storm, number)
    first = await storm.look()
    await storm.tell(0, 1)
    second = await storm.look()
    assert second == first
    assert [entry.waiting is None for entry in second.entries] == [True] * 2 + [False] * (GROUPS - 2)
    assert second.entries[2] is first.entries[2]
    assert second.entries[0].alert is first.entries[0].alert


async def test_a_head_that_is_nowhere_yet_is_told_from_one_that_was_given_up(storm: Storm) -> None:
    database = storm.state.database
    found = await database.read(alerts_of_digest, storm.row.id, START)
    assert found is not None
    assert (found.channel, found.remote, found.alerts) == ("chat", {}, ())
    await database.write(release, storm.row, START, None)
    assert await database.read(alerts_of_digest, storm.row.id, START) is None
