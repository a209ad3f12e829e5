"""Where the files of a signed directory are read from: a folder, an HTTPS server, or memory (a copy, another node).

In: an address. Out: bytes, never many more than the largest file has. Nothing is trusted that comes from here. Refuses
HTTP, redirects, and names that leave the folder. A file that is not there is status 404 everywhere: this is how the
updater learns that there is no newer root (TUF specification, client workflow 5.3.3).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from ssl import SSLContext
from typing import IO, Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from gateway.timed import SILENCE_SECONDS, Unanswered, ask, believing
from gateway.trust.roles import MAX_FILE_BYTES

HTTPS: Final = "https://"
GRPCS: Final = "grpcs://"
FILE_SECONDS: Final = 60.0
"""For one file, from connecting to its last byte."""

ALL_SECONDS: Final = 300.0
"""For all files of one look."""


class MemoryFetcher(FetcherInterface):
    """Reads from memory: the last good copy, or a repository of a test.

    Args:
        files: content by name, e.g. `metadata/1.root.json`.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url not in self.files:
            raise DownloadHTTPError(f"there is no {url}", HTTPStatus.NOT_FOUND)
        return iter([self.files[url]])


class FolderFetcher(FetcherInterface):
    """Reads from a folder of this machine.

    Args:
        folder: with `metadata/` and `targets/` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url
        if ".." in Path(url).parts or not path.is_relative_to(self._folder):
            raise DownloadError(f"{url} is outside of {self._folder}")
        if not self._folder.is_dir():
            raise DownloadError(f"there is no folder {self._folder}")
        try:
            with path.open("rb") as file:
                return iter([file.read(MAX_FILE_BYTES + 1)])  # one more than anything may have
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"there is no {path}", HTTPStatus.NOT_FOUND) from error
        except OSError as error:
            raise DownloadError(f"cannot read {path}: {error.strerror}") from error


class HttpsFetcher(FetcherInterface):
    """Reads from an HTTPS server, whose certificate the system's authorities or `ca` vouch for.

    Args:
        base: `https://HOST/PATH`.
        ca: a file of PEM certificates instead of the system's.
    """

    def __init__(self, base: str, ca: Path | None = None) -> None:
        self._base = base.rstrip("/")
        self._ca = ca

    @cached_property
    def _until(self) -> float:
        # From the first file on: before that, it may have waited for another process.
        return time.monotonic() + ALL_SECONDS

    @cached_property
    def _tls(self) -> SSLContext:
        # Not before it is wanted: a file that cannot be read is an answer that cannot be had, as `fetch` tells it.
        return believing(self._ca, "directory.ca")

    def _fetch(self, url: str) -> Iterator[bytes]:
        address = f"{self._base}/{url}"
        if not address.startswith(HTTPS):
            raise DownloadError(f"{address} is not HTTPS")
        # A server that sends a byte now and then never makes a read time out.
        seconds = min(FILE_SECONDS, self._until - time.monotonic())
        if seconds <= 0:
            raise SlowRetrievalError(f"all files together took more than {ALL_SECONDS:g} seconds")
        try:
            # A redirect, which is not followed, could lead to HTTP, or to a server of somebody else's.
            answer = ask(address, seconds, MAX_FILE_BYTES, tls=self._tls, silence=SILENCE_SECONDS)
        except Unanswered as error:
            raise DownloadError(f"no {address}: {error}") from error
        if answer.status != HTTPStatus.OK:
            raise DownloadHTTPError(f"{address} answers {answer.status}", answer.status)
        return iter([answer.content])


class SilentFetcher(FetcherInterface):
    """Reads nothing, because nobody answers.

    Args:
        why: what went wrong.
        kind: of the error.
    """

    def __init__(self, why: str, kind: type[DownloadError] = DownloadError) -> None:
        self._why = why
        self._kind = kind

    def _fetch(self, url: str) -> Iterator[bytes]:
        # Without a status, whatever kind it is of: a status would tell of a file that is not there.
        raise DownloadError(f"no {url}: {self._why}") if self._kind is DownloadHTTPError else self._kind(self._why)


class Recorder(FetcherInterface):
    """Remembers what it read from another one to the end, and hands it out from there.

    Args:
        inner: the other one.
    """

    def __init__(self, inner: FetcherInterface) -> None:
        self._inner = inner
        self.seen: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._remember(url, self._inner.fetch(url))

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Do what the interface does, without a temporary file for each: all of it is in memory anyway."""
        length = 0
        for piece in self.fetch(url):
            length += len(piece)
            if length > max_length:
                raise DownloadLengthMismatchError(f"{url} has {length} bytes or more, {max_length} are allowed")
        yield BytesIO(self.seen[url])

    def _remember(self, url: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        kept: list[bytes] = []
        for piece in pieces:
            kept.append(piece)
            yield piece  # the updater goes no further than its limit
        self.seen[url] = b"".join(kept)


def fetcher_for(repository: str, ca: Path | None) -> FetcherInterface:
    """Return the one for a setting: an HTTPS address, or a folder."""
    if repository.startswith(GRPCS):
        # `gateway.mirror` asks the node, and hands on what it says; without it there is nothing to read.
        return SilentFetcher(f"{repository} is a node, and was not asked")
    return HttpsFetcher(repository, ca) if repository.startswith(HTTPS) else FolderFetcher(Path(repository))
