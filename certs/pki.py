"""A development PKI: one root, a CA for each node, leaves.

In: the federation's domain, the time, a source of serial numbers. Out: certificates after `certs.profiles`,
in memory, or in a folder for `rogatory federation init`. Not for production: all keys lie in one process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs import profiles
from certs.profiles import Profile
from gateway import keys
from gateway.identity import Address, host_name, spiffe_id, trust_domain

CERTIFICATE_SUFFIX: Final = ".pem"
KEY_SUFFIX: Final = ".key"


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate with its private key.

    Args:
        certificate: the certificate.
        key: its private key; never shown by `repr`.
        chain: what has to follow the certificate for somebody who trusts the root alone.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate alone, PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its chain, PEM, in the order that TLS wants (RFC 8446 section 4.4.2)."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM."""
        return keys.pem(self.key)

    def write(self, folder: Path, name: str) -> None:
        """Write `name`.pem (the chain) and `name`.key (mode 0600) into `folder`, making it if need be.

        Raises:
            Refusal: KEY_FILE, the key file exists; nothing was written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        keys.save_tls_key(folder / (name + KEY_SUFFIX), self.key)
        (folder / (name + CERTIFICATE_SUFFIX)).write_bytes(self.chain_pem)


class DevelopmentPki:
    """The root, and every node's CA once asked for.

    Args:
        federation: the federation's domain, e.g. `rogatory.test`.
        now: the time of issue of all that is not told otherwise, with time zone.
        serials: source of serial numbers: positive, unique, 20 bytes at most (RFC 5280 section 4.1.2.2).
    """

    def __init__(self, federation: str, now: datetime, serials: Callable[[], int] = x509.random_serial_number) -> None:
        self.federation = federation
        self._now = now
        self._serials = serials
        self._cas: dict[str, Holder] = {}
        key = _new_key()
        name = _name(f"{federation} development root")
        self.root = Holder(self._sign(profiles.ROOT, name, key, name, key), key)

    def node_ca(self, node: str) -> Holder:
        """Return the CA of the node `node`, the same one each time."""
        if node not in self._cas:
            key = _new_key()
            domain = trust_domain(node, self.federation)
            certificate = self._sign(
                profiles.NODE_CA,
                _name(f"{domain} CA"),
                key,
                self.root.certificate.subject,
                self.root.key,
                # A CA's own SPIFFE ID has no path, so it can never pass for a peer's (X.509-SVID
                # section 3.2).
                uris=[f"spiffe://{domain}"],
                constraints=profiles.name_constraints(node, self.federation),
            )
            self._cas[node] = Holder(certificate, key)
        return self._cas[node]

    def leaf(  # one argument for each thing that can be wrong
        self,
        address: Address,
        *,
        profile: Profile | None = None,
        uris: Sequence[str] | None = None,
        signer: Holder | None = None,
        issued_at: datetime | None = None,
        lifetime: timedelta | None = None,
    ) -> Holder:
        """Return a new leaf for `address`.

        The arguments after `address` are for certificates that are wrong on purpose.

        Args:
            address: a node or a participant.
            profile: instead of the one that suits `address`.
            uris: URI names instead of the one SPIFFE ID; may be empty, several, or somebody else's.
            signer: issuer instead of the CA of the node of `address`.
            issued_at: instead of the time the PKI was made.
            lifetime: instead of the profile's.
        """
        profile = profile or (profiles.NODE if address.is_node else profiles.PARTICIPANT)
        signer = signer or self.node_ca(address.node)
        key = _new_key()
        certificate = self._sign(
            profile,
            _name(str(address)),
            key,
            signer.certificate.subject,
            signer.key,
            uris=[spiffe_id(address, self.federation)] if uris is None else uris,
            hosts=[host_name(address.node, self.federation)] if profile.has_host_name else [],
            issued_at=issued_at,
            lifetime=lifetime,
        )
        return Holder(certificate, key, (signer.certificate,))

    def write(self, folder: Path) -> None:
        """Write the root and the node CAs made so far: `root.pem`, `root.key`, `ee/ca.pem`, `ee/ca.key`, ...

        Raises:
            Refusal: KEY_FILE, a key file exists already; keys are never overwritten.
        """
        self.root.write(folder, "root")
        for node, authority in sorted(self._cas.items()):
            authority.write(folder / node, "ca")

    def _sign(  # one argument for each field that differs
        self,
        profile: Profile,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        *,
        uris: Sequence[str] = (),
        hosts: Sequence[str] = (),
        constraints: x509.NameConstraints | None = None,
        issued_at: datetime | None = None,
        lifetime: timedelta | None = None,
    ) -> x509.Certificate:
        """Return one certificate. Extensions: RFC 5280 section 4.2.1, in the order of its subsections."""
        start = issued_at or self._now
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(self._serials())
            .not_valid_before(start - profiles.BACKDATED)
            .not_valid_after(start + (lifetime or profile.lifetime))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
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
        return builder.sign(issuer_key, SHA256())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(profiles.CURVE)


def _name(common_name: str) -> x509.Name:
    # For people. An address has a slash in it, so it cannot pass for a host name (RFC 9525 section 6.3).
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
