"""The tables as they are now. The migrations are how they came to be; a test holds the two together.

Append-only: envelopes, receipts, log_entries, log_nodes, checkpoints, cosignatures, alarms, alerts, events, moves,
targets, actions and action_ends of operators, and of the registry node_lists, decisions, certificates, renewals,
revocations. Rows of deliveries, destinations, clocks, witnessed, standing, channels, invitations, applications,
restorations and of sealed files alone are updated. What policy lets go (docs/retention.md) is an envelope's payload,
and rows of events and deliveries; rows of sealed files go when nobody needs them, those of standing when it is over.
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
    text,
)

from gateway import rules
from gateway.lanes import Lane
from gateway.lifecycle import FINAL, LEASED, State
from gateway.store.matters import OPEN_STAGES, Stage

# SQLite gives a row its number by itself only in a column of exactly this type.
Serial = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

_ALL = ", ".join(f"'{state.value}'" for state in State)
_OF_MATTERS = ", ".join(f"'{state.value}'" for state in rules.State)
_STAGES = ", ".join(f"'{stage.value}'" for stage in Stage)
_OPEN = [stage.value for stage in OPEN_STAGES]
_PENDING = [state.value for state in State if state not in FINAL]
# SQLite takes the index on pending deliveries only if a query says `state IN` this very list.
PENDING_SQL: Final = "(" + ", ".join(f"'{state}'" for state in _PENDING) + ")"
# Those of them that wait for an attempt.
WAITING_SQL: Final = f"state IN {PENDING_SQL} AND state IN ('queued', 'doubtful')"
_LEASED = sorted(state.value for state in LEASED)
# Likewise those on what is leased, and on what expires.
LEASED_SQL: Final = "state IN (" + ", ".join(f"'{state}'" for state in _LEASED) + ")"
EXPIRING_SQL: Final = "state = 'queued' AND expires_at_us IS NOT NULL"
# Whether nothing goes to a destination.
HELD_SQL: Final = "SELECT 1 FROM destinations WHERE address = ? AND held_by IS NOT NULL"

envelopes = Table(
    "envelopes",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("kind", Integer, nullable=False),
    # The number of what it cites; NULL: nothing, or nothing that was recorded here before it.
    Column("cited_seq", BigInteger),
    Column("case_id", Text, nullable=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("header", LargeBinary, nullable=False),
    # Signatures, slots and manifest, as a SignedEnvelope without header and payload.
    Column("proof", LargeBinary, nullable=False),
    # NULL once purged; header, proof, receipts and log entries stay.
    Column("payload", LargeBinary),
    UniqueConstraint("id", "sender", name="one_envelope_a_name"),
    Index("envelopes_by_case", "case_id"),
    # By time first: it grows at its end alone. The rest is there to be looked through, see finding.py.
    Index("envelopes_found", "recorded_at_us", "seq", "sender", "recipient", "kind"),
    Index(
        "envelopes_citing",
        "cited_seq",
        "kind",
        sqlite_where=text("cited_seq IS NOT NULL"),
        postgresql_where=text("cited_seq IS NOT NULL"),
    ),
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
    Column("digest", LargeBinary, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    # By the envelope first: ids begin with the time, so what is new goes to the end of the index, and not everywhere.
    Index("one_receipt_a_statement", "id", "sender", "digest", unique=True),
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
    # Of the envelope's fingerprint or the receipt's statement: `gateway.log_entry`.
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq")),
    Column("receipt_seq", BigInteger, ForeignKey("receipts.seq")),
    CheckConstraint("(envelope_seq IS NULL) <> (receipt_seq IS NULL)", name="one_thing_an_entry"),
)

log_nodes = Table(
    "log_nodes",
    metadata,
    # The root over 256^level entries; `number` such are before it. See log.py.
    Column("level", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True),
    # After a restoration the same entries begin another log.
    Column("origin", Text, primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    # The signed note, as it is handed out.
    Column("note", LargeBinary, nullable=False),
)

cosignatures = Table(
    "cosignatures",
    metadata,
    # Of which checkpoint.
    Column("size", BigInteger, primary_key=True),
    Column("origin", Text, primary_key=True),
    # Of the witness's key.
    Column("name", Text, primary_key=True),
    Column("key_id", LargeBinary, primary_key=True),
    # C2SP tlog-cosignature, with its newline.
    Column("line", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

witnessed = Table(
    "witnessed",
    metadata,
    # What this node has cosigned last of another one's log.
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    # With the log's own signatures, and no others.
    Column("note", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("code", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    # Two checkpoints, as the log signed them, and what was to prove that the second continues the first.
    Column("held", LargeBinary, nullable=False),
    Column("brought", LargeBinary, nullable=False),
    Column("proof", LargeBinary, nullable=False),
    # The same again is no news.
    Column("digest", LargeBinary, nullable=False, unique=True),
    Index("alarms_of", "origin"),
)

standing = Table(
    "standing",
    metadata,
    # What an operator has to know now, see conditions.py.
    Column("name", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    # For the first time.
    Column("seen_at_us", BigInteger, nullable=False),
    # When an alert was raised, and when one was told last; 0: it has not lasted long enough.
    Column("raised_at_us", BigInteger, nullable=False),
    Column("told_at_us", BigInteger, nullable=False),
    # Since when it is over, but perhaps not for good; 0: it is not.
    Column("gone_at_us", BigInteger, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("word", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("raised_at_us", BigInteger, nullable=False),
    Column("urgent", Integer, nullable=False),
    CheckConstraint("word IN ('alert.raised', 'alert.lasting', 'alert.cleared')", name="a_word_of_an_alert"),
    CheckConstraint("urgent IN (0, 1)", name="urgent_or_not"),
)

channels = Table(
    "channels",
    metadata,
    # "webhook" or "mail".
    Column("name", Text, primary_key=True),
    # The last alert that got through, or was given up.
    Column("told_seq", BigInteger, nullable=False),
    # In a row.
    Column("failures", Integer, nullable=False),
    # Before that nobody tries: after a failure, and while somebody does.
    Column("next_at_us", BigInteger, nullable=False),
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
    # See gateway/lanes.py; a program of before queues without it.
    Column("lane", Integer, nullable=False, server_default=text(str(Lane.ORDINARY.value))),
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
        "lane",
        "seq",
        sqlite_where=Column("state").in_(_PENDING),
        postgresql_where=Column("state").in_(_PENDING),
    ),
    # Every second somebody asks what has lapsed and what has expired, and a million copies may wait for a dead country.
    Index(
        "deliveries_leased",
        "lease_until_us",
        sqlite_where=text(LEASED_SQL),
        postgresql_where=text(LEASED_SQL),
    ),
    Index(
        "deliveries_expiring",
        "expires_at_us",
        sqlite_where=text(EXPIRING_SQL),
        postgresql_where=text(EXPIRING_SQL),
    ),
)

# What operators do, see operations.py.

actions = Table(
    "actions",
    metadata,
    Column("seq", Serial, primary_key=True),
    # An Action, as it was asked for.
    Column("action", LargeBinary, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at_us", BigInteger, nullable=False),
    # Until then a second operator may decide; NULL: none was needed.
    Column("lapses_at_us", BigInteger),
    Index(
        "actions_to_decide",
        "lapses_at_us",
        sqlite_where=text("lapses_at_us IS NOT NULL"),
        postgresql_where=text("lapses_at_us IS NOT NULL"),
    ),
)

action_ends = Table(
    "action_ends",
    metadata,
    Column("action_seq", BigInteger, ForeignKey("actions.seq"), primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    # The second operator; empty: none was needed.
    Column("decided_by", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    # Copies.
    Column("touched", BigInteger, nullable=False),
    # Why it could not be done; 0: it could.
    Column("code", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    CheckConstraint("state IN ('done', 'rejected', 'failed')", name="an_end_of_an_action"),
    CheckConstraint("(state = 'failed') = (code <> 0)", name="failed_for_a_reason"),
)

destinations = Table(
    "destinations",
    metadata,
    # A participant's address, or "de/node"; only those are here that operators did something about.
    Column("address", Text, primary_key=True),
    # The action by which nothing goes there; NULL: everything does.
    Column("held_by", BigInteger, ForeignKey("actions.seq")),
    # When somebody last wanted what waits to be tried at once; 0: never.
    Column("resent_at_us", BigInteger, nullable=False),
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
    # Of refusals and failed attempts alone: whatever goes well is not written twice.
    Index("events_failed", "code", "seq", sqlite_where=text("code <> 0"), postgresql_where=text("code <> 0")),
)

programs = Table(
    "programs",
    metadata,
    # The newest migration that a program must know to work on this store, in its one row; see connection.py.
    Column("oldest", Text, primary_key=True),
)

# Where matters stand, see rules.py. A matter has the number of its envelope.

moves = Table(
    "moves",
    metadata,
    # The last row of a matter is where it stands.
    Column("seq", Serial, primary_key=True),
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq"), nullable=False),
    Column("state", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    # The envelope that moved it; NULL: a time limit or another node's statement did.
    Column("cause_seq", BigInteger),
    # The rule of that time limit; 0: none.
    Column("clock_rule", Integer, nullable=False),
    CheckConstraint(f"state IN ({_OF_MATTERS})", name="a_state_of_a_matter"),
    # With the state in it: where a matter stands is asked most of all.
    Index("moves_of", "envelope_seq", "seq", "state"),
)

clocks = Table(
    "clocks",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq"), nullable=False),
    Column("rule", Integer, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    # The first instant that is too late.
    Column("due_at_us", BigInteger, nullable=False),
    # When this node has something to say, a warning or the end; NULL: never. A pause moves it with the end.
    Column("next_at_us", BigInteger),
    Column("paused_at_us", BigInteger),
    Column("stage", Text, nullable=False),
    Column("ended_at_us", BigInteger),
    # The envelope that changed it last, and how, so that this can be undone if the envelope is not taken in the end.
    Column("by_seq", BigInteger),
    Column("change", Text, nullable=False),
    CheckConstraint("change IN ('', 'started', 'ended', 'paused', 'resumed')", name="a_change_of_a_clock"),
    CheckConstraint(f"stage IN ({_STAGES})", name="a_stage_of_a_clock"),
    CheckConstraint("next_at_us IS NULL OR stage IN ('running', 'paused')", name="only_what_runs_speaks"),
    CheckConstraint("next_at_us <= due_at_us", name="nothing_to_say_after_the_end"),
    CheckConstraint("(stage = 'paused') = (paused_at_us IS NOT NULL)", name="paused_at_some_time"),
    CheckConstraint("(stage IN ('running', 'paused', 'overdue')) = (ended_at_us IS NULL)", name="ended_at_some_time"),
    Index("clocks_of", "envelope_seq"),
    Index(
        "one_open_clock_a_rule",
        "envelope_seq",
        "rule",
        unique=True,
        sqlite_where=Column("stage").in_(_OPEN),
        postgresql_where=Column("stage").in_(_OPEN),
    ),
    Index(
        "clocks_running",
        "next_at_us",
        sqlite_where=Column("stage") == Stage.RUNNING.value,
        postgresql_where=Column("stage") == Stage.RUNNING.value,
    ),
    Index(
        "clocks_overdue",
        "rule",
        sqlite_where=Column("stage") == Stage.OVERDUE.value,
        postgresql_where=Column("stage") == Stage.OVERDUE.value,
    ),
)

targets = Table(
    "targets",
    metadata,
    # See gateway/targets.py: equal tokens are equal targets, and no node can tell which.
    Column("token", LargeBinary, primary_key=True),
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq"), primary_key=True),
)

# Sealed files that go with envelopes, see attachments.py.

uploads = Table(
    "uploads",
    metadata,
    # Who brought it: a participant's address, or "de/node".
    Column("owner", Text, primary_key=True),
    # SHA-256 over the ciphertext.
    Column("digest", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    # Where its bytes lie; never used again.
    Column("place", Text, nullable=False, unique=True),
    Column("received", BigInteger, nullable=False),
    # 1: all is there, and has the digest.
    Column("whole", Integer, nullable=False),
    Column("touched_at_us", BigInteger, nullable=False),
    CheckConstraint("whole IN (0, 1)", name="whole_or_not"),
    CheckConstraint("received <= size", name="no_more_than_announced"),
    Index("uploads_of_file", "digest"),
    Index("uploads_by_touch", "touched_at_us"),
)

attachments = Table(
    "attachments",
    metadata,
    Column("envelope_seq", BigInteger, ForeignKey("envelopes.seq"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    # When every copy of the envelope had ended; NULL: one is on its way.
    Column("ended_at_us", BigInteger),
    Index("attachments_naming", "digest"),
    Index(
        "attachments_live",
        "envelope_seq",
        sqlite_where=Column("ended_at_us").is_(None),
        postgresql_where=Column("ended_at_us").is_(None),
    ),
)

freight = Table(
    "freight",
    metadata,
    Column("delivery_seq", BigInteger, ForeignKey("deliveries.seq", ondelete="CASCADE"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("destination", Text, nullable=False),
    # 1: the other node has it, or has refused it for good.
    Column("carried", Integer, nullable=False),
    CheckConstraint("carried IN (0, 1)", name="carried_or_not"),
    Index(
        "freight_waiting",
        "destination",
        "digest",
        sqlite_where=Column("carried") == 0,
        postgresql_where=Column("carried") == 0,
    ),
)

discarded = Table(
    "discarded",
    metadata,
    # Where bytes lie that nobody knows any more, until they are deleted.
    Column("place", Text, primary_key=True),
)

restorations = Table(
    "restorations",
    metadata,
    # One for each time that this store was put back from a backup.
    Column("seq", Serial, primary_key=True),
    Column("restored_at_us", BigInteger, nullable=False),
    Column("backup_made_at_us", BigInteger, nullable=False),
    # Entries of the log that the backup had, and the root over them (RFC 6962). What came after is another log.
    Column("log_size", BigInteger, nullable=False),
    Column("log_root", LargeBinary, nullable=False),
    # When a node began to serve from it; NULL: none has, and none does without an explicit word.
    Column("taken_up_at_us", BigInteger),
)

# The registry of a node that enrols its own participants. What was signed stays as it came: it is evidence.

node_lists = Table(
    "node_lists",
    metadata,
    # The node's own signed list, every version of it that was made here.
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("metadata", LargeBinary, nullable=False),
    # Of the newest, all of it; of an older one, what stood in the place of what the next version says.
    Column("content", LargeBinary, nullable=False),
    Column("made_at_us", BigInteger, nullable=False),
    # Bytes of the next version, from its beginning and to its end, that this one has too. NULL: the content is whole.
    Column("same_before", BigInteger),
    Column("same_after", BigInteger),
)

certificates = Table(
    "certificates",
    metadata,
    # See `identity.certificate_fingerprint`.
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("address", Text, nullable=False),
    # SHA-256 of the public key (SubjectPublicKeyInfo).
    Column("key_digest", LargeBinary, nullable=False),
    Column("issued_at_us", BigInteger, nullable=False),
    Column("not_after_us", BigInteger, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Index("certificates_of", "address", "not_after_us"),
    Index("certificates_of_key", "key_digest"),
)

applications = Table(
    "applications",
    metadata,
    Column("seq", Serial, primary_key=True),
    # SHA-256 of the application.
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("address", Text, nullable=False),
    Column("application", LargeBinary, nullable=False),
    # Signature and sealing proof, as an ApplyRequest without application and code.
    Column("proof", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("received_at_us", BigInteger, nullable=False),
    Column("decided_at_us", BigInteger),
    Column("certificate", LargeBinary, ForeignKey("certificates.fingerprint")),
    CheckConstraint("state IN ('pending', 'approved', 'rejected')", name="a_state_of_an_application"),
    CheckConstraint("(state = 'pending') = (decided_at_us IS NULL)", name="decided_at_some_time"),
    CheckConstraint("(state = 'approved') = (certificate IS NOT NULL)", name="approved_with_a_certificate"),
    Index("applications_in_state", "state", "seq"),
    Index("applications_of", "address", "state"),
)

invitations = Table(
    "invitations",
    metadata,
    # SHA-256 of the one-time code, which is kept nowhere.
    Column("code_digest", LargeBinary, primary_key=True),
    Column("address", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    # What used it up.
    Column("application_id", LargeBinary, ForeignKey("applications.id"), unique=True),
    Index("invitations_open", "application_id", "expires_at_us"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("application_id", LargeBinary, ForeignKey("applications.id"), primary_key=True),
    Column("registrar", Text, primary_key=True),
    # Of the signature: whoever comes after a registrar at its address decides anew.
    Column("key_id", LargeBinary, primary_key=True),
    Column("decision", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("received_at_us", BigInteger, nullable=False),
)

renewals = Table(
    "renewals",
    metadata,
    # SHA-256 of the renewal.
    Column("digest", LargeBinary, primary_key=True),
    Column("address", Text, nullable=False),
    Column("renewal", LargeBinary, nullable=False),
    # Signatures and sealing proof, as a RenewRequest without renewal.
    Column("proof", LargeBinary, nullable=False),
    Column("received_at_us", BigInteger, nullable=False),
    Column("certificate", LargeBinary, ForeignKey("certificates.fingerprint")),
    # 0: no key was listed.
    Column("keys_valid_from_us", BigInteger, nullable=False),
)

revocations = Table(
    "revocations",
    metadata,
    # SHA-256 of the revocation.
    Column("digest", LargeBinary, primary_key=True),
    Column("address", Text, nullable=False),
    Column("revocation", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("received_at_us", BigInteger, nullable=False),
    # Of the node's list that says it first.
    Column("list_version", BigInteger, nullable=False),
    Index("revocations_of", "address", "received_at_us"),
)
