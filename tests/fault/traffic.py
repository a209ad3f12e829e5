"""Applications that send and receive over the clients' library while everything goes wrong, and keep books.

Each country's prosecutor sends freeze requests abroad; each central authority takes what comes, and acknowledges it
with an envelope of its own. The books know what was handed in, what the own node signed for, what each application was
shown and what each sender was told; `reckon` compares them.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.central_authority import CentralAuthority
from clients.intake import Faulty, Received
from clients.participant import Participant, Parts
from clients.submission import SignedRefusal
from gateway import config, envelope, material
from gateway.cli.development import INSTRUMENT
from gateway.directory import Directory
from gateway.envelope import Letter
from gateway.statement import FINAL
from tests import paperwork
from tests.fault.tally import Tally
from tests.federation import Federation
from tests.samples import notices

WITHIN_SECONDS = 90.0

Name: TypeAlias = tuple[str, str]
"""Sender and id of an envelope."""


@dataclass
class Person:
    """One participant's system: its application is shown things, and its books say which and how often."""

    participant: Participant
    shown: Counter[Name] = field(default_factory=Counter)
    told: Counter[bytes] = field(default_factory=Counter)
    reading: asyncio.Task[None] | None = None


class Traffic:
    """Everybody who sends and receives, and their books."""

    def __init__(self, fed: Federation, reach: Mapping[str, str]) -> None:
        self.fed = fed
        self.people: dict[str, Person] = {}
        self.sent: dict[Name, pb.SignedEnvelope] = {}
        self.acknowledged: set[Name] = set()
        self.refused: set[Name] = set()
        self.words: defaultdict[Name, list[pb.Statement]] = defaultdict(list)
        self.wrong: list[Faulty] = []
        self._reach = reach
        self._changed = asyncio.Condition()
        self._sending: set[asyncio.Task[None]] = set()

    # Who takes part

    async def person(self, address: str) -> Person:
        """Enter a participant, which reads its mail from now on."""
        if address in self.people:
            return self.people[address]
        loaded = await asyncio.to_thread(material.load_participant, self.fed.summary.config(address))
        parts = Parts(
            directory=self._direct(loaded.directory),
            address=loaded.address,
            tls=loaded.identity,
            home=loaded.config.home,
            signing_keys=loaded.signing_keys,
            sealing_keys=loaded.sealing_keys,
            target_keys=loaded.target_keys,
        )
        made = self.people[address] = Person(await Participant(parts).__aenter__())
        made.reading = asyncio.create_task(self._read(made))
        return made

    def _direct(self, directory: Directory) -> Directory:
        """Lead participants straight to their node: the weather is between the nodes."""
        nodes = tuple(
            node.model_copy(update={"endpoint": self._reach[node.code]}) if node.code in self._reach else node
            for node in directory.nodes
        )
        # A copy would keep what was looked up before.
        fields = {name: getattr(directory, name) for name in Directory.model_fields}
        return Directory(**fields | {"nodes": nodes})

    async def leave(self) -> None:
        """Everybody goes."""
        tasks = [*self._sending, *(p.reading for p in self.people.values() if p.reading is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(person.participant.__aexit__() for person in self.people.values()))

    # Sending

    async def request(self, origin: str, to: str, case_id: str, count: int = 1, *, reader: bool = True) -> list[Name]:
        """Have a country's prosecutor send requests to another's central authority; `known` waits for their ends.

        Without `reader`, nobody reads them yet.
        """
        sender = await self.person(f"{origin}/prosecutor")
        if reader:
            await self.person(f"{to}/central-authority")
        validator = await self.person(f"{origin}/central-authority")
        document = paperwork.request(issuing_state=origin.upper(), executing_state=to.upper())
        document.issuing_authority.country = origin.upper()
        made = []
        for _ in range(count):
            letter = Letter(
                ids.KIND_FREEZE_REQUEST,
                sender.participant.address,
                (f"{to}/central-authority",),
                case_id=case_id,
                instrument=INSTRUMENT,
                measures=tuple(document.measures),
                data_classes=tuple(document.data_classes),
            )
            signed = sender.participant.compose(letter, document).envelope
            key, address = validator.participant.signing_key, validator.participant.address
            made.append(envelope.with_signature(signed, envelope.countersign(signed, address, key)))
        return self.hand_in(sender, made)

    def hand_in(self, sender: Person, envelopes: Sequence[pb.SignedEnvelope]) -> list[Name]:
        """Hand in, and go on."""
        names = [name_of(raw) for raw in envelopes]
        self.sent.update(zip(names, envelopes, strict=True))
        self._start(self._submit(sender, names))
        return names

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._sending.add(asyncio.create_task(work))

    async def _submit(self, sender: Person, names: Sequence[Name]) -> None:
        outcomes = await sender.participant.submit_many([self.sent[name] for name in names], WITHIN_SECONDS)
        async with self._changed:
            for name, outcome in zip(names, outcomes, strict=True):
                match outcome:
                    case pb.Receipt():
                        self.acknowledged.add(name)
                    case SignedRefusal():
                        self.refused.add(name)
                    case _:
                        raise AssertionError(f"no answer of {name}: {outcome}")
            self._changed.notify_all()

    # Receiving

    async def _read(self, person: Person) -> None:
        async with aclosing(person.participant.collect()) as items:
            async for item in items:
                async with self._changed:
                    match item:
                        case Received():
                            self._receive(person, item)
                        case Faulty():
                            self.wrong.append(item)
                        case _:
                            person.told[item.receipt.statement] += 1
                            about = item.statement.envelope
                            self.words[about.sender, about.id].append(item.statement)
                    self._changed.notify_all()

    def _receive(self, person: Person, item: Received) -> None:
        person.shown[name_of(item.envelope)] += 1
        person.participant.done(item)
        if item.header.kind == ids.KIND_FREEZE_REQUEST:
            made = CentralAuthority(person.participant).acknowledge(item, notices.acknowledgement())
            self.hand_in(person, [made.envelope])

    # Waiting and reckoning

    async def accepted(self, enough: int) -> None:
        """Wait until the senders' own nodes have signed for so many."""
        await self._wait(lambda: len(self.acknowledged) + len(self.refused) >= enough)

    async def accepted_all(self, names: Sequence[Name]) -> None:
        """Wait until their sender's own node has signed for these."""
        await self._wait(lambda: self.acknowledged.issuperset(names))

    async def told(self, name: Name, milestone: pb.Milestone.ValueType, times: int) -> None:
        """Wait until so many people, sender or recipient, have heard something about an envelope."""
        await self._wait(lambda: [word.milestone for word in self.words[name]].count(milestone) >= times)

    async def known(self, but: Collection[Name] = ()) -> None:
        """Wait until every sender knows how everything ended, acknowledgements of what arrived included.

        `but` names what has no end.
        """
        await self._wait(lambda: all(self._is_known(name) for name in self.sent if name not in but))

    async def _wait(self, is_done: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(WITHIN_SECONDS), self._changed:
                await self._changed.wait_for(lambda: is_done() or self._has_broken())
        except TimeoutError:
            unknown = [name for name in self.sent if not self._is_known(name)]
            heard = {name: [pb.Milestone.Name(said.milestone) for said in self.words[name]] for name in unknown[:5]}
            raise AssertionError(f"{len(unknown)} envelopes have no end, e.g. {heard}") from None
        for task in self._tasks():
            if task.done():
                task.result()

    def _tasks(self) -> "list[asyncio.Task[None]]":
        return [*self._sending, *(p.reading for p in self.people.values() if p.reading is not None)]

    def _has_broken(self) -> bool:
        return any(task.done() and task.exception() is not None for task in self._tasks())

    def _is_known(self, name: Name) -> bool:
        said = {word.milestone for word in self.words[name]}
        if pb.MILESTONE_DELIVERED in said:
            # Opening is told by the recipient, after it was delivered.
            return bool(said & {pb.MILESTONE_OPENED, pb.MILESTONE_REJECTED})
        return name in self.refused or bool(said & FINAL)

    def reckon(self, tally: Tally) -> None:
        """Compare the books; AssertionError says what does not agree."""
        lost = [name for name in self.acknowledged if not self._is_true(name)]
        twice = [name for person in self.people.values() for name, count in person.shown.items() if count > 1]
        again = [said for person in self.people.values() for said, count in person.told.items() if count > 1]
        tally.sent += len(self.sent)
        tally.acknowledged += len(self.acknowledged)
        tally.lost += len(lost)
        tally.doubled += len(twice) + len(again)
        assert not self.wrong, self.wrong[:3]
        assert not lost, f"{len(lost)} lost or untruly told, e.g. {lost[:3]}"
        assert not twice, f"shown twice: {twice[:3]}"
        assert not again, f"told twice: {len(again)}"
        unknown = {name for person in self.people.values() for name in person.shown} - self.sent.keys()
        assert not unknown, f"nobody sent it: {unknown}"
        assert not {name for name in self.refused if self._shown(name)}, "refused, and delivered all the same"

    def _shown(self, name: Name) -> int:
        return sum(person.shown[name] for person in self.people.values())

    def _is_true(self, name: Name) -> bool:
        """Whether its sender knows one end of it, and that is what its recipient knows too."""
        ends = {word.milestone for word in self.words[name]} & FINAL
        if len(ends) != 1:
            return False
        return (self._shown(name) > 0) == (pb.MILESTONE_DELIVERED in ends)


@asynccontextmanager
async def traffic_in(fed: Federation, reach: Mapping[str, str] | None = None) -> AsyncIterator[Traffic]:
    """Let participants take part, until the end.

    Args:
        fed: their federation.
        reach: where participants reach their node; by default, where it listens.
    """
    listen = {node.address.node: config.load(config.NodeConfig, node.config).listen for node in fed.summary.nodes}
    made = Traffic(fed, listen if reach is None else reach)
    try:
        yield made
    finally:
        await made.leave()


def name_of(raw: pb.SignedEnvelope) -> Name:
    header = pb.Header.FromString(raw.header)
    return header.sender, header.id
