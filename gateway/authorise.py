"""Stage 3, authorise: may this role send this kind to that role, at home or abroad? Denied unless the table says yes.

In: an authenticated `Peer` and a `Claimed` envelope. Out: a `Permit`. Refuses with NOT_PERMITTED.
It reads claims only; `verify` then proves them, and what was permitted is exactly what is verified.

Why no row lets anything reach an exchange from abroad, or an exchange begin anything: only a domestic order of its
own country's court reaches an exchange, and an exchange only answers (formats of Regulation (EU) 2018/1805 go from
authority to authority, Art. 4 and 7). A registrar of its own country may also try it out, with kinds of their own that
order and report nothing.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway.authenticate import Peer
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.receive import Claimed


class Where(Enum):
    """Whether sender and recipient are of the same country."""

    HOME = "at home"
    ABROAD = "abroad"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is allowed."""

    kind: ids.Kind.ValueType
    sender: Role
    recipient: Role
    where: Where

    def __str__(self) -> str:
        kind = ids.Kind.Name(self.kind).removeprefix("KIND_").lower().replace("_", "-")
        return f"{kind} from {self.sender.value} to {self.recipient.value} {self.where.value}"


# FIU, operator and auditor stand in no row: they send nothing in this procedure.
RULES: Final = (
    Rule(ids.KIND_DRAFT, Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Where.HOME),
    Rule(ids.KIND_COUNTERSIGNATURE, Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR, Where.HOME),
    Rule(ids.KIND_FREEZE_REQUEST, Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Where.ABROAD),
    Rule(ids.KIND_REVIEW_REFERRAL, Role.CENTRAL_AUTHORITY, Role.COURT, Where.HOME),
    Rule(ids.KIND_REVIEW_DECISION, Role.COURT, Role.CENTRAL_AUTHORITY, Where.HOME),
    Rule(ids.KIND_REVIEW_DECISION, Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR, Where.ABROAD),
    Rule(ids.KIND_DOMESTIC_ORDER, Role.COURT, Role.EXCHANGE, Where.HOME),
    Rule(ids.KIND_EXECUTION_REPORT, Role.EXCHANGE, Role.COURT, Where.HOME),
    Rule(ids.KIND_EXECUTION_REPORT, Role.COURT, Role.CENTRAL_AUTHORITY, Where.HOME),
    Rule(ids.KIND_EXECUTION_REPORT, Role.CENTRAL_AUTHORITY, Role.INVESTIGATOR, Where.ABROAD),
    Rule(ids.KIND_TEST_ORDER, Role.REGISTRAR, Role.EXCHANGE, Where.HOME),
    Rule(ids.KIND_TEST_REPORT, Role.EXCHANGE, Role.REGISTRAR, Where.HOME),
)
_ALLOWED: Final = frozenset(RULES)


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to go on with exactly this claim. Made by `authorise` alone."""

    peer: Peer
    claimed: Claimed
    rule: Rule


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
    if len(header.recipients) != 1:
        raise Refusal(ErrorCode.NOT_PERMITTED, "an envelope has one recipient", "recipients")
    recipient = Address.parse(header.recipients[0])
    # (1)
    if peer.address.is_node:
        if peer.node == here or sender.node != peer.node:
            raise Refusal(ErrorCode.NOT_PERMITTED, f"node {peer.node} may not bring what {sender} sends", "sender")
        if recipient.node != here:
            raise Refusal(ErrorCode.NOT_PERMITTED, f"{recipient} is not of this node", "recipients[0]")
    elif peer.address != sender or sender.node != here:
        raise Refusal(ErrorCode.NOT_PERMITTED, f"{peer.address} may not send in the name of {sender}", "sender")
    # (3)
    rule = permitted(header, directory)
    if rule is None:
        kind = ids.Kind.Name(header.kind)
        raise Refusal(ErrorCode.NOT_PERMITTED, f"no rule lets {sender} send {kind} to {recipient}", "kind")
    return Permit(peer, claimed, rule)


def permitted(header: pb.Header, directory: Directory) -> Rule | None:
    """Return the rule that allows this header's sender, kind and recipient, or None."""
    sender, recipient = header.sender, header.recipients[0]
    where = Where.HOME if Address.parse(sender).node == Address.parse(recipient).node else Where.ABROAD
    for sender_role in directory.roles(sender):
        for recipient_role in directory.roles(recipient):
            rule = Rule(header.kind, sender_role, recipient_role, where)
            if rule in _ALLOWED:
                return rule
    return None
