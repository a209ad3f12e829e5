from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead
from nacl.utils import random
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import envelope, signature
from gateway.envelope import Composed, Draft, Letter
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.signature import Domain, frame
from tests import world
from tests.world import CENTRAL, DIRECTORY, FOREIGN_CENTRAL, INVESTIGATOR, NOW, Sent

ATTACKER = "de/central-authority-2"
REQUEST = world.freeze_request(body=b"the request")
OTHER = world.freeze_request(body=b"another request")


def verify(signed: pb.SignedEnvelope, finder: envelope.KeyFinder = DIRECTORY.signing_key) -> None:
    envelope.verify(signed, envelope.parse_header(signed), finder)


def opened(signed: pb.SignedEnvelope, reader: str = FOREIGN_CENTRAL) -> envelope.Opened:
    return envelope.open_envelope(signed, reader, [world.sealing_key(reader)])


def refused(code: ErrorCode, action: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        action()
    assert caught.value.code is code
    return caught.value


def altered(sent: Sent, change: Callable[[pb.SignedEnvelope], object]) -> pb.SignedEnvelope:
    copy = pb.SignedEnvelope()
    copy.CopyFrom(sent.envelope)
    change(copy)
    return copy


def sealed(
    plain: bytes,
    content_key: bytes,
    slot: pb.SlotContent | bytes,
    reader: str,
    name: ids.EnvelopeRef,
    committed: tuple[bytes, bytes] = (bytes(32), b"body"),
) -> Sent:
    """Build what `compose` would never build: any plaintext, any slot, under a properly signed header of `name`.

    It commits to that salt and body, so that nothing but the fault itself is refused.
    """
    associated = frame(b"rogatory/v1/content", name.sender.encode(), name.id.encode())
    payload = bytes(Aead(content_key).encrypt(plain, associated))
    inside = slot if isinstance(slot, bytes) else slot.SerializeToString()
    public = bytes(world.sealing_key(reader).public_key)
    slots = [pb.Slot(key_id=signature.key_id(public), sealed=SealedBox(PublicKey(public)).encrypt(inside))]
    header = pb.Header()
    header.CopyFrom(REQUEST.header)
    header.sender, header.id = name.sender, name.id
    del header.recipients[:]
    header.recipients.append(reader)
    header.sender_key_id = signature.key_id(bytes(world.signing_key(name.sender).verify_key))
    header.payload_digest = sha256(payload).digest()
    header.slots_digest = envelope.slots_digest(slots)
    header.commitment = envelope.commitment(*committed)
    raw = header.SerializeToString()
    signed = signature.sign(Domain.ENVELOPE, raw, name.sender, world.signing_key(name.sender))
    made = pb.SignedEnvelope(header=raw, signatures=[signed], sealed_payload=payload, slots=slots)
    verify(made)  # the attacker signs his own header well
    return Sent(made, header, b"")


def content_of(sent: Sent, reader: str = FOREIGN_CENTRAL) -> tuple[pb.SlotContent, pb.SealedContent]:
    """Open an envelope as its reader, with no check at all."""
    slot = pb.SlotContent.FromString(SealedBox(world.sealing_key(reader)).decrypt(sent.envelope.slots[0].sealed))
    associated = frame(b"rogatory/v1/content", sent.header.sender.encode(), sent.header.id.encode())
    plain = Aead(slot.content_key).decrypt(sent.envelope.sealed_payload, associated)
    return slot, pb.SealedContent.FromString(plain)


def name_of(sender: str) -> ids.EnvelopeRef:
    return ids.EnvelopeRef(sender=sender, id=envelope.new_id(NOW, random))


@given(st.binary(max_size=3000))
def test_what_is_composed_verifies_and_opens_to_the_same_body(body: bytes) -> None:
    sent = world.freeze_request(body=body)
    verify(sent.envelope)
    read = opened(sent.envelope)
    assert (read.body, read.salt, read.header, read.ref) == (body, sent.salt, sent.header, sent.ref)
    assert read.fingerprint == sent.fingerprint
    assert body == b"" or len(body) < 8 or body not in sent.envelope.SerializeToString()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(bytes(32), id="nought"),
        pytest.param((1).to_bytes(32, "little"), id="one"),
        pytest.param((2**255 - 19).to_bytes(32, "little"), id="nought, written otherwise"),
    ],
)
def test_nothing_is_sealed_to_a_key_that_opens_for_everybody(key: bytes) -> None:
    """RFC 7748 section 6.1. Whoever lists such a key must not make the program of who writes to him fall over."""
    letter = Letter(ids.KIND_DRAFT, INVESTIGATOR, (FOREIGN_CENTRAL,), "EE-1", measures=world.MEASURES)
    readers = (bytes(world.sealing_key(FOREIGN_CENTRAL).public_key), key)
    with pytest.raises(Refusal) as caught:
        envelope.compose(
            letter, b"body", signing_key=world.signing_key(INVESTIGATOR), reader_keys=readers, now=NOW, random=random
        )
    assert (caught.value.code, caught.value.field) == (ErrorCode.MALFORMED, "reader_keys[1]")


def test_each_of_several_readers_opens_with_any_of_his_keys() -> None:
    sent = world.send(ids.KIND_DRAFT, INVESTIGATOR, FOREIGN_CENTRAL, ATTACKER, measures=world.MEASURES)
    for reader in (FOREIGN_CENTRAL, ATTACKER):
        keys = [PrivateKey.generate(), world.sealing_key(reader)]
        assert envelope.open_envelope(sent.envelope, reader, keys).body == b"body"


def test_sender_opens_what_it_sealed_to_itself_too_and_nobody_elses_words() -> None:
    letter = envelope.Letter(ids.KIND_DRAFT, INVESTIGATOR, (CENTRAL,), "EE-1", measures=world.MEASURES)
    readers = [bytes(world.sealing_key(each).public_key) for each in (CENTRAL, INVESTIGATOR)]
    key = world.signing_key(INVESTIGATOR)
    made = envelope.compose(letter, b"body", signing_key=key, reader_keys=readers, now=NOW, random=random)
    own = [world.sealing_key(INVESTIGATOR)]
    read = envelope.open_own(made.envelope, INVESTIGATOR, own)
    assert (read.body, read.salt) == (b"body", made.salt)
    refused(ErrorCode.CANNOT_OPEN, lambda: envelope.open_own(made.envelope, CENTRAL, [world.sealing_key(CENTRAL)]))
    # Handed back to it, they are not a letter to it.
    refused(ErrorCode.CANNOT_OPEN, lambda: envelope.open_envelope(made.envelope, INVESTIGATOR, own))
    without = world.freeze_request()
    refused(ErrorCode.CANNOT_OPEN, lambda: envelope.open_own(without.envelope, INVESTIGATOR, own))


def test_countersignatures_are_verified_too() -> None:
    wrong = envelope.countersign(REQUEST.envelope, "ee/court", world.signing_key("ee/court-2"))
    with_wrong = envelope.with_signature(REQUEST.envelope, wrong)
    assert refused(ErrorCode.BAD_SIGNATURE, lambda: verify(with_wrong)).field == "signatures[2]"
    right = envelope.countersign(REQUEST.envelope, "ee/court", world.signing_key("ee/court"))
    verify(envelope.with_signature(REQUEST.envelope, right))
    assert len(REQUEST.envelope.signatures) == 2


def test_adding_a_signature_leaves_the_original_as_it_was() -> None:
    before = REQUEST.envelope.SerializeToString()
    envelope.with_signature(REQUEST.envelope, REQUEST.envelope.signatures[0])
    assert REQUEST.envelope.SerializeToString() == before


def test_envelope_stripped_of_its_countersignature_still_verifies() -> None:
    # It is what its sender signed; that it needed more, `procedure` knows.
    verify(altered(REQUEST, lambda e: e.signatures.pop()))


def _sign_as(signer: str, key_of: str) -> Callable[[pb.SignedEnvelope], object]:
    def change(signed: pb.SignedEnvelope) -> None:
        forged = signature.sign(Domain.ENVELOPE, signed.header, signer, world.signing_key(key_of))
        signed.signatures[0].CopyFrom(forged)

    return change


def _resign_with_domain(signed: pb.SignedEnvelope) -> None:
    forged = signature.sign(Domain.STATEMENT, signed.header, INVESTIGATOR, world.signing_key(INVESTIGATOR))
    signed.signatures[0].CopyFrom(forged)


FORGERIES = [
    pytest.param(lambda e: setattr(e, "sealed_payload", OTHER.envelope.sealed_payload), id="payload swapped"),
    pytest.param(lambda e: setattr(e, "sealed_payload", e.sealed_payload + b"\0"), id="payload longer"),
    pytest.param(lambda e: e.slots[0].CopyFrom(OTHER.envelope.slots[0]), id="slot swapped"),
    pytest.param(lambda e: e.ClearField("slots"), id="slots removed"),
    pytest.param(lambda e: e.slots.append(e.slots[0]), id="slot doubled"),
    pytest.param(lambda e: setattr(e.slots[0], "key_id", bytes(16)), id="slot for another key"),
    pytest.param(lambda e: setattr(e, "header", OTHER.envelope.header), id="header swapped"),
    pytest.param(lambda e: e.ClearField("signatures"), id="all signatures removed"),
    pytest.param(lambda e: e.signatures.pop(0), id="sender's signature removed"),
    pytest.param(lambda e: e.signatures.reverse(), id="countersignature in the place of the sender's"),
    pytest.param(lambda e: e.signatures.append(e.signatures[0]), id="sender signs twice"),
    pytest.param(lambda e: e.signatures.append(e.signatures[1]), id="countersigned twice by the same"),
    pytest.param(lambda e: e.signatures[0].CopyFrom(OTHER.envelope.signatures[0]), id="signature of another envelope"),
    pytest.param(lambda e: setattr(e.signatures[0], "signature", bytes(64)), id="signature of zeros"),
    pytest.param(_sign_as(ATTACKER, ATTACKER), id="signed by another participant in his own name"),
    pytest.param(_sign_as(INVESTIGATOR, ATTACKER), id="signed by another participant in the sender's name"),
    pytest.param(_sign_as("ee/node", "ee/node"), id="signed by the sender's node"),
    pytest.param(_resign_with_domain, id="signed as if it were a statement"),
    pytest.param(lambda e: setattr(e.signatures[0], "key_id", bytes(16)), id="key id that nobody has"),
    pytest.param(lambda e: setattr(e.signatures[1], "signer", "ee/court"), id="countersignature under another name"),
]


@pytest.mark.parametrize("change", FORGERIES)
def test_forged_envelope_is_refused(change: Callable[[pb.SignedEnvelope], object]) -> None:
    verify(REQUEST.envelope)
    refused(ErrorCode.BAD_SIGNATURE, lambda: verify(altered(REQUEST, change)))


@given(st.integers(0, len(REQUEST.envelope.header) * 8 - 1))
def test_header_with_one_bit_flipped_is_refused(bit: int) -> None:
    header = bytearray(REQUEST.envelope.header)
    header[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refusal) as caught:
        verify(altered(REQUEST, lambda e: setattr(e, "header", bytes(header))))
    # A changed date may be one at which the key was not valid yet.
    assert caught.value.code in {ErrorCode.MALFORMED, ErrorCode.BAD_SIGNATURE, ErrorCode.KEY_REVOKED}


def test_sender_who_signs_with_a_key_of_his_that_the_header_does_not_name_is_refused() -> None:
    second = world.signing_entry("second key")
    one = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
    both = one.model_copy(update={"signing_keys": (*one.signing_keys, second)})
    directory = world.make_directory([both, world.participant(CENTRAL, Role.CENTRAL_AUTHORITY)])
    forged = altered(REQUEST, _sign_as(INVESTIGATOR, "second key"))
    refused(ErrorCode.BAD_SIGNATURE, lambda: verify(forged, directory.signing_key))


@pytest.mark.parametrize("who", [INVESTIGATOR, CENTRAL])
@pytest.mark.parametrize(
    ("validity", "valid"),
    [
        pytest.param({"not_before": NOW}, True, id="valid from this moment"),
        pytest.param({"not_before": NOW + timedelta(microseconds=1)}, False, id="valid a moment later"),
        pytest.param({"not_after": NOW}, False, id="expired this moment"),
        pytest.param({"not_after": NOW + timedelta(microseconds=1)}, True, id="expired a moment later"),
        pytest.param({"not_trusted_after": NOW}, False, id="revoked this moment"),
        pytest.param({"not_trusted_after": NOW + timedelta(microseconds=1)}, True, id="revoked a moment later"),
    ],
)
def test_key_must_be_valid_when_the_header_was_made(who: str, validity: dict[str, datetime], valid: bool) -> None:
    known = world.everybody()
    known[who] = known[who].model_copy(update={"signing_keys": (world.signing_entry(who, **validity),)})
    directory = world.make_directory(known.values())
    if valid:
        verify(REQUEST.envelope, directory.signing_key)
    else:
        refused(ErrorCode.KEY_REVOKED, lambda: verify(REQUEST.envelope, directory.signing_key))


def test_attacker_who_seals_the_same_body_anew_is_shown_under_his_own_name() -> None:
    body = opened(world.send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, ATTACKER).envelope, ATTACKER).body
    stolen = world.send(ids.KIND_FREEZE_REQUEST, ATTACKER, FOREIGN_CENTRAL, body=body)
    read = opened(stolen.envelope)
    assert (read.header.sender, read.ref.sender) == (ATTACKER, ATTACKER)


def test_sealed_content_of_the_victim_under_an_attackers_header_is_refused() -> None:
    victim = world.send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, ATTACKER)
    _, content = content_of(victim, ATTACKER)
    name = name_of(ATTACKER)
    slot = pb.SlotContent(content_key=bytes(32), envelope=name)
    committed = content.salt, content.body
    stolen = sealed(content.SerializeToString(), bytes(32), slot, FOREIGN_CENTRAL, name, committed)
    refused(ErrorCode.CONTENT_MISMATCH, lambda: opened(stolen.envelope))


def test_slot_and_payload_of_the_victim_under_an_attackers_header_are_refused() -> None:
    slot, content = content_of(REQUEST)
    stolen = sealed(content.SerializeToString(), slot.content_key, slot, FOREIGN_CENTRAL, name_of(ATTACKER))
    refused(ErrorCode.CANNOT_OPEN, lambda: opened(stolen.envelope))


def test_copied_slots_and_payload_under_an_attackers_header_are_refused() -> None:
    name = name_of(ATTACKER)
    dummy = sealed(b"", bytes(32), b"x" * 60, FOREIGN_CENTRAL, name)

    def copy(signed: pb.SignedEnvelope) -> None:
        signed.sealed_payload = REQUEST.envelope.sealed_payload
        signed.slots[0].CopyFrom(REQUEST.envelope.slots[0])
        header = dummy.header
        header.payload_digest = sha256(signed.sealed_payload).digest()
        header.slots_digest = envelope.slots_digest(signed.slots)
        signed.header = header.SerializeToString()
        signed.signatures[0].CopyFrom(
            signature.sign(Domain.ENVELOPE, signed.header, ATTACKER, world.signing_key(ATTACKER))
        )

    stolen = altered(dummy, copy)
    verify(stolen)
    refused(ErrorCode.CANNOT_OPEN, lambda: opened(stolen))


def test_envelope_replayed_to_another_reader_does_not_open() -> None:
    refused(ErrorCode.CANNOT_OPEN, lambda: opened(REQUEST.envelope, ATTACKER))
    keys = [world.sealing_key(FOREIGN_CENTRAL)]
    refused(ErrorCode.CANNOT_OPEN, lambda: envelope.open_envelope(REQUEST.envelope, ATTACKER, keys))
    refused(ErrorCode.CANNOT_OPEN, lambda: envelope.open_envelope(REQUEST.envelope, FOREIGN_CENTRAL, []))


def _content(name: ids.EnvelopeRef) -> pb.SealedContent:
    return pb.SealedContent(
        envelope=name, kind=ids.KIND_FREEZE_REQUEST, recipients=[FOREIGN_CENTRAL], salt=bytes(32), body=b"body"
    )


def _without_salt(content: pb.SealedContent) -> bytes:
    content.ClearField("salt")
    return content.SerializeToString()


def _with(content: pb.SealedContent, field: str, value: object) -> bytes:
    setattr(content, field, value)
    return content.SerializeToString()


def _with_recipients(content: pb.SealedContent, *recipients: str) -> bytes:
    del content.recipients[:]
    content.recipients.extend(recipients)
    return content.SerializeToString()


def _with_name(content: pb.SealedContent, name: ids.EnvelopeRef) -> bytes:
    content.envelope.CopyFrom(name)
    return content.SerializeToString()


CONTENTS = [
    pytest.param(lambda c: _with_name(c, REQUEST.ref), id="sealed for another envelope"),
    pytest.param(
        lambda c: _with_name(c, ids.EnvelopeRef(sender=INVESTIGATOR, id=c.envelope.id)), id="sealed by another sender"
    ),
    pytest.param(lambda c: _with(c, "kind", ids.KIND_DRAFT), id="sealed for another kind"),
    pytest.param(lambda c: _with_recipients(c, ATTACKER), id="sealed for another recipient"),
    pytest.param(lambda c: _with_recipients(c, FOREIGN_CENTRAL, ATTACKER), id="sealed for one recipient more"),
    pytest.param(lambda c: _with(c, "body", b"another"), id="commitment to another body"),
    pytest.param(lambda c: _with(c, "salt", bytes(31)), id="salt cut short"),
    pytest.param(_without_salt, id="no salt"),
    pytest.param(lambda c: c.SerializeToString() + b"\xf0\x07\x01", id="unknown field"),
    pytest.param(lambda c: b"\x10\x01" + c.SerializeToString(), id="kind twice"),
    pytest.param(lambda c: b"\xff", id="no content at all"),
]


@pytest.mark.parametrize("make", CONTENTS)
def test_content_that_contradicts_its_header_is_refused(make: Callable[[pb.SealedContent], bytes]) -> None:
    name = name_of(ATTACKER)
    slot = pb.SlotContent(content_key=bytes(32), envelope=name)
    forged = sealed(make(_content(name)), bytes(32), slot, FOREIGN_CENTRAL, name)
    refused(ErrorCode.CONTENT_MISMATCH, lambda: opened(forged.envelope))


SLOTS = [
    pytest.param(lambda name: b"\xff" * 60, id="no slot content"),
    pytest.param(lambda name: pb.SlotContent(content_key=bytes(32)), id="slot names no envelope"),
    pytest.param(lambda name: pb.SlotContent(content_key=bytes(32), envelope=REQUEST.ref), id="slot of another"),
    pytest.param(lambda name: pb.SlotContent(content_key=bytes(31), envelope=name), id="content key cut short"),
    pytest.param(lambda name: pb.SlotContent(content_key=b"\1" * 32, envelope=name), id="another content key"),
]


@pytest.mark.parametrize("make", SLOTS)
def test_slot_that_does_not_fit_is_refused(make: Callable[[ids.EnvelopeRef], pb.SlotContent | bytes]) -> None:
    name = name_of(ATTACKER)
    forged = sealed(_content(name).SerializeToString(), bytes(32), make(name), FOREIGN_CENTRAL, name)
    refused(ErrorCode.CANNOT_OPEN, lambda: opened(forged.envelope))


@pytest.mark.parametrize("part", ["sealed_payload", "slot"])
def test_ciphertext_with_one_bit_flipped_does_not_open(part: str) -> None:
    def flip(signed: pb.SignedEnvelope) -> None:
        if part == "slot":
            signed.slots[0].sealed = signed.slots[0].sealed[:-1] + bytes([signed.slots[0].sealed[-1] ^ 1])
        else:
            signed.sealed_payload = signed.sealed_payload[:-1] + bytes([signed.sealed_payload[-1] ^ 1])

    refused(ErrorCode.CANNOT_OPEN, lambda: opened(altered(REQUEST, flip)))


def test_court_without_any_key_checks_what_the_sender_committed_to() -> None:
    envelope.check_commitment(REQUEST.header, REQUEST.salt, b"the request")
    for salt, body in ((REQUEST.salt, b"another"), (bytes(32), b"the request"), (REQUEST.salt + b"t", b"he request")):
        with pytest.raises(Refusal) as caught:
            envelope.check_commitment(REQUEST.header, salt, body)
        assert caught.value.code is ErrorCode.CONTENT_MISMATCH


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(REQUEST.envelope.header + b"\xf0\x07\x01", id="unknown field"),
        pytest.param(b"\x08\x01" + REQUEST.envelope.header, id="version twice"),
        pytest.param(b"\x08\x81\x00" + REQUEST.envelope.header[2:], id="version in two bytes"),
        pytest.param(REQUEST.envelope.header[2:] + REQUEST.envelope.header[:2], id="version last"),
        pytest.param(b"", id="empty"),
    ],
)
def test_header_that_is_not_in_its_one_encoding_is_malformed_however_well_signed(raw: bytes) -> None:
    signed = signature.sign(Domain.ENVELOPE, raw, INVESTIGATOR, world.signing_key(INVESTIGATOR))

    def change(envelope_: pb.SignedEnvelope) -> None:
        envelope_.header = raw
        envelope_.signatures[0].CopyFrom(signed)

    forged = altered(REQUEST, change)
    refused(ErrorCode.MALFORMED, lambda: verify(forged))
    refused(ErrorCode.MALFORMED, lambda: opened(forged))


def _set(path: str, value: object) -> Callable[[pb.SignedEnvelope], object]:
    def change(signed: pb.SignedEnvelope) -> None:
        where, _, name = path.rpartition(".")
        part = {"": signed, "slot": signed.slots[0], "signature": signed.signatures[0]}[where]
        setattr(part, name, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_set("header", b"h"), id="header"),
        pytest.param(_set("sealed_payload", b"p"), id="payload"),
        pytest.param(_set("slot.key_id", b"k"), id="slot's key id"),
        pytest.param(_set("slot.sealed", b"s"), id="slot's content"),
        pytest.param(lambda e: e.slots.append(pb.Slot()), id="slot more"),
        pytest.param(lambda e: e.slots.pop(), id="slot less"),
        pytest.param(_set("signature.signer", "ee/other"), id="signer"),
        pytest.param(_set("signature.key_id", b"k"), id="signature's key id"),
        pytest.param(_set("signature.signature", b"s"), id="signature"),
        pytest.param(lambda e: e.signatures[0].batch.SetInParent(), id="batch path"),
        pytest.param(lambda e: e.signatures.pop(), id="signature less"),
        pytest.param(lambda e: e.signatures.append(pb.Signature()), id="signature more"),
        pytest.param(lambda e: e.signatures.reverse(), id="signatures in another order"),
    ],
)
def test_fingerprint_is_of_every_part(change: Callable[[pb.SignedEnvelope], object]) -> None:
    assert envelope.fingerprint(altered(REQUEST, change)) != REQUEST.fingerprint
    assert envelope.fingerprint(altered(REQUEST, lambda e: None)) == REQUEST.fingerprint


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.binary(min_size=10, max_size=10))  # noqa: DTZ001  made aware below
def test_id_is_a_uuid_of_version_7_and_tells_its_millisecond(moment: datetime, chance: bytes) -> None:
    now = moment.replace(tzinfo=NOW.tzinfo)
    made = UUID(envelope.new_id(now, lambda size: chance[:size]))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=NOW.tzinfo)) // timedelta(milliseconds=1)


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_the_time_they_were_made(one: bytes, two: bytes) -> None:
    earlier = envelope.new_id(NOW, lambda size: one)
    later = envelope.new_id(NOW + timedelta(milliseconds=1), lambda size: two)
    assert earlier < later


@pytest.mark.parametrize(
    "letter",
    [
        pytest.param({"case_id": ""}, id="no case"),
        pytest.param({"case_id": "a/b"}, id="case id that is none"),
        pytest.param({"measures": (0,)}, id="no measure"),
        pytest.param({"traceparent": "x"}, id="traceparent that is none"),
        pytest.param({"kind_": 99}, id="unknown kind"),
        pytest.param({"recipients_": ()}, id="nobody"),
        pytest.param({"recipients_": (FOREIGN_CENTRAL, FOREIGN_CENTRAL)}, id="the same twice"),
    ],
)
def test_letter_that_breaks_a_rule_is_not_even_composed(letter: dict[str, object]) -> None:
    fields = dict(letter)
    kind = fields.pop("kind_", ids.KIND_DRAFT)
    recipients = fields.pop("recipients_", (FOREIGN_CENTRAL,))
    assert isinstance(recipients, tuple)
    refused(ErrorCode.MALFORMED, lambda: world.send(kind, INVESTIGATOR, *recipients, **fields))  # type: ignore[arg-type]


def test_secrets_are_not_shown() -> None:
    read = opened(REQUEST.envelope)
    assert "the request" not in repr(read)
    assert repr(read.salt) not in repr(read)


# Many at once


def drafts(count: int, **changes: Any) -> list[Draft]:
    fields: dict[str, Any] = {"kind": ids.KIND_DRAFT, "sender": INVESTIGATOR, "recipients": (CENTRAL,)}
    reader = bytes(world.sealing_key(CENTRAL).public_key)
    return [
        Draft(Letter(**{**fields, "case_id": f"EE-{n}", **changes}), b"body %d" % n, (reader,)) for n in range(count)
    ]


def composed(made: Sequence[Draft]) -> list[Composed]:
    key = world.signing_key(INVESTIGATOR)
    return envelope.compose_many(made, signing_key=key, now=NOW, random=random)


@pytest.mark.parametrize(
    ("count", "batches"), [(0, []), (1, [0]), (2, [2, 2]), (65, [64] * 64 + [0]), (70, [64] * 64 + [6] * 6)]
)
def test_many_are_signed_a_frames_worth_at_a_time_and_each_verifies_alone(count: int, batches: list[int]) -> None:
    made = composed(drafts(count))
    assert [each.envelope.signatures[0].batch.size for each in made] == batches
    assert len({each.envelope.signatures[0].signature for each in made}) == -(-count // 64)
    for number, each in enumerate(made):
        alone = pb.SignedEnvelope.FromString(each.envelope.SerializeToString())
        envelope.verify(alone, envelope.parse_header(alone), DIRECTORY.signing_key)
        read = opened(alone, CENTRAL)
        assert (read.body, read.header.case_id) == (b"body %d" % number, f"EE-{number}")


def test_one_signature_is_not_put_under_two_senders_names() -> None:
    with pytest.raises(Refusal) as caught:
        composed([*drafts(1), *drafts(1, sender=world.COURT)])
    assert caught.value.code is ErrorCode.MALFORMED


def test_one_letter_that_breaks_a_rule_is_signed_with_nobody() -> None:
    with pytest.raises(Refusal) as caught:
        composed([*drafts(2), *drafts(1, case_id="no such case")])
    assert caught.value.code is ErrorCode.MALFORMED


def test_signatures_over_one_header_are_checked_over_one_copy_of_it() -> None:
    signed = world.freeze_request(countersigned_by=(CENTRAL, world.COURT, world.EXCHANGE)).envelope
    header = envelope.parse_header(signed)
    left = envelope.checks(signed, header, envelope.digests(signed), DIRECTORY.signing_key)
    assert len(left) == 4
    assert len({id(check.message) for check in left}) == 1
