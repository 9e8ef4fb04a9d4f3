"""The renderer: users' templates before the built-in ones, and no template that can cost an alert."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay.clock import HOUR
from relay.notification import AlertState, Changes, Kind, Notice
from relay.rendering import Renderer, builtin_templates
from relay.rendering.sandbox import BoundedEnvironment
from relay.rendering.scene import TEXT_LIMIT
from tests.factories import NIGHT, make_alert_view, make_incident_view, make_notice, many_alerts

UTC = ZoneInfo("UTC")
MESSAGE = "telegram/message.html.j2"
Override = Callable[..., "Overridden"]


class Overridden:
    """A renderer over a folder of users' templates, and the fallbacks that it counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fallbacks: list[str] = []
        self.renderer = Renderer(folder, self.fallbacks.append)

    def render(self, name: str = MESSAGE, notice: Notice | None = None, **values: Any) -> str:
        settings: dict[str, Any] = {"language": "en", "zone": UTC, "escape": "html"} | values
        return self.renderer.render(name, notice or make_notice(), **settings)


@pytest.fixture
def override(tmp_path: Path) -> Override:
    def write(source: str | bytes, name: str = MESSAGE) -> Overridden:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return Overridden(tmp_path)

    return write


def builtin(name: str = MESSAGE, notice: Notice | None = None, **values: Any) -> str:
    settings: dict[str, Any] = {"language": "en", "zone": UTC, "escape": "html"} | values
    return Renderer().render(name, notice or make_notice(), **settings)


def test_a_users_template_goes_before_the_built_in_one(override: Override) -> None:
    mine = override("{{ labels.alertname }} on {{ labels.instance }}")
    assert mine.render() == "DiskFull on db-3:9100"
    assert mine.fallbacks == []


@pytest.mark.parametrize(("name", "escape"), [(MESSAGE, "html"), ("telegram/list.txt.j2", "none")])
def test_a_prepared_template_is_not_compiled_when_an_alert_comes(
    monkeypatch: pytest.MonkeyPatch, name: str, escape: str
) -> None:
    def compile_again(*_: object, **__: object) -> None:
        raise AssertionError("compiled late")

    renderer, notice = Renderer(), make_notice()
    renderer.prepare({"telegram"})
    monkeypatch.setattr(BoundedEnvironment, "compile", compile_again)
    assert "DiskFull" in renderer.render(name, notice, language="en", zone=UTC, escape=escape)  # type: ignore[arg-type]  # one of them
    with pytest.raises(AssertionError, match="compiled late"):
        renderer.render("http/body.json.j2", notice, language="en", zone=UTC, escape="none")


@pytest.mark.parametrize("source", ["{% if %}", b"\xff"])
def test_a_users_template_that_cannot_be_prepared_waits_for_the_alert(override: Override, source: str | bytes) -> None:
    mine = override(source)
    mine.renderer.prepare({"telegram"})
    assert mine.fallbacks == []
    assert mine.render() == builtin()
    assert mine.fallbacks == ["telegram"]


def test_files_that_users_do_not_replace_stay_built_in(override: Override) -> None:
    mine = override("mine")
    assert mine.render("telegram/farewell.html.j2") == builtin("telegram/farewell.html.j2")
    assert mine.fallbacks == []


def test_a_users_template_can_change_one_block_of_the_built_in_one(override: Override) -> None:
    mine = override('{% extends "builtin/telegram/message.html.j2" %}{% block head %}mine{{ "\\n" }}{% endblock %}')
    assert mine.render() == "mine\n" + builtin().partition("\n")[2]
    assert mine.fallbacks == []


def test_a_users_piece_is_used_by_the_built_in_template(override: Override) -> None:
    source = (builtin_templates() / "telegram" / "parts.j2").read_text(encoding="utf-8")
    mine = override(source.replace("⏳", "LATE:"), "telegram/parts.j2")
    assert "LATE:" in mine.render(notice=make_notice(late=NIGHT))


BROKEN = {
    "syntax": "{{ labels.",
    "unknown tag": "{% nonsense %}",
    "unknown filter": "{{ labels|nonsense }}",
    "unknown test": "{{ labels is nonsense }}",
    "division": "{{ 1 / 0 }}",
    "call of nothing": "{{ nothing.at_all() }}",
    "wrong argument": "{{ now()|date }}",
    "unknown zone": "{{ now()|tz('Mars/Olympus') }}",
    "missing include": "{% include 'telegram/none.j2' %}",
    "extends itself": "{% extends 'telegram/message.html.j2' %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "change of a value": "{{ labels.update({'a': 'b'}) }}",
    "change of a list": "{% set x = [] %}{{ x.append(1) }}",
    "private attribute": "{{ notice.__class__.__mro__ }}{{ ''.__class__.__mro__.x.y() }}",
    "endless loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "endless macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "endless output": "{% for a in range(99999) %}{{ labels.alertname }} {{ labels.instance }}{% endfor %}",
    "doubled text": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "added text": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubled list": "{% set n = namespace(x=[1]) %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "repeated text": "{{ 'x' * 10**9 }}",
    "repeated list": "{{ [0] * 10**9 }}",
    "huge power": "{{ 10 ** 999999999 }}",
    "huge range": "{{ range(10**9)|length }}",
    "padding filter": "{{ 'x'|center(10**9) }}",
    "padding method": "{{ 'x'.ljust(10**9) }}",
    "padding format": "{{ '%1000000000d' % 1 }}",
    "padding format filter": "{{ '%1000000000d'|format(1) }}",
    "padding format method": "{{ '{:1000000000}'.format(1) }}",
    "padding format method by argument": "{{ '{:{w}}'.format(1, w=10**9) }}",
    "indent": "{{ 'x\ny'|indent(10**9) }}",
    "indented JSON": "{{ [1]|tojson(indent=10**9) }}",
    "replacement": "{% set a = 'a' * 9999 %}{{ a.replace('a', a) }}",
    "replacement filter": "{% set a = 'a' * 9999 %}{{ a|replace('a', a) }}",
    "no UTF-8": b"\xff\xfe\xff",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_template_that_fails_is_counted_and_the_built_in_one_is_shown(override: Override, case: str) -> None:
    mine = override(BROKEN[case])
    started = time.monotonic()
    assert mine.render() == builtin()
    assert mine.fallbacks == ["telegram"]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("case", [case for case, source in BROKEN.items() if isinstance(source, str)])
def test_a_short_template_of_the_config_that_fails_is_empty_and_counted(case: str) -> None:
    fallbacks: list[str] = []
    renderer = Renderer(on_fallback=fallbacks.append)
    source = str(BROKEN[case]).replace("extends 'telegram/message.html.j2'", "extends 'none'")
    assert renderer.render_inline(source, make_notice(), language="en", zone=UTC) == ""
    assert fallbacks == ["inline"]


def test_a_severity_is_shown_by_its_name() -> None:
    source, notice = "{{ severity }} {{ severity ~ '' }} {{ (alerts|first).severity }}", make_notice()
    shown = Renderer().render_inline(source, notice, language="en", zone=UTC)
    assert set(shown.split()) == {notice.view.severity.label}


def test_a_broken_piece_of_a_user_does_not_break_the_fallback(override: Override) -> None:
    mine = override("{% macro listed(alert) %}{{ alert|nonsense }}", "telegram/parts.j2")
    assert mine.render() == builtin()
    assert mine.fallbacks == ["telegram"]


def test_what_fails_for_one_alert_only_falls_back_for_that_one(override: Override) -> None:
    mine = override("{{ 1 // labels.instance|length }}")
    poor = make_notice(make_incident_view(make_alert_view(labels={"instance": None})))
    assert mine.render() == "0"
    assert mine.render(notice=poor) == builtin(notice=poor)
    assert mine.render() == "0"
    assert mine.fallbacks == ["telegram"]


def test_missing_names_are_empty_texts(override: Override) -> None:
    mine = override(
        "[{{ nothing }}{{ labels.none.deeper }}{{ options.x }}{{ alerts[99].labels.x }}{{ labels['a b'] }}]"
    )
    assert mine.render() == "[]"
    assert mine.fallbacks == []


def test_a_format_string_cannot_look_inside_of_values(override: Override) -> None:
    assert override("[{{ '{0.__class__}'.format(notice) }}{{ notice.__class__ }}]").render() == "[]"


def test_a_missing_built_in_template_is_our_own_mistake_and_raises() -> None:
    with pytest.raises(LookupError, match=r"telegram/none\.j2"):
        Renderer().render("telegram/none.j2", make_notice(), language="en", zone=UTC, escape="none")


def test_large_incidents_may_have_large_texts(override: Override) -> None:
    mine = override("{% for alert in alerts %}{{ alert.annotations.text }}{% endfor %}")
    large = tuple(make_alert_view(labels={"n": str(n)}, annotations={"text": "x" * 1500}) for n in range(1000))
    assert len(mine.render(notice=make_notice(make_incident_view(*large)))) == 1_500_000 > TEXT_LIMIT
    assert mine.fallbacks == []


def test_once_there_is_enough_of_a_text_the_rest_is_not_rendered(override: Override) -> None:
    mine = override("{% for alert in alerts %}{{ alert.code }}\n{% endfor %}{{ 1 // 0 }}")
    notice = make_notice(make_incident_view(*many_alerts(50)))
    text = mine.render(notice=notice, enough=100)
    whole = "".join(f"{alert.code}\n" for alert in notice.view.alerts)
    assert whole.startswith(text)
    assert 100 <= len(text) < len(whole)
    assert mine.fallbacks == []


@pytest.mark.parametrize(
    ("escape", "expected"),
    [
        ("html", "&lt;a&gt; &amp; &#34;b&#34; &#39;c&#39; &amp;#34;"),
        ("mrkdwn", "&lt;a&gt; &amp; \"b\" 'c' &amp;#34;"),
        ("none", "<a> & \"b\" 'c' &#34;"),
    ],
)
def test_values_are_escaped_for_their_platform(override: Override, escape: str, expected: str) -> None:
    notice = make_notice(make_incident_view(make_alert_view(labels={"x": "<a> & \"b\" 'c' &#34;"})))
    assert override("{{ labels.x }}").render(notice=notice, escape=escape) == expected


@pytest.mark.parametrize("escape", ["html", "mrkdwn"])
def test_values_inside_of_translated_texts_are_escaped_too(override: Override, escape: str) -> None:
    mine = override(
        '{{ _("Acked by %(name)s", name="<b>") }} {% trans n=2 %}{{ n }} firing{% pluralize %}{{ n }} firing{% endtrans %}'
    )
    assert mine.render(escape=escape).startswith("Acked by &lt;b&gt; 2")


def test_json_templates_can_write_any_value(override: Override) -> None:
    mine = override('{"x": {{ labels.x|tojson }}}', "http/body.json.j2")
    notice = make_notice(make_incident_view(make_alert_view(labels={"x": 'a"\n\\'})))
    assert mine.render("http/body.json.j2", notice, escape="none") == '{"x": "a\\"\\n\\\\"}'


def test_a_placeholder_in_a_label_is_shown_as_it_is(override: Override) -> None:
    notice = make_notice(make_incident_view(make_alert_view(labels={"x": "{{ 7 * 7 }} %s %(name)s"}, acked_by="%s {}")))
    shown = override('{{ labels.x }} {{ _("Acked by %(name)s", name=alerts[0].acked_by) }}').render(notice=notice)
    assert shown == "{{ 7 * 7 }} %s %(name)s Acked by %s {}"


def test_an_unknown_language_is_english() -> None:
    assert builtin(language="tlh") == builtin(language="en")


def test_the_language_of_annotations_is_preferred() -> None:
    alert = make_alert_view(annotations={"summary": "full", "summary_ru": "полон"})
    notice = make_notice(make_incident_view(alert))
    assert "полон" in builtin(notice=notice, language="ru")
    assert "full" in builtin(notice=notice, language="en")
    message = make_notice(make_incident_view(make_alert_view(annotations={"summary": None, "message": "old style"})))
    assert "old style" in builtin(notice=message, language="ru")


def test_threads_do_not_see_each_others_scene() -> None:
    renderer = Renderer()
    zones = ("UTC", "Europe/Moscow", "Asia/Tokyo", "America/New_York")
    source = "{{ alerts[0].starts_at|at }} {{ alerts[0].labels.instance }} {{ 3600000|duration }}"

    def one(number: int) -> tuple[str, str]:
        zone, language = zones[number % 4], ("en", "ru")[number % 2]
        view = make_incident_view(make_alert_view(labels={"instance": str(number)}, starts_at=NIGHT + number * HOUR))
        notice = make_notice(view, now=NIGHT + number * HOUR)
        shown = renderer.render_inline(source, notice, language=language, zone=ZoneInfo(zone))
        alone = Renderer().render_inline(source, notice, language=language, zone=ZoneInfo(zone))
        return shown, alone

    with ThreadPoolExecutor(8) as pool:
        for shown, alone in pool.map(one, range(64)):
            assert shown == alone


def test_the_list_of_five_thousand_alerts_names_each_and_is_quick() -> None:
    notice = make_notice(make_incident_view(*many_alerts(5000)), Kind.ATTACH)
    renderer = Renderer()
    started = time.process_time()
    text = renderer.render("telegram/list.txt.j2", notice, language="ru", zone=UTC, escape="none")
    assert time.process_time() - started < 3  # 0.4 s on a machine of 2024
    assert all(f"instance=db-{number}:9100 " in text for number in range(5000))


def test_a_state_of_part_of_the_alerts_is_never_told_of_all() -> None:
    alerts = (make_alert_view(), make_alert_view(labels={"instance": "x"}, state=AlertState.RESOLVED))
    shown = builtin(notice=make_notice(make_incident_view(*alerts)))
    assert "🟢" not in shown
    assert "1 firing, 1 resolved" in shown
    unknown = (
        make_alert_view(state=AlertState.RESOLVED),
        make_alert_view(labels={"instance": "x"}, state=AlertState.UNREPORTED),
    )
    assert "🟢" not in builtin(notice=make_notice(make_incident_view(*unknown)))
    hidden = make_incident_view(make_alert_view(state=AlertState.RESOLVED), truncated=3)
    assert "🟢" not in builtin(notice=make_notice(hidden)).partition("\n")[0]


# what `relay check` says


def test_check_finds_nothing_wrong_with_copies_of_all_built_in_templates(tmp_path: Path) -> None:
    for path in builtin_templates().rglob("*.j2"):
        copy = tmp_path / path.relative_to(builtin_templates())
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert Overridden(tmp_path).renderer.check() == []


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("one\n{{ labels.", 2, "expected name"),
        ("one\n\n{{ labels|nonsense }}", 3, "No filter named 'nonsense'"),
        ("one\n\n\n{{ 1 // 0 }}", 4, "ZeroDivisionError"),
        ("{% for alert in resolved %}\n{{ alert.ends_at - missing }}{% endfor %}", 2, "UndefinedError"),
        ("{% include 'telegram/none.j2' %}", 1, "telegram/none.j2"),
        (b"\xff", 1, "cannot be read"),
    ],
)
def test_check_names_file_and_line(override: Override, source: str | bytes, line: int, reason: str) -> None:
    mine = override(source)
    (problem,) = mine.renderer.check()
    assert problem.startswith(f"{mine.folder / MESSAGE}:{line}: ")
    assert reason in problem
    assert mine.fallbacks == []


def test_check_finds_a_file_that_replaces_nothing(override: Override) -> None:
    mine = override("x", "telegram/mesage.html.j2")
    (problem,) = mine.renderer.check()
    assert problem.startswith(f"{mine.folder / 'telegram' / 'mesage.html.j2'}:1: replaces no built-in template")
    assert MESSAGE in problem


def test_check_accepts_pieces_that_users_include(override: Override) -> None:
    override("{% include 'mine/piece.j2' %}")
    mine = override("piece", "mine/piece.j2")
    assert mine.renderer.check() == []
    assert mine.render() == "piece"


def test_without_users_templates_there_is_nothing_to_check() -> None:
    assert Renderer().check() == []


def test_short_templates_of_the_config_can_be_checked() -> None:
    assert Renderer().check_inline("{{ words.name }}: {{ now()|date('15:04') }}") == ""
    assert "nonsense" in Renderer().check_inline("{{ words.name|nonsense }}")
    assert Renderer().check_inline("{{ label.x }}") == "there is no name 'label'; did you mean labels"
    assert (
        Renderer().check_inline("{% for one in alerts %}{{ one.name }}{% set x = 1 %}{{ x }}{{ _('a') }}{% endfor %}")
        == ""
    )


@pytest.mark.parametrize("name", ["", "  ", "\x18", "\n\t"])
def test_a_name_that_cannot_be_seen_is_no_name(name: str) -> None:
    alert = make_alert_view(name)
    notice = make_notice(make_incident_view(alert), Kind.REPLY, changes=Changes(fired=(alert,)))
    for template in (MESSAGE, "telegram/reply.html.j2", "telegram/farewell.html.j2"):
        assert "Alert without a name" in builtin(template, notice)
