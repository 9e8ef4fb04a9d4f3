"""Writes the outcome of a call into the database, however long that is away, and with it what it says of the channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TypeVar

from relay import logs
from relay.clock import Millis
from relay.notification import Channel, DeliveryError
from relay.store.database import Connection, Database, StoreUnavailable
from relay.store.destinations import record_refusal, record_success, remember_move

T = TypeVar("T")


class Recording:
    """What a call came to must be known before the next one: each method returns when it is written down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = logs.get("delivery")

    async def write_success(
        self, channel: Channel, now: Millis, work: Callable[[Connection], T], *, refused: str = ""
    ) -> T:
        """`work`, and in the same transaction that the channel takes what it is sent, but not for whom `refused` names."""

        def write(conn: Connection) -> T:
            done = work(conn)
            record_success(conn, channel.name, now, refused=refused)
            return done

        return await self.write(write)

    async def write_failure(
        self, channel: Channel, error: DeliveryError, now: Millis, work: Callable[[Connection], T]
    ) -> T:
        """`work`, and in the same transaction why the channel did not take it; a chat that moved is followed."""

        def write(conn: Connection) -> T:
            done = work(conn)
            record_refusal(conn, channel.name, now, error)
            if error.moved_to is not None:
                remember_move(conn, channel.destination, json.dumps(dict(error.moved_to)))
            return done

        done = await self.write(write)
        if error.moved_to is not None:
            channel.follow(error.moved_to)
        return done

    async def write(self, work: Callable[[Connection], T]) -> T:
        while True:
            try:
                return await self._database.write(work)
            except StoreUnavailable as error:
                self._log.warning("outcome not recorded yet", error=str(error))
                await asyncio.sleep(1.0)
