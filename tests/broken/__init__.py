"""Documents with one fault each: what breaks a rule of `gateway.formats.checks`, and nothing else.

Each case starts from the complete sample of its kind and changes as little as it can; where a rule is about another
kind of property, say, the change first makes a good document of that kind. A test demands a case for every rule.
"""

from collections.abc import Iterator

from tests.broken import assistance, certificates, followups, notices, orders, values
from tests.broken.case import Case, change

__all__ = ["Case", "change", "every"]


def every() -> Iterator[Case]:
    """Return all cases."""
    for module in (certificates, assistance, orders, followups, notices, values):
        yield from module.CASES
