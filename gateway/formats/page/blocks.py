"""How a message becomes rows and tables.

In: a message, or fields of one. Out: blocks, in the order of the fields. What is a value for people (a sum, a quantity,
an address) stands in one row; things of one kind stand in a table, a line each; everything else is a group of rows.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import persons_pb2 as persons

from gateway.formats.page import cells, words
from gateway.formats.page.layout import COLUMNS
from gateway.formats.page.model import NOT_STATED, Block, Line, Row, Rows, Table

_OF_A_PERSON: Final = frozenset({"PersonConcerned", "Person", "NaturalPerson", "LegalPerson"})
"""What nobody says of a person is left out: a firm has no sex."""

_MAX_COLUMNS: Final = 7


class Blocks:
    """Takes fields and puts them into blocks.

    Args:
        now: when the page is made; None if clocks are not to be told late.
        form: whether fields that are not filled are shown.
    """

    def __init__(self, now: datetime | None, *, form: bool) -> None:
        self._now = now
        self._form = form
        self._made: list[tuple[str, list[Row]] | Table] = []

    def made(self) -> tuple[Block, ...]:
        """Return what was put in, in order."""
        return tuple(
            each if isinstance(each, Table) else Rows(each[0], tuple(each[1]))
            for each in self._made
            if each != ("", [])
        )

    def message(self, message: Message, title: str) -> None:
        """Put in all fields of a message."""
        if isinstance(message, persons.Person):
            natural = message.WhichOneof("person") == "natural"
            self._row(title, Row("Natural or legal", "natural person" if natural else "legal person"))
        # What takes one row comes first, so that a table does not cut the group in two.
        for field in sorted(cells.fields_of(message), key=lambda each: cells.takes_blocks(message, each)):
            self.field(message, field, title)
        if isinstance(message, measures.Clock):
            self._row(title, Row("Standing", *cells.standing(message, self._now)))

    def field(self, message: Message, field: FieldDescriptor, title: str = "", label: str = "") -> None:
        """Put in one field, under another name than its own if one is given."""
        value: object = getattr(message, field.name)
        label = label or words.label(field)
        if cells.full_name(field) in cells.MERGED and isinstance(value, Message):
            if cells.is_filled(message, field):
                self.message(value, title)
        elif not cells.is_filled(message, field):
            if self._form and cells.full_name(field).partition(".")[0] not in _OF_A_PERSON:
                self.missing(label, title)
        elif (row := cells.as_row(message, field, label)) is not None:
            self._row(title, row)
        elif isinstance(value, bytes):
            self.message(pb.Header.FromString(value), f"{title}: {label}" if title else label)
        elif isinstance(value, Message):
            self.message(value, f"{title}: {label}" if title else label)
        else:
            self._list(cells.messages_in(message, field), f"{title}: {label}" if title else label)

    def missing(self, label: str, title: str = "") -> None:
        """Put in that something is not stated, if this is a form."""
        if self._form:
            self._row(title, Row(label, NOT_STATED))

    def table(self, messages: Sequence[Message], title: str) -> None:
        """Put in messages of one type that stand in a table of their own."""
        columns = [(heading, names) for heading, names in COLUMNS[cells.type_of(messages[0]).name]]
        texts = [[cells.columns(message, names) for _, names in columns] for message in messages]
        self._table(
            title, [heading for heading, _ in columns], texts, [cells.is_quoted(message) for message in messages]
        )

    def _list(self, messages: Sequence[Message], title: str) -> None:
        shape = cells.type_of(messages[0])
        if shape.name in COLUMNS:
            self.table(messages, title)
            return
        filled = [
            each for each in cells.fields_of(messages[0]) if any(cells.is_filled(message, each) for message in messages)
        ]
        if len(filled) <= _MAX_COLUMNS and all(cells.is_flat(each) for each in filled):
            self._flat(messages, filled, title)
            return
        for position, message in enumerate(messages, start=1):
            name = cells.name_of(message)
            self.message(message, f"{title} {position} of {len(messages)}{f': {name}' if name else ''}")

    def _flat(self, messages: Sequence[Message], filled: Sequence[FieldDescriptor], title: str) -> None:
        headings = [words.label(each) for each in filled]
        texts = [[cells.value_of(message, each) for each in filled] for message in messages]
        loud = [False] * len(messages)
        clocks = [message for message in messages if isinstance(message, measures.Clock)]
        if clocks:
            headings.append("Standing")
            standings = [cells.standing(clock, self._now) for clock in clocks]
            texts = [[*line, standing] for line, (standing, _, _) in zip(texts, standings, strict=True)]
            loud = [late for _, _, late in standings]
        self._table(title, headings, texts, loud)

    def _table(self, title: str, headings: Sequence[str], texts: list[list[str]], loud: Iterable[bool]) -> None:
        """Put in a table, numbered, without the columns in which nothing is said."""
        kept = [at for at in range(len(headings)) if any(line[at] for line in texts)]
        lines = (
            Line((str(number), *(line[at] for at in kept)), mark)
            for number, (line, mark) in enumerate(zip(texts, loud, strict=True), start=1)
        )
        self._made.append(Table(title, ("No.", *(headings[at] for at in kept)), tuple(lines)))

    def _row(self, title: str, row: Row) -> None:
        if not self._made or isinstance(self._made[-1], Table) or self._made[-1][0] != title:
            self._made.append((title, []))
        last = self._made[-1]
        if not isinstance(last, Table):
            last[1].append(row)
