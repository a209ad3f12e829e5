"""Where the microseconds of one accepted envelope go: each stage of the path alone, on one thread.

In: settings of a node, a pool of envelopes, an empty folder. Out: microseconds of the processor an envelope, by stage,
in frames of one size and one commit a frame: full ones as on a stream, or one envelope as in a single call. What the
node uses beyond their sum is gRPC, TLS, the event loop and what threads cost each other; that difference is told too,
where the node itself was measured.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, thread_time
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import deliver, material, statement
from gateway.authenticate import authenticate
from gateway.authorise import authorise
from gateway.cli.bench import pool
from gateway.cli.bench.figures import MICROSECONDS
from gateway.clock import system_clock, to_micros
from gateway.dispatch import dispatch
from gateway.doors.mailbox import check_frame
from gateway.effects import Effects
from gateway.envelope import ref_of
from gateway.identity import Address
from gateway.merkle import Frontier
from gateway.procedure import check
from gateway.receipt import Scribe
from gateway.receive import receive
from gateway.record import record, recorded_before
from gateway.store import Pending, Transaction, open_store
from gateway.verify import verify

STAGES: Final = (
    "parse",
    "receive",
    "authorise",
    "verify",
    "procedure",
    "record",
    "dispatch and queue",
    "receipt and event",
    "sign receipts",
    "commit",
    "answer",
)
STAGES_TEXT: Final = "envelope.received:0 peer.authenticated:0 action.permitted:0 envelope.verified:0"
"""As long as what the path notes of an envelope."""


class Stages:
    """A node's path without its doors and threads."""

    def __init__(self, folder: Path, config: Path, sender: Path) -> None:
        """Open a new store in that folder.

        Args:
            folder: where the store is made.
            config: settings of the node.
            sender: settings of the participant whose envelopes come.
        """
        loaded, by = material.load_node(config, system_clock), material.load_participant(sender, system_clock)
        self._directory, self._limits, self._policy = loaded.directory, loaded.config.limits, loaded.policy
        self._key, self._here = loaded.signing_key, loaded.config.node
        self._peer = authenticate(_leaf(by.identity.chain_pem), self._directory, system_clock())
        self._scribe = Scribe(self._here, lambda: self._directory)
        connect, self._engine = open_store(folder / "stages.db")
        self._connection = connect()
        self._tree: Frontier | None = None
        self._spent = dict.fromkeys(STAGES, 0.0)
        self._waited = 0.0

    def close(self) -> None:
        """Close the store."""
        self._connection.close()
        self._engine.dispose()

    def effects_of(self, signed: pb.SignedEnvelope) -> Effects:
        """Return what follows from an envelope at this node."""
        directory, now = self._directory, system_clock()
        permit = authorise(self._peer, receive(signed, self._limits), directory, self._here)
        verified = verify(permit, directory, self._limits, now)
        txn = Transaction(self._connection, to_micros(now), str(Address.of_node(self._here)))
        return check(verified, txn, directory, self._here, self._policy).effects

    def measure(self, frames: list[list[bytes]]) -> dict[str, float]:
        """Take frames of envelopes; return the microseconds an envelope by stage, and how long a commit waited."""
        self._spent = dict.fromkeys(STAGES, 0.0)
        self._waited = 0.0
        for number, frame in enumerate(frames):
            self._take(_request(number, frame))
        count = sum(map(len, frames))
        spent = {stage: self._spent[stage] / count * MICROSECONDS for stage in STAGES}
        return spent | {"sum": sum(spent.values()), "commit_wall": self._waited / count * MICROSECONDS}

    def _take(self, raw: bytes) -> None:
        directory, now = self._directory, system_clock()
        with self._spend("parse"):
            request = mailbox.SubmitFramesRequest.FromString(raw)
            check_frame(request.envelopes, self._limits)
        with self._spend("receive"):
            claims = [receive(each, self._limits) for each in request.envelopes]
        with self._spend("authorise"):
            permits = [authorise(self._peer, each, directory, self._here) for each in claims]
        with self._spend("verify"):
            all_verified = [verify(each, directory, self._limits, now) for each in permits]
        self._connection.begin()
        txn = Transaction(self._connection, to_micros(now), str(Address.of_node(self._here)), self._tree)
        pending: list[Pending] = []
        with self._spend("procedure"):
            txn.expect_new([verified.header for verified in all_verified])
        with self._spend("dispatch and queue"):
            deliver.expect([verified.header for verified in all_verified], txn, self._here)
        for verified in all_verified:
            with self._spend("procedure"):
                if recorded_before(verified.header, verified.fingerprint, txn) is not None:
                    raise RuntimeError("an envelope of the pool comes twice")
                step = check(verified, txn, directory, self._here, self._policy)
            with self._spend("record"):
                recorded = record(step, txn)
            with self._spend("dispatch and queue"):
                for route in dispatch(recorded, directory, self._here):
                    deliver.enqueue(route, txn)
            with self._spend("receipt and event"):
                pending.append(self._scribe.accepted(recorded, txn))
                self._scribe.marked(step, txn)
                self._scribe.competing(recorded, txn)
                ref = ref_of(verified.header)
                txn.add_event(ref, "envelope.accepted", actor=str(verified.peer.address), stages=STAGES_TEXT)
        with self._spend("sign receipts"):
            txn.sign(lambda statements: statement.issue(statements, Address.of_node(self._here), self._key))
        start = perf_counter()
        with self._spend("commit"):
            self._connection.end(())
        self._tree = txn.tree
        self._waited += perf_counter() - start
        with self._spend("answer"):
            answers = [mailbox.Answer(receipt=each.receipt) for each in pending]
            mailbox.SubmitFramesResponse(frame=request.frame, answers=answers).SerializeToString()

    @contextmanager
    def _spend(self, stage: str) -> Iterator[None]:
        start = thread_time()
        yield
        self._spent[stage] += thread_time() - start


def measure(
    folder: Path, config: Path, sender: Path, file: Path, frames: int, rounds: int, size: int
) -> list[dict[str, float]]:
    """Return the figures of each round, the first of which is thrown away: it reads everything for the first time.

    Args:
        folder: an empty one.
        config: settings of the node.
        sender: settings of the participant whose envelopes come.
        file: the envelopes.
        frames: of a round.
        rounds: how many count.
        size: envelopes in a frame.
    """
    raw = pool.read(file, 0, frames * (rounds + 1) * size)
    cut = [raw[start : start + size] for start in range(0, len(raw), size)]
    stages = Stages(folder, config, sender)
    try:
        return [stages.measure(cut[start : start + frames]) for start in range(0, len(cut), frames)][1:]
    finally:
        stages.close()


def _request(number: int, frame: list[bytes]) -> bytes:
    envelopes = [pb.SignedEnvelope.FromString(each) for each in frame]
    return mailbox.SubmitFramesRequest(frame=number, envelopes=envelopes).SerializeToString()


def _leaf(chain_pem: bytes) -> bytes:
    """Return the first certificate, as TLS shows it."""
    return load_pem_x509_certificates(chain_pem)[0].public_bytes(Encoding.PEM)
