"""Why a newer directory was not taken: a word for machines and tests, a sentence for people."""

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """What is wrong with a directory, as far as TUF's client workflow tells."""

    UNREACHABLE = "unreachable"  # not there, or its server does not answer
    EXPIRED = "expired"  # freeze, or a publisher that sleeps
    WRONG_VERSION = "wrong-version"  # rollback, or versions mixed
    UNSIGNED = "unsigned"  # fewer valid signatures than the threshold
    ALTERED = "altered"  # length or hash is not as signed
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"  # not what the specification calls metadata, or parts are missing
    BAD_CONTENT = "bad-content"  # properly signed, and makes no sense or claims what it may not


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a directory, or a node's list in it, was not taken.

    Args:
        reason: the word.
        detail: the sentence.
    """

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"
