"""What each certificate of the federation contains.

Four profiles and no others: the federation's root, a node's CA, a node's leaf, a participant's leaf
(operators, auditors and exchanges are participants). A production CA is configured from the same table.
Sources: RFC 5280 section 4 (PKIX), X.509-SVID sections 2 to 4 (SPIFFE), RFC 5480 (P-256 keys).

Keys are ECDSA on P-256. gRPC's TLS library leaves Ed25519 out of the signature algorithms that it offers,
so such certificates fail the handshake; P-256 is what RFC 8446 section 9.1 makes everybody implement.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from gateway.identity import trust_domain

CURVE: Final = ec.SECP256R1()

BACKDATED: Final = timedelta(minutes=5)
"""notBefore lies this far back, for clocks that are behind."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One row of the table.

    Args:
        is_ca: basicConstraints cA, critical in either case (RFC 5280 section 4.2.1.9, X.509-SVID section
        4.1).
        path_length: CAs that may follow below this one; None for leaves.
        purposes: extendedKeyUsage (RFC 5280 section 4.2.1.12); none for a CA.
        has_host_name: the leaf bears `identity.host_name` as DNS name.
        lifetime: from issue to notAfter, in development; production sets its own.
    """

    is_ca: bool
    path_length: int | None
    purposes: tuple[ObjectIdentifier, ...]
    has_host_name: bool
    lifetime: timedelta


ROOT: Final = Profile(is_ca=True, path_length=1, purposes=(), has_host_name=False, lifetime=timedelta(days=3650))
"""Signs node CAs only. Offline after that: gateways trust the node CAs in the directory, not the root."""

NODE_CA: Final = Profile(is_ca=True, path_length=0, purposes=(), has_host_name=False, lifetime=timedelta(days=730))
"""Signs leaves of its own trust domain only: path length 0, and `name_constraints`."""

NODE: Final = Profile(
    is_ca=False,
    path_length=None,
    purposes=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    has_host_name=True,
    lifetime=timedelta(days=30),
)
"""A gateway: serves its participants and other nodes, and calls other nodes."""

PARTICIPANT: Final = Profile(
    is_ca=False,
    path_length=None,
    # X.509-SVID section 4.4 wants serverAuth beside clientAuth. Left out on purpose: a participant never
    # serves, and a stolen key of its must not be able to pose as the node to others.
    purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    has_host_name=False,
    lifetime=timedelta(days=30),
)
"""A participant's system: calls its node and nobody else."""


def key_usage(profile: Profile) -> x509.KeyUsage:
    """Return keyUsage, always critical: a CA signs certificates and CRLs, a leaf signs handshakes, no more.

    Source: RFC 5280 section 4.2.1.3, X.509-SVID section 4.3.
    """
    return x509.KeyUsage(
        digital_signature=not profile.is_ca,
        key_cert_sign=profile.is_ca,
        crl_sign=profile.is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def name_constraints(node: str, federation: str) -> x509.NameConstraints:
    """Return what a node's CA may name, always critical: URIs and DNS names of its own trust domain.

    A URI constraint without a leading dot is that very host; a DNS constraint is the name and all below it.
    Types not listed stay free (all three: RFC 5280 section 4.2.1.10), which grants nothing: identities are
    URIs, and the one name that clients compare is a DNS name.
    """
    domain = trust_domain(node, federation)
    return x509.NameConstraints([x509.UniformResourceIdentifier(domain), x509.DNSName(domain)], None)
