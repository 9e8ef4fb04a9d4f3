"""Two replicas at one destination, frozen, killed, late: never two at once, never an older state after a newer one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay import planning
from relay.clock import SECOND, CommonClock
from relay.delivery.outcome import progress_of
from relay.notification import Notice, Sent
from relay.planning import Step
from relay.store.database import Database
from relay.store.leases import Lease, LeaseKeeper, LeaseLost
from relay.store.posts import Due, record_done, record_progress
from relay.store.sqlite import SqliteEngine
from tests.state import LIVING, FakeClock, State, open_state, standing_of, wire_alert

T = TypeVar("T")
DESTINATION = "destination of both"
WORKERS = st.sampled_from(["one", "two"])


class SharedSqlite(SqliteEngine):
    """SQLite that does not claim to be alone: with it time is in our hands, which PostgreSQL's is not."""

    kind = "shared"


@dataclass
class InHand:
    """A call that a worker has planned, and whether it was made."""

    due: Due
    step: Step
    lease: Lease
    sent: bool = False


@dataclass
class Worker:
    """One replica's worker at the destination. Frozen it does nothing, while time goes on."""

    keeper: LeaseKeeper
    lives: int = 1
    frozen: bool = False
    in_hand: InHand | None = None


@dataclass
class FarSide:
    """What arrived: (revision, epoch of the lease, announces or edits) in order."""

    calls: list[tuple[int, int, str]] = field(default_factory=list)
    unrecorded: int = 0  # calls whose outcome nobody could write down


class TwoWorkers(RuleBasedStateMachine):
    """`take`, `send` and `record` are the steps of a worker's turn; between any two of them anything may happen."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="relay-workers-"))
        self.stack = AsyncExitStack()
        self.clock = FakeClock()
        self.alerts = 0
        self.far = FarSide()
        opening = open_state(SharedSqlite(self.folder / "relay.db"), clock=self.clock, capabilities={"chat": LIVING})
        self.state: State = self.run(self.stack.enter_async_context(opening))
        self.workers = {name: Worker(self.keeper_of(name, 1)) for name in ("one", "two")}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def database(self) -> Database:
        return self.state.database

    def keeper_of(self, name: str, life: int) -> LeaseKeeper:
        keeper = LeaseKeeper(
            self.database, f"{name} {life}", CommonClock(self.clock), monotonic=lambda: self.clock.now / SECOND
        )
        keeper.want([DESTINATION], spread=True)
        return keeper

    @rule()
    def alert(self) -> None:
        """A webhook: the incident has a newer state."""
        self.alerts += 1
        self.run(self.state.post(*(wire_alert(instance=f"db-{number}") for number in range(self.alerts))))

    @rule(seconds=st.integers(1, 12))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND)

    @rule(name=WORKERS)
    def renew(self, name: str) -> None:
        if not self.workers[name].frozen:
            self.run(self.workers[name].keeper.renew())

    @rule(name=WORKERS, frozen=st.booleans())
    def freeze(self, name: str, frozen: bool) -> None:
        self.workers[name].frozen = frozen

    @rule(name=WORKERS)
    def crash(self, name: str) -> None:
        worker = self.workers[name]
        if worker.in_hand is not None and worker.in_hand.sent:
            self.far.unrecorded += 1
        self.workers[name] = Worker(self.keeper_of(name, worker.lives + 1), worker.lives + 1)

    @rule(name=WORKERS)
    def stop_and_start(self, name: str) -> None:
        worker = self.workers[name]
        if worker.frozen or worker.in_hand is not None:
            return
        self.run(worker.keeper.release())
        self.workers[name] = Worker(self.keeper_of(name, worker.lives + 1), worker.lives + 1)

    @rule(name=WORKERS, steps=st.integers(1, 9))
    def work(self, name: str, steps: int) -> None:
        """So many steps of its turns, which may end in the middle of one."""
        for _ in range(steps):
            call = self.workers[name].in_hand
            step = self.take if call is None else self.record if call.sent else self.send
            step(name)

    @rule(name=WORKERS, before=st.integers(0, 4), meanwhile=st.integers(0, 9), after=st.integers(0, 3))
    def pause_too_long(self, name: str, before: int, meanwhile: int, after: int) -> None:
        """A paused virtual machine: it stops in the middle of its work, the other one takes over, and it wakes up."""
        [other] = self.workers.keys() - {name}
        self.renew(name)
        self.alert()
        self.work(name, before)
        self.freeze(name, frozen=True)
        self.freeze(other, frozen=False)
        self.clock.advance(11 * SECOND)
        self.renew(other)
        self.work(other, meanwhile)
        self.freeze(name, frozen=False)
        self.work(name, after)

    def take(self, name: str) -> None:
        worker = self.workers[name]
        lease = None if worker.frozen or worker.in_hand else worker.keeper.get(DESTINATION)
        due = self.run(self.state.due()) if lease is not None else None
        if due is None or lease is None:
            return
        step = planning.plan(standing_of(due.post), due.view, LIVING, overflows=False, now=self.clock())
        if isinstance(step, Step):
            worker.in_hand = InHand(due, step, lease)
            return
        until = step.at if isinstance(step, planning.Later) else None
        self.run(self.database.write(record_done, due.post.id, due.view.revision, until, lease))

    def send(self, name: str) -> None:
        worker = self.workers[name]
        call = worker.in_hand
        if worker.frozen or call is None or call.sent:
            return
        try:
            worker.keeper.confirm(call.lease)
        except LeaseLost:
            worker.in_hand = None
            return
        call.sent = True
        self.far.calls.append((call.due.view.revision, call.lease.epoch, str(call.step.kind)))

    def record(self, name: str) -> None:
        worker = self.workers[name]
        call = worker.in_hand
        if worker.frozen or call is None or not call.sent:
            return
        worker.in_hand = None
        notice = Notice(kind=call.step.kind, view=call.due.view, changes=call.step.changes, post_id=1, now=self.clock())
        progress = progress_of(notice, Sent(remote={"message": 1}), "")
        try:
            self.run(self.database.write(record_progress, call.due.post.id, progress, self.clock(), call.lease))
        except LeaseLost:
            self.far.unrecorded += 1

    @invariant()
    def only_one_may_begin(self) -> None:
        holders = [name for name, worker in self.workers.items() if worker.keeper.get(DESTINATION) is not None]
        assert len(holders) < 2, "two hold the destination"

    @invariant()
    def nothing_older_comes_after_something_newer(self) -> None:
        revisions = [revision for revision, _, _ in self.far.calls]
        assert revisions == sorted(revisions)
        epochs = [epoch for _, epoch, _ in self.far.calls]
        assert epochs == sorted(epochs)

    @invariant()
    def a_call_is_made_again_only_if_nobody_could_write_it_down(self) -> None:
        again = sum(times - 1 for times in Counter((revision, kind) for revision, _, kind in self.far.calls).values())
        calls = [worker.in_hand for worker in self.workers.values() if worker.in_hand is not None]
        assert again <= self.far.unrecorded + sum(call.sent for call in calls)

    @precondition(lambda self: self.alerts)
    @rule()
    def settle(self) -> None:
        """Everybody is awake, the leases have run out, the dust settles: the newest state is shown."""
        for worker in self.workers.values():
            worker.frozen = False
        for name in self.workers:
            self.send(name)
            self.record(name)
        self.clock.advance(11 * SECOND)
        for name in self.workers:
            self.renew(name)
            self.work(name, 30)
        assert self.far.calls[-1][0] == self.alerts, "the newest state is not shown"
        assert self.run(self.state.due()) is None

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.run(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder, ignore_errors=True)


TestTwoWorkers = TwoWorkers.TestCase
TestTwoWorkers.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
