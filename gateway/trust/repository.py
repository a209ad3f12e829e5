"""Makes and signs the directory: the ceremony of the founders, the nodes' own lists, the publisher's renewals.

In: a folder, keys, what is to be said, the time. Out: a TUF repository in that folder, as a web server or a folder
serves it; what awaits founders' signatures lies beside it and is not served. Refuses with BAD_DIRECTORY what a client
would refuse, before it is published, and with BAD_INPUT a key that has nothing to sign.

    DIR/metadata/ targets/        published
    DIR/pending/root.json targets.json federation.json

Sources: TUF specification 1.0.31, sections 4 (formats), 6.1 (key rotation) and 6.2 (consistent snapshots).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from nacl.signing import SigningKey
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from gateway.directory import FederationList, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.trust.files import Files, Founded, parse, write
from gateway.trust.roles import (
    FEDERATION_PATH,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    lifetime,
    list_path,
    node_role,
)
from gateway.trust.signatures import Signatures, state_of
from gateway.trust.signing import READABLE, signer_of


class Repository:
    """A directory's repository.

    Args:
        folder: where it lies, or will.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = Files(folder)

    # The founders

    def found(
        self,
        founders: Sequence[Key],
        threshold: int,
        publisher: Key,
        federation: FederationList,
        node_keys: Mapping[str, Key],
        now: datetime,
    ) -> None:
        """Propose a new federation: root and targets, for the founders to sign.

        Args:
            founders: their public keys.
            threshold: how many of them speak for the federation.
            publisher: key for snapshot and timestamp.
            federation: nodes and instruments.
            node_keys: for each node, the key that signs its list.
            now: the time.
        """
        self._files.make()
        ids = [key.keyid for key in founders]
        root = Root(
            expires=now + lifetime(ROOT),
            keys={key.keyid: key for key in (*founders, publisher)},
            roles={
                ROOT: Role(ids, threshold),
                TARGETS: Role(ids, threshold),
                SNAPSHOT: Role([publisher.keyid], 1),
                TIMESTAMP: Role([publisher.keyid], 1),
            },
            consistent_snapshot=True,
        )
        targets = Targets(expires=now + lifetime(TARGETS))
        targets.delegations = Delegations({}, {})
        self._propose(Metadata(root))
        self._propose_targets(targets, federation, node_keys)

    def propose_federation(self, federation: FederationList, node_keys: Mapping[str, Key], now: datetime) -> None:
        """Propose other nodes or instruments, for the founders to sign.

        It takes the place of what was pending: signatures for that are gone, keys of its nodes stay.

        Args:
            federation: all of it.
            node_keys: of nodes that are new or have a new key.
            now: the time.
        """
        pending = self._files.read_pending(TARGETS)
        targets = pending.signed if pending else self._files.read(Targets, TARGETS).signed
        if not isinstance(targets, Targets):
            raise Refusal(ErrorCode.BAD_DIRECTORY, "targets.json holds something else", "folder")
        targets.version = self._files.version(TARGETS) + 1
        targets.expires = now + lifetime(TARGETS)
        self._propose_targets(targets, federation, node_keys)

    def propose_root(self, founders: Sequence[Key], threshold: int, publisher: Key, now: datetime) -> None:
        """Propose other founders, another threshold or another publisher (specification section 6.1).

        What the founders said goes with it, for the new ones to sign too.
        """
        root = self._files.read(Root, ROOT).signed
        ids = [key.keyid for key in founders]
        root.version += 1
        root.expires = now + lifetime(ROOT)
        root.keys = {key.keyid: key for key in (*founders, publisher)}
        for name in (ROOT, TARGETS):
            root.roles[name] = Role(ids, threshold)
        for name in (SNAPSHOT, TIMESTAMP):
            root.roles[name] = Role([publisher.keyid], 1)
        self._propose(Metadata(root))
        self.propose_federation(self.pending_federation() or self.federation(), {}, now)

    def sign(self, key: SigningKey) -> tuple[Signatures, ...]:
        """Add a founder's signature to all that is pending and that this key may sign.

        Raises:
            Refusal: BAD_INPUT, nothing is pending for this key.
        """
        signer = signer_of(key)
        found = False
        for role in (ROOT, TARGETS):
            metadata = self._files.read_pending(role)
            if metadata is None or signer.public_key.keyid not in self._founders(metadata):
                continue
            metadata.sign(signer, append=True)
            write(self._files.pending / f"{role}.json", metadata.to_bytes(READABLE))
            found = True
        if not found:
            raise Refusal(ErrorCode.BAD_INPUT, "nothing is pending that this key may sign", "key")
        return self.signatures()

    def signatures(self) -> tuple[Signatures, ...]:
        """Return how far the founders have come with what is pending, and who signed what is published."""
        found: list[Signatures] = []
        for role in (ROOT, TARGETS):
            pending = self._files.read_pending(role)
            if pending is not None:
                found.append(state_of(role, pending, self._judges(pending), pending=True))
            if self._files.version(role):
                published = self._files.read_published(role)
                found.append(state_of(role, published, self._judges(published)))
        return tuple(found)

    def status(self) -> tuple[Signatures, ...]:
        """Return the same for every role."""
        if not self._files.version(ROOT) or not self._files.version(TARGETS):
            return self.signatures()
        root, targets = self._files.read(Root, ROOT).signed, self._files.read(Targets, TARGETS).signed
        found = [state_of(SNAPSHOT, self._files.read(Snapshot, SNAPSHOT), (root,))]
        timestamp = parse(Timestamp, self._files.metadata / f"{TIMESTAMP}.json")
        found.append(state_of(TIMESTAMP, timestamp, (root,)))
        nodes = targets.delegations.roles or {} if targets.delegations else {}
        found += [
            state_of(role, self._files.read(Targets, role), (targets,)) for role in nodes if self._files.version(role)
        ]
        return (*self.signatures(), *found)

    # The nodes

    def put_list(self, code: str, key: SigningKey, participants: ParticipantList, now: datetime) -> None:
        """Sign a node's list of participants with the node's key; `publish` makes it known.

        Raises:
            Refusal: BAD_INPUT, it is not that node's key; BAD_DIRECTORY, it is not that node's list.
        """
        if participants.node != code:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"this is a list of node {participants.node}", "node")
        role, path = node_role(code), list_path(code)
        content = participants.to_json()
        targets = Targets(version=self._files.version(role) + 1, expires=now + lifetime(role))
        targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        metadata = Metadata(targets)
        metadata.sign(signer_of(key))
        self._check_node(role, metadata)
        self._files.write_target(path, targets.targets[path], content)
        write(self._files.metadata / f"{targets.version}.{role}.json", metadata.to_bytes(READABLE))

    def list_of(self, code: str) -> ParticipantList:
        """Return a node's list as it was signed last.

        Raises:
            Refusal: NOT_FOUND, there is none; BAD_DIRECTORY, it cannot be read.
        """
        role, path = node_role(code), list_path(code)
        if not self._files.version(role):
            raise Refusal(ErrorCode.NOT_FOUND, f"node {code} has published no list")
        return ParticipantList.parse(self._files.read_target(path, self._files.read(Targets, role).signed), path)

    def federation(self) -> FederationList:
        """Return what the founders said last, signed by enough of them."""
        targets = self._files.read(Targets, TARGETS).signed
        return FederationList.parse(self._files.read_target(FEDERATION_PATH, targets), "federation")

    def pending_federation(self) -> FederationList | None:
        """Return what the founders are asked to sign, if they are."""
        path = self._files.pending / FEDERATION_PATH
        if not (self._files.pending / f"{TARGETS}.json").exists():
            return None
        return FederationList.parse(path.read_bytes(), FEDERATION_PATH)

    def delegated_keys(self, *, pending: bool) -> dict[str, tuple[str, ...]]:
        """Return key ids by role: of the founders and the publisher, and of each node's list."""
        found: dict[str, tuple[str, ...]] = {}
        for role in (ROOT, TARGETS):
            metadata = self._files.read_pending(role) if pending else None
            if metadata is None:
                metadata = self._files.read_published(role) if self._files.version(role) else None
            match metadata.signed if metadata else None:
                case Root() as root:
                    found |= {f"{name}, {each.threshold} of": tuple(each.keyids) for name, each in root.roles.items()}
                case Targets(delegations=Delegations(roles=dict() as roles)):
                    found |= {name: tuple(each.keyids) for name, each in roles.items()}
                case _:
                    pass
        return found

    # The publisher

    def publish(self, key: SigningKey, now: datetime) -> tuple[Signatures, ...]:
        """Take over what enough founders have signed, and sign which versions belong together.

        Raises:
            Refusal: BAD_INPUT, it is not the publisher's key, or the first root and targets lack signatures.
        """
        new_root = self._complete(ROOT)
        root = new_root or self._read_or_refuse(ROOT)
        if not isinstance(root.signed, Root):
            raise Refusal(ErrorCode.BAD_DIRECTORY, "root.json holds something else", "folder")
        if signer_of(key).public_key.keyid not in root.signed.roles[TIMESTAMP].keyids:
            raise Refusal(ErrorCode.BAD_INPUT, "this is not the publisher's key", "key")
        new_targets = self._complete(TARGETS, root.signed)
        targets = new_targets or self._read_or_refuse(TARGETS)
        if state_of(TARGETS, targets, (root.signed,)).missing:
            # A new root may name new founders: they have to sign what the old ones said, or no client would take it.
            raise Refusal(ErrorCode.BAD_INPUT, "targets lack signatures of the founders of the new root", "founders")
        for each in (new_root, new_targets):
            if each is not None:
                self._take_over(each)
        self._sign_snapshot(signer_of(key), now)
        return self.signatures()

    def root(self) -> bytes:
        """Return the newest root: what is handed out by hand to those who join."""
        return (self._files.metadata / f"{self._files.version(ROOT)}.{ROOT}.json").read_bytes()

    def _sign_snapshot(self, signer: CryptoSigner, now: datetime) -> None:
        targets = self._files.read(Targets, TARGETS).signed
        roles = {TARGETS, *(targets.delegations.roles or {} if targets.delegations else {})}
        if self._files.version(SNAPSHOT):
            # What was listed once is listed for ever: clients take its absence for an attack (5.5.5).
            roles |= {name.removesuffix(".json") for name in self._files.read(Snapshot, SNAPSHOT).signed.meta}
        meta = {f"{role}.json": self._files.meta(role) for role in sorted(roles) if self._files.version(role)}
        snapshot = Metadata(Snapshot(self._files.version(SNAPSHOT) + 1, expires=now + lifetime(SNAPSHOT), meta=meta))
        snapshot.sign(signer)
        write(self._files.metadata / f"{snapshot.signed.version}.{SNAPSHOT}.json", snapshot.to_bytes(READABLE))
        path = self._files.metadata / f"{TIMESTAMP}.json"
        version = parse(Timestamp, path).signed.version if path.exists() else 0
        timestamp = Metadata(Timestamp(version + 1, expires=now + lifetime(TIMESTAMP)))
        timestamp.signed.snapshot_meta = self._files.meta(SNAPSHOT)
        timestamp.sign(signer)
        write(path, timestamp.to_bytes(READABLE))  # last: from now on clients see the rest

    def _complete(self, role: str, judge: Root | None = None) -> Founded | None:
        """Return what is pending, if nothing is missing."""
        pending = self._files.read_pending(role)
        if pending is None:
            return None
        judges = (judge,) if judge else self._judges(pending)
        return None if state_of(role, pending, judges).missing else pending

    def _read_or_refuse(self, role: str) -> Founded:
        if not self._files.version(role):
            raise Refusal(ErrorCode.BAD_INPUT, "not enough founders have signed yet", "founders")
        return self._files.read_published(role)

    def _take_over(self, metadata: Founded) -> None:
        signed = metadata.signed
        if isinstance(signed, Targets):
            content = (self._files.pending / FEDERATION_PATH).read_bytes()
            signed.targets[FEDERATION_PATH].verify_length_and_hashes(content)
            self._files.write_target(FEDERATION_PATH, signed.targets[FEDERATION_PATH], content)
        write(self._files.metadata / f"{signed.version}.{signed.type}.json", metadata.to_bytes(READABLE))
        (self._files.pending / f"{signed.type}.json").unlink()

    # Proposals

    def _propose_targets(self, targets: Targets, federation: FederationList, node_keys: Mapping[str, Key]) -> None:
        content = federation.to_json()
        targets.targets = {FEDERATION_PATH: TargetFile.from_data(FEDERATION_PATH, content, ["sha256"])}
        delegations = targets.delegations
        if delegations is None or delegations.roles is None:
            raise Refusal(ErrorCode.BAD_DIRECTORY, "the repository delegates to nobody")
        for code, key in node_keys.items():
            role = node_role(code)
            old = delegations.roles.get(role)
            for keyid in old.keyids if old else ():
                delegations.keys.pop(keyid, None)
            delegations.keys[key.keyid] = key
            # Terminating: nobody after it in the list is asked for this path (specification section 4.5).
            delegations.roles[role] = DelegatedRole(role, [key.keyid], 1, terminating=True, paths=[list_path(code)])
        self._propose(Metadata(targets))
        write(self._files.pending / FEDERATION_PATH, content)

    def _propose(self, metadata: Founded) -> None:
        metadata.signatures.clear()
        write(self._files.pending / f"{metadata.signed.type}.json", metadata.to_bytes(READABLE))

    def _judges(self, metadata: Founded) -> tuple[Root, ...]:
        """Return the roots whose thresholds must be met; for a new root, its own and the old one (5.3.4)."""
        if isinstance(metadata.signed, Root):
            before = metadata.signed.version - 1
            return (
                (metadata.signed, self._files.read_version(Root, ROOT, before).signed) if before else (metadata.signed,)
            )
        pending = self._files.read_pending(ROOT) if metadata.signed.version > self._files.version(TARGETS) else None
        root = pending or self._read_or_refuse(ROOT)
        return (root.signed,) if isinstance(root.signed, Root) else ()

    def _founders(self, metadata: Founded) -> set[str]:
        role = metadata.signed.type
        return {keyid for judge in self._judges(metadata) for keyid in judge.roles[role].keyids}

    def _check_node(self, role: str, metadata: Metadata[Targets]) -> None:
        targets = self._files.read(Targets, TARGETS).signed
        try:
            targets.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError) as error:
            raise Refusal(ErrorCode.BAD_INPUT, f"this key may not sign as {role}", "key") from error
