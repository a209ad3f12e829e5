"""The judge of every fault test: reads the stores themselves and asks whether the promises of a node were kept.

Shares no code with the writer but the message definitions and the hash: it opens the files with plain SQL.
"""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rogatory.v1 import envelope_pb2 as pb

from gateway import log_entry, statement
from gateway.directory import Directory
from tests import stores


@dataclass(frozen=True)
class Verdict:
    """What a store holds, once it is proven sound."""

    envelopes: int
    receipts: int
    ends: Counter[str]


def judge(store: stores.Place, node: str, directory: Directory, *, all_final: bool = True) -> Verdict:
    """Check one node's store; AssertionError names the promise that was broken.

    Args:
        store: its file or database; the node need not be stopped.
        node: its code.
        directory: public keys.
        all_final: whether nothing may be on its way any more.
    """
    connection = stores.connect(store)
    try:
        # All of one moment, while the node goes on.
        connection.execute("BEGIN" if isinstance(store, Path) else "BEGIN ISOLATION LEVEL REPEATABLE READ")
        if isinstance(store, Path):
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the database is damaged"
        envelopes = connection.execute("SELECT seq, sender, id, fingerprint, header FROM envelopes").fetchall()
        receipts = connection.execute("SELECT seq, sender, id, statement, signature FROM receipts").fetchall()
        log = connection.execute("SELECT leaf_hash, envelope_seq, receipt_seq FROM log_entries").fetchall()
        positions = connection.execute("SELECT min(position), max(position), count(*) FROM log_entries").fetchone()
        states = connection.execute("SELECT envelope_seq, receipt_seq, state FROM deliveries").fetchall()
        moved = connection.execute(
            "SELECT envelope_seq FROM moves UNION SELECT cause_seq FROM moves WHERE cause_seq IS NOT NULL"
            " UNION SELECT envelope_seq FROM clocks UNION SELECT by_seq FROM clocks WHERE by_seq IS NOT NULL"
        ).fetchall()
    finally:
        connection.close()
    me = f"{node}/node"
    said = []
    for _, _, _, raw, signature in receipts:
        receipt = pb.Receipt(statement=raw, signature=pb.Signature.FromString(signature))
        said.append(statement.verify(receipt, directory.signing_key))  # promise 7

    # Promise 1: an envelope, its log entry and its one receipt are there together, or none of them.
    accepted = Counter(
        (s.envelope.sender, s.envelope.id) for s in said if s.milestone == pb.MILESTONE_ACCEPTED and s.issuer == me
    )
    assert accepted == Counter((sender, id_) for _, sender, id_, _, _ in envelopes), (
        "accepted is not recorded, or twice"
    )
    leaves = {("e", seq): log_entry.leaf_hash(me, fingerprint) for seq, _, _, fingerprint, _ in envelopes}
    leaves |= {("r", seq): log_entry.leaf_hash(me, raw) for seq, _, _, raw, _ in receipts}
    logged = {("e", e) if e is not None else ("r", r): leaf for leaf, e, r in log}
    assert logged == leaves, "the log and the records differ"
    assert len(log) == len(leaves), "something is logged twice"
    assert positions in {(1, len(log), len(log)), (None, None, 0)}, "the log has a gap"
    assert len({sha256(raw).digest() for _, _, _, raw, _ in receipts}) == len(receipts), "a receipt is kept twice"

    # What follows from an envelope is there together with it, or not at all.
    recorded = {(sender, id_) for _, sender, id_, _, _ in envelopes}
    assert {seq for seq, *_ in envelopes} >= {seq for (seq,) in moved}, (
        "a matter was moved, or a time limit runs, by what is not recorded"
    )

    # Promise 4: every accepted envelope has its way, and ends once.
    assert {e for e, _, _ in states if e is not None} == {seq for seq, *_ in envelopes}, "an envelope has no delivery"
    if all_final:
        open_ = [state for *_, state in states if state not in ("delivered", "refused", "expired")]
        assert not open_, f"still on the way: {Counter(open_)}"
    final = {pb.MILESTONE_DELIVERED, pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED}
    ends = Counter(
        (s.envelope.sender, s.envelope.id)
        for s in said
        if s.milestone in final and (s.envelope.sender, s.envelope.id) in recorded and _of_this(s, envelopes)
    )
    assert all(count == 1 for count in ends.values()), "an envelope has two ends"
    return Verdict(len(envelopes), len(receipts), Counter(pb.Milestone.Name(s.milestone) for s in said))


def _of_this(said: pb.Statement, envelopes: list[tuple[int, str, str, bytes, bytes]]) -> bool:
    """Whether a statement is about the recorded bytes; an attack under the same name is refused without ending it."""
    return any(
        (sender, id_, fingerprint) == (said.envelope.sender, said.envelope.id, said.fingerprint)
        for _, sender, id_, fingerprint, _ in envelopes
    )
