"""The HTTP channel: one request per message to anything that takes one, such as SMS gateways and chat webhooks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp

from relay import __version__
from relay.channels.http.answers import meaning_of, retry_after, text_of
from relay.channels.http_options import HttpOptions
from relay.checked import Checked
from relay.clock import Millis
from relay.notification import Capabilities, DeliveryError, IncidentView, Limits, Notice, Remote, Sent
from relay.notification_digest import DigestCall, DigestLayout, DigestView
from relay.rendering import Renderer
from relay.rendering.digest_summary import as_one_message

_LONGEST_EXCERPT = 200
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpContent:
    """A request's body. `problem` tells why it must not be sent: the template's mistake, which no retry heals."""

    body: bytes
    key: str  # the same for every try to send this revision
    problem: str = ""
    name: str = "body.txt"

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def files(self) -> Mapping[str, bytes]:
        return {self.name: self.body}


class HttpChannel:
    """One address that gets one request for each change worth telling.

    Args:
        name: the channel's name in the config.
        options: its part of the config.
        renderer: turns notices into texts.
        session: shared by all HTTP channels and closed by its owner; it should keep no cookies (`DummyCookieJar`).
        connect_seconds: how long connecting may take.
        total_seconds: how long the whole call may take.
    """

    type = "http"
    capabilities = Capabilities(editable=False)

    def __init__(
        self,
        *,
        name: str,
        options: HttpOptions,
        renderer: Renderer,
        session: aiohttp.ClientSession,
        connect_seconds: float = 10.0,
        total_seconds: float = 30.0,
    ) -> None:
        self.name = name
        self._options = options
        self._renderer = renderer
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, connect=connect_seconds)
        self._url = options.url.get_secret_value()
        self._secrets = tuple(_secrets_of(self._url, options.headers))

    @property
    def destination(self) -> str:
        """The host, and a fingerprint of the address, which may hold a key."""
        return f"{self.account}:{hashlib.sha256(self._url.encode()).hexdigest()[:16]}"

    @property
    def account(self) -> str:
        parts = urlsplit(self._url)
        return f"http:{parts.hostname}:{parts.port}" if parts.port else f"http:{parts.hostname}"

    @property
    def limits(self) -> Limits:
        """None but the options': who listens may be a program, and only the config knows what a gateway takes."""
        return Limits(destination=self._options.limits.windows())

    def overflows(self, view: IncidentView) -> bool:  # noqa: ARG002  the protocol's
        return False

    def render(self, notice: Notice) -> HttpContent:
        """The body; one that claims to be JSON and is none carries its problem, so that it becomes a dead letter."""
        options = self._options
        is_json = _is_json(options.content_type)
        if options.body is not None:
            body = self._renderer.render_inline(options.body, notice, language=options.language, zone=options.zone)
        else:
            body = self._renderer.render(
                "http/body.json.j2",
                notice,
                language=options.language,
                zone=options.zone,
                escape="none",
                options={"title": self._title(notice)},
            )
        return HttpContent(
            body=body.encode(errors="replace"),
            key=f"{notice.post_id}.{notice.view.revision}.{notice.view.opened_at}",
            problem=_problem(body, is_json=is_json) if options.method != "GET" else "",
            name="body.json" if is_json else "body.txt",
        )

    async def send(self, content: HttpContent) -> Sent:
        if content.problem:
            raise DeliveryError("template", content.problem, scope="post", permanent=True)
        status, headers, answer = await self._call(content)
        if self._options.outcome(status) == "ok":
            return Sent(remote={"status": status})
        raise self._refusal(status, headers, answer)

    def lay_out(
        self,
        view: DigestView,
        now: Millis,
        *,
        plain: bool = False,  # noqa: ARG002  the protocol's
        before: DigestLayout | None = None,  # noqa: ARG002  the same
    ) -> DigestLayout:
        return as_one_message(view, now, self._options.language, self.render)

    async def send_digest(self, call: DigestCall) -> Sent:
        assert isinstance(call.content, HttpContent)
        return await self.send(call.content)

    def follow(self, moved_to: Mapping[str, Any]) -> None:
        """Redirects are not followed: a webhook that moved is a change of the config."""

    def is_elsewhere(self, remote: Remote) -> bool:  # noqa: ARG002  the protocol's
        """Nothing lives on that could stay behind."""
        return False

    async def check(self) -> Checked:
        """Connects only: any request would be a message."""
        parts = urlsplit(self._url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        try:
            async with asyncio.timeout(self._timeout.connect):
                _, writer = await asyncio.open_connection(parts.hostname, port, ssl=True if secure else None)
        except (OSError, TimeoutError, ValueError) as error:
            raise self._no_answer(error) from None
        writer.close()
        said = f"{parts.hostname}:{port} answers; the address itself is only tried by a message"
        return Checked(said, frozenset({"connection"}))

    async def close(self) -> None:
        """The session is its owner's."""

    def _title(self, notice: Notice) -> str:
        options = self._options
        if not options.title:
            return ""
        return self._renderer.render_inline(options.title, notice, language=options.language, zone=options.zone)

    async def _call(self, content: HttpContent) -> tuple[int, Mapping[str, str], str]:
        headers = {
            "User-Agent": f"alertmanager-relay/{__version__}",
            "Idempotency-Key": content.key,
            **({"Content-Type": self._options.content_type} if self._options.method != "GET" else {}),
            **{name: value.get_secret_value() for name, value in self._options.headers.items()},
        }
        try:
            async with self._session.request(
                self._options.method,
                self._url,
                data=BytesIO(content.body) if self._options.method != "GET" else None,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                return response.status, response.headers, await text_of(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> DeliveryError:
        """Never holds the library's own text: it quotes the address."""
        where = urlsplit(self._url).hostname
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return DeliveryError("connection", f"cannot connect to {where} in time", scope="destination")
        if isinstance(error, TimeoutError):
            detail = f"no answer from {where} in time: the request may have been taken"
            return DeliveryError("timeout", detail, scope="destination")
        if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
            return DeliveryError("connection", f"the certificate of {where} is not to be trusted", scope="destination")
        if isinstance(error, aiohttp.ClientConnectorError | ConnectionRefusedError):
            return DeliveryError("connection", f"cannot connect to {where}", scope="destination")
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | OSError):
            detail = f"the connection to {where} broke: the request may have been taken"
            return DeliveryError("connection", detail, scope="destination")
        detail = f"the answer of {where} makes no sense ({type(error).__name__})"
        return DeliveryError("server_error", detail, scope="destination")

    def _refusal(self, status: int, headers: Mapping[str, str], answer: str) -> DeliveryError:
        permanent = self._options.outcome(status) == "permanent"
        meaning = meaning_of(status)
        detail = f"HTTP {status}" + (f": {excerpt}" if (excerpt := self._excerpt(answer)) else "")
        if 300 <= status < 400:
            detail = f"HTTP {status}: redirects are not followed, give the final address"
        return DeliveryError(
            meaning.reason,
            detail,
            scope=meaning.scope,
            permanent=permanent,
            retry_after=None if permanent else retry_after(headers.get("Retry-After")),
        )

    def _excerpt(self, answer: str) -> str:
        """The first words of the answer without our own secrets, which some services echo."""
        for secret in self._secrets:  # before anything is cut, or half a secret could stay
            answer = answer.replace(secret, "***")
        shown = " ".join("".join(sign if sign.isprintable() else " " for sign in answer[:2000]).split())
        return shown if len(shown) <= _LONGEST_EXCERPT else shown[: _LONGEST_EXCERPT - 1] + "…"


def _problem(body: str, *, is_json: bool) -> str:
    if not body.strip():
        return "the body's template failed or gave nothing"
    if is_json:
        try:
            json.loads(body)
        except ValueError as error:
            where = f"line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else "it"
            return f"the body is not valid JSON at {where}: give every value through the filter tojson"
    return ""


def _is_json(content_type: str) -> bool:
    mime = content_type.partition(";")[0].strip().lower()
    return mime == "application/json" or mime.endswith("+json")


def _secrets_of(url: str, headers: Mapping[str, Any]) -> list[str]:
    """All that must not be shown of an address and of headers, the longest first, so that no rest stays."""
    parts = urlsplit(url)
    found = {url, parts.path, parts.query, f"{parts.path}?{parts.query}", parts.username or "", parts.password or ""}
    found |= set(parts.path.split("/")) | {value for _, value in parse_qsl(parts.query)}
    found |= {pair.rpartition("=")[2] for pair in parts.query.split("&")}
    for value in headers.values():
        text = value.get_secret_value()
        found |= {text, *text.split()}
    found |= {unquote(one) for one in found}
    return sorted((one for one in found if len(one) >= _SHORTEST_SECRET), key=len, reverse=True)
