"""`rogatory send`: one subcommand for each step of the procedure, thin over the clients' libraries.

In: a participant's settings, files in protobuf JSON, ids of envelopes that lie in the participant's home. Out: one
envelope, handed in, and the node's proven receipt; with `--dry-run` the envelope is composed and checked, and neither
kept nor sent. Refuses with NOT_PERMITTED, before anything else, a step that is not for the participant's role; with
BAD_INPUT and the field what a file must not say; and as `clients.actor` refuses. A node's signed refusal is shown as it
is.
"""

import asyncio
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1.certificates_pb2 import FreezeRequest

from clients.central_authority import CentralAuthority
from clients.court import Court
from clients.exchange import Exchange
from clients.intake import Received
from clients.investigator import Investigator
from clients.participant import Participant
from gateway import codec, envelope
from gateway.cli import document, home, output
from gateway.cli.home import Home
from gateway.cli.ranges import Span
from gateway.clock import system_clock
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.formats import documents, wallets
from gateway.formats.amounts import MAX_DIGITS
from gateway.identity import Role

MAX_HOURS: Final = 10 * 366 * 24
"""Ten years; an answer that nobody waits for any longer needs no expiry."""

_MEASURES: Final = home.words(ids.Measure.DESCRIPTOR)
_DATA_CLASSES: Final = home.words(ids.DataClass.DESCRIPTOR)

_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
_id = click.argument("beginning", metavar="ID")
_reports = click.option(
    "--report",
    "reports",
    metavar="ID",
    multiple=True,
    required=True,
    help="A report that it rests on; may be repeated.",
)
_case = click.option("--case", "case_id", required=True, help="Case id.")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a step is composed.

    Args:
        home: the participant's.
        dry_run: whether nothing may be kept.
    """

    home: Home
    dry_run: bool

    @property
    def participant(self) -> Participant:
        """Whose desk it is."""
        return self.home.participant

    def received(self, beginning: str) -> Received:
        """Return a collected envelope; refuses as `Home.collected` does."""
        return self.home.collected(beginning)

    def own(self, beginning: str) -> pb.Header:
        """Return the header of an envelope that was handed in from here; refuses as `Home.sent` does."""
        return envelope.parse_header(self.home.sent(beginning))

    def reports(self, beginnings: Sequence[str]) -> list[Received]:
        """Return collected reports."""
        return [self.home.collected(each, "report") for each in beginnings]


Made = Composed | pb.SignedEnvelope
Compose = Callable[..., Made]


class Steps(click.Group):
    """Lists the steps in the order of the procedure."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names, in the order in which they stand here."""
        return [*self.commands]


@click.group(
    cls=Steps,
    epilog="\b\nExample:\n  rogatory send draft request.json --config fed/ee/prosecutor/participant.toml \\\n"
    "    --to de/central-authority --via ee/central-authority --case EE-2026-1 --instrument eu-2018-1805",
)
def command() -> None:
    """Send an envelope as a participant.

    An ID is that of an envelope in the participant's home; its first 8 characters suffice, if no other begins so.
    `rogatory inbox` shows what came, and what came must be collected before it can be answered.
    """


def _step(name: str, role: Role | None, whose: str, example: str) -> Callable[[Compose], click.Command]:
    """Make a subcommand out of a function that composes; `role` is whose step it is, None for everybody's.

    In the example it is a step of `whose`.
    """

    def decorate(compose: Compose) -> click.Command:
        @functools.wraps(compose)
        def run(path: Path, within: float, dry_run: bool, as_json: bool, **arguments: object) -> None:
            desk = Desk(Home(path), dry_run)
            if role is not None and role not in desk.home.loaded.roles:
                raise Refusal(ErrorCode.NOT_PERMITTED, f"`{name}` is for a {role.value}; {_self(desk.home)}")
            with output.progress() as desk.participant.files.watch:
                made = compose(desk, **arguments)
                signed = made.envelope if isinstance(made, Composed) else made
                receipt = None if dry_run else asyncio.run(_submit(desk.participant, signed, within))
            _show(envelope.parse_header(signed), receipt, as_json)

        options = (
            home.config_option,
            home.within_option,
            click.option("--dry-run", is_flag=True, help="Compose and check; keep nothing, send nothing."),
            output.json_option,
        )
        function: Callable[..., None] = run
        for option in reversed(options):
            function = option(function)
        epilog = f"\b\nExample:\n  rogatory send {name} {example} --config fed/{whose}/participant.toml"
        return command.command(name, epilog=epilog)(function)

    return decorate


@_step(
    "draft",
    Role.INVESTIGATOR,
    "ee/prosecutor",
    "request.json --to de/central-authority --via ee/central-authority \\\n"
    "    --case EE-2026-1 --instrument eu-2018-1805",
)
@_file
@click.option("--to", required=True, metavar="ADDRESS", help="The central authority abroad that is asked.")
@click.option("--via", required=True, metavar="ADDRESS", help="Our own central authority, which countersigns.")
@_case
@click.option("--instrument", required=True, help="The treaty or law relied on, as the directory names it.")
@click.option(
    "--expires-in-hours",
    "hours",
    type=Span(0, MAX_HOURS, min_open=True),
    help="When it loses its meaning undelivered; by default never.",
)
@click.option(
    "--wallets",
    "list_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON list of {chain, address}, for a FILE without wallets.",
)
@click.option(
    "--measure", "measures", multiple=True, type=click.Choice([*_MEASURES]), help="Instead of those in FILE; repeat it."
)
@click.option(
    "--data-class",
    "data_classes",
    multiple=True,
    type=click.Choice([*_DATA_CLASSES]),
    help="Instead of those in FILE; repeat it.",
)
@click.option(
    "--attach",
    "attached",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that goes with it, encrypted here; repeat it. If it breaks off, the same command goes on from there.",
)
def _draft(
    desk: Desk,
    *,
    file: Path,
    to: str,
    via: str,
    case_id: str,
    instrument: str,
    hours: float | None,
    list_path: Path | None,
    measures: Sequence[str],
    data_classes: Sequence[str],
    attached: Sequence[Path],
) -> Made:
    """Have a request countersigned.

    FILE is a FreezeRequest in protobuf JSON; our own central authority is asked. It is urgent if its section B says so.
    """
    asked = document.read(file, FreezeRequest)
    if list_path is not None:
        if asked.wallets:
            raise Refusal(ErrorCode.BAD_INPUT, "FILE names wallets already; --wallets does not add to them", "wallets")
        asked.wallets.extend(document.read_wallets(list_path))
    if measures:
        asked.measures[:] = [ids.Measure.ValueType(_MEASURES[each]) for each in measures]
    if data_classes:
        asked.data_classes[:] = [ids.DataClass.ValueType(_DATA_CLASSES[each]) for each in data_classes]
    codec.check(asked, ErrorCode.BAD_INPUT)
    with _drafting(desk) as participant:
        asked.attachments.extend(participant.attach(each) for each in attached)
        drafted = Investigator(participant).draft_freeze(
            asked,
            to=to,
            via=via,
            case_id=case_id,
            instrument=instrument,
            measures=asked.measures,
            data_classes=asked.data_classes,
            expires_at=None if hours is None else system_clock() + timedelta(hours=hours),
        )
    return drafted.draft


@_step("countersign", Role.CENTRAL_AUTHORITY, "ee/central-authority", "019a3f5c-1d2e")
@_id
def _countersign(desk: Desk, *, beginning: str) -> Made:
    """Countersign the draft ID.

    Its request may go abroad as it is.
    """
    return CentralAuthority(desk.participant).countersign(desk.received(beginning))


@_step("return", Role.CENTRAL_AUTHORITY, "ee/central-authority", "019a3f5c-1d2e --reason 'the file number is missing'")
@_id
@click.option("--reason", required=True, help="What is wrong with it; the investigator reads this.")
def _return(desk: Desk, *, beginning: str, reason: str) -> Made:
    """Return the draft ID without countersignature."""
    return CentralAuthority(desk.participant).return_draft(desk.received(beginning), reason)


@_step("request", Role.INVESTIGATOR, "ee/prosecutor", "019a3f5c-1d2e")
@_id
def _request(desk: Desk, *, beginning: str) -> Made:
    """Send a countersigned request abroad.

    ID is that of the countersignature that came.
    """
    return Investigator(desk.participant).add_countersignature(desk.received(beginning))


@_step("referral", Role.CENTRAL_AUTHORITY, "de/central-authority", "019a3f5c-1d2e --court de/court --case DE-2026-7")
@_id
@click.option("--court", required=True, metavar="ADDRESS", help="A court of our own country.")
@_case
def _referral(desk: Desk, *, beginning: str, court: str, case_id: str) -> Made:
    """Put the foreign request ID before a court."""
    return CentralAuthority(desk.participant).refer(desk.received(beginning), court=court, case_id=case_id)


@_step("decision", Role.COURT, "de/court", "019a3f5c-1d2e decision.json")
@_id
@_file
def _decision(desk: Desk, *, beginning: str, file: Path) -> Made:
    """Decide on the referral ID.

    FILE is a ReviewDecision in protobuf JSON.
    """
    decided = document.read(file, orders.ReviewDecision)
    codec.check(decided, ErrorCode.BAD_INPUT)
    return Court(desk.participant).decide(desk.received(beginning), decided)


@_step("order", Role.COURT, "de/court", "019a3f5c-1d2e order.json --exchange de/exchange --case AG-26-1")
@_id
@_file
@click.option("--exchange", required=True, metavar="ADDRESS", help="An exchange of our own country.")
@_case
def _order(desk: Desk, *, beginning: str, file: Path, exchange: str, case_id: str) -> Made:
    """Order an exchange to do what we decided.

    ID is that of our own decision, FILE a DomesticOrder in protobuf JSON. The case id must tell nothing of the case
    behind it.
    """
    ordered = document.read(file, orders.DomesticOrder)
    codec.check(ordered, ErrorCode.BAD_INPUT)
    return Court(desk.participant).order(desk.own(beginning), ordered, exchange=exchange, case_id=case_id)


@_step("report", Role.EXCHANGE, "de/exchange", "019a3f5c-1d2e results.json")
@_id
@_file
def _report(desk: Desk, *, beginning: str, file: Path) -> Made:
    """Answer the order ID.

    FILE is an ExecutionReport in protobuf JSON, or its results and transactions alone. Outcome and measures follow from
    the results; if FILE gives them, they must be the same.
    """
    told = document.read(file, orders.ExecutionReport)
    made = Exchange(desk.participant).answer(
        desk.received(beginning),
        told.results,
        told.transactions,
        data_classes=[*told.data_classes] or None,
        remarks=told.remarks,
    )
    if told.outcome not in (ids.OUTCOME_UNSPECIFIED, made.header.outcome):
        raise Refusal(ErrorCode.BAD_INPUT, "the results come to another outcome", "outcome")
    if told.measures and list(told.measures) != list(made.header.measures):
        raise Refusal(ErrorCode.BAD_INPUT, "the results come to other measures", "measures")
    return made


@_step("forward", Role.COURT, "de/court", "019a3f5c-1d2e --report 019a3f60-88aa")
@_id
@_reports
def _forward(desk: Desk, *, beginning: str, reports: Sequence[str]) -> Made:
    """Pass reports of exchanges on.

    ID is that of our own decision; our central authority is told. The remarks of the exchanges stay behind.
    """
    rests_on = desk.reports(reports)
    report, ground = merge(rests_on)
    return Court(desk.participant).report_to_central_authority(
        desk.own(beginning), report, rests_on=rests_on, ground=ground
    )


@_step("answer", Role.CENTRAL_AUTHORITY, "de/central-authority", "019a3f5c-1d2e --report 019a3f60-88aa")
@_id
@_reports
def _answer(desk: Desk, *, beginning: str, reports: Sequence[str]) -> Made:
    """Answer the foreign request ID.

    With what our courts reported; their remarks stay behind.
    """
    rests_on = desk.reports(reports)
    report, ground = merge(rests_on)
    return CentralAuthority(desk.participant).report_abroad(
        desk.received(beginning), report, rests_on=rests_on, ground=ground
    )


@_step("notify", Role.CENTRAL_AUTHORITY, "de/central-authority", "019a3f5c-1d2e --decision 019a3f5e-0b7d")
@_id
@click.option("--decision", required=True, metavar="ID", help="Our court's decision.")
def _notify(desk: Desk, *, beginning: str, decision: str) -> Made:
    """Pass our court's decision on.

    ID is that of the foreign request that it is about.
    """
    decided = desk.home.collected(decision, "decision")
    return CentralAuthority(desk.participant).notify_decision(desk.received(beginning), decided)


@_step("again", None, "ee/prosecutor", "019a3f5c-1d2e")
@_id
def _again(desk: Desk, *, beginning: str) -> Made:
    """Hand the envelope ID in once more.

    Bit by bit the same, after a failure. If it had been accepted, the node gives the same receipt.
    """
    return desk.home.sent(beginning)


def merge(rests_on: Sequence[Received]) -> tuple[orders.ExecutionReport, ids.Ground.ValueType]:
    """Return what reports tell together, and on which ground not everything was executed.

    One alone is passed on as it is, without its remarks. Of several, NOT_FOUND gives way to what another found.

    Raises:
        Refusal: BAD_INPUT, they tell different things of one wallet; OUT_OF_ORDER, one is no report.
    """
    reports: list[orders.ExecutionReport] = []
    for each in rests_on:
        if not isinstance(each.document, orders.ExecutionReport):
            raise Refusal(ErrorCode.OUT_OF_ORDER, f"a {home.kind_of(each.header)} is no report", "report")
        reports.append(each.document)
    if len(reports) == 1:
        alone = orders.ExecutionReport()
        alone.CopyFrom(reports[0])
        alone.remarks = ""
        return alone, rests_on[0].header.ground
    merged = orders.ExecutionReport(
        results=_results(reports),
        measures=dict.fromkeys(measure for report in reports for measure in report.measures),
        data_classes=dict.fromkeys(each for report in reports for each in report.data_classes),
        transactions={
            record.SerializeToString(deterministic=True): record for report in reports for record in report.transactions
        }.values(),
    )
    worth = _together(reports)
    if worth is not None:
        merged.property = "; ".join(dict.fromkeys(report.property for report in reports))
        merged.estimated_value.CopyFrom(worth)
    statuses = {result.status for result in merged.results}
    if statuses <= documents.WHOLLY_FROZEN:
        merged.outcome = ids.OUTCOME_GRANTED
    elif merged.measures or merged.data_classes:
        merged.outcome = ids.OUTCOME_PARTLY_GRANTED
    else:
        merged.outcome = ids.OUTCOME_REFUSED
    refused = merged.outcome == ids.OUTCOME_REFUSED
    return merged, ids.GROUND_IMPOSSIBLE if refused else ids.GROUND_UNSPECIFIED


def _together(reports: Sequence[orders.ExecutionReport]) -> evidence.Money | None:
    """Return what they say was recovered, together; None if that cannot be told.

    Each says it, in one currency, and no two are about one wallet: then the sums could be of the same thing.
    """
    sums = [report.estimated_value for report in reports if report.HasField("estimated_value")]
    named = [wallets.key(result.wallet) for report in reports for result in report.results]
    if len(sums) < len(reports) or len({each.currency for each in sums}) > 1 or len({*named}) < len(named):
        return None
    with localcontext(prec=MAX_DIGITS):
        total = sum((Decimal(each.amount) for each in sums), Decimal(0))
    return evidence.Money(currency=sums[0].currency, amount=f"{total:f}")


def _results(reports: Sequence[orders.ExecutionReport]) -> list[orders.FreezeResult]:
    """Return one result for each wallet that any report names, in the order of their first naming."""
    found: dict[tuple[str, ...], orders.FreezeResult] = {}
    for result in (result for report in reports for result in report.results):
        first = found.setdefault(wallets.key(result.wallet), result)
        if first.status == orders.FREEZE_STATUS_NOT_FOUND:
            found[wallets.key(result.wallet)] = result
        elif result.status != orders.FREEZE_STATUS_NOT_FOUND and (first.status, list(first.frozen)) != (
            result.status,
            list(result.frozen),
        ):
            raise Refusal(
                ErrorCode.BAD_INPUT, "two reports tell different things of one wallet; send them one by one", "report"
            )
    return [*found.values()]


@contextmanager
def _drafting(desk: Desk) -> Iterator[Participant]:
    """Give the participant to draft with: the library keeps each draft's request, and a dry run must not."""
    if not desk.dry_run:
        yield desk.participant
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Participant(replace(desk.participant.parts, home=Path(scratch)))


async def _submit(participant: Participant, signed: pb.SignedEnvelope, within: float) -> pb.Statement:
    async with participant:
        try:
            receipt = await participant.submit(signed, within)
        except Failure as error:
            header = envelope.parse_header(signed)
            if participant.maildir.sent(envelope.ref_of(header)) is None:
                raise  # our own disk took it not, so it never left
            # Composed once more, it would be another envelope: another order, another draft.
            again = f"rogatory send again {header.id}"
            detail = f"{error.detail}; it may have been accepted, so send the same once more: {again}"
            raise Failure(error.code, detail, error.field, error.retry_after) from error
    # Proven by `submit`.
    return pb.Statement.FromString(receipt.statement)


def _show(header: pb.Header, said: pb.Statement | None, as_json: bool) -> None:
    receipt = None
    if said is not None:
        told = home.statement_facts(said)
        receipt = {name: told[name] for name in ("issuer", "milestone", "at")}
    if as_json:
        known = home.facts(header)
        shown = {name: known[name] for name in ("id", "kind", "sender", "case_id", "outcome")}
        output.emit_json({**shown, "recipient": header.recipients[0], "dry_run": said is None, "receipt": receipt})
        return
    what = f"{home.kind_of(header)} {header.id} -> {header.recipients[0]}"
    if receipt is None:
        click.echo(f"{what}: composed and checked, not sent")
    else:
        click.echo(f"{what}: {receipt['milestone']} by {receipt['issuer']} at {receipt['at']}")


def _self(of: Home) -> str:
    roles = " and ".join(sorted(role.value for role in of.loaded.roles))
    return f"{of.loaded.address} is {roles}"
