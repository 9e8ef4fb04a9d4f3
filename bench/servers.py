"""The processes that are measured: the relay as its users run it, and the bare handler beside it."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.load import TOKEN
from relay.demo.telegram import TOKEN as TELEGRAM_TOKEN

ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")
ROOT = Path(__file__).resolve().parent.parent
CHAT = -1001
QUIET = yaml.safe_dump({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]})


@dataclass(frozen=True)
class Running:
    """Where it listens, its process id, and the seconds from exec until it listened."""

    port: int
    pid: int
    started_in: float

    @property
    def rss(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0


@asynccontextmanager
async def bare_server(*options: str) -> AsyncIterator[Running]:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bare", *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield Running(port, process.pid, time.perf_counter() - started)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def echo_bot(telegram: str) -> AsyncIterator[None]:
    """A bot beside the relay's, for the Bot API at that address."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.echo", telegram, cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def alertmanager_server(folder: Path, config: str = QUIET) -> AsyncIterator[str]:
    """The address of a real Alertmanager; unless told otherwise it sends nothing anywhere."""
    program = next((path for name in ALERTMANAGERS if (path := shutil.which(name))), None)
    if program is None:
        raise RuntimeError("there is no Alertmanager: run `make servers`")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text(config)
    log = folder / "alertmanager.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", stdout=output, stderr=output,
        )  # fmt: skip
    try:
        while not (found := re.search(r"address=127\.0\.0\.1:(\d+)", log.read_text())):
            if process.returncode is not None:
                raise RuntimeError(log.read_text())
            await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def relay_server(
    folder: Path, *, telegram: str = "http://127.0.0.1:9", chats: bool = True, chat: int = CHAT, **sections: Any
) -> AsyncIterator[Running]:
    """The relay on SQLite in that folder; `telegram` is the Bot API's address, `sections` are more of the config."""
    folder.mkdir(parents=True, exist_ok=True)
    channel = {"type": "telegram", "chat_id": chat} if chats else {"type": "http", "url": "http://127.0.0.1:9/"}
    config = {
        "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": TOKEN}},
        "database": {"url": f"sqlite:///{folder / 'relay.db'}"},
        "channels": {"chat": channel},
        "routes": [{"channels": ["chat"]}],
        "log": {"level": "info"},
    }
    if chats:
        config["telegram"] = {"bot_token": TELEGRAM_TOKEN, "api_url": telegram}
    (folder / "relay.yml").write_text(yaml.safe_dump({**config, **sections}))
    log = folder / "relay.log"
    started = time.perf_counter()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay", "serve", "--config", str(folder / "relay.yml"),
            cwd=ROOT, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        while not (found := re.search(r"event=listening host=\S+ port=(\d+)", log.read_text())):
            if process.returncode is not None:
                raise RuntimeError(log.read_text())
            await asyncio.sleep(0.005)
        yield Running(int(found[1]), process.pid, time.perf_counter() - started)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
