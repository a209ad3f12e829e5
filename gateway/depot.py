"""Where a node keeps sealed files: a folder, or a bucket of an S3 service.

In: a place, which the store has invented, and the bytes of its parts. Out: the same bytes. A file lies in parts of
4 MiB, so that an upload which broke off loses at most one, and memory holds one. A part is written once and never
changed: whoever writes other bytes in its place is told so. Where a file lies says nothing of who brought it; no word
from the network is ever part of a path. Fails with STORE what the disk or the service does not do.

What deletes files goes round by round, and shares the folder's lock (flock) with others that do; a backup has it alone,
so that nothing goes which it is about to copy. A bucket has no such lock.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from gateway import private_files
from gateway.config import S3, NodeConfig
from gateway.errors import ErrorCode, Failure, Refusal

PART_BYTES: Final = 4 << 20
PIECE_BYTES: Final = 256 << 10
"""What is handed on at once."""
RETRY_SECONDS: Final = 5.0
_MAX_SECRET_BYTES: Final = 4096


class Depot:
    """The sealed files of one node.

    Args:
        store: where they lie.
        folder: the same, if it is a folder of this machine: what is written there has to be brought to the disk.
    """

    def __init__(self, store: LocalStore | MemoryStore | S3Store, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return what lies in a folder, for whoever only reads; one that is not there holds nothing."""
        return cls(LocalStore(folder) if folder.is_dir() else MemoryStore(), folder)

    async def put(self, place: str, number: int, part: bytes) -> bool:
        """Write a part; it is on the disk when this returns. Return False if another one is there.

        Raises:
            Failure: STORE.
        """
        path = _path(place, number)
        with _store_errors():
            if self._folder is not None:
                return await asyncio.to_thread(_put, self._folder, self._folder / path, part)
            try:
                # One request: what is written in several could not be bound to there being nothing.
                await obstore.put_async(self._store, path, part, mode="create", use_multipart=False)
            except AlreadyExistsError:
                # An earlier call wrote it and broke off before it was noted, or another call is quicker than this one.
                there = await obstore.get_range_async(self._store, path, start=0, end=len(part) + 1)
                return bytes(there) == part
        return True

    async def read(self, place: str, size: int, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes of a file from a position on, in pieces.

        Raises:
            Failure: STORE; a part is missing, or shorter than it was.
        """
        while offset < size:
            number, inside = divmod(offset, PART_BYTES)
            end = min(PART_BYTES, size - number * PART_BYTES)
            wanted = end - inside
            with _store_errors():
                found = await obstore.get_async(self._store, _path(place, number), options={"range": (inside, end)})
                async for some in found.stream(PIECE_BYTES):
                    for start in range(0, len(some), PIECE_BYTES):
                        piece = bytes(some[start : start + PIECE_BYTES])
                        wanted -= len(piece)
                        yield piece
            if wanted:
                raise Failure(ErrorCode.STORE, "a part of an attachment is shorter than it was")
            offset = number * PART_BYTES + end

    async def discard(self, place: str) -> None:
        """Delete all that lies in a place; nothing, if that is so already.

        Raises:
            Failure: STORE.
        """
        with _store_errors():
            if self._folder is not None:
                # With what a crash may have left half written, which no listing shows.
                await asyncio.to_thread(shutil.rmtree, self._folder / place, ignore_errors=False, onerror=_unless_gone)
                return
            async for found in obstore.list(self._store, f"{place}/"):
                await obstore.delete_async(self._store, [each["path"] for each in found])

    @contextmanager
    def clearing(self) -> Iterator[bool]:
        """Tell whether files may be deleted now, and let no backup begin meanwhile."""
        if self._folder is None:
            yield True
            return
        with _store_errors():
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield _shared(descriptor)
        finally:
            os.close(descriptor)

    # For backups and fsck, which have no event loop.

    def places(self) -> Iterator[str]:
        """Yield each place where something lies, in no order.

        Raises:
            Failure: STORE.
        """
        with _store_errors():
            if self._folder is not None:
                with suppress(FileNotFoundError), os.scandir(self._folder) as found:
                    yield from (each.name for each in found)
                return
            last = ""
            for some in obstore.list(self._store):
                for each in some:
                    place = each["path"].partition("/")[0]
                    if place != last:
                        last = place
                        yield place

    def sizes(self, place: str) -> dict[int, int]:
        """Return the number of each part that lies in a place, and its bytes.

        Raises:
            Failure: STORE.
        """
        with _store_errors():
            names = {
                each["path"].rpartition("/")[2]: each["size"]
                for some in obstore.list(self._store, f"{place}/")
                for each in some
            }
        return {int(name): size for name, size in names.items() if name.isdecimal()}

    def holds(self, place: str) -> bool:
        """Whether anything lies in a place.

        Raises:
            Failure: STORE.
        """
        with _store_errors():
            if self._folder is None:
                return bool(self.sizes(place))
            path = self._folder / place
            return any(path.iterdir()) if path.is_dir() else path.exists()

    def part(self, place: str, number: int, size: int) -> Iterator[bytes]:
        """Yield the first so many bytes of a part, in pieces.

        Raises:
            Failure: STORE; it is missing or shorter.
        """
        with _store_errors():
            got = 0
            for some in obstore.get(self._store, _path(place, number), options={"range": (0, size)}).stream(
                PIECE_BYTES
            ):
                got += len(some)
                yield bytes(some)
        if got != size:
            raise Failure(ErrorCode.STORE, "a part of an attachment is shorter than it was")


def parts(size: int) -> Iterator[tuple[int, int]]:
    """Yield number and bytes of each part of a file."""
    return ((number, min(PART_BYTES, size - start)) for number, start in enumerate(range(0, size, PART_BYTES)))


def part_name(number: int) -> str:
    """Return the name of a part in its place; what is called otherwise there was left half written."""
    return f"{number:08d}"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let nothing be deleted in a folder meanwhile; one that is not there has nothing.

    Raises:
        Failure: STORE, it cannot be locked.
    """
    with _store_errors():
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            descriptor = None
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # where nobody can lock, no backup has
    return True


def folder_of(config: NodeConfig) -> Path | None:
    """Return the folder where a node keeps sealed files; None: it has a bucket.

    Raises:
        Refusal: BAD_CONFIG, nobody says where.
    """
    return _folder(config) if config.attachments.s3 is None else None


def look_into(config: NodeConfig) -> Depot:
    """Return where a node keeps sealed files, for whoever only reads; refuses as `open_depot`, and makes nothing."""
    folder = folder_of(config)
    return open_depot(config) if folder is None else Depot.of_folder(folder)


def check_place(config: NodeConfig) -> None:
    """Check that sealed files can lie where the settings say, and make nothing; a bucket is not asked.

    Raises:
        Refusal: KEY_FILE, the key of the bucket; BAD_CONFIG, nobody says where, or no folder can be there.
    """
    if config.attachments.s3 is not None:
        _bucket(config.attachments.s3)
        return
    folder = _folder(config)
    # It is made at the first start, with those above it.
    there = next(each for each in (folder, *folder.parents) if os.access(each, os.F_OK))
    if not there.is_dir() or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise Refusal(ErrorCode.BAD_CONFIG, f"{there} is no folder that can be written", "attachments.folder")


def open_depot(config: NodeConfig) -> Depot:
    """Return where a node keeps sealed files, as its settings say.

    Raises:
        Refusal: as `check_place`.
        Failure: STORE, the folder cannot be made.
    """
    check_place(config)
    if config.attachments.s3 is not None:
        return Depot(_bucket(config.attachments.s3))
    folder = _folder(config)
    with _store_errors():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Depot(LocalStore(folder), folder)


def _folder(config: NodeConfig) -> Path:
    folder = config.attachments.folder
    if folder is None and not isinstance(config.store, Path):
        detail = (
            "a store in a database has no folder beside it: name one that every process of the node sees, or a bucket"
        )
        raise Refusal(ErrorCode.BAD_CONFIG, detail, "attachments.folder")
    return folder or config.store_file.with_name(f"{config.store_file.name}.attachments")


def _bucket(s3: S3) -> S3Store:
    secret = private_files.read(s3.secret_key_file, _MAX_SECRET_BYTES).decode(errors="replace").split("\n")[0].strip()
    bucket, _, prefix = s3.url.removeprefix("s3://").partition("/")
    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=s3.endpoint,
        region=s3.region,
        access_key_id=s3.access_key_id,
        secret_access_key=secret,
        virtual_hosted_style_request=False,
        client_options={"allow_http": s3.endpoint.startswith("http://")},
    )


def _path(place: str, number: int) -> str:
    return f"{place}/{part_name(number)}"


def _put(folder: Path, path: Path, part: bytes) -> bool:
    """Write a part, unless it is there; return once its bytes, its name and that of its folder are on the disk."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f"{path.name}.{token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, private_files.MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(part)
            file.flush()
            # Before it has its name: what a power cut leaves of it would be another part, which none may replace.
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            # As with a bucket.
            with path.open("rb") as file:
                if file.read(len(part) + 1) != part:
                    return False
    finally:
        draft.unlink(missing_ok=True)
    private_files.sync_folder(path.parent)
    private_files.sync_folder(folder)
    return True


def _unless_gone(_function: object, _path: object, raised: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(raised[1], FileNotFoundError):
        raise raised[1]


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        # The text names paths of our own and the request that failed, never a key.
        detail = f"attachments cannot be stored or read now: {type(error).__name__}"
        raise Failure(ErrorCode.STORE, detail, retry_after=RETRY_SECONDS) from error
