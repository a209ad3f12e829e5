"""Attacks with certificates, by name, on what a node makes of one after TLS.

`FORGERIES` and `SPELLINGS` serve tests/integration/test_certificate_attacks.py too, which asks a real node's door.

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
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from gateway import authenticate as module
from gateway.authenticate import authenticate
from gateway.directory import Directory, NodeEntry, ParticipantEntry
from gateway.errors import ErrorCode, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, Address, Role, host_name, spiffe_id, uri_names
from gateway.tls import MAX_LEAF_PEM_BYTES, peer_certificate, read_leaf

FEDERATION = "rogatory.test"
NODE = Address.of_node("ee")
PROSECUTOR = Address("ee", "prosecutor")
COURT = Address("ee", "court")
FOREIGNER = Address("de", "exchange")
ID = spiffe_id(PROSECUTOR, FEDERATION)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # SEC 2 section 2.4.2

USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Forger:
    """Makes certificates that are wrong in one point.

    Args:
        ee: the CA that the directory holds for node ee.
        de: the same for node de.
        root: what issued both; no directory holds it.
        now: when all begin that are not wrong in that.
    """

    ee: Holder
    de: Holder
    root: Holder
    now: datetime

    @cached_property
    def _pki(self) -> DevelopmentPki:
        return DevelopmentPki(FEDERATION, self.now)

    @cached_property
    def _strangers(self) -> DevelopmentPki:
        return DevelopmentPki("other.test", self.now)

    def leaf(self, address: Address = PROSECUTOR, *, signer: Holder | None = None, **wrong: Any) -> Holder:
        return self._pki.leaf(address, signer=signer or self.ee, **wrong)

    def elsewhere(self, federation: str = FEDERATION) -> Holder:
        """A leaf of another root, whose CA has the same name if its federation has."""
        return (self._pki if federation == FEDERATION else self._strangers).leaf(PROSECUTOR)

    def altered(
        self,
        *extensions: x509.ExtensionType,
        critical: bool = True,
        without: type[x509.ExtensionType] | None = None,
        subject: str = str(PROSECUTOR),
        issuer: x509.Name | None = None,
        self_signed: bool = False,
    ) -> Holder:
        """A prosecutor's leaf with these extensions in place of its own, without that one, of that subject."""
        leaf = self.leaf()
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(subject))
            .issuer_name(issuer or self.ee.certificate.subject)
            .public_key(leaf.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(leaf.certificate.not_valid_before_utc)
            .not_valid_after(leaf.certificate.not_valid_after_utc)
        )
        replaced = {each.oid for each in extensions} | ({without.oid} if without else set())
        for own in leaf.certificate.extensions:
            if own.oid not in replaced:
                builder = builder.add_extension(own.value, own.critical)
        for extension in extensions:
            builder = builder.add_extension(extension, critical)
        signed = builder.sign(leaf.key if self_signed else self.ee.key, SHA256())
        return replace(leaf, certificate=signed, chain=() if self_signed else leaf.chain)

    def named(self, *names: x509.GeneralName, subject: str = str(PROSECUTOR)) -> Holder:
        return self.altered(x509.SubjectAlternativeName(names), critical=False, subject=subject)

    def used_for(self, *allowed: str) -> Holder:
        return self.altered(x509.KeyUsage(**{usage: usage in allowed for usage in USAGES}))

    def meant_for(self, *purposes: x509.ObjectIdentifier) -> Holder:
        return self.leaf(profile=replace(profiles.PARTICIPANT, purposes=purposes))

    def padded(self) -> Holder:
        """A leaf that is good but for its length."""
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.55738.666.2")
        return self.altered(x509.UnrecognizedExtension(oid, bytes(MAX_LEAF_PEM_BYTES)), critical=False)

    def below(self, upper: Holder) -> Holder:
        """A leaf of a sub-CA that `upper` issued, with all of the chain that a verifier could want."""
        sub = self.leaf(Address("ee", "sub-ca"), signer=upper, profile=profiles.NODE_CA)
        leaf = self.leaf(signer=sub)
        return replace(leaf, chain=(sub.certificate, upper.certificate, *upper.chain))


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Forgery:
    """An attack.

    Args:
        make: what the attacker shows.
        tls_refuses: whether TLS alone refuses it; if not, it comes to `authenticate`.
        tls_refuses_under_careless_ca: the same, if the CA has no name constraints.
    """

    make: Callable[[Forger], Holder]
    tls_refuses: bool = True
    tls_refuses_under_careless_ca: bool = True


def reaches_the_door(make: Callable[[Forger], Holder]) -> Forgery:
    return Forgery(make, tls_refuses=False, tls_refuses_under_careless_ca=False)


def stopped_by_name_constraints(make: Callable[[Forger], Holder]) -> Forgery:
    return Forgery(make, tls_refuses_under_careless_ca=False)


URI = x509.UniformResourceIdentifier
DNS = x509.DNSName
PURPOSE = ExtendedKeyUsageOID
DAY = timedelta(days=1)

FORGERIES: dict[str, Forgery] = {
    "no URI SAN": reaches_the_door(lambda f: f.leaf(uris=[])),
    "no URI SAN but a DNS name": reaches_the_door(lambda f: f.named(DNS(host_name("ee", FEDERATION)))),
    "no URI SAN but the SPIFFE ID as common name": reaches_the_door(
        lambda f: f.altered(without=x509.SubjectAlternativeName, subject=ID)
    ),
    "no URI SAN but the SPIFFE ID as the issuer's name": reaches_the_door(
        lambda f: f.altered(x509.IssuerAlternativeName([URI(ID)]), critical=False, without=x509.SubjectAlternativeName)
    ),
    "two URI SANs of two participants": reaches_the_door(
        lambda f: f.leaf(uris=[ID, spiffe_id(COURT, FEDERATION)]),
    ),
    "two URI SANs that are the same": reaches_the_door(lambda f: f.leaf(uris=[ID, ID])),
    "two URI SANs, one of the web": reaches_the_door(lambda f: f.leaf(uris=[ID, "https://ee.rogatory.test/"])),
    "DNS SAN that looks like a URI": stopped_by_name_constraints(lambda f: f.named(DNS(ID))),
    "DNS SAN that looks like a URI beside a URI SAN": stopped_by_name_constraints(
        lambda f: f.named(DNS(ID), URI(spiffe_id(FOREIGNER, FEDERATION)))
    ),
    "trust domain of another country": stopped_by_name_constraints(
        lambda f: f.leaf(uris=[spiffe_id(FOREIGNER, FEDERATION)])
    ),
    "trust domain of another federation": stopped_by_name_constraints(
        lambda f: f.leaf(uris=[spiffe_id(PROSECUTOR, "other.test")])
    ),
    "leaf of another federation": Forgery(lambda f: f.elsewhere("other.test")),
    "CA of the same name with another key": Forgery(lambda f: f.elsewhere()),
    "node's CA vouching for another country's participant": stopped_by_name_constraints(lambda f: f.leaf(signer=f.de)),
    "node's CA vouching for another country's node": stopped_by_name_constraints(lambda f: f.leaf(NODE, signer=f.de)),
    "expired": Forgery(lambda f: f.leaf(issued_at=f.now - 2 * DAY, lifetime=DAY)),
    "not yet valid": Forgery(lambda f: f.leaf(issued_at=f.now + DAY)),
    "EKU missing": reaches_the_door(lambda f: f.meant_for()),
    "EKU serverAuth only": Forgery(lambda f: f.meant_for(PURPOSE.SERVER_AUTH)),
    "EKU of any purpose": Forgery(lambda f: f.meant_for(PURPOSE.ANY_EXTENDED_KEY_USAGE)),
    "EKU codeSigning": Forgery(lambda f: f.meant_for(PURPOSE.CODE_SIGNING)),
    "key usage missing": reaches_the_door(lambda f: f.altered(without=x509.KeyUsage)),
    "key usage of a CA beside a leaf's": reaches_the_door(lambda f: f.used_for("digital_signature", "key_cert_sign")),
    "key usage cRLSign beside a leaf's": reaches_the_door(lambda f: f.used_for("digital_signature", "crl_sign")),
    "key usage keyEncipherment only": Forgery(lambda f: f.used_for("key_encipherment")),
    "key usage keyAgreement only": Forgery(lambda f: f.used_for("key_agreement")),
    "basic constraints missing": reaches_the_door(lambda f: f.altered(without=x509.BasicConstraints)),
    "self-signed": Forgery(lambda f: f.altered(issuer=common_name(str(PROSECUTOR)), self_signed=True)),
    "self-signed in the CA's name": Forgery(lambda f: f.altered(self_signed=True)),
    "signed by the development root directly": Forgery(lambda f: f.leaf(signer=f.root)),
    "signed by a participant's leaf": Forgery(lambda f: f.leaf(signer=f.leaf(COURT))),
    "sub-CA issued by a participant's leaf": Forgery(lambda f: f.below(f.leaf(COURT))),
    "sub-CA issued by the node's leaf": Forgery(lambda f: f.below(f.leaf(NODE))),
    "sub-CA issued by the node's CA": reaches_the_door(lambda f: f.below(f.ee)),
    "the node's CA used as a leaf": Forgery(lambda f: f.ee),
    "the development root used as a leaf": Forgery(lambda f: f.root),
    "CA certificate in a participant's name": Forgery(lambda f: f.leaf(profile=profiles.NODE_CA)),
}

SPELLINGS: dict[str, str] = {
    "percent-encoded letter": "spiffe://ee.rogatory.test/%70rosecutor",
    "percent-encoded slash": "spiffe://ee.rogatory.test%2Fprosecutor",
    "upper-case scheme": "SPIFFE://ee.rogatory.test/prosecutor",
    "upper-case trust domain": "spiffe://EE.rogatory.test/prosecutor",
    "upper-case federation": "spiffe://ee.Rogatory.test/prosecutor",
    "upper-case path": "spiffe://ee.rogatory.test/Prosecutor",
    "port": "spiffe://ee.rogatory.test:443/prosecutor",
    "empty port": "spiffe://ee.rogatory.test:/prosecutor",
    "query": "spiffe://ee.rogatory.test/prosecutor?role=court",
    "empty query": "spiffe://ee.rogatory.test/prosecutor?",
    "fragment": "spiffe://ee.rogatory.test/prosecutor#court",
    "trailing slash": "spiffe://ee.rogatory.test/prosecutor/",
    "two slashes": "spiffe://ee.rogatory.test//prosecutor",
    "further segment": "spiffe://ee.rogatory.test/prosecutor/court",
    "dot segment": "spiffe://ee.rogatory.test/court/../prosecutor",
    "user information": "spiffe://prosecutor@ee.rogatory.test/prosecutor",
    "another country as user information": "spiffe://ee.rogatory.test@de.rogatory.test/prosecutor",
    "root label's dot": "spiffe://ee.rogatory.test./prosecutor",
    "host below the trust domain": "spiffe://a.ee.rogatory.test/prosecutor",
    "domain that ends like ours": "spiffe://ee.xrogatory.test/prosecutor",
    "domain that begins like ours": "spiffe://ee.rogatory.test.evil.test/prosecutor",
    "no path": "spiffe://ee.rogatory.test",
    "empty path": "spiffe://ee.rogatory.test/",
    "no authority": "spiffe:ee.rogatory.test/prosecutor",
    "space before": " spiffe://ee.rogatory.test/prosecutor",
    "line feed after": "spiffe://ee.rogatory.test/prosecutor\n",
    "NUL after": "spiffe://ee.rogatory.test/prosecutor\0",
    "NUL before another domain": "spiffe://ee.rogatory.test/prosecutor\0.evil.test",
    "longer than a SPIFFE ID may be": "spiffe://ee.rogatory.test/" + "p" * 2048,
}


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


def mirrored(signature: bytes) -> bytes:
    """Write n - s for s in an ECDSA signature; both verify (SEC 1 section 4.1.4)."""
    r, s = decode_dss_signature(signature)
    return b"\0" + encode_dss_signature(r, P256_ORDER - s)


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


def revoking(known: Directory, fingerprint: bytes) -> Directory:
    """Return the directory in which the prosecutor's certificate of that fingerprint is out."""
    out = {"revoked_certificates": frozenset({fingerprint.hex()})}
    people = (each.model_copy(update=out) if each.address == PROSECUTOR else each for each in known.participants)
    return Directory.model_validate({**dict(known), "participants": tuple(people)})


def with_signature(certificate: x509.Certificate, bits: bytes) -> x509.Certificate:
    """Return the certificate with another BIT STRING for its signature (RFC 5280 section 4.1)."""
    der, signed = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
    head = der.index(signed)
    algorithm = der[head + len(signed) : -len(certificate.signature) - 3]
    content = signed + algorithm + b"\x03" + bytes([len(bits)]) + bits
    return x509.load_der_x509_certificate(b"\x30\x82" + len(content).to_bytes(2, "big") + content)


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


X509_DATA = Path(__file__).parent.parent / "data" / "x509"
LIMBO: list[dict[str, Any]] = json.loads((X509_DATA / "limbo.json").read_text())
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
