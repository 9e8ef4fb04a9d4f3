"""What the config says of the database: where the state is kept, and for how long."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from relay.clock import DAY
from relay.sections import Duration, Section

_KINDS: dict[str, Literal["sqlite", "postgresql"]] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}


def _known(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    scheme, separator, rest = text.partition("://")
    kind = _KINDS.get(scheme)
    try:
        usable = bool(separator) and (
            rest.startswith("/") if kind == "sqlite" else bool(urlsplit(text).path.strip("/"))
        )
    except ValueError:
        usable = False
    if kind is None or not usable:
        raise ValueError(
            "must be sqlite:///relay.db (sqlite:////var/lib/relay/relay.db for an absolute path) "
            "or postgresql://user:password@host/name"
        )
    return url


class DatabaseConfig(Section):
    """Where the state is kept."""

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})

    url: Annotated[SecretStr, AfterValidator(_known)] = SecretStr("sqlite:///relay.db")
    """`sqlite:///relay.db`, or `postgresql://user:password@host/name` for replicas; kept secret for its password."""
    retention: Annotated[Duration, Field(gt=0)] = 90 * DAY
    """How long an incident is kept after its last change."""

    @property
    def kind(self) -> Literal["sqlite", "postgresql"]:
        return _KINDS[self.url.get_secret_value().partition("://")[0]]
