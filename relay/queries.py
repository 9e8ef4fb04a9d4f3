"""What fires now: Alertmanager's word merged with what only we know, narrowed to what somebody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from relay.alertmanager import Alertmanager, AlertmanagerError, ListedAlert
from relay.clock import MINUTE, Clock, Millis
from relay.ids import alert_code
from relay.matchers import Matcher
from relay.notification import AlertState, AlertView
from relay.routing import Router
from relay.severity import Severity, SeverityMap
from relay.store.database import Database
from relay.store.findings import Identity, Known, Remembered, known_firing, last_webhook, remembered_firing
from relay.terms import plain_word, read_terms

RECENT: Millis = 5 * MINUTE
"""How old a list may be that stands in for one that has not come yet."""
_SLICE = 2500
"""Alerts that are merged before other work gets its turn: some ten milliseconds."""


class Found(NamedTuple):
    """An alert that fires, and the channels whose routes show it. A tuple, as there are thousands (see `ListedAlert`)."""

    alertmanager: str
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    severity: Severity
    state: AlertState
    starts_at: Millis
    generator_url: str
    channels: frozenset[str]
    known: Known | None

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def code(self) -> str:
        return alert_code(self.alertmanager, self.fingerprint)

    @property
    def acked_by(self) -> str | None:
        return (self.known and self.known.acked_by) or None

    @property
    def view(self) -> AlertView:
        """As templates want it; made for those few that a page shows."""
        known = self.known
        silenced = known if self.state is AlertState.SILENCED else None
        return AlertView(
            code=self.code,
            fingerprint=self.fingerprint,
            labels=self.labels,
            annotations=self.annotations,
            severity=self.severity,
            state=self.state,
            starts_at=self.starts_at,
            generator_url=self.generator_url,
            flapping=known.flapping if known else False,
            acked_by=self.acked_by,
            acked_at=known.acked_at if known else None,
            ack_note=known.ack_note if known else "",
            silenced_by=silenced.silenced_by if silenced else "",
            silenced_until=silenced.silenced_until if silenced else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A cluster that does not answer; what is told of it was true at `since` (None: nothing is known)."""

    alertmanager: str
    error: AlertmanagerError
    since: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A cluster that has not answered yet; what is told of it was true at `since` (None: nothing is known)."""

    alertmanager: str
    since: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that fires, most severe and newest first."""

    alerts: Sequence[Found]
    away: Sequence[Away] = ()
    late: Sequence[Late] = ()

    @property
    def complete(self) -> bool:
        """Whether something is known of every cluster."""
        return all(one.since is not None for one in self.away) and all(one.since is not None for one in self.late)

    async def narrowed(self, wanted: Filter) -> list[Found]:
        """What the filter takes, in the same order."""
        found: list[Found] = []
        for start in range(0, len(self.alerts), _SLICE):
            found += [one for one in self.alerts[start : start + _SLICE] if wanted.takes(one)]
            await asyncio.sleep(0)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What somebody asked for. Words are sought in names, values and summaries, whatever their case."""

    words: tuple[str, ...] = ()
    matchers: tuple[Matcher, ...] = ()
    severities: frozenset[Severity] = frozenset()
    states: frozenset[AlertState] = frozenset()
    acked: bool | None = None
    holder: str | None = None
    everything: bool = False
    channels: frozenset[str] = frozenset()

    def takes(self, found: Found) -> bool:
        if self.channels and not self.everything and self.channels.isdisjoint(found.channels):
            return False
        if self.severities and found.severity not in self.severities:
            return False
        if not self._takes_state(found):
            return False
        if self.holder is not None and found.acked_by != self.holder:
            return False
        return all(one.matches(found.labels) for one in self.matchers) and self._says(found)

    def _takes_state(self, found: Found) -> bool:
        if self.acked is not None and bool(found.acked_by) is not self.acked:
            return False
        if self.states:
            return found.state in self.states
        held = self.holder is not None or self.acked is True  # an ack may be mirrored as a silence
        return found.state is AlertState.FIRING or self.everything or held

    def _says(self, found: Found) -> bool:
        if not self.words:
            return True
        text = "\n".join([*found.labels.values(), found.annotations.get("summary", ""), found.code]).lower()
        return all(word in text for word in self.words)


def parse_filter(text: str, *, who: str, channels: frozenset[str]) -> Filter:
    """Reads `db critical team="sre" silenced mine all`; raises `ValueError` for a bad matcher."""
    severities = {severity.label: severity for severity in Severity}
    states = {state.value: state for state in (AlertState.SILENCED, AlertState.INHIBITED)}
    known = {"acked", "unacked", "mine", "all", *severities, *states}
    matchers, terms = read_terms(text)
    flags = {term.lower() for term in terms} & known
    return Filter(
        words=tuple(plain_word(term) for term in terms if term.lower() not in known),
        matchers=tuple(matchers),
        severities=frozenset(severities[flag] for flag in flags & severities.keys()),
        states=frozenset(states[flag] for flag in flags & states.keys()),
        acked=True if "acked" in flags else False if "unacked" in flags else None,
        holder=who if "mine" in flags else None,
        everything="all" in flags,
        channels=channels,
    )


class Queries:
    """Asks all clusters at once; one that is away is answered for by our own state."""

    def __init__(
        self,
        database: Database,
        clusters: Mapping[str, Alertmanager],
        router: Router,
        severities: SeverityMap,
        clock: Clock,
    ) -> None:
        self._database = database
        self._clusters = clusters
        self._router = router
        self._severities = severities
        self._clock = clock

    async def firing(self) -> Picture:
        """What Alertmanager says now."""
        now, names = self._clock(), list(self._clusters)
        known, remembered, answers = await asyncio.gather(
            self._database.read(known_firing, names, now),
            self._database.read(remembered_firing, names, now),
            asyncio.gather(*(self._ask(name) for name in names)),
        )
        lists = {name: alerts for name, alerts, _ in answers if alerts is not None}
        away = [
            Away(alertmanager=name, error=error, since=await self._database.read(last_webhook, name))
            for name, _, error in answers
            if error is not None
        ]
        if away:
            remembered = await self._database.read(remembered_firing, list(lists), now)
        return Picture(alerts=await self._merged(lists, known, remembered), away=away)

    async def recalled(self, asked_at: Millis) -> Picture:
        """What was known before the answers to a question of `asked_at`: each cluster's last list, else our own state."""
        now, names = self._clock(), list(self._clusters)
        latest = {name: cluster.latest for name, cluster in self._clusters.items()}
        lists = {name: one for name, one in latest.items() if one is not None and one.asked_at >= asked_at - RECENT}
        known, remembered = await asyncio.gather(
            self._database.read(known_firing, names, now),
            self._database.read(remembered_firing, list(lists), now),
        )
        late = [
            Late(
                alertmanager=name,
                since=lists[name].asked_at if name in lists else await self._database.read(last_webhook, name),
            )
            for name in names
            if name not in lists or lists[name].asked_at < asked_at
        ]
        alerts = {name: listing.alerts for name, listing in lists.items()}
        return Picture(alerts=await self._merged(alerts, known, remembered), late=late)

    async def _ask(self, name: str) -> tuple[str, Sequence[ListedAlert] | None, AlertmanagerError | None]:
        try:
            return name, await self._clusters[name].alerts_matching(()), None
        except AlertmanagerError as error:
            return name, None, error

    async def _merged(
        self,
        lists: Mapping[str, Sequence[ListedAlert]],
        known: Mapping[Identity, Known],
        remembered: Iterable[Remembered],
    ) -> list[Found]:
        found: list[Found] = []
        for name, alerts in lists.items():
            for start in range(0, len(alerts), _SLICE):
                found += [self._found(name, one, known) for one in alerts[start : start + _SLICE]]
                await asyncio.sleep(0)
        found += [_remembered(one) for one in remembered]
        found.sort(key=lambda one: (-one.severity, -one.starts_at, one.fingerprint))
        await asyncio.sleep(0)
        return found

    def channels_of(self, name: str, alert: ListedAlert) -> frozenset[str]:
        """Where our routes lead it, by each receiver that Alertmanager gives it to."""
        route = self._router.route
        return frozenset().union(
            *[route(alert.labels, receiver=receiver, alertmanager=name) for receiver in alert.receivers or ("",)]
        )

    def _found(self, name: str, alert: ListedAlert, known: Mapping[Identity, Known]) -> Found:
        inhibited = AlertState.INHIBITED if alert.inhibited_by else AlertState.FIRING
        return Found(
            name,
            alert.fingerprint,
            alert.labels,
            alert.annotations,
            self._severities.of(alert.labels),
            AlertState.SILENCED if alert.silenced_by else inhibited,
            alert.starts_at or 0,
            alert.generator_url,
            self.channels_of(name, alert),
            known.get((name, alert.fingerprint)),
        )


def _remembered(one: Remembered) -> Found:
    return Found(
        one.alertmanager,
        one.fingerprint,
        one.labels,
        one.annotations,
        one.severity,
        one.state,
        one.starts_at,
        one.generator_url,
        one.channels,
        one.known,
    )
