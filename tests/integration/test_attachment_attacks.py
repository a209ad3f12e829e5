"""Attacks on files that go with envelopes, named after who tries what."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub
from rogatory.v1.relay_pb2_grpc import RelayStub

from gateway import material, transport
from gateway.depot import PART_BYTES
from gateway.directory import Status
from gateway.errors import ErrorCode, GatewayError
from gateway.transport import error_of
from tests.federation import UNTIL_SECONDS, Federation, code_of, federation, relay_one, until
from tests.files import depot_of, download, ref_to, request_naming, settle_settings, upload

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", start=[]) as made:
        settle_settings(made, "ee", idle_seconds=1.0, transfers_of_one=2, transfers_in_all=3)
        for code in ("ee", "de"):
            await made.start(code)
        yield made


async def refused(attempt: Awaitable[object]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        await attempt
    return caught.value.code


def prosecutor(fed: Federation) -> grpc.aio.Channel:
    return fed.actor("ee/prosecutor").channel


def other_node(fed: Federation, code: str, to: str) -> grpc.aio.Channel:
    """Speak as a node that has gone bad: with its real certificate."""
    loaded = material.load_node(fed.summary.config(f"{code}/node"), fed.clock)
    return transport.channel_to(loaded.directory.node(to), loaded.directory.federation, loaded.identity)


async def say(channel: grpc.aio.Channel, *requests: wire.UploadRequest, end: bool = True) -> list[wire.UploadResponse]:
    """Say this to the node and return all that it answers."""
    call = AttachmentsStub(channel).Upload(timeout=UNTIL_SECONDS)
    try:
        # Once the node has ended the call nothing more can be said; what it says of that is with the call.
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            for request in requests:
                await call.write(request)
            if end:
                await call.done_writing()
        return await answers_of(call)
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        call.cancel()


async def answers_of(call: Any) -> list[wire.UploadResponse]:
    """Return what the node answers until it ends the call; or raise how it did."""
    answers: list[wire.UploadResponse] = []
    while isinstance(answer := await call.read(), wire.UploadResponse):
        answers.append(answer)
    return answers


async def is_missing(fed: Federation) -> bool:
    """Whether the prosecutor, who names the file, is told that it is not there: unsigned, so nothing is decided."""
    answer = await fed.actor("ee/prosecutor").answer(request_naming(fed, [REF]))
    return ErrorCode(answer.error.code) is ErrorCode.ATTACHMENT_MISSING


def begin(ref: pb.AttachmentRef) -> wire.UploadRequest:
    return wire.UploadRequest(begin=ref)


def data(content: bytes) -> wire.UploadRequest:
    return wire.UploadRequest(data=content)


CONTENT = bytes(range(256)) * 20
REF = ref_to(CONTENT)


async def test_bytes_that_have_another_digest_than_announced_are_not_kept(fed: Federation) -> None:
    lie = bytes(len(CONTENT))
    assert await refused(upload(prosecutor(fed), lie, REF)) is ErrorCode.BAD_SIGNATURE
    assert await is_missing(fed)
    await upload(prosecutor(fed), CONTENT)  # the truth is taken afterwards


async def test_more_bytes_than_announced_are_refused_whether_in_the_last_piece_or_after_it(fed: Federation) -> None:
    for extra in ([data(CONTENT + b"x")], [data(CONTENT), data(b"x")]):
        assert await refused(say(prosecutor(fed), begin(REF), *extra)) is ErrorCode.MALFORMED


async def test_endless_upload_fills_no_memory_and_no_disk(fed: Federation) -> None:
    async def endless() -> None:
        call = AttachmentsStub(prosecutor(fed)).Upload(timeout=UNTIL_SECONDS)
        await call.write(begin(REF))
        for _ in range(10_000):
            await call.write(data(bytes(65536)))

    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        await endless()
    kept = sum(each.stat().st_size for each in depot_of(fed, "ee").rglob("*") if each.is_file())
    assert kept <= len(CONTENT)


async def test_upload_that_ends_early_is_not_whole_and_can_go_on(fed: Federation) -> None:
    assert await refused(say(prosecutor(fed), begin(REF), data(CONTENT[:100]))) is ErrorCode.UNAVAILABLE
    assert await is_missing(fed)
    await upload(prosecutor(fed), CONTENT)


@pytest.mark.parametrize(
    "requests",
    [
        [data(b"x")],
        [wire.UploadRequest()],
        [],
        [begin(pb.AttachmentRef(sha256=b"../../../../etc/passwd", size=100))],
        [begin(pb.AttachmentRef(sha256=b"..", size=100))],
        [begin(pb.AttachmentRef(sha256=bytes(32), size=0))],
        [begin(pb.AttachmentRef(sha256=bytes(32), size=1 << 62))],
        [begin(REF), begin(REF)],
        [begin(REF), wire.UploadRequest()],
        [begin(REF), wire.UploadRequest(data=b"")],
        [begin(REF), data(bytes((256 << 10) + 1))],
    ],
    ids=[
        *("data first", "nothing first", "no word", "a path for a digest", "dots for a digest", "no size", "huge size"),
        *("twice begun", "nothing after", "no bytes", "too large a piece"),
    ],
)
async def test_upload_that_is_none_is_refused(fed: Federation, requests: list[wire.UploadRequest]) -> None:
    assert await refused(say(prosecutor(fed), *requests)) is ErrorCode.MALFORMED
    assert [each for each in depot_of(fed, "ee").rglob("*") if each.is_file()] == []


async def test_size_lie_in_a_manifest_is_refused_signed(fed: Federation) -> None:
    await upload(prosecutor(fed), CONTENT)
    lie = pb.AttachmentRef(sha256=REF.sha256, size=REF.size - 1)
    assert code_of(await fed.actor("ee/prosecutor").submit(request_naming(fed, [lie]))) is ErrorCode.BAD_SIGNATURE


async def test_size_lie_about_a_file_that_is_there_is_refused(fed: Federation) -> None:
    await upload(prosecutor(fed), CONTENT)
    lie = pb.AttachmentRef(sha256=REF.sha256, size=REF.size + 1)
    assert await refused(upload(prosecutor(fed), CONTENT + b"x", lie)) is ErrorCode.BAD_SIGNATURE


async def test_manifest_exchanged_on_the_way_is_refused(fed: Federation) -> None:
    mine, other = await upload(prosecutor(fed), CONTENT), await upload(prosecutor(fed), b"other" * 20)
    raw = request_naming(fed, [mine])
    for lie in (pb.Manifest(attachments=[other]).SerializeToString(), b""):
        raw.attachments = lie
        assert code_of(await fed.actor("ee/prosecutor").submit(raw)) is ErrorCode.BAD_SIGNATURE


async def test_who_knows_a_digest_gets_no_share_in_somebody_elses_upload(fed: Federation) -> None:
    await upload(prosecutor(fed), CONTENT)
    court = fed.actor("ee/court")
    (answer,) = await say_begin(court.channel, REF)
    assert (answer.received, answer.whole) == (0, False)
    assert await refused(download(court.channel, REF)) is ErrorCode.NOT_FOUND


async def say_begin(channel: grpc.aio.Channel, ref: pb.AttachmentRef) -> list[wire.UploadResponse]:
    call = AttachmentsStub(channel).Upload(timeout=UNTIL_SECONDS)
    await call.write(begin(ref))
    answer = await call.read()
    call.cancel()
    assert isinstance(answer, wire.UploadResponse)
    return [answer]


async def test_who_names_somebody_elses_file_becomes_no_party_to_it(fed: Federation) -> None:
    await upload(fed.actor("ee/court").channel, CONTENT)
    assert await is_missing(fed)
    assert await refused(download(prosecutor(fed), REF)) is ErrorCode.NOT_FOUND


async def test_who_is_no_party_learns_not_even_that_a_file_is_there(fed: Federation) -> None:
    await upload(prosecutor(fed), CONTENT)
    await fed.actor("ee/prosecutor").submit(request_naming(fed, [REF]))
    await fed.actor("de/central-authority").collect(1)
    assert await download(fed.actor("de/central-authority").channel, REF) == CONTENT
    answers = []
    for who in ("ee/court", "ee/central-authority", "de/court", "de/exchange"):
        for ref in (REF, ref_to(b"nowhere" * 20)):
            with pytest.raises(GatewayError) as caught:
                await download(fed.actor(who).channel, ref)
            answers.append((caught.value.code, caught.value.detail))
    assert set(answers) == {(ErrorCode.NOT_FOUND, answers[0][1])}


async def test_recipient_fetches_nothing_before_the_envelope_was_handed_out(fed: Federation) -> None:
    await upload(prosecutor(fed), CONTENT)
    await fed.actor("ee/prosecutor").submit(request_naming(fed, [REF]))
    abroad = fed.actor("de/central-authority")
    assert await refused(download(abroad.channel, REF)) is ErrorCode.NOT_FOUND
    await abroad.collect(1)
    assert await download(abroad.channel, REF, 100) == CONTENT[100:]


@pytest.mark.parametrize(("offset", "size"), [(len(CONTENT) + 1, len(CONTENT)), (0, len(CONTENT) - 1)])
async def test_download_beyond_the_end_or_of_another_size_is_refused(fed: Federation, offset: int, size: int) -> None:
    await upload(prosecutor(fed), CONTENT)
    await fed.actor("ee/prosecutor").submit(request_naming(fed, [REF]))
    code = await refused(download(prosecutor(fed), pb.AttachmentRef(sha256=REF.sha256, size=size), offset))
    assert code in (ErrorCode.MALFORMED, ErrorCode.NOT_FOUND)


async def test_node_fetches_nothing(fed: Federation) -> None:
    await upload(prosecutor(fed), CONTENT)
    await fed.actor("ee/prosecutor").submit(request_naming(fed, [REF]))
    async with other_node(fed, "de", "ee") as channel:
        assert await refused(download(channel, REF)) is ErrorCode.NOT_PERMITTED


@pytest.mark.parametrize("who", ["ee/operator", "ee/auditor"])
async def test_who_sends_no_envelopes_brings_no_files(fed: Federation, who: str) -> None:
    assert await refused(upload(fed.actor(who).channel, CONTENT)) is ErrorCode.NOT_PERMITTED


async def test_node_that_passes_on_an_envelope_without_its_files_is_told_to_bring_them(fed: Federation) -> None:
    whole, without = request_naming(fed, [], case_id="EE-1"), request_naming(fed, [REF], case_id="EE-2")
    async with other_node(fed, "ee", "de") as channel:
        answers = await relay_one(RelayStub(channel), relay.RelayRequest(frame=1, envelopes=[without, whole]))
        # A failure, unsigned, so nothing is decided; and of this one alone.
        assert ErrorCode(answers[0].error.code) is ErrorCode.ATTACHMENT_MISSING
        assert answers[1].WhichOneof("result") == "receipt"
        await upload(channel, CONTENT)
        (answer,) = await relay_one(RelayStub(channel), relay.RelayRequest(frame=1, envelopes=[without]))
        assert answer.WhichOneof("result") == "receipt"
    got = await fed.actor("de/central-authority").collect(2)
    assert sorted(item.envelope.header for item in got) == sorted([whole.header, without.header])


async def test_greedy_participant_is_told_to_wait_and_others_are_served(fed: Federation) -> None:
    async with AsyncExitStack() as stack:
        for number in range(2):
            call = AttachmentsStub(prosecutor(fed)).Upload(timeout=UNTIL_SECONDS)
            stack.callback(call.cancel)
            await call.write(begin(ref_to(bytes([number]) * 100)))
            await call.read()
        assert await refused(upload(prosecutor(fed), CONTENT)) is ErrorCode.OVERLOADED
        await upload(fed.actor("ee/court").channel, CONTENT)


async def test_upload_that_stands_still_is_ended_and_its_room_is_free(fed: Federation) -> None:
    assert await refused(say(prosecutor(fed), begin(REF), data(CONTENT[:10]), end=False)) is ErrorCode.UNAVAILABLE
    for number in range(3):
        await upload(prosecutor(fed), CONTENT + bytes([number]))


async def test_download_that_nobody_reads_is_ended_and_its_room_is_free(fed: Federation) -> None:
    content = os.urandom(PART_BYTES)
    await fed.actor("ee/prosecutor").submit(request_naming(fed, [await upload(prosecutor(fed), content)]))
    async with AsyncExitStack() as stack:
        calls = []
        for _ in range(2):
            calls.append(AttachmentsStub(prosecutor(fed)).Download(wire.DownloadRequest(attachment=ref_to(content))))
            stack.callback(calls[-1].cancel)
            await calls[-1].read()
        async with asyncio.timeout(UNTIL_SECONDS):
            while await has_no_room(fed):
                await asyncio.sleep(0.05)
        # Whatever flow control lets through is far less than the file. The other may be read in time.
        ends = await asyncio.gather(*map(answers_to, calls), return_exceptions=True)
        assert ErrorCode.UNAVAILABLE in {end.code for end in ends if isinstance(end, GatewayError)}


async def has_no_room(fed: Federation) -> bool:
    try:
        await upload(prosecutor(fed), CONTENT)
    except GatewayError as error:
        # Of a call that ends under a write, gRPC tells no more than that.
        if error.code not in {ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE}:
            raise
        return True
    return False


async def answers_to(call: Any) -> None:
    """Read all that the node gives; or raise how it ended."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


async def test_two_calls_with_different_bytes_under_one_name_make_nothing_whole_that_is_wrong(fed: Federation) -> None:
    content = os.urandom(2 * PART_BYTES)
    ref = ref_to(content)
    liar = AttachmentsStub(prosecutor(fed)).Upload(timeout=UNTIL_SECONDS)
    await liar.write(begin(ref))
    await liar.read()
    for _ in range(PART_BYTES // 65536):
        await liar.write(data(bytes(65536)))
    await liar.read()  # its first part is on the disk
    honest: Callable[[], Any] = lambda: upload(prosecutor(fed), content, ref)  # noqa: E731
    # It takes the liar's part for its own, finds the digest wrong, and brings it anew.
    assert await refused(honest()) in (ErrorCode.BAD_SIGNATURE, ErrorCode.ATTACHMENT_MISSING)
    await honest()

    async def go_on_lying() -> None:
        for _ in range(PART_BYTES // 65536):
            await liar.write(data(bytes(65536)))
        await liar.done_writing()
        assert not any(response.whole for response in await answers_of(liar))

    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        await go_on_lying()
    raw = request_naming(fed, [ref])
    await fed.actor("ee/prosecutor").submit(raw)
    await fed.actor("de/central-authority").collect(1)
    assert await download(fed.actor("de/central-authority").channel, ref) == content


async def test_whose_certificate_is_revoked_while_he_uploads_is_cut_off(fed: Federation) -> None:
    actor, court = fed.actor("ee/prosecutor"), fed.actor("ee/court")
    content = os.urandom(2 * PART_BYTES)
    call = AttachmentsStub(actor.channel).Upload(timeout=UNTIL_SECONDS)
    await call.write(begin(ref_to(content)))
    await call.read()
    people = [
        each.model_copy(update={"status": Status.REVOKED}) if str(each.address) == actor.address else each
        for each in fed.directory.participants
    ]
    changed = fed.directory.model_copy(update={"participants": tuple(people)})
    fed.sign_anew(changed)
    await fed.nodes["ee"].upkeep.look()

    async def go_on() -> None:
        for start in range(0, len(content), 65536):
            await call.write(data(content[start : start + 65536]))
        await call.done_writing()
        await answers_of(call)

    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        await go_on()
    assert await refused(upload(actor.channel, CONTENT)) is ErrorCode.REVOKED
    await upload(court.channel, CONTENT)  # its neighbour is served


async def test_stopping_node_ends_uploads_and_keeps_what_was_confirmed(fed: Federation) -> None:
    content = os.urandom(PART_BYTES + 100)
    ref = ref_to(content)
    call = AttachmentsStub(prosecutor(fed)).Upload(timeout=UNTIL_SECONDS)
    await call.write(begin(ref))
    await call.read()
    for start in range(0, PART_BYTES, 65536):
        await call.write(data(content[start : start + 65536]))
    answer = await call.read()
    assert isinstance(answer, wire.UploadResponse)
    assert answer.received == PART_BYTES
    await fed.stop("ee")
    await fed.start("ee")
    await until(lambda: "ee" in fed.nodes)
    await prosecutor(fed).close()
    del fed.actors["ee/prosecutor"]
    (answer,) = await say_begin(prosecutor(fed), ref)
    assert (answer.received, answer.whole) == (PART_BYTES, False)
    await upload(prosecutor(fed), content)
