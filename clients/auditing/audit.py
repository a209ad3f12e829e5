"""One look at a log: what it shows now is held against all that it signed before, and every new entry is read.

In: a place, a memory, the keys to believe, the time, what others have seen. Out: a `Report`, and the memory brought up
to date once all holds. Refuses with LOG_VIOLATED and a `memory.Rule`, after the evidence is kept; with BAD_SIGNATURE,
MALFORMED, KEY_REVOKED what the log did not sign; with TOO_LARGE more than one look shall read. Fails with UNAVAILABLE
if the log cannot be had, or our own clock stands before the last look; with STORE, if it cannot be remembered now.
Whatever is raised, the memory stays as it was.

 1. remembered   the last checkpoint and earlier ones, signed by the log; the hashes that we keep lead to its root
 2. fetched      the checkpoint that it shows now, signed by a key of the log that counts
 3. order        under the same name it shows no less than before, and of one size one root only
 4. others       so do the checkpoints that others have of it
 5. one tree     from some hundred hashes: the tree that is signed now begins with every one that was signed before
 6. entries      each entry since is read; the root over them, and every tile above them, is as it is signed and served
 7. remember     the new checkpoint, and where its tree grows on
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NoReturn

from clients.auditing.growth import Growth, blocks, over
from clients.auditing.memory import (
    MAX_AHEAD,
    MAX_RESTORATIONS,
    Memory,
    Restoration,
    Rule,
    Store,
    latest,
    proven,
    thinned,
)
from clients.auditing.places import HASH_BYTES, RETRY_SECONDS, WIDTH, Place, path_of
from clients.auditing.report import Other, Relation, Report, Wish
from clients.auditing.signed import ALWAYS, Seen, Trust
from gateway.clock import Clock
from gateway.errors import ErrorCode, Failure, Refusal

HEIGHT: Final = WIDTH.bit_length() - 1
AT_ONCE: Final = 4
"""Tiles that are asked for at a time."""
WAITING: Final = 32
"""Tiles that may lie read and wait for those before them: a quarter of a megabyte."""
REMEMBERED_TILES: Final = 512
"""Four megabytes."""
SKEW: Final = timedelta(minutes=5)

Told = Callable[[int, int], None]
"""Is told how many entries were read, and of how many."""


class Stopped(Exception):
    """Somebody does not want to wait for the end of this look; nothing of it is remembered."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """Follows one log.

    Args:
        place: where it is read.
        store: where it is remembered.
        trust: says whom to believe at a time.
        clock: the time.
        stopped: whether somebody does not want to wait any more.
        told: is told how far it is.
    """

    place: Place
    store: Store
    trust: Callable[[datetime], Trust]
    clock: Clock
    stopped: Callable[[], bool] = lambda: False
    told: Told = lambda _done, _all: None

    def look(self, wish: Wish | None = None) -> Report:
        """Look once.

        Raises:
            Refusal: LOG_VIOLATED, with its rule; BAD_SIGNATURE, MALFORMED, KEY_REVOKED, TOO_LARGE, BAD_INPUT.
            Failure: UNAVAILABLE; STORE.
            Stopped: before the end.
        """
        with self.store.alone():
            now = self.clock()
            return _Look(self, wish or Wish(), now, self.trust(now)).run()


@dataclass(slots=True)
class _Look:
    """What is known in one look so far."""

    auditor: Auditor
    wish: Wish
    now: datetime
    trust: Trust
    memory: Memory | None = None
    known: Seen | None = None
    history: list[Seen] = field(default_factory=list)
    ahead: list[Seen] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    claimed: list[tuple[str, Seen]] = field(default_factory=list)
    positions: dict[bytes, int] = field(default_factory=dict)
    restoration: Restoration | None = None
    _tiles: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    _cover: list[tuple[int, int, str]] = field(default_factory=list)

    def run(self) -> Report:
        """Go through the steps."""
        growth = self._remembered()  # (1)
        seen = self.trust.read(self.auditor.place.checkpoint())  # (2)
        self._check_order(seen)  # (3)
        self._hear_others(seen)  # (4)
        growth = self._one_tree(seen, growth)  # (5)
        if self.wish.whole or self.wish.contains:
            growth = Growth()
        begin = growth.size
        if seen.size - begin > self.wish.most:
            detail = f"{seen.size - begin} entries to read, more than {self.wish.most} in one look"
            raise Refusal(ErrorCode.TOO_LARGE, detail, "most")
        self._read_entries(growth, seen)  # (6)
        return self._remember(seen, growth)  # (7)

    def _remembered(self) -> Growth:
        memory = self.auditor.store.load()
        if memory is None:
            return Growth()
        self.memory = memory
        if self.now < memory.looked_at - SKEW:
            detail = (
                f"our clock says {self.now:%Y-%m-%d %H:%M}, but the last look was {memory.looked_at:%Y-%m-%d %H:%M}"
            )
            raise Failure(ErrorCode.UNAVAILABLE, detail, "clock", retry_after=RETRY_SECONDS)
        self.known, self.history, self.ahead = proven(memory, self.trust)
        return memory.growth(self.known)

    def _check_order(self, seen: Seen) -> None:
        known = self.known
        if known is None or seen.origin.times > known.origin.times:
            self.trust.check_still_counts(seen, self._last_look, self.now)
            return
        if seen.checkpoint == known.checkpoint:
            return
        # First, that nobody but the log can have signed it: a stolen key must not make it look as if it had forked.
        self.trust.check_still_counts(seen, ALWAYS, self.now)
        if seen.origin.times < known.origin.times:
            self.violated(Rule.ROLLED_BACK, f"it shows {seen}, after {known}", known, seen)
        self._check_no_conflict(seen, self.auditor.place.name)
        if seen.size < known.size:
            self.violated(Rule.ROLLED_BACK, f"it shows {seen.size} entries, and showed {known.size}", known, seen)
        self.trust.check_still_counts(seen, self._last_look, self.now)

    @property
    def _last_look(self) -> datetime:
        return ALWAYS if self.memory is None else self.memory.looked_at

    def _check_no_conflict(self, seen: Seen, where: str) -> None:
        """Check that nothing else is known that the log has signed of the same size."""
        claimed = (each for _, each in self.claimed)
        for each in (*([self.known] if self.known else ()), *self.history, *self.ahead, *claimed):
            if each.size == seen.size and each.root != seen.root and each.origin == seen.origin:
                self.violated(Rule.FORKED, f"it has signed two roots over {seen.size} entries", each, seen, where)

    def _hear_others(self, seen: Seen) -> None:
        self.claimed.append((self.auditor.place.name, seen))
        for claim in self.wish.claims:
            if claim.error is not None:
                self.others.append(Other(claim.name, Relation.UNAVAILABLE, str(claim.error)))
            # Of what another auditor remembers the newest is told, which is the first; all of it counts.
            self.others += [self._hear(claim.name, raw, seen) for raw in claim.notes][:1]

    def _hear(self, name: str, raw: bytes, seen: Seen) -> Other:
        try:
            said = self.trust.read(raw)
            # As of what the log shows itself.
            self.trust.check_still_counts(said, ALWAYS, self.now)
        except Refusal as error:
            return Other(name, Relation.NOT_SIGNED, str(error))
        if said.origin != seen.origin:
            return Other(name, Relation.OTHER_NAME, f"{said.origin}, {said.size} entries")
        self._check_no_conflict(said, name)
        self.claimed.append((name, said))
        relation = Relation.SAME
        if said.size != seen.size:
            relation = Relation.AHEAD if said.size > seen.size else Relation.BEHIND
        return Other(name, relation, f"{said.size} entries")

    def _one_tree(self, seen: Seen, growth: Growth) -> Growth:
        """Check that all that was signed is one tree; return how far it is known."""
        place, known = self.auditor.place.name, self.known
        restored = known is not None and seen.origin != known.origin
        due = [(name, each) for name, each in self.claimed if each.size < seen.size]
        due += [(place, each) for each in self.ahead if each.origin == seen.origin and each.size <= seen.size]
        if known is not None and seen.checkpoint == known.checkpoint and not due:
            return growth
        earlier = [*self.history, known] if restored and known else [known] if known else []
        earlier = [each for each in earlier if each.size <= seen.size]
        trees = self._trees({each.size for each in earlier} | {each.size for _, each in due}, seen)
        if trees[seen.size].root != seen.root:
            self.violated(Rule.BAD_TILES, "its tiles are not the tree that it has signed", known, seen)
        if restored and known:
            growth = self._restored(seen, known, [trees[e.size] for e in earlier if trees[e.size].root == e.root])
        elif known is not None and trees[known.size].root != known.root:
            cover, common = self._cover, self._common(seen)
            detail = f"of {known.size} entries that it had signed, only the first {common} can be shown to be the same"
            self.violated(Rule.REWRITTEN, detail, known, seen, cover=cover)
        for name, each in due:
            if trees[each.size].root != each.root:
                detail = f"{name} has {each.size} entries that are not in it"
                self.violated(Rule.FORKED, detail, each, seen, name, self._cover)
        return growth

    def _restored(self, seen: Seen, known: Seen, common: Sequence[Growth]) -> Growth:
        growth = max(common, key=lambda each: each.size, default=Growth())
        if not self.wish.accept_restoration:
            detail = (
                f"it says to be {seen.origin}, put back from a backup, with {seen.size} entries; of the {known.size} of"
                f" {known.origin}, the first {growth.size} can be shown to be in it. Ask the operator what was lost"
            )
            self.violated(Rule.RESTORED, detail, known, seen)
        self.restoration = Restoration(before=known.alone, common=growth.size, at=self.now)
        return growth

    def _common(self, seen: Seen) -> int:
        """Return of how many entries, at least, it can be shown that they are as they were."""
        earlier = [each for each in self.history if each.size <= seen.size]
        trees = self._trees({each.size for each in earlier}, seen)
        return max((each.size for each in earlier if trees[each.size].root == each.root), default=0)

    def _trees(self, sizes: Iterable[int], seen: Seen) -> dict[int, Growth]:
        """Return the trees of some sizes, up to that of `seen`, from some hundred hashes that the log hands out.

        They are parts of one tree; that it is the tree that was signed, the caller must check of the largest.
        """
        growth, found = Growth(), dict[int, Growth]()
        self._cover = []
        for size in sorted({*sizes, seen.size}):
            for begin, height in blocks(growth.size, size):
                hash_ = self._block(begin, height, seen)
                growth.add(hash_, height)
                self._cover.append((begin, height, hash_.hex()))
            found[size] = Growth(size, growth.digits)
        return found

    def _block(self, begin: int, height: int, seen: Seen) -> bytes:
        level, rest = divmod(height, HEIGHT)
        number, first = divmod(begin >> HEIGHT * level, WIDTH)
        width = min(WIDTH, (seen.size >> HEIGHT * level) - number * WIDTH)
        tile = self._tiles.get((level, number, width))
        if tile is None:
            if len(self._tiles) >= REMEMBERED_TILES:
                self._tiles.clear()
            tile = self._tiles[level, number, width] = self.tile(level, number, width, seen)
        return over(_hashes(tile)[first : first + (1 << rest)])

    def tile(self, level: int, number: int, width: int, seen: Seen) -> bytes:
        if self.auditor.stopped():
            raise Stopped
        content = self.auditor.place.tile(level, number, width)
        if len(content) != width * HASH_BYTES:
            detail = f"{path_of(level, number)} has {len(content)} bytes where {width * HASH_BYTES} are signed"
            self.violated(Rule.BAD_TILES, detail, self.known, seen)
        return content

    def _read_entries(self, growth: Growth, seen: Seen) -> None:
        begin, upper = growth.size, _Upper(self, seen)
        for number, content in self._leaf_tiles(begin, seen):
            hashes = _hashes(content)
            for hash_ in self.wish.contains:
                if hash_ in hashes:
                    self.positions.setdefault(hash_, number * WIDTH + hashes.index(hash_))
            new = hashes[growth.size - number * WIDTH :]
            if len(new) == WIDTH:
                upper.take(growth.add(over(new), HEIGHT), growth.size)
            else:
                for hash_ in new:
                    upper.take(growth.add(hash_), growth.size)
            self.auditor.told(growth.size - begin, seen.size - begin)
        if growth.root != seen.root:
            self.violated(Rule.BAD_TILES, "its entries are not the tree that it has signed", self.known, seen)
        upper.finish()

    def _leaf_tiles(self, begin: int, seen: Seen) -> Iterator[tuple[int, bytes]]:
        """Yield the tiles of entries, in their order, from the one in which an entry lies."""
        waiting = deque[tuple[int, Future[bytes]]]()
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            for number in range(begin // WIDTH, -(-seen.size // WIDTH)) if begin < seen.size else ():
                width = min(WIDTH, seen.size - number * WIDTH)
                waiting.append((number, pool.submit(self.tile, 0, number, width, seen)))
                if len(waiting) >= WAITING:
                    first, tile = waiting.popleft()
                    yield first, tile.result()
            for first, tile in waiting:
                yield first, tile.result()
        finally:
            # Those that run end by themselves, within the time that a request may take, or when the place is closed.
            pool.shutdown(wait=False, cancel_futures=True)

    def _remember(self, seen: Seen, growth: Growth) -> Report:
        known, memory = self.known, self.memory
        same = known is not None and seen.checkpoint == known.checkpoint
        history: tuple[str, ...] = ()
        if memory is not None and known is not None:
            history = memory.history if same else thinned((*memory.history, known.alone))
        if self.restoration is not None:
            common = self.restoration.common
            history = thinned([e.alone for e in (*self.history, *([known] if known else ())) if e.size <= common])
        later = [e for e in (*self.ahead, *(e for _, e in self.claimed)) if e.size > seen.size]
        ahead = dict.fromkeys(each.alone for each in later if each.origin == seen.origin)
        cosigned = dict(memory.cosigned) if memory is not None else {}
        for each in seen.cosigned:
            if each.at <= (self.now + SKEW).timestamp():
                cosigned[str(each.by)] = max(each.at, cosigned.get(str(each.by), 0))
        changed_at = memory.changed_at if memory is not None and same else self.now
        restorations = (*(memory.restorations if memory else ()), *([self.restoration] if self.restoration else ()))
        new = Memory(
            note=bytes(seen.note).decode(),
            digits=tuple(each.hex() for each in growth.digits),
            looked_at=self.now,
            changed_at=changed_at,
            history=history,
            ahead=tuple(ahead)[:MAX_AHEAD],
            cosigned=latest(cosigned),
            restorations=restorations[-MAX_RESTORATIONS:],
        )
        self.auditor.store.save(new)
        return Report(
            seen=seen,
            before=known,
            last_look=memory.looked_at if memory else None,
            looked_at=self.now,
            changed_at=changed_at,
            new=seen.size - self._read_before(seen),
            others=tuple(self.others),
            restoration=self.restoration,
            found=tuple((each, self.positions.get(each)) for each in self.wish.contains),
        )

    def _read_before(self, seen: Seen) -> int:
        if self.restoration is not None:
            return self.restoration.common
        return min(self.known.size, seen.size) if self.known else 0

    def violated(
        self,
        rule: Rule,
        detail: str,
        known: Seen | None,
        seen: Seen,
        where: str = "",
        cover: Sequence[tuple[int, int, str]] = (),
    ) -> NoReturn:
        """Keep the evidence, then say so.

        Args:
            rule: what was broken.
            detail: in words.
            known: what is held against it.
            seen: what the log shows.
            where: who has either, if not the log.
            cover: whole subtrees of the tree of `seen`, that together give its root: where each begins, its height, its
                hash. Those up to the size of `known` give another root than `known` has: no one tree has both.
        """
        evidence: dict[str, object] = {
            "rule": rule.value,
            "origin": str(seen.origin),
            "place": where or self.auditor.place.name,
            "found_at": self.now.isoformat(),
            "detail": detail,
            "known": bytes(known.note).decode() if known else None,
            "found": bytes(seen.note).decode(),
            "tree": cover,
        }
        kept = self.auditor.store.keep(rule, evidence)
        told = f"{detail}; evidence: {kept}" if kept else detail
        raise Refusal(ErrorCode.LOG_VIOLATED, told, str(where or self.auditor.place.name), rule=rule.value)


class _Upper:
    """Checks tiles above the entries, against what the entries give.

    Args:
        look: reads them.
        seen: of which checkpoint.
    """

    def __init__(self, look: _Look, seen: Seen) -> None:
        self._look = look
        self._seen = seen
        self._new: dict[int, tuple[int, list[bytes]]] = {}

    def take(self, made: Iterable[tuple[int, bytes]], size: int) -> None:
        """Take subtrees that became whole when there were so many entries."""
        for height, hash_ in made:
            level, rest = divmod(height, HEIGHT)
            if rest or not level:
                continue
            index = (size >> height) - 1
            self._new.setdefault(level, (index, []))[1].append(hash_)
            if index % WIDTH == WIDTH - 1:
                self._check(level)

    def finish(self) -> None:
        """Check the last ones, which are not full."""
        for level in [*self._new]:
            self._check(level)

    def _check(self, level: int) -> None:
        first, hashes = self._new.pop(level)
        number, at = divmod(first, WIDTH)
        width = at + len(hashes)
        content = self._look.tile(level, number, width, self._seen)
        if content[at * HASH_BYTES :] != b"".join(hashes):
            detail = f"{path_of(level, number)} is not what the entries below it give"
            self._look.violated(Rule.BAD_TILES, detail, self._look.known, self._seen)


def _hashes(content: bytes) -> list[bytes]:
    return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]
