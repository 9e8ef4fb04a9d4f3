"""What fires now: Alertmanager's word merged with what only we know, narrowed to what somebody asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from relay.alertmanager import Alertmanager, AlertmanagerError, ListedAlert
from relay.clock import Clock, Millis
from relay.ids import short_code
from relay.matchers import Matcher, parse_matcher
from relay.notification import AlertState, AlertView
from relay.routing import Router
from relay.severity import Severity, SeverityMap
from relay.store.database import Database
from relay.store.findings import Identity, Known, known_firing, last_webhook, remembered_firing

_SLICE = 500
"""Alerts that are merged before other work gets its turn."""
_TOKEN = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
_OPERATOR = re.compile(r"=|!=|=~|!~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An alert that fires, and the channels whose routes show it."""

    alertmanager: str
    view: AlertView
    channels: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A cluster that does not answer; what is told of it was true at `since` (None: nothing is known)."""

    alertmanager: str
    reason: str
    since: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that fires, most severe and newest first."""

    alerts: tuple[Found, ...]
    away: tuple[Away, ...] = ()

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
        view = found.view
        if self.channels and not self.everything and self.channels.isdisjoint(found.channels):
            return False
        if self.severities and view.severity not in self.severities:
            return False
        if not self._takes_state(view):
            return False
        if self.holder is not None and view.acked_by != self.holder:
            return False
        return all(one.matches(view.labels) for one in self.matchers) and self._says(view)

    def _takes_state(self, view: AlertView) -> bool:
        if self.acked is not None and bool(view.acked_by) is not self.acked:
            return False
        if self.states:
            return view.state in self.states
        return view.state is AlertState.FIRING or self.everything or self.holder is not None

    def _says(self, view: AlertView) -> bool:
        if not self.words:
            return True
        text = "\n".join([*view.labels.values(), view.annotations.get("summary", ""), view.code]).lower()
        return all(word in text for word in self.words)


def read_terms(text: str) -> tuple[list[Matcher], list[str]]:
    """The matchers and the other words of a filter, as they were written; raises `ValueError` for a bad matcher."""
    tokens = _TOKEN.findall(text)
    matchers = [parse_matcher(token) for token in tokens if _OPERATOR.search(token)]
    return matchers, [token for token in tokens if not _OPERATOR.search(token)]


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


def plain_word(term: str) -> str:
    """What is sought: without quotes, in any case."""
    return term.strip('"').lower()


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
        now = self._clock()
        known, answers = await asyncio.gather(
            self._database.read(known_firing, list(self._clusters), now),
            asyncio.gather(*(self._ask(name) for name in self._clusters)),
        )
        answered = {name: alerts for name, alerts, _ in answers if alerts is not None}
        found: list[Found] = []
        for name, alerts in answered.items():
            for start in range(0, len(alerts), _SLICE):
                found += [self._found(name, one, known) for one in alerts[start : start + _SLICE]]
                await asyncio.sleep(0)
        for one in await self._database.read(remembered_firing, list(answered), now):
            found.append(Found(alertmanager=one.alertmanager, view=one.view, channels=one.channels))
        found.sort(key=lambda one: (-one.view.severity, -one.view.starts_at, one.view.fingerprint))
        await asyncio.sleep(0)
        away = [
            Away(alertmanager=name, reason=reason, since=await self._database.read(last_webhook, name))
            for name, alerts, reason in answers
            if alerts is None
        ]
        return Picture(alerts=tuple(found), away=tuple(away))

    async def _ask(self, name: str) -> tuple[str, Sequence[ListedAlert] | None, str]:
        try:
            return name, await self._clusters[name].alerts_matching(()), ""
        except AlertmanagerError as error:
            return name, None, str(error)

    def channels_of(self, name: str, alert: ListedAlert) -> frozenset[str]:
        """Where our routes lead it, by each receiver that Alertmanager gives it to."""
        receivers: Iterable[str] = alert.receivers or ("",)
        return frozenset(
            channel
            for receiver in receivers
            for channel in self._router.route(alert.labels, receiver=receiver, alertmanager=name)
        )

    def _found(self, name: str, alert: ListedAlert, known: Mapping[Identity, Known]) -> Found:
        mine = known.get((name, alert.fingerprint))
        inhibited = AlertState.INHIBITED if alert.inhibited_by else AlertState.FIRING
        view = AlertView(
            code=short_code(name, alert.fingerprint),
            fingerprint=alert.fingerprint,
            labels=alert.labels,
            annotations=alert.annotations,
            severity=self._severities.of(alert.labels),
            state=AlertState.SILENCED if alert.silenced_by else inhibited,
            starts_at=alert.starts_at or 0,
            generator_url=alert.generator_url,
            flapping=mine.flapping if mine else False,
            acked_by=mine.acked_by or None if mine else None,
            acked_at=mine.acked_at if mine else None,
            ack_note=mine.ack_note if mine else "",
            silenced_by=mine.silenced_by if mine and alert.silenced_by else "",
            silenced_until=mine.silenced_until if mine and alert.silenced_by else None,
        )
        return Found(alertmanager=name, view=view, channels=self.channels_of(name, alert))
