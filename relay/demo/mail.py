"""A mail server on loopback: takes mail as strictly as a real one, keeps it parsed, and fails on request.

Used by the demo and by the tests. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, Session, TLSSetupException

Stage = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "END", "NOOP", "RSET", "QUIT"]
"""Where a scripted answer applies: the command, `CONNECT` for the greeting, `END` for the dot that ends the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail as it arrived: the envelope and the parsed message."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    message: EmailMessage
    at: datetime
    user: str | None = None
    encrypted: bool = False

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    @property
    def attachments(self) -> dict[str, bytes]:
        """File name to bytes."""
        parts = self.message.iter_attachments()
        return {part.get_filename() or "": part.get_payload(decode=True) for part in parts}  # type: ignore[misc]  # bytes for leaves

    def _body(self, kind: Literal["plain", "html"]) -> str:
        part = self.message.get_body(preferencelist=(kind,))
        return str(part.get_content()) if part is not None else ""


@dataclass(slots=True, kw_only=True)
class Answer:
    """What to do instead at a stage: wait, then answer, or drop the connection when there is no reply.

    `raw` goes out as it is, so that nonsense can be said. With `address` only that recipient is meant.
    `times` counts down; None means always.
    """

    stage: Stage
    reply: str | None = None
    raw: bytes | None = None
    hang: bool = False
    drop: bool = False
    address: str | None = None
    times: int | None = 1


@dataclass(slots=True)
class Script:
    """The answers that are waiting to be given, in order."""

    answers: list[Answer] = field(default_factory=list)

    def reply(self, stage: Stage, reply: str, *, address: str | None = None, times: int | None = 1) -> None:
        self.answers.append(Answer(stage=stage, reply=reply, address=address, times=times))

    def hang(self, stage: Stage) -> None:
        """Reads on and never answers."""
        self.answers.append(Answer(stage=stage, hang=True))

    def drop(self, stage: Stage, *, raw: bytes | None = None) -> None:
        """Breaks the connection there, after half an answer if `raw` is given."""
        self.answers.append(Answer(stage=stage, drop=True, raw=raw))

    def garbage(self, stage: Stage, raw: bytes) -> None:
        self.answers.append(Answer(stage=stage, raw=raw))

    def take(self, stage: Stage, arg: str) -> Answer | None:
        for answer in self.answers:
            if answer.stage == stage and (answer.address is None or answer.address in arg):
                if answer.times is not None:
                    answer.times -= 1
                    if answer.times == 0:
                        self.answers.remove(answer)
                return answer
        return None


class FakeMail:
    """The server. `mailbox` holds what was accepted, `journal` each command as it came."""

    def __init__(
        self,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        max_size: int = 33_554_432,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
    ) -> None:
        self.script = Script()
        self.mailbox: list[Mail] = []
        self.journal: list[str] = []
        self.connections = 0
        self.scripted = asyncio.Event()  # an answer of the script was taken
        self.host = "127.0.0.1"
        self.port = port
        self.users = users
        self.max_size = max_size
        self.starttls = None if implicit else tls
        self._implicit = tls if implicit else None
        self._server: asyncio.Server | None = None
        self._sessions: set[_Session] = set()

    @property
    def url(self) -> str:
        return f"{'smtps' if self._implicit else 'smtp'}://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listens; with port 0 a free one is chosen and kept in `port`, also over a stop and start."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self, loop), self.host, self.port, ssl=self._implicit)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening and breaks every open connection."""
        if self._server is not None:
            self._server.close()
            await asyncio.gather(*(session.abandon() for session in tuple(self._sessions)))
            self._sessions.clear()
            await self._server.wait_closed()
            self._server = None

    def drop_connections(self) -> None:
        """Breaks every open connection, as a server does with idle ones."""
        for session in tuple(self._sessions):
            session.abort()

    def open(self, session: _Session) -> None:
        self.connections += 1
        self._sessions.add(session)

    def closed(self, session: _Session) -> None:
        self._sessions.discard(session)

    async def handle_DATA(self, server: _Session, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        if await server.scripted("END", ""):
            return await server.never()
        login = session.auth_data
        self.mailbox.append(
            Mail(
                sender=envelope.mail_from,
                recipients=tuple(envelope.rcpt_tos),
                raw=envelope.original_content,
                message=message_from_bytes(envelope.original_content, _class=EmailMessage, policy=policy.default),
                at=datetime.now(UTC),
                user=login.login.decode() if isinstance(login, LoginPassword) else None,
                encrypted=bool(session.ssl or self._implicit),
            )
        )
        return "250 2.0.0 Ok: kept"

    async def handle_exception(self, error: Exception) -> str:
        """A client that breaks off a handshake is nobody's mistake; anything else is ours."""
        if isinstance(error, TLSSetupException):
            return "454 4.7.0 TLS failed"
        raise error

    def authenticate(self, _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        known = (
            isinstance(data, LoginPassword) and (self.users or {}).get(data.login.decode()) == data.password.decode()
        )
        return AuthResult(success=known, handled=False, auth_data=data if known else None)


class _Session(SMTP):
    """One connection: aiosmtpd's own, which asks the script before each command."""

    def __init__(self, fake: FakeMail, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            fake,
            hostname="mail.test",
            ident="ESMTP",
            data_size_limit=fake.max_size,
            tls_context=fake.starttls,
            authenticator=fake.authenticate,
            auth_require_tls=False,
            loop=loop,
        )
        self._fake = fake
        self._smtp_methods = {name: self._asking(name, method) for name, method in self._smtp_methods.items()}
        if fake.users is None:
            self._auth_methods = {}

    def abort(self) -> None:
        """Closes the connection at once, under TLS the socket below: in the middle of a handshake nothing else helps."""
        transport = self._original_transport or self.transport
        if transport is not None:
            with contextlib.suppress(AttributeError):  # Python 3.11.2 stumbles over TLS that has ended already
                cast("asyncio.Transport", transport).abort()  # uvloop's is none by class

    async def abandon(self) -> None:
        """Closes the connection and waits for its end; a handshake that was broken off never tells of it."""
        self.abort()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await asyncio.wait([self._handler_coroutine])

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def never(self) -> str:
        """The script has answered in its own way: keeps the session from answering as well."""
        await asyncio.Event().wait()
        raise AssertionError

    async def scripted(self, stage: Stage, arg: str) -> bool:
        """Whether the script dealt with this stage."""
        answer = self._fake.script.take(stage, arg)
        if answer is None:
            return False
        self._fake.scripted.set()
        if answer.raw is not None:
            self._writer.write(answer.raw)
            await self._writer.drain()
        if answer.drop:
            self._hang_up()
        if answer.hang or answer.drop:
            await self.never()
        if answer.reply is not None:
            await self.push(answer.reply)
            if answer.reply.startswith("421"):
                self._hang_up()
        return True

    def _asking(self, name: Any, method: Any) -> Any:
        async def ask(arg: str | None) -> None:
            self._fake.journal.append(f"{name} {arg or ''}".strip() if name != "AUTH" else "AUTH …")
            if not await self.scripted(name, arg or ""):
                await method(arg)

        return ask

    def _create_session(self) -> Session:
        return _QuietSession(self.loop)

    async def _handle_client(self) -> None:
        self._fake.open(self)
        if not await self.scripted("CONNECT", ""):
            await super()._handle_client()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._fake.closed(self)


class _QuietSession(Session):
    """aiosmtpd logs a warning about this attribute whenever it sets it itself."""

    login_data = None


def threads(mailbox: Sequence[Mail]) -> dict[str, list[Mail]]:
    """The mails by the thread a mail program puts them in: by the first of `References`, oldest first."""
    found: dict[str, list[Mail]] = {}
    for mail in mailbox:
        root = str(mail.message.get("References", mail.message["Message-ID"])).split()[0]
        found.setdefault(root, []).append(mail)
    return found
