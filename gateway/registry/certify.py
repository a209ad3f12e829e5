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
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address, host_name, spiffe_id


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


def key_digest(public: EllipticCurvePublicKey) -> bytes:
    """Return the SHA-256 of a certificate's public key (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7)."""
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
