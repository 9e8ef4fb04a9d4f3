"""The working set of a change: the rows it may touch are read at once, changed in memory, and written at once.

Set-wise reading and writing is what makes a batch of webhooks one handful of statements. A change locks all its groups at
once and before all else, so that two replicas do not wait for each other in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Boolean, Connection, Select, Table

from relay.ids import alert_code, group_code
from relay.store import schema
from relay.store.loading import LOADING
from relay.store.rows import (
    AlertRow,
    EpisodeRow,
    GroupRow,
    HistoryRow,
    IncidentRow,
    MembershipRow,
    PostRow,
)
from relay.store.statements import insert_rows, picker, run, run_many, select_sql, update_sql

Row = TypeVar("Row")
Key = TypeVar("Key")
_HISTORY = tuple(column.name for column in fields(HistoryRow))
_history_values = attrgetter(*_HISTORY)
CHUNK = 512  # below every database's limit of parameters in a statement


def chunks(values: Iterable[Key]) -> Iterator[list[Key]]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


@dataclass(frozen=True, slots=True)
class _Shape:
    """A table as its rows are read and written."""

    table: Table
    names: tuple[str, ...]
    keys: tuple[str, ...]
    flags: tuple[int, ...]  # where SQLite keeps numbers
    key: Callable[[Any], Any]
    values: Callable[[Any], tuple[Any, ...]]
    key_of: Callable[[tuple[Any, ...]], tuple[Any, ...]]


@lru_cache
def _shape_of(table: Table, row_type: Any, keys: tuple[str, ...]) -> _Shape:
    names = tuple(column.name for column in fields(row_type))
    return _Shape(
        table=table,
        names=names,
        keys=keys,
        flags=tuple(index for index, name in enumerate(names) if isinstance(table.c[name].type, Boolean)),
        key=attrgetter(*keys),
        values=attrgetter(*names),
        key_of=picker(tuple(names.index(name) for name in keys)),
    )


class Rows(Generic[Row]):
    """Rows of one table by key: remembers how each was read, so that only real changes are written."""

    def __init__(self, table: Table, row_type: type[Row], keys: tuple[str, ...] = ("id",)) -> None:
        self._type = row_type
        self._shape = shape = _shape_of(table, row_type, keys)  # type: ignore[arg-type]  # a class is hashable
        self._key = shape.key
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

    def read(self, conn: Connection, statement: Select[Any], keys: Iterable[Any]) -> list[Row]:
        """Rows for these keys, in chunks; what is here already stays as it was changed."""
        found = []
        for chunk in chunks(keys):
            size = 1 << (len(chunk) - 1).bit_length()  # few sizes, so that few statements are ever compiled
            sql = select_sql(conn.dialect, statement, size)
            for raw in run(conn, sql, (*chunk, *chunk[-1:] * (size - len(chunk)))):
                values = self._typed(raw)
                row = self._type(*values)
                key = self._key(row)
                if key not in self._rows:
                    self._rows[key] = row
                    self._stored[key] = values
                found.append(self._rows[key])
        return found

    def _typed(self, raw: Iterable[Any]) -> tuple[Any, ...]:
        values = list(raw)
        for index in self._shape.flags:
            values[index] = bool(values[index])
        return tuple(values)

    def write(self, conn: Connection) -> None:
        values_of, new, changed = self._shape.values, [], []
        for key, row in self._rows.items():
            values = values_of(row)
            stored = self._stored.get(key)
            if stored is None:
                new.append(values)
            elif stored != values:
                changed.append((stored, values))
            else:
                continue
            self._stored[key] = values
        if new:
            insert_rows(conn, self._shape.table, self._shape.names, new)
        if changed:
            self._update(conn, changed)

    def _update(self, conn: Connection, changed: Sequence[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> None:
        """Sets the columns in which any row differs: an index is written anew for every column of it that is set."""
        shape = self._shape
        used = tuple(
            index for index in range(len(shape.names)) if any(old[index] != new[index] for old, new in changed)
        )
        picked, sql = picker(used), update_sql(conn.dialect, shape.table, picker(used)(shape.names), shape.keys)
        run_many(conn, sql, [(*picked(new), *shape.key_of(new)) for _, new in changed])


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

    def load(
        self,
        *,
        groups: Iterable[tuple[str, str, str]] = (),
        alerts: Iterable[tuple[str, str]] = (),
        alert_ids: Collection[int] = (),
    ) -> None:
        """The begin of a change: all that it may touch.

        Groups by (alertmanager, receiver, hash of groupKey) come with their last incidents, alerts by (alertmanager,
        fingerprint) or id with their last episodes and where they are listed.
        """
        group_codes, wanted = sorted({group_code(*key) for key in groups}), set(alerts)
        alert_codes = sorted({alert_code(*identity) for identity in wanted})
        if self.conn.dialect.name == "postgresql":
            keys = {"groups": group_codes, "alerts": alert_codes, "alert_ids": sorted(alert_ids)}
            self.conn.execute(LOADING.locks, keys)
        self._know_groups(self.groups.read(self.conn, LOADING.groups_by_code, group_codes))
        self.load_incidents(group.incident_id for group in list(self.groups))
        found = self.alerts.read(self.conn, LOADING.alerts_by_code, alert_codes)
        self._take_alerts([row for row in found if (row.alertmanager, row.fingerprint) in wanted])
        self._load_alerts_by_id(alert_ids)

    def _know_groups(self, rows: Iterable[GroupRow]) -> None:
        self.by_key.update({(row.alertmanager, row.receiver, row.key_hash): row for row in rows})

    def load_incidents(self, ids: Iterable[int | None]) -> None:
        """Incidents with their groups and posts; memberships come with alerts.

        The groups first: an incident that was read before its group was locked may be as of before another's change.
        """
        wanted = {id_ for id_ in ids if id_ is not None and self.incidents.get(id_) is None}
        strange = wanted - {group.incident_id for group in self.groups}
        self._know_groups(self.groups.read(self.conn, LOADING.groups_by_incident, strange))
        found = self.incidents.read(self.conn, LOADING.incidents, wanted)
        for post in self.posts.read(self.conn, LOADING.posts, (incident.id for incident in found)):
            self.of_incident.setdefault(post.incident_id, []).append(post)

    def _load_alerts_by_id(self, ids: Iterable[int]) -> None:
        wanted = sorted(id_ for id_ in ids if self.alerts.get(id_) is None)
        self._take_alerts(self.alerts.read(self.conn, LOADING.alerts_by_id, wanted))

    def _take_alerts(self, taken: Sequence[AlertRow]) -> None:
        self.by_identity.update({(row.alertmanager, row.fingerprint): row for row in taken})
        self.episodes.read(self.conn, LOADING.episodes, (row.episode_id for row in taken if row.episode_id is not None))
        listed = self.memberships.read(self.conn, LOADING.listings, (row.id for row in taken))
        for row in listed:
            self.list(row)
        self.load_incidents(row.incident_id for row in listed)

    def load_members(self, incident_id: int) -> list[MembershipRow]:
        """All memberships of an incident with their alerts; for the few changes that concern every one."""
        rows = self.memberships.read(self.conn, LOADING.members, [incident_id])
        self._load_alerts_by_id(row.alert_id for row in rows)
        return rows

    def list(self, row: MembershipRow) -> None:
        """Makes a membership known to its alert."""
        listed = self.of_alert.setdefault(row.alert_id, [])
        if not any(other is row for other in listed):
            listed.append(row)

    def write(self) -> None:
        for rows in (self.groups, self.incidents, self.alerts, self.episodes, self.memberships, self.posts):
            rows.write(self.conn)
        if self.history:
            insert_rows(self.conn, schema.history, _HISTORY, [_history_values(row) for row in self.history])
            self.history.clear()
