"""What the config says of the database: where the state is kept, and for how long."""

from __future__ import annotations

import re
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


_HOST = re.compile(r"(\[[^\[\]]*\]|[^:]*)(:[0-9]*)?")


def _names_a_database(url: str) -> bool:
    """Of PostgreSQL; the ports of its hosts, which commas separate, are numbers."""
    try:
        address = urlsplit(url)
    except ValueError:
        return False
    hosts = address.netloc.rpartition("@")[2].split(",")
    return bool(address.path.strip("/")) and all(_HOST.fullmatch(host) for host in hosts)


def _known(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    scheme, separator, rest = text.partition("://")
    kind = _KINDS.get(scheme)
    if kind == "postgresql" and "@" in rest.partition("?")[0].partition("/")[2]:
        # What stands before that / would be taken for the host, and be told when it does not answer.
        raise ValueError(
            "holds a user or password with a / in it: write %2F there (%40 for @, %3A for :, %23 for #, %3F for ?)"
        )
    usable = rest.startswith("/") if kind == "sqlite" else _names_a_database(text)
    if kind is None or not separator or not usable:
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
