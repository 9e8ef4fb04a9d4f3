"""What rings and what only changes: the table of `docs/explanation/messages.md`, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.clock import MINUTE, Millis
from relay.notification import AlertState, Capabilities, Kind
from relay.planning import ATTACH_ONCE_IN, Later, PostState, Step, plan
from relay.severity import Severity
from tests.factories import make_alert_view, make_incident_view, many_alerts

LIVING = Capabilities(editable=True, attachable=True)
APPENDING = Capabilities(editable=False)
NOW: Millis = 1_790_000_000_000
SHOWN = PostState(shown_rev=1, announced_rev=1, living=True, told_at=NOW - 10 * MINUTE)


def alert(**values: Any) -> Any:
    return make_alert_view(**{"severity": Severity.CRITICAL, "fired_rev": 1, "changed_rev": 1, **values})


def nothing_left() -> Any:
    return replace(make_incident_view(alert()), alerts=(), revision=2)


def resolved(**values: Any) -> Any:
    return alert(**{"state": AlertState.RESOLVED, "ends_at": NOW, "resolved_rev": 2, **values})


def decide(
    view: Any, post: PostState = SHOWN, capabilities: Capabilities = LIVING, *, overflows: bool = False
) -> Step | Later | None:
    return plan(post, view, capabilities, overflows=overflows, now=NOW)


def step(*args: Any, **kwargs: Any) -> Step:
    found = decide(*args, **kwargs)
    assert isinstance(found, Step)
    return found


def test_the_first_firing_is_a_new_message_everywhere() -> None:
    view = make_incident_view(alert(), revision=1)
    assert step(view, PostState()).kind is Kind.NEW
    assert step(view, PostState(), APPENDING).kind is Kind.NEW


def test_what_fired_and_resolved_before_anybody_was_told_is_still_told_once() -> None:
    found = step(make_incident_view(resolved(), revision=2), PostState())
    assert (found.kind, found.changes.all_resolved) == (Kind.NEW, True)


@pytest.mark.parametrize("news", [{"fired_rev": 2}, {"raised_rev": 2}])
def test_a_new_or_raised_alert_rings(news: dict[str, int]) -> None:
    view = make_incident_view(alert(**news), revision=2)
    assert step(view).kind is Kind.REPLY
    assert not step(view).silent
    assert step(view, capabilities=APPENDING).kind is Kind.NEW


def test_a_message_where_its_channel_no_longer_writes_says_so_before_anything_else_while_it_is_open() -> None:
    left = replace(SHOWN, elsewhere=True)
    assert step(make_incident_view(alert(fired_rev=2), revision=2), left).kind is Kind.FAREWELL
    assert step(make_incident_view(resolved(), revision=2), left).kind is Kind.REPLY
    anew = PostState(shown_rev=1, announced_rev=1, quiet=True)
    assert step(make_incident_view(alert(), revision=1), anew).silent
    assert not step(make_incident_view(alert(fired_rev=2), revision=2), anew).silent


def test_after_the_ring_comes_the_edit() -> None:
    view = make_incident_view(alert(fired_rev=2), revision=2)
    rung = PostState(shown_rev=1, announced_rev=2, living=True)
    assert step(view, rung).kind is Kind.EDIT


def test_an_alert_of_a_silent_route_rings_without_sound() -> None:
    assert step(make_incident_view(alert(fired_rev=2, silent=True), revision=2)).silent


def test_a_loud_alert_among_silent_ones_is_heard() -> None:
    view = make_incident_view(alert(silent=True), alert(fired_rev=2), revision=2)
    assert not step(view).silent


def test_fewer_firing_is_an_edit_and_no_mail() -> None:
    view = make_incident_view(alert(), resolved(), revision=2)
    assert step(view).kind is Kind.EDIT
    assert decide(view, capabilities=APPENDING) is None


@pytest.mark.parametrize(("severity", "kind"), [(Severity.CRITICAL, Kind.REPLY), (Severity.WARNING, Kind.EDIT)])
def test_the_end_of_an_incident_rings_if_it_was_critical(severity: Severity, kind: Kind) -> None:
    view = make_incident_view(resolved(severity=severity), revision=2)
    assert step(view).kind is kind
    assert step(view, capabilities=APPENDING).changes.all_resolved


def test_the_end_rings_though_the_critical_alert_resolved_before_the_last_warning() -> None:
    view = make_incident_view(resolved(), resolved(severity=Severity.WARNING, resolved_rev=3), revision=3)
    assert step(view, PostState(shown_rev=2, announced_rev=2, living=True)).kind is Kind.REPLY


def test_a_repeat_rings_until_somebody_has_the_critical() -> None:
    assert step(make_incident_view(alert(), revision=2, repeat_rev=2)).kind is Kind.REPLY
    assert step(make_incident_view(alert(acked_by="anna"), revision=2, repeat_rev=2)).kind is Kind.EDIT
    assert step(make_incident_view(alert(severity=Severity.ERROR), revision=2, repeat_rev=2)).kind is Kind.EDIT


@pytest.mark.parametrize("state", [AlertState.SILENCED, AlertState.INHIBITED])
def test_a_repeat_does_not_ring_for_a_critical_that_is_muted(state: AlertState) -> None:
    """Alertmanager repeats the others of its group."""
    others = alert(severity=Severity.WARNING, name="Other")
    view = make_incident_view(alert(state=state), others, revision=2, repeat_rev=2)
    assert step(view).kind is Kind.EDIT


def test_an_ack_is_an_edit_and_one_short_mail_in_five_minutes() -> None:
    view = make_incident_view(alert(acked_by="anna"), revision=2, ack_rev=2)
    assert step(view).kind is Kind.EDIT
    assert step(view, capabilities=APPENDING).changes.acked
    told = PostState(shown_rev=1, announced_rev=1, told_at=NOW - 2 * MINUTE)
    assert decide(view, told, APPENDING) == Later(NOW + 3 * MINUTE)


def test_a_flapping_alert_never_rings() -> None:
    flapping = make_incident_view(alert(flapping=True), revision=2)
    assert step(flapping).kind is Kind.EDIT
    assert step(flapping, PostState()).silent
    over = make_incident_view(resolved(flapping=True), revision=2)
    assert step(over).kind is Kind.EDIT


def test_what_does_not_fit_follows_as_a_document_once_in_a_quarter_of_an_hour() -> None:
    view = make_incident_view(*many_alerts(50), revision=2)
    shown = PostState(shown_rev=2, announced_rev=2, living=True)
    assert step(view, shown, overflows=True).kind is Kind.ATTACH
    again = PostState(shown_rev=2, announced_rev=2, living=True, attached_rev=1, attached_at=NOW - MINUTE)
    assert decide(view, again, overflows=True) == Later(NOW - MINUTE + ATTACH_ONCE_IN)
    assert decide(view, shown, APPENDING, overflows=True) is None


def test_what_is_shown_and_told_needs_nothing() -> None:
    assert decide(make_incident_view(alert(), revision=1)) is None


def test_a_channel_that_is_no_longer_routed_says_so_once() -> None:
    leaving = PostState(shown_rev=1, announced_rev=1, living=True, farewell=True)
    assert step(nothing_left(), leaving).kind is Kind.FAREWELL
    gone = PostState(shown_rev=2, announced_rev=2, living=True, farewell=True)
    assert decide(nothing_left(), gone) is None
    assert decide(nothing_left(), leaving, APPENDING) is None


def test_a_message_that_is_sent_again_after_it_was_deleted_makes_no_sound() -> None:
    assert step(make_incident_view(alert(), revision=2), PostState(shown_rev=1, announced_rev=1, quiet=True)).silent
