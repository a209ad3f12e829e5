"""A federation for development, in one folder.

In: an empty folder, codes of nodes, ports, the time. Out: everything that its nodes and participants start from, as
`check-config` wants it: signed directory, PKI, and for each process a configuration with keys, certificate and a folder
for its data. All paths in it are relative, so the folder may be moved. Refuses a folder with anything in it. Not for
production: one process has seen every private key.

    DIR/root.json repository/ founders/1/founder.key publisher/publisher.key
    DIR/pki/root.* ee/ca.*
    DIR/ee/node.toml signing.key directory.key tls.* store/
    DIR/ee/prosecutor/participant.toml signing.key sealing.key target.key tls.* home/
"""

import itertools
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import nacl.utils
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from certs.pki import DevelopmentPki
from certs.profiles import BACKDATED
from gateway.cli.folders import (
    NODE_SETTINGS,
    PARTICIPANT_SETTINGS,
    PLAIN,
    AtRest,
    Extras,
    Keys,
    Member,
    made_whole,
    write_node,
    write_participant,
)
from gateway.config import Delivery, Limits
from gateway.directory import MAX_PORT, Directory, Instrument, KeyEntry, NodeEntry, ParticipantEntry
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.rules import Where, word
from gateway.steps import STEPS
from gateway.target_keys import EPOCH, HOLDERS, SECRET_BYTES, TargetKey
from gateway.trust import development

HOST: Final = "127.0.0.1"
DEFAULT_FEDERATION: Final = "rogatory.test"  # .test never resolves (RFC 6761 section 6.2)
QUIET_PORTS: Final = range(
    20000, 32768
)  # Linux gives 32768 and above to outgoing connections, RFC 6335 49152 and above

MAX_FEDERATION_CHARACTERS: Final = 47
"""A common name has 64 at most (RFC 5280 appendix A.1, ub-common-name); that of the root adds 17."""

MAX_FOUNDERS: Final = 32
"""More keys than the States that would ever found one."""

INSTRUMENT: Final = "eu-2018-1805"
_IN_FORCE_FROM: Final = datetime(2020, 12, 19, tzinfo=UTC)  # Regulation (EU) 2018/1805 Art. 41

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Part:
    """One participant that every node gets.

    Args:
        name: in its address.
        role: its only role.
        has_envelope_keys: it signs and opens envelopes; who only watches does not.
    """

    name: str
    role: Role
    has_envelope_keys: bool = True


CAST: Final = (
    Part("prosecutor", Role.INVESTIGATOR),
    Part("central-authority", Role.CENTRAL_AUTHORITY),
    Part("court", Role.COURT),
    Part("fiu", Role.FIU),
    Part("contact-point", Role.CONTACT_POINT),
    Part("exchange", Role.EXCHANGE),
    # Two, because what cannot be undone takes both of them.
    Part("operator", Role.OPERATOR, has_envelope_keys=False),
    Part("operator-2", Role.OPERATOR, has_envelope_keys=False),
    Part("auditor", Role.AUDITOR, has_envelope_keys=False),
    Part("ombudsperson", Role.OMBUDSPERSON),
    # Two, because no exchange gets in by one of them alone.
    Part("registrar", Role.REGISTRAR),
    Part("registrar-2", Role.REGISTRAR),
)


@dataclass(frozen=True, slots=True)
class Summary:
    """A federation that was made.

    Args:
        folder: all of it.
        federation: its domain.
        root: what the directory is believed by.
        nodes: in the order they were asked for.
        participants: node by node, in the order of `CAST`.
    """

    folder: Path
    federation: str
    root: Path
    nodes: tuple[Member, ...]
    participants: tuple[Member, ...]

    def config(self, address: str) -> Path:
        """Return the configuration file of `ee/node`, `ee/prosecutor`, ...

        Raises:
            KeyError: nobody of that address was made.
        """
        return {str(member.address): member.config for member in (*self.nodes, *self.participants)}[address]


def init_federation(
    folder: Path,
    nodes: Sequence[str],
    ports: Sequence[int],
    now: datetime,
    *,
    federation: str = DEFAULT_FEDERATION,
    delivery: Delivery | None = None,
    limits: Limits | None = None,
    founders: int = development.FOUNDERS,
    threshold: int = development.THRESHOLD,
    enrolment_ports: Sequence[int] | None = None,
    registry: Mapping[str, object] | None = None,
    publisher: bool | None = None,
    timestamp_hours: float | None = None,
    refresh_seconds: float | None = None,
    at_rest: AtRest = PLAIN,
) -> Summary:
    """Make a federation.

    Args:
        folder: where; made if missing, and its parents too. It is there whole, or not at all.
        nodes: codes, e.g. `["ee", "de"]`.
        ports: one for each node, on the loopback address.
        now: when certificates and keys begin, less five minutes.
        federation: its domain.
        delivery: written to each node's settings, as far as it was set.
        limits: the same.
        founders: how many hold a root key.
        threshold: how many of them speak for the federation.
        enrolment_ports: one more for each node, for those who are not in the federation yet. None: nodes register
            nobody by themselves.
        registry: more of each node's `[registry]`, e.g. `{"notice_seconds": 1}`.
        publisher: whether the first node publishes for all; if not told, it does if nodes register participants.
        timestamp_hours: for how long what that node publishes counts.
        refresh_seconds: how often every process looks for a newer directory.
        at_rest: how key files are written.

    Raises:
        Refusal: BAD_INPUT, with the argument that is wrong, or the folder has something in it or cannot be written.
    """
    _check_input(nodes, ports, enrolment_ports, federation)
    if not 0 < threshold <= founders <= MAX_FOUNDERS:
        raise _bad("threshold", f"a threshold of 1 or more of at most {MAX_FOUNDERS} founders is wanted")
    publishes = enrolment_ports is not None if publisher is None else publisher
    signing = {code: SigningKey.generate() for code in nodes}
    people = cast_of(nodes)
    owned = new_keys(people, new_target_key(now))
    pki = DevelopmentPki(federation, now)
    endpoints = {code: f"{HOST}:{port}" for code, port in zip(nodes, ports, strict=True)}
    enrolment = {code: f"{HOST}:{port}" for code, port in zip(nodes, enrolment_ports or (), strict=False)}
    directory = Directory(
        federation=federation,
        version=1,
        nodes=tuple(
            NodeEntry(
                code=code,
                endpoint=endpoints[code],
                ca=pki.node_ca(code).pem.decode(),
                signing_keys=key_entries(bytes(signing[code].verify_key), now),
            )
            for code in nodes
        ),
        participants=tuple(participant_entry(a, part.role, owned.get(a), now) for a, part in people),
        instruments=(instrument(nodes),),
    )
    chosen = {"delivery": delivery, "limits": limits}
    tables = {name: each.model_dump(exclude_unset=True) for name, each in chosen.items() if each is not None}
    refresh = {} if refresh_seconds is None else {"refresh_seconds": refresh_seconds}
    publishing = _publisher_table(timestamp_hours) if publishes else {}
    made_by = development.Makers(founders, threshold, nodes[0] if publishes else "")
    with made_whole(folder) as draft:
        made = summary_of(draft, federation, endpoints, enrolment)
        _write_pki(draft / "pki", pki, nodes, at_rest)
        for node in made.nodes:
            own = tables | registry_table(node, registry or {}) | (publishing if node is made.nodes[0] else {})
            write_node(node, pki, signing[node.address.node], Extras(refresh, own), at_rest)
        for participant in made.participants:
            write_participant(participant, pki, owned.get(participant.address), Extras(refresh), at_rest)
        development.found(draft, directory, now, made_by, at_rest.save_signing_key)
    return summary_of(folder, federation, endpoints, enrolment)


def registry_table(node: Member, more: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return a node's `[registry]`, if it has a door for those who are not in the federation yet."""
    if not node.enrolment:
        return {}
    ca = f"../pki/{node.address.node}/ca"
    table = {"ca_certificate": f"{ca}.pem", "ca_key": f"{ca}.key", "directory_key": "directory.key"}
    return {"registry": {**table, "listen": node.enrolment, **more}}


def _publisher_table(timestamp_hours: float | None) -> dict[str, dict[str, object]]:
    table: dict[str, object] = {"key": "../publisher/publisher.key", "repository": f"../{development.REPOSITORY}"}
    return {"publisher": table if timestamp_hours is None else {**table, "timestamp_hours": timestamp_hours}}


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nobody listens on now.

    They lie below the ports that systems give to outgoing connections, so that none of those takes one meanwhile.

    Raises:
        Refusal: BAD_INPUT, there are not so many.
    """
    first = secrets.randbelow(len(QUIET_PORTS))
    candidates = itertools.chain(QUIET_PORTS[first:], QUIET_PORTS[:first])
    found = list(itertools.islice(filter(is_free, candidates), count))
    if len(found) < count:
        raise _bad("ports", f"no {count} ports are free")
    return found


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback address."""
    with socket.socket() as probe:
        # As gRPC binds: a connection of yesterday in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _check_input(
    nodes: Sequence[str], ports: Sequence[int], enrolment_ports: Sequence[int] | None, federation: str
) -> None:
    for position, code in enumerate(nodes):
        try:
            Address.of_node(code)
        except Refusal as error:
            raise _bad(f"nodes[{position}]", error.detail) from error
        if code in nodes[:position]:
            raise _bad(f"nodes[{position}]", f"{code} is named twice")
    if not nodes:
        raise _bad("nodes", "a federation has at least one node")
    more = [*ports, *(enrolment_ports or ())]
    if len(ports) != len(nodes) or len(set(more)) != len(more):
        raise _bad("ports", "each node has one port of its own")
    if enrolment_ports is not None and len(enrolment_ports) != len(nodes):
        raise _bad("ports", "each node has one port of its own for enrolment")
    if not all(0 < port <= MAX_PORT for port in more):
        raise _bad("ports", f"a port is 1 to {MAX_PORT}")
    check_domain(federation)


def check_domain(federation: str) -> None:
    """Check the name of a federation.

    Raises:
        Refusal: BAD_INPUT.
    """
    if len(federation) > MAX_FEDERATION_CHARACTERS or not _DOMAIN.fullmatch(federation):
        raise _bad("federation", f"a lower-case domain of at most {MAX_FEDERATION_CHARACTERS} characters is wanted")


def cast_of(nodes: Sequence[str]) -> list[tuple[Address, Part]]:
    """Return everybody who is a participant of these nodes."""
    return [(Address(code, part.name), part) for code in nodes for part in CAST]


def new_keys(people: Sequence[tuple[Address, Part]], target: TargetKey | None = None) -> dict[Address, Keys]:
    """Return keys for those who sign and open envelopes; the authorities among them share the target key."""
    return {
        a: Keys(SigningKey.generate(), PrivateKey.generate(), target if part.role in HOLDERS else None)
        for a, part in people
        if part.has_envelope_keys
    }


def new_target_key(now: datetime) -> TargetKey:
    """Return the key of the first epoch."""
    start = (now - BACKDATED).replace(microsecond=0)
    return TargetKey(1, start, start + EPOCH, nacl.utils.random(SECRET_BYTES))


def key_entries(public: bytes, now: datetime) -> tuple[KeyEntry, ...]:
    """Return a new key as the directory lists it."""
    return (KeyEntry(public=public, not_before=now - BACKDATED),)


def participant_entry(address: Address, role: Role, owned: Keys | None, now: datetime) -> ParticipantEntry:
    """Return a participant as the directory lists it."""
    return ParticipantEntry(
        address=address,
        roles=frozenset({role}),
        signing_keys=key_entries(bytes(owned.signing.verify_key), now) if owned else (),
        sealing_keys=key_entries(bytes(owned.sealing.public_key), now) if owned else (),
    )


def instrument(nodes: Sequence[str]) -> Instrument:
    """Return the one instrument that binds these nodes."""
    # Whatever may be asked across a border, by the rules themselves. An answer is owed under the question's instrument.
    kinds = {step.rule.kind for step in STEPS if step.opens is not None and step.rule.where is Where.ABROAD}
    return Instrument(
        id=INSTRUMENT,
        title="Regulation (EU) 2018/1805",
        between=frozenset(nodes),
        kinds=frozenset(map(word, kinds)),
        in_force_from=_IN_FORCE_FROM,
        no_dual_criminality=frozenset({"listed in Art. 3(1), and punishable by three years or more"}),
    )


def summary_of(
    folder: Path, federation: str, endpoints: Mapping[str, str], enrolment: Mapping[str, str] | None = None
) -> Summary:
    """Return who is in a federation, and where."""
    return Summary(
        folder=folder,
        federation=federation,
        root=folder / development.ROOT_FILE,
        nodes=tuple(
            Member(
                Address.of_node(code),
                Role.NODE,
                folder / code / NODE_SETTINGS,
                endpoint,
                (enrolment or {}).get(code, ""),
            )
            for code, endpoint in endpoints.items()
        ),
        participants=tuple(
            Member(Address(code, part.name), part.role, folder / code / part.name / PARTICIPANT_SETTINGS, endpoint)
            for code, endpoint in endpoints.items()
            for part in CAST
        ),
    )


# Writing


def _write_pki(folder: Path, pki: DevelopmentPki, nodes: Sequence[str], at_rest: AtRest) -> None:
    for each in (folder, *(folder / code for code in nodes)):
        each.mkdir(mode=0o700)
    at_rest.save_holder(pki.root, folder, "root")
    for code in nodes:
        at_rest.save_holder(pki.node_ca(code), folder / code, "ca")


def _bad(where: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, detail, where)
