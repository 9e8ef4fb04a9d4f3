"""One change of the state: episodes begin and end, every group that lists the alert gets a new revision, posts fall due."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from relay.clock import MINUTE, Millis
from relay.ingest.policy import Policy, channels_of, channels_text
from relay.store.rows import AlertRow, EpisodeRow, GroupRow, HistoryRow, IncidentRow, MembershipRow, PostRow
from relay.store.scope import Scope

FLAPPING_STARTS = 3
FLAPPING_WINDOW: Millis = 30 * MINUTE
FLAPPING_QUIET: Millis = 15 * MINUTE
RING = 4
"""Added to a post's rank while it has something to announce: rings go before edits of the same severity."""


class Turn:
    """One change at one moment. All that happens in it shares one new revision per group; `finish` makes posts due."""

    def __init__(self, scope: Scope, policy: Policy, new_id: Callable[[], int], now: Millis) -> None:
        self.scope = scope
        self.policy = policy
        self.now = now
        self.new_id = new_id
        self._revisions: dict[int, int] = {}
        self._rings: dict[int, dict[str, int]] = {}  # incident -> channel -> rank
        self._wanted: dict[int, set[str]] = {}  # incident -> channels that what joined or fired goes to
        self._over: set[int] = set()  # incidents that this turn has closed
        self.moved = False  # something began, ended, joined or left: more than its words changed

    @property
    def changed(self) -> bool:
        return bool(self._revisions)

    def group_of(self, incident: IncidentRow) -> GroupRow:
        return self.scope.groups[incident.group_id]

    def bump(self, incident: IncidentRow) -> int:
        """The group's revision of this turn: a visible change of this incident belongs to it."""
        group = self.group_of(incident)
        if group.id not in self._revisions:
            group.revision += 1
            self._revisions[group.id] = group.revision
        incident.changed_at = self.now
        self._rings.setdefault(incident.id, {})
        return group.revision

    def record(
        self, kind: str, *, alert: AlertRow | None = None, incident: IncidentRow | None = None, **more: str
    ) -> None:
        self.scope.history.append(
            HistoryRow(
                id=self.new_id(),
                at=self.now,
                kind=kind,
                alert_id=alert.id if alert else None,
                incident_id=incident.id if incident else None,
                group_id=incident.group_id if incident else None,
                **more,
            )
        )

    def listings(self, alert: AlertRow) -> Iterator[tuple[MembershipRow, IncidentRow]]:
        """Where the alert is listed in an incident that is not over."""
        for membership in self.scope.of_alert.get(alert.id, ()):
            incident = self.scope.incidents[membership.incident_id]
            if incident.closed_at is None:
                yield membership, incident

    # -- incidents -------------------------------------------------------------------------------------------------

    def open_incident(self, group: GroupRow, *, test: bool) -> IncidentRow:
        """The group's running incident; the last one again if it ended within `reopen`, else a new one."""
        last = self.scope.incidents.get(group.incident_id) if group.incident_id is not None else None
        if last is not None and last.closed_at is None:
            return last
        if last is not None and last.closed_at is not None and self.now - last.closed_at <= self.policy.longest_reopen:
            self._start_late_posts_anew(last, self.now - last.closed_at)
            last.closed_at = None
            return last
        incident = self.scope.incidents.add(
            IncidentRow(
                id=self.new_id(),
                group_id=group.id,
                number=last.number + 1 if last else 1,
                opened_at=self.now,
                test=test,
            )
        )
        group.incident_id = incident.id
        return incident

    def _start_late_posts_anew(self, incident: IncidentRow, ended_since: Millis) -> None:
        """Channels with a shorter `reopen` than others get a new message for what the others continue."""
        for post in self.scope.of_incident.get(incident.id, ()):
            if ended_since > self.policy.reopen.get(post.channel, 0) and post.since is None:  # it shows the end
                post.remote, post.fingerprint = None, ""

    def close_if_over(self, incident: IncidentRow) -> None:
        if incident.closed_at is None and incident.firing == 0 and incident.truncated == 0:
            self.bump(incident)
            incident.closed_at = self.now
            self._over.add(incident.id)
            self.record("closed", incident=incident)

    # -- alerts ----------------------------------------------------------------------------------------------------

    def start_episode(self, alert: AlertRow, starts_at: Millis) -> None:
        alert.episode += 1
        episode = self.scope.episodes.add(
            EpisodeRow(
                id=self.new_id(), alert_id=alert.id, number=alert.episode, starts_at=starts_at, opened_at=self.now
            )
        )
        alert.episode_id, alert.firing, alert.starts_at = episode.id, True, starts_at
        alert.closed_by, alert.unconfirmed = "", False
        self._watch_flapping(alert)
        self.record("fired", alert=alert)
        for membership, incident in self.listings(alert):
            membership.episode_id = episode.id
            self._set_open(membership, incident, True)
            self._ring(membership, incident, alert)

    def reopen_episode(self, alert: AlertRow, *, announce: bool) -> None:
        """The same run goes on: a restart or a second peer reported it after we had closed it."""
        assert alert.episode_id is not None
        self.scope.episodes[alert.episode_id].ends_at = None
        alert.firing, alert.unconfirmed = True, not announce
        self.record("reopened", alert=alert)
        for membership, incident in self.listings(alert):
            self._set_open(membership, incident, True)
            membership.changed_rev = self.bump(incident)
            if announce:
                self._ring(membership, incident, alert)

    def confirm(self, alert: AlertRow) -> None:
        """The API lists an alert as firing that a late message had reopened: now it rings."""
        alert.unconfirmed = False
        for membership, incident in self.listings(alert):
            self._ring(membership, incident, alert)

    def end_episode(self, alert: AlertRow, ends_at: Millis, by: str) -> None:
        assert alert.episode_id is not None
        self.scope.episodes[alert.episode_id].ends_at = ends_at
        alert.firing, alert.ends_at, alert.closed_by, alert.unconfirmed = False, ends_at, by, False
        alert.silenced, alert.inhibited, alert.silenced_by, alert.silenced_until = False, False, "", None
        if alert.flapping_until is not None:
            alert.flapping_until = self.now + FLAPPING_QUIET
        self.record("resolved", alert=alert, detail=by)
        for membership, incident in self.listings(alert):
            self._set_open(membership, incident, False)
            membership.resolved_rev = membership.changed_rev = self.bump(incident)

    def has_left(self, alert: AlertRow) -> bool:
        """It is listed, and each message of these groups has come without it since: nobody knows what became of it."""
        listed = self.scope.of_alert.get(alert.id, ())
        return bool(listed) and not any(membership.open for membership in listed)

    def grade(self, alert: AlertRow, severity: int) -> None:
        """The config maps its severity anew; where that is worse now, it rings."""
        is_worse, alert.severity = severity > alert.severity, severity
        for membership, incident in self.listings(alert):
            membership.changed_rev = self.bump(incident)
            if is_worse:
                membership.raised_rev = membership.changed_rev
                self.ring(incident, channels_of(membership.channels), severity)

    def touch(self, alert: AlertRow) -> None:
        """Something visible of the alert changed without beginning or ending."""
        for membership, incident in self.listings(alert):
            membership.changed_rev = self.bump(incident)

    def join(self, incident: IncidentRow, alert: AlertRow, labels: Mapping[str, str]) -> None:
        """Lists the alert, which has these labels, in the incident, unless it is listed already."""
        assert alert.episode_id is not None
        known = self.scope.memberships.get((incident.id, alert.id))
        if known is not None:
            self._rejoin(known, incident, alert)
            return
        group = self.group_of(incident)
        channels = self.policy.router.route(labels, receiver=group.receiver, alertmanager=group.alertmanager)
        membership = MembershipRow(
            incident_id=incident.id,
            alert_id=alert.id,
            episode_id=alert.episode_id,
            open=False,
            channels=channels_text(frozenset(channels.items())),
        )
        membership.joined_rev = membership.changed_rev = self.bump(incident)
        self.scope.memberships.add(membership)
        self.scope.list(membership)
        self._wanted.setdefault(incident.id, set()).update(channels)
        self.moved = True
        if alert.firing:
            self._set_open(membership, incident, True)
            self._ring(membership, incident, alert)
        else:
            membership.resolved_rev = membership.joined_rev

    def _rejoin(self, known: MembershipRow, incident: IncidentRow, alert: AlertRow) -> None:
        """Reported again after it had left, or firing again since another group's message said so first."""
        assert alert.episode_id is not None
        known.absent = 0
        same_run_is_back = known.left_rev and known.episode_id == alert.episode_id
        if known.left_rev:
            known.left_rev, known.changed_rev = 0, self.bump(incident)
        if alert.firing and not known.open:
            known.episode_id = alert.episode_id
            self._set_open(known, incident, True)
            if not same_run_is_back:
                self._ring(known, incident, alert)

    def leave(self, membership: MembershipRow, incident: IncidentRow) -> None:
        """The alert is no longer reported in this group, and nobody can tell whether it resolved."""
        membership.left_rev = membership.changed_rev = self.bump(incident)
        self._set_open(membership, incident, False)

    def _set_open(self, membership: MembershipRow, incident: IncidentRow, is_open: bool) -> None:  # noqa: FBT001  the new value
        if membership.open != is_open:
            membership.open = is_open
            incident.firing += 1 if is_open else -1
            self.moved = True
        if is_open:
            membership.left_rev = 0
            self._wanted.setdefault(incident.id, set()).update(channels_of(membership.channels))

    def _ring(self, membership: MembershipRow, incident: IncidentRow, alert: AlertRow) -> None:
        revision = self.bump(incident)
        membership.changed_rev = revision
        if alert.flapping_until is not None:
            return  # edited only, until quiet
        membership.fired_rev = revision
        self.ring(incident, channels_of(membership.channels), alert.severity)

    def ring(self, incident: IncidentRow, channels: Mapping[str, bool], severity: int) -> None:
        self.bump(incident)
        rings = self._rings[incident.id]
        for channel in channels:
            rings[channel] = max(rings.get(channel, 0), severity + RING)

    def _watch_flapping(self, alert: AlertRow) -> None:
        if alert.recent_starts == "[]":  # nearly always: not worth a parser
            alert.recent_starts = f"[{self.now}]"
            return
        starts = [at for at in json.loads(alert.recent_starts) if self.now - at < FLAPPING_WINDOW]
        starts = [*starts[1 - FLAPPING_STARTS :], self.now]
        alert.recent_starts = json.dumps(starts)
        if len(starts) >= FLAPPING_STARTS or alert.flapping_until is not None:
            alert.flapping_until = self.now + FLAPPING_QUIET

    # -- posts -----------------------------------------------------------------------------------------------------

    def finish(self) -> set[str]:
        """Closes what is over, makes the posts of all changed incidents due, creates missing ones; who has work now."""
        woken: set[str] = set()
        for incident_id in self._rings:  # now, and not as the last alert resolves: the next of the message may fire
            self.close_if_over(self.scope.incidents[incident_id])
        for incident_id, rings in self._rings.items():
            posts = self.scope.of_incident.setdefault(incident_id, [])
            self._create_posts(incident_id, posts)
            for post in posts:
                self._make_due(post, rings.get(post.channel), over=incident_id in self._over)
                woken.add(post.channel)
        return woken

    def _create_posts(self, incident_id: int, posts: list[PostRow]) -> None:
        """Wherever an alert is routed it is shown, also if it does not ring: it flaps, or was over before we heard of it."""
        present = {post.channel: post for post in posts}
        for channel in sorted(self._wanted.get(incident_id, ())):
            if channel in present:
                present[channel].farewell = False  # it was no longer shown there, and is again
            else:
                post = PostRow(id=self.new_id(), incident_id=incident_id, channel=channel, created_at=self.now)
                posts.append(self.scope.posts.add(post))

    def _make_due(self, post: PostRow, ring: int | None, *, over: bool) -> None:
        if post.state == "dead":
            # a message that stands there must not say for ever that something fires
            ends = over and post.remote is not None and post.reason != "channel_removed"
            if ring is None and not ends:
                return
            post.state, post.attempts, post.reason, post.detail, post.due_at = "live", 0, "", "", None
        if post.due_at is None or post.since is None:  # at rest, or waiting for a time when only lesser news was due
            post.due_at, post.rank = self.now, 0
        if post.since is None:
            post.since = self.now
        if ring is not None:
            post.rank = max(post.rank, ring)
