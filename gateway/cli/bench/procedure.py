"""What authorisation and procedure cost for an envelope, at a node with many open cases.

In: how many cases, how many rounds. Out: microseconds of the processor for each step of two whole cases, medians over
the rounds, and their mean as a ratio to one bare Ed25519 verification of the same rounds.

The store is a real one, in a file, made anew: cases that stand everywhere on the two ways below, at the node of the
executing State, which sees whole chains. What comes next is then asked of cases drawn at random, all steps mixed, in
frames and in a transaction as on the path; nothing of it stays. The store is read once before, as at a node that has
been up for a while: each page is mapped once in a process's life. What a case rests on is hardly ever in a cache of the
processor; how much of the cost that is, a second look shows, in a transaction of its own. Parsing and signatures are
other stages', and not counted; nor is recording, which has a figure of its own, without the commit that a batch shares.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import fmean, median
from time import thread_time
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from certs.pki import DevelopmentPki
from gateway import envelope
from gateway.authenticate import Peer, authenticate
from gateway.authorise import Permit, authorise
from gateway.cli import development
from gateway.cli.bench.figures import MICROSECONDS
from gateway.clock import to_micros
from gateway.config import Limits
from gateway.directory import Directory, NodeEntry
from gateway.effects import Changed, Effects, Moved, Started
from gateway.envelope import Letter, ref_of
from gateway.gathering import MAX_FRAME_ENVELOPES
from gateway.identity import Address
from gateway.policy import Policy
from gateway.procedure import LawfulStep, check
from gateway.receive import Claimed, receive
from gateway.record import apply, record
from gateway.rules import Kind, Named
from gateway.store import Transaction, open_store
from gateway.verify import VerifiedEnvelope, verify

DRAWN: Final = 20
"""Cases that each step is asked of in a round."""

_FIGURES: Final = ("authorise_us", "check_us", "us", "again_us", "record_us", "verify_us")
"""`us` is authorisation, of which each envelope of a frame has its share, and procedure; `again_us` the same when what
the envelope rests on has just been read."""
_BATCH: Final = 50_000
"""Envelopes in one transaction, while the store is made."""
_SEED: Final = 5
"""Every run draws the same cases."""

_ABROAD, _HERE = "ee", "de"
_INVESTIGATOR, _THEIR_CENTRAL, _THEIR_FIU = "ee/prosecutor", "ee/central-authority", "ee/fiu"
_CENTRAL, _COURT, _FIU, _EXCHANGE = "de/central-authority", "de/court", "de/fiu", "de/exchange"
_FROM: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_BETWEEN_STEPS: Final = timedelta(hours=1)
_NOW: Final = _FROM + timedelta(days=1)
_POLICY: Final = Policy.none()
_LIMITS: Final = Limits()

_NUMBER_BYTES: Final = 6
_NUMBER: Final = "f" * 2 * _NUMBER_BYTES
"""Stands where each copy of a case has its own number: in ids, case ids and targets."""

_FREEZE: Final = {"measures": (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION)}
_DATA: Final = {"data_classes": (ids.DATA_CLASS_SUBSCRIBER, ids.DATA_CLASS_TRANSACTIONAL)}
_ALL: Final = _FREEZE | _DATA
_TARGETS: Final = {"target_tokens": tuple(bytes([target]) * 20 + _NUMBER.encode() for target in range(2))}
_UNTIL: Final = {"in_force_until": _NOW + timedelta(days=90)}
_DONE: Final = {"outcome": ids.OUTCOME_GRANTED}
_GRANTED: Final = _DONE | {"dual_criminality": ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED}


@dataclass(frozen=True, slots=True)
class _Said:
    """One envelope of a way: who says what to whom in which case, and which one before it is cited."""

    name: str
    kind: Kind
    sender: str
    recipient: str
    case: str
    cites: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    countersigned_by: str | None = None


_FREEZING: Final = (
    _Said(
        "request",
        ids.KIND_FREEZE_REQUEST,
        _INVESTIGATOR,
        _CENTRAL,
        "EE",
        fields=_ALL | _TARGETS,
        countersigned_by=_THEIR_CENTRAL,
    ),
    _Said("acknowledgement", ids.KIND_ACKNOWLEDGEMENT, _CENTRAL, _INVESTIGATOR, "EE", "request"),
    _Said("question", ids.KIND_CLARIFICATION_REQUEST, _CENTRAL, _INVESTIGATOR, "EE", "request"),
    _Said("clarification", ids.KIND_CLARIFICATION, _INVESTIGATOR, _CENTRAL, "EE", "question"),
    _Said("referral", ids.KIND_REVIEW_REFERRAL, _CENTRAL, _COURT, "DE", "request", _ALL),
    _Said("decision", ids.KIND_REVIEW_DECISION, _COURT, _CENTRAL, "DE", "referral", _ALL | _GRANTED),
    _Said("notice abroad", ids.KIND_REVIEW_DECISION, _CENTRAL, _INVESTIGATOR, "EE", "request", _ALL | _GRANTED),
    _Said("order", ids.KIND_DOMESTIC_ORDER, _COURT, _EXCHANGE, "ORDER", "decision", _ALL | _UNTIL),
    _Said("report", ids.KIND_EXECUTION_REPORT, _EXCHANGE, _COURT, "ORDER", "order", _ALL | _DONE),
    _Said("court's report", ids.KIND_EXECUTION_REPORT, _COURT, _CENTRAL, "DE", "decision", _ALL | _DONE),
    _Said("report abroad", ids.KIND_EXECUTION_REPORT, _CENTRAL, _INVESTIGATOR, "EE", "request", _ALL | _DONE),
    _Said("disclosure", ids.KIND_DISCLOSURE, _EXCHANGE, _COURT, "ORDER", "order", _DATA),
    _Said("court's disclosure", ids.KIND_DISCLOSURE, _COURT, _CENTRAL, "DE", "decision", _DATA),
    _Said("disclosure abroad", ids.KIND_DISCLOSURE, _CENTRAL, _INVESTIGATOR, "EE", "request", _DATA),
)
_PROVISIONAL: Final = (
    _Said("provisional freeze", ids.KIND_PROVISIONAL_FREEZE, _THEIR_FIU, _FIU, "EE", fields=_FREEZE | _TARGETS),
    _Said("its acknowledgement", ids.KIND_ACKNOWLEDGEMENT, _FIU, _THEIR_FIU, "EE", "provisional freeze"),
    _Said("provisional order", ids.KIND_PROVISIONAL_ORDER, _FIU, _EXCHANGE, "ORDER", "its acknowledgement", _FREEZE),
    _Said("report on that", ids.KIND_EXECUTION_REPORT, _EXCHANGE, _FIU, "ORDER", "provisional order", _FREEZE | _DONE),
    _Said(
        "its report abroad", ids.KIND_EXECUTION_REPORT, _FIU, _THEIR_FIU, "EE", "provisional freeze", _FREEZE | _DONE
    ),
    _Said("its referral", ids.KIND_REVIEW_REFERRAL, _FIU, _COURT, "DE", "provisional freeze", _FREEZE),
    _Said("its decision", ids.KIND_REVIEW_DECISION, _COURT, _FIU, "DE", "its referral", _FREEZE | _GRANTED),
    _Said("confirmation", ids.KIND_CONFIRMATION, _FIU, _EXCHANGE, "ORDER", "provisional order", _FREEZE | _DONE),
    _Said("its notice", ids.KIND_CONFIRMATION, _FIU, _THEIR_FIU, "EE", "provisional freeze", _FREEZE | _DONE),
)
_WAYS: Final = (_FREEZING, _PROVISIONAL)


@dataclass(frozen=True, slots=True)
class _Model:
    """One envelope of the case that all others are copies of, and what followed from it."""

    said: _Said
    at: datetime
    signed: pb.SignedEnvelope
    effects: Effects = field(default=Effects())

    def copy(self, number: int) -> pb.SignedEnvelope:
        """Return that envelope of the case with that number, with the signatures of the first."""
        copy = pb.SignedEnvelope()
        copy.CopyFrom(self.signed)
        copy.header = copy.header.replace(_NUMBER.encode(), _digits(number).encode())
        return copy

    def effects_of(self, number: int) -> Effects:
        """Return what follows from that."""
        return Effects(
            tuple(Moved(_of(moved.matter, number), moved.state) for moved in self.effects.moves),
            tuple(_clock_of(clock, number) for clock in self.effects.clocks),
        )


class _Federation:
    """Two countries, and the keys of everybody who sends."""

    def __init__(self) -> None:
        pki = DevelopmentPki(development.DEFAULT_FEDERATION, _FROM)
        people = development.cast_of((_ABROAD, _HERE))
        self._keys = development.new_keys(people)
        self.directory = Directory(
            federation=pki.federation,
            version=1,
            nodes=tuple(
                NodeEntry(code=code, endpoint="none", ca=pki.node_ca(code).pem.decode(), signing_keys=())
                for code in (_ABROAD, _HERE)
            ),
            participants=tuple(
                development.participant_entry(address, part.role, self._keys.get(address), _FROM)
                for address, part in people
            ),
            instruments=(development.instrument((_ABROAD, _HERE)),),
        )
        abroad = Address.of_node(_ABROAD)
        senders = {Address.parse(said.sender) for way in _WAYS for said in way}
        bringers = {sender: abroad if sender.node == _ABROAD else sender for sender in senders}
        leaves = {each: pki.leaf(each).pem for each in set(bringers.values())}
        self.peers: Mapping[str, Peer] = {
            str(sender): authenticate(leaves[bringer], self.directory, _NOW) for sender, bringer in bringers.items()
        }

    def write(self, said: _Said, place: int, at: datetime, cited: pb.Header | None) -> pb.SignedEnvelope:
        """Return an envelope whose id names its place and, where its copies have theirs, the number of its case."""
        abroad = said.sender[:2] != said.recipient[:2]
        letter = Letter(
            said.kind,
            said.sender,
            (said.recipient,),
            f"{said.case}-{_NUMBER}",
            cites=() if cited is None else (ref_of(cited),),
            instrument=development.INSTRUMENT if abroad else "",
            urgency=ids.URGENCY_URGENT,
            **said.fields,
        )
        signed = envelope.compose(
            letter,
            b"",
            signing_key=self._keys[Address.parse(said.sender)].signing,
            reader_keys=[bytes(self._keys[Address.parse(said.recipient)].sealing.public_key)],
            now=at,
            random=lambda count: bytes([place]) * (count - _NUMBER_BYTES) + bytes.fromhex(_NUMBER),
        ).envelope
        return self.sign(signed, said)

    def sign(self, signed: pb.SignedEnvelope, said: _Said) -> pb.SignedEnvelope:
        """Sign an envelope as those who have a part in it do."""
        del signed.signatures[:]
        for signer in filter(None, (said.sender, said.countersigned_by)):
            key = self._keys[Address.parse(signer)].signing
            signed.signatures.append(envelope.countersign(signed, signer, key))
        return signed

    def permit(self, claimed: Claimed) -> Permit:
        """Bring an envelope as its sender, or its sender's node, does."""
        return authorise(self.peers[claimed.header.sender], claimed, self.directory, _HERE)

    def verify(self, permit: Permit) -> VerifiedEnvelope:
        """Prove what it claims."""
        return verify(permit, self.directory, _LIMITS, _NOW)


class Bench:
    """A node with many open cases."""

    def __init__(self, folder: Path, cases: int, tell: Callable[[str], None]) -> None:
        """Make its store.

        Args:
            folder: where.
            cases: how many are open.
            tell: told how far it has come.
        """
        connect, engine = open_store(folder / "bench.db")
        engine.dispose()
        self._connection = connect()
        self._cases = cases
        self._federation = _Federation()
        self._random = Random(_SEED)  # noqa: S311  chance that repeats
        self._ways = [self._models(place, way) for place, way in enumerate(_WAYS)]
        # Where a case can stand: which way it goes, and how much of it is behind.
        self._standings = [(way, behind) for way in range(len(_WAYS)) for behind in range(1, len(_WAYS[way]))]
        self._fill(tell)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def measure(self, rounds: int, reference: Callable[[], None]) -> dict[str, Any]:
        """Return the figures.

        Args:
            rounds: how many.
            reference: verifies one signature.
        """
        # So that nothing of what counts is done for the first time.
        self._connection.execute("PRAGMA quick_check").fetchall()
        self._round(reference)
        taken: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(rounds):
            for name, figures in self._round(reference).items():
                taken[name].append(figures)
        kinds = {name: {what: median(each[what] for each in of) for what in _FIGURES} for name, of in taken.items()}
        mean = {what: fmean(figures[what] for figures in kinds.values()) for what in _FIGURES}
        return {
            "cases": self._cases,
            "rounds": rounds,
            "per_kind": kinds,
            "mean_us": mean["us"],
            "again_us": mean["again_us"],
            "record_us": mean["record_us"],
            "verify_us": mean["verify_us"],
            "ratio": mean["us"] / mean["verify_us"],
            "again_ratio": mean["again_us"] / mean["verify_us"],
        }

    def _round(self, reference: Callable[[], None]) -> dict[str, dict[str, float]]:
        """Ask every step of some cases, in frames and in random order; return the means in microseconds."""
        drawn = [
            (model, number)
            for way, models in enumerate(self._ways)
            for behind, model in enumerate(models)
            for number in self._random.sample(self._next(way, behind), DRAWN)
        ]
        self._random.shuffle(drawn)
        sums = {model.said.name: dict.fromkeys(_FIGURES, 0.0) for models in self._ways for model in models}
        for start in range(0, len(drawn), MAX_FRAME_ENVELOPES):
            frame = drawn[start : start + MAX_FRAME_ENVELOPES]
            claims = [
                receive(self._federation.sign(model.copy(number), model.said), _LIMITS) for model, number in frame
            ]
            self._frame(claims, [sums[model.said.name] for model, _ in frame], reference)
        return {name: {what: took / DRAWN * MICROSECONDS for what, took in of.items()} for name, of in sums.items()}

    def _frame(
        self, claims: Sequence[Claimed], sums: Sequence[dict[str, float]], reference: Callable[[], None]
    ) -> None:
        """Take a frame as the path does, one stage after another for all of it."""
        directory, peers = self._federation.directory, self._federation.peers
        bringers = [peers[claimed.header.sender] for claimed in claims]
        start = thread_time()
        permits = [authorise(peer, each, directory, _HERE) for peer, each in zip(bringers, claims, strict=True)]
        authorised = (thread_time() - start) / len(sums)
        for took in sums:
            _add(took, authorised, "authorise_us", "us", "again_us")
        verified = [self._federation.verify(permit) for permit in permits]
        for took in sums:
            start = thread_time()
            reference()
            _add(took, thread_time() - start, "verify_us")
        self._connection.begin()
        txn = self._transaction(_NOW)
        steps = self._steps(verified, sums, txn, "check_us", "us")
        self._steps(verified, sums, self._transaction(_NOW), "again_us")
        for step, took in zip(steps, sums, strict=True):
            start = thread_time()
            record(step, txn)
            _add(took, thread_time() - start, "record_us")
        start = thread_time()
        txn.sign(_nothing)  # rows are written many at a time: each envelope has its share
        written = (thread_time() - start) / len(sums)
        for took in sums:
            _add(took, written, "record_us")
        self._connection.abandon()

    def _steps(
        self, verified: Sequence[VerifiedEnvelope], sums: Sequence[dict[str, float]], txn: Transaction, *figures: str
    ) -> list[LawfulStep]:
        """Decide on a frame; what is asked for the whole of it is shared."""
        steps = []
        start = thread_time()
        txn.expect_basis([each.header for each in verified])
        asked = (thread_time() - start) / len(sums)
        for each, took in zip(verified, sums, strict=True):
            start = thread_time()
            steps.append(check(each, txn, self._federation.directory, _HERE, _POLICY))
            _add(took, thread_time() - start + asked, *figures)
        return steps

    def _next(self, way: int, behind: int) -> range:
        """Return the numbers of the cases in which that envelope comes next; of a request, of new ones."""
        if not behind:
            return range(self._cases, 2 * self._cases)
        return range(self._standings.index((way, behind)), self._cases, len(self._standings))

    def _models(self, place: int, way: Sequence[_Said]) -> list[_Model]:
        """Take one case the whole way, through the real stages."""
        models: list[_Model] = []
        headers: dict[str | None, pb.Header] = {}
        for behind, said in enumerate(way):
            at = _FROM + behind * _BETWEEN_STEPS
            signed = self._federation.write(said, place * MAX_FRAME_ENVELOPES + behind, at, headers.get(said.cites))
            claimed = receive(signed, _LIMITS)
            verified = self._federation.verify(self._federation.permit(claimed))
            with self._committed(at) as txn:
                step = check(verified, txn, self._federation.directory, _HERE, _POLICY)
                record(step, txn)
            headers[said.name] = claimed.header
            models.append(_Model(said, at, signed, step.effects))
        return models

    def _fill(self, tell: Callable[[str], None]) -> None:
        """Copy it, each step of all cases after the one before: what belongs to one case lies far apart."""
        made, all_ = 0, sum(self._cases // len(self._standings) * behind for _, behind in self._standings)
        for behind in range(max(map(len, self._ways)) - 1):
            copies = [
                (self._ways[way][behind], number)
                for number in range(self._cases)
                for way, there in [self._standings[number % len(self._standings)]]
                if behind < there
            ]
            for start in range(0, len(copies), _BATCH):
                self._copy(copies[start : start + _BATCH])
            made += len(copies)
            tell(f"{made} of {all_} envelopes")

    def _copy(self, copies: Sequence[tuple[_Model, int]]) -> None:
        with self._committed(copies[0][0].at) as txn:
            for model, number in copies:
                signed = model.copy(number)
                header = pb.Header.FromString(signed.header)
                txn.add_envelope(signed, header, sha256(signed.header).digest())  # nobody here asks for the fingerprint
                apply(model.effects_of(number), ref_of(header), txn)

    @contextmanager
    def _committed(self, at: datetime) -> Iterator[Transaction]:
        self._connection.begin()
        txn = self._transaction(at)
        yield txn
        txn.sign(_nothing)
        self._connection.end(())

    def _transaction(self, at: datetime) -> Transaction:
        return Transaction(self._connection, to_micros(at), f"{_HERE}/node")


def _nothing(_: Sequence[pb.Statement]) -> Sequence[pb.Receipt]:
    return ()


def _clock_of(clock: Started | Changed, number: int) -> Started | Changed:
    matter = _of(clock.matter, number)
    if isinstance(clock, Changed):
        return Changed(matter, clock.rules, clock.change)
    return Started(matter, clock.rule, clock.start_us, clock.due_us, clock.next_us)


def _of(ref: Named, number: int) -> ids.EnvelopeRef:
    return ids.EnvelopeRef(sender=ref.sender, id=ref.id.replace(_NUMBER, _digits(number)))


def _digits(number: int) -> str:
    return f"{number:0{len(_NUMBER)}x}"


def _add(took: dict[str, float], seconds: float, *figures: str) -> None:
    for figure in figures:
        took[figure] += seconds
