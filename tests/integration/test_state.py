"""The state on both databases: what alerts, groups and incidents make of webhooks, and what each destination is told."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from relay.clock import HOUR, MINUTE
from relay.ingest.policy import Policy
from relay.ingest.reconcile import reroute_incident
from relay.notification import AlertState
from relay.routing import RouteConfig, Router
from relay.store.database import Connection
from relay.store.held import open_incidents
from tests.recorded import all_payloads
from tests.state import APPENDING, LIVING, START, State, open_state, postgres_engine, sqlite_engine, wire_alert

Open = Callable[..., AbstractAsyncContextManager[State]]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with opened(...) as state` on either database."""
    if request.param == "sqlite":
        return partial(open_state, sqlite_engine(tmp_path))
    return partial(open_state, postgres_engine(request.getfixturevalue("postgres_url")))


async def test_an_incident_is_one_message_from_first_firing_to_resolved(opened: Open) -> None:
    async with opened() as state:
        one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
        assert (await state.post(one)).channels == ("chat",)
        assert await state.kinds() == ["new"]
        await state.post(one, two)
        assert await state.kinds() == ["reply", "edit"]
        await state.post(wire_alert(instance="db-1", firing=False), two)
        assert await state.kinds() == ["edit"]
        await state.post(wire_alert(instance="db-2", firing=False))
        assert await state.kinds() == ["reply", "edit"]


async def test_a_resolved_warning_is_only_edited(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(severity="warning"))
        await state.show()
        await state.post(wire_alert(severity="warning", firing=False))
        assert await state.kinds() == ["edit"]


async def test_a_storm_collapses_into_the_newest_state(opened: Open) -> None:
    async with opened() as state:
        for number in range(20):
            await state.post(*[wire_alert(instance=f"db-{i}") for i in range(number + 1)])
        [(_, step, view)] = [one for one in await state.show() if one[1].kind == "new"]
        assert len(view.firing) == 20
        assert len(step.changes.fired) == 20


async def test_the_same_message_twice_changes_nothing(opened: Open) -> None:
    async with opened() as state:
        first = await state.post(wire_alert())
        second = await state.post(wire_alert())
        assert (first.duplicate, second.duplicate) == (False, True)
        assert second.channels == ("chat",)


async def test_peers_of_a_cluster_with_other_members_are_merged_by_alert(opened: Open) -> None:
    async with opened() as state:
        one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
        await state.post(one, two)
        await state.show()
        assert (await state.post(two)).duplicate
        assert (await state.post(one)).duplicate


async def test_a_refire_within_reopen_continues_the_message_and_announces(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=START + 2000))
        await state.show()
        state.clock.advance(5 * MINUTE)
        await state.post(wire_alert(starts=state.clock()))
        shown = await state.show()
        assert [step.kind for _, step, _ in shown] == ["reply", "edit"]
        assert shown[0][1].changes.fired[0].episode == 2


async def test_a_refire_after_reopen_is_a_new_message(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=START + 2000))
        await state.show()
        state.clock.advance(11 * MINUTE)
        await state.post(wire_alert(starts=state.clock()))
        assert await state.kinds() == ["new"]


async def test_a_late_firing_message_after_the_resolve_edits_and_rings_only_once_confirmed(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=START + 5000))
        await state.show()
        await state.post(wire_alert())  # another peer's retry, frozen before the resolve
        assert await state.kinds() == ["edit"]
        await state.poll(wire_alert())
        assert await state.kinds() == ["reply", "edit"]


async def test_a_late_firing_message_that_the_api_does_not_confirm_is_closed_again(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(severity="warning"))
        await state.post(wire_alert(severity="warning", firing=False, ends=START + 5000))
        await state.post(wire_alert(severity="warning"))
        await state.show()
        await state.poll()
        [(_, step, view)] = await state.show()
        assert step.kind == "edit"
        assert not view.open


async def test_without_an_api_a_reopened_episode_rings_at_once(opened: Open) -> None:
    async with opened(has_api=False) as state:
        await state.post(wire_alert())
        await state.post(wire_alert(firing=False, ends=START + 5000))
        await state.show()
        await state.post(wire_alert())
        assert await state.kinds() == ["reply", "edit"]


async def test_a_resolve_of_an_earlier_run_does_not_end_the_later_one(opened: Open) -> None:
    async with opened() as state:
        later = START + HOUR
        state.clock.advance(HOUR)
        await state.post(wire_alert(starts=later))
        await state.post(wire_alert(firing=False, starts=START, ends=START + MINUTE))
        [(_, _, view)] = await state.show()
        assert view.open


async def test_an_alert_that_resolved_while_we_were_down_is_closed_by_the_poll(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(severity="warning"))
        await state.show()
        await state.poll()
        [(_, step, view)] = await state.show()
        assert (step.kind, view.alerts[0].state) == ("edit", AlertState.RESOLVED)


async def test_a_silenced_alert_is_marked_and_still_fires(opened: Open) -> None:
    async with opened() as state:
        alert = wire_alert()
        await state.post(alert)
        await state.show()
        await state.poll(silenced=[alert])
        [(_, step, view)] = await state.show()
        assert step.kind == "edit"
        assert (view.alerts[0].state, view.alerts[0].silenced_by, view.open) == (AlertState.SILENCED, "anna", True)


async def test_the_poll_creates_nothing(opened: Open) -> None:
    async with opened() as state:
        await state.poll(wire_alert("NeverSent"))
        assert await state.show() == []


async def test_an_alert_in_two_groups_resolves_in_both(opened: Open) -> None:
    """After a changed group_by the old group never gets its resolve from Alertmanager."""
    async with opened() as state:
        alert = wire_alert(severity="warning")
        await state.post(alert, key="old")
        await state.post(alert, key="new")
        assert await state.kinds() == ["new", "new"]
        await state.post(wire_alert(severity="warning", firing=False), key="new")
        shown = await state.show()
        assert [step.kind for _, step, _ in shown] == ["edit", "edit"]
        assert not any(view.open for _, _, view in shown)


async def test_warning_and_critical_of_one_group_go_their_own_ways(opened: Open) -> None:
    routes = [
        RouteConfig(matchers=['severity="critical"'], channels=["chat", "mail"]),
        RouteConfig(channels=["chat"]),
    ]
    async with opened(routes=routes, capabilities={"chat": LIVING, "mail": APPENDING}) as state:
        await state.post(wire_alert(severity="warning", instance="a"), wire_alert(instance="b"))
        shown = {channel: view for channel, _, view in await state.show()}
        assert [alert.labels["instance"] for alert in shown["chat"].alerts] == ["b", "a"]
        assert [alert.labels["instance"] for alert in shown["mail"].alerts] == ["b"]


async def test_mail_is_silent_about_fewer_firing_and_tells_of_the_end(opened: Open) -> None:
    async with opened(routes=[RouteConfig(channels=["mail"])], capabilities={"mail": APPENDING}) as state:
        one, two = wire_alert(instance="a", severity="warning"), wire_alert(instance="b", severity="warning")
        await state.post(one, two)
        assert await state.kinds() == ["new"]
        await state.post(wire_alert(instance="a", severity="warning", firing=False), two)
        assert await state.kinds() == []
        await state.post(wire_alert(instance="b", severity="warning", firing=False))
        [(_, step, _)] = await state.show()
        assert step.changes.all_resolved


async def test_a_repeat_rings_only_for_an_unanswered_critical(opened: Open) -> None:
    async with opened() as state:
        for severity, expected in (("critical", ["reply", "edit"]), ("warning", ["edit"])):
            alert = wire_alert(severity=severity)
            await state.post(alert, key=severity)
            await state.show()
            state.clock.advance(HOUR)
            await state.post(alert, key=severity, notification_reason="repeat interval elapsed")
            assert await state.kinds() == expected


async def test_a_repeat_of_both_peers_rings_once(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.show()
        state.clock.advance(HOUR)
        await state.post(wire_alert(), notification_reason="repeat interval elapsed")
        await state.show()
        assert (await state.post(wire_alert(), notification_reason="repeat interval elapsed")).duplicate


async def test_without_a_reason_an_unchanged_message_after_ten_minutes_is_a_repeat(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.show()
        state.clock.advance(9 * MINUTE)
        assert (await state.post(wire_alert())).duplicate
        state.clock.advance(11 * MINUTE)
        assert not (await state.post(wire_alert())).duplicate


async def test_the_third_start_within_half_an_hour_is_flapping_and_only_edited(opened: Open) -> None:
    async with opened() as state:
        for _ in range(2):
            await state.post(wire_alert(starts=state.clock()))
            state.clock.advance(MINUTE)
            await state.post(wire_alert(firing=False, starts=state.clock(), ends=state.clock()))
            await state.show()
            state.clock.advance(MINUTE)
        await state.post(wire_alert(starts=state.clock()))
        [(_, step, view)] = await state.show()
        assert (step.kind, view.alerts[0].flapping) == ("edit", True)
        state.clock.advance(16 * MINUTE)
        await state.database.write(state.reconciler.end_flapping)
        shown = await state.show()
        assert [step.kind for _, step, _ in shown] == ["reply", "edit"]
        assert not shown[-1][2].alerts[0].flapping


@pytest.mark.parametrize("count", [2**31, 2**64 - 1, 10**30])
async def test_a_count_of_cut_alerts_beyond_all_measure_is_stored_as_large(opened: Open, count: int) -> None:
    async with opened() as state:
        await state.post(wire_alert(), truncatedAlerts=count)
        assert (await state.show())[-1][2].truncated == 1_000_000_000


@pytest.mark.parametrize("place", ["fingerprint", "generatorURL", "receiver", "groupKey", "externalURL"])
async def test_a_text_longer_than_any_index_takes_is_stored(opened: Open, place: str) -> None:
    """Random, since PostgreSQL would compress another: it is refused for ever if it is too long for an index."""
    long = "".join(random.Random(1).choices(string.ascii_letters, k=20_000))
    alert = wire_alert()
    message = {}
    if place in alert:
        alert[place] = long
    else:
        message[place] = long
    async with opened() as state:
        await state.post(alert, **message)
        assert await state.kinds() == ["new"]
        await state.post({**alert, "status": "resolved", "endsAt": "2026-09-21T14:13:25Z"}, **message)
        assert not (await state.show())[-1][2].open


async def test_a_truncated_group_stays_open_until_nothing_is_cut(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(severity="warning"), truncatedAlerts=7)
        await state.post(wire_alert(severity="warning", firing=False), truncatedAlerts=7)
        assert (await state.show())[-1][2].open
        await state.database.write(
            state.reconciler.settle_truncated, alertmanager="main", listed=[], listed_before=state.clock() + 1
        )
        assert not (await state.show())[-1][2].open


async def test_a_truncated_group_stays_open_while_the_api_lists_its_alerts(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(), truncatedAlerts=7)
        await state.post(wire_alert(firing=False), truncatedAlerts=7)
        await state.show()
        listed = [("relay", {"alertname": "DiskFull", "instance": "cut"})]
        await state.database.write(
            state.reconciler.settle_truncated, alertmanager="main", listed=listed, listed_before=state.clock() + 1
        )
        assert await state.show() == []


async def test_without_an_api_an_absent_alert_is_no_longer_reported_never_resolved(opened: Open) -> None:
    async with opened(has_api=False) as state:
        one, two = wire_alert(instance="a"), wire_alert(instance="b")
        await state.post(one, two)
        await state.post(one)
        assert {alert.state for alert in (await state.show())[-1][2].alerts} == {AlertState.FIRING}
        await state.post(one)
        states = {alert.labels["instance"]: alert.state for alert in (await state.show())[-1][2].alerts}
        assert states == {"a": AlertState.FIRING, "b": AlertState.UNREPORTED}


async def test_a_group_that_nobody_knew_and_that_is_resolved_opens_nothing(opened: Open) -> None:
    async with opened() as state:
        assert (await state.post(wire_alert(firing=False))).channels == ()
        assert await state.show() == []


async def test_a_changed_annotation_is_edited_without_a_ring(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(summary="90 %"))
        await state.show()
        await state.post(wire_alert(summary="95 %"))
        [(_, step, view)] = await state.show()
        assert (step.kind, view.alerts[0].annotations) == ("edit", {"summary": "95 %"})


async def test_annotations_that_an_earlier_release_wrote_with_other_blanks_have_not_changed(opened: Open) -> None:
    def write_as_before(conn: Connection) -> None:
        conn.exec_driver_sql("""UPDATE alerts SET annotations = '{"summary": "90 %"}'""")

    async with opened() as state:
        await state.post(wire_alert(summary="90 %"))
        await state.show()
        await state.database.write(write_as_before)
        assert (await state.post(wire_alert(summary="90 %"))).duplicate
        assert not (await state.post(wire_alert(summary="91 %"))).duplicate


async def test_another_config_routes_open_incidents_anew(opened: Open) -> None:
    both = {"chat": LIVING, "other": LIVING}
    async with opened(capabilities=both) as state:
        await state.post(wire_alert())
        await state.show()
        router = Router([RouteConfig(channels=["other"])], state.policy.severities)
        policy = Policy(router=router, severities=state.policy.severities, reopen=state.policy.reopen)
        for incident in await state.database.read(open_incidents):
            await state.database.write(reroute_incident, policy, state.new_id, state.clock, incident)
        shown = {channel: step for channel, step, _ in await state.show()}
        assert (shown["chat"].kind, shown["other"].kind, shown["other"].silent) == ("farewell", "new", True)


async def test_the_same_config_again_changes_nothing(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.show()
        for incident in await state.database.read(open_incidents):
            await state.database.write(reroute_incident, state.policy, state.new_id, state.clock, incident)
        assert await state.show() == []


async def test_every_recorded_scenario_ends_in_rest_and_in_truth(opened: Open) -> None:
    from relay.alerts import WebhookMessage
    from relay.ingest.accept import Delivered, Source, acceptor

    async with opened() as state:
        batch = acceptor(state.policy, state.new_id, state.clock)
        for recorded in all_payloads():
            message = WebhookMessage.model_validate_json(recorded.body)
            scenario = f"{recorded.version} {recorded.name.split('.')[0]}"
            state.clock.advance(HOUR)
            source = Source(name=scenario, has_api=True)
            accepted = await state.database.write_batched(batch, Delivered(source=source, message=message))
            for _, _, view in await state.show():
                listed = {alert.fingerprint: alert.firing for alert in message.alerts}
                shown = {alert.fingerprint: alert.state.open for alert in view.alerts if alert.fingerprint in listed}
                assert shown == listed, scenario
            assert accepted.group.startswith("g")
