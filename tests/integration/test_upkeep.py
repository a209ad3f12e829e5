"""A running node takes up what is new, at once and on what is open too; and keeps what works when the new does not."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from cryptography import x509
from nacl.signing import SigningKey
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.trace_pb2_grpc import TraceStub

from certs.pki import DevelopmentPki, Holder
from gateway import codec, keys, material, transport
from gateway.clock import system_clock
from gateway.directory import Directory, KeyEntry, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, certificate_fingerprint, host_name
from gateway.lifecycle import State
from gateway.node import Node
from tests.federation import Actor, Federation, code_of, federation, ref

pytestmark = pytest.mark.integration

SECONDS = 20.0


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
    holder = pki(fed).leaf(Address("ee", "prosecutor"))
    channel = transport.channel_to(
        fed.directory.node("ee"), "rogatory.test", transport.TlsIdentity(holder.key_pem, holder.chain_pem)
    )
    async with channel:
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


async def test_what_is_signed_with_a_key_that_a_node_cannot_know_yet_is_put_off_and_not_refused(
    fed: Federation,
) -> None:
    """The news of a new key has not come for a while: its envelopes wait for it."""
    node, actor = fed.nodes["ee"], fed.actor("ee/prosecutor")
    made = fed.request()
    unknown = participant(fed.directory, "ee/prosecutor", signing_keys=())
    in_force(node, unknown.model_copy(update={"checked": system_clock() - timedelta(minutes=5)}))
    answer = await actor.answer(made)
    assert codec.error_from(answer.error).code is ErrorCode.UNAVAILABLE
    assert answer.error.retry_after_ms > 0
    in_force(node, unknown.model_copy(update={"checked": system_clock()}))
    assert code_of(await actor.submit(fed.request())) is ErrorCode.BAD_SIGNATURE
    await node.upkeep.look()
    assert code_of(await actor.submit(made)) is None


async def test_an_expired_directory_lets_nobody_in_but_operators_to_trace(fed: Federation) -> None:
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


def pki(fed: Federation) -> DevelopmentPki:
    """Return the federation's PKI, so that its CAs can issue more."""
    made = DevelopmentPki("rogatory.test", system_clock())
    for code in ("ee", "de"):
        folder = fed.summary.folder / "pki" / code
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        made._cas[code] = Holder(certificate, keys.load_tls_key(folder / "ca.key"))
    return made


def replace_certificate(certificate: Path, key: Path, holder: Holder) -> None:
    key.unlink()
    keys.save_tls_key(key, holder.key)
    certificate.write_bytes(holder.chain_pem)


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
