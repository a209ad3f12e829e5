"""Two countries go every way of the table by the clients' methods alone, over two real nodes without network.

So there is a method for each row, what it composes is lawful, and whatever it refuses early the node refuses too, with
the same code.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.actor import Actor, Complainant
from clients.central_authority import CentralAuthority
from clients.contact import Contact, ContactPoint, FinancialIntelligenceUnit
from clients.court import Court
from clients.drafting import Author, Drafted
from clients.exchange import Exchange
from clients.intake import Received
from clients.investigator import Investigator
from clients.ombudsperson import Ombudsperson
from clients.participant import Participant, Parts
from gateway import envelope, procedure
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.row_checks import permitted
from gateway.rules import CaseRule, Kind, Step, word
from gateway.steps import BY_CITATION, STEPS
from gateway.transport import TlsIdentity
from gateway.verify import VerifiedEnvelope
from tests import law, paperwork, samples, world
from tests.law import Countries
from tests.samples import parts

ACTORS: dict[Role, type[Actor]] = {
    each.role: each
    for each in (
        Investigator,
        CentralAuthority,
        Court,
        FinancialIntelligenceUnit,
        ContactPoint,
        Exchange,
        Ombudsperson,
    )
}
BLOCK, MOVE, CONFISCATE = ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_TRANSFER, ids.MEASURE_CONFISCATE
WHO, RECORDS = ids.DATA_CLASS_SUBSCRIBER, ids.DATA_CLASS_TRANSACTIONAL
GRANTED, REFUSED = ids.OUTCOME_GRANTED, ids.OUTCOME_REFUSED
ASKED: dict[str, Any] = {"case_id": "EE-1", "instrument": law.TREATY}
ABROAD: dict[str, Any] = {"to": "de/central-authority", "via": "ee/central-authority", **ASKED}
ELSEWHERE: dict[str, Any] = ABROAD | {"to": "de/central-authority-2"}


@dataclass
class Way:
    """One row, as it was gone: what was refused early in a wrong place of it, and what the node said there."""

    wrong: dict[str, tuple[ErrorCode, ErrorCode | None]] = field(default_factory=dict)


class Play:
    """Everybody of both countries, with the law's own nodes between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.countries: Countries = law.countries(folder)
        self.ways: dict[Step, Way] = {}
        self._people: dict[str, Participant] = {}
        self._headers: dict[str, pb.Header] = {}
        self.prosecutor = Investigator(self.person("ee/investigator"))
        self.home = CentralAuthority(self.person("ee/central-authority"))
        self.ministry = CentralAuthority(self.person("de/central-authority"))
        self.next_ministry = CentralAuthority(self.person("de/central-authority-2"))
        self.court = Court(self.person("de/court"))
        self.second_court = Court(self.person("de/court-2"))
        self.exchange = Exchange(self.person("de/exchange"))

    def person(self, address: str) -> Participant:
        if address not in self._people:
            self._people[address] = Participant(
                Parts(
                    directory=law.DIRECTORY,
                    address=Address.parse(address),
                    tls=TlsIdentity(b"", b""),
                    home=self.folder / address,
                    signing_keys=(world.signing_key(address),),
                    sealing_keys=(world.sealing_key(address),),
                    clock=lambda: self.countries.now,
                )
            )
        return self._people[address]

    def send(self, made: Composed | pb.SignedEnvelope) -> Received:
        """Bring it through both nodes to its recipient, who opens it; before that, try what is beside it."""
        signed = made.envelope if isinstance(made, Composed) else made
        header = envelope.parse_header(signed)
        step = self._step(header)
        way = self.ways.setdefault(step, Way())
        for name, spoil in SPOILT.items():
            self._try(way, name, spoil, signed, step)
        home, there = self.countries.nodes[header.sender[:2]], header.recipients[0][:2]
        self.countries._take(home, signed, header)
        self._headers[header.id] = header
        if there != home.code:
            self.countries.on_the_way.append((there, signed))
        self.countries.arrive()
        assert self.countries.refused == []
        return self.person(header.recipients[0]).secrets.open(signed)

    def countersigned(self, author: Author, drafted: Drafted) -> Received:
        draft = self.send(drafted.draft)
        answer = self.send(CentralAuthority(self.person(draft.header.recipients[0])).countersign(draft))
        return self.send(author.add_countersignature(answer))

    def _cited(self, header: pb.Header) -> pb.Header | None:
        return self._headers[header.cites[0].id] if header.cites else None

    def _step(self, header: pb.Header) -> Step:
        cited = self._cited(header)
        kind: Kind = ids.KIND_UNSPECIFIED if cited is None else cited.kind
        (rule,) = permitted(header, law.DIRECTORY)
        return BY_CITATION[rule, kind]

    def _try(
        self, way: Way, name: str, spoil: Callable[[pb.Header, Step], object], signed: pb.SignedEnvelope, step: Step
    ) -> None:
        header = envelope.parse_header(signed)
        spoil(header, step)
        early = self._early(header, ACTORS[step.rule.sender](self.person(header.sender)), step)
        if early is not None:
            way.wrong.setdefault(name, (early, self._late(header, signed)))

    def _early(self, header: pb.Header, actor: Actor, step: Step) -> ErrorCode | None:
        try:
            actor._check(actor._place(header, self._cited(header)), drafted=step.countersigned_by is not None)
        except Refusal as refusal:
            return refusal.code
        return None

    def _late(self, header: pb.Header, signed: pb.SignedEnvelope) -> ErrorCode | None:
        rules = permitted(header, law.DIRECTORY)
        if not rules:
            return ErrorCode.NOT_PERMITTED
        node = self.countries.nodes[header.sender[:2]]
        copy = pb.SignedEnvelope(header=header.SerializeToString(), signatures=signed.signatures)
        verified = VerifiedEnvelope(world.peer(header.sender, law.DIRECTORY), rules, copy, header, bytes(32))
        try:
            with self.countries._transaction(node) as txn:
                procedure.check(verified, txn, law.DIRECTORY, node.code, node.policy)
        except Refusal as refusal:
            return refusal.code
        return None


def _amount(header: pb.Header, _: Step) -> None:
    header.amount.CopyFrom(evidence.Money(currency="EUR", amount="99999999999"))


def _taken_case(header: pb.Header, step: Step) -> None:
    header.case_id = "EE-1" if step.case is CaseRule.OWN else "XX-9"


SPOILT: dict[str, Callable[[pb.Header, Step], object]] = {
    "to its twin": lambda h, _: h.recipients.__setitem__(0, f"{h.recipients[0].removesuffix('-2')}-2"),
    "to an auditor": lambda h, _: h.recipients.__setitem__(0, "fr/auditor"),
    "in a wrong case": _taken_case,
    "cites nothing": lambda h, _: h.ClearField("cites"),
    "another law": lambda h, _: setattr(h, "instrument", "no-such-law"),
    "postponed": lambda h, _: setattr(h, "outcome", ids.OUTCOME_POSTPONED),
    "refused": lambda h, _: setattr(h, "outcome", REFUSED),
    "on a ground": lambda h, _: setattr(h, "ground", ids.GROUND_RETURNED_FOR_CORRECTION),
    "of a court": lambda h, _: setattr(h, "dual_criminality", ids.DUAL_CRIMINALITY_ABSENT),
    "more measures": lambda h, _: h.measures.append(ids.MEASURE_TAKE_DOWN),
    "more data": lambda h, _: h.data_classes.append(ids.DATA_CLASS_CONTENT),
    "more money": _amount,
    "without end": lambda h, _: setattr(h, "in_force_until_us", h.created_at_us + 1),
    "aimed": lambda h, _: h.target_tokens.append(bytes(32)),
}


def paper(kind: Kind, **changes: Any) -> Any:
    """The sample document of a kind, changed."""
    found: Any = samples.complete(kind)
    for name, value in changes.items():
        found.ClearField(name)
        if isinstance(value, list | tuple):
            getattr(found, name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(found, name).CopyFrom(value)
        elif value is not None:
            setattr(found, name, value)
    return found


def decision(measures: Any = (), data_classes: Any = (), **changes: Any) -> orders.ReviewDecision:
    return paperwork.decision(measures=measures, data_classes=data_classes, **changes)


def order(measures: Any = (BLOCK,), data_classes: Any = (RECORDS,), **changes: Any) -> orders.DomesticOrder:
    return paperwork.order(measures=measures, data_classes=data_classes, **changes)


def told(measures: Any = (), data_classes: Any = (), **changes: Any) -> orders.ExecutionReport:
    """A report without results: of what names no wallet."""
    return orders.ExecutionReport(outcome=GRANTED, measures=measures, data_classes=data_classes, **changes)


def valued(report: orders.ExecutionReport) -> orders.ExecutionReport:
    """The same, with what was recovered: other States deduct it."""
    told = orders.ExecutionReport(property="5 bitcoin", estimated_value=parts.euros("893579.50"))
    told.MergeFrom(report)
    return told


RELEASED: dict[str, Any] = {"wallets": (), "amounts": ()}
LAPSING: dict[str, Any] = {"lapses_by_itself": True, "expires_at_us": parts.at(3, 9, 12)}


def freeze(play: Play) -> None:
    """A freeze from draft to release, with everything that can come between; it was sent to the wrong authority."""
    request = asked(play)
    referral, decided = decided_by_the_court(play, request)
    ordered = executed(play, request, decided)
    changed(play, request, referral, decided, ordered)
    ended(play, request, decided, ordered)


def asked(play: Play) -> Received:
    wanted: dict[str, Any] = {"measures": [BLOCK, MOVE], "data_classes": [RECORDS]}
    taken_back = play.send(play.prosecutor.draft_freeze(paperwork.request(), **ABROAD, **wanted).draft)
    play.send(play.prosecutor.withdraw_draft(taken_back.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    returned = play.send(play.prosecutor.draft_freeze(paperwork.request(), **ABROAD, **wanted).draft)
    play.send(play.home.return_draft(returned, "the file number is missing"))
    first = play.countersigned(play.prosecutor, play.prosecutor.draft_freeze(paperwork.request(), **ABROAD, **wanted))
    play.send(play.ministry.notify_forwarding(first, paper(ids.KIND_FORWARDING)))
    play.send(play.ministry.forward(first, paper(ids.KIND_FORWARDING), to="de/central-authority-2"))
    anew = ABROAD | {"to": "de/central-authority-2", "cites": first.header}
    return play.countersigned(play.prosecutor, play.prosecutor.draft_freeze(paperwork.request(), **anew, **wanted))


def decided_by_the_court(play: Play, request: Received) -> tuple[Received, Received]:
    ministry = play.next_ministry
    play.send(ministry.acknowledge(request, paper(ids.KIND_ACKNOWLEDGEMENT)))
    question = play.send(ministry.ask_clarification(request, paper(ids.KIND_CLARIFICATION_REQUEST)))
    play.send(play.prosecutor.clarify(question, paper(ids.KIND_CLARIFICATION)))
    play.send(ministry.notify_delay(request, paper(ids.KIND_DELAY_NOTICE)))
    idle = play.send(ministry.refer(request, court="de/court-2", case_id="DE-0"))
    play.send(ministry.withdraw_referral(idle.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    referral = play.send(ministry.refer(request, court="de/court", case_id="DE-1"))
    question = play.send(play.court.ask_clarification(referral, paper(ids.KIND_CLARIFICATION_REQUEST, ground=None)))
    play.send(ministry.clarify(question, paper(ids.KIND_CLARIFICATION)))
    ranked = paper(ids.KIND_PRIORITY_DECISION, outcome=GRANTED, ground=None)
    play.send(play.court.decide_priority(referral, ranked))
    priority = play.send(ministry.notify_priority(request, ranked))
    play.send(play.prosecutor.dispute_priority(priority, paper(ids.KIND_PRIORITY_DISPUTE)))
    decided = play.send(play.court.decide(referral, decision([BLOCK, MOVE], [RECORDS])))
    play.send(ministry.notify_decision(request, decided))
    return referral, decided


def executed(play: Play, request: Received, decided: Received) -> Received:
    until = order([BLOCK, MOVE], expires_at_us=parts.at(3, 3, 17, year=2027))
    ordered = play.send(play.court.order(decided.header, until, exchange="de/exchange", case_id="AG-1"))
    play.send(play.exchange.acknowledge(ordered, paper(ids.KIND_ACKNOWLEDGEMENT)))
    question = play.send(play.exchange.ask_clarification(ordered, paper(ids.KIND_CLARIFICATION_REQUEST, ground=None)))
    play.send(play.court.clarify(question, paper(ids.KIND_CLARIFICATION)))
    objection = play.send(play.exchange.object_to(ordered, paper(ids.KIND_OBJECTION)))
    play.send(play.court.decide_objection(objection, paper(ids.KIND_OBJECTION_DECISION, outcome=REFUSED)))
    answered = play.send(
        play.exchange.answer(ordered, [paperwork.result(frozen=[paperwork.bitcoin("5")])], [paperwork.transaction()])
    )
    handed_over = play.send(play.exchange.disclose(ordered, disclosure(RECORDS)))
    play.send(play.exchange.record_custody(handed_over.header, paper(ids.KIND_CUSTODY_EVENT)))
    reported = play.send(
        play.court.report_to_central_authority(decided.header, answered.document, rests_on=[answered])  # type: ignore[arg-type]
    )
    play.send(play.next_ministry.report_abroad(request, reported.document, rests_on=[reported]))  # type: ignore[arg-type]
    passed_on = play.send(play.court.disclose(decided.header, disclosure(RECORDS)))
    play.send(play.court.record_custody(passed_on.header, paper(ids.KIND_CUSTODY_EVENT)))
    abroad = play.send(play.next_ministry.disclose(request, disclosure(RECORDS)))
    play.send(play.next_ministry.record_custody(abroad.header, paper(ids.KIND_CUSTODY_EVENT)))
    return ordered


def changed(play: Play, request: Received, referral: Received, decided: Received, ordered: Received) -> None:
    ministry = play.next_ministry
    extension = paper(ids.KIND_EXTENSION)
    play.countersigned(
        play.prosecutor, play.prosecutor.draft_extension(request.header, extension, via="ee/central-authority")
    )
    play.send(ministry.extend_referral(referral.header, extension))
    play.send(play.court.extend(ordered.header, extension))
    limited = play.send(ministry.ask_limitation(request, paper(ids.KIND_LIMITATION_REQUEST)))
    play.send(play.prosecutor.answer_limitation(limited, paper(ids.KIND_LIMITATION_ANSWER)))
    play.send(play.court.limit(ordered.header, paper(ids.KIND_LIMITATION)))
    play.send(ministry.notify_limitation(request, paper(ids.KIND_LIMITATION, clock=None)))
    claim = play.send(play.court.notify_claim(decided.header, paper(ids.KIND_CLAIM)))
    notified = play.send(ministry.notify_claim(request, paper(ids.KIND_CLAIM)))
    dismissed = paper(ids.KIND_CLAIM_DECISION, outcome=followups.CLAIM_OUTCOME_DISMISSED)
    play.send(play.court.decide_claim(claim.header, dismissed))
    play.send(ministry.notify_claim_decision(notified.header, dismissed))


def ended(play: Play, request: Received, decided: Received, ordered: Received) -> None:
    confiscation = ABROAD | {"to": "de/central-authority-2", "cites": request.header}
    play.countersigned(
        play.prosecutor, play.prosecutor.draft_confiscation(paper(ids.KIND_CONFISCATION_REQUEST), **confiscation)
    )
    play.countersigned(
        play.prosecutor,
        play.prosecutor.draft_restitution(
            request.header, paper(ids.KIND_RESTITUTION_DECISION), via="ee/central-authority"
        ),
    )
    transfer = paper(ids.KIND_TRANSFER_ORDER)
    moving: dict[str, Any] = {"via": "de/central-authority-2", "measures": [MOVE]}
    taken_back = play.send(play.court.draft_transfer(ordered.header, transfer, **moving).draft)
    play.send(play.court.withdraw_draft(taken_back.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    moved = play.countersigned(play.court, play.court.draft_transfer(ordered.header, transfer, **moving))
    play.send(play.exchange.report(moved, told([MOVE])))
    released = play.send(play.court.release(ordered.header, paper(ids.KIND_RELEASE, **RELEASED)))
    play.send(play.exchange.report(released, told()))
    play.send(play.court.confirm_release(decided.header, paper(ids.KIND_RELEASE, **RELEASED)))
    play.send(play.next_ministry.confirm_release(request, paper(ids.KIND_RELEASE, **RELEASED)))


def disclosure(*data_classes: ids.DataClass.ValueType) -> orders.Disclosure:
    """What was handed over of these classes, one of SUBSCRIBER and TRANSACTIONAL or both."""
    kept = {"subscribers": WHO, "transactions": RECORDS, "ledger": RECORDS, "deposit_addresses": RECORDS}
    kept |= {"withdrawal_addresses": RECORDS}
    full = paper(ids.KIND_DISCLOSURE, data_classes=data_classes, accesses=(), balances=(), contents=())
    for name, data_class in kept.items():
        if data_class not in data_classes:
            full.ClearField(name)
    full.ClearField("windows")
    full.windows.extend(parts.window(each) for each in data_classes)
    full.ClearField("fields")
    for each in data_classes:
        full.fields.add(data_class=each, name="all of it", answer=orders.FIELD_ANSWER_SUPPLIED)
    return full  # type: ignore[no-any-return]


def confiscation(play: Play) -> None:
    """A confiscation in two parts of one State, shared and closed."""
    document = paper(ids.KIND_CONFISCATION_REQUEST)
    request = play.countersigned(play.prosecutor, play.prosecutor.draft_confiscation(document, **ABROAD))
    measures = list(request.header.measures)
    referral = play.send(play.ministry.refer(request, court="de/court", case_id="DE-2"))
    decided = play.send(play.court.decide(referral, decision(measures)))
    play.send(play.ministry.notify_decision(request, decided))
    ordered = play.send(
        play.court.order(decided.header, order([CONFISCATE], []), exchange="de/exchange", case_id="AG-2")
    )
    answered = play.send(play.exchange.answer(ordered, [paperwork.result(frozen=[paperwork.bitcoin("5")])]))
    reported = play.send(
        play.court.report_to_central_authority(decided.header, answered.document, rests_on=[answered])  # type: ignore[arg-type]
    )
    play.send(play.ministry.report_abroad(request, valued(reported.document), rests_on=[reported]))  # type: ignore[arg-type]
    play.send(play.ministry.share(request, paper(ids.KIND_SHARING_STATEMENT)))
    released = play.send(play.court.release(ordered.header, paper(ids.KIND_RELEASE, **RELEASED)))  # as confiscated
    play.send(play.exchange.report(released, told()))
    play.send(play.ministry.report_finally(request, paper(ids.KIND_FINAL_REPORT)))
    play.send(play.prosecutor.close(request.header, paper(ids.KIND_CLOSURE)))


def confiscation_elsewhere(play: Play) -> None:
    """The same order is executed by another authority too."""
    document = paper(ids.KIND_CONFISCATION_REQUEST)
    here = ABROAD | {"case_id": "EE-9"}  # another order than the one before
    first = play.countersigned(play.prosecutor, play.prosecutor.draft_confiscation(document, **here))
    play.send(play.prosecutor.withdraw(first.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    elsewhere = here | {"to": "de/central-authority-2", "cites": first.header}
    play.countersigned(play.prosecutor, play.prosecutor.draft_confiscation(document, **elsewhere))


def evidence_in_due_form(play: Play) -> None:
    """Evidence, handed over and then enforced; it was asked of the wrong authority."""
    document = paper(ids.KIND_EVIDENCE_REQUEST, emergency=None)
    wrong = play.countersigned(play.prosecutor, play.prosecutor.draft_evidence(document, **ELSEWHERE))
    play.send(play.next_ministry.notify_forwarding(wrong, paper(ids.KIND_FORWARDING)))
    anew = ABROAD | {"cites": wrong.header}
    request = play.countersigned(play.prosecutor, play.prosecutor.draft_evidence(document, **anew))
    question = play.send(play.ministry.ask_clarification(request, paper(ids.KIND_CLARIFICATION_REQUEST)))
    play.send(play.prosecutor.clarify(question, paper(ids.KIND_CLARIFICATION)))
    referral = play.send(play.ministry.refer(request, court="de/court", case_id="DE-3"))
    classes = list(request.header.data_classes)
    decided = play.send(play.court.decide(referral, decision((), classes)))
    play.send(play.ministry.notify_decision(request, decided))
    data_only = order([], [WHO, RECORDS], scope=None)
    ordered = play.send(play.court.order(decided.header, data_only, exchange="de/exchange", case_id="AG-3"))
    play.send(play.exchange.disclose(ordered, disclosure(WHO, RECORDS)))
    play.send(play.court.disclose(decided.header, disclosure(WHO, RECORDS)))
    play.send(play.ministry.disclose(request, disclosure(WHO, RECORDS)))
    play.send(play.exchange.report(ordered, told((), [WHO], results=[paperwork.result()])))
    enforced = play.countersigned(
        play.prosecutor,
        play.prosecutor.draft_enforcement(
            request.header, paper(ids.KIND_ENFORCEMENT_REQUEST), via="ee/central-authority"
        ),
    )
    play.send(play.ministry.ask_clarification(enforced, paper(ids.KIND_CLARIFICATION_REQUEST)))
    play.send(play.court.close(ordered.header, paper(ids.KIND_CLOSURE)))
    play.send(play.ministry.close_referral(referral.header, paper(ids.KIND_CLOSURE)))
    again = play.send(play.ministry.refer(request, court="de/court-2", case_id="DE-4"))
    decided = play.send(play.second_court.decide(again, decision((), classes)))
    play.send(play.second_court.close_review(decided.header, paper(ids.KIND_CLOSURE)))


def evidence_in_an_emergency(play: Play) -> None:
    """Identities without a countersignature: validated afterwards, or objected to."""
    document = paper(ids.KIND_EVIDENCE_REQUEST, data_classes=[WHO], windows=())
    asked = {"to": "de/central-authority", **ASKED}
    wrong = play.send(play.prosecutor.ask_in_emergency(document, **asked | {"to": ELSEWHERE["to"]}))
    play.send(play.next_ministry.notify_forwarding(wrong, paper(ids.KIND_FORWARDING)))
    request = play.send(play.prosecutor.ask_in_emergency(document, **asked, cites=wrong.header))
    validation = paper(ids.KIND_VALIDATION)
    play.countersigned(
        play.prosecutor, play.prosecutor.draft_validation(request.header, validation, via="ee/central-authority")
    )
    other = play.send(play.prosecutor.ask_in_emergency(document, **asked))
    play.send(play.ministry.object_to(other, paper(ids.KIND_OBJECTION)))
    play.send(play.prosecutor.close(other.header, paper(ids.KIND_CLOSURE)))  # what came is deleted


def takedown(play: Play) -> None:
    """Content is taken down; that was asked of the wrong authority."""
    notice = paper(ids.KIND_TAKEDOWN_NOTICE)
    wrong = play.countersigned(play.prosecutor, play.prosecutor.draft_takedown(notice, **ELSEWHERE))
    play.send(play.next_ministry.notify_forwarding(wrong, paper(ids.KIND_FORWARDING)))
    anew = ABROAD | {"cites": wrong.header}
    request = play.countersigned(play.prosecutor, play.prosecutor.draft_takedown(notice, **anew))
    referral = play.send(play.ministry.refer(request, court="de/court", case_id="DE-4"))
    decided = play.send(play.court.decide(referral, decision([ids.MEASURE_TAKE_DOWN])))
    own = paper(ids.KIND_TAKEDOWN_NOTICE)
    own.authority.country = "DE"
    ordered = play.send(play.court.order_takedown(decided.header, own, exchange="de/exchange", case_id="AG-4"))
    play.send(play.exchange.report(ordered, told([ids.MEASURE_TAKE_DOWN])))


def held(play: Play, unit: type[Contact], name: str) -> None:
    """What cannot wait is held, put before a judge and confirmed."""
    asking, asked = unit(play.person(f"ee/{name}")), unit(play.person(f"de/{name}"))
    there = {"to": f"de/{name}", **ASKED}
    via: dict[str, Any] = {"via": "ee/central-authority"}  # as its own country's law may want
    freezing = paper(ids.KIND_PROVISIONAL_FREEZE, measures=[BLOCK])
    taken_back = play.send(asking.draft_freeze(freezing, **there, **via).draft)
    play.send(asking.withdraw_draft(taken_back.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    play.countersigned(asking, asking.draft_freeze(freezing, **there, **via))
    request = play.send(asking.ask_freeze(freezing, **there))
    here = play.send(asked.acknowledge(request, paper(ids.KIND_ACKNOWLEDGEMENT)))
    question = play.send(asked.ask_clarification(request, paper(ids.KIND_CLARIFICATION_REQUEST, ground=None)))
    play.send(asking.clarify(question, paper(ids.KIND_CLARIFICATION)))
    wanted = order([BLOCK], [], **LAPSING)
    ordered = play.send(asked.order(request, here.header, wanted, exchange="de/exchange", case_id=f"PO-{name}"))
    play.send(play.exchange.acknowledge(ordered, paper(ids.KIND_ACKNOWLEDGEMENT)))
    question = play.send(play.exchange.ask_clarification(ordered, paper(ids.KIND_CLARIFICATION_REQUEST, ground=None)))
    play.send(asked.clarify(question, paper(ids.KIND_CLARIFICATION)))
    objection = play.send(play.exchange.object_to(ordered, paper(ids.KIND_OBJECTION)))
    play.send(asked.decide_objection(objection, paper(ids.KIND_OBJECTION_DECISION, outcome=REFUSED)))
    answered = play.send(play.exchange.answer(ordered, [paperwork.result(frozen=[paperwork.bitcoin("5")])]))
    play.send(asked.report_abroad(request, answered.document, rests_on=[answered]))  # type: ignore[arg-type]
    idle = play.send(asked.refer(request, court="de/court-2", case_id=f"DE-{name}0"))
    play.send(asked.withdraw_referral(idle.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    referral = play.send(asked.refer(request, court="de/court", case_id=f"DE-{name}1"))
    question = play.send(play.court.ask_clarification(referral, paper(ids.KIND_CLARIFICATION_REQUEST, ground=None)))
    play.send(asked.clarify(question, paper(ids.KIND_CLARIFICATION)))
    decided = play.send(play.court.decide(referral, decision([BLOCK])))
    confirmed = paper(ids.KIND_CONFIRMATION, measures=[BLOCK], data_classes=())
    play.send(asked.confirm_order(ordered.header, confirmed))
    play.send(asked.confirm(request, confirmed))
    also = play.send(play.court.order(decided.header, order([BLOCK], []), exchange="de/exchange", case_id=f"AG-{name}"))
    answered = play.send(play.exchange.answer(also, [paperwork.result(frozen=[paperwork.bitcoin("5")])]))
    reported = play.send(
        play.court.report_to_central_authority(decided.header, answered.document, rests_on=[answered])  # type: ignore[arg-type]
    )
    play.send(asked.report_abroad(request, reported.document, rests_on=[reported]))  # type: ignore[arg-type]
    claim = play.send(play.court.notify_claim(decided.header, paper(ids.KIND_CLAIM)))
    dismissed = paper(ids.KIND_CLAIM_DECISION, outcome=followups.CLAIM_OUTCOME_DISMISSED)
    play.send(play.court.decide_claim(claim.header, dismissed))
    ended = play.send(play.court.release(also.header, paper(ids.KIND_RELEASE, **RELEASED)))
    play.send(play.exchange.report(ended, told()))
    released = play.send(asked.release(ordered.header, paper(ids.KIND_RELEASE, **RELEASED)))
    play.send(play.exchange.report(released, told()))
    play.send(play.court.close_review(decided.header, paper(ids.KIND_CLOSURE)))
    play.send(asked.confirm_release(request, paper(ids.KIND_RELEASE, **RELEASED)))


def kept(play: Play, unit: type[Contact], name: str) -> None:
    """What cannot wait is kept, for longer and no more; or that is refused."""
    asking, asked = unit(play.person(f"ee/{name}")), unit(play.person(f"de/{name}"))
    there = {"to": f"de/{name}", **ASKED}
    via = {"via": "ee/central-authority"}
    document = paper(ids.KIND_PRESERVATION_REQUEST, emergency=None, data_classes=[RECORDS], windows=())
    play.countersigned(asking, asking.draft_preservation(document, **there, **via))
    request = play.send(asking.ask_preservation(document, **there))
    wanted = order([], [RECORDS], scope=None, **LAPSING)
    here = play.send(asked.acknowledge(request, paper(ids.KIND_ACKNOWLEDGEMENT)))
    stays = play.send(asked.order(request, here.header, wanted, exchange="de/exchange", case_id=f"PO-{name}2"))
    play.send(asking.extend(request.header, paper(ids.KIND_EXTENSION)))
    play.send(asked.extend_order(stays.header, paper(ids.KIND_EXTENSION)))
    play.send(asking.announce_request(request.header, paper(ids.KIND_PRODUCTION_NOTICE)))
    play.send(asked.keep_on(stays.header, paper(ids.KIND_PRODUCTION_NOTICE)))
    play.send(asking.withdraw(request.header, paper(ids.KIND_WITHDRAWAL, wallets=())))
    other = play.send(asking.ask_preservation(document, **there))
    no: dict[str, Any] = {"outcome": REFUSED, "ground": ids.GROUND_POLITICAL_OFFENCE}
    play.send(asked.refuse(other, decision(**no)))
    play.send(asking.warn(paper(ids.KIND_WATCHLIST_NOTICE), **there))


def words_without_question(play: Play) -> None:
    """Told unasked, and complained of."""
    for sender, address in (
        (Investigator, "investigator"),
        (CentralAuthority, "central-authority"),
        (FinancialIntelligenceUnit, "fiu"),
        (ContactPoint, "contact-point"),
    ):
        information = paper(ids.KIND_SPONTANEOUS_INFORMATION)
        play.send(sender(play.person(f"ee/{address}")).tell(information, to=f"de/{address}", **ASKED))


def complaints(play: Play) -> None:
    """Everybody complains of something, and is answered."""
    seen: set[Role] = set()
    for header in [*play._headers.values()]:
        for address in (header.sender, *header.recipients):
            (role,) = law.DIRECTORY.roles(address)
            actor = ACTORS[role](play.person(address))
            intelligence = header.kind in (ids.KIND_SPONTANEOUS_INFORMATION, ids.KIND_WATCHLIST_NOTICE)
            if role in seen or intelligence or not isinstance(actor, Complainant):
                continue
            seen.add(role)
            there = f"{address[:2]}/ombudsperson"
            heard = play.send(
                actor.complain(header, paper(ids.KIND_GRIEVANCE), ombudsperson=there, case_id=f"OM-{len(seen)}")
            )
            play.send(Ombudsperson(play.person(there)).answer(heard, grievance_answer()))


def grievance_answer() -> notices.Notice:
    return paper(ids.KIND_GRIEVANCE_ANSWER, outcome=None)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    made = Play(tmp_path_factory.mktemp("play"))
    for act in (
        freeze,
        confiscation,
        confiscation_elsewhere,
        evidence_in_due_form,
        evidence_in_an_emergency,
        takedown,
        lambda it: held(it, FinancialIntelligenceUnit, "fiu"),
        lambda it: held(it, ContactPoint, "contact-point"),
        lambda it: kept(it, FinancialIntelligenceUnit, "fiu"),
        lambda it: kept(it, ContactPoint, "contact-point"),
        words_without_question,
        complaints,
    ):
        act(made)
    return made


def name_of(step: Step) -> str:
    return f"{step.rule}, citing {' or '.join(sorted(map(word, step.cites))) or 'nothing'}"


# A test order and its report: `clients.selftest`.
ROWS = [step for step in STEPS if not step.is_test]


@pytest.mark.parametrize("step", ROWS, ids=map(name_of, ROWS))
def test_there_is_a_method_that_composes_it_and_it_refuses_early_what_the_node_refuses(play: Play, step: Step) -> None:
    assert step in play.ways
    wrong = play.ways[step].wrong
    assert wrong
    assert {name: early for name, (early, _) in wrong.items()} == {name: late for name, (_, late) in wrong.items()}
