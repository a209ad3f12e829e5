"""What an address is here, and how a scheme says no.

In: nothing. Out: the types that every scheme of this package returns, and the refusal that it raises.
A scheme is a function from a chain and a text to an `Address`; it does not know where the text stood, so its refusals
carry no position: `check` adds it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, TypeAlias

from gateway.errors import Refusal
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse

MAIN: Final = ("mainnet",)
ANY: Final = ("any",)
"""The form does not tell the networks of its chain apart."""


@unique
class Checksum(Enum):
    """What the spelling of an address proves."""

    VALID = "valid"  # it has a checksum, and it is right
    NONE = "none"  # the form has none: a typing error cannot be seen
    UNCHECKED = "unchecked"  # the form has an optional one, not used here: single-case hex of an EVM chain


@dataclass(frozen=True, slots=True)
class Address:
    """An address as its chain reads it.

    Args:
        canonical: the one way of writing it, so that equal accounts compare equal.
        checksum: what its spelling proves.
        kind: what it pays to, e.g. "p2wsh", "unified", "contract"; a word of its own chain.
        networks: every network it can be of, the first the most likely; `ANY` if the form does not tell.
        tag: destination tag, memo id or payment id that was packed into it.
    """

    canonical: str
    checksum: Checksum
    kind: str
    networks: tuple[str, ...] = ANY
    tag: str = ""

    @property
    def network(self) -> str:
        """Which network the address itself says, "any" if it does not tell."""
        return self.networks[0]


Scheme: TypeAlias = Callable[[Chain, str], Address]


def wrong(rule: Code, detail: str) -> Refusal:
    """Return the refusal of an address by a scheme; never put the address, or a piece of it, into the detail."""
    return refuse(rule, detail, "")
