"""Stage 4, verify: claims become facts.

In: a `Permit`. Out: a `VerifiedEnvelope`: its sender signed this header, its payload and slots are the ones that the
header names, and it is fresh. Refuses with STALE, EXPIRED, BAD_SIGNATURE and KEY_REVOKED.

The costly part is one Ed25519 check a signature, about 42 microseconds each. So the stage has two halves: `examine`
does all else and says what is left to check, which is then done for a whole frame, elsewhere (`gateway.checking`), and
`conclude` takes the answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rogatory.v1 import envelope_pb2 as pb

from gateway import envelope
from gateway.authenticate import Peer
from gateway.authorise import Permit
from gateway.clock import MICROS, to_micros
from gateway.config import Limits
from gateway.directory import Directory
from gateway.ed25519 import Check, holds
from gateway.errors import ErrorCode, Refusal
from gateway.rules import Rule

MICROS_A_DAY: Final = 24 * 3600 * MICROS


@dataclass(frozen=True, slots=True)
class VerifiedEnvelope:
    """An envelope that is what it says. Made by `verify` alone."""

    peer: Peer
    rules: tuple[Rule, ...]
    envelope: pb.SignedEnvelope = field(repr=False)
    header: pb.Header
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Examined:
    """An envelope of which only `checks` are left to be done. Made by `examine` alone."""

    permit: Permit
    checks: tuple[Check, ...] = field(repr=False)


def examine(permit: Permit, directory: Directory, limits: Limits, now: datetime) -> Examined:
    """Check all that takes no Ed25519.

    1. It was not made in the future, nor too long ago. Its id guards against replay for ever, so this is only about
       wrong clocks and forgotten drafts.
    2. It has not expired.
    3. Digests are right, and there are signatures with keys that were valid when it was made: `envelope.checks`.
    4. At the sender's own node, no key that signed it has been revoked since: `created_at` is what the sender says, and
       whoever stole a key, his own or that of one who countersigns, would say what suits him.

    Raises:
        Refusal: STALE, EXPIRED, BAD_SIGNATURE or KEY_REVOKED.
    """
    claimed = permit.claimed
    header = claimed.header
    made_us, now_us = header.created_at_us, to_micros(now)
    # (1)
    if made_us > now_us + limits.max_skew_seconds * MICROS:
        detail = f"made more than max_skew_seconds = {limits.max_skew_seconds} in the future"
        raise Refusal(ErrorCode.STALE, detail, "created_at_us")
    if made_us < now_us - limits.max_age_days * MICROS_A_DAY:
        detail = f"made more than max_age_days = {limits.max_age_days} ago"
        raise Refusal(ErrorCode.STALE, detail, "created_at_us")
    # (2)
    if header.HasField("expires_at_us") and header.expires_at_us <= now_us:
        raise Refusal(ErrorCode.EXPIRED, "it had expired before it came", "expires_at_us")
    # (3)
    checks = envelope.checks(claimed.envelope, header, claimed.digests, directory.signing_key)
    # (4)
    if not permit.peer.address.is_node:
        for signed in claimed.envelope.signatures:
            directory.check_not_revoked(signed.signer, signed.key_id, now)
    return Examined(permit, checks)


def conclude(examined: Examined, valid: Mapping[Check, bool]) -> VerifiedEnvelope:
    """Take the answers to the checks that were left, wherever they were done.

    Raises:
        Refusal: BAD_SIGNATURE.
    """
    permit, claimed = examined.permit, examined.permit.claimed
    envelope.conclude(claimed.envelope, [valid[check] for check in examined.checks])
    return VerifiedEnvelope(permit.peer, permit.rules, claimed.envelope, claimed.header, claimed.fingerprint)


def verify(permit: Permit, directory: Directory, limits: Limits, now: datetime) -> VerifiedEnvelope:
    """Examine, check and conclude, one envelope alone.

    Raises:
        Refusal: STALE, EXPIRED, BAD_SIGNATURE or KEY_REVOKED.
    """
    examined = examine(permit, directory, limits, now)
    return conclude(examined, {check: holds(check) for check in examined.checks})
