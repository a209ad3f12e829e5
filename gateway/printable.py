"""Text of others, made safe to show.

In: any text. Out: the same with all that is not printable escaped: no text of a document or a foreign node may move a
cursor, turn the direction of what stands beside it, or begin a line of its own.
"""


def printable(text: str) -> str:
    r"""Return `text` on one line, everything that is not printable escaped, e.g. `\x1b`."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
