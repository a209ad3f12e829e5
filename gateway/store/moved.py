"""What a store says of itself while it is not its node's: it is being moved, or lies elsewhere by now.

In: the row of `programs`. Out: what it says, if that is no version. The word stands where each program reads which may
work on the store, before it writes; and letters come after digits: so no program of any version writes into a store
that bears one, be it older than this or newer.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from gateway.clock import from_micros


class Word(Enum):
    """What became of a store."""

    ARRIVING = "arriving"  # the other store is the node's still; whoever moves it acts next
    MOVED = "moved"  # the other store is the node's, for good


@dataclass(frozen=True, slots=True)
class Mark:
    """The word of a store that is not its node's.

    Args:
        word: what became of it.
        move: name of the move; the two stores of one have the same.
        oldest: what the row said before.
        at_us: when.
        where: the other store.
    """

    word: Word
    move: str
    oldest: str
    at_us: int
    where: str

    @classmethod
    def read(cls, oldest: str | None) -> Self | None:
        """Return the mark of a store by the row of `programs`; None: it bears none."""
        parts = (oldest or "").split(" ", _PARTS - 1)
        if len(parts) != _PARTS or parts[0] not in {word.value for word in Word}:
            return None
        word, move, before, at_us, where = parts
        return cls(Word(word), move, before, int(at_us), where)

    def __str__(self) -> str:
        return f"{self.word.value} {self.move} {self.oldest} {self.at_us} {self.where}"

    @property
    def says(self) -> str:
        """What an operator is told who would have a node serve from it."""
        at = f"{from_micros(self.at_us):%Y-%m-%d %H:%M:%S} UTC"
        if self.word is Word.MOVED:
            return f"the node's store was moved to {self.where} at {at}: name that in the settings"
        return f"the node's store was being moved here from {self.where} at {at}: type rogatory move again, it goes on"


_PARTS: Final = 5
