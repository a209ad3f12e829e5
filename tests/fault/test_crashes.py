"""SIGKILL at every numbered point of a node's work, on both nodes.

A node of real processes kills itself at one point while requests cross the border, time runs out, a step is taken back
or a participant is let in. It is started again, and everybody retries as he should. Then: nothing that was
acknowledged is lost, nothing arrives twice, the sender knows the truth, and the judge finds both stores sound.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids

from clients.investigator import Investigator
from clients.registrar import Registrar
from gateway import envelope
from gateway.clock import system_clock
from gateway.errors import Failure
from gateway.identity import Role
from gateway.rules import State
from tests.enrolling import REFRESH_SECONDS, REGISTRARS, REGISTRY, applied, approved, entered, invited, listed
from tests.fault.nodes import IMPATIENT, KILLED, Nodes, nodes_of
from tests.fault.tally import Tally
from tests.fault.traffic import Name, Traffic, traffic_in
from tests.federation import ports
from tests.samples import followups as papers
from tests.world import record_of

pytestmark = pytest.mark.fault

T = TypeVar("T")
ROOT = Path(__file__).parents[2]

# (stage, arm): the node kills itself at the first `stage` after `arm`; "" arms it at once.
ACCEPTING = [
    ("authenticated", ""),
    ("received", ""),
    ("permitted", ""),
    ("verified", ""),
    ("lawful", ""),
    ("recorded", ""),
    ("queued", ""),
    ("signed", "queued"),
    ("committed", "queued"),
    ("answering", ""),
]
CARRYING = [
    ("leased", ""),
    ("sent", ""),
    ("answered", ""),
    ("noted", ""),
    ("signed", "noted"),
    ("committed", "noted"),
    ("settled", ""),
]
HEARING = [("heard", ""), ("signed", "heard"), ("committed", "heard")]
HANDING_OUT = [("handed", ""), ("taken", ""), ("signed", "taken"), ("committed", "taken"), ("acknowledged", "")]
POINTS = [(code, *point) for code in ("ee", "de") for point in (*ACCEPTING, *CARRYING, *HEARING, *HANDING_OUT)]
EXPIRING = [("swept", ""), ("signed", "swept"), ("committed", "swept")]
REFUSED = [("noted", ""), ("signed", "noted"), ("committed", "noted")]
RINGING = [("rung", ""), ("signed", "rung"), ("committed", "rung")]
APPLYING = [("changed", ""), ("committed", "changed")]
LETTING_IN = [("changed", ""), ("committed", "changed"), ("listed", ""), ("offered", "")]
STAGES = {stage for _, stage, _ in POINTS} | {stage for stage, _ in (*EXPIRING, *RINGING, *LETTING_IN)}
"""All points at which a node is killed."""


def named(points: list[tuple[str, ...]]) -> list[str]:
    return ["-".join(filter(None, point)) for point in points]


def test_every_point_of_a_nodes_work_is_one_at_which_it_is_killed() -> None:
    told = re.compile(r"\b_?watch\(\"(\w+)\"\)")
    points = {stage for each in (ROOT / "gateway").rglob("*.py") for stage in told.findall(each.read_text())}
    assert points == STAGES


def died(nodes: Nodes, code: str, tally: Tally) -> None:
    """Check that one node died, once, as it was told."""
    assert nodes.deaths == [(code, KILLED)], "the node did not die where it should"
    tally.faults["kill"] += 1


async def reckoned(nodes: Nodes, traffic: Traffic, tally: Tally) -> None:
    """Let all come to its end, and have it judged."""
    try:
        await traffic.known()
        # Whoever had to ask again may hear how it ended before it hears that it was accepted.
        await traffic.accepted(len(traffic.sent))
        await nodes.settled()
    except (AssertionError, TimeoutError) as error:
        error.add_note(f"on the way: {nodes.on_the_way()}; died: {nodes.deaths}")
        raise
    traffic.reckon(tally)
    for code in nodes.running:
        nodes.judged(code)


@pytest.mark.parametrize(("code", "stage", "arm"), POINTS, ids=named([*POINTS]))
async def test_sigkill_loses_nothing_and_doubles_nothing(
    tmp_path: Path, code: str, stage: str, arm: str, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        await nodes.kill_at(code, stage, arm)
        await traffic.request("ee", "de", "EE-1", 3)
        await traffic.request("de", "ee", "DE-1", 3)
        await nodes.reborn()
        await reckoned(nodes, traffic, tally)
        died(nodes, code, tally)
        assert tally.acknowledged == 12, "six requests, and the acknowledgement of each"


async def withdraw(traffic: Traffic, request: Name, **terms: timedelta) -> Name:
    """Have ee withdraw a request."""
    sender = await traffic.person("ee/prosecutor")
    document = papers.withdrawal()
    whole = followups.Withdrawal(
        authority=document.authority,
        order_number=document.order_number,
        reason=document.reason,
        explanation=document.explanation,
    )
    expires_at = {name: system_clock() + after for name, after in terms.items()}
    made = Investigator(sender.participant)._compose(
        ids.KIND_WITHDRAWAL,
        whole,
        envelope.parse_header(traffic.sent[request]),
        **expires_at,  # type: ignore[arg-type]  # the one term that is given
    )
    (name,) = traffic.hand_in(sender, [made.envelope])
    return name


def state(nodes: Nodes, code: str, name: Name) -> State | None:
    """Where a matter stands at a node."""
    with record_of(nodes.fed.file(code)) as txn:
        return txn.matters.state(ids.EnvelopeRef(sender=name[0], id=name[1]))


@pytest.mark.parametrize(("stage", "arm"), EXPIRING, ids=named([*EXPIRING]))
async def test_sigkill_while_a_step_that_expired_is_taken_back_leaves_it_taken_back_once(
    tmp_path: Path, stage: str, arm: str, tally: Tally
) -> None:
    # No lease runs out while minutes pass: a copy that was leased then would be in doubt, and never expire by itself.
    delivery = IMPATIENT.model_copy(update={"lease_seconds": 3600.0})
    async with nodes_of(tmp_path / "fed", delivery=delivery) as nodes, traffic_in(nodes.fed) as traffic:
        (request,) = await traffic.request("ee", "de", "EE-1")
        await traffic.known()
        await nodes.settled()
        stood = state(nodes, "ee", request)
        await nodes.stop("de")
        # Over a line that stood when de went, nobody could tell whether it arrived: only de may say that it expired.
        await nodes.stop("ee")
        await nodes.start("ee")
        withdrawal = await withdraw(traffic, request, expires_at=timedelta(minutes=5))
        await traffic.accepted(len(traffic.sent))
        assert state(nodes, "ee", request) is not stood
        await nodes.kill_at("ee", stage, arm)
        await nodes.later("ee", timedelta(minutes=6))
        await nodes.reborn()
        await traffic.known()
        assert {word.milestone for word in traffic.words[withdrawal]} == {pb.MILESTONE_EXPIRED}
        await nodes.start("de")
        await reckoned(nodes, traffic, tally)
        died(nodes, "ee", tally)
        assert [state(nodes, code, request) for code in ("ee", "de")] == [stood, stood]


@pytest.mark.parametrize(("stage", "arm"), REFUSED, ids=named([*REFUSED]))
async def test_sigkill_while_a_step_that_was_refused_is_taken_back_leaves_it_taken_back_once(
    tmp_path: Path, stage: str, arm: str, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        (request,) = await traffic.request("ee", "de", "EE-1")
        await traffic.known()
        await nodes.settled()
        stood = state(nodes, "ee", request)
        # To its mind, what is made now is made in the future.
        await nodes.set_clock("de", timedelta(hours=-1))
        await nodes.kill_at("ee", stage, arm)
        withdrawal = await withdraw(traffic, request)
        await nodes.reborn()
        await reckoned(nodes, traffic, tally)
        assert {word.milestone for word in traffic.words[withdrawal]} == {pb.MILESTONE_REFUSED}
        died(nodes, "ee", tally)
        assert [state(nodes, code, request) for code in ("ee", "de")] == [stood, stood]


@pytest.mark.parametrize(("stage", "arm"), RINGING, ids=named([*RINGING]))
async def test_sigkill_while_a_time_limit_rings_has_it_ring_once_for_both_parties(
    tmp_path: Path, stage: str, arm: str, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed") as nodes, traffic_in(nodes.fed) as traffic:
        (request,) = await traffic.request("ee", "de", "EE-1")
        await traffic.known()
        await nodes.kill_at("de", stage, arm)
        # The decision is due in ten days.
        await nodes.later("de", timedelta(days=11))
        await nodes.reborn()
        await traffic.told(request, pb.MILESTONE_OVERDUE, 2)
        await reckoned(nodes, traffic, tally)
        died(nodes, "de", tally)
        words = [word.recipient for word in traffic.words[request] if word.milestone == pb.MILESTONE_OVERDUE]
        assert sorted(words) == ["", "de/central-authority"]


async def insist(nodes: Nodes, work: Callable[[], Awaitable[T]]) -> T:
    """Try what the node's death may cut off; once it is back, again."""
    try:
        return await work()
    except Failure:
        await nodes.reborn()
        return await work()


@pytest.mark.parametrize(
    ("step", "stage", "arm"),
    [*(("applies", *p) for p in APPLYING), *(("is let in", *p) for p in LETTING_IN)],
    ids=named([*(("applies", *p) for p in APPLYING), *(("let-in", *p) for p in LETTING_IN)]),
)
async def test_sigkill_while_a_participant_is_enrolled_enrols_it_once(
    tmp_path: Path, step: str, stage: str, arm: str, tally: Tally
) -> None:
    options: dict[str, Any] = {"enrolment_ports": ports(2), "registry": REGISTRY, "refresh_seconds": REFRESH_SECONDS}
    async with nodes_of(tmp_path / "fed", start=["ee"], age=timedelta(), **options) as nodes:
        fed, folder = nodes.fed, tmp_path / "lhv"
        invitation = await invited(fed, "ee/exchange-lhv", Role.EXCHANGE)
        if step == "applies":
            await nodes.kill_at("ee", stage, arm)
        applicant = await insist(nodes, lambda: applied(invitation, folder))
        about = (await insist(nodes, applicant.outcome)).application_id.hex()
        for each in REGISTRARS:
            if step == "is let in" and each == REGISTRARS[-1]:
                await nodes.kill_at("ee", stage, arm)

            async def decide(by: str = each) -> None:
                async with entered(fed, by) as participant:
                    registrar = Registrar(participant)
                    await registrar.decide(await registrar.find(about), approved=True)

            await insist(nodes, decide)
        await nodes.reborn()
        settings = applicant.finish(await approved(applicant))
        await listed(settings)
        died(nodes, "ee", tally)
        count = "SELECT count(*) FROM certificates WHERE address = 'ee/exchange-lhv'"
        assert nodes.ask("ee", count) == [(1,)]
        nodes.judged("ee")
