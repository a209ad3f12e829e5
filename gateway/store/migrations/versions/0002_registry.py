"""The registry: invitations, applications, certificates, and the node's own list.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of the registry; nodes without one leave them empty."""
    op.create_table(
        "node_lists",
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("metadata", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.LargeBinary(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at_us", sa.BigInteger(), nullable=False),
        sa.Column("not_after_us", sa.BigInteger(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
    )
    op.create_index("certificates_of", "certificates", ["address", "not_after_us"])
    op.create_index("certificates_of_key", "certificates", ["key_digest"])
    op.create_table(
        "applications",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("id", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("application", sa.LargeBinary(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_at_us", sa.BigInteger()),
        sa.Column("certificate", sa.LargeBinary(), sa.ForeignKey("certificates.fingerprint")),
        sa.CheckConstraint("state IN ('pending', 'approved', 'rejected')", name="a_state_of_an_application"),
        sa.CheckConstraint("(state = 'pending') = (decided_at_us IS NULL)", name="decided_at_some_time"),
        sa.CheckConstraint("(state = 'approved') = (certificate IS NOT NULL)", name="approved_with_a_certificate"),
    )
    op.create_index("applications_in_state", "applications", ["state", "seq"])
    op.create_index("applications_of", "applications", ["address", "state"])
    op.create_table(
        "invitations",
        sa.Column("code_digest", sa.LargeBinary(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=False),
        sa.Column("application_id", sa.LargeBinary(), sa.ForeignKey("applications.id"), unique=True),
    )
    op.create_index("invitations_open", "invitations", ["application_id", "expires_at_us"])
    op.create_table(
        "decisions",
        sa.Column("application_id", sa.LargeBinary(), sa.ForeignKey("applications.id"), primary_key=True),
        sa.Column("registrar", sa.Text(), primary_key=True),
        sa.Column("decision", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "renewals",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("renewal", sa.LargeBinary(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), sa.ForeignKey("certificates.fingerprint")),
        sa.Column("keys_valid_from_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "revocations",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("revocation", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
        sa.Column("list_version", sa.BigInteger(), nullable=False),
    )
