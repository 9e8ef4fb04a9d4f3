"""The HTTP side: which peer of a cluster is asked, what counts as a failure of it, and when the next one is tried."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from relay.alertmanager.errors import (
    AlertmanagerError,
    AlertmanagerRefused,
    AlertmanagerUnreachable,
    PeerFailed,
    reason_in,
)
from relay.clusters import AlertmanagerConfig

Endpoint = Literal["alerts", "silences", "silence", "status", "receivers"]
Outcome = Literal["ok", "error", "timeout", "refused"]
OnRequest = Callable[[Endpoint, Outcome], None]

TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=3, sock_read=10)
LARGEST = 256 * 1024 * 1024  # bytes of an answer; 20,000 alerts are 11 MB
_PAUSE = 0.2  # seconds before peers that failed at once are tried a second time
_GATEWAY = frozenset({502, 504})  # said by a proxy when the Alertmanager behind it is not there


@dataclass(frozen=True, slots=True)
class Call:
    """One question: `path` below `/api/v2/`, already encoded."""

    endpoint: Endpoint
    path: str
    method: Literal["GET", "POST", "DELETE"] = "GET"
    params: Sequence[tuple[str, str]] = ()
    body: Any = None

    def url(self, peer: str) -> URL:
        # Every reserved character is escaped: Go drops query parts with a bare semicolon and reads + as a blank.
        query = f"?{urlencode(self.params, quote_via=quote)}" if self.params else ""
        return URL(f"{peer}/api/v2/{self.path}{query}", encoded=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer and the peer it came from."""

    peer: str
    body: bytes
    content_type: str


class Peers:
    """The peers of one cluster. One is asked; the others only if it fails; the last that answered stays the first choice."""

    def __init__(
        self,
        config: AlertmanagerConfig,
        session: aiohttp.ClientSession,
        on_request: OnRequest,
        *,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
        pause: float = _PAUSE,
    ) -> None:
        self.name = config.name
        self._urls = tuple(dict.fromkeys(url.rstrip("/") for url in config.urls))
        self._first = self._urls[0]
        self._session = session
        self._on_request = on_request
        self._timeout = timeout
        self._pause = pause
        self._headers, self._secrets = _credentials(config)

    @property
    def urls(self) -> tuple[str, ...]:
        return self._urls

    def order(self, prefer: str | None = None) -> list[str]:
        """All peers, the preferred one (default: the last that answered) first."""
        at = self._urls.index(prefer or self._first)
        return [*self._urls[at:], *self._urls[:at]]

    async def read(self, call: Call, *, prefer: str | None = None, only: str | None = None) -> Answer:
        """Asks until a peer answers; for calls that may be repeated.

        Raises `AlertmanagerRefused` on 4xx at once, or if the only trouble is a 5xx of Alertmanager itself;
        `AlertmanagerUnreachable` otherwise.
        """
        failures: dict[str, PeerFailed] = {}
        for again in (False, True):
            if again:
                await asyncio.sleep(self._pause)
            for peer in [only] if only else self.order(prefer):
                if again and failures[peer].timeout:
                    continue  # it had its time
                try:
                    return await self.send(peer, call)
                except PeerFailed as failure:
                    failures[peer] = failure
        raise self.given_up(failures.values())

    def given_up(self, failures: Iterable[PeerFailed], *, uncertain: bool = False) -> AlertmanagerError:
        """What to raise when no peer is left."""
        tried = list(failures)
        said = next((one for one in tried if one.status and one.status not in _GATEWAY), None)
        if said is not None and not uncertain:
            return AlertmanagerRefused(self.name, said.status, said.detail)
        detail = "; ".join(str(one) for one in tried)
        return AlertmanagerUnreachable(self.name, tried[0].url, detail, uncertain=uncertain)

    async def send(self, peer: str, call: Call) -> Answer:
        """One request to one peer; raises `PeerFailed` or, on 3xx and 4xx, `AlertmanagerRefused`."""
        try:
            answer = await self._exchange(peer, call)
        except AlertmanagerRefused:
            self._first = peer
            self._on_request(call.endpoint, "refused")
            raise
        except PeerFailed as failure:
            self._on_request(call.endpoint, "timeout" if failure.timeout else "error")
            raise
        self._first = peer
        self._on_request(call.endpoint, "ok")
        return answer

    async def _exchange(self, peer: str, call: Call) -> Answer:
        try:
            async with self._session.request(
                call.method,
                call.url(peer),
                data=None if call.body is None else json.dumps(call.body).encode(),
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,  # a redirected POST becomes a GET, and credentials would travel along
                raise_for_status=False,
            ) as response:
                body = await _read(response)
        except aiohttp.ConnectionTimeoutError:
            raise PeerFailed(peer, "no connection in time", unsent=True, timeout=True) from None
        except TimeoutError:
            raise PeerFailed(peer, "no answer in time", timeout=True) from None
        except aiohttp.ClientConnectorError as error:  # also DNS, TLS and proxies
            raise PeerFailed(peer, self._clean(_connecting(error)), unsent=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PeerFailed(peer, f"the connection broke ({type(error).__name__})") from None
        return self._judge(peer, response, body)

    def _judge(self, peer: str, response: aiohttp.ClientResponse, body: bytes) -> Answer:
        status, kind = response.status, response.content_type
        if body is _TOO_LARGE:
            raise PeerFailed(peer, f"the answer is larger than {LARGEST >> 20} MiB")
        foreign = bool(body) and not kind.endswith("json")  # a proxy, a login page, the wrong path
        if 200 <= status < 300 and not foreign:
            return Answer(peer, body, kind)
        message = self._clean(reason_in(body, kind, response.reason or "no reason given"))
        if status < 300 or (status == 404 and foreign):
            raise PeerFailed(
                peer, f"{status} with {kind}: no Alertmanager at this address or path", unsent=status == 404
            )
        if status >= 500:
            raise PeerFailed(peer, message if status not in _GATEWAY else f"{status} {message}", status=status)
        if status < 400:
            message = "a redirect; give the address that it leads to in `urls`"
        if status in {401, 403}:
            message = f"{message} (check `auth` of alertmanager {self.name})"
        raise AlertmanagerRefused(self.name, status, message)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


_TOO_LARGE = b"\0too large"


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            response.close()
            return _TOO_LARGE
    return b"".join(chunks)


def _connecting(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else type(cause).__name__
        return f"its certificate is not accepted: {why}"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed (is it plain HTTP?)"
    return (error.os_error.strerror or "no connection").lower()


def _credentials(config: AlertmanagerConfig) -> tuple[dict[str, str], tuple[str, ...]]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    auth = config.auth
    if auth is None:
        return headers, ()
    if auth.basic is not None:
        password = auth.basic.password.get_secret_value()
        pair = b64encode(f"{auth.basic.username}:{password}".encode()).decode()
        return {**headers, "Authorization": f"Basic {pair}"}, (pair, password)
    assert auth.bearer_token is not None  # its model says: one of the two
    token = auth.bearer_token.get_secret_value()
    return {**headers, "Authorization": f"Bearer {token}"}, (token,)
