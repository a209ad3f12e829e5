"""A witness that is no node, spoken to over HTTP as any log or attacker can: what it answers, keeps and bears."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from gateway import config, note, witness
from gateway.cli import web
from gateway.clock import system_clock
from gateway.directory import WitnessEntry
from gateway.doors import cosigning, witness_http
from gateway.doors.cosigning import HttpAsker, Told
from gateway.doors.witness_http import Memory, app_of
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.note import Algorithm, Verifier
from gateway.signer import KeySigner
from tests.processes import finished, rogatory
from tests.witnessed import Log

pytestmark = pytest.mark.integration

CALLERS = ThreadPoolExecutor(32)
NAME = "court.example/w1"
KEY = SigningKey(bytes(range(32)))
VERIFIER = Verifier(NAME, bytes(KEY.verify_key), Algorithm.COSIGNATURE)
LOG = Log(SigningKey(bytes(range(1, 33))), origin="log.example/a")
REWRITTEN = replace(LOG, name="other")
UNKNOWN = replace(LOG, origin="log.example/b")
FORGED = replace(LOG, key=KEY)


def known(origin: str) -> list[bytes]:
    return [bytes(LOG.key.verify_key)] if origin == LOG.origin else []


@asynccontextmanager
async def serving(folder: Path, keys_of: Callable[[], witness.KeysOf] = lambda: known) -> AsyncIterator[int]:
    """Serve a witness; yield its port."""
    with Memory.opened(folder) as memory, socket.create_server(("127.0.0.1", 0)) as listening:
        server = web.Server(app_of(memory, keys_of, NAME, KeySigner(KEY), system_clock), "")
        task = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await task


async def post(port: int, body: bytes) -> tuple[int, str, bytes]:
    """Return status, content type and body of the answer."""

    def work() -> tuple[int, str, bytes]:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/add-checkpoint", body)
        response = connection.getresponse()
        found = response.status, response.headers.get("Content-Type", ""), response.read()
        connection.close()
        return found

    return await asyncio.get_running_loop().run_in_executor(CALLERS, work)


def note_in(folder: Path) -> Path:
    (path,) = folder.glob("*.note")
    return path


def checked(raw: bytes, size: int) -> tuple[note.Signed, ...]:
    return note.verify(note.parse(str(LOG.checkpoint(size)).encode() + b"\n" + raw), [VERIFIER])


async def test_log_that_grows_is_cosigned_also_after_the_witness_has_started_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        for old, size in ((0, 5), (5, 9), (9, 9)):
            status, _, lines = await post(port, bytes(LOG.request(old, size)))
            assert status == 200
            assert checked(lines, size)[0].by == VERIFIER
    async with serving(tmp_path) as port:
        status, kind, answer = await post(port, bytes(LOG.request(0, 12)))
        assert (status, kind, answer) == (409, "text/x.tlog.size", b"9\n")
        assert (await post(port, bytes(LOG.request(9, 12))))[0] == 200


async def test_checkpoint_that_is_signed_anew_takes_the_place_of_itself(tmp_path: Path) -> None:
    """What is shown to others is signed with a key that counts."""
    new = SigningKey(bytes(range(32)))
    anew = bytes(LOG.checkpoint(7).sign(KeySigner(new)))

    def renewed(origin: str) -> list[bytes]:
        return [bytes(new.verify_key)] if origin == LOG.origin else []

    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 7)))
    assert note_in(tmp_path).read_bytes() == LOG.note(7)
    async with serving(tmp_path, lambda: renewed) as port:
        status, _, lines = await post(port, bytes(witness.Request(7, (), anew)))
        assert (status, checked(lines, 7)[0].by) == (200, VERIFIER)
    assert note_in(tmp_path).read_bytes() == anew


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (bytes(UNKNOWN.request(0, 5)), 404),
        (bytes(FORGED.request(0, 5)), 403),
        (bytes(LOG.request(12, 9)), 400),
        (bytes(LOG.request(3, 9)), 409),
        (bytes(LOG.request(7, 9)).replace(b"old 7", b"old 07"), 400),
        (b"", 400),
        (bytes(replace(LOG.request(7, 9), proof=(bytes(32),))), 422),
        (bytes(REWRITTEN.request(0, 7)), 409),
        (bytes(REWRITTEN.request(7, 9)), 422),
        # An alarm, too; of what is smaller than the old size the protocol has one status.
        (bytes(replace(REWRITTEN.request(7, 5), proof=LOG.proof(5, 7))), 400),
        (b"x" * (witness.MAX_REQUEST_BYTES + 1), 413),
    ],
)
async def test_what_is_not_to_be_cosigned_has_the_status_of_the_protocol(
    tmp_path: Path, body: bytes, status: int
) -> None:
    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 7)))
        assert (await post(port, body))[0] == status
        # Nothing of it was remembered.
        assert (await post(port, bytes(LOG.request(7, 8))))[0] == 200


async def test_older_checkpoint_with_a_proof_convicts_a_log_that_was_cosigned_with_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 7)))
        await post(port, bytes(REWRITTEN.request(7, 5)))
        assert not list((tmp_path / "alarms").iterdir())
        await post(port, bytes(replace(REWRITTEN.request(7, 5), proof=LOG.proof(5, 7))))
    (path,) = (tmp_path / "alarms").iterdir()
    said = json.loads(path.read_bytes())
    assert (said["held"].encode(), said["brought"].encode()) == (LOG.note(7), REWRITTEN.note(5))


async def test_evidence_of_a_fork_is_kept_once_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "gateway.witness")
    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 7)))
        for _ in range(3):
            await post(port, bytes(REWRITTEN.request(7, 9)))
            # What anybody can make of somebody else's checkpoint is no evidence.
            await post(port, bytes(replace(LOG.request(7, 9), proof=())))
    (path,) = (tmp_path / "alarms").iterdir()
    said = json.loads(path.read_bytes())
    assert said["code"] == ErrorCode.LOG_FORKED.name
    assert (said["held"].encode(), said["brought"].encode()) == (LOG.note(7), REWRITTEN.note(9))
    assert [record.getMessage() for record in caplog.records] == ["log.alarm"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_log_that_forks_without_end_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_http, "MAX_ALARMS", 3)
    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 7)))
        for number in range(6):
            status, _, _ = await post(port, bytes(replace(LOG, name=f"other {number}").request(7, 7)))
            assert status == 409
    assert len(list((tmp_path / "alarms").iterdir())) == 3


async def test_witness_that_cannot_read_what_it_cosigned_cosigns_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 7)))
        path = note_in(tmp_path)
        for broken in (b"", path.read_bytes()[:-40], UNKNOWN.note(7)):
            path.write_bytes(broken)
            assert (await post(port, bytes(LOG.request(0, 9))))[0] == 503
            assert (await post(port, bytes(LOG.request(7, 9))))[0] == 503
            assert path.read_bytes() == broken


async def test_of_requests_that_race_one_is_cosigned(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        await post(port, bytes(LOG.request(0, 3)))
        answers = await asyncio.gather(*(post(port, bytes(LOG.request(3, size))) for size in range(4, 20)))
        assert sorted(status for status, _, _ in answers) == [200] + [409] * 15


def test_two_processes_do_not_witness_with_one_folder(tmp_path: Path) -> None:
    with Memory.opened(tmp_path), pytest.raises(Refusal) as caught, Memory.opened(tmp_path):
        pass
    assert caught.value.code is ErrorCode.BAD_CONFIG
    with Memory.opened(tmp_path):
        pass


async def test_body_without_a_length_and_without_an_end_is_not_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(witness.MAX_REQUEST_BYTES // 0x10000 + 1):
            writer.write(piece)
        assert (await reader.readline()).split()[1] == b"413"
        writer.close()


async def test_body_that_stops_in_the_middle_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_http, "BODY_SECONDS", 0.2)
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 9\r\n\r\nold")
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"503"
        writer.close()


async def test_other_methods_and_addresses_are_not_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:

        def ask(method: str, path: str) -> int:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request(method, path)
            status = connection.getresponse().status
            connection.close()
            return status

        assert await asyncio.to_thread(ask, "GET", "/add-checkpoint") == 405
        assert await asyncio.to_thread(ask, "POST", "/") == 404


async def test_witness_whose_directory_has_expired_cosigns_nothing(tmp_path: Path) -> None:
    def expired() -> witness.KeysOf:
        raise Failure(ErrorCode.DIRECTORY_EXPIRED, "it has")

    async with serving(tmp_path, expired) as port:
        assert (await post(port, bytes(LOG.request(0, 7))))[0] == 503


async def test_log_hears_from_a_witness_what_it_has_and_not_more_than_it_can_bear(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        url = f"http://127.0.0.1:{port}"
        asker = HttpAsker(WitnessEntry(name=NAME, public=VERIFIER.public_key, url=url))
        told = await asker.ask(LOG.request(0, 7))
        assert checked(told.lines, 7)
        assert await asker.ask(LOG.request(0, 9)) == Told(b"", 7)
        for request in (UNKNOWN.request(0, 7), replace(LOG.request(7, 9), proof=())):
            with pytest.raises(Failure) as caught:
                await asker.ask(request)
            assert caught.value.code is ErrorCode.UNAVAILABLE
        await asker.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 3\r\n\r\n-1\n",
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 20\r\n\r\n" + b"9" * 20,
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n1\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_witness_that_answers_nonsense_is_taken_for_silent(answer: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        asker = HttpAsker(WitnessEntry(name=NAME, public=VERIFIER.public_key, url=f"http://127.0.0.1:{port}"))
        with pytest.raises(Failure) as caught:
            await asker.ask(LOG.request(0, 7))
        assert caught.value.code is ErrorCode.UNAVAILABLE
        await asker.close()


@pytest.mark.parametrize(
    "begin",
    [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nConnection: close\r\n\r\n"],
    ids=["in its headers", "in its last answer"],
)
async def test_witness_that_drips_is_taken_for_silent_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(cosigning, "HTTP_SECONDS", 0.3)
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begin)
        while not over.is_set():
            writer.write(b"x")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.05)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        asker = HttpAsker(WitnessEntry(name=NAME, public=VERIFIER.public_key, url=f"http://127.0.0.1:{port}"))
        asking = asyncio.create_task(asker.ask(LOG.request(0, 7)))
        done, _ = await asyncio.wait([asking], timeout=20)
        over.set()
        assert done, "it still waits"
        assert isinstance(asking.exception(), Failure)
        await asker.close()


async def test_command_makes_a_key_serves_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple\n")
    secret.chmod(0o600)
    given = ["--name", NAME, "--out", str(tmp_path / "w.key"), "--passphrase-file", str(secret)]
    status, verifier, error = await finished("witness", "keygen", *given)
    assert status == 0, error
    key = Verifier.parse(verifier.strip())
    assert (key.name, key.algorithm) == (NAME, Algorithm.COSIGNATURE)
    log = Verifier(LOG.origin, bytes(LOG.key.verify_key))
    settings = tmp_path / "witness.toml"
    settings.write_text(
        f'name = "{NAME}"\nlisten = "127.0.0.1:0"\nstate = "state"\nkey = "w.key"\n'
        f'passphrase_file = "passphrase"\nlogs = ["{log}"]\n'
    )
    process = await rogatory("witness", "serve", "--config", str(settings))
    try:
        async with asyncio.timeout(60):
            said = (await process.stdout.readline()).decode().split()
            ready = (await process.stdout.readline()).decode().split()
            assert said == ["verifier", str(key)]
            status, _, lines = await post(int(ready[2].rpartition(":")[2]), bytes(LOG.request(0, 7)))
            assert status == 200
            found = note.parse(str(LOG.checkpoint(7)).encode() + b"\n" + lines)
            assert note.verify(found, [key])[0].by == key
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    "settings",
    [
        "",
        'logs = ["nonsense"]',
        f'logs = ["{VERIFIER}"]',
        'directory = { root = "r", repository = "grpcs://a:1", cache = "c", ca = "a" }',
    ],
)
async def test_witness_of_nothing_does_not_start(tmp_path: Path, settings: str) -> None:
    path = tmp_path / "witness.toml"
    path.write_text(f'name = "{NAME}"\nlisten = "127.0.0.1:0"\nstate = "s"\nkey = "k"\n{settings}\n')
    with pytest.raises(Refusal) as caught:
        config.load(config.WitnessConfig, path)
    assert caught.value.code is ErrorCode.BAD_CONFIG
