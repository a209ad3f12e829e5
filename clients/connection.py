"""The connection to the own node, and the pauses between attempts.

In: a directory, who we are, what we show. Out: a gRPC channel to our own node and no other, that is closed when nobody
uses it any more; waiting times.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import grpc.aio

from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.identity import Address
from gateway.transport import TlsIdentity, channel_to


class Connection:
    """A channel to the node of `address`.

    Args:
        directory: says where that node is, and which CA it has.
        address: who we are.
        identity: what we show.

    Raises:
        Refusal: UNKNOWN_PEER, that node is not in the directory.
    """

    def __init__(self, directory: Directory, address: Address, identity: TlsIdentity) -> None:
        node = directory.node(address.node)
        self._terms = (node.endpoint, node.ca, identity)
        self._channel = channel_to(node, directory.federation, identity)
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._is_closed = False

    def suits(self, directory: Directory, address: Address, identity: TlsIdentity) -> bool:
        """Whether a new connection would be made on the same terms."""
        node = directory.node(address.node)
        return self._terms == (node.endpoint, node.ca, identity)

    @contextmanager
    def used(self) -> Iterator[grpc.aio.Channel]:
        """Yield the channel; it is not retired meanwhile.

        Raises:
            Failure: UNAVAILABLE, it is closed, or was under a call. gRPC says that as if the caller had been cancelled.
        """
        if self._is_closed:
            raise Failure(ErrorCode.UNAVAILABLE, "left before it was asked")
        self._users += 1
        self._unused.clear()
        try:
            yield self._channel
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise Failure(ErrorCode.UNAVAILABLE, "left before there was an answer") from None
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def retire(self) -> None:
        """Close it once nobody uses it; no new user may come."""
        try:
            await self._unused.wait()
        finally:
            await self._channel.close()

    async def close(self, grace: float) -> None:
        """Close it; give what is in flight so many seconds."""
        self._is_closed = True
        await self._channel.close(grace)


BELIEVED_SECONDS: Final = 60.0
"""So long we wait at a node's word, as nodes do at each other's (`delivery.backoff_max_seconds`): on the wire there is
room for 49 days, and a limit may have 8 hours."""


def raise_if_cancelled() -> None:
    """Go on being cancelled, if it was us who were."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@dataclass(slots=True)
class Pauses:
    """How long to wait before the next attempt.

    Doubles up to a ceiling; half of each pause is chance, so that those who failed together do not come back together.

    Args:
        chance: source of numbers from 0 to 1.
        first: the first pause at most, in seconds.
        ceiling: any pause at most, in seconds.
    """

    chance: Callable[[], float]
    first: float = 0.2
    ceiling: float = 10.0
    _failures: int = 0

    def next(self, error: GatewayError | None = None) -> float:
        """Return the seconds to wait now; as long as the node asked for, up to BELIEVED_SECONDS."""
        longest = min(self.ceiling, self.first * float(2 ** min(self._failures, 30)))
        self._failures += 1
        wait = longest * (0.5 + 0.5 * self.chance())
        return max(wait, min(error.retry_after or 0.0, BELIEVED_SECONDS)) if error is not None else wait

    def reset(self) -> None:
        """Begin again with the first: something has succeeded."""
        self._failures = 0
