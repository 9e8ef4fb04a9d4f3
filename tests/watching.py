"""A relay's state under watch: `Watch` adds to `tests/state.py` what fails, the rounds of the watcher, and what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from relay.clock import CommonClock, Millis
from relay.ingest.accept import Accepted, Delivered, Source, acceptor
from relay.ingest.beats import Accept, heed_watchdogs
from relay.ingest.own import OwnRoutes, Ways
from relay.matchers import parse_matchers
from relay.metrics import Metrics
from relay.notification import Capabilities, DeliveryError
from relay.routing import RouteConfig
from relay.severity import SeverityMap
from relay.store.database import Engine
from relay.store.destinations import record_refusal, record_success
from relay.store.leases import LeaseKeeper
from relay.store.posts import Failure, record_failure
from relay.watching import Watched, Watcher, Workshop
from tests.state import LIVING, State, open_state, wire_alert, wire_message

KICKED = DeliveryError("forbidden", "bot was kicked", scope="destination", permanent=True)
AWAY = DeliveryError("connection", "no answer", scope="destination")


@dataclass
class Contact:
    """An Alertmanager as its poller knows it."""

    up: bool = True
    answered_at: Millis | None = None


@dataclass
class Watch:
    """One replica's watcher over a state; time passes only in `rounds`."""

    state: State
    keeper: LeaseKeeper
    watcher: Watcher
    metrics: Metrics
    accept: Accept
    contacts: dict[str, Contact]

    @property
    def now(self) -> float:
        return self.state.clock() / 1000

    async def rounds(self, seconds: float = 2.0, *, every: float = 2.0) -> None:
        """Lets time pass: a round every two seconds, as in life."""
        passed = 0.0
        while passed < seconds:
            self.state.clock.advance(int(every * 1000))
            passed += every
            await self.keeper.renew()
            await self.watcher.round()

    async def fails(self, channel: str, error: DeliveryError = KICKED) -> None:
        await self.state.database.write(record_refusal, channel, self.state.clock(), error)

    async def works(self, channel: str) -> None:
        await self.state.database.write(record_success, channel, self.state.clock())

    async def refuses_a_post(self, failure: Failure, *, times: int = 1) -> int:
        """The post that is due cannot be sent, as often as that, which is its own fault alone; its number."""
        due = await self.state.due()
        assert due is not None
        for _ in range(times):
            await self.state.database.write(record_failure, due.post.id, failure, None)
        return due.post.id

    async def beat(self, source: str = "main") -> Accepted:
        """The watchdog's webhook."""
        message = wire_message(wire_alert("Watchdog", severity="none"), key="watchdog")
        delivered = Delivered(source=Source(name=source, has_api=True), message=message)
        return await self.state.database.write_batched(self.accept, delivered)

    async def told(self) -> list[str]:
        """What the channels are shown now, newest state: `chat new: summary`; what needs no showing is left out."""
        lines = []
        for channel, step, view in await self.state.show():
            [*texts] = {alert.annotations.get("summary", alert.name) for alert in view.alerts}
            state = "" if view.open else " (resolved)"
            lines.append(f"{channel} {step.kind}: {', '.join(sorted(texts))}{state}")
        return sorted(lines)


@dataclass
class Plan:
    """The config under watch."""

    routes: Sequence[RouteConfig] = (RouteConfig(channels=["chat"]),)
    fallbacks: Mapping[str, str | None] = field(default_factory=lambda: {"chat": None, "team": None})
    watchdogs: Mapping[str, tuple[Millis, Sequence[str]]] = field(default_factory=dict)
    health_url: str = ""


@asynccontextmanager
async def open_watch(engine: Engine, plan: Plan | None = None, *, polled: Sequence[str] = ()) -> AsyncIterator[Watch]:
    """The watch of a replica that is the only one."""
    plan = plan or Plan()
    capabilities: dict[str, Capabilities] = dict.fromkeys(plan.fallbacks, LIVING)
    async with open_state(engine, routes=plan.routes, capabilities=capabilities) as state:
        told = {name: channels for name, (_, channels) in plan.watchdogs.items()}
        router = OwnRoutes(plan.routes, SeverityMap(), Ways(fallbacks=plan.fallbacks, watchdogs=told))
        state.policy = replace(state.policy, router=router)
        yield watch_over(state, plan, "one", polled=polled)


def watch_over(state: State, plan: Plan, owner: str, *, polled: Sequence[str] = ()) -> Watch:
    """Another replica's watch over the same state."""
    monotonic = lambda: state.clock() / 1000  # noqa: E731  a clock that only moves when a test says so
    keeper = LeaseKeeper(state.database, owner, CommonClock(state.clock), monotonic=monotonic)
    keeper.want(["watching", *(f"poll {name}" for name in polled)])
    metrics = Metrics(CollectorRegistry())
    accept = acceptor(state.policy, state.new_id, state.clock)
    workshop = Workshop(
        database=state.database,
        keeper=keeper,
        metrics=metrics,
        policy=state.policy,
        new_id=state.new_id,
        accept=accept,
        clock=state.clock,
        monotonic=monotonic,
        on_change=lambda _: None,
    )
    watched = Watched(
        zones=dict.fromkeys(plan.fallbacks, ZoneInfo("UTC")),
        fallbacks=plan.fallbacks,
        watchdogs={name: timeout for name, (timeout, _) in plan.watchdogs.items()},
        health_url=plan.health_url,
    )
    contacts = {name: Contact() for name in polled}
    matchers = {name: parse_matchers('alertname="Watchdog"') for name in plan.watchdogs}
    heeding = heed_watchdogs(accept, matchers, state.clock)
    return Watch(state, keeper, Watcher(workshop, watched, contacts), metrics, heeding, contacts)
