"""What the config says of email: the SMTP server, and the recipients of each channel."""

from __future__ import annotations

import re
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from relay.channels.options import ChannelOptions
from relay.sections import Secret, Section, problem, refuse

Tls = Literal["starttls", "implicit", "opportunistic", "none"]


def _host(text: str) -> str:
    if "/" in text or re.fullmatch(r"[^:]*:[0-9]*", text):
        raise ValueError("must be the server's name alone, such as smtp.example.org; its port has a key of its own")
    return text


def _mailbox(text: str) -> str:
    name, address = parseaddr(text)
    if ";" in text.replace(name, ""):
        raise ValueError("must be one mail address, or several with commas between them")
    try:
        parsed = Address(display_name=name, addr_spec=address)
    except (MessageError, ValueError, IndexError):
        parsed = Address()
    if not (parsed.username and parsed.domain) or not text.isprintable():
        raise ValueError("must be a mail address such as ops@example.org or Ops <ops@example.org>")
    return text


def _one_or_many(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Mailbox = Annotated[str, AfterValidator(_mailbox)]


class SmtpConfig(Section):
    """The mail server that takes our mails."""

    secrets: ClassVar[frozenset[str]] = frozenset({"password"})

    host: Annotated[str, Field(min_length=1, pattern=r"^\S+$"), AfterValidator(_host)]
    port: Annotated[int, Field(gt=0, le=65535)] = 587
    username: Annotated[str, Field(min_length=1)] | None = None
    """Absent: no authentication."""
    password: Secret | None = None
    from_: Annotated[Mailbox, Field(alias="from")]
    """The sender of every mail: `Alerts <alerts@example.org>`."""
    tls: Tls = "starttls"
    """`starttls` (required), `implicit` (TLS from the first byte, usually port 465), `opportunistic` or `none`."""

    @model_validator(mode="before")
    @classmethod
    def _usual_port(cls, data: Any) -> Any:
        """Port 465 and TLS from the first byte go together (RFC 8314): the one that is given decides the other."""
        if not isinstance(data, dict):
            return data
        if data.get("tls") == "implicit" and data.get("port") is None:
            return {**data, "port": 465}
        if data.get("port") in (465, "465") and data.get("tls") is None:
            return {**data, "tls": "implicit"}
        return data

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if self.username is not None and self.password is None:
            raise refuse([problem(["password"], "is required with username (or password_file)")])
        if self.username is None and self.password is not None:
            raise refuse([problem(["username"], "is required with password")])
        return self


class EmailOptions(ChannelOptions):
    """One or more mail addresses."""

    type: Literal["email"]
    to: Annotated[list[Mailbox], BeforeValidator(_one_or_many), Field(min_length=1)]
    """The recipients: a list, or one text with commas."""
