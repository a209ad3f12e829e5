"""What an unsigned no is worth: the other node is asked by name before it ends what may have arrived."""

from collections.abc import Callable, Sequence

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import trace_pb2 as trace

from gateway import envelope
from gateway.codec import error_message
from gateway.doors import doubt
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.lifecycle import State
from gateway.store import Leased
from tests import world
from tests.world import Sent

NO = mailbox.Answer(error=error_message(Refusal(ErrorCode.MALFORMED, "not readable here")))
LATER = mailbox.Answer(error=error_message(Failure(ErrorCode.OVERLOADED, "later")))
SILENT = Failure(ErrorCode.UNAVAILABLE, "it does not answer")


class OtherNode:
    """Tells of what it has recorded, and notes what it was asked."""

    def __init__(self, *told: trace.EnvelopeTrace, fails: GatewayError | None = None) -> None:
        self.asked: list[str] = []
        self._told = told
        self._fails = fails

    async def __call__(self, envelope_id: str) -> list[trace.EnvelopeTrace]:
        self.asked.append(envelope_id)
        if self._fails is not None:
            raise self._fails
        return [each for each in self._told if each.envelope.id == envelope_id]


def leased(sent: Sent, state: State = State.ASKING) -> Leased:
    return Leased(1, state, expired=False, fingerprint=sent.fingerprint, envelope=sent.envelope, receipt=None)


def word(sent: Sent, milestone: pb.Milestone.ValueType, issuer: str = "de/node") -> pb.Receipt:
    said = pb.Statement(envelope=envelope.ref_of(sent.header), milestone=milestone, issuer=issuer)
    return pb.Receipt(statement=said.SerializeToString())


def recorded(sent: Sent, *receipts: pb.Receipt, fingerprint: bytes | None = None) -> trace.EnvelopeTrace:
    return trace.EnvelopeTrace(
        envelope=envelope.ref_of(sent.header),
        fingerprint=sent.fingerprint if fingerprint is None else fingerprint,
        receipts=receipts,
    )


async def sure(
    node: OtherNode, copies: Sequence[Leased], answers: Sequence[mailbox.Answer] = (NO,)
) -> list[mailbox.Answer]:
    return await doubt.made_sure(copies, answers, "de/node", node)


async def test_what_the_other_node_has_recorded_is_settled_by_its_receipt() -> None:
    sent = world.freeze_request()
    accepted = word(sent, pb.MILESTONE_ACCEPTED)
    others = [
        pb.Receipt(statement=b"\xff"),
        word(sent, pb.MILESTONE_DELIVERED),
        word(sent, pb.MILESTONE_ACCEPTED, "ee/node"),
    ]
    node = OtherNode(recorded(sent, *others, accepted))
    assert await sure(node, [leased(sent)]) == [mailbox.Answer(receipt=accepted)]


async def test_no_stands_for_what_the_other_node_does_not_know() -> None:
    sent, other = world.freeze_request(), world.freeze_request()
    node = OtherNode(recorded(sent, word(sent, pb.MILESTONE_ACCEPTED), fingerprint=bytes(32)), recorded(other))
    assert await sure(node, [leased(sent)]) == [NO]
    assert node.asked == [sent.header.id]


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(lambda sent: OtherNode(recorded(sent, word(sent, pb.MILESTONE_DELIVERED))), id="no receipt"),
        pytest.param(lambda _: OtherNode(fails=SILENT), id="silent"),
        pytest.param(lambda _: OtherNode(fails=Refusal(ErrorCode.TOO_LARGE, "more than we read")), id="endless"),
    ],
)
async def test_copy_stays_in_doubt_while_nobody_proves_or_denies_that_it_arrived(
    node: Callable[[Sent], OtherNode],
) -> None:
    sent = world.freeze_request()
    (answer,) = await sure(node(sent), [leased(sent)])
    assert ErrorCode(answer.error.code) is ErrorCode.UNAVAILABLE


async def test_node_that_does_not_tell_is_asked_once_a_frame() -> None:
    sent = [world.freeze_request(case_id=f"EE-{number}") for number in range(3)]
    node = OtherNode(fails=SILENT)
    answers = await sure(node, [leased(each) for each in sent], [NO] * 3)
    assert [ErrorCode(each.error.code) for each in answers] == [ErrorCode.UNAVAILABLE] * 3
    assert len(node.asked) == 1


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        pytest.param(State.DELIVERING, NO, id="never out before"),
        pytest.param(State.ASKING, LATER, id="not decided"),
        pytest.param(State.ASKING, mailbox.Answer(receipt=pb.Receipt()), id="signed"),
        pytest.param(State.ASKING, mailbox.Answer(), id="empty"),
    ],
)
async def test_nobody_is_asked_where_nothing_is_in_doubt_or_nothing_ends(state: State, answer: mailbox.Answer) -> None:
    node = OtherNode()
    assert await sure(node, [leased(world.freeze_request(), state)], [answer]) == [answer]
    assert node.asked == []


async def test_receipt_that_is_not_taken_is_not_asked_about() -> None:
    node = OtherNode()
    item = Leased(1, State.ASKING, expired=False, fingerprint=b"", envelope=None, receipt=pb.Receipt())
    assert await sure(node, [item]) == [NO]
    assert node.asked == []
