import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway import keys, locked
from gateway.errors import ErrorCode, GatewayError
from gateway.hidden import Passphrase

SEED = bytes(range(32))
P256 = ec.derive_private_key(7, ec.SECP256R1())

Loader = Callable[[Path], object]
LOADERS: list[Loader] = [keys.load_signing_key, keys.load_sealing_key, keys.load_tls_key]


def refused(action: Callable[..., object], *arguments: object) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        action(*arguments)
    assert caught.value.code is ErrorCode.KEY_FILE
    return caught.value


def private_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_saved_key_is_the_key_that_is_loaded(tmp_path: Path) -> None:
    keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    keys.save_sealing_key(tmp_path / "seal", PrivateKey(SEED))
    keys.save_tls_key(tmp_path / "tls", P256)
    assert bytes(keys.load_signing_key(tmp_path / "sign")) == SEED
    assert bytes(keys.load_sealing_key(tmp_path / "seal")) == SEED
    assert keys.load_tls_key(tmp_path / "tls").private_numbers() == P256.private_numbers()


def test_a_saved_key_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "sign").stat().st_mode) == 0o600


def test_a_saved_signing_key_is_the_pkcs8_of_rfc_8410(tmp_path: Path) -> None:
    seed = bytes.fromhex("D4EE72DBF913584AD5B6D8F1F769F8AD3AFE7C28CBF1D4FBE097A88F44755842")  # section 10.3
    keys.save_signing_key(tmp_path / "sign", SigningKey(seed))
    assert (tmp_path / "sign").read_text() == (
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n"
    )


def test_a_key_is_never_overwritten_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "sign"
    keys.save_signing_key(path, SigningKey(SEED))
    refused(keys.save_signing_key, path, SigningKey.generate())
    assert bytes(keys.load_signing_key(path)) == SEED
    assert [*tmp_path.iterdir()] == [path]


def test_a_key_in_a_missing_folder_is_refused_on_both_ways(tmp_path: Path) -> None:
    refused(keys.save_signing_key, tmp_path / "no" / "sign", SigningKey(SEED))
    refused(keys.load_signing_key, tmp_path / "no" / "sign")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    (tmp_path / "sign").chmod(mode)
    refused(keys.load_signing_key, tmp_path / "sign")


def test_a_symbolic_link_is_judged_by_the_file_behind_it(tmp_path: Path) -> None:
    keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    (tmp_path / "link").symlink_to(tmp_path / "sign")
    assert bytes(keys.load_signing_key(tmp_path / "link")) == SEED
    (tmp_path / "sign").chmod(0o644)
    refused(keys.load_signing_key, tmp_path / "link")


@pytest.mark.parametrize("wanted", LOADERS)
def test_a_key_of_another_type_is_refused(tmp_path: Path, wanted: Loader) -> None:
    keys.save_signing_key(tmp_path / "load_signing_key", SigningKey(SEED))
    keys.save_sealing_key(tmp_path / "load_sealing_key", PrivateKey(SEED))
    keys.save_tls_key(tmp_path / "load_tls_key", P256)
    rsa_key = rsa.generate_private_key(65537, 2048)
    p384 = ec.generate_private_key(ec.SECP384R1())
    for name, key in (("rsa", rsa_key), ("p384", p384)):
        private_file(tmp_path / name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for path in tmp_path.iterdir():
        if path.name == wanted.__name__:
            wanted(path)
        else:
            refused(wanted, path)


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
GOOD = keys.pem(KEY)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-40], id="cut short"),
        pytest.param(GOOD.replace(b"MC4C", b"MC4D"), id="broken DER"),
        pytest.param(SEED, id="raw"),
        pytest.param(KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), id="OpenSSH"),
        pytest.param(
            KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
            id="encrypted",
        ),
        pytest.param(GOOD + b"#" * keys.MAX_KEY_FILE_BYTES, id="too large"),
    ],
)
def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = private_file(tmp_path / "key", content)
    for load in LOADERS:
        refused(load, path)


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    refused(keys.load_signing_key, tmp_path)


def test_a_device_is_no_key_file() -> None:
    refused(keys.load_signing_key, Path("/dev/null"))


def test_no_refusal_shows_the_key_or_what_the_parser_said_of_it(tmp_path: Path) -> None:
    keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    body = GOOD.splitlines()[1].decode()
    broken = private_file(tmp_path / "broken", GOOD.replace(b"MC4C", b"MC4D"))
    (tmp_path / "sign").chmod(0o644)
    for error in (
        refused(keys.load_signing_key, broken),
        refused(keys.load_signing_key, tmp_path / "sign"),
        refused(keys.save_signing_key, tmp_path / "sign", SigningKey(SEED)),
    ):
        shown = f"{error} {error!r}"
        assert not any(secret in shown for secret in (body, body[8:], SEED.hex(), repr(SEED)))
    assert refused(keys.load_signing_key, broken).__suppress_context__


def test_no_repr_shows_a_key(tmp_path: Path) -> None:
    keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    keys.save_sealing_key(tmp_path / "seal", PrivateKey(SEED))
    for key in (keys.load_signing_key(tmp_path / "sign"), keys.load_sealing_key(tmp_path / "seal")):
        assert SEED.hex() not in repr(key)
        assert repr(SEED)[2:-1] not in repr(key)


# Under a passphrase

PHRASE = Passphrase("correct horse battery staple")
OTHER = Passphrase("another horse altogether")


def save_all(folder: Path, passphrase: Passphrase | None = None) -> list[tuple[Path, Callable[..., object]]]:
    keys.save_signing_key(folder / "sign", SigningKey(SEED), passphrase, locked.LEAST)
    keys.save_sealing_key(folder / "seal", PrivateKey(SEED), passphrase, locked.LEAST)
    keys.save_tls_key(folder / "tls", P256, passphrase, locked.LEAST)
    names = {"sign": keys.load_signing_key, "seal": keys.load_sealing_key, "tls": keys.load_tls_key}
    return [(folder / name, load) for name, load in names.items()]


def test_an_encrypted_key_is_the_key_that_is_loaded_with_its_passphrase(tmp_path: Path) -> None:
    save_all(tmp_path, PHRASE)
    assert bytes(keys.load_signing_key(tmp_path / "sign", PHRASE)) == SEED
    assert bytes(keys.load_sealing_key(tmp_path / "seal", PHRASE)) == SEED
    assert keys.load_tls_key(tmp_path / "tls", PHRASE).private_numbers() == P256.private_numbers()
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_size < keys.MAX_KEY_FILE_BYTES


def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    for path, load in save_all(tmp_path, PHRASE):
        assert refused(load, path, OTHER).field == str(path)


def test_a_plain_key_in_the_place_of_an_encrypted_one_is_refused(tmp_path: Path) -> None:
    for path, load in save_all(tmp_path):
        refused(load, path, PHRASE)


def test_an_encrypted_key_is_refused_where_plain_ones_are_said_to_be(tmp_path: Path) -> None:
    for path, load in save_all(tmp_path, PHRASE):
        refused(load, path)


def test_an_encrypted_key_of_another_type_is_refused(tmp_path: Path) -> None:
    pairs = save_all(tmp_path, PHRASE)
    for path, right in pairs:
        for _, load in pairs:
            if load is not right:
                refused(load, path, PHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_an_encrypted_key_that_others_may_read_is_refused_all_the_same(tmp_path: Path, mode: int) -> None:
    for path, load in save_all(tmp_path, PHRASE):
        path.chmod(mode)
        refused(load, path, PHRASE)


def test_a_truncated_or_changed_encrypted_key_is_refused(tmp_path: Path) -> None:
    for path, load in save_all(tmp_path, PHRASE):
        content = path.read_bytes()
        for broken in (content[:-10], content.replace(b'"passes": 1', b'"passes": 2'), content[:-6] + b'A="}\n'):
            path.write_bytes(broken)
            refused(load, path, PHRASE)


def test_a_locked_file_that_names_another_public_key_is_refused(tmp_path: Path) -> None:
    """Who knows the passphrase could write one; `keys status` would then show what is not so."""
    plain = keys.pem(KEY)
    lie = locked.lock(plain, "Ed25519", bytes(SigningKey(bytes(32)).verify_key), PHRASE, locked.LEAST)
    refused(keys.load_signing_key, private_file(tmp_path / "lie", lie.dump()), PHRASE)


def test_garbage_under_the_right_passphrase_is_refused(tmp_path: Path) -> None:
    inner = (b"no key", locked.lock(keys.pem(KEY), "Ed25519", bytes(32), PHRASE, locked.LEAST).dump())
    for position, content in enumerate(inner):
        made = locked.lock(content, "Ed25519", bytes(32), PHRASE, locked.LEAST)
        refused(keys.load_signing_key, private_file(tmp_path / str(position), made.dump()), PHRASE)


def test_a_key_file_says_what_it_is_without_its_passphrase(tmp_path: Path) -> None:
    publics = {
        "sign": ("Ed25519", bytes(SigningKey(SEED).verify_key)),
        "seal": ("X25519", bytes(PrivateKey(SEED).public_key)),
        "tls": ("P-256", P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)),
    }
    for passphrase in (None, PHRASE):
        folder = tmp_path / str(passphrase)
        folder.mkdir()
        for path, _ in save_all(folder, passphrase):
            assert keys.inspect(path) == keys.Listed(*publics[path.name], encrypted=passphrase is not None)


def test_encrypting_leaves_the_same_key_and_no_plain_copy(tmp_path: Path) -> None:
    plain = {path.read_bytes() for path, _ in save_all(tmp_path)}
    for path, load in save_pairs(tmp_path):
        before = keys.inspect(path)
        keys.encrypt(path, PHRASE, locked.LEAST)
        assert keys.inspect(path).public == before.public
        load(path, PHRASE)
        refused(load, path)
        refused(keys.encrypt, path, PHRASE, locked.LEAST)  # twice
    left = [each.read_bytes() for each in tmp_path.iterdir()]
    assert len(left) == 3
    assert not plain & {*left}


def save_pairs(folder: Path) -> list[tuple[Path, Callable[..., object]]]:
    names = {"sign": keys.load_signing_key, "seal": keys.load_sealing_key, "tls": keys.load_tls_key}
    return [(folder / name, load) for name, load in names.items()]


@pytest.mark.parametrize("how", ["symlink", "hard link"])
def test_a_key_is_not_encrypted_if_a_plain_copy_would_stay(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "sign", tmp_path / "other"
    keys.save_signing_key(path, SigningKey(SEED))
    if how == "symlink":
        other.symlink_to(path)
    else:
        other.hardlink_to(path)
    refused(keys.encrypt, other, PHRASE, locked.LEAST)
    assert not keys.inspect(path).encrypted
    assert bytes(keys.load_signing_key(path)) == SEED


def test_after_a_change_the_new_passphrase_alone_opens(tmp_path: Path) -> None:
    for path, load in save_all(tmp_path, PHRASE):
        refused(keys.change_passphrase, path, OTHER, PHRASE, locked.LEAST)
        keys.change_passphrase(path, PHRASE, OTHER, locked.LEAST)
        load(path, OTHER)
        refused(load, path, PHRASE)
    assert len([*tmp_path.iterdir()]) == 3


def test_a_locked_key_that_would_not_open_again_is_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sign"
    keys.save_signing_key(path, SigningKey(SEED))
    monkeypatch.setattr(locked, "unlock", lambda *arguments: b"something else")
    with pytest.raises(AssertionError):
        keys.encrypt(path, PHRASE, locked.LEAST)
    assert bytes(keys.load_signing_key(path)) == SEED
