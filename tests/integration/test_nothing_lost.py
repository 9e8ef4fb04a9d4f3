"""Corners in which an alert could be accepted and never be shown, or a post never come to rest."""

from __future__ import annotations

from pathlib import Path

from relay.clock import HOUR, MINUTE
from relay.routing import RouteConfig
from tests.state import APPENDING, LIVING, open_state, sqlite_engine, wire_alert

BY_SEVERITY = (
    RouteConfig(matchers=['severity="critical"'], channels=["calls"]),
    RouteConfig(channels=["chat"]),
)


async def test_a_flapping_alert_that_another_group_lists_for_the_first_time_is_shown_there(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        for _ in range(3):
            starts = state.clock()
            await state.post(wire_alert(starts=starts))
            await state.post(wire_alert(starts=starts, ends=state.clock(), firing=False))
            state.clock.advance(MINUTE)
        starts = state.clock()
        await state.post(wire_alert(starts=starts))
        await state.show()
        await state.post(wire_alert(starts=starts), key="another group")
        [(channel, step, view)] = await state.show()
        assert (channel, step.kind, step.silent) == ("chat", "new", True)
        assert view.firing[0].flapping


async def test_an_alert_that_came_and_went_unseen_is_shown_where_nothing_else_of_its_group_is(tmp_path: Path) -> None:
    """Alertmanager lists it as resolved beside one that fires, and only it is routed to a channel of its own."""
    capabilities = {"chat": LIVING, "calls": APPENDING}
    async with open_state(sqlite_engine(tmp_path), routes=BY_SEVERITY, capabilities=capabilities) as state:
        gone = wire_alert("Gone", firing=False, starts=state.clock() - MINUTE, ends=state.clock())
        await state.post(wire_alert("Fires", severity="warning"), gone)
        shown = {channel: view for channel, _, view in await state.show()}
        assert [alert.name for alert in shown["calls"].resolved] == ["Gone"]
        assert [alert.name for alert in shown["chat"].firing] == ["Fires"]


async def test_a_clock_set_back_lets_no_post_run_in_circles(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path), capabilities={"chat": LIVING}) as state:
        group = [wire_alert(instance=f"db-{number}") for number in range(15)]
        await state.post(*group)
        assert "attach" in await state.kinds()
        state.clock.advance(-HOUR)
        await state.post(*group, wire_alert("Worse", starts=state.clock()))
        assert "reply" in await state.kinds()


async def test_one_message_in_which_the_only_alert_resolves_and_another_fires(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert("First"))
        await state.show()
        await state.post(wire_alert("First", firing=False, ends=state.clock()), wire_alert("Second"))
        [*_, (_, _, view)] = await state.show()
        assert ([alert.name for alert in view.firing], view.closed_at) == (["Second"], None)
        await state.post(wire_alert("Second", firing=False, ends=state.clock()))
        [*_, (_, _, view)] = await state.show()
        assert not view.open


async def test_the_message_of_a_closed_incident_stays_resolved_when_its_alert_is_reopened_in_a_new_one(
    tmp_path: Path,
) -> None:
    """A peer repeats the alert long after; meanwhile the destination was away, so the end was not shown yet."""
    async with open_state(sqlite_engine(tmp_path), has_api=False) as state:
        alert = wire_alert()
        await state.post(alert)
        await state.show()
        await state.post(wire_alert(firing=False, ends=state.clock()))
        state.clock.advance(20 * MINUTE)
        await state.post(alert)
        views = {view.id: view for _, _, view in await state.show()}
        old, new = (views[incident] for incident in sorted(views))
        assert (old.open, new.open) == (False, True)
