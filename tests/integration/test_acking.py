"""Acks on both databases: whose they are, how long they last, what they show and what they never do, which is ring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.acking import Acked, Acker, Listed
from relay.clock import MINUTE
from relay.ingest.turn import Turn
from relay.store.chronicle import timeline
from relay.store.subjects import of_code, of_group
from tests.state import START, State, open_state, postgres_engine, sqlite_engine, wire_alert

Open = Callable[..., AbstractAsyncContextManager[State]]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        return partial(open_state, sqlite_engine(tmp_path))
    return partial(open_state, postgres_engine(request.getfixturevalue("postgres_url")))


def acker(state: State) -> Acker:
    return Acker(lambda scope: Turn(scope, state.policy, state.new_id, state.clock()), state.policy.severities)


async def ack(state: State, who: str, *alerts: dict[str, object], note: str = "", **more: Any) -> Acked:
    identities = [("main", str(alert["fingerprint"])) for alert in alerts]
    return await state.database.write(acker(state).ack, identities, who, note, **more)


async def test_an_ack_is_shown_everywhere_and_rings_nowhere(opened: Open) -> None:
    async with opened() as state:
        one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
        await state.post(one, two)
        await state.show()
        outcome = await ack(state, "anna", one, note="looking")
        assert outcome == Acked(changed=1, firing=1, woken=frozenset(["chat"]))
        [(_, step, view)] = await state.show()
        assert step.kind == "edit"
        assert [(alert.acked_by, alert.ack_note) for alert in view.acked] == [("anna", "looking")]


async def test_of_two_at_once_the_first_wins(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        outcomes = await asyncio.gather(ack(state, "anna", wire_alert()), ack(state, "boris", wire_alert()))
        assert sorted(outcome.changed for outcome in outcomes) == [0, 1]
        loser = next(outcome for outcome in outcomes if not outcome.changed)
        assert loser.by in {"anna", "boris"}
        assert loser.at == state.clock()


async def test_resolve_ends_it_and_a_refire_is_unacked(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await ack(state, "anna", wire_alert())
        await state.post(wire_alert(firing=False, ends=START + 5000))
        assert (await ack(state, "boris", wire_alert())).firing == 0
        await state.show()
        state.clock.advance(MINUTE)
        await state.post(wire_alert(starts=state.clock()))
        shown = await state.show()
        assert shown[0][1].kind == "reply"
        assert shown[-1][2].acked == ()


async def test_a_new_alert_in_an_acked_group_rings_and_is_nobodys(opened: Open) -> None:
    async with opened() as state:
        one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
        await state.post(one)
        await ack(state, "anna", one)
        await state.show()
        await state.post(one, two)
        shown = await state.show()
        assert shown[0][1].kind == "reply"
        assert len(shown[-1][2].acked) == 1


async def test_giving_back_names_who_had_it(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await ack(state, "anna", wire_alert())
        identity = ("main", str(wire_alert()["fingerprint"]))
        outcome = await state.database.write(acker(state).unack, [identity], "boris")
        assert outcome.changed == 1
        view = (await state.show())[-1][2]
        assert view.acked == ()
        [known] = await state.database.read(of_code, view.alerts[0].code)
        events = await state.database.read(timeline, alert_ids=[known.id])
        assert [(event.kind, event.actor, event.detail) for event in events][-2:] == [
            ("acked", "anna", ""),
            ("unacked", "boris", "anna"),
        ]


async def test_an_alert_without_a_webhook_begins_its_episode_with_the_ack(opened: Open) -> None:
    async with opened() as state:
        alert = wire_alert("Quiet")
        identity = ("main", str(alert["fingerprint"]))
        listed = {identity: Listed(labels={"alertname": "Quiet", "severity": "critical"}, starts_at=START)}
        assert (await ack(state, "anna", alert)).firing == 0
        assert (await ack(state, "anna", alert, listed=listed)).changed == 1
        assert (await ack(state, "boris", alert, listed=listed)).by == "anna"
        await state.post(alert)
        [(_, step, view)] = await state.show()
        assert step.kind == "new"
        assert view.alerts[0].acked_by == "anna"
        assert view.alerts[0].episode == 1


async def test_what_cannot_be_stored_is_made_storable(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await ack(state, "anna\0\ud800", wire_alert(), note="why\0")
        view = (await state.show())[-1][2]
        assert view.alerts[0].acked_by == "anna\ufffd\ufffd"
        group = await state.database.read(of_group, view.code, state.clock())
        assert group is not None
        assert group.alerts[0].ack_note == "why\ufffd"
