"""Silences made by people: which labels to choose from, what a silence would hit, and making, prolonging, ending it.

Alertmanager keeps the silences; nothing here is a copy of its truth.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from relay.alertmanager import Alertmanager, AlertmanagerError, ListedAlert, Silence, guard, needs_utf8
from relay.clock import Clock, Millis
from relay.ids import short_code
from relay.matchers import Matcher
from relay.notification import AlertView
from relay.routing import Router

MAX_CHOICES = 30
MAX_VALUES = 20
"""Values that one regular expression lists; a group with more is not told apart by that label."""
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")  # what Go's regexp.QuoteMeta escapes, so that people can still read the rest
# What says where a single alert sits: as a part of several alerts they would narrow a silence to some of them.
_INSTANCE_LIKE = frozenset(
    {"instance", "host", "hostname", "node", "pod", "server", "target", "device", "mountpoint", "container", "ip"}
)
# What a scrape adds and a restart changes: a silence that names them ends by itself.
_FLEETING = frozenset(
    {"prometheus", "prometheus_replica", "replica", "monitor", "pod", "pod_ip", "uid", "id", "endpoint"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A matcher that a person may switch on or off."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True
    on: bool = True

    @property
    def matcher(self) -> Matcher:
        return Matcher(self.name, self.value, is_regex=self.is_regex, is_equal=self.is_equal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A silence that is being composed. It lasts for `length`, or `until` a moment; `asked` awaits a written reply."""

    alertmanager: str = ""
    choices: tuple[Choice, ...] = ()
    length: Millis | None = None
    until: Millis | None = None
    reason: str = ""
    asked: int | None = None  # number of the question that was asked; None until Telegram has told it
    asked_after: int = 0  # a message that is older than the question
    asking: str = ""  # length, reason
    typed: bool = False  # written as a command: there are no labels to choose

    @property
    def matchers(self) -> list[Matcher]:
        return [choice.matcher for choice in self.choices if choice.on]

    @property
    def sign(self) -> str:
        """Short, and another one for any other silence: what was shown is what is confirmed."""
        return short_code(self.alertmanager, *map(str, self.matchers), str(self.length), str(self.until))

    def toggled(self, index: int) -> Plan:
        choices = list(self.choices)
        if 0 <= index < len(choices):
            choices[index] = replace(choices[index], on=not choices[index].on)
        return replace(self, choices=tuple(choices))

    def ends(self, now: Millis) -> Millis | None:
        return self.until if self.until is not None else now + self.length if self.length is not None else None

    def is_answered_by(self, reply_to: int | None) -> bool:
        """Whether what was written in reply to that message answers our question."""
        if not self.asking or reply_to is None:
            return False
        return reply_to == self.asked if self.asked is not None else reply_to > self.asked_after

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Plan:
        known = {field.name: state[field.name] for field in fields(cls) if field.name in state}
        return cls(**{**known, "choices": tuple(Choice(**choice) for choice in state["choices"])})


def choices_of(alerts: Sequence[AlertView]) -> tuple[Choice, ...]:
    """The labels of these alerts as matchers: shared ones switched on, those that tell them apart offered.

    A shared label that a restart changes is off, and so is one that names a place when the group has several.
    """
    names = dict.fromkeys(name for alert in alerts for name in sorted(alert.labels, key=lambda one: one != "alertname"))
    choices = []
    for name in names:
        values = list(dict.fromkeys(alert.labels.get(name, "") for alert in alerts))
        if len(values) == 1:
            on = name not in _FLEETING and not (len(alerts) > 1 and name in _INSTANCE_LIKE and _several(alerts))
            choices.append(Choice(name=name, value=values[0], on=on))
        elif all(values) and len(values) <= MAX_VALUES:
            pattern = "|".join(_META.sub(r"\\\g<0>", value) for value in sorted(values))
            choices.append(Choice(name=name, value=pattern, is_regex=True, on=False))
    return tuple(choices[:MAX_CHOICES])


def _several(alerts: Sequence[AlertView]) -> bool:
    """Whether they sit in several places."""
    return any(len({alert.labels.get(name) for alert in alerts}) > 1 for name in _INSTANCE_LIKE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a silence would mute now: how many alerts, which of them are shown elsewhere, and why to think twice."""

    hits: tuple[ListedAlert, ...]
    elsewhere: tuple[ListedAlert, ...]
    doubt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A silence with its cluster and the code that people type."""

    alertmanager: str
    silence: Silence

    @property
    def code(self) -> str:
        return silence_code(self.alertmanager, self.silence.id)


def silence_code(alertmanager: str, silence_id: str) -> str:
    return "s" + short_code(alertmanager, silence_id)


class Silencer:
    """Asks and tells the clusters. Methods raise `AlertmanagerError` where one cluster is meant."""

    def __init__(self, clusters: Mapping[str, Alertmanager], router: Router, clock: Clock) -> None:
        self._clusters = clusters
        self._router = router
        self._clock = clock

    @property
    def clusters(self) -> Sequence[str]:
        return tuple(self._clusters)

    async def preview(self, alertmanager: str, matchers: Sequence[Matcher], channels: frozenset[str]) -> Preview:
        """`channels`: those of the chat; empty for a chat that is no destination."""
        hits = await self._clusters[alertmanager].alerts_matching(matchers)
        elsewhere = [alert for alert in hits if channels and not self._shown(alertmanager, alert, channels)]
        return Preview(hits=hits, elsewhere=tuple(elsewhere), doubt=guard(matchers))

    async def unreadable(self, alertmanager: str, matchers: Sequence[Matcher]) -> tuple[str, str] | None:
        """The version of an Alertmanager that is too old for one of the label names, and that name."""
        name = next((one.name for one in matchers if needs_utf8(one)), None)
        if name is None:
            return None
        status = await self._clusters[alertmanager].status()
        return None if status.features.utf8_names else (status.version, name)

    async def hits(self, matchers: Sequence[Matcher]) -> list[tuple[str, int | None]]:
        """How many alerts each cluster has that these would mute; None where it does not answer."""

        async def count(name: str) -> tuple[str, int | None]:
            try:
                return name, len(await self._clusters[name].alerts_matching(matchers))
            except AlertmanagerError:
                return name, None

        return await asyncio.gather(*(count(name) for name in self._clusters))

    async def create(self, plan: Plan, ends: Millis, who: str, comment: str) -> str:
        """The id of the new silence."""
        client = self._clusters[plan.alertmanager]
        return await client.create_silence(plan.matchers, self._clock(), ends, who, comment)

    async def standing(self) -> tuple[list[Standing], list[AlertmanagerError]]:
        """Active and pending silences of all clusters, the one that ends first in front; what went wrong."""
        found: list[Standing] = []
        problems: list[AlertmanagerError] = []
        answers = await asyncio.gather(*(self._ask(name) for name in self._clusters))
        for name, silences, problem in answers:
            found += [Standing(alertmanager=name, silence=silence) for silence in silences]
            problems += [problem] if problem is not None else []
        return sorted(found, key=lambda one: one.silence.ends_at or 0), problems

    async def _ask(self, name: str) -> tuple[str, Iterable[Silence], AlertmanagerError | None]:
        try:
            return name, await self._clusters[name].silences(), None
        except AlertmanagerError as error:
            return name, (), error

    async def find(self, code: str) -> list[Standing]:
        """By the code that we show, which hardly ever two share, or by Alertmanager's own id; empty if no cluster has it.

        Raises `AlertmanagerError` if nobody can know that, as one does not answer.
        """
        standing, problems = await self.standing()
        found = [one for one in standing if code in (one.code, one.silence.id)]
        if not found and problems:
            raise problems[0]
        return found

    async def get(self, alertmanager: str, silence_id: str) -> Standing:
        silence = await self._clusters[alertmanager].silence(silence_id)
        return Standing(alertmanager=alertmanager, silence=silence)

    async def extend(self, one: Standing, ends: Millis) -> Standing:
        """The same silence with another end; its id may be another afterwards."""
        client = self._clusters[one.alertmanager]
        silence_id = await client.extend(one.silence.id, ends)
        return Standing(alertmanager=one.alertmanager, silence=replace(one.silence, id=silence_id, ends_at=ends))

    async def end(self, one: Standing) -> None:
        await self._clusters[one.alertmanager].expire(one.silence.id)

    def _shown(self, alertmanager: str, alert: ListedAlert, channels: frozenset[str]) -> bool:
        return any(
            not channels.isdisjoint(self._router.route(alert.labels, receiver=name, alertmanager=alertmanager))
            for name in alert.receivers or ("",)
        )
