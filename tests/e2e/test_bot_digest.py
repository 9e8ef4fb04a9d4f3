"""The buttons below a digest: take all of a name, silence what most of it shares; who may, and what a stranger hears."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from relay.alerts import fingerprint_of
from relay.clock import Millis
from relay.demo.telegram import Message
from tests.bot_relay import ANNA, BORIS, CHAT, EVE, VERA, BotRelay, captions, open_bot_relay
from tests.relay_process import fire
from tests.servers import AlertmanagerStarter
from tests.state import wire_alert

NOBODY = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
REAL_LIMITS = {"chat": {"type": "telegram", "chat_id": CHAT}}
GROUPS = 30


def labels(number: int) -> dict[str, str]:
    name = "HostDown" if number % 3 == 0 else "DiskFull"
    return {"alertname": name, "severity": "warning", "instance": f"db-{number:02}", "cluster": "eu"}


async def storm(bot: BotRelay, groups: str = f"{GROUPS} groups") -> Message:
    """All at once; the head of the digest, when it counts them all or whatever is asked for."""
    now: Millis = int(time.time() * 1000)

    def one(number: int) -> dict[str, Any]:
        return {**wire_alert(starts=now), "labels": labels(number), "fingerprint": fingerprint_of(labels(number))}

    await asyncio.gather(
        *(bot.post(one(number), key=str(number), groupLabels=labels(number)) for number in range(GROUPS))
    )

    def heads() -> list[Message]:
        return [one for one in bot.messages if "Alert storm:" in one.text and groups in one.text]

    await bot.telegram.until(heads)
    return heads()[0]


async def test_a_name_is_taken_with_one_tap_by_who_may(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path, channels=REAL_LIMITS) as bot:
        head = await storm(bot)
        assert captions(head) == ["Ack DiskFull (20)", "Ack HostDown (10)"]  # no Alertmanager: nothing can be silenced
        assert "responder" in (await bot.press(head, "Ack DiskFull (20)", VERA)).text
        assert "do not know you" in (await bot.press(head, "Ack DiskFull (20)", EVE)).text
        assert (await bot.press(head, "Ack DiskFull (20)", ANNA)).text == "You have it: DiskFull ×20"
        assert "anna has it" in (await bot.press(head, "Ack DiskFull (20)", BORIS)).text
        await bot.telegram.until(lambda: "20 acked" in head.text)
        assert captions(head) == ["Ack HostDown (10)"]


async def test_what_most_shares_is_silenced_after_the_usual_preview(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter
) -> None:
    url = start_alertmanager(NOBODY)
    await fire(url, *(labels(number) for number in range(GROUPS)))
    alertmanagers = [{"name": "main", "urls": [url]}]
    async with open_bot_relay(tmp_path, channels=REAL_LIMITS, alertmanagers=alertmanagers) as bot:
        head = await storm(bot)
        assert captions(head)[-1] == f"Silence cluster=eu ({GROUPS})"
        known = len(bot.messages)
        assert "responder" in (await bot.press(head, f"Silence cluster=eu ({GROUPS})", VERA)).text
        await bot.press(head, f"Silence cluster=eu ({GROUPS})")
        await bot.telegram.until(lambda: any("1h" in captions(one) for one in bot.messages[known:]))
        draft = next(one for one in bot.messages[known:] if "1h" in captions(one))
        await bot.press(draft, "1h")
        await bot.telegram.until(lambda: "Preview" in captions(draft))
        await bot.press(draft, "Preview")
        sure = {"Confirm", f"Yes, silence {GROUPS} alerts"}
        await bot.telegram.until(lambda: sure & set(captions(draft)))
        assert str(GROUPS) in draft.text
        [caption] = sure & set(captions(draft))
        await bot.press(draft, caption)
        await bot.telegram.until(lambda: "Undo" in captions(draft))
        async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/silences") as answer:
            [made] = await answer.json()
        assert [(one["name"], one["value"]) for one in made["matchers"]] == [("cluster", "eu")]
        await bot.telegram.until(lambda: f"{GROUPS} silenced" in head.text)


async def test_a_forged_button_does_nothing(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path, channels=REAL_LIMITS) as bot:
        head = await storm(bot)
        for data in ("wa:zzz:abcde", "wa", "ws:1:", "wa:1:2:3"):
            head.buttons[0][0]["callback_data"] = data
            assert "no longer works" in (await bot.press(head, captions(head)[0])).text


async def test_a_tap_on_a_head_that_is_not_noted_yet_is_not_told_that_its_button_is_dead(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path, channels=REAL_LIMITS) as bot:
        bot.telegram.fail_next("sendMessage", text="Alert storm", hang=4, after=True)
        head = await storm(bot, groups="")
        assert "Tap again in a moment" in (await bot.press(head, captions(head)[0])).text
