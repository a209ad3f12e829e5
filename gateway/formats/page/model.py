"""What a page is made of. All texts are plain: `text` and `html` escape them each in its way."""

from dataclasses import dataclass
from typing import Final, TypeAlias

NOT_STATED: Final = "not stated"


@dataclass(frozen=True, slots=True)
class Row:
    """One value with its name.

    Args:
        label: what it is.
        value: the value, of one or more lines.
        note: what the value means, in the words of the contract; empty if it speaks for itself.
        loud: whether nobody may overlook it.
    """

    label: str
    value: str
    note: str = ""
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Values of one thing; the title says of which, and is empty where the section says it."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table; a cell may have several lines of text."""

    cells: tuple[str, ...]
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Things of one kind, a line each."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    Args:
        title: what it shows.
        svg: the drawing, made by us: no text of a document stands in it unescaped.
        caption: what its lines and frames mean, in words, for paper and for who does not see it.
    """

    title: str
    svg: str
    caption: str


Block: TypeAlias = Rows | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a form; the letter is empty where the form has none.

    Args:
        letter: as the form has it, e.g. "C" or "(c)".
        heading: in words.
        blocks: what stands there.
        part_of: title of the document within this one that the section belongs to; empty for its own.
    """

    letter: str
    heading: str
    blocks: tuple[Block, ...]
    part_of: str = ""

    @property
    def title(self) -> str:
        """Letter and heading, as the form writes them."""
        if not self.letter:
            return self.heading
        return f"{self.letter} {self.heading}" if "(" in self.letter else f"SECTION {self.letter}: {self.heading}"


@dataclass(frozen=True, slots=True)
class Page:
    """A document as a page.

    Args:
        title: what the document is.
        source: the form or article that it follows; empty if it is ours alone.
        sections: in the order of the form.
    """

    title: str
    source: str
    sections: tuple[Section, ...]
