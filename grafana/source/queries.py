"""The two kinds of questions a panel asks: PromQL to Prometheus, SQL to the relay's PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")
DATABASE = DataSourceRef(type_val="grafana-postgresql-datasource", uid="${database}")


@dataclass(frozen=True, slots=True)
class Promql:
    """An expression, the name of its series in Grafana's `{{label}}`, and its least step, such as `1d`."""

    expr: str
    legend: str = ""
    step: str = ""

    source = PROMETHEUS

    def target(self, ref_id: str, *, instant: bool, form: PromQueryFormat) -> Builder[variants.Dataquery]:
        query = prometheus.Dataquery().expr(self.expr).ref_id(ref_id).format(form).datasource(self.source)
        query = query.legend_format(self.legend or "__auto")
        query = query.interval(self.step) if self.step else query
        return query.instant() if instant else query.range()


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement; with a column `time`, `value` and perhaps `metric` where its panel draws time."""

    statement: str

    source = DATABASE

    def target(self, ref_id: str, *, instant: bool, form: PromQueryFormat) -> Builder[variants.Dataquery]:
        """`instant` is what a table or a single number asks for; PromQL's forms mean nothing here."""
        del form
        return _Ready(_SqlTarget(self.statement, ref_id, "table" if instant else "time_series"))


Query = Promql | Sql


@dataclass(frozen=True, slots=True)
class _SqlTarget(variants.Dataquery):
    """What Grafana's SQL sources take; the SDK has no type for it."""

    statement: str
    ref_id: str
    form: str

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": DATABASE,
            "format": self.form,
            "rawQuery": True,
            "rawSql": self.statement,
            "editorMode": "code",
        }


@dataclass(frozen=True, slots=True)
class _Ready(Builder[variants.Dataquery]):
    target: variants.Dataquery

    def build(self) -> variants.Dataquery:
        return self.target


def quantiles(histogram: str, matchers: str, *, of: Sequence[float] = (0.5, 0.95, 0.99)) -> list[Promql]:
    """p50, p95 and p99 of a histogram of seconds, over all its label sets."""
    rate = f"sum by (le) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval]))"
    return [Promql(f"histogram_quantile({quantile}, {rate})", f"p{quantile * 100:g}") for quantile in of]


def quantile_by(label: str, histogram: str, matchers: str, quantile: float = 0.95) -> Promql:
    """One quantile for each value of a label."""
    rate = f"sum by (le, {label}) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval]))"
    return Promql(f"histogram_quantile({quantile}, {rate})", f"{{{{{label}}}}}")


def rate_by(labels: str, counter: str, matchers: str) -> Promql:
    """Events a second for each combination of the labels, which are separated by commas."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in labels.split(","))
    return Promql(f"sum by ({labels}) (rate({counter}{{{matchers}}}[$__rate_interval]))", legend)


def increase_by(labels: str, counter: str, matchers: str, window: str = "$__range", step: str = "") -> Promql:
    """Events in a stretch of time for each combination of the labels."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in labels.split(","))
    return Promql(f"sum by ({labels}) (increase({counter}{{{matchers}}}[{window}]))", legend, step)


def share(part: str, whole: str, legend: str = "", step: str = "") -> Promql:
    """A part of a whole from 0 to 1; nothing while the whole is zero."""
    return Promql(f"({part}) / ({whole} > 0)", legend, step)
