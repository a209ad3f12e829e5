"""A transaction of Bitcoin's family as its own bytes: its name, its inputs and its outputs.

In: the bytes, as `hex` in the JSON of nodes. Out: `RawTransaction`. Refuses bytes that are no such transaction
(TX_RAW_FORMAT) and those that break a rule which every node checks without knowing anything else: no inputs, no
outputs, an output spent twice, amounts out of range, an input that spends nothing among others (Bitcoin Core,
`CheckTransaction`). Scripts and signatures are not run. Not read: Zcash and Dash, whose transactions have other fields,
and Litecoin's MWEB.

Source: Bitcoin developer reference, raw transaction format; BIP 144 (witness); BIP 141 (txid leaves the witness out).
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway.formats import chains
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.transactions.common import MAX_ENDS, first_twice, in_range

PLAIN: Final = frozenset(
    chains.find(name).caip2 for name in ("bitcoin", "bitcoin-cash", "bitcoin-sv", "dogecoin", "litecoin")
)
"""Chains whose transactions have this form."""

NO_OUTPUT: Final = f"{'0' * 64}:{0xFFFFFFFF}"
"""What the input of newly made coins spends."""

MWEB_FLAG: Final = 8
"""Litecoin: the flag byte of a transaction with an extension block part (LIP-0003)."""

_COINBASE_SCRIPT: Final = range(2, 101)
"""Bytes of the script of newly made coins: bad-cb-length."""


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """What the bytes say.

    Args:
        txid: hash of the transaction without its witness, as people write it.
        wtxid: hash of all of it; the same if there is no witness.
        spent: what each input spends, as `txid:index`.
        values: what each output is worth, in base units.
        scripts: the script of each output.
    """

    txid: str
    wtxid: str
    spent: tuple[str, ...]
    values: tuple[int, ...]
    scripts: tuple[bytes, ...]

    @property
    def coinbase(self) -> bool:
        """Whether it makes new coins."""
        return self.spent == (NO_OUTPUT,)


class _Bytes:
    """Reads the bytes from left to right."""

    def __init__(self, raw: bytes, where: str) -> None:
        self.raw = raw
        self.at = 0
        self.where = where

    def take(self, count: int) -> bytes:
        found = self.raw[self.at : self.at + count]
        if len(found) != count:
            raise refuse(Code.TX_RAW_FORMAT, "the transaction's bytes end too early", self.where)
        self.at += count
        return found

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def compact(self) -> int:
        first = self.number(1)
        return first if first < 0xFD else self.number({0xFD: 2, 0xFE: 4, 0xFF: 8}[first])  # noqa: PLR2004  CompactSize

    def count(self) -> int:
        found = self.compact()
        if found > MAX_ENDS:
            raise refuse(Code.TX_TOO_MANY, f"more than {MAX_ENDS} inputs or outputs", self.where)
        return found


def read(text: object, chain: Chain, where: str) -> RawTransaction | None:
    """Read the bytes of one transaction, written in hexadecimal digits.

    Args:
        text: the digits.
        chain: the chain; None comes back for one whose transactions have another form.
        where: position, for the refusal.

    Raises:
        Refusal: TX_RAW_FORMAT, TX_TOO_MANY, TX_NO_INPUTS, TX_NO_OUTPUTS, TX_SPENT_TWICE, TX_VALUE_RANGE, TX_COINBASE.
    """
    if chain.caip2 not in PLAIN:
        return None
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError as error:
        raise refuse(Code.TX_RAW_FORMAT, "not hexadecimal digits", where) from error
    found = _parse(_Bytes(raw, where))
    if found is not None:
        _check(found[0], found[1], chain, where)
        return found[0]
    return None


def _parse(source: _Bytes) -> tuple[RawTransaction, int] | None:
    version = source.take(4)
    flag = source.raw[5] if source.raw[4:5] == b"\0" and len(source.raw) > 5 else 0  # noqa: PLR2004  marker, flag
    if flag & MWEB_FLAG:
        return None
    source.at += 2 if flag else 0
    begin = source.at
    scripts_in: list[int] = []
    spent: list[str] = []
    for _ in range(source.count()):
        txid = source.take(32)[::-1].hex()
        spent.append(f"{txid}:{source.number(4)}")
        scripts_in.append(len(source.take(source.compact())))
        source.take(4)
    outputs = [(source.number(8), source.take(source.compact())) for _ in range(source.count())]
    core = source.raw[begin : source.at]
    if flag:
        for _ in spent:
            for _ in range(source.count()):
                source.take(source.compact())
    locktime = source.take(4)
    if source.at != len(source.raw):
        raise refuse(Code.TX_RAW_FORMAT, "bytes are left over behind the transaction", source.where)
    values, scripts = zip(*outputs, strict=True) if outputs else ((), ())
    txid = _hash(version + core + locktime)
    return RawTransaction(txid, _hash(source.raw), tuple(spent), values, scripts), min(scripts_in, default=0)


def _check(found: RawTransaction, script_size: int, chain: Chain, where: str) -> None:
    if not found.spent:
        raise refuse(Code.TX_NO_INPUTS, "a transaction without inputs", where)
    if not found.values:
        raise refuse(Code.TX_NO_OUTPUTS, "a transaction without outputs", where)
    if first_twice(found.spent) is not None:
        raise refuse(Code.TX_SPENT_TWICE, "one output is spent twice", where)
    for value in (*found.values, sum(found.values)):
        in_range(value, chain, where)
    if found.coinbase and script_size not in _COINBASE_SCRIPT:
        raise refuse(Code.TX_COINBASE, "the script of newly made coins has 2 to 100 bytes", where)
    if not found.coinbase and NO_OUTPUT in found.spent:
        raise refuse(Code.TX_COINBASE, "an input that spends nothing stands among others", where)


def _hash(raw: bytes) -> str:
    return sha256(sha256(raw).digest()).digest()[::-1].hex()
