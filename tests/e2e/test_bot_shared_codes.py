"""Five letters are short: now and then two things share them, and then nobody's words are taken for the wrong one."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection

from relay.alerts import fingerprint_of
from relay.clock import HOUR, Clock, system_clock
from relay.demo.alertmanager import FakeAlertmanager
from relay.demo.alertmanager_rules import StoredSilence
from relay.ids import alert_code
from relay.silencing import silence_code
from relay.store.findings import known_firing
from relay.store.schema import alert_groups
from relay.store.subjects import RECENT
from tests.bot_relay import ANNA, BotRelay, open_bot_relay
from tests.relay_process import fire
from tests.state import wire_alert

T = TypeVar("T")


def first_pair(things: Iterable[T], code: Callable[[T], str]) -> tuple[T, T]:
    """The first two that share a code: a few thousand tries."""
    seen: dict[str, T] = {}
    for thing in things:
        if (other := seen.setdefault(code(thing), thing)) is not thing:
            return other, thing
    raise AssertionError("there are only so many codes")


def labels(host: str) -> dict[str, str]:
    return {"alertname": "DiskFull", "severity": "critical", "instance": host}


def fingerprint(host: str) -> str:
    return fingerprint_of(labels(host))


HOSTS = first_pair((f"db-{number}" for number in itertools.count()), lambda host: alert_code("main", fingerprint(host)))
CODE = alert_code("main", fingerprint(HOSTS[0]))


@pytest.fixture
async def alertmanager() -> AsyncIterator[FakeAlertmanager]:
    fake = FakeAlertmanager()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def bot(tmp_path: Path, alertmanager: FakeAlertmanager) -> AsyncIterator[BotRelay]:
    alertmanagers = [{"name": "main", "urls": [alertmanager.url], "poll": 0}]
    async with open_bot_relay(tmp_path, alertmanagers=alertmanagers) as running:
        yield running


async def both_fire(bot: BotRelay) -> None:
    await bot.post(*(wire_alert(instance=host) for host in HOSTS))


async def taken(bot: BotRelay) -> list[str]:
    """The hosts whose alert somebody has."""
    known = await bot.relay.database.read(known_firing, ["main"], system_clock())
    return [host for host in HOSTS if ("main", fingerprint(host)) in known]


@pytest.mark.parametrize("command", ["/alert", "/ack", "/unack"])
async def test_of_two_alerts_the_one_that_is_meant_is_asked_for(bot: BotRelay, command: str) -> None:
    await both_fire(bot)
    long_ids = ", ".join(f"DiskFull ({one})" for one in sorted(map(fingerprint, HOSTS)))
    answer = await bot.ask(ANNA, f"{command} {CODE}")
    assert answer.text == f"Several alerts have the ID {CODE}: {long_ids}. Say which one by the ID in brackets."
    assert await taken(bot) == []


async def test_the_long_id_names_one_of_them(bot: BotRelay) -> None:
    await both_fire(bot)
    assert (await bot.ask(ANNA, f"/ack {fingerprint(HOSTS[1])}")).text == "anna has it: DiskFull"
    assert await taken(bot) == [HOSTS[1]]
    assert HOSTS[1] in (await bot.ask(ANNA, f"/alert {fingerprint(HOSTS[1])}")).text


async def test_the_other_may_be_one_that_only_alertmanager_knows(bot: BotRelay, alertmanager: FakeAlertmanager) -> None:
    await fire(alertmanager.url, *map(labels, HOSTS))
    await bot.fire(instance=HOSTS[0])
    await bot.ask(ANNA, "/alerts")  # shows both
    assert "Several alerts" in (await bot.ask(ANNA, f"/ack {CODE}")).text
    assert (await bot.ask(ANNA, f"/ack {fingerprint(HOSTS[1])}")).text == "anna has it: DiskFull"
    assert await taken(bot) == [HOSTS[1]]


async def test_of_two_that_only_alertmanager_knows_none_is_taken(bot: BotRelay, alertmanager: FakeAlertmanager) -> None:
    await fire(alertmanager.url, *map(labels, HOSTS))
    assert "Several alerts" in (await bot.ask(ANNA, f"/ack {CODE}")).text


async def test_who_means_the_one_that_has_just_ended_does_not_take_the_other(bot: BotRelay) -> None:
    await both_fire(bot)
    await bot.post(wire_alert(instance=HOSTS[0], firing=False, ends=bot.clock()), wire_alert(instance=HOSTS[1]))
    assert "Several alerts" in (await bot.ask(ANNA, f"/ack {CODE}")).text
    assert await taken(bot) == []


async def test_what_ended_long_ago_is_no_longer_meant(bot: BotRelay) -> None:
    await both_fire(bot)
    long_ago = bot.clock() - RECENT - HOUR
    await bot.post(wire_alert(instance=HOSTS[0], firing=False, ends=long_ago), wire_alert(instance=HOSTS[1]))
    assert (await bot.ask(ANNA, f"/ack {CODE}")).text == "anna has it: DiskFull"
    assert await taken(bot) == [HOSTS[1]]


async def test_of_two_groups_none_is_taken(bot: BotRelay) -> None:
    for host in HOSTS:
        await bot.post(wire_alert(instance=host), key=host)
    await bot.relay.database.write(_share_a_code)
    answer = await bot.ask(ANNA, "/ack gabcde")
    assert answer.text.startswith("Several groups have the ID gabcde")
    assert await taken(bot) == []


def _share_a_code(conn: Connection) -> None:
    conn.execute(alert_groups.update().values(code="gabcde"))


async def test_of_two_silences_none_is_ended_until_it_is_named(bot: BotRelay, alertmanager: FakeAlertmanager) -> None:
    ids = first_pair((str(UUID(int=number)) for number in itertools.count()), lambda one: silence_code("main", one))
    for silence_id in ids:
        alertmanager.silences[silence_id] = stored_silence(silence_id, system_clock)
    code = silence_code("main", ids[0])
    answer = await bot.ask(ANNA, f"/unsilence {code}")
    assert answer.text.startswith(f"Several silences have the ID {code}")
    assert all(one in answer.text for one in ids)
    await bot.ask(ANNA, f"/unsilence {ids[1]}")
    assert [alertmanager.silences[one].state(system_clock()) for one in ids] == ["active", "expired"]


def stored_silence(silence_id: str, clock: Clock) -> StoredSilence:
    now = clock()
    matcher = {"name": "alertname", "value": "DiskFull", "isRegex": False, "isEqual": True}
    return StoredSilence(
        id=silence_id,
        matchers=[matcher],
        starts_at=now - HOUR,
        ends_at=now + HOUR,
        updated_at=now,
        created_by="anna",
        comment="night",
    )
