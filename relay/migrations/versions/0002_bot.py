"""What the bot remembers: drafts, the views behind its buttons, silences that mirror acks, and what it has told.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "drafts",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("owner", sa.BigInteger(), nullable=False),
        sa.Column("chat", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_index("drafts_expiry", "drafts", ["expires_at"], unique=False)
    op.create_index("drafts_owner", "drafts", ["owner", "chat"], unique=False)
    op.create_table(
        "views",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("chat", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_index("views_expiry", "views", ["expires_at"], unique=False)
    op.create_table(
        "mirrors",
        sa.Column("episode_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alertmanager", sa.Text(), server_default="", nullable=False),
        sa.Column("silence_id", sa.Text(), server_default="", nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("episode_id"),
    )
    op.create_index("mirrors_alertmanager", "mirrors", ["alertmanager"], unique=False)
    op.create_table(
        "reminders",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("reminders_at", "reminders", ["at"], unique=False)
