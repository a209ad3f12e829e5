"""Who and what is put out.

In: a registrar's signed revocation. Out: a list that says so. One registrar suffices: to be quick counts here, and
what one puts out needs several to come in again. Refuses with NOT_PERMITTED, BAD_SIGNATURE, KEY_REVOKED, REVOKED,
STALE, NOT_FOUND and MALFORMED. The identical revocation again is answered as the first time and does nothing: it cannot
be replayed on somebody who was taken in again since.

What cannot be undone takes two: that what a key signed long ago counts for nothing, orders and receipts among it. One
registrar's word on that reaches `LONE_REACH` back at once, and is kept; once another one says the same of the same key,
it counts whole.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1 import envelope_pb2 as envelopes

from gateway import codec
from gateway.authenticate import Peer
from gateway.clock import from_micros, to_micros
from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, certificate_fingerprint
from gateway.printable import is_visible
from gateway.registry import roll
from gateway.registry.desk import Desk, counts
from gateway.signature import Domain
from gateway.store.registry import StoredRevocation

_PARTICIPANT: Final = "participant"
_KEY: Final = "key_id"
_CERTIFICATE: Final = "certificate"

LONE_REACH: Final = timedelta(hours=72)
"""So far back can one registrar have a key distrusted, and so long does his word wait for another's. A theft is noticed
within a long weekend; further back, a stolen registrar's keys could void every order that a court ever signed."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """What came of a revocation.

    Args:
        list_version: version of the list that says it.
        short_of: tells what another registrar has to say too; None if all of it is in force.
    """

    list_version: int
    short_of: Refusal | None


def revoke(desk: Desk, peer: Peer, request: pb.RevokeRequest) -> Revoked:
    """Take a revocation; refuses as the module says."""
    desk.check_registrar(peer)
    revocation = codec.parse(pb.Revocation, request.revocation)
    if revocation.registrar != str(peer.address):
        raise _not_permitted("registrar", "a registrar revokes in its own name")
    desk.check_fresh(revocation.at_us, "at_us")
    digest = sha256(request.revocation).digest()
    before = desk.record.revocation(digest)
    if before is not None:
        return Revoked(before.list_version, _short_of(desk, revocation))
    desk.check_signed(Domain.REVOCATION, request.revocation, request.signature, peer.address)
    _check_sense(desk, revocation)
    address = _address(desk, revocation)
    if revocation.WhichOneof("what") == _CERTIFICATE and not address.is_node:
        revocation.certificate = _fingerprint(desk, address, revocation.certificate)
    _check_not_itself(desk, peer, request, revocation)
    change = _of_the_node if address.is_node else _of_a_participant
    desk.change(change(desk, address, revocation))
    made = StoredRevocation(
        digest=digest,
        address=revocation.address,
        revocation=request.revocation,
        signature=request.signature.SerializeToString(deterministic=True),
        list_version=desk.base.version,
    )
    desk.record.add_revocation(made)
    return Revoked(made.list_version, _short_of(desk, revocation))


def _check_sense(desk: Desk, revocation: pb.Revocation) -> None:
    what = revocation.WhichOneof("what")
    if what is None or (what == _PARTICIPANT and not revocation.participant):
        raise _malformed("what", "a participant, a key or a certificate is revoked")
    if not is_visible(revocation.reason):
        raise _malformed("reason", "a reason is printable, and can be seen")
    moment = revocation.not_trusted_after_us
    if moment and what != _KEY:
        raise _malformed("not_trusted_after_us", "only a key has such a moment")
    if not 0 <= moment <= desk.record.now_us:
        raise _malformed("not_trusted_after_us", "it lies in the future; a revoked key is not trusted from now on")


def _address(desk: Desk, revocation: pb.Revocation) -> Address:
    try:
        address = Address.parse(revocation.address, allow_node=True)
    except Refusal as error:
        raise _malformed("address", error.detail) from error
    if address.node != desk.code:
        raise _not_permitted("address", f"this node revokes what is of {desk.code} alone")
    return address


def _check_not_itself(desk: Desk, peer: Peer, request: pb.RevokeRequest, revocation: pb.Revocation) -> None:
    """Refuse to let a registrar put out what it acts with: the last one would leave nobody to undo it."""
    if revocation.address != str(peer.address):
        return
    acting = {
        _PARTICIPANT: True,
        _KEY: revocation.key_id == request.signature.key_id,
        _CERTIFICATE: peer.certificate_fingerprint in _of_its_key(desk, peer.address, revocation.certificate),
    }
    if acting[revocation.WhichOneof("what") or _PARTICIPANT]:
        raise _not_permitted("address", "a registrar does not revoke what it acts with; another one has to")


def _fingerprint(desk: Desk, address: Address, given: bytes) -> bytes:
    """Return by what a certificate is known that somebody names so, or by the SHA-256 of all of it, as is customary.

    Raises:
        Refusal: NOT_PERMITTED, NOT_FOUND, MALFORMED: it would put nobody out, though it seems to.
    """
    if not roll.entry_of(desk.listed, address).signing_keys:
        detail = f"{address} renews by its certificate alone, and so could a thief have done; revoke all of it"
        raise _not_permitted("certificate", detail)
    live = desk.record.certificates_of(str(address), desk.record.now_us)
    whole = (each for each in live if sha256(each.certificate).digest() == given)
    known = desk.record.certificate(given) or next(whole, None)
    if known is None and desk.record.was_enrolled(str(address)):
        detail = f"no such certificate of {address} was issued here, or it has expired; if in doubt, revoke all of it"
        raise Refusal(ErrorCode.NOT_FOUND, detail, "certificate")
    if known is not None and known.address != str(address):
        raise _malformed("certificate", f"it is a certificate of {known.address}")
    return given if known is None else known.fingerprint


def _of_its_key(desk: Desk, address: Address, fingerprint: bytes) -> frozenset[bytes]:
    """Return a certificate and all others of its key that count still: whoever has the key can show any of them."""
    known = desk.record.certificate(fingerprint)
    live = desk.record.certificates_of(str(address), desk.record.now_us) if known is not None else []
    same = (each.fingerprint for each in live if known is not None and each.key_digest == known.key_digest)
    return frozenset({fingerprint, *same})


def _moment(desk: Desk, revocation: pb.Revocation) -> datetime:
    """Return from when on a key is not trusted: as is said, or as far back as one registrar can say it."""
    said = from_micros(revocation.not_trusted_after_us or desk.record.now_us)
    alone = desk.now - LONE_REACH
    return said if said >= alone or _is_seconded(desk, revocation) else alone


def _is_seconded(desk: Desk, revocation: pb.Revocation) -> bool:
    """Whether another registrar, who counts still, has said the same a short time ago."""
    for stored in desk.record.revocations_of(revocation.address, to_micros(desk.now - LONE_REACH)):
        other = pb.Revocation.FromString(stored.revocation)
        signed = envelopes.Signature.FromString(stored.signature)
        if (
            (other.address, other.key_id, other.not_trusted_after_us)
            == (revocation.address, revocation.key_id, revocation.not_trusted_after_us)
            and other.registrar != revocation.registrar
            and counts(desk.listed, other.registrar, Domain.REVOCATION, stored.revocation, signed)
        ):
            return True
    return False


def _short_of(desk: Desk, revocation: pb.Revocation) -> Refusal | None:
    """Return what is not in force of a revocation, by the list as it is now."""
    if revocation.WhichOneof("what") != _KEY or not revocation.not_trusted_after_us:
        return None
    address = Address.parse(revocation.address, allow_node=True)
    if address.is_node:
        listed = desk.listed.signing_keys
    else:
        entry = roll.entry_of(desk.listed, address)
        listed = (*entry.signing_keys, *entry.sealing_keys)
    key = roll.find_key(listed, revocation.key_id)
    found = None if key is None else key.not_trusted_after
    if found is None or found <= from_micros(revocation.not_trusted_after_us):
        return None
    hours = LONE_REACH // timedelta(hours=1)
    detail = (
        f"it counts from {found:%Y-%m-%d %H:%M:%S} UTC on; an earlier moment than {hours} hours ago takes another "
        f"registrar who says the same within {hours} hours"
    )
    return Refusal(ErrorCode.FOUR_EYES, detail, "not_trusted_after_us")


def _of_a_participant(desk: Desk, address: Address, revocation: pb.Revocation) -> ParticipantList:
    match revocation.WhichOneof("what"):
        case "key_id":
            return roll.distrust_key(desk.listed, address, revocation.key_id, _moment(desk, revocation))
        case "certificate":
            return roll.distrust_certificates(desk.listed, address, _of_its_key(desk, address, revocation.certificate))
        case _:
            return roll.put_out(desk.listed, address, desk.now)


def _of_the_node(desk: Desk, address: Address, revocation: pb.Revocation) -> ParticipantList:
    """Revoke what is the node's own: a stolen key or certificate of it, once there is another."""
    match revocation.WhichOneof("what"):
        case "key_id":
            listed = roll.distrust_node_key(desk.listed, desk.founders, revocation.key_id, _moment(desk, revocation))
            if not any(key.valid_at(desk.now) for key in roll.node_keys(listed, desk.founders)):
                raise _not_permitted("key_id", "it is the last valid key of the node; list another one first")
            return listed
        case "certificate":
            leaf = x509.load_pem_x509_certificate(desk.material.identity.chain_pem)
            whole = sha256(leaf.public_bytes(Encoding.DER)).digest()
            if revocation.certificate in (certificate_fingerprint(leaf), whole):
                raise _not_permitted("certificate", "the node serves with it; give it another one first")
            return roll.distrust_node_certificate(desk.listed, revocation.certificate)
        case _:
            raise _not_permitted("address", f"only the founders put out {address}")


def _malformed(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, field)


def _not_permitted(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.NOT_PERMITTED, detail, field)
