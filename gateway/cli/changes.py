"""What founders are to say next: nodes, instruments, keys.

In: what they say now, what a node brings, names and files as somebody typed them. Out: the whole of what is to be
proposed. What was signed stays verifiable: nodes and their keys stay listed. Refuses with BAD_INPUT what names nothing,
and keys that could not speak for a federation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel
from pydantic import ValidationError as PydanticError
from securesystemslib.signer import Key

from gateway.directory import FederationList, Instrument, KeyEntry, NodeEntry, PublicKeyField, Status, WitnessEntry
from gateway.errors import ErrorCode, Refusal
from gateway.identity import NODE
from gateway.note import Algorithm, Verifier
from gateway.rules import KINDS
from gateway.trust.repository import RootKeys
from gateway.trust.signing import key_of

_LEAST_NAMED_CHARACTERS: Final = 12
_MAX_FILE_BYTES: Final = 1 << 20

M = TypeVar("M", bound=BaseModel)


class NodeProposal(BaseModel, frozen=True, extra="forbid"):
    """What a node brings to the founders.

    Args:
        entry: how it will be listed.
        directory_key: public half of the key that signs its list.
    """

    entry: NodeEntry
    directory_key: PublicKeyField


def read(path: Path, kind: type[M], where: str) -> M:
    """Read what somebody brought, JSON.

    Args:
        path: the file.
        kind: what it is to hold.
        where: which option named it.

    Raises:
        Refusal: BAD_INPUT, it holds something else, is too large, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", where) from error
    if len(content) > _MAX_FILE_BYTES:
        raise Refusal(ErrorCode.BAD_INPUT, f"{path} is over {_MAX_FILE_BYTES} bytes", where)
    try:
        return kind.model_validate_json(content)
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join([where, *map(str, first["loc"])])
        raise Refusal(ErrorCode.BAD_INPUT, f"{path}: {first['msg']}", at) from error


def instrument(path: Path) -> Instrument:
    """Read a treaty or law.

    Raises:
        Refusal: BAD_INPUT, as `read`, or nobody could ever ask for anything under it.
    """
    law = read(path, Instrument, "instrument")
    for field, found, known in (("between", law.between, NODE.fullmatch), ("kinds", law.kinds, KINDS.get)):
        odd = next((each for each in sorted(found) if not known(each)), None)
        if odd is not None:
            raise Refusal(ErrorCode.BAD_INPUT, f"{path}: there can be no {odd!r}", f"instrument.{field}")
        if not found:
            raise Refusal(ErrorCode.BAD_INPUT, f"{path}: it names none", f"instrument.{field}")
    if law.in_force_to <= law.in_force_from:
        raise Refusal(ErrorCode.BAD_INPUT, f"{path}: it ends before it begins", "instrument.in_force_to")
    return law


def empty(federation: str) -> FederationList:
    """Return what a federation says that is to be founded: nothing yet; refuses a name that is no domain."""
    nothing = FederationList.model_construct(federation=federation, nodes=(), instruments=(), publisher="")
    return FederationList.parse(nothing.to_json(), "federation")


def continued(
    entry: NodeEntry,
    before: NodeEntry | None,
    published: NodeEntry | None = None,
    *,
    keep_ca: bool,
    only_ca: bool = False,
) -> NodeEntry:
    """Return a changed node with the keys that it had: what was signed with them must stay verifiable, and no more.

    Args:
        entry: what the node brings.
        before: what is said of it now, published or not; None if nothing is.
        published: what is published of it. The file of `make-node` knows of no end of a key, and must not undo it.
        keep_ca: the CA that it had counts beside the new one.
        only_ca: nothing but the CA is taken from what it brings.

    Raises:
        Refusal: BAD_INPUT, only the CA of a node is to change that is not listed.
    """
    if before is None:
        if only_ca:
            raise Refusal(ErrorCode.BAD_INPUT, f"there is no node {entry.code}", "only-ca")
        return entry
    ca = entry.ca + before.ca if keep_ca and before.ca not in entry.ca else entry.ca
    if only_ca:
        return before.model_copy(update={"ca": ca})
    named, said = {key.public for key in entry.signing_keys}, _keys_of(published)
    kept = tuple(key for key in before.signing_keys if key.public not in named)
    brought = tuple(said.get(key.public, key).ended_as(key) for key in entry.signing_keys)
    return entry.model_copy(
        update={
            "signing_keys": (*brought, *kept),
            "ca": ca,
            "revoked_certificates": entry.revoked_certificates | before.revoked_certificates,
        }
    )


def _keys_of(node: NodeEntry | None) -> dict[bytes, KeyEntry]:
    return {} if node is None else {key.public: key for key in node.signing_keys}


def changed(
    present: FederationList,
    nodes: list[NodeEntry],
    revoked: tuple[str, ...],
    publisher: str | None,
    instruments: list[Instrument],
    dropped: tuple[str, ...],
    watch: "Watch | None" = None,
) -> FederationList:
    """Return what the federation says with these changes.

    Args:
        present: what it says now.
        nodes: new or changed.
        revoked: codes of nodes that are put out.
        publisher: code of the node that publishes for all; `-` for none, None for the present one.
        instruments: new or changed.
        dropped: ids of those that bind nobody any more.
        watch: who is to witness the logs; None: as it is.

    Raises:
        Refusal: BAD_INPUT, there is no such node, instrument or witness, or too few witnesses for what is demanded.
    """
    listed = {node.code: node for node in present.nodes} | {node.code: node for node in nodes}
    laws = {each.id: each for each in present.instruments} | {each.id: each for each in instruments}
    for code in revoked:
        if code not in listed:
            raise Refusal(ErrorCode.BAD_INPUT, f"there is no node {code}", "revoke-node")
        # Listed still: what it signed while it was in must stay verifiable.
        listed[code] = listed[code].model_copy(update={"status": Status.REVOKED})
    for name in dropped:
        if laws.pop(name, None) is None:
            raise Refusal(ErrorCode.BAD_INPUT, f"there is no instrument {name}", "drop-instrument")
    to = present.publisher if publisher is None else publisher.removeprefix("-")
    if to and to not in listed:
        raise Refusal(ErrorCode.BAD_INPUT, f"there is no node {to}", "publishing-node")
    said = present.model_copy(
        update={"nodes": tuple(listed.values()), "instruments": tuple(laws.values()), "publisher": to}
    )
    return said if watch is None else watch.said_by(said)


@dataclass(frozen=True, slots=True)
class Watch:
    """What changes of who witnesses the logs.

    Args:
        cosignatures: how many must have cosigned a checkpoint; None: as many as now.
        added: verifier keys and addresses of witnesses that are no nodes; new or changed.
        dropped: names of those that are witnesses no more.
    """

    cosignatures: int | None
    added: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...]

    def said_by(self, present: FederationList) -> FederationList:
        """Return what the federation says with that; refuses with BAD_INPUT, see `changed`."""
        if self.cosignatures is None and not self.added and not self.dropped:
            # Also if a node that is put out leaves too few: that must not wait.
            return present
        witnesses = {each.name: each for each in present.witnesses}
        for name in self.dropped:
            if witnesses.pop(name, None) is None:
                raise Refusal(ErrorCode.BAD_INPUT, f"there is no witness {name}", "drop-witness")
        witnesses |= {entry.name: entry for entry in (_witness(*each) for each in self.added)}
        wanted = present.cosignatures if self.cosignatures is None else self.cosignatures
        update = {"cosignatures": wanted, "witnesses": tuple(witnesses.values())}
        try:
            said = FederationList.parse(present.model_copy(update=update).to_json(), "federation")
        except Refusal as error:
            raise Refusal(ErrorCode.BAD_INPUT, error.detail, "witness") from error
        if wanted > said.most_cosignatures:
            detail = f"{wanted} cosignatures of at most {said.most_cosignatures}: no checkpoint would ever have them"
            raise Refusal(ErrorCode.BAD_INPUT, detail, "cosignatures")
        return said


def _witness(key: str, url: str) -> WitnessEntry:
    try:
        verifier = Verifier.parse(key)
        entry = WitnessEntry(name=verifier.name, public=verifier.public_key, url=url)
    except Refusal as error:
        raise Refusal(ErrorCode.BAD_INPUT, error.detail, "witness") from error
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refusal(ErrorCode.BAD_INPUT, f"{url}: {first['msg']}", "witness") from error
    if verifier.algorithm is not Algorithm.COSIGNATURE:
        raise Refusal(ErrorCode.BAD_INPUT, "that is the key of a log, not of a witness", "witness")
    return entry


def list_keys(named: tuple[str, ...], said: FederationList) -> dict[str, Key]:
    """Return other keys for lists of nodes, from `CODE=FILE`.

    Raises:
        Refusal: BAD_INPUT, there is no such node, or no such key.
    """
    found = {}
    for each in named:
        code, _, path = each.partition("=")
        if code not in {node.code for node in said.nodes}:
            raise Refusal(ErrorCode.BAD_INPUT, f"there is no node {code}", "list-key")
        found[code] = public_key(path, (), "list-key")
    return found


def root_keys(
    present: RootKeys | None, founders: tuple[str, ...], threshold: int | None, publisher: str | None
) -> RootKeys:
    """Return who is to sign for the federation; what is not named stays.

    Args:
        present: who signs now; None for a federation that is to be founded.
        founders: all of them, by file or key id.
        threshold: how many speak for it.
        publisher: by file.

    Raises:
        Refusal: BAD_INPUT, there is no such key, one is named twice, or the threshold cannot be met.
    """
    known = present.founders if present else ()
    chosen = tuple(public_key(each, known, "founder") for each in founders) or known
    publishing = public_key(publisher, (), "publisher") if publisher or present is None else present.publisher
    wanted = threshold if threshold or present is None else present.threshold
    if len({each.keyid for each in (*chosen, publishing)}) != len(chosen) + 1:
        raise Refusal(ErrorCode.BAD_INPUT, "every founder and the publisher has a key of his own", "founder")
    if wanted is None or not 0 < wanted <= len(chosen):
        raise Refusal(ErrorCode.BAD_INPUT, f"a threshold of 1 to {len(chosen)} is wanted", "threshold")
    return RootKeys(chosen, wanted, publishing)


def public_key(named: str | None, known: tuple[Key, ...], where: str) -> Key:
    """Return a key by its file, or, of those that are known, by the first characters of its key id.

    Raises:
        Refusal: BAD_INPUT, at `where`: there is no such key.
    """
    name = (named or "").replace(" ", "").lower()
    found = [key for key in known if len(name) >= _LEAST_NAMED_CHARACTERS and key.keyid.startswith(name)]
    if len(found) == 1:
        return found[0]
    path = Path(named or "")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES).strip()
    except OSError as error:
        detail = f"{named} is neither the key id of a founder nor a file that can be read ({error.strerror})"
        raise Refusal(ErrorCode.BAD_INPUT, detail, where) from error
    try:
        if content.startswith(b"-----BEGIN PUBLIC KEY-----"):
            key = load_pem_public_key(content)
            if isinstance(key, Ed25519PublicKey):
                return key_of(key.public_bytes_raw())
        else:
            return key_of(bytes.fromhex(content.decode("ascii")))
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise Refusal(ErrorCode.BAD_INPUT, f"{path} holds no public Ed25519 key, PEM or hexadecimal", where)
