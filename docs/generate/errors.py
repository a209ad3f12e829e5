"""Error codes and rules of formats, read from the program.

In: `gateway.errors`, what the contract says of each code, the doors' table of gRPC status. Out: Markdown.
"""

from collections.abc import Iterator

import grpc
from rogatory.v1.comments_pb2 import COMMENTS
from words import cell, table

from gateway.doors.entrance import STATUS
from gateway.errors import FIRST_FAILURE, ErrorCode
from gateway.formats.codes import Code


def page() -> str:
    """Return the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Error codes\n"
    yield (
        "The same code stands in the answer of a call, in a signed refusal, in the exit of a command and in the trace. "
        "Machines read the code; the sentence beside it is for people and may change. Codes are never reused. A code "
        "may come with the name of a rule of a format ([the list](#rules-of-formats)).\n"
    )
    yield "## Refusals\n"
    yield "A rule said no: the same bytes will be refused again, do not retry. Exit code 2.\n"
    yield from _codes(refusals=True)
    yield "## Failures\n"
    yield "It could not be done now: send the identical bytes later. Exit code 1.\n"
    yield from _codes(refusals=False)
    yield "## Rules of formats\n"
    yield (
        "Which rule of which format was broken, in the field `rule` of an error or of a signed statement. "
        "Each stands where it is checked, in `gateway/formats/`, with its source.\n"
    )
    yield " ".join(f"`{each.value}`" for each in Code) + "\n"


def _codes(*, refusals: bool) -> Iterator[str]:
    rows = [
        (
            f"`{each.name}`",
            str(each.value),
            f"`{STATUS.get(each, grpc.StatusCode.FAILED_PRECONDITION).name}`",
            cell(COMMENTS[f"ErrorCode.ERROR_CODE_{each.name}"]),
        )
        for each in ErrorCode
        if (each < FIRST_FAILURE) is refusals
    ]
    return table(("code", "number", "gRPC status", "what it says"), rows)
