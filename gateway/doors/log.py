"""The Log door: checkpoints, proofs and hashes of the node's log, for everybody in the federation.

Entries are digests, so the log as a whole tells nothing but how much is exchanged. Of an envelope by its name only
those are told who have it, and auditors: to all others it is as if there were none. What is handed out is covered by a
checkpoint. Also by an expired directory: who looks for what was changed must see. Refuses with NOT_FOUND what no
checkpoint covers yet, and with BAD_INPUT what cannot be proven.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2 as pb
from rogatory.v1.log_pb2_grpc import LogServicer

from gateway import codec
from gateway.authenticate import Peer
from gateway.doors.entrance import Call, Context, Entrance
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.quota import Cost
from gateway.store import Reader
from gateway.store.log import CheckpointRow, LogView
from gateway.tiles import HEIGHT, WIDTH

T = TypeVar("T")
_NO_CHECKPOINT: Final = "no checkpoint covers that yet"


class LogDoor(LogServicer):
    """Serves all who are in the federation."""

    def __init__(self, entrance: Entrance, reader: Reader) -> None:
        self._entrance = entrance
        self._reader = reader

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:
        """Hand out the newest checkpoint, or the first that covers an entry."""

        def ask(view: LogView) -> pb.GetCheckpointResponse:
            found = _checkpoint(view, request.covering, request.cosignatures)
            if found is None:
                raise Refusal(ErrorCode.NOT_FOUND, _NO_CHECKPOINT, "covering")
            return pb.GetCheckpointResponse(note=view.cosigned(found))

        async with self._entrance.call(context, expired_too=True) as call:
            return await self._answer(call, request, ask)

    async def GetInclusionProofs(
        self, request: pb.GetInclusionProofsRequest, context: Context
    ) -> pb.GetInclusionProofsResponse:
        """Prove that things are in the log, as far as they are and the caller may know."""
        async with self._entrance.call(context, expired_too=True) as call:

            def ask(view: LogView) -> pb.GetInclusionProofsResponse:
                newest, size = _size(view, request.size, request.cosignatures)
                proofs = [_proof(view, _index(view, entry, call.peer), size) for entry in request.entries]
                return pb.GetInclusionProofsResponse(size=size, checkpoint=view.cosigned(newest), proofs=proofs)

            return await self._answer(call, request, ask)

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        """Prove that the log begins with what it was before."""

        def ask(view: LogView) -> pb.GetConsistencyProofResponse:
            newest, size = _size(view, request.size)
            if request.old_size > size:
                raise Refusal(ErrorCode.BAD_INPUT, f"the log has {size} entries, and had fewer before", "old_size")
            path = view.consistency(request.old_size, size)
            return pb.GetConsistencyProofResponse(size=size, path=path, checkpoint=view.cosigned(newest))

        async with self._entrance.call(context, expired_too=True) as call:
            return await self._answer(call, request, ask)

    async def GetTiles(self, request: pb.GetTilesRequest, context: Context) -> AsyncIterator[pb.GetTilesResponse]:
        """Hand out tiles, as far as there are any."""

        def ask(view: LogView) -> list[pb.GetTilesResponse]:
            _, size = _size(view, request.size)
            end, tiles = size >> HEIGHT * request.level, []
            for number in range(request.number, request.number + request.count):
                first, last = number * WIDTH, min(end, (number + 1) * WIDTH)
                if first >= last:
                    break
                hashes = b"".join(view.hashes(request.level, first, last))
                tiles.append(pb.GetTilesResponse(number=number, hashes=hashes))
            return tiles

        async with self._entrance.call(context, expired_too=True) as call:
            for tile in await self._answer(call, request, ask):
                call.check()
                yield tile

    async def _answer(
        self,
        call: Call,
        request: (
            pb.GetCheckpointRequest | pb.GetInclusionProofsRequest | pb.GetConsistencyProofRequest | pb.GetTilesRequest
        ),
        ask: Callable[[LogView], T],
    ) -> T:
        self._entrance.quotas.charge(call.peer.address, Cost(queries=1))
        codec.check(request)
        return await self._reader.log(ask)


def _checkpoint(view: LogView, covering: int, cosignatures: int) -> CheckpointRow | None:
    """Return the newest checkpoint, or the first that covers so many entries, that so many witnesses have cosigned."""
    if cosignatures:
        return view.covering_cosigned(covering, cosignatures) if covering else view.newest_cosigned(cosignatures)
    return view.covering(covering) if covering else view.newest()


def _size(view: LogView, wanted: int, cosignatures: int = 0) -> tuple[CheckpointRow, int]:
    """Return the newest checkpoint that so many witnesses have cosigned, and the size that was asked for."""
    newest = _checkpoint(view, 0, cosignatures)
    if newest is None or wanted > newest.checkpoint.size:
        raise Refusal(ErrorCode.NOT_FOUND, _NO_CHECKPOINT, "size")
    return newest, wanted or newest.checkpoint.size


def _proof(view: LogView, index: int | None, size: int) -> pb.InclusionProof:
    if index is None or index >= size:
        return pb.InclusionProof()
    (leaf,) = view.hashes(0, index, index + 1)
    return pb.InclusionProof(index=index, leaf_hash=leaf, path=view.inclusion(index + 1, size))


def _index(view: LogView, entry: pb.LogEntry, peer: Peer) -> int | None:
    """Return which entry is asked for, from 0; None if there is none that the caller may know of."""
    asked = entry.WhichOneof("entry")
    if asked == "index":
        return entry.index
    if asked == "receipt":
        position = view.receipt(entry.receipt.envelope, entry.receipt.digest)
    else:
        position = view.envelope(entry.envelope, lambda recipient: _has(peer, entry.envelope, recipient))
    return None if position is None else position - 1


def _has(peer: Peer, envelope: ids.EnvelopeRef, recipient: str) -> bool:
    """Whether somebody has an envelope anyway: its sender, its recipient, and their nodes; or is an auditor."""
    parties = (envelope.sender, recipient)
    if peer.address.is_node:
        return peer.node in {Address.parse(party).node for party in parties}
    return Role.AUDITOR in peer.roles or str(peer.address) in parties
