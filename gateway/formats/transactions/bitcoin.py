"""Transactions as Bitcoin Core and the nodes made from it tell them.

In: what `getblock` (verbosity 2 or 3) and `getrawtransaction` (verbose) answer, of Bitcoin, Litecoin, Dogecoin, Bitcoin
Cash, Dash and Zcash; the caller says which. Out: one record a transaction. An input has an amount only where the node
told the output it spends (verbosity 3: `prevout`). An output whose script has no address, or several, has none here.
Refuses the whole answer if one part is broken or contradicts another: a list cut short, a hash that is not the block's,
sums that do not come out, or the transaction's own bytes (`hex`) saying something else.
Not checked: that the block is complete. A block cut to the transactions of interest is still one to quote from, and no
record says how many others there were.

Source: Bitcoin Core RPC documentation, getblock and getrawtransaction; `ScriptToUniv`, `TxToUniv` (core_write.cpp);
Dash, DIP-2 (special transactions) and `CheckTransaction` of Dash Core.
"""

from collections.abc import Mapping
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import chains, reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common, rawtx, zcash
from gateway.formats.transactions.common import Block, Origin

Json = Mapping[str, object]

SOFTWARE: Final = "Bitcoin Core JSON"

WITH_ADDRESS: Final = frozenset(
    {
        "pubkeyhash",
        "scripthash",
        "witness_v0_keyhash",
        "witness_v0_scripthash",
        "witness_v1_taproot",
    }
)
"""Scripts that every node writes an address for."""

OUTPUT_TYPES: Final = WITH_ADDRESS | {
    "anchor",
    "multisig",
    "nonstandard",
    "nulldata",
    "pubkey",
    "witness_mweb_hogaddr",  # Litecoin
    "witness_mweb_pegin",
    "witness_unknown",
}
"""`GetTxnOutputType` of Bitcoin Core (script/solver.cpp), and Litecoin's two."""

SUMS: Final = frozenset(chains.find(name).caip2 for name in ("bitcoin", "bitcoin-cash", "bitcoin-sv", "dogecoin"))
"""Chains on which nothing moves but by inputs and outputs: no shielded pool, no extension block, no asset lock."""

DASH: Final = chains.find("dash").caip2
WITHOUT_INPUTS: Final = frozenset({6, 7, 9})
"""Types of Dash's special transactions that spend nothing: quorum commitment (DIP-6), hard fork signal (DIP-23), and
asset unlock (DIP-27), which pays out of the credit pool."""
WITHOUT_OUTPUTS: Final = frozenset({6, 7})
"""Of these, the ones that pay nothing either."""

GENESIS_HEIGHT: Final = 0


def block(value: object, where: str, origin: Origin) -> list[evidence.TransactionRecord]:
    """Read an answer to `getblock`.

    Raises:
        Refusal: with its rule, e.g. TX_BLOCK_PREVIOUS.
    """
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "bip122", where)
    head = _head(entry, where)
    listed = common.listed(entry.get("tx"), f"{where}.tx", most=1_000_000)
    if not listed:
        raise refuse(Code.TX_BLOCK_EMPTY, "every block makes new coins, and so has a transaction", f"{where}.tx")
    made = common.each(listed, f"{where}.tx", lambda one, at: _in_block(one, at, chain, head, origin))
    # Fewer than the block's own number of them: it was cut, and nobody can say at which position each stood.
    whole = entry.get("nTx") in (None, len(made))
    for position, record in enumerate(made):
        if whole:
            record.block_index = position
        if bool(record.inputs) == (position == 0) and chain.caip2 in SUMS:
            detail = "the first transaction of a block makes new coins, and no other does"
            raise refuse(Code.TX_COINBASE, detail, f"{where}.tx[{position}].vin")
    twice = common.first_twice(record.txid for record in made)
    if twice is not None:
        raise refuse(Code.TX_TWICE, "the block has this transaction already", f"{where}.tx[{twice}].txid")
    return made


def transaction(value: object, where: str, origin: Origin) -> list[evidence.TransactionRecord]:
    """Read an answer to `getrawtransaction`; it tells the hash of the block, not its height.

    Raises:
        Refusal: with its rule, e.g. TX_NO_INPUTS.
    """
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "bip122", where)
    return [_transaction(entry, where, chain, _block_of(entry, where), origin)]


def _head(entry: Json, where: str) -> Block:
    made = Block(
        hash=common.hash64(entry.get("hash"), f"{where}.hash"),
        height=reading.whole(common.told(entry.get("height"), f"{where}.height"), f"{where}.height", 64),
        time_us=common.seconds(entry.get("time"), f"{where}.time"),
        confirmations=_confirmations(entry, where, named=True),
    )
    if made.height == GENESIS_HEIGHT and entry.get("previousblockhash") is None:
        return made
    if entry.get("previousblockhash") is None:
        detail = "only the first block of a chain has none before it"
        raise refuse(Code.TX_BLOCK_PREVIOUS, detail, f"{where}.previousblockhash")
    if common.hash64(entry["previousblockhash"], f"{where}.previousblockhash") == made.hash:
        raise refuse(Code.TX_BLOCK_PREVIOUS, "a block before itself", f"{where}.previousblockhash")
    return made


def _block_of(entry: Json, where: str) -> Block:
    if entry.get("blockhash") is None:
        for name in ("blocktime", "height"):
            if entry.get(name) is not None:
                raise refuse(Code.TX_BLOCK_CONTRADICTS, "of a block that is not named", f"{where}.{name}")
        return Block(confirmations=_confirmations(entry, where, named=False))
    time = entry.get("blocktime", entry.get("time"))
    height = entry.get("height")  # Zcash and Dash tell it
    if entry.get("in_active_chain") is False:
        raise refuse(Code.TX_NOT_IN_CHAIN, "the node says that its block is not part of the chain", where)
    return Block(
        hash=common.hash64(entry["blockhash"], f"{where}.blockhash"),
        height=None if height is None else reading.whole(height, f"{where}.height", 64),
        time_us=None if time is None else common.seconds(time, f"{where}.blocktime"),
        confirmations=_confirmations(entry, where, named=True),
    )


def _confirmations(entry: Json, where: str, *, named: bool) -> int | None:
    found = entry.get("confirmations")
    if found is None:
        return None
    # getblock: "or -1 if the block is not on the main chain"; getrawtransaction tells 0 of such a block.
    if found == -1 or (found == 0 and named):
        raise refuse(
            Code.TX_NOT_IN_CHAIN, "the node says that its block is not part of the chain", f"{where}.confirmations"
        )
    number = reading.whole(found, f"{where}.confirmations", 64)
    if number and not named:
        raise refuse(Code.TX_BLOCK_CONTRADICTS, "confirmed, and in no block", f"{where}.confirmations")
    return number


def _in_block(value: object, where: str, chain: Chain, head: Block, origin: Origin) -> list[evidence.TransactionRecord]:
    if isinstance(value, str):
        raise refuse(Code.TX_NOT_FULL, "the block names its transactions only; ask with verbosity 2 or 3", where)
    entry = reading.entry(value, where)
    detail = "not the block that it stands in"
    common.same(entry.get("blockhash"), head.hash, Code.TX_BLOCK_CONTRADICTS, detail, f"{where}.blockhash")
    return [_transaction(entry, where, chain, head, origin)]


def _transaction(entry: Json, where: str, chain: Chain, head: Block, origin: Origin) -> evidence.TransactionRecord:
    txid = common.hash64(entry.get("txid"), f"{where}.txid")
    # Both came with segregated witness (Bitcoin Core 0.13.0, BIP 141): one without the other has been cut.
    if "vsize" in entry or "hash" in entry:
        common.hash64(entry.get("hash"), f"{where}.hash")
    made = common.start(chain, txid, head, origin, SOFTWARE)
    zcash.add_shielded(made, entry, chain, where)
    shielded = len(made.inputs), len(made.outputs)
    _add_inputs(made, entry, chain, where)
    _add_outputs(made, entry, chain, where)
    if any(shielded):
        # First what has a position.
        zcash.move_to_end(made, shielded)
    _check_raw(made, entry, chain, where)
    _check_sum(made, entry, chain, where)
    reading.check(made, where)
    return made


def _add_inputs(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    listed = common.listed(entry.get("vin"), f"{where}.vin")
    shielded = made.inputs or made.outputs or zcash.has_hidden(entry, chain)
    if not listed and not shielded and not _is_special(entry, chain, WITHOUT_INPUTS):
        raise refuse(Code.TX_NO_INPUTS, "a transaction without inputs", f"{where}.vin")
    ends = [_input(one, chain, f"{where}.vin[{position}]") for position, one in enumerate(listed)]
    if None in ends and len(ends) > 1:
        raise refuse(Code.TX_COINBASE, "newly made coins have no other input", f"{where}.vin")
    known = [end for end in ends if end is not None]
    twice = common.first_twice(end.spent for end in known)
    if twice is not None:
        # Bitcoin Core: bad-txns-inputs-duplicate; CVE-2018-17144 let it through.
        raise refuse(Code.TX_SPENT_TWICE, "one output is spent twice", f"{where}.vin[{twice}]")
    made.inputs.extend(known)


def _is_special(entry: Json, chain: Chain, types: frozenset[int]) -> bool:
    kind = entry.get("type")
    return chain.caip2 == DASH and isinstance(kind, int) and kind in types


def _input(value: object, chain: Chain, where: str) -> evidence.TransferEnd | None:
    entry = reading.entry(value, where)
    if "coinbase" in entry:
        reading.text(entry["coinbase"], f"{where}.coinbase", 1_000)
        if "txid" in entry or "prevout" in entry:
            raise refuse(Code.TX_COINBASE, "newly made coins spend no output", where)
        return None
    txid = common.hash64(entry.get("txid"), f"{where}.txid")
    index = reading.whole(common.told(entry.get("vout"), f"{where}.vout"), f"{where}.vout", 32)
    made = evidence.TransferEnd(spent=f"{txid}:{index}")
    if entry.get("prevout") is not None:
        before = reading.entry(entry["prevout"], f"{where}.prevout")
        _fill(made, before, chain, f"{where}.prevout")
    return made


def _add_outputs(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    listed = common.listed(entry.get("vout"), f"{where}.vout")
    ends = (*made.inputs, *made.outputs)
    shielded = any(end.output_type == zcash.SHIELDED for end in ends) or zcash.has_hidden(entry, chain)
    if not listed and not shielded and not _is_special(entry, chain, WITHOUT_OUTPUTS):
        raise refuse(Code.TX_NO_OUTPUTS, "a transaction without outputs", f"{where}.vout")
    for position, one in enumerate(listed):
        at = f"{where}.vout[{position}]"
        output = reading.entry(one, at)
        end = evidence.TransferEnd()
        _fill(end, output, chain, at)
        end.index = reading.whole(common.told(output.get("n"), f"{at}.n"), f"{at}.n", 32)
        if end.index != position:
            raise refuse(Code.TX_POSITION, "outputs are numbered from 0 and none is left out", f"{at}.n")
        made.outputs.append(end)


def _fill(end: evidence.TransferEnd, entry: Json, chain: Chain, where: str) -> None:
    value = common.coins(entry.get("value"), chain, f"{where}.value")
    for name in ("valueSat", "valueZat"):  # Dash, Zcash
        common.same(entry.get(name), value, Code.TX_VALUE_CONTRADICTS, "not the amount told above", f"{where}.{name}")
    end.amount.CopyFrom(common.amount(value, chain))
    at = f"{where}.scriptPubKey"
    script = reading.entry(common.told(entry.get("scriptPubKey"), at), at)
    end.output_type = reading.visible_ascii(script.get("type"), f"{at}.type", common.MAX_TYPE_CHARS)
    if end.output_type not in OUTPUT_TYPES:
        raise refuse(Code.TX_OUTPUT_TYPE, "no kind of output that a node knows", f"{at}.type")
    end.address = _address(script, at)
    if not end.address and end.output_type in WITH_ADDRESS:
        raise refuse(Code.TX_ADDRESS_MISSING, "this kind of output has an address, and it is left out", f"{at}.address")


def _address(script: Json, where: str) -> str:
    told = [] if script.get("address") is None else [common.address(script["address"], f"{where}.address")]
    # Before 22.0, and in other nodes: a list, of several for a bare multisig, where none is the owner alone.
    for position, one in enumerate(common.listed(script.get("addresses", []), f"{where}.addresses")):
        told.append(common.address(one, f"{where}.addresses[{position}]"))
    return told[0] if len(set(told)) == 1 else ""


def _check_raw(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    at = f"{where}.hex"
    raw = None if entry.get("hex") is None else rawtx.read(entry["hex"], chain, at)
    if raw is None:
        return
    if raw.txid != made.txid:
        raise refuse(Code.TX_HASH_CONTRADICTS, "the bytes given are those of another transaction", f"{where}.txid")
    common.same(
        entry.get("hash"), raw.wtxid, Code.TX_HASH_CONTRADICTS, "not the hash of the bytes given", f"{where}.hash"
    )
    if tuple(end.spent for end in made.inputs) != (() if raw.coinbase else raw.spent):
        raise refuse(Code.TX_RAW_CONTRADICTS, "the bytes given have other inputs", f"{where}.vin")
    if tuple(int(end.amount.base_units) for end in made.outputs) != raw.values:
        raise refuse(Code.TX_RAW_CONTRADICTS, "the bytes given have other outputs", f"{where}.vout")


def _check_sum(made: evidence.TransactionRecord, entry: Json, chain: Chain, where: str) -> None:
    if entry.get("fee") is not None and made.inputs:
        made.fee.CopyFrom(common.amount(common.coins(entry["fee"], chain, f"{where}.fee"), chain))
    check_sum(made, chain, where)


def check_sum(made: evidence.TransactionRecord, chain: Chain, where: str) -> None:
    """Check that what came out and the fee are what went in, where all of it is told.

    Raises:
        Refusal: TX_SUM, TX_VALUE_RANGE.
    """
    out = common.in_range(sum(int(end.amount.base_units) for end in made.outputs), chain, f"{where}.vout")
    known = made.inputs and all(end.HasField("amount") for end in made.inputs)
    if not known or chain.caip2 not in SUMS:
        return
    rest = sum(int(end.amount.base_units) for end in made.inputs) - out
    if rest < 0 or (made.HasField("fee") and rest != int(made.fee.base_units)):
        raise refuse(Code.TX_SUM, "what goes in is not what comes out and the fee", f"{where}.vout")
