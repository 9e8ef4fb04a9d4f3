"""What happened is written to fewer indexes: ids are made in order of time, and few entries have all they could point at.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.drop_index("history_at", "history")
    if op.get_context().dialect.name != "sqlite":
        return
    for column in ("incident_id", "alert_id"):
        name = f"history_{column.removesuffix('_id')}"
        op.drop_index(name, "history")
        op.create_index(name, "history", [column], sqlite_where=sa.text(f"{column} IS NOT NULL"))
