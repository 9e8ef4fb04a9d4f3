"""`relay serve` as a process: logging, the event loop, signals, the exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import uvloop

from relay import logs
from relay.app.channels import UnusableChannel
from relay.app.memory import freeze_imports, give_back, share_heaps
from relay.app.relay import Relay
from relay.config import Config
from relay.store.database import StoreUnavailable


def run(config: Config, listen: str | None = None) -> int:
    """Serves until SIGTERM, SIGINT or SIGHUP; a second signal cancels at once. Returns the exit code."""
    share_heaps()
    return uvloop.run(_serve(config, listen))


async def _serve(config: Config, listen: str | None) -> int:
    log = logs.get("app")
    relay = Relay(config, listen=listen)
    starting = asyncio.create_task(relay.start(), name="start")
    _heed_signals(lambda: relay.request_stop() if starting.done() else starting.cancel())
    try:
        await starting
    except (StoreUnavailable, OSError) as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400  the reason is the whole message
        await relay.stop()
        return 1
    except asyncio.CancelledError:
        await relay.stop()
        return 0
    settling = asyncio.create_task(_keep_small(relay), name="memory")
    try:
        await relay.wait()
    except Exception as error:
        unusable = error.subgroup(UnusableChannel) if isinstance(error, ExceptionGroup) else None
        if unusable is None:
            log.exception("a critical task died")
        else:
            log.error("cannot start", error=str(unusable.exceptions[0]))  # noqa: TRY400  the reason is the whole message
        return 1
    finally:
        settling.cancel()
    return 0


def _heed_signals(stop: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            asyncio.get_running_loop().add_signal_handler(number, stop)


async def settle(relay: Relay) -> None:
    """Once everything is imported: compiles what the first alert would wait for, and exempts it all from collections."""
    await relay.opened.wait()
    await asyncio.to_thread(relay.prepare_templates)
    freeze_imports()


async def _keep_small(relay: Relay) -> None:
    await settle(relay)
    await give_back()
