"""What is no webhook at all: another protocol, half a body, one that cannot be unpacked. One line each, and never a 5xx."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay import logs
from tests.relays import TOKEN, body_of, config_of, open_relay, open_sink

HEAD = f"POST /webhook HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {TOKEN}\r\n"


class Raw:
    """A relay in this process that is spoken to byte by byte, and what it logs meanwhile."""

    def __init__(self, address: tuple[str, int], lines: io.StringIO) -> None:
        self._address = address
        self._lines = lines

    @property
    def logged(self) -> list[str]:
        return self._lines.getvalue().splitlines()

    async def send(self, sent: bytes, *, leave: bool = False) -> str:
        """The first line of the answer; with `leave` nobody waits for it."""
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(sent)
        await writer.drain()
        answer = b"" if leave else await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        return answer.decode().strip()

    async def post(self, body: bytes, *headers: str) -> str:
        lines = "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {len(body)}"))
        return await self.send(f"{HEAD}{lines}\r\n".encode() + body)

    async def until_logged(self, words: str) -> str:
        async with asyncio.timeout(20):
            while not (found := [line for line in self.logged if words in line]):  # noqa: ASYNC110  a log tells nobody
                await asyncio.sleep(0.02)
        return found[0]


@pytest.fixture
async def raw(tmp_path: Path) -> AsyncIterator[Raw]:
    lines = io.StringIO()
    logs.configure("info", "logfmt", lines)
    async with open_sink() as sink, open_relay(config_of(f"sqlite:///{tmp_path / 'relay.db'}", sink)) as relay:
        yield Raw(relay.address, lines)


async def test_a_packed_body_is_taken(raw: Raw) -> None:
    assert await raw.post(gzip.compress(body_of(1)), "Content-Encoding: gzip") == "HTTP/1.1 200 OK"


async def test_a_body_that_cannot_be_unpacked_is_refused_for_good(raw: Raw) -> None:
    """A 5xx would bring Alertmanager back with the same for ever."""
    assert await raw.post(b"not packed", "Content-Encoding: gzip") == "HTTP/1.1 400 Bad Request"
    line = await raw.until_logged("event=refused")
    assert "cannot be read" in line
    assert not [line for line in raw.logged if "Traceback" in line]


async def test_a_body_of_which_only_the_beginning_came_is_one_line_and_no_error(raw: Raw) -> None:
    await raw.send(f"{HEAD}Content-Length: 5000\r\n\r\n{{".encode(), leave=True)
    assert "level=warning" in await raw.until_logged("event=refused")
    assert not [line for line in raw.logged if "Traceback" in line]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (f"{HEAD}X: {'y' * 9000}\r\n\r\n".encode(), "8190 bytes"),
        (f"{HEAD}Content-Length: -5\r\n\r\n".encode(), "Content-Length"),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\nZZ\r\n".encode(), "chunk size"),
    ],
    ids=["a header without end", "a length below nothing", "a chunk of no size"],
)
async def test_what_is_no_http_is_refused_in_one_line_without_a_traceback(raw: Raw, sent: bytes, says: str) -> None:
    assert "400" in await raw.send(sent)
    line = await raw.until_logged("component=aiohttp.server")
    assert says in line
    assert "127.0.0.1" in line
    assert "level=warning" in line
    assert "Traceback" not in line
    assert len(line) < 500


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], ids=["TLS", "SSH"]
)
async def test_another_protocol_is_refused_without_an_error(raw: Raw, sent: bytes) -> None:
    assert "400" in await raw.send(sent)
    assert not [line for line in raw.logged if "level=error" in line]
