"""What Alertmanager's API says of the alerts we hold: it closes, confirms and marks; it never creates anything.

Routing to receivers is Alertmanager's business, so an alert that the API lists and no webhook brought is not ours to show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from relay.clock import Clock, Millis
from relay.ingest.fallback import keep_stand_ins
from relay.ingest.policy import Policy, channels_of, channels_text
from relay.ingest.turn import Turn
from relay.store.database import Connection
from relay.store.held import Held, orphaned_alerts, quiet_again, truncated_incidents
from relay.store.rows import AlertRow, IncidentRow, PostRow
from relay.store.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """An alert as the API lists it: it fires; it may be silenced or inhibited."""

    silenced: bool = False
    inhibited: bool = False
    silenced_by: str = ""  # who made the silence
    silenced_until: Millis | None = None

    @property
    def muted(self) -> bool:
        return self.silenced or self.inhibited


def differs(held: Held, reported: Reported) -> bool:
    """Whether the API says anything that we do not show yet, or that must ring."""
    mine = (held.silenced, held.inhibited, held.silenced_by, held.silenced_until)
    theirs = (reported.silenced, reported.inhibited, reported.silenced_by, reported.silenced_until)
    return (held.unconfirmed and not reported.muted) or mine != theirs


class Reconciler:
    """Applies one listing. Build it once; each method is a store function, one transaction each."""

    def __init__(self, policy: Policy, new_id: Callable[[], int], clock: Clock) -> None:
        self._policy = policy
        self._new_id = new_id
        self._clock = clock

    def apply(
        self,
        conn: Connection,
        *,
        reported: Mapping[int, Reported],
        gone: Collection[int],
        listed_before: Millis,
    ) -> frozenset[str]:
        """Marks the `reported` (alert id to its state) and closes the `gone`; the channels that have work now.

        Args:
            conn: the transaction.
            reported: only alerts whose state differs from ours.
            gone: alerts that a healthy Alertmanager did not list twice.
            listed_before: when the listing was asked for: what a webhook brought since is newer than the listing.
        """
        scope = Scope(conn)
        scope.load(alert_ids=[*reported, *gone])
        turn = Turn(scope, self._policy, self._new_id, self._clock())
        for alert_id, state in reported.items():
            alert = scope.alerts.get(alert_id)
            if alert is not None and alert.firing:
                _mark(turn, alert, state)
                if alert.unconfirmed and not state.muted and (alert.seen_at or 0) < listed_before:
                    turn.confirm(alert)
        for alert_id in gone:
            alert = scope.alerts.get(alert_id)
            if alert is not None and alert.firing and (alert.seen_at or 0) < listed_before:
                turn.end_episode(alert, turn.now, "poll")
        woken = turn.finish()
        scope.write()
        return frozenset(woken)

    def settle_truncated(
        self,
        conn: Connection,
        *,
        alertmanager: str,
        listed: Collection[tuple[str, Mapping[str, str]]],
        listed_before: Millis,
    ) -> frozenset[str]:
        """Closes truncated incidents of which the API lists nothing any more, unless a webhook has brought news since.

        Args:
            conn: the transaction.
            alertmanager: the cluster.
            listed: (receiver, labels) of each alert.
            listed_before: when the listing was asked for.
        """
        scope = Scope(conn)
        scope.load_incidents(truncated_incidents(conn, alertmanager))
        turn = Turn(scope, self._policy, self._new_id, self._clock())
        for row in scope.incidents:
            own = turn.group_of(row)
            if row.firing or (own.message_at or 0) >= listed_before:
                continue
            labels = json.loads(own.labels).items()
            if not any(receiver == own.receiver and labels <= their.items() for receiver, their in listed):
                turn.bump(row)
                row.truncated = 0
                turn.close_if_over(row)
        woken = turn.finish()
        scope.write()
        return frozenset(woken)

    def end_flapping(self, conn: Connection) -> frozenset[str]:
        """Takes the mark off alerts that were quiet long enough; one that still fires then rings, once nothing mutes it."""
        now = self._clock()
        scope = Scope(conn)
        ids = quiet_again(conn, now)
        scope.load(alert_ids=ids)
        turn = Turn(scope, self._policy, self._new_id, now)
        for alert in scope.alerts:
            if alert.flapping_until is None or alert.flapping_until > now:
                continue  # it has started again since we looked
            alert.flapping_until, alert.recent_starts = None, "[]"
            if alert.firing and not (alert.silenced or alert.inhibited):
                turn.confirm(alert)
            else:
                alert.unconfirmed = alert.firing
                turn.touch(alert)
        woken = turn.finish()
        scope.write()
        return frozenset(woken)


def _mark(turn: Turn, alert: AlertRow, state: Reported) -> None:
    was = (alert.silenced, alert.silenced_by, alert.silenced_until)
    changed = (alert.silenced, alert.inhibited, alert.silenced_by, alert.silenced_until) != (
        state.silenced,
        state.inhibited,
        state.silenced_by,
        state.silenced_until,
    )
    alert.silenced, alert.inhibited = state.silenced, state.inhibited
    alert.silenced_by, alert.silenced_until = state.silenced_by, state.silenced_until
    if changed:
        turn.touch(alert)
        if was[0] != alert.silenced:
            for _, incident in turn.listings(alert):
                incident.silence_rev = turn.bump(incident)


def abandon_orphans(
    conn: Connection, policy: Policy, new_id: Callable[[], int], clock: Clock, clusters: Collection[str]
) -> frozenset[str]:
    """Shows as no longer reported what fires of a cluster that the config no longer names; the channels that have work.

    Nobody will ever tell its end. If a message of it comes all the same, the same run goes on.
    """
    scope = Scope(conn)
    scope.load(alert_ids=orphaned_alerts(conn, clusters))
    turn = Turn(scope, policy, new_id, clock())
    for alert in scope.alerts:
        if not alert.firing:
            continue
        for membership, incident in turn.listings(alert):
            incident.truncated = 0
            turn.leave(membership, incident)
        alert.firing, alert.unconfirmed, alert.ends_at, alert.closed_by = False, False, turn.now, "config"
        turn.record("unreported", alert=alert)
    woken = turn.finish()
    scope.write()
    return frozenset(woken)


def reroute_incident(
    conn: Connection, policy: Policy, new_id: Callable[[], int], clock: Clock, incident_id: int
) -> frozenset[str]:
    """Routes an incident anew that runs or may go on, after a start with another config; the channels that have work now.

    A new destination gets a silent post, one no longer routed a last edit; a post whose channel is gone from the config
    becomes a dead letter. What is over stays where it was shown, and goes the new ways if it fires again.
    """
    scope = Scope(conn)
    scope.load_incidents([incident_id])
    incident = scope.incidents.get(incident_id)
    if incident is None:  # forgotten meanwhile
        return frozenset()
    turn = Turn(scope, policy, new_id, clock())
    group = turn.group_of(incident)
    wanted: set[str] = set()
    routed: set[str] = set()
    for membership in scope.load_members(incident_id):
        alert = scope.alerts[membership.alert_id]
        labels = json.loads(alert.labels)
        channels = keep_stand_ins(
            scope.of_incident.get(incident_id, ()),
            channels_of(membership.channels),
            policy.router.route(labels, receiver=group.receiver, alertmanager=group.alertmanager),
        )
        routed.update(channels)
        if membership.open:
            wanted.update(channels)
        text = channels_text(frozenset(channels.items()))
        if text != membership.channels:
            membership.channels = text
            if incident.closed_at is None:
                membership.changed_rev = turn.bump(incident)
        severity = int(policy.severities.of(labels))
        if severity != alert.severity:
            turn.grade(alert, severity)
    _follow_routes(turn, incident, wanted=wanted, routed=routed)
    woken = turn.finish()
    scope.write()
    return frozenset(woken)


def _follow_routes(turn: Turn, incident: IncidentRow, *, wanted: AbstractSet[str], routed: AbstractSet[str]) -> None:
    """Quiet posts for `wanted` channels that are new, a farewell from those no longer `routed`."""
    posts = turn.scope.of_incident.setdefault(incident.id, [])
    for post in posts:
        if incident.closed_at is None or post.since is not None:  # else its message shows the end, and may stay so
            _follow(turn, incident, post, is_routed=post.channel in routed)
    for channel in sorted(wanted - {post.channel for post in posts}):
        post = PostRow(id=turn.new_id(), incident_id=incident.id, channel=channel, quiet=True, created_at=turn.now)
        posts.append(turn.scope.posts.add(post))
        turn.bump(incident)


def _follow(turn: Turn, incident: IncidentRow, post: PostRow, *, is_routed: bool) -> None:
    if is_routed:
        post.farewell = False
        if post.reason == "channel_removed":
            post.state, post.reason, post.detail = "live", "", ""
            turn.bump(incident)
    elif post.channel not in turn.policy.reopen:
        post.state, post.reason, post.due_at, post.since = "dead", "channel_removed", None, None
        post.detail = f"channel {post.channel} is no longer in the config"
    elif not post.farewell:
        post.farewell = True
        turn.bump(incident)
