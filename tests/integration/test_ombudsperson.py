"""An ombudsperson, at real nodes: it hears that something happened, and when; not what, and nothing beside."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import envelope, transport
from gateway.clock import system_clock, to_micros
from gateway.doors.trace import happenings
from gateway.errors import ErrorCode, GatewayError
from gateway.formats import documents
from gateway.identity import Role
from gateway.log_entry import leaf_hash, leaf_hashes
from gateway.signature import frame
from gateway.store.reader import SeenRow
from tests import stores
from tests.federation import UNTIL_SECONDS, Federation, code_of, federation, ref
from tests.processes import finished
from tests.samples import notices

pytestmark = pytest.mark.integration

BLOCK = (ids.MEASURE_BLOCK_WITHDRAWAL,)
LEAVES = "SELECT leaf_hash FROM log_entries"
NOBODY = ids.EnvelopeRef(sender="de/exchange", id="019a3f5c-1d2e-7000-8000-000000000000")


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed") as made:
        yield made


class Case:
    """A request from ee that a court of de has granted and ordered."""

    def __init__(self, fed: Federation) -> None:
        self.fed = fed
        self.request = fed.request()

    async def run(self) -> "Case":
        await self.step("ee/prosecutor", self.request)
        await self.fed.actor("de/central-authority").collect(1)
        self.referral = await self.send(ids.KIND_REVIEW_REFERRAL, "de/central-authority", "de/court", self.request)
        self.decision = await self.send(
            ids.KIND_REVIEW_DECISION,
            "de/court",
            "de/central-authority",
            self.referral,
            outcome=ids.OUTCOME_GRANTED,
            dual_criminality=ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
        )
        self.order = await self.send(
            ids.KIND_DOMESTIC_ORDER, "de/court", "de/exchange", self.decision, case_id="AG-ORDER-1"
        )
        return self

    async def send(
        self, kind: ids.Kind.ValueType, sender: str, to: str, cited: pb.SignedEnvelope, **fields: Any
    ) -> pb.SignedEnvelope:
        fields = {"cites": (ref(cited),), "measures": BLOCK, "case_id": "DE-SECRET-7", **fields}
        made = self.fed.actor(sender).compose(kind, to, b"content", **fields)
        await self.step(sender, made)
        return made

    async def step(self, sender: str, made: pb.SignedEnvelope) -> None:
        said = await self.fed.actor(sender).submit(made)
        assert said.milestone == pb.MILESTONE_ACCEPTED, said


def grievance(
    fed: Federation,
    sender: str,
    cited: ids.EnvelopeRef,
    to: str = "de/ombudsperson",
    case_id: str = "COMPLAINT-1",
) -> pb.SignedEnvelope:
    body = documents.encode(notices.grievance())
    return fed.actor(sender).compose(ids.KIND_GRIEVANCE, to, body, cites=(cited,), case_id=case_id)


async def complained(fed: Federation, sender: str, of: pb.SignedEnvelope, **fields: str) -> ids.EnvelopeRef:
    made = grievance(fed, sender, ref(of), **fields)
    assert (await fed.actor(sender).submit(made)).milestone == pb.MILESTONE_ACCEPTED
    return ref(made)


async def told(fed: Federation, about: ids.EnvelopeRef, who: str = "de/ombudsperson") -> trace.GetHappeningsResponse:
    stub = TraceStub(fed.actor(who).channel)
    return await stub.GetHappenings(trace.GetHappeningsRequest(grievance=about), timeout=UNTIL_SECONDS)


async def refusal(fed: Federation, about: ids.EnvelopeRef, who: str = "de/ombudsperson") -> GatewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told(fed, about, who)
    return transport.error_of(caught.value)


def handle(made: pb.SignedEnvelope, to: str = "de/ombudsperson") -> bytes:
    return sha256(frame(b"rogatory/v1/happenings", to.encode(), envelope.fingerprint(made))).digest()


def milestones(seen: trace.Happenings) -> list[pb.Milestone.ValueType]:
    return [one.milestone for one in seen.happenings]


async def test_it_hears_when_what_in_the_matter_of_which_somebody_complained(fed: Federation) -> None:
    before = to_micros(system_clock())
    case = await Case(fed).run()
    notice = await case.send(
        ids.KIND_REVIEW_DECISION,
        "de/central-authority",
        "ee/prosecutor",
        case.request,
        case_id="EE-1",
        instrument="eu-2018-1805",
        outcome=ids.OUTCOME_GRANTED,
        dual_criminality=ids.DUAL_CRIMINALITY_CONDUCT_VERIFIED,
    )
    about = await complained(fed, "de/central-authority", case.request)
    response = await told(fed, about)
    # In the order of time, the cited one marked; the grievance itself is no part of it.
    made = (case.request, case.referral, case.decision, case.order, notice)
    assert [each.handle for each in response.envelopes] == [handle(each) for each in made]
    assert [each.cited for each in response.envelopes] == [True, False, False, False, False]
    request, referral, decision, order, _ = response.envelopes
    assert milestones(request) == [pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_DECIDED]
    assert milestones(referral) == [pb.MILESTONE_ACCEPTED, pb.MILESTONE_DECIDED]
    assert milestones(decision) == milestones(order) == [pb.MILESTONE_ACCEPTED]
    times = [one.at_us for each in response.envelopes for one in each.happenings]
    assert all(before <= at_us <= to_micros(system_clock()) for at_us in times)


async def test_nothing_of_who_whom_what_case_outcome_or_law_is_in_the_answer(fed: Federation) -> None:
    case = await Case(fed).run()
    response = await told(fed, await complained(fed, "de/exchange", case.order))
    raw = response.SerializeToString()
    for made in (case.request, case.referral, case.decision, case.order):
        header = pb.Header.FromString(made.header)
        assert header.commitment not in raw
        for said in (header.id, header.sender, *header.recipients, header.case_id, header.instrument):
            assert not said or said.encode() not in raw
    # All that a node can say there. A field that is added must be thought about here.
    fields = {
        f"{message.name}.{field.name}"
        for message in (trace.Happenings.DESCRIPTOR, trace.Happening.DESCRIPTOR)
        for field in message.fields
    }
    assert fields == {
        "Happenings.handle", "Happenings.cited", "Happenings.happenings",
        "Happening.at_us", "Happening.milestone", "Happening.code",
    }  # fmt: skip


async def test_answers_on_different_kinds_are_of_one_shape_and_size(fed: Federation) -> None:
    """A long payload, many measures and a long case id make nothing longer."""
    case = await Case(fed).run()
    small = fed.request(case_id="EE-2")
    large = fed.countersigned(
        fed.actor("ee/prosecutor").compose(
            ids.KIND_FREEZE_REQUEST,
            "de/central-authority",
            b"x" * 100_000,
            instrument="eu-2018-1805",
            measures=(ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING),
            case_id="EE-" + "9" * 60,
        )
    )
    answers = []
    for number, made in enumerate((small, large)):
        await case.step("ee/prosecutor", made)
        about = await complained(fed, "ee/prosecutor", made, to="ee/ombudsperson", case_id=f"C-{number}")
        (seen,) = (await told(fed, about, "ee/ombudsperson")).envelopes
        answers.append(trace.Happenings(handle=seen.handle, cited=seen.cited, happenings=seen.happenings[:1]))
    assert milestones(answers[0]) == milestones(answers[1]) == [pb.MILESTONE_ACCEPTED]
    assert answers[0].ByteSize() == answers[1].ByteSize()


async def test_nothing_in_the_answer_finds_an_envelope_in_a_log(fed: Federation) -> None:
    """The logs are public: an entry at another node would tell that it went abroad, and where."""
    case = await Case(fed).run()
    response = await told(fed, await complained(fed, "de/central-authority", case.request))
    handles = [each.handle for each in response.envelopes]
    leaves = {bytes(leaf) for node in fed.nodes for (leaf,) in stores.rows(fed.store(node), LEAVES)}
    assert all(leaf_hash(f"{node}/node", envelope.fingerprint(case.request)) in leaves for node in ("ee", "de"))
    found = {each for handle in handles for node in fed.nodes for each in leaf_hashes(f"{node}/node", handle)}
    assert not leaves & {*handles, *found}
    about = await complained(fed, "ee/prosecutor", case.request, to="ee/ombudsperson")
    elsewhere = await told(fed, about, "ee/ombudsperson")
    assert not {*handles} & {each.handle for each in elsewhere.envelopes}


async def test_of_an_order_it_hears_nothing_of_the_case_above(fed: Federation) -> None:
    case = await Case(fed).run()
    response = await told(fed, await complained(fed, "de/exchange", case.order))
    assert [each.handle for each in response.envelopes] == [handle(case.order)]


async def test_complaint_about_an_answer_is_about_the_matter_that_it_answers(fed: Federation) -> None:
    case = await Case(fed).run()
    report = await case.send(
        ids.KIND_EXECUTION_REPORT,
        "de/exchange",
        "de/court",
        case.order,
        case_id="AG-ORDER-1",
        outcome=ids.OUTCOME_GRANTED,
    )
    response = await told(fed, await complained(fed, "de/court", report))
    assert [(each.handle, each.cited) for each in response.envelopes] == [
        (handle(case.order), False),
        (handle(report), True),
    ]
    assert pb.MILESTONE_EXECUTED in milestones(response.envelopes[0])


async def test_what_others_complain_of_in_the_same_matter_is_not_told(fed: Federation) -> None:
    case = await Case(fed).run()
    about = await complained(fed, "de/central-authority", case.request)
    before = await told(fed, about)
    await complained(fed, "de/court", case.referral, case_id="COMPLAINT-2")
    await complained(fed, "de/exchange", case.order, case_id="COMPLAINT-3")
    assert await told(fed, about) == before


async def test_without_a_grievance_it_hears_nothing_whether_the_envelope_exists_or_not(fed: Federation) -> None:
    case = await Case(fed).run()
    errors = [await refusal(fed, each) for each in (ref(case.request), ref(case.order), NOBODY)]
    assert {error.code for error in errors} == {ErrorCode.NOT_FOUND}
    assert len({(error.detail, error.field) for error in errors}) == 1, "the words tell which of them exist"


async def test_grievance_to_the_ombudsperson_of_another_country_opens_nothing_to_this_one(fed: Federation) -> None:
    case = await Case(fed).run()
    theirs = await complained(fed, "ee/prosecutor", case.request, to="ee/ombudsperson")
    assert (await refusal(fed, theirs)).detail == (await refusal(fed, NOBODY)).detail
    # The foreign one at this door, with its own valid certificate.
    ours = await complained(fed, "de/central-authority", case.request)
    foreign = fed.actor("ee/ombudsperson").loaded
    async with transport.channel_to(fed.directory.node("de"), fed.directory.federation, foreign.identity) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TraceStub(channel).GetHappenings(trace.GetHappeningsRequest(grievance=ours), timeout=UNTIL_SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


async def test_another_ombudsperson_and_one_that_was_something_else_before_hear_nothing(fed: Federation) -> None:
    case = await Case(fed).run()
    about = await complained(fed, "de/exchange", case.order)
    await fed.stop("de")
    before = fed.directory
    people = [
        each.model_copy(update={"roles": frozenset({Role.OMBUDSPERSON})})
        if str(each.address) == "de/central-authority"
        else each
        for each in before.participants
    ]
    fed.sign_anew(before.model_copy(update={"participants": tuple(people)}))
    await fed.start("de")
    # Neither the grievance to its colleague, nor what cited something and came to it as an authority.
    for asked in (about, ref(case.decision), NOBODY):
        assert (await refusal(fed, asked, "de/central-authority")).code is ErrorCode.NOT_FOUND
    assert (await told(fed, about)).envelopes


async def test_node_abroad_tells_its_own_ombudsperson_only_what_it_has_itself(fed: Federation) -> None:
    case = await Case(fed).run()
    await fed.actor("ee/prosecutor").collect(3)  # accepted there, delivered, decided: our node knows by now
    theirs = await complained(fed, "ee/prosecutor", case.request, to="ee/ombudsperson")
    (seen,) = (await told(fed, theirs, "ee/ombudsperson")).envelopes
    # One ACCEPTED, though two nodes signed one: the second would tell that it went abroad.
    assert milestones(seen) == [pb.MILESTONE_ACCEPTED, pb.MILESTONE_DELIVERED, pb.MILESTONE_DECIDED]


@pytest.mark.parametrize(
    "who", ["de/exchange", "de/court", "de/central-authority", "de/operator", "de/auditor", "de/registrar"]
)
async def test_nobody_else_may_ask_that_not_even_whoever_complained(fed: Federation, who: str) -> None:
    case = await Case(fed).run()
    about = await complained(fed, "de/exchange", case.order)
    for asked in (about, ref(case.order), NOBODY):
        assert (await refusal(fed, asked, who)).code is ErrorCode.NOT_PERMITTED


async def test_ombudsperson_may_not_trace_as_an_operator_does(fed: Federation) -> None:
    stub = TraceStub(fed.actor("de/ombudsperson").channel)
    for call in (
        stub.GetTrace(trace.GetTraceRequest(key="EE-1"), timeout=UNTIL_SECONDS),
        stub.GetOverdue(trace.GetOverdueRequest(), timeout=UNTIL_SECONDS),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert transport.error_of(caught.value).code is ErrorCode.NOT_PERMITTED


@pytest.mark.parametrize("who", ["de/exchange", "de/fiu", "de/prosecutor"])
async def test_complaint_about_what_one_was_no_party_to_is_refused_and_opens_nothing(fed: Federation, who: str) -> None:
    case = await Case(fed).run()
    refusals = []
    for cited in (ref(case.request), ref(case.referral), NOBODY):
        made = grievance(fed, who, cited)
        said = await fed.actor(who).submit(made)
        refusals.append((code_of(said), said.detail, said.field))
        assert (await refusal(fed, ref(made))).code is ErrorCode.NOT_FOUND
    # In the same words for what is there and what is not.
    assert {code for code, _, _ in refusals} == {ErrorCode.UNKNOWN_CITATION}
    assert len(set(refusals)) == 1


async def test_complaint_in_the_case_that_it_is_about_is_refused(fed: Federation) -> None:
    """Its header would tell the ombudsperson which case that is."""
    case = await Case(fed).run()
    made = grievance(fed, "de/exchange", ref(case.order), case_id="AG-ORDER-1")
    assert code_of(await fed.actor("de/exchange").submit(made)) is ErrorCode.OUT_OF_ORDER


async def test_exchange_cannot_have_another_exchange_s_order_looked_at(fed: Federation) -> None:
    """Nor that of another country: nobody but a party can bring an envelope before an ombudsperson."""
    case = await Case(fed).run()
    made = grievance(fed, "ee/exchange", ref(case.order), to="ee/ombudsperson")
    assert code_of(await fed.actor("ee/exchange").submit(made)) is ErrorCode.UNKNOWN_CITATION
    assert code_of(await fed.actor("ee/exchange").submit(grievance(fed, "ee/exchange", ref(case.order)))) is (
        ErrorCode.NOT_PERMITTED
    )


async def test_questions_cost_what_other_questions_cost(tmp_path: Path) -> None:
    now = system_clock()
    async with federation(tmp_path / "fed", start=["ee"], clock=lambda: now) as fed:
        settings = fed.summary.config("de/node")
        quota = "[quota.participant]\nqueries_per_second = 1\nburst_queries = 2"
        settings.write_text(f"{settings.read_text()}\n{quota}\n")
        await fed.start("de")
        errors = [await refusal(fed, NOBODY) for _ in range(3)]
        assert [error.code for error in errors] == [ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND, ErrorCode.OVERLOADED]


def receipt(said: pb.Statement) -> pb.Receipt:
    return pb.Receipt(statement=said.SerializeToString())


def statement(milestone: pb.Milestone.ValueType, **fields: Any) -> pb.Statement:
    fields = {"fingerprint": b"f" * 32, "at_us": 5, "issuer": "de/node", **fields}
    return pb.Statement(milestone=milestone, **fields)


def test_what_is_for_the_recipient_alone_of_other_bytes_or_garbage_is_not_told() -> None:
    said = (
        statement(pb.MILESTONE_COMPETING, others=[NOBODY]),
        statement(pb.MILESTONE_REFUSED, fingerprint=b"o" * 32, code=ErrorCode.ID_CONFLICT),
        statement(pb.MILESTONE_ACCEPTED, issuer="ee/node"),
        statement(pb.MILESTONE_ACCEPTED, at_us=4),
    )
    row = SeenRow(b"f" * 32, (*map(receipt, said), pb.Receipt(statement=b"\xff\xff")), cited=False)
    assert [(one.at_us, one.milestone) for one in happenings(row, "de", "de/ombudsperson").happenings] == [
        (4, pb.MILESTONE_ACCEPTED)
    ]


def test_limit_that_ran_out_is_told_once_without_saying_which_and_a_refusal_with_its_code() -> None:
    said = (
        statement(pb.MILESTONE_REJECTED, at_us=9, code=ErrorCode.CANNOT_OPEN, detail="secret", field="secret"),
        statement(pb.MILESTONE_OVERDUE, clock_rule=1, due_us=77),
        statement(pb.MILESTONE_OVERDUE, clock_rule=1, due_us=77, recipient="de/court"),
        statement(pb.MILESTONE_DUE_SOON, at_us=3, clock_rule=1, due_us=77),
    )
    assert happenings(
        SeenRow(b"f" * 32, tuple(map(receipt, said)), cited=True), "de", "de/ombudsperson"
    ) == trace.Happenings(
        handle=sha256(frame(b"rogatory/v1/happenings", b"de/ombudsperson", b"f" * 32)).digest(),
        cited=True,
        happenings=[
            trace.Happening(at_us=3, milestone=pb.MILESTONE_DUE_SOON),
            trace.Happening(at_us=5, milestone=pb.MILESTONE_OVERDUE),
            trace.Happening(at_us=9, milestone=pb.MILESTONE_REJECTED, code=int(ErrorCode.CANNOT_OPEN)),  # type: ignore[arg-type]
        ],
    )


async def test_command_shows_the_happenings_of_a_grievance_that_was_collected(fed: Federation) -> None:
    case = await Case(fed).run()
    about = await complained(fed, "de/exchange", case.order)
    config = str(fed.summary.config("de/ombudsperson"))
    status, _, err = await finished("inbox", "--config", config, "--json")
    assert (status, err) == (0, "")
    status, out, err = await finished("happenings", about.id, "--config", config, "--json")
    assert (status, err) == (0, "")
    (seen,) = json.loads(out)["envelopes"]
    assert (seen["handle"], seen["cited"]) == (handle(case.order).hex(), True)
    assert [one["milestone"] for one in seen["happenings"]] == ["accepted"]
    status, out, _ = await finished("happenings", about.id, "--config", config)
    assert status == 0
    assert "A (cited)" in out
    assert ref(case.order).id not in out


async def test_it_answers_the_grievance_that_it_collected(fed: Federation) -> None:
    case = await Case(fed).run()
    about = await complained(fed, "de/exchange", case.order)
    answer = fed.actor("de/ombudsperson").compose(
        ids.KIND_GRIEVANCE_ANSWER, "de/exchange", cites=(about,), case_id="COMPLAINT-1"
    )
    await case.step("de/ombudsperson", answer)
    items: list[mailbox.Item] = await fed.actor("de/exchange").collect(2)
    assert answer in [item.envelope for item in items]
