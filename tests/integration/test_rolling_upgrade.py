"""A rolling upgrade: programs of two versions on one store, and nodes of two versions on one line."""

import asyncio
from pathlib import Path

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store.driver import HEAD
from tests import stores
from tests.federation import Federation, federation, relay_one, until
from tests.holding import PATIENT, HoldingNode, answered, counted, holding_node, requests, states, submit
from tests.processes import finished, processes

pytestmark = pytest.mark.integration


# A rolling upgrade.


async def test_process_serves_on_beside_a_newer_one_on_its_store_until_that_claims_it(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed") as nodes:
        fed = nodes.fed
        first, second, third = requests(fed, 3)
        await submit(fed, [first])
        await asyncio.to_thread(stores.become_newer, fed.store("ee"), HEAD)
        await submit(fed, [second])
        # An older one may also start while the newer one is at work.
        await nodes.end("ee")
        await nodes.start("ee")
        await fed.actor("ee/prosecutor").channel.channel_ready()
        got = await fed.actor("de/central-authority").collect(2)
        assert sorted(item.envelope.header for item in got) == sorted(made.header for made in (first, second))
        await asyncio.to_thread(stores.become_newer, fed.store("ee"), "9999")
        error = answered(await fed.actor("ee/prosecutor").answer(third))
        assert isinstance(error, Failure)
        assert (error.code, bool(error.retry_after)) == (ErrorCode.STORE, True)
        assert counted(fed.store("ee"), "SELECT count(*) FROM envelopes") == 2
        status, _ = await nodes.end("ee")
        assert status == 0
        status, out, err = await finished("serve", "--config", str(fed.summary.config("ee/node")))
        assert (status, out) == (2, "")
        assert ErrorCode.BAD_CONFIG.name in err


TOMORROW = b"\xfa\x3f\x08tomorrow"  # field 1023, of a later version


class NodeOfTomorrow(HoldingNode):
    """Answers with fields and kinds of answer that nobody here knows yet."""

    def __init__(self, fed: Federation) -> None:
        super().__init__(fed)
        self.answer(1000)
        self.unknown_answers = 0

    def _accept(self, made: pb.SignedEnvelope) -> mailbox.Answer:
        if self.unknown_answers:
            self.unknown_answers -= 1
            return mailbox.Answer.FromString(TOMORROW)
        return mailbox.Answer.FromString(super()._accept(made).SerializeToString() + TOMORROW)


async def test_answer_of_a_kind_of_a_later_version_decides_nothing_and_its_unknown_fields_do_no_harm(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=["ee"], delivery=PATIENT) as fed:
        async with holding_node(fed, NodeOfTomorrow(fed)) as there:
            assert isinstance(there, NodeOfTomorrow)
            there.unknown_answers = 2
            made = fed.request()
            await submit(fed, [made])
            await until(lambda: states(fed.store("ee")) == {"delivered": 1})
            assert [list(frame) for frame in there.frames] == [[made]] * 3
        (item,) = await fed.actor("ee/prosecutor").collect(1)
        assert fed.actor("ee/prosecutor").said(item).milestone == pb.MILESTONE_ACCEPTED


async def test_frame_with_fields_of_a_later_version_is_taken_and_a_kind_of_a_later_version_is_refused_alone(
    tmp_path: Path,
) -> None:
    async with federation(tmp_path / "fed", start=["de"]) as fed:
        good = fed.request(case_id="EE-1")
        strange = fed.request(case_id="EE-2")
        header = pb.Header.FromString(strange.header)
        header.kind = ids.Kind.ValueType(9999)
        strange.header = header.SerializeToString(deterministic=True)
        newer = pb.SignedEnvelope.FromString(good.SerializeToString() + TOMORROW)
        frame = relay.RelayRequest(frame=1, envelopes=[strange, newer]).SerializeToString() + TOMORROW
        refused, taken = await relay_one(fed.node_relay("ee", "de"), relay.RelayRequest.FromString(frame))
        error = answered(refused)
        assert isinstance(error, Refusal)
        assert error.code is ErrorCode.MALFORMED
        assert taken.WhichOneof("result") == "receipt"
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == good
