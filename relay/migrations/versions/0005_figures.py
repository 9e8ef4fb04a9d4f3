"""Indexes for the figures that are read at every scrape, however much has happened before.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    behind = sa.text("since IS NOT NULL")
    op.create_index(
        "posts_behind", "posts", ["channel", "since"], unique=False, sqlite_where=behind, postgresql_where=behind
    )
    op.create_index("alert_groups_heard", "alert_groups", ["alertmanager", "message_at"], unique=False)
