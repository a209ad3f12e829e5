"""Sealed files: what waits for one has it, what is said to lie there lies there, and nothing else does.

A node may bring and delete files meanwhile. It notes a place before anything lies there, and forgets a file before it
deletes its bytes; a place is never used again. So what is missing is looked up once more, and what nobody knows of too.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from gateway.depot import Depot, parts
from gateway.errors import Failure
from gateway.lifecycle import State
from gateway.store.attachments import HELD_US, UPLOADS
from gateway.store.fsck.books import PAGE, Books, blob
from gateway.store.fsck.findings import Check, Notes
from gateway.store.schema import PENDING_SQL

_UNSAID: Final = """
    SELECT a.envelope_seq, a.position FROM attachments a JOIN envelopes e ON e.seq = a.envelope_seq
    WHERE a.ended_at_us IS NULL AND e.payload IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM uploads u WHERE u.digest = a.digest AND u.size = a.size AND u.whole = 1)
    ORDER BY a.envelope_seq, a.position
"""
_UNKEPT: Final = f"""
    SELECT DISTINCT a.envelope_seq, a.position FROM attachments a JOIN deliveries d ON d.envelope_seq = a.envelope_seq
    WHERE a.ended_at_us IS NOT NULL AND d.state IN {PENDING_SQL} ORDER BY a.envelope_seq, a.position
"""  # noqa: S608  our own words
_ALONE: Final = f"""
    SELECT d.seq, a.position, d.destination FROM deliveries d JOIN attachments a ON a.envelope_seq = d.envelope_seq
    WHERE d.state IN {PENDING_SQL} AND d.destination LIKE '%/node' AND NOT EXISTS (
      SELECT 1 FROM freight f WHERE f.delivery_seq = d.seq AND f.destination = d.destination
        AND f.digest = a.digest AND f.size = a.size)
    ORDER BY d.seq, a.position
"""  # noqa: S608  our own words
_STUCK: Final = f"""
    SELECT d.seq, d.destination FROM deliveries d WHERE d.state = '{State.QUEUED.value}'
      AND d.next_attempt_at_us = {HELD_US}
      AND NOT EXISTS (SELECT 1 FROM freight f WHERE f.delivery_seq = d.seq AND f.carried = 0)
    ORDER BY d.seq
"""  # noqa: S608  our own words
_IS_KEPT: Final = "SELECT 1 FROM uploads WHERE place = ?"
_IS_KNOWN: Final = "SELECT 1 FROM uploads WHERE place = ? UNION ALL SELECT 1 FROM discarded WHERE place = ?"


def check_named(books: Books, notes: Notes) -> None:
    """Check that no envelope waits for a file that is not here, may go meanwhile, or is not brought, or for none."""
    for seq, position in books.offenders(_UNSAID):
        notes.fail(Check.FILES_NAMED, f"envelope {seq}", f"its file {position} is not here")
    for seq, position in books.offenders(_UNKEPT):
        notes.fail(Check.FILES_NAMED, f"envelope {seq}", f"it is on its way, and its file {position} is kept no more")
    for seq, position, destination in books.offenders(_ALONE):
        notes.fail(Check.SOMEBODY_ACTS, f"delivery {seq}", f"nobody brings its file {position} to {destination}")
    for seq, destination in books.offenders(_STUCK):
        notes.fail(Check.SOMEBODY_ACTS, f"delivery {seq}", f"it waits for files to go to {destination}, and none does")


def check_files(books: Books, depot: Depot, notes: Notes, *, digests: bool) -> None:
    """Check what lies among the files against the store, as it is now.

    Raises:
        Failure: STORE, they cannot be looked at now.
    """
    notes.expect(books.count("uploads"))
    for place, digest, size, whole in _uploads(books):
        why = _flaw(depot, place, size, blob(digest) if digests and whole else None)
        if why and books.rows(_IS_KEPT, place):
            notes.fail(Check.FILES_KEPT, f"file {place}", why)
        notes.done()
    for place in depot.places():
        if not books.rows(_IS_KNOWN, place, place) and depot.holds(place):
            notes.fail(Check.FILES_KNOWN, f"file {place}", "the store knows of none there")


def _uploads(books: Books) -> Iterator[Any]:
    last = ""
    while page := books.rows(UPLOADS, last, PAGE):
        yield from page
        last = page[-1][0]


def _flaw(depot: Depot, place: str, size: int, digest: bytes | None) -> str:
    """Return what is wrong with a file; with its digest, its bytes are read."""
    there = depot.sizes(place)
    for number, wanted in parts(size):
        if number not in there:
            return f"part {number} is missing"
        if there[number] != wanted:
            return f"part {number} has {there[number]} bytes, not {wanted}"
    if digest is None:
        return ""
    found = sha256()
    try:
        for number, wanted in parts(size):
            for piece in depot.part(place, number, wanted):
                found.update(piece)
    except Failure:
        return "it cannot be read"
    return "" if found.digest() == digest else "it has another digest than the one that names it"
