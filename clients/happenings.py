"""What an ombudsperson hears of a matter of which somebody complained to it: that something happened, and when.

In: a participant with the role of an ombudsperson, inside `async with`, and a grievance that it received. Out: of each
envelope of the matter, milestones with their times. A node tells of no other matter.
"""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import grpc.aio
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceStub

from clients.participant import Participant
from gateway.clock import told_moment
from gateway.errors import ErrorCode
from gateway.transport import error_of

ATTEMPT_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened.

    Args:
        at: when.
        milestone: that it did; MILESTONE_UNSPECIFIED: something that this version has no word for.
        code: why it was refused, rejected or expired; 0 if it was not.
    """

    at: datetime
    milestone: pb.Milestone.ValueType
    code: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened to one envelope.

    Args:
        handle: tells it from others.
        cited: whether it is what the grievance cites.
        happenings: in the order of time.
    """

    handle: bytes
    cited: bool
    happenings: tuple[Happening, ...]


async def happenings(ombudsperson: Participant, grievance: ids.EnvelopeRef) -> Sequence[Seen]:
    """Return what became of the matter that a grievance to the caller is about, its oldest envelope first.

    Raises:
        Refusal: NOT_FOUND, it is none, or none to the caller; NOT_PERMITTED; MALFORMED, the answer makes no sense.
        Failure: the node could not now.
    """
    request = trace.GetHappeningsRequest(grievance=grievance)
    with ombudsperson.channel() as channel:
        try:
            response = await TraceStub(channel).GetHappenings(request, timeout=ATTEMPT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
    return [
        Seen(each.handle, each.cited, tuple(_happening(one) for one in each.happenings)) for each in response.envelopes
    ]


def _happening(one: trace.Happening) -> Happening:
    known = one.milestone in pb.Milestone.values()
    at = told_moment(one.at_us, ErrorCode.MALFORMED, "at_us")
    return Happening(at, one.milestone if known else pb.MILESTONE_UNSPECIFIED, one.code)
