"""Matters and what is cited by the numbers of their envelopes: a name is looked up once, and numbers are followed.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
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
NUMBER = "(SELECT e.seq FROM envelopes e WHERE e.id = {0}id AND e.sender = {0}sender)"


def upgrade() -> None:
    """Put a number wherever a name was."""
    op.drop_index("envelopes_by_id", "envelopes")
    # SQLite alone makes the table anew, and can give a column its place; where it stands means nothing.
    anew = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("envelopes", recreate="always" if anew else "never") as envelopes:
        envelopes.add_column(sa.Column("cited_seq", sa.BigInteger()), insert_after="kind" if anew else None)
        envelopes.drop_constraint("one_envelope_a_name", type_="unique")
        envelopes.create_unique_constraint("one_envelope_a_name", ["id", "sender"])
    op.execute(
        "UPDATE envelopes SET cited_seq = (SELECT cited.seq FROM citations c JOIN envelopes cited"
        " ON cited.id = c.cited_id AND cited.sender = c.cited_sender"
        " WHERE c.envelope_seq = envelopes.seq AND c.position = 0)"
    )
    cites = sa.text("cited_seq IS NOT NULL")
    op.create_index("envelopes_citing", "envelopes", ["cited_seq", "kind"], sqlite_where=cites, postgresql_where=cites)
    op.drop_table("citations")
    _moves()
    _clocks()


def _moves() -> None:
    for index in ("moves_of", "moves_by"):
        op.drop_index(index, "moves")
    op.rename_table("moves", "named_moves")
    op.create_table(
        "moves",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("cause_seq", sa.BigInteger()),
        sa.Column("clock_rule", sa.Integer(), nullable=False),
        sa.CheckConstraint(f"state IN ({STATES})", name="a_state_of_a_matter"),
    )
    op.execute(
        "INSERT INTO moves (seq, envelope_seq, state, at_us, cause_seq, clock_rule)"  # noqa: S608  our own words
        f" SELECT seq, {NUMBER.format('m.')}, state, at_us, {NUMBER.format('m.cause_')}, clock_rule"
        " FROM named_moves m ORDER BY m.seq"
    )
    op.drop_table("named_moves")
    op.create_index("moves_of", "moves", ["envelope_seq", "seq", "state"])


def _clocks() -> None:
    for index in ("clocks_of", "clocks_by", "one_open_clock_a_rule", "clocks_running"):
        op.drop_index(index, "clocks")
    op.rename_table("clocks", "named_clocks")
    op.create_table(
        "clocks",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("envelope_seq", sa.BigInteger(), sa.ForeignKey("envelopes.seq"), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("due_at_us", sa.BigInteger(), nullable=False),
        sa.Column("next_at_us", sa.BigInteger()),
        sa.Column("paused_at_us", sa.BigInteger()),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger()),
        sa.Column("by_seq", sa.BigInteger()),
        sa.Column("change", sa.Text(), nullable=False),
        sa.CheckConstraint("change IN ('', 'started', 'ended', 'paused', 'resumed')", name="a_change_of_a_clock"),
        sa.CheckConstraint(f"stage IN ({STAGES})", name="a_stage_of_a_clock"),
        sa.CheckConstraint("next_at_us IS NULL OR stage IN ('running', 'paused')", name="only_what_runs_speaks"),
        sa.CheckConstraint("next_at_us <= due_at_us", name="nothing_to_say_after_the_end"),
        sa.CheckConstraint("(stage = 'paused') = (paused_at_us IS NOT NULL)", name="paused_at_some_time"),
        sa.CheckConstraint(f"({OPEN}) = (ended_at_us IS NULL)", name="ended_at_some_time"),
    )
    kept = "rule, started_at_us, due_at_us, next_at_us, paused_at_us, stage, ended_at_us"
    op.execute(
        f"INSERT INTO clocks (seq, envelope_seq, {kept}, by_seq, change)"  # noqa: S608
        f" SELECT seq, {NUMBER.format('c.')}, {kept}, {NUMBER.format('c.by_')}, change FROM named_clocks c"
        " ORDER BY c.seq"
    )
    op.drop_table("named_clocks")
    op.create_index("clocks_of", "clocks", ["envelope_seq"])
    op.create_index(
        "one_open_clock_a_rule",
        "clocks",
        ["envelope_seq", "rule"],
        unique=True,
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    running = sa.text("stage = 'running'")
    op.create_index("clocks_running", "clocks", ["next_at_us"], sqlite_where=running, postgresql_where=running)
    overdue = sa.text("stage = 'overdue'")
    op.create_index("clocks_overdue", "clocks", ["rule"], sqlite_where=overdue, postgresql_where=overdue)
