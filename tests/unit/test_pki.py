import itertools
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from gateway import keys
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NODE = Address.of_node("ee")
PROSECUTOR = Address("ee", "prosecutor")

T = TypeVar("T", bound=x509.ExtensionType)


@pytest.fixture(scope="module")
def pki() -> DevelopmentPki:
    return DevelopmentPki("rogatory.test", NOW)


@pytest.fixture(scope="module")
def each(pki: DevelopmentPki) -> dict[str, x509.Certificate]:
    return {
        "root": pki.root.certificate,
        "ca": pki.node_ca("ee").certificate,
        "node": pki.leaf(NODE).certificate,
        "participant": pki.leaf(PROSECUTOR).certificate,
    }


def extension(certificate: x509.Certificate, kind: type[T]) -> x509.Extension[T]:
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize(
    ("which", "ca", "path_length"),
    [("root", True, 1), ("ca", True, 0), ("node", False, None), ("participant", False, None)],
)
def test_who_may_sign_certificates_is_critical(
    each: dict[str, x509.Certificate], which: str, ca: bool, path_length: int | None
) -> None:
    basic = extension(each[which], x509.BasicConstraints)
    usage = extension(each[which], x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, ca, path_length)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (
        ca,
        ca,
        not ca,
    )


def test_a_node_ca_is_confined_to_its_own_trust_domain(each: dict[str, x509.Certificate]) -> None:
    constraints = extension(each["ca"], x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [
        x509.UniformResourceIdentifier("ee.rogatory.test"),
        x509.DNSName("ee.rogatory.test"),
    ]


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("ca", [x509.UniformResourceIdentifier("spiffe://ee.rogatory.test")]),
        (
            "node",
            [
                x509.UniformResourceIdentifier("spiffe://ee.rogatory.test/node"),
                x509.DNSName("node.ee.rogatory.test"),
            ],
        ),
        ("participant", [x509.UniformResourceIdentifier("spiffe://ee.rogatory.test/prosecutor")]),
    ],
)
def test_a_certificate_names_its_holder_and_nothing_else(
    each: dict[str, x509.Certificate], which: str, names: list[x509.GeneralName]
) -> None:
    assert [*extension(each[which], x509.SubjectAlternativeName).value] == names


def test_only_a_node_may_serve(each: dict[str, x509.Certificate]) -> None:
    serving, calling = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    assert [*extension(each["node"], x509.ExtendedKeyUsage).value] == [serving, calling]
    assert [*extension(each["participant"], x509.ExtendedKeyUsage).value] == [calling]


@pytest.mark.parametrize(("which", "days"), [("root", 3650), ("ca", 730), ("node", 30), ("participant", 30)])
def test_a_certificate_is_backdated_and_ends_with_its_profiles_life(
    each: dict[str, x509.Certificate], which: str, days: int
) -> None:
    assert each[which].not_valid_before_utc == NOW - timedelta(minutes=5)
    assert each[which].not_valid_after_utc == NOW + timedelta(days=days)


def test_the_chain_verifies_upwards_and_names_each_issuers_key(each: dict[str, x509.Certificate]) -> None:
    for lower, upper in (("root", "root"), ("ca", "root"), ("node", "ca"), ("participant", "ca")):
        each[lower].verify_directly_issued_by(each[upper])
        key_id = extension(each[upper], x509.SubjectKeyIdentifier).value.digest
        assert extension(each[lower], x509.AuthorityKeyIdentifier).value.key_identifier == key_id


def test_every_key_is_p256_and_no_two_are_the_same(each: dict[str, x509.Certificate]) -> None:
    found = [each[which].public_key() for which in each]
    assert all(isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1" for key in found)
    assert not any(one == other for one, other in itertools.combinations(found, 2))


def test_a_nodes_ca_is_made_once(pki: DevelopmentPki) -> None:
    assert pki.node_ca("fi") is pki.node_ca("fi")
    assert pki.node_ca("fi") is not pki.node_ca("lv")


def test_serial_numbers_come_from_the_given_source() -> None:
    pki = DevelopmentPki("rogatory.test", NOW, serials=itertools.count(100).__next__)
    leaf = pki.leaf(PROSECUTOR)
    serials = [holder.serial_number for holder in (pki.root.certificate, *leaf.chain, leaf.certificate)]
    assert serials == [100, 101, 102]


def test_a_leaf_can_be_made_wrong_in_one_point(pki: DevelopmentPki) -> None:
    assert pki.leaf(
        PROSECUTOR, issued_at=NOW - timedelta(days=9), lifetime=timedelta(days=1)
    ).certificate.not_valid_after_utc == NOW - timedelta(days=8)
    with pytest.raises(x509.ExtensionNotFound):
        extension(pki.leaf(PROSECUTOR, uris=[]).certificate, x509.SubjectAlternativeName)
    two = extension(
        pki.leaf(PROSECUTOR, uris=["spiffe://a/b", "spiffe://c/d"]).certificate, x509.SubjectAlternativeName
    )
    assert len([*two.value]) == 2
    foreign = pki.leaf(PROSECUTOR, signer=pki.node_ca("de"))
    with pytest.raises((InvalidSignature, ValueError)):
        foreign.certificate.verify_directly_issued_by(pki.node_ca("ee").certificate)
    ca = pki.leaf(PROSECUTOR, profile=profiles.NODE_CA).certificate
    assert extension(ca, x509.BasicConstraints).value.ca


def test_written_keys_are_private_and_fit_their_certificates(tmp_path: Path) -> None:
    pki = DevelopmentPki("rogatory.test", NOW)
    pki.node_ca("ee")
    pki.write(tmp_path)
    pki.leaf(NODE).write(tmp_path / "ee", "node")
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert written == ["ee/ca.key", "ee/ca.pem", "ee/node.key", "ee/node.pem", "root.key", "root.pem"]
    for path in tmp_path.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        certificate = x509.load_pem_x509_certificate(path.with_suffix(".pem").read_bytes())
        assert keys.load_tls_key(path).public_key() == certificate.public_key()


def test_a_pki_is_never_written_over_another(tmp_path: Path) -> None:
    first = DevelopmentPki("rogatory.test", NOW)
    first.write(tmp_path)
    with pytest.raises(Refusal) as caught:
        DevelopmentPki("rogatory.test", NOW).write(tmp_path)
    assert caught.value.code is ErrorCode.KEY_FILE
    assert (tmp_path / "root.pem").read_bytes() == first.root.pem


def test_no_repr_shows_a_private_key(pki: DevelopmentPki) -> None:
    holder: Holder = pki.leaf(PROSECUTOR)
    assert "key=" not in repr(holder)
    assert "PRIVATE" not in repr(holder)
