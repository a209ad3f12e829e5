"""A case between two States with everybody's real keys, on the disks of who took part; nothing runs.

Every envelope is composed by the clients' library, every receipt is signed by the node that would have signed it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from clients.casefile.contents import Prove
from clients.casefile.export import Terms, export
from clients.maildir import Arrival, Folder
from clients.participant import Participant
from gateway import envelope, material, statement
from gateway.cli.development import Summary, free_ports, init_federation
from gateway.cli.verify import prover
from gateway.clock import to_micros
from gateway.envelope import Letter, ref_of
from gateway.formats import documents, transactions
from gateway.formats.documents import Document
from gateway.identity import Address
from gateway.signer import Signer
from gateway.trust.copy import GoodCopy
from tests import paperwork

PROSECUTOR, CENTRAL, THEIR_CENTRAL = "ee/prosecutor", "ee/central-authority", "de/central-authority"
CASE = "EE-1"
REAL: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "transactions.json").read_bytes())


@dataclass
class Made:
    """A federation and what its participants have on their disks.

    Args:
        fed: where all of it lies.
        now: when the next thing happens.
        sent: the envelopes by what they are called here.
    """

    fed: Summary
    now: datetime
    sent: dict[str, pb.SignedEnvelope] = field(default_factory=dict)
    _people: dict[str, Participant] = field(default_factory=dict)

    def person(self, who: str) -> Participant:
        if who not in self._people:
            loaded = material.load_participant(self.fed.config(who), lambda: self.now)
            self._people[who] = Participant.of(loaded, clock=lambda: self.now)
        return self._people[who]

    @cached_property
    def nodes(self) -> Mapping[str, Signer]:
        return {
            code: material.load_node(self.fed.config(f"{code}/node"), lambda: self.now).signing_key
            for code in ("ee", "de")
        }

    @cached_property
    def prove(self) -> Prove:
        return prover(self.fed.root)

    def compose(
        self, called: str, kind: ids.Kind.ValueType, sender: str, to: str, document: Document, **said: Any
    ) -> Any:
        scope = {
            name: tuple(getattr(document, name)) for name in ("measures", "data_classes") if hasattr(document, name)
        }
        letter = Letter(kind, sender, (to,), **{"case_id": CASE, **scope, **said})
        made = self.person(sender).compose(letter, document)
        self.sent[called] = made.envelope
        return made

    def deliver(self, called: str) -> None:
        """Let an envelope be handed in, accepted, delivered and opened; everybody hears what he would hear."""
        raw = self.sent[called]
        header = pb.Header.FromString(raw.header)
        (to,) = header.recipients
        homes = dict.fromkeys((header.sender[:2], to[:2]))
        sender, recipient = self.person(header.sender), self.person(to)
        sender.maildir.keep_sent([raw])
        for code in homes:
            self.say(raw, pb.MILESTONE_ACCEPTED, f"{code}/node", header.sender)
        with recipient.maildir.collecting() as collector:
            collector.put([Arrival(raw, ref_of(header), envelope.fingerprint(raw), Folder.DONE)])
        self.say(raw, pb.MILESTONE_OPENED, to, header.sender, to, recipient=to)
        self.say(raw, pb.MILESTONE_DELIVERED, f"{to[:2]}/node", header.sender, recipient=to)
        self.now += timedelta(minutes=1)

    def say(self, raw: pb.SignedEnvelope, milestone: pb.Milestone.ValueType, by: str, *told: str, **said: Any) -> None:
        issuer = Address.parse(by, allow_node=True)
        key = self.nodes[issuer.node] if issuer.is_node else self.person(by).signing_key
        about = ref_of(pb.Header.FromString(raw.header))
        made = pb.Statement(
            envelope=about,
            fingerprint=envelope.fingerprint(raw),
            milestone=milestone,
            issuer=by,
            at_us=to_micros(self.now),
            **said,
        )
        receipts = statement.issue([made], issuer, key)
        for who in told:
            self.person(who).maildir.keep_receipts([(about, each) for each in receipts])

    def export(self, who: str = PROSECUTOR, terms: Terms | None = None, case_id: str = CASE) -> bytes:
        me = self.person(who)
        copy = GoodCopy.read(material.load_participant(self.fed.config(who), lambda: self.now).config.directory.cache)
        assert copy is not None
        return export(me, case_id, terms or Terms(), copy.served(), self.prove)

    def id_of(self, called: str) -> str:
        return pb.Header.FromString(self.sent[called].header).id

    def stem(self, called: str) -> str:
        header = pb.Header.FromString(self.sent[called].header)
        return f"{header.sender.replace('/', '.')}.{header.id}"


def records(count: int) -> list[evidence.TransactionRecord]:
    return [*transactions.records(REAL[:count]).read]


def freeze(folder: Path, now: datetime, found: int = 5) -> Made:
    """Return a freeze: drafted, countersigned, asked, granted, executed, with so many real transactions reported."""
    made = Made(init_federation(folder, ["ee", "de"], free_ports(2), now), now)
    instrument = {"instrument": "eu-2018-1805"}
    request = made.compose(
        "request", ids.KIND_FREEZE_REQUEST, PROSECUTOR, THEIR_CENTRAL, paperwork.request(), **instrument
    )
    body = documents.encode(paperwork.request())
    draft = orders.Draft(envelope=request.envelope, salt=request.salt, body=body)
    scope = {"measures": tuple(request.header.measures), "data_classes": tuple(request.header.data_classes)}
    asked = made.compose("draft", ids.KIND_DRAFT, PROSECUTOR, CENTRAL, draft, **scope)
    made.deliver("draft")
    central = made.person(CENTRAL)
    signed = envelope.countersign(request.envelope, CENTRAL, central.signing_key)
    answer = orders.Countersignature(signature=signed)
    granted = {"outcome": ids.OUTCOME_GRANTED}
    made.compose(
        "countersignature",
        ids.KIND_COUNTERSIGNATURE,
        CENTRAL,
        PROSECUTOR,
        answer,
        cites=(ref_of(asked.header),),
        **granted,
    )
    made.deliver("countersignature")
    made.sent["request"] = envelope.with_signature(request.envelope, signed)
    made.deliver("request")
    about = {"cites": (ref_of(request.header),), **instrument, **granted}
    decision = paperwork.decision()
    answered = {**about, "dual_criminality": decision.dual_criminality}
    made.compose("decision", ids.KIND_REVIEW_DECISION, THEIR_CENTRAL, PROSECUTOR, decision, **answered)
    made.deliver("decision")
    report = paperwork.report(transactions=records(found))
    made.compose("report", ids.KIND_EXECUTION_REPORT, THEIR_CENTRAL, PROSECUTOR, report, **about)
    made.deliver("report")
    return made
