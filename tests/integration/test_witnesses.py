"""Real nodes witness each other's logs: what is cosigned, what is refused, and what comes of a node that lies."""

import asyncio
import json
import logging
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from nacl.signing import SigningKey
from rogatory.v1 import log_pb2
from rogatory.v1 import witness_pb2 as pb
from rogatory.v1.log_pb2_grpc import LogServicer, add_LogServicer_to_server
from rogatory.v1.witness_pb2_grpc import WitnessServicer, WitnessStub, add_WitnessServicer_to_server

from gateway import checkpoint, codec, keys, material, note, tiles, transport, witness
from gateway.cli import web
from gateway.directory import WitnessEntry
from gateway.doors.comparing import Comparing
from gateway.doors.cosigning import PAUSE_SECONDS
from gateway.doors.witness_http import Memory, app_of
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.node import Node
from gateway.signer import KeySigner
from gateway.store.log import LogView
from gateway.store.witnessing import AlarmRow
from tests.federation import UNTIL_SECONDS, Federation, federation
from tests.processes import finished
from tests.witnessed import ORIGIN, Log, whole

pytestmark = pytest.mark.integration

NODES = ("ee", "de", "fi")
BY = ("de.rogatory.test", "fi.rogatory.test")
# Where the older tree is one whole part of the newer, and where it is not.
SIZES = [(5, 9), (8, 13), (1, 2)]


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", nodes=NODES, start=NODES) as made:
        yield made


@asynccontextmanager
async def alone(tmp_path: Path, *start: str) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", nodes=NODES, start=start) as made:
        yield made


async def asked(node: Node, ask: Callable[[LogView], Any]) -> Any:
    assert node._reader is not None
    return await node._reader.log(ask)


async def told(node: Node, ask: Callable[[LogView], Any]) -> Any:
    """Ask until there is an answer: a log calls nobody here."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while not (found := await asked(node, ask)):
            await asyncio.sleep(0.05)
        return found


async def cosigned_by(fed: Federation, count: int, least: int = 1) -> tuple[checkpoint.Checkpoint, witness.Cosigned]:
    """Return a checkpoint of ee that covers so many entries and has so many cosignatures, and who has cosigned it."""

    def ask(view: LogView) -> bytes | None:
        row = view.covering_cosigned(least, count)
        return None if row is None else view.cosigned(row)

    raw = await told(fed.nodes["ee"], ask)
    public = [key.public for key in fed.directory.node("ee").signing_keys]
    found, signed = checkpoint.read(raw, ORIGIN, public)
    return found, witness.cosigned(fed.directory, "ee", signed)


async def alarms(node: Node) -> list[AlarmRow]:
    found: list[AlarmRow] = await asked(node, lambda view: view.alarms(100))
    return found


def signing_key(fed: Federation, code: str = "ee") -> SigningKey:
    settings = material.load_node(fed.summary.config(f"{code}/node"), fed.clock).config
    return keys.load_signing_key(settings.signing_keys[0])


@asynccontextmanager
async def calling(fed: Federation, code: str, to: str) -> AsyncIterator[WitnessStub]:
    """Call a witness as a node, with its real certificate."""
    loaded = material.load_node(fed.summary.config(f"{code}/node"), fed.clock)
    channel = transport.channel_to(loaded.directory.node(to), loaded.directory.federation, loaded.identity)
    yield WitnessStub(channel)
    await channel.close()


async def add(stub: WitnessStub, request: witness.Request) -> pb.AddCheckpointResponse:
    message = pb.AddCheckpointRequest(old_size=request.old_size, proof=request.proof, checkpoint=request.note)
    response: pb.AddCheckpointResponse = await stub.AddCheckpoint(message, timeout=UNTIL_SECONDS)
    return response


async def alarmed(stub: WitnessStub, request: witness.Request) -> ErrorCode:
    response = await add(stub, request)
    assert not response.cosignatures
    assert response.last
    return ErrorCode(response.alarm.code)


async def refused(stub: WitnessStub, request: witness.Request) -> ErrorCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await add(stub, request)
    return transport.error_of(caught.value).code


def by(fed: Federation, log: Log, size: int, response: pb.AddCheckpointResponse) -> tuple[str, ...]:
    return witness.cosigned(fed.directory, "ee", note.parse(log.note(size) + response.cosignatures)).by


async def test_checkpoint_is_cosigned_by_all_other_nodes_and_again_as_the_log_grows(fed: Federation) -> None:
    await fed.actor("ee/prosecutor").submit(fed.request())
    first, found = await cosigned_by(fed, 2)
    assert found.by == BY
    await fed.actor("ee/prosecutor").submit(fed.request(case_id="EE-2"))
    second, found = await cosigned_by(fed, 2, first.size + 1)
    assert found.by == BY
    assert second.size > first.size
    for node in fed.nodes.values():
        assert await alarms(node) == []


async def test_node_that_starts_anew_goes_on_from_what_it_had_cosigned(fed: Federation) -> None:
    await fed.actor("ee/prosecutor").submit(fed.request())
    first, _ = await cosigned_by(fed, 2)
    for code in ("ee", "de"):
        await fed.stop(code)
        await fed.start(code)
    await fed.actor("ee/prosecutor").submit(fed.request(case_id="EE-2"))
    _, found = await cosigned_by(fed, 2, first.size + 1)
    assert found.by == BY
    assert await alarms(fed.nodes["de"]) == []


async def test_witness_that_is_down_stops_neither_the_log_nor_any_delivery(tmp_path: Path) -> None:
    async with alone(tmp_path, "ee", "de") as fed:
        await fed.actor("ee/prosecutor").submit(fed.request())
        assert await fed.actor("de/central-authority").collect(1)
        _, found = await cosigned_by(fed, 1)
        assert found.by == BY[:1]
        await fed.start("fi")
        _, found = await cosigned_by(fed, 2)
        assert found.by == BY


async def test_log_shows_two_witnesses_different_roots_and_is_found_out_when_these_meet(tmp_path: Path) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        one, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        async with calling(fed, "ee", "de") as de, calling(fed, "ee", "fi") as fi:
            assert by(fed, one, 7, await add(de, one.request(0, 7))) == BY[:1]
            assert by(fed, other, 7, await add(fi, other.request(0, 7))) == BY[1:]
            # Neither view ever has two.
            assert await alarmed(de, other.request(7, 7)) is ErrorCode.LOG_FORKED
            assert await alarmed(fi, one.request(0, 7)) is ErrorCode.LOG_FORKED
        async with calling(fed, "de", "fi") as fi:
            # A witness brings another what it has cosigned: the signature says whose checkpoint it is.
            assert await alarmed(fi, one.request(7, 7)) is ErrorCode.LOG_FORKED
        for code, held, brought in (("de", one, other), ("fi", other, one)):
            (alarm,) = await alarms(fed.nodes[code])
            assert (alarm.code, alarm.origin) == (ErrorCode.LOG_FORKED, ORIGIN)
            assert (alarm.held, alarm.brought) == (held.note(7), brought.note(7))
            public = [bytes(held.key.verify_key)]
            roots = {checkpoint.read(raw, ORIGIN, public)[0].root for raw in (alarm.held, alarm.brought)}
            assert len(roots) == 2


async def test_rewritten_log_is_refused_by_every_witness_which_keep_the_evidence(tmp_path: Path) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        log, rewritten = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        for code in ("de", "fi"):
            async with calling(fed, "ee", code) as stub:
                await add(stub, log.request(0, 8))
                assert await alarmed(stub, rewritten.request(8, 13)) is ErrorCode.LOG_FORKED
                assert await alarmed(stub, rewritten.request(8, 13)) is ErrorCode.LOG_FORKED
                # It is not locked out: what continues is cosigned still.
                assert by(fed, log, 13, await add(stub, log.request(8, 13)))
            (alarm,) = await alarms(fed.nodes[code])
            assert alarm.proof == rewritten.proof(8, 13)


@pytest.mark.file
async def test_backup_that_is_served_under_the_same_origin_is_refused_and_found_out_on_both_sides(
    tmp_path: Path,
) -> None:
    async with alone(tmp_path, *NODES) as fed:
        await fed.actor("ee/prosecutor").submit(fed.request())
        await cosigned_by(fed, 2)
        await fed.stop("ee")
        copy = shutil.copytree(fed.file("ee").parent, tmp_path / "copy")
        await fed.start("ee")
        await fed.actor("ee/prosecutor").submit(fed.request(case_id="EE-2"))
        newest, _ = await cosigned_by(fed, 2, await asked(fed.nodes["ee"], LogView.size))
        await fed.stop("ee")
        shutil.rmtree(fed.file("ee").parent)
        shutil.copytree(copy, fed.file("ee").parent)
        await fed.start("ee")
        # Told of nothing, it goes on where the copy ends; as it signs the first entry, the others tell it.
        await fed.actor("ee/prosecutor").submit(fed.request(case_id="EE-3"))
        own: list[AlarmRow] = await told(fed.nodes["ee"], lambda view: view.alarms(100))
        assert {alarm.origin for alarm in own} == {ORIGIN}
        for code in ("de", "fi"):
            (alarm,) = await told(fed.nodes[code], lambda view: view.alarms(100))
            assert alarm.code in {ErrorCode.LOG_ROLLED_BACK, ErrorCode.LOG_FORKED}
            held, _ = checkpoint.read(alarm.held, ORIGIN, [bytes(signing_key(fed).verify_key)])
            assert held.size >= newest.size


async def test_forged_checkpoints_and_callers_who_are_no_nodes_are_refused(tmp_path: Path) -> None:
    async with alone(tmp_path, "de") as fed:
        log = Log(signing_key(fed))
        async with calling(fed, "ee", "de") as stub:
            forged = Log(signing_key(fed, "fi"))
            assert await refused(stub, forged.request(0, 7)) is ErrorCode.BAD_SIGNATURE
            unknown = Log(log.key, origin="zz.rogatory.test/log")
            assert await refused(stub, unknown.request(0, 7)) is ErrorCode.NOT_FOUND
            own = Log(signing_key(fed, "de"), origin="de.rogatory.test/log")
            assert await refused(stub, own.request(0, 7)) is ErrorCode.NOT_FOUND
            response = await add(stub, log.request(5, 7))
            assert (response.cosignatures, response.last) == (b"", b"")
        participant = WitnessStub(fed.actor("de/prosecutor").channel)
        assert await refused(participant, log.request(0, 7)) is ErrorCode.NOT_PERMITTED
        assert await alarms(fed.nodes["de"]) == []


async def test_old_request_sent_again_is_told_what_was_cosigned_since(tmp_path: Path) -> None:
    async with alone(tmp_path, "de") as fed:
        log = Log(signing_key(fed))
        async with calling(fed, "ee", "de") as stub:
            await add(stub, log.request(0, 7))
            await add(stub, log.request(7, 9))
            for old, size in ((0, 7), (7, 9), (0, 20)):
                response = await add(stub, log.request(old, size))
                assert (response.cosignatures, response.last) == (b"", log.note(9))
        assert await alarms(fed.nodes["de"]) == []


async def test_of_requests_that_race_no_two_are_cosigned_from_the_same_old_size(fed: Federation) -> None:
    log = Log(signing_key(fed, "fi"), origin="fi.rogatory.test/log")
    await fed.stop("fi")
    async with calling(fed, "fi", "de") as stub:
        await add(stub, log.request(0, 3))
        answers = await asyncio.gather(*(add(stub, log.request(3, size)) for size in range(4, 16)))
    cosigned = [size for size, answer in zip(range(4, 16), answers, strict=True) if answer.cosignatures]
    assert len(cosigned) == 1
    last = {answer.last for answer in answers if not answer.cosignatures}
    assert last == {log.note(cosigned[0])}


async def test_witness_is_asked_about_once_a_second_however_fast_the_log_grows(tmp_path: Path) -> None:
    async with alone(tmp_path, *NODES) as fed:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(40):
            await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{number}"))
            await asyncio.sleep(0.05)
        passed = loop.time() - begun
        await cosigned_by(fed, 2)

        def lines(view: LogView) -> int:
            (count,) = view._sql.execute("SELECT count(*) FROM cosignatures WHERE name = ?", BY[:1]).fetchone()
            return int(count)

        assert 1 <= await asked(fed.nodes["ee"], lines) <= 2 + (loop.time() - begun) / (PAUSE_SECONDS / 2)
        assert passed > PAUSE_SECONDS


async def test_witness_that_founders_list_cosigns_beside_the_nodes(tmp_path: Path) -> None:
    key = SigningKey(bytes(range(32)))
    async with alone(tmp_path) as fed:
        with Memory.opened(tmp_path / "state") as memory, socket.create_server(("127.0.0.1", 0)) as listening:
            entry = WitnessEntry(
                name="court.example/w1",
                public=bytes(key.verify_key),
                url=f"http://127.0.0.1:{listening.getsockname()[1]}/",
            )
            fed.sign_anew(fed.directory.model_copy(update={"cosignatures": 2, "witnesses": (entry,)}))
            directory = fed.directory
            server = web.Server(
                app_of(memory, lambda: witness.keys_of(directory, fed.clock()), entry.name, KeySigner(key), fed.clock),
                "",
            )
            serving = asyncio.create_task(server.serve([listening]))
            for code in ("ee", "de"):
                await fed.start(code)
            await fed.actor("ee/prosecutor").submit(fed.request())
            first, found = await cosigned_by(fed, 2)
            assert found == witness.Cosigned((entry.name, BY[0]), 2)
            assert found.is_enough
            await fed.actor("ee/prosecutor").submit(fed.request(case_id="EE-2"))
            _, found = await cosigned_by(fed, 2, first.size + 1)
            assert found.is_enough
            server.should_exit = True
            await serving


async def test_operator_is_shown_what_logs_have_to_answer_for(tmp_path: Path) -> None:
    async with alone(tmp_path, "de") as fed:
        log, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        settings = str(fed.summary.config("de/node"))
        status, out, _ = await finished("witness", "alarms", "--config", settings, "--json")
        assert (status, json.loads(out)) == (0, {"alarms": []})
        async with calling(fed, "ee", "de") as stub:
            await add(stub, log.request(0, 7))
            assert await alarmed(stub, other.request(7, 9)) is ErrorCode.LOG_FORKED
        status, out, _ = await finished("witness", "alarms", "--config", settings, "--json")
        (alarm,) = json.loads(out)["alarms"]
        assert status == 1
        assert (alarm["code"], alarm["origin"], alarm["held"]) == ("LOG_FORKED", ORIGIN, log.note(7).decode())
        status, out, _ = await finished("witness", "alarms", "--config", settings)
        assert status == 1
        assert "LOG_FORKED" in out


# Witnesses compare what they have seen, unasked.


class LogOf(LogServicer):
    """The Log door of a node that has gone bad: it answers from a tree of its choice, or not at all."""

    def __init__(self, log: Log, size: int) -> None:
        self.log = log
        self.note = log.note(size)
        self.error: grpc.StatusCode | None = None
        self.spoil = False
        self.asked = 0

    async def GetConsistencyProof(self, request: log_pb2.GetConsistencyProofRequest, context: Any) -> Any:  # noqa: N802  as in the .proto
        await self._count(context)
        path = self.log.proof(request.old_size, request.size)
        return log_pb2.GetConsistencyProofResponse(size=request.size, path=self._hashes(path), checkpoint=self.note)

    async def GetInclusionProofs(self, request: log_pb2.GetInclusionProofsRequest, context: Any) -> Any:  # noqa: N802  as in the .proto
        await self._count(context)
        leaves = self.log.leaves(request.size)
        path = tiles.inclusion(lambda _, start, stop: whole(leaves, start, stop), request.entries[0].index, len(leaves))
        proof = log_pb2.InclusionProof(index=0, leaf_hash=leaves[0], path=self._hashes(path))
        return log_pb2.GetInclusionProofsResponse(size=request.size, checkpoint=self.note, proofs=[proof])

    async def GetCheckpoint(self, request: Any, context: Any) -> Any:  # noqa: N802  as in the .proto
        raise AssertionError("no witness asks for that")

    def GetTiles(self, request: Any, context: Any) -> Any:  # noqa: N802  as in the .proto
        raise AssertionError("no witness asks for that")

    async def _count(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.asked += 1
        if self.error is not None:
            await context.abort(self.error, "no")

    def _hashes(self, path: Iterable[bytes]) -> list[bytes]:
        return [bytes(32) if self.spoil else each for each in path]


class WitnessOf(WitnessServicer):
    """The Witness door of a node that has gone bad: it answers what it is told to."""

    def __init__(self, answer: pb.AddCheckpointResponse) -> None:
        self.answer = answer

    async def AddCheckpoint(self, request: Any, context: Any) -> pb.AddCheckpointResponse:  # noqa: N802  as in the .proto
        return self.answer


@asynccontextmanager
async def posing(fed: Federation, code: str, *, log: LogOf | None = None, by: WitnessOf | None = None) -> Any:
    """Serve as a node that has gone bad: at its address, with its real certificate."""
    loaded = material.load_node(fed.summary.config(f"{code}/node"), fed.clock)
    door = transport.DoorTls(loaded.identity, tuple(node.ca_pem for node in loaded.directory.nodes))
    server = grpc.aio.server()
    if log is not None:
        add_LogServicer_to_server(log, server)
    if by is not None:
        add_WitnessServicer_to_server(by, server)
    server.add_secure_port(loaded.config.listen, transport.server_credentials(lambda: door))
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def shown(fed: Federation, views: dict[str, tuple[Log, int]]) -> None:
    """Have ee show each witness its own view, which each cosigns."""
    for code, (log, size) in views.items():
        async with calling(fed, "ee", code) as stub:
            assert (await add(stub, log.request(0, size))).cosignatures


def evidence_of(row: AlarmRow, key: SigningKey) -> witness.Evidence:
    """Return evidence as anybody reads it who has the log's public key."""
    public = [bytes(key.verify_key)]
    held, brought = (witness.Witnessed(checkpoint.read(raw, ORIGIN, public)[0], raw) for raw in (row.held, row.brought))
    return witness.Evidence(row.code, row.detail, held, brought, row.proof)


async def test_log_that_shows_two_witnesses_two_trees_is_found_out_with_nobody_asking(tmp_path: Path) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        one, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        await shown(fed, {"de": (one, 7), "fi": (other, 7)})
        for code, held, brought in (("de", one, other), ("fi", other, one)):
            (alarm,) = await told(fed.nodes[code], lambda view: view.alarms(100))
            assert (alarm.code, alarm.origin) == (ErrorCode.LOG_FORKED, ORIGIN)
            assert (alarm.held, alarm.brought) == (held.note(7), brought.note(7))


@pytest.mark.parametrize(("less", "more"), SIZES)
async def test_log_that_shows_two_witnesses_trees_of_two_sizes_convicts_itself_when_it_is_asked(
    tmp_path: Path, less: int, more: int
) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        one, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        await shown(fed, {"de": (one, less), "fi": (other, more)})
        # It proves what it can: that the newer tree begins with what the newer tree begins with.
        async with posing(fed, "ee", log=LogOf(other, more)):
            for code in ("de", "fi"):
                (row,) = await told(fed.nodes[code], lambda view: view.alarms(100))
                alarm = evidence_of(row, one.key)
                assert alarm.code is ErrorCode.LOG_FORKED
                assert alarm.is_proof
                assert {alarm.held.note, alarm.brought.note} == {one.note(less), other.note(more)}


@pytest.mark.parametrize(("less", "more"), SIZES)
@pytest.mark.parametrize("asking", ["de", "fi"])
async def test_whichever_witness_compares_first_both_have_the_proof(
    tmp_path: Path, less: int, more: int, asking: str
) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        one, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        await shown(fed, {"de": (one, less), "fi": (other, more)})
        async with posing(fed, "ee", log=LogOf(other, more)):
            await fed.nodes[asking].comparing.compare(ORIGIN, "fi" if asking == "de" else "de")
            for code in ("de", "fi"):
                (row,) = await alarms(fed.nodes[code])
                assert evidence_of(row, one.key).is_proof


@pytest.mark.parametrize(("less", "more"), SIZES)
async def test_log_whose_own_node_answers_with_nonsense_is_an_alarm_where_it_was_asked(
    tmp_path: Path, less: int, more: int
) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        one, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        await shown(fed, {"de": (one, less), "fi": (other, more)})
        door = LogOf(other, more)
        door.spoil = True
        async with posing(fed, "ee", log=door):
            await fed.nodes["de"].comparing.compare(ORIGIN, "fi")
        (row,) = await alarms(fed.nodes["de"])
        assert (row.code, row.held, row.brought) == (ErrorCode.LOG_FORKED, one.note(less), other.note(more))
        assert not evidence_of(row, one.key).is_proof


@pytest.mark.parametrize("case", ["silent", "refuses", "another log", "older", "forged"])
async def test_log_that_does_not_answer_is_told_of_and_asked_again(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        one, other = Log(signing_key(fed)), Log(signing_key(fed), name="other")
        await shown(fed, {"de": (one, 5), "fi": (other, 9)})
        door = LogOf(other, 9)
        if case == "refuses":
            door.error = grpc.StatusCode.NOT_FOUND
        elif case == "another log":
            door.note = Log(one.key, origin=f"{ORIGIN}/1").note(9)
        elif case == "older":
            door.note = other.note(8)
        elif case == "forged":
            door.note = Log(signing_key(fed, "fi")).note(9)
        with caplog.at_level(logging.INFO, "gateway.comparing"):
            async with nullcontext() if case == "silent" else posing(fed, "ee", log=door):
                for _ in range(2):
                    await fed.nodes["de"].comparing.compare(ORIGIN, "fi")
        assert door.asked >= (0 if case == "silent" else 2)
        # Once, by each of the two that ask.
        assert 1 <= sum(each.message == "log.unproven" for each in caplog.records) <= 2
        assert await alarms(fed.nodes["de"]) == []
        # As soon as it answers, it is found out.
        async with posing(fed, "ee", log=LogOf(other, 9)):
            await fed.nodes["de"].comparing.compare(ORIGIN, "fi")
        (row,) = await alarms(fed.nodes["de"])
        assert evidence_of(row, one.key).is_proof


@pytest.mark.parametrize(("less", "more"), SIZES)
async def test_honest_log_of_which_witnesses_hold_two_sizes_is_no_alarm(tmp_path: Path, less: int, more: int) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        log = Log(signing_key(fed))
        await shown(fed, {"de": (log, less), "fi": (log, more)})
        door = LogOf(log, more + 3)
        async with posing(fed, "ee", log=door):
            for code, peer in (("de", "fi"), ("fi", "de")):
                await fed.nodes[code].comparing.compare(ORIGIN, peer)
        assert door.asked >= 2
        for code in ("de", "fi"):
            assert await alarms(fed.nodes[code]) == []
        # A witness that was asked has cosigned nothing that it had not.
        assert (await asked(fed.nodes["de"], lambda view: view.last_witnessed(ORIGIN))).note == log.note(less)


async def test_witness_that_was_shown_nothing_yet_is_asked_and_cosigns_nothing(tmp_path: Path) -> None:
    async with alone(tmp_path, "de", "fi") as fed:
        await shown(fed, {"de": (Log(signing_key(fed)), 5)})
        await fed.nodes["de"].comparing.compare(ORIGIN, "fi")
        assert await asked(fed.nodes["fi"], lambda view: view.last_witnessed(ORIGIN)) is None


async def test_honest_logs_that_grow_all_the_time_are_compared_and_never_alarm(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven, prove = list[tuple[int, int]](), Comparing._proof

    async def counted(self: Comparing, log: str, older: Any, newer: Any, keys_of: Any) -> tuple[bytes, ...]:
        proof = await prove(self, log, older, newer, keys_of)
        proven.append((older.size, newer.size))
        return proof

    async def compare(code: str, peer: str) -> None:
        while True:
            await fed.nodes[code].comparing.compare(ORIGIN, peer)

    monkeypatch.setattr(Comparing, "_proof", counted)
    comparing = [asyncio.create_task(compare(*pair)) for pair in (("de", "fi"), ("fi", "de"))]
    async with asyncio.timeout(UNTIL_SECONDS):
        number = 0
        while len(set(proven)) < 6:
            await fed.actor("ee/prosecutor").submit(fed.request(case_id=f"EE-{number}"))
            number += 1
            assert not any(task.done() for task in comparing)
    for task in comparing:
        task.cancel()
    await asyncio.gather(*comparing, return_exceptions=True)
    for node in fed.nodes.values():
        assert await alarms(node) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        # Of a log that shows one tree, another witness makes up another.
        (lambda key, forger: Log(forger, name="other").note(7), ErrorCode.BAD_SIGNATURE),
        (lambda key, forger: b"nonsense", ErrorCode.MALFORMED),
        (lambda key, forger: Log(key, origin=f"{ORIGIN}/1", name="other").note(7), ErrorCode.UNAVAILABLE),
    ],
)
async def test_witness_that_lies_raises_no_alarm(
    tmp_path: Path, answer: Callable[[SigningKey, SigningKey], bytes], code: ErrorCode
) -> None:
    async with alone(tmp_path, "de") as fed:
        await shown(fed, {"de": (Log(signing_key(fed)), 7)})
        alarm = codec.error_message(Refusal(ErrorCode.LOG_FORKED, "it has two roots"))
        said = pb.AddCheckpointResponse(last=answer(signing_key(fed), signing_key(fed, "fi")), alarm=alarm)
        async with posing(fed, "fi", by=WitnessOf(said)):
            with pytest.raises(GatewayError) as caught:
                await fed.nodes["de"].comparing.compare(ORIGIN, "fi")
        assert caught.value.code is code
        assert await alarms(fed.nodes["de"]) == []


async def test_witness_that_shows_an_old_checkpoint_raises_no_alarm(tmp_path: Path) -> None:
    async with alone(tmp_path, "de") as fed:
        log = Log(signing_key(fed))
        await shown(fed, {"de": (log, 9)})
        alarm = codec.error_message(Refusal(ErrorCode.LOG_ROLLED_BACK, "it has fewer"))
        said = pb.AddCheckpointResponse(last=log.note(5), alarm=alarm)
        async with posing(fed, "fi", by=WitnessOf(said)), posing(fed, "ee", log=LogOf(log, 9)):
            await fed.nodes["de"].comparing.compare(ORIGIN, "fi")
        assert await alarms(fed.nodes["de"]) == []
