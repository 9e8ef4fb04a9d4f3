"""What the process keeps of the system's memory: imports for good, and little of what a large webhook needed."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY = 10.0
"""Seconds."""
WORTH_IT = 16.0
"""MiB by which the process must have grown before anything is given back: it costs some ten milliseconds."""
LOOKS_AFTER = 6
"""After each growth so many looks give back: while a large message is being sent, most of it is still in use."""
ARENAS = 2
"""Heaps of the C library. It would make one for each thread, and what is freed in one is of no use to the others: after
four messages of 20,000 alerts that was 40 MiB. Under the interpreter's lock threads hardly ever want memory together."""
_M_ARENA_MAX = -8  # malloc.h
_PAGES = 4096 / 2**20


def freeze_imports() -> None:
    """What was imported stays: walking it again at every full collection would stop the event loop for 50 ms and more.

    Small collections are made rarer, too: a webhook of 5,000 alerts is many objects and no garbage cycles.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def share_heaps() -> None:
    """Before the first thread: a heap that is there stays. `MALLOC_ARENA_MAX` of the environment goes first."""
    mallopt: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, ARENAS)


async def give_back(every: float = LOOK_EVERY) -> None:
    """Runs until cancelled and looks each so many seconds. The C library would keep what was freed, to use it again."""
    trim = _find_trim()
    if trim is None:
        return
    last, looks = 0.0, 0
    while True:
        if resident() > last + WORTH_IT:
            looks = LOOKS_AFTER
        if looks:
            looks -= 1
            gc.collect()
            await asyncio.to_thread(trim, 0)
            last = resident()
        await asyncio.sleep(every)


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
