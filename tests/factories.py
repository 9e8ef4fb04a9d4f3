"""Views and notices in one line each, with sensible values for all that a test does not care about."""

from __future__ import annotations

import dataclasses
from typing import Any

from relay.alerts import fingerprint_of
from relay.clock import HOUR, MINUTE, Millis
from relay.notification import AlertState, AlertView, Changes, IncidentView, Kind, Notice
from relay.severity import Severity, SeverityMap

NIGHT: Millis = 1_763_694_720_000
"""2025-11-21 03:12 UTC: when the alerts of `make_alert_view` begin."""

NOW: Millis = NIGHT + 3 * MINUTE
"""03:15 of the same night: the `now` of `make_notice`."""


def make_alert_view(name: str = "DiskFull", **values: Any) -> AlertView:
    """A critical alert that fires since 03:12; keyword arguments are fields of `AlertView`.

    `labels` and `annotations` are added to the defaults, a None among them removes one. The severity follows the
    labels; a resolved state gets an end 35 minutes after the start.
    """
    labels = {"alertname": name, "severity": "critical", "job": "node", "instance": "db-3:9100"}
    annotations = {"summary": "Disk /var on db-3 is 97 % full", "runbook_url": "https://runbooks.example.org/disk"}
    labels = _merged(labels, values.pop("labels", {}))
    annotations = _merged(annotations, values.pop("annotations", {}))
    fingerprint = fingerprint_of(labels)
    base: dict[str, Any] = {
        "code": _letters(fingerprint),
        "fingerprint": fingerprint,
        "severity": SeverityMap().of(labels),
        "state": AlertState.FIRING,
        "starts_at": NIGHT,
        "generator_url": "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    }
    base |= values
    if base["state"] is AlertState.RESOLVED:
        base.setdefault("ends_at", base["starts_at"] + 35 * MINUTE)
    if base.get("acked_by"):
        base.setdefault("acked_at", NOW)
    if base["state"] is AlertState.SILENCED:
        base.setdefault("silenced_until", NIGHT + 2 * HOUR)
        base.setdefault("silenced_by", "boris")
    return AlertView(labels=labels, annotations=annotations, **base)


def make_incident_view(*alerts: AlertView, **values: Any) -> IncidentView:
    """An incident of these alerts (one firing alert if none are given), in the order that views promise."""
    shown = alerts or (make_alert_view(),)
    ordered = sorted(shown, key=lambda alert: (not alert.state.open, -alert.severity, -alert.starts_at))
    base: dict[str, Any] = {
        "id": 7,
        "code": "gkzrpt",
        "alertmanager": "main",
        "receiver": "relay",
        "group_labels": {"alertname": shown[0].name},
        "external_url": "https://alerts.example.org",
        "revision": 1,
        "opened_at": min(alert.starts_at for alert in shown),
    }
    view = IncidentView(alerts=tuple(ordered), **(base | values))
    if not view.open and view.closed_at is None:
        view = dataclasses.replace(view, closed_at=max(alert.ends_at or alert.starts_at for alert in shown))
    return view


def make_notice(view: IncidentView | None = None, kind: Kind = Kind.NEW, **values: Any) -> Notice:
    """A notice of this view (see `make_incident_view`); a NEW one announces all its open alerts."""
    view = view or make_incident_view()
    changes = Changes(fired=view.firing) if kind is Kind.NEW else Changes()
    base: dict[str, Any] = {"changes": changes, "post_id": 1, "now": NOW}
    if kind is not Kind.NEW:
        base["remote"] = {"message_id": 100}
    return Notice(kind=kind, view=view, **(base | values))


def many_alerts(count: int, **values: Any) -> tuple[AlertView, ...]:
    """As many alerts of one name on different hosts, of all severities, the later ones newer."""
    levels = [severity.label for severity in Severity]
    return tuple(
        make_alert_view(
            labels={"instance": f"db-{number}:9100", "severity": levels[number % len(levels)]},
            annotations={"summary": f"Disk /var on db-{number} is full"},
            starts_at=NIGHT + number,
            **values,
        )
        for number in range(count)
    )


def _merged(base: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in (base | changes).items() if value is not None}


def _letters(fingerprint: str) -> str:
    number = int(fingerprint, 16)
    return "".join("bcdfghjkmnpqrstvwxyz"[number // 20**place % 20] for place in range(5))
