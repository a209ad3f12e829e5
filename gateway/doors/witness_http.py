"""A witness for whoever knows its address: C2SP tlog-witness over HTTP, one process, its memory in a folder.

In: `POST /add-checkpoint`. Out: a cosignature line, or one of the statuses of that protocol. What is cosigned is on
disk before the cosignature leaves: a file a log, swapped whole. What a log has to answer for is kept in `alarms/`, a
file each, and told on standard error (`log.alarm`). Nothing is believed of a caller but the signature that he brings;
what he may cost is bounded. Whoever serves it bounds connections, too (`gateway.cli.web`).

Source: https://c2sp.org/tlog-witness.
"""

import asyncio
import fcntl
import json
import logging
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import starlette.routing
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response

from gateway import note, private_files, witness
from gateway.checkpoint import Checkpoint
from gateway.clock import Clock
from gateway.doors.witness import tell
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.signer import Signer
from gateway.store.witnessing import MAX_ALARMS
from gateway.witness import MAX_REQUEST_BYTES, Alarm, Evidence, KeysOf, Request, Witnessed

BODY_SECONDS: Final = 10.0
_SIZE: Final = "text/x.tlog.size"
_STATUS: Final = {
    ErrorCode.MALFORMED: 400,
    ErrorCode.BAD_INPUT: 400,
    ErrorCode.BAD_SIGNATURE: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.BAD_LOG_PROOF: 422,
    ErrorCode.LOG_FORKED: 422,
}
"""All others: 503, it could not be done now."""

_UNAVAILABLE: Final = 503
_CONFLICT: Final = 409
_MAX_FILE_BYTES: Final = 2 * note.MAX_NOTE_BYTES
diagnostics = logging.getLogger("gateway.witness")


class Memory:
    """What a witness has cosigned last of each log, and what logs have to answer for.

    Args:
        folder: see `opened`.
        alone: the one thread that may ask and change it; whoever hangs up ends nothing that was begun there.
    """

    def __init__(self, folder: Path, alone: Executor) -> None:
        self.alone = alone
        self._folder = folder

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator["Memory"]:
        """Hold a folder, made if it is not there, for one process alone.

        Raises:
            Refusal: BAD_CONFIG, it cannot be used, or another process does.
        """
        try:
            (folder / "alarms").mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_files.MODE)
        except OSError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"{folder} cannot be used: {error.strerror}", "state") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with ThreadPoolExecutor(1, "witness") as alone:
                yield cls(folder, alone)
        except BlockingIOError as error:
            raise Refusal(ErrorCode.BAD_CONFIG, f"another process witnesses with {folder}", "state") from error
        finally:
            os.close(lock)

    def last(self, origin: str) -> Witnessed | None:
        """Return what was cosigned last of a log.

        Raises:
            Failure: STORE, it cannot be read.
        """
        path = self._path(origin)
        try:
            if not path.exists():
                return None
            raw = private_files.read(path, _MAX_FILE_BYTES)
            found = Checkpoint.parse(note.parse(raw).text)
        except (GatewayError, OSError) as error:
            # To begin anew would be to forget: nobody could tell from a fork what is cosigned then.
            raise Failure(ErrorCode.STORE, f"{path} cannot be read: {error}") from error
        if found.origin != origin:
            raise Failure(ErrorCode.STORE, f"{path} is of {found.origin}")
        return Witnessed(found, raw)

    def remember(self, found: Witnessed) -> None:
        """Remember what is about to be cosigned.

        Raises:
            Failure: STORE, it cannot be written; what was there still is.
        """
        path = self._path(found.checkpoint.origin)
        try:
            private_files.swap(path, found.note)
        except OSError as error:
            raise Failure(ErrorCode.STORE, f"{path} cannot be written: {error.strerror}") from error

    def alarm(self, evidence: Evidence) -> bool:
        """Keep evidence; return whether it is news.

        Raises:
            Failure: STORE, it cannot be written.
        """
        folder, prefix = self._folder / "alarms", _name(evidence.origin)
        path = folder / f"{prefix}-{evidence.digest.hex()[:32]}.json"
        if path.exists() or sum(1 for _ in folder.glob(f"{prefix}-*")) >= MAX_ALARMS:
            return False
        said = {
            "origin": evidence.origin,
            "code": evidence.code.name,
            "detail": evidence.detail,
            "held": evidence.held.note.decode(),
            "brought": evidence.brought.note.decode(),
            "proof": [b64encode(each).decode() for each in evidence.proof],
        }
        try:
            private_files.swap(path, json.dumps(said, indent=2, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise Failure(ErrorCode.STORE, f"{path} cannot be written: {error.strerror}") from error
        return True

    def _path(self, origin: str) -> Path:
        return self._folder / f"{_name(origin)}.note"


def app_of(memory: Memory, keys_of: Callable[[], KeysOf], name: str, signer: Signer, clock: Clock) -> Starlette:
    """Return a witness.

    Args:
        memory: what it has cosigned.
        keys_of: gives which logs it knows now; fails if that cannot be said.
        name: of its key.
        signer: its key.
        clock: time.
    """

    def work(asked: Request, brought: Witnessed) -> Response:
        last = memory.last(brought.checkpoint.origin)
        try:
            found = witness.judge(asked, brought, last, by_log=False)
        except Alarm as alarm:
            if memory.alarm(alarm.evidence):
                tell(alarm.evidence)
            raise
        if found is None:
            size = 0 if last is None else last.checkpoint.size
            return Response(f"{size}\n", _CONFLICT, {"Content-Type": _SIZE})
        if last is None:
            diagnostics.info("log.witnessed", extra={"origin": brought.checkpoint.origin})
        # The same checkpoint, signed anew, takes the place of what the log may have signed with a key that is lost.
        if found != last:
            memory.remember(found)
        return PlainTextResponse(str(found.checkpoint.cosign(name, signer, int(clock().timestamp()))))

    async def add_checkpoint(http: HttpRequest) -> Response:
        try:
            asked = Request.parse(await _body(http))
            brought = witness.read(asked, keys_of())
            return await asyncio.get_running_loop().run_in_executor(memory.alone, work, asked, brought)
        except GatewayError as error:
            return _answer(error)

    route = starlette.routing.Route  # in full: a Route of ours is a proof
    return Starlette(routes=[route("/add-checkpoint", add_checkpoint, methods=["POST"])])


async def _body(http: HttpRequest) -> bytes:
    """Read a request, as long as it is one that could be taken: what its header says of its length is not asked."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in http.stream():
                raw += piece
                if len(raw) > MAX_REQUEST_BYTES:
                    raise Refusal(ErrorCode.TOO_LARGE, f"more than MAX_REQUEST_BYTES = {MAX_REQUEST_BYTES}")
    except TimeoutError as error:
        raise Failure(ErrorCode.UNAVAILABLE, f"not heard to its end in {BODY_SECONDS:g} seconds") from error
    except ClientDisconnect as error:
        raise Failure(ErrorCode.UNAVAILABLE, "the caller hung up") from error
    return bytes(raw)


def _answer(error: GatewayError) -> Response:
    status = _STATUS.get(error.code, _UNAVAILABLE)
    if isinstance(error, Alarm):
        held, brought = error.evidence.held.checkpoint.size, error.evidence.brought.checkpoint.size
        # A smaller one is brought with an old size that is larger than it: the protocol has a status for that.
        status = _CONFLICT if brought == held else status if brought > held else _STATUS[ErrorCode.BAD_INPUT]
    if isinstance(error, Failure):
        diagnostics.warning("witness.failed", extra={"code": error.code.name, "detail": error.detail})
        return PlainTextResponse(f"{error.code.name}\n", status)
    return PlainTextResponse(f"{error}\n", status)


def _name(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()[:32]
