"""Logs in folders, as the writer's own code makes and signs them."""

from collections.abc import Sequence
from pathlib import Path

from nacl.signing import SigningKey

from gateway import merkle, tiles
from gateway.checkpoint import Checkpoint
from gateway.note import Note
from gateway.signer import KeySigner

KEY = KeySigner(SigningKey(bytes(range(32))))
STRANGER = KeySigner(SigningKey(bytes(32)))
ORIGIN = "ee.rogatory.test/log"
LEAVES = tuple(merkle.leaf_hash(b"%d" % each) for each in range(1500))
OTHER = merkle.leaf_hash(b"something else")


def signed(leaves: Sequence[bytes], origin: str = ORIGIN, key: KeySigner = KEY) -> Note:
    return Checkpoint(origin, len(leaves), merkle.root(leaves)).sign(key)


def publish(folder: Path, leaves: Sequence[bytes], note: Note | None = None) -> None:
    """Serve a log from a folder, as the writer's own code makes it, and sign it."""
    levels = [list(leaves)]
    while len(levels[-1]) >= 256:
        below = levels[-1]
        levels.append([merkle.root(below[at : at + 256]) for at in range(0, len(below) - 255, 256)])
    for tile in tiles.of_size(len(leaves)):
        first = tile.number * 256
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(levels[tile.level][first : first + tile.width]))
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint").write_bytes(bytes(note or signed(leaves)))
