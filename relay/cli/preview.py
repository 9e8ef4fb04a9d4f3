"""What a channel would be shown of a webhook message, without a database: for `relay render`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from relay.alerts import WebhookAlert, WebhookMessage, recognise
from relay.clock import MINUTE, Millis
from relay.config import Config
from relay.ids import alert_code, group_code
from relay.notification import AlertState, AlertView, Changes, IncidentView, Kind, Notice
from relay.routing import Router
from relay.severity import SeverityMap

Shown = Callable[[Mapping[str, str]], bool | None]
"""Whether an alert with these labels comes silently; None if it does not come at all."""


def example_message(now: Millis) -> WebhookMessage:
    """A group with a critical, a warning and a resolved alert, that began a quarter of an hour ago."""

    def alert(status: str, severity: str, host: str, used: int) -> dict[str, object]:
        return {
            "status": status,
            "labels": {"alertname": "DiskFull", "severity": severity, "instance": f"{host}:9100", "job": "node"},
            "annotations": {
                "summary": f"Disk /var on {host} is {used} % full",
                "description": "At this rate it is full within 4 hours.\nOld logs in /var/log are the usual cause.",
                "runbook_url": "https://runbooks.example.org/disk-full",
            },
            "generatorURL": "http://prometheus.example.org/graph?g0.expr=disk_used_ratio&g0.tab=1",
        }

    body = recognise(
        {
            "version": "4",
            "groupKey": '{}:{alertname="DiskFull"}',
            "receiver": "relay",
            "status": "firing",
            "groupLabels": {"alertname": "DiskFull"},
            "externalURL": "http://alertmanager.example.org",
            "alerts": [
                alert("firing", "critical", "db-3", 97),
                alert("firing", "warning", "db-1", 84),
                alert("resolved", "warning", "web-2", 80),
            ],
        }
    )
    message = WebhookMessage.model_validate(body)
    begins = [now - 15 * MINUTE, now - 9 * MINUTE, now - 12 * MINUTE]
    alerts = [
        one.model_copy(update={"starts_at": begin, "ends_at": None if one.firing else now - MINUTE})
        for one, begin in zip(message.alerts, begins, strict=True)
    ]
    return WebhookMessage.assemble(message, tuple(alerts))


def routed_to(config: Config, channel: str, message: WebhookMessage, alertmanager: str) -> Shown:
    """Shows what the config's routes bring to this channel."""
    router = Router(config.routes, config.severity.severity_map())

    def shown(labels: Mapping[str, str]) -> bool | None:
        return router.route(labels, receiver=message.receiver_name, alertmanager=alertmanager).get(channel)

    return shown


def first_notice(
    message: WebhookMessage, now: Millis, *, alertmanager: str, severities: SeverityMap, shown: Shown = lambda _: False
) -> Notice | None:
    """The notice with which this message would begin an incident; None if none of its alerts is shown."""
    verdicts = [(alert, shown(alert.labels)) for alert in message.alerts]
    views = [_alert(alert, now, severities, alertmanager, silent) for alert, silent in verdicts if silent is not None]
    if not views:
        return None
    views.sort(key=lambda alert: (not alert.state.open, -alert.severity, -alert.starts_at))
    view = _incident(message, views, now, alertmanager)
    changes = Changes(fired=view.firing, resolved=view.resolved, all_resolved=not view.open)
    return Notice(kind=Kind.NEW, view=view, changes=changes, post_id=1, now=now, silent=view.silent)


def _alert(
    alert: WebhookAlert,
    now: Millis,
    severities: SeverityMap,
    alertmanager: str,
    silent: bool,  # noqa: FBT001  a verdict
) -> AlertView:
    starts_at = now if alert.starts_at is None else alert.starts_at
    return AlertView(
        code=alert_code(alertmanager, alert.fingerprint),
        fingerprint=alert.fingerprint,
        labels=alert.labels,
        annotations=alert.annotations,
        severity=severities.of(alert.labels),
        state=AlertState.FIRING if alert.firing else AlertState.RESOLVED,
        starts_at=starts_at,
        ends_at=None if alert.firing else alert.ends_at or now,
        generator_url=alert.generator_url,
        silent=silent,
        fired_rev=1,
        changed_rev=1,
        resolved_rev=0 if alert.firing else 1,
    )


def _incident(message: WebhookMessage, alerts: Sequence[AlertView], now: Millis, alertmanager: str) -> IncidentView:
    key = hashlib.sha256(message.group_key.encode("utf-8", "replace")).hexdigest()
    return IncidentView(
        id=1,
        code=group_code(alertmanager, message.receiver_name, key),
        alertmanager=alertmanager,
        receiver=message.receiver_name,
        group_labels=message.group_labels,
        external_url=message.external_url,
        alerts=tuple(alerts),
        truncated=message.truncated_alerts,
        revision=1,
        opened_at=min((alert.starts_at for alert in alerts), default=now),
    )
