from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from relay import metrics as module
from relay.metrics import COMPONENTS, Metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
CONFIGURED = {"alertmanager", "channel", "version"}  # labels whose values come from the config
CHANNELS = {"chat": "telegram", "mail": "email"}

PROMISED = """
relay_build_info{version} relay_webhooks_total{alertmanager,outcome} relay_webhook_seconds relay_alerts{severity,state}
relay_notifications_total{channel,type,outcome} relay_notification_failures_total{channel,type,reason}
relay_notification_delay_seconds{type} relay_notifications_pending{channel} relay_notifications_oldest_seconds{channel}
relay_dead_letters{channel} relay_channel_paused{channel} relay_rate_limited_seconds_total{channel}
relay_bot_commands_total{command,outcome}
relay_bot_seconds{command} relay_alertmanager_requests_total{alertmanager,endpoint,outcome}
relay_alertmanager_up{alertmanager} relay_watchdog_last_seen_timestamp_seconds{alertmanager}
relay_template_fallbacks_total{type} relay_errors_total{component}
"""


def declared() -> Metrics:
    metrics = Metrics(CollectorRegistry())
    metrics.declare(CHANNELS, ["main", "dr"], "1.2.3")
    return metrics


def families(metrics: Metrics) -> dict[str, tuple[str, ...]]:
    """Each of our families by its full name, with its labels."""
    found = {}
    for family in metrics._registry.collect():
        if family.name.startswith("relay_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = metrics._registry._names_to_collectors[family.name]._labelnames  # type: ignore[attr-defined]  # of the client
    return found


def values_of(metrics: Metrics) -> dict[tuple[str, str], set[str]]:
    """(family, label) to the values that exist."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for family in read_text(metrics.render()[0].decode()):
        for sample in family.samples:
            name = sample.name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            for label, value in sample.labels.items():
                found[name, label].add(value)
    return found


def documented_rows(header: str) -> Iterator[list[str]]:
    """The cells of every table of the page that begins with this header."""
    inside = False
    for line in PAGE.splitlines():
        if line.startswith(header):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_promised_families_exist_with_their_labels_and_no_others() -> None:
    promised = {}
    for word in PROMISED.split():
        name, _, labels = word.strip("}").partition("{")
        promised[name] = tuple(labels.split(",")) if labels else ()
    assert families(declared()) == promised


def test_the_page_lists_every_family_with_its_labels() -> None:
    listed = {}
    for name, kind, labels, meaning in documented_rows("| Metric | Type |"):
        listed[name.strip("`")] = tuple(re.findall(r"`(\w+)`", labels))
        assert kind in ("counter", "gauge", "histogram")
        assert meaning.endswith(".") or "(" in meaning
    assert listed == families(declared())


def test_the_page_lists_the_values_of_every_closed_label() -> None:
    listed = {}
    for name, label, values in documented_rows("| Metric | Label |"):
        outside = re.sub(r"\([^)]*\)", "", values)  # remarks may name other things in backquotes
        listed[name.strip("`"), label.strip("`")] = set(re.findall(r"`([\w]+)`", outside))
    found = {
        key: values
        for key, values in values_of(declared()).items()
        if key[0].startswith("relay_") and key[1] not in CONFIGURED and key[1] != "le"
    }
    same_elsewhere = {
        ("relay_notifications_total", "type"),
        ("relay_notification_failures_total", "type"),
        ("relay_notification_delay_seconds", "type"),
        ("relay_bot_seconds", "command"),
    }
    assert {key: values for key, values in found.items() if key not in same_elsewhere} == listed
    assert found["relay_bot_seconds", "command"] == listed["relay_bot_commands_total", "command"]


def test_the_page_explains_every_reason() -> None:
    assert {row[0].strip("`") for row in documented_rows("| Reason |")} == set(module.FAILURE_REASONS)


def test_all_label_sets_exist_at_zero_from_the_first_scrape() -> None:
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read_text(declared().render()[0].decode())
        for sample in family.samples
        if family.name.startswith("relay_")
    }
    assert samples.pop(("relay_build_info", frozenset({("version", "1.2.3")}))) == 1
    assert set(samples.values()) == {0}
    for channel, kind in CHANNELS.items():
        for reason in module.FAILURE_REASONS:
            labels = frozenset({("channel", channel), ("type", kind), ("reason", reason)})
            assert ("relay_notification_failures_total", labels) in samples
    assert ("relay_webhooks_total", frozenset({("alertmanager", "unknown"), ("outcome", "unauthorized")})) in samples
    assert ("relay_webhook_seconds_count", frozenset()) in samples


def test_a_watchdog_that_never_beat_has_no_sample() -> None:
    metrics = declared()
    assert not [name for name, _ in values_of(metrics) if name.startswith("relay_watchdog")]
    metrics.watchdog_last_seen.labels("main").set(1_763_694_720)
    assert "relay_watchdog_last_seen_timestamp_seconds" in {name for name, _ in values_of(metrics)}


def test_channel_and_type_always_belong_together() -> None:
    text = declared().render()[0].decode()
    pairs = set(re.findall(r'relay_notifications_total\{channel="(\w+)",outcome="\w+",type="(\w+)"\}', text))
    assert pairs == set(CHANNELS.items())


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain",
            True,
        ),
        ("text/html, Application/OpenMetrics-Text; version=1.0.0", True),
        ("application/openmetrics-text; version=abc", True),
        ("text/plain;version=abc", False),
        (";;,,=\x00", False),
    ],
)
def test_the_format_is_the_one_asked_for_whatever_else_is_sent(accept: str, openmetrics: bool) -> None:
    metrics = declared()
    metrics.webhooks.labels("main", "accepted").inc(3)
    body, content_type = metrics.render(accept)
    read = read_openmetrics if openmetrics else read_text
    assert content_type.startswith("application/openmetrics-text" if openmetrics else "text/plain")
    found = {sample.name: sample for family in read(body.decode()) for sample in family.samples if sample.value == 3}
    assert found["relay_webhooks_total"].labels == {"alertmanager": "main", "outcome": "accepted"}
    assert b"_created" not in body


def test_the_processs_own_memory_is_told() -> None:
    assert b"\nprocess_resident_memory_bytes " in declared().render()[0]


def test_two_relays_in_one_process_count_apart_and_leave_the_global_registry_alone() -> None:
    before = {family.name for family in REGISTRY.collect()}
    one, other = declared(), declared()
    one.errors.labels("delivery").inc()
    assert b'relay_errors_total{component="delivery"} 1.0' in one.render()[0]
    assert b'relay_errors_total{component="delivery"} 0.0' in other.render()[0]
    assert {family.name for family in REGISTRY.collect()} == before


def test_the_code_counts_errors_only_under_the_listed_components() -> None:
    used = set()
    for path in (ROOT / "relay").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("errors.labels"):
                (argument,) = node.args
                assert isinstance(argument, ast.Constant), f"{path}:{node.lineno}: a component must be a literal"
                used.add(argument.value)
    assert used
    assert used <= set(COMPONENTS)


def test_a_failed_template_counts_by_its_folder() -> None:
    folders = {path.name for path in (ROOT / "templates").iterdir() if path.is_dir()}
    assert set(module.TEMPLATE_TYPES) == folders | {"inline"}
