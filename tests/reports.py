"""A store for reports: two countries, three quarters, some hundred requests of every fate."""

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids

from gateway.reporting import report
from gateway.reporting.periods import Period
from gateway.reporting.report import Report
from gateway.store import figures
from tests import law, world
from tests.lawful import (
    BLOCK,
    GRANTED,
    INVESTIGATOR,
    REFUSED,
    THEIR_CENTRAL,
    THEIR_COURT,
    THEIR_EXCHANGE,
    VERIFIED,
    ask,
)

BEGIN: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NOW: Final = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CONFISCATE: Final = (ids.MEASURE_CONFISCATE,)


def sign_log(store: Path, code: str) -> None:
    """Have a checkpoint cover all of a log; what its signature says is not asked here."""
    with closing(sqlite.connect(str(store))) as connection, connection:
        (size,) = connection.execute("SELECT max(position) FROM log_entries").fetchone()
        connection.execute(
            "INSERT INTO checkpoints (size, origin, root, at_us, note) VALUES (?, ?, ?, 1, x'00')",
            (size, f"rogatory.test/{code}", bytes(32)),
        )


def made(store: Path, code: str, period: str) -> Report:
    """Return a report of a node's store."""
    with figures.look(store) as view:
        return report.make(view, code, world.DIRECTORY, Period.parse(period, NOW))


def euros(amount: int | str) -> evidence.Money:
    return evidence.Money(currency="EUR", amount=str(amount))


def realistic(folder: Path, quarters: Iterable[int] = (1, 2, 3)) -> law.Countries:
    """Return two countries after some quarters of work."""
    federation = law.countries(folder)
    federation.now = BEGIN
    for busy in quarters:
        _quarter(federation, busy)
        federation.now = datetime(2026, 3 * busy + 1, 2, 9, 0, tzinfo=UTC)
    return federation


def _quarter(federation: law.Countries, busy: int) -> None:
    for number in range(5 + busy):
        frozen(federation, ask(federation, case_id=f"F{busy}-{number}"), 1000 * (number + 3 * busy))
        federation.wait(days=1)
    for number in range(6):
        request = ask(
            federation,
            ids.KIND_CONFISCATION_REQUEST,
            case_id=f"C{busy}-{number}",
            amount=euros(9000),
            order_total=euros(9000),
        )
        frozen(federation, request, 5000 + number, measures=CONFISCATE)
    for number in range(6 * busy):
        grounds = (ids.GROUND_NO_DUAL_CRIMINALITY, ids.GROUND_NE_BIS_IN_IDEM)
        decided(federation, ask(federation, case_id=f"R{busy}-{number}"), REFUSED, ground=grounds[number % 3 == 0])
    for number in range(4 + 3 * busy):
        request = ask(federation, ids.KIND_EVIDENCE_REQUEST, case_id=f"W{busy}-{number}")
        federation.send(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, cites=request, case_id=f"W{busy}-{number}")
        federation.arrive()
    waiting = [ask(federation, case_id=f"L{busy}-{number}") for number in range(7)]
    federation.wait(days=20)  # the ten days of an ordinary decision run out
    for request in waiting[busy:]:
        decided(federation, request, GRANTED)


def decided(federation: law.Countries, request: ids.EnvelopeRef, outcome: Any, **fields: Any) -> ids.EnvelopeRef:
    """Have the court decide on a request, and the other State be told; return the court's decision."""
    case = _case(federation, request)
    scope: dict[str, Any] = {"measures": fields.pop("measures", BLOCK)}
    referral = federation.send(
        ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, cites=request, case_id=f"D{case}", **scope
    )
    answer = fields | {"outcome": outcome, "dual_criminality": VERIFIED}
    if outcome != REFUSED:
        answer |= scope
    if fields.get("ground") == ids.GROUND_NO_DUAL_CRIMINALITY:
        answer["dual_criminality"] = ids.DUAL_CRIMINALITY_ABSENT
    elif outcome == REFUSED:
        answer["dual_criminality"] = ids.DUAL_CRIMINALITY_NOT_REACHED
    decision = federation.send(
        ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, cites=referral, case_id=f"D{case}", **answer
    )
    federation.send(ids.KIND_REVIEW_DECISION, THEIR_CENTRAL, INVESTIGATOR, cites=request, case_id=case, **answer)
    federation.arrive()
    return decision


def frozen(federation: law.Countries, request: ids.EnvelopeRef, sum_: int, measures: Any = BLOCK) -> None:
    """Have a request granted and executed, and the sum reported; twice, for there was more."""
    case = _case(federation, request)
    decision = decided(federation, request, GRANTED, measures=measures)
    order = federation.send(
        ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, cites=decision, case_id=f"O{case}", measures=measures
    )
    for so_far in (sum_ // 2, sum_):
        told: dict[str, Any] = {"outcome": GRANTED, "measures": measures, "amount": euros(so_far)}
        federation.send(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, cites=order, case_id=f"O{case}", **told)
        federation.send(
            ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, cites=decision, case_id=f"D{case}", **told
        )
        federation.send(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, cites=request, case_id=case, **told)
    federation.arrive()


def _case(federation: law.Countries, request: ids.EnvelopeRef) -> str:
    return next(header.case_id for header in federation.headers("ee") if header.id == request.id)
