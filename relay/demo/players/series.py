"""What a player exports: counters, gauges and histograms, each with a level that an incident replaces by another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

SPREAD = 0.4
"""Sigma of the durations' log-normal distribution: the 95th percentile is 1.9 times the median."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Grows by `level` a second. `whole` for things that are counted, not measured: only full ones are shown."""

    name: str
    level: float
    labels: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Gauge:
    """Stands at `level`, give or take the share `noise`; or climbs from there by `climb` a second, in whole steps."""

    name: str
    level: float
    labels: Mapping[str, str] = field(default_factory=dict)
    noise: float = 0.0
    climb: float = 0.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """`per_second` observations, half of them below `level` and half above; `buckets` are the finite bounds."""

    name: str
    level: float
    buckets: tuple[float, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    per_second: float = 4.0

    def share_below(self, bound: float) -> float:
        """The share of observations that are at most `bound`."""
        return 0.5 * (1 + math.erf(math.log(bound / self.level) / (SPREAD * math.sqrt(2))))

    @property
    def mean(self) -> float:
        return self.level * math.exp(SPREAD**2 / 2)


Series = Counter | Gauge | Histogram


def identity(series: Series) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Name and labels: what an incident's series has in common with the healthy one that it replaces."""
    return series.name, tuple(sorted(series.labels.items()))


@dataclass(frozen=True, slots=True)
class Incident:
    """What differs while an alert shall fire: other levels, or no answer to scrapes at all."""

    changed: tuple[Series, ...] = ()
    down: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """One monitored system: where it is scraped, what it exports when all is well, and its incidents by alert name."""

    name: str
    path: str
    series: tuple[Series, ...]
    incidents: Mapping[str, Incident]
