"""What operators are warned of: what stands, what was told of it, and who has been told how far.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables. A program of before warns nobody."""
    op.create_table(
        "standing",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("seen_at_us", sa.BigInteger(), nullable=False),
        sa.Column("raised_at_us", sa.BigInteger(), nullable=False),
        sa.Column("told_at_us", sa.BigInteger(), nullable=False),
        sa.Column("gone_at_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised_at_us", sa.BigInteger(), nullable=False),
        sa.Column("urgent", sa.Integer(), nullable=False),
        sa.CheckConstraint("word IN ('alert.raised', 'alert.lasting', 'alert.cleared')", name="a_word_of_an_alert"),
        sa.CheckConstraint("urgent IN (0, 1)", name="urgent_or_not"),
    )
    op.create_table(
        "channels",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("told_seq", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at_us", sa.BigInteger(), nullable=False),
    )
