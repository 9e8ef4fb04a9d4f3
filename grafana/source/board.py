"""A dashboard as a whole: its identity, variables, links to the others, and rows of panels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.source.panels import AnyPanel
from grafana.source.queries import DATABASE, PROMETHEUS

TAG = "alertmanager-relay"
"""All our dashboards have it: by it they link to each other."""

ALL = VariableOption(text="All", value="$__all", selected=True)

Variable = Builder[VariableModel]


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[AnyPanel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """`uid` is a promise: rules and people's bookmarks point at it. `folder` is Grafana's, and the folder of the file."""

    uid: str
    folder: str
    title: str
    description: str
    tags: Sequence[str]
    variables: Sequence[Variable]
    rows: Sequence[Row]
    since: str = "now-6h"
    refresh: str = "30s"

    def to_json(self) -> str:
        """The dashboard as Grafana reads it, the same text each time."""
        built = self._builder().build()
        for number, panel in enumerate(built.panels or [], 1):
            panel.id_val = number  # links to a single panel survive a restart
        return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def _builder(self) -> boards.Dashboard:
        builder = (
            boards.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG, *self.tags])
            .timezone("browser")
            .time(self.since, "now")
            .refresh(self.refresh)
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .readonly()
            .link(_others())
            .variables(list(self.variables))
        )
        for row in self.rows:
            builder = builder.with_row(boards.Row(row.title))
            for panel in row.panels:
                builder = builder.with_panel(panel)
        return builder


def _others() -> boards.DashboardLink:
    link = boards.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).include_vars(False).keep_time(True)


def prometheus_variable() -> Variable:
    """Which Prometheus to ask; with one there is nothing to choose."""
    return boards.DatasourceVariable("datasource").label("Prometheus").type(PROMETHEUS.type_val or "")


def database_variable() -> Variable:
    return boards.DatasourceVariable("database").label("PostgreSQL").type(DATABASE.type_val or "")


def choice(name: str, label: str, values: Sequence[str], *, several: bool = False) -> Variable:
    """A closed list: one of it, the first at the start, or several, all at the start."""
    variable = boards.CustomVariable(name).label(label).values(",".join(values))
    if several:
        return variable.multi(True).include_all(True).current(ALL)
    return variable.current(VariableOption(text=values[0], value=values[0], selected=True))


def label_choice(name: str, label: str, expr: str) -> Variable:
    """Values of a metric's label, all at the start; `expr` is Grafana's `label_values(metric, label)`."""
    variable = boards.QueryVariable(name).label(label).datasource(PROMETHEUS)
    return _all_of(variable.query({"query": expr, "refId": name}))


def sql_choice(name: str, label: str, statement: str) -> Variable:
    """What a statement lists, all at the start."""
    return _all_of(boards.QueryVariable(name).label(label).datasource(DATABASE).query(statement))


def _all_of(variable: boards.QueryVariable) -> Variable:
    variable = variable.multi(True).include_all(True).current(ALL).sort(VariableSort.ALPHABETICAL_ASC)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
