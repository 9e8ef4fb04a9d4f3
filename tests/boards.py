"""The dashboards' files as Grafana reads them, and what they ask of Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from grafana.build import DASHBOARDS

Json = dict[str, Any]

BOARDS: Mapping[str, Json] = {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*/*.json"))}
"""By uid."""

_CHOSEN = {"$__rate_interval": "1m", "$__range": "6h", "$period": "7d", "$channel": "ops|chat"}


def panels(uid: str) -> list[Json]:
    """Without the rows' headings."""
    return [panel for panel in BOARDS[uid]["panels"] if panel["type"] != "row"]


def promql(uid: str) -> Iterator[tuple[str, Json]]:
    """Every PromQL query with its panel's title; Grafana's variables are replaced by what somebody may choose."""
    for panel in panels(uid):
        for target in panel["targets"]:
            if "expr" in target:
                yield panel["title"], {**target, "expr": _chosen(target["expr"])}


def _chosen(expr: str) -> str:
    for name, value in _CHOSEN.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr
