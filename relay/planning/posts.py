"""What a post does next: announce, edit, attach, or nothing.

The rules are those of the table "what rings, and what only changes" in `docs/explanation/messages.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.clock import MINUTE, Millis
from relay.notification import AlertState, AlertView, Capabilities, Changes, IncidentView, Kind
from relay.severity import Severity

TELL_ONCE_IN: Millis = 5 * MINUTE
"""Append-only channels tell of acks and silences at most so often."""
ATTACH_ONCE_IN: Millis = 15 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class PostState:
    """Where a post stands: what its destination was shown and told."""

    shown_rev: int = 0
    announced_rev: int = 0
    living: bool = False  # there is a message to edit
    elsewhere: bool = False  # which stands where its channel no longer writes
    digested: bool = False  # a digest shows it
    quiet: bool = False
    farewell: bool = False
    attached_rev: int = 0
    attached_at: Millis | None = None
    told_at: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One remote call to make."""

    kind: Kind
    changes: Changes
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing to do before that time."""

    at: Millis


def plan(
    post: PostState, view: IncidentView, capabilities: Capabilities, *, overflows: bool, now: Millis
) -> Step | Later | None:
    """The next step of a post; None when it shows and has told everything."""
    changes = changes_since(view, post.announced_rev)
    if post.farewell or not view.alerts:
        return _farewell(post, view, changes, capabilities)
    if not capabilities.editable:
        return _append(post, view, changes, now)
    if post.living and post.elsewhere and view.open:
        return Step(kind=Kind.FAREWELL, changes=changes, silent=True)
    if not post.living:
        if post.digested and not post.quiet and not _calls(view, changes):
            return None  # its digest is edited
        silent = _quiet(post, view, changes) or view.silent or _all_flapping(view.firing)
        return Step(kind=Kind.NEW, changes=changes, silent=silent)
    if post.announced_rev < view.revision and _rings(view, changes):
        return Step(kind=Kind.REPLY, changes=changes, silent=_silent(changes, view))
    if post.shown_rev < view.revision:
        return Step(kind=Kind.EDIT, changes=changes, silent=True)
    if capabilities.attachable and overflows and view.open and post.attached_rev < view.revision:
        return _pause(post.attached_at, ATTACH_ONCE_IN, now) or Step(kind=Kind.ATTACH, changes=changes, silent=True)
    return None


def _pause(last: Millis | None, length: Millis, now: Millis) -> Later | None:
    """None when it is over. A last time that is still to come is of a clock that was set back since: nobody waits for it."""
    if last is None or not last <= now < last + length:
        return None
    return Later(last + length)


def changes_since(view: IncidentView, announced: int) -> Changes:
    """What happened after the revision that was announced last."""
    fired = tuple(alert for alert in view.firing if alert.fired_rev > announced)
    resolved = tuple(alert for alert in view.resolved if alert.resolved_rev > announced)
    return Changes(
        fired=fired,
        raised=tuple(alert for alert in view.firing if alert.raised_rev > announced and alert not in fired),
        resolved=resolved,
        all_resolved=not view.open and bool(resolved),
        repeat=view.repeat_rev > announced,
        acked=view.ack_rev > announced,
        silenced=view.silence_rev > announced,
    )


def only_tells(view: IncidentView, changes: Changes) -> bool:
    """Whether an append-only message of these changes would speak of acks and silences and of nothing louder."""
    return (changes.acked or changes.silenced) and not _loud(view, changes)


def _farewell(post: PostState, view: IncidentView, changes: Changes, capabilities: Capabilities) -> Step | None:
    if post.farewell and post.living and capabilities.editable and post.shown_rev < view.revision and not view.alerts:
        return Step(kind=Kind.FAREWELL, changes=changes, silent=True)
    return None


def _append(post: PostState, view: IncidentView, changes: Changes, now: Millis) -> Step | Later | None:
    if post.announced_rev >= view.revision:
        return None
    if post.announced_rev == 0 or _loud(view, changes):
        return Step(kind=Kind.NEW, changes=changes, silent=_quiet(post, view, changes) or _silent(changes, view))
    if only_tells(view, changes):
        return _pause(post.told_at, TELL_ONCE_IN, now) or Step(kind=Kind.NEW, changes=changes, silent=True)
    return None


def _loud(view: IncidentView, changes: Changes) -> bool:
    """Whether an append-only channel must say it at once."""
    return changes.all_resolved or _calls(view, changes)


def _rings(view: IncidentView, changes: Changes) -> bool:
    """Whether a phone must ring, beyond an edit that arrives without sound."""
    if _calls(view, changes):
        return True
    if not changes.all_resolved or all(alert.flapping for alert in changes.resolved):
        return False
    return any(alert.severity is Severity.CRITICAL for alert in view.alerts)


def _calls(view: IncidentView, changes: Changes) -> bool:
    """Whether somebody must come, not only hear that it is over."""
    return bool(changes.fired or changes.raised or _unanswered(view, changes))


def _unanswered(view: IncidentView, changes: Changes) -> bool:
    """Alertmanager repeats, and a critical alert still waits for somebody."""
    waits = (one for one in view.firing if one.state is AlertState.FIRING and one.acked_by is None)
    return changes.repeat and any(one.severity is Severity.CRITICAL for one in waits)


def _quiet(post: PostState, view: IncidentView, changes: Changes) -> bool:
    """Whether the message only comes instead of another one, and tells nothing that must still ring."""
    return post.quiet and not (post.announced_rev and _calls(view, changes))


def _silent(changes: Changes, view: IncidentView) -> bool:
    news = changes.fired + changes.raised
    return all(alert.silent for alert in news) if news else view.silent


def _all_flapping(alerts: tuple[AlertView, ...]) -> bool:
    return bool(alerts) and all(alert.flapping for alert in alerts)
