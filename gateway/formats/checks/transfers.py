"""Moving what was frozen, and dividing what was recovered.

In: a `TransferOrder`, a `SharingStatement`. What is sent to a wrong address is gone, so a transfer has the checks of a
strong-room: two who approve, a third who reads the address back, a fourth who saw the key used; and time to think.
Source: house rules for transfers; Regulation (EU) 2018/1805 Art. 30(7), UNCAC Art. 57(3) for shares.
"""

import unicodedata
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups

from gateway.formats import wallets
from gateway.formats.checks import money
from gateway.formats.checks.certificates import check_states
from gateway.formats.checks.reports import check_executable
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

APPROVERS: Final = 2

WHOLE: Final = 10_000
"""Basis points."""

EU_THRESHOLD: Final = evidence.Money(currency="EUR", amount="10000")
"""2018/1805 Art. 30(7)."""


def check_transfer(sheet: Sheet, order: followups.TransferOrder) -> None:
    """A transfer to a wallet of the State."""
    for each, source in sheet.each("sources", order.sources):
        check_executable(each, source)
    check_executable(sheet.at("destination"), order.destination)
    sheet.need(
        Code.DESTINATION_IS_SOURCE,
        "destination",
        wallets.key(order.destination) not in map(wallets.key, order.sources),
        "the destination is one of the wallets that it comes from (house rule)",
    )
    _check_amounts(sheet, order)
    _check_people(sheet, order)
    _check_times(sheet, order)


def _check_amounts(sheet: Sheet, order: followups.TransferOrder) -> None:
    """Something moves, on the chain of the destination, and first a part of it."""
    for each, amount in sheet.each("amounts", order.amounts):
        each.need(Code.TRANSFER_OF_NOTHING, "base_units", money.units(amount), "nothing is to be moved (house rule)")
        each.need(
            Code.TRANSFER_ACROSS_CHAINS,
            "asset",
            money.chain_of(amount.asset) == order.destination.chain,
            "this asset is on another chain than the destination (house rule)",
        )
    if order.HasField("test_amount"):
        whole = money.by_asset(order.amounts).get(money.asset(order.test_amount.asset), 0)
        sheet.need(
            Code.TEST_AMOUNT_NOT_A_PART,
            "test_amount",
            0 < money.units(order.test_amount) < whole,
            "what goes first is a part of what is moved (house rule)",
        )


def _check_people(sheet: Sheet, order: followups.TransferOrder) -> None:
    """Four eyes approve; who reads back and who checked the proof are others."""
    approvers = {_person(each.name) for each in order.approvals}
    sheet.need(
        Code.APPROVERS_TOO_FEW, "approvals", len(approvers) >= APPROVERS, "two different persons approve (house rule)"
    )
    sheet.need(
        Code.READ_BACK_BY_APPROVER,
        "read_back.name",
        _person(order.read_back.name) not in approvers,
        "who reads the destination back is none of those who approve (house rule)",
    )
    sheet.need(
        Code.PROOF_CHECKED_BY_APPROVER,
        "proof.checked_by",
        _person(order.proof.checked_by) not in approvers,
        "who checked the proof is none of those who approve (house rule)",
    )


def _check_times(sheet: Sheet, order: followups.TransferOrder) -> None:
    """It is read back after the last approval, and then rests."""
    sheet.need(
        Code.READ_BACK_TOO_EARLY,
        "read_back.at_us",
        order.read_back.at_us >= max((each.at_us for each in order.approvals), default=0),
        "it is read back after the last approval (house rule)",
    )
    sheet.need(
        Code.COOLING_TOO_SHORT,
        "cooling_until_us",
        order.cooling_until_us > max(order.read_back.at_us, order.proof.checked_at_us),
        "the destination rests after it was proved and read back (house rule)",
    )
    sheet.when(order.HasField("not_before_us")).need(
        Code.TRANSFER_WHILE_COOLING,
        "not_before_us",
        order.not_before_us >= order.cooling_until_us,
        "nothing is moved while the destination rests (house rule)",
    )


def _person(name: str) -> str:
    """Return a name as the same person's in another spelling of case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def check_sharing(sheet: Sheet, statement: followups.SharingStatement) -> None:
    """How what was recovered is divided."""
    check_states(sheet, statement.issuing_state, statement.executing_state)
    sheet.need(
        Code.SHARES_NOT_WHOLE,
        "shares",
        sum(each.basis_points for each in statement.shares) == WHOLE,
        "the shares make 10 000 basis points together (house rule)",
    )
    seen = set[str]()
    for each, share in sheet.each("shares", statement.shares):
        each.need(Code.SHARE_TWICE, "state", share.state not in seen, "two shares of one State (house rule)")
        seen.add(share.state)
    _check_basis(sheet, statement)
    _check_net(sheet, statement)
    sheet.need(
        Code.PAYMENT_NOT_ONE,
        "bank_account",
        statement.HasField("bank_account") != statement.HasField("wallet"),
        "it is paid to an account or to a wallet, one of the two (house rule)",
    )
    if statement.HasField("wallet"):
        check_executable(sheet.at("wallet"), statement.wallet)
    sheet.need(
        Code.RATE_INCOMPLETE,
        "rate_date",
        bool(statement.rate_source) == bool(statement.rate_date),
        "a rate has a source and a day (2018/1805 Art. 18(3))",
    )


def _check_basis(sheet: Sheet, statement: followups.SharingStatement) -> None:
    """The shares are those of the basis (2018/1805 Art. 30(7); UNCAC Art. 57(3)(a))."""
    sheet.when(statement.basis == followups.SHARING_BASIS_AGREEMENT).need(
        Code.AGREEMENT_NOT_NAMED, "agreement_reference", statement.agreement_reference, "which agreement? (house rule)"
    )
    shares = {each.state: each.basis_points for each in statement.shares if each.basis_points}
    wanted = _eu_default(statement)
    sheet.when(statement.basis == followups.SHARING_BASIS_EU_DEFAULT and wanted).need(
        Code.SHARES_NOT_EU_DEFAULT,
        "shares",
        shares == wanted,
        "above EUR 10 000 half to the issuing State, else all to the executing State (2018/1805 Art. 30(7))",
    )
    sheet.when(statement.basis == followups.SHARING_BASIS_UNCAC_RETURN).need(
        Code.SHARES_NOT_RETURNED,
        "shares",
        shares == {statement.issuing_state: WHOLE},
        "embezzled public funds go back whole to the State that asks (UNCAC Art. 57(3)(a))",
    )


def _eu_default(statement: followups.SharingStatement) -> dict[str, int]:
    """Return the shares of Art. 30(7), or nothing where they cannot be told.

    The article counts "the amount obtained", and does not say whether before or after expenses and victims. Where the
    two lie on different sides of the threshold, or the sum is not in euro, this is no question for a machine.
    """
    above = {money.compare(each, EU_THRESHOLD) for each in (statement.gross, statement.net)}
    if above == {1}:
        return {statement.issuing_state: WHOLE // 2, statement.executing_state: WHOLE // 2}
    if above <= {0, -1}:
        return {statement.executing_state: WHOLE}
    return {}


def _check_net(sheet: Sheet, statement: followups.SharingStatement) -> None:
    """What is left is what came in, less expenses and victims, to the last digit (2018/1805 Art. 30, 31)."""
    lines = (
        *((f"expenses[{position}].amount", line.amount) for position, line in enumerate(statement.expenses)),
        *((f"victims[{position}].amount", line.amount) for position, line in enumerate(statement.victims)),
    )
    for field, amount in (*lines, ("net", statement.net)):
        sheet.need(
            Code.SEVERAL_CURRENCIES,
            f"{field}.currency",
            amount.currency == statement.gross.currency,
            "one currency throughout: say at which rate it was converted (house rule)",
        )
    sums = [money.value(each) for each in (statement.gross, statement.net, *(amount for _, amount in lines))]
    known = [each for each in sums if each is not None]
    sheet.need(
        Code.NET_NOT_WHAT_IS_LEFT,
        "net.amount",
        len(known) < len(sums) or known[0] - sum(known[2:]) == known[1],
        "the net is not what came in, less the lines above (house rule)",
    )


RULES: Final = (
    on(followups.TransferOrder, check_transfer),
    on(followups.SharingStatement, check_sharing),
)
