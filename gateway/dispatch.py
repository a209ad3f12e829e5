"""Stage 7, dispatch: where does it go from here?

In: `Recorded`. Out: a `Route`: a mailbox of this node, or another node. Refuses with NO_ROUTE, which undoes the
recording: what has no way on is not accepted.
"""

from dataclasses import dataclass

from rogatory.v1 import envelope_pb2 as pb

from gateway.directory import Directory, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.record import Recorded


@dataclass(frozen=True, slots=True)
class Route:
    """One copy's next destination. Made by `dispatch` alone."""

    recorded: Recorded
    destination: str


def dispatch(recorded: Recorded, directory: Directory, here: str) -> tuple[Route, ...]:
    """Find the way to each recipient; copies for one other node travel as one.

    Raises:
        Refusal: NO_ROUTE, the recipient's node is revoked or unknown.
    """
    destinations: dict[str, None] = {}
    for position, recipient in enumerate(recorded.header.recipients):
        destinations[destination_of(recipient, here)] = None
        address = Address.parse(recipient)
        if address.node == here:
            continue
        try:
            node = directory.node(address.node)
        except Refusal as error:
            raise Refusal(ErrorCode.NO_ROUTE, error.detail, f"recipients[{position}]") from error
        if node.status is not Status.ACTIVE:
            raise Refusal(ErrorCode.NO_ROUTE, f"node {node.code} is revoked", f"recipients[{position}]")
    return tuple([Route(recorded, destination) for destination in destinations])


def destination_of(participant: str, here: str) -> str:
    """Return where copies for a participant go: its own mailbox here, or its node."""
    node = Address.parse(participant).node
    return participant if node == here else str(Address.of_node(node))


def way_to_sender(header: pb.Header, here: str) -> str:
    """Return the destination of receipts about an envelope: its sender's mailbox, or its sender's node."""
    return destination_of(header.sender, here)
