"""The Attachments door: sealed files come, part by part, and go out to the parties of the envelopes that name them.

In: a stream of bytes and the digest that it must have. Out: the file, on the node's disk; its bringer may name it in an
envelope. Nothing is confirmed that is not on the disk, and nothing is whole before its digest was found to be its name.
Memory is one part a transfer, whatever comes: the next bytes are read when that is written. Who is no party learns
nothing of a file, not even that it is here. The node holds ciphertext; it has no key, and no name of a file.

Refuses with NOT_PERMITTED, MALFORMED, TOO_LARGE, BAD_SIGNATURE (another digest, another size) and NOT_FOUND. Fails with
NO_ROOM, OVERLOADED and STORE; what was confirmed by then stays, and the upload goes on from there.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1.attachments_pb2_grpc import AttachmentsServicer

from gateway import codec, threads
from gateway.authenticate import Peer
from gateway.config import Attachments, Limits
from gateway.depot import PART_BYTES, Depot
from gateway.doors.entrance import Call, Context, Entrance
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.quota import Cost
from gateway.steps import RULES
from gateway.store import Writer
from gateway.store.attachments import Standing

SENDERS: Final = frozenset(rule.sender for rule in RULES)
"""Roles that may send anything at all."""
SIGN_OF_LIFE_BYTES: Final = 64 << 20
RETRY_SECONDS: Final = 1.0
MAX_PIECE_BYTES: Final = 256 << 10


class AttachmentsDoor(AttachmentsServicer):
    """Serves the sealed files of one node."""

    def __init__(self, entrance: Entrance, writer: Writer, depot: Depot, limits: Limits, settings: Attachments) -> None:
        self._entrance = entrance
        self._writer = writer
        self._depot = depot
        self._limits = limits
        self._settings = settings
        self._transfers: Counter[Address] = Counter()

    async def Upload(
        self, request_iterator: AsyncIterator[wire.UploadRequest], context: Context
    ) -> AsyncIterator[wire.UploadResponse]:
        """Take in one file, from where an earlier call broke off."""
        async with self._entrance.call(context) as call:
            owner = _may_send(call.peer).address
            with self._transfer(owner):
                requests = aiter(request_iterator)
                file = await self._first(requests)
                self._entrance.quotas.charge(owner, Cost(envelopes=1))
                # To its end, here and below: whoever hangs up and comes again must not fill the store's line.
                standing = await threads.ended(
                    self._writer.write(lambda txn: txn.attachments.begin(owner, file, self._limits, self._settings))
                )
                yield wire.UploadResponse(received=standing.received, whole=standing.whole)
                if not standing.whole:
                    upload = _Upload(self, call, file, standing)
                    async for response in upload.take_in(requests):
                        yield response

    # It writes by itself: what it yielded would wait for its reader without end.
    async def Download(  # type: ignore[override]  # the stubs know generators alone
        self, request: wire.DownloadRequest, context: Context
    ) -> None:
        """Hand out one file, from any position on."""
        async with self._entrance.call(context) as call:
            if call.peer.address.is_node:
                raise Refusal(ErrorCode.NOT_PERMITTED, "a node is brought what it needs; it fetches nothing")
            reader, file, quotas = call.peer.address, request.attachment, self._entrance.quotas
            with self._transfer(reader):
                quotas.charge(reader, Cost(envelopes=1))
                codec.check(request)
                if request.offset > file.size:
                    raise Refusal(ErrorCode.MALFORMED, "it begins behind the end of the file", "offset")
                place = await threads.ended(self._writer.write(lambda txn: txn.attachments.place_for(reader, file)))
                async for piece in self._depot.read(place, file.size, request.offset):
                    await quotas.pace(reader, Cost(size=len(piece)))
                    if call.over.is_set():
                        # Our node stops, or the reader is out by now: then this says so.
                        call.check()
                        raise Failure(ErrorCode.UNAVAILABLE, "the node is stopping", retry_after=RETRY_SECONDS)
                    await self._hand_out(wire.DownloadResponse(data=piece), context)

    async def _hand_out(self, response: wire.DownloadResponse, context: Context) -> None:
        """Send what comes next.

        Raises:
            Failure: UNAVAILABLE, nothing was taken for too long; somebody else may have use for the room.
        """
        try:
            async with asyncio.timeout(self._settings.idle_seconds):
                await context.write(response)
        except TimeoutError as error:
            detail = f"nothing was taken for attachments.idle_seconds = {self._settings.idle_seconds}"
            raise Failure(ErrorCode.UNAVAILABLE, detail, retry_after=RETRY_SECONDS) from error

    async def _first(self, requests: AsyncIterator[wire.UploadRequest]) -> pb.AttachmentRef:
        request = await self.next(requests)
        if request is None or request.WhichOneof("step") != "begin":
            raise Refusal(ErrorCode.MALFORMED, "an upload begins with the name of the file", "step")
        codec.check(request)
        return request.begin

    async def next(self, requests: AsyncIterator[wire.UploadRequest]) -> wire.UploadRequest | None:
        """Return the next request, or None at the end.

        Raises:
            Failure: UNAVAILABLE, none came for too long; somebody else may have use for the room.
        """
        try:
            async with asyncio.timeout(self._settings.idle_seconds):
                return await anext(requests, None)
        except TimeoutError as error:
            detail = f"nothing came for attachments.idle_seconds = {self._settings.idle_seconds}"
            raise Failure(ErrorCode.UNAVAILABLE, detail, retry_after=RETRY_SECONDS) from error

    @contextmanager
    def _transfer(self, peer: Address) -> Iterator[None]:
        """Count a transfer while it runs.

        Raises:
            Failure: OVERLOADED, one too many.
        """
        for name, running, most in (
            ("transfers_of_one", self._transfers[peer], self._settings.transfers_of_one),
            ("transfers_in_all", self._transfers.total(), self._settings.transfers_in_all),
        ):
            if running >= most:
                detail = f"{running} transfers run, attachments.{name} = {most}"
                raise Failure(ErrorCode.OVERLOADED, detail, name, RETRY_SECONDS)
        self._transfers[peer] += 1
        try:
            yield
        finally:
            self._transfers[peer] -= 1
            if not self._transfers[peer]:
                del self._transfers[peer]

    @property
    def depot(self) -> Depot:
        """Where the bytes lie."""
        return self._depot

    @property
    def writer(self) -> Writer:
        """The store's."""
        return self._writer

    async def pace(self, peer: Address, size: int) -> None:
        """Wait until a peer's quota has room for so many bytes."""
        await self._entrance.quotas.pace(peer, Cost(size=size))


class _Upload:
    """One upload, from where it stands to its end."""

    def __init__(self, door: AttachmentsDoor, call: Call, file: pb.AttachmentRef, standing: Standing) -> None:
        self._door = door
        self._call = call
        self._file = file
        self._place = standing.place
        self._received = standing.received
        self._owner = call.peer.address
        self._digest: Any = sha256()

    async def take_in(self, requests: AsyncIterator[wire.UploadRequest]) -> AsyncIterator[wire.UploadResponse]:
        """Write what comes, part by part; say after each how much is on the disk, and at the end that all is right."""
        async for response in self._read_again():
            yield response
        # One buffer, not a list of what came: a piece of a byte or two would take fifty.
        held = bytearray()
        while self._received < self._file.size:
            wanted = min(PART_BYTES, self._file.size - self._received)
            while len(held) < wanted:
                held += await self._data(requests)
            if self._received + len(held) > self._file.size:
                raise Refusal(ErrorCode.MALFORMED, "more bytes than were announced", "data")
            with memoryview(held) as view:
                part = bytes(view[:wanted])
            # What is over belongs to the next part: its bringer need not cut as we do.
            del held[:wanted]
            await self._keep(part)
            if self._received < self._file.size:
                yield wire.UploadResponse(received=self._received)
        if await self._door.next(requests) is not None:
            await self._give_up()
            raise Refusal(ErrorCode.MALFORMED, "more bytes than were announced", "data")
        if self._digest.digest() != self._file.sha256:
            await self._give_up()
            raise Refusal(ErrorCode.BAD_SIGNATURE, "the bytes have another digest than the one that names them", "data")
        await self._door.writer.write(lambda txn: txn.attachments.progress(self._place, self._file.size, whole=True))
        yield wire.UploadResponse(received=self._file.size, whole=True)

    async def _read_again(self) -> AsyncIterator[wire.UploadResponse]:
        """Take what an earlier call brought into the digest; a sign of life now and then."""
        since = 0
        async for piece in self._door.depot.read(self._place, self._received):
            self._digest.update(piece)
            since += len(piece)
            if since >= SIGN_OF_LIFE_BYTES:
                since = 0
                yield wire.UploadResponse(received=self._received)

    async def _data(self, requests: AsyncIterator[wire.UploadRequest]) -> bytes:
        request = await self._door.next(requests)
        if self._call.over.is_set():
            self._call.check()
            raise Failure(ErrorCode.UNAVAILABLE, "the node is stopping", retry_after=RETRY_SECONDS)
        if request is None:
            raise Failure(ErrorCode.UNAVAILABLE, "the upload ended before the file did", retry_after=RETRY_SECONDS)
        if not 0 < len(request.data) <= MAX_PIECE_BYTES:
            raise Refusal(ErrorCode.MALFORMED, f"1 to {MAX_PIECE_BYTES} bytes are wanted", "data")
        await self._door.pace(self._owner, len(request.data))
        return request.data

    async def _keep(self, part: bytes) -> None:
        """Bring a part to the disk, then note that it is there."""
        # The certificate may have expired, or its owner been revoked, since the call began.
        self._call.check()
        await asyncio.to_thread(self._digest.update, part)
        # To its end, also when its bringer hangs up: it may be forgotten by now, and then its bytes must go, too.
        await asyncio.shield(self._write(part))

    async def _write(self, part: bytes) -> None:
        if not await self._door.depot.put(self._place, self._received // PART_BYTES, part):
            # Two calls bring different bytes under one name, or an earlier one lied: nobody knows which are right.
            await self._give_up()
            raise Failure(ErrorCode.ATTACHMENT_MISSING, "it was begun with other bytes; bring it anew", retry_after=0.1)
        self._received += len(part)
        try:
            await self._door.writer.write(lambda txn: txn.attachments.progress(self._place, self._received))
        except Failure as failure:
            if failure.code is ErrorCode.ATTACHMENT_MISSING:
                # Forgotten meanwhile: what was just written must go as well.
                await self._door.writer.write(lambda txn: txn.attachments.discard(self._place))
            raise

    async def _give_up(self) -> None:
        await self._door.writer.write(lambda txn: txn.attachments.drop(self._owner, self._file.sha256, self._place))


def _may_send(peer: Peer) -> Peer:
    if not peer.address.is_node and not peer.roles & SENDERS:
        raise Refusal(ErrorCode.NOT_PERMITTED, "who sends no envelopes brings no attachments")
    return peer
