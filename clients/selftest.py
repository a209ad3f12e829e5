"""The self-test of a restricted client: an exchange can receive, open and answer an order, and do nothing else.

In: an exchange's address and a registrar, or a test order and an exchange. Out: envelopes, calls, a `Verdict`.

A registrar of the same country sends a test order over the way that real orders take. The exchange opens it, then tries
what it must not be able to do (`clients.restrictions`), keeps its node's signed refusals, and answers with them.
Then both judge the same report by the same rules (`clients.verdict`), so that both know.

What is tried could succeed, where something is broken. So it is harmless: it is named a test in its case and its body,
names no measure, no data and no instrument, cites nothing that exists, carries no form of a document, and expires soon.
Calls are made with empty requests. Rates are those of the exchange's quota: what is told to come again does.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import selftest_pb2 as selftest
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from clients import restrictions, submission
from clients.connection import Pauses
from clients.intake import Received
from clients.participant import ATTEMPT_SECONDS, TIMEOUT_SECONDS, Participant
from clients.restrictions import Allowed, Trial
from clients.submission import SignedRefusal
from clients.verdict import TEXT, Check, judge
from gateway import envelope
from gateway.codec import error_from
from gateway.directory import Directory
from gateway.envelope import Composed, Letter
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address, Role
from gateway.transport import channel_to, error_of

CHALLENGE_BYTES: Final = 32
CASE: Final = "TEST-"
"""How the case id of every test begins; what follows is random, so that nothing can have been made for it before."""

CASE_RANDOM_BYTES: Final = 16
ORDER_LASTS: Final = timedelta(days=7)
ATTEMPT_LASTS: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a self-test found out.

    Args:
        order: the header of the test order.
        report: the header of the report on it.
        checks: each thing that was to be shown.
    """

    order: pb.Header
    report: pb.Header
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all of it was shown."""
        return all(check.passed for check in self.checks)


def order(registrar: Participant, exchange: str) -> Composed:
    """Compose a test order; `registrar.submit` hands it in.

    Raises:
        Refusal: NOT_PERMITTED, it is no active exchange of our own country; NO_ROUTE, it has no valid sealing key.
    """
    _check_role(registrar, exchange, Role.EXCHANGE)
    random = registrar.parts.random
    letter = Letter(
        kind=ids.KIND_TEST_ORDER,
        sender=registrar.address,
        recipients=(exchange,),
        case_id=CASE + random(CASE_RANDOM_BYTES).hex(),
        expires_at=registrar.parts.clock() + ORDER_LASTS,
    )
    return registrar.compose(letter, selftest.TestOrder(challenge=random(CHALLENGE_BYTES), text=TEXT))


def verdict(registrar: Participant, report: Received, allowed: Allowed) -> Verdict:
    """Judge the report that came for a test order of ours.

    Args:
        registrar: who sent the order.
        report: what came.
        allowed: the table by which our own program knows what must be refused.

    Raises:
        Refusal: OUT_OF_ORDER, it is no report on a test, or by another than who was tested; NOT_FOUND, on none of ours.
    """
    document = report.document
    if not isinstance(document, selftest.TestReport) or len(report.header.cites) != 1:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "this is no report on a test order", "kind")
    asked = envelope.parse_header(registrar.sent(report.header.cites[0]))
    if (asked.kind, list(asked.recipients)) != (ids.KIND_TEST_ORDER, [report.header.sender]):
        raise Refusal(ErrorCode.OUT_OF_ORDER, "the test order that it cites went to somebody else", "cites[0]")
    return Verdict(asked, report.header, judge(asked, document, registrar.directory, allowed))


async def answer(exchange: Participant, order: Received, allowed: Allowed, within: float = TIMEOUT_SECONDS) -> Verdict:
    """Try what must be refused, and answer a test order with what came of it; then it has been dealt with.

    1. It is a test order, by a registrar of our own country.
    2. If the directory gives us another role than that of an exchange, nothing is tried: some of it could succeed.
    3. Each trial is made, and each closed procedure called.
    4. The report goes to the registrar, and is judged here as it will be there.

    Args:
        exchange: who is tested; entered (`async with`).
        order: the test order.
        allowed: the table by which our own program knows what must be refused.
        within: seconds for the attempts, and again for handing in the report.

    Raises:
        Refusal: OUT_OF_ORDER or NOT_PERMITTED for 1; the node will not serve us at all, e.g. REVOKED.
        SignedRefusal: the node refuses the report. The order is then dealt with too: another answer fares no better.
        Failure: the node cannot be reached. The order waits, to be answered by another try.
    """
    document = order.document
    if not isinstance(document, selftest.TestOrder):  # (1)
        raise Refusal(ErrorCode.OUT_OF_ORDER, "this is no test order", "kind")
    _check_role(exchange, order.header.sender, Role.REGISTRAR)
    report = selftest.TestReport(challenge=document.challenge, salt=order.opened.salt)
    if restrictions.is_restricted(exchange.directory, exchange.parts.address):  # (2)
        attempts, calls = await _Trier(exchange, order.header.case_id, within).all(allowed)  # (3)
        report.attempts.extend(attempts)
        report.calls.extend(calls)
    letter = Letter(
        kind=ids.KIND_TEST_REPORT,
        sender=exchange.address,
        recipients=(order.header.sender,),
        case_id=order.header.case_id,
        cites=(order.ref,),
    )
    made = exchange.compose(letter, report)
    try:
        await exchange.submit(made.envelope, within)  # (4)
    except SignedRefusal:
        exchange.done(order)
        raise
    exchange.done(order)
    return Verdict(order.header, made.header, judge(order.header, report, exchange.directory, allowed))


class _Trier:
    """Tries what must be refused, over a connection of its own; none of it is kept as mail of ours."""

    def __init__(self, exchange: Participant, case_id: str, within: float) -> None:
        self._exchange = exchange
        self._parts = exchange.parts
        self._directory: Directory = exchange.directory
        self._case_id = case_id
        self._now = asyncio.get_running_loop().time
        self._deadline = self._now() + within

    async def all(self, allowed: Allowed) -> tuple[list[selftest.TestAttempt], list[selftest.TestCall]]:
        """Return what came of all trials and all calls."""
        node = self._directory.node(self._parts.address.node)
        channel = channel_to(node, self._directory.federation, self._parts.tls)
        try:
            trials = restrictions.trials(self._directory, self._parts.address, allowed)
            attempts = await self._hand_in(MailboxStub(channel), trials)
            return attempts, [await self._call(channel, method) for method in restrictions.closed_methods()]
        finally:
            await channel.close()

    async def _hand_in(self, stub: MailboxStub, trials: Sequence[Trial]) -> list[selftest.TestAttempt]:
        envelopes = [self._compose(trial) for trial in trials]
        answers: dict[int, mailbox.Answer] = {}
        pauses = Pauses(self._parts.chance)

        def settle(positions: Sequence[int], found: Sequence[mailbox.Answer]) -> None:
            answers.update(zip(positions, found, strict=True))

        todo = list(range(len(envelopes)))
        while todo:
            failure: Failure | None = None
            try:
                await submission.stream(stub, envelopes, todo, settle, self._remaining())
            except Failure as error:
                failure = error
            todo = [at for at in todo if at not in answers or _failure(answers[at]) is not None]
            if todo:
                # What the node said of an attempt, be it a try ago, tells more than how a call ended.
                told = next((told for at in todo if at in answers and (told := _failure(answers[at]))), failure)
                await self._pause(pauses, told or Failure(ErrorCode.UNAVAILABLE, "no answer"))
        return [
            _attempt(trial, raw, answers[at]) for at, (trial, raw) in enumerate(zip(trials, envelopes, strict=True))
        ]

    def _compose(self, trial: Trial) -> pb.SignedEnvelope:
        now, random = self._parts.clock(), self._parts.random
        cites: tuple[ids.EnvelopeRef, ...] = ()
        if trial.code is ErrorCode.UNKNOWN_CITATION:
            cites = (ids.EnvelopeRef(sender=trial.recipient, id=envelope.new_id(now, random)),)
        letter = Letter(
            kind=trial.ban.kind,
            sender=trial.sender,
            recipients=(trial.recipient,),
            case_id=self._case_id,
            cites=cites,
            expires_at=now + ATTEMPT_LASTS,
        )
        made = envelope.compose(
            letter,
            TEXT.encode(),
            signing_key=self._exchange.signing_key,
            reader_keys=self._reader_keys(trial.recipient),
            now=now,
            random=random,
        )
        return made.envelope

    def _reader_keys(self, recipient: str) -> tuple[bytes, ...]:
        now = self._parts.clock()
        try:
            return self._directory.sealing_keys(recipient, now)
        except Refusal:  # operators and auditors open nothing; then only we could
            return self._directory.sealing_keys(self._exchange.address, now)

    async def _call(self, channel: grpc.aio.Channel, method: MethodDescriptor) -> selftest.TestCall:
        name = restrictions.full_name(method)
        pauses = Pauses(self._parts.chance)
        while True:
            try:
                await self._call_once(channel, method, f"/{name}")
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    return selftest.TestCall(method=name, not_served=True)
                told = error_of(error)
                if isinstance(told, Failure):
                    await self._pause(pauses, told)
                    continue
                return selftest.TestCall(method=name, code=errors_pb2.ErrorCode.ValueType(told.code))
            return selftest.TestCall(method=name)

    async def _call_once(self, channel: grpc.aio.Channel, method: MethodDescriptor, path: str) -> None:
        """Call with an empty request, or with none in a stream; returns if the node serves it."""
        timeout = min(self._remaining(), ATTEMPT_SECONDS)
        match method.client_streaming, method.server_streaming:
            case False, False:
                await channel.unary_unary(path, bytes, bytes)(b"", timeout=timeout)
            case False, True:
                async for _ in channel.unary_stream(path, bytes, bytes)(b"", timeout=timeout):
                    return
            case True, False:
                await channel.stream_unary(path, bytes, bytes)(_nothing(), timeout=timeout)
            case _:
                async for _ in channel.stream_stream(path, bytes, bytes)(_nothing(), timeout=timeout):
                    return

    def _remaining(self) -> float:
        return max(0.0, self._deadline - self._now())

    async def _pause(self, pauses: Pauses, failure: Failure) -> None:
        """Wait for as long as the node asks.

        Raises:
            Failure: there is no more time.
        """
        wait = pauses.next(failure)
        if wait >= self._remaining():
            raise failure
        await asyncio.sleep(wait)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _failure(answer: mailbox.Answer) -> Failure | None:
    error = error_from(answer.error) if answer.HasField("error") else None
    return error if isinstance(error, Failure) else None


def _attempt(trial: Trial, raw: pb.SignedEnvelope, answer: mailbox.Answer) -> selftest.TestAttempt:
    made = selftest.TestAttempt(
        kind=trial.ban.kind,
        sender=trial.sender,
        recipient=trial.recipient,
        code=answer.error.code,
        envelope=raw.SerializeToString(deterministic=True),
    )
    if answer.HasField("receipt"):
        made.receipt = answer.receipt.SerializeToString(deterministic=True)
        # As it says of itself. What it proves is for `judge` to say.
        made.code = pb.Statement.FromString(answer.receipt.statement).code
    return made


def _check_role(me: Participant, address: str, role: Role) -> None:
    if Address.parse(address).node != me.parts.address.node or role not in me.directory.roles(address):
        raise Refusal(ErrorCode.NOT_PERMITTED, f"{address} is no active {role.value} of our own country")
