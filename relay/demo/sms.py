"""A stand-in for an SMS gateway that takes a form with `to` and `text` and a bearer token, and refuses anything else."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from aiohttp import web

LONGEST = 160
"""Characters; more would be a second message, and cost as much."""


@dataclass(frozen=True, slots=True)
class Sms:
    """One message as the phone shows it; `at` in seconds since 1970."""

    to: str
    text: str
    at: float


class FakeSms:
    """The gateway. `outbox` keeps what was taken, `refused` the reason of each refusal."""

    def __init__(self, token: str = "demo-sms-token") -> None:  # noqa: S107  it opens the stand-in alone
        self.token = token
        self.outbox: list[Sms] = []
        self.refused: list[str] = []
        self.url = ""
        self._seen: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/messages", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/messages"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return self._refuse(401, "no such token")
        form = await request.post()
        to, text = str(form.get("to", "")), str(form.get("text", ""))
        if not re.fullmatch(r"\+[1-9]\d{7,14}", to):
            return self._refuse(400, "to is no phone number")
        if not 0 < len(text) <= LONGEST:
            return self._refuse(400, f"text must have 1 to {LONGEST} characters")
        key = request.headers.get("Idempotency-Key", "")
        if key and key in self._seen:
            return self._refuse(409, "taken already")
        self._seen.add(key)
        self.outbox.append(Sms(to, text, time.time()))
        return web.json_response({"status": "queued"}, status=202)

    def _refuse(self, status: int, reason: str) -> web.Response:
        self.refused.append(reason)
        return web.json_response({"error": reason}, status=status)
