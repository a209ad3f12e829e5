"""What became of an envelope, as all nodes that answered tell it; for whoever shows it to a person.

In: what the Trace door told, and a directory. Out: one story an envelope, with every signed statement checked here with
the directory's public keys: a node's word about itself is shown, another's is believed only if its signature holds.
Where a matter stands is the own node's word. It says of each line whether the node in front of us tells it, another one
told it live, or a receipt says it that lies here; why copies wait; and what can be done. Refuses nothing: what does not
hold is shown as that.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import Final

from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace

from gateway import statement
from gateway.clock import from_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import NODE_NAME
from gateway.lifecycle import FINAL, LEASED, State
from gateway.rules import word

MAX_TOLD: Final = 64
"""Envelopes of a case that a node tells of together, the oldest; the others are to be found."""


@dataclass(frozen=True, slots=True)
class Proven:
    """One signed statement, and whether it holds."""

    said: pb.Statement
    held_by: tuple[str, ...]
    error: str

    @property
    def name(self) -> str:
        """Its milestone, e.g. `accepted`."""
        return pb.Milestone.Name(self.said.milestone).removeprefix("MILESTONE_").lower()


@unique
class Told(Enum):
    """How something is known."""

    HERE = "here"  # the node that was asked says so itself
    LIVE = "live"  # another node said so when it was asked just now
    SIGNED = "signed"  # a receipt that lies here says so, whoever could be asked


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story.

    Args:
        node: where it happened.
        event: what, and when.
        told: how it is known.
        proof: the signed statement that says the same; None: there is none.
        times: how often, one after the other.
        until_us: when for the last time, in microseconds since 1970-01-01T00:00:00Z.
    """

    node: str
    event: trace.TraceEvent
    told: Told
    proof: Proven | None
    times: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A copy that has not come to its end, and why."""

    node: str
    copy: trace.DeliveryState
    why: str


@dataclass(frozen=True, slots=True)
class Possible:
    """Something that can be done now.

    Args:
        name: "resend", "hold", "release", "expire" and "test" are actions of the node; "ask" is a call or a letter.
        subject: at what: a destination, a node, a participant.
        why: what it is good for, and what it is not.
        second_operator: whether a second operator has to agree.
    """

    name: str
    subject: str
    why: str
    second_operator: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """One envelope, as all nodes that answered tell it; the one that was asked is the first."""

    ref: ids.EnvelopeRef
    header: pb.Header | None
    nodes: tuple[trace.EnvelopeTrace, ...]
    proofs: tuple[Proven, ...]
    silent: tuple[str, ...] = ()

    @property
    def situation(self) -> str:
        """Return what state it is in and who acts next, in one sentence."""
        for told in self.nodes:
            for copy in told.deliveries:
                if copy.state not in _ENDS:
                    if not _node(copy.destination) and not copy.held_by:
                        return f"in the mailbox of {copy.destination} at node {told.node}; {copy.acts_next} acts next"
                    why = f", last error {copy.last_error}" if copy.last_error else ""
                    tried = f"{copy.attempts} attempt{'' if copy.attempts == 1 else 's'}"
                    return (
                        f"{copy.state} at node {told.node} for {copy.destination} after {tried}{why};"
                        f" {copy.acts_next} acts next"
                    )
        if self.header is None:
            return "never accepted; the sender acts next"
        for milestone, sentence, then in _AFTERWARDS:
            found = [proof for proof in self.proofs if proof.said.milestone == milestone and self._believes(proof)]
            if found:
                parties = {"recipient": self.header.recipients[0], "sender": self.header.sender}
                acts = self._acts_next(milestone) or then.format(**parties)
                said = sentence.format(**parties, code=code_name(found[-1].said.code))
                return f"{said}, which acts next" if said.endswith(acts) else f"{said}; {acts} acts next"
        return "accepted, and nobody has told what followed; ask the other node"

    @property
    def subject(self) -> bytes:
        """Fingerprint of the bytes that were recorded; empty if none were."""
        return self.nodes[0].fingerprint if self.nodes[0].header else b""

    @property
    def here(self) -> str:
        """Code of the node that was asked."""
        return self.nodes[0].node

    @property
    def lines(self) -> list[Line]:
        """Return all that happened at every node, in the order of time, and what proves it.

        What failed alike many times, with nothing else in between, is one line.
        """
        used = set[int]()
        numbers = defaultdict[tuple[str, str], list[int]](list)
        for number, proof in enumerate(self.proofs):
            numbers[proof.said.issuer, statement.event_name(proof.said.milestone)].append(number)
        found = [self._line(told, event, numbers, used) for told, event in timeline(self)]
        # What a receipt says and no node that answered has told.
        found += [_receipt_line(proof) for number, proof in enumerate(self.proofs) if number not in used]
        folded: list[Line] = []
        for line in sorted(found, key=lambda line: line.event.at_us):
            if folded and line.proof is None and _is_again(line, folded[-1]):
                before = folded[-1]
                folded[-1] = replace(before, times=before.times + 1, until_us=line.event.at_us)
            else:
                folded.append(line)
        return folded

    @property
    def waits(self) -> list[Wait]:
        """Return the copies that have not come to their end, with why."""
        return [
            Wait(told.node, copy, _why_it_waits(copy))
            for told in self.nodes
            for copy in told.deliveries
            if copy.state not in _ENDS
        ]

    @property
    def possible(self) -> list[Possible]:
        """Return what can be done now at the node that was asked, and whom to ask; the most useful first."""
        found = [each for wait in self.waits for each in self._about(wait)]
        if self.header is None:
            why = "it was never accepted: what was refused has to be put right and sent anew"
            return [*found, Possible("ask", self.ref.sender, why)]
        for node in self.silent:
            why = f"node {node} did not answer when it was asked just now: see where the way to it breaks"
            found.append(Possible("test", node, why))
            why = f"what is known of node {node} is what it signed before; its operator can see the rest"
            found.append(Possible("ask", f"{node}/node", why))
        matter = self.matter
        if not found and matter is not None and any(clock.stage == "overdue" for clock in matter.clocks):
            why = "a time limit has run out, and nothing waits on the way: it has it and has not acted"
            found.append(Possible("ask", matter.acts_next_in_matter, why))
        # Several reasons may lead to the same; the first is the nearest.
        first: dict[tuple[str, str], Possible] = {}
        for each in found:
            first.setdefault((each.name, each.subject), each)
        return list(first.values())

    def _about(self, wait: Wait) -> Iterator[Possible]:
        copy, there = wait.copy, _node(wait.copy.destination)
        if wait.node != self.here and (there or copy.held_by):
            why = f"it waits at node {wait.node}, where only its operator can act"
            yield Possible("ask", f"{wait.node}/node", why)
        elif copy.held_by:
            why = f"nothing goes there since {copy.held_by} holds it: {copy.held_reason}"
            yield Possible("release", copy.destination, why)
        elif copy.state in _ON_THE_WAY:
            return
        elif not there:
            yield Possible("ask", copy.destination, "it lies in its mailbox, and nobody can collect for it")
        else:
            failed = bool(copy.last_error)
            if failed:
                why = f"to see where the way to node {there} breaks, and what to do about it"
                yield Possible("test", there, why)
            at = f"; by itself that happens at {time_text(copy.next_attempt_at_us)}" if copy.next_attempt_at_us else ""
            yield Possible("resend", copy.destination, f"once the way is open: it is tried at once{at}")
            if failed:
                why = (
                    "if the destination must not be tried for now: it stays here, in its order, and expires in its time"
                )
                yield Possible("hold", copy.destination, why)
                why = f"its operator can see why it does not take what comes: {copy.last_error}"
                yield Possible("ask", copy.destination, why)
        # A sender's own node alone may say that it expired before its time.
        if copy.state == State.QUEUED.value and (wait.node, self.ref.sender[:2]) == (self.here, self.here):
            yield Possible("expire", copy.destination, _EXPIRE, second_operator=True)

    def _line(
        self,
        told: trace.EnvelopeTrace,
        event: trace.TraceEvent,
        numbers: Mapping[tuple[str, str], Sequence[int]],
        used: set[int],
    ) -> Line:
        how = Told.HERE if told.node == self.here else Told.LIVE
        near = [
            each
            for signer in dict.fromkeys((event.actor, f"{told.node}/node"))
            for each in self._nearest(numbers.get((signer, event.name), ()), event.at_us)
        ]
        # Each statement is heard once at a node; what several lines say is proven to each node by the same one.
        number = min(near, key=lambda each: abs(self.proofs[each].said.at_us - event.at_us), default=None)
        if number is None:
            return Line(told.node, event, how, None, 1, event.at_us)
        used.add(number)
        proof = self.proofs[number]
        if how is Told.LIVE:
            # Beside a signature stands what was signed, and not what somebody else says of it.
            event = _signed(event.name, event.actor, event.destination, proof.said)
        return Line(told.node, event, how, proof, 1, event.at_us)

    def _nearest(self, numbers: Sequence[int], at_us: int) -> Sequence[int]:
        """Return those before and after a time; they are in its order."""
        place = bisect_left(numbers, at_us, key=lambda number: self.proofs[number].said.at_us)
        return numbers[max(0, place - 1) : place + 1]

    @property
    def matter(self) -> trace.EnvelopeTrace | None:
        """Return where the node that was asked says that its matter stands; None if it opened none."""
        return next((told for told in self.nodes if told.node == self.here and told.state), None)

    def _acts_next(self, milestone: pb.Milestone.ValueType) -> str:
        """Return who acts next in the matter; empty if nobody tells, or there is something else to do first."""
        matter = self.matter
        return "" if matter is None or milestone in _NOT_TAKEN else matter.acts_next_in_matter

    def _believes(self, proof: Proven) -> bool:
        """Whether a statement holds, and is about the bytes recorded: others under that name may have been refused."""
        return not proof.error and proof.said.fingerprint == self.subject


# The furthest first: what is said, and who acts next, unless the matter's own state says otherwise.
_AFTERWARDS = (
    (pb.MILESTONE_EXECUTED, "executed and reported", "nobody"),
    (pb.MILESTONE_EXPIRED, "expired undelivered", "{sender}"),
    (pb.MILESTONE_REJECTED, "rejected by {recipient} as {code}", "{sender}"),
    (pb.MILESTONE_DECIDED, "decided", "{recipient}"),
    (pb.MILESTONE_OPENED, "opened by {recipient}", "{recipient}"),
    (pb.MILESTONE_DELIVERED, "delivered to {recipient}", "{recipient}"),
    (pb.MILESTONE_REFUSED, "refused as {code}", "{sender}"),
)
# The matter has ended with it, and whoever sent it has to send something else.
_NOT_TAKEN = frozenset({pb.MILESTONE_EXPIRED, pb.MILESTONE_REJECTED, pb.MILESTONE_REFUSED})


# A copy that may have arrived cannot be ended by anybody but its destination.
_EXPIRE: Final = "if it shall not arrive any more: it never left, so it can still be ended, and its sender is told"


# Another node may be of a newer version, and know more states than we do.
_ENDS: Final = frozenset(state.value for state in FINAL)
_ON_THE_WAY: Final = frozenset(state.value for state in LEASED)


def _node(destination: str) -> str:
    """Return the code of the node that a destination is; empty if it is a participant."""
    node, _, name = destination.partition("/")
    return node if name == NODE_NAME else ""


def _why_it_waits(copy: trace.DeliveryState) -> str:
    there = _node(copy.destination)
    last = f": {copy.last_error}" if copy.last_error else ""
    if copy.held_by:
        return f"{copy.held_by} holds all that goes to {copy.destination}: {copy.held_reason}"
    if not there:
        return f"it lies in the mailbox of {copy.destination}, which has not collected it"
    if copy.state in _ON_THE_WAY:
        return f"it is on its way to node {there} at this moment"
    if copy.state == State.DOUBTFUL.value:
        return f"the line broke after it was sent, so it may have arrived: node {there} is asked again{last}"
    if copy.attempts and last:
        tried = f"{copy.attempts} attempt{'' if copy.attempts == 1 else 's'}"
        return f"after {tried} it has certainly not arrived; the last one failed{last}"
    # What waits for its files says so in its error.
    return f"it has not been tried yet{last or ': others go before it, or nothing may go there now'}"


def _receipt_line(proof: Proven) -> Line:
    said = proof.said
    event = _signed(statement.event_name(said.milestone), said.issuer, "", said)
    return Line(said.issuer.partition("/")[0], event, Told.SIGNED, proof, 1, event.at_us)


def _signed(name: str, actor: str, destination: str, said: pb.Statement) -> trace.TraceEvent:
    detail = said.detail or rule_name(said.clock_rule)
    return trace.TraceEvent(
        at_us=said.at_us, name=name, actor=actor, destination=destination, code=said.code, detail=detail
    )


def _is_again(line: Line, before: Line) -> bool:
    late, early = line.event, before.event
    return (line.node, late.name, late.actor, late.destination, late.code, late.detail) == (
        before.node,
        early.name,
        early.actor,
        early.destination,
        early.code,
        early.detail,
    )


def tell(
    traces: Iterable[trace.EnvelopeTrace], directory: Directory, silent: Iterable[trace.NodeSilent] = ()
) -> list[Story]:
    """Put what several nodes tell together, envelope by envelope, with every statement checked.

    Args:
        traces: those of the node that was asked come first.
        directory: public keys.
        silent: nodes that were asked too and did not answer.
    """
    mute = [each.node for each in silent]
    by_name: dict[tuple[str, str], list[trace.EnvelopeTrace]] = {}
    for told in traces:
        by_name.setdefault((told.envelope.sender, told.envelope.id), []).append(told)
    stories = []
    for nodes in by_name.values():
        # What it is, and by which bytes, is the word of the node that was asked.
        recorded = nodes[0]
        header = pb.Header.FromString(recorded.header) if recorded.header else None
        proofs = _prove(nodes, header, recorded.fingerprint if recorded.header else b"", directory)
        concerned = set[str]() if header is None else {each[:2] for each in (header.sender, *header.recipients)}
        missed = tuple(node for node in mute if node in concerned)
        stories.append(Story(nodes[0].envelope, header, tuple(nodes), proofs, missed))
    return stories


def _prove(
    nodes: Sequence[trace.EnvelopeTrace], header: pb.Header | None, fingerprint: bytes, directory: Directory
) -> tuple[Proven, ...]:
    holders = defaultdict[bytes, list[str]](list)
    receipts = defaultdict[bytes, dict[bytes, pb.Receipt]](dict)
    for told in nodes:
        for receipt in told.receipts:
            if told.node not in holders[receipt.statement]:
                holders[receipt.statement].append(told.node)
            receipts[receipt.statement].setdefault(receipt.signature.SerializeToString(), receipt)
    proofs = []
    for raw, signed in receipts.items():
        said, error = pb.Statement(), ""
        # One of them suffices: a false signature that somebody adds takes nothing from a true one.
        for receipt in signed.values():
            said, error = _checked(receipt, header, fingerprint, directory)
            if not error:
                break
        proofs.append(Proven(said, tuple(holders[raw]), error))
    return tuple(sorted(proofs, key=lambda proof: proof.said.at_us))


def _checked(
    receipt: pb.Receipt, header: pb.Header | None, fingerprint: bytes, directory: Directory
) -> tuple[pb.Statement, str]:
    """Return what a receipt says, and why it does not hold; empty: it does."""
    try:
        said = statement.verify(receipt, directory.signing_key)
        if header is not None:
            # A refusal is about the bytes that were refused, under that name; others may have been recorded.
            refused = said.milestone == pb.MILESTONE_REFUSED
            statement.check_subject(said, header, said.fingerprint if refused else fingerprint)
    except Refusal as refusal:
        return _claimed(receipt.statement), refusal.detail
    return said, ""


def _claimed(raw: bytes) -> pb.Statement:
    """Return what a statement that does not hold claims to say, as far as it can be read."""
    try:
        said = pb.Statement.FromString(raw)
    except DecodeError:
        return pb.Statement()
    # A number that our version does not name could not be shown.
    if said.milestone not in pb.Milestone.values():
        said.milestone = pb.MILESTONE_UNSPECIFIED
    return said


def timeline(story: Story) -> list[tuple[trace.EnvelopeTrace, trace.TraceEvent]]:
    """Return what happened at every node, in the order of time, and who tells it."""
    pairs = [(told, event) for told in story.nodes for event in told.events]
    # Clocks of two nodes may differ; within a node the order is the node's own.
    return sorted(pairs, key=lambda pair: pair[1].at_us)


def standing(told: trace.EnvelopeTrace) -> str:
    """Return where a matter stands, who acts next and which time limits are open, on one line."""
    limits = [f"{rule_name(c.rule)} {c.stage}, due {time_text(c.due_us)}" for c in told.clocks]
    return "; ".join((f"matter {told.state}", f"{told.acts_next_in_matter} acts next", *limits))


def why(line: Line) -> str:
    """Return the rest of a line: its code, its sentence, how long it took, and how often it was so."""
    event = line.event
    took = f"{event.took_us} µs" if event.took_us else ""
    often = f"({line.times} times, until {time_text(line.until_us)})" if line.times > 1 else ""
    return " ".join(part for part in (code_name(event.code), event.detail, took, often) if part)


def kind_name(header: pb.Header | None) -> str:
    """Return what an envelope is, e.g. `freeze-order`; `envelope` if it was never recorded."""
    return "envelope" if header is None else word(header.kind)


def kind_word(kind: ids.Kind.ValueType) -> str:
    """Return the name of a kind; `envelope` if there is none."""
    if kind not in ids.Kind.values():
        return str(kind)  # another node may be of a newer version
    return word(kind) if kind else "envelope"


def rule_name(rule: measures.ClockRule.ValueType) -> str:
    """Return the name of a time limit, e.g. `ordinary-decision`; empty if there is none."""
    if rule not in measures.ClockRule.values():
        return str(rule)  # another node may be of a newer version
    return "" if not rule else measures.ClockRule.Name(rule).removeprefix("CLOCK_RULE_").lower().replace("_", "-")


def code_name(code: errors_pb2.ErrorCode.ValueType) -> str:
    """Return the name of a code, e.g. `STALE`; empty if there is none."""
    if code == errors_pb2.ERROR_CODE_UNSPECIFIED:
        return ""
    try:
        return ErrorCode(code).name
    except ValueError:
        # Another node may be of a newer version.
        return str(code)


def action_state(value: operations.ActionState.ValueType) -> str:
    """Return what became of an action, in one word."""
    if value not in operations.ActionState.values():
        return str(value)  # the node may be of a newer version
    return operations.ActionState.Name(value).removeprefix("ACTION_STATE_").lower()


def time_text(micros: int) -> str:
    """Return an instant in UTC, to the microsecond; what is none, as the number that somebody said."""
    try:
        return from_micros(micros).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return str(micros)
