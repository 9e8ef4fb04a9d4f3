"""Decides what is worth a report: how bad, for how long, and what nobody can know yet. No I/O and no clock of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from gettext import NullTranslations
from typing import Protocol
from zoneinfo import ZoneInfo

from relay.clock import MINUTE, SECOND, Millis
from relay.ingest.own import WATCHDOG_MISSING
from relay.rendering.translations import load_translations
from relay.store.watching import ChannelState, Look
from relay.watching import concerns
from relay.watching.concerns import Concern, Subject

FAILING_FOR: Millis = 5 * MINUTE
"""A destination that cannot be reached is reported after so long; one that refuses for good, at once."""
OLD: Millis = 5 * MINUTE
OLD_UNTIL: Millis = MINUTE
"""The queue is old no longer when its oldest post is younger than that."""
STEADY = 30.0
"""Seconds that a figure which depends on the wall clock must last: a clock that jumps makes no alarm."""
UNREACHABLE_FOR = 300.0
SLOW = 2.0
SLOW_IN_A_ROW = 3


class Contact(Protocol):
    """What is known of an Alertmanager that we poll."""

    @property
    def up(self) -> bool: ...

    @property
    def answered_at(self) -> Millis | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the config gives us to watch."""

    zones: Mapping[str, ZoneInfo]  # of every channel: its owners read times so
    fallbacks: Mapping[str, str | None]
    watchdogs: Mapping[str, Millis]  # alertmanager -> how long its beat may stay away
    health_url: str = ""  # where people see how the relay is; its reports lead there


@dataclass(slots=True)
class Judge:
    """Remembers since when a thing has been as it is, in monotonic seconds: what one process has seen itself.

    `judge` says for each subject what is wrong (a concern), that all is well (None), or leaves it out: nobody knows yet,
    and whatever was reported stays.
    """

    watched: Watched
    started: float
    _since: dict[Subject, float] = field(default_factory=dict)
    _beats: dict[str, tuple[Millis | None, float]] = field(default_factory=dict)
    _beat_seen: set[str] = field(default_factory=set)
    _commits: list[bool] = field(default_factory=list)  # of the latest, whether they were slow
    _russian: NullTranslations | None = None  # read when something fails

    def judge(
        self, look: Look, contacts: Mapping[str, Contact], now: Millis, tick: float
    ) -> Mapping[Subject, Concern | None]:
        """`now` is the wall clock's time, `tick` monotonic seconds."""
        verdicts: dict[Subject, Concern | None] = {}
        reported = {concerns.subject_of(firing) for firing in look.own}
        for channel, state in look.channels.items():
            verdicts.update(self._judge_channel(channel, state, reported, now, tick))
        for name, contact in contacts.items():
            verdicts.update(self._judge_contact(name, contact, now, tick))
        for name, timeout in self.watched.watchdogs.items():
            verdicts.update(self._judge_watchdog(name, timeout, look.beats.get(name), now, tick))
        if len(self._commits) == SLOW_IN_A_ROW and len(set(self._commits)) == 1:
            verdicts[Subject(concerns.STORE_SLOW)] = concerns.store_slow(now) if self._commits[0] else None
        for subject in reported:  # of what is no longer in the config
            if subject not in verdicts and not self._is_known(subject, contacts):
                verdicts[subject] = None
        return verdicts

    def note_commit(self, seconds: float) -> None:
        """How long an empty transaction took."""
        self._commits = [*self._commits, seconds > SLOW][-SLOW_IN_A_ROW:]

    def _judge_channel(
        self, channel: str, state: ChannelState, reported: set[Subject], now: Millis, tick: float
    ) -> Iterator[tuple[Subject, Concern | None]]:
        failing = Subject(concerns.FAILING, channel)
        paused = state.paused_since is not None
        lasted = self._lasted(failing, paused, tick)
        bad = paused and (state.permanent or (now - (state.paused_since or now) >= FAILING_FOR and lasted >= STEADY))
        is_failing = bad or (paused and failing in reported)
        yield failing, self._tell_failing(channel, state) if is_failing else None
        lagging = Subject(concerns.QUEUE_OLD, channel)
        bound = OLD_UNTIL if lagging in reported else OLD
        old = state.oldest is not None and now - state.oldest > bound and not is_failing
        lasted = self._lasted(lagging, old, tick)
        if not old or lasted >= STEADY:
            yield lagging, concerns.queue_old(channel, now) if old else None
        yield Subject(concerns.DEAD_LETTERS, channel), concerns.dead_letters(channel, now) if state.dead else None

    def _tell_failing(self, channel: str, state: ChannelState) -> Concern:
        if self._russian is None:
            self._russian = load_translations("ru")
        zone, stand_in = self.watched.zones[channel], self.watched.fallbacks.get(channel)
        return concerns.failing(channel, state, zone, stand_in, self._russian)

    def _judge_contact(
        self, name: str, contact: Contact, now: Millis, tick: float
    ) -> Iterator[tuple[Subject, Concern | None]]:
        subject = Subject(concerns.UNREACHABLE, name)
        lasted = self._lasted(subject, not contact.up, tick)
        if not contact.up and lasted >= UNREACHABLE_FOR:
            yield subject, concerns.unreachable(name, now)
        elif contact.up and contact.answered_at is not None:
            yield subject, None

    def _judge_watchdog(
        self, name: str, timeout: Millis, seen_at: Millis | None, now: Millis, tick: float
    ) -> Iterator[tuple[Subject, Concern | None]]:
        known, since = self._beats.setdefault(name, (seen_at, self.started))
        if seen_at != known:  # a beat came, to us or to another replica
            since = tick
            self._beats[name] = (seen_at, since)
            self._beat_seen.add(name)
        subject = Subject(WATCHDOG_MISSING, name)
        if tick - since > timeout / SECOND:
            yield subject, concerns.watchdog_missing(name, timeout, seen_at, now)
        elif name in self._beat_seen:
            yield subject, None

    def _lasted(self, subject: Subject, condition: bool, tick: float) -> float:  # noqa: FBT001  what is the case now
        if not condition:
            self._since.pop(subject, None)
            return 0.0
        return tick - self._since.setdefault(subject, tick)

    def _is_known(self, subject: Subject, contacts: Mapping[str, Contact]) -> bool:
        named = {
            concerns.UNREACHABLE: contacts,
            WATCHDOG_MISSING: self.watched.watchdogs,
            concerns.STORE_SLOW: {"": None},
        }
        return subject.name in named.get(subject.alert, self.watched.zones)
