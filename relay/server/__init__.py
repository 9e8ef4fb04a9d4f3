"""The HTTP door: Alertmanager's webhooks come in here, people and probes look at how we are."""

from __future__ import annotations

import logging
import resource
from collections.abc import Sequence

from aiohttp import web

from relay import logs
from relay.listening import ServerConfig, parse_listen
from relay.server.operations import Operations
from relay.server.strangers import in_one_line
from relay.server.webhook import Webhooks

__all__ = ["Operations", "Server", "Webhooks"]

BACKLOG = 4096
"""A storm's groups arrive as so many connections at once; the kernel may cap it (`net.core.somaxconn`)."""
DRAIN = 5.0
"""Seconds that requests in hand get at the end."""

_AIOHTTP = logging.getLogger("aiohttp.server")


class Server:
    """Listens for webhooks and for probes. `start` returns when both are bound."""

    def __init__(
        self, config: ServerConfig, webhooks: Webhooks, operations: Operations, *, extra: Sequence[web.RouteDef] = ()
    ) -> None:
        self._config = config
        self._webhooks = webhooks
        self._operations = operations
        self._extra = extra
        self._runners: list[web.AppRunner] = []
        self.address: tuple[str, int] | None = None
        self.ops_address: tuple[str, int] | None = None

    async def start(self) -> None:
        """Raises `OSError` when an address cannot be bound."""
        _raise_file_limit()
        _AIOHTTP.addFilter(in_one_line)
        main = web.Application(client_max_size=self._config.max_body)
        main.add_routes([*self._webhooks.routes(), *self._extra])
        if self._config.ops_listen is None:
            main.add_routes(self._operations.routes())
        self.address = await self._listen(main, self._config.listen)
        if self._config.ops_listen is not None:
            operations = web.Application()
            operations.add_routes(self._operations.routes())
            self.ops_address = await self._listen(operations, self._config.ops_listen)
        else:
            self.ops_address = self.address
        logs.get("server").info("listening", host=self.address[0], port=self.address[1])

    async def _listen(self, application: web.Application, where: str) -> tuple[str, int]:
        host, port = parse_listen(where)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=DRAIN, keepalive_timeout=310)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        await site.start()
        bound = runner.addresses[0]
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Refuses new webhooks with 503, lets those in hand finish, closes."""
        self._webhooks.stopping = self._operations.stopping = True
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        _AIOHTTP.removeFilter(in_one_line)


def _raise_file_limit() -> None:
    """1,000 connections at once need more files than the usual soft limit of 1,024 leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
