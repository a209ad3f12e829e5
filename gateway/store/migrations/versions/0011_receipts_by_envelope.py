"""Receipts are told apart within their envelope: no index grows by random keys any more.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key"}
"""As PostgreSQL names a constraint that was given no name."""


def upgrade() -> None:
    """Put one index in the place of two; SQLite makes the table anew. Programs of before want the old one."""
    op.drop_index("receipts_of", "receipts")
    with op.batch_alter_table("receipts", naming_convention=NAMES) as receipts:
        receipts.drop_constraint("receipts_digest_key", type_="unique")
    op.create_index("one_receipt_a_statement", "receipts", ["id", "sender", "digest"], unique=True)
    op.execute("UPDATE programs SET oldest = '0011'")
