"""What registrars say of an application, and what it comes to.

In: a registrar's signed decision over the application's digest. Out: where the application stands; with the last
approval its certificate and its entry in the node's list. Refuses with NOT_PERMITTED, BAD_SIGNATURE, KEY_REVOKED,
STALE, NOT_FOUND, FOUR_EYES, TOO_LARGE and ILLEGAL_TRANSITION; a last approval that cannot let in is not kept either.

A decision names the application by the digest of all of it, so no key of it can be exchanged between one registrar's
look and another's, nor afterwards in the store, which is in more hands than the keys: what it gives back is proven
anew. Those count who are registrars when the last one approves: whoever was put out meanwhile does not, also if
somebody, perhaps himself, has come in again at his address since; who decides anew.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1 import envelope_pb2

from gateway import codec
from gateway.authenticate import Peer
from gateway.config import Registry
from gateway.directory import ParticipantList
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.printable import is_visible
from gateway.registry import proofs, roll
from gateway.registry.applying import approvals_needed, check_admissible, read_roles
from gateway.registry.desk import Desk, counts
from gateway.signature import Domain
from gateway.store.registry import ApplicationState, RegistryView, StoredApplication, StoredDecision


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an application has come.

    Args:
        state: where it stands.
        approvals: registrars that have approved it and count.
        needed: registrars that have to.
        reason: why it was rejected.
    """

    state: ApplicationState
    approvals: int
    needed: int
    reason: str = ""


def decide(desk: Desk, peer: Peer, signed: pb.SignedDecision) -> Standing:
    """Take a registrar's decision; refuses as the module says."""
    desk.check_registrar(peer)
    decision = codec.parse(pb.Decision, signed.decision)
    if decision.registrar != str(peer.address):
        raise Refusal(ErrorCode.NOT_PERMITTED, "a registrar decides in its own name", "registrar")
    found = _application(desk, decision.application_id)
    own = [each for each in desk.record.decisions(found.id) if each.registrar == decision.registrar]
    if all(each.decision != signed.decision for each in own):
        if [*_counting(desk.listed, own, found.id)]:
            raise Refusal(ErrorCode.FOUR_EYES, f"{decision.registrar} has decided on it already", "registrar")
        _check(desk, peer, signed, decision, found)
        _take(desk, signed, decision, found)
    return standing(desk.record, desk.registry, desk.listed, _application(desk, found.id))


def standing(view: RegistryView, registry: Registry, listed: ParticipantList, found: StoredApplication) -> Standing:
    """Return how far an application has come."""
    stored = view.decisions(found.id)
    said = [pb.Decision.FromString(each.decision) for each in stored]
    reason = next((each.reason for each in said if not each.approved), "")
    needed = _needed(registry, pb.Application.FromString(found.application))
    if found.state is ApplicationState.APPROVED:
        return Standing(found.state, len({each.registrar for each in said if each.approved}), needed)
    return Standing(found.state, _approvals(listed, stored, found.id), needed, reason)


def _check(desk: Desk, peer: Peer, signed: pb.SignedDecision, decision: pb.Decision, found: StoredApplication) -> None:
    desk.check_signed(Domain.DECISION, signed.decision, signed.signature, peer.address)
    desk.check_fresh(decision.at_us, "at_us")
    if (decision.reason or not decision.approved) and not is_visible(decision.reason):
        raise Refusal(ErrorCode.MALFORMED, "a reason is printable, and can be seen", "reason")
    if found.address == decision.registrar:
        raise Refusal(ErrorCode.FOUR_EYES, "nobody decides on an application for its own address", "registrar")
    if found.state is not ApplicationState.PENDING:
        raise Refusal(ErrorCode.ILLEGAL_TRANSITION, f"it is {found.state.value} already", "application_id")


def _take(desk: Desk, signed: pb.SignedDecision, decision: pb.Decision, found: StoredApplication) -> None:
    proof = signed.signature.SerializeToString(deterministic=True)
    made = StoredDecision(
        registrar=decision.registrar,
        key_id=signed.signature.key_id,
        decision=signed.decision,
        signature=proof,
        received_at_us=desk.record.now_us,
    )
    desk.record.add_decision(found.id, made)
    if not decision.approved:
        desk.record.settle(found.id, ApplicationState.REJECTED)
        return
    application = pb.Application.FromString(found.application)
    if _approvals(desk.listed, desk.record.decisions(found.id), found.id) >= _needed(desk.registry, application):
        _let_in(desk, found.id, application)


def _let_in(desk: Desk, application_id: bytes, application: pb.Application) -> None:
    address = Address.parse(application.address)
    newcomer = roll.Newcomer(
        address=address,
        roles=read_roles(application.roles),
        legal_name=application.legal_name,
        lei=application.lei,
        signing_key=application.signing_key,
        sealing_key=application.sealing_key,
    )
    tls_key = proofs.check_request(application.certificate_request, address, desk.federation)
    # Again: since it was handed in, somebody else may have come in with such a key.
    check_admissible(desk, newcomer, tls_key)
    live = frozenset(
        each.fingerprint.hex() for each in desk.record.certificates_of(application.address, desk.record.now_us)
    )
    fingerprint = desk.certify(tls_key, address)
    desk.record.settle(application_id, ApplicationState.APPROVED, fingerprint)
    desk.grow(roll.admit(desk.listed, newcomer, desk.now, live))


def _approvals(listed: ParticipantList, said: Iterable[StoredDecision], about: bytes) -> int:
    """Count the registrars who said yes, are registrars still, and whose key is not found to have been another's."""
    return len({decision.registrar for decision in _counting(listed, said, about) if decision.approved})


def _counting(listed: ParticipantList, said: Iterable[StoredDecision], about: bytes) -> Iterator[pb.Decision]:
    """Yield the decisions on an application that count still."""
    for each in said:
        decision = pb.Decision.FromString(each.decision)
        signed = envelope_pb2.Signature.FromString(each.signature)
        is_it = (decision.registrar, decision.application_id) == (each.registrar, about)
        if is_it and counts(listed, each.registrar, Domain.DECISION, each.decision, signed):
            yield decision


def _needed(registry: Registry, application: pb.Application) -> int:
    return approvals_needed(registry, read_roles(application.roles))


def _application(desk: Desk, application_id: bytes) -> StoredApplication:
    found = desk.record.application(application_id)
    if found is None:
        raise Refusal(ErrorCode.NOT_FOUND, "there is no such application", "application_id")
    if sha256(found.application).digest() != found.id:
        raise Failure(ErrorCode.STORE, "the application in the store is not the one that its id names")
    return found
