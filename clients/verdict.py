"""The judgement on a self-test: what its report proves.

In: the header of a test order, the report that answers it, a directory, the table of those who may send what. Out: the
checks, passed or not. No network, no disk, no key: the exchange and its registrar judge by the same rules, each with a
program and a directory of its own, and so can anybody to whom order and report are shown.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import selftest_pb2 as selftest

from clients.restrictions import (
    KINDS,
    Allowed,
    Ban,
    Trial,
    closed_methods,
    full_name,
    is_abroad,
    is_restricted,
    trials,
    with_article,
)
from gateway import codec, envelope, statement
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.rules import word

TEXT: Final = "This is a test. Nothing is ordered."
"""What every test order says, and the one thing that it can say."""

MAX_TOLD: Final = 3
"""Of what went wrong, so many are told in a check's detail; the others are counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a test found out.

    Args:
        name: what ought to hold.
        passed: whether it does.
        detail: by what it is known, or what is wrong.
    """

    name: str
    passed: bool
    detail: str


def body_of(challenge: bytes) -> bytes:
    """Return the body of the test order with that challenge."""
    return selftest.TestOrder(challenge=challenge, text=TEXT).SerializeToString(deterministic=True)


def judge(order: pb.Header, report: selftest.TestReport, directory: Directory, allowed: Allowed) -> tuple[Check, ...]:
    """Judge the report that answers a test order; both have been verified and came through the node.

    1. The exchange has no other role: it is a restricted client.
    2. It received and opened the order: it knows what the order commits to.
    3. It answered: this is the answer.
    4. For each kind: its trials were made in this test, and its node says, signed, that it refused them.
    5. It tried to write in the name of others, and to call what is closed. That these were refused it says itself: a
       node signs nothing for a stranger to an envelope, nor about a call.

    Args:
        order: the header of the test order.
        report: what the exchange answers.
        directory: who exists, with which keys.
        allowed: the table by which we know what must be refused.
    """
    exchange = Address.parse(order.recipients[0])
    found = _Found(order, directory, exchange)
    for attempt in report.attempts:
        found.take(attempt)
    wanted = trials(directory, exchange, allowed)
    return (
        _restricted(directory, exchange),  # (1)
        _opened(order, report),  # (2)
        Check("answers an order", passed=True, detail="its report went through its node"),  # (3)
        *(_of_kind(kind, [each for each in wanted if each.ban.kind == kind], found) for kind in KINDS),  # (4)
        _in_names(wanted, found),  # (5)
        *_calls(report.calls),
    )


def _restricted(directory: Directory, exchange: Address) -> Check:
    roles = ", ".join(sorted(role.value for role in directory.roles(str(exchange)))) or "none"
    return Check("is an exchange and nothing else", is_restricted(directory, exchange), f"roles: {roles}")


def _opened(order: pb.Header, report: selftest.TestReport) -> Check:
    name = "receives and opens an order"
    try:
        envelope.check_commitment(order, report.salt, body_of(report.challenge))
    except Refusal:
        return Check(name, passed=False, detail="its answer does not know what the test order says")
    return Check(name, passed=True, detail="its answer repeats what only the opened test order says")


class _Found:
    """What the attempts of a report prove, ban by ban."""

    def __init__(self, order: pb.Header, directory: Directory, exchange: Address) -> None:
        self._order = order
        self._directory = directory
        self._exchange = exchange
        self._node = str(Address.of_node(exchange.node))
        self.proven: defaultdict[Ban, set[ErrorCode]] = defaultdict(set)
        self.wrong: list[tuple[ids.Kind.ValueType, bool, str]] = []  # kind, in another's name, what is wrong

    def take(self, attempt: selftest.TestAttempt) -> None:
        """Take up what one attempt proves, or what is wrong with it."""
        borrowed = attempt.sender != str(self._exchange)
        try:
            header = self._header(attempt)
            code = self._told(attempt) if borrowed else self._proven(attempt, header)
        except Refusal as error:
            self.wrong.append((attempt.kind, borrowed, f"to {attempt.recipient}: {error.detail}"))
            return
        for ban in self._bans(header, borrowed=borrowed):
            self.proven[ban].add(code)

    def _header(self, attempt: selftest.TestAttempt) -> pb.Header:
        header = envelope.parse_header(codec.parse(pb.SignedEnvelope, attempt.envelope))
        told = (attempt.kind, attempt.sender, [attempt.recipient])
        if (header.kind, header.sender, list(header.recipients)) != told:
            raise _wrong("the report and the envelope in it differ")
        # The order made up this case: what was refused under it was refused since, and for this test.
        if header.case_id != self._order.case_id:
            raise _wrong("it belongs to another test")
        return header

    def _told(self, attempt: selftest.TestAttempt) -> ErrorCode:
        return _refused(attempt.code)

    def _proven(self, attempt: selftest.TestAttempt, header: pb.Header) -> ErrorCode:
        raw = codec.parse(pb.SignedEnvelope, attempt.envelope)
        envelope.verify(raw, header, self._directory.signing_key)
        receipt = codec.parse(pb.Receipt, attempt.receipt, ErrorCode.BAD_RECEIPT)
        said = statement.verify(receipt, self._directory.signing_key)
        statement.check_subject(said, header, envelope.fingerprint(raw))
        if said.issuer != self._node or said.recipient:
            raise _wrong("the answer is not its own node's")
        if said.milestone != pb.MILESTONE_REFUSED:
            raise _wrong("the node did not refuse it")
        return _refused(said.code)

    def _bans(self, header: pb.Header, *, borrowed: bool) -> Iterator[Ban]:
        recipient = Address.parse(header.recipients[0], allow_node=True)  # whatever an exchange may have put there
        senders: Iterable[Role | None] = self._directory.roles(header.sender) if borrowed else [None]
        for sender in senders:
            for role in self._directory.roles(str(recipient)):
                yield Ban(header.kind, sender, role, is_abroad(recipient, self._exchange))

    def check(self, trial: Trial) -> str:
        """Return what is wrong with a trial; empty if it was refused as it must be."""
        codes = self.proven.get(trial.ban)
        if not codes:
            return f"{trial.ban}: not tried"
        if trial.code in codes:
            return ""
        return f"{trial.ban}: {', '.join(sorted(code.name for code in codes))} instead of {trial.code.name}"


def _refused(code: int) -> ErrorCode:
    try:
        return ErrorCode(code)
    except ValueError as error:
        raise _wrong("the node did not refuse it") from error


def _wrong(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_RECEIPT, detail)


def _of_kind(kind: ids.Kind.ValueType, wanted: Sequence[Trial], found: _Found) -> Check:
    own = [trial for trial in wanted if trial.ban.sender is None]
    wrong = [why for of, borrowed, why in found.wrong if of == kind and not borrowed]
    wrong += [why for trial in own if (why := found.check(trial))]
    unasked = any(trial.code is ErrorCode.UNKNOWN_CITATION for trial in own)
    name = f"cannot send {with_article(word(kind))}{', but as an answer' if unasked else ''}"
    return _check(name, wrong, f"refused {len(own)} times, signed by its node")


def _in_names(wanted: Sequence[Trial], found: _Found) -> Check:
    borrowed = [trial for trial in wanted if trial.ban.sender is not None]
    wrong = [f"{word(kind)} {why}" for kind, of_others, why in found.wrong if of_others]
    wrong += [why for trial in borrowed if (why := found.check(trial))]
    return _check("cannot write in another's name", wrong, f"refused {len(borrowed)} times, as the exchange says")


def _calls(calls: Sequence[selftest.TestCall]) -> Iterator[Check]:
    told = {call.method: call for call in calls}
    for method in map(full_name, closed_methods()):
        call = told.get(method)
        name = f"cannot call {method.rpartition('.')[2]}"
        if call is None:
            yield Check(name, passed=False, detail="not tried")
        elif call.not_served:
            yield Check(name, passed=True, detail="its node serves it to nobody, as the exchange says")
        else:
            passed = int(call.code) == ErrorCode.NOT_PERMITTED
            yield Check(
                name,
                passed,
                "refused, as the exchange says" if passed else f"not refused as it must be: {_name(call.code)}",
            )


def _name(code: int) -> str:
    return ErrorCode(code).name if code in {each.value for each in ErrorCode} else "not at all"


def _check(name: str, wrong: Sequence[str], well: str) -> Check:
    if not wrong:
        return Check(name, passed=True, detail=well)
    more = f"; and {len(wrong) - MAX_TOLD} more" if len(wrong) > MAX_TOLD else ""
    return Check(name, passed=False, detail="; ".join(wrong[:MAX_TOLD]) + more)
