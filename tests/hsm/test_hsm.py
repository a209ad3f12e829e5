"""The signer of a real PKCS#11 token, SoftHSM; see `pytest_terminal_summary` for what happens without it.

One process knows one SoftHSM configuration for ever: its library reads the path when it is initialised.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from nacl.signing import SigningKey, VerifyKey
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, TokenFlag
from rogatory.v1 import envelope_pb2 as pb

from gateway import hsm, keys, material, signature
from gateway.cli.development import Summary, init_federation
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal, WrongSecret
from gateway.hidden import Passphrase
from gateway.hsm import Place, TokenSigner
from gateway.signature import Domain
from gateway.signer import KeySigner, Signer
from tests.federation import ports
from tests.processes import START_SECONDS, STOP_SECONDS, rogatory

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",  # Debian
    "/usr/lib64/pkcs11/libsofthsm2.so",  # Fedora
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
TOKEN = "rogatory-test"
PIN = "4711"
EDWARDS25519 = bytes.fromhex("130c656477617264733235353139")  # PrintableString "edwards25519", PKCS#11 v3.0 2.3.5
SEED = bytes(range(32))
PUBLIC = bytes(SigningKey(SEED).verify_key)

Rows = dict[Attribute, object]


@pytest.fixture(scope="session")
def module() -> Path:
    found = next((path for each in MODULES if (path := Path(each)).exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM 2 is not installed, e.g. apt-get install softhsm2")
    return found


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, module: Path) -> Iterator[Path]:
    """SoftHSM's own configuration, with one token that has a PIN."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(settings))
        make = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "12345678"]
        subprocess.run(make, check=True, capture_output=True)
        yield module


def imported(session: pkcs11.Session, label: str, seed: bytes, public: bytes, *, signs: bool = True) -> None:
    """Put both halves of a key into the token, or halves that do not fit."""
    common: Rows = {
        Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
        Attribute.EC_PARAMS: EDWARDS25519,
        Attribute.LABEL: label,
        Attribute.TOKEN: True,
    }
    private: Rows = {
        **common,
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.VALUE: seed,
        Attribute.SIGN: signs,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
    }
    session.create_object(private)
    point = b"\x04\x20" + public
    session.create_object(
        {**common, Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.EC_POINT: point, Attribute.VERIFY: True}
    )


def generated(session: pkcs11.Session, label: str) -> None:
    """Make a key as a ceremony would: inside the token, never outside."""
    curve = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: EDWARDS25519}, local=True)
    curve.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label, capabilities=MechanismFlag.SIGN
    )


@pytest.fixture(scope="session")
def token(environment: Path) -> Path:
    """Fill the token; return the library."""
    with pkcs11.lib(str(environment)).get_token(token_label=TOKEN).open(user_pin=PIN, rw=True) as session:
        imported(session, "known", SEED, PUBLIC)
        imported(session, "halves", SEED, bytes(SigningKey(bytes(32)).verify_key))
        imported(session, "may-not-sign", SEED, PUBLIC, signs=False)
        for label in ("generated", "twice", "twice", "public-gone"):
            generated(session, label)
        session.get_key(ObjectClass.PUBLIC_KEY, label="public-gone").destroy()
    return environment


@pytest.fixture
def place(token: Path) -> Place:
    return Place(token, TOKEN, "known")


def pin(text: str = PIN) -> Passphrase:
    return Passphrase(text, least=hsm.LEAST_PIN_CHARACTERS)


@pytest.fixture
def signer(place: Place) -> Iterator[TokenSigner]:
    found = TokenSigner(place, pin())
    yield found
    found.close()


def refused(place: Place, text: str = PIN) -> GatewayError:
    with pytest.raises(Refusal) as caught:
        TokenSigner(place, pin(text))
    assert caught.value.code is ErrorCode.KEY_FILE
    return caught.value


# One contract, two signers


@pytest.fixture(params=["in memory", "in a token"])
def either(request: pytest.FixtureRequest) -> Signer:
    if request.param == "in memory":
        return KeySigner(SigningKey(SEED))
    found: TokenSigner = request.getfixturevalue("signer")
    return found


def test_a_signer_signs_as_rfc_8032_says_wherever_its_key_lies(either: Signer) -> None:
    assert either.public_key == PUBLIC
    for message in (b"", b"message", bytes(1 << 16)):
        # Ed25519 leaves no choice: the same key and message give the same bytes.
        assert either.sign(message) == SigningKey(SEED).sign(message).signature


def test_statements_signed_by_either_are_the_same_bytes(either: Signer) -> None:
    messages = [b"one", b"two", b"three"]
    direct: pb.Signature = signature.sign(Domain.STATEMENT, b"one", "ee/node", either)
    assert direct == signature.sign(Domain.STATEMENT, b"one", "ee/node", SigningKey(SEED))
    batch = signature.sign_batch(Domain.STATEMENT, messages, "ee/node", either)
    for message, each in zip(messages, batch, strict=True):
        signature.verify(Domain.STATEMENT, message, each, PUBLIC)


def test_no_text_of_a_signer_shows_key_or_pin(either: Signer) -> None:
    shown = f"{either} {either!r} {[either]}"
    assert not any(each in shown for each in (SEED.hex(), PIN, repr(SEED)[2:-1]))


# The token


def test_a_key_that_was_made_in_the_token_signs_and_never_comes_out(place: Place) -> None:
    signer = TokenSigner(replace(place, key="generated"), pin())
    VerifyKey(signer.public_key).verify(b"message", signer.sign(b"message"))
    key = signer._session.get_key(ObjectClass.PRIVATE_KEY, label="generated")
    assert key[Attribute.SENSITIVE]
    assert not key[Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.AttributeSensitive):
        key[Attribute.VALUE]
    signer.close()


def test_a_wrong_pin_is_refused_and_not_shown(place: Place) -> None:
    error = refused(place, "987654")
    assert "987654" not in f"{error!r} {error} {error.__cause__!r}"
    TokenSigner(place, pin()).close()


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"module": Path("/usr/lib/no-such-library.so")}, id="no such library"),
        pytest.param({"module": Path(__file__)}, id="no library"),
        pytest.param({"token": "another"}, id="no such token"),
        pytest.param({"key": "another"}, id="no such key"),
        pytest.param({"key": "twice"}, id="two keys of that name"),
        pytest.param({"key": "public-gone"}, id="no public half"),
        pytest.param({"key": "may-not-sign"}, id="a key that may not sign"),
        pytest.param({"key": "halves"}, id="halves of two keys"),
    ],
)
def test_a_place_without_one_usable_key_is_refused(place: Place, elsewhere: dict[str, Any]) -> None:
    refused(replace(place, **elsewhere))
    TokenSigner(place, pin()).close()  # nothing is left that would be in the way


def test_without_the_extra_the_refusal_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(Refusal) as caught:
        TokenSigner(place, pin())
    assert caught.value.code is ErrorCode.BAD_CONFIG


def test_two_signers_of_one_process_do_not_log_each_other_out_for_long(place: Place, signer: TokenSigner) -> None:
    """As when a node takes new settings: the next signer is there before the last one goes."""
    following = TokenSigner(replace(place, key="generated"), pin())
    signer.close()
    for _ in range(2):
        VerifyKey(following.public_key).verify(b"message", following.sign(b"message"))
    following.close()


def test_many_threads_may_ask_one_signer(signer: TokenSigner) -> None:
    messages = [str(number).encode() for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        for message, made in zip(messages, pool.map(signer.sign, messages), strict=True):
            VerifyKey(PUBLIC).verify(message, made)


def test_a_lost_session_is_opened_anew(signer: TokenSigner) -> None:
    signer._session.close()
    assert signer.sign(b"message") == SigningKey(SEED).sign(b"message").signature


def test_a_token_that_is_gone_is_a_failure_until_it_is_back(
    signer: TokenSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer._session.close()
    with monkeypatch.context() as patch:
        patch.setattr(signer, "_place", replace(signer._place, token="pulled out"))
        with pytest.raises(Failure) as caught:
            signer.sign(b"message")
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert caught.value.retry_after
    assert signer.sign(b"message") == SigningKey(SEED).sign(b"message").signature


def test_a_pin_that_is_no_longer_right_is_tried_once_because_tokens_count(
    signer: TokenSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []
    log_in = signer._log_in

    def counted() -> pkcs11.Session:
        tries.append(None)
        return log_in()

    signer._session.close()
    monkeypatch.setattr(signer, "_pin", pin("987654"))
    monkeypatch.setattr(signer, "_log_in", counted)
    for _ in range(5):
        with pytest.raises(Failure) as caught:
            signer.sign(b"message")
        assert caught.value.code is ErrorCode.UNAVAILABLE
    assert len(tries) == 1


class LastTry:
    """A token that locks itself at the next wrong PIN, and counts who tries."""

    flags = TokenFlag.LOGIN_REQUIRED | TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY
    tries = 0

    def get_token(self, **_label: str) -> "LastTry":
        return self

    def open(self, **_pin: str) -> None:
        self.tries += 1
        raise pkcs11.PinIncorrect


def test_the_last_try_at_a_pin_is_left_to_a_person(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with a wrong PIN is started every few seconds: it would lock the token for good."""
    token = LastTry()
    monkeypatch.setattr(pkcs11, "lib", lambda _module: token)
    assert isinstance(refused(place, "987654"), WrongSecret)
    assert token.tries == 0


def test_service_is_told_a_wrong_pin_from_a_token_that_may_come_back(place: Place) -> None:
    assert isinstance(refused(place, "987654"), WrongSecret)
    assert not isinstance(refused(replace(place, token="unplugged")), WrongSecret)


def test_another_key_of_the_same_name_does_not_sign_in_its_place(
    signer: TokenSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer._session.close()
    monkeypatch.setattr(signer, "_place", replace(signer._place, key="generated"))
    with pytest.raises(Failure):
        signer.sign(b"message")


# A node


@pytest.fixture
def made(tmp_path: Path, place: Place) -> Summary:
    """A federation whose node ee has its signing key in the token and nowhere else."""
    summary = init_federation(tmp_path / "fed", ["ee"], ports(1), datetime.now(UTC))
    path = summary.config("ee/node")
    file = path.with_name("signing.key")
    seed = bytes(keys.load_signing_key(file))
    with pkcs11.lib(str(place.module)).get_token(token_label=TOKEN).open(user_pin=PIN, rw=True) as session:
        imported(session, str(tmp_path), seed, bytes(SigningKey(seed).verify_key))
    file.unlink()
    path.with_name("pin").write_text(PIN)
    path.with_name("pin").chmod(0o600)
    settings = path.read_text().replace('signing_keys = ["signing.key"]\n', "")
    named = f'module = "{place.module}"\ntoken = "{TOKEN}"\nkey = "{tmp_path}"\npin_file = "pin"\n'
    path.write_text(f"{settings}\n[hsm]\n{named}")
    return summary


def test_a_node_starts_with_its_key_in_the_token(made: Summary) -> None:
    loaded = material.load_node(made.config("ee/node"))
    assert loaded.signing_key.public_key == loaded.entry.signing_keys[0].public
    assert isinstance(loaded.signing_key, TokenSigner)
    loaded.signing_key.close()


def test_a_pin_file_that_others_may_read_stops_a_start(made: Summary) -> None:
    made.config("ee/node").with_name("pin").chmod(0o640)
    with pytest.raises(Refusal) as caught:
        material.load_node(made.config("ee/node"))
    assert caught.value.code is ErrorCode.KEY_FILE


def core_size(pid: int) -> str:
    """How much of a process a core dump may hold, at most."""
    if sys.platform != "linux":
        return "unknown"
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("Max core file size")]
    return line.split()[5]


@pytest.mark.integration
async def test_a_real_process_serves_with_its_key_in_the_token(made: Summary) -> None:
    process = await rogatory("serve", "--config", str(made.config("ee/node")))
    line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    if line.startswith(b"ready ee"):
        assert core_size(process.pid) in {"0", "unknown"}
    process.terminate()
    _, errors = await asyncio.wait_for(process.communicate(), STOP_SECONDS)
    assert (line[:8], process.returncode) == (b"ready ee", 0), errors.decode()
