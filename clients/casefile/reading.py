"""A case file read: envelopes, statements, texts, and the case that they make.

In: a manifest, members, the directory that was proven. Out: a `CaseFile`. Nothing is checked here but form: `checks`
does. Refuses with MALFORMED, NOT_FOUND and TOO_LARGE what cannot be read. No I/O.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from google.protobuf.message import Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids

from clients.casefile.contents import Envelope, Manifest, Receipt, State
from clients.cases import Case, Key, Paper, Said
from gateway import codec, envelope, manifest
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.formats.documents import Document

MAX_TEXT_BYTES: Final = 16 << 20
"""Of a text with its salt: no node takes a larger payload, whatever its settings."""


@dataclass(frozen=True)
class Shown:
    """A text that the file shows, and the salt that proves it."""

    kind: ids.Kind.ValueType
    salt: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @cached_property
    def document(self) -> Document:
        """What it says. Not read before: whose text it is follows from its bytes, not from what can be read in them.

        Raises:
            Refusal: as `documents.decode`.
        """
        return documents.decode(self.kind, self.body)


@dataclass(frozen=True)
class CaseFile:
    """A case as a file tells it.

    Args:
        manifest: what the file says of itself.
        directory: who had which keys and roles.
        envelopes: those that are here, by name.
        headers: of these.
        receipts: all of them, in the order of the manifest.
        statements: what they say, in that order.
        shown: the texts that are shown, by envelope.
    """

    manifest: Manifest
    directory: Directory
    envelopes: Mapping[Key, pb.SignedEnvelope] = field(repr=False)
    headers: Mapping[Key, pb.Header] = field(repr=False)
    receipts: tuple[pb.Receipt, ...] = field(repr=False)
    statements: tuple[pb.Statement, ...] = field(repr=False)
    shown: Mapping[Key, Shown] = field(repr=False)

    @classmethod
    def read(cls, said: Manifest, members: Mapping[str, bytes], directory: Directory) -> "CaseFile":
        """Read a case file.

        Raises:
            Refusal: MALFORMED, BAD_RECEIPT, NOT_FOUND or TOO_LARGE, with the member.
        """
        here = [each for each in said.envelopes if each.state is not State.WITHHELD]
        envelopes = {each.ref.key: _parsed(members, each.name, pb.SignedEnvelope) for each in here}
        headers = {key: envelope.parse_header(each) for key, each in envelopes.items()}
        receipts = tuple(_parsed(members, each.name, pb.Receipt) for each in said.receipts)
        statements = tuple(codec.parse(pb.Statement, each.statement, ErrorCode.BAD_RECEIPT) for each in receipts)
        shown = {
            each.ref.key: _shown(members, each, headers[each.ref.key]) for each in here if each.state is State.OPENED
        }
        return cls(said, directory, envelopes, headers, receipts, statements, shown)

    @cached_property
    def case(self) -> Case:
        """The matters, as the exporter saw them; told from its own word when things came."""
        recorded = {each.ref.key: each.recorded_us for each in self.manifest.envelopes}
        papers = [Paper(header, at) for key, header in self.headers.items() if (at := recorded[key]) is not None]
        said = [
            Said(statement, entry.heard_us)
            for entry, statement in zip(self.manifest.receipts, self.statements, strict=True)
            if entry.heard_us is not None
        ]
        return Case(papers, said, self.directory, self.manifest.exporter)

    @cached_property
    def listed(self) -> list[Envelope]:
        """All envelopes, as they were made; those that are withheld last."""
        last = 1 << 62

        def when(each: Envelope) -> tuple[int, Key]:
            header = self.headers.get(each.ref.key)
            return (last if header is None else header.created_at_us), each.ref.key

        return sorted(self.manifest.envelopes, key=when)

    @cached_property
    def told(self) -> list[tuple[Receipt, pb.Statement]]:
        """All statements, as they were made."""
        pairs = zip(self.manifest.receipts, self.statements, strict=True)
        return sorted(pairs, key=lambda pair: (pair[1].at_us, pair[0].name))

    def documents(self) -> Iterator[tuple[Envelope, Document]]:
        """Yield the texts that are shown, in the order in which they were made."""
        for each in self.listed:
            if each.ref.key in self.shown:
                yield each, self.shown[each.ref.key].document

    def transactions(self) -> list[evidence.TransactionRecord]:
        """Return the transaction records of the texts, each once: a report is handed on word for word."""
        found: dict[bytes, evidence.TransactionRecord] = {}
        for _, document in self.documents():
            for record in within(document, evidence.TransactionRecord):
                found.setdefault(record.SerializeToString(deterministic=True), record)
        return [*found.values()]

    def wallets(self) -> frozenset[str]:
        """Return the addresses that the texts name as what the case is about."""
        named = (each for _, document in self.documents() for each in within(document, evidence.WalletIdentifier))
        return frozenset(text for wallet in named for text in (wallet.address, wallet.canonical) if text)

    def attachments(self) -> Iterator[tuple[Envelope, pb.AttachmentRef]]:
        """Yield the files that travelled with envelopes: their ciphertexts, which are not in here."""
        for each in self.listed:
            raw = self.envelopes.get(each.ref.key)
            if raw is not None:
                yield from ((each, ref) for ref in manifest.parse(raw.attachments))


def within(document: Message, kind: type[codec.M]) -> Iterator[codec.M]:
    """Yield the messages of one type anywhere in a document, in the order of its fields."""
    if isinstance(document, kind):
        yield document
        return
    for each, value in document.ListFields():
        if each.message_type is not None:
            for inner in value if each.is_repeated else (value,):
                yield from within(inner, kind)


def _parsed(members: Mapping[str, bytes], name: str, kind: type[codec.M]) -> codec.M:
    if name not in members:
        raise Refusal(ErrorCode.NOT_FOUND, "the manifest tells of what is not there", name)
    try:
        return codec.parse(kind, members[name])
    except Refusal as error:
        raise Refusal(error.code, error.detail, name) from error


def _shown(members: Mapping[str, bytes], each: Envelope, header: pb.Header) -> Shown:
    if each.salt not in members or each.body not in members:
        raise Refusal(ErrorCode.NOT_FOUND, "the manifest tells of what is not there", each.opened)
    if len(members[each.salt]) + len(members[each.body]) > MAX_TEXT_BYTES:
        raise Refusal(ErrorCode.TOO_LARGE, f"a text is over max_text_bytes = {MAX_TEXT_BYTES}", each.opened)
    return Shown(header.kind, members[each.salt], members[each.body])
