"""Private keys on disk.

In: a path. Out: a key object. One key a file, PKCS#8 in PEM (RFC 5958, RFC 7468 section 10, RFC 8410), mode
0600. Refuses files that anybody but their owner may touch, and keys of another type: a sealing key cannot be
used to sign by mistaking one path for another. No message carries a byte of any file.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from gateway.errors import ErrorCode, Refusal

MAX_KEY_FILE_BYTES: Final = 4096
"""The largest file written here, of a P-256 key, has 241 bytes; above this it is surely something else."""

_PKCS8: Final = b"-----BEGIN PRIVATE KEY-----"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def save_signing_key(path: Path, key: SigningKey) -> None:
    """Write an Ed25519 key to a new file `path`.

    Raises:
        Refusal: KEY_FILE, `path` exists or cannot be written. A key is never overwritten.

    Source: RFC 8410 section 7.
    """
    _create(path, pem(Ed25519PrivateKey.from_private_bytes(bytes(key))))


def load_signing_key(path: Path) -> SigningKey:
    """Read an Ed25519 key.

    Raises:
        Refusal: KEY_FILE, the file is missing, open to others, not PKCS#8 PEM, or holds another type of key.
    """
    key = _load(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise _refusal(path, "not an Ed25519 key")
    return SigningKey(key.private_bytes_raw())


def save_sealing_key(path: Path, key: PrivateKey) -> None:
    """Write an X25519 key to a new file `path`; see `save_signing_key`."""
    _create(path, pem(X25519PrivateKey.from_private_bytes(bytes(key))))


def load_sealing_key(path: Path) -> PrivateKey:
    """Read an X25519 key; refuses as `load_signing_key` does."""
    key = _load(path)
    if not isinstance(key, X25519PrivateKey):
        raise _refusal(path, "not an X25519 key")
    return PrivateKey(key.private_bytes_raw())


def save_tls_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    """Write the P-256 key of a certificate to a new file `path`; see `save_signing_key`."""
    _create(path, pem(key))


def load_tls_key(path: Path) -> EllipticCurvePrivateKey:
    """Read the P-256 key of a certificate; refuses as `load_signing_key` does."""
    key = _load(path)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise _refusal(path, "not a P-256 key")
    return key


def pem(key: Ed25519PrivateKey | X25519PrivateKey | EllipticCurvePrivateKey) -> bytes:
    """Return `key` as unencrypted PKCS#8 PEM. For key files and for gRPC, which takes nothing else."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _create(path: Path, content: bytes) -> None:
    """Make `path` appear whole, on disk and with mode 0600, or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A hard link, not a rename: a rename would silently replace a key that is already there.
            os.link(draft, path)
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise _refusal(path, f"cannot be created ({error.strerror})") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> PrivateKeyTypes:
    content = _read_private(path)
    if not content.startswith(_PKCS8):
        raise _refusal(path, "not an unencrypted PKCS#8 PEM file")
    try:
        return load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `from None`: what the parser says about a private key is not for a trace.
        raise _refusal(path, "not a readable private key") from None


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # Asked of the open file, not of the path: the answer is about the bytes that are read, and a
            # symbolic link, as secret stores mount them, is judged by what it points at.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _refusal(path, "not a regular file")
            if status.st_mode & _OTHERS:
                raise _refusal(path, f"mode {stat.S_IMODE(status.st_mode):04o} lets others in, 0600 wanted")
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error
    if len(content) > MAX_KEY_FILE_BYTES:
        raise _refusal(path, f"above {MAX_KEY_FILE_BYTES} bytes")
    return content


def _refusal(path: Path, reason: str) -> Refusal:
    return Refusal(ErrorCode.KEY_FILE, reason, str(path))
