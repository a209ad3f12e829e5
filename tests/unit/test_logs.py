"""Which checkpoint a participant takes from its node, and what it believes of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2 as pb
from rogatory.v1.log_pb2_grpc import LogStub

from clients import logs
from clients.casefile.logged import Subject
from clients.connection import Pauses
from clients.logs import Answer
from gateway import merkle, tiles
from gateway.errors import ErrorCode, Refusal
from gateway.signer import KeySigner
from tests import world
from tests.errors import raises
from tests.witnessed import Log, whole
from tests.world import NOW

LOG = Log(world.signing_key("ee/node"))
DIRECTORY = world.make_directory().model_copy(update={"cosignatures": 1})
SUBJECTS = [
    Subject.of_envelope(
        f"{index}", ids.EnvelopeRef(sender="ee/prosecutor", id=f"{index}"), f"entry {index}".encode(), "ee/node"
    )
    for index in range(4)
]


@dataclass
class Node:
    """A node whose log has grown to one size, and was cosigned with another, by as many as each is listed under.

    Args:
        sizes: for each call, the size of the newest checkpoint with so many cosignatures or more.
    """

    sizes: Sequence[dict[int, int]]
    asked: list[int] = field(default_factory=list)

    async def GetInclusionProofs(  # noqa: N802  gRPC's name
        self,
        request: pb.GetInclusionProofsRequest,
        timeout: float,  # noqa: ASYNC109  gRPC's too
    ) -> pb.GetInclusionProofsResponse:
        assert timeout > 0
        now = self.sizes[min(len(self.asked), len(self.sizes) - 1)]
        self.asked.append(request.cosignatures)
        size = max((size for count, size in now.items() if count >= request.cosignatures), default=0)
        if not size:
            raise Refusal(ErrorCode.NOT_FOUND, "no checkpoint covers that yet")
        proofs = [proof(int(each.envelope.id), size) for each in request.entries]
        return pb.GetInclusionProofsResponse(size=size, checkpoint=LOG.note(size), proofs=proofs)


def proof(index: int, size: int) -> pb.InclusionProof:
    if index >= size:
        return pb.InclusionProof()
    leaves = LOG.leaves(size)
    path = tiles.inclusion(lambda _, start, stop: whole(leaves, start, stop), index, size)
    return pb.InclusionProof(index=index, leaf_hash=leaves[index], path=path)


async def answered(node: Node, within: float = 0.2, cosignatures: int = 1) -> Answer:
    pauses = Pauses(lambda: 0.0, first=0.01, ceiling=0.05)
    entries = [each.entry for each in SUBJECTS]
    return await logs.proven(cast("LogStub", node), entries, cosignatures, pauses, within)


def refused(answer: Answer, subjects: Sequence[Subject] = SUBJECTS) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        logs.check(answer, subjects, DIRECTORY, "ee", NOW)
    return caught.value.code


@dataclass
class Counting(Node):
    """A node that answers with another number of proofs than it was asked for."""

    proofs: int = 0

    async def GetInclusionProofs(  # noqa: N802
        self,
        request: pb.GetInclusionProofsRequest,
        timeout: float,  # noqa: ASYNC109
    ) -> pb.GetInclusionProofsResponse:
        answer = await super().GetInclusionProofs(request, timeout)
        proofs = [*answer.proofs, *answer.proofs][: self.proofs]
        return pb.GetInclusionProofsResponse(size=answer.size, checkpoint=answer.checkpoint, proofs=proofs)


@pytest.mark.parametrize("proofs", [len(SUBJECTS) - 1, len(SUBJECTS) + 1])
async def test_proofs_of_more_or_fewer_entries_than_were_asked_for_are_refused(proofs: int) -> None:
    with raises(ErrorCode.MALFORMED):
        await answered(Counting([{1: 4}], proofs=proofs))


async def test_cosignatures_that_the_federation_wants_are_waited_for() -> None:
    node = Node([{0: 5}, {0: 5, 1: 2}, {0: 6, 1: 4}])
    note, _ = await answered(node, within=60.0)
    assert (note, node.asked) == (LOG.note(4), [1, 1, 1])


async def test_what_covers_more_is_taken_if_cosignatures_do_not_come_in_time() -> None:
    assert (await answered(Node([{0: 5, 1: 2}])))[0] == LOG.note(5)
    assert (await answered(Node([{0: 5}])))[0] == LOG.note(5)
    # No more is proven without them.
    assert (await answered(Node([{0: 3, 1: 3}])))[0] == LOG.note(3)
    note, proofs = await answered(Node([{0: 2, 1: 2}]))
    assert (note, [bool(each.leaf_hash) for each in proofs]) == (LOG.note(2), [True, True, False, False])
    assert (await answered(Node([{}])))[0] == b""


async def test_federation_that_wants_no_cosignatures_waits_for_none() -> None:
    node = Node([{0: 4}])
    await answered(node, within=60.0, cosignatures=0)
    assert node.asked == [0]


async def test_answer_is_believed_as_far_as_it_is_proven() -> None:
    answer = await answered(Node([{0: 7}]))
    assert not logs.check(answer, SUBJECTS, DIRECTORY, "ee", NOW).is_whole
    line = str(
        LOG.checkpoint(7).cosign("de.rogatory.test", KeySigner(world.signing_key("de/node")), int(NOW.timestamp()))
    )
    found = logs.check((answer[0] + line.encode(), answer[1]), SUBJECTS, DIRECTORY, "ee", NOW)
    assert found.is_whole
    assert (found.checkpoint, found.cosigned.by) == (LOG.checkpoint(7), ("de.rogatory.test",))
    lacking = logs.check(await answered(Node([{0: 3}])), SUBJECTS, DIRECTORY, "ee", NOW)
    assert [each is not None for each in lacking.proofs] == [True, True, True, False]


async def test_node_that_lies_proves_nothing() -> None:
    note, proofs = await answered(Node([{0: 7}]))
    assert refused((b"", proofs)) is ErrorCode.NOT_FOUND
    assert refused((LOG.note(6), proofs)) is ErrorCode.BAD_LOG_PROOF
    assert refused((note, [proofs[1], *proofs[1:]])) is ErrorCode.BAD_LOG_PROOF
    assert refused((note, proofs), [SUBJECTS[1], *SUBJECTS[1:]]) is ErrorCode.BAD_LOG_PROOF
    assert refused((Log(world.signing_key("de/node")).note(7), proofs)) is ErrorCode.BAD_SIGNATURE
    assert refused((Log(LOG.key, "de.rogatory.test/log").note(7), proofs)) is ErrorCode.BAD_SIGNATURE
    line = LOG.checkpoint(6).cosign("de.rogatory.test", KeySigner(world.signing_key("de/node")), int(NOW.timestamp()))
    assert refused((note + str(line).encode(), proofs)) is ErrorCode.BAD_SIGNATURE
    # Its own word for the leaf counts for nothing.
    forged = pb.InclusionProof(index=0, leaf_hash=merkle.leaf_hash(b"other"), path=proofs[0].path)
    assert logs.check((note, [forged, *proofs[1:]]), SUBJECTS, DIRECTORY, "ee", NOW).proofs[0] == proofs[0]
