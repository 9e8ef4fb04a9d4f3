"""Who must not be tried now, and who may."""

from __future__ import annotations

from typing import Any

import pytest

from relay.delivery.pauses import MOST_SUSPECTS, Pauses
from relay.notification import DeliveryError

AWAY = DeliveryError("connection", "no answer", scope="destination")
NO_TOPIC = DeliveryError("not_found", "message thread not found", scope="destination", permanent=True)
BOTH = ("general", "topic")


def test_a_topic_that_is_gone_pauses_its_channel_and_not_its_neighbour_in_the_chat() -> None:
    pauses = Pauses()
    pauses.pause("topic", NO_TOPIC, 300.0)
    assert pauses.free(BOTH, 10.0) == ["general"]
    assert pauses.wait(["topic"], 10.0) == 290.0
    assert pauses.free(BOTH, 300.0) == ["general", "topic"]


def test_a_chat_that_cannot_be_reached_pauses_all_its_channels() -> None:
    pauses = Pauses()
    pauses.pause("topic", AWAY, 12.0)
    assert pauses.free(BOTH, 10.0) == []
    assert pauses.wait(BOTH, 10.0) == 2.0
    assert pauses.free(BOTH, 12.0) == ["general", "topic"]


def test_failures_are_counted_until_something_gets_through() -> None:
    pauses = Pauses()
    assert [pauses.count(AWAY), pauses.count(AWAY)] == [1, 2]
    assert pauses.count(DeliveryError("rejected", "this text", scope="post")) == 2
    pauses.lift("general")
    assert pauses.count(AWAY) == 1


def test_a_chat_that_moved_is_no_failure() -> None:
    moved = DeliveryError("moved", "upgraded", scope="destination", moved_to={"chat_id": -100})
    assert Pauses().count(moved) == 0


def test_what_works_lifts_its_own_pause_and_that_of_the_chat_alone() -> None:
    pauses = Pauses()
    pauses.pause("topic", NO_TOPIC, 300.0)
    pauses.pause("general", AWAY, 30.0)
    pauses.lift("general")
    assert pauses.free(BOTH, 10.0) == ["general"]
    pauses.lift("topic")
    assert pauses.free(BOTH, 10.0) == ["general", "topic"]


def test_a_post_that_failed_lets_others_go_first_until_its_channel_takes_something() -> None:
    pauses = Pauses()
    assert pauses.judge(AWAY, 1, "general") is AWAY
    assert pauses.judge(NO_TOPIC, 2, "topic") is NO_TOPIC
    assert set(pauses.failed) == {1, 2}
    pauses.worked("general", 3)
    assert set(pauses.failed) == {2}


def test_a_post_that_fails_where_others_go_through_twice_is_to_blame_itself_until_it_goes_through() -> None:
    pauses = Pauses()
    for _ in range(2):
        assert pauses.judge(AWAY, 1, "general").scope == "destination"
        pauses.worked("general", 2)
    own = pauses.judge(AWAY, 1, "general")
    assert (own.scope, own.permanent, own.reason) == ("post", False, "connection")
    pauses.worked("general", 1)
    assert pauses.judge(AWAY, 1, "general") is AWAY


@pytest.mark.parametrize("reason", ["rate_limited", "unauthorized"])
def test_no_post_is_to_blame_for_a_limit_or_a_token(reason: Any) -> None:
    pauses, refused = Pauses(), DeliveryError(reason, "429", scope="destination")
    for _ in range(5):
        assert pauses.judge(refused, 1, "general") is refused
        pauses.worked("general", 2)


def test_a_long_outage_keeps_few_posts_in_mind() -> None:
    pauses = Pauses()
    for post_id in range(10 * MOST_SUSPECTS):
        pauses.judge(AWAY, post_id, "general")
    assert len(pauses.failed) == MOST_SUSPECTS
