"""Becoming a participant: keys made on this machine, an application, and what the registrars' yes brings.

In: an invitation, a folder, who we are by name. Out: that folder as `rogatory check-config` wants it. Private keys
never leave it. Refuses with BAD_INPUT an application that is not the one that lies in the folder, BAD_PROOF a
certificate that is not of our key, and what the node refuses: ENROLMENT_CODE, BAD_PROOF, NOT_PERMITTED.

    DIR/signing.key sealing.key tls.key    made first
    DIR/application.bin                    written before it is sent: the same bytes again are the same application
    DIR/tls.pem root.json node-ca.pem home/
    DIR/participant.toml                   last: with it, everything is there

Whatever interrupts it, the same again goes on where it was. The node knows applications by their bytes; so these are
made once, and every proof can be made again from the keys.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip

import asyncio
import random as pseudorandom
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import grpc.aio
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import EnrolmentStub

from clients.connection import Pauses
from clients.invitation import Invitation
from clients.renewal import ATTEMPT_SECONDS, CURVE, MAX_CHAIN_BYTES
from gateway import codec, keys, private_files, settings_file
from gateway.clock import Clock, system_clock, to_micros
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.formats.lei import lei as check_lei
from gateway.hidden import Passphrase
from gateway.identity import Role
from gateway.registry import proofs
from gateway.registry.codes import code_digest
from gateway.signature import Domain, sign
from gateway.transport import applicant_channel, error_of

SETTINGS: Final = "participant.toml"
APPLICATION: Final = "application.bin"
CERTIFICATE: Final = "tls.pem"
ROOT: Final = "root.json"
NODE_CA: Final = "node-ca.pem"
REPOSITORY_CA: Final = "repository-ca.pem"
HOME: Final = "home"

MAX_APPLICATION_BYTES: Final = 8192
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0

WATCHERS: Final = frozenset({Role.OPERATOR, Role.AUDITOR})
"""They sign and open no envelopes, so they have a certificate alone."""

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Keyring:
    """What was made for one participant."""

    tls: ec.EllipticCurvePrivateKey = field(repr=False)
    signing: SigningKey | None = field(repr=False)
    sealing: PrivateKey | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far an application has come.

    Args:
        application_id: the SHA-256 of its bytes; the applicant tells it to the registrars by another way.
        state: where it stands.
        approvals: how many registrars have approved it.
        approvals_needed: how many have to.
        reason: why it was rejected.
        chain: the certificate and its CA, PEM, once approved.
    """

    application_id: bytes
    state: pb.ApplicationState.ValueType
    approvals: int
    approvals_needed: int
    reason: str = ""
    chain: bytes = b""


class Applicant:
    """Who has an invitation and wants to be a participant.

    Args:
        invitation: from a registrar.
        folder: everything of the participant's; made if missing.
        phrase: puts its keys under it; None leaves them plain.
        clock: time.
        chance: source of numbers from 0 to 1, for pauses.
    """

    def __init__(
        self,
        invitation: Invitation,
        folder: Path,
        phrase: Passphrase | None,
        *,
        clock: Clock = system_clock,
        chance: Callable[[], float] = pseudorandom.random,
    ) -> None:
        self.invitation = invitation
        self.folder = folder
        self._phrase = phrase
        self._clock = clock
        self._chance = chance

    @property
    def settings(self) -> Path:
        """The file of settings; once it is there, everything is."""
        return self.folder / SETTINGS

    def prepare(self, legal_name: str = "", lei: str = "") -> pb.Application:
        """Make keys and application, or find those that were made; nothing is sent.

        Args:
            legal_name: of the future participant; empty: as in the application that lies in the folder.
            lei: its ISO 17442 code, the same.

        Raises:
            Refusal: BAD_INPUT, the folder cannot be used or holds another application, or an exchange has no LEI;
                KEY_FILE.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _bad("folder", f"cannot make {self.folder}: {error.strerror}") from error
        path, made = self.folder / APPLICATION, None
        if path.exists():
            made = codec.parse(pb.Application, self._bytes(), ErrorCode.BAD_INPUT)
            legal_name, lei = legal_name or made.legal_name, lei or made.lei
        if lei or Role.EXCHANGE in self.invitation.roles:
            check_lei(lei, "lei")
        held = self._keyring()
        wanted = self._application(held, legal_name, lei)
        codec.check(wanted, ErrorCode.BAD_INPUT)
        if made is None:
            # On the disk before it is sent: the code is used up by these bytes, and other bytes would be refused.
            private_files.create(path, wanted.SerializeToString(deterministic=True))
            return wanted
        # Made at another time, and a signature of ECDSA is never the same twice; what counts is its key.
        wanted.made_at_us, wanted.certificate_request = made.made_at_us, made.certificate_request
        key = proofs.check_request(made.certificate_request, self.invitation.address, self.invitation.federation)
        if wanted != made or key != held.tls.public_key():
            raise _bad("folder", f"{path} is of another application; take another folder, or say what it says")
        return made

    async def apply(self) -> Outcome:
        """Send the application; again, if it was sent before.

        Raises:
            Refusal: what the node's rule says; BAD_INPUT, `prepare` has not been called.
            Failure: the node could not now.
        """
        try:
            return await self._apply(self._bytes())
        except Refusal as error:
            if error.code is not ErrorCode.STALE:
                raise
        # It was made long ago and never came there, else it would have been answered as it was then.
        await asyncio.to_thread(self._date_anew)
        return await self._apply(self._bytes())

    async def _apply(self, application: bytes) -> Outcome:
        held = await asyncio.to_thread(self._keyring)
        request = pb.ApplyRequest(application=application, code=self.invitation.code)
        if held.signing is not None:
            signed = sign(Domain.APPLICATION, application, str(self.invitation.address), held.signing)
            request.signature.CopyFrom(signed)
        if held.sealing is not None:
            request.sealing_proof = proofs.prove_sealing(held.sealing, self.invitation.proof_key, application)
        async with self._channel() as channel:
            try:
                response = await EnrolmentStub(channel).Apply(request, timeout=ATTEMPT_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise error_of(error) from error
        application_id = sha256(application).digest()
        if response.application_id != application_id:
            raise Refusal(ErrorCode.BAD_PROOF, "the node answers for another application", "application_id")
        return Outcome(application_id, pb.APPLICATION_STATE_PENDING, 0, response.approvals_needed)

    async def outcome(self) -> Outcome:
        """Ask how far the application has come.

        Raises:
            Refusal: NOT_FOUND, the node does not know it.
            Failure: the node could not now.
        """
        application_id = sha256(self._bytes()).digest()
        async with self._channel() as channel:
            return await self._outcome(EnrolmentStub(channel), application_id)

    async def wait(self, within: float, told: Callable[[Outcome], None] = lambda _: None) -> Outcome:
        """Return the outcome once the registrars have decided.

        Args:
            within: seconds to wait for that.
            told: hears of every change until then.

        Raises:
            Failure: UNAVAILABLE, they have not decided in time, or the node did not answer.
        """
        application_id = sha256(self._bytes()).digest()
        now = asyncio.get_running_loop().time
        deadline = now() + within
        pauses = Pauses(self._chance, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        seen: Outcome | None = None
        async with self._channel() as channel:
            while True:
                failure: Failure | None = None
                try:
                    found = await self._outcome(EnrolmentStub(channel), application_id)
                    if found.state in {pb.APPLICATION_STATE_APPROVED, pb.APPLICATION_STATE_REJECTED}:
                        return found
                    if found != seen:
                        told(found)
                    seen = found
                except Failure as error:
                    failure = error
                pause = pauses.next(failure)
                if now() + pause > deadline:
                    raise failure or Failure(ErrorCode.UNAVAILABLE, "the registrars have not decided yet; ask again")
                await asyncio.sleep(pause)

    def finish(self, outcome: Outcome, passphrase_file: Path | None = None) -> Path:
        """Write certificate, root and settings; return the settings' file.

        Args:
            outcome: an approved one.
            passphrase_file: for the settings to name, if the keys are under the passphrase in it.

        Raises:
            Refusal: BAD_PROOF, the certificate is not of our key; KEY_FILE, a file cannot be written.
        """
        held = self._keyring()
        chain = outcome.chain
        if not 0 < len(chain) <= MAX_CHAIN_BYTES or tls.read_leaf(chain).public_key() != held.tls.public_key():
            raise Refusal(ErrorCode.BAD_PROOF, "the node's answer is no certificate of our key", "certificate")
        try:
            (self.folder / HOME).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _bad("folder", f"cannot write {self.folder}: {error.strerror}") from error
        self._put(CERTIFICATE, chain)
        self._put(ROOT, self.invitation.root.encode())
        self._put(NODE_CA, self.invitation.node_ca.encode())
        if self.invitation.repository_ca:
            self._put(REPOSITORY_CA, self.invitation.repository_ca.encode())
        self._put(SETTINGS, self._toml(held, passphrase_file).encode())
        return self.settings

    # What lies in the folder

    def _keyring(self) -> Keyring:
        phrase, watches = self._phrase, set(self.invitation.roles) <= WATCHERS

        def kept(name: str, load: Callable[[Path, Passphrase | None], K], save: Callable[[Path], None]) -> K:
            path = self.folder / name
            if not path.exists():
                save(path)
            return load(path, phrase)

        return Keyring(
            tls=kept(
                "tls.key",
                keys.load_tls_key,
                lambda path: keys.save_tls_key(path, ec.generate_private_key(CURVE), phrase),
            ),
            signing=None
            if watches
            else kept(
                "signing.key",
                keys.load_signing_key,
                lambda path: keys.save_signing_key(path, SigningKey.generate(), phrase),
            ),
            sealing=None
            if watches
            else kept(
                "sealing.key",
                keys.load_sealing_key,
                lambda path: keys.save_sealing_key(path, PrivateKey.generate(), phrase),
            ),
        )

    def _application(self, held: Keyring, legal_name: str, lei: str) -> pb.Application:
        invitation = self.invitation
        return pb.Application(
            federation=invitation.federation,
            address=str(invitation.address),
            roles=sorted(role.value for role in invitation.roles),
            legal_name=legal_name,
            lei=lei,
            signing_key=bytes(held.signing.verify_key) if held.signing else b"",
            sealing_key=bytes(held.sealing.public_key) if held.sealing else b"",
            certificate_request=proofs.certificate_request(held.tls, invitation.address, invitation.federation),
            code_digest=code_digest(invitation.code),
            made_at_us=to_micros(self._clock()),
        )

    def _bytes(self) -> bytes:
        path = self.folder / APPLICATION
        if not path.exists():
            raise _bad("folder", f"{self.folder} holds no application")
        return private_files.read(path, MAX_APPLICATION_BYTES)

    def _date_anew(self) -> None:
        application = codec.parse(pb.Application, self._bytes(), ErrorCode.BAD_INPUT)
        application.made_at_us = to_micros(self._clock())
        self._put(APPLICATION, application.SerializeToString(deterministic=True))

    def _put(self, name: str, content: bytes) -> None:
        """Write a file whole; one that an interrupted run wrote is written again."""
        path = self.folder / name
        if path.exists():
            private_files.replace(path, content)
        else:
            private_files.create(path, content)

    def _toml(self, held: Keyring, passphrase_file: Path | None) -> str:
        """Return the settings."""
        invitation = self.invitation
        directory = {"root": ROOT, "repository": invitation.repository, "cache": "directory"}
        if invitation.repository.startswith("grpcs://"):
            directory["ca"] = NODE_CA
        elif invitation.repository_ca:
            directory["ca"] = REPOSITORY_CA
        values: dict[str, object] = {
            "address": str(invitation.address),
            "certificate": CERTIFICATE,
            "tls_key": "tls.key",
        }
        if held.signing is not None:
            values |= {"signing_keys": ["signing.key"], "sealing_keys": ["sealing.key"]}
        if self._phrase is None:
            values["encrypted_keys"] = False
        elif passphrase_file is not None:
            values["passphrase_file"] = str(passphrase_file.resolve())
        values["home"] = HOME
        lines = ["# Made by `rogatory enrol`. Paths start at this file's folder."]
        lines += [f"{name} = {settings_file.value(value)}" for name, value in values.items()]
        lines += [
            "",
            "[directory]",
            *(f"{name} = {settings_file.value(value)}" for name, value in directory.items()),
        ]
        return "\n".join(lines) + "\n"

    # The node

    def _channel(self) -> grpc.aio.Channel:
        invitation = self.invitation
        return applicant_channel(
            invitation.endpoint, invitation.address.node, invitation.federation, invitation.node_ca.encode()
        )

    async def _outcome(self, stub: EnrolmentStub, application_id: bytes) -> Outcome:
        request = pb.GetOutcomeRequest(application_id=application_id)
        try:
            said = await stub.GetOutcome(request, timeout=ATTEMPT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        return Outcome(
            application_id, said.state, said.approvals, said.approvals_needed, said.reason, said.certificate_chain
        )


def _bad(where: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, detail, where)
