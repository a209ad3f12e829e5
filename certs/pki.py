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
from cryptography.hazmat.primitives.serialization import Encoding

from certs import issuing, profiles
from certs.issuing import Issuer, common_name
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
        name = common_name(f"{federation} development root")
        self.root = Holder(self._sign(profiles.ROOT, name, key, Issuer.itself(name, key)), key)

    def node_ca(self, node: str) -> Holder:
        """Return the CA of the node `node`, the same one each time."""
        if node not in self._cas:
            self._cas[node] = self._new_ca(node, self.root)
        return self._cas[node]

    def use_own_ca(self, node: str) -> Holder:
        """Make the CA of a node sign itself: it is trusted because the founders list it, and by no root."""
        self._cas[node] = self._new_ca(node, None)
        return self._cas[node]

    def _new_ca(self, node: str, issuer: Holder | None) -> Holder:
        key = _new_key()
        domain = trust_domain(node, self.federation)
        name = common_name(f"{domain} CA")
        certificate = self._sign(
            profiles.NODE_CA,
            name,
            key,
            Issuer.itself(name, key) if issuer is None else Issuer.of(issuer.certificate, issuer.key),
            # A CA's own SPIFFE ID has no path, so it can never pass for a peer's (X.509-SVID section 3.2).
            uris=[f"spiffe://{domain}"],
            constraints=profiles.name_constraints(node, self.federation),
        )
        return Holder(certificate, key)

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
            common_name(str(address)),
            key,
            Issuer.of(signer.certificate, signer.key),
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
        issuer: Issuer,
        *,
        uris: Sequence[str] = (),
        hosts: Sequence[str] = (),
        constraints: x509.NameConstraints | None = None,
        issued_at: datetime | None = None,
        lifetime: timedelta | None = None,
    ) -> x509.Certificate:
        start = issued_at or self._now
        return issuing.sign(
            profile,
            subject,
            key.public_key(),
            issuer,
            serial=self._serials(),
            start=start - profiles.BACKDATED,
            end=start + (lifetime or profile.lifetime),
            uris=uris,
            hosts=hosts,
            constraints=constraints,
        )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(profiles.CURVE)
