from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from relay.alerts import (
    NotAWebhookMessage,
    WebhookAlert,
    WebhookMessage,
    fingerprint_of,
    parse_time,
    recognise,
    storable,
)

PAYLOADS = Path(__file__).parents[1] / "payloads"
BODIES = sorted(path for path in PAYLOADS.glob("*/*.json") if path.name != "custom_payload.json")


def body(**values: Any) -> dict[str, Any]:
    alert = {"status": "firing", "labels": {"alertname": "Up"}, "startsAt": "2026-01-31T03:12:00Z"}
    return {"version": "4", "groupKey": '{}:{alertname="Up"}', "alerts": [alert]} | values


def named(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def test_there_are_recorded_bodies_of_several_versions() -> None:
    assert len(BODIES) > 80
    assert len({path.parent for path in BODIES}) >= 2


@pytest.mark.parametrize("path", BODIES, ids=named)
def test_a_recorded_body_reads_whole(path: Path) -> None:
    decoded = json.loads(path.read_bytes())
    message = WebhookMessage.model_validate(recognise(decoded))
    assert message.group_key == decoded["groupKey"]
    assert message.truncated_alerts == decoded["truncatedAlerts"]
    assert message.group_labels == decoded["groupLabels"]
    assert message.external_url == decoded["externalURL"]
    assert len(message.alerts) == len(decoded["alerts"])
    for alert, raw in zip(message.alerts, decoded["alerts"], strict=True):
        assert alert.labels == {name: storable(value) for name, value in raw["labels"].items()}
        assert alert.fingerprint == raw["fingerprint"] == fingerprint_of(raw["labels"])
        assert alert.starts_at is not None
        assert alert.firing is (alert.ends_at is None)


def test_a_custom_payload_is_recognised_and_the_sender_told_what_to_remove() -> None:
    decoded = json.loads((PAYLOADS / "0.33.1" / "custom_payload.json").read_bytes())
    with pytest.raises(NotAWebhookMessage, match="payload:"):
        recognise(decoded)


@pytest.mark.parametrize("name", ["web.hook", "a+b (c)", "team/ops [x]", "back\\slash", "plain", "дежурный 🔥"])
def test_the_receivers_name_is_unquoted(name: str) -> None:
    quoted = "".join(f"\\{char}" if char in r"\.+*?()|[]{}^$" else char for char in name)  # Go's regexp.QuoteMeta
    assert WebhookMessage.model_validate(body(receiver=quoted)).receiver_name == name


@pytest.mark.parametrize(
    ("decoded", "hint"),
    [
        (None, "NoneType"),
        ("text", "payload:"),
        ([1], "payload:"),
        ({}, "groupKey"),
        ({"text": "firing!"}, "payload:"),
        ({"version": "4", "alerts": []}, "groupKey"),
        ({"version": "4", "groupKey": "x", "alerts": {}}, "alerts"),
        ({"version": "3", "groupKey": "x", "alerts": []}, "version '3'"),
        ({"groupKey": "x", "alerts": []}, "version 'None'"),
        ({"version": "1", "orgId": 1, "groupKey": "x", "alerts": []}, "Grafana"),
        ({"state": "alerting", "evalMatches": [], "ruleId": 1}, "Grafana"),
    ],
)
def test_what_is_no_webhook_message_is_refused_by_name(decoded: object, hint: str) -> None:
    with pytest.raises(NotAWebhookMessage, match=hint):
        recognise(decoded)


def test_a_long_version_is_not_repeated_at_length() -> None:
    with pytest.raises(NotAWebhookMessage) as caught:
        recognise(body(version="9" * 10_000))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"alerts": ["x"]}, "alerts.0"),
        ({"alerts": [{"status": "pending"}]}, "alerts.0.status"),
        ({"alerts": [{"labels": {}}]}, "alerts.0.status"),
        ({"alerts": [{"status": "firing", "startsAt": "yesterday"}]}, "alerts.0.startsAt"),
        ({"alerts": [{"status": "firing", "startsAt": 5}]}, "alerts.0.startsAt"),
        ({"alerts": [{"status": "firing", "labels": [1]}]}, "alerts.0.labels"),
        ({"truncatedAlerts": -1}, "truncatedAlerts"),
        ({"groupLabels": "x"}, "groupLabels"),
        ({"version": 4}, "version"),
    ],
)
def test_a_bad_field_is_named(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookMessage.model_validate(body(**values))
    assert place in {".".join(map(str, error["loc"])) for error in caught.value.errors()}


def test_a_message_of_2019_reads_without_fingerprint_and_truncation() -> None:
    message = WebhookMessage.model_validate(body())
    assert message.alerts[0].fingerprint == fingerprint_of({"alertname": "Up"})
    assert (message.truncated_alerts, message.receiver, message.group_labels) == (0, "", {})


def test_two_receivers_with_names_without_end_stay_two() -> None:
    first, second = (WebhookMessage.model_validate(body(receiver="r" * 5000 + end)).receiver_name for end in "12")
    assert first != second
    assert max(len(first), len(second)) < 600


def test_no_count_of_cut_alerts_is_none() -> None:
    assert WebhookMessage.model_validate(body(truncatedAlerts=None)).truncated_alerts == 0


def test_unknown_fields_are_ignored() -> None:
    assert WebhookMessage.model_validate(body(anything={"new": 1})).group_key


def test_nulls_are_as_good_as_missing_fields() -> None:
    alert = {"status": "firing", "labels": None, "annotations": None, "startsAt": None, "generatorURL": None}
    message = WebhookMessage.model_validate(body(alerts=[alert], groupLabels=None, receiver=None, externalURL=None))
    assert message.alerts[0].labels == message.alerts[0].annotations == message.group_labels == {}
    assert (message.alerts[0].starts_at, message.receiver) == (None, "")


def test_values_of_a_lenient_sender_become_texts() -> None:
    labels = {"count": 3, "ok": True, "ratio": 0.5, "none": None, "list": ["ж"]}
    alert = WebhookAlert.model_validate({"status": "firing", "labels": labels})
    assert alert.labels == {"count": "3", "ok": "true", "ratio": "0.5", "none": "", "list": '["ж"]'}


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0019999Z", 1),
        ("2026-11-21T03:31:12.123456789+02:00", 1795224672123),
        ("2026-11-21T01:31:12.123Z", 1795224672123),
        ("2026-11-21T01:31:53.81Z", 1795224713810),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("9999-12-31T23:59:59Z", 253402300799000),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+03:00", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_cut_to_milliseconds(text: str | None, millis: int | None) -> None:
    assert parse_time(text) == millis


@pytest.mark.parametrize("value", ["tomorrow", "2026-13-01T00:00:00Z", "2026-01-31T25:00:00Z", "x" * 1000, 5, [], True])
def test_what_is_no_time_is_refused_briefly(value: object) -> None:
    with pytest.raises(ValueError, match="RFC 3339") as caught:
        parse_time(value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("ж💩", "ж💩"),
        ("a\0b", "a\ufffdb"),
        ("ж\0", "ж\ufffd"),
        ("\ud800x", "\ufffdx"),
        ("x\udfff", "x\ufffd"),
    ],
)
def test_what_databases_refuse_becomes_the_replacement_character(text: str, stored: str) -> None:
    assert storable(text) == stored
    stored.encode()


def test_nul_and_surrogates_are_replaced_everywhere_but_change_no_fingerprint() -> None:
    sent = {"alertname": "a\0b", "na\0me": "\ud83d"}
    alert = WebhookAlert.model_validate(
        {"status": "firing", "labels": sent, "annotations": {"x": "\0"}, "fingerprint": "abc"}
    )
    assert alert.labels == {"alertname": "a\ufffdb", "na\ufffdme": "\ufffd"}
    assert alert.annotations == {"x": "\ufffd"}
    assert alert.fingerprint == "abc"
    assert WebhookAlert.model_validate({"status": "firing", "labels": sent}).fingerprint


def test_group_keys_that_differ_in_odd_bytes_only_stay_different() -> None:
    messages = [WebhookMessage.model_validate(body(groupKey=key)) for key in ("{}:a\0", "{}:a\ud800", "{}:a\ufffd")]
    assert len({message.raw_group_key for message in messages}) == 3
    assert {message.group_key for message in messages} == {"{}:a\ufffd"}


def test_fingerprints_are_alertmanagers() -> None:
    assert fingerprint_of({}) == "cbf29ce484222325"
    assert fingerprint_of({"a": "b", "c": "d"}) == fingerprint_of({"c": "d", "a": "b"})
    assert fingerprint_of({"a": "bc"}) != fingerprint_of({"ab": "c"})


def test_a_message_put_together_from_parts_equals_one_read_whole() -> None:
    whole = WebhookMessage.model_validate(body())
    assert WebhookMessage.assemble(whole, whole.alerts) == whole
