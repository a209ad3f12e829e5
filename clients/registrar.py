"""A registrar: who is invited, who becomes a participant, and who or what is out.

In: a participant with the role of a registrar, inside `async with`. Out: invitations, applications as they can be
believed, signed decisions and revocations. What is signed is the digest of the application's very bytes, and what is
shown was read from these bytes here: a node that shows one thing and has another signed is refused with BAD_PROOF.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

import grpc.aio
from google.protobuf.message import Message
from pydantic import ValidationError as PydanticError
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import RegistryStub

from clients.invitation import Invitation
from clients.participant import Participant
from gateway import codec, signature
from gateway.clock import from_micros, to_micros, told_moment
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.registry import proofs
from gateway.signature import Domain
from gateway.transport import error_of

ATTEMPT_SECONDS: Final = 15.0
MAX_APPLICATIONS: Final = 256
MAX_DECISIONS: Final = 32
"""Of one application; nodes want eight at most."""

M = TypeVar("M", bound=Message)

_ABOUT: Final = "application"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a registrar has said of an application; its signature holds."""

    registrar: str
    approved: bool
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """An application as its bytes say it.

    Args:
        application_id: the SHA-256 of the bytes; this is what a decision is about.
        application: what they say.
        state: where the node says it stands.
        verdicts: of registrars, proven.
        approvals_needed: how many have to approve it.
        received: when the node says that it came.
    """

    application_id: bytes
    application: pb.Application
    state: pb.ApplicationState.ValueType
    verdicts: tuple[Verdict, ...]
    approvals_needed: int
    received: datetime

    @property
    def key_ids(self) -> dict[str, str]:
        """The ids of its keys, as the directory will have them: what the applicant can read out on the telephone."""
        named = {"signing": self.application.signing_key, "sealing": self.application.sealing_key}
        return {name: signature.key_id(public).hex() for name, public in named.items() if public}


@dataclass(frozen=True, slots=True)
class Progress:
    """What a decision came to."""

    state: pb.ApplicationState.ValueType
    approvals: int
    approvals_needed: int


class Registrar:
    """What one registrar can do.

    Args:
        participant: it, inside `async with`.
    """

    def __init__(self, participant: Participant) -> None:
        self._me = participant

    async def invite(
        self, address: Address, roles: Sequence[Role], *, root: str, repository: str, repository_ca: str = ""
    ) -> Invitation:
        """Have a one-time code made; return what goes, with it, to whoever is to apply.

        Args:
            address: of the future participant.
            roles: what it is to be.
            root: TUF root metadata that it is to trust, JSON.
            repository: where it finds the directory.
            repository_ca: vouches for that server, PEM.

        Raises:
            Refusal: what the node's rule says, e.g. NOT_PERMITTED.
            Failure: the node could not now.
        """
        request = pb.InviteRequest(address=str(address), roles=sorted(role.value for role in roles))
        response = await self._call(lambda stub: stub.Invite(request, timeout=ATTEMPT_SECONDS))
        directory = self._me.directory
        node = directory.node(address.node)
        try:
            return Invitation(
                federation=directory.federation,
                address=address,
                roles=tuple(roles),
                code=response.code,
                expires=from_micros(response.expires_at_us),
                endpoint=response.endpoint,
                node=node.endpoint,
                node_ca=node.ca,
                proof_key=response.proof_key,
                root=root,
                repository=repository,
                repository_ca=repository_ca,
            )
        except (PydanticError, OverflowError):
            # `from None`: what does not fit may be the code.
            raise Refusal(ErrorCode.BAD_PROOF, "the node's answer is no invitation", "invitation") from None

    async def applications(self, *, decided: bool = False) -> list[Applied]:
        """Return the applications that wait, or all; the newest first.

        Raises:
            Refusal: BAD_PROOF, an application is not what the node says it is.
        """
        request = pb.ListApplicationsRequest(all=decided)
        response = await self._call(lambda stub: stub.ListApplications(request, timeout=ATTEMPT_SECONDS))
        return [self._read(entry) for entry in response.applications[:MAX_APPLICATIONS]]

    async def find(self, beginning: str) -> Applied:
        """Return the application, decided or not, whose id begins so.

        Raises:
            Refusal: NOT_FOUND, there is none, or more than one.
        """
        # Of all, the node shows the newest: one that has waited for long stands among those that wait.
        listed = [*await self.applications(), *await self.applications(decided=True)]
        alike = {each.application_id: each for each in listed if each.application_id.hex().startswith(beginning)}
        found = [*alike.values()]
        if len(found) != 1:
            raise Refusal(ErrorCode.NOT_FOUND, f"{len(found) or 'no'} applications have an id that begins so", "id")
        return found[0]

    async def decide(self, applied: Applied, *, approved: bool, reason: str = "") -> Progress:
        """Sign a decision about an application and hand it in; the same again is answered as the first time.

        Raises:
            Refusal: FOUR_EYES, we have decided otherwise before; NOT_PERMITTED, e.g. about ourselves.
            Failure: the node could not now.
        """
        # The same decision at another time would be another one, and be refused.
        before = next((each for each in applied.verdicts if each.registrar == self._me.address), None)
        same = before is not None and (before.approved, before.reason) == (approved, reason)
        at = before.at if before is not None and same else self._me.parts.clock()
        decision = pb.Decision(
            application_id=applied.application_id,
            registrar=self._me.address,
            approved=approved,
            reason=reason,
            at_us=to_micros(at),
        )
        codec.check(decision, ErrorCode.BAD_INPUT)
        raw = decision.SerializeToString(deterministic=True)
        signed = pb.SignedDecision(
            decision=raw, signature=signature.sign(Domain.DECISION, raw, self._me.address, self._me.signing_key)
        )
        request = pb.DecideRequest(decision=signed)
        response = await self._call(lambda stub: stub.Decide(request, timeout=ATTEMPT_SECONDS))
        return Progress(response.state, response.approvals, response.approvals_needed)

    async def revoke_participant(self, address: Address, reason: str) -> int:
        """Put a participant out, with all that it has; return the version of the node's list that says so.

        Raises:
            Refusal: NOT_FOUND, NOT_PERMITTED.
            Failure: the node could not now.
        """
        return await self._revoke(pb.Revocation(address=str(address), participant=True, reason=reason))

    async def revoke_key(
        self, address: Address, key_id: bytes, reason: str, not_trusted_after: datetime | None = None
    ) -> int:
        """Put one key out; what it signed from an instant on, by default from now on, does not count.

        Raises:
            Refusal: BAD_INPUT, that is before 1970; NOT_FOUND; NOT_PERMITTED; FOUR_EYES, another one has to agree.
            Failure: the node could not now.
        """
        micros = 0 if not_trusted_after is None else to_micros(not_trusted_after)
        if not_trusted_after is not None and micros <= 0:
            # To the node, 0 is none, so from now on: the opposite of what is meant by it.
            raise Refusal(ErrorCode.BAD_INPUT, "a time after 1970 is wanted", "not_trusted_after")
        revocation = pb.Revocation(address=str(address), key_id=key_id, not_trusted_after_us=micros, reason=reason)
        return await self._revoke(revocation)

    async def revoke_certificate(self, address: Address, fingerprint: bytes, reason: str) -> int:
        """Put one certificate out, by the SHA-256 of its DER."""
        return await self._revoke(pb.Revocation(address=str(address), certificate=fingerprint, reason=reason))

    async def _revoke(self, revocation: pb.Revocation) -> int:
        revocation.registrar = self._me.address
        revocation.at_us = to_micros(self._me.parts.clock())
        codec.check(revocation, ErrorCode.BAD_INPUT)
        raw = revocation.SerializeToString(deterministic=True)
        signed = signature.sign(Domain.REVOCATION, raw, self._me.address, self._me.signing_key)
        request = pb.RevokeRequest(revocation=raw, signature=signed)
        response = await self._call(lambda stub: stub.Revoke(request, timeout=ATTEMPT_SECONDS))
        return response.list_version

    def _read(self, entry: pb.ApplicationEntry) -> Applied:
        """Read an application from its bytes; the node's word is taken for where it stands alone."""
        raw, directory = entry.application, self._me.directory
        if sha256(raw).digest() != entry.application_id:
            raise _bad("the id of an application is not that of its bytes")
        application = codec.parse(pb.Application, raw, ErrorCode.BAD_PROOF)
        address = Address.parse(application.address)
        if application.federation != directory.federation or address.node != self._me.parts.address.node:
            raise _bad(f"{address} of {application.federation} cannot apply here")
        proofs.check_request(application.certificate_request, address, directory.federation)
        if len(entry.decisions) > MAX_DECISIONS:
            raise _bad(f"more than {MAX_DECISIONS} decisions on one application")
        return Applied(
            application_id=entry.application_id,
            application=application,
            state=entry.state,
            verdicts=tuple(
                verdict
                for each in entry.decisions
                if (verdict := self._verdict(each, entry.application_id)) is not None
            ),
            approvals_needed=entry.approvals_needed,
            received=_moment(entry.received_at_us),
        )

    def _verdict(self, signed: pb.SignedDecision, application_id: bytes) -> Verdict | None:
        """Return what a registrar said; None if it was said with a key that has been put out since: nobody did."""
        said = codec.parse(pb.Decision, signed.decision, ErrorCode.BAD_PROOF)
        at = _moment(said.at_us)
        if said.application_id != application_id or signed.signature.signer != said.registrar:
            raise _bad("a decision is about something else, or of somebody else")
        try:
            key = self._me.directory.signing_key(said.registrar, signed.signature.key_id, at)
        except Refusal as error:
            if error.code is ErrorCode.KEY_REVOKED:
                return None
            raise
        signature.verify(Domain.DECISION, signed.decision, signed.signature, key)
        return Verdict(said.registrar, said.approved, said.reason, at)

    async def _call(self, ask: Callable[[RegistryStub], Awaitable[M]]) -> M:
        with self._me.channel() as channel:
            try:
                return await ask(RegistryStub(channel))
            except grpc.aio.AioRpcError as error:
                raise error_of(error) from error


def _moment(micros: int) -> datetime:
    return told_moment(micros, ErrorCode.BAD_PROOF, _ABOUT)


def _bad(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_PROOF, detail, _ABOUT)
