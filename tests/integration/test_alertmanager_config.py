"""Alertmanager's shipped configs: every version takes them, and every alert of the rules finds the receiver it must."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.programs import ROOT, AlertmanagerProgram
from tests.servers import AlertmanagerStarter
from tests.shipped import RULES, post_alerts_until_one_is_inhibited, rules

SINGLE = ROOT / "alertmanager" / "alertmanager.yml"
PAIR = ROOT / "alertmanager" / "alertmanager-ha.yml"
FILES = pytest.mark.parametrize("file", [SINGLE, PAIR], ids=lambda file: file.stem)
PAST_THE_RELAY = {"RelayDown", "RelayWebhooksUnavailable", "RelayWebhooksRefused"}


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def parts(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


@FILES
def test_every_amtool_takes_the_config(file: Path, alertmanager_program: AlertmanagerProgram) -> None:
    assert "SUCCESS" in run(alertmanager_program.amtool, "check-config", file)


@FILES
def test_every_alert_of_the_rules_finds_its_receivers(file: Path, amtool_path: Path) -> None:
    asked = 0
    for rule_file in sorted(RULES.glob("*.yml")):
        for rule in rules(rule_file):
            if "alert" not in rule:
                continue
            labels = {"alertname": rule["alert"], "instance": "here:1", **rule["labels"]}
            pairs = [f"{name}={value}" for name, value in labels.items() if "{{" not in value]
            found = run(amtool_path, "config", "routes", "test", f"--config.file={file}", *pairs)
            expected = ["past-the-relay", "relay"] if rule["alert"] in PAST_THE_RELAY else ["relay"]
            assert found.strip().split(",") == expected, rule["alert"]
            asked += 1
    assert asked > 45


@FILES
def test_grouping_and_rhythm_are_the_documents(file: Path) -> None:
    route = parts(file)["route"]
    assert route["group_by"] == ["alertname", "service"]
    [watchdog] = [one for one in route["routes"] if one["matchers"] == ['alertname="Watchdog"']]
    assert watchdog["repeat_interval"] == "5m"
    [reflexio] = [one for one in route["routes"] if one["matchers"] == ['service="reflexio"']]
    assert {name: reflexio[name] for name in ("group_by", "group_wait", "group_interval", "repeat_interval")} == {
        "group_by": ["alertname", "severity"],
        "group_wait": "10s",
        "group_interval": "5m",
        "repeat_interval": "3h",
    }


def test_what_cannot_travel_through_the_relay_has_a_way_of_its_own_that_only_needs_to_be_switched_on(
    amtool_path: Path, tmp_path: Path
) -> None:
    [matcher] = [one["matchers"] for one in parts(SINGLE)["route"]["routes"] if one["receiver"] == "past-the-relay"]
    assert set(re.findall(r"\w+", matcher[0])) - {"alertname"} == PAST_THE_RELAY
    head, name, tail = SINGLE.read_text().partition("  - name: past-the-relay")
    text = head + name + re.sub(r"^    # ", "    ", tail, flags=re.MULTILINE)
    [receiver] = [one for one in yaml.safe_load(text)["receivers"] if one["name"] == "past-the-relay"]
    assert receiver["email_configs"][0]["to"]
    assert "webhook_configs" not in receiver
    (tmp_path / "alertmanager.yml").write_text(text)
    assert "SUCCESS" in run(amtool_path, "check-config", tmp_path / "alertmanager.yml")


def test_the_pair_has_the_same_config_but_for_its_two_relays() -> None:
    single, pair = parts(SINGLE), parts(PAIR)
    [one] = single["receivers"][0].pop("webhook_configs")
    two = pair["receivers"][0].pop("webhook_configs")
    assert pair == single
    assert [{**webhook, "url": one["url"]} for webhook in two] == [one, one]
    assert len({webhook["url"] for webhook in two}) == 2


def test_a_system_that_tells_its_own_outage_is_not_told_a_second_time(start_alertmanager: AlertmanagerStarter) -> None:
    url = start_alertmanager(SINGLE.read_text())
    alerts = [
        {"alertname": "APIDown", "service": "samokoder", "instance": "a:1", "severity": "critical"},
        {"alertname": "TargetDown", "service": "samokoder", "instance": "a:1", "severity": "critical"},
        {"alertname": "TargetDown", "service": "dmarket", "instance": "a:1", "severity": "critical"},
    ]
    muted = post_alerts_until_one_is_inhibited(url, alerts)
    assert [(labels["service"], labels["alertname"]) for labels in muted] == [("samokoder", "TargetDown")]
