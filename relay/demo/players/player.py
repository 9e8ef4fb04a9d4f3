"""One player: the metrics of one system as they grow with time, under whatever incidents are on."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.demo.players.series import Counter, Gauge, Histogram, Incident, Series, System, identity

_JITTER = 0.15
"""Share by which the pace of counters differs from one scrape to the next."""
_FAMILIES: Final[Mapping[type[Series], Callable[..., Any]]] = {
    Counter: CounterMetricFamily,
    Gauge: GaugeMetricFamily,
    Histogram: HistogramMetricFamily,
}


@dataclass
class _Total:
    """What a counter, the climb of a gauge, or the count, sum and buckets of a histogram have come to."""

    value: float = 0.0
    sum: float = 0.0
    buckets: list[float] = field(default_factory=list)


class Player(Collector):
    """Exports a system's metrics; `begin` and `end` switch incidents. `now` is in seconds, of any origin."""

    def __init__(
        self, system: System, *, now: Callable[[], float] = time.monotonic, chance: random.Random | None = None
    ) -> None:
        self.system = system
        self.active: list[str] = []
        self._now = now
        self._chance = chance or random.Random()
        self._seen = now()
        self._totals: dict[object, _Total] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    @property
    def down(self) -> bool:
        """Whether scrapes get no answer now."""
        return any(self._incident(name).down for name in self.active)

    def begin(self, alert: str) -> None:
        """From now on what this alert is about goes wrong. Raises `LookupError` for an alert that the system lacks."""
        self.end(alert)
        self.active.append(alert)

    def end(self, alert: str) -> None:
        """All is well again; what is well already stays so. Raises `LookupError` like `begin`."""
        self._incident(alert)
        self._grow()
        if alert in self.active:
            self.active.remove(alert)

    def exposition(self) -> bytes:
        """The metrics as Prometheus' text format has them."""
        self._grow()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry; families in the order of the system's series."""
        families: dict[str, list[Series]] = {}
        for series in self._current():
            families.setdefault(series.name, []).append(series)
        for members in families.values():
            yield self._family(members)

    def _incident(self, alert: str) -> Incident:
        if alert not in self.system.incidents:
            known = ", ".join(self.system.incidents)
            raise LookupError(f"{self.system.name} has no alert {alert!r}; known: {known}")
        return self.system.incidents[alert]

    def _current(self) -> Iterable[Series]:
        """Every series as it is now: of several incidents that change it the latest wins."""
        changed = {identity(series): series for name in self.active for series in self._incident(name).changed}
        return [changed.get(identity(series), series) for series in self.system.series]

    def _grow(self) -> None:
        """Brings the totals up to this moment, at the levels that held since the last time."""
        moment = self._now()
        passed, self._seen = max(moment - self._seen, 0.0), moment
        for series in self._current():
            total = self._totals.setdefault(identity(series), _Total())
            if isinstance(series, Gauge):
                total.value = total.value + passed * series.climb if series.climb else 0.0
                continue
            pace = 1 + self._chance.uniform(-_JITTER, _JITTER)
            if isinstance(series, Counter):
                total.value += passed * pace * series.level
                continue
            count = passed * pace * series.per_second
            total.value += count
            total.sum += count * series.mean
            held = total.buckets or [0.0] * len(series.buckets)
            total.buckets = [
                old + count * series.share_below(bound) for old, bound in zip(held, series.buckets, strict=True)
            ]

    def _family(self, members: list[Series]) -> Any:
        first = members[0]
        family = _FAMILIES[type(first)](first.name, f"Of the player {self.system.name}.", labels=list(first.labels))
        for one in members:
            family.add_metric(list(one.labels.values()), **self._sample(one))
        return family

    def _sample(self, series: Series) -> Mapping[str, Any]:
        """What `add_metric` of the series' family takes."""
        total = self._totals[identity(series)]
        if isinstance(series, Gauge):
            value = series.level * (1 + self._chance.uniform(-series.noise, series.noise)) + math.floor(total.value)
            return {"value": round(value, 4) if series.noise else value}
        if isinstance(series, Counter):
            return {"value": math.floor(total.value) if series.whole else total.value}
        bounds = [*(str(float(bound)) for bound in series.buckets), "+Inf"]
        counts = [math.floor(count) for count in (*total.buckets, total.value)]
        return {"buckets": list(zip(bounds, counts, strict=True)), "sum_value": total.sum}
