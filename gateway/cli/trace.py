"""`rogatory trace`: where is it, why, and who acts next; one timeline across both nodes; and what is overdue.

In: an operator's settings and an envelope's or a case's id. Out: what happened at each node, in the order of time, and
every signed statement checked here with the directory's public keys: a node's word about itself is shown, another's is
believed only if its signature holds. Where a matter stands is the own node's word.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import grpc.aio
from google.protobuf.message import DecodeError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import material, statement, transport
from gateway.cli import output, passphrases
from gateway.clock import from_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.lifecycle import FINAL, State
from gateway.rules import word
from gateway.trust.client import load_for_verification

T = TypeVar("T")
TIMEOUT_SECONDS = 15.0


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


@dataclass(frozen=True, slots=True)
class Story:
    """One envelope, as all nodes that answered tell it."""

    ref: ids.EnvelopeRef
    header: pb.Header | None
    nodes: tuple[trace.EnvelopeTrace, ...]
    proofs: tuple[Proven, ...]

    @property
    def situation(self) -> str:
        """Return what state it is in and who acts next, in one sentence."""
        for told in self.nodes:
            for copy in told.deliveries:
                if State(copy.state) not in FINAL:
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
                said = sentence.format(**parties, code=_code(found[-1].said.code))
                return f"{said}, which acts next" if said.endswith(acts) else f"{said}; {acts} acts next"
        return "accepted, and nobody has told what followed; ask the other node"

    @property
    def matter(self) -> trace.EnvelopeTrace | None:
        """Return who tells where the matter stands that it opened; None if nobody does."""
        return next((told for told in self.nodes if told.state), None)

    def _acts_next(self, milestone: pb.Milestone.ValueType) -> str:
        """Return who acts next in the matter; empty if nobody tells, or there is something else to do first."""
        matter = self.matter
        return "" if matter is None or milestone in _NOT_TAKEN else matter.acts_next_in_matter

    def _believes(self, proof: Proven) -> bool:
        """Whether a statement holds, and is about the bytes recorded: others under that name may have been refused."""
        recorded = next((told.fingerprint for told in self.nodes if told.header), b"")
        return not proof.error and proof.said.fingerprint == recorded


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


@click.command(
    epilog="\b\nExample:\n  rogatory trace EE-2026-1 --config fed/ee/operator/participant.toml"
    "\n  rogatory trace --overdue --config fed/ee/operator/participant.toml"
)
@click.argument("key", metavar="[ID]", required=False)
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The operator's settings."
)
@click.option("--here-only", is_flag=True, help="Do not ask the other nodes.")
@click.option("--overdue", is_flag=True, help="Instead of ID: what is overdue at this node, and where matters stand.")
@output.json_option
def command(key: str | None, path: Path, here_only: bool, overdue: bool, as_json: bool) -> None:
    """Show the way of the envelope ID, or of every envelope of the case ID, at both nodes."""
    if (key is None) is not overdue:
        raise Refusal(ErrorCode.BAD_INPUT, "an id is wanted, or --overdue", "ID")
    loaded = material.load_participant(path, ask=passphrases.ask, find=load_for_verification)
    for warning in loaded.warnings:
        click.echo(f"warning {output.printable(warning)}", err=True)
    if key is None:
        _show_overdue(asyncio.run(fetch_overdue(loaded)), as_json=as_json)
        return
    response = asyncio.run(fetch(loaded, key, ask_others=not here_only))
    stories = tell(response.traces, loaded.directory)
    if as_json:
        silent = [{"node": s.node, "code": _code(s.error.code), "detail": s.error.detail} for s in response.silent]
        output.emit_json({"envelopes": [_as_object(story) for story in stories], "silent": silent})
        return
    for story in stories:
        _show(story)
    for silent_node in response.silent:
        click.echo(f"node {silent_node.node} does not answer: {output.printable(silent_node.error.detail)}")


async def fetch(loaded: material.ParticipantMaterial, key: str, *, ask_others: bool) -> trace.GetTraceResponse:
    """Ask the operator's node for an envelope or a case.

    Raises:
        Refusal: what the node refused.
        Failure: UNAVAILABLE, it does not answer.
    """
    request = trace.GetTraceRequest(key=key, ask_others=ask_others)
    return await _ask(loaded, lambda stub: stub.GetTrace(request, timeout=TIMEOUT_SECONDS))


async def fetch_overdue(loaded: material.ParticipantMaterial) -> trace.GetOverdueResponse:
    """Ask the operator's node what is overdue.

    Raises:
        Refusal: what the node refused.
        Failure: UNAVAILABLE, it does not answer.
    """
    return await _ask(loaded, lambda stub: stub.GetOverdue(trace.GetOverdueRequest(), timeout=TIMEOUT_SECONDS))


async def _ask(loaded: material.ParticipantMaterial, call: Callable[[TraceStub], Awaitable[T]]) -> T:
    channel = transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity)
    try:
        return await call(TraceStub(channel))
    except grpc.aio.AioRpcError as error:
        raise transport.error_of(error) from error
    finally:
        await channel.close()


def tell(traces: Iterable[trace.EnvelopeTrace], directory: Directory) -> list[Story]:
    """Put what several nodes tell together, envelope by envelope, with every statement checked."""
    by_name: dict[tuple[str, str], list[trace.EnvelopeTrace]] = {}
    for told in traces:
        by_name.setdefault((told.envelope.sender, told.envelope.id), []).append(told)
    stories = []
    for nodes in by_name.values():
        recorded = next((told for told in nodes if told.header), None)
        header = None if recorded is None else pb.Header.FromString(recorded.header)
        proofs = _prove(nodes, header, b"" if recorded is None else recorded.fingerprint, directory)
        stories.append(Story(nodes[0].envelope, header, tuple(nodes), proofs))
    return stories


def _prove(
    nodes: Sequence[trace.EnvelopeTrace], header: pb.Header | None, fingerprint: bytes, directory: Directory
) -> tuple[Proven, ...]:
    holders: dict[bytes, list[str]] = {}
    receipts: dict[bytes, pb.Receipt] = {}
    for told in nodes:
        for receipt in told.receipts:
            holders.setdefault(receipt.statement, []).append(told.node)
            receipts[receipt.statement] = receipt
    proofs = []
    for raw, receipt in receipts.items():
        error = ""
        try:
            said = statement.verify(receipt, directory.signing_key)
            # A refusal is about the bytes that were refused, which need not be those that were recorded.
            if header is not None and said.milestone != pb.MILESTONE_REFUSED:
                statement.check_subject(said, header, fingerprint)
        except Refusal as refusal:
            error = refusal.detail
            said = _claimed(raw)
        proofs.append(Proven(said, tuple(holders[raw]), error))
    return tuple(sorted(proofs, key=lambda proof: proof.said.at_us))


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


def _as_object(story: Story) -> dict[str, object]:
    return {
        "sender": story.ref.sender,
        "id": story.ref.id,
        "kind": _kind(story.header),
        "recipients": [] if story.header is None else [*story.header.recipients],
        "case_id": "" if story.header is None else story.header.case_id,
        "situation": story.situation,
        "matter": None if story.matter is None else _matter(story.matter),
        "timeline": [
            {
                "at": _time(event.at_us),
                "node": told.node,
                "event": event.name,
                "actor": event.actor,
                "destination": event.destination,
                "code": _code(event.code),
                "detail": event.detail,
                "took_us": event.took_us,
            }
            for told, event in _timeline(story)
        ],
        "receipts": [
            {
                "at": _time(proof.said.at_us),
                "milestone": proof.name,
                "issuer": proof.said.issuer,
                "recipient": proof.said.recipient,
                "code": _code(proof.said.code),
                "clock_rule": _rule(proof.said.clock_rule),
                "held_by": [*proof.held_by],
                "verified": not proof.error,
                "error": proof.error,
            }
            for proof in story.proofs
        ],
        "deliveries": [
            {
                "node": told.node,
                "destination": copy.destination,
                "state": copy.state,
                "attempts": copy.attempts,
                "last_error": copy.last_error,
                "acts_next": copy.acts_next,
            }
            for told in story.nodes
            for copy in told.deliveries
        ],
    }


def _matter(told: trace.EnvelopeTrace) -> dict[str, object]:
    return {
        "state": told.state,
        "acts_next": told.acts_next_in_matter,
        "clocks": [{"rule": _rule(c.rule), "due": _time(c.due_us), "stage": c.stage} for c in told.clocks],
    }


def _show_overdue(response: trace.GetOverdueResponse, *, as_json: bool) -> None:
    if as_json:
        clocks = [
            {"sender": c.matter.sender, "id": c.matter.id, "rule": _rule(c.rule), "due": _time(c.due_us)}
            for c in response.clocks
        ]
        counts = {each.state: each.count for each in response.open_matters}
        output.emit_json({"overdue": clocks, "more": response.more, "open_matters": counts})
        return
    output.emit_table(
        ("due", "limit", "of", "from"),
        [(_time(c.due_us), _rule(c.rule), c.matter.id, c.matter.sender) for c in response.clocks],
    )
    if response.more:
        click.echo("and more")
    click.echo()
    output.emit_table(("state", "open matters"), [(each.state, each.count) for each in response.open_matters])


def _timeline(story: Story) -> list[tuple[trace.EnvelopeTrace, trace.TraceEvent]]:
    pairs = [(told, event) for told in story.nodes for event in told.events]
    # Clocks of two nodes may differ; within a node the order is the node's own.
    return sorted(pairs, key=lambda pair: pair[1].at_us)


def _show(story: Story) -> None:
    to = "" if story.header is None else f" -> {', '.join(story.header.recipients)}"
    case = "" if story.header is None else f"  case {story.header.case_id}"
    click.echo(f"{_kind(story.header)} {story.ref.id}  {story.ref.sender}{to}{case}")
    click.echo(f"  {output.printable(story.situation)}")
    if story.matter is not None:
        click.echo(f"  {output.printable(_standing(story.matter))}")
    click.echo()
    rows = [
        (_time(event.at_us), told.node, event.name, event.actor or event.destination, _why(event))
        for told, event in _timeline(story)
    ]
    output.emit_table(("at", "node", "event", "who", "what"), rows)
    click.echo()
    proofs = [
        (
            _time(proof.said.at_us),
            proof.name,
            proof.said.issuer,
            _code(proof.said.code) or _rule(proof.said.clock_rule),
            "verified" if not proof.error else f"DOES NOT HOLD: {proof.error}",
            ", ".join(proof.held_by),
        )
        for proof in story.proofs
    ]
    output.emit_table(("at", "receipt", "signed by", "code", "signature", "held by"), proofs)
    click.echo()


def _standing(told: trace.EnvelopeTrace) -> str:
    limits = [f"{_rule(c.rule)} {c.stage}, due {_time(c.due_us)}" for c in told.clocks]
    return "; ".join((f"matter {told.state}", f"{told.acts_next_in_matter} acts next", *limits))


def _why(event: trace.TraceEvent) -> str:
    took = f"{event.took_us} µs" if event.took_us else ""
    return " ".join(part for part in (_code(event.code), event.detail, took) if part)


def _kind(header: pb.Header | None) -> str:
    return "envelope" if header is None else word(header.kind)


def _rule(rule: measures.ClockRule.ValueType) -> str:
    if rule not in measures.ClockRule.values():
        return str(rule)  # another node may be of a newer version
    return "" if not rule else measures.ClockRule.Name(rule).removeprefix("CLOCK_RULE_").lower().replace("_", "-")


def _code(code: errors_pb2.ErrorCode.ValueType) -> str:
    if code == errors_pb2.ERROR_CODE_UNSPECIFIED:
        return ""
    try:
        return ErrorCode(code).name
    except ValueError:
        # Another node may be of a newer version.
        return str(code)


def _time(micros: int) -> str:
    return from_micros(micros).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
