"""How a panel looks: a few kinds, each with a title, a description, a unit and limits, so that all dashboards look alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, piechart, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import gauge as gauges
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartLegendValues, PieChartType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.source.queries import Promql, Query

Limits = Sequence[tuple[float | None, str]]
"""From which value on which colour holds; the first value is None: from the start."""

NO_LIMIT: Limits = ((None, "blue"),)
SEVERITY_COLOURS = {"critical": "red", "error": "orange", "warning": "yellow", "info": "blue"}


def rising(warn: float | None, bad: float) -> Limits:
    """The higher the worse."""
    middle: Limits = [] if warn is None else [(warn, "orange")]
    return [(None, "green"), *middle, (bad, "red")]


def falling(warn: float | None, bad: float) -> Limits:
    """The lower the worse: red below `bad`, orange below `warn`."""
    return [(None, "red"), (bad, "green")] if warn is None else [(None, "red"), (bad, "orange"), (warn, "green")]


class _Kind(Protocol):
    """What the SDK's panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def targets(self, targets: list[Builder[variants.Dataquery]]) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def thresholds(self, thresholds: Builder[ThresholdsConfig]) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


K = TypeVar("K", bound=_Kind)


class _Look(NamedTuple):
    unit: str
    limits: Limits
    width: int
    height: int


def _fill(
    panel: K,
    heading: tuple[str, str],
    queries: Query | Sequence[Query],
    look: _Look,
    *,
    instant: bool,
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> K:
    """Sets what every panel has. `heading` is its title and description."""
    asked = [queries] if isinstance(queries, Query) else list(queries)
    steps = [Threshold(value=value, color=colour) for value, colour in look.limits]
    targets = [query.target(ascii_uppercase[number], instant=instant, form=form) for number, query in enumerate(asked)]
    return (
        panel.title(heading[0])
        .description(heading[1])
        .datasource(asked[0].source)
        .targets(targets)
        .unit(look.unit)
        .thresholds(boards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .span(look.width)
        .height(look.height)
    )


def named(texts: Mapping[str, tuple[str, str]]) -> list[ValueMapping]:
    """Words with colours instead of numbers."""
    results = {value: ValueMappingResult(text=text, color=colour) for value, (text, colour) in texts.items()}
    return [ValueMap(options=results)]


UP_OR_DOWN = named({"1": ("up", "green"), "0": ("down", "red")})


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def graph(
    title: str,
    description: str,
    queries: Query | Sequence[Query],
    *,
    unit: str,
    limits: Limits = NO_LIMIT,
    width: int = 12,
    stacked: bool = False,
    floor: float | None = 0,
) -> timeseries.Panel:
    """Lines over time, or stacked areas; a limit is drawn as a dashed line. `floor` is where the axis begins at least."""
    panel = _fill(timeseries.Panel(), (title, description), queries, _Look(unit, limits, width, 8), instant=False)
    limited = len(limits) > 1
    style = looks.GraphThresholdsStyleMode.DASHED if limited else looks.GraphThresholdsStyleMode.OFF
    panel = (
        panel.fill_opacity(30 if stacked else 8)
        .show_points(looks.VisibilityMode.AUTO)
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .legend(_legend())
    )
    panel = panel if floor is None else panel.min(floor)
    return panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL)) if stacked else panel


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).placement(looks.LegendPlacement.BOTTOM)
    return legend.display_mode(looks.LegendDisplayMode.LIST).calcs([])


def bars(
    title: str,
    description: str,
    queries: Query | Sequence[Query],
    *,
    unit: str,
    width: int = 12,
) -> timeseries.Panel:
    """Stacked bars, one for each bucket of time: the step of a PromQL query, the times that SQL answers."""
    panel = graph(title, description, queries, unit=unit, width=width, stacked=True)
    panel = panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    for name, colour in SEVERITY_COLOURS.items():
        panel = panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def number(
    title: str,
    description: str,
    queries: Query | Sequence[Query],
    *,
    unit: str,
    limits: Limits = NO_LIMIT,
    width: int = 4,
    mappings: Sequence[ValueMapping] = (),
) -> stat.Panel:
    """The latest value, in the colour of its limit."""
    panel = _fill(stat.Panel(), (title, description), queries, _Look(unit, limits, width, 4), instant=True)
    panel = panel.color_mode(looks.BigValueColorMode.VALUE).graph_mode(looks.BigValueGraphMode.NONE)
    return panel.mappings(list(mappings)).reduce_options(_last()).no_value("–")


def word(title: str, description: str, query: Promql, *, width: int = 4) -> stat.Panel:
    """The name of a series instead of its value, such as a version."""
    return number(title, description, query, unit="none", width=width).text_mode(looks.BigValueTextMode.NAME)


def gauge(
    title: str,
    description: str,
    queries: Query | Sequence[Query],
    *,
    unit: str,
    limits: Limits = NO_LIMIT,
    top: float | None = None,
    width: int = 4,
) -> gauges.Panel:
    """A dial from 0 to `top`."""
    panel = _fill(gauges.Panel(), (title, description), queries, _Look(unit, limits, width, 6), instant=True)
    panel = panel.min(0).reduce_options(_last()).no_value("–")
    return panel if top is None else panel.max(top)


def pie(title: str, description: str, queries: Query | Sequence[Query], *, unit: str, width: int = 8) -> piechart.Panel:
    """Shares of the whole stretch of time that the dashboard shows."""
    panel = _fill(piechart.Panel(), (title, description), queries, _Look(unit, NO_LIMIT, width, 8), instant=True)
    legend = piechart.PieChartLegendOptions().show_legend(True).placement(looks.LegendPlacement.RIGHT)
    legend = legend.display_mode(looks.LegendDisplayMode.TABLE)
    legend = legend.values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
    return panel.pie_type(PieChartType.DONUT).reduce_options(_last()).legend(legend)


def sql_pie(title: str, description: str, query: Query, *, unit: str, width: int = 8) -> piechart.Panel:
    """A pie of the rows of a statement: the first column names, the second counts."""
    rows = common.ReduceDataOptions().values(True).calcs(["lastNotNull"])
    return pie(title, description, query, unit=unit, width=width).reduce_options(rows)


def ranking(title: str, description: str, query: Promql, *, unit: str, width: int = 8) -> bargauge.Panel:
    """Bars from the longest to the shortest, as the query sorts them."""
    panel = _fill(bargauge.Panel(), (title, description), query, _Look(unit, NO_LIMIT, width, 8), instant=True)
    panel = panel.orientation(looks.VizOrientation.HORIZONTAL).display_mode(looks.BarGaugeDisplayMode.BASIC)
    return panel.min(0).reduce_options(_last())


def table(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    units: Mapping[str, str] | None = None,
    width: int = 12,
) -> tables.Panel:
    """Rows and columns; `units` are those of single columns by name."""
    look = _Look(unit, NO_LIMIT, width, 9)
    panel = _fill(tables.Panel(), (title, description), query, look, instant=True, form=PromQueryFormat.TABLE)
    for column, own in (units or {}).items():
        panel = panel.override_by_name(column, [DynamicConfigValue("unit", own)])
    return panel


def heat(
    title: str, description: str, query: Query, *, unit: str, width: int = 12, rows: str = "none"
) -> heatmap.Panel:
    """Time to the right, one row for each series upwards, a colour for how many; `rows` is the unit of their names."""
    look = _Look(unit, NO_LIMIT, width, 10)
    panel = _fill(heatmap.Panel(), (title, description), query, look, instant=False, form=PromQueryFormat.HEATMAP)
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    panel = panel.calculate(False).color(colours).show_legend().y_axis(heatmap.YAxisConfig().unit(rows))
    return panel.filter_values(heatmap.FilterValueRange().le(1e-9))  # nothing is drawn for zero


def firing(service: str, *, width: int = 24) -> statetimeline.Panel:
    """Which alerts of a service fire, and since when."""
    query = Promql(f'max by (alertname) (ALERTS{{service="{service}", alertstate="firing"}})', "{{alertname}}")
    text = "Какие алерты этой системы горели и когда. Пустая панель значит, что всё в порядке."
    panel = _fill(
        statetimeline.Panel(), ("Firing alerts", text), query, _Look("none", rising(None, 1), width, 6), instant=False
    )
    panel = panel.mappings(named({"1": ("firing", "red")})).show_value(looks.VisibilityMode.NEVER)
    return panel.color_scheme(boards.FieldColor().mode(FieldColorModeId.THRESHOLDS)).no_value("Nothing fires")


AnyPanel = Builder[Panel]
