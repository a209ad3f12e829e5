"""A case between two States with everybody's real keys, on the disks of who took part; nothing runs.

Every envelope is composed by the clients' library, every receipt is signed by the node that would have signed it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2 as log
from rogatory.v1 import orders_pb2 as orders

from clients.casefile import archive, contents, derived
from clients.casefile.contents import ASIC, MANIFEST, SIGNATURE, Manifest, Prove
from clients.casefile.export import Terms, export
from clients.casefile.logged import AskNode
from clients.casefile.reading import CaseFile
from clients.casefile.timestamp import Stamp
from clients.maildir import Arrival, Folder
from clients.participant import Participant
from gateway import cli, envelope, keys, log_entry, material, merkle, note, signature, statement, tiles
from gateway import config as configuration
from gateway.checkpoint import Checkpoint
from gateway.cli.development import Summary, free_ports, init_federation
from gateway.cli.verify import prover
from gateway.clock import to_micros
from gateway.config import NodeConfig
from gateway.directory import Directory, KeyEntry, Status, WitnessEntry
from gateway.envelope import Letter, ref_of
from gateway.formats import documents, transactions
from gateway.formats.documents import Document
from gateway.formats.page import pdf
from gateway.identity import Address
from gateway.note import NoteSignature
from gateway.signature import Domain
from gateway.signer import KeySigner, Signer
from gateway.trust import development
from gateway.trust.copy import GoodCopy
from tests import paperwork
from tests.federation import directory_of

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
            str(node.address.node): KeySigner(
                keys.load_signing_key(configuration.load(NodeConfig, node.config).signing_keys[0])
            )
            for node in self.fed.nodes
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

    def export(
        self,
        who: str = PROSECUTOR,
        terms: Terms | None = None,
        case_id: str = CASE,
        ask_node: AskNode | None = None,
        stamp: Stamp | None = None,
    ) -> bytes:
        me = self.person(who)
        copy = GoodCopy.read(material.load_participant(self.fed.config(who), lambda: self.now).config.directory.cache)
        assert copy is not None
        return export(me, case_id, terms or Terms(), copy.served(), self.prove, ask_node, stamp)

    def log_of(
        self,
        code: str,
        keep: Callable[[int], bool] = lambda _: True,
        hashed: Callable[[str, bytes], bytes] = log_entry.leaf_hash,
    ) -> AskNode:
        """Return what a node would answer of which log every entry that is asked for is in, and some more.

        Args:
            code: the node.
            keep: whether it is asked for by its number; the log lacks the others.
            hashed: what its entries are, by the node and what they are about.
        """

        def ask(entries: Sequence[log.LogEntry]) -> tuple[bytes, list[log.InclusionProof]]:
            leaves = [merkle.leaf_hash(b"something else")]
            places: list[int | None] = []
            for number, entry in enumerate(entries):
                places.append(len(leaves) if keep(number) else None)
                if keep(number):
                    leaves.append(hashed(f"{code}/node", self._about(entry)))
            made = Checkpoint(f"{code}.{self.fed.federation}/log", len(leaves), merkle.root(leaves))
            note = bytes(made.sign(self.nodes[code]))
            return note, [log.InclusionProof() if at is None else _proof(leaves, at) for at in places]

        return ask

    def _about(self, entry: log.LogEntry) -> bytes:
        if entry.HasField("envelope"):
            (raw,) = (
                each for each in self.sent.values() if ref_of(pb.Header.FromString(each.header)) == entry.envelope
            )
            return envelope.fingerprint(raw)
        said = (
            receipt.statement
            for who in self._people.values()
            for raw in self.sent.values()
            for receipt in who.maildir.receipts(ref_of(pb.Header.FromString(raw.header)))
        )
        return next(each for each in said if sha256(each).digest() == entry.receipt.digest)

    def id_of(self, called: str) -> str:
        return pb.Header.FromString(self.sent[called].header).id

    def stem(self, called: str) -> str:
        header = pb.Header.FromString(self.sent[called].header)
        return f"{header.sender.replace('/', '.')}.{header.id}"


def _proof(leaves: Sequence[bytes], at: int) -> log.InclusionProof:
    path = tiles.inclusion(lambda level, start, stop: leaves[start:stop] if level == 0 else [], at, len(leaves))
    return log.InclusionProof(index=at, leaf_hash=leaves[at], path=path)


def records(count: int) -> list[evidence.TransactionRecord]:
    return [*transactions.records(REAL[:count]).read]


COURT, SPARE = SigningKey(bytes(range(32))), SigningKey(bytes(range(1, 33)))


def witnessed(folder: Path, now: datetime) -> Made:
    """Return a freeze in a federation that wants two cosignatures.

    There are a court, node de, which had another key until an hour ago that is not trusted any more, and a node that is
    out.
    """

    def change(known: Directory) -> Directory:
        ee, de, fi = known.nodes
        lost = KeyEntry(
            public=bytes(SPARE.verify_key),
            not_before=now - timedelta(hours=3),
            not_trusted_after=now - timedelta(hours=1),
        )
        de = de.model_copy(update={"signing_keys": (*de.signing_keys, lost)})
        court = WitnessEntry(name="court.example/w1", public=bytes(COURT.verify_key), url="https://court.example")
        said = {"cosignatures": 2, "witnesses": (court,)}
        return known.model_copy(update={**said, "nodes": (ee, de, fi.model_copy(update={"status": Status.REVOKED}))})

    return freeze(folder, now, nodes=("ee", "de", "fi"), change=change)


def cosignatures(point: Checkpoint, made: Made) -> dict[str, tuple[str, str, int]]:
    """Return what may stand under a checkpoint of ee in the federation of `witnessed`.

    Returns:
        By what it is: the lines, the status of the check `log`, and how many have cosigned (0 if it fails).
    """
    at, domain = int(made.now.timestamp()), made.fed.federation
    before, after = at - 2 * 3600, at - 1800
    other = Checkpoint(point.origin, point.size + 1, point.root)
    abroad = Checkpoint(point.origin.replace("ee.", "de."), point.size, point.root)
    court, spare, stranger = KeySigner(COURT), KeySigner(SPARE), KeySigner(SigningKey(bytes(32)))

    def node(code: str, at: int = at, of: Checkpoint = point, name: str = "") -> str:
        return str(of.cosign(name or f"{code}.{domain}", made.nodes[code], at))

    def courts(by: Signer = court, of: Checkpoint = point, name: str = "court.example/w1") -> str:
        return str(of.cosign(name, by, at))

    def lost(at: int, of: Checkpoint = point) -> str:
        return str(of.cosign(f"de.{domain}", spare, at))

    def cut(line: str) -> str:
        said = note.parse_signature(line.removesuffix("\n"))
        return str(NoteSignature(said.name, said.key_id, said.value[:4]))

    passed, few, failed = "passed", "not-there", "failed"
    return {
        "nobody": ("", few, 0),
        "one of two": (node("de"), few, 1),
        "a node and a court": (node("de") + courts(), passed, 2),
        "in another order": (courts() + node("de"), passed, 2),
        "one cosigner twice": (node("de") + node("de", at + 5), few, 1),
        "of another size": (node("de") + courts(of=other), failed, 0),
        "of another log": (node("de") + courts(of=abroad), failed, 0),
        "by an unknown key in the name of a witness": (node("de") + courts(stranger), few, 1),
        "by a witness in an unknown name": (node("de") + courts(name="x.example"), few, 1),
        "by the own node": (node("de") + node("ee"), few, 1),
        "by the own node in its log's name": (node("de") + node("ee", name=point.origin), few, 1),
        "by a node that is out": (node("de") + node("fi"), few, 1),
        "by a lost key while it counted": (courts() + lost(before), passed, 2),
        "by a lost key": (courts() + lost(after), few, 1),
        "by a lost key of another size": (courts() + node("de") + lost(after, other), failed, 0),
        "by two keys of one node": (node("de") + lost(before), few, 1),
        "before the key began": (courts() + node("de", 1), few, 1),
        "the first line of a key counts": (courts() + node("de", 1) + node("de"), few, 1),
        "at no time": (courts() + node("de", 0), failed, 0),
        "after all time": (courts() + node("de", 1 << 63), failed, 0),
        "cut off": (courts() + cut(node("de")), failed, 0),
        "signed as a log signs": (node("de") + str(note.sign(str(point), "court.example/w1", court)), few, 1),
    }


def freeze(
    folder: Path,
    now: datetime,
    found: int = 5,
    nodes: Sequence[str] = ("ee", "de"),
    change: Callable[[Directory], Directory] | None = None,
) -> Made:
    """Return a freeze: drafted, countersigned, asked, granted, executed, with so many real transactions reported."""
    made = Made(init_federation(folder, nodes, free_ports(len(nodes)), now), now)
    if change is not None:
        development.sign_anew(folder, change(directory_of(folder, now)), now)
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


def attempted(folder: Path, now: datetime, *stated: tuple[str, pb.Milestone.ValueType]) -> Made:
    """Return a freeze that was first asked for without a countersignature, and what who stated of that."""
    made = freeze(folder, now)
    document, instrument = paperwork.request(), {"instrument": "eu-2018-1805"}
    made.compose("attempt", ids.KIND_FREEZE_REQUEST, PROSECUTOR, THEIR_CENTRAL, document, **instrument)
    raw = made.sent["attempt"]
    made.person(PROSECUTOR).maildir.keep_sent([raw])
    for who, milestone in stated:
        made.say(raw, milestone, who, PROSECUTOR)
    return made


# What a forger can do: without a key of the exporter, and with it.

Members = dict[str, bytes]


def listed(members: Mapping[str, bytes], said: Manifest) -> tuple[Members, Manifest]:
    """Return members with a manifest that names them."""
    members = {name: content for name, content in members.items() if name not in contents.UNLISTED}
    said = said.model_copy(update={"members": contents.members_of(members)})
    whole = {
        **members,
        archive.MIMETYPE: archive.MEDIA_TYPE,
        MANIFEST: said.raw,
        ASIC: contents.asic(said.members, said.raw),
    }
    return whole, said


def signed_anew(members: Mapping[str, bytes], said: Manifest, made: Made, key: SigningKey | None = None) -> bytes:
    whole, said = listed(members, said)
    by = key or made.person(PROSECUTOR).signing_key
    whole[SIGNATURE] = contents.signature_text(signature.sign(Domain.CASE_FILE, said.raw, said.exporter, by))
    return archive.pack(whole)


def made_again(members: Members, said: Manifest, made: Made) -> bytes:
    """Sign anew, with all that can be derived made to fit: the work of a careful forger with the exporter's key."""
    files = {name.removeprefix("directory/"): raw for name, raw in members.items() if name.startswith("directory/")}
    base = {name: raw for name, raw in members.items() if not name.startswith(("documents/", "records/"))}
    case = CaseFile.read(said, base, made.prove(files, said.exported_at))
    return signed_anew(base | derived.members(case), said, made)


def manifest_of(raw: bytes) -> Manifest:
    return Manifest.read(archive.unpack(raw)[MANIFEST])


def entry_changed(said: Manifest, envelope_id: str, **changes: Any) -> Manifest:
    entries = [each.model_copy(update=changes) if each.ref.id == envelope_id else each for each in said.envelopes]
    return said.model_copy(update={"envelopes": entries})


@contextmanager
def printed_once() -> Iterator[None]:
    """Set no page a second time: it takes half a second, and a page makes one print."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdf, "render", cache(pdf.render))
        yield


def run(*arguments: str | Path) -> tuple[int, Any]:
    """Return the status of a command, and what it says as JSON."""
    done = CliRunner().invoke(cli.commands, [*map(str, arguments), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)
