"""The address that Telegram calls in webhook mode. Knows no aiogram, so that it can listen before that is imported."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import SecretStr

HEADER = "X-Telegram-Bot-Api-Secret-Token"


class TelegramDoor:
    """Lets in who knows the secret. Until the bot is ready Telegram is told to come again."""

    def __init__(self, webhook_url: str, secret: SecretStr) -> None:
        self.path = urlsplit(webhook_url).path or "/"
        self._secret = secret.get_secret_value().encode()
        self._feed: Callable[[dict[str, Any]], Awaitable[None]] | None = None

    def open(self, feed: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._feed = feed

    def close(self) -> None:
        self._feed = None

    def routes(self) -> list[web.RouteDef]:
        return [web.post(self.path, self.post_update)]

    async def post_update(self, request: web.Request) -> web.Response:
        given = request.headers.get(HEADER, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._secret):
            return web.Response(status=401, text="wrong secret token\n")
        if self._feed is None:
            return web.Response(status=503, text="not ready yet\n", headers={"Retry-After": "5"})
        try:
            update = json.loads(await request.read())
        except ValueError:
            update = None
        if not isinstance(update, dict):
            return web.Response(status=400, text="no update\n")
        await self._feed(update)
        return web.Response()
