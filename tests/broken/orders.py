"""Decisions, orders, reports and disclosures with one fault each."""

from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders

from gateway.formats.codes import Code
from tests.broken.case import Case
from tests.samples import parts

DECISION: Final = ids.KIND_REVIEW_DECISION
ORDER: Final = ids.KIND_DOMESTIC_ORDER
REPORT: Final = ids.KIND_EXECUTION_REPORT
DISCLOSURE: Final = ids.KIND_DISCLOSURE

TESTED: Final = {
    "dual_criminality": ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
    "listed_offence": certificates.LISTED_OFFENCE_UNSPECIFIED,
}
REFUSED: Final = {"outcome": ids.OUTCOME_REFUSED, "measures": None, "data_classes": None}


def _considered(ground: ids.Ground.ValueType) -> dict[str, object]:
    return {
        "ground": ground,
        "considered": [orders.GroundConsidered(ground=ground, applies=True, reasons="as stated above")],
    }


POSTPONED: Final = {
    "outcome": ids.OUTCOME_POSTPONED,
    "measures": None,
    "data_classes": None,
    **_considered(ids.GROUND_ONGOING_INVESTIGATION),
}


_DECISIONS: Final = (
    Case(
        "a listed offence, and none is named",
        DECISION,
        {"listed_offence": certificates.LISTED_OFFENCE_UNSPECIFIED},
        Code.LISTED_OFFENCE_NOT_NAMED,
        "listed_offence",
    ),
    Case(
        "a listed offence of 35 months",
        DECISION,
        {"maximum_sentence_months": 35},
        Code.LISTED_OFFENCE_UNDER_36_MONTHS,
        "maximum_sentence_months",
    ),
    Case(
        "the conduct was tested, and a listed offence is named",
        DECISION,
        {"dual_criminality": ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED},
        Code.LISTED_OFFENCE_NOT_RELIED_ON,
        "listed_offence",
    ),
    Case("the conduct was tested, which?", DECISION, TESTED | {"conduct": ""}, Code.CONDUCT_NOT_STATED, "conduct"),
    Case(
        "the conduct is no offence here, which?",
        DECISION,
        TESTED | {"dual_criminality": ids.DUAL_CRIMINALITY_ABSENT, "conduct": ""},
        Code.CONDUCT_NOT_STATED,
        "conduct",
    ),
    Case(
        "an offence here too, under no provision",
        DECISION,
        TESTED | {"domestic_provision": ""},
        Code.PROVISION_NOT_STATED,
        "domestic_provision",
    ),
    Case(
        "refused on no ground",
        DECISION,
        REFUSED | {"ground": ids.GROUND_UNSPECIFIED},
        Code.REFUSED_WITHOUT_GROUND,
        "ground",
    ),
    Case(
        "granted in full, on a ground", DECISION, {"outcome": ids.OUTCOME_GRANTED}, Code.GRANTED_WITH_GROUND, "ground"
    ),
    Case(
        "refused in part without a word to the issuing authority",
        DECISION,
        {"consultation": ""},
        Code.REFUSED_WITHOUT_CONSULTATION,
        "consultation",
    ),
    Case(
        "refused, and yet a measure",
        DECISION,
        REFUSED | {"measures": [ids.MEASURE_BLOCK_WITHDRAWAL]},
        Code.REFUSED_YET_GRANTS,
        "measures",
    ),
    Case(
        "postponed, and yet a class of data",
        DECISION,
        POSTPONED | {"data_classes": [parts.SUBSCRIBER]},
        Code.REFUSED_YET_GRANTS,
        "measures",
    ),
    Case(
        "postponed on no ground",
        DECISION,
        POSTPONED | {"ground": ids.GROUND_UNSPECIFIED},
        Code.POSTPONED_WITHOUT_GROUND,
        "ground",
    ),
    Case(
        "postponed on a ground of refusal",
        DECISION,
        POSTPONED | _considered(ids.GROUND_NE_BIS_IN_IDEM),
        Code.GROUND_OF_OTHER_OUTCOME,
        "ground",
    ),
    Case(
        "refused on a ground of postponement",
        DECISION,
        REFUSED | _considered(ids.GROUND_ONGOING_INVESTIGATION),
        Code.GROUND_OF_OTHER_OUTCOME,
        "ground",
    ),
    Case(
        "refused because it is impossible, which a report says",
        DECISION,
        REFUSED | _considered(ids.GROUND_DESTROYED),
        Code.GROUND_OF_OTHER_OUTCOME,
        "ground",
    ),
    *(
        Case(
            f"{ids.Measure.Name(measure)} refused in part because of a trial",
            DECISION,
            _considered(ids.GROUND_TRIAL_IN_ABSENCE) | {"measures": [measure]},
            Code.GROUND_OF_OTHER_FAMILY,
            "ground",
        )
        for measure in (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING)
    ),
    Case(
        "a confiscation refused in part because it is frozen",
        DECISION,
        _considered(ids.GROUND_ALREADY_FROZEN) | {"measures": [ids.MEASURE_CONFISCATE]},
        Code.GROUND_OF_OTHER_FAMILY,
        "ground",
    ),
    Case(
        "a court returns a draft",
        DECISION,
        REFUSED | _considered(ids.GROUND_RETURNED_FOR_CORRECTION),
        Code.GROUND_OF_OTHER_FAMILY,
        "ground",
    ),
    Case(
        "refused in part on a ground that does not apply",
        DECISION,
        {"considered[0].applies": False},
        Code.GROUND_NOT_CONSIDERED,
        "considered",
    ),
    Case(
        "one ground considered twice",
        DECISION,
        {
            "considered": [
                orders.GroundConsidered(ground=ids.GROUND_PRIVILEGE_OR_IMMUNITY),
                orders.GroundConsidered(ground=ids.GROUND_PRIVILEGE_OR_IMMUNITY, applies=True, reasons="retainers"),
            ]
        },
        Code.GROUND_CONSIDERED_TWICE,
        "considered[1].ground",
    ),
    Case(
        "a ground that applies for no reason",
        DECISION,
        {"considered[0].reasons": ""},
        Code.GROUND_WITHOUT_REASONS,
        "considered[0].reasons",
    ),
)


def _from(source: str) -> evidence.WalletIdentifier:
    wallet = evidence.WalletIdentifier(source=source)
    wallet.MergeFrom(parts.DEPOSIT_WALLET)
    return wallet


def _said_to_be(label: str) -> evidence.WalletIdentifier:
    wallet = evidence.WalletIdentifier()
    wallet.CopyFrom(parts.DEPOSIT_WALLET)
    wallet.attributions.add(source="an analyst", confidence=90, at_us=parts.at(2, 20), label=label)
    return wallet


_ORDERS: Final = (
    Case(
        "an order that ends before it takes effect",
        ORDER,
        {"expires_at_us": parts.at(3, 3, 16), "review_at_us": None},
        Code.ORDER_ENDS_BEFORE_EFFECT,
        "expires_at_us",
    ),
    Case(
        "reviewed after its end",
        ORDER,
        {"review_at_us": parts.at(3, 4, year=2027)},
        Code.REVIEWED_AFTER_END,
        "review_at_us",
    ),
    Case(
        "reviewed before it takes effect",
        ORDER,
        {"review_at_us": parts.at(3, 3, 16)},
        Code.REVIEWED_BEFORE_EFFECT,
        "review_at_us",
    ),
    Case("lapses by itself, at no time", ORDER, {"expires_at_us": None}, Code.LAPSES_WITHOUT_END, "expires_at_us"),
    Case(
        "no secret any more when it takes effect",
        ORDER,
        {"confidentiality.until_us": parts.at(3, 3, 16)},
        Code.SECRECY_ENDS_BEFORE_EFFECT,
        "confidentiality.until_us",
    ),
    Case(
        "an exchange is told on which list a wallet is",
        ORDER,
        {"wallets": [_from("OFAC SDN")]},
        Code.ORIGIN_TOLD,
        "wallets[0].source",
    ),
    Case(
        "an exchange is told what an analyst says of a wallet",
        ORDER,
        {"wallets": [_said_to_be("takings of the fraud")]},
        Code.ORIGIN_TOLD,
        "wallets[0].attributions",
    ),
    Case(
        "an exchange is given the time limit of another State's request",
        ORDER,
        {"clocks": [parts.clock(measures.CLOCK_RULE_URGENT_EXECUTION, parts.at(3, 3, 17), parts.at(3, 5, 17))]},
        Code.CLOCK_MISPLACED,
        "clocks[0].rule",
    ),
    Case(
        "an order for a window of data not ordered",
        ORDER,
        {"windows[0].data_class": parts.BALANCE},
        Code.WINDOW_OF_OTHER_CLASS,
        "windows[0].data_class",
    ),
)

_PROVISIONAL: Final = (
    Case(
        "provisional, and without an end of its own",
        ids.KIND_PROVISIONAL_ORDER,
        {"lapses_by_itself": False},
        Code.PROVISIONAL_WITHOUT_LAPSE,
        "lapses_by_itself",
    ),
)

GONE: Final = "results[1]"
HELD: Final = "results[0]"


def _steps(*statuses: orders.FreezeStatus.ValueType) -> list[orders.StatusStep]:
    return [
        orders.StatusStep(status=status, at_us=parts.at(3, 3, 18, minute)) for minute, status in enumerate(statuses)
    ]


_REPORTS: Final = (
    Case(
        "the exchange objects, and not why",
        REPORT,
        {
            "objections": None,
            f"{GONE}.status": orders.FREEZE_STATUS_OBJECTED,
            f"{GONE}.steps": _steps(
                orders.FREEZE_STATUS_RECEIVED, orders.FREEZE_STATUS_LEGAL_CHECK, orders.FREEZE_STATUS_OBJECTED
            ),
        },
        Code.OBJECTION_MISSING,
        "objections",
    ),
    Case(
        "the exchange asks, and not what",
        REPORT,
        {
            "objections[0].clarification_asked": "",
            f"{GONE}.status": orders.FREEZE_STATUS_CLARIFICATION,
            f"{GONE}.steps": _steps(
                orders.FREEZE_STATUS_RECEIVED, orders.FREEZE_STATUS_LEGAL_CHECK, orders.FREEZE_STATUS_CLARIFICATION
            ),
        },
        Code.CLARIFICATION_NOT_ASKED,
        "objections",
    ),
    Case(
        "the exchange asks for something, and says nothing",
        REPORT,
        {
            "objections": None,
            f"{GONE}.status": orders.FREEZE_STATUS_CLARIFICATION,
            f"{GONE}.steps": _steps(
                orders.FREEZE_STATUS_RECEIVED, orders.FREEZE_STATUS_LEGAL_CHECK, orders.FREEZE_STATUS_CLARIFICATION
            ),
        },
        Code.OBJECTION_MISSING,
        "objections",
    ),
    *(
        Case(
            f"{ids.Measure.Name(measure)}, and no wallet has a result",
            REPORT,
            {"measures": [measure], "results": None},
            Code.HELD_WITHOUT_RESULTS,
            "results",
        )
        for measure in (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING)
    ),
    Case("the value of nothing", REPORT, {"property": ""}, Code.VALUE_WITHOUT_PROPERTY, "property"),
    Case("moved, by no transaction", REPORT, {f"{GONE}.moved_in": None}, Code.MOVED_WITHOUT_HASHES, f"{GONE}.moved_in"),
    *(
        Case(
            f"{orders.FreezeStatus.Name(status)}, and nothing is missing",
            REPORT,
            {f"{HELD}.status": status, f"{HELD}.steps": None, f"{HELD}.shortfall": None},
            Code.SHORTFALL_MISSING,
            f"{HELD}.shortfall",
        )
        for status in (orders.FREEZE_STATUS_PARTIALLY_FROZEN, orders.FREEZE_STATUS_INSUFFICIENT_BALANCE)
    ),
    Case(
        "frozen in full, and something is missing",
        REPORT,
        {f"{HELD}.status": orders.FREEZE_STATUS_FROZEN, f"{HELD}.steps": None},
        Code.SHORTFALL_THOUGH_FROZEN,
        f"{HELD}.shortfall",
    ),
    Case(
        "more frozen than was there",
        REPORT,
        {f"{HELD}.available": [parts.bitcoin("1099999999")]},
        Code.FROZEN_ABOVE_AVAILABLE,
        f"{HELD}.frozen[0].base_units",
    ),
    Case(
        "bonded until before it was frozen",
        REPORT,
        {f"{HELD}.bonded_until_us": parts.at(3, 4, 8)},
        Code.BONDED_BEFORE_FROZEN,
        f"{HELD}.bonded_until_us",
    ),
    Case(
        "a freeze that begins with a legal check",
        REPORT,
        {f"{GONE}.steps": _steps(orders.FREEZE_STATUS_LEGAL_CHECK, orders.FREEZE_STATUS_ALREADY_MOVED)},
        Code.STATUS_BEGINS_ELSEWHERE,
        f"{GONE}.steps[0].status",
    ),
    Case(
        "extended before it was frozen",
        REPORT,
        {
            f"{GONE}.status": orders.FREEZE_STATUS_EXTENDED,
            f"{GONE}.steps": _steps(orders.FREEZE_STATUS_RECEIVED, orders.FREEZE_STATUS_EXTENDED),
        },
        Code.STATUS_MOVE_NOT_ALLOWED,
        f"{GONE}.steps[1].status",
    ),
    Case(
        "a step before the one that it follows",
        REPORT,
        {f"{HELD}.steps": list(reversed(_steps(orders.FREEZE_STATUS_PARTIALLY_FROZEN, orders.FREEZE_STATUS_RECEIVED)))},
        Code.STATUS_BEFORE_PREVIOUS,
        f"{HELD}.steps[1].at_us",
    ),
    Case(
        "not the status that it came to",
        REPORT,
        {f"{GONE}.steps": _steps(orders.FREEZE_STATUS_RECEIVED, orders.FREEZE_STATUS_ACKNOWLEDGED)},
        Code.STATUS_NOT_OF_LAST_STEP,
        f"{GONE}.status",
    ),
)

UNNAMED: Final = [parts.SUBSCRIBER, parts.IDENTIFICATION, parts.TRANSACTIONAL, parts.CONTENT]

_DISCLOSURES: Final = (
    Case(
        "balances, and that class is not named",
        DISCLOSURE,
        {"data_classes": UNNAMED, "windows": None},
        Code.SECTION_OF_UNNAMED_CLASS,
        "balances",
    ),
    Case(
        "a class named, and not a word of it", DISCLOSURE, {"balances": None}, Code.CLASS_UNANSWERED, "data_classes[3]"
    ),
    Case(
        "a balance from after the window",
        DISCLOSURE,
        {"windows[3].until_us": parts.at(2, 28, 23)},
        Code.RECORD_OUTSIDE_WINDOW,
        "balances[0].at_us",
    ),
    Case(
        "a message from before the window",
        DISCLOSURE,
        {"windows[4].from_us": parts.at(2, 26, 21, 16)},
        Code.RECORD_OUTSIDE_WINDOW,
        "contents[0].at_us",
    ),
    Case(
        "a session from after the window",
        DISCLOSURE,
        {"windows[1].until_us": parts.at(2, 26)},
        Code.RECORD_OUTSIDE_WINDOW,
        "accesses[0].at_us",
    ),
    Case(
        "an entry from before the window",
        DISCLOSURE,
        {"transactions": None, "windows[2].from_us": parts.at(2, 27)},
        Code.RECORD_OUTSIDE_WINDOW,
        "ledger[0].at_us",
    ),
    Case(
        "a transaction from before the window",
        DISCLOSURE,
        {"windows[2].from_us": parts.at(2, 13)},
        Code.RECORD_OUTSIDE_WINDOW,
        "transactions[0].block_time_us",
    ),
    Case(
        "held back for no reason",
        DISCLOSURE,
        {"fields[1].reason": ""},
        Code.WITHHELD_WITHOUT_REASON,
        "fields[1].reason",
    ),
    Case(
        "a field of a class that is not named",
        DISCLOSURE,
        {
            "data_classes": UNNAMED,
            "windows": None,
            "balances": None,
            "fields[0].data_class": parts.BALANCE,
        },
        Code.FIELD_OF_UNNAMED_CLASS,
        "fields[0].data_class",
    ),
    Case(
        "one field reported twice",
        DISCLOSURE,
        {"fields[0].name": "Copy of the Passport"},
        Code.FIELD_REPORTED_TWICE,
        "fields[1].name",
    ),
    Case(
        "a deposit address that is none",
        DISCLOSURE,
        {"deposit_addresses": [parts.DEPOSIT_WALLET, parts.MISSPELT_WALLET]},
        Code.WALLET_ONLY_QUOTED,
        "deposit_addresses[1].quoted_because",
    ),
    Case(
        "a withdrawal of nothing",
        DISCLOSURE,
        {"ledger[0].type": orders.LEDGER_ENTRY_TYPE_WITHDRAWAL, "ledger[0].debited": None},
        Code.LEDGER_ENTRY_INCOMPLETE,
        "ledger[0].type",
    ),
    Case(
        "a trade of one thing for nothing",
        DISCLOSURE,
        {"ledger[0].credited": None, "ledger[0].fiat": None},
        Code.LEDGER_ENTRY_INCOMPLETE,
        "ledger[0].type",
    ),
    Case(
        "a customer's key in a message to support",
        DISCLOSURE,
        {"contents[0].text": "my key is 5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ please help"},
        Code.SECRET_IN_TEXT,
        "contents[0].text",
    ),
    Case(
        "two balances of one asset at one instant",
        DISCLOSURE,
        {"balances[0].balances": [parts.bitcoin("1"), parts.bitcoin("2")]},
        Code.ASSET_TWICE,
        "balances[0].balances[1].asset",
    ),
)

CASES: Final = (*_DECISIONS, *_ORDERS, *_PROVISIONAL, *_REPORTS, *_DISCLOSURES)
