"""Logs for tests: entries, checkpoints and proofs, made in memory; and what somebody else made of the same log."""

from dataclasses import dataclass

from nacl.signing import SigningKey

from gateway import merkle, tiles
from gateway.checkpoint import Checkpoint
from gateway.signer import KeySigner
from gateway.witness import Request

ORIGIN = "ee.rogatory.test/log"


@dataclass(frozen=True)
class Log:
    """A log that can be asked for anything; `name` makes its entries other ones."""

    key: SigningKey
    origin: str = ORIGIN
    name: str = "entry"

    def leaves(self, size: int) -> list[bytes]:
        return [merkle.leaf_hash(f"{self.name} {index}".encode()) for index in range(size)]

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, merkle.root(self.leaves(size)))

    def note(self, size: int) -> bytes:
        return bytes(self.checkpoint(size).sign(KeySigner(self.key)))

    def proof(self, old_size: int, size: int) -> tuple[bytes, ...]:
        leaves = self.leaves(size)
        return tuple(tiles.consistency(lambda _, start, stop: whole(leaves, start, stop), old_size, size))

    def request(self, old_size: int, size: int) -> Request:
        """Return what asks a witness that has cosigned the old size."""
        return Request(old_size, self.proof(old_size, size) if 0 < old_size <= size else (), self.note(size))


def whole(leaves: list[bytes], start: int, stop: int) -> list[bytes]:
    """Return leaf hashes; logs here are smaller than what a hash of level 1 is over."""
    assert len(leaves) < tiles.WIDTH
    return leaves[start:stop]
