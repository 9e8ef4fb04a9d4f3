"""The relay as its users run it: `relay serve` in a process of its own, and what it says and answers."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.forked import ForkedProcess
from tests.programs import ROOT

TOKEN = "webhook-token"
READY_WITHIN = 20.0


class RelayProcess:
    """One relay with its config and database in a folder; `start` again after a `kill` continues where it was."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, forked: bool = False
    ) -> None:
        """`environ` has the values of the `${NAME}`s in the config; `forked` spares the imports (`tests.forked`)."""
        self._folder = folder
        self._forked = forked
        self._environ = environ or {}
        self._config = {
            "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": TOKEN}},
            "database": {"url": f"sqlite:///{folder / 'relay.db'}"},
            **config,
        }
        self._process: asyncio.subprocess.Process | ForkedProcess | None = None
        self._log = folder / "relay.log"
        self.url = ""

    @property
    def output(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Returns once it listens; keeps its port over a restart, as Alertmanager's config names it."""
        (self._folder / "relay.yml").write_text(yaml.safe_dump(self._config))
        said = len(self.output)
        self._process = await self._begin("serve", "--config", str(self._folder / "relay.yml"))
        async with asyncio.timeout(READY_WITHIN):
            while not (found := re.search(r"event=listening host=(\S+) port=(\d+)", self.output[said:])):
                if self._process.returncode is not None:
                    raise RuntimeError(f"the relay ended with {self._process.returncode}:\n{self.output}")
                await asyncio.sleep(0.02)
        self.url = f"http://{found[1]}:{found[2]}"
        server: dict[str, Any] = self._config["server"]
        server["listen"] = f"{found[1]}:{found[2]}"

    async def _begin(self, *words: str) -> asyncio.subprocess.Process | ForkedProcess:
        environ = {**os.environ, **self._environ, "HOME": str(self._folder)}
        if self._forked:
            process = ForkedProcess(words, environ, self._log)
            await process.start()
            return process
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "relay", *words,
                cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environ,
            )  # fmt: skip

    def change(self, **sections: Any) -> None:
        """Another config for the next start."""
        self._config |= sections

    async def kill(self) -> None:
        """SIGKILL: no farewell of any kind."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Anything but an end: freezing and waking up."""
        assert self._process is not None
        self._process.send_signal(number)

    async def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(how)
        try:
            async with asyncio.timeout(30):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            raise
        self._process = None
        return code

    async def post(self, body: bytes, *, path: str = "/webhook", token: str | None = TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, data=io.BytesIO(body), headers=headers) as answer,
        ):
            text = await answer.text()
            return answer.status, await answer.json() if "json" in answer.content_type else text

    async def until_channel(self, condition: Callable[[Mapping[str, Any]], bool], channel: str = "chat") -> None:
        """Returns once what `/health` says of the channel fulfils the condition."""
        async with asyncio.timeout(60):
            while not condition((await self.get("/health"))[1]["channels"][channel]):  # noqa: ASYNC110  another process
                await asyncio.sleep(0.1)

    async def get(self, path: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return (
                answer.status,
                await answer.json() if answer.content_type == "application/json" else await answer.text(),
            )


def alertmanager_config(
    url: str, *, group_by: str = "[alertname]", group_wait: str = "1s", interval: str = "2s"
) -> str:
    """An Alertmanager that posts to the relay at this address, faster than anybody would want it."""
    return f"""
route:
  receiver: relay
  group_by: {group_by}
  group_wait: {group_wait}
  group_interval: {interval}
  repeat_interval: 1h
receivers:
  - name: relay
    webhook_configs:
      - url: {url}/webhook
        send_resolved: true
        http_config:
          authorization: {{credentials: {TOKEN}}}
"""


async def fire(url: str, *alerts: Mapping[str, str], resolved: bool = False) -> None:
    """Posts alerts (their labels; `summary` becomes the annotation) to an Alertmanager, as Prometheus does."""
    body = []
    for labels in alerts:
        own = dict(labels)
        alert: dict[str, Any] = {"annotations": {"summary": own.pop("summary", "")}, "labels": own}
        if resolved:
            alert["endsAt"] = "2026-01-01T00:00:00Z"
        body.append(alert)
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/alerts", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def silence(url: str, **labels: str) -> None:
    body = {
        "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z",
        "createdBy": "anna",
        "comment": "deploying",
    }
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/silences", json=body) as answer:
        assert answer.status == 200, await answer.text()
