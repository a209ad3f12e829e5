"""What a witness does with a checkpoint (C2SP tlog-witness), and how many witnesses are enough.

In: what it has cosigned last of a log, and a request: a newer checkpoint, and the proof that the log only grew. Out:
what to remember before it cosigns that; or how many cosigners a note has, by what the directory says. Pure. Refuses
with MALFORMED what is no request, NOT_FOUND a log that it does not know, BAD_SIGNATURE a checkpoint that the log did
not sign, BAD_INPUT and BAD_LOG_PROOF what proves nothing.

An *alarm* is a refusal that the log itself is to answer for: LOG_FORKED, it has signed checkpoints of which one does
not continue the other; LOG_ROLLED_BACK, it says itself that it no longer has what was cosigned. It comes with both
notes. A bad proof alone is none: anybody can send that with somebody else's checkpoint, unless it is the log itself
that calls or answers, or the proof leads to the newer root from another older one. Of an older tree that is one whole
part of the newer, a proof does that if its root in the newer comes first.

Source: https://c2sp.org/tlog-witness, https://c2sp.org/tlog-cosignature.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeAlias

from gateway import checkpoint, merkle, note
from gateway.checkpoint import Checkpoint
from gateway.clock import MICROS, from_micros
from gateway.directory import FOREVER, Directory, NodeEntry, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import trust_domain
from gateway.merkle import HASH_BYTES, MAX_PROOF_HASHES, MAX_SIZE
from gateway.note import MAX_NOTE_BYTES, Algorithm, Note, NoteSignature, Signed, Verifier

MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + (4 << 10)
"""A note, and 65 lines of 45 bytes at most."""
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)
_RESTORATIONS: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ORIGIN: Final = re.compile(r"([a-z]{2})\.([^/]+)/log(?:/[1-9][0-9]{0,3})?", re.ASCII)
"""After each of at most 9999 restorations, a node's log is another one."""

_LAST_SECOND: Final = int(FOREVER.timestamp())

KeysOf: TypeAlias = Callable[[str], Collection[bytes]]
"""Returns the public keys of a log, by its origin; none: it is not known."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a log asks of a witness.

    Args:
        old_size: what the witness is believed to have cosigned last; 0: nothing.
        proof: that the log of the checkpoint's size begins with that of the old one; lowest hash first.
        note: the checkpoint, as the log signed it.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def __post_init__(self) -> None:
        """Raise Refusal MALFORMED for what can be no request."""
        if not 0 <= self.old_size <= MAX_SIZE:
            raise _malformed(f"no log has {self.old_size} entries", "old")
        if len(self.proof) > MAX_PROOF_HASHES:
            raise _malformed(f"more than {MAX_PROOF_HASHES} hashes", "proof")
        if any(len(each) != HASH_BYTES for each in self.proof):
            raise _malformed(f"a hash has {HASH_BYTES} bytes", "proof")
        if len(self.note) > MAX_NOTE_BYTES:
            raise _malformed(f"a note has at most {MAX_NOTE_BYTES} bytes", "note")

    def __bytes__(self) -> bytes:
        lines = [f"old {self.old_size}", *(b64encode(each).decode() for each in self.proof), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def parse(cls, raw: bytes) -> "Request":
        """Return the request that a body is.

        Raises:
            Refusal: MALFORMED.
        """
        if len(raw) > MAX_REQUEST_BYTES:
            raise _malformed(f"more than {MAX_REQUEST_BYTES} bytes", "")
        head, found, signed = raw.partition(b"\n\n")
        lines = head.split(b"\n", MAX_PROOF_HASHES + 1)
        try:
            old, *proof = (line.decode("ascii") for line in lines)
        except UnicodeDecodeError as error:
            raise _malformed("it is no ASCII", "proof") from error
        size = _OLD.fullmatch(old)
        if size is None or not found:
            raise _malformed("a line of the old size, hashes, an empty line and a checkpoint are wanted", "old")
        return cls(int(size[1]), tuple(map(note.unbase64, proof)), signed)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that is proven to be of its log.

    Args:
        checkpoint: what the log said.
        note: with the log's own signatures, and no others.
    """

    checkpoint: Checkpoint
    note: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a log has to answer for.

    Args:
        code: LOG_FORKED or LOG_ROLLED_BACK.
        detail: one sentence.
        held: what was cosigned before.
        brought: what was to be cosigned.
        proof: what came with it.
    """

    code: ErrorCode
    detail: str
    held: Witnessed
    brought: Witnessed
    proof: tuple[bytes, ...]

    @property
    def origin(self) -> str:
        """Which log."""
        return self.held.checkpoint.origin

    @property
    def is_proof(self) -> bool:
        """Whether it shows, to everybody who has the log's public key, that no one tree has both roots."""
        older, newer = _in_order(self.held, self.brought)
        if older.size == newer.size:
            return older.root != newer.root
        return self.code is ErrorCode.LOG_FORKED and _shows_another(self.proof, older, newer)

    @property
    def digest(self) -> bytes:
        """Over the code, both notes and whether it is proof: the same again is no news, whatever comes with it.

        That it has become proof is news: else a log that is caught would bring the same first, with a proof of nothing.
        """
        parts = (self.code.name.encode(), self.held.note, self.brought.note, *([b"proof"] if self.is_proof else []))
        return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


class Alarm(Refusal):
    """Refused, and the log has to answer for it."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(evidence.code, evidence.detail, "checkpoint")
        self.evidence = evidence


def read(request: Request, keys_of: KeysOf) -> Witnessed:
    """Return the checkpoint of a request, once it is proven whose it is.

    Raises:
        Refusal: MALFORMED, it is none; NOT_FOUND, of a log that is not known; BAD_SIGNATURE, the log did not sign it.
    """
    found = note.parse(request.note)
    checkpoint = Checkpoint.parse(found.text)
    keys = keys_of(checkpoint.origin)
    if not keys:
        raise Refusal(ErrorCode.NOT_FOUND, f"{checkpoint.origin} is no log that is witnessed here", "origin")
    signed = note.verify(found, [Verifier(checkpoint.origin, key) for key in keys])
    named = {(each.by.name, each.by.key_id) for each in signed}
    # Each once: who repeats a line makes other bytes, and no other checkpoint.
    own = tuple(dict.fromkeys(line for line in found.signatures if (line.name, line.key_id) in named))
    return Witnessed(checkpoint, bytes(Note(found.text, own)))


def judge(request: Request, brought: Witnessed, last: Witnessed | None, *, by_log: bool) -> Witnessed | None:
    """Return what to remember, and only then to cosign; None if the old size is not that of what was cosigned last.

    Args:
        request: what is asked.
        brought: its checkpoint, from `read`.
        last: what was cosigned last of that log; None: nothing.
        by_log: whether it is certain that the log itself asks.

    Raises:
        Alarm: LOG_FORKED, LOG_ROLLED_BACK.
        Refusal: BAD_INPUT, the old size is larger than the checkpoint; BAD_LOG_PROOF, nothing is proven.
    """
    new, old_size = brought.checkpoint, request.old_size
    held = last.checkpoint.size if last is not None else 0
    # First of all, whatever the old size is: the two notes are the proof.
    if last is not None and new.size == held and new.root != last.checkpoint.root:
        raise _forked(last, brought, request.proof)
    if old_size > new.size:
        if last is not None and old_size == held:
            if by_log:
                detail = f"{new.origin} had {held} entries, and says that it has {new.size}"
                raise Alarm(Evidence(ErrorCode.LOG_ROLLED_BACK, detail, last, brought, request.proof))
            # From another witness, which holds less, and has asked the log.
            if _shows_another(request.proof, new, last.checkpoint):
                raise _forked(last, brought, request.proof)
        raise Refusal(ErrorCode.BAD_INPUT, f"no log of {new.size} entries begins with {old_size}", "old")
    if old_size != held:
        return None
    if last is None or held == 0:
        if request.proof:
            raise Refusal(ErrorCode.BAD_LOG_PROOF, "of an empty log nothing is proven", "proof")
        return brought
    compare(last, brought, request.proof, by_log=by_log)
    return brought


def compare(held: Witnessed, brought: Witnessed, proof: tuple[bytes, ...], *, by_log: bool) -> None:
    """Check that of two checkpoints of one log, whichever is the older, the newer continues the other.

    Args:
        held: what was cosigned here.
        brought: the other; neither is of an empty log.
        proof: that the newer tree begins with the older.
        by_log: whether it is certain that the log itself gave the proof.

    Raises:
        Alarm: LOG_FORKED.
        Refusal: BAD_LOG_PROOF, nothing is proven.
    """
    older, newer = _in_order(held, brought)
    if older.size == newer.size and older.root != newer.root:
        raise _forked(held, brought, proof)
    try:
        merkle.check_consistency(older.size, older.root, newer.size, newer.root, proof)
    except Refusal:
        if by_log or _shows_another(proof, older, newer):
            raise _forked(held, brought, proof) from None
        raise


def _in_order(one: Witnessed, other: Witnessed) -> tuple[Checkpoint, Checkpoint]:
    older, newer = sorted((one.checkpoint, other.checkpoint), key=lambda each: each.size)
    return older, newer


def _forked(held: Witnessed, brought: Witnessed, proof: tuple[bytes, ...]) -> Alarm:
    older, newer = _in_order(held, brought)
    detail = f"of {newer.size} entries does not continue what it was with {older.size}"
    if older.size == newer.size:
        detail = f"has two roots over {older.size} entries"
    return Alarm(Evidence(ErrorCode.LOG_FORKED, f"{older.origin} {detail}", held, brought, proof))


def _shows_another(proof: Collection[bytes], old: Checkpoint, new: Checkpoint) -> bool:
    """Whether a proof leads to the newer root, and from another older one."""
    try:
        before, now = merkle.roots_of(old.size, None, new.size, tuple(proof))
    except Refusal:
        return False
    return now == new.root and before != old.root


def cosignatures(checkpoint: Checkpoint, answer: bytes, keys: Collection[Verifier]) -> tuple[NoteSignature, ...]:
    """Return the lines of a witness in its answer, which are over that checkpoint and nothing else.

    Args:
        checkpoint: what was brought.
        answer: lines, as they came.
        keys: of the witness.

    Raises:
        Refusal: MALFORMED, these are none; BAD_SIGNATURE, they are not of that witness and that checkpoint.
    """
    names = {(key.name, key.key_id) for key in keys}
    found = note.parse(str(checkpoint).encode() + b"\n" + answer)
    own = tuple(line for line in found.signatures if (line.name, line.key_id) in names)
    # Over the text that we brought: in what came, an empty line would make the witness's own words part of the text.
    note.verify(Note(str(checkpoint), own), keys)
    return own


# What the directory says.


def node_of(origin: str, federation: str) -> str | None:
    """Return the code of the node whose log has that origin; None if it is none of that federation."""
    found = _ORIGIN.fullmatch(origin)
    return found[1] if found is not None and found[2] == federation else None


def keys_of(directory: Directory, now: datetime) -> KeysOf:
    """Return what knows the logs of all nodes that are in, and the keys that sign for them.

    A key that is no longer used counts still, for its last checkpoint may be the newest of a log that rests; a key that
    is not trusted any more counts for nothing.
    """
    active = {node.code: node for node in directory.nodes if node.status is Status.ACTIVE}

    def keys(origin: str) -> Collection[bytes]:
        node = active.get(node_of(origin, directory.federation) or "")
        return [] if node is None else _trusted(node, now)

    return keys


def _trusted(node: NodeEntry, at: datetime) -> list[bytes]:
    """Return the keys of a node that count for its log at a time."""
    return [key.public for key in node.signing_keys if key.not_before <= at < (key.not_trusted_after or FOREVER)]


@dataclass(frozen=True, slots=True)
class Cosigned:
    """Who has cosigned a checkpoint, of those who count.

    Args:
        by: names, each once, in their order.
        wanted: how many the federation wants.
    """

    by: tuple[str, ...]
    wanted: int

    @property
    def is_enough(self) -> bool:
        """Whether as many have as the federation wants."""
        return len(self.by) >= self.wanted

    def __str__(self) -> str:
        wanted = f" ({len(self.by)} of {self.wanted} wanted)" if self.wanted else ""
        return f"cosigned by {', '.join(self.by) or 'nobody'}{wanted}"


def read_checkpoint(directory: Directory, log: str, raw: bytes, at: datetime) -> tuple[Checkpoint, Cosigned]:
    """Return a checkpoint of a node's log that somebody handed out, and who has cosigned it.

    Args:
        directory: says whose keys are whose, and how many must have cosigned.
        log: code of the node.
        raw: the note, as it came.
        at: when it was there. Nobody can say when it was signed, so of a key that was stolen by then nothing counts.

    Raises:
        Refusal: MALFORMED, it is no checkpoint; BAD_SIGNATURE, it is none of that node's log, or a cosignature does
            not hold; UNKNOWN_PEER, there is no such node.
    """
    first = f"{trust_domain(log, directory.federation)}/log"
    origin = raw.split(b"\n", 1)[0].decode("ascii", "replace")
    if origin != first and not _RESTORATIONS.fullmatch(origin.removeprefix(f"{first}/")):
        raise Refusal(ErrorCode.BAD_SIGNATURE, f"it is no checkpoint of {first}", "checkpoint")
    found, signed = checkpoint.read(raw, origin, _trusted(directory.node(log), at))
    return found, cosigned(directory, log, signed)


def verifiers(directory: Directory, log: str) -> dict[Verifier, NodeEntry | None]:
    """Return the keys of all who may witness a node's log, with the nodes whose they are.

    Args:
        directory: says who they are: every other node that is in, by its trust domain, and the federation's witnesses.
        log: code of the node.
    """
    found: dict[Verifier, NodeEntry | None] = {
        Verifier(each.name, each.public, Algorithm.COSIGNATURE): None for each in directory.witnesses
    }
    for node in directory.nodes:
        if node.status is Status.ACTIVE and node.code != log:
            name = trust_domain(node.code, directory.federation)
            found |= {Verifier(name, key.public, Algorithm.COSIGNATURE): node for key in node.signing_keys}
    return found


def cosigned(directory: Directory, log: str, found: Note) -> Cosigned:
    """Return how many have cosigned a checkpoint of a node's log. That the log signed it, the caller has checked.

    A node is one, whichever of its keys it used, if that key was valid when it says to have cosigned; so is each of the
    federation's witnesses. The log's own node is none, nor is whoever is out.

    Raises:
        Refusal: BAD_SIGNATURE, a line of one of them does not hold.
    """
    known = verifiers(directory, log)
    names = {(each.name, each.key_id) for each in known}
    if not any((line.name, line.key_id) in names for line in found.signatures):
        return Cosigned((), directory.cosignatures)
    # By key: what is signed does not say in whose name, so one that two have listed counts for one of them.
    by = {each.by.public_key: each.by.name for each in note.verify(found, known) if _counts(each, known[each.by])}
    return Cosigned(tuple(sorted(set(by.values()))), directory.cosignatures)


def _counts(signed: Signed, node: NodeEntry | None) -> bool:
    """Whether the key was valid when it says to have signed; of one that is no node it is, while listed."""
    if node is None:
        return True
    keys = (key for key in node.signing_keys if key.public == signed.by.public_key)
    return signed.at <= _LAST_SECOND and any(key.valid_at(from_micros(signed.at * MICROS)) for key in keys)


def _malformed(detail: str, field: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, f"request.{field}")
