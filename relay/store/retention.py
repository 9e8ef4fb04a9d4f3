"""Forgets what is past its retention, in steps that are each a short transaction of their own.

Whole closed incidents go, with their posts, memberships and the earlier runs of their alerts. Open ones stay, but not for
ever all that has ended in them. So does the last run of every alert that is still heard of: by it a late or repeated
message is told from a new run. SQLite uses the freed pages again; nothing has to be vacuumed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, tuple_, update

from relay.clock import DAY, Clock, Millis
from relay.ids import first_id
from relay.store.conversations import forget_expired
from relay.store.database import Database
from relay.store.schema import alert_groups, alerts, episodes, history, incidents, memberships, mirrors, posts
from relay.store.scope import chunks

ROWS = 150
"""Rows in one step, memberships counted: a few milliseconds, so that no webhook waits for us."""
INCIDENTS = 25
RESTS = 4
"""After each step we leave the writer alone for so many times as long as it took."""
KNOWN_FOR = 4
"""An alert or a group that nobody has reported for so many retentions is forgotten, too: names of pods never end."""
TOLD_FOR: Millis = 30 * DAY

Member = tuple[int, int]
"""An alert in an incident: the keys of the incident and of the alert."""
Found = TypeVar("Found", int, Member)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What one round removed."""

    incidents: int = 0
    ended: int = 0  # alerts in incidents that go on
    runs: int = 0  # of alerts in incidents that go on
    history: int = 0
    alerts: int = 0
    groups: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))


class Retention:
    """Call `round` now and then, in one process at a time; it raises `StoreUnavailable` and can be repeated at any point."""

    def __init__(
        self, database: Database, clock: Clock, *, keep: Millis, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self.keep = keep
        self._monotonic = monotonic

    async def round(self, stopping: asyncio.Event) -> Forgotten:
        """Forgets all that is past its time by now, or as much as there is time for until `stopping` is set."""
        now = self._clock()
        before, unheard = now - self.keep, now - KNOWN_FOR * self.keep
        await self._write(forget_expired, now, now - TOLD_FOR)
        return Forgotten(
            incidents=await self._repeat(forget_incidents, before, stopping),
            ended=await self._walk(ended_members, forget_members, before, stopping),
            runs=await self._walk(earlier_runs, forget_runs, before, stopping),
            history=await self._repeat(forget_history, before, stopping),
            alerts=await self._walk(unheard_alerts, forget_alerts, unheard, stopping),
            groups=await self._walk(unheard_groups, forget_groups, unheard, stopping),
        )

    async def _repeat(
        self, step: Callable[[Connection, Millis], int | None], before: Millis, stopping: asyncio.Event
    ) -> int:
        total = 0
        while not stopping.is_set() and (done := await self._write(step, before)) is not None:
            total += done
        return total

    async def _walk(
        self,
        find: Callable[[Connection, Millis], Sequence[Found]],
        forget: Callable[[Connection, Sequence[Found], Millis], int],
        before: Millis,
        stopping: asyncio.Event,
    ) -> int:
        """For what no index finds: the search goes to a reader, the writer only gets the ids."""
        total = 0
        while not stopping.is_set() and (ids := await self._database.read(find, before)):
            total += await self._write(forget, ids, before)
        return total

    async def _write(self, function: Callable[..., Any], *arguments: Any) -> Any:
        started = self._monotonic()
        result = await self._database.write(function, *arguments)
        await asyncio.sleep(RESTS * (self._monotonic() - started))
        return result


def forget_incidents(conn: Connection, before: Millis) -> int | None:
    """Some of the incidents that closed, did not change since, and of which nothing is due; None at the end.

    A large incident takes several steps; its group lets go of it in the first, so that nobody looks at half of it.
    """
    waits = exists().where(posts.c.incident_id == incidents.c.id, posts.c.state == "live", posts.c.due_at.is_not(None))
    old = (
        select(incidents.c.id, incidents.c.group_id)
        .where(incidents.c.closed_at <= before, incidents.c.changed_at <= before, ~waits)
        .order_by(incidents.c.closed_at)
        .limit(INCIDENTS)
    )
    found = conn.execute(old).all()
    if conn.dialect.name == "postgresql":  # another relay may be about to continue one of them
        _hold_groups(conn, {row.id for row in found})
        found = conn.execute(old.where(incidents.c.id.in_([row.id for row in found]))).all()
    if not found:
        return None
    ids, groups = [row.id for row in found], {row.group_id for row in found}
    current = (alert_groups.c.id.in_(groups), alert_groups.c.incident_id.in_(ids))
    conn.execute(update(alert_groups).where(*current).values(incident_id=None))
    if _forget_members(conn, ids, before) == ROWS:
        return 0  # there may be more of them
    conn.execute(delete(posts).where(posts.c.incident_id.in_(ids)))
    conn.execute(delete(incidents).where(incidents.c.id.in_(ids)))
    return len(ids)


def _hold_groups(conn: Connection, incident_ids: Collection[int]) -> None:
    """Whoever changes an incident holds its group; SQLite has one writer."""
    groups = select(alert_groups.c.id).join(incidents, incidents.c.group_id == alert_groups.c.id)
    mine = groups.where(incidents.c.id.in_(incident_ids)).order_by(alert_groups.c.id)
    conn.execute(mine.with_for_update(of=alert_groups))


_MEMBER = (memberships.c.incident_id, memberships.c.alert_id)


def _forget_members(conn: Connection, incident_ids: Sequence[int], before: Millis) -> int:
    members = conn.execute(select(*_MEMBER).where(memberships.c.incident_id.in_(incident_ids)).limit(ROWS))
    return _delete_members(conn, [(row.incident_id, row.alert_id) for row in members], before)


def _delete_members(conn: Connection, members: Sequence[Member], before: Millis) -> int:
    """With the earlier runs of their alerts."""
    if members:
        conn.execute(delete(memberships).where(_are(members)))
        mine = select(episodes.c.id).where(episodes.c.alert_id.in_({alert_id for _, alert_id in members}))
        _delete_runs(conn, list(conn.execute(mine.where(*_earlier(before))).scalars()))
    return len(members)


def _are(members: Sequence[Member]) -> ColumnElement[bool]:
    """The pairs alone would do, but SQLite looks for pairs in the whole table."""
    near = (
        memberships.c.incident_id.in_({incident_id for incident_id, _ in members}),
        memberships.c.alert_id.in_({alert_id for _, alert_id in members}),
    )
    return and_(*near, tuple_(*_MEMBER).in_(members))


def ended_members(conn: Connection, before: Millis) -> list[Member]:
    """Alerts that ended or left in incidents that go on, and are shown so at every destination; some at a time."""
    rows = conn.execute(select(*_MEMBER).select_from(_LISTED).where(_ended(before)).limit(ROWS))
    return [(row.incident_id, row.alert_id) for row in rows]


def forget_members(conn: Connection, members: Sequence[Member], before: Millis) -> int:
    """Each with the earlier runs of its alert, unless it fires again just now."""
    _hold_groups(conn, {incident_id for incident_id, _ in members})
    still = conn.execute(select(*_MEMBER).select_from(_LISTED).where(_ended(before), _are(members)))
    return _delete_members(conn, [(row.incident_id, row.alert_id) for row in still], before)


_LISTED = (
    memberships.join(incidents, incidents.c.id == memberships.c.incident_id)
    .join(alerts, alerts.c.id == memberships.c.alert_id)
    .join(episodes, episodes.c.id == memberships.c.episode_id)
)


def _ended(before: Millis) -> ColumnElement[bool]:
    behind = exists().where(
        posts.c.incident_id == memberships.c.incident_id,
        posts.c.state == "live",
        posts.c.shown_rev < memberships.c.changed_rev,
    )
    left = and_(memberships.c.left_rev > 0, alerts.c.seen_at <= before)
    over = and_(memberships.c.open.is_(False), or_(episodes.c.ends_at <= before, left))
    return and_(_goes_on(before), over, ~behind)


def _goes_on(before: Millis) -> ColumnElement[bool]:
    """An incident from before that something has happened in since: it never ends, or ends and goes on within `reopen`."""
    return and_(
        incidents.c.id < first_id(before), or_(incidents.c.closed_at.is_(None), incidents.c.changed_at > before)
    )


def _earlier(before: Millis) -> tuple[ColumnElement[bool], ...]:
    """Runs that are over, not the last of their alert, and listed nowhere any more."""
    last = exists().where(alerts.c.id == episodes.c.alert_id, alerts.c.episode_id == episodes.c.id)
    listed = exists().where(memberships.c.alert_id == episodes.c.alert_id, memberships.c.episode_id == episodes.c.id)
    return episodes.c.ends_at <= before, ~last, ~listed


def earlier_runs(conn: Connection, before: Millis) -> list[int]:
    """Of alerts in incidents that go on and that fire now and then; some at a time."""
    listed = (
        select(memberships.c.alert_id)
        .join(incidents, incidents.c.id == memberships.c.incident_id)
        .where(_goes_on(before))
    )
    old = select(episodes.c.id).where(episodes.c.alert_id.in_(listed), *_earlier(before))
    return list(conn.execute(old.limit(ROWS)).scalars())


def forget_runs(conn: Connection, ids: Sequence[int], _before: Millis) -> int:
    """A run that is over and not the last never begins again."""
    _delete_runs(conn, ids)
    return len(ids)


def _delete_runs(conn: Connection, ids: Sequence[int]) -> None:
    for chunk in chunks(ids):
        conn.execute(delete(mirrors).where(mirrors.c.episode_id.in_(chunk)))
        conn.execute(delete(episodes).where(episodes.c.id.in_(chunk)))


def forget_history(conn: Connection, before: Millis) -> int | None:
    """Some of the entries of that age; None at the end."""
    old = select(history.c.id).where(history.c.id < first_id(before)).order_by(history.c.id).limit(ROWS)
    ids = list(conn.execute(old).scalars())
    if not ids:
        return None
    conn.execute(delete(history).where(history.c.id.in_(ids)))
    return len(ids)


def _unheard_alert(before: Millis) -> ColumnElement[bool]:
    listed = exists().where(memberships.c.alert_id == alerts.c.id)
    return and_(alerts.c.id < first_id(before), alerts.c.seen_at <= before, ~listed)


def unheard_alerts(conn: Connection, before: Millis) -> list[int]:
    """Alerts that nobody has reported since and no incident lists, some at a time."""
    return list(conn.execute(select(alerts.c.id).where(_unheard_alert(before)).limit(ROWS)).scalars())


def forget_alerts(conn: Connection, ids: Sequence[int], before: Millis) -> int:
    """Each goes with its last run, unless it was reported just now."""
    still = select(alerts.c.id).where(alerts.c.id.in_(ids), _unheard_alert(before)).with_for_update()
    gone = list(conn.execute(still).scalars())
    _delete_runs(conn, list(conn.execute(select(episodes.c.id).where(episodes.c.alert_id.in_(gone))).scalars()))
    conn.execute(delete(alerts).where(alerts.c.id.in_(gone)))
    return len(gone)


def _unheard_group(before: Millis) -> ColumnElement[bool]:
    old = and_(alert_groups.c.id < first_id(before), alert_groups.c.message_at <= before)
    return and_(old, alert_groups.c.incident_id.is_(None))


def unheard_groups(conn: Connection, before: Millis) -> list[int]:
    """Groups that Alertmanager has not notified about since, and whose incidents are forgotten; some at a time."""
    return list(conn.execute(select(alert_groups.c.id).where(_unheard_group(before)).limit(ROWS)).scalars())


def forget_groups(conn: Connection, ids: Sequence[int], before: Millis) -> int:
    return conn.execute(delete(alert_groups).where(alert_groups.c.id.in_(ids), _unheard_group(before))).rowcount
