"""Who exists: nodes, participants, their roles, keys and status, and the instruments between States.

In: the files of the signed directory, as `gateway.trust` has proven them: what the federation says of nodes and
instruments, and what each node says of its own participants. Out: a `Directory` that answers look-ups from memory.
Refuses a file that names anything twice, a participant of an unknown node or under another country's code, a key of
the wrong length, and every field that it does not know.
"""

import operator
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic import ValidationError as PydanticError

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address, Role, trust_domain
from gateway.note import check_name
from gateway.signature import key_id

K = TypeVar("K")
V = TypeVar("V")

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
EXPIRED_RETRY_SECONDS: Final = 30.0
UNKNOWN_KEY_RETRY_SECONDS: Final = 2.0
MAX_WITNESSES: Final = 16
"""Beside the nodes; of a note, 32 signatures are read."""

MAX_COSIGNATURES: Final = 31
MAX_PARTICIPANTS: Final = 16_384
"""Of one node. As we write them, no more fit into a list (`MAX_LIST_BYTES`); as shortly as they can be written, eight
times as many would, and take a hundred MiB of everybody who reads it."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ENDPOINT: Final = re.compile(r"(?P<host>[^\[\]]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})")
# A name that others can resolve has a dot, and its last label begins with a letter (RFC 1123 section 2.1).
_HOST_NAME: Final = re.compile(r"([A-Za-z0-9_-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62}")
_LOCALHOST: Final = "localhost"
MAX_PORT: Final = 65_535
DOMAIN: Final = r"^[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?$"


def _address(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return Address.parse(value)
    except Refusal as error:
        raise ValueError(error.detail) from error  # so that pydantic names the field


def _public_key(value: object) -> object:
    if isinstance(value, str):
        value = bytes.fromhex(value)
    if isinstance(value, bytes) and len(value) != 32:  # noqa: PLR2004  Ed25519 and X25519 public keys alike
        raise ValueError("a public key has 32 bytes")
    return value


def _moment(value: object) -> object:
    # Of a number, also in quotes, pydantic makes seconds since 1970: a treaty in force from "2026" would have been for
    # half a century.
    if isinstance(value, int | float) or (isinstance(value, str) and not _DATE.match(value)):
        raise ValueError("a time with its zone is wanted, e.g. 2026-11-21T10:00:00Z (RFC 3339)")
    return value


def _key_name(value: str) -> str:
    try:
        check_name(value)
    except Refusal as error:
        raise ValueError(error.detail) from error
    return value


def _endpoint(value: str) -> str:
    """Check where a node says that it is reached: what gRPC takes for an address may be a file of this machine, too."""
    if not value:
        return value
    found = _ENDPOINT.fullmatch(value)
    if found is None or not 0 < int(found["port"]) <= MAX_PORT:
        raise ValueError("HOST:PORT is wanted, an IPv6 address in brackets")
    address, name = _ip(found["host"]), found["host"].lower()
    if address is None and name != _LOCALHOST and not _HOST_NAME.fullmatch(name):
        raise ValueError("neither an IP address nor a name that others can resolve")
    if address is None or address.is_loopback:
        return value
    if address.is_unspecified or address.is_multicast or address.is_link_local or address.is_reserved:
        raise ValueError(f"nobody can call {address}")
    return value


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return address if host.startswith("[") == (address.version == 6) else None  # noqa: PLR2004  as it is written


def may_move(founders: str, own: str) -> bool:
    """Whether others go to what a node says of itself, instead of what founders said.

    What is only the caller's own machine counts where that is what founders said, too: in a federation for development.
    """
    return not _is_loopback(own) or _is_loopback(founders)


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.rpartition(":")[0]
    address = _ip(host)
    return host.lower() == _LOCALHOST if address is None else address.is_loopback


AddressField = Annotated[Address, BeforeValidator(_address), PlainSerializer(str)]
EndpointField = Annotated[str, AfterValidator(_endpoint)]
"""HOST:PORT where others reach a node, as it says itself; empty if it does not."""

Fingerprints = frozenset[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
"""Of certificates, hexadecimal; see `identity.certificate_fingerprint`."""

KeyNameField = Annotated[str, AfterValidator(_key_name)]
"""The name of a log's or a witness's key (C2SP signed-note)."""

MomentField = Annotated[AwareDatetime, BeforeValidator(_moment)]
PublicKeyField = Annotated[bytes, BeforeValidator(_public_key), PlainSerializer(bytes.hex)]


class Status(Enum):
    """Whether a node or participant is in the federation."""

    ACTIVE = "active"
    REVOKED = "revoked"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def parse(cls, content: bytes, name: str) -> Self:
        """Read a file of the directory.

        Args:
            content: JSON.
            name: of the file, for people.

        Raises:
            Refusal: BAD_DIRECTORY, with the first field that is wrong.
        """
        try:
            return cls.model_validate_json(content)
        except PydanticError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"{name}: {first['msg']}", where) from error

    def to_json(self) -> bytes:
        """Return it as a file of the directory; `parse` reads it as it was."""
        return self.model_dump_json(indent=2).encode() + b"\n"


class KeyEntry(_Entry):
    """A public key and when it is valid.

    Args:
        public: 32 bytes.
        not_before: from then on.
        not_after: until then; what was made before stays valid for ever.
        not_trusted_after: of a compromised key: nothing that is said to be made from then on counts, whenever it came.
    """

    public: PublicKeyField
    not_before: MomentField
    not_after: MomentField = FOREVER
    not_trusted_after: MomentField | None = None

    def valid_at(self, moment: datetime) -> bool:
        """Whether what was made with it at that moment counts."""
        return self.not_before <= moment < min(self.not_after, self.not_trusted_after or FOREVER)

    def ended_as(self, other: "KeyEntry | None") -> "KeyEntry":
        """Return it with the earlier end of two that somebody else gave it, and distrusted if either says so."""
        if other is None:
            return self
        trusted = [each.not_trusted_after for each in (self, other) if each.not_trusted_after is not None]
        update = {"not_after": min(self.not_after, other.not_after), "not_trusted_after": min(trusted, default=None)}
        return self.model_copy(update=update)


class NodeEntry(_Entry):
    """One country's node."""

    code: str = Field(pattern=r"^[a-z]{2}$")
    endpoint: str = Field(min_length=3)
    ca: str = Field(min_length=1)
    signing_keys: tuple[KeyEntry, ...]
    status: Status = Status.ACTIVE
    revoked_certificates: Fingerprints = frozenset()

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the CA that vouches for this node's participants, PEM."""
        return self.ca.encode()

    def lost_keys(self, now: datetime) -> tuple[bytes, ...]:
        """Return the signing keys that nothing is believed of any more: somebody else may have them."""
        return tuple(key.public for key in self.signing_keys if (key.not_trusted_after or FOREVER) <= now)


class ParticipantEntry(_Entry):
    """One system registered at a node."""

    address: AddressField
    roles: frozenset[Role]
    signing_keys: tuple[KeyEntry, ...] = ()
    sealing_keys: tuple[KeyEntry, ...] = ()
    status: Status = Status.ACTIVE
    legal_name: str = Field(default="", max_length=200)
    # ISO 17442; every exchange that was enrolled has one.
    lei: str = Field(default="", max_length=20)
    # Those that nobody may use though they have not expired.
    revoked_certificates: Fingerprints = frozenset()
    # It was put out and taken in again: nobody may use those that are valid from an earlier moment on, whoever knows of
    # them. None: it never was.
    certificates_not_before: MomentField | None = None

    def check_certificate(self, fingerprint: bytes, not_before: datetime) -> None:
        """Check that one of its certificates is not out.

        Args:
            fingerprint: see `identity.certificate_fingerprint`.
            not_before: from when on the certificate is valid.

        Raises:
            Refusal: REVOKED.
        """
        if fingerprint.hex() in self.revoked_certificates:
            detail = f"this certificate of {self.address} is revoked in the directory"
            raise Refusal(ErrorCode.REVOKED, detail, "certificate")
        if self.certificates_not_before is not None and not_before < self.certificates_not_before:
            detail = f"this certificate is from before {self.address} was taken in again"
            raise Refusal(ErrorCode.REVOKED, detail, "certificate")


class Instrument(_Entry):
    """A treaty or law under which States help each other."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    title: str
    between: frozenset[str]
    kinds: frozenset[str]
    in_force_from: MomentField
    in_force_to: MomentField = FOREVER
    # Offences for which nobody asks whether the act is an offence in both States, in the instrument's own words.
    no_dual_criminality: frozenset[str] = frozenset()


class WitnessEntry(_Entry):
    """A witness of all logs that is no node: a court, a body of civil society.

    Args:
        name: of its key, e.g. "witness.example/w1" (C2SP tlog-cosignature).
        public: its Ed25519 key, 32 bytes.
        url: the submission prefix (C2SP tlog-witness); over plain HTTP only where it never leaves the machine.
    """

    name: KeyNameField
    public: PublicKeyField
    url: str = Field(
        pattern=r"^(https://[^/\s?#]+|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?)(/[^\s?#]*)?$", max_length=500
    )


Cosignatures = Annotated[int, Field(ge=0, le=MAX_COSIGNATURES)]
Witnesses = Annotated[tuple[WitnessEntry, ...], Field(max_length=MAX_WITNESSES)]


class FederationList(_Entry):
    """What the founders say together: which nodes there are, and what binds their States.

    Args:
        cosignatures: so many witnesses must have cosigned a checkpoint; 0: none need.
        witnesses: those beside the nodes, which all are.
    """

    federation: str = Field(pattern=DOMAIN)
    nodes: tuple[NodeEntry, ...]
    instruments: tuple[Instrument, ...] = ()
    # Not written where nothing is said, so that programs of before can read the list.
    cosignatures: Cosignatures = Field(default=0, exclude_if=operator.not_)
    witnesses: Witnesses = Field(default=(), exclude_if=operator.not_)
    # Code of the node that publishes: it takes the others' new lists. Empty: they are brought to the folder by hand.
    publisher: str = Field(default="", pattern=r"^([a-z]{2})?$")

    @property
    def most_cosignatures(self) -> int:
        """How many a checkpoint can have: a node that is in is a witness of all others."""
        return max(0, sum(node.status is Status.ACTIVE for node in self.nodes) - 1) + len(self.witnesses)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        """Check that nothing is named twice: of two, founders are shown one, and readers could go by the other."""
        _unique("node", ((node.code, node) for node in self.nodes))
        _unique("instrument", ((each.id, each) for each in self.instruments))
        for node in self.nodes:
            _unique("signing key", ((key_id(key.public), key) for key in node.signing_keys))
        return self

    @model_validator(mode="after")
    def _a_witness_is_one(self) -> Self:
        """Check that none passes for two: what is cosigned does not say in whose name."""
        names = {trust_domain(node.code, self.federation) for node in self.nodes}
        publics = {key.public for node in self.nodes for key in node.signing_keys}
        for witness in self.witnesses:
            if witness.name in names or witness.public in publics:
                raise ValueError(f"witness {witness.name} is listed twice, by its name or by its key")
            names.add(witness.name)
            publics.add(witness.public)
        return self


class ParticipantList(_Entry):
    """What one node says: who its participants are, and nobody else's; and which keys it signs with itself.

    The founders admit a node with its CA, the key of this list and a first signing key. What changes often is the
    node's own affair: further signing keys, the end of earlier ones, its endpoint, certificates of its own that are
    out.
    """

    node: str = Field(pattern=r"^[a-z]{2}$")
    participants: Annotated[tuple[ParticipantEntry, ...], Field(max_length=MAX_PARTICIPANTS)]
    signing_keys: tuple[KeyEntry, ...] = ()
    # Instead of the one that the founders know; empty: that one.
    endpoint: EndpointField = ""
    revoked_certificates: Fingerprints = frozenset()

    @model_validator(mode="after")
    def _only_its_own(self) -> Self:
        for participant in self.participants:
            if participant.address.node != self.node:
                raise ValueError(f"node {self.node} cannot list {participant.address}, which is not its own")
        # Here too, so that such a list is refused by itself and not with all others.
        _unique("participant", ((each.address, each) for each in self.participants))
        for participant in self.participants:
            _unique("signing key", ((key_id(key.public), key) for key in participant.signing_keys))
        _unique("signing key", ((key_id(key.public), key) for key in self.signing_keys))
        return self

    def check_continues(self, before: "ParticipantList") -> None:
        """Check that nothing is unsaid that was said: old signatures must stay verifiable, revocations stay.

        Raises:
            Refusal: BAD_DIRECTORY, a participant or key is gone, a key begins at another time or ends later, a key or
                certificate is trusted again, or a participant that was out is in as if it never had been.
        """
        now = {entry.address: entry for entry in self.participants}
        for old in before.participants:
            new = now.get(old.address)
            if new is None:
                raise _unsaid(f"{old.address} is no longer listed; revoke it instead")
            _check_keys_continue(str(old.address), old.signing_keys, new.signing_keys)
            _check_keys_continue(str(old.address), old.sealing_keys, new.sealing_keys)
            _check_still_out(str(old.address), old.revoked_certificates, new.revoked_certificates)
            _check_taken_in_anew(old, new)
        _check_keys_continue(f"{self.node}/node", before.signing_keys, self.signing_keys)
        _check_still_out(f"{self.node}/node", before.revoked_certificates, self.revoked_certificates)

    def applied_to(self, entry: NodeEntry) -> NodeEntry:
        """Return the node's entry as founders and node say it together: a key that both name has the narrower times."""
        founders = {key.public: key for key in entry.signing_keys}
        own = {key.public: key for key in self.signing_keys}
        moves = self.endpoint and may_move(entry.endpoint, self.endpoint)
        both = tuple(_narrower(key, own.get(key.public)) for key in founders.values())
        return entry.model_copy(
            update={
                "signing_keys": (*both, *(key for key in self.signing_keys if key.public not in founders)),
                "endpoint": self.endpoint if moves else entry.endpoint,
                "revoked_certificates": entry.revoked_certificates | self.revoked_certificates,
            }
        )


class Directory(_Entry):
    """Everybody and everything that a node or client may look up.

    Args:
        expires: from then on nobody is let in by it; what was signed before can still be verified.
        checked: when it was last found to be the newest.
    """

    federation: str = Field(pattern=DOMAIN)
    version: int = Field(ge=1)
    expires: MomentField = FOREVER
    checked: MomentField = FOREVER
    nodes: tuple[NodeEntry, ...]
    participants: tuple[ParticipantEntry, ...]
    instruments: tuple[Instrument, ...] = ()
    cosignatures: Cosignatures = 0
    witnesses: Witnesses = ()

    # No private attributes of pydantic's: these take 0.03 microseconds to read, and those 1.7.
    @cached_property
    def _nodes(self) -> dict[str, NodeEntry]:
        return _unique("node", ((node.code, node) for node in self.nodes))

    @cached_property
    def _participants(self) -> dict[Address, ParticipantEntry]:
        return _unique("participant", ((each.address, each) for each in self.participants))

    @cached_property
    def _roles(self) -> dict[str, frozenset[Role]]:
        return {str(each.address): each.roles for each in self.participants if each.status is Status.ACTIVE}

    @cached_property
    def _instruments(self) -> dict[str, Instrument]:
        return _unique("instrument", ((each.id, each) for each in self.instruments))

    @cached_property
    def _signing(self) -> dict[tuple[str, bytes], KeyEntry]:
        signers = [(str(participant.address), participant.signing_keys) for participant in self.participants]
        signers += [(str(Address.of_node(node.code)), node.signing_keys) for node in self.nodes]
        return _unique("signing key", (((who, key_id(key.public)), key) for who, keys in signers for key in keys))

    @model_validator(mode="after")
    def _index(self) -> Self:
        for index in ("_nodes", "_participants", "_instruments", "_signing"):
            getattr(self, index)  # made now, so that what is listed twice is refused
        for participant in self.participants:
            if participant.address.node not in self._nodes:
                raise ValueError(f"participant {participant.address} is of a node that is not listed")
        return self

    @classmethod
    def merge(
        cls,
        federation: FederationList,
        lists: Sequence[ParticipantList],
        version: int,
        expires: datetime = FOREVER,
        checked: datetime = FOREVER,
    ) -> "Directory":
        """Put together what the federation and its nodes say.

        Raises:
            Refusal: BAD_DIRECTORY, they do not fit together.
        """
        try:
            return cls(
                federation=federation.federation,
                version=version,
                expires=expires,
                checked=checked,
                nodes=tuple(_applied(node, lists) for node in federation.nodes),
                participants=tuple(entry for each in lists for entry in each.participants),
                instruments=federation.instruments,
                cosignatures=federation.cosignatures,
                witnesses=federation.witnesses,
            )
        except PydanticError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"the directory's lists do not fit: {first['msg']}") from error

    def split(self) -> tuple[FederationList, tuple[ParticipantList, ...]]:
        """Return what `merge` puts together, with a list for every node."""
        own = tuple(
            ParticipantList(node=n.code, participants=tuple(p for p in self.participants if p.address.node == n.code))
            for n in self.nodes
        )
        federation = FederationList(
            federation=self.federation,
            nodes=self.nodes,
            instruments=self.instruments,
            cosignatures=self.cosignatures,
            witnesses=self.witnesses,
        )
        return federation, own

    def without_ends(self) -> "Directory":
        """Return it as if no key had ended or were distrusted: by it, a record is the one that was made, or is not.

        What the record counts for is another question.
        """
        nodes = tuple(each.model_copy(update={"signing_keys": _endless(each.signing_keys)}) for each in self.nodes)
        participants = tuple(
            each.model_copy(update={name: _endless(getattr(each, name)) for name in ("signing_keys", "sealing_keys")})
            for each in self.participants
        )
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        # Made anew: a copy would have the look-ups of this one.
        return Directory(**{**fields, "nodes": nodes, "participants": participants})

    def check_in_force(self, now: datetime) -> None:
        """Check that somebody may be let in by it, or spoken to.

        Raises:
            Failure: DIRECTORY_EXPIRED.
        """
        if now >= self.expires:
            raise Failure(
                ErrorCode.DIRECTORY_EXPIRED,
                f"the directory expired on {self.expires:%Y-%m-%d %H:%M:%S %Z}, and no newer one has come",
                retry_after=EXPIRED_RETRY_SECONDS,
            )

    def node(self, code: str) -> NodeEntry:
        """Return the entry of a node.

        Raises:
            Refusal: UNKNOWN_PEER.
        """
        entry = self._nodes.get(code)
        if entry is None:
            raise Refusal(ErrorCode.UNKNOWN_PEER, f"no node {code!r} in the directory")
        return entry

    def participant(self, address: Address) -> ParticipantEntry | None:
        """Return the entry of a participant, or None."""
        return self._participants.get(address)

    def roles(self, address: str) -> frozenset[Role]:
        """Return the roles of an active participant; the empty set for anybody else."""
        roles = self._roles.get(address)
        if roles is None:
            Address.parse(address, allow_node=True)  # refuses what is none
        return roles or frozenset()

    def signing_key(self, signer: str, key_id: bytes, at: datetime) -> bytes:
        """Return the public signing key of a participant or node, if it was valid then (an `envelope.KeyFinder`).

        Raises:
            Refusal: BAD_SIGNATURE, no such key; KEY_REVOKED, not valid at that time.
        """
        key = self._signing.get((signer, key_id))
        if key is None:
            raise Refusal(ErrorCode.BAD_SIGNATURE, f"{signer} has no such signing key")
        if not key.valid_at(at):
            raise Refusal(ErrorCode.KEY_REVOKED, f"that key of {signer} was not valid at {at.isoformat()}")
        return key.public

    def check_not_revoked(self, signer: str, key_id: bytes, now: datetime) -> None:
        """Refuse a signing key that has been revoked by now, whenever it is said to have been used.

        Raises:
            Refusal: KEY_REVOKED.
        """
        key = self._signing.get((signer, key_id))
        if key is not None and key.not_trusted_after is not None and key.not_trusted_after <= now:
            raise Refusal(ErrorCode.KEY_REVOKED, f"that key of {signer} is revoked")

    def lists(self, name: "KeyName") -> bool:
        """Whether it knows a signing key, valid or not."""
        return name in self._signing

    def newest_key(self, signer: str, held: Iterable[bytes], at: datetime) -> bytes | None:
        """Return which of the public keys that a signer holds it signs with now: the newest that is valid."""
        listed = (self._signing.get((signer, key_id(public))) for public in held)
        valid = [key for key in listed if key is not None and key.valid_at(at)]
        return max(valid, key=lambda key: key.not_before).public if valid else None

    def sealing_keys(self, address: str, at: datetime) -> tuple[bytes, ...]:
        """Return the X25519 public keys to seal to for one participant now.

        Raises:
            Refusal: NO_ROUTE, nobody of that name, or without a valid key.
        """
        entry = self._participants.get(Address.parse(address))
        keys = tuple(key.public for key in entry.sealing_keys if key.valid_at(at)) if entry else ()
        if not keys:
            raise Refusal(ErrorCode.NO_ROUTE, f"{address} has no valid sealing key in the directory")
        return keys

    def no_dual_criminality(self, instrument: str) -> frozenset[str]:
        """Return the offences for which an instrument does not ask for dual criminality; empty if it is unknown."""
        entry = self._instruments.get(instrument)
        return frozenset() if entry is None else entry.no_dual_criminality

    def in_force(self, instrument: str, between: frozenset[str], kind: str, at: datetime) -> bool:
        """Whether that instrument binds these States for this kind of envelope at that time."""
        entry = self._instruments.get(instrument)
        return (
            entry is not None
            and between <= entry.between
            and kind in entry.kinds
            and entry.in_force_from <= at < entry.in_force_to
        )


def _applied(node: NodeEntry, lists: Sequence[ParticipantList]) -> NodeEntry:
    own = next((each for each in lists if each.node == node.code), None)
    return own.applied_to(node) if own is not None else node


def _narrower(founders: KeyEntry, own: KeyEntry | None) -> KeyEntry:
    begins = founders.not_before if own is None else max(founders.not_before, own.not_before)
    return founders.ended_as(own).model_copy(update={"not_before": begins})


def _endless(keys: Iterable[KeyEntry]) -> tuple[KeyEntry, ...]:
    return tuple(KeyEntry(public=key.public, not_before=key.not_before) for key in keys)


def _check_keys_continue(whose: str, before: Sequence[KeyEntry], after: Sequence[KeyEntry]) -> None:
    now = {key.public: key for key in after}
    for old in before:
        new = now.get(old.public)
        what = f"key {key_id(old.public).hex()} of {whose}"
        if new is None:
            raise _unsaid(f"{what} is no longer listed; give it an end instead")
        if new.not_before != old.not_before:
            raise _unsaid(f"{what} begins at another time than before")
        if new.not_after > old.not_after:
            raise _unsaid(f"{what} ends later than before")
        if old.not_trusted_after is not None and (new.not_trusted_after or FOREVER) > old.not_trusted_after:
            raise _unsaid(f"{what} is trusted again")


def _check_still_out(whose: str, before: Fingerprints, after: Fingerprints) -> None:
    if not before <= after:
        raise _unsaid(f"certificate {min(before - after)} of {whose} is no longer listed as revoked")


def _check_taken_in_anew(old: ParticipantEntry, new: ParticipantEntry) -> None:
    before, now = old.certificates_not_before, new.certificates_not_before
    if before is not None and (now is None or now < before):
        raise _unsaid(f"certificates of {old.address} from before {before.isoformat()} are let in again")
    if (old.status, new.status) != (Status.REVOKED, Status.ACTIVE):
        return
    # By keys that are listed still, or a certificate that nobody revoked, whoever put it out would be undone.
    known = {key.public for key in (*old.signing_keys, *old.sealing_keys)}
    if any(key.not_trusted_after is None for key in (*new.signing_keys, *new.sealing_keys) if key.public in known):
        raise _unsaid(f"{old.address} is in again with a key of before that is still trusted")
    if now is None or now == before:
        raise _unsaid(f"{old.address} is in again with the certificates of before")


def _unsaid(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_DIRECTORY, detail, "participants")


Lookup: TypeAlias = Callable[[], Directory]
"""Gives the directory in force. Whoever decides something asks once, and decides by that one."""

KeyName: TypeAlias = tuple[str, bytes]
"""Whose signing key, and its id."""

Know: TypeAlias = Callable[[Collection[KeyName]], Awaitable[frozenset[KeyName]]]
"""Looks for news if one of these keys is unknown; returns those of which it still cannot be said that they are none."""


def not_known_yet() -> Failure:
    """Return what is answered of a key that may be too new for us."""
    return Failure(
        ErrorCode.UNAVAILABLE,
        "it is signed with a key that is not known here, and no news can be had now: it may be a new one",
        retry_after=UNKNOWN_KEY_RETRY_SECONDS,
    )


def _unique(what: str, pairs: Iterable[tuple[K, V]]) -> dict[K, V]:
    found: dict[K, V] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{what} {key} is listed twice")
        found[key] = value
    return found
