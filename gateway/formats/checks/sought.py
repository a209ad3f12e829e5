"""What is sought, and where else: sections D and G of both certificates.

In: `PropertySought`, `SeveralStates`. Notes what contradicts itself or leaves a question open. Sections are those of
Regulation (EU) 2018/1805 Annex I, and of Annex II, where those of the two agree.
"""

from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks.money import compare
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

YES: Final = parties.YES_OR_NO_YES
NO: Final = parties.YES_OR_NO_NO

_FOR_ITEMS: Final = frozenset(
    {certificates.SEVERAL_STATES_REASON_ITEMS_IN_SEVERAL, certificates.SEVERAL_STATES_REASON_ACTION_IN_SEVERAL}
)
_FOR_MONEY: Final = frozenset(
    {certificates.SEVERAL_STATES_REASON_VALUE_INSUFFICIENT, certificates.SEVERAL_STATES_REASON_NOT_FROZEN}
)


def check_property(sheet: Sheet, sought: certificates.PropertySought) -> None:
    """Section D: money with its amounts, items one by one; equivalent value is of one or the other (D2, D3)."""
    money = sought.kind == certificates.PROPERTY_KIND_MONEY
    item = sought.kind == certificates.PROPERTY_KIND_ITEM
    value = sought.kind == certificates.PROPERTY_KIND_EQUIVALENT_VALUE
    summed = sought.HasField("amount") or sought.HasField("total")
    of_money = sheet.when(money or (value and (summed or not sought.items)))
    for field in ("amount", "total"):
        of_money.need(
            Code.MONEY_WITHOUT_AMOUNT,
            field,
            any(found.name == field for found, _ in sought.ListFields()),
            "an order about money states the amount for this State and the total (Annex I section D2)",
        )
    of_money.need(
        Code.MONEY_WITHOUT_WORDS,
        "amount_in_words",
        sought.amount_in_words,
        "state the amount in words, too (Annex I section D2)",
    )
    of_money.need(
        Code.MONEY_WITHOUT_GROUNDS,
        "grounds",
        sought.grounds,
        "state the grounds to believe that property is there (Annex I section D2)",
    )
    sheet.when(item).need(
        Code.ITEMS_MISSING, "items", sought.items, "an order about items names them (Annex I section D3)"
    )
    sheet.when(item).need(
        Code.PROPERTY_OF_OTHER_KIND, "amount", not summed, "an order about items states no amount (Annex I section D1)"
    )
    sheet.when(money).need(
        Code.PROPERTY_OF_OTHER_KIND,
        "items",
        not sought.items,
        "an order about money names no items (Annex I section D1)",
    )
    if sought.HasField("amount") and sought.HasField("total"):
        _check_total(sheet, sought.amount, sought.total)


def _check_total(sheet: Sheet, amount: evidence.Money, total: evidence.Money) -> None:
    """D2: what is asked of one State is part of the whole."""
    sheet.need(
        Code.TOTAL_IN_OTHER_CURRENCY,
        "total.currency",
        amount.currency == total.currency,
        "amount and total are in the currency of the order (Annex I section D2)",
    )
    sheet.need(
        Code.TOTAL_BELOW_AMOUNT,
        "total.amount",
        (compare(total, amount) or 0) >= 0,
        "the total is at least the amount asked of this State (Annex I section D2, 2018/1805 Art. 16(2))",
    )


def check_item(sheet: Sheet, item: certificates.PropertyItem) -> None:
    """D3: a belief has its grounds."""
    sheet.when(item.ground == certificates.LOCATION_GROUND_BELIEVED).need(
        Code.BELIEF_WITHOUT_GROUNDS,
        "grounds",
        item.grounds,
        "state the grounds to believe that it is there (Annex I section D3)",
    )


def check_several(sheet: Sheet, several: certificates.SeveralStates) -> None:
    """Section G: other States and the reason, or neither."""
    yes, no = sheet.when(several.sent == YES), sheet.when(several.sent == NO)
    yes.need(Code.SEVERAL_STATES_NOT_NAMED, "states", several.states, "name the other States (Annex I section G1)")
    yes.need(
        Code.SEVERAL_STATES_WITHOUT_REASON, "reason", several.reason, "say why it goes to several (Annex I section G2)"
    )
    no.need(
        Code.SEVERAL_STATES_DENIED,
        "sent",
        not (several.states or several.reason),
        "it was sent to no other State, yet one or a reason is given (Annex I section G)",
    )
    sheet.when(several.reason == certificates.SEVERAL_STATES_REASON_OTHER).need(
        Code.SEVERAL_STATES_UNEXPLAINED,
        "explanation",
        several.explanation,
        "explain the specific need (Annex I section G2)",
    )


def check_several_of(
    sheet: Sheet,
    several: certificates.SeveralStates,
    sought: certificates.PropertySought,
    parties_to_it: frozenset[str],
    *,
    confiscation: bool,
) -> None:
    """Section G against A and D: other States are others, and the reason is one of this kind of order (Art. 5, 15)."""
    for position, other in enumerate(several.states):
        sheet.need(
            Code.OTHER_STATE_IS_PARTY,
            f"several_states.states[{position}].state",
            other.state not in parties_to_it,
            "the other States are others than these two (Annex I section G1)",
        )
    sheet.when(not confiscation).need(
        Code.REASON_OF_CONFISCATION,
        "several_states.reason",
        several.reason != certificates.SEVERAL_STATES_REASON_NOT_FROZEN,
        "this reason is one for a confiscation only (2018/1805 Art. 15(3)(a); Annex II section G2)",
    )
    wrong = {
        certificates.PROPERTY_KIND_MONEY: _FOR_ITEMS,
        certificates.PROPERTY_KIND_ITEM: _FOR_MONEY,
    }.get(sought.kind, frozenset())
    sheet.need(
        Code.REASON_OF_OTHER_PROPERTY,
        "several_states.reason",
        several.reason not in wrong,
        "money and items go to several States for different reasons (2018/1805 Art. 5, 15; Annex I section G2)",
    )


RULES: Final = (
    on(certificates.PropertySought, check_property),
    on(certificates.PropertyItem, check_item),
    on(certificates.SeveralStates, check_several),
)
