"""How a freeze is carried out, and of what time data are: messages that requests and orders share.

In: `FreezeScope`, `DataWindow`, `Confidentiality`. Notes what contradicts itself, or the document that it stands in.
House rules all, from the practice of exchanges.
"""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

_CAPPED: Final = frozenset({measures.FREEZE_EXTENT_VALUE_CAP, measures.FREEZE_EXTENT_INCOMING_UP_TO_CAP})

_BLOCKED_BY: Final = MappingProxyType(
    {
        ids.MEASURE_BLOCK_WITHDRAWAL: frozenset({measures.ACCOUNT_ACTION_WITHDRAW}),
        ids.MEASURE_BLOCK_CONVERSION: frozenset({measures.ACCOUNT_ACTION_TRADE, measures.ACCOUNT_ACTION_CONVERT}),
    }
)
"""What a measure forbids, so that no scope may allow it."""


def check_scope(sheet: Sheet, scope: measures.FreezeScope) -> None:
    """How much: amounts for PER_ASSET, a sum and its conversion for a cap, and neither for the rest."""
    per_asset = scope.extent == measures.FREEZE_EXTENT_PER_ASSET
    capped = scope.extent in _CAPPED
    sheet.when(per_asset).need(
        Code.SCOPE_AMOUNTS_MISSING, "amounts", scope.amounts, "say how much of which asset (house rule)"
    )
    sheet.when(not per_asset).need(
        Code.SCOPE_AMOUNTS_UNASKED,
        "amounts",
        not scope.amounts,
        "amounts belong to a freeze asset by asset (house rule)",
    )
    sheet.when(capped).need(
        Code.SCOPE_CAP_MISSING, "value_cap", scope.HasField("value_cap"), "say up to which sum (house rule)"
    )
    sheet.when(capped).need(
        Code.SCOPE_CAP_MISSING,
        "valuation_method",
        scope.valuation_method,
        "say at which price the cap is converted (house rule)",
    )
    sheet.when(not capped).need(
        Code.SCOPE_CAP_UNASKED,
        "value_cap",
        not scope.HasField("value_cap"),
        "a sum belongs to a freeze up to a cap (house rule)",
    )
    sheet.when(scope.target == measures.FREEZE_TARGET_TOKEN_CONTRACT_ADDRESS).need(
        Code.TOKEN_ADDRESS_NOT_WHOLE,
        "extent",
        scope.extent == measures.FREEZE_EXTENT_FULL,
        "a token's contract freezes a whole address, never a part (house rule)",
    )
    sheet.need(
        Code.BLOCKED_AND_ALLOWED,
        "allowed",
        not set(scope.blocked) & set(scope.allowed),
        "the same is blocked and allowed (house rule)",
    )


def check_against_measures(sheet: Sheet, scope: measures.FreezeScope, asked: Sequence[ids.Measure.ValueType]) -> None:
    """A scope says how a measure is carried out: there is one, and it does not allow what that forbids."""
    sheet.need(
        Code.SCOPE_WITHOUT_MEASURE, "scope", asked, "it says how to freeze, and no measure is named (house rule)"
    )
    sheet.when(scope.extent == measures.FREEZE_EXTENT_INCOMING_UP_TO_CAP).need(
        Code.INCOMING_NOT_HELD,
        "scope.extent",
        ids.MEASURE_HOLD_INCOMING in asked,
        "it is to hold what comes in, and that measure is not named (house rule)",
    )
    forbidden = {action for measure in asked for action in _BLOCKED_BY.get(measure, ())}
    sheet.need(
        Code.SCOPE_ALLOWS_WHAT_IS_BLOCKED,
        "scope.allowed",
        not forbidden & set(scope.allowed),
        "it allows what a measure blocks (house rule)",
    )


def check_windows(sheet: Sheet, windows: Iterable[measures.DataWindow], classes: Sequence[int]) -> None:
    """One window a class, and only for classes that are named."""
    seen = set[int]()
    for each, window in sheet.each("windows", windows):
        each.need(
            Code.WINDOW_OF_OTHER_CLASS,
            "data_class",
            window.data_class in classes,
            "a window for data not named here (house rule)",
        )
        each.need(
            Code.WINDOW_TWICE,
            "data_class",
            window.data_class not in seen,
            "two windows for one class of data (house rule)",
        )
        seen.add(window.data_class)


def check_window(sheet: Sheet, window: measures.DataWindow | measures.DataIdentifier) -> None:
    """A time begins before it ends."""
    sheet.when(window.HasField("from_us") and window.HasField("until_us")).need(
        Code.WINDOW_EMPTY, "until_us", window.from_us < window.until_us, "this time ends before it begins (house rule)"
    )


RULES: Final = (
    on(measures.FreezeScope, check_scope),
    on(measures.DataWindow, check_window),
    on(measures.DataIdentifier, check_window),
)
