"""A participant's memory on its own disk, after the manner of a maildir: one file a thing, no database.

    new/       collected envelopes that nobody has dealt with yet
    done/      those that were dealt with
    rejected/  those that could not be opened, or whose content contradicts their header
    receipts/  signed statements, one folder an envelope: what others said of ours, what we said of theirs
    sent/      what was handed in, from before the first attempt on
    drafts/    requests that wait for their countersignature, each under the name of its draft

A file appears whole or not at all (written aside, fsync, rename, fsync of the folder), and before anything is
acknowledged. That it exists is the memory against duplicates, for ever: sender and id are its name, and other bytes
under the same name are ID_CONFLICT. Folders have mode 0700, files 0600. Every method may be called from any thread.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import codec, envelope
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.private_files import sync_folder

M = TypeVar("M", bound=Message)

LOCK: Final = "collecting"
_HEADER_TAG: Final = b"\x0a"
"""Field 1 of a SignedEnvelope, which a serialiser writes first."""
_NEARLY_ALL: Final = 1 << 13
"""Bytes at the beginning of a file that hold nearly every header whole."""
_MAX_HEADER: Final = 1 << 16
"""As in envelope.proto."""
_CONTINUES: Final = 0x80
"""Set in every byte of a varint but its last."""
ASIDE: Final = "tmp"


class DiskFailure(Failure):
    """Our own disk does not do what it should. A class of its own, for a node answers STORE too."""


class Folder(Enum):
    """Where a collected envelope is."""

    NEW = "new"
    DONE = "done"
    REJECTED = "rejected"


_COLLECTED: Final = frozenset(folder.value for folder in Folder)


@dataclass(frozen=True, slots=True)
class Kept:
    """An envelope as it lies in the memory."""

    path: Path
    envelope: pb.SignedEnvelope


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What can be said of an envelope in the memory without reading its payload.

    Args:
        name: how it lies here: of a request in drafts/, the name of its draft.
        fingerprint: of what was collected, else empty.
        header: as it was when it was put here.
        at_us: when it was put here; microseconds.
    """

    name: ids.EnvelopeRef
    fingerprint: bytes
    header: pb.Header
    at_us: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """An envelope on its way into the memory."""

    envelope: pb.SignedEnvelope
    ref: ids.EnvelopeRef
    fingerprint: bytes
    folder: Folder


class Maildir:
    """The memory below one folder, which is made if need be.

    Args:
        home: the folder.

    Raises:
        DiskFailure: here and in every method: the disk does not do what it should.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        with _store_errors():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in (ASIDE, "receipts", "sent", "drafts", *(folder.value for folder in Folder)):
                (home / name).mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def collecting(self) -> Iterator["Collector"]:
        """Become the one who puts collected envelopes in here.

        Raises:
            Failure: UNAVAILABLE, somebody else is.
        """
        with _store_errors():
            descriptor = os.open(self._home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                with _store_errors(but=BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Failure(ErrorCode.UNAVAILABLE, f"somebody else collects into {self._home}") from error
            yield Collector(self)
        finally:
            os.close(descriptor)  # which gives the lock back

    def take(self) -> Iterator[Kept]:
        """Yield the envelopes that nobody has dealt with, oldest arrival first; then fail if one is damaged."""
        damaged: DiskFailure | None = None
        found: list[tuple[int, str]] = []
        with _store_errors():
            for entry in os.scandir(self.folder(Folder.NEW)):
                with suppress(FileNotFoundError):  # here and below: somebody may have dealt with it meanwhile
                    found.append((entry.stat().st_mtime_ns, entry.name))
        for _, name in sorted(found):
            try:
                kept = self._read(self.folder(Folder.NEW) / name)
            except DiskFailure as error:
                damaged = damaged or error
                continue
            if kept is not None:
                yield kept
        if damaged is not None:
            raise damaged

    def done(self, ref: ids.EnvelopeRef, fingerprint: bytes) -> None:
        """Note that a collected envelope has been dealt with.

        Raises:
            Refusal: NOT_FOUND, there is no such one, or it was dealt with before.
        """
        name = f"{name_of(ref)}.{fingerprint.hex()}"
        with _store_errors():
            try:
                (self.folder(Folder.NEW) / name).rename(self.folder(Folder.DONE) / name)
            except FileNotFoundError as error:
                raise Refusal(ErrorCode.NOT_FOUND, f"no new envelope {ref.id} of {ref.sender}") from error
            sync_folder(self.folder(Folder.DONE))
            sync_folder(self.folder(Folder.NEW))

    def find(self, ref: ids.EnvelopeRef) -> pb.SignedEnvelope:
        """Return a collected envelope, dealt with or not.

        Raises:
            Refusal: NOT_FOUND.
        """
        # NEW first: it may move to DONE while we look, never back.
        for folder in (Folder.NEW, Folder.DONE):
            for path in self.folder(folder).glob(f"{name_of(ref)}.*"):
                kept = self._read(path) or self._read(self.folder(Folder.DONE) / path.name)
                if kept is not None:
                    return kept.envelope
        raise Refusal(ErrorCode.NOT_FOUND, f"no envelope {ref.id} of {ref.sender} was collected here")

    def any_collected(self, ref: ids.EnvelopeRef, fingerprint: bytes) -> pb.SignedEnvelope:
        """Return a collected envelope by name and fingerprint, rejected ones too.

        Raises:
            Refusal: NOT_FOUND.
        """
        # In the order of Folder: it may move from NEW to DONE while we look, never back.
        for folder in Folder:
            kept = self._read(self.folder(folder) / f"{name_of(ref)}.{fingerprint.hex()}")
            if kept is not None:
                return kept.envelope
        raise Refusal(ErrorCode.NOT_FOUND, f"no such envelope {ref.id} of {ref.sender} was collected here")

    def rejected(self, ref: ids.EnvelopeRef, but: bytes) -> list[pb.SignedEnvelope]:
        """Return what was rejected under a name, but for the one with that fingerprint."""
        paths = self.folder(Folder.REJECTED).glob(f"{name_of(ref)}.*")
        kept = [self._read(path) for path in paths if not path.name.endswith(but.hex())]
        return [each.envelope for each in kept if each is not None]

    def keep_sent(self, envelopes: Sequence[pb.SignedEnvelope]) -> dict[int, Refusal]:
        """Keep envelopes before they are handed in; return, by position, which must not be, and why.

        ID_CONFLICT, other bytes were kept under that name, and a retry sends the identical bytes; MALFORMED, it has no
        name.
        """
        refused = {}
        with _store_errors():
            for position, each in enumerate(envelopes):
                try:
                    self._keep_named("sent", envelope.ref_of(envelope.parse_header(each)), each)
                except Refusal as error:
                    refused[position] = error
            sync_folder(self._home / "sent")
        return refused

    def sent(self, ref: ids.EnvelopeRef) -> pb.SignedEnvelope | None:
        """Return an envelope that was handed in from here, or None."""
        return self._read_named("sent", ref)

    def keep_draft(self, draft: ids.EnvelopeRef, request: pb.SignedEnvelope) -> None:
        """Keep a request until its draft is answered."""
        with _store_errors():
            self._keep_named("drafts", draft, request)
            sync_folder(self._home / "drafts")

    def draft(self, draft: ids.EnvelopeRef) -> pb.SignedEnvelope | None:
        """Return the request that a draft carried, or None."""
        return self._read_named("drafts", draft)

    def keep_receipts(self, receipts: Sequence[tuple[ids.EnvelopeRef, pb.Receipt]]) -> list[bool]:
        """Keep signed statements about envelopes; return which of them are new here."""
        fresh: list[bool] = []
        touched: dict[Path, None] = {}
        with _store_errors():
            for ref, receipt in receipts:
                raw = receipt.SerializeToString(deterministic=True)
                folder = self._receipts(ref)
                folder.mkdir(mode=0o700, exist_ok=True)
                path = folder / sha256(raw).hexdigest()
                fresh.append(not path.exists())
                if fresh[-1]:
                    self._write(path, raw)
                # What is there already may have been written by a process that was killed before it had synced.
                touched[folder.parent] = touched[folder] = None
            for folder in touched:
                sync_folder(folder)
        return fresh

    def receipts(self, ref: ids.EnvelopeRef) -> list[pb.Receipt]:
        """Return all signed statements about an envelope, in the order in which they came."""
        with _store_errors():
            if not self._receipts(ref).exists():
                return []
            found = sorted((entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(self._receipts(ref)))
            return [_parse(pb.Receipt, Path(path).read_bytes()) for _, path in found]

    def glimpses(self, folder: Folder) -> Iterator[Glimpse]:
        """Yield what was collected into a folder, in no order. It was checked when it came, and is not again."""
        yield from self._glimpses(folder.value)

    def glimpses_of_sent(self) -> Iterator[Glimpse]:
        """Yield what was handed in from here, in no order."""
        yield from self._glimpses("sent")

    def glimpses_of_drafts(self) -> Iterator[Glimpse]:
        """Yield the requests that drafts carried, in no order."""
        yield from self._glimpses("drafts")

    def names(self, folder: Folder) -> list[tuple[ids.EnvelopeRef, bytes]]:
        """Return name and fingerprint of what was collected into a folder, in the order of the ids."""
        return self._names(folder.value)

    def names_of_sent(self) -> list[ids.EnvelopeRef]:
        """Return the names of what was handed in from here, in the order of the ids."""
        return [ref for ref, _ in self._names("sent")]

    def statements(self, ref: ids.EnvelopeRef) -> list[tuple[int, pb.Statement]]:
        """Return what was said of an envelope and when it came here, in that order; microseconds."""
        with _store_errors():
            try:
                found = sorted((entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(self._receipts(ref)))
            except FileNotFoundError:
                return []
            receipts = [(at, _read_back(pb.Receipt, Path(path).read_bytes())) for at, path in found]
        return [(at // 1000, _read_back(pb.Statement, receipt.statement)) for at, receipt in receipts]

    def folder(self, folder: Folder) -> Path:
        """Return the path of a folder."""
        return self._home / folder.value

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Put collected envelopes on the disk, all of them before this returns. Only the `Collector` calls it."""
        with _store_errors():
            for each in arrivals:
                path = self.folder(each.folder) / f"{name_of(each.ref)}.{each.fingerprint.hex()}"
                self._write(path, each.envelope.SerializeToString(deterministic=True))
            for folder in {each.folder for each in arrivals}:
                sync_folder(self.folder(folder))

    def _glimpses(self, folder: str) -> Iterator[Glimpse]:
        for name in self._files(folder):
            with _store_errors():
                try:
                    header, at_ns = _read_header(self._home / folder / name)
                except FileNotFoundError:
                    continue  # somebody dealt with it meanwhile
            yield Glimpse(*_parse_name(folder, name), header=header, at_us=at_ns // 1000)

    def _names(self, folder: str) -> list[tuple[ids.EnvelopeRef, bytes]]:
        return sorted((_parse_name(folder, name) for name in self._files(folder)), key=lambda each: each[0].id)

    def _files(self, folder: str) -> list[str]:
        with _store_errors():
            return [entry.name for entry in os.scandir(self._home / folder)]

    def _receipts(self, ref: ids.EnvelopeRef) -> Path:
        return self._home / "receipts" / name_of(ref)

    def _keep_named(self, folder: str, ref: ids.EnvelopeRef, kept: pb.SignedEnvelope) -> None:
        """Keep an envelope under a name; whoever calls this syncs the folder."""
        path, raw = self._home / folder / name_of(ref), kept.SerializeToString(deterministic=True)
        if not path.exists():
            self._write(path, raw)
        elif path.read_bytes() != raw:
            raise Refusal(ErrorCode.ID_CONFLICT, f"other bytes are kept in {folder} as {ref.id}", "id")

    def _read_named(self, folder: str, ref: ids.EnvelopeRef) -> pb.SignedEnvelope | None:
        with _store_errors():
            try:
                return _parse(pb.SignedEnvelope, (self._home / folder / name_of(ref)).read_bytes())
            except FileNotFoundError:
                return None

    def _read(self, path: Path) -> Kept | None:
        with _store_errors():
            try:
                # Not checked by rules: what was rejected may break any. That the disk changed nothing its name tells.
                found = _read_back(pb.SignedEnvelope, path.read_bytes())
            except FileNotFoundError:
                return None
        if envelope.fingerprint(found).hex() != path.name.rpartition(".")[2]:
            raise DiskFailure(ErrorCode.STORE, f"{path} is not what was put there")
        return Kept(path, found)

    def _write(self, path: Path, content: bytes) -> None:
        """Make `path` appear whole; whoever calls this syncs its folder."""
        aside = self._home / ASIDE / secrets.token_hex(16)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


class Collector:
    """Knows all that was ever collected into a memory, by name and by fingerprint. There is one at a time."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir
        self._by_name: dict[str, bytes] = {}
        self._by_fingerprint: dict[bytes, ids.EnvelopeRef] = {}
        self._rejected: set[bytes] = set()
        # The first two before REJECTED, where the losers of an ID_CONFLICT lie too.
        for folder in Folder:
            with _store_errors():
                names = [entry.name for entry in os.scandir(maildir.folder(folder))]
                # Whoever put them there may have been killed before he had; they are held, and will be acknowledged.
                sync_folder(maildir.folder(folder))
            for name in names:
                ref, fingerprint = _parse_name(folder.value, name)
                if fingerprint not in self._by_fingerprint:
                    self._note(ref, fingerprint, folder)

    def fingerprint(self, ref: ids.EnvelopeRef) -> bytes | None:
        """Return the fingerprint of what is held under that name, or None."""
        return self._by_name.get(name_of(ref))

    def held(self, fingerprint: bytes) -> ids.EnvelopeRef | None:
        """Return the name of the held envelope with that fingerprint, or None."""
        return self._by_fingerprint.get(fingerprint)

    def is_rejected(self, fingerprint: bytes) -> bool:
        """Whether the envelope with that fingerprint lies where no program is given it."""
        return fingerprint in self._rejected

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Put envelopes on the disk and remember them."""
        self._maildir.put(arrivals)
        for each in arrivals:
            self._note(each.ref, each.fingerprint, each.folder)

    def _note(self, ref: ids.EnvelopeRef, fingerprint: bytes, folder: Folder) -> None:
        self._by_fingerprint[fingerprint] = ref
        if folder is Folder.REJECTED:
            self._rejected.add(fingerprint)
            self._by_name.setdefault(name_of(ref), fingerprint)
        else:
            self._rejected.discard(fingerprint)
            self._by_name[name_of(ref)] = fingerprint  # whatever was rejected under that name before


def name_of(ref: ids.EnvelopeRef) -> str:
    """Return an envelope's name as a file's: neither an address nor an id can hold a full stop."""
    codec.check(ref)
    return f"{ref.sender.replace('/', '.')}.{ref.id}"


def _parse_name(folder: str, name: str) -> tuple[ids.EnvelopeRef, bytes]:
    """Return name and fingerprint of what is in a file; only what was collected has a fingerprint there."""
    try:
        node, sender, envelope_id, *fingerprint = name.split(".")
        ref = ids.EnvelopeRef(sender=f"{node}/{sender}", id=envelope_id)
        codec.check(ref)
        (digest,) = map(bytes.fromhex, fingerprint or ("",))
        if bool(digest) is (folder in _COLLECTED):
            return ref, digest
    except (ValueError, Refusal):
        pass
    raise DiskFailure(ErrorCode.STORE, f"{folder}/{name} is no file of a memory")


def _parse(kind: type[M], raw: bytes) -> M:
    try:
        return codec.parse(kind, raw)
    except Refusal as error:
        raise DiskFailure(ErrorCode.STORE, f"a file is damaged: {error.detail}") from error


def _read_header(path: Path) -> tuple[pb.Header, int]:
    """Return the header of an envelope in a file, and when that was written, ns; the payload behind it is not read."""
    with path.open("rb") as file:
        written_ns = os.fstat(file.fileno()).st_mtime_ns
        begin = file.read(_NEARLY_ALL)
        start, size = len(_HEADER_TAG), 0
        for shift, byte in enumerate(begin[start : start + 3]):
            size |= (byte & ~_CONTINUES) << 7 * shift
            start += 1
            if byte < _CONTINUES:
                break
        raw = begin[start : start + size]
        if len(raw) < size <= _MAX_HEADER:
            raw += file.read(size - len(raw))
    header = _read_back(pb.Header, raw)
    if not begin.startswith(_HEADER_TAG) or len(raw) != size or not header.recipients:
        raise DiskFailure(ErrorCode.STORE, f"{path} is damaged")
    return header, written_ns


def _read_back(kind: type[M], raw: bytes) -> M:
    """Parse what was checked before it was put here."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise DiskFailure(ErrorCode.STORE, "a file is damaged: it cannot be parsed") from error


@contextmanager
def _store_errors(but: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    try:
        yield
    except but:
        raise
    except OSError as error:
        raise DiskFailure(ErrorCode.STORE, f"the disk: {error.strerror}") from error
