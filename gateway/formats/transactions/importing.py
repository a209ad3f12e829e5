"""A file of transactions, whoever wrote it: records one by one, and refusals in between.

In: bytes, as a list, as lines, or as one document; see `scanning`. Out: records and refusals in the order of the file.
A bad record is refused with its position and its rule, and the good ones around it are kept. Memory holds one record of
the file at a time: a block counts as one. `raw_hash` is the SHA-256 of the element of the list, the line or the
document that the record was read from, without the white space around it: of a whole block or answer, if it came in
one.
"""

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import BinaryIO, Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import Refusal
from gateway.formats import chains, reading
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common, exact, scanning
from gateway.formats.transactions.common import Origin
from gateway.formats.transactions.forms import FormReader
from gateway.formats.transactions.scanning import Limits, Piece

CHUNK_BYTES: Final = 1 << 16

DEFAULT_LIMITS: Final = Limits()

_FAULTS: Final = MappingProxyType(
    {
        Code.MISSING: "the file is empty",
        Code.TX_JSON: "not a JSON text",
        Code.TX_TOO_LARGE: "one record of more bytes than are allowed",
        Code.TX_TOO_DEEP: "lists and objects within too many others",
    }
)


def import_records(
    file: BinaryIO | Iterable[bytes],
    form: str | None = None,
    chain: str | None = None,
    *,
    source: str = "",
    observed_at_us: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[evidence.TransactionRecord | Refusal]:
    """Read a file of transactions.

    Args:
        file: an open file, or its bytes in pieces of any size.
        form: one of `forms.FORMS`; None to tell it by its fields, record by record.
        chain: name or CAIP-2 id, for JSON that does not name its chain, as Bitcoin's.
        source: who observed it; empty for the name of the software whose form it is.
        observed_at_us: when it was observed: microseconds since 1970-01-01T00:00:00Z.
        limits: how much one record may be.

    Raises:
        Refusal: CHAIN_NOT_SUPPORTED, TX_FORM, at once; what is wrong with a record comes out of the iterator.
    """
    known = None if chain is None else chains.find(chain)
    reader = FormReader(form or "", Origin(known, source, observed_at_us))
    chunks = iter(lambda: file.read(CHUNK_BYTES), b"") if hasattr(file, "read") else iter(file)
    return _records(chunks, reader, limits)


def _records(
    chunks: Iterator[bytes], reader: FormReader, limits: Limits
) -> Iterator[evidence.TransactionRecord | Refusal]:
    for piece in scanning.pieces(chunks, limits):
        try:
            made = _read(piece, reader)
        except Refusal as error:
            yield error
        else:
            yield from made


def _read(piece: Piece, reader: FormReader) -> list[evidence.TransactionRecord]:
    if piece.fault is not None:
        detail = f"{_FAULTS[piece.fault]}; byte {piece.offset} of the file"
        raise refuse(piece.fault, detail, piece.where)
    made = reader.read(exact.load(piece.raw, piece.where, piece.offset), piece.where)
    for record in made:
        common.seal(record, piece.raw)
        reading.check(record, piece.where)
    return made
