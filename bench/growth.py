"""What 100,000 closed incidents cost, and how large the database of a busy month becomes while it forgets."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.load import Connection, webhook
from bench.scenarios import HOST, Row
from bench.servers import relay_server
from relay.alerts import WebhookMessage
from relay.clock import DAY, MINUTE, Millis, system_clock
from relay.ids import make_ids
from relay.ingest.accept import Delivered, Source, acceptor
from relay.ingest.policy import Policy
from relay.routing import RouteConfig, Router
from relay.severity import SeverityMap
from relay.store import schema
from relay.store.database import Connection as Transaction
from relay.store.database import Database
from relay.store.findings import remembered_firing
from relay.store.overview import overview
from relay.store.posts import next_due
from relay.store.retention import Retention
from relay.store.sqlite import SqliteEngine

LIVED, COPIES = 10_000, 10
"""Incidents that really come and go, and how many times each stands in the database in the end."""
CLOSED = LIVED * COPIES
DUE = 200
CHANNEL = "chat"
DAYS, A_DAY, KEPT = 30, 1000, 3
"""A busy month: 1,000 incidents a day, none of an alert that was known, kept for three days, their alerts for twelve."""
LONGEST_STEP = 0.05
FORGETS_FOR = 20.0
"""Seconds."""
MOST = {"next due post": 0.01, "/alerts without an API": 0.5, "scrape of /metrics": 0.1}
"""Seconds with 100,000 closed incidents. The last two are read beside the event loop and the writer."""


MOVED = {
    "alerts": ("id", "episode_id"),
    "episodes": ("id", "alert_id"),
    "alert_groups": ("id", "incident_id"),
    "incidents": ("id", "group_id"),
    "memberships": ("incident_id", "alert_id", "episode_id"),
    "posts": ("id", "incident_id"),
    "history": ("id", "group_id", "incident_id", "alert_id"),
}
"""Columns that hold ids, by table."""
UNIQUE = {("alerts", "fingerprint"), ("alert_groups", "key_hash")}
STRIDE = 1 << 44
"""Further than all ids of one run are apart."""


class Book:
    """A state that is filled without a network, in time of its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.now: Millis = system_clock() - 40 * DAY
        self.database = Database(SqliteEngine(file))
        severities = SeverityMap()
        router = Router([RouteConfig(channels=[CHANNEL])], severities)
        policy = Policy(router=router, severities=severities, reopen={CHANNEL: 10 * MINUTE})
        self._accept = acceptor(policy, make_ids(self.clock, random.Random(1)), self.clock)

    def clock(self) -> Millis:
        return self.now

    async def take(self, numbers: Sequence[int], *, firing: bool) -> None:
        """A group of one alert for each number fires or resolves, many in one transaction."""
        source = Source(name="default", has_api=False)
        told = [Delivered(source=source, message=parse(number, firing=firing)) for number in numbers]
        await asyncio.gather(*(self.database.write_batched(self._accept, one) for one in told))

    async def show_all(self) -> None:
        """As if every destination had taken everything."""
        with sqlite3.connect(self.file) as conn:
            conn.execute(
                "UPDATE posts SET due_at = NULL, since = NULL, shown_rev = 2, announced_rev = 2, remote = '{}'"
            )

    def multiply(self) -> None:
        """Copies all rows, with ids and unique keys of their own: lived through, 100,000 incidents take ten minutes."""
        with sqlite3.connect(self.file) as conn:
            for table, ids in MOVED.items():
                columns = [column.name for column in schema.metadata.tables[table].columns]
                conn.execute(f"CREATE TEMP TABLE one AS SELECT * FROM {table}")
                for copy in range(1, COPIES):
                    values = ", ".join(copied(table, name, moved=name in ids, copy=copy) for name in columns)
                    conn.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM one")
                conn.execute("DROP TABLE one")

    async def live(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), 1000):
            await self.take(numbers[start : start + 1000], firing=True)
            self.now += 1000
            await self.take(numbers[start : start + 1000], firing=False)
        await self.show_all()


def copied(table: str, column: str, *, moved: bool, copy: int) -> str:
    """The expression for this column in a copy of a row."""
    if moved:
        return f"{column} + {copy * STRIDE}"
    return f"{column} || '-{copy}'" if (table, column) in UNIQUE else column


def parse(number: int, *, firing: bool) -> WebhookMessage:
    message = WebhookMessage.model_validate_json(webhook(number))
    if firing:
        return message
    alerts = tuple(
        alert.model_copy(update={"status": "resolved", "ends_at": (alert.starts_at or 0) + MINUTE})
        for alert in message.alerts
    )
    return message.model_copy(update={"status": "resolved", "alerts": alerts})


async def growth(folder: Path) -> list[Row]:
    """First an empty database beside one with 100,000 closed incidents, then the busy month."""
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    empty, full = Book(folder / "empty" / "relay.db"), Book(folder / "full" / "relay.db")
    rows = []
    for book, closed in ((empty, 0), (full, LIVED)):
        await book.database.start()
        await book.live(range(closed))
        book.multiply()
        await book.take(range(CLOSED, CLOSED + DUE), firing=True)
    queries: dict[str, Callable[[Transaction], Any]] = {
        "next due post": lambda conn: next_due(conn, [CHANNEL], full.now, several=False),
        "/alerts without an API": lambda conn: remembered_firing(conn, [], full.now),
        "scrape of /metrics": overview,
    }
    for name, query in queries.items():
        before, after = await timed(empty.database, query), await timed(full.database, query)
        figure = f"{before * 1000:.1f} → {after * 1000:.1f} ms"
        goal = MOST[name]
        rows.append(Row(f"{name}, 0 → 100,000 closed", figure, f"≤ {goal * 1000:.0f} ms", after <= goal))
    few, many = await steps(empty), await steps(full)
    rows.append(Row("steps of the due query", f"{few} → {many}", "≤ twice", many <= 2 * few))
    await empty.database.close()
    await full.database.close()
    before, after = await webhook_time(folder / "empty"), await webhook_time(folder / "full")
    rows.append(Row("webhook, p50", f"{before * 1000:.1f} → {after * 1000:.1f} ms", "≤ twice", after <= 2 * before))
    rows.append(await forgetting(folder / "full" / "relay.db"))
    return [*rows, *await busy_month(folder / "month")]


async def timed(database: Database, query: Callable[[Transaction], Any]) -> float:
    """The best of some, in seconds."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        await database.read(query)
        times.append(time.perf_counter() - started)
    return min(times)


async def steps(book: Book) -> int:
    """How many steps SQLite's machine takes to find the due post: what it looks at, whatever the disk."""
    counted: list[int] = []

    def work(conn: Transaction) -> None:
        raw: Any = conn.connection.driver_connection
        raw.set_progress_handler(lambda: counted.append(1), 1)
        try:
            next_due(conn, [CHANNEL], book.now, several=False)
        finally:
            raw.set_progress_handler(None, 1)

    await book.database.read(work)
    return len(counted)


async def webhook_time(folder: Path) -> float:
    times = []
    async with relay_server(folder, chats=False) as relay:
        await asyncio.sleep(3)
        connection = Connection(HOST, relay.port)
        await connection.open()
        for number in range(CLOSED + DUE, CLOSED + DUE + 100):
            started = time.perf_counter()
            assert await connection.post(webhook(number)) == 200
            times.append(time.perf_counter() - started)
        connection.close()
    return statistics.median(times)


class Stopwatch:
    """A monotonic clock that knows the longest time between two looks at it in a row."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def __call__(self) -> float:
        self.looks.append(time.perf_counter())
        return self.looks[-1]

    @property
    def longest(self) -> float:
        return max(end - start for start, end in zip(self.looks[::2], self.looks[1::2], strict=True))

    def row(self, name: str) -> Row:
        goal = f"≤ {LONGEST_STEP * 1000:.0f} ms"
        return Row(name, f"{self.longest * 1000:.0f} ms", goal, self.longest <= LONGEST_STEP)


async def forgetting(file: Path) -> Row:
    """A part of a first round on all that was closed: the rest of it takes the same steps."""
    book, watch, stopping = Book(file), Stopwatch(), asyncio.Event()
    book.now += 30 * DAY
    await book.database.start()
    asyncio.get_running_loop().call_later(FORGETS_FOR, stopping.set)
    await Retention(book.database, book.clock, keep=KEPT * DAY, monotonic=watch).round(stopping)
    await book.database.close()
    return watch.row("forgetting them: longest step of the writer")


async def busy_month(folder: Path) -> list[Row]:
    folder.mkdir()
    book, watch, sizes = Book(folder / "relay.db"), Stopwatch(), []
    await book.database.start()
    for day in range(DAYS):
        await book.live(range(day * A_DAY, (day + 1) * A_DAY))
        book.now += DAY
        await Retention(book.database, book.clock, keep=KEPT * DAY, monotonic=watch).round(asyncio.Event())
        sizes.append(sum(file.stat().st_size for file in folder.glob("relay.db*")) / 2**20)
    await book.database.close()
    half, month = max(sizes[: DAYS // 2]), sizes[-1]
    return [
        Row("1,000 incidents a day, kept 3 days: day 15", f"{half:.0f} MiB"),
        Row("… day 30", f"{month:.0f} MiB", "≤ 1.2 times", month <= 1.2 * half),
        watch.row("… longest step of the writer"),
    ]
