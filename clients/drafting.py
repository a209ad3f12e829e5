"""What somebody else of the own country must sign too: drafted, countersigned, completed.

In: a document of such a kind. Out: a draft for the central authority, with the sealed and signed envelope within; then,
of its answer, that envelope with both signatures. The envelope is kept on our disk meanwhile.
"""

from dataclasses import dataclass
from typing import Unpack

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from clients.actor import Authority, Cited, Kind, Terms, check_role, document_of
from clients.intake import Received
from gateway import envelope
from gateway.envelope import Composed
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.formats.documents import Request
from gateway.identity import Role


@dataclass(frozen=True, slots=True)
class Drafted:
    """A request that waits for its countersignature, and the draft that asks for it. Submit the draft."""

    request: pb.SignedEnvelope
    draft: Composed


class Author(Authority):
    """Whoever needs its central authority's signature for some of its steps."""

    def add_countersignature(self, answer: Received, request: pb.SignedEnvelope | None = None) -> pb.SignedEnvelope:
        """Return the request with the countersignature that came for its draft, ready to be submitted.

        1. The answer cites a draft of ours, whose request is given, or kept on our disk.
        2. It is no return of the draft.
        3. The signer is who answers: a central authority of our own country.
        4. All signatures over the request's header hold, the new one too.

        Raises:
            Refusal: NOT_FOUND, no such draft; NOT_COUNTERSIGNED, returned; NOT_PERMITTED; BAD_SIGNATURE or KEY_REVOKED.
        """
        me = self._participant
        answered = document_of(answer, orders.Countersignature)
        request = request or me.maildir.draft(_cited(answer.header))  # (1)
        if request is None:
            raise Refusal(ErrorCode.NOT_FOUND, "no request of ours waits for this countersignature", "cites[0]")
        if not answered.HasField("signature"):  # (2)
            raise Refusal(ErrorCode.NOT_COUNTERSIGNED, "the draft was returned; the document tells why", "reason")
        if answered.signature.signer != answer.header.sender:  # (3)
            raise Refusal(ErrorCode.NOT_PERMITTED, "signed by another than who answers", "signature.signer")
        check_role(me, answered.signature.signer, Role.CENTRAL_AUTHORITY)
        complete = envelope.with_signature(request, answered.signature)
        envelope.verify(complete, envelope.parse_header(complete), me.directory.signing_key)  # (4)
        return complete

    def withdraw_draft(self, draft: Cited, withdrawal: followups.Withdrawal) -> Composed:
        """Take a draft back that is not answered yet."""
        return self._compose(ids.KIND_WITHDRAWAL, withdrawal, draft)

    def _draft(
        self, kind: Kind, document: Request, via: str, cites: Cited | None = None, **terms: Unpack[Terms]
    ) -> Drafted:
        """Seal and sign an envelope, and put it into a draft to `via`; the envelope is kept on our disk."""
        me = self._participant
        header = self._header(kind, document, cites, terms)
        self._check(self._place(header, cites), drafted=True)
        around = self._header(
            ids.KIND_DRAFT,
            orders.Draft(),
            None,
            Terms(
                to=via,
                case_id=header.case_id,
                measures=header.measures,
                data_classes=header.data_classes,
                urgency=header.urgency,
                expires_at=terms.get("expires_at"),
            ),
        )
        self._check(self._place(around, None))
        sealed = self._seal(header, document)
        carried = orders.Draft(envelope=sealed.envelope, salt=sealed.salt, body=documents.encode(document))
        draft = self._seal(around, carried)
        me.maildir.keep_draft(envelope.ref_of(draft.header), sealed.envelope)
        return Drafted(sealed.envelope, draft)


def _cited(header: pb.Header) -> ids.EnvelopeRef:
    if len(header.cites) != 1:
        raise Refusal(ErrorCode.OUT_OF_ORDER, "it cites exactly one envelope", "cites")
    return header.cites[0]
