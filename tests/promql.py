"""Reads PromQL, and knows every series that the relay, the players of the five systems and the shipped rules make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import promql_parser
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from relay.demo.players.player import Player
from relay.demo.players.server import SYSTEMS
from relay.metrics import Metrics
from tests.programs import ROOT

Labels = Mapping[str, str]


def rules() -> Iterator[dict[str, Any]]:
    """Every recording and alerting rule that is shipped."""
    for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def parts(expr: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """The expression and all that it consists of."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expr, found.append)
    yield from found


def labels_made(expr: promql_parser.Expr) -> set[str]:
    """Labels that the expression groups by, joins on or writes itself."""
    found: set[str] = set()
    for part in parts(expr):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier:
            found.update(part.modifier.labels)
        elif isinstance(part, promql_parser.BinaryExpr) and part.modifier and part.modifier.matching:
            found.update(part.modifier.matching.labels)
        elif isinstance(part, promql_parser.Call) and part.func.name == "label_replace":
            assert isinstance(part.args[1], promql_parser.StringLiteral)
            found.add(part.args[1].val)
    return found


@cache
def series() -> Mapping[str, list[Labels]]:
    """By metric name the label sets that exist when all is well."""
    found: dict[str, list[Labels]] = {"up": []}
    for job, text in _scrapes():
        found["up"].append({"job": job, "instance": job})
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append({"job": job, "instance": job, **sample.labels})
    for rule in rules():
        if "record" in rule:
            made = labels_made(promql_parser.parse(rule["expr"]))
            found.setdefault(rule["record"], []).append(dict.fromkeys(made, "any"))
        else:
            alert = {"alertname": rule["alert"], "alertstate": "firing", **rule["labels"]}
            found.setdefault("ALERTS", []).append(alert)
    return found


def _scrapes() -> Iterable[tuple[str, str]]:
    metrics = Metrics(CollectorRegistry())
    metrics.declare({"ops": "email", "chat": "telegram"}, ["main"], "1")
    metrics.watchdog_last_seen.labels("main").set(1)
    yield "relay", metrics.render()[0].decode()
    for system in SYSTEMS:
        yield system.name, Player(system).exposition().decode()


def faults(text: str) -> list[str]:
    """What is wrong with an expression, by name: it does not parse, no such metric, no such label, no series matches."""
    try:
        expr = promql_parser.parse(text)
    except ValueError as error:
        return [f"{text}: {error}"]
    found: list[str] = []
    known = {label for part in parts(expr) for label in _labels_written(part)}
    for part in parts(expr):
        if isinstance(part, promql_parser.VectorSelector):
            found += _selector_faults(part)
            known.update(label for one in series().get(part.name or "", []) for label in one)
    return found + [f"no metric has a label {label}" for label in sorted(labels_made(expr) - known)]


def _labels_written(part: promql_parser.Expr) -> set[str]:
    return labels_made(part) if isinstance(part, promql_parser.Call) and part.func.name == "label_replace" else set()


def _selector_faults(selector: promql_parser.VectorSelector) -> list[str]:
    every = series().get(selector.name or "")
    if every is None:
        return [f"no metric {selector.name}"]
    matchers = selector.matchers.matchers
    missing = [matcher.name for matcher in matchers if not any(matcher.name in one for one in every)]
    if missing:
        return [f"{selector.name} has no label {name}" for name in missing]
    if any(all(_matches(one, labels.get(one.name, "")) for one in matchers) for labels in every):
        return []
    return [f"no series matches {selector.prettify()}"]


def _matches(matcher: promql_parser.Matcher, value: str) -> bool:
    kinds = promql_parser.MatchOp
    if matcher.op in (kinds.Equal, kinds.NotEqual):  # they have no hash, so no set
        return (value == matcher.value) is (matcher.op == kinds.Equal)
    return (re.fullmatch(matcher.value, value) is not None) is (matcher.op == kinds.Re)
