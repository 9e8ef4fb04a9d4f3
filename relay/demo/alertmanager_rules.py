"""What the stand-in of Alertmanager holds, and what it refuses to hold, in the words of 0.33."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from relay.alerts import parse_time
from relay.clock import MINUTE, Millis, to_datetime
from relay.matchers import Matcher

RESOLVE_TIMEOUT: Millis = 5 * MINUTE
_REQUIRED = ("comment", "createdBy", "endsAt", "matchers", "startsAt")  # in the order in which they are missed
_ORDER = {"active": 0, "pending": 1, "expired": 2}


class Refused(Exception):
    """An answer that is no success; `said` becomes its JSON body."""

    def __init__(self, status: int, said: Any) -> None:
        super().__init__(status, said)
        self.status = status
        self.said = said


@dataclass(slots=True)
class Alert:
    """An alert as it was posted; without an end it fires until `end_alert`."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: Millis
    ends_at: Millis | None
    updated_at: Millis
    generator_url: str = ""

    def said(self, fingerprint: str, receiver: str, silenced_by: list[str], now: Millis) -> dict[str, Any]:
        """The alert as the API lists it."""
        state = "suppressed" if silenced_by else "active"
        said = {
            "annotations": self.annotations,
            "endsAt": rfc3339(now + RESOLVE_TIMEOUT if self.ends_at is None else self.ends_at),
            "fingerprint": fingerprint,
            "receivers": [{"name": receiver, "labels": {"name": receiver}}],
            "startsAt": rfc3339(self.starts_at),
            "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": silenced_by, "state": state},
            "updatedAt": rfc3339(self.updated_at),
            "labels": self.labels,
        }
        return {**said, "generatorURL": self.generator_url} if self.generator_url else said


@dataclass(slots=True)
class StoredSilence:
    """A silence; `matchers` as they were posted, in their order."""

    id: str
    matchers: list[dict[str, Any]]
    starts_at: Millis
    ends_at: Millis
    updated_at: Millis
    created_by: str
    comment: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def state(self, now: Millis) -> Literal["active", "pending", "expired"]:
        if self.ends_at <= now:
            return "expired"
        return "pending" if self.starts_at > now else "active"

    def said(self, now: Millis) -> dict[str, Any]:
        """The silence as the API lists it."""
        said = {
            "id": self.id,
            "status": {"state": self.state(now)},
            "updatedAt": rfc3339(self.updated_at),
            "comment": self.comment,
            "createdBy": self.created_by,
            "endsAt": rfc3339(self.ends_at),
            "matchers": self.matchers,
            "startsAt": rfc3339(self.starts_at),
        }
        return {**said, "annotations": self.annotations} if self.annotations else said

    def mutes(self, labels: Mapping[str, str]) -> bool:
        return all(_matcher(one).matches(labels) for one in self.matchers)


def checked_silence(body: Mapping[str, Any], now: Millis) -> StoredSilence:
    for name in _REQUIRED:
        if body.get(name) is None:
            raise Refused(422, {"code": 602, "message": f"{name} in body is required"})
    if not body["matchers"]:
        raise Refused(422, {"code": 612, "message": "matchers in body should have at least 1 items"})
    try:
        starts_at, ends_at = parse_time(body["startsAt"]), parse_time(body["endsAt"])
    except ValueError as error:
        raise Refused(400, {"code": 400, "message": f'parsing silence body from "" failed, because {error}'}) from None
    starts_at, ends_at = starts_at or 0, ends_at or 0
    if ends_at < now:
        raise Refused(400, "Failed to create silence: end time can't be in the past")
    if starts_at >= ends_at:
        raise Refused(400, "Failed to create silence: start time must be before end time")
    matchers = [as_posted(_checked_matcher(at, one)) for at, one in enumerate(body["matchers"])]
    if all(_fits_empty(_matcher(one)) for one in matchers):
        raise Refused(400, "invalid silence: matcher set 0: at least one matcher must not match the empty string")
    return StoredSilence(
        id=body.get("id", ""),
        matchers=matchers,
        starts_at=starts_at,
        ends_at=ends_at,
        updated_at=now,
        created_by=body["createdBy"],
        comment=body["comment"],
        annotations=dict(body.get("annotations") or {}),
    )


def _checked_matcher(at: int, said: Mapping[str, Any]) -> Matcher:
    for name, shape in (("isRegex", bool), ("name", str), ("value", str)):
        if not isinstance(said.get(name), shape):
            raise Refused(422, {"code": 602, "message": f"matchers.{at}.{name} in body is required"})
    try:
        return _matcher(said)
    except ValueError as error:
        reason = f'invalid regular expression "{said["value"]}": error parsing regexp: {error}'
        raise Refused(400, f"invalid silence: invalid label matcher {at} in set 0: {reason}") from None


def _matcher(said: Mapping[str, Any]) -> Matcher:
    return Matcher(said["name"], said["value"], is_regex=said["isRegex"], is_equal=said.get("isEqual", True))


def as_posted(matcher: Matcher) -> dict[str, Any]:
    return {"isEqual": matcher.is_equal, "isRegex": matcher.is_regex, "name": matcher.name, "value": matcher.value}


def _fits_empty(matcher: Matcher) -> bool:
    """As Alertmanager counts it: a negative matcher never does (`silence/silence.go` validateSilence)."""
    return matcher.is_equal and matcher.pattern_fits("")


def rank(silence: StoredSilence, now: Millis) -> tuple[int, Millis]:
    """Where a silence stands in the list: active by their end, pending by their start, expired the latest first."""
    state = silence.state(now)
    by = {"active": silence.ends_at, "pending": silence.starts_at, "expired": -silence.ends_at}
    return _ORDER[state], by[state]


def rfc3339(at: Millis) -> str:
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
