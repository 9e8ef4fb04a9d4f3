"""What was needed once goes back to the system, although something small still lies between."""

from __future__ import annotations

import asyncio
import contextlib

from relay.app import memory


async def test_memory_that_a_large_message_needed_is_given_back() -> None:
    message = [bytes(2000) for _ in range(50_000)]
    pins = message[::1000]  # what stays keeps the heap from shrinking
    del message
    full = memory.resident()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(memory.give_back(), 2)
    assert memory.resident() < full - 50
    assert len(pins) == 50


async def test_what_was_still_in_use_at_the_first_look_is_given_back_later() -> None:
    message = [bytes(2000) for _ in range(50_000)]
    pins = message[::1000]
    giving = asyncio.create_task(memory.give_back(every=0.3))
    full = memory.resident()
    await asyncio.sleep(0.1)  # the first look finds growth and nothing to give
    del message
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(giving, 2)
    assert memory.resident() < full - 50
    assert len(pins) == 50
