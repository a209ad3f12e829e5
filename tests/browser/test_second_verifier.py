"""The second verifier gives the same answers as the first, on files that hold and on files that were tampered with."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from nacl import bindings
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from nacl.utils import random as random_bytes
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2 as log
from tuf.api.metadata import MetaFile, Root, Timestamp

from clients.casefile import archive, checks, contents, logged, timestamp
from clients.casefile.checks import STEPS
from clients.casefile.contents import BODY, MANIFEST, SALT, SIGNATURE, TIMESTAMP, Manifest, Ref
from clients.casefile.export import Terms
from clients.casefile.logged import Proofs
from gateway import codec, ed25519, envelope, log_entry, merkle, signature, statement
from gateway.checkpoint import Checkpoint
from gateway.clock import system_clock, to_micros
from gateway.directory import FOREVER, MAX_PARTICIPANTS, ParticipantEntry, Status, WitnessEntry
from gateway.ed25519 import Check
from gateway.envelope import Draft, Letter
from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form
from gateway.formats.page import pdf
from gateway.identity import Address, Role
from gateway.signature import Domain
from gateway.trust import client
from tests import casefiles, registry, world
from tests.casefiles import (
    CASE,
    CENTRAL,
    PROSECUTOR,
    THEIR_CENTRAL,
    Made,
    entry_changed,
    listed,
    made_again,
    manifest_of,
    signed_anew,
)
from tests.javascript import PAGE, Tab, node, script, tab
from tests.registry import FOUNDERS, LATER, NEW_FOUNDERS, PUBLISHER, Registry
from tests.tsa import Authority
from tests.unit import test_directory_attacks as attacks
from tests.world import NOW

MADE_AGAIN: Final = {"derived", "report"}
"""What the second verifier cannot make again."""

OF_OTHERS: Final = ("directory/", "envelopes/", "receipts/", "opened/", "log/")
"""What begins so is somebody else's word than the exporter's."""

Answers = dict[str, str]
"""What came of the checks, by name."""

JUDGE: Final = """
const fs = require("fs");
const answers = [];
for (const { file, root } of given) {
  const [raw, trusted] = [file, root].map((path) => new Uint8Array(fs.readFileSync(path)));
  answers.push(await caseFile.verify(raw, trusted));
}
return answers;
"""


@dataclass(frozen=True)
class Answer:
    """What the second verifier said of a file."""

    holds: bool
    checks: list[dict[str, Any]]

    @property
    def statuses(self) -> Answers:
        return {each["name"]: each["status"] for each in self.checks}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch:
        # It takes half a second to set a print, of which the second verifier knows no more than how it is named.
        patch.setattr(pdf, "render", lambda page, *_: hashlib.sha256(repr(page).encode()).digest())
        yield casefiles.freeze(tmp_path_factory.mktemp("fed"), system_clock() - timedelta(hours=1))


@pytest.fixture(scope="module")
def raw(made: Made) -> bytes:
    return made.export(ask_node=made.log_of("ee"))


def judge(files: Mapping[str, bytes], root: Path, folder: Path) -> dict[str, Answer]:
    """Ask the second verifier about many files, in one process."""
    jobs = []
    for number, content in enumerate(files.values()):
        path = folder / f"{number}.zip"
        path.write_bytes(content)
        jobs.append({"file": str(path), "root": str(root)})
    answers = [Answer(each["holds"], each["checks"]) for each in node(JUDGE, jobs)]
    return dict(zip(files, answers, strict=True))


def first(raw: bytes, made: Made) -> Answers:
    return {each.name: each.status.value for each in checks.check(raw, made.prove)}


def without(answers: Answers) -> Answers:
    return {name: status for name, status in answers.items() if name not in MADE_AGAIN}


def compare(files: Mapping[str, bytes], made: Made, folder: Path) -> dict[str, Answer]:
    """Ask both about files and hold their answers together; return those of the second."""
    found = judge(files, made.fed.root, folder)
    differ = {
        what: (without(found[what].statuses), without(expected))
        for what, content in files.items()
        if without(found[what].statuses) != without(expected := first(content, made))
    }
    assert differ == {}
    return found


# What holds


def test_both_say_the_same_of_files_that_hold(made: Made, raw: bytes, tmp_path: Path) -> None:
    later = manifest_of(raw).model_copy(update={"software": "rogatory 99"})
    report = made.id_of("report")
    files = {
        "of the investigator": raw,
        "offline": made.export(),
        "of who countersigned": made.export(CENTRAL),
        "of the other side": made.export(THEIR_CENTRAL, ask_node=made.log_of("de")),
        "redacted": made.export(terms=Terms(redact=(report,)), ask_node=made.log_of("ee")),
        "withheld": made.export(terms=Terms(withhold=(report,)), ask_node=made.log_of("ee")),
        "partly in the log": made.export(ask_node=made.log_of("ee", lambda number: number != 3)),
        "by another version": signed_anew(archive.unpack(raw), later, made),
        "for somebody": made.export(
            terms=Terms(by='Märi "M" Tamm\n\u2028\U0001f600', purpose="\\ \t", authority="§ 1")
        ),
    }
    found = compare(files, made, tmp_path)
    assert all(each.holds for each in found.values())
    ours = found["of the investigator"]
    assert [(each["number"], each["name"]) for each in ours.checks] == [
        (n, name) for n, (name, _) in enumerate(STEPS, 1)
    ]
    assert {name for name, status in ours.statuses.items() if status == "not-there"} == {*MADE_AGAIN, "timestamp"}
    assert found["offline"].statuses["log"] == found["partly in the log"].statuses["log"] == "not-there"


# What does not


def test_nothing_that_a_stranger_changes_holds(made: Made, raw: bytes, tmp_path: Path) -> None:
    chance = Random(3)
    members, said = archive.unpack(raw), manifest_of(raw)
    files: dict[str, bytes] = {}
    for at in range(0, len(raw), len(raw) // 12):
        size = chance.randint(1, 64)
        files |= {
            f"flip at {at}": raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :],
            f"cut at {at}": raw[:at] + raw[at + size :],
            f"end at {at}": raw[:at],
            f"again at {at}": raw[: at + size] + raw[at:],
        }
    for name in sorted(members):
        flipped, other = _flipped(members[name], chance), chance.choice(sorted(members))
        if archive.MIMETYPE in (name, other):
            continue
        kind = chance.choice(("flipped", "dropped", "longer", "for another", "listed"))
        forged = {
            "flipped": members | {name: flipped},
            "dropped": {each: content for each, content in members.items() if each != name},
            "longer": members | {name: members[name] + b"\0"},
            "for another": members | {name: members[other], other: members[name]},
        }
        if kind == "listed" and name not in contents.UNLISTED:  # with a manifest that fits, which he cannot sign
            whole, _ = listed(members | {name: flipped}, said)
            files[f"{name} listed"] = archive.pack(whole | {SIGNATURE: members[SIGNATURE]})
        elif kind != "listed":
            files[f"{name} {kind}"] = archive.pack(forged[kind])
    files = {what: content for what, content in files.items() if content != raw}
    assert len(files) > 80
    found = compare(files, made, tmp_path)
    assert [what for what, answer in found.items() if answer.holds] == []


def test_exporter_changes_nothing_that_others_signed(made: Made, raw: bytes, tmp_path: Path) -> None:
    """Members flipped, dropped and swapped, under a manifest that fits and a good signature."""
    chance = Random(5)
    members, said = archive.unpack(raw), manifest_of(raw)
    names = [name for name in sorted(members) if name not in contents.UNLISTED]
    files: dict[str, bytes] = {}
    for name in names:
        other = chance.choice([each for each in names if members[each] != members[name]])
        done = {
            "flipped": members | {name: _flipped(members[name], chance)},
            "dropped": {each: content for each, content in members.items() if each != name},
            f"for {other}": members | {name: members[other], other: members[name]},
        }
        chosen = {chance.choice(("dropped", f"for {other}")), *(("flipped",) if name.startswith(OF_OTHERS) else ())}
        files |= {f"{name} {what}": signed_anew(done[what], said, made) for what in sorted(chosen)}
    found = compare(files, made, tmp_path)
    assert len(files) > 60
    # Only what can be made of the rest could be another: the first verifier makes it again.
    assert [what for what, answer in found.items() if answer.holds and what.startswith(OF_OTHERS)] == []
    assert [what for what, answer in found.items() if answer.holds and what.endswith("dropped")] == []


def _flipped(content: bytes, chance: Random) -> bytes:
    # Not the case of a letter: who writes a digest in capitals has changed nothing that is signed.
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(5)]) + content[at + 1 :]


def test_both_refuse_what_is_forged_with_care(made: Made, raw: bytes, tmp_path: Path) -> None:
    """As in tests/unit/test_case_file.py: by who has the exporter's key and makes everything else fit."""
    members, said = archive.unpack(raw), manifest_of(raw)
    body, salt = (f"opened/{made.stem('request')}{each}" for each in (BODY, SALT))
    one, two = (f"envelopes/{made.stem(each)}.pb" for each in ("decision", "report"))
    receipts = [each.name for each in said.receipts if each.envelope.id == made.id_of("request")][:2]
    bare = pb.SignedEnvelope.FromString(members[f"envelopes/{made.stem('request')}.pb"])
    del bare.signatures[1:]
    early = said.exported_us - int(timedelta(seconds=390) / timedelta(microseconds=1))
    years = int(timedelta(days=3650) / timedelta(microseconds=1))
    wrong = signature.sign(Domain.ENVELOPE, said.raw, said.exporter, made.person(PROSECUTOR).signing_key)
    files = {
        "text": made_again(members | {body: members[body].replace(b"went", b"came")}, said, made),
        "salt": made_again(members | {salt: members[f"opened/{made.stem('report')}{SALT}"]}, said, made),
        "text that nobody can read": signed_anew(members | {body: b"\xff" * 40}, said, made),
        "envelope dropped": _dropped(members, said, made.id_of("draft"), made),
        "envelopes swapped": signed_anew(members | {one: members[two], two: members[one]}, said, made),
        "receipts swapped": signed_anew(
            members | {receipts[0]: members[receipts[1]], receipts[1]: members[receipts[0]]}, said, made
        ),
        "receipt moved": _moved(members, said, made),
        "signature taken off": made_again(
            members | {f"envelopes/{made.stem('request')}.pb": bare.SerializeToString(deterministic=True)},
            entry_changed(said, made.id_of("request"), fingerprint=envelope.fingerprint(bare).hex()),
            made,
        ),
        "from before": made_again(members, said.model_copy(update={"exported_us": early}), made),
        "ten years early": signed_anew(
            members, said.model_copy(update={"exported_us": said.exported_us - years}), made
        ),
        "ten years late": signed_anew(members, said.model_copy(update={"exported_us": said.exported_us + years}), made),
        "signed by another": signed_anew(members, said, made, made.person(THEIR_CENTRAL).signing_key),
        "made by a stranger": signed_anew(
            members, said.model_copy(update={"exporter": "de/court"}), made, made.person("de/court").signing_key
        ),
        "another federation": signed_anew(members, said.model_copy(update={"federation": "other.test"}), made),
        "another domain": archive.pack(members | {SIGNATURE: contents.signature_text(wrong)}),
        "member more": signed_anew(members | {"extra.txt": b"x"}, said, made),
        "tables in part": signed_anew(
            {name: content for name, content in members.items() if not name.endswith("movements.csv")}, said, made
        ),
        "another fingerprint": signed_anew(
            members, entry_changed(said, made.id_of("report"), fingerprint=said.envelopes[0].fingerprint), made
        ),
        "case id less": signed_anew(members, said.model_copy(update={"case_ids": []}), made),
        "cited more": signed_anew(members, said.model_copy(update={"cited": [said.envelopes[0].ref]}), made),
        "format 2": _spelled(members, said.raw.replace(b'"format":1', b'"format":2'), made),
        "spelled otherwise": _spelled(members, said.raw.replace(b'"format":1', b'"format": 1'), made),
        "named twice": _spelled(members, said.raw.replace(b'"format":1', b'"format":1,"format":1'), made),
    }
    found = compare(files, made, tmp_path)
    assert [what for what, answer in found.items() if answer.holds] == []


def _dropped(members: Mapping[str, bytes], said: Manifest, gone: str, made: Made) -> bytes:
    kept = {name: content for name, content in members.items() if gone not in name}
    envelopes = [each for each in said.envelopes if each.ref.id != gone]
    receipts = [each for each in said.receipts if each.envelope.id != gone]
    return made_again(kept, said.model_copy(update={"envelopes": envelopes, "receipts": receipts}), made)


def _moved(members: Mapping[str, bytes], said: Manifest, made: Made) -> bytes:
    """Return the file with a receipt of one envelope filed under another."""
    about = Ref(sender=PROSECUTOR, id=made.id_of("request"))
    moved = next(each for each in said.receipts if each.envelope.id == made.id_of("report"))
    there = moved.model_copy(update={"envelope": about})
    members = {there.name if name == moved.name else name: content for name, content in members.items()}
    receipts = sorted((there if each is moved else each for each in said.receipts), key=lambda each: each.name)
    return made_again(members, said.model_copy(update={"receipts": receipts}), made)


def _spelled(members: dict[str, bytes], text: bytes, made: Made) -> bytes:
    """Return the file with other bytes as its manifest, and a good signature over them."""
    said = manifest_of(archive.pack(members))
    signed = signature.sign(Domain.CASE_FILE, text, said.exporter, made.person(PROSECUTOR).signing_key)
    asic = contents.asic(said.members, text)
    return archive.pack(members | {MANIFEST: text, SIGNATURE: contents.signature_text(signed), contents.ASIC: asic})


def with_receipt(made: Made, raw: bytes, receipt: pb.Receipt) -> bytes:
    """Return the file with one receipt more about the request."""
    members, said = archive.unpack(raw), manifest_of(raw)
    content = receipt.SerializeToString(deterministic=True)
    about = Ref(sender=PROSECUTOR, id=made.id_of("request"))
    entry = contents.Receipt(envelope=about, sha256=contents.digest(content), heard_us=None)
    receipts = sorted([*said.receipts, entry], key=lambda each: each.name)
    return signed_anew(members | {entry.name: content}, said.model_copy(update={"receipts": receipts}), made)


def test_both_ask_the_same_of_who_says_something_about_an_envelope(made: Made, raw: bytes, tmp_path: Path) -> None:
    now = to_micros(made.now - timedelta(minutes=2))

    def said(milestone: pb.Milestone.ValueType, issuer: str, recipient: str = "", **changes: Any) -> pb.Statement:
        fields: dict[str, Any] = {
            "envelope": envelope.ref_of(pb.Header.FromString(made.sent["request"].header)),
            "fingerprint": envelope.fingerprint(made.sent["request"]),
            "at_us": now,
        }
        return pb.Statement(milestone=milestone, issuer=issuer, recipient=recipient, **(fields | changes))

    def signed(*statements: pb.Statement, by: str = "") -> pb.Receipt:
        issuer = Address.parse(by or statements[0].issuer, allow_node=True)
        key = made.nodes[issuer.node] if issuer.is_node else made.person(str(issuer)).signing_key
        return statement.sign(statements, issuer, key)[0]

    accepted = said(pb.MILESTONE_ACCEPTED, "ee/node")
    batch = signed(accepted, said(pb.MILESTONE_ACCEPTED, "de/node"), said(pb.MILESTONE_ACCEPTED, "de/node", detail="x"))
    elsewhere, longer = pb.Receipt(), pb.Receipt()
    elsewhere.CopyFrom(batch)
    elsewhere.signature.batch.index = 1
    longer.CopyFrom(batch)
    longer.signature.batch.size = 4
    hidden = pb.Receipt(statement=accepted.SerializeToString() + b"\xf8\x7d\x01")
    hidden.signature.CopyFrom(
        signature.sign(Domain.STATEMENT, hidden.statement, "ee/node", made.nodes["ee"]),
    )
    right = {
        "accepted": signed(accepted),
        "in a batch": batch,
        "delivered": signed(said(pb.MILESTONE_DELIVERED, "de/node", THEIR_CENTRAL, detail="again")),
        "rejected": signed(said(pb.MILESTONE_REJECTED, THEIR_CENTRAL, THEIR_CENTRAL)),
        "refused at home": signed(said(pb.MILESTONE_REFUSED, "ee/node", code=ErrorCode.STALE)),
    }
    wrong = {
        "another place in the batch": elsewhere,
        "another size of the batch": longer,
        "something hidden": hidden,
        "a participant for a node": signed(said(pb.MILESTONE_DELIVERED, THEIR_CENTRAL, THEIR_CENTRAL)),
        "a node for a participant": signed(said(pb.MILESTONE_OPENED, "de/node", THEIR_CENTRAL)),
        "one for another": signed(said(pb.MILESTONE_OPENED, PROSECUTOR, THEIR_CENTRAL)),
        "a stranger opened it": signed(said(pb.MILESTONE_OPENED, "de/court", "de/court")),
        "the sender's node delivered it": signed(said(pb.MILESTONE_DELIVERED, "ee/node", THEIR_CENTRAL)),
        "nobody's copy": signed(said(pb.MILESTONE_EXPIRED, "de/node")),
        "a stranger's copy": signed(said(pb.MILESTONE_REFUSED, "de/node", "de/court")),
        "another fingerprint": signed(said(pb.MILESTONE_ACCEPTED, "ee/node", fingerprint=bytes(32))),
        "of another signer": signed(accepted, by="de/node"),
        "from after the file": signed(said(pb.MILESTONE_ACCEPTED, "ee/node", at_us=now + 8 * 60 * 10**6)),
        "from before the key": signed(said(pb.MILESTONE_ACCEPTED, "ee/node", at_us=1)),
        "of another domain": pb.Receipt(
            statement=accepted.SerializeToString(),
            signature=signature.sign(Domain.ENVELOPE, accepted.SerializeToString(), "ee/node", made.nodes["ee"]),
        ),
    }
    files = {what: with_receipt(made, raw, each) for what, each in (right | wrong).items()}
    found = compare(files, made, tmp_path)
    assert {what for what, each in found.items() if each.statuses["receipts"] == "passed"} == right.keys()


def with_envelope(made: Made, raw: bytes, more: pb.SignedEnvelope) -> bytes:
    """Return the file with one envelope more, sealed."""
    members, said = archive.unpack(raw), manifest_of(raw)
    header = pb.Header.FromString(more.header)
    entry = contents.Envelope(
        ref=Ref(sender=header.sender, id=header.id),
        fingerprint=envelope.fingerprint(more).hex(),
        state=contents.State.SEALED,
        recorded_us=None,
        reason="it was not sealed to its sender",
    )
    entries = sorted([*said.envelopes, entry], key=lambda each: each.ref.key)
    content = more.SerializeToString(deterministic=True)
    return signed_anew(members | {entry.name: content}, said.model_copy(update={"envelopes": entries}), made)


def test_both_ask_the_same_of_an_envelope(made: Made, raw: bytes, tmp_path: Path) -> None:
    now = made.now - timedelta(minutes=2)
    reader = bytes(PrivateKey.generate().public_key)

    def made_by(sender: str, *to: str, count: int = 1, at: datetime = now, attachments: bytes = b"") -> Any:
        letter = Letter(ids.KIND_SPONTANEOUS_INFORMATION, sender, to or (THEIR_CENTRAL,), CASE)
        drafts = [Draft(letter, b"text", (reader,), attachments)] * count
        key = made.person(sender).signing_key
        return envelope.compose_many(drafts, signing_key=key, now=at, random=random_bytes)[0].envelope

    def changed(change: Callable[[pb.SignedEnvelope], object], count: int = 1) -> pb.SignedEnvelope:
        whole: pb.SignedEnvelope = made_by(PROSECUTOR, count=count)
        change(whole)
        return whole

    def countersign(whole: pb.SignedEnvelope, who: str = CENTRAL, by: str = CENTRAL) -> None:
        whole.signatures.append(envelope.countersign(whole, who, made.person(by).signing_key))

    def swap(whole: pb.SignedEnvelope) -> None:
        countersign(whole)
        whole.signatures.reverse()

    right = {
        "one": made_by(PROSECUTOR),
        "of a batch": made_by(PROSECUTOR, count=5),
        "received": made_by(THEIR_CENTRAL, PROSECUTOR, CENTRAL),
        "countersigned": changed(countersign),
        "with attachments": made_by(
            PROSECUTOR,
            attachments=pb.Manifest(attachments=[pb.AttachmentRef(sha256=bytes(32), size=41)]).SerializeToString(),
        ),
    }
    wrong = {
        "not the exporter's": made_by(CENTRAL),
        "from after the file": made_by(PROSECUTOR, at=now + timedelta(minutes=8)),
        "from before the key": made_by(PROSECUTOR, at=now - timedelta(days=30)),
        "another payload": changed(lambda whole: setattr(whole, "sealed_payload", bytes(60))),
        "another slot": changed(lambda whole: whole.slots.append(pb.Slot(key_id=bytes(16), sealed=bytes(48)))),
        "attachments that nobody signed": changed(lambda whole: setattr(whole, "attachments", b"\n\x00")),
        "signed twice": changed(lambda whole: countersign(whole, PROSECUTOR, PROSECUTOR)),
        "countersigned by another key": changed(lambda whole: countersign(whole, CENTRAL, THEIR_CENTRAL)),
        "countersigner first": changed(swap),
        "another place in the batch": changed(lambda whole: setattr(whole.signatures[0].batch, "index", 1), count=5),
        "another size of the batch": changed(lambda whole: setattr(whole.signatures[0].batch, "size", 6), count=5),
        "a shorter path": changed(lambda whole: whole.signatures[0].batch.path.pop(), count=5),
        "no signature": changed(lambda whole: whole.ClearField("signatures")),
    }
    files = {what: with_envelope(made, raw, each) for what, each in (right | wrong).items()}
    found = compare(files, made, tmp_path)
    assert {what for what, each in found.items() if each.statuses["envelopes"] == "passed"} == right.keys()


def test_both_say_the_same_of_forged_checkpoints_and_proofs(made: Made, raw: bytes, tmp_path: Path) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    note = members[logged.CHECKPOINT]
    point = Checkpoint.parse(note.partition(b"\n\n")[0].decode() + "\n")
    ours, theirs = made.nodes["ee"], made.nodes["de"]
    notes = {
        "of another node": bytes(Checkpoint(point.origin.replace("ee.", "de."), point.size, point.root).sign(theirs)),
        "signed by another node": bytes(point.sign(theirs)),
        "no restoration": bytes(Checkpoint(f"{point.origin}/01", point.size, point.root).sign(ours)),
        "larger": bytes(Checkpoint(point.origin, point.size + 1, point.root).sign(ours)),
        "after a restoration": bytes(Checkpoint(f"{point.origin}/1", point.size, point.root).sign(ours)),
        "cosigned by a stranger": bytes(note) + str(point.cosign("witness.example", theirs, 1)).encode(),
        "control character": note.replace(b"\n\n", b"\n\x07\n", 1),
        "four lines": note.replace(b"\n\n", b"\nmore\n\n", 1),
        "no end": note[:-1],
        "empty": b"",
    }
    one, two, *rest = Proofs.read(members[logged.PROOFS]).proofs
    of_one = {"subject": one.subject}
    proofs = {
        "swapped": [one.model_copy(update={"subject": two.subject}), two.model_copy(update=of_one), *rest],
        "twice": [one, two.model_copy(update=of_one), *rest],
        "out of order": [two, one, *rest],
        "index": [one.model_copy(update={"index": 0}), two, *rest],
        "beyond": [*rest, one.model_copy(update={"index": 10**9})],
        "short": [one.model_copy(update={"path": one.path[:-1]}), two, *rest],
        "long": [one.model_copy(update={"path": one.path + one.path[:1]}), two, *rest],
        "stranger": [one.model_copy(update={"subject": "mimetype"}), two, *rest],
        "fewer": rest,
    }
    changed: dict[str, dict[str, bytes]] = {what: {logged.CHECKPOINT: content} for what, content in notes.items()}
    changed |= {what: {logged.PROOFS: Proofs(proofs=each).raw} for what, each in proofs.items()}
    changed |= {f"garbage {each!r}": {logged.PROOFS: each} for each in (b"", b"{}", b"[]", b'{"proofs":[{}]}')}
    files = {what: signed_anew(members | each, said, made) for what, each in changed.items()}
    for gone in logged.MEMBERS:
        files[f"without {gone}"] = signed_anew({n: c for n, c in members.items() if n != gone}, said, made)
    found = compare(files, made, tmp_path)
    assert {what for what, answer in found.items() if answer.holds} == {
        "after a restoration",
        "cosigned by a stranger",
        "fewer",
    }


def test_both_say_the_same_of_what_an_entry_may_be_the_hash_of(made: Made, tmp_path: Path) -> None:
    made_of: dict[str, Callable[[str, bytes], bytes]] = {
        "the node and the thing": log_entry.leaf_hash,
        "the thing alone, as at first": lambda _, about: merkle.leaf_hash(about),
        "another node": lambda _, about: log_entry.leaf_hash("de/node", about),
        "the node alone": lambda node, _: log_entry.leaf_hash(node, b""),
        "the node and the thing without lengths": lambda node, about: merkle.leaf_hash(node.encode() + about),
    }
    files = {what: made.export(ask_node=made.log_of("ee", hashed=hashed)) for what, hashed in made_of.items()}
    found = compare(files, made, tmp_path)
    assert {what for what, answer in found.items() if answer.holds} == {
        "the node and the thing",
        "the thing alone, as at first",
    }


def test_both_ask_no_proof_of_what_the_node_refused_and_of_nothing_else(tmp_path: Path) -> None:
    refused, accepted = pb.MILESTONE_REFUSED, pb.MILESTONE_ACCEPTED
    told = {
        "refused": ([("ee/node", refused)], "passed"),
        "refused twice": ([("ee/node", refused), ("ee/node", refused)], "passed"),
        "nothing": ([], "not-there"),
        "refused elsewhere": ([("de/node", refused)], "not-there"),
        "refused here and elsewhere": ([("ee/node", refused), ("de/node", refused)], "not-there"),
        "refused, then accepted": ([("ee/node", refused), ("ee/node", accepted)], "not-there"),
        "accepted, then refused": ([("ee/node", accepted), ("ee/node", refused)], "not-there"),
    }
    for number, (what, (stated, status)) in enumerate(told.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = casefiles.attempted(folder / "fed", system_clock() - timedelta(hours=1), *stated)

        def ask(entries: Sequence[log.LogEntry], made: Made = made) -> tuple[bytes, Sequence[log.InclusionProof]]:
            lacking = {at for at, each in enumerate(entries) if each.envelope.id == made.id_of("attempt")}
            return made.log_of("ee", lambda at: at not in lacking)(entries)

        found = compare({what: made.export(ask_node=ask)}, made, folder)
        assert found[what].statuses["log"] == status, what


def test_both_let_a_key_have_the_same_names(made: Made, raw: bytes, tmp_path: Path) -> None:
    """Also a stranger's, whose line nobody can check."""
    members, said = archive.unpack(raw), manifest_of(raw)
    value = base64.b64encode(bytes(80)).decode()
    spaces = [chr(each) for each in range(0x20, 0x10000) if chr(each).isspace()]
    names = [
        *(f"a{each}b" for each in (*spaces, "\ufeff", "\u180e", "\u200b", "\x7f", "+")),
        "\U0001f600" * 255,
        "a" * 256,
    ]
    files = {
        repr(name): signed_anew(
            members | {logged.CHECKPOINT: members[logged.CHECKPOINT] + f"\N{EM DASH} {name} {value}\n".encode()},
            said,
            made,
        )
        for name in names
    }
    found = compare(files, made, tmp_path)
    fit = ("a\ufeffb", "a\u180eb", "a\u200bb", "a\x7fb", "\U0001f600" * 255)
    assert {what for what, answer in found.items() if answer.holds} == {*map(repr, fit)}


def test_both_count_the_same_cosignatures(tmp_path: Path) -> None:
    made = casefiles.witnessed(tmp_path / "fed", system_clock() - timedelta(hours=1))
    raw = made.export(ask_node=made.log_of("ee"))
    members, said = archive.unpack(raw), manifest_of(raw)
    note = members[logged.CHECKPOINT]
    point = Checkpoint.parse(note.partition(b"\n\n")[0].decode() + "\n")
    expected = casefiles.cosignatures(point, made)
    changed = {what: members | {logged.CHECKPOINT: note + each[0].encode()} for what, each in expected.items()}
    files = {what: signed_anew(each, said, made) for what, each in changed.items()}
    found = compare(files, made, tmp_path)
    assert {what: answer.statuses["log"] for what, answer in found.items()} == {
        what: status for what, (_, status, _) in expected.items()
    }
    for what, (_, status, count) in expected.items():
        (detail,) = (each["detail"] for each in found[what].checks if each["name"] == "log")
        assert ("BAD_SIGNATURE" if status == "failed" else f"({count} of 2 wanted)") in detail, (what, detail)
        if status == "passed":
            assert detail.endswith("cosigned by court.example/w1, de.rogatory.test (2 of 2 wanted)")


def test_both_refuse_what_hides_or_has_no_end(made: Made, raw: bytes, tmp_path: Path) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    text = members[logged.CHECKPOINT].partition(b"\n\n")[0].decode() + "\n"
    point = Checkpoint.parse(text)
    many = [logged.Proof(index=at, path=[], subject=f"a{at}") for at in range(10_000)]
    changed = {
        "hidden": {"directory/report.html": b"<script>alert(1)</script>"},
        "hidden deeper": {"directory/targets/participants/report.html": b"x"},
        "a device": {"directory/CON": b"x"},
        "another digest": {f"directory/targets/{'0' * 64}.federation.json": b"x"},
        "another list": {f"directory/targets/participants/{'0' * 64}.ee.json": b"x"},
        "ten digits": {
            logged.CHECKPOINT: bytes(
                Checkpoint(f"{point.origin}/1000000000", point.size, point.root).sign(made.nodes["ee"])
            )
        },
        "proofs": {logged.PROOFS: Proofs(proofs=many).raw},
        "a text": {f"opened/{made.stem('request')}.body": bytes(16 << 20)},
    }
    files = {what: signed_anew(members | each, said, made) for what, each in changed.items()}
    files["signature"] = archive.pack(members | {contents.SIGNATURE: b"[" + b"[]," * 400 + b"[]]"})
    lists: dict[str, list[Any]] = {
        "case_ids": [""] * (contents.MAX_NAMED + 1),
        "absent": [contents.NO_LOG] * (contents.MAX_ABSENT + 1),
    }
    files |= {
        f"lists {name}": signed_anew(members, said.model_copy(update={name: each}), made)
        for name, each in lists.items()
    }
    found = compare(files, made, tmp_path)
    assert [what for what, answer in found.items() if answer.holds] == []
    own = hashlib.sha256(b"x").hexdigest()
    # What no version in force names may lie there, under the name that it has: a list that was refused, an older one.
    more = members | {f"directory/targets/participants/{own}.ee.json": b"x"}
    assert compare({"own": signed_anew(more, said, made)}, made, tmp_path)["own"].holds


def test_both_say_the_same_of_timestamps_that_nobody_checks(made: Made, raw: bytes, tmp_path: Path) -> None:
    authority = Authority()

    def stamp(content: bytes) -> bytes:
        asked = timestamp.question(content)
        return timestamp.accept(authority.answer(asked.as_bytes()), asked, content, [authority.root])

    stamped, bare = archive.unpack(made.export(stamp=stamp)), archive.unpack(raw)
    token = stamped[TIMESTAMP]
    forged = {
        "taken out": {name: content for name, content in stamped.items() if name != TIMESTAMP},
        "put in": bare | {TIMESTAMP: stamp(bare[MANIFEST])},
        "of another file": stamped | {TIMESTAMP: stamp(bare[MANIFEST])},
        "cut": stamped | {TIMESTAMP: token[:-1]},
        "longer": stamped | {TIMESTAMP: token + b"\0"},
        "empty": stamped | {TIMESTAMP: b""},
        "with words": stamped | {TIMESTAMP: authority.answer(timestamp.question(stamped[MANIFEST]).as_bytes())},
        "no token": stamped | {TIMESTAMP: Authority(status="rejection").answer(b"")},
        "too large": stamped | {TIMESTAMP: b"\x30" * (timestamp.MAX_BYTES + 1)},
    }
    stated = f"{timestamp.stated(token, stamped[MANIFEST]):%Y%m%d%H%M%SZ}".encode()
    for never in (b"20260230120000Z", b"20261301120000Z", b"20261122240000Z", b"20261122235960Z", b"00000101000000Z"):
        forged[f"from {never!r}"] = stamped | {TIMESTAMP: token.replace(stated, never)}
    files = {what: archive.pack(members) for what, members in forged.items()}
    found = compare(files | {"as it was made": archive.pack(stamped)}, made, tmp_path)
    assert {what for what, each in found.items() if each.holds} == {"as it was made"}
    told = found["as it was made"].checks[-1]
    seen = timestamp.stated(token, stamped[MANIFEST])
    assert (told["status"], f"{seen:%Y-%m-%d %H:%M:%S} UTC" in told["detail"]) == ("not-there", True)


TOLD: Final = """
return given.map((token) => {
  try {
    return caseFile.statedTime(bytes(token), bytes("78"));
  } catch (error) {
    return error.code ?? error.message;
  }
});
"""
Tree: TypeAlias = list[tuple[int, "bytes | Tree"]]
STRANGE: Final[Tree] = [
    *((tag, b"") for tag in (0x03, 0x04, 0x05, 0x30, 0x31, 0xA0, 0xA1, 0x80)),
    *((0x02, content) for content in (b"", b"\0", b"\1", b"\xff", b"\0\x7f", b"\0\x80", b"\1" * 9)),
    *((0x06, content) for content in (b"", b"\x2a\x03", b"\x80\1", b"\x2a\x83", b"\x2a\x84" + b"\x80" * 17 + b"\0")),
    *((0x01, content) for content in (b"\0", b"\1", b"\xff")),
    *((0x13, b"a*"), (0x1E, b"\xd8\0"), (0x1E, b"\xd8\0\xdc\0"), (0x1C, b"\0\x11\0\0"), (0x17, b"260230000000Z")),
    *((0x18, b"20260101000000" + end) for end in (b"Z", b".5Z", b".50Z", b".000000001Z", b".0000000001Z", b"")),
    *((0x30, Tree([(tag, content)])) for tag in (0x80, 0x81) for content in (b"\0", b"\1", b"\3\xe7", b"\3\xe8")),
    *((0xA0, Tree([(tag, content)])) for tag in (0x82, 0x86, 0x88) for content in (b"a", b"\xff", b"\x2a\3")),
    (0xA1, [(0x30, [(0x06, b"\x2a\3"), (0x04, b"")])]),
]
"""Of what DER, RFC 3161 and what it is built of allow somewhere, and what they allow nowhere."""


def tree_of(raw: bytes) -> Tree:
    """Return the elements in some DER, those in the token's octet string too."""
    found: Tree = []
    while raw:
        count = max(0, raw[1] - 0x80)
        size = int.from_bytes(raw[2 : 2 + count], "big") if count else raw[1]
        tag, content, raw = raw[0], raw[2 + count : 2 + count + size], raw[2 + count + size :]
        is_known = tag & 0x20 or (tag == 0x04 and content[:2] == b"\x30\x5a")
        found.append((tag, tree_of(content) if is_known else content))
    return found


def der_of(tree: Tree) -> bytes:
    whole = b""
    for tag, inside in tree:
        content = inside if isinstance(inside, bytes) else der_of(inside)
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
        whole += (
            bytes([tag]) + (size.rjust(1, b"\0") if len(content) < 0x80 else bytes([0x80 + len(size)]) + size) + content
        )
    return whole


def places(tree: Tree) -> Iterator[tuple[Tree, int]]:
    for at, (_, inside) in enumerate(tree):
        yield tree, at
        if not isinstance(inside, bytes):
            yield from places(inside)


def changed_tokens(token: bytes) -> Iterator[bytes]:
    """Yield a token with each byte changed, and with each element changed, moved, left out or beside another."""
    for at in range(len(token)):
        yield from (token[:at] + bytes([token[at] ^ bit]) + token[at + 1 :] for bit in (1, 0x20, 0x80))
    assert der_of(tree_of(token)) == token
    for number in range(len([*places(tree_of(token))])):
        for strange in STRANGE:
            for skipped in (0, 1):
                tree = tree_of(token)
                where, at = [*places(tree)][number]
                where[at : at + skipped] = [strange]
                yield der_of(tree)
            tree = tree_of(token)
            where, at = [*places(tree)][number]
            where[at] = (where[at][0], strange[1])
            yield der_of(tree)
        for times in (0, 2):
            tree = tree_of(token)
            where, at = [*places(tree)][number]
            where[at : at + 1] = [where[at]] * times
            yield der_of(tree)


def test_both_read_the_same_tokens() -> None:
    """Also in what no signature covers: a token that one of the two takes for none is no proof before a court."""
    authority, asked = Authority(), timestamp.question(b"x")
    tokens = [*changed_tokens(timestamp.accept(authority.answer(asked.as_bytes()), asked, b"x", [authority.root]))]

    def stated(token: bytes) -> str:
        try:
            at = timestamp.stated(token, b"x")
        except Refusal as error:
            return error.code.name
        return f"{at.year:04}-{at:%m-%d %H:%M:%S} UTC"

    told = node(TOLD, [token.hex() for token in tokens])
    expected = [stated(token) for token in tokens]
    assert [(t.hex(), a, b) for t, a, b in zip(tokens, told, expected, strict=True) if a != b] == []
    assert sum(each.endswith("UTC") for each in expected) > 400
    assert sum(each == ErrorCode.MALFORMED.name for each in expected) > 4_000
    assert ErrorCode.CONTENT_MISMATCH.name in expected


def test_root_of_another_federation_proves_nothing(made: Made, raw: bytes, tmp_path: Path) -> None:
    other = casefiles.freeze(tmp_path, system_clock())
    for root in (other.fed.root, PAGE, made.fed.root.with_name("empty.json")):
        root.touch()
        (answer,) = judge({"": raw}, root, tmp_path).values()
        assert [each["name"] for each in answer.checks if each["status"] == "passed"] == ["archive", "manifest"]


# The directory

PROVE: Final = """
const told = (key) => [String(key.from), String(key.until), String(key.distrusted)];
return given.map(({ files, root, at }) => {
  try {
    const named = new Map(Object.entries(files).map(([name, raw]) => [name, bytes(raw)]));
    const { federation, version, known } = caseFile.proveDirectory(named, bytes(root), BigInt(at));
    return { federation, version, keys: Object.fromEntries([...known].map(([name, key]) => [name, told(key)])) };
  } catch (error) {
    if (error.code !== "BAD_DIRECTORY") throw error;
    return null;
  }
});
"""


def rotated_root(made: Registry) -> None:
    made.newer()
    made.forge("root", registry.nothing, *FOUNDERS[1:])
    made.forge("root", registry.nothing, FOUNDERS[0], FOUNDERS[2])


def root_without_an_end(made: Registry) -> None:
    made.forge("root", registry.nothing, *FOUNDERS)
    made.newest("root").write_bytes(made.newest("root").read_bytes()[:-9])


def key_ended(made: Registry) -> None:
    newer_list(made, lambda entry: with_key(entry, not_after=LATER, not_trusted_after=LATER))
    made.publish()


def with_key(entry: ParticipantEntry, **changes: Any) -> ParticipantEntry:
    """Return the entry with a change to its first signing key."""
    first, *rest = entry.signing_keys
    return entry.model_copy(update={"signing_keys": (first.model_copy(update=changes), *rest)})


def newer_list(made: Registry, change: Callable[[ParticipantEntry], ParticipantEntry]) -> None:
    """Put a next list of a node beside the one that is published, with another first entry."""
    first, *rest = made.list_of("ee").participants
    made.put_list("ee", [change(first), *rest])


def unpublished(change: Callable[[ParticipantEntry], ParticipantEntry]) -> Callable[[Registry], None]:
    """The node has said more since than what is published: the older list unsays that."""
    return lambda made: newer_list(made, change)


def list_of_participants(count: int) -> Callable[[Registry], None]:
    """Have a node list so many, written as shortly as can be; it has not said anything before."""

    def attack(made: Registry) -> None:
        first = world.participant("ee/fiu", Role.FIU).model_dump_json()
        short = ",".join([first, *(f'{{"address":"ee/a{number:x}","roles":["fiu"]}}' for number in range(count - 1))])
        path = registry.path_of("ee")
        made.sign_list_of_anything("ee", path, f'{{"node":"ee","participants":[{short}]}}'.encode())
        for older in made.metadata.glob("1.node-ee.json"):
            older.unlink()

    return attack


def founders_replaced_without_the_new_ones(made: Registry) -> None:
    def change(signed: Root) -> None:
        for each in registry.public(NEW_FOUNDERS):
            signed.add_key(each, "root")
        for each in registry.public(FOUNDERS):
            signed.revoke_key(each.keyid, "root")

    made.forge("root", change, *FOUNDERS)


def snapshot_without_a_digest(made: Registry) -> None:
    made.forge("timestamp", _name_snapshot(_number(made)), PUBLISHER)


def snapshot_of_another_version(made: Registry) -> None:
    number, content = _number(made) + 1, made.newest("snapshot").read_bytes()
    (made.metadata / f"{number}.snapshot.json").write_bytes(content)
    made.forge("timestamp", _name_snapshot(number), PUBLISHER)


def _number(made: Registry) -> int:
    return int(made.newest("snapshot").name.partition(".")[0])


def _name_snapshot(number: int) -> Callable[[Timestamp], None]:
    def change(signed: Timestamp) -> None:
        signed.snapshot_meta = MetaFile(number)

    return change


def witnessed(*names: str, public: bytes = bytes(32), **changes: Any) -> Callable[[Registry], None]:
    """Have the founders list witnesses of those names, whatever else they say of them."""

    def attack(made: Registry) -> None:
        entries = [
            WitnessEntry.model_construct(
                **{"name": name, "public": bytes([*public[:-1], public[-1] ^ at]), "url": "https://w.test/x"} | changes
            )
            for at, name in enumerate(names)
        ]
        said = world.DIRECTORY.split()[0].model_copy(update={"cosignatures": 2, "witnesses": tuple(entries)})
        made.repository.propose_federation(said, {}, NOW)
        made.sign(*FOUNDERS[:2])
        made.publish(NOW)

    return attack


DIRECTORIES: Final[dict[str, Callable[[Registry], None]]] = {
    "as it is": lambda made: None,
    "witnesses": witnessed("w.test/w1", "w.test/w2"),
    "witness twice": witnessed("w.test/w1", "w.test/w1"),
    "node as a witness": witnessed("ee.rogatory.test"),
    "key of a node as a witness": witnessed("w.test/w1", public=bytes(world.signing_key("ee/node").verify_key)),
    "witness without a name": witnessed("w test"),
    "witness without TLS": witnessed("w.test/w1", url="http://w.test"),
    "too many witnesses": witnessed(*(f"w.test/w{number}" for number in range(17))),
    "newer": Registry.newer,
    "rotated root": rotated_root,
    "root without an end": root_without_an_end,
    "key ended": key_ended,
    "key ended since": unpublished(lambda entry: with_key(entry, not_after=LATER)),
    "key distrusted since": unpublished(lambda entry: with_key(entry, not_trusted_after=LATER)),
    "certificate out since": unpublished(
        lambda entry: entry.model_copy(update={"revoked_certificates": frozenset({"0" * 64})})
    ),
    "taken in anew since": unpublished(lambda entry: entry.model_copy(update={"certificates_not_before": NOW})),
    "out since": unpublished(lambda entry: entry.model_copy(update={"status": Status.REVOKED})),
    "renamed since": unpublished(lambda entry: entry.model_copy(update={"legal_name": "Another Name"})),
    "founders replaced": founders_replaced_without_the_new_ones,
    "snapshot without a digest": snapshot_without_a_digest,
    "snapshot of another version": snapshot_of_another_version,
    "rolled-back list": attacks.rolled_back("node-ee"),
    **{
        each.__name__: each
        for each in (
            attacks.rolled_back_snapshot,
            attacks.node_left_out_of_the_snapshot,
            attacks.mixed_snapshot,
            attacks.mixed_targets,
            attacks.mixed_list,
            attacks.expired_timestamp,
            attacks.expired_snapshot,
            attacks.expired_targets,
            attacks.expired_root,
            attacks.root_one_signature_short,
            attacks.targets_one_signature_short,
            attacks.targets_signed_twice_by_one_founder,
            attacks.targets_signed_by_nodes,
            attacks.root_signed_by_its_new_keys_alone,
            attacks.root_signed_by_its_old_keys_alone,
            attacks.root_that_skips_a_version,
            attacks.threshold_lowered_by_one_founder,
            attacks.timestamp_by_an_unknown_key,
            attacks.snapshot_by_an_unknown_key,
            attacks.snapshot_by_a_founder,
            attacks.oversized_timestamp,
            attacks.oversized_root,
            attacks.oversized_list,
            attacks.altered_federation,
            attacks.altered_list,
            attacks.hidden_list,
            attacks.hidden_snapshot,
            attacks.no_metadata,
            attacks.nested_without_end,
            attacks.one_role_for_another,
            attacks.federation_list_signed_by_a_node,
            attacks.node_twice,
            attacks.key_of_a_node_twice,
            attacks.list_by_an_unknown_key,
            attacks.list_by_another_node,
            attacks.foreign_participant,
            attacks.list_of_another_node,
            attacks.participant_twice,
            attacks.expired_list,
            attacks.list_passed_on,
            attacks.participant_unlisted,
            attacks.key_unlisted,
            attacks.key_begins_later,
            attacks.key_begins_earlier,
            attacks.key_trusted_again,
            *attacks.ROLLING_BACK,
        )
    },
    "as many as can be listed": list_of_participants(MAX_PARTICIPANTS),
    "more than can be listed": list_of_participants(MAX_PARTICIPANTS + 1),
    "hash not known": attacks.list_named_by("sha512"),
    "hash beside it": attacks.list_named_by("sha256", "sha224"),
}


def test_both_prove_the_same_directory_or_none(tmp_path: Path) -> None:
    jobs, expected = [], []
    (tmp_path / "template").mkdir()
    template = registry.make(tmp_path / "template")
    template.load()
    for number, attack in enumerate(DIRECTORIES.values()):
        folder = tmp_path / str(number)
        made = Registry(shutil.copytree(template.folder, folder))
        attack(made)
        base = folder / "repository"
        files = {
            str(path.relative_to(base)): path.read_bytes()
            for path in base.rglob("*.json")
            if path.is_relative_to(made.metadata) or path.is_relative_to(made.targets)
        }
        root = (folder / "root.json").read_bytes()
        for at in (LATER, LATER + timedelta(days=20), LATER + timedelta(days=400)):
            jobs.append(
                {
                    "files": {name: raw.hex() for name, raw in files.items()},
                    "root": root.hex(),
                    "at": str(to_micros(at)),
                }
            )
            expected.append(_proven(files, root, at))
    found = node(PROVE, jobs)
    names = [(what, days) for what in DIRECTORIES for days in (0, 20, 400)]
    assert {
        name: (theirs, ours) for name, theirs, ours in zip(names, found, expected, strict=True) if theirs != ours
    } == {}
    assert sum(each is None for each in expected) > len(DIRECTORIES)
    assert sum(each is not None for each in expected) > 20


def _proven(files: Mapping[str, bytes], root: bytes, at: datetime) -> object:
    try:
        found = client.prove(files, root, at).directory
    except Refusal:
        return None
    return {
        "federation": found.federation,
        "version": found.version,
        "keys": {
            f"{who} {key_id.hex()}": [
                str(to_micros(key.not_before)),
                str(to_micros(key.not_after)),
                str(to_micros(key.not_trusted_after or FOREVER)),
            ]
            for (who, key_id), key in found._signing.items()
        },
    }


# The ground on which it stands


def test_digests_are_those_of_hashlib() -> None:
    chance = Random(1)
    texts = [chance.randbytes(size) for size in (*range(270), 1000, 65_537)]
    found = node(
        "return given.map((each) => [caseFile.sha256, caseFile.sha512].map((f) => caseFile.hex(f(bytes(each)))))",
        [each.hex() for each in texts],
    )
    assert found == [[hashlib.sha256(each).hexdigest(), hashlib.sha512(each).hexdigest()] for each in texts]


ORDER: Final = 2**252 + 27742317777372353535851937790883648493
TORSION: Final = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
"""A point of order eight."""


def test_signatures_are_taken_and_refused_as_libsodium_does() -> None:
    chance = Random(2)
    key = SigningKey(chance.randbytes(32))
    public, cases = bytes(key.verify_key), []
    for size in (0, 1, 63, 64, 200):
        message = chance.randbytes(size)
        signed = key.sign(message).signature
        cases.append(Check(public, signed, message))
        for where in (0, 31, 32, 62):
            broken = bytearray(signed)
            broken[where] ^= 1
            cases.append(Check(public, bytes(broken), message))
        # The same number, one order higher; once this was another valid signature.
        high = int.from_bytes(signed[32:], "little") + ORDER
        cases.append(Check(public, signed[:32] + high.to_bytes(32, "little"), message))
        cases += [Check(public, signed[:-1], message), Check(public[:-1], signed, message)]
    small = [_point(y) for y in (0, 1, P - 1, P, P + 1)] + [TORSION]
    small += [each[:-1] + bytes([each[-1] | 0x80]) for each in small]
    for point in small:
        for r in (*small, bytes(32), public):
            cases.append(Check(point, r + bytes(32), b"m"))
            cases.append(Check(public, r + bytes(32), b"m"))
    cases += [Check(_point(P + y), bytes(64), b"m") for y in range(2, 19)]
    cases += [_mixed(number) for number in range(24)]
    cases.append(_without_chance())
    expected = [ed25519.holds(each) for each in cases]
    assert sum(expected) > 5
    found = node(
        "return given.map((each) => caseFile.isSigned(...each.map(bytes)))", [[p.hex() for p in each] for each in cases]
    )
    assert found == expected


P: Final = 2**255 - 19


def _point(y: int) -> bytes:
    return y.to_bytes(32, "little")


def _mixed(number: int) -> Check:
    """A signature by a key outside of the main group, which holds where the cofactor is multiplied away."""
    a, r = 12345678901234567890 + number, 987654321987654321
    base = SigningKey(bytes(32))  # its public key is of the main group; multiples of it are made by adding
    public = bindings.crypto_core_ed25519_add(_multiple(base, a), TORSION)
    point = _multiple(base, r)
    h = int.from_bytes(hashlib.sha512(point + public + b"m").digest(), "little") % ORDER
    scalar = int.from_bytes(_clamped(base), "little") % ORDER
    s = (r + h * a) * scalar % ORDER
    return Check(public, point + s.to_bytes(32, "little"), b"m")


def _without_chance() -> Check:
    """A signature whose R is nothing: the equation holds, and libsodium refuses it."""
    key, r = SigningKey(bytes(32)), _point(1)
    public = bytes(key.verify_key)
    h = int.from_bytes(hashlib.sha512(r + public + b"m").digest(), "little") % ORDER
    s = h * int.from_bytes(_clamped(key), "little") % ORDER
    return Check(public, r + s.to_bytes(32, "little"), b"m")


def _clamped(key: SigningKey) -> bytes:
    raw = bytearray(hashlib.sha512(bytes(key)).digest()[:32])
    raw[0] &= 248
    raw[31] = raw[31] & 63 | 64
    return bytes(raw)


def _multiple(key: SigningKey, times: int) -> bytes:
    found, power = None, bytes(key.verify_key)
    for bit in bin(times)[:1:-1]:
        if bit == "1":
            found = power if found is None else bindings.crypto_core_ed25519_add(found, power)
        power = bindings.crypto_core_ed25519_add(power, power)
    assert found is not None
    return found


TYPES: Final = {
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
}


def test_messages_are_those_of_the_contract_with_all_their_rules() -> None:
    kinds = (pb.SignedEnvelope, pb.Header, pb.Signature, pb.BatchPath, pb.Slot, pb.Statement, pb.Receipt)
    shapes: list[Descriptor] = [each.DESCRIPTOR for each in (*kinds, ids.EnvelopeRef, evidence.Money)]
    assert node("return caseFile.MESSAGES", None) == {
        each.name: [_field(field) for field in each.fields] for each in shapes
    }


def _field(field: FieldDescriptor) -> list[object]:
    kind = field.message_type.name if field.message_type is not None else TYPES[field.type]
    rules: dict[str, object] = {}
    for option, value in field.GetOptions().ListFields():
        assert option.name == "field"  # the rules of protovalidate
        rules = _rules(value)
    if field.enum_type is not None:
        numbers = [each.number for each in field.enum_type.values]
        of_one = rules.get("items", rules)
        assert isinstance(of_one, dict)
        assert of_one.pop("defined_only")
        banned = of_one.pop("not_in", [])
        of_one["values"] = [number for number in numbers if number not in banned]
    label = "repeated" if field.is_repeated else "optional" if field.has_presence and field.message_type is None else ""
    return [field.number, field.name, kind, rules, *filter(None, [label])]


def _rules(rules: Message) -> dict[str, object]:
    """Return rules by name, without the level that names the type. Large numbers are texts, as in JSON."""
    found: dict[str, object] = {}
    for rule, value in rules.ListFields():
        if rule.name == "items":
            found["items"] = _rules(value)
        elif rule.message_type is not None:
            found |= _rules(value)
        elif rule.is_repeated:
            found[rule.name] = [*value]
        else:
            found[rule.name] = str(value) if isinstance(value, int) and value > 2**53 else value
    return found


READ: Final = """
return given.map(([kind, raw]) => {
  try {
    kind === "manifest" ? caseFile.readManifest(bytes(raw)) : caseFile.parse(kind, bytes(raw));
    return true;
  } catch (error) {
    if (error.code === undefined) throw error;
    return false;
  }
});
"""


def test_both_read_the_same_messages_and_no_others(made: Made) -> None:
    """Messages with bytes changed, doubled and dropped, and fields set, joined and written twice."""
    chance = Random(8)
    header = pb.Header.FromString(made.sent["request"].header)
    about = pb.Statement(
        envelope=envelope.ref_of(header),
        fingerprint=bytes(32),
        milestone=pb.MILESTONE_OPENED,
        issuer=THEIR_CENTRAL,
        at_us=1,
        recipient=THEIR_CENTRAL,
        detail="d\u00e4",
        others=[envelope.ref_of(header)] * 2,
    )
    batch = pb.BatchPath(index=1, size=3, path=[bytes(32), bytes([1] * 32)])
    signed = pb.Signature(signer="ee/node", key_id=bytes(16), signature=bytes(64), batch=batch)
    samples: list[Message] = [
        *made.sent.values(),
        *(pb.Header.FromString(each.header) for each in made.sent.values()),
        about,
        pb.Receipt(statement=about.SerializeToString(), signature=signed),
    ]
    cases: list[tuple[type[Message], bytes]] = []
    for sample in samples:
        raw = sample.SerializeToString(deterministic=True)
        cases += [
            (type(sample), raw),
            (type(sample), raw + raw),
            (type(sample), b""),
            (type(sample), raw + b"\x88\x7d\x01"),
        ]
        for _ in range(120):
            at, size = chance.randrange(len(raw)), chance.randint(1, 12)
            changed = bytes([raw[at] ^ 1 << chance.randrange(8)])
            cases += [
                (type(sample), raw[:at] + changed + raw[at + 1 :]),
                (type(sample), raw[:at] + raw[at + size :]),
                (type(sample), raw[: at + size] + raw[at:]),
            ]
        cases += [(type(sample), each.SerializeToString(deterministic=True)) for each in _varied(sample, chance)]
    expected = [_reads(kind, raw) for kind, raw in cases]
    assert 40 < sum(expected) < len(cases) - 1000
    found = node(READ, [[kind.DESCRIPTOR.name, raw.hex()] for kind, raw in cases])
    assert [each for each, ours, theirs in zip(cases, expected, found, strict=True) if ours != theirs] == []


def _reads(kind: type[Message], raw: bytes) -> bool:
    try:
        codec.parse(kind, raw)
    except Refusal:
        return False
    return True


def _varied(sample: Message, chance: Random) -> Iterator[Message]:
    """Yield copies with one field cleared, or set to a value at some limit."""
    numbers = (
        0,
        1,
        2,
        4,
        13,
        16,
        19,
        20,
        46,
        47,
        106,
        107,
        65_536,
        65_537,
        2**31 - 1,
        -1,
        253402300800000000 - 1,
        2**62,
    )
    for field in sample.DESCRIPTOR.fields:
        bare = type(sample)()
        bare.CopyFrom(sample)
        bare.ClearField(field.name)
        yield bare
        values: list[object] = [*numbers]
        if field.type == FieldDescriptor.TYPE_STRING:
            values = [
                "",
                "ee/x",
                "ee/node",
                "EE/x",
                "ee/x\n",
                "x" * 200,
                "\U0001f600" * 200,
                "y" * 201,
                "\u00e4" * 500,
                "z" * 501,
            ]
        elif field.type == FieldDescriptor.TYPE_BYTES:
            values = [bytes(size) for size in (1, 16, 31, 32, 33, 64, 4096, 4097)]
        elif field.message_type is not None:
            continue
        for value in values:
            copy = type(sample)()
            copy.CopyFrom(bare)
            with suppress(ValueError):  # a number that the field cannot hold
                if field.is_repeated:
                    getattr(copy, field.name).extend([value] * chance.choice((1, 2, 17)))
                else:
                    setattr(copy, field.name, value)
                yield copy


def test_both_read_the_same_manifests_and_no_others(raw: bytes) -> None:
    chance, good = Random(9), manifest_of(raw).raw
    cases = [good]
    for _ in range(800):
        at, size = chance.randrange(len(good)), chance.randint(1, 40)
        cases += [
            good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :],
            good[:at] + good[at + size :],
        ]
    said = json.loads(good)
    values: list[object] = [
        None,
        True,
        0,
        1,
        -1,
        1.5,
        2**53 - 1,
        2**53,
        10**30,
        "",
        "x" * 500,
        "\U0001f600" * 500,
        "x" * 501,
        "\x7f\u2028\x1f",
        [],
        {},
    ]
    for name in said:
        cases += [json_form.canonical(said | {name: value}) for value in values]
        cases.append(json_form.canonical({each: value for each, value in said.items() if each != name}))
        if isinstance(said[name], list) and said[name]:
            entry = said[name][0]
            cases += [
                json_form.canonical(said | {name: each}) for each in ([entry, entry], [*reversed(said[name])], [1])
            ]
            for part in entry if isinstance(entry, dict) else ():
                cases += [json_form.canonical(said | {name: [entry | {part: value}]}) for value in values]
    cases.append(json_form.canonical(said | {"more": 1}))
    expected = []
    for each in cases:
        try:
            Manifest.read(each)
            expected.append(True)
        except Refusal:
            expected.append(False)
    assert 30 < sum(expected) < len(cases) - 1000
    found = node(READ, [["manifest", each.hex()] for each in cases])
    assert [each for each, ours, theirs in zip(cases, expected, found, strict=True) if ours != theirs] == []


# The page


def test_page_names_the_only_scripts_and_the_style_that_may_run_and_nobody_to_speak_to() -> None:
    text = PAGE.read_text()
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    style, verifier, page = (
        f"'sha256-{base64.b64encode(hashlib.sha256(script(each).encode()).digest()).decode()}'"
        for each in ("style", "verifier", "page")
    )
    assert policy[1] == (
        f"default-src 'none'; style-src {style}; script-src {verifier} {page}; base-uri 'none'; form-action 'none'"
    )
    for word in ("http://", "https://", "src=", "@import", "url(", "innerHTML", "eval("):
        assert word not in text.replace("http://uri.etsi.org/", "").replace("http://www.w3.org/", ""), word


@pytest.fixture(scope="module")
def picked(made: Made, raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picked") / "case.rogatory.zip"
    path.write_bytes(raw)
    return path


SHOWN: Final = """
new Promise((resolve) => {
  const result = document.getElementById("result");
  const told = () => resolve({
    verdict: document.getElementById("verdict").textContent, focused: document.activeElement.id,
    said: !document.getElementById("said").hidden,
    rows: [...document.querySelectorAll("#checks tr")].map((row) => [...row.cells].map((cell) => cell.innerText)),
  });
  const seen = new MutationObserver(() => result.hidden || setTimeout(told));
  seen.observe(result, { attributes: true, attributeFilter: ["hidden"] });
  GO
})
"""


def test_page_from_disk_shows_what_came_of_a_file_and_speaks_to_nobody(made: Made, raw: bytes, picked: Path) -> None:
    with tab(PAGE.as_uri()) as page:
        page.choose("#file", picked)
        page.choose("#root", made.fed.root)
        shown = page.run(SHOWN.replace("GO", 'document.getElementById("go").click();'))
        assert (shown["verdict"], shown["focused"], shown["said"]) == (
            "The file holds, as far as this page can check it",
            "verdict",
            True,
        )
        found = [(row[0], row[1].split("\n")[0], row[2]) for row in shown["rows"]]
        told = {"passed": "✓ passed", "failed": "✗ failed", "not-there": "○ not there"}
        expected = first(raw, made) | dict.fromkeys(MADE_AGAIN, "not-there")
        assert found == [(str(n), name, told[expected[name]]) for n, (name, _) in enumerate(STEPS, 1)]
        assert page.run('fetch("http://127.0.0.1:9/").then(() => "spoken", () => "refused")') == "refused"
        assert set(_requested(page)) == {PAGE.as_uri()}
        assert any("Content Security Policy" in each for each in _told(page))
        # Another file after it, by the keyboard alone.
        broken = picked.with_name("broken.zip")
        broken.write_bytes(raw[:-1])
        page.choose("#file", broken)
        page.run('document.getElementById("go").focus()')
        page.press("Enter", 13, "\r")
        shown = page.run(SHOWN.replace("GO", "if (!result.hidden) setTimeout(told);"))
        assert (shown["verdict"], shown["said"]) == ("The file does not hold", False)
        assert [row[2] for row in shown["rows"]] == ["✗ failed"] * len(STEPS)


def _requested(page: Tab) -> list[str]:
    """Return what the page asked for and was not refused before it left."""
    blocked = {each["params"]["requestId"] for each in page.events if each["method"] == "Network.loadingFailed"}
    sent = [each["params"] for each in page.events if each["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in sent if each["requestId"] not in blocked]


def _told(page: Tab) -> list[str]:
    return [each["params"]["entry"]["text"] for each in page.events if each["method"] == "Log.entryAdded"]


def test_every_control_has_a_name_and_can_be_reached_by_the_keyboard() -> None:
    with tab(PAGE.as_uri()) as page:
        nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
        named = {
            each["role"]["value"]: each["name"]["value"] for each in nodes if not each["ignored"] and "name" in each
        }
        assert named["heading"] == "Verify a case file"
        buttons = [each["name"]["value"] for each in nodes if each.get("role", {}).get("value") == "button"]
        assert "Verify" in buttons
        assert any(each.startswith("Case file") for each in buttons)
        assert any(each.startswith("Root of the federation") for each in buttons)
        reached = []
        for _ in range(3):
            page.press("Tab", 9)
            reached.append(page.run("document.activeElement.id"))
        assert reached == ["file", "root", "go"]
        # Nothing is verified before both files are chosen.
        assert page.run('document.getElementById("ask").checkValidity()') is False
