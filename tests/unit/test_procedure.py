from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import row_checks
from gateway.directory import Directory, Status
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.policy import Policy
from gateway.procedure import LawfulStep, check
from gateway.record import record
from gateway.row_checks import permitted
from gateway.verify import VerifiedEnvelope
from tests import world
from tests.world import CENTRAL, COURT, DIRECTORY, INVESTIGATOR, NOW, TREATY, Sent
from tests.world import FOREIGN_CENTRAL as THEIR_CENTRAL
from tests.world import FOREIGN_COURT as THEIR_COURT
from tests.world import FOREIGN_EXCHANGE as THEIR_EXCHANGE

THEIR_REGISTRAR = "de/registrar"
TEST_CASE = "TEST-" + "0123456789abcdef" * 2
BLOCK, CONVERSION, HOLD = ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING
WHO, MOVES, CONTENT = ids.DATA_CLASS_SUBSCRIBER, ids.DATA_CLASS_TRANSACTIONAL, ids.DATA_CLASS_CONTENT
GRANTED, PARTLY, REFUSED = ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED, ids.OUTCOME_REFUSED
RETURNED = ids.GROUND_RETURNED_FOR_CORRECTION
NE_BIS, CRIMINALITY = ids.GROUND_NE_BIS_IN_IDEM, ids.GROUND_NO_DUAL_CRIMINALITY
VERIFIED, ABSENT = ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED, ids.DUAL_CRIMINALITY_ABSENT
NOTHING: dict[str, Any] = {"outcome": REFUSED, "measures": (), "data_classes": ()}
REFUSAL: dict[str, Any] = {**NOTHING, "ground": CRIMINALITY, "dual_criminality": ABSENT}


@dataclass
class Case:
    """One case between two countries: what is sent is decided and recorded at each node that it comes to."""

    stores: dict[str, Any] = field(default_factory=lambda: {"ee": world.memory_store(), "de": world.memory_store()})
    sent: dict[str, Sent] = field(default_factory=dict)

    def take(self, sent: Sent, directory: Directory = DIRECTORY) -> list[LawfulStep]:
        steps = []
        for here in dict.fromkeys((sent.header.sender[:2], sent.header.recipients[0][:2])):
            step = self.decide(world.verified(sent, here, directory), here, directory)
            with world.transaction(self.stores[here], node=here) as txn:
                record(step, txn)
            steps.append(step)
        return steps

    def decide(self, verified: VerifiedEnvelope, here: str, directory: Directory = DIRECTORY) -> LawfulStep:
        with world.transaction(self.stores[here], node=here) as txn:
            return check(verified, txn, directory, here, Policy.none())

    def write(self, name: str, **changes: Any) -> Sent:
        fields = dict(LAWFUL[name]) | changes
        kind, sender, recipient = fields.pop("kind"), fields.pop("sender"), fields.pop("recipient")
        cites = fields.pop("cites", ())
        named = [cites] if isinstance(cites, str) else cites
        refs = [self.sent[one].ref if isinstance(one, str) else one for one in named]
        return world.send(kind, sender, recipient, cites=refs, **fields)

    def step(self, name: str, **changes: Any) -> LawfulStep:
        sent = self.write(name, **changes)
        first = self.take(sent)[0]
        self.sent[name] = sent
        return first


ALL = {"measures": (BLOCK, CONVERSION), "data_classes": (WHO, MOVES)}
# The whole procedure, in order. Estonia asks, Germany decides; the German case has another id than the Estonian.
LAWFUL: dict[str, dict[str, Any]] = {
    "draft": {"kind": ids.KIND_DRAFT, "sender": INVESTIGATOR, "recipient": CENTRAL, **ALL},
    "countersignature": {
        "kind": ids.KIND_COUNTERSIGNATURE,
        "sender": CENTRAL,
        "recipient": INVESTIGATOR,
        "cites": "draft",
        "outcome": GRANTED,
        **ALL,
    },
    "request": {
        "kind": ids.KIND_FREEZE_REQUEST,
        "sender": INVESTIGATOR,
        "recipient": THEIR_CENTRAL,
        "instrument": TREATY,
        "countersigned_by": (CENTRAL,),
        **ALL,
    },
    "referral": {
        "kind": ids.KIND_REVIEW_REFERRAL,
        "sender": THEIR_CENTRAL,
        "recipient": THEIR_COURT,
        "cites": "request",
        "case_id": "DE-1",
        **ALL,
    },
    "decision": {
        "kind": ids.KIND_REVIEW_DECISION,
        "sender": THEIR_COURT,
        "recipient": THEIR_CENTRAL,
        "cites": "referral",
        "case_id": "DE-1",
        "outcome": GRANTED,
        "dual_criminality": VERIFIED,
        **ALL,
    },
    "notice": {
        "kind": ids.KIND_REVIEW_DECISION,
        "sender": THEIR_CENTRAL,
        "recipient": INVESTIGATOR,
        "cites": "request",
        "instrument": TREATY,
        "outcome": GRANTED,
        "dual_criminality": VERIFIED,
        **ALL,
    },
    "order": {
        "kind": ids.KIND_DOMESTIC_ORDER,
        "sender": THEIR_COURT,
        "recipient": THEIR_EXCHANGE,
        "cites": "decision",
        "case_id": "DE-ORDER-1",
        **ALL,
    },
    "report": {
        "kind": ids.KIND_EXECUTION_REPORT,
        "sender": THEIR_EXCHANGE,
        "recipient": THEIR_COURT,
        "cites": "order",
        "case_id": "DE-ORDER-1",
        "outcome": GRANTED,
        **ALL,
    },
    "court's report": {
        "kind": ids.KIND_EXECUTION_REPORT,
        "sender": THEIR_COURT,
        "recipient": THEIR_CENTRAL,
        "cites": "decision",
        "case_id": "DE-1",
        "outcome": GRANTED,
        **ALL,
    },
    "report abroad": {
        "kind": ids.KIND_EXECUTION_REPORT,
        "sender": THEIR_CENTRAL,
        "recipient": INVESTIGATOR,
        "cites": "request",
        "instrument": TREATY,
        "outcome": GRANTED,
        **ALL,
    },
    # Beside any case: a registrar tries the exchange out.
    "test order": {
        "kind": ids.KIND_TEST_ORDER,
        "sender": THEIR_REGISTRAR,
        "recipient": THEIR_EXCHANGE,
        "case_id": TEST_CASE,
    },
    "test report": {
        "kind": ids.KIND_TEST_REPORT,
        "sender": THEIR_EXCHANGE,
        "recipient": THEIR_REGISTRAR,
        "cites": "test order",
        "case_id": TEST_CASE,
    },
}
ORDER = tuple(LAWFUL)


def case_before(name: str, **overrides: dict[str, Any]) -> Case:
    """Return a case in which all has happened that comes before a step; `overrides` changes steps by name."""
    case = Case()
    for earlier in ORDER[: ORDER.index(name)]:
        case.step(earlier, **overrides.get(earlier, {}))
    return case


def refused(case: Case, sent: Sent, directory: Directory = DIRECTORY) -> tuple[ErrorCode, str]:
    with pytest.raises(Refusal) as caught:
        case.take(sent, directory)
    return caught.value.code, caught.value.field


def test_whole_procedure_is_lawful_in_its_order() -> None:
    case = Case()
    for name in ORDER:
        case.step(name)
    assert all(permitted(sent.header, DIRECTORY) for sent in case.sent.values())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("countersignature", {**NOTHING, "ground": RETURNED}, id="draft returned"),
        pytest.param("countersignature", {"measures": (), "data_classes": ()}, id="countersignature without measures"),
        pytest.param("request", {"countersigned_by": (COURT, CENTRAL)}, id="countersigned by more than needed"),
        pytest.param("request", {"countersigned_by": ("ee/node", CENTRAL)}, id="signed by the node too"),
        pytest.param("request", {"countersigned_by": ("ee/central-authority-2",)}, id="countersigned by the other"),
        pytest.param("request", {"data_classes": ()}, id="request for no data"),
        pytest.param("referral", {"measures": (BLOCK,)}, id="referral of a part"),
        pytest.param("referral", {"case_id": "EE-1"}, id="referral under the foreign case id"),
        pytest.param("decision", {"measures": (BLOCK,), "data_classes": (), "outcome": PARTLY}, id="part granted"),
        pytest.param("decision", {"measures": (BLOCK,), "outcome": PARTLY, "ground": NE_BIS}, id="part refused"),
        pytest.param("decision", REFUSAL, id="refused on a ground"),
        pytest.param("notice", {"measures": (BLOCK,)}, id="notice of less"),
        pytest.param("order", {"measures": (BLOCK,), "data_classes": ()}, id="order of less"),
        pytest.param("report", {**NOTHING, "ground": ids.GROUND_IMPOSSIBLE}, id="nothing could be executed"),
        pytest.param("report", {"measures": (), "data_classes": (WHO,), "outcome": PARTLY}, id="only data supplied"),
    ],
)  # fmt: skip
def test_lawful_variant_is_lawful(name: str, changes: dict[str, Any]) -> None:
    case_before(name).step(name, **changes)


ATTACKS = [
    ("draft", {"cites": [world.freeze_request().ref]}, ErrorCode.UNKNOWN_CITATION, "cites[0]",
     "draft that answers something"),
    ("draft", {"instrument": TREATY}, ErrorCode.NO_LEGAL_BASIS, "instrument", "domestic step with a treaty"),
    ("draft", {"outcome": GRANTED}, ErrorCode.OUT_OF_ORDER, "outcome", "draft that decides"),
    ("countersignature", {"cites": ()}, ErrorCode.OUT_OF_ORDER, "cites", "answer to nothing"),
    ("countersignature", {"sender": "ee/central-authority-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]",
     "countersigned by whom nobody asked"),
    ("countersignature", {"recipient": "ee/investigator-2"}, ErrorCode.OUT_OF_ORDER, "recipients",
     "answer to somebody else"),
    ("countersignature", {"case_id": "EE-2"}, ErrorCode.OUT_OF_ORDER, "case_id", "answer in another case"),
    ("countersignature", {"outcome": PARTLY}, ErrorCode.OUT_OF_ORDER, "outcome", "half a countersignature"),
    ("countersignature", {"outcome": ids.OUTCOME_UNSPECIFIED}, ErrorCode.OUT_OF_ORDER, "outcome", "neither nor"),
    ("countersignature", {"measures": (HOLD,)}, ErrorCode.EXCEEDS_GRANT, "measures[0]", "more than the draft"),
    ("request", {"countersigned_by": ()}, ErrorCode.NOT_COUNTERSIGNED, "signatures", "without countersignature"),
    ("request", {"countersigned_by": (THEIR_CENTRAL,)}, ErrorCode.NOT_COUNTERSIGNED, "signatures",
     "countersigned by the recipient"),
    ("request", {"countersigned_by": ("fr/central-authority",)}, ErrorCode.NOT_COUNTERSIGNED, "signatures",
     "countersigned by a third country"),
    ("request", {"countersigned_by": (COURT,)}, ErrorCode.NOT_COUNTERSIGNED, "signatures", "countersigned by a court"),
    ("request", {"countersigned_by": ("ee/investigator-2",)}, ErrorCode.NOT_COUNTERSIGNED, "signatures",
     "countersigned by a colleague"),
    ("request", {"countersigned_by": ("ee/node",)}, ErrorCode.NOT_COUNTERSIGNED, "signatures",
     "countersigned by the node"),
    ("request", {"instrument": ""}, ErrorCode.NO_LEGAL_BASIS, "instrument", "no instrument"),
    ("request", {"instrument": "ended"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "ended instrument"),
    ("request", {"instrument": "not-yet"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "instrument not yet in force"),
    ("request", {"instrument": "other-kind"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "instrument for another kind"),
    ("request", {"instrument": "other-states"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "instrument of others"),
    ("request", {"instrument": "invented"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "instrument nobody knows"),
    ("request", {"cites": "draft"}, ErrorCode.OUT_OF_ORDER, "cites[0]", "request that shows its draft abroad"),
    ("request", {"measures": ()}, ErrorCode.OUT_OF_ORDER, "measures", "request for nothing"),
    ("request", {"measures": (ids.MEASURE_CONFISCATE,)}, ErrorCode.EXCEEDS_GRANT, "measures[0]",
     "freeze that confiscates"),
    ("request", {"outcome": GRANTED}, ErrorCode.OUT_OF_ORDER, "outcome", "request that decides"),
    ("request", {"ground": NE_BIS}, ErrorCode.OUT_OF_ORDER, "ground", "request with a ground"),
    ("referral", {"cites": ()}, ErrorCode.OUT_OF_ORDER, "cites", "referral of nothing"),
    ("referral", {"cites": ["request", "request"]}, ErrorCode.OUT_OF_ORDER, "cites", "referral of two"),
    ("referral", {"cites": [world.freeze_request().ref]}, ErrorCode.UNKNOWN_CITATION, "cites[0]",
     "referral of what is not recorded"),
    ("referral", {"sender": "de/central-authority-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]",
     "referral of somebody else's request"),
    ("referral", {"instrument": TREATY}, ErrorCode.NO_LEGAL_BASIS, "instrument", "referral with a treaty"),
    ("referral", {"measures": (BLOCK, HOLD)}, ErrorCode.EXCEEDS_GRANT, "measures[1]", "referral of more measures"),
    ("referral", {"data_classes": (CONTENT,)}, ErrorCode.EXCEEDS_GRANT, "data_classes[0]", "referral of more data"),
    ("referral", {"measures": (), "data_classes": ()}, ErrorCode.OUT_OF_ORDER, "measures", "referral for nothing"),
    ("referral", {"outcome": GRANTED}, ErrorCode.OUT_OF_ORDER, "outcome", "referral that decides"),
    ("decision", {"cites": "request"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "decision on what the court never got"),
    ("decision", {"sender": "de/court-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "decision of another court"),
    ("decision", {"recipient": "de/central-authority-2"}, ErrorCode.OUT_OF_ORDER, "recipients",
     "decision sent to another"),
    ("decision", {"case_id": "DE-2"}, ErrorCode.OUT_OF_ORDER, "case_id", "decision in another case"),
    ("decision", {"outcome": ids.OUTCOME_UNSPECIFIED}, ErrorCode.OUT_OF_ORDER, "outcome", "decision without outcome"),
    ("decision", {**REFUSAL, "ground": ids.GROUND_UNSPECIFIED}, ErrorCode.OUT_OF_ORDER, "ground",
     "refusal without ground"),
    ("decision", {"ground": NE_BIS}, ErrorCode.OUT_OF_ORDER, "ground", "ground without refusal"),
    ("decision", {**NOTHING, "ground": NE_BIS, "dual_criminality": ids.DUAL_CRIMINALITY_UNSPECIFIED},
     ErrorCode.OUT_OF_ORDER, "dual_criminality", "refusal that does not say whether it is an offence here"),
    ("decision", {"outcome": REFUSED, "ground": NE_BIS}, ErrorCode.EXCEEDS_GRANT, "measures", "refusal that grants"),
    ("decision", {**REFUSAL, "data_classes": (WHO,)}, ErrorCode.EXCEEDS_GRANT, "measures", "refusal that grants data"),
    ("decision", {"measures": (), "data_classes": ()}, ErrorCode.OUT_OF_ORDER, "measures", "grant of nothing"),
    ("decision", {"measures": (HOLD,)}, ErrorCode.EXCEEDS_GRANT, "measures[0]", "more than was referred"),
    ("notice", {"outcome": PARTLY}, ErrorCode.OUT_OF_ORDER, "cites[0]", "another outcome than the court's"),
    ("notice", REFUSAL, ErrorCode.OUT_OF_ORDER, "cites[0]", "refusal though the court granted"),
    ("notice", {"instrument": "ended"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "answer under another instrument"),
    ("notice", {"instrument": ""}, ErrorCode.NO_LEGAL_BASIS, "instrument", "answer under none"),
    ("notice", {"case_id": "DE-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "answer under the domestic case id"),
    ("notice", {"recipient": "ee/investigator-2"}, ErrorCode.OUT_OF_ORDER, "recipients", "answer to another"),
    ("notice", {"sender": "de/central-authority-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "answer by another"),
    ("notice", {"cites": "referral"}, ErrorCode.OUT_OF_ORDER, "cites[0]", "domestic referral cited abroad"),
    ("order", {"cites": ()}, ErrorCode.OUT_OF_ORDER, "cites", "order without decision"),
    ("order", {"cites": "referral"}, ErrorCode.OUT_OF_ORDER, "cites[0]", "order on a referral not decided"),
    ("order", {"cites": "notice"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "order on the notice abroad"),
    ("order", {"sender": "de/court-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "order on another court's decision"),
    ("order", {"case_id": "DE-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "order under the court's case id"),
    ("order", {"case_id": "EE-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "order under the foreign case id"),
    ("order", {"instrument": TREATY}, ErrorCode.NO_LEGAL_BASIS, "instrument", "order that shows the treaty"),
    ("order", {"measures": (HOLD,)}, ErrorCode.EXCEEDS_GRANT, "measures[0]", "order of more measures"),
    ("order", {"data_classes": (CONTENT,)}, ErrorCode.EXCEEDS_GRANT, "data_classes[0]", "order for more data"),
    ("order", {"measures": (), "data_classes": ()}, ErrorCode.OUT_OF_ORDER, "measures", "order of nothing"),
    ("order", {"outcome": GRANTED}, ErrorCode.OUT_OF_ORDER, "outcome", "order with an outcome"),
    ("report", {"sender": "de/exchange-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "report on another's order"),
    ("report", {"recipient": "de/court-2"}, ErrorCode.OUT_OF_ORDER, "recipients", "report to another court"),
    ("report", {"cites": "decision"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "exchange cites the decision"),
    ("report", {"case_id": "DE-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "report in the court's case"),
    ("report", {"data_classes": (WHO, CONTENT)}, ErrorCode.EXCEEDS_GRANT, "data_classes[1]", "more data than ordered"),
    ("report", {"measures": (HOLD,)}, ErrorCode.EXCEEDS_GRANT, "measures[0]", "more measures than ordered"),
    ("report", {"outcome": ids.OUTCOME_UNSPECIFIED}, ErrorCode.OUT_OF_ORDER, "outcome", "report without a result"),
    ("report", {"cites": ()}, ErrorCode.OUT_OF_ORDER, "cites", "exchange starts something"),
    ("court's report", {"cites": "referral"}, ErrorCode.OUT_OF_ORDER, "cites[0]", "report on a referral"),
    ("court's report", {"sender": "de/court-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "another court's report"),
    ("court's report", {"recipient": "de/central-authority-2"}, ErrorCode.OUT_OF_ORDER, "recipients",
     "court reports to another"),
    ("report abroad", {"instrument": "ended"}, ErrorCode.NO_LEGAL_BASIS, "instrument", "under another instrument"),
    ("report abroad", {"case_id": "DE-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "report under the domestic case id"),
    ("report abroad", {"recipient": "ee/investigator-2"}, ErrorCode.OUT_OF_ORDER, "recipients",
     "report to another abroad"),
    ("report abroad", {"data_classes": (CONTENT,)}, ErrorCode.EXCEEDS_GRANT, "data_classes[0]",
     "more data abroad than asked"),
    ("test order", {"cites": "order"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "test that rests on an order"),
    ("test order", {"cites": "decision"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "test that rests on a decision"),
    ("test order", {"measures": (BLOCK,)}, ErrorCode.EXCEEDS_GRANT, "measures", "test that freezes"),
    ("test order", {"data_classes": (WHO,)}, ErrorCode.EXCEEDS_GRANT, "measures", "test that asks for data"),
    ("test order", {"instrument": TREATY}, ErrorCode.NO_LEGAL_BASIS, "instrument", "test with a treaty"),
    ("test order", {"outcome": GRANTED}, ErrorCode.OUT_OF_ORDER, "outcome", "test that decides"),
    ("test order", {"case_id": "DE-2026-117"}, ErrorCode.OUT_OF_ORDER, "case_id", "test that looks like a case"),
    ("test order", {"case_id": "TEST-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "test whose case is not random"),
    ("test order", {"case_id": TEST_CASE.upper()}, ErrorCode.OUT_OF_ORDER, "case_id", "test case in capitals"),
    ("test order", {"case_id": TEST_CASE + "0"}, ErrorCode.OUT_OF_ORDER, "case_id", "test case and something more"),
    ("test order", {"body": bytes(1 << 10)}, ErrorCode.EXCEEDS_GRANT, "sealed_payload", "test that carries a message"),
    ("test report", {"cites": ()}, ErrorCode.OUT_OF_ORDER, "cites", "answer to no test"),
    ("test report", {"cites": "order"}, ErrorCode.OUT_OF_ORDER, "cites[0]", "answer of a test to a real order"),
    ("test report", {"cites": ["test order", "test order"]}, ErrorCode.OUT_OF_ORDER, "cites", "answer to two tests"),
    ("test report", {"sender": "de/exchange-2"}, ErrorCode.UNKNOWN_CITATION, "cites[0]", "answer to another's test"),
    ("test report", {"recipient": "de/registrar-2"}, ErrorCode.OUT_OF_ORDER, "recipients",
     "answer to another registrar"),
    ("test report", {"case_id": "DE-ORDER-1"}, ErrorCode.OUT_OF_ORDER, "case_id", "answer in a real case"),
    ("test report", {"measures": (BLOCK,)}, ErrorCode.EXCEEDS_GRANT, "measures", "test report of a freeze"),
    ("test report", {"outcome": GRANTED}, ErrorCode.OUT_OF_ORDER, "outcome", "test report of an execution"),
    ("report", {"cites": [world.send(ids.KIND_TEST_ORDER, THEIR_REGISTRAR, THEIR_EXCHANGE).ref]},
     ErrorCode.UNKNOWN_CITATION, "cites[0]", "execution report on an unknown test"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "code", "where"), [attack[:4] for attack in ATTACKS], ids=[f"{a[0]}: {a[4]}" for a in ATTACKS]
)
def test_unlawful_step_is_refused(name: str, changes: dict[str, Any], code: ErrorCode, where: str) -> None:
    case = case_before(name)
    assert refused(case, case.write(name, **changes)) == (code, where)
    case.step(name)  # the same step without the change is lawful


def test_grant_of_nothing_is_refused_though_no_data_were_asked_for() -> None:
    measures_alone: dict[str, Any] = {"data_classes": ()}
    case = case_before("decision", request=measures_alone, referral=measures_alone)
    nothing = case.write("decision", measures=(), data_classes=())
    assert refused(case, nothing) == (ErrorCode.OUT_OF_ORDER, "measures")


@pytest.mark.parametrize("name", ["test order", "test report"])
def test_test_has_no_attachments(name: str) -> None:
    case = case_before(name)
    verified = world.verified(case.write(name), "de")
    case.decide(verified, "de")
    header = pb.Header()
    header.CopyFrom(verified.header)
    header.attachments_digest = bytes(32)
    with pytest.raises(Refusal) as caught:
        case.decide(replace(verified, header=header), "de")
    assert (caught.value.code, caught.value.field) == (ErrorCode.EXCEEDS_GRANT, "attachments_digest")


def test_report_on_a_test_may_be_as_long_as_its_proofs() -> None:
    case = case_before("test report")
    case.step("test report", body=bytes(1 << 19))


@pytest.mark.parametrize("name", ["order", "court's report", "notice"])
def test_nothing_is_ordered_reported_or_told_otherwise_after_a_refusal(name: str) -> None:
    case = Case()
    for earlier in ("request", "referral"):
        case.step(earlier)
    case.step("decision", **REFUSAL)
    assert refused(case, case.write(name))[0] is ErrorCode.OUT_OF_ORDER
    case.step("notice", **REFUSAL)


def test_refusal_is_told_abroad_with_the_courts_own_ground() -> None:
    case = Case()
    for earlier in ("request", "referral"):
        case.step(earlier)
    case.step("decision", **REFUSAL)
    assert (
        refused(case, case.write("notice", **{**REFUSAL, "ground": NE_BIS, "dual_criminality": VERIFIED}))[0]
        is ErrorCode.OUT_OF_ORDER
    )


def test_real_report_does_not_answer_a_test_order() -> None:
    case = case_before("test report")
    report = case.write("report", cites="test order", recipient=THEIR_REGISTRAR, case_id=TEST_CASE)
    with pytest.raises(Refusal) as caught:
        case.take(report)
    assert caught.value.code is ErrorCode.NOT_PERMITTED


def test_test_is_answered_once() -> None:
    case = case_before("test report")
    case.step("test report")
    assert refused(case, case.write("test report")) == (ErrorCode.OUT_OF_ORDER, "cites[0]")


@pytest.mark.parametrize("name", ["countersignature", "decision"])
def test_what_was_answered_is_not_answered_again(name: str) -> None:
    case = case_before(name)
    case.step(name)
    assert refused(case, case.write(name)) == (ErrorCode.OUT_OF_ORDER, "cites[0]")
    again = {**NOTHING, "ground": RETURNED} if name == "countersignature" else REFUSAL
    assert refused(case, case.write(name, **again)) == (ErrorCode.OUT_OF_ORDER, "cites[0]")


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ("referral", "notice"),
        ("decision", "notice"),
        ("report", "court's report"),
        ("order", "court's report"),
        ("court's report", "report abroad"),
        ("decision", "report abroad"),
    ],
)
def test_nothing_is_told_further_before_it_has_happened(missing: str, name: str) -> None:
    case = Case()
    for earlier in ORDER[: ORDER.index(missing)]:
        case.step(earlier)
    assert refused(case, case.write(name)) == (ErrorCode.OUT_OF_ORDER, "cites[0]")


@pytest.mark.parametrize("name", ["notice", "order"])
def test_court_that_grants_less_binds_all_that_follows(name: str) -> None:
    case = case_before(name, decision={"measures": (BLOCK,), "data_classes": (), "outcome": PARTLY},
                       notice={"measures": (BLOCK,), "data_classes": (), "outcome": PARTLY})  # fmt: skip
    less = {"outcome": PARTLY} if name == "notice" else {}
    for more in ({"measures": (CONVERSION,), "data_classes": ()}, {"measures": (BLOCK,), "data_classes": (WHO,)}):
        assert refused(case, case.write(name, **more, **less))[0] is ErrorCode.EXCEEDS_GRANT
    case.step(name, measures=(BLOCK,), data_classes=(), **less)


@pytest.mark.parametrize("name", ["court's report", "report abroad"])
def test_report_tells_no_more_than_the_report_before_it(name: str) -> None:
    little: dict[str, Any] = {"measures": (BLOCK,), "data_classes": (WHO,), "outcome": PARTLY}
    overrides = {"report": little, "court's report": little}
    case = case_before(name, **overrides)
    assert refused(case, case.write(name, outcome=PARTLY)) == (ErrorCode.EXCEEDS_GRANT, "measures[1]")
    more = {**little, "data_classes": (WHO, MOVES)}
    assert refused(case, case.write(name, **more)) == (ErrorCode.EXCEEDS_GRANT, "data_classes[1]")
    case.step(name, **little)


@pytest.mark.parametrize("name", ["court's report", "report abroad"])
def test_failure_is_not_passed_on_as_a_success_nor_a_success_as_a_failure(name: str) -> None:
    failed: dict[str, Any] = {
        "measures": (),
        "data_classes": (),
        "outcome": ids.OUTCOME_REFUSED,
        "ground": ids.GROUND_IMPOSSIBLE,
    }
    case = case_before(name, **{"report": failed, "court's report": failed})
    beautified = case.write(name, measures=(), data_classes=(), outcome=ids.OUTCOME_GRANTED)
    assert refused(case, beautified) == (ErrorCode.OUT_OF_ORDER, "outcome")
    case.step(name, **failed)
    case = case_before(name)
    assert refused(case, case.write(name, **failed)) == (ErrorCode.OUT_OF_ORDER, "outcome")


@pytest.mark.parametrize(
    ("reported", "allowed"),
    [
        ({ids.OUTCOME_GRANTED}, {ids.OUTCOME_GRANTED}),
        ({ids.OUTCOME_REFUSED}, {ids.OUTCOME_REFUSED}),
        ({ids.OUTCOME_REFUSED, PARTLY}, {PARTLY}),
        ({ids.OUTCOME_REFUSED, ids.OUTCOME_GRANTED}, {PARTLY, ids.OUTCOME_GRANTED}),
    ],
)
def test_several_reports_are_passed_on_as_what_they_come_to(reported: set[Any], allowed: set[Any]) -> None:
    assert row_checks.outcomes_to_report(reported) == allowed


def test_report_abroad_may_join_what_several_courts_reported() -> None:
    case = case_before("report", order={"measures": (BLOCK,)})
    case.step("report", measures=(BLOCK,), data_classes=(WHO,))
    case.step("court's report", measures=(BLOCK,), data_classes=(WHO,))
    second = case.write("order", recipient="de/exchange-2", case_id="DE-ORDER-2", measures=(CONVERSION,))
    case.take(second)
    answer = {"sender": "de/exchange-2", "case_id": "DE-ORDER-2", "cites": [second.ref]}
    case.take(case.write("report", **answer, measures=(CONVERSION,), data_classes=(MOVES,)))
    case.step("court's report", measures=(CONVERSION,), data_classes=(MOVES,))
    case.step("report abroad")


def test_answer_is_owed_under_an_instrument_that_has_ended_since() -> None:
    case = case_before("notice")
    ended = world.instrument(TREATY, "ee", "de", in_force_to=NOW - timedelta(days=1))
    after = DIRECTORY.model_copy(deep=True)
    after._instruments[TREATY] = ended
    assert refused(case, case.write("request"), after)[0] is ErrorCode.NO_LEGAL_BASIS
    assert case.take(case.write("notice"), after)


def test_countersignature_of_a_revoked_central_authority_does_not_count() -> None:
    known = world.everybody()
    known[CENTRAL] = known[CENTRAL].model_copy(update={"status": Status.REVOKED})
    case = Case()
    code, _ = refused(case, case.write("request"), world.make_directory(known.values()))
    assert code is ErrorCode.NOT_COUNTERSIGNED


def test_sender_who_is_a_central_authority_himself_still_needs_another_signature() -> None:
    both = world.participant(INVESTIGATOR, Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY)
    directory = world.make_directory((world.everybody() | {INVESTIGATOR: both}).values())
    case = Case()
    code, _ = refused(case, case.write("request", countersigned_by=()), directory)
    assert code is ErrorCode.NOT_COUNTERSIGNED


def test_both_nodes_decide_by_themselves() -> None:
    sent = Case().write("request", countersigned_by=())
    for here in ("ee", "de"):
        with pytest.raises(Refusal) as caught:
            Case().decide(world.verified(sent, here), here)
        assert caught.value.code is ErrorCode.NOT_COUNTERSIGNED


def test_receiving_node_takes_an_answer_to_a_request_of_its_own_without_the_foreign_chain() -> None:
    case = case_before("notice")
    notice = case.write("notice")
    assert not case.decide(world.verified(notice, "ee"), "ee").marks
    case.stores["ee"] = world.memory_store()
    with pytest.raises(Refusal) as caught:
        case.decide(world.verified(notice, "ee"), "ee")
    assert caught.value.code is ErrorCode.UNKNOWN_CITATION


@pytest.mark.parametrize(
    ("name", "marks"),
    [
        ("countersignature", [("draft", pb.MILESTONE_DECIDED)]),
        ("decision", [("referral", pb.MILESTONE_DECIDED), ("request", pb.MILESTONE_DECIDED)]),
        ("notice", []),
        ("report", [("order", pb.MILESTONE_EXECUTED)]),
        ("court's report", []),
        ("report abroad", [("request", pb.MILESTONE_EXECUTED)]),
        ("test report", []),
    ],
)
def test_step_marks_what_it_answers(name: str, marks: list[tuple[str, pb.Milestone.ValueType]]) -> None:
    case = case_before(name)
    found = [(ref_of(mark.header), mark.milestone) for mark in case.step(name).marks]
    assert found == [(case.sent[marked].ref, milestone) for marked, milestone in marks]
