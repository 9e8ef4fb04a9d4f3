"""The connection to one mail server: signs in, is kept for the next mail, and is given up on any doubt about its state."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from relay.channels.email.replies import Reply, Stage, nobody_took_it, refusal, silence
from relay.channels.email_options import SmtpConfig
from relay.checked import ANSWERED, KNOWN, Checked
from relay.notification import DeliveryError

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Taken:
    """The server took the mail for some recipients; of the others it told why, for good or for now."""

    refused: Mapping[str, str] = field(default_factory=dict)
    deferred: Mapping[str, str] = field(default_factory=dict)


class MailServer:
    """One account at one server, shared by all channels that use it: one connection, one mail at a time.

    Args:
        config: the `smtp` section.
        connect_seconds: how long connecting and greeting may take.
        answer_seconds: how long any other answer may take.
        trust: the certificates to trust; default: the system's, or those of `SSL_CERT_FILE`.
    """

    def __init__(
        self,
        config: SmtpConfig,
        *,
        connect_seconds: float = _CONNECT_SECONDS,
        answer_seconds: float = _ANSWER_SECONDS,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.config = config
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._trust = trust
        self._lock = asyncio.Lock()
        self._client: SMTP | None = None
        self._stage: Stage = "CONNECT"

    @property
    def account(self) -> str:
        return f"email:{self.config.host}:{self.config.port}"

    async def send(self, sender: str, recipients: Sequence[str], message: bytes) -> Taken:
        """Hands one mail over. Raises only `DeliveryError`."""
        async with self._lock:
            try:
                return await self._transact(await self._connected(), sender, recipients, message)
            except DeliveryError:
                await self._reset()
                raise
            except (SMTPException, OSError, ValueError) as error:
                self._forget()
                raise self._explained(error) from None
            except BaseException:  # cancelled in the middle of a dialogue: the connection's state is unknown
                self._forget()
                raise

    async def check(self, sender: str) -> Checked:
        """Connects, signs in, begins a mail of this sender and takes that back. Raises only `DeliveryError`."""
        async with self._lock:
            try:
                client = await self._connected()
                self._stage = "MAIL"
                await client.mail(sender)
                await client.rset()
            except (SMTPException, OSError, ValueError) as error:
                self._forget()
                raise self._explained(error) from None
            except BaseException:
                self._forget()
                raise
            tls = client.get_transport_info("ssl_object") or client.get_transport_info("sslcontext")
            user = f"signed in as {self.config.username}" if self.config.username else "without signing in"
            said = f"{self.config.host}:{self.config.port}, {'encrypted' if tls else 'NOT encrypted'}, {user}"
            return Checked(said, (KNOWN if self.config.username else ANSWERED) | {"forbidden"})

    async def close(self) -> None:
        """Says goodbye; never raises and never takes long."""
        async with self._lock:
            if self._client is not None and self._client.is_connected:
                with contextlib.suppress(SMTPException, OSError):
                    await self._client.quit(timeout=1)
            self._forget()

    async def _connected(self) -> SMTP:
        """The connection of the last mail if it still answers, else a new one."""
        client = self._client
        if client is not None and client.is_connected:
            try:
                self._stage = "NOOP"
                await client.noop(timeout=self._connect_seconds)
            except (SMTPException, OSError):  # closed while idle: as good as none
                self._forget()
            else:
                return client
        return await self._connect()

    async def _connect(self) -> SMTP:
        config = self.config
        client = self._client = SMTP(
            hostname=config.host,
            port=config.port,
            local_hostname=_own_name(),
            timeout=self._answer_seconds,
            use_tls=config.tls == "implicit",
            start_tls=False,  # asked for below, so that each step has its own errors
            tls_context=self._context() if config.tls != "none" else None,
        )
        self._stage = "CONNECT"
        await client.connect(timeout=self._connect_seconds)
        self._stage = "EHLO"
        try:
            await client.ehlo()
        except SMTPResponseException as error:
            if error.code // 100 != 5 or not client.is_connected:
                raise
            await client.helo()  # a server from before 1995
        self._stage = "STARTTLS"
        offered = client.supports_extension("starttls")
        if config.tls == "starttls" and not offered:
            raise DeliveryError(
                "connection", "the server offers no STARTTLS, and tls: starttls requires it", scope="destination"
            )
        if offered and config.tls in {"starttls", "opportunistic"}:
            await client.starttls()
            await client.ehlo()
        if config.username is not None and config.password is not None:
            self._stage = "AUTH"
            await client.login(config.username, config.password.get_secret_value())
        return client

    async def _transact(self, client: SMTP, sender: str, recipients: Sequence[str], message: bytes) -> Taken:
        self._stage = "MAIL"
        size = [f"SIZE={len(message)}"] if client.supports_extension("size") else []
        await client.mail(sender, options=size)
        self._stage = "RCPT"
        refused: dict[str, str] = {}
        deferred: dict[str, Reply] = {}
        for recipient in recipients:
            try:
                await client.rcpt(recipient)
            except SMTPRecipientRefused as error:
                reply = Reply(error.code, self._masked(error.message))
                if reply.code in {421, 530} or not 400 <= reply.code < 600:
                    raise refusal("RCPT", reply) from None
                if reply.transient or reply.code == 552:  # RFC 5321 4.5.3.1.10: at RCPT it means 452
                    deferred[recipient] = reply
                else:
                    refused[recipient] = str(reply)
        if len(refused) + len(deferred) == len(recipients):
            raise nobody_took_it(refused, deferred)
        self._stage = "DATA"
        await client.data(message)
        return Taken(refused, {recipient: str(reply) for recipient, reply in deferred.items()})

    async def _reset(self) -> None:
        """Makes the connection ready for another mail, or gives it up."""
        if self._client is None or not self._client.is_connected or self._stage not in {"MAIL", "RCPT", "DATA"}:
            self._forget()
            return
        try:
            await self._client.rset(timeout=self._connect_seconds)
        except (SMTPException, OSError):
            self._forget()
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _context(self) -> ssl.SSLContext:
        if self._trust is not None:
            return self._trust
        context = ssl.create_default_context()
        if self.config.tls == "opportunistic":  # better unverified than in clear, which is what it would fall back to
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _explained(self, error: Exception) -> DeliveryError:
        """Our error for one of the library's or the system's. Their texts are not passed on, save the server's own."""
        cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
        where = f"{self.config.host}:{self.config.port}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            detail = f"the certificate of {where} is not to be trusted: {cause.verify_message}"
            return DeliveryError("connection", detail, scope="destination")
        if isinstance(cause, ssl.SSLError):
            detail = f"{where} does not speak TLS as expected; is `tls` right for this port?"
            return DeliveryError("connection", detail, scope="destination")
        if isinstance(error, SMTPResponseException):
            return refusal(self._stage, Reply(error.code, self._masked(error.message)))
        if self._stage == "CONNECT":
            why = "no answer in time" if isinstance(error, SMTPTimeoutError) else _plain(error)
            return DeliveryError("connection", f"cannot connect to {where}: {why}", scope="destination")
        if isinstance(error, SMTPTimeoutError):
            return silence(self._stage, broken=False)
        if isinstance(error, SMTPServerDisconnected | OSError):
            return silence(self._stage, broken=True)
        if self._stage == "AUTH":
            detail = "the server offers no way to sign in here; many offer it over TLS only"
            return DeliveryError("unauthorized", detail, scope="destination", permanent=True)
        return DeliveryError("server_error", f"{type(error).__name__} at {self._stage}", scope="destination")

    def _masked(self, text: str) -> str:
        """The server's text without the password, in case it echoes what we said."""
        if self.config.password is None:
            return text
        user, password = self.config.username or "", self.config.password.get_secret_value()
        for secret in (f"\0{user}\0{password}", password):
            text = text.replace(b64encode(secret.encode()).decode(), "***").replace(secret, "***")
        return text


def _own_name() -> str:
    """How we call ourselves: as the standard library does, but without asking DNS, which can take seconds."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _plain(error: BaseException) -> str:
    """The system's own words for a failed connection."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    return (error.strerror if isinstance(error, OSError) else None) or "the connection broke"
