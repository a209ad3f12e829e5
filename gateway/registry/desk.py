"""What every rule of the registry works with, inside one transaction.

In: a transaction, what the node knows and holds. Out: the node's list as it is now, and the next one, signed and kept
in the same transaction. Nothing leaves here before the commit, so what fails half-way has not happened at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from rogatory.v1 import envelope_pb2 as pb

from gateway import signature
from gateway.authenticate import Peer
from gateway.clock import from_micros, to_micros
from gateway.config import Registry
from gateway.directory import NodeEntry, ParticipantEntry, ParticipantList, Status
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address, Role, certificate_fingerprint
from gateway.material import NodeMaterial
from gateway.registry import roll
from gateway.registry.certify import key_digest
from gateway.registry.keys import RegistryKeys
from gateway.signature import Domain
from gateway.store.registry import RegistryRecord, StoredCertificate, StoredList
from gateway.trust.client import Trusted
from gateway.trust.lists import SignedList
from gateway.trust.roles import MAX_LIST_BYTES, MOST_GROWN_BYTES, node_role

MADE_WITHIN: Final = timedelta(minutes=5)
"""What registrars and participants sign for the registry counts for so long. Kerberos' tolerance (RFC 4120 8.2)."""


MAX_LIVE_CERTIFICATES: Final = 64
"""Of one participant, beside those that are out: to put one out takes a registrar each time. One that renews in a loop
must not fill the store; one a day for a month is within it."""

RETRY_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Base:
    """The list to which the next change is made.

    Args:
        listed: the list.
        version: of its metadata; 0 if there was never any.
        is_signed: whether it was signed as it is; not if two lists had to be brought together.
    """

    listed: ParticipantList
    version: int
    is_signed: bool = True


def base_of(stored: StoredList | None, trusted: Trusted, code: str) -> Base:
    """Return the newest of what was signed here and what is published.

    Args:
        stored: what was signed here last.
        trusted: the directory.
        code: the node's.

    Raises:
        Failure: UNAVAILABLE, what is published is newer and cannot be read as it was signed, or what is stored is newer
            and not signed: it is in more hands than the key, and must not become what the node says.
    """
    public = trusted.version(node_role(code))
    published = next((each for each in trusted.lists if each.node == code), None)
    signed = _proven(SignedList.read(code, stored.metadata, stored.content), trusted, published) if stored else None
    if signed is not None and signed.version > public:
        return Base(signed.participants, signed.version)
    if code in trusted.list_problems or published is None:
        # An expired list is read as one of people who are out: that must not become what the node says.
        if signed is not None and signed.version == public:
            return Base(signed.participants, public)
        if signed is None and not public:
            return Base(ParticipantList(node=code, participants=()), 0)
        problem = trusted.list_problems.get(code, "not published")
        raise Failure(ErrorCode.UNAVAILABLE, f"the newest list of node {code} is not at hand ({problem})", "directory")
    if signed is None or signed.participants == published:
        return Base(published, public)
    both = roll.brought_together(published, signed.participants)
    return Base(both, public, is_signed=both == published)


def _proven(signed: SignedList, trusted: Trusted, published: ParticipantList | None) -> SignedList | None:
    """Return a list of the store, if the node has signed it: the store is in more hands than the key.

    Raises:
        Failure: UNAVAILABLE, it is newer than what is published, and not signed.
    """
    if trusted.is_signed(signed):
        return signed
    if signed.version > trusted.version(node_role(signed.code)):
        detail = f"list {signed.version} of node {signed.code} in the store is not signed with the key of its lists"
        raise Failure(ErrorCode.UNAVAILABLE, detail, "directory")
    # What was published was proven then, perhaps with a key that the founders have replaced since.
    return signed if signed.participants == published else None


@dataclass(slots=True)
class Desk:
    """One transaction of the registry.

    Args:
        record: what is kept.
        registry: the settings.
        material: what the node is and knows.
        keys: what it signs with.
        random: so many random bytes.
        base: the list before.
        signed: the list after, if it was changed.
    """

    record: RegistryRecord
    registry: Registry
    material: NodeMaterial
    keys: RegistryKeys = field(repr=False)
    random: Callable[[int], bytes]
    base: Base
    signed: SignedList | None = None

    @property
    def now(self) -> datetime:
        """The time of the transaction."""
        return from_micros(self.record.now_us)

    @property
    def code(self) -> str:
        """The node's."""
        return self.material.config.node

    @property
    def federation(self) -> str:
        """The federation's domain."""
        return self.material.directory.federation

    @property
    def listed(self) -> ParticipantList:
        """The node's list as it is now."""
        return self.base.listed

    @property
    def founders(self) -> NodeEntry:
        """The node's own entry as the founders wrote it."""
        return next(node for node in self.material.trusted.federation.nodes if node.code == self.code)

    def change(self, listed: ParticipantList) -> None:
        """Sign and keep a next version of the list, if it says anything new.

        Raises:
            Refusal: BAD_DIRECTORY, it would unsay something or fit no directory; TOO_LARGE.
        """
        if listed == self.base.listed and self.base.is_signed:
            return
        self.sign(listed)

    def grow(self, listed: ParticipantList) -> None:
        """Change the list by what may wait for another day; refuses as `change` does, and TOO_LARGE earlier."""
        self.check_room(listed)
        self.change(listed)

    def check_room(self, listed: ParticipantList) -> None:
        """Check that what a list says leaves room for revocations.

        Raises:
            Refusal: TOO_LARGE.
        """
        if len(listed.to_json()) > MOST_GROWN_BYTES:
            detail = f"MOST_GROWN_BYTES = {MOST_GROWN_BYTES}; the rest of MAX_LIST_BYTES is for revocations"
            raise _too_large(detail)

    def sign(self, listed: ParticipantList) -> None:
        """Sign and keep a next version of the list in any case; refuses as `change` does."""
        listed.check_continues(self.base.listed)
        version = self.base.version + 1
        signed = SignedList.sign(self.keys.directory, listed, version, self.now)
        if len(signed.content) > MAX_LIST_BYTES:
            raise _too_large(f"MAX_LIST_BYTES = {MAX_LIST_BYTES} bytes")
        # What nobody could merge must not be signed: the others would refuse it.
        self.material.trusted.with_own(signed)
        self.record.add_list(StoredList(version, signed.metadata, signed.content, self.record.now_us))
        self.base, self.signed = Base(listed, version), signed

    def certify(self, public: EllipticCurvePublicKey, address: Address) -> bytes:
        """Issue and keep a certificate; return its fingerprint.

        Raises:
            Failure: UNAVAILABLE, the CA cannot; OVERLOADED, too many of the participant's are valid.
        """
        if self._live_certificates(address) >= MAX_LIVE_CERTIFICATES:
            name = "MAX_LIVE_CERTIFICATES"
            detail = f"as many certificates of {address} are valid as {name} = {MAX_LIVE_CERTIFICATES} allows"
            raise Failure(ErrorCode.OVERLOADED, detail, name, RETRY_SECONDS)
        lifetime = timedelta(days=self.registry.certificate_days)
        made = self.keys.authority.issue(public, address, self.federation, self.now, lifetime)
        fingerprint = certificate_fingerprint(made)
        self.record.add_certificate(
            StoredCertificate(
                fingerprint=fingerprint,
                address=str(address),
                key_digest=key_digest(public),
                issued_at_us=self.record.now_us,
                not_after_us=to_micros(made.not_valid_after_utc),
                certificate=made.public_bytes(Encoding.DER),
            )
        )
        return fingerprint

    def _live_certificates(self, address: Address) -> int:
        """Count those that let a participant in: what is out must keep nobody from coming in again."""
        entry = roll.find(self.listed, address)
        if entry is None or entry.status is Status.REVOKED:
            return 0
        issued = self.record.certificates_of(str(address), self.record.now_us)
        return sum(each.fingerprint.hex() not in entry.revoked_certificates for each in issued)

    def publics(self) -> Iterator[tuple[str, bytes]]:
        """Yield whose every public key is that anybody here knows of."""
        yield from roll.publics(self.listed)
        for entry in self.material.directory.participants:
            for key in (*entry.signing_keys, *entry.sealing_keys):
                yield str(entry.address), key.public
        for node in self.material.directory.nodes:
            for key in node.signing_keys:
                yield str(Address.of_node(node.code)), key.public

    def check_unknown(self, field_name: str, public: bytes) -> None:
        """Check that nobody has such a key.

        Raises:
            Refusal: BAD_PROOF.
        """
        if public and any(known == public for _, known in self.publics()):
            raise Refusal(ErrorCode.BAD_PROOF, "this key is listed already", field_name)

    def check_certifiable(self, key_digest: bytes, address: Address) -> None:
        """Check that a TLS key is nobody else's, and that no revoked certificate bears it.

        Raises:
            Refusal: BAD_PROOF.
        """
        entry = roll.find(self.listed, address)
        for owner, fingerprint in self.record.certified(key_digest):
            if owner != str(address) or entry is None or entry.status is Status.REVOKED:
                raise _known_tls_key()
            if fingerprint.hex() in entry.revoked_certificates:
                raise _known_tls_key()

    def check_fresh(self, made_at_us: int, field_name: str) -> None:
        """Check that something was made just now.

        Raises:
            Refusal: STALE.
        """
        if abs(self.record.now_us - made_at_us) > MADE_WITHIN // timedelta(microseconds=1):
            detail = f"it counts for {MADE_WITHIN // timedelta(minutes=1)} minutes from when it was made; by this node"
            raise Refusal(ErrorCode.STALE, f"{detail} it is {self.now:%Y-%m-%d %H:%M:%S} UTC", field_name)

    def check_signed(self, domain: Domain, message: bytes, signed: pb.Signature, signer: Address) -> None:
        """Check a signature by a key that the list, as it is now, says is valid now.

        Raises:
            Refusal: BAD_SIGNATURE; KEY_REVOKED; REVOKED, the signer is out.
        """
        entry = active(self.listed, signer)
        if signed.signer != str(signer) or signed.HasField("batch"):
            raise Refusal(ErrorCode.BAD_SIGNATURE, f"a direct signature of {signer} is wanted", "signature")
        key = roll.find_key(entry.signing_keys, signed.key_id)
        if key is None:
            raise Refusal(ErrorCode.BAD_SIGNATURE, f"{signer} has no such signing key", "signature.key_id")
        if not key.valid_at(self.now):
            raise Refusal(ErrorCode.KEY_REVOKED, f"that key of {signer} is not valid now", "signature.key_id")
        signature.verify(domain, message, signed, key.public)

    def check_registrar(self, peer: Peer) -> None:
        """Check that somebody is a registrar of this node, by the list as it is now; refuses as the function does."""
        check_registrar(self.listed, peer, self.code)


def active(listed: ParticipantList, address: Address) -> ParticipantEntry:
    """Return the entry of a participant that is in.

    Raises:
        Refusal: REVOKED, it is not.
    """
    entry = roll.find(listed, address)
    if entry is None or entry.status is Status.REVOKED:
        raise Refusal(ErrorCode.REVOKED, f"{address} is not in the list of this node, or revoked", "address")
    return entry


def present(listed: ParticipantList, peer: Peer) -> ParticipantEntry:
    """Return the entry of a participant that calls: it was let in by the directory of before, and may be out since.

    Raises:
        Refusal: REVOKED, it is out, or the certificate that it came with.
    """
    entry = active(listed, peer.address)
    if peer.certificate_fingerprint.hex() in entry.revoked_certificates:
        raise Refusal(ErrorCode.REVOKED, f"this certificate of {peer.address} is revoked", "certificate")
    return entry


def check_registrar(listed: ParticipantList, peer: Peer, code: str) -> None:
    """Check that who calls is a registrar of this node.

    Raises:
        Refusal: NOT_PERMITTED; REVOKED, as `present`.
    """
    if peer.node != code or peer.address.is_node or Role.REGISTRAR not in present(listed, peer).roles:
        raise not_a_registrar(code)


def registrar(listed: ParticipantList, address: str) -> ParticipantEntry | None:
    """Return the entry of somebody who is a registrar and in."""
    entry = roll.find(listed, Address.parse(address))
    if entry is None or entry.status is not Status.ACTIVE or Role.REGISTRAR not in entry.roles:
        return None
    return entry


def counts(listed: ParticipantList, address: str, domain: Domain, message: bytes, signed: pb.Signature) -> bool:
    """Whether a registrar has signed that, here and some time ago, and it counts still.

    It is one, and its key is not found to have been another's. That the key has ended, as by rotation, takes nothing
    back. Who is taken in again has all keys of before distrusted: nothing of a predecessor's comes back. The signature
    is checked again: the store, where it was, is in more hands than the keys.

    Args:
        listed: the node's list.
        address: the registrar's.
        domain: what it is.
        message: the bytes.
        signed: his signature.
    """
    entry = registrar(listed, address)
    key = None if entry is None else roll.find_key(entry.signing_keys, signed.key_id)
    if key is None or key.not_trusted_after is not None:
        return False
    try:
        signature.verify(domain, message, signed, key.public)
    except Refusal:
        return False
    return True


def not_a_registrar(code: str) -> Refusal:
    """Return the refusal of everybody else."""
    return Refusal(ErrorCode.NOT_PERMITTED, f"only a registrar of node {code} may do that")


def _too_large(limit: str) -> Refusal:
    return Refusal(ErrorCode.TOO_LARGE, f"the node's list would be above {limit}", "participants")


def _known_tls_key() -> Refusal:
    return Refusal(ErrorCode.BAD_PROOF, "this TLS key was certified before; make a new one", "certificate_request")
