"""Asks the address of a dead man's switch, and only while everything really works: its owner hears of us by our silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping

import aiohttp
from pydantic import SecretStr

from relay import logs
from relay.clock import MINUTE, SECOND, Clock, Millis
from relay.ingest.own import ITSELF
from relay.metrics import Metrics
from relay.store.database import Database, StoreUnavailable
from relay.store.leases import LeaseKeeper
from relay.store.watching import ChannelState, commit_nothing, look
from relay.watching.probe import Check, ask

LEASE = "heartbeat"
COMMIT_WITHIN = 10.0
ASK_WITHIN = 10.0
"""Seconds that each part may take."""
RECENT: Millis = 10 * MINUTE
"""A channel that has taken something since then works; others are asked."""


class Vitals:
    """Whether we can do our work now: the store, the workers, at least one channel."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        checks: Mapping[str, Check],
        standing_still: Callable[[], Collection[str]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._checks = checks
        self._standing_still = standing_still

    async def find_wrong(self) -> str | None:
        """What keeps us from our work; None if nothing does."""
        try:
            async with asyncio.timeout(COMMIT_WITHIN):
                await self._database.write(commit_nothing)
                found = await self._database.read(look, list(self._checks), ITSELF)
        except (StoreUnavailable, TimeoutError):
            return "the store does not commit"
        if still := self._standing_still():
            return f"no worker turns for {', '.join(sorted(still))}"
        if not await self._any_works(found.channels):
            return "no channel works"
        return None

    async def _any_works(self, channels: Mapping[str, ChannelState]) -> bool:
        """Whether at least one channel takes what we send: seen lately, or asked now."""
        able = [name for name, state in channels.items() if state.paused_since is None]
        now = self._clock()
        if any(now - (channels[name].succeeded_at or 0) < RECENT for name in able):
            return True
        for name in able:
            if await ask(self._checks[name]) is not None:
                return True
        return False


class Heartbeat:
    """One ping `every` so often, by one replica at a time; `run` ends after `stopping` is set."""

    def __init__(
        self,
        url: SecretStr,
        every: Millis,
        *,
        vitals: Vitals,
        keeper: LeaseKeeper,
        metrics: Metrics,
        session: aiohttp.ClientSession,
    ) -> None:
        self._url = url
        self._every = every / SECOND
        self._vitals = vitals
        self._keeper = keeper
        self._metrics = metrics
        self._session = session
        self._withheld: str | None = None
        self._log = logs.get("heartbeat")

    async def run(self, stopping: asyncio.Event) -> None:
        self._keeper.want([LEASE])
        while not stopping.is_set():
            try:
                if self._keeper.get(LEASE) is not None:
                    await self.beat()
            except Exception as error:  # noqa: BLE001  the door of a beat; its traceback could show the address
                self._metrics.errors.labels("heartbeat").inc()
                self._log.error("heartbeat failed unexpectedly", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await stopping.wait()

    async def beat(self) -> bool:
        """Whether the address was asked: nothing is wrong with us. A failure of its far side is logged, no more."""
        wrong = await self._vitals.find_wrong()
        if wrong != self._withheld:
            if wrong is not None:
                self._log.warning("heartbeat withheld", reason=wrong)
            else:
                self._log.info("heartbeat goes on")
            self._withheld = wrong
        if wrong is not None:
            return False
        try:
            timeout = aiohttp.ClientTimeout(total=ASK_WITHIN)
            async with self._session.get(self._url.get_secret_value(), timeout=timeout) as answer:
                if answer.status >= 400:
                    self._log.warning("heartbeat refused", status=answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._log.warning("heartbeat not delivered", error=type(error).__name__)  # its text may hold the address
        return True
