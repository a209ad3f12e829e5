"""A running node takes up what is new, at once and on what is open too; and keeps what works when the new does not."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pysqlite3.dbapi2 as sqlite
import pytest
import pytest_asyncio
from cryptography import x509
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import operations_pb2 as operations
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.operations_pb2_grpc import OperationsStub
from rogatory.v1.trace_pb2_grpc import TraceStub
from sqlalchemy.exc import OperationalError

from certs.pki import DevelopmentPki
from gateway import codec, envelope, keys, material, signature, statement, transport
from gateway import upkeep as upkeep_module
from gateway.clock import system_clock, to_micros
from gateway.directory import Directory, KeyEntry, Status
from gateway.errors import ErrorCode, Refusal
from gateway.gathering import SMALL_FRAMES_IN_FLIGHT
from gateway.identity import Address, certificate_fingerprint, host_name
from gateway.lifecycle import State
from gateway.node import Node
from gateway.signature import Domain, key_id
from gateway.trust import client, development
from gateway.trust.copy import GoodCopy
from gateway.trust.fetch import MemoryFetcher, SilentFetcher
from gateway.trust.problem import Reason
from gateway.trust.roles import TIMESTAMP
from tests.enrolling import registering
from tests.federation import Actor, Federation, code_of, federation, pki, ref, relay_one, replace_certificate, until
from tests.unit.test_trust_fetch import certificate

pytestmark = pytest.mark.integration

SECONDS = 60.0


@pytest_asyncio.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed") as made:
        yield made


def participant(directory: Directory, address: str, **changes: Any) -> Directory:
    """Return a directory in which one entry is changed."""
    entries = tuple(
        each.model_copy(update=changes) if str(each.address) == address else each for each in directory.participants
    )
    return directory.model_copy(update={"participants": entries})


def node_entry(directory: Directory, code: str, **changes: Any) -> Directory:
    """Return a directory in which one node is changed."""
    nodes = tuple(each.model_copy(update=changes) if each.code == code else each for each in directory.nodes)
    return directory.model_copy(update={"nodes": nodes})


async def publish(fed: Federation, directory: Directory) -> None:
    """Publish it and have every node look."""
    await asyncio.to_thread(fed.sign_anew, directory)
    for node in fed.nodes.values():
        await node.upkeep.look()


async def error_of(call: Any) -> ErrorCode:
    """Return with which of our errors a call ends."""
    try:
        async with asyncio.timeout(SECONDS):
            while (answer := await call.read()) is not grpc.aio.EOF:
                assert not isinstance(answer, mailbox.SubmitFramesResponse), answer
    except grpc.aio.AioRpcError as error:
        return transport.error_of(error).code
    raise AssertionError("the call ended without an error")


async def collecting(actor: Actor) -> Any:
    """Open a stream that waits for mail, and return it once it is known to wait."""
    call = MailboxStub(actor.channel).Collect()
    await call.write(mailbox.CollectRequest(credit=1))
    async with asyncio.timeout(SECONDS):
        answer = await call.read()
    assert isinstance(answer, mailbox.CollectResponse)
    assert answer.drained
    return call


async def submitting(actor: Actor) -> Any:
    """Open a stream that hands in, and return it once a frame of it was answered."""
    call = MailboxStub(actor.channel).SubmitFrames()
    await call.write(
        mailbox.SubmitFramesRequest(frame=1, envelopes=[actor.compose(ids.KIND_DRAFT, "ee/central-authority")])
    )
    async with asyncio.timeout(SECONDS):
        assert isinstance(await call.read(), mailbox.SubmitFramesResponse)
    return call


@pytest.mark.parametrize("opened", [collecting, submitting], ids=["collect", "submit"])
async def test_whoever_is_revoked_is_cut_off_in_the_middle_of_an_idle_stream(
    fed: Federation, opened: Callable[[Actor], Any]
) -> None:
    call = await opened(fed.actor("ee/prosecutor"))
    other = await collecting(fed.actor("ee/court"))
    await publish(fed, participant(fed.directory, "ee/prosecutor", status=Status.REVOKED))
    assert await error_of(call) is ErrorCode.REVOKED
    await other.write(mailbox.CollectRequest(credit=1))
    assert not other.done(), "somebody else's stream was dropped"
    other.cancel()


def with_another_certificate(fed: Federation) -> grpc.aio.Channel:
    """Return a connection of the prosecutor's with a certificate of its own."""
    holder = pki(fed).leaf(Address("ee", "prosecutor"))
    return transport.channel_to(
        fed.directory.node("ee"), "rogatory.test", transport.TlsIdentity(holder.key_pem, holder.chain_pem)
    )


async def test_a_revoked_certificate_is_out_and_its_owner_is_in_with_another(fed: Federation) -> None:
    actor = fed.actor("ee/prosecutor")
    call = await collecting(actor)
    leaf = x509.load_pem_x509_certificate(actor.loaded.identity.chain_pem)
    out = certificate_fingerprint(leaf).hex()
    await publish(fed, participant(fed.directory, "ee/prosecutor", revoked_certificates=frozenset({out})))
    assert await error_of(call) is ErrorCode.REVOKED
    with pytest.raises(Refusal) as caught:
        material.load_participant(fed.summary.config("ee/prosecutor"))
    assert caught.value.code is ErrorCode.REVOKED
    async with with_another_certificate(fed) as channel:
        fresh = MailboxStub(channel).Collect()
        await fresh.write(mailbox.CollectRequest(credit=1))
        async with asyncio.timeout(SECONDS):
            assert isinstance(await fresh.read(), mailbox.CollectResponse)
        fresh.cancel()


async def test_the_stream_of_a_revoked_node_is_cut_off_and_nothing_more_is_sent_to_it(fed: Federation) -> None:
    call = fed.node_relay("de", "ee").Relay()
    await call.write(relay.RelayRequest(frame=1))
    async with asyncio.timeout(SECONDS):
        assert isinstance(await call.read(), relay.RelayResponse)
    await publish(fed, node_entry(fed.directory, "de", status=Status.REVOKED))
    assert await error_of(call) is ErrorCode.REVOKED
    said = await fed.actor("ee/prosecutor").submit(fed.request())
    assert code_of(said) is ErrorCode.NO_ROUTE


async def test_a_node_that_is_let_in_again_gets_what_waited_for_it(fed: Federation) -> None:
    before = fed.directory
    await fed.stop("de")
    made = fed.request()
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is None
    await publish(fed, node_entry(before, "de", status=Status.REVOKED))
    await publish(fed, before)
    await fed.start("de")
    (item,) = await fed.actor("de/central-authority").collect(1)
    assert item.envelope.header == made.header


async def test_a_participant_who_is_listed_while_the_node_runs_is_let_in(fed: Federation) -> None:
    everybody, fiu = fed.directory, fed.actor("ee/fiu")
    node = fed.nodes["ee"]
    others = tuple(each for each in everybody.participants if str(each.address) != "ee/fiu")
    in_force(node, everybody.model_copy(update={"participants": others}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await MailboxStub(fiu.channel).Submit(mailbox.SubmitRequest(envelope=fed.request()), timeout=SECONDS)
    assert transport.error_of(caught.value).code is ErrorCode.UNKNOWN_PEER
    await node.upkeep.look()
    (await collecting(fiu)).cancel()


async def test_a_new_certificate_is_shown_to_those_who_connect_and_drops_no_stream(fed: Federation) -> None:
    call = await collecting(fed.actor("ee/prosecutor"))
    config, node = fed.nodes["ee"].upkeep.material.config, fed.nodes["ee"]
    old = await asyncio.to_thread(shown, config.listen, fed)
    replace_certificate(config.certificate, config.tls_key, pki(fed).leaf(Address.of_node("ee")))
    await node.upkeep.look()
    new = await asyncio.to_thread(shown, config.listen, fed)
    assert old != new
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    assert (await fed.actor("de/central-authority").collect(1))[0].envelope.header == made.header
    await call.write(mailbox.CollectRequest(credit=1))
    async with asyncio.timeout(SECONDS):
        assert [item.HasField("receipt") for item in (await call.read()).items] == [True]
    call.cancel()


async def test_a_certificate_that_does_not_fit_is_told_and_the_one_in_use_stays(
    fed: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    node, config = fed.nodes["ee"], fed.nodes["ee"].upkeep.material.config
    before = node.upkeep.material.identity
    replace_certificate(config.certificate, config.tls_key, pki(fed).leaf(Address.of_node("de")))
    with caplog.at_level(logging.WARNING, "gateway.upkeep"):
        await node.upkeep.look()
        await node.upkeep.look()
    assert node.upkeep.material.identity == before
    assert [record.__dict__["about"] for record in caplog.records] == ["material"], "told once"
    await publish(fed, participant(fed.directory, "ee/fiu", status=Status.REVOKED))
    assert not node.upkeep.directory().roles("ee/fiu"), "deaf to the directory"
    (await collecting(fed.actor("ee/prosecutor"))).cancel()


async def test_a_certificate_that_comes_before_the_news_of_its_ca_is_taken_with_that_news(fed: Federation) -> None:
    node, config = fed.nodes["ee"], fed.nodes["ee"].upkeep.material.config
    before = node.upkeep.material.identity
    changed = DevelopmentPki("rogatory.test", system_clock())
    replace_certificate(config.certificate, config.tls_key, changed.leaf(Address.of_node("ee")))
    await node.upkeep.look()
    assert node.upkeep.material.identity == before
    both = fed.directory.node("ee").ca + changed.node_ca("ee").pem.decode()
    await publish(fed, node_entry(fed.directory, "ee", ca=both))
    assert node.upkeep.material.identity.chain_pem == config.certificate.read_bytes()


async def test_half_written_settings_change_nothing(fed: Federation) -> None:
    node, path = fed.nodes["ee"], fed.summary.config("ee/node")
    before = node.upkeep.material
    path.write_text(path.read_text()[:40])
    await node.upkeep.look()
    assert node.upkeep.material.holdings is before.holdings


async def test_a_nodes_new_signing_key_signs_once_it_is_listed_and_the_old_receipts_stay_proven(
    fed: Federation,
) -> None:
    node, path = fed.nodes["ee"], fed.summary.config("ee/node")
    before = await fed.actor("ee/prosecutor").submit(fed.request())
    key = SigningKey.generate()
    keys.save_signing_key(path.parent / "second.key", key)
    path.write_text(path.read_text().replace('["signing.key"]', '["signing.key", "second.key"]'))
    await node.upkeep.look()
    assert node.upkeep.material.signing_key.public_key != bytes(key.verify_key), "used before anybody can know it"
    now = system_clock()
    entry = fed.directory.node("ee")
    ended = tuple(each.model_copy(update={"not_after": now + timedelta(hours=1)}) for each in entry.signing_keys)
    listed = (*ended, KeyEntry(public=bytes(key.verify_key), not_before=now - timedelta(seconds=1)))
    await publish(fed, node_entry(fed.directory, "ee", signing_keys=listed))
    assert node.upkeep.material.signing_key.public_key == bytes(key.verify_key)
    fed.actors.pop("ee/prosecutor")
    after = await fed.actor("ee/prosecutor").submit(fed.request())
    assert (code_of(before), code_of(after)) == (None, None)
    assert len(await fed.actor("de/central-authority").collect(2)) == 2


# Keys that a node does not know


def without_keys(fed: Federation) -> None:
    """Have node ee know no key of the prosecutor's, as if it were listed since; others know it."""
    in_force(fed.nodes["ee"], participant(fed.directory, "ee/prosecutor", signing_keys=()))


def no_news(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is published can be had, nor anything of another node."""

    async def look(mirror: object = None) -> None:
        pass

    monkeypatch.setattr(fed.nodes["ee"].upkeep, "look", look)


async def told_of(fed: Federation, made: pb.SignedEnvelope) -> list[str]:
    """Return all that node ee has recorded about an envelope."""
    operator = TraceStub(fed.actor("ee/operator").channel)
    try:
        found = await operator.GetTrace(trace.GetTraceRequest(key=ref(made).id), timeout=SECONDS)
    except grpc.aio.AioRpcError as error:
        if transport.error_of(error).code is ErrorCode.NOT_FOUND:
            return []
        raise
    return [event.name for each in found.traces for event in each.events]


async def test_what_is_signed_with_a_key_that_is_newer_than_what_a_node_knows_is_taken_at_once(
    fed: Federation,
) -> None:
    without_keys(fed)
    assert code_of(await fed.actor("ee/prosecutor").submit(fed.request())) is None


async def test_what_is_signed_with_an_unknown_key_is_put_off_while_no_news_can_be_had(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_keys(fed)
    no_news(fed, monkeypatch)
    made = fed.request()
    answer = await fed.actor("ee/prosecutor").answer(made)
    assert codec.error_from(answer.error).code is ErrorCode.UNAVAILABLE
    assert answer.error.retry_after_ms > 0
    assert await told_of(fed, made) == [], "something was decided"
    monkeypatch.undo()
    assert code_of(await fed.actor("ee/prosecutor").submit(made)) is None


async def test_what_is_signed_with_a_key_of_nobody_is_refused_once_the_node_has_looked(fed: Federation) -> None:
    actor = fed.actor("ee/prosecutor")
    made = actor.compose(ids.KIND_DRAFT, "ee/central-authority")
    made.signatures[0].CopyFrom(signature.sign(Domain.ENVELOPE, made.header, actor.address, SigningKey.generate()))
    assert code_of(await actor.submit(made)) is ErrorCode.BAD_SIGNATURE


async def test_of_one_frame_only_what_is_signed_with_an_unknown_key_is_put_off(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_news(fed, monkeypatch)
    actor = fed.actor("ee/prosecutor")
    made = [actor.compose(ids.KIND_DRAFT, "ee/central-authority", case_id=f"EE-{number}") for number in range(3)]
    other = signature.sign(Domain.ENVELOPE, made[1].header, actor.address, SigningKey.generate())
    made[1].signatures[0].CopyFrom(other)
    answers = await actor.submit_frame(made)
    assert [answer.WhichOneof("result") for answer in answers] == ["receipt", "error", "receipt"]
    assert codec.error_from(answers[1].error).code is ErrorCode.UNAVAILABLE


async def test_receipt_under_a_key_that_is_not_known_yet_is_put_off_and_taken_when_it_comes_again(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, node = fed.request(), fed.nodes["ee"]
    await fed.actor("ee/prosecutor").submit(made)
    await fed.actor("ee/prosecutor").collect(1)
    loaded = await asyncio.to_thread(material.load_node, fed.summary.config("de/node"))
    said = pb.Statement(
        envelope=ref(made),
        fingerprint=envelope.fingerprint(made),
        milestone=pb.MILESTONE_DELIVERED,
        issuer="de/node",
        recipient="de/central-authority",
        at_us=to_micros(system_clock()),
    )
    request = relay.RelayRequest(frame=1, receipts=statement.issue([said], loaded.address, loaded.signing_key))
    other = SigningKey.generate().verify_key
    unknown = (KeyEntry(public=bytes(other), not_before=system_clock()),)
    in_force(node, node_entry(fed.directory, "de", signing_keys=unknown))
    no_news(fed, monkeypatch)
    (answer,) = await relay_one(fed.node_relay("de", "ee"), request)
    assert codec.error_from(answer.error).code is ErrorCode.UNAVAILABLE
    monkeypatch.undo()
    (answer,) = await relay_one(fed.node_relay("de", "ee"), request)
    assert answer.noted
    (item,) = await fed.actor("ee/prosecutor").collect(1)
    assert fed.actor("ee/prosecutor").said(item).milestone == pb.MILESTONE_DELIVERED


async def test_answer_under_a_key_that_is_not_known_yet_is_asked_for_again_and_proves_nothing(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, made = fed.nodes["ee"], fed.request()
    other = SigningKey.generate().verify_key
    unknown = (KeyEntry(public=bytes(other), not_before=system_clock()),)
    in_force(node, node_entry(fed.directory, "de", signing_keys=unknown))
    no_news(fed, monkeypatch)
    await fed.actor("ee/prosecutor").submit(made)
    async with asyncio.timeout(SECONDS):
        while "delivery.failed" not in await told_of(fed, made):
            await asyncio.sleep(0.02)
    assert await fed.actor("ee/prosecutor").waiting() == []
    monkeypatch.undo()
    (item,) = await fed.actor("ee/prosecutor").collect(1)
    assert fed.actor("ee/prosecutor").said(item).milestone == pb.MILESTONE_ACCEPTED


async def test_keys_of_nobody_make_a_node_look_once_for_all_who_come_meanwhile(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep, looks, go = fed.nodes["ee"].upkeep, list[None](), asyncio.Event()
    really = upkeep.look

    async def look(mirror: Mapping[str, bytes] | None = None) -> None:
        looks.append(None)
        await go.wait()
        await really(mirror)

    monkeypatch.setattr(upkeep, "look", look)
    tasks = [asyncio.create_task(upkeep.know({("ee/prosecutor", bytes([number]) * 8)})) for number in range(100)]
    await until(lambda: bool(looks))
    go.set()
    assert await asyncio.gather(*tasks) == [frozenset()] * 100
    assert len(looks) == 1
    await upkeep.know({(fed.actor("ee/prosecutor").address, key_id(bytes(fed.actor("ee/prosecutor").key.verify_key)))})
    assert len(looks) == 1, "it looked for a key that it knows"


# What goes wrong while a node looks


async def test_full_disk_at_the_copy_keeps_no_news_out_and_the_next_look_writes_it(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = fed.nodes["ee"]
    cache, write = node.upkeep.material.config.directory.cache, GoodCopy.write

    def full(self: GoodCopy, where: Path) -> None:
        if where == cache:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, where)

    monkeypatch.setattr(GoodCopy, "write", full)
    await publish(fed, participant(fed.directory, "ee/fiu", status=Status.REVOKED))
    assert not node.upkeep.directory().roles("ee/fiu")
    version = node.upkeep.material.trusted.version(TIMESTAMP)
    assert written(cache) < version
    monkeypatch.undo()
    await node.upkeep.look()
    assert written(cache) == version


def written(cache: Path) -> int:
    found = GoodCopy.read(cache)
    assert found is not None
    return found.held.timestamp


@pytest.mark.parametrize("part", ["upkeep", "registry"])
async def test_store_that_cannot_be_read_for_a_while_does_not_end_the_node(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with registering(tmp_path / "fed", start=["ee"]) as fed:
        node, failures = fed.nodes["ee"], list[None]()
        reader = node._reader
        assert reader is not None

        def broken(ask: object) -> None:
            failures.append(None)
            raise OperationalError("SELECT", {}, sqlite.OperationalError("disk I/O error"))

        async def broken_too(ask: object) -> None:
            broken(ask)

        if part == "upkeep":
            monkeypatch.setattr(reader, "registry_now", broken)
        else:
            monkeypatch.setattr(reader, "registry", broken_too)
        await until(lambda: len(failures) >= 3 or node._parts.has_failed)
        assert not node._parts.has_failed
        monkeypatch.undo()
        await asyncio.to_thread(fed.sign_anew, participant(fed.directory, "ee/fiu", status=Status.REVOKED))
        await until(lambda: not node.upkeep.directory().roles("ee/fiu"))
        assert not node._parts.has_failed


async def test_key_file_that_comes_after_the_settings_that_name_it_is_taken_when_it_is_there(fed: Federation) -> None:
    node, path = fed.nodes["ee"], fed.summary.config("ee/node")
    path.write_text(path.read_text().replace('["signing.key"]', '["signing.key", "second.key"]'))
    await node.upkeep.look()
    assert len(node.upkeep.material.holdings.signers) == 1
    key = SigningKey.generate()
    keys.save_signing_key(path.parent / "second.key", key)
    await node.upkeep.look()
    held = [signer.public_key for signer in node.upkeep.material.holdings.signers]
    assert bytes(key.verify_key) in held


async def test_what_waits_for_its_turn_while_its_sender_is_revoked_is_refused_and_nothing_is_recorded(
    fed: Federation,
) -> None:
    node, actor, made = fed.nodes["ee"], fed.actor("ee/prosecutor"), fed.request()
    peer, turns = Address.parse(actor.address), node.quotas.turns
    async with turns.take(peer, 1 << 20):
        waiting = asyncio.create_task(actor.answer(made))
        await until(lambda: turns.waiting(peer) == 1)
        leaf = x509.load_pem_x509_certificate(actor.loaded.identity.chain_pem)
        out = frozenset({certificate_fingerprint(leaf).hex()})
        await publish(fed, participant(fed.directory, actor.address, revoked_certificates=out))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await waiting
    assert transport.error_of(caught.value).code is ErrorCode.REVOKED
    assert await told_of(fed, made) == []


async def test_call_with_a_revoked_certificate_gets_in_with_nobody_elses(fed: Federation) -> None:
    """What comes in single calls travels together; who may come is asked of each certificate."""
    node, actor = fed.nodes["ee"], fed.actor("ee/prosecutor")
    peer, turns = Address.parse(actor.address), node.quotas.turns
    stolen = [fed.request() for _ in range(SMALL_FRAMES_IN_FLIGHT + 2)]
    async with with_another_certificate(fed) as channel:
        async with turns.take(peer, 1 << 20):
            calls = [asyncio.create_task(actor.answer(each)) for each in stolen[:-1]]
            await until(lambda: turns.waiting(peer) == SMALL_FRAMES_IN_FLIGHT)
            own = MailboxStub(channel).Submit(mailbox.SubmitRequest(envelope=fed.request()), timeout=SECONDS)
            await until(lambda: turns.waiting(peer) == SMALL_FRAMES_IN_FLIGHT + 1)
            calls.append(asyncio.create_task(actor.answer(stolen[-1])))
            leaf = x509.load_pem_x509_certificate(actor.loaded.identity.chain_pem)
            out = frozenset({certificate_fingerprint(leaf).hex()})
            await publish(fed, participant(fed.directory, actor.address, revoked_certificates=out))
        assert (await own).answer.HasField("receipt")
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [transport.error_of(each).code for each in errors if isinstance(each, grpc.aio.AioRpcError)] == [
        ErrorCode.REVOKED
    ] * len(stolen)
    for each in stolen:
        assert await told_of(fed, each) == []


# A repository over HTTPS that answers as slowly as it can


@dataclass
class Dripping:
    """Sends a byte now and then, for ever."""

    url: str = ""
    asked: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1]
                while (await reader.readline()).strip():
                    pass
                if b"root.json" in path:
                    writer.write(b"HTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n")
                    continue
                self.asked += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n")
                while not self.released.is_set():
                    writer.write(b" ")
                    await writer.drain()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await self.released.wait()
                return
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def dripping(fed: Federation, folder: Path) -> AsyncIterator[Dripping]:
    """Have node ee read what is published from such a server."""
    made, ca = Dripping(), certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, ca.with_suffix(".key"))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upkeep = fed.nodes["ee"].upkeep
    config = upkeep.material.config
    source = config.directory.model_copy(update={"repository": made.url, "ca": ca})
    upkeep.material = replace(upkeep.material, config=config.model_copy(update={"directory": source}))
    try:
        yield made
    finally:
        made.released.set()
        server.close()


KEY = ("ee/prosecutor", bytes(16))


async def test_key_that_was_published_while_the_directory_was_read_is_not_called_nobodys(
    fed: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep, stale = fed.nodes["ee"].upkeep, await mirrored(fed, tmp_path / "before")
    began, go = threading.Event(), threading.Event()

    def slow(_source: object, _now: object) -> MemoryFetcher:
        began.set()
        go.wait(SECONDS)
        return MemoryFetcher(stale)

    monkeypatch.setattr(client, "fetch", slow)
    looking = asyncio.create_task(upkeep.look())
    await until(began.is_set)
    asking = asyncio.create_task(upkeep.know({KEY}))
    await until(lambda: upkeep._coming is not None)
    go.set()
    assert await asking == {KEY}
    await looking


async def test_directory_that_could_not_be_read_does_not_say_that_a_key_is_nobodys(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise Refusal(ErrorCode.BAD_DIRECTORY, "expired, the copy too")

    monkeypatch.setattr(client, "load_from", refused)
    assert await fed.nodes["ee"].upkeep.know({KEY}) == {KEY}


async def test_news_of_another_node_does_not_say_that_a_key_is_nobodys(
    fed: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be newer than ours, and older than the key."""
    upkeep = fed.nodes["ee"].upkeep
    await asyncio.to_thread(fed.sign_anew, fed.directory)
    news = await mirrored(fed, tmp_path / "other")

    def silent(_source: object, _now: object) -> SilentFetcher:
        return SilentFetcher("nobody answers")

    monkeypatch.setattr(client, "fetch", silent)
    asking = asyncio.create_task(upkeep.know({KEY}))
    await upkeep.look(news)
    assert await asking == {KEY}


async def test_who_waits_for_news_of_a_key_holds_no_turn_that_others_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with federation(tmp_path / "fed", start=()) as fed:
        config = fed.summary.config("ee/node")
        config.write_text(f"{config.read_text()}\n[quota]\nenvelopes_at_once_of_all = 128\n")
        node = await fed.start("ee")
        monkeypatch.setattr(upkeep_module, "PATIENCE_SECONDS", 3600)
        go, looks = asyncio.Event(), 0

        async def look(mirror: object = None) -> None:
            nonlocal looks
            looks += 1
            await go.wait()

        monkeypatch.setattr(node.upkeep, "look", look)
        stranger = fed.actor("ee/fiu")
        frames = [[forged(stranger, f"x{frame}-{n}") for n in range(64)] for frame in range(2)]
        flood = [asyncio.create_task(stranger.submit_frame(frame)) for frame in frames]
        await until(lambda: looks == 1)
        assert code_of(await fed.actor("ee/prosecutor").submit(fed.request())) is None
        go.set()
        await asyncio.gather(*flood)


def forged(by: Actor, case_id: str) -> pb.SignedEnvelope:
    """Sign with a key that nobody has listed."""
    made = by.compose(ids.KIND_DRAFT, "ee/central-authority", case_id=case_id)
    key = SigningKey.generate()
    made.signatures[0].CopyFrom(signature.sign(Domain.ENVELOPE, made.header, by.address, key))
    return made


async def mirrored(fed: Federation, cache: Path) -> dict[str, bytes]:
    """Return what is published as another node hands it on."""
    source = fed.nodes["ee"].upkeep.material.config.directory.model_copy(
        update={"repository": str(fed.summary.folder / development.REPOSITORY), "ca": None, "cache": cache}
    )
    await asyncio.to_thread(client.load, source, fed.clock())
    found = GoodCopy.read(cache)
    assert found is not None
    return found.served()


async def test_repository_that_drips_keeps_no_news_out_that_comes_another_way(fed: Federation, tmp_path: Path) -> None:
    upkeep = fed.nodes["ee"].upkeep
    async with dripping(fed, tmp_path) as server:
        looking = asyncio.create_task(upkeep.look())
        await until(lambda: server.asked == 1)
        await asyncio.to_thread(fed.sign_anew, participant(fed.directory, "ee/fiu", status=Status.REVOKED))
        async with asyncio.timeout(SECONDS):
            await upkeep.look(await mirrored(fed, tmp_path / "other"))
        assert not upkeep.directory().roles("ee/fiu")
        assert not looking.done(), "the server did not drip"
        server.released.set()
        await looking
    assert not upkeep.directory().roles("ee/fiu")


async def test_repository_that_drips_is_given_up_waited_for_once_and_told(
    fed: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep_module, "FETCH_SECONDS", 0.2)
    upkeep = fed.nodes["ee"].upkeep
    before = upkeep.directory()
    async with dripping(fed, tmp_path) as server:
        await upkeep.look()
        await until(lambda: server.asked == 1)
        await upkeep.look()
        await upkeep.look()
        assert server.asked == 1, "each look left a thread behind"
        found = upkeep.material.trusted
        assert found.problem is not None
        assert found.problem.reason is Reason.UNREACHABLE
        assert found.directory.participants == before.participants
        assert upkeep._fetching is not None
        server.released.set()
        await upkeep._fetching[1]


async def test_an_expired_directory_lets_nobody_in_but_operators_to_trace_and_to_act(fed: Federation) -> None:
    node, made = fed.nodes["ee"], fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    await fed.actor("de/central-authority").collect(1)
    call = await collecting(fed.actor("ee/court"))
    in_force(node, fed.directory.model_copy(update={"expires": system_clock()}))
    assert await error_of(call) is ErrorCode.DIRECTORY_EXPIRED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await MailboxStub(fed.actor("ee/court").channel).Submit(
            mailbox.SubmitRequest(envelope=fed.request()), timeout=SECONDS
        )
    assert transport.error_of(caught.value).code is ErrorCode.DIRECTORY_EXPIRED
    stub = TraceStub(fed.actor("ee/operator").channel)
    told = await stub.GetTrace(trace.GetTraceRequest(key=ref(made).id), timeout=SECONDS)
    assert [each.envelope.id for each in told.traces] == [ref(made).id]
    hold = operations.Action(reason="until it is in force", hold=operations.HoldDestination(destination="de/node"))
    door = OperationsStub(fed.actor("ee/operator").channel)
    done = await door.Act(operations.ActRequest(action=hold), timeout=SECONDS)
    assert done.recorded.state == operations.ACTION_STATE_DONE
    await node.upkeep.look()
    (await collecting(fed.actor("ee/court"))).cancel()


async def test_with_an_expired_directory_nothing_leaves_and_nothing_is_lost(fed: Federation) -> None:
    node = fed.nodes["ee"]
    await fed.stop("de")
    made = fed.request()
    await fed.actor("ee/prosecutor").submit(made)
    in_force(node, fed.directory.model_copy(update={"expires": system_clock()}))
    await fed.start("de")
    stub, wanted = TraceStub(fed.actor("ee/operator").channel), ErrorCode.DIRECTORY_EXPIRED.name
    async with asyncio.timeout(SECONDS):
        while True:
            told = await stub.GetTrace(trace.GetTraceRequest(key=ref(made).id), timeout=SECONDS)
            (copy,) = told.traces[0].deliveries
            if wanted in copy.last_error:
                break
            await asyncio.sleep(0.05)
    assert copy.state == State.QUEUED.value, "it was sent by an expired directory"
    await node.upkeep.look()
    assert (await fed.actor("de/central-authority").collect(1))[0].envelope.header == made.header


def in_force(node: Node, directory: Directory) -> None:
    """Have a node go by another directory, until it looks again."""
    # Parsed anew: a copy keeps the index of what it is a copy of.
    before = node.upkeep.material
    node.upkeep.material = replace(before, directory=Directory.parse(directory.to_json(), "changed"))
    node._changed(before, node.upkeep.material)


def shown(listen: str, fed: Federation) -> bytes:
    """Return the certificate that a door shows now, as any TLS client sees it."""
    host, _, port = listen.partition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC clients of ours: the node's CA is the anchor
    context.load_verify_locations(cadata=fed.directory.node("ee").ca)
    with (
        socket.create_connection((host, int(port)), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host_name("ee", "rogatory.test")) as wrapped,
    ):
        found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    return found
