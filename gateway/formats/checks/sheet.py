"""The sheet on which broken rules are noted.

In: rules, each with the fact that must hold. Out: refusals, with rule and position. Nothing is raised: a clerk wants
the whole list, not its first line.

A rule reads as one sentence: `sheet.when(money).need(Code.TOTAL_BELOW_AMOUNT, "total", enough, "...")`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

from google.protobuf.message import Message

from gateway.errors import ErrorCode, Refusal
from gateway.formats.codes import Code, refuse

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is wrong with a document, or with one message within it.

    Args:
        found: the refusals so far; all sheets of one document share this list.
        where: position of the message, e.g. `third_parties[2]`; empty for the document itself.
        counts: false on a sheet whose condition is not met: nothing is noted there.
    """

    found: list[Refusal]
    where: str = ""
    counts: bool = True

    def need(self, rule: Code, field: str, holds: object, detail: str) -> None:
        """Note a broken rule, unless it holds.

        Args:
            rule: its name.
            field: the field to look at, within this message; empty for the message as a whole.
            holds: whether the rule is kept; a text or list is kept if it is not empty.
            detail: one sentence for a clerk, with the article; never a value.
        """
        if self.counts and not holds:
            self.found.append(refuse(rule, detail, self.path(field), ErrorCode.CONTENT_MISMATCH))

    def when(self, condition: object) -> "Sheet":
        """Return the sheet for rules that apply only on this condition."""
        return self if condition else Sheet(self.found, self.where, counts=False)

    def at(self, field: str) -> "Sheet":
        """Return the sheet of a message within this one."""
        return Sheet(self.found, self.path(field), self.counts)

    def each(self, field: str, items: Iterable[T]) -> "Iterator[tuple[Sheet, T]]":
        """Return every item of a list, with the sheet of its position."""
        for position, item in enumerate(items):
            yield self.at(f"{field}[{position}]"), item

    def read(self, field: str, reader: Callable[[str], object]) -> None:
        """Run a reader of the formats on a field, and note what it refuses; it takes the position."""
        try:
            reader(self.path(field))
        except Refusal as error:
            self.need(Code(error.rule or Code.CONTRACT), self._within(error.field), holds=False, detail=error.detail)

    def path(self, field: str) -> str:
        """Return the position of a field of this message."""
        return f"{self.where}.{field}" if self.where and field else self.where or field

    def _within(self, where: str) -> str:
        """Return a position that a reader gave, as one within this message: readers write a point before a field."""
        return where.removeprefix(self.where).lstrip(".")


Rule: TypeAlias = Callable[[Sheet, Message], None]


def on(kind: type[M], check: Callable[[Sheet, M], None]) -> tuple[type[Message], Rule]:
    """Return the entry of a register: these rules are for every message of this type, wherever it stands."""

    def checked(sheet: Sheet, message: Message) -> None:
        check(sheet, cast("M", message))  # the register finds it by its type

    return kind, checked
