"""Who has signed a role's metadata, and how many more are needed.

In: metadata, and what decides about it. Out: counts, and key ids of the valid signatures. Refuses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from gateway.trust.roles import RoleAge, life_of


@dataclass(frozen=True, slots=True)
class Signatures:
    """How far the signing of one role's metadata has come.

    Args:
        role: its name.
        version: of its metadata.
        expires: from then on it is refused.
        threshold: how many signatures are needed.
        signed: key ids whose signatures are valid.
        missing: how many more are needed.
        pending: it is not published yet.
        life: for how long it is signed; None if it does not say.
        digest: SHA-256 of what is signed, hexadecimal: the same for all who sign the same.
    """

    role: str
    version: int
    expires: datetime
    threshold: int
    signed: tuple[str, ...]
    missing: int
    pending: bool
    life: timedelta | None
    digest: str

    def warning(self, now: datetime) -> str | None:
        """Return a sentence if it ends soon, or is not signed by enough."""
        if self.missing:
            return f"{self.role} version {self.version} lacks {self.missing} signature(s)"
        return RoleAge(self.role, self.version, self.expires, self.life).warning(now)


def state_of(
    role: str,
    metadata: Metadata[Root] | Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp],
    judges: Sequence[Root | Targets],
    *,
    pending: bool = False,
) -> Signatures:
    """Return how far it has come.

    Args:
        role: its name.
        metadata: what is signed.
        judges: whose thresholds must all be met.
        pending: it is not published yet.
    """
    signed = metadata.signed_bytes
    results = [judge.get_verification_result(role, signed, metadata.signatures) for judge in judges]
    return Signatures(
        role=role,
        version=metadata.signed.version,
        expires=metadata.signed.expires,
        threshold=max(result.threshold for result in results),
        signed=tuple(sorted({keyid for result in results for keyid in result.signed})),
        missing=max(max(0, result.threshold - len(result.signed)) for result in results),
        pending=pending,
        life=life_of(metadata.signed),
        digest=sha256(signed).hexdigest(),
    )
