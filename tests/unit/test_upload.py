"""What an upload takes of a node's memory, however its bytes come; without a network."""

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rogatory.v1 import attachments_pb2 as wire

from gateway.doors import attachments
from gateway.store.attachments import Standing
from tests.files import ref_to

PART = 256 << 10


class Node:
    """Takes parts, and keeps none."""

    def __init__(self) -> None:
        self.depot = self.writer = self
        self.parts: list[int] = []

    async def next(self, requests: AsyncIterator[wire.UploadRequest]) -> wire.UploadRequest | None:
        return await anext(requests, None)

    async def pace(self, _peer: object, _size: int) -> None:
        """Take any pace."""

    async def put(self, _place: str, _number: int, part: bytes) -> bool:
        self.parts.append(len(part))
        return True

    async def read(self, _place: str, _size: int) -> AsyncIterator[bytes]:
        for piece in ():
            yield piece

    async def write(self, _job: object) -> None:
        """Note it."""


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
