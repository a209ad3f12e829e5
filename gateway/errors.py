"""What can go wrong, by code.

A *refusal* is a rule that said no: the same bytes will be refused again, do not retry.
A *failure* is something that could not be done now: retry the identical bytes later.
Every code belongs to one of the two for ever. Codes are append-only and never reused;
`rogatory.v1.ErrorCode` carries the same names and numbers over the wire, and a test holds the two together.
"""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final


@unique
class ErrorCode(IntEnum):
    """One number per rule or cause. Below 100: refusals, in the order of the path. From 100 on: failures."""

    # receive
    MALFORMED = 1
    TOO_LARGE = 2
    OVER_QUOTA = 3
    # authenticate
    UNKNOWN_PEER = 10
    REVOKED = 11
    # authorise
    NOT_PERMITTED = 20
    # verify
    BAD_SIGNATURE = 30
    STALE = 31
    KEY_REVOKED = 32
    # procedure
    OUT_OF_ORDER = 40
    NOT_COUNTERSIGNED = 41
    NO_LEGAL_BASIS = 42
    EXCEEDS_GRANT = 43
    UNKNOWN_CITATION = 44
    NATIONAL_LAW = 45
    # record
    ID_CONFLICT = 50
    # dispatch
    NO_ROUTE = 60
    # deliver
    ILLEGAL_TRANSITION = 70
    EXPIRED = 71
    # receipt
    BAD_RECEIPT = 80
    # the log
    BAD_LOG_PROOF = 81
    LOG_VIOLATED = 82
    LOG_FORKED = 83
    LOG_ROLLED_BACK = 84
    # enrolment
    ENROLMENT_CODE = 85
    BAD_PROOF = 86
    FOUR_EYES = 87
    # opening, by the recipient's own library
    CANNOT_OPEN = 90
    CONTENT_MISMATCH = 91
    # asking for what is not there, or using the program wrongly
    NOT_FOUND = 95
    BAD_CONFIG = 96
    KEY_FILE = 97
    BAD_INPUT = 98
    BAD_DIRECTORY = 99

    # failures
    UNAVAILABLE = 100
    OVERLOADED = 101
    INTERNAL = 102
    STORE = 103
    DIRECTORY_EXPIRED = 104
    ATTACHMENT_MISSING = 105
    NO_ROOM = 106


FIRST_FAILURE: Final = 100


@dataclass(eq=False)
class GatewayError(Exception):
    """The root of every error that this project raises on purpose.

    Args:
        code: what happened; tests and machines read this and nothing else.
        detail: one sentence for a person: the rule, and where it was broken. Never a secret, never content.
        field: the path of the offending field, with its position, e.g. `wallets[3].chain`; empty if none.
        retry_after: seconds to wait before the identical bytes may be tried again; only failures have one.
        rule: name of the rule that was broken, of a format (`gateway.formats.codes`) or by a log
            (`clients.auditing.memory`); empty if it was none.
    """

    code: ErrorCode
    detail: str
    field: str = ""
    retry_after: float | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        """Do nothing; but without it the dataclass would not call those of the subclasses."""

    def __str__(self) -> str:
        where = f" (at {self.field})" if self.field else ""
        rule = f" [{self.rule}]" if self.rule else ""
        return f"{self.code.name}: {self.detail}{where}{rule}"


class Refusal(GatewayError):
    """A rule said no. Retrying the same bytes is pointless."""

    def __post_init__(self) -> None:
        if self.code >= FIRST_FAILURE:
            raise ValueError(f"{self.code.name} is a failure")


class Unread(Refusal):
    """Of a whole message, before it was looked at what is in it: it has cost its reader, and is nothing to be paid."""


class WrongSecret(Refusal):
    """A passphrase or a PIN does not fit: a service that tries it again and again changes nothing, or locks a token."""


class Failure(GatewayError):
    """Could not now. Retry the identical bytes after `retry_after` seconds."""

    def __post_init__(self) -> None:
        if self.code < FIRST_FAILURE:
            raise ValueError(f"{self.code.name} is a refusal")
