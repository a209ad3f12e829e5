"""A participant's files: sealed before they leave, opened after they came, and taken up again wherever that broke off.

In: a file; or what a document says of one. Out: the attachment to name in a document, and its ciphertext at our node;
or the file itself. A file is sealed once, into our own home: what is brought to the node are always the same bytes,
whoever killed us meanwhile and whatever became of the file. Beside it lies its key, sealed to ourselves, so that the
same file need not be sealed twice. What is fetched is written as it comes, and opened when its digest is right. No call
holds more than a piece of a file in memory.

    attachments/<digest>        a ciphertext, until the envelope that names it was accepted
    attachments/<digest>.key    what its document says of it, in a sealed box of our own
    attachments/<digest>.part   a ciphertext that comes

Refuses with BAD_INPUT a file that cannot be read or changes meanwhile, with BAD_SIGNATURE and CANNOT_OPEN what is not
the ciphertext that was named or does not open, with CONTENT_MISMATCH what opens to another file than the document says.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import errno
import fcntl
import mimetypes
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import grpc.aio
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub

from clients.maildir import DiskFailure
from gateway import codec, private_files, sealed_file, transfer
from gateway.envelope import Random
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.transport import error_of

FOLDER: Final = "attachments"
READ_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 256 << 10
SYNC_BYTES: Final = 64 << 20
MAX_KEY_BYTES: Final = 8192
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""So link(2) fails on a file system that has no hard links: exFAT, many network shares."""
UNKNOWN_TYPE: Final = "application/octet-stream"

Watch: TypeAlias = Callable[[str, str, int, int], None]
"""Told what is being done ("seal", "bring", "fetch", "open"), with which file, and how many of its bytes are done."""


Told: TypeAlias = Callable[[int], None]
"""Told how many bytes of a ciphertext are where they should be."""


def unwatched(_doing: str, _name: str, _done: int, _total: int) -> None:
    """Watch nothing."""


class Files:
    """The files of one participant below its home.

    Args:
        home: the participant's.
        random: source of keys.
    """

    def __init__(self, home: Path, random: Random) -> None:
        self._folder = home / FOLDER
        self._random = random
        self.watch: Watch = unwatched
        with _disk_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Sealing

    def seal(
        self,
        path: Path,
        keys: Sequence[PrivateKey],
        *,
        title: str = "",
        media_type: str = "",
        language: str = "",
    ) -> parties.Attachment:
        """Seal a file into our home; return what a document says of it.

        Args:
            path: the file.
            keys: our own sealing keys; to the first, its key is sealed for ourselves.
            title: by default its name.
            media_type: by default as its name tells.
            language: a BCP 47 tag.

        Raises:
            Refusal: BAD_INPUT, BAD_CONFIG (we have no key).
            Failure: STORE, our own disk.
        """
        if not keys:
            raise Refusal(ErrorCode.BAD_CONFIG, "without a sealing key of our own nothing is attached", "sealing_keys")
        with _opened(path) as file:
            made = self._sealed_before(file, path, keys) or self._seal(file, path, keys[0])
        made.title = title or path.name
        made.media_type = media_type or mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE
        made.language = language
        codec.check(made, ErrorCode.BAD_INPUT)
        return made

    def _sealed_before(self, file: BinaryIO, path: Path, keys: Sequence[PrivateKey]) -> parties.Attachment | None:
        """Return what is known of a file that was sealed and has not been handed in, e.g. because we were killed."""
        size = os.fstat(file.fileno()).st_size
        alike = [each for each in self._notes(keys) if each.size == size and self._whole(each.sealed) is not None]
        if not alike:
            return None
        digest = sha256()
        for piece in self._watched("look", path, file, size):
            digest.update(piece)
        file.seek(0)
        # A ciphertext that the disk has changed no node takes: then the file is sealed anew.
        return next((each for each in alike if each.sha256 == digest.digest() and self._is_sound(each.sealed)), None)

    def _is_sound(self, sealed: parties.SealedFile) -> bool:
        with _disk_errors(), self._path(sealed.sha256).open("rb") as file:
            return _digest(file) == sealed.sha256

    def _seal(self, file: BinaryIO, path: Path, key: PrivateKey) -> parties.Attachment:
        size = os.fstat(file.fileno()).st_size
        plain, ciphertext, file_key = sha256(), sha256(), self._random(sealed_file.KEY_BYTES)
        read = 0

        def content() -> Iterator[bytes]:
            nonlocal read
            for piece in self._watched("seal", path, file, size):
                plain.update(piece)
                read += len(piece)
                yield piece

        with _disk_errors(), _draft(self._folder) as (draft, out):
            written = 0
            for piece in sealed_file.seal(content(), file_key):
                ciphertext.update(piece)
                out.write(piece)
                written += len(piece)
            if read != size or os.fstat(file.fileno()).st_size != size:
                raise Refusal(ErrorCode.BAD_INPUT, f"{path} has changed while it was read", "attach")
            out.flush()
            os.fsync(out.fileno())
            name = ciphertext.digest()
            sealed = parties.SealedFile(sha256=name, size=written, key=file_key)
            made = parties.Attachment(size=size, sha256=plain.digest(), sealed=sealed)
            note = SealedBox(key.public_key).encrypt(made.SerializeToString())
            private_files.swap(self._key_path(name), note)
            draft.replace(self._path(name))
            private_files.sync_folder(self._folder)
        return made

    def _notes(self, keys: Sequence[PrivateKey]) -> Iterator[parties.Attachment]:
        for path in self._folder.glob("*.key"):
            try:
                raw = private_files.read(path, MAX_KEY_BYTES)
            except Refusal:
                if path.exists():
                    raise
                continue  # handed in meanwhile
            for key in keys:
                with suppress(CryptoError, ValueError):
                    yield parties.Attachment.FromString(SealedBox(key).decrypt(raw))
                    break

    def _watched(self, doing: str, path: Path, file: BinaryIO, size: int) -> Iterator[bytes]:
        done = 0
        try:
            while piece := file.read(READ_BYTES):
                yield piece
                done += len(piece)
                self.watch(doing, path.name, done, size)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "attach") from error

    # Bringing

    async def bring(self, file: pb.AttachmentRef, channel: grpc.aio.Channel, told: Told) -> None:
        """Bring a ciphertext to our node, unless it is there; go on where an earlier attempt broke off.

        Raises:
            Refusal: NOT_FOUND, neither the node has it nor we; or as the node refuses.
            Failure: not this time.
        """
        name = file.sha256.hex()[:12]

        async def heard(received: int) -> None:
            self.watch("bring", name, received, file.size)
            told(received)

        async def read(offset: int) -> AsyncIterator[bytes]:
            path = self._whole(file)
            if path is None:
                raise Refusal(ErrorCode.NOT_FOUND, f"attachment {name}… is neither here nor at our node", "attachments")
            with _disk_errors(), path.open("rb") as sealed:
                sealed.seek(offset)
                while some := await asyncio.to_thread(sealed.read, READ_BYTES):
                    for start in range(0, len(some), PIECE_BYTES):
                        yield some[start : start + PIECE_BYTES]

        await transfer.push(channel, file, read, heard)

    def forget(self, files: Iterable[pb.AttachmentRef]) -> None:
        """Delete ciphertexts that our node has, and answers for."""
        with _disk_errors():
            for file in files:
                self._path(file.sha256).unlink(missing_ok=True)
                self._key_path(file.sha256).unlink(missing_ok=True)

    # Fetching

    async def fetch(self, attachment: parties.Attachment, channel: grpc.aio.Channel, told: Told) -> None:
        """Fetch a ciphertext, from where an earlier attempt broke off; `open` then opens it.

        Raises:
            Refusal: NOT_FOUND, or as the node refuses; BAD_SIGNATURE, these are other bytes.
            Failure: not this time.
        """
        sealed = attachment.sealed
        path = self._part(sealed.sha256)
        with _disk_errors(), _alone(path) as file:
            offset = file.seek(0, os.SEEK_END)
            if offset < sealed.size:
                await self._fetch(channel, attachment, file, offset, told)
            if file.tell() != sealed.size or await asyncio.to_thread(_digest, file) != sealed.sha256:
                # Nothing of it is worth keeping: which of the bytes are wrong, nobody knows.
                file.truncate(0)
                detail = "what the node gave is not the ciphertext that the document names; fetch it anew"
                raise Refusal(ErrorCode.BAD_SIGNATURE, detail, "attachment")

    async def _fetch(
        self, channel: grpc.aio.Channel, attachment: parties.Attachment, file: BinaryIO, offset: int, told: Told
    ) -> None:
        sealed = attachment.sealed
        wanted = pb.AttachmentRef(sha256=sealed.sha256, size=sealed.size)
        call = AttachmentsStub(channel).Download(wire.DownloadRequest(attachment=wanted, offset=offset))
        try:
            while offset < sealed.size:
                async with asyncio.timeout(transfer.IDLE_SECONDS):
                    response = await call.read()
                if not isinstance(response, wire.DownloadResponse):
                    break
                if not response.data or offset + len(response.data) > sealed.size:
                    raise Refusal(ErrorCode.MALFORMED, "the node gives more than there is, or nothing", "data")
                await asyncio.to_thread(file.write, response.data)
                if offset // SYNC_BYTES != (offset + len(response.data)) // SYNC_BYTES:
                    await asyncio.to_thread(_flush, file)
                offset += len(response.data)
                self.watch("fetch", attachment.title, offset, sealed.size)
                told(offset)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        except TimeoutError as error:
            raise Failure(ErrorCode.UNAVAILABLE, "the node gives nothing any more") from error
        finally:
            call.cancel()
            await asyncio.to_thread(_flush, file)
        if offset < sealed.size:
            raise Failure(ErrorCode.UNAVAILABLE, "the node ended the call before it had given all")

    def open(self, attachment: parties.Attachment, target: Path) -> None:
        """Open what was fetched into a new file, which appears whole and proven or not at all.

        Raises:
            Refusal: BAD_INPUT, there is such a file already; CANNOT_OPEN; CONTENT_MISMATCH.
            Failure: STORE, our own disk.
        """
        sealed_file.check(attachment)
        part = self._part(attachment.sealed.sha256)
        # Left behind by a kill, it would hold what was sealed; under this name, the next attempt removes it.
        begin = f".{attachment.sealed.sha256.hex()[:16]}."
        with _disk_errors(), part.open("rb") as ciphertext:
            with _draft(target.parent, begin) as (draft, out):
                try:
                    self._open(ciphertext, attachment, out)
                except Refusal:
                    # It will never open, and whoever sends such must not fill our disk; our node has it for a while.
                    part.unlink()
                    raise
                try:
                    _name(draft, target)
                except FileExistsError as error:
                    raise _there(target) from error
            private_files.sync_folder(target.parent)
            part.unlink()

    def is_there(self, attachment: parties.Attachment, target: Path) -> bool:
        """Whether a file was fetched before, and lies there.

        Raises:
            Refusal: BAD_INPUT, another one lies there.
        """
        with _disk_errors():
            if not target.exists():
                return False
            if not target.is_file() or target.stat().st_size != attachment.size:
                raise _there(target)
            with target.open("rb") as file:
                if _digest(file) != attachment.sha256:
                    raise _there(target)
            self._part(attachment.sealed.sha256).unlink(missing_ok=True)
        return True

    def _open(self, ciphertext: BinaryIO, attachment: parties.Attachment, out: BinaryIO) -> None:
        digest = sha256()
        written = 0
        pieces = iter(lambda: ciphertext.read(READ_BYTES), b"")
        for piece in sealed_file.open_sealed(pieces, attachment.sealed.key):
            digest.update(piece)
            written += out.write(piece)
            self.watch("open", attachment.title, written, attachment.size)
        if (written, digest.digest()) != (attachment.size, attachment.sha256):
            raise Refusal(ErrorCode.CONTENT_MISMATCH, "it opens to another file than the document names", "attachment")
        _flush(out)

    def _whole(self, file: pb.AttachmentRef | parties.SealedFile) -> Path | None:
        path = self._path(file.sha256)
        with _disk_errors():
            return path if path.is_file() and path.stat().st_size == file.size else None

    # A digest is 32 bytes, by the contract; in hexadecimal it is a name and no path.

    def _path(self, digest: bytes) -> Path:
        return self._folder / digest.hex()

    def _key_path(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}.key"

    def _part(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}.part"


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "attach") from error
    with file:
        if not path.is_file():
            raise Refusal(ErrorCode.BAD_INPUT, f"{path} is no regular file", "attach")
        yield file


@contextmanager
def _draft(folder: Path, begin: str = "") -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file whose name begins so; those that a process left behind which is no more are removed."""
    for left in folder.glob(f"{begin}*.tmp"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    draft = folder / f"{begin}{secrets.token_hex(8)}.tmp"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, private_files.MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # where no file can be locked, none is removed either
                fcntl.flock(file, fcntl.LOCK_EX)
            yield draft, file
    finally:
        draft.unlink(missing_ok=True)


def _name(draft: Path, target: Path) -> None:
    """Give a file its name; what has that name already is not replaced."""
    try:
        os.link(draft, target)  # a rename would silently replace what is there
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Whoever makes it is the first; a crash before the rename leaves it empty, which nobody takes for the file.
        target.touch(private_files.MODE, exist_ok=False)
        draft.replace(target)


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """Open a file to append to; nobody else fetches into it meanwhile.

    Raises:
        Failure: UNAVAILABLE, somebody else does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_files.MODE)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure(ErrorCode.UNAVAILABLE, "another process fetches this attachment") from error
        yield file


def _there(target: Path) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, f"{target} is there already", "to")


def _digest(file: BinaryIO) -> bytes:
    file.seek(0)
    found = sha256()
    while piece := file.read(READ_BYTES):
        found.update(piece)
    return found.digest()


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFailure(ErrorCode.STORE, f"the disk: {error.strerror}") from error
