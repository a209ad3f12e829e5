from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from certs.pki import DevelopmentPki
from gateway.errors import ErrorCode, Refusal
from gateway.identity import (
    Address,
    certificate_identity,
    host_name,
    parse_spiffe,
    spiffe_id,
    trust_domain,
    uri_names,
)

FEDERATION = "rogatory.test"

addresses = st.builds(
    Address,
    st.from_regex(r"[a-z]{2}", fullmatch=True),
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
)


@given(addresses)
def test_an_address_survives_being_written_and_read(address: Address) -> None:
    assert Address.parse(str(address), allow_node=True) == address
    assert parse_spiffe(spiffe_id(address, FEDERATION), FEDERATION) == address


@given(st.text())
def test_any_text_is_one_address_or_malformed(text: str) -> None:
    try:
        spelling = str(Address.parse(text))
    except Refusal as refusal:
        spelling = refusal.code.name
    assert spelling in (text, "MALFORMED")


@given(st.one_of(st.text(), st.text().map("spiffe://ee.rogatory.test/".__add__)))
def test_any_uri_is_one_identity_or_unknown(uri: str) -> None:
    try:
        spelling = spiffe_id(parse_spiffe(uri, FEDERATION), FEDERATION)
    except Refusal as refusal:
        spelling = refusal.code.name
    assert spelling in (uri, "UNKNOWN_PEER")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ee",
        "ee/",
        "/prosecutor",
        "EE/prosecutor",
        "eee/prosecutor",
        "e1/prosecutor",
        "ee/Prosecutor",
        "ee/-prosecutor",
        "ee/prosecutor/",
        "ee/prosecutor/x",
        "ee//prosecutor",
        "ee/.",
        "ee/pro secutor",
        "ee/prosecutor\n",
        "ee\n/prosecutor",
        "ee/pr\u043esecutor",  # a Cyrillic o
        "ee/prosecutor\u0661",  # a digit, but not of ours
        "ee/" + "a" * 64,
        "ee/node",
    ],
)
def test_an_address_spelt_otherwise_is_malformed(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Address.parse(text)
    assert caught.value.code is ErrorCode.MALFORMED


def test_an_address_cannot_be_built_around_the_parser() -> None:
    with pytest.raises(Refusal) as caught:
        Address("ee", "a/../b")
    assert caught.value.code is ErrorCode.MALFORMED


def test_a_node_is_an_address_only_where_nodes_are_meant() -> None:
    node = Address.parse("ee/node", allow_node=True)
    assert node == Address.of_node("ee")
    assert node.is_node
    assert not Address.parse("ee/node-operator").is_node


def test_the_longest_name_is_accepted() -> None:
    assert Address.parse("ee/" + "a" * 63).name == "a" * 63


def test_names_derive_from_node_and_federation() -> None:
    assert trust_domain("ee", FEDERATION) == "ee.rogatory.test"
    assert host_name("ee", FEDERATION) == "node.ee.rogatory.test"
    assert spiffe_id(Address.of_node("ee"), FEDERATION) == "spiffe://ee.rogatory.test/node"
    assert spiffe_id(Address("ee", "prosecutor"), FEDERATION) == "spiffe://ee.rogatory.test/prosecutor"


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("SPIFFE://ee.rogatory.test/prosecutor", id="scheme in capitals"),
        pytest.param("https://ee.rogatory.test/prosecutor", id="other scheme"),
        pytest.param("spiffe://EE.rogatory.test/prosecutor", id="domain in capitals"),
        pytest.param("spiffe://ee.rogatory.test:443/prosecutor", id="port"),
        pytest.param("spiffe://ee.rogatory.test:/prosecutor", id="empty port"),
        pytest.param("spiffe://de@ee.rogatory.test/prosecutor", id="user information"),
        pytest.param("spiffe://ee.rogatory.test/prosecutor?x=1", id="query"),
        pytest.param("spiffe://ee.rogatory.test/prosecutor#x", id="fragment"),
        pytest.param("spiffe://ee.rogatory.test", id="no path"),
        pytest.param("spiffe://ee.rogatory.test/", id="root path"),
        pytest.param("spiffe://ee.rogatory.test/prosecutor/", id="trailing slash"),
        pytest.param("spiffe://ee.rogatory.test//prosecutor", id="empty segment"),
        pytest.param("spiffe://ee.rogatory.test/.", id="dot segment"),
        pytest.param("spiffe://ee.rogatory.test/x/../prosecutor", id="dot-dot segment"),
        pytest.param("spiffe://ee.rogatory.test/pros%65cutor", id="percent-encoding"),
        pytest.param("spiffe://ee.rogatory.test/unit/prosecutor", id="two segments"),
        pytest.param("spiffe://ee.rogatory.test/prosecutor\n", id="newline"),
        pytest.param("spiffe://ee.rogatory.test/pros\0ecutor", id="nul"),
        pytest.param("spiffe://ee.rogatoryxtest/prosecutor", id="dot of the domain taken for a wildcard"),
        pytest.param("spiffe://ee.rogatory.test.evil.example/prosecutor", id="federation as a prefix"),
        pytest.param("spiffe://evil.ee.rogatory.test/prosecutor", id="below the trust domain"),
        pytest.param("spiffe://rogatory.test/prosecutor", id="no node"),
        pytest.param("spiffe://ee.other.test/prosecutor", id="other federation"),
        pytest.param("spiffe://ee.rogatory.test/" + "a" * 2048, id="too long"),
    ],
)
def test_a_uri_that_is_no_spiffe_id_of_the_federation_is_unknown(uri: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_spiffe(uri, FEDERATION)
    assert caught.value.code is ErrorCode.UNKNOWN_PEER


ID = "spiffe://ee.rogatory.test/prosecutor"


@pytest.mark.parametrize("uris", [[], [ID, ID], [ID, "spiffe://ee.rogatory.test/court"], [ID, "https://x.example/"]])
def test_a_certificate_without_exactly_one_uri_is_nobodys(uris: list[str]) -> None:
    with pytest.raises(Refusal) as caught:
        certificate_identity(uris, FEDERATION)
    assert caught.value.code is ErrorCode.UNKNOWN_PEER


def test_a_certificate_with_one_spiffe_id_is_its_holders() -> None:
    assert certificate_identity([ID], FEDERATION) == Address("ee", "prosecutor")


def test_a_certificate_whose_names_cannot_be_read_is_nobodys() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    garbage = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05")
    certificate = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .add_extension(garbage, critical=False)
        .sign(key, SHA256())
    )
    with pytest.raises(Refusal) as caught:
        uri_names(certificate)
    assert caught.value.code is ErrorCode.UNKNOWN_PEER


def test_only_uris_are_taken_from_a_certificates_names() -> None:
    pki = DevelopmentPki(FEDERATION, datetime(2026, 1, 1, tzinfo=UTC))
    assert uri_names(pki.root.certificate) == ()
    assert uri_names(pki.leaf(Address.of_node("ee")).certificate) == ("spiffe://ee.rogatory.test/node",)
