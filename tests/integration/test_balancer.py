"""The shipped balancer before two relays: senders notice nothing of one that stops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import programs
from tests.programs import ROOT
from tests.relays import config_of, open_relay, open_sink, post, url_of
from tests.servers import Server, answers, free_port, wait_until


@contextmanager
def open_balancer(folder: Path, *relays: str) -> Iterator[str]:
    """The address of HAProxy with the shipped config before these two."""
    port = free_port()
    addresses = {f"RELAY_{number}": url.removeprefix("http://") for number, url in enumerate(relays, start=1)}
    command = [str(programs.find("haproxy", "haproxy")), "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg")]
    log = folder / "haproxy.log"
    with log.open("wb") as output:
        environment = {**os.environ, **addresses, "LISTEN": f"127.0.0.1:{port}"}
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
