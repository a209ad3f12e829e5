"""Transfers of the chain's own coin by contracts, out of traces.

In: traces as Parity's `trace_block` and `trace_transaction` write them (a list, each with its `traceAddress`), and as
Geth's `callTracer` does (a tree of `calls`, under the transaction's `txHash`). Out: one record for each call within a
transaction that moves something; `trace_address` is its path in the tree. The outermost call is the transaction itself
and gives none, nor do rewards, which are no transactions. A call inside one that failed was undone: FAILED. Where the
calls around it are not there to be seen, the status stays open. The `value` of a DELEGATECALL is that of the call
around it and moves nothing again; that of a CALLCODE stays where it is. Refuses a path that is none, calls out of
order, and a tree whose transaction is not named.

Source: OpenEthereum JSON-RPC, trace module; go-ethereum, built-in tracers, callTracer; EIP-7 (DELEGATECALL).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats import reading
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import common
from gateway.formats.transactions.common import NO_BLOCK, Block, Origin
from gateway.formats.transactions.quantities import address, hash32, quantity

Json = Mapping[str, object]
Path = tuple[int, ...]
Records = list[evidence.TransactionRecord]

SOFTWARE: Final = "Ethereum traces"

MAX_DEPTH: Final = 32
"""Of a path, as in evidence.proto."""

MAX_CALLS: Final = 100_000

MOVING: Final = frozenset({"call", "create", "create2", "selfdestruct"})
STILL: Final = frozenset({"callcode", "delegatecall", "staticcall", "authcall"})

_APPLIED: Final = evidence.TRANSACTION_STATUS_APPLIED
_FAILED: Final = evidence.TRANSACTION_STATUS_FAILED
_OPEN: Final = evidence.TRANSACTION_STATUS_UNSPECIFIED


class ParityReader:
    """Reads the traces of a list one by one, and remembers of the present transaction which calls failed.

    A call comes before those within it, so nothing else need be kept.
    """

    def __init__(self) -> None:
        self._txid = ""
        self._seen: dict[Path, evidence.TransactionStatus.ValueType] = {}

    def read(self, value: object, where: str, origin: Origin) -> Records:
        """Read one trace.

        Raises:
            Refusal: with its rule, e.g. TX_TRACE.
        """
        entry = reading.entry(value, where)
        chain = common.given_chain(origin, "eip155", where)
        action = reading.entry(common.told(entry.get("action"), f"{where}.action"), f"{where}.action")
        kind = reading.visible_ascii(entry.get("type"), f"{where}.type", common.MAX_TYPE_CHARS)
        if kind == "reward":
            return []
        path = _path(entry.get("traceAddress"), f"{where}.traceAddress")
        status = self._status(entry, path, where)
        made = common.start(chain, self._txid, _block(entry, where), origin, SOFTWARE)
        if entry.get("transactionPosition") is not None:
            at = f"{where}.transactionPosition"
            made.block_index = reading.whole(entry["transactionPosition"], at, 32)
        ends = _parity_ends(kind, action, entry, where)
        return [] if ends is None else _record(made, chain, path, status, *ends, where)

    def _status(self, entry: Json, path: Path, where: str) -> evidence.TransactionStatus.ValueType:
        txid = hash32(entry.get("transactionHash"), f"{where}.transactionHash")
        if txid != self._txid:
            self._txid, self._seen = txid, {}
        if path in self._seen:
            raise refuse(Code.TX_TWICE, "another call has this path", f"{where}.traceAddress")
        if len(self._seen) >= MAX_CALLS:
            raise refuse(Code.TX_TOO_MANY, f"more than {MAX_CALLS} calls in one transaction", where)
        around = self._seen.get(path[:-1], _OPEN) if path else _APPLIED
        self._seen[path] = _FAILED if entry.get("error") is not None else around
        return self._seen[path]


def tree(value: object, where: str, origin: Origin) -> Records:
    """Read `{"txHash", "result"}`, one element of what `debug_traceBlockByNumber` answers with `callTracer`.

    Raises:
        Refusal: with its rule, e.g. MISSING (the transaction is not named).
    """
    entry = reading.entry(value, where)
    chain = common.given_chain(origin, "eip155", where)
    head = common.start(chain, hash32(entry.get("txHash"), f"{where}.txHash"), NO_BLOCK, origin, SOFTWARE)
    made: Records = []
    for position, (call, path, status, at) in enumerate(_calls(entry.get("result"), f"{where}.result")):
        if position >= MAX_CALLS:
            raise refuse(Code.TX_TOO_MANY, f"more than {MAX_CALLS} calls in one transaction", where)
        kind = reading.visible_ascii(call.get("type"), f"{at}.type", common.MAX_TYPE_CHARS).lower()
        if kind not in MOVING | STILL:
            raise refuse(Code.TX_TRACE, "no kind of call that is known here", f"{at}.type")
        if kind in STILL or call.get("value") is None:
            continue
        giver = address(call.get("from"), f"{at}.from")
        # A creation that fails leaves no address.
        taker = "" if call.get("to") is None else address(call["to"], f"{at}.to")
        record = evidence.TransactionRecord()
        record.CopyFrom(head)
        made += _record(record, chain, path, status, giver, taker, quantity(call["value"], f"{at}.value"), at)
    return made


def _calls(root: object, where: str) -> Iterator[tuple[Json, Path, evidence.TransactionStatus.ValueType, str]]:
    waiting: list[tuple[object, Path, evidence.TransactionStatus.ValueType, str]] = [(root, (), _APPLIED, where)]
    while waiting:
        value, path, around, at = waiting.pop()
        entry = reading.entry(value, at)
        if len(path) > MAX_DEPTH:
            raise refuse(Code.TX_TOO_DEEP, f"calls more than {MAX_DEPTH} deep", at)
        status = _FAILED if entry.get("error") is not None else around
        yield entry, path, status, at
        inner = common.listed(entry.get("calls", []), f"{at}.calls", MAX_CALLS)
        waiting += [(one, (*path, n), status, f"{at}.calls[{n}]") for n, one in reversed([*enumerate(inner)])]


def _path(value: object, where: str) -> Path:
    listed = common.listed(value, where, MAX_DEPTH)
    return tuple(reading.whole(step, f"{where}[{position}]", 16) for position, step in enumerate(listed))


def _block(entry: Json, where: str) -> Block:
    if entry.get("blockHash") is None:
        return NO_BLOCK
    number = reading.whole(common.told(entry.get("blockNumber"), f"{where}.blockNumber"), f"{where}.blockNumber", 64)
    return Block(hash=hash32(entry["blockHash"], f"{where}.blockHash"), height=number)


def _parity_ends(kind: str, action: Json, entry: Json, where: str) -> tuple[str, str, int] | None:
    at = f"{where}.action"
    if kind == "suicide":
        giver, taker = (address(action.get(name), f"{at}.{name}") for name in ("address", "refundAddress"))
        return giver, taker, quantity(action.get("balance"), f"{at}.balance")
    if kind not in MOVING:
        raise refuse(Code.TX_TRACE, "no kind of call that is known here", f"{where}.type")
    giver = address(action.get("from"), f"{at}.from")
    value = quantity(action.get("value"), f"{at}.value")
    if kind == "call":
        called = reading.visible_ascii(action.get("callType"), f"{at}.callType", common.MAX_TYPE_CHARS)
        return None if called in STILL else (giver, address(action.get("to"), f"{at}.to"), value)
    result = entry.get("result")
    if not isinstance(result, Mapping) or result.get("address") is None:
        return giver, "", value
    return giver, address(result["address"], f"{where}.result.address"), value


def _record(
    made: evidence.TransactionRecord,
    chain: Chain,
    path: Path,
    status: evidence.TransactionStatus.ValueType,
    giver: str,
    taker: str,
    value: int,
    where: str,
) -> Records:
    if not path or not value:
        return []
    made.kind = evidence.TRANSACTION_KIND_INTERNAL_TRANSFER
    made.trace_address = "_".join(map(str, path))
    made.status = status
    moved = common.amount(value, chain)
    made.inputs.add(address=giver, amount=moved)
    made.outputs.add(address=taker, amount=moved)
    reading.check(made, where)
    return [made]
