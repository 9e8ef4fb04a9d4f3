"""Slack on loopback: the Web API that the relay uses, incoming webhooks and file uploads, as strict as the real one.

Used by the demo and by the tests. `journal` keeps each request, `workspace` what people see, `script` makes it fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from relay.demo.slack_state import Conversation, Rates, Refused, TooFast
from relay.demo.slack_workspace import TEAM, Workspace

WEBHOOK_SECRET = "whsecretfake"  # noqa: S105  the fake's own, worth nothing elsewhere
_WEBHOOK_STATUS = {"channel_is_archived": 410, "channel_not_found": 404, "no_service": 404, "action_prohibited": 403}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came: the Web API method, `webhook` or `upload`, and its arguments."""

    method: str
    args: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do instead. With `after`, the request takes effect first: its sender cannot know that."""

    kind: Literal["answer", "hang", "reset", "half"]
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    after: bool = False
    times: int | None = 1


@dataclass(slots=True)
class Script:
    """The failures waiting to happen, in order; `method` limits one to a method, `times=None` makes it last."""

    faults: list[Fault] = field(default_factory=list)

    def answer(self, status: int, body: bytes = b"", content_type: str = "text/html", **options: Any) -> None:
        self.faults.append(Fault(kind="answer", status=status, body=body, content_type=content_type, **options))

    def refuse(self, error: str, **options: Any) -> None:
        """HTTP 200 with `ok: false`, as the Web API says no."""
        body = json.dumps({"ok": False, "error": error}).encode()
        self.faults.append(Fault(kind="answer", body=body, **options))

    def too_fast(self, seconds: int, **options: Any) -> None:
        body = json.dumps({"ok": False, "error": "ratelimited"}).encode()
        headers = {"Retry-After": str(seconds)}
        self.faults.append(Fault(kind="answer", status=429, body=body, headers=headers, **options))

    def hang(self, **options: Any) -> None:
        """Takes the request and never answers."""
        self.faults.append(Fault(kind="hang", **options))

    def reset(self, **options: Any) -> None:
        """Resets the connection instead of an answer."""
        self.faults.append(Fault(kind="reset", **options))

    def half(self, **options: Any) -> None:
        """Breaks the connection in the middle of the answer's body."""
        self.faults.append(Fault(kind="half", **options))

    def take(self, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in (None, method):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.faults.remove(fault)
                return fault
        return None


class FakeSlack:
    """The server. `url` is the Web API's base, `webhook_url(channel)` an incoming webhook of that channel."""

    def __init__(
        self,
        *,
        port: int = 0,
        token: str = "xoxb-fake-token",  # noqa: S107  the fake's own, worth nothing elsewhere
        channels: Sequence[str] = ("alerts", "oncall"),
        rates: Rates | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.token = token
        self.script = Script()
        self.journal: list[Request] = []
        self.arrived = asyncio.Event()
        """Set with each request: `clear` it to wait for the next."""
        self.workspace = Workspace(channels, rates=rates or Rates(), wall=wall, clock=clock)
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/api/"

    def webhook_url(self, channel: str) -> str:
        conversation = self.workspace.channels[channel]
        return f"http://{self.host}:{self.port}/services/{TEAM}/{conversation.id}/{WEBHOOK_SECRET}"

    def channel(self, name: str) -> Conversation:
        return self.workspace.channels[name]

    async def start(self) -> None:
        """Listens; with port 0 a free one is chosen and kept, also over `down` and `up`."""
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/api/{method}", self._web_api)
        app.router.add_post("/services/{team}/{channel}/{secret}", self._webhook)
        app.router.add_post("/upload/v1/{file}", self._upload)
        self._stopping = asyncio.Event()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stops listening and breaks every open connection."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def down(self) -> None:
        """Out of reach: connections are refused until `up`. What was said stays."""
        await self.stop()

    async def up(self) -> None:
        await self.start()

    async def _web_api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        args = await _arguments(request)
        await self._note(method, args or {}, request)

        def act() -> web.Response:
            return self._call(method, args, request.headers.get("Authorization", ""))

        return await self._perform(method, request, act)

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        args = await _arguments(request)
        await self._note("webhook", args or {}, request)
        path = request.match_info

        def act() -> web.Response:
            return self._call_webhook(path["team"], path["channel"], path["secret"], args)

        return await self._perform("webhook", request, act)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        await self._note("upload", {"length": len(content)}, request)

        def act() -> web.Response:
            file = self.workspace.files.get(request.match_info["file"])
            if file is None or file.content is not None:
                return web.Response(status=404, text="no such upload")
            if len(content) != file.length:
                return web.Response(status=400, text=f"expected {file.length} bytes")
            file.content = content
            return web.Response(text=f"OK - {len(content)}")

        return await self._perform("upload", request, act)

    async def _note(self, method: str, args: Mapping[str, Any], request: web.Request) -> None:
        body = await request.read()
        self.journal.append(Request(method=method, args=args, headers=dict(request.headers), body=body))
        self.arrived.set()

    async def _perform(self, method: str, request: web.Request, act: Callable[[], web.Response]) -> web.StreamResponse:
        fault = self.script.take(method)
        if fault is None:
            return act()
        if fault.after:
            act()
        if fault.kind == "answer":
            headers = {"Content-Type": fault.content_type, **fault.headers}
            return web.Response(status=fault.status, body=fault.body, headers=headers)
        if fault.kind == "hang":
            await self._stopping.wait()
        elif fault.kind == "half":
            half = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "200"})
            await half.prepare(request)
            await half.write(b'{"ok": true, "chan')
        _reset(request)
        return web.Response()

    def _call(self, method: str, args: Mapping[str, Any] | None, authorization: str) -> web.Response:
        try:
            answer = self._run(method, args, authorization)
        except Refused as refused:
            return web.json_response(refused.body)
        except TooFast as fast:
            headers = {"Retry-After": str(fast.retry_after)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        if method == "files.getUploadURLExternal":
            answer["upload_url"] = f"http://{self.host}:{self.port}/upload/v1/{answer['file_id']}"
        return web.json_response({"ok": True, **answer})

    def _call_webhook(self, team: str, channel: str, secret: str, args: Mapping[str, Any] | None) -> web.Response:
        try:
            if secret != WEBHOOK_SECRET:
                return web.Response(status=403, text="invalid_token")
            self._run_webhook(team, channel, args)
        except Refused as refused:
            return web.Response(status=_WEBHOOK_STATUS.get(refused.error, 400), text=refused.error)
        except TooFast as fast:
            return web.Response(status=429, text="rate_limited", headers={"Retry-After": str(fast.retry_after)})
        return web.Response(text="ok")

    def _run(self, method: str, args: Mapping[str, Any] | None, authorization: str) -> dict[str, Any]:
        if args is None:
            raise Refused("invalid_json")
        given = authorization.removeprefix("Bearer ") or str(args.get("token", ""))
        if not given:
            raise Refused("not_authed")
        if given != self.token:
            raise Refused("invalid_auth")
        run = self.workspace.methods.get(method)
        if run is None:
            raise Refused("unknown_method", req_method=method)
        return run(args)

    def _run_webhook(self, team: str, channel: str, args: Mapping[str, Any] | None) -> None:
        found = next((one for one in self.workspace.channels.values() if one.id == channel), None)
        if found is None or team != TEAM:
            raise Refused("no_service")
        if args is None:
            raise Refused("invalid_payload")
        self.workspace.post_by_webhook(found.name, args)


async def _arguments(request: web.Request) -> Mapping[str, Any] | None:
    """The arguments, from JSON, a form (or its `payload`) and the query; None for JSON that cannot be read."""
    args: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read())
        except ValueError:
            return None
        if not isinstance(body, dict):
            return None
        return args | body
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if "payload" in form:
            with contextlib.suppress(ValueError):
                body = json.loads(form["payload"])
                return body if isinstance(body, dict) else None
            return None
        args |= form
    return args


def _reset(request: web.Request) -> None:
    """Closes with RST instead of FIN: the peer sees "connection reset"."""
    if request.transport is None:
        return
    sock: socket.socket | None = request.transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
