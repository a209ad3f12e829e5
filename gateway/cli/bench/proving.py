"""Proofs in bulk: every receipt of a run is checked, each signature once.

In: an envelope as it was sent, and a node's answer. Out: nothing. Refuses with BAD_RECEIPT what proves nothing, and
with the node's own code what it refused. A node signs one root over all receipts of a commit, so what is checked for
each is its own path to that root; the root's signature is checked where it is seen first.
"""

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import envelope, signature, statement
from gateway.clock import from_micros
from gateway.codec import error_from
from gateway.envelope import KeyFinder
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.signature import Domain


class Prover:
    """Checks receipts, and remembers which signed bytes it has checked."""

    def __init__(self, find_key: KeyFinder) -> None:
        self._find_key = find_key
        self._seen: set[tuple[bytes, bytes, bytes]] = set()

    def accepted(self, raw: bytes, answer: mailbox.Answer) -> None:
        """Check that a node has answered an envelope with its signed ACCEPTED.

        Raises:
            GatewayError: it refused, or could not; BAD_RECEIPT, it proves nothing.
        """
        if answer.HasField("error"):
            raise error_from(answer.error)
        sent = pb.SignedEnvelope.FromString(raw)
        said = self.statement(answer.receipt)
        header = envelope.parse_header(sent)
        statement.check_subject(said, header, envelope.fingerprint(sent))
        if said.issuer != str(Address.of_node(Address.parse(header.sender).node)):
            raise Refusal(ErrorCode.BAD_RECEIPT, "an answer is the sender's own node's", "issuer")
        if said.milestone != pb.MILESTONE_ACCEPTED:
            raise Refusal(ErrorCode(said.code) if said.code else ErrorCode.BAD_RECEIPT, said.detail)

    def statement(self, receipt: pb.Receipt) -> pb.Statement:
        """Return what a receipt says, proven as `statement.verify` does.

        Raises:
            Refusal: BAD_RECEIPT, BAD_SIGNATURE or KEY_REVOKED.
        """
        signed = receipt.signature
        seen = signed.key_id, signed.signature, signature.signed_bytes(Domain.STATEMENT, receipt.statement, signed)
        if seen not in self._seen:
            said = statement.verify(receipt, self._find_key)
            self._seen.add(seen)
            return said
        said = pb.Statement.FromString(receipt.statement)
        if signed.signer != said.issuer:
            raise Refusal(ErrorCode.BAD_RECEIPT, "signed by another than its issuer", "signature.signer")
        self._find_key(said.issuer, signed.key_id, from_micros(said.at_us))
        return said
