"""The words that all channels use for an incident: its name, place, state, counts, and what tells its alerts apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from relay.clock import Millis
from relay.notification import AlertState, AlertView
from relay.rendering.filters import one_line
from relay.rendering.scene import Scene
from relay.severity import Severity

_MARKS = {Severity.CRITICAL: "🔴", Severity.ERROR: "🟠", Severity.WARNING: "🟡", Severity.INFO: "🔵"}
_RESOLVED_MARK = "🟢"
_UNREPORTED_MARK = "⚪"
# What people ask for when they ask where: at most one of each line.
_PLACES = (
    ("service", "app", "application", "component", "job"),
    ("namespace", "cluster", "datacenter", "region"),
    ("instance", "host", "hostname", "node", "pod", "server", "target"),
    ("device", "mountpoint", "container", "path", "queue", "topic", "database"),
)


_LONGEST = 300  # UTF-16 units of one piece: more fits nowhere, and a label may have megabytes

_SHOWN = 4000  # characters that a description can show at most


class Words:
    """Plain texts on one line each about a notice, in its language: a template escapes and shortens them."""

    def __init__(self, scene: Scene) -> None:
        self._view = scene.notice.view
        self._language = scene.language
        self._texts = scene.texts

    @cached_property
    def labels(self) -> dict[str, str]:
        """The labels that all alerts share."""
        return self._view.common_labels

    @cached_property
    def annotations(self) -> dict[str, str]:
        """The annotations that all alerts share."""
        return self._view.common_annotations

    @cached_property
    def name(self) -> str:
        """Its title, else the alert name that all share, else what Alertmanager grouped by, else the first alert's name."""
        group = self._view.group_labels
        candidates = (
            self._view.title,
            self.labels.get("alertname", ""),
            group.get("alertname", ""),
            ", ".join(f"{name}={value}" for name, value in sorted(group.items()) if one_line(value, _LONGEST)),
            next((alert.name for alert in self._view.alerts if alert.name), ""),
        )
        shown = (one_line(candidate, _LONGEST) for candidate in candidates)
        return next((text for text in shown if text), "") or self._texts.gettext("Alert without a name")

    @cached_property
    def where(self) -> str:
        """Service, namespace, host and device, as far as all alerts share them and the name does not say them."""
        named = {} if self.labels.get("alertname") else self._view.group_labels
        return _join(_place({name: value for name, value in self.labels.items() if name not in named}))

    def where_is(self, alert: AlertView) -> str:
        """The same of one alert."""
        return _join(_place(alert.labels))

    @cached_property
    def state(self) -> AlertState:
        """Firing while anything fires; silenced or inhibited if all that fires is; unreported if anything ended so."""
        if self._view.open:
            states = {alert.state for alert in self._view.firing}
            if len(states) == 1:
                return states.pop()
            return AlertState.SILENCED if states and AlertState.FIRING not in states else AlertState.FIRING
        if any(alert.state is AlertState.UNREPORTED for alert in self._view.alerts):
            return AlertState.UNREPORTED
        return AlertState.RESOLVED

    @cached_property
    def mark(self) -> str:
        """The coloured sign of the incident: its worst severity while it fires, green when all is resolved."""
        return _mark(self.state, self._view.severity)

    def mark_of(self, alert: AlertView) -> str:
        """The coloured sign of one alert."""
        return _mark(alert.state, alert.severity)

    def mark_for(self, severity: Severity, is_open: bool) -> str:  # noqa: FBT001  as templates call it
        """The sign of a severity that fires, or did."""
        return _mark(AlertState.FIRING if is_open else AlertState.RESOLVED, severity)

    @cached_property
    def level(self) -> str:
        """The incident's severity while it fires, else its state: the sign's meaning as a word."""
        return self.severity_name(self._view.severity) if self._view.open else self.state_name(self.state)

    def level_of(self, alert: AlertView) -> str:
        """The same of one alert."""
        return self.severity_name(alert.severity) if alert.state.open else self.state_name(alert.state)

    def severity_name(self, severity: Severity) -> str:
        """`critical`, in the language."""
        _ = self._texts.gettext
        names = {
            Severity.CRITICAL: _("critical"),
            Severity.ERROR: _("error"),
            Severity.WARNING: _("warning"),
            Severity.INFO: _("info"),
        }
        return names[severity]

    def state_name(self, state: AlertState) -> str:
        """`firing`, `no longer reported`, in the language."""
        _ = self._texts.gettext
        names = {
            AlertState.FIRING: _("firing"),
            AlertState.SILENCED: _("silenced"),
            AlertState.INHIBITED: _("inhibited"),
            AlertState.UNREPORTED: _("no longer reported"),
            AlertState.RESOLVED: _("resolved"),
        }
        return names[state]

    @cached_property
    def counts(self) -> str:
        """`3 firing, 1 resolved`: how many of each; the silenced and inhibited also count as firing."""
        ngettext = self._texts.ngettext
        firing = len(self._view.firing)
        unreported = sum(alert.state is AlertState.UNREPORTED for alert in self._view.alerts)
        resolved = len(self._view.alerts) - firing - unreported
        parts = (
            (firing, ngettext("%(num)s firing", "%(num)s firing", firing)),
            (resolved, ngettext("%(num)s resolved", "%(num)s resolved", resolved)),
            (unreported, ngettext("%(num)s no longer reported", "%(num)s no longer reported", unreported)),
        )
        return ", ".join(text % {"num": number} for number, text in parts if number)

    @cached_property
    def summary(self) -> str:
        """What all alerts say of themselves; "" if they say different things."""
        return self._said(self.annotations, "summary", "message", "title", "description")

    @cached_property
    def description(self) -> str:
        """What all alerts say at length; "" if that is the summary already. May have line ends."""
        text = self._said(self.annotations, "description", "message")
        return "" if _same(text, self.summary) else text

    def summary_of(self, alert: AlertView) -> str:
        """What one alert says of itself."""
        return self._said(alert.annotations, "summary", "message", "title", "description")

    def description_of(self, alert: AlertView) -> str:
        """What one alert says at length; "" if that is its summary."""
        text = self._said(alert.annotations, "description", "message")
        return "" if _same(text, self.summary_of(alert)) else text

    def own_labels(self, alert: AlertView) -> dict[str, str]:
        """The labels that not all alerts share."""
        return {name: value for name, value in alert.labels.items() if name not in self.labels}

    def differs(self, alert: AlertView) -> str:
        """What tells this alert from the others: its name if they have several, then its other labels' values."""
        own = {name: value for name, value in self.own_labels(alert).items() if value}
        severity = own.pop("severity", "")
        name = own.pop("alertname", "")
        places = _place(own)
        rest = [value for label, value in sorted(own.items()) if value not in places]
        return _join([name, *places, *rest]) or one_line(severity, _LONGEST) or alert.code

    @cached_property
    def since(self) -> Millis:
        """When what fires began; when all is over, when that began."""
        starts = [alert.starts_at for alert in self._view.firing or self._view.alerts]
        return min(starts, default=self._view.opened_at)

    @cached_property
    def until(self) -> Millis | None:
        """When the last alert ended; None while any fires."""
        if self._view.open:
            return None
        ends = [alert.ends_at for alert in self._view.alerts if alert.ends_at is not None]
        return max(ends, default=self._view.closed_at)

    @cached_property
    def ackers(self) -> list[str]:
        """Who has acked what fires, each once, the latest first."""
        acked = sorted(self._view.acked, key=lambda alert: -(alert.acked_at or 0))
        return list(dict.fromkeys(one_line(alert.acked_by, _LONGEST) for alert in acked))

    @cached_property
    def acked_at(self) -> Millis | None:
        """The latest ack of what fires."""
        return max((alert.acked_at for alert in self._view.acked if alert.acked_at is not None), default=None)

    @cached_property
    def ack_note(self) -> str:
        """The note of the latest ack that has one."""
        noted = [alert for alert in self._view.acked if alert.ack_note]
        return one_line(max(noted, key=lambda alert: alert.acked_at or 0).ack_note, _LONGEST) if noted else ""

    def in_state(self, state: str) -> list[AlertView]:
        """The alerts in this state, such as `silenced`."""
        return [alert for alert in self._view.alerts if alert.state == state]

    @cached_property
    def flapping(self) -> list[AlertView]:
        """The alerts that come and go, so that their changes no longer ring."""
        return [alert for alert in self._view.alerts if alert.flapping]

    def _said(self, annotations: Mapping[str, str], *names: str) -> str:
        """The first of these annotations that says something, its twin in the language before each."""
        for name in names:
            text = annotations.get(f"{name}_{self._language}") or annotations.get(name) or ""
            if text.strip():
                return text
        return ""


def _mark(state: AlertState, severity: Severity) -> str:
    if state is AlertState.RESOLVED:
        return _RESOLVED_MARK
    return _UNREPORTED_MARK if state is AlertState.UNREPORTED else _MARKS[severity]


def _same(one: str, other: str) -> bool:
    return one == other or one_line(one[:_SHOWN]) == one_line(other[:_SHOWN])


def _place(labels: Mapping[str, str]) -> list[str]:
    found = (next((labels[name] for name in names if labels.get(name)), "") for names in _PLACES)
    return [value for value in found if value]


def _join(values: Iterable[str]) -> str:
    return " · ".join(dict.fromkeys(text for value in values if (text := one_line(value, _LONGEST))))
