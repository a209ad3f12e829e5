"""Envelopes are found by when they were recorded, their parties and kinds, and by what went wrong.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes. A program of before writes them without knowing."""
    op.create_index("envelopes_found", "envelopes", ["recorded_at_us", "seq", "sender", "recipient", "kind"])
    failed = sa.text("code <> 0")
    op.create_index("events_failed", "events", ["code", "seq"], sqlite_where=failed, postgresql_where=failed)
