"""How any step is composed: its row of the table tells what must hold, document and citation what its header says.

In: a document, who it goes to, what it cites, and what neither of these tells. Out: a `Composed` envelope. There is one
class for each role, and in it one method for each step: see `investigator`, `central_authority`, `court`, `contact`,
`exchange` and `ombudsperson`.

What the node would refuse and what is evident from row, header and cited header alone is refused here, before anything
is signed, by the node's own rules (`gateway.row_checks`) and with its codes: NOT_PERMITTED, OUT_OF_ORDER,
NOT_COUNTERSIGNED, NO_LEGAL_BASIS, EXCEEDS_GRANT. Then `Participant.compose` checks that header and document agree
(CONTENT_MISMATCH). The node decides all the same, by what is recorded: passing here promises nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Final, TypeAlias, TypedDict, TypeVar, Unpack

from google.protobuf.message import Message
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.intake import Received
from clients.participant import Participant
from gateway import envelope, row_checks
from gateway.clock import from_micros, to_micros
from gateway.envelope import Composed, Letter
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents, headers
from gateway.formats.checks.by_kind import REFERRED
from gateway.formats.documents import Document
from gateway.identity import Address, Role
from gateway.row_checks import Placed
from gateway.rules import Where, word

D = TypeVar("D", bound=Message)

Kind: TypeAlias = ids.Kind.ValueType
Ground: TypeAlias = ids.Ground.ValueType
Urgency: TypeAlias = ids.Urgency.ValueType
Measures: TypeAlias = Sequence[ids.Measure.ValueType]
DataClasses: TypeAlias = Sequence[ids.DataClass.ValueType]
Cited: TypeAlias = Received | pb.Header
"""What came, or the header of what was sent from here."""

_REFERRED_AS: Final[Mapping[Kind, str]] = MappingProxyType({kind: name for name, kind in REFERRED.items()})


class Terms(TypedDict, total=False):
    """What a header says and neither document nor citation tells.

    to: address of the recipient; without it, the other party of what is cited.
    case_id: without it, that of what is cited.
    instrument: treaty or law relied on; without it, that of what is cited. At home there is none.
    measures, data_classes: where the document leaves them to the header.
    ground: of a report.
    urgency: without it, as the document has it, else as what is cited, else ordinary.
    expires_at: when it loses its meaning undelivered.
    """

    to: str
    case_id: str
    instrument: str
    measures: Measures
    data_classes: DataClasses
    ground: Ground
    urgency: Urgency
    expires_at: datetime | None


class Actor:
    """A participant in one of its roles. What follows the role is told by the table; see the module."""

    role: ClassVar[Role]

    def __init__(self, participant: Participant) -> None:
        self._participant = participant

    def _compose(
        self,
        kind: Kind,
        document: Document,
        cites: Cited | None = None,
        above: Sequence[Cited] = (),
        **terms: Unpack[Terms],
    ) -> Composed:
        """Compose the step of that kind which this role may take now.

        Args:
            kind: of the step.
            document: what it says.
            cites: what it cites.
            above: what that cites, and so on, as far as it is to be checked against.
            terms: what neither tells.

        Raises:
            Refusal: NOT_PERMITTED, OUT_OF_ORDER, NOT_COUNTERSIGNED, NO_LEGAL_BASIS, EXCEEDS_GRANT or CONTENT_MISMATCH.
        """
        header = self._header(kind, document, cites, terms)
        self._check(self._place(header, cites, above))
        return self._seal(header, document)

    def _header(self, kind: Kind, document: Document, cites: Cited | None, terms: Terms) -> pb.Header:
        """Return what the header will say; the rest of it follows from the sealing."""
        me, cited = self._participant.address, None if cites is None else header_of(cites)
        header = headers.of(kind, document)
        header.sender = me
        header.recipients.append(terms.get("to", "") or _other_party(cited, me))
        header.case_id = terms.get("case_id", "")
        instrument = terms.get("instrument", "")
        if cited is not None:
            header.cites.append(envelope.ref_of(cited))
            header.case_id = header.case_id or cited.case_id
            instrument = instrument or cited.instrument
        if Address.parse(header.recipients[0]).node != Address.parse(me).node:
            header.instrument = instrument
        if "measures" in terms:
            header.measures[:] = terms["measures"]
        if "data_classes" in terms:
            header.data_classes[:] = terms["data_classes"]
        header.ground = terms.get("ground", ids.GROUND_UNSPECIFIED) or header.ground
        if (
            isinstance(document, orders.ExecutionReport)
            and document.HasField("estimated_value")
            and row_checks.caps_recovery(cited)
        ):
            header.amount.CopyFrom(document.estimated_value)  # what was recovered, which other States deduct
        header.urgency = terms.get("urgency", ids.URGENCY_UNSPECIFIED) or _urgency(document, cited)
        header.created_at_us = to_micros(self._participant.parts.clock())
        expires_at = terms.get("expires_at")
        if expires_at is not None:
            header.expires_at_us = to_micros(expires_at)
        return header

    def _place(self, header: pb.Header, cites: Cited | None, above: Sequence[Cited] = ()) -> Placed:
        """Find the row by which this role may send it."""
        directory = self._participant.directory
        rules = [rule for rule in row_checks.permitted(header, directory) if rule.sender is self.role]
        if not rules:
            detail = f"a {self.role.value} sends no {word(header.kind)} to {header.recipients[0]}"
            raise Refusal(ErrorCode.NOT_PERMITTED, detail, "kind")
        return row_checks.place(header, rules, () if cites is None else tuple(map(header_of, (cites, *above))))

    def _check(self, placed: Placed, *, drafted: bool = False) -> None:
        """Check it by its row; what is drafted gets its countersignature later."""
        if not drafted:
            row_checks.check_countersigned(placed, (), self._participant.directory)
        row_checks.check(placed, self._participant.directory)
        row_checks.check_within_cited(placed)

    def _seal(self, header: pb.Header, document: Document) -> Composed:
        letter = Letter(
            kind=header.kind,
            sender=header.sender,
            recipients=tuple(header.recipients),
            case_id=header.case_id,
            cites=tuple(header.cites),
            instrument=header.instrument,
            outcome=header.outcome,
            ground=header.ground,
            measures=tuple(header.measures),
            data_classes=tuple(header.data_classes),
            urgency=header.urgency,
            expires_at=from_micros(header.expires_at_us) if header.HasField("expires_at_us") else None,
            dual_criminality=header.dual_criminality,
            amount=header.amount if header.HasField("amount") else None,
            order_total=header.order_total if header.HasField("order_total") else None,
            in_force_until=from_micros(header.in_force_until_us) if header.HasField("in_force_until_us") else None,
        )
        return self._participant.compose(letter, document)


class Complainant(Actor):
    """Anybody but the ombudsperson, who hears it."""

    def complain(self, about: Cited, grievance: notices.Notice, *, ombudsperson: str, case_id: str) -> Composed:
        """Complain of an envelope that was sent to us or from here; it takes a case id of its own."""
        return self._compose(ids.KIND_GRIEVANCE, grievance, about, to=ombudsperson, case_id=case_id)


class Addressee(Complainant):
    """Whoever is asked or ordered something."""

    def acknowledge(self, asked: Received, notice: notices.Notice) -> Composed:
        """Say that a request or order is here."""
        return self._compose(ids.KIND_ACKNOWLEDGEMENT, notice, asked)

    def ask_clarification(self, asked: Received, question: notices.Notice) -> Composed:
        """Ask back; one may consult so before a refusal, and name its ground (2018/1805 Art. 8(2), 19(2))."""
        return self._compose(ids.KIND_CLARIFICATION_REQUEST, question, asked)


class Authority(Complainant):
    """Whoever asks or orders something."""

    def clarify(self, question: Received, answer: notices.Notice) -> Composed:
        """Answer somebody who asked back."""
        return self._compose(ids.KIND_CLARIFICATION, answer, question)


class Informant(Authority):
    """Whoever may tell its colleagues abroad something."""

    def tell(
        self, information: assistance.SpontaneousInformation, *, to: str, case_id: str, instrument: str
    ) -> Composed:
        """Tell a colleague abroad something unasked (UNCAC Art. 46(4)); no order can rest on it."""
        return self._compose(
            ids.KIND_SPONTANEOUS_INFORMATION, information, to=to, case_id=case_id, instrument=instrument
        )


class Referrer(Addressee, Informant):
    """Whoever is asked from abroad, puts that before a court of its own country, and reports back."""

    hears: ClassVar[tuple[Role, ...]]
    """Whose reports it passes on."""

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
            received: the request, of any kind.
            court: address of the court.
            remarks: ours, for the court.
            case_id: for the court; by default the request's.
            measures: by default all that are asked.
            data_classes: by default all that are asked.

        Raises:
            Refusal: NOT_COUNTERSIGNED, the request lacks its own central authority's signature; NOT_PERMITTED, no court
                of ours; OUT_OF_ORDER, it is no request; EXCEEDS_GRANT, more than is asked.
        """
        asked = received.header
        self._check_countersigned(received)
        name = _REFERRED_AS.get(asked.kind)
        if name is None:
            raise Refusal(ErrorCode.OUT_OF_ORDER, f"a {word(asked.kind)} is put before no court", "cites[0]")
        referral = orders.ReviewReferral(remarks=remarks)
        getattr(referral, name).CopyFrom(received.document)
        return self._compose(
            ids.KIND_REVIEW_REFERRAL,
            referral,
            received,
            to=court,
            case_id=case_id,
            measures=asked.measures if measures is None else measures,
            data_classes=asked.data_classes if data_classes is None else data_classes,
        )

    def withdraw_referral(self, referral: Cited, withdrawal: followups.Withdrawal) -> Composed:
        """Take back what we put before our court (2018/1805 Art. 27(2))."""
        return self._compose(ids.KIND_WITHDRAWAL, withdrawal, referral)

    def _check_countersigned(self, received: Received) -> None:
        directory, header = self._participant.directory, received.header
        rules = row_checks.permitted(header, directory)
        if not rules:
            raise Refusal(ErrorCode.NOT_PERMITTED, f"{header.sender} may not ask this of us", "kind")
        # What it cites may never have come to us; a row is countersigned whatever it cites.
        step = row_checks.rows(rules[0])[0]
        placed = Placed(header, rules[0], step, ())
        row_checks.check_countersigned(placed, received.envelope.signatures[1:], directory)

    def report_abroad(
        self,
        request: Received,
        report: orders.ExecutionReport,
        *,
        rests_on: Sequence[Received],
        ground: Ground = ids.GROUND_UNSPECIFIED,
    ) -> Composed:
        """Report to whoever asked from abroad what was executed, held or kept.

        Args:
            request: what it asked.
            report: what we tell; it may leave out, and never add. What was kept is not handed over.
            rests_on: the reports of our courts, or exchanges.
            ground: why not, unless everything was executed.

        Raises:
            Refusal: EXCEEDS_GRANT, it tells what nobody reported, or goes beyond the request; OUT_OF_ORDER, the ground
                does not fit the outcome; NOT_PERMITTED, a report is by nobody whom we hear.
        """
        for each in rests_on:
            check_role(self._participant, each.header.sender, *self.hears)
        check_told(report, rests_on)
        return self._compose(ids.KIND_EXECUTION_REPORT, report, request, ground=ground)

    def confirm_release(self, request: Received, release: followups.Release) -> Composed:
        """Tell whoever asked from abroad that measures have ended, wholly or in part (2018/1805 Art. 27(3))."""
        return self._compose(ids.KIND_RELEASE, release, request)


def header_of(cites: Cited) -> pb.Header:
    """Return the header of what is cited."""
    return cites.header if isinstance(cites, Received) else cites


def document_of(received: Received, kind: type[D]) -> D:
    """Return the document, if it is of the type that this step goes on from.

    Raises:
        Refusal: OUT_OF_ORDER.
    """
    document: Document = received.document
    if not isinstance(document, kind):
        raise Refusal(ErrorCode.OUT_OF_ORDER, f"this step goes on from a {kind.DESCRIPTOR.name}", "kind")
    return document


def check_role(me: Participant, address: str, *roles: Role, where: Where = Where.HOME) -> None:
    """Check that somebody has one of these roles, at home or abroad.

    Raises:
        Refusal: NOT_PERMITTED.
    """
    home = Address.parse(address).node == me.parts.address.node
    if home is not (where is Where.HOME) or me.directory.roles(address).isdisjoint(roles):
        named = " or ".join(role.value for role in roles)
        raise Refusal(ErrorCode.NOT_PERMITTED, f"{address} is no active {named} {where.value}")


def check_told(report: orders.ExecutionReport, rests_on: Sequence[Received]) -> None:
    """Check that every result and transaction of a report stands so in one that it rests on.

    Raises:
        Refusal: EXCEEDS_GRANT; OUT_OF_ORDER, it rests on none.
    """
    reports = [document_of(each, orders.ExecutionReport) for each in rests_on]
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


def _other_party(cited: pb.Header | None, me: str) -> str:
    if cited is None:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "to whom? It cites nothing", "recipients")
    return cited.recipients[0] if cited.sender == me else cited.sender


def _urgency(document: Document, cited: pb.Header | None) -> Urgency:
    """As urgent as the document says, else as what it cites (2018/1805 Art. 9(3); 2023/1543 Art. 3(18))."""
    match document:
        case certificates.FreezeRequest():
            return ids.URGENCY_URGENT if document.urgency.grounds else ids.URGENCY_ORDINARY
        case assistance.EvidenceRequest() | assistance.PreservationRequest() if document.emergency:
            return ids.URGENCY_EMERGENCY
        case assistance.EvidenceRequest() if document.urgency_grounds:
            return ids.URGENCY_URGENT
        case _:
            return ids.URGENCY_ORDINARY if cited is None else cited.urgency
