"""The connection test, against real nodes: each way in which a line can be broken is told as that."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from rogatory.v1 import operations_pb2 as operations

from certs.pki import DevelopmentPki
from gateway.clock import system_clock
from gateway.directory import Directory, Status
from gateway.doors.probing import STEPS, Prober
from gateway.identity import Address
from gateway.node import Node
from gateway.transport import TlsIdentity
from tests import stores
from tests.federation import Federation, federation, ports

pytestmark = pytest.mark.integration

TOLERANCE_SECONDS = 300


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed") as made:
        yield made


class Held:
    """What a node has by now, with something wrong in it."""

    def __init__(self, node: Node, directory: Directory | None = None, identity: TlsIdentity | None = None) -> None:
        held = node.upkeep.material
        self.directory = directory or held.directory
        self.identity = identity or held.identity


def prober(held: Held) -> Prober:
    return Prober("ee", lambda: held, system_clock, TOLERANCE_SECONDS)  # type: ignore[arg-type,return-value]  # see Held


def elsewhere(fed: Federation, **changed: object) -> Held:
    """Return what ee holds, if the directory said something else of de."""
    node = fed.nodes["ee"]
    directory = node.upkeep.material.directory
    nodes = tuple(each.model_copy(update=changed) if each.code == "de" else each for each in directory.nodes)
    return Held(node, Directory.parse(directory.model_copy(update={"nodes": nodes}).to_json(), "directory"))


def broken_at(checks: list[operations.ConnectionCheck]) -> tuple[str, str]:
    """Return which check failed and what it says; all before it passed, and nothing behind it was tried."""
    failed = [check for check in checks if check.tried and not check.passed]
    assert len(failed) == 1, checks
    at = checks.index(failed[0])
    assert [check.name for check in checks] == [*STEPS]
    assert all(check.passed and check.detail for check in checks[:at]), checks
    assert not any(check.tried or check.passed or check.detail for check in checks[at + 1 :]), checks
    assert failed[0].detail
    return failed[0].name, failed[0].detail


def recorded(fed: Federation, code: str) -> list[int]:
    tables = ("envelopes", "receipts", "deliveries", "events")
    return [int(stores.rows(fed.store(code), f"SELECT count(*) FROM {each}")[0][0]) for each in tables]


async def test_a_healthy_way_passes_every_check_and_changes_nothing_at_either_end(fed: Federation) -> None:
    before = [recorded(fed, code) for code in ("ee", "de")]
    checks = await fed.nodes["ee"]._prober.probe("de")
    assert [(check.name, check.passed, check.tried) for check in checks] == [(step, True, True) for step in STEPS]
    assert all(check.detail for check in checks)
    assert {check.name for check in checks if check.took_us} >= {"tcp", "tls", "call"}
    assert [recorded(fed, code) for code in ("ee", "de")] == before


async def test_a_stopped_node_takes_no_connection_and_a_node_that_cannot_reach_us_says_so(fed: Federation) -> None:
    held = Held(fed.nodes["ee"])
    await fed.stop("ee")
    name, detail = broken_at(await prober(held).probe("de"))
    assert name == "back"
    assert "ends at tcp" in detail
    held = Held(await fed.start("ee"))
    await fed.stop("de")
    name, detail = broken_at(await prober(held).probe("de"))
    assert name == "tcp"
    assert "refuses" in detail


async def test_a_node_cannot_look_around_here_by_an_address_that_it_gives_itself(fed: Federation) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    (closed,) = ports(1)
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        within = other.sockets[0].getsockname()[1]
        ee = fed.directory.node("ee").endpoint
        for endpoint in (f"127.0.0.1:{within}", f"127.0.0.1:{closed}", "localhost:1", "node..de:1", ee):
            told = await prober(elsewhere(fed, endpoint=endpoint)).probe_for("de")
            assert [check.passed for check in told].count(False)
            assert not any(check.detail or check.took_us for check in told)
    told = await prober(Held(fed.nodes["ee"])).probe_for("de")
    assert all(check.passed and check.detail for check in told)


async def test_what_is_no_node_or_another_node_or_an_impostor_is_told_apart(fed: Federation) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    ee, de = (fed.directory.node(code) for code in ("ee", "de"))
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        assert broken_at(await prober(elsewhere(fed, endpoint=f"127.0.0.1:{port}")).probe("de"))[0] == "tls"
    name, detail = broken_at(await prober(elsewhere(fed, endpoint=ee.endpoint)).probe("de"))
    assert name == "certificate"
    assert "node.ee.rogatory.test" in detail
    # The right name, from a CA that the directory does not know.
    stranger = DevelopmentPki("rogatory.test", system_clock())
    ca = stranger.node_ca("de").pem.decode()
    name, detail = broken_at(await prober(elsewhere(fed, ca=ca)).probe("de"))
    assert name == "certificate"
    assert "did not issue" in detail
    # And the other way round: it is us whom they do not know.
    foreign = stranger.leaf(Address.of_node("ee"))
    held = Held(fed.nodes["ee"], identity=TlsIdentity(foreign.key_pem, foreign.chain_pem))
    name, detail = broken_at(await prober(held).probe("de"))
    assert name == "tls"
    assert "our certificate" in detail
    assert broken_at(await prober(elsewhere(fed, endpoint="node..de:1")).probe("de"))[0] == "dns"
    assert broken_at(await prober(elsewhere(fed, endpoint=de.endpoint, status=Status.REVOKED)).probe("de"))[0] == (
        "directory"
    )
    assert broken_at(await prober(Held(fed.nodes["ee"])).probe("fr"))[0] == "directory"
    for endpoint in ("127.0.0.1:0", "127.0.0.1:65536", f"127.0.0.1:{10**30}", "127.0.0.1:x"):
        assert broken_at(await prober(elsewhere(fed, endpoint=endpoint)).probe("de"))[0] == "directory"


async def test_a_clock_that_is_off_is_told_with_how_much(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        fed.clock = lambda: system_clock() + timedelta(seconds=TOLERANCE_SECONDS + 60)
        await fed.start("de")
        name, detail = broken_at(await prober(Held(fed.nodes["ee"])).probe("de"))
        assert name == "clock"
        assert "360" in detail or "359.9" in detail
