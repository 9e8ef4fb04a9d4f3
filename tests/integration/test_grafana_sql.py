"""The SQL of "Relay: analytics" on the real schema, as the role that the docs create, against figures of the relay itself."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from grafana.build import DASHBOARDS
from relay.acking import Acker
from relay.clock import DAY, HOUR, MINUTE, Millis
from relay.ingest.accept import TEST_LABEL
from relay.ingest.turn import Turn
from relay.store.statistics import Statistics, statistics
from tests.markdown import blocks
from tests.postgres_server import PostgresCluster
from tests.programs import ROOT
from tests.state import START, State, open_state, postgres_engine, wire_alert

BOARD = json.loads((DASHBOARDS / "relay" / "relay-analytics.json").read_text())
PANELS = {
    f"{panel['title']} ({panel['type']})": target
    for panel in BOARD["panels"]
    for target in panel.get("targets", ())
    if "rawSql" in target
}
SINCE = START - DAY
UNTIL = START + 40 * DAY
MOSCOW = "Europe/Moscow"
"""UTC+3 all the year."""
EVERY_SEVERITY = ("critical", "error", "warning", "info")


@dataclass(frozen=True)
class Looking:
    """What somebody has chosen at the top of the dashboard; `services` None is all that are listed there."""

    connection: asyncpg.Connection[Any]
    per: str = "day"
    timezone: str = MOSCOW
    severities: Sequence[str] = EVERY_SEVERITY
    services: Sequence[str] | None = None

    async def at(self, panel: str) -> list[dict[str, Any]]:
        """The rows of a panel."""
        statement = PANELS[panel]["rawSql"]
        return [dict(row) for row in await self.connection.fetch(await self._chosen(statement))]

    async def listed(self) -> list[str]:
        """The services that can be chosen."""
        [variable] = [one for one in BOARD["templating"]["list"] if one["name"] == "service"]
        return [row[0] for row in await self.connection.fetch(variable["query"])]

    async def _chosen(self, statement: str) -> str:
        """What Grafana makes of a statement: it only replaces text."""
        services = await self.listed() if self.services is None else self.services
        values = {
            "$__from": str(SINCE),
            "$__to": str(UNTIL),
            "${__timezone}": self.timezone,
            "${per}": self.per,
            "${severity:sqlstring}": _quoted(self.severities),
            "${service:sqlstring}": _quoted(services),
        }
        for name, value in values.items():
            statement = statement.replace(name, value)
        assert "$" not in statement
        return statement


def _quoted(words: Sequence[str]) -> str:
    return ",".join("'" + word.replace("'", "''") + "'" for word in words)


@dataclass(frozen=True)
class Lived:
    """A database that Grafana's role may read after six weeks of a relay's life, and what `/stats` says about them."""

    url: str
    statistics: Statistics


@pytest.fixture(scope="module")
def lived(postgres_cluster: PostgresCluster) -> Iterator[Lived]:
    """One for all tests: they only read. The role goes with it, for roles belong to the whole server."""
    url = postgres_cluster.create_database()
    [create_role] = blocks(ROOT / "docs" / "howto" / "grafana.md", "sql")
    figures = asyncio.run(_prepare(url, create_role.text))
    yield Lived(url.replace("//postgres@", "//grafana@"), figures)
    asyncio.run(_execute(url, "DROP OWNED BY grafana; DROP ROLE grafana"))
    postgres_cluster.drop_database(url)


async def _prepare(url: str, create_role: str) -> Statistics:
    async with open_state(postgres_engine(url)) as state:
        await _live(state)
        await _execute(url, create_role)
        return await state.database.read(statistics, SINCE)


async def _execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


@pytest.fixture
async def looking(lived: Lived) -> AsyncIterator[Looking]:
    """The dashboard as it opens, for Grafana's role."""
    connection = await asyncpg.connect(lived.url)
    yield Looking(connection)
    await connection.close()


async def _live(state: State) -> None:
    """Alerts of three services and of none, some acknowledged, some resolved, one a test, one older than what is shown."""
    state.clock.now = SINCE - HOUR
    await _happen(state, "TooOld", service="bgw", ack_after=MINUTE, lasts=HOUR)
    for day in range(0, 35, 7):
        state.clock.now = START + day * DAY
        await _happen(
            state, "HighLatency", service="bgw", severity="warning", ack_after=(day + 1) * MINUTE, lasts=2 * HOUR
        )
        await _happen(state, "HighLatency", service="samokoder", severity="warning", lasts=3 * HOUR)
    state.clock.now = START + 3 * DAY
    await _happen(state, "APIDown", service="samokoder", ack_after=90 * MINUTE)
    await _happen(state, 'It\'s "broken"', service="o'neill", severity="error", lasts=MINUTE)
    await _happen(state, "Nameless", severity="info")
    test: dict[str, Any] = {TEST_LABEL: "1"}
    await _happen(state, "SendTest", service="bgw", **test)


async def _happen(
    state: State, name: str, *, ack_after: Millis | None = None, lasts: Millis | None = None, **labels: Any
) -> None:
    began: Millis = state.clock.now
    key = json.dumps([name, labels])
    firing = wire_alert(name, starts=began, **labels)
    await state.post(firing, key=key)
    if ack_after is not None:
        state.clock.advance(ack_after)
        acker = Acker(lambda scope: Turn(scope, state.policy, state.new_id, state.clock()), state.policy.severities)
        await state.database.write(acker.ack, [("main", str(firing["fingerprint"]))], "anna", "")
    if lasts is not None:
        state.clock.now = max(state.clock.now, began + lasts)
        await state.post(wire_alert(name, firing=False, starts=began, ends=began + lasts, **labels), key=key)


async def test_statements_run_where_nothing_has_happened(postgres_url: str) -> None:
    async with open_state(postgres_engine(postgres_url)):
        connection = await asyncpg.connect(postgres_url)
        try:
            for panel in PANELS:
                for row in await Looking(connection).at(panel):
                    assert not any(value for name, value in row.items() if name not in {"time", "metric"}), panel
        finally:
            await connection.close()


async def test_statements_answer_in_the_shape_of_their_panels(looking: Looking) -> None:
    for per, timezone in product(("day", "week", "month"), ("utc", MOSCOW)):
        for panel, target in PANELS.items():
            rows = await replace(looking, per=per, timezone=timezone).at(panel)
            assert rows, panel
            if target["format"] == "time_series":
                assert list(rows[0]) == ["time", "metric", "value"], panel
                assert [row["time"] for row in rows] == sorted(row["time"] for row in rows), panel


async def test_figures_are_those_of_stats(looking: Looking, lived: Lived) -> None:
    lengths = ("Time to acknowledge", "Time to resolve")
    found = [
        (row["Severity"], row["Alerts"], row["Acknowledged"], *(_millis(row[length]) for length in lengths))
        for row in await looking.at("By severity (table)")
    ]
    expected = [
        (one.severity.label, one.episodes, one.acked, one.time_to_ack, one.time_to_resolve)
        for one in lived.statistics.severities
    ]
    assert found == expected
    assert [row[0] for row in expected] == list(EVERY_SEVERITY)
    assert await looking.at("Alerts (stat)") == [{"alerts": lived.statistics.total}]
    names: Counter[str] = Counter()
    for row in await looking.at("Noisiest alerts (table)"):
        names[row["Alert"]] += row["Alerts"]
    assert names == dict(lived.statistics.noisiest)


def _millis(seconds: float | None) -> Millis | None:
    return None if seconds is None else int(seconds * 1000 + 1e-6)


async def test_the_summary_counts_what_happened(looking: Looking) -> None:
    assert await looking.at("Alerts (stat)") == [{"alerts": 13}]
    assert await looking.at("Still open (stat)") == [{"open": 2}]
    [acknowledged] = await looking.at("Acknowledged (stat)")
    assert acknowledged["acknowledged"] == pytest.approx(6 / 13)
    [median] = await looking.at("Median to resolve (stat)")
    assert median["seconds"] == pytest.approx(2 * 3600)


async def test_alerts_count_for_the_day_the_week_and_the_month_of_whoever_looks(looking: Looking, lived: Lived) -> None:
    first = datetime.fromtimestamp(START / 1000, ZoneInfo(MOSCOW)).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"day": first, "week": first - timedelta(days=first.weekday()), "month": first.replace(day=1)}
    for per, begin in begins.items():
        rows = await replace(looking, per=per).at("Alerts by severity (timeseries)")
        assert rows[0]["time"] == begin
        assert sum(row["value"] for row in rows) == lived.statistics.total
    weekly = await replace(looking, per="week").at("Alerts by service (timeseries)")
    assert [row["value"] for row in weekly if row["metric"] == "bgw"] == [1, 1, 1, 1, 1]


async def test_the_heat_map_has_every_hour_of_every_day(looking: Looking, lived: Lived) -> None:
    rows = await looking.at("Hour of day (heatmap)")
    assert Counter(row["metric"] for row in rows) == {f"{hour:02}": 42 for hour in range(24)}
    local = datetime.fromtimestamp(START / 1000, UTC).astimezone(ZoneInfo(MOSCOW))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    cells = {(row["time"], row["metric"]): row["value"] for row in rows if row["value"]}
    assert cells[midnight, f"{local.hour:02}"] == 1
    assert sum(cells.values()) == lived.statistics.total


async def test_only_chosen_severities_and_services_are_shown(looking: Looking) -> None:
    assert await looking.listed() == ["(none)", "bgw", "o'neill", "samokoder"]
    shown = await replace(looking, services=["o'neill", "samokoder"], severities=["error", "critical"]).at(
        "Noisiest alerts (table)"
    )
    assert [(row["Service"], row["Alert"]) for row in shown] == [
        ("o'neill", 'It\'s "broken"'),
        ("samokoder", "APIDown"),
    ]
    nameless = await replace(looking, services=["(none)"]).at("Noisiest alerts (table)")
    assert [row["Alert"] for row in nameless] == ["Nameless"]


async def test_grafanas_role_may_read_and_nothing_else(looking: Looking) -> None:
    for forbidden in ("DELETE FROM episodes", "UPDATE alerts SET labels = ''", "SELECT * FROM leases"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await looking.connection.execute(forbidden)
