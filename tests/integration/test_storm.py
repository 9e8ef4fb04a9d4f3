"""A storm of a thousand groups in one chat, under the real limits and simulated time: what a person sees, and when."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot

from relay.bot.digest_keyboard import digest_keyboard
from relay.channels.telegram.channel import TelegramChannel, open_bot
from relay.channels.telegram_options import TelegramConfig, TelegramOptions
from relay.clock import MINUTE
from relay.delivery import MOST_OTHERS
from relay.delivery.budget import Budget
from relay.demo.telegram import FakeTelegram
from relay.ingest.policy import Policy
from relay.ingest.reconcile import reroute_incident
from relay.notification import Limits
from relay.rendering import Renderer
from relay.routing import RouteConfig, Router
from relay.severity import SeverityMap
from relay.store.deliveries import follow_config
from relay.store.held import open_incidents
from tests.simulation import Simulation, simulate
from tests.state import LIVING, START, FakeClock, State, open_state, postgres_engine, sqlite_engine
from tests.storms import CRITICALS, GROUPS, deliver, message

CHAT, STRANGER = -1001, 4711


class Storm:
    """One chat of the strict stand-in, and what a person sees in it."""

    def __init__(self, simulation: Simulation, telegram: FakeTelegram, bot: Bot) -> None:
        self.simulation = simulation
        self.telegram = telegram
        self.bot = bot
        self.state = simulation.state

    @property
    def messages(self) -> list[Any]:
        return self.telegram.chat(CHAT).messages

    @property
    def texts(self) -> str:
        return "\n".join(one.text for one in self.messages)

    @property
    def head(self) -> Any:
        return next(one for one in self.messages if "torm" in one.text.splitlines()[0])

    def at(self, seconds: float, do: Callable[[], Any]) -> None:
        async def happening() -> None:
            found = do()
            if inspect.isawaitable(found):
                await found

        self.simulation.at(seconds, happening)

    async def say(self, text: str) -> None:
        """The bot says something in the chat."""
        await self.bot.send_message(CHAT, text)

    def fires(self, numbers: Iterable[int], at: float, **labels: Any) -> None:
        starts = START + int(at * 1000)
        self.at(at, lambda: deliver(self.state, [message(one, starts=starts, **labels) for one in numbers]))

    def resolves(self, numbers: Iterable[int], at: float) -> None:
        ends = START + int(at * 1000)
        self.at(at, lambda: deliver(self.state, [message(one, firing=False, ends=ends) for one in numbers]))


@pytest.fixture
async def storm(tmp_path: Path) -> AsyncIterator[Storm]:
    async with open_state(sqlite_engine(tmp_path)) as state, opened(state) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storm]:
    """A storm on either database."""
    sqlite = request.param == "sqlite"
    engine = sqlite_engine(tmp_path) if sqlite else postgres_engine(request.getfixturevalue("postgres_url"))
    async with open_state(engine) as state, opened(state) as found:
        yield found


@asynccontextmanager
async def opened(
    state: State, channels: Mapping[str, Mapping[str, Any]] | None = None, **chat: Any
) -> AsyncIterator[Storm]:
    """`channels` are options by name, all of one chat; `chat` is how that is."""
    async with FakeTelegram(clock=lambda: (state.clock() - START) / 1000, burst=1) as telegram:
        telegram.add_chat(CHAT, **chat)
        bot = open_bot(TelegramConfig.model_validate({"bot_token": telegram.token, "api_url": telegram.url}))
        made = [
            TelegramChannel(
                name,
                TelegramOptions.model_validate({"type": "telegram", "chat_id": CHAT, **options}),
                bot=bot,
                renderer=Renderer(),
                digest_keyboard=digest_keyboard("en", silences=True),
            )
            for name, options in (channels or {"chat": {}}).items()
        ]
        try:
            async with simulate(state, made) as simulation:
                yield Storm(simulation, telegram, bot)
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


async def test_when_all_resolves_the_digest_is_true_in_90_seconds_and_ends_as_a_line_and_a_file(storm: Storm) -> None:
    storm.fires(range(GROUPS), at=1)
    storm.resolves(range(GROUPS), at=100)
    await storm.simulation.run(118)
    assert f"{GROUPS} resolved" in storm.head.text
    await storm.simulation.run(190)
    assert "firing" not in storm.texts
    assert not [line for line in storm.texts.splitlines() if line and line[0] in "🔴🟠🟡"]
    await storm.simulation.run(400)
    assert "The alert storm is over" in storm.head.text
    assert f"{GROUPS} groups" in storm.head.text
    assert not any(one.text.startswith("Page") for one in storm.messages)
    [file] = [one.document for one in storm.messages if one.document]
    assert all(f"node-{number:04}" in file.body.decode() for number in range(GROUPS))
    assert len(storm.telegram.calls("deleteMessages")) == 1
    assert len(storm.messages) <= 20
    assert storm.telegram.floods.refused == 0
    calls = len(storm.telegram.journal)
    await storm.simulation.run(500)
    assert len(storm.telegram.journal) == calls


async def test_afterwards_what_still_matters_has_its_own_message_and_the_rest_stays_true(anywhere: Storm) -> None:
    storm = anywhere
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
    storm.fires(range(400), at=1)
    await storm.simulation.run(9)
    storm.simulation.start()
    await storm.simulation.run(61)
    assert len([one for one in storm.messages if "torm" in one.text.splitlines()[0]]) == 1
    assert named(storm, range(400))
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
    storm.fires(range(100, 130), at=1)
    for second in range(0, 150, 3):
        storm.fires(range(130 + second * 2, 130 + second * 2 + 6), at=4 + second)
    await storm.simulation.run(220)
    assert "330 groups" in storm.head.text
    assert named(storm, range(100, 430))
    assert storm.telegram.floods.refused == 0
    assert [one.silent for one in storm.messages].count(False) == 1


async def test_a_message_of_the_digest_that_somebody_deletes_comes_back(storm: Storm) -> None:
    storm.fires(range(100, 400), at=1)
    await storm.simulation.run(30)
    chat = storm.telegram.chat(CHAT)
    page = next(one for one in storm.messages if one.text.startswith("Page 1"))
    chat.messages.remove(page)
    chat.messages.remove(storm.head)
    storm.resolves(range(100, 400), at=40)
    await storm.simulation.run(100)
    assert "All of it is resolved" in storm.head.text
    [file] = [one.document for one in storm.messages if one.document]
    assert all(f"node-{number:04}" in file.body.decode() for number in range(100, 400))


async def test_what_fires_soon_after_all_of_a_storm_has_ended_rings_in_a_message_of_its_own(storm: Storm) -> None:
    storm.fires(range(100, 400), at=1)
    storm.resolves(range(100, 400), at=60)
    await storm.simulation.run(75)
    assert "300 resolved" in storm.head.text
    storm.fires([500], at=110)
    await storm.simulation.run(120)
    [own] = [one for one in storm.messages if "node-0500" in one.text]
    assert not own.silent
    assert "node-0500" not in storm.head.text


async def test_an_hours_outage_ends_in_a_handful_of_true_messages_that_say_when_it_was(storm: Storm) -> None:
    storm.at(5, storm.telegram.down)
    for minute in range(50):
        storm.fires([100 + minute], at=10 + 60 * minute)
        storm.resolves([100 + minute], at=40 + 60 * minute + (0 if minute % 5 else 1e6))
    storm.at(3605, storm.telegram.up)
    await storm.simulation.run(3665)
    assert len(storm.messages) <= 5
    assert "10 firing, 40 resolved" in storm.head.text
    assert "This happened at 14:13 and is shown late." in storm.head.text
    assert named(storm, range(100, 150))


async def test_after_an_outage_a_few_incidents_have_one_true_message_each(storm: Storm) -> None:
    storm.at(5, storm.telegram.down)
    for number in (100, 101, 102):
        storm.fires([number], at=10)
        for again in range(3):
            storm.resolves([number], at=100 + 2000 * again)
            storm.fires([number], at=110 + 2000 * again)
    storm.resolves([100], at=4200)
    storm.at(4300, storm.telegram.up)
    await storm.simulation.run(4360)
    assert len(storm.messages) == 3
    assert [one.text[0] for one in sorted(storm.messages, key=lambda one: one.text.split("node-")[1])] == list("🟢🟡🟡")
    assert all("and is shown late" in one.text for one in storm.messages)


async def test_a_429_is_obeyed_to_the_second(storm: Storm) -> None:
    answer = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 7}}
    storm.telegram.fail_next("sendMessage", status=429, body=answer)
    storm.fires([100], at=1)
    await storm.simulation.run(30)
    first, second = [call.at for call in storm.telegram.calls("sendMessage")]
    assert 7 <= second - first <= 8


def budget_for_answers(storm: Storm, chat: int) -> Budget:
    bot = storm.telegram.token.partition(":")[0]
    limits = Limits(destination=((3, 1.0),), account=((30, 1.0),))
    return storm.simulation.delivery.budget(f"telegram:{chat}", f"telegram:{bot}", limits)


async def test_people_are_answered_during_a_storm_and_nothing_exceeds_the_limits(storm: Storm) -> None:
    budget = budget_for_answers(storm, CHAT)
    waited: list[float] = []

    async def answer() -> None:
        """As the bot does: at once if the budget allows it."""
        now = storm.simulation.monotonic()
        waited.append(budget.delay(now, urgent=True))
        if waited[-1] == 0:
            tickets = budget.take(now)
            await storm.say("an answer")
            budget.settle(tickets, now)

    storm.fires(range(300), at=1)
    for second in (20.5, 40.5, 60.5, 80.5, 100.5, 120.5):
        storm.at(second, answer)
    await storm.simulation.run(130)
    assert max(waited) <= 1
    assert storm.telegram.floods.refused == 0


async def test_two_channels_of_one_chat_share_its_budget_and_each_topic_has_its_digest(tmp_path: Path) -> None:
    routes = (
        RouteConfig(matchers=['severity="error"'], channels=["errors"]),
        RouteConfig(channels=["chat"]),
    )
    places = {"chat": LIVING, "errors": LIVING}
    async with (
        open_state(sqlite_engine(tmp_path), routes=routes, capabilities=places) as state,
        opened(state, {"chat": {"topic_id": 7}, "errors": {"topic_id": 8}}, topics={7: "all", 8: "errors"}) as storm,
    ):
        storm.fires(range(100, 400), at=1)
        await storm.simulation.run(100)
        threads = {one.thread_id for one in storm.messages}
        heads = {one.thread_id: one.text for one in storm.messages if "torm" in one.text.splitlines()[0]}
    assert threads == {7, 8}
    assert "270 firing" in heads[7]
    assert "30 firing" in heads[8]
    assert named(storm, range(100, 400))
    assert storm.telegram.floods.refused == 0


async def test_chats_of_one_bot_share_the_bots_budget_and_one_that_must_wait_leaves_the_other_alone(
    tmp_path: Path,
) -> None:
    places = {"chat": {}, "other": {"chat_id": CHAT - 1}}
    async with open_state(sqlite_engine(tmp_path)) as state, opened(state, places) as storm:
        here, there, stranger = (budget_for_answers(storm, chat) for chat in (CHAT, CHAT - 1, STRANGER))
    assert here.account is there.account is stranger.account
    here.pause(7.0)
    assert (here.delay(0.0), there.delay(0.0), stranger.delay(0.0)) == (7.0, 0.0, 0.0)
    for _ in range(20):
        stranger.account.take(0.0)
    assert (there.delay(0.5), stranger.delay(0.5, urgent=True)) == (0.0, 0.5)  # a flood of strangers leaves us a part
    for _ in range(10):
        here.account.take(0.0)
    assert (there.delay(0.5), stranger.delay(0.5)) == (0.5, 0.5)


async def test_what_strangers_were_answered_lately_is_remembered_and_not_of_all_the_world(storm: Storm) -> None:
    for _ in range(3):
        budget_for_answers(storm, STRANGER).take(0.0)
    for chat in range(1, MOST_OTHERS):
        budget_for_answers(storm, chat)
    assert budget_for_answers(storm, STRANGER).delay(0.5) == 0.5
    for chat in range(MOST_OTHERS):
        budget_for_answers(storm, chat)
    assert budget_for_answers(storm, STRANGER).delay(0.5) == 0.0


async def test_more_names_than_eight_pages_hold_are_in_a_file(storm: Storm) -> None:
    place = "a-quite-long-name-of-a-workload-in-kubernetes"
    storm.fires(range(100, 1000), at=1, place=place)
    await storm.simulation.run(61)
    pages = [one for one in storm.messages if one.text.startswith("Page")]
    [file] = [one.document for one in storm.messages if one.document]
    assert len(pages) == 8
    assert "in the file alone" in storm.head.text
    assert all(f"{place}-{number:04}" in file.body.decode() for number in range(100, 1000))
    assert len(storm.messages) <= 20
    assert storm.telegram.floods.refused == 0


async def test_a_digest_that_the_chat_does_not_take_costs_no_alert(storm: Storm) -> None:
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: something about digests"}
    storm.telegram.fail_next("sendMessage", status=400, body=refusal)
    storm.fires(range(100, 130), at=1)
    await storm.simulation.run(200)
    assert named(storm, range(100, 130))
    assert len(storm.messages) == 30


@pytest.mark.parametrize("second", [0, 5.5, 6.5, 8])
async def test_a_crash_during_a_call_doubles_that_one_message_at_most(storm: Storm, second: float) -> None:
    """The chat took the message and nobody knows: a critical incident's, the head, a page."""
    storm.fires(range(300), at=1)
    storm.at(second, lambda: storm.telegram.fail_next("sendMessage", after=True, reset=True))
    await storm.simulation.run(61)
    assert named(storm, range(300))
    texts = [one.text.splitlines()[0] for one in storm.messages]
    assert len(texts) - len(set(texts)) <= 1


async def test_a_channel_that_is_new_in_the_config_gets_a_digest_without_sound(tmp_path: Path) -> None:
    before = [RouteConfig(channels=["old"])]
    async with open_state(sqlite_engine(tmp_path), routes=before, capabilities={"old": LIVING}) as state:
        await deliver(state, [message(number) for number in range(100, 160)])
    severities = SeverityMap()
    policy = Policy(
        router=Router([RouteConfig(channels=["chat"])], severities), severities=severities, reopen={"chat": 0, "old": 0}
    )
    later = FakeClock(START + MINUTE)
    async with open_state(sqlite_engine(tmp_path), clock=later) as state, opened(state) as storm:
        for incident_id in await state.database.read(open_incidents):
            await state.database.write(reroute_incident, policy, state.new_id, state.clock, incident_id)
        await storm.simulation.run(90)
        assert "60 groups" in storm.head.text
        assert all(one.silent for one in storm.messages)


async def test_what_alertmanager_repeats_all_at_once_is_no_storm_unless_criticals_wait_for_somebody(
    storm: Storm,
) -> None:
    def repeats(numbers: Iterable[int], at: float) -> None:
        again = [message(one, starts=START + 1000, notification_reason="repeat interval elapsed") for one in numbers]
        storm.at(at, lambda: deliver(storm.state, again))

    storm.fires(range(40), at=1)
    await storm.simulation.run(400)
    told = len(storm.messages)
    repeats(range(CRITICALS, 40), at=700)
    await storm.simulation.run(800)
    assert len(storm.messages) == told
    repeats(range(CRITICALS), at=900)
    await storm.simulation.run(1000)
    assert len(storm.messages) == told + CRITICALS


async def test_what_fires_after_the_storm_rings_though_the_digest_still_shows_its_group(storm: Storm) -> None:
    storm.fires(range(40), at=1)
    await storm.simulation.run(400)
    told = len(storm.messages)
    storm.fires([11, 12], at=450, severity="critical", disk="sda")
    await storm.simulation.run(460)
    assert sorted((one.text.splitlines()[0], one.silent) for one in storm.messages[told:]) == [
        ("🔴 Critical: Alert11 · service-4 · eu · node-0011", False),
        ("🔴 Critical: Alert12 · service-5 · eu · node-0012", False),
    ]


async def test_a_digest_that_is_refused_after_the_storm_leaves_what_fires_without_a_sound_and_nothing_else(
    storm: Storm,
) -> None:
    storm.fires(range(100, 130), at=1)
    storm.resolves(range(120, 130), at=100)
    await storm.simulation.run(400)
    before = list(storm.messages)
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: something about digests"}
    storm.telegram.fail_next("editMessageText", status=400, body=refusal)
    storm.resolves([119], at=410)
    await storm.simulation.run(600)
    own = sum("Error" in one.text for one in before)
    after = [one for one in storm.messages if one not in before]
    assert [one.silent for one in after] == [True] * (20 - own)
    assert [one.text for one in after if "Resolved" in one.text.splitlines()[0]] == [
        one.text for one in after if "node-0119" in one.text
    ]
    assert "torm" not in storm.texts  # nobody would keep true what the digest has left behind


async def test_what_a_refused_digest_leaves_behind_is_taken_away_after_an_outage_too(storm: Storm) -> None:
    storm.fires(range(100, 700), at=1)
    await storm.simulation.run(60)
    assert len([one for one in storm.messages if one.text.startswith("Page")]) > 1
    refusal = {"ok": False, "error_code": 400, "description": "Bad Request: something about digests"}
    storm.telegram.fail_next("editMessageText", status=400, body=refusal)
    storm.telegram.fail_next("deleteMessages", status=502, times=5)
    storm.resolves(range(100, 700), at=70)
    storm.at(75, storm.telegram.down)
    storm.at(1000, storm.telegram.up)
    await storm.simulation.run(1100)
    storm.simulation.start()
    await storm.simulation.run(2000)
    assert "600 firing" not in storm.texts
    assert not [line for line in storm.texts.splitlines() if line[:1] in set("🔴🟠🟡")]


async def test_a_digest_for_which_alone_the_chat_fails_costs_no_alert(storm: Storm) -> None:
    storm.telegram.fail_next("sendMessage", text="Alert storm", status=502, times=100_000)
    storm.fires(range(100, 130), at=1)
    await storm.simulation.run(400)
    assert named(storm, range(100, 130))
    assert len(storm.messages) == 30


async def test_a_digest_that_alone_can_no_longer_be_edited_holds_up_nothing_else(storm: Storm) -> None:
    storm.fires(range(100, 130), at=1)
    await storm.simulation.run(400)
    before = list(storm.messages)
    storm.telegram.fail_next("editMessageText", text="storm", status=502, times=100_000)
    storm.resolves([119], at=410)
    storm.fires(range(200, 203), at=500)
    storm.fires(range(203, 206), at=600)
    await storm.simulation.run(1000)
    own = {number: sent_alone(storm, number) for number in (119, *range(200, 206))}
    assert max(own[number].at - (500 if number < 203 else 600) for number in range(200, 206)) < 60
    assert "Resolved" in own[119].params["text"]
    assert [one.silent for one in storm.messages if one not in before].count(False) == 6


def sent_alone(storm: Storm, number: int) -> Any:
    calls = storm.telegram.calls("sendMessage")
    return next(one for one in calls if f"node-{number:04}" in one.params["text"] and "torm" not in one.params["text"])


async def test_a_message_that_only_replaces_another_is_not_called_late(storm: Storm) -> None:
    storm.fires([100], at=1)
    await storm.simulation.run(30)
    storm.messages.clear()  # by hand
    storm.at(40, storm.telegram.down)
    storm.at(50, lambda: deliver(storm.state, [message(100, starts=START + 1000, summary="worse")]))
    storm.at(1000, storm.telegram.up)
    await storm.simulation.run(1100)
    [anew] = storm.messages
    assert ("worse" in anew.text, "shown late" in anew.text, anew.silent) == (True, False, True)


async def test_a_digest_follows_its_channel_to_another_chat_without_a_sound(storm: Storm) -> None:
    storm.fires(range(100, 160), at=1)
    await storm.simulation.run(200)
    assert "60 firing" in storm.head.text
    storm.telegram.add_chat(CHAT - 1)
    options = TelegramOptions.model_validate({"type": "telegram", "chat_id": CHAT - 1})
    storm.simulation.channels = [TelegramChannel("chat", options, bot=storm.bot, renderer=Renderer())]
    for config in ("before", "after"):
        await storm.state.database.write(follow_config, {"chat": config}, storm.state.clock())
    storm.simulation.start()
    await storm.simulation.run(400)
    assert not [one for one in storm.messages if one.text[0] in "🔴🟠🟡"]
    there = storm.telegram.chat(CHAT - 1).messages
    texts = "\n".join(one.text for one in there)
    assert all(f"node-{number:04}" in texts for number in range(100, 160))
    assert all(one.silent for one in there)
