"""Words that the makers and the readers of a signed directory share: roles, paths, lifetimes, sizes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tuf.api.metadata import Root, Signed, Snapshot, Targets, Timestamp

ROOT: Final = Root.type
TARGETS: Final = Targets.type
SNAPSHOT: Final = Snapshot.type
TIMESTAMP: Final = Timestamp.type
TOP_LEVEL: Final = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)

FEDERATION_PATH: Final = "federation.json"

LIFETIMES: Final = {
    # People have to meet for these two.
    ROOT: timedelta(days=1095),
    TARGETS: timedelta(days=365),
    # Nobody can hold one back for longer than its timestamp allows; the signing node renews it with that.
    SNAPSHOT: timedelta(days=7),
    # A stale copy can be passed off as the newest for so long. This is for publishing by hand, once a month; a node
    # that publishes for all says in its settings how much sooner.
    TIMESTAMP: timedelta(days=30),
}
NODE_LIFETIME: Final = timedelta(days=90)

WARN_BEFORE: Final = {ROOT: timedelta(days=90), TARGETS: timedelta(days=60)}
WARN_BEFORE_OTHERS: Final = timedelta(days=10)
WARN_PART: Final = 3
"""What is signed for a short time is warned of when a third of that is left: below the half at which it is renewed."""

LIFE_FIELD: Final = "x-rogatory-life-seconds"
"""In signed metadata: for how long it was signed. TUF tells the end alone, and admits further fields (section 4.1)."""

MAX_METADATA_BYTES: Final = {
    ROOT: 256 << 10,
    TIMESTAMP: 16 << 10,
    SNAPSHOT: 256 << 10,  # a hundred bytes for each node
    TARGETS: 1 << 20,  # half a KiB for each node
}
MAX_FILE_BYTES: Final = 16 << 20
"""`federation.json`."""

MAX_LIST_BYTES: Final = 4 << 20
"""A node's list of participants, as `OfferRequest.list` takes it; an entry takes about one KiB."""

MOST_GROWN_BYTES: Final = MAX_LIST_BYTES * 3 // 4
"""So far may newcomers and new keys fill a list. The rest is for revocations: whoever could fill all of it could let
nobody be put out any more."""

HASH: Final = "sha256"
"""By which files are named and found, and no other."""


def node_role(code: str) -> str:
    """Return the role whose key signs a node's list of participants."""
    return f"node-{code}"


def list_path(code: str) -> str:
    """Return the path of a node's list of participants, the only one that its role may sign."""
    return f"participants/{code}.json"


def lifetime(role: str) -> timedelta:
    """Return for how long a role signs."""
    return LIFETIMES.get(role, NODE_LIFETIME)


def expire_after(signed: Signed, life: timedelta, now: datetime) -> None:
    """Let metadata count for so long from now on."""
    signed.expires = now + life  # whole seconds; TUF cuts the rest (section 4.2.1)
    signed.unrecognized_fields[LIFE_FIELD] = max(1, int(life.total_seconds()))


def life_of(signed: Signed) -> timedelta | None:
    """Return for how long metadata was signed, if it says so. Only warnings go by it."""
    seconds = signed.unrecognized_fields.get(LIFE_FIELD)
    return timedelta(seconds=seconds) if isinstance(seconds, int) and 0 < seconds <= _MAX_LIFE_SECONDS else None


_MAX_LIFE_SECONDS: Final = 10**9


@dataclass(frozen=True, slots=True)
class RoleAge:
    """One role's metadata: how new it is, and until when it counts.

    Args:
        role: its name.
        version: its version.
        expires: from then on it is refused.
        life: for how long it was signed; None if it does not say.
    """

    role: str
    version: int
    expires: datetime
    life: timedelta | None = None

    @classmethod
    def of(cls, role: str, signed: Signed) -> "RoleAge":
        """Return that of a role's metadata."""
        return cls(role, signed.version, signed.expires, life_of(signed))

    def warning(self, now: datetime) -> str | None:
        """Return a sentence for the operator if it ends soon: long before it does, where people must meet."""
        if now >= self.expires:
            return f"the directory's role {self.role} expired on {self.expires:%Y-%m-%d %H:%M %Z}"
        if self.expires - now >= self.warn_before():
            return None
        return f"the directory's role {self.role} expires on {self.expires:%Y-%m-%d %H:%M %Z}"

    def warn_before(self) -> timedelta:
        """Return how long before its end it is warned of."""
        usual = WARN_BEFORE.get(self.role, WARN_BEFORE_OTHERS)
        return usual if self.life is None else min(usual, self.life / WARN_PART)
