"""The steps of a freeze between two States, one method a step, for each kind of authority.

In: documents and what was received. Out: `Composed` envelopes with the citations, case ids, instrument and outcome that
the procedure asks of that step. What the node would refuse and what is evident here is refused here, before anything is
signed, with the same codes: NOT_PERMITTED, OUT_OF_ORDER, NOT_COUNTERSIGNED, NO_LEGAL_BASIS, EXCEEDS_GRANT.
The node decides all the same, by what is recorded: passing here promises nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from google.protobuf.message import Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1.certificates_pb2 import FreezeRequest

from clients.intake import Received
from clients.participant import Participant
from gateway import envelope
from gateway.clock import from_micros
from gateway.envelope import Composed, Letter
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.formats.documents import Document
from gateway.identity import Address, Role

D = TypeVar("D", bound=Message)

Measures = Sequence[ids.Measure.ValueType]
DataClasses = Sequence[ids.DataClass.ValueType]

GRANTS: Final = frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED})


@dataclass(frozen=True, slots=True)
class Drafted:
    """A request that waits for its countersignature, and the draft that asks for it. Submit the draft."""

    request: pb.SignedEnvelope
    draft: Composed


class Investigator:
    """Asks another State for a freeze, with its own central authority's countersignature."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant

    def draft_freeze(
        self,
        request: FreezeRequest,
        *,
        to: str,
        via: str,
        case_id: str,
        instrument: str,
        measures: Measures,
        data_classes: DataClasses = (),
        expires_at: datetime | None = None,
    ) -> Drafted:
        """Seal and sign a request to `to`, and put it into a draft to `via`; the request is kept on our disk.

        Args:
            request: what is asked; its measures and data classes are set to those given here, and it is urgent if its
                section B says so.
            to: address of the foreign central authority.
            via: address of the own central authority, which countersigns.
            case_id: our reference, which goes abroad.
            instrument: id in the directory of the treaty or law relied on.
            measures: what is asked for, one at least.
            data_classes: records asked for.
            expires_at: when the request loses its meaning undelivered.

        Raises:
            Refusal: NOT_PERMITTED, an addressee is not such an authority; NO_LEGAL_BASIS; OUT_OF_ORDER, no measure;
                CONTENT_MISMATCH.
        """
        me = self._participant
        _check_role(me, me.address, Role.INVESTIGATOR)
        _check_role(me, to, Role.CENTRAL_AUTHORITY, abroad=True)
        _check_role(me, via, Role.CENTRAL_AUTHORITY)
        _check_in_force(me, instrument, to, me.parts.clock())
        _check_measures(measures)
        asked = FreezeRequest()
        asked.CopyFrom(request)
        asked.measures[:] = measures
        asked.data_classes[:] = data_classes
        urgency = ids.URGENCY_URGENT if asked.urgency.grounds else ids.URGENCY_ORDINARY

        def letter(kind: ids.Kind.ValueType, recipient: str, law: str) -> Letter:
            return Letter(
                kind=kind,
                sender=me.address,
                recipients=(recipient,),
                case_id=case_id,
                instrument=law,
                measures=tuple(measures),
                data_classes=tuple(data_classes),
                urgency=urgency,
                expires_at=expires_at,
            )

        sealed = me.compose(letter(ids.KIND_FREEZE_REQUEST, to, instrument), asked)
        carried = orders.Draft(envelope=sealed.envelope, salt=sealed.salt, body=documents.encode(asked))
        draft = me.compose(letter(ids.KIND_DRAFT, via, ""), carried)
        me.maildir.keep_draft(envelope.ref_of(draft.header), sealed.envelope)
        return Drafted(sealed.envelope, draft)

    def add_countersignature(self, answer: Received, request: pb.SignedEnvelope | None = None) -> pb.SignedEnvelope:
        """Return the request with the countersignature that came for its draft, ready to be submitted.

        1. The answer cites a draft of ours, whose request is given, or kept on our disk.
        2. It is no return of the draft.
        3. The signer is who answers: a central authority of our own country.
        4. All signatures over the request's header hold, the new one too.

        Raises:
            Refusal: NOT_FOUND, no such draft; NOT_COUNTERSIGNED, returned; NOT_PERMITTED; BAD_SIGNATURE or KEY_REVOKED.
        """
        me = self._participant
        answered = _document(answer, orders.Countersignature)
        request = request or me.maildir.draft(_cited(answer.header))  # (1)
        if request is None:
            raise Refusal(ErrorCode.NOT_FOUND, "no request of ours waits for this countersignature", "cites[0]")
        if not answered.HasField("signature"):  # (2)
            raise Refusal(ErrorCode.NOT_COUNTERSIGNED, "the draft was returned; the document tells why", "reason")
        if answered.signature.signer != answer.header.sender:  # (3)
            raise Refusal(ErrorCode.NOT_PERMITTED, "signed by another than who answers", "signature.signer")
        _check_role(me, answered.signature.signer, Role.CENTRAL_AUTHORITY)
        complete = envelope.with_signature(request, answered.signature)
        envelope.verify(complete, envelope.parse_header(complete), me.directory.signing_key)  # (4)
        return complete


class CentralAuthority:
    """Countersigns what goes abroad; refers what comes from abroad, and answers it."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant

    def countersign(self, received: Received) -> Composed:
        """Answer a draft with our signature over its request's header.

        1. It is a draft by an investigator of our own country.
        2. The request's signatures hold; its payload and slots are those that were signed.
        3. The request goes to one central authority abroad, and an instrument covers it.
        4. It has not expired.
        5. Its header commits to the body that we can read, and says what the body says.

        Raises:
            Refusal: NOT_PERMITTED, BAD_SIGNATURE, KEY_REVOKED, NO_LEGAL_BASIS, STALE or CONTENT_MISMATCH; return it.
        """
        me = self._participant
        draft = _document(received, orders.Draft)
        _check_role(me, received.header.sender, Role.INVESTIGATOR)  # (1)
        request = envelope.parse_header(draft.envelope)
        envelope.verify(draft.envelope, request, me.directory.signing_key)  # (2)
        if len(request.recipients) != 1:  # (3)
            raise Refusal(ErrorCode.NOT_PERMITTED, "an envelope has one recipient", "recipients")
        _check_role(me, request.recipients[0], Role.CENTRAL_AUTHORITY, abroad=True)
        _check_in_force(me, request.instrument, request.recipients[0], from_micros(request.created_at_us))
        if request.HasField("expires_at_us") and from_micros(request.expires_at_us) <= me.parts.clock():  # (4)
            raise Refusal(ErrorCode.STALE, "the request has expired", "expires_at_us")
        documents.check_against_header(received.header, draft)  # (5)
        key = me.signing_key_at(from_micros(request.created_at_us))  # it may be older than our newest key
        signature = envelope.countersign(draft.envelope, me.address, key)
        answer = orders.Countersignature(signature=signature)
        return me.compose(_answer_to(received, ids.KIND_COUNTERSIGNATURE, outcome=ids.OUTCOME_GRANTED), answer)

    def return_draft(self, received: Received, reason: str) -> Composed:
        """Answer a draft without our signature, and say why.

        Raises:
            Refusal: OUT_OF_ORDER, it is no draft; CONTENT_MISMATCH, there is no reason.
        """
        _document(received, orders.Draft)
        letter = _answer_to(
            received,
            ids.KIND_COUNTERSIGNATURE,
            outcome=ids.OUTCOME_REFUSED,
            ground=ids.GROUND_RETURNED_FOR_CORRECTION,
        )
        return self._participant.compose(letter, orders.Countersignature(reason=reason))

    def refer(
        self,
        received: Received,
        *,
        court: str,
        remarks: str = "",
        case_id: str = "",
        measures: Measures | None = None,
        data_classes: DataClasses | None = None,
    ) -> Composed:
        """Put a foreign request before a court of our own.

        Args:
            received: the request.
            court: address of the court.
            remarks: ours, for the court.
            case_id: for the court; by default the request's.
            measures: by default all that are asked.
            data_classes: by default all that are asked.

        Raises:
            Refusal: NOT_COUNTERSIGNED, the request lacks its own central authority's signature; NOT_PERMITTED, no court
                of ours; EXCEEDS_GRANT, more than is asked.
        """
        me, asked = self._participant, received.header
        request = _document(received, FreezeRequest)
        _check_countersigned(me, received)
        _check_role(me, court, Role.COURT)
        measures = asked.measures if measures is None else measures
        data_classes = asked.data_classes if data_classes is None else data_classes
        _check_measures(measures)
        documents.check_within(measures, asked.measures, "the request", "measures")
        documents.check_within(data_classes, asked.data_classes, "the request", "data_classes")
        letter = Letter(
            kind=ids.KIND_REVIEW_REFERRAL,
            sender=me.address,
            recipients=(court,),
            case_id=case_id or asked.case_id,
            cites=(received.ref,),
            measures=tuple(measures),
            data_classes=tuple(data_classes),
            urgency=asked.urgency,
        )
        return me.compose(letter, orders.ReviewReferral(freeze=request, remarks=remarks))

    def notify_decision(self, request: Received, decision: Received) -> Composed:
        """Pass our court's decision on to the authority abroad that asked.

        Raises:
            Refusal: NOT_PERMITTED, the decision is by no court of ours; EXCEEDS_GRANT, it goes beyond the request.
        """
        _check_role(self._participant, decision.header.sender, Role.COURT)
        document = _document(decision, orders.ReviewDecision)
        _document(request, FreezeRequest)
        return self._abroad(request, ids.KIND_REVIEW_DECISION, document, document.outcome, document.ground)

    def report_abroad(
        self,
        request: Received,
        report: orders.ExecutionReport,
        *,
        rests_on: Sequence[Received],
        ground: ids.Ground.ValueType = ids.GROUND_UNSPECIFIED,
    ) -> Composed:
        """Report to the authority abroad that asked what was executed.

        Args:
            request: what it asked.
            report: what we tell; it may leave out, and never add.
            rests_on: the reports of our courts.
            ground: why not, unless everything was executed.

        Raises:
            Refusal: EXCEEDS_GRANT, it tells what no court reported, or goes beyond the request; OUT_OF_ORDER, the
                ground does not fit the outcome.
        """
        _document(request, FreezeRequest)
        for each in rests_on:
            _check_role(self._participant, each.header.sender, Role.COURT)
        _check_told(report, rests_on)
        return self._abroad(request, ids.KIND_EXECUTION_REPORT, report, report.outcome, ground)

    def _abroad(
        self,
        request: Received,
        kind: ids.Kind.ValueType,
        document: orders.ReviewDecision | orders.ExecutionReport,
        outcome: ids.Outcome.ValueType,
        ground: ids.Ground.ValueType,
    ) -> Composed:
        letter = _answer_to(request, kind, outcome, ground, document)
        return self._participant.compose(letter, document)


class Court:
    """Decides on what its central authority refers, orders exchanges of its own country, reports back."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant

    def decide(self, referral: Received, decision: orders.ReviewDecision) -> Composed:
        """Decide on a referral.

        Raises:
            Refusal: OUT_OF_ORDER, outcome, ground and measures do not fit together; EXCEEDS_GRANT, more than was
                referred; CONTENT_MISMATCH.
        """
        _document(referral, orders.ReviewReferral)
        letter = _answer_to(referral, ids.KIND_REVIEW_DECISION, decision.outcome, decision.ground, decision)
        if decision.outcome != ids.OUTCOME_REFUSED:
            _check_measures(decision.measures)
        return self._participant.compose(letter, decision)

    def order(self, decision: pb.Header, order: orders.DomesticOrder, *, exchange: str, case_id: str) -> Composed:
        """Order an exchange of our own country to do what we decided.

        Args:
            decision: the header of our decision.
            order: what to do, and nothing of the foreign case.
            exchange: address of the exchange. For another one, make another order.
            case_id: of its own, so that it tells nothing of the case behind it.

        Raises:
            Refusal: NOT_PERMITTED, no exchange of ours; OUT_OF_ORDER, the decision is not our grant, or the case id is
                its; EXCEEDS_GRANT, more than was decided.
        """
        me = self._participant
        _check_own_grant(me, decision)
        _check_role(me, exchange, Role.EXCHANGE)
        if case_id == decision.case_id:
            raise Refusal(ErrorCode.OUT_OF_ORDER, "it needs a case id of its own", "case_id")
        _check_measures(order.measures)
        documents.check_within(order.measures, decision.measures, "the decision", "measures")
        documents.check_within(order.data_classes, decision.data_classes, "the decision", "data_classes")
        letter = Letter(
            kind=ids.KIND_DOMESTIC_ORDER,
            sender=me.address,
            recipients=(exchange,),
            case_id=case_id,
            cites=(envelope.ref_of(decision),),
            measures=tuple(order.measures),
            data_classes=tuple(order.data_classes),
            urgency=decision.urgency,
        )
        return me.compose(letter, order)

    def report_to_central_authority(
        self,
        decision: pb.Header,
        report: orders.ExecutionReport,
        *,
        rests_on: Sequence[Received],
        ground: ids.Ground.ValueType = ids.GROUND_UNSPECIFIED,
    ) -> Composed:
        """Report to our central authority what the exchanges executed.

        Args:
            decision: the header of our decision.
            report: what we tell; it may leave out, and never add.
            rests_on: the reports of the exchanges.
            ground: why not, unless everything was executed.

        Raises:
            Refusal: OUT_OF_ORDER, the decision is not our grant, or the ground does not fit; EXCEEDS_GRANT, it tells
                what no exchange reported, or goes beyond the decision.
        """
        me = self._participant
        _check_own_grant(me, decision)
        _check_told(report, rests_on)
        _check_outcome(report.outcome, ground, report.measures, report.data_classes)
        documents.check_within(report.measures, decision.measures, "the decision", "measures")
        documents.check_within(report.data_classes, decision.data_classes, "the decision", "data_classes")
        letter = Letter(
            kind=ids.KIND_EXECUTION_REPORT,
            sender=me.address,
            recipients=tuple(decision.recipients),
            case_id=decision.case_id,
            cites=(envelope.ref_of(decision),),
            outcome=report.outcome,
            ground=ground,
            measures=tuple(report.measures),
            data_classes=tuple(report.data_classes),
            urgency=decision.urgency,
        )
        return me.compose(letter, report)


def _answer_to(
    received: Received,
    kind: ids.Kind.ValueType,
    outcome: ids.Outcome.ValueType,
    ground: ids.Ground.ValueType = ids.GROUND_UNSPECIFIED,
    document: orders.ReviewDecision | orders.ExecutionReport | None = None,
) -> Letter:
    """Return the letter that answers an envelope: to its sender, in the same case, under the same instrument."""
    asked = received.header
    measures = tuple(document.measures) if document is not None else ()
    data_classes = tuple(document.data_classes) if document is not None else ()
    _check_outcome(outcome, ground, measures, data_classes)
    documents.check_within(measures, asked.measures, "what it answers", "measures")
    documents.check_within(data_classes, asked.data_classes, "what it answers", "data_classes")
    return Letter(
        kind=kind,
        sender=asked.recipients[0],
        recipients=(asked.sender,),
        case_id=asked.case_id,
        cites=(received.ref,),
        instrument=asked.instrument,
        outcome=outcome,
        ground=ground,
        measures=measures,
        data_classes=data_classes,
        urgency=asked.urgency,
    )


def _document(received: Received, kind: type[D]) -> D:
    """Return the document, if it is of the kind that this step answers."""
    document: Document = received.document
    if not isinstance(document, kind):
        raise Refusal(ErrorCode.OUT_OF_ORDER, f"this step goes on from a {kind.DESCRIPTOR.name}", "kind")
    return document


def _cited(header: pb.Header) -> ids.EnvelopeRef:
    if len(header.cites) != 1:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "it cites exactly one envelope", "cites")
    return header.cites[0]


def _check_role(me: Participant, address: str, role: Role, *, abroad: bool = False) -> None:
    home = Address.parse(address).node == me.parts.address.node
    if home is abroad or role not in me.directory.roles(address):
        where = "abroad" if abroad else "of our own country"
        raise Refusal(ErrorCode.NOT_PERMITTED, f"{address} is no active {role.value} {where}")


def _check_in_force(me: Participant, instrument: str, abroad: str, at: datetime) -> None:
    states = frozenset({me.parts.address.node, Address.parse(abroad).node})
    if not me.directory.in_force(instrument, states, "freeze-request", at):
        detail = f"no instrument {instrument!r} is in force between {' and '.join(sorted(states))} for it"
        raise Refusal(ErrorCode.NO_LEGAL_BASIS, detail, "instrument")


def _check_countersigned(me: Participant, request: Received) -> None:
    home = Address.parse(request.header.sender).node
    for signed in request.envelope.signatures[1:]:
        if Address.parse(signed.signer).node == home and Role.CENTRAL_AUTHORITY in me.directory.roles(signed.signer):
            return
    raise Refusal(ErrorCode.NOT_COUNTERSIGNED, "no central authority of its own country signed it", "signatures")


def _check_own_grant(me: Participant, decision: pb.Header) -> None:
    if decision.kind != ids.KIND_REVIEW_DECISION or decision.sender != me.address or decision.outcome not in GRANTS:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "this step goes on from our own decision that grants", "cites[0]")


def _check_measures(measures: Measures) -> None:
    if not measures:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "it names no measure", "measures")


def _check_outcome(
    outcome: ids.Outcome.ValueType, ground: ids.Ground.ValueType, measures: Measures, data_classes: DataClasses
) -> None:
    refuses = outcome == ids.OUTCOME_REFUSED
    partly = outcome == ids.OUTCOME_PARTLY_GRANTED
    if (refuses and not ground) or (ground and not (refuses or partly)):
        detail = "a ground belongs to a refusal, whole or in part, and a refusal needs one"
        raise Refusal(ErrorCode.OUT_OF_ORDER, detail, "ground")
    if refuses and (measures or data_classes):
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "a refusal grants nothing", "measures")


def _check_told(report: orders.ExecutionReport, rests_on: Sequence[Received]) -> None:
    """Check that every result and transaction of a report stands so in one that it rests on."""
    reports = [_document(each, orders.ExecutionReport) for each in rests_on]
    if not reports:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "a report rests on one before it", "cites[0]")
    results = {_bytes(result) for each in reports for result in each.results}
    transactions = {_bytes(record) for each in reports for record in each.transactions}
    told = [(f"results[{i}]", _bytes(result) in results) for i, result in enumerate(report.results)]
    told += [(f"transactions[{i}]", _bytes(one) in transactions) for i, one in enumerate(report.transactions)]
    for where, known in told:
        if not known:
            raise Refusal(ErrorCode.EXCEEDS_GRANT, "no report that it rests on says so", where)
    documents.check_within(report.measures, {m for r in reports for m in r.measures}, "what was reported", "measures")
    classes = {data_class for each in reports for data_class in each.data_classes}
    documents.check_within(report.data_classes, classes, "what was reported", "data_classes")


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
