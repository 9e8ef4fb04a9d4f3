"""A channel whose config names another chat: what is open follows, and the old chat's refusals are forgotten."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from relay.store.destinations import record_refusal
from relay.store.watching import look
from tests.bot_relay import CHAT, OTHER, BotRelay, open_bot_relay
from tests.state import wire_alert
from tests.watching import KICKED


def writes_to(chat_id: int, **more: Any) -> dict[str, Any]:
    quick = {"per_second": 50, "per_minute": 3000}
    return {"chat": {"type": "telegram", "chat_id": chat_id, "limits": quick, **more}}


async def grow(running: BotRelay) -> None:
    now = int(time.time() * 1000)
    await running.post(*(wire_alert(starts=now, instance=name, summary="full") for name in ("db-1", "db-2")))


def firsts(running: BotRelay, chat_id: int) -> list[str]:
    return [one.text.splitlines()[0] for one in running.telegram.chat(chat_id).messages]


async def test_what_is_open_leaves_the_old_chat_and_stands_in_the_new_one_without_a_ring(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        old = await running.fire()
        await running.restart(channels=writes_to(OTHER))
        there = running.telegram.chat(OTHER).messages
        await running.telegram.until(lambda: there)
        assert "No longer shown here." in old.text
        assert (there[0].text.splitlines()[0], there[0].silent) == ("🔴 Critical: DiskFull · db-1", True)
        await grow(running)
        await running.telegram.until(lambda: len(there) == 2)
        assert ("new, critical" in there[1].text, there[1].silent) == (True, False)
        assert len(running.messages) == 1


async def test_an_old_chat_that_lets_nobody_in_keeps_nothing_from_the_new_one(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        await running.fire()
        await running.stop()
        running.telegram.chat(CHAT).bot_status = "kicked"
        running._sections |= {"channels": writes_to(OTHER)}
        await running.start()
        await grow(running)
        await running.telegram.until(
            lambda: any("2 firing" in one.text for one in running.telegram.chat(OTHER).messages)
        )
        health = (await running.health())["channels"]["chat"]
        assert (health["dead"], health["paused_since"]) == (0, None)


async def test_what_is_over_stays_where_it_was_shown(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        old = await running.fire(severity="warning")
        await running.post(wire_alert(firing=False, ends=int(time.time() * 1000), instance="db-1", severity="warning"))
        await running.telegram.until(lambda: "Resolved" in old.text)
        await running.restart(channels=writes_to(OTHER))
        await asyncio.sleep(0.5)
        assert ("Resolved" in old.text, firsts(running, OTHER)) == (True, [])


async def test_what_the_former_address_refused_is_not_told_of_the_present_one(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        await running.relay.database.write(record_refusal, "chat", running.clock(), KICKED)
        assert (await running.health())["status"] == "degraded"
        await running.restart(channels=writes_to(OTHER, topic_id=7))
        async with asyncio.timeout(10):
            while (await running.health())["status"] != "ok":  # noqa: ASYNC110  asked over HTTP
                await asyncio.sleep(0.05)
        state = (await running.relay.database.read(look, ["chat"], "")).channels["chat"]
        assert (state.paused_since, state.reason, state.permanent) == (None, "", False)


async def test_the_end_of_what_another_bot_has_shown_is_told_in_a_message_of_its_own(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        old = await running.fire(severity="warning")
        old.sender = running.telegram.add_user(77, "The bot before")  # nobody can edit its messages
        await running.post(wire_alert(firing=False, ends=int(time.time() * 1000), instance="db-1", severity="warning"))
        await running.telegram.until(lambda: len(running.messages) == 2)
        assert ("Resolved: DiskFull" in running.messages[1].text, running.messages[1].silent) == (True, True)
