"""Updates that look like commands and are none: forwarded, edited, captions, for another bot, about the chat itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.bot_relay import ANNA, CHAT, VERA, BotRelay, code_in, open_bot_relay

ORIGIN = {"type": "hidden_user", "date": 1, "sender_user_name": "Mallory"}


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[BotRelay]:
    async with open_bot_relay(tmp_path) as running:
        yield running


def hear(bot: BotRelay, text: str = "", kind: str = "message", **more: Any) -> None:
    """An update of Anna's, with what makes it odd."""
    said = {"text": text, "entities": [{"type": "bot_command", "offset": 0, "length": len(text.partition(" ")[0])}]}
    message = {
        "message_id": bot.telegram.chat(CHAT).next_id(),
        "date": int(time.time()),
        "chat": {"id": CHAT, "type": "supergroup", "title": "Chat"},
        "from": {"id": ANNA, "is_bot": False, "first_name": "Anna"},
        **(said if text else {}),
        **more,
    }
    bot.telegram.updates.push(kind, message)


async def test_a_forwarded_command_is_answered_and_not_carried_out(bot: BotRelay) -> None:
    message = await bot.fire()
    hear(bot, f"/ack {code_in(message)}", forward_origin=ORIGIN)
    await bot.telegram.until(lambda: len(bot.messages) == 2)
    assert bot.messages[1].text == "A forwarded command is not carried out: write it yourself."
    await bot.ask(VERA, "/whoami")
    assert "👤" not in message.text
    assert 'relay_bot_commands_total{command="ack",outcome="refused"} 1.0' in await bot.metrics()


@pytest.mark.parametrize(
    "odd",
    [
        {"text": "/status", "is_automatic_forward": True, "forward_origin": ORIGIN},
        {"text": "/status", "kind": "edited_message"},
        {"text": "/status@another_bot"},
        {"caption": "/status", "photo": [{"file_id": "1", "file_unique_id": "1", "width": 1, "height": 1}]},
        {"new_chat_title": "/status"},
        {"pinned_message": {"message_id": 1, "date": 0, "chat": {"id": CHAT, "type": "supergroup"}}},
        {"migrate_to_chat_id": -100777},
        {"text": "see /status"},
    ],
    ids=lambda odd: next(iter(odd)) if "text" not in odd else " ".join(map(str, odd.values()))[:30],
)
async def test_what_only_looks_like_a_command_has_no_answer(bot: BotRelay, odd: dict[str, Any]) -> None:
    hear(bot, **odd)
    await bot.ask(VERA, "/whoami")  # what came before it has been read by then
    assert [one.text.splitlines()[0] for one in bot.messages if one.sender is bot.telegram.bot] == [f"Your id: {VERA}"]
    assert (await bot.health())["bot"]["last_error"] is None
