"""Manifests: which sealed files an envelope needs, as far as a node may know.

In: what a document says of its attachments, or the manifest of an envelope as it came. Out: the manifest, or what it
names. The header binds the manifest by its digest; the manifest binds each ciphertext; the document, sealed, says what
the files are and holds their keys. Refuses with MALFORMED, TOO_LARGE, OVER_QUOTA and CONTENT_MISMATCH. No I/O.
"""

from collections.abc import Iterator, Sequence

from google.protobuf.message import Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from gateway import codec, sealed_file
from gateway.errors import ErrorCode, Refusal


def attachments_of(document: Message) -> Iterator[parties.Attachment]:
    """Yield the attachments anywhere in a document, in the order of its fields."""
    if isinstance(document, parties.Attachment):
        yield document
        return
    for field, value in document.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            yield from attachments_of(each)


def of(document: Message) -> bytes:
    """Return the manifest of a document: what it names of sealed files, each once; empty if there are none.

    A draft needs what the request within needs: whoever countersigns may read it.

    Raises:
        Refusal: CONTENT_MISMATCH, a size cannot be; MALFORMED, too many.
    """
    if isinstance(document, orders.Draft):
        return document.envelope.attachments
    found: dict[bytes, int] = {}
    for position, attachment in enumerate(attachments_of(document)):
        if not attachment.HasField("sealed"):
            continue
        field = f"attachments[{position}].sealed"
        sealed_file.check(attachment, field)
        if found.setdefault(attachment.sealed.sha256, attachment.sealed.size) != attachment.sealed.size:
            raise Refusal(ErrorCode.CONTENT_MISMATCH, "one ciphertext of two sizes", f"{field}.size")
    if not found:
        return b""
    made = pb.Manifest(attachments=[pb.AttachmentRef(sha256=name, size=size) for name, size in found.items()])
    codec.check(made)
    return made.SerializeToString(deterministic=True)


def parse(raw: bytes) -> Sequence[pb.AttachmentRef]:
    """Return what a manifest names; nothing, if it is empty.

    Raises:
        Refusal: MALFORMED, it is none, or names a file twice.
    """
    if not raw:
        return ()
    named = codec.parse(pb.Manifest, raw).attachments
    if len({each.sha256 for each in named}) != len(named):
        raise Refusal(ErrorCode.MALFORMED, "the manifest names a file twice", "attachments")
    return named


def check_limits(named: Sequence[pb.AttachmentRef], most: int, largest_bytes: int) -> None:
    """Check a manifest against the limits of a node.

    Raises:
        Refusal: OVER_QUOTA or TOO_LARGE, with the limit and its value.
    """
    if len(named) > most:
        detail = f"{len(named)} attachments are over max_attachments = {most}"
        raise Refusal(ErrorCode.OVER_QUOTA, detail, "attachments")
    for position, each in enumerate(named):
        check_size(each.size, largest_bytes, f"attachments[{position}].size")


def check_size(size: int, largest_bytes: int, field: str = "size") -> None:
    """Check one attachment against the limit of a node.

    Raises:
        Refusal: TOO_LARGE, with the limit and its value.
    """
    if size > largest_bytes:
        detail = f"an attachment of {size} bytes is over max_attachment_bytes = {largest_bytes}"
        raise Refusal(ErrorCode.TOO_LARGE, detail, field)


def check_document(raw: bytes, document: Message) -> None:
    """Check that an envelope's manifest is the one that its document makes.

    Raises:
        Refusal: CONTENT_MISMATCH.
    """
    if of(document) != raw:
        detail = "the files that travel with it are not those that the document names"
        raise Refusal(ErrorCode.CONTENT_MISMATCH, detail, "attachments")
