"""Filters and functions of templates: Alertmanager's with Go's results, and the natural ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay.clock import DAY, HOUR, MINUTE, SECOND
from relay.notification import Notice
from relay.rendering import Renderer
from relay.rendering.filters import natural_filters
from relay.rendering.gofunctions import GoDuration, go_filters, go_globals
from relay.rendering.gotime import format_go_time
from relay.rendering.scene import Stage
from relay.rendering.words import Words
from relay.text import utf16_len
from tests.factories import NIGHT, NOW, make_alert_view, make_incident_view, make_notice, many_alerts

ROOT = Path(__file__).parent.parent.parent
MOSCOW = ZoneInfo("Europe/Moscow")
NO_BREAK = "\u00a0"
"""Between a number and its unit in Russian: no line ends there. `~` in what is expected below."""


class Shown:
    """Renders a short template; a failure fails the test."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._renderer = Renderer(on_fallback=self.failures.append)

    def __call__(self, source: str, notice: Notice | None = None, **values: Any) -> str:
        settings: dict[str, Any] = {"language": "en", "zone": MOSCOW, "escape": "none"} | values
        text = self._renderer.render_inline(source, notice or make_notice(), **settings)
        assert not self.failures, source
        return text


@pytest.fixture
def shown() -> Shown:
    return Shown()


def labelled(**labels: str) -> Notice:
    return make_notice(make_incident_view(make_alert_view(labels=labels)))


# What `amtool template render` of Alertmanager 0.25 prints for the same input.
AMTOOL = [
    ("toUpper", "straße ǆ ŉ İΣ", "STRAßE Ǆ ŉ İΣ"),
    ("toLower", "STRAßE İ ΑΣ Ǆ", "straße i ασ ǆ"),
    ("title", "o'NEIL foo-bar foo_bar foo.bar foo:bar", "O'neil Foo-Bar Foo_bar Foo.bar Foo:bar"),
    ("title", "2nd 1a2b ßeta ПРИВЕТ мир (x) a/b don’t", "2Nd 1A2b Sseta Привет Мир (X) A/B Don’t"),
    ("title", "ΑΣ e.g. 3.x _x x1y ǆ a·b", "Ας E.g. 3.X _X X1y ǅ A·b"),
    ("reReplaceAll('x*', '-')", "abxd", "-a-b-d-"),
    ("reReplaceAll('(a)(b)?', '$1x|${1}x|$2|$$|$9|$|${')", "ab a", "|ax|b|$||$|${ |ax||$||$|${"),
    ("reReplaceAll('(?P<n>é+)', '<$n>')", "xéé é", "x<éé> <é>"),
    ("match('b')", "abc", "True"),
    ("match('^b')", "abc", "False"),
]


@pytest.mark.parametrize(("function", "value", "expected"), AMTOOL, ids=[f"{row[0]}-{row[1]}" for row in AMTOOL])
def test_functions_give_what_alertmanager_gives(shown: Shown, function: str, value: str, expected: str) -> None:
    assert shown(f"{{{{ labels.x|{function} }}}}", labelled(x=value)) == expected


def test_a_pattern_that_re2_refuses_fails_the_template_and_not_the_message() -> None:
    failures: list[str] = []
    renderer = Renderer(on_fallback=failures.append)
    text = renderer.render_inline("{{ 'x'|match('(?=x)') }}", make_notice(), language="en", zone=MOSCOW)
    assert (text, failures) == ("", ["inline"])


def test_trim_space_takes_unicode_blanks_but_no_zero_width_ones(shown: Shown) -> None:
    assert shown("[{{ labels.x|trimSpace }}]", labelled(x=" \u00a0x\u2003\u200b \u3000")) == "[x\u2003\u200b]"


GO_LAYOUTS = [
    ("2006-01-02 15:04:05", "2026-11-21 03:04:05"),
    ("Mon Jan _2 15:04:05.000 2006", "Sat Nov 21 03:04:05.120 2026"),
    ("Monday, January 2", "Saturday, November 21"),
    ("03:04PM 3:04pm 1/2/06", "03:04AM 3:04am 11/21/26"),
    ("MST -0700 -07:00 -07 Z07:00", "IST +0530 +05:30 +05 +05:30"),
    ("15:04:05.999999 .999", "03:04:05.12 .12"),
    ("002 __2 _2006", "325 325 _2026"),
    ("January Janet Month 5", "November Janet Month 5"),
]


@pytest.mark.parametrize(("layout", "expected"), GO_LAYOUTS)
def test_times_follow_go_layouts(layout: str, expected: str) -> None:
    moment = datetime(2026, 11, 21, 3, 4, 5, 120_000, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert format_go_time(moment, layout) == expected


def test_go_layouts_at_utc_and_in_the_west() -> None:
    moment = datetime(2026, 1, 2, 13, 0, tzinfo=UTC)
    assert format_go_time(moment, "Z07:00 Z0700 -0700 _2 3PM .000") == "Z Z +0000  2 1PM .000"
    assert format_go_time(moment.astimezone(ZoneInfo("America/St_Johns")), "-07:00") == "-03:30"


def test_dates_are_local_unless_a_zone_is_named(shown: Shown) -> None:
    assert shown("{{ alerts[0].starts_at|date('15:04') }}") == "06:12"
    assert shown("{{ alerts[0].starts_at|tz('America/New_York')|date('Jan 2 15:04 MST') }}") == "Nov 20 22:12 EST"
    assert shown("{{ alerts[0].starts_at|strftime }}") == "2025-11-21 06:12"
    assert shown("{{ alerts[0].starts_at|strftime('%H:%M %Z', 'UTC') }}") == "03:12 UTC"


def test_a_time_that_is_missing_is_an_empty_text(shown: Shown) -> None:
    uses = ("t|date('15')", "t|at", "t|ago", "t|strftime", "t|since", "t|tz('UTC')", "t|duration")
    source = "{% set t = alerts[0].ends_at %}" + "".join(f"{{{{ {use} }}}}" for use in uses)
    assert shown(source) == ""


@pytest.mark.parametrize("moment", [-(10**18), 0, 10**18, -62_135_596_800_000, 253_402_300_799_000])
def test_no_moment_is_too_far_away_for_a_time(shown: Shown, moment: int) -> None:
    assert shown(f"{{{{ {moment}|at }}}} {{{{ {moment}|date('2006') }}}} {{{{ {moment}|ago }}}}")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (59.999, "60s"),
        (0.0015, "1.5ms"),
        (61, "1m 1s"),
        (93_784, "1d 2h 3m 4s"),
        (-3700, "-1h 1m 40s"),
        (1e-7, "100ns"),
        ("7260", "2h 1m 0s"),
        ("inf", "inf"),
        ("soon", "soon"),
    ],
)
def test_humanize_duration_writes_what_prometheus_writes(shown: Shown, seconds: float | str, expected: str) -> None:
    assert shown(f"{{{{ ({seconds!r})|humanizeDuration }}}}") == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (0.0015, "1.5ms"),
        (0.0000025, "2.5µs"),
        (180, "3m0s"),
        (3723.5, "1h2m3.5s"),
        (-5, "-5s"),
        (3600, "1h0m0s"),
    ],
)
def test_since_prints_as_a_go_duration(seconds: float, expected: str) -> None:
    assert str(GoDuration(seconds)) == expected


def test_since_counts_to_the_moment_of_the_notice(shown: Shown) -> None:
    assert shown("{{ alerts[0].starts_at|since }} {{ alerts[0].starts_at|since|humanizeDuration }}") == "3m0s 3m 0s"
    assert shown("{{ now() - alerts[0].starts_at }}") == str(3 * MINUTE)


def test_collections_as_alertmanager_makes_them(shown: Shown) -> None:
    assert shown("{{ dict('a', 1, 'b', 2)|toJson }} {{ dict(a=1)|toJson }}") == '{"a":1,"b":2} {"a":1}'
    assert shown("{{ append(list(1, 2), 3)|toJson }} {{ stringSlice('a', 2)|join(',') }}") == "[1,2,3] a,2"
    assert shown("{{ labels|toJson }}", labelled(x="<&>\u2028é")).endswith('"x":"\\u003c\\u0026\\u003e\\u2028é"}')


def test_texts_that_are_declared_safe_are_not_escaped(shown: Shown) -> None:
    notice = labelled(x="<b>")
    assert shown("{{ labels.x }} {{ labels.x|safeHtml }}", notice, escape="html") == "&lt;b&gt; <b>"
    assert shown("{{ labels.x|safeUrl }}", notice, escape="html") == "&lt;b&gt;"
    assert shown("{{ 'a%20b+c'|urlUnescape }}") == "a b c"


@pytest.mark.parametrize(
    ("length", "english", "russian"),
    [
        (0, "0s", "0~с"),
        (-5, "0s", "0~с"),
        (45 * SECOND, "45s", "45~с"),
        (35 * MINUTE, "35m", "35~мин"),
        (90 * MINUTE, "1h 30m", "1~ч 30~мин"),
        (DAY + 5 * SECOND, "1d", "1~д"),
        (3 * DAY + 2 * HOUR + 59 * MINUTE, "3d 2h", "3~д 2~ч"),
    ],
)
def test_durations_speak_the_language(shown: Shown, length: int, english: str, russian: str) -> None:
    assert shown(f"{{{{ ({length})|duration }}}}") == english
    assert shown(f"{{{{ ({length})|duration }}}}", language="ru") == russian.replace("~", NO_BREAK)


@pytest.mark.parametrize(
    ("moment", "english", "russian"),
    [
        (NIGHT, "06:12", "06:12"),
        (NIGHT - DAY, "20 Nov 06:12", "20 ноя 06:12"),
        (NIGHT + 18 * HOUR, "22 Nov 00:12", "22 ноя 00:12"),
        (NIGHT - 200 * DAY, "5 May 06:12", "5 мая 06:12"),
        (NIGHT - 365 * DAY, "21 Nov 2024 06:12", "21 ноя 2024 06:12"),
    ],
)
def test_a_time_has_its_date_unless_that_is_today(shown: Shown, moment: int, english: str, russian: str) -> None:
    assert shown(f"{{{{ {moment}|at }}}}") == english
    assert shown(f"{{{{ {moment}|at }}}}", language="ru") == russian


def test_ago_is_relative_to_the_notice(shown: Shown) -> None:
    assert shown(f"{{{{ {NOW - 90 * MINUTE}|ago }}}}") == "1h 30m ago"
    assert shown(f"{{{{ {NOW - 90 * MINUTE}|ago }}}}", language="ru") == f"1{NO_BREAK}ч 30{NO_BREAK}мин назад"
    assert shown(f"{{{{ {NOW + HOUR}|ago }}}}") == "just now"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1_234_567, "1.235M"), (0.00123, "1.23m"), (0, "0"), (-5000, "-5k"), ("many", "many"), (999, "999")],
)
def test_humanize_uses_si_prefixes(shown: Shown, value: object, expected: str) -> None:
    assert shown(f"{{{{ ({value!r})|humanize }}}}") == expected


def test_pairs_come_sorted_and_can_be_left_out(shown: Shown) -> None:
    assert shown("{{ labels|sorted_pairs|map('first')|join(' ') }}") == "alertname instance job severity"
    assert shown("{{ labels|without('job', 'severity')|sorted_pairs|map('last')|join(' ') }}") == "DiskFull db-3:9100"
    assert shown("{{ labels|sorted_pairs|without(['job', 'instance'])|length }}") == "2"
    assert shown("{{ missing|sorted_pairs|length }}{{ missing|without('x')|length }}") == "00"


def test_a_link_needs_an_address_of_the_web(shown: Shown) -> None:
    good = shown("{{ '<x>'|link(labels.x) }}", labelled(x='https://e.org/?a=1&b="2"'), escape="html")
    assert good == '<a href="https://e.org/?a=1&amp;b=&#34;2&#34;">&lt;x&gt;</a>'
    assert shown("{{ '<x>'|link(labels.x) }}", labelled(x="javascript:alert(1)"), escape="html") == "&lt;x&gt;"


def test_texts_are_cut_in_units_of_telegram(shown: Shown) -> None:
    text = shown("{{ labels.x|truncate_text(5) }}", labelled(x="🔥🔥🔥🔥"))
    assert text.endswith("…")
    assert utf16_len(text) <= 5
    assert shown("{{ labels.x|one_line(20) }}", labelled(x="a\n\t b\x00\u202ec\x1b[31m")) == "a b c [31m"
    assert shown("{{ labels.x|lines(2, 20) }}", labelled(x="a\n\n\nb\nc")) == "a\nb…"
    assert shown("{{ ['aa', 'bb', 'cc']|fit(6)|join(',') }}") == "aa,bb"


def test_a_filter_of_a_constant_is_not_frozen_at_the_first_language(shown: Shown) -> None:
    source = "{{ 3600000|duration }} {{ 0|date('15:04') }}"
    assert shown(source, zone=ZoneInfo("UTC")) == "1h 00:00"
    assert shown(source, language="ru") == f"1{NO_BREAK}ч 03:00"


def test_every_filter_and_function_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "filters.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"[`(, ]([a-zA-Z_]+)(?=[`(,])", text))
    assert {*natural_filters(Stage()), *go_filters(Stage()), *go_globals(Stage())} <= documented


def test_the_examples_of_the_guide_work(shown: Shown) -> None:
    text = (ROOT / "docs" / "howto" / "templates.md").read_text(encoding="utf-8")
    examples = re.findall(r"```jinja\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        assert "DiskFull" in shown(example, make_notice(make_incident_view(*many_alerts(12))), escape="html")


def test_the_guide_names_all_words_and_blocks() -> None:
    text = (ROOT / "docs" / "howto" / "templates.md").read_text(encoding="utf-8")
    words = {name for name in vars(Words) if not name.startswith("_")} - {"labels", "annotations"}
    blocks = re.findall(r"{% block (\w+)", (ROOT / "templates/telegram/message.html.j2").read_text(encoding="utf-8"))
    assert {name for name in words if not re.search(rf"`{name}\W", text)} == set()
    assert {name for name in blocks if f"`{name}`" not in text} == set()
