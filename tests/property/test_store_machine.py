"""Anything may happen in any order to the state: webhooks, people, polls, calls that fail, crashes, clocks that jump.

A small Alertmanager notifies, repeats, truncates and forgets; destinations take, refuse, or take and never answer. After
every step the rows must make sense, and whenever the dust settles the promises of `docs/explanation/delivery.md` must hold.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import shutil
import tempfile
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, select

from relay import planning, retry
from relay.acking import Acker
from relay.app.timers import route_anew
from relay.clock import DAY, HOUR, MINUTE, Millis
from relay.delivery.outcome import failure_of, progress_of
from relay.ids import make_ids
from relay.ingest.reconcile import Reconciler
from relay.ingest.turn import Turn
from relay.notification import AlertState, DeliveryError, IncidentView, Kind, Notice, Sent
from relay.planning import Step
from relay.routing import RouteConfig
from relay.store import schema
from relay.store.database import Engine
from relay.store.overview import overview
from relay.store.postgres import PostgresEngine
from relay.store.posts import Due, record_done, record_failure, record_progress
from relay.store.retention import Retention
from relay.store.subjects import of_group
from relay.store.views import load_view
from tests.state import (
    APPENDING,
    LIVING,
    FakeClock,
    State,
    open_state,
    postgres_engine,
    sqlite_engine,
    standing_of,
    wire_alert,
)

T = TypeVar("T")

SEVERITIES = {"A": "critical", "B": "warning", "C": "critical", "D": "info", "E": "warning"}
GROUPS = {"one": "ABC", "two": "CD", "three": "E"}
"""C is in two groups, as with `continue: true`: each of them notifies of it on its own."""
CHANNELS = {"chat": LIVING, "mail": APPENDING, "quiet": LIVING}
ROUTES = (
    RouteConfig(matchers=['severity="info"'], channels=["quiet"], silent=True),
    RouteConfig(matchers=['severity="critical"'], channels=["mail"], **{"continue": True}),
    RouteConfig(channels=["chat"]),
)
OTHER_ROUTES = (
    RouteConfig(matchers=['severity="warning"'], channels=["mail", "chat"]),
    RouteConfig(channels=["quiet"]),
)
MANY = 2
"""More alerts than this do not fit into a message: the whole list follows as a file."""

Outcome = Literal[
    "taken", "refused", "never", "away", "gone", "no answer", "lost answer", "crash before", "crash after"
]


@dataclass
class Real:
    """An alert as it really is, in Prometheus and Alertmanager."""

    firing: bool = False
    starts: Millis = 0
    ends: Millis = 0

    def wire(self, name: str) -> dict[str, object]:
        return wire_alert(name, firing=self.firing, starts=self.starts, ends=self.ends, severity=SEVERITIES[name])


@dataclass
class Shown:
    """What a destination has of one post: the newest revision, and each alert's state as it was shown last."""

    revision: int = 0
    states: dict[str, AlertState] = field(default_factory=dict)

    @property
    def open(self) -> set[str]:
        return {name for name, state in self.states.items() if state.open}


class StoreMachine(RuleBasedStateMachine):
    """One state, its surroundings, and what must never happen."""

    def make_database(self) -> None:
        """An empty one, with its tables."""
        self.folder = tempfile.mkdtemp(prefix="relay-machine-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        (Path(self.folder) / "relay.db").write_bytes(empty_database())

    def drop_database(self) -> None:
        shutil.rmtree(self.folder)

    def engine(self) -> Engine:
        return sqlite_engine(Path(self.folder))

    @initialize(has_api=st.booleans())
    def begin(self, has_api: bool) -> None:
        self.runner = asyncio.Runner()
        self.make_database()
        self.clock = FakeClock()
        self.has_api, self.lives = has_api, 0
        self.routes: tuple[RouteConfig, ...] = ROUTES
        self.routed_anew = False
        self.real = {name: Real() for name in SEVERITIES}
        self.told: dict[str, set[str]] = {key: set() for key in GROUPS}  # what each group's last message had as firing
        self.sent: list[tuple[str, list[dict[str, object]], int]] = []  # every message, for repeats
        self.shown: dict[int, Shown] = {}
        self.open()

    def open(self) -> None:
        self.stack = AsyncExitStack()
        opened = open_state(
            self.engine(), routes=self.routes, capabilities=CHANNELS, clock=self.clock, has_api=self.has_api
        )
        self.state: State = self.run(self.stack.enter_async_context(opened))
        self.lives += 1
        self.state.new_id = make_ids(self.clock, random.Random(self.lives))  # as each process draws bits of its own
        self.state.reconciler = Reconciler(self.state.policy, self.state.new_id, self.clock)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.stack.aclose())
            self.runner.close()
            self.drop_database()

    # -- the world -------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(SEVERITIES)))
    def an_alert_fires(self, name: str) -> None:
        real = self.real[name]
        if not real.firing:
            real.firing, real.starts = True, max(self.clock(), real.ends + 1)

    @rule(name=st.sampled_from(sorted(SEVERITIES)))
    def an_alert_resolves(self, name: str) -> None:
        real = self.real[name]
        if real.firing:
            real.firing, real.ends = False, max(self.clock(), real.starts + 1)

    @rule(key=st.sampled_from(sorted(GROUPS)), shown=st.integers(1, 3))
    def a_group_notifies(self, key: str, shown: int) -> None:
        """With all that fires and what resolved since; perhaps cut to the first alerts."""
        names = [name for name in GROUPS[key] if self.real[name].firing or name in self.told[key]]
        if not names:
            return
        listed = names[:shown]
        alerts = [self.real[name].wire(name) for name in listed]
        self.told[key] = {name for name in names if self.real[name].firing}
        self.sent.append((key, alerts, len(names) - len(listed)))
        self.post(key, alerts, len(names) - len(listed))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def an_old_message_comes_again(self, data: st.DataObject) -> None:
        """From the other peer of the cluster, or because an answer was lost."""
        self.post(*data.draw(st.sampled_from(self.sent[-4:])))

    @rule(key=st.sampled_from(sorted(GROUPS)))
    def a_notification_is_lost(self, key: str) -> None:
        """Alertmanager gave up on it: nobody will ever tell what resolved meanwhile but the poll."""
        self.told[key] = {name for name in GROUPS[key] if self.real[name].firing}

    def post(self, key: str, alerts: list[dict[str, object]], cut: int) -> None:
        accepted = self.run(self.state.post(*alerts, key=key, truncatedAlerts=cut))
        view = self.run(self.state.database.read(of_group, accepted.group, self.clock()))
        listed = {alert.name for alert in view.alerts} if view else set()
        lost = {name_of(alert) for alert in alerts if alert["status"] == "firing"} - listed
        assert not lost, f"answered 200 and not listed: {lost}"

    @precondition(lambda self: self.has_api)
    @rule(silenced=st.sets(st.sampled_from(sorted(SEVERITIES)), max_size=2))
    def the_api_is_asked(self, silenced: set[str]) -> None:
        self.poll(silenced)

    def poll(self, silenced: set[str]) -> None:
        firing = {name: real.wire(name) for name, real in self.real.items() if real.firing}
        quiet = [firing.pop(name) for name in sorted(silenced & firing.keys())]
        self.run(self.state.poll(*firing.values(), silenced=quiet))
        self.run(self.settle_truncated())

    async def settle_truncated(self) -> None:
        listed = [("relay", {"alertname": "DiskFull"})] if any(real.firing for real in self.real.values()) else []
        await self.state.database.write(
            self.state.reconciler.settle_truncated,
            alertmanager=self.state.source,
            listed=listed,
            listed_before=self.clock() + 1,
        )

    @rule(name=st.sampled_from(sorted(SEVERITIES)), who=st.sampled_from(["anna", "boris"]))
    def somebody_acks(self, name: str, who: str) -> None:
        state = self.state
        acker = Acker(lambda scope: Turn(scope, state.policy, state.new_id, state.clock()), state.policy.severities)
        fingerprint = str(self.real[name].wire(name)["fingerprint"])
        self.run(state.database.write(acker.ack, [(state.source, fingerprint)], who))

    @rule(length=st.sampled_from([1000, MINUTE, 16 * MINUTE, HOUR, -HOUR]))
    def time_passes_or_the_clock_is_set(self, length: Millis) -> None:
        self.clock.advance(length)

    @rule()
    def the_timer_ticks(self) -> None:
        self.run(self.state.database.write(self.state.reconciler.end_flapping))

    @rule()
    def what_is_old_is_forgotten(self) -> None:
        database = self.state.database
        before = self.run(database.read(live_posts))
        self.run(Retention(database, self.clock, keep=30 * MINUTE).round(asyncio.Event()))
        for post_id in before - self.run(database.read(live_posts)):
            assert post_id in self.shown or self.routed_anew, "forgotten and never shown"
            stale = self.shown.get(post_id, Shown()).open
            assert not stale, f"forgotten while it was shown as firing: {stale}"

    @rule()
    def the_relay_is_started_anew(self) -> None:
        self.restart()

    @rule()
    def the_relay_is_started_anew_with_other_routes(self) -> None:
        self.routes, self.routed_anew = OTHER_ROUTES if self.routes is ROUTES else ROUTES, True
        self.restart()
        state, nobody = self.state, asyncio.Event()
        around = (state.database, state.policy, state.new_id, state.clock)
        self.run(route_anew(*around, lambda _: None, nobody, [state.source]))

    # -- the destinations ------------------------------------------------------------------------------------------

    @rule(outcome=st.sampled_from(get_args(Outcome)))
    def a_post_is_served(self, outcome: Outcome) -> None:
        self.run(self.serve(outcome))
        if outcome.startswith("crash"):
            self.restart()

    async def serve(self, outcome: Outcome) -> bool:
        """One turn of a worker; whether there was anything due."""
        due = await self.state.due()
        if due is None:
            return False
        post, view = due.post, due.view
        step = planning.plan(
            standing_of(due.post), view, CHANNELS[post.channel], overflows=len(view.alerts) > MANY, now=self.clock()
        )
        if not isinstance(step, Step):
            until = step.at if isinstance(step, planning.Later) else None
            await self.state.database.write(record_done, post.id, view.revision, until, None)
            return True
        notice = Notice(
            kind=step.kind, view=view, changes=step.changes, post_id=post.id, now=self.clock(), silent=step.silent
        )
        if outcome in ("taken", "lost answer", "crash after"):
            self.take(due, notice)
        if outcome == "taken":
            progress = progress_of(notice, Sent(remote={"message": post.id}), "")
            await self.state.database.write(record_progress, post.id, progress, self.clock(), None)
        elif not outcome.startswith("crash"):
            await self.fail(due, notice, FAILURES[outcome])
        return True

    def take(self, due: Due, notice: Notice) -> None:
        """The destination shows it. Nothing older may come after something newer."""
        shown = self.shown.setdefault(due.post.id, Shown())
        assert notice.view.revision >= shown.revision, "an older state was sent after a newer one"
        shown.revision = notice.view.revision
        if notice.kind in (Kind.NEW, Kind.EDIT):  # a reply tells of news, a file is a file
            shown.states = {alert.name: alert.state for alert in notice.view.alerts}
        elif notice.kind is Kind.FAREWELL:
            shown.states = {}

    async def fail(self, due: Due, notice: Notice, error: DeliveryError) -> None:
        now, post = self.clock(), due.post
        decision = retry.decide(
            error,
            attempts=post.attempts + 1,
            failures=1,
            age=max(now - (post.since if post.since is not None else now), 0),
            max_age=DAY,
            plain=post.plain,
            rng=random.Random(post.attempts),
        )
        failure = failure_of(error, decision, notice, now)
        await self.state.database.write(record_failure, post.id, failure, None)

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def the_rows_make_sense(self) -> None:
        if hasattr(self, "state"):
            self.run(self.state.database.read(check_rows, routed_anew=self.routed_anew))

    @rule()
    def the_dust_settles(self) -> None:
        """Alertmanager is asked or notifies in full, every destination takes everything, and time goes on."""
        for _ in range(3):
            self.clock.advance(HOUR)
            self.run(self.state.database.write(self.state.reconciler.end_flapping))
            for key in GROUPS:
                self.a_group_notifies(key, len(SEVERITIES))
            if self.has_api:
                self.poll(set())
            self.run(self.serve_all())
        self.run(self.check_promises())

    async def serve_all(self) -> None:
        for _ in range(300):
            if not await self.serve("taken"):
                return
        raise AssertionError("the posts never come to rest")

    async def check_promises(self) -> None:
        database = self.state.database
        found = await database.read(overview)
        assert not any(figures.pending for figures in found.channels.values()), "something stays pending"
        firing = await database.read(firing_alerts)
        real = {name for name, one in self.real.items() if one.firing}
        assert real <= firing, f"fires and is not known: {real - firing}"
        assert real == firing or not self.has_api, f"known as firing and over: {firing - real}"
        for post_id, channel, view in await database.read(live_views, self.clock()):
            shown, fires = self.shown.get(post_id, Shown()).open, {alert.name for alert in view.firing}
            assert fires <= shown, f"{channel} does not show {fires - shown}"
            told_of_the_end = channel != "mail" or not (fires or self.routed_anew)
            assert shown <= fires or not told_of_the_end, f"{channel} still shows {shown - fires} as firing"


FAILURES: Mapping[str, DeliveryError] = {
    "refused": DeliveryError("server_error", "try again", scope="post"),
    "never": DeliveryError("rejected", "not this one", scope="post", permanent=True),
    "away": DeliveryError("connection", "nobody there", scope="destination"),
    "gone": DeliveryError("gone", "deleted by hand", scope="post"),
    "no answer": DeliveryError("timeout", "nothing came", scope="destination"),
    "lost answer": DeliveryError("timeout", "nothing came", scope="destination"),
}


@functools.cache
def empty_database() -> bytes:
    """A migrated file: migrating takes longer than everything that happens in one example."""

    async def make(folder: str) -> bytes:
        async with open_state(sqlite_engine(Path(folder))):
            pass
        return (Path(folder) / "relay.db").read_bytes()

    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        return runner.run(make(folder))


def name_of(alert: Mapping[str, Any]) -> str:
    return str(alert["labels"]["alertname"])


def check_rows(conn: Connection, *, routed_anew: bool) -> None:
    """What holds between the rows at any moment. `routed_anew`: what has ended need not be shown where it goes now."""
    alerts = {row.id: row for row in conn.execute(select(schema.alerts))}
    members: dict[int, list[Any]] = {}
    for row in conn.execute(select(schema.memberships)):
        members.setdefault(row.incident_id, []).append(row)
    posts: dict[int, dict[str, Any]] = {}
    for row in conn.execute(select(schema.posts)):
        posts.setdefault(row.incident_id, {})[row.channel] = row
    groups = {row.id: row for row in conn.execute(select(schema.alert_groups))}
    runs = {row.id: row for row in conn.execute(select(schema.episodes))}
    for incident in conn.execute(select(schema.incidents)):
        listed, shown = members.pop(incident.id, []), posts.pop(incident.id, {})
        group = groups[incident.group_id]
        is_open = [row for row in listed if row.open]
        assert incident.firing == len(is_open), "the count of firing alerts is wrong"
        assert incident.closed_at is None or not is_open, "closed while something fires"
        for row in is_open:
            alert = alerts[row.alert_id]
            assert alert.firing, "listed as open without firing"
            assert row.episode_id == alert.episode_id, "listed with an earlier run"
        for post in shown.values():
            assert max(post.shown_rev, post.announced_rev) <= group.revision, "more was shown than happened"
            assert post.state == "live" or post.reason, "a dead letter without a reason"
            rests = post.state == "live" and post.due_at is None
            current = group.incident_id == incident.id
            assert not (rests and current) or post.shown_rev == group.revision, "at rest and behind"
        shows = is_open if routed_anew else listed
        wanted = {channel for row in shows for channel in json.loads(row.channels)}
        assert wanted <= shown.keys(), f"nobody shows it at {wanted - shown.keys()}"
    assert not members, "listed in an incident that is gone"
    assert not posts, "a post of an incident that is gone"
    for alert in alerts.values():
        assert alert.episode_id is None or runs[alert.episode_id].alert_id == alert.id
        assert not alert.firing or runs[alert.episode_id].ends_at is None, "fires in a run that is over"
    assert len({(row.alertmanager, row.fingerprint) for row in alerts.values()}) == len(alerts), "an alert twice"
    names = {(row.alertmanager, row.receiver, row.key_hash) for row in groups.values()}
    assert len(names) == len(groups), "a group twice"


def live_posts(conn: Connection) -> set[int]:
    return set(conn.execute(select(schema.posts.c.id).where(schema.posts.c.state == "live")).scalars())


def firing_alerts(conn: Connection) -> set[str]:
    rows = conn.execute(select(schema.alerts.c.labels).where(schema.alerts.c.firing.is_(True))).scalars()
    return {json.loads(labels)["alertname"] for labels in rows}


def live_views(conn: Connection, now: Millis) -> list[tuple[int, str, IncidentView]]:
    """Of each live post, what it should show by now."""
    posts = schema.posts.c
    rows = conn.execute(select(posts.id, posts.incident_id, posts.channel).where(posts.state == "live"))
    return [(row.id, row.channel, load_view(conn, row.incident_id, row.channel, now)) for row in rows.all()]


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_the_same_holds_on_postgresql(postgres_url: str) -> None:
    """A few examples: the statements are the same, and here are all that SQLite does not refuse or locks otherwise."""
    with asyncio.Runner() as runner:
        runner.run(make_tables(postgres_url))

    class OnPostgres(StoreMachine):
        def make_database(self) -> None:
            self.run(empty_tables(postgres_url))

        def drop_database(self) -> None:
            pass  # the next example empties it

        def engine(self) -> Engine:
            return PostgresEngine(postgres_url, prepare=lambda _: None)

    run_state_machine_as_test(
        OnPostgres, settings=settings(TestStoreMachine.settings, max_examples=3, stateful_step_count=30)
    )


async def make_tables(url: str) -> None:
    async with open_state(postgres_engine(url)):
        pass


async def empty_tables(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"TRUNCATE {', '.join(schema.metadata.tables)}")
    await connection.close()
