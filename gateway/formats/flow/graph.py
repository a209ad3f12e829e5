"""Who paid whom, added up over many transaction records.

In: `TransactionRecord`s. Out: `Flow`: one `Transfer` for each pair of ends and asset, with the sum, the number of
transactions, and when. What no record tells is not made up: where several addresses pay together, nobody can say which
of them paid whom, and the transaction itself stands between; what an address pays to itself (change) is no movement;
a transaction that failed has moved nothing. No I/O.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence


class Sort(Enum):
    """What an end of a transfer is."""

    ADDRESS = "address"
    JOINT = "joint"  # a transaction that several addresses paid
    NEW = "new"  # coins that were made
    HIDDEN = "hidden"  # the chain, or the source, names no address
    FURTHER = "further"  # several addresses, told together
    ELSEWHERE = "elsewhere"  # an end that another picture shows


@dataclass(frozen=True, slots=True)
class End:
    """One end of a transfer.

    Args:
        chain: CAIP-2 id.
        name: the address, the transaction's id, or how many there are.
        sort: what it is.
    """

    chain: str
    name: str
    sort: Sort = Sort.ADDRESS

    @property
    def place(self) -> tuple[str, str, str]:
        """What ends are put in order by, where nothing else tells them apart."""
        return self.chain, self.sort.value, self.name


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum of one asset; None if some of it is not told."""

    asset: str
    units: int | None
    decimals: int | None


@dataclass(frozen=True, slots=True)
class Transfer:
    """All that went from one end to another of one asset.

    Args:
        source: who paid.
        target: who was paid.
        amount: the sum.
        count: in how many transactions.
        first_us: the first of them, microseconds; None if no source tells.
        last_us: the last.
    """

    source: End
    target: End
    amount: Amount
    count: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class Flow:
    """What records tell of.

    Args:
        transfers: oldest first; those without a time last.
        transactions: how many different ones there are.
        failed: how many of them moved nothing, for they failed.
        repeated: how many records tell what another one told before.
    """

    transfers: tuple[Transfer, ...]
    transactions: int
    failed: int
    repeated: int


_Key = tuple[End, End, str, int | None]
_Payment = tuple[End, End, Amount]
_UNTIMED: Final = 1 << 62


def flow_of(records: Iterable[evidence.TransactionRecord]) -> Flow:
    """Return what moved, by pairs. The same movement told twice counts once."""
    seen: set[tuple[object, ...]] = set()
    known: set[tuple[str, str]] = set()
    failed: set[tuple[str, str]] = set()
    sums: dict[_Key, _Sum] = {}
    repeated = 0
    for record in records:
        index = record.log_index if record.HasField("log_index") else None
        name = (record.chain, record.txid, record.kind, index, record.trace_address)
        if name in seen:
            repeated += 1
            continue
        seen.add(name)
        known.add(name[:2])
        if record.status == evidence.TRANSACTION_STATUS_FAILED:
            failed.add(name[:2])
            continue
        at = record.block_time_us if record.HasField("block_time_us") else None
        for source, target, amount in _payments(record):
            if source != target and amount.units != 0:
                key = (source, target, amount.asset, amount.decimals)
                sums.setdefault(key, _Sum()).add(amount.units, record.txid, at)
    transfers = sorted((total.transfer(key) for key, total in sums.items()), key=_when)
    return Flow(tuple(transfers), len(known), len(failed), repeated)


def _when(transfer: Transfer) -> tuple[object, ...]:
    at = _UNTIMED if transfer.first_us is None else transfer.first_us
    return at, transfer.source.place, transfer.target.place, transfer.amount.asset


class _Sum:
    def __init__(self) -> None:
        self._units: int | None = 0
        self._txids: set[str] = set()
        self._times: list[int] = []

    def add(self, units: int | None, txid: str, at_us: int | None) -> None:
        self._units = None if self._units is None or units is None else self._units + units
        self._txids.add(txid)
        if at_us is not None:
            self._times.append(at_us)

    def transfer(self, key: _Key) -> Transfer:
        source, target, asset, decimals = key
        first, last = min(self._times, default=None), max(self._times, default=None)
        return Transfer(source, target, Amount(asset, self._units, decimals), len(self._txids), first, last)


def _payments(record: evidence.TransactionRecord) -> Iterator[_Payment]:
    if record.balance_changes:
        yield from _by_changes(record)
        return
    paid = [(_end(record.chain, each), _amount(each)) for each in record.inputs]
    yield from _joined(record, paid, [(_end(record.chain, each), _amount(each)) for each in record.outputs])


def _by_changes(record: evidence.TransactionRecord) -> Iterator[_Payment]:
    for asset in dict.fromkeys(change.asset for change in record.balance_changes):
        paid: list[tuple[End, Amount]] = []
        got: list[tuple[End, Amount]] = []
        for change in record.balance_changes:
            if change.asset == asset:
                decimals = change.decimals if change.HasField("decimals") else None
                side = paid if change.delta.startswith("-") else got
                side.append((End(record.chain, change.address), Amount(asset, abs(int(change.delta)), decimals)))
        if paid and got:  # a lone loss is a fee
            yield from _joined(record, paid, got)


def _joined(
    record: evidence.TransactionRecord, paid: list[tuple[End, Amount]], got: list[tuple[End, Amount]]
) -> Iterator[_Payment]:
    payers = {end for end, _ in paid}
    if not payers:
        made = record.kind == evidence.TRANSACTION_KIND_UNSPECIFIED and bool(got)
        source = End(record.chain, "", Sort.NEW if made else Sort.HIDDEN)
    elif len(payers) == 1:
        (source,) = payers
    else:
        source = End(record.chain, record.txid, Sort.JOINT)
        yield from ((end, source, amount) for end, amount in paid)
    yield from ((source, end, amount) for end, amount in got)


def _end(chain: str, end: evidence.TransferEnd) -> End:
    return End(chain, end.address) if end.address else End(chain, end.output_type, Sort.HIDDEN)


def _amount(end: evidence.TransferEnd) -> Amount:
    if not end.HasField("amount"):
        return Amount("", None, None)
    decimals = end.amount.decimals if end.amount.HasField("decimals") else None
    return Amount(end.amount.asset, int(end.amount.base_units), decimals)
