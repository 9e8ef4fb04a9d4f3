"""How updates reach the bot: a real long poll with offsets and conflicts, or a webhook with its secret and retries."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from relay.demo.telegram_chats import Refusal

_NOT_BY_DEFAULT = {"chat_member", "message_reaction", "message_reaction_count"}
_PORTS = {443, 80, 88, 8443}
_MAX_POLL = 50.0
_RETRY = 0.2

Execute = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Updates:
    """The queue of updates not yet confirmed. `local` allows webhooks as an own Bot API server does: http, any port."""

    def __init__(self, *, local: bool, execute: Execute) -> None:
        self._local = local
        self._execute = execute
        self._ids = itertools.count(1)
        self._queue: deque[dict[str, Any]] = deque()
        self._allowed: set[str] | None = None
        self._changed = asyncio.Event()
        self._poller: asyncio.Event | None = None
        self._delivery: asyncio.Task[None] | None = None
        self._secret = ""
        self._last_error = ""
        self._closed = False
        self.webhook_url = ""

    @property
    def pending(self) -> Sequence[dict[str, Any]]:
        return tuple(self._queue)

    @property
    def polled(self) -> bool:
        """Whether a long poll waits at this moment."""
        return self._poller is not None

    def push(self, kind: str, payload: dict[str, Any]) -> None:
        wanted = kind in self._allowed if self._allowed else kind not in _NOT_BY_DEFAULT
        if wanted:
            self._queue.append({"update_id": next(self._ids), kind: payload})
            self._changed.set()

    async def get(self, *, offset: int, limit: int, wait: float, allowed: Sequence[str] | None) -> list[dict[str, Any]]:
        """The Bot API's getUpdates; a second poller ends the first with 409. Raises `Refusal`."""
        if self.webhook_url:
            raise Refusal(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
                code=409,
            )
        if self._poller:
            self._poller.set()
        ended = self._poller = asyncio.Event()
        self._allow(allowed)
        self._confirm(offset)
        try:
            deadline = asyncio.get_running_loop().time() + min(wait, _MAX_POLL)
            while not self._queue and not self._closed:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or await self._interrupted(ended, left):
                    break
            if ended.is_set():
                reason = "terminated by other getUpdates request; make sure that only one bot instance is running"
                raise Refusal(reason, code=409)
            return list(itertools.islice(self._queue, max(1, min(limit, 100))))
        finally:
            if self._poller is ended:
                self._poller = None

    async def set_webhook(self, url: str, *, secret: str, allowed: Sequence[str] | None) -> None:
        """Raises `Refusal` for an address Telegram would not call. An empty one removes the webhook."""
        parts = urlsplit(url)
        if url and not self._local:
            if parts.scheme != "https":
                raise Refusal("bad webhook: An HTTPS URL must be provided for webhook")
            if (parts.port or 443) not in _PORTS:
                raise Refusal("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
        if secret and (len(secret) > 256 or not all(one.isalnum() or one in "_-" for one in secret)):
            raise Refusal("secret token contains unallowed characters")
        await self._stop_delivery()
        if self._poller:
            self._poller.set()
        self._allow(allowed)
        self.webhook_url, self._secret = url, secret
        if url:
            self._delivery = asyncio.create_task(self._deliver(), name="telegram-webhook")

    def drop_pending(self) -> None:
        self._queue.clear()

    def webhook_info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"url": self.webhook_url, "has_custom_certificate": False}
        info["pending_update_count"] = len(self._queue)
        return info | ({"last_error_date": 1, "last_error_message": self._last_error} if self._last_error else {})

    def interrupt(self) -> None:
        """Ends the long poll at once, as when the server goes away."""
        self._closed = True
        self._changed.set()

    def resume(self) -> None:
        self._closed = False

    async def close(self) -> None:
        self.interrupt()
        await self._stop_delivery()

    async def _stop_delivery(self) -> None:
        if self._delivery:
            self._delivery.cancel()
            await asyncio.gather(self._delivery, return_exceptions=True)
            self._delivery = None

    def _allow(self, allowed: Sequence[str] | None) -> None:
        if allowed is not None:  # remembered until the next time it is given
            self._allowed = set(allowed) or None

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            while len(self._queue) > -offset:
                self._queue.popleft()
        while offset > 0 and self._queue and self._queue[0]["update_id"] < offset:
            self._queue.popleft()

    async def _interrupted(self, ended: asyncio.Event, seconds: float) -> bool:
        self._changed.clear()
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(ended.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return ended.is_set()

    async def _deliver(self) -> None:
        async with ClientSession(timeout=ClientTimeout(total=10)) as session:
            while True:
                if self._queue and await self._post(session, self._queue[0]):
                    self._queue.popleft()
                elif self._queue:
                    await asyncio.sleep(_RETRY)
                else:
                    self._changed.clear()
                    await self._changed.wait()

    async def _post(self, session: ClientSession, update: dict[str, Any]) -> bool:
        headers = {"X-Telegram-Bot-Api-Secret-Token": self._secret} if self._secret else {}
        try:
            async with session.post(self.webhook_url, json=update, headers=headers) as response:
                body = await response.read()
                if not response.ok:
                    self._last_error = f"Wrong response from the webhook: {response.status} {response.reason}"
                    return False
        except (ClientError, TimeoutError) as error:
            self._last_error = f"Connection failed: {type(error).__name__}"
            return False
        await self._run_answer(body)
        return True

    async def _run_answer(self, body: bytes) -> None:
        """A webhook may answer with a method to carry out; nobody hears what came of it."""
        try:
            answer = json.loads(body)
            method = answer.pop("method")
        except (ValueError, LookupError, AttributeError, TypeError):
            return
        try:
            await self._execute(method, answer)
        except Refusal as refusal:
            self._last_error = refusal.description
