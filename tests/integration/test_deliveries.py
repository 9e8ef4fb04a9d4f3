"""What waits and what was given up: seen, tried again, let be, and what another config means for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from typer.testing import CliRunner

from relay.cli import create_program
from relay.clock import DAY, MINUTE
from relay.listening import AuthConfig
from relay.routing import RouteConfig
from relay.server.credentials import Credentials
from relay.server.deliveries import Deliveries
from relay.store.deliveries import (
    Delivery,
    bury_overdue,
    dead_letters,
    discard_delivery,
    follow_config,
    list_deliveries,
    retry_delivery,
    show_delivery,
)
from relay.store.destinations import record_refusal
from relay.store.posts import Failure, record_failure
from tests.state import LIVING, START, State, open_state, postgres_engine, sqlite_engine, wire_alert
from tests.watching import KICKED

Open = Callable[..., AbstractAsyncContextManager[State]]
REFUSED = Failure(reason="rejected", detail="a text that nobody takes", due_at=None)


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with opened(...) as state` on either database."""
    if request.param == "sqlite":
        return partial(open_state, sqlite_engine(tmp_path))
    return partial(open_state, postgres_engine(request.getfixturevalue("postgres_url")))


async def listed(state: State, only: Any = None) -> list[Delivery]:
    return await state.database.read(list_deliveries, only)


async def bury(state: State) -> int:
    """The post that is due is given up; its id."""
    due = await state.due()
    assert due is not None
    await state.database.write(record_failure, due.post.id, REFUSED, None)
    return due.post.id


# -- what people see -------------------------------------------------------------------------------------------------


async def test_what_waits_is_listed_until_it_is_shown(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(instance="a"), wire_alert("Other", instance="b"))
        [one] = await listed(state)
        assert (one.channel, one.state, one.alerts, one.reason, one.since) == ("chat", "pending", 2, "", START + 1000)
        contents = await state.database.read(show_delivery, one.id)
        assert contents is not None
        assert (contents.names, contents.open, contents.shown) == (("DiskFull", "Other"), True, False)
        await state.show()
        assert await listed(state) == []
        assert await state.database.read(show_delivery, one.id) is None


async def test_what_waits_for_a_channel_that_refuses_is_listed_with_the_channels_reason(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.database.write(record_refusal, "chat", state.clock(), KICKED)
        [one] = await listed(state)
        assert (one.reason, one.detail) == ("forbidden", "bot was kicked")


async def test_only_the_alerts_of_that_channel_are_counted(opened: Open) -> None:
    routes = [
        RouteConfig(matchers=['severity="critical"'], channels=["a_b"]),
        RouteConfig(channels=["axb"]),
    ]
    async with opened(routes=routes, capabilities={"a_b": LIVING, "axb": LIVING}) as state:
        await state.post(wire_alert(), wire_alert("One", severity="info"), wire_alert("Two", severity="info"))
        assert {one.channel: one.alerts for one in await listed(state)} == {"a_b": 1, "axb": 2}


async def test_states_are_told_apart(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(), key="one")
        dead = await bury(state)
        await state.post(wire_alert("Other"), key="two")
        assert [one.id for one in await listed(state, "dead")] == [dead]
        assert [one.id for one in await listed(state, "pending")] != [dead]
        assert len(await listed(state)) == 2
        assert await state.database.read(dead_letters, ["chat"]) == {"chat": 1}


# -- what people do --------------------------------------------------------------------------------------------------


async def test_a_dead_letter_that_is_tried_again_is_shown_as_things_stand_now(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(severity="warning"))
        dead = await bury(state)
        await state.post(wire_alert(severity="warning", firing=False))
        assert await state.show() == []
        before = await state.database.write(retry_delivery, dead, state.clock())
        assert before is not None
        assert before.reason == "rejected"
        [(_, step, view)] = await state.show()
        assert (step.kind, view.open) == ("new", False)


async def test_a_dead_letter_lives_again_with_the_next_thing_that_rings(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(instance="a"))
        await bury(state)
        await state.post(wire_alert(instance="a"), wire_alert(instance="b"))
        assert await state.kinds() == ["new"]


async def test_what_is_discarded_is_not_told_and_what_happens_next_is(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert(instance="a"))
        dead = await bury(state)
        assert await state.database.write(discard_delivery, dead) is not None
        assert await listed(state) == []
        assert await state.show() == []
        await state.post(wire_alert(instance="a"), wire_alert(instance="b"))
        [(_, step, _)] = await state.show()
        assert step.kind == "new"
        assert [alert.labels["instance"] for alert in step.changes.fired] == ["b"]


async def test_what_waits_can_be_discarded(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        [one] = await listed(state)
        await state.database.write(discard_delivery, one.id)
        assert await state.show() == []


async def test_what_is_not_there_is_neither_tried_nor_discarded(opened: Open) -> None:
    async with opened() as state:
        assert await state.database.write(retry_delivery, 4711, state.clock()) is None
        assert await state.database.write(discard_delivery, 4711) is None


# -- what time and another config do ---------------------------------------------------------------------------------


async def test_all_that_is_older_than_max_age_is_given_up_with_the_oldest(opened: Open) -> None:
    async with opened() as state:
        for key in ("one", "two"):
            await state.post(wire_alert(key), key=key)
        state.clock.advance(DAY)
        await state.post(wire_alert("young"), key="young")
        failure = Failure(reason="expired", detail="waited for max_age", due_at=None)
        assert await state.database.write(bury_overdue, "chat", state.clock() - DAY + MINUTE, failure) == 2
        assert [one.reason for one in await listed(state)] == ["expired", "expired", ""]


async def test_what_waits_for_a_channel_that_left_the_config_is_given_up_and_lives_when_it_is_back(
    opened: Open,
) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await state.database.write(follow_config, {"other": "1"}, state.clock())
        [one] = await listed(state, "dead")
        assert (one.channel, one.reason) == ("chat", "channel_removed")
        await state.database.write(follow_config, {"other": "1", "chat": "1"}, state.clock())
        assert await state.kinds() == ["new"]


async def test_dead_letters_live_again_when_what_the_config_says_of_their_channel_changes(opened: Open) -> None:
    async with opened() as state:
        await state.database.write(follow_config, {"chat": "1"}, state.clock())
        await state.post(wire_alert())
        await bury(state)
        await state.database.write(follow_config, {"chat": "1"}, state.clock())
        assert await state.show() == []
        await state.database.write(follow_config, {"chat": "2"}, state.clock())
        assert await state.kinds() == ["new"]


async def test_what_a_channel_shows_of_open_incidents_is_looked_at_again_when_its_config_changes(opened: Open) -> None:
    async with opened() as state:
        await state.database.write(follow_config, {"chat": "1"}, state.clock())
        await state.post(wire_alert("Open"), key="{}:open")
        await state.post(wire_alert("Over"), key="{}:over")
        await state.show()
        await state.post(wire_alert("Over", firing=False, ends=state.clock()), key="{}:over")
        await state.show()
        await state.database.write(follow_config, {"chat": "1"}, state.clock())
        assert await listed(state) == []
        state.clock.advance(MINUTE)
        await state.database.write(follow_config, {"chat": "2"}, state.clock())
        assert [(one.since, one.state) for one in await listed(state)] == [(state.clock(), "pending")]
        assert await state.show() == []
        assert await listed(state) == []


async def test_a_database_that_knew_no_digest_revives_nothing(opened: Open) -> None:
    async with opened() as state:
        await state.post(wire_alert())
        await bury(state)
        await state.database.write(follow_config, {"chat": "1"}, state.clock())
        assert await state.show() == []


# -- over HTTP -------------------------------------------------------------------------------------------------------


def client_of(state: State, auth: AuthConfig, resumed: list[str]) -> TestClient[Any, Any]:
    served = web.Application()
    types = {"chat": "telegram"}
    deliveries = Deliveries(state.database, Credentials(auth), state.clock, types, resumed.append)
    served.add_routes(deliveries.routes())
    return TestClient(TestServer(served))


async def test_whoever_may_post_webhooks_lists_and_mends(opened: Open) -> None:
    resumed: list[str] = []
    async with opened() as state, client_of(state, AuthConfig(bearer_token=SecretStr("letmein")), resumed) as client:
        await state.post(wire_alert())
        dead = await bury(state)
        assert (await client.get("/api/deliveries")).status == 401
        assert (await client.post(f"/api/deliveries/{dead}/discard")).status == 401
        key = {"Authorization": "Bearer letmein"}
        answer = await client.get("/api/deliveries", params={"state": "dead"}, headers=key)
        [one] = (await answer.json())["deliveries"]
        assert one == {
            "id": str(dead),
            "channel": "chat",
            "type": "telegram",
            "state": "dead",
            "group": one["group"],
            "alerts": 1,
            "reason": "rejected",
            "detail": "a text that nobody takes",
            "attempts": 1,
            "since": "2026-09-21T14:13:21.000Z",
        }
        shown = await (await client.get(f"/api/deliveries/{dead}", headers=key)).json()
        assert (shown["names"], shown["open"]) == (["DiskFull"], True)
        assert (await client.get("/api/deliveries", params={"state": "lost"}, headers=key)).status == 400
        for nobody in ("4711", "9" * 19):  # the second is more than a database can hold
            assert (await client.get(f"/api/deliveries/{nobody}", headers=key)).status == 404
            assert (await client.post(f"/api/deliveries/{nobody}/retry", headers=key)).status == 404
        answer = await client.post(f"/api/deliveries/{dead}/retry", headers=key)
        assert ((await answer.json())["status"], resumed) == ("retried", ["chat"])
        assert await state.kinds() == ["new"]


STRANGERS: Mapping[str, Mapping[str, str]] = {
    "through a proxy": {"X-Forwarded-For": "192.0.2.1"},
    "through a gateway": {"Via": "1.1 squid"},
    "a page": {"Origin": "https://example.net"},
    "a page in a sandbox": {"Origin": "null"},
    "a form": {"Sec-Fetch-Site": "cross-site"},
    "a name that leads to loopback": {"Host": "rebound.example.net:8080"},
    "a name that looks like loopback": {"Host": "127.0.0.1.example.net"},
}


async def test_strangers_may_not_mend_where_everybody_may_post(opened: Open) -> None:
    async with opened() as state, client_of(state, AuthConfig(allow_anonymous=True), []) as client:
        await state.post(wire_alert())
        dead = await bury(state)
        for who, headers in STRANGERS.items():
            assert (await client.get("/api/deliveries", headers=headers)).status == 200, who
            for what in ("retry", "discard"):
                assert (await client.post(f"/api/deliveries/{dead}/{what}", headers=headers)).status == 403, who


async def test_a_program_of_this_machine_may_mend_where_everybody_may_post(opened: Open) -> None:
    async with opened() as state, client_of(state, AuthConfig(allow_anonymous=True), []) as client:
        await state.post(wire_alert())
        dead = await bury(state)
        for host in ("127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080"):
            assert (await client.post(f"/api/deliveries/{dead}/retry", headers={"Host": host})).status == 200, host
        assert (await client.post(f"/api/deliveries/{dead}/discard")).status == 200


async def test_a_browser_with_a_token_may_mend_where_everybody_may_post(opened: Open) -> None:
    auth = AuthConfig(allow_anonymous=True, bearer_token=SecretStr("letmein"))
    async with opened() as state, client_of(state, auth, []) as client:
        await state.post(wire_alert())
        dead = await bury(state)
        headers = {"Origin": "https://example.net", "Authorization": "Bearer letmein"}
        assert (await client.post(f"/api/deliveries/{dead}/discard", headers=headers)).status == 200


# -- the command, while no relay runs --------------------------------------------------------------------------------


def config_in(folder: Path) -> Path:
    path = folder / "relay.yml"
    config = {
        "server": {"listen": "127.0.0.1:0", "auth": {"bearer_token": "letmein"}},
        "database": {"url": f"sqlite:///{folder / 'relay.db'}"},
        "channels": {"chat": {"type": "http", "url": "http://127.0.0.1:9/"}},
        "routes": [{"channels": ["chat"]}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


async def run(folder: Path, *words: str) -> tuple[int, str]:
    words = ("deliveries", *words, "--config", str(config_in(folder)))
    result = await asyncio.to_thread(CliRunner().invoke, create_program(), words)
    return result.exit_code, result.output


async def test_the_command_works_on_the_database_while_no_relay_runs(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        await state.post(wire_alert())
        dead = await bury(state)
    code, said = await run(tmp_path, "list", "--json")
    assert (code, [one["id"] for one in json.loads(said)]) == (0, [str(dead)])
    code, said = await run(tmp_path, "list")
    assert (code, len(said.splitlines())) == (0, 1)
    assert "chat (http)" in said
    assert "rejected: a text that nobody takes" in said
    code, said = await run(tmp_path, "show", str(dead))
    assert (code, "DiskFull" in said) == (0, True)
    assert await run(tmp_path, "discard", str(dead), "4711") == (
        1,
        f"{dead}: chat, group {code_of_group(said)}: is discarded\nthere is no delivery 4711, or it has arrived meanwhile\n",
    )
    assert await run(tmp_path, "list") == (0, "all is delivered\n")


def code_of_group(shown: str) -> str:
    """The group's code in what `show` prints."""
    [line] = [line for line in shown.splitlines() if line.startswith("group:")]
    return line.split()[1]


async def test_the_command_makes_no_database_and_says_so(tmp_path: Path) -> None:
    code, said = await run(tmp_path, "list")
    assert (code, "there is no database" in said) == (1, True)
    assert not (tmp_path / "relay.db").exists()


async def test_the_command_says_when_the_database_is_in_use(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)):
        code, said = await run(tmp_path, "list")
    assert (code, "in use by another relay" in said) == (1, True)


async def test_the_command_takes_ids_only(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)):
        pass
    code, said = await run(tmp_path, "retry", "everything")
    assert (code, "is no id" in said) == (1, True)
    code, said = await run(tmp_path, "retry", "9" * 19)  # more than a database can hold
    assert (code, "there is no delivery 9999999999999999999" in said) == (1, True)
