"""What the publisher signs: which versions belong together, and which snapshot of them is the newest.

In: a repository's files, the publisher's key, for how long the newest counts, the time. Out: a snapshot, if there is
anything new or the last one ends soon, and a timestamp; or when the next one is due. Refuses what `Files` refuses.

Sources: TUF specification 1.0.31, sections 4.4 (snapshot), 4.6 (timestamp) and 6.2 (writing consistent snapshots).
"""

from datetime import datetime, timedelta
from typing import Final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp

from gateway.trust.files import Files, parse, write
from gateway.trust.roles import SNAPSHOT, TARGETS, TIMESTAMP, expire_after, life_of, lifetime
from gateway.trust.signing import READABLE

KEPT: Final = 32
"""Versions of a snapshot or list that stay, for who is reading them at this moment."""

_SECOND: Final = timedelta(seconds=1)


def release(files: Files, signer: CryptoSigner, now: datetime, life: timedelta) -> None:
    """Sign what is there as the newest.

    Args:
        files: of the repository; its writer holds it alone.
        signer: the publisher's key.
        now: the time.
        life: for how long nobody need be told anything newer.
    """
    meta, before = _meta(files), _snapshot(files)
    if before is None or before.meta != meta or before.expires - now < max(_life(before) / 2, life):
        version = before.version + 1 if before else 1
        snapshot = Metadata(Snapshot(version, meta=meta))
        expire_after(snapshot.signed, max(lifetime(SNAPSHOT), life), now)
        snapshot.sign(signer)
        write(files.metadata / f"{version}.{SNAPSHOT}.json", snapshot.to_bytes(READABLE))
    latest = _timestamp(files)
    timestamp = Metadata(Timestamp(latest.version + 1 if latest else 1))
    expire_after(timestamp.signed, life, now)
    timestamp.signed.snapshot_meta = files.meta(SNAPSHOT)
    timestamp.sign(signer)
    write(files.metadata / f"{TIMESTAMP}.json", timestamp.to_bytes(READABLE))  # last: from now on clients see the rest
    for name in (f"{SNAPSHOT}.json", *meta):
        # Founders' words stay: the chain of roots is read from its beginning. A list itself says all that it ever said.
        if name != f"{TARGETS}.json":
            files.prune(name.removesuffix(".json"), KEPT)


def due(files: Files, now: datetime, life: timedelta) -> datetime:
    """Return when the next release is due: now, if something is new; else halfway through the timestamp's life."""
    timestamp, snapshot = _timestamp(files), _snapshot(files)
    if timestamp is None or snapshot is None or snapshot.meta != _meta(files):
        return now
    if timestamp.snapshot_meta != files.meta(SNAPSHOT):
        return now  # a crash came between the two
    if timestamp.expires - now > life + _SECOND:
        return now  # signed by hand, for longer than is wanted here: so long could news be held back
    return timestamp.expires - life / 2


def _meta(files: Files) -> dict[str, MetaFile]:
    targets = files.read(Targets, TARGETS).signed
    roles = {TARGETS, *(targets.delegations.roles or {} if targets.delegations else {})}
    before = _snapshot(files)
    if before is not None:
        # What was listed once is listed for ever: clients take its absence for an attack (5.5.5).
        roles |= {name.removesuffix(".json") for name in before.meta}
    return {f"{role}.json": files.meta(role) for role in sorted(roles) if files.version(role)}


def _snapshot(files: Files) -> Snapshot | None:
    return files.read(Snapshot, SNAPSHOT).signed if files.version(SNAPSHOT) else None


def _timestamp(files: Files) -> Timestamp | None:
    path = files.metadata / f"{TIMESTAMP}.json"
    return parse(Timestamp, path).signed if path.exists() else None


def _life(snapshot: Snapshot) -> timedelta:
    return life_of(snapshot) or lifetime(SNAPSHOT)
