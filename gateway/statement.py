"""Signed statements: who says that which envelope reached which milestone.

In: statements, a signer's key; or a `Receipt` as it came. Out: receipts; or the statement, once it is proven.
Pure: nodes issue them, participants issue OPENED and REJECTED, everybody can check them with public keys alone.
"""

from collections.abc import Sequence

from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb

from gateway import codec, signature
from gateway.clock import from_micros
from gateway.envelope import KeyFinder
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.signature import Domain
from gateway.signer import Signer

BY_RECIPIENT = frozenset({pb.MILESTONE_OPENED, pb.MILESTONE_REJECTED})
OF_TIME = frozenset({pb.MILESTONE_DUE_SOON, pb.MILESTONE_OVERDUE, pb.MILESTONE_LAPSED})
"""Of a time limit: told to both parties, by the node that keeps it."""
TO_RECIPIENT = OF_TIME | {pb.MILESTONE_COMPETING}
"""What a node tells whoever was asked, too."""
BY_RECIPIENTS_NODE = TO_RECIPIENT | {pb.MILESTONE_DELIVERED, pb.MILESTONE_DECIDED, pb.MILESTONE_EXECUTED}
OF_ONE_COPY = BY_RECIPIENT | {pb.MILESTONE_DELIVERED, pb.MILESTONE_EXPIRED}
FINAL = frozenset({pb.MILESTONE_DELIVERED, pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED})


def issue(statements: Sequence[pb.Statement], issuer: Address, key: SigningKey | Signer) -> list[pb.Receipt]:
    """Sign statements, all with one Ed25519 operation if there are several.

    Raises:
        Refusal: MALFORMED, a statement breaks a rule of its own format.
        Failure: UNAVAILABLE, the key lies in a token that cannot be reached now.
    """
    for statement in statements:
        codec.check(statement)
    return sign(statements, issuer, key)


def sign(statements: Sequence[pb.Statement], issuer: Address, key: SigningKey | Signer) -> list[pb.Receipt]:
    """Sign statements that have been checked before, as the store's are when they are stated.

    Raises:
        Failure: UNAVAILABLE, the key lies in a token that cannot be reached now.
    """
    raw = [statement.SerializeToString() for statement in statements]
    if len(raw) == 1:
        signatures = [signature.sign(Domain.STATEMENT, raw[0], str(issuer), key)]
    else:
        signatures = signature.sign_batch(Domain.STATEMENT, raw, str(issuer), key)
    return [pb.Receipt(statement=r, signature=s) for r, s in zip(raw, signatures, strict=True)]


def verify(receipt: pb.Receipt, find_key: KeyFinder) -> pb.Statement:
    """Return what the receipt says, once it is proven who says so.

    1. It is well-formed, and the signature is by the issuer that it names.
    2. The issuer may say it: OPENED and REJECTED only the recipient, everything else only a node.
    3. The signature is valid, with a key valid at that time.

    Raises:
        Refusal: BAD_RECEIPT.
    """
    # (1)
    codec.parse(pb.Receipt, receipt.SerializeToString(), ErrorCode.BAD_RECEIPT)
    statement = codec.parse(pb.Statement, receipt.statement, ErrorCode.BAD_RECEIPT)
    if receipt.signature.signer != statement.issuer:
        raise Refusal(ErrorCode.BAD_RECEIPT, "signed by another than its issuer", "signature.signer")
    # (2)
    if statement.milestone in BY_RECIPIENT:
        if statement.issuer != statement.recipient:
            raise Refusal(ErrorCode.BAD_RECEIPT, "only the recipient can say that it opened", "issuer")
    elif not Address.parse(statement.issuer, allow_node=True).is_node:
        raise Refusal(ErrorCode.BAD_RECEIPT, "only a node can say that", "issuer")
    # (3)
    try:
        public_key = find_key(statement.issuer, receipt.signature.key_id, from_micros(statement.at_us))
        signature.verify(Domain.STATEMENT, receipt.statement, receipt.signature, public_key)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_RECEIPT, error.detail, "signature") from error
    return statement


def check_subject(statement: pb.Statement, header: pb.Header, fingerprint: bytes) -> None:
    """Check that a proven statement is about this very envelope, and by somebody who had it.

    Raises:
        Refusal: BAD_RECEIPT, e.g. a receipt of another envelope, or by a stranger.
    """
    named = (statement.envelope.sender, statement.envelope.id, statement.fingerprint)
    if named != (header.sender, header.id, fingerprint):
        raise Refusal(ErrorCode.BAD_RECEIPT, "the receipt is about another envelope", "envelope")
    if statement.milestone in OF_ONE_COPY and not statement.recipient:
        raise Refusal(ErrorCode.BAD_RECEIPT, "it does not say whose copy it is about", "recipient")
    if statement.recipient and statement.recipient not in header.recipients:
        raise Refusal(ErrorCode.BAD_RECEIPT, "the receipt is about another recipient", "recipient")
    # Before it has arrived, its sender's node had it too; what happened there only the recipient's node saw.
    arrived = statement.milestone in BY_RECIPIENTS_NODE
    parties = header.recipients if arrived else (header.sender, *header.recipients)
    if Address.parse(statement.issuer, allow_node=True).node not in {Address.parse(party).node for party in parties}:
        raise Refusal(ErrorCode.BAD_RECEIPT, "the issuer never had this envelope", "issuer")


def event_name(milestone: pb.Milestone.ValueType) -> str:
    """Return the name of the event that stands beside a statement, e.g. envelope.delivered."""
    return "envelope." + pb.Milestone.Name(milestone).removeprefix("MILESTONE_").lower()
