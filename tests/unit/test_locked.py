import base64
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import nacl.exceptions
import pytest
from nacl import pwhash

from gateway import locked
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.hidden import Passphrase

PHRASE = Passphrase("correct horse battery staple")
PEM = b"-----BEGIN PRIVATE KEY-----\nnot looked at here\n-----END PRIVATE KEY-----\n"
LOCKED = locked.lock(PEM, "Ed25519", bytes(range(32)), PHRASE, locked.LEAST)
CONTENT = LOCKED.dump()


def refused(action: Callable[..., object], *arguments: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        action(*arguments)
    assert caught.value.code is ErrorCode.KEY_FILE
    return caught.value


def opened(content: bytes, phrase: Passphrase = PHRASE) -> bytes:
    return locked.unlock(locked.read(content), phrase)


def with_fields(**changes: Any) -> bytes:
    return json.dumps(json.loads(CONTENT) | changes).encode() + b"\n"


def test_what_was_locked_opens_with_its_passphrase_alone() -> None:
    assert opened(CONTENT) == PEM
    for other in ("correct horse battery stapl", "correct horse battery staple ", "Correct horse battery staple"):
        refused(opened, CONTENT, Passphrase(other))


def test_two_locks_of_one_key_share_nothing_but_what_is_public() -> None:
    again = locked.lock(PEM, "Ed25519", bytes(range(32)), PHRASE, locked.LEAST)
    assert again.salt != LOCKED.salt
    assert again.nonce != LOCKED.nonce
    assert again.sealed[:16] != LOCKED.sealed[:16]


def test_the_derivation_is_argon2id_of_version_13() -> None:
    """Held to the reference's own encoded form, so that a later libsodium cannot quietly take another."""
    phrase, salt = b"correct horse battery staple", LOCKED.salt
    wanted = pwhash.argon2id.kdf(32, phrase, salt, locked.LEAST.passes, locked.LEAST.memory)
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415

    other = Argon2id(salt=salt, length=32, iterations=locked.LEAST.passes, lanes=1, memory_cost=8 << 10)
    assert other.derive(phrase) == wanted


def test_no_changed_byte_of_the_file_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(size: int, *inputs: object) -> bytes:
        return sha256(repr((size, inputs)).encode()).digest()

    monkeypatch.setattr(pwhash.argon2id, "kdf", derive)  # the real one would take minutes
    content = locked.lock(PEM, "Ed25519", bytes(32), PHRASE).dump()
    assert opened(content) == PEM
    for position in range(len(content)):
        for bit in (1, 2, 4, 32):
            changed = bytearray(content)
            changed[position] ^= bit
            refused(opened, bytes(changed))


@pytest.mark.parametrize("size", [0, 1, 20, 100, len(CONTENT) // 2, len(CONTENT) - 2, len(CONTENT) - 1])
def test_a_truncated_file_is_refused(size: int) -> None:
    refused(opened, CONTENT[:size])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"memory": 1 << 40}, id="all memory there is"),
        pytest.param({"memory": locked.MOST.memory + 1}, id="memory just above"),
        pytest.param({"memory": locked.LEAST.memory - 1}, id="memory just below"),
        pytest.param({"memory": -1}, id="negative memory"),
        pytest.param({"memory": float(locked.LEAST.memory)}, id="a float for memory"),
        pytest.param({"memory": 1 << 4000}, id="memory beyond any integer of C"),
        pytest.param({"passes": locked.MOST.passes + 1}, id="passes just above"),
        pytest.param({"passes": (1 << 32) - 1}, id="passes for a year"),
        pytest.param({"passes": 0}, id="no passes"),
        pytest.param({"passes": True}, id="truth for a number"),
        pytest.param({"passes": 1.0}, id="a float"),
        pytest.param({"passes": "1"}, id="text for a number"),
        pytest.param({"passes": None}, id="null"),
        pytest.param({"salt": ""}, id="no salt"),
        pytest.param({"salt": "00" * 17}, id="a long salt"),
        pytest.param({"nonce": "00" * 12}, id="a short nonce"),
        pytest.param({"nonce": LOCKED.nonce.hex().upper()}, id="capitals"),
        pytest.param({"kdf": "scrypt"}, id="another derivation"),
        pytest.param({"format": "rogatory-locked-key-2"}, id="a format of the future"),
        pytest.param({"algorithm": "RSA"}, id="another algorithm"),
        pytest.param({"algorithm": ["Ed25519"]}, id="a list of algorithms"),
        pytest.param({"sealed": base64.b64encode(LOCKED.sealed).decode() + "\n"}, id="a line end in base64"),
        pytest.param({"comment": "x"}, id="another field"),
    ],
)
def test_a_hostile_file_is_refused_before_anything_is_derived(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def derive(*arguments: object) -> bytes:
        raise AssertionError("derived")

    monkeypatch.setattr(pwhash.argon2id, "kdf", derive)
    refused(opened, with_fields(**changes))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, CONTENT + b" ", b" " + CONTENT]
)
def test_what_is_not_the_form_is_refused(content: bytes) -> None:
    refused(opened, content)


@pytest.mark.parametrize("name", ["algorithm", "public", "passes", "salt", "nonce"])
def test_what_stands_beside_the_key_cannot_be_exchanged(name: str) -> None:
    other = locked.lock(PEM, "X25519", bytes(32), PHRASE, locked.Cost(2, locked.LEAST.memory)).dump()
    refused(opened, with_fields(**{name: json.loads(other)[name]}))


def test_an_empty_sealed_part_is_refused() -> None:
    refused(opened, with_fields(sealed=""))


def test_without_the_memory_it_is_a_failure_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(*arguments: object) -> bytes:
        raise nacl.exceptions.RuntimeError("no memory")

    monkeypatch.setattr(pwhash.argon2id, "kdf", derive)
    with pytest.raises(Failure) as caught:
        locked.unlock(LOCKED, PHRASE)
    assert caught.value.code is ErrorCode.UNAVAILABLE


def test_the_default_costs_what_libsodium_advises_and_is_within_the_bounds() -> None:
    assert locked.LEAST.memory < locked.DEFAULT.memory < locked.MOST.memory
    assert locked.LEAST.passes < locked.DEFAULT.passes < locked.MOST.passes
    assert locked.DEFAULT.memory >= 64 << 20  # RFC 9106 section 4, second recommendation
    assert locked.DEFAULT.passes >= 3
