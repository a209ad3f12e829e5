"""What operators do: actions, what became of each, and the destinations that they are about.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables. A program of before knows of no hold: replace all processes before a destination is held."""
    op.create_table(
        "actions",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("action", sa.LargeBinary(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at_us", sa.BigInteger(), nullable=False),
        sa.Column("lapses_at_us", sa.BigInteger()),
    )
    decided = sa.text("lapses_at_us IS NOT NULL")
    op.create_index("actions_to_decide", "actions", ["lapses_at_us"], sqlite_where=decided, postgresql_where=decided)
    op.create_table(
        "action_ends",
        sa.Column("action_seq", sa.BigInteger(), sa.ForeignKey("actions.seq"), primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("touched", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('done', 'rejected', 'failed')", name="an_end_of_an_action"),
        sa.CheckConstraint("(state = 'failed') = (code <> 0)", name="failed_for_a_reason"),
    )
    op.create_table(
        "destinations",
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("held_by", sa.BigInteger(), sa.ForeignKey("actions.seq")),
        sa.Column("resent_at_us", sa.BigInteger(), nullable=False),
    )
