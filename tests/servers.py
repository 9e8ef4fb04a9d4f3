"""Starts real servers on loopback for tests, waits until they answer, and stops those that it started.

The calls block for some tenths of a second: nothing that the servers need before they are ready runs in the caller's loop.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs import AlertmanagerProgram

READY_WITHIN = 30.0
"""Seconds; a loaded machine needs one."""

_STOP_WITHIN = 5.0
_PORTS = range(20_100, 32_000)
"""Below the ports that outgoing connections take (32768 and up on Linux)."""
_SHARES = 8
"""Processes of a test run that have ports of their own; more than that share again."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on right now, and that nobody here was given lately."""
    for port in _own_ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there is always a next port")


@functools.cache
def _own_ports() -> Iterator[int]:
    """What was given out is often bound only later: neither this process nor its neighbours may be given it meanwhile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(_PORTS)[worker % _SHARES :: _SHARES]
    random.SystemRandom().shuffle(ports)
    return itertools.cycle(ports)


def answers(url: str) -> bool:
    """Whether a GET is answered with 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Polls until `ready`; raises `RuntimeError` when the process ended or `READY_WITHIN` is over."""
    end = time.monotonic() + READY_WITHIN
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode} before it was ready")
        if time.monotonic() > end:
            raise RuntimeError(f"{what} was not ready within {READY_WITHIN:.0f} s")
        time.sleep(0.03)


@dataclass
class Server:
    """A running program, the address it answers at, and the file that holds its output."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, and by force if it does not follow; what has ended stays so."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def start_http_server(
    name: str, command: Callable[[int], Sequence[str | Path]], folder: Path, *, port: int = 0
) -> Server:
    """Starts `command(port)` in the folder and waits for its `/-/ready`; without a port on a free one, tried anew if lost."""
    attempts = 1 if port else 3
    while True:
        chosen = port or free_port()
        log = folder / "output.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command(chosen)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        server = Server(f"http://127.0.0.1:{chosen}", process, log)
        try:
            wait_until(lambda url=server.url: answers(f"{url}/-/ready"), name, process)  # type: ignore[misc]  # bound as default
        except RuntimeError as error:
            server.stop(signal.SIGKILL)
            attempts -= 1
            if not attempts or "address already in use" not in log.read_text():
                raise RuntimeError(f"{error}:\n{log.read_text()[-2000:]}") from None
        else:
            return server


@dataclass
class Starter:
    """What the servers of one test have in common: a folder, and the duty to stop them."""

    folder: Path
    servers: dict[str, Server] = field(default_factory=dict)

    def new_folder(self, kind: str) -> Path:
        folder = self.folder / f"{kind}-{len(self.servers)}"
        folder.mkdir(parents=True)
        return folder

    def stop(self, url: str, how: signal.Signals = signal.SIGTERM) -> None:
        self.servers[url].stop(how)

    def output(self, url: str) -> str:
        """All that the server has logged."""
        return self.servers[url].log.read_text()

    def stop_all(self) -> None:
        for server in self.servers.values():
            server.stop()


@dataclass
class AlertmanagerStarter(Starter):
    """Starts Alertmanagers of one version: `url = start_alertmanager(config_text)`."""

    program: AlertmanagerProgram = field(kw_only=True)

    def __call__(
        self,
        config: str,
        *,
        port: int = 0,
        arguments: Sequence[str] = ("--cluster.listen-address=",),
        data: Path | None = None,
    ) -> str:
        """Its address, once it is ready. By default without a mesh; give `data` and `port` to continue after a stop."""
        folder = self.new_folder("alertmanager")
        (folder / "alertmanager.yml").write_text(config)

        def command(chosen: int) -> list[str | Path]:
            address = f"--web.listen-address=127.0.0.1:{chosen}"
            storage = f"--storage.path={data or folder / 'data'}"
            return [self.program.path, "--config.file=alertmanager.yml", storage, address, *arguments]

        server = start_http_server("Alertmanager", command, folder, port=port)
        self.servers[server.url] = server
        return server.url


@dataclass
class PrometheusStarter(Starter):
    """Starts Prometheus: `url = start_prometheus(config_text, rules={"disk.yml": text})`."""

    program: Path = field(kw_only=True)

    def __call__(self, config: str, *, rules: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> str:
        """Its address, once it is ready; the rule files lie beside the config."""
        folder = self.new_folder("prometheus")
        (folder / "prometheus.yml").write_text(config)
        for name, text in (rules or {}).items():
            (folder / name).write_text(text)

        def command(chosen: int) -> list[str | Path]:
            address = f"--web.listen-address=127.0.0.1:{chosen}"
            storage = f"--storage.tsdb.path={folder / 'data'}"
            return [self.program, "--config.file=prometheus.yml", storage, address, *arguments]

        server = start_http_server("Prometheus", command, folder)
        self.servers[server.url] = server
        return server.url
