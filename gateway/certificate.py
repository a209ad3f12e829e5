"""A process's own certificate, as a peer will see it.

In: the file of a certificate, and of its key; the directory, the time. Out: what TLS shows. Refuses with BAD_CONFIG and
the setting to look at, with KEY_FILE, and with REVOKED.

What a peer will ask of it (`authenticate`) is asked here first, of ourselves: a certificate that every node would turn
away is found before the first call. What is asked stands here a second time because clients must not reach the node's
path; tests/unit/test_material.py holds the two to the same answers. Sources: X.509-SVID sections 2 to 5, RFC 5280
sections 4.1.2.5, 4.2.1.12 and 6.1.3.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from gateway import keys
from gateway.directory import NodeEntry
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from gateway.identity import (
    UNREADABLE_CERTIFICATE,
    Address,
    certificate_fingerprint,
    certificate_identity,
    has_issued,
    is_leaf_for,
    uri_names,
)
from gateway.tls import read_leaf
from gateway.transport import TlsIdentity

NODE_PURPOSES: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
PARTICIPANT_PURPOSES: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)

MAX_CHAIN_BYTES: Final = 64 * 1024
"""A leaf and its CA have about 2 KiB; above this the file is surely something else."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and what vouches for it.

    Args:
        chain_pem: its file: the leaf, then the CA that issued it, PEM.
        leaf: the certificate itself.
    """

    chain_pem: bytes
    leaf: x509.Certificate

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a certificate file: the leaf first, what vouches for it after it."""
        try:
            with path.open("rb") as file:
                content = file.read(MAX_CHAIN_BYTES + 1)
        except OSError as error:
            raise _bad("certificate", f"cannot read {path}: {error.strerror}") from error
        if len(content) > MAX_CHAIN_BYTES:
            raise _bad("certificate", f"{path} is above {MAX_CHAIN_BYTES} bytes")
        try:
            first = x509.load_pem_x509_certificates(content)[0]
            # As every peer will read it, so that its limits are known here too.
            return cls(content, read_leaf(first.public_bytes(Encoding.PEM)))
        except UNREADABLE_CERTIFICATE as error:
            raise _bad("certificate", f"{path} holds no readable certificate") from error
        except Refusal as error:
            raise _bad("certificate", error.detail) from error

    def check(
        self,
        address: Address,
        federation: str,
        node: NodeEntry,
        purposes: Sequence[ObjectIdentifier],
        now: datetime,
    ) -> None:
        """Check what a peer will check: whose it is, what it is for, who issued it, and when it is valid."""
        try:
            found = certificate_identity(uri_names(self.leaf), federation)
        except Refusal as error:
            raise _bad("certificate", error.detail) from error
        if found != address:
            raise _bad("certificate", f"it is the certificate of {found}, not of {address}")
        if not is_leaf_for(self.leaf, *purposes):
            raise _bad("certificate", "its usages are not those of a node or participant")
        issuers = [ca for ca in read_cas(node) if has_issued(ca, self.leaf)]
        if not issuers:
            raise _bad("certificate", f"not issued by the CA that the directory holds for node {node.code}")
        if not _valid(self.leaf, now):
            raise _bad("certificate", f"valid {_window(self.leaf)}, not now")
        if not any(_valid(issuer, now) for issuer in issuers):
            raise _bad("certificate", f"the CA that issued it is valid {_window(issuers[0])}, not now")

    @property
    def fingerprint(self) -> bytes:
        """By what it is known when it is revoked."""
        return certificate_fingerprint(self.leaf)

    def check_not_revoked(self, revoked: Collection[str]) -> None:
        """Check that the directory does not say that it is out; refuses with REVOKED."""
        if self.fingerprint.hex() in revoked:
            raise Refusal(ErrorCode.REVOKED, "this certificate is revoked in the directory", "certificate")

    def check_host(self, host: str) -> None:
        """Check the name that gRPC clients compare."""
        names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if host not in names.get_values_for_type(x509.DNSName):
            raise _bad("certificate", f"it lacks the DNS name {host}")

    def with_key(self, path: Path, phrase: Passphrase | None) -> TlsIdentity:
        """Load the private key and check that it belongs to the leaf."""
        key = keys.load_tls_key(path, phrase)
        if self.leaf.public_key() != key.public_key():
            raise _bad("tls_key", "it is not the key of the certificate")
        return TlsIdentity(keys.pem(key), self.chain_pem)


def read_cas(node: NodeEntry) -> list[x509.Certificate]:
    """Return a node's CAs; refuses with BAD_CONFIG what cannot be read."""
    try:
        return x509.load_pem_x509_certificates(node.ca_pem)
    except UNREADABLE_CERTIFICATE as error:
        raise _bad("directory", f"the CA certificate of node {node.code} cannot be read") from error


def _valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _window(certificate: x509.Certificate) -> str:
    return f"from {certificate.not_valid_before_utc.isoformat()} to {certificate.not_valid_after_utc.isoformat()}"


def _bad(where: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIG, detail, where)
