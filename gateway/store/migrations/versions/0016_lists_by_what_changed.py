"""Of an older version of the node's list, what the next one changed.

Revision ID: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. A program of before reads the newest version alone, and writes all of a new one."""
    for name in ("same_before", "same_after"):
        op.add_column("node_lists", sa.Column(name, sa.BigInteger()))
