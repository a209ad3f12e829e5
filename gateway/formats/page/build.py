"""From a document to its page.

In: a message that has a layout, or several of one type. Out: a `Page`. A document within the document (the request in a
referral or a draft) follows with its own sections.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from google.protobuf.message import DecodeError, Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import orders_pb2 as orders

from gateway.formats.documents import BODIES
from gateway.formats.page import words
from gateway.formats.page.blocks import Blocks
from gateway.formats.page.cells import fields_of
from gateway.formats.page.layout import LAYOUTS, Layout, Part
from gateway.formats.page.model import Page, Section


def of(document: Message, now: datetime | None = None) -> Page:
    """Return the page of a document.

    Args:
        document: a body of an envelope, or a format that stands alone.
        now: when the page is made, to say which clocks are overdue; None to say nothing of it.
    """
    layout = LAYOUTS[type(document).__name__]
    sections = [section for part in layout.parts for section in _sections(document, layout, part, now)]
    return Page(layout.title, layout.source, tuple(sections))


def of_list(documents: Sequence[Message], now: datetime | None = None) -> Page:
    """Return one page of several documents of one type: a table, or one after the other."""
    layout = LAYOUTS[type(documents[0]).__name__]
    heading = f"{layout.title}s ({len(documents)})"
    blocks = Blocks(now, form=False)
    try:
        blocks.table(documents, "")
    except KeyError:  # no columns: each has its own sections
        sections = (
            Section(section.letter, section.heading, section.blocks, f"{layout.title} {number} of {len(documents)}")
            for number, document in enumerate(documents, start=1)
            for section in of(document, now).sections
        )
        return Page(heading, layout.source, tuple(sections))
    return Page(heading, layout.source, (Section("", layout.title, blocks.made()),))


def _sections(document: Message, layout: Layout, part: Part, now: datetime | None) -> Iterator[Section]:
    within = _within(document, part)
    if within is not None:
        inner = of(within, now)
        for each in inner.sections:
            yield Section(each.letter, each.heading, each.blocks, f"{part.heading}: {inner.title}")
        return
    blocks = Blocks(now, form=layout.form)
    paths = (*part.again, *part.fields)
    for path in paths:
        _put(document, path, blocks, alone=len(paths) == 1)
    if made := blocks.made():
        yield Section(part.letter, part.heading, made)


def _within(document: Message, part: Part) -> Message | None:
    """Return the document that a section carries, if it carries one that can be read."""
    if isinstance(document, orders.ReviewReferral) and "freeze" in part.fields:
        chosen = document.WhichOneof("request")
        return getattr(document, chosen) if chosen else None
    if isinstance(document, orders.Draft) and part.fields == ("body",):
        try:
            kind = pb.Header.FromString(document.envelope.header).kind
            return BODIES[kind].FromString(document.body) if kind in BODIES else None
        except DecodeError:
            return None
    return None


def _put(document: Message, path: str, blocks: Blocks, *, alone: bool) -> None:
    """Put in one field; a single message that has its section for itself needs no title beside the section's."""
    name, _, rest = path.partition(".")
    field = next(each for each in fields_of(document) if each.name == name)
    inner = getattr(document, name)
    if not rest:
        if alone and isinstance(inner, Message) and document.HasField(name):
            blocks.message(inner, "")
        else:
            blocks.field(document, field)
        return
    last = next(each for each in fields_of(inner) if each.name == rest)
    label = words.label(field if rest == "name" else last)
    if document.HasField(name):
        blocks.field(inner, last, label=label)
    else:
        blocks.missing(label)
