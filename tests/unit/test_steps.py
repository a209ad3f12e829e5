"""What the clients' library refuses to sign, before any node is asked; see also test_every_step.py."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nacl.utils import random
from opentelemetry.sdk.trace import TracerProvider
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders

from clients.auditor import Auditor
from clients.central_authority import CentralAuthority
from clients.court import Court
from clients.drafting import Drafted
from clients.exchange import Exchange
from clients.intake import Received
from clients.investigator import Investigator
from clients.maildir import Arrival, Folder
from clients.participant import Participant, Parts
from gateway import envelope
from gateway.envelope import Composed, Letter
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.identity import Address
from gateway.transport import TlsIdentity
from tests import paperwork, samples, world
from tests.errors import raises

REFUSED = {"outcome": ids.OUTCOME_REFUSED, "measures": [], "data_classes": []}
ACKNOWLEDGED: Any = samples.complete(ids.KIND_ACKNOWLEDGEMENT)
HOLD = ids.MEASURE_HOLD_INCOMING
TODAY = 1_700_000_000_000_000
YESTERDAY = measures.DataWindow(data_class=paperwork.TRANSACTIONAL, until_us=TODAY)
CONTENT, WHO = ids.DATA_CLASS_CONTENT, ids.DATA_CLASS_SUBSCRIBER


class Cast:
    """Participants who hand each other envelopes without a node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Participant] = {}

    def __getitem__(self, address: str) -> Participant:
        if address not in self.known:
            self.known[address] = Participant(
                Parts(
                    directory=world.DIRECTORY,
                    address=Address.parse(address),
                    tls=TlsIdentity(b"", b""),
                    home=self.folder / address,
                    signing_keys=(world.signing_key(address),),
                    sealing_keys=(world.sealing_key(address),),
                    clock=lambda: world.NOW,
                )
            )
        return self.known[address]

    def receive(self, raw: pb.SignedEnvelope) -> Received:
        (recipient,) = envelope.parse_header(raw).recipients
        return self[recipient].secrets.open(raw)

    def keep(self, raw: pb.SignedEnvelope) -> Received:
        """Receive it, and have it lie there."""
        received = self.receive(raw)
        with self[received.header.recipients[0]].maildir.collecting() as collector:
            collector.put([Arrival(raw, received.ref, received.opened.fingerprint, Folder.NEW)])
        return received

    def drafted(self, sender: str = world.INVESTIGATOR, **changes: Any) -> Drafted:
        fields: dict[str, Any] = {
            "to": world.FOREIGN_CENTRAL,
            "via": world.CENTRAL,
            "case_id": "EE-1",
            "instrument": world.TREATY,
            "measures": [paperwork.BLOCK],
            "data_classes": [paperwork.TRANSACTIONAL],
        }
        request = changes.pop("request", None) or paperwork.request()
        return Investigator(self[sender]).draft_freeze(request, **fields | changes)

    def draft(self) -> Received:
        return self.receive(self.drafted().draft.envelope)

    def request(self, **changes: Any) -> Received:
        drafted = self.drafted(request=paperwork.request(**changes))
        draft = self.receive(drafted.draft.envelope)
        answer = self.receive(CentralAuthority(self[world.CENTRAL]).countersign(draft).envelope)
        return self.receive(Investigator(self[world.INVESTIGATOR]).add_countersignature(answer))

    def referral(self) -> Received:
        referred = CentralAuthority(self[world.FOREIGN_CENTRAL]).refer(self.request(), court=world.FOREIGN_COURT)
        return self.receive(referred.envelope)

    def decision(self, **changes: Any) -> Received:
        made = Court(self[world.FOREIGN_COURT]).decide(self.referral(), paperwork.decision(**changes))
        return self.receive(made.envelope)

    def in_emergency(self, data_classes: Sequence[ids.DataClass.ValueType] = (WHO,), **changes: Any) -> Composed:
        request: Any = samples.complete(ids.KIND_EVIDENCE_REQUEST)
        request.data_classes[:] = data_classes
        for name, value in changes.items():
            setattr(request, name, value)
        return Investigator(self[world.INVESTIGATOR]).ask_in_emergency(
            request, to=world.FOREIGN_CENTRAL, case_id="EE-1", instrument="other-kind"
        )

    def order(self, **changes: Any) -> Received:
        fields: dict[str, Any] = {"exchange": world.FOREIGN_EXCHANGE, "case_id": "DE-7", **changes}
        document = fields.pop("document", None) or paperwork.order()
        made = Court(self[world.FOREIGN_COURT]).order(self.decision().header, document, **fields)
        return self.receive(made.envelope)

    def report(self) -> Received:
        answered = Exchange(self[world.FOREIGN_EXCHANGE]).answer(
            self.order(), [paperwork.result(frozen=[paperwork.bitcoin("5")])], [paperwork.transaction()]
        )
        return self.receive(answered.envelope)


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return Cast(tmp_path)


def redraft(request: pb.SignedEnvelope, salt: bytes, body: bytes, sender: str = world.INVESTIGATOR) -> Received:
    """A draft that its sender's library would not have made, as it arrives."""
    header = envelope.parse_header(request)
    document = orders.Draft(envelope=request, salt=salt, body=body)
    made = envelope.compose(
        Letter(
            ids.KIND_DRAFT,
            sender,
            (world.CENTRAL,),
            header.case_id,
            measures=tuple(header.measures),
            data_classes=tuple(header.data_classes),
        ),
        document.SerializeToString(),
        signing_key=world.signing_key(sender),
        reader_keys=[bytes(world.sealing_key(world.CENTRAL).public_key)],
        now=world.NOW,
        random=random,
    )
    opened = envelope.open_envelope(made.envelope, world.CENTRAL, [world.sealing_key(world.CENTRAL)])
    return Received(made.envelope, opened, document)


def crafted(
    *, shown: certificates.FreezeRequest | None = None, sender: str = world.INVESTIGATOR, **changes: Any
) -> Received:
    """A draft around a request of any kind."""
    body = documents.encode(paperwork.request())
    fields: dict[str, Any] = {
        "measures": (paperwork.BLOCK,),
        "data_classes": (paperwork.TRANSACTIONAL,),
        "countersigned_by": (),
        "body": body,
    }
    to = changes.pop("to", world.FOREIGN_CENTRAL)
    spoil = changes.pop("spoil", None)
    kind = changes.pop("kind", ids.KIND_FREEZE_REQUEST)
    sent = world.send(kind, sender, *to.split(), **{"instrument": world.TREATY} | fields | changes)
    if spoil is not None:
        spoil(sent.envelope)
    return redraft(sent.envelope, sent.salt, documents.encode(shown) if shown else body, sender)


def spoil_signature(raw: pb.SignedEnvelope) -> None:
    raw.signatures[0].signature = bytes(64)


def spoil_payload(raw: pb.SignedEnvelope) -> None:
    raw.sealed_payload += b"x"


TRAPS: dict[str, tuple[dict[str, Any], ErrorCode]] = {
    "shows one text, carries another": (
        {"shown": paperwork.request(grounds="harmless")},
        ErrorCode.CONTENT_MISMATCH,
    ),
    "asks in the header for more than in the text": ({"data_classes": (CONTENT,)}, ErrorCode.CONTENT_MISMATCH),
    "goes to a central authority at home": ({"to": "ee/central-authority-2"}, ErrorCode.NOT_PERMITTED),
    "goes to an exchange abroad": ({"to": world.FOREIGN_EXCHANGE}, ErrorCode.NOT_PERMITTED),
    "goes to two": ({"to": f"{world.FOREIGN_CENTRAL} fr/central-authority"}, ErrorCode.NOT_PERMITTED),
    "names a treaty that has ended": ({"instrument": "ended"}, ErrorCode.NO_LEGAL_BASIS),
    "names no treaty": ({"instrument": ""}, ErrorCode.NO_LEGAL_BASIS),
    "has a forged signature": ({"spoil": spoil_signature}, ErrorCode.BAD_SIGNATURE),
    "has another payload": ({"spoil": spoil_payload}, ErrorCode.BAD_SIGNATURE),
    "has expired": ({"expires_at": world.NOW}, ErrorCode.STALE),
    "is no request": ({"kind": ids.KIND_DOMESTIC_ORDER}, ErrorCode.CONTENT_MISMATCH),
    "comes from a court": ({"sender": world.COURT}, ErrorCode.NOT_PERMITTED),
}


@pytest.mark.parametrize(("changes", "code"), TRAPS.values(), ids=TRAPS)
def test_central_authority_does_not_countersign_a_request_that(
    cast: Cast, changes: dict[str, Any], code: ErrorCode
) -> None:
    with pytest.raises(Refusal) as caught:
        CentralAuthority(cast[world.CENTRAL]).countersign(crafted(**changes))
    assert caught.value.code is code


@pytest.mark.parametrize("changes", [{}, {"expires_at": world.NOW + timedelta(microseconds=1)}])
def test_same_draft_without_a_trap_is_countersigned(cast: Cast, changes: dict[str, Any]) -> None:
    answer = CentralAuthority(cast[world.CENTRAL]).countersign(crafted(**changes))
    assert answer.header.outcome == ids.OUTCOME_GRANTED


def test_countersigned_request_verifies_and_is_what_the_investigator_signed(cast: Cast) -> None:
    drafted = cast.drafted()
    draft = cast.receive(drafted.draft.envelope)
    answer = cast.receive(CentralAuthority(cast[world.CENTRAL]).countersign(draft).envelope)
    complete = Investigator(cast[world.INVESTIGATOR]).add_countersignature(answer)
    proven = Auditor(world.DIRECTORY).envelope(complete.SerializeToString())
    assert proven.signers == (world.INVESTIGATOR, world.CENTRAL)
    assert complete.header == drafted.request.header


def test_returned_draft_is_no_countersignature(cast: Cast) -> None:
    draft = cast.draft()
    answer = cast.receive(CentralAuthority(cast[world.CENTRAL]).return_draft(draft, "the facts are missing").envelope)
    assert answer.header.ground == ids.GROUND_RETURNED_FOR_CORRECTION
    with pytest.raises(Refusal) as caught:
        Investigator(cast[world.INVESTIGATOR]).add_countersignature(answer)
    assert caught.value.code is ErrorCode.NOT_COUNTERSIGNED


def test_draft_is_not_returned_without_a_reason(cast: Cast) -> None:
    with pytest.raises(Refusal) as caught:
        CentralAuthority(cast[world.CENTRAL]).return_draft(cast.draft(), "")
    assert caught.value.code is ErrorCode.CONTENT_MISMATCH


def test_countersignature_for_another_request_is_not_attached(cast: Cast) -> None:
    one, other = cast.drafted(), cast.drafted(case_id="EE-2")
    draft = cast.receive(one.draft.envelope)
    answer = cast.receive(CentralAuthority(cast[world.CENTRAL]).countersign(draft).envelope)
    with pytest.raises(Refusal) as caught:
        Investigator(cast[world.INVESTIGATOR]).add_countersignature(answer, other.request)
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_countersignature_that_nobody_waits_for_is_not_found(cast: Cast, tmp_path: Path) -> None:
    answer = cast.receive(CentralAuthority(cast[world.CENTRAL]).countersign(cast.draft()).envelope)
    with pytest.raises(Refusal) as caught:
        Investigator(Cast(tmp_path / "another disk")[world.INVESTIGATOR]).add_countersignature(answer)
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_nobody_signs_with_a_key_that_is_not_trusted_now_even_what_was_made_while_it_was(cast: Cast) -> None:
    address = world.INVESTIGATOR
    stolen = world.signing_entry(address, not_trusted_after=world.NOW)
    entry = world.everybody()[address].model_copy(update={"signing_keys": (stolen,)})
    me = Participant(replace(cast[address].parts, directory=world.make_directory([entry])))
    with raises(ErrorCode.KEY_REVOKED):
        me.signing_key_at(world.NOW - timedelta(hours=1))


STEPS: dict[str, tuple[Callable[[Cast], object], ErrorCode]] = {
    "a request to a court abroad": (lambda c: c.drafted(to=world.FOREIGN_COURT), ErrorCode.NOT_PERMITTED),
    "a request at home": (lambda c: c.drafted(to="ee/central-authority-2"), ErrorCode.NOT_PERMITTED),
    "a draft to a foreign authority": (lambda c: c.drafted(via=world.FOREIGN_CENTRAL), ErrorCode.NOT_PERMITTED),
    "a request by a court": (lambda c: c.drafted(world.COURT), ErrorCode.NOT_PERMITTED),
    "a request without a treaty": (lambda c: c.drafted(instrument="none"), ErrorCode.NO_LEGAL_BASIS),
    "a request under a treaty with others": (lambda c: c.drafted(instrument="other-states"), ErrorCode.NO_LEGAL_BASIS),
    "a request for nothing": (lambda c: c.drafted(measures=[]), ErrorCode.OUT_OF_ORDER),
    "a referral of a request that is not countersigned": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).refer(
            c.receive(c.drafted().request), court=world.FOREIGN_COURT
        ),
        ErrorCode.NOT_COUNTERSIGNED,
    ),
    "a referral to a court abroad": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).refer(c.request(), court=world.COURT),
        ErrorCode.NOT_PERMITTED,
    ),
    "a referral of more than was asked": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).refer(
            c.request(), court=world.FOREIGN_COURT, data_classes=[CONTENT]
        ),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a referral of a decision": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).refer(c.decision(), court=world.FOREIGN_COURT),
        ErrorCode.OUT_OF_ORDER,
    ),
    "a decision beyond the referral": (lambda c: c.decision(measures=[paperwork.BLOCK, HOLD]), ErrorCode.EXCEEDS_GRANT),
    "a refusal without a ground": (lambda c: c.decision(**REFUSED), ErrorCode.OUT_OF_ORDER),
    "a refusal that grants": (
        lambda c: c.decision(outcome=ids.OUTCOME_REFUSED, ground=ids.GROUND_NE_BIS_IN_IDEM),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a grant with a ground": (lambda c: c.decision(ground=ids.GROUND_NE_BIS_IN_IDEM), ErrorCode.OUT_OF_ORDER),
    "a grant of nothing": (lambda c: c.decision(measures=[], data_classes=[]), ErrorCode.OUT_OF_ORDER),
    "a grant that does not say why it is a crime here": (
        lambda c: c.decision(dual_criminality=ids.DUAL_CRIMINALITY_UNSPECIFIED),
        ErrorCode.OUT_OF_ORDER,
    ),
    "a grant of what is no crime here": (
        lambda c: c.decision(dual_criminality=ids.DUAL_CRIMINALITY_ABSENT),
        ErrorCode.OUT_OF_ORDER,
    ),
    "a notice of what the treaty does not leave untested": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).notify_decision(
            c.request(), c.decision(dual_criminality=ids.DUAL_CRIMINALITY_NOT_REQUIRED)
        ),
        ErrorCode.NO_LEGAL_BASIS,
    ),
    "a request for evidence that nobody countersigns, in no emergency": (
        lambda c: c.in_emergency(emergency=assistance.EMERGENCY_THREAT_UNSPECIFIED),
        ErrorCode.NOT_COUNTERSIGNED,
    ),
    "an emergency request for more than who somebody is": (
        lambda c: c.in_emergency(data_classes=[CONTENT]),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "an acknowledgement by another authority than was asked": (
        lambda c: CentralAuthority(c["de/central-authority-2"]).acknowledge(c.request(), ACKNOWLEDGED),
        ErrorCode.OUT_OF_ORDER,
    ),
    "an order in the foreign case": (lambda c: c.order(case_id="EE-1"), ErrorCode.OUT_OF_ORDER),
    "an order to an exchange abroad": (lambda c: c.order(exchange=world.EXCHANGE), ErrorCode.NOT_PERMITTED),
    "an order beyond the decision": (
        lambda c: c.order(document=paperwork.order(data_classes=[CONTENT])),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "an order for nothing": (
        lambda c: c.order(document=paperwork.order(measures=[], data_classes=[])),
        ErrorCode.OUT_OF_ORDER,
    ),
    "an order on somebody else's decision": (
        lambda c: Court(c["de/court-2"]).order(
            c.decision().header, paperwork.order(), exchange=world.FOREIGN_EXCHANGE, case_id="DE-7"
        ),
        ErrorCode.OUT_OF_ORDER,
    ),
    "an order on a refusal": (
        lambda c: Court(c[world.FOREIGN_COURT]).order(
            c.decision(**REFUSED, ground=ids.GROUND_NE_BIS_IN_IDEM).header,
            paperwork.order(),
            exchange=world.FOREIGN_EXCHANGE,
            case_id="DE-7",
        ),
        ErrorCode.OUT_OF_ORDER,
    ),
    "an answer for another wallet": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).answer(
            c.order(), [paperwork.result(of=paperwork.wallet("12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx"))]
        ),
        ErrorCode.CONTENT_MISMATCH,
    ),
    "an answer without a result": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).answer(c.order(), []),
        ErrorCode.CONTENT_MISMATCH,
    ),
    "an answer with data that was not ordered": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).answer(c.order(), [paperwork.result()], data_classes=[CONTENT]),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "an answer with records where none were ordered": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).answer(
            c.order(document=paperwork.order(data_classes=[])), [paperwork.result()], [paperwork.transaction()]
        ),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "an answer with records under another class": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).answer(
            c.order(), [paperwork.result()], [paperwork.transaction()], data_classes=[]
        ),
        ErrorCode.CONTENT_MISMATCH,
    ),
    "an exchange's answer to a decision": (
        lambda c: Exchange(c[world.FOREIGN_CENTRAL]).answer(c.decision(), [paperwork.result()]),
        ErrorCode.OUT_OF_ORDER,
    ),
    "a disclosure of another time than was ordered": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).disclose(c.order(document=of_yesterday()), records()),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a report with records of another time than was ordered": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).report(
            c.order(document=of_yesterday()), paperwork.report(transactions=records().transactions)
        ),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a disclosure abroad of another time than was asked": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).disclose(c.request(windows=[YESTERDAY]), records()),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a disclosure on a decision": (
        lambda c: Exchange(c[world.FOREIGN_EXCHANGE]).disclose(c.decision(), records()),
        ErrorCode.OUT_OF_ORDER,
    ),
    "a report that adds a record": (
        lambda c: report_home(c, paperwork.report(transactions=[paperwork.transaction("ff" * 32)])),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a report that freezes more": (
        lambda c: report_home(c, paperwork.report(results=[paperwork.result(frozen=[paperwork.bitcoin("6")])])),
        ErrorCode.EXCEEDS_GRANT,
    ),
    "a report on nothing": (
        lambda c: Court(c[world.FOREIGN_COURT]).report_to_central_authority(
            c.decision().header, paperwork.report(), rests_on=[]
        ),
        ErrorCode.OUT_OF_ORDER,
    ),
    "a report abroad that rests on no court": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).report_abroad(
            c.request(), paperwork.report(), rests_on=[c.report()]
        ),
        ErrorCode.NOT_PERMITTED,
    ),
    "a notice of a decision by no court": (
        lambda c: CentralAuthority(c[world.FOREIGN_CENTRAL]).notify_decision(c.request(), c.request()),
        ErrorCode.NOT_PERMITTED,
    ),
}


def of_yesterday() -> orders.DomesticOrder:
    return paperwork.order(windows=[YESTERDAY])


def records() -> orders.Disclosure:
    """Of today, and without a word of what time they are."""
    made = orders.Disclosure(order_number="1", data_classes=[paperwork.TRANSACTIONAL])
    made.fields.add(data_class=paperwork.TRANSACTIONAL, name="all", answer=orders.FIELD_ANSWER_SUPPLIED)
    made.transactions.append(paperwork.transaction())
    made.transactions[0].block_hash = "ab" * 32
    made.transactions[0].block_time_us = TODAY
    return made


def report_home(cast: Cast, report: orders.ExecutionReport) -> object:
    return Court(cast[world.FOREIGN_COURT]).report_to_central_authority(
        cast.decision().header, report, rests_on=[cast.report()]
    )


@pytest.mark.parametrize(("step", "code"), STEPS.values(), ids=STEPS)
def test_nobody_signs(cast: Cast, step: Callable[[Cast], object], code: ErrorCode) -> None:
    with pytest.raises(Refusal) as caught:
        step(cast)
    assert caught.value.code is code


def test_report_may_leave_out_and_stays_lawful(cast: Cast) -> None:
    report = paperwork.report(transactions=[], data_classes=[])
    made = Court(cast[world.FOREIGN_COURT]).report_to_central_authority(
        cast.decision().header, report, rests_on=[cast.report()]
    )
    assert list(made.header.data_classes) == []
    assert cast.receive(made.envelope).document == report


@pytest.mark.parametrize(
    ("status", "supplied", "outcome", "ground"),
    [
        (orders.FREEZE_STATUS_FROZEN, False, ids.OUTCOME_GRANTED, ids.GROUND_UNSPECIFIED),
        (orders.FREEZE_STATUS_ALREADY_FROZEN, False, ids.OUTCOME_GRANTED, ids.GROUND_UNSPECIFIED),
        (orders.FREEZE_STATUS_PARTIALLY_FROZEN, False, ids.OUTCOME_PARTLY_GRANTED, ids.GROUND_UNSPECIFIED),
        (orders.FREEZE_STATUS_ALREADY_MOVED, True, ids.OUTCOME_PARTLY_GRANTED, ids.GROUND_UNSPECIFIED),
        (orders.FREEZE_STATUS_ALREADY_MOVED, False, ids.OUTCOME_REFUSED, ids.GROUND_IMPOSSIBLE),
        (orders.FREEZE_STATUS_NOT_FOUND, False, ids.OUTCOME_REFUSED, ids.GROUND_IMPOSSIBLE),
    ],
)
def test_outcome_of_an_answer_follows_from_its_results(
    cast: Cast,
    status: orders.FreezeStatus.ValueType,
    supplied: bool,
    outcome: ids.Outcome.ValueType,
    ground: ids.Ground.ValueType,
) -> None:
    records = [paperwork.transaction()] if supplied else []
    made = Exchange(cast[world.FOREIGN_EXCHANGE]).answer(cast.order(), [paperwork.result(status)], records)
    assert (made.header.outcome, made.header.ground) == (outcome, ground)
    assert bool(made.header.measures) == (status in documents.FROZEN)
    assert cast.receive(made.envelope).document.ByteSize() > 0


def test_nobody_signs_in_the_name_of_another(cast: Cast) -> None:
    letter = Letter(ids.KIND_DOMESTIC_ORDER, world.COURT, (world.EXCHANGE,), "EE-1", measures=(paperwork.BLOCK,))
    with pytest.raises(Refusal) as caught:
        cast["ee/court-2"].compose(letter, paperwork.order(data_classes=[]))
    assert caught.value.code is ErrorCode.NOT_PERMITTED


def test_header_carries_the_trace_of_its_composing_if_there_is_a_tracer(cast: Cast, tmp_path: Path) -> None:
    traced = Participant(replace(cast[world.COURT].parts, tracer=TracerProvider().get_tracer("test")))
    letter = Letter(ids.KIND_DOMESTIC_ORDER, world.COURT, (world.EXCHANGE,), "EE-1", measures=(paperwork.BLOCK,))
    document = paperwork.order(data_classes=[])
    assert traced.compose(letter, document).header.traceparent.startswith("00-")
    assert cast[world.COURT].compose(letter, document).header.traceparent == ""


def test_auditor_refuses_a_receipt_about_another_envelope_and_a_text_that_was_not_signed(cast: Cast) -> None:
    auditor = Auditor(world.DIRECTORY)
    received = cast.order()
    proven = auditor.envelope(received.envelope.SerializeToString())
    assert auditor.disclosed(proven, received.opened.salt, received.opened.body) == paperwork.order()
    with pytest.raises(Refusal) as caught:
        auditor.disclosed(proven, received.opened.salt, documents.encode(paperwork.order(lapses_by_itself=True)))
    assert caught.value.code is ErrorCode.CONTENT_MISMATCH
    with pytest.raises(Refusal) as caught:
        auditor.receipt(b"", proven)
    assert caught.value.code is ErrorCode.BAD_RECEIPT


def test_auditor_reads_files_and_refuses_forged_ones(cast: Cast, tmp_path: Path) -> None:
    raw = cast.order().envelope
    (tmp_path / "envelope").write_bytes(raw.SerializeToString())
    assert Auditor(world.DIRECTORY).envelope(tmp_path / "envelope").signers == (world.FOREIGN_COURT,)
    raw.signatures[0].signature = bytes(64)
    for source, code in (
        (raw.SerializeToString(), ErrorCode.BAD_SIGNATURE),
        (b"hello", ErrorCode.MALFORMED),
        (tmp_path / "nothing", ErrorCode.BAD_INPUT),
    ):
        with pytest.raises(Refusal) as caught:
            Auditor(world.DIRECTORY).envelope(source)
        assert caught.value.code is code


def test_expiry_travels_in_both_headers_of_a_draft(cast: Cast) -> None:
    until = world.NOW + timedelta(days=2)
    drafted = cast.drafted(expires_at=until)
    assert envelope.parse_header(drafted.request).expires_at_us == drafted.draft.header.expires_at_us > 0


def test_court_orders_and_passes_on_data_of_no_other_time_than_was_asked(cast: Cast) -> None:
    asked = cast.request(windows=[YESTERDAY])
    referred = CentralAuthority(cast[world.FOREIGN_CENTRAL]).refer(asked, court=world.FOREIGN_COURT)
    court = Court(cast[world.FOREIGN_COURT])
    decided = cast.receive(court.decide(cast.keep(referred.envelope), paperwork.decision()).envelope).header
    to: dict[str, Any] = {"exchange": world.FOREIGN_EXCHANGE, "case_id": "DE-7"}
    steps: tuple[Callable[[], Composed], ...] = (
        lambda: court.order(decided, paperwork.order(), **to),
        lambda: court.disclose(decided, records()),
    )
    for tried in steps:
        with pytest.raises(Refusal) as caught:
            tried()
        assert caught.value.code is ErrorCode.EXCEEDS_GRANT
    court.order(decided, of_yesterday(), **to)
    court.order(decided, paperwork.order(data_classes=[]), **to)
