"""What an upload takes of a node, however its bytes come and it ends; without a network."""

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from rogatory.v1 import attachments_pb2 as wire

from gateway.doors import attachments
from gateway.errors import ErrorCode, Failure
from gateway.store.attachments import Standing
from tests.federation import until
from tests.files import ref_to

PART = 128 << 10


class Node:
    """Takes parts, and keeps none; tells when it takes one, and takes its time. May have forgotten the upload."""

    def __init__(self, *, forgotten: bool = False) -> None:
        self.depot = self.writer = self.attachments = self
        self.parts: list[int] = []
        self.discarded: list[str] = []
        self.taking, self.may_go_on = asyncio.Event(), asyncio.Event()
        self.may_go_on.set()
        self._forgotten = forgotten

    async def next(self, requests: AsyncIterator[wire.UploadRequest]) -> wire.UploadRequest | None:
        return await anext(requests, None)

    async def pace(self, _peer: object, _size: int) -> None:
        """Take any pace."""

    async def put(self, _place: str, _number: int, part: bytes) -> bool:
        self.parts.append(len(part))
        self.taking.set()
        await self.may_go_on.wait()
        return True

    async def read(self, _place: str, _size: int) -> AsyncIterator[bytes]:
        for piece in [b""] * 0:
            yield piece

    async def write(self, job: Callable[["Node"], None]) -> None:
        job(self)

    def progress(self, _place: str, _received: int, *, whole: bool = False) -> None:
        if self._forgotten:
            raise Failure(ErrorCode.ATTACHMENT_MISSING, "the upload is known no more")

    def discard(self, place: str) -> None:
        self.discarded.append(place)


class Caller:
    """Stays who it is."""

    def __init__(self) -> None:
        self.peer: Any = type("Peer", (), {"address": "ee/prosecutor"})
        self.over = asyncio.Event()

    def check(self) -> None:
        """Let it go on."""


async def test_memory_is_a_part_or_two_however_small_the_pieces_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "PART_BYTES", PART)
    content = os.urandom(2 * PART + 3)
    node: Any = Node()
    caller: Any = Caller()

    async def requests() -> AsyncIterator[wire.UploadRequest]:
        for start in range(0, len(content), 2):
            yield wire.UploadRequest(data=content[start : start + 2])

    upload = attachments._Upload(node, caller, ref_to(content), Standing("aa.1", 0, whole=False))
    tracemalloc.start()
    try:
        answers = [answer async for answer in upload.take_in(requests())]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answers[-1].whole
    assert node.parts == [PART, PART, 3]
    assert peak < 4 * PART


async def test_call_cut_off_while_a_part_is_written_leaves_nothing_that_nobody_counts() -> None:
    """Its owner has announced the file anew, and the place was emptied: what comes there late must go, too."""
    content = bytes(100)
    node: Any = Node(forgotten=True)
    caller: Any = Caller()
    node.may_go_on.clear()

    async def requests() -> AsyncIterator[wire.UploadRequest]:
        yield wire.UploadRequest(data=content)

    async def bring() -> None:
        upload = attachments._Upload(node, caller, ref_to(content), Standing("aa.1", 0, whole=False))
        async for _ in upload.take_in(requests()):
            pass

    call = asyncio.create_task(bring())
    await node.taking.wait()
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    node.may_go_on.set()
    await until(lambda: node.discarded == ["aa.1"])
