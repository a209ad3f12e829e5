"""What an auditor remembers of a log between two looks, and the evidence that it keeps.

In: a file, what was found. Out: the same file, which is at every moment the old one or the new one, whole; evidence
beside it, which nothing here ever overwrites or removes. Refuses with BAD_INPUT a memory that cannot be read, or was
changed: it holds what the log has signed, and its hashes must lead there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError

from clients.auditing import places
from clients.auditing.growth import Growth
from clients.auditing.places import MAX_NOTE_BYTES, MAX_STATE_BYTES
from clients.auditing.signed import Seen, Trust
from gateway import private_files, settings_file
from gateway.errors import ErrorCode, Failure, Refusal

MAX_HISTORY: Final = 64
"""Checkpoints of before: of the older ones every other is let go, so that they lie the thinner the older they are."""
MAX_AHEAD: Final = 16
MAX_WITNESSES: Final = 1024
"""Keys, also of the past: whoever follows a log for decades sees many."""
MAX_RESTORATIONS: Final = 64
MAX_EVIDENCE: Final = 256
"""Files for each rule. A log whose owner turns out contradictions without end shall not fill the disk."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_NoteText = Annotated[str, Field(max_length=MAX_NOTE_BYTES)]


class Rule(StrEnum):
    """What a log has broken; a name here is the `rule` of an error."""

    FORKED = "FORKED"
    """Two of its checkpoints do not fit into one tree: it shows different people different things."""
    REWRITTEN = "REWRITTEN"
    """What it signs now does not begin with what it signed before."""
    ROLLED_BACK = "ROLLED_BACK"
    """It shows less than it did, under the same name: an old copy, or entries are gone."""
    BAD_TILES = "BAD_TILES"
    """The hashes that are handed out are not the tree that is signed."""
    RESTORED = "RESTORED"
    """It says that it was put back from a backup; who audits it has not consented."""


PROVEN: Final = frozenset({Rule.FORKED, Rule.REWRITTEN})
"""What its own signatures prove, and nobody in between can have made up: it is not over when it looks well again."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Restoration(_Kept):
    """A restoration from a backup to which who audits has consented.

    Args:
        before: the last checkpoint of before, a note.
        common: so many entries, at least, are in both.
        at: when it was seen.
    """

    before: _NoteText
    common: int
    at: AwareDatetime


class Memory(_Kept):
    """What is remembered.

    Args:
        note: the newest checkpoint, all of whose entries were read.
        digits: hashes of the whole subtrees of its tree, the largest first.
        looked_at: the last look.
        changed_at: the first look that saw this checkpoint.
        history: earlier checkpoints, the smallest first.
        ahead: checkpoints that others have, of more entries than were seen yet.
        cosigned: until when each witness has been seen to cosign, seconds since 1970.
        restorations: that were consented to.
    """

    version: Literal[1] = 1
    note: _NoteText
    digits: tuple[_Digest, ...] = Field(max_length=63)
    looked_at: AwareDatetime
    changed_at: AwareDatetime
    history: tuple[_NoteText, ...] = Field(default=(), max_length=MAX_HISTORY)
    ahead: tuple[_NoteText, ...] = Field(default=(), max_length=MAX_AHEAD)
    cosigned: dict[str, int] = Field(default={}, max_length=MAX_WITNESSES)
    restorations: tuple[Restoration, ...] = Field(default=(), max_length=MAX_RESTORATIONS)

    def growth(self, seen: Seen) -> Growth:
        """Return the tree as far as it is known.

        Args:
            seen: `note`, once it is proven.

        Raises:
            Refusal: BAD_INPUT, the hashes are not of what was signed.
        """
        try:
            growth = Growth(seen.size, [bytes.fromhex(each) for each in self.digits])
        except ValueError as error:
            raise _changed("its hashes are of a tree of another size") from error
        if growth.root != seen.root:
            raise _changed("its hashes do not lead to the root that was signed")
        return growth


def thinned(history: Sequence[str]) -> tuple[str, ...]:
    """Return so many checkpoints of before as are kept, of one more at most; the smallest come first."""
    if len(history) <= MAX_HISTORY:
        return tuple(history)
    return (*history[: MAX_HISTORY // 2 : 2], *history[MAX_HISTORY // 2 :])


def latest(cosigned: Mapping[str, int]) -> dict[str, int]:
    """Return so many witnesses as are kept: those that were seen last."""
    return dict(sorted(cosigned.items(), key=lambda each: each[1])[-MAX_WITNESSES:])


@dataclass(frozen=True, slots=True)
class Store:
    """Where it is remembered.

    Args:
        path: the file; None: nowhere, and each look is the first.
    """

    path: Path | None

    @property
    def evidence(self) -> Path | None:
        """The folder where evidence lies, if there is any."""
        return None if self.path is None else self.path.with_name(f"{self.path.name}.evidence")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it against other auditors; wait for them.

        Raises:
            Refusal: BAD_CONFIG, its folder cannot be written.
        """
        if self.path is None:
            yield
        else:
            with settings_file.alone(self.path):
                yield

    def load(self) -> Memory | None:
        """Return what is remembered; None before the first look.

        Raises:
            Refusal: BAD_INPUT.
        """
        if self.path is None:
            return None
        try:
            raw = places.read_file(self.path, MAX_STATE_BYTES)
        except FileNotFoundError:
            if self.kept():
                raise _changed(f"it is gone, but there is evidence in {self.evidence}") from None
            return None
        except OSError as error:
            raise _changed(f"it cannot be read: {error.strerror}") from error
        return parse(raw)

    def save(self, memory: Memory) -> None:
        """Remember that, in the place of what was before.

        Raises:
            Failure: STORE, it cannot be written now; what was remembered is there still.
        """
        if self.path is None:
            return
        try:
            private_files.swap(self.path, memory.model_dump_json(indent=2).encode() + b"\n")
        except OSError as error:
            # No fault of the log, nor of what is remembered: a full disk must not end a following as a caught log does.
            detail = f"cannot write {self.path}: {error.strerror}"
            raise Failure(ErrorCode.STORE, detail, "state", retry_after=places.RETRY_SECONDS) from error

    def keep(self, rule: Rule, found: Mapping[str, object]) -> Path | None:
        """Keep evidence; return where, or None if it cannot be kept or is more than is kept.

        The same contradiction is kept once, however often it is seen.
        """
        folder = self.evidence
        if folder is None:
            return None
        # By what the log says: the lines under that change with each new cosignature, and the contradiction does not.
        said = [str(each or "").partition("\n\n")[0] for each in (found["known"], found["found"])]
        named = sha256(json.dumps(said).encode()).hexdigest()[:32]
        path = folder / f"{rule}-{named}.json"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not path.exists():
                # Of each rule: what anybody in between can make up must not take the place of what is proven.
                if len([*folder.glob(f"{rule}-*")]) >= MAX_EVIDENCE:
                    return None
                private_files.create(path, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
        except (OSError, Refusal):
            # Whatever else fails: that the log was caught must be said.
            return None
        return path

    def kept(self) -> tuple[Path, ...]:
        """Return the evidence that nobody has taken away yet of what the log's own signatures prove."""
        folder = self.evidence
        if folder is None or not folder.is_dir():
            return ()
        return tuple(sorted(path for rule in PROVEN for path in folder.glob(f"{rule}-*.json")))


def parse(raw: bytes) -> Memory:
    """Return what a file remembers; whether the log has signed it is not known yet.

    Raises:
        Refusal: BAD_INPUT.
    """
    if len(raw) > MAX_STATE_BYTES:
        raise _changed(f"it has more than {MAX_STATE_BYTES} bytes")
    try:
        return Memory.model_validate_json(raw)
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _changed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def notes(content: bytes) -> list[bytes]:
    """Return the notes in a file that somebody saved: one checkpoint, or what another auditor remembers.

    Raises:
        Refusal: BAD_INPUT.
    """
    if not content.startswith(b"{"):
        return [content]
    memory = parse(content)
    return [each.encode() for each in (memory.note, *memory.history, *memory.ahead)]


def proven(memory: Memory, trust: Trust) -> tuple[Seen, list[Seen], list[Seen]]:
    """Return the newest checkpoint, the earlier ones and those that others have, all signed by the log.

    Raises:
        Refusal: BAD_INPUT.
    """
    try:
        newest, *others = (trust.read(each.encode()) for each in (memory.note, *memory.history, *memory.ahead))
    except Refusal as error:
        raise _changed(f"it is of another log, or was changed ({error.code.name})") from error
    return newest, others[: len(memory.history)], others[len(memory.history) :]


def _changed(detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, f"what is remembered of the log cannot be used: {detail}", "state")
