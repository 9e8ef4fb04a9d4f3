"""What a call's outcome means for its post: from `Sent` or `DeliveryError` to the fields that are recorded."""

from __future__ import annotations

import json

from relay import planning
from relay.clock import Millis
from relay.notification import DeliveryError, Kind, Notice, Sent
from relay.retry import Decision
from relay.store.posts import Failure, Progress


def progress_of(notice: Notice, sent: Sent, fingerprint: str) -> Progress:
    """A reply tells and shows nothing; an edit shows, and what it shows without a ring needs no telling any more."""
    revision = notice.view.revision
    if sent.retry_recipients:  # told only when everybody was
        waiting = {"retry_recipients": list(sent.retry_recipients), "retry_revision": revision}
        return Progress(remote=json.dumps({**sent.remote, **waiting}))
    match notice.kind:
        case Kind.NEW:
            return Progress(
                shown_rev=revision,
                announced_rev=revision,
                remote=json.dumps(dict(sent.remote)),
                fingerprint=fingerprint,
                told_at=notice.now if planning.only_tells(notice.view, notice.changes) else None,
                quiet=False,
            )
        case Kind.REPLY:
            return Progress(announced_rev=revision)
        case Kind.EDIT | Kind.FAREWELL:
            return Progress(shown_rev=revision, announced_rev=revision, fingerprint=fingerprint)
        case Kind.ATTACH:
            return Progress(attached_rev=revision, attached_at=notice.now)


def partial_of(notice: Notice, sent: Sent, due_at: Millis) -> Failure | None:
    """Some recipients did not get it.

    Those refused for now stay in the post and alone get the retry; those refused for good are named and stay without.
    """
    refused = refused_by(sent)
    if sent.retry_recipients:
        waiting = ", ".join(sent.retry_recipients)
        detail = f"refused for now: {waiting}" + (f"; for good: {refused}" if refused else "")
        return Failure(reason="server_error", detail=detail, due_at=due_at)
    return Failure(reason="not_found", detail=f"refused for good: {refused}", due_at=notice.now) if refused else None


def refused_by(sent: Sent) -> str:
    """Recipients that stay without it, and why; "" for none."""
    return "; ".join(f"{who}: {why}" for who, why in sent.refused.items())


def failure_of(error: DeliveryError, decision: Decision, notice: Notice, now: Millis) -> Failure:
    """A message that is gone is sent anew while something fires; of a resolved incident nothing is missing."""
    moved = error.reason == "moved" and notice.kind is not Kind.NEW
    return Failure(
        reason="expired" if decision.expired else error.reason,
        detail=f"waited for max_age; last: {error.reason}: {error.detail}" if decision.expired else error.detail,
        due_at=None if decision.dead else now + (decision.post_wait or 0),
        revision=None if decision.expired else notice.view.revision,
        plain=decision.plain,
        forget=decision.forget or moved,
    )
