"""Manifests: what a node may know of files, and that nobody can make it say something else."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from clients.intake import Secrets
from gateway import envelope, manifest
from gateway.config import Limits
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.identity import Address
from gateway.receive import receive
from gateway.sealed_file import sealed_size
from tests import paperwork, world


def sealed(number: int = 1, size: int = 100, **changes: object) -> parties.Attachment:
    digest = sha256(bytes([number])).digest()
    made = parties.Attachment(title=f"file {number}", media_type="a/b", size=size, sha256=digest)
    made.sealed.CopyFrom(parties.SealedFile(sha256=digest, size=sealed_size(size), key=bytes(32)))
    made.MergeFrom(parties.Attachment(**changes))  # type: ignore[arg-type]
    return made


def named(*attachments: parties.Attachment) -> bytes:
    return manifest.of(certificates.FreezeRequest(attachments=attachments))


def code_of(attempt: Callable[[], object]) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        attempt()
    return caught.value.code


def test_document_without_files_has_no_manifest() -> None:
    by_post = parties.Attachment(title="by post", media_type="a/b", size=1, sha256=bytes(32))
    assert named() == named(by_post) == b""


def test_manifest_names_each_file_once_in_order_and_nothing_else_of_it() -> None:
    raw = named(sealed(2, 5), sealed(1, 7), sealed(2, 5))
    assert [(each.sha256, each.size) for each in manifest.parse(raw)] == [
        (sealed(2).sealed.sha256, sealed_size(5)),
        (sealed(1).sealed.sha256, sealed_size(7)),
    ]
    assert b"file" not in raw
    assert bytes(32) not in raw


def test_files_deep_in_a_document_are_found() -> None:
    referral = orders.ReviewReferral(freeze=certificates.FreezeRequest(attachments=[sealed()]))
    assert manifest.of(referral) == named(sealed())


def test_draft_needs_what_its_request_needs() -> None:
    raw = named(sealed())
    assert manifest.of(orders.Draft(envelope=pb.SignedEnvelope(attachments=raw))) == raw


def test_one_ciphertext_of_two_sizes_is_refused() -> None:
    assert code_of(lambda: named(sealed(1, 5), sealed(1, 6))) is ErrorCode.CONTENT_MISMATCH


def test_size_that_cannot_be_is_refused() -> None:
    wrong = sealed(1, 5)
    wrong.sealed.size += 1
    assert code_of(lambda: named(wrong)) is ErrorCode.CONTENT_MISMATCH


def test_too_many_files_are_refused() -> None:
    assert code_of(lambda: named(*(sealed(n, 5 + n) for n in range(257) if n < 256), *map(distinct, range(2)))) is (
        ErrorCode.MALFORMED
    )


def distinct(number: int) -> parties.Attachment:
    made = sealed(0, 9)
    made.sealed.sha256 = sha256(b"more" + bytes([number])).digest()
    return made


@pytest.mark.parametrize(
    "raw",
    [
        b"x",
        pb.Manifest().SerializeToString() + b"\x0a\x00",
        pb.Manifest(attachments=[pb.AttachmentRef(sha256=bytes(31), size=100)]).SerializeToString(),
        pb.Manifest(attachments=[pb.AttachmentRef(sha256=bytes(32), size=0)]).SerializeToString(),
        pb.Manifest(attachments=[pb.AttachmentRef(sha256=bytes(32), size=1 << 60)]).SerializeToString(),
        pb.Manifest(attachments=[pb.AttachmentRef(sha256=bytes(32), size=100)] * 2).SerializeToString(),
        named(sealed()) + b"\x10\x01",
    ],
    ids=["no manifest", "nameless", "short digest", "no size", "huge size", "twice the same", "something hidden"],
)
def test_manifest_that_is_none_is_refused(raw: bytes) -> None:
    assert code_of(lambda: manifest.parse(raw)) is ErrorCode.MALFORMED


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(raw: bytes) -> None:
    found, code = parsed(raw)
    assert code is ErrorCode.MALFORMED or not raw or pb.Manifest(attachments=found).SerializeToString() == raw


def parsed(raw: bytes) -> tuple[Sequence[pb.AttachmentRef], ErrorCode | None]:
    try:
        return manifest.parse(raw), None
    except Refusal as error:
        return (), error.code


# On its envelope


def request(*attachments: parties.Attachment, raw: bytes | None = None) -> world.Sent:
    document = paperwork.request(attachments=attachments)
    attached = manifest.of(document) if raw is None else raw
    return world.freeze_request(
        body=documents.encode(document),
        measures=tuple(document.measures),
        data_classes=tuple(document.data_classes),
        attachments=attached,
    )


def test_signed_manifest_verifies_and_is_part_of_the_fingerprint() -> None:
    sent = request(sealed())
    assert sent.header.attachments_digest == sha256(sent.envelope.attachments).digest()
    world.verified(sent, "ee")
    other = pb.SignedEnvelope()
    other.CopyFrom(sent.envelope)
    other.attachments = named(sealed(2))
    assert envelope.fingerprint(other) != sent.fingerprint


@pytest.mark.parametrize("other", [b"", named(sealed(2)), named(sealed(1), sealed(2))], ids=["none", "other", "more"])
def test_manifest_of_a_node_that_lies_is_refused(other: bytes) -> None:
    sent = request(sealed())
    sent.envelope.attachments = other
    assert code_of(lambda: envelope.verify(sent.envelope, sent.header, world.DIRECTORY.signing_key)) is (
        ErrorCode.BAD_SIGNATURE
    )


def test_manifest_added_to_an_envelope_without_one_is_refused() -> None:
    sent = request()
    sent.envelope.attachments = named(sealed())
    assert code_of(lambda: envelope.verify(sent.envelope, sent.header, world.DIRECTORY.signing_key)) is (
        ErrorCode.BAD_SIGNATURE
    )


def test_limits_of_a_node_are_checked_before_anything_else_is_looked_at() -> None:
    sent = request(sealed(1, 5000), sealed(2))
    assert code_of(lambda: receive(sent.envelope, Limits(max_attachment_bytes=4096))) is ErrorCode.TOO_LARGE
    assert code_of(lambda: receive(sent.envelope, Limits(max_attachments=1))) is ErrorCode.OVER_QUOTA
    receive(sent.envelope, Limits(max_attachment_bytes=sealed_size(5000), max_attachments=2))


def test_recipient_rejects_files_that_the_document_does_not_name() -> None:
    reader = Secrets(
        Address.parse(world.FOREIGN_CENTRAL),
        world.signing_key(world.FOREIGN_CENTRAL),
        (world.sealing_key(world.FOREIGN_CENTRAL),),
    )
    reader.open(request(sealed()).envelope)
    for lie in (request(sealed(), raw=b""), request(raw=named(sealed())), request(sealed(1), raw=named(sealed(2)))):
        assert code_of(lambda lie=lie: reader.open(lie.envelope)) is ErrorCode.CONTENT_MISMATCH  # type: ignore[misc]


def test_draft_whose_request_carries_other_files_than_it_names_is_refused() -> None:
    made = request(sealed(), raw=b"")
    draft = orders.Draft(
        envelope=made.envelope, salt=made.salt, body=documents.encode(paperwork.request(attachments=[sealed()]))
    )
    header = pb.Header()
    header.CopyFrom(made.header)
    header.kind = ids.KIND_DRAFT
    assert code_of(lambda: documents.check_against_header(header, draft)) is ErrorCode.CONTENT_MISMATCH
