"""The files that are shipped to run the relay: Prometheus' rules, Alertmanager's config, the example of the relay's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.programs import ROOT

RULES = ROOT / "prometheus" / "rules"
SYSTEMS = ("callcenter", "samokoder", "bgw", "reflexio", "dmarket")


def alerts(service: str) -> dict[str, dict[str, Any]]:
    """The alerting rules of `prometheus/rules/SERVICE.yml` by name."""
    return {rule["alert"]: rule for rule in rules(RULES / f"{service}.yml") if "alert" in rule}


def rules(file: Path) -> list[dict[str, Any]]:
    """All rules of a file, recording ones included."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
