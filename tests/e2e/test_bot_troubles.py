"""The bot when something is in the way: an Alertmanager that is slow or away, a tap twice, a store that is gone."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.clock import HOUR, MINUTE, system_clock, to_datetime
from relay.demo.alertmanager import FakeAlertmanager
from relay.demo.telegram import Message
from relay.matchers import Matcher
from relay.notification import DeliveryError
from relay.store.destinations import record_refusal
from tests.bot_relay import ANNA, BORIS, CHAT, VERA, BotRelay, captions, code_in, open_bot_relay

DISK = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeAlertmanager]:
    server = FakeAlertmanager(receiver="relay")
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def asking(folder: Path, *servers: FakeAlertmanager, **sections: Any) -> AsyncIterator[BotRelay]:
    """A relay that asks these Alertmanagers when somebody wants to know, and never by itself."""
    clusters = [{"name": f"am-{index}", "urls": [one.url], "poll": 0} for index, one in enumerate(servers)]
    async with open_bot_relay(folder, alertmanagers=clusters, **sections) as bot:
        yield bot


@pytest.fixture
async def bot(tmp_path: Path, fake: FakeAlertmanager) -> AsyncIterator[BotRelay]:
    async with asking(tmp_path, fake) as running:
        yield running


async def make_silence(bot: BotRelay, cluster: str = "am-0") -> str:
    now = system_clock()
    client = bot.relay._clusters[cluster]
    return await client.create_silence([Matcher("alertname", "DiskFull")], now, now + HOUR, "anna", "why")


def states(server: FakeAlertmanager) -> list[bool]:
    """Of each silence whether it mutes, or will."""
    return [one.ends_at > system_clock() for one in server.silences.values()]


async def test_a_tap_in_the_list_of_silences_is_answered_before_a_slow_alertmanager_is(
    bot: BotRelay, fake: FakeAlertmanager
) -> None:
    await make_silence(bot)
    listing = await bot.ask(VERA, "/silences")
    released = fake.script.hold(path="silences", method="GET")
    async with asyncio.timeout(2):
        await bot.press(listing, captions(listing)[1])
    assert states(fake) == [True]
    released.set()
    await bot.telegram.until(lambda: "Silence ended by anna" in bot.messages[-1].text)
    assert states(fake) == [False]


async def press_late(bot: BotRelay, message: Message, button: dict[str, Any], user: int = BORIS) -> None:
    """A tap on a button that has just gone: it was on its way already. Returns when the message was edited for it."""
    known = len(bot.telegram.calls("editMessageText"))
    message.buttons.append([{**button, "text": "Late"}])
    await bot.press(message, "Late", user)
    await bot.telegram.until(lambda: len(bot.telegram.calls("editMessageText")) > known)


async def test_a_second_tap_on_undo_says_the_same_as_the_first(bot: BotRelay, fake: FakeAlertmanager) -> None:
    fake.put_alert(DISK)
    made = await bot.ask(ANNA, "/silence 1h alertname=DiskFull")
    await bot.press(made, "Confirm")
    await bot.telegram.until(lambda: "Undo" in captions(made))
    undo = made.button("Undo")
    await bot.press(made, "Undo")
    await bot.telegram.until(lambda: "Silence again" in captions(made))
    await press_late(bot, made, undo)
    assert "Silence ended by anna" in made.text
    assert captions(made) == ["Silence again"]


async def test_a_second_tap_on_silence_again_makes_no_second_silence(bot: BotRelay, fake: FakeAlertmanager) -> None:
    made = await bot.ask(ANNA, f"/unsilence {await make_silence(bot)}")
    again = made.button("Silence again")
    await bot.press(made, "Silence again")
    await bot.telegram.until(lambda: "End" in captions(made))
    await press_late(bot, made, again)
    assert "Silenced until" in made.text
    assert states(fake) == [False, True]


async def test_a_silence_that_ended_elsewhere_is_said_to_have_ended_and_can_come_back(
    bot: BotRelay, fake: FakeAlertmanager
) -> None:
    made = await bot.ask(ANNA, f"/extend {await make_silence(bot)} 1h")
    [one] = await bot.relay._clusters["am-0"].silences()
    await bot.relay._clusters["am-0"].expire(one.id)
    await bot.press(made, "End")
    await bot.telegram.until(lambda: "This silence has ended." in made.text)
    await bot.press(made, "Silence again")
    await bot.telegram.until(lambda: "Silenced until" in made.text)
    assert states(fake) == [False, True]


@pytest.mark.parametrize("command", ["/unsilence sabcde", "/extend sabcde 1h", "/alert abcde", "/ack abcde"])
async def test_what_cannot_be_looked_up_now_is_not_said_to_be_unknown(
    bot: BotRelay, fake: FakeAlertmanager, command: str
) -> None:
    known = (await bot.ask(ANNA, command)).text
    assert "abcde" in known
    await fake.stop()
    assert (await bot.ask(ANNA, command)).text.startswith("Alertmanager am-0 cannot be reached: ")


async def test_an_alertmanager_that_says_no_is_named(tmp_path: Path, fake: FakeAlertmanager) -> None:
    other = FakeAlertmanager(receiver="relay")
    await other.start()
    try:
        async with asking(tmp_path, fake, other) as bot:
            for path in ("silences", "alerts"):
                for _ in range(2):  # it is asked again at once
                    other.script.answer(503, b'"too busy"', path=path)
                answer = await bot.ask(VERA, f"/{path}")
                await bot.telegram.until(lambda answer=answer: "too busy" in answer.text)  # type: ignore[misc]  # bound
                assert "Alertmanager am-1 answered 503: too busy" in answer.text
    finally:
        await other.stop()


async def test_a_russian_chat_is_told_in_russian_that_an_alertmanager_is_away(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    channels = {"chat": {"type": "telegram", "chat_id": CHAT, "language": "ru"}}
    async with asking(tmp_path, fake, channels=channels) as bot:
        await fake.stop()
        assert (await bot.ask(VERA, "/silences")).text.startswith("⚠️ Alertmanager am-0 недоступен: ")


async def test_the_last_state_is_dated_by_the_poll_that_confirmed_it(bot: BotRelay, fake: FakeAlertmanager) -> None:
    fake.put_alert(DISK)
    bot.clock.by = -2 * HOUR
    await bot.fire(instance="db-1")
    bot.clock.by = 0
    await bot.relay._pollers["am-0"].poll()
    answered_at = to_datetime(bot.clock())
    await fake.stop()
    answer = await bot.ask(VERA, "/alerts")
    await bot.telegram.until(lambda: "cannot be reached" in answer.text)
    assert any(f"known at {answered_at - ago:%H:%M}." in answer.text for ago in (timedelta(), timedelta(minutes=1)))
    assert "DiskFull" in answer.text


async def open_draft(bot: BotRelay, fake: FakeAlertmanager) -> Message:
    """The question how long, below an alert."""
    fake.put_alert(DISK)
    message = await bot.fire(instance="db-1")
    known = len(bot.messages)
    await bot.press(message, "Silence")
    await bot.telegram.until(lambda: len(bot.messages) > known)
    return bot.messages[known]


async def test_a_question_in_a_group_is_put_to_the_person_who_has_to_answer(
    bot: BotRelay, fake: FakeAlertmanager
) -> None:
    draft = await open_draft(bot, fake)
    await bot.press(draft, "Other…")
    question = await bot.answer_to(draft.id)
    assert question.text == "anna: How long? Reply with a duration such as 90m or 2d."
    [mention] = question.entities
    assert mention == {"type": "text_link", "offset": 0, "length": 4, "url": f"tg://user?id={ANNA}"}
    assert json.loads(bot.telegram.calls("sendMessage")[-1].params["reply_markup"])["selective"]


async def test_a_length_that_cannot_be_taken_is_asked_for_again(bot: BotRelay, fake: FakeAlertmanager) -> None:
    draft = await open_draft(bot, fake)
    await bot.press(draft, "Other…")
    question = await bot.answer_to(draft.id)
    again = await bot.ask(ANNA, "two hours", reply_to=question.id)
    assert again.text.startswith("anna: “two hours” is no duration. For example: 90m\nHow long?")
    again = await bot.ask(ANNA, "3d", reply_to=again.id)
    assert "Your role may silence for 1d at most." in again.text
    labels = await bot.ask(ANNA, "90m", reply_to=again.id)
    assert "Preview" in captions(labels)


async def test_which_cluster_is_meant_is_asked_while_one_does_not_answer(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    other = FakeAlertmanager(receiver="relay")
    await other.start()
    fake.put_alert(DISK)
    async with asking(tmp_path, fake, other) as bot:
        assert "Confirm" in captions(await bot.ask(ANNA, "/silence 1h alertname=DiskFull"))
        await other.stop()
        choice = await bot.ask(ANNA, "/silence 1h alertname=DiskFull")
        assert captions(choice)[:2] == ["am-0 (1)", "am-1 (?)"]


async def test_a_russian_chat_is_told_in_russian_what_cannot_be_read(tmp_path: Path, fake: FakeAlertmanager) -> None:
    channels = {"chat": {"type": "telegram", "chat_id": CHAT, "language": "ru"}}
    async with asking(tmp_path, fake, channels=channels) as bot:
        for command in ("/silence 2ч a=b", "/stats 2ч"):
            assert (await bot.ask(ANNA, command)).text.startswith("«2ч» — не длительность. Например: /")


async def test_a_silence_that_was_made_is_shown_even_if_the_history_cannot_be_written(
    bot: BotRelay, fake: FakeAlertmanager
) -> None:
    made = await bot.ask(ANNA, "/silence 1h alertname=DiskFull")
    await bot.relay.database.write(lambda conn: conn.execute(text("ALTER TABLE history RENAME TO lost")))
    try:
        await bot.press(made, "Confirm")
        await bot.telegram.until(lambda: "Undo" in captions(made))
    finally:
        await bot.relay.database.write(lambda conn: conn.execute(text("ALTER TABLE lost RENAME TO history")))
    assert states(fake) == [True]


async def test_a_note_that_telegram_did_not_take_is_told_later(bot: BotRelay, fake: FakeAlertmanager) -> None:
    fake.put_alert(DISK)
    await bot.fire(instance="db-1")
    id_ = await make_silence(bot)
    fake.silences[id_].starts_at -= 3 * HOUR
    fake.silences[id_].ends_at -= HOUR - 10 * MINUTE
    bot.telegram.fail_next("sendMessage", status=502, body="<html>Bad Gateway</html>")
    bot.clock.by = 31_000  # the next round looks at silences
    await bot.telegram.until(lambda: not bot.telegram.faults)
    assert not any("still fires" in one.text for one in bot.messages)
    bot.clock.by = 62_000
    await bot.telegram.until(lambda: any("still fires" in one.text for one in bot.messages))


async def test_a_note_may_stand_on_the_next_line(bot: BotRelay) -> None:
    message = await bot.fire()
    assert (await bot.ask(ANNA, f"/ack {code_in(message)}\nlooking")).text == "anna has it: DiskFull"
    await bot.telegram.until(lambda: "looking" in message.text)


async def test_details_without_alertmanager_say_so_and_show_the_silence_as_it_was_known(
    bot: BotRelay, fake: FakeAlertmanager
) -> None:
    fake.put_alert(DISK)
    message = await bot.fire(instance="db-1")
    await make_silence(bot)
    await bot.relay._refresh("am-0")
    assert "until" in (await bot.ask(VERA, f"/alert {code_in(message)}")).text
    await fake.stop()
    details = await bot.ask(VERA, f"/alert {code_in(message)}")
    assert "⚠️ Alertmanager am-0 cannot be reached: " in details.text
    assert "silenced until" in details.text
    assert "anna" in details.text


async def test_a_name_that_fires_in_two_clusters_is_offered_once_for_each(
    tmp_path: Path, fake: FakeAlertmanager
) -> None:
    other = FakeAlertmanager(receiver="relay")
    await other.start()
    try:
        async with asking(tmp_path, fake, other) as bot:
            fake.put_alert(DISK)
            for number in (1, 2):
                other.put_alert({**DISK, "instance": f"db-{number}"})
            question = await bot.ask(ANNA, "/silence")
            assert sorted(captions(question)) == ["DiskFull ×1 · am-0", "DiskFull ×2 · am-1"]
            await bot.press(question, "DiskFull ×2 · am-1")
            draft = await bot.answer_to(question.id)
            await bot.press(draft, "1h")
            await bot.telegram.until(lambda: "Preview" in captions(draft))
            await bot.press(draft, "Preview")
            await bot.telegram.until(lambda: "This hits 2 firing alerts now." in draft.text)
            assert "am-1" in draft.text
    finally:
        await other.stop()


async def test_the_page_of_a_name_counts_that_name_and_leads_back_when_it_is_over(
    bot: BotRelay, fake: FakeAlertmanager
) -> None:
    for number in range(20):
        fake.put_alert({**DISK, "instance": f"db-{number}"})
    load = {"alertname": "HighLoad", "severity": "warning"}
    fake.put_alert(load)
    listing = await bot.ask(VERA, "/alerts")
    await bot.press(listing, "HighLoad ×1", VERA)
    await bot.telegram.until(lambda: "All names" in captions(listing))
    assert listing.text.startswith("1 alert · warning 1\n")
    fake.end_alert(load)
    await bot.press(listing, "Refresh", VERA)
    await bot.telegram.until(lambda: "All names" not in captions(listing))
    assert listing.text.startswith("20 alerts · critical 20 · 1/3\n")


@pytest.mark.parametrize("dash", ["--", "—", "–"])
async def test_a_reason_follows_two_dashes_or_what_a_telegram_client_makes_of_them(bot: BotRelay, dash: str) -> None:
    preview = await bot.ask(ANNA, f'/silence 1h alertname="a -- b" {dash} deploying "v2')
    assert '{alertname="a -- b"}' in preview.text
    assert 'Reason: deploying "v2' in preview.text
    for broken in ('/silence 1h alertname="a', f'/silence 1h alertname="a {dash} why'):
        assert "double quote is not closed" in (await bot.ask(ANNA, broken)).text


async def test_what_a_tap_may_not_do_is_said_in_the_persons_language(tmp_path: Path, fake: FakeAlertmanager) -> None:
    channels = {"chat": {"type": "telegram", "chat_id": CHAT, "language": "ru"}}
    async with asking(tmp_path, fake, channels=channels) as bot:
        preview = await bot.ask(ANNA, "/silence 2h alertname=DiskFull")
        confirm = preview.button("Подтвердить")
        await bot.restart(bot={"max_silence": {"responder": "1h"}})
        preview.buttons = [[confirm]]
        assert (await bot.press(preview, "Подтвердить")).text == "Your role may silence for 1h at most."


async def test_details_do_not_wait_for_a_slow_alertmanager(bot: BotRelay, fake: FakeAlertmanager) -> None:
    message = await bot.fire(instance="db-1")
    released = fake.script.hold(path="silences", method="GET")
    async with asyncio.timeout(8):
        await bot.press(message, "Details", VERA)
        details = await bot.answer_to(message.id)
    assert "⚠️ am-0 is slow to answer." in details.text
    assert "instance: db-1" in details.text
    released.set()


async def test_the_status_does_not_wait_for_a_slow_alertmanager(bot: BotRelay, fake: FakeAlertmanager) -> None:
    released = fake.script.hold(path="status", method="GET")
    async with asyncio.timeout(8):
        status = await bot.ask(VERA, "/status")
    assert "⚠️ am-0 is slow to answer." in status.text
    released.set()


async def test_what_cannot_be_read_is_told_in_the_language_of_the_chat_with_an_example(bot: BotRelay) -> None:
    await bot.restart(channels={"chat": {"type": "telegram", "chat_id": CHAT, "language": "ru"}})
    for command in ("/alerts", "/silences", "/silence 2h"):
        said = (await bot.ask(ANNA, f"{command} instance=~[")).text
        assert re.fullmatch(r"Не могу разобрать: .+\. Например: /(alerts|silences?) .+", said), said


async def test_the_status_says_in_the_readers_language_what_is_wrong_with_a_channel(bot: BotRelay) -> None:
    refusal = DeliveryError("not_found", "no such topic", scope="destination", permanent=True)
    for language, said in (("en", ": no such topic"), ("ru", ": такого адреса нет (no such topic)")):
        # of a topic only a message finds out: else the relay's own look at the chat could end the pause before we ask
        channel = {"type": "telegram", "chat_id": CHAT, "topic_id": 7, "language": language}
        await bot.restart(channels={"chat": channel})
        await bot.until_config_is_followed()
        await bot.relay.database.write(record_refusal, "chat", bot.clock(), refusal)
        assert said in (await bot.ask(VERA, "/status")).text


async def test_an_alertmanager_without_peers_is_not_called_disabled(bot: BotRelay) -> None:
    status = await bot.ask(VERA, "/status")
    assert "✓ Alertmanager am-0" in status.text
    assert "disabled" not in status.text


async def test_a_list_of_nothing_has_no_holes(bot: BotRelay) -> None:
    answer = await bot.ask(VERA, "/alerts")
    assert answer.text.startswith("🟢 Nothing fires.")
    assert "\n\n\n" not in answer.text


async def test_silences_that_cannot_be_asked_for_are_not_said_to_be_none(bot: BotRelay, fake: FakeAlertmanager) -> None:
    assert "0 silences" in (await bot.ask(VERA, "/silences")).text
    await fake.stop()
    answer = await bot.ask(VERA, "/silences")
    assert "cannot be reached" in answer.text
    assert "0 silences" not in answer.text


@pytest.mark.parametrize("command", ["/silences", "/silence 1h a=b", "/unsilence sabcde", "/extend sabcde 1h"])
async def test_without_an_alertmanager_there_is_nothing_to_silence_with(tmp_path: Path, command: str) -> None:
    async with asking(tmp_path) as bot:
        assert (await bot.ask(BORIS, command)).text.startswith("No Alertmanager is configured")


async def test_an_answer_of_somebody_who_may_no_longer_is_refused(bot: BotRelay, fake: FakeAlertmanager) -> None:
    draft = await open_draft(bot, fake)
    await bot.press(draft, "Other…")
    question = await bot.answer_to(draft.id)
    await bot.restart(users=[{"name": "anna", "telegram_id": ANNA, "role": "viewer"}])
    answer = await bot.ask(ANNA, "90m", reply_to=question.id)
    assert answer.text.startswith("This needs the role responder.")
    assert 'relay_bot_commands_total{command="silence",outcome="refused"} 1.0' in await bot.metrics()
