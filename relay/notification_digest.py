"""What a digest shows: many incidents of one channel in one living post, and the calls that keep that post true.

A digest has a head with the counts, pages that name every group, and a file where pages are not enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Literal

from relay.clock import Millis
from relay.notification import AlertState, AlertView, Changes, Content, IncidentView, Kind, Notice, Remote
from relay.severity import Severity

_SERVICE = ("service", "app", "application", "component", "job", "namespace")
_PLACE = ("instance", "host", "hostname", "node", "pod", "server", "target", "job")
_NOT_SHARED = frozenset({"alertname", "severity"})
"""A silence by one of these alone would mute what nobody has seen yet."""


@dataclass(frozen=True, kw_only=True)
class DigestEntry:
    """One incident in a digest. Entries are equal that look the same, whatever has been told of them.

    `alert` is its worst, made to stand for the whole incident: with its state and code and the labels of the group.
    """

    post_id: int
    revision: int  # the group's, which is shown once a page with this entry was sent
    alertmanager: str
    group_labels: Mapping[str, str]
    alert: AlertView
    alerts: int
    firing: int
    acked: int = 0
    own: bool = False  # it has a message of its own beside the digest
    quiet: bool = field(default=False, compare=False)  # told without sound, whatever its routes say
    rings: bool = field(default=False, compare=False)  # somebody must come, and was not told so
    waiting: Millis | None = field(default=None, compare=False)  # has something since then that was not told here

    @property
    def code(self) -> str:
        return self.alert.code

    @cached_property
    def open(self) -> bool:
        return self.alert.state.open

    @cached_property
    def severity(self) -> Severity:
        return self.alert.severity

    @property
    def silent(self) -> bool:
        return self.quiet or self.alert.silent

    @cached_property
    def taken(self) -> bool:
        """Somebody has all that fires of it."""
        return self.open and self.acked >= self.firing > 0

    @cached_property
    def name(self) -> str:
        return self.group_labels.get("alertname") or self.alert.name

    @cached_property
    def place(self) -> str:
        """What tells it from others of its name: what Alertmanager grouped by, else where its worst alert sits."""
        values = [value for name, value in sorted(self.group_labels.items()) if name != "alertname" and value]
        found = "/".join(values) or next((v for one in _PLACE if (v := self.alert.labels.get(one))), "")
        return " ".join(found.split()) or self.code

    @cached_property
    def service(self) -> str:
        labels = self.alert.labels
        for name in _SERVICE:
            if value := labels.get(name):
                return value
        return ""

    @property
    def matters(self) -> bool:
        """Somebody must still do something about it: it keeps a message of its own when the storm is over."""
        return self.alert.state is AlertState.FIRING and self.severity >= Severity.ERROR and not self.taken


@dataclass(frozen=True)
class DigestView:
    """A digest as of now. `entries` are sorted: worst first, then by name and place.

    Whether they still fire does not matter for the order: what resolves must change its own page and no other.
    """

    id: int
    entries: tuple[DigestEntry, ...]
    began_at: Millis
    ended_at: Millis | None = None  # the storm is over; the post lives on while something in it fires
    told: Mapping[str, int] | None = None  # at the storm's end: how many groups, alerts and critical groups it was
    late: bool = False  # nothing could be sent when it began
    closing: bool = False  # a file is to keep what the pages will no longer name
    several_alertmanagers: bool = False

    @cached_property
    def firing(self) -> tuple[DigestEntry, ...]:
        return tuple(entry for entry in self.entries if entry.open)

    @property
    def open(self) -> bool:
        return bool(self.firing)

    @cached_property
    def severity(self) -> Severity:
        return max((entry.severity for entry in self.firing or self.entries), default=Severity.WARNING)

    @cached_property
    def states(self) -> Mapping[AlertState, int]:
        return Counter(entry.alert.state for entry in self.entries)

    @cached_property
    def by_severity(self) -> Sequence[tuple[Severity, int]]:
        """Firing groups by severity, worst first; of a digest in which nothing fires, what fired."""
        return sorted(Counter(entry.severity for entry in self.firing or self.entries).items(), reverse=True)

    @cached_property
    def by_service(self) -> Sequence[tuple[str, int]]:
        """Firing groups by service, most first."""
        found = Counter(service for entry in self.firing or self.entries if (service := entry.service))
        return sorted(found.items(), key=lambda one: (-one[1], one[0]))

    @cached_property
    def by_name(self) -> Sequence[tuple[str, int]]:
        """Names whose firing groups nobody has yet, most first."""
        found = Counter(entry.name for entry in self.firing if not entry.taken and entry.name)
        return sorted(found.items(), key=lambda one: (-one[1], one[0]))

    @cached_property
    def shared(self) -> tuple[str, str, int] | None:
        """The label that most firing groups share, with its value and how many they are; None below half of them."""
        pairs = Counter(chain.from_iterable(entry.alert.labels.items() for entry in self.firing))
        found = [(pair, count) for pair, count in pairs.items() if count > 1 and pair[0] not in _NOT_SHARED]
        best = min(found, key=lambda one: (-one[1], one[0]), default=None)
        if best is None or best[1] * 2 < len(self.firing):
            return None
        return (*best[0], best[1])

    @property
    def taken(self) -> int:
        return sum(entry.taken for entry in self.entries)

    @property
    def silent(self) -> bool:
        """All of it came by silent routes."""
        return all(entry.silent for entry in self.entries)

    @property
    def alerts(self) -> int:
        return sum(entry.alerts for entry in self.entries)

    @property
    def revision(self) -> int:
        """Grows whenever there is news."""
        return sum(entry.revision for entry in self.entries) + self.closing

    def notice(self, now: Millis, name: str, *, over: str = "") -> Notice:
        """The digest as a notice, one alert for each group: any template for notices can show it, with true counts.

        It is called `name`, so that mails keep their thread; once the storm is over, its title is `over`.
        """
        view = IncidentView(
            id=self.id,
            code=f"digest-{self.id}",
            alertmanager="",
            receiver="",
            group_labels={"alertname": name},
            external_url="",
            alerts=tuple(entry.alert for entry in self.entries),
            revision=self.revision,
            opened_at=self.began_at,
            closed_at=self.ended_at,
            title=over if self.ended_at else "",
        )
        fired = tuple(entry.alert for entry in self.entries if entry.waiting and entry.open and entry.rings)
        ended = tuple(entry.alert for entry in self.entries if entry.waiting and not entry.open)
        changes = Changes(fired=fired, resolved=ended, all_resolved=not view.open and bool(ended))
        late = self.began_at if self.late else None
        silent = self.silent or bool(self.ended_at)
        return Notice(kind=Kind.NEW, view=view, changes=changes, post_id=self.id, now=now, silent=silent, late=late)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLayout:
    """A whole digest as one channel's contents: which of its parts names which entries of the view it was made from.

    `inline` are those of the head, `named` those of each page, `listed` those of the file alone or, where nothing can be
    edited, of the one message. `listing` renders the file, which has every group, when it is to be sent. `blank` stands in
    for a page that is no longer needed and can no longer be removed.
    """

    view: DigestView
    head: Content
    inline: tuple[DigestEntry, ...] = ()
    pages: tuple[Content, ...] = ()
    named: tuple[tuple[DigestEntry, ...], ...] = ()
    listing: Callable[[], Content] | None = None
    listed: tuple[DigestEntry, ...] = ()
    blank: Content | None = None

    def head_of(self, view: DigestView) -> tuple[Content, bool] | None:
        """The head, if one of that view would say the same, and whether it names all."""
        return (self.head, bool(self.inline)) if self.view == view else None

    def page_of(self, position: int, entries: tuple[DigestEntry, ...]) -> Content | None:
        """The page at that place, if it shows these and what they do."""
        shown = position < len(self.pages) and self.named[position] == entries
        return self.pages[position] if shown else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestCall:
    """One remote call for a digest.

    `remote` is the message to edit, or the head that a page or a file belongs to; None posts the head itself.
    """

    kind: Literal["post", "edit", "remove", "attach"]
    content: Content | None = None
    remote: Remote | None = None
    remotes: tuple[Remote, ...] = ()  # to remove
    silent: bool = True
    recipients: tuple[str, ...] = ()  # who alone gets it, since the others have it (email)
