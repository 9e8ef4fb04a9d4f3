"""What the process keeps of the system's memory: imports for good, and little of what a large webhook needed."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY = 10.0
"""Seconds."""
WORTH_IT = 16.0
"""MiB by which the process must have grown before anything is given back: it costs some ten milliseconds."""
_PAGES = 4096 / 2**20


def freeze_imports() -> None:
    """What was imported stays: walking it again at every full collection would stop the event loop for 50 ms and more.

    Small collections are made rarer, too: a webhook of 5,000 alerts is many objects and no garbage cycles.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def give_back() -> None:
    """Runs until cancelled. The C library would keep what was freed, in case it is wanted again."""
    trim = _find_trim()
    if trim is None:
        return
    lowest = 0.0
    while True:
        if resident() > lowest + WORTH_IT:
            gc.collect()
            await asyncio.to_thread(trim, 0)
            lowest = resident()
        await asyncio.sleep(LOOK_EVERY)


def resident() -> float:
    """MiB of this process in memory, as Linux counts them; 0 elsewhere."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGES
    except OSError:
        return 0.0


def _find_trim() -> Callable[[int], int] | None:
    """The `malloc_trim` of glibc; other C libraries have none and need none."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
