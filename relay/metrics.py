"""Every metric family of the relay, in a registry of its own, with all its label sets at zero from the first scrape.

The names are a promise (`docs/reference/metrics.md`). No label takes a value that a sender or a user controls: the
lists below are closed, and the names of channels and alertmanagers come from the config.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

from relay.notification import AlertState, Reason
from relay.severity import Severity

UNKNOWN_ALERTMANAGER = "unknown"
"""Where webhooks count that were refused before their source was known."""

WEBHOOK_OUTCOMES = ("accepted", "duplicate", "invalid", "unauthorized", "unavailable")
NOTIFICATION_OUTCOMES = ("sent", "edited", "retried", "dead")
FAILURE_REASONS: tuple[str, ...] = get_args(Reason)
SEVERITIES = tuple(severity.label for severity in reversed(Severity))
ALERT_STATES = tuple(state.value for state in AlertState if state.open)
CHANNEL_TYPES = ("telegram", "slack", "email", "http", "apprise")
COMMANDS = (
    "start", "help", "whoami", "alerts", "alert", "ack", "unack", "silence", "silences", "unsilence", "extend",
    "status", "stats", "unknown",
)  # fmt: skip
COMMAND_OUTCOMES = ("ok", "refused", "error")
ENDPOINTS = ("alerts", "silences", "silence", "status", "receivers")
REQUEST_OUTCOMES = ("ok", "refused", "timeout", "error")
TEMPLATE_TYPES = (*CHANNEL_TYPES, "bot", "inline")
COMPONENTS = ("webhook", "routing", "delivery", "poller", "timer", "bot", "heartbeat")

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """The families as attributes; registers them in the registry that is given, never in the global one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        ProcessCollector(registry=registry)
        self._count_alerts(registry)
        self._count_notifications(registry)
        self._measure_channels(registry)
        self._count_the_rest(registry)

    def _count_alerts(self, registry: CollectorRegistry) -> None:
        self.webhooks = Counter(
            "relay_webhooks",
            "Webhook messages received.",
            ("alertmanager", "outcome"),
            registry=registry,
        )
        self.webhook_seconds = Histogram(
            "relay_webhook_seconds",
            "Time from a webhook's first byte to its answer.",
            buckets=_FAST,
            registry=registry,
        )
        self.alerts = Gauge("relay_alerts", "Alerts not resolved yet.", ("severity", "state"), registry=registry)

    def _count_notifications(self, registry: CollectorRegistry) -> None:
        self.notifications = Counter(
            "relay_notifications",
            "Steps of posts, by what came of them.",
            ("channel", "type", "outcome"),
            registry=registry,
        )
        self.notification_failures = Counter(
            "relay_notification_failures",
            "Remote calls that failed, by reason.",
            ("channel", "type", "reason"),
            registry=registry,
        )
        self.notification_delay_seconds = Histogram(
            "relay_notification_delay_seconds",
            "Time from a webhook's acceptance to the change being shown.",
            ("type",),
            buckets=_SLOW,
            registry=registry,
        )

    def _measure_channels(self, registry: CollectorRegistry) -> None:
        self.notifications_pending = Gauge(
            "relay_notifications_pending", "Posts that are behind their incident.", ("channel",), registry=registry
        )
        self.notifications_oldest_seconds = Gauge(
            "relay_notifications_oldest_seconds",
            "How long the post that is behind longest has been waiting.",
            ("channel",),
            registry=registry,
        )
        self.dead_letters = Gauge(
            "relay_dead_letters", "Posts given up, with a reason.", ("channel",), registry=registry
        )
        self.channel_paused = Gauge(
            "relay_channel_paused",
            "1 while the channel takes nothing and is only probed.",
            ("channel",),
            registry=registry,
        )
        self.rate_limited_seconds = Counter(
            "relay_rate_limited_seconds",
            "Time spent waiting for the limit of the destination.",
            ("channel",),
            registry=registry,
        )

    def _count_the_rest(self, registry: CollectorRegistry) -> None:
        self.bot_commands = Counter(
            "relay_bot_commands", "Commands and buttons handled by the bot.", ("command", "outcome"), registry=registry
        )
        self.bot_seconds = Histogram(
            "relay_bot_seconds", "Time to answer a command.", ("command",), buckets=_FAST, registry=registry
        )
        self.alertmanager_requests = Counter(
            "relay_alertmanager_requests",
            "Requests to Alertmanager's API.",
            ("alertmanager", "endpoint", "outcome"),
            registry=registry,
        )
        self.alertmanager_up = Gauge(
            "relay_alertmanager_up",
            "Whether the last poll was answered; always 1 with poll: 0.",
            ("alertmanager",),
            registry=registry,
        )
        self.watchdog_last_seen = Gauge(
            "relay_watchdog_last_seen_timestamp_seconds",
            "When the watchdog alert was last received.",
            ("alertmanager",),
            registry=registry,
        )
        self.template_fallbacks = Counter(
            "relay_template_fallbacks",
            "Failed own templates, replaced by the built-in ones.",
            ("type",),
            registry=registry,
        )
        self.errors = Counter("relay_errors", "Unexpected errors, caught at a door.", ("component",), registry=registry)
        self.build_info = Gauge(
            "relay_build_info", "Always 1; the label is the version.", ("version",), registry=registry
        )

    def declare(self, channels: Mapping[str, str], alertmanagers: Iterable[str], version: str = "") -> None:
        """Creates every label set at zero. `channels` maps names to types; `version` fills `relay_build_info`."""
        names = tuple(dict.fromkeys(alertmanagers))
        _create(self.webhooks, (*names, UNKNOWN_ALERTMANAGER), WEBHOOK_OUTCOMES)
        _create(self.alerts, SEVERITIES, ALERT_STATES)
        for name, kind in channels.items():
            _create(self.notifications, (name,), (kind,), NOTIFICATION_OUTCOMES)
            _create(self.notification_failures, (name,), (kind,), FAILURE_REASONS)
        _create(self.notification_delay_seconds, dict.fromkeys(channels.values()))
        for family in (
            self.notifications_pending,
            self.notifications_oldest_seconds,
            self.dead_letters,
            self.channel_paused,
        ):
            _create(family, channels)
        _create(self.rate_limited_seconds, channels)
        _create(self.bot_commands, COMMANDS, COMMAND_OUTCOMES)
        _create(self.bot_seconds, COMMANDS)
        _create(self.alertmanager_requests, names, ENDPOINTS, REQUEST_OUTCOMES)
        _create(self.alertmanager_up, names)
        _create(self.template_fallbacks, TEMPLATE_TYPES)
        _create(self.errors, COMPONENTS)
        if version:
            self.build_info.labels(version).set(1)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The scrape's body and content type: OpenMetrics if the Accept header asks for it, else the text format."""
        # Not the client's choose_encoder: it raises TypeError on `version=abc`, and anyone may send that.
        wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
        scrape = _Scrape(self._registry)
        if "application/openmetrics-text" in wanted:
            body: bytes = openmetrics.generate_latest(scrape)  # type: ignore[no-untyped-call]  # the client has no types there
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(scrape), CONTENT_TYPE_PLAIN_0_0_4


def _create(family: MetricWrapperBase, *values: Iterable[str]) -> None:
    for labels in product(*values):
        family.labels(*labels)


class _Scrape(CollectorRegistry):
    """The families without the client's `_created` series, which no one asked for and which double the scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
