"""How long an operator waits for an answer, with so many envelopes in the store.

In: the store that the bench has filled, how many rounds. Out: milliseconds for each question, medians over the rounds.
A question is asked as the Trace door asks it, of the node's own reading code: a page of the newest that fit, or all of
one envelope. All that the bench fills in is of two parties and over; so that there is something to look for, a hundred
envelopes, evenly spread, are made to be of a third party, to be of a rare kind, to wait, and to have failed. The first
answer of each question is not counted: the pages that it reads are then in memory, as those of a node that works are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

from rogatory.v1 import identifiers_pb2 as ids

from gateway.cli.bench.nodes import ABROAD, RECIPIENT
from gateway.errors import ErrorCode
from gateway.lifecycle import State
from gateway.store import Reader, open_store
from gateway.store.finding import WAITING, Wanted

RARE: Final = 100
PAGE: Final = 50
ROUNDS: Final = 7
THIRD: Final = f"{ABROAD}/rare"
MILLISECONDS: Final = 1e3
_PARTS: Final = 4
"""Of so many equal parts of the time that the store holds, the second is asked for."""


def measure(store: Path) -> dict[str, Any]:
    """Return what each question takes on a store; there is something to be found in it afterwards."""
    connect, engine = open_store(store)
    with closing(connect()) as connection:
        (first, last, count) = connection.execute("SELECT min(seq), max(seq), count(*) FROM envelopes").fetchone()
        spread = [first + (last - first) * number // RARE for number in range(RARE)]
        _mark(connection, spread)
        times = [
            connection.execute("SELECT recorded_at_us FROM envelopes WHERE seq >= ? LIMIT 1", (seq,)).fetchone()[0]
            for seq in (first, last)
        ]
        middle = connection.execute("SELECT id, case_id FROM envelopes WHERE seq >= ? LIMIT 1", (spread[RARE // 2],))
        envelope_id, case_id = middle.fetchone()
    part = (times[1] - times[0]) // _PARTS
    interval = {"from_us": times[0] + part, "until_us": times[0] + 2 * part}
    questions = {
        "the newest": Wanted(),
        "id": Wanted(id=envelope_id),
        "case": Wanted(case_id=case_id),
        "party to all": Wanted(participant=RECIPIENT),
        "party to few": Wanted(participant=THIRD),
        "party to none": Wanted(participant=f"{ABROAD}/nobody"),
        "country of none": Wanted(node="zz"),
        "interval of time": Wanted(**interval),
        "kind of half": Wanted(kind=ids.KIND_SPONTANEOUS_INFORMATION),
        "kind of few": Wanted(kind=ids.KIND_GRIEVANCE),
        "waiting": Wanted(states=WAITING),
        "waiting, by a party to few": Wanted(states=WAITING, participant=THIRD),
        "expired": Wanted(states=(State.EXPIRED,)),
        "error": Wanted(code=ErrorCode.UNAVAILABLE),
        "error in an interval of time": Wanted(code=ErrorCode.UNAVAILABLE, **interval),
    }
    reader = Reader(engine)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        name: lambda wanted=wanted: reader.find(wanted, PAGE)  # type: ignore[misc]
        for name, wanted in questions.items()
    }
    asked["trace of an envelope"] = lambda: reader.trace(envelope_id)
    try:
        return {"envelopes": count, "rounds": ROUNDS, "page": PAGE, "ms": asyncio.run(_ask(asked))}
    finally:
        reader.close()


def _mark(connection: Any, spread: list[int]) -> None:  # noqa: ANN401  pysqlite3 has no types
    """Make something worth finding of a hundred envelopes each."""
    connection.begin()
    for seq in spread:
        connection.execute("UPDATE envelopes SET recipient = ? WHERE seq = ?", (THIRD, seq))
        connection.execute("UPDATE envelopes SET kind = ? WHERE seq = ?", (ids.KIND_GRIEVANCE, seq + 1))
        connection.execute("UPDATE deliveries SET state = 'queued' WHERE envelope_seq = ?", (seq + 2,))
        connection.execute(
            "INSERT INTO events (at_us, sender, envelope_id, name, actor, destination, code, detail, stages)"
            " SELECT recorded_at_us, sender, id, 'delivery.failed', '', ?, ?, '', '' FROM envelopes WHERE seq = ?",
            (f"{ABROAD}/node", ErrorCode.UNAVAILABLE, seq + 3),
        )
    connection.end(())


async def _ask(asked: Mapping[str, Callable[[], Awaitable[object]]]) -> dict[str, float]:
    taken = {name: [await _timed(question) for _ in range(ROUNDS + 1)][1:] for name, question in asked.items()}
    return {name: median(each) * MILLISECONDS for name, each in taken.items()}


async def _timed(question: Callable[[], Awaitable[object]]) -> float:
    begin = perf_counter()
    await question()
    return perf_counter() - begin
