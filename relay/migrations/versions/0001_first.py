"""The first schema.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "alert_groups",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alertmanager", sa.Text(), server_default="", nullable=False),
        sa.Column("receiver", sa.Text(), server_default="", nullable=False),
        sa.Column("key_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("labels", sa.Text(), server_default="", nullable=False),
        sa.Column("external_url", sa.Text(), server_default="", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("message_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash", "receiver", "alertmanager", name="alert_groups_identity"),
    )
    op.create_index("alert_groups_code", "alert_groups", ["code"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alertmanager", sa.Text(), server_default="", nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("labels", sa.Text(), server_default="", nullable=False),
        sa.Column("annotations", sa.Text(), server_default="", nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("generator_url", sa.Text(), server_default="", nullable=False),
        sa.Column("episode_id", sa.BigInteger(), nullable=True),
        sa.Column("episode", sa.Integer(), server_default="0", nullable=False),
        sa.Column("firing", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("silenced_by", sa.Text(), server_default="", nullable=False),
        sa.Column("silenced_until", sa.BigInteger(), nullable=True),
        sa.Column("silenced", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("inhibited", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("exempt", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("unconfirmed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("recent_starts", sa.Text(), server_default="", nullable=False),
        sa.Column("flapping_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fingerprint", "alertmanager", name="alerts_identity"),
    )
    op.create_index("alerts_code", "alerts", ["code"], unique=False)
    op.create_index(
        "alerts_firing",
        "alerts",
        ["alertmanager"],
        unique=False,
        sqlite_where=sa.text("firing IS 1"),
        postgresql_where=sa.text("firing IS true"),
    )
    op.create_index("alerts_flapping", "alerts", ["flapping_until"], unique=False)
    op.create_table(
        "destinations",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("moved_to", sa.Text(), nullable=True),
        sa.Column("succeeded_at", sa.BigInteger(), nullable=True),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "episodes",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("acked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("acked_at", sa.BigInteger(), nullable=True),
        sa.Column("ack_note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("episodes_alert", "episodes", ["alert_id"], unique=False)
    op.create_table(
        "history",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("history_alert", "history", ["alert_id"], unique=False)
    op.create_index("history_at", "history", ["at"], unique=False)
    op.create_index("history_incident", "history", ["incident_id"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("firing", sa.Integer(), server_default="0", nullable=False),
        sa.Column("truncated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("test", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("repeat_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("repeat_at", sa.BigInteger(), nullable=True),
        sa.Column("ack_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("silence_rev", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("incidents_closed", "incidents", ["closed_at"], unique=False)
    op.create_index("incidents_group", "incidents", ["group_id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "memberships",
        sa.Column("incident_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alert_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("episode_id", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("channels", sa.Text(), server_default="", nullable=False),
        sa.Column("joined_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fired_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("raised_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resolved_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("left_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("absent", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "alert_id"),
    )
    op.create_index("memberships_alert", "memberships", ["alert_id"], unique=False)
    op.create_table(
        "posts",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("shown_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("announced_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("remote", sa.Text(), nullable=True),
        sa.Column("plain", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("quiet", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("farewell", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("rank", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("attached_at", sa.BigInteger(), nullable=True),
        sa.Column("attached_rev", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("incident_id", "channel", name="posts_identity"),
    )
    op.create_index("posts_due", "posts", ["channel", "due_at"], unique=False)
