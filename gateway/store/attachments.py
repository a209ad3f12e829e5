"""Sealed files in the store: who has brought what, which envelopes name it, what must go to which node, what may go.

In: a connection: the writer's inside a transaction. Out: rows, and where the bytes of a file lie (`gateway.depot`).

    uploads       one row for who brought a file and the file: so much of it is there; it counts in that one's quota
    attachments   which envelopes name which files
    freight       which file must be at another node before which delivery can go there
    discarded     places whose bytes are to be deleted; a row is made in the transaction that forgets the file

A file is deleted only if no live envelope names it: one whose payload is kept, and whose copies are under way or ended
not long ago. It is forgotten first, in one statement that looks at all of that, and its bytes go afterwards. Its place
is never used again. So what is named after that is not there, and whoever names it is told ATTACHMENT_MISSING.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Final

from rogatory.v1 import envelope_pb2 as pb

from gateway import manifest
from gateway.config import Attachments, Limits
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.store.driver import storable
from gateway.store.schema import HELD_SQL, PENDING_SQL

HELD_US: Final = 253_402_300_799_000_000
"""The end of the year 9999: a delivery that waits for its attachments has no time of its own."""
AHEAD: Final = f"{ErrorCode.ATTACHMENT_MISSING.name}: its attachments go ahead of it"
"""Why such a delivery waits, while nothing stops its attachments."""
RETRY_SECONDS: Final = 1.0
NO_ROOM_SECONDS: Final = 60.0
SWEEP_ROWS: Final = 256

BROUGHT: Final = "CASE whole WHEN 1 THEN size ELSE received END"
"""How many bytes of an upload lie there."""
UPLOADS: Final = f"SELECT place, digest, {BROUGHT}, whole FROM uploads WHERE place > ? ORDER BY place LIMIT ?"  # noqa: S608  ours
"""A page of what lies there, by place, for backups and fsck."""

_HANDED_OUT: Final = "('delivering', 'doubtful', 'asking', 'delivered')"

_PARTY: Final = f"""
    SELECT 1 FROM attachments a JOIN envelopes e ON e.seq = a.envelope_seq
    WHERE a.digest = ? AND a.size = ?
      AND (e.sender = ? OR substr(e.sender, 1, 3) = ? OR EXISTS (
        SELECT 1 FROM deliveries d
        WHERE d.envelope_seq = a.envelope_seq AND d.destination = ? AND d.state IN {_HANDED_OUT}))
    LIMIT 1
"""  # noqa: S608  built from our own words

_LIVE: Final = """
    SELECT 1 FROM attachments a JOIN envelopes e ON e.seq = a.envelope_seq
    WHERE a.digest = uploads.digest AND e.payload IS NOT NULL AND (a.ended_at_us IS NULL OR a.ended_at_us > ?)
"""

_FORGET: Final = f"""
    DELETE FROM uploads WHERE touched_at_us < ? AND NOT EXISTS ({_LIVE})
      AND place IN (SELECT place FROM uploads WHERE touched_at_us < ? AND NOT EXISTS ({_LIVE})
                    ORDER BY touched_at_us LIMIT ?)
    RETURNING place
"""  # noqa: S608  as above

_END: Final = f"""
    UPDATE attachments SET ended_at_us = ? WHERE ended_at_us IS NULL AND NOT EXISTS (
      SELECT 1 FROM deliveries d WHERE d.envelope_seq = attachments.envelope_seq AND d.state IN {PENDING_SQL})
"""  # noqa: S608  as above

_RELEASE: Final = """
    UPDATE deliveries SET next_attempt_at_us = ?, last_error = ''
    WHERE state = 'queued' AND next_attempt_at_us = ?
      AND seq IN (SELECT delivery_seq FROM freight WHERE destination = ? AND digest = ?)
      AND NOT EXISTS (SELECT 1 FROM freight f WHERE f.delivery_seq = deliveries.seq AND f.carried = 0)
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an upload has come.

    Args:
        place: where its bytes lie; empty if nothing needs to be brought.
        received: how many of them are there.
        whole: all are there, and have the digest that names them.
    """

    place: str
    received: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Freight:
    """A file that another node must have, and where it lies here; empty: it is here no more."""

    digest: bytes
    size: int
    place: str


class AttachmentRecord:
    """Sealed files, in one transaction."""

    def __init__(self, connection: Any, now_us: int) -> None:  # noqa: ANN401  the driver has no types
        self._sql = connection
        self._now_us = now_us

    # Uploads

    def begin(self, owner: Address, wanted: pb.AttachmentRef, limits: Limits, settings: Attachments) -> Standing:
        """Begin an upload, or take it up again.

        Raises:
            Refusal: TOO_LARGE; BAD_SIGNATURE, the file of that digest has another size.
            Failure: NO_ROOM, over a quota; room comes when files go.
        """
        found = self._one(
            "SELECT size, place, received, whole FROM uploads WHERE owner = ? AND digest = ?",
            str(owner),
            wanted.sha256,
        )
        if found is not None:
            size, place, received, whole = found
            if size == wanted.size:
                self._touch(wanted.sha256)
                return Standing(place, received, bool(whole))
            if whole:
                raise Refusal(ErrorCode.BAD_SIGNATURE, f"the file of that digest has {size} bytes", "begin.size")
            self.drop(owner, wanted.sha256, place)
        if self._is_party(owner, wanted) and self.place(wanted) is not None:
            # Whoever was sent it, or sent it, need not bring it again; and only he: a digest alone proves nothing.
            self._touch(wanted.sha256)
            return Standing("", wanted.size, whole=True)
        manifest.check_size(wanted.size, limits.max_attachment_bytes, "begin.size")
        self._check_room(owner, wanted.size, settings)
        # The digest, so that an operator finds it; and chance, so that what is deleted later is never this one.
        place = f"{wanted.sha256.hex()}.{token_hex(8)}"
        self._sql.execute(
            "INSERT INTO uploads (owner, digest, size, place, received, whole, touched_at_us)"
            " VALUES (?, ?, ?, ?, 0, 0, ?)",
            (str(owner), wanted.sha256, wanted.size, place, self._now_us),
        )
        return Standing(place, 0, whole=False)

    def progress(self, place: str, received: int, *, whole: bool = False) -> None:
        """Note how far an upload has come.

        Raises:
            Failure: ATTACHMENT_MISSING, it is known no more: it has to be brought from its beginning.
        """
        cursor = self._sql.execute(
            "UPDATE uploads SET received = CASE WHEN received < ? THEN ? ELSE received END,"
            " whole = CASE WHEN ? = 1 THEN 1 ELSE whole END, touched_at_us = ? WHERE place = ?",
            (received, received, int(whole), self._now_us, place),
        )
        if cursor.rowcount != 1:
            raise Failure(ErrorCode.ATTACHMENT_MISSING, "the upload is known no more", retry_after=RETRY_SECONDS)

    def drop(self, owner: Address, digest: bytes, place: str) -> None:
        """Forget an upload whose bytes are not what they were said to be; never one that is whole and proven."""
        cursor = self._sql.execute(
            "DELETE FROM uploads WHERE owner = ? AND digest = ? AND place = ? AND whole = 0",
            (str(owner), digest, place),
        )
        if cursor.rowcount == 1:
            self.discard(place)

    def lost(self, place: str) -> None:
        """Forget a file whose bytes are no longer what they were; whoever has it may bring it again."""
        self._sql.execute("DELETE FROM uploads WHERE place = ?", (place,))
        self.discard(place)

    def place(self, wanted: pb.AttachmentRef) -> str | None:
        """Return where a whole file lies, whoever brought it."""
        row = self._one(
            "SELECT place FROM uploads WHERE digest = ? AND size = ? AND whole = 1 ORDER BY place LIMIT 1",
            wanted.sha256,
            wanted.size,
        )
        return None if row is None else row[0]

    def place_for(self, reader: Address, wanted: pb.AttachmentRef) -> str:
        """Return where a file lies that a participant may fetch.

        Raises:
            Refusal: NOT_FOUND, it is not here, or that one is no party to an envelope that names it; who is none
                learns nothing of what is here.
        """
        place = self.place(wanted) if self._is_party(reader, wanted) else None
        if place is None:
            raise Refusal(ErrorCode.NOT_FOUND, "no envelope of yours names such a file that is kept here", "attachment")
        return place

    # Naming

    def name(self, envelope_seq: int, named: Sequence[pb.AttachmentRef], bringer: Address) -> None:
        """Note which files an envelope needs; all of them are here.

        Raises:
            Failure: ATTACHMENT_MISSING, one is not, or who brings the envelope did not bring that and is no party to an
                envelope that names it.
            Refusal: BAD_SIGNATURE, a file of that digest has another size.
        """
        for position, each in enumerate(named):
            field = f"attachments[{position}]"
            rows = self._touch(each.sha256)
            if not rows or not (str(bringer) in {owner for owner, _ in rows} or self._is_party(bringer, each)):
                detail = "an attachment that it names is not here yet"
                raise Failure(ErrorCode.ATTACHMENT_MISSING, detail, field, RETRY_SECONDS)
            if any(size != each.size for _, size in rows):
                raise Refusal(ErrorCode.BAD_SIGNATURE, "the file of that digest has another size", f"{field}.size")
            self._sql.execute(
                "INSERT INTO attachments (envelope_seq, position, digest, size) VALUES (?, ?, ?, ?)",
                (envelope_seq, position, each.sha256, each.size),
            )

    # Freight

    def hold(self, envelope_seq: int, destination: str) -> None:
        """Let a copy for another node wait until all its files are there."""
        self._sql.execute(
            "INSERT INTO freight (delivery_seq, digest, size, destination, carried)"
            " SELECT d.seq, a.digest, a.size, d.destination, 0 FROM deliveries d"
            " JOIN attachments a ON a.envelope_seq = d.envelope_seq WHERE d.envelope_seq = ? AND d.destination = ?",
            (envelope_seq, destination),
        )
        self._sql.execute(
            "UPDATE deliveries SET next_attempt_at_us = ?, last_error = ?"
            " WHERE envelope_seq = ? AND destination = ? AND state = 'queued'",
            (HELD_US, AHEAD, envelope_seq, destination),
        )

    def next_freight(
        self, destination: str, order: str, but: Collection[bytes], last: Collection[bytes] = ()
    ) -> Freight | None:
        """Return what must go to a node next: of what is due longest ("oldest"), or the smallest ("smallest").

        Args:
            destination: the node.
            order: which of the two.
            but: files that are not asked for.
            last: files that go only if there is no other.
        """
        by = {"oldest": "f.delivery_seq, f.size", "smallest": "f.size, f.delivery_seq"}[order]
        spared = "".join(" AND f.digest <> ?" for _ in but)
        if last:
            by = f"CASE WHEN f.digest IN ({', '.join('?' for _ in last)}) THEN 1 ELSE 0 END, {by}"
        row = self._one(
            "SELECT f.digest, f.size FROM freight f JOIN deliveries d ON d.seq = f.delivery_seq"  # noqa: S608  our own text
            f" WHERE f.destination = ? AND f.carried = 0 AND d.state IN {PENDING_SQL}{spared} ORDER BY {by}"
            # As of deliveries: nothing goes to a destination that is held.
            f" LIMIT CASE WHEN EXISTS ({HELD_SQL}) THEN 0 ELSE 1 END",
            destination,
            *but,
            *last,
            destination,
        )
        if row is None:
            return None
        digest, size = row
        return Freight(digest, size, self.place(pb.AttachmentRef(sha256=digest, size=size)) or "")

    def is_wanted(self, destination: str, digest: bytes) -> bool:
        """Whether a file must still go to a node: some envelope that needs it there is still on its way."""
        row = self._one(
            "SELECT 1 FROM freight f JOIN deliveries d ON d.seq = f.delivery_seq"  # noqa: S608  our own text
            f" WHERE f.destination = ? AND f.digest = ? AND f.carried = 0 AND d.state IN {PENDING_SQL} LIMIT 1",
            destination,
            digest,
        )
        return row is not None

    def waiting_for(self, destination: str, digest: bytes) -> Sequence[bytes]:
        """Return the headers of the envelopes that a file keeps from going to a node."""
        rows = self._sql.execute(
            "SELECT e.header FROM freight f JOIN deliveries d ON d.seq = f.delivery_seq"  # noqa: S608  our own text
            " JOIN envelopes e ON e.seq = d.envelope_seq"
            f" WHERE f.destination = ? AND f.digest = ? AND f.carried = 0 AND d.state IN {PENDING_SQL}"
            " ORDER BY f.delivery_seq",
            (destination, digest),
        )
        return [row[0] for row in rows]

    def carried(self, destination: str, digest: bytes) -> None:
        """Note that a node has a file, or will never take it; what waited for nothing else may go."""
        self._sql.execute(
            "UPDATE freight SET carried = 1 WHERE destination = ? AND digest = ? AND carried = 0", (destination, digest)
        )
        self._sql.execute(_RELEASE, (self._now_us, HELD_US, destination, digest))

    def waits_because(self, destination: str, digest: bytes, text: str) -> None:
        """Note, for who asks why an envelope waits, what stopped its file, or that nothing does."""
        self._sql.execute(
            "UPDATE deliveries SET last_error = ? WHERE state = 'queued' AND next_attempt_at_us = ?"
            " AND seq IN (SELECT delivery_seq FROM freight WHERE destination = ? AND digest = ? AND carried = 0)",
            (storable(text), HELD_US, destination, digest),
        )

    def carry_again(self, delivery_seq: int) -> None:
        """Have the files of a copy brought again: the other node says that it has not got them."""
        self._sql.execute("UPDATE freight SET carried = 0 WHERE delivery_seq = ?", (delivery_seq,))

    # Collection of what nobody needs

    def forget(self, settings: Attachments) -> bool:
        """Forget files that no live envelope names and nobody has touched for a while; return whether more may be."""
        self._sql.execute(_END, (self._now_us,))
        untouched = self._now_us - round(settings.unnamed_hours * 3_600_000_000)
        ended = self._now_us - round(settings.keep_days * 86_400_000_000)
        gone = self._sql.execute(_FORGET, (untouched, ended, untouched, ended, SWEEP_ROWS)).fetchall()
        for (place,) in gone:
            self.discard(place)
        return len(gone) == SWEEP_ROWS

    def discard(self, place: str) -> None:
        """Have the bytes in a place deleted."""
        self._sql.execute("INSERT INTO discarded (place) VALUES (?) ON CONFLICT (place) DO NOTHING", (place,))

    def to_delete(self, after: str = "") -> list[str]:
        """Return places whose bytes are to be deleted, in their order, behind one of them."""
        query = "SELECT place FROM discarded WHERE place > ? ORDER BY place LIMIT ?"
        return [row[0] for row in self._sql.execute(query, (after, SWEEP_ROWS))]

    def deleted(self, places: Sequence[str]) -> None:
        """Note that the bytes in some places are gone."""
        for place in places:
            self._sql.execute("DELETE FROM discarded WHERE place = ?", (place,))

    def _check_room(self, owner: Address, size: int, settings: Attachments) -> None:
        count, unfinished, held = self._one(
            "SELECT COUNT(*), COALESCE(SUM(1 - whole), 0), COALESCE(SUM(size), 0) FROM uploads WHERE owner = ?",
            str(owner),
        )
        (in_all,) = self._one("SELECT COALESCE(SUM(size), 0) FROM uploads")
        for name, would_be, most in (
            ("max_count_of_one", count + 1, settings.max_count_of_one),
            ("max_unfinished_of_one", unfinished + 1, settings.max_unfinished_of_one),
            ("max_bytes_of_one", held + size, settings.max_bytes_of_one),
            ("max_bytes_in_all", in_all + size, settings.max_bytes_in_all),
        ):
            if would_be > most:
                detail = f"with this attachment it would be {would_be}, over attachments.{name} = {most}"
                raise Failure(ErrorCode.NO_ROOM, detail, name, NO_ROOM_SECONDS)

    def _is_party(self, who: Address, wanted: pb.AttachmentRef) -> bool:
        of_node = f"{who.node}/" if who.is_node else ""
        return self._one(_PARTY, wanted.sha256, wanted.size, str(who), of_node, str(who)) is not None

    def _touch(self, digest: bytes) -> list[tuple[str, int]]:
        """Keep the whole files of that digest from going just now; return who brought each, and its size."""
        return list(
            self._sql.execute(
                "UPDATE uploads SET touched_at_us = ? WHERE digest = ? AND whole = 1 RETURNING owner, size",
                (self._now_us, digest),
            ).fetchall()
        )

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401  the driver has no types
        return self._sql.execute(sql, values).fetchone()
