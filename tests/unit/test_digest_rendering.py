"""What a digest says in Telegram and Slack, in both languages, and that no name makes a message too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.bot.digest_keyboard import digest_keyboard
from relay.channels.slack.content import SlackContent
from relay.channels.slack.digest import DigestComposer as SlackComposer
from relay.channels.slack_options import SlackOptions
from relay.channels.telegram.content import MAX_TEXT, TelegramContent
from relay.channels.telegram.digest import DigestComposer
from relay.channels.telegram_options import TelegramOptions
from relay.clock import MINUTE
from relay.demo import slack_rules
from relay.notification import AlertState
from relay.notification_digest import DigestEntry, DigestLayout, DigestView
from relay.rendering import Renderer
from relay.rendering.digest_pages import LONGEST_PLACE
from relay.severity import Severity
from relay.text import one_line, utf16_len
from tests.factories import make_alert_view

NOW = 1_790_000_000_000
RENDERER = Renderer()


def entry(number: int, **values: Any) -> DigestEntry:
    name, place = values.pop("name", "DiskFull"), values.pop("place", f"db-{number:03}")
    state, severity = values.pop("state", AlertState.FIRING), values.pop("severity", Severity.WARNING)
    alert = make_alert_view(
        name, state=state, severity=severity, starts_at=NOW, labels={"service": "shop", "cluster": "eu"}
    )
    base: dict[str, Any] = {"firing": int(state.open), "alerts": 1, "revision": 1, "waiting": NOW}
    group = {"alertname": name, "instance": place}
    return DigestEntry(post_id=number, alertmanager="main", group_labels=group, alert=alert, **base | values)


def view(*entries: DigestEntry, **values: Any) -> DigestView:
    ordered = tuple(sorted(entries, key=lambda one: (-one.severity, one.name, one.place)))
    return DigestView(id=7, entries=ordered, began_at=NOW, **values)


def telegram(
    digest: DigestView, language: str = "en", *, plain: bool = False, before: DigestLayout | None = None
) -> DigestLayout:
    options = TelegramOptions.model_validate({"type": "telegram", "chat_id": -1, "language": language})
    composer = DigestComposer(RENDERER, options, digest_keyboard(language, silences=True))
    return composer.lay_out(digest, NOW + MINUTE, plain=plain, before=before)


def slack(digest: DigestView, *, appending: bool = False, before: DigestLayout | None = None) -> DigestLayout:
    options = SlackOptions.model_validate({"type": "slack", "channel": "#alerts"})
    composer = SlackComposer(RENDERER, options, appending=appending)
    return composer.lay_out(digest, NOW + MINUTE, plain=False, before=before)


def shown(content: Any) -> str:
    assert isinstance(content, TelegramContent)
    return content.text


SMALL = view(
    entry(1, severity=Severity.CRITICAL),
    entry(2, state=AlertState.RESOLVED),
    entry(3, state=AlertState.SILENCED),
    entry(4, acked=3, firing=3, alerts=4),
    entry(5, state=AlertState.UNREPORTED),
)


def test_a_small_digest_is_one_message_with_every_state() -> None:
    layout = telegram(SMALL)
    assert layout.pages == ()
    assert shown(layout.head).splitlines() == [
        "🔴 Alert storm: 5 groups · since 14:13",
        "3 firing, 1 resolved, 1 no longer reported · 8 alerts",
        "🔴 critical 1 · 🟡 warning 2",
        "By service: shop 3",
        "👤 1 acked · 🔕 1 silenced or inhibited",
        "",
        "🔴 DiskFull: db-001",
        "🟡 DiskFull (4): ✓\u00a0db-002, 🔕\u00a0db-003, 👤\u00a0db-004 ×3, ⚪\u00a0db-005",
    ]
    assert [[button.caption for button in row] for row in layout.head.buttons] == [  # type: ignore[attr-defined]
        ["Ack DiskFull (2)"], ["Silence cluster=eu (3)"],
    ]  # fmt: skip


def test_it_speaks_russian() -> None:
    text = shown(telegram(SMALL, "ru").head)
    assert text.startswith("🔴 Шторм алертов: 5 групп · с 14:13\n3 горят")
    assert "Взять DiskFull (2)" in str(telegram(SMALL, "ru").head.files["message.json"], "utf-8")


def test_when_it_is_over_the_head_says_what_it_was() -> None:
    told = {"groups": 1000, "alerts": 1204, "critical": 5}
    over = view(entry(1), ended_at=NOW + 29 * MINUTE, told=told)
    first, second, *_ = shown(telegram(over).head).splitlines()
    assert first == "🟡 The alert storm is over · 14:13 – 14:42"
    assert second == "1000 groups · 1204 alerts · 🔴 critical 5"
    nothing = view(ended_at=NOW + 29 * MINUTE, told=told)
    assert "All of it is resolved." in shown(telegram(nothing).head)


def test_what_is_late_says_so() -> None:
    assert "This happened at 14:13 and is shown late." in shown(telegram(view(*SMALL.entries, late=True)).head)


def test_a_page_stays_as_it_is_when_something_on_another_one_resolves() -> None:
    groups = [entry(number, place=f"a-place-with-some-length-{number:04}") for number in range(400)]
    before = telegram(view(*groups))
    groups[399] = replace(groups[399], alert=replace(groups[399].alert, state=AlertState.RESOLVED), firing=0)
    after = telegram(view(*groups))
    assert len(before.pages) == len(after.pages) > 2
    same = [one.fingerprint == two.fingerprint for one, two in zip(before.pages, after.pages, strict=True)]
    assert same == [True] * (len(same) - 1) + [False]


@pytest.mark.parametrize("lay_out", [telegram, slack])
def test_only_what_has_changed_is_rendered_again(lay_out: Callable[..., DigestLayout]) -> None:
    groups = [entry(number, place=f"a-place-with-some-length-{number:04}") for number in range(500)]
    before = lay_out(view(*groups))
    assert len(before.pages) > 2
    told = [replace(one, waiting=None) for one in groups]
    after = lay_out(view(*told), before=before)
    assert after.head is before.head
    assert [one is two for one, two in zip(before.pages, after.pages, strict=True)] == [True] * len(before.pages)
    assert not [one for page in after.named for one in page if one.waiting is not None]
    told[0] = replace(told[0], alert=replace(told[0].alert, state=AlertState.RESOLVED), firing=0)
    last = lay_out(view(*told), before=after)
    assert [one is two for one, two in zip(after.pages, last.pages, strict=True)] == [False] + [True] * (
        len(before.pages) - 1
    )
    afresh = lay_out(view(*told))
    assert last.head.fingerprint == afresh.head.fingerprint != before.head.fingerprint
    assert [one.fingerprint for one in last.pages] == [one.fingerprint for one in afresh.pages]


def test_a_small_digest_stays_one_message_when_something_on_it_changes() -> None:
    before = telegram(SMALL)
    same = telegram(view(*(replace(one, waiting=None) for one in SMALL.entries)), before=before)
    assert same.head is before.head
    assert [one.waiting for one in same.inline] == [None] * 5
    more = telegram(view(*SMALL.entries, entry(6)), before=same)
    assert "6 groups" in shown(more.head)
    assert len(more.inline) == 6


def test_plain_text_has_no_formatting_left() -> None:
    groups = view(*(entry(number) for number in range(300)))
    layout = telegram(groups, plain=True)
    assert not any(one.entities for one in (layout.head, *layout.pages))  # type: ignore[attr-defined]


names = st.text(alphabet=st.sampled_from("abc<>&\"' \n😀_*`~|"), max_size=120)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(names, names, st.sampled_from(Severity), st.sampled_from(AlertState)), max_size=200))
def test_no_message_is_too_long_and_no_group_is_left_out(groups: list[tuple[str, str, Severity, AlertState]]) -> None:
    digest = view(
        *(
            entry(number, name=name, place=place, severity=severity, state=state)
            for number, (name, place, severity, state) in enumerate(groups)
        )
    )
    layout = telegram(digest)
    texts = [shown(layout.head), *(shown(page) for page in layout.pages)]
    assert max(utf16_len(text) for text in texts) <= MAX_TEXT
    for named, text in [(layout.inline, texts[0]), *zip(layout.named, texts[1:], strict=True)]:
        assert all(one_line(one.place, LONGEST_PLACE) in text for one in named)
    in_pages = sum(map(len, layout.named), len(layout.inline))
    assert in_pages + len(layout.listed) == len(digest.entries)


@pytest.mark.parametrize("appending", [False, True])
@pytest.mark.parametrize("place", ["db-{0}", "{0}-<b>&*x_y*~`" * 5])
def test_slack_takes_every_message_of_a_large_digest(place: str, *, appending: bool) -> None:
    digest = view(*(entry(number, name=f"Alert{number % 7}", place=place.format(number)) for number in range(600)))
    layout = slack(digest, appending=appending)
    for content in (layout.head, *layout.pages):
        assert isinstance(content, SlackContent)
        assert slack_rules.block_problems(list(content.blocks)) == []
    named = sum(map(len, layout.named), len(layout.inline)) + len(layout.listed)
    assert named == len(digest.entries) or appending
    assert layout.listed or not appending
