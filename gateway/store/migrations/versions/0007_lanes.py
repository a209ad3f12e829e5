"""Lanes: what is urgent goes first. And which programs may work on a store, so that old and new ones share it.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PENDING = sa.text("state IN ('queued', 'delivering', 'doubtful', 'asking')")


def upgrade() -> None:
    """Add the lane, ordinary for all that is queued and for what older programs queue, and the index by it."""
    op.add_column("deliveries", sa.Column("lane", sa.Integer(), nullable=False, server_default=sa.text("2")))
    op.drop_index("deliveries_pending", "deliveries")
    op.create_index(
        "deliveries_pending",
        "deliveries",
        ["destination", "lane", "seq"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
    programs = op.create_table("programs", sa.Column("oldest", sa.Text(), primary_key=True))
    op.bulk_insert(programs, [{"oldest": "0007"}])
