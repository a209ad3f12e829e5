"""Certificates that are wrong in one point, by name: what an attacker shows to a node.

In: a CA that a node trusts, and others. Out: leaves with their keys and chains, and certificates as others published
them (tests/data/x509).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from gateway.directory import Directory
from gateway.identity import Address, host_name, spiffe_id
from gateway.tls import MAX_LEAF_PEM_BYTES

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

X509_DATA = Path(__file__).parent / "data" / "x509"
LIMBO: list[dict[str, Any]] = json.loads((X509_DATA / "limbo.json").read_text())


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


def mirrored(signature: bytes) -> bytes:
    """Write n - s for s in an ECDSA signature; both verify (SEC 1 section 4.1.4)."""
    r, s = decode_dss_signature(signature)
    return b"\0" + encode_dss_signature(r, P256_ORDER - s)


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
