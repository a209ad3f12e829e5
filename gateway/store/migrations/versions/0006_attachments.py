"""Attachments: who brought which sealed file, which envelopes name it, what must go to which node.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; what was recorded before names no files."""
    op.create_table(
        "uploads",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False, unique=True),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("whole", sa.Integer(), nullable=False),
        sa.Column("touched_at_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("whole IN (0, 1)", name="whole_or_not"),
        sa.CheckConstraint("received <= size", name="no_more_than_announced"),
    )
    op.create_index("uploads_of_file", "uploads", ["digest"])
    op.create_index("uploads_by_touch", "uploads", ["touched_at_us"])
    op.create_table(
        "attachments",
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger()),
    )
    op.create_index("attachments_naming", "attachments", ["digest"])
    live = sa.text("ended_at_us IS NULL")
    op.create_index("attachments_live", "attachments", ["envelope_seq"], sqlite_where=live, postgresql_where=live)
    op.create_table(
        "freight",
        sa.Column(
            "delivery_seq", sa.BigInteger(), sa.ForeignKey("deliveries.seq", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("carried", sa.Integer(), nullable=False),
        sa.CheckConstraint("carried IN (0, 1)", name="carried_or_not"),
    )
    waiting = sa.text("carried = 0")
    op.create_index(
        "freight_waiting", "freight", ["destination", "digest"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_table("discarded", sa.Column("place", sa.Text(), primary_key=True))
