"""The relay that runs with a config, as commands reach it: at `server.listen`, with a webhook's own credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from relay.config import Config
from relay.listening import parse_listen

if TYPE_CHECKING:
    import aiohttp

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a relay that listens there is found


class Refused(Exception):
    """The relay did not do it, or did not answer as one; the text says why."""


def address_of(config: Config) -> tuple[str, int]:
    host, port = parse_listen(config.server.listen)
    return _EVERYWHERE.get(host, host), port


def base_url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def listens(address: tuple[str, int]) -> bool:
    """Whether anything does; of port 0 nobody knows where it is."""
    host, port = address
    if port == 0:
        return False
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@asynccontextmanager
async def open_session(config: Config) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests of it carry the credentials that the config gives to whoever posts webhooks."""
    import aiohttp

    auth = config.server.auth
    headers, basic = {}, None
    if auth.tokens:
        headers["Authorization"] = f"Bearer {auth.tokens[0].get_secret_value()}"
    elif auth.basic is not None:
        basic = aiohttp.BasicAuth(auth.basic.username, auth.basic.password.get_secret_value(), encoding="utf-8")
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(headers=headers, auth=basic, timeout=timeout, trust_env=False) as session:
        yield session


async def ask(session: aiohttp.ClientSession, method: str, url: str, **what: Any) -> Any:
    """The JSON object of a 200; raises `Refused`."""
    import aiohttp

    try:
        async with session.request(method, url, **what) as answer:
            said = await answer.json(content_type=None) if "json" in answer.content_type else None
            if answer.status == 200 and isinstance(said, dict):
                return said
            reason = said.get("error") if isinstance(said, dict) else None
            hint = "is it a relay of this version?" if answer.status in {200, 404, 405} else "is it this config's?"
            raise Refused(f"{url} answered {answer.status}: {reason or hint}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Refused(f"{url}: {error or type(error).__name__}") from None
