"""The bot in the chat: who may what, taking alerts with a tap, details, refusals, old and forged buttons."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from relay.demo.telegram import FakeTelegram
from relay.store.schema import history
from tests.bot_relay import ANNA, BORIS, CHAT, EVE, OTHER, VERA, BotRelay, captions, code_in, open_bot_relay
from tests.state import wire_alert


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[BotRelay]:
    async with open_bot_relay(tmp_path) as running:
        yield running


async def test_a_tap_takes_the_alert_and_the_message_shows_who_has_it(bot: BotRelay) -> None:
    message = await bot.fire()
    assert captions(message)[:2] == ["Ack", "Details"]
    assert (await bot.press(message, "Ack")).text == "You have it: DiskFull"
    await bot.telegram.until(lambda: "anna" in message.text)
    assert captions(message)[:2] == ["Unack", "Details"]
    assert (await bot.press(message, "Unack", BORIS)).text == "Given back: DiskFull"
    await bot.telegram.until(lambda: "anna" not in message.text)


async def test_of_two_who_tap_at_once_one_gets_it_and_the_other_a_polite_answer(bot: BotRelay) -> None:
    message = await bot.fire()
    texts = sorted(toast.text for toast in await asyncio.gather(*(bot.press(message, "Ack", u) for u in (ANNA, BORIS))))
    assert texts[0] == "You have it: DiskFull"
    assert texts[1] in {"anna has it already.", "boris has it already."}


async def test_who_has_a_part_takes_the_rest_and_several_who_have_it_are_all_named(bot: BotRelay) -> None:
    async def grow(size: int) -> None:
        await bot.post(*(wire_alert(instance=f"db-{number}") for number in range(size)))
        await bot.telegram.until(lambda: bot.messages and f"db-{size - 1}" in bot.messages[0].text)

    async def take(user: int) -> str:
        toast = await bot.press(bot.messages[0], "Ack", user)
        await bot.telegram.until(lambda: "Unack" in captions(bot.messages[0]))
        return toast.text

    await grow(1)
    assert (await take(ANNA)).startswith("You have it: ")
    await grow(2)
    assert (await take(ANNA)).startswith("You have it: ")
    await grow(3)
    assert await take(BORIS) == "boris took 1 of 3, the rest is with anna."
    details = await bot.ask(VERA, f"/alert {code_in(bot.messages[0])}")
    group = re.search(r"\bg[a-z]{5}\b", details.text)
    assert group is not None
    answer = await bot.ask(ANNA, f"/ack {group[0]}")
    assert answer.text in {"anna, boris have it already.", "boris, anna have it already."}


async def test_a_stranger_is_refused_with_the_id_to_tell_an_admin(bot: BotRelay) -> None:
    message = await bot.fire()
    toast = await bot.press(message, "Ack", EVE)
    assert toast.alert
    assert str(EVE) in toast.text
    assert str(EVE) in (await bot.ask(EVE, "/ack abcde")).text
    assert 'relay_bot_commands_total{command="ack",outcome="refused"} 2.0' in await bot.metrics()
    assert "👤" not in message.text


async def test_a_viewer_may_look_and_not_take(bot: BotRelay) -> None:
    message = await bot.fire()
    assert "responder" in (await bot.press(message, "Ack", VERA)).text
    await bot.press(message, "Details", VERA)
    details = await bot.answer_to(message.id)
    assert "instance: db-1" in details.text
    assert "fired" in details.text


async def test_anyone_may_ask_who_they_are(bot: BotRelay) -> None:
    answer = await bot.ask(EVE, "/whoami")
    assert str(EVE) in answer.text
    assert str(CHAT) in answer.text


async def test_help_lists_what_the_role_may_do(bot: BotRelay) -> None:
    assert "/silence 2h" in (await bot.ask(ANNA, "/help")).text
    assert "/silence 2h" not in (await bot.ask(VERA, "/help@relay_bot")).text
    assert "/alerts" not in (await bot.ask(EVE, "/start")).text


async def test_a_command_takes_with_a_note_and_markup_is_text(bot: BotRelay) -> None:
    message = await bot.fire()
    code = code_in(message)
    assert (await bot.ask(ANNA, f"/ack {code} looking <b>at</b> it")).text == "anna has it: DiskFull"
    await bot.telegram.until(lambda: "looking <b>at</b> it" in message.text)
    assert "has it since" in (await bot.ask(BORIS, f"/ack {code}")).text
    assert (await bot.ask(BORIS, f"/unack {code}")).text == "Given back: DiskFull"
    await bot.telegram.until(lambda: "looking" not in message.text)


@pytest.mark.parametrize("text", ["/ack", "/ack zzzz1", "/alert <b>", "/unack abcdefghijk", "/ack abcde"])
async def test_an_unknown_id_is_one_line_that_says_what_would_work(bot: BotRelay, text: str) -> None:
    answer = await bot.ask(ANNA, text)
    assert "/al" in answer.text or "kzrpt" in answer.text
    assert "\n" not in answer.text


async def test_a_tap_on_what_is_resolved_says_so(bot: BotRelay) -> None:
    message = await bot.fire()
    ack = next(button["callback_data"] for button in message.buttons[0] if button["text"] == "Ack")
    now = int(time.time() * 1000)
    await bot.post(wire_alert(firing=False, instance="db-1", starts=now, ends=now + 1))
    await bot.telegram.until(lambda: message.text.startswith("🟢"))
    message.buttons.append([{"text": "Old", "callback_data": ack}])
    assert (await bot.press(message, "Old")).text == "DiskFull is resolved already."


@pytest.mark.parametrize("data", ["a:zzzzzzzzzzzzz", "a:", "v:nothing:p0", "f:x:y", "zz", "a:1;drop", "d:0"])
async def test_a_forged_button_is_answered_and_does_nothing(bot: BotRelay, data: str) -> None:
    message = await bot.fire()
    message.buttons.append([{"text": "Forged", "callback_data": data}])
    assert "no longer works" in (await bot.press(message, "Forged")).text


async def test_a_button_works_in_its_own_chat_alone(bot: BotRelay) -> None:
    message = await bot.fire()
    bot.telegram.user_sends(OTHER, ANNA, "/whoami")
    await bot.telegram.until(lambda: len(bot.telegram.chat(OTHER).messages) == 2)
    foreign = bot.telegram.chat(OTHER).messages[1]
    foreign.buttons.append([message.buttons[0][0]])
    assert "no longer works" in (await bot.press(foreign, "Ack", ANNA, OTHER)).text
    assert "👤" not in message.text


async def test_a_tap_that_is_too_old_does_nothing(bot: BotRelay) -> None:
    message = await bot.fire()
    description = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    bot.telegram.fail_next(
        "answerCallbackQuery", status=400, body={"ok": False, "error_code": 400, "description": description}
    )
    pressed = asyncio.create_task(bot.press(message, "Ack"))
    await bot.telegram.until(lambda: bot.telegram.calls("answerCallbackQuery"))
    assert (await bot.press(message, "Ack", BORIS)).text == "You have it: DiskFull"
    await bot.telegram.until(lambda: "boris" in message.text)
    pressed.cancel()


async def test_buttons_survive_a_restart(bot: BotRelay) -> None:
    message = await bot.fire()
    await bot.restart()
    assert (await bot.press(message, "Ack")).text == "You have it: DiskFull"
    await bot.telegram.until(lambda: "anna" in message.text)


async def test_commands_from_before_an_outage_are_answered_and_not_executed(bot: BotRelay) -> None:
    message = await bot.fire()
    sent = bot.telegram.user_sends(CHAT, ANNA, f"/ack {code_in(message)}")
    answer = await bot.answer_to(sent.id)
    assert "has it" in answer.text
    old = bot.telegram.chat(CHAT).next_id()
    update = bot.telegram.chat(CHAT).wire_message(sent) | {"message_id": old, "date": int(sent.date) - 301}
    bot.telegram.updates.push("message", update | {"text": f"/unack {code_in(message)}"})
    await bot.telegram.until(lambda: "I was away" in bot.messages[-1].text)
    await bot.telegram.until(lambda: "anna" in message.text)


async def test_an_anonymous_admin_is_told_why_nothing_is_done(bot: BotRelay) -> None:
    message = await bot.fire()
    chat = bot.telegram.chat(CHAT)
    group = bot.telegram.add_user(1087968824, "Group", "GroupAnonymousBot")
    sent = bot.telegram.user_sends(CHAT, group.id, f"/ack {code_in(message)}")
    assert "anonymous" in (await bot.answer_to(sent.id)).text
    assert chat.find(message.id) is message
    assert "👤" not in message.text


@pytest.mark.parametrize("command", ["/alerts", "/status", "/help"])
async def test_an_anonymous_admin_who_may_not_look_is_given_no_id_to_tell_an_admin(bot: BotRelay, command: str) -> None:
    group = bot.telegram.add_user(1087968824, "Group", "GroupAnonymousBot")
    answer = await bot.ask(group.id, command)
    assert "obody can tell who" in answer.text
    assert "1087968824" not in answer.text


async def test_a_tap_that_cannot_be_looked_up_is_answered_and_its_button_not_called_dead(bot: BotRelay) -> None:
    await bot.telegram.until(lambda: f"chat:{BORIS}:ru" in bot.telegram.commands)  # who has a menu is kept there too
    listing = await bot.ask(VERA, "/alerts")
    await bot.relay.database.write(lambda conn: conn.execute(text("ALTER TABLE views RENAME TO lost")))
    try:
        toast = await bot.press(listing, "Refresh", VERA)
    finally:
        await bot.relay.database.write(lambda conn: conn.execute(text("ALTER TABLE lost RENAME TO views")))
    assert toast.alert
    assert "memory" in toast.text
    assert (await bot.press(listing, "Refresh", VERA)).text == ""


async def test_who_has_left_the_config_has_no_menu_of_a_role_any_more(bot: BotRelay) -> None:
    await bot.telegram.until(lambda: f"chat:{BORIS}:ru" in bot.telegram.commands)
    await bot.restart(users=[{"name": "anna", "telegram_id": ANNA, "role": "responder"}])
    await bot.telegram.until(lambda: not [scope for scope in bot.telegram.commands if f"chat:{BORIS}" in scope])
    assert f"chat:{ANNA}:" in bot.telegram.commands


async def test_health_and_menus_know_the_bot(bot: BotRelay) -> None:
    assert (await bot.health())["bot"] == {"running": True, "username": "relay_bot", "last_error": None}
    await bot.telegram.until(lambda: f"chat:{BORIS}:ru" in bot.telegram.commands)
    names = [command["command"] for command in bot.telegram.commands["default:"]]
    assert names == ["whoami", "help"]
    assert "silence" in [command["command"] for command in bot.telegram.commands[f"chat:{ANNA}:"]]


async def test_the_list_shows_what_fires_and_who_has_it(bot: BotRelay) -> None:
    await bot.fire()
    await bot.post(wire_alert("HighLoad", severity="warning", instance="web <i>1</i>"), key="two")
    answer = await bot.ask(VERA, "/alerts")
    assert answer.text.startswith("2 alerts · critical 1 · warning 1")
    assert answer.text.index("DiskFull") < answer.text.index("HighLoad")
    assert "web <i>1</i>" in answer.text
    assert "HighLoad" not in (await bot.ask(VERA, "/alerts critical")).text
    assert "DiskFull" not in (await bot.ask(VERA, '/alerts instance=~"web.*"')).text
    assert "Nothing that fires fits" in (await bot.ask(VERA, "/alerts mine")).text
    assert "character" in (await bot.ask(VERA, "/alerts a=~(")).text


async def test_a_long_list_is_grouped_and_its_pages_turn(bot: BotRelay) -> None:
    alerts = [wire_alert(instance=f"db-{number}") for number in range(20)]
    await bot.post(*alerts, wire_alert("HighLoad", severity="warning"))
    answer = await bot.ask(VERA, "/alerts")
    assert "DiskFull ×20" in answer.text
    await bot.press(answer, "DiskFull ×20", VERA)
    await bot.telegram.until(lambda: "1/3" in answer.text)
    await bot.press(answer, "Next", VERA)
    await bot.telegram.until(lambda: "2/3" in answer.text)
    await bot.press(answer, "All names", VERA)
    await bot.telegram.until(lambda: "HighLoad" in answer.text)


async def test_status_and_stats_answer(bot: BotRelay) -> None:
    message = await bot.fire()
    await bot.press(message, "Ack")
    status = await bot.ask(VERA, "/status")
    assert "chat" in status.text
    assert "No Alertmanager" in status.text
    await bot.telegram.until(lambda: "anna" in message.text)
    stats = await bot.ask(VERA, "/stats")
    assert stats.text.startswith("The last 7d: 1 alert")
    assert "1 × DiskFull" in stats.text
    assert "acked 1" in stats.text
    now = int(time.time() * 1000)
    await bot.post(wire_alert(firing=False, instance="db-1", starts=now - 5000, ends=now + 1))
    await bot.telegram.until(lambda: message.text.startswith("🟢"))
    assert "resolved after" in (await bot.ask(VERA, "/stats 1h")).text
    assert "/stats 7d" in (await bot.ask(VERA, "/stats soon")).text


async def test_an_outage_of_telegram_and_another_poller_are_survived(bot: BotRelay) -> None:
    message = await bot.fire()
    bot.telegram.down()
    async with asyncio.timeout(20):
        while (await bot.health())["bot"]["last_error"] is None:  # noqa: ASYNC110  asked over HTTP
            await asyncio.sleep(0.05)
    bot.telegram.up()
    bot.telegram.fail_next("getUpdates", status=502, body="<html>Bad Gateway</html>")
    description = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    conflict = {"ok": False, "error_code": 409, "description": description}
    bot.telegram.fail_next("getUpdates", status=409, body=conflict)
    await bot.telegram.until(lambda: not bot.telegram.faults)
    assert "has it" in (await bot.ask(ANNA, f"/ack {code_in(message)}")).text
    assert (await bot.health())["bot"]["last_error"] is None


async def test_an_update_that_cannot_be_read_hides_no_other(bot: BotRelay) -> None:
    bot.telegram.updates.push("message", {"message_id": "no number"})
    assert str(EVE) in (await bot.ask(EVE, "/whoami")).text
    await bot.telegram.until(lambda: not bot.telegram.updates.pending)
    assert (await bot.health())["bot"]["last_error"] is None


async def test_a_chats_role_holds_for_its_members_and_each_tap_is_judged_anew(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path, chats=[{"chat_id": CHAT, "role": "responder"}]) as bot:
        message = await bot.fire()
        assert (await bot.press(message, "Ack", EVE)).text == "You have it: DiskFull"
        await bot.telegram.until(lambda: "Unack" in captions(message))
        assert "I do not know you" in (await bot.ask(EVE, "/alerts", chat_id=OTHER)).text
        await bot.restart(chats=[])
        assert "I do not know you" in (await bot.press(message, "Unack", EVE)).text
        assert "👤" in message.text


async def test_a_group_that_becomes_a_supergroup_keeps_its_members_role(tmp_path: Path) -> None:
    group, supergroup = -77, -1007777
    async with FakeTelegram() as telegram:
        telegram.add_chat(group, "group")
        telegram.add_user(EVE, "Eve")
        channels = {"chat": {"type": "telegram", "chat_id": group}}
        bot = BotRelay(telegram, tmp_path, {"channels": channels, "chats": [{"chat_id": group, "role": "responder"}]})
        await bot.start()
        try:
            await bot.post(wire_alert(instance="db-1"))
            await telegram.until(lambda: telegram.chat(group).messages)
            telegram.migrate(group, supergroup)
            await bot.post(wire_alert("Other"), key="other")
            await telegram.until(lambda: telegram.chat(supergroup).messages)
            message = telegram.chat(supergroup).messages[-1]
            assert (await bot.press(message, "Ack", EVE, supergroup)).text.startswith("You have it: ")
            assert "responder" in (await bot.ask(EVE, "/whoami", chat_id=supergroup)).text
            telegram.add_chat(OTHER)
            assert "I do not know you" in (await bot.ask(EVE, "/alerts", chat_id=OTHER)).text
        finally:
            await bot.stop()


async def test_a_channels_post_is_told_why_nothing_is_done_and_refusals_are_kept(bot: BotRelay) -> None:
    message = await bot.fire()
    code = code_in(message)
    chat = {**bot.telegram.chat(CHAT).wire(), "type": "channel"}
    post = {"message_id": 999, "date": int(time.time()), "chat": chat, "sender_chat": chat, "text": f"/ack {code}"}
    bot.telegram.updates.push("channel_post", post)
    await bot.telegram.until(lambda: "Nobody can tell who" in bot.messages[-1].text)
    await bot.ask(VERA, f"/ack {code}")

    def refusals(conn: Connection) -> list[tuple[str, str]]:
        found = select(history.c.actor, history.c.detail).where(history.c.kind == "refused").order_by(history.c.id)
        return [(row.actor, row.detail) for row in conn.execute(found)]

    kept = await bot.relay.database.read(refusals)
    assert [detail for _, detail in kept] == [f"/ack {code} in chat {CHAT}"] * 2
    assert kept[1][0] == "vera"
    assert "👤" not in message.text


async def test_a_private_chat_speaks_the_persons_language(bot: BotRelay) -> None:
    bot.telegram.add_chat(ANNA, "private")
    update = bot.telegram.chat(ANNA).wire_message(bot.telegram.user_sends(ANNA, ANNA, "hello"))
    said = {**update, "message_id": 77, "text": "/whoami", "from": {**update["from"], "language_code": "ru-RU"}}
    bot.telegram.updates.push("message", said)
    await bot.telegram.until(lambda: "Ваша роль: responder" in bot.telegram.chat(ANNA).messages[-1].text)
