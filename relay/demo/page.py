"""The demo's page: three panes that follow the stand-ins live, and the buttons and the input with which people act.

It listens on loopback alone and takes orders from its own page only; what it shows is data, never markup.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from relay.demo.picture import Item
from relay.demo.scene import Scene

HOST = "127.0.0.1"
_STATIC = Path(__file__).parent / "static"
_FILES = {"/": "page.html"} | {f"/{name}": name for name in ("page.css", "page.js", "render.js", "words.js")}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_EVERY = 0.15
"""Seconds between two looks at the stand-ins while somebody watches."""
_ALIVE = 15.0
_LONGEST = 4096
# The mails' own styles are inline, and frames of the page live under the page's policy. No script but ours runs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Stage(Protocol):
    """What the page shows and what it may ask for."""

    scene: Scene

    def status(self) -> Mapping[str, Any]: ...
    def items(self) -> Mapping[str, Item]: ...
    def play(self) -> None: ...
    async def fire(self) -> None: ...
    async def resolve(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Order:
    """What a person does on the page, as it was posted."""

    message: int = 0
    data: str = ""
    text: str = ""


class Page:
    """The server of the page."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """Raises `OSError` when the port is taken."""
        app = web.Application(client_max_size=64 * 1024, middlewares=[_own_page_only])
        for path in _FILES:
            app.router.add_get(path, _file)
        app.router.add_get("/events", self._events)
        for name, act in self._orders().items():
            app.router.add_post(f"/{name}", _answering(act))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """All there is, then whatever changes, until one side goes away."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        shown: dict[str, str] = {}
        quiet = 0.0
        await _send(response, {"reset": True})
        while not self._stopping.is_set():
            news = _difference(shown, {"status": self._stage.status(), **self._stage.items()})
            quiet = 0.0 if news else quiet + _EVERY
            try:
                if news:
                    await _send(response, news)
                elif quiet > _ALIVE:
                    quiet = 0.0
                    await response.write(b": still here\n\n")
            except ConnectionError:
                break
            try:
                async with asyncio.timeout(_EVERY):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        return response

    def _orders(self) -> Mapping[str, Callable[[_Order], Awaitable[Mapping[str, Any]]]]:
        return {
            "press": self._press,
            "say": self._say,
            "play": self._play,
            "fire": self._fire,
            "resolve": self._resolve,
        }

    async def _press(self, order: _Order) -> Mapping[str, Any]:
        try:
            toast = await self._stage.scene.press(order.message, order.data)
        except TimeoutError:
            return {"text": "The bot did not answer within 15 seconds.", "alert": False}
        except LookupError:
            return {"text": "This button is gone.", "alert": False}
        return {"text": toast.text, "alert": toast.alert}

    async def _say(self, order: _Order) -> Mapping[str, Any]:
        text = order.text.strip()[:_LONGEST]
        if text:
            self._stage.scene.say(text)
        return {}

    async def _play(self, _order: _Order) -> Mapping[str, Any]:
        self._stage.play()
        return {}

    async def _fire(self, _order: _Order) -> Mapping[str, Any]:
        await self._stage.fire()
        return {}

    async def _resolve(self, _order: _Order) -> Mapping[str, Any]:
        await self._stage.resolve()
        return {}


def _answering(act: Callable[[_Order], Awaitable[Mapping[str, Any]]]) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        try:
            body = await request.json()
            given = _Order(int(body.get("message", 0)), str(body.get("data", "")), str(body.get("text", "")))
        except (ValueError, AttributeError, TypeError):
            return web.json_response({"error": "an object is expected"}, status=400)
        return web.json_response(await act(given))

    return answer


@web.middleware
async def _own_page_only(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Another site cannot reach us under a name of its own, nor post: a browser lets it send no JSON unasked."""
    if request.host.rpartition(":")[0] not in {HOST, "localhost"}:
        return web.Response(status=403, text=f"Open this page as http://{HOST}.\n")
    if request.method == "POST" and request.content_type != "application/json":
        return web.Response(status=415, text="JSON is expected.\n")
    response: web.StreamResponse = await handler(request)
    return response


async def _file(request: web.Request) -> web.Response:
    path = _STATIC / _FILES[request.path]
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=path.read_bytes(), content_type=_TYPES[path.suffix], charset="utf-8", headers=headers)


def _difference(shown: dict[str, str], seen: Mapping[str, Any]) -> dict[str, Any]:
    """What is new or changed, and which keys are gone; brings `shown` up to date."""
    news: dict[str, Any] = {}
    for key, value in seen.items():
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if shown.get(key) != text:
            shown[key] = text
            news[key] = value
    gone = [key for key in shown if key not in seen]
    for key in gone:
        del shown[key]
    return ({"items": news} if news else {}) | ({"gone": gone} if gone else {})


async def _send(response: web.StreamResponse, news: Mapping[str, Any]) -> None:
    await response.write(f"data: {json.dumps(news, ensure_ascii=False)}\n\n".encode())
