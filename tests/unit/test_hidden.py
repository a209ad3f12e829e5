import base64
import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway import keys, locked
from gateway.cli.diagnostics import JsonLines
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import HiddenSealingKey, HiddenSigningKey, Passphrase
from gateway.signer import KeySigner
from gateway.target_keys import TargetKey
from gateway.transport import TlsIdentity

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032 section 7.1
P256 = ec.derive_private_key(int.from_bytes(SEED), ec.SECP256R1())
PHRASE = Passphrase(SEED.hex())
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True)
class Holder:
    """As a programmer might hold a key who forgot `repr=False`."""

    key: object


SECRETS = {
    "signing key": HiddenSigningKey(SEED),
    "sealing key": HiddenSealingKey(SEED),
    "target key": TargetKey(1, NOW, NOW + timedelta(days=1), SEED),
    "passphrase": PHRASE,
    "signer": KeySigner(SigningKey(SEED)),
    "P-256 key": P256,
}


def shows(text: str | bytes) -> bool:
    """Whether a text holds the secret, in any of the ways that bytes come to be written."""
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    ways = [SEED, SEED.hex().encode(), SEED.hex().upper().encode(), repr(SEED)[2:-1].encode()]
    ways += [str(int.from_bytes(SEED)).encode(), str([*SEED])[1:-1].encode()]
    for shift in range(3):
        # Base64 at any alignment: what begins within a group of three has another text.
        encoded = base64.b64encode(bytes(shift) + SEED)
        ways += [encoded[4:-4], encoded[4:-4].translate(bytes.maketrans(b"+/", b"-_"))]
    return any(way in raw for way in ways)


def test_the_search_finds_each_way_of_writing_the_secret() -> None:
    """Else all tests below would prove nothing. PyNaCl's own key is what they are about."""
    assert shows(str(SigningKey(SEED)))
    assert shows(pickle.dumps(SigningKey(SEED)))
    pkcs8 = keys.pem(Ed25519PrivateKey.from_private_bytes(SEED))
    for written in (SEED, SEED.hex(), repr(SEED), base64.b64encode(SEED), pkcs8):
        assert shows(written)


@pytest.fixture(params=[*SECRETS])
def secret(request: pytest.FixtureRequest) -> object:
    return SECRETS[request.param]


WRITERS: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "f-string": lambda each: f"{each} {each!r} {each!s} {each!a}",
    "percent": lambda each: "%s %r" % (each, each),  # noqa: UP031  old code is written so
    "dataclass": lambda each: repr(Holder(each)),
    "containers": lambda each: f"{[each]} {(each,)} { ({'k': each}) }",
    "json": lambda each: json.dumps({"key": each}, default=str),
}


@pytest.mark.parametrize("writer", [*WRITERS])
def test_no_way_to_write_a_secret_shows_it(secret: object, writer: str) -> None:
    try:
        text = WRITERS[writer](secret)
    except TypeError as error:
        text = str(error)
    assert not shows(text)


COPIERS: dict[str, Callable[[object], object]] = {
    "pickle, oldest protocol": lambda key: pickle.dumps(key, 0),
    "pickle": pickle.dumps,
    "pickle, newest protocol": lambda key: pickle.dumps(key, pickle.HIGHEST_PROTOCOL),
    "deepcopy": copy.deepcopy,
    "asdict": lambda key: dataclasses.asdict(Holder(key)),
}


@pytest.mark.parametrize("copier", [*COPIERS])
def test_no_secret_is_pickled(secret: object, copier: str) -> None:
    if secret is P256 and "pickle" not in copier:
        return  # cryptography's keys copy as references
    with pytest.raises((TypeError, pickle.PicklingError)) as caught:
        COPIERS[copier](secret)
    assert not shows(str(caught.value))


def test_no_log_line_shows_a_secret(secret: object) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("tests.hidden")
    logger.addHandler(handler)
    try:
        logger.error("signed with %s", secret, extra={"key": secret})
        logger.error("failed", exc_info=ValueError(secret), extra={"holder": Holder(secret)})
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue().count("\n") == 2
    assert not shows(stream.getvalue())


def test_no_traceback_shows_a_secret_even_with_its_local_variables(secret: object) -> None:
    def fails(key: object) -> None:
        raise RuntimeError(f"{key} does not do")

    try:
        fails(secret)
    except RuntimeError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert not shows("".join(shown.format()))


def test_a_certificates_key_is_not_shown_by_its_holder() -> None:
    assert not shows(repr(TlsIdentity(keys.pem(P256), b"chain")))


def raised(action: Callable[..., object], *arguments: object) -> str:
    """All that could be logged of an error: the whole chain, and local variables of every frame of ours."""
    with pytest.raises(GatewayError) as caught:
        action(*arguments)
    error = caught.value
    assert error.code is ErrorCode.KEY_FILE
    shown = "".join(traceback.TracebackException.from_exception(error).format())
    chain = [error, error.__cause__, error.__context__ if not error.__suppress_context__ else None]
    return shown + "".join(f"{each!r}{each}{getattr(each, '__dict__', '')}" for each in chain)


@pytest.mark.parametrize("passphrase", [None, Passphrase("some other words")])
def test_no_refusal_of_a_key_file_shows_a_key(tmp_path: Path, passphrase: Passphrase | None) -> None:
    plain, sealed, broken = tmp_path / "plain", tmp_path / "locked", tmp_path / "broken"
    keys.save_signing_key(plain, SigningKey(SEED))
    keys.save_signing_key(sealed, SigningKey(SEED), PHRASE, locked.LEAST)
    keys.save_signing_key(broken, SigningKey(SEED))
    broken.write_bytes(broken.read_bytes().replace(b"MC4C", b"MC4D"))
    for path in (plain, sealed, broken):
        for load in (keys.load_signing_key, keys.load_sealing_key, keys.load_tls_key):
            if (path, passphrase, load) != (plain, None, keys.load_signing_key):
                assert not shows(raised(load, path, passphrase))


def test_a_refused_passphrase_is_not_shown(tmp_path: Path) -> None:
    for text in (SEED.hex()[:11], SEED.hex() + "\n" + SEED.hex(), SEED.hex() * 40):
        with pytest.raises(Refusal) as caught:
            Passphrase(text, "file")
        assert text[:11] not in f"{caught.value!r} {caught.value}"


def test_a_locked_file_shows_no_key(tmp_path: Path) -> None:
    keys.save_signing_key(tmp_path / "key", SigningKey(SEED), PHRASE, locked.LEAST)
    assert not shows((tmp_path / "key").read_bytes())


# They still are the keys that they hide


def test_a_hidden_key_works_as_the_key_that_it_is() -> None:
    signing, sealing = HiddenSigningKey(SEED), HiddenSealingKey(SEED)
    assert signing == SigningKey(SEED)
    assert SigningKey(SEED) == signing
    assert hash(signing) == hash(SigningKey(SEED))
    assert signing != SigningKey(bytes(32))
    assert signing != SEED
    assert bytes(signing) == SEED
    assert sealing == PrivateKey(SEED)
    assert PrivateKey(SEED) == sealing
    assert hash(sealing) == hash(PrivateKey(SEED))
    assert sealing != PrivateKey(bytes(32))
    signing.verify_key.verify(signing.sign(b"message"))


def test_what_is_loaded_is_hidden(tmp_path: Path) -> None:
    keys.save_signing_key(tmp_path / "sign", SigningKey(SEED))
    keys.save_sealing_key(tmp_path / "seal", PrivateKey(SEED))
    assert isinstance(keys.load_signing_key(tmp_path / "sign"), HiddenSigningKey)
    assert isinstance(keys.load_sealing_key(tmp_path / "seal"), HiddenSealingKey)
