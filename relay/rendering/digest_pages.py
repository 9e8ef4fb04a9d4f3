"""How the names of a digest come onto pages: which groups are neighbours, and how many a message holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from relay.notification import Content
from relay.notification_digest import DigestEntry, DigestLayout
from relay.severity import Severity

MAX_PAGES = 8
"""More pages than that nobody turns: a file names the rest."""
LONGEST_NAME = 80
LONGEST_PLACE = 60
_HEADING = 12  # what stands around a name: sign, count, colon
_SIGNS = 4  # around a place: what it does if it no longer fires, and a comma; there or not, pages keep their bounds
_COUNT = 6
_TIGHTER = 0.8  # how much less a page is given when its text has turned out too long
_TIGHTEST = 0.1


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


def entries_of(page: Page) -> tuple[DigestEntry, ...]:
    return tuple(entry for cluster in page for entry in cluster.entries)


def fill_pages(
    entries: Sequence[DigestEntry],
    *,
    room: float,
    weigh: Callable[[str], int],
    make: Callable[[Page, int, int], tuple[Content, bool]],
    before: DigestLayout | None = None,
    most: int = MAX_PAGES,
) -> tuple[list[Page], list[Content], tuple[DigestEntry, ...]]:
    """As many names on a page as fit: packed by estimate, and tighter if a template makes more of them.

    Args:
        entries: sorted as in a view.
        room: how much a page may weigh.
        weigh: what a text weighs on the platform.
        make: renders a page of that number while so many entries find no place; and whether it shows all it is to name.
        before: an earlier layout, of which every page stays that shows the same.
        most: pages.
    """
    tightest = room * _TIGHTEST
    while True:
        pages, rest = pages_of(entries, room=int(room), weigh=weigh, most=most)
        contents: list[Content] = []
        fine = True
        for position, page in enumerate(pages):
            known = before.page_of(position, entries_of(page)) if before else None
            content, whole = (known, True) if known else make(page, position + 1, len(rest))
            contents.append(content)
            fine = fine and whole
        if fine or room < tightest:
            return pages, contents, rest
        room *= _TIGHTER
