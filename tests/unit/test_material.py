import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from certs import profiles
from certs.pki import DevelopmentPki, Holder
from clients.upkeep import Keeper, Upkeep
from gateway import keys, material
from gateway.authenticate import authenticate
from gateway.certificate import MAX_CHAIN_BYTES, read_cas
from gateway.cli.development import Summary, init_federation
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role, certificate_fingerprint
from gateway.trust import development
from gateway.trust.client import load_for_verification
from gateway.trust.repository import Repository
from gateway.trust.roles import LIFETIMES, NODE_LIFETIME, TIMESTAMP
from tests.errors import raises
from tests.federation import directory_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROSECUTOR = Address("ee", "prosecutor")
NODE = Address.of_node("ee")


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return init_federation(tmp_path_factory.mktemp("made") / "fed", ["ee", "de"], [7440, 7441], NOW)


@pytest.fixture
def fed(template: Summary, tmp_path: Path) -> Path:
    """A federation of its own for each test: all paths in it are relative, so a copy is as good."""
    return shutil.copytree(template.folder, tmp_path / "fed")


def load(fed: Path, address: Address, at: Callable[[], datetime] = clock) -> Any:
    if address.is_node:
        return material.load_node(fed / address.node / "node.toml", at)
    return material.load_participant(fed / address.node / address.name / "participant.toml", at)


def refused(fed: Path, address: Address, now: datetime = NOW) -> tuple[ErrorCode, str]:
    with pytest.raises(Refusal) as caught:
        load(fed, address, lambda: now)
    return caught.value.code, caught.value.field


def edit_directory(fed: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(directory_of(fed, NOW).to_json())
    edit(content)
    development.sign_anew(fed, Directory.parse(json.dumps(content).encode(), "changed"), NOW)


def entry_of(content: dict[str, Any], address: Address) -> dict[str, Any]:
    if address.is_node:
        found = [each for each in content["nodes"] if each["code"] == address.node]
    else:
        found = [each for each in content["participants"] if each["address"] == str(address)]
    assert len(found) == 1
    entry: dict[str, Any] = found[0]
    return entry


def setting(path: Path, name: str, line: str) -> None:
    """Replace the line of one setting."""
    lines = path.read_text().splitlines()
    assert sum(each.startswith(f"{name} = ") for each in lines) == 1
    path.write_text("\n".join(line if each.startswith(f"{name} = ") else each for each in lines))


def home_of(fed: Path, address: Address) -> Path:
    return fed / address.node if address.is_node else fed / address.node / address.name


# What fits


def test_a_node_starts_from_its_own_keys_and_certificate(fed: Path) -> None:
    loaded = load(fed, NODE)
    assert (loaded.address, loaded.entry.code, loaded.warnings) == (NODE, "ee", ())
    assert loaded.signing_key.public_key == loaded.entry.signing_keys[0].public
    assert loaded.identity.chain_pem == (fed / "ee/tls.pem").read_bytes()
    assert loaded.expires == NOW + profiles.NODE.lifetime


def test_a_participant_starts_with_its_node_to_call_and_its_ca_to_trust(fed: Path) -> None:
    loaded = load(fed, PROSECUTOR)
    assert (loaded.address, loaded.roles) == (PROSECUTOR, {Role.INVESTIGATOR})
    assert (loaded.node.code, loaded.node.endpoint, loaded.warnings) == ("ee", "127.0.0.1:7440", ())
    assert len(loaded.sealing_keys) == 1


@pytest.mark.parametrize("name", ["operator", "auditor"])
def test_who_only_watches_needs_no_keys_for_envelopes(fed: Path, name: str) -> None:
    loaded = load(fed, Address("ee", name))
    assert (loaded.signing_keys, loaded.sealing_keys) == ((), ())


def test_no_private_key_is_shown(fed: Path) -> None:
    for address in (NODE, PROSECUTOR):
        loaded = load(fed, address)
        key = keys.load_signing_key(home_of(fed, address) / "signing.key")
        assert repr(bytes(key)) not in repr(loaded)
        assert "PRIVATE" not in repr(loaded)


# Keys for envelopes and receipts


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
@pytest.mark.parametrize("owner", [Address("ee", "court"), Address("de", "prosecutor"), Address.of_node("de")])
def test_the_signing_key_of_another_is_refused(fed: Path, address: Address, owner: Address) -> None:
    shutil.copy(home_of(fed, owner) / "signing.key", home_of(fed, address) / "signing.key")
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, "signing_keys")


def test_the_sealing_key_of_another_is_refused(fed: Path) -> None:
    shutil.copy(fed / "ee/court/sealing.key", fed / "ee/prosecutor/sealing.key")
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "sealing_keys[0]")


def test_a_sealing_key_in_the_place_of_the_signing_key_is_refused(fed: Path) -> None:
    setting(fed / "ee/prosecutor/participant.toml", "signing_keys", 'signing_keys = ["sealing.key"]')
    assert refused(fed, PROSECUTOR)[0] is ErrorCode.KEY_FILE


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (NODE, "signing.key"),
        (NODE, "tls.key"),
        (PROSECUTOR, "signing.key"),
        (PROSECUTOR, "sealing.key"),
        (PROSECUTOR, "tls.key"),
    ],
)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_touch_is_refused(fed: Path, address: Address, name: str, mode: int) -> None:
    path = home_of(fed, address) / name
    path.chmod(mode)
    assert refused(fed, address) == (ErrorCode.KEY_FILE, str(path.resolve()))


@pytest.mark.parametrize("name", ["signing.key", "sealing.key", "tls.key"])
def test_a_missing_key_is_refused(fed: Path, name: str) -> None:
    (fed / "ee/prosecutor" / name).unlink()
    assert refused(fed, PROSECUTOR)[0] is ErrorCode.KEY_FILE


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
def test_a_signing_key_that_is_not_valid_yet_is_refused(fed: Path, address: Address) -> None:
    key = SigningKey.generate()
    path = fed / address.node / ("" if address.is_node else address.name) / "signing.key"
    path.unlink()
    keys.save_signing_key(path, key)
    begins = (NOW + timedelta(seconds=1)).isoformat()
    listed = {"public": bytes(key.verify_key).hex(), "not_before": begins}
    edit_directory(fed, lambda content: entry_of(content, address)["signing_keys"].append(listed))
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, "signing_keys")


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
@pytest.mark.parametrize(
    "change",
    [
        {"not_trusted_after": NOW.isoformat()},
        {"not_after": NOW.isoformat()},
    ],
)
def test_a_signing_key_that_is_not_valid_now_is_refused(fed: Path, address: Address, change: dict[str, str]) -> None:
    edit_directory(fed, lambda content: entry_of(content, address)["signing_keys"][0].update(change))
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, "signing_keys")


def test_settings_without_the_signing_key_that_the_directory_holds_are_refused(fed: Path) -> None:
    path = fed / "ee/prosecutor/participant.toml"
    setting(path, "signing_keys", "")
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "signing_keys")


def test_settings_without_the_sealing_key_that_others_seal_to_are_refused(fed: Path) -> None:
    setting(fed / "ee/prosecutor/participant.toml", "sealing_keys", "sealing_keys = []")
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "sealing_keys")


def test_sealing_keys_of_the_past_alone_are_refused(fed: Path) -> None:
    edit_directory(
        fed, lambda content: entry_of(content, PROSECUTOR)["sealing_keys"][0].update(not_after=NOW.isoformat())
    )
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "sealing_keys")


def add_sealing_key(fed: Path, **window: str) -> PrivateKey:
    key = PrivateKey.generate()
    entry = {"public": bytes(key.public_key).hex(), "not_before": "2020-01-01T00:00:00Z", **window}
    edit_directory(fed, lambda content: entry_of(content, PROSECUTOR)["sealing_keys"].append(entry))
    return key


def test_a_sealing_key_of_the_past_is_kept_to_open_what_was_sealed_to_it(fed: Path) -> None:
    key = add_sealing_key(fed, not_after="2021-01-01T00:00:00Z")
    keys.save_sealing_key(fed / "ee/prosecutor/old.key", key)
    setting(fed / "ee/prosecutor/participant.toml", "sealing_keys", 'sealing_keys = ["sealing.key", "old.key"]')
    loaded = load(fed, PROSECUTOR)
    assert (loaded.sealing_keys[1], loaded.warnings) == (key, ())


def test_a_valid_sealing_key_that_is_not_held_is_warned_of(fed: Path) -> None:
    add_sealing_key(fed)
    assert len(load(fed, PROSECUTOR).warnings) == 1


# The certificate


def replace_certificate(fed: Path, holder: Holder, address: Address) -> None:
    folder = home_of(fed, address)
    (folder / "tls.pem").write_bytes(holder.chain_pem)
    (folder / "tls.key").unlink()
    keys.save_tls_key(folder / "tls.key", holder.key)


class Authority:
    """Issues further certificates in the name of the federation's node CAs, from their keys on disk."""

    def __init__(self, fed: Path) -> None:
        self._fed = fed
        self._pki = DevelopmentPki("rogatory.test", NOW)
        self._directory = directory_of(fed, NOW)

    def ca(self, node: str) -> Holder:
        certificate = read_cas(self._directory.node(node))[0]
        return Holder(certificate, keys.load_tls_key(self._fed / "pki" / node / "ca.key"))

    def leaf(self, address: Address, node: str = "ee", **wrong: Any) -> Holder:
        return self._pki.leaf(address, signer=self.ca(node), **wrong)

    def stranger(self, address: Address) -> Holder:
        return self._pki.leaf(address)


def without(profile: profiles.Profile, *purposes: Any) -> profiles.Profile:
    return replace(profile, purposes=tuple(each for each in profile.purposes if each not in purposes) or _SIGN_MAIL)


_SIGN_MAIL = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_IDS = [f"spiffe://ee.rogatory.test/{name}" for name in ("prosecutor", "court")]

WRONG: dict[str, Callable[[Authority], Holder]] = {
    "of another federation's name": lambda ca: ca.leaf(PROSECUTOR, uris=["spiffe://ee.other.test/prosecutor"]),
    "without a name": lambda ca: ca.leaf(PROSECUTOR, uris=[]),
    "of two names": lambda ca: ca.leaf(PROSECUTOR, uris=_IDS),
    "larger than a peer reads": lambda ca: ca.leaf(
        PROSECUTOR, uris=[f"spiffe://ee.rogatory.test/{number}" for number in range(600)]
    ),
    "of a CA of its own making": lambda ca: ca.stranger(PROSECUTOR),
    "of another country's CA": lambda ca: ca.leaf(PROSECUTOR, "de"),
    "of a participant as issuer": lambda ca: DevelopmentPki("rogatory.test", NOW).leaf(
        PROSECUTOR, signer=ca.leaf(Address("ee", "court"))
    ),
    "expired": lambda ca: ca.leaf(PROSECUTOR, lifetime=timedelta(seconds=-1)),
    "of tomorrow": lambda ca: ca.leaf(PROSECUTOR, issued_at=NOW + timedelta(days=1)),
    "of a CA": lambda ca: ca.leaf(PROSECUTOR, profile=replace(profiles.NODE_CA, purposes=(_CLIENT,))),
    "without purposes": lambda ca: ca.leaf(PROSECUTOR, profile=replace(profiles.PARTICIPANT, purposes=())),
    "for servers alone": lambda ca: ca.leaf(PROSECUTOR, profile=replace(profiles.PARTICIPANT, purposes=(_SERVER,))),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_certificate_is_refused_here_and_by_every_peer(fed: Path, what: str) -> None:
    holder = WRONG[what](Authority(fed))
    replace_certificate(fed, holder, PROSECUTOR)
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "certificate")
    with raises(ErrorCode.UNKNOWN_PEER):
        authenticate(holder.pem, directory_of(fed, NOW), NOW)


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
def test_a_certificate_that_is_taken_here_is_taken_by_every_peer(fed: Path, address: Address) -> None:
    holder = Authority(fed).leaf(address)
    replace_certificate(fed, holder, address)
    assert load(fed, address).identity.chain_pem == holder.chain_pem
    assert authenticate(holder.pem, directory_of(fed, NOW), NOW).address == address


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
@pytest.mark.parametrize("owner", [Address("ee", "court"), Address("de", "prosecutor"), Address.of_node("de")])
def test_the_certificate_of_another_is_refused(fed: Path, address: Address, owner: Address) -> None:
    for name in ("tls.pem", "tls.key"):
        shutil.copy(home_of(fed, owner) / name, home_of(fed, address) / name)
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, "certificate")


@pytest.mark.parametrize("purpose", [_CLIENT, _SERVER])
def test_a_node_whose_certificate_cannot_serve_or_call_is_refused(fed: Path, purpose: object) -> None:
    replace_certificate(fed, Authority(fed).leaf(NODE, profile=without(profiles.NODE, purpose)), NODE)
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "certificate")


def test_a_node_whose_certificate_lacks_the_name_that_clients_compare_is_refused(fed: Path) -> None:
    replace_certificate(fed, Authority(fed).leaf(NODE, profile=replace(profiles.NODE, has_host_name=False)), NODE)
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "certificate")


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
def test_a_key_that_is_not_the_certificates_is_refused(fed: Path, address: Address) -> None:
    path = home_of(fed, address) / "tls.key"
    path.unlink()
    keys.save_tls_key(path, ec.generate_private_key(profiles.CURVE))
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, "tls_key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b" " * (MAX_CHAIN_BYTES + 1),
    ],
)
def test_a_certificate_that_cannot_be_read_is_refused(fed: Path, content: bytes) -> None:
    (fed / "ee/prosecutor/tls.pem").write_bytes(content)
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "certificate")


def test_a_missing_certificate_is_refused(fed: Path) -> None:
    (fed / "ee/prosecutor/tls.pem").unlink()
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "certificate")


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
def test_a_certificate_is_valid_to_its_last_second_and_warned_of_a_week_before(fed: Path, address: Address) -> None:
    end = NOW + profiles.PARTICIPANT.lifetime
    development.sign_anew(fed, directory_of(fed, NOW), end)  # else it would end on the same day
    assert load(fed, address, lambda: end - material.WARN_BEFORE).warnings == ()
    assert len(load(fed, address, lambda: end - material.WARN_BEFORE + timedelta(seconds=1)).warnings) == 1
    assert load(fed, address, lambda: end).expires == end
    assert refused(fed, address, end + timedelta(seconds=1)) == (ErrorCode.BAD_CONFIG, "certificate")


def test_participant_that_runs_for_years_is_warned_of_what_ends_meanwhile(
    fed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = load(fed, PROSECUTOR)
    (ring,) = started.target_keys
    times = [NOW, ring.not_after - timedelta(days=32), ring.not_after - timedelta(days=31), ring.not_after]
    told: list[set[str]] = []
    keeper = Keeper(Upkeep(started, clock=lambda: times[len(told)]), lambda _: None)
    for now in times:
        development.sign_anew(fed, directory_of(fed, NOW), now)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "clients.upkeep"):
            keeper.look()
            keeper.look()
        told.append({record.__dict__["detail"].partition(" on ")[0] for record in caplog.records})
        assert len(caplog.records) == len(told[-1]), "told twice"
    soon, over = "the last target key ends", "no target key is in force: no request is compared with others"
    roles = {each for found in told for each in found if each.startswith("the directory's role")}
    assert [found - roles for found in told] == [set(), {"the certificate ends", soon}, set(), {over}]


def test_participant_that_runs_is_told_that_none_of_its_keys_is_valid_any_more(fed: Path) -> None:
    started, directory = load(fed, PROSECUTOR), directory_of(fed, NOW)
    end = NOW + timedelta(days=10)
    entries = tuple(
        each.model_copy(
            update={
                name: tuple(key.model_copy(update={"not_after": end}) for key in getattr(each, name))
                for name in ("signing_keys", "sealing_keys")
            }
        )
        for each in directory.participants
    )
    development.sign_anew(fed, directory.model_copy(update={"participants": entries}), NOW)
    for days, beginning in ((2, ""), (4, "the {} key ends on"), (10, "by the directory, none of the {} keys is valid")):
        now = NOW + timedelta(days=days)
        found = material.refresh_participant(started, partial(lambda at: at, now)).warnings
        for what in ("signing", "sealing"):
            assert any(each.startswith(beginning.format(what)) for each in found) is bool(beginning)


def test_a_leaf_that_outlives_its_ca_ends_with_it(fed: Path) -> None:
    end = NOW + profiles.NODE_CA.lifetime
    replace_certificate(fed, Authority(fed).leaf(PROSECUTOR, lifetime=timedelta(days=7300)), PROSECUTOR)
    development.sign_anew(fed, directory_of(fed, NOW), end)
    assert load(fed, PROSECUTOR, lambda: end).address == PROSECUTOR
    assert refused(fed, PROSECUTOR, end + timedelta(seconds=1)) == (ErrorCode.BAD_CONFIG, "certificate")


# The directory


def test_a_node_that_the_directory_does_not_know_is_refused(fed: Path) -> None:
    setting(fed / "ee/node.toml", "node", 'node = "fi"')
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "node")


@pytest.mark.parametrize("address", ["ee/nobody", "fi/prosecutor"])
def test_a_participant_that_the_directory_does_not_know_is_refused(fed: Path, address: str) -> None:
    setting(fed / "ee/prosecutor/participant.toml", "address", f'address = "{address}"')
    assert refused(fed, PROSECUTOR) == (ErrorCode.BAD_CONFIG, "address")


@pytest.mark.parametrize(
    ("revoked", "address", "where"),
    [(NODE, NODE, "node"), (NODE, PROSECUTOR, "address"), (PROSECUTOR, PROSECUTOR, "address")],
)
def test_who_is_revoked_does_not_start(fed: Path, revoked: Address, address: Address, where: str) -> None:
    edit_directory(fed, lambda content: entry_of(content, revoked).update(status="revoked"))
    assert refused(fed, address) == (ErrorCode.REVOKED, where)


@pytest.mark.parametrize("address", [NODE, PROSECUTOR])
def test_nobody_starts_with_a_certificate_that_is_revoked(fed: Path, address: Address) -> None:
    leaf = x509.load_pem_x509_certificates((home_of(fed, address) / "tls.pem").read_bytes())[0]
    revoked = [certificate_fingerprint(leaf).hex()]
    edit_directory(fed, lambda content: entry_of(content, address).update(revoked_certificates=revoked))
    assert refused(fed, address) == (ErrorCode.REVOKED, "certificate")


def test_an_unreadable_ca_of_any_node_stops_a_node_before_its_first_handshake(fed: Path) -> None:
    edit_directory(fed, lambda content: entry_of(content, Address.of_node("de")).update(ca="none"))
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "directory")


def test_a_missing_directory_is_refused(fed: Path) -> None:
    shutil.rmtree(fed / "repository")
    assert refused(fed, PROSECUTOR)[0] is ErrorCode.BAD_CONFIG


def test_nobody_starts_with_an_expired_directory_and_who_only_looks_back_may(fed: Path) -> None:
    operator = Address("ee", "operator")
    for address in (NODE, operator):
        replace_certificate(fed, Authority(fed).leaf(address, lifetime=timedelta(days=700)), address)
        assert load(fed, address).directory_expires == NOW + LIFETIMES[TIMESTAMP]
    past = NOW + LIFETIMES[TIMESTAMP]
    for address in (NODE, operator):
        assert refused(fed, address, past) == (ErrorCode.BAD_DIRECTORY, "directory")
    path = home_of(fed, operator) / "participant.toml"
    looking_back = material.load_participant(path, lambda: past, find=load_for_verification)
    assert looking_back.address == operator
    assert any("expired" in warning for warning in looking_back.warnings)


def test_a_directory_that_ends_soon_is_warned_of(fed: Path) -> None:
    soon = NOW + LIFETIMES[TIMESTAMP] - timedelta(days=9)
    assert len([each for each in load(fed, NODE, lambda: soon).warnings if "directory" in each]) == 2


def test_a_participant_whose_node_let_its_list_expire_is_told_so(fed: Path) -> None:
    load(fed, PROSECUTOR)
    past = NOW + NODE_LIFETIME
    repository = Repository(fed / development.REPOSITORY)
    publisher = keys.load_signing_key(development.publisher_key(fed))
    repository.publish(publisher, past)
    with pytest.raises(Refusal) as caught:
        load(fed, PROSECUTOR, lambda: past)
    assert caught.value.code is ErrorCode.REVOKED
    assert "expired" in caught.value.detail


# Folders and ports


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_that_does_not_exist_is_refused(fed: Path, port: str) -> None:
    setting(fed / "ee/node.toml", "listen", f'listen = "127.0.0.1:{port}"')
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "listen")


def test_a_node_does_not_say_that_it_is_on_everybodys_own_machine_unless_founders_did(fed: Path) -> None:
    path = fed / "ee/node.toml"
    registry = ('ca_certificate = "ca.pem"', 'ca_key = "ca.key"', 'directory_key = "directory.key"')
    path.write_text("\n".join(['endpoint = "localhost:7441"', path.read_text(), "[registry]", *registry]))
    assert load(fed, NODE).config.endpoint == "localhost:7441"
    edit_directory(fed, lambda content: entry_of(content, NODE).update(endpoint="node.ee.example:7440"))
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "endpoint")


@pytest.mark.parametrize(("address", "name"), [(NODE, "store"), (PROSECUTOR, "home")])
def test_a_folder_that_is_missing_or_a_file_is_refused(fed: Path, address: Address, name: str) -> None:
    folder = home_of(fed, address) / name
    folder.rmdir()
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, name)
    folder.touch()
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, name)


@pytest.mark.parametrize(("address", "name"), [(NODE, "store"), (PROSECUTOR, "home")])
def test_a_folder_that_cannot_be_written_is_refused(
    fed: Path, address: Address, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Asked of the system call itself, because to root every folder can be written.
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path).name == name and mode & os.W_OK))
    assert refused(fed, address) == (ErrorCode.BAD_CONFIG, name)


def test_a_folder_in_the_place_of_the_store_is_refused(fed: Path) -> None:
    setting(fed / "ee/node.toml", "store", 'store = "store"')
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "store")


@pytest.mark.parametrize(("address", "name"), [(NODE, "store"), (PROSECUTOR, "home")])
def test_a_folder_that_lets_others_in_is_warned_of(fed: Path, address: Address, name: str) -> None:
    (home_of(fed, address) / name).chmod(0o755)
    assert len(load(fed, address).warnings) == 1


def test_a_new_signing_key_is_taken_once_the_directory_holds_it(fed: Path) -> None:
    key = SigningKey.generate()
    (fed / "ee/signing.key").unlink()
    keys.save_signing_key(fed / "ee/signing.key", key)
    assert refused(fed, NODE) == (ErrorCode.BAD_CONFIG, "signing_keys")
    entry = {"public": bytes(key.verify_key).hex(), "not_before": NOW.isoformat()}
    edit_directory(fed, lambda content: entry_of(content, NODE)["signing_keys"].append(entry))
    assert load(fed, NODE).signing_key.public_key == bytes(key.verify_key)


def test_certificate_of_before_a_participant_was_taken_in_again_is_told_to_its_owner(fed: Path) -> None:
    def taken_in_again(content: dict[str, Any]) -> None:
        entry_of(content, PROSECUTOR)["certificates_not_before"] = (NOW + timedelta(seconds=1)).isoformat()

    edit_directory(fed, taken_in_again)
    assert refused(fed, PROSECUTOR) == (ErrorCode.REVOKED, "certificate")
