"""Documents with one value that its own standard does not have, or one clock that its rule does not allow."""

from typing import Final

from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.formats.codes import Code
from tests.broken.case import Case
from tests.samples import parts

FREEZE: Final = ids.KIND_FREEZE_REQUEST
EVIDENCE: Final = ids.KIND_EVIDENCE_REQUEST
DECISION: Final = ids.KIND_REVIEW_DECISION
INFORMATION: Final = ids.KIND_SPONTANEOUS_INFORMATION
SHARING: Final = ids.KIND_SHARING_STATEMENT

START: Final = parts.at(3, 2, 8)

_VALUES: Final = (
    Case(
        "a country that is none",
        FREEZE,
        {"several_states.states[0].state": "ZZ"},
        Code.COUNTRY,
        "several_states.states[0].state",
    ),
    Case(
        "Greece as the EU writes it",
        FREEZE,
        {"several_states.states[0].state": "EL"},
        Code.COUNTRY,
        "several_states.states[0].state",
    ),
    Case(
        "a nationality that is none",
        FREEZE,
        {"persons[0].nationalities": ["EE", "QQ"]},
        Code.COUNTRY,
        "persons[0].nationalities[1]",
    ),
    Case(
        "a residence that is no country",
        FREEZE,
        {"persons[0].person.natural.country_of_residence": "QQ"},
        Code.COUNTRY,
        "persons[0].person.natural.country_of_residence",
    ),
    Case(
        "a currency that is none",
        FREEZE,
        {"several_states.states[0].value.currency": "BTC"},
        Code.CURRENCY,
        "several_states.states[0].value.currency",
    ),
    Case("a language that is none", EVIDENCE, {"language": "estonian-please"}, Code.LANGUAGE, "language"),
    Case("the 30th of February", SHARING, {"rate_date": "2027-02-30"}, Code.DATE, "rate_date"),
    Case(
        "an IBAN with a digit wrong",
        SHARING,
        {"bank_account.iban": "EE382200221020145686"},
        Code.IBAN_CHECK_DIGITS,
        "bank_account.iban",
    ),
    Case(
        "an IBAN too short for its country",
        SHARING,
        {"bank_account.iban": "EE3822002210201456"},
        Code.IBAN_CHECK_DIGITS,
        "bank_account.iban",
    ),
    Case("a BIC of no country", SHARING, {"bank_account.bic": "HABAXX2X"}, Code.BIC_FORMAT, "bank_account.bic"),
    Case(
        "an LEI with a digit wrong",
        INFORMATION,
        {"wallets[0].provider_lei": "529900T8BM49AURSDO56"},
        Code.LEI_CHECK_DIGITS,
        "wallets[0].provider_lei",
    ),
    Case(
        "a canonical address that is another's",
        INFORMATION,
        {"wallets[0].canonical": parts.STATE_WALLET.address},
        Code.CANONICAL_CONTRADICTS,
        "wallets[0].canonical",
    ),
    Case(
        "an executable address with a wrong checksum",
        INFORMATION,
        {"wallets[0].address": parts.MISSPELT_WALLET.address},
        Code.ADDRESS_CHECKSUM,
        "wallets[0].address",
    ),
    Case(
        "bitcoin with 18 decimals",
        ids.KIND_CLAIM,
        {"amounts": [evidence.AssetAmount(asset=parts.bitcoin("1").asset, base_units="1", decimals=18)]},
        Code.DECIMALS_CONTRADICT_ASSET,
        "amounts[0].decimals",
    ),
    Case(
        "a token of Ethereum with a wrong checksum",
        ids.KIND_CLAIM,
        {
            "amounts": [
                evidence.AssetAmount(asset="eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831eC7", base_units="1")
            ]
        },
        Code.ADDRESS_CHECKSUM,
        "amounts[0].asset",
    ),
    Case(
        "a balance change of solana's coin with eight decimals",
        INFORMATION,
        {"transactions[3].balance_changes[1].decimals": 8},
        Code.DECIMALS_CONTRADICT_ASSET,
        "transactions[3].balance_changes[1].decimals",
    ),
    Case(
        "a fee on another chain",
        INFORMATION,
        {"transactions[0].fee": parts.ether("1")},
        Code.TRANSACTION_ACROSS_CHAINS,
        "transactions[0].fee.asset",
    ),
    Case(
        "a balance change on another chain",
        INFORMATION,
        {
            "transactions[3].balance_changes[0].asset": parts.ether("1").asset,
            "transactions[3].balance_changes[0].decimals": 18,
        },
        Code.TRANSACTION_ACROSS_CHAINS,
        "transactions[3].balance_changes[0].asset",
    ),
    Case(
        "two amounts of one asset in one list",
        ids.KIND_CLAIM,
        {"amounts": [parts.bitcoin("1"), parts.bitcoin("2")]},
        Code.ASSET_TWICE,
        "amounts[1].asset",
    ),
    Case(
        "a transaction of one chain that moves an asset of another",
        INFORMATION,
        {"transactions[0].outputs[0].amount": parts.ether("1")},
        Code.TRANSACTION_ACROSS_CHAINS,
        "transactions[0].outputs[0].amount.asset",
    ),
    Case(
        "observed three hours before its block",
        INFORMATION,
        {"transactions[0].observed_at_us": parts.at(2, 12, 7, 41)},
        Code.OBSERVED_BEFORE_BLOCK,
        "transactions[0].observed_at_us",
    ),
    Case(
        "in a block, with no confirmation",
        INFORMATION,
        {"transactions[0].confirmations": 0},
        Code.CONFIRMATIONS_CONTRADICT,
        "transactions[0].confirmations",
    ),
)


def _decided(start: int, due: int, met: int | None = None) -> dict[str, object]:
    return {"clocks": [parts.clock(measures.CLOCK_RULE_URGENT_DECISION, start, due, met)]}


_CLOCKS: Final = (
    Case(
        "a time limit that ends when it begins",
        DECISION,
        _decided(START, START),
        Code.CLOCK_ENDS_BEFORE_START,
        "clocks[0].due_us",
    ),
    Case("47 hours to decide", DECISION, _decided(START, parts.at(3, 4, 7)), Code.CLOCK_TOO_SHORT, "clocks[0].due_us"),
    Case("50 hours to decide", DECISION, _decided(START, parts.at(3, 4, 10)), Code.CLOCK_TOO_LONG, "clocks[0].due_us"),
    Case(
        "met before it began",
        DECISION,
        _decided(START, parts.at(3, 4, 8), parts.at(3, 2, 7)),
        Code.CLOCK_MET_BEFORE_START,
        "clocks[0].met_at_us",
    ),
    Case(
        "a court with an hour for terrorist content",
        DECISION,
        {"clocks": [parts.clock(measures.CLOCK_RULE_TERRORIST_CONTENT, START, parts.at(3, 2, 9))]},
        Code.CLOCK_MISPLACED,
        "clocks[0].rule",
    ),
    Case(
        "two time limits of one rule",
        DECISION,
        {"clocks": [parts.clock(measures.CLOCK_RULE_URGENT_DECISION, START, parts.at(3, 4, 8))] * 2},
        Code.CLOCK_TWICE,
        "clocks[1].rule",
    ),
    Case(
        "the time to execute begins before the decision",
        DECISION,
        {
            "clocks": [
                parts.clock(measures.CLOCK_RULE_URGENT_EXECUTION, START, parts.at(3, 4, 8)),
                parts.clock(measures.CLOCK_RULE_URGENT_DECISION, START, parts.at(3, 4, 8), parts.at(3, 3, 8)),
            ]
        },
        Code.EXECUTION_NOT_FROM_DECISION,
        "clocks[0].start_us",
    ),
)

CASES: Final = (*_VALUES, *_CLOCKS)
