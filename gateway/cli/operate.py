"""`rogatory operate`: what an operator may do with deliveries, each with a reason; and what operators did.

In: an operator's settings, what to do, and why. Out: the action as the node has recorded it: done, or waiting for a
second operator. Refuses with BAD_INPUT an id that several envelopes have, and as the node does.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from google.protobuf.json_format import MessageToDict
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import operations_pb2 as pb
from rogatory.v1.operations_pb2_grpc import OperationsStub

from gateway import material, transport
from gateway.cli import output, passphrases
from gateway.cli.ranges import MAX_NUMBER, Moment
from gateway.cli.trace import MOMENTS, fetch
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.printable import printable
from gateway.story import action_state, code_name, time_text
from gateway.trust.client import load_for_verification

T = TypeVar("T")
TIMEOUT_SECONDS: Final = 15.0
_DIGEST: Final = re.compile(r"([0-9a-fA-F]{16})?")
TEST_SECONDS: Final = 60.0
"""For all that is tried on the way to another node and back."""

_config = click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The operator's settings."
)
_reason = click.option("--reason", required=True, help="Why, for whoever reads it years later.")
_destination = click.argument("destination", metavar="DESTINATION")
_number = click.argument("number", metavar="NUMBER", type=click.IntRange(1, MAX_NUMBER))


def _as_bytes(_ctx: click.Context, _option: click.Parameter, text: str) -> bytes:
    if not _DIGEST.fullmatch(text):
        raise click.BadParameter("16 hexadecimal digits are wanted, as `list` shows them")
    return bytes.fromhex(text)


_digest = click.option(
    "--digest",
    metavar="HEX",
    default="",
    callback=_as_bytes,
    help="As `list` shows it: another action that has this number after a restoration is not meant.",
)


@click.group(
    epilog="\b\nExample:\n  rogatory operate hold de/node --reason 'de moves its machines' --config op.toml"
    "\n  rogatory operate list --waiting --config op.toml"
)
def command() -> None:
    """Act on deliveries, never on what they carry. DESTINATION: another node as de/node, or a participant of one's own.

    To expire, to resend all of a destination and to drain need a second operator, who approves the action's NUMBER.
    """


@command.command(
    epilog="\b\nExample:\n  rogatory operate resend 0190... --reason 'de is back' --config op.toml"
    "\n  rogatory operate resend --to de/node --from 2026-03-01 --reason 'de is back' --config op.toml"
)
@click.argument("envelope_id", metavar="[ID]", required=False)
@click.option("--to", default="", help="Where to; wanted without ID: all that waits to go there.")
@click.option("--from", "start", type=Moment(MOMENTS), help="Without ID: recorded then or later, UTC.")
@click.option("--until", "end", type=Moment(MOMENTS), help="Without ID: recorded before, UTC.")
@_reason
@_config
@output.json_option
def resend(
    envelope_id: str | None,
    to: str,
    start: datetime | None,
    end: datetime | None,
    reason: str,
    path: Path,
    as_json: bool,
) -> None:
    """Try now what waits for its next attempt: the envelope ID, or all of a destination."""
    if envelope_id is None and not to:
        raise Refusal(ErrorCode.BAD_INPUT, "an id is wanted, or --to", "ID")
    loaded = _load(path)
    asked = pb.ResendCopies(destination=to, from_us=_micros(start), until_us=_micros(end))
    if envelope_id is not None:
        asked.envelope.CopyFrom(asyncio.run(_named(loaded, envelope_id)))
    _act(loaded, pb.Action(reason=reason, resend=asked), as_json=as_json)


@command.command(epilog="\b\nExample:\n  rogatory operate hold de/node --reason 'its key is stolen' --config op.toml")
@_destination
@_reason
@_config
@output.json_option
def hold(destination: str, reason: str, path: Path, as_json: bool) -> None:
    """Let nothing go to DESTINATION until it is released. What waits stays, and expires in its time."""
    asked = pb.Action(reason=reason, hold=pb.HoldDestination(destination=destination))
    _act(_load(path), asked, as_json=as_json)


@command.command(epilog="\b\nExample:\n  rogatory operate release de/node --reason 'new key is in' --config op.toml")
@_destination
@_reason
@_config
@output.json_option
def release(destination: str, reason: str, path: Path, as_json: bool) -> None:
    """Let everything go to DESTINATION again, in its order."""
    asked = pb.Action(reason=reason, release=pb.ReleaseDestination(destination=destination))
    _act(_load(path), asked, as_json=as_json)


@command.command(
    epilog="\b\nExample:\n  rogatory operate expire 0190... --to de/node --reason 'sent by mistake' --config op.toml"
)
@click.argument("envelope_id", metavar="ID")
@click.option("--to", required=True, help="Where the copy goes.")
@_reason
@_config
@output.json_option
def expire(envelope_id: str, to: str, reason: str, path: Path, as_json: bool) -> None:
    """End a copy of the envelope ID that never left; its sender, of one's own node, is told in signed words."""
    loaded = _load(path)
    about = asyncio.run(_named(loaded, envelope_id))
    asked = pb.Action(reason=reason, expire=pb.ExpireCopy(envelope=about, destination=to))
    _act(loaded, asked, as_json=as_json)


@command.command(epilog="\b\nExample:\n  rogatory operate drain --reason 'new kernel' --config op.toml")
@_reason
@_config
@output.json_option
def drain(reason: str, path: Path, as_json: bool) -> None:
    """Let the process that takes the call finish its work and end; whatever started it starts it anew."""
    _act(_load(path), pb.Action(reason=reason, drain=pb.DrainProcess()), as_json=as_json)


@command.command(epilog="\b\nExample:\n  rogatory operate approve 7 --config op2.toml")
@_number
@click.option("--reason", default="", help="Kept with the decision.")
@_digest
@_config
@output.json_option
def approve(number: int, reason: str, digest: bytes, path: Path, as_json: bool) -> None:
    """Approve what another operator wants, and so do it."""
    request = pb.DecideActionRequest(number=number, approve=True, reason=reason, digest=digest)
    _decide(request, path, as_json=as_json)


@command.command(epilog="\b\nExample:\n  rogatory operate reject 7 --reason 'it was no mistake' --config op2.toml")
@_number
@_reason
@_digest
@_config
@output.json_option
def reject(number: int, reason: str, digest: bytes, path: Path, as_json: bool) -> None:
    """Reject what another operator wants, or take back what one wanted oneself."""
    _decide(pb.DecideActionRequest(number=number, reason=reason, digest=digest), path, as_json=as_json)


@command.command("list", epilog="\b\nExample:\n  rogatory operate list --waiting --config op.toml")
@click.option("--waiting", is_flag=True, help="Only what waits for a decision.")
@click.option("--limit", type=click.IntRange(1, 256), default=50, show_default=True, help="How many at most.")
@click.option("--before", type=click.IntRange(1, MAX_NUMBER), default=None, help="Only those with a lower number.")
@_config
@output.json_option
def list_(waiting: bool, limit: int, before: int | None, path: Path, as_json: bool) -> None:
    """Show what operators did and want to do, the newest first. For auditors, too."""
    request = pb.ListActionsRequest(waiting=waiting, limit=limit, before=before or 0)
    response = asyncio.run(_call(_load(path), lambda stub: stub.ListActions(request, timeout=TIMEOUT_SECONDS)))
    if as_json:
        output.emit_json({"actions": [_as_object(each) for each in response.actions], "more": response.more})
        return
    _show(response.actions)
    if response.more:
        click.echo(f"and more; --before {response.actions[-1].number}")


@command.command(epilog="\b\nExample:\n  rogatory operate test de --config op.toml")
@click.argument("node", metavar="NODE")
@_config
@output.json_option
def test(node: str, path: Path, as_json: bool) -> None:
    """Try the way to NODE and back; exit code 1 if something on it does not work."""
    request = pb.TestConnectionRequest(node=node)
    response = asyncio.run(_call(_load(path), lambda stub: stub.TestConnection(request, timeout=TEST_SECONDS)))
    if as_json:
        output.emit_json({"checks": [_plain(each) for each in response.checks]})
    else:
        rows = [(each.name, _verdict(each), f"{each.took_us / 1000:.1f} ms", each.detail) for each in response.checks]
        output.emit_table(("check", "result", "took", "what was found"), rows)
    if not all(each.passed for each in response.checks):
        click.get_current_context().exit(output.FAILED)


def _load(path: Path) -> material.ParticipantMaterial:
    loaded = material.load_participant(path, ask=passphrases.ask, find=load_for_verification)
    for warning in loaded.warnings:
        click.echo(f"warning {printable(warning)}", err=True)
    return loaded


def _act(loaded: material.ParticipantMaterial, action: pb.Action, *, as_json: bool) -> None:
    request = pb.ActRequest(action=action)
    response = asyncio.run(_call(loaded, lambda stub: stub.Act(request, timeout=TIMEOUT_SECONDS)))
    _show_one(response.recorded, as_json=as_json)


def _decide(request: pb.DecideActionRequest, path: Path, *, as_json: bool) -> None:
    call = _call(_load(path), lambda stub: stub.DecideAction(request, timeout=TIMEOUT_SECONDS))
    _show_one(asyncio.run(call).recorded, as_json=as_json)


async def _call(loaded: material.ParticipantMaterial, call: Callable[[OperationsStub], Awaitable[T]]) -> T:
    async with transport.calling(loaded.node, loaded.directory.federation, loaded.identity) as channel:
        return await call(OperationsStub(channel))


async def _named(loaded: material.ParticipantMaterial, envelope_id: str) -> ids.EnvelopeRef:
    """Return the name of the one envelope with that id.

    Raises:
        Refusal: NOT_FOUND; BAD_INPUT, there are several.
    """
    response = await fetch(loaded, envelope_id, ask_others=False)
    found = [each.envelope for each in response.traces]
    # A case may be called as an envelope is, by whoever sends something in it.
    named = [each for each in found if each.id == envelope_id] or found
    if len(named) != 1:
        raise Refusal(ErrorCode.BAD_INPUT, f"{len(named)} envelopes have it: name one by its own id", "ID")
    return named[0]


def _show_one(recorded: pb.RecordedAction, *, as_json: bool) -> None:
    if as_json:
        output.emit_json(_as_object(recorded))
        return
    _show([recorded])
    if recorded.state == pb.ACTION_STATE_WAITING:
        named = f"{recorded.number} --digest {recorded.digest.hex()}" if recorded.digest else f"{recorded.number}"
        click.echo(f"another operator approves it: rogatory operate approve {named} --config ...")


def _show(actions: Iterable[pb.RecordedAction]) -> None:
    rows = [
        (
            each.number,
            time_text(each.asked_at_us),
            _what(each.action),
            _about(each.action),
            each.asked_by,
            _state(each),
            each.decided_by,
            each.touched,
            each.action.reason,
            each.digest.hex() if each.state == pb.ACTION_STATE_WAITING else "",
        )
        for each in actions
    ]
    output.emit_table(
        ("no", "at", "action", "of", "asked by", "state", "decided by", "copies", "reason", "digest"),
        rows,
    )


def _what(action: pb.Action) -> str:
    return action.WhichOneof("what") or ""


def _about(action: pb.Action) -> str:
    """Return all that it is about, in one cell: whoever approves it approves that."""
    about: Any = getattr(action, _what(action), None)
    found = []
    if _what(action) in {"resend", "expire"} and about.HasField("envelope"):
        # An id is its sender's alone: another one may have the same.
        found = [about.envelope.sender, about.envelope.id]
    found += [getattr(about, "destination", "") or getattr(about, "process", "")]
    found += [f"{word} {time_text(at_us)}" for word in ("from", "until") if (at_us := getattr(about, f"{word}_us", 0))]
    return " ".join(filter(None, found))


def _state(recorded: pb.RecordedAction) -> str:
    name = action_state(recorded.state)
    why = recorded.error.detail or recorded.decision_reason
    return f"{name}: {why}" if why else name


def _as_object(recorded: pb.RecordedAction) -> dict[str, object]:
    return {
        "number": recorded.number,
        "digest": recorded.digest.hex(),
        "action": _what(recorded.action),
        "about": _plain(getattr(recorded.action, _what(recorded.action), pb.Action())),
        "reason": recorded.action.reason,
        "asked_by": recorded.asked_by,
        "asked_at": time_text(recorded.asked_at_us),
        "state": action_state(recorded.state),
        "decided_by": recorded.decided_by,
        "decided_at": time_text(recorded.decided_at_us) if recorded.decided_at_us else "",
        "decision_reason": recorded.decision_reason,
        "touched": recorded.touched,
        "code": code_name(recorded.error.code),
        "detail": recorded.error.detail,
    }


def _plain(message: Any) -> dict[str, object]:  # noqa: ANN401  any message of the contract
    return dict(MessageToDict(message, preserving_proto_field_name=True))


def _verdict(check: pb.ConnectionCheck) -> str:
    if not check.tried:
        return "not tried"
    return "works" if check.passed else "FAILED"


def _micros(moment: datetime | None) -> int:
    return 0 if moment is None else to_micros(moment.replace(tzinfo=UTC))
