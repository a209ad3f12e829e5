"""What a node witnesses: the checkpoint of each log that it cosigned last, and what a log has to answer for.

In: what `gateway.witness` has judged. Out: the same, on disk before the cosignature leaves. Several processes of one
node share it: whoever remembers something says what was there before, and fails with STORE if it no longer is.
"""

from dataclasses import dataclass
from typing import Any, Final

from gateway import note
from gateway.checkpoint import Checkpoint
from gateway.errors import ErrorCode, Failure
from gateway.merkle import HASH_BYTES
from gateway.note import NoteSignature
from gateway.witness import Evidence, Witnessed

MAX_ALARMS: Final = 64
"""Kept of one log, of those that are proof and of the others: enough to answer for, and no way to fill the disk of
whoever watches it. Of what is no proof a log makes as much as it likes; that must not take the place of one."""

_LAST: Final = "SELECT size, root, note FROM witnessed WHERE origin = ?"
_FIRST: Final = """
    INSERT INTO witnessed (origin, size, root, note, at_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_NEXT: Final = """
    UPDATE witnessed SET size = ?, root = ?, note = ?, at_us = ? WHERE origin = ? AND size = ? AND root = ?
"""
_ALARM: Final = """
    INSERT INTO alarms (at_us, origin, code, detail, held, brought, proof, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_KEPT: Final = "SELECT code, held, brought, proof FROM alarms WHERE origin = ?"
_COSIGNED: Final = """
    INSERT INTO cosignatures (size, origin, name, key_id, line, at_us) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (size, origin, name, key_id) DO UPDATE SET line = excluded.line, at_us = excluded.at_us
    WHERE cosignatures.at_us < ?
"""


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """What a log has to answer for; see `witness.Evidence`."""

    at_us: int
    origin: str
    code: ErrorCode
    detail: str
    held: bytes
    brought: bytes
    proof: tuple[bytes, ...]


class WitnessRecord:
    """What is witnessed, in one transaction."""

    def __init__(self, connection: Any, now_us: int) -> None:  # noqa: ANN401  pysqlite3 has no types
        self._sql = connection
        self._now_us = now_us

    def last(self, origin: str) -> Witnessed | None:
        """Return what was cosigned last of a log."""
        return last(self._sql, origin)

    def origins(self) -> list[str]:
        """Return which logs are witnessed."""
        return origins(self._sql)

    def remember(self, found: Witnessed, before: Witnessed | None) -> None:
        """Remember what is about to be cosigned.

        Args:
            found: that.
            before: what was cosigned last, from `last`.

        Raises:
            Failure: STORE, it is another one by now.
        """
        if found == before:
            return
        new = found.checkpoint
        if before is None:
            values: tuple[Any, ...] = (new.origin, new.size, new.root, found.note, self._now_us)
            done = self._sql.execute(_FIRST, values).rowcount
        else:
            old = before.checkpoint
            values = (new.size, new.root, found.note, self._now_us, new.origin, old.size, old.root)
            done = self._sql.execute(_NEXT, values).rowcount
        if done != 1:
            raise Failure(ErrorCode.STORE, f"another process has witnessed {new.origin} meanwhile", retry_after=1.0)

    def alarm(self, evidence: Evidence) -> bool:
        """Keep evidence; return whether it is news."""
        rows = self._sql.execute(_KEPT, (evidence.origin,)).fetchall()
        if len(rows) >= MAX_ALARMS and sum(_is_proof(*row) == evidence.is_proof for row in rows) >= MAX_ALARMS:
            return False
        held, brought, proof = evidence.held.note, evidence.brought.note, b"".join(evidence.proof)
        values = self._now_us, evidence.origin, evidence.code.value, evidence.detail, held, brought, proof
        return bool(self._sql.execute(_ALARM, (*values, evidence.digest)).rowcount == 1)

    def cosigned(self, checkpoint: Checkpoint, line: NoteSignature, signed_at_us: int = 0) -> None:
        """Keep what a witness has said of this node's own checkpoint; anew, if that was signed anew since.

        Args:
            checkpoint: which.
            line: what it said.
            signed_at_us: when the checkpoint was signed. The clock may have been put back since.
        """
        at_us = max(self._now_us, signed_at_us)
        values = checkpoint.size, checkpoint.origin, line.name, line.key_id, str(line), at_us, signed_at_us
        self._sql.execute(_COSIGNED, values)


def origins(connection: Any) -> list[str]:  # noqa: ANN401  as above
    """Return which logs are witnessed."""
    return [origin for (origin,) in connection.execute("SELECT origin FROM witnessed").fetchall()]


def last(connection: Any, origin: str) -> Witnessed | None:  # noqa: ANN401  as above
    """Return what was cosigned last of a log."""
    row = connection.execute(_LAST, (origin,)).fetchone()
    return None if row is None else Witnessed(Checkpoint(origin, row[0], bytes(row[1])), bytes(row[2]))


def alarms(connection: Any, limit: int, *, newest: bool = False) -> list[AlarmRow]:  # noqa: ANN401  as above
    """Return what logs have to answer for, the newest first; `newest`: of each log that alone."""
    which = "WHERE seq IN (SELECT max(seq) FROM alarms GROUP BY origin)" if newest else ""
    query = f"SELECT at_us, origin, code, detail, held, brought, proof FROM alarms {which} ORDER BY seq DESC LIMIT ?"  # noqa: S608  ours
    rows = connection.execute(query, (limit,)).fetchall()
    return [
        AlarmRow(at_us, origin, ErrorCode(code), detail, bytes(held), bytes(brought), _hashes(bytes(proof)))
        for at_us, origin, code, detail, held, brought, proof in rows
    ]


def _is_proof(code: int, held: bytes, brought: bytes, proof: bytes) -> bool:
    first, second = (Witnessed(Checkpoint.parse(note.parse(bytes(raw)).text), bytes(raw)) for raw in (held, brought))
    return Evidence(ErrorCode(code), "", first, second, _hashes(bytes(proof))).is_proof


def _hashes(together: bytes) -> tuple[bytes, ...]:
    return tuple(together[at : at + HASH_BYTES] for at in range(0, len(together), HASH_BYTES))
