"""Whose pause, how long, or give up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.clock import DAY, MINUTE, SECOND
from relay.notification import DeliveryError
from relay.retry import LONGEST, LONGEST_POST, PERMANENT_PROBE, Decision, decide
from relay.store.posts import LONGEST_WAIT


def after(error: DeliveryError, **values: Any) -> Decision:
    usual: dict[str, Any] = {"attempts": 1, "failures": 1, "age": 0, "max_age": DAY, "plain": False}
    return decide(error, **(usual | values), rng=random.Random(1))


def test_a_destination_failure_pauses_the_destination_and_spares_the_post() -> None:
    decision = after(DeliveryError("connection", "refused", scope="destination"), failures=3)
    assert decision.pause is not None
    assert not decision.dead
    assert decision.pause <= LONGEST


def test_a_permanent_destination_failure_is_probed_every_five_minutes() -> None:
    error = DeliveryError("forbidden", "bot was kicked", scope="destination", permanent=True)
    assert after(error, failures=9).pause == PERMANENT_PROBE == 5 * MINUTE


def test_a_kicked_bot_makes_no_dead_letter_before_max_age() -> None:
    error = DeliveryError("forbidden", "bot was kicked", scope="destination", permanent=True)
    assert not after(error, age=DAY - 1, attempts=1000).dead
    assert after(error, age=DAY).dead


def test_a_post_that_dies_of_its_age_leaves_the_destination_paused() -> None:
    """Else a thousand old posts would be tried at once, and in vain."""
    for permanent in (True, False):
        decision = after(DeliveryError("forbidden", "no", scope="destination", permanent=permanent), age=DAY)
        assert (decision.dead, decision.expired, decision.pause is not None) == (True, True, True)
    assert after(DeliveryError("server_error", "busy", scope="post"), age=DAY).expired
    assert not after(DeliveryError("rejected", "no", scope="post", permanent=True), age=DAY).expired


def test_the_platforms_own_wait_is_obeyed_to_the_second() -> None:
    error = DeliveryError("rate_limited", "429", scope="destination", retry_after=17)
    assert after(error).pause == 17 * SECOND


def test_an_unreadable_text_is_sent_plain_at_once_and_dies_only_then() -> None:
    error = DeliveryError("unparsable", "can't parse entities", scope="post")
    assert after(error) == Decision(post_wait=0, plain=True)
    assert after(error, plain=True).dead


def test_a_permanent_post_failure_concerns_that_post_alone() -> None:
    decision = after(DeliveryError("rejected", "no", scope="post", permanent=True))
    assert decision == Decision(dead=True)


def test_a_message_that_is_gone_is_forgotten() -> None:
    assert after(DeliveryError("gone", "message to edit not found", scope="post")).forget


def test_a_moved_chat_is_tried_at_its_new_address_at_once() -> None:
    error = DeliveryError("moved", "upgraded", scope="destination", moved_to={"chat_id": -100})
    assert after(error) == Decision(post_wait=0)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(0, 2**32))
def test_every_wait_is_bounded_and_never_zero(attempts: int, failures: int, seed: int) -> None:
    for scope, bound in (("destination", LONGEST), ("post", LONGEST_POST)):
        error = DeliveryError("timeout", "?", scope=scope)  # type: ignore[arg-type]  # both literals
        rng = random.Random(seed)
        decision = decide(error, attempts=attempts, failures=failures, age=0, max_age=DAY, plain=False, rng=rng)
        wait = decision.pause if scope == "destination" else decision.post_wait
        assert wait is not None
        assert 100 <= wait <= bound


@pytest.mark.parametrize("scope", ["post", "destination"])
def test_a_post_that_is_too_old_becomes_a_dead_letter(scope: Any) -> None:
    assert after(DeliveryError("server_error", "502", scope=scope), age=DAY).dead


@pytest.mark.parametrize("scope", ["post", "destination"])
def test_who_says_come_again_at_once_is_not_knocked_at_without_a_pause(scope: Any) -> None:
    decision = after(DeliveryError("server_error", "503", scope=scope, retry_after=0.0))
    assert (decision.pause or decision.post_wait or 0) >= 100


def test_a_post_is_not_put_off_for_longer_than_the_store_believes() -> None:
    decision = after(DeliveryError("rejected", "409", scope="post", retry_after=24 * 3600.0))
    assert decision.post_wait is not None
    assert 0 < decision.post_wait <= LONGEST_WAIT
