"""Signs one certificate after a profile: for the development PKI, and for a node's own CA.

In: a profile, names, keys, times. Out: the certificate, with every extension that the profile demands and no other.
Source: RFC 5280 sections 4.1 and 4.2.1, in the order of its subsections.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from certs import profiles
from certs.profiles import Profile

MAX_COMMON_NAME: Final = 64
"""RFC 5280 appendix A.1, ub-common-name. An address has 66 characters at most."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs.

    Args:
        name: as subject of its own certificate.
        key: its private key; never shown by `repr`.
        key_identifier: of its key, as its own certificate has it (RFC 5280 section 4.2.1.1).
    """

    name: x509.Name
    key: EllipticCurvePrivateKey = field(repr=False)
    key_identifier: x509.AuthorityKeyIdentifier

    @classmethod
    def of(cls, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> "Issuer":
        """Return a CA that has a certificate."""
        try:
            own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return cls.itself(certificate.subject, key)
        return cls(certificate.subject, key, x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own))

    @classmethod
    def itself(cls, name: x509.Name, key: EllipticCurvePrivateKey) -> "Issuer":
        """Return one that signs its own certificate."""
        return cls(name, key, x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()))


def sign(  # one argument for each field that differs
    profile: Profile,
    subject: x509.Name,
    public: EllipticCurvePublicKey,
    issuer: Issuer,
    *,
    serial: int,
    start: datetime,
    end: datetime,
    uris: Sequence[str] = (),
    hosts: Sequence[str] = (),
    constraints: x509.NameConstraints | None = None,
) -> x509.Certificate:
    """Return a certificate.

    Args:
        profile: what it is for.
        subject: see `common_name`.
        public: the key that it is about.
        issuer: who signs.
        serial: positive, unique, 20 bytes at most (RFC 5280 section 4.1.2.2).
        start: notBefore.
        end: notAfter.
        uris: URI names; of a leaf the one SPIFFE ID.
        hosts: DNS names.
        constraints: of a node's CA.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(issuer.key_identifier, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(profiles.key_usage(profile), critical=True)
        .add_extension(x509.BasicConstraints(profile.is_ca, profile.path_length), critical=True)
    )
    names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, hosts)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if profile.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.purposes), critical=False)
    return builder.sign(issuer.key, SHA256())


def common_name(text: str) -> x509.Name:
    """Return a subject for people; no program reads it, so it may be cut.

    An address has a slash in it, so it cannot pass for a host name (RFC 9525 section 6.3).
    """
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:MAX_COMMON_NAME])])
