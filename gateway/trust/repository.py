"""Makes and signs the directory: the ceremony of the founders, the nodes' own lists, the publisher's renewals.

In: a folder, keys, what is to be said, the time. Out: a TUF repository in that folder, as a web server or a folder
serves it; what awaits founders' signatures lies beside it and is not served. Refuses with BAD_DIRECTORY what a client
would refuse, before it is published, and with BAD_INPUT a key that has nothing to sign.

    DIR/metadata/ targets/        published
    DIR/pending/root.json targets.json federation.json

Sources: TUF specification 1.0.31, sections 4 (formats), 6.1 (key rotation) and 6.2 (consistent snapshots).
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from nacl.signing import SigningKey
from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
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
from gateway.trust.files import Files, Founded, parse, read_listed, write
from gateway.trust.forms import delegation
from gateway.trust.lists import MAX_STEP, SignedList
from gateway.trust.releases import due, release
from gateway.trust.roles import (
    FEDERATION_PATH,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    expire_after,
    lifetime,
    list_path,
    node_role,
)
from gateway.trust.signatures import Signatures, state_of
from gateway.trust.signing import READABLE, signer_of


@dataclass(frozen=True, slots=True)
class RootKeys:
    """Who signs for a federation.

    Args:
        founders: their public keys.
        threshold: how many of them speak for it.
        publisher: key for snapshot and timestamp.
    """

    founders: tuple[Key, ...]
    threshold: int
    publisher: Key

    def write_to(self, root: Root) -> None:
        """Name them in root metadata."""
        ids = [key.keyid for key in self.founders]
        root.keys = {key.keyid: key for key in (*self.founders, self.publisher)}
        for name in (ROOT, TARGETS):
            root.roles[name] = Role(ids, self.threshold)
        for name in (SNAPSHOT, TIMESTAMP):
            root.roles[name] = Role([self.publisher.keyid], 1)


class Repository:
    """A directory's repository.

    Args:
        folder: where it lies, or will.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = Files(folder)

    # The founders

    def found(self, keys: RootKeys, federation: FederationList, node_keys: Mapping[str, Key], now: datetime) -> None:
        """Propose a new federation: root and targets, for the founders to sign.

        Args:
            keys: who signs for it.
            federation: nodes and instruments.
            node_keys: for each node, the key that signs its list.
            now: the time.

        Raises:
            Refusal: BAD_INPUT, there is one in the folder.
        """
        self._files.make()
        root = Root(consistent_snapshot=True)
        keys.write_to(root)
        targets = Targets(delegations=Delegations({}, {}))
        expire_after(root, lifetime(ROOT), now)
        expire_after(targets, lifetime(TARGETS), now)
        with self._files.alone():
            if self._files.version(ROOT):
                raise Refusal(ErrorCode.BAD_INPUT, f"{self.folder} holds a federation already", "folder")
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
        with self._files.alone():
            self._propose_federation(federation, node_keys, now)

    def _propose_federation(self, federation: FederationList, node_keys: Mapping[str, Key], now: datetime) -> None:
        pending = self._files.read_pending(TARGETS)
        targets = pending.signed if pending else self._files.read(Targets, TARGETS).signed
        if not isinstance(targets, Targets):
            raise Refusal(ErrorCode.BAD_DIRECTORY, "targets.json holds something else", "folder")
        targets.version = self._files.version(TARGETS) + 1
        expire_after(targets, lifetime(TARGETS), now)
        self._propose_targets(targets, federation, node_keys)

    def propose_root(self, keys: RootKeys, now: datetime) -> None:
        """Propose other founders, another threshold or another publisher (specification section 6.1).

        What the founders said goes with it, for the new ones to sign too. It takes the place of what was pending.
        """
        with self._files.alone():
            root = self._files.read(Root, ROOT).signed
            root.version += 1
            expire_after(root, lifetime(ROOT), now)
            keys.write_to(root)
            self._propose(Metadata(root))
            self._propose_federation(self.pending_federation() or self.federation(), {}, now)

    def keys(self) -> RootKeys:
        """Return who signs for the federation by the newest root: proposed, or else published.

        Raises:
            Refusal: NOT_FOUND, there is none; BAD_DIRECTORY, it cannot be read.
        """
        root = (self._files.read_pending(ROOT) or self._files.read_published(ROOT)).signed
        if not isinstance(root, Root):
            raise Refusal(ErrorCode.BAD_DIRECTORY, "root.json holds something else", "folder")
        founders = root.roles[ROOT]
        return RootKeys(
            founders=tuple(root.keys[keyid] for keyid in founders.keyids),
            threshold=founders.threshold,
            publisher=root.keys[root.roles[TIMESTAMP].keyids[0]],
        )

    def sign(self, key: SigningKey, seen: Collection[str] | None = None) -> None:
        """Add a founder's signature to all that is pending and that this key may sign.

        Args:
            key: the founder's.
            seen: digests of what the founder was shown; None: whatever there is.

        Raises:
            Refusal: BAD_INPUT, nothing is pending for this key, or something else than was shown; BAD_DIRECTORY, it
                does not follow what is published.
        """
        signer = signer_of(key)
        with self._files.alone():
            proposed = [
                metadata for role in (ROOT, TARGETS) if (metadata := self._files.read_pending(role)) is not None
            ]
            mine = [each for each in proposed if signer.public_key.keyid in self._founders(each)]
            if not mine:
                raise Refusal(ErrorCode.BAD_INPUT, "nothing is pending that this key may sign", "key")
            if seen is not None and any(sha256(each.signed_bytes).hexdigest() not in seen for each in proposed):
                raise Refusal(ErrorCode.BAD_INPUT, "what is pending has changed since it was shown", "folder")
            for metadata in mine:
                self._check_follows(metadata)
            for metadata in mine:
                metadata.sign(signer, append=True)
                write(self._files.pending / f"{metadata.signed.type}.json", metadata.to_bytes(READABLE))

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
        """Sign a node's list of participants with the node's key, and accept it; `publish` makes it known.

        Only where one process may have the keys of the node and of the publisher; else `SignedList.sign` there and
        `accept_list` here.

        Raises:
            Refusal: BAD_INPUT, it is not that node's key; BAD_DIRECTORY, it is not that node's list.
        """
        if participants.node != code:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"this is a list of node {participants.node}", "node")
        signed = SignedList.sign(key, participants, self._files.version(node_role(code)) + 1, now)
        if not self._may_sign(signed):
            raise Refusal(ErrorCode.BAD_INPUT, f"this key may not sign as {node_role(code)}", "key")
        self.accept_list(signed, now)

    def accept_list(self, signed: SignedList, now: datetime) -> None:
        """Take a node's list as the node signed it; `publish` makes it known. The same one again changes nothing.

        Raises:
            Refusal: BAD_DIRECTORY, a reader would not take it: not signed by the key that the founders delegated to,
                expired, not newer than what is published, or it unsays what the node has said.
        """
        signed = SignedList.read(signed.code, signed.metadata, signed.content)
        participants = signed.participants
        if participants.node != signed.code:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"this is a list of node {participants.node}", "node")
        with self._files.alone():
            if not self._may_sign(signed):
                detail = f"the founders have not let this key sign the list of node {signed.code}"
                raise Refusal(ErrorCode.BAD_DIRECTORY, detail, "metadata")
            metadata: Targets = Metadata[Targets].from_bytes(signed.metadata).signed
            if metadata.is_expired(now):
                raise Refusal(ErrorCode.BAD_DIRECTORY, f"the list of node {signed.code} has expired", "metadata")
            if metadata.delegations is not None or set(metadata.targets) != {list_path(signed.code)}:
                detail = f"the metadata of node {signed.code} names more than its list"
                raise Refusal(ErrorCode.BAD_DIRECTORY, detail, "metadata")
            if self._is_newer(signed):
                self._check_continues(signed.code, participants)
                path = list_path(signed.code)
                self._files.write_target(path, metadata.targets[path], signed.content)
                write(self._list_path(signed.code, signed.version), signed.metadata)

    def list_version(self, code: str) -> int:
        """Return the version of a node's list that is there; 0 if there is none."""
        return self._files.version(node_role(code))

    def _is_newer(self, signed: SignedList) -> bool:
        version = self.list_version(signed.code)
        if version < signed.version <= version + MAX_STEP:
            return True
        if signed.version == version and self._list_path(signed.code, version).read_bytes() == signed.metadata:
            return False
        detail = f"version {signed.version} of the list of node {signed.code} does not follow version {version}"
        raise Refusal(ErrorCode.BAD_DIRECTORY, detail, "metadata")

    def _check_continues(self, code: str, participants: ParticipantList) -> None:
        try:
            before = self.signed_list(code)
            said = before.participants
        except Refusal:
            return  # there is none, or none that any reader takes
        # Of a key that the founders have replaced: whoever stole it must not bind the node by what he said.
        if self._may_sign(before):
            participants.check_continues(said)

    def _list_path(self, code: str, version: int) -> Path:
        return self._files.metadata / f"{version}.{node_role(code)}.json"

    def list_of(self, code: str) -> ParticipantList:
        """Return a node's list as it was signed last.

        Raises:
            Refusal: NOT_FOUND, there is none; BAD_DIRECTORY, it cannot be read.
        """
        return self.signed_list(code).participants

    def signed_list(self, code: str) -> SignedList:
        """Return the same as it was signed; refuses as `list_of` does."""
        role, path = node_role(code), list_path(code)
        if not self._files.version(role):
            raise Refusal(ErrorCode.NOT_FOUND, f"node {code} has published no list")
        content = self._files.read_target(path, self._files.read(Targets, role).signed)
        return SignedList.read(code, self._list_path(code, self._files.version(role)).read_bytes(), content)

    def federation(self) -> FederationList:
        """Return what the founders said last, signed by enough of them."""
        targets = self._files.read(Targets, TARGETS).signed
        return FederationList.parse(self._files.read_target(FEDERATION_PATH, targets), "federation")

    def pending_federation(self) -> FederationList | None:
        """Return what the founders are asked to sign, if they are.

        Raises:
            Refusal: BAD_DIRECTORY, it is not what the proposed metadata names, so not what they would sign.
        """
        proposed = self._files.read_pending(TARGETS)
        if proposed is None or not isinstance(proposed.signed, Targets):
            return None
        info = proposed.signed.targets.get(FEDERATION_PATH)
        if info is None:
            raise Refusal(ErrorCode.BAD_DIRECTORY, f"the proposal lists no {FEDERATION_PATH}", "folder")
        return FederationList.parse(self._proposed(info), FEDERATION_PATH)

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

    def publish(self, key: SigningKey, now: datetime, life: timedelta | None = None) -> None:
        """Take over what enough founders have signed, and sign which versions belong together.

        Args:
            key: the publisher's.
            now: the time.
            life: for how long it counts, if not for as long as is usual by hand.

        Raises:
            Refusal: BAD_INPUT, it is not the publisher's key, or the first root and targets lack signatures;
                BAD_DIRECTORY, what is signed does not follow what is published.
        """
        with self._files.alone():
            self._publish(key, now, life or lifetime(TIMESTAMP))

    def check_publisher(self, key: SigningKey) -> None:
        """Check that this key signs what is published, and that it can be written.

        Raises:
            Refusal: BAD_INPUT, it is not the publisher's key, or the folder cannot be written; NOT_FOUND, nothing was
                ever published.
        """
        self._check_publisher(key, self._files.read(Root, ROOT).signed)
        if not os.access(self._files.metadata, os.R_OK | os.W_OK | os.X_OK):
            raise Refusal(ErrorCode.BAD_INPUT, f"cannot write {self._files.metadata}", "folder")

    def renew(self, key: SigningKey, now: datetime, life: timedelta) -> datetime:
        """Sign anew what is published, if there is a new list or half of its life is over; return when that is next.

        What founders have signed stays pending: a half-signed proposal must not keep the rest from being renewed.

        Raises:
            Refusal: BAD_INPUT, it is not the publisher's key; NOT_FOUND, nothing was ever published.
        """
        with self._files.alone():
            self._check_publisher(key, self._files.read(Root, ROOT).signed)
            if due(self._files, now, life) <= now:
                release(self._files, signer_of(key), now, life)
            return due(self._files, now, life)

    def _publish(self, key: SigningKey, now: datetime, life: timedelta) -> None:
        new_root = self._complete(ROOT)
        root = new_root or self._read_or_refuse(ROOT)
        if not isinstance(root.signed, Root):
            raise Refusal(ErrorCode.BAD_DIRECTORY, "root.json holds something else", "folder")
        self._check_publisher(key, root.signed)
        new_targets = self._complete(TARGETS, root.signed)
        targets = new_targets or self._read_or_refuse(TARGETS)
        if state_of(TARGETS, targets, (root.signed,)).missing:
            # A new root may name new founders: they have to sign what the old ones said, or no client would take it.
            raise Refusal(ErrorCode.BAD_INPUT, "targets lack signatures of the founders of the new root", "founders")
        new = [each for each in (new_root, new_targets) if each is not None]
        for each in new:
            self._check_follows(each)
        for each in new:
            self._take_over(each)
        release(self._files, signer_of(key), now, life)

    def root(self) -> bytes:
        """Return the newest root: what is handed out by hand to those who join."""
        return (self._files.metadata / f"{self._files.version(ROOT)}.{ROOT}.json").read_bytes()

    def _check_publisher(self, key: SigningKey, root: Root) -> None:
        if signer_of(key).public_key.keyid not in root.roles[TIMESTAMP].keyids:
            raise Refusal(ErrorCode.BAD_INPUT, "this is not the publisher's key", "key")

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

    def _check_follows(self, metadata: Founded) -> None:
        """Check that what is proposed comes next after what is published, or is that: a crash may have come between.

        The folder is carried about. What was signed over an earlier state than that which is published would take back,
        unseen by those who signed it, what was published since.
        """
        role, version, published = (
            metadata.signed.type,
            metadata.signed.version,
            self._files.version(metadata.signed.type),
        )
        if version == published + 1:
            return
        if version != published or self._files.read_published(role).signed_bytes != metadata.signed_bytes:
            detail = f"the proposed {role} is version {version}, and version {published} is published: propose it anew"
            raise Refusal(ErrorCode.BAD_DIRECTORY, detail, "folder")

    def _take_over(self, metadata: Founded) -> None:
        signed = metadata.signed
        if isinstance(signed, Targets):
            content = self._proposed(signed.targets[FEDERATION_PATH])
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
            delegations.roles[role] = delegation(code, key.keyid)
        write(self._next, content)
        self._propose(Metadata(targets))
        write(self._files.pending / FEDERATION_PATH, content)
        self._next.unlink()

    @property
    def _next(self) -> Path:
        """What a proposal says, while it takes the place of another: they are two files."""
        return self._files.pending / f"next.{FEDERATION_PATH}"

    def _proposed(self, info: TargetFile) -> bytes:
        """Return what proposed metadata names, also if the proposing was broken off in between; as `read_listed`."""
        try:
            return read_listed(self._files.pending / FEDERATION_PATH, info)
        except Refusal:
            if not self._next.exists():
                raise
        return read_listed(self._next, info)

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

    def _may_sign(self, signed: SignedList) -> bool:
        """Whether a list bears a signature of the key that the founders' published word delegates to."""
        targets = self._files.read(Targets, TARGETS).signed
        metadata = Metadata[Targets].from_bytes(signed.metadata)
        try:
            targets.verify_delegate(node_role(signed.code), metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError):
            return False
        return True
