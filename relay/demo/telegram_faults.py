"""Scripted failures of a stand-in: status codes, garbage, half answers, hanging and broken connections."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the next `times` calls meet instead of an answer, or with `after` although the call was carried out.

    `status` answers with `body` (text, bytes, or a dict sent as JSON; by default the API's own error object), `hang`
    waits that many seconds and then breaks the connection, `reset` breaks it at once, `half` in the middle of the body.
    `text`: only calls whose text holds it.
    """

    method: str | None = None
    text: str = ""
    status: int | None = None
    body: str | bytes | Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: float | None = None
    reset: bool = False
    half: bool = False
    after: bool = False
    times: int = 1

    async def answer(self, request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
        if self.hang is not None:
            await wait_for_event(stopping, self.hang)
        if self.reset or self.hang is not None:
            return break_connection(request)
        if self.half:
            return await self._half(request)
        status = self.status or 500
        headers = {"Content-Type": "application/json"} | dict(self.headers)
        return web.Response(status=status, body=self._body(status), headers=headers)

    def _body(self, status: int) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
        body = self.body or {"ok": False, "error_code": status, "description": phrase}
        return json.dumps(body).encode()

    async def _half(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"ok":true,"resu')
        break_connection(request)
        return response


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def break_connection(request: web.Request) -> web.Response:
    """Resets the TCP connection under the request: the client sees ECONNRESET, not an end of file."""
    if (transport := request.transport) is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=499)  # never seen
