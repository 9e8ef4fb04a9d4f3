"""The players: healthy until asked, every alert of the rules has its incident, and nobody's mistake stops them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.demo.players.__main__ import main
from relay.demo.players.player import Player
from relay.demo.players.series import Counter, Gauge, Histogram, Incident, System
from relay.demo.players.server import SYSTEMS, Players
from tests.shipped import alerts

SHOP = System(
    "shop",
    "/metrics",
    (
        Counter("orders_total", 2.0, {"kind": "web"}),
        Counter("spent_usd_total", 0.5, whole=False),
        Gauge("stock", 7),
        Histogram("wait_seconds", 1.0, (0.5, 1.0, 5.0), per_second=10.0),
    ),
    {
        "NoOrders": Incident((Counter("orders_total", 0.0, {"kind": "web"}),)),
        "SoldOut": Incident((Gauge("stock", 0),)),
        "NearlySoldOut": Incident((Gauge("stock", 1),)),
        "Piling": Incident((Gauge("stock", 8, climb=0.5),)),
        "Down": Incident(down=True),
    },
)


class Hours:
    """A clock in seconds that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def samples(player: Player) -> dict[str, float]:
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(player.exposition().decode())
        for sample in family.samples
    }


@pytest.fixture
def clock() -> Hours:
    return Hours()


@pytest.fixture
def shop(clock: Hours) -> Player:
    return Player(SHOP, now=clock, chance=random.Random(7))


def test_counters_grow_at_about_their_pace_and_count_whole_things(shop: Player, clock: Hours) -> None:
    assert samples(shop)["orders_total/web"] == 0
    clock.now += 100
    found = samples(shop)
    assert 170 <= found["orders_total/web"] <= 230
    assert found["orders_total/web"] == int(found["orders_total/web"])
    assert 42 <= found["spent_usd_total"] <= 58


def test_half_of_what_a_histogram_observes_lies_below_its_level(shop: Player, clock: Hours) -> None:
    clock.now += 100
    found = samples(shop)
    assert found["wait_seconds_bucket/+Inf"] == found["wait_seconds_count"] > 800
    assert abs(found["wait_seconds_bucket/1.0"] - found["wait_seconds_count"] / 2) <= 1
    assert found["wait_seconds_bucket/0.5"] < 0.1 * found["wait_seconds_count"]
    assert found["wait_seconds_sum"] > found["wait_seconds_count"]


def test_an_incident_counts_from_the_moment_it_begins_until_it_ends(shop: Player, clock: Hours) -> None:
    clock.now += 100
    before = samples(shop)["orders_total/web"]
    shop.begin("NoOrders")
    clock.now += 100
    assert samples(shop)["orders_total/web"] == before
    shop.end("NoOrders")
    clock.now += 100
    assert samples(shop)["orders_total/web"] >= before + 170


def test_of_two_incidents_on_one_series_the_latest_wins_and_the_other_is_not_forgotten(shop: Player) -> None:
    shop.begin("NearlySoldOut")
    shop.begin("SoldOut")
    assert samples(shop)["stock"] == 0
    shop.end("SoldOut")
    assert samples(shop)["stock"] == 1
    shop.end("NearlySoldOut")
    shop.end("NearlySoldOut")
    assert samples(shop)["stock"] == 7


def test_what_piles_up_climbs_while_the_incident_lasts_and_is_gone_afterwards(shop: Player, clock: Hours) -> None:
    shop.begin("Piling")
    clock.now += 5
    assert samples(shop)["stock"] == 10
    clock.now += 5
    assert samples(shop)["stock"] == 13
    shop.end("Piling")
    assert samples(shop)["stock"] == 7
    shop.begin("Piling")
    assert samples(shop)["stock"] == 8


def test_a_clock_that_goes_back_takes_nothing_away(shop: Player, clock: Hours) -> None:
    clock.now += 100
    before = samples(shop)
    clock.now -= 60
    assert samples(shop) == before


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_alert_of_the_rules_has_an_incident_and_no_incident_is_about_nothing(system: System) -> None:
    assert set(system.incidents) == set(alerts(system.name))
    known = {(one.name, *sorted(one.labels.items())) for one in system.series}
    for alert, incident in system.incidents.items():
        assert incident.down or incident.changed, alert
        for one in incident.changed:
            assert (one.name, *sorted(one.labels.items())) in known, (
                f"{alert} changes {one.name}, which is not exported"
            )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_what_is_exported_keeps_to_the_rules_of_names(system: System) -> None:
    for family in text_string_to_metric_families(Player(system).exposition().decode()):
        exported = family.name + ("_total" if family.type == "counter" else "")
        assert (family.type == "counter") == exported.endswith("_total"), exported
        assert (family.type == "histogram") == exported.endswith(("_seconds", "cost_usd")), exported


@pytest.fixture
async def players() -> AsyncIterator[Players]:
    found = Players(first_port=0)
    await found.start()
    yield found
    await found.stop()


async def ask(method: str, url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        return answer.status, await answer.json() if "json" in answer.content_type else await answer.text()


async def test_a_system_that_is_down_answers_no_scrape_until_the_incident_ends(players: Players) -> None:
    scrape = players.urls["samokoder"] + "/metrics"
    switch = players.urls["control"] + "/incident/samokoder/APIDown"
    assert (await ask("GET", scrape))[0] == 200
    assert await ask("POST", switch) == (200, {"service": "samokoder", "alertname": "APIDown", "active": True})
    assert (await ask("GET", scrape))[0] == 503
    assert (await ask("GET", players.urls["samokoder"] + "/health"))[1] == {"status": "down", "incidents": ["APIDown"]}
    assert (await ask("GET", players.urls["bgw"] + "/api/metrics/prometheus"))[0] == 200
    assert (await ask("DELETE", switch))[0] == 200
    assert (await ask("GET", scrape))[0] == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(("path", "said"), [("bgw/APIDown", "no alert 'APIDown'"), ("x/APIDown", "no service 'x'")])
async def test_an_unknown_name_is_told_with_what_there_is(players: Players, method: str, path: str, said: str) -> None:
    status, answer = await ask(method, f"{players.urls['control']}/incident/{path}")
    assert status == 404
    assert said in answer["error"]
    assert "APIUnavailable" in answer["error"] or "samokoder" in answer["error"]


async def test_a_port_that_is_taken_is_named_and_nothing_is_left_behind(players: Players) -> None:
    port = int(players.urls["control"].rpartition(":")[2])
    second = Players(first_port=port)
    with pytest.raises(OSError, match=f"port {port} of 127.0.0.1, for control, is taken"):
        await second.start()
    assert second.urls == {}


def test_switching_without_players_says_what_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["incident", "samokoder/APIDown", "--at", "http://127.0.0.1:9"]) == 1
    assert "make stack" in capsys.readouterr().err


def test_a_name_without_a_service_is_refused_before_anyone_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["incident", "APIDown", "--at", "http://127.0.0.1:9"]) == 1
    assert "SERVICE/ALERT" in capsys.readouterr().err
