"""The bot in the chat: who may what, taking alerts with a tap, details, refusals, old and forged buttons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.demo.telegram import FakeTelegram, Message
from tests.e2e.conftest import CHAT
from tests.relay_process import RelayProcess
from tests.state import wire_alert, wire_message

ANNA, BORIS, EVE = 1001, 1002, 1003
USERS = [
    {"name": "anna", "telegram_id": ANNA, "role": "responder"},
    {"name": "boris", "telegram_id": BORIS, "role": "admin"},
    {"name": "vera", "telegram_id": 1004, "role": "viewer"},
]


@pytest.fixture
async def relay(telegram: FakeTelegram, start_relay: Any) -> AsyncIterator[RelayProcess]:
    for user_id, name in ((ANNA, "Anna"), (BORIS, "Boris"), (EVE, "Eve <b>"), (1004, "Vera")):
        telegram.add_user(user_id, name)
    relay = await start_relay(users=USERS)
    await telegram.until(lambda: telegram.updates.polled)
    yield relay


async def post(relay: RelayProcess, *alerts: Any, **more: Any) -> None:
    body = wire_message(*alerts, **more).model_dump_json(by_alias=False)
    status, said = await relay.post(body.encode())
    assert status == 200, said


async def fire(telegram: FakeTelegram, relay: RelayProcess, *alerts: Any) -> Message:
    """The alert's message in the chat."""
    now = int(time.time() * 1000)
    known = len(telegram.chat(CHAT).messages)
    body = {"version": "4", "receiver": "relay", "status": "firing", "groupKey": "{}:{}", "groupLabels": {}}
    import json

    wire = alerts or (wire_alert(starts=now, summary="full", instance="db-1"),)
    status, said = await relay.post(json.dumps({**body, "alerts": list(wire)}).encode())
    assert status == 200, said
    chat = telegram.chat(CHAT)
    await telegram.until(lambda: len(chat.messages) > known)
    return chat.messages[known]


async def ask(telegram: FakeTelegram, user_id: int, text: str, chat_id: int = CHAT) -> Message:
    """What the bot answers."""
    chat = telegram.chat(chat_id)
    sent = telegram.user_sends(chat_id, user_id, text)
    await telegram.until(lambda: any(one.sender is telegram.bot and one.reply_to == sent.id for one in chat.messages))
    return next(one for one in chat.messages if one.sender is telegram.bot and one.reply_to == sent.id)


async def test_a_tap_takes_the_alert_and_the_message_shows_who_has_it(
    telegram: FakeTelegram, relay: RelayProcess
) -> None:
    message = await fire(telegram, relay)
    toast = await telegram.user_presses(CHAT, message.id, "Ack", user_id=ANNA)
    assert toast.text == "You have it: DiskFull"
    await telegram.until(lambda: "anna" in message.text)
    assert [button["text"] for button in message.buttons[0]] == ["Unack", "Details"]
    toast = await telegram.user_presses(CHAT, message.id, "Unack", user_id=BORIS)
    assert toast.text == "Given back: DiskFull"
    await telegram.until(lambda: "anna" not in message.text)


async def test_of_two_who_tap_at_once_one_gets_it_and_the_other_a_polite_answer(
    telegram: FakeTelegram, relay: RelayProcess
) -> None:
    message = await fire(telegram, relay)
    toasts = await asyncio.gather(
        *(telegram.user_presses(CHAT, message.id, "Ack", user_id=user) for user in (ANNA, BORIS))
    )
    texts = sorted(toast.text for toast in toasts)
    assert texts[0] == "You have it: DiskFull" or texts[1] == "You have it: DiskFull"
    assert any("has it" in text and "You" not in text for text in texts)


async def test_a_stranger_is_refused_with_the_id_to_tell_an_admin(telegram: FakeTelegram, relay: RelayProcess) -> None:
    message = await fire(telegram, relay)
    toast = await telegram.user_presses(CHAT, message.id, "Ack", user_id=EVE)
    assert toast.alert
    assert str(EVE) in toast.text
    answer = await ask(telegram, EVE, "/ack abcde")
    assert str(EVE) in answer.text
    assert "acked" not in message.text.lower()
    _, metrics = await relay.get("/metrics")
    assert 'relay_bot_commands_total{command="ack",outcome="refused"} 2.0' in metrics


async def test_a_viewer_may_look_and_not_take(telegram: FakeTelegram, relay: RelayProcess) -> None:
    message = await fire(telegram, relay)
    toast = await telegram.user_presses(CHAT, message.id, "Ack", user_id=1004)
    assert "responder" in toast.text
    await telegram.user_presses(CHAT, message.id, "Details", user_id=1004)
    chat = telegram.chat(CHAT)
    await telegram.until(lambda: chat.messages[-1].reply_to == message.id)
    assert "instance: db-1" in chat.messages[-1].text


async def test_whoami_answers_anyone(telegram: FakeTelegram, relay: RelayProcess) -> None:
    answer = await ask(telegram, EVE, "/whoami")
    assert str(EVE) in answer.text
    assert str(CHAT) in answer.text


async def test_help_lists_what_the_role_may_do(telegram: FakeTelegram, relay: RelayProcess) -> None:
    assert "/silence" in (await ask(telegram, ANNA, "/help")).text
    assert "/silence " not in (await ask(telegram, 1004, "/help@relay_bot")).text
    assert "/alerts" not in (await ask(telegram, EVE, "/start")).text


async def test_a_command_takes_and_gives_back_with_a_note(telegram: FakeTelegram, relay: RelayProcess) -> None:
    message = await fire(telegram, relay)
    code = message.text.split()[-1] if len(message.text.split()[-1]) == 5 else ""
    code = next(
        message.text.encode("utf-16-le")[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")
        for e in message.entities
        if e["type"] == "code"
    )
    answer = await ask(telegram, ANNA, f"/ack {code} looking <b>at</b> it")
    assert answer.text == "anna has it: DiskFull"
    await telegram.until(lambda: "looking <b>at</b> it" in message.text)
    assert (await ask(telegram, BORIS, f"/unack {code}")).text == "Given back: DiskFull"
    await telegram.until(lambda: "looking" not in message.text)
    assert "zzzz1" in (await ask(telegram, ANNA, "/ack zzzz1")).text


async def test_health_knows_the_bot(telegram: FakeTelegram, relay: RelayProcess) -> None:
    _, health = await relay.get("/health")
    assert health["bot"] == {"running": True, "username": "relay_bot", "last_error": None}
