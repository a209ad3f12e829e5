"""The connection to the own node, and the pauses between attempts.

In: a directory, who we are, what we show. Out: a gRPC channel to our own node and no other; waiting times.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

from collections.abc import Callable
from dataclasses import dataclass

import grpc.aio

from gateway.directory import Directory
from gateway.errors import GatewayError
from gateway.identity import Address
from gateway.transport import TlsIdentity, channel_to


def open_own_node(directory: Directory, address: Address, identity: TlsIdentity) -> grpc.aio.Channel:
    """Return a channel to the node of `address`.

    Raises:
        Refusal: UNKNOWN_PEER, that node is not in the directory.
    """
    return channel_to(directory.node(address.node), directory.federation, identity)


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
        """Return the seconds to wait now; at least as long as the node asked for."""
        longest = min(self.ceiling, self.first * float(2 ** min(self._failures, 30)))
        self._failures += 1
        wait = longest * (0.5 + 0.5 * self.chance())
        return max(wait, error.retry_after or 0.0) if error is not None else wait

    def reset(self) -> None:
        """Begin again with the first: something has succeeded."""
        self._failures = 0
