"""A webhook message becomes a change of the state; messages that wait together are one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from relay.alerts import WebhookAlert, WebhookMessage, texts_json
from relay.clock import MINUTE, Clock, Millis
from relay.ids import alert_code, group_code
from relay.ingest.policy import Policy, channels_of
from relay.ingest.turn import Turn
from relay.severity import Severity
from relay.store.database import Connection
from relay.store.rows import AlertRow, GroupRow, IncidentRow
from relay.store.scope import Scope

REPEAT_AFTER: Millis = 10 * MINUTE
REPEAT_ONCE_IN: Millis = MINUTE
"""Members of an HA cluster repeat the same notification within seconds of each other."""
TEST_LABEL = "relay_test"
"""Marks alerts of `relay send-test` and the demo: Alertmanager's API never heard of them."""
ABSENT_LIMIT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The cluster a message came from. Without an API nobody can be asked what really fires."""

    name: str
    has_api: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A message with its source."""

    source: Source
    message: WebhookMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What came of a message: its group's code, the channels of its open incident, and who has work now."""

    duplicate: bool
    group: str
    channels: tuple[str, ...] = ()
    woken: frozenset[str] = frozenset()
    unrouted: int = 0  # alerts that no route wanted


def acceptor(
    policy: Policy, new_id: Callable[[], int], clock: Clock
) -> Callable[[Connection, Sequence[Delivered]], list[Accepted]]:
    """The batch function for `Database.write_batched`."""
    return partial(_accept_batch, policy=policy, new_id=new_id, clock=clock)


def _accept_batch(
    conn: Connection, batch: Sequence[Delivered], *, policy: Policy, new_id: Callable[[], int], clock: Clock
) -> list[Accepted]:
    scope = Scope(conn)
    keys = {id(delivered): _key(delivered) for delivered in batch}
    alerts = ((one.source.name, alert.fingerprint) for one in batch for alert in one.message.alerts)
    scope.load(groups=keys.values(), alerts=alerts)
    results = []
    for delivered in batch:
        turn = Turn(scope, policy, new_id, clock())
        results.append(_accept(turn, delivered, keys[id(delivered)]))
    scope.write()
    return results


def _key(delivered: Delivered) -> tuple[str, str, str]:
    """Identity of a group: the cluster as configured by us, the receiver, and groupKey, which is opaque and hashed raw."""
    message = delivered.message
    digest = hashlib.sha256(message.raw_group_key.encode("utf-8", "surrogatepass")).hexdigest()
    return delivered.source.name, message.receiver_name, digest


def _accept(turn: Turn, delivered: Delivered, key: tuple[str, str, str]) -> Accepted:
    message, source = delivered.message, delivered.source
    group = turn.scope.by_key.get(key) or _new_group(
        turn,
        alertmanager=key[0],
        receiver=key[1],
        key=message.group_key,
        key_hash=key[2],
        labels=texts_json(message.group_labels),
    )
    previous, group.message_at = group.message_at, turn.now
    if message.external_url:
        group.external_url = message.external_url
    incident = _incident_for(turn, group, message)
    for wire in message.alerts:
        _take(turn, source, incident, wire)
    if incident is not None:
        _count_unlisted(turn, source, incident, message)
        if not turn.moved and _is_repeat(message, incident, turn.now - (previous or turn.now), turn.now):
            _repeat(turn, source, incident, message)
        turn.close_if_over(incident)
    woken = turn.finish()
    return Accepted(
        duplicate=not turn.changed,
        group=group.code,
        channels=tuple(sorted(post.channel for post in turn.scope.of_incident.get(incident.id, ())))
        if incident
        else (),
        woken=frozenset(woken),
        unrouted=_unrouted(turn, incident, message, source) if turn.changed and incident else 0,
    )


def _incident_for(turn: Turn, group: GroupRow, message: WebhookMessage) -> IncidentRow | None:
    """The incident this message speaks of: opened when something fires, else the last one while it runs."""
    if any(alert.firing for alert in message.alerts):
        test = any(TEST_LABEL in alert.labels for alert in message.alerts)
        return turn.open_incident(group, test=test)
    last = turn.scope.incidents.get(group.incident_id) if group.incident_id is not None else None
    return last if last is not None and last.closed_at is None else None


def _take(turn: Turn, source: Source, incident: IncidentRow | None, wire: WebhookAlert) -> None:
    alert = turn.scope.by_identity.get((source.name, wire.fingerprint))
    if alert is None:
        alert = _new_alert(turn, source, wire)
    else:
        _refresh(turn, alert, wire)
    alert.seen_at = turn.now
    starts_at = wire.starts_at if wire.starts_at is not None else turn.now
    if wire.firing:
        _take_firing(turn, source, alert, wire, starts_at)
    elif alert.firing:
        _take_resolved(turn, alert, wire, starts_at)
    elif alert.episode_id is None and incident is not None:
        turn.start_episode(alert, starts_at)  # fired and resolved while nobody could tell us
        turn.end_episode(alert, _end(turn, wire), "webhook")
    if incident is not None and alert.episode_id is not None and _belongs(turn, incident, alert, wire):
        turn.join(incident, alert, wire.labels)


def _belongs(turn: Turn, incident: IncidentRow, alert: AlertRow, wire: WebhookAlert) -> bool:
    """Firing alerts are listed; a resolved one is only when the incident has not seen it, so that it is shown at all."""
    return alert.firing if wire.firing else turn.scope.memberships.get((incident.id, alert.id)) is None


def _take_firing(turn: Turn, source: Source, alert: AlertRow, wire: WebhookAlert, starts_at: Millis) -> None:
    if alert.firing and starts_at > (alert.starts_at or 0) and turn.has_left(alert):
        turn.end_episode(alert, starts_at - 1, "webhook")  # some time before, and nobody was told
    if alert.firing:
        if alert.starts_at is not None and starts_at < alert.starts_at:
            alert.starts_at = starts_at  # Alertmanager keeps the earliest, too (`alert/alert.go` Merge)
            turn.touch(alert)
        return
    alert.severity = int(turn.policy.severities.of(wire.labels))  # the config may have changed since the last run
    if alert.episode_id is None or alert.ends_at is None or starts_at > alert.ends_at:
        turn.start_episode(alert, starts_at)
    else:
        turn.reopen_episode(alert, announce=alert.closed_by == "poll" or not source.has_api)


def _take_resolved(turn: Turn, alert: AlertRow, wire: WebhookAlert, starts_at: Millis) -> None:
    """Ends the run, unless the resolve is that of an earlier one: messages of two peers arrive in any order."""
    ends_at = _end(turn, wire)
    if starts_at == alert.starts_at or alert.starts_at is None or ends_at > alert.starts_at:
        turn.end_episode(alert, ends_at, "webhook")


def _end(turn: Turn, wire: WebhookAlert) -> Millis:
    return wire.ends_at if wire.ends_at is not None else turn.now


def _new_group(turn: Turn, *, alertmanager: str, receiver: str, key: str, key_hash: str, labels: str) -> GroupRow:
    group = turn.scope.groups.add(
        GroupRow(
            id=turn.new_id(),
            alertmanager=alertmanager,
            receiver=receiver,
            key_hash=key_hash,
            key=key,
            code=group_code(alertmanager, receiver, key_hash),
            labels=labels,
        )
    )
    turn.scope.by_key[alertmanager, receiver, key_hash] = group
    return group


def _new_alert(turn: Turn, source: Source, wire: WebhookAlert) -> AlertRow:
    alert = AlertRow(
        id=turn.new_id(),
        alertmanager=source.name,
        fingerprint=wire.fingerprint,
        code=alert_code(source.name, wire.fingerprint),
        labels=texts_json(wire.labels),
        annotations=texts_json(wire.annotations),
        severity=int(turn.policy.severities.of(wire.labels)),
        generator_url=wire.generator_url,
        exempt=TEST_LABEL in wire.labels,
    )
    turn.scope.by_identity[source.name, wire.fingerprint] = turn.scope.alerts.add(alert)
    return alert


def _refresh(turn: Turn, alert: AlertRow, wire: WebhookAlert) -> None:
    """Annotations follow the newest message; labels cannot change, the fingerprint is their hash."""
    annotations = texts_json(wire.annotations)
    if annotations == alert.annotations and wire.generator_url == alert.generator_url:
        return
    changed = wire.generator_url != alert.generator_url or wire.annotations != json.loads(alert.annotations)
    alert.annotations, alert.generator_url = annotations, wire.generator_url
    if changed and alert.firing:  # else only written otherwise, by an earlier release
        turn.touch(alert)


def _count_unlisted(turn: Turn, source: Source, incident: IncidentRow, message: WebhookMessage) -> None:
    if incident.truncated != message.truncated_alerts:
        turn.bump(incident)
        turn.moved = True
        incident.truncated = message.truncated_alerts
    if source.has_api or message.truncated_alerts:
        return
    listed = {alert.fingerprint for alert in message.alerts}
    if incident.firing <= sum(alert.firing for alert in message.alerts):
        return  # nobody is missing
    for membership in turn.scope.load_members(incident.id):
        if membership.open and turn.scope.alerts[membership.alert_id].fingerprint not in listed:
            membership.absent += 1
            if membership.absent >= ABSENT_LIMIT:
                turn.leave(membership, incident)


def _is_repeat(message: WebhookMessage, incident: IncidentRow, quiet: Millis, now: Millis) -> bool:
    if incident.repeat_at is not None and now - incident.repeat_at < REPEAT_ONCE_IN:
        return False
    if message.notification_reason:  # since 0.32
        return message.notification_reason == "repeat interval elapsed"
    return quiet >= REPEAT_AFTER


def _repeat(turn: Turn, source: Source, incident: IncidentRow, message: WebhookMessage) -> None:
    """It rings where a critical alert still waits for somebody; all others of a storm, repeated at once, are none again."""
    incident.repeat_rev, incident.repeat_at = turn.bump(incident), turn.now
    for wire in message.alerts:
        alert = turn.scope.by_identity[source.name, wire.fingerprint]
        membership = turn.scope.memberships.get((incident.id, alert.id))
        if membership is None or not membership.open or alert.severity != Severity.CRITICAL:
            continue
        if not turn.scope.episodes[membership.episode_id].acked_by:
            turn.ring(incident, channels_of(membership.channels), 0)


def _unrouted(turn: Turn, incident: IncidentRow, message: WebhookMessage, source: Source) -> int:
    count = 0
    for wire in message.alerts:
        alert = turn.scope.by_identity[source.name, wire.fingerprint]
        membership = turn.scope.memberships.get((incident.id, alert.id))
        count += membership is not None and not channels_of(membership.channels)
    return count
