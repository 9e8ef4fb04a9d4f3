"""A storm of a thousand groups in one chat, under the real limits and simulated time: what a person sees, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.channels.telegram.channel import TelegramChannel, open_bot
from relay.channels.telegram_options import TelegramConfig, TelegramOptions
from relay.demo.telegram import FakeTelegram
from relay.ingest.accept import Delivered, Source, acceptor
from relay.rendering import Renderer
from tests.simulation import Simulation, simulate
from tests.state import START, State, open_state, sqlite_engine, wire_alert, wire_message

CHAT = -1001
GROUPS = 1000
CRITICALS = 5


def message(number: int, *, firing: bool = True, ends: int | None = None, **labels: Any) -> Any:
    """The webhook message of one group of a storm: the first few are critical."""
    severity = "critical" if number < CRITICALS else "error" if number % 10 == 0 else "warning"
    name = f"Alert{number % 20:02}"
    alert = wire_alert(
        name, firing=firing, severity=severity, service=f"service-{number % 7}", instance=f"node-{number:04}",
        cluster="eu", ends=ends, **labels,
    )  # fmt: skip
    group = {"alertname": name, "instance": f"node-{number:04}"}
    return wire_message(alert, key=f"{{}}:{number}", groupLabels=group)


async def deliver(state: State, messages: Iterable[Any]) -> None:
    """All at the same moment, as Alertmanager does in a storm."""
    accept = acceptor(state.policy, state.new_id, state.clock)
    source = Source(name="main", has_api=True)
    delivered = [Delivered(source=source, message=one) for one in messages]
    await asyncio.gather(*(state.database.write_batched(accept, one) for one in delivered))


class Storm:
    """One chat of the strict stand-in, and what a person sees in it."""

    def __init__(self, simulation: Simulation, telegram: FakeTelegram) -> None:
        self.simulation = simulation
        self.telegram = telegram
        self.state = simulation.state
        self.fire_at = self.simulation.at

    @property
    def messages(self) -> list[Any]:
        return self.telegram.chat(CHAT).messages

    @property
    def texts(self) -> str:
        return "\n".join(one.text for one in self.messages)

    @property
    def head(self) -> Any:
        return next(one for one in self.messages if "torm" in one.text.splitlines()[0])

    def fires(self, numbers: Iterable[int], at: float) -> None:
        self.simulation.at(at, lambda: deliver(self.state, [message(number) for number in numbers]))

    def resolves(self, numbers: Iterable[int], at: float) -> None:
        ends = START + int(at * 1000)
        self.simulation.at(at, lambda: deliver(self.state, [message(one, firing=False, ends=ends) for one in numbers]))


@pytest.fixture
async def storm(tmp_path: Path) -> AsyncIterator[Storm]:
    async with open_state(sqlite_engine(tmp_path)) as state, opened(state) as found:
        yield found


@asynccontextmanager
async def opened(state: State, **options: Any) -> AsyncIterator[Storm]:
    telegram = FakeTelegram(clock=lambda: (state.clock() - START) / 1000, burst=1)
    async with telegram:
        telegram.add_chat(CHAT)
        config = TelegramConfig.model_validate({"bot_token": telegram.token, "api_url": telegram.url})
        bot = open_bot(config)
        channel = TelegramChannel(
            "chat",
            TelegramOptions.model_validate({"type": "telegram", "chat_id": CHAT, **options}),
            bot=bot,
            renderer=Renderer(),
        )
        try:
            async with simulate(state, [channel]) as simulation:
                yield Storm(simulation, telegram)
        finally:
            await bot.session.close()


def named(storm: Storm, numbers: Iterable[int]) -> bool:
    texts = storm.texts
    return all(f"node-{number:04}" in texts for number in numbers)


async def test_a_thousand_groups_are_told_in_a_minute_and_fewer_than_twenty_messages(storm: Storm) -> None:
    storm.fires(range(GROUPS), at=1)
    await storm.simulation.run(11)
    assert f"{GROUPS} groups" in storm.head.text
    assert f"{GROUPS} firing" in storm.head.text
    assert f"critical {CRITICALS} · 🟠 error 99 · 🟡 warning 896" in storm.head.text
    own = [one for one in storm.messages if one.text.startswith("🔴 Critical")]
    assert sorted(one.text.split("node-")[1][:4] for one in own) == [f"{number:04}" for number in range(CRITICALS)]
    assert not any(one.silent for one in [storm.head, *own])
    await storm.simulation.run(61)
    assert named(storm, range(GROUPS))
    assert len(storm.messages) <= 20
    assert storm.telegram.floods.refused == 0
    assert all(one.silent for one in storm.messages if one.text.startswith("Page"))


async def test_when_all_resolves_the_head_says_so_within_30_seconds_and_everything_within_90(storm: Storm) -> None:
    storm.fires(range(GROUPS), at=1)
    storm.resolves(range(GROUPS), at=100)
    await storm.simulation.run(130)
    assert f"{GROUPS} resolved" in storm.head.text
    await storm.simulation.run(190)
    assert "firing" not in storm.texts
    assert not [line for line in storm.texts.splitlines() if line and line[0] in "🔴🟠🟡"]
    assert named(storm, range(GROUPS))
    assert storm.telegram.floods.refused == 0


async def test_a_storm_ends_with_what_it_was_a_file_of_every_group_and_nothing_else(storm: Storm) -> None:
    storm.fires(range(GROUPS), at=1)
    storm.resolves(range(GROUPS), at=100)
    await storm.simulation.run(400)
    assert "The alert storm is over" in storm.head.text
    assert f"{GROUPS} groups" in storm.head.text
    assert not any(one.text.startswith("Page") for one in storm.messages)
    [file] = [one.document for one in storm.messages if one.document]
    assert all(f"node-{number:04}" in file.body.decode() for number in range(GROUPS))
    assert len(storm.telegram.calls("deleteMessages")) == 1
    assert len(storm.messages) <= 20
    calls = len(storm.telegram.journal)
    await storm.simulation.run(600)
    assert len(storm.telegram.journal) == calls


async def test_afterwards_what_still_matters_has_its_own_message_and_the_rest_stays_true(storm: Storm) -> None:
    numbers = range(60)
    storm.fires(numbers, at=1)
    storm.resolves([number for number in numbers if number not in (0, 10, 20, 31)], at=60)
    await storm.simulation.run(300)
    own = [one for one in storm.messages if "torm" not in one.text and "node-" in one.text]
    firing = {one.text.split("node-")[1][:4] for one in own if one.text[0] in "🔴🟠🟡"}
    assert firing == {"0000", "0010", "0020"}
    assert "4 firing" in storm.head.text
    storm.resolves([0, 10, 20, 31], at=310)
    await storm.simulation.run(400)
    assert "60 resolved" in storm.head.text
    assert not [one for one in storm.messages if one.text[0] in "🔴🟠🟡"]


async def test_a_relay_that_dies_in_the_middle_goes_on_with_the_same_digest(storm: Storm) -> None:
    storm.fires(range(GROUPS), at=1)
    await storm.simulation.run(9)
    storm.simulation.start()
    await storm.simulation.run(61)
    assert len([one for one in storm.messages if "torm" in one.text.splitlines()[0]]) == 1
    assert named(storm, range(GROUPS))
    assert len(storm.messages) <= 20


async def test_a_dozen_groups_are_named_in_the_head_itself(storm: Storm) -> None:
    storm.fires(range(10, 30), at=1)
    await storm.simulation.run(120)
    assert len(storm.messages) == 1
    assert named(storm, range(10, 30))


async def test_a_few_groups_are_no_storm(storm: Storm) -> None:
    storm.fires(range(10, 20), at=1)
    await storm.simulation.run(30)
    assert len(storm.messages) == 10
    assert "torm" not in storm.texts


async def test_new_alerts_during_a_storm_are_added_without_sound_and_do_not_end_it(storm: Storm) -> None:
    for second in range(0, 240, 2):
        storm.fires(range(100 + second * 5, 100 + second * 5 + 10), at=1 + second)
    await storm.simulation.run(300)
    assert "1200 groups" in storm.head.text
    assert named(storm, range(100, 1300))
    assert storm.telegram.floods.refused == 0
    assert [one.silent for one in storm.messages].count(False) <= 3  # those before the storm, and its head


async def test_a_message_of_the_digest_that_somebody_deletes_comes_back(storm: Storm) -> None:
    storm.fires(range(100, 400), at=1)
    await storm.simulation.run(30)
    chat = storm.telegram.chat(CHAT)
    page = next(one for one in storm.messages if one.text.startswith("Page 1"))
    chat.messages.remove(page)
    chat.messages.remove(storm.head)
    storm.resolves(range(100, 400), at=40)
    await storm.simulation.run(100)
    assert "300 resolved" in storm.head.text
    assert named(storm, range(100, 400))
