"""Makes a round again and again until the end; one that fails does not stop the next."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from relay import logs
from relay.metrics import Metrics
from relay.store.database import StoreUnavailable


async def make_rounds(
    make: Callable[[], Awaitable[None]], every: float, *, stopping: asyncio.Event, metrics: Metrics
) -> None:
    """A round, then `every` seconds of rest; returns soon after `stopping` is set."""
    log = logs.get("watching")
    while not stopping.is_set():
        try:
            await make()
        except StoreUnavailable as error:
            log.warning("store unavailable", error=str(error))
        except Exception:  # the door of a round: a bug in one must not stop the next
            metrics.errors.labels("timer").inc()
            log.exception("watching failed unexpectedly")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every):
                await stopping.wait()
