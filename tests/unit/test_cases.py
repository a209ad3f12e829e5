"""What a participant can tell of a case from its own disk is what its node says, and no less."""

import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from clients.cases import Case, Key, Matter, Paper, Said, key_of
from clients.next_steps import Next, Proviso, lawful_next
from gateway import statement
from gateway.envelope import ref_of
from gateway.errors import ErrorCode, Refusal
from gateway.formats import grounds
from gateway.identity import Role
from gateway.rules import FINAL, CaseRule, Link, State, Step, Where
from gateway.steps import ORDERS, PROVISIONAL, REQUESTS, STEPS
from tests import law, world

BLOCK, WHO = ids.MEASURE_BLOCK_WITHDRAWAL, ids.DATA_CLASS_SUBSCRIBER
GRANTED, REFUSED, POSTPONED = ids.OUTCOME_GRANTED, ids.OUTCOME_REFUSED, ids.OUTCOME_POSTPONED
VERIFIED = ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED
REPORT = ids.KIND_EXECUTION_REPORT
INVESTIGATOR, CENTRAL, FIU = "ee/investigator", "ee/central-authority", "ee/fiu"
THEIR_CENTRAL, THEIR_COURT, THEIR_EXCHANGE, THEIR_FIU = (
    "de/central-authority",
    "de/court",
    "de/exchange",
    "de/fiu",
)
SCOPE: dict[str, Any] = {"measures": [BLOCK], "data_classes": [WHO]}
PEOPLE: Final = tuple(
    f"{code}/{role.value}{twin}"
    for code in ("ee", "de")
    for role in Role
    if role not in (Role.NODE, Role.OPERATOR, Role.AUDITOR)
    for twin in ("", "-2")
)
ASKED: Final = REQUESTS | PROVISIONAL | ORDERS | {ids.KIND_DRAFT}
FIRSTS: Final = tuple(each for each in PEOPLE if not each.endswith("-2"))


class Sight:
    """Two countries, and what each participant has seen by now, in the order in which its node recorded it."""

    def __init__(self, folder: Path) -> None:
        self.federation = law.countries(folder)
        self.papers: dict[str, list[Paper]] = {"ee": [], "de": []}
        self.said: dict[str, list[Said]] = {"ee": [], "de": []}
        self.rejected: set[Key] = set()
        self._seen = {"ee": (0, 0), "de": (0, 0)}
        self._refused = self._number = 0
        self._transaction = self.federation._transaction
        self.federation._transaction = self._watched  # type: ignore[method-assign]

    @contextmanager
    def _watched(self, node: law.Node) -> Iterator[Any]:
        with self._transaction(node) as txn:
            yield txn
        self._look(node)

    def _look(self, node: law.Node) -> None:
        envelopes, receipts = self._seen[node.code]
        for seq, raw in node.connection.execute("SELECT seq, header FROM envelopes WHERE seq > ?", (envelopes,)):
            envelopes = seq
            self.papers[node.code].append(Paper(pb.Header.FromString(raw), self._next()))
        for seq, raw in node.connection.execute("SELECT seq, statement FROM receipts WHERE seq > ?", (receipts,)):
            receipts = seq
            self.said[node.code].append(Said(pb.Statement.FromString(raw), self._next()))
        self._seen[node.code] = envelopes, receipts
        # The other node's refusal, which the sender's node takes as it comes.
        for header, _ in self.federation.refused[self._refused :]:
            if header.sender[:2] == node.code:
                self._refused += 1
                issuer = f"{header.recipients[0][:2]}/node"
                said = pb.Statement(envelope=ref_of(header), milestone=pb.MILESTONE_REFUSED, issuer=issuer)
                self.said[node.code].append(Said(said, self._next()))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def case(self, me: str, late: int = 1) -> Case:
        """Return all that a participant knows, as one case.

        Args:
            me: the participant.
            late: it collects once in so many events.
        """
        said = [each for each in self.said[me[:2]] if concerns(each.statement, me)]
        papers = [p for p in self.papers[me[:2]] if me in (p.header.sender, *p.header.recipients)]
        if late > 1:
            papers, said = collected(papers, said, me, late)
        return Case(papers, said, self.federation.directory, me)

    def next(self, me: str) -> list[Next]:
        return lawful_next(self.case(me), self.federation.now)

    def compare(self, me: str, late: int = 1) -> None:
        case = self.case(me, late)
        seen = {key_of(matter.ref): matter for matter in case.matters}
        for header, state in self.federation.matters(me[:2]):
            if me in (header.sender, *header.recipients) and key_of(header) in case.papers:
                matter = seen.pop(key_of(header))
                # Who fetches late may take the one end for the other.
                ended = late > 1 and {matter.state, state} <= FINAL
                how = [(told(event.what), event.state) for event in matter.history]
                assert matter.state is state or ended, (me, told(header), how)
        assert all(matter.header is None for matter in seen.values()), "a matter that the node has not"


def concerns(said: pb.Statement, me: str) -> bool:
    """Whether it is told to a participant, or said by it."""
    to_recipient = said.milestone in statement.TO_RECIPIENT and said.recipient == me
    return me in (said.envelope.sender, said.issuer) or to_recipient


def collected(papers: list[Paper], said: list[Said], me: str, late: int) -> tuple[list[Paper], list[Said]]:
    """Return when things from abroad come, if they are fetched once in a while, and before they are answered."""
    last = max([paper.at_us for paper in papers] + [each.at_us for each in said], default=0)
    fetched = {
        paper.at_us
        for paper in papers
        if paper.header.sender == me and paper.header.cites and paper.header.cites[0].sender != me
    }
    fetched |= {each.at_us for each in said if each.statement.issuer == me}
    fetched |= set(range(0, last + 2 * late, late))
    times = sorted(fetched)

    def at(us: int) -> int:
        return times[bisect_left(times, us)]

    return (
        [p if p.header.sender[:2] == me[:2] else Paper(p.header, at(p.at_us)) for p in papers],
        [s if s.statement.issuer[:2] == me[:2] else Said(s.statement, at(s.at_us)) for s in said],
    )


def told(what: pb.Header | pb.Statement) -> str:
    if isinstance(what, pb.Statement):
        return f"{pb.Milestone.Name(what.milestone)} of {what.envelope.id[-4:]}"
    outcome = ids.Outcome.Name(what.outcome)[8:].lower() if what.outcome else ""
    cited = f" citing {what.cites[0].id[-4:]}" if what.cites else ""
    return (
        f"{what.id[-4:]} {ids.Kind.Name(what.kind)[5:].lower()} {outcome} {what.sender} > {what.recipients[0]}{cited}"
    )


class Story(Sight):
    """Sends one step after another; each was listed for its sender, and everybody agrees with its node afterwards."""

    def go(
        self, kind: ids.Kind.ValueType, sender: str, to: str, cites: ids.EnvelopeRef | None = None, **fields: Any
    ) -> ids.EnvelopeRef:
        listed = [each for each in self.next(sender) if (each.kind, each.cites) == (kind, cites) and to in each.to]
        (step,) = listed
        assert fields.get("outcome", 0) in step.outcomes
        if step.case_id is not None:
            fields.setdefault("case_id", step.case_id)
        if step.step.countersigned_by is not None:
            fields["countersigned_by"] = [f"{sender[:2]}/{step.step.countersigned_by.value}"]
        if step.instruments:
            (fields["instrument"],) = step.instruments
        ref = self.federation.send(kind, sender, to, cites=cites, **fields)
        self.settle()
        return ref

    def settle(self) -> None:
        self.federation.arrive()
        for me in PEOPLE:
            self.compare(me)

    def requested(self, **fields: Any) -> ids.EnvelopeRef:
        return self.go(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, THEIR_CENTRAL, **SCOPE | fields)

    def decided(self, request: ids.EnvelopeRef, **fields: Any) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
        """Return a court's decision and the notice of it abroad."""
        given = {"outcome": GRANTED, "dual_criminality": VERIFIED, **SCOPE, **fields}
        referral = self.go(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, request, **SCOPE | {"case_id": "DE-7"})
        decision = self.go(ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, referral, **given)
        return decision, self.go(ids.KIND_REVIEW_DECISION, THEIR_CENTRAL, INVESTIGATOR, request, **given)

    def executed(self, request: ids.EnvelopeRef) -> tuple[ids.EnvelopeRef, ids.EnvelopeRef]:
        """Return a court's decision and its order, which was executed."""
        decision, _ = self.decided(request)
        done = {"outcome": GRANTED, **SCOPE}
        order = self.go(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, decision, **SCOPE | {"case_id": "AG-1"})
        self.go(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, order, **done)
        self.go(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, decision, **done)
        self.go(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, request, **done)
        return decision, order

    def matter(self, me: str, ref: ids.EnvelopeRef) -> Matter:
        found = self.case(me).matter(key_of(ref))
        assert found is not None
        return found

    def kinds(self, me: str, cites: ids.EnvelopeRef) -> set[ids.Kind.ValueType]:
        """Return what may cite an envelope next."""
        return {each.kind for each in self.next(me) if each.cites == cites} - {ids.KIND_GRIEVANCE}


class Walk(Story):
    """Everybody takes steps that were listed for them, and things come late, go wrong or take too long."""

    def __init__(self, folder: Path, random: Random) -> None:
        super().__init__(folder)
        self.random = random
        self.rows: set[Step] = set()
        self._cases = 0

    def step(self) -> None:
        chance = self.random.random()
        if chance < 0.72:
            while not self.act(self.random.choice(PEOPLE if self.random.random() < 0.1 else FIRSTS)):
                pass
        elif chance < 0.90:
            self.random.choice((self.federation.arrive_at, self.federation.hear_at))(self.random.choice(("ee", "de")))
        elif chance < 0.94:
            self.federation.wait(hours=self.random.choice((1, 7, 30, 80, 24 * 8, 24 * 25)))
        elif chance < 0.95:
            self.reject()
        else:
            self.federation.arrive()

    def act(self, me: str) -> bool:
        listed = self.next(me)
        begun = [each for each in listed if each.matter is not None and each.step.link is not Link.COMPLAINS]
        chance = self.random.random()
        if begun and chance < 0.97:
            listed = begun
        elif chance > 0.3:
            return False
        if not listed:
            return False
        (chosen,) = self.random.choices(listed, [weight(each) for each in listed])
        weights = [1 if each.outcome in (REFUSED, POSTPONED) else 4 for each in chosen.allowed]
        (allowed,) = self.random.choices(chosen.allowed, weights)
        firsts = [each for each in chosen.to if not each.endswith("-2")]
        recipient = self.random.choice(firsts if firsts and self.random.random() < 0.9 else chosen.to)
        fields = self.fields(me, chosen, allowed)
        refusal = self.federation.would(self.federation.write(chosen.kind, me, recipient, **fields))
        if refusal is not None:
            assert chosen.provisos, (me, str(chosen.step.rule), chosen.cites, refusal)
            assert refusal.code is ErrorCode.OUT_OF_ORDER
            return False
        self.federation.send(chosen.kind, me, recipient, **fields)
        self.rows.add(chosen.step)
        return True

    def fields(self, me: str, chosen: Next, allowed: Any) -> dict[str, Any]:
        self._cases += 1
        step = chosen.step
        fields: dict[str, Any] = {
            "cites": chosen.cites,
            "outcome": allowed.outcome,
            "measures": allowed.measures,
            "data_classes": allowed.data_classes,
            "case_id": chosen.case_id or (f"TEST-{self._cases:032x}" if step.is_test else f"C-{self._cases}"),
        }
        if step.rule.where is Where.ABROAD:
            fields["instrument"] = self.random.choice(chosen.instruments)
        if step.countersigned_by is not None:
            fields["countersigned_by"] = [f"{me[:2]}/{step.countersigned_by.value}"]
        if allowed.rests_on and step.same_outcome:
            base = next(p.header for p in self.papers[me[:2]] if ref_of(p.header) == allowed.rests_on[0])
            return fields | {"ground": base.ground, "dual_criminality": base.dual_criminality}
        return fields | reasons(self.papers[me[:2]], step, chosen.cites, allowed.outcome)

    def reject(self) -> None:
        papers = [paper.header for papers in self.papers.values() for paper in papers]
        if papers:
            header = self.random.choice(papers[-20:])
            if any(p.header == header for p in self.papers[header.recipients[0][:2]]):
                with suppress(Refusal):  # whoever has answered it could read it
                    self.federation.reject(ref_of(header))


def weight(step: Next) -> float:
    """Prefer what leads on."""
    if step.kind in (ids.KIND_WITHDRAWAL, ids.KIND_RELEASE, ids.KIND_FORWARDING, ids.KIND_OBJECTION):
        return 0.3
    begins = step.step.opens not in (None, State.TOLD)
    moves = any(move.to for move in step.step.moves)
    return 3.0 if begins or moves else 1.0


def attempts(walk: Walk, me: str) -> Iterator[tuple[Step, str, dict[str, Any]]]:
    """Yield what a participant might try, whether or not its state allows it."""
    case, random = walk.case(me), walk.random
    known = [paper.header for paper in case.papers.values()]
    for row in (row for row in STEPS if row.rule.sender.value == role(me)):
        citable = [header for header in known if header.kind in row.cites][-4:] if row.cites else [None]
        for cited in citable:
            fields: dict[str, Any] = {"countersigned_by": [f"{me[:2]}/central-authority"], "case_id": "another"}
            fields |= {"instrument": law.TREATY} if row.rule.where is Where.ABROAD else {}
            fields |= {"case_id": "TEST-" + "f" * 32} if row.is_test else {}
            if cited is not None:
                fields |= {"cites": ref_of(cited)} | ({"case_id": cited.case_id} if row.case is CaseRule.SAME else {})
            parties = [] if cited is None else [cited.sender, *cited.recipients]
            suited = [each for each in parties if role(each) == row.rule.recipient.value and each != me]
            to = random.choice(suited or [each for each in FIRSTS if role(each) == row.rule.recipient.value])
            for outcome in row.outcomes:
                base = random.choice([each for each in known if each.outcome == outcome] or [pb.Header()])
                said = fields | {"outcome": outcome} | reasons(walk.papers[me[:2]], row, fields.get("cites"), outcome)
                if row.same_outcome:
                    said |= {"ground": base.ground, "dual_criminality": base.dual_criminality}
                for name, most in (("measures", row.measures), ("data_classes", row.data_classes)):
                    within = set(most) if cited is None or not row.within else most & set(getattr(cited, name))
                    within &= set(getattr(base, name)) if row.rests_on else most
                    said[name] = [] if outcome in (REFUSED, POSTPONED) else sorted(within)
                yield row, to, said


def role(address: str) -> str:
    return address.partition("/")[2].removesuffix("-2")


def check_complete(walk: Walk, me: str) -> int:
    """Whatever the node takes is listed; return how much it took."""
    listed = walk.next(me)
    taken = 0
    for row, to, fields in attempts(walk, me):
        if to == me or walk.federation.would(walk.federation.write(row.rule.kind, me, to, **fields)) is not None:
            continue
        taken += 1
        fitting = [
            allowed
            for each in listed
            if (each.kind, each.cites) == (row.rule.kind, fields.get("cites")) and to in each.to
            for allowed in each.allowed
            if allowed.outcome == fields["outcome"]
            and set(fields["measures"]) <= set(allowed.measures)
            and set(fields["data_classes"]) <= set(allowed.data_classes)
        ]
        assert fitting or row.needs_open is not None, (me, to, str(row.rule), fields)
    return taken


def reasons(
    papers: list[Paper], step: Step, cites: ids.EnvelopeRef | None, outcome: ids.Outcome.ValueType
) -> dict[str, Any]:
    """Return a ground that fits, and how dual criminality was answered."""
    found: dict[str, Any] = {}
    if (outcome == REFUSED and not step.ground_optional) or outcome == POSTPONED:
        by_key = {paper.key: paper.header for paper in papers}
        asked = by_key[key_of(cites)] if cites is not None else None
        while asked is not None and asked.kind not in ASKED and asked.cites:
            asked = by_key.get(key_of(asked.cites[0]))
        report = step.rule.kind == ids.KIND_EXECUTION_REPORT
        choices = sorted(step.grounds) or [
            ground
            for ground in ids.Ground.values()
            if ground
            and ground != ids.GROUND_NO_DUAL_CRIMINALITY
            and grounds.fits(ground, outcome, report=report, asked=asked.kind if asked is not None else None)
        ]
        found["ground"] = next(iter(choices), ids.GROUND_UNSPECIFIED)
    if step.reviews:
        grants = outcome in (GRANTED, ids.OUTCOME_PARTLY_GRANTED)
        found["dual_criminality"] = VERIFIED if grants else ids.DUAL_CRIMINALITY_NOT_REACHED
    return found


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_freeze_from_its_draft_to_its_release_is_listed_step_by_step(story: Story) -> None:
    draft = story.go(ids.KIND_DRAFT, INVESTIGATOR, CENTRAL, **SCOPE | {"case_id": "EE-1"})
    assert story.matter(INVESTIGATOR, draft).turn == CENTRAL
    story.go(ids.KIND_COUNTERSIGNATURE, CENTRAL, INVESTIGATOR, draft, outcome=GRANTED, **SCOPE)
    request = story.requested(case_id="EE-1")
    story.go(ids.KIND_ACKNOWLEDGEMENT, THEIR_CENTRAL, INVESTIGATOR, request)
    assert story.kinds(INVESTIGATOR, request) == {ids.KIND_WITHDRAWAL}
    decision, order = story.executed(request)
    assert story.matter(INVESTIGATOR, request).turn == INVESTIGATOR
    story.go(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, request)
    assert story.matter(THEIR_CENTRAL, request).turn == THEIR_CENTRAL
    lifted = story.go(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, order, outcome=GRANTED)
    (partly,) = [n for n in story.next(THEIR_COURT) if n.kind == ids.KIND_RELEASE and n.cites == decision]
    assert partly.outcomes == (ids.OUTCOME_PARTLY_GRANTED,), "the order still holds assets"
    story.go(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, lifted, outcome=GRANTED)
    story.go(ids.KIND_RELEASE, THEIR_COURT, THEIR_CENTRAL, decision, outcome=GRANTED)
    story.go(ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, request, outcome=GRANTED)
    assert story.matter(INVESTIGATOR, request).state is State.RELEASED
    for me in (INVESTIGATOR, CENTRAL, THEIR_CENTRAL, THEIR_COURT, THEIR_EXCHANGE):
        assert not story.case(me).is_open, me


def test_after_a_judges_refusal_nothing_provisional_is_listed(story: Story) -> None:
    fields: dict[str, Any] = {"measures": SCOPE["measures"]}
    request = story.go(ids.KIND_PROVISIONAL_FREEZE, "ee/fiu", "de/fiu", case_id="EE-1", **fields)
    assert ids.KIND_PROVISIONAL_ORDER not in story.kinds("de/fiu", request), "it cites that it was acknowledged"
    assert ids.KIND_ACKNOWLEDGEMENT in story.kinds("de/fiu", request)
    known = story.go(ids.KIND_ACKNOWLEDGEMENT, "de/fiu", "ee/fiu", request)
    assert ids.KIND_PROVISIONAL_ORDER in story.kinds("de/fiu", known)
    referral = story.go(ids.KIND_REVIEW_REFERRAL, "de/fiu", THEIR_COURT, request, case_id="DE-1", **fields)
    fields = {"outcome": REFUSED, "ground": ids.GROUND_POLITICAL_OFFENCE, "dual_criminality": VERIFIED}
    story.go(ids.KIND_REVIEW_DECISION, THEIR_COURT, "de/fiu", referral, **fields)
    assert ids.KIND_PROVISIONAL_ORDER not in story.kinds("de/fiu", known)


def test_what_was_taken_back_from_the_court_is_not_listed_as_granted(story: Story) -> None:
    request = story.requested()
    fields: dict[str, Any] = SCOPE | {"case_id": "DE-7"}
    referral = story.go(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, request, **fields)
    fields |= {"outcome": GRANTED, "dual_criminality": VERIFIED}
    story.go(ids.KIND_REVIEW_DECISION, THEIR_COURT, THEIR_CENTRAL, referral, **fields)
    assert ids.KIND_REVIEW_DECISION in story.kinds(THEIR_CENTRAL, request)
    story.go(ids.KIND_WITHDRAWAL, THEIR_CENTRAL, THEIR_COURT, referral)
    assert ids.KIND_REVIEW_DECISION not in story.kinds(THEIR_CENTRAL, request)


def test_refusal_ends_a_request_and_leaves_nothing_to_do_but_to_complain(story: Story) -> None:
    request = story.requested()
    decided = {"outcome": REFUSED, "ground": ids.GROUND_NE_BIS_IN_IDEM, "measures": [], "data_classes": []}
    story.decided(request, **decided, dual_criminality=ids.DUAL_CRIMINALITY_NOT_REACHED)
    assert story.matter(INVESTIGATOR, request).state is State.REFUSED
    assert story.kinds(INVESTIGATOR, request) == set()
    assert story.kinds(THEIR_CENTRAL, request) == set()


def test_decision_can_be_passed_on_only_as_it_was_given(story: Story) -> None:
    request = story.requested()
    referral = story.go(ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, request, **SCOPE)
    assert ids.KIND_REVIEW_DECISION not in story.kinds(THEIR_CENTRAL, request), "no court has decided"
    decision = story.go(
        ids.KIND_REVIEW_DECISION,
        THEIR_COURT,
        THEIR_CENTRAL,
        referral,
        outcome=ids.OUTCOME_PARTLY_GRANTED,
        measures=[BLOCK],
        dual_criminality=VERIFIED,
    )
    (notice,) = [n for n in story.next(THEIR_CENTRAL) if n.kind == ids.KIND_REVIEW_DECISION and n.cites == request]
    (allowed,) = notice.allowed
    assert (allowed.outcome, allowed.measures, allowed.data_classes) == (ids.OUTCOME_PARTLY_GRANTED, (BLOCK,), ())
    assert allowed.rests_on == (decision,)


def test_exchange_sees_its_order_alone_and_cannot_ask_for_anything(story: Story) -> None:
    request = story.requested()
    decision, _ = story.decided(request)
    order = story.go(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, decision, **SCOPE | {"case_id": "AG-1"})
    case = story.case(THEIR_EXCHANGE)
    assert [matter.ref for matter in case.matters] == [order]
    assert case.case_ids == ["AG-1"]
    assert case.matters[0].turn == THEIR_EXCHANGE
    answers = {
        ids.KIND_ACKNOWLEDGEMENT,
        ids.KIND_CLARIFICATION_REQUEST,
        ids.KIND_OBJECTION,
        ids.KIND_EXECUTION_REPORT,
        ids.KIND_DISCLOSURE,
    }
    assert {each.kind for each in story.next(THEIR_EXCHANGE)} == answers | {ids.KIND_GRIEVANCE}
    assert all(each.to == (THEIR_COURT,) for each in story.next(THEIR_EXCHANGE) if each.kind in answers)


def test_limitation_is_offered_once_the_issuer_has_agreed(story: Story) -> None:  # 2018/1805 Art. 12(2)
    request = story.requested()
    _, order = story.executed(request)

    def limits(address: str, cited: ids.EnvelopeRef) -> list[tuple[Proviso, ...]]:
        return [n.provisos for n in story.next(address) if n.kind == ids.KIND_LIMITATION and n.cites == cited]

    for outcome, offered in ((REFUSED, []), (GRANTED, [()])):
        asked = story.go(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, request)
        assert limits(THEIR_CENTRAL, request) == []
        story.go(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, asked, outcome=outcome)
        assert limits(THEIR_CENTRAL, request) == offered
    assert limits(THEIR_COURT, order) == [(Proviso.AGREED,)], "the answer is its central authority's"


def test_what_only_the_node_can_tell_is_said_as_a_proviso(story: Story) -> None:
    request = story.requested()
    decision, order = story.executed(request)
    release = next(n for n in story.next(THEIR_CENTRAL) if n.kind == ids.KIND_RELEASE and n.cites == request)
    assert release.provisos == (Proviso.BELOW,), "the order is the court's"
    again = next(n for n in story.next(THEIR_COURT) if n.kind == ids.KIND_DOMESTIC_ORDER and n.cites == decision)
    assert again.provisos == (Proviso.ABOVE, Proviso.UNDISPUTED), "the request is its central authority's"
    with pytest.raises(Refusal) as caught:
        story.federation.send(
            ids.KIND_RELEASE, THEIR_CENTRAL, INVESTIGATOR, cites=request, outcome=GRANTED, instrument=law.TREATY
        )
    assert caught.value.code is ErrorCode.OUT_OF_ORDER
    assert story.matter(THEIR_COURT, order).state is State.EXECUTED


def test_provisional_freeze_that_no_judge_confirms_has_lapsed_for_both_sides(story: Story) -> None:
    asked = story.go(ids.KIND_PROVISIONAL_FREEZE, FIU, THEIR_FIU, measures=[BLOCK], case_id="EE-9")
    known = story.go(ids.KIND_ACKNOWLEDGEMENT, THEIR_FIU, FIU, asked)
    order = story.go(ids.KIND_PROVISIONAL_ORDER, THEIR_FIU, THEIR_EXCHANGE, known, measures=[BLOCK], case_id="AG-9")
    story.federation.wait(days=6, hours=13)
    story.settle()
    for me in (FIU, THEIR_FIU):
        due = story.matter(me, asked).due
        assert due is not None
        assert (due.rule, due.milestone) == (clocks.CLOCK_RULE_PROVISIONAL, pb.MILESTONE_DUE_SOON)
    story.federation.wait(days=2)
    story.settle()
    for me, ref in ((FIU, asked), (THEIR_FIU, asked), (THEIR_FIU, order), (THEIR_EXCHANGE, order)):
        matter = story.matter(me, ref)
        assert (matter.state, matter.turn, matter.limits) == (State.LAPSED, "", {})
        assert story.kinds(me, ref) == set()


def test_overdue_duty_is_shown_until_it_is_met(story: Story) -> None:
    request = story.requested(urgency=ids.URGENCY_URGENT)
    story.federation.wait(days=3)
    story.settle()
    for me in (INVESTIGATOR, THEIR_CENTRAL):
        due = story.matter(me, request).due
        assert due is not None
        assert (due.rule, due.milestone) == (clocks.CLOCK_RULE_URGENT_DECISION, pb.MILESTONE_OVERDUE)
    story.decided(request)
    assert story.matter(THEIR_CENTRAL, request).due is None


def test_who_is_to_let_go_is_shown_by_when_until_it_is_let_go(story: Story) -> None:
    request = story.requested()
    _, order = story.executed(request)
    story.go(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, request)
    story.federation.wait(days=43)
    story.settle()
    story.federation.wait(days=5)
    story.settle()
    for me in (INVESTIGATOR, THEIR_CENTRAL):
        matter = story.matter(me, request)
        assert matter.state is State.UNBOUND
        assert {limit.rule for limit in matter.limits.values()} == {clocks.CLOCK_RULE_RELEASE} <= matter.running
    release = story.go(ids.KIND_RELEASE, THEIR_COURT, THEIR_EXCHANGE, order, outcome=GRANTED)
    story.go(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, release, outcome=GRANTED)
    story.go(ids.KIND_FINAL_REPORT, THEIR_CENTRAL, INVESTIGATOR, request)
    for me in (INVESTIGATOR, THEIR_CENTRAL):
        matter = story.matter(me, request)
        assert (matter.state, matter.limits) == (State.DISPOSED, {})


def test_reminder_that_data_are_kept_is_shown_until_they_are_asked_for_anew_or_released(story: Story) -> None:
    asked = story.go(ids.KIND_PRESERVATION_REQUEST, FIU, THEIR_FIU, data_classes=[WHO], case_id="EE-9")
    known = story.go(ids.KIND_ACKNOWLEDGEMENT, THEIR_FIU, FIU, asked)
    order = story.go(ids.KIND_PROVISIONAL_ORDER, THEIR_FIU, THEIR_EXCHANGE, known, data_classes=[WHO], case_id="AG-9")
    story.go(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_FIU, order, outcome=GRANTED)
    assert ids.KIND_PRODUCTION_NOTICE not in story.kinds(THEIR_FIU, order)
    story.go(ids.KIND_PRODUCTION_NOTICE, FIU, THEIR_FIU, asked)
    story.go(ids.KIND_PRODUCTION_NOTICE, THEIR_FIU, THEIR_EXCHANGE, order)
    story.federation.wait(days=100)
    story.settle()
    for me, ref in ((FIU, asked), (THEIR_FIU, asked), (THEIR_FIU, order), (THEIR_EXCHANGE, order)):
        due = story.matter(me, ref).due
        assert due is not None
        assert (due.rule, due.milestone) == (clocks.CLOCK_RULE_SUBSEQUENT_REQUEST, pb.MILESTONE_OVERDUE)
    story.go(ids.KIND_PRODUCTION_NOTICE, FIU, THEIR_FIU, asked)
    story.go(ids.KIND_PRODUCTION_NOTICE, THEIR_FIU, THEIR_EXCHANGE, order)
    for me, ref in ((FIU, asked), (THEIR_FIU, asked), (THEIR_FIU, order), (THEIR_EXCHANGE, order)):
        assert story.matter(me, ref).due is None
    assert ids.KIND_RELEASE not in story.kinds(THEIR_FIU, asked), "the exchange still keeps them"
    assert ids.KIND_RELEASE in story.kinds(THEIR_FIU, order)


def test_step_that_its_recipient_cannot_read_stands_and_what_it_asks_for_is_asked_no_more(story: Story) -> None:
    request = story.requested()
    story.federation.reject(story.go(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, request))
    story.settle()
    assert story.matter(INVESTIGATOR, request).state is State.WITHDRAWN
    story.federation.reject(request)
    story.settle()
    for me in (INVESTIGATOR, THEIR_CENTRAL):
        assert story.matter(me, request).state is State.UNDELIVERED


def test_suspension_ends_with_the_claim_that_suspends_alone_and_a_claim_is_decided_once(story: Story) -> None:
    request = story.requested()
    decision, order = story.executed(request)

    def filed(**fields: Any) -> ids.EnvelopeRef:
        return story.go(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, decision, **fields)

    first, bogus = filed(outcome=POSTPONED, ground=ids.GROUND_REMEDY_INVOKED), filed()
    dismissed: dict[str, Any] = {"outcome": REFUSED}
    story.go(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, bogus, **dismissed)
    for me in (THEIR_COURT, THEIR_CENTRAL):
        assert State.SUSPENDED in {each.state for each in story.case(me).matters}
    assert ids.KIND_CLAIM_DECISION not in story.kinds(THEIR_COURT, bogus)
    assert ids.KIND_TRANSFER_ORDER not in story.kinds(THEIR_COURT, order)
    story.go(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, first, **dismissed)
    for me in (THEIR_COURT, THEIR_CENTRAL):
        assert State.SUSPENDED not in {each.state for each in story.case(me).matters}


def test_remedy_before_anything_is_executed_leaves_the_court_nothing_to_order(story: Story) -> None:
    request = story.requested()
    decision, _ = story.decided(request)
    (listed,) = [each for each in story.next(THEIR_COURT) if each.kind == ids.KIND_DOMESTIC_ORDER]
    assert Proviso.UNDISPUTED in listed.provisos  # the ministry may have told of one abroad
    suspends: dict[str, Any] = {"outcome": POSTPONED, "ground": ids.GROUND_REMEDY_INVOKED}
    claim = story.go(ids.KIND_CLAIM, THEIR_COURT, THEIR_CENTRAL, decision, **suspends)
    assert ids.KIND_DOMESTIC_ORDER not in story.kinds(THEIR_COURT, decision)
    story.go(ids.KIND_CLAIM_DECISION, THEIR_COURT, THEIR_CENTRAL, claim, outcome=REFUSED)
    assert ids.KIND_DOMESTIC_ORDER in story.kinds(THEIR_COURT, decision)


NOT_ARRIVED = {
    "refused by the other node": (pb.MILESTONE_REFUSED, "de/node", State.ASKED),
    "refused on the way": (pb.MILESTONE_REFUSED, "ee/node", State.ASKED),
    "expired on the way": (pb.MILESTONE_EXPIRED, "ee/node", State.ASKED),
    "expired in the mailbox": (pb.MILESTONE_EXPIRED, "de/node", State.WITHDRAWN),
}


@pytest.mark.parametrize(("milestone", "issuer", "state"), NOT_ARRIVED.values(), ids=NOT_ARRIVED)
def test_step_that_never_reached_the_other_node_has_not_happened(
    story: Story, milestone: pb.Milestone.ValueType, issuer: str, state: State
) -> None:
    request = story.requested()
    withdrawal = story.go(ids.KIND_WITHDRAWAL, INVESTIGATOR, THEIR_CENTRAL, request)
    said = pb.Statement(envelope=withdrawal, milestone=milestone, issuer=issuer)
    papers = story.case(INVESTIGATOR).papers.values()
    case = Case(papers, [Said(said, 1 << 40)], story.federation.directory, INVESTIGATOR)
    (matter,) = case.matters
    assert matter.state is state


def test_answer_that_is_given_once_is_listed_again_if_it_never_arrived(story: Story) -> None:
    request = story.requested()
    story.executed(request)
    asked = story.go(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, request)
    answer = story.go(ids.KIND_LIMITATION_ANSWER, INVESTIGATOR, THEIR_CENTRAL, asked, outcome=REFUSED)
    papers = story.case(INVESTIGATOR).papers.values()

    def may_answer(*said: Said) -> bool:
        case = Case(papers, said, story.federation.directory, INVESTIGATOR)
        return any(each.kind == ids.KIND_LIMITATION_ANSWER for each in lawful_next(case, story.federation.now))

    refused = pb.Statement(envelope=answer, milestone=pb.MILESTONE_REFUSED, issuer="de/node")
    assert not may_answer()
    assert may_answer(Said(refused, 1 << 40))


def test_report_beside_a_question_that_never_arrived_tells_where_a_freeze_stands(story: Story) -> None:
    request = story.requested()
    decision, order = story.executed(request)
    asked = story.go(ids.KIND_LIMITATION_REQUEST, THEIR_CENTRAL, INVESTIGATOR, request)
    partly: dict[str, Any] = {"outcome": ids.OUTCOME_PARTLY_GRANTED, "measures": [BLOCK]}
    story.go(ids.KIND_EXECUTION_REPORT, THEIR_EXCHANGE, THEIR_COURT, order, **partly)
    story.go(ids.KIND_EXECUTION_REPORT, THEIR_COURT, THEIR_CENTRAL, decision, **partly)
    story.go(ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, INVESTIGATOR, request, **partly)
    refused = pb.Statement(envelope=asked, milestone=pb.MILESTONE_REFUSED, issuer="ee/node")
    papers = story.case(THEIR_CENTRAL).papers.values()
    case = Case(papers, [Said(refused, 1 << 40)], story.federation.directory, THEIR_CENTRAL)
    assert next(each for each in case.matters if each.ref == request).state is State.PARTLY_EXECUTED


def test_report_counts_though_the_same_had_been_reported_before_and_that_never_arrived(story: Story) -> None:
    request = story.requested()
    decision, order = story.executed(request)
    first = next(each for each in story.case(THEIR_CENTRAL).citing(key_of(request)) if each.header.kind == REPORT)
    done = {"outcome": GRANTED, **SCOPE}
    story.go(REPORT, THEIR_EXCHANGE, THEIR_COURT, order, **done)
    story.go(REPORT, THEIR_COURT, THEIR_CENTRAL, decision, **done)
    story.go(REPORT, THEIR_CENTRAL, INVESTIGATOR, request, **done)
    expired = pb.Statement(envelope=ref_of(first.header), milestone=pb.MILESTONE_EXPIRED, issuer="de/node")
    papers = story.case(THEIR_CENTRAL).papers.values()
    case = Case(papers, [Said(expired, 1 << 40)], story.federation.directory, THEIR_CENTRAL)
    assert next(each for each in case.matters if each.ref == request).state is State.EXECUTED


def test_limit_that_a_step_stopped_runs_again_if_that_never_arrived(story: Story) -> None:
    people = ("ee/contact-point", "de/contact-point")
    asked = story.go(ids.KIND_PRESERVATION_REQUEST, *people, data_classes=[WHO], case_id="EE-9")
    extension = story.go(ids.KIND_EXTENSION, *people, asked)
    papers = story.case(people[0]).papers.values()

    def may_extend(*said: Said) -> bool:
        case = Case(papers, said, story.federation.directory, people[0])
        return any(each.kind == ids.KIND_EXTENSION for each in lawful_next(case, story.federation.now))

    refused = pb.Statement(envelope=extension, milestone=pb.MILESTONE_REFUSED, issuer="de/node")
    assert not may_extend(), "once only"
    assert may_extend(Said(refused, 1 << 40))


def test_matter_whose_envelope_is_lost_is_shown_as_far_as_known(story: Story) -> None:
    request = story.requested()
    story.decided(request)
    whole = story.case(INVESTIGATOR)
    left = [paper for paper in whole.papers.values() if paper.key != key_of(request)]
    (matter,) = Case(left, (), story.federation.directory, INVESTIGATOR).matters
    assert (matter.ref, matter.header, matter.state) == (request, None, State.GRANTED)
    assert (matter.sender, matter.recipient) == (INVESTIGATOR, THEIR_CENTRAL)


def test_answer_is_believed_though_what_led_to_it_is_lost(story: Story) -> None:
    request = story.requested()
    story.executed(request)
    whole = story.case(INVESTIGATOR)
    left = [paper for paper in whole.papers.values() if paper.header.kind != ids.KIND_REVIEW_DECISION]
    (matter,) = Case(left, (), story.federation.directory, INVESTIGATOR).matters
    assert matter.state is State.EXECUTED


def test_requests_from_abroad_that_cite_each_other_are_both_shown(story: Story) -> None:
    request = story.federation.write(
        ids.KIND_CONFISCATION_REQUEST, INVESTIGATOR, THEIR_CENTRAL, measures=[BLOCK], instrument=law.TREATY
    )
    one, two = pb.Header.FromString(request.header), pb.Header.FromString(request.header)
    two.id = one.id[:-1] + "f"
    one.cites.append(ref_of(two))
    two.cites.append(ref_of(one))
    case = Case([Paper(one, 1), Paper(two, 2)], (), story.federation.directory, THEIR_CENTRAL)
    assert [matter.state for matter in case.matters] == [State.ASKED, State.ASKED]
    assert lawful_next(case, story.federation.now)


@pytest.mark.parametrize("newest_first", [False, True])
def test_chain_of_any_length_and_in_any_order_is_replayed_within_bounded_memory(newest_first: bool) -> None:
    """Who makes a case file, or envelopes abroad, decides how long it is and in which order it comes."""
    count = 2 * sys.getrecursionlimit()
    link = world.freeze_request().header
    papers: list[Paper] = []
    for number in range(count):
        cited = link
        link = pb.Header.FromString(cited.SerializeToString())
        link.id = f"0199a000-0000-7000-8000-{number:012x}"
        del link.cites[:]
        link.cites.extend([ref_of(cited)] if papers else [])
        papers.append(Paper(link, count - number if newest_first else number))
    case = Case(papers, [], world.DIRECTORY, INVESTIGATOR)
    assert [matter.ref.id for matter in case.matters] == [paper.header.id for paper in papers]
    assert sum(len(matter._limits_before) for matter in case.matters) <= 2 * count


def test_objection_can_be_made_once_and_only_while_its_limit_may_run(story: Story) -> None:
    request = story.requested()
    decision, _ = story.decided(request)
    order = story.go(ids.KIND_DOMESTIC_ORDER, THEIR_COURT, THEIR_EXCHANGE, decision, **SCOPE | {"case_id": "AG-1"})
    (listed,) = [each for each in story.next(THEIR_EXCHANGE) if each.kind == ids.KIND_OBJECTION]
    assert listed.provisos == (Proviso.IN_TIME,)
    objection = story.go(ids.KIND_OBJECTION, THEIR_EXCHANGE, THEIR_COURT, order)
    story.go(ids.KIND_OBJECTION_DECISION, THEIR_COURT, THEIR_EXCHANGE, objection, outcome=REFUSED)
    assert ids.KIND_OBJECTION not in story.kinds(THEIR_EXCHANGE, order)


@pytest.mark.parametrize(("urgency", "may"), [(ids.URGENCY_EMERGENCY, True), (ids.URGENCY_ORDINARY, False)])
def test_enforcing_authority_may_object_to_an_emergency_alone(
    story: Story, urgency: ids.Urgency.ValueType, may: bool
) -> None:
    request = story.go(
        ids.KIND_EVIDENCE_REQUEST, INVESTIGATOR, THEIR_CENTRAL, data_classes=[WHO], case_id="EE-1", urgency=urgency
    )
    assert (ids.KIND_OBJECTION in story.kinds(THEIR_CENTRAL, request)) is may


@pytest.mark.parametrize("seed", range(4))
def test_what_is_seen_and_listed_is_what_the_node_says_and_takes(tmp_path: Path, seed: int) -> None:
    walk = Walk(tmp_path, Random(seed))
    if seed % 2:
        walk.executed(walk.requested())
    taken = 0
    for number in range(60):
        walk.step()
        for me in PEOPLE:
            walk.compare(me)
        if number % 20 == 19:
            taken += check_complete(walk, walk.random.choice(FIRSTS))
    for me in PEOPLE:
        walk.compare(me, late=50)
    assert taken
