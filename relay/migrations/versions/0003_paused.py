"""Channels that take nothing, what is shown elsewhere instead, and the beats of watchdogs.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("posts", sa.Column("instead_of", sa.Text(), server_default="", nullable=False))
    dead = sa.text("state = 'dead'")
    op.create_index("posts_dead", "posts", ["channel"], sqlite_where=dead, postgresql_where=dead)
    op.add_column("destinations", sa.Column("paused_since", sa.BigInteger(), nullable=True))
    op.add_column("destinations", sa.Column("permanent", sa.Boolean(), server_default="0", nullable=False))
    op.add_column("destinations", sa.Column("config", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "beats",
        sa.Column("alertmanager", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("alertmanager"),
    )
