"""Documents as pages that a person reads: section by section, as the forms have them.

In: a document, and the time now if clocks are to be told late. Out: a `Page`, which `text` and `html` render. Refuses
nothing: a page shows what is there. It does no I/O and asks no clock.

`layout` says which field stands in which section, `words` how one value is said, `cells` how one field is, `blocks` how
a message becomes rows and tables; `build` puts them together.
"""

from gateway.formats.page.build import of, of_list
from gateway.formats.page.model import NOT_STATED, Block, Figure, Line, Page, Row, Rows, Section, Table

__all__ = ["NOT_STATED", "Block", "Figure", "Line", "Page", "Row", "Rows", "Section", "Table", "of", "of_list"]
