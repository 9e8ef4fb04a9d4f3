"""What a mail says, case by case; `make golden` (GOLDEN_UPDATE=1) writes the expected texts anew."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels.email import EmailChannel, EmailContent, EmailOptions, MailServer, SmtpConfig
from relay.channels.email.message import header_text
from relay.channels.email.replies import Reply, refusal
from relay.channels.email.table import alerts_table, harmless
from relay.clock import HOUR, MINUTE
from relay.notification import AlertState, Changes, Notice
from relay.rendering import Renderer
from tests.factories import NIGHT, NOW, make_alert_view, make_incident_view, make_notice, many_alerts

GOLDEN = Path(__file__).parent.parent / "golden" / "email"
DASHBOARD = {"dashboard_url": "https://grafana.example.org/d/node"}


def make_channel(renderer: Renderer | None = None, **options: Any) -> EmailChannel:
    smtp = SmtpConfig.model_validate({"host": "mail.example.org", "from": "Alerts <alerts@example.org>"})
    base = {"type": "email", "to": "ops@example.org, Anna <anna@example.org>"}
    return EmailChannel(
        name="ops-mail",
        options=EmailOptions.model_validate(base | options),
        server=MailServer(smtp),
        renderer=renderer or Renderer(),
    )


def parsed(content: EmailContent) -> EmailMessage:
    return message_from_bytes(content.message, _class=EmailMessage, policy=policy.default)


def text(notice: Notice, **options: Any) -> str:
    return make_channel(**options).render(notice).files["message.txt"].decode()


def html(notice: Notice, **options: Any) -> str:
    return make_channel(**options).render(notice).files["message.html"].decode()


def first() -> Notice:
    return make_notice(make_incident_view(make_alert_view(annotations=DASHBOARD)))


def grown() -> Notice:
    """One more began, one got worse, one ended; one is acked and one silenced."""
    fired = make_alert_view(annotations=DASHBOARD, acked_by="anna", ack_note="on it")
    raised = make_alert_view(labels={"instance": "db-4:9100", "severity": "error"}, annotations=DASHBOARD)
    silenced = make_alert_view(
        labels={"instance": "db-5:9100", "severity": "warning"}, annotations=DASHBOARD, state=AlertState.SILENCED
    )
    ended = make_alert_view(labels={"instance": "db-1:9100"}, annotations=DASHBOARD, state=AlertState.RESOLVED)
    view = make_incident_view(
        fired, raised, silenced, ended, group_labels={"alertname": "DiskFull", "job": "node"}, revision=4
    )
    return make_notice(view, changes=Changes(fired=(fired,), raised=(raised,), resolved=(ended,)))


def over() -> Notice:
    view = make_incident_view(*(make_alert_view(name, state=AlertState.RESOLVED) for name in ("DiskFull", "HostDown")))
    return make_notice(view, changes=Changes(all_resolved=True, resolved=view.resolved), now=NIGHT + HOUR)


def repeated() -> Notice:
    return make_notice(make_incident_view(), changes=Changes(repeat=True), now=NIGHT + 4 * HOUR)


def acked() -> Notice:
    alerts = [make_alert_view(labels={"instance": f"db-{number}"}, acked_by="anna") for number in (1, 2)]
    return make_notice(make_incident_view(*alerts), changes=Changes(acked=True))


def silenced() -> Notice:
    return make_notice(make_incident_view(make_alert_view(state=AlertState.SILENCED)), changes=Changes(silenced=True))


def late_test() -> Notice:
    view = make_incident_view(test=True, several_alertmanagers=True, truncated=12)
    return make_notice(view, late=NIGHT, now=NOW + 2 * HOUR)


def storm() -> Notice:
    return make_notice(make_incident_view(*many_alerts(120)))


CASES: dict[str, Callable[[], Notice]] = {
    "first": first,
    "grown": grown,
    "over": over,
    "repeated": repeated,
    "acked": acked,
    "silenced": silenced,
    "late_test": late_test,
    "storm": storm,
}


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("case", CASES)
def test_a_mail_reads_as_it_did(case: str, language: str) -> None:
    zone = {"en": "UTC", "ru": "Europe/Moscow"}[language]
    files = make_channel(language=language, timezone=zone).render(CASES[case]()).files
    for name in ("message.txt", "message.html") if case in {"grown", "over"} else ("message.txt",):
        path = GOLDEN / f"{case}.{language}.{name.rpartition('.')[2]}"
        if os.environ.get("GOLDEN_UPDATE"):
            path.write_bytes(files[name])
        assert files[name].decode() == path.read_text(encoding="utf-8"), f"{path} differs; GOLDEN_UPDATE=1 accepts it"


def test_the_subject_stays_the_same_for_an_incident() -> None:
    subjects = {parsed(make_channel().render(notice)).get("Subject") for notice in (first(), repeated(), acked())}
    assert subjects == {"DiskFull [gkzrpt]"}


@pytest.mark.parametrize(
    ("values", "subject"),
    [
        ({"group_labels": {"alertname": "DiskFull", "job": "node", "a": "b"}}, "DiskFull · a=b, job=node [gkzrpt]"),
        ({"group_labels": {"job": "node"}}, "Alerts · job=node [gkzrpt]"),
        ({"group_labels": {}}, "relay [gkzrpt]"),
        ({"group_labels": {}, "receiver": ""}, "Alerts [gkzrpt]"),
        ({"test": True}, "[TEST] DiskFull [gkzrpt]"),
        ({"several_alertmanagers": True}, "main: DiskFull [gkzrpt]"),
    ],
)
def test_the_subject_is_made_of_what_the_group_is(values: dict[str, Any], subject: str) -> None:
    content = make_channel().render(make_notice(make_incident_view(**values)))
    assert parsed(content)["Subject"] == subject


def test_subject_and_title_may_be_given() -> None:
    channel = make_channel(subject="{{ severity.label | upper }} {{ words.name }}", title="Look: {{ words.name }}")
    content = channel.render(first())
    assert parsed(content)["Subject"] == "CRITICAL DiskFull"
    assert "Look: DiskFull" in content.files["message.txt"].decode()
    assert "Look: DiskFull</h1>" in content.files["message.html"].decode()


@pytest.mark.parametrize("subject", ["{{ 1 / 0 }}", "  ", "{{ nothing }}", "{% if %}"])
def test_a_failing_subject_falls_back(subject: str) -> None:
    assert parsed(make_channel(subject=subject).render(first()))["Subject"] == "DiskFull [gkzrpt]"


def test_the_preheader_counts() -> None:
    assert '<div class="preheader"' in html(grown())
    assert ">3 firing, 1 resolved</div>" in html(grown())


def test_styles_are_inlined_and_the_dark_ones_kept() -> None:
    page = html(first())
    assert "prefers-color-scheme: dark" in page
    assert '<h1 style="' in page
    assert "<link" not in page


def test_critical_is_important_and_silent_is_not() -> None:
    assert parsed(make_channel().render(first()))["Importance"] == "high"
    assert parsed(make_channel().render(make_notice(silent=True)))["Importance"] is None
    assert parsed(make_channel().render(over()))["Importance"] is None
    assert parsed(make_channel().render(over()))["X-Alert-State"] == "resolved"


def test_links_lead_to_alertmanager_runbook_and_dashboard() -> None:
    page = html(first())
    matchers = '{alertname="DiskFull", instance="db-3:9100", job="node", severity="critical"}'
    assert f"https://alerts.example.org/#/silences/new?filter={quote(matchers, safe='')}" in page
    assert 'href="https://runbooks.example.org/disk"' in page
    assert 'href="https://grafana.example.org/d/node"' in page


@pytest.mark.parametrize("address", ["javascript:alert(1)", "", "data:text/html,x", "//evil", "https://a b"])
def test_only_addresses_of_the_web_become_links(address: str) -> None:
    alert = make_alert_view(annotations={"runbook_url": address, "dashboard_url": address}, generator_url=address)
    page = html(make_notice(make_incident_view(alert, external_url=address)))
    assert "<a " not in page


def test_an_address_cannot_leave_its_attribute() -> None:
    alert = make_alert_view(annotations={"runbook_url": 'https://a"onclick="b'})
    assert 'onclick="' not in html(make_notice(make_incident_view(alert)))


def test_html_in_labels_is_shown_as_text() -> None:
    poison = "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;</td></table>"
    alert = make_alert_view(poison, labels={poison: poison}, annotations={"summary": poison})
    view = make_incident_view(
        alert, make_alert_view(), alertmanager=poison, receiver=poison, several_alertmanagers=True
    )
    page = html(make_notice(view), title="{{ alerts[0].name }}")
    harmless_page = html(make_notice(make_incident_view(make_alert_view(), make_alert_view("X"))))
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</table>") == harmless_page.count("</table>")


def test_times_are_local() -> None:
    assert "06:12" in text(first(), timezone="Europe/Moscow")
    assert "2025-11-21 06:12 Europe/Moscow" in text(first(), timezone="Europe/Moscow")


def test_two_mails_that_look_the_same_have_one_fingerprint() -> None:
    channel = make_channel()
    assert channel.render(first()).fingerprint == channel.render(first()).fingerprint
    assert channel.render(first()).fingerprint != channel.render(grown()).fingerprint


def test_nothing_is_attached_to_a_small_mail() -> None:
    content = make_channel().render(make_notice(make_incident_view(*many_alerts(50))))
    assert list(content.files) == ["message.txt", "message.html", "message.eml"]


def test_the_table_names_every_alert() -> None:
    content = make_channel().render(storm())
    rows = list(csv.DictReader(io.StringIO(content.files["alerts.csv"].decode("utf-8-sig"))))
    assert len(rows) == 120
    assert {row["labels"] for row in rows} == {f'instance="db-{number}:9100"' for number in range(120)}
    assert "70 more alerts are in the attached file alerts.csv" in content.files["message.txt"].decode()


def test_a_table_of_megabytes_is_compressed() -> None:
    alerts = many_alerts(8000)
    table = alerts_table(alerts, {})
    assert table.name == "alerts.csv.gz"
    assert gzip.decompress(table.content).decode("utf-8-sig").count("\n") == 8001
    assert table == alerts_table(alerts, {})


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://evil")'])
def test_a_cell_that_a_spreadsheet_would_run_is_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    alert = make_alert_view(cell, annotations={"summary": cell})
    table = alerts_table((alert,), {}).content.decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(table, newline="")))[1]
    assert not [one for one in cells if one.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


@given(st.text())
def test_any_text_is_one_line_in_a_header(value: str) -> None:
    shown = header_text(value)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 200
    mail = EmailMessage(policy=policy.SMTP)
    mail["Subject"] = shown
    assert b"\r\n" not in mail.as_bytes().replace(b"\r\n ", b" ").split(b"\r\n\r\n")[0].strip()


@pytest.fixture(scope="module")
def poisonable() -> EmailChannel:
    """Compiled once for all examples."""
    return make_channel(subject="{{ words.name }} {{ labels }}")


@settings(max_examples=60, deadline=None)  # the first one compiles the templates
@given(name=st.text(max_size=80), value=st.text(max_size=80), summary=st.text(max_size=200))
def test_any_label_makes_a_mail_with_the_same_headers(
    poisonable: EmailChannel, name: str, value: str, summary: str
) -> None:
    alert = make_alert_view(name, labels={"instance": value, "where": value}, annotations={"summary": summary})
    view = make_incident_view(alert, make_alert_view(), group_labels={"alertname": name, "where": value})
    message = parsed(poisonable.render(make_notice(view)))
    usual = parsed(poisonable.render(make_notice()))
    assert set(message.keys()) == set(usual.keys())
    assert message["To"] == usual["To"]
    assert not message.defects


@given(
    st.integers(-5, 1200), st.text(), st.sampled_from(["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"])
)
def test_any_reply_has_a_meaning_and_only_5yz_is_for_good(code: int, words: str, stage: Any) -> None:
    error = refusal(stage, Reply(code, words))
    assert error.detail.isprintable()
    assert len(error.detail) < 300
    if error.permanent:
        assert 500 <= code < 600


def test_russian_mails_speak_russian() -> None:
    told = text(grown(), language="ru")
    for english in ("Firing", "Resolved", "acked", "silenced", "Since", "New:"):
        assert english not in told


def test_a_template_of_the_user_goes_before_the_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "message.txt.j2").write_text("mine: {{ words.name }}")
    failed: list[str] = []
    renderer = Renderer(tmp_path, failed.append)
    assert "mine: DiskFull" in make_channel(renderer).render(first()).files["message.txt"].decode()
    (tmp_path / "email" / "subject.txt.j2").write_text("{{ 1 / 0 }}")
    content = make_channel(Renderer(tmp_path, failed.append)).render(first())
    assert parsed(content)["Subject"] == "DiskFull [gkzrpt]"
    assert failed == ["email"]


def test_what_is_no_longer_reported_is_not_called_resolved() -> None:
    ended: dict[str, Any] = {"ends_at": NOW, "resolved_rev": 2}
    view = make_incident_view(
        make_alert_view(labels={"instance": "db-1"}, state=AlertState.RESOLVED, **ended),
        make_alert_view(labels={"instance": "db-2"}, state=AlertState.UNREPORTED),
        closed_at=NOW,
    )
    notice = make_notice(view, changes=Changes(all_resolved=True, resolved=view.resolved[:1]))
    assert "No longer reported · after " in text(notice)
    assert "esolved after" not in text(notice)
    assert parsed(make_channel().render(notice))["X-Alert-State"] == "unreported"


def test_a_mail_says_how_long_it_lasted_and_not_how_long_the_relay_knew_of_it() -> None:
    """The line of the only alert, and the chats, count from its begin; the head of the mail must not say otherwise."""
    resolved = make_alert_view(state=AlertState.RESOLVED, resolved_rev=2)
    view = make_incident_view(resolved, opened_at=resolved.starts_at + 10 * MINUTE)
    notice = make_notice(view, changes=Changes(all_resolved=True, resolved=view.resolved))
    assert "Resolved after 35m" in text(notice)


def test_durations_of_the_past_are_told() -> None:
    assert "All resolved after 35m" in text(over())
    assert "Still firing, for 4h" in text(repeated())


def test_a_silence_is_told_with_the_time_when_the_first_alert_is_heard_again_if_that_is_known() -> None:
    def told(*until: int | None) -> str:
        alerts = (
            make_alert_view(labels={"instance": f"db-{at}"}, state=AlertState.SILENCED, silenced_until=at)
            for at in until
        )
        body = text(make_notice(make_incident_view(*alerts), changes=Changes(silenced=True)))
        return next(line for line in body.splitlines() if line.startswith("Silenced"))

    assert told(None) == "Silenced"
    assert told(NIGHT + 2 * HOUR, NIGHT + HOUR) == told(NIGHT + HOUR)
    assert told(NIGHT + HOUR).startswith("Silenced until ")
