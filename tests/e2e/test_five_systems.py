"""Every alert of the five systems, from its metric to the people: players, real Prometheus and Alertmanager, the relay.

Rules, groups, routes, channels and texts are the shipped ones, at the quick pace of `relay.demo.stack.rhythm`. Each system
runs three times, or a critical alert would inhibit the warnings of its instance: `a` has the criticals, `b` the others, `c`
is the one that goes down.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from relay.demo.programs import Program
from relay.demo.stack.shipped import Addresses, Shipped
from relay.demo.stack.stack import wait_for_targets
from tests.inboxes import Inboxes, Shown
from tests.programs import ROOT, find, find_alertmanager
from tests.relay_process import TOKEN, RelayProcess
from tests.servers import free_port
from tests.shipped import SYSTEMS, alerts, destinations, every_alert

OUTAGES = {("samokoder", "APIDown"), ("bgw", "APIUnavailable")}
CONSEQUENCES = {"ErrorBudgetBurnFast", "ErrorBudgetBurnSlow", "LatencyBudgetBurn"}
"""They follow from HighErrorRate and HighLatency, and change the same metrics less."""
HISTORY = 100
"""Seconds of spending before the start: three days and a mean of the days before, at the quick pace."""
WITHIN = 100.0
"""Seconds for all alerts to be shown, and as much for all to end; a loaded machine needs about 30."""


class Replica:
    """The players as a process of their own: whatever the test does, Prometheus gets its answers in time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self.urls: dict[str, str] = {}

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay.demo.players", "serve", "--port", "0",
            cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while len(self.urls) < 1 + len(SYSTEMS):
                name, _, url = (await self._process.stdout.readline()).decode().strip().partition(": ")
                self.urls[name] = url

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def switch(self, method: str, service: str, alert: str) -> None:
        url = f"{self.urls['control']}/incident/{service}/{alert}"
        async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
            assert answer.status == 200, await answer.text()


@dataclass
class World:
    """All that runs, and when each alert was first shown and first over, by (channel, alert)."""

    replicas: dict[str, Replica]
    inboxes: Inboxes
    relay: RelayProcess
    channels: dict[str, dict[str, Any]]
    shown: dict[tuple[str, str], float] = field(default_factory=dict)
    over: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, now: float) -> None:
        """Notes what has become visible."""
        texts = {channel: self.inboxes.texts(channel) for channel, _ in wanted()}
        for channel, alert in wanted():
            named = [one for one in texts[channel] if one.names(alert)]
            if any(not one.over for one in named):
                self.shown.setdefault((channel, alert), now)
            if named and named[-1].over:
                self.over.setdefault((channel, alert), now)

    def first(self, channel: str, alert: str) -> Shown:
        return next(one for one in self.inboxes.texts(channel) if one.names(alert))


def wanted() -> set[tuple[str, str]]:
    return {(channel, alert) for service, alert in every_alert() for channel in destinations(service, alert)}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    shipped = Shipped(ROOT)
    channels: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "relay.example.yml").read_text())["channels"]
    async with AsyncExitStack() as parts:
        inboxes = await parts.enter_async_context(Inboxes(channels))
        replicas = {name: Replica() for name in "abc"}
        for replica in replicas.values():
            parts.push_async_callback(replica.stop)
            await replica.start()
        at = addresses(replicas.values())
        relay = RelayProcess(
            tmp_path,
            shipped.relay(at, inboxes.far_side.platforms, tmp_path),
            environ={**inboxes.far_side.secrets, "RELAY_WEBHOOK_TOKEN": TOKEN},
        )
        await start_alertmanager(shipped, at, tmp_path, parts)
        parts.push_async_callback(relay.kill)
        await relay.start()
        await start_prometheus(shipped, at, tmp_path, parts)
        yield World(replicas, inboxes, relay, channels)


def addresses(replicas: Iterable[Replica]) -> Addresses:
    every = list(replicas)
    return Addresses(
        prometheus=f"127.0.0.1:{free_port()}",
        alertmanager=f"127.0.0.1:{free_port()}",
        relay=f"127.0.0.1:{free_port()}",
        systems={name: [one.urls[name].removeprefix("http://") for one in every] for name in SYSTEMS},
    )


async def start_alertmanager(shipped: Shipped, at: Addresses, folder: Path, parts: AsyncExitStack) -> None:
    (folder / "webhook_token").write_text(TOKEN)
    config = folder / "alertmanager.yml"
    config.write_text(shipped.alertmanager(f"http://{at.relay}/webhook/main", folder / "webhook_token"))
    words = [str(find_alertmanager("installed").path), f"--storage.path={folder / 'alertmanager'}"]
    words += [f"--config.file={config}", f"--web.listen-address={at.alertmanager}", "--cluster.listen-address="]
    program = Program(words, url=f"http://{at.alertmanager}", log=folder / "alertmanager.log")
    parts.push_async_callback(program.stop)
    await program.start()


async def start_prometheus(shipped: Shipped, at: Addresses, folder: Path, parts: AsyncExitStack) -> None:
    rules, data = folder / "rules", folder / "prometheus"
    rules.mkdir()
    remember_spending(at.systems["callcenter"], folder, data)
    config = folder / "prometheus.yml"
    config.write_text(shipped.prometheus(at, rules))
    words = [str(find("prometheus", "prometheus")), f"--config.file={config}", f"--storage.tsdb.path={data}"]
    words += [f"--web.listen-address={at.prometheus}", "--rules.alert.resend-delay=5s"]
    program = Program(words, url=f"http://{at.prometheus}", log=folder / "prometheus.log")
    parts.push_async_callback(program.stop)
    await program.start()
    await wait_for_targets(program.url)
    shipped.write_rules(rules)
    program.reload()


def remember_spending(targets: Sequence[str], folder: Path, data: Path) -> None:
    """Blocks with the days before: AbnormalAPISpend compares with their mean."""
    now = time.time()
    lines = ["# TYPE api_cost_usd counter"]
    for target in targets:
        labels = f'api="llm",instance="{target}",job="callcenter"'
        ages = range(HISTORY, 0, -1)
        lines += [f"api_cost_usd_total{{{labels}}} {0.004 * (HISTORY - age):.3f} {now - age:.3f}" for age in ages]
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    promtool = find("promtool", "promtool")
    words = [
        str(word) for word in (promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "history.txt", data)
    ]
    made = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def incidents(world: World) -> list[tuple[Replica, str, str]]:
    """Which incident goes where: see the module's first words."""
    found = []
    for service, alert in every_alert():
        if alert in CONSEQUENCES:
            continue
        rule = alerts(service)[alert]
        if (service, alert) in OUTAGES:
            names = "c"
        elif "sum" in rule["expr"] or "samokoder:" in rule["expr"]:
            names = "abc"  # of all instances together
        else:
            names = "a" if rule["labels"]["severity"] == "critical" else "b"
        found += [(world.replicas[name], service, alert) for name in names]
    return found


async def until(world: World, started: float, found: dict[tuple[str, str], float], what: str) -> None:
    """Looks until everything that is wanted was found."""
    end = time.monotonic() + WITHIN
    while missing := wanted() - found.keys():
        if time.monotonic() > end:
            rows = "\n".join(f"{channel}: {alert}" for channel, alert in sorted(missing))
            pytest.fail(f"{what} within {WITHIN:.0f} s:\n{rows}\n{world.relay.output[-3000:]}")
        await asyncio.sleep(0.5)
        world.look(time.monotonic() - started)


def pattern(text: str) -> re.Pattern[str]:
    """An annotation, with anything where the template fills something in."""
    head, _, rest = text.partition("{{")
    tail = rest.rpartition("}}")[2]
    words = [r"\s+".join(map(re.escape, part.split())) for part in ((head, tail) if rest else (text,))]
    return re.compile(r".*".join(words), re.DOTALL)


def texts_are_right(world: World) -> None:
    for service, alert in every_alert():
        rule = alerts(service)[alert]
        for name in destinations(service, alert):
            channel = world.channels[name]
            suffix = "_ru" if channel.get("language") == "ru" else ""
            first = world.first(name, alert)
            parts = ("summary",) if channel["type"] in ("http", "email") else ("summary", "description")
            for part in parts:
                expected = pattern(rule["annotations"][part + suffix])
                assert expected.search(first.text), f"{name}, {alert}: {expected.pattern!r} is not in {first.text!r}"
            assert first.silent == (channel["type"] == "telegram" and rule["labels"]["severity"] == "info"), alert


def nobody_else_was_told(world: World) -> None:
    """At each channel exactly the alerts that belong there were named, and at those for no team none of the five systems."""
    for name in world.channels:
        texts = world.inboxes.texts(name)
        # without TargetDown: a starved machine may miss three scrapes of any target
        known = {alert for _, alert in every_alert()} - {"TargetDown"}
        named = {alert for alert in known for one in texts if one.names(alert)}
        assert named == {alert for channel, alert in wanted() if channel == name} & known, name


def reflexio_has_its_own_words(world: World) -> None:
    slack = world.first("reflexio-slack", "HighHallucinationRate").text
    assert "CRITICAL - HighHallucinationRate" in slack
    subjects = {
        mail.subject for mail in world.inboxes.far_side.mail.mailbox if mail.recipients == ("reflexio@example.org",)
    }
    assert subjects == {f"[Reflexio] {alert}" for alert in alerts("reflexio")}


def report(world: World) -> str:
    """System × alert × channel, with the seconds until it was shown and until it was over."""
    lines = ["", "Every alert of the five systems: seconds until shown / over", ""]
    for service, alert in every_alert():
        cells = [
            f"{name} {world.shown[name, alert]:.0f}/{world.over[name, alert]:.0f}"
            for name in sorted(destinations(service, alert))
        ]
        lines.append(f"  {service:11} {alert:22} {alerts(service)[alert]['labels']['severity']:9} {', '.join(cells)}")
    return "\n".join(lines)


@pytest.mark.timeout(280)
async def test_every_alert_arrives_on_exactly_its_channels_with_its_texts_and_resolves(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    started = time.monotonic()
    for replica, service, alert in incidents(world):
        await replica.switch("POST", service, alert)
    await until(world, started, world.shown, "not shown")
    for replica, service, alert in incidents(world):
        await replica.switch("DELETE", service, alert)
    await until(world, started, world.over, "not over")
    texts_are_right(world)
    nobody_else_was_told(world)
    reflexio_has_its_own_words(world)
    assert world.inboxes.far_side.sms.refused == []
    assert "event=dead_letter" not in world.relay.output
    record_property("table", report(world))
