"""A state to play with: a real database, a clock in hand, and destinations that take everything at once.

`post()` is a webhook, `show()` serves every due post the way a worker does, without a network, and returns the steps.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relay import planning
from relay.alerts import WebhookMessage, fingerprint_of
from relay.clock import MINUTE, Millis
from relay.delivery.outcome import progress_of
from relay.ids import make_ids
from relay.ingest.accept import Accepted, Delivered, Source, acceptor
from relay.ingest.policy import Policy
from relay.ingest.reconcile import Reconciler, Reported
from relay.notification import Capabilities, IncidentView, Notice, Sent
from relay.planning import PostState, Step
from relay.routing import RouteConfig, Router
from relay.severity import SeverityMap
from relay.store.database import Connection, Database, Engine
from relay.store.held import held_alerts
from relay.store.postgres import PostgresEngine
from relay.store.posts import Due, next_due, record_done, record_progress
from relay.store.rows import PostRow
from relay.store.sqlite import SqliteEngine

START: Millis = 1_790_000_000_000
LIVING = Capabilities(editable=True, attachable=True)
APPENDING = Capabilities(editable=False)


class FakeClock:
    """Milliseconds that only move when a test says so."""

    def __init__(self, now: Millis = START) -> None:
        self.now = now

    def __call__(self) -> Millis:
        return self.now

    def advance(self, length: Millis) -> None:
        self.now += length


def sqlite_steps(conn: Connection, work: Callable[[], object]) -> int:
    """How many steps SQLite's machine takes for it: what it looks at, whatever the disk."""
    counted: list[int] = []
    raw: Any = conn.connection.driver_connection
    raw.set_progress_handler(lambda: counted.append(1), 1)
    try:
        work()
    finally:
        raw.set_progress_handler(None, 1)
    return len(counted)


def iso(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, tz=UTC).isoformat()


def wire_alert(
    name: str = "DiskFull", *, firing: bool = True, starts: Millis = START, ends: Millis | None = None, **labels: Any
) -> dict[str, object]:
    """An alert as Alertmanager writes it; `annotations` may be given as `summary=`."""
    annotations = {"summary": labels.pop("summary")} if "summary" in labels else {}
    merged = {"alertname": name, "severity": "critical", **labels}
    merged = {key: value for key, value in merged.items() if value}
    return {
        "status": "firing" if firing else "resolved",
        "labels": merged,
        "annotations": annotations,
        "startsAt": iso(starts),
        "endsAt": "0001-01-01T00:00:00Z" if firing else iso(ends if ends is not None else starts + MINUTE),
        "generatorURL": "",
        "fingerprint": fingerprint_of(merged),
    }


def wire_body(
    *alerts: Mapping[str, object], key: str = '{}:{alertname="DiskFull"}', **more: object
) -> dict[str, object]:
    """A webhook's body before it becomes JSON; `more` are fields of it."""
    firing = any(alert["status"] == "firing" for alert in alerts)
    return {
        "version": "4",
        "receiver": "relay",
        "status": "firing" if firing else "resolved",
        "groupKey": key,
        "groupLabels": {"alertname": "DiskFull"},
        "externalURL": "http://alertmanager.example.org",
        "alerts": list(alerts),
        **more,
    }


def wire_message(*alerts: Mapping[str, object], **more: Any) -> WebhookMessage:
    return WebhookMessage.model_validate(wire_body(*alerts, **more))


@dataclass
class State:
    """The database and everything that changes it."""

    database: Database
    clock: FakeClock
    policy: Policy
    capabilities: Mapping[str, Capabilities]
    has_api: bool = True
    source: str = "main"
    new_id: Callable[[], int] = field(init=False)

    def __post_init__(self) -> None:
        self.new_id = make_ids(self.clock, random.Random(1))
        self.reconciler = Reconciler(self.policy, self.new_id, self.clock)

    async def post(self, *alerts: Mapping[str, object], **more: Any) -> Accepted:
        """A webhook with these alerts, one second after the last thing that happened."""
        self.clock.advance(1000)
        message = wire_message(*alerts, **more)
        source = Source(name=self.source, has_api=self.has_api)
        batch = acceptor(self.policy, self.new_id, self.clock)
        return await self.database.write_batched(batch, Delivered(source=source, message=message))

    async def due(self) -> Due | None:
        found = await self.database.read(next_due, list(self.capabilities), self.clock(), several=False)
        return found if isinstance(found, Due) else None

    async def show(self) -> list[tuple[str, Step, IncidentView]]:
        """Serves all that is due; (channel, step, what it showed) in order."""
        shown: list[tuple[str, Step, IncidentView]] = []
        for _ in range(1000):
            due = await self.due()
            if due is None:
                return shown
            step = await self._serve(due)
            if isinstance(step, Step):
                shown.append((due.post.channel, step, due.view))
        raise AssertionError("the posts never come to rest")

    async def kinds(self) -> list[str]:
        """`show()` in short: "new", "reply", with the channel in front when there are several."""
        several = len(self.capabilities) > 1
        return [f"{channel} {step.kind}" if several else str(step.kind) for channel, step, _ in await self.show()]

    async def _serve(self, due: Due) -> object:
        post, view = due.post, due.view
        capabilities = self.capabilities[post.channel]
        step = planning.plan(standing_of(post), view, capabilities, overflows=len(view.alerts) > 10, now=self.clock())
        if isinstance(step, Step):
            notice = Notice(
                kind=step.kind, view=view, changes=step.changes, post_id=post.id, now=self.clock(), silent=step.silent
            )
            progress = progress_of(notice, Sent(remote={"message": post.id}), "")
            await self.database.write(record_progress, post.id, progress, self.clock(), None)
        else:
            until = step.at if isinstance(step, planning.Later) else None
            await self.database.write(record_done, post.id, view.revision, until, None)
        return step

    async def poll(self, *firing: Mapping[str, object], silenced: Sequence[Mapping[str, object]] = ()) -> None:
        """What a settled Alertmanager's API says: these fire, these are silenced, all others are gone."""
        self.clock.advance(1000)
        listed = {str(alert["fingerprint"]): Reported() for alert in firing}
        listed |= {str(alert["fingerprint"]): Reported(silenced=True, silenced_by="anna") for alert in silenced}
        held = await self.database.read(held_alerts, self.source)
        reported = {mine.id: listed[mine.fingerprint] for mine in held if mine.fingerprint in listed}
        gone = [mine.id for mine in held if mine.fingerprint not in listed]
        await self.database.write(self.reconciler.apply, reported=reported, gone=gone, listed_before=self.clock())


ROUTES = (RouteConfig(channels=["chat"]),)


@asynccontextmanager
async def open_state(
    engine: Engine,
    *,
    routes: Sequence[RouteConfig] = ROUTES,
    capabilities: Mapping[str, Capabilities] | None = None,
    clock: FakeClock | None = None,
    has_api: bool = True,
) -> AsyncIterator[State]:
    database = Database(engine)
    await database.start()
    capabilities = capabilities or {"chat": LIVING}
    severities = SeverityMap()
    policy = Policy(
        router=Router(routes, severities), severities=severities, reopen=dict.fromkeys(capabilities, 10 * MINUTE)
    )
    try:
        yield State(database, clock or FakeClock(), policy, capabilities, has_api=has_api)
    finally:
        await database.close()


def standing_of(post: PostRow) -> PostState:
    """What planning is told of a post that belongs to no digest."""
    return PostState(
        shown_rev=post.shown_rev,
        announced_rev=post.announced_rev,
        living=post.remote is not None,
        quiet=post.quiet,
        farewell=post.farewell,
        attached_rev=post.attached_rev,
        attached_at=post.attached_at,
        told_at=post.told_at,
    )


def sqlite_engine(folder: Path) -> SqliteEngine:
    return SqliteEngine(folder / "relay.db")


def postgres_engine(url: str) -> PostgresEngine:
    return PostgresEngine(url)
