"""Delivery in all weathers: what is accepted arrives once, or ends with a reason, and its sender knows which."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from gateway.config import Limits
from gateway.doors import mailbox as mailbox_door
from gateway.errors import ErrorCode
from gateway.identity import Role
from tests.federation import UNTIL_SECONDS, Federation, code_of, federation, of_stream, ref, relay_one
from tests.judge import judge

BLOCK = (ids.MEASURE_BLOCK_WITHDRAWAL,)


class TestClock:
    """Time that goes on by itself, and that a test moves ahead."""

    __test__ = False

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def pass_(self, **amount: float) -> None:
        self._ahead += timedelta(**amount)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


async def milestones(fed: Federation, wanted: int, who: str = "ee/prosecutor") -> list[pb.Milestone.ValueType]:
    actor = fed.actor(who)
    return [actor.said(item).milestone for item in await actor.collect(wanted)]


async def test_node_that_was_down_for_an_hour_gets_everything_when_it_is_back(tmp_path: Path, clock: TestClock) -> None:
    async with federation(tmp_path / "fed", start=["ee"], clock=clock) as fed:
        prosecutor = fed.actor("ee/prosecutor")
        sent = [fed.request(case_id=f"EE-{n}") for n in range(100)]
        for made in sent:
            assert (await prosecutor.submit(made)).milestone == pb.MILESTONE_ACCEPTED
        clock.pass_(hours=1)
        await fed.start("de")
        got = await fed.actor("de/central-authority").collect(100)
        # Each once; an order is promised within a case only, and these are a hundred cases.
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in sent)
        told = await milestones(fed, 200)
        assert told.count(pb.MILESTONE_ACCEPTED) == told.count(pb.MILESTONE_DELIVERED) == 100
        await fed.stop("ee")
        await fed.stop("de")
        for code in ("ee", "de"):
            assert judge(fed.store(code), code, fed.directory).envelopes == 100


async def test_what_came_by_a_clock_that_was_ahead_a_little_is_handed_out_without_more_news(
    tmp_path: Path, clock: TestClock
) -> None:
    """The clock of another machine of the node, or its own one before it was set right."""
    queued = []

    def watch(point: str) -> None:
        if point == "queued":
            queued.append(point)
        elif point == "committed" and queued:
            queued.clear()
            clock.pass_(seconds=-1)

    async with federation(tmp_path / "fed", start=["de"], clock=clock, watch=watch) as fed:
        call = MailboxStub(fed.actor("de/central-authority").channel).Collect(timeout=UNTIL_SECONDS)
        await call.write(mailbox.CollectRequest(credit=1))
        response = await call.read()
        assert isinstance(response, mailbox.CollectResponse)
        assert response.drained
        made = fed.request()
        (answer,) = await relay_one(fed.node_relay("ee", "de"), relay.RelayRequest(frame=1, envelopes=[made]))
        assert answer.HasField("receipt")
        response = await call.read()
        assert isinstance(response, mailbox.CollectResponse)
        assert [item.envelope.header for item in response.items] == [made.header]
        call.cancel()


async def test_copies_of_one_case_arrive_in_the_order_they_were_accepted(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        sent = [fed.request(case_id="EE-1") for _ in range(150)]
        answers = await fed.actor("ee/prosecutor").submit_frame(sent[:64])
        answers += await fed.actor("ee/prosecutor").submit_frame(sent[64:128])
        answers += await fed.actor("ee/prosecutor").submit_frame(sent[128:])
        assert all(answer.HasField("receipt") for answer in answers)
        await fed.start("de")
        got = await fed.actor("de/central-authority").collect(150)
        assert [item.envelope for item in got] == sent


async def test_what_expires_while_the_other_node_is_down_is_never_delivered_and_the_sender_is_told(
    tmp_path: Path, clock: TestClock
) -> None:
    async with federation(tmp_path / "fed", start=["ee"], clock=clock) as fed:
        made = fed.request(expires_at=clock() + timedelta(minutes=5))
        await fed.actor("ee/prosecutor").submit(made)
        clock.pass_(minutes=6)
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        said = fed.actor("ee/prosecutor").said(item)
        assert (said.milestone, said.issuer) == (pb.MILESTONE_EXPIRED, "ee/node")
        await fed.start("de")
        assert await fed.actor("de/central-authority").waiting() == []


async def test_what_expires_in_the_mailbox_is_never_handed_out_and_the_sender_abroad_is_told(
    tmp_path: Path, clock: TestClock
) -> None:
    async with federation(tmp_path / "fed", clock=clock) as fed:
        made = fed.request(expires_at=clock() + timedelta(minutes=5))
        await fed.actor("ee/prosecutor").submit(made)
        assert await milestones(fed, 1) == [pb.MILESTONE_ACCEPTED]
        clock.pass_(minutes=6)
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        said = fed.actor("ee/prosecutor").said(item)
        assert (said.milestone, said.issuer) == (pb.MILESTONE_EXPIRED, "de/node")
        assert await fed.actor("de/central-authority").waiting() == []


@pytest.mark.parametrize(("held", "end"), [(True, pb.MILESTONE_DELIVERED), (False, pb.MILESTONE_EXPIRED)])
async def test_what_was_handed_out_unacknowledged_and_then_expired_ends_as_the_recipient_says(
    tmp_path: Path, clock: TestClock, held: bool, end: pb.Milestone.ValueType
) -> None:
    async with federation(tmp_path / "fed", clock=clock) as fed:
        made = fed.request(expires_at=clock() + timedelta(minutes=5))
        await fed.actor("ee/prosecutor").submit(made)
        authority = fed.actor("de/central-authority")
        (item,) = await authority.collect(1, acknowledge=False)
        assert item.HasField("envelope")
        clock.pass_(minutes=6)
        call = MailboxStub(authority.channel).Collect(timeout=UNTIL_SECONDS)
        await call.write(mailbox.CollectRequest(credit=1))
        probes: list[mailbox.Item] = []
        while not probes:
            response = await call.read()
            assert isinstance(response, mailbox.CollectResponse)
            probes += response.items
        assert probes[0].HasField("probe"), "an expired envelope was handed out again"
        ack = mailbox.Acknowledgement(delivery_id=probes[0].delivery_id, held=held)
        await call.write(mailbox.CollectRequest(acknowledgements=[ack]))
        response = await call.read()
        assert isinstance(response, mailbox.CollectResponse)
        assert not response.settled[0].HasField("error")
        call.cancel()
        assert sorted(await milestones(fed, 2)) == sorted([pb.MILESTONE_ACCEPTED, end])


async def test_envelope_that_is_not_acknowledged_is_handed_out_again_byte_for_byte(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        authority = fed.actor("de/central-authority")
        (first,) = await authority.collect(1, acknowledge=False)
        (second,) = await authority.collect(1)
        assert first.envelope == second.envelope == made
        assert await authority.waiting() == []


async def test_who_acknowledges_nothing_holds_no_more_than_so_much_whatever_credit_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_door, "MAX_OUT", 3)
    async with federation(tmp_path / "fed") as fed:
        for n in range(5):
            await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{n}"))
        await asyncio.wait_for(milestones(fed, 5), UNTIL_SECONDS)
        call = MailboxStub(fed.actor("de/central-authority").channel).Collect(timeout=UNTIL_SECONDS)
        await call.write(mailbox.CollectRequest(credit=64))
        taken: list[mailbox.Item] = []
        for settled in range(3):
            while len(taken) < 3 + settled:
                taken += of_stream(await call.read()).items
            assert len(taken) == min(3 + settled, 5)
            acks = [mailbox.Acknowledgement(delivery_id=taken[settled].delivery_id, held=True)]
            await call.write(mailbox.CollectRequest(acknowledgements=acks))
            while not (response := of_stream(await call.read())).settled:
                taken += response.items
            assert len(taken) == 3 + settled, "more than three were out"
        call.cancel()


async def test_two_systems_of_one_participant_never_hold_the_same_item_at_once(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        for n in range(10):
            await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{n}"))
        authority = fed.actor("de/central-authority")
        await asyncio.wait_for(milestones(fed, 10), UNTIL_SECONDS)
        one, two = MailboxStub(authority.channel).Collect(), MailboxStub(authority.channel).Collect()
        await one.write(mailbox.CollectRequest(credit=6))
        first = await one.read()
        await two.write(mailbox.CollectRequest(credit=6))
        second = await two.read()
        assert isinstance(first, mailbox.CollectResponse)
        assert isinstance(second, mailbox.CollectResponse)
        assert len({item.delivery_id for item in (*first.items, *second.items)}) == 10
        one.cancel()
        two.cancel()


async def test_client_without_credit_is_given_nothing(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        await fed.actor("ee/prosecutor").submit(fed.request())
        assert await milestones(fed, 1) == [pb.MILESTONE_ACCEPTED]
        call = MailboxStub(fed.actor("de/central-authority").channel).Collect(timeout=UNTIL_SECONDS)
        unknown = mailbox.Acknowledgement(delivery_id=9999, held=True)
        await call.write(mailbox.CollectRequest(acknowledgements=[unknown]))
        response = await call.read()
        assert isinstance(response, mailbox.CollectResponse)
        assert not response.items
        await call.write(mailbox.CollectRequest(credit=1))
        response = await call.read()
        assert isinstance(response, mailbox.CollectResponse)
        assert len(response.items) == 1
        call.cancel()


async def test_refusal_of_the_other_node_travels_whole_to_the_sender(tmp_path: Path) -> None:
    """The other node has heard that the sender is no investigator any more; ee has not."""
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        made = fed.request()
        await fed.actor("ee/prosecutor").submit(made)
        directory = fed.directory
        moved = tuple(
            p.model_copy(update={"roles": frozenset({Role.FIU})}) if str(p.address) == "ee/prosecutor" else p
            for p in directory.participants
        )
        changed = directory.model_copy(update={"participants": moved})
        fed.sign_anew(changed)
        await fed.start("de")
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        said = fed.actor("ee/prosecutor").said(item)
        assert (said.issuer, code_of(said)) == ("de/node", ErrorCode.NOT_PERMITTED)
        assert said.envelope == ref(made)
        await fed.stop("ee")
        assert judge(fed.store("ee"), "ee", directory).ends["MILESTONE_REFUSED"] == 1


async def test_backlog_larger_than_one_frame_is_collected_whole(tmp_path: Path) -> None:
    """A frame that is full of bytes does not mean that the mailbox is empty."""
    async with federation(tmp_path / "fed") as fed:
        prosecutor = fed.actor("ee/prosecutor")
        for n in range(12):
            draft = prosecutor.compose(
                ids.KIND_DRAFT, "ee/central-authority", bytes(60_000), measures=BLOCK, case_id=f"EE-{n}"
            )
            assert (await prosecutor.submit(draft)).milestone == pb.MILESTONE_ACCEPTED
        assert len(await fed.actor("ee/central-authority").waiting()) == 12


async def test_one_envelope_too_large_for_the_other_node_is_refused_and_blocks_nobody(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        settings = fed.summary.config("de/node")
        small = "\n[limits]\nmax_payload_bytes = 65536\nmax_frame_bytes = 262144\n"
        settings.write_text(settings.read_text() + small)
        prosecutor = fed.actor("ee/prosecutor")
        too_large = prosecutor.compose(
            ids.KIND_FREEZE_REQUEST,
            "de/central-authority",
            bytes(900_000),
            instrument="eu-2018-1805",
            measures=BLOCK,
            case_id="EE-LARGE",
        )
        await prosecutor.submit(fed.countersigned(too_large))
        other = fed.request(case_id="EE-SMALL")
        await prosecutor.submit(other)
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == other
        told = [prosecutor.said(each) for each in await prosecutor.collect(3)]
        (refused,) = [said for said in told if said.milestone == pb.MILESTONE_REFUSED]
        assert (refused.envelope, code_of(refused)) == (ref(too_large), ErrorCode.TOO_LARGE)


LARGE = Limits(max_payload_bytes=8 << 20, max_frame_bytes=16 << 20)


def large(fed: Federation) -> pb.SignedEnvelope:
    """Return a request that is larger than the messages which gRPC reads for a node of other limits."""
    return fed.countersigned(
        fed.actor("ee/prosecutor").compose(
            ids.KIND_FREEZE_REQUEST,
            "de/central-authority",
            bytes(7_500_000),
            instrument="eu-2018-1805",
            measures=BLOCK,
            case_id="EE-LARGE",
        )
    )


def read_less(fed: Federation) -> None:
    """Have de read small messages alone, from its next start on."""
    settings = fed.summary.config("de/node")
    text, found = settings.read_text(), 0
    for name, most in (("max_payload_bytes", 64 << 10), ("max_frame_bytes", 256 << 10)):
        text, changed = re.subn(rf"^{name} = .*$", f"{name} = {most}", text, flags=re.MULTILINE)
        found += changed
    assert found == 2
    settings.write_text(text)


async def test_message_that_the_other_node_never_reads_is_refused_once_it_is_known_not_to_be_there(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=["ee"], limits=LARGE) as fed:
        prosecutor, too_large, other = fed.actor("ee/prosecutor"), large(fed), fed.request(case_id="EE-SMALL")
        for made in (too_large, other):
            assert (await prosecutor.submit(made)).milestone == pb.MILESTONE_ACCEPTED
        read_less(fed)
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == other
        told = [prosecutor.said(each) for each in await prosecutor.collect(3)]
        (refused,) = [said for said in told if said.milestone == pb.MILESTONE_REFUSED]
        assert (refused.envelope, refused.issuer, code_of(refused)) == (ref(too_large), "ee/node", ErrorCode.TOO_LARGE)


async def test_copy_that_arrived_is_not_called_refused_when_it_is_asked_about_and_too_large_by_then(
    tmp_path: Path,
) -> None:
    losing = True

    def watch(point: str) -> None:
        if losing and point == "answered":
            raise OSError("the answer is lost")

    async with federation(tmp_path / "fed", watch=watch, limits=LARGE) as fed:
        prosecutor, made = fed.actor("ee/prosecutor"), large(fed)
        assert (await prosecutor.submit(made)).milestone == pb.MILESTONE_ACCEPTED
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == made
        await fed.stop("de")
        read_less(fed)
        losing = False
        await fed.start("de")
        told = [prosecutor.said(each) for each in await prosecutor.collect(2)]
        assert {(said.milestone, said.issuer) for said in told} == {
            (pb.MILESTONE_ACCEPTED, "de/node"),
            (pb.MILESTONE_DELIVERED, "de/node"),
        }
        await fed.stop("ee")
        ends = judge(fed.store("ee"), "ee", fed.directory).ends
        assert (ends["MILESTONE_DELIVERED"], ends["MILESTONE_REFUSED"]) == (1, 0)


async def test_retry_of_what_was_accepted_gets_its_receipt_though_the_limit_is_lower_now(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        prosecutor = fed.actor("ee/prosecutor")
        draft = prosecutor.compose(ids.KIND_DRAFT, "ee/central-authority", bytes(60_000), measures=BLOCK)
        first = await prosecutor.answer(draft)
        await fed.stop("ee")
        settings = fed.summary.config("ee/node")
        settings.write_text(settings.read_text() + "\n[limits]\nmax_payload_bytes = 1024\n")
        await fed.start("ee")
        assert await prosecutor.answer(draft) == first
