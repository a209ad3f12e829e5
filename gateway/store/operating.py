"""What operators did and want to do, and which destinations they hold.

In: a connection: the writer's inside a transaction, or a reader's. Out: rows. It decides nothing: who may do what, and
who has to agree, is `gateway.operations`' to say. An action is written once, and what became of it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import operations_pb2 as operations

from gateway.lifecycle import State
from gateway.store.attachments import HELD_US
from gateway.store.driver import listed
from gateway.store.schema import WAITING_SQL

_ACTION: Final = """
    SELECT a.seq, a.action, a.asked_by, a.asked_at_us, a.lapses_at_us,
      e.state, e.decided_by, e.at_us, e.reason, e.touched, e.code, e.detail
    FROM actions a LEFT JOIN action_ends e ON e.action_seq = a.seq
"""
_WAITING: Final = "a.lapses_at_us IS NOT NULL AND a.lapses_at_us > ? AND e.action_seq IS NULL"
_HELD: Final = """
    SELECT d.address, a.seq, a.asked_by, a.asked_at_us, a.action
    FROM destinations d JOIN actions a ON a.seq = d.held_by
"""
_PAUSES: Final = f"{WAITING_SQL} AND next_attempt_at_us > ? AND next_attempt_at_us < {HELD_US}"
_NO_NUMBER: Final = (1 << 63) - 1
"""The greatest that a column holds; no action has it."""
_RESENDABLE: Final = f"""
    SELECT d.seq, e.sender, e.id FROM deliveries d
    LEFT JOIN envelopes e ON e.seq = d.envelope_seq LEFT JOIN receipts r ON r.seq = d.receipt_seq
    WHERE d.destination = ? AND {WAITING_SQL}
      AND d.next_attempt_at_us > ? AND d.next_attempt_at_us < {HELD_US}
      AND coalesce(e.recorded_at_us, r.at_us) >= ? AND coalesce(e.recorded_at_us, r.at_us) < ?
    ORDER BY d.seq LIMIT ?
"""  # noqa: S608  built from the states of lifecycle.py, nothing from outside
# What waits behind an earlier copy of its case is not tried before that.
_OF_CASE: Final = f"""
    SELECT seq FROM deliveries
    WHERE destination = ? AND case_id = ? AND case_id <> '' AND seq < ? AND {_PAUSES} ORDER BY seq LIMIT ?
"""  # noqa: S608  as above
_NOW: Final = f"""
    UPDATE deliveries SET next_attempt_at_us = ? WHERE seq IN ({{}}) AND {_PAUSES}
"""  # noqa: S608  as above


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of an action.

    Args:
        state: "done", "rejected" or "failed".
        decided_by: the second operator; empty: none was needed.
        at_us: when.
        reason: of a rejection.
        touched: how many copies.
        code: why it could not be done; 0: it could.
        detail: the same in words.
    """

    state: str
    decided_by: str
    at_us: int
    reason: str = ""
    touched: int = 0
    code: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action, and what became of it. Times in microseconds."""

    seq: int
    action: operations.Action
    asked_by: str
    asked_at_us: int
    # None: no second operator was needed.
    lapses_at_us: int | None
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A destination to which nothing goes."""

    destination: str
    action: int
    by: str
    at_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Copied:
    """One copy of an envelope."""

    seq: int
    destination: str
    case_id: str
    state: State


@dataclass(frozen=True, slots=True)
class Resendable:
    """A copy that waits for its next attempt, and its envelope's name; None: it is a receipt's."""

    seq: int
    ref: ids.EnvelopeRef | None


class OperatingView:
    """What may be asked."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  the drivers have no common type
        self._sql = connection

    def action(self, seq: int) -> ActionRow | None:
        """Return one action."""
        row = self._sql.execute(f"{_ACTION} WHERE a.seq = ?", (min(seq, _NO_NUMBER),)).fetchone()
        return None if row is None else _row(row)

    def actions(self, limit: int, before: int) -> list[ActionRow]:
        """Return actions below a number (0: all), the newest first."""
        before = min(before, _NO_NUMBER)
        rows = self._sql.execute(
            f"{_ACTION} WHERE (? = 0 OR a.seq < ?) ORDER BY a.seq DESC LIMIT ?", (before, before, limit)
        )
        return [_row(row) for row in rows.fetchall()]

    def waiting(self, limit: int, before: int, now_us: int) -> list[ActionRow]:
        """Return those of them that wait for a decision."""
        before = min(before, _NO_NUMBER)
        rows = self._sql.execute(
            f"{_ACTION} WHERE (? = 0 OR a.seq < ?) AND {_WAITING} ORDER BY a.seq DESC LIMIT ?",
            (before, before, now_us, limit),
        )
        return [_row(row) for row in rows.fetchall()]

    def waiting_count(self, now_us: int) -> int:
        """Count what waits for a decision."""
        query = f"SELECT count(*) FROM actions a LEFT JOIN action_ends e ON e.action_seq = a.seq WHERE {_WAITING}"  # noqa: S608  ours
        return int(self._sql.execute(query, (now_us,)).fetchone()[0])

    def held(self) -> list[HeldRow]:
        """Return the destinations to which nothing goes."""
        return [_held(row) for row in self._sql.execute(f"{_HELD} ORDER BY d.address").fetchall()]

    def hold_of(self, destination: str) -> HeldRow | None:
        """Return how a destination is held; None: it is not."""
        row = self._sql.execute(f"{_HELD} WHERE d.address = ?", (destination,)).fetchone()
        return None if row is None else _held(row)

    def newest(self) -> int:
        """Return the number of the newest action; 0: there is none."""
        return int(self._sql.execute("SELECT coalesce(max(seq), 0) FROM actions").fetchone()[0])

    def done_since(self, seq: int) -> list[operations.Action]:
        """Return what was done, of the actions above a number."""
        rows = self._sql.execute(
            "SELECT a.action FROM actions a JOIN action_ends e ON e.action_seq = a.seq"
            " WHERE a.seq > ? AND e.state = 'done' ORDER BY a.seq",
            (seq,),
        ).fetchall()
        return [operations.Action.FromString(bytes(raw)) for (raw,) in rows]

    def resent_at_us(self, destination: str) -> int:
        """Return when somebody last wanted what waits there to be tried at once; 0: never."""
        row = self._sql.execute("SELECT resent_at_us FROM destinations WHERE address = ?", (destination,)).fetchone()
        return 0 if row is None else int(row[0])

    def resendable(self, destination: str, from_us: int, until_us: int, now_us: int, limit: int) -> list[Resendable]:
        """Return what waits for its next attempt and was recorded in an interval, the oldest first."""
        rows = self._sql.execute(_RESENDABLE, (destination, now_us, from_us, until_us, limit)).fetchall()
        return [
            Resendable(seq, None if sender is None else ids.EnvelopeRef(sender=sender, id=id_))
            for seq, sender, id_ in rows
        ]


class OperatingRecord(OperatingView):
    """What may be asked and written, inside one transaction of the writer."""

    def __init__(self, connection: Any, now_us: int) -> None:  # noqa: ANN401  as above
        super().__init__(connection)
        self._now_us = now_us

    def add(self, action: operations.Action, asked_by: str, lapses_at_us: int | None) -> int:
        """Record what somebody wants; return its number."""
        row = self._sql.execute(
            "INSERT INTO actions (action, asked_by, asked_at_us, lapses_at_us) VALUES (?, ?, ?, ?) RETURNING seq",
            (action.SerializeToString(deterministic=True), asked_by, self._now_us, lapses_at_us),
        ).fetchone()
        return int(row[0])

    def end(self, seq: int, ended: Ended) -> None:
        """Record what became of it, once."""
        self._sql.execute(
            "INSERT INTO action_ends (action_seq, state, decided_by, at_us, reason, touched, code, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                ended.state,
                ended.decided_by,
                ended.at_us,
                ended.reason,
                ended.touched,
                ended.code,
                ended.detail,
            ),
        )

    def hold(self, destination: str, action: int) -> None:
        """Let nothing go there."""
        self._sql.execute(
            "INSERT INTO destinations (address, held_by, resent_at_us) VALUES (?, ?, 0)"
            " ON CONFLICT (address) DO UPDATE SET held_by = excluded.held_by",
            (destination, action),
        )

    def release(self, destination: str) -> None:
        """Let everything go there again."""
        self._sql.execute("UPDATE destinations SET held_by = NULL WHERE address = ?", (destination,))

    def resent(self, destination: str) -> None:
        """Note that what waits there shall be tried at once."""
        self._sql.execute(
            "INSERT INTO destinations (address, held_by, resent_at_us) VALUES (?, NULL, ?)"
            " ON CONFLICT (address) DO UPDATE SET resent_at_us = CASE"
            " WHEN destinations.resent_at_us < excluded.resent_at_us THEN excluded.resent_at_us"
            # Another word at the same instant, or by a clock that was set back, is news too.
            " ELSE destinations.resent_at_us + 1 END",
            (destination, self._now_us),
        )

    def copies(self, ref: ids.EnvelopeRef) -> list[Copied] | None:
        """Return the copies of an envelope; None: it is not recorded here."""
        name = ref.id, ref.sender
        row = self._sql.execute("SELECT seq FROM envelopes WHERE id = ? AND sender = ?", name).fetchone()
        if row is None:
            return None
        rows = self._sql.execute(
            "SELECT seq, destination, case_id, state FROM deliveries WHERE envelope_seq = ? ORDER BY seq", row
        ).fetchall()
        return [Copied(seq, destination, case_id, State(state)) for seq, destination, case_id, state in rows]

    def said(self, ref: ids.EnvelopeRef, limit: int) -> list[tuple[pb.Milestone.ValueType, str]]:
        """Return who has stated what of an envelope, the newest last."""
        rows = self._sql.execute(
            "SELECT milestone, issuer FROM receipts WHERE id = ? AND sender = ? ORDER BY seq DESC LIMIT ?",
            (ref.id, ref.sender, limit),
        ).fetchall()
        return [(milestone, issuer) for milestone, issuer in reversed(rows)]

    def before_in_case(self, copy: Copied, limit: int) -> list[int]:
        """Return the numbers of earlier copies of its case that wait for their next attempt."""
        values = copy.destination, copy.case_id, copy.seq, self._now_us, limit
        return [row[0] for row in self._sql.execute(_OF_CASE, values).fetchall()]

    def try_now(self, seqs: Sequence[int]) -> int:
        """End the pause of copies that wait; return of how many. Those that move meanwhile are left alone."""
        ended = 0
        for text, values in listed(_NOW, seqs, 0):
            ended += self._sql.execute(text, (self._now_us, *values, self._now_us)).rowcount
        return ended


def _row(row: Any) -> ActionRow:  # noqa: ANN401  as above
    seq, raw, asked_by, asked_at_us, lapses_at_us, state, *rest = row
    ended = None if state is None else Ended(state, *rest)
    return ActionRow(seq, operations.Action.FromString(bytes(raw)), asked_by, asked_at_us, lapses_at_us, ended)


def _held(row: Any) -> HeldRow:  # noqa: ANN401  as above
    destination, seq, by, at_us, raw = row
    return HeldRow(destination, seq, by, at_us, operations.Action.FromString(bytes(raw)).reason)
