"""Whether the state can be written right now: asked by whoever must not send webhooks where they cannot be stored."""

from __future__ import annotations

from sqlalchemy import Connection, insert, update

from relay.clock import Millis
from relay.store.schema import leases

NAME = "probe"


def write_probe(conn: Connection, now: Millis) -> None:
    """Writes something, as a transaction that changes nothing does not even look at the disk."""
    if not conn.execute(update(leases).where(leases.c.name == NAME).values(until=now)).rowcount:
        conn.execute(insert(leases).values(name=NAME, until=now))
