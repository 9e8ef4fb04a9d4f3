"""Asks the platforms of channels that are paused while nothing waits for them: no message would show that they work again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from relay import logs
from relay.checked import Checked
from relay.ingest.own import ITSELF
from relay.metrics import Metrics
from relay.notification import DeliveryError
from relay.store.database import Database
from relay.store.destinations import record_recovery
from relay.store.leases import LeaseKeeper
from relay.store.watching import ChannelState, look
from relay.watching.rounds import make_rounds

LEASE = "probing"
LOOK_EVERY = 5.0
ASK_EVERY = 300.0
"""Seconds between two looks at the channels, and between two questions to one that is paused."""
FORGET_AFTER = 900.0
"""Seconds after which a failure that may have passed by itself, and that nothing has met since, is told no longer."""
ANSWER_WITHIN = 15.0

Check = Callable[[], Awaitable[Checked]]
"""Asks a channel's platform whether it would work; raises `DeliveryError`."""


async def ask(check: Check) -> Checked | None:
    """What the platform says of the channel; None if it refuses or does not answer in time."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return await check()
    except (DeliveryError, TimeoutError):
        return None


class Prober:
    """Ends a pause whose cause a platform would have named again. One replica asks; a start asks at once.

    Not every platform can be asked for every cause. Of one that may pass by itself it is enough after a while that the
    platform answers: to report it for ever since no message comes would be as untrue. What was refused for good stays.

    `resume` ends the pause that a worker of this process keeps. One of another replica is over by then: none lasts longer
    than five minutes.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        resume: Callable[[str], None],
        *,
        database: Database,
        keeper: LeaseKeeper,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._checks = checks
        self._resume = resume
        self._database = database
        self._keeper = keeper
        self._metrics = metrics
        self._monotonic = monotonic
        self._first_wait = 0.0
        self._idle_since: dict[str, float] = {}  # monotonic
        self._due: dict[str, float] = {}  # the same, of the next question
        self._log = logs.get("watching")

    async def run(self, stopping: asyncio.Event) -> None:
        self._keeper.want([LEASE])
        await make_rounds(self.round, LOOK_EVERY, stopping=stopping, metrics=self._metrics)

    async def round(self) -> None:
        """Raises `StoreUnavailable`."""
        if self._keeper.get(LEASE) is None:
            return
        found = await self._database.read(look, list(self._checks), ITSELF)
        idle = {name: state for name, state in found.channels.items() if state.paused_since and state.oldest is None}
        now = self._monotonic()
        self._idle_since = {name: self._idle_since.get(name, now) for name in idle}
        self._due = {name: self._due.get(name, now + self._first_wait) for name in idle}
        self._first_wait = ASK_EVERY
        asked = [name for name in idle if self._due[name] <= now]
        self._due |= dict.fromkeys(asked, now + ASK_EVERY)
        await asyncio.gather(*(self._probe(name, idle[name]) for name in asked))

    async def _probe(self, channel: str, paused: ChannelState) -> None:
        answer = await ask(self._checks[channel])
        if answer is None:
            return
        idle_for = self._monotonic() - self._idle_since[channel]
        passed = not paused.permanent and idle_for >= FORGET_AFTER
        if paused.reason not in answer.rules_out and not passed:
            return
        if await self._database.write(record_recovery, channel, paused.failed_at):
            self._log.info("works again", channel=channel, answer=answer.said)
            self._resume(channel)
