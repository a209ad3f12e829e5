"""What a person has to see of the directory before signing: who would speak for the federation, and what would change.

In: a repository. Out: lines, and digests to be read aloud. Two people who see the same digest sign the same; no key id
is shown so short that a machine could be set to find another key with the same.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.directory import FOREVER, FederationList, Instrument, KeyEntry, NodeEntry, Status, WitnessEntry
from gateway.errors import Refusal
from gateway.identity import UNREADABLE_CERTIFICATE
from gateway.signature import key_id
from gateway.trust.repository import Repository
from gateway.trust.signatures import Signatures

SPOKEN_CHARACTERS: Final = 32
"""Of a digest, in groups of four: 128 bits, beyond anybody's search."""

E = TypeVar("E", NodeEntry, Instrument, WitnessEntry)


def spoken(digest: str) -> str:
    """Return as much of a digest as two people read to each other, e.g. `3f2a 91bc ...`."""
    shown = digest[:SPOKEN_CHARACTERS]
    return " ".join(shown[start : start + 4] for start in range(0, len(shown), 4))


def digest_of(proposed: Sequence[Signatures]) -> str:
    """Return one digest of all that is proposed; empty if nothing is."""
    if not proposed:
        return ""
    return sha256(b"".join(bytes.fromhex(each.digest) for each in proposed)).hexdigest()


def lines_of(repository: Repository) -> list[str]:
    """Return what a founder has to know before he signs.

    Raises:
        Refusal: BAD_DIRECTORY, the files are not what the metadata names, or what is published lacks signatures.
    """
    proposed = [each for each in repository.signatures() if each.pending]
    new = repository.pending_federation() or repository.federation()
    old = published_in(repository, new.federation)
    roles = (
        f"{each.role} version {each.version}, signed by {each.threshold} founders, until {each.expires:%Y-%m-%d}"
        for each in proposed
    )
    return [f"federation {new.federation}", *roles, *_keys(repository), *changes_of(old, new)]


def changes_of(old: FederationList, new: FederationList) -> list[str]:
    """Return what the federation would say that it does not say now, and what it would say no more: all of it."""
    nodes, before = {node.code: node for node in new.nodes}, {node.code: node for node in old.nodes}
    same = (node for code, node in nodes.items() if before.get(code) == node)
    found = [f"as before node {node.code} at {node.endpoint}, {node.status.value}" for node in same]
    found += _changes("node", before, nodes, node_lines)
    if old.publisher != new.publisher:
        found.append(f"published by node {new.publisher}" if new.publisher else "published by hand")
    if new.publisher in nodes and nodes[new.publisher].status is not Status.ACTIVE:
        found.append(f"node {new.publisher} publishes for all, and is out: without another, there is no more news")
    found += _changes("instrument", {i.id: i for i in old.instruments}, {i.id: i for i in new.instruments}, _law_lines)
    if old.cosignatures != new.cosignatures:
        found.append(f"checkpoints want {new.cosignatures} cosignatures, {old.cosignatures} before")
    if new.cosignatures > new.most_cosignatures:
        found.append(
            f"no checkpoint can have {new.cosignatures} cosignatures: there are {new.most_cosignatures} witnesses"
        )
    witnesses = {each.name: each for each in old.witnesses}, {each.name: each for each in new.witnesses}
    return [*found, *_changes("witness", *witnesses, _witness_lines)]


def _keys(repository: Repository) -> list[str]:
    """Return the founders and the publisher, changed or not: somebody may have put other keys into the folder."""
    before, after = repository.delegated_keys(pending=False), repository.delegated_keys(pending=True)
    found = []
    for role, keyids in after.items():
        top = not role.startswith("node-")
        if top or before.get(role) != keyids:
            word = "" if before.get(role) == keyids else "new " if role not in before else "changed "
            found += [f"{word}{role} key {spoken(keyid)}" for keyid in keyids]
    return [*found, *(f"{role}: no more" for role in before if role not in after)]


def _changes(what: str, old: Mapping[str, E], new: Mapping[str, E], lines: Callable[[E], list[str]]) -> list[str]:
    """Return what is new or changed, whole, and each line of what was that would be there no more."""
    found = []
    for name, entry in new.items():
        before = old.get(name)
        if before == entry:
            continue
        now, then = lines(entry), [] if before is None else lines(before)
        found.append(f"{'new' if before is None else 'changed'} {what} {name} {now[0]}")
        found += [f"  {line}" for line in now[1:]]
        found += [f"  no more {line}" for line in then if line not in now]
    return found + [f"{what} {name} is gone" for name in old if name not in new]


def published_in(repository: Repository, federation: str) -> FederationList:
    """Return what is published of a federation; nothing, if that is to be founded."""
    try:
        return repository.federation()
    except Refusal:
        return FederationList(federation=federation, nodes=())


def node_lines(node: NodeEntry) -> list[str]:
    """Return where a node is, and by what it is known: its CA, the keys that sign its receipts, and what is out."""
    return [
        f"at {node.endpoint}, {node.status.value}",
        *(f"CA {each}" for each in _authorities(node)),
        *(f"signing key {_key_line(key)}" for key in node.signing_keys),
        *(f"revoked certificate {spoken(each)}" for each in sorted(node.revoked_certificates)),
    ]


def _authorities(node: NodeEntry) -> list[str]:
    try:
        certificates = x509.load_pem_x509_certificates(node.ca_pem)
    except UNREADABLE_CERTIFICATE:
        return [f"that cannot be read, {sha256(node.ca_pem).hexdigest()}"]
    found = [spoken(each.fingerprint(SHA256()).hex()) for each in certificates]
    if node.ca_pem.split() != b"".join(each.public_bytes(Encoding.PEM) for each in certificates).split():
        # Another reader of PEM than ours may find one more in it.
        found.append(f"in a text that says more, SHA-256 {spoken(sha256(node.ca_pem).hexdigest())}")
    return found


def _key_line(key: KeyEntry) -> str:
    until = "" if key.not_after == FOREVER else f" until {_moment(key.not_after)}"
    stolen = "" if key.not_trusted_after is None else f", not trusted from {_moment(key.not_trusted_after)}"
    return f"{spoken(key_id(key.public).hex())} from {_moment(key.not_before)}{until}{stolen}"


def _law_lines(law: Instrument) -> list[str]:
    until = "" if law.in_force_to == FOREVER else f" until {_moment(law.in_force_to)}"
    return [
        f"between {', '.join(sorted(law.between))} for {', '.join(sorted(law.kinds))}",
        f"in force from {_moment(law.in_force_from)}{until}",
        f"title {law.title}",
        *(f"no dual criminality for {offence}" for offence in sorted(law.no_dual_criminality)),
    ]


def _witness_lines(witness: WitnessEntry) -> list[str]:
    return [f"at {witness.url}, key {spoken(witness.public.hex())}"]


def _moment(moment: datetime) -> str:
    return moment.isoformat(sep=" ")
