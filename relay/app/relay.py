"""The relay as an object: `start` returns when it listens, `wait` when it has stopped, `stop` is idempotent."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import aiohttp
from prometheus_client import CollectorRegistry

from relay import __version__, logs
from relay.alertmanager import Alertmanager
from relay.app.channels import open_channels
from relay.app.telegram import BotSurroundings, build_bot, open_telegram, telegram_door
from relay.app.timers import Timers, route_anew
from relay.app.upkeep import Upkeep
from relay.app.watching import Watching, WatchingSurroundings, own_routes
from relay.clock import Clock, CommonClock, system_clock
from relay.config import Config
from relay.delivery import Delivery, Surroundings
from relay.ids import make_ids
from relay.ingest.own import ITSELF
from relay.ingest.policy import Policy
from relay.ingest.reconcile import Reconciler
from relay.metrics import Metrics
from relay.poller import Poller
from relay.rendering import Renderer
from relay.server import Operations, Server, Webhooks
from relay.server.arrivals import Arrivals
from relay.server.credentials import Credentials
from relay.server.operations import Standing
from relay.server.sources import Sources
from relay.store.bell import EVERYTHING, LEASES
from relay.store.database import Database
from relay.store.leases import LeaseKeeper
from relay.store.opening import open_bell, open_database

GRACE = 20.0
"""Seconds that a call in hand gets after SIGTERM; then it is cancelled, and the next start carries on."""


@dataclass(frozen=True, slots=True)
class Seams:
    """What a test brings instead of the world: time, chance, the registry of metrics."""

    clock: Clock = system_clock
    monotonic: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


class Relay:
    """Owns every part. One supervisor task holds the only TaskGroup."""

    def __init__(self, config: Config, *, listen: str | None = None, seams: Seams | None = None) -> None:
        self._config = config
        self._clock = CommonClock((seams or Seams()).clock)
        self._seams = seams = replace(seams or Seams(), clock=self._clock)
        self._log = logs.get("app")
        self._stopping = asyncio.Event()
        self._stop_requests = 0
        self.opened = asyncio.Event()  # every platform's library is imported
        self._supervisor: asyncio.Task[None] | None = None
        self._stopper: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()

        self.metrics = Metrics(seams.registry)
        self.database = Database(open_database(config.database))
        self._renderer = Renderer(config.templates, lambda type_: self.metrics.template_fallbacks.labels(type_).inc())
        sources = Sources(config.alertmanagers)
        kinds = {name: options.type for name, options in config.channels.items()}
        self.metrics.declare(kinds, sources.names, __version__)
        severities = config.severity.severity_map()
        self._new_id = make_ids(seams.clock, seams.rng)
        self._policy = Policy(
            router=own_routes(config, severities),
            severities=severities,
            reopen={name: options.reopen for name, options in config.channels.items()},
        )
        self._reconciler = Reconciler(self._policy, self._new_id, seams.clock)
        self.keeper = LeaseKeeper(self.database, uuid.uuid4().hex, self._clock, monotonic=seams.monotonic)
        keep = max(config.database.retention, self._policy.longest_reopen)
        self._upkeep = Upkeep(self.database, self.keeper, self.metrics, seams.clock, keep=keep)
        self._bell = open_bell(config.database, self._heard)
        self._delivery: Delivery | None = None
        self._standing = Standing(channels=kinds)
        self._clusters: dict[str, Alertmanager] = {}
        self._pollers: dict[str, Poller] = {}
        self._door = telegram_door(config)
        self._watching = Watching(self._watching_surroundings())
        self._server = self._build_server(config, sources, listen)

    def _build_server(self, config: Config, sources: Sources, listen: str | None) -> Server:
        credentials = Credentials(config.server.auth)
        webhooks = Webhooks(
            database=self.database,
            accept=self._watching.accept,
            credentials=credentials,
            sources=sources,
            metrics=self.metrics,
            on_change=self._wake,
        )
        operations = Operations(
            database=self.database, metrics=self.metrics, standing=self._standing, clock=self._seams.clock
        )
        server = config.server if listen is None else config.server.model_copy(update={"listen": listen})
        extra = [*Arrivals(self.database, credentials).routes(), *self._watching.routes(credentials)]
        extra += self._door.routes() if self._door else ()
        return Server(server, webhooks, operations, extra=extra)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that were bound."""
        assert self._server.address is not None
        return self._server.address

    # -- start and stop --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when listening. Raises `StoreUnavailable` or `OSError` when it cannot."""
        await self.database.start()
        self._open.push_async_callback(self.database.close)
        await self.keeper.renew()  # what is accepted is stamped with the time of all relays
        await self._server.start()
        self._supervisor = asyncio.create_task(self._supervise(), name="supervisor")

    def request_stop(self) -> None:
        """What a signal does: the first time stop in order, the second time at once."""
        self._stop_requests += 1
        if self._stop_requests > 1 and self._supervisor is not None:
            self._supervisor.cancel()
        elif self._stopper is None:
            self._stopper = asyncio.create_task(self.stop(), name="stopper")

    async def stop(self) -> None:
        """Refuses webhooks, lets workers finish the call in hand, closes. Bounded by `GRACE` and a little."""
        self._stopping.set()
        await self._server.stop()
        if self._supervisor is not None and not self._supervisor.done():
            _, late = await asyncio.wait([self._supervisor], timeout=GRACE)
            if late:
                self._supervisor.cancel()
                await asyncio.wait([self._supervisor])
        await self._open.aclose()
        self._log.info("stopped")

    async def wait(self) -> None:
        """Returns after a stop; raises what killed a critical task."""
        assert self._supervisor is not None
        try:
            await asyncio.shield(self._supervisor)
        except asyncio.CancelledError:
            if not self._supervisor.cancelled():
                raise
        finally:
            if self._stopper is not None:
                await self._stopper
            else:
                await self.stop()

    # -- the tasks -------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        async with AsyncExitStack() as resources, asyncio.TaskGroup() as tasks:
            session = await resources.enter_async_context(aiohttp.ClientSession(trust_env=False))
            self._start_pollers(session, tasks)
            timers = Timers(self.database, self.keeper, self.metrics, self._reconciler, self._wake)
            tasks.create_task(timers.run(self._stopping), name="timers")
            tasks.create_task(self._upkeep.run(self._stopping), name="upkeep")
            tasks.create_task(self.keeper.run(self._stopping), name="leases")
            tasks.create_task(self._bell.run(self._stopping), name="bell")
            tasks.create_task(self._route_anew(), name="route anew")
            client = await open_telegram(self._config, resources)
            channels = await open_channels(self._config, self._renderer, session, resources, client)
            self.opened.set()
            self._delivery = Delivery(channels, self._surroundings())
            tasks.create_task(self._delivery.run(self._stopping), name="delivery")
            tasks.create_task(self._watching.run(self._stopping, session, channels, self._delivery), name="watching")
            if client is not None:
                bot = await build_bot(client, self._bot_surroundings(), channels, self._delivery, self._door)
                tasks.create_task(bot.run(self._stopping), name="bot")
                tasks.create_task(bot.chores.run(self._stopping), name="bot chores")
        await self.keeper.release()

    async def _route_anew(self) -> None:
        clusters = {ITSELF, *Sources(self._config.alertmanagers).names}
        around = (self.database, self._policy, self._new_id, self._seams.clock)
        await route_anew(*around, self._wake, self._stopping, clusters)

    def prepare_templates(self) -> None:
        """Those of the config's channels and of the bot; takes long enough for a thread of its own."""
        types: set[str] = {options.type for options in self._config.channels.values()}
        self._renderer.prepare(types | {"bot"} if self._config.telegram is not None else types)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            database=self.database,
            keeper=self.keeper,
            metrics=self.metrics,
            clock=self._seams.clock,
            monotonic=self._seams.monotonic,
            rng=self._seams.rng,
            new_id=self._new_id,
            max_age={name: options.max_age for name, options in self._config.channels.items()},
            several=len(self._config.alertmanagers) > 1,
        )

    def _watching_surroundings(self) -> WatchingSurroundings:
        return WatchingSurroundings(
            config=self._config,
            database=self.database,
            keeper=self.keeper,
            metrics=self.metrics,
            policy=self._policy,
            new_id=self._new_id,
            clock=self._seams.clock,
            monotonic=self._seams.monotonic,
            pollers=self._pollers,
            wake=self._wake,
        )

    def _bot_surroundings(self) -> BotSurroundings:
        return BotSurroundings(
            config=self._config,
            database=self.database,
            policy=self._policy,
            new_id=self._new_id,
            clock=self._seams.clock,
            monotonic=self._seams.monotonic,
            metrics=self.metrics,
            renderer=self._renderer,
            keeper=self.keeper,
            state=self._standing.bot,
            clusters=self._clusters,
            contacts=self._pollers,
            wake=self._wake,
            refresh=self._refresh,
        )

    async def _refresh(self, name: str) -> None:
        """A person changed a silence there: what it mutes is shown at once."""
        await self._pollers[name].refresh()

    def _start_pollers(self, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> None:
        for config in self._config.alertmanagers:
            client = Alertmanager(config, session, self._count_request(config.name), self._seams.clock)
            poller = Poller(
                client,
                database=self.database,
                reconciler=self._reconciler,
                keeper=self.keeper,
                metrics=self.metrics,
                clock=self._seams.clock,
                on_change=self._wake,
            )
            self._standing.alertmanagers[config.name] = poller
            self._clusters[config.name], self._pollers[config.name] = client, poller
            if config.poll:
                tasks.create_task(poller.run(self._stopping), name=poller.lease_name)

    def _count_request(self, name: str) -> Callable[[str, str], None]:
        return lambda endpoint, outcome: self.metrics.alertmanager_requests.labels(name, endpoint, outcome).inc()

    def _wake(self, channels: Iterable[str]) -> None:
        self._bell.ring(channels)
        self._heard(frozenset(channels))

    def _heard(self, topics: frozenset[str]) -> None:
        """Something changed, here or at another relay."""
        if LEASES in topics:
            self.keeper.nudge()
        if self._delivery is not None:
            self._delivery.wake(self._config.channels if EVERYTHING in topics else topics)
