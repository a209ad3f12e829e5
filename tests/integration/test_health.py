"""Whoever starts a process learns whether it takes calls, and nothing else."""

import asyncio
import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import grpc.aio
import pytest
from click.testing import CliRunner, Result
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import cli
from gateway.doors.health import CONNECTIONS, QUESTION_BYTES, SILENT_SECONDS, HealthDoor
from gateway.errors import ErrorCode, Refusal
from tests.federation import ports
from tests.processes import finished, processes


async def asked(port: int) -> Result:
    words = ["health", f"127.0.0.1:{port}", "--within", "5"]
    return await asyncio.to_thread(CliRunner().invoke, cli.commands, words)


async def test_process_takes_calls_until_it_drains() -> None:
    door = HealthDoor()
    port = await door.open("127.0.0.1:0", shared=False)
    try:
        assert (await asked(port)).exit_code == 0
        door.drain()
        draining = await asked(port)
        assert draining.exit_code == 1
        assert "UNAVAILABLE" in draining.stderr
    finally:
        await door.close()
    gone = await asked(port)
    assert gone.exit_code == 1
    assert "UNAVAILABLE" in gone.stderr


async def test_nothing_else_can_be_asked() -> None:
    door = HealthDoor()
    port = await door.open("127.0.0.1:0", shared=False)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for name, code in (
                ("ee", grpc.StatusCode.NOT_FOUND),
                ("x" * QUESTION_BYTES, grpc.StatusCode.RESOURCE_EXHAUSTED),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
                assert refused.value.code() is code
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Watch(health_pb2.HealthCheckRequest(), timeout=5).read()
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    finally:
        await door.close()


async def test_whoever_connects_and_says_nothing_takes_a_bounded_number_of_files_for_a_bounded_time() -> None:
    """The address has no TLS: whoever reaches it could hold every file that the node may open."""
    door = HealthDoor()
    port = await door.open("127.0.0.1:0", shared=False)
    try:
        with ExitStack() as held:
            where = ("127.0.0.1", port)
            flood = [held.enter_context(socket.create_connection(where, 5.0)) for _ in range(CONNECTIONS + 20)]
            assert await asyncio.to_thread(ended, flood, 20, SILENT_SECONDS - 2) == 20
            assert await asyncio.to_thread(ended, flood, len(flood), 4 * SILENT_SECONDS) == len(flood)
        assert (await asked(port)).exit_code == 0
    finally:
        await door.close()


def ended(connections: list[socket.socket], wanted: int, seconds: float) -> int:
    """Wait until so many are closed by the other end; return how many are."""
    deadline, over = time.monotonic() + seconds, set[socket.socket]()
    while len(over) < wanted and time.monotonic() < deadline:
        for each in select.select([one for one in connections if one not in over], [], [], 0.2)[0]:
            try:
                if not each.recv(1 << 10):
                    over.add(each)
            except ConnectionError:
                over.add(each)
    return len(over)


async def test_address_of_somebody_else_is_refused() -> None:
    first, second = HealthDoor(), HealthDoor()
    port = await first.open("127.0.0.1:0", shared=False)
    try:
        with pytest.raises(Refusal) as refused:
            await second.open(f"127.0.0.1:{port}", shared=False)
    finally:
        await first.close()
        await second.close()
    assert refused.value.code is ErrorCode.BAD_CONFIG


async def test_node_answers_where_its_settings_say(tmp_path: Path) -> None:
    (port,) = ports(1)
    async with processes(tmp_path / "fed", start=()) as made:
        settings = made.fed.summary.config("ee/node")
        settings.write_text(f'health = "127.0.0.1:{port}"\n' + settings.read_text())
        await made.start("ee")
        status, said, _ = await finished("health", f"127.0.0.1:{port}")
        assert (status, said) == (0, "serving\n")
        status, diagnostics = await made.end("ee")
        assert status == 0, diagnostics
    assert (await finished("health", f"127.0.0.1:{port}"))[0] == 1
