"""What was recorded: envelopes and receipts, each for itself and against the others."""

from hashlib import sha256
from typing import Any, Final

from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb

from gateway import envelope, manifest, statement
from gateway.errors import GatewayError
from gateway.store.fsck.books import Books, File, blob, header_of, statement_of
from gateway.store.fsck.findings import Check, Notes

STAGES: Final = (
    "envelope.received",
    "peer.authenticated",
    "action.permitted",
    "envelope.verified",
    "step.lawful",
    "envelope.recorded",
    "delivery.queued",
    "receipt.issued",
)
"""Of the path, in the words of the trace (style guide, section 3)."""


def check_envelope(file: File, books: Books, notes: Notes) -> None:
    """Check one envelope and what is kept beside it."""
    header = file.header
    columns = (file.sender, file.id, file.recipient, file.kind, file.case_id)
    if columns != (header.sender, header.id, next(iter(header.recipients), ""), header.kind, header.case_id):
        notes.fail(Check.HEADERS, str(file), "columns and header differ")
    if file.envelope is None:
        notes.fail(Check.FINGERPRINTS, str(file), "signatures and slots cannot be read")
    else:
        _check_bytes(file, file.envelope, books, notes)
        _check_signers(file, file.envelope, books, notes)
    _check_citation(file, books, notes)
    _check_targets(file, books, notes)
    _check_files(file, books, notes)
    _check_accepted(file, books, notes)


def _check_bytes(file: File, held: pb.SignedEnvelope, books: Books, notes: Notes) -> None:
    header = file.header
    if envelope.slots_digest(held.slots) != header.slots_digest:
        notes.fail(Check.FINGERPRINTS, str(file), "its slots are not those of the header")
    if not file.has_payload:
        return  # the fingerprint covers the payload; the acceptance vouches for it, see ACCEPTED
    held.sealed_payload = books.payload(file.seq)
    if sha256(held.sealed_payload).digest() != header.payload_digest:
        notes.fail(Check.FINGERPRINTS, str(file), "its payload is not that of the header")
    if envelope.fingerprint(held) != file.fingerprint:
        notes.fail(Check.FINGERPRINTS, str(file), "the bytes have another fingerprint")
    held.ClearField("sealed_payload")


def _check_signers(file: File, held: pb.SignedEnvelope, books: Books, notes: Notes) -> None:
    header = file.header
    signers = [each.signer for each in held.signatures]
    first = next(iter(held.signatures), pb.Signature())
    if (first.signer, first.key_id) != (header.sender, header.sender_key_id) or len(set(signers)) != len(signers):
        notes.fail(Check.SIGNED, str(file), "not signed by its sender first and by each once")
    if books.directory is None:
        return
    try:
        envelope.verify_signatures(held, header, books.directory.signing_key)
    except GatewayError as error:
        notes.fail(Check.SIGNATURES, str(file), str(error))


def _check_citation(file: File, books: Books, notes: Notes) -> None:
    cited = next((books.header(each.sender, each.id) for each in file.header.cites), None)
    number = None if cited is None else cited[0]
    # What it cites may come later, from a third country, and is then not what it was checked against.
    if file.cited_seq != number and not (file.cited_seq is None and number is not None and number > file.seq):
        notes.fail(Check.CITATIONS, str(file), f"it cites {number}, and is kept as citing {file.cited_seq}")


def _check_targets(file: File, books: Books, notes: Notes) -> None:
    header = file.header
    abroad = header.recipients and header.recipients[0][:2] != header.sender[:2]
    tokens = set(header.target_tokens) if abroad else set[bytes]()
    found = {row[0] for row in books.rows("SELECT token FROM targets WHERE envelope_seq = ?", file.seq)}
    if found != tokens:
        notes.fail(Check.TARGETS, str(file), f"{len(found)} targets are kept, the header names {len(tokens)}")


def _check_files(file: File, books: Books, notes: Notes) -> None:
    if file.envelope is None or not file.envelope.attachments:
        return
    kept = books.rows("SELECT digest, size FROM attachments WHERE envelope_seq = ? ORDER BY position", file.seq)
    try:
        named = [(each.sha256, each.size) for each in manifest.parse(file.envelope.attachments)]
    except GatewayError:
        named = []
    # By these rows files are kept, not by the envelopes.
    if [(blob(digest), size) for digest, size in kept] != named:
        notes.fail(Check.HEADERS, str(file), "it is kept as naming other files than its manifest")


def _check_accepted(file: File, books: Books, notes: Notes) -> None:
    accepted = file.accepted_by(books.me)
    if len(accepted) != 1:
        notes.fail(Check.ACCEPTED, str(file), f"{len(accepted)} acceptances of {books.me}")
    elif accepted[0].said.at_us != file.recorded_at_us:
        notes.fail(Check.ACCEPTED, str(file), "accepted at another time than it was recorded")
    if file.is_pruned:
        return
    # Of the same name, and without stages, is the news that another node accepted it.
    stages = [passed for name, passed in file.events if name == "envelope.accepted" and passed]
    if [tuple(stage.rpartition(":")[0] for stage in each.split()) for each in stages] != [STAGES]:
        notes.fail(Check.PATH, str(file), "no one event that says it passed each stage once, in order")


def check_receipts(books: Books, notes: Notes) -> None:
    """Check every receipt."""
    rows = books.pages(
        "SELECT seq, sender, id, milestone, issuer, recipient, at_us, digest, statement, signature FROM receipts"
        " WHERE seq > ? ORDER BY seq LIMIT ?"
    )
    for row in rows:
        _check_receipt(row, books, notes)
        notes.done()


def _check_receipt(row: Any, books: Books, notes: Notes) -> None:  # noqa: ANN401  pysqlite3 has no types
    seq, *columns = row[:7]
    digest, raw, raw_signature = map(blob, row[7:])
    said, where = statement_of(raw), f"receipt {seq}"
    named = [said.envelope.sender, said.envelope.id, said.milestone, said.issuer, said.recipient, said.at_us]
    try:
        signed = pb.Signature.FromString(raw_signature)
    except DecodeError:
        signed = pb.Signature()
    if columns != named or digest != sha256(raw).digest() or signed.signer != said.issuer:
        notes.fail(Check.STATEMENTS, where, "columns, digest or signer are not those of the statement")
    if books.directory is not None:
        try:
            statement.verify(pb.Receipt(statement=raw, signature=signed), books.directory.signing_key)
        except GatewayError as error:
            notes.fail(Check.STATEMENTS_PROVEN, where, str(error))
    _check_subject(said, where, books, notes)


def _check_subject(said: pb.Statement, where: str, books: Books, notes: Notes) -> None:
    name = said.envelope
    found = books.rows("SELECT header, fingerprint FROM envelopes WHERE sender = ? AND id = ?", name.sender, name.id)
    if not found or found[0][1] != said.fingerprint:
        # Of what was never taken, or of other bytes under a name in use, one can only say no.
        if said.milestone != pb.MILESTONE_REFUSED:
            notes.fail(Check.SUBJECTS, where, "it is about no recorded bytes")
        if said.milestone == pb.MILESTONE_ACCEPTED and said.issuer == books.me:
            notes.fail(Check.ACCEPTED, where, "what it accepts is not recorded")
        return
    try:
        statement.check_subject(said, header_of(found[0][0]), found[0][1])
    except GatewayError as error:
        notes.fail(Check.SUBJECTS, where, str(error))


_NOT_ONCE: Final = (
    # A join, not a look-up for each: there is no index that leads from what is logged to its entry.
    "SELECT t.seq, count(l.position) FROM {0}s t LEFT JOIN log_entries l ON l.{0}_seq = t.seq"
    " GROUP BY t.seq HAVING count(l.position) <> 1 ORDER BY t.seq"
)


def check_strays(books: Books, notes: Notes) -> None:
    """Check that everything is logged once, and that what hangs on an envelope has one."""
    for table in ("envelope", "receipt"):
        for seq, times in books.offenders(_NOT_ONCE.format(table)):
            notes.fail(Check.LOG_COMPLETE, f"{table} {seq}", f"logged {times} times")
    stray = "SELECT t.envelope_seq FROM targets t LEFT JOIN envelopes e ON e.seq = t.envelope_seq WHERE e.seq IS NULL"
    for (seq,) in books.offenders(stray):
        notes.fail(Check.TARGETS, f"envelope {seq}", "not recorded")
