"""The log, asked over gRPC: what a real node hands out is checked with public keys alone."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2
from rogatory.v1.log_pb2_grpc import LogStub

from gateway import checkpoint, envelope, log_entry, merkle, transport
from gateway.checkpoint import Checkpoint
from gateway.errors import ErrorCode
from tests import stores
from tests.federation import Federation, federation, ref

pytestmark = pytest.mark.integration

ORIGIN = "ee.rogatory.test/log"


@pytest.fixture(params=stores.ENGINES)
async def fed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Federation]:
    with stores.using(request.param):
        async with federation(tmp_path / "fed", start=["ee"]) as made:
            yield made


def stub(fed: Federation, address: str = "ee/prosecutor") -> LogStub:
    return LogStub(fed.actor(address).channel)


async def submitted(fed: Federation, **fields: Any) -> pb.SignedEnvelope:
    made = fed.request(**fields)
    await fed.actor("ee/prosecutor").submit(made)
    return made


async def newest(fed: Federation, covering: int = 1) -> Checkpoint:
    """Return the newest checkpoint, once it covers so many entries, and once it is proven whose it is."""
    async with asyncio.timeout(20):
        while True:
            try:
                response = await stub(fed).GetCheckpoint(log_pb2.GetCheckpointRequest(covering=covering))
            except grpc.aio.AioRpcError as error:
                if transport.error_of(error).code is not ErrorCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.05)
                continue
            response = await stub(fed).GetCheckpoint(log_pb2.GetCheckpointRequest())
            return proven(fed, response.note)


def proven(fed: Federation, note: bytes) -> Checkpoint:
    keys = [key.public for key in fed.directory.node("ee").signing_keys]
    return checkpoint.read(note, ORIGIN, keys)[0]


async def code_of(answer: Any) -> ErrorCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return transport.error_of(caught.value).code


async def inclusion(
    fed: Federation, *entries: log_pb2.LogEntry, size: int = 0, address: str = "ee/prosecutor"
) -> log_pb2.GetInclusionProofsResponse:
    request = log_pb2.GetInclusionProofsRequest(entries=entries, size=size)
    return await stub(fed, address).GetInclusionProofs(request)


async def test_envelopes_and_receipts_are_proven_to_be_in_the_log(fed: Federation) -> None:
    made = fed.request()
    answer = await fed.actor("ee/prosecutor").answer(made)
    statement = answer.receipt.statement
    covered = await newest(fed, 2)
    found = await inclusion(
        fed,
        log_pb2.LogEntry(envelope=ref(made)),
        log_pb2.LogEntry(receipt=log_pb2.ReceiptRef(envelope=ref(made), digest=sha256(statement).digest())),
    )
    assert proven(fed, found.checkpoint) == covered
    assert found.size == covered.size
    for proof, about in zip(found.proofs, (envelope.fingerprint(made), statement), strict=True):
        assert proof.leaf_hash == log_entry.leaf_hash("ee/node", about)
        merkle.check_inclusion(proof.leaf_hash, proof.index, found.size, proof.path, covered.root)


async def test_nobody_finds_the_entries_of_one_nodes_log_in_anothers(fed: Federation) -> None:
    """Logs are public: the same entry in two would tell how much goes between two countries."""
    await fed.start("de")
    await submitted(fed)
    await fed.actor("de/central-authority").collect(1)
    await fed.actor("ee/prosecutor").collect(2)
    leaves = [
        {bytes(leaf) for (leaf,) in stores.rows(fed.store(node), "SELECT leaf_hash FROM log_entries")}
        for node in ("ee", "de")
    ]
    about = [
        {
            bytes(said)
            for (said,) in stores.rows(
                fed.store(node), "SELECT fingerprint FROM envelopes UNION SELECT statement FROM receipts"
            )
        }
        for node in ("ee", "de")
    ]
    assert set.intersection(*about), "they have nothing in common that could be compared"
    assert all(leaves)
    assert not set.intersection(*leaves)


async def test_log_that_has_grown_is_proven_to_begin_with_what_it_was(fed: Federation) -> None:
    await submitted(fed)
    before = await newest(fed)
    await submitted(fed, case_id="EE-2")
    now = await newest(fed, before.size + 1)
    found = await stub(fed).GetConsistencyProof(log_pb2.GetConsistencyProofRequest(old_size=before.size))
    assert proven(fed, found.checkpoint) == now
    merkle.check_consistency(before.size, before.root, now.size, now.root, found.path)
    # Whoever holds an older checkpoint asks for proofs as of that.
    (old,) = (await inclusion(fed, log_pb2.LogEntry(index=0), size=before.size)).proofs
    merkle.check_inclusion(old.leaf_hash, 0, before.size, old.path, before.root)
    first = await stub(fed).GetCheckpoint(log_pb2.GetCheckpointRequest(covering=before.size))
    assert proven(fed, first.note).size <= before.size


async def test_hashes_of_the_log_are_handed_out_in_tiles(fed: Federation) -> None:
    await submitted(fed)
    covered = await newest(fed, 2)
    tiles = [tile async for tile in stub(fed).GetTiles(log_pb2.GetTilesRequest(count=64))]
    assert [tile.number for tile in tiles] == [0]
    hashes = [tiles[0].hashes[at : at + 32] for at in range(0, len(tiles[0].hashes), 32)]
    assert merkle.root(hashes) == covered.root
    some = [tile async for tile in stub(fed).GetTiles(log_pb2.GetTilesRequest(count=1, size=1))]
    assert [tile.hashes for tile in some] == [hashes[0]]
    assert [tile async for tile in stub(fed).GetTiles(log_pb2.GetTilesRequest(count=1, level=1))] == []


async def test_nobody_learns_from_the_log_whether_there_is_an_envelope_of_others(fed: Federation) -> None:
    made = await submitted(fed)
    await newest(fed, 2)
    none = ids.EnvelopeRef(sender="ee/prosecutor", id=f"{ref(made).id[:-6]}000000")
    asked = log_pb2.LogEntry(envelope=ref(made)), log_pb2.LogEntry(envelope=none)
    for address in ("ee/auditor", "ee/prosecutor"):
        there, not_there = (await inclusion(fed, *asked, address=address)).proofs
        assert there.path
        assert not_there == log_pb2.InclusionProof()
    for address in ("ee/exchange", "ee/central-authority"):
        assert list((await inclusion(fed, *asked, address=address)).proofs) == [log_pb2.InclusionProof()] * 2


async def test_what_is_not_there_yet_is_not_found(fed: Federation) -> None:
    empty = stub(fed)
    assert await code_of(empty.GetCheckpoint(log_pb2.GetCheckpointRequest())) is ErrorCode.NOT_FOUND
    assert await code_of(inclusion(fed, log_pb2.LogEntry(index=0))) is ErrorCode.NOT_FOUND
    made = await submitted(fed)
    size = (await newest(fed, 2)).size
    named = log_pb2.ReceiptRef(envelope=ref(made), digest=bytes(32))
    unknown = log_pb2.LogEntry(index=size), log_pb2.LogEntry(receipt=named)
    assert list((await inclusion(fed, *unknown)).proofs) == [log_pb2.InclusionProof()] * 2
    assert list((await inclusion(fed, log_pb2.LogEntry(index=1), size=1)).proofs) == [log_pb2.InclusionProof()]
    too_new = inclusion(fed, log_pb2.LogEntry(index=0), size=size + 1000)
    assert await code_of(too_new) is ErrorCode.NOT_FOUND
    too_old = log_pb2.GetConsistencyProofRequest(old_size=size + 1000)
    assert await code_of(stub(fed).GetConsistencyProof(too_old)) is ErrorCode.BAD_INPUT


@pytest.mark.parametrize(
    "request_",
    [
        log_pb2.GetInclusionProofsRequest(),
        log_pb2.GetInclusionProofsRequest(entries=[log_pb2.LogEntry()]),
        log_pb2.GetInclusionProofsRequest(entries=[log_pb2.LogEntry(receipt=log_pb2.ReceiptRef(digest=bytes(32)))]),
        log_pb2.GetInclusionProofsRequest(entries=[log_pb2.LogEntry(index=(1 << 64) - 1)]),
        log_pb2.GetInclusionProofsRequest(entries=[log_pb2.LogEntry(index=0)] * 257),
        log_pb2.GetConsistencyProofRequest(),
        log_pb2.GetTilesRequest(count=65),
        log_pb2.GetTilesRequest(count=1, level=8),
        log_pb2.GetTilesRequest(count=1, number=1 << 60),
    ],
    ids=["no-entry", "empty-entry", "short-receipt", "index", "entries", "from-nothing", "tiles", "level", "number"],
)
async def test_what_breaks_the_contract_is_malformed(tmp_path: Path, request_: Any) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        method = type(request_).__name__.removesuffix("Request")
        call = getattr(stub(fed), method)(request_)
        answer = call.read() if method == "GetTiles" else call
        assert await code_of(answer) is ErrorCode.MALFORMED
