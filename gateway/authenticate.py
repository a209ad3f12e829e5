"""Stage 2 of the path: client certificate -> Peer.

In: the leaf that TLS proved the peer to hold, the directory, the time. Out: who the peer is, and its roles.
Refuses with UNKNOWN_PEER and REVOKED. TLS has already checked that *some* CA of the federation issued the
leaf; nothing is taken from that: each rule is asked again here, where the whole answer can be read and
tested. No I/O.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.directory import Directory, NodeEntry, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import (
    Address,
    Role,
    certificate_fingerprint,
    certificate_identity,
    has_issued,
    is_leaf_for,
    uri_names,
)
from gateway.tls import CACHED_LEAVES, read_leaf


@dataclass(frozen=True, slots=True)
class Peer:
    """The authenticated other end of one connection. Only `authenticate` makes one.

    Args:
        address: who it is, from its certificate alone.
        roles: what it is, from the directory alone.
        node: code of the node whose CA vouches for it.
        certificate_fingerprint: of the leaf, see `identity.certificate_fingerprint`.
    """

    address: Address
    roles: frozenset[Role]
    node: str
    certificate_fingerprint: bytes


@dataclass(frozen=True, slots=True)
class _Window:
    """When a certificate is valid, both ends included (RFC 5280 section 4.1.2.5)."""

    start: datetime
    end: datetime

    def holds(self, now: datetime) -> bool:
        return self.start <= now <= self.end


@dataclass(frozen=True, slots=True)
class _Leaf:
    address: Address
    window: _Window
    fingerprint: bytes


def authenticate(leaf_pem: bytes, directory: Directory, now: datetime) -> Peer:
    """Return the peer that holds the certificate `leaf_pem`.

    1. The certificate has exactly one URI name (X.509-SVID section 2).
    2. That name is a SPIFFE ID of this federation (SPIFFE-ID section 2).
    3. It is a leaf: not a CA, key usage digitalSignature without keyCertSign and cRLSign (X.509-SVID sections
       4.1, 4.3, 5.2), extended key usage clientAuth (RFC 5280 section 4.2.1.12).
    4. A CA that the directory holds for *that* trust domain's node issued it directly (RFC 5280
       section 6.1.3): one country's CA cannot vouch for another's participant.
    5. Leaf and CA are valid at `now` (RFC 5280 section 4.1.2.5).
    6. The directory knows the node and the participant.
    7. Neither of them is revoked there, nor this certificate of theirs, nor is it from before the participant was
       taken in again.

    What bytes alone decide, (1) to (4), is remembered for the same bytes; time and directory are asked anew
    on every call, so a revocation and an expiry tell at once, on connections that stand as well.

    Args:
        leaf_pem: the peer's certificate as TLS gave it.
        directory: the directory in force.
        now: the present time, with time zone.

    Raises:
        Refusal: UNKNOWN_PEER, rules 1 to 6; REVOKED, rule 7.
    """
    leaf = _read(leaf_pem, directory.federation)  # (1) (2) (3)
    node = directory.node(leaf.address.node)  # (6), the node
    issuers = _issuers(leaf_pem, node.ca_pem)  # (4)
    if not issuers:
        raise Refusal(ErrorCode.UNKNOWN_PEER, "not issued by the CA of the node it names")
    if not leaf.window.holds(now) or not any(issuer.holds(now) for issuer in issuers):  # (5)
        raise Refusal(ErrorCode.UNKNOWN_PEER, "the certificate or its CA is not valid at this time")
    roles = _node_roles(leaf, node) if leaf.address.is_node else _roles(leaf, node, directory)  # (6) (7)
    return Peer(leaf.address, roles, leaf.address.node, leaf.fingerprint)


def _node_roles(leaf: _Leaf, node: NodeEntry) -> frozenset[Role]:
    _check_in(leaf, node.status)
    if leaf.fingerprint.hex() in node.revoked_certificates:
        raise Refusal(ErrorCode.REVOKED, f"this certificate of {leaf.address} is revoked in the directory")
    return frozenset({Role.NODE})


def _roles(leaf: _Leaf, node: NodeEntry, directory: Directory) -> frozenset[Role]:
    entry = directory.participant(leaf.address)
    if entry is None:
        raise Refusal(ErrorCode.UNKNOWN_PEER, f"{leaf.address} is not in the directory")
    _check_in(leaf, node.status, entry.status)
    entry.check_certificate(leaf.fingerprint, leaf.window.start)
    return entry.roles


def _check_in(leaf: _Leaf, *statuses: Status) -> None:
    if Status.REVOKED in statuses:
        raise Refusal(ErrorCode.REVOKED, f"{leaf.address} is revoked in the directory")


# Both caches are keyed by every byte that the answer rests on, so an entry cannot grow stale, whatever the
# directory's version says, and two directories in one process cannot mix. Refusals are not remembered.
@lru_cache(maxsize=CACHED_LEAVES)
def _read(leaf_pem: bytes, federation: str) -> _Leaf:
    certificate = read_leaf(leaf_pem)
    address = certificate_identity(uri_names(certificate), federation)  # (1) (2)
    if not is_leaf_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH):  # (3)
        raise Refusal(ErrorCode.UNKNOWN_PEER, "not a certificate for a client")
    return _Leaf(address, _window(certificate), certificate_fingerprint(certificate))


@lru_cache(maxsize=CACHED_LEAVES)
def _issuers(leaf_pem: bytes, ca_pem: bytes) -> tuple[_Window, ...]:
    """Return the windows of the CAs in `ca_pem` that issued the leaf: two while a node changes its CA key."""
    leaf = read_leaf(leaf_pem)
    return tuple(_window(ca) for ca in x509.load_pem_x509_certificates(ca_pem) if has_issued(ca, leaf))


def _window(certificate: x509.Certificate) -> _Window:
    return _Window(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
