"""What exchanges answer: what became of each wallet, and what they hand over.

In: an `ExecutionReport`, a `Disclosure`. Source: Regulation (EU) 2018/1805 Art. 7(2), 13; Regulation (EU) 2023/1543
Annex III; house rules, where they are marked so.
"""

import re
from collections.abc import Iterator
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import orders_pb2 as orders

from gateway.formats import progress, wallets
from gateway.formats.addresses import private_keys
from gateway.formats.checks import clocks, money, scope
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

_WITH_SHORTFALL: Final = frozenset({orders.FREEZE_STATUS_PARTIALLY_FROZEN, orders.FREEZE_STATUS_INSUFFICIENT_BALANCE})
_WITH_OBJECTION: Final = frozenset({orders.FREEZE_STATUS_OBJECTED, orders.FREEZE_STATUS_CLARIFICATION})

_HOLDING: Final = frozenset({ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING})

_HASH: Final = re.compile(r"\b(?:0x)?[0-9a-fA-F]{64}\b")
"""Customers quote the hashes of their transfers to support; as hex digits, these look like private keys."""

_SCANNED: Final = private_keys.MOST_SCANNED
_OVERLAP: Final = 256


def check_report(sheet: Sheet, report: orders.ExecutionReport) -> None:
    """A report as a whole."""
    statuses = {result.status for result in report.results}
    sheet.when(statuses & _WITH_OBJECTION).need(
        Code.OBJECTION_MISSING,
        "objections",
        report.objections,
        "something stands in the way, and nobody says what (2023/1543 Annex III section D)",
    )
    sheet.when(orders.FREEZE_STATUS_CLARIFICATION in statuses and report.objections).need(
        Code.CLARIFICATION_NOT_ASKED,
        "objections",
        any(each.clarification_asked for each in report.objections),
        "say what is asked (2023/1543 Annex III section F)",
    )
    sheet.when(_HOLDING & set(report.measures)).need(
        Code.HELD_WITHOUT_RESULTS,
        "results",
        report.results,
        "something is held, and no wallet has a result (2018/1805 Art. 7(2))",
    )
    sheet.when(report.HasField("estimated_value")).need(
        Code.VALUE_WITHOUT_PROPERTY, "property", report.property, "of what is this the value? (2018/1805 Art. 7(2))"
    )
    clocks.check_list(sheet, report.clocks, clocks.BETWEEN_STATES)


def check_result(sheet: Sheet, result: orders.FreezeResult) -> None:
    """What became of one wallet."""
    sheet.when(result.status == orders.FREEZE_STATUS_ALREADY_MOVED).need(
        Code.MOVED_WITHOUT_HASHES, "moved_in", result.moved_in, "by which transactions did it leave? (house rule)"
    )
    sheet.when(result.status in _WITH_SHORTFALL).need(
        Code.SHORTFALL_MISSING, "shortfall", result.shortfall, "how much is not there? (house rule)"
    )
    sheet.when(result.status == orders.FREEZE_STATUS_FROZEN).need(
        Code.SHORTFALL_THOUGH_FROZEN,
        "shortfall",
        not result.shortfall,
        "it is frozen in full, yet something is missing (house rule)",
    )
    _check_amounts(sheet, result)
    sheet.when(result.HasField("bonded_until_us") and result.HasField("frozen_at_us")).need(
        Code.BONDED_BEFORE_FROZEN,
        "bonded_until_us",
        result.bonded_until_us > result.frozen_at_us,
        "what was free again when it was frozen is not bonded (house rule)",
    )
    _check_steps(sheet, result)


def _check_amounts(sheet: Sheet, result: orders.FreezeResult) -> None:
    """No more is frozen than was there, asset by asset, where the report says what was there."""
    available = money.by_asset(result.available)
    for each, frozen in sheet.when(available).each("frozen", result.frozen):
        each.need(
            Code.FROZEN_ABOVE_AVAILABLE,
            "base_units",
            money.units(frozen) <= available.get(money.asset(frozen.asset), 0),
            "more is frozen than was there (house rule)",
        )


def _check_steps(sheet: Sheet, result: orders.FreezeResult) -> None:
    """From receipt to status, by the table of moves, in the order of time."""
    if not result.steps:
        return
    sheet.need(
        Code.STATUS_BEGINS_ELSEWHERE,
        "steps[0].status",
        result.steps[0].status == progress.FIRST,
        "a freeze begins with the receipt of its order (house rule)",
    )
    for position, (before, after) in enumerate(zip(result.steps, result.steps[1:], strict=False), start=1):
        sheet.need(
            Code.STATUS_MOVE_NOT_ALLOWED,
            f"steps[{position}].status",
            progress.may_follow(before.status, after.status),
            "this status does not follow from the one before (house rule)",
        )
        sheet.need(
            Code.STATUS_BEFORE_PREVIOUS,
            f"steps[{position}].at_us",
            before.at_us <= after.at_us,
            "it comes before the step that it follows (house rule)",
        )
    sheet.need(
        Code.STATUS_NOT_OF_LAST_STEP,
        "status",
        result.status == result.steps[-1].status,
        "not the status it came to (house rule)",
    )


def check_disclosure(sheet: Sheet, disclosure: orders.Disclosure) -> None:
    """What is handed over: of the classes named, of their time, and field by field."""
    named = set(disclosure.data_classes)
    answered = {each.data_class for each in disclosure.fields}
    for field, data_class in SECTIONS:
        given = any(found.name == field for found, _ in disclosure.ListFields())
        sheet.when(given).need(
            Code.SECTION_OF_UNNAMED_CLASS, field, data_class in named, "data of a class that is not named (house rule)"
        )
        answered |= {data_class} if given else set()
    for position, data_class in enumerate(disclosure.data_classes):
        sheet.need(
            Code.CLASS_UNANSWERED,
            f"data_classes[{position}]",
            data_class in answered,
            "there are neither data of this class nor a word on them (house rule)",
        )
    scope.check_windows(sheet, disclosure.windows, disclosure.data_classes)
    _check_times(sheet, disclosure)
    _check_fields(sheet, disclosure)
    for each, wallet in sheet.each("deposit_addresses", disclosure.deposit_addresses):
        check_executable(each, wallet)


def check_executable(sheet: Sheet, wallet: evidence.WalletIdentifier) -> None:
    """A wallet is one to which something can be done."""
    sheet.need(
        Code.WALLET_ONLY_QUOTED,
        "quoted_because",
        wallets.is_executable(wallet),
        "nothing can be done to a wallet that is only quoted (house rule)",
    )


SECTIONS: Final = (
    ("subscribers", ids.DATA_CLASS_SUBSCRIBER),
    ("accesses", ids.DATA_CLASS_IDENTIFICATION),
    ("transactions", ids.DATA_CLASS_TRANSACTIONAL),
    ("ledger", ids.DATA_CLASS_TRANSACTIONAL),
    ("deposit_addresses", ids.DATA_CLASS_TRANSACTIONAL),
    ("withdrawal_addresses", ids.DATA_CLASS_TRANSACTIONAL),
    ("balances", ids.DATA_CLASS_BALANCE),
    ("contents", ids.DATA_CLASS_CONTENT),
)


def dated(told: orders.Disclosure | orders.ExecutionReport) -> Iterator[tuple[str, int, int]]:
    """Yield every record with a time: its position, its class, its time; when an account was opened is no such time."""
    for position, record in enumerate(told.transactions):
        if record.HasField("block_time_us"):
            yield f"transactions[{position}].block_time_us", ids.DATA_CLASS_TRANSACTIONAL, record.block_time_us
        elif record.HasField("observed_at_us") and not _is_in_block(record):
            yield f"transactions[{position}].observed_at_us", ids.DATA_CLASS_TRANSACTIONAL, record.observed_at_us
    if isinstance(told, orders.Disclosure):
        yield from _dated_by_provider(told)


def undated(told: orders.Disclosure | orders.ExecutionReport) -> Iterator[str]:
    """Yield the position of every transaction that tells no time: its block's, or when it was seen to be in none."""
    for position, record in enumerate(told.transactions):
        if not record.HasField("block_time_us") and (_is_in_block(record) or not record.HasField("observed_at_us")):
            yield f"transactions[{position}].block_time_us"


def _is_in_block(record: evidence.TransactionRecord) -> bool:
    return bool(record.block_hash) or record.HasField("slot")


def is_of_time(window: measures.DataWindow, at_us: int) -> bool:
    """Whether an instant is within a window: from the first, up to and without the last."""
    return window.from_us <= at_us and (not window.HasField("until_us") or at_us < window.until_us)


def _dated_by_provider(disclosure: orders.Disclosure) -> Iterator[tuple[str, int, int]]:
    for position, access in enumerate(disclosure.accesses):
        yield f"accesses[{position}].at_us", ids.DATA_CLASS_IDENTIFICATION, access.at_us
    for position, entry in enumerate(disclosure.ledger):
        yield f"ledger[{position}].at_us", ids.DATA_CLASS_TRANSACTIONAL, entry.at_us
    for position, balance in enumerate(disclosure.balances):
        yield f"balances[{position}].at_us", ids.DATA_CLASS_BALANCE, balance.at_us
    for position, content in enumerate(disclosure.contents):
        yield f"contents[{position}].at_us", ids.DATA_CLASS_CONTENT, content.at_us


def _check_times(sheet: Sheet, disclosure: orders.Disclosure) -> None:
    """Nothing from outside the time that it says; whether that is the one ordered: `documents.check_times`."""
    windows = {window.data_class: window for window in disclosure.windows}
    for field, data_class, at_us in dated(disclosure):
        window = windows.get(ids.DataClass.ValueType(data_class))
        inside = window is None or is_of_time(window, at_us)
        sheet.need(Code.RECORD_OUTSIDE_WINDOW, field, inside, "it is not of the time that was ordered (house rule)")


def _check_fields(sheet: Sheet, disclosure: orders.Disclosure) -> None:
    """Field by field: each once, and what is held back with a reason."""
    seen = set[tuple[int, str]]()
    for each, report in sheet.each("fields", disclosure.fields):
        each.when(report.answer == orders.FIELD_ANSWER_WITHHELD).need(
            Code.WITHHELD_WITHOUT_REASON, "reason", report.reason, "why is it held back? (house rule)"
        )
        each.when(report.answer == orders.FIELD_ANSWER_SUPPLIED).need(
            Code.FIELD_OF_UNNAMED_CLASS,
            "data_class",
            report.data_class in disclosure.data_classes,
            "a field of a class that is not named (house rule)",
        )
        key = (report.data_class, report.name.casefold())
        each.need(Code.FIELD_REPORTED_TWICE, "name", key not in seen, "this field is reported twice (house rule)")
        seen.add(key)


def check_entry(sheet: Sheet, entry: orders.LedgerEntry) -> None:
    """An entry says what came in or went out (house rule)."""
    came, went, fiat = entry.HasField("credited"), entry.HasField("debited"), entry.HasField("fiat")
    wanted = {
        orders.LEDGER_ENTRY_TYPE_DEPOSIT: came,
        orders.LEDGER_ENTRY_TYPE_WITHDRAWAL: went,
        orders.LEDGER_ENTRY_TYPE_TRADE: came + went + fiat > 1,
        orders.LEDGER_ENTRY_TYPE_INTERNAL_TRANSFER: came or went,
        orders.LEDGER_ENTRY_TYPE_FIAT_IN: fiat,
        orders.LEDGER_ENTRY_TYPE_FIAT_OUT: fiat,
    }
    sheet.need(
        Code.LEDGER_ENTRY_INCOMPLETE,
        "type",
        wanted.get(entry.type, True),
        "an entry of this type says what came in or went out (house rule)",
    )


def check_content(sheet: Sheet, content: orders.ContentRecord) -> None:
    """No key or seed is handed over, even in a customer's own message (house rule)."""
    text = _HASH.sub(" ", content.text)
    found = any(
        private_keys.recognise(text[start : start + _SCANNED]) for start in range(0, len(text), _SCANNED - _OVERLAP)
    )
    sheet.need(
        Code.SECRET_IN_TEXT, "text", not found, "there is a key or seed in it: it is never handed over (house rule)"
    )


RULES: Final = (
    on(orders.ExecutionReport, check_report),
    on(orders.FreezeResult, check_result),
    on(orders.Disclosure, check_disclosure),
    on(orders.LedgerEntry, check_entry),
    on(orders.ContentRecord, check_content),
)
