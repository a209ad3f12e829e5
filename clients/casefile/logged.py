"""What a case file has of the log of its exporter's node: one checkpoint, and under it a proof for each thing.

In: a manifest, statements, a node's answers. Out: members of the file, or what is proven by them. Refuses with
MALFORMED, BAD_SIGNATURE or BAD_LOG_PROOF. No I/O.

Source: RFC 6962 section 2.1; https://c2sp.org/tlog-checkpoint.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rogatory.v1 import envelope_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2 as pb
from rogatory.v1.envelope_pb2 import Statement

from clients.casefile.contents import LOG, NO_LOG, Absent, Digest, Manifest
from clients.cases import Key
from gateway import log_entry, merkle, witness
from gateway.checkpoint import Checkpoint
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form
from gateway.identity import Address
from gateway.witness import Cosigned

CHECKPOINT: Final = f"{LOG}checkpoint.txt"
PROOFS: Final = f"{LOG}proofs.json"
MEMBERS: Final = frozenset({CHECKPOINT, PROOFS})
MAX_PROOF_BYTES: Final = 5 << 10
"""Of each thing in the file: 63 hashes of 67 bytes, its name and its number."""


AskNode: TypeAlias = Callable[[Sequence[pb.LogEntry]], tuple[bytes, Sequence[pb.InclusionProof]]]
"""Returns what a node says of its log: a checkpoint, and a proof for each entry (`clients.logs.proven`)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Proof(_Part):
    """That something is in the log.

    Args:
        index: which entry, from 0.
        path: siblings, lowest first.
        subject: name of the member, or of the one that an envelope would have which is withheld.
    """

    index: Annotated[int, Field(ge=0, lt=1 << 53)]
    path: Annotated[list[Digest], Field(max_length=merkle.MAX_PROOF_HASHES)]
    subject: str


class Proofs(_Part):
    """All proofs of a file, in the order of the log."""

    proofs: list[Proof]

    @classmethod
    def read(cls, raw: bytes) -> "Proofs":
        """Read them.

        Raises:
            Refusal: MALFORMED, it is none of these, not in its one text, or names something twice.
        """
        try:
            found = cls.model_validate_json(raw)
        except (ValidationError, RecursionError) as error:
            raise Refusal(ErrorCode.MALFORMED, "these are no proofs of a log", PROOFS) from error
        if found.raw != raw:
            raise Refusal(ErrorCode.MALFORMED, "the proofs are not in their one text", PROOFS)
        order = [each.index for each in found.proofs]
        if order != sorted(set(order)) or len({each.subject for each in found.proofs}) != len(order):
            raise Refusal(ErrorCode.MALFORMED, "the proofs name something twice, or out of order", PROOFS)
        return found

    @property
    def raw(self) -> bytes:
        """Its one text."""
        return json_form.canonical(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Subject:
    """What should be in the log.

    Args:
        name: of the member, or for people.
        entry: as a node is asked for it.
        node: address of the node whose log it should be in.
        about: what the entry is made of: a fingerprint, or a statement.
        refused: whether no log has it, for the node refused it.
    """

    name: str
    entry: pb.LogEntry
    node: str
    about: bytes
    refused: bool = False

    @classmethod
    def of_envelope(
        cls, name: str, ref: ids.EnvelopeRef, fingerprint: bytes, node: str, stated: Iterable[Statement] = ()
    ) -> "Subject":
        """Return an envelope.

        What a node refused it never recorded; its refusal, signed and itself in the log, stands for it.

        Args:
            name: of the member, or for people.
            ref: its name.
            fingerprint: over all of it.
            node: address of the node whose log it should be in.
            stated: all that is known to be stated of it.
        """
        said = {(each.issuer, each.milestone) for each in stated}
        refused = said == {(node, envelope_pb2.MILESTONE_REFUSED)}
        return cls(name, pb.LogEntry(envelope=ref), node, fingerprint, refused)

    @classmethod
    def of_receipt(cls, name: str, ref: ids.EnvelopeRef, statement: bytes, node: str) -> "Subject":
        """Return a receipt of an envelope."""
        named = pb.ReceiptRef(envelope=ref, digest=sha256(statement).digest())
        return cls(name, pb.LogEntry(receipt=named), node, statement)

    @property
    def leaf(self) -> bytes:
        """The leaf hash that the log has of it, unless it was logged by a program of before (`log_entry`)."""
        return log_entry.leaf_hash(self.node, self.about)

    def proven(self, index: int, path: Sequence[bytes], point: Checkpoint) -> bytes:
        """Return its leaf hash, if it is proven to be in the log.

        Raises:
            Refusal: BAD_LOG_PROOF.
        """
        try:
            return log_entry.proven(self.node, self.about, index, path, point)
        except Refusal as error:
            raise Refusal(error.code, error.detail, self.name) from error


def subjects(
    said: Manifest, receipts: Sequence[envelope_pb2.Receipt], statements: Sequence[Statement]
) -> list[Subject]:
    """Return what a case file tells of: envelopes and receipts.

    Args:
        said: its manifest.
        receipts: in the manifest's order.
        statements: what they say, in that order.
    """
    found, node = [], str(Address.of_node(Address.parse(said.exporter).node))
    stated: dict[Key, list[Statement]] = {}
    for listed, statement in zip(said.receipts, statements, strict=True):
        stated.setdefault(listed.envelope.key, []).append(statement)
    for each in said.envelopes:
        ref = ids.EnvelopeRef(sender=each.ref.sender, id=each.ref.id)
        about = stated.get(each.ref.key, ())
        found.append(Subject.of_envelope(each.name, ref, bytes.fromhex(each.fingerprint), node, about))
    for listed, receipt in zip(said.receipts, receipts, strict=True):
        ref = ids.EnvelopeRef(sender=listed.envelope.sender, id=listed.envelope.id)
        found.append(Subject.of_receipt(listed.name, ref, receipt.statement, node))
    return found


def members(wanted: Sequence[Subject], ask: AskNode) -> tuple[dict[str, bytes], Absent | None]:
    """Return the members that prove things to be in the log, and what the file lacks of them.

    Raises:
        Refusal: BAD_LOG_PROOF, what the node answers can be no proof.
    """
    wanted = [each for each in wanted if not each.refused]
    note, answers = ask([each.entry for each in wanted])
    if not note:
        return {}, NO_LOG
    try:
        proofs = [
            Proof(index=answer.index, path=[each.hex() for each in answer.path], subject=subject.name)
            for subject, answer in zip(wanted, answers, strict=True)
            if answer.leaf_hash
        ]
    except ValidationError as error:
        raise Refusal(ErrorCode.BAD_LOG_PROOF, "the node's answer has no form that a proof has", PROOFS) from error
    made = {CHECKPOINT: note, PROOFS: Proofs(proofs=sorted(proofs, key=lambda each: each.index)).raw}
    lacking = len(wanted) - len(proofs)
    why = f"of {lacking} of {len(wanted)} envelopes and receipts it is not proven that the node's log holds them"
    return made, Absent(what="log", why=why) if lacking else None


@dataclass(frozen=True, slots=True)
class Logged:
    """What is proven of the log.

    Args:
        log: which it is, with its size.
        unproven: names of what has no proof, and should have one.
        refused: names of what the node refused, and no log has.
        cosigned: who has cosigned the checkpoint.
    """

    log: str
    unproven: Sequence[str]
    refused: Sequence[str]
    cosigned: Cosigned


def check(here: Mapping[str, bytes], said: Manifest, wanted: Sequence[Subject], directory: Directory) -> Logged:
    """Check the proofs of a file.

    Args:
        here: its members, with `CHECKPOINT` and `PROOFS`.
        said: its manifest.
        wanted: what should be in the log.
        directory: who has which keys, and how many witnesses must have cosigned.

    Raises:
        Refusal: MALFORMED; BAD_SIGNATURE, it is no checkpoint of that node, or a cosignature does not hold;
            BAD_LOG_PROOF; NOT_FOUND, a proof is of nothing here; TOO_LARGE.
    """
    node = Address.parse(said.exporter).node
    found, cosigned = witness.read_checkpoint(directory, node, here[CHECKPOINT], said.exported_at)
    left = {each.name: each for each in wanted}
    if len(here[PROOFS]) > MAX_PROOF_BYTES * (1 + len(left)):
        detail = f"the proofs are over max_proof_bytes = {MAX_PROOF_BYTES} for each thing that there is"
        raise Refusal(ErrorCode.TOO_LARGE, detail, PROOFS)
    for proof in Proofs.read(here[PROOFS]).proofs:
        subject = left.pop(proof.subject, None)
        if subject is None:
            raise Refusal(ErrorCode.NOT_FOUND, f"a proof of {proof.subject}, which is not here", PROOFS)
        subject.proven(proof.index, [bytes.fromhex(each) for each in proof.path], found)
    refused = [each.name for each in wanted if each.refused and each.name in left]
    unproven = [name for name in left if name not in refused]
    return Logged(f"{found.origin} of {found.size} entries", unproven, refused, cosigned)
