"""What the bot remembers between two taps: drafts that people compose, and the views behind the buttons of a message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from relay.clock import Millis
from relay.store.schema import drafts, reminders, views


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Something that `owner` (a Telegram id) composes in a chat. `state` holds JSON values."""

    token: str
    owner: int
    chat: int
    kind: str
    state: Mapping[str, Any]
    expires_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a message's buttons speak of. They work in this chat alone."""

    token: str
    chat: int
    kind: str
    state: Mapping[str, Any]
    expires_at: Millis


def save_draft(conn: Connection, draft: Draft) -> None:
    values = {"state": _json(draft.state), "expires_at": draft.expires_at}
    if not conn.execute(update(drafts).where(drafts.c.token == draft.token).values(**values)).rowcount:
        identity = {"token": draft.token, "owner": draft.owner, "chat": draft.chat, "kind": draft.kind}
        conn.execute(insert(drafts).values(**identity, **values))


def find_draft(conn: Connection, token: str, now: Millis) -> Draft | None:
    row = conn.execute(select(drafts).where(drafts.c.token == token, drafts.c.expires_at > now)).first()
    return Draft(**(row._asdict() | {"state": json.loads(row.state)})) if row else None


def drafts_of(conn: Connection, owner: int, chat: int, now: Millis) -> list[Draft]:
    """What this person composes in this chat."""
    statement = select(drafts).where(drafts.c.owner == owner, drafts.c.chat == chat, drafts.c.expires_at > now)
    return [Draft(**(row._asdict() | {"state": json.loads(row.state)})) for row in conn.execute(statement)]


def note_question(conn: Connection, token: str, message_id: int, now: Millis) -> None:
    """Remembers which message asked, unless the answer was here before its number."""
    draft = find_draft(conn, token, now)
    if draft is not None and draft.state.get("asking") and draft.state.get("asked") is None:
        save_draft(conn, replace(draft, state={**draft.state, "asked": message_id}))


def drop_draft(conn: Connection, token: str) -> bool:
    """Whether it was there: of two who drop it, one gets True."""
    return bool(conn.execute(delete(drafts).where(drafts.c.token == token)).rowcount)


def save_view(conn: Connection, view: View) -> None:
    values = {"state": _json(view.state), "expires_at": view.expires_at}
    if not conn.execute(update(views).where(views.c.token == view.token).values(**values)).rowcount:
        conn.execute(insert(views).values(token=view.token, chat=view.chat, kind=view.kind, **values))


def find_view(conn: Connection, token: str, now: Millis) -> View | None:
    row = conn.execute(select(views).where(views.c.token == token, views.c.expires_at > now)).first()
    return View(**(row._asdict() | {"state": json.loads(row.state)})) if row else None


def forget_expired(conn: Connection, now: Millis, reminded_before: Millis) -> None:
    conn.execute(delete(drafts).where(drafts.c.expires_at <= now))
    conn.execute(delete(views).where(views.c.expires_at <= now))
    conn.execute(delete(reminders).where(reminders.c.at <= reminded_before))


def was_told(conn: Connection, key: str) -> bool:
    return conn.execute(select(reminders.c.key).where(reminders.c.key == key)).first() is not None


def remember_told(conn: Connection, key: str, now: Millis) -> None:
    if not was_told(conn, key):
        conn.execute(insert(reminders).values(key=key, at=now))


def _json(state: Mapping[str, Any]) -> str:
    return json.dumps(dict(state))  # as ASCII: what no database stores is escaped
