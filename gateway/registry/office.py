"""The registry at work: the rules, each in one transaction, and what follows once it is on disk.

In: requests as the doors took them, and who brought them. Out: answers. After each change of the node's list the node
looks at it at once, so that whoever is out is out here before the registrar has its answer; then it is offered to the
publisher. Refuses as the rules do (`applying`, `deciding`, `renewing`, `revoking`).
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1 import envelope_pb2 as envelopes

from gateway.authenticate import Peer
from gateway.clock import Clock, from_micros, to_micros
from gateway.config import NodeConfig, Registry
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.material import NodeMaterial
from gateway.registry import applying, deciding, renewing, revoking, roll
from gateway.registry.deciding import Standing
from gateway.registry.desk import Base, Desk, base_of, check_registrar
from gateway.registry.keys import RegistryKeys
from gateway.store import Reader, Transaction, Writer
from gateway.store.registry import NEW_LIST, ApplicationState, RegistryView, StoredApplication, StoredList
from gateway.trust.client import Trusted
from gateway.trust.lists import SignedList
from gateway.trust.roles import lifetime, node_role

T = TypeVar("T")

MAX_LISTED_APPLICATIONS: Final = 256

_STATES: Final = {
    ApplicationState.PENDING: pb.APPLICATION_STATE_PENDING,
    ApplicationState.APPROVED: pb.APPLICATION_STATE_APPROVED,
    ApplicationState.REJECTED: pb.APPLICATION_STATE_REJECTED,
}

diagnostics = logging.getLogger("gateway.registry")


@dataclass(frozen=True, slots=True)
class _Read:
    """The list that was read last, and from what."""

    metadata: bytes | None
    trusted: Trusted
    base: Base


class Office:
    """A node's registry.

    Args:
        config: the node's settings, with a registry.
        keys: what it signs with.
        material: what the node is and knows now.
        look: lets the node look at its own list at once.
        offer: passes the newest list on to the publisher; returns as soon as it has taken it, and takes one twice.
        writer: of the store.
        reader: of the store.
        clock: time.
        random: so many random bytes.
        watch: told each stage of a change as it is passed; a crash test kills the process there.
    """

    def __init__(
        self,
        config: NodeConfig,
        keys: RegistryKeys,
        material: Callable[[], NodeMaterial],
        look: Callable[[], Awaitable[None]],
        offer: Callable[[SignedList], Awaitable[None]],
        writer: Writer,
        reader: Reader,
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        if config.registry is None:
            raise ValueError("a node without a registry has no office")
        self._registry: Final[Registry] = config.registry
        self._code = config.node
        self._keys = keys
        self._material = material
        self._look = look
        self._offer = offer
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._random = random
        self._watch = watch
        self._working: set[asyncio.Task[Any]] = set()
        self._read: _Read | None = None
        # Of the Enrolment door, for invitations.
        self.endpoint = config.registry.endpoint or config.registry.listen or ""

    # For everybody

    @property
    def proof_key(self) -> bytes:
        """The public key to which sealing keys are proven."""
        return bytes(self._keys.proof.public_key)

    async def apply(self, request: pb.ApplyRequest) -> pb.ApplyResponse:
        """Take an application; refuses as `applying` does."""
        now_us = to_micros(self._clock())
        known = await self._reader.registry(lambda view: applying.look(view, request, now_us))
        if not known:
            federation = self._material().directory.federation
            checked = applying.check(request, self._code, federation, self._keys.proof)
            await self._change(lambda desk: applying.take(desk, checked, request))
        application = pb.Application.FromString(request.application)
        needed = applying.approvals_needed(self._registry, applying.read_roles(application.roles))
        return pb.ApplyResponse(application_id=sha256(request.application).digest(), approvals_needed=needed)

    async def outcome(self, application_id: bytes) -> pb.GetOutcomeResponse:
        """Tell how far an application has come.

        Raises:
            Refusal: NOT_FOUND.
        """
        return await self._reader.registry(lambda view: self._outcome(view, application_id))

    # For participants

    async def renew(self, peer: Peer, request: pb.RenewRequest) -> pb.RenewResponse:
        """Renew keys and certificate; refuses as `renewing` does."""

        def work(desk: Desk) -> pb.RenewResponse:
            made = renewing.renew(desk, peer, request)
            chain = self._chain(desk.record, made.certificate) if made.certificate is not None else b""
            return pb.RenewResponse(certificate_chain=chain, keys_valid_from_us=made.keys_valid_from_us)

        return await self._change(work)

    # For registrars

    async def invite(self, peer: Peer, request: pb.InviteRequest) -> pb.InviteResponse:
        """Make a one-time code; refuses as `applying.invite` does.

        Raises:
            Failure: UNAVAILABLE, nobody could apply with it.
        """
        if not self.endpoint:
            raise Failure(ErrorCode.UNAVAILABLE, "this node has no registry.listen, so nobody can apply", "endpoint")
        code, expires_at_us = await self._change(lambda desk: applying.invite(desk, peer, request))
        return pb.InviteResponse(
            code=code, expires_at_us=expires_at_us, endpoint=self.endpoint, proof_key=self.proof_key
        )

    async def applications(self, peer: Peer, request: pb.ListApplicationsRequest) -> pb.ListApplicationsResponse:
        """Show applications to a registrar.

        Raises:
            Refusal: NOT_PERMITTED, REVOKED.
        """

        def ask(view: RegistryView) -> pb.ListApplicationsResponse:
            base = self._base(view)
            check_registrar(base.listed, peer, self._code)
            found = view.applications(MAX_LISTED_APPLICATIONS, pending_only=not request.all)
            return pb.ListApplicationsResponse(applications=[self._entry(view, base, each) for each in found])

        return await self._reader.registry(ask)

    async def decide(self, peer: Peer, request: pb.DecideRequest) -> pb.DecideResponse:
        """Take a decision; refuses as `deciding` does."""
        found = await self._change(lambda desk: deciding.decide(desk, peer, request.decision))
        return pb.DecideResponse(state=_STATES[found.state], approvals=found.approvals, approvals_needed=found.needed)

    async def revoke(self, peer: Peer, request: pb.RevokeRequest) -> pb.RevokeResponse:
        """Put out who or what a registrar says; refuses as `revoking` does."""
        made = await self._change(lambda desk: revoking.revoke(desk, peer, request))
        if made.short_of is not None:
            raise made.short_of
        return pb.RevokeResponse(list_version=made.list_version)

    # For the node itself

    async def add_node_key(self, public: bytes) -> datetime:
        """List a further signing key of the node itself; return from when it is valid. Listed again, it stays as it is.

        Raises:
            Refusal: BAD_PROOF, it is somebody else's.
        """

        def work(desk: Desk) -> datetime:
            for key in roll.node_keys(desk.listed, desk.founders):
                if key.public == public:
                    return key.not_before
            desk.check_unknown("signing_keys", public)
            not_before = desk.now + timedelta(seconds=desk.registry.notice_seconds)
            overlap = timedelta(seconds=desk.registry.overlap_seconds)
            desk.change(roll.renew_node(desk.listed, desk.founders, roll.NewKeys(public, b"", not_before, overlap)))
            return not_before

        return await self._change(work)

    async def move_node(self, endpoint: str) -> None:
        """List where the node is reached from now on, unless that is said already."""
        await self._change(lambda desk: desk.change(roll.moved(desk.listed, desk.founders, endpoint)))

    async def keep_list(self) -> None:
        """Sign the list anew if half of its life is over or its news got lost, and offer what is not published yet.

        Cheap if there is nothing to do: to be called again and again.
        """
        material = self._material()

        def look(view: RegistryView) -> tuple[bool, StoredList | None]:
            stored = view.newest_list()
            return self._is_due(self._base(view), stored, material), stored

        def sign(desk: Desk) -> None:
            # Asked again: another process of this node may have done it meanwhile.
            if self._is_due(desk.base, desk.record.newest_list(), material):
                desk.sign(desk.listed)

        due, stored = await self._reader.registry(look)
        if due:
            await self._change(sign)
        elif stored is not None and stored.version > material.trusted.version(node_role(self._code)):
            await self._offer(self._signed(stored))

    async def close(self) -> None:
        """Finish what is in work; before the writer is closed."""
        await asyncio.gather(*self._working, return_exceptions=True)

    # How

    async def _change(self, rule: Callable[[Desk], T]) -> T:
        """Run a rule in one transaction; whoever asked may go away meanwhile, what follows a commit is done."""

        def job(txn: Transaction) -> tuple[T, SignedList | None]:
            record, material = txn.registry, self._material()
            base = self._base(record, material.trusted)
            desk = Desk(record, self._registry, material, self._keys, self._random, base)
            result = rule(desk)
            if desk.signed is not None:
                txn.wake.add(NEW_LIST)
            self._watch("changed")
            return result, desk.signed

        return await self._to_its_end(self._write(job))

    async def _write(self, job: Callable[[Transaction], tuple[T, SignedList | None]]) -> T:
        result, signed = await self._writer.write(job)
        if signed is not None:
            self._watch("listed")
            await self._tell(signed)
            self._watch("offered")
        return result

    async def _tell(self, signed: SignedList) -> None:
        for step in (self._look, lambda: self._offer(signed)):
            try:
                await step()
            except Exception:  # noqa: BLE001  logged whole
                # It is on disk, and will be looked at and offered again: no failure of what was asked.
                diagnostics.exception("a new list is not everywhere yet")

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return await asyncio.shield(task)

    def _base(self, view: RegistryView, trusted: Trusted | None = None) -> Base:
        trusted = trusted or self._material().trusted
        # Whoever polls for an outcome must not make us read a long list each time. What the metadata is, its list is:
        # it bears the list's digest. A version alone would not do, for a commit can fail after a job has read it.
        metadata = view.newest_metadata()
        read = self._read
        if read is None or read.metadata != metadata or read.trusted is not trusted:
            read = self._read = _Read(metadata, trusted, base_of(view.newest_list(), trusted, self._code))
        return read.base

    def _signed(self, stored: StoredList) -> SignedList:
        return SignedList(self._code, stored.version, stored.metadata, stored.content)

    def _is_due(self, base: Base, stored: StoredList | None, material: NodeMaterial) -> bool:
        if not base.version:
            return False
        if not base.is_signed:
            return True
        role, now = node_role(self._code), self._clock()
        if stored is not None and stored.version == base.version:
            return now - from_micros(stored.made_at_us) > lifetime(role) / 2
        ages = (age for age in material.trusted.ages if age.role == role)
        return any(age.expires - now < lifetime(role) / 2 for age in ages)

    def _outcome(self, view: RegistryView, application_id: bytes) -> pb.GetOutcomeResponse:
        found = view.application(application_id)
        if found is None:
            raise Refusal(ErrorCode.NOT_FOUND, "there is no such application", "application_id")
        standing = self._standing(view, self._base(view), found)
        return pb.GetOutcomeResponse(
            state=_STATES[standing.state],
            approvals=standing.approvals,
            approvals_needed=standing.needed,
            reason=standing.reason,
            certificate_chain=self._chain(view, found.certificate) if found.certificate is not None else b"",
        )

    def _standing(self, view: RegistryView, base: Base, found: StoredApplication) -> Standing:
        return deciding.standing(view, self._registry, base.listed, found)

    def _entry(self, view: RegistryView, base: Base, found: StoredApplication) -> pb.ApplicationEntry:
        standing = self._standing(view, base, found)
        return pb.ApplicationEntry(
            application_id=found.id,
            application=found.application,
            state=_STATES[found.state],
            decisions=[
                pb.SignedDecision(decision=each.decision, signature=envelopes.Signature.FromString(each.signature))
                for each in view.decisions(found.id)
            ],
            approvals_needed=standing.needed,
            received_at_us=found.received_at_us,
        )

    def _chain(self, view: RegistryView, fingerprint: bytes) -> bytes:
        stored = view.certificate(fingerprint)
        if stored is None:
            raise Failure(ErrorCode.STORE, "a certificate is not there")
        leaf = x509.load_der_x509_certificate(stored.certificate)
        return leaf.public_bytes(Encoding.PEM) + self._keys.authority.pem
