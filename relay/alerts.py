"""The webhook message as Alertmanager sends it, version 4, and nothing of what we make of it.

Wire rules are those of Alertmanager 0.21 to 0.34 (`notify/webhook/webhook.go`, `template/template.go`): unknown fields are
ignored, missing ones tolerated, the receiver's name arrives regex-quoted, a firing alert ends at Go's zero time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import core_schema, to_json

from relay.clock import Millis

MOST = 1_000_000_000
"""More than that are as many: Go's 64 bits without a sign are no number for a database."""
LONGEST_NAME = 500
"""Characters of what an index holds: PostgreSQL takes 2,700 bytes there."""
_FNV_OFFSET = 14695981039346656037
_FNV_PRIME = 1099511628211
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_GO_ZERO = "0001-01-01T00:00:00Z"
_QUOTED = re.compile(r"\\(.)", re.DOTALL)


def storable(text: str) -> str:
    """The text with NUL and lone surrogates as U+FFFD: PostgreSQL refuses the one, UTF-8 the other."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Alertmanager's fingerprint: FNV-1a 64 over the sorted labels (prometheus/common `model/signature.go`)."""
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in name.encode() + b"\xff" + labels[name].encode() + b"\xff":
            value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def parse_time(value: object) -> Millis | None:
    """RFC 3339 with any zone and up to nanoseconds, cut to milliseconds; Go's zero time (year 1) and blanks are None."""
    if value is None or value in ("", _GO_ZERO):
        return None
    if not isinstance(value, str):
        raise ValueError("a time must be an RFC 3339 text like 2026-01-31T03:12:00Z")  # noqa: TRY004  pydantic wants ValueError
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value[:40]!r} is no RFC 3339 time like 2026-01-31T03:12:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year <= 1:
        return None
    return (moment - _EPOCH) // _MILLISECOND


def _raw_text(value: object) -> str:
    """Any scalar of a lenient sender as text; lists and objects as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def read_text(value: object) -> str:
    return storable(_raw_text(value))


def read_texts(value: object) -> dict[str, str]:
    """Labels or annotations; raises `ValueError` for what is no object."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError("must be an object of names and texts")  # noqa: TRY004  pydantic wants ValueError
    try:
        everything = "".join([*value, *value.values()])
    except TypeError:  # a lenient sender's number
        everything = "\0"
    if everything == storable(everything):  # one look instead of one for each text
        return dict(value)
    return {storable(str(name)): read_text(item) for name, item in value.items()}


def texts_json(texts: Mapping[str, str]) -> str:
    """Labels or annotations as they are stored, by name; `read_texts` has made them storable."""
    return to_json(dict(sorted(texts.items()))).decode()


@dataclass(frozen=True, eq=False)
class _InJson:
    """In JSON itself, as `WebhookMessage.read_plain` reads it, only this kind of value fits, without a function of ours."""

    kind: core_schema.CoreSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.json_or_python_schema(json_schema=self.kind, python_schema=handler(source))


_PLAIN = core_schema.str_schema(strict=True)
RawText = Annotated[str, BeforeValidator(_raw_text), _InJson(_PLAIN)]
Text = Annotated[str, PlainValidator(read_text), _InJson(_PLAIN)]
Texts = Annotated[dict[str, str], PlainValidator(read_texts), _InJson(core_schema.dict_schema(_PLAIN, _PLAIN))]
Time = Annotated[Millis | None, PlainValidator(parse_time)]
Count = Annotated[
    int,
    BeforeValidator(lambda value: 0 if value is None else value),
    Field(ge=0),
    AfterValidator(lambda count: min(count, MOST)),
]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class WebhookAlert(_Wire):
    """One alert of a message. `ends_at` is None while it fires; times are milliseconds since 1970."""

    status: Literal["firing", "resolved"]
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    starts_at: Time = Field(default=None, validation_alias=AliasChoices("startsAt", "starts_at"))
    ends_at: Time = Field(default=None, validation_alias=AliasChoices("endsAt", "ends_at"))
    generator_url: Text = Field(default="", validation_alias=AliasChoices("generatorURL", "generator_url"))
    fingerprint: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> WebhookAlert:
        if not 0 < len(self.fingerprint) <= LONGEST_NAME:  # absent in messages of 2019; Alertmanager's have 16 digits
            object.__setattr__(self, "fingerprint", fingerprint_of(self.labels))
        return self

    @property
    def firing(self) -> bool:
        return self.status == "firing"


class WebhookEnvelope(_Wire):
    """A message without its alerts: cheap to check, so that a large message can be validated in slices."""

    receiver: Text = ""
    group_key: Text = Field(validation_alias=AliasChoices("groupKey", "group_key"))
    raw_group_key: RawText = Field(validation_alias=AliasChoices("groupKey", "group_key"))  # to be hashed, never stored
    group_labels: Texts = Field(default_factory=dict, validation_alias=AliasChoices("groupLabels", "group_labels"))
    external_url: Text = Field(default="", validation_alias=AliasChoices("externalURL", "external_url"))
    notification_reason: Text = ""
    truncated_alerts: Count = Field(default=0, validation_alias=AliasChoices("truncatedAlerts", "truncated_alerts"))
    version: Literal["4"]

    @property
    def receiver_name(self) -> str:
        """The receiver as configured: Alertmanager sends `regexp.QuoteMeta` of it (`template/template.go` Data)."""
        name = _QUOTED.sub(r"\1", self.receiver) if "\\" in self.receiver else self.receiver
        if len(name) <= LONGEST_NAME:
            return name
        return f"{name[:LONGEST_NAME]}…{hashlib.sha256(name.encode()).hexdigest()[:16]}"


class WebhookMessage(WebhookEnvelope):
    """Alertmanager's notification of one alert group."""

    alerts: tuple[WebhookAlert, ...]

    @classmethod
    def read_plain(cls, body: bytes) -> WebhookMessage | None:
        """The message in JSON as nearly all come, in half the time; None for one that has to be read value by value."""
        if b"\\u0000" in body:
            return None
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            return None

    @classmethod
    def assemble(cls, envelope: WebhookEnvelope, alerts: tuple[WebhookAlert, ...]) -> WebhookMessage:
        """Joins parts that were validated in slices, without validating them again."""
        return cls.model_construct(**{**envelope.__dict__, "alerts": alerts})


class NotAWebhookMessage(ValueError):
    """The body is no version 4 message; the text says what it looks like and what to do instead."""


def recognise(body: Any) -> Mapping[str, Any]:
    """The decoded body if it can be a version 4 message, else `NotAWebhookMessage` with a reason for its sender."""
    if not isinstance(body, Mapping):
        raise NotAWebhookMessage(
            f"the body is a JSON {type(body).__name__}, not an Alertmanager webhook message: remove `payload:` from the "
            "receiver's webhook_config, the relay formats the message itself"
        )
    version = body.get("version")
    if version != "4" and ("orgId" in body or ("state" in body and "evalMatches" in body) or version == "1"):
        raise NotAWebhookMessage(
            "this is Grafana's own webhook, not Alertmanager's: let Grafana send its alerts to your Alertmanager "
            "(contact point type Alertmanager) and let Alertmanager post here"
        )
    if not isinstance(body.get("alerts"), list) or "groupKey" not in body:
        raise NotAWebhookMessage(
            "no `alerts` list or no `groupKey`: not an Alertmanager webhook message of version 4; if the receiver's "
            "webhook_config has a custom `payload:`, remove it"
        )
    if body.get("version") != "4":
        raise NotAWebhookMessage(f"version {str(body.get('version'))[:20]!r} is not supported, only version '4'")
    return body
