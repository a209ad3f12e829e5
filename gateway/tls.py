"""TLS 1.3 and nothing older, and what a TLS peer showed.

gRPC Python has no setting for the lowest TLS version; 1.2 is its floor (RFC 9325 section 3.1.1 allows that,
our design does not). Its C core reads one list of cipher suites for 1.2 from the environment, and TLS 1.3
does not look at that list. So the list is set to one suite that needs a pre-shared key, which gRPC never has:
every 1.2 handshake then ends with "no shared cipher", whatever certificate is in use.
tests/integration/test_tls.py asks with a real TLS client.

The C core reads its environment once, **when `grpc` is imported**. Importing this module sets the variable;
it must happen before the first `import grpc` of the process, and `require_tls13` tells whether it did.
This module therefore never imports grpc. It also has the C core write nothing to standard error, unless somebody has
asked it to: there are our diagnostics, a JSON object a line, and what it met comes to us as the end of a call.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509

from gateway.errors import ErrorCode, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, uri_names

CIPHER_VARIABLE: Final = "GRPC_SSL_CIPHER_SUITES"
"""The C core's name for its TLS 1.2 cipher list (grpc, doc/environment_variables.md)."""

VERBOSITY_VARIABLE: Final = "GRPC_VERBOSITY"
"""Likewise: what the C core tells on standard error."""

NO_TLS12_SUITE: Final = "ECDHE-PSK-CHACHA20-POLY1305"
"""RFC 7905 section 2. BoringSSL knows the suite, and never offers or picks it without a PSK callback."""

MAX_LEAF_PEM_BYTES: Final = 16 * 1024
"""A leaf of ours has about 1 KiB; the bound keeps caches of leaves small."""

CACHED_LEAVES: Final = 1024
"""Leaves remembered, 16 KiB each at most. More than a busy node's peers; a miss costs time, nothing else."""

RENEWED_IN: Final = 3
"""A certificate is renewed in the last third of its life: time enough to try again."""

_C_CORE: Final = "grpc._cython.cygrpc"


def _shut_tls12() -> bool:
    """Set the variables; return whether the C core will see them, or has seen them."""
    # Already so: the launcher of the process set it, as systemd units and containers may.
    in_time = os.environ.get(CIPHER_VARIABLE) == NO_TLS12_SUITE or _C_CORE not in sys.modules
    os.environ[CIPHER_VARIABLE] = NO_TLS12_SUITE
    os.environ.setdefault(VERBOSITY_VARIABLE, "NONE")
    return in_time


_IN_TIME: Final = _shut_tls12()


def require_tls13() -> None:
    """Return if this process cannot speak TLS 1.2 through gRPC; every maker of credentials calls it.

    Raises:
        RuntimeError: `grpc` was imported first, so its C core still accepts TLS 1.2. A mistake in the
            program, hence no GatewayError: import `gateway.tls` before `grpc`.
    """
    if not _IN_TIME:
        raise RuntimeError(f"grpc was imported before gateway.tls, so {CIPHER_VARIABLE} came too late")


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The certificate that the peer of one TLS connection proved to hold.

    Args:
        leaf_pem: the certificate itself.
        uri_sans: all URIs of its subject alternative name, unjudged; see `identity.certificate_identity`.
    """

    leaf_pem: bytes
    uri_sans: tuple[str, ...]


def peer_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> PeerCertificate:
    """Return the certificate in what `context.auth_context()` gave a gRPC servicer.

    The flattened `x509_subject_alternative_name` of that mapping is not read: it mixes DNS names, addresses
    and URIs, so a DNS name that looks like a URI would pass for an identity.

    Raises:
        Refusal: UNKNOWN_PEER, the connection is not TLS, or carries no single readable certificate.
    """
    if [*auth_context.get("transport_security_type", ())] != [b"ssl"]:
        raise Refusal(ErrorCode.UNKNOWN_PEER, "the connection is not TLS")
    leaves = [*auth_context.get("x509_pem_cert", ())]
    if len(leaves) != 1:
        raise Refusal(ErrorCode.UNKNOWN_PEER, f"{len(leaves)} client certificates, not exactly one")
    return _peer_certificate(leaves[0])


# Every call of a connection shows the same bytes, and to read them takes fifteen microseconds. What is refused is not
# remembered.
@lru_cache(maxsize=CACHED_LEAVES)
def _peer_certificate(leaf_pem: bytes) -> PeerCertificate:
    return PeerCertificate(leaf_pem, uri_names(read_leaf(leaf_pem)))


def read_leaf(leaf_pem: bytes) -> x509.Certificate:
    """Return the certificate in `leaf_pem`.

    Raises:
        Refusal: UNKNOWN_PEER, it is above `MAX_LEAF_PEM_BYTES` or not a certificate.
    """
    if len(leaf_pem) > MAX_LEAF_PEM_BYTES:
        raise Refusal(ErrorCode.UNKNOWN_PEER, f"certificate above {MAX_LEAF_PEM_BYTES} bytes")
    try:
        return x509.load_pem_x509_certificate(leaf_pem)
    except UNREADABLE_CERTIFICATE as error:
        raise Refusal(ErrorCode.UNKNOWN_PEER, "the certificate cannot be read") from error


def is_in_last_third(leaf: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of a certificate's life remains, so that it should be renewed."""
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return (leaf.not_valid_after_utc - now) * RENEWED_IN < life
