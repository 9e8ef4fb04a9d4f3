"""What the shipped files name exists: metrics, labels, alerts, what templates are given. What does not is told by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, meta, nodes

from relay.config import load
from relay.matchers import Matcher, parse_matchers
from relay.rendering import Renderer, builtin_templates
from tests import markdown
from tests.config_files import EXAMPLE, SECRETS
from tests.programs import ROOT
from tests.promql import faults, series
from tests.shipped import RULES, rules

ALERTMANAGER = sorted((ROOT / "alertmanager").glob("*.yml"))
OF_RULES = ("alertname", "service", "severity")
"""Labels whose values the rules alone write."""
OF_PROMETHEUS = set(yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["global"]["external_labels"])
MEANT_FOR_ANY = {"cluster", "namespace", "message", "runbook", "dashboard", "title"}
"""Labels and annotations of other people's rules that templates also look for."""


@cache
def alerts() -> list[Mapping[str, str]]:
    """The labels that the shipped rules write, of each alert."""
    every = [rule for file in sorted(RULES.glob("*.yml")) for rule in rules(file) if "alert" in rule]
    return [{"alertname": rule["alert"], **rule["labels"]} for rule in every]


@cache
def label_names() -> set[str]:
    """Every label that an alert can have: the rules', the metrics', Prometheus' own."""
    of_metrics = {label for every in series().values() for one in every for label in one}
    return of_metrics | {label for one in alerts() for label in one} | OF_PROMETHEUS


@cache
def annotation_names() -> set[str]:
    every = [rule for file in sorted(RULES.glob("*.yml")) for rule in rules(file) if "alert" in rule]
    return {name for rule in every for name in rule["annotations"]}


# -- rules ---------------------------------------------------------------------------------------------------------------


def rule_faults(file: Path) -> list[str]:
    """`FILE: RULE: no metric …`: of expressions, and of the queries and labels that texts name."""
    found = []
    for rule in rules(file):
        name = rule.get("alert") or rule["record"]
        wrong = list(faults(rule["expr"]))
        for text in rule.get("annotations", {}).values():
            for query in re.findall(r'query "((?:[^"\\]|\\.)*)"', text):
                wrong += faults(query.replace('\\"', '"'))
            wrong += [f"no label {one}" for one in re.findall(r"\$labels\.(\w+)", text) if one not in label_names()]
        found += [f"{file.name}: {name}: {one}" for one in wrong]
    return found


@pytest.mark.parametrize("file", sorted(RULES.glob("*.yml")), ids=lambda file: file.stem)
def test_a_rules_file_names_only_metrics_and_labels_that_exist(file: Path) -> None:
    assert rule_faults(file) == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"alert": "A", "expr": "rate(calls_lost_total[5m]) > 0"}, "bad.yml: A: no metric calls_lost_total"),
        ({"record": "r:x", "expr": 'up{host="a"}'}, "bad.yml: r:x: up has no label host"),
        ({"alert": "A", "expr": 'up{job="fax"} == 0'}, 'bad.yml: A: no series matches up{job="fax"}'),
        (
            {"alert": "A", "expr": "up == 0", "annotations": {"summary": "{{ $labels.hostname }} is down"}},
            "bad.yml: A: no label hostname",
        ),
        (
            {"alert": "A", "expr": "up == 0", "annotations": {"summary": '{{ query "sum(lost{a=\\"b\\"})" }}'}},
            "bad.yml: A: no metric lost",
        ),
    ],
)
def test_a_rule_that_names_what_does_not_exist_is_told_with_its_file(
    rule: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    assert rule_faults(file) == [said]


def test_the_queries_of_the_docs_ask_for_series_that_exist() -> None:
    blocks = markdown.every_block("promql")
    assert len(blocks) >= 4
    assert [f"{block}: {fault}" for block in blocks for fault in faults(block.text)] == []


# -- Alertmanager and the relay's routes -----------------------------------------------------------------------------------


def matcher_faults(matcher: Matcher) -> list[str]:
    """A label that no alert has, or a value that the rules never write."""
    if matcher.name not in label_names():
        return [f"no alert has a label {matcher.name}"]
    written = {one[matcher.name] for one in alerts() if matcher.name in one}
    if matcher.name not in OF_RULES or not matcher.is_equal:
        return []
    fitting = {value for value in written if matcher.matches({matcher.name: value})}
    if not fitting:
        return [f"no alert has {matcher.name}={matcher.value}"]
    listed = matcher.value.split("|") if matcher.is_regex else []
    return [f"no alert has {matcher.name}={one}" for one in listed if one not in written]


def alertmanager_faults(file: Path) -> list[str]:
    config = yaml.safe_load(file.read_text())
    found = []
    for part, names, matchers in _said(config):
        found += [f"{file.name}: {part}: no alert has a label {name}" for name in names if name not in label_names()]
        for text in matchers:
            found += [f"{file.name}: {part}: {one}" for each in parse_matchers(text) for one in matcher_faults(each)]
    return found


def _said(config: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every part of an Alertmanager config with the labels and the matchers that it names."""
    waiting = [("route", config["route"])]
    while waiting:
        name, route = waiting.pop()
        yield name, route.get("group_by", []), route.get("matchers", [])
        waiting += [(f"{name}.routes[{number}]", one) for number, one in enumerate(route.get("routes", []))]
    for number, rule in enumerate(config.get("inhibit_rules", [])):
        yield f"inhibit_rules[{number}]", rule["equal"], [*rule["source_matchers"], *rule["target_matchers"]]


@pytest.mark.parametrize("file", ALERTMANAGER, ids=lambda file: file.stem)
def test_alertmanagers_routes_name_only_labels_and_alerts_that_exist(file: Path) -> None:
    assert alertmanager_faults(file) == []


def test_an_alertmanager_config_that_names_what_does_not_exist_is_told(tmp_path: Path) -> None:
    route = {
        "group_by": ["alertname", "team"],
        "routes": [{"matchers": ['service="fax"', 'alertname=~"APIDown|APIUp"']}],
    }
    inhibit = {
        "source_matchers": ['gravity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["hostname"],
    }
    file = tmp_path / "bad.yml"
    file.write_text(yaml.safe_dump({"route": route, "inhibit_rules": [inhibit]}))
    assert alertmanager_faults(file) == [
        "bad.yml: route: no alert has a label team",
        "bad.yml: route.routes[0]: no alert has service=fax",
        "bad.yml: route.routes[0]: no alert has alertname=APIUp",
        "bad.yml: inhibit_rules[0]: no alert has a label hostname",
        "bad.yml: inhibit_rules[0]: no alert has a label gravity",
    ]


def route_faults(path: Path) -> list[str]:
    """Of a config of the relay; channels that do not exist are refused when it is loaded."""
    return [
        f"{path.name}: routes[{number}]: {fault}"
        for number, route in enumerate(load(path, SECRETS).routes)
        for text in route.matchers
        for matcher in parse_matchers(text)
        for fault in matcher_faults(matcher)
    ]


def test_the_relays_routes_name_only_labels_and_alerts_that_exist() -> None:
    assert route_faults(EXAMPLE) == []


def test_a_route_that_names_what_does_not_exist_is_told(tmp_path: Path) -> None:
    path = tmp_path / "relay.yml"
    text = EXAMPLE.read_text().replace('alertname="AbnormalAPISpend"', 'alertname="AbnormalSpend"')
    path.write_text(text.replace("""['service="bgw"']""", """['system="bgw"']"""))
    assert route_faults(path) == [
        "relay.yml: routes[1]: no alert has alertname=AbnormalSpend",
        "relay.yml: routes[7]: no alert has a label system",
    ]


# -- templates -------------------------------------------------------------------------------------------------------------


@cache
def environment() -> Environment:
    return Renderer()._preferred[False]


@cache
def given() -> set[str]:
    """The names that every template is given, as the docs promise them, and the functions."""
    table = (
        (ROOT / "docs/howto/templates.md").read_text().partition("## What a template knows")[2].partition("\n\nAn")[0]
    )
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)", row.split("|")[1] if "|" in row else "")
    }
    return named | set(environment().globals)


def _own_names(template: nodes.Template) -> Iterator[str]:
    """What the template itself sets, imports or defines; Jinja2 does not count that inside of blocks."""
    yield from (one.name for one in template.find_all(nodes.Name) if one.ctx in ("store", "param"))
    yield from (one.target for one in template.find_all(nodes.Import))
    yield from (one.name for one in template.find_all(nodes.Macro))


def template_faults(name: str, text: str) -> list[str]:
    """Names that no template is given, labels and annotations that no alert has."""
    parsed = environment().parse(text)
    unknown = meta.find_undeclared_variables(parsed) - given() - set(_own_names(parsed))
    found = [f"{name}: there is no name {one}" for one in sorted(unknown)]
    mappings = {"labels": label_names(), "group_labels": label_names(), "annotations": annotation_names()}
    for mapping, key in re.findall(r"\b(labels|group_labels|annotations)(?:\.|\[[\"'])(\w+)", text):
        if key not in mappings[mapping] | MEANT_FOR_ANY:
            found.append(f"{name}: no alert has {key} among its {mapping}")
    return found


TEMPLATES = sorted(builtin_templates().rglob("*.j2"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_template_names_only_what_it_is_given(path: Path) -> None:
    assert template_faults(path.name, path.read_text()) == []


def test_titles_and_subjects_of_the_example_name_only_what_they_are_given() -> None:
    channels = yaml.safe_load(EXAMPLE.read_text())["channels"]
    texts = [(name, one[key]) for name, one in channels.items() for key in ("title", "subject", "body") if key in one]
    assert len(texts) >= 3
    assert [fault for name, text in texts for fault in template_faults(name, text)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ tags.alertname }}", "t: there is no name tags"),
        ("{{ labels.nickname }}", "t: no alert has nickname among its labels"),
        ('{{ group_labels["system"] }}', "t: no alert has system among its group_labels"),
        ("{{ annotations.headline }}", "t: no alert has headline among its annotations"),
    ],
)
def test_a_template_that_names_what_does_not_exist_is_told(text: str, said: str) -> None:
    assert template_faults("t", text) == [said]
