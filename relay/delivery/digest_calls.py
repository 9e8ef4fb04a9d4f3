"""How a digest stands at its destination, and the remote call that a step of it takes."""

from __future__ import annotations

from relay.delivery.digest_books import DigestAttempt
from relay.notification_digest import DigestCall, DigestEntry, DigestLayout, DigestView
from relay.planning import DigestState, Shown
from relay.store.digests import CLOSING, DigestRow, Message


def standing_of(row: DigestRow) -> DigestState:
    """What the destination has of it, as planning sees it."""
    return DigestState(
        head=_shown(row.head) if row.head else None,
        pages=tuple(map(_shown, row.pages)),
        listed_at=row.listed_at,
        record=row.state == CLOSING,
    )


def call_of(attempt: DigestAttempt) -> DigestCall:
    """The remote call of a step. Only the head of a storm rings, and it does so once."""
    row, layout, step = attempt.row, attempt.layout, attempt.step
    head = row.head.remote if row.head else None
    if step.kind == "remove":
        return DigestCall(kind="remove", remote=head, remotes=tuple(row.pages[at].remote for at in step.pages))
    assert layout is not None
    if step.kind == "attach":
        content = layout.listing() if layout.listing is not None else None
        return DigestCall(kind="attach", content=content, remote=head, recipients=unreached(row, attempt.view))
    position = step.pages[0] if step.pages else None
    if position is None:
        silent = attempt.view.silent or bool(attempt.view.ended_at)
        return DigestCall(
            kind=step.kind,
            content=layout.head,
            remote=head if step.kind == "edit" else None,
            silent=silent,
            recipients=unreached(row, attempt.view),
        )
    content = layout.pages[position] if position < len(layout.pages) else layout.blank
    return DigestCall(
        kind=step.kind, content=content, remote=row.pages[position].remote if step.kind == "edit" else head
    )


def unreached(row: DigestRow, view: DigestView) -> tuple[str, ...]:
    """Who alone is still to get the last message, while that tells the newest: what is newer goes to everybody."""
    remote = row.head.remote if row.head else {}
    of_this = remote.get("retry_revision", view.revision) in (None, view.revision)
    return tuple(remote.get("retry_recipients") or ()) if of_this else ()


def shown_already(row: DigestRow, layout: DigestLayout) -> list[DigestEntry]:
    """What changed and yet looks as it is shown."""
    named = [*zip(layout.pages, layout.named, row.pages, strict=False)]
    found = [entry for content, entries, page in named if content.fingerprint == page.fingerprint for entry in entries]
    if row.head is not None and row.head.fingerprint == layout.head.fingerprint:
        found += layout.inline
    return [entry for entry in found if entry.waiting is not None]


def _shown(message: Message) -> Shown:
    return Shown(fingerprint=message.fingerprint, at=message.at, posted_at=message.posted_at)
