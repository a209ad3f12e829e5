"""Files that go with envelopes, between two real nodes: whole or not at all, and everybody knows which."""

import asyncio
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from rogatory.v1 import attachments_pb2 as wire
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1.attachments_pb2_grpc import AttachmentsStub
from rogatory.v1.certificates_pb2 import FreezeRequest
from rogatory.v1.orders_pb2 import ReviewReferral

from clients.central_authority import CentralAuthority
from clients.intake import Received, Told
from clients.participant import Participant
from gateway import material
from gateway.clock import system_clock
from gateway.depot import PART_BYTES
from gateway.doors import freight
from gateway.errors import ErrorCode, Refusal
from gateway.store import Transaction
from tests import paperwork, stores
from tests.bucket import bucket
from tests.federation import Federation, federation, until
from tests.files import cast_of, depot_of, random_file, receive, request_naming, settle_settings, upload
from tests.judge import judge
from tests.processes import finished

pytestmark = pytest.mark.integration

SIZE = 2 * PART_BYTES + 5


def files_of(received: Received) -> list[parties.Attachment]:
    document = received.document
    if isinstance(document, ReviewReferral):
        document = document.freeze
    assert isinstance(document, FreezeRequest)
    return [*document.attachments]


def rows(fed: Federation, code: str, sql: str) -> list[tuple[object, ...]]:
    return stores.rows(fed.store(code), sql)


async def told(who: Participant, milestone: pb.Milestone.ValueType, about: pb.SignedEnvelope) -> pb.Statement:
    """Wait until a milestone of an envelope is proven to its sender."""
    envelope_id = pb.Header.FromString(about.header).id
    async with asyncio.timeout(60):
        while True:
            for item in await who.collect_available():
                if isinstance(item, Told):
                    said = item.statement
                    if (said.milestone, said.envelope.id) == (milestone, envelope_id):
                        return said
            await asyncio.sleep(0.05)


async def test_file_goes_with_its_request_to_everybody_who_may_read_it(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        path = random_file(tmp_path, SIZE, "Kontoauszug.pdf")
        named = cast.prosecutor.attach(path, language="de")
        assert (named.title, named.media_type, named.size) == ("Kontoauszug.pdf", "application/pdf", SIZE)
        raw = await cast.request([named])
        await cast.home.fetch(named, tmp_path / "home.pdf")  # whoever countersigns was sent the draft
        await cast.prosecutor.submit(raw)
        asked = await receive(cast.abroad)
        (attachment,) = files_of(asked)
        assert attachment == named
        await cast.abroad.fetch(attachment, tmp_path / "abroad.pdf")
        await cast.abroad.submit(CentralAuthority(cast.abroad).refer(asked, court=cast.court.address).envelope)
        (attachment,) = files_of(await receive(cast.court))
        await cast.court.fetch(attachment, tmp_path / "court.pdf")
        for reader in ("home", "abroad", "court"):
            assert (tmp_path / f"{reader}.pdf").read_bytes() == path.read_bytes()
        await told(cast.prosecutor, pb.MILESTONE_OPENED, raw)
        # It crossed each line once: to the node, to the other node.
        assert [row[0] for row in rows(fed, "ee", "SELECT owner FROM uploads")] == ["ee/prosecutor"]
        assert [row[0] for row in rows(fed, "de", "SELECT owner FROM uploads")] == ["ee/node"]
        # Nothing of it is left with the sender, whose node answers for it now.
        assert [*(cast.prosecutor.parts.home / "attachments").iterdir()] == []
        for code in ("ee", "de"):
            assert judge(fed.store(code), code, fed.directory, all_final=False).envelopes > 0


async def test_nodes_see_ciphertext_alone(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        path = tmp_path / "secret-plan.txt"
        path.write_bytes(b"the words of the witness " * 20_000)
        named = cast.prosecutor.attach(path)
        await cast.prosecutor.submit(await cast.request([named]))
        await receive(cast.abroad)
        for code in ("ee", "de"):
            kept = [each for each in depot_of(fed, code).parent.rglob("*") if each.is_file()]
            assert any("attachments" in str(each) for each in kept)
            for each in kept:
                content = each.read_bytes()
                for secret in (b"the words of the witness", b"secret-plan", named.sealed.key, named.sha256):
                    assert secret not in content
                assert "secret-plan" not in each.name


async def test_upload_goes_on_where_it_broke_off_also_after_the_node_and_the_sender_were_gone(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        path = random_file(tmp_path, 3 * PART_BYTES + 5)
        async with cast_of(fed) as cast:
            first = cast.prosecutor.attach(path)
            ref = pb.AttachmentRef(sha256=first.sealed.sha256, size=first.sealed.size)
            sealed = (cast.prosecutor.parts.home / "attachments" / ref.sha256.hex()).read_bytes()
            call = AttachmentsStub(fed.actor("ee/prosecutor").channel).Upload()
            await call.write(wire.UploadRequest(begin=ref))
            for start in range(0, 2 * PART_BYTES + 3 * 65536, 65536):
                await call.write(wire.UploadRequest(data=sealed[start : start + 65536]))
            confirmed = 0
            while confirmed < 2 * PART_BYTES:
                answer = await call.read()
                assert isinstance(answer, wire.UploadResponse)
                confirmed = answer.received
            call.cancel()
        await fed.actor("ee/prosecutor").channel.close()
        del fed.actors["ee/prosecutor"]
        await fed.stop("ee")
        await fed.start("ee")
        async with cast_of(fed) as cast:
            again = cast.prosecutor.attach(path)
            assert again == first  # sealed once, however often it is attached
            seen: list[int] = []
            cast.prosecutor.files.watch = lambda doing, _name, done, _total: (
                seen.append(done) if doing == "bring" else None
            )
            await cast.prosecutor.submit(await cast.request([again]))
            assert seen[0] == 2 * PART_BYTES
            await cast.abroad.fetch(files_of(await receive(cast.abroad))[0], tmp_path / "arrived")
            assert (tmp_path / "arrived").read_bytes() == path.read_bytes()


async def test_fetching_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        path = random_file(tmp_path, SIZE)
        named = cast.prosecutor.attach(path)
        part = cast.home.parts.home / "attachments" / f"{named.sealed.sha256.hex()}.part"
        sealed = (cast.prosecutor.parts.home / "attachments" / named.sealed.sha256.hex()).read_bytes()
        part.write_bytes(sealed[: SIZE - 1000])
        await cast.request([named])
        seen: list[int] = []
        cast.home.files.watch = lambda doing, _name, done, _total: seen.append(done) if doing == "fetch" else None
        await cast.home.fetch(named, tmp_path / "arrived")
        assert seen[0] > SIZE - 1000
        assert (tmp_path / "arrived").read_bytes() == path.read_bytes()
        assert not part.exists()


async def test_what_was_fetched_and_changed_on_our_disk_is_not_opened_but_fetched_anew(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        path = random_file(tmp_path, SIZE)
        named = cast.prosecutor.attach(path)
        await cast.request([named])
        part = cast.home.parts.home / "attachments" / f"{named.sealed.sha256.hex()}.part"
        part.write_bytes(bytes(1000))
        with pytest.raises(Refusal) as caught:
            await cast.home.fetch(named, tmp_path / "arrived")
        assert caught.value.code is ErrorCode.BAD_SIGNATURE
        assert not (tmp_path / "arrived").exists()
        await cast.home.fetch(named, tmp_path / "arrived")
        assert (tmp_path / "arrived").read_bytes() == path.read_bytes()


async def test_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        named = cast.prosecutor.attach(random_file(tmp_path, 100))
        await cast.request([named])
        (tmp_path / "there").write_text("mine")
        with pytest.raises(Refusal) as caught:
            await cast.home.fetch(named, tmp_path / "there")
        assert caught.value.code is ErrorCode.BAD_INPUT
        assert (tmp_path / "there").read_text() == "mine"


async def test_file_that_opens_to_another_than_the_document_says_is_not_there(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        named = cast.prosecutor.attach(random_file(tmp_path, 100))
        named.sha256 = bytes(32)
        await cast.request([named])
        with pytest.raises(Refusal) as caught:
            await cast.home.fetch(named, tmp_path / "arrived")
        assert caught.value.code is ErrorCode.CONTENT_MISMATCH
        assert not (tmp_path / "arrived").exists()


async def test_empty_file_travels_too(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed, cast_of(fed) as cast:
        named = cast.prosecutor.attach(random_file(tmp_path, 0))
        await cast.prosecutor.submit(await cast.request([named]))
        await cast.abroad.fetch(files_of(await receive(cast.abroad))[0], tmp_path / "arrived")
        assert (tmp_path / "arrived").read_bytes() == b""


async def test_envelope_waits_for_its_file_while_the_other_node_is_down_and_says_why(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed, cast_of(fed) as cast:
        path = random_file(tmp_path, SIZE)
        raw = await cast.request([cast.prosecutor.attach(path)])
        await cast.prosecutor.submit(raw)
        waiting = "SELECT last_error FROM deliveries WHERE destination = 'de/node'"
        await until(lambda: "UNAVAILABLE" in str(rows(fed, "ee", waiting)))
        await fed.start("de")
        await cast.abroad.fetch(files_of(await receive(cast.abroad))[0], tmp_path / "arrived")
        assert (tmp_path / "arrived").read_bytes() == path.read_bytes()
        await told(cast.prosecutor, pb.MILESTONE_DELIVERED, raw)
        names = {row[0] for row in rows(fed, "ee", "SELECT name FROM events")}
        assert names >= {"attachment.stopped", "attachment.carried", "envelope.delivered"}


async def test_file_that_the_other_node_has_lost_is_brought_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freight, "rung", lambda wake: wake.wait())  # nothing but a bell
    async with federation(tmp_path / "fed", start=("ee",)) as fed, cast_of(fed) as cast:
        named = cast.prosecutor.attach(random_file(tmp_path, 100))
        await cast.prosecutor.submit(await cast.request([named]))
        writer = fed.nodes["ee"]._writer
        assert writer is not None

        def carried(txn: Transaction) -> None:
            txn.attachments.carried("de/node", named.sealed.sha256)
            txn.wake.add("de/node")

        await writer.write(carried)
        await fed.start("de")
        assert files_of(await receive(cast.abroad)) == [named]


async def test_what_expires_while_its_file_waits_is_never_delivered_and_the_sender_is_told(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor = fed.actor("ee/prosecutor")
        content = os.urandom(100)
        ref = await upload(actor.channel, content)
        raw = request_naming(fed, [ref], expires_at=fed.clock() + timedelta(seconds=2))
        assert (await actor.submit(raw)).milestone == pb.MILESTONE_ACCEPTED
        (item,) = await actor.collect(1)
        assert (actor.said(item).milestone, actor.said(item).issuer) == (pb.MILESTONE_EXPIRED, "ee/node")
        await fed.start("de")
        assert await fed.actor("de/central-authority").waiting() == []


async def test_file_over_the_other_nodes_limit_is_refused_and_the_sender_has_it_signed(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        path = fed.summary.config("de/node")
        path.write_text(f"{path.read_text()}\n[limits]\nmax_attachment_bytes = 4096\n")
        await fed.start("de")
        actor = fed.actor("ee/prosecutor")
        ref = await upload(actor.channel, os.urandom(5000))
        raw = request_naming(fed, [ref])
        assert (await actor.submit(raw)).milestone == pb.MILESTONE_ACCEPTED
        (item,) = await actor.collect(1)
        said = actor.said(item)
        assert (said.milestone, ErrorCode(said.code)) == (pb.MILESTONE_REFUSED, ErrorCode.TOO_LARGE)
        assert "max_attachment_bytes = 4096" in said.detail


async def test_other_node_without_room_holds_the_envelope_up_and_nothing_else(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        settle_settings(fed, "de", max_bytes_in_all=2048)
        await fed.start("de")
        actor = fed.actor("ee/prosecutor")
        ref = await upload(actor.channel, os.urandom(5000))
        held = request_naming(fed, [ref], case_id="EE-held")
        await actor.submit(held)
        waiting = "SELECT last_error FROM deliveries WHERE destination = 'de/node' AND case_id = 'EE-held'"
        await until(lambda: "NO_ROOM" in str(rows(fed, "ee", waiting)))
        assert "max_bytes_in_all = 2048" in str(rows(fed, "ee", waiting))
        free = request_naming(fed, [], case_id="EE-free")
        await actor.submit(free)
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == free


async def test_file_that_rotted_on_the_nodes_disk_is_never_passed_on_and_can_be_brought_again(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor = fed.actor("ee/prosecutor")
        content = os.urandom(5000)
        ref = await upload(actor.channel, content)
        raw = request_naming(fed, [ref])
        await actor.submit(raw)
        (part,) = [each for each in depot_of(fed, "ee").rglob("*") if each.is_file()]
        part.chmod(0o600)
        part.write_bytes(bytes(5000))
        await fed.start("de")
        waiting = "SELECT last_error FROM deliveries WHERE destination = 'de/node'"
        await until(lambda: "ATTACHMENT_MISSING: the file is not here" in str(rows(fed, "ee", waiting)))
        await upload(actor.channel, content)
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == raw


async def test_file_that_cannot_go_holds_up_no_other(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor = fed.actor("ee/prosecutor")
        refs = [await upload(actor.channel, os.urandom(100 * number)) for number in range(1, 7)]
        lost, *others = [request_naming(fed, [each], case_id=f"EE-{each.size}") for each in refs]
        for each in (lost, *others):
            await actor.submit(each)
        # The oldest, and the smallest: each lane would take it first.
        rows(fed, "ee", "DELETE FROM uploads WHERE size = 100")
        await fed.start("de")
        got = await fed.actor("de/central-authority").collect(len(others))
        assert {item.envelope.header for item in got} == {each.header for each in others}
        waiting = "SELECT last_error FROM deliveries WHERE destination = 'de/node' AND case_id = 'EE-100'"
        assert "ATTACHMENT_MISSING" in str(rows(fed, "ee", waiting))


@pytest.mark.parametrize("spoil", [Path.unlink, lambda part: os.truncate(part, 50)], ids=["gone", "shorter"])
async def test_file_that_cannot_be_read_stops_no_other_and_is_told(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        actor = fed.actor("ee/prosecutor")
        damaged, other = [
            request_naming(fed, [await upload(actor.channel, os.urandom(size))], case_id=f"EE-{size}")
            for size in (100, 200)
        ]
        for each in (damaged, other):
            await actor.submit(each)
        (part,) = [each for each in depot_of(fed, "ee").rglob("*") if each.is_file() and each.stat().st_size == 100]
        spoil(part)
        await fed.start("de")
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == other
        waiting = "SELECT last_error FROM deliveries WHERE destination = 'de/node' AND case_id = 'EE-100'"
        await until(lambda: "STORE" in str(rows(fed, "ee", waiting)))
        # Nor does it stop what comes afterwards.
        later = request_naming(fed, [await upload(actor.channel, os.urandom(300))], case_id="EE-300")
        await actor.submit(later)
        (item,) = await fed.actor("de/central-authority").collect(1)
        assert item.envelope == later


async def test_ciphertext_that_neither_we_nor_our_node_have_is_refused_and_nothing_is_cancelled(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        config = fed.summary.config("ee/prosecutor")
        async with Participant.of(material.load_participant(config)) as prosecutor:
            attached = prosecutor.attach(random_file(tmp_path, 5000))
            ref = pb.AttachmentRef(sha256=attached.sealed.sha256, size=attached.sealed.size)
            prosecutor.files.forget([ref])
            with pytest.raises(Refusal) as caught:
                await prosecutor.submit(request_naming(fed, [ref]), within=10)
            assert caught.value.code is ErrorCode.NOT_FOUND


async def test_nodes_that_keep_files_in_a_bucket(tmp_path: Path) -> None:
    async with bucket(tmp_path / "s3") as s3, federation(tmp_path / "fed", start=[]) as fed:
        for code in ("ee", "de"):
            path = fed.summary.config(f"{code}/node")
            table = {**s3.model_dump(mode="json"), "url": f"{s3.url}/{code}"}
            lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
            path.write_text(f"{path.read_text().replace(stores.DEPOT, '')}\n[attachments.s3]\n{lines}")
            await fed.start(code)
        async with cast_of(fed) as cast:
            path = random_file(tmp_path, SIZE)
            await cast.prosecutor.submit(await cast.request([cast.prosecutor.attach(path)]))
            await cast.abroad.fetch(files_of(await receive(cast.abroad))[0], tmp_path / "arrived")
            assert (tmp_path / "arrived").read_bytes() == path.read_bytes()
        assert not depot_of(fed, "ee").exists()


async def test_housekeeping_takes_what_nobody_names_and_leaves_what_an_envelope_names(tmp_path: Path) -> None:
    passed = [timedelta()]
    async with federation(tmp_path / "fed", start=[], clock=lambda: system_clock() + passed[0]) as fed:
        settle_settings(fed, "ee", unnamed_hours=1.0, collect_seconds=0.05)
        await fed.start("ee")
        actor = fed.actor("ee/prosecutor")
        named = await upload(actor.channel, os.urandom(5000))
        await upload(actor.channel, os.urandom(5000))
        await actor.submit(request_naming(fed, [named]))
        passed[0] = timedelta(hours=2)
        await until(lambda: len([*depot_of(fed, "ee").iterdir()]) == 1)
        (left,) = depot_of(fed, "ee").iterdir()
        assert left.name.startswith(named.sha256.hex())
        await until(lambda: rows(fed, "ee", "SELECT * FROM discarded") == [])


async def test_command_line_attaches_shows_and_fetches(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        path = random_file(tmp_path, SIZE, "Protokoll ../../etc.pdf".replace("/", "_"))
        request = tmp_path / "request.json"
        request.write_text(json_format.MessageToJson(paperwork.request()))
        sender, home = (str(fed.summary.config(who)) for who in ("ee/prosecutor", "ee/central-authority"))
        to = ("--to", "de/central-authority", "--via", "ee/central-authority")
        case = ("--case", "EE-1", "--instrument", "eu-2018-1805")
        dry = await rogatory(
            "send", "draft", str(request), *to, *case, "--attach", str(path), "--config", sender, "--dry-run"
        )
        assert dry["dry_run"] is True
        assert not [*(fed.summary.folder / "ee" / "prosecutor").rglob("attachments/*")]
        sent = await rogatory("send", "draft", str(request), *to, *case, "--attach", str(path), "--config", sender)
        assert sent["receipt"]["milestone"] == "accepted"
        await rogatory("inbox", "--config", home)
        out = tmp_path / "out"
        out.mkdir()
        got = await rogatory("inbox", "--config", home, "--fetch", sent["id"], "--to", str(out))
        (fetched,) = got["fetched"]
        (written,) = out.iterdir()
        assert str(written) == fetched["file"]
        assert written.read_bytes() == path.read_bytes()
        # As after a failure at the second of two files: the first one is there.
        assert await rogatory("inbox", "--config", home, "--fetch", sent["id"], "--to", str(out)) == got
        written.write_bytes(bytes(SIZE))
        failed = await rogatory("inbox", "--config", home, "--fetch", sent["id"], "--to", str(out))
        assert failed["error"]["code"] == "BAD_INPUT"


async def test_file_that_does_not_open_keeps_no_other_from_its_reader(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        async with cast_of(fed) as cast:
            named = [cast.prosecutor.attach(random_file(tmp_path, 100, name)) for name in ("one", "two")]
            named[0].sealed.key = bytes(32)
            await cast.prosecutor.submit(await cast.request(named))
            received = await receive(cast.abroad)
        out, config = tmp_path / "out", str(fed.summary.config("de/central-authority"))
        out.mkdir()
        failed = await rogatory("inbox", "--config", config, "--fetch", received.ref.id, "--to", str(out))
        assert failed["error"]["code"] == "CANNOT_OPEN"
        assert [each.read_bytes() for each in out.iterdir()] == [(tmp_path / "two").read_bytes()]


async def rogatory(*words: str) -> dict[str, Any]:
    _, said, _ = await finished(*words, "--json")
    answer: dict[str, Any] = json.loads(said)
    return answer
