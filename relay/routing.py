"""Which channels an alert goes to: the ordered routes of the config, tried for each alert by its own labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from relay.matchers import Matcher, parse_matchers
from relay.sections import Section
from relay.severity import SeverityMap

_K = TypeVar("_K")
_V = TypeVar("_V")
_REMEMBERED = 10_000  # verdicts kept; a storm's alerts mostly differ in labels that no route looks at


def _checked(text: str) -> str:
    if not parse_matchers(text):
        raise ValueError('empty, so it would match everything: leave it out, or write for example severity="critical"')
    return text


MatcherText = Annotated[str, AfterValidator(_checked)]
"""One or more matchers in Alertmanager's syntax, checked when the config is read."""

Name = Annotated[str, Field(min_length=1)]


class RouteConfig(Section):
    """One entry of `routes:`. All its conditions must hold; without any it takes every alert."""

    matchers: list[MatcherText] = Field(default_factory=list)
    receiver: Name | None = None
    alertmanager: Name | None = None
    channels: list[Name]
    continue_: Annotated[bool, Field(alias="continue")] = False
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTrace:
    """What became of one route for one alert, and in words why."""

    number: int  # from 1, as in the config
    route: RouteConfig
    outcome: Literal["matched", "not matched", "skipped"]
    why: str


@dataclass(frozen=True, slots=True)
class _Condition:
    """A matcher and how it takes the severity label: by the raw value or by the level that the value stands for."""

    matcher: Matcher
    severity: SeverityMap
    fitting: dict[str, bool] = field(default_factory=dict)  # of values seen: most labels have few

    def holds(self, labels: Mapping[str, str]) -> bool:
        """A positive one if the raw value or the level fits; a negative one only if neither does."""
        return self._fits(labels) is self.matcher.is_equal

    def why(self, labels: Mapping[str, str]) -> str:
        """The label and what the matcher says of it: `severity="info" is not "critical"`."""
        name, value, level = self.matcher.name, labels.get(self.matcher.name, ""), self._level(labels)
        shown = f"{name}={_quoted(value)}" if value else f"{name} is missing"
        if level and level != value:
            shown += f" (level {level})"
        verdict = self._verdict(labels)
        return f"{shown}{' ' if value else ', which '}{verdict}" if verdict else shown

    def _verdict(self, labels: Mapping[str, str]) -> str:
        pattern = _quoted(self.matcher.value)
        if not self._fits(labels):
            return f"does not match {pattern}" if self.matcher.is_regex else f"is not {pattern}"
        if not self.matcher.is_equal:
            return f"is excluded by {self.matcher.operator}{pattern}"
        return f"matches {pattern}" if self.matcher.is_regex else ""

    def _fits(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.matcher.name, "")
        fits = self.fitting.get(value)
        if fits is None:
            level = self._level(labels)
            fits = self.matcher.pattern_fits(value) or (level is not None and self.matcher.pattern_fits(level))
            _remember(self.fitting, value, fits)
        return fits

    def _level(self, labels: Mapping[str, str]) -> str | None:
        return self.severity.of(labels).label if self.matcher.name == self.severity.label else None


def _remember(memory: dict[_K, _V], key: _K, value: _V) -> None:
    """Keeps a verdict; a full memory starts anew, which is cheaper than to keep an order."""
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value


def _quoted(text: str) -> str:
    """On one line and short, whatever a label holds."""
    return json.dumps(text if len(text) <= 80 else text[:79] + "…", ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Route:
    """A route with its matchers compiled."""

    config: RouteConfig
    conditions: tuple[_Condition, ...]

    def takes(self, labels: Mapping[str, str], receiver: str, alertmanager: str) -> bool:
        config = self.config
        return (
            config.receiver in (None, receiver)
            and config.alertmanager in (None, alertmanager)
            and all(condition.holds(labels) for condition in self.conditions)
        )

    def why(self, labels: Mapping[str, str], receiver: str, alertmanager: str) -> str:
        """All that failed if it does not take the alert, else all that held."""
        sources = (
            ("receiver", self.config.receiver, receiver),
            ("alertmanager", self.config.alertmanager, alertmanager),
        )
        facts = [
            (is_ == wanted, f"{name} {_quoted(is_)}" + ("" if is_ == wanted else f" is not {_quoted(wanted)}"))
            for name, wanted, is_ in sources
            if wanted is not None
        ]
        facts += [(condition.holds(labels), condition.why(labels)) for condition in self.conditions]
        failed = [words for held, words in facts if not held]
        return "; ".join(failed or [words for _, words in facts]) or "no conditions, takes every alert"


class Router:
    """The routes, compiled once. Verdicts are remembered by those labels that any route looks at."""

    def __init__(self, routes: Sequence[RouteConfig], severity: SeverityMap) -> None:
        self._routes = tuple(
            _Route(
                config,
                tuple(_Condition(matcher, severity) for text in config.matchers for matcher in parse_matchers(text)),
            )
            for config in routes
        )
        self._names = sorted({one.matcher.name for route in self._routes for one in route.conditions})
        self._verdicts: dict[tuple[str, ...], dict[str, bool]] = {}

    def route(self, labels: Mapping[str, str], *, receiver: str, alertmanager: str) -> dict[str, bool]:
        """The channels of an alert: name to whether it arrives there silently, that is by silent routes only.

        The first route that matches wins unless it says `continue`; {} if none matches.
        """
        key = (receiver, alertmanager, *[labels.get(name, "") for name in self._names])
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._decide(labels, receiver, alertmanager)
            _remember(self._verdicts, key, verdict)
        return dict(verdict)

    def _decide(self, labels: Mapping[str, str], receiver: str, alertmanager: str) -> dict[str, bool]:
        chosen: dict[str, bool] = {}
        for route in self._routes:
            if not route.takes(labels, receiver, alertmanager):
                continue
            for channel in route.config.channels:
                chosen[channel] = chosen.get(channel, True) and route.config.silent
            if not route.config.continue_:
                break
        return chosen

    def explain(self, labels: Mapping[str, str], *, receiver: str, alertmanager: str) -> list[RouteTrace]:
        """What became of every route, in order; agrees with `route`."""
        traces: list[RouteTrace] = []
        winner: int | None = None
        for number, route in enumerate(self._routes, start=1):
            if winner is not None:
                why = f"route {winner} matched before and does not say continue: true"
                traces.append(RouteTrace(number=number, route=route.config, outcome="skipped", why=why))
                continue
            matched = route.takes(labels, receiver, alertmanager)
            why = route.why(labels, receiver, alertmanager)
            outcome: Literal["matched", "not matched"] = "matched" if matched else "not matched"
            traces.append(RouteTrace(number=number, route=route.config, outcome=outcome, why=why))
            if matched and not route.config.continue_:
                winner = number
        return traces
