"""Stage 3, authorise: may this role send this kind to that role, at home or abroad? Denied unless the table says yes.

In: an authenticated `Peer` and a `Claimed` envelope. Out: a `Permit`. Refuses with NOT_PERMITTED.
It reads claims only; `verify` then proves them, and what was permitted is exactly what is verified.

The rules are the first columns of the table in steps.py.
"""

from dataclasses import dataclass

from rogatory.v1 import identifiers_pb2 as ids

from gateway.authenticate import Peer
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.receive import Claimed
from gateway.row_checks import rules_for
from gateway.rules import Rule


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to go on with exactly this claim. Made by `authorise` alone."""

    peer: Peer
    claimed: Claimed
    rules: tuple[Rule, ...]  # whoever has several roles may have several rules; what is cited tells which


def authorise(peer: Peer, claimed: Claimed, directory: Directory, here: str) -> Permit:
    """Decide whether this peer may bring this envelope.

    1. A participant brings only what it sends itself, and only to its own node.
       Another node brings only what its own participants send, and only to ours.
    2. There is one recipient. A copy for another is another envelope, so nobody learns who else is addressed.
    3. A rule allows a role of the sender to send this kind to a role of the recipient, at home or abroad.

    Args:
        peer: the authenticated other end of the connection.
        claimed: the envelope it brought.
        directory: who has which roles.
        here: code of this node.

    Raises:
        Refusal: NOT_PERMITTED; MALFORMED for an address that is none.
    """
    header = claimed.header
    sender = Address.parse(header.sender)
    # (2) first, because (1) asks where the one recipient is.
    recipients = header.recipients[:]
    if len(recipients) != 1:
        raise Refusal(ErrorCode.NOT_PERMITTED, "an envelope has one recipient", "recipients")
    recipient = Address.parse(recipients[0])
    # (1)
    if peer.address.is_node:
        if peer.node == here or sender.node != peer.node:
            raise Refusal(ErrorCode.NOT_PERMITTED, f"node {peer.node} may not bring what {sender} sends", "sender")
        if recipient.node != here:
            raise Refusal(ErrorCode.NOT_PERMITTED, f"{recipient} is not of this node", "recipients[0]")
    elif peer.address != sender or sender.node != here:
        raise Refusal(ErrorCode.NOT_PERMITTED, f"{peer.address} may not send in the name of {sender}", "sender")
    # (3)
    rules = rules_for(header.kind, header.sender, recipients[0], directory)
    if not rules:
        kind = ids.Kind.Name(header.kind)
        raise Refusal(ErrorCode.NOT_PERMITTED, f"no rule lets {sender} send {kind} to {recipient}", "kind")
    return Permit(peer, claimed, rules)
