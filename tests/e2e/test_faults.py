"""Crashes, outages and stores that fail: nothing accepted is lost, nothing wrong stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.recorded import all_payloads, payload
from tests.state import wire_alert

GROUPS = 20


def body(number: int, *, firing: bool = True) -> bytes:
    alert = wire_alert(f"Alert{number}", firing=firing, severity="warning")
    message = {
        "version": "4", "receiver": "relay", "status": alert["status"], "groupKey": f"{{}}:{number}",
        "groupLabels": {"alertname": f"Alert{number}"}, "externalURL": "http://am.example.org", "alerts": [alert],
    }  # fmt: skip
    return json.dumps(message).encode()


def names(telegram: FakeTelegram, mark: str) -> set[str]:
    """The alerts whose messages begin with this mark now."""
    texts = [message.text for message in telegram.chat(CHAT).messages if message.text.startswith(mark)]
    return {name for name in ALL if any(name in text.replace("\n", " ").split(" ") for text in texts)}


ALL = {f"Alert{number}" for number in range(GROUPS)}


async def test_a_relay_killed_while_sending_loses_nothing_and_doubles_at_most_the_call_in_hand(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    relay = await start_relay()
    assert {(await relay.post(body(number)))[0] for number in range(GROUPS)} == {200}
    for wanted in (3, 9, 15):
        await telegram.until(lambda wanted=wanted: len(telegram.chat(CHAT).messages) >= wanted)  # type: ignore[misc]  # bound
        await relay.kill()
        await relay.start()
    await telegram.until(lambda: names(telegram, "🟡") == ALL)
    assert len(telegram.chat(CHAT).messages) <= GROUPS + 3


async def test_a_call_in_hand_is_finished_before_a_stop(telegram: FakeTelegram, start_relay: Any) -> None:
    relay = await start_relay()
    telegram.fail_next("sendMessage", hang=1.0, after=True, times=1)
    await relay.post(body(0))
    await telegram.until(lambda: telegram.journal)
    assert await relay.stop() == 0
    assert "event=stopped" in relay.output


async def test_telegram_down_at_boot_and_for_a_while_ends_in_true_messages(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    telegram.down()
    relay = await start_relay()
    for number in range(3):
        assert (await relay.post(body(number)))[0] == 200
    assert (await relay.post(body(0, firing=False)))[0] == 200
    assert (await relay.get("/-/ready"))[0] == 200
    await relay.until_channel(lambda chat: chat["last_error"] is not None)
    assert (await relay.get("/health"))[1]["status"] == "degraded"
    telegram.up()
    await telegram.until(lambda: len(telegram.chat(CHAT).messages) == 3, within=90)
    assert names(telegram, "🟡") == {"Alert1", "Alert2"}
    assert names(telegram, "🟢") == {"Alert0"}


async def test_every_recorded_body_is_accepted_and_shown(telegram: FakeTelegram, start_relay: Any) -> None:
    relay = await start_relay()
    for recorded in all_payloads():
        status, answer = await relay.post(recorded.body)
        assert status == 200, f"{recorded}: {answer}"

    await relay.until_channel(lambda chat: chat["pending"] == 0)
    assert {call.status for call in telegram.journal if call.method != "getUpdates"} == {200}


async def test_a_poisoned_alert_is_shown_as_text_and_takes_nobody_along(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    relay = await start_relay()
    poison = {"summary": "<b>&</b> *x* _y_ [z](http://e) \r\n\x00 \ud800 " + "w" * 5000}
    labels: Any = {f"label_{i}": "<i>" for i in range(60)}
    alert = {**wire_alert("Poisoned", severity="warning", **labels), "annotations": poison}
    bad = {"status": "no such status", "labels": {}}
    message = json.loads(body(1))
    message["alerts"] += [alert, bad, "no alert at all"]
    assert (await relay.post(json.dumps(message).encode()))[0] == 200
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    text = telegram.chat(CHAT).messages[0].text
    assert "Alert1" in text
    assert "Poisoned" in text
    assert {call.status for call in telegram.journal if call.method != "getUpdates"} == {200}


@pytest.mark.parametrize(
    ("path", "sent", "status", "says"),
    [
        ("/webhook", b"not json", 400, "not JSON"),
        ("/webhook", b"[" * 100_000, 400, "nested"),
        ("/webhook", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400, "nested"),
        ("/webhook", b"[]", 400, "payload"),
        ("/webhook", b'{"version":"1","orgId":1,"alerts":[]}', 400, "Grafana"),
        ("/webhook", payload("custom_payload"), 400, "payload"),
        ("/webhook/nobody", body(1), 400, "/webhook/"),
        ("/webhook", b"\xff\xfe", 400, "not"),
    ],
    ids=["text", "deep list", "deep object", "list", "grafana", "custom payload", "unknown alertmanager", "bytes"],
)
async def test_what_is_no_webhook_message_is_refused_with_what_to_do(
    telegram: FakeTelegram, start_relay: Any, path: str, sent: bytes, status: int, says: str
) -> None:
    relay = await start_relay()
    found, answer = await relay.post(sent, path=path)
    assert (found, says in answer["error"]) == (status, True), answer
    assert (await relay.post(body(1)))[0] == 200
    metrics = (await relay.get("/metrics"))[1]
    assert 'relay_webhooks_total{alertmanager="unknown",outcome="invalid"} 1.0' in metrics


async def test_wrong_credentials_and_huge_bodies_are_refused(telegram: FakeTelegram, start_relay: Any) -> None:
    relay = await start_relay(
        server={"listen": "127.0.0.1:0", "max_body": "1MiB", "auth": {"bearer_token": ["new", "old"]}}
    )
    assert (await relay.post(body(1), token=None))[0] == 401
    assert (await relay.post(body(1), token="wrong"))[0] == 401
    assert (await relay.post(body(1), token="old"))[0] == 200
    assert (await relay.post(body(2) + b" " * 2_000_000, token="new"))[0] == 413
    assert (await relay.post(body(2), token="new", path="/webhook/"))[0] == 200


@pytest.mark.expects_errors
async def test_a_store_that_is_gone_answers_503_and_accepts_again_after_repair(
    telegram: FakeTelegram, start_relay: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    relay = await start_relay(database={"url": f"sqlite:///{store / 'relay.db'}"})
    assert (await relay.post(body(0)))[0] == 200
    shutil.move(store, tmp_path / "away")
    assert (await relay.post(body(1)))[0] == 503
    assert (await relay.get("/-/ready"))[0] == 503
    assert (await relay.get("/-/healthy"))[0] == 200
    shutil.move(tmp_path / "away", store)
    assert (await relay.post(body(1)))[0] == 200
    await telegram.until(lambda: names(telegram, "🟡") == {"Alert0", "Alert1"})


async def test_a_second_relay_on_the_same_file_refuses_to_start(
    telegram: FakeTelegram, start_relay: Any, tmp_path: Path
) -> None:
    database = {"url": f"sqlite:///{tmp_path / 'shared.db'}"}
    await start_relay(database=database)
    with pytest.raises(RuntimeError, match="in use by another relay"):
        await start_relay(database=database)


async def test_a_message_deleted_by_hand_is_sent_anew_without_sound(telegram: FakeTelegram, start_relay: Any) -> None:
    relay = await start_relay()
    await relay.post(body(0))
    chat = telegram.chat(CHAT)
    await telegram.until(lambda: chat.messages)
    chat.messages.clear()
    changed = json.loads(body(0))
    changed["alerts"][0]["annotations"] = {"summary": "worse"}
    await relay.post(json.dumps(changed).encode())
    await telegram.until(lambda: chat.messages)
    assert chat.messages[0].silent
    assert "worse" in chat.messages[0].text


async def test_a_chat_that_becomes_a_supergroup_is_followed_and_remembered(
    telegram: FakeTelegram, start_relay: Any
) -> None:
    group, supergroup = -77, -1007777
    telegram.add_chat(group, "group")
    channels = {"chat": {"type": "telegram", "chat_id": group}}
    relay = await start_relay(channels=channels)
    await relay.post(body(0))
    await telegram.until(lambda: telegram.chat(group).messages)
    telegram.migrate(group, supergroup)
    await relay.post(body(1))
    await telegram.until(lambda: telegram.chat(supergroup).messages)
    await relay.kill()
    await relay.start()
    telegram.journal.clear()
    await relay.post(body(2))
    await telegram.until(lambda: len(telegram.chat(supergroup).messages) >= 2)
    assert {call.status for call in telegram.calls("sendMessage")} == {200}
