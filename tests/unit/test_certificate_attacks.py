"""Attacks with certificates, by name, on what a node makes of one after TLS.

tests/integration/test_certificate_attacks.py shows the same (tests/forgery.py) to a real node's door.

Published certificates (tests/data/x509): x509-limbo and the odd ones of pyca. Limbo's leaves bear DNS names, so every
one of them has to be refused, whatever its label. What more is asked, and why not all:
- `NEEDS_MORE_THAN_A_CA`: no trusted certificate issued the leaf itself. Our profile has no intermediates, so rule (4)
  refuses those labelled SUCCESS as well; a chain is never built.
- `ISSUED_BY_THE_CA`: labelled SUCCESS and direct; rule (4) has to find the issuer, as limbo does.
- All other direct ones are FAILURE for something that is not the signature (names, criticality, the root's own form).
  Rule (4) does not ask it. What of it a leaf of ours could bear is grafted on one and shown to a real door, in
  tests/integration. Limbo publishes no private keys, so none of its own certificates can be shown in a handshake.
- Left out: the eight `online::*` (real sites; nothing in them that the others lack), and of pyca what is no certificate
  (CRLs, requests, OCSP; one of each stays) or comes with a private key.
"""

import itertools
import json
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from certs.pki import DevelopmentPki
from gateway import authenticate as module
from gateway.authenticate import authenticate
from gateway.directory import Directory, NodeEntry, ParticipantEntry
from gateway.errors import ErrorCode, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, Role, spiffe_id, uri_names
from gateway.tls import peer_certificate, read_leaf
from tests.forgery import (
    COURT,
    FEDERATION,
    FOREIGNER,
    FORGERIES,
    ID,
    LIMBO,
    PROSECUTOR,
    SPELLINGS,
    URI,
    X509_DATA,
    Forger,
    mirrored,
    revoking,
    with_signature,
)


@pytest.fixture(scope="module")
def forger() -> Forger:
    now = datetime.now(UTC)
    pki = DevelopmentPki(FEDERATION, now)
    return Forger(pki.node_ca("ee"), pki.node_ca("de"), pki.root, now)


def directory(ee: str, de: str) -> Directory:
    people = [(address, Role.INVESTIGATOR) for address in (PROSECUTOR, COURT, FOREIGNER)]
    return Directory(
        federation=FEDERATION,
        version=1,
        nodes=tuple(
            NodeEntry(code=code, endpoint="localhost:1", ca=ca, signing_keys=())
            for code, ca in (("ee", ee), ("de", de))
        ),
        participants=tuple(ParticipantEntry(address=who, roles=frozenset({role})) for who, role in people),
    )


def known_to(forger: Forger) -> Directory:
    return directory(forger.ee.pem.decode(), forger.de.pem.decode())


def refused(leaf_pem: bytes, known: Directory, now: datetime) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        authenticate(leaf_pem, known, now)
    return caught.value.code


def test_honest_leaf_is_known_so_that_the_attacks_below_fail_for_their_own_reason(forger: Forger) -> None:
    for made in (forger.leaf(), forger.altered(), forger.named(URI(ID))):
        assert authenticate(made.pem, known_to(forger), forger.now).address == PROSECUTOR


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_certificate_is_nobodys(forger: Forger, attack: str) -> None:
    assert refused(FORGERIES[attack].make(forger).pem, known_to(forger), forger.now) is ErrorCode.UNKNOWN_PEER


def test_over_long_certificate_is_nobodys(forger: Forger) -> None:
    assert refused(forger.padded().pem, known_to(forger), forger.now) is ErrorCode.UNKNOWN_PEER


@pytest.mark.parametrize("attack", SPELLINGS)
def test_spiffe_id_in_another_spelling_is_nobodys(forger: Forger, attack: str) -> None:
    made = forger.leaf(uris=[SPELLINGS[attack]])
    assert refused(made.pem, known_to(forger), forger.now) is ErrorCode.UNKNOWN_PEER


def test_chain_of_two_leaves_names_the_first_never_the_second(forger: Forger) -> None:
    """TLS proves the key of the first alone (RFC 8446 section 4.4.2)."""
    own, anothers = forger.leaf(COURT), forger.leaf(PROSECUTOR)
    context = {"transport_security_type": [b"ssl"], "x509_pem_cert": [own.pem], "x509_pem_cert_chain": [anothers.pem]}
    assert peer_certificate(context).uri_sans == (spiffe_id(COURT, FEDERATION),)
    try:
        found = authenticate(own.pem + anothers.pem, known_to(forger), forger.now).address
    except Refusal as refusal:
        assert refusal.code is ErrorCode.UNKNOWN_PEER  # noqa: PT017  # either will do
    else:
        assert found == COURT


def shortened(signature: bytes) -> bytes:
    """Say that the last bit, a zero, is no part of the BIT STRING (X.690 section 8.6.2)."""
    return b"\1" + signature


@pytest.mark.parametrize("rewrite", [mirrored, shortened])
def test_revoked_certificate_whose_signature_was_rewritten_is_still_out(
    forger: Forger, rewrite: Callable[[bytes], bytes]
) -> None:
    """Its holder needs no CA for that: the CA's signature is no part of what it signed."""
    leaf = next(leaf for leaf in iter(forger.leaf, None) if not leaf.certificate.signature[-1] & 1)
    twin = with_signature(leaf.certificate, rewrite(leaf.certificate.signature))
    assert twin != leaf.certificate
    known = known_to(forger)
    known = revoking(known, authenticate(leaf.pem, known, forger.now).certificate_fingerprint)
    assert authenticate(forger.leaf().pem, known, forger.now).address == PROSECUTOR
    assert refused(leaf.pem, known, forger.now) is ErrorCode.REVOKED
    assert refused(pem_of(twin), known, forger.now) in {ErrorCode.REVOKED, ErrorCode.UNKNOWN_PEER}


def pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


@contextmanager
def odd_certificates_are_expected() -> Iterator[None]:
    """Cryptography warns of some that it will no longer read one day; read or not, they are refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@pytest.mark.fuzz
def test_leaf_with_one_bit_changed_is_refused_and_never_breaks_the_reader(forger: Forger) -> None:
    leaf, known = forger.leaf().certificate, known_to(forger)
    der = leaf.public_bytes(Encoding.DER)
    unsigned = len(der) - len(leaf.signature) - 1  # the byte that `shortened` changes
    with odd_certificates_are_expected():
        for at, bit in itertools.product(set(range(len(der))) - {unsigned}, range(8)):
            changed = bytearray(der)
            changed[at] ^= 1 << bit
            pem = ssl.DER_cert_to_PEM_cert(bytes(changed)).encode()
            assert refused(pem, known, forger.now) is ErrorCode.UNKNOWN_PEER, (at, bit)


ODD: dict[str, str] = json.loads((X509_DATA / "odd.json").read_text())
PUBLISHED = {
    f"{case['id']} {place} {number}": pem
    for case in LIMBO
    for place in ("trusted_certs", "untrusted_intermediates", "peer_certificate")
    for number, pem in enumerate([case[place]] if isinstance(case[place], str) else case[place])
} | ODD

NEEDS_MORE_THAN_A_CA = {
    "SUCCESS": {
        "pathlen::ee-with-intermediate-pathlen-0",
        "pathlen::ee-with-intermediate-pathlen-2",
        "pathlen::intermediate-pathlen-may-increase",
        "pathlen::max-chain-depth-1",
        "pathlen::max-chain-depth-1-self-issued",
        "pathlen::self-issued-certs-pathlen",
    },
    "FAILURE": {
        "pathlen::intermediate-violates-pathlen-0",
        "pathlen::max-chain-depth-1-exhausted",
        "pathological::intermediate-cycle-same-logical-ca",
        "rfc5280::chain-untrusted-root",
        "rfc5280::ica-ku-keycertsign",
        "rfc5280::intermediate-ca-missing-basic-constraints",
        "rfc5280::nc::excluded-self-issued-leaf",
        "rfc5280::nc::intermediate-with-san-rejected-by-intermediate-nc",
        "rfc5280::nc::nc-permits-invalid-ip-san",
        "rfc5280::nc::restrictive-permits-in-intermediates-narrows",
        "rfc5280::unknown-critical-extension-intermediate",
        "rfc5280::validity::expired-intermediate",
        "rfc5280::validity::expired-leaf",
        "webpki::cryptographydotio-chain-missing-intermediate",
        "webpki::nc::intermediate-permitted-excluded-subtrees-both-null",
    },
}
ISSUED_BY_THE_CA = {
    "pathological::multiple-chains-expired-intermediate",
    "rfc5280::aki::self-signed-root-missing-aki",
    "rfc5280::eku::ee-without-eku",
    "rfc5280::nc::permitted-dn-match",
    "rfc5280::nc::permitted-dns-match-more",
    "rfc5280::nc::permitted-ipv4-match",
    "rfc5280::nc::permitted-ipv6-match",
    "rfc5280::no-basicconstraints",
    "webpki::nc::permitted-dns-match-noncritical",
    "webpki::san::exact-san",
    "webpki::san::leftmost-wildcard-san",
}


def test_no_published_case_was_dropped_unseen() -> None:
    assert (len(LIMBO), len(ODD), len(PUBLISHED)) == (73, 111, 287)
    labels = {case["id"]: case["expected_result"] for case in LIMBO}
    direct = {name for name in labels if not any(name in names for names in NEEDS_MORE_THAN_A_CA.values())}
    assert {label: {labels[name] for name in names} for label, names in NEEDS_MORE_THAN_A_CA.items()} == {
        "SUCCESS": {"SUCCESS"},
        "FAILURE": {"FAILURE"},
    }
    assert {name for name in direct if labels[name] == "SUCCESS"} == ISSUED_BY_THE_CA
    assert len(direct) == 52


def anchors_of(case: dict[str, Any]) -> str:
    return "\n".join(case["trusted_certs"])


@pytest.mark.parametrize("case", LIMBO, ids=[case["id"] for case in LIMBO])
def test_published_chain_is_nobodys_even_if_its_root_is_the_nodes_ca(forger: Forger, case: dict[str, Any]) -> None:
    known = directory(anchors_of(case), forger.de.pem.decode())
    with odd_certificates_are_expected():
        for shown in (case["peer_certificate"], *case["untrusted_intermediates"], *case["trusted_certs"]):
            assert refused(shown.encode(), known, forger.now) is ErrorCode.UNKNOWN_PEER


@pytest.mark.parametrize("case", LIMBO, ids=[case["id"] for case in LIMBO])
def test_published_leaf_has_an_issuer_only_if_a_trusted_certificate_signed_it(case: dict[str, Any]) -> None:
    with odd_certificates_are_expected():
        found = module._issuers(case["peer_certificate"].encode(), anchors_of(case).encode())
    indirect = any(case["id"] in names for names in NEEDS_MORE_THAN_A_CA.values())
    assert len(found) == (0 if indirect else 1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_odd_certificate_is_nobodys_and_never_breaks_the_reader(forger: Forger, name: str) -> None:
    shown = PUBLISHED[name].encode()
    with odd_certificates_are_expected():
        assert refused(shown, known_to(forger), forger.now) is ErrorCode.UNKNOWN_PEER
        try:
            uri_names(read_leaf(shown))
        except Refusal as refusal:
            assert refusal.code is ErrorCode.UNKNOWN_PEER  # noqa: PT017  # some can be read, some cannot


def is_readable(pem: str) -> bool:
    with odd_certificates_are_expected():
        try:
            return bool(x509.load_pem_x509_certificates(pem.encode()))
        except UNREADABLE_CERTIFICATE:
            return False


# With one of the others as a CA in its directory no node starts (gateway.material).
READABLE = [name for name, pem in PUBLISHED.items() if is_readable(pem)]


def test_no_readable_certificate_was_dropped_unseen() -> None:
    assert len(READABLE) == 279


@pytest.mark.parametrize("name", READABLE)
def test_odd_ca_of_one_node_vouches_for_nobody_and_shuts_nobody_else_out(forger: Forger, name: str) -> None:
    odd = directory(forger.ee.pem.decode(), PUBLISHED[name])
    with odd_certificates_are_expected():
        assert authenticate(forger.leaf().pem, odd, forger.now).address == PROSECUTOR
        assert refused(forger.leaf(FOREIGNER, signer=forger.de).pem, odd, forger.now) is ErrorCode.UNKNOWN_PEER
