"""A registry for tests: a real store, real keys, no network; and applicants and registrars who may do wrong."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1 import envelope_pb2 as envelopes
from tuf.api.metadata import Delegations, Targets

from certs.pki import DevelopmentPki
from gateway import signature
from gateway.authenticate import Peer
from gateway.clock import to_micros
from gateway.config import NodeConfig
from gateway.directory import ParticipantEntry
from gateway.identity import Address, certificate_fingerprint
from gateway.material import Holdings, NodeMaterial
from gateway.registry import proofs
from gateway.registry.certify import Authority
from gateway.registry.codes import code_digest
from gateway.registry.keys import RegistryKeys
from gateway.registry.office import Office
from gateway.signature import Domain
from gateway.signer import KeySigner
from gateway.store import Reader, Writer, open_store
from gateway.store.registry import RegistryView
from gateway.transport import TlsIdentity
from gateway.trust.client import Trusted
from gateway.trust.forms import delegation
from gateway.trust.lists import SignedList
from gateway.trust.roles import RoleAge
from gateway.trust.signing import signer_of
from tests import stores, world
from tests.world import NOW

FEDERATION = world.DIRECTORY.federation
REGISTRAR = "ee/registrar"
SECOND = "ee/registrar-2"
FOREIGN_REGISTRAR = "de/registrar"
NEWCOMER = "ee/exchange-lhv"
LEI = "529900T8BM49AURSDO55"
PROOF_KEYS_OF = SigningKey(sha256(b"directory of ee").digest())
PUBLISHED_VERSION = 3
TABLES = ("node_lists", "invitations", "applications", "decisions", "certificates", "renewals", "revocations")


@cache
def pki() -> DevelopmentPki:
    return DevelopmentPki(FEDERATION, NOW)


@cache
def keys() -> RegistryKeys:
    ca = pki().node_ca("ee")
    return RegistryKeys(Authority(ca.certificate, ca.key), PROOF_KEYS_OF, proofs.proof_key(PROOF_KEYS_OF))


def signing_key(name: str) -> SigningKey:
    return SigningKey(sha256(b"new sign " + name.encode()).digest())


def sealing_key(name: str) -> PrivateKey:
    return PrivateKey(sha256(b"new seal " + name.encode()).digest())


@cache
def tls_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Applicant:
    """Somebody who makes applications and renewals; any field of them can be another."""

    address: str = NEWCOMER
    roles: tuple[str, ...] = ("exchange",)
    name: str = "newcomer"  # of its keys
    lei: str = LEI
    has_keys: bool = True

    @property
    def signing(self) -> SigningKey:
        return signing_key(self.name)

    @property
    def sealing(self) -> PrivateKey:
        return sealing_key(self.name)

    @property
    def tls(self) -> ec.EllipticCurvePrivateKey:
        return tls_key(self.name)

    def csr(self) -> bytes:
        return proofs.certificate_request(self.tls, Address.parse(self.address), FEDERATION)

    def application(self, code: str, now: datetime = NOW, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "federation": FEDERATION,
            "address": self.address,
            "roles": self.roles,
            "legal_name": "AS LHV Pank",
            "lei": self.lei,
            "signing_key": bytes(self.signing.verify_key) if self.has_keys else b"",
            "sealing_key": bytes(self.sealing.public_key) if self.has_keys else b"",
            "certificate_request": self.csr(),
            "code_digest": code_digest(code),
            "made_at_us": to_micros(now),
        }
        return pb.Application(**fields | changes).SerializeToString(deterministic=True)

    def request(self, code: str, **changes: Any) -> pb.ApplyRequest:
        """Return an application with right proofs of whatever it says."""
        return self.proven(self.application(code, **changes), code)

    def proven(self, application: bytes, code: str) -> pb.ApplyRequest:
        made = pb.ApplyRequest(application=application, code=code)
        if self.has_keys:
            signed = signature.sign(Domain.APPLICATION, application, self.address, self.signing)
            made.signature.CopyFrom(signed)
            made.sealing_proof = proofs.prove_sealing(self.sealing, proof_public(), application)
        return made

    def renewal(self, new: "Applicant | None" = None, now: datetime = NOW, **changes: Any) -> bytes:
        fields: dict[str, Any] = {"address": self.address, "made_at_us": to_micros(now)}
        if new is not None:
            fields |= {
                "signing_key": bytes(new.signing.verify_key),
                "sealing_key": bytes(new.sealing.public_key),
                "certificate_request": new.csr(),
            }
        return pb.Renewal(**fields | changes).SerializeToString(deterministic=True)

    def renew(self, new: "Applicant", now: datetime = NOW, **changes: Any) -> pb.RenewRequest:
        """Return a renewal of all keys with right proofs."""
        renewal = self.renewal(new, now, **changes)
        return pb.RenewRequest(
            renewal=renewal,
            signatures=[
                signature.sign(Domain.RENEWAL, renewal, self.address, key) for key in (self.signing, new.signing)
            ],
            sealing_proof=proofs.prove_sealing(new.sealing, proof_public(), renewal),
        )


def proof_public() -> bytes:
    return bytes(keys().proof.public_key)


def application_id(request: pb.ApplyRequest) -> bytes:
    return sha256(request.application).digest()


def decision(
    about: bytes,
    registrar: str = REGISTRAR,
    *,
    approved: bool = True,
    now: datetime = NOW,
    key: SigningKey | None = None,
    **changes: Any,
) -> pb.DecideRequest:
    """Return a registrar's decision, signed with its own key."""
    fields: dict[str, Any] = {
        "application_id": about,
        "registrar": registrar,
        "approved": approved,
        "reason": "" if approved else "no licence",
        "at_us": to_micros(now),
    }
    raw = pb.Decision(**fields | changes).SerializeToString(deterministic=True)
    return pb.DecideRequest(
        decision=pb.SignedDecision(decision=raw, signature=_sign(Domain.DECISION, raw, registrar, key))
    )


def revocation(
    registrar: str = REGISTRAR, now: datetime = NOW, key: SigningKey | None = None, **changes: Any
) -> pb.RevokeRequest:
    """Return a registrar's revocation, signed with its own key."""
    fields: dict[str, Any] = {"reason": "stolen", "registrar": registrar, "at_us": to_micros(now)}
    raw = pb.Revocation(**fields | changes).SerializeToString(deterministic=True)
    return pb.RevokeRequest(revocation=raw, signature=_sign(Domain.REVOCATION, raw, registrar, key))


def _sign(domain: Domain, raw: bytes, registrar: str, key: SigningKey | None) -> envelopes.Signature:
    return signature.sign(domain, raw, registrar, key or world.signing_key(registrar))


@dataclass
class Bench:
    """An office, and all that it touches."""

    folder: Path
    material: NodeMaterial
    writer: Writer
    reader: Reader
    trusted: Trusted
    now: datetime = NOW
    looks: int = 0
    offered: list[SignedList] = field(default_factory=list)
    office: Office = field(init=False)

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, **passed: float) -> datetime:
        self.now += timedelta(**passed)
        return self.now

    async def look(self) -> None:
        self.looks += 1
        own = self.newest_list()
        self._take(self.trusted.with_own(own) if own is not None else self.trusted)

    def newest_list(self) -> SignedList | None:
        stored = self.reader.registry_now(RegistryView.newest_list)
        return None if stored is None else SignedList.read("ee", stored.metadata, stored.content)

    async def offer(self, signed: SignedList) -> None:
        self.offered.append(signed)

    def publish(self, signed: SignedList) -> None:
        """Let a list be the published one."""
        self.trusted = _trusted(
            lists=tuple(signed.participants if each.node == "ee" else each for each in self.trusted.lists),
            version=signed.version,
        )
        self._take(self.trusted)

    def _take(self, trusted: Trusted) -> None:
        self.material = node_material(self.material.config, trusted)

    def peer(self, address: str, certificate: x509.Certificate | None = None) -> Peer:
        made = world.peer(address, self.material.directory)
        if certificate is None:
            return made
        return replace(made, certificate_fingerprint=certificate_fingerprint(certificate))

    def rows(self) -> dict[str, list[Any]]:
        """Return all that the registry keeps, by table."""
        with closing(stores.connect(self.material.config.store)) as opened:
            return {table: opened.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}

    def entry(self, address: str) -> ParticipantEntry:
        found = self.material.directory.participant(Address.parse(address))
        assert found is not None
        return found

    # What people do

    async def code(self, applicant: Applicant, registrar: str = REGISTRAR) -> str:
        request = pb.InviteRequest(address=applicant.address, roles=applicant.roles)
        return (await self.office.invite(self.peer(registrar), request)).code

    async def applied(self, applicant: Applicant) -> bytes:
        request = applicant.request(await self.code(applicant), now=self.now)
        await self.office.apply(request)
        return application_id(request)

    async def decide(self, about: bytes, registrar: str = REGISTRAR, **changes: Any) -> pb.DecideResponse:
        return await self.office.decide(self.peer(registrar), decision(about, registrar, **{"now": self.now} | changes))

    async def enrolled(self, applicant: Applicant) -> x509.Certificate:
        about = await self.applied(applicant)
        await self.decide(about)
        if (await self.office.outcome(about)).state == pb.APPLICATION_STATE_PENDING:
            await self.decide(about, SECOND)
        return await self.certificate(about)

    async def certificate(self, about: bytes) -> x509.Certificate:
        return leaf((await self.office.outcome(about)).certificate_chain)

    async def revoke(self, registrar: str = REGISTRAR, **changes: Any) -> pb.RevokeResponse:
        request = revocation(registrar, **{"now": self.now} | changes)
        return await self.office.revoke(self.peer(registrar), request)


def leaf(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


def config(folder: Path, **registry: Any) -> NodeConfig:
    settings = {"ca_certificate": "ca.pem", "ca_key": "ca.key", "directory_key": "directory.key"}
    return NodeConfig.model_validate(
        {
            "node": "ee",
            "listen": "127.0.0.1:1",
            "directory": {"root": folder / "root.json", "repository": str(folder), "cache": folder / "cache"},
            "store": stores.place(folder / "node.db"),
            "certificate": folder / "node.pem",
            "tls_key": folder / "node.key",
            "registry": {**settings, "listen": "127.0.0.1:2", **registry},
        }
    )


def node_material(settings: NodeConfig, trusted: Trusted) -> NodeMaterial:
    holder = pki().leaf(Address.of_node("ee"))
    identity = TlsIdentity(holder.key_pem, holder.chain_pem)
    signer = KeySigner(world.signing_key("ee/node"))
    fields: dict[str, Any] = {
        "config": settings,
        "path": None,
        "address": Address.of_node("ee"),
        "directory": trusted.directory,
        "entry": trusted.directory.node("ee"),
        "holdings": Holdings((signer,), None, identity),  # type: ignore[arg-type]  # nobody here asks for it
        "trusted": trusted,
        "signing_key": signer,
        "identity": identity,
        "expires": holder.certificate.not_valid_after_utc,
        "directory_expires": trusted.expires,
        "warnings": (),
    }
    return NodeMaterial(**fields)


def delegating(key: SigningKey) -> Targets:
    """Return what gives the list of ee to a key, as founders do."""
    public = signer_of(key).public_key
    role = delegation("ee", public.keyid)
    return Targets(delegations=Delegations({public.keyid: public}, {role.name: role}))


def _trusted(lists: Any, version: int = PUBLISHED_VERSION) -> Trusted:
    federation, _ = world.DIRECTORY.split()
    nodes = tuple(
        node.model_copy(update={"ca": pki().node_ca("ee").pem.decode()}) if node.code == "ee" else node
        for node in federation.nodes
    )
    federation = federation.model_copy(update={"nodes": nodes})
    expires = NOW + timedelta(days=600)  # machines' clocks too: TLS has no other
    return Trusted(
        directory=world.DIRECTORY.merge(federation, lists, 1),
        checked=NOW,
        expires=expires,
        ages=(RoleAge("node-ee", version, expires),),
        problem=None,
        list_problems={},
        federation=federation,
        lists=lists,
        delegating=delegating(PROOF_KEYS_OF),
    )


@asynccontextmanager
async def office(folder: Path, now: datetime = NOW, **registry: Any) -> AsyncIterator[Bench]:
    """Run node ee's office; everybody of `tests.world` is published."""
    settings, trusted = config(folder, **registry), _trusted(world.DIRECTORY.split()[1])
    connect, engine = open_store(settings.store)
    clock: Callable[[], datetime] = lambda: bench.now  # noqa: E731
    writer = world.writer(connect, clock)
    reader = Reader(engine)
    bench = Bench(folder, node_material(settings, trusted), writer, reader, trusted, now)
    bench.office = Office(
        settings, keys(), lambda: bench.material, bench.look, bench.offer, writer, reader, bench.clock
    )
    try:
        yield bench
    finally:
        await bench.office.close()
        await writer.close()
        reader.close()
