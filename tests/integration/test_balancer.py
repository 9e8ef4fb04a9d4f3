"""The shipped balancer before two relays: senders notice nothing of one that stops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests import programs
from tests.programs import ROOT
from tests.relays import config_of, open_relay, open_sink, post, url_of
from tests.servers import Server, answers, free_port, wait_until


@contextmanager
def open_balancer(folder: Path, *relays: str, **more: str) -> Iterator[str]:
    """The address of HAProxy with the shipped config before these two; `more` goes into its environment."""
    port = free_port()
    addresses = {f"RELAY_{number}": url.removeprefix("http://") for number, url in enumerate(relays, start=1)}
    command = [str(programs.find("haproxy", "haproxy")), "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg")]
    log = folder / "haproxy.log"
    with log.open("wb") as output:
        environment = {**os.environ, **addresses, **more, "LISTEN": f"127.0.0.1:{port}"}
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        yield server.url
    finally:
        server.stop(signal.SIGTERM)


async def test_webhooks_get_through_while_a_relay_is_stopped(postgres_url: str, tmp_path: Path) -> None:
    async with open_sink() as sink:
        config = config_of(postgres_url, sink, 2)
        async with open_relay(config) as staying, open_relay(config) as stopping:
            with open_balancer(tmp_path, url_of(stopping), url_of(staying)) as url:
                await asyncio.to_thread(wait_until, lambda: answers(f"{url}/-/ready"), "HAProxy")
                statuses = [await post(url, number, 2) for number in range(10)]
                stop = asyncio.create_task(stopping.stop())
                statuses += [await post(url, number, 2) for number in range(10, 30)]
                await stop
                statuses += [await post(url, number, 2) for number in range(30, 40)]
                assert set(statuses) == {200}
                await sink.until(*range(40))
                assert sink.twice == {}


class NameServer(asyncio.DatagramProtocol):
    """Knows one IPv4 address, whatever name is asked for."""

    def __init__(self) -> None:
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5  # of the name, its type and class
        known = data[end - 4 : end - 2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes(map(int, self.address.split(".")))
        head = data[:2] + b"\x84\0\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0"
        self._transport.sendto(head + data[12:end] + (answer if known else b""), addr)


async def test_a_relay_that_comes_back_at_another_address_is_found(tmp_path: Path) -> None:
    """As a container does that is made anew by an upgrade."""
    port, seen = free_port(), ""

    async def answer(request: web.Request) -> web.Response:
        nonlocal seen
        seen = str(request.transport.get_extra_info("sockname")[0]) if request.transport else ""
        return web.Response()

    application = web.Application()
    application.router.add_get("/-/ready", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    try:
        for address in ("127.0.0.2", "127.0.0.3"):
            await web.TCPSite(runner, address, port).start()
        names.address = "127.0.0.2"
        relay, server = f"http://relay.invalid:{port}", "{}:{}".format(*transport.get_extra_info("sockname"))
        with open_balancer(tmp_path, relay, relay, NAMESERVER=server) as url:
            await asyncio.to_thread(wait_until, lambda: answers(f"{url}/-/ready"), "HAProxy")
            assert seen == "127.0.0.2"
            names.address = "127.0.0.3"
            await asyncio.to_thread(
                wait_until, lambda: answers(f"{url}/-/ready") and seen == "127.0.0.3", "moving over"
            )
    finally:
        transport.close()
        await runner.cleanup()
