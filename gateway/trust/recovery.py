"""A lost repository, or one that was put back from an old backup, made again from what a node has seen of it.

In: the last good copy of a node, the trusted root, the repository's folder. Out: that folder with all that is
published, so that the publisher goes on with the next numbers. Readers take nothing older than what they have seen:
from an old repository they would take nothing any more, and stop when what they have expires. Nothing is believed for
lying in the copy: it is verified as on each use, and what nobody verified is not written. Refuses with BAD_DIRECTORY
what is not proven, and with BAD_INPUT a repository that is not behind.
"""

from pathlib import Path

from tuf.api.metadata import Timestamp

from gateway.errors import ErrorCode, Refusal
from gateway.trust.collect import collect, proving, root_in
from gateway.trust.copy import TIMESTAMP_FILE, GoodCopy, Held, served_list
from gateway.trust.fetch import MemoryFetcher, Recorder
from gateway.trust.files import Files, parse, write
from gateway.trust.problem import Reason
from gateway.trust.roles import ROOT, TIMESTAMP


def recover(folder: Path, copy: GoodCopy, root: bytes) -> Held:
    """Write what is published into a repository's folder; return which directory it is.

    Args:
        folder: of the repository; made if missing.
        copy: what a node has seen.
        root: trusted root metadata.

    Raises:
        Refusal: BAD_DIRECTORY, the copy is not proven by that root; BAD_INPUT, the folder holds this directory or a
            newer one, or cannot be written.
        Failure: STORE, our own disk is full.
    """
    held, published = _proven(copy, root)
    files = Files(folder)
    files.make()
    with files.alone():
        there = _held(files)
        if there >= held:
            detail = f"{folder} is not behind: it holds version {there.timestamp} of the timestamp"
            raise Refusal(ErrorCode.BAD_INPUT, detail, "folder")
        # The timestamp last: from then on readers see the rest.
        for name in sorted(published, key=lambda name: name == TIMESTAMP_FILE):
            write(folder / name, published[name])
    return held


def _proven(copy: GoodCopy, root: bytes) -> tuple[Held, dict[str, bytes]]:
    """Return what the workflow of a client has read and verified, by the names of a repository, and which that is."""
    recorder = Recorder(MemoryFetcher(copy.served()))
    with proving(f"the copy of {copy.checked:%Y-%m-%d %H:%M %Z}") as scratch:
        found = collect(recorder, root, scratch, copy.lists, copy.checked, frozenset(Reason))
        kept = {code: each.kept for code, each in found.lists.items() if each.kept is not None}
        lists = {name: data for code, each in kept.items() for name, data in served_list(code, each).items()}
        first = f"metadata/{root_in(root).signed.version}.{ROOT}.json"
    versions = {age.role: age.version for age in found.ages}
    return Held(versions[ROOT], versions[TIMESTAMP]), {**recorder.seen, **lists, first: root}


def _held(files: Files) -> Held:
    try:
        timestamp = parse(Timestamp, files.folder / TIMESTAMP_FILE).signed.version
    except Refusal:
        timestamp = 0  # none, or half of one
    return Held(files.version(ROOT), timestamp)
