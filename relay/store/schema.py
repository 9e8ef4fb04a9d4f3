"""The tables. Times are milliseconds since 1970 in BIGINT, JSON is text that only Python reads.

`relay/migrations` builds them; a test compares the two. Words are those of `docs/glossary.md`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from relay.store.columns import flag, found_by_code, moment, number, row_id, string, where_set

metadata = MetaData()

alerts = Table(
    "alerts",
    metadata,
    row_id(),
    string("alertmanager"),
    string("fingerprint"),
    string("code"),
    string("labels"),
    string("annotations"),
    Column("severity", SmallInteger, nullable=False),
    string("generator_url"),
    Column("episode_id", BigInteger),  # the current or last run
    number("episode"),  # how many runs so far
    flag("firing"),
    moment("starts_at"),
    moment("ends_at"),  # of the last run that ended
    string("closed_by"),  # webhook, poll
    moment("seen_at"),  # last listed by a webhook or the poll
    string("silenced_by"),
    moment("silenced_until"),
    flag("silenced"),
    flag("inhibited"),
    flag("exempt"),  # test alerts: Alertmanager's API does not know them
    flag("unconfirmed"),  # reopened by a late message; rings once the API lists it as firing
    string("recent_starts"),  # JSON list of times, for flapping
    moment("flapping_until"),
    *found_by_code("alerts", "fingerprint", "alertmanager"),
    Index("alerts_firing", "alertmanager", sqlite_where=text("firing IS 1"), postgresql_where=text("firing IS true")),
    Index("alerts_flapping", "flapping_until", **where_set("flapping_until")),
)

episodes = Table(
    "episodes",
    metadata,
    row_id(),
    Column("alert_id", BigInteger, nullable=False),
    number("number"),
    moment("starts_at"),
    moment("ends_at"),
    moment("opened_at"),
    string("acked_by"),
    moment("acked_at"),
    string("ack_note"),
    Index("episodes_alert", "alert_id"),
)

alert_groups = Table(
    "alert_groups",
    metadata,
    row_id(),
    string("alertmanager"),
    string("receiver"),
    string("key_hash"),
    string("key"),
    string("code"),
    string("labels"),
    string("external_url"),
    number("revision"),
    Column("incident_id", BigInteger),  # the current or last run
    moment("message_at"),
    *found_by_code("alert_groups", "key_hash", "receiver", "alertmanager"),
    Index("alert_groups_heard", "alertmanager", "message_at"),
)

incidents = Table(
    "incidents",
    metadata,
    row_id(),
    Column("group_id", BigInteger, nullable=False),
    number("number"),
    moment("opened_at"),
    moment("closed_at"),
    moment("changed_at"),
    number("firing"),  # open memberships
    number("truncated"),
    flag("test"),
    number("repeat_rev"),
    moment("repeat_at"),
    number("ack_rev"),
    number("silence_rev"),
    Index("incidents_group", "group_id"),
    Index("incidents_closed", "closed_at"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("incident_id", BigInteger, primary_key=True, autoincrement=False),
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    Column("episode_id", BigInteger, nullable=False),
    flag("open"),
    string("channels"),  # JSON object: channel -> silent
    number("joined_rev"),
    number("fired_rev"),
    number("raised_rev"),
    number("changed_rev"),
    number("resolved_rev"),
    number("left_rev"),
    number("absent"),  # messages in a row that did not list it
    Index("memberships_alert", "alert_id"),
    sqlite_with_rowid=False,
)

posts = Table(
    "posts",
    metadata,
    row_id(),
    Column("incident_id", BigInteger, nullable=False),
    string("channel"),
    string("state"),  # live, dead
    number("shown_rev"),
    number("announced_rev"),
    string("fingerprint"),  # of the content shown last
    Column("remote", Text),
    flag("plain"),
    flag("quiet"),  # the next first message arrives without sound
    flag("farewell"),  # no longer routed here: one last edit
    moment("due_at"),
    moment("since"),  # behind since then
    number("rank"),
    number("attempts"),
    string("reason"),
    string("detail"),
    moment("attached_at"),
    number("attached_rev"),
    moment("told_at"),  # last short message about an ack or a silence
    moment("created_at"),
    string("instead_of"),  # shown here because that channel does not deliver
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
    Index("posts_digest", "digest_id", **where_set("digest_id")),
    Index("posts_dead", "channel", sqlite_where=text("state = 'dead'"), postgresql_where=text("state = 'dead'")),
)

history = Table(
    "history",
    metadata,
    row_id(),
    moment("at"),
    string("kind"),
    Column("group_id", BigInteger),
    Column("incident_id", BigInteger),
    Column("alert_id", BigInteger),
    string("channel"),
    string("actor"),
    string("detail"),
    Index("history_incident", "incident_id", **where_set("incident_id")),
    Index("history_alert", "alert_id", **where_set("alert_id")),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    string("owner"),
    Column("until", BigInteger, nullable=False),
    number("epoch"),
)

destinations = Table(
    "destinations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("moved_to", Text),
    moment("succeeded_at"),
    moment("failed_at"),
    moment("failing_since"),
    string("reason"),
    string("detail"),
    moment("paused_since"),  # takes nothing since then
    flag("permanent"),  # and says that it never will
    string("config"),  # a digest of what the config says of the channel
    string("calls"),  # JSON list: when it was sent something within the last minute
)

beats = Table(  # the last watchdog alert of each Alertmanager
    "beats",
    metadata,
    Column("alertmanager", Text, primary_key=True),
    moment("seen_at"),
)

digests = Table(  # living posts that show many incidents each, while a channel has more to announce than it may send
    "digests",
    metadata,
    row_id(),
    string("channel"),
    string("state"),  # storm, closing, after, over, refused
    moment("began_at"),
    moment("ended_at"),
    moment("calm_since"),
    number("own"),  # critical incidents that had messages of their own since `own_since`
    moment("own_since"),
    Column("head", Text),  # JSON: remote, fingerprint, at, posted_at
    string("pages"),  # JSON list of the same
    moment("listed_at"),
    string("told"),  # JSON: what it was, for its last line
    flag("condensed"),  # pages name only what outlived the storm
    flag("plain"),
    number("attempts"),
    Index("digests_channel", "channel", "state"),
)

drafts = Table(  # what a person is composing, step by step
    "drafts",
    metadata,
    Column("token", Text, primary_key=True),
    Column("owner", BigInteger, nullable=False),
    Column("chat", BigInteger, nullable=False),
    string("kind"),
    string("state"),  # JSON
    moment("expires_at"),
    Index("drafts_owner", "owner", "chat"),
    Index("drafts_expiry", "expires_at"),
)

views = Table(  # what the buttons of a message speak of: a button holds the token alone
    "views",
    metadata,
    Column("token", Text, primary_key=True),
    Column("chat", BigInteger, nullable=False),
    string("kind"),
    string("state"),  # JSON
    moment("expires_at"),
    Index("views_expiry", "expires_at"),
)

mirrors = Table(  # silences that stand for acks
    "mirrors",
    metadata,
    row_id("episode_id"),
    string("alertmanager"),
    string("silence_id"),
    moment("ends_at"),
    Index("mirrors_alertmanager", "alertmanager"),
)

reminders = Table(  # what was told once and must not be told again
    "reminders",
    metadata,
    Column("key", Text, primary_key=True),
    moment("at"),
    Index("reminders_at", "at"),
)
