"""What the relay reports about itself: where it is told, once, and what is shown elsewhere meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from relay.clock import HOUR, MINUTE
from relay.ingest.accept import Delivered, Source
from relay.ingest.beats import end_shown_watchdogs
from relay.ingest.reconcile import reroute_incident
from relay.matchers import parse_matchers
from relay.routing import RouteConfig
from relay.store.database import Connection
from relay.store.deliveries import retry_delivery
from relay.store.held import open_incidents
from relay.store.posts import Failure
from relay.store.sqlite import SqliteEngine
from tests.state import FakeClock, postgres_engine, sqlite_engine, wire_alert, wire_message
from tests.watching import AWAY, KICKED, Plan, Watch, open_watch, watch_over

T = TypeVar("T")
Open = Callable[..., AbstractAsyncContextManager[Watch]]
BOTH = (RouteConfig(channels=["chat", "team"]),)
STOOD_IN = Plan(fallbacks={"chat": "team", "team": None})


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with opened(...) as watch` on either database."""
    if request.param == "sqlite":
        return partial(open_watch, sqlite_engine(tmp_path))
    return partial(open_watch, postgres_engine(request.getfixturevalue("postgres_url")))


# -- a channel that fails --------------------------------------------------------------------------------------------


async def test_a_kicked_bot_is_told_elsewhere_at_once_in_one_sentence_and_again_when_it_works(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.fails("chat")
        await watch.rounds()
        [line] = await watch.told()
        assert line.startswith("team new: chat refuses since ")
        assert line.endswith(" UTC: bot was kicked")
        await watch.rounds(600)
        assert await watch.told() == []
        await watch.works("chat")
        await watch.rounds()
        assert [line.split(":")[0] for line in await watch.told()] == ["team edit", "team reply"]


async def test_a_report_says_in_russian_too_what_is_wrong_and_how_to_find_out_that_it_is_mended(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.fails("chat")
        await watch.rounds()
        [(_, _, view)] = await watch.state.show()
        [said] = [alert.annotations for alert in view.alerts]
        assert said["summary_ru"].endswith(" UTC: туда нельзя писать (bot was kicked)")
        assert "relay send-test --channel chat" in said["description"]
        assert "relay send-test --channel chat" in said["description_ru"]


async def test_a_report_leads_to_the_page_that_says_how_the_relay_is(opened: Open) -> None:
    async with opened(Plan(routes=BOTH, health_url="https://relay.example.org/health")) as watch:
        await watch.fails("chat")
        await watch.rounds()
        [(_, _, view)] = await watch.state.show()
        assert [alert.generator_url for alert in view.alerts] == ["https://relay.example.org/health"]
        await watch.works("chat")
        await watch.rounds()
        last = (await watch.state.show())[-1][2]
        assert not last.open
        assert [alert.generator_url for alert in last.alerts] == ["https://relay.example.org/health"]


async def test_a_channel_that_nobody_else_is_routed_with_is_told_to_its_fallback_else_to_all_others(
    opened: Open,
) -> None:
    async with opened(Plan(fallbacks={"chat": "mail", "team": None, "mail": None})) as watch:
        await watch.fails("chat")
        await watch.fails("team")
        await watch.rounds()
        told = [line.partition(" refuses")[0] for line in await watch.told()]
        assert told == ["chat new: team", "mail new: chat", "mail new: team"]  # the last stands in for chat


async def test_a_channel_that_cannot_be_reached_is_told_after_five_minutes(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.fails("chat", AWAY)
        await watch.rounds(296)
        assert await watch.told() == []
        await watch.rounds(8)
        [line] = await watch.told()
        assert line.startswith("team new: chat cannot be reached since ")
        await watch.fails("chat", KICKED)
        await watch.rounds()
        assert [line.split(" since")[0] for line in await watch.told()] == ["team edit: chat refuses"]


async def test_a_clock_that_jumps_ahead_makes_no_alarm(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.rounds()
        await watch.fails("chat", AWAY)
        watch.state.clock.advance(HOUR)
        await watch.rounds()
        await watch.works("chat")
        await watch.rounds()
        assert await watch.told() == []


async def test_a_channel_that_comes_and_goes_stops_ringing(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        kinds = []
        for _ in range(4):
            await watch.rounds()
            await watch.fails("chat")
            await watch.rounds()
            kinds.append([line.split(":")[0] for line in await watch.told()])
            await watch.works("chat")
            await watch.rounds()
            await watch.told()
        assert kinds == [["team new"], ["team edit", "team reply"], ["team edit"], ["team edit"]]


async def test_two_channels_that_fail_make_two_reports_and_no_loop(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.fails("chat")
        await watch.fails("team")
        for _ in range(20):
            await watch.rounds(60, every=10)
        assert len(await watch.told()) == 2


async def test_a_restart_and_another_replica_tell_nothing_twice(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.fails("chat")
        await watch.rounds()
        assert len(await watch.told()) == 1
        other = watch_over(watch.state, Plan(routes=BOTH), "two")
        await watch.keeper.release()  # the first one is gone
        await other.rounds(10)
        assert await other.told() == []
        await other.works("chat")
        await other.rounds()
        assert len(await other.told()) == 2


async def test_only_the_holder_of_the_lease_tells(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.rounds()
        other = watch_over(watch.state, Plan(routes=BOTH), "two")
        await watch.fails("chat")
        if watch.state.database.kind == "postgresql":  # the embedded database is never shared
            await other.keeper.renew()
            await other.watcher.round()
            assert await watch.told() == []
        await watch.rounds()
        assert len(await watch.told()) == 1


# -- posts that wait, and posts that were given up -------------------------------------------------------------------


async def test_a_queue_that_is_old_is_told_and_its_end_too(opened: Open) -> None:
    async with opened(Plan(routes=BOTH)) as watch:
        await watch.rounds()
        await watch.state.post(wire_alert(severity="warning"))
        due = await watch.state.due()
        assert due is not None
        await watch.rounds(400)
        shown = await watch.told()
        assert "team new: chat lags behind" in shown
        assert "chat new: team lags behind" in shown
        await watch.rounds()
        assert {line for line in await watch.told() if "lags" in line} == {
            "chat edit: team lags behind (resolved)",
            "team edit: chat lags behind (resolved)",
        }


# -- standing in -----------------------------------------------------------------------------------------------------


async def test_a_critical_alert_of_a_refusing_channel_is_shown_at_its_fallback_with_its_end(opened: Open) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.fails("chat")
        await watch.state.post(wire_alert(summary="disk full"), wire_alert("Slow", severity="warning", summary="slow"))
        await watch.rounds()
        shown = [line for line in await told_at(watch, "team") if "disk" in line]
        assert shown == ["team new: disk full"]
        await watch.state.post(wire_alert(summary="disk full", firing=False), wire_alert("Slow", severity="warning"))
        await watch.rounds()
        shown = [line for line in await told_at(watch, "team") if "disk" in line]
        assert shown == ["team edit: disk full (resolved)", "team reply: disk full (resolved)"]


async def test_nothing_is_stood_in_for_before_a_minute_when_the_failure_may_pass(opened: Open) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.fails("chat", AWAY)
        await watch.state.post(wire_alert(summary="disk full"))
        await watch.rounds(54)
        assert await told_at(watch, "team") == []
        await watch.rounds(8)
        assert await told_at(watch, "team") == ["team new: disk full"]


async def test_what_was_told_already_and_what_is_not_critical_stays_where_it_is(opened: Open) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.state.post(wire_alert(summary="disk full"))
        await watch.told()
        await watch.state.post(wire_alert(summary="disk still full"))
        await watch.state.post(wire_alert("Slow", severity="error", summary="slow"), key="slow")
        await watch.fails("chat")
        await watch.rounds(10)
        assert [line for line in await told_at(watch, "team") if "refuses" not in line] == []


async def test_a_later_critical_of_the_same_incident_rings_at_the_fallback(opened: Open) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.fails("chat")
        one, two = wire_alert(summary="one", instance="1"), wire_alert(summary="two", instance="2")
        await watch.state.post(one)
        await watch.rounds()
        assert "team new: one" in await told_at(watch, "team")
        await watch.state.post(one, two)
        await watch.rounds()
        assert await told_at(watch, "team") == ["team edit: one, two", "team reply: one, two"]


async def test_a_fallback_that_shows_the_warnings_of_a_group_rings_for_its_critical(opened: Open) -> None:
    routes = [
        RouteConfig(matchers=['severity="critical"'], channels=["chat"]),
        RouteConfig(channels=["team"]),
    ]
    async with opened(Plan(routes=routes, fallbacks={"chat": "team", "team": None})) as watch:
        await watch.fails("chat")
        worse = wire_alert(summary="disk full")
        await watch.state.post(worse, wire_alert("Slow", severity="warning", summary="slow"))
        assert await told_at(watch, "team") == ["team new: slow"]
        await watch.rounds()
        shown = [line for line in await told_at(watch, "team") if "refuses" not in line]
        assert shown == ["team edit: disk full, slow", "team reply: disk full, slow"]


async def test_a_critical_that_alone_does_not_get_through_is_shown_at_the_fallback_after_five_minutes(
    opened: Open,
) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.state.post(wire_alert(summary="disk full"))
        failure = Failure(reason="server_error", detail="HTTP 500", due_at=watch.state.clock() + 10 * MINUTE)
        await watch.refuses_a_post(failure, times=2)
        await watch.works("chat")  # it takes others
        await watch.rounds(290)
        assert await told_at(watch, "team") == []
        await watch.rounds(20)
        assert "team new: disk full" in await told_at(watch, "team")


async def test_the_fallback_of_the_fallback_is_used_when_both_fail(opened: Open) -> None:
    plan = Plan(fallbacks={"chat": "team", "team": "mail", "mail": None})
    async with opened(plan) as watch:
        await watch.fails("chat")
        await watch.fails("team")
        await watch.state.post(wire_alert(summary="disk full"))
        await watch.rounds()
        assert "mail new: disk full" in await told_at(watch, "mail")


async def test_a_critical_that_was_given_up_is_shown_at_the_fallback_and_told_until_nothing_is_left(
    opened: Open,
) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.state.post(wire_alert(summary="disk full"))
        post = await watch.refuses_a_post(Failure(reason="not_found", detail="550 no such user", due_at=None))
        await watch.rounds()
        assert await told_at(watch, "team") == ["team new: Posts of chat were given up", "team new: disk full"]
        await watch.state.database.write(retry_delivery, post, watch.state.clock())
        await watch.rounds()
        assert await told_at(watch, "team") == ["team edit: Posts of chat were given up (resolved)"]


async def test_a_restart_keeps_what_is_shown_at_the_fallback(opened: Open) -> None:
    async with opened(STOOD_IN) as watch:
        await watch.fails("chat")
        await watch.state.post(wire_alert(summary="disk full"))
        await watch.rounds()
        await told_at(watch, "team")
        state = watch.state
        for incident in await state.database.read(open_incidents):
            await state.database.write(reroute_incident, state.policy, state.new_id, state.clock, incident)
        assert await told_at(watch, "team") == []


async def told_at(watch: Watch, channel: str) -> list[str]:
    """What this channel alone is shown: the others take nothing."""
    everything = watch.state.capabilities
    watch.state.capabilities = {channel: everything[channel]}
    try:
        return await watch.told()
    finally:
        watch.state.capabilities = everything


# -- watchdogs -------------------------------------------------------------------------------------------------------

DOG = Plan(watchdogs={"main": (15 * MINUTE, ["team"])})


async def test_a_beat_is_no_message_and_is_remembered(opened: Open) -> None:
    async with opened(DOG) as watch:
        for _ in range(2):
            assert not (await watch.beat()).duplicate  # each beat is news
        await watch.rounds()
        assert await watch.told() == []
        text = watch.metrics.render()[0].decode()
        assert 'relay_watchdog_last_seen_timestamp_seconds{alertmanager="main"}' in text


async def test_a_watchdog_among_other_alerts_of_a_group_is_left_out(opened: Open) -> None:
    async with opened(DOG) as watch:
        message = wire_message(wire_alert("Watchdog", severity="none"), wire_alert(summary="disk full"))
        source = Source(name="main", has_api=True)
        delivered = Delivered(source=source, message=message)
        await watch.state.database.write_batched(watch.accept, delivered)
        assert await watch.told() == ["chat new: disk full"]
        assert not (await watch.state.database.write_batched(watch.accept, delivered)).duplicate
        alone = Delivered(source=source, message=wire_message(wire_alert(summary="disk full")))
        assert (await watch.state.database.write_batched(watch.accept, alone)).duplicate


async def test_a_missing_watchdog_is_told_on_its_channels_and_its_return_too(opened: Open) -> None:
    async with opened(DOG) as watch:
        await watch.beat()
        await watch.rounds(14 * 60, every=20)
        await watch.beat()
        await watch.rounds(15 * 60 - 20, every=20)
        assert await watch.told() == []
        await watch.rounds(60, every=20)
        assert await watch.told() == ["team new: No watchdog from Alertmanager main"]
        await watch.rounds(HOUR / 1000, every=60)
        assert await watch.told() == []
        await watch.beat()
        await watch.rounds()
        gone = "No watchdog from Alertmanager main (resolved)"
        assert await watch.told() == [f"team edit: {gone}", f"team reply: {gone}"]


async def test_a_watchdog_that_never_came_is_told_after_its_time(opened: Open) -> None:
    async with opened(DOG) as watch:
        await watch.rounds(15 * 60 - 20, every=20)
        assert await watch.told() == []
        await watch.rounds(60, every=20)
        assert await watch.told() == ["team new: No watchdog from Alertmanager main"]


async def test_after_a_restart_a_watchdog_has_its_whole_time_again(opened: Open) -> None:
    async with opened(DOG) as watch:
        await watch.beat()
        watch.state.clock.advance(5 * HOUR)  # down
        again = watch_over(watch.state, DOG, "one")
        await again.rounds(15 * 60 - 20, every=20)
        assert await again.told() == []
        await again.rounds(60, every=20)
        assert await again.told() == ["team new: No watchdog from Alertmanager main"]


async def test_a_restart_while_the_watchdog_is_missing_tells_neither_again_nor_its_return(opened: Open) -> None:
    async with opened(DOG) as watch:
        await watch.rounds(16 * 60, every=20)
        assert len(await watch.told()) == 1
        again = watch_over(watch.state, DOG, "one")
        await again.rounds(20 * 60, every=20)
        assert await again.told() == []


async def test_a_beat_that_another_replica_took_counts(opened: Open) -> None:
    async with opened(DOG) as watch:
        other = watch_over(watch.state, DOG, "two")
        for _ in range(6):
            await other.beat()
            await watch.rounds(5 * 60, every=20)
        assert await watch.told() == []


async def test_what_was_a_message_before_it_was_called_a_watchdog_ends(opened: Open) -> None:
    async with opened(DOG) as watch:
        state = watch.state
        await state.post(wire_alert("Watchdog", severity="none"), wire_alert(summary="disk full"))
        await watch.told()
        matchers = {"main": parse_matchers('alertname="Watchdog"')}
        await state.database.write(end_shown_watchdogs, matchers, state.reconciler, state.clock())
        [(_, _, view)] = await state.show()
        assert {alert.name: alert.state.open for alert in view.alerts} == {"Watchdog": False, "DiskFull": True}


# -- Alertmanager and the store --------------------------------------------------------------------------------------


async def test_an_alertmanager_that_does_not_answer_for_five_minutes_is_told(opened: Open) -> None:
    async with opened(Plan(routes=BOTH), polled=["main"]) as watch:
        contact = watch.contacts["main"]
        contact.up = False
        await watch.rounds(298)
        assert await watch.told() == []
        await watch.rounds(6)
        text = "The relay cannot reach Alertmanager main"
        assert await watch.told() == [f"chat new: {text}", f"team new: {text}"]
        contact.up, contact.answered_at = True, watch.state.clock()
        await watch.rounds()
        assert await watch.told() == [f"chat edit: {text} (resolved)", f"team edit: {text} (resolved)"]


async def test_a_poller_that_has_just_started_and_knows_nothing_ends_no_report(opened: Open) -> None:
    async with opened(Plan(routes=BOTH), polled=["main"]) as watch:
        watch.contacts["main"].up = False
        await watch.rounds(310)
        await watch.told()
        again = watch_over(watch.state, Plan(routes=BOTH), "one", polled=["main"])
        await again.rounds(20)
        assert await again.told() == []


async def test_a_report_about_something_that_left_the_config_ends(opened: Open) -> None:
    async with opened(Plan(routes=BOTH), polled=["main"]) as watch:
        watch.contacts["main"].up = False
        await watch.rounds(310)
        await watch.told()
        again = watch_over(watch.state, Plan(routes=BOTH), "one")
        await again.rounds()
        assert {line.split(":")[0] for line in await again.told()} == {"chat edit", "team edit"}


async def test_a_store_that_commits_slowly_three_times_is_told_and_its_recovery_too(tmp_path: Path) -> None:
    engine = SlowEngine(tmp_path / "relay.db")
    async with open_watch(engine, Plan(routes=BOTH)) as watch:
        engine.clock = watch.state.clock
        await watch.rounds(40)
        engine.slow = True
        await watch.rounds(4)  # two transactions
        engine.slow = False
        assert await watch.told() == []
        await watch.rounds(40)
        engine.slow = True
        await watch.rounds(60)
        engine.slow = False
        assert await watch.told() == [
            "chat new: The relay's database is slow",
            "team new: The relay's database is slow",
        ]
        await watch.rounds(20)
        assert await watch.told() == []
        await watch.rounds(30)
        ended = "The relay's database is slow (resolved)"
        assert await watch.told() == [f"chat edit: {ended}", f"team edit: {ended}"]


class SlowEngine(SqliteEngine):
    """A disk that takes three seconds for a transaction, on a clock that only moves when a test says so."""

    slow = False
    clock: FakeClock | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.slow and self.clock is not None:
            self.clock.advance(3000)
        return await super().write(work)
