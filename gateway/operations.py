"""What operators may do with deliveries, who has to agree, and how it is done: in one transaction with its record.

In: an action with its reason, and the operator who wants it. Out: its record: done at once; or waiting for a second
operator, who approves it and so does it, or rejects it. Each is an event in the operator's name, beside the envelope
that it is about. Nothing here opens, changes or makes an envelope. Refuses with NOT_FOUND, NOT_PERMITTED, BAD_INPUT,
FOUR_EYES and ILLEGAL_TRANSITION; fails with OVERLOADED.

What cannot be undone needs two: a copy that is expired is told to its sender in signed words; to try all of a
destination again is a burst for whoever was down; a process that ends is missed. To hold and to release undo each
other, and one copy tried again is what its courier does anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NoReturn

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import operations_pb2 as operations

from gateway import deliver
from gateway.config import Operations
from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address, Role
from gateway.lifecycle import FINAL, LEASED, Event, State
from gateway.printable import is_visible
from gateway.receipt import Scribe
from gateway.statement import event_name
from gateway.store import Transaction
from gateway.store.operating import ActionRow, Copied, Ended, Resendable
from gateway.story import action_state

MAX_WAITING: Final = 256
"""Actions that may wait for a second operator: more than anybody looks through."""

MAX_RESENT: Final = 1024
"""Copies whose pause one action ends; what waits beyond is for the next one. The writer needs 15 ms for so many over a
file and 60 over PostgreSQL (medians of 15); others wait for that."""

LEAST_REASON: Final = 3
"""Characters, as in the contract; blanks around them say nothing."""

MAX_SAID: Final = 8
"""Receipts that a refusal names."""

DIGEST_BYTES: Final = 8
"""Of an action: who asks cannot choose the microsecond that goes into it, so nobody can look for two of one digest."""

DRAIN: Final = "drain"
"""What rings when a process shall end."""

MICROS_AN_HOUR: Final = 3_600_000_000
WAITING_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Desk:
    """Where operators act: what is needed to do it.

    Args:
        here: code of this node.
        directory: who is who.
        settings: who has to agree.
        scribe: words what is stated.
        process: name of this process.
    """

    here: str
    directory: Directory
    settings: Operations
    scribe: Scribe
    process: str

    def prepared(self, action: operations.Action, now_us: int) -> operations.Action:
        """Check an action as far as nobody need look into the store, and return it with nothing left open.

        Raises:
            Refusal: NOT_FOUND or BAD_INPUT.
        """
        check_reason(action.reason, LEAST_REASON)
        made = operations.Action()
        made.CopyFrom(action)
        match made.WhichOneof("what"):
            case "resend" if made.resend.HasField("envelope"):
                if made.resend.from_us or made.resend.until_us:
                    raise Refusal(ErrorCode.BAD_INPUT, "an interval is of all of a destination", "action.resend")
                if made.resend.destination:
                    self._check_destination(made.resend.destination, "resend")
            case "resend":
                self._check_destination(made.resend.destination, "resend")
                # As of now: when it is approved, more may have come.
                made.resend.until_us = made.resend.until_us or now_us + 1
                if made.resend.from_us >= made.resend.until_us:
                    raise Refusal(ErrorCode.BAD_INPUT, "the interval ends before it begins", "action.resend.until_us")
            case "drain":
                if made.drain.process not in {"", self.process}:
                    detail = f"the process that took this call is {self.process}; leave the name out"
                    raise Refusal(ErrorCode.NOT_FOUND, detail, "action.drain.process")
                made.drain.process = self.process
            case "hold":
                self._check_destination(made.hold.destination, "hold")
            case "release":
                self._check_destination(made.release.destination, "release")
            case _:
                self._check_destination(made.expire.destination, "expire")
        return made

    def act(self, action: operations.Action, by: str, found: Sequence[Resendable], txn: Transaction) -> ActionRow:
        """Do something, or keep it until a second operator approves it; return its record.

        Args:
            action: from `prepared`.
            by: address of the operator.
            found: the copies to resend, for `is_bulk`.
            txn: the writer's transaction.

        Raises:
            Refusal: as the module says; nothing is recorded.
            Failure: OVERLOADED, too much waits.
        """
        record = txn.operating
        if not self.needs_second(action):
            number = record.add(action, by, None)
            touched = self._do(number, action, by, "", found, txn)
            record.end(number, Ended("done", "", txn.now_us, touched=touched))
            return _recorded(number, txn)
        if record.waiting_count(txn.now_us) >= MAX_WAITING:
            detail = f"{MAX_WAITING} actions wait for a second operator"
            raise Failure(ErrorCode.OVERLOADED, detail, retry_after=WAITING_SECONDS)
        self._check_possible(action, txn)
        number = record.add(action, by, txn.now_us + round(self.settings.lapse_hours * MICROS_AN_HOUR))
        self._tell("operator.asked", number, action, by, action.reason, txn)
        return _recorded(number, txn)

    def decide(
        self, request: operations.DecideActionRequest, by: str, found: Sequence[Resendable], txn: Transaction
    ) -> ActionRow:
        """Take a second operator's word, or the first one's that it is not wanted any more; return the record.

        An approved action that cannot be done any more has failed; that is recorded, and no refusal.

        Raises:
            Refusal: NOT_FOUND, also if another action has the number now; ILLEGAL_TRANSITION, it is decided or has
                lapsed; FOUR_EYES; BAD_INPUT, no reason.
        """
        number = request.number
        row = txn.operating.action(number)
        if row is None:
            raise Refusal(ErrorCode.NOT_FOUND, f"there is no action {number}", "number")
        if request.digest not in {b"", digest_of(row)}:
            detail = f"action {number} is another than the one that was shown: look again"
            raise Refusal(ErrorCode.NOT_FOUND, detail, "digest")
        state = action_state(state_of(row, txn.now_us))
        if state != "waiting":
            raise Refusal(ErrorCode.ILLEGAL_TRANSITION, f"action {number} does not wait: it is {state}", "number")
        if not request.approve:
            check_reason(request.reason, LEAST_REASON)
            txn.operating.end(number, Ended("rejected", by, txn.now_us, request.reason))
            self._tell("operator.rejected", number, row.action, by, request.reason, txn)
            return _recorded(number, txn)
        check_reason(request.reason)
        if by == row.asked_by:
            raise Refusal(ErrorCode.FOUR_EYES, f"{by} asked for it; another operator has to approve it", "number")
        if Role.OPERATOR not in self.directory.roles(row.asked_by):
            raise Refusal(ErrorCode.FOUR_EYES, f"{row.asked_by}, who asked for it, is no operator any more", "number")
        try:
            with txn.part():
                touched = self._do(number, row.action, row.asked_by, by, found, txn)
        except Refusal as error:
            failed = Ended("failed", by, txn.now_us, request.reason, 0, error.code, error.detail)
            txn.operating.end(number, failed)
            self._tell("operator.failed", number, row.action, by, error.detail, txn, error.code)
        else:
            txn.operating.end(number, Ended("done", by, txn.now_us, request.reason, touched))
        return _recorded(number, txn)

    def needs_second(self, action: operations.Action) -> bool:
        """Whether another operator has to approve it."""
        return self.settings.approvals > 1 and (is_bulk(action) or action.WhichOneof("what") in {"expire", "drain"})

    def _check_destination(self, destination: str, what: str) -> None:
        """Check that copies go there from here: to another node, or to a participant of this one."""
        field = f"action.{what}.destination"
        try:
            address = Address.parse(destination, allow_node=True)
        except Refusal as error:
            raise Refusal(ErrorCode.BAD_INPUT, error.detail, field) from error
        if address.is_node is (address.node == self.here):
            wanted = f"{address.node}/node" if not address.is_node else "a participant of this node, or another node"
            raise Refusal(ErrorCode.BAD_INPUT, f"nothing goes from here to {destination}, but to {wanted}", field)
        known = (
            any(node.code == address.node for node in self.directory.nodes)
            if address.is_node
            else self.directory.participant(address) is not None
        )
        if not known:
            raise Refusal(ErrorCode.NOT_FOUND, f"{destination} is not in the directory", field)

    def _check_possible(self, action: operations.Action, txn: Transaction) -> None:
        """Refuse at once what cannot be done as things stand."""
        if action.WhichOneof("what") == "expire":
            self._to_expire(action.expire, txn)
        elif is_bulk(action):
            _check_not_held(action.resend.destination, txn)

    def _do(
        self, number: int, action: operations.Action, by: str, with_: str, found: Sequence[Resendable], txn: Transaction
    ) -> int:
        """Do it; return how many copies it touched."""
        why = f"{action.reason} (approved by {with_})" if with_ else action.reason
        match action.WhichOneof("what"):
            case "resend" if action.resend.HasField("envelope"):
                touched = self._resend_one(action.resend, txn)
                self._tell("operator.resent", number, action, by, why, txn)
                return touched
            case "resend":
                return self._resend_all(number, action, by, why, found, txn)
            case "hold":
                _check_not_held(action.hold.destination, txn)
                txn.operating.hold(action.hold.destination, number)
                self._tell("operator.held", number, action, by, why, txn)
            case "release":
                if txn.operating.hold_of(action.release.destination) is None:
                    detail = f"{action.release.destination} is not held"
                    raise Refusal(ErrorCode.ILLEGAL_TRANSITION, detail, "action.release.destination")
                txn.operating.release(action.release.destination)
                _wake(action.release.destination, txn)
                self._tell("operator.released", number, action, by, why, txn)
            case "drain":
                txn.wake.add(DRAIN)
                self._tell("operator.drained", number, action, by, why, txn)
            case _:
                copy = self._to_expire(action.expire, txn)
                settled = deliver.settle(txn, copy.seq, Event.EXPIRE)
                self._tell("operator.expired", number, action, by, why, txn)
                self.scribe.expired(settled, txn, by_operator=True)
                return 1
        return 0

    def _resend_one(self, resend: operations.ResendCopies, txn: Transaction) -> int:
        copies = _copies(resend.envelope, resend.destination, txn)
        waiting = [copy for copy in copies if copy.state not in FINAL]
        if not waiting:
            _refuse_ended(resend.envelope, copies, txn)
        touched = 0
        for copy in waiting:
            _check_not_held(copy.destination, txn)
            if copy.state in LEASED:
                detail = f"the copy for {copy.destination} is being tried at this moment"
                raise Refusal(ErrorCode.ILLEGAL_TRANSITION, detail, "action.resend")
            before = txn.operating.before_in_case(copy, MAX_RESENT)
            touched += 1 + txn.operating.try_now(before)
            txn.operating.try_now([copy.seq])
            self._try_now(copy.destination, txn)
        return touched

    def _resend_all(
        self, number: int, action: operations.Action, by: str, why: str, found: Sequence[Resendable], txn: Transaction
    ) -> int:
        destination = action.resend.destination
        _check_not_held(destination, txn)
        touched = txn.operating.try_now([each.seq for each in found])
        for ref in {each.ref.id: each.ref for each in found if each.ref is not None}.values():
            txn.add_event(ref, "operator.resent", actor=by, destination=destination, detail=why)
        self._tell("operator.resent", number, action, by, why, txn)
        self._try_now(destination, txn)
        return touched

    @staticmethod
    def _try_now(destination: str, txn: Transaction) -> None:
        txn.operating.resent(destination)
        _wake(destination, txn)
        txn.wake.add(deliver.again_for(destination))

    def _to_expire(self, expire: operations.ExpireCopy, txn: Transaction) -> Copied:
        """Return the copy that may be ended.

        Raises:
            Refusal: NOT_FOUND; ILLEGAL_TRANSITION, it may have left, or has ended; NOT_PERMITTED, another node would
                have to believe that it expired before its time, and does not.
        """
        copies = _copies(expire.envelope, expire.destination, txn)
        (copy,) = copies
        match copy.state:
            case State.QUEUED:
                pass
            case State.DELIVERING | State.DOUBTFUL | State.ASKING:
                detail = (
                    f"the copy for {copy.destination} is {copy.state.value}: it may have arrived, and only the answer"
                    f" of {copy.destination} can tell; hold it, or wait for that"
                )
                raise Refusal(ErrorCode.ILLEGAL_TRANSITION, detail, "action.expire")
            case _:
                _refuse_ended(expire.envelope, copies, txn)
        home = Address.parse(expire.envelope.sender).node
        if home != self.here:
            detail = f"node {home} takes no word that its envelope expired before its time: ask its operators"
            raise Refusal(ErrorCode.NOT_PERMITTED, detail, "action.expire")
        return copy

    def _tell(
        self,
        name: str,
        number: int,
        action: operations.Action,
        actor: str,
        detail: str,
        txn: Transaction,
        code: int = 0,
    ) -> None:
        """Record the event: beside the envelope that it is about, or beside the action itself."""
        ref = ids.EnvelopeRef(sender=str(Address.of_node(self.here)), id=name_of(number))
        about = getattr(action, action.WhichOneof("what") or "")
        if about.DESCRIPTOR.fields_by_name.get("envelope") is not None and about.HasField("envelope"):
            ref = about.envelope
        destination = getattr(about, "destination", "") or getattr(about, "process", "")
        txn.add_event(ref, name, actor=actor, destination=destination, code=code, detail=detail)


def is_bulk(action: operations.Action) -> bool:
    """Whether it resends all of a destination."""
    return action.WhichOneof("what") == "resend" and not action.resend.HasField("envelope")


def name_of(number: int) -> str:
    """Return under which name a trace finds the events of an action that is about no envelope."""
    return f"action-{number}"


def check_reason(reason: str, least: int = 0) -> None:
    """Check that a reason can be read, and says something.

    Raises:
        Refusal: BAD_INPUT.
    """
    if not reason.isprintable():
        raise Refusal(ErrorCode.BAD_INPUT, "a reason is printable, on one line", "reason")
    if len(reason.strip()) < least or (least and not is_visible(reason)):
        raise Refusal(ErrorCode.BAD_INPUT, f"a reason has {least} characters at least, and can be seen", "reason")


def state_of(row: ActionRow, now_us: int) -> operations.ActionState.ValueType:
    """Return what became of an action."""
    if row.ended is not None:
        return _STATES[row.ended.state]
    lapsed = row.lapses_at_us is not None and row.lapses_at_us <= now_us
    return operations.ACTION_STATE_LAPSED if lapsed else operations.ACTION_STATE_WAITING


_STATES: Final = {
    "done": operations.ACTION_STATE_DONE,
    "rejected": operations.ACTION_STATE_REJECTED,
    "failed": operations.ACTION_STATE_FAILED,
}


def digest_of(row: ActionRow) -> bytes:
    """Return what tells an action from any other that has its number, before or after a restoration."""
    asked = operations.RecordedAction(
        number=row.seq, action=row.action, asked_by=row.asked_by, asked_at_us=row.asked_at_us
    )
    return sha256(asked.SerializeToString(deterministic=True)).digest()[:DIGEST_BYTES]


def recorded(row: ActionRow, now_us: int) -> operations.RecordedAction:
    """Return an action as it travels."""
    made = operations.RecordedAction(
        number=row.seq,
        action=row.action,
        asked_by=row.asked_by,
        asked_at_us=row.asked_at_us,
        state=state_of(row, now_us),
        digest=digest_of(row),
    )
    ended = row.ended
    if ended is not None:
        made.decided_by, made.decided_at_us = ended.decided_by, ended.at_us
        made.decision_reason, made.touched = ended.reason, ended.touched
        if ended.code:
            made.error.code, made.error.detail = errors_pb2.ErrorCode.ValueType(ended.code), ended.detail
    return made


def _recorded(number: int, txn: Transaction) -> ActionRow:
    row = txn.operating.action(number)
    if row is None:
        raise Failure(ErrorCode.STORE, f"action {number} is not where it was recorded")
    return row


def _copies(ref: ids.EnvelopeRef, destination: str, txn: Transaction) -> list[Copied]:
    """Return the copies of an envelope, for one destination or for all; there is at least one."""
    copies = txn.operating.copies(ref)
    if copies is None:
        raise Refusal(ErrorCode.NOT_FOUND, f"no envelope {ref.id} of {ref.sender} is recorded here", "envelope")
    if not copies:
        _refuse_ended(ref, copies, txn)
    copies = [copy for copy in copies if destination in {"", copy.destination}]
    if not copies:
        raise Refusal(ErrorCode.NOT_FOUND, f"no copy of it goes to {destination}", "destination")
    return copies


def _refuse_ended(ref: ids.EnvelopeRef, copies: Sequence[Copied], txn: Transaction) -> NoReturn:
    """Say what became of an envelope of which nothing is on its way."""
    states = ", ".join(f"{copy.state.value} for {copy.destination}" for copy in copies) or "gone"
    said = [
        f"{event_name(milestone).removeprefix('envelope.')} by {issuer}"
        for milestone, issuer in txn.operating.said(ref, MAX_SAID)
        if milestone in pb.Milestone.values()
    ]
    detail = f"it is at its end: {states}; receipts say: {', '.join(said) or 'nothing'}"
    raise Refusal(ErrorCode.ILLEGAL_TRANSITION, detail, "envelope")


def _check_not_held(destination: str, txn: Transaction) -> None:
    held = txn.operating.hold_of(destination)
    if held is not None:
        detail = f"{destination} is held by {held.by} (action {held.action}): {held.reason}"
        raise Refusal(ErrorCode.ILLEGAL_TRANSITION, detail, "destination")


def _wake(destination: str, txn: Transaction) -> None:
    txn.wake.update((destination, deliver.freight_for(destination)))
