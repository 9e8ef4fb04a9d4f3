"""The files that are shipped to run the relay: Prometheus' rules, Alertmanager's config, the example of the relay's own."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.programs import ROOT
from tests.servers import wait_until

RULES = ROOT / "prometheus" / "rules"
SYSTEMS = ("callcenter", "samokoder", "bgw", "reflexio", "dmarket")


@cache
def alerts(service: str) -> dict[str, dict[str, Any]]:
    """The alerting rules of `prometheus/rules/SERVICE.yml` by name."""
    return {rule["alert"]: rule for rule in rules(RULES / f"{service}.yml") if "alert" in rule}


def rules(file: Path) -> list[dict[str, Any]]:
    """All rules of a file, recording ones included."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


@cache
def every_alert() -> list[tuple[str, str]]:
    """(service, alertname) of all alerts of the five systems."""
    return [(service, name) for service in SYSTEMS for name in alerts(service)]


DESTINATIONS = {
    "callcenter": {"callcenter-chat", "callcenter-slack"},
    "samokoder": {"samokoder-chat"},
    "bgw": {"bgw-chat", "bgw-slack", "bgw-mail"},
    "reflexio": {"reflexio-slack", "reflexio-mail"},
    "dmarket": {"dmarket-chat"},
}
"""The channels of a system's alerts, as the systems' own documents want them."""

_OTHERWISE = {
    ("callcenter", "OperatorQueueOverflow"): {"callcenter-chat", "callcenter-sms"},
    ("callcenter", "AbnormalAPISpend"): {"callcenter-mail"},
    ("callcenter", "SuspiciousToolCalls"): {"callcenter-chat"},
}


def destinations(service: str, name: str) -> set[str]:
    """The channels of one alert."""
    if service == "samokoder" and alerts(service)[name]["labels"]["severity"] == "critical":
        return {"samokoder-chat", "samokoder-mail"}
    return _OTHERWISE.get((service, name), DESTINATIONS[service])


def table_row(service: str, name: str) -> str:
    """The alert's line in the table of destinations."""
    severity = alerts(service)[name]["labels"]["severity"]
    return f"| {service} | `{name}` | {severity} | {', '.join(sorted(destinations(service, name)))} |"


def post_alerts_until_one_is_inhibited(url: str, alerts: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Posts the alerts of these labels to an Alertmanager; the labels of those that others mute.

    Alertmanager learns what mutes what a moment after it took the alerts.
    """
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    request = urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()

    def inhibited() -> list[Mapping[str, str]]:
        with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as answer:
            found = json.load(answer)
        assert len(found) == len(alerts)
        return [one["labels"] for one in found if one["status"]["inhibitedBy"]]

    wait_until(lambda: bool(inhibited()), "an inhibition")
    return inhibited()
