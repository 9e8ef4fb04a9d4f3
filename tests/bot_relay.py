"""The relay in this process with its bot, a strict Telegram beside it, and people who write and tap."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select

from relay.app import Relay
from relay.app.relay import Seams
from relay.app.watching import channel_digests
from relay.clock import Millis, system_clock
from relay.config import Config
from relay.demo.telegram import FakeTelegram, Message, Toast
from relay.store.database import Connection
from relay.store.schema import destinations
from tests.state import wire_alert

CHAT = -1001234567890
OTHER = -1009999
ANNA, BORIS, EVE, VERA = 1001, 1002, 1003, 1004
TOKEN = "webhook-token"
USERS = [
    {"name": "anna", "telegram_id": ANNA, "role": "responder"},
    {"name": "boris", "telegram_id": BORIS, "role": "admin"},
    {"name": "vera", "telegram_id": VERA, "role": "viewer"},
]


class Ahead:
    """The relay's clock: the real one, `by` so many milliseconds ahead. Telegram's own times stay real."""

    def __init__(self) -> None:
        self.by: Millis = 0

    def __call__(self) -> Millis:
        return system_clock() + self.by


class BotRelay:
    """A running relay and its chat. `restart` ends it and starts another on the same database."""

    def __init__(self, telegram: FakeTelegram, folder: Path, sections: Mapping[str, Any]) -> None:
        self.telegram = telegram
        self.clock = Ahead()
        self._folder = folder
        self._sections = dict(sections)
        self._relay: Relay | None = None

    @property
    def relay(self) -> Relay:
        assert self._relay is not None
        return self._relay

    @property
    def url(self) -> str:
        host, port = self.relay.address
        return f"http://{host}:{port}"

    @property
    def messages(self) -> list[Message]:
        return self.telegram.chat(CHAT).messages

    async def start(self) -> None:
        quick = {"per_second": 50, "per_minute": 3000}
        config = {
            "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": TOKEN}},
            "database": {"url": f"sqlite:///{self._folder / 'relay.db'}"},
            "telegram": {"bot_token": self.telegram.token, "api_url": self.telegram.url},
            "channels": {"chat": {"type": "telegram", "chat_id": CHAT, "limits": quick}},
            "routes": [{"channels": ["chat"]}],
            "users": USERS,
            **self._sections,
        }
        self.config = Config.model_validate(config)
        self._relay = Relay(self.config, seams=Seams(clock=self.clock))
        await self._relay.start()
        await self.telegram.until(lambda: self.telegram.updates.polled or self.telegram.updates.webhook_url)

    async def stop(self) -> None:
        await self.relay.stop()

    async def restart(self, **sections: Any) -> None:
        """With these sections of the config changed."""
        await self.stop()
        self._sections |= sections
        await self.start()

    async def until_config_is_followed(self) -> None:
        """The relay has forgotten what it knew of channels that were configured otherwise."""
        wanted = channel_digests(self.config)
        async with asyncio.timeout(20):
            while await self.relay.database.read(_followed) != wanted:  # noqa: ASYNC110  a database tells nobody
                await asyncio.sleep(0.02)

    async def post(self, *alerts: Mapping[str, Any], key: str = "{}:{}", path: str = "/webhook", **more: Any) -> None:
        firing = any(alert["status"] == "firing" for alert in alerts)
        body = {"version": "4", "receiver": "relay", "status": "firing" if firing else "resolved", "groupKey": key}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        data = json.dumps({**body, "groupLabels": {}, "alerts": list(alerts), **more})
        url = self.url + path
        async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def fire(self, **labels: str) -> Message:
        """A webhook with one alert; its message in the chat."""
        known = len(self.messages)
        more: dict[str, Any] = {"instance": "db-1", "summary": "full", **labels}
        await self.post(wire_alert(starts=int(time.time() * 1000), **more))
        await self.telegram.until(lambda: len(self.messages) > known)
        return self.messages[known]

    async def ask(self, user_id: int, text: str, *, chat_id: int = CHAT, reply_to: int | None = None) -> Message:
        """Somebody writes; the bot's answer."""
        sent = self.telegram.user_sends(chat_id, user_id, text, reply_to=reply_to)
        return await self.answer_to(sent.id, chat_id)

    async def answer_to(self, message_id: int, chat_id: int = CHAT) -> Message:
        messages = self.telegram.chat(chat_id).messages

        def found() -> list[Message]:
            return [one for one in messages if one.sender is self.telegram.bot and one.reply_to == message_id]

        await self.telegram.until(found)
        return found()[0]

    async def press(self, message: Message, button: str, user_id: int = ANNA, chat_id: int = CHAT) -> Toast:
        return await self.telegram.user_presses(chat_id, message.id, button, user_id=user_id)

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    async def health(self) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/health") as answer:
            return await answer.json()


def code_in(message: Message) -> str:
    """The first code that a message shows."""
    raw = message.text.encode("utf-16-le")
    codes = [one for one in message.entities if one["type"] == "code"]
    return raw[2 * codes[0]["offset"] : 2 * (codes[0]["offset"] + codes[0]["length"])].decode("utf-16-le")


def captions(message: Message) -> list[str]:
    return [button["text"] for row in message.buttons for button in row]


@asynccontextmanager
async def open_bot_relay(folder: Path, *, limits: bool = False, **sections: Any) -> AsyncIterator[BotRelay]:
    """`limits`: Telegram refuses what comes too fast."""
    async with FakeTelegram(limits=limits) as telegram:
        telegram.add_chat(CHAT)
        telegram.add_chat(OTHER, title="Elsewhere")
        for user_id, name in ((ANNA, "Anna"), (BORIS, "Boris"), (EVE, "Eve <b>"), (VERA, "Vera")):
            telegram.add_user(user_id, name)
        running = BotRelay(telegram, folder, sections)
        await running.start()
        try:
            yield running
        finally:
            await running.stop()
            await asyncio.sleep(0)


def _followed(conn: Connection) -> dict[str, str]:
    rows = conn.execute(select(destinations.c.key, destinations.c.config).where(destinations.c.config != ""))
    return {row.key: row.config for row in rows}
