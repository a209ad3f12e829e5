"""`rogatory trace`: where is it, why, and who acts next; one timeline across both nodes; and what is overdue.

In: an operator's settings and an envelope's or a case's id, or what an envelope has to be to be found. Out: the story
of each envelope, see `gateway.story`; or a list of those that were found. Refuses with BAD_INPUT what cannot be asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rogatory.v1 import errors_pb2
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import material, transport
from gateway.cli import kinds, output, passphrases
from gateway.cli.ranges import Moment
from gateway.clock import to_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.lifecycle import State
from gateway.printable import printable
from gateway.story import (
    MAX_TOLD,
    Line,
    Possible,
    Story,
    code_name,
    kind_name,
    kind_word,
    rule_name,
    standing,
    tell,
    time_text,
    why,
)
from gateway.trust.client import load_for_verification

T = TypeVar("T")
TIMEOUT_SECONDS = 15.0
MOMENTS: Final = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"]
STATES: Final = ["waiting", *(state.value for state in State)]
DEFAULT_LIMIT: Final = 50
MAX_A_CALL: Final = 256
MAX_LIMIT: Final = 10_000
_CODE: Final = 2


@click.command(
    epilog="\b\nExample:\n  rogatory trace EE-2026-1 --config fed/ee/operator/participant.toml"
    "\n  rogatory trace --state waiting --destination de/node --config fed/ee/operator/participant.toml"
    "\n  rogatory trace --overdue --config fed/ee/operator/participant.toml"
)
@click.argument("key", metavar="[ID]", required=False)
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The operator's settings."
)
@click.option("--here-only", is_flag=True, help="Do not ask the other nodes.")
@click.option("--overdue", is_flag=True, help="Instead of ID: what is overdue at this node, and where matters stand.")
@click.option("--case", "case_id", metavar="CASE", help="Find: of that case.")
@click.option("--participant", metavar="ADDRESS", help="Find: sent by, or to, that address.")
@click.option("--node", metavar="CODE", help="Find: from or to that country, e.g. de.")
@click.option("--destination", metavar="ADDRESS", help="Find: a copy goes there, e.g. de/node.")
@click.option("--from", "start", type=Moment(MOMENTS), help="Find: recorded then or later, UTC.")
@click.option("--until", "end", type=Moment(MOMENTS), help="Find: recorded before, UTC.")
@click.option("--state", type=click.Choice(STATES), metavar="STATE", help="Find: a copy waits, or is e.g. doubtful.")
@click.option("--kind", metavar="KIND", help="Find: what it is, e.g. freeze-request.")
@click.option("--code", metavar="CODE", help="Find: refused or failed with that, e.g. UNAVAILABLE.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), metavar="N", help="Find: so many at most; else 50.")
@click.option("--after", metavar="PLACE", help="Find: go on where an earlier answer ended.")
@output.json_option
def command(  # one argument for each thing that can be asked
    key: str | None,
    path: Path,
    here_only: bool,
    overdue: bool,
    as_json: bool,
    **filters: Any,  # noqa: ANN401  what click has checked
) -> None:
    """Show the way of the envelope ID, or of every envelope of the case ID, at both nodes.

    Without ID: find envelopes by what is given, the newest first.
    """
    wanted = _wanted(**filters)
    if sum((key is not None, overdue, wanted is not None)) != 1:
        raise Refusal(ErrorCode.BAD_INPUT, "an id is wanted, or what to find, or --overdue: one of them", "ID")
    loaded = material.load_participant(path, ask=passphrases.ask, find=load_for_verification)
    for warning in loaded.warnings:
        click.echo(f"warning {printable(warning)}", err=True)
    if wanted is not None:
        _show_found(asyncio.run(find(loaded, wanted)), as_json=as_json)
    elif key is None:
        _show_overdue(asyncio.run(fetch_overdue(loaded)), as_json=as_json)
    else:
        _show_stories(asyncio.run(fetch(loaded, key, ask_others=not here_only)), loaded.directory, as_json=as_json)


def _show_stories(response: trace.GetTraceResponse, directory: Directory, *, as_json: bool) -> None:
    stories = tell(response.traces, directory, response.silent)
    oldest_only = len(stories) >= MAX_TOLD
    if as_json:
        silent = [{"node": s.node, "code": code_name(s.error.code), "detail": s.error.detail} for s in response.silent]
        told = {"envelopes": [_as_object(story) for story in stories], "oldest_only": oldest_only, "silent": silent}
        output.emit_json(told)
        return
    for story in stories:
        _show(story)
    if oldest_only:
        click.echo(f"these are the oldest {MAX_TOLD} envelopes; rogatory trace --case finds all, the newest first")
    for silent_node in response.silent:
        error = f"{code_name(silent_node.error.code)}: {silent_node.error.detail}"
        click.echo(f"node {silent_node.node} does not answer: {printable(error)}")


def _wanted(
    start: datetime | None,
    end: datetime | None,
    kind: str | None,
    code: str | None,
    **given: Any,  # noqa: ANN401  what click has checked
) -> trace.FindEnvelopesRequest | None:
    """Return what to find; None if nothing was said.

    Raises:
        Refusal: BAD_INPUT, there is no such country, kind or code.
    """
    named = {name: value for name, value in given.items() if value is not None}
    for name, moment in (("from_us", start), ("until_us", end)):
        if moment is not None:
            named[name] = to_micros(moment.replace(tzinfo=UTC))
    for name, value in named.items():
        if value == "":
            # As of a variable of a shell that was never set: nobody wants everything by it.
            raise Refusal(
                ErrorCode.BAD_INPUT, "it is empty; leave it out, or say what to find", name.removesuffix("_id")
            )
    if len(named.get("node", "")) not in {0, _CODE}:
        raise Refusal(ErrorCode.BAD_INPUT, "a country's code has two letters, e.g. de", "node")
    if kind is not None:
        named["kind"] = kinds.of_word(kind)
        if not named["kind"]:
            raise Refusal(ErrorCode.BAD_INPUT, f"there is no kind {kind!r}", "kind")
    if code is not None:
        if code not in ErrorCode.__members__:
            raise Refusal(ErrorCode.BAD_INPUT, f"there is no code {code!r}", "code")
        named["code"] = errors_pb2.ErrorCode.ValueType(ErrorCode[code])
    return trace.FindEnvelopesRequest(**named) if named else None


async def find(loaded: material.ParticipantMaterial, wanted: trace.FindEnvelopesRequest) -> trace.FindEnvelopesResponse:
    """Ask the operator's node for envelopes, page by page, until there are as many as wanted or no more.

    Raises:
        Refusal: what the node refused.
        Failure: UNAVAILABLE, it does not answer.
    """
    limit, found = wanted.limit or DEFAULT_LIMIT, trace.FindEnvelopesResponse(next=wanted.after)

    async def pages(stub: TraceStub) -> trace.FindEnvelopesResponse:
        asked = trace.FindEnvelopesRequest()
        asked.CopyFrom(wanted)
        # What no index finds is looked through a part at a call. What was found by then is worth showing.
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while True:
                    asked.limit = min(limit - len(found.envelopes), MAX_A_CALL)
                    page = await stub.FindEnvelopes(asked, timeout=TIMEOUT_SECONDS)
                    found.envelopes.extend(page.envelopes)
                    found.next = asked.after = page.next
                    if not page.next or len(found.envelopes) >= limit:
                        break
        return found

    return await _ask(loaded, pages)


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


async def fetch_overview(loaded: material.ParticipantMaterial) -> trace.GetOverviewResponse:
    """Ask the node of an operator or auditor how it does.

    Raises:
        Refusal: what the node refused.
        Failure: UNAVAILABLE, it does not answer.
    """
    return await _ask(loaded, lambda stub: stub.GetOverview(trace.GetOverviewRequest(), timeout=TIMEOUT_SECONDS))


async def _ask(loaded: material.ParticipantMaterial, call: Callable[[TraceStub], Awaitable[T]]) -> T:
    async with transport.calling(loaded.node, loaded.directory.federation, loaded.identity) as channel:
        return await call(TraceStub(channel))


def _as_object(story: Story) -> dict[str, object]:
    return {
        "sender": story.ref.sender,
        "id": story.ref.id,
        "kind": kind_name(story.header),
        "recipients": [] if story.header is None else [*story.header.recipients],
        "case_id": "" if story.header is None else story.header.case_id,
        "situation": story.situation,
        "matter": None if story.matter is None else _matter(story.matter),
        "timeline": [
            {
                "at": time_text(line.event.at_us),
                "node": line.node,
                "event": line.event.name,
                "actor": line.event.actor,
                "destination": line.event.destination,
                "code": code_name(line.event.code),
                "detail": line.event.detail,
                "took_us": line.event.took_us,
                "told": line.told.value,
                "proven": line.proof is not None and not line.proof.error,
                "times": line.times,
                "until": time_text(line.until_us),
            }
            for line in story.lines
        ],
        "waits": [{"node": wait.node, "destination": wait.copy.destination, "why": wait.why} for wait in story.waits],
        "possible": [
            {"action": each.name, "subject": each.subject, "why": each.why, "second_operator": each.second_operator}
            for each in story.possible
        ],
        "receipts": [
            {
                "at": time_text(proof.said.at_us),
                "milestone": proof.name,
                "issuer": proof.said.issuer,
                "recipient": proof.said.recipient,
                "code": code_name(proof.said.code),
                "clock_rule": rule_name(proof.said.clock_rule),
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
        "clocks": [{"rule": rule_name(c.rule), "due": time_text(c.due_us), "stage": c.stage} for c in told.clocks],
    }


def _show_found(response: trace.FindEnvelopesResponse, *, as_json: bool) -> None:
    if as_json:
        output.emit_json({"envelopes": [*map(_found_object, response.envelopes)], "next": response.next})
        return
    rows = [
        (
            time_text(each.recorded_at_us),
            kind_word(each.kind),
            each.envelope.id,
            each.envelope.sender,
            each.recipient,
            each.case_id,
            each.delivery.state if each.kind else "never recorded",
            each.delivery.destination,
            each.delivery.last_error or code_name(each.code),
        )
        for each in response.envelopes
    ]
    output.emit_table(("recorded", "kind", "id", "from", "to", "case", "state", "at", "error"), rows)
    if response.next:
        click.echo(f"there may be more: --after {response.next}")


def _found_object(each: trace.FoundEnvelope) -> dict[str, object]:
    copy = each.delivery
    return {
        "sender": each.envelope.sender,
        "id": each.envelope.id,
        "kind": kind_word(each.kind),
        "recipient": each.recipient,
        "case_id": each.case_id,
        "recorded": time_text(each.recorded_at_us),
        "code": code_name(each.code),
        "delivery": None
        if not each.HasField("delivery")
        else {
            "destination": copy.destination,
            "state": copy.state,
            "attempts": copy.attempts,
            "last_error": copy.last_error,
            "acts_next": copy.acts_next,
        },
    }


def _show_overdue(response: trace.GetOverdueResponse, *, as_json: bool) -> None:
    if as_json:
        clocks = [
            {"sender": c.matter.sender, "id": c.matter.id, "rule": rule_name(c.rule), "due": time_text(c.due_us)}
            for c in response.clocks
        ]
        counts = {each.state: each.count for each in response.open_matters}
        output.emit_json({"overdue": clocks, "more": response.more, "open_matters": counts})
        return
    output.emit_table(
        ("due", "limit", "of", "from"),
        [(time_text(c.due_us), rule_name(c.rule), c.matter.id, c.matter.sender) for c in response.clocks],
    )
    if response.more:
        click.echo("and more")
    click.echo()
    output.emit_table(("state", "open matters"), [(each.state, each.count) for each in response.open_matters])


def _show(story: Story) -> None:
    to = "" if story.header is None else f" -> {', '.join(story.header.recipients)}"
    case = "" if story.header is None else f"  case {story.header.case_id}"
    click.echo(f"{kind_name(story.header)} {story.ref.id}  {story.ref.sender}{to}{case}")
    click.echo(f"  {printable(story.situation)}")
    if story.matter is not None:
        click.echo(f"  {printable(standing(story.matter))}")
    for wait in story.waits:
        click.echo(f"  waits at {wait.node}: {printable(wait.why)}")
    for each in story.possible:
        both = " (with a second operator)" if each.second_operator else ""
        click.echo(printable(f"  can be done: {each.name} {each.subject}{both}: {each.why}{_typed(each, story)}"))
    click.echo()
    rows = [
        (
            time_text(line.event.at_us),
            line.node,
            line.event.name,
            line.event.actor or line.event.destination,
            _known(line),
            why(line),
        )
        for line in story.lines
    ]
    output.emit_table(("at", "node", "event", "who", "known", "what"), rows)
    click.echo()
    proofs = [
        (
            time_text(proof.said.at_us),
            proof.name,
            proof.said.issuer,
            code_name(proof.said.code) or rule_name(proof.said.clock_rule),
            "verified" if not proof.error else f"DOES NOT HOLD: {proof.error}",
            ", ".join(proof.held_by),
        )
        for proof in story.proofs
    ]
    output.emit_table(("at", "receipt", "signed by", "code", "signature", "held by"), proofs)
    click.echo()


def _typed(each: Possible, story: Story) -> str:
    """Return the command that does it; nothing for what is no action of the node."""
    options = {
        "test": each.subject,
        "hold": f"{each.subject} --reason ...",
        "release": f"{each.subject} --reason ...",
        "resend": f"{story.ref.id} --to {each.subject} --reason ...",
        "expire": f"{story.ref.id} --to {each.subject} --reason ...",
    }
    return f" (rogatory operate {each.name} {options[each.name]})" if each.name in options else ""


def _known(line: Line) -> str:
    """Return how a line is known: here, from the other node live, or from a receipt; and whether that is proven."""
    if line.proof is None:
        return line.told.value
    return f"{line.told.value}, {'proven' if not line.proof.error else 'DOES NOT HOLD'}"
