"""The built-in Telegram templates, case by case, as a person reads them; `make golden` writes the expected texts anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay.alerts import WebhookMessage
from relay.clock import DAY, HOUR, MINUTE
from relay.notification import AlertState, AlertView, Changes, IncidentView, Kind, Notice
from relay.rendering import Renderer
from tests.factories import NIGHT, NOW, make_alert_view, make_incident_view, make_notice, many_alerts

TESTS = Path(__file__).parent.parent
GOLDEN = TESTS / "golden" / "telegram"
BILINGUAL = {"summary_ru": "Диск /var на db-3 заполнен на 97 %", "description": "Free space ends at 05:00."}


def single(**values: Any) -> IncidentView:
    return make_incident_view(make_alert_view(**values))


def mixed() -> IncidentView:
    """Five alerts of three severities and all states."""
    host = ("db-1", "db-2", "db-3", "db-4", "db-5")
    states = (
        AlertState.FIRING,
        AlertState.SILENCED,
        AlertState.INHIBITED,
        AlertState.UNREPORTED,
        AlertState.RESOLVED,
    )
    levels = ("critical", "page", "warning", "error", "critical")
    return make_incident_view(
        *(
            make_alert_view(
                labels={"instance": f"{host[number]}:9100", "severity": levels[number]},
                annotations={"summary": f"Disk on {host[number]} is full"},
                state=states[number],
                acked_by="anna" if number == 0 else None,
                starts_at=NIGHT - number * MINUTE,
            )
            for number in range(5)
        ),
        several_alertmanagers=True,
    )


def from_payload(name: str) -> IncidentView:
    message = WebhookMessage.model_validate(json.loads((TESTS / "payloads" / "0.33.1" / name).read_text("utf-8")))
    alerts: list[AlertView] = [
        make_alert_view(
            labels={"job": None, "instance": None, **alert.labels},
            annotations={"summary": None, "runbook_url": None, **alert.annotations},
            generator_url=alert.generator_url,
        )
        for alert in message.alerts
    ]
    return make_incident_view(*alerts, group_labels=message.group_labels)


def reply(view: IncidentView, **changes: object) -> Notice:
    return make_notice(view, Kind.REPLY, changes=Changes(**changes))  # type: ignore[arg-type]  # fields by name


def raised() -> Notice:
    view = mixed()
    return reply(view, raised=view.alerts[:1], fired=view.alerts[1:2])


MESSAGES: dict[str, Callable[[], Notice]] = {
    "single": make_notice,
    "single_described": lambda: make_notice(single(annotations=BILINGUAL)),
    "single_acked": lambda: make_notice(single(acked_by="anna", ack_note="looking, call me")),
    "single_silenced": lambda: make_notice(single(state=AlertState.SILENCED)),
    "single_silenced_for_days": lambda: make_notice(single(state=AlertState.SILENCED, silenced_until=NIGHT + 3 * DAY)),
    "single_inhibited": lambda: make_notice(single(state=AlertState.INHIBITED)),
    "single_flapping": lambda: make_notice(single(flapping=True, episode=4)),
    "single_unreported": lambda: make_notice(single(state=AlertState.UNREPORTED, ends_at=NOW)),
    "single_resolved": lambda: make_notice(single(state=AlertState.RESOLVED), Kind.EDIT, now=NIGHT + HOUR),
    "single_resolved_next_day": lambda: make_notice(
        single(state=AlertState.RESOLVED, ends_at=NIGHT + 26 * HOUR), Kind.EDIT, now=NIGHT + 27 * HOUR
    ),
    "single_without_labels": lambda: make_notice(
        single(name="", labels={"alertname": None, "job": None, "instance": None}, annotations={"summary": None})
    ),
    "single_late": lambda: make_notice(late=NIGHT),
    "single_test": lambda: make_notice(make_incident_view(test=True)),
    "single_titled": make_notice,
    "single_with_text_links": make_notice,
    "several": lambda: make_notice(make_incident_view(*many_alerts(4))),
    "several_mixed": lambda: make_notice(mixed(), Kind.EDIT),
    "several_all_acked": lambda: make_notice(make_incident_view(*many_alerts(2, acked_by="anna"))),
    "several_resolved": lambda: make_notice(
        make_incident_view(*many_alerts(3, state=AlertState.RESOLVED)), Kind.EDIT, now=NIGHT + HOUR
    ),
    "several_names": lambda: make_notice(
        make_incident_view(
            make_alert_view("DiskFull"), make_alert_view("HostDown"), group_labels={"team": "db", "dc": "a"}
        )
    ),
    "many_truncated": lambda: make_notice(make_incident_view(*many_alerts(47), truncated=7)),
    "nasty_characters": lambda: make_notice(from_payload("nasty_characters.json")),
    "long_annotation": lambda: make_notice(from_payload("long_annotation.json")),
    "sixty_labels": lambda: make_notice(single(labels={f"label_{n:02d}": f"value {n}" for n in range(60)})),
    "endless_word": lambda: make_notice(single(name="W" * 5000, annotations={"summary": "w" * 5000})),
}
OPTIONS: dict[str, dict[str, object]] = {
    "single_titled": {"title": "Night shift: DiskFull <db-3>"},
    "repeat_titled": {"title": "Night shift: DiskFull <db-3>"},
    "single_with_text_links": {"text_links": [("Runbook", "http://wiki/disk?a=1&b=2"), ("Bad", "javascript:alert(1)")]},
}
REPLIES: dict[str, Callable[[], Notice]] = {
    "new_one": lambda: reply(make_incident_view(), fired=make_incident_view().alerts),
    "new_several": lambda: reply(make_incident_view(*many_alerts(9)), fired=make_incident_view(*many_alerts(9)).alerts),
    "again": lambda: reply(single(episode=2), fired=single(episode=2).alerts),
    "raised": raised,
    "all_resolved": lambda: reply(single(state=AlertState.RESOLVED), all_resolved=True),
    "no_longer_reported": lambda: reply(single(state=AlertState.UNREPORTED, ends_at=NOW), all_resolved=True),
    "repeat": lambda: reply(single(), repeat=True),
    "repeat_titled": lambda: reply(single(), repeat=True),
    "repeat_partly_acked": lambda: reply(mixed(), repeat=True),
    "late": lambda: make_notice(kind=Kind.REPLY, changes=Changes(fired=make_incident_view().alerts), late=NIGHT),
    "nasty_characters": lambda: reply(
        from_payload("nasty_characters.json"), fired=from_payload("nasty_characters.json").alerts
    ),
}
CASES = [
    *(("message", case, make) for case, make in MESSAGES.items()),
    *(("reply", case, make) for case, make in REPLIES.items()),
    ("farewell", "any", make_notice),
    ("list", "mixed", lambda: make_notice(mixed(), Kind.ATTACH)),
]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize(("template", "case", "make"), CASES, ids=[f"{name}-{case}" for name, case, _ in CASES])
def test_the_text_is_the_one_that_was_agreed_on(
    renderer: Renderer, template: str, case: str, make: Callable[[], Notice], language: str
) -> None:
    kind = "txt" if template == "list" else "html"
    text = renderer.render(
        f"telegram/{template}.{kind}.j2",
        make(),
        language=language,
        zone=ZoneInfo("Europe/Moscow" if language == "ru" else "UTC"),
        escape="none" if kind == "txt" else "html",
        options=OPTIONS.get(case),
    )
    golden = GOLDEN / f"{template}.{case}.{language}.{kind}"
    if os.environ.get("GOLDEN_UPDATE"):
        golden.write_text(text, encoding="utf-8", newline="")
    with golden.open(encoding="utf-8", newline="") as expected:
        assert text == expected.read()


def test_no_golden_text_is_left_over() -> None:
    expected = {
        f"{template}.{case}.{language}.{'txt' if template == 'list' else 'html'}"
        for template, case, _ in CASES
        for language in ("en", "ru")
    }
    assert {path.name for path in GOLDEN.iterdir()} == expected
