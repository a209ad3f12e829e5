"""Invitations and applications.

In: a registrar's wish, or an application with its code and proofs. Out: a one-time code; an application that waits for
registrars. Refuses with ENROLMENT_CODE, BAD_PROOF, MALFORMED (an LEI by the rule of its format), NOT_PERMITTED, STALE.

A code is used up in the transaction that keeps the application, so it serves once, whatever fails. The identical
application again is answered as the first time: its sender may not have heard the answer. Whoever has no code gets no
further than a look at an index, and one answer whether a code is unknown, used, or too old.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from nacl.public import PrivateKey
from rogatory.v1 import enrolment_pb2 as pb

from gateway import codec
from gateway.authenticate import Peer
from gateway.clock import from_micros, to_micros
from gateway.config import Registry
from gateway.directory import Status
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.formats import lei
from gateway.identity import Address, Role
from gateway.printable import is_visible
from gateway.registry import proofs, roll
from gateway.registry.certify import key_digest
from gateway.registry.codes import code_digest, new_code
from gateway.registry.desk import MADE_WITHIN, Desk, present, registrar
from gateway.signature import Domain
from gateway.store.registry import RegistryView, StoredInvitation

MAX_OPEN_INVITATIONS: Final = 64
"""Of one registrar: nobody can use up what is for the others."""

MAX_PENDING_APPLICATIONS: Final = 256
"""More than registrars can look at. A stolen registrar's certificate must not fill the store."""

RETRY_SECONDS: Final = 60.0

KEYLESS: Final = frozenset({Role.OPERATOR, Role.AUDITOR})
"""They send and open nothing, so they have a certificate and no keys."""

GUARDED: Final = frozenset({Role.EXCHANGE, Role.REGISTRAR})
"""Several registrars approve them: a lone one who makes a second one would be four eyes by himself."""

_WITHIN_US: Final = MADE_WITHIN // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Checked:
    """An application whose proofs are right, as far as it tells itself. Made by `check` alone.

    Args:
        id: SHA-256 of its bytes.
        code_digest: of the code that came with it.
        message: what it says.
        newcomer: the same, read.
        tls_key: of its certificate request.
        raw: its bytes.
        proof: what proves it.
    """

    id: bytes
    code_digest: bytes
    message: pb.Application
    newcomer: roll.Newcomer
    tls_key: EllipticCurvePublicKey
    raw: bytes
    proof: bytes


def needs_keys(roles: Iterable[Role]) -> bool:
    """Whether somebody of these roles signs and opens."""
    return not frozenset(roles) <= KEYLESS


def approvals_needed(registry: Registry, roles: Iterable[Role]) -> int:
    """Return how many registrars have to approve somebody of these roles."""
    if GUARDED & frozenset(roles):
        return max(registry.approvals_of_exchange, registry.approvals)
    return registry.approvals


def read_roles(texts: Sequence[str]) -> frozenset[Role]:
    """Return the roles that somebody is to have.

    Raises:
        Refusal: MALFORMED, none or several, unknown ones, or a node.
    """
    known = {role.value: role for role in Role if role is not Role.NODE}
    for position, text in enumerate(texts):
        if text not in known or text in texts[:position]:
            raise _malformed(f"roles[{position}]", "an unknown role, or one twice")
    roles = frozenset(known[text] for text in texts)
    if len(roles) != 1:
        # The procedure is held by several parties: a court and central authority in one hand could order alone.
        raise _malformed("roles", "a participant is enrolled with one role")
    return roles


def read_address(text: str, code: str) -> Address:
    """Return the address of a participant of this node.

    Raises:
        Refusal: MALFORMED; NOT_PERMITTED, it is of another node.
    """
    try:
        address = Address.parse(text)
    except Refusal as error:
        raise _malformed("address", error.detail) from error
    if address.node != code:
        raise Refusal(ErrorCode.NOT_PERMITTED, f"this node registers participants of {code} alone", "address")
    return address


def invite(desk: Desk, peer: Peer, request: pb.InviteRequest) -> tuple[str, int]:
    """Make a code; return it, and until when it counts.

    Raises:
        Refusal: NOT_PERMITTED, REVOKED, MALFORMED; TOO_LARGE, the node's list is full.
        Failure: OVERLOADED, too many of the registrar's are open.
    """
    desk.check_registrar(peer)
    address, roles = read_address(request.address, desk.code), read_roles(request.roles)
    check_free(desk, address)
    desk.check_room(desk.listed)
    since_us = to_micros(roll.readmitted_at(present(desk.listed, peer)))
    if desk.record.open_invitations(str(peer.address), since_us, desk.record.now_us) >= MAX_OPEN_INVITATIONS:
        raise _too_many("MAX_OPEN_INVITATIONS", MAX_OPEN_INVITATIONS)
    code = new_code(desk.random)
    expires_at_us = desk.record.now_us + timedelta(hours=desk.registry.code_hours) // timedelta(microseconds=1)
    desk.record.add_invitation(
        StoredInvitation(
            code_digest=code_digest(code),
            address=str(address),
            roles=frozenset(role.value for role in roles),
            made_by=str(peer.address),
            made_at_us=desk.record.now_us,
            expires_at_us=expires_at_us,
        )
    )
    return code, expires_at_us


def look(view: RegistryView, request: pb.ApplyRequest, now_us: int) -> bool:
    """Look whether a code is good, before anything costs work; return whether this application was taken before.

    Raises:
        Refusal: ENROLMENT_CODE.
    """
    found = view.invitation(code_digest(request.code))
    if found is not None and found.application_id == sha256(request.application).digest():
        return True
    if found is None or found.application_id is not None or found.expires_at_us <= now_us:
        detail = "this code is wrong, was used, or has expired; ask the registrar for another one"
        raise Refusal(ErrorCode.ENROLMENT_CODE, detail, "code")
    return False


def check(request: pb.ApplyRequest, code: str, federation: str, proof_private: PrivateKey) -> Checked:
    """Check all of an application that it tells by itself.

    Args:
        request: as it came.
        code: the node's.
        federation: the federation's domain.
        proof_private: the node's proof key.

    Raises:
        Refusal: MALFORMED, with the rule if it is the LEI's; ENROLMENT_CODE; BAD_PROOF; NOT_PERMITTED.
    """
    message = codec.parse(pb.Application, request.application)
    digest = code_digest(request.code)
    if not hmac.compare_digest(message.code_digest, digest):
        raise _not_for("code_digest", "the application was made for another code")
    address, roles = read_address(message.address, code), read_roles(message.roles)
    if message.federation != federation:
        raise _not_for("federation", f"this is a node of {federation}")
    if not is_visible(message.legal_name) or message.legal_name != message.legal_name.strip():
        raise _malformed("legal_name", "a name is printable, without spaces around it")
    _check_lei(message.lei, roles)
    _check_keys(request, message, address, roles, proof_private)
    tls_key = proofs.check_request(message.certificate_request, address, federation)
    newcomer = roll.Newcomer(address, roles, message.legal_name, message.lei, message.signing_key, message.sealing_key)
    proof = pb.ApplyRequest(sealing_proof=request.sealing_proof)
    if request.HasField("signature"):
        proof.signature.CopyFrom(request.signature)
    application_id = sha256(request.application).digest()
    return Checked(application_id, digest, message, newcomer, tls_key, request.application, proof.SerializeToString())


def take(desk: Desk, checked: Checked, request: pb.ApplyRequest) -> None:
    """Keep an application and use up its code.

    Raises:
        Refusal: ENROLMENT_CODE, NOT_PERMITTED, BAD_PROOF, STALE.
        Failure: OVERLOADED, too many wait.
    """
    if look(desk.record, request, desk.record.now_us):
        return
    invitation = desk.record.invitation(checked.code_digest)
    if invitation is None or not _counts(desk, invitation):
        raise _not_for("code", "the registrar who made this code is one no longer")
    if checked.message.address != invitation.address:
        raise _not_for("address", "this code is for another address")
    if frozenset(checked.message.roles) != invitation.roles:
        raise _not_for("roles", "this code is for other roles")
    made_at_us = checked.message.made_at_us
    if not invitation.made_at_us - _WITHIN_US <= made_at_us <= desk.record.now_us + _WITHIN_US:
        detail = f"made before its code or after now; by this node it is {desk.now:%Y-%m-%d %H:%M:%S} UTC"
        raise Refusal(ErrorCode.STALE, detail, "made_at_us")
    check_admissible(desk, checked.newcomer, checked.tls_key)
    if desk.record.pending_applications() >= MAX_PENDING_APPLICATIONS:
        raise _too_many("MAX_PENDING_APPLICATIONS", MAX_PENDING_APPLICATIONS)
    desk.record.add_application(checked.id, checked.message.address, checked.raw, checked.proof)
    desk.record.use_invitation(checked.code_digest, checked.id)


def check_admissible(desk: Desk, newcomer: roll.Newcomer, tls_key: EllipticCurvePublicKey) -> None:
    """Check what others' keys and addresses decide: asked when somebody applies, and again when it is let in.

    Raises:
        Refusal: NOT_PERMITTED, the address is in use; BAD_PROOF, a key is known.
    """
    check_free(desk, newcomer.address)
    desk.check_unknown("signing_key", newcomer.signing_key)
    desk.check_unknown("sealing_key", newcomer.sealing_key)
    desk.check_certifiable(key_digest(tls_key), newcomer.address)


def check_free(desk: Desk, address: Address) -> None:
    """Check that an address can be enrolled.

    Raises:
        Refusal: NOT_PERMITTED, somebody has it, or had it with certificates that nobody knows here.
    """
    entry = roll.find(desk.listed, address)
    if entry is None:
        return
    if entry.status is Status.ACTIVE:
        raise Refusal(ErrorCode.NOT_PERMITTED, f"{address} is in use; it has to be revoked first", "address")
    if not desk.record.was_enrolled(str(address)):
        detail = f"certificates of {address} were issued elsewhere, and would let their holder in again; take another"
        raise Refusal(ErrorCode.NOT_PERMITTED, detail, "address")


def _counts(desk: Desk, invitation: StoredInvitation) -> bool:
    """Whether its registrar still is one, and was not put out since he made it."""
    entry = registrar(desk.listed, invitation.made_by)
    return entry is not None and from_micros(invitation.made_at_us) >= roll.readmitted_at(entry)


def _check_keys(
    request: pb.ApplyRequest, message: pb.Application, address: Address, roles: frozenset[Role], proof: PrivateKey
) -> None:
    if not needs_keys(roles):
        brought = message.signing_key or message.sealing_key or request.sealing_proof
        if brought or request.HasField("signature"):
            raise _malformed("signing_key", "operators and auditors have no keys for envelopes")
        return
    for name, public in (("signing_key", message.signing_key), ("sealing_key", message.sealing_key)):
        if len(public) != 32:  # noqa: PLR2004  Ed25519 and X25519 public keys alike
            raise _malformed(name, "a public key has 32 bytes")
    proofs.check_for_one_use(message.signing_key, message.sealing_key)
    proofs.check_signing_proof(Domain.APPLICATION, request.application, request.signature, address, message.signing_key)
    proofs.check_sealing_proof(request.sealing_proof, message.sealing_key, proof, request.application)


def _check_lei(text: str, roles: frozenset[Role]) -> None:
    if not text and Role.EXCHANGE not in roles:
        return
    try:
        lei.lei(text, "lei")
    except Refusal as error:
        raise Refusal(ErrorCode.MALFORMED, error.detail, "lei", rule=error.rule) from error


def _not_for(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.ENROLMENT_CODE, detail, field)


def _malformed(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, field)


def _too_many(name: str, most: int) -> Failure:
    return Failure(ErrorCode.OVERLOADED, f"as many wait as {name} = {most} allows", name, RETRY_SECONDS)
