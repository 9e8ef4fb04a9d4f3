"""Posts that are behind and posts that were given up, as people see and mend them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, func, insert, literal_column, select, update

from relay.clock import Millis
from relay.store.destinations import forget_failure
from relay.store.posts import Failure
from relay.store.schema import alert_groups, alerts, destinations, incidents, memberships, posts

State = Literal["pending", "dead"]
REMOVED = "channel_removed"
IS_DEAD = posts.c.state == literal_column("'dead'")
"""Written out, since only so the index of the few dead ones among all posts fits it."""
IS_DUE = posts.c.due_at >= 0
"""Not `IS NOT NULL`: for that SQLite reads the whole index."""
_STATES: Mapping[State, Any] = {
    "pending": (posts.c.state == "live") & IS_DUE & posts.c.since.is_not(None),
    "dead": IS_DEAD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A post that is not where it should be. `alerts` counts what its channel is to show, ended or not."""

    id: int
    channel: str
    state: State
    group: str
    alerts: int
    reason: str
    detail: str
    attempts: int
    since: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a post is about."""

    delivery: Delivery
    alertmanager: str
    group_labels: Mapping[str, str]
    names: tuple[str, ...]  # of its alerts, each once
    open: bool
    shown: bool  # there is a message, an older one
    due_at: Millis | None
    opened_at: Millis


def list_deliveries(conn: Connection, state: State | None = None) -> list[Delivery]:
    """What waits and what was given up, the oldest first."""
    states: tuple[State, ...] = ("pending", "dead") if state is None else (state,)
    found = [one for each in states for one in _read(conn, each, _STATES[each])]
    return sorted(found, key=lambda one: (one.since or 0, one.id))


def show_delivery(conn: Connection, post_id: int) -> Contents | None:
    """None: there is no such delivery, or it has arrived meanwhile."""
    delivery = _find(conn, post_id)
    if delivery is None:
        return None
    statement = (
        select(
            alert_groups.c.alertmanager, alert_groups.c.labels, incidents.c.closed_at, incidents.c.opened_at,
            posts.c.remote, posts.c.due_at, posts.c.incident_id,
        )
        .join(incidents, incidents.c.id == posts.c.incident_id)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .where(posts.c.id == post_id)
    )  # fmt: skip
    row = conn.execute(statement).one()
    named = select(alerts.c.labels).join(memberships, memberships.c.alert_id == alerts.c.id)
    named = named.where(memberships.c.incident_id == row.incident_id, goes_to(delivery.channel))
    names = dict.fromkeys(json.loads(labels).get("alertname", "") for labels in conn.execute(named).scalars())
    return Contents(
        delivery=delivery,
        alertmanager=row.alertmanager,
        group_labels=json.loads(row.labels),
        names=tuple(sorted(name for name in names if name)),
        open=row.closed_at is None,
        shown=row.remote is not None,
        due_at=row.due_at,
        opened_at=row.opened_at,
    )


def retry_delivery(conn: Connection, post_id: int, now: Millis) -> Delivery | None:
    """Makes it due now, a dead letter lives again; what it was. None: there is no such delivery any more."""
    found = _find(conn, post_id)
    if found is not None:
        _revive(conn, posts.c.id == post_id, now)
    return found


def discard_delivery(conn: Connection, post_id: int) -> Delivery | None:
    """Lets it be: what its channel was not told counts as told. What happens next is told there again."""
    found = _find(conn, post_id)
    if found is not None:
        newest = (
            select(alert_groups.c.revision)
            .join(incidents, incidents.c.group_id == alert_groups.c.id)
            .where(incidents.c.id == posts.c.incident_id)
            .scalar_subquery()
        )
        at_rest: dict[str, Any] = {"state": "live", "due_at": None, "since": None, "rank": 0, "attempts": 0}
        done = {"shown_rev": newest, "announced_rev": newest, "reason": "", "detail": ""}
        conn.execute(update(posts).where(posts.c.id == post_id).values(**at_rest, **done))
    return found


def bury_overdue(conn: Connection, channel: str, before: Millis, failure: Failure) -> int:
    """Gives up all that has waited for longer, when the destination fails for the oldest; how many."""
    late = (posts.c.channel == channel, posts.c.state == "live", IS_DUE, posts.c.since <= before)
    values = {"state": "dead", "due_at": None, "reason": failure.reason, "detail": failure.detail[:1000]}
    return conn.execute(update(posts).where(*late).values(**values)).rowcount


def follow_config(conn: Connection, digests: Mapping[str, str], now: Millis) -> None:
    """What another config means for what waits. `digests` tells for each channel whether anything about it changed.

    What waits for a channel that is gone is given up; it lives again when the channel is back, and all that a channel
    was given up lives again when its config is another.
    """
    removed = {"state": "dead", "reason": REMOVED, "due_at": None, "detail": "the channel is no longer in the config"}
    waits = (posts.c.state == "live", IS_DUE, posts.c.channel.not_in(list(digests)))
    conn.execute(update(posts).where(*waits).values(**removed, since=func.coalesce(posts.c.since, now)))
    _revive(conn, IS_DEAD & (posts.c.reason == REMOVED) & posts.c.channel.in_(list(digests)), now)
    known = {row.key: row.config for row in conn.execute(select(destinations.c.key, destinations.c.config))}
    changed = [name for name, digest in digests.items() if known.get(name) and known[name] != digest]
    _revive(conn, IS_DEAD & posts.c.channel.in_(changed), now)
    if changed:
        _look_again(conn, changed, now)
    for name, digest in digests.items():
        if name not in known:
            conn.execute(insert(destinations).values(key=name, config=digest))
        elif known[name] != digest:
            conn.execute(update(destinations).where(destinations.c.key == name).values(config=digest))


def _look_again(conn: Connection, channels: Collection[str], now: Millis) -> None:
    """Each message of what is open there comes under a worker's eyes: it may stand where its channel no longer writes.

    And what these channels refused before says nothing of them as they are now.
    """
    still = select(incidents.c.id).where(incidents.c.closed_at.is_(None))
    shown = (posts.c.channel.in_(channels), posts.c.state == "live", posts.c.remote.is_not(None))
    open_ones = (*shown, posts.c.since.is_(None), posts.c.incident_id.in_(still))
    conn.execute(update(posts).where(*open_ones).values(due_at=now, since=now, rank=0))
    for channel in channels:
        forget_failure(conn, channel)


def dead_letters(conn: Connection, channels: Collection[str]) -> dict[str, int]:
    """How many posts of each of these channels were given up."""
    counted = select(posts.c.channel, func.count()).where(IS_DEAD, posts.c.channel.in_(list(channels)))
    return {row[0]: row[1] for row in conn.execute(counted.group_by(posts.c.channel))}


def _revive(conn: Connection, which: Any, now: Millis) -> None:
    fresh = {"state": "live", "attempts": 0, "reason": "", "detail": ""}
    since = func.coalesce(posts.c.since, now)
    conn.execute(update(posts).where(which).values(**fresh, plain=False, due_at=now, since=since))


def _find(conn: Connection, post_id: int) -> Delivery | None:
    states: tuple[State, ...] = ("pending", "dead")
    found = [one for state in states for one in _read(conn, state, _STATES[state] & (posts.c.id == post_id))]
    return found[0] if found else None


def _read(conn: Connection, state: State, which: Any) -> Iterator[Delivery]:
    for row in conn.execute(_listed().where(which)):
        failing = not row.reason and row.failing_since is not None
        yield Delivery(
            id=row.id,
            channel=row.channel,
            state=state,
            group=row.code,
            alerts=row.alerts,
            reason=row.last_reason if failing else row.reason,
            detail=row.last_detail if failing else row.detail,
            attempts=row.attempts,
            since=row.since,
        )


def _listed() -> Select[Any]:
    """The columns of `Delivery`; what failed last is its own failure, or else its channel's while that lasts."""
    counted = (
        select(func.count())
        .where(memberships.c.incident_id == posts.c.incident_id, goes_to(posts.c.channel))
        .scalar_subquery()
    )
    return (
        select(
            posts.c.id, posts.c.channel, alert_groups.c.code, counted.label("alerts"), posts.c.reason, posts.c.detail,
            posts.c.attempts, func.coalesce(posts.c.since, posts.c.created_at).label("since"),
            destinations.c.failing_since, destinations.c.reason.label("last_reason"),
            destinations.c.detail.label("last_detail"),
        )
        .join(incidents, incidents.c.id == posts.c.incident_id)
        .join(alert_groups, alert_groups.c.id == incidents.c.group_id)
        .outerjoin(destinations, destinations.c.key == posts.c.channel)
    )  # fmt: skip


def goes_to(channel: Any) -> Any:
    """A condition on memberships shown at this channel: theirs are a JSON object, whose text names each in quotes."""
    return func.replace(memberships.c.channels, '"' + channel + '":', "") != memberships.c.channels
