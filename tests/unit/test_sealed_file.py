"""Chunk crypto: whatever is done to a ciphertext, it does not open; by code."""

import os
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from rogatory.v1 import parties_pb2 as parties

from gateway import sealed_file
from gateway.errors import ErrorCode, Refusal
from gateway.sealed_file import HEADER_BYTES, OVERHEAD_BYTES, PIECE_BYTES, sealed_size

KEY = bytes(range(32))
SEALED_PIECE = PIECE_BYTES + OVERHEAD_BYTES
PLAIN = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"the end"
SEALED = b"".join(sealed_file.seal([PLAIN], KEY))
OTHER = b"".join(sealed_file.seal([PLAIN], KEY))


def opened(ciphertext: bytes, key: bytes = KEY) -> bytes:
    return b"".join(sealed_file.open_sealed([ciphertext], key))


def piece(number: int, of: bytes = SEALED) -> bytes:
    start = HEADER_BYTES + number * SEALED_PIECE
    return of[start : start + SEALED_PIECE]


HEAD = SEALED[:HEADER_BYTES]
FIRST, SECOND, THIRD, LAST = map(piece, range(4))


def test_what_was_sealed_opens() -> None:
    assert opened(SEALED) == PLAIN


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
def test_size_of_the_ciphertext_is_known_before(size: int) -> None:
    sealed = b"".join(sealed_file.seal([bytes(size)], KEY))
    assert len(sealed) == sealed_size(size)
    assert opened(sealed) == bytes(size)


def test_two_ciphertexts_of_one_file_have_nothing_in_common() -> None:
    assert SEALED[:HEADER_BYTES] != OTHER[:HEADER_BYTES]
    assert piece(0) != piece(0, OTHER)


ATTACKS: dict[str, bytes] = {
    "nothing": b"",
    "half a header": SEALED[:12],
    "header alone": HEAD,
    "truncated after a piece": HEAD + FIRST + SECOND,
    "truncated within a piece": SEALED[:-1],
    "last piece missing": HEAD + FIRST + SECOND + THIRD,
    "last piece alone": HEAD + LAST,
    "first piece missing": HEAD + SECOND + THIRD + LAST,
    "middle piece missing": HEAD + FIRST + THIRD + LAST,
    "two swapped": HEAD + SECOND + FIRST + THIRD + LAST,
    "one repeated": HEAD + FIRST + FIRST + SECOND + THIRD + LAST,
    "last repeated": SEALED + LAST,
    "something appended": SEALED + b"x",
    "a piece of another file": HEAD + piece(0, OTHER) + SECOND + THIRD + LAST,
    "header of another file": OTHER[:HEADER_BYTES] + SEALED[HEADER_BYTES:],
    "a bit of the header": bytes([SEALED[0] ^ 1]) + SEALED[1:],
    "a bit of a piece": SEALED[:5000] + bytes([SEALED[5000] ^ 1]) + SEALED[5001:],
    "a piece shorter than its overhead": HEAD + FIRST[:10],
}


@pytest.mark.parametrize("ciphertext", ATTACKS.values(), ids=ATTACKS)
def test_what_was_changed_does_not_open(ciphertext: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        opened(ciphertext)
    assert caught.value.code is ErrorCode.CANNOT_OPEN


def test_another_key_does_not_open() -> None:
    with pytest.raises(Refusal) as caught:
        opened(SEALED, bytes(32))
    assert caught.value.code is ErrorCode.CANNOT_OPEN


def stream(write: Callable[[object], bytes]) -> bytes:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    return bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY) + write(state)


def pushed(state: object, content: bytes, about: bytes | None, tag: int) -> bytes:
    assert isinstance(state, bindings.crypto_secretstream_xchacha20poly1305_state)
    return bindings.crypto_secretstream_xchacha20poly1305_push(state, content, about, tag)


ABOUT = b"rogatory/v1/attachment"
MESSAGE, PUSH, REKEY, FINAL = (
    getattr(bindings, f"crypto_secretstream_xchacha20poly1305_TAG_{name}")
    for name in ("MESSAGE", "PUSH", "REKEY", "FINAL")
)
BY_THE_KEYS_OWNER = {
    "sealed for another purpose": stream(lambda s: pushed(s, b"x", None, FINAL)),
    "pieces cut otherwise": stream(lambda s: pushed(s, b"x", ABOUT, MESSAGE) + pushed(s, b"y", ABOUT, FINAL)),
    "a tag that we do not use": stream(
        lambda s: pushed(s, bytes(PIECE_BYTES), ABOUT, PUSH) + pushed(s, b"", ABOUT, FINAL)
    ),
    "a new key in between": stream(
        lambda s: pushed(s, bytes(PIECE_BYTES), ABOUT, REKEY) + pushed(s, b"", ABOUT, FINAL)
    ),
    "two ends": stream(lambda s: pushed(s, bytes(PIECE_BYTES), ABOUT, FINAL) + pushed(s, b"", ABOUT, FINAL)),
}


@pytest.mark.parametrize("ciphertext", BY_THE_KEYS_OWNER.values(), ids=BY_THE_KEYS_OWNER)
def test_what_its_sender_sealed_otherwise_does_not_open(ciphertext: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        opened(ciphertext)
    assert caught.value.code is ErrorCode.CANNOT_OPEN


@given(st.integers(0, 2 * PIECE_BYTES + 100), st.lists(st.integers(1, 2 * PIECE_BYTES), max_size=6))
def test_however_it_is_cut_it_is_the_same_file(size: int, cuts: list[int]) -> None:
    plain = os.urandom(64) * (size // 64 + 1)
    plain = plain[:size]

    def cut(content: bytes) -> list[bytes]:
        places = sorted({0, len(content), *(each for each in cuts if each < len(content))})
        return [content[a:b] for a, b in pairwise(places)]

    sealed = b"".join(sealed_file.seal(cut(plain), KEY))
    assert len(sealed) == sealed_size(size)
    assert b"".join(sealed_file.open_sealed(cut(sealed), KEY)) == plain


@given(st.integers(0, sealed_size(70_000) - 1), st.integers(0, 7))
def test_no_bit_can_be_changed(position: int, bit: int) -> None:
    sealed = bytearray(SHORT)
    sealed[position] ^= 1 << bit
    with pytest.raises(Refusal) as caught:
        opened(bytes(sealed))
    assert caught.value.code is ErrorCode.CANNOT_OPEN


SHORT = b"".join(sealed_file.seal([bytes(70_000)], KEY))


@given(st.integers(0, sealed_size(70_000) - 1))
def test_it_can_be_cut_off_nowhere(length: int) -> None:
    with pytest.raises(Refusal) as caught:
        opened(SHORT[:length])
    assert caught.value.code is ErrorCode.CANNOT_OPEN


@pytest.mark.parametrize(
    ("size", "sealed"), [(10, sealed_size(10) - 1), (10, sealed_size(11)), (0, 0), (1 << 46, sealed_size(1 << 46))]
)
def test_sizes_that_cannot_be_are_refused(size: int, sealed: int) -> None:
    with pytest.raises(Refusal) as caught:
        sealed_file.check(parties.Attachment(size=size, sealed=parties.SealedFile(size=sealed)))
    assert caught.value.code is ErrorCode.CONTENT_MISMATCH
