"""Runs the stack: players, Prometheus, Alertmanager, and the relay with stand-ins or with somebody's own config."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import yaml

from relay.config import Config, load
from relay.demo.page import Page
from relay.demo.players.server import Players
from relay.demo.programs import Program
from relay.demo.stack.plan import HOST, Plan
from relay.demo.stack.shipped import Shipped
from relay.demo.stack.stand_ins import StandIns

if TYPE_CHECKING:
    from relay.app import Relay

_STOP_WITHIN = 1.0
"""Seconds for each part, then it is ended by force: nothing of it is kept for long."""
_SCRAPED_WITHIN = 90.0
"""Seconds: at the shipped pace the first scrape of a job may come after its whole interval."""
_PATIENCE = {True: 90.0, False: 1800.0}
"""Seconds until somebody is told of an incident, at the quick pace and at the shipped one."""


class Stack:
    """Owns every part; `start` raises `RuntimeError`, `OSError` or `ConfigError` with the reason, `stop` ends what runs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts = AsyncExitStack()
        self._shipped = Shipped(plan.root, quick=plan.quick)
        self.folder = Path(tempfile.mkdtemp(prefix="relay-stack-"))
        self.players = Players(HOST, first_port=plan.ports.players)
        self.stand_ins = StandIns(self.players, patience=_PATIENCE[plan.quick]) if plan.config is None else None
        self._addresses = plan.ports.addresses
        self.urls: dict[str, str] = {}

    async def start(self) -> None:
        """Everything, the ones that are needed first. Nothing is asked of the network beyond this machine."""
        self._parts.callback(self._clean)
        await self._run(self.players)
        self.urls["players"] = self.players.urls["control"]
        if self.stand_ins is not None:
            await self._run(self.stand_ins)
            page = Page(self.stand_ins)
            self._parts.push_async_callback(page.stop)
            await page.start(self._plan.ports.page)
            self.urls["page"] = page.url
        config, webhook = self._configure()
        await self._start_alertmanager(config, webhook)
        await self._start_relay(config)
        await self._start_prometheus()
        if self.stand_ins is not None:
            await self.stand_ins.wait_for_bot()

    async def stop(self) -> None:
        await self._parts.aclose()

    async def _run(self, part: Players | StandIns) -> None:
        self._parts.push_async_callback(part.stop)
        await part.start()

    def _configure(self) -> tuple[Config, str]:
        """The relay's config and the address for webhooks. Somebody's own keeps all but the addresses of this stack."""
        if self.stand_ins is None:
            config = load(self._plan.config, os.environ)
        else:
            tree = self._shipped.relay(self._addresses, self.stand_ins.far_side.platforms, self.folder)
            self.stand_ins.gather(tree["channels"])
            path = self.folder / "relay.yml"
            path.write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False), encoding="utf-8")
            config = load(path, {**self.stand_ins.far_side.secrets, "RELAY_WEBHOOK_TOKEN": secrets.token_urlsafe()})
        known = config.alertmanagers[:1]
        here = [one.model_copy(update={"urls": [f"http://{self._addresses.alertmanager}"]}) for one in known]
        server = config.server.model_copy(update={"listen": self._addresses.relay, "ops_listen": None})
        name = f"/{known[0].name}" if known else ""
        config = config.model_copy(update={"server": server, "alertmanagers": here})
        return config, f"http://{self._addresses.relay}/webhook{name}"

    async def _start_relay(self, config: Config) -> None:
        from relay.app import Relay  # heavy: whoever makes a mistake in the arguments need not wait for it

        relay = Relay(config)
        await relay.start()
        self._parts.push_async_callback(_stop_relay, relay)
        self.urls["relay"] = f"http://{self._addresses.relay}"

    async def _start_alertmanager(self, config: Config, webhook: str) -> None:
        auth = config.server.auth
        if not auth.tokens and not auth.allow_anonymous:
            raise RuntimeError("server.auth has no bearer_token, which the Alertmanager of this stack posts with")
        token = self.folder / "webhook_token"
        token.touch(mode=0o600)
        token.write_text(auth.tokens[0].get_secret_value() if auth.tokens else "anonymous", encoding="utf-8")
        text = self._shipped.alertmanager(webhook, token)
        storage = f"--storage.path={self.folder / 'alertmanager'}"
        words = [self._plan.alertmanager, storage, "--cluster.listen-address="]
        await self._program("alertmanager", text, words, self._addresses.alertmanager)

    async def _start_prometheus(self) -> None:
        rules = self.folder / "rules"
        rules.mkdir()
        text = self._shipped.prometheus(self._addresses, rules)
        words = [self._plan.prometheus, f"--storage.tsdb.path={self.folder / 'prometheus'}"]
        if self._plan.quick:
            words.append("--rules.alert.resend-delay=5s")
        program = await self._program("prometheus", text, words, self._addresses.prometheus)
        await wait_for_targets(program.url)
        self._shipped.write_rules(rules)
        program.reload()

    async def _program(self, name: str, config: str, words: list[str], address: str) -> Program:
        file = self.folder / f"{name}.yml"
        file.write_text(config, encoding="utf-8")
        url = f"http://{address}"
        common = [f"--config.file={file}", f"--web.listen-address={address}", f"--web.external-url={url}"]
        program = Program([*words, *common], url=url, log=self.folder / f"{name}.log")
        self._parts.push_async_callback(program.stop, _STOP_WITHIN)
        await program.start()
        self.urls[name] = url
        return program

    def _clean(self) -> None:
        if not self._plan.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


async def wait_for_targets(prometheus: str) -> None:
    """Returns when all that it watches was scraped; raises `RuntimeError` that says which was not."""
    unseen: list[str] = ["everything"]
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(_SCRAPED_WITHIN):
                while unseen:
                    async with session.get(f"{prometheus}/api/v1/targets?state=active") as answer:
                        targets = (await answer.json())["data"]["activeTargets"]
                    unseen = [f"{one['scrapePool']}: {one['lastError']}" for one in targets if one["health"] != "up"]
                    unseen = unseen if targets else ["everything"]
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise RuntimeError(f"Prometheus could not scrape {', '.join(unseen)}") from None


async def _stop_relay(relay: Relay) -> None:
    """In order; at once if that takes too long for somebody who pressed Ctrl-C."""
    relay.request_stop()
    ended = asyncio.create_task(relay.wait())
    _, late = await asyncio.wait([ended], timeout=_STOP_WITHIN)
    if late:
        relay.request_stop()
    await ended
