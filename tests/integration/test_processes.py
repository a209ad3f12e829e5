"""Real `rogatory serve` processes: how they start, whom they refuse, what they say, and how they stop."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1.mailbox_pb2_grpc import MailboxStub

from certs.pki import DevelopmentPki, Holder
from gateway import codec, transport
from gateway.clock import system_clock
from gateway.directory import Status
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.node import DRAIN_SECONDS
from gateway.transport import TlsIdentity
from tests import stores
from tests.federation import DELIVERY, UNTIL_SECONDS, Federation, federation
from tests.judge import judge
from tests.processes import Processes, finished, processes

pytestmark = pytest.mark.integration


async def test_ready_line_names_the_node_and_where_it_listens_and_sigterm_ends_with_0(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        endpoint = nodes.fed.directory.node("ee").endpoint
        assert nodes.running["ee"].ready == f"ready ee {endpoint}\n"
        status, _ = await nodes.end("ee")
        assert status == 0


async def submit_until_the_node_is_gone(nodes: Processes, stopping: asyncio.Event) -> list[pb.SignedEnvelope]:
    """Submit one after another; return what was accepted. Whatever else comes back must be a failure."""
    accepted: list[pb.SignedEnvelope] = []
    while True:
        made = nodes.fed.request(case_id=f"EE-{len(accepted)}")
        try:
            answer = await nodes.fed.actor("ee/prosecutor").answer(made)
        except grpc.aio.AioRpcError as error:
            if isinstance(transport.error_of(error), Failure):
                return accepted
            raise
        if answer.HasField("error"):
            assert isinstance(codec.error_from(answer.error), Failure)
            continue
        accepted.append(made)
        if len(accepted) == 20:
            stopping.set()


async def test_what_was_accepted_around_sigterm_is_delivered_after_the_restart_and_the_rest_was_told(
    tmp_path: Path,
) -> None:
    async with processes(tmp_path / "fed") as nodes:
        stopping = asyncio.Event()
        submitting = asyncio.create_task(submit_until_the_node_is_gone(nodes, stopping))
        await asyncio.wait_for(stopping.wait(), UNTIL_SECONDS)
        status, _ = await nodes.end("ee")
        accepted = await asyncio.wait_for(submitting, UNTIL_SECONDS)
        assert status == 0
        verdict = judge(nodes.fed.store("ee"), "ee", nodes.fed.directory, all_final=False)
        assert verdict.envelopes >= len(accepted)
        await nodes.start("ee")
        await nodes.fed.actor("ee/prosecutor").channel.channel_ready()
        got = await nodes.fed.actor("de/central-authority").collect(verdict.envelopes)
        kept = {item.envelope.header for item in got}
        assert {made.header for made in accepted} <= kept
        await nodes.fed.actor("ee/prosecutor").collect(2 * verdict.envelopes)
        assert [status for status, _ in (await nodes.end("ee"), await nodes.end("de"))] == [0, 0]
        for code in ("ee", "de"):
            assert judge(nodes.fed.store(code), code, nodes.fed.directory).envelopes == verdict.envelopes


async def test_second_process_on_the_same_port_ends_with_2_and_bad_config(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        status, out, err = await finished("serve", "--config", str(nodes.fed.summary.config("ee/node")))
        assert (status, out) == (2, "")
        assert ErrorCode.BAD_CONFIG.name in err
        assert "Traceback" not in err
        assert (await nodes.fed.actor("ee/prosecutor").submit(nodes.fed.request())).milestone == pb.MILESTONE_ACCEPTED


def open_key(folder: Path) -> None:
    (folder / "signing.key").chmod(0o644)


def open_tls_key(folder: Path) -> None:
    (folder / "tls.key").chmod(0o604)


def no_key(folder: Path) -> None:
    (folder / "signing.key").unlink()


def not_toml(folder: Path) -> None:
    (folder / "node.toml").write_text("node = ")


def misspelt(folder: Path) -> None:
    with (folder / "node.toml").open("a") as file:
        file.write("\n[telemetry]\notlp_endpiont = 'x:1'\n")


def no_directory(folder: Path) -> None:
    (folder.parent / "repository/metadata/timestamp.json").write_text("{")


def no_store(folder: Path) -> None:
    store = stores.of(folder / "node.toml")
    if isinstance(store, Path):
        store.write_bytes(b"this is no database at all" * 100)
    else:
        settings = folder / "node.toml"
        settings.write_text(settings.read_text().replace(store, stores.missing()))


@pytest.mark.parametrize(
    ("spoil", "status", "code"),
    [
        pytest.param(open_key, 2, ErrorCode.KEY_FILE, id="signing key that others can read"),
        pytest.param(open_tls_key, 2, ErrorCode.KEY_FILE, id="TLS key that others can read"),
        pytest.param(no_key, 2, ErrorCode.KEY_FILE, id="no signing key"),
        pytest.param(not_toml, 2, ErrorCode.BAD_CONFIG, id="not TOML"),
        pytest.param(misspelt, 2, ErrorCode.BAD_CONFIG, id="misspelt setting"),
        pytest.param(no_directory, 2, ErrorCode.BAD_DIRECTORY, id="broken directory"),
        pytest.param(no_store, 1, ErrorCode.STORE, id="the store's file is something else"),
    ],
)
async def test_what_must_not_be_served_with_is_refused_before_ready(
    tmp_path: Path, spoil: Callable[[Path], None], status: int, code: ErrorCode
) -> None:
    async with federation(tmp_path / "fed", start=[]) as fed:
        settings = fed.summary.config("ee/node")
        spoil(settings.parent)
        ended, out, err = await finished("serve", "--config", str(settings))
    assert (ended, out) == (status, "")
    assert f"error {code.name}" in err
    assert "Traceback" not in err


async def test_diagnostics_are_json_lines_without_keys_or_payload(tmp_path: Path) -> None:
    """Refusals, failures of the courier and a damaged stream, so that there is something to say."""
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        fed = nodes.fed
        made, refused = fed.request(), fed.request(instrument="a-treaty-of-dreams")
        await fed.actor("ee/prosecutor").submit(made)
        await fed.actor("ee/prosecutor").submit(refused)
        await nodes.start("de")
        await fed.actor("de/central-authority").collect(1)
        ends = [await nodes.end("ee"), await nodes.end("de")]
    lines = [line for _, err in ends for line in err.splitlines()]
    assert lines, "de was down: the courier has something to say"
    for line in lines:
        assert {"at", "level", "what"} <= set(json.loads(line)), line
    said = "\n".join(lines)
    key = (fed.summary.config("ee/node").parent / "signing.key").read_text()
    body = "".join(line for line in key.splitlines() if "PRIVATE" not in line)
    for secret in (body, base64.b64encode(made.sealed_payload).decode(), made.sealed_payload.hex(), "PRIVATE KEY"):
        assert secret not in said


async def test_open_collect_streams_do_not_delay_the_stop(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        calls = []
        for who in ("ee/prosecutor", "ee/court"):
            call = MailboxStub(nodes.fed.actor(who).channel).Collect()
            await call.write(mailbox.CollectRequest(credit=5))
            assert isinstance(await call.read(), mailbox.CollectResponse)
            calls.append(call)
        since = time.monotonic()
        status, _ = await nodes.end("ee")
        assert status == 0
        assert time.monotonic() - since < DRAIN_SECONDS
        for call in calls:
            call.cancel()


async def test_open_submit_stream_without_a_frame_does_not_delay_the_stop(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        call = MailboxStub(nodes.fed.actor("ee/prosecutor").channel).SubmitFrames()
        await call.write(mailbox.SubmitFramesRequest(frame=1, envelopes=[nodes.fed.request()]))
        assert isinstance(await call.read(), mailbox.SubmitFramesResponse)
        since = time.monotonic()
        status, _ = await nodes.end("ee")
        assert status == 0
        assert time.monotonic() - since < DRAIN_SECONDS
        call.cancel()


async def test_item_in_a_clients_hands_at_sigterm_is_handed_out_again_at_once_after_the_restart(
    tmp_path: Path,
) -> None:
    """It goes back at the stop; otherwise nobody would get it before the lease of an hour ran out."""
    delivery = DELIVERY.model_copy(update={"lease_seconds": 3600.0})
    async with processes(tmp_path / "fed", delivery=delivery) as nodes:
        made = nodes.fed.request()
        await nodes.fed.actor("ee/prosecutor").submit(made)
        call = MailboxStub(nodes.fed.actor("de/central-authority").channel).Collect()
        await call.write(mailbox.CollectRequest(credit=1))
        items: list[mailbox.Item] = []
        while not items:
            response = await call.read()
            assert isinstance(response, mailbox.CollectResponse)
            items += response.items
        await nodes.end("de")
        call.cancel()
        await nodes.start("de")
        (again,) = await nodes.fed.actor("de/central-authority").collect(1)
        assert again.envelope == items[0].envelope == made


def authority_of(fed: Federation, node: str) -> Holder:
    """The federation's own CA of a node, from its files."""
    folder = fed.summary.folder / "pki" / node
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Holder(x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())[0], key)


NOW = system_clock()
STRANGERS = DevelopmentPki("rogatory.test", NOW)
PROSECUTOR = Address("ee", "prosecutor")
FAR = timedelta(days=400)

# Makes a leaf, given the federation's CAs of ee and de; with the codes that may answer it. None: at the handshake.
Leaf = Callable[[Holder, Holder], Holder]
WRONG: list[tuple[str, Leaf, set[ErrorCode]]] = [
    (
        "expired",
        lambda ee, de: STRANGERS.leaf(PROSECUTOR, signer=ee, issued_at=NOW - FAR, lifetime=timedelta(days=1)),
        {ErrorCode.UNKNOWN_PEER, ErrorCode.UNAVAILABLE},
    ),
    (
        "not yet valid",
        lambda ee, de: STRANGERS.leaf(PROSECUTOR, signer=ee, issued_at=NOW + FAR),
        {ErrorCode.UNKNOWN_PEER, ErrorCode.UNAVAILABLE},
    ),
    ("of an unknown CA", lambda ee, de: STRANGERS.leaf(PROSECUTOR), {ErrorCode.UNAVAILABLE}),
    (
        "of another country's CA",
        lambda ee, de: STRANGERS.leaf(PROSECUTOR, signer=de),
        {ErrorCode.UNKNOWN_PEER, ErrorCode.UNAVAILABLE},
    ),
    ("of nobody known", lambda ee, de: STRANGERS.leaf(Address("ee", "nobody"), signer=ee), {ErrorCode.UNKNOWN_PEER}),
    (
        "with two names",
        lambda ee, de: STRANGERS.leaf(
            PROSECUTOR,
            signer=ee,
            uris=[f"spiffe://ee.{STRANGERS.federation}/prosecutor", f"spiffe://ee.{STRANGERS.federation}/court"],
        ),
        {ErrorCode.UNKNOWN_PEER},
    ),
    ("with no name", lambda ee, de: STRANGERS.leaf(PROSECUTOR, signer=ee, uris=[]), {ErrorCode.UNKNOWN_PEER}),
    # Well-made, but somebody else's: the signed header decides against it.
    (
        "of another participant",
        lambda ee, de: STRANGERS.leaf(Address("ee", "court"), signer=ee),
        {ErrorCode.NOT_PERMITTED},
    ),
]


async def tried(fed: Federation, leaf: Holder, made: pb.SignedEnvelope) -> ErrorCode:
    """Submit with that certificate; return the code of what came back."""
    channel = transport.channel_to(
        fed.directory.node("ee"), fed.directory.federation, TlsIdentity(leaf.key_pem, leaf.chain_pem)
    )
    async with channel:
        try:
            response = await MailboxStub(channel).Submit(mailbox.SubmitRequest(envelope=made), timeout=UNTIL_SECONDS)
        except grpc.aio.AioRpcError as error:
            return transport.error_of(error).code
    answer = response.answer
    if answer.HasField("error"):
        return codec.error_from(answer.error).code
    return ErrorCode(pb.Statement.FromString(answer.receipt.statement).code)


async def test_client_with_a_wrong_certificate_is_refused(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=("ee",)) as nodes:
        fed, made = nodes.fed, nodes.fed.request()
        assert fed.directory.federation == STRANGERS.federation
        ee, de = authority_of(fed, "ee"), authority_of(fed, "de")
        got = {name: await tried(fed, leaf(ee, de), made) for name, leaf, _ in WRONG}
        assert not {name: got[name].name for name, _, codes in WRONG if got[name] not in codes}
        await nodes.end("ee")
        assert judge(fed.store("ee"), "ee", fed.directory).envelopes == 0


async def test_participant_revoked_in_the_directory_is_refused_and_its_neighbour_is_not(tmp_path: Path) -> None:
    async with processes(tmp_path / "fed", start=()) as nodes:
        fed = nodes.fed
        directory = fed.directory
        people = [
            person.model_copy(update={"status": Status.REVOKED}) if person.address == PROSECUTOR else person
            for person in directory.participants
        ]
        made = fed.request()
        actor = fed.actor("ee/prosecutor")
        fed.actor("ee/court")
        changed = directory.model_copy(update={"participants": tuple(people)})
        fed.sign_anew(changed)
        await nodes.start("ee")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await actor.answer(made)
        assert transport.error_of(caught.value).code is ErrorCode.REVOKED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await actor.waiting()
        assert transport.error_of(caught.value).code is ErrorCode.REVOKED
        assert await fed.actor("ee/court").waiting() == []
