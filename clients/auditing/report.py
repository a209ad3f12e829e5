"""What is asked of one look at a log, and what it found: words, and no work."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from clients.auditing.memory import Restoration
from clients.auditing.signed import Seen
from gateway.errors import GatewayError

MAX_ENTRIES: Final = 100_000_000
"""In one look: three gigabytes to read."""


class Relation(StrEnum):
    """How what somebody else has of a log stands to what it shows us."""

    SAME = "same"
    BEHIND = "behind"
    AHEAD = "ahead"
    OTHER_NAME = "other-name"
    """Of before a restoration, or of after one."""
    NOT_SIGNED = "not-signed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Other:
    """What somebody else has.

    Args:
        name: who or where, for people.
        relation: how it stands to what we see.
        detail: in words.
    """

    name: str
    relation: Relation
    detail: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody else has: notes, or why they could not be had.

    Args:
        name: who or where, for people.
        notes: as they came.
        error: why there are none.
    """

    name: str
    notes: tuple[bytes, ...] = ()
    error: GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a look found; all of it holds.

    Args:
        seen: the newest checkpoint.
        before: the one of the last look; None at the first.
        last_look: when that was.
        looked_at: the time.
        changed_at: when this checkpoint was first seen.
        new: how many entries were read that were not read before.
        others: what others have.
        restoration: that this look took, with consent.
        found: of entries that were looked for, the index, or None.
    """

    seen: Seen
    before: Seen | None
    last_look: datetime | None
    looked_at: datetime
    changed_at: datetime
    new: int
    others: tuple[Other, ...] = ()
    restoration: Restoration | None = None
    found: tuple[tuple[bytes, int | None], ...] = ()

    @property
    def changed(self) -> bool:
        """Whether it is worth a line."""
        return self.before is None or self.seen.checkpoint != self.before.checkpoint


@dataclass(frozen=True, slots=True)
class Wish:
    """What a look shall do besides.

    Args:
        claims: what others have.
        accept_restoration: a log that was put back from a backup is believed to be that.
        whole: read every entry again, not the new ones alone.
        contains: leaf hashes to look for; then every entry is read.
        most: entries to read.
    """

    claims: Sequence[Claim] = ()
    accept_restoration: bool = False
    whole: bool = False
    contains: Collection[bytes] = ()
    most: int = MAX_ENTRIES


def claim(name: str, read: Callable[[], Iterable[bytes]]) -> Claim:
    """Return what somebody else has; that it cannot be had or read is no fault of the log."""
    try:
        return Claim(name, tuple(read()))
    except GatewayError as error:
        return Claim(name, error=error)
