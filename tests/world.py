"""A small federation for tests: three nodes, two participants a role and node, all keys made from their names.

What it makes goes through the real composing and the real stages; only `Peer` is built by hand, for certificates have
tests of their own.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as sqlite
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from nacl.utils import random
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from gateway import envelope, statement
from gateway.authenticate import Peer
from gateway.authorise import Permit, authorise
from gateway.clock import Clock, to_micros
from gateway.config import Limits
from gateway.directory import Directory, Instrument, KeyEntry, NodeEntry, ParticipantEntry, Status
from gateway.identity import Address, Role
from gateway.receive import receive
from gateway.store import Transaction, Writer, schema
from gateway.store.sqlite import SqliteConnection
from gateway.verify import VerifiedEnvelope, verify

NOW: Final = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEYS_FROM: Final = NOW - timedelta(days=365)
NODES: Final = ("ee", "de", "fr")
ROLES: Final = tuple(role for role in Role if role is not Role.NODE)
TREATY: Final = "eu-2018-1805"
MEASURES: Final = (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION)
DATA: Final = (ids.DATA_CLASS_SUBSCRIBER, ids.DATA_CLASS_TRANSACTIONAL)

INVESTIGATOR: Final = "ee/investigator"
CENTRAL: Final = "ee/central-authority"
COURT: Final = "ee/court"
EXCHANGE: Final = "ee/exchange"
FOREIGN_CENTRAL: Final = "de/central-authority"
FOREIGN_COURT: Final = "de/court"
FOREIGN_EXCHANGE: Final = "de/exchange"


def signing_key(address: str) -> SigningKey:
    """Return the signing key of a participant or node."""
    return SigningKey(sha256(b"sign " + address.encode()).digest())


def sealing_key(address: str) -> PrivateKey:
    """Return the sealing key of a participant."""
    return PrivateKey(sha256(b"seal " + address.encode()).digest())


def signing_entry(address: str, **changes: Any) -> KeyEntry:
    """Return the directory's entry of a signing key."""
    return KeyEntry(public=bytes(signing_key(address).verify_key), **{"not_before": KEYS_FROM, **changes})


def participant(address: str, *roles: Role, status: Status = Status.ACTIVE) -> ParticipantEntry:
    """Return the directory's entry of a participant."""
    sealing = KeyEntry(public=bytes(sealing_key(address).public_key), not_before=KEYS_FROM)
    return ParticipantEntry(
        address=Address.parse(address),
        roles=frozenset(roles),
        signing_keys=(signing_entry(address),),
        sealing_keys=(sealing,),
        status=status,
    )


def everybody() -> dict[str, ParticipantEntry]:
    """Return two participants for each node and role: `ee/court`, `ee/court-2` and so on."""
    named = [(f"{node}/{role.value}{twin}", role) for node in NODES for role in ROLES for twin in ("", "-2")]
    return {address: participant(address, role) for address, role in named}


def instrument(name: str, *between: str, **changes: Any) -> Instrument:
    """Return an instrument on freeze requests that has been in force for long."""
    fields: dict[str, Any] = {
        "id": name,
        "title": name,
        "between": frozenset(between),
        "kinds": frozenset({"freeze-request"}),
        "no_dual_criminality": frozenset({"the listed offences"}),
        "in_force_from": datetime(2020, 12, 19, tzinfo=UTC),
    }
    return Instrument(**fields | changes)


def node_entry(code: str, status: Status = Status.ACTIVE) -> NodeEntry:
    """Return the directory's entry of a node."""
    keys = (signing_entry(f"{code}/node"),)
    return NodeEntry(code=code, endpoint="localhost:1", ca="none", signing_keys=keys, status=status)


def make_directory(
    participants: Iterable[ParticipantEntry] | None = None, nodes: Iterable[NodeEntry] | None = None
) -> Directory:
    """Return a directory of everybody, or of those given."""
    return Directory(
        federation="rogatory.test",
        version=1,
        nodes=tuple(map(node_entry, NODES) if nodes is None else nodes),
        participants=tuple(everybody().values() if participants is None else participants),
        instruments=(
            instrument(TREATY, "ee", "de"),
            instrument("ended", "ee", "de", in_force_to=NOW - timedelta(days=1)),
            instrument("not-yet", "ee", "de", in_force_from=NOW + timedelta(days=1)),
            instrument("other-kind", "ee", "de", kinds=frozenset({"evidence-request"})),
            instrument("other-states", "ee", "fr"),
        ),
    )


DIRECTORY: Final = make_directory()


@dataclass(frozen=True)
class Sent:
    """An envelope, and what its sender knows of it."""

    envelope: pb.SignedEnvelope
    header: pb.Header
    salt: bytes

    @property
    def ref(self) -> ids.EnvelopeRef:
        """The envelope's name."""
        return envelope.ref_of(self.header)

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of all of it."""
        return envelope.fingerprint(self.envelope)


def send(
    kind: ids.Kind.ValueType,
    sender: str,
    *recipients: str,
    body: bytes = b"body",
    cites: Iterable[ids.EnvelopeRef] = (),
    countersigned_by: Iterable[str] = (),
    now: datetime = NOW,
    attachments: bytes = b"",
    **letter: Any,
) -> Sent:
    """Compose and sign an envelope."""
    composed = envelope.compose(
        envelope.Letter(kind, sender, recipients, cites=tuple(cites), **{"case_id": "EE-1", **letter}),
        body,
        signing_key=signing_key(sender),
        reader_keys=[bytes(sealing_key(recipient).public_key) for recipient in recipients],
        now=now,
        random=random,
        attachments=attachments,
    )
    signed = composed.envelope
    for signer in countersigned_by:
        signed = envelope.with_signature(signed, envelope.countersign(signed, signer, signing_key(signer)))
    return Sent(signed, composed.header, composed.salt)


def freeze_request(**changes: Any) -> Sent:
    """Return a lawful freeze request from Estonia to Germany."""
    fields: dict[str, Any] = {
        "instrument": TREATY,
        "measures": MEASURES,
        "data_classes": DATA,
        "countersigned_by": (CENTRAL,),
    }
    return send(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, FOREIGN_CENTRAL, **fields | changes)


def peer(address: str, directory: Directory = DIRECTORY) -> Peer:
    """Return an authenticated peer: a participant or a node."""
    known = Address.parse(address, allow_node=True)
    roles = frozenset({Role.NODE}) if known.is_node else directory.roles(address)
    return Peer(known, roles, known.node, bytes(32))


def permit(sent: Sent, here: str, directory: Directory = DIRECTORY) -> Permit:
    """Bring an envelope as its sender, or its sender's node, would, as far as `authorise`."""
    home = Address.parse(sent.header.sender).node
    bringer = peer(sent.header.sender if home == here else f"{home}/node", directory)
    copy = pb.SignedEnvelope()
    copy.CopyFrom(sent.envelope)
    return authorise(bringer, receive(copy, Limits()), directory, here)


def verified(sent: Sent, here: str, directory: Directory = DIRECTORY) -> VerifiedEnvelope:
    """Bring an envelope as far as `verify`."""
    return verify(permit(sent, here, directory), directory, Limits(), NOW)


def memory_store() -> Any:
    """Return a connection to an empty store that is nowhere but in memory."""
    connection = sqlite.connect(":memory:", isolation_level=None, factory=SqliteConnection)
    _empty_store().backup(connection)
    return connection


@cache
def _empty_store() -> Any:
    """Return what others are copied from: to make the tables takes five hundred times as long."""
    connection = sqlite.connect(":memory:", isolation_level=None, check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: connection, module=sqlite, poolclass=StaticPool)
    schema.metadata.create_all(engine)
    return connection


@contextmanager
def transaction(connection: Any, now: datetime = NOW, node: str = "ee") -> Iterator[Transaction]:
    """Commit one transaction as the writer does."""
    txn = Transaction(connection, to_micros(now), f"{node}/node")
    connection.begin()
    try:
        yield txn
        txn.sign(lambda said: statement.issue(said, Address.of_node(node), signing_key(f"{node}/node")))
    except BaseException:
        connection.abandon()
        raise
    connection.end(())


def writer(connect: Any, clock: Clock, node: str = "ee", watch: Callable[[str], None] = lambda _: None) -> Writer:
    """Start the writer of a node's store, on the running loop."""
    made = Writer(
        connect,
        lambda: partial(statement.issue, issuer=Address.of_node(node), key=signing_key(f"{node}/node")),
        issuer=f"{node}/node",
        clock=clock,
        max_waiting=100,
        on_commit=lambda _: None,
        watch=watch,
    )
    made.start()
    return made


@contextmanager
def record_of(store: Path) -> Iterator[Transaction]:
    """Read a node's store as its writer does, from beside the node."""
    connection = sqlite.connect(f"file:{store}?mode=ro", uri=True, timeout=10, factory=SqliteConnection)
    try:
        yield Transaction(connection, to_micros(NOW), "ee/node")
    finally:
        connection.close()


def say(milestone: pb.Milestone.ValueType, about: Sent, issuer: str = "ee/node", **fields: Any) -> pb.Statement:
    """Return a statement about an envelope, by a node of ours if nobody else is named."""
    return pb.Statement(
        envelope=about.ref,
        fingerprint=about.fingerprint,
        milestone=milestone,
        issuer=issuer,
        **{"at_us": to_micros(NOW), **fields},
    )
