"""A watchdog alert always fires: it is no message but a beat, which tells that the way from Prometheus to us is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from relay.alerts import WebhookAlert
from relay.clock import Clock, Millis
from relay.ingest.accept import Accepted, Delivered
from relay.ingest.reconcile import Reconciler
from relay.matchers import Matcher
from relay.store.database import Connection
from relay.store.watching import firing_alerts, record_beat

Accept = Callable[[Connection, Sequence[Delivered]], Sequence[Accepted]]


def heed_watchdogs(accept: Accept, watchdogs: Mapping[str, Sequence[Matcher]], clock: Clock) -> Accept:
    """The same batch function, which takes watchdog alerts out of messages and records their beats with the batch.

    `watchdogs`: alertmanager -> the matchers that must all hold. Without any, nothing is wrapped and nothing is paid.
    A beat is news each time: a message that holds one is no duplicate.
    """
    if not watchdogs:
        return accept

    def accept_others(conn: Connection, batch: Sequence[Delivered]) -> Sequence[Accepted]:
        beating = [_beats(one, watchdogs) for one in batch]
        for name in sorted({one.source.name for one, beats in zip(batch, beating, strict=True) if beats}):
            record_beat(conn, name, clock())
        accepted = accept(conn, [_without_watchdogs(one, watchdogs) for one in batch])
        return [replace(one, duplicate=False) if beats else one for one, beats in zip(accepted, beating, strict=True)]

    return accept_others


def end_shown_watchdogs(
    conn: Connection, watchdogs: Mapping[str, Sequence[Matcher]], reconciler: Reconciler, now: Millis
) -> frozenset[str]:
    """What was a message until the config called it a watchdog gets its end now: no webhook will bring it any more."""
    shown = [
        alert.id
        for name, matchers in watchdogs.items()
        for alert in firing_alerts(conn, name)
        if all(matcher.matches(alert.labels) for matcher in matchers)
    ]
    return reconciler.apply(conn, reported={}, gone=shown, listed_before=now + 1) if shown else frozenset()


def _beats(delivered: Delivered, watchdogs: Mapping[str, Sequence[Matcher]]) -> bool:
    matchers = watchdogs.get(delivered.source.name)
    if matchers is None:
        return False
    return any(alert.firing and _is_watchdog(alert, matchers) for alert in delivered.message.alerts)


def _without_watchdogs(delivered: Delivered, watchdogs: Mapping[str, Sequence[Matcher]]) -> Delivered:
    matchers = watchdogs.get(delivered.source.name)
    if matchers is None:
        return delivered
    others = tuple(alert for alert in delivered.message.alerts if not _is_watchdog(alert, matchers))
    if len(others) == len(delivered.message.alerts):
        return delivered
    message = delivered.message.model_copy(update={"alerts": others})
    return Delivered(source=delivered.source, message=message)


def _is_watchdog(alert: WebhookAlert, matchers: Sequence[Matcher]) -> bool:
    return all(matcher.matches(alert.labels) for matcher in matchers)
