"""A thousand groups into one group chat under Telegram's limits, beside Alertmanager's own Telegram receiver.

One real Alertmanager feeds both at the same moment, each into a strict stand-in of its own. Both are watched for the same
time; what Alertmanager would have sent later is not in the figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from bench.load import TOKEN
from bench.scenarios import Row
from bench.servers import CHAT, alertmanager_server, relay_server
from relay.clock import to_datetime
from relay.demo.telegram import FakeTelegram

GROUPS, CRITICALS = 1000, 5
RESOLVED_AFTER = 75.0
WATCHED = 170.0
NAMES = [f"node-{number:04}" for number in range(GROUPS)]


@dataclass
class Watch:
    """One chat: when what was first true there, in seconds."""

    telegram: FakeTelegram
    started: float = field(default_factory=time.perf_counter)
    reached: dict[str, float] = field(default_factory=dict)

    @property
    def messages(self) -> list[Any]:
        return self.telegram.chat(CHAT).messages

    @property
    def sends(self) -> int:
        return len([call for call in self.telegram.journal if call.method.startswith("send")])

    def shown(self) -> str:
        files = [one.document.body.decode() for one in self.messages if one.document]
        return "\n".join([one.text for one in self.messages] + files)

    def head(self) -> str:
        return next((one.text for one in self.messages if "torm" in one.text.split("\n")[0]), "")

    def note(self, what: str, holds: Callable[[], bool]) -> None:
        if what not in self.reached and holds():
            self.reached[what] = time.perf_counter() - self.started

    def named(self) -> int:
        text = self.shown()
        return sum(name in text for name in NAMES)


async def storm(folder: Path) -> list[Row]:
    """First all fire, then all resolve; each time in seconds from when Alertmanager was told."""
    async with FakeTelegram(burst=1) as ours, FakeTelegram(burst=1) as native:
        for fake in (ours, native):
            fake.add_chat(CHAT)
        async with relay_server(folder / "storm", telegram=ours.url) as relay:
            await ours.until(lambda: ours.calls("getUpdates"), within=180)  # every library is imported, the bot listens
            await asyncio.sleep(1)
            config = _alertmanager(f"http://127.0.0.1:{relay.port}", native)
            async with alertmanager_server(folder / "alertmanager", config) as url:
                return await _watch(url, Watch(ours), Watch(native))


async def _watch(url: str, ours: Watch, native: Watch) -> list[Row]:
    began = time.time()
    await _tell(url, began, firing=True)
    ours.started = native.started = started = time.perf_counter()
    while time.perf_counter() - started < RESOLVED_AFTER:
        ours.note("head", lambda: f"{GROUPS} firing" in ours.head())
        ours.note("criticals", lambda: _own_criticals(ours) >= CRITICALS)
        ours.note("names", lambda: ours.named() == GROUPS)
        await asyncio.sleep(0.5)
    firing_named = native.named()
    messages = len(ours.messages)
    await _tell(url, began, firing=False)
    ours.started = time.perf_counter()
    while time.perf_counter() - started < WATCHED:
        ours.note("head resolved", lambda: _has_ended(ours.head()))
        ours.note("all resolved", lambda: _true(ours))
        await asyncio.sleep(0.5)
    return [*_judged(ours, messages), *_beside(native, firing_named)]


def _judged(ours: Watch, messages: int) -> list[Row]:
    def within(what: str, key: str, bound: float) -> Row:
        found = ours.reached.get(key)
        figure = "never" if found is None else f"{found:.1f} s"
        return Row(what, figure, f"≤ {bound:.0f} s", found is not None and found <= bound)

    refused = ours.telegram.floods.refused
    return [
        within(f"storm of {GROUPS} groups: head true", "head", 10),
        within("… criticals in own messages", "criticals", 10),
        within("… every group named", "names", 60),
        Row("… messages", str(messages), "≤ 20", messages <= 20),
        within("… all resolve: head true", "head resolved", 30),
        within("… all resolve: all messages true", "all resolved", 90),
        Row("… answers 429", str(refused), "≤ 1", refused <= 1),
    ]


def _beside(native: Watch, firing_named: int) -> list[Row]:
    stale = sum("firing" in one.text.lower() for one in native.messages)
    return [
        Row(f"Alertmanager's receiver: named in {RESOLVED_AFTER:.0f} s", f"{firing_named}"),
        Row(f"… named in {WATCHED:.0f} s", f"{native.named()}"),
        Row("… of them messages that say firing", str(stale)),
        Row("… requests", str(native.sends)),
        Row("… answers 429", str(native.telegram.floods.refused)),
    ]


def _own_criticals(ours: Watch) -> int:
    return sum(one.text.startswith("🔴 Critical") for one in ours.messages)


def _true(ours: Watch) -> bool:
    """Nothing in the chat looks as if it still fired."""
    lines = [line for one in ours.messages for line in one.text.splitlines()]
    return _has_ended(ours.head()) and not any(line and line[0] in "🔴🟠🟡🔵" for line in lines)


def _has_ended(head: str) -> bool:
    """While the storm is on, and once it is over."""
    return f"{GROUPS} resolved" in head or "All of it is resolved" in head


async def _tell(url: str, began: float, *, firing: bool) -> None:
    """As Prometheus does, in one request."""
    alerts = [_alert(number, began, firing=firing) for number in range(GROUPS)]
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/alerts", json=alerts) as answer:
        answer.raise_for_status()


def _alert(number: int, began: float, *, firing: bool) -> dict[str, Any]:
    severity = "critical" if number < CRITICALS else "error" if number % 10 == 0 else "warning"
    labels = {
        "alertname": f"Alert{number % 20:02}", "instance": NAMES[number], "severity": severity,
        "service": f"service-{number % 7}", "cluster": "eu",
    }  # fmt: skip
    ends = {} if firing else {"endsAt": to_datetime(int(time.time() * 1000)).isoformat()}
    starts = to_datetime(int(began * 1000)).isoformat()
    return {"labels": labels, "annotations": {"summary": f"{NAMES[number]} is slow"}, "startsAt": starts, **ends}


def _alertmanager(relay: str, native: FakeTelegram) -> str:
    hook = {"url": f"{relay}/webhook", "http_config": {"authorization": {"credentials": TOKEN}}}
    chat = {"api_url": native.url, "bot_token": native.token, "chat_id": CHAT}
    return yaml.safe_dump(
        {
            "route": {
                "receiver": "relay",
                "group_by": ["alertname", "instance"],
                "group_wait": "0s",
                "group_interval": "5s",
                "routes": [{"receiver": "relay", "continue": True}, {"receiver": "telegram"}],
            },
            "receivers": [
                {"name": "relay", "webhook_configs": [hook]},
                {"name": "telegram", "telegram_configs": [chat]},
            ],
        }
    )
