"""What is past its time is forgotten whole and in small steps; what is open, due or still heard of stays."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection, Table, func, select

from relay.app import Relay
from relay.clock import DAY, HOUR, MINUTE
from relay.config import Config
from relay.store import schema
from relay.store.conversations import Draft, View, remember_told, save_draft, save_view
from relay.store.retention import INCIDENTS, ROWS, Forgotten, Retention, forget_incidents
from relay.store.subjects import of_group
from tests.fakes.gateway import FakeGateway
from tests.state import State, open_state, postgres_engine, sqlite_engine, sqlite_steps, wire_alert, wire_body

KEEP = 90 * DAY
Open = Callable[..., AbstractAsyncContextManager[State]]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with opened(...) as state` on either database."""
    if request.param == "sqlite":
        return partial(open_state, sqlite_engine(tmp_path))
    return partial(open_state, postgres_engine(request.getfixturevalue("postgres_url")))


async def forget(state: State) -> Forgotten:
    return await Retention(state.database, state.clock, keep=KEEP).round(asyncio.Event())


async def count(state: State, *tables: Table) -> list[int]:
    def work(conn: Connection) -> list[int]:
        return [conn.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]

    return await state.database.read(work)


async def fire_and_resolve(state: State, *, key: str = "one", **labels: Any) -> None:
    starts = state.clock()
    await state.post(wire_alert(starts=starts, **labels), key=key)
    await state.post(wire_alert(firing=False, starts=starts, ends=state.clock(), **labels), key=key)


async def test_a_closed_incident_goes_with_all_that_belongs_to_it_but_the_last_run_of_its_alert(opened: Open) -> None:
    async with opened() as state:
        await fire_and_resolve(state)
        await state.show()
        state.clock.advance(KEEP - MINUTE)
        assert not await forget(state)
        state.clock.advance(2 * MINUTE)
        found = await forget(state)
        assert (found.incidents, found.alerts, found.groups) == (1, 0, 0)
        assert await count(state, schema.incidents, schema.memberships, schema.posts, schema.history) == [0, 0, 0, 0]
        assert await count(state, schema.alerts, schema.episodes, schema.alert_groups) == [1, 1, 1]


async def test_an_open_incident_stays_however_old(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.show()
        state.clock.advance(10 * KEEP)
        assert (await forget(state)).incidents == 0
        assert await count(state, schema.incidents, schema.memberships, schema.posts, schema.alerts) == [1, 1, 1, 1]
        await state.post(wire_alert(firing=False, ends=state.clock()))
        assert await state.kinds() == ["reply", "edit"]


async def test_what_ended_long_ago_in_an_incident_that_never_ends_is_forgotten(opened: Open) -> None:
    async with opened() as state:
        always = wire_alert("Always")
        for number in range(3):
            pod, starts = f"pod-{number}", state.clock()
            await state.post(always, wire_alert("Pod", starts=starts, pod=pod))
            await state.post(always, wire_alert("Pod", firing=False, starts=starts, ends=state.clock(), pod=pod))
            await state.show()
            state.clock.advance(KEEP // 2)
        found = await forget(state)
        assert (found.incidents, found.ended) == (0, 2)
        [(firing, names)] = await state.database.read(_open_incidents)
        assert (firing, names) == (1, {"Always", "Pod"})
        assert await state.kinds() == []  # nobody is told of that
        await state.post(always, wire_alert("Pod", pod="pod-0", starts=state.clock()))
        shown = await state.show()
        assert [step.kind for _, step, _ in shown] == ["reply", "edit"]
        assert [alert.episode for alert in shown[0][1].changes.fired] == [2]


async def test_what_ended_long_ago_in_an_incident_that_goes_on_again_and_again_is_forgotten(opened: Open) -> None:
    async with opened() as state:
        state.policy = replace(state.policy, reopen={"chat": 30 * DAY})
        for number in range(8):
            await fire_and_resolve(state, pod=f"pod-{number}")
            await fire_and_resolve(state, pod="pod-0")
            await state.show()
            state.clock.advance(20 * DAY)
        assert await count(state, schema.incidents, schema.memberships, schema.episodes) == [1, 8, 16]
        found = await forget(state)
        assert (found.incidents, found.ended, found.runs) == (0, 3, 5)
        assert await count(state, schema.incidents, schema.memberships, schema.episodes) == [1, 5, 11]


async def test_what_ended_long_ago_stays_until_it_is_shown_at_every_destination(opened: Open) -> None:
    async with opened() as state:
        always = wire_alert("Always")
        await state.post(always, wire_alert("Once"))
        await state.show()
        await state.post(always, wire_alert("Once", firing=False, ends=state.clock()))  # and its destination is away
        state.clock.advance(2 * KEEP)
        assert (await forget(state)).ended == 0
        [(_, _, view)] = await state.show()
        assert [alert.name for alert in view.resolved] == ["Once"]
        assert (await forget(state)).ended == 1


async def test_earlier_runs_in_an_incident_that_never_ends_are_forgotten(opened: Open) -> None:
    async with opened() as state:
        always = wire_alert("Always")
        for _ in range(5):
            await state.post(always, wire_alert("Often", starts=state.clock()))
            await state.post(always, wire_alert("Often", firing=False, starts=state.clock(), ends=state.clock()))
            state.clock.advance(KEEP // 2)
        await state.show()
        assert await count(state, schema.episodes) == [6]
        assert (await forget(state)).runs == 4
        assert await count(state, schema.episodes) == [2]
        await state.post(always, wire_alert("Often", starts=state.clock()))
        assert [alert.episode for alert in (await state.show())[0][1].changes.fired] == [6]


async def test_an_alert_that_nobody_reported_any_more_does_not_stay_for_ever(tmp_path: Path) -> None:
    """Without an API its end is never known."""
    async with open_state(sqlite_engine(tmp_path), has_api=False) as state:
        always = wire_alert("Always")
        await state.post(always, wire_alert("Silenced"))
        await state.post(always)
        await state.post(always)
        await state.show()
        state.clock.advance(2 * KEEP)
        assert (await forget(state)).ended == 1
        state.clock.advance(3 * KEEP)
        await state.post(always)
        assert (await forget(state)).alerts == 1
        assert await count(state, schema.alerts, schema.memberships, schema.episodes) == [1, 1, 1]


async def test_an_incident_with_something_due_stays_until_it_is_shown(opened: Open) -> None:
    async with opened() as state:
        await fire_and_resolve(state)
        state.clock.advance(2 * KEEP)
        assert (await forget(state)).incidents == 0
        assert await state.kinds() == ["new"]
        assert (await forget(state)).incidents == 1


async def test_earlier_runs_go_and_the_number_of_the_next_one_is_still_right(opened: Open) -> None:
    async with opened() as state:
        for _ in range(3):
            await fire_and_resolve(state)
            await state.show()
            state.clock.advance(HOUR)
        assert await count(state, schema.incidents, schema.episodes) == [3, 3]
        state.clock.advance(KEEP)
        assert (await forget(state)).incidents == 3
        assert await count(state, schema.episodes) == [1]
        await state.post(wire_alert(starts=state.clock()), key="one")
        [(_, step, view)] = await state.show()
        assert (step.kind, view.alerts[0].episode) == ("new", 4)


async def test_a_run_that_another_incident_still_lists_stays(opened: Open) -> None:
    async with opened() as state:
        starts = state.clock()
        one = await state.post(wire_alert(starts=starts), key="one")
        two = await state.post(wire_alert(starts=starts), wire_alert("Other", starts=starts), key="two")
        await state.show()
        await state.post(wire_alert(firing=False, starts=starts, ends=state.clock()), key="one")
        await state.post(wire_alert("Other", firing=False, starts=starts, ends=state.clock()), key="two")
        await state.database.write(_show_only, one.group)
        state.clock.advance(11 * MINUTE)
        await state.post(wire_alert(starts=state.clock()), key="three")
        state.clock.advance(2 * KEEP)
        assert (await forget(state)).incidents == 1
        view = await state.database.read(of_group, two.group, state.clock())
        assert view is not None
        assert {alert.name: alert.episode for alert in view.alerts} == {"DiskFull": 1, "Other": 1}


def _show_only(conn: Connection, code: str) -> None:
    """Of all that is due only this group's post was served."""
    incident = select(schema.alert_groups.c.incident_id).where(schema.alert_groups.c.code == code).scalar_subquery()
    shown = schema.posts.update().where(schema.posts.c.incident_id == incident)
    conn.execute(shown.values(due_at=None, since=None, shown_rev=2, announced_rev=2))


async def test_a_group_whose_incident_is_forgotten_answers_nothing_and_starts_anew(opened: Open) -> None:
    async with opened() as state:
        first = await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=state.clock()))
        await state.show()
        state.clock.advance(2 * KEEP)
        await forget(state)
        assert await state.database.read(of_group, first.group, state.clock()) is None
        again = await state.post(wire_alert(starts=state.clock()))
        assert again.group == first.group
        assert await state.kinds() == ["new"]


async def test_alerts_and_groups_that_nobody_names_any_more_go_last(opened: Open) -> None:
    async with opened() as state:
        await fire_and_resolve(state, key="pod-1", pod="pod-1")
        await fire_and_resolve(state, key="pod-2", pod="pod-2")
        await state.show()
        state.clock.advance(3 * KEEP)
        await state.post(wire_alert(firing=False, pod="pod-2"), key="pod-2")  # still heard of
        state.clock.advance(KEEP)
        found = await forget(state)
        assert (found.alerts, found.groups) == (1, 1)
        assert await count(state, schema.alerts, schema.episodes, schema.alert_groups) == [1, 1, 1]


async def test_a_large_incident_is_forgotten_in_steps(opened: Open) -> None:
    async with opened() as state:
        starts = state.clock()
        numbers = range(2 * ROWS + 10)
        await state.post(*[wire_alert(instance=f"db-{number}") for number in numbers])
        gone = [wire_alert(firing=False, starts=starts, ends=starts + 1, instance=f"db-{number}") for number in numbers]
        await state.post(*gone)
        await state.show()
        state.clock.advance(2 * KEEP)
        assert (await forget(state)).incidents == 1
        assert await count(state, schema.incidents, schema.memberships) == [0, 0]


async def test_a_step_costs_no_more_when_a_hundred_times_as_much_is_stored(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:

        def steps(conn: Connection) -> int:
            return sqlite_steps(conn, lambda: forget_incidents(conn, state.clock() - KEEP))

        async def cost(name: str) -> int:
            for number in range(INCIDENTS):
                await fire_and_resolve(state, key=f"{name}/{number}", instance=f"{name}-{number}")
            await state.show()
            state.clock.advance(2 * KEEP)
            return await state.database.write(steps)

        few = await cost("few")
        await state.post(*(wire_alert(instance=f"db-{number}") for number in range(100 * INCIDENTS)), key="open")
        assert await cost("many") <= few * 1.2


async def test_what_the_bot_remembered_is_forgotten_when_it_has_expired(opened: Open) -> None:
    async with opened() as state:
        now = state.clock()
        draft = Draft(token="a", owner=1, chat=1, kind="silence", state={}, expires_at=now + HOUR)
        await state.database.write(save_draft, draft)
        await state.database.write(save_view, View(token="b", chat=1, kind="alerts", state={}, expires_at=now + HOUR))
        await state.database.write(remember_told, "told", now)
        await forget(state)
        assert await count(state, schema.drafts, schema.views, schema.reminders) == [1, 1, 1]
        state.clock.advance(31 * DAY)
        await forget(state)
        assert await count(state, schema.drafts, schema.views, schema.reminders) == [0, 0, 0]


async def test_webhooks_are_taken_between_the_steps(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        for number in range(20):
            alerts = [wire_alert(instance=f"db-{number}-{index}") for index in range(100)]
            await state.post(*alerts, key=f"group {number}")
            gone = [{**alert, "status": "resolved", "endsAt": "2027-01-01T00:00:00Z"} for alert in alerts]
            await state.post(*gone, key=f"group {number}")
        await state.show()
        state.clock.advance(2 * KEEP)
        waits: list[float] = []
        forgetting = asyncio.create_task(forget(state))
        while not forgetting.done():
            started = time.perf_counter()
            await state.post(wire_alert("Now", starts=state.clock()), key="now")
            waits.append(time.perf_counter() - started)
        assert (await forgetting).incidents == 20
        assert len(waits) > 20, "webhooks had to wait for the end"


async def test_a_file_that_is_full_of_old_incidents_does_not_grow_any_further(tmp_path: Path) -> None:
    """Each round of days brings as much as the last one: after the first forgetting the pages are used again."""
    sizes = []
    async with open_state(sqlite_engine(tmp_path)) as state:
        for round_ in range(6):
            for number in range(40):
                await fire_and_resolve(state, key=f"{round_}/{number}", pod=f"pod-{round_}-{number}", summary="x" * 500)
            await state.show()
            state.clock.advance(2 * KEEP)
            await forget(state)
            sizes.append((tmp_path / "relay.db").stat().st_size)
    assert sizes[-1] <= sizes[2] * 1.1, sizes


async def test_a_running_relay_forgets_by_itself(tmp_path: Path, gateway: FakeGateway) -> None:
    sections = {
        "server": {"listen": "127.0.0.1:0", "auth": {"allow_anonymous": True}},
        "database": {"url": f"sqlite:///{tmp_path / 'relay.db'}", "retention": "1s"},
        "channels": {"hook": {"type": "http", "url": gateway.url, "reopen": 0}},
        "routes": [{"channels": ["hook"]}],
    }
    relay = Relay(Config.model_validate(sections))
    await relay.start()
    try:
        host, port = relay.address
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            for firing in (True, False):
                body = wire_body(wire_alert(firing=firing))
                async with session.post("/webhook", json=body) as answer:
                    assert answer.status == 200, await answer.text()
        async with asyncio.timeout(20):
            while await relay.database.read(_incidents):  # noqa: ASYNC110  the relay's own rounds
                await asyncio.sleep(0.1)
        assert [request.json["status"] for request in gateway.journal][-1] == "resolved"
    finally:
        await relay.stop()


def _incidents(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(schema.incidents)).scalar_one()


def _open_incidents(conn: Connection) -> list[tuple[int, set[str]]]:
    """Of each open incident how many alerts fire, and the names of all that it lists."""
    found = []
    for incident in conn.execute(select(schema.incidents).where(schema.incidents.c.closed_at.is_(None))).all():
        listed = select(schema.alerts.c.labels).join(
            schema.memberships, schema.memberships.c.alert_id == schema.alerts.c.id
        )
        labels = conn.execute(listed.where(schema.memberships.c.incident_id == incident.id)).scalars()
        found.append((incident.firing, {json.loads(one)["alertname"] for one in labels}))
    return found
