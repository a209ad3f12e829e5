"""The network between two nodes breaks in every way that it can, under load, in both directions.

Where this machine lets us, also with a network of the kernel's own, whose packets vanish without a word.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fault.node_process import Place
from tests.fault.nodes import Nodes, nodes_of
from tests.fault.tally import Tally
from tests.fault.test_crashes import reckoned
from tests.fault.traffic import Traffic, traffic_in
from tests.federation import ports, until
from tests.weather import Weather, weather_before

pytestmark = pytest.mark.fault

BATCH = 8
NAMESPACE = "rogatory-"


@dataclass
class Border:
    """Two nodes with the weather before each, and those who write across."""

    nodes: Nodes
    traffic: Traffic
    skies: dict[str, Weather]
    batches: int = 0

    async def send(self) -> None:
        """Write both ways; returns when it is accepted at home."""
        self.batches += 1
        await self.traffic.request("ee", "de", f"EE-{self.batches}", BATCH)
        await self.traffic.request("de", "ee", f"DE-{self.batches}", BATCH)
        await self.traffic.accepted(2 * BATCH * self.batches)

    def failures(self) -> int:
        """How often was tried in vain, at both nodes, what still waits.

        Copies of receipts too, of which events tell nothing: where a line is down, one copy is tried at a time, and it
        may be the same receipt again and again.
        """
        query = "SELECT coalesce(sum(attempts), 0) FROM deliveries WHERE state IN ('queued', 'doubtful')"
        return sum(self.nodes.ask(code, query)[0][0] for code in self.skies)

    async def crossing(self) -> None:
        """Wait until both lines are in use: to one that is not up yet, a fault costs no attempt."""
        query = "SELECT count(*) FROM deliveries WHERE destination LIKE '%/node' AND state = 'delivered'"
        await until(lambda: all(self.nodes.ask(code, query)[0][0] for code in self.skies))

    async def felt(self, before: int) -> None:
        """Wait until the fault has cost an attempt."""
        await until(lambda: self.failures() > before)


@asynccontextmanager
async def border(folder: Path) -> AsyncIterator[Border]:
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(nodes_of(folder, start=()))
        skies = {code: await stack.enter_async_context(weather_before(nodes.fed, code)) for code in ("ee", "de")}
        for code in skies:
            await nodes.start(code)
        traffic = await stack.enter_async_context(traffic_in(nodes.fed))
        yield Border(nodes, traffic, skies)


async def cut(at: Border) -> None:
    """The line is gone, and nobody listens."""
    before = at.failures()
    for sky in at.skies.values():
        await sky.cut()
    await at.send()
    await at.felt(before)
    for sky in at.skies.values():
        await sky.mend()


async def reset(at: Border) -> None:
    """Each connection is reset as soon as something has passed."""
    for _ in range(5):
        seen = [sky.up for sky in at.skies.values()]
        await at.send()
        await until(lambda seen=seen: all(s.up > was for s, was in zip(at.skies.values(), seen, strict=True)))  # type: ignore[misc]
        for sky in at.skies.values():
            sky.reset()


async def duplicate(at: Border) -> None:
    """Pieces come twice; TLS takes none of that for more data, and the line is made anew."""
    lines = [sky.accepted for sky in at.skies.values()]
    for sky in at.skies.values():
        sky.duplicate_next()
    await at.send()
    await until(lambda: not any(sky.duplicating for sky in at.skies.values()))
    # It costs an attempt only if the piece was not the last of an answer: what is sent now finds the line broken.
    await at.send()
    await until(lambda: all(sky.accepted > was for sky, was in zip(at.skies.values(), lines, strict=True)))


async def delay(at: Border) -> None:
    """What is said arrives after its sender has given up waiting."""
    before = at.failures()
    for sky in at.skies.values():
        sky.delay_seconds = 0.7  # both ways together more than `attempt_timeout_seconds`
    await at.send()
    await at.felt(before)
    for sky in at.skies.values():
        sky.delay_seconds = 0.0


async def black_hole(at: Border) -> None:
    """Half-open: the connection stands, and what is said on it vanishes."""
    before = at.failures()
    for sky in at.skies.values():
        sky.black_hole = True
    await at.send()
    await at.felt(before)
    for sky in at.skies.values():
        sky.black_hole = False


async def stall(at: Border) -> None:
    """The other end reads nothing any more."""
    before = at.failures()
    for sky in at.skies.values():
        sky.stalled = True
    await at.send()
    await at.felt(before)
    for sky in at.skies.values():
        sky.stalled = False


async def narrow(at: Border) -> None:
    """A line so thin that a frame takes longer than its sender waits, until it is wider."""
    before = at.failures()
    for sky in at.skies.values():
        sky.bytes_per_second = 5e3
    await at.send()
    await at.felt(before)
    for sky in at.skies.values():
        sky.bytes_per_second = 1e6


FAULTS: list[Callable[[Border], Awaitable[None]]] = [cut, reset, duplicate, delay, black_hole, stall, narrow]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_network_that_fails_under_load_loses_nothing_and_doubles_nothing(
    tmp_path: Path, fault: Callable[[Border], Awaitable[None]], tally: Tally
) -> None:
    async with border(tmp_path / "fed") as at:
        await at.send()
        await at.crossing()
        await fault(at)
        tally.faults[fault.__name__] += 1
        await at.send()
        await reckoned(at.nodes, at.traffic, tally)
        assert not at.nodes.deaths


# A network of the kernel's own


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Link:
    """A namespace with two lines into it: one for the other node, one for its own participants."""

    namespace: str
    subnet: str

    def ours(self, line: int) -> str:
        return f"{self.subnet}.{4 * line + 1}"

    def theirs(self, line: int) -> str:
        return f"{self.subnet}.{4 * line + 2}"

    # A name of a line has 15 characters at most.

    def out(self, line: int) -> str:
        return f"rog{self.namespace.removeprefix(NAMESPACE)}o{line}"

    def inner(self, line: int) -> str:
        return f"rog{self.namespace.removeprefix(NAMESPACE)}i{line}"

    def make(self, stack: ExitStack) -> None:
        """Make it; the stack removes what was made, also if that was only half of it."""
        ip("netns", "add", self.namespace)
        # The lines go with it.
        stack.callback(ip, "netns", "del", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")
        for line in (0, 1):
            out, inner = self.out(line), self.inner(line)
            ip("link", "add", out, "type", "veth", "peer", "name", inner, "netns", self.namespace)
            ip("addr", "add", f"{self.ours(line)}/30", "dev", out)
            ip("link", "set", out, "up")
            ip("-n", self.namespace, "addr", "add", f"{self.theirs(line)}/30", "dev", inner)
            ip("-n", self.namespace, "link", "set", inner, "up")


def sweep_up() -> None:
    """Remove what a run left that was killed: named after its process, which is no more."""
    for each in Path("/run/netns").glob(f"{NAMESPACE}*"):
        owner = each.name.removeprefix(NAMESPACE)
        if owner.isdigit() and not Path("/proc", owner).exists():
            ip("netns", "del", each.name)


@pytest.fixture
def link() -> Iterator[Link]:
    # Of this process's own; 198.18.0.0/15 is for tests of networks (RFC 2544).
    number = os.getpid()
    made = Link(f"{NAMESPACE}{number}", f"198.{18 + (number >> 8) % 2}.{number % 256}")
    sweep_up()
    with ExitStack() as stack:
        try:
            made.make(stack)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespace can be made here, which needs root and `ip`: {error}")
        yield made


def silent(link: Link) -> None:
    """Packets vanish, nobody is told: the far end of the line is down."""
    ip("-n", link.namespace, "link", "set", link.inner(0), "down")


def heard(link: Link) -> None:
    ip("-n", link.namespace, "link", "set", link.inner(0), "up")


def moved(link: Link) -> None:
    """The node's address is another's, and comes back: what was connected to it is not any more."""
    ip("-n", link.namespace, "addr", "del", f"{link.theirs(0)}/30", "dev", link.inner(0))


def back(link: Link) -> None:
    ip("-n", link.namespace, "addr", "add", f"{link.theirs(0)}/30", "dev", link.inner(0))


def unreachable(link: Link) -> None:
    """A router says that there is no way."""
    ip("route", "add", "unreachable", f"{link.theirs(0)}/32")


def reachable(link: Link) -> None:
    ip("route", "del", "unreachable", f"{link.theirs(0)}/32")


KERNEL_FAULTS = {"silent": (silent, heard), "moved": (moved, back), "unreachable": (unreachable, reachable)}


async def test_network_of_the_kernel_that_fails_under_load_loses_nothing_and_doubles_nothing(
    tmp_path: Path, link: Link, tally: Tally
) -> None:
    async with nodes_of(tmp_path / "fed", start=()) as nodes:
        inside, outside = ports(2)
        endpoints = {"ee": f"{link.ours(0)}:{outside}", "de": f"{link.theirs(0)}:{inside}"}
        directory = nodes.fed.directory
        for code, endpoint in endpoints.items():
            settings = nodes.fed.summary.config(f"{code}/node")
            listen = f"0.0.0.0:{endpoint.rpartition(':')[2]}"
            settings.write_text(settings.read_text().replace(directory.node(code).endpoint, listen))
        moved_nodes = tuple(n.model_copy(update={"endpoint": endpoints[n.code]}) for n in directory.nodes)
        nodes.fed.sign_anew(directory.model_copy(update={"nodes": moved_nodes}))
        nodes.places["de"] = Place(namespace=link.namespace)
        for code in endpoints:
            await nodes.start(code)
        reach = {"ee": endpoints["ee"], "de": f"{link.theirs(1)}:{inside}"}
        async with traffic_in(nodes.fed, reach) as traffic:
            at = Border(nodes, traffic, dict.fromkeys(endpoints))  # type: ignore[arg-type]  # there is no sky down here
            await at.send()
            for name, (breaks, mends) in KERNEL_FAULTS.items():
                before = at.failures()
                await asyncio.to_thread(breaks, link)
                await at.send()
                await at.felt(before)
                await asyncio.to_thread(mends, link)
                tally.faults[f"kernel {name}"] += 1
                await at.send()
            await reckoned(nodes, traffic, tally)
            assert not nodes.deaths
