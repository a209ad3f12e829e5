"""Who and what is put out.

In: a registrar's signed revocation. Out: a list that says so. One registrar suffices: to be quick counts here, and
what one puts out needs several to come in again. Refuses with NOT_PERMITTED, BAD_SIGNATURE, KEY_REVOKED, STALE,
NOT_FOUND and MALFORMED. The identical revocation again is answered as the first time and does nothing: it cannot be
replayed on somebody who was taken in again since.
"""

from hashlib import sha256
from typing import Final

from cryptography import x509
from rogatory.v1 import enrolment_pb2 as pb

from gateway import codec
from gateway.authenticate import Peer
from gateway.clock import from_micros
from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, certificate_fingerprint
from gateway.registry import roll
from gateway.registry.desk import Desk
from gateway.signature import Domain
from gateway.store.registry import StoredRevocation

_PARTICIPANT: Final = "participant"
_KEY: Final = "key_id"
_CERTIFICATE: Final = "certificate"


def revoke(desk: Desk, peer: Peer, request: pb.RevokeRequest) -> int:
    """Take a revocation; return the version of the list that says it. Refuses as the module says."""
    desk.check_registrar(peer)
    revocation = codec.parse(pb.Revocation, request.revocation)
    if revocation.registrar != str(peer.address):
        raise _not_permitted("registrar", "a registrar revokes in its own name")
    desk.check_fresh(revocation.at_us, "at_us")
    digest = sha256(request.revocation).digest()
    before = desk.record.revocation(digest)
    if before is not None:
        return before.list_version
    desk.check_signed(Domain.REVOCATION, request.revocation, request.signature, peer.address)
    _check_sense(desk, revocation)
    address = _address(desk, revocation)
    _check_not_itself(peer, request, revocation)
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
    return made.list_version


def _check_sense(desk: Desk, revocation: pb.Revocation) -> None:
    what = revocation.WhichOneof("what")
    if what is None or (what == _PARTICIPANT and not revocation.participant):
        raise _malformed("what", "a participant, a key or a certificate is revoked")
    if not revocation.reason.isprintable():
        raise _malformed("reason", "a reason is printable")
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


def _check_not_itself(peer: Peer, request: pb.RevokeRequest, revocation: pb.Revocation) -> None:
    """Refuse to let a registrar put out what it acts with: the last one would leave nobody to undo it."""
    if revocation.address != str(peer.address):
        return
    acting = {
        _PARTICIPANT: True,
        _KEY: revocation.key_id == request.signature.key_id,
        _CERTIFICATE: revocation.certificate == peer.certificate_fingerprint,
    }
    if acting[revocation.WhichOneof("what") or _PARTICIPANT]:
        raise _not_permitted("address", "a registrar does not revoke what it acts with; another one has to")


def _of_a_participant(desk: Desk, address: Address, revocation: pb.Revocation) -> ParticipantList:
    match revocation.WhichOneof("what"):
        case "key_id":
            moment = from_micros(revocation.not_trusted_after_us or desk.record.now_us)
            return roll.distrust_key(desk.listed, address, revocation.key_id, moment)
        case "certificate":
            known = desk.record.certificate(revocation.certificate)
            if known is not None and known.address != str(address):
                raise _malformed("certificate", f"it is a certificate of {known.address}")
            return roll.distrust_certificate(desk.listed, address, revocation.certificate)
        case _:
            return roll.put_out(desk.listed, address, desk.now)


def _of_the_node(desk: Desk, address: Address, revocation: pb.Revocation) -> ParticipantList:
    """Revoke what is the node's own: a stolen key or certificate of it, once there is another."""
    match revocation.WhichOneof("what"):
        case "key_id":
            moment = from_micros(revocation.not_trusted_after_us or desk.record.now_us)
            listed = roll.distrust_node_key(desk.listed, desk.founders, revocation.key_id, moment)
            if not any(key.valid_at(desk.now) for key in roll.node_keys(listed, desk.founders)):
                raise _not_permitted("key_id", "it is the last valid key of the node; list another one first")
            return listed
        case "certificate":
            leaf = x509.load_pem_x509_certificate(desk.material.identity.chain_pem)
            if certificate_fingerprint(leaf) == revocation.certificate:
                raise _not_permitted("certificate", "the node serves with it; give it another one first")
            return roll.distrust_node_certificate(desk.listed, revocation.certificate)
        case _:
            raise _not_permitted("address", f"only the founders put out {address}")


def _malformed(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, field)


def _not_permitted(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.NOT_PERMITTED, detail, field)
