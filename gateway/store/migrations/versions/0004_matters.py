"""Matters: where each stands, its time limits, and what it is aimed at.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = (
    "'asked', 'acknowledged', 'clarifying', 'objected', 'postponed', 'granted', 'partly granted', 'executed',"
    " 'partly executed', 'unavailable', 'confirmed', 'limiting', 'suspended', 'unbound', 'disposed', 'withdrawn',"
    " 'releasing', 'to delete', 'countersigned', 'returned', 'refused', 'impossible', 'forwarded', 'lapsed',"
    " 'released', 'closed', 'undelivered', 'told'"
)
STAGES = "'running', 'paused', 'overdue', 'met', 'stopped', 'ran out'"
OPEN = "stage IN ('running', 'paused', 'overdue')"


def upgrade() -> None:
    """Make the tables; what was recorded before is no matter, and nothing can move it."""
    op.create_table(
        "moves",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("cause_sender", sa.Text(), nullable=False),
        sa.Column("cause_id", sa.Text(), nullable=False),
        sa.Column("clock_rule", sa.Integer(), nullable=False),
        sa.CheckConstraint(f"state IN ({STATES})", name="a_state_of_a_matter"),
    )
    op.create_index("moves_of", "moves", ["sender", "id", "seq"])
    op.create_index("moves_by", "moves", ["cause_sender", "cause_id"])
    op.create_table(
        "clocks",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("due_at_us", sa.BigInteger(), nullable=False),
        sa.Column("next_at_us", sa.BigInteger()),
        sa.Column("paused_at_us", sa.BigInteger()),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger()),
        sa.Column("by_sender", sa.Text(), nullable=False),
        sa.Column("by_id", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.CheckConstraint("change IN ('', 'started', 'ended', 'paused', 'resumed')", name="a_change_of_a_clock"),
        sa.CheckConstraint(f"stage IN ({STAGES})", name="a_stage_of_a_clock"),
        sa.CheckConstraint("next_at_us IS NULL OR stage IN ('running', 'paused')", name="only_what_runs_speaks"),
        sa.CheckConstraint("next_at_us <= due_at_us", name="nothing_to_say_after_the_end"),
        sa.CheckConstraint("(stage = 'paused') = (paused_at_us IS NOT NULL)", name="paused_at_some_time"),
        sa.CheckConstraint(f"({OPEN}) = (ended_at_us IS NULL)", name="ended_at_some_time"),
    )
    op.create_index("clocks_of", "clocks", ["sender", "id"])
    op.create_index("clocks_by", "clocks", ["by_sender", "by_id"])
    op.create_index(
        "one_open_clock_a_rule",
        "clocks",
        ["sender", "id", "rule"],
        unique=True,
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    running = sa.text("stage = 'running'")
    op.create_index("clocks_running", "clocks", ["next_at_us"], sqlite_where=running, postgresql_where=running)
    op.create_table(
        "targets",
        sa.Column("token", sa.LargeBinary(), primary_key=True),
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq"), primary_key=True),
    )
