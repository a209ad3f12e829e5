"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = "'queued', 'delivering', 'doubtful', 'asking', 'delivered', 'refused', 'expired'"


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "envelopes",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary()),
        sa.UniqueConstraint("sender", "id", name="one_envelope_a_name"),
    )
    op.create_index("envelopes_by_id", "envelopes", ["id"])
    op.create_index("envelopes_by_case", "envelopes", ["case_id"])
    op.create_table(
        "citations",
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("cited_sender", sa.Text(), nullable=False),
        sa.Column("cited_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
    )
    op.create_index("citations_of", "citations", ["cited_sender", "cited_id", "kind"])
    op.create_table(
        "receipts",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("milestone", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
    )
    op.create_index("receipts_of", "receipts", ["id", "sender"])
    op.create_index(
        "one_end_a_copy",
        "receipts",
        ["sender", "id", "recipient", "issuer"],
        unique=True,
        sqlite_where=sa.text("milestone IN (2, 4)"),
        postgresql_where=sa.text("milestone IN (2, 4)"),
    )
    op.create_table(
        "log_entries",
        sa.Column("position", SERIAL, primary_key=True),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq")),
        sa.Column("receipt_seq", sa.BigInteger(), sa.ForeignKey("receipts.seq")),
        sa.CheckConstraint("(envelope_seq IS NULL) <> (receipt_seq IS NULL)", name="one_thing_an_entry"),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq")),
        sa.Column("receipt_seq", sa.BigInteger(), sa.ForeignKey("receipts.seq")),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger()),
        sa.Column("lease_holder", sa.Text(), nullable=False),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.CheckConstraint(f"state IN ({STATES})", name="a_known_state"),
        sa.CheckConstraint("(envelope_seq IS NULL) <> (receipt_seq IS NULL)", name="one_thing_a_delivery"),
    )
    op.create_index("deliveries_of_envelope", "deliveries", ["envelope_seq"])
    pending = sa.text("state IN ('queued', 'delivering', 'doubtful', 'asking')")
    op.create_index(
        "deliveries_in_order",
        "deliveries",
        ["destination", "case_id", "seq"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_index(
        "deliveries_pending",
        "deliveries",
        ["destination", "seq"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_table(
        "events",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("envelope_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
    )
    op.create_index("events_of", "events", ["envelope_id"])
