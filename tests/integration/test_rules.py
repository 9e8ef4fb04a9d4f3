"""The Prometheus rules: promtool takes them, and every promised alert is there, explained in both languages and tested."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.programs import ROOT
from tests.shipped import RULES, alerts

SERVICES = ("callcenter", "samokoder", "bgw", "reflexio", "dmarket", "relay")
PROMISED: dict[str, dict[str, str]] = {
    "callcenter": {
        "HighTransferRate": "warning",
        "PipelineErrorsHigh": "critical",
        "HighResponseLatency": "warning",
        "HighSTTLatency": "warning",
        "HighLLMLatency": "warning",
        "HighTTSLatency": "warning",
        "OperatorQueueOverflow": "critical",
        "AbnormalAPISpend": "warning",
        "SuspiciousToolCalls": "warning",
        "CircuitBreakerOpen": "critical",
    },
    "samokoder": {
        "APIDown": "critical",
        "LowDiskSpace": "critical",
        "HighErrorRate": "warning",
        "HighLatency": "warning",
        "HighLLMErrorRate": "warning",
        "HighCPUUsage": "warning",
        "HighMemoryUsage": "warning",
        "HighRateLimitHits": "info",
        "NoProjectsCreated": "info",
    },
    "bgw": {
        "APIUnavailable": "critical",
        "DatabaseIssues": "critical",
        "NoAgentRuns": "critical",
        "HighErrorRate": "warning",
        "HighLatency": "warning",
        "NotificationFailures": "warning",
        "DailyQuotaExceeded": "warning",
    },
    "reflexio": {
        "HighHallucinationRate": "critical",
        "LowCitationCoverage": "warning",
        "LowCoVeConfidence": "warning",
        "RetentionErrors": "warning",
        "StaleProcessLocks": "warning",
    },
    "dmarket": {"HighErrorRate": "critical", "SlowAPIRequests": "warning", "LowActiveUsers": "info"},
}
ANNOTATIONS = {"summary", "description", "summary_ru", "description_ru", "runbook_url", "dashboard_url"}


def expectations() -> dict[tuple[str, str], list[list[bool]]]:
    """By service and alert: for each promtool test, whether it expects the alert to fire, in the order of time."""
    found: dict[tuple[str, str], list[list[bool]]] = {}
    for file in sorted((ROOT / "prometheus" / "tests").glob("*.yml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            checks = test["promql_expr_test"]
            names = re.search(r'alertname="(\w+)", service="(\w+)"', checks[0]["expr"])
            assert names, test["name"]
            found.setdefault((names[2], names[1]), []).append([bool(check["exp_samples"]) for check in checks])
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_fault_in_the_rules(promtool_path: Path) -> None:
    run(promtool_path, "check", "rules", *sorted(RULES.glob("*.yml")))


@pytest.mark.parametrize("file", sorted((ROOT / "prometheus" / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_and_resolve_as_their_tests_say(file: Path, promtool_path: Path) -> None:
    run(promtool_path, "test", "rules", file)


@pytest.mark.parametrize("service", sorted(PROMISED))
def test_every_promised_alert_exists_with_its_severity(service: str) -> None:
    severities = {name: rule["labels"]["severity"] for name, rule in alerts(service).items()}
    assert severities.items() >= PROMISED[service].items()


@pytest.mark.parametrize("service", SERVICES)
def test_every_alert_is_explained_in_both_languages(service: str) -> None:
    for name, rule in alerts(service).items():
        assert rule["labels"]["service"] == service, name
        assert rule["annotations"].keys() >= ANNOTATIONS, name
        assert all(rule["annotations"][key].strip() for key in ANNOTATIONS), name
        assert re.search("[а-яё]", rule["annotations"]["description_ru"]), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_alert_has_tests_that_it_fires_resolves_and_stays_silent(service: str) -> None:
    tested = expectations()
    for name in alerts(service):
        assert [True, False] in tested[service, name], name
        assert [False] in tested[service, name], name


def test_every_alert_of_the_relay_has_its_runbook() -> None:
    for name, rule in alerts("relay").items():
        path = rule["annotations"]["runbook_url"].removeprefix("https://docs.example.org/alertmanager-relay/")
        assert (ROOT / path).read_text().startswith(f"# {name}\n")
