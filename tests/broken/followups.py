"""What follows a freeze, with one fault each."""

from typing import Final

from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.codes import Code
from tests.broken.case import Case
from tests.samples import parts

EXTENSION: Final = ids.KIND_EXTENSION
LIMITATION: Final = ids.KIND_LIMITATION
TO_LIMIT: Final = ids.KIND_LIMITATION_REQUEST
CLAIM: Final = ids.KIND_CLAIM
RESTITUTION: Final = ids.KIND_RESTITUTION_DECISION
TRANSFER: Final = ids.KIND_TRANSFER_ORDER
SHARING: Final = ids.KIND_SHARING_STATEMENT
CUSTODY: Final = ids.KIND_CUSTODY_EVENT

EU_DEFAULT: Final = {"basis": followups.SHARING_BASIS_EU_DEFAULT}
SMALL: Final = EU_DEFAULT | {
    "gross": parts.euros("10000.00"),
    "net": parts.euros("10000.00"),
    "expenses": None,
    "victims": None,
}
HANDED_OVER: Final = {"action": followups.CUSTODY_ACTION_TRANSFERRED, "alteration": ""}


def _digest(algorithm: followups.HashAlgorithm.ValueType, size: int) -> followups.EvidenceHash:
    return followups.EvidenceHash(algorithm=algorithm, digest=bytes(size))


SHA256: Final = _digest(followups.HASH_ALGORITHM_SHA256, 32)

_FREEZES: Final = (
    Case(
        "extended to an earlier day",
        EXTENSION,
        {"extended_to_us": parts.at(3, 3, 16, year=2027)},
        Code.EXTENDED_BACKWARDS,
        "extended_to_us",
    ),
    Case("extended after it had ended", EXTENSION, {"decided_on": "2027-03-05"}, Code.EXTENDED_AFTER_END, "decided_on"),
    Case(
        "limited, and not how far",
        LIMITATION,
        {"limited_to_us": None, "amounts": None},
        Code.LIMITATION_TO_NOTHING,
        "limited_to_us",
    ),
    Case(
        "an exchange is told that another State has six weeks to answer",
        LIMITATION,
        {"clock": parts.clock(measures.CLOCK_RULE_LIMITATION_ANSWER, parts.at(6, 1), parts.at(7, 13))},
        Code.CLOCK_MISPLACED,
        "clock.rule",
    ),
    Case(
        "limited, and only asked for",
        LIMITATION,
        {"step": followups.LIMITATION_STEP_REQUESTED},
        Code.LIMITATION_UNDECIDED,
        "step",
    ),
    Case(
        "to be limited, and not how far",
        TO_LIMIT,
        {"limited_to_us": None, "amounts": None},
        Code.LIMITATION_TO_NOTHING,
        "limited_to_us",
    ),
    Case(
        "to be limited, with the time of a confiscation",
        TO_LIMIT,
        {"clock": parts.clock(measures.CLOCK_RULE_CONFISCATION_DECISION, parts.at(6, 1), parts.at(7, 16))},
        Code.CLOCK_MISPLACED,
        "clock.rule",
    ),
    Case(
        "withdrawn for another reason, untold",
        ids.KIND_WITHDRAWAL,
        {"reason": followups.WITHDRAWAL_REASON_OTHER, "explanation": ""},
        Code.WITHDRAWAL_UNEXPLAINED,
        "explanation",
    ),
    Case(
        "a claim that is decided when it is made",
        CLAIM,
        {"outcome": followups.CLAIM_OUTCOME_ALLOWED},
        Code.CLAIM_ALREADY_DECIDED,
        "outcome",
    ),
    Case(
        "a decision on a claim, and not what",
        ids.KIND_CLAIM_DECISION,
        {"outcome": followups.CLAIM_OUTCOME_UNSPECIFIED},
        Code.CLAIM_UNDECIDED,
        "outcome",
    ),
    Case("a victim who lost by no transaction", CLAIM, {"loss_txids": None}, Code.LOSS_NOT_SHOWN, "loss_txids"),
    Case(
        "a victim whose loss nobody traced",
        CLAIM,
        {"tracing_method": followups.TRACING_METHOD_UNSPECIFIED},
        Code.LOSS_NOT_TRACED,
        "tracing_method",
    ),
    Case(
        "a condition left open",
        RESTITUTION,
        {"title_contested": parties.YES_OR_NO_UNSPECIFIED},
        Code.RESTITUTION_CONDITION_UNANSWERED,
        "title_contested",
    ),
    *(
        Case(
            f"returned now, although {condition}",
            RESTITUTION,
            {condition: parties.YES_OR_NO_YES},
            Code.RETURNED_DESPITE_CONDITION,
            condition,
        )
        for condition in ("title_contested", "needed_as_evidence", "rights_prejudiced")
    ),
    Case(
        "two amounts of one asset released",
        ids.KIND_RELEASE,
        {"amounts": [parts.bitcoin("1"), parts.bitcoin("1")]},
        Code.ASSET_TWICE,
        "amounts[1].asset",
    ),
)

_TRANSFERS: Final = (
    Case(
        "to an address with a wrong checksum",
        TRANSFER,
        {"destination": parts.MISSPELT_WALLET, "destination.source": ""},
        Code.WALLET_ONLY_QUOTED,
        "destination.quoted_because",
    ),
    Case(
        "to the wallet that it comes from",
        TRANSFER,
        {"destination": parts.DEPOSIT_WALLET},
        Code.DESTINATION_IS_SOURCE,
        "destination",
    ),
    Case(
        "nothing is moved",
        TRANSFER,
        {"amounts": [parts.bitcoin("0")], "test_amount": None},
        Code.TRANSFER_OF_NOTHING,
        "amounts[0].base_units",
    ),
    Case(
        "ether to a bitcoin address",
        TRANSFER,
        {"amounts": [parts.bitcoin("1100000000"), parts.ether("1")]},
        Code.TRANSFER_ACROSS_CHAINS,
        "amounts[1].asset",
    ),
    Case(
        "a test of all of it",
        TRANSFER,
        {"test_amount": parts.bitcoin("1100000000")},
        Code.TEST_AMOUNT_NOT_A_PART,
        "test_amount",
    ),
    Case(
        "a test of another asset",
        TRANSFER,
        {"test_amount": parts.ether("1")},
        Code.TEST_AMOUNT_NOT_A_PART,
        "test_amount",
    ),
    Case(
        "one person approves twice, under two spellings",
        TRANSFER,
        {"approvals[1].name": "  DR. UTE   SANDER"},
        Code.APPROVERS_TOO_FEW,
        "approvals",
    ),
    Case(
        "read back by who approved",
        TRANSFER,
        {"read_back.name": "holger petersen"},
        Code.READ_BACK_BY_APPROVER,
        "read_back.name",
    ),
    Case(
        "proof checked by who approved",
        TRANSFER,
        {"proof.checked_by": "Dr. Ute Sander"},
        Code.PROOF_CHECKED_BY_APPROVER,
        "proof.checked_by",
    ),
    Case(
        "read back before the last approval",
        TRANSFER,
        {"read_back.at_us": parts.at(3, 22, 11, 30, year=2027)},
        Code.READ_BACK_TOO_EARLY,
        "read_back.at_us",
    ),
    Case(
        "no rest after it was read back",
        TRANSFER,
        {"cooling_until_us": parts.at(3, 22, 13, year=2027)},
        Code.COOLING_TOO_SHORT,
        "cooling_until_us",
    ),
    Case(
        "moved while it rests",
        TRANSFER,
        {"not_before_us": parts.at(3, 24, 12, year=2027)},
        Code.TRANSFER_WHILE_COOLING,
        "not_before_us",
    ),
)

_SHARES: Final = (
    Case("a State shares with itself", SHARING, {"executing_state": "EE"}, Code.STATES_SAME, "executing_state"),
    Case("shares of 9 999 basis points", SHARING, {"shares[1].basis_points": 4999}, Code.SHARES_NOT_WHOLE, "shares"),
    Case("two shares of one State", SHARING, {"shares[1].state": "EE"}, Code.SHARE_TWICE, "shares[1].state"),
    Case(
        "by an agreement, unnamed",
        SHARING,
        {"agreement_reference": ""},
        Code.AGREEMENT_NOT_NAMED,
        "agreement_reference",
    ),
    Case(
        "70 to 30 by the default of the EU",
        SHARING,
        EU_DEFAULT | {"shares[0].basis_points": 3000, "shares[1].basis_points": 7000},
        Code.SHARES_NOT_EU_DEFAULT,
        "shares",
    ),
    Case("halves of EUR 10 000 by the default of the EU", SHARING, SMALL, Code.SHARES_NOT_EU_DEFAULT, "shares"),
    Case(
        "halves of less by the default of the EU",
        SHARING,
        SMALL | {"gross": parts.euros("9999.99"), "net": parts.euros("9999.99")},
        Code.SHARES_NOT_EU_DEFAULT,
        "shares",
    ),
    Case(
        "embezzled funds go back by half",
        SHARING,
        {"basis": followups.SHARING_BASIS_UNCAC_RETURN},
        Code.SHARES_NOT_RETURNED,
        "shares",
    ),
    Case(
        "expenses in another currency",
        SHARING,
        {"expenses[0].amount.currency": "CHF"},
        Code.SEVERAL_CURRENCIES,
        "expenses[0].amount.currency",
    ),
    Case(
        "what is left is in another currency",
        SHARING,
        {"net.currency": "CHF"},
        Code.SEVERAL_CURRENCIES,
        "net.currency",
    ),
    Case("a cent has been lost", SHARING, {"net.amount": "799999.99"}, Code.NET_NOT_WHAT_IS_LEFT, "net.amount"),
    Case("paid to nobody", SHARING, {"bank_account": None}, Code.PAYMENT_NOT_ONE, "bank_account"),
    Case("paid to two", SHARING, {"wallet": parts.STATE_WALLET}, Code.PAYMENT_NOT_ONE, "bank_account"),
    Case(
        "paid to an address with a wrong checksum",
        SHARING,
        {"bank_account": None, "wallet": parts.MISSPELT_WALLET},
        Code.WALLET_ONLY_QUOTED,
        "wallet.quoted_because",
    ),
    Case("a rate of no day", SHARING, {"rate_date": ""}, Code.RATE_INCOMPLETE, "rate_date"),
)

_CUSTODY: Final = (
    Case("from nobody", CUSTODY, HANDED_OVER | {"from_holder": ""}, Code.HOLDERS_MISSING, "from_holder"),
    Case(
        "returned to nobody",
        CUSTODY,
        HANDED_OVER | {"action": followups.CUSTODY_ACTION_RETURNED, "to_holder": ""},
        Code.HOLDERS_MISSING,
        "to_holder",
    ),
    Case(
        "from one to the same",
        CUSTODY,
        HANDED_OVER | {"to_holder": "landeskriminalamt hamburg, LKA 54 "},
        Code.HOLDERS_SAME,
        "to_holder",
    ),
    Case("altered, and not what", CUSTODY, {"alteration": ""}, Code.ALTERATION_UNEXPLAINED, "alteration"),
    Case(
        "looked at, and altered",
        CUSTODY,
        {"action": followups.CUSTODY_ACTION_ACCESSED},
        Code.ALTERATION_DENIED,
        "alteration",
    ),
    Case(
        "no SHA-256",
        CUSTODY,
        {"hashes": [_digest(followups.HASH_ALGORITHM_BLAKE3, 32)]},
        Code.DIGEST_SHA256_MISSING,
        "hashes",
    ),
    Case(
        "SHA-256 with MD5 and SHA-1 only",
        CUSTODY,
        {
            "hashes": [
                SHA256,
                _digest(followups.HASH_ALGORITHM_MD5, 16),
                _digest(followups.HASH_ALGORITHM_SHA1, 20),
            ]
        },
        Code.DIGEST_SECOND_MISSING,
        "hashes",
    ),
    Case(
        "a SHA-512 of 32 bytes",
        CUSTODY,
        {"hashes": [SHA256, _digest(followups.HASH_ALGORITHM_SHA512, 32)]},
        Code.DIGEST_LENGTH,
        "hashes[1].digest",
    ),
    Case(
        "two digests of one function",
        CUSTODY,
        {"hashes": [SHA256, _digest(followups.HASH_ALGORITHM_SHA3_256, 32), SHA256]},
        Code.DIGEST_TWICE,
        "hashes[2].algorithm",
    ),
)

CASES: Final = (*_FREEZES, *_TRANSFERS, *_SHARES, *_CUSTODY)
