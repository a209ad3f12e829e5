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
)
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway import keys
from gateway.errors import ErrorCode, GatewayError

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
