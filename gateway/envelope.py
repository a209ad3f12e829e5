"""The envelope: made and sealed by the sender, checked by everybody, opened by the recipient.

In: a letter, its body and keys; or a `SignedEnvelope` as it came. Out: the same the other way round. No I/O.
The header is carried as bytes: it is parsed to be read, never serialised again. What is signed is the header alone;
it binds payload and slots by digest and the plaintext by a salted commitment.

Verbs: compose, countersign, verify, open. Refuses with MALFORMED, BAD_SIGNATURE, KEY_REVOKED, CANNOT_OPEN and
CONTENT_MISMATCH.

Sources: RFC 8032 (signature), RFC 9562 section 5.7 (UUIDv7), draft-irtf-cfrg-xchacha-03 (payload), NaCl sealed box
(slots). Why the slot and the content repeat the header: a sealed box has no associated data, so without that anybody
could re-seal somebody else's text under a header of his own.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, Protocol
from uuid import UUID

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids

from gateway import codec, ed25519, signature
from gateway.clock import from_micros, to_micros
from gateway.ed25519 import Check
from gateway.errors import ErrorCode, Refusal
from gateway.signature import Domain, frame

FORMAT_VERSION = 1
CONTENT_KEY_BYTES = 32
SALT_BYTES = 32
MAX_BATCH = 64
"""Envelopes under one signature: as many as a frame holds. More would make every path longer and save nothing."""

Random = Callable[[int], bytes]


class KeyFinder(Protocol):
    """Finds the public signing key of a participant or node."""

    def __call__(self, signer: str, key_id: bytes, at: datetime) -> bytes:
        """Return the 32 bytes of the key, if it was valid at that time.

        Raises:
            Refusal: BAD_SIGNATURE, no such key; KEY_REVOKED, not valid at that time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """What the sender wants the header to say. Everything else in a header follows from it and the body."""

    kind: ids.Kind.ValueType
    sender: str
    recipients: tuple[str, ...]
    case_id: str
    cites: tuple[ids.EnvelopeRef, ...] = ()
    instrument: str = ""
    outcome: ids.Outcome.ValueType = ids.OUTCOME_UNSPECIFIED
    ground: ids.Ground.ValueType = ids.GROUND_UNSPECIFIED
    measures: tuple[ids.Measure.ValueType, ...] = ()
    data_classes: tuple[ids.DataClass.ValueType, ...] = ()
    urgency: ids.Urgency.ValueType = ids.URGENCY_ORDINARY
    expires_at: datetime | None = None
    traceparent: str = ""
    dual_criminality: ids.DualCriminality.ValueType = ids.DUAL_CRIMINALITY_UNSPECIFIED
    target_tokens: tuple[bytes, ...] = ()
    amount: evidence.Money | None = None
    order_total: evidence.Money | None = None
    in_force_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What becomes an envelope.

    Args:
        letter: what the header says.
        body: the serialised document.
        reader_keys: X25519 public keys, 32 bytes each, one slot a key.
        attachments: the manifest of the files that go with it; empty if there are none.
    """

    letter: Letter
    body: bytes = field(repr=False)
    reader_keys: tuple[bytes, ...]
    attachments: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Composed:
    """A finished envelope, and the salt with which its sender can open the commitment later."""

    envelope: pb.SignedEnvelope
    header: pb.Header
    salt: bytes = field(repr=False)


class Digests(NamedTuple):
    """SHA-256 over payload, framed slots, manifest (empty: there is none) and the whole envelope: its fingerprint."""

    payload: bytes
    slots: bytes
    attachments: bytes
    whole: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope as its recipient reads it. Made by `open_envelope` alone."""

    header: pb.Header
    fingerprint: bytes
    salt: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ref(self) -> ids.EnvelopeRef:
        """The envelope's name."""
        return ref_of(self.header)


def ref_of(header: pb.Header) -> ids.EnvelopeRef:
    """Return the envelope's name: sender and id."""
    return ids.EnvelopeRef(sender=header.sender, id=header.id)


def new_id(now: datetime, random: Random) -> str:
    """Return a new UUIDv7: 48 bits of milliseconds, then chance (RFC 9562 section 5.7)."""
    millis = to_micros(now) // 1000
    raw = bytearray(millis.to_bytes(6, "big") + random(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(UUID(bytes=bytes(raw)))


def compose(
    letter: Letter,
    body: bytes,
    *,
    signing_key: SigningKey,
    reader_keys: Sequence[bytes],
    now: datetime,
    random: Random,
    attachments: bytes = b"",
) -> Composed:
    """Seal `body` to the readers and sign the header.

    Args:
        letter: what the header says.
        body: the serialised document.
        signing_key: the sender's.
        reader_keys: X25519 public keys, 32 bytes each, one slot a key.
        now: becomes created_at.
        random: source of id, content key, nonce and salt, e.g. `nacl.utils.random`.
        attachments: the manifest of the files that go with it, see `gateway.manifest`; empty if there are none.

    Raises:
        Refusal: MALFORMED, the letter breaks a rule of the header, or nothing can be sealed to a key.
    """
    draft = Draft(letter, body, tuple(reader_keys), attachments)
    (composed,) = compose_many([draft], signing_key=signing_key, now=now, random=random)
    return composed


def compose_many(drafts: Sequence[Draft], *, signing_key: SigningKey, now: datetime, random: Random) -> list[Composed]:
    """Seal many bodies and sign their headers, every `MAX_BATCH` of them with one Ed25519 operation.

    Args:
        drafts: all by the same sender.
        signing_key: the sender's.
        now: becomes created_at.
        random: as for `compose`.

    Raises:
        Refusal: MALFORMED, a letter breaks a rule of the header, nothing can be sealed to a key, or they are by
            different senders.
    """
    if len({draft.letter.sender for draft in drafts}) > 1:
        raise Refusal(ErrorCode.MALFORMED, "one signature has one signer", "sender")
    by = signature.key_id(bytes(signing_key.verify_key))
    sealed = [_seal(draft, by, now, random) for draft in drafts]
    for first in range(0, len(sealed), MAX_BATCH):
        _sign(sealed[first : first + MAX_BATCH], signing_key)
    for composed in sealed:
        codec.check(composed.envelope)
    return sealed


def _sign(sealed: Sequence[Composed], key: SigningKey) -> None:
    signer, headers = sealed[0].header.sender, [each.envelope.header for each in sealed]
    if len(sealed) == 1:
        signatures = [signature.sign(Domain.ENVELOPE, headers[0], signer, key)]
    else:
        signatures = signature.sign_batch(Domain.ENVELOPE, headers, signer, key)
    for each, signed in zip(sealed, signatures, strict=True):
        each.envelope.signatures.append(signed)


def _seal(draft: Draft, sender_key_id: bytes, now: datetime, random: Random) -> Composed:
    """Return an envelope that lacks its signature alone."""
    letter = draft.letter
    envelope_id = new_id(now, random)
    name = ids.EnvelopeRef(sender=letter.sender, id=envelope_id)
    salt = random(SALT_BYTES)
    content = pb.SealedContent(
        envelope=name, kind=letter.kind, recipients=letter.recipients, salt=salt, body=draft.body
    ).SerializeToString()
    content_key = random(CONTENT_KEY_BYTES)
    box = Aead(content_key)
    payload = bytes(box.encrypt(content, _associated_data(name), random(Aead.NONCE_SIZE)))
    slot_content = pb.SlotContent(content_key=content_key, envelope=name).SerializeToString()
    slots = [_slot(slot_content, key, position) for position, key in enumerate(draft.reader_keys)]
    header = pb.Header(
        version=FORMAT_VERSION,
        id=envelope_id,
        kind=letter.kind,
        sender=letter.sender,
        recipients=letter.recipients,
        case_id=letter.case_id,
        cites=letter.cites,
        instrument=letter.instrument,
        outcome=letter.outcome,
        ground=letter.ground,
        measures=letter.measures,
        data_classes=letter.data_classes,
        urgency=letter.urgency,
        created_at_us=to_micros(now),
        expires_at_us=None if letter.expires_at is None else to_micros(letter.expires_at),
        sender_key_id=sender_key_id,
        payload_digest=sha256(payload).digest(),
        slots_digest=slots_digest(slots),
        commitment=commitment(salt, draft.body),
        attachments_digest=sha256(draft.attachments).digest() if draft.attachments else b"",
        traceparent=letter.traceparent,
        dual_criminality=letter.dual_criminality,
        target_tokens=letter.target_tokens,
        amount=letter.amount,
        order_total=letter.order_total,
        in_force_until_us=None if letter.in_force_until is None else to_micros(letter.in_force_until),
    )
    codec.check(header)
    envelope = pb.SignedEnvelope(
        header=header.SerializeToString(),
        sealed_payload=payload,
        slots=slots,
        attachments=draft.attachments,
    )
    return Composed(envelope, header, salt)


def _slot(content: bytes, reader_key: bytes, position: int) -> pb.Slot:
    try:
        sealed = SealedBox(PublicKey(reader_key)).encrypt(content)
    except CryptoError as error:
        # A point of low order (RFC 7748 section 6.1): what is sealed to it everybody opens.
        detail = "nothing can be sealed to this key, which opens for everybody"
        raise Refusal(ErrorCode.MALFORMED, detail, f"reader_keys[{position}]") from error
    return pb.Slot(key_id=signature.key_id(reader_key), sealed=sealed)


def countersign(envelope: pb.SignedEnvelope, signer: str, key: SigningKey) -> pb.Signature:
    """Return another signature over the same header bytes."""
    return signature.sign(Domain.ENVELOPE, envelope.header, signer, key)


def with_signature(envelope: pb.SignedEnvelope, extra: pb.Signature) -> pb.SignedEnvelope:
    """Return a copy of `envelope` that bears one signature more."""
    copy = pb.SignedEnvelope()
    copy.CopyFrom(envelope)
    copy.signatures.append(extra)
    return copy


def parse_header(envelope: pb.SignedEnvelope) -> pb.Header:
    """Return the header that these bytes claim. Nothing of it is true until `verify` has passed.

    Raises:
        Refusal: MALFORMED.
    """
    return codec.parse(pb.Header, envelope.header)


def digests(envelope: pb.SignedEnvelope) -> Digests:
    """Return the digests of an envelope as it came."""
    slots = slots_digest(envelope.slots)
    payload = envelope.sealed_payload
    signatures = [signed.SerializeToString(deterministic=True) for signed in envelope.signatures]
    manifest = [envelope.attachments] if envelope.attachments else []
    whole = frame(b"rogatory/v1/fingerprint", envelope.header, payload, slots, *signatures, *manifest)
    named = sha256(envelope.attachments).digest() if manifest else b""
    return Digests(sha256(payload).digest(), slots, named, sha256(whole).digest())


def fingerprint(envelope: pb.SignedEnvelope) -> bytes:
    """Return the SHA-256 over all of the envelope: equal only for the same bytes in every part."""
    return digests(envelope).whole


def slots_digest(slots: Sequence[pb.Slot]) -> bytes:
    """Return the SHA-256 over the framed slots."""
    return sha256(frame(*[part for slot in slots for part in (slot.key_id, slot.sealed)])).digest()


def commitment(salt: bytes, body: bytes) -> bytes:
    """Return the salted commitment to a body. Without the salt, nobody can test guesses of it."""
    return sha256(frame(b"rogatory/v1/commitment", salt, body)).digest()


def verify(envelope: pb.SignedEnvelope, header: pb.Header, find_key: KeyFinder) -> None:
    """Check that the claimed sender signed this header and that payload and slots are the ones it names.

    Raises:
        Refusal: BAD_SIGNATURE or KEY_REVOKED.
    """
    conclude(envelope, list(map(ed25519.holds, checks(envelope, header, digests(envelope), find_key))))


def checks(envelope: pb.SignedEnvelope, header: pb.Header, found: Digests, find_key: KeyFinder) -> tuple[Check, ...]:
    """Check all that takes no Ed25519, and return what is left, one check a signature; `conclude` takes the answers.

    1. The digests of payload, slots and manifest are those in the header.
    2. The first signature is the sender's, with the key that the header names.
    3. Nobody signs twice.
    4. Every signature, the countersignatures too, is valid, with a key valid when the header was made.

    Raises:
        Refusal: BAD_SIGNATURE or KEY_REVOKED.
    """
    # (1)
    if not hmac.compare_digest(found.payload, header.payload_digest):
        raise Refusal(ErrorCode.BAD_SIGNATURE, "the payload is not the one that was signed", "sealed_payload")
    if not hmac.compare_digest(found.slots, header.slots_digest):
        raise Refusal(ErrorCode.BAD_SIGNATURE, "the slots are not the ones that were signed", "slots")
    if not hmac.compare_digest(found.attachments, header.attachments_digest):
        raise Refusal(ErrorCode.BAD_SIGNATURE, "the manifest is not the one that was signed", "attachments")
    return _signature_checks(envelope, header, find_key)


def verify_signatures(envelope: pb.SignedEnvelope, header: pb.Header, find_key: KeyFinder) -> None:
    """Check steps 2 to 4 of `checks` alone: what can be checked once the payload is no longer kept.

    Raises:
        Refusal: BAD_SIGNATURE or KEY_REVOKED.
    """
    conclude(envelope, list(map(ed25519.holds, _signature_checks(envelope, header, find_key))))


def _signature_checks(envelope: pb.SignedEnvelope, header: pb.Header, find_key: KeyFinder) -> tuple[Check, ...]:
    # (2)
    signatures = envelope.signatures
    first = signatures[0] if signatures else pb.Signature()
    if first.signer != header.sender or first.key_id != header.sender_key_id:
        raise Refusal(ErrorCode.BAD_SIGNATURE, "the first signature is not the sender's", "signatures[0]")
    # (3)
    if len(signatures) > 1 and len({signed.signer for signed in signatures}) != len(signatures):
        raise Refusal(ErrorCode.BAD_SIGNATURE, "somebody signed twice", "signatures")
    # (4)
    made_at = from_micros(header.created_at_us)
    keyed = []
    for position, signed in enumerate(signatures):
        try:
            keyed.append((signed, find_key(signed.signer, signed.key_id, made_at)))
        except Refusal as error:
            raise Refusal(error.code, error.detail, f"signatures[{position}]") from error
    return tuple(signature.checks_of(Domain.ENVELOPE, envelope.header, keyed))


def conclude(envelope: pb.SignedEnvelope, valid: Sequence[bool]) -> None:
    """Refuse an envelope if one of its `checks` does not hold.

    Raises:
        Refusal: BAD_SIGNATURE.
    """
    for position, (signed, holds) in enumerate(zip(envelope.signatures, valid, strict=True)):
        if not holds:
            error = signature.does_not_fit(signed)
            raise Refusal(error.code, error.detail, f"signatures[{position}]")


def open_envelope(envelope: pb.SignedEnvelope, reader: str, keys: Sequence[PrivateKey]) -> Opened:
    """Open an envelope whose signatures were verified before, comparing everything that binds it.

    1. The reader is one of its recipients.
    2. A slot is for one of the reader's keys and opens.
    3. The slot names this envelope.
    4. The payload opens with the slot's key.
    5. The content repeats sender, id, kind and recipients of the header.
    6. The commitment in the header is to this body.

    Raises:
        Refusal: CANNOT_OPEN for 1 to 4, CONTENT_MISMATCH for 5 and 6.
    """
    header = parse_header(envelope)
    # (1)
    if reader not in header.recipients:
        raise Refusal(ErrorCode.CANNOT_OPEN, "the reader is not among the recipients", "recipients")
    return _open(envelope, header, keys)


def open_own(envelope: pb.SignedEnvelope, sender: str, keys: Sequence[PrivateKey]) -> Opened:
    """Open what one has sent oneself; otherwise as `open_envelope`, steps 2 to 6.

    Apart from it, so that nobody who is handed his own words back takes them for somebody else's.

    Raises:
        Refusal: CANNOT_OPEN or CONTENT_MISMATCH.
    """
    header = parse_header(envelope)
    if sender != header.sender:
        raise Refusal(ErrorCode.CANNOT_OPEN, "somebody else sent it", "sender")
    return _open(envelope, header, keys)


def _open(envelope: pb.SignedEnvelope, header: pb.Header, keys: Sequence[PrivateKey]) -> Opened:
    """Take steps 2 to 6 of `open_envelope`."""
    name = ref_of(header)
    # (2)
    slot = codec.parse(pb.SlotContent, _unseal(envelope, keys), ErrorCode.CANNOT_OPEN)
    # (3)
    if slot.envelope != name:
        raise Refusal(ErrorCode.CANNOT_OPEN, "the slot was made for another envelope", "slots")
    # (4)
    try:
        plain = Aead(slot.content_key).decrypt(envelope.sealed_payload, _associated_data(name))
    except (CryptoError, ValueError) as error:
        raise Refusal(ErrorCode.CANNOT_OPEN, "the payload does not open", "sealed_payload") from error
    content = codec.parse(pb.SealedContent, plain, ErrorCode.CONTENT_MISMATCH)
    # (5)
    if (content.envelope, content.kind, list(content.recipients)) != (name, header.kind, list(header.recipients)):
        raise Refusal(ErrorCode.CONTENT_MISMATCH, "the content was sealed for another envelope", "sealed_payload")
    # (6)
    check_commitment(header, content.salt, content.body)
    return Opened(header, fingerprint(envelope), content.salt, content.body)


def check_commitment(header: pb.Header, salt: bytes, body: bytes) -> None:
    """Check that the signed header commits to this body; needs no key, so that a court can do it.

    Raises:
        Refusal: CONTENT_MISMATCH.
    """
    if not hmac.compare_digest(commitment(salt, body), header.commitment):
        raise Refusal(ErrorCode.CONTENT_MISMATCH, "the sender committed to another text", "commitment")


def _unseal(envelope: pb.SignedEnvelope, keys: Sequence[PrivateKey]) -> bytes:
    by_id = {signature.key_id(bytes(key.public_key)): key for key in keys}
    for position, slot in enumerate(envelope.slots):
        key = by_id.get(slot.key_id)
        if key is None:
            continue
        try:
            return SealedBox(key).decrypt(slot.sealed)
        except CryptoError as error:
            raise Refusal(ErrorCode.CANNOT_OPEN, "the slot does not open", f"slots[{position}]") from error
    raise Refusal(ErrorCode.CANNOT_OPEN, "no slot is for a key of the reader", "slots")


def _associated_data(name: ids.EnvelopeRef) -> bytes:
    return frame(b"rogatory/v1/content", name.sender.encode(), name.id.encode())
