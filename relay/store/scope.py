"""The working set of a change: the rows it may touch are read at once, changed in memory, and written at once.

Set-wise reading and writing is what makes a batch of webhooks one handful of statements. Rows are locked in one order
(groups, incidents, alerts, posts), so that two replicas cannot wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Dialect, Select, Table, bindparam, insert, select, update

from relay.store import schema
from relay.store.rows import (
    AlertRow,
    EpisodeRow,
    GroupRow,
    HistoryRow,
    IncidentRow,
    MembershipRow,
    PostRow,
)

Row = TypeVar("Row")
Key = TypeVar("Key")
_HISTORY = tuple(column.name for column in fields(HistoryRow))
_history_values = attrgetter(*_HISTORY)
CHUNK = 900  # below every database's limit of parameters in a statement


def chunks(values: Iterable[Key]) -> Iterator[list[Key]]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


class Rows(Generic[Row]):
    """Rows of one table by key: remembers how each was read, so that only real changes are written."""

    def __init__(self, table: Table, row_type: type[Row], keys: Sequence[str] = ("id",)) -> None:
        self.table = table
        self._type = row_type
        self._names = [column.name for column in fields(row_type)]  # type: ignore[arg-type]  # Row is one of rows.py
        self._values = attrgetter(*self._names)
        self._keys = keys
        rest = [name for name in self._names if name not in keys]
        self._for_update = attrgetter(*rest, *keys)
        self._key = attrgetter(*keys)
        self._rows: dict[Any, Row] = {}
        self._stored: dict[Any, tuple[Any, ...]] = {}

    def get(self, key: Any) -> Row | None:
        return self._rows.get(key)

    def __getitem__(self, key: Any) -> Row:
        return self._rows[key]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def add(self, row: Row) -> Row:
        self._rows[self._key(row)] = row
        return row

    def read(self, conn: Connection, condition: Select[Any]) -> list[Row]:
        found = []
        for values in conn.execute(condition):
            row = self._type(**dict(zip(self._names, values, strict=True)))
            key = self._key(row)
            if key not in self._rows:
                self._rows[key] = row
                self._stored[key] = tuple(values)
            found.append(self._rows[key])
        return found

    def select(self) -> Select[Any]:
        return select(*(self.table.c[name] for name in self._names))

    def write(self, conn: Connection) -> None:
        new, changed = [], []
        for key, row in self._rows.items():
            values = self._values(row)
            stored = self._stored.get(key)
            if stored is None:
                new.append(values)
            elif stored != values:
                changed.append(self._for_update(row))
            else:
                continue
            self._stored[key] = values
        if new:
            conn.exec_driver_sql(_insert_sql(conn.dialect, self.table, tuple(self._names)), new)
        if changed:
            conn.exec_driver_sql(_update_sql(conn.dialect, self.table, tuple(self._names), tuple(self._keys)), changed)


@lru_cache
def _insert_sql(dialect: Dialect, table: Table, names: tuple[str, ...]) -> str:
    """Compiled once: rows then go to the driver as they are, which halves what a batch costs."""
    return str(insert(table).values({name: bindparam(name) for name in names}).compile(dialect=dialect))


@lru_cache
def _update_sql(dialect: Dialect, table: Table, names: tuple[str, ...], keys: tuple[str, ...]) -> str:
    statement = update(table).values({name: bindparam(f"row_{name}") for name in names if name not in keys})
    for name in keys:
        statement = statement.where(table.c[name] == bindparam(f"row_{name}"))
    return str(statement.compile(dialect=dialect))


@dataclass(slots=True)
class Scope:
    """What a change may see and touch. Load first, then change rows, then `write`."""

    conn: Connection
    groups: Rows[GroupRow] = field(default_factory=lambda: Rows(schema.alert_groups, GroupRow))
    incidents: Rows[IncidentRow] = field(default_factory=lambda: Rows(schema.incidents, IncidentRow))
    alerts: Rows[AlertRow] = field(default_factory=lambda: Rows(schema.alerts, AlertRow))
    episodes: Rows[EpisodeRow] = field(default_factory=lambda: Rows(schema.episodes, EpisodeRow))
    memberships: Rows[MembershipRow] = field(
        default_factory=lambda: Rows(schema.memberships, MembershipRow, ("incident_id", "alert_id"))
    )
    posts: Rows[PostRow] = field(default_factory=lambda: Rows(schema.posts, PostRow))
    history: list[HistoryRow] = field(default_factory=list)
    by_identity: dict[tuple[str, str], AlertRow] = field(default_factory=dict)
    by_key: dict[tuple[str, str, str], GroupRow] = field(default_factory=dict)
    of_alert: dict[int, list[MembershipRow]] = field(default_factory=dict)
    of_incident: dict[int, list[PostRow]] = field(default_factory=dict)

    def load_groups(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """Groups by (alertmanager, receiver, hash of groupKey), with the posts of their last incidents."""
        wanted = {key for key in keys if key not in self.by_key}
        table = schema.alert_groups
        for chunk in chunks({key[2] for key in wanted}):
            statement = self.groups.select().where(table.c.key_hash.in_(chunk)).order_by(table.c.id)
            for row in self.groups.read(self.conn, statement.with_for_update()):
                self.by_key[row.alertmanager, row.receiver, row.key_hash] = row

    def load_groups_by_id(self, ids: Iterable[int]) -> None:
        table = schema.alert_groups
        for chunk in chunks({id_ for id_ in ids if self.groups.get(id_) is None}):
            statement = self.groups.select().where(table.c.id.in_(chunk)).order_by(table.c.id)
            for row in self.groups.read(self.conn, statement.with_for_update()):
                self.by_key[row.alertmanager, row.receiver, row.key_hash] = row

    def load_incidents(self, ids: Iterable[int | None]) -> None:
        """Incidents with their groups and posts; memberships come with alerts."""
        wanted = {id_ for id_ in ids if id_ is not None and self.incidents.get(id_) is None}
        table = schema.incidents
        found: list[IncidentRow] = []
        for chunk in chunks(wanted):
            found += self.incidents.read(
                self.conn, self.incidents.select().where(table.c.id.in_(chunk)).order_by(table.c.id)
            )
        self.load_groups_by_id(incident.group_id for incident in found)
        for chunk in chunks(incident.id for incident in found):
            statement = self.posts.select().where(schema.posts.c.incident_id.in_(chunk)).order_by(schema.posts.c.id)
            for post in self.posts.read(self.conn, statement.with_for_update()):
                self.of_incident.setdefault(post.incident_id, []).append(post)

    def load_alerts(self, identities: Iterable[tuple[str, str]]) -> None:
        """Alerts by (alertmanager, fingerprint) with their last episodes and where they are listed."""
        wanted = {identity for identity in identities if identity not in self.by_identity}
        self._take_alerts(wanted, schema.alerts.c.fingerprint, {fingerprint for _, fingerprint in wanted})

    def load_alerts_by_id(self, ids: Iterable[int]) -> None:
        wanted = {id_ for id_ in ids if self.alerts.get(id_) is None}
        self._take_alerts(None, schema.alerts.c.id, wanted)

    def _take_alerts(self, wanted: Collection[tuple[str, str]] | None, column: Any, values: Iterable[Any]) -> None:
        found: list[AlertRow] = []
        for chunk in chunks(values):
            statement = self.alerts.select().where(column.in_(chunk)).order_by(schema.alerts.c.fingerprint)
            found += self.alerts.read(self.conn, statement.with_for_update())
        taken = [row for row in found if wanted is None or (row.alertmanager, row.fingerprint) in wanted]
        self.by_identity.update({(row.alertmanager, row.fingerprint): row for row in taken})
        for chunk in chunks(row.episode_id for row in taken if row.episode_id is not None):
            self.episodes.read(self.conn, self.episodes.select().where(schema.episodes.c.id.in_(chunk)))
        self._load_listings([row.id for row in taken])

    def _load_listings(self, alert_ids: Sequence[int]) -> None:
        """Memberships of alerts in incidents that are open or the last of their group."""
        member, incident, group = schema.memberships, schema.incidents, schema.alert_groups
        current = (
            self.memberships.select()
            .join(incident, incident.c.id == member.c.incident_id)
            .join(group, group.c.id == incident.c.group_id)
            .where((incident.c.closed_at.is_(None)) | (group.c.incident_id == incident.c.id))
        )
        found: list[MembershipRow] = []
        for chunk in chunks(alert_ids):
            found += self.memberships.read(self.conn, current.where(member.c.alert_id.in_(chunk)))
        for row in found:
            self.list(row)
        self.load_incidents(row.incident_id for row in found)

    def load_members(self, incident_id: int) -> list[MembershipRow]:
        """All memberships of an incident with their alerts; for the few changes that concern every one."""
        member = schema.memberships
        rows = self.memberships.read(self.conn, self.memberships.select().where(member.c.incident_id == incident_id))
        self.load_alerts_by_id(row.alert_id for row in rows)
        return [self.memberships[row.incident_id, row.alert_id] for row in rows]

    def list(self, row: MembershipRow) -> None:
        """Makes a membership known to its alert."""
        listed = self.of_alert.setdefault(row.alert_id, [])
        if not any(other is row for other in listed):
            listed.append(row)

    def write(self) -> None:
        for rows in (self.groups, self.incidents, self.alerts, self.episodes, self.memberships, self.posts):
            rows.write(self.conn)
        if self.history:
            statement = _insert_sql(self.conn.dialect, schema.history, _HISTORY)
            self.conn.exec_driver_sql(statement, [_history_values(row) for row in self.history])
            self.history.clear()
