"""Where a log is read: a folder, or a web server; it is not believed.

In: a place as somebody names it. Out: bytes, of bounded length, within bounded time. Refuses with BAD_INPUT what names
no place, with TOO_LARGE more than was to be expected; fails with UNAVAILABLE if it cannot be had now.

Source: https://c2sp.org/tlog-tiles. A place that has a tile whole need not keep its parts.
"""

import os
import stat
import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.timed import SILENCE_SECONDS, Timed, body

HASH_BYTES: Final = 32
WIDTH: Final = 256
"""Hashes of a whole tile."""
MAX_NOTE_BYTES: Final = 1 << 18
MAX_STATE_BYTES: Final = 1 << 22
REQUEST_SECONDS: Final = 30.0
"""So long an answer may take from connecting to its last byte, however steadily it drips."""
TRIES: Final = 3
PAUSE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 5.0
_GROUP: Final = 1000
_NEVER_FOLLOWED: Final = {"Accept-Encoding": "identity", "User-Agent": "rogatory-audit"}


class Missing(Exception):
    """There is no such file."""


class Place(Protocol):
    """Where a log can be read."""

    name: str

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint.

        Raises:
            Refusal: TOO_LARGE.
            Failure: UNAVAILABLE.
        """

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return what is said to be the first hashes of a tile.

        Args:
            level: 0: leaf hashes.
            number: of the tile in its level.
            width: how many hashes.

        Raises:
            Refusal: TOO_LARGE.
            Failure: UNAVAILABLE.
        """

    def close(self) -> None:
        """Let go of it."""


class Files(ABC):
    """What serves a log as files, by their paths.

    Args:
        name: for people.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, as `Place`."""
        try:
            return self._get("checkpoint", MAX_NOTE_BYTES)
        except Missing as error:
            raise self._unavailable("there is no checkpoint") from error

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return the first hashes of a tile, as `Place`."""
        whole, wanted = path_of(level, number), width * HASH_BYTES
        try:
            if width < WIDTH:
                with suppress(Missing):
                    return self._get(f"{whole}.p/{width}", wanted)
            found = self._get(whole, WIDTH * HASH_BYTES)
        except Missing as error:
            raise self._unavailable(f"{whole} is not there, which the checkpoint promises") from error
        return found[:wanted] if len(found) == WIDTH * HASH_BYTES else found

    @abstractmethod
    def _get(self, path: str, most: int) -> bytes:
        """Return a file; raises `Missing`, and as `tile`."""

    def _unavailable(self, why: str) -> Failure:
        return Failure(ErrorCode.UNAVAILABLE, f"{self.name}: {why}", retry_after=RETRY_SECONDS)

    def _too_large(self, path: str, most: int) -> Refusal:
        return Refusal(ErrorCode.TOO_LARGE, f"{self.name}: {path} has more than {most} bytes", path)


class FolderPlace(Files):
    """A folder that somebody copied a log into.

    Args:
        folder: where `checkpoint` and `tile` lie.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._folder = folder

    def close(self) -> None:
        """Hold nothing, so let go of nothing."""

    def _get(self, path: str, most: int) -> bytes:
        try:
            content = read_file(self._folder / path, most)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Missing from error
        except OSError as error:
            raise self._unavailable(f"{path} cannot be read: {error.strerror}") from error
        if len(content) > most:
            raise self._too_large(path, most)
        return content


class WebPlace(Files):
    """A web server.

    No redirection is followed, and no compression taken. Without TLS it will do: all is checked with public keys.

    Args:
        url: "https://HOST/PATH".
        seconds: that an answer may take.
        pause: seconds before it is asked again for what it did not answer; three times in all.

    Raises:
        Refusal: BAD_INPUT.
    """

    def __init__(self, url: str, seconds: float = REQUEST_SECONDS, pause: float = PAUSE_SECONDS) -> None:
        super().__init__(url)
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise _no_place(url) from error
        if not self._host or "@" in parts.netloc or parts.query or parts.fragment or not url.isprintable():
            raise _no_place(url)
        self._prefix = f"{parts.path.rstrip('/')}/"
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._seconds, self._pause = seconds, pause
        self._closed = threading.Event()
        self._idle = deque[HTTPConnection]()
        self._busy = set[Timed]()

    def close(self) -> None:
        """Close its connections; who waits for an answer gets none."""
        self._closed.set()
        for each in [*self._busy]:
            each.cut()
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _get(self, path: str, most: int) -> bytes:
        for _ in range(TRIES - 1):
            try:
                return self._once(path, most)
            except Failure:
                # One of many thousand answers must not cost all the others.
                if self._closed.wait(self._pause):
                    raise
        return self._once(path, most)

    def _once(self, path: str, most: int) -> bytes:
        if self._closed.is_set():
            raise self._unavailable("is closed")
        try:
            rested = self._idle.pop()
        except IndexError:
            rested = None
        try:
            if rested is not None:
                # A server may close a connection that it has served for a while: it is asked once more.
                with suppress(ConnectionError, HTTPException):
                    return self._ask(rested, path, most)
            fresh = self._kind(self._host, self._port, timeout=min(SILENCE_SECONDS, self._seconds))
            return self._ask(fresh, path, most)
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise self._unavailable(f"{path} cannot be had: {why}") from error

    def _ask(self, connection: HTTPConnection, path: str, most: int) -> bytes:
        timed, kept = Timed(connection, self._seconds), False
        self._busy.add(timed)
        try:
            with timed:
                connection.request("GET", self._prefix + path, headers=_NEVER_FOLLOWED)
                with connection.getresponse() as answer:
                    content = self._read(answer, path, most)
                    kept = not answer.will_close
        # What a connection raises that is cut in the middle of TLS is a ValueError.
        except (OSError, HTTPException, ValueError) as error:
            if timed.over.is_set():
                raise self._late(path) from error
            raise
        finally:
            self._busy.discard(timed)
            if not kept:
                connection.close()
        if timed.over.is_set():
            connection.close()
            raise self._late(path)
        self._idle.append(connection)
        if self._closed.is_set():
            self.close()  # meanwhile, by another thread, which did not see this one
        return content

    def _read(self, answer: HTTPResponse, path: str, most: int) -> bytes:
        if answer.status == HTTPStatus.NOT_FOUND:
            answer.close()
            raise Missing
        if answer.status != HTTPStatus.OK:
            raise self._unavailable(f"{path} was answered with {answer.status}")
        content = body(answer, most)
        if len(content) > most:
            raise self._too_large(path, most)
        return content

    def _late(self, path: str) -> Failure:
        return self._unavailable(f"{path} took more than {self._seconds:g} seconds")


def of(name: str) -> Place:
    """Return the place that a text names.

    Args:
        name: "https://…", "http://…" or a folder.

    Raises:
        Refusal: BAD_INPUT.
    """
    if name.startswith(("https://", "http://")):
        return WebPlace(name)
    if not name or "://" in name or not Path(name).is_dir():
        raise _no_place(name)
    return FolderPlace(Path(name))


def path_of(level: int, number: int) -> str:
    """Return the path of a whole tile, e.g. "tile/0/x001/234"."""
    groups = [f"{number % _GROUP:03}"]
    while number >= _GROUP:
        number //= _GROUP
        groups.append(f"x{number % _GROUP:03}")
    return "/".join(["tile", str(level), *reversed(groups)])


def read_file(path: Path, most: int) -> bytes:
    """Return a regular file, or one byte more than it may have.

    Raises:
        OSError: it cannot be read.
    """
    # Not blocked by a pipe that nobody writes to.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(None, "it is no regular file")
        return file.read(most + 1)


def _no_place(name: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, f"{name} is no folder, https:// or http:// address", "log")
