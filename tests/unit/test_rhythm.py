"""The quick pace of the stack: only durations change, and those of the shipped files all do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from relay.clock import DAY, HOUR, MINUTE, SECOND, Millis
from relay.demo.stack.rhythm import quicken, quicken_routes, quicken_rules
from relay.durations import parse_duration
from tests.programs import ROOT
from tests.shipped import RULES

DURATION = re.compile(r"\d+(?:ms|[smhdwy])")
ALERTMANAGER = ROOT / "alertmanager" / "alertmanager.yml"


@pytest.mark.parametrize(
    ("length", "quick"),
    [
        (0, 0),
        (MINUTE, 3 * SECOND),
        (5 * MINUTE, 5 * SECOND),
        (10 * MINUTE, 10 * SECOND),
        (HOUR, 15 * SECOND),
        (6 * HOUR, 15 * SECOND),
        (DAY, 20 * SECOND),
        (7 * DAY, 140 * SECOND),
    ],
)
def test_a_minute_lasts_a_second_within_bounds_and_days_keep_their_proportion(length: Millis, quick: Millis) -> None:
    assert quicken(length) == quick


def test_ranges_steps_offsets_and_for_become_shorter_and_nothing_else() -> None:
    text = """
    - alert: AbnormalAPISpend
      expr: avg_over_time(sum(increase(cost{for="5m"}[1h]))[7d:1d] offset 3d) > 300 and rate(x[5m]) > 10
      for: 15m
      annotations: {summary: "over 5m, for 10 minutes"}
    """
    assert quicken_rules(text) == text.replace("[1h]", "[15000ms]").replace("[7d:1d]", "[140000ms:20000ms]").replace(
        "offset 3d", "offset 60000ms"
    ).replace("x[5m]", "x[5000ms]").replace("for: 15m", "for: 15000ms")


@pytest.mark.parametrize("file", sorted(RULES.glob("*.yml")), ids=lambda file: file.stem)
def test_the_shipped_rules_keep_everything_but_their_durations(file: Any) -> None:
    text = file.read_text()
    quick = quicken_rules(text)
    left = [word for word in re.findall(r"(?:\[|:|offset |for: )(\d+[smhdwy])\b", quick) if parse_duration(word)]
    assert left == [], "not quickened"
    assert DURATION.sub("D", quick) == DURATION.sub("D", text)
    before, after = yaml.safe_load(text), yaml.safe_load(quick)
    assert [rule.get("labels") for rule in rules_of(before)] == [rule.get("labels") for rule in rules_of(after)]


def rules_of(file: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in file["groups"] for rule in group["rules"]]


def test_alertmanager_waits_less_but_repeats_no_more_often() -> None:
    before, after = (
        yaml.safe_load(text) for text in (ALERTMANAGER.read_text(), quicken_routes(ALERTMANAGER.read_text()))
    )
    assert (after["route"]["group_wait"], after["route"]["group_interval"]) == ("3000ms", "3000ms")
    watchdog = after["route"]["routes"][0]
    assert watchdog["group_wait"] == "0ms"
    for one, other in zip(routes(before), routes(after), strict=True):
        assert one.get("repeat_interval") == other.get("repeat_interval")
        assert one.get("matchers") == other.get("matchers")
        assert one.get("group_by") == other.get("group_by")


def routes(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [config["route"], *config["route"]["routes"]]
