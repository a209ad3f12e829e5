"""A process that collects as a participant does, and acknowledges: `python -m gateway.cli.bench.collect`.

In: a line with the participant's settings; then, as often as a report is wanted, a line with the number of envelopes
that must be settled before. Out: `ready` once its stream stands; then each report, a `Collected` as one line of JSON.

Every envelope is acknowledged with the recipient's signed OPENED, those of one response under one signature; nothing is
opened, since that is no work of a node's. Before a report every envelope is verified, and one that came twice, or is
not what its sender signed, ends the process, and so the bench.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, TypeAlias

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from gateway import envelope, material, statement, transport
from gateway.cli.bench.nodes import say
from gateway.clock import system_clock, to_micros
from gateway.codec import error_from
from gateway.errors import ErrorCode, Failure, Refusal

CREDIT: Final = 1024
MAX_ACKS: Final = 64
"""In one request; a quarter of what the contract allows, so that a node need not wait for many to settle some."""

Stream: TypeAlias = "grpc.aio.StreamStreamCall[mailbox.CollectRequest, mailbox.CollectResponse]"


@dataclass(frozen=True, slots=True)
class Collected:
    """What came since the last report.

    Args:
        settled: how many envelopes of all are acknowledged, and the node has said that it has that on disk.
        last: when the last of them was, by the machine's monotonic clock.
        came: id of each envelope, and when it came.
        cpu_seconds: of this process by then.
    """

    settled: int
    last: float
    came: list[tuple[str, float]]
    cpu_seconds: float


class Collector:
    """Collects for one participant until this process is ended."""

    def __init__(self, config: Path) -> None:
        self._loaded = material.load_participant(config, system_clock)
        self._new: list[tuple[pb.SignedEnvelope, float]] = []
        self._seen: set[str] = set()
        self._settled, self._last = 0, 0.0
        self._more = asyncio.Condition()

    async def run(self) -> None:
        """Collect, and report as often as it is asked."""
        loaded = self._loaded
        async with transport.channel_to(loaded.node, loaded.directory.federation, loaded.identity) as channel:
            call = MailboxStub(channel).Collect()
            await call.write(mailbox.CollectRequest(credit=CREDIT))
            say("ready")
            collecting, reporting = asyncio.create_task(self._collect(call)), asyncio.create_task(self._report())
            done, pending = await asyncio.wait({collecting, reporting}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            call.cancel()
            for task in done:
                task.result()

    async def _collect(self, call: Stream) -> None:
        while isinstance(response := await call.read(), mailbox.CollectResponse):
            now = perf_counter()
            envelopes = [item.envelope for item in response.items if item.HasField("envelope")]
            self._new += [(each, now) for each in envelopes]
            if response.items:
                acks = self._acknowledge(response.items)
                for start in range(0, len(acks), MAX_ACKS):
                    part = acks[start : start + MAX_ACKS]
                    await call.write(mailbox.CollectRequest(credit=len(part), acknowledgements=part))
            for settled in response.settled:
                if settled.HasField("error"):
                    raise error_from(settled.error)
            if response.settled:
                async with self._more:
                    self._settled, self._last = self._settled + len(response.settled), perf_counter()
                    self._more.notify_all()
        raise Failure(ErrorCode.UNAVAILABLE, "the node ended the stream")

    def _acknowledge(self, items: Sequence[mailbox.Item]) -> list[mailbox.Acknowledgement]:
        me, now_us = self._loaded.address, to_micros(system_clock())
        said = []
        for item in items:
            header = envelope.parse_header(item.envelope)
            said.append(
                pb.Statement(
                    envelope=envelope.ref_of(header),
                    fingerprint=envelope.fingerprint(item.envelope),
                    milestone=pb.MILESTONE_OPENED,
                    issuer=str(me),
                    recipient=str(me),
                    at_us=now_us,
                )
            )
        receipts = statement.issue(said, me, self._loaded.signing_keys[0])
        return [
            mailbox.Acknowledgement(delivery_id=item.delivery_id, held=True, statement=receipt)
            for item, receipt in zip(items, receipts, strict=True)
        ]

    async def _report(self) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = int(line)
            async with self._more:
                await self._more.wait_for(partial(self._has_settled, wanted))
            spent = process_time()
            new, self._new = self._new, []
            came = [(self._prove(each), at) for each, at in new]
            say(json.dumps(asdict(Collected(self._settled, self._last, came, spent))))

    def _has_settled(self, wanted: int) -> bool:
        return self._settled >= wanted

    def _prove(self, signed: pb.SignedEnvelope) -> str:
        """Verify one envelope; return its id."""
        header = envelope.parse_header(signed)
        envelope.verify(signed, header, self._loaded.directory.signing_key)
        if header.id in self._seen:
            raise Refusal(ErrorCode.ID_CONFLICT, "an envelope was handed out twice, and acknowledged before", "id")
        self._seen.add(header.id)
        return header.id


def main() -> None:
    """Collect for the participant whose settings are named on the first line."""
    asyncio.run(Collector(Path(sys.stdin.readline().rstrip("\n"))).run())


if __name__ == "__main__":
    main()
