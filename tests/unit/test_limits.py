"""Budgets hold in every window, whatever the order of takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.limits import Limiter, strictest

GROUP = ((1, 1.0), (20, 60.0))


def test_the_first_message_goes_at_once_and_the_next_a_second_later() -> None:
    limiter = Limiter(GROUP)
    assert limiter.delay(100.0) == 0
    limiter.take(100.0)
    assert limiter.delay(100.0) == 1.0
    assert limiter.delay(101.0) == 0


def test_a_message_counts_from_the_end_of_its_call() -> None:
    limiter = Limiter(GROUP)
    ticket = limiter.take(100.0)
    limiter.settle(ticket, 102.5)
    assert limiter.delay(102.5) == 1.0


def test_twenty_in_a_minute_and_then_one_waits() -> None:
    limiter = Limiter(GROUP)
    for second in range(20):
        limiter.take(float(second))
    assert limiter.delay(20.0) == 40.0


def test_a_share_is_kept_for_answers_to_people() -> None:
    limiter = Limiter(GROUP, reserved=3)
    for second in range(17):
        limiter.take(float(second))
    assert limiter.delay(20.0) == 40.0
    assert limiter.delay(20.0, urgent=True) == 0


def test_a_pause_the_platform_asked_for_is_never_shortened() -> None:
    limiter = Limiter(())
    limiter.pause(50.0)
    limiter.pause(20.0)
    assert limiter.delay(10.0) == 40.0


def test_no_windows_is_no_limit() -> None:
    limiter = Limiter(())
    for _ in range(100):
        limiter.take(1.0)
    assert limiter.delay(1.0) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 2)), max_size=120))
def test_no_window_ever_holds_more_than_it_may(steps: list[tuple[float, float]]) -> None:
    limiter, now, sent = Limiter(GROUP), 0.0, []
    for idle, took in steps:
        now += idle + limiter.delay(now + idle)
        ticket = limiter.take(now)
        now += took
        limiter.settle(ticket, now)
        sent.append(now)
    for count, seconds in GROUP:
        for first, last in zip(sent, sent[count:], strict=False):
            assert last - first >= seconds - 1e-6


def test_what_matters_less_leaves_room_for_what_matters_more() -> None:
    limiter = Limiter(GROUP, reserved=3)
    for second in range(12):
        limiter.take(float(second))
    assert limiter.delay(12.0) == 0
    assert limiter.delay(12.0, keep=5) == 48.0


def test_a_backlog_is_drained_by_the_second_and_then_by_the_minute() -> None:
    limiter = Limiter(GROUP, reserved=3)
    assert [limiter.drain(count, 100.0) for count in (0, 1, 2, 17, 18)] == [0, 0, 1, 16, 60]
    for second in range(17):
        limiter.take(100.0 + second)
    assert limiter.drain(1, 117.0) == 43.0
    assert Limiter(()).drain(1000, 5.0) == 0


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 60))
def test_a_backlog_is_sent_exactly_when_it_was_said_to_be(idle: list[float], messages: int) -> None:
    limiter, now = Limiter(GROUP, reserved=3), 0.0
    for seconds in idle:
        now += seconds + limiter.delay(now + seconds)
        limiter.take(now)
    expected = now + limiter.drain(messages, now)
    for _ in range(messages):
        now += limiter.delay(now)
        limiter.take(now)
    assert abs(now - expected) < 1e-6


def test_relays_that_send_as_the_same_bot_share_its_budget() -> None:
    relays = 1
    limiter = Limiter([(30, 1.0)], shared_by=lambda: relays)
    assert sent(limiter, 10.0) == 30
    relays = 3
    assert sent(limiter, 20.0) == 10


def sent(limiter: Limiter, now: float) -> int:
    """How many messages may go at this moment."""
    count = 0
    while limiter.delay(now) == 0:
        limiter.take(now)
        count += 1
    return count


def test_of_several_limits_of_one_length_the_strictest_holds() -> None:
    assert strictest([(20, 60.0), (1, 1.0), (10, 60.0), (5, 1.0)]) == ((1, 1.0), (10, 60.0))
    assert strictest([]) == ()


def test_what_somebody_else_has_sent_counts_from_then() -> None:
    limiter = Limiter(GROUP)
    limiter.take(100.0)
    limiter.recall([float(second) for second in range(60, 79)])
    assert limiter.delay(101.0) == 19.0  # until the first of twenty is a minute old
    assert limiter.delay(120.0) == 0
