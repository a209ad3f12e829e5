"""New keys and a new certificate for a participant, while its old ones go on.

In: what it holds now, what shall be new, a channel to its node. Out: new files beside the old, named by its settings,
and the node's word on when they count. Refuses with BAD_INPUT what a participant does not have, as the node does, and
as a start would: settings never name what does not fit.

The order, and what a crash leaves:
1. *made*: new private keys are files of their own. Nothing names them; they are waste.
2. *named*: the settings name new signing and sealing keys behind the old ones. No directory lists them, so nobody seals
   to them, nothing is signed with them, and a start passes over them. The next renewal offers these very keys.
3. *asked*: the node has listed them, and issued the certificate. The keys are done: whatever is sealed to them from
   now on is opened, since 2. was before 3. The certificate is lost with its answer; the next renewal gets another, and
   the old one is valid as long as it ever was.
4. *written*: the certificate lies beside its key, both unnamed: waste.
5. *done*: the settings name certificate and TLS key, both in one change.

What fails, and is no crash, takes its TLS key and certificate away again.

The settings file is held all the while, so of two processes one renews, and the other finds it done. Running processes
look at their settings and take what is new by themselves.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import grpc.aio
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import RegistryStub

from gateway import codec, keys, material, private_files, settings_file
from gateway.clock import Clock, system_clock, to_micros, told_moment
from gateway.directory import KeyEntry
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.material import ParticipantMaterial
from gateway.registry import proofs
from gateway.settings_file import Value
from gateway.signature import Domain, sign
from gateway.transport import error_of

ATTEMPT_SECONDS: Final = 15.0
MAX_CHAIN_BYTES: Final = 32 << 10
CURVE: Final = ec.SECP256R1()  # as in certs.profiles

K = TypeVar("K", SigningKey, PrivateKey)


def unwatched(step: str) -> None:
    """Watch nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be new."""

    signing: bool = False
    sealing: bool = False
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """What is new.

    Args:
        signing: the file of the new signing key; None if there is none.
        sealing: of the new sealing key.
        certificate: of the new certificate.
        tls_key: of its key.
        keys_valid_from: when the new signing and sealing keys begin.
        expires: when the new certificate ends.
    """

    signing: Path | None = None
    sealing: Path | None = None
    certificate: Path | None = None
    tls_key: Path | None = None
    keys_valid_from: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class _New:
    """New keys, in files that nothing names yet or that the settings name and no directory lists."""

    signing: tuple[Path, SigningKey] | None = field(repr=False)
    sealing: tuple[Path, PrivateKey] | None = field(repr=False)
    tls: tuple[Path, ec.EllipticCurvePrivateKey] | None = field(repr=False)


async def renew(
    stub: RegistryStub,
    load: Callable[[], ParticipantMaterial],
    wanted: Wanted,
    phrase: Passphrase | None,
    *,
    path: Path,
    clock: Clock = system_clock,
    watch: Callable[[str], None] = unwatched,
    still: Callable[[ParticipantMaterial], bool] = lambda _: True,
) -> Renewed:
    """Get new keys listed and a new certificate, and have the settings name them.

    Args:
        stub: of our own node.
        load: loads what the settings name now, with the newest directory; called in a thread.
        wanted: what shall be new.
        phrase: puts the new key files under it; None leaves them plain.
        path: the settings file.
        clock: time.
        watch: told each step of the order above, once it is taken.
        still: asked once the file is held: whether this is to be done still, or somebody else was faster.

    Raises:
        Refusal: BAD_INPUT, BAD_CONFIG, KEY_FILE, or what the node says, e.g. BAD_PROOF, REVOKED.
        Failure: the node could not now.
    """
    async with _alone(path):
        loaded = await asyncio.to_thread(load)
        _check(loaded, wanted)
        if not still(loaded):
            return Renewed()
        # Before anything is made: a node that does not answer leaves nothing behind here.
        proof_key = await _proof_key(stub)
        new = await asyncio.to_thread(_make, loaded, wanted, phrase, clock())
        watch("made")
        with _nothing_left(path, new):
            await asyncio.to_thread(_name_keys, path, new)
            watch("named")
            response = await _ask(stub, loaded, new, proof_key, clock())
            valid_from = _valid_from(response)
            watch("asked")
            certificate = None
            if new.tls is not None:
                certificate = await asyncio.to_thread(_keep, response.certificate_chain, new.tls)
                watch("written")
                await asyncio.to_thread(_name_certificate, path, loaded, certificate, new.tls[0], phrase, clock)
        watch("done")
        return Renewed(
            signing=new.signing[0] if new.signing else None,
            sealing=new.sealing[0] if new.sealing else None,
            certificate=certificate,
            tls_key=new.tls[0] if new.tls else None,
            keys_valid_from=valid_from,
            expires=tls.read_leaf(response.certificate_chain).not_valid_after_utc if certificate else None,
        )


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, settings_file.alone(path))
        yield


def _check(loaded: ParticipantMaterial, wanted: Wanted) -> None:
    if wanted.signing and not loaded.signing_keys:
        raise Refusal(ErrorCode.BAD_INPUT, f"{loaded.address} has no signing key", "signing")
    if wanted.sealing and not loaded.sealing_keys:
        raise Refusal(ErrorCode.BAD_INPUT, f"{loaded.address} has no sealing key", "sealing")
    if not (wanted.signing or wanted.sealing or wanted.tls):
        raise Refusal(ErrorCode.BAD_INPUT, "say what shall be new: a signing key, a sealing key or the certificate")


@contextmanager
def _nothing_left(path: Path, new: _New) -> Iterator[None]:
    """Remove the TLS key, and what certifies it, of a renewal that failed: the next one makes another."""
    try:
        yield
    except GatewayError:
        if new.tls is not None:
            settings_file.discard(path, new.tls[0].with_suffix(".pem"), new.tls[0])
        raise


async def _proof_key(stub: RegistryStub) -> bytes:
    try:
        response = await stub.GetProofKey(pb.GetProofKeyRequest(), timeout=ATTEMPT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    if len(response.proof_key) != PublicKey.SIZE:
        raise Refusal(ErrorCode.BAD_PROOF, f"a proof key has {PublicKey.SIZE} bytes", "proof_key")
    return response.proof_key


# (1) Made, (2) named


def _make(loaded: ParticipantMaterial, wanted: Wanted, phrase: Passphrase | None, now: datetime) -> _New:
    """Make new keys, or take those that an earlier renewal made and could not finish."""
    entry = loaded.directory.participant(loaded.address)
    signing = sealing = tls_key = None
    if wanted.signing:
        files, listed = loaded.config.signing_keys, entry.signing_keys if entry else ()
        signing = _unlisted([*zip(files, loaded.signing_keys, strict=True)], listed)
        if signing is None:
            signing = settings_file.new_file(files[-1], "signing", ".key", now), SigningKey.generate()
            keys.save_signing_key(*signing, phrase)
    if wanted.sealing:
        files, listed = loaded.config.sealing_keys, entry.sealing_keys if entry else ()
        sealing = _unlisted([*zip(files, loaded.sealing_keys, strict=True)], listed)
        if sealing is None:
            sealing = settings_file.new_file(files[-1], "sealing", ".key", now), PrivateKey.generate()
            keys.save_sealing_key(*sealing, phrase)
    if wanted.tls:
        tls_key = settings_file.new_file(loaded.config.tls_key, "tls", ".key", now), ec.generate_private_key(CURVE)
        keys.save_tls_key(*tls_key, phrase)
    return _New(signing, sealing, tls_key)


def _unlisted(held: Sequence[tuple[Path, K]], listed: Sequence[KeyEntry]) -> tuple[Path, K] | None:
    known = {entry.public for entry in listed}
    return next(((path, key) for path, key in reversed(held) if _public(key) not in known), None)


def _public(key: SigningKey | PrivateKey) -> bytes:
    return bytes(key.verify_key if isinstance(key, SigningKey) else key.public_key)


def _name_keys(path: Path, new: _New) -> None:
    files = {
        "signing_keys": new.signing[0] if new.signing else None,
        "sealing_keys": new.sealing[0] if new.sealing else None,
    }
    additions = {name: settings_file.name_of(path, file) for name, file in files.items() if file is not None}

    def change(settings: Mapping[str, object]) -> Mapping[str, Value]:
        return {name: _with(settings.get(name), addition) for name, addition in additions.items()}

    settings_file.edit(path, change)


def _with(present: object, addition: str) -> list[str]:
    names = [str(each) for each in present] if isinstance(present, list) else []
    return names if addition in names else [*names, addition]


# (3) Asked


async def _ask(
    stub: RegistryStub,
    loaded: ParticipantMaterial,
    new: _New,
    proof_key: bytes,
    now: datetime,
) -> pb.RenewResponse:
    """Ask the node. A key that it has listed for us before, it does not list again: it says from when it counts."""
    address, federation = loaded.address, loaded.directory.federation
    signing = new.signing[1] if new.signing else None
    sealing = new.sealing[1] if new.sealing else None
    renewal = pb.Renewal(
        address=str(address),
        certificate_request=proofs.certificate_request(new.tls[1], address, federation) if new.tls else b"",
        signing_key=_public(signing) if signing else b"",
        sealing_key=_public(sealing) if sealing else b"",
        made_at_us=to_micros(now),
    ).SerializeToString(deterministic=True)
    signers = [key for key in (_signer(loaded, now), signing) if key is not None]
    request = pb.RenewRequest(
        renewal=renewal,
        signatures=[sign(Domain.RENEWAL, renewal, str(address), key) for key in signers],
        sealing_proof=proofs.prove_sealing(sealing, proof_key, renewal) if sealing else b"",
    )
    try:
        response: pb.RenewResponse = await stub.Renew(request, timeout=ATTEMPT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    codec.check(response)
    return response


def _valid_from(response: pb.RenewResponse) -> datetime | None:
    told_us = response.keys_valid_from_us
    return told_moment(told_us, ErrorCode.BAD_PROOF, "keys_valid_from_us") if told_us else None


def _signer(loaded: ParticipantMaterial, now: datetime) -> SigningKey | None:
    held = {bytes(key.verify_key): key for key in loaded.signing_keys}
    newest = loaded.directory.newest_key(str(loaded.address), held, now)
    return None if newest is None else held[newest]


# (4) Written, (5) done


def _keep(chain: bytes, owned: tuple[Path, ec.EllipticCurvePrivateKey]) -> Path:
    path, key = owned
    if not 0 < len(chain) <= MAX_CHAIN_BYTES or tls.read_leaf(chain).public_key() != key.public_key():
        raise Refusal(
            ErrorCode.BAD_PROOF, "the node's answer is no certificate of the key that was sent", "certificate"
        )
    certificate = path.with_suffix(".pem")
    private_files.create(certificate, chain)  # as its key: nobody but their owner has business with it
    return certificate


def _name_certificate(
    path: Path, loaded: ParticipantMaterial, certificate: Path, key: Path, phrase: Passphrase | None, clock: Clock
) -> None:
    chosen = loaded.config.model_copy(update={"certificate": certificate, "tls_key": key})
    # As the next start will: what would be refused there must not be named.
    material.check_participant(chosen, clock, (lambda: phrase) if phrase is not None else None)
    names = {"certificate": settings_file.name_of(path, certificate), "tls_key": settings_file.name_of(path, key)}
    settings_file.edit(path, lambda _: names)
