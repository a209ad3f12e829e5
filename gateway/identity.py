"""Who somebody is: addresses, SPIFFE IDs, roles.

In: text as peers and certificates write it. Out: an `Address`, or a refusal; nothing is ever repaired or
folded. An address has one spelling only, so two addresses are the same participant exactly when they compare
equal. No I/O. Sources: SPIFFE-ID section 2, X.509-SVID section 2, ISO 3166-1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ObjectIdentifier

from gateway.errors import ErrorCode, Refusal

NODE_NAME: Final = "node"
"""The name that stands for the node itself; no participant may bear it."""

MAX_SPIFFE_ID_BYTES: Final = 2048
"""SPIFFE-ID section 2.3."""

REMEMBERED_ADDRESSES: Final = 4096
"""Of some 70 bytes each; more than write to a busy node at a time."""

NODE: Final = re.compile(r"[a-z]{2}")
"""The code of a node."""

# A name is one DNS label without the rule on its last character, 63 bytes at most (RFC 1035 section 2.3.4).
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

UNREADABLE_CERTIFICATE: Final = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    TypeError,  # a name constraint with an address that is no network
)
"""All that the certificate parser raises on bytes that are not one well-formed certificate."""


@unique
class Role(Enum):
    """What a participant is in the federation. Roles come from the directory, never from the peer."""

    INVESTIGATOR = "investigator"
    CENTRAL_AUTHORITY = "central-authority"
    COURT = "court"
    FIU = "fiu"
    CONTACT_POINT = "contact-point"
    EXCHANGE = "exchange"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    REGISTRAR = "registrar"
    OMBUDSPERSON = "ombudsperson"
    NODE = "node"

    # One object a role, so that its own hash will do; Enum's is of its name, and four times slower.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A participant of one node, or the node itself.

    Args:
        node: the country's code, ISO 3166-1 alpha-2 in lower case.
        name: 1 to 63 characters of a-z, 0-9 and hyphen, no hyphen first; `node` stands for the node itself.

    Raises:
        Refusal: MALFORMED, either part is not so.
    """

    node: str
    name: str

    def __post_init__(self) -> None:
        if not NODE.fullmatch(self.node):
            raise Refusal(ErrorCode.MALFORMED, "a node is two lower-case letters", "node")
        if not _NAME.fullmatch(self.name):
            raise Refusal(ErrorCode.MALFORMED, "a name is 1 to 63 of a-z, 0-9, hyphen, no hyphen first", "name")

    def __str__(self) -> str:
        return f"{self.node}/{self.name}"

    @property
    def is_node(self) -> bool:
        """Whether this is the node itself rather than one of its participants."""
        return self.name == NODE_NAME

    # Every stage reads the same few addresses again. What is refused is not remembered.
    @staticmethod
    @lru_cache(maxsize=REMEMBERED_ADDRESSES)
    def of_node(node: str) -> "Address":
        """Return the address of the node `node` itself.

        Raises:
            Refusal: MALFORMED, `node` is not two lower-case letters.
        """
        return Address(node, NODE_NAME)

    @staticmethod
    @lru_cache(maxsize=REMEMBERED_ADDRESSES)
    def parse(text: str, *, allow_node: bool = False) -> "Address":
        """Return the address that `text` spells.

        Args:
            text: `node/name`, e.g. `ee/prosecutor`.
            allow_node: accept `ee/node` too. Off unless the caller means to speak to nodes.

        Raises:
            Refusal: MALFORMED, any other spelling, or a node where only a participant will do.
        """
        node, _, name = text.partition("/")
        address = Address(node, name)
        if address.is_node and not allow_node:
            raise Refusal(ErrorCode.MALFORMED, "the node itself is not a participant", "name")
        return address


def trust_domain(node: str, federation: str) -> str:
    """Return the SPIFFE trust domain of `node`, e.g. `ee.rogatory.test` (SPIFFE-ID section 2.1)."""
    return f"{node}.{federation}"


def host_name(node: str, federation: str) -> str:
    """Return the DNS name in the server certificate of `node`, e.g. `node.ee.rogatory.test`.

    It need not resolve: gRPC clients compare a host name and know no URI names (RFC 9525 section 6.3).
    """
    return f"{NODE_NAME}.{trust_domain(node, federation)}"


def spiffe_id(address: Address, federation: str) -> str:
    """Return the SPIFFE ID of `address`, e.g. `spiffe://ee.rogatory.test/prosecutor`.

    Source: SPIFFE-ID section 2.
    """
    return f"spiffe://{trust_domain(address.node, federation)}/{address.name}"


def parse_spiffe(uri: str, federation: str) -> Address:
    """Return the address whose SPIFFE ID is `uri`.

    Nothing is normalised. Only what `spiffe_id` could have written is accepted, which shuts out ports, user
    information, queries, fragments, percent-encoding, capitals and empty, dot or further path segments at
    once.

    Raises:
        Refusal: UNKNOWN_PEER, anything else, another federation's IDs included.

    Source: SPIFFE-ID sections 2, 2.1, 2.2 and 2.3.
    """
    if len(uri.encode(errors="replace")) > MAX_SPIFFE_ID_BYTES:
        raise Refusal(ErrorCode.UNKNOWN_PEER, f"SPIFFE ID above {MAX_SPIFFE_ID_BYTES} bytes")
    match = re.fullmatch(rf"spiffe://({NODE.pattern})\.{re.escape(federation)}/({_NAME.pattern})", uri)
    if match is None:
        raise Refusal(ErrorCode.UNKNOWN_PEER, "not a SPIFFE ID of this federation")
    return Address(match[1], match[2])


def certificate_identity(uri_sans: Sequence[str], federation: str) -> Address:
    """Return the one identity among a certificate's URI names.

    Args:
        uri_sans: every URI in the subject alternative name, as `uri_names` returns them.
        federation: the federation's domain, e.g. `rogatory.test`.

    Raises:
        Refusal: UNKNOWN_PEER, there is not exactly one, or it is no SPIFFE ID of this federation.

    Source: X.509-SVID section 2: exactly one URI SAN, several MUST be rejected.
    """
    if len(uri_sans) != 1:
        raise Refusal(ErrorCode.UNKNOWN_PEER, f"{len(uri_sans)} URI names in the certificate, not exactly one")
    return parse_spiffe(uri_sans[0], federation)


def certificate_fingerprint(certificate: x509.Certificate) -> bytes:
    """Return by what a certificate is known when it is revoked: the SHA-256 of what its CA signed, 32 bytes.

    Not of the whole certificate, as is customary: whoever holds it can rewrite its signature without its key (in ECDSA
    s becomes n - s), and it would be another one that still verifies.
    """
    return sha256(certificate.tbs_certificate_bytes).digest()


def uri_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return every URI in the subject alternative name of `certificate`, in order; empty if it has none.

    Raises:
        Refusal: UNKNOWN_PEER, the extensions cannot be read.

    Source: RFC 5280 section 4.2.1.6.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except UNREADABLE_CERTIFICATE as error:
        raise Refusal(ErrorCode.UNKNOWN_PEER, "the certificate's names cannot be read") from error
    return tuple(names.get_values_for_type(x509.UniformResourceIdentifier))


def is_leaf_for(certificate: x509.Certificate, *purposes: ObjectIdentifier) -> bool:
    """Whether `certificate` is a leaf, for signing alone, that is for all of `purposes`.

    Source: X.509-SVID sections 4.1, 4.3 and 5.2: no CA, key usage digitalSignature without keyCertSign and cRLSign;
    RFC 5280 section 4.2.1.12, extended key usage.
    """
    try:
        extensions = certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *UNREADABLE_CERTIFICATE):
        return False
    signs_only = usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign
    return not basic.ca and signs_only and all(purpose in extended for purpose in purposes)


def has_issued(ca: x509.Certificate, leaf: x509.Certificate) -> bool:
    """Whether `ca` issued `leaf` directly: by name and by signature (RFC 5280 section 6.1.3); at what time, unasked."""
    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):  # wrong signature; wrong issuer name; unusable key type
        return False
    return True
