"""Puts together what watches the relay: its own alerts, stand-ins for channels that fail, watchdogs, the heartbeat."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from relay.channels import AnyChannelOptions
from relay.clock import Clock
from relay.config import Config
from relay.config.tree import secrets_of
from relay.delivery import Delivery
from relay.ingest.accept import acceptor
from relay.ingest.beats import Accept, end_shown_watchdogs, heed_watchdogs
from relay.ingest.own import OwnRoutes, Ways
from relay.ingest.policy import Policy
from relay.ingest.reconcile import Reconciler
from relay.listening import ServerConfig
from relay.matchers import Matcher, parse_matchers
from relay.metrics import Metrics
from relay.notification import Channel
from relay.poller import Poller
from relay.routing import Router
from relay.server.credentials import Credentials
from relay.server.deliveries import Deliveries
from relay.severity import SeverityMap
from relay.store.database import Database, StoreUnavailable
from relay.store.deliveries import follow_config
from relay.store.leases import LeaseKeeper
from relay.watching import Watched, Watcher, Workshop
from relay.watching.heartbeat import Heartbeat, Vitals
from relay.watching.probe import Check, Prober

_PLATFORMS = {"telegram": "telegram", "slack": "slack", "email": "smtp"}
"""The section that a channel of this type depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchingSurroundings:
    """What the app has built that the watching works with."""

    config: Config
    database: Database
    keeper: LeaseKeeper
    metrics: Metrics
    policy: Policy
    new_id: Callable[[], int]
    clock: Clock
    monotonic: Callable[[], float]
    pollers: Mapping[str, Poller]
    wake: Callable[[Iterable[str]], None]


def own_routes(config: Config, severities: SeverityMap) -> Router:
    """The config's routes, which also know where our own alerts go."""
    watchdogs = {one.name: one.watchdog.channels for one in config.alertmanagers if one.watchdog}
    return OwnRoutes(config.routes, severities, Ways(fallbacks=_fallbacks(config), watchdogs=watchdogs))


class Watching:
    """Exists before the channels do: webhooks are accepted through it, deliveries are listed by it."""

    def __init__(self, around: WatchingSurroundings) -> None:
        self._around = around
        self._delivery: Delivery | None = None
        accept = acceptor(around.policy, around.new_id, around.clock)
        self._accept_own = accept
        self.accept: Accept = heed_watchdogs(accept, _watchdogs(around.config), around.clock)

    def routes(self, credentials: Credentials) -> list[web.RouteDef]:
        types = {name: options.type for name, options in self._around.config.channels.items()}
        return Deliveries(self._around.database, credentials, self._around.clock, types, self._resume).routes()

    def _resume(self, channel: str) -> None:
        if self._delivery is not None:
            self._delivery.resume(channel)

    async def run(
        self, stopping: asyncio.Event, session: aiohttp.ClientSession, channels: Sequence[Channel], delivery: Delivery
    ) -> None:
        self._delivery = delivery
        await self._follow_config(stopping)
        checks = {channel.name: channel.check for channel in channels}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watcher().run(stopping), name="watcher")
            tasks.create_task(self._prober(checks).run(stopping), name="prober")
            heartbeat = self._around.config.heartbeat
            if heartbeat is not None:
                vitals = Vitals(self._around.database, self._around.clock, checks, delivery.standing_still)
                beating = Heartbeat(
                    heartbeat.url,
                    heartbeat.every,
                    vitals=vitals,
                    keeper=self._around.keeper,
                    metrics=self._around.metrics,
                    session=session,
                )
                tasks.create_task(beating.run(stopping), name="heartbeat")

    async def _follow_config(self, stopping: asyncio.Event) -> None:
        """First of all, dead letters of a channel that has changed live again, and new watchdogs cease to be messages."""
        around = self._around
        reconciler = Reconciler(around.policy, around.new_id, around.clock)
        digests = await asyncio.to_thread(channel_digests, around.config)
        while not stopping.is_set():
            now = around.clock()
            try:
                await around.database.write(follow_config, digests, now)
                await around.database.write(end_shown_watchdogs, _watchdogs(around.config), reconciler, now)
            except StoreUnavailable:
                await asyncio.sleep(1.0)
            else:
                around.wake(digests)
                return

    def _prober(self, checks: Mapping[str, Check]) -> Prober:
        around = self._around
        return Prober(
            checks,
            self._resume,
            database=around.database,
            keeper=around.keeper,
            metrics=around.metrics,
            monotonic=around.monotonic,
        )

    def _watcher(self) -> Watcher:
        around, config = self._around, self._around.config
        workshop = Workshop(
            database=around.database,
            keeper=around.keeper,
            metrics=around.metrics,
            policy=around.policy,
            new_id=around.new_id,
            accept=self._accept_own,
            clock=around.clock,
            monotonic=around.monotonic,
            on_change=around.wake,
        )
        watched = Watched(
            zones={name: options.zone for name, options in config.channels.items()},
            fallbacks=_fallbacks(config),
            watchdogs={one.name: one.watchdog.timeout for one in config.alertmanagers if one.watchdog},
            health_url=_health_url(config.server),
        )
        polled = {one.name for one in config.alertmanagers if one.poll}
        return Watcher(workshop, watched, {name: one for name, one in around.pollers.items() if name in polled})


def _health_url(server: ServerConfig) -> str:
    """Where people open `/health`, if they can: `ops_listen` moves it to where only probes come."""
    return f"{server.public_url}/health" if server.public_url and not server.ops_listen else ""


def _fallbacks(config: Config) -> Mapping[str, str | None]:
    return {name: options.fallback for name, options in config.channels.items()}


def _watchdogs(config: Config) -> Mapping[str, Sequence[Matcher]]:
    return {
        one.name: [matcher for text in one.watchdog.matchers for matcher in parse_matchers(text)]
        for one in config.alertmanagers
        if one.watchdog
    }


def channel_digests(config: Config) -> Mapping[str, str]:
    """By channel, what changes with whatever the config says of it or of its platform, secrets included."""
    return {name: _digest(config, options) for name, options in config.channels.items()}


def _digest(config: Config, options: AnyChannelOptions) -> str:
    """It takes a while on purpose (30 ms): it is stored, and must not help anybody to guess a password."""
    platform: Any = getattr(config, _PLATFORMS.get(options.type, ""), None)
    sections = [section for section in (options, platform) if section is not None]
    shown = "\n".join(section.model_dump_json() for section in sections)
    hidden = "\n".join(secret.get_secret_value() for section in sections for secret in secrets_of(section))
    return hashlib.scrypt(f"{shown}\n{hidden}".encode(), salt=b"relay channel", n=2**13, r=8, p=1, dklen=16).hex()
