"""A load of webhooks over plain sockets: cheap enough that the server, not the client, is measured."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

TOKEN = "bench"


def webhook(number: int, alerts: int = 1) -> bytes:
    """A message of one group, as Alertmanager writes it."""
    listed = [
        {
            "status": "firing",
            "labels": {
                "alertname": "HighLatency",
                "severity": "warning",
                "service": "shop",
                "instance": f"node-{number}-{index}.example.net:9100",
                "job": "node",
            },
            "annotations": {
                "summary": f"Latency of node-{number}-{index} is high",
                "description": "The 95th percentile has been above 3 s for 10 minutes.",
                "runbook_url": "https://runbooks.example.net/HighLatency",
            },
            "startsAt": "2026-01-01T03:12:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.net:9090/graph?g0.expr=x&g0.tab=1",
            "fingerprint": f"{number:08x}{index:08x}",
        }
        for index in range(alerts)
    ]
    message = {
        "receiver": "relay", "status": "firing", "alerts": listed, "groupLabels": {"alertname": "HighLatency"},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager.example.net:9093",
        "version": "4", "groupKey": f'{{}}:{{group="{number}"}}', "truncatedAlerts": 0,
    }  # fmt: skip
    return json.dumps(message).encode()


@dataclass(frozen=True)
class Answered:
    """How a load went: statuses by count, and the seconds until the last answer."""

    statuses: dict[int, int]
    seconds: float


class Connection:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(*self._where)

    async def post(self, body: bytes) -> int:
        """The status of the answer."""
        assert self._reader is not None
        assert self._writer is not None
        head = (
            f"POST /webhook HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await self._reader.readexactly(length)
        return int(answer[9:12])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def steady(host: str, port: int, bodies: list[bytes], connections: int) -> Answered:
    """Posts all bodies over so many connections, each as fast as it is answered."""
    waiting = iter(bodies)
    statuses: dict[int, int] = {}
    opened = [Connection(host, port) for _ in range(connections)]
    await asyncio.gather(*(one.open() for one in opened))

    async def work(connection: Connection) -> None:
        for body in waiting:
            status = await connection.post(body)
            statuses[status] = statuses.get(status, 0) + 1
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(work(one) for one in opened))
    return Answered(statuses, time.perf_counter() - started)


async def at_once(host: str, port: int, bodies: list[bytes]) -> Answered:
    """A connection for each body, all at the same moment, as Alertmanager does in a storm; -1 counts refusals."""
    statuses: dict[int, int] = {}

    async def one(body: bytes) -> None:
        connection = Connection(host, port)
        try:
            await connection.open()
            status = await connection.post(body)
        except (OSError, asyncio.IncompleteReadError):
            status = -1
        connection.close()
        statuses[status] = statuses.get(status, 0) + 1

    started = time.perf_counter()
    await asyncio.gather(*(one(body) for body in bodies))
    return Answered(statuses, time.perf_counter() - started)
