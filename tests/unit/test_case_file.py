"""A case as one file: what it shows, what it hides, and that nothing in it can be another."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb

from clients.casefile import archive, checks, contents, derived
from clients.casefile.checks import STEPS, Status
from clients.casefile.contents import ASIC, MANIFEST, REPORT, SIGNATURE, Manifest, Ref, State
from clients.casefile.export import Terms
from clients.casefile.reading import BODY, SALT, CaseFile
from gateway import cli, envelope, signature
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form
from gateway.signature import Domain
from tests import casefiles
from tests.casefiles import CASE, CENTRAL, PROSECUTOR, THEIR_CENTRAL, Made

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return casefiles.freeze(tmp_path_factory.mktemp("fed"), system_clock() - timedelta(hours=1))


@pytest.fixture(scope="module")
def raw(made: Made) -> bytes:
    return made.export()


def result(raw: bytes, made: Made) -> dict[str, Status]:
    return {each.name: each.status for each in checks.check(raw, made.prove)}


def failed(raw: bytes, made: Made) -> list[str]:
    """Return the checks that failed of themselves."""
    return [
        each.name
        for each in checks.check(raw, made.prove)
        if each.status is Status.FAILED and not each.detail.startswith("not checked")
    ]


def manifest_of(raw: bytes) -> Manifest:
    return Manifest.read(archive.unpack(raw)[MANIFEST])


def states(raw: bytes) -> dict[str, State]:
    return {each.ref.id: each.state for each in manifest_of(raw).envelopes}


NOT_THERE = {"log", "timestamp"}


def test_file_of_a_case_holds_and_says_what_is_not_there_yet(made: Made, raw: bytes) -> None:
    found = checks.check(raw, made.prove)
    assert checks.holds(found)
    assert [(each.number, each.name) for each in found] == [(n, name) for n, (name, _) in enumerate(STEPS, start=1)]
    assert {each.name for each in found if each.status is Status.NOT_THERE} == NOT_THERE
    assert all("no checkpoint" in each.detail for each in found if each.name == "log")


def test_same_case_at_the_same_time_gives_the_same_bytes(made: Made, raw: bytes) -> None:
    assert made.export() == raw


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


# Attacks. Who has no key of the exporter changes bytes; who has it signs what he likes.


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


def entry_changed(said: Manifest, envelope_id: str, **changes: Any) -> Manifest:
    entries = [each.model_copy(update=changes) if each.ref.id == envelope_id else each for each in said.envelopes]
    return said.model_copy(update={"envelopes": entries})


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
    assert failed(made_again(kept, said, made), made) == ["whole"]


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
    assert failed(made_again(members, said, made), made) == ["receipts"]


def test_signature_taken_off_an_envelope_changes_its_fingerprint_and_its_receipts_tell(made: Made, raw: bytes) -> None:
    members, said = archive.unpack(raw), manifest_of(raw)
    name = f"envelopes/{made.stem('request')}.pb"
    bare = pb.SignedEnvelope.FromString(members[name])
    del bare.signatures[1:]
    members[name] = bare.SerializeToString(deterministic=True)
    said = entry_changed(said, made.id_of("request"), fingerprint=envelope.fingerprint(bare).hex())
    assert failed(made_again(members, said, made), made) == ["receipts"]


def test_report_that_says_something_else_than_the_documents_is_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    members[REPORT] = members[REPORT].replace(b"granted", b"refused")
    assert failed(signed_anew(members, manifest_of(raw), made), made) == ["report"]


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


# The commands.


def run(*arguments: str | Path) -> tuple[int, Any]:
    done = CliRunner().invoke(cli.commands, [*map(str, arguments), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def test_case_is_exported_and_verified_by_the_commands(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "case.rogatory.zip"
    config = ("--config", made.fed.config(PROSECUTOR))
    status, told = run("case", "export", CASE, "--out", out, *config)
    assert (status, told["holds"], set(told["not_there"])) == (0, True, NOT_THERE)
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


def test_case_is_still_shown_without_a_subcommand(made: Made) -> None:
    status, told = run("case", CASE, "--config", made.fed.config(PROSECUTOR))
    assert (status, told["case_ids"]) == (0, [CASE])
    assert run("case", "show", CASE, "--config", made.fed.config(PROSECUTOR)) == (status, told)


def test_what_is_no_file_or_no_root_is_told_as_such(made: Made, tmp_path: Path) -> None:
    status, told = run("verify", tmp_path / "none.zip", "--root", made.fed.root)
    assert (status, told["error"]["code"]) == (2, "BAD_INPUT")
    status, told = run("case", "export", CASE, "--out", tmp_path / "x.zip", "--config", made.fed.config(PROSECUTOR))
    assert (status, told["error"]["field"]) == (2, "out")
