"""What a destination is shown of an incident, and what came of showing it: the words between planning, channels and delivery.

Everything here is a value. A `Notice` says what to show; a channel renders it into its own content and sends that once;
the answer is `Sent` or a `DeliveryError` that says whose failure it is and whether trying again can help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from relay.clock import Millis
from relay.severity import Severity

if TYPE_CHECKING:
    from relay.checked import Checked
    from relay.notification_digest import DigestCall, DigestLayout, DigestView


class AlertState(StrEnum):
    """What is known of one alert now. Silenced and inhibited alerts still fire; unreported ones left without a resolve."""

    def __init__(self, value: str) -> None:
        self.open = value in ("firing", "silenced", "inhibited")  # asked of every alert, several times

    FIRING = "firing"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    UNREPORTED = "unreported"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """One alert as of now. The `*_rev` fields are the group's revisions at which that happened, 0 for never."""

    code: str  # five letters, unique enough to type: /alert kzrpt
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    severity: Severity
    state: AlertState
    starts_at: Millis
    ends_at: Millis | None = None  # None while it fires
    generator_url: str = ""
    episode: int = 1  # how often it has fired, this run included
    flapping: bool = False
    silent: bool = False  # came to this channel by a silent route only
    acked_by: str | None = None
    acked_at: Millis | None = None
    ack_note: str = ""
    silenced_until: Millis | None = None
    silenced_by: str = ""
    fired_rev: int = 0  # this episode began or reopened, to be announced
    raised_rev: int = 0  # severity went up
    changed_rev: int = 0  # anything visible changed
    resolved_rev: int = 0  # this episode ended

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")


@dataclass(frozen=True, kw_only=True)
class IncidentView:
    """One run of an alert group as one channel sees it: only the alerts routed there.

    `alerts` are sorted: open before ended, most severe first, newest first. Revisions are the group's.
    """

    id: int
    code: str  # g + five letters
    alertmanager: str
    receiver: str
    group_labels: Mapping[str, str]
    external_url: str
    alerts: tuple[AlertView, ...]
    revision: int
    opened_at: Millis
    closed_at: Millis | None = None
    truncated: int = 0  # alerts that Alertmanager counted but did not list
    repeat_rev: int = 0
    ack_rev: int = 0
    silence_rev: int = 0
    several_alertmanagers: bool = False  # name the cluster in texts
    test: bool = False  # a marked test alert
    title: str = ""  # what it is called, whatever its labels say

    @cached_property
    def firing(self) -> tuple[AlertView, ...]:
        """Open alerts, the silenced and inhibited included: they still fire."""
        return tuple(alert for alert in self.alerts if alert.state.open)

    @cached_property
    def resolved(self) -> tuple[AlertView, ...]:
        return tuple(alert for alert in self.alerts if not alert.state.open)

    @cached_property
    def open(self) -> bool:
        return any(alert.state.open for alert in self.alerts) or self.truncated > 0

    @cached_property
    def severity(self) -> Severity:
        """The worst that fires now; when nothing fires, the worst that did."""
        return max((alert.severity for alert in self.firing or self.alerts), default=Severity.WARNING)

    @property
    def silent(self) -> bool:
        """Arrives without sound: all that fires (or did) came by silent routes."""
        return all(alert.silent for alert in self.firing or self.alerts)

    @cached_property
    def common_labels(self) -> dict[str, str]:
        return _common([alert.labels for alert in self.alerts])

    @cached_property
    def common_annotations(self) -> dict[str, str]:
        return _common([alert.annotations for alert in self.alerts])

    @property
    def acked(self) -> tuple[AlertView, ...]:
        return tuple(alert for alert in self.firing if alert.acked_by)


def _common(maps: Sequence[Mapping[str, str]]) -> dict[str, str]:
    common = dict(maps[0]) if maps else {}
    for other in maps[1:]:
        if not common.items() <= other.items():
            common = {name: value for name, value in common.items() if other.get(name) == value}
    return common


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The difference between what a post announced last and the view: what a reply or a mail tells."""

    fired: tuple[AlertView, ...] = ()  # new, or firing again
    raised: tuple[AlertView, ...] = ()
    resolved: tuple[AlertView, ...] = ()
    all_resolved: bool = False
    repeat: bool = False
    acked: bool = False  # ack or unack
    silenced: bool = False  # silence made or ended


class Kind(StrEnum):
    """The step a post takes: each is one remote call."""

    NEW = "new"  # the incident's first message here; for append-only channels every message
    REPLY = "reply"  # a timed event that rings, in reply to the living message
    EDIT = "edit"  # brings the living message up to date
    ATTACH = "attach"  # the full list as a document
    FAREWELL = "farewell"  # a last edit: no longer shown here


Remote = Mapping[str, Any]
"""The full address the platform returned for a message: JSON values, meaningful to its channel type alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What to show: the step, the state and what changed. `remote` is the living message (None before the first)."""

    kind: Kind
    view: IncidentView
    changes: Changes
    post_id: int
    now: Millis
    remote: Remote | None = None
    silent: bool = False  # deliver without sound
    plain: bool = False  # the platform refused the formatted text: send text only, no markup, no link buttons
    late: Millis | None = None  # when it really happened, if that is long ago (after an outage)
    instead_of: str = ""  # shown here because that channel does not deliver


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The platform took it. `refused` names recipients that it refused for good (email)."""

    remote: Remote
    refused: Mapping[str, str] = field(default_factory=dict)
    retry_recipients: Sequence[str] = ()  # refused for now: they alone get it again


Reason = Literal[
    "connection",  # no answer, or the connection broke
    "timeout",  # sent, outcome unknown
    "rate_limited",
    "server_error",  # 5xx, or an answer that makes no sense
    "unauthorized",  # token, password
    "forbidden",  # kicked, blocked, not a member
    "not_found",  # chat, channel, recipient
    "moved",  # to `moved_to`
    "gone",  # the message to edit was deleted
    "unparsable",  # the platform cannot read this text: send it plain
    "too_large",
    "rejected",  # any other refusal of this post
    "template",
    "expired",  # older than max_age
    "channel_removed",
]


class DeliveryError(Exception):
    """One remote call failed.

    Args:
        reason: one of the closed list above; becomes a metric label.
        detail: for people; never holds a secret.
        scope: "destination" pauses the whole destination, "post" concerns this post alone.
        permanent: trying the same again cannot help.
        retry_after: seconds the platform told us to wait.
        moved_to: the new address, when the platform told us one.
        stands: what is "gone" for us people still see as it was: its end must be told all the same.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        scope: Literal["post", "destination"],
        permanent: bool = False,
        retry_after: float | None = None,
        moved_to: Mapping[str, Any] | None = None,
        stands: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
        self.scope = scope
        self.permanent = permanent
        self.retry_after = retry_after
        self.moved_to = moved_to
        self.stands = stands


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a channel's platform can do; planning decides by these, never by a channel's type."""

    editable: bool  # one living message; without it every message is the next of a thread
    attachable: bool = False  # a full list can be sent as a document of its own
    removes: int = 0  # messages that one call can delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a destination takes: messages in a window of seconds, tried in order; empty for no limit of its own."""

    destination: tuple[tuple[int, float], ...] = ()  # e.g. ((1, 1.0), (20, 60.0))
    account: tuple[tuple[int, float], ...] = ()  # shared by all destinations with the same account key
    reserved: int = 0  # of the last window's budget, kept for bot answers


class Content(Protocol):
    """A rendered notice, ready to send. Two contents with the same `fingerprint` look the same."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def files(self) -> Mapping[str, bytes]:
        """What `relay render` prints and writes: file name to bytes, the first the main one."""
        ...


class Channel(Protocol):
    """A named destination of the config. It sends once and classifies; it never sleeps and never retries."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def destination(self) -> str:
        """Key of order and limits, without a secret: `telegram:-100123` (chat without topic), `email:smtp.host/…`."""
        ...

    @property
    def account(self) -> str: ...  # key of the limits that destinations share: the bot, the workspace, the server
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def limits(self) -> Limits: ...
    def overflows(self, view: IncidentView) -> bool: ...  # a document should follow what it cannot show (`attachable`)
    def render(
        self, notice: Notice
    ) -> Content: ...  # pure; a failing template of a user falls back to the built-in one
    async def send(self, content: Content) -> Sent: ...  # one remote call; raises only `DeliveryError`
    def lay_out(
        self, view: DigestView, now: Millis, *, plain: bool = False, before: DigestLayout | None = None
    ) -> DigestLayout: ...  # pure, as `render`; may take over what looks as in `before`, an earlier one
    async def send_digest(self, call: DigestCall) -> Sent: ...  # one remote call of a digest, as `send`
    def follow(self, moved_to: Mapping[str, Any]) -> None: ...  # a migrated chat: the new address from now on
    def is_elsewhere(self, remote: Remote) -> bool: ...  # that living message stands where the config no longer sends
    async def check(self) -> Checked: ...  # asks the platform, shows nobody anything; raises only `DeliveryError`
    async def close(self) -> None: ...
