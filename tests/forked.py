"""Starts the relay's program as a fork of a process that has imported it: a tenth of a second of CPU instead of five."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path


class ForkedProcess:
    """`relay …` in a process of its own, with what tests use of asyncio's `Process`."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        """`words` are the arguments, `environ` the whole environment; what it prints is added to the log."""
        target = functools.partial(_run_program, list(words), dict(environ), str(log))
        self._process = _forks().Process(target=target, daemon=True)

    async def start(self) -> None:
        await asyncio.to_thread(self._process.start)  # the first one waits for all the imports

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; the negative signal if that ended it."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        while self.returncode is None:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)
        return self.returncode


@functools.cache
def _forks() -> ForkServerContext:
    """Its server starts with the first process, imports what is named here and ends with the tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.imported_relay"])
    return context


def _run_program(words: Sequence[str], environ: Mapping[str, str], log: str) -> None:
    """In the new process: everything is as after `python -m relay …`, but for what has been imported."""
    os.environ.clear()
    os.environ.update(environ)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["relay", *words]
    from relay.__main__ import main

    main()
