"""The disk of a node is full, or read-only: it says so to whoever asks, loses nothing, and goes on by itself later.

Full in two ways. A limit on the size of files works for everybody. A small file system of its own, filled to the last
byte, fails as disks do; only root may mount one. Read-only likewise: under a node, by what the engine raises; under a
writer that has just closed its file, by mounting the file system anew.
"""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pysqlite3.dbapi2 as sqlite
import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox

from gateway import codec
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure
from gateway.store import Transaction, Writer, open_store
from tests import stores
from tests.fault.node_process import ReadOnly
from tests.fault.nodes import Nodes, nodes_of
from tests.fault.tally import Tally
from tests.fault.test_crashes import reckoned
from tests.fault.traffic import traffic_in
from tests.federation import until

pytestmark = pytest.mark.fault

DISK_BYTES = 8 << 20
PAGE_BYTES = 4 << 10


@dataclass
class Disk:
    """The disk of one node's store, and how it is filled and emptied."""

    nodes: Nodes
    code: str

    @property
    def folder(self) -> Path:
        return self.nodes.fed.file(self.code).parent

    async def fill(self) -> None:
        raise NotImplementedError

    async def empty(self) -> None:
        raise NotImplementedError


class Limited(Disk):
    """No file of the node grows beyond what it has."""

    async def fill(self) -> None:
        # In the middle of what the next transaction adds.
        largest = max(each.stat().st_size for each in self.folder.iterdir())
        self.nodes.running[self.code].limit_files(largest + PAGE_BYTES + 1)

    async def empty(self) -> None:
        self.nodes.running[self.code].limit_files(-1)


class Mounted(Disk):
    """A file system of its own."""

    async def fill(self) -> None:
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            while True:
                try:
                    ballast.write(bytes(PAGE_BYTES))
                except OSError:
                    return

    async def empty(self) -> None:
        (self.folder / "ballast").unlink()


class Protected(Disk):
    """Nothing is written any more."""

    async def fill(self) -> None:
        await self.nodes.running[self.code].obey(ReadOnly(on=True))

    async def empty(self) -> None:
        await self.nodes.running[self.code].obey(ReadOnly(on=False))


@contextmanager
def protected(nodes: Nodes, code: str) -> Iterator[Disk]:
    yield Protected(nodes, code)


@contextmanager
def limited(nodes: Nodes, code: str) -> Iterator[Disk]:
    yield Limited(nodes, code)


@contextmanager
def mounted(nodes: Nodes, code: str) -> Iterator[Disk]:
    made = Mounted(nodes, code)
    with file_system(made.folder):
        yield made


@contextmanager
def file_system(folder: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "rogatory-faults", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here, which needs root: {error}")
    try:
        yield
    finally:
        # A node may still have it open; it goes when that has ended.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


Making: TypeAlias = Callable[[Nodes, str], AbstractContextManager[Disk]]


@asynccontextmanager
async def disk(folder: Path, making: Making, code: str) -> AsyncIterator[Disk]:
    async with nodes_of(folder, start=()) as nodes:
        with making(nodes, code) as made:
            for each in ("ee", "de"):
                await nodes.start(each)
            yield made


def is_full(answer: mailbox.Answer) -> bool:
    """Whether a node says that it could not write; AssertionError if it says anything else but yes."""
    if answer.WhichOneof("result") == "receipt":
        return False
    error = codec.error_from(answer.error)
    assert isinstance(error, Failure), "a full disk is no rule that says no"
    assert error.code is ErrorCode.STORE
    assert error.retry_after
    return True


@pytest.mark.parametrize("making", [limited, mounted, protected], ids=["size-of-files", "file-system", "read-only"])
@pytest.mark.parametrize("code", ["ee", "de"])
async def test_disk_that_takes_no_more_is_told_as_a_failure_and_that_ends_by_itself(
    tmp_path: Path, making: Making, code: str, tally: Tally
) -> None:
    async with disk(tmp_path / "fed", making, code) as full, traffic_in(full.nodes.fed) as traffic:
        nodes, other = full.nodes, {"ee": "de", "de": "ee"}[code]
        await traffic.request("ee", "de", "EE-1", 8)
        await traffic.request("de", "ee", "DE-1", 8)
        await traffic.known()
        failed = "SELECT count(*) FROM events WHERE name = 'delivery.failed'"
        before = nodes.ask(other, failed)[0][0]
        await full.fill()
        tally.faults["disk read-only" if making is protected else "disk full"] += 1
        # For what it could still take it has signed; then it says that it cannot.
        sent = await traffic.request(code, other, "2", 8)
        while not is_full(await nodes.fed.actor(f"{code}/prosecutor").answer(traffic.sent[sent[-1]])):
            sent = await traffic.request(code, other, "2", 8)
        names = await traffic.request(other, code, "3", 8)
        await traffic.accepted_all(names)
        await until(lambda: nodes.ask(other, failed)[0][0] > before)
        await full.empty()
        await reckoned(nodes, traffic, tally)
        assert traffic.acknowledged >= {*names, *sent}
        assert not nodes.deaths, "it did not live through it"


async def test_file_system_that_was_mounted_read_only_is_told_as_a_failure_and_that_ends_by_itself(
    tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with file_system(folder):
        connect, engine = open_store(folder / "node.db")
        engine.dispose()
        writer = Writer(
            connect,
            lambda: lambda _: [],
            issuer="ee/node",
            clock=system_clock,
            max_waiting=8,
            on_commit=lambda _: None,
            watch=lambda _: None,
        )
        writer.start()

        def add(txn: Transaction) -> None:
            txn.add_event(ids.EnvelopeRef(sender="ee/prosecutor", id="1"), "tried")

        def mount(how: str) -> None:
            subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

        def break_off(_: Transaction) -> None:
            raise sqlite.OperationalError("an error of the disk")

        await writer.write(add)
        with pytest.raises(Failure):
            await writer.write(break_off)  # and the file is closed, so that it can be mounted anew
        mount("ro")
        tally.faults["disk read-only"] += 1
        for _ in range(3):
            with pytest.raises(Failure) as caught:
                await writer.write(add)
            assert (caught.value.code, bool(caught.value.retry_after)) == (ErrorCode.STORE, True)
        mount("rw")
        await writer.write(add)
        await writer.close()
        assert stores.rows(folder / "node.db", "SELECT count(*) FROM events") == [(2,)]
