"""The federation's target keys: what authorities share so that equal targets can be told from others, and nobody else.

In: an epoch, a window, 32 secret bytes; or the content of a key file. Out: the same the other way round. Pure:
`gateway.keys` reads and writes the files, `gateway.targets` derives tokens. Refuses with KEY_FILE what is not exactly
of the form below.

A key is of one *epoch* and used for what is made within its window. The windows of two epochs overlap, and what is
made then carries tokens of both; so no request is left that cannot be compared with its neighbours in time. Epoch and
window are in the file, beside the secret: two authorities that mean different windows would refuse each other's
requests, so whoever hands a key on hands the window with it, and its id names both.

    -----BEGIN ROGATORY TARGET KEY-----
    base64 in lines of 64: epoch (4 bytes), window (from and until, seconds since 1970, 8 bytes each), secret (32)
    -----END ROGATORY TARGET KEY-----
"""

import base64
import hmac
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Final

from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Hidden
from gateway.identity import Role

SECRET_BYTES: Final = 32
MAX_EPOCH: Final = (1 << 32) - 1

ALGORITHM: Final = "HMAC-SHA-256"
"""As `rogatory keys status` and a locked file name it."""

HOLDERS: Final = frozenset(
    {Role.INVESTIGATOR, Role.CENTRAL_AUTHORITY, Role.COURT, Role.FIU, Role.CONTACT_POINT},
)
"""Who may hold a target key: whoever asks another State for something, and whoever is asked.

Nobody else: with the key, whoever sees a header can try public addresses until one fits.
"""

EPOCH: Final = timedelta(days=3 * 365)
"""How long a key is used unless somebody says otherwise: longer than most freezes stand, for a request is compared with
those alone that share an epoch with it."""

LEAST_OVERLAP: Final = timedelta(days=31)
"""For so long two epochs go side by side at least: longer than the 30 days for which a node takes what was made before
(`limits.max_age_days`), so that nobody dates a request back behind an overlap, to be compared with nothing."""

_FORM: Final = struct.Struct(f">IQQ{SECRET_BYTES}s")
_BEGIN: Final = b"-----BEGIN ROGATORY TARGET KEY-----"
_END: Final = b"-----END ROGATORY TARGET KEY-----"
_LINE: Final = 64
_ID: Final = b"rogatory/v1/target-key-id"


class TargetKey(Hidden):
    """One epoch's key.

    Args:
        epoch: its number, from 1.
        not_before: what is made from then on carries its tokens; whole seconds.
        not_after: what is made from then on does not.
        secret: 32 random bytes.

    Raises:
        Refusal: KEY_FILE, one of these is not so.
    """

    __slots__ = ("_secret", "epoch", "not_after", "not_before")

    def __init__(self, epoch: int, not_before: datetime, not_after: datetime, secret: bytes) -> None:
        if not 0 < epoch <= MAX_EPOCH or len(secret) != SECRET_BYTES:
            raise _bad("an epoch from 1 and 32 secret bytes are wanted")
        in_order = datetime(1970, 1, 1, tzinfo=UTC) <= not_before < not_after
        if not in_order or not_before.microsecond or not_after.microsecond:
            raise _bad("a window in whole seconds that ends after it begins is wanted")
        self.epoch: Final = epoch
        self.not_before: Final = not_before
        self.not_after: Final = not_after
        self._secret: Final = secret

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TargetKey) and hmac.compare_digest(self.dump(), other.dump())

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> bytes:
        """What people compare when they hand it on: 32 bytes that tell nothing of the secret, and change with all."""
        return hmac.digest(self._secret, _ID + _FORM.pack(*self._window(), bytes(SECRET_BYTES)), sha256)

    def covers(self, moment: datetime) -> bool:
        """Whether what is made then carries its tokens."""
        return self.not_before <= moment < self.not_after

    def reveal(self) -> bytes:
        """Return the secret. For the derivation of tokens alone."""
        return self._secret

    def dump(self) -> bytes:
        """Return the content of its file."""
        text = base64.b64encode(_FORM.pack(*self._window(), self._secret))
        return b"\n".join([_BEGIN, *(text[at : at + _LINE] for at in range(0, len(text), _LINE)), _END, b""])

    def _window(self) -> tuple[int, int, int]:
        return self.epoch, int(self.not_before.timestamp()), int(self.not_after.timestamp())


def is_target_key(content: bytes) -> bool:
    """Whether a file means to be of this form."""
    return content.startswith(_BEGIN)


def read(content: bytes) -> TargetKey:
    """Read a file's content.

    Raises:
        Refusal: KEY_FILE, it is not exactly as `TargetKey.dump` writes it.
    """
    try:
        body = content.removeprefix(_BEGIN).removesuffix(_END + b"\n")
        epoch, start, end, secret = _FORM.unpack(base64.b64decode(b"".join(body.split(b"\n")), validate=True))
        found = TargetKey(epoch, datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC), secret)
    except (ValueError, OverflowError, OSError, struct.error):
        # `from None`: the parser's words may hold what it read.
        raise _bad("not a readable target key") from None
    if not hmac.compare_digest(found.dump(), content):
        raise _bad("not a readable target key")
    return found


def in_force(keys: Iterable[TargetKey], moment: datetime) -> tuple[TargetKey, ...]:
    """Return the keys whose tokens a request carries that is made at a moment."""
    return tuple(key for key in keys if key.covers(moment))


def check_ring(keys: Sequence[TargetKey], roles: frozenset[Role]) -> None:
    """Check what one participant holds.

    1. It holds none unless all that it is, is an authority.
    2. Each epoch has one key.
    3. Neighbouring epochs overlap for `LEAST_OVERLAP`.

    Raises:
        Refusal: BAD_CONFIG.
    """
    if keys and not roles <= HOLDERS:  # (1)
        raise Refusal(ErrorCode.BAD_CONFIG, "only an authority may hold a target key", "target_keys")
    ordered = sorted(keys, key=lambda key: key.epoch)
    for one, next_one in pairwise(ordered):
        if one.epoch == next_one.epoch:  # (2)
            raise Refusal(ErrorCode.BAD_CONFIG, f"two target keys of epoch {one.epoch}", "target_keys")
        if next_one.epoch == one.epoch + 1 and one.not_after - next_one.not_before < LEAST_OVERLAP:  # (3)
            detail = f"epochs {one.epoch} and {next_one.epoch} overlap for less than {LEAST_OVERLAP.days} days"
            raise Refusal(ErrorCode.BAD_CONFIG, detail, "target_keys")


def _bad(detail: str) -> Refusal:
    return Refusal(ErrorCode.KEY_FILE, detail)
