"""What a row of the table asks of a header by itself and of the headers that it cites, with no register at hand.

In: a header, its row, and what it cites as far as that is known. Refuses with OUT_OF_ORDER, NOT_COUNTERSIGNED,
NO_LEGAL_BASIS and EXCEEDS_GRANT. Pure, no I/O.

Both ends run these rules: `procedure` on what came, with everything above it; the clients' library before it signs,
with what it remembers of that. So what is refused early is refused with the node's own words and codes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids

from gateway.clock import from_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.formats import grounds
from gateway.identity import Address, Role
from gateway.rules import (
    FINAL,
    GRANTS,
    UNANSWERED,
    CaseRule,
    DataClass,
    Kind,
    Link,
    Measure,
    Outcome,
    Rule,
    State,
    Step,
    Way,
    Where,
    ends_in_decisions,
    word,
)
from gateway.steps import BY_CITATION, HOLDING, ORDERS, PROVISIONAL, REQUESTS, RULES, STEPS

NEVER_REQUIRED: Final = "*"
"""In an instrument's `no_dual_criminality`: it asks for it for no offence at all."""

_RULES: Final = frozenset(RULES)
_ELSEWHERE: Final = frozenset(step.rule for step in STEPS if step.cites_elsewhere)
_REMEMBERED_QUESTIONS: Final = 1024
"""Which rules fit which roles: more than are asked, unless every participant has other roles."""
_ASKED: Final = REQUESTS | PROVISIONAL | ORDERS | {ids.KIND_DRAFT}
"""What can be refused, postponed or impossible on a ground."""
_TEST_CASE: Final = re.compile(r"TEST-[0-9a-f]{32}", re.ASCII)
"""Nobody mistakes it for a case, and as it is random nothing was made for it before."""
_GRANTS_NOTHING: Final = frozenset({ids.OUTCOME_REFUSED, ids.OUTCOME_POSTPONED})
_ALLOWING: Final = GRANTS | {ids.OUTCOME_UNSPECIFIED}
_REPORTED: Final = MappingProxyType(
    {
        ids.OUTCOME_GRANTED: State.EXECUTED,
        ids.OUTCOME_PARTLY_GRANTED: State.PARTLY_EXECUTED,
        ids.OUTCOME_REFUSED: State.UNAVAILABLE,
    }
)
_CORRECTED_BY_NEXT: Final = frozenset({ids.KIND_REVIEW_DECISION, ids.KIND_PRIORITY_DECISION, ids.KIND_EXECUTION_REPORT})
_STILL_TO_DO: Final = UNANSWERED | {State.CLARIFYING, State.OBJECTED}
_CANNOT_SAY: Final = "this kind of envelope cannot say that"
_DUAL: Final = "dual_criminality"
_NEVER_TESTED: Final = frozenset({ids.KIND_PRESERVATION_REQUEST, ids.KIND_ENFORCEMENT_REQUEST})
"""By no instrument (Budapest Convention Art. 29(3); 2023/1543 Art. 16(4), (5))."""
_DUALLY_CRIMINAL: Final = frozenset(
    {
        ids.DUAL_CRIMINALITY_LISTED_OFFENCE,
        ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
        ids.DUAL_CRIMINALITY_NOT_REQUIRED,
        ids.DUAL_CRIMINALITY_WAIVED,
    }
)


@dataclass(slots=True)  # not frozen: that would make it in thrice the time, for every envelope
class Placed:
    """A header, its row, and what it cites.

    Args:
        header: of the envelope.
        rule: by which it may be sent.
        step: its row.
        above: what it cites, what that cites, and so on, as far as it is known here.
        cited: the first of these; None if it cites nothing, or nothing that is known here.
        measures: that it names.
        data_classes: that it names.
    """

    header: pb.Header
    rule: Rule
    step: Step
    above: tuple[pb.Header, ...]
    cited: pb.Header | None = field(init=False)
    measures: frozenset[Measure] = field(init=False)
    data_classes: frozenset[DataClass] = field(init=False)

    def __post_init__(self) -> None:
        """Look up what is asked again and again."""
        self.cited = self.above[0] if self.above else None
        # A copy of a repeated field is read in half the time of the field.
        self.measures = frozenset(self.header.measures[:])
        self.data_classes = frozenset(self.header.data_classes[:])

    @property
    def is_whole(self) -> bool:
        """Whether all that is above it is known here; at a node it is, save where a row cites what went elsewhere."""
        return not (self.above[-1] if self.above else self.header).cites

    def refused(self, code: ErrorCode, detail: str, where: str, law: str = "") -> Refusal:
        """Return a refusal that names the law which says no: that of the row, unless another does."""
        return Refusal(code, f"{detail} ({law or self.step.law})", where)

    def out_of_order(self, detail: str, where: str, law: str = "") -> Refusal:
        """Return a refusal with OUT_OF_ORDER; see `refused`."""
        return self.refused(ErrorCode.OUT_OF_ORDER, detail, where, law)


def permitted(header: pb.Header, directory: Directory) -> tuple[Rule, ...]:
    """Return the rules that allow this header's sender, kind and recipient; none if it is not allowed."""
    return rules_for(header.kind, header.sender, header.recipients[0], directory)


def rules_for(kind: Kind, sender: str, recipient: str, directory: Directory) -> tuple[Rule, ...]:
    """Return the rules that allow it between these two; none if it is not allowed."""
    return _rules(kind, directory.roles(sender), directory.roles(recipient), where_of(sender, recipient))


def where_of(sender: str, recipient: str) -> Where:
    """Return whether two participants are of one country."""
    return Where.HOME if Address.parse(sender).node == Address.parse(recipient).node else Where.ABROAD


@lru_cache(maxsize=_REMEMBERED_QUESTIONS)
def _rules(kind: Kind, senders: frozenset[Role], recipients: frozenset[Role], where: Where) -> tuple[Rule, ...]:
    asked = (
        Rule(kind, sender, recipient, where)
        for sender in sorted(senders, key=str)
        for recipient in sorted(recipients, key=str)
    )
    return tuple(rule for rule in asked if rule in _RULES)


def place(header: pb.Header, rules: Sequence[Rule], above: Sequence[pb.Header]) -> Placed:
    """Put a header in its row; see `row`."""
    return Placed(header, *row(header, rules, above), tuple(above))


def row(header: pb.Header, rules: Sequence[Rule], above: Sequence[pb.Header]) -> tuple[Rule, Step]:
    """Find the row of a header by what it cites, and the rule by which it is in that.

    Args:
        header: of the envelope.
        rules: that permit it, one at least.
        above: what it cites, what that cites, and so on.

    Raises:
        Refusal: OUT_OF_ORDER, no rule of these lets it cite that, or it cites several.
    """
    cited_kind = above[0].kind if above else ids.KIND_UNSPECIFIED
    for rule in rules:
        step = BY_CITATION.get((rule, cited_kind))
        if step is not None:
            if len(header.cites) > 1:
                raise Refusal(ErrorCode.OUT_OF_ORDER, f"{rule} cites one envelope ({step.law})", "cites")
            return rule, step
    rule = rules[0]
    if not above:
        raise Refusal(ErrorCode.OUT_OF_ORDER, f"{rule} cites {_citable(rule)}", "cites")
    raise Refusal(ErrorCode.OUT_OF_ORDER, f"{rule} cites {_citable(rule)}, and no {word(cited_kind)}", "cites[0]")


def may_cite_elsewhere(rules: Sequence[Rule]) -> bool:
    """Whether what an envelope from abroad cites may be unknown here, because it went to a third country."""
    return any(rule in _ELSEWHERE for rule in rules)


def rows(rule: Rule) -> tuple[Step, ...]:
    """Return the rows of a rule, which differ in what they cite; none if the table has no such rule."""
    return tuple(step for step in STEPS if step.rule == rule)


def _citable(rule: Rule) -> str:
    kinds = sorted(kind for each, kind in BY_CITATION if each == rule)
    return " or ".join("nothing" if kind == ids.KIND_UNSPECIFIED else word(kind) for kind in kinds)


def check_countersigned(
    placed: Placed,
    signatures: Iterable[pb.Signature],
    directory: Directory,
    also: Mapping[Role, str] = MappingProxyType({}),
) -> None:
    """Check that it bears the signatures that it needs besides the sender's, of the sender's own country.

    Args:
        placed: the header in its row.
        signatures: the countersignatures.
        directory: who has which roles.
        also: whose the country's own law wants besides the table's, and its words.

    Raises:
        Refusal: NOT_COUNTERSIGNED; EXCEEDS_GRANT, without one it asks for more than may be had so.
    """
    step = placed.step
    if step.countersigned_by is not None and placed.header.urgency != step.countersigned_unless:
        also = {**also, step.countersigned_by: step.law}
    may_lack = step.countersigned_by is not None and step.countersigned_by not in also
    if not also and not may_lack:
        return
    home = Address.parse(placed.header.sender).node
    roles = _roles(placed, signatures, directory)
    # Validated before, it may ask for anything also in an emergency (2023/1543 Art. 4(5), 10(4)).
    if may_lack and step.countersigned_by not in roles and not placed.data_classes <= step.emergency_classes:
        raise _beyond(placed, step.measures, step.emergency_classes, "is nothing that may be asked unvalidated")
    for role, law in also.items():
        if role not in roles:
            detail = f"the countersignature of a {role.value} of {home} is missing ({law})"
            raise Refusal(ErrorCode.NOT_COUNTERSIGNED, detail, "signatures")


def is_countersigned(placed: Placed, signatures: Iterable[pb.Signature], directory: Directory) -> bool:
    """Whether it bears the signature that its row asks for, if it asks for one at all."""
    return placed.step.countersigned_by in (None, *_roles(placed, signatures, directory))


def _roles(placed: Placed, signatures: Iterable[pb.Signature], directory: Directory) -> set[Role]:
    """Return the roles of those who signed it too and are of the sender's own country."""
    home = Address.parse(placed.header.sender).node
    return {
        role
        for signed in signatures
        if Address.parse(signed.signer, allow_node=True).node == home
        for role in directory.roles(signed.signer)
    }


def check_names_nobody_abroad(header: pb.Header, signatures: Sequence[pb.Signature], directory: Directory) -> None:
    """Check that an exchange sees domestic orders alone, whatever the table says: no foreign sender, and no signer.

    Raises:
        Refusal: OUT_OF_ORDER.
    """
    recipient = header.recipients[0]
    if Role.EXCHANGE not in directory.roles(recipient):
        return
    home = Address.parse(recipient).node
    named = {f"cites[{at}].sender": ref.sender for at, ref in enumerate(header.cites)}
    named |= {f"signatures[{at}].signer": signed.signer for at, signed in enumerate(signatures)}
    for where, who in named.items():
        if Address.parse(who, allow_node=True).node != home:
            detail = "it would tell an exchange of an authority abroad (house: it sees domestic orders alone)"
            raise Refusal(ErrorCode.OUT_OF_ORDER, detail, where)


def check(placed: Placed, directory: Directory) -> None:
    """Check a header by its row and by what it cites.

    1. Abroad: an instrument binds both States for this kind. At home: no instrument is named.
    2. Parties and case fit the cited envelope.
    3. Its own outcome, ground, measures, classes and sums fit the row and each other; a test has none of them.

    Raises:
        Refusal: NO_LEGAL_BASIS, OUT_OF_ORDER or EXCEEDS_GRANT.
    """
    check_instrument(placed, directory)  # (1)
    if placed.cited is not None:
        _check_link(placed, placed.cited)  # (2)
    check_content(placed, directory)  # (3)


def check_instrument(placed: Placed, directory: Directory) -> None:
    """Rule 1 of `check`."""
    header, cited = placed.header, placed.cited
    if placed.rule.where is Where.HOME:
        if header.instrument:
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, "a domestic step names no instrument", "instrument")
    elif placed.step.opens is None and (cited is not None or header.cites):
        # An answer is owed under the instrument of the question, even if that has ended since.
        if cited is not None and header.instrument != cited.instrument:
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, "another instrument than that of the request", "instrument")
    else:
        states = _states(header.sender, header.recipients[0])
        if not directory.in_force(header.instrument, states, word(header.kind), from_micros(header.created_at_us)):
            detail = f"no instrument {header.instrument!r} is in force between {' and '.join(sorted(states))} for it"
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, detail, "instrument")


@lru_cache(maxsize=_REMEMBERED_QUESTIONS)
def _states(sender: str, recipient: str) -> frozenset[str]:
    return frozenset({Address.parse(sender).node, Address.parse(recipient).node})


def _complains(new: pb.Header, old: pb.Header) -> bool:
    parties = (old.sender, *old.recipients)
    return new.sender in parties and new.recipients[0] not in parties


_LINKS: Final[dict[Link, Callable[[pb.Header, pb.Header], bool]]] = {
    Link.ANSWERS: lambda new, old: new.sender in old.recipients[:] and new.recipients[:] == [old.sender],
    Link.PASSES_ON: lambda new, old: new.sender in old.recipients[:] and old.sender not in new.recipients[:],
    Link.FOLLOWS_UP: lambda new, old: new.sender == old.sender and new.recipients[:] != old.recipients[:],
    Link.REPORTS_ON: lambda new, old: new.sender == old.sender and new.recipients[:] == old.recipients[:],
    Link.COMPLAINS: _complains,
}


def _check_link(placed: Placed, cited: pb.Header) -> None:
    header, step = placed.header, placed.step
    if not _LINKS[step.link](header, cited):
        raise placed.out_of_order(f"its parties do not fit: it {step.link.value} what it cites", "recipients")
    # Below what was refused or postponed lie none of the orders and claims that it would be about.
    if step.needs_grant and cited.outcome not in GRANTS:
        raise placed.out_of_order("it goes on from a decision that grants nothing", "cites[0]")
    if step.case is CaseRule.SAME and header.case_id != cited.case_id:
        raise placed.out_of_order("it belongs to the same case as what it cites", "case_id")
    # Of an exchange only what it knows: it would learn by trying which cases are above its own.
    others = placed.above[:1] if placed.rule.sender is Role.EXCHANGE else placed.above
    if step.case is CaseRule.OWN and header.case_id in {above.case_id for above in others}:
        raise placed.out_of_order("it needs a case id of its own", "case_id")


def check_content(placed: Placed, directory: Directory) -> None:
    """Rule 3 of `check`."""
    header, step = placed.header, placed.step
    if step.is_test:
        _check_test(header)
    _check_outcome(placed)
    _check_dual_criminality(placed, directory)
    _check_scope(placed)
    if not step.targets and header.target_tokens:
        raise placed.out_of_order(_CANNOT_SAY, "target_tokens")
    if not step.amounts and header.HasField("amount"):
        raise placed.out_of_order(_CANNOT_SAY, "amount")
    if not step.amounts and header.HasField("order_total"):
        raise placed.out_of_order(_CANNOT_SAY, "order_total")
    if header.HasField("in_force_until_us"):
        if not step.may_end:
            raise placed.out_of_order(_CANNOT_SAY, "in_force_until_us")
        if header.in_force_until_us <= header.created_at_us:
            raise placed.out_of_order("it ended before it was made", "in_force_until_us")


def _check_test(header: pb.Header) -> None:
    if not _TEST_CASE.fullmatch(header.case_id):
        raise Refusal(ErrorCode.OUT_OF_ORDER, "the case of a test is TEST- and 32 hexadecimal digits", "case_id")
    if header.measures or header.data_classes:
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "a test orders and reports nothing", "measures")
    if header.attachments_digest:
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "a test has no attachments", "attachments_digest")


def _check_outcome(placed: Placed) -> None:
    header, step = placed.header, placed.step
    outcome, ground = header.outcome, header.ground
    if outcome not in step.outcomes:
        raise placed.out_of_order("this kind of envelope cannot have that outcome", "outcome")
    refuses = outcome == ids.OUTCOME_REFUSED
    needs_ground = outcome == ids.OUTCOME_POSTPONED or (refuses and not step.ground_optional)
    # Art. 8(1) may be applied to a part.
    may_have_ground = needs_ground or refuses or outcome == ids.OUTCOME_PARTLY_GRANTED or step.consults
    if (needs_ground and not ground) or (ground and not may_have_ground):
        detail = "a ground belongs to what is refused, wholly or in part, or postponed, and that needs one"
        raise placed.out_of_order(detail, "ground")
    if ground and not _ground_fits(placed):
        raise placed.out_of_order(f"{ids.Ground.Name(ground)} is no ground for that", "ground")
    if outcome in _GRANTS_NOTHING and (placed.measures or placed.data_classes):
        raise Refusal(ErrorCode.EXCEEDS_GRANT, "what is refused or postponed grants nothing", "measures")


def _ground_fits(placed: Placed) -> bool:
    header = placed.header
    if placed.step.grounds:
        return header.ground in placed.step.grounds
    report = header.kind == ids.KIND_EXECUTION_REPORT
    return grounds.fits(header.ground, header.outcome, report=report, asked=_asked(placed))


def _asked(placed: Placed) -> Kind | None:
    """Return what was asked: the nearest, for a request to confiscate may cite one to freeze, and has own grounds."""
    return next((above.kind for above in placed.above if above.kind in _ASKED), None)


def _check_dual_criminality(placed: Placed, directory: Directory) -> None:
    """2018/1805 Art. 3: a grant says why the act is criminal here too, or why nobody asks."""
    header = placed.header
    said = header.dual_criminality
    if not placed.step.reviews:
        if said:
            raise placed.out_of_order("only a decision on a request says how dual criminality was answered", _DUAL)
        return
    if not said:
        raise placed.out_of_order("a decision says how dual criminality was answered (2018/1805 Art. 3)", _DUAL)
    absent = said == ids.DUAL_CRIMINALITY_ABSENT
    if absent != (header.ground == ids.GROUND_NO_DUAL_CRIMINALITY):
        raise placed.out_of_order("absent dual criminality is its own ground, and no other's (Art. 8(1)(e))", _DUAL)
    if header.outcome in GRANTS and not absent and said not in _DUALLY_CRIMINAL:
        raise placed.out_of_order("what is granted is criminal here too, or that need not be asked (Art. 3)", _DUAL)
    if said in (ids.DUAL_CRIMINALITY_LISTED_OFFENCE, ids.DUAL_CRIMINALITY_NOT_REQUIRED):
        relied_on = next((above.instrument for above in placed.above if above.instrument), "")
        if not relied_on and not placed.is_whole:
            return  # the request is not known here
        if said == ids.DUAL_CRIMINALITY_NOT_REQUIRED and _asked(placed) in _NEVER_TESTED:
            return
        listed = directory.no_dual_criminality(relied_on)
        if not listed or (said == ids.DUAL_CRIMINALITY_NOT_REQUIRED and NEVER_REQUIRED not in listed):
            detail = f"the instrument {relied_on!r} does not say so: test it on the conduct (Art. 3(2))"
            raise Refusal(ErrorCode.NO_LEGAL_BASIS, detail, _DUAL)


def _check_scope(placed: Placed) -> None:
    """Measures and classes are such as this kind may name, and some are named where something is asked or granted."""
    header, step, cited = placed.header, placed.step, placed.cited
    if not (placed.measures <= step.measures and placed.data_classes <= step.data_classes):
        raise _beyond(placed, step.measures, step.data_classes, f"is nothing that {placed.rule} may name")
    if placed.measures or (placed.data_classes and not step.needs_measure):
        return
    asked = cited is not None and bool(cited.measures or cited.data_classes)
    grants = step.grants and asked and header.outcome in _ALLOWING
    if step.needs_measure or step.asks or grants:
        raise placed.out_of_order("it names no measure and no class of data", "measures")


def _beyond(placed: Placed, measures: AbstractSet[Measure], classes: AbstractSet[DataClass], why: str) -> Refusal:
    """Return a refusal of the first measure or class that is none of these."""
    header = placed.header
    names = [
        *(("measures", at, ids.Measure.Name(each)) for at, each in enumerate(header.measures) if each not in measures),
        *(
            ("data_classes", at, ids.DataClass.Name(each))
            for at, each in enumerate(header.data_classes)
            if each not in classes
        ),
    ]
    where, position, name = names[0]
    return placed.refused(ErrorCode.EXCEEDS_GRANT, f"{name} {why}", f"{where}[{position}]")


def check_within_cited(placed: Placed) -> None:
    """Check that it asks, grants, orders or reports no more than the cited envelope did, where the row says so.

    Raises:
        Refusal: EXCEEDS_GRANT; OUT_OF_ORDER, a report on what is to be confiscated does not say how much was recovered,
            or it is about a part of what can only be answered as a whole.
    """
    header, cited = placed.header, placed.cited
    if cited is not None and placed.step.whole and placed.data_classes:
        left_out = frozenset(cited.data_classes) - placed.data_classes
        if left_out:
            name = ids.DataClass.Name(min(left_out))
            raise placed.out_of_order(f"it is about all that was asked, and leaves out {name}", "data_classes")
    reports = placed.rule.kind == ids.KIND_EXECUTION_REPORT and header.outcome in GRANTS
    if reports and caps_recovery(cited) and not header.HasField("amount"):
        raise placed.out_of_order("it does not say how much was recovered, which others deduct (Art. 18(4))", "amount")
    bound = meant(placed.above) if placed.step.within else None
    if bound is not None:
        check_within(placed, (bound,), "what it cites" if bound is cited else "what that acknowledges")


def meant(above: Sequence[pb.Header]) -> pb.Header | None:
    """Return what a step goes on from: what it cites, or what that acknowledges; None if that is not known here.

    Args:
        above: what it cites, what that cites, and so on.
    """
    # An acknowledgement asks and grants nothing itself.
    return next((each for each in above[:2] if each.kind != ids.KIND_ACKNOWLEDGEMENT), None)


def caps_recovery(cited: pb.Header | None) -> bool:
    """Whether a report on this says how much was recovered, which other States deduct (2018/1805 Art. 18(4))."""
    return cited is not None and cited.kind == ids.KIND_CONFISCATION_REQUEST and cited.HasField("amount")


def check_within(placed: Placed, allowing: Sequence[pb.Header], what: str) -> None:
    """Check that measures, data classes and sums are among those that `allowing` allowed together.

    Raises:
        Refusal: EXCEEDS_GRANT.
    """
    header = placed.header
    # Of nothing, nothing is left over: then nobody reads what was allowed.
    measures, data_classes = placed.measures, placed.data_classes
    for allowed in allowing:
        measures = measures and measures.difference(allowed.measures[:])
        data_classes = data_classes and data_classes.difference(allowed.data_classes[:])
    if measures or data_classes:
        detail = f"goes beyond {what}"
        raise _beyond(placed, placed.measures - measures, placed.data_classes - data_classes, detail)
    if header.HasField("amount"):
        for most in sums_above(placed):
            check_sum(placed, header.amount, most)


def sums_above(placed: Placed) -> Iterator[evidence.Money]:
    """Yield the sums that what it rests on allows.

    What a request cites is another State's part of the same order; and a refusal of what an exchange reports must not
    tell it the sum that is asked above its order: its court is held to that.
    """
    for above in placed.above:
        if above.HasField("amount") and above.kind != ids.KIND_EXECUTION_REPORT:
            yield above.amount
        if above.kind in REQUESTS | ORDERS:
            return


def check_sum(placed: Placed, amount: evidence.Money, most: evidence.Money) -> None:
    """Check that a sum is no more than another, in the same currency.

    Raises:
        Refusal: EXCEEDS_GRANT.
    """
    if amount.currency != most.currency:
        raise placed.refused(ErrorCode.EXCEEDS_GRANT, f"it is in another currency than {most.currency}", "amount")
    if Decimal(amount.amount) > Decimal(most.amount):
        raise placed.refused(ErrorCode.EXCEEDS_GRANT, f"more than {most.amount} {most.currency}", "amount")


def outcomes_to_report(reported: set[Outcome]) -> set[Outcome]:
    """Return what may be reported of these: a failure is not passed on as a success, nor a success as a failure."""
    if len(reported) == 1:
        return reported
    return (reported | {ids.OUTCOME_PARTLY_GRANTED}) - {ids.OUTCOME_REFUSED}


def reported(reports: Sequence[pb.Header], otherwise: State) -> State:
    """Return where what was reported on stands by the last report."""
    return _REPORTED[reports[-1].outcome] if reports else otherwise


def holds_assets(matter: pb.Header) -> bool:
    """Whether a matter asks that assets be held or taken."""
    return not HOLDING.isdisjoint(matter.measures[:])


def holds(order: pb.Header, state: State) -> bool:
    """Whether there is something to release of an order: assets, content, or data to keep or still to hand over."""
    if state in FINAL:
        return False
    lasts = order.kind in (ids.KIND_PROVISIONAL_ORDER, ids.KIND_TAKEDOWN_NOTICE) or holds_assets(order)
    return lasts or state in _STILL_TO_DO


def uncorrected(papers: Sequence[pb.Header], way: Way) -> list[pb.Header]:
    """Return these without what was corrected: of decisions, and of reports on an order, the last on each counts.

    A court may tell of one order after the other; of its reports on a decision count all since the last failure.

    Args:
        papers: what lies at the end of a way down, oldest first.
        way: that way.
    """
    if _CORRECTED_BY_NEXT.isdisjoint(way[-1]):
        return [*papers]
    if not ends_in_decisions(way[:-1]):
        return last_on_each(papers)
    kept: dict[tuple[str, str], list[pb.Header]] = {}
    for paper in papers:
        # What failed in the end had no success before; and what succeeded in the end had no failure.
        before = kept.get(_cited(paper), [])
        begins = paper.outcome == ids.OUTCOME_REFUSED or (before[-1:] and before[-1].outcome == ids.OUTCOME_REFUSED)
        kept[_cited(paper)] = [paper] if begins else [*before, paper]
    return [*chain.from_iterable(kept.values())]


def last_on_each(papers: Iterable[pb.Header]) -> list[pb.Header]:
    """Return the last of these on each envelope that they cite."""
    return [*{_cited(paper): paper for paper in papers}.values()]


def _cited(paper: pb.Header) -> tuple[str, str]:
    return paper.cites[0].sender, paper.cites[0].id
