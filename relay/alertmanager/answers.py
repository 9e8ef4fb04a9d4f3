"""What the API answers, as values: status, listed alerts, silences. Fields that came after 0.25 are optional."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from relay.alerts import Text, Texts, Time, parse_time, read_text, read_texts
from relay.clock import Millis
from relay.matchers import Matcher

AlertState = Literal["unprocessed", "active", "suppressed"]
SilenceState = Literal["active", "pending", "expired"]
_STATES: frozenset[AlertState] = frozenset(get_args(AlertState))


@dataclass(frozen=True, slots=True)
class Features:
    """What this version can do beyond 0.25; a version that cannot be read can do nothing beyond it."""

    utf8_names: bool = False
    silence_annotations: bool = False

    @classmethod
    def of(cls, version: str) -> Features:
        found = re.match(r"v?(\d+)\.(\d+)", version)
        number = (int(found[1]), int(found[2])) if found else (0, 0)
        return cls(utf8_names=number >= (0, 27), silence_annotations=number >= (0, 32))


def needs_utf8(matcher: Matcher) -> bool:
    """Whether its name is written in quotes, which not every version reads: `Features.utf8_names`."""
    return str(matcher).startswith('"')


@dataclass(frozen=True, slots=True)
class Status:
    """One peer: `uptime_since` is when its process started, `cluster_status` is ready, settling or disabled."""

    version: str
    uptime_since: Millis | None
    cluster_status: str
    peers: tuple[str, ...]
    url: str

    @property
    def features(self) -> Features:
        return Features.of(self.version)


class ListedAlert(NamedTuple):
    """A firing alert. `ends_at` is when it expires unless it is sent again; `suppressed` is silenced or inhibited.

    A tuple, because a list has thousands of them and each is made five times as fast.
    """

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: Millis | None
    ends_at: Millis | None
    state: AlertState
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    receivers: tuple[str, ...]
    generator_url: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The alerts that one peer listed, and since when that peer runs.

    `asked_at` is our clock before the question. `started_at` was asked after the list, so that a restart between the two
    shows as a recent start and never as an old peer without alerts; None if the peer did not say.
    """

    alerts: tuple[ListedAlert, ...]
    peer: str
    asked_at: Millis
    status: Status | None

    @property
    def started_at(self) -> Millis | None:
        return self.status.uptime_since if self.status else None

    def __iter__(self) -> Iterator[ListedAlert]:
        return iter(self.alerts)

    def __len__(self) -> int:
        return len(self.alerts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A silence. `unreadable`: matchers whose expression our RE2 does not take, so that we cannot say what it mutes."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: Millis | None
    ends_at: Millis | None
    updated_at: Millis | None
    created_by: str
    comment: str
    state: SilenceState
    annotations: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def mutes(self, labels: Mapping[str, str]) -> bool:
        """Whether it covers an alert of these labels, whatever its state."""
        return not self.unreadable and all(matcher.matches(labels) for matcher in self.matchers)


class Odd(ValueError):
    """Where an answer is not as it should be, and why."""


def _names(value: object) -> object:
    return () if value is None else value


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Named(_Wire):
    name: Text = ""


class _Matcher(_Wire):
    name: Text
    value: Text
    is_regex: bool = Field(alias="isRegex")
    is_equal: bool = Field(default=True, alias="isEqual")


class _SilenceStatus(_Wire):
    state: SilenceState


class _Silence(_Wire):
    id: str
    matchers: tuple[_Matcher, ...]
    starts_at: Time = Field(default=None, alias="startsAt")
    ends_at: Time = Field(default=None, alias="endsAt")
    updated_at: Time = Field(default=None, alias="updatedAt")
    created_by: Text = Field(default="", alias="createdBy")
    comment: Text = ""
    annotations: Texts = Field(default_factory=dict)
    status: _SilenceStatus


class _Cluster(_Wire):
    status: str = ""
    peers: Annotated[tuple[_Named, ...], BeforeValidator(_names)] = ()


class _Version(_Wire):
    version: str = ""


class _Status(_Wire):
    cluster: _Cluster = _Cluster()
    uptime: Time = None
    version_info: _Version = Field(alias="versionInfo")


def read_status(said: Any, url: str) -> Status:
    wire = _Status.model_validate(said)
    peers = tuple(peer.name for peer in wire.cluster.peers)
    return Status(wire.version_info.version, wire.uptime, wire.cluster.status, peers, url)


def read_receiver(said: Any) -> str:
    return _Named.model_validate(said).name


class AlertReader:
    """Reads the alerts of one list; what several of them have is read and held once, and so is what the list `before` had.

    By hand: a list has thousands of them, and a model takes many times as long. Raises `Odd`, `KeyError`, `TypeError` or
    `ValueError` for what is no alert.
    """

    def __init__(self, before: Iterable[ListedAlert] = ()) -> None:
        self._before = {alert.fingerprint: alert for alert in before}
        self._texts: dict[str, str] = {}
        self._times: dict[object, Millis | None] = {}
        self._receivers: dict[tuple[object, ...], tuple[str, ...]] = {}

    def __call__(self, said: Any) -> ListedAlert:
        status = said["status"]
        state = status["state"]
        if state not in _STATES:
            raise Odd(f"status.state: {str(state)[:40]!r}")
        silenced_by, inhibited_by = status.get("silencedBy"), status.get("inhibitedBy")
        fingerprint, labels, annotations, link = self._texts_of(said)
        return ListedAlert(
            fingerprint,
            labels,
            annotations,
            self._time(said, "startsAt"),
            self._time(said, "endsAt"),
            state,
            tuple(map(str, silenced_by)) if silenced_by else (),
            tuple(map(str, inhibited_by)) if inhibited_by else (),
            self._names(said.get("receivers") or ()),
            link,
        )

    def _texts_of(self, said: Mapping[str, Any]) -> tuple[str, Mapping[str, str], Mapping[str, str], str]:
        """Fingerprint, labels, annotations and link: from one list to the next they are mostly the same."""
        labels, annotations, link = said["labels"], said.get("annotations"), said.get("generatorURL")
        known = self._before.get(said["fingerprint"])
        if known and known.labels == labels and known.annotations == annotations and known.generator_url == link:
            return known.fingerprint, known.labels, known.annotations, known.generator_url
        url = read_text(link)
        return (
            read_text(said["fingerprint"]),
            self._shared(read_texts(labels)),
            self._shared(read_texts(annotations)),
            self._texts.setdefault(url, url),
        )

    def _shared(self, texts: Mapping[str, str]) -> dict[str, str]:
        share = self._texts.setdefault
        return {share(name, name): share(value, value) for name, value in texts.items()}

    def _time(self, said: Mapping[str, Any], name: str) -> Millis | None:
        written = said.get(name)
        try:
            return self._times[written]
        except KeyError:
            try:
                at = self._times[written] = parse_time(written)
            except ValueError as error:
                raise Odd(f"{name}: {error}") from None
            return at

    def _names(self, receivers: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        said = tuple([receiver["name"] for receiver in receivers])
        names = self._receivers.get(said)
        if names is None:
            names = self._receivers[said] = tuple(map(read_text, said))
        return names


def read_silence(said: Any) -> Silence:
    wire = _Silence.model_validate(said)
    matchers, unreadable = [], []
    for one in wire.matchers:
        try:
            matchers.append(Matcher(one.name, one.value, is_regex=one.is_regex, is_equal=one.is_equal))
        except ValueError:  # one odd silence must not hide the others
            unreadable.append(f"{one.name}{'=' if one.is_equal else '!'}~{one.value}")
    return Silence(
        id=wire.id,
        matchers=tuple(matchers),
        starts_at=wire.starts_at,
        ends_at=wire.ends_at,
        updated_at=wire.updated_at,
        created_by=wire.created_by,
        comment=wire.comment,
        state=wire.status.state,
        annotations=wire.annotations,
        unreadable=tuple(unreadable),
    )
