"""What every act of the demo works with: who plays, what came of it, and how it is told.

Nothing is claimed that was not checked: where a matter stands is the word of each node to its own operator and what
each party makes of its own disk, and all of them must agree.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from google.protobuf.message import Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1.measures_pb2 import ClockRule

from clients.cases import key_of
from clients.central_authority import CentralAuthority
from clients.contact import FinancialIntelligenceUnit
from clients.court import Court
from clients.exchange import Exchange
from clients.intake import Received
from clients.investigator import Investigator
from clients.known_cases import KnownCases
from gateway import envelope
from gateway.cli import trace
from gateway.cli.children import patience
from gateway.cli.demo.attacks import Refused
from gateway.cli.demo.desks import Desk
from gateway.cli.demo.handover import Handed, Tell
from gateway.cli.demo.processes import Processes
from gateway.cli.development import Summary
from gateway.cli.home import word
from gateway.envelope import Composed, ref_of
from gateway.errors import ErrorCode, Failure
from gateway.identity import Address
from gateway.lifecycle import State as Delivery
from gateway.material import ParticipantMaterial
from gateway.rules import State

D = TypeVar("D", bound=Message)

UNDER_WAY_SECONDS: Final = 20.0
EYES_SECONDS: Final = 0.05
"""How often an operator looks; a node calls nobody about its queue."""


@dataclass
class Report:
    """What the demo came to."""

    summary: Summary
    wallets_asked: int
    wallets_carried: int = 0
    wallets_verified: int = 0
    frozen: int = 0
    transactions: int = 0
    envelopes: int = 0
    receipts_verified: int = 0
    killed: int = 0
    request_id: str = ""
    seconds: float = 0.0
    milestones: Counter[str] = field(default_factory=Counter)
    refusals: list[Refused] = field(default_factory=list)
    scenes: dict[str, dict[str, object]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    processes: dict[str, int] = field(default_factory=dict)
    handed: Handed | None = None

    @property
    def ok(self) -> bool:
        """Whether all went as it must."""
        return not self.problems and self.wallets_asked == self.wallets_carried == self.wallets_verified

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem, unless something holds."""
        if not holds:
            self.problems.append(problem)

    def refused(self, found: Refused, code: ErrorCode) -> str:
        """Note a refusal, which has to be with that code; return its name."""
        self.refusals.append(found)
        self.expect(found.code is code, f"{found.attack} was refused as {found.code.name}, not as {code.name}")
        return found.code.name

    def as_object(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {
            "ok": self.ok,
            "envelopes": self.envelopes,
            "milestones": dict(sorted(self.milestones.items())),
            "refusals": [{"attack": r.attack, "code": r.code.name, "by": r.by} for r in self.refusals],
            "receipts_verified": self.receipts_verified,
            "wallets": {
                "asked": self.wallets_asked,
                "carried": self.wallets_carried,
                "verified": self.wallets_verified,
                "frozen": self.frozen,
            },
            "transactions": self.transactions,
            "scenes": self.scenes,
            "nodes_killed": self.killed,
            "request_id": self.request_id,
            "problems": self.problems,
            "seconds": round(self.seconds, 2),
            **({} if self.handed is None else self.handed.as_object()),
            **({"folder": str(self.summary.folder), "processes": self.processes} if self.processes else {}),
        }


@dataclass(frozen=True, slots=True)
class Play:
    """Who plays.

    Args:
        desks: by address.
        operators: of each node, who can ask it where things stand.
        nodes: their processes.
        report: what it comes to.
        tell: says a line to the audience.
    """

    desks: Mapping[str, Desk]
    operators: Mapping[str, ParticipantMaterial]
    nodes: Processes
    report: Report
    tell: Tell

    @property
    def prosecutor(self) -> Investigator:
        """Of Estonia."""
        return Investigator(self.desks["ee/prosecutor"].participant)

    @property
    def home(self) -> CentralAuthority:
        """The Estonian ministry, which countersigns."""
        return CentralAuthority(self.desks["ee/central-authority"].participant)

    @property
    def ministry(self) -> CentralAuthority:
        """The German one, which is asked."""
        return CentralAuthority(self.desks["de/central-authority"].participant)

    @property
    def court(self) -> Court:
        """Of Germany."""
        return Court(self.desks["de/court"].participant)

    @property
    def exchange(self) -> Exchange:
        """In Germany."""
        return Exchange(self.desks["de/exchange"].participant)

    def unit(self, code: str) -> FinancialIntelligenceUnit:
        """Return the financial intelligence unit of a country."""
        return FinancialIntelligenceUnit(self.desks[f"{code}/fiu"].participant)

    async def submit(self, made: Composed | pb.SignedEnvelope, what: str = "") -> ids.EnvelopeRef:
        """Have its sender hand it in, and tell of the receipt."""
        signed = made.envelope if isinstance(made, Composed) else made
        header = envelope.parse_header(signed)
        receipt = await self.desks[header.sender].participant.submit(signed)
        said = pb.Statement.FromString(receipt.statement)
        kind = word(ids.Kind.DESCRIPTOR, header.kind)
        line = f"  {header.sender:<20} {kind:<21} -> {header.recipients[0]:<20} accepted by {said.issuer:<8} {what}"
        self.tell(line.rstrip())
        return ref_of(header)

    async def send(self, made: Composed | pb.SignedEnvelope, what: str = "") -> Received:
        """Have it handed in, and return it as its recipient has opened it."""
        signed = made.envelope if isinstance(made, Composed) else made
        ref = await self.submit(signed, what)
        return await self.desks[envelope.parse_header(signed).recipients[0]].take(ref)

    def say(self, line: str) -> None:
        """Tell what is no envelope, under the lines of those that are."""
        self.tell(f"  {'':<20} {line}")

    def refused(self, found: Refused, code: ErrorCode) -> str:
        """Tell of a refusal, which has to be with that code; return its name."""
        self.say(f"{found.attack}: {found.code.name} by {found.by}")
        return self.report.refused(found, code)

    async def standing(self, matter: pb.Header) -> dict[str, str]:
        """Return where a matter stands, by each node that knows it and by each of its parties."""
        parties = (matter.sender, matter.recipients[0])
        found: dict[str, str] = {}
        for code in dict.fromkeys(Address.parse(party).node for party in parties):
            told = await trace.fetch(self.operators[code], matter.id, ask_others=False)
            found[f"{code}/node"] = next((part.state for part in told.traces if part.state), "")
        for party in parties:
            participant = self.desks[party].participant
            cases = KnownCases(participant.maildir, participant.directory, party)
            known = cases.case(matter.case_id).matter(key_of(matter))
            found[party] = known.state.value if known is not None and known.state is not None else ""
        return found

    async def expect_standing(self, matter: pb.Header, state: State) -> dict[str, str]:
        """Check that a matter stands there, by everybody's word, and tell it."""
        found = await self.standing(matter)
        kind = word(ids.Kind.DESCRIPTOR, matter.kind)
        agreed = set(found.values()) == {state.value}
        self.report.expect(agreed, f"the {kind} of {matter.case_id} is not {state.value}: {found}")
        self.say(f"{kind}: {state.value}, say {', '.join(found)}" if agreed else f"{kind}: {found}")
        return found

    async def clocks(self, matter: pb.Header) -> list[str]:
        """Return the time limits that run for a matter, by the node of whoever was asked."""
        code = Address.parse(matter.recipients[0]).node
        told = await trace.fetch(self.operators[code], matter.id, ask_others=False)
        return [word(ClockRule.DESCRIPTOR, clock.rule) for part in told.traces for clock in part.clocks]

    async def until_under_way(self, envelope_id: str) -> None:
        """Watch as an operator does until the envelope is in an attempt that has begun and not ended."""
        async with patience(UNDER_WAY_SECONDS, "the request to be under way"):
            while True:
                told = await trace.fetch(self.operators["ee"], envelope_id, ask_others=False)
                if Delivery.DELIVERING.value in {copy.state for part in told.traces for copy in part.deliveries}:
                    return
                await asyncio.sleep(EYES_SECONDS)


def document(received: Received, kind: type[D]) -> D:
    """Return the document of an envelope, which is of that type."""
    found: Message = received.document
    if not isinstance(found, kind):
        raise Failure(ErrorCode.INTERNAL, f"it carries no {kind.DESCRIPTOR.name}")
    return found
