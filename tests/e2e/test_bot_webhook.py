"""Webhook mode with the relay's own process: Telegram calls it, proves itself with the secret, and nobody else can."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.relay_process import RelayProcess
from tests.state import wire_alert

ANNA = 1001
SECRET = "Th3-secret_token"
PATH = "/telegram/hook"
HEADER = "X-Telegram-Bot-Api-Secret-Token"


async def open_relay(telegram: FakeTelegram, start_relay: Any) -> RelayProcess:
    """A relay that has told Telegram its public address, behind which a reverse proxy would stand."""
    telegram.add_user(ANNA, "Anna")
    relay: RelayProcess = await start_relay(
        telegram={
            "bot_token": telegram.token,
            "api_url": telegram.url,
            "mode": "webhook",
            "webhook_url": f"https://relay.example.org{PATH}",
            "secret_token": SECRET,
        },
        users=[{"name": "anna", "telegram_id": ANNA, "role": "responder"}],
    )
    await let_through(telegram, relay)
    return relay


async def let_through(telegram: FakeTelegram, relay: RelayProcess) -> None:
    await telegram.until(lambda: telegram.updates.webhook_url.startswith("https://relay.example.org"))
    telegram.updates.webhook_url = relay.url + PATH


async def call(relay: RelayProcess, body: bytes, secret: str | None) -> int:
    """What somebody who found the address gets."""
    headers = {HEADER: secret} if secret is not None else {}
    async with aiohttp.ClientSession() as session, session.post(relay.url + PATH, data=body, headers=headers) as answer:
        return answer.status


async def answered(telegram: FakeTelegram, text: str) -> str:
    messages = telegram.chat(CHAT).messages
    sent = telegram.user_sends(CHAT, ANNA, text)
    await telegram.until(lambda: any(one.reply_to == sent.id for one in messages))
    return next(one.text for one in messages if one.reply_to == sent.id)


def alert() -> bytes:
    body = {"version": "4", "receiver": "relay", "status": "firing", "groupKey": "{}:{}", "groupLabels": {}}
    return json.dumps({**body, "alerts": [wire_alert()]}).encode()


async def test_commands_and_taps_come_by_webhook_and_a_restart_announces_it_anew(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    relay = await open_relay(telegram, start_relay)
    assert "1001" in await answered(telegram, "/whoami")
    await relay.post(alert())
    await telegram.until(lambda: any("DiskFull" in one.text for one in telegram.chat(CHAT).messages))
    message = next(one for one in telegram.chat(CHAT).messages if "DiskFull" in one.text)
    assert (await telegram.user_presses(CHAT, message.id, "Ack", user_id=ANNA)).text == "You have it: DiskFull"
    await telegram.until(lambda: "anna" in message.text)
    assert telegram.calls("getUpdates") == []
    assert (await relay.get("/health"))[1]["bot"]["running"]
    assert await relay.stop() == 0
    telegram.updates.webhook_url = ""
    await relay.start()
    await let_through(telegram, relay)
    assert (await telegram.user_presses(CHAT, message.id, "Unack", user_id=ANNA)).text == "Given back: DiskFull"
    assert SECRET not in relay.output


async def test_whoever_does_not_know_the_secret_is_refused_and_nothing_is_done(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    relay = await open_relay(telegram, start_relay)
    message = {
        "message_id": 1,
        "date": 2_000_000_000,
        "chat": {"id": CHAT, "type": "supergroup", "title": "On-call"},
        "from": {"id": ANNA, "is_bot": False, "first_name": "Anna"},
        "text": "/whoami",
    }
    forged = json.dumps({"update_id": 1, "message": message}).encode()
    for secret in (None, "", "wrong", SECRET[:-1], SECRET + "x", "тайна".encode().decode("latin-1")):
        assert await call(relay, forged, secret) == 401
    assert telegram.calls("sendMessage") == []
    assert await call(relay, forged, SECRET) == 200
    await telegram.until(lambda: telegram.calls("sendMessage"))


async def test_any_update_is_taken_so_that_telegram_does_not_send_it_for_ever(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    relay = await open_relay(telegram, start_relay)
    odd: list[dict[str, Any]] = [
        {"update_id": 1},
        {"update_id": 2, "something_new": {"a": [1, None]}},
        {"update_id": 3, "message": {"message_id": "no number"}},
        {"update_id": 4, "callback_query": {"id": "1", "from": {"id": ANNA, "is_bot": False, "first_name": "A"}}},
        {"update_id": 5, "my_chat_member": {}},
        {},
    ]
    for update in odd:
        assert await call(relay, json.dumps(update).encode(), SECRET) == 200, update
    for body in (b"", b"{", b"[]", b"\xff"):
        assert await call(relay, body, SECRET) == 400
    assert "1001" in await answered(telegram, "/whoami")
    assert "Traceback" not in relay.output
