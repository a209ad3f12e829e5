"""Decisions by the key that signed them: a registrar's successor at the same address decides anew.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op
from rogatory.v1 import envelope_pb2 as pb

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BEFORE = "decisions_of_0002"


def upgrade() -> None:
    """Make the key part of what a decision is known by, and find revocations by whose they are."""
    op.rename_table("decisions", _BEFORE)
    made = op.create_table(
        "decisions",
        sa.Column("application_id", sa.LargeBinary(), sa.ForeignKey("applications.id"), primary_key=True),
        sa.Column("registrar", sa.Text(), primary_key=True),
        sa.Column("key_id", sa.LargeBinary(), primary_key=True),
        sa.Column("decision", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
    )
    rows = op.get_bind().exec_driver_sql(f"SELECT * FROM {_BEFORE}").mappings()  # noqa: S608  our own text
    op.bulk_insert(made, [{**row, "key_id": pb.Signature.FromString(row["signature"]).key_id} for row in rows])
    op.drop_table(_BEFORE)
    op.create_index("revocations_of", "revocations", ["address", "received_at_us"])
