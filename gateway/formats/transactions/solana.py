"""Transactions as Solana nodes tell them.

In: what `getBlock` and `getTransaction` answer, with encoding `json` or `jsonParsed`. Out: one record a transaction:
what each account gained or lost of the coin, and each token account of its token. Accounts that stay as they were are
left out. `getTransaction` names the slot of its block and not the block. Refuses the whole answer if a transaction has
no signature, no `meta` (then nobody can say what moved), balances that do not match its accounts, or if coins come out
of nowhere.

Source: Solana RPC documentation, getBlock, getTransaction and its transaction structures; SPL Token, `Mint` (decimals
are one byte; more than a record can hold are left out, and the base units stay exact).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import reading
from gateway.formats.amounts import MAX_DECIMALS
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common
from gateway.formats.transactions.common import Block, Origin

Json = Mapping[str, object]
Records = list[evidence.TransactionRecord]

SOFTWARE: Final = "Solana JSON-RPC"

MAX_ACCOUNTS: Final = 256
"""An account is named by one byte."""

MAX_LIST: Final = 100_000

_BASE58: Final = "[1-9A-HJ-NP-Za-km-z]"
_SIGNATURE: Final = re.compile(f"{_BASE58}{{64,88}}")
_KEY: Final = re.compile(f"{_BASE58}{{32,44}}")
_TOKEN_AMOUNT: Final = re.compile(r"0|[1-9][0-9]{0,19}")


def block(value: object, where: str, origin: Origin) -> Records:
    """Read an answer to `getBlock`.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    time, height = entry.get("blockTime"), entry.get("blockHeight")
    head = Block(
        hash=_key(entry.get("blockhash"), f"{where}.blockhash"),
        height=None if height is None else reading.whole(height, f"{where}.blockHeight", 64),
        time_us=None if time is None else common.seconds(time, f"{where}.blockTime"),
    )
    if _key(entry.get("previousBlockhash"), f"{where}.previousBlockhash") == head.hash:
        raise refuse(Code.TX_BLOCK_PREVIOUS, "a block before itself", f"{where}.previousBlockhash")
    listed = common.listed(entry.get("transactions"), f"{where}.transactions", MAX_LIST)
    made = common.each(listed, f"{where}.transactions", lambda one, at: [_transaction(one, at, head, origin)])
    for position, record in enumerate(made):
        record.block_index = position
    twice = common.first_twice(record.txid for record in made)
    if twice is not None:
        raise refuse(Code.TX_TWICE, "the block has this transaction already", f"{where}.transactions[{twice}]")
    return made


def transaction(value: object, where: str, origin: Origin) -> Records:
    """Read an answer to `getTransaction`.

    Raises:
        Refusal: with its rule.
    """
    entry = reading.entry(value, where)
    slot = reading.whole(common.told(entry.get("slot"), f"{where}.slot"), f"{where}.slot", 64)
    time = entry.get("blockTime")
    head = Block(slot=slot, time_us=None if time is None else common.seconds(time, f"{where}.blockTime"))
    return [_transaction(entry, where, head, origin)]


def _transaction(value: object, where: str, head: Block, origin: Origin) -> evidence.TransactionRecord:
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "solana", where)
    at = f"{where}.transaction"
    inner = common.told(entry.get("transaction"), at)
    if isinstance(inner, (list, str)):
        raise refuse(Code.TX_NOT_FULL, "the transaction is encoded; ask for json or jsonParsed", at)
    body = reading.entry(inner, at)
    signatures = common.listed(body.get("signatures"), f"{at}.signatures", MAX_ACCOUNTS)
    txid = reading.text(signatures[0] if signatures else None, f"{at}.signatures[0]", common.MAX_ADDRESS_CHARS)
    if not _SIGNATURE.fullmatch(txid):
        raise refuse(Code.TX_HASH_FORMAT, "a signature has 64 to 88 digits of base 58", f"{at}.signatures[0]")
    meta = reading.entry(common.told(entry.get("meta"), f"{where}.meta"), f"{where}.meta")
    made = common.start(chain, txid, head, origin, SOFTWARE)
    accounts = _accounts(body, meta, where)
    made.fee_payer = accounts[0]
    if "err" not in meta:
        raise refuse(Code.MISSING, "it is null where there was no error, not left out", f"{where}.meta.err")
    failed = meta["err"] is not None
    made.status = evidence.TRANSACTION_STATUS_FAILED if failed else evidence.TRANSACTION_STATUS_APPLIED
    fee = common.units(meta.get("fee"), chain, f"{where}.meta.fee")
    made.fee.CopyFrom(common.amount(fee, chain))
    _add_coins(made, meta, accounts, chain, f"{where}.meta")
    _add_tokens(made, meta, accounts, chain, f"{where}.meta")
    reading.check(made, where)
    return made


def _accounts(body: Json, meta: Json, where: str) -> Sequence[str]:
    at = f"{where}.transaction.message"
    message = reading.entry(common.told(body.get("message"), at), at)
    found: list[str] = []
    for position, one in enumerate(common.listed(message.get("accountKeys"), f"{at}.accountKeys", MAX_ACCOUNTS)):
        here = f"{at}.accountKeys[{position}]"
        # jsonParsed makes an object of each, and lists those of lookup tables too.
        found.append(_key(one.get("pubkey"), f"{here}.pubkey") if isinstance(one, Mapping) else _key(one, here))
    if not found:
        raise refuse(Code.MISSING, "somebody pays the fee, and no account is named", f"{at}.accountKeys")
    loaded = meta.get("loadedAddresses")
    if loaded is not None:
        at = f"{where}.meta.loadedAddresses"
        for name in ("writable", "readonly"):
            listed = common.listed(reading.entry(loaded, at).get(name), f"{at}.{name}", MAX_ACCOUNTS)
            found += [_key(one, f"{at}.{name}[{position}]") for position, one in enumerate(listed)]
    return found


def _add_coins(made: evidence.TransactionRecord, meta: Json, accounts: Sequence[str], chain: Chain, where: str) -> None:
    before, after = (_balances(meta, name, len(accounts), chain, where) for name in ("preBalances", "postBalances"))
    # The runtime refuses a transaction that makes coins; rent may take some away.
    if sum(after) + int(made.fee.base_units) > sum(before):
        raise refuse(Code.TX_SUM, "more comes out than goes in", f"{where}.postBalances")
    for account, old, new in zip(accounts, before, after, strict=True):
        if new != old:
            made.balance_changes.add(address=account, asset=chain.native, delta=str(new - old), decimals=chain.decimals)


def _balances(meta: Json, name: str, count: int, chain: Chain, where: str) -> Sequence[int]:
    listed = common.listed(meta.get(name), f"{where}.{name}", MAX_ACCOUNTS)
    if len(listed) != count:
        raise refuse(Code.TX_BALANCES, "not one balance for each account", f"{where}.{name}")
    return [common.units(one, chain, f"{where}.{name}[{position}]") for position, one in enumerate(listed)]


def _add_tokens(
    made: evidence.TransactionRecord, meta: Json, accounts: Sequence[str], chain: Chain, where: str
) -> None:
    before, after = (_tokens(meta, name, len(accounts), where) for name in ("preTokenBalances", "postTokenBalances"))
    for account, mint in sorted(before.keys() | after.keys()):
        old, _ = before.get((account, mint), (0, 0))
        new, _ = after.get((account, mint), (0, 0))
        (_, decimals) = after.get((account, mint)) or before[account, mint]
        if new != old:
            asset = f"{chain.caip2}/token:{mint}"
            change = made.balance_changes.add(address=accounts[account], asset=asset, delta=str(new - old))
            # A mint may say up to 255, and its token cannot make all that is in its block unreadable.
            if decimals <= MAX_DECIMALS:
                change.decimals = decimals


def _tokens(meta: Json, name: str, count: int, where: str) -> dict[tuple[int, str], tuple[int, int]]:
    """Return amount and decimals by account and mint; a transaction that touches no token may lack the list."""
    found: dict[tuple[int, str], tuple[int, int]] = {}
    listed = [] if meta.get(name) is None else common.listed(meta[name], f"{where}.{name}", MAX_ACCOUNTS)
    for position, one in enumerate(listed):
        at = f"{where}.{name}[{position}]"
        entry = reading.entry(one, at)
        index = reading.whole(entry.get("accountIndex"), f"{at}.accountIndex", 8)
        key = (index, _key(entry.get("mint"), f"{at}.mint"))
        if index >= count or key in found:
            raise refuse(Code.TX_BALANCES, "of no account of this transaction, or a second time", f"{at}.accountIndex")
        told = reading.entry(entry.get("uiTokenAmount"), f"{at}.uiTokenAmount")
        amount = told.get("amount")
        if not isinstance(amount, str) or not _TOKEN_AMOUNT.fullmatch(amount):
            raise refuse(
                Code.TX_VALUE_FORMAT, "an integer of base units as a text is wanted", f"{at}.uiTokenAmount.amount"
            )
        decimals = reading.whole(told.get("decimals"), f"{at}.uiTokenAmount.decimals", 8)
        found[key] = (int(amount), decimals)
    return found


def _key(value: object, where: str) -> str:
    found = reading.text(value, where, common.MAX_ADDRESS_CHARS)
    if not _KEY.fullmatch(found):
        raise refuse(Code.TX_ADDRESS_FORMAT, "a key has 32 to 44 digits of base 58", where)
    return found
