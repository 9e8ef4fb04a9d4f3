"""An alert's whole way: a real Alertmanager, the relay's process, one message that tells the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.demo.telegram import FakeTelegram
from tests.e2e.conftest import CHAT
from tests.relay_process import TOKEN, RelayProcess, alertmanager_config, fire, silence
from tests.servers import AlertmanagerStarter, free_port

ONE = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1", "summary": "Disk of db-1 is full"}
TWO = {**ONE, "instance": "db-2", "summary": "Disk of db-2 is full"}


async def connect(
    start_relay: Any,
    start_alertmanager: AlertmanagerStarter,
    *,
    extra: str = "",
    group_by: str = "[alertname]",
    poll: Mapping[str, str] | None = None,
    **sections: Any,
) -> tuple[RelayProcess, str]:
    """A relay and an Alertmanager that know each other; the relay asks every second and trusts at once."""
    address = f"127.0.0.1:{free_port()}"
    url = start_alertmanager(alertmanager_config(f"http://{address}", group_by=group_by) + extra)
    asked = {"poll": "1s", "settle": "0s", **(poll or {})}
    server = {"listen": address, "auth": {"bearer_token": TOKEN}}
    relay = await start_relay(server=server, alertmanagers=[{"name": "main", "urls": [url], **asked}], **sections)
    return relay, url


def living(telegram: FakeTelegram) -> str:
    """The text of the chat's first message."""
    return telegram.chat(CHAT).messages[0].text


def replies(telegram: FakeTelegram) -> list[str]:
    return [message.text for message in telegram.chat(CHAT).messages if message.reply_to is not None]


async def test_one_message_lives_from_firing_to_resolved_and_on(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    _, alertmanager = await connect(start_relay, start_alertmanager)
    chat = telegram.chat(CHAT)
    await fire(alertmanager, ONE)
    await telegram.until(lambda: chat.messages)
    assert "DiskFull" in living(telegram)
    assert "db-1" in living(telegram)
    await fire(alertmanager, ONE, TWO)
    await telegram.until(lambda: "db-2" in living(telegram))
    assert len(replies(telegram)) == 1
    await fire(alertmanager, ONE, resolved=True)
    await telegram.until(lambda: "1 resolved" in living(telegram))
    await fire(alertmanager, ONE, TWO, resolved=True)
    await telegram.until(lambda: living(telegram).startswith("🟢"))
    await fire(alertmanager, ONE)
    await telegram.until(lambda: living(telegram).startswith("🔴"))
    assert len([message for message in chat.messages if message.reply_to is None]) == 1


async def test_what_resolves_while_silenced_is_shown_as_resolved(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    _, alertmanager = await connect(start_relay, start_alertmanager)
    await fire(alertmanager, ONE)
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    await silence(alertmanager, alertname="DiskFull")
    await telegram.until(lambda: "silenced" in living(telegram) and "anna" in living(telegram))
    assert not living(telegram).startswith("🟢")
    await fire(alertmanager, ONE, resolved=True)
    await telegram.until(lambda: living(telegram).startswith("🟢"))


async def test_what_resolves_while_the_relay_is_down_is_shown_after_its_start(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    relay, alertmanager = await connect(start_relay, start_alertmanager)
    await fire(alertmanager, ONE)
    await telegram.until(lambda: "event=sent" in relay.output)  # a call in hand could be sent twice
    await relay.kill()
    await silence(alertmanager, alertname="DiskFull")  # so that no webhook ever tells of the end
    await fire(alertmanager, ONE, resolved=True)
    await relay.start()
    await telegram.until(lambda: living(telegram).startswith("🟢"))


async def test_an_inhibited_alert_is_marked_and_not_taken_for_resolved(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    rule = """
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [instance]
"""
    _, url = await connect(start_relay, start_alertmanager, extra=rule, group_by="['...']")
    warning = {"alertname": "DiskFilling", "severity": "warning", "instance": "db-1"}
    await fire(url, warning)
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    await fire(url, ONE)
    await telegram.until(lambda: "inhibited" in living(telegram))
    await fire(url, warning, resolved=True)
    await telegram.until(lambda: living(telegram).startswith("🟢"))


async def test_a_restarted_alertmanager_does_not_close_what_it_was_not_told_of_again(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    relay, url = await connect(start_relay, start_alertmanager, poll={"poll": "500ms", "settle": "4s"})
    await fire(url, ONE)
    await telegram.until(lambda: telegram.chat(CHAT).messages)
    start_alertmanager.stop(url)
    again = start_alertmanager(alertmanager_config(relay.url), port=int(url.rpartition(":")[2]))
    await fire(again, TWO)  # the first one is not told again: it resolved meanwhile
    await telegram.until(lambda: "db-2" in living(telegram))
    assert "resolved" not in living(telegram)
    await telegram.until(lambda: "1 resolved" in living(telegram))


async def test_warning_and_critical_of_one_group_go_to_their_own_chats(
    telegram: FakeTelegram, start_relay: Any, start_alertmanager: AlertmanagerStarter
) -> None:
    other = -1009999
    telegram.add_chat(other)
    channels = {
        "chat": {"type": "telegram", "chat_id": CHAT},
        "managers": {"type": "telegram", "chat_id": other, "language": "ru"},
    }
    routes = [
        {"matchers": ['severity="critical"'], "channels": ["chat", "managers"]},
        {"channels": ["chat"], "silent": True},
    ]
    _, alertmanager = await connect(start_relay, start_alertmanager, channels=channels, routes=routes)
    await fire(alertmanager, ONE, {**TWO, "severity": "warning"})
    await telegram.until(lambda: telegram.chat(CHAT).messages and telegram.chat(other).messages)
    mine, theirs = telegram.chat(CHAT).messages[0], telegram.chat(other).messages[0]
    assert "db-1" in mine.text
    assert "db-2" in mine.text
    assert not mine.silent
    assert "db-1" in theirs.text
    assert "db-2" not in theirs.text
