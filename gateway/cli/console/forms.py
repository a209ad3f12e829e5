"""What a browser sent, as what the node takes.

In: the fields of a form or of an address. Out: messages of the contract. Refuses with BAD_INPUT and the field that
cannot be read. What is read but makes no sense is the node's to refuse.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import trace_pb2 as trace
from starlette.requests import Request

from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.lifecycle import State
from gateway.rules import KINDS

T = TypeVar("T")
MOST_BYTES: Final = 16 << 10
MOST_FIELDS: Final = 32
PAGE: Final = 50
"""Rows of one page of a list."""

Fields = Mapping[str, str]

CODES: Final = {code.name: errors_pb2.ErrorCode.ValueType(code) for code in ErrorCode}
WAITING: Final = "waiting"
STATES: Final = (WAITING, *(state.value for state in State))
FILTERS: Final = ("id", "case", "participant", "node", "destination", "from", "until", "state", "kind", "code")
_WIDTHS: Final = {"id": 64, "case": 64, "participant": 100, "node": 2, "destination": 100}


async def read(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent.

    Raises:
        Refusal: TOO_LARGE; BAD_INPUT, it is no form.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise Refusal(ErrorCode.BAD_INPUT, "no form")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise Refusal(ErrorCode.TOO_LARGE, f"a form has {MOST_BYTES} bytes at most")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise Refusal(ErrorCode.BAD_INPUT, "the form cannot be read") from error


def search(given: Fields) -> trace.FindEnvelopesRequest:
    """Return what the filters of the list of messages ask for."""
    for name, width in _WIDTHS.items():
        if len(given.get(name, "")) > width:
            raise _bad(name, f"{width} characters at most")
    return trace.FindEnvelopesRequest(
        id=given.get("id", "").strip(),
        case_id=given.get("case", "").strip(),
        participant=given.get("participant", "").strip(),
        node=given.get("node", "").strip().lower(),
        destination=given.get("destination", "").strip(),
        from_us=moment(given, "from"),
        until_us=moment(given, "until"),
        state=_one_of(given, "state", {state: state for state in STATES}, ""),
        kind=_one_of(given, "kind", KINDS, ids.KIND_UNSPECIFIED),
        code=_one_of(given, "code", CODES, errors_pb2.ERROR_CODE_UNSPECIFIED),
        limit=PAGE,
        after=given.get("after", "")[:64],
    )


def action(given: Fields) -> operations.Action:
    """Return what an operator wants, and why."""
    made = _ACTIONS.get(given.get("what", ""))
    if made is None:
        raise _bad("what", "no such action")
    reason = given.get("reason", "").strip()
    if not _REASON[0] <= len(reason) <= _REASON[1]:
        raise _bad("reason", f"a reason has {_REASON[0]} to {_REASON[1]} characters")
    wanted = made(given)
    wanted.reason = reason
    return wanted


def decision(number: str, given: Fields) -> operations.DecideActionRequest:
    """Return what an operator thinks of what another wants."""
    if not _is_whole(number):
        raise _bad("number", "there is no such action")
    approve = {"approve": True, "reject": False}.get(given.get("decision", ""))
    if approve is None:
        raise _bad("decision", "approve or reject")
    reason = given.get("reason", "").strip()
    if len(reason) > _REASON[1] or (not approve and len(reason) < _REASON[0]):
        raise _bad("reason", f"a rejection has a reason of {_REASON[0]} to {_REASON[1]} characters")
    try:
        digest = bytes.fromhex(given.get("digest", ""))
    except ValueError as error:
        raise _bad("digest", "no digest") from error
    return operations.DecideActionRequest(number=int(number), approve=approve, reason=reason, digest=digest)


def whole(given: Fields, name: str) -> int:
    """Return a number that is not negative; 0 if none is given."""
    text = given.get(name, "")
    if not text:
        return 0
    if not _is_whole(text):
        raise _bad(name, "a number is wanted")
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def moment(given: Fields, name: str) -> int:
    """Return an instant that was given in UTC, to the minute or finer, in microseconds; 0 if none is given."""
    text = given.get(name, "").strip()
    if not text:
        return 0
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad(name, "a time is wanted, e.g. 2026-11-22T03:00") from error
    try:
        at_us = to_micros(found if found.tzinfo else found.replace(tzinfo=UTC))
    except OverflowError as error:
        raise _bad(name, "no such time") from error
    # 0 is none: whoever typed the year 26 would resend all until now.
    if at_us <= 0:
        raise _bad(name, "a time after 1970 is wanted, the year with four digits")
    return at_us


def _one_of(given: Fields, name: str, known: Mapping[str, T], otherwise: T) -> T:
    text = given.get(name, "")
    if text and text not in known:
        raise _bad(name, "no such one")
    return known.get(text, otherwise)


def _ref(given: Fields) -> ids.EnvelopeRef:
    return ids.EnvelopeRef(sender=given.get("sender", ""), id=given.get("id", ""))


def _resend(given: Fields) -> operations.Action:
    copies = operations.ResendCopies(
        envelope=_ref(given) if given.get("id") else None,
        destination=given.get("destination", ""),
        from_us=moment(given, "from"),
        until_us=moment(given, "until"),
    )
    return operations.Action(resend=copies)


def _hold(given: Fields) -> operations.Action:
    return operations.Action(hold=operations.HoldDestination(destination=given.get("destination", "")))


def _release(given: Fields) -> operations.Action:
    return operations.Action(release=operations.ReleaseDestination(destination=given.get("destination", "")))


def _expire(given: Fields) -> operations.Action:
    copy = operations.ExpireCopy(envelope=_ref(given), destination=given.get("destination", ""))
    return operations.Action(expire=copy)


def _drain(given: Fields) -> operations.Action:
    return operations.Action(drain=operations.DrainProcess(process=given.get("process", "")))


_ACTIONS: Final[Mapping[str, Callable[[Fields], operations.Action]]] = {
    "resend": _resend,
    "hold": _hold,
    "release": _release,
    "expire": _expire,
    "drain": _drain,
}
# As the contract has it: said here because a person who types can be told at the field.
_REASON: Final = (3, 300)
_MOST_DIGITS: Final = 18


def _bad(name: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, detail, name)
