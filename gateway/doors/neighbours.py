"""Neighbours: for each other node that is in, a courier, its freight and a witness; and for none that is out.

In: the directory as it changes. Out: what runs for each of them. Witnesses that are no nodes are tended here too.
"""

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc.aio
from rogatory.v1 import trace_pb2 as trace

from gateway import mirror, transport
from gateway.clock import Clock
from gateway.config import NodeConfig
from gateway.deliver import Chance
from gateway.directory import NodeEntry, Status
from gateway.doors.cosigning import Asker, Cosigning, HttpAsker, NodeAsker
from gateway.doors.courier import Courier, Line
from gateway.doors.freight import Freighter
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import trust_domain
from gateway.material import NodeMaterial
from gateway.parts import Parts
from gateway.upkeep import Upkeep, survived

NEWS_SECONDS: Final = 5.0  # no longer than a drain: a stopping node waits for its threads


@dataclass(frozen=True, slots=True)
class Makers:
    """What makes those who serve one neighbour: by its code and the way to it, or by the name of a witness."""

    courier: Callable[[str, Line], Courier]
    freighter: Callable[[str, Line], Freighter]
    cosigning: Callable[[str, Asker], Cosigning]


class Neighbours:
    """The other nodes, as this one is tied to them.

    Args:
        config: of this node.
        upkeep: the directory, and this node's own certificate.
        parts: of this process.
        make: whoever serves them.
        clock: time.
        chance: numbers in [0, 1).
    """

    def __init__(
        self, config: NodeConfig, upkeep: Upkeep, parts: Parts, make: Makers, clock: Clock, chance: Chance
    ) -> None:
        self._config = config
        self._upkeep = upkeep
        self._parts = parts
        self._make = make
        self._clock = clock
        self._chance = chance
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self._freighters: dict[str, asyncio.Task[None]] = {}
        self._cosigning: dict[Hashable, asyncio.Task[None]] = {}

    def line(self, code: str) -> Line:
        """Return the way to a node."""
        return _Line(code, self._upkeep, self._clock)

    def courier(self, code: str) -> Courier:
        """Return who serves a node that is in.

        Raises:
            Failure: UNAVAILABLE, there is none.
        """
        if code not in self._couriers:
            raise Failure(ErrorCode.UNAVAILABLE, f"no way to node {code}")
        return self._couriers[code][0]

    async def ask_trace(self, code: str, envelope_id: str) -> list[trace.EnvelopeTrace]:
        """Ask a node what happened there to an envelope; fails with UNAVAILABLE, if it does not answer."""
        return await self.courier(code).ask_trace(envelope_id)

    def tend(self) -> None:
        """Serve those that are in, and no others."""
        held = self._upkeep.material
        others = [
            node for node in held.directory.nodes if node.status is Status.ACTIVE and node.code != self._config.node
        ]
        self._tend_couriers({node.code for node in others})
        self._tend_witnesses(held, others)

    def changed(self, before: NodeMaterial, now: NodeMaterial) -> None:
        """Serve those that are in now; let what has changed tell on what is open, too."""
        if before.identity != now.identity:
            for courier, _ in self._couriers.values():
                courier.renew()
        for code in self._couriers.keys() & {node.code for node in now.directory.nodes}:
            old, new = before.directory.node(code), now.directory.node(code)
            if (old.endpoint, old.ca) != (new.endpoint, new.ca):
                self._couriers[code][0].renew()
        self.tend()

    async def hear_news(self) -> None:
        """Ask a node, a random one each time, for a newer directory: what is published could be held back."""
        while True:
            held = self._upkeep.material
            await asyncio.sleep(held.config.directory.refresh_seconds)
            others = [node for node in held.directory.nodes if node.code in self._couriers]
            if not others:
                continue
            other = others[int(self._chance() * len(others))]
            # Most are silent because they are down, and the couriers tell that.
            with survived("the news of others"), contextlib.suppress(GatewayError):
                federation, identity = held.directory.federation, held.identity
                news = await asyncio.to_thread(
                    mirror.fetch, other, federation, identity, held.trusted.held, NEWS_SECONDS
                )
                if news is not None:
                    await self._upkeep.look(news)

    async def drain(self, seconds: float) -> None:
        """Send no more, and wait for the answers to what is in flight, as long as a drain may take."""
        for courier, _ in self._couriers.values():
            courier.drain()
        if self._couriers:
            await asyncio.wait([task for _, task in self._couriers.values()], timeout=seconds)

    def _tend_couriers(self, wanted: set[str]) -> None:
        for code in self._couriers.keys() - wanted:
            for task in (self._couriers.pop(code)[1], self._freighters.pop(code)):
                self._parts.end(task)
        for code in sorted(wanted - self._couriers.keys()):
            line = self.line(code)
            courier = self._make.courier(code, line)
            self._couriers[code] = courier, self._parts.start(courier.run())
            self._freighters[code] = self._parts.start(self._make.freighter(code, line).run())

    def _tend_witnesses(self, held: NodeMaterial, others: Iterable[NodeEntry]) -> None:
        """Have other nodes, and the federation's witnesses, cosign the log; anew where one changed."""
        directory, patience = held.directory, self._config.delivery.attempt_timeout_seconds
        wanted: dict[Hashable, tuple[str, Callable[[], Asker]]] = {
            each: (each.name, partial(HttpAsker, each)) for each in directory.witnesses
        }
        for node in others:
            way = partial(NodeAsker, self.line(node.code), patience)
            name = trust_domain(node.code, directory.federation)
            wanted[node.code, node.endpoint, node.ca, held.identity] = name, way
        for each in self._cosigning.keys() - wanted.keys():
            self._parts.end(self._cosigning.pop(each))
        for each in wanted.keys() - self._cosigning.keys():
            self._cosigning[each] = self._parts.start(self._cosign(*wanted[each]))

    async def _cosign(self, name: str, way: Callable[[], Asker]) -> None:
        """Have one witness cosign the log."""
        await self._make.cosigning(name, way()).run()


class _Line:
    """The way to one other node."""

    def __init__(self, code: str, upkeep: Upkeep, clock: Clock) -> None:
        self._code = code
        self._upkeep = upkeep
        self._clock = clock

    def check(self) -> None:
        """See `Line`."""
        directory = self._upkeep.directory()
        directory.check_in_force(self._clock())
        if directory.node(self._code).status is Status.REVOKED:
            raise Refusal(ErrorCode.REVOKED, f"node {self._code} is revoked in the directory")

    def open_channel(self) -> grpc.aio.Channel:
        """See `Line`."""
        self.check()
        held = self._upkeep.material
        return transport.channel_to(held.directory.node(self._code), held.directory.federation, held.identity)
