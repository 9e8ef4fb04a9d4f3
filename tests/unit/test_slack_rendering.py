"""What Slack messages look like, and that every one keeps Slack's limits, whatever the alerts or a user's template say."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.channels.slack.blocks import MAX_TOTAL, parse_blocks
from relay.channels.slack.composer import Composer
from relay.channels.slack.content import SlackContent
from relay.channels.slack.markup import Dialect, cut_mrkdwn, escape, shorten, units, web_address, weight
from relay.channels.slack_options import SlackOptions
from relay.clock import HOUR
from relay.demo import slack_rules as rules
from relay.notification import AlertState, AlertView, Changes, Kind, Notice
from relay.rendering import Renderer
from tests.factories import NIGHT, NOW, make_alert_view, make_incident_view, make_notice, many_alerts

GOLDEN = Path(__file__).parent.parent / "golden" / "slack"
UTC = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def compose(renderer: Renderer, notice: Notice, **options: Any) -> SlackContent:
    settings = SlackOptions.model_validate({"type": "slack", "channel": "#alerts", **options})
    return Composer(renderer, settings).compose(notice)


def shown(content: SlackContent) -> str:
    return rules.shown(content.message)


def mixed() -> tuple[AlertView, ...]:
    return (
        make_alert_view(acked_by="anna", ack_note="looking at it"),
        make_alert_view(labels={"instance": "db-4", "severity": "warning"}, state=AlertState.SILENCED),
        make_alert_view(labels={"instance": "db-5"}, state=AlertState.INHIBITED, flapping=True),
        make_alert_view(labels={"instance": "db-6"}, state=AlertState.RESOLVED),
    )


def reply(**changes: Any) -> Notice:
    return make_notice(make_incident_view(*mixed()), Kind.REPLY, changes=Changes(**changes))


def resolved(**values: Any) -> AlertView:
    return make_alert_view(state=AlertState.RESOLVED, **values)


CASES: dict[str, Callable[[], Notice]] = {
    "message.single": make_notice,
    "message.single_resolved": lambda: make_notice(make_incident_view(resolved()), Kind.EDIT, now=NIGHT + HOUR),
    "message.single_unreported": lambda: make_notice(
        make_incident_view(make_alert_view(state=AlertState.UNREPORTED, ends_at=NOW)), Kind.EDIT
    ),
    "message.mixed": lambda: make_notice(make_incident_view(*mixed()), Kind.EDIT),
    "message.many_truncated": lambda: make_notice(make_incident_view(*many_alerts(47), truncated=7)),
    "message.late_test": lambda: make_notice(make_incident_view(test=True), late=NIGHT),
    "message.webhook_again": lambda: make_notice(
        make_incident_view(*mixed()), remote={"webhook": True}, changes=Changes(fired=mixed()[:1], acked=True)
    ),
    "message.plain": lambda: make_notice(plain=True),
    "reply.new": lambda: reply(fired=mixed()[:1]),
    "reply.new_several": lambda: reply(fired=many_alerts(9)),
    "reply.raised_and_silenced": lambda: reply(raised=mixed()[:1], silenced=True),
    "reply.all_resolved": lambda: make_notice(
        make_incident_view(resolved()), Kind.REPLY, changes=Changes(resolved=(resolved(),), all_resolved=True)
    ),
    "reply.repeat": lambda: reply(repeat=True),
    "farewell.any": lambda: make_notice(replace(make_incident_view(), alerts=()), Kind.FAREWELL),
}


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("case", CASES)
def test_the_message_is_the_golden_one(renderer: Renderer, case: str, language: str) -> None:
    content = compose(renderer, CASES[case](), language=language)
    text = content.files["message.json"].decode()
    golden = GOLDEN / f"{case}.{language}.json"
    if os.environ.get("GOLDEN_UPDATE"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert rules.block_problems(content.message["blocks"]) == []


def test_no_golden_message_is_left_over() -> None:
    expected = {f"{case}.{language}.json" for case in CASES for language in ("en", "ru")}
    assert {path.name for path in GOLDEN.iterdir()} == expected


# what is said where


def test_a_message_says_first_what_matters_most(renderer: Renderer) -> None:
    text = shown(compose(renderer, make_notice(make_incident_view(*mixed()))))
    order = [
        "🔴 Critical: DiskFull",
        "97 % full",
        "3 firing, 1 resolved",
        "db-3:9100",
        "acked by anna",
        "silenced until",
    ]
    places = [text.index(piece) for piece in [*order, "gkzrpt", "job=node"]]
    assert places == sorted(places)


def test_each_reader_sees_local_times_and_the_fallback_has_the_channels_zone(renderer: Renderer) -> None:
    content = compose(renderer, make_notice(), timezone="Europe/Moscow")
    (state,) = (block for block in content.blocks if "Firing since" in str(block))
    assert f"<!date^{NIGHT // 1000}^{{date_short_pretty}} {{time}}|2025-11-21 06:12 MSK>" in state["text"]["text"]
    assert "2025-11-21 06:12 MSK" in content.text


def test_the_title_of_the_config_is_the_headline_behind_the_mark_and_is_text(renderer: Renderer) -> None:
    content = compose(renderer, make_notice(), title="Night: {{ words.name }} <!here> & *co*\n# x")
    assert content.blocks[0]["text"]["text"] == "🔴 Night: DiskFull <!here> & *co* # x"
    assert content.text.startswith("🔴 Night: DiskFull &lt;!here&gt; &amp; *co*")
    assert rules.mentions(content.message) == []
    broken = compose(renderer, make_notice(), title="{{ 1 / 0 }}")
    assert broken.blocks[0]["text"]["text"].startswith("🔴 Critical: DiskFull")


def test_an_answer_calls_the_incident_by_the_title_of_the_config(renderer: Renderer) -> None:
    over = CASES["reply.all_resolved"]()
    assert "all resolved: *Night: DiskFull* · after" in shown(compose(renderer, over, title="Night: {{ words.name }}"))
    assert "1 of 3 acked: *Night: DiskFull*" in shown(compose(renderer, reply(repeat=True), title="Night: DiskFull"))


def test_links_are_buttons_and_what_is_no_link_is_left_out(renderer: Renderer) -> None:
    notes = {"runbook_url": "javascript:alert(1)", "dashboard_url": "https://graphs.example/d?a=1&b=2"}
    view = make_incident_view(make_alert_view(annotations=notes, generator_url="not a link"))
    (actions,) = (block for block in compose(renderer, make_notice(view)).blocks if block["type"] == "actions")
    assert [(one["text"]["text"], one["url"]) for one in actions["elements"]] == [("Dashboard", notes["dashboard_url"])]
    assert "actions" not in str(compose(renderer, make_notice(view, plain=True)).blocks)


def test_a_silent_message_calls_nobody_even_if_the_template_does(tmp_path: Path) -> None:
    (tmp_path / "slack").mkdir()
    source = "# {{ words.name }}\n<!here> <!subteam^S1|ops> <@U1> look: {{ words.summary }}"
    (tmp_path / "slack" / "message.mrkdwn.j2").write_text(source)
    calling = Renderer(tmp_path)
    assert rules.mentions(compose(calling, make_notice()).message) == ["!here", "@U1", "!here", "@U1"]
    silent = compose(calling, make_notice(silent=True))
    assert rules.mentions(silent.message) == []
    assert "@here" in silent.text


def test_a_users_template_that_shows_nothing_falls_back_to_the_built_in_one(tmp_path: Path, renderer: Renderer) -> None:
    (tmp_path / "slack").mkdir()
    (tmp_path / "slack" / "message.mrkdwn.j2").write_text("  \n{# nothing #}\n#\n^\n--\n")
    assert compose(Renderer(tmp_path), make_notice()).message == compose(renderer, make_notice()).message


def test_a_users_template_that_fails_falls_back_and_is_counted(tmp_path: Path, renderer: Renderer) -> None:
    (tmp_path / "slack").mkdir()
    (tmp_path / "slack" / "message.mrkdwn.j2").write_text("{{ 1 / 0 }}")
    fallen: list[str] = []
    assert compose(Renderer(tmp_path, fallen.append), make_notice()).message == compose(renderer, make_notice()).message
    assert fallen == ["slack"]


def test_the_same_state_looks_the_same_later_and_another_state_does_not(renderer: Renderer) -> None:
    first = compose(renderer, make_notice(kind=Kind.EDIT))
    later = compose(renderer, make_notice(kind=Kind.EDIT, now=NOW + 5 * HOUR, remote={"channel": "C1", "ts": "1.1"}))
    acked = compose(renderer, make_notice(make_incident_view(make_alert_view(acked_by="anna")), Kind.EDIT))
    assert first.fingerprint == later.fingerprint != acked.fingerprint


@pytest.mark.parametrize("kind", list(Kind))
def test_five_thousand_alerts_render_within_a_second(renderer: Renderer, kind: Kind) -> None:
    view = make_incident_view(*many_alerts(5000))
    notice = make_notice(view, kind, changes=Changes(fired=view.alerts))
    compose(renderer, make_notice(kind=kind))
    times = []
    for _ in range(3):
        began = time.process_time()
        content = compose(renderer, notice)
        times.append(time.process_time() - began)
    assert min(times) < 1.0
    if kind is Kind.ATTACH:
        assert all(f"instance=db-{number}:9100 " in content.document.decode() for number in range(5000))
    else:
        assert str(content.blocks).count("is full") <= 10


# limits

anything = st.text(max_size=300) | st.text('&<>"\\*_~`😀|^[]()#-\n ', max_size=8000)


@given(st.lists(anything, max_size=70), st.booleans(), st.booleans())
def test_whatever_a_template_renders_slack_takes_the_blocks(lines: list[str], buttons: bool, broadcast: bool) -> None:
    rendered = "\n".join(line.replace("\0", "").encode(errors="replace").decode() for line in lines)
    blocks = parse_blocks(escape(rendered), headline="", buttons=buttons, broadcast=broadcast)
    assert rules.block_problems(blocks) == []
    assert rules.total(blocks) <= MAX_TOTAL
    assert [problem for text in rules.mrkdwn_texts(blocks) for problem in rules.markup_problems(text)] == []


def test_link_buttons_survive_a_message_that_is_too_long() -> None:
    rendered = "\n--\n".join(["x" * 2900] * 20) + "\n[Runbook](https://a.example/b)\n^ small"
    blocks = parse_blocks(rendered)
    kinds = [block["type"] for block in blocks]
    assert (kinds[:3], kinds.count("actions")) == (["section"] * 3, 1)
    assert rules.total(blocks) <= MAX_TOTAL


def test_a_template_may_use_every_kind_of_line() -> None:
    rendered = (
        "# a &amp; b\n\none\ntwo\n--\nthree\n---\n^ small\n^ print\n[Go &lt;on&gt;](https://a.example/?b&amp;c)\n[x](y)"
    )
    kinds = [block["type"] for block in parse_blocks(rendered)]
    assert kinds == ["header", "section", "section", "divider", "context", "actions"]
    header, first, _, _, context, actions = parse_blocks(rendered)
    assert header["text"]["text"] == "a & b"
    assert first["text"]["text"] == "one\ntwo"
    assert [element["text"] for element in context["elements"]] == ["small", "print"]
    assert [(one["text"]["text"], one["url"]) for one in actions["elements"]] == [("Go <on>", "https://a.example/?b&c")]


@given(anything, st.integers(2, 400))
def test_a_shortened_value_weighs_no_more_than_allowed(value: str, limit: int) -> None:
    text = Dialect(UTC).text(value, limit)
    assert weight(text) <= limit
    assert units(shorten(value, limit)) <= limit
    assert rules.markup_problems(text) == []


@given(anything, st.integers(2, 400))
def test_a_cut_never_breaks_an_entity_or_a_date(value: str, limit: int) -> None:
    marked = escape(value) + str(Dialect(UTC).when(NIGHT)) + escape(value)
    kept = cut_mrkdwn(marked, limit)
    assert units(kept) <= limit
    assert rules.markup_problems(kept) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("*bold* _it_ ~no~ `x`", "∗bold∗ ˍitˍ ∼no∼ ˋxˋ"),
        ("node_exporter 5*3 a~b", "node_exporter 5*3 a~b"),
        ("<!channel> & co", "&lt;!channel&gt; &amp; co"),
        ("a\n\tb\u202e\x00", "a b"),
        ("\ud800", "\ufffd"),
    ],
)
def test_a_value_neither_formats_nor_calls_anyone(value: str, text: str) -> None:
    assert Dialect(UTC).text(value) == text


def test_code_is_exact_but_for_backticks() -> None:
    assert Dialect(UTC).code("*_a_* `b`") == "`*_a_* ˋbˋ`"
    assert Dialect(UTC).code("") == ""


@pytest.mark.parametrize("at", [None, "", "soon"])
def test_no_time_is_no_text(at: object) -> None:
    assert Dialect(UTC).when(at) == ""


@pytest.mark.parametrize("at", [0, -(10**18), 10**18])
def test_times_at_the_ends_of_the_calendar_are_shown(at: int) -> None:
    assert rules.markup_problems(Dialect(ZoneInfo("Asia/Tokyo")).when(at)) == []


@pytest.mark.parametrize(
    "url", ["", "ftp://a/", "javascript:x", "http://", "https://a b/", 'https://a/"', "https://a/<b>"]
)
def test_what_is_no_web_address_is_no_link(url: str) -> None:
    assert web_address(url) is None
    assert Dialect(UTC).link("text", url) == "text"
    assert Dialect(UTC).button("text", url) == ""


def test_a_link_cannot_be_broken_out_of() -> None:
    link = Dialect(UTC).link("a > b | <c>", "https://a.example/?x|y&z")
    assert link == "<https://a.example/?x%7Cy&amp;z|a &gt; b | &lt;c&gt;>"


def test_files_for_people_are_json_or_the_document(renderer: Renderer) -> None:
    message = json.loads(compose(renderer, make_notice()).files["message.json"])
    assert set(message) == {"text", "blocks"}
    assert list(compose(renderer, make_notice(kind=Kind.ATTACH)).files) == ["alerts-gkzrpt.txt"]
