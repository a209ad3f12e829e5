"""What became of each copy: on its way, or ended once, as was stated and told."""

from typing import Final

from rogatory.v1 import envelope_pb2 as pb

from gateway.lifecycle import LEASED, State
from gateway.store.fsck.books import Books, File, Word
from gateway.store.fsck.findings import Check, Notes

_STATES: Final = ", ".join(f"'{state.value}'" for state in State)
_LEASED: Final = ", ".join(f"'{state.value}'" for state in LEASED)
_UNTRIED: Final = f"'{State.QUEUED.value}', '{State.EXPIRED.value}'"
_END_OF: Final = {
    State.DELIVERED.value: pb.MILESTONE_DELIVERED,
    State.EXPIRED.value: pb.MILESTONE_EXPIRED,
    State.REFUSED.value: pb.MILESTONE_REFUSED,
}

_UNSOUND: Final = f"""
    SELECT seq, state FROM deliveries
    WHERE state NOT IN ({_STATES})
       OR (envelope_seq IS NULL) = (receipt_seq IS NULL)
       OR (state IN ({_LEASED}) AND (lease_holder = '' OR lease_until_us <= 0))
       OR (state NOT IN ({_LEASED}) AND (lease_holder <> '' OR lease_until_us <> 0))
       OR attempts < 0 OR (attempts = 0 AND state NOT IN ({_UNTRIED}))
    ORDER BY seq
"""  # noqa: S608  built from the states of lifecycle.py, nothing from outside
_LOST: Final = """
    SELECT d.seq FROM deliveries d LEFT JOIN envelopes e ON e.seq = d.envelope_seq
    LEFT JOIN receipts r ON r.seq = d.receipt_seq WHERE e.seq IS NULL AND r.seq IS NULL ORDER BY d.seq
"""
_SENT_TWICE: Final = """
    SELECT receipt_seq, destination FROM deliveries WHERE receipt_seq IS NOT NULL
    GROUP BY receipt_seq, destination HAVING count(*) > 1 ORDER BY receipt_seq
"""
# A join, not a look-up for each: there is no index that leads from a receipt to its copies.
_UNTOLD: Final = """
    SELECT r.seq, r.sender, r.id FROM receipts r JOIN envelopes e ON e.sender = r.sender AND e.id = r.id
    LEFT JOIN deliveries d ON d.receipt_seq = r.seq AND d.destination =
      CASE substr(r.sender, 1, 3) WHEN '{here}/' THEN r.sender ELSE substr(r.sender, 1, 3) || 'node' END
    WHERE r.milestone IN (2, 3, 4) AND d.seq IS NULL ORDER BY r.seq
"""


def check_envelope(file: File, books: Books, notes: Notes) -> None:
    """Check the ways of one envelope."""
    ends = file.ends(books.me)
    _check_ways(file, books, notes)
    if len(ends) > 1:
        told = ", ".join(f"{pb.Milestone.Name(word.said.milestone)[10:]} by {word.said.issuer}" for word in ends)
        notes.fail(Check.ONE_END, str(file), told)
    if not ends and not _is_alive(file):
        notes.fail(Check.SOMEBODY_ACTS, str(file), "it has no end, and nobody carries it")
    _check_agreement(file, ends, books, notes)
    _check_purged(file, ends, notes)


def check_all(books: Books, notes: Notes) -> None:
    """Check all deliveries, of receipts too."""
    for seq, state in books.offenders(_UNSOUND):
        notes.fail(Check.LEASES, f"delivery {seq}", f"{state}, and its lease, attempts or subject do not fit")
    for (seq,) in books.offenders(_LOST):
        notes.fail(Check.LEASES, f"delivery {seq}", "of nothing that is recorded")
    for seq, destination in books.offenders(_SENT_TWICE):
        notes.fail(Check.WAYS, f"receipt {seq}", f"more than one copy for {destination}")
    # What has no copy is no offence yet: it may be this node's proof, or its history was pruned.
    for number, *envelope in books.each(_UNTOLD.format(here=books.here)):
        (file,) = books.envelopes_where("sender = ? AND id = ?", *envelope)
        if not file.is_pruned and any(word.seq == number for word in file.ends(books.me)):
            notes.fail(Check.TOLD, str(file), f"receipt {number} does not go to the sender")


def _check_ways(file: File, books: Books, notes: Notes) -> None:
    if file.is_pruned and not file.copies:
        return
    wanted = {
        recipient if recipient[:2] == books.here else f"{recipient[:2]}/node" for recipient in file.header.recipients
    }
    destinations = [copy.destination for copy in file.copies]
    if sorted(destinations) != sorted(wanted):
        notes.fail(Check.WAYS, str(file), f"copies for {destinations}, wanted for {sorted(wanted)}")
    if any(copy.case_id != file.case_id for copy in file.copies):
        notes.fail(Check.WAYS, str(file), "a copy goes in the order of another case")
    expires_at_us = file.header.expires_at_us if file.header.HasField("expires_at_us") else None
    if any(copy.expires_at_us != expires_at_us for copy in file.copies):
        notes.fail(Check.WAYS, str(file), "a copy expires at another time than the header says")


def _is_alive(file: File) -> bool:
    """Whether somebody acts next: who carries it, or the node that has it now."""
    return any(
        not copy.is_over or (copy.state == State.DELIVERED.value and file.accepted_by(copy.destination))
        for copy in file.copies
    )


def _check_agreement(file: File, ends: list[Word], books: Books, notes: Notes) -> None:
    for copy in file.copies:
        at_a_node = copy.destination.endswith("/node")
        if not copy.is_over:
            # Of a copy for another node, the recipient's word may be here before that node's own answer.
            fits = at_a_node or not ends
        elif at_a_node and copy.state == State.DELIVERED.value:
            fits = bool(file.accepted_by(copy.destination))
        else:
            by = {books.me, copy.destination} if copy.state == State.REFUSED.value else {books.me}
            fits = any(word.said.milestone == _END_OF.get(copy.state) and word.said.issuer in by for word in ends)
        if not fits:
            notes.fail(Check.ENDS_AGREE, str(file), f"{copy.state} for {copy.destination}, and that was not stated")
    states = {copy.state for copy in file.copies}
    for word in ends:
        said = next(state for state, milestone in _END_OF.items() if milestone == word.said.milestone)
        if word.said.issuer == books.me and file.copies and said not in states:
            notes.fail(Check.ENDS_AGREE, str(file), f"stated as {said}, and no copy is")


def _check_purged(file: File, ends: list[Word], notes: Notes) -> None:
    if file.has_payload:
        if file.is_purged:
            notes.fail(Check.PURGED, str(file), "said to be purged, and its payload is there")
        return
    if not file.is_purged:
        notes.fail(Check.PURGED, str(file), "its payload is gone, and nothing says when")
    if not ends or any(not copy.is_over for copy in file.copies):
        notes.fail(Check.PURGED, str(file), "its payload is gone before its end")
