"""Backups: a node's store as it was at one moment, copied while the node serves; and put back.

In: a node's settings and a folder. Out: a folder with the store, the settings, the sealed files that the store has of
others, and a manifest of digests, which is written last: without it, it is no backup. Keys are not in it, nor is a
bucket: the manifest names what must be kept elsewhere.
Files are copied after the store, so that whatever the copied store names is there; none is deleted meanwhile.
Refuses with BAD_CONFIG to write where something is, and with BAD_INPUT a backup that is not what its manifest says, or
breaks a promise (`fsck`). A manifest is not signed: what proves a store are the signatures in it.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

import pysqlite3.dbapi2 as sqlite
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gateway import depot, private_files
from gateway.clock import to_micros
from gateway.config import NodeConfig
from gateway.depot import Depot
from gateway.directory import Directory
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store import fsck, restored
from gateway.store.attachments import BROUGHT, UPLOADS
from gateway.store.connection import open_store, take_back
from gateway.store.fsck import Check, Finding, Result

MANIFEST: Final = "manifest.json"
STORE: Final = "store.db"
SETTINGS: Final = "settings.toml"
FILES: Final = "attachments"
"""The folder in a backup; a node's own is laid out likewise."""
BUCKET: Final = "attachments.s3"
PAGES_AT_ONCE: Final = 1024
PIECE_BYTES: Final = 1 << 20
MAX_MANIFEST_BYTES: Final = 1 << 30
"""A line of some 250 bytes for each file: millions of attachments."""
_FORMAT: Final = 1
_BACKED_UP: Final = "what was backed up"
_FILES_AT_ONCE: Final = 256

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    # From the backup's folder, with slashes.
    name: str = Field(min_length=1, max_length=4096)
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    # The folder of its parts.
    place: str = Field(pattern=r"^[0-9a-f]{64}\.[0-9a-f]{16}$")
    size: int = Field(ge=0)
    # Over all its parts.
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What a backup is of, and what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(ge=_FORMAT, le=_FORMAT)
    node: str = Field(pattern=r"^[a-z]{2}$")
    made_at: AwareDatetime
    # Of the schema.
    version: str
    envelopes: int = Field(ge=0)
    receipts: int = Field(ge=0)
    # Entries of the log, and the root over them (RFC 6962).
    log_size: int = Field(ge=0)
    log_root: str = Field(pattern=r"^[0-9a-f]{64}$")
    files: tuple[_Entry, ...]
    # What was brought of sealed files.
    attachments: tuple[_File, ...] = ()
    # Places of those that the store named, and that were not there, or were other ones: the copied store names them no
    # more, so that whoever has one may bring it again.
    missing: tuple[str, ...] = ()
    # What a node needs besides, by setting.
    not_included: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a backup.

        Raises:
            Refusal: BAD_INPUT, there is none, or it makes no sense.
        """
        try:
            with (folder / MANIFEST).open("rb") as file:
                raw = file.read(MAX_MANIFEST_BYTES + 1)
            found = cls.model_validate_json(raw)
        except OSError as error:
            raise _bad(f"{folder} is no whole backup: {MANIFEST}: {error.strerror}") from error
        except ValidationError as error:
            raise _bad(f"{folder / MANIFEST} makes no sense") from error
        for entry in found.files:
            parts = PurePosixPath(entry.name).parts
            if ".." in parts or entry.name.startswith("/"):
                raise _bad(f"{entry.name!r} is outside of the backup")
        return found


def make(settings: NodeConfig, settings_file: Path, folder: Path, now: datetime, progress: Progress) -> Manifest:
    """Make a backup, also while the node serves: it is the store at one moment, when copying began.

    Args:
        settings: the node's.
        settings_file: where they are.
        folder: is made; must not be there.
        now: the time.
        progress: told pages of the store, then bytes of files, as they are copied.

    Raises:
        Refusal: BAD_CONFIG, there is no store, or `folder` is there or cannot be made.
        Failure: STORE, it cannot be read now, or the backup not be written: what is there of it is none.
    """
    if not settings.store_file.is_file():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no store {settings.store_file}", "store")
    lies_in = depot.folder_of(settings)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"{folder} is there: nothing is overwritten", "out") from error
    except OSError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"cannot make {folder}: {error.strerror}", "out") from error
    try:
        if lies_in is None:
            _copy_store(settings.store_file, folder / STORE, progress)
            copied = _Copied()
        else:
            with depot.held(lies_in):
                _copy_store(settings.store_file, folder / STORE, progress)
                copied = _copy_files(Depot.of_folder(lies_in), folder, progress)
        _write(folder / SETTINGS, _pieces(settings_file))
        entries = [_entry(folder, STORE), _entry(folder, SETTINGS)]
        manifest = _manifest(settings, folder, now, entries, copied)
        private_files.swap(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
        # Or a power cut could take it whole, once older ones are gone for it.
        private_files.sync_folder(folder.parent)
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"the backup cannot be written to {folder}: {error.strerror}") from error
    except sqlite.Error as error:
        raise Failure(ErrorCode.STORE, f"the store cannot be copied: {error}") from error
    return manifest


def name(node: str, now: datetime) -> str:
    """Return what the backup of a node at a moment is called, in a folder of them: so that names sort by time."""
    return f"{node}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def thin(folder: Path, node: str, keep: int, made: Path | None = None) -> list[Path]:
    """Delete all but the newest backups of a node in a folder of them; return what is gone.

    The newest that has all files stays, too: nobody else may have those that newer ones lack. What was broken off goes
    once there is a newer one that is whole; what is called otherwise stays.

    Args:
        folder: where backups lie, each called as `name` says.
        node: its code.
        keep: how many whole ones stay, at least one.
        made: the one that was made just now, which stays though a clock that was ahead has dated others later.

    Raises:
        Failure: STORE, one cannot be deleted.
    """
    called = re.compile(rf"{re.escape(node)}-[0-9]{{8}}T[0-9]{{6}}Z", re.ASCII)
    found = sorted(each for each in folder.iterdir() if called.fullmatch(each.name))
    whole = [each for each in found if (each / MANIFEST).is_file()]
    complete = next(filter(_has_all_files, reversed(whole)), None)
    stay = {*whole[-max(keep, 1) :], complete, made, *(each for each in found if not whole or each > whole[-1])}
    gone = [each for each in found if each not in stay]
    try:
        for each in gone:
            # First what makes it a backup: what is left of it, if this is broken off, is none.
            (each / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(each)
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"an old backup cannot be deleted: {error}") from error
    return gone


def _has_all_files(folder: Path) -> bool:
    try:
        return not Manifest.read(folder).missing
    except Refusal:
        return False


def restore(
    settings: NodeConfig, folder: Path, directory: Directory | None, now: datetime, progress: Progress
) -> tuple[Manifest, list[Finding]]:
    """Put a node's store back from a backup, marked, so that the node starts only with an explicit word.

    Args:
        settings: the node's, which say where its store was.
        folder: the backup.
        directory: public keys; None: signatures are not verified.
        now: the time.
        progress: told rows, as they are checked.

    Returns:
        What was put back, and what each check came to; none has failed, but that a file may have been lost before.

    Raises:
        Refusal: BAD_CONFIG, something is there already, or the backup is of another node or a newer version;
            BAD_INPUT, it is not what its manifest says, or breaks a promise. Nothing is changed.
        Failure: STORE, there is no room for it now. Nothing is changed.
    """
    manifest = Manifest.read(folder)
    if manifest.node != settings.node:
        raise Refusal(ErrorCode.BAD_CONFIG, f"a backup of node {manifest.node}, not of {settings.node}", "node")
    lies_in = depot.folder_of(settings)
    if (lies_in is None) != (BUCKET in manifest.not_included):
        detail = "the backup is of a node that keeps files in a bucket, or the settings are, and the other is not"
        raise Refusal(ErrorCode.BAD_CONFIG, detail, "attachments")
    _check_free(settings, lies_in)
    for entry in manifest.files:
        if _entry(folder, entry.name) != entry:
            raise _bad(f"{entry.name} is not the one that was backed up")
    with _draft(settings.store_file) as draft:
        _write(draft, _pieces(folder / STORE))
        take_back(draft)
        connect, engine = open_store(draft)
        engine.dispose()
        with closing(connect()) as connection:
            restored.mark(connection, to_micros(manifest.made_at), to_micros(now))
            # One file again, without a log beside it that the new name would lose.
            connection.execute("PRAGMA journal_mode = DELETE")
        if lies_in is None:
            findings = check_kept(draft, directory, manifest.node, _BACKED_UP, progress)
            _publish(draft, settings.store_file)
        else:
            with _put_back(folder, lies_in, manifest, progress):
                files = Depot.of_folder(lies_in)
                findings = check_kept(draft, directory, manifest.node, _BACKED_UP, progress, files)
                _publish(draft, settings.store_file)
    private_files.sync_folder(settings.store_file.parent)
    return manifest, findings


def mark_database(
    settings: NodeConfig, made_at: datetime, directory: Directory | None, now: datetime, progress: Progress
) -> list[Finding]:
    """Mark a database that its server has put back to a moment, so that the node starts only with an explicit word.

    Args:
        settings: the node's, whose store is that database.
        made_at: the moment.
        directory: public keys; None: signatures are not verified.
        now: the time.
        progress: told rows, as they are checked.

    Returns:
        What each check came to; none has failed, but that a file may have been lost before.

    Raises:
        Refusal: BAD_CONFIG, the store is a file; BAD_INPUT, that moment is not over, or the database breaks a promise.
            Nothing is changed.
        Failure: STORE, the database cannot be reached now.
    """
    if isinstance(settings.store, Path):
        raise Refusal(ErrorCode.BAD_CONFIG, "the store is a file: put it back --from a backup", "store")
    if made_at > now:
        raise _bad(f"nothing is of {made_at.isoformat()} yet")
    connect, engine = open_store(settings.store)
    engine.dispose()
    findings = check_kept(settings.store, directory, settings.node, "the database", progress)
    with closing(connect()) as connection:
        connection.begin()
        restored.mark(connection, to_micros(made_at), to_micros(now))
        connection.end(())
    return findings


def check_kept(
    store: Path | str,
    directory: Directory | None,
    node: str,
    what: str,
    progress: Progress,
    files: Depot | None = None,
) -> list[Finding]:
    """Check a store that is to be the node's, as it was made elsewhere.

    Args:
        store: a file, or the address of a database.
        directory: public keys; None: signatures are not verified.
        node: whose it is.
        what: it is, for people.
        progress: told rows, as they are checked.
        files: where its sealed files lie; None: nobody looks at them.

    Returns:
        What each check came to; none has failed, but that a file may have been lost before.

    Raises:
        Refusal: BAD_INPUT, it breaks a promise.
        Failure: STORE, it cannot be read now.
    """
    # A key of anybody's that was stolen is distrusted from an earlier moment on. What came in between stays recorded,
    # and must not keep a node from being put back, today or in ten years.
    as_recorded = None if directory is None else directory.without_ends()
    findings = fsck.check(store, as_recorded, node=node, depot=files, progress=progress)
    # A file that was lost before, whether the node knew of it or the backup found out, is no fault of what is put
    # back, and no reason to lose the rest.
    broken = [each for each in findings if each.result is Result.FAILED and each.check is not Check.FILES_NAMED]
    if broken:
        told = "; ".join(f"check {each.check.number}, {each.first[0]}" for each in broken)
        raise _bad(f"{what} breaks {len(broken)} promises: {told}")
    return findings


def files_beside(store: Path) -> Depot | None:
    """Return the sealed files of a backup, by its store; None: it is in none."""
    return Depot.of_folder(store.parent / FILES) if store.with_name(MANIFEST).is_file() else None


def _publish(draft: Path, store: Path) -> None:
    private_files.sync_file(draft)
    # A hard link, not a rename, which would silently replace what has come there meanwhile.
    os.link(draft, store)


def _copy_store(store: Path, target: Path, progress: Progress) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, private_files.MODE))
    with (
        closing(sqlite.connect(f"{store.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)) as reading,
        closing(sqlite.connect(str(target), isolation_level=None)) as writing,
    ):
        # A transaction of our own keeps the moment; without it, each write of the node would begin the copy anew.
        reading.execute("PRAGMA query_only = ON")
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM alembic_version").fetchone()

        def tell(_status: int, remaining: int, total: int) -> None:
            progress(total - remaining, total)

        reading.backup(writing, pages=PAGES_AT_ONCE, progress=tell, sleep=0)
        writing.execute("PRAGMA journal_mode = DELETE")
    private_files.sync_file(target)


@dataclass(frozen=True, slots=True)
class _Copied:
    files: tuple[_File, ...] = ()
    missing: tuple[str, ...] = ()


def _copy_files(source: Depot, folder: Path, progress: Progress) -> _Copied:
    """Copy what the copied store has of files; let it forget what is not there, or is not what it says."""
    files, missing, done = [], [], 0
    with closing(sqlite.connect(str(folder / STORE), isolation_level=None)) as connection:
        ((total,),) = connection.execute(f"SELECT COALESCE(SUM({BROUGHT}), 0) FROM uploads").fetchall()  # noqa: S608  ours
        last = ""
        while rows := connection.execute(UPLOADS, (last, _FILES_AT_ONCE)).fetchall():
            for place, digest, size, whole in rows:
                target = folder / FILES / place
                try:
                    found = _copy_file(source, place, size, target)
                except Failure:
                    found = ""
                if found and (not whole or bytes.fromhex(found) == digest):
                    files.append(_File(place=place, size=size, sha256=found))
                else:
                    shutil.rmtree(target, ignore_errors=True)
                    connection.execute("DELETE FROM uploads WHERE place = ?", (place,))
                    missing.append(place)
                done += size
                progress(done, total)
            last = rows[-1][0]
    if missing:
        private_files.sync_file(folder / STORE)
    if files:
        private_files.sync_folder(folder / FILES)
    return _Copied(tuple(files), tuple(missing))


def _copy_file(source: Depot, place: str, size: int, target: Path) -> str:
    """Copy a file part by part; return the digest of all.

    Raises:
        Failure: STORE, it is not there, or is shorter.
    """
    digest = sha256()

    def seen(pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            yield piece

    # As the node does: an empty file has no part, and no folder.
    for number, length in depot.parts(size):
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(target / depot.part_name(number), seen(source.part(place, number, length)))
    if size:
        private_files.sync_folder(target)
    return digest.hexdigest()


def _manifest(
    settings: NodeConfig, folder: Path, now: datetime, entries: Iterable[_Entry], copied: _Copied
) -> Manifest:
    with closing(sqlite.connect(f"{(folder / STORE).resolve().as_uri()}?mode=ro", uri=True)) as connection:
        size, root = restored.log_of(connection)
        counts = {name: _count(connection, name) for name in ("envelopes", "receipts")}
        version = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    return Manifest(
        format=_FORMAT,
        node=settings.node,
        made_at=now,
        version=version,
        log_size=size,
        log_root=root.hex(),
        files=tuple(entries),
        attachments=copied.files,
        missing=copied.missing,
        not_included=_not_included(settings),
        **counts,
    )


def _count(connection: Any, table: str) -> int:  # noqa: ANN401  pysqlite3 has no types
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  our own word


def _not_included(settings: NodeConfig) -> dict[str, tuple[str, ...]]:
    """Name the files that a node needs besides, secret or public: what is in them is none of ours."""
    named: dict[str, tuple[Path | None, ...]] = {
        "signing_keys": settings.signing_keys,
        "certificate": (settings.certificate,),
        "tls_key": (settings.tls_key,),
        "passphrase_file": (settings.passphrase_file,),
        "policy": (settings.policy,),
        "directory.root": (settings.directory.root,),
    }
    if settings.hsm is not None:
        named["hsm.pin_file"] = (settings.hsm.pin_file,)
    if settings.registry is not None:
        named["registry.ca_certificate"] = (settings.registry.ca_certificate,)
        named["registry.ca_key"] = (settings.registry.ca_key,)
        named["registry.directory_key"] = (settings.registry.directory_key,)
    if settings.publisher is not None:
        named["publisher.key"] = (settings.publisher.key,)
        named["publisher.repository"] = (settings.publisher.repository,)
    found = {name: tuple(str(path) for path in paths if path is not None) for name, paths in named.items()}
    if settings.attachments.s3 is not None:
        found[BUCKET] = (settings.attachments.s3.url,)
        found[f"{BUCKET}.secret_key_file"] = (str(settings.attachments.s3.secret_key_file),)
    return {name: paths for name, paths in found.items() if paths}


def _check_free(settings: NodeConfig, files: Path | None) -> None:
    store = settings.store_file
    for path in (store, *(store.with_name(store.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
        if path.exists():
            raise Refusal(ErrorCode.BAD_CONFIG, f"{path} is there: nothing is overwritten, move it away", "store")
    if files is not None and files.exists() and any(files.iterdir()):
        detail = f"{files} is not empty: nothing is overwritten, move it away"
        raise Refusal(ErrorCode.BAD_CONFIG, detail, "attachments.folder")
    if not store.parent.is_dir():
        raise Refusal(ErrorCode.BAD_CONFIG, f"no folder {store.parent} for the store", "store")


@contextmanager
def _draft(store: Path) -> Iterator[Path]:
    """Yield a name beside the store; nothing stays there."""
    draft = store.with_name(f".{store.name}.{secrets.token_hex(8)}")
    try:
        yield draft
    except FileExistsError as error:
        raise Refusal(ErrorCode.BAD_CONFIG, f"{store} is there: nothing is overwritten", "store") from error
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"it cannot be written now: {error.strerror}") from error
    except sqlite.Error as error:
        raise Failure(ErrorCode.STORE, f"the store cannot be written now: {error}") from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)


@contextmanager
def _put_back(folder: Path, target: Path, manifest: Manifest, progress: Progress) -> Iterator[None]:
    """Have the files of a backup in a node's folder, which is empty; if what comes after fails, nothing stays there.

    Raises:
        Refusal: BAD_INPUT, a file is not the one that was backed up.
    """
    source, was_there = Depot.of_folder(folder / FILES), target.exists()
    total, done = sum(file.size for file in manifest.attachments), 0
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for file in manifest.attachments:
            _check_same(_copy_file(source, file.place, file.size, target / file.place), file)
            done += file.size
            progress(done, total)
        private_files.sync_folder(target)
        private_files.sync_folder(target.parent)
        yield
    except BaseException as error:
        for file in manifest.attachments:
            shutil.rmtree(target / file.place, ignore_errors=True)
        if not was_there:
            target.rmdir()
        if isinstance(error, Failure):
            raise _bad(f"a file cannot be read: {error.detail}") from error
        raise


def _check_same(found: str, file: _File) -> None:
    if found != file.sha256:
        raise _bad(f"file {file.place} is not the one that was backed up")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file, its owner's alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, private_files.MODE)
    with os.fdopen(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _entry(folder: Path, name: str) -> _Entry:
    """Return name, size and digest of a file as it is.

    Raises:
        Refusal: BAD_INPUT, it cannot be read.
    """
    digest, size = sha256(), 0
    try:
        for piece in _pieces(folder / name):
            digest.update(piece)
            size += len(piece)
    except OSError as error:
        raise _bad(f"{name} cannot be read: {error.strerror}") from error
    return _Entry(name=name, size=size, sha256=digest.hexdigest())


def _bad(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, detail, "backup")
