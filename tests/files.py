"""What the tests of attachments share: files of random bytes, and the way of a request that names them."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc.aio
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub

from clients.central_authority import CentralAuthority
from clients.intake import Received
from clients.investigator import Investigator
from clients.participant import Participant
from gateway import material
from gateway.errors import ErrorCode, Failure
from gateway.transport import error_of
from tests import paperwork
from tests.federation import Federation

PEOPLE = ("ee/prosecutor", "ee/central-authority", "de/central-authority", "de/court")


def random_file(folder: Path, size: int, name: str = "evidence.bin") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


def ref_to(content: bytes) -> pb.AttachmentRef:
    return pb.AttachmentRef(sha256=sha256(content).digest(), size=len(content))


@dataclass
class Cast:
    """Those who take part in a request that names files."""

    prosecutor: Participant
    home: Participant
    abroad: Participant
    court: Participant

    async def request(
        self, files: Sequence[parties.Attachment], case_id: str = "EE-1", within: float = 60
    ) -> pb.SignedEnvelope:
        """Draft, countersign and complete a request; it is not handed in yet."""
        asked: certificates.FreezeRequest = paperwork.request(attachments=files)
        drafted = Investigator(self.prosecutor).draft_freeze(
            asked,
            to=self.abroad.address,
            via=self.home.address,
            case_id=case_id,
            instrument="eu-2018-1805",
            measures=[paperwork.BLOCK],
            data_classes=[paperwork.TRANSACTIONAL],
        )
        await self.prosecutor.submit(drafted.draft.envelope, within)
        draft = await receive(self.home)
        await self.home.submit(CentralAuthority(self.home).countersign(draft).envelope)
        return Investigator(self.prosecutor).add_countersignature(await receive(self.prosecutor))


async def receive(who: Participant) -> Received:
    """Wait for the next envelope, and deal with it; receipts go by."""
    async with aclosing(who.collect()) as items:
        async for item in items:
            if isinstance(item, Received):
                who.done(item)
                return item
    raise AssertionError("the collection has ended")


@asynccontextmanager
async def cast_of(fed: Federation) -> AsyncIterator[Cast]:
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(Participant.of(material.load_participant(fed.summary.config(address))))
            for address in PEOPLE
        ]
        yield Cast(*people)


def depot_of(fed: Federation, code: str) -> Path:
    store = fed.store(code)
    beside = fed.summary.config(f"{code}/node").parent / "store"
    return (store if isinstance(store, Path) else beside / "node.db").with_name("node.db.attachments")


def settle_settings(fed: Federation, code: str, **settings: object) -> None:
    """Write a node's `[attachments]`; before it starts."""
    path = fed.summary.config(f"{code}/node")
    lines = "".join(f"{name} = {value!r}\n".replace("'", '"') for name, value in settings.items())
    head = "\n[attachments]\n"
    before, _, folder = path.read_text().partition(head)
    path.write_text(f"{before}{head}{folder}{lines}")


async def upload(channel: grpc.aio.Channel, content: bytes, ref: pb.AttachmentRef | None = None) -> pb.AttachmentRef:
    """Bring a small file, by hand."""
    ref = ref or ref_to(content)
    call = AttachmentsStub(channel).Upload(timeout=30)
    try:
        await call.write(wire.UploadRequest(begin=ref))
        answer = await call.read()
        if not isinstance(answer, wire.UploadResponse):
            raise Failure(ErrorCode.UNAVAILABLE, "no answer")
        for start in range(answer.received, 0 if answer.whole else len(content), 65536):
            await call.write(wire.UploadRequest(data=content[start : start + 65536]))
        await call.done_writing()
        while isinstance(answer, wire.UploadResponse) and not answer.whole:
            answer = await call.read()
        assert isinstance(answer, wire.UploadResponse)
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        call.cancel()
    return ref


async def download(channel: grpc.aio.Channel, ref: pb.AttachmentRef, offset: int = 0) -> bytes:
    """Fetch a small file, by hand."""
    call = AttachmentsStub(channel).Download(wire.DownloadRequest(attachment=ref, offset=offset), timeout=30)
    try:
        return b"".join([response.data async for response in call])
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


def request_naming(fed: Federation, named: Sequence[pb.AttachmentRef], **fields: Any) -> pb.SignedEnvelope:
    """Return a request from ee to de that names files; nobody has looked whether its document does."""
    manifest = pb.Manifest(attachments=named).SerializeToString() if named else b""
    return fed.request(attachments=manifest, **fields)
