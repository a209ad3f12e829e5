"""Indexes for what is asked every second: which leases have lapsed, and what has expired unsent.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LEASED = sa.text("state IN ('asking', 'delivering')")
EXPIRING = sa.text("state = 'queued' AND expires_at_us IS NOT NULL")


def upgrade() -> None:
    """Make them."""
    for name, column, where in (
        ("deliveries_leased", "lease_until_us", LEASED),
        ("deliveries_expiring", "expires_at_us", EXPIRING),
    ):
        op.create_index(name, "deliveries", [column], sqlite_where=where, postgresql_where=where)
