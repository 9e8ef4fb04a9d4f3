"""The rows a change works on, as plain mutable records in the order of their columns; JSON columns stay text until needed."""

from __future__ import annotations

from dataclasses import dataclass

from relay.clock import Millis


@dataclass(slots=True)
class AlertRow:
    """(alertmanager, fingerprint). Its state is kept once; groups only list it."""

    id: int
    alertmanager: str
    fingerprint: str
    code: str
    labels: str
    annotations: str
    severity: int
    generator_url: str = ""
    episode_id: int | None = None
    episode: int = 0
    firing: bool = False
    starts_at: Millis | None = None
    ends_at: Millis | None = None
    closed_by: str = ""
    seen_at: Millis | None = None
    silenced_by: str = ""
    silenced_until: Millis | None = None
    silenced: bool = False
    inhibited: bool = False
    exempt: bool = False
    unconfirmed: bool = False
    recent_starts: str = "[]"
    flapping_until: Millis | None = None


@dataclass(slots=True)
class EpisodeRow:
    """One run of an alert from firing to resolved; an ack belongs to it."""

    id: int
    alert_id: int
    number: int
    starts_at: Millis | None
    ends_at: Millis | None = None
    opened_at: Millis | None = None
    acked_by: str = ""
    acked_at: Millis | None = None
    ack_note: str = ""


@dataclass(slots=True)
class GroupRow:
    """(alertmanager, receiver, groupKey); eternal. Its revision grows with every visible change."""

    id: int
    alertmanager: str
    receiver: str
    key_hash: str
    key: str
    code: str
    labels: str
    external_url: str = ""
    revision: int = 0
    incident_id: int | None = None
    message_at: Millis | None = None


@dataclass(slots=True)
class IncidentRow:
    """One run of a group from its first firing alert to its last resolved."""

    id: int
    group_id: int
    number: int
    opened_at: Millis
    closed_at: Millis | None = None
    changed_at: Millis | None = None
    firing: int = 0
    truncated: int = 0
    test: bool = False
    repeat_rev: int = 0
    repeat_at: Millis | None = None
    ack_rev: int = 0
    silence_rev: int = 0


@dataclass(slots=True)
class MembershipRow:
    """An alert in an incident, with the group's revisions at which it joined, fired, changed and left."""

    incident_id: int
    alert_id: int
    episode_id: int
    open: bool = True
    channels: str = "{}"
    joined_rev: int = 0
    fired_rev: int = 0
    raised_rev: int = 0
    changed_rev: int = 0
    resolved_rev: int = 0
    left_rev: int = 0
    absent: int = 0


@dataclass(slots=True)
class PostRow:
    """The view of one incident at one channel. `due_at` is None while it shows the newest state."""

    id: int
    incident_id: int
    channel: str
    state: str = "live"
    shown_rev: int = 0
    announced_rev: int = 0
    fingerprint: str = ""
    remote: str | None = None
    plain: bool = False
    quiet: bool = False
    farewell: bool = False
    due_at: Millis | None = None
    since: Millis | None = None
    rank: int = 0
    attempts: int = 0
    reason: str = ""
    detail: str = ""
    attached_at: Millis | None = None
    attached_rev: int = 0
    told_at: Millis | None = None
    created_at: Millis | None = None
    instead_of: str = ""
    digest_id: int | None = None


@dataclass(slots=True)
class HistoryRow:
    """Append-only: what happened, when, and by whom."""

    id: int
    at: Millis
    kind: str
    group_id: int | None = None
    incident_id: int | None = None
    alert_id: int | None = None
    channel: str = ""
    actor: str = ""
    detail: str = ""
