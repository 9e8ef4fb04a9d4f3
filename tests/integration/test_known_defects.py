"""Defects that relays of this kind are known for. `docs/explanation/defects.md` lists all, each with its test.

Here are those that no other test speaks of: one failing channel, requests that wait for a chat, clusters that are taken for
one, doors nobody guards, foreign messages, and addresses in labels.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.app import Relay
from relay.clock import MINUTE
from relay.config import Config
from tests.bot_relay import ANNA, CHAT, open_bot_relay
from tests.fakes.gateway import Answer, FakeGateway
from tests.state import open_state, sqlite_engine, wire_alert, wire_body

TOKEN = "webhook-token"
ROOT = Path(__file__).parents[2]
Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """`session = await start(first=url, …)`: a relay that sends everything to these http channels; a client for it."""
    async with AsyncExitStack() as stack:

        async def run(**urls: str) -> aiohttp.ClientSession:
            sections = {
                "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": TOKEN}},
                "database": {"url": f"sqlite:///{tmp_path / 'relay.db'}"},
                "channels": {name: {"type": "http", "url": url} for name, url in urls.items()},
                "routes": [{"channels": list(urls)}],
            }
            relay = Relay(Config.model_validate(sections))
            await relay.start()
            stack.push_async_callback(relay.stop)
            host, port = relay.address
            headers = {"Authorization": f"Bearer {TOKEN}"}
            return await stack.enter_async_context(aiohttp.ClientSession(f"http://{host}:{port}", headers=headers))

        yield run


async def post(session: aiohttp.ClientSession, *alerts: dict[str, object], key: str = "{}") -> int:
    async with session.post("/webhook", json=wire_body(*alerts, key=key)) as answer:
        return answer.status


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  a service that others call
            await asyncio.sleep(0.01)


async def test_a_channel_that_fails_is_tried_again_and_the_others_are_served_once(
    gateway: FakeGateway, start: Start
) -> None:
    """Neither is the failure told to Alertmanager as success and forgotten, nor are the others sent everything again."""
    async with FakeGateway() as failing:
        failing.script.extend([Answer(status=503)] * 2)
        session = await start(good=gateway.url, bad=failing.url)
        assert await post(session, wire_alert()) == 200
        await until(lambda: len(failing.journal) == 3)
        assert len({request.headers["idempotency-key"] for request in failing.journal}) == 1
        assert len(gateway.journal) == 1


async def test_a_webhook_is_answered_at_once_while_its_destination_hangs(gateway: FakeGateway, start: Start) -> None:
    gateway.script.extend([Answer(gate=asyncio.Event())] * 5)
    session = await start(hook=gateway.url)
    assert await post(session, wire_alert()) == 200
    await until(lambda: gateway.journal)
    started = time.monotonic()
    for number in range(20):
        alerts = [wire_alert(instance=f"db-{number}-{index}") for index in range(30)]
        assert await post(session, *alerts, key=f"group {number}") == 200
    assert time.monotonic() - started < 10  # a call may take 30 s
    await gateway.stop()


async def test_every_alert_of_a_group_is_told(gateway: FakeGateway, start: Start) -> None:
    session = await start(hook=gateway.url)
    assert await post(session, *[wire_alert(instance=f"db-{number}") for number in range(50)]) == 200
    await until(lambda: gateway.journal)
    assert len(gateway.journal[0].json["alerts"]) == 50


async def test_no_door_is_open_that_the_reference_does_not_name(gateway: FakeGateway, start: Start) -> None:
    session = await start(hook=gateway.url)
    for path in ("/config", "/auth?receiver=1", "/app", "/", "/ping/1", "/debug", "/api/v1/status/config"):
        async with session.get(path) as answer:
            assert answer.status == 404, path
        async with session.post(path, json={"callback_query": {"data": "x"}}) as answer:
            assert answer.status == 404, path
    async with session.post("/webhook", json=wire_body(wire_alert()), headers={"Authorization": "no"}) as answer:
        assert answer.status == 401


async def test_an_address_in_a_label_or_an_annotation_is_never_fetched(tmp_path: Path, gateway: FakeGateway) -> None:
    async with open_bot_relay(tmp_path) as running:
        labels: dict[str, Any] = {
            "image": f"{gateway.url}/panel.png",
            "dashboard": gateway.url,
            "generator": f"{gateway.url}/graph",
        }
        alert = wire_alert(summary=f"{gateway.url}/a.png ![x]({gateway.url}/b.png)", **labels)
        alert["generatorURL"] = f"{gateway.url}/graph?g0.expr=up"
        await running.post({**alert, "annotations": {"runbook_url": f"{gateway.url}/runbook", "image": gateway.url}})
        await running.telegram.until(lambda: running.messages)
    assert gateway.journal == []


async def test_messages_of_others_are_left_alone(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        foreign = running.telegram.user_sends(CHAT, ANNA, "we are on it")
        alert = wire_alert(summary="full")
        await running.post(alert)
        await running.telegram.until(lambda: len(running.messages) == 2)
        await running.restart()
        await running.post({**alert, "status": "resolved", "endsAt": "2099-01-01T00:00:00Z"})
        await running.telegram.until(lambda: len(running.messages) == 3)  # a resolved critical is answered to
        assert running.messages[0] is foreign
        assert not running.telegram.calls("deleteMessage") + running.telegram.calls("deleteMessages")


async def test_clusters_that_contradict_each_other_are_two_incidents(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        eu = (await state.post(wire_alert())).group
        state.source = "us"
        us = (await state.post(wire_alert())).group
        assert eu != us
        assert await state.kinds() == ["new", "new"]
        await state.post(wire_alert(firing=False, ends=state.clock()))
        shown = await state.show()
        assert {(view.alertmanager, view.open) for _, _, view in shown} == {("us", False)}
        state.source = "main"
        assert (await state.post(wire_alert())).duplicate  # and here it still fires


async def test_after_another_group_by_the_old_message_ends_though_nobody_reports_it_again(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        one, two = wire_alert(instance="db-1"), wire_alert(instance="db-2")
        await state.post(one, two, key='{}:{alertname="DiskFull"}')
        await state.show()
        state.clock.advance(MINUTE)
        for number, alert in enumerate((one, two)):
            await state.post(alert, key=f'{{}}:{{instance="db-{number}"}}')
        await state.show()
        for number, alert in enumerate((one, two)):
            over = {**alert, "status": "resolved", "endsAt": "2099-01-01T00:00:00Z"}
            await state.post(over, key=f'{{}}:{{instance="db-{number}"}}')
        last = {view.code: view for _, _, view in await state.show()}
        assert len(last) == 3
        assert not any(view.open for view in last.values())


def test_each_defect_of_the_page_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "explanation" / "defects.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| Defect")]
    sources = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")}
    assert len(rows) >= 19
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in sources[file], f"{file}::{test}"
