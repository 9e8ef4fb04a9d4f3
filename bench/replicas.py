"""What a second relay costs and brings: CPU for each webhook, waits for locks, throughput, and the plan of the due query."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from bench.load import steady, webhook
from bench.scenarios import HOST, Row
from bench.servers import Running, relay_server
from relay.clock import system_clock
from relay.store.database import Connection, Database
from relay.store.postgres import PostgresEngine
from relay.store.posts import next_due
from relay.store.sqlite import SqliteEngine
from tests.postgres_server import PostgresCluster
from tests.programs import find_postgres

COUNT = 1500
SENDERS = 32
"""At each relay: how many webhooks make a batch depends on it, and with that what one costs."""
ROUNDS = 5
CORES = 6
CLOSED = 100_000
DUE = 50
LONGEST_LOCK = 10
"""Milliseconds; PostgreSQL writes down every wait that is longer."""
_TICK = os.sysconf("SC_CLK_TCK")


async def replicas(folder: Path) -> list[Row]:
    """One relay and two on the same PostgreSQL, each round with new groups; and what the due query touches."""
    settings = {"synchronous_commit": "on", "deadlock_timeout": f"{LONGEST_LOCK}ms", "log_lock_waits": "on"}
    cluster = await asyncio.to_thread(lambda: PostgresCluster(find_postgres(), of=None, **settings))
    try:
        rows = await _side_by_side(folder, cluster)
        return [*rows, *await _due_plans(folder, cluster.create_database())]
    finally:
        cluster.stop()


async def _side_by_side(folder: Path, cluster: PostgresCluster) -> list[Row]:
    url = cluster.create_database()
    costs: dict[str, list[float]] = {"one": [], "two": [], "halved": []}
    quickest = {1: 0.0, 2: 0.0}
    async with _two_relays(folder, url) as pair:
        await asyncio.sleep(3)
        for round_ in range(3 * ROUNDS):
            kind = ("one", "two", "halved")[round_ % 3]
            relays, senders = pair[:1] if kind == "one" else pair, SENDERS // 2 if kind == "halved" else SENDERS
            bodies = [webhook(round_ * COUNT + number) for number in range(COUNT)]
            cpu, seconds = await _load(relays, bodies, senders)
            costs[kind].append(cpu / COUNT)
            quickest[len(relays)] = max(quickest[len(relays)], COUNT / seconds)
        apart = _waits(cluster)
        same = [webhook(3 * ROUNDS * COUNT + number % 100) for number in range(COUNT)]
        await asyncio.gather(*(steady(HOST, one.port, same, SENDERS) for one in pair))
        together = _waits(cluster) - apart
    one, two, halved = (min(costs[kind]) for kind in ("one", "two", "halved"))
    return [
        Row("CPU per webhook, one relay", f"{one * 1000:.2f} ms"),
        Row("CPU per webhook, two relays", f"{two * 1000:.2f} ms"),
        Row("two relays to one, CPU", f"{two / one:.2f}", "≤ 1.20", two / one <= 1.2),
        Row("… with half the senders at each", f"{halved / one:.2f}"),
        _throughput(quickest),
        Row(f"locks waited for > {LONGEST_LOCK} ms", str(apart), "0", apart == 0),
        Row("… with the same 100 groups at both", str(together)),
        Row("… of them deadlocks, done again", str(_log(cluster).count("deadlock detected"))),
    ]


def _throughput(quickest: dict[int, float]) -> Row:
    """Two relays can only be faster than one where there is room for both, the database and the sender."""
    cores = os.cpu_count() or 1
    ratio = quickest[2] / quickest[1]
    if cores < CORES:
        return Row("two relays to one, throughput", "not measured", f"{CORES} cores")
    return Row("two relays to one, throughput", f"{ratio:.2f}", "≥ 1.50", ratio >= 1.5)


@asynccontextmanager
async def _two_relays(folder: Path, url: str) -> AsyncIterator[list[Running]]:
    async with AsyncExitStack() as stack:
        servers = (
            relay_server(folder / f"replica-{number}", chats=False, database={"url": url}) for number in range(2)
        )
        yield [await stack.enter_async_context(one) for one in servers]


async def _load(relays: Sequence[Running], bodies: list[bytes], senders: int) -> tuple[float, float]:
    """Spreads the bodies over these relays; the CPU seconds of their processes, and the seconds until the last answer."""
    before = sum(_cpu(one.pid) for one in relays)
    parts = [bodies[number :: len(relays)] for number in range(len(relays))]
    went = await asyncio.gather(
        *(steady(HOST, one.port, part, senders) for one, part in zip(relays, parts, strict=True))
    )
    for answered, part in zip(went, parts, strict=True):
        assert answered.statuses == {200: len(part)}, answered.statuses
    return sum(_cpu(one.pid) for one in relays) - before, max(answered.seconds for answered in went)


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / _TICK


def _waits(cluster: PostgresCluster) -> int:
    return len(re.findall(r"still waiting for \w+Lock", _log(cluster)))


def _log(cluster: PostgresCluster) -> str:
    return (cluster.folder / "output.log").read_text()


async def _due_plans(folder: Path, url: str) -> list[Row]:
    """With so many closed incidents the query for what is due must not walk through them."""
    rows = []
    database = Database(PostgresEngine(url))
    await database.start()
    await database.write(_fill, "generate_series(1, :rows) AS n(i)")
    await database.write(lambda conn: conn.execute(text("ANALYZE posts")))
    touched = await database.read(_touched)
    await database.close()
    rows.append(Row(f"rows touched for {DUE} due of {CLOSED}", str(touched), f"≤ {2 * DUE}", touched <= 2 * DUE))
    path = folder / "plans.db"
    database = Database(SqliteEngine(path))
    await database.start()
    series = "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :rows) SELECT i FROM s) AS n"
    await database.write(_fill, series)
    plan = await database.read(_sqlite_plan)
    await database.close()
    by_index = "USING INDEX posts_due (channel=? AND due_at>?)" in plan
    return [*rows, Row("the same on SQLite", "by index" if by_index else plan, "by index", by_index)]


def _fill(conn: Connection, series: str) -> None:
    """Closed incidents whose posts show everything, and some posts that are due."""
    now = system_clock()
    due = f"CASE WHEN i <= {DUE} THEN {now - 1000} END"
    conn.execute(
        text(
            "INSERT INTO posts (id, incident_id, channel, state, due_at, since, rank) "
            f"SELECT i, i, 'sink', 'live', {due}, {due}, 3 FROM {series}"
        ),
        {"rows": CLOSED},
    )
    conn.execute(text("INSERT INTO alert_groups (id, labels) VALUES (1, '{}')"))
    conn.execute(
        text(f"INSERT INTO incidents (id, group_id, opened_at, closed_at) SELECT i, 1, {now}, {now} FROM {series}"),
        {"rows": CLOSED},
    )


def _due_statement(conn: Connection) -> tuple[str, Any]:
    """The first statement of `next_due`, as the driver gets it."""
    seen: list[tuple[str, Any]] = []

    def note(_conn: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        seen.append((statement, parameters))

    event.listen(conn, "before_cursor_execute", note)
    next_due(conn, ["sink"], system_clock(), several=False)
    event.remove(conn, "before_cursor_execute", note)
    return seen[0]


def _touched(conn: Connection) -> int:
    statement, parameters = _due_statement(conn)
    said = conn.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", tuple(parameters)).scalar_one()
    plan = json.loads(said) if isinstance(said, str) else said
    return _rows_read(plan[0]["Plan"])


def _rows_read(node: dict[str, Any]) -> int:
    """What the scans of a plan looked at, kept or not."""
    below = sum(_rows_read(one) for one in node.get("Plans", ()))
    if "Scan" not in node["Node Type"] or node["Node Type"] == "Bitmap Heap Scan":
        return below
    thrown = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(below + node["Actual Loops"] * (node["Actual Rows"] + thrown))


def _sqlite_plan(conn: Connection) -> str:
    statement, parameters = _due_statement(conn)
    rows = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters)).all()
    return "; ".join(str(row[3]) for row in rows)
