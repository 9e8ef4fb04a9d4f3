"""Who must not be tried now, and who may."""

from __future__ import annotations

from relay.delivery.pauses import Pauses
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
