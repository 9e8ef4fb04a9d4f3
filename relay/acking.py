"""Acks: a person takes alerts and gives them back. An ack belongs to the episodes that fire now, and ends with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from relay.alerts import storable, texts_json
from relay.clock import Millis
from relay.ids import alert_code
from relay.severity import SeverityMap
from relay.store.database import Connection
from relay.store.rows import AlertRow, EpisodeRow, IncidentRow, MembershipRow
from relay.store.scope import Scope

MAX_NOTE = 500
Identity = tuple[str, str]
"""(alertmanager, fingerprint)."""


class Turn(Protocol):
    """One change of the state, as `relay.ingest.turn.Turn` makes it: revisions, history, posts that fall due."""

    @property
    def now(self) -> Millis: ...

    @property
    def new_id(self) -> Callable[[], int]: ...

    def bump(self, incident: IncidentRow) -> int: ...

    def record(
        self, kind: str, *, alert: AlertRow | None = None, incident: IncidentRow | None = None, **more: str
    ) -> None: ...

    def listings(self, alert: AlertRow) -> Iterator[tuple[MembershipRow, IncidentRow]]: ...

    def start_episode(self, alert: AlertRow, starts_at: Millis) -> None: ...

    def reopen_episode(self, alert: AlertRow, *, announce: bool) -> None: ...

    def finish(self) -> set[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An alert as Alertmanager's API lists it, for one that no webhook has brought."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: Millis | None = None
    generator_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acked:
    """What came of it: `changed` of the `firing` alerts; who had the others since when; the channels that have work."""

    changed: int
    firing: int
    by: str = ""
    at: Millis | None = None
    woken: frozenset[str] = frozenset()


class Acker:
    """Build it once; each method is a store function, one transaction each. Of two people at once the first one wins."""

    def __init__(self, begin: Callable[[Scope], Turn], severities: SeverityMap) -> None:
        self._begin = begin
        self._severities = severities

    def ack(
        self,
        conn: Connection,
        identities: Collection[Identity],
        who: str,
        note: str = "",
        *,
        listed: Mapping[Identity, Listed] | None = None,
    ) -> Acked:
        """Takes those that fire and nobody has.

        Args:
            conn: the transaction.
            identities: the alerts meant.
            who: how messages call this person.
            note: for the others; at most `MAX_NOTE` characters are kept.
            listed: what the API says fires: an alert of which we knew nothing begins its episode here.
        """
        who, note = storable(who), storable(note)[:MAX_NOTE]
        scope, turn = self._open(conn, identities)
        for identity, found in (listed or {}).items():
            if identity in identities:
                self._adopt(scope, turn, identity, found)
        firing = _firing(scope, identities)
        earlier = [episode for _, episode in firing if episode.acked_by]
        changed = 0
        for alert, episode in firing:
            if not episode.acked_by:
                episode.acked_by, episode.acked_at, episode.ack_note = who, turn.now, note
                _show(turn, alert, "acked", who, note)
                changed += 1
        return _finish(scope, turn, changed, len(firing), earlier)

    def unack(self, conn: Connection, identities: Collection[Identity], who: str) -> Acked:
        """Gives back what fires, whoever has it."""
        who = storable(who)
        scope, turn = self._open(conn, identities)
        firing = _firing(scope, identities)
        changed = 0
        for alert, episode in firing:
            if episode.acked_by:
                holder, episode.acked_by, episode.acked_at, episode.ack_note = episode.acked_by, "", None, ""
                _show(turn, alert, "unacked", who, "" if holder == who else holder)
                changed += 1
        return _finish(scope, turn, changed, len(firing), [])

    def _open(self, conn: Connection, identities: Collection[Identity]) -> tuple[Scope, Turn]:
        scope = Scope(conn)
        scope.load(alerts=identities)
        return scope, self._begin(scope)

    def _adopt(self, scope: Scope, turn: Turn, identity: Identity, found: Listed) -> None:
        """The API says that it fires; a webhook may still be on its way, or never come."""
        starts_at = found.starts_at if found.starts_at is not None else turn.now
        alert = scope.by_identity.get(identity)
        if alert is None:
            alert = scope.alerts.add(self._new_alert(turn, identity, found))
            scope.by_identity[identity] = alert
        if alert.firing:
            return
        alert.seen_at, alert.severity = turn.now, int(self._severities.of(found.labels))
        if alert.episode_id is None or alert.ends_at is None or starts_at > alert.ends_at:
            turn.start_episode(alert, starts_at)
        else:
            turn.reopen_episode(alert, announce=False)

    def _new_alert(self, turn: Turn, identity: Identity, found: Listed) -> AlertRow:
        return AlertRow(
            id=turn.new_id(),
            alertmanager=identity[0],
            fingerprint=identity[1],
            code=alert_code(*identity),
            labels=texts_json(found.labels),
            annotations=texts_json(found.annotations),
            severity=int(self._severities.of(found.labels)),
            generator_url=found.generator_url,
        )


def _firing(scope: Scope, identities: Collection[Identity]) -> list[tuple[AlertRow, EpisodeRow]]:
    found = []
    for identity in dict.fromkeys(identities):
        alert = scope.by_identity.get(identity)
        if alert is not None and alert.firing and alert.episode_id is not None:
            found.append((alert, scope.episodes[alert.episode_id]))
    return found


def _show(turn: Turn, alert: AlertRow, kind: str, who: str, detail: str) -> None:
    """Every incident that lists the alert shows it, without a ring."""
    turn.record(kind, alert=alert, actor=who, detail=detail)
    for membership, incident in turn.listings(alert):
        membership.changed_rev = incident.ack_rev = turn.bump(incident)


def _finish(scope: Scope, turn: Turn, changed: int, firing: int, earlier: list[EpisodeRow]) -> Acked:
    woken = turn.finish()
    scope.write()
    first = min(earlier, key=lambda episode: episode.acked_at or 0, default=None)
    return Acked(
        changed=changed,
        firing=firing,
        by=", ".join(dict.fromkeys(episode.acked_by for episode in earlier)),
        at=first.acked_at if first else None,
        woken=frozenset(woken),
    )
