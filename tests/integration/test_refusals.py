"""Platforms that say never: one probe at a time, nothing else disturbed, and all shown in the end. Time is simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.channels.telegram.channel import TelegramChannel, open_bot
from relay.channels.telegram_options import TelegramConfig, TelegramOptions
from relay.clock import DAY, SECOND
from relay.demo.telegram import FakeTelegram
from relay.demo.telegram_chats import Topic
from relay.rendering import Renderer
from relay.routing import RouteConfig
from relay.store.deliveries import list_deliveries
from tests.simulation import Simulation, simulate
from tests.state import LIVING, open_state, sqlite_engine, wire_alert

CHAT = -1001
FIVE_MINUTES = 300


class Chat:
    """A forum of the strict stand-in with two channels: its General topic and topic 7."""

    def __init__(self, simulation: Simulation, telegram: FakeTelegram) -> None:
        self.simulation = simulation
        self.state = simulation.state
        self.telegram = telegram
        self.chat = telegram.chat(CHAT)

    async def post(self, name: str, severity: str = "warning") -> None:
        await self.state.post(wire_alert(name, severity=severity), key=name)

    async def dead(self) -> Sequence[str]:
        return [one.reason for one in await self.state.database.read(list_deliveries, "dead")]

    def texts(self) -> list[str]:
        return [message.text.splitlines()[0] for message in self.chat.messages]


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    routes = [RouteConfig(matchers=['severity="info"'], channels=["topic"]), RouteConfig(channels=["general"])]
    async with (
        open_state(
            sqlite_engine(tmp_path), routes=routes, capabilities=dict.fromkeys(("general", "topic"), LIVING)
        ) as state,
        FakeTelegram(limits=False) as telegram,
        open_channels(telegram) as channels,
        simulate(state, channels) as simulation,
    ):
        yield Chat(simulation, telegram)


@asynccontextmanager
async def open_channels(telegram: FakeTelegram) -> AsyncIterator[list[TelegramChannel]]:
    chat = telegram.add_chat(CHAT, forum=True)
    chat.topics[7] = Topic("low")
    bot = open_bot(TelegramConfig.model_validate({"bot_token": telegram.token, "api_url": telegram.url}))
    named = {"general": TelegramOptions(type="telegram", chat_id=CHAT)}
    named["topic"] = TelegramOptions(type="telegram", chat_id=CHAT, topic_id=7)
    yield [TelegramChannel(name, options, bot=bot, renderer=Renderer()) for name, options in named.items()]
    await bot.session.close()


async def test_a_kicked_bot_probes_every_five_minutes_and_shows_all_when_it_is_back(chat: Chat) -> None:
    chat.chat.bot_status = "kicked"
    for number in range(4):
        await chat.post(f"Alert{number}")
    await chat.simulation.run(4 * FIVE_MINUTES - 10)
    assert len(chat.telegram.calls("sendMessage")) == 4
    assert await chat.dead() == []
    chat.chat.bot_status = "member"
    await chat.simulation.run(4 * FIVE_MINUTES + 60)
    assert len(chat.texts()) == 4


async def test_somebody_who_says_that_it_works_again_is_believed_at_once(chat: Chat) -> None:
    chat.chat.bot_status = "kicked"
    await chat.post("Alert")
    await chat.simulation.run(30)
    chat.chat.bot_status = "member"
    await chat.simulation.run(60)
    assert chat.texts() == []
    chat.simulation.delivery.resume("general")
    await chat.simulation.run(90)
    assert len(chat.texts()) == 1


async def test_a_deleted_topic_holds_up_nobody_else_in_the_chat(chat: Chat) -> None:
    del chat.chat.topics[7]
    await chat.post("Lost", severity="info")
    await chat.simulation.run(30)
    for number in range(3):
        await chat.post(f"Alert{number}")
    await chat.simulation.run(90)
    assert len(chat.texts()) == 3
    chat.chat.topics[7] = Topic("low")
    await chat.simulation.run(90 + FIVE_MINUTES)
    assert len(chat.texts()) == 4


async def test_what_is_too_old_is_given_up_together_and_not_by_a_call_each(chat: Chat) -> None:
    chat.chat.bot_status = "kicked"
    for number in range(20):
        await chat.post(f"Alert{number}")
    chat.state.clock.advance(DAY)
    await chat.simulation.run(DAY / SECOND + 120)
    assert set(await chat.dead()) == {"expired"}
    assert len(await chat.dead()) == 20
    assert len(chat.telegram.calls("sendMessage")) <= 2
    text = chat.simulation.metrics.render()[0].decode()
    assert 'relay_notifications_total{channel="general",outcome="dead",type="telegram"} 20.0' in text


async def test_what_rings_while_its_group_becomes_a_supergroup_rings_in_the_new_chat(chat: Chat) -> None:
    await chat.state.post(wire_alert("DiskFull", severity="warning"))
    await chat.simulation.run(30)
    moved = chat.telegram.migrate(CHAT, -1009)
    await chat.state.post(wire_alert("DiskFull", severity="warning"), wire_alert("DiskFull", instance="db-4"))
    await chat.simulation.run(60)
    assert [message.silent for message in moved.messages] == [False]


async def test_a_list_that_the_chat_does_not_take_leaves_its_message_as_it_is(chat: Chat) -> None:
    too_large = {"ok": False, "error_code": 413, "description": "Request Entity Too Large"}
    chat.telegram.fail_next("sendDocument", times=9, status=413, body=too_large)
    alerts = [wire_alert("DiskFull", severity="warning", instance=f"db-{number}") for number in range(12)]
    await chat.state.post(*alerts)
    await chat.simulation.run(30)
    await chat.state.post(*alerts, wire_alert("DiskFull", severity="info", instance="db-99"))
    await chat.simulation.run(60)
    assert chat.chat.messages[0].entities
    assert len(chat.telegram.calls("sendDocument")) == 1
    assert await chat.dead() == []
