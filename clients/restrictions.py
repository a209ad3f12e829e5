"""What a restricted client must not be able to do, and how a self-test tries it.

In: a directory, an exchange, the table of those who may send what. Out: trials. No network, no disk, no key.

What is to be tried is not listed here, so that nothing can be forgotten: each kind, each role at home and abroad, each
row of the table in the name of whom it is for; and of the contract's procedures, whatever is not `OPEN` is called. Not
each kind goes to each role, see `trials`: the report holds every attempt, and must fit into one envelope.
The table itself belongs to the node's path, which no client reaches; so whoever tests passes it in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, product
from typing import Final, Protocol

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from rogatory.v1 import (
    attachments_pb2,
    directory_pb2,
    enrolment_pb2,
    log_pb2,
    mailbox_pb2,
    operations_pb2,
    relay_pb2,
    trace_pb2,
    witness_pb2,
)
from rogatory.v1 import identifiers_pb2 as ids

from gateway.directory import Directory, Status
from gateway.errors import ErrorCode
from gateway.identity import Address, Role
from gateway.rules import word

ROLES: Final[tuple[Role, ...]] = tuple(role for role in Role if role is not Role.NODE)
KINDS: Final[tuple[ids.Kind.ValueType, ...]] = tuple(kind for kind in ids.Kind.values() if kind)

FILES: Final[tuple[FileDescriptor, ...]] = tuple(
    module.DESCRIPTOR
    for module in (
        attachments_pb2,
        directory_pb2,
        enrolment_pb2,
        log_pb2,
        mailbox_pb2,
        operations_pb2,
        relay_pb2,
        trace_pb2,
        witness_pb2,
    )
)
"""The files of the contract that have services; a test finds others."""

OPEN: Final = frozenset(
    {
        "rogatory.v1.Attachments/Download",
        "rogatory.v1.Attachments/Upload",
        "rogatory.v1.Directory/GetDirectory",
        "rogatory.v1.Enrolment/Apply",
        "rogatory.v1.Enrolment/GetOutcome",
        "rogatory.v1.Log/GetCheckpoint",
        "rogatory.v1.Log/GetConsistencyProof",
        "rogatory.v1.Log/GetInclusionProofs",
        "rogatory.v1.Log/GetTiles",
        "rogatory.v1.Mailbox/Collect",
        "rogatory.v1.Mailbox/Submit",
        "rogatory.v1.Mailbox/SubmitFrames",
        "rogatory.v1.Registry/GetProofKey",
        "rogatory.v1.Registry/Renew",
    }
)
"""Procedures that an exchange may call. All others must be closed to it."""


class Allowed(Protocol):
    """Whether a role may send a kind to a role: the table of the node's rules."""

    def __call__(self, kind: ids.Kind.ValueType, sender: Role, recipient: Role, *, abroad: bool) -> bool:
        """Return whether a row allows it."""
        ...


@dataclass(frozen=True, slots=True)
class Ban:
    """One thing that must be refused.

    Args:
        kind: of the envelope.
        sender: in the name of somebody with this role; None in the exchange's own.
        recipient: to somebody with this role.
        abroad: of another country than the exchange's.
    """

    kind: ids.Kind.ValueType
    sender: Role | None
    recipient: Role
    abroad: bool

    def __str__(self) -> str:
        where = "abroad" if self.abroad else "at home"
        name = "" if self.sender is None else f"{word(self.kind)} in the name of {with_article(self.sender.value)} "
        return f"{name}to {with_article(self.recipient.value)} {where}"


@dataclass(frozen=True, slots=True)
class Trial:
    """How to try it.

    Args:
        ban: what must be refused.
        sender: address to write as.
        recipient: address to write to.
        code: how it must be refused: an answer to nobody's question is of an allowed kind, so the procedure refuses it.
    """

    ban: Ban
    sender: str
    recipient: str
    code: ErrorCode


def with_article(noun: str) -> str:
    """Return a noun after its article, e.g. `an auditor`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def trials(directory: Directory, exchange: Address, allowed: Allowed) -> tuple[Trial, ...]:
    """Return what an exchange tries to hand in: one envelope for each ban, to the first participant that fits.

    1. In its own name, a kind that a row lets it send to somebody: to each role at home and abroad; where the row
       allows it, as an answer to what was never asked.
    2. In its own name, a kind that it may send to nobody: to one role at home and to one abroad. The roles take turns
       over these kinds, so that each is written to.
    3. In another's name: whatever a row allows to a colleague at home.

    A role that nobody else has makes no trial; its turn is the next one's. A kind that another of the recipient's roles
    allows is none either. Whoever has the same table and directory gets the same trials.

    Args:
        directory: who exists.
        exchange: who tries.
        allowed: the table.
    """
    people = _People(directory, exchange)
    turns = cycle(range(len(ROLES)))
    made: list[Trial] = []
    for kind in KINDS:
        sends = any(allowed(kind, Role.EXCHANGE, role, abroad=abroad) for role in ROLES for abroad in (False, True))
        turn = 0 if sends else next(turns)
        for abroad in (False, True):
            own = _own(kind, (*ROLES[turn:], *ROLES[:turn]), people, allowed, abroad=abroad)
            made += own if sends else islice(own, 1)  # (1), (2)
            made += _borrowed(kind, people, allowed, abroad=abroad)  # (3)
    return tuple(made)


class _People:
    """Who can be written to, and in whose name, in the order of addresses."""

    def __init__(self, directory: Directory, exchange: Address) -> None:
        self.exchange = exchange
        active = sorted(
            (each for each in directory.participants if each.status is Status.ACTIVE), key=lambda each: each.address
        )
        self.of = {
            (role, abroad): [
                each for each in active if role in each.roles and is_abroad(each.address, exchange) is abroad
            ]
            for role in ROLES
            for abroad in (False, True)
        }


def is_abroad(address: Address, other: Address) -> bool:
    """Whether two participants are of different countries."""
    return address.node != other.node


def _own(
    kind: ids.Kind.ValueType, recipients: Iterable[Role], people: _People, allowed: Allowed, *, abroad: bool
) -> Iterator[Trial]:
    lawful = {role for role in ROLES if allowed(kind, Role.EXCHANGE, role, abroad=abroad)}
    for recipient in recipients:
        answers = recipient in lawful
        readers = (
            each
            for each in people.of[recipient, abroad]
            if each.address != people.exchange and (answers or not lawful & each.roles)
        )
        if reader := next(readers, None):
            code = ErrorCode.UNKNOWN_CITATION if answers else ErrorCode.NOT_PERMITTED
            yield Trial(Ban(kind, None, recipient, abroad), str(people.exchange), str(reader.address), code)


def _borrowed(kind: ids.Kind.ValueType, people: _People, allowed: Allowed, *, abroad: bool) -> Iterator[Trial]:
    for recipient, sender in product(ROLES, ROLES):
        # To itself where it can: should the node let it through, it troubles nobody else.
        readers = sorted(people.of[recipient, abroad], key=lambda each: each.address != people.exchange)
        names = [each for each in people.of[sender, False] if each.address != people.exchange]
        if names and readers and allowed(kind, sender, recipient, abroad=abroad):
            ban = Ban(kind, sender, recipient, abroad)
            yield Trial(ban, str(names[0].address), str(readers[0].address), ErrorCode.NOT_PERMITTED)


def closed_methods() -> tuple[MethodDescriptor, ...]:
    """Return the procedures that an exchange must not be able to call."""
    methods = (
        method
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods_by_name.values()
    )
    return tuple(method for method in methods if full_name(method) not in OPEN)


def full_name(method: MethodDescriptor) -> str:
    """Return a procedure's name as gRPC has it, e.g. `rogatory.v1.Trace/GetTrace`."""
    return f"{method.containing_service.full_name}/{method.name}"


def is_restricted(directory: Directory, exchange: Address) -> bool:
    """Whether the directory lists it as an exchange and as nothing else."""
    return directory.roles(str(exchange)) == {Role.EXCHANGE}
