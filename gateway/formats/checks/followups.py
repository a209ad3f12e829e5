"""What follows a freeze: longer, shorter, ended, claimed, given back; and the custody of evidence.

In: documents of followups.proto, but for transfers and shares (`transfers`). Source: Regulation (EU) 2018/1805 Art. 12,
27 and 29; ISO/IEC 27037; house rules, where they are marked so.
"""

from types import MappingProxyType
from typing import Final

from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks import clocks, consequences, days
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

_DIGEST_BYTES: Final = MappingProxyType(
    {
        followups.HASH_ALGORITHM_SHA256: 32,
        followups.HASH_ALGORITHM_SHA512: 64,
        followups.HASH_ALGORITHM_SHA3_256: 32,
        followups.HASH_ALGORITHM_BLAKE3: 32,
        followups.HASH_ALGORITHM_MD5: 16,
        followups.HASH_ALGORITHM_SHA1: 20,
    }
)
_SECOND: Final = frozenset(
    {followups.HASH_ALGORITHM_SHA512, followups.HASH_ALGORITHM_SHA3_256, followups.HASH_ALGORITHM_BLAKE3}
)
_CHANGES_HANDS: Final = frozenset({followups.CUSTODY_ACTION_TRANSFERRED, followups.CUSTODY_ACTION_RETURNED})
_LIMITS: Final = frozenset({followups.LIMITATION_STEP_REQUESTED, followups.LIMITATION_STEP_LIMITED})


def check_extension(sheet: Sheet, extension: followups.Extension) -> None:
    """A later end, decided before the earlier one came."""
    sheet.need(
        Code.EXTENDED_BACKWARDS,
        "extended_to_us",
        extension.extended_to_us > extension.expires_at_us,
        "an extension ends later than the freeze would have (house rule)",
    )
    sheet.need(
        Code.EXTENDED_AFTER_END,
        "decided_on",
        days.after_day(extension.expires_at_us, extension.decided_on),
        "it was decided after the freeze had ended: then it takes a new order (house rule)",
    )


def check_limitation_request(sheet: Sheet, request: followups.LimitationRequest) -> None:
    """A request to limit says how far, and gives the issuer six weeks (2018/1805 Art. 12(2))."""
    _check_limits(sheet, request)
    clocks.check_place(sheet, "clock", request.clock, clocks.OF_LIMITATION)


def check_limitation(sheet: Sheet, limitation: followups.Limitation) -> None:
    """A limitation says how far. An exchange is served with it, so it has no time limit of the States (house rule)."""
    _check_limits(sheet.when(limitation.step in _LIMITS), limitation)
    if limitation.HasField("clock"):
        clocks.check_place(sheet, "clock", limitation.clock, clocks.DOMESTIC)


def _check_limits(sheet: Sheet, limited: followups.LimitationRequest | followups.Limitation) -> None:
    sheet.need(
        Code.LIMITATION_TO_NOTHING,
        "limited_to_us",
        limited.HasField("limited_to_us") or limited.amounts,
        "until when, or to which amounts? (2018/1805 Art. 12(2))",
    )


def check_withdrawal(sheet: Sheet, withdrawal: followups.Withdrawal) -> None:
    """Another reason is explained (2018/1805 Art. 27)."""
    sheet.when(withdrawal.reason == followups.WITHDRAWAL_REASON_OTHER).need(
        Code.WITHDRAWAL_UNEXPLAINED, "explanation", withdrawal.explanation, "which other reason? (2018/1805 Art. 27)"
    )


def check_claim(sheet: Sheet, claim: followups.Claim) -> None:
    """A victim says by which transactions it was lost, and how it was traced."""
    victim = sheet.when(claim.capacity == followups.CLAIM_CAPACITY_VICTIM)
    victim.need(Code.LOSS_NOT_SHOWN, "loss_txids", claim.loss_txids, "by which transactions was it lost? (house rule)")
    victim.need(Code.LOSS_NOT_TRACED, "tracing_method", claim.tracing_method, "how was it traced? (house rule)")


def check_restitution(sheet: Sheet, decision: followups.RestitutionDecision) -> None:
    """The three conditions are answered, and nothing is returned while one stands (2018/1805 Art. 29(2))."""
    consequences.check_conditions(sheet, decision)
    for field, answer in (
        ("title_contested", decision.title_contested),
        ("needed_as_evidence", decision.needed_as_evidence),
        ("rights_prejudiced", decision.rights_prejudiced),
    ):
        sheet.when(decision.return_now).need(
            Code.RETURNED_DESPITE_CONDITION,
            field,
            answer != parties.YES_OR_NO_YES,
            "nothing is returned now while this stands against it (2018/1805 Art. 29(2))",
        )


def check_custody(sheet: Sheet, event: followups.CustodyEvent) -> None:
    """One event: hands, alteration, digests (ISO/IEC 27037)."""
    moved = sheet.when(event.action in _CHANGES_HANDS)
    moved.need(Code.HOLDERS_MISSING, "from_holder", event.from_holder, "from whom? (house rule)")
    moved.need(Code.HOLDERS_MISSING, "to_holder", event.to_holder, "to whom? (house rule)")
    moved.when(event.from_holder and moved.counts).need(
        Code.HOLDERS_SAME,
        "to_holder",
        event.from_holder.strip().casefold() != event.to_holder.strip().casefold(),
        "it changed hands, from one to the same (house rule)",
    )
    altered = event.action == followups.CUSTODY_ACTION_ALTERED
    sheet.when(altered).need(
        Code.ALTERATION_UNEXPLAINED, "alteration", event.alteration, "say what was altered, and why (ISO/IEC 27037)"
    )
    sheet.when(not altered).need(
        Code.ALTERATION_DENIED,
        "alteration",
        not event.alteration,
        "altered, and the action does not say so (ISO/IEC 27037)",
    )
    _check_digests(sheet, event)


def _check_digests(sheet: Sheet, event: followups.CustodyEvent) -> None:
    """SHA-256 and a second good one; MD5 and SHA-1 beside these only."""
    made = [each.algorithm for each in event.hashes]
    sheet.need(
        Code.DIGEST_SHA256_MISSING,
        "hashes",
        followups.HASH_ALGORITHM_SHA256 in made,
        "a digest with SHA-256 is needed (house rule)",
    )
    sheet.need(
        Code.DIGEST_SECOND_MISSING,
        "hashes",
        _SECOND & set(made),
        "a second digest is needed: SHA-512, SHA3-256 or BLAKE3 (house rule)",
    )
    for each, (position, digest) in sheet.each("hashes", enumerate(event.hashes)):
        each.need(
            Code.DIGEST_LENGTH,
            "digest",
            len(digest.digest) == _DIGEST_BYTES.get(digest.algorithm, len(digest.digest)),
            "not as long as digests of this function are (FIPS 180-4, FIPS 202)",
        )
        each.need(
            Code.DIGEST_TWICE,
            "algorithm",
            digest.algorithm not in made[:position],
            "two digests of one function (house rule)",
        )


RULES: Final = (
    on(followups.Extension, check_extension),
    on(followups.LimitationRequest, check_limitation_request),
    on(followups.Limitation, check_limitation),
    on(followups.Withdrawal, check_withdrawal),
    on(followups.Claim, check_claim),
    on(followups.RestitutionDecision, check_restitution),
    on(followups.CustodyEvent, check_custody),
)
