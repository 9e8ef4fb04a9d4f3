"""The tables. Times are milliseconds since 1970 in BIGINT, JSON is text that only Python reads.

`relay/migrations` builds them; a test compares the two. Words are those of `docs/glossary.md`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, MetaData, Table, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import BigInteger, Boolean, Integer, SmallInteger, Text

metadata = MetaData()


_ROW_KEY = BigInteger().with_variant(Integer(), "sqlite")
"""For SQLite an INTEGER is the key of the row itself; a BIGINT would be a second tree that every insert writes."""


def _id(name: str = "id") -> Column[int]:
    return Column(name, _ROW_KEY, primary_key=True, autoincrement=False)


def _where_set(name: str) -> dict[str, Any]:
    """For an index of a column that is rarely set; SQLite then leaves the other rows out."""
    return {"sqlite_where": text(f"{name} IS NOT NULL")}


def _found_by_code(table: str, *identity: str) -> tuple[SchemaItem, SchemaItem]:
    """An index of the code, which is made of the identity and stands at random: each new row writes a page of it.

    PostgreSQL also keeps two replicas from adding the same row there. SQLite's one writer looks before it adds, and has
    an index of a fifth of that size.
    """
    unique = UniqueConstraint("code", *identity, name=f"{table}_identity").ddl_if(dialect="postgresql")
    return unique, Index(f"{table}_code", "code").ddl_if(dialect="sqlite")


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default="0")


alerts = Table(
    "alerts",
    metadata,
    _id(),
    _text("alertmanager"),
    _text("fingerprint"),
    _text("code"),
    _text("labels"),
    _text("annotations"),
    Column("severity", SmallInteger, nullable=False),
    _text("generator_url"),
    Column("episode_id", BigInteger),  # the current or last run
    _number("episode"),  # how many runs so far
    _flag("firing"),
    _time("starts_at"),
    _time("ends_at"),  # of the last run that ended
    _text("closed_by"),  # webhook, poll
    _time("seen_at"),  # last listed by a webhook or the poll
    _text("silenced_by"),
    _time("silenced_until"),
    _flag("silenced"),
    _flag("inhibited"),
    _flag("exempt"),  # test alerts: Alertmanager's API does not know them
    _flag("unconfirmed"),  # reopened by a late message; rings once the API lists it as firing
    _text("recent_starts"),  # JSON list of times, for flapping
    _time("flapping_until"),
    *_found_by_code("alerts", "fingerprint", "alertmanager"),
    Index("alerts_firing", "alertmanager", sqlite_where=text("firing IS 1"), postgresql_where=text("firing IS true")),
    Index("alerts_flapping", "flapping_until", **_where_set("flapping_until")),
)

episodes = Table(
    "episodes",
    metadata,
    _id(),
    Column("alert_id", BigInteger, nullable=False),
    _number("number"),
    _time("starts_at"),
    _time("ends_at"),
    _time("opened_at"),
    _text("acked_by"),
    _time("acked_at"),
    _text("ack_note"),
    Index("episodes_alert", "alert_id"),
)

alert_groups = Table(
    "alert_groups",
    metadata,
    _id(),
    _text("alertmanager"),
    _text("receiver"),
    _text("key_hash"),
    _text("key"),
    _text("code"),
    _text("labels"),
    _text("external_url"),
    _number("revision"),
    Column("incident_id", BigInteger),  # the current or last run
    _time("message_at"),
    *_found_by_code("alert_groups", "key_hash", "receiver", "alertmanager"),
    Index("alert_groups_heard", "alertmanager", "message_at"),
)

incidents = Table(
    "incidents",
    metadata,
    _id(),
    Column("group_id", BigInteger, nullable=False),
    _number("number"),
    _time("opened_at"),
    _time("closed_at"),
    _time("changed_at"),
    _number("firing"),  # open memberships
    _number("truncated"),
    _flag("test"),
    _number("repeat_rev"),
    _time("repeat_at"),
    _number("ack_rev"),
    _number("silence_rev"),
    Index("incidents_group", "group_id"),
    Index("incidents_closed", "closed_at"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("incident_id", BigInteger, primary_key=True, autoincrement=False),
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    Column("episode_id", BigInteger, nullable=False),
    _flag("open"),
    _text("channels"),  # JSON object: channel -> silent
    _number("joined_rev"),
    _number("fired_rev"),
    _number("raised_rev"),
    _number("changed_rev"),
    _number("resolved_rev"),
    _number("left_rev"),
    _number("absent"),  # messages in a row that did not list it
    Index("memberships_alert", "alert_id"),
    sqlite_with_rowid=False,
)

posts = Table(
    "posts",
    metadata,
    _id(),
    Column("incident_id", BigInteger, nullable=False),
    _text("channel"),
    _text("state"),  # live, dead
    _number("shown_rev"),
    _number("announced_rev"),
    _text("fingerprint"),  # of the content shown last
    Column("remote", Text),
    _flag("plain"),
    _flag("quiet"),  # the next first message arrives without sound
    _flag("farewell"),  # no longer routed here: one last edit
    _time("due_at"),
    _time("since"),  # behind since then
    _number("rank"),
    _number("attempts"),
    _text("reason"),
    _text("detail"),
    _time("attached_at"),
    _number("attached_rev"),
    _time("told_at"),  # last short message about an ack or a silence
    _time("created_at"),
    _text("instead_of"),  # shown here because that channel does not deliver
    Column("digest_id", BigInteger),  # the last digest that has shown it
    UniqueConstraint("incident_id", "channel", name="posts_identity"),
    Index("posts_due", "channel", "due_at"),
    Index(
        "posts_behind",
        "channel",
        "since",
        sqlite_where=text("since IS NOT NULL"),
        postgresql_where=text("since IS NOT NULL"),
    ),
    Index("posts_digest", "digest_id", **_where_set("digest_id")),
    Index("posts_dead", "channel", sqlite_where=text("state = 'dead'"), postgresql_where=text("state = 'dead'")),
)

history = Table(
    "history",
    metadata,
    _id(),
    _time("at"),
    _text("kind"),
    Column("group_id", BigInteger),
    Column("incident_id", BigInteger),
    Column("alert_id", BigInteger),
    _text("channel"),
    _text("actor"),
    _text("detail"),
    Index("history_incident", "incident_id"),
    Index("history_alert", "alert_id"),
    Index("history_at", "at"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    _text("owner"),
    Column("until", BigInteger, nullable=False),
    _number("epoch"),
)

destinations = Table(
    "destinations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("moved_to", Text),
    _time("succeeded_at"),
    _time("failed_at"),
    _time("failing_since"),
    _text("reason"),
    _text("detail"),
    _time("paused_since"),  # takes nothing since then
    _flag("permanent"),  # and says that it never will
    _text("config"),  # a digest of what the config says of the channel
    _text("calls"),  # JSON list: when it was sent something within the last minute
)

beats = Table(  # the last watchdog alert of each Alertmanager
    "beats",
    metadata,
    Column("alertmanager", Text, primary_key=True),
    _time("seen_at"),
)

digests = Table(  # living posts that show many incidents each, while a channel has more to announce than it may send
    "digests",
    metadata,
    _id(),
    _text("channel"),
    _text("state"),  # storm, closing, after, over, refused
    _time("began_at"),
    _time("ended_at"),
    _time("calm_since"),
    _number("own"),  # critical incidents that had messages of their own since `own_since`
    _time("own_since"),
    Column("head", Text),  # JSON: remote, fingerprint, at, posted_at
    _text("pages"),  # JSON list of the same
    _time("listed_at"),
    _text("told"),  # JSON: what it was, for its last line
    _flag("condensed"),  # pages name only what outlived the storm
    _flag("plain"),
    _number("attempts"),
    Index("digests_channel", "channel", "state"),
)

drafts = Table(  # what a person is composing, step by step
    "drafts",
    metadata,
    Column("token", Text, primary_key=True),
    Column("owner", BigInteger, nullable=False),
    Column("chat", BigInteger, nullable=False),
    _text("kind"),
    _text("state"),  # JSON
    _time("expires_at"),
    Index("drafts_owner", "owner", "chat"),
    Index("drafts_expiry", "expires_at"),
)

views = Table(  # what the buttons of a message speak of: a button holds the token alone
    "views",
    metadata,
    Column("token", Text, primary_key=True),
    Column("chat", BigInteger, nullable=False),
    _text("kind"),
    _text("state"),  # JSON
    _time("expires_at"),
    Index("views_expiry", "expires_at"),
)

mirrors = Table(  # silences that stand for acks
    "mirrors",
    metadata,
    _id("episode_id"),
    _text("alertmanager"),
    _text("silence_id"),
    _time("ends_at"),
    Index("mirrors_alertmanager", "alertmanager"),
)

reminders = Table(  # what was told once and must not be told again
    "reminders",
    metadata,
    Column("key", Text, primary_key=True),
    _time("at"),
    Index("reminders_at", "at"),
)
