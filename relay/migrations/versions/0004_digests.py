"""Digests: living posts that show many incidents each.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "digests",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("calm_since", sa.BigInteger(), nullable=True),
        sa.Column("own", sa.Integer(), server_default="0", nullable=False),
        sa.Column("own_since", sa.BigInteger(), nullable=True),
        sa.Column("head", sa.Text(), nullable=True),
        sa.Column("pages", sa.Text(), server_default="", nullable=False),
        sa.Column("listed_at", sa.BigInteger(), nullable=True),
        sa.Column("told", sa.Text(), server_default="", nullable=False),
        sa.Column("condensed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("plain", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("digests_channel", "digests", ["channel", "state"], unique=False)
    op.add_column("posts", sa.Column("digest_id", sa.BigInteger(), nullable=True))
    op.create_index("posts_digest", "posts", ["digest_id"], unique=False)
