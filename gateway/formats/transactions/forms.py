"""Which form a JSON value is in, and who reads it.

In: a JSON value and, if the caller knows, the name of its form. Out: its records. An answer of JSON-RPC is unwrapped;
one that is an error is refused, for then there is no record. A form is told by fields that it alone has. Refuses values
of no known form (TX_FORM).

Source: JSON-RPC 2.0 specification, section 5; Bitcoin Core answers with `result`, `error` and `id` alike.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence

from gateway.formats.codes import Code, refuse
from gateway.formats.transactions import (
    bitcoin,
    common,
    esplora,
    ethereum,
    normalised,
    rosetta,
    solana,
    traces,
)
from gateway.formats.transactions.common import Origin

Json = Mapping[str, object]
Records = list[evidence.TransactionRecord]
Reader = Callable[[object, str, Origin], Records]

_ANSWER: Final = frozenset({"jsonrpc", "id", "result", "error"})

MAX_RESULTS: Final = 1_000_000


def _normalised(value: object, where: str, origin: Origin) -> Records:
    made = normalised.record(value, where)
    if origin.chain is not None and origin.chain.caip2 != made.chain:
        raise refuse(Code.TX_CHAIN_CONTRADICTS, "not the chain that was given", f"{where}.chain")
    if origin.observed_at_us is not None and not made.HasField("observed_at_us"):
        made.observed_at_us = origin.observed_at_us
    return [made]


_READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "normalised": _normalised,
        "bitcoin-block": bitcoin.block,
        "bitcoin-transaction": bitcoin.transaction,
        "esplora": esplora.transaction,
        "ethereum-block": ethereum.block,
        "ethereum-transaction": ethereum.transaction,
        "ethereum-receipt": ethereum.receipt,
        "ethereum-both": ethereum.both,
        "ethereum-log": ethereum.log,
        "geth-trace": traces.tree,
        "solana-block": solana.block,
        "solana-transaction": solana.transaction,
        "rosetta-block": rosetta.block,
        "rosetta-transaction": rosetta.transaction,
    }
)

PARITY: Final = "parity-trace"

FORMS: Final = frozenset(_READERS) | {PARITY}
"""What a caller may name."""


class FormReader:
    """Reads the values of one file, in order.

    Args:
        form: one of `FORMS`; empty to tell it by its fields.
        origin: who told it.
    """

    def __init__(self, form: str, origin: Origin) -> None:
        if form and form not in FORMS:
            raise refuse(Code.TX_FORM, "not the name of a form that is known here", "form")
        self._form = form
        self._origin = origin
        self._parity = traces.ParityReader()

    def read(self, value: object, where: str) -> Records:
        """Read one value; all of it is read or none.

        Raises:
            Refusal: with its rule.
        """
        if not _wrapped(value):
            return self._read_one(value, where)
        inner = _unwrap(value, where)
        at = f"{where}.result"
        if isinstance(inner, list):
            return common.each(common.listed(inner, at, MAX_RESULTS), at, self._read_one)
        return self._read_one(inner, at)

    def _read_one(self, value: object, where: str) -> Records:
        form = self._form or recognise(value, where)
        if form == PARITY:
            return self._parity.read(value, where, self._origin)
        return _READERS[form](value, where, self._origin)


def recognise(value: object, where: str) -> str:
    """Return the name of the form that the value is in.

    Raises:
        Refusal: TX_FORM.
    """
    if isinstance(value, Mapping):
        inner = value.get("transaction")
        for form, is_it in _SIGNS:
            if is_it(value, inner if isinstance(inner, Mapping) else {}):
                return form
    raise refuse(Code.TX_FORM, "no form of a transaction that is known here", where)


_SIGNS: Final[tuple[tuple[str, Callable[[Json, Json], bool]], ...]] = (
    ("normalised", lambda it, _: "value_unit" in it or "caip2" in it),
    ("geth-trace", lambda it, _: "txHash" in it or _is_call(it)),
    (PARITY, lambda it, _: "action" in it or "traceAddress" in it),
    ("rosetta-block", lambda it, _: isinstance(it.get("block"), Mapping)),
    ("rosetta-transaction", lambda _, its: "transaction_identifier" in its or "operations" in its),
    ("ethereum-both", lambda it, _: "receipt" in it),
    ("solana-block", lambda it, _: "previousBlockhash" in it or "parentSlot" in it),
    ("solana-transaction", lambda it, _: "meta" in it or "transaction" in it),
    ("ethereum-receipt", lambda it, _: "logs" in it or "cumulativeGasUsed" in it),
    ("ethereum-log", lambda it, _: "topics" in it or "logIndex" in it),
    ("ethereum-block", lambda it, _: "parentHash" in it or ("transactions" in it and "number" in it)),
    ("ethereum-transaction", lambda it, _: "transactionIndex" in it or ("from" in it and "hash" in it)),
    ("bitcoin-block", lambda it, _: "tx" in it or "merkleroot" in it),
    ("esplora", lambda it, _: isinstance(it.get("status"), Mapping)),
    ("bitcoin-transaction", lambda it, _: "vin" in it or "vout" in it or "txid" in it),
)
"""The first that fits; those with a sign of their own stand before those that share one."""


def _is_call(value: Json) -> bool:
    return "gas" in value and "type" in value and "nonce" not in value


def _wrapped(value: object) -> bool:
    return isinstance(value, Mapping) and ("jsonrpc" in value or ("result" in value and value.keys() <= _ANSWER))


def _unwrap(value: object, where: str) -> object:
    if not isinstance(value, Mapping) or value.get("error") is not None or value.get("result") is None:
        raise refuse(Code.TX_SOURCE_ERROR, "the node answered with an error, or with nothing", where)
    return value["result"]
