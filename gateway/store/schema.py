"""The tables as they are now. The migrations are how they came to be; a test holds the two together.

Append-only: envelopes, citations, receipts, log_entries, events. A delivery row alone is updated.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from gateway.lifecycle import FINAL, State

# SQLite gives a row its number by itself only in a column of exactly this type.
Serial = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

_ALL = ", ".join(f"'{state.value}'" for state in State)
_PENDING = [state.value for state in State if state not in FINAL]
# SQLite takes the index on pending deliveries only if a query says `state IN` this very list.
PENDING_SQL: Final = "(" + ", ".join(f"'{state}'" for state in _PENDING) + ")"

envelopes = Table(
    "envelopes",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("case_id", Text, nullable=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("header", LargeBinary, nullable=False),
    # Signatures and slots, as a SignedEnvelope without header and payload.
    Column("proof", LargeBinary, nullable=False),
    # NULL once purged; header, proof, receipts and log entries stay.
    Column("payload", LargeBinary),
    UniqueConstraint("sender", "id", name="one_envelope_a_name"),
    Index("envelopes_by_id", "id"),
    Index("envelopes_by_case", "case_id"),
)

citations = Table(
    "citations",
    metadata,
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("cited_sender", Text, nullable=False),
    Column("cited_id", Text, nullable=False),
    Column("kind", Integer, nullable=False),
    Index("citations_of", "cited_sender", "cited_id", "kind"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("milestone", Integer, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    # SHA-256 over the statement: the same statement relayed twice is kept once.
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Index("receipts_of", "id", "sender"),
    # A copy is delivered or expires (milestones 2 and 4), and one node says so once.
    Index(
        "one_end_a_copy",
        "sender",
        "id",
        "recipient",
        "issuer",
        unique=True,
        sqlite_where=Column("milestone").in_((2, 4)),
        postgresql_where=Column("milestone").in_((2, 4)),
    ),
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("position", Serial, primary_key=True),
    # RFC 6962 leaf hash over the envelope's fingerprint or the receipt's statement.
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq")),
    Column("receipt_seq", BigInteger, ForeignKey("receipts.seq")),
    CheckConstraint("(envelope_seq IS NULL) <> (receipt_seq IS NULL)", name="one_thing_an_entry"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq")),
    Column("receipt_seq", BigInteger, ForeignKey("receipts.seq")),
    # A participant's address, or "de/node".
    Column("destination", Text, nullable=False),
    # Copies of one case to one destination go in order. Empty: no order.
    Column("case_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("lease_holder", Text, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Column("last_error", Text, nullable=False),
    CheckConstraint(f"state IN ({_ALL})", name="a_known_state"),
    CheckConstraint("(envelope_seq IS NULL) <> (receipt_seq IS NULL)", name="one_thing_a_delivery"),
    Index("deliveries_of_envelope", "envelope_seq"),
    Index(
        "deliveries_in_order",
        "destination",
        "case_id",
        "seq",
        sqlite_where=Column("state").in_(_PENDING),
        postgresql_where=Column("state").in_(_PENDING),
    ),
    Index(
        "deliveries_pending",
        "destination",
        "seq",
        sqlite_where=Column("state").in_(_PENDING),
        postgresql_where=Column("state").in_(_PENDING),
    ),
)

events = Table(
    "events",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("sender", Text, nullable=False),
    Column("envelope_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("code", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    # Stages passed and the microseconds each took, e.g. "envelope.received:12 envelope.verified:95".
    Column("stages", Text, nullable=False),
    Index("events_of", "envelope_id"),
)
