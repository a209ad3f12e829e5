"""Files sealed piece by piece: what travels is a libsodium secretstream, and nodes hold nothing else.

In: the bytes of a file and a key; or a ciphertext and its key. Out: the same the other way round, a piece at a time, in
memory that does not grow with the file. No I/O: whoever calls reads and writes.

    ciphertext := header (24 bytes)  piece*  last piece
    piece      := XChaCha20-Poly1305 of 256 KiB, 17 bytes longer; the last is 0 to 256 KiB and says that it is the last

The stream chains its pieces: none can be changed, left out, repeated, swapped, or taken from another file; and it
cannot be cut off, since only the last says that it is one. Refuses all of that with CANNOT_OPEN. A key is for one file.

Source: libsodium's documentation of crypto_secretstream_xchacha20poly1305.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError
from rogatory.v1 import parties_pb2 as parties

from gateway.errors import ErrorCode, Refusal

PIECE_BYTES: Final = 256 << 10
HEADER_BYTES: Final = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
KEY_BYTES: Final = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
OVERHEAD_BYTES: Final = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
MAX_FILE_BYTES: Final = 1 << 45
"""32 TiB: far above what is ever sent, far below where one key would wear out."""

_MESSAGE: Final = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: Final = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_SEALED_PIECE: Final = PIECE_BYTES + OVERHEAD_BYTES
_ABOUT: Final = b"rogatory/v1/attachment"


def sealed_size(size: int) -> int:
    """Return the bytes of the ciphertext of a file of so many bytes."""
    return HEADER_BYTES + size + OVERHEAD_BYTES * max(1, -(-size // PIECE_BYTES))


def check(attachment: parties.Attachment, field: str = "sealed") -> None:
    """Check that what a document says of a sealed file can be true.

    Raises:
        Refusal: CONTENT_MISMATCH, no file of that size has a ciphertext of that size.
    """
    if attachment.size > MAX_FILE_BYTES or attachment.sealed.size != sealed_size(attachment.size):
        detail = "a file of this size has a ciphertext of another size"
        raise Refusal(ErrorCode.CONTENT_MISMATCH, detail, f"{field}.size")


def seal(content: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Yield the ciphertext of a file; a key may be used for one file alone.

    Args:
        content: its bytes, cut anywhere.
        key: 32 random bytes.
    """
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    yield bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    before: bytes | None = None
    for piece in _cut(content, PIECE_BYTES):
        if before is not None:
            yield bindings.crypto_secretstream_xchacha20poly1305_push(state, before, _ABOUT, _MESSAGE)
        before = piece
    yield bindings.crypto_secretstream_xchacha20poly1305_push(state, before or b"", _ABOUT, _FINAL)


def open_sealed(ciphertext: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Yield the bytes of a file; the last of them proves that none is missing, and none before it does.

    Args:
        ciphertext: its bytes, cut anywhere.
        key: that it was sealed with.

    Raises:
        Refusal: CANNOT_OPEN, another key, or anything changed.
    """
    pieces = _cut(ciphertext, _SEALED_PIECE, first=HEADER_BYTES)
    header = next(pieces, b"")
    if len(header) != HEADER_BYTES:
        raise _refused("it is shorter than its header")
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    is_whole = False
    for piece in pieces:
        if is_whole:
            raise _refused("something follows its end")
        try:
            plain, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, piece, _ABOUT)
        except CryptoError as error:
            raise _refused("a piece is not the one that was sealed in this place with this key") from error
        is_whole = tag == _FINAL
        if not is_whole and (tag != _MESSAGE or len(plain) != PIECE_BYTES):
            raise _refused("its pieces are not cut as they must be")
        if plain:
            yield plain
    if not is_whole:
        raise _refused("its end is missing")


def _cut(content: Iterable[bytes], size: int, first: int | None = None) -> Iterator[bytes]:
    """Yield the same bytes, cut into pieces of `size`, the first one of `first`; the last may be shorter."""
    held = bytearray()
    wanted = first or size
    for some in content:
        held += some
        while len(held) >= wanted:
            yield bytes(held[:wanted])
            del held[:wanted]
            wanted = size
    if held:
        yield bytes(held)


def _refused(detail: str) -> Refusal:
    return Refusal(ErrorCode.CANNOT_OPEN, detail, "attachment")
