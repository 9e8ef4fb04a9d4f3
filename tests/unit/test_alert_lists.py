"""Lists of alerts as Alertmanager's API writes them: what is held once, and what is read anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.alertmanager.answers import AlertReader, Odd

AT = "2026-11-21T03:12:00.123Z"


def said(**changes: Any) -> dict[str, Any]:
    return {
        "fingerprint": "f1",
        "labels": {"alertname": "DiskFull", "instance": "db-1"},
        "annotations": {"summary": "full"},
        "startsAt": AT,
        "endsAt": AT,
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        "receivers": [{"name": "relay"}],
        "generatorURL": "http://prometheus/graph",
        **changes,
    }


def test_what_an_alert_had_in_the_list_before_is_not_read_again() -> None:
    [before] = map(AlertReader(), [said()])
    later = AlertReader([before])(said(status={"state": "suppressed", "silencedBy": ["s1"], "inhibitedBy": []}))
    assert later.labels is before.labels
    assert later.annotations is before.annotations
    assert later.silenced_by == ("s1",)
    assert later.state == "suppressed"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"alertname": "DiskFull", "instance": "db-2"}},
        {"annotations": {"summary": "nearly full"}},
        {"annotations": {}},
        {"generatorURL": ""},
        {"startsAt": "2026-11-21T03:13:00Z"},
        {"endsAt": "2026-11-21T03:13:00Z"},
        {"receivers": [{"name": "relay"}, {"name": "other"}]},
    ],
)
def test_whatever_changed_since_the_list_before_is_seen(changes: dict[str, Any]) -> None:
    before = AlertReader()(said())
    later = AlertReader([before])(said(**changes))
    assert later != before
    assert later == AlertReader()(said(**changes))


def test_texts_that_no_database_takes_are_mended_again_in_the_next_list() -> None:
    odd = said(labels={"alertname": "a\0b"}, annotations={"summary": "\ud800"})
    before = AlertReader()(odd)
    assert before.labels == {"alertname": "a\ufffdb"}
    assert AlertReader([before])(odd) == before


def test_alerts_of_one_list_share_what_they_have_in_common() -> None:
    wire = json.dumps([said(), said()])
    one, other = map(AlertReader(), json.loads(wire))  # each with texts of its own
    assert one.labels["instance"] is other.labels["instance"]
    assert one.receivers is other.receivers


@pytest.mark.parametrize(
    "changes",
    [{"startsAt": "soon"}, {"endsAt": 5}, {"status": {"state": "resolved"}}, {"labels": []}],
)
def test_what_is_no_alert_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((Odd, ValueError)):
        AlertReader()(said(**changes))
