"""Acks mirrored as silences, and the choice of labels: against a stand-in with a clock in hand, and by values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from relay.acking import Acker
from relay.alertmanager import Alertmanager
from relay.clock import MINUTE
from relay.clusters import AlertmanagerConfig
from relay.demo.alertmanager import FakeAlertmanager
from relay.ingest.turn import Turn
from relay.silencing import AckMirror, Plan, choices_of
from tests.factories import make_alert_view
from tests.state import FakeClock, State, open_state, sqlite_engine, wire_alert

LABELS = {"alertname": "DiskFull", "severity": "critical"}


class Mirrored:
    """A state with one alert, an Alertmanager that has it, and the mirror between them."""

    def __init__(self, state: State, fake: FakeAlertmanager, client: Alertmanager) -> None:
        self.state = state
        self.fake = fake
        self.client = client
        self.mirror = AckMirror(client, state.database, state.clock)
        self.acker = Acker(
            lambda scope: Turn(scope, state.policy, state.new_id, state.clock()), state.policy.severities
        )
        self.identity = ("main", str(wire_alert()["fingerprint"]))

    async def fire(self) -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(f"{self.fake.url}/api/v2/alerts", json=[{"labels": LABELS}])
        await self.state.post(wire_alert(starts=self.state.clock()))

    async def ack(self) -> None:
        await self.state.database.write(self.acker.ack, [self.identity], "anna", "looking")


@pytest.fixture
async def mirrored(tmp_path: Path) -> AsyncIterator[Mirrored]:
    clock = FakeClock()
    fake = FakeAlertmanager(clock=clock)
    await fake.start()
    config = AlertmanagerConfig.model_validate({"name": "main", "urls": [fake.url]})
    async with aiohttp.ClientSession() as session, open_state(sqlite_engine(tmp_path), clock=clock) as state:
        yield Mirrored(state, fake, Alertmanager(config, session, lambda *_: None, clock))
    await fake.stop()


async def test_an_ack_becomes_a_short_silence_of_exactly_that_alert(mirrored: Mirrored) -> None:
    await mirrored.fire()
    assert not await mirrored.mirror.keep()
    await mirrored.ack()
    assert await mirrored.mirror.keep()
    [silence] = await mirrored.client.silences()
    assert silence.comment == "ACK! looking"
    assert silence.created_by == "anna"
    assert [str(matcher) for matcher in silence.matchers] == ['alertname="DiskFull"', 'severity="critical"']
    assert silence.ends_at == mirrored.state.clock() + 15 * MINUTE
    assert not await mirrored.mirror.keep()
    assert len(await mirrored.client.silences()) == 1


async def test_it_is_renewed_while_the_alert_fires_and_ended_with_the_ack(mirrored: Mirrored) -> None:
    await mirrored.fire()
    await mirrored.ack()
    await mirrored.mirror.keep()
    [first] = await mirrored.client.silences()
    for _ in range(5):
        mirrored.state.clock.advance(4 * MINUTE)
        await mirrored.fire()
        await mirrored.mirror.keep()
    [later] = await mirrored.client.silences()
    assert later.id == first.id
    assert later.ends_at is not None
    assert later.ends_at > mirrored.state.clock() + 5 * MINUTE
    await mirrored.state.database.write(mirrored.acker.unack, [mirrored.identity], "boris")
    assert await mirrored.mirror.keep()
    assert await mirrored.client.silences() == ()


async def test_what_alertmanager_no_longer_lists_is_no_longer_silenced(mirrored: Mirrored) -> None:
    await mirrored.fire()
    await mirrored.ack()
    await mirrored.mirror.keep()
    mirrored.fake.alerts.clear()
    assert await mirrored.mirror.keep()
    assert await mirrored.client.silences() == ()


async def test_a_mirror_that_somebody_ended_is_left_so(mirrored: Mirrored) -> None:
    await mirrored.fire()
    await mirrored.ack()
    await mirrored.mirror.keep()
    [silence] = await mirrored.client.silences()
    await mirrored.client.expire(silence.id)
    mirrored.state.clock.advance(11 * MINUTE)
    await mirrored.fire()
    for _ in range(3):
        await mirrored.mirror.keep()
    assert await mirrored.client.silences() == ()


async def test_an_ack_that_alertmanager_refuses_to_silence_takes_no_other_along(mirrored: Mirrored) -> None:
    await mirrored.fire()
    await mirrored.state.post(wire_alert("Other", starts=mirrored.state.clock()), key="other")
    mirrored.fake.put_alert({"alertname": "Other", "severity": "critical"})
    others = ("main", str(wire_alert("Other")["fingerprint"]))
    await mirrored.state.database.write(mirrored.acker.ack, [mirrored.identity, others], "anna")
    mirrored.fake.script.answer(400, b'"invalid label name"', path="silences", method="POST")
    assert await mirrored.mirror.keep()
    assert len(await mirrored.client.silences()) == 1
    assert await mirrored.mirror.keep()  # and it is tried again
    assert len(await mirrored.client.silences()) == 2


def test_one_alert_offers_its_labels_without_those_that_a_restart_changes() -> None:
    alert = make_alert_view(labels={"pod": "web-7f9c", "replica": "a"})
    on = {choice.name for choice in choices_of([alert]) if choice.on}
    assert on == {"alertname", "severity", "job", "instance"}


def test_a_group_is_silenced_as_a_whole_and_its_instances_are_offered() -> None:
    alerts = [make_alert_view(labels={"instance": f"db-{n}.example.org:9100"}) for n in (1, 2)]
    choices = {choice.name: choice for choice in choices_of(alerts)}
    assert choices["alertname"].on
    assert not choices["instance"].on
    assert choices["instance"].value == r"db-1\.example\.org:9100|db-2\.example\.org:9100"
    assert all(choices["instance"].matcher.matches(alert.labels) for alert in alerts)


def test_odd_values_are_taken_literally() -> None:
    values = ["a|b", "(c)", "d\\e", "f*", 'g"h\n', "ы{1}"]
    alerts = [make_alert_view(labels={"path": value}) for value in values]
    path = next(choice for choice in choices_of(alerts) if choice.name == "path")
    assert [value for value in [*values, "a", "b", "c", "ff", "ы"] if path.matcher.matches({"path": value})] == values


def test_a_reply_to_what_was_there_before_the_question_is_no_answer_to_it() -> None:
    on_its_way = Plan(asking="reason", asked_after=7)
    assert [number for number in (None, 3, 7, 8, 9) if on_its_way.is_answered_by(number)] == [8, 9]
    assert [number for number in (None, 3, 8, 9) if replace(on_its_way, asked=8).is_answered_by(number)] == [8]
    assert not Plan(asked_after=7).is_answered_by(8)
