"""New certificates and keys of those who are in.

In: a participant's renewal over its own connection, signed by a key of its own that is valid and by the new one. Out: a
certificate, and new keys listed beside the present ones. Refuses with NOT_PERMITTED, STALE, BAD_SIGNATURE, KEY_REVOKED,
BAD_PROOF, REVOKED, MALFORMED and TOO_LARGE.

Three things have to come together: the TLS key of the connection, a listed signing key, and the new key itself. Who has
stolen one of them cannot make it into two. A new key is valid from some time after now on, when everybody will have
heard of it; the ones before stay valid for some time after that, so that nothing is refused in between. The identical
renewal again is answered as the first time, and a key that is listed for the same participant is not listed again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from rogatory.v1 import enrolment_pb2 as pb

from gateway import codec
from gateway.authenticate import Peer
from gateway.clock import to_micros
from gateway.directory import KeyEntry, ParticipantEntry
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.registry import proofs, roll
from gateway.registry.applying import needs_keys
from gateway.registry.certify import key_digest
from gateway.registry.desk import Desk, active, present
from gateway.signature import Domain, key_id
from gateway.store.registry import StoredRenewal

MAX_KEYS_IN_FORCE: Final = 8
"""Of one kind, of one participant. Everybody tries all of them, and none is ever taken out of the list."""

RETRY_SECONDS: Final = 60.0


def renew(desk: Desk, peer: Peer, request: pb.RenewRequest) -> StoredRenewal:
    """Take a renewal; refuses as the module says.

    Raises:
        Failure: OVERLOADED, too many keys or certificates are in force; UNAVAILABLE, the CA cannot sign.
    """
    renewal = codec.parse(pb.Renewal, request.renewal)
    if peer.address.is_node or peer.node != desk.code or renewal.address != str(peer.address):
        raise Refusal(ErrorCode.NOT_PERMITTED, "participants of this node renew their own keys alone", "address")
    entry = present(desk.listed, peer)
    desk.check_fresh(renewal.made_at_us, "made_at_us")
    digest = sha256(request.renewal).digest()
    before = desk.record.renewal(digest)
    if before is not None:
        return before
    _check_signed(desk, request, renewal, entry)
    valid_from = _list_keys(desk, request, renewal, entry)
    made = StoredRenewal(
        digest=digest,
        address=renewal.address,
        renewal=request.renewal,
        proof=_proof(request),
        certificate=_certify(desk, renewal, peer.address),
        keys_valid_from_us=to_micros(valid_from) if valid_from else 0,
    )
    desk.record.add_renewal(made)
    return made


def _check_signed(desk: Desk, request: pb.RenewRequest, renewal: pb.Renewal, entry: ParticipantEntry) -> None:
    """Check that it is asked for by who may: by a key that is listed."""
    keys = renewal.signing_key or renewal.sealing_key
    if not keys and not renewal.certificate_request:
        raise _malformed("certificate_request", "it asks for nothing")
    if not needs_keys(entry.roles):
        if keys or request.signatures or request.sealing_proof:
            raise _malformed("signing_key", "operators and auditors have no keys for envelopes")
        return
    wanted = 2 if renewal.signing_key else 1
    if len(request.signatures) != wanted:
        raise Refusal(ErrorCode.BAD_SIGNATURE, f"{wanted} signatures are wanted", "signatures")
    new = key_id(renewal.signing_key) if renewal.signing_key else b""
    by_old = [signed for signed in request.signatures if signed.key_id != new]
    if len(by_old) != 1:
        raise Refusal(ErrorCode.BAD_SIGNATURE, "one signature is by a key that is listed", "signatures")
    desk.check_signed(Domain.RENEWAL, request.renewal, by_old[0], entry.address)


def _list_keys(desk: Desk, request: pb.RenewRequest, renewal: pb.Renewal, entry: ParticipantEntry) -> datetime | None:
    """List what is new; return from when all of it is valid."""
    _check_possession(desk, request, renewal, entry.address)
    starts = [
        _listed_from(desk, "signing_key", renewal.signing_key, entry.signing_keys),
        _listed_from(desk, "sealing_key", renewal.sealing_key, entry.sealing_keys),
    ]
    not_before = desk.now + timedelta(seconds=desk.registry.notice_seconds)
    new = roll.NewKeys(
        signing_key=renewal.signing_key if starts[0] is None else b"",
        sealing_key=renewal.sealing_key if starts[1] is None else b"",
        not_before=not_before,
        overlap=timedelta(seconds=desk.registry.overlap_seconds),
    )
    if new.signing_key or new.sealing_key:
        desk.grow(roll.renew(desk.listed, entry.address, new))
        starts.append(not_before)
    return max((start for start in starts if start is not None), default=None)


def _check_possession(desk: Desk, request: pb.RenewRequest, renewal: pb.Renewal, address: Address) -> None:
    if renewal.signing_key:
        _check_length("signing_key", renewal.signing_key)
        by_new = next(one for one in request.signatures if one.key_id == key_id(renewal.signing_key))
        proofs.check_signing_proof(Domain.RENEWAL, request.renewal, by_new, address, renewal.signing_key)
    if renewal.sealing_key:
        _check_length("sealing_key", renewal.sealing_key)
        proofs.check_sealing_proof(request.sealing_proof, renewal.sealing_key, desk.keys.proof, request.renewal)
    elif request.sealing_proof:
        raise _malformed("sealing_proof", "a proof of a key that is not brought")
    signing = [renewal.signing_key, *(key.public for key in active(desk.listed, address).signing_keys)]
    for each in signing:
        proofs.check_for_one_use(each, renewal.sealing_key)
    for entry in active(desk.listed, address).sealing_keys:
        proofs.check_for_one_use(renewal.signing_key, entry.public)


def _listed_from(desk: Desk, field: str, public: bytes, own: Sequence[KeyEntry]) -> datetime | None:
    """Return from when a key that is brought is valid, if it is listed already; None if it is new, or none."""
    if not public:
        return None
    in_force = [key for key in own if key.not_after > desk.now and key.not_trusted_after is None]
    for key in in_force:
        if key.public == public:
            return key.not_before
    desk.check_unknown(field, public)
    if len(in_force) >= MAX_KEYS_IN_FORCE:
        name = "MAX_KEYS_IN_FORCE"
        detail = f"as many keys are in force as {name} = {MAX_KEYS_IN_FORCE} allows"
        raise Failure(ErrorCode.OVERLOADED, detail, name, RETRY_SECONDS)
    return None


def _certify(desk: Desk, renewal: pb.Renewal, address: Address) -> bytes | None:
    if not renewal.certificate_request:
        return None
    tls_key = proofs.check_request(renewal.certificate_request, address, desk.federation)
    desk.check_certifiable(key_digest(tls_key), address)
    return desk.certify(tls_key, address)


def _proof(request: pb.RenewRequest) -> bytes:
    proof = pb.RenewRequest(signatures=request.signatures, sealing_proof=request.sealing_proof)
    return proof.SerializeToString(deterministic=True)


def _check_length(field: str, public: bytes) -> None:
    if len(public) != 32:  # noqa: PLR2004  Ed25519 and X25519 public keys alike
        raise _malformed(field, "a public key has 32 bytes")


def _malformed(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, field)
