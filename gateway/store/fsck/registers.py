"""The ground under all, and what is kept beside the envelopes: the registry, restorations, what operators did."""

from hashlib import sha256
from itertools import islice
from typing import Any, Final

from cryptography import x509
from google.protobuf.message import DecodeError
from rogatory.v1 import enrolment_pb2 as enrolment
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import operations_pb2 as operations

from gateway import merkle, signature
from gateway.directory import Directory, ParticipantList
from gateway.errors import GatewayError, Refusal
from gateway.identity import Address, certificate_fingerprint
from gateway.signature import Domain
from gateway.store.fsck.books import PRUNED_EVENT, Books, blob
from gateway.store.fsck.findings import Check, Notes
from gateway.trust.lists import SignedList

_UNDECIDED: Final = """
    SELECT a.seq FROM applications a LEFT JOIN decisions d ON d.application_id = a.id
    WHERE a.state <> 'pending' GROUP BY a.seq HAVING count(d.registrar) = 0 ORDER BY a.seq
"""
_UNCERTIFIED: Final = """
    SELECT a.seq FROM applications a LEFT JOIN certificates c ON c.fingerprint = a.certificate AND c.address = a.address
    WHERE a.state = 'approved' AND c.fingerprint IS NULL ORDER BY a.seq
"""
_NO_APPLICATION: Final = """
    SELECT i.address FROM invitations i LEFT JOIN applications a ON a.id = i.application_id AND a.address = i.address
    WHERE i.application_id IS NOT NULL AND a.id IS NULL ORDER BY i.address
"""
_NO_LIST: Final = """
    SELECT r.address FROM revocations r LEFT JOIN node_lists l ON l.version = r.list_version
    WHERE l.version IS NULL ORDER BY r.address
"""
_LIST_BEFORE: Final = """
    SELECT version, metadata, content, same_before, same_after FROM node_lists WHERE version < ?
    ORDER BY version DESC LIMIT 1
"""
_ACTIONS: Final = """
    SELECT a.seq, a.action, a.asked_by, a.lapses_at_us IS NOT NULL, e.state, e.decided_by
    FROM actions a LEFT JOIN action_ends e ON e.action_seq = a.seq WHERE a.seq > ? ORDER BY a.seq LIMIT ?
"""
_HELD: Final = """
    SELECT d.address, a.action, e.state FROM destinations d LEFT JOIN actions a ON a.seq = d.held_by
    LEFT JOIN action_ends e ON e.action_seq = a.seq WHERE d.held_by IS NOT NULL ORDER BY d.address
"""
# What happened to an envelope may have been let go since; that it was is said.
_TOLD: Final = f"""
    SELECT 1 FROM events WHERE envelope_id = ? AND sender = ?
    AND ((substr(name, 1, 9) = 'operator.' AND actor = ?) OR name = '{PRUNED_EVENT}') LIMIT 1
"""  # noqa: S608  our own word


def check_database(books: Books, notes: Notes) -> None:
    """Have SQLite look at its own pages; PostgreSQL looks at its own as it reads them (data checksums)."""
    if not books.is_sqlite:
        return
    for (said,) in books.rows("PRAGMA integrity_check"):
        if said != "ok":
            notes.fail(Check.DATABASE, "integrity_check", said)
    for table, row, parent, _ in books.rows("PRAGMA foreign_key_check"):
        notes.fail(Check.DATABASE, f"{table} {row}", f"names what is not in {parent}")


def check_registry(books: Books, notes: Notes) -> None:
    """Check who was let in, by whom, and the lists that say so."""
    _check_lists(books, notes)
    for query, why in (
        (_UNDECIDED, "application {}: settled, and nobody decided"),
        (_UNCERTIFIED, "application {}: approved, without the certificate of its address"),
        (_NO_APPLICATION, "invitation of {}: used up by no application of his"),
        (_NO_LIST, "revocation at {}: no version of the list says it"),
    ):
        for (name,) in books.offenders(query):
            where, _, what = why.format(name).partition(": ")
            notes.fail(Check.REGISTRY, where, what)
    _check_certificates(books, notes)
    for seq, name, raw in books.pages(
        "SELECT seq, id, application FROM applications WHERE seq > ? ORDER BY seq LIMIT ?"
    ):
        if sha256(blob(raw)).digest() != name:
            notes.fail(Check.REGISTRY, f"application {seq}", "not the one that its id names")
    if books.directory is not None:
        _check_decisions(books.directory, books, notes)


def _check_lists(books: Books, notes: Notes) -> None:
    """Check each version, from the newest back: an older one is kept by what the next has changed."""
    content, after = b"", None
    version = books.rows("SELECT coalesce(max(version), 0) + 1 FROM node_lists")[0][0]
    while row := books.rows(_LIST_BEFORE, version):
        version, metadata, kept, before, same = row[0]
        where = f"list {version}"
        content = (
            blob(kept) if before is None else content[:before] + blob(kept) + content[len(content) - (same or 0) :]
        )
        try:
            now = ParticipantList.parse(content, "list")
            signed = SignedList.read(now.node, blob(metadata), content)
            if signed.version != version:
                notes.fail(Check.LISTS, where, f"its metadata says {signed.version}")
            if after is not None:
                after.check_continues(now)
            after = now
        except Refusal as error:
            notes.fail(Check.LISTS, where, str(error))


def _check_certificates(books: Books, notes: Notes) -> None:
    last = b""
    while page := books.rows(
        "SELECT fingerprint, address, certificate FROM certificates WHERE fingerprint > ?"
        " ORDER BY fingerprint LIMIT 64",
        last,
    ):
        last = page[-1][0]
        for fingerprint, address, raw in page:
            try:
                same = certificate_fingerprint(x509.load_der_x509_certificate(blob(raw))) == fingerprint
            except ValueError:
                same = False
            if not same:
                notes.fail(Check.REGISTRY, f"certificate of {address}", "not the one that its fingerprint names")


def _check_decisions(directory: Directory, books: Books, notes: Notes) -> None:
    last: tuple[Any, Any, Any] = (b"", "", b"")
    # Row values are standard SQL, and both engines find the next page by the primary key.
    while page := books.rows(
        "SELECT application_id, registrar, key_id, decision, signature FROM decisions"
        " WHERE (application_id, registrar, key_id) > (?, ?, ?) ORDER BY application_id, registrar, key_id LIMIT 64",
        *last,
    ):
        last = page[-1][:3]
        for application_id, registrar, key_id, raw, raw_signature in page:
            where = f"decision of {registrar}"
            try:
                signed = pb.Signature.FromString(blob(raw_signature))
                said = enrolment.Decision.FromString(blob(raw))
                public = _listed_key(directory, registrar, key_id)
                if (signed.signer, signed.key_id) != (registrar, key_id) or said.application_id != application_id:
                    notes.fail(Check.DECISIONS_PROVEN, where, "of another registrar, key or application")
                elif public is None:
                    notes.fail(Check.DECISIONS_PROVEN, where, "the directory lists no such key of his")
                else:
                    signature.verify(Domain.DECISION, blob(raw), signed, public)
            except (DecodeError, GatewayError) as error:
                notes.fail(Check.DECISIONS_PROVEN, where, str(error))


def _listed_key(directory: Directory, registrar: str, key_id: bytes) -> bytes | None:
    """Return a key whenever it was valid: what was decided with it since is the registry's to judge."""
    entry = directory.participant(Address.parse(registrar))
    keys = () if entry is None else entry.signing_keys
    return next((key.public for key in keys if signature.key_id(key.public) == key_id), None)


def check_restorations(books: Books, notes: Notes) -> None:
    """Check that what a backup had of the log is still how the log begins."""
    for seq, size, root in books.rows("SELECT seq, log_size, log_root FROM restorations ORDER BY seq"):
        leaves = books.pages("SELECT position, leaf_hash FROM log_entries WHERE position > ? ORDER BY position LIMIT ?")
        found = merkle.root(leaf for _, leaf in islice(leaves, size))
        if books.count("log_entries") < size or found != root:
            notes.fail(
                Check.RESTORATIONS, f"restoration {seq}", f"the first {size} entries are not those of the backup"
            )


def check_actions(books: Books, notes: Notes) -> None:
    """Check what operators did, by whom, and why nothing goes to a destination."""
    for seq, raw, asked_by, needs_two, state, decided_by in books.pages(_ACTIONS):
        action, where = _action(raw), f"action {seq}"
        if action is None or not action.reason or not asked_by.startswith(f"{books.here}/"):
            notes.fail(Check.ACTIONS, where, "without a reason, or by nobody of this node")
            continue
        if state == "done" and needs_two and (decided_by == asked_by or not decided_by.startswith(f"{books.here}/")):
            notes.fail(Check.ACTIONS, where, "done, and no second operator of this node approved it")
        about = getattr(action, action.WhichOneof("what") or "")
        if state == "done" and about.DESCRIPTOR.fields_by_name.get("envelope") and about.HasField("envelope"):
            name = about.envelope
            if not books.rows(_TOLD, name.id, name.sender, asked_by):
                notes.fail(Check.ACTIONS, where, "done, and no event of its envelope says so")
    for address, raw, state in books.rows(_HELD):
        action = _action(raw)
        if action is None or action.hold.destination != address or state != "done":
            notes.fail(Check.ACTIONS, f"destination {address}", "held, and by no action that was done")


def _action(raw: object) -> operations.Action | None:
    try:
        made = operations.Action.FromString(blob(raw))
    except DecodeError:
        return None
    return made if made.WhichOneof("what") else None
