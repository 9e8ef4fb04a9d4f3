"""What the state makes of rarer turns: another config in between, messages that contradict each other, late ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from relay.app.timers import route_anew
from relay.clock import HOUR, MINUTE
from relay.ingest.reconcile import Reconciler, Reported, abandon_orphans, reroute_incident
from relay.notification import AlertState
from relay.routing import RouteConfig, Router
from relay.severity import Severity, SeverityMap
from relay.store.database import Connection, StoreUnavailable
from relay.store.held import held_alerts, open_incidents
from relay.store.posts import Due, Failure, record_failure
from relay.store.sqlite import SqliteEngine
from relay.store.subjects import of_group
from tests.state import LIVING, State, open_state, sqlite_engine, wire_alert

T = TypeVar("T")
BOTH = {"chat": LIVING, "other": LIVING}


async def start_anew(
    state: State, *, routes: Sequence[RouteConfig] | None = None, severities: SeverityMap | None = None
) -> None:
    """As a start with another config does."""
    severities = severities or state.policy.severities
    router = Router(routes, severities) if routes is not None else state.policy.router
    state.policy = replace(state.policy, router=router, severities=severities)
    state.reconciler = Reconciler(state.policy, state.new_id, state.clock)
    for incident in await state.database.read(open_incidents, state.clock() - state.policy.longest_reopen):
        await state.database.write(reroute_incident, state.policy, state.new_id, state.clock, incident)


async def test_a_severity_that_the_config_maps_anew_counts_for_an_alert_that_was_known_before(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert(severity="P1"))
        await state.post(wire_alert(severity="P1", firing=False, ends=state.clock()))
        assert [view.severity for _, _, view in await state.show()] == [Severity.WARNING]
        state.clock.advance(HOUR)
        await start_anew(state, severities=SeverityMap(levels={"critical": ["P1"]}))
        await state.post(wire_alert(severity="P1", starts=state.clock()))
        [(_, _, view)] = await state.show()
        assert view.severity is Severity.CRITICAL


async def test_a_severity_that_the_config_maps_anew_is_shown_in_every_group_of_the_alert(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        for key in ("one", "two"):
            await state.post(wire_alert(severity="P1"), key=key)
        await state.show()
        await start_anew(state, severities=SeverityMap(levels={"critical": ["P1"]}))
        shown = await state.show()
        assert sorted(step.kind for _, step, _ in shown) == ["edit", "edit", "reply", "reply"]
        assert {view.severity for _, _, view in shown} == {Severity.CRITICAL}


async def test_an_alert_that_fires_again_soon_after_a_start_with_other_routes_is_shown_where_they_lead(
    tmp_path: Path,
) -> None:
    async with open_state(sqlite_engine(tmp_path), capabilities=BOTH) as state:
        await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=state.clock()))
        await state.show()
        state.clock.advance(MINUTE)
        await start_anew(state, routes=[RouteConfig(channels=["other"])])
        assert await state.show() == []  # what is over stays where it was shown
        await state.post(wire_alert(starts=state.clock()))
        assert await state.kinds() == ["other new"]


async def test_what_a_channel_still_shows_as_firing_ends_there_though_it_is_routed_elsewhere_by_now(
    tmp_path: Path,
) -> None:
    async with open_state(sqlite_engine(tmp_path), capabilities=BOTH) as state:
        await state.post(wire_alert())
        await state.show()
        await state.post(wire_alert(firing=False, ends=state.clock()))  # and the destination is away
        await start_anew(state, routes=[RouteConfig(channels=["other"])])
        await state.post(wire_alert(starts=state.clock() + 1))
        assert sorted(await state.kinds()) == ["chat farewell", "other new"]


async def test_a_repeat_rings_for_an_unanswered_critical_whose_annotation_changes_every_time(tmp_path: Path) -> None:
    for reason in ("repeat interval elapsed", ""):
        async with open_state(sqlite_engine(tmp_path / (reason or "none"))) as state:
            await state.post(wire_alert(summary="90 %"))
            await state.show()
            state.clock.advance(HOUR)
            await state.post(wire_alert(summary="91 %"), notification_reason=reason)
            assert await state.kinds() == ["reply", "edit"]


async def test_a_message_of_news_is_no_repeat_however_late_it_comes(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
        await state.post(one, two)
        await state.show()
        state.clock.advance(HOUR)
        await state.post(one, wire_alert(instance="db-2", firing=False, ends=state.clock()))
        assert await state.kinds() == ["edit"]


async def test_a_channel_that_still_shows_the_last_run_as_firing_continues_its_message(tmp_path: Path) -> None:
    """Its `reopen` is over, and yet a new message would leave the old one standing as it is, for ever."""
    async with open_state(sqlite_engine(tmp_path), capabilities=BOTH) as state:
        routes = [RouteConfig(channels=["chat", "other"])]
        await start_anew(state, routes=routes)
        state.policy = replace(state.policy, reopen={"chat": 10 * MINUTE, "other": HOUR})
        await state.post(wire_alert())
        await state.show()
        await state.post(wire_alert(firing=False, ends=state.clock()))
        state.clock.advance(20 * MINUTE)  # the destination is away meanwhile
        await state.post(wire_alert(starts=state.clock()))
        assert "chat new" not in await state.kinds()


async def test_a_new_alert_is_shown_at_a_channel_to_which_the_others_of_its_group_are_no_longer_routed(
    tmp_path: Path,
) -> None:
    async with open_state(sqlite_engine(tmp_path), capabilities=BOTH) as state:
        warning = wire_alert(severity="warning")
        await state.post(warning)
        await state.show()
        urgent = RouteConfig(matchers=['severity="critical"'], channels=["chat"])
        await start_anew(state, routes=[urgent, RouteConfig(channels=["other"])])
        assert sorted(await state.kinds()) == ["chat farewell", "other new"]
        await state.post(warning, wire_alert("DiskDead"))
        shown = {channel: view for channel, _, view in await state.show()}
        assert [alert.name for alert in shown["chat"].firing] == ["DiskDead"]


async def one_of_two_leaves(state: State) -> tuple[dict[str, object], dict[str, object]]:
    """The alerts of db-1, which two messages no longer list, and of db-2; both as last shown."""
    one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
    await state.post(one, two)
    await state.post(two)
    await state.post(two)
    await state.show()
    return one, two


async def test_without_an_api_an_alert_that_left_and_fires_anew_rings(tmp_path: Path) -> None:
    """It was silenced, resolved meanwhile, and nobody has told."""
    async with open_state(sqlite_engine(tmp_path), has_api=False) as state:
        _, two = await one_of_two_leaves(state)
        state.clock.advance(HOUR)
        await state.post(wire_alert(instance="db-1", starts=state.clock()), two)
        shown = await state.show()
        assert [step.kind for _, step, _ in shown] == ["reply", "edit"]
        assert [(alert.labels["instance"], alert.episode) for alert in shown[0][1].changes.fired] == [("db-1", 2)]


async def test_without_an_api_an_alert_that_left_and_comes_back_as_the_same_run_is_only_edited(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path), has_api=False) as state:
        one, two = await one_of_two_leaves(state)
        await state.post(one, two)
        [(_, step, view)] = await state.show()
        assert step.kind == "edit"
        assert {alert.state for alert in view.alerts} == {AlertState.FIRING}


async def test_without_an_api_a_run_that_another_group_began_is_shown_where_the_alert_had_left(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path), has_api=False) as state:
        shared, own = wire_alert("Shared"), wire_alert("Own")
        group = (await state.post(shared, own, key="one")).group
        await state.post(own, key="one")
        await state.post(own, key="one")  # it has left this group, and resolves
        await state.post(shared, key="two")
        await state.post(wire_alert("Shared", firing=False, ends=state.clock()), key="two")
        await state.post(wire_alert("Shared", starts=state.clock() + 1), key="two")
        view = await state.database.read(of_group, group, state.clock())
        assert view is not None
        assert {alert.name for alert in view.firing} == {"Shared", "Own"}


async def test_a_listing_that_is_older_than_the_last_message_closes_no_truncated_group(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert(), truncatedAlerts=7)
        asked_at = state.clock()
        accepted = await state.post(wire_alert(firing=False, ends=state.clock()), truncatedAlerts=3)
        await state.database.write(
            state.reconciler.settle_truncated, alertmanager="main", listed=[], listed_before=asked_at
        )
        view = await state.database.read(of_group, accepted.group, state.clock())
        assert view is not None
        assert view.open


async def test_a_listing_that_is_older_than_a_late_message_does_not_confirm_it(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert())
        asked_at = state.clock()
        await state.post(wire_alert(firing=False, ends=state.clock()))
        await state.show()
        await state.post(wire_alert())  # another peer's, from before the resolve
        [held] = await state.database.read(held_alerts, "main")
        reported = {held.id: Reported()}
        await state.database.write(state.reconciler.apply, reported=reported, gone=(), listed_before=asked_at)
        assert await state.kinds() == ["edit"]


async def test_what_fires_of_a_cluster_that_left_the_config_is_no_longer_reported(tmp_path: Path) -> None:
    """As after it was given another name: nobody would ever tell the end of the old one's."""
    async with open_state(sqlite_engine(tmp_path)) as state:
        group = (await state.post(wire_alert())).group
        state.source = "renamed"
        await state.post(wire_alert())
        await state.show()
        around = (state.policy, state.new_id, state.clock)
        await state.database.write(abandon_orphans, *around, ["renamed"])
        [(_, step, view)] = await state.show()
        assert (step.kind, view.code, view.open) == ("edit", group, False)
        assert [alert.state for alert in view.alerts] == [AlertState.UNREPORTED]
        assert await state.database.read(held_alerts, "main") == []
        assert len(await state.database.read(held_alerts, "renamed")) == 1
        state.source = "main"  # and back again
        await state.post(wire_alert())
        [(_, _, view)] = await state.show()
        assert [alert.state for alert in view.alerts] == [AlertState.FIRING]


async def test_a_flapping_alert_that_somebody_silenced_does_not_ring_when_its_mark_goes(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        for _ in range(2):
            await state.post(wire_alert(starts=state.clock()))
            await state.post(wire_alert(firing=False, starts=state.clock(), ends=state.clock()))
        alert = wire_alert(starts=state.clock())
        await state.post(alert)
        await state.poll(silenced=[alert])
        await state.show()
        state.clock.advance(16 * MINUTE)
        await state.database.write(state.reconciler.end_flapping)
        assert await state.kinds() == ["edit"]
        await state.poll(alert)  # the silence is over, and it still fires
        assert await state.kinds() == ["reply", "edit"]


async def test_a_late_message_of_a_silenced_alert_rings_when_the_silence_is_over(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=state.clock()))
        await state.post(wire_alert())  # another peer's, from before the resolve
        await state.show()
        await state.poll(silenced=[wire_alert()])
        assert await state.kinds() == ["edit"]
        await state.poll(wire_alert())
        assert await state.kinds() == ["reply", "edit"]


async def give_up(state: State, due: Due | None, **values: Any) -> None:
    """The destination refuses this for good."""
    assert due is not None
    failure = Failure(reason="rejected", detail="no", due_at=None, **values)
    await state.database.write(record_failure, due.post.id, failure, None)


async def test_the_end_is_shown_where_a_message_stands_although_a_change_of_it_was_given_up(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        one, two = wire_alert(instance="db-1", severity="warning"), wire_alert(instance="db-2", severity="warning")
        await state.post(one, two)
        await state.show()
        await state.post(one, wire_alert(instance="db-2", severity="warning", firing=False, ends=state.clock()))
        await give_up(state, await state.due())
        assert await state.show() == []
        await state.post(wire_alert(instance="db-1", severity="warning", firing=False, ends=state.clock()))
        [(_, step, view)] = await state.show()
        assert (step.kind, view.open) == ("edit", False)


async def test_the_end_of_what_was_never_shown_wakes_no_dead_letter(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert())
        await give_up(state, await state.due())
        await state.post(wire_alert(firing=False, ends=state.clock()))
        assert await state.show() == []


async def test_what_changed_while_a_message_was_refused_for_good_gets_a_try_of_its_own(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert(instance="db-1"))
        due = await state.due()
        assert due is not None
        await state.post(wire_alert(instance="db-1"), wire_alert(instance="db-2"))
        await give_up(state, due, revision=due.view.revision)
        [(_, step, view)] = await state.show()
        assert (step.kind, len(view.firing)) == ("new", 2)


class Stumbling(SqliteEngine):
    """A database that goes away for a moment after it was opened."""

    failures = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        self._stumble()
        return await super().read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self._stumble()
        return await super().write(work)

    def _stumble(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")


async def test_a_store_that_is_away_at_the_start_does_not_leave_open_incidents_on_their_old_routes(
    tmp_path: Path,
) -> None:
    engine = Stumbling(tmp_path / "relay.db")
    async with open_state(engine, capabilities=BOTH) as state:
        await state.post(wire_alert())
        await state.show()
        router = Router([RouteConfig(channels=["other"])], state.policy.severities)
        engine.failures = 2
        woken: set[str] = set()
        policy = replace(state.policy, router=router)
        await route_anew(state.database, policy, state.new_id, state.clock, woken.update, asyncio.Event(), {"main"})
        assert woken == {"chat", "other"}
        assert sorted(await state.kinds()) == ["chat farewell", "other new"]
