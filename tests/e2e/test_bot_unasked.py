"""What the bot does unasked, and when there is very much: notes on endings, acks as silences, 10,000 alerts, a storm."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from relay.bot.chores import EVERY
from relay.clock import system_clock
from relay.demo.alertmanager import FakeAlertmanager
from relay.matchers import Matcher
from tests.bot_relay import ANNA, BORIS, CHAT, VERA, BotRelay, captions, code_in, open_bot_relay
from tests.relay_process import fire
from tests.servers import AlertmanagerStarter
from tests.state import wire_alert

NOBODY = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
LABELS = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"}


def cluster(url: str, **more: Any) -> dict[str, Any]:
    return {"alertmanagers": [{"name": "main", "urls": [url], "poll": "1s", "settle": "0s"}], **more}


async def silences(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/silences") as answer:
        return [one for one in await answer.json() if one["status"]["state"] == "active"]


async def test_an_ack_is_mirrored_and_its_silence_ends_with_it(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter
) -> None:
    url = start_alertmanager(NOBODY)
    await fire(url, LABELS)
    async with open_bot_relay(tmp_path, **cluster(url, bot={"ack_silence": True})) as bot:
        message = await bot.fire(instance="db-1")
        await bot.press(message, "Ack")
        await bot.telegram.until(lambda: "🔕" in message.text)
        [mirror] = await silences(url)
        assert mirror["comment"].startswith("ACK!")
        assert mirror["createdBy"] == "anna"
        assert {one["name"]: one["value"] for one in mirror["matchers"]} == LABELS
        await bot.press(message, "Unack", BORIS)
        await bot.telegram.until(lambda: "🔕" not in message.text)
        assert await silences(url) == []


async def test_of_two_replicas_one_keeps_the_mirrors_and_one_answers(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter, postgres_url: str
) -> None:
    url = start_alertmanager(NOBODY)
    await fire(url, LABELS)
    sections = cluster(url, bot={"ack_silence": True}, database={"url": postgres_url})
    async with open_bot_relay(tmp_path, **sections) as bot:
        other = BotRelay(bot.telegram, tmp_path, sections)
        await other.start()
        try:
            message = await bot.fire(instance="db-1")
            assert (await bot.press(message, "Ack")).text == "You have it: DiskFull"
            await bot.telegram.until(lambda: "🔕" in message.text)
            await asyncio.sleep(2 * EVERY)  # both had their rounds
            [mirror] = await silences(url)
            assert mirror["createdBy"] == "anna"
            assert len([one for one in bot.messages if "DiskFull" in one.text]) == 1
            await bot.stop()  # the other takes over: both leases
            assert (await bot.press(message, "Unack", BORIS)).text == "Given back: DiskFull"
            await bot.telegram.until(lambda: "🔕" not in message.text)
            assert await silences(url) == []
        finally:
            await other.stop()


async def test_a_silence_that_ends_while_its_alerts_fire_is_told_once_with_a_button_to_prolong(tmp_path: Path) -> None:
    skewed = FakeAlertmanager(receiver="relay")
    await skewed.start()
    try:
        now = system_clock()
        async with open_bot_relay(tmp_path, **cluster(skewed.url)) as bot:
            await fire(skewed.url, LABELS)
            message = await bot.fire(instance="db-1")
            client = bot.relay._clusters["main"]
            id_ = await client.create_silence([Matcher("alertname", "DiskFull")], now, now + 10 * 60_000, "anna", "why")
            skewed.silences[id_].starts_at -= 50 * 60_000  # it was made an hour before its end
            await bot.telegram.until(lambda: any("still fires" in one.text for one in bot.messages), within=45)
            note = next(one for one in bot.messages if "still fires" in one.text)
            await bot.press(note, "+1h")
            await bot.telegram.until(lambda: "Silenced until" in note.text)
            [later] = await client.silences()
            assert later.ends_at is not None
            assert later.ends_at - now > 65 * 60_000
            assert sum("still fires" in one.text for one in bot.messages) == 0
            assert message in bot.messages
    finally:
        await skewed.stop()


async def test_ten_thousand_alerts_are_listed_whole_and_their_pages_turn(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter
) -> None:
    """How long that takes is measured by `python -m bench bot`."""
    url = start_alertmanager(NOBODY)
    for start in range(0, 10_000, 1000):
        await fire(url, *({**LABELS, "instance": f"db-{n}"} for n in range(start, start + 1000)))
    async with open_bot_relay(tmp_path, **cluster(url)) as bot:
        everything = await bot.ask(VERA, "/alerts")
        await bot.telegram.until(lambda: everything.text.startswith("10000 alerts · critical 10000"))
        answer = await bot.ask(VERA, "/alerts db-77")
        await bot.telegram.until(lambda: answer.text.startswith("111 alerts"))
        await bot.press(answer, "Next", VERA)
        await bot.telegram.until(lambda: "2/14" in answer.text and "slow" not in answer.text)


async def test_taps_are_answered_and_take_while_a_storm_waits_for_telegrams_limits(tmp_path: Path) -> None:
    """How fast they are answered is measured by `python -m bench bot`."""
    channels = {"chat": {"type": "telegram", "chat_id": CHAT}}
    async with open_bot_relay(tmp_path, limits=True, channels=channels) as bot:
        message = await bot.fire()
        storm = [
            bot.post(wire_alert("Storm", severity="warning", starts=system_clock(), instance=f"host-{n}"), key=f"{n}")
            for n in range(100)
        ]
        posting = asyncio.gather(*storm)
        assert (await bot.press(message, "Ack")).text == "You have it: DiskFull"
        assert "has it" in (await bot.ask(BORIS, f"/ack {code_in(message)}")).text
        await posting
        await bot.telegram.until(lambda: "anna" in message.text)
        assert (await bot.press(message, "Unack", BORIS)).text == "Given back: DiskFull"
        assert len(bot.telegram.calls("sendMessage")) < 100  # the storm is still waiting
        assert bot.telegram.floods.refused == 0


async def test_poisoned_names_are_text_in_every_page(tmp_path: Path, start_alertmanager: AlertmanagerStarter) -> None:
    evil = '<b>x</b> & "q" {{7*7}} \\n [l](http://e)'
    url = start_alertmanager(NOBODY)
    labels = {"alertname": evil, "severity": "critical", "instance": '"><a href="http://e">'}
    await fire(url, labels)
    async with open_bot_relay(tmp_path, **cluster(url)) as bot:
        bot.telegram.add_user(ANNA, evil)
        listing = await bot.ask(VERA, "/alerts")
        assert evil in listing.text
        details = await bot.ask(VERA, f"/alert {code_in(listing)}")
        assert '"><a href="http://e">' in details.text
        assert "49" not in details.text
        preview = await bot.ask(ANNA, f"/silence 1h severity=critical -- {evil}")
        assert evil in preview.text
        await bot.press(preview, "Confirm")
        await bot.telegram.until(lambda: "Undo" in captions(preview))
        [made] = await silences(url)
        assert made["comment"] == evil
        assert all(entity["type"] in {"bold", "code"} for one in (listing, details, preview) for entity in one.entities)


async def test_a_russian_chat_and_a_russian_person_read_russian(tmp_path: Path) -> None:
    channels = {"chat": {"type": "telegram", "chat_id": CHAT, "language": "ru", "timezone": "Europe/Moscow"}}
    async with open_bot_relay(tmp_path, channels=channels) as bot:
        message = await bot.fire()
        assert captions(message)[0] == "Взять"
        assert (await bot.press(message, "Взять")).text == "You have it: DiskFull"  # a toast is the person's
        assert "1 алерт" in (await bot.ask(VERA, "/alerts")).text
