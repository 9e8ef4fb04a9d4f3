"""What every command needs: the state, the clusters, who people are, the texts. Built once, by the app."""

from __future__ import annotations

import asyncio
import gettext
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

from relay.access import BotConfig
from relay.acking import Acker, Identity
from relay.alertmanager import Alertmanager
from relay.bot.pages import Pages
from relay.bot.people import People
from relay.bot.values import Seat
from relay.clock import Clock, Millis
from relay.metrics import Metrics
from relay.queries import Queries
from relay.routing import Router
from relay.severity import SeverityMap
from relay.silencing import Silencer
from relay.store.database import Database


class Contact(Protocol):
    """What is known of a cluster: whether it answered last, when that was, its version."""

    @property
    def up(self) -> bool: ...

    @property
    def version(self) -> str | None: ...

    @property
    def answered_at(self) -> Millis | None: ...


@dataclass(slots=True)
class Claims:
    """Alerts that somebody is about to take: the text is on its way, the ack is not written yet."""

    _held: dict[Identity, str] = field(default_factory=dict)

    def of(self, identity: Identity) -> str | None:
        return self._held.get(identity)

    def take(self, identities: Iterable[Identity], name: str) -> None:
        self._held.update(dict.fromkeys(identities, name))

    def drop(self, identities: Iterable[Identity]) -> None:
        for identity in identities:
            self._held.pop(identity, None)


@dataclass(slots=True)
class Turns:
    """One after the other for each key: two taps that follow closely must not both start from the same state."""

    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def of(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            self._locks[key] = lock = asyncio.Lock()
        return lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The bot's surroundings. `wake` and `refresh` tell delivery and the pollers that a person changed something."""

    config: BotConfig
    database: Database
    acker: Acker
    queries: Queries
    silencer: Silencer
    channels: Sequence[str]
    started_at: Millis
    people: People
    seats: Callable[[], Sequence[Seat]]
    clusters: Mapping[str, Alertmanager]
    contacts: Mapping[str, Contact]
    router: Router
    severities: SeverityMap
    pages: Pages
    languages: Mapping[str, gettext.NullTranslations]
    metrics: Metrics
    clock: Clock
    monotonic: Callable[[], float]
    new_id: Callable[[], int]
    new_token: Callable[[], str]
    zone: ZoneInfo  # where no channel says another
    wake: Callable[[Iterable[str]], None]
    refresh: Callable[[str], Awaitable[None]]
    claims: Claims = field(default_factory=Claims)
    turns: Turns = field(default_factory=Turns)

    @property
    def several(self) -> bool:
        """Whether texts must name the cluster."""
        return len(self.clusters) > 1
