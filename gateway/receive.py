"""Stage 1, receive: bytes become a claim.

In: an envelope as it came over the wire. Out: `Claimed`: a well-formed envelope whose header says things that nobody
has proven yet. Refuses with TOO_LARGE and OVER_QUOTA (naming the limit), and MALFORMED (naming the field and the rule).
"""

from dataclasses import dataclass, field

from rogatory.v1 import envelope_pb2 as pb

from gateway import codec, envelope, manifest
from gateway.config import Limits
from gateway.envelope import Digests
from gateway.errors import ErrorCode, Refusal


@dataclass(frozen=True, slots=True)
class Claimed:
    """A well-formed envelope; nothing in its header is proven. Made by `receive` alone."""

    envelope: pb.SignedEnvelope = field(repr=False)
    header: pb.Header
    digests: Digests = field(repr=False)

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 over all of the envelope."""
        return self.digests.whole


def receive(raw: pb.SignedEnvelope, limits: Limits, largest_bytes: int | None = None) -> Claimed:
    """Check size and form.

    1. The payload is within the limit, and the whole within what its bringer may ever send at once (`largest_bytes`,
       its quota's burst); before anything else is looked at.
    2. The envelope keeps its contract. Fields that this version does not know are dropped: they are not signed.
    3. The header parses, in its shortest encoding, and keeps its contract.
    4. So does the manifest of its attachments, and they are neither too many nor too large.

    Raises:
        Refusal: TOO_LARGE, OVER_QUOTA or MALFORMED.
    """
    # (1)
    size = len(raw.sealed_payload)
    if size > limits.max_payload_bytes:
        detail = f"a payload of {size} bytes is over max_payload_bytes = {limits.max_payload_bytes}"
        raise Refusal(ErrorCode.TOO_LARGE, detail, "sealed_payload")
    if largest_bytes is not None and raw.ByteSize() > largest_bytes:
        detail = f"an envelope of {raw.ByteSize()} bytes is over burst_bytes = {largest_bytes}; no wait makes it fit"
        raise Refusal(ErrorCode.OVER_QUOTA, detail, "burst_bytes")
    # (2)
    raw.DiscardUnknownFields()
    codec.check(raw)
    # (3)
    header = envelope.parse_header(raw)
    # (4)
    manifest.check_limits(manifest.parse(raw.attachments), limits.max_attachments, limits.max_attachment_bytes)
    return Claimed(raw, header, envelope.digests(raw))
