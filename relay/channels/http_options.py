"""What the config says of an HTTP channel: SMS gateways and everything else that takes a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, WithJsonSchema

from relay.channels.options import ChannelOptions
from relay.sections import SecretUrl, base_folder, read_secret

Outcome = Literal["ok", "retry", "permanent"]

_STATUS = re.compile(r"[1-5][0-9][0-9]|[1-5]xx")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token


def _headers(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, Mapping):
        return value
    read: dict[str, object] = {}
    for key, given in value.items():
        name = str(key).removesuffix("_file")
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an HTTP header")
        if name in read:
            raise ValueError(f"give {name} or {name}_file, not both")
        content = read_secret(given, base_folder(info)) if name != key else given
        if isinstance(content, str) and not content.isprintable():
            raise ValueError(f"the value of {name} must be one line")
        read[name] = content
    return read


def _statuses(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    for status in value:
        if not _STATUS.fullmatch(str(status)):
            raise ValueError(f"{status!r} is no HTTP status such as 409 or 4xx")
    return {str(status): outcome for status, outcome in value.items()}


class HttpOptions(ChannelOptions):
    """One HTTP request per message."""

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})

    type: Literal["http"]
    url: SecretUrl
    """Where to; kept secret, because many services put a key into it."""
    method: Literal["POST", "PUT", "PATCH", "GET"] = "POST"
    headers: Annotated[
        dict[str, SecretStr],
        BeforeValidator(_headers),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
    ] = Field(default_factory=dict)
    """Values are kept secret; `NAME_file` reads one from a file."""
    body: str | None = None
    """Jinja2; absent: a JSON object that tells everything (`templates/http/`)."""
    content_type: str = "application/json"
    statuses: Annotated[
        dict[str, Outcome],
        BeforeValidator(_statuses),
        WithJsonSchema(
            {
                "type": "object",
                "propertyNames": {"pattern": "^[1-5]([0-9][0-9]|xx)$"},
                "additionalProperties": {"enum": ["ok", "retry", "permanent"]},
            }
        ),
    ] = Field(default_factory=dict)
    """What an answer means, by status (`409`) or class (`4xx`), where it differs from: 2xx ok; 408, 425, 429 and 5xx
    retry; all others permanent."""

    def outcome(self, status: int) -> Outcome:
        """What this status means here; an exact one goes before its class."""
        chosen = self.statuses.get(str(status)) or self.statuses.get(f"{status // 100}xx")
        if chosen:
            return chosen
        if 200 <= status < 300:
            return "ok"
        return "retry" if status >= 500 or status in (408, 425, 429) else "permanent"
