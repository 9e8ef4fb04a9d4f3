"""What a digest shows: many incidents of one channel in one living post, and the calls that keep that post true.

A digest has a head with the counts, pages that name every group, and a file where pages are not enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Literal

from relay.clock import Millis
from relay.notification import AlertState, AlertView, Changes, Content, IncidentView, Kind, Notice, Remote
from relay.severity import Severity

MAX_PAGES = 8
"""More pages than that nobody turns: a file names the rest."""
LONGEST_NAME = 80
LONGEST_PLACE = 60
_HEADING = 12  # what stands around a name: sign, count, colon
_SIGNS = 4  # around a place: what it does if it no longer fires, and a comma; there or not, pages keep their bounds
_COUNT = 6
_SERVICE = ("service", "app", "application", "component", "job", "namespace")
_PLACE = ("instance", "host", "hostname", "node", "pod", "server", "target", "job")
_NOT_SHARED = frozenset({"alertname", "severity"})
"""A silence by one of these alone would mute what nobody has seen yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestEntry:
    """One incident in a digest. `alert` is its worst, in the state of the whole incident."""

    post_id: int
    revision: int  # the group's, which is shown once a page with this entry was sent
    code: str
    alertmanager: str
    group_labels: Mapping[str, str]
    alert: AlertView
    alerts: int
    firing: int
    acked: int = 0
    own: bool = False  # it has a message of its own beside the digest
    waiting: Millis | None = None  # since when it has something to tell that this digest has not told

    @property
    def open(self) -> bool:
        return self.alert.state.open

    @property
    def severity(self) -> Severity:
        return self.alert.severity

    @property
    def taken(self) -> bool:
        """Somebody has all that fires of it."""
        return self.open and self.acked >= self.firing > 0

    @property
    def name(self) -> str:
        return self.group_labels.get("alertname") or self.alert.name

    @property
    def place(self) -> str:
        """What tells it from others of its name: what Alertmanager grouped by, else where its worst alert sits."""
        values = [value for name, value in sorted(self.group_labels.items()) if name != "alertname" and value]
        found = "/".join(values) or next((v for one in _PLACE if (v := self.alert.labels.get(one))), "")
        return " ".join(found.split()) or self.code

    @property
    def service(self) -> str:
        labels = {**self.alert.labels, **self.group_labels}
        return next((value for name in _SERVICE if (value := labels.get(name))), "")

    @property
    def matters(self) -> bool:
        """Somebody must still do something about it: it keeps a message of its own when the storm is over."""
        return self.alert.state is AlertState.FIRING and self.severity >= Severity.ERROR and not self.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Neighbours on a page: entries of one severity and name."""

    name: str
    severity: Severity
    entries: tuple[DigestEntry, ...]

    @property
    def open(self) -> bool:
        return any(entry.open for entry in self.entries)


Page = tuple[Cluster, ...]


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
        found = Counter(entry.service for entry in self.firing or self.entries if entry.service)
        return sorted(found.items(), key=lambda one: (-one[1], one[0]))

    @cached_property
    def by_name(self) -> Sequence[tuple[str, int]]:
        """Names whose firing groups nobody has yet, most first."""
        found = Counter(entry.name for entry in self.firing if not entry.taken and entry.name)
        return sorted(found.items(), key=lambda one: (-one[1], one[0]))

    @cached_property
    def shared(self) -> tuple[str, str, int] | None:
        """The label that most firing groups share, with its value and how many they are; None below half of them."""
        found: Counter[tuple[str, str]] = Counter()
        for entry in self.firing:
            found.update(pair for pair in entry.alert.labels.items() if pair[0] not in _NOT_SHARED)
        best = min(found.items(), key=lambda one: (-one[1], one[0]), default=None)
        if best is None or best[1] * 2 < len(self.firing) or best[1] < 2:
            return None
        return (*best[0], best[1])

    @property
    def taken(self) -> int:
        return sum(entry.taken for entry in self.entries)

    @property
    def silent(self) -> bool:
        """All of it came by silent routes."""
        return all(entry.alert.silent for entry in self.entries)

    @property
    def alerts(self) -> int:
        return sum(entry.alerts for entry in self.entries)

    def notice(self, now: Millis, title: str) -> Notice:
        """The digest as a notice, one alert for each group: any template for notices can show it, with true counts."""
        alerts = tuple(_as_alert(entry) for entry in self.entries)
        view = IncidentView(
            id=self.id,
            code=f"digest-{self.id}",
            alertmanager="",
            receiver="",
            group_labels={"alertname": title},
            external_url="",
            alerts=alerts,
            revision=sum(entry.revision for entry in self.entries),  # grows with every change of any
            opened_at=self.began_at,
            closed_at=self.ended_at,
        )
        fired = tuple(alert for alert, entry in zip(alerts, self.entries, strict=True) if entry.waiting and entry.open)
        ended = tuple(
            alert for alert, entry in zip(alerts, self.entries, strict=True) if entry.waiting and not entry.open
        )
        changes = Changes(fired=fired, resolved=ended, all_resolved=not view.open and bool(ended))
        late = self.began_at if self.late else None
        return Notice(
            kind=Kind.NEW, view=view, changes=changes, post_id=self.id, now=now, silent=self.silent, late=late
        )


def _as_alert(entry: DigestEntry) -> AlertView:
    labels = {"alertname": entry.name, **entry.group_labels, **entry.alert.labels}
    return replace(entry.alert, labels=labels, code=entry.code)


def clusters_of(entries: Sequence[DigestEntry]) -> Iterator[Cluster]:
    for (severity, name), group in groupby(entries, key=lambda one: (one.severity, one.name)):
        yield Cluster(name=name, severity=severity, entries=tuple(group))


def pages_of(
    entries: Sequence[DigestEntry], *, room: int, weigh: Callable[[str], int], most: int = MAX_PAGES
) -> tuple[list[Page], tuple[DigestEntry, ...]]:
    """The entries on at most so many pages, in order, and those that found no place.

    Args:
        entries: sorted as in a view.
        room: how much a page may weigh.
        weigh: what a text weighs on the platform.
        most: pages.
    """
    pages: list[list[DigestEntry]] = [[]]
    used, named = 0, None
    for position, entry in enumerate(entries):
        heading = weigh(entry.name[:LONGEST_NAME]) + _HEADING
        weight = weigh(entry.place[:LONGEST_PLACE]) + _SIGNS + (_COUNT if entry.alerts > 1 else 0)
        if (entry.severity, entry.name) != named:
            weight += heading
        if pages[-1] and used + weight > room:
            if len(pages) == most:
                return [tuple(clusters_of(page)) for page in pages], tuple(entries[position:])
            weight += heading if (entry.severity, entry.name) == named else 0
            used = 0
            pages.append([])
        pages[-1].append(entry)
        used, named = used + weight, (entry.severity, entry.name)
    return [tuple(clusters_of(page)) for page in pages if page], ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLayout:
    """A whole digest as one channel's contents: which of its parts names which entries.

    `inline` are those of the head, `named` those of each page, `listed` those of the file alone or, where nothing can be
    edited, of the one message. `blank` stands in for a page that is no longer needed and can no longer be removed.
    """

    head: Content
    inline: tuple[DigestEntry, ...] = ()
    pages: tuple[Content, ...] = ()
    named: tuple[tuple[DigestEntry, ...], ...] = ()
    listing: Content | None = None
    listed: tuple[DigestEntry, ...] = ()
    blank: Content | None = None


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
