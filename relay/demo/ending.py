"""When what runs on this machine for show shall end: Ctrl-C, SIGTERM, and a terminal that is closed."""

from __future__ import annotations

import asyncio
import signal


def asked_to_end() -> asyncio.Event:
    """Is set by the first of the signals. Under `nohup`, which has SIGHUP ignored, a closed terminal ends nothing."""
    asked = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked
