"""A case as one file: what it shows, what it hides, and that nothing in it can be another."""

import errno
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pypdf
import pytest
from click.testing import CliRunner
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import log_pb2 as log
from tuf.api.metadata import Metadata
from tuf.ngclient import Updater

from clients.casefile import archive, checks, contents, derived, logged
from clients.casefile.checks import STEPS, Status
from clients.casefile.contents import BODY, PRINT, REPORT, SALT, SIGNATURE, Manifest, Prove, Ref, State
from clients.casefile.export import Terms
from clients.casefile.found import named
from clients.casefile.reading import MAX_TEXT_BYTES, CaseFile
from clients.known_cases import Held
from gateway import cli, envelope, log_entry, merkle, signature
from gateway.checkpoint import Checkpoint
from gateway.clock import from_micros, system_clock
from gateway.directory import Directory, KeyEntry
from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form
from gateway.signature import Domain
from gateway.trust.roles import MAX_METADATA_BYTES, TARGETS
from tests import casefiles
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
    printed_once,
    run,
    signed_anew,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with printed_once():
        yield casefiles.freeze(tmp_path_factory.mktemp("fed"), system_clock() - timedelta(hours=1))


@pytest.fixture(scope="module")
def raw(made: Made) -> bytes:
    return made.export(ask_node=made.log_of("ee"))


def result(raw: bytes, made: Made) -> dict[str, Status]:
    return {each.name: each.status for each in checks.check(raw, made.prove)}


def failed(raw: bytes, made: Made) -> list[str]:
    """Return the checks that failed of themselves."""
    return [
        each.name
        for each in checks.check(raw, made.prove)
        if each.status is Status.FAILED and not each.detail.startswith("not checked")
    ]


def states(raw: bytes) -> dict[str, State]:
    return {each.ref.id: each.state for each in manifest_of(raw).envelopes}


def test_file_of_a_case_holds_and_says_what_is_not_there(made: Made, raw: bytes) -> None:
    found = checks.check(raw, made.prove)
    assert checks.holds(found)
    assert [(each.number, each.name) for each in found] == [(n, name) for n, (name, _) in enumerate(STEPS, start=1)]
    assert {each.name for each in found if each.status is Status.NOT_THERE} == {"timestamp"}


def test_file_that_was_made_offline_says_that_it_proves_nothing_of_the_log(made: Made) -> None:
    raw = made.export()
    found = {each.name: each for each in checks.check(raw, made.prove)}
    assert found["log"].status is Status.NOT_THERE
    assert "no checkpoint" in found["log"].detail
    assert checks.holds([*found.values()])
    assert b"no checkpoint" in archive.unpack(raw)[REPORT]


def test_same_case_at_the_same_time_gives_the_same_bytes(made: Made, raw: bytes) -> None:
    assert made.export(ask_node=made.log_of("ee")) == raw


def test_what_the_log_lacks_is_told_and_what_it_has_is_proven(made: Made) -> None:
    raw = made.export(ask_node=made.log_of("ee", lambda number: number != 3))
    (found,) = (each for each in checks.check(raw, made.prove) if each.name == "log")
    assert found.status is Status.NOT_THERE
    assert found.detail.startswith("1 of ")
    assert b"of 1 of" in archive.unpack(raw)[REPORT]


def made_at_first(_: str, about: bytes) -> bytes:
    return merkle.leaf_hash(about)


def test_entries_that_were_made_without_their_node_are_proven_as_before(made: Made) -> None:
    raw = made.export(ask_node=made.log_of("ee", hashed=made_at_first))
    assert result(raw, made)["log"] is Status.PASSED


def test_entries_of_another_nodes_log_prove_nothing_of_this_one(made: Made) -> None:
    raw = made.export(ask_node=made.log_of("ee", hashed=lambda _, about: log_entry.leaf_hash("de/node", about)))
    assert failed(raw, made) == ["log"]


def test_what_the_node_refused_is_in_no_log_and_its_refusal_is(tmp_path: Path) -> None:
    """One step that was refused must not take the log's proof from a case for ever."""
    now = system_clock() - timedelta(hours=1)
    made = casefiles.attempted(tmp_path, now, ("ee/node", pb.MILESTONE_REFUSED))
    asked: list[log.LogEntry] = []

    def ask(entries: Sequence[log.LogEntry]) -> tuple[bytes, Sequence[log.InclusionProof]]:
        asked.extend(entries)
        return made.log_of("ee")(entries)

    raw = made.export(ask_node=ask)
    found = {each.name: each for each in checks.check(raw, made.prove)}
    assert found["log"].status is Status.PASSED
    assert found["log"].detail.endswith("; 1 that the node refused are in none")
    assert not manifest_of(raw).absence("log")
    attempt = made.id_of("attempt")
    assert attempt not in {each.envelope.id for each in asked}
    (at,) = (at for at, each in enumerate(asked) if each.receipt.envelope.id == attempt)
    refusal = made.export(ask_node=made.log_of("ee", lambda number: number != at))
    assert result(refusal, made)["log"] is Status.NOT_THERE  # it is what stands for the envelope


@pytest.mark.parametrize(
    "stated",
    [
        pytest.param((), id="nothing was stated of it"),
        pytest.param((("de/node", pb.MILESTONE_REFUSED),), id="the other node refused it"),
        pytest.param((("ee/node", pb.MILESTONE_REFUSED), ("ee/node", pb.MILESTONE_ACCEPTED)), id="accepted later"),
    ],
)
def test_what_the_node_may_have_recorded_must_be_in_its_log(
    tmp_path: Path, stated: tuple[tuple[str, pb.Milestone.ValueType], ...]
) -> None:
    made = casefiles.attempted(tmp_path, system_clock() - timedelta(hours=1), *stated)
    asked: list[log.LogEntry] = []

    def ask(entries: Sequence[log.LogEntry]) -> tuple[bytes, Sequence[log.InclusionProof]]:
        asked.extend(entries)
        (attempt,) = (at for at, each in enumerate(entries) if each.envelope.id == made.id_of("attempt"))
        return made.log_of("ee", lambda number: number != attempt)(entries)

    assert result(made.export(ask_node=ask), made)["log"] is Status.NOT_THERE


NO_PROOFS: dict[str, dict[str, Any]] = {
    "of an entry that no log has": {"index": 1 << 53},
    "with a path higher than any tree": {"path": [bytes(32)] * 64},
    "with a hash that is none": {"path": [b"short"]},
}


@pytest.mark.parametrize("what", NO_PROOFS)
def test_node_that_answers_what_can_be_no_proof_is_refused(made: Made, what: str) -> None:
    def ask(entries: Sequence[log.LogEntry]) -> tuple[bytes, list[log.InclusionProof]]:
        note, _ = made.log_of("ee")(entries)
        return note, [log.InclusionProof(leaf_hash=bytes(32), **NO_PROOFS[what])] * len(entries)

    with pytest.raises(Refusal) as caught:
        made.export(ask_node=ask)
    assert caught.value.code is ErrorCode.BAD_LOG_PROOF


def test_withheld_envelope_is_proven_to_be_in_the_log_by_its_digest(made: Made) -> None:
    raw = made.export(terms=Terms(withhold=(made.id_of("report"),)), ask_node=made.log_of("ee"))
    assert result(raw, made)["log"] is Status.PASSED


def test_exporter_opens_what_it_sent_and_what_it_received(made: Made, raw: bytes) -> None:
    assert states(raw) == {made.id_of(each): State.OPENED for each in made.sent}
    members = archive.unpack(raw)
    shown = json.loads(members[f"documents/{made.stem('report')}.json"])
    assert len(shown["transactions"]) == 5
    assert members[f"opened/{made.stem('request')}{BODY}"]
    assert {"records/transactions.parquet", "records/movements.csv"} <= members.keys()


def test_who_countersigned_shows_the_request_by_the_draft_that_carried_it(made: Made) -> None:
    # The request itself never came to the central authority; its draft did, with text and salt.
    raw = made.export(CENTRAL)
    assert checks.holds(checks.check(raw, made.prove))
    assert states(raw) == {made.id_of(each): State.OPENED for each in ("draft", "countersignature")}
    assert b"the proceeds went there" in archive.unpack(raw)[REPORT]


def test_other_side_exports_its_view(made: Made) -> None:
    raw = made.export(THEIR_CENTRAL)
    assert checks.holds(checks.check(raw, made.prove))
    assert states(raw).keys() == {made.id_of(each) for each in ("request", "decision", "report")}


def test_redacted_envelope_keeps_header_and_digest_and_loses_its_text(made: Made) -> None:
    raw = made.export(terms=Terms(redact=(made.id_of("report"),)))
    assert checks.holds(checks.check(raw, made.prove))
    assert states(raw)[made.id_of("report")] is State.REDACTED
    members = archive.unpack(raw)
    assert f"envelopes/{made.stem('report')}.pb" in members
    assert not any(made.stem("report") in name for name in members if name.startswith(("opened/", "documents/")))
    assert not any(name.startswith("records/") for name in members)
    assert b"left out on purpose" in members[REPORT]


def test_withheld_envelope_leaves_its_name_its_digest_and_its_receipts(made: Made) -> None:
    raw = made.export(terms=Terms(withhold=(made.id_of("report")[:18],)))
    assert checks.holds(checks.check(raw, made.prove))
    (entry,) = (each for each in manifest_of(raw).envelopes if each.state is State.WITHHELD)
    assert entry.fingerprint == envelope.fingerprint(made.sent["report"]).hex()
    members = archive.unpack(raw)
    assert {name.partition("/")[0] for name in members if made.stem("report") in name} == {"receipts"}


@pytest.mark.parametrize("name", ["redact", "withhold"])
def test_text_is_not_hidden_in_one_place_and_shown_in_another(made: Made, name: str) -> None:
    request, draft = made.id_of("request"), made.id_of("draft")
    one = Terms(redact=(request,)) if name == "redact" else Terms(withhold=(request,))
    with pytest.raises(Refusal) as caught:
        made.export(terms=one)
    assert (caught.value.code, draft in caught.value.detail) == (ErrorCode.BAD_INPUT, True)
    raw = made.export(terms=replace(one, redact=(*one.redact, draft)))
    assert checks.holds(checks.check(raw, made.prove))
    for content in archive.unpack(raw).values():
        assert b"the proceeds went there" not in content


@pytest.mark.parametrize("wanted", ["", "019", "ffffffff-ffff"])
def test_id_that_names_no_envelope_or_several_is_refused(made: Made, wanted: str) -> None:
    with pytest.raises(Refusal) as caught:
        made.export(terms=Terms(redact=(wanted,)))
    assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_FOUND, "redact")


def test_case_of_which_nothing_lies_here_is_not_exported(made: Made) -> None:
    with pytest.raises(Refusal) as caught:
        made.export(case_id="EE-2")
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_custody_record_names_who_why_and_by_which_right(made: Made) -> None:
    terms = Terms(by="Mari Tamm", purpose="main hearing", authority="order 26-1")
    record = json.loads(archive.unpack(made.export(terms=terms))[contents.CUSTODY])
    told = record["handed_out"]
    assert (told["by"], told["person"], told["purpose"], told["authority"]) == (
        PROSECUTOR,
        "Mari Tamm",
        "main hearing",
        "order 26-1",
    )
    assert len(record["items"]) == len(made.sent)
    assert all({"sha256", "sha3_256", "collected", "altered"} <= item.keys() for item in record["items"])


def test_report_runs_nothing_and_asks_nobody(raw: bytes) -> None:
    shown = archive.unpack(raw)[REPORT].decode()
    assert "<script" not in shown
    assert "default-src 'none'" in shown
    for word in ("http://", "https://", "src=", "@import", "url("):
        assert word not in shown.replace('marker-end="url(#', "").replace('marker-start="url(#', ""), word
    for part in ("Cover sheet", "Parties", "Timeline", "Amounts", "Flow of funds", "Receipts", "Annex 1"):
        assert part in shown


def test_file_by_another_version_holds_and_says_that_nothing_was_made_again(made: Made, raw: bytes) -> None:
    said = manifest_of(raw).model_copy(update={"software": "rogatory 99"})
    found = result(signed_anew(archive.unpack(raw), said, made), made)
    assert found["report"] is found["derived"] is Status.NOT_THERE
    assert Status.FAILED not in found.values()


def test_print_by_another_typesetter_is_not_compared_and_that_is_told(made: Made, raw: bytes) -> None:
    said = manifest_of(raw).model_copy(update={"typesetter": "typst 99, z80"})
    found = checks.check(signed_anew(archive.unpack(raw) | {PRINT: b"%PDF-"}, said, made), made.prove)
    assert checks.holds(found)
    (report,) = (each for each in found if each.name == "report")
    assert report.status is Status.NOT_THERE
    assert "report.pdf by typst 99, z80" in report.detail
    assert "not compared" in report.detail


def test_tables_by_another_library_are_not_compared_and_do_not_pass_for_compared(made: Made, raw: bytes) -> None:
    said = manifest_of(raw).model_copy(update={"tables": "pyarrow 99"})
    others = dict.fromkeys(derived.PARQUET, b"PAR1")
    found = result(signed_anew(archive.unpack(raw) | others, said, made), made)
    assert (found["derived"], found["report"]) == (Status.NOT_THERE, Status.PASSED)
    changed = {"records/movements.csv": b"made up"}
    assert failed(signed_anew(archive.unpack(raw) | others | changed, said, made), made) == ["derived"]


def test_contents_name_each_annex_once_and_not_its_sections(raw: bytes) -> None:
    page = archive.unpack(raw)[REPORT].decode()
    contents_of = page[page.index("<nav") : page.index("</nav>")]
    assert contents_of.count("Annex 1:") == 1
    assert "SECTION A" not in contents_of


def test_print_shows_what_the_page_shows(made: Made) -> None:
    found = pypdf.PdfReader(io.BytesIO(archive.unpack(made.export(terms=Terms(by="Мария Ψ")))[PRINT]))
    said = "\n".join(each.extract_text() for each in found.pages)
    for part in ("Cover sheet", "Parties", "Timeline", "Amounts", "Flow of funds, picture 1", "Custody", "Annex 1"):
        assert part in said
    assert "Мария Ψ" in said
    assert "0xef1c6e" in said or "goes on in" in said or "1ND5TQ2A" in said  # the picture's words are words
    assert f"page 1 of {len(found.pages)}" in said


# Attacks. Who has no key of the exporter changes bytes; who has it signs what he likes.


def test_hundreds_of_changed_files_do_not_hold(made: Made, raw: bytes) -> None:
    chance = Random(7)
    members = archive.unpack(raw)
    said = manifest_of(raw)
    names = sorted(members)
    forged: list[tuple[str, bytes]] = []
    for at in range(
        0, len(raw), max(1, len(raw) // 150)
    ):  # byte ranges of the file, changed, dropped, doubled, swapped
        size = chance.randint(1, 64)
        forged += [
            (f"flip at {at}", raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]),
            (f"cut at {at}", raw[:at] + raw[at + size :]),
            (f"end at {at}", raw[:at]),
            (f"again at {at}", raw[: at + size] + raw[at:]),
        ]
    for name in names:  # members, in a ZIP that is well-formed
        content = members[name]
        at = chance.randrange(len(content))
        flipped = content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        other = chance.choice([each for each in names if members[each] != content])
        if name != archive.MIMETYPE:
            forged += [
                (f"{name} flipped", archive.pack(members | {name: flipped})),
                (f"{name} dropped", archive.pack({n: c for n, c in members.items() if n != name})),
                (f"{name} cut", archive.pack(members | {name: content[:-1]})),
                (f"{name} longer", archive.pack(members | {name: content + b"\0"})),
            ]
            if other != archive.MIMETYPE:
                forged.append((f"{name} for {other}", archive.pack(members | {name: members[other], other: content})))
        if name not in contents.UNLISTED:  # and with a manifest that fits, which the forger cannot sign
            whole, _ = listed(members | {name: flipped}, said)
            forged.append((f"{name} listed", archive.pack(whole | {SIGNATURE: members[SIGNATURE]})))
    whole, _ = listed(members | {"extra.txt": b"x"}, said)
    forged.append(("a member more", archive.pack(whole | {SIGNATURE: members[SIGNATURE]})))
    assert len(forged) > 700
    standing = [what for what, each in forged if each != raw and checks.holds(checks.check(each, made.prove))]
    assert standing == []


def test_exporter_cannot_change_what_others_signed_whatever_it_signs_itself(made: Made, raw: bytes) -> None:
    """Every member flipped, dropped or swapped, under a manifest that fits and a good signature."""
    chance = Random(11)
    members = archive.unpack(raw)
    said = manifest_of(raw)
    names = [name for name in sorted(members) if name not in contents.UNLISTED]
    standing = []
    for name in names:
        content = members[name]
        at = chance.randrange(len(content))
        flipped = content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        other = chance.choice([each for each in names if members[each] != content])
        for what, forged in (
            ("flipped", members | {name: flipped}),
            ("dropped", {each: raw_ for each, raw_ in members.items() if each != name}),
            (f"for {other}", members | {name: members[other], other: content}),
        ):
            if checks.holds(checks.check(signed_anew(forged, said, made), made.prove)):
                standing.append(f"{name} {what}")
    assert standing == []


def test_text_changed_by_the_exporter_is_not_the_one_that_was_signed(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    name = f"opened/{made.stem('request')}{BODY}"
    members[name] = members[name].replace(b"the proceeds went there", b"the proceeds came there")
    assert failed(made_again(members, manifest_of(raw), made), made) == ["texts"]


def test_salt_of_another_proves_nothing(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    members[f"opened/{made.stem('request')}{SALT}"] = members[f"opened/{made.stem('report')}{SALT}"]
    assert failed(made_again(members, manifest_of(raw), made), made) == ["texts"]


def test_envelope_dropped_that_another_cites_is_missed(made: Made, raw: bytes) -> None:
    members, said, gone = archive.unpack(raw), manifest_of(raw), made.id_of("draft")
    kept = {name: content for name, content in members.items() if gone not in name}
    said = said.model_copy(
        update={
            "envelopes": [each for each in said.envelopes if each.ref.id != gone],
            "receipts": [each for each in said.receipts if each.envelope.id != gone],
        }
    )
    assert failed(made_again(kept, said, made), made) == ["whole", "log"]


def test_envelope_in_the_place_of_another_is_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    one, two = (f"envelopes/{made.stem(each)}.pb" for each in ("decision", "report"))
    members[one], members[two] = members[two], members[one]
    assert "envelopes" in failed(signed_anew(members, manifest_of(raw), made), made)


def test_receipt_of_another_envelope_is_refused(made: Made, raw: bytes) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    about = Ref(sender=PROSECUTOR, id=made.id_of("request"))
    moved = next(each for each in said.receipts if each.envelope.id == made.id_of("report"))
    members[moved.model_copy(update={"envelope": about}).name] = members.pop(moved.name)
    receipts = [each.model_copy(update={"envelope": about}) if each is moved else each for each in said.receipts]
    said = said.model_copy(update={"receipts": sorted(receipts, key=lambda each: each.name)})
    assert failed(made_again(members, said, made), made) == ["receipts", "log"]


def test_signature_taken_off_an_envelope_changes_its_fingerprint_and_its_receipts_tell(made: Made, raw: bytes) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    name = f"envelopes/{made.stem('request')}.pb"
    bare = pb.SignedEnvelope.FromString(members[name])
    del bare.signatures[1:]
    members[name] = bare.SerializeToString(deterministic=True)
    said = entry_changed(said, made.id_of("request"), fingerprint=envelope.fingerprint(bare).hex())
    assert failed(made_again(members, said, made), made) == ["receipts", "log"]


def test_report_that_says_something_else_than_the_documents_is_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    members[REPORT] = members[REPORT].replace(b"granted", b"refused")
    assert failed(signed_anew(members, manifest_of(raw), made), made) == ["report"]


def test_print_that_says_something_else_than_the_documents_is_refused(made: Made, raw: bytes) -> None:
    other = archive.unpack(made.export(THEIR_CENTRAL))[PRINT]
    members = archive.unpack(raw) | {PRINT: other}
    assert failed(signed_anew(members, manifest_of(raw), made), made) == ["report"]


def test_tables_that_are_left_out_or_made_up_are_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    tables = {name: members.pop(name) for name in derived.RECORDS}
    assert failed(signed_anew(members, manifest_of(raw), made), made) == ["derived"]
    bare = made.export(terms=Terms(redact=(made.id_of("report"),)), ask_node=made.log_of("ee"))
    forged = archive.unpack(bare) | tables
    assert failed(signed_anew(forged, manifest_of(bare), made), made) == ["derived"]
    tables.popitem()
    assert failed(signed_anew(members | tables, manifest_of(raw), made), made) == ["whole", "derived"]


def test_text_that_nobody_can_read_says_nothing_of_envelopes_and_receipts(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw) | {f"opened/{made.stem('request')}{BODY}": b"\xff" * 40}
    assert failed(signed_anew(members, manifest_of(raw), made), made) == ["texts", "derived", "report"]


def test_timeline_of_ones_own_making_is_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    members[contents.TIMELINE] = json_form.canonical({"events": []})
    assert failed(signed_anew(members, manifest_of(raw), made), made) == ["derived"]


def test_receipts_of_one_envelope_in_each_others_place_are_refused(made: Made, raw: bytes) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    one, two = [each.name for each in said.receipts if each.envelope.id == made.id_of("request")][:2]
    members[one], members[two] = members[two], members[one]
    assert "receipts" in failed(signed_anew(members, said, made), made)


def test_envelope_from_after_the_file_is_refused(made: Made, raw: bytes) -> None:
    at = manifest_of(raw).exported_us - int(timedelta(seconds=390) / timedelta(microseconds=1))
    said = manifest_of(raw).model_copy(update={"exported_us": at})
    assert failed(made_again(archive.unpack(raw), said, made), made) == ["envelopes", "receipts"]


def with_log(made: Made, raw: bytes, **changed: bytes) -> bytes:
    """Return the file with other words about the log, and its exporter's good signature."""
    names = {"checkpoint": logged.CHECKPOINT, "proofs": logged.PROOFS}
    members = archive.unpack(raw) | {names[each]: content for each, content in changed.items()}
    return signed_anew(members, manifest_of(raw), made)


def test_checkpoint_of_another_node_or_of_nobody_is_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    note = members[logged.CHECKPOINT]
    text = note.partition(b"\n\n")[0].decode() + "\n"
    said = Checkpoint.parse(text)
    for forged in (
        bytes(Checkpoint(said.origin.replace("ee.", "de."), said.size, said.root).sign(made.nodes["de"])),
        bytes(said.sign(made.nodes["de"])),
        bytes(Checkpoint(f"{said.origin}/01", said.size, said.root).sign(made.nodes["ee"])),
        bytes(Checkpoint(said.origin, said.size + 1, said.root).sign(made.nodes["ee"])),
        note.replace(b"/log\n", b"/LOG\n", 1),
        b"",
    ):
        assert failed(with_log(made, raw, checkpoint=forged), made) == ["log"]
    after_a_restoration = bytes(Checkpoint(f"{said.origin}/1", said.size, said.root).sign(made.nodes["ee"]))
    assert failed(with_log(made, raw, checkpoint=after_a_restoration), made) == []


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, bytes]:
    made = casefiles.witnessed(tmp_path_factory.mktemp("witnessed"), system_clock() - timedelta(hours=1))
    return made, made.export(ask_node=made.log_of("ee"))


def noted(raw: bytes) -> tuple[bytes, Checkpoint]:
    note = archive.unpack(raw)[logged.CHECKPOINT]
    return note, Checkpoint.parse(note.partition(b"\n\n")[0].decode() + "\n")


def test_cosignatures_are_counted_as_the_federation_says(few: tuple[Made, bytes]) -> None:
    made, raw = few
    members, said, (note, point) = archive.unpack(raw), manifest_of(raw), noted(raw)
    files = {name.removeprefix("directory/"): each for name, each in members.items() if name.startswith("directory/")}
    directory = made.prove(files, said.exported_at)
    case = CaseFile.read(said, members, directory)
    wanted = logged.subjects(said, case.receipts, case.statements)
    for what, (lines, status, count) in casefiles.cosignatures(point, made).items():
        here = members | {logged.CHECKPOINT: note + lines.encode()}
        if status == "failed":
            with pytest.raises(Refusal) as caught:
                logged.check(here, said, wanted, directory)
            assert caught.value.code is ErrorCode.BAD_SIGNATURE, what
        else:
            found = logged.check(here, said, wanted, directory).cosigned
            assert (len(found.by), found.wanted, found.is_enough) == (count, 2, status == "passed"), what


def test_who_cosigned_is_named_and_too_few_are_no_failure(few: tuple[Made, bytes]) -> None:
    made, raw = few
    note, point = noted(raw)

    def judged(what: str) -> tuple[bool, Status, str]:
        lines, *_ = casefiles.cosignatures(point, made)[what]
        found = checks.check(with_log(made, raw, checkpoint=note + lines.encode()), made.prove)
        (log,) = (each for each in found if each.name == "log")
        return checks.holds(found), log.status, log.detail

    *status, detail = judged("a node and a court")
    assert status == [True, Status.PASSED]
    assert detail.endswith(", cosigned by court.example/w1, de.rogatory.test (2 of 2 wanted)")
    *status, detail = judged("nobody")
    assert status == [True, Status.NOT_THERE]
    assert detail.startswith("too few witnesses: all ")
    assert detail.endswith("cosigned by nobody (0 of 2 wanted)")
    assert judged("of another size")[:2] == (False, Status.FAILED)


def test_proof_of_another_entry_proves_nothing(made: Made, raw: bytes) -> None:
    proofs = logged.Proofs.read(archive.unpack(raw)[logged.PROOFS]).proofs
    one, two, *rest = proofs
    of_one = {"subject": one.subject}
    for forged in (
        [one.model_copy(update={"subject": two.subject}), two.model_copy(update=of_one), *rest],
        [one, two.model_copy(update=of_one), *rest],
        [two, one, *rest],
        [one.model_copy(update={"index": 0}), two, *rest],
        [one.model_copy(update={"path": one.path[:-1]}), two, *rest],
        [one.model_copy(update={"subject": "mimetype"}), two, *rest],
    ):
        assert failed(with_log(made, raw, proofs=logged.Proofs(proofs=forged).raw), made) == ["log"]
    for garbage in (b"", b"{}", json_form.canonical({"proofs": [{}]}), archive.unpack(raw)[logged.PROOFS] + b" "):
        assert failed(with_log(made, raw, proofs=garbage), made) == ["log"]


def test_proofs_without_their_checkpoint_are_refused(made: Made, raw: bytes) -> None:
    for name in logged.MEMBERS:
        members = {each: content for each, content in archive.unpack(raw).items() if each != name}
        assert failed(signed_anew(members, manifest_of(raw), made), made) == ["log"]


def test_file_signed_by_somebody_else_in_the_exporters_name_is_refused(made: Made, raw: bytes) -> None:
    key = made.person(THEIR_CENTRAL).signing_key
    assert failed(signed_anew(archive.unpack(raw), manifest_of(raw), made, key), made) == ["exporter"]


def test_stranger_cannot_pass_a_case_off_as_its_own(made: Made, raw: bytes) -> None:
    said = manifest_of(raw).model_copy(update={"exporter": "de/court"})
    key = made.person("de/court").signing_key
    assert "envelopes" in failed(signed_anew(archive.unpack(raw), said, made, key), made)


def test_file_from_before_or_after_the_directory_counted_is_refused(made: Made, raw: bytes) -> None:
    for years in (-10, 10):
        at = manifest_of(raw).exported_us + int(timedelta(days=365 * years) / timedelta(microseconds=1))
        said = manifest_of(raw).model_copy(update={"exported_us": at})
        assert failed(signed_anew(archive.unpack(raw), said, made), made)[0] in {"directory", "exporter"}


def test_root_of_another_federation_proves_nothing(made: Made, raw: bytes, tmp_path: Path) -> None:
    other = casefiles.freeze(tmp_path, system_clock())
    assert failed(raw, other) == ["directory"]


def test_signature_of_another_kind_of_thing_is_none(made: Made, raw: bytes) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    wrong = signature.sign(Domain.ENVELOPE, said.raw, said.exporter, made.person(PROSECUTOR).signing_key)
    assert failed(archive.pack(members | {SIGNATURE: contents.signature_text(wrong)}), made) == ["exporter"]


def test_exporter_hides_something_among_the_files_of_the_directory(made: Made, raw: bytes) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    (federation,) = (name for name in members if name.endswith(".federation.json"))
    for name in (
        "directory/report.html",
        "directory/targets/report.html",
        "directory/CON",
        "directory/metadata/nul",
        "directory/metadata/timestamp.json.exe",
        federation.replace(federation.split("/")[2][:8], "00000000", 1),  # under another digest than its own
    ):
        assert failed(signed_anew(members | {name: b"<script>alert(1)</script>"}, said, made), made) == ["whole"], name


def detail_of(raw: bytes, made: Made, name: str) -> str:
    return next(each.detail for each in checks.check(raw, made.prove) if each.name == name)


def test_somebody_sends_a_signature_without_an_end(made: Made, raw: bytes) -> None:
    long = b"[" + b"[]," * 200_000 + b"[]]"
    forged = archive.pack(archive.unpack(raw) | {SIGNATURE: long})
    assert failed(forged, made) == ["exporter"]
    assert detail_of(forged, made, "exporter").startswith("TOO_LARGE")


def test_exporter_sends_metadata_without_an_end(made: Made, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over unread: the parser is never asked."""
    read, longest = Metadata.from_bytes, [0]

    def from_bytes(data: bytes, *more: Any) -> Any:
        longest.append(len(data))
        return read(data, *more)

    monkeypatch.setattr(Metadata, "from_bytes", from_bytes)
    name, most = "directory/metadata/9.node-ee.json", MAX_METADATA_BYTES[TARGETS]
    long = signed_anew(archive.unpack(raw) | {name: b"[" * (most + 1)}, manifest_of(raw), made)
    assert failed(long, made) == []
    assert max(longest) < most
    checks.check(signed_anew(archive.unpack(raw) | {name: b"[" * most}, manifest_of(raw), made), made.prove)
    assert max(longest) == most


def test_exporter_sends_proofs_without_an_end(made: Made, raw: bytes) -> None:
    many = [logged.Proof(index=at, path=[], subject=f"a{at}") for at in range(10_000)]
    forged = with_log(made, raw, proofs=logged.Proofs(proofs=many).raw)
    assert failed(forged, made) == ["log"]
    assert detail_of(forged, made, "log").startswith("TOO_LARGE")


def test_exporter_names_a_log_with_thousands_of_digits(made: Made, raw: bytes) -> None:
    text = archive.unpack(raw)[logged.CHECKPOINT].partition(b"\n\n")[0].decode() + "\n"
    said = Checkpoint.parse(text)
    for number in ("9" * 5000, "1" * 10, "0", "-1", "1e3", " 1"):
        try:
            forged = bytes(Checkpoint(f"{said.origin}/{number}", said.size, said.root).sign(made.nodes["ee"]))
        except Refusal:
            forged = text.replace("/log", f"/log/{number}", 1).encode()
        assert failed(with_log(made, raw, checkpoint=forged), made) == ["log"], number[:10]


def test_exporter_shows_a_text_larger_than_any_that_was_sent(made: Made, raw: bytes) -> None:
    name = f"opened/{made.stem('request')}{BODY}"
    forged = signed_anew(archive.unpack(raw) | {name: bytes(MAX_TEXT_BYTES)}, manifest_of(raw), made)
    assert detail_of(forged, made, "texts").startswith("TOO_LARGE")


@pytest.mark.parametrize(
    ("field", "many"),
    [
        ("case_ids", [""] * (contents.MAX_NAMED + 1)),
        ("left_out", ["0" * 64] * (contents.MAX_NAMED + 1)),
        ("absent", [contents.NO_LOG] * (contents.MAX_ABSENT + 1)),
    ],
)
def test_exporter_makes_lists_without_an_end(made: Made, raw: bytes, field: str, many: list[Any]) -> None:
    said = manifest_of(raw).model_copy(update={field: many})
    assert failed(signed_anew(archive.unpack(raw), said, made), made) == ["manifest"]
    within = manifest_of(raw).model_copy(update={field: many[1:]})
    assert Manifest.read(within.raw) == within


def revoked(made: Made, who: str, since: datetime) -> Prove:
    """Return what proves the directory in which all signing keys of somebody are distrusted since a moment."""

    def out(keys: tuple[KeyEntry, ...]) -> tuple[KeyEntry, ...]:
        return tuple(key.model_copy(update={"not_trusted_after": since}) for key in keys)

    def prove(files: Mapping[str, bytes], at: datetime) -> Directory:
        found = made.prove(files, at)
        if who.endswith("/node"):
            nodes = tuple(
                node.model_copy(update={"signing_keys": out(node.signing_keys)}) if who == f"{node.code}/node" else node
                for node in found.nodes
            )
            return Directory(**{**dict(found), "nodes": nodes})
        people = tuple(
            each.model_copy(update={"signing_keys": out(each.signing_keys)}) if str(each.address) == who else each
            for each in found.participants
        )
        return Directory(**{**dict(found), "participants": people})

    return prove


@pytest.mark.parametrize(
    ("who", "wrong"),
    [
        # Who made the file; the same key signed envelopes, which then count no more, either.
        (PROSECUTOR, ["exporter"]),
        (CENTRAL, ["envelopes", "receipts"]),  # it countersigned the request, and stated what it opened
        (THEIR_CENTRAL, ["envelopes", "receipts"]),  # sender of decision and report
        ("ee/node", ["receipts", "log"]),  # statements and the checkpoint
        ("de/node", ["receipts"]),
    ],
)
def test_thief_signs_with_a_key_that_is_revoked(made: Made, raw: bytes, who: str, wrong: list[str]) -> None:
    before = from_micros(min(each.created_at_us for each in headers_of(raw).values())) - timedelta(seconds=1)
    after = manifest_of(raw).exported_at + timedelta(seconds=1)
    for since, expected in ((before, wrong), (after, [])):
        found = checks.check(raw, revoked(made, who, since))
        own = [
            each.name for each in found if each.status is Status.FAILED and not each.detail.startswith("not checked")
        ]
        assert own == expected


def headers_of(raw: bytes) -> dict[str, pb.Header]:
    members = archive.unpack(raw)
    return {
        name: pb.Header.FromString(pb.SignedEnvelope.FromString(content).header)
        for name, content in members.items()
        if name.startswith("envelopes/")
    }


def test_exporter_whose_key_was_stolen_backdates_its_file(made: Made, raw: bytes) -> None:
    """What is signed by whoever has the key is caught by the times in the file, and no earlier than these."""
    said = manifest_of(raw)
    newest = max(each.created_at_us for each in headers_of(raw).values())
    since = from_micros(newest - checks.MAX_SKEW_US - 1)
    backdated = said.model_copy(update={"exported_us": newest - checks.MAX_SKEW_US - 2})
    forged = made_again(archive.unpack(raw), backdated, made)
    found = {each.name: each.status for each in checks.check(forged, revoked(made, PROSECUTOR, since))}
    assert (found["exporter"], found["envelopes"]) == (Status.PASSED, Status.FAILED)


def test_somebody_cuts_a_file_short_anywhere(made: Made, raw: bytes) -> None:
    chance = Random(13)
    for size in {0, 1, 21, 22, len(raw) - 22, len(raw) - 1, *(chance.randrange(len(raw)) for _ in range(100))}:
        assert failed(raw[:size], made) == ["archive"], size


# The commands.


def test_case_is_exported_and_verified_by_the_commands(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "case.rogatory.zip"
    config = ("--config", made.fed.config(PROSECUTOR))
    status, told = run("case", "export", CASE, "--out", out, *config)
    assert (status, told["error"]["code"]) == (1, "UNAVAILABLE")
    assert "--offline" in told["error"]["detail"]
    status, told = run("case", "export", CASE, "--out", out, "--offline", *config)
    assert (status, told["holds"], set(told["not_there"])) == (0, True, {"log", "timestamp"})
    assert out.stat().st_mode & 0o077 == 0  # it holds texts
    status, told = run("verify", out, "--root", made.fed.root)
    assert (status, told["holds"]) == (0, True)
    assert [each["number"] for each in told["checks"]] == list(range(1, len(STEPS) + 1))
    changed = bytearray(out.read_bytes())
    changed[len(changed) // 2] ^= 1
    out.write_bytes(changed)
    status, told = run("verify", out, "--root", made.fed.root)
    assert (status, told["holds"]) == (1, False)
    assert told["checks"][0]["status"] == "failed"


@pytest.mark.parametrize("option", ["by", "purpose", "authority"])
@pytest.mark.parametrize("text", ["x" * 501, "x\udcff"], ids=["too long", "no text"])
def test_what_no_manifest_can_say_is_refused_and_no_file_written(
    made: Made, tmp_path: Path, option: str, text: str
) -> None:
    out = tmp_path / "case.rogatory.zip"
    config = ("--offline", "--config", made.fed.config(PROSECUTOR))
    status, told = run("case", "export", CASE, "--out", out, f"--{option}", text, *config)
    assert (status, told["error"]["code"], told["error"]["field"]) == (2, "BAD_INPUT", option)
    assert not out.exists()


def test_who_takes_the_id_of_another_keeps_nobody_from_leaving_that_out() -> None:
    """An id is unique for its sender alone: whoever answers could bear that of what shall not be shown."""
    id_ = "019a2f3b-7c1d-7000-8000-000000000000"
    ours, theirs = (Held(ids.EnvelopeRef(sender=who, id=id_), None, None, ()) for who in (PROSECUTOR, THEIR_CENTRAL))
    assert named([ours, theirs], f"{PROSECUTOR}/{id_}", "redact") is ours
    assert named([ours, theirs], f"{THEIR_CENTRAL}/{id_[:8]}", "redact") is theirs
    assert named([ours], id_[:8], "redact") is ours
    for wrong in (id_, f"{PROSECUTOR}/{id_[:7]}", f"{CENTRAL}/{id_}", f"{PROSECUTOR}/", PROSECUTOR, ""):
        with pytest.raises(Refusal) as caught:
            named([ours, theirs], wrong, "redact")
        assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_FOUND, "redact")


def test_last_word_names_what_was_not_compared(made: Made, raw: bytes, tmp_path: Path) -> None:
    file = tmp_path / "case.rogatory.zip"
    said = manifest_of(raw).model_copy(update={"software": "rogatory 99"})
    file.write_bytes(signed_anew(archive.unpack(raw), said, made))
    done = CliRunner().invoke(cli.commands, ["verify", str(file), "--root", str(made.fed.root)])
    last = done.stdout.strip().splitlines()[-1]
    assert last.endswith("HOLDS; not there, or not compared: derived, report, timestamp")


def test_case_is_still_shown_without_a_subcommand(made: Made) -> None:
    status, told = run("case", CASE, "--config", made.fed.config(PROSECUTOR))
    assert (status, told["case_ids"]) == (0, [CASE])
    assert run("case", "show", CASE, "--config", made.fed.config(PROSECUTOR)) == (status, told)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda _: b"-----BEGIN CERTIFICATE-----", id="a certificate"),
        pytest.param(lambda root: root[:-100], id="cut short"),
        pytest.param(lambda root: root.replace(b'"version": 1', b'"version": 2'), id="changed"),
    ],
)
def test_wrong_root_of_the_reader_is_no_fault_of_the_file(
    made: Made, raw: bytes, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    file, root = tmp_path / "case.rogatory.zip", tmp_path / "root.json"
    file.write_bytes(raw)
    root.write_bytes(spoil(made.fed.root.read_bytes()))
    status, told = run("verify", file, "--root", root)
    assert (status, told["error"]["code"], told["error"]["field"]) == (2, "BAD_INPUT", "root")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "node-ee", "node-de"])
def test_full_disk_of_the_reader_is_no_fault_of_the_file(
    made: Made, raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    persist = Updater._persist_file

    def full(self: Updater, filename: str, data: bytes) -> None:
        if filename.endswith(f"{role}.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        persist(self, filename, data)

    monkeypatch.setattr(Updater, "_persist_file", full)
    file = tmp_path / "case.rogatory.zip"
    file.write_bytes(raw)
    status, told = run("verify", file, "--root", made.fed.root)
    assert (status, told.get("error", {}).get("code")) == (1, "STORE")


def test_what_is_no_file_or_no_root_is_told_as_such(made: Made, tmp_path: Path) -> None:
    status, told = run("verify", tmp_path / "none.zip", "--root", made.fed.root)
    assert (status, told["error"]["code"]) == (2, "BAD_INPUT")
    status, told = run("case", "export", CASE, "--out", tmp_path / "x.zip", "--config", made.fed.config(PROSECUTOR))
    assert (status, told["error"]["field"]) == (2, "out")
