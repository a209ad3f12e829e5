"""What a person has to see of the directory before signing: who would speak for the federation, and what would change.

In: a repository. Out: lines, and digests to be read aloud. Two people who see the same digest sign the same; no key id
is shown so short that a machine could be set to find another key with the same.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.directory import FederationList, NodeEntry
from gateway.errors import Refusal
from gateway.identity import UNREADABLE_CERTIFICATE
from gateway.signature import key_id
from gateway.trust.repository import Repository
from gateway.trust.signatures import Signatures

SPOKEN_CHARACTERS: Final = 32
"""Of a digest, in groups of four: 128 bits, beyond anybody's search."""


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
    try:
        old = repository.federation()
    except Refusal:
        old = FederationList(federation=new.federation, nodes=())
    lines = [f"federation {new.federation}"]
    lines += [
        f"{each.role} version {each.version}, signed by {each.threshold} founders, until {each.expires:%Y-%m-%d}"
        for each in proposed
    ]
    return [*lines, *_keys(repository), *_nodes(old, new), *_instruments(old, new), *_witnesses(old, new)]


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


def _nodes(old: FederationList, new: FederationList) -> list[str]:
    before = {node.code: node for node in old.nodes}
    found = []
    for node in new.nodes:
        if before.get(node.code) == node:
            found.append(f"as before node {node.code} at {node.endpoint}, {node.status.value}")
            continue
        word = "changed" if node.code in before else "new"
        found.append(f"{word} node {node.code} at {node.endpoint}, {node.status.value}")
        found += [f"  {line}" for line in node_lines(node)]
    found += [f"node {code} is gone" for code in before if code not in {node.code for node in new.nodes}]
    if old.publisher != new.publisher:
        found.append(f"published by node {new.publisher}" if new.publisher else "published by hand")
    return found


def node_lines(node: NodeEntry) -> list[str]:
    """Return by what a node is known: its CA, and the keys with which it signs receipts."""
    found = [f"CA {spoken(each)}" for each in _fingerprints(node)]
    return [*found, *(f"signing key {spoken(key_id(key.public).hex())}" for key in node.signing_keys)]


def _fingerprints(node: NodeEntry) -> list[str]:
    try:
        return [each.fingerprint(SHA256()).hex() for each in x509.load_pem_x509_certificates(node.ca_pem)]
    except UNREADABLE_CERTIFICATE:
        return [f"that cannot be read, {sha256(node.ca_pem).hexdigest()}"]


def _instruments(old: FederationList, new: FederationList) -> list[str]:
    before = {each.id: each for each in old.instruments}
    found = []
    for each in new.instruments:
        if before.get(each.id) != each:
            word = "changed" if each.id in before else "new"
            between, kinds = ", ".join(sorted(each.between)), ", ".join(sorted(each.kinds))
            found.append(f"{word} instrument {each.id} between {between} for {kinds}")
    return found + [f"instrument {name} is gone" for name in before if name not in {i.id for i in new.instruments}]


def _witnesses(old: FederationList, new: FederationList) -> list[str]:
    before = {each.name: each for each in old.witnesses}
    found = []
    if old.cosignatures != new.cosignatures:
        found.append(f"checkpoints want {new.cosignatures} cosignatures, {old.cosignatures} before")
    if new.cosignatures > new.most_cosignatures:
        found.append(
            f"no checkpoint can have {new.cosignatures} cosignatures: there are {new.most_cosignatures} witnesses"
        )
    for each in new.witnesses:
        if before.get(each.name) != each:
            word = "changed" if each.name in before else "new"
            found.append(f"{word} witness {each.name} at {each.url}, key {spoken(each.public.hex())}")
    return found + [f"witness {name} is gone" for name in before if name not in {each.name for each in new.witnesses}]
