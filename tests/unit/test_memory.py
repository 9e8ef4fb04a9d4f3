"""What was needed once goes back to the system, although something small still lies between."""

from __future__ import annotations

import asyncio

from relay.app import memory


async def until_below(resident: float) -> None:
    """Returns when the process holds less than so many MiB; a look takes a second where much was imported."""
    async with asyncio.timeout(30):
        while memory.resident() >= resident:  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.05)


async def test_memory_that_a_large_message_needed_is_given_back() -> None:
    message = [bytes(2000) for _ in range(50_000)]
    pins = message[::1000]  # what stays keeps the heap from shrinking
    del message
    full = memory.resident()
    giving = asyncio.create_task(memory.give_back())
    await until_below(full - 50)
    giving.cancel()
    assert len(pins) == 50


async def test_what_was_still_in_use_at_the_first_look_is_given_back_later() -> None:
    message = [bytes(2000) for _ in range(50_000)]
    pins = message[::1000]
    giving = asyncio.create_task(memory.give_back(every=0.3))
    full = memory.resident()
    await asyncio.sleep(0.1)  # the first look finds growth and nothing to give
    del message
    await until_below(full - 50)
    giving.cancel()
    assert len(pins) == 50
