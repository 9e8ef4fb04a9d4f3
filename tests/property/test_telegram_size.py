"""Whatever an incident says, the built-in Telegram texts fit into one message with room for links, and keep their head."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.clock import DAY, HOUR
from relay.notification import AlertState, AlertView, Changes, IncidentView, Kind, Notice
from relay.rendering import Renderer
from relay.severity import Severity
from relay.text import parse_html, utf16_len
from tests.factories import NIGHT, make_alert_view, make_incident_view, make_notice

RENDERER = Renderer()
LIMIT = 4096 - 300  # of Telegram, less three links
WORDS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["🔥" * 3000, "W" * 5000, "&" * 900, "<b>" * 500, "a\n" * 900, "\u202e\u2028x" * 50, " " * 3000]),
)
NAMES = st.one_of(st.sampled_from(["job", "instance", "device", "namespace", "alertname", "severity", "ünï"]), WORDS)
ANNOTATIONS = st.sampled_from(["summary", "description", "summary_ru", "message", "title", "runbook_url"])
MOMENTS = st.one_of(st.integers(NIGHT - 900 * DAY, NIGHT + HOUR), st.sampled_from([0, -(10**15), 10**15]))


@st.composite
def alerts(draw: st.DrawFn) -> AlertView:
    state = draw(st.sampled_from(AlertState))
    return AlertView(
        code=draw(st.sampled_from(["kzrpt", "bcdfg"])),
        fingerprint="0" * 16,
        labels=draw(st.dictionaries(NAMES, WORDS, max_size=12)),
        annotations=draw(st.dictionaries(ANNOTATIONS, WORDS, max_size=4)),
        severity=draw(st.sampled_from(Severity)),
        state=state,
        starts_at=draw(MOMENTS),
        ends_at=None if state.open else draw(st.one_of(st.none(), MOMENTS)),
        episode=draw(st.integers(1, 3)),
        flapping=draw(st.booleans()),
        acked_by=draw(st.one_of(st.none(), WORDS)),
        acked_at=draw(st.one_of(st.none(), MOMENTS)),
        ack_note=draw(WORDS),
        silenced_until=draw(st.one_of(st.none(), MOMENTS)),
        silenced_by=draw(WORDS),
    )


@st.composite
def notices(draw: st.DrawFn) -> Notice:
    shown = tuple(draw(st.lists(alerts(), max_size=14)))
    view = IncidentView(
        id=1,
        code="gkzrpt",
        alertmanager=draw(WORDS),
        receiver="relay",
        group_labels=draw(st.dictionaries(NAMES, WORDS, max_size=3)),
        external_url=draw(WORDS),
        alerts=tuple(sorted(shown, key=lambda alert: (not alert.state.open, -alert.severity))),
        revision=1,
        opened_at=draw(MOMENTS),
        truncated=draw(st.sampled_from([0, 7, 10**9])),
        several_alertmanagers=draw(st.booleans()),
        test=draw(st.booleans()),
    )
    some = st.sampled_from([(), view.alerts, view.alerts[:1]])
    changes = Changes(
        fired=draw(some),
        raised=draw(some),
        resolved=draw(some),
        all_resolved=draw(st.booleans()),
        repeat=draw(st.booleans()),
        acked=draw(st.booleans()),
        silenced=draw(st.booleans()),
    )
    late = draw(st.one_of(st.none(), MOMENTS))
    return Notice(kind=Kind.NEW, view=view, changes=changes, post_id=1, now=NIGHT, late=late)


def shown(template: str, notice: Notice, language: str, options: dict[str, object] | None = None) -> str:
    name = f"telegram/{template}.html.j2"
    html = RENDERER.render(
        name, notice, language=language, zone=ZoneInfo("Asia/Kolkata"), escape="html", options=options
    )
    return parse_html(html)[0]


@settings(deadline=None, max_examples=60)
@given(
    notice=notices(), language=st.sampled_from(["en", "ru"]), template=st.sampled_from(["message", "reply", "farewell"])
)
def test_every_text_fits_into_one_message_and_says_something(notice: Notice, language: str, template: str) -> None:
    text = shown(template, notice, language, {"listed": 10})
    assert 0 < utf16_len(text) <= LIMIT
    assert len(text.splitlines()[0]) > 2


def worst() -> Notice:
    """Everything at once, each as long as it can be, in characters of two units."""
    long = "🔥" * 800
    views = tuple(
        make_alert_view(
            long,
            labels={"instance": f"{number}{long}", "device": long, "job": long, "namespace": long, "team": long}
            | {f"label{extra}{long}": long for extra in range(30)},
            annotations={"summary": f"{number} {long}", "summary_ru": f"{number} {long}", "description": long},
            state=tuple(AlertState)[number % 3],
            severity=Severity(number % 4),
            starts_at=NIGHT - 900 * DAY,
            silenced_until=NIGHT + 900 * DAY,
            silenced_by=long,
            acked_by=long if number else None,
            acked_at=NIGHT - 400 * DAY,
            ack_note=long,
            flapping=True,
            episode=1 + number % 2,
        )
        for number in range(1, 16)
    )
    view = make_incident_view(*views, truncated=10**9, several_alertmanagers=True, alertmanager=long, test=True)
    changes = Changes(
        fired=views, raised=views, resolved=views, all_resolved=True, repeat=True, acked=True, silenced=True
    )
    return make_notice(view, changes=changes, late=NIGHT - 900 * DAY)


def test_the_longest_that_can_be_still_fits() -> None:
    notice = worst()
    single = make_incident_view(notice.view.alerts[0], several_alertmanagers=True, alertmanager="🔥" * 3000, test=True)
    for language in ("en", "ru"):
        for template in ("message", "reply", "farewell"):
            text = shown(template, notice, language, {"listed": 10, "title": "🔥" * 3000})
            assert utf16_len(text) <= LIMIT, (language, template)
        alone = make_notice(single, changes=Changes(fired=single.alerts), late=NIGHT - 900 * DAY)
        assert utf16_len(shown("message", alone, language)) <= LIMIT
