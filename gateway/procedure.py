"""Stage 5, procedure: is this the lawful next step?

In: a `VerifiedEnvelope` and a `Register` of what is recorded here. Out: a `LawfulStep`. Refuses with UNKNOWN_CITATION,
OUT_OF_ORDER, NOT_COUNTERSIGNED, NO_LEGAL_BASIS and EXCEEDS_GRANT. Signed headers alone decide; no payload is read, and
of a test order's its size alone is looked at.

`STEPS` is the law: one row for each rule of `authorise`. An answer travels back the way of the question: request,
referral, decision, domestic order, report to the court, report to the central authority, report abroad. Each may only
narrow what the one before it allowed. Both nodes run the table: the sender's node sees the whole chain, the
recipient's node sees those links of it that crossed the border, and each checks what it sees.

Sources: Regulation (EU) 2018/1805 Art. 2(8)(a)(ii) (validation before transmission), Art. 3 (dual criminality),
Art. 7 (execution), Art. 8 (grounds); style: no branch per kind, the table says it all.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway.authorise import RULES, Rule, Where
from gateway.clock import from_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.verify import VerifiedEnvelope


class Register(Protocol):
    """What is recorded at this node."""

    def find(self, ref: ids.EnvelopeRef) -> pb.Header | None:
        """Return the header of a recorded envelope."""
        ...

    def citing(self, ref: ids.EnvelopeRef, kind: ids.Kind.ValueType) -> Sequence[pb.Header]:
        """Return the headers of that kind which cite an envelope, oldest first."""
        ...


MAX_TEST_ORDER_BYTES: Final = 1 << 10
"""Sealed; three times what a test order takes. Registrars and exchanges have no other business with each other."""

_TEST_CASE: Final = re.compile(r"TEST-[0-9a-f]{32}", re.ASCII)
"""Nobody mistakes it for a case, and as it is random nothing was made for it before."""


class Link(Enum):
    """How the parties of a step fit the envelope that it cites."""

    ANSWERS = "answers"  # its recipient answers its sender
    PASSES_ON = "passes on"  # its recipient turns to somebody else
    FOLLOWS_UP = "follows up"  # its sender goes on, towards somebody else
    REPORTS_ON = "reports on"  # its sender goes on, towards the same recipient


class CaseRule(Enum):
    """How the case id of a step fits that of the envelope that it cites."""

    SAME = "the same case"
    OWN = "a case of its own"  # differs all the way up: an exchange must not learn which case an order comes from
    FREE = "any case"


@dataclass(frozen=True, slots=True)
class Step:
    """What makes one rule's envelope the lawful next step."""

    cites: ids.Kind.ValueType = ids.KIND_UNSPECIFIED  # the one envelope it must cite; UNSPECIFIED: it cites none
    link: Link = Link.ANSWERS
    case: CaseRule = CaseRule.FREE
    cited_outcomes: frozenset[ids.Outcome.ValueType] = frozenset()  # empty: any
    outcomes: frozenset[ids.Outcome.ValueType] = frozenset({ids.OUTCOME_UNSPECIFIED})
    once: bool = False  # only one such answer to the same envelope
    countersigned_by: Role | None = None  # a participant of the sender's own country with this role
    grants: bool = False  # at least one measure, unless it refuses
    is_test: bool = False  # nothing follows from it, and nothing but a test can travel as one
    most_payload: int | None = None  # bytes, sealed
    # Down from the cited envelope, kind by kind, to what must be recorded before; seen by the sender's node only.
    rests_on: tuple[ids.Kind.ValueType, ...] = ()
    same_outcome: bool = False  # as what it rests on
    # Milestones it sets: how many citations up, and which.
    marks: tuple[tuple[int, pb.Milestone.ValueType], ...] = ()


_DECISIONS: Final = frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED, ids.OUTCOME_REFUSED})
_GRANTS: Final = frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED})

_STEPS = (
    (
        Rule(ids.KIND_DRAFT, Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Where.HOME),
        Step(grants=True),
    ),
    (
        Rule(ids.KIND_COUNTERSIGNATURE, Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR, Where.HOME),
        Step(
            cites=ids.KIND_DRAFT,
            case=CaseRule.SAME,
            outcomes=frozenset({ids.OUTCOME_GRANTED, ids.OUTCOME_REFUSED}),
            once=True,
            marks=((1, pb.MILESTONE_DECIDED),),
        ),
    ),
    (
        Rule(ids.KIND_FREEZE_REQUEST, Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Where.ABROAD),
        Step(countersigned_by=Role.CENTRAL_AUTHORITY, grants=True),
    ),
    (
        Rule(ids.KIND_REVIEW_REFERRAL, Role.CENTRAL_AUTHORITY, Role.COURT, Where.HOME),
        Step(cites=ids.KIND_FREEZE_REQUEST, link=Link.PASSES_ON, grants=True),
    ),
    (
        Rule(ids.KIND_REVIEW_DECISION, Role.COURT, Role.CENTRAL_AUTHORITY, Where.HOME),
        Step(
            cites=ids.KIND_REVIEW_REFERRAL,
            case=CaseRule.SAME,
            outcomes=_DECISIONS,
            once=True,
            grants=True,
            marks=((1, pb.MILESTONE_DECIDED), (2, pb.MILESTONE_DECIDED)),
        ),
    ),
    (
        Rule(ids.KIND_REVIEW_DECISION, Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR, Where.ABROAD),
        Step(
            cites=ids.KIND_FREEZE_REQUEST,
            case=CaseRule.SAME,
            outcomes=_DECISIONS,
            once=True,
            grants=True,
            rests_on=(ids.KIND_REVIEW_REFERRAL, ids.KIND_REVIEW_DECISION),
            same_outcome=True,
        ),
    ),
    (
        Rule(ids.KIND_DOMESTIC_ORDER, Role.COURT, Role.EXCHANGE, Where.HOME),
        Step(
            cites=ids.KIND_REVIEW_DECISION,
            link=Link.FOLLOWS_UP,
            case=CaseRule.OWN,
            cited_outcomes=_GRANTS,
            grants=True,
        ),
    ),
    (
        Rule(ids.KIND_EXECUTION_REPORT, Role.EXCHANGE, Role.COURT, Where.HOME),
        Step(
            cites=ids.KIND_DOMESTIC_ORDER,
            case=CaseRule.SAME,
            outcomes=_DECISIONS,
            marks=((1, pb.MILESTONE_EXECUTED),),
        ),
    ),
    (
        Rule(ids.KIND_EXECUTION_REPORT, Role.COURT, Role.CENTRAL_AUTHORITY, Where.HOME),
        Step(
            cites=ids.KIND_REVIEW_DECISION,
            link=Link.REPORTS_ON,
            case=CaseRule.SAME,
            cited_outcomes=_GRANTS,
            outcomes=_DECISIONS,
            rests_on=(ids.KIND_DOMESTIC_ORDER, ids.KIND_EXECUTION_REPORT),
        ),
    ),
    (
        Rule(ids.KIND_EXECUTION_REPORT, Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR, Where.ABROAD),
        Step(
            cites=ids.KIND_FREEZE_REQUEST,
            case=CaseRule.SAME,
            outcomes=_DECISIONS,
            rests_on=(ids.KIND_REVIEW_REFERRAL, ids.KIND_REVIEW_DECISION, ids.KIND_EXECUTION_REPORT),
            marks=((1, pb.MILESTONE_EXECUTED),),
        ),
    ),
    (
        Rule(ids.KIND_TEST_ORDER, Role.REGISTRAR, Role.EXCHANGE, Where.HOME),
        Step(is_test=True, most_payload=MAX_TEST_ORDER_BYTES),
    ),
    (
        # It marks nothing: a test is neither decided nor executed.
        Rule(ids.KIND_TEST_REPORT, Role.EXCHANGE, Role.REGISTRAR, Where.HOME),
        Step(cites=ids.KIND_TEST_ORDER, case=CaseRule.SAME, once=True, is_test=True),
    ),
)
STEPS: Final = MappingProxyType(dict(_STEPS))
if set(STEPS) != set(RULES):
    raise AssertionError("every rule of authorise needs its step, and no other has one")


@dataclass(frozen=True, slots=True)
class Mark:
    """A milestone that a step sets on an envelope before it."""

    header: pb.Header
    milestone: pb.Milestone.ValueType


@dataclass(frozen=True, slots=True)
class LawfulStep:
    """A verified envelope that may be recorded now. Made by `check` alone."""

    verified: VerifiedEnvelope
    marks: tuple[Mark, ...] = field(default=())


def check(verified: VerifiedEnvelope, register: Register, directory: Directory, here: str) -> LawfulStep:
    """Decide whether this envelope is the lawful next step, by its row in `STEPS`.

    1. It is countersigned, where the row asks for it.
    2. Abroad: an instrument binds both States for this kind. At home: no instrument is named.
    3. It cites one envelope of the right kind, known here, to which its sender was a party; or none.
    4. The parties, the case and the outcome of the cited envelope fit.
    5. Its own outcome, ground and measures fit together; a test has none of them, no attachment, a case id that says
       that it is one, and the size of one.
    6. It asks, grants, orders or reports no more than the cited envelope did.
    7. It is the first, where only one may be.
    8. At the sender's node: what it rests on is recorded, agrees with it, and is not exceeded.

    Args:
        verified: what came.
        register: what is recorded at this node, in the same transaction.
        directory: roles and instruments.
        here: code of this node.

    Raises:
        Refusal: UNKNOWN_CITATION, OUT_OF_ORDER, NOT_COUNTERSIGNED, NO_LEGAL_BASIS or EXCEEDS_GRANT.
    """
    header, step = verified.header, STEPS[verified.rule]
    if step.countersigned_by is not None:  # (1)
        _check_countersigned(verified.envelope, header, step.countersigned_by, directory)
    if step.cites == ids.KIND_UNSPECIFIED:
        if header.cites:
            raise _out_of_order(f"{verified.rule} cites nothing", "cites")
        _check_instrument(header, verified.rule, None, directory)  # (2)
        _check_content(verified, step)  # (5)
        return LawfulStep(verified)
    cited = _cited(header, step, verified.rule, register)  # (3)
    _check_instrument(header, verified.rule, cited, directory)  # (2)
    _check_link(header, list(_chain(cited, register)), step)  # (4)
    _check_content(verified, step)  # (5)
    _check_within(header, (cited,), "what it cites")  # (6)
    if step.once and any(_same_rule(other, header) for other in register.citing(header.cites[0], header.kind)):  # (7)
        raise _out_of_order("it has been answered already", "cites[0]")
    if step.rests_on and Address.parse(header.sender).node == here:  # (8)
        _check_rests_on(header, step, register)
    return LawfulStep(verified, _marks(header, step, register) if Address.parse(header.sender).node == here else ())


def _check_countersigned(envelope: pb.SignedEnvelope, header: pb.Header, role: Role, directory: Directory) -> None:
    home = Address.parse(header.sender).node
    for signed in envelope.signatures[1:]:
        if Address.parse(signed.signer, allow_node=True).node == home and role in directory.roles(signed.signer):
            return
    detail = f"the countersignature of a {role.value} of {home} is missing (2018/1805 Art. 2(8)(a)(ii))"
    raise Refusal(ErrorCode.NOT_COUNTERSIGNED, detail, "signatures")


def _check_instrument(header: pb.Header, rule: Rule, cited: pb.Header | None, directory: Directory) -> None:
    if rule.where is Where.HOME:
        if header.instrument:
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, "a domestic step names no instrument", "instrument")
    elif cited is not None:
        # An answer is owed under the instrument of the question, even if that has ended since.
        if header.instrument != cited.instrument:
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, "another instrument than that of the request", "instrument")
    else:
        states = frozenset({Address.parse(a).node for a in (header.sender, *header.recipients)})
        kind = ids.Kind.Name(header.kind).removeprefix("KIND_").lower().replace("_", "-")
        if not directory.in_force(header.instrument, states, kind, from_micros(header.created_at_us)):
            detail = f"no instrument {header.instrument!r} is in force between {' and '.join(sorted(states))} for it"
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, detail, "instrument")


def _cited(header: pb.Header, step: Step, rule: Rule, register: Register) -> pb.Header:
    if len(header.cites) != 1:
        raise _out_of_order(f"{rule} cites exactly one {_kind(step.cites)}", "cites")
    cited = register.find(header.cites[0])
    # To somebody who was no party to it, an envelope does not exist.
    if cited is None or header.sender not in (cited.sender, *cited.recipients):
        raise Refusal(ErrorCode.UNKNOWN_CITATION, "it cites what is not known here", "cites[0]")
    if cited.kind != step.cites:
        raise _out_of_order(f"{rule} cites a {_kind(step.cites)}, not a {_kind(cited.kind)}", "cites[0]")
    return cited


_LINKS: Final[dict[Link, Callable[[pb.Header, pb.Header], bool]]] = {
    Link.ANSWERS: lambda new, old: new.sender in old.recipients and list(new.recipients) == [old.sender],
    Link.PASSES_ON: lambda new, old: new.sender in old.recipients and old.sender not in new.recipients,
    Link.FOLLOWS_UP: lambda new, old: new.sender == old.sender and list(new.recipients) != list(old.recipients),
    Link.REPORTS_ON: lambda new, old: new.sender == old.sender and list(new.recipients) == list(old.recipients),
}


def _chain(header: pb.Header | None, register: Register) -> Iterator[pb.Header]:
    """Yield an envelope, what it cites, what that cites, and so on, as far as it is known here."""
    while header is not None:
        yield header
        header = register.find(header.cites[0]) if header.cites else None


def _check_link(header: pb.Header, chain: Sequence[pb.Header], step: Step) -> None:
    cited = chain[0]
    if not _LINKS[step.link](header, cited):
        raise _out_of_order(f"its parties do not fit: it {step.link.value} what it cites", "recipients")
    if step.case is CaseRule.SAME and header.case_id != cited.case_id:
        raise _out_of_order("it belongs to the same case as what it cites", "case_id")
    if step.case is CaseRule.OWN and header.case_id in {above.case_id for above in chain}:
        raise _out_of_order("it needs a case id of its own", "case_id")
    if step.cited_outcomes and cited.outcome not in step.cited_outcomes:
        raise _out_of_order("what it cites did not grant it", "cites[0]")


def _check_content(verified: VerifiedEnvelope, step: Step) -> None:
    _check_outcome(verified.header, step)
    if step.is_test:
        _check_test(verified.header)
    if step.most_payload is not None and len(verified.envelope.sealed_payload) > step.most_payload:
        detail = f"above {step.most_payload} bytes, and so more than a test"
        raise Refusal(ErrorCode.EXCEEDS_GRANT, detail, "sealed_payload")


def _check_test(header: pb.Header) -> None:
    if not _TEST_CASE.fullmatch(header.case_id):
        raise _out_of_order("the case of a test is TEST- and 32 hexadecimal digits", "case_id")
    if header.measures or header.data_classes:
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "a test orders and reports nothing", "measures")
    if header.attachments_digest:
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "a test has no attachments", "attachments_digest")


def _check_outcome(header: pb.Header, step: Step) -> None:
    if header.outcome not in step.outcomes:
        raise _out_of_order("this kind of envelope cannot have that outcome", "outcome")
    refuses = header.outcome == ids.OUTCOME_REFUSED
    partly = header.outcome == ids.OUTCOME_PARTLY_GRANTED  # Art. 8(1) may be applied to a part
    if (refuses and not header.ground) or (header.ground and not (refuses or partly)):
        raise _out_of_order("a ground belongs to a refusal, whole or in part, and a refusal needs one", "ground")
    if refuses and (header.measures or header.data_classes):
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "a refusal grants nothing", "measures")
    if step.grants and not refuses and not header.measures:
        raise _out_of_order("it names no measure", "measures")


def _check_within(header: pb.Header, allowing: Sequence[pb.Header], what: str) -> None:
    """Check that measures and data classes are among those that `allowing` allowed together."""
    measures = {measure for allowed in allowing for measure in allowed.measures}
    data_classes = {data_class for allowed in allowing for data_class in allowed.data_classes}
    for position, measure in enumerate(header.measures):
        if measure not in measures:
            detail = f"{ids.Measure.Name(measure)} goes beyond {what}"
            raise Refusal(ErrorCode.EXCEEDS_GRANT, detail, f"measures[{position}]")
    for position, data_class in enumerate(header.data_classes):
        if data_class not in data_classes:
            detail = f"{ids.DataClass.Name(data_class)} goes beyond {what}"
            raise Refusal(ErrorCode.EXCEEDS_GRANT, detail, f"data_classes[{position}]")


def _check_rests_on(header: pb.Header, step: Step, register: Register) -> None:
    found = [header.cites[0]]
    support: list[pb.Header] = []
    for kind in step.rests_on:
        support = [child for ref in found for child in register.citing(ref, kind)]
        found = [ids.EnvelopeRef(sender=child.sender, id=child.id) for child in support]
    if step.same_outcome:
        support = [s for s in support if (s.outcome, s.ground) == (header.outcome, header.ground)]
    if not support:
        chain = ", ".join(_kind(kind) for kind in step.rests_on)
        raise _out_of_order(f"what it rests on is not recorded: {chain}", "cites[0]")
    if header.outcome not in _outcomes_to_report({s.outcome for s in support}):
        raise _out_of_order("what it rests on came to another outcome", "outcome")
    _check_within(header, support, "what it rests on")


def _outcomes_to_report(reported: set[ids.Outcome.ValueType]) -> set[ids.Outcome.ValueType]:
    """Return what may be reported of these: a failure is not passed on as a success, nor a success as a failure."""
    if len(reported) == 1:
        return reported
    return (reported | {ids.OUTCOME_PARTLY_GRANTED}) - {ids.OUTCOME_REFUSED}


def _marks(header: pb.Header, step: Step, register: Register) -> tuple[Mark, ...]:
    chain = list(_chain(header, register)) if step.marks else []
    return tuple(Mark(chain[up], milestone) for up, milestone in step.marks if up < len(chain))


def _same_rule(other: pb.Header, header: pb.Header) -> bool:
    return (other.sender, list(other.recipients)) == (header.sender, list(header.recipients))


def _out_of_order(detail: str, where: str) -> Refusal:
    return Refusal(ErrorCode.OUT_OF_ORDER, detail, where)


def _kind(kind: ids.Kind.ValueType) -> str:
    return ids.Kind.Name(kind).removeprefix("KIND_").lower().replace("_", " ")
