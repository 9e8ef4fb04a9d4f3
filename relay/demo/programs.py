"""Programs that run beside the demo: found, started with a log of their own, waited for, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import random
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp

UNPACKED = Path(__file__).parents[2] / ".cache" / "servers" / "bin"
"""Where `tools/servers` unpacks what it may not install, if this is a checkout."""
_PORTS = range(20_000, 32_000)  # below those that outgoing connections take
_READY_WITHIN = 20.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
_TOLD = 600
"""Characters of a log's end that are told when its program ends."""


def find_program(*names: str) -> str | None:
    """The path of the first of these programs that is installed or unpacked."""
    found = (shutil.which(name) or shutil.which(name, path=str(UNPACKED)) for name in names)
    return next((path for path in found if path), None)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on right now."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of 127.0.0.1 right now."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: a connection that is ending is none
        probe.bind(("127.0.0.1", port))
        return True
    return False


class Program:
    """One program that answers `/-/ready` at its address when it is."""

    def __init__(self, words: Sequence[str], *, url: str, log: Path) -> None:
        self._words = words
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.url = url

    async def start(self) -> None:
        """Returns when it is ready; raises `RuntimeError` with the end of its log when it does not become so."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C on the terminal is for us: we stop it in our order
                preexec_fn=_end_with_parent(),  # one call of the C library, which takes no lock
            )
        async with aiohttp.ClientSession() as session:
            try:
                async with asyncio.timeout(_READY_WITHIN):
                    while not await self._ready(session):
                        if self._process.returncode is not None:
                            raise RuntimeError(f"{self._words[0]} ended: {self._last_words()}")
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise RuntimeError(
                    f"{self._words[0]} was not ready within {_READY_WITHIN:.0f} s: {self._last_words()}"
                ) from None

    def reload(self) -> None:
        """Has it read its config anew, as SIGHUP does with Prometheus and Alertmanager."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self, within: float = 0.5) -> None:
        """Ends it, and by force what has not ended after so many seconds."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(within):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-_TOLD:].strip()


def _end_with_parent() -> Callable[[], object] | None:
    """What a new process does first: on Linux the kernel shall end it when we die, even of SIGKILL."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
