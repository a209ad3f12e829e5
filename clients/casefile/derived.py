"""What everybody can make of a case file's envelopes and texts, and compare with what its exporter made of them.

In: a `CaseFile`. Out: members: the texts as canonical JSON, tables of their transactions, who had what (custody), what
happened (timeline), all that in the words of CASE and UCO, and the report. The same file gives the same bytes with the
same version of this program; the manifest names the version. No I/O.
"""

import importlib.metadata
import io
from collections.abc import Iterator
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients import tables
from clients.casefile import case_uco, custody, report
from clients.casefile.contents import CUSTODY, LINKED, PRINT, REPORT, TIMELINE, Envelope
from clients.casefile.reading import CaseFile
from clients.cases import key_of
from gateway.formats import json_form
from gateway.formats.page import html, pdf, words

TABLES: Final = ("records/transactions", "records/movements")
PARQUET: Final = frozenset(f"{name}.parquet" for name in TABLES)
RECORDS: Final = PARQUET | {f"{name}.csv" for name in TABLES}
"""All of them are in a file, or none: none, if no text that it shows tells of a transaction."""


def software() -> str:
    """Return what makes the report, with its version."""
    return f"rogatory {importlib.metadata.version('rogatory')}"


def table_library() -> str:
    """Return what writes the Parquet files, with its version."""
    return f"pyarrow {importlib.metadata.version('pyarrow')}"


def members(case: CaseFile) -> dict[str, bytes]:
    """Return what can be made of a case file."""
    shown = report.page_of(case)
    texts = {each.document: json_form.to_json(document) for each, document in case.documents()}
    return {
        **texts,
        **_tables(case),
        CUSTODY: json_form.canonical(custody.record(case)),
        TIMELINE: json_form.canonical({"events": [*_events(case)]}),
        LINKED: case_uco.render(case, texts),
        REPORT: html.render(shown).encode(),
        PRINT: pdf.render(shown, case.manifest.exported_at, REPORT),
    }


def _tables(case: CaseFile) -> dict[str, bytes]:
    records = case.transactions()
    if not records:
        return {}
    texts, files = (io.StringIO(newline=""), io.StringIO(newline="")), (io.BytesIO(), io.BytesIO())
    tables.write_csv(records, *texts)
    tables.write_parquet(records, *files)
    made = {f"{name}.csv": text.getvalue().encode() for name, text in zip(TABLES, texts, strict=True)}
    return made | {f"{name}.parquet": file.getvalue() for name, file in zip(TABLES, files, strict=True)}


def _events(case: CaseFile) -> Iterator[dict[str, object]]:
    """Yield what happened, in the order of the times that its signers state."""
    happened: list[tuple[int, str, dict[str, object]]] = []
    for each in case.listed:
        header = case.headers.get(each.ref.key)
        if header is not None:
            happened.append((header.created_at_us, header.id, _sent(header, each)))
    for entry, said in case.told:
        happened.append((said.at_us, entry.sha256, _stated(said)))
    yield from (event for _, _, event in sorted(happened, key=lambda each: each[:2]))


def _sent(header: pb.Header, each: Envelope) -> dict[str, object]:
    return {
        "at": words.moment(header.created_at_us),
        "event": "envelope",
        "kind": words.enum(ids.Kind.DESCRIPTOR, header.kind)[0],
        "envelope": {"sender": header.sender, "id": header.id},
        "by": header.sender,
        "to": [*header.recipients],
        "case": header.case_id,
        "cites": [{"sender": ref.sender, "id": ref.id} for ref in header.cites],
        "outcome": words.word(ids.Outcome.DESCRIPTOR, header.outcome),
        "recorded_at": None if each.recorded_us is None else words.moment(each.recorded_us),
    }


def _stated(said: pb.Statement) -> dict[str, object]:
    sender, envelope_id = key_of(said.envelope)
    return {
        "at": words.moment(said.at_us),
        "event": "statement",
        "milestone": words.enum(pb.Milestone.DESCRIPTOR, said.milestone)[0],
        "envelope": {"sender": sender, "id": envelope_id},
        "by": said.issuer,
        "about": said.recipient,
        "detail": said.detail,
    }
