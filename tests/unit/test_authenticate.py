from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from gateway import authenticate as module
from gateway import tls
from gateway.authenticate import Peer, authenticate
from gateway.directory import Directory, NodeEntry, ParticipantEntry, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role, certificate_fingerprint
from gateway.tls import MAX_LEAF_PEM_BYTES, peer_certificate

FEDERATION = "rogatory.test"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROSECUTOR = Address("ee", "prosecutor")
ID = "spiffe://ee.rogatory.test/prosecutor"

PKI = DevelopmentPki(FEDERATION, NOW)
OTHER_PKI = DevelopmentPki(FEDERATION, NOW)


def directory(
    *,
    ca: str | None = None,
    status: Status = Status.ACTIVE,
    node_status: Status = Status.ACTIVE,
    known: bool = True,
) -> Directory:
    def node(code: str, ca: str, status: Status = Status.ACTIVE) -> NodeEntry:
        return NodeEntry(code=code, endpoint="localhost:1", ca=ca, signing_keys=(), status=status)

    entry = ParticipantEntry(address=PROSECUTOR, roles=frozenset({Role.INVESTIGATOR}), status=status)
    return Directory(
        federation=FEDERATION,
        version=1,
        nodes=(
            node("ee", ca or PKI.node_ca("ee").pem.decode(), node_status),
            node("de", PKI.node_ca("de").pem.decode()),
        ),
        participants=(entry,) if known else (),
    )


def refused(leaf_pem: bytes, known: Directory, now: datetime = NOW) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        authenticate(leaf_pem, known, now)
    return caught.value.code


def test_a_participant_is_who_its_certificate_says_and_what_the_directory_says() -> None:
    leaf = PKI.leaf(PROSECUTOR)
    assert authenticate(leaf.pem, directory(), NOW) == Peer(
        PROSECUTOR, frozenset({Role.INVESTIGATOR}), "ee", certificate_fingerprint(leaf.certificate)
    )


def test_a_node_is_a_peer_with_the_role_of_a_node_alone() -> None:
    peer = authenticate(PKI.leaf(Address.of_node("de")).pem, directory(), NOW)
    assert (peer.address, peer.roles, peer.node) == (Address.of_node("de"), frozenset({Role.NODE}), "de")


ServingOnly = replace(profiles.PARTICIPANT, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
NoPurpose = replace(profiles.PARTICIPANT, purposes=())


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda: PKI.leaf(PROSECUTOR, uris=[]), id="(1) no URI name"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, uris=[ID, ID]), id="(1) the URI name twice"),
        pytest.param(
            lambda: PKI.leaf(PROSECUTOR, uris=[ID, "spiffe://ee.rogatory.test/court"]),
            id="(1) two identities",
        ),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, uris=["https://ee.rogatory.test/prosecutor"]), id="(2) https"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, uris=["spiffe://ee.other.test/prosecutor"]), id="(2) federation"),
        pytest.param(lambda: PKI.node_ca("ee"), id="(2) the CA itself as a client"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, profile=profiles.NODE_CA), id="(3) a CA named as a participant"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, profile=ServingOnly), id="(3) for servers only"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, profile=NoPurpose), id="(3) for no stated purpose"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, signer=PKI.node_ca("de")), id="(4) vouched for by another State"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, signer=PKI.root), id="(4) issued by the root"),
        pytest.param(
            lambda: PKI.leaf(PROSECUTOR, signer=PKI.leaf(Address.of_node("ee"))),
            id="(4) issued by the node's leaf",
        ),
        pytest.param(lambda: OTHER_PKI.leaf(PROSECUTOR), id="(4) a CA of the same name with another key"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, issued_at=NOW - timedelta(days=31)), id="(5) expired"),
        pytest.param(lambda: PKI.leaf(PROSECUTOR, issued_at=NOW + timedelta(days=1)), id="(5) not yet valid"),
        pytest.param(lambda: PKI.leaf(Address("ee", "stranger")), id="(6) a participant not in the directory"),
        pytest.param(lambda: PKI.leaf(Address("fr", "prosecutor")), id="(6) a node not in the directory"),
    ],
)
def test_a_certificate_that_breaks_one_rule_is_nobodys(forge: Callable[[], Holder]) -> None:
    assert refused(forge().pem, directory()) is ErrorCode.UNKNOWN_PEER


@pytest.mark.parametrize(
    "leaf_pem",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PKI.root.key_pem, id="a key"),
        pytest.param(PKI.leaf(PROSECUTOR).pem[:300] + b"\n-----END CERTIFICATE-----\n", id="cut short"),
        pytest.param(b"#" * MAX_LEAF_PEM_BYTES + PKI.leaf(PROSECUTOR).pem, id="too large"),
    ],
)
def test_bytes_that_are_no_certificate_are_nobodys(leaf_pem: bytes) -> None:
    assert refused(leaf_pem, directory()) is ErrorCode.UNKNOWN_PEER


def test_a_certificate_is_good_to_the_last_second_of_its_life_and_no_longer() -> None:
    leaf = PKI.leaf(PROSECUTOR)
    known = directory()
    first, last = leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc
    authenticate(leaf.pem, known, first)
    authenticate(leaf.pem, known, last)
    tick = timedelta(seconds=1)
    assert refused(leaf.pem, known, last + tick) is ErrorCode.UNKNOWN_PEER
    assert refused(leaf.pem, known, first - tick) is ErrorCode.UNKNOWN_PEER


def test_a_leaf_does_not_outlive_its_ca() -> None:
    leaf = PKI.leaf(PROSECUTOR, lifetime=profiles.NODE_CA.lifetime * 2)
    late = NOW + profiles.NODE_CA.lifetime + timedelta(days=1)
    assert leaf.certificate.not_valid_after_utc > late
    assert refused(leaf.pem, directory(), late) is ErrorCode.UNKNOWN_PEER


def test_revocation_in_the_directory_tells_at_once_for_a_peer_seen_before() -> None:
    leaf = PKI.leaf(PROSECUTOR).pem
    authenticate(leaf, directory(), NOW)
    assert refused(leaf, directory(status=Status.REVOKED)) is ErrorCode.REVOKED
    assert refused(leaf, directory(node_status=Status.REVOKED)) is ErrorCode.REVOKED
    assert refused(leaf, directory(known=False)) is ErrorCode.UNKNOWN_PEER


def test_a_revoked_node_is_refused() -> None:
    leaf = PKI.leaf(Address.of_node("ee")).pem
    assert refused(leaf, directory(node_status=Status.REVOKED)) is ErrorCode.REVOKED


def test_a_leaf_seen_before_is_refused_once_the_directory_holds_another_ca() -> None:
    leaf = PKI.leaf(PROSECUTOR).pem
    authenticate(leaf, directory(), NOW)
    assert refused(leaf, directory(ca=OTHER_PKI.node_ca("ee").pem.decode())) is ErrorCode.UNKNOWN_PEER


def test_while_a_node_changes_its_ca_both_vouch() -> None:
    both = directory(ca=(OTHER_PKI.node_ca("ee").pem + PKI.node_ca("ee").pem).decode())
    for pki in (PKI, OTHER_PKI):
        assert authenticate(pki.leaf(PROSECUTOR).pem, both, NOW).address == PROSECUTOR


def test_many_different_leaves_do_not_fill_the_memory() -> None:
    for cache in (module._read, module._issuers, tls._peer_certificate):
        assert cache.cache_parameters()["maxsize"] == tls.CACHED_LEAVES


LEAF = PKI.leaf(PROSECUTOR)


def test_the_peer_certificate_is_read_from_what_tls_proved() -> None:
    context = {"transport_security_type": [b"ssl"], "x509_pem_cert": [LEAF.pem]}
    found = peer_certificate(context)
    assert (found.leaf_pem, found.uri_sans) == (LEAF.pem, (ID,))


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({}, id="plain text"),
        pytest.param({"x509_pem_cert": [LEAF.pem]}, id="a certificate without TLS"),
        pytest.param({"transport_security_type": [b"local"], "x509_pem_cert": [LEAF.pem]}, id="not TLS"),
        pytest.param({"transport_security_type": [b"ssl"]}, id="no certificate"),
        pytest.param({"transport_security_type": [b"ssl"], "x509_pem_cert": [LEAF.pem] * 2}, id="two certificates"),
        pytest.param({"transport_security_type": [b"ssl"], "x509_pem_cert": [b"x"]}, id="not a certificate"),
        pytest.param(
            {"transport_security_type": [b"ssl"], "x509_subject_alternative_name": [ID.encode()]},
            id="a name without a certificate",
        ),
    ],
)
def test_a_connection_without_one_proven_certificate_is_nobodys(context: dict[str, list[bytes]]) -> None:
    with pytest.raises(Refusal) as caught:
        peer_certificate(context)
    assert caught.value.code is ErrorCode.UNKNOWN_PEER


@pytest.mark.parametrize(
    ("later", "let_in"),
    [
        pytest.param(timedelta(), True, id="of the moment"),
        pytest.param(-timedelta(seconds=1), True, id="of after"),
        pytest.param(timedelta(microseconds=1), False, id="of before"),
    ],
)
def test_certificate_of_before_a_participant_was_taken_in_again_is_out(later: timedelta, let_in: bool) -> None:
    leaf = PKI.leaf(PROSECUTOR)
    known = directory()
    moment = leaf.certificate.not_valid_before_utc + later
    entry = known.participants[0].model_copy(update={"certificates_not_before": moment})
    again = Directory(**dict(known) | {"participants": (entry,)})
    if let_in:
        assert authenticate(leaf.pem, again, NOW).address == PROSECUTOR
    else:
        assert refused(leaf.pem, again) is ErrorCode.REVOKED
