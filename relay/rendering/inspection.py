"""Tries users' templates before the first alert does: each is compiled and rendered with examples."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, meta

from relay.clock import HOUR, MINUTE, Millis
from relay.notification import AlertState, AlertView, Changes, IncidentView, Kind, Notice
from relay.rendering.sandbox import Escape
from relay.severity import Severity

Attempt = Callable[[str, Notice, Escape, Mapping[str, object]], object]
"""Renders a template by name; raises what goes wrong."""

_BEGIN: Millis = 1_700_000_000_000


def problems_of(
    overrides: Path, environment: Environment, builtin: Mapping[str, object], *attempts: Attempt
) -> list[str]:
    """`FILE:LINE: what is wrong` of each template below `overrides`, in order of path.

    `attempts` are the preferred rendering and the built-in one: where even that fails on the examples, the template needs
    something that only its channel knows, and nothing can be said about the user's.
    """
    files = {path.relative_to(overrides).as_posix(): path for path in sorted(overrides.rglob("*.j2")) if path.is_file()}
    used = {name for path in files.values() for name in _references(environment, path)}
    found = []
    for name, path in files.items():
        if name not in builtin and name not in used:
            known = ", ".join(sorted(known for known in builtin if known.partition("/")[0] == name.partition("/")[0]))
            found.append(f"{path}:1: replaces no built-in template{f'; there are {known}' if known else ''}")
        problem = _problem(name, path, environment, *(attempts if name in builtin else ()))
        if problem:
            found.append(problem)
    return found


def unknown_name(source: str, environment: Environment, known: Collection[str]) -> str:
    """The first name of a template that nothing defines; it would show as nothing, and nobody would know why."""
    for name in sorted(meta.find_undeclared_variables(environment.parse(source)).difference(known)):
        close = get_close_matches(name, known, n=1)
        return f"there is no name {name!r}{f'; did you mean {close[0]}' if close else ''}"
    return ""


def _references(environment: Environment, path: Path) -> Iterator[str]:
    try:
        parsed = environment.parse(path.read_text(encoding="utf-8"))
    except (TemplateSyntaxError, UnicodeDecodeError, OSError):
        return
    yield from (name for name in meta.find_referenced_templates(parsed) if name)


def _problem(name: str, path: Path, environment: Environment, *attempts: Attempt) -> str:
    try:
        environment.get_template(name)
    except TemplateSyntaxError as error:
        return f"{error.filename or path}:{error.lineno}: {error.message}"
    except (UnicodeDecodeError, OSError) as error:
        return f"{path}:1: cannot be read: {error}"
    for notice in examples():
        errors = [_attempt(attempt, name, notice) for attempt in attempts]
        if errors and errors[0] is not None and not any(errors[1:]):
            return _located(errors[0], path)
    return ""


def _attempt(attempt: Attempt, name: str, notice: Notice) -> Exception | None:
    try:
        attempt(name, notice, _escape_of(name), _AnyOption())
    except Exception as error:  # noqa: BLE001  whatever a template raises is its problem
        return error
    return None


def _located(error: Exception, path: Path) -> str:
    if isinstance(error, TemplateSyntaxError):  # of a piece that is included
        return f"{error.filename or path}:{error.lineno}: {error.message}"
    folder = str(path.parent)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
    return f"{path}:{lines[-1] if lines else 1}: {type(error).__name__}: {error}"


def _escape_of(name: str) -> Escape:
    if name.endswith(".html.j2"):
        return "html"
    return "mrkdwn" if name.endswith(".mrkdwn.j2") else "none"


class _AnyOption(dict[str, Any]):
    """Options that only a channel knows: whatever a template asks for is there, empty, and can be called."""

    def __missing__(self, name: str) -> _Echo:
        return _Echo()


class _Echo:
    """Empty and false; called, it gives back its first argument as a text."""

    def __getattr__(self, name: str) -> _Echo:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: object, **_: object) -> str:
        return str(args[0]) if args else ""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return ""

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def examples() -> Iterator[Notice]:
    """One alert; one that is over and has nothing but a name; several in every state, as a reply."""
    single = _view(_alert(0))
    yield Notice(kind=Kind.NEW, view=single, changes=Changes(fired=single.alerts), post_id=1, now=_BEGIN + MINUTE)
    bare = AlertView(
        code="kzrpt",
        fingerprint="0" * 16,
        labels={},
        annotations={},
        severity=Severity.WARNING,
        state=AlertState.RESOLVED,
        starts_at=_BEGIN,
        ends_at=_BEGIN + HOUR,
    )
    over = Changes(resolved=(bare,), all_resolved=True)
    yield Notice(kind=Kind.EDIT, view=_view(bare), changes=over, post_id=1, now=_BEGIN + HOUR, remote={})
    view = _view(*(_alert(number) for number in range(20)), truncated=3)
    changes = Changes(fired=view.firing, raised=view.firing[:2], resolved=view.resolved, repeat=True, acked=True)
    yield Notice(kind=Kind.REPLY, view=view, changes=changes, post_id=1, now=_BEGIN + HOUR, late=_BEGIN, remote={})


def _view(*alerts: AlertView, truncated: int = 0) -> IncidentView:
    return IncidentView(
        id=1,
        code="gkzrpt",
        alertmanager="main",
        receiver="relay",
        group_labels={"alertname": "DiskFull"},
        external_url="https://alerts.example.org",
        alerts=tuple(sorted(alerts, key=lambda alert: (not alert.state.open, -alert.severity))),
        revision=1,
        opened_at=_BEGIN,
        truncated=truncated,
        several_alertmanagers=len(alerts) > 1,
    )


def _alert(number: int) -> AlertView:
    state = tuple(AlertState)[number % len(AlertState)]
    return AlertView(
        code="kzrpt",
        fingerprint=f"{number:016x}",
        labels={"alertname": "DiskFull", "instance": f"db-{number}:9100", "severity": "critical"},
        annotations={"summary": f"Disk <b>/var</b> & more on db-{number}", "runbook_url": "https://example.org/disk"},
        severity=Severity(number % len(Severity)),
        state=state,
        starts_at=_BEGIN,
        ends_at=None if state.open else _BEGIN + HOUR,
        generator_url="https://prometheus.example.org/graph",
        acked_by="anna" if number % 3 == 1 else None,
        acked_at=_BEGIN if number % 3 == 1 else None,
        silenced_until=_BEGIN + 2 * HOUR if state is AlertState.SILENCED else None,
    )
