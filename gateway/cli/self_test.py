"""`rogatory self-test` and `rogatory registrar self-test`: an exchange can answer an order here, and do nothing else.

In: the settings of an exchange, or those of a registrar and an exchange's address. Out: the same list of checks on both
sides; the exit code is 0 only if all of them passed, and 2 if one did not. See `clients.selftest`. The table by which
each side knows what must be refused is that of its own program (`gateway.steps`).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients import selftest
from clients.intake import Received
from clients.maildir import Folder
from clients.participant import Participant
from clients.selftest import Verdict
from gateway import envelope
from gateway.cli import home, output
from gateway.cli.home import Home
from gateway.cli.ranges import Span
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Role
from gateway.rules import Rule, Where
from gateway.steps import RULES

MAX_WAIT_SECONDS: Final = 24 * 3600.0
ANSWER_SECONDS: Final = 300.0

_RULES: Final = frozenset(RULES)

_wait: Final = click.option(
    "--wait",
    "wait",
    metavar="SECONDS",
    type=Span(0, MAX_WAIT_SECONDS),
    default=ANSWER_SECONDS,
    show_default=True,
    help="Wait so long for the other side.",
)


def allowed(kind: ids.Kind.ValueType, sender: Role, recipient: Role, *, abroad: bool) -> bool:
    """Whether a rule lets a role send a kind to a role."""
    return Rule(kind, sender, recipient, Where.ABROAD if abroad else Where.HOME) in _RULES


@click.command(epilog="\b\nExample:\n  rogatory self-test --config fed/ee/exchange/participant.toml --wait 60")
@home.config_option
@_wait
@home.within_option
@output.json_option
def command(path: Path, wait: float, within: float, as_json: bool) -> None:
    """Answer a registrar's test order, and show that this exchange can do nothing else.

    The registrar begins: `rogatory registrar self-test ADDRESS`. Then some hundreds of harmless envelopes are tried and
    must be refused: what it may answer with, to every role, unasked; each other kind, to one role at home and to one
    abroad; what others may send, in their name.
    """
    at = _home(path, Role.EXCHANGE)
    orders = asyncio.run(_collect(at, wait, within, lambda: _test_orders(at)))
    if not orders:
        detail = f"no test order has come; a registrar sends one with `rogatory registrar self-test {_self(at)}`"
        raise Failure(ErrorCode.UNAVAILABLE, detail)
    # Each registrar who asks is answered; whoever asked again is told what holds now.
    _finish([asyncio.run(_answer(at, order, within)) for order in orders], as_json)


@click.command(
    "self-test",
    epilog="\b\nExample:\n  rogatory registrar self-test ee/exchange --config fed/ee/registrar/participant.toml",
)
@click.argument("exchange", metavar="ADDRESS")
@home.config_option
@click.option("--order", "beginning", metavar="ID", help="Send no new test order; wait for the answer to this one.")
@_wait
@home.within_option
@output.json_option
def registrar_command(
    exchange: str, path: Path, beginning: str | None, wait: float, within: float, as_json: bool
) -> None:
    """Test whether the exchange ADDRESS can receive, open and answer an order, and do nothing else.

    It answers with `rogatory self-test`, now or later. Nothing that is sent here has any effect in law.
    """
    at = _home(path, Role.REGISTRAR)
    order = asyncio.run(_order(at, exchange, within)) if beginning is None else _ordered(at, exchange, beginning)
    if not as_json:
        click.echo(f"test order {order.id} to {exchange}, which answers with `rogatory self-test`", err=True)
    reports = asyncio.run(_collect(at, wait, within, lambda: _reports(at, order)))
    if not reports:
        detail = f"{exchange} has not answered in {wait:g} seconds; to go on waiting: --order {order.id}"
        raise Failure(ErrorCode.UNAVAILABLE, detail)
    verdict = selftest.verdict(at.participant, reports[0], allowed)
    if reports[0].ref in [each.ref for each in at.participant.unhandled()]:
        at.participant.done(reports[0])
    _finish([verdict], as_json)


def _home(path: Path, role: Role) -> Home:
    at = Home(path)
    if role not in at.loaded.roles:
        raise Refusal(ErrorCode.NOT_PERMITTED, f"this is for a {role.value}, and {_self(at)} is none")
    return at


def _self(at: Home) -> str:
    return str(at.loaded.address)


async def _collect(at: Home, wait: float, within: float, find: Callable[[], Sequence[Received]]) -> Sequence[Received]:
    """Collect until what is wanted is there, or the time is over; return it.

    Over a participant of its own: once one has been told to stop, it hands nothing in any more.
    """
    async with Participant.of(at.loaded) as participant:
        try:
            await participant.collect_available(within=within)
        except Failure:
            # A program of ours may collect into this home already; what it took in is as good.
            if find():
                return find()
            raise
        if find() or not wait:
            return find()
        asyncio.get_running_loop().call_later(wait, participant.stop)
        async with aclosing(participant.collect()) as items:
            async for item in items:
                if isinstance(item, Received) and find():
                    participant.stop()
    return find()


def _test_orders(at: Home) -> list[Received]:
    return [each for each in at.participant.unhandled() if each.header.kind == ids.KIND_TEST_ORDER]


async def _answer(at: Home, order: Received, within: float) -> Verdict:
    async with Participant.of(at.loaded) as participant:
        return await selftest.answer(participant, order, allowed, within)


async def _order(at: Home, exchange: str, within: float) -> pb.Header:
    async with Participant.of(at.loaded) as participant:
        made = selftest.order(participant, exchange)
        await participant.submit(made.envelope, within)
        return made.header


def _ordered(at: Home, exchange: str, beginning: str) -> pb.Header:
    header = envelope.parse_header(at.sent(beginning))
    if (header.kind, list(header.recipients)) != (ids.KIND_TEST_ORDER, [exchange]):
        raise Refusal(ErrorCode.BAD_INPUT, f"this is no test order to {exchange}", "order")
    return header


def _reports(at: Home, order: pb.Header) -> list[Received]:
    """Return the report on a test order, whether it has been looked at before or not."""
    (exchange,) = order.recipients
    maildir = at.participant.maildir
    names = [*maildir.names(Folder.NEW), *maildir.names(Folder.DONE)]
    found = [at.participant.find(ref) for ref, _ in names if ref.sender == exchange and ref.id >= order.id]
    wanted = envelope.ref_of(order)
    return [each for each in found if each.header.kind == ids.KIND_TEST_REPORT and [*each.header.cites] == [wanted]]


def _finish(verdicts: Sequence[Verdict], as_json: bool) -> None:
    passed = all(verdict.passed for verdict in verdicts)
    if as_json:
        output.emit_json({"passed": passed, "tests": [_as_object(verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            _show(verdict)
    if not passed:
        click.get_current_context().exit(output.REFUSED)


def _as_object(verdict: Verdict) -> dict[str, object]:
    return {
        "exchange": verdict.report.sender,
        "registrar": verdict.order.sender,
        "order": verdict.order.id,
        "report": verdict.report.id,
        "passed": verdict.passed,
        "checks": [{"name": each.name, "passed": each.passed, "detail": each.detail} for each in verdict.checks],
    }


def _show(verdict: Verdict) -> None:
    rows = [("passed" if each.passed else "FAILED", each.name, each.detail) for each in verdict.checks]
    output.emit_table(("result", verdict.report.sender, "known by"), rows)
    failed = sum(not each.passed for each in verdict.checks)
    told = f"{failed} of {len(rows)} checks FAILED" if failed else f"all {len(rows)} checks passed"
    click.echo(f"test {verdict.order.id} by {verdict.order.sender}: {told}")
