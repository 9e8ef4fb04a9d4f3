"""When a channel was sent something lately, for whoever sends to it next.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("destinations", sa.Column("calls", sa.Text(), server_default="", nullable=False))
