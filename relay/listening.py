"""What the config says of the HTTP side: where we listen, under which address people know us, who may post."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from relay.sections import BasicAuth, Secret, Section, Size, Url, problem, refuse

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  what people write for every address
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]*):(?P<port>[0-9]{1,5})")

WHO_MAY_POST = (
    "say who may post webhooks: bearer_token, bearer_token_file or basic; "
    "or allow_anonymous: true if only Alertmanager can reach this port"
)


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[::1]:PORT` or `:PORT` (every address); port 0 is any free one.

    Raises `ValueError` that says what is allowed.
    """
    found = _LISTEN.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise ValueError("must be HOST:PORT such as 0.0.0.0:8080 or [::1]:8080")
    return found["host"].strip("[]") or "0.0.0.0", int(found["port"])  # noqa: S104  the user asked for every address


def _checked(text: str) -> str:
    parse_listen(text)
    return text


Listen = Annotated[str, AfterValidator(_checked)]
"""`HOST:PORT`; take it apart with `parse_listen`."""


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _sendable(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise ValueError("holds a blank, a line's end or a letter that no Authorization header can carry")
    return token


class AuthConfig(Section):
    """Who may post webhooks."""

    secrets: ClassVar[frozenset[str]] = frozenset({"bearer_token"})

    bearer_token: Annotated[
        tuple[Annotated[Secret, AfterValidator(_sendable)], ...],
        BeforeValidator(_listed),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = ()
    """A token, or a list of them while one is being replaced by another."""
    basic: BasicAuth | None = None
    """A user name and password, for senders that know no tokens."""
    allow_anonymous: bool = False
    """Take webhooks from everyone who can reach the port."""

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if not (self.bearer_token or self.basic or self.allow_anonymous):
            raise ValueError(WHO_MAY_POST)
        return self

    @property
    def tokens(self) -> tuple[SecretStr, ...]:
        """Every token that is accepted now."""
        return self.bearer_token


class ServerConfig(Section):
    """Where we listen and who may post."""

    listen: Listen = "0.0.0.0:8080"
    """`HOST:PORT`; port 0 takes a free one and logs it."""
    ops_listen: Listen | None = None
    """A second address for `/-/healthy`, `/-/ready`, `/health` and `/metrics`, which then leave the first."""
    public_url: Annotated[Url, AfterValidator(lambda url: url.rstrip("/"))] | None = None
    """What people open in a browser: the relay's own alerts link to `/health` there."""
    max_body: Annotated[Size, Field(gt=0)] = 64 * 1024 * 1024
    """The largest webhook that is taken; 20,000 alerts are about 11 MB."""
    auth: Annotated[AuthConfig, Field(default_factory=dict, validate_default=True)]
    """Who may post webhooks: at least one way, or `allow_anonymous: true`."""

    @model_validator(mode="after")
    def _two_addresses(self) -> Self:
        if self.ops_listen is not None:
            (host, port), (other, ops_port) = parse_listen(self.listen), parse_listen(self.ops_listen)
            if port == ops_port != 0 and (host == other or host in _EVERYWHERE or other in _EVERYWHERE):
                raise refuse([problem(["ops_listen"], "is where listen is already; give it another port")])
        return self
