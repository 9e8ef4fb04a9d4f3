"""When a storm begins and ends, and that a digest always comes to rest: for any backlog, any layout, any clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from relay.clock import HOUR, MINUTE, SECOND
from relay.notification import AlertState
from relay.notification_digest import DigestEntry, DigestLayout, DigestView
from relay.planning import (
    MOST_OWN,
    Allowance,
    Backlog,
    DigestState,
    DigestStep,
    Later,
    Shown,
    Storm,
    plan_destination,
    plan_digest,
)
from relay.planning.destinations import CALM_FOR, ENDED_FOR, ENTER, FEWEST, LEAVE
from relay.rendering.digest_pages import pages_of
from relay.severity import Severity
from tests.factories import make_alert_view

NOW = 1_790_000_000_000
times = st.integers(NOW - HOUR, NOW + HOUR)
storms = st.builds(
    Storm, calm_since=st.none() | times, ended_at=st.none() | times, own=st.integers(0, 9), own_since=st.none() | times
)


@given(st.integers(0, 2000), st.integers(0, 600_000))
def test_a_storm_begins_above_ten_seconds_of_backlog_and_never_for_a_few(posts: int, drained_in: int) -> None:
    found = plan_destination(Backlog(posts=posts, now=NOW), Allowance(drained_in))
    assert (found is not None) == (drained_in > ENTER and posts >= FEWEST)


@given(st.integers(0, 2000), st.integers(0, 600_000), storms)
def test_a_storm_lasts_until_it_has_been_calm_for_two_minutes_or_all_of_it_has_ended(
    posts: int, drained_in: int, storm: Storm
) -> None:
    found = plan_destination(Backlog(posts=posts, now=NOW, storm=storm), Allowance(drained_in))
    calm_for = NOW - storm.calm_since if storm.calm_since is not None and drained_in < LEAVE else 0
    ended_for = min(calm_for, NOW - storm.ended_at) if storm.ended_at is not None else 0
    assert (found is None) == (calm_for >= CALM_FOR or ended_for >= ENDED_FOR)
    if found is not None:
        assert 0 <= found.own <= MOST_OWN
        assert (found.calm_since is None) == (drained_in >= LEAVE)


def test_a_backlog_between_the_bounds_neither_begins_a_storm_nor_ends_one() -> None:
    between = Allowance(5 * SECOND)
    assert plan_destination(Backlog(posts=9, now=NOW), between) is None
    old = Storm(calm_since=NOW - HOUR)
    assert plan_destination(Backlog(posts=9, now=NOW, storm=old), between) is not None


def test_critical_incidents_have_five_messages_of_their_own_in_ten_minutes() -> None:
    def left(own: int, ago: int) -> int:
        storm = Storm(own=own, own_since=NOW - ago)
        found = plan_destination(Backlog(posts=50, now=NOW, storm=storm), Allowance(60 * SECOND))
        assert found is not None
        return found.own

    assert [left(own, MINUTE) for own in range(7)] == [5, 4, 3, 2, 1, 0, 0]
    assert left(5, 10 * MINUTE) == MOST_OWN


@dataclass(frozen=True)
class Text:
    """The least that a rendered message is."""

    text: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def files(self) -> Mapping[str, bytes]:
        return {}


NOTHING = DigestView(id=1, entries=(), began_at=NOW)
texts = st.sampled_from("abcd").map(Text)
layouts = st.builds(
    lambda head, pages: DigestLayout(view=NOTHING, head=head, pages=tuple(pages), blank=Text("-")),
    texts,
    st.lists(texts, max_size=8),
)


def _after(state: DigestState, layout: DigestLayout, step: DigestStep, now: int) -> DigestState:
    """What the destination has once the call was made."""
    if step.kind == "remove":
        return DigestState(head=state.head, pages=tuple(p for at, p in enumerate(state.pages) if at not in step.pages))
    if not step.pages:
        return DigestState(head=_shown(layout.head.fingerprint, now, state.head), pages=state.pages)
    [at] = step.pages
    wanted = layout.pages[at] if at < len(layout.pages) else layout.blank
    assert wanted is not None
    old = state.pages[at] if at < len(state.pages) else None
    page = _shown(wanted.fingerprint, now, old)
    return DigestState(head=state.head, pages=(*state.pages[:at], page, *state.pages[at + 1 :]))


def _shown(fingerprint: str, now: int, before: Shown | None) -> Shown:
    return Shown(fingerprint=fingerprint, at=now, posted_at=before.posted_at if before else now)


@given(st.lists(layouts, min_size=1, max_size=5), st.integers(1, 100), st.lists(st.integers(0, 50 * HOUR), min_size=5))
def test_a_digest_comes_to_rest_as_it_should_look(wanted: list[DigestLayout], removes: int, waits: list[int]) -> None:
    state, now = DigestState(), NOW
    for layout, wait in zip(wanted, waits, strict=False):
        now += wait
        for _ in range(100):
            step = plan_digest(state, layout, removes=removes, now=now)
            if step is None:
                break
            if isinstance(step, Later):
                assert step.at > now
                now = step.at
                continue
            state = _after(state, layout, step, now)
            now += SECOND
        else:
            raise AssertionError("the digest never comes to rest")
        assert state.head is not None
        assert state.head.fingerprint == layout.head.fingerprint
        shown = [page.fingerprint for page in state.pages]
        assert shown[: len(layout.pages)] == [page.fingerprint for page in layout.pages]
        assert set(shown[len(layout.pages) :]) <= {Text("-").fingerprint}


names = st.text(alphabet="abcXYZ😀 -", max_size=90)


@st.composite
def entries(draw: st.DrawFn) -> tuple[DigestEntry, ...]:
    found = [
        DigestEntry(
            post_id=number,
            revision=1,
            alertmanager="main",
            group_labels={"alertname": draw(names), "instance": draw(names)},
            alert=make_alert_view(state=draw(st.sampled_from(AlertState)), severity=draw(st.sampled_from(Severity))),
            alerts=1,
            firing=1,
        )
        for number in range(draw(st.integers(0, 60)))
    ]
    return tuple(sorted(found, key=lambda one: (-one.severity, one.name, one.place, one.post_id)))


@given(entries(), st.integers(20, 2000), st.integers(1, 8))
def test_every_entry_is_on_one_page_in_order_or_left_over(found: tuple[DigestEntry, ...], room: int, most: int) -> None:
    pages, rest = pages_of(found, room=room, weigh=len, most=most)
    assert len(pages) <= most
    assert [entry for page in pages for cluster in page for entry in cluster.entries] + list(rest) == list(found)
    assert all(cluster.entries for page in pages for cluster in page)


@given(entries())
def test_counts_of_a_digest_add_up(found: tuple[DigestEntry, ...]) -> None:
    view = DigestView(id=1, entries=found, began_at=NOW)
    assert sum(view.states.values()) == len(found)
    assert sum(count for _, count in view.by_severity) == len(view.firing or view.entries)
    notice = view.notice(NOW, "Alert storm")
    assert len(notice.view.firing) == len(view.firing)
    assert len(notice.view.alerts) == len(found)
