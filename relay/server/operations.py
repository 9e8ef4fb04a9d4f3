"""Probes and figures: `/-/healthy`, `/-/ready`, `/health`, `/metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from relay import __version__
from relay.clock import SECOND, Clock, to_iso
from relay.metrics import Metrics
from relay.severity import Severity
from relay.store.database import Database, StoreUnavailable
from relay.store.overview import ChannelFigures, Overview, overview
from relay.store.probe import write_probe


class Reachable(Protocol):
    """What is known of an Alertmanager: whether it answered last, and its version."""

    @property
    def up(self) -> bool: ...

    @property
    def version(self) -> str | None: ...


@dataclass(slots=True)
class BotState:
    """How the chat bot is."""

    running: bool = False
    username: str | None = None
    last_error: str | None = None


@dataclass(slots=True)
class Standing:
    """What the parts of the process say of themselves; the app fills it, we only show it."""

    channels: Mapping[str, str] = field(default_factory=dict)  # name -> type
    alertmanagers: dict[str, Reachable] = field(default_factory=dict)
    bot: BotState = field(default_factory=BotState)


class Operations:
    """Answers probes. Readiness is the store's alone: a dead Telegram must not take the webhook away."""

    def __init__(self, *, database: Database, metrics: Metrics, standing: Standing, clock: Clock) -> None:
        self._database = database
        self._metrics = metrics
        self._standing = standing
        self._clock = clock
        self._started = clock()
        self.stopping = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/-/healthy", self.get_healthy),
            web.get("/-/ready", self.get_ready),
            web.get("/health", self.get_health),
            web.get("/metrics", self.get_metrics),
        ]

    async def get_healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def get_ready(self, _request: web.Request) -> web.Response:
        if self.stopping:
            return web.Response(status=503, text="stopping\n")
        try:
            await self._database.write(write_probe, self._clock())
        except StoreUnavailable as error:
            return web.Response(status=503, text=f"the store cannot commit: {error}\n")
        return web.Response(text="ready\n")

    async def get_health(self, _request: web.Request) -> web.Response:
        found = await self._look()
        channels = {name: self._channel(name, found) for name in self._standing.channels}
        alertmanagers = {
            name: {
                "up": one.up,
                "version": one.version,
                "last_webhook": to_iso(found.last_webhook.get(name)) if found else None,
            }
            for name, one in self._standing.alertmanagers.items()
        }
        fine = found is not None and all(one["last_error"] is None and not one["dead"] for one in channels.values())
        bot = self._standing.bot
        return web.json_response(
            {
                "status": "ok" if fine and all(one["up"] for one in alertmanagers.values()) else "degraded",
                "version": __version__,
                "uptime_seconds": (self._clock() - self._started) // SECOND,
                "store": {"ok": found is not None, "kind": self._database.kind},
                "channels": channels,
                "alertmanagers": alertmanagers,
                "bot": {"running": bot.running, "username": bot.username, "last_error": bot.last_error},
            }
        )

    async def get_metrics(self, request: web.Request) -> web.Response:
        found = await self._look()
        if found is not None:
            self._measure(found)
        body, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _look(self) -> Overview | None:
        try:
            return await self._database.read(overview)
        except StoreUnavailable:
            return None

    def _channel(self, name: str, found: Overview | None) -> dict[str, object]:
        figures = found.channels.get(name, ChannelFigures()) if found else ChannelFigures()
        failing = figures.failing_since is not None
        return {
            "type": self._standing.channels[name],
            "pending": figures.pending,
            "dead": figures.dead,
            "last_success": to_iso(figures.last_success),
            "last_error": f"{figures.reason}: {figures.detail} (since {to_iso(figures.failing_since)})"
            if failing
            else None,
            "paused_since": to_iso(figures.paused_since),
        }

    def _measure(self, found: Overview) -> None:
        now = self._clock()
        for name in self._standing.channels:
            figures = found.channels.get(name, ChannelFigures())
            self._metrics.notifications_pending.labels(name).set(figures.pending)
            age = max(now - figures.oldest, 0) / SECOND if figures.oldest is not None else 0
            self._metrics.notifications_oldest_seconds.labels(name).set(age)
            self._metrics.dead_letters.labels(name).set(figures.dead)
            self._metrics.channel_paused.labels(name).set(figures.paused_since is not None)
        for severity in Severity:
            for state in ("firing", "silenced", "inhibited"):
                self._metrics.alerts.labels(severity.label, state).set(found.alerts.get((severity, state), 0))
