"""The judge of a store: is every promise of the design's section 4 kept by what is on disk?

In: a store, or a connection to one; the directory, if signatures are to be verified too; where its sealed files lie, if
they are to be looked at. Out: one finding a check, numbered for ever, with the first offending rows. Changes nothing.
Refuses with BAD_CONFIG what is no store of this version. It goes through the store row by row, in memory that does not
grow with it, and sees one moment of it, also while a node serves. Files are looked at after that: they have no moment.

It shares the words, the table of steps and the hashes with the node, and none of the code that writes. Of promise 6
(bounded memory) a store can tell nothing.
"""

from collections.abc import Callable
from typing import Any

from gateway.depot import Depot
from gateway.directory import Directory
from gateway.store.driver import TROUBLE, may_pass
from gateway.store.fsck import files, log, matters, records, registers, ways
from gateway.store.fsck.books import Books, moment, opened
from gateway.store.fsck.findings import Check, Finding, Notes, Result

__all__ = ["Check", "Finding", "Result", "check"]

WITH_KEYS = frozenset({Check.SIGNATURES, Check.STATEMENTS_PROVEN, Check.DECISIONS_PROVEN, Check.CHECKPOINTS_SIGNED})
"""What takes public keys."""
WITH_FILES = frozenset({Check.FILES_KEPT, Check.FILES_KNOWN})
"""What takes a look at the files."""


def check(
    store: Any,  # noqa: ANN401  pysqlite3 has no types
    directory: Directory | None = None,
    *,
    node: str | None = None,
    depot: Depot | None = None,
    digests: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Check a store.

    Args:
        store: the path of a SQLite file, the address of a database, or a connection that is in no transaction.
        directory: public keys; without it signatures are looked at and not verified.
        node: code of the node whose store it is; None: whose first acceptance it holds.
        depot: where its sealed files lie; without it nobody looks at them.
        digests: whether to read all their bytes, too.
        progress: told how many rows are done, and of how many.

    Returns:
        One finding for each check, in their order.

    Raises:
        Refusal: BAD_CONFIG, there is no store, or one of another version.
        Failure: STORE, it cannot be read now, or the files cannot be looked at now.
    """
    notes = Notes(progress)
    if directory is None:
        notes.leave_out(WITH_KEYS)
    if depot is None:
        notes.leave_out(WITH_FILES)
    with opened(store) as connection:
        try:
            with moment(connection):
                _check_all(Books(connection, directory, node), notes)
            if depot is not None:
                files.check_files(Books(connection, directory, node), depot, notes, digests=digests)
        except TROUBLE as error:
            if may_pass(error):
                raise  # nothing is known of the store by that
            notes.fail(Check.DATABASE, "reading", str(error))
            notes.leave_out(Check)
    return notes.findings()


def _check_all(books: Books, notes: Notes) -> None:
    notes.expect(books.count("envelopes") + books.count("receipts") + books.count("log_entries"))
    registers.check_database(books, notes)
    for file in books.envelopes():
        records.check_envelope(file, books, notes)
        ways.check_envelope(file, books, notes)
        matters.check_envelope(file, books, notes)
        notes.done()
    records.check_receipts(books, notes)
    log.check_log(books, notes)
    records.check_strays(books, notes)
    ways.check_all(books, notes)
    matters.check_strays(books, notes)
    registers.check_registry(books, notes)
    registers.check_restorations(books, notes)
    registers.check_actions(books, notes)
    files.check_named(books, notes)
