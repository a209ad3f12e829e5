"""From which backups a store was restored.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table; no store of before was restored by this program."""
    op.create_table(
        "restorations",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("restored_at_us", sa.BigInteger(), nullable=False),
        sa.Column("backup_made_at_us", sa.BigInteger(), nullable=False),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("log_root", sa.LargeBinary(), nullable=False),
        sa.Column("taken_up_at_us", sa.BigInteger()),
    )
