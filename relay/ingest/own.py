"""What the relay reports about itself is an alert like any other; here is where it comes from and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay.ingest.accept import Source
from relay.routing import RouteConfig, Router
from relay.severity import SeverityMap

ITSELF = "relay itself"
"""Their alertmanager: no name in a config holds a blank, so nobody else can be called so, and no poll asks for it."""
SOURCE = Source(name=ITSELF, has_api=False)
RECEIVER = "relay"
CHANNEL = "channel"
"""The label that names the channel an alert is about."""
WATCHDOG_MISSING = "RelayWatchdogMissing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What the config says beyond its routes."""

    fallbacks: Mapping[str, str | None]  # every channel -> who stands in for it
    watchdogs: Mapping[str, Sequence[str]] = field(default_factory=dict)  # alertmanager -> who is told of its silence

    def stand_in(self, channel: str) -> str | None:
        return self.fallbacks.get(channel)


class OwnRoutes(Router):
    """The routes of the config, and beyond them: an alert about a channel goes to others, and none goes nowhere."""

    def __init__(self, routes: Sequence[RouteConfig], severity: SeverityMap, ways: Ways) -> None:
        super().__init__(routes, severity)
        self._ways = ways

    def route(self, labels: Mapping[str, str], *, receiver: str, alertmanager: str) -> dict[str, bool]:
        if alertmanager != ITSELF:
            return super().route(labels, receiver=receiver, alertmanager=alertmanager)
        told = self._ways.watchdogs.get(labels.get("alertmanager", "")) if _is_watchdog(labels) else None
        if told is not None:
            return dict.fromkeys(told, False)
        about = labels.get(CHANNEL, "")
        routed = super().route(labels, receiver=receiver, alertmanager=alertmanager)
        others = {name: silent for name, silent in routed.items() if name != about}
        return others or dict.fromkeys(self._others(about), False)

    def _others(self, about: str) -> Sequence[str]:
        stand_in = self._ways.stand_in(about)
        return [stand_in] if stand_in else [name for name in self._ways.fallbacks if name != about]


def _is_watchdog(labels: Mapping[str, str]) -> bool:
    return labels.get("alertname") == WATCHDOG_MISSING
