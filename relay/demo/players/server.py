"""The players' doors: one port for each system, as if each ran somewhere, and one to begin and end incidents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from relay.demo.players.bgw import BGW
from relay.demo.players.callcenter import CALL_CENTER
from relay.demo.players.dmarket import DMARKET
from relay.demo.players.player import Player
from relay.demo.players.reflexio import REFLEXIO
from relay.demo.players.samokoder import SAMOKODER
from relay.demo.players.series import System

SYSTEMS: Sequence[System] = (CALL_CENTER, SAMOKODER, BGW, REFLEXIO, DMARKET)
CONTROL_PORT = 9300
"""The systems listen on the ports behind it, in their order."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Players:
    """All five, listening between `start` and `stop`; `urls` has the address of each and, as `control`, of the switch."""

    def __init__(self, host: str = "127.0.0.1", *, first_port: int = CONTROL_PORT) -> None:
        """With `first_port` 0 every door takes a free port."""
        self._host = host
        self._first_port = first_port
        self._runners: list[web.AppRunner] = []
        self.players: Mapping[str, Player] = {system.name: Player(system) for system in SYSTEMS}
        self.urls: dict[str, str] = {}

    async def start(self) -> None:
        """Raises `OSError` that names the port that is taken; what listens already is stopped."""
        doors = {"control": self._control(), **{name: _door(player) for name, player in self.players.items()}}
        for number, (name, app) in enumerate(doors.items()):
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
            await runner.setup()
            self._runners.append(runner)
            port = self._first_port + number if self._first_port else 0
            try:
                await web.TCPSite(runner, self._host, port).start()
            except OSError as error:
                await self.stop()
                raise OSError(error.errno, f"port {port} of {self._host}, for {name}, is taken") from error
            self.urls[name] = f"http://{self._host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        while self._runners:
            await self._runners.pop().cleanup()

    def begin(self, service: str, alert: str) -> None:
        """Raises `LookupError` that names what there is."""
        self._find(service).begin(alert)

    def end(self, service: str, alert: str) -> None:
        """Raises `LookupError` like `begin`."""
        self._find(service).end(alert)

    def _find(self, service: str) -> Player:
        if service not in self.players:
            raise LookupError(f"there is no service {service!r}; known: {', '.join(self.players)}")
        return self.players[service]

    def _control(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/-/healthy", _healthy)
        app.router.add_get("/", self._list)
        app.router.add_post("/incident/{service}/{alert}", self._switch)
        app.router.add_delete("/incident/{service}/{alert}", self._switch)
        return app

    async def _list(self, _request: web.Request) -> web.Response:
        listed = {
            name: {alert: alert in player.active for alert in player.system.incidents}
            for name, player in self.players.items()
        }
        return web.json_response(listed)

    async def _switch(self, request: web.Request) -> web.Response:
        service, alert = request.match_info["service"], request.match_info["alert"]
        begins = request.method == "POST"
        try:
            (self.begin if begins else self.end)(service, alert)
        except LookupError as error:
            return web.json_response({"error": str(error)}, status=404)
        return web.json_response({"service": service, "alertname": alert, "active": begins})


def _door(player: Player) -> web.Application:
    """A system's own port. While it is down every request is answered 503, and its scrapes fail."""

    async def metrics(_request: web.Request) -> web.Response:
        if player.down:
            return web.Response(status=503, text="down\n")
        return web.Response(body=player.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_request: web.Request) -> web.Response:
        state: Mapping[str, Any] = {"status": "down" if player.down else "ok", "incidents": player.active}
        return web.json_response(state, status=503 if player.down else 200)

    app = web.Application()
    app.router.add_get(player.system.path, metrics)
    app.router.add_get("/health", health)
    return app


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="healthy\n")
