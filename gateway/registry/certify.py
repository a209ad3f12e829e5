"""From a public key to a participant's certificate.

In: the key, whose it is, the node's CA, the time. Out: a certificate after `certs.profiles.PARTICIPANT`. From the
request that brought the key comes the key and nothing else. Sources: RFC 5280 section 4, X.509-SVID sections 2 to 4.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs import issuing, profiles
from certs.issuing import Issuer
from certs.profiles import Profile
from gateway.certificate import read_cas
from gateway.directory import Status
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import (
    Address,
    Role,
    certificate_fingerprint,
    certificate_identity,
    has_issued,
    host_name,
    spiffe_id,
    uri_names,
)
from gateway.material import NodeMaterial


@dataclass(frozen=True, slots=True)
class Authority:
    """A node's CA.

    Args:
        certificate: its certificate.
        key: its private key; never shown by `repr`.
        serials: source of serial numbers: positive, unique, 20 bytes at most (RFC 5280 section 4.1.2.2).
    """

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey = field(repr=False)
    serials: Callable[[], int] = x509.random_serial_number

    @property
    def pem(self) -> bytes:
        """Its certificate, PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        public: EllipticCurvePublicKey,
        address: Address,
        federation: str,
        now: datetime,
        lifetime: timedelta,
        profile: Profile = profiles.PARTICIPANT,
    ) -> x509.Certificate:
        """Return a certificate of a participant, or of the node itself.

        Args:
            public: its key.
            address: whose.
            federation: the federation's domain.
            now: the time.
            lifetime: how long it is to be valid; never longer than the CA is.
            profile: another one than a participant's is for the node itself.

        Raises:
            Failure: UNAVAILABLE, the CA's own certificate is not valid now.
        """
        ca = self.certificate
        if not ca.not_valid_before_utc <= now < ca.not_valid_after_utc:
            raise Failure(ErrorCode.UNAVAILABLE, "the certificate of the node's CA is not valid now", "ca_certificate")
        return issuing.sign(
            profile,
            issuing.common_name(str(address)),
            public,
            Issuer.of(ca, self.key),
            serial=self.serials(),
            start=max(now - profiles.BACKDATED, ca.not_valid_before_utc),
            end=min(now + lifetime, ca.not_valid_after_utc),
            uris=[spiffe_id(address, federation)],
            hosts=[host_name(address.node, federation)] if profile.has_host_name else [],
        )


def certify_again(
    ended: x509.Certificate, held: NodeMaterial, authority: Authority, lifetime: timedelta, now: datetime
) -> x509.Certificate:
    """Return a new certificate of a registrar's key, in the place of one that has ended.

    Whoever stayed away for too long is taken in again by registrars. If all of them did, as where a node was off for a
    month, nobody could be. It takes the node's CA, and gives nobody more than the directory does.

    Args:
        ended: the certificate.
        held: what the node is and knows.
        authority: its CA.
        lifetime: how long the new one is to be valid.
        now: the time.

    Raises:
        Refusal: NOT_PERMITTED, it is not a registrar's of this node, not issued by its CA, or has not ended; REVOKED;
            UNKNOWN_PEER, it names nobody.
        Failure: UNAVAILABLE, the CA's own certificate is not valid now.
    """
    federation, public = held.directory.federation, ended.public_key()
    if not any(has_issued(ca, ended) for ca in read_cas(held.entry)) or not isinstance(public, EllipticCurvePublicKey):
        raise _not_permitted(f"the CA that the directory holds for node {held.config.node} did not issue it")
    address = certificate_identity(uri_names(ended), federation)
    entry = held.directory.participant(address)
    if entry is None or Role.REGISTRAR not in entry.roles:
        raise _not_permitted(f"{address} is no registrar: those of its node take it in again")
    if entry.status is Status.REVOKED:
        raise Refusal(ErrorCode.REVOKED, f"{address} is revoked in the directory", "certificate")
    entry.check_certificate(certificate_fingerprint(ended), ended.not_valid_before_utc)
    if now <= ended.not_valid_after_utc:
        raise _not_permitted(f"it counts until {ended.not_valid_after_utc:%Y-%m-%d %H:%M %Z}: {address} renews it")
    return authority.issue(public, address, federation, now, lifetime)


def _not_permitted(detail: str) -> Refusal:
    return Refusal(ErrorCode.NOT_PERMITTED, detail, "certificate")


def key_digest(public: EllipticCurvePublicKey) -> bytes:
    """Return the SHA-256 of a certificate's public key (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7)."""
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
