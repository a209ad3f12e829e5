"""`rogatory case prove`: which checkpoint of the own node's log covers the envelopes and receipts of a case.

In: a participant's settings, a case id. Out: the newest checkpoint that as many witnesses have cosigned as the
federation wants, and where each thing stands under it; the checkpoint's signature, its cosignatures and every path are
checked here. What the node refused it never recorded: no log has it, and the refusal stands for it. Exit code 0 if it
covers everything else, 1 if something is not covered yet, or not cosigned by enough. Refuses with NOT_FOUND,
BAD_SIGNATURE and BAD_LOG_PROOF; fails with UNAVAILABLE.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import log_pb2 as log

from clients import logs
from clients.casefile.found import held, named, read
from clients.casefile.logged import Subject
from clients.logs import Covered
from clients.participant import Participant
from gateway.cli import home, output
from gateway.cli.home import Home
from gateway.identity import Address
from gateway.printable import printable


@dataclass(frozen=True, slots=True)
class _Thing:
    """An envelope, or a receipt of it."""

    header: pb.Header
    said: pb.Statement | None
    subject: Subject

    @property
    def words(self) -> tuple[str, str, str]:
        """What it is, whose, and from when."""
        if self.said is None:
            return home.kind_of(self.header), self.header.sender, home.time_of(self.header.created_at_us)
        milestone = home.word(pb.Milestone.DESCRIPTOR, self.said.milestone)
        return f"receipt: {milestone}", self.said.issuer, home.time_of(self.said.at_us)


_Proven: TypeAlias = tuple[_Thing, log.InclusionProof | None]


@click.command(epilog="\b\nExample:\n  rogatory case prove EE-2026-1 --config fed/ee/prosecutor/participant.toml")
@click.argument("case_id", metavar="CASE")
@click.option("--envelope", "beginning", metavar="ID", help="Only this envelope and its receipts.")
@home.config_option
@output.json_option
def command(case_id: str, beginning: str | None, path: Path, as_json: bool) -> None:
    """Show where your node's log holds the envelopes and receipts of CASE, and who has cosigned that.

    Your node is asked for a checkpoint and proofs; both are checked here, with the directory's keys. It waits a few
    seconds for as many cosignatures as the federation wants. Exit code 1 if something is not covered by such a
    checkpoint yet.
    """
    me = Home(path).participant
    things = [*_things(me, case_id, beginning)]
    found = logs.covered(me, [each.subject for each in things if not each.subject.refused])
    proofs = iter(found.proofs)
    proven = [(each, None if each.subject.refused else next(proofs)) for each in things]
    if as_json:
        output.emit_json(_as_object(proven, found))
    else:
        _show(proven, found)
    if not found.is_whole:
        raise click.exceptions.Exit(output.FAILED)


def _things(me: Participant, case_id: str, beginning: str | None) -> Iterator[_Thing]:
    # What was rejected, for it proves nothing, is in no log under that name.
    lying = [each for each in held(me, case_id) if each.counts]
    node = str(Address.of_node(Address.parse(me.address).node))
    for each in lying if beginning is None else [named(lying, beginning, "envelope")]:
        found, ref = read(me, each), each.ref
        stated = [said for _, said in found.receipts]
        subject = Subject.of_envelope(ref.id, ref, found.fingerprint, node, stated)
        yield _Thing(found.header, None, subject)
        for receipt, said in found.receipts:
            yield _Thing(found.header, said, Subject.of_receipt(ref.id, ref, receipt.statement, node))


def _show(proven: Sequence[_Proven], found: Covered) -> None:
    point = found.checkpoint
    click.echo(printable(f"{point.origin} of {point.size} entries, {found.cosigned}"))
    rows = [(_place(each, proof), each.header.id, *each.words) for each, proof in proven]
    output.emit_table(("entry", "envelope", "what", "by", "at"), rows)


def _place(thing: _Thing, proof: log.InclusionProof | None) -> str:
    if thing.subject.refused:
        return "refused"
    return "not covered" if proof is None else str(proof.index)


def _as_object(proven: Sequence[_Proven], found: Covered) -> dict[str, object]:
    return {
        "log": found.checkpoint.origin,
        "size": found.checkpoint.size,
        "root": found.checkpoint.root.hex(),
        "cosigned": [*found.cosigned.by],
        "wanted": found.cosigned.wanted,
        "proven": found.is_whole,
        "checkpoint": found.note.decode(),
        "entries": [
            {
                "envelope": {"sender": each.header.sender, "id": each.header.id},
                "receipt": None if each.said is None else home.statement_facts(each.said),
                "leaf_hash": (each.subject.leaf if proof is None else proof.leaf_hash).hex(),
                "refused": each.subject.refused,
                "index": None if proof is None else proof.index,
                "path": [] if proof is None else [hash_.hex() for hash_ in proof.path],
            }
            for each, proof in proven
        ],
    }
