"""The Witness door: other nodes' checkpoints are cosigned here, or refused, see `gateway.witness`.

What is cosigned is on disk before the cosignature leaves. What a log has to answer for is kept, and told to the
operator (`log.alarm`) and to whoever brought it: LOG_FORKED, LOG_ROLLED_BACK. Serves nodes alone; whose checkpoint it
is, its signature says, so a node may bring another one's, too. Refuses with NOT_FOUND the log of nobody who is in, and
its own.
"""

import logging
from collections.abc import Callable

from rogatory.v1 import witness_pb2 as pb
from rogatory.v1.witness_pb2_grpc import WitnessServicer

from gateway import codec, witness
from gateway.clock import MICROS, Clock
from gateway.codec import error_message
from gateway.directory import Directory, Lookup
from gateway.doors.entrance import Context, Entrance
from gateway.errors import ErrorCode, Refusal
from gateway.identity import trust_domain
from gateway.quota import Cost
from gateway.signer import Signer
from gateway.store import Transaction, Writer
from gateway.witness import Alarm, Evidence, Request, Witnessed

diagnostics = logging.getLogger("gateway.witness")


class WitnessDoor(WitnessServicer):
    """Serves other nodes."""

    def __init__(
        self,
        node: str,
        lookup: Lookup,
        entrance: Entrance,
        writer: Writer,
        key: Callable[[], Signer],
        clock: Clock,
    ) -> None:
        """Prepare the door.

        Args:
            node: code of this node.
            lookup: gives the directory.
            entrance: lets callers in.
            writer: writes what is witnessed.
            key: gives the node's signing key; asked in the writer's thread.
            clock: time.
        """
        self._node = node
        self._lookup = lookup
        self._entrance = entrance
        self._writer = writer
        self._key = key
        self._clock = clock

    async def AddCheckpoint(self, request: pb.AddCheckpointRequest, context: Context) -> pb.AddCheckpointResponse:
        """Cosign a checkpoint, or say what was cosigned last."""
        async with self._entrance.call(context) as call:
            peer = call.peer
            if not peer.address.is_node:
                raise Refusal(ErrorCode.NOT_PERMITTED, "nodes witness nodes")
            self._entrance.quotas.charge(peer.address, Cost(queries=1))
            codec.check(request)
            asked = Request(request.old_size, tuple(request.proof), request.checkpoint)
            directory = self._lookup()
            brought = witness.read(asked, witness.keys_of(directory, self._clock()))
            log = witness.node_of(brought.checkpoint.origin, directory.federation)
            if log == self._node:
                raise Refusal(ErrorCode.NOT_FOUND, "nobody is a witness of its own log", "origin")
            by_log = log == peer.node
            return await self._writer.write(lambda txn: self._add(asked, brought, directory, txn, by_log=by_log), 0)

    def _add(
        self, asked: Request, brought: Witnessed, directory: Directory, txn: Transaction, *, by_log: bool
    ) -> pb.AddCheckpointResponse:
        """Return the answer; also to what is refused with an alarm, or its evidence would not be kept."""
        origin = brought.checkpoint.origin
        last = txn.witness.last(origin)
        try:
            found = witness.judge(asked, brought, last, by_log=by_log)
        except Alarm as alarm:
            if txn.witness.alarm(alarm.evidence):
                tell(alarm.evidence)
            return pb.AddCheckpointResponse(last=alarm.evidence.held.note, alarm=error_message(alarm))
        if found is None:
            return pb.AddCheckpointResponse(last=b"" if last is None else last.note)
        if last is None:
            before = [each for each in txn.witness.origins() if is_of_one_node(each, origin, directory.federation)]
            if before:
                diagnostics.warning("log.restarted", extra={"origin": origin, "before": sorted(before)})
        txn.witness.remember(found, last)
        name = trust_domain(self._node, directory.federation)
        line = found.checkpoint.cosign(name, self._key(), txn.now_us // MICROS)
        return pb.AddCheckpointResponse(cosignatures=str(line).encode())


def is_of_one_node(one: str, other: str, federation: str) -> bool:
    """Whether two logs are, or were, of the same node."""
    return witness.node_of(one, federation) == witness.node_of(other, federation)


def tell(evidence: Evidence) -> None:
    """Tell the operator what a log has to answer for."""
    diagnostics.error(
        "log.alarm",
        extra={
            "origin": evidence.origin,
            "code": evidence.code.name,
            "detail": evidence.detail,
            "held": evidence.held.checkpoint.size,
            "brought": evidence.brought.checkpoint.size,
        },
    )
