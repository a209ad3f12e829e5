import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf import json_format
from google.protobuf.message import Message
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from clients.intake import Received
from clients.maildir import Arrival, Folder
from gateway import cli, envelope
from gateway.cli import document, home, send
from gateway.cli.development import Summary, free_ports, init_federation
from gateway.cli.home import Home
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from tests import paperwork, world

ADDRESSED = ["--to", "de/central-authority", "--via", "ee/central-authority", "--case", "EE-1"]
LAW = ["--instrument", "eu-2018-1805"]


@pytest.fixture
def fed(tmp_path: Path) -> Summary:
    return init_federation(tmp_path / "fed", ["ee", "de"], free_ports(2), datetime.now(UTC))


def written(folder: Path, value: object) -> Path:
    path = folder / "file.json"
    path.write_text(json.dumps(json_format.MessageToDict(value) if isinstance(value, Message) else value))
    return path


def run(fed: Summary, who: str, *arguments: str | Path) -> Result:
    words = [*map(str, arguments), "--config", str(fed.config(who)), "--json"]
    return CliRunner().invoke(cli.commands, words)


def error_of(result: Result) -> tuple[int, str, str]:
    error = json.loads(result.stdout)["error"]
    return result.exit_code, error["code"], error["field"]


def kept(fed: Summary, who: str) -> list[Path]:
    place = fed.config(who).parent / "home"
    return [path for name in ("sent", "drafts", "tmp") for path in (place / name).iterdir()]


# Files

WALLET = json_format.MessageToDict(paperwork.wallet())
REQUEST = json_format.MessageToDict(paperwork.request())
UNREADABLE: dict[str, tuple[object, str]] = {
    "no object": ([], ""),
    "unknown field": (REQUEST | {"amnesty": True}, "amnesty"),
    "unknown field within": (REQUEST | {"offence": {"facts": "f", "pardon": 1}}, "offence.pardon"),
    "unknown field in a list": (REQUEST | {"wallets": [WALLET, WALLET | {"owner": "x"}]}, "wallets[1].owner"),
    "unknown field behind an empty one": (REQUEST | {"offence": None, "amnesty": 1}, "amnesty"),
    "text where a number is wanted": (
        REQUEST | {"offence": {"listedCategory": "a secret"}},
        "offence.listedCategory",
    ),
    "unknown word of an enum": (REQUEST | {"measures": ["MEASURE_BLOCK_WITHDRAWAL", "a secret"]}, "measures[1]"),
    "text where an object is wanted": (REQUEST | {"offence": "a secret"}, "offence"),
    "object where a list is wanted": (REQUEST | {"wallets": WALLET}, "wallets"),
    "text where a list is wanted": (REQUEST | {"measures": "a secret"}, "measures"),
    "null in a list": (REQUEST | {"wallets": [None]}, "wallets[0]"),
    "one field under both its names": (
        REQUEST | {"place_of_execution": "a", "placeOfExecution": "b"},
        "placeOfExecution",
    ),
}


@pytest.mark.parametrize(("value", "where"), UNREADABLE.values(), ids=UNREADABLE)
def test_file_that_is_no_such_document_is_refused_with_the_place_and_never_with_its_content(
    tmp_path: Path, value: object, where: str
) -> None:
    with pytest.raises(Refusal) as caught:
        document.read(written(tmp_path, value), certificates.FreezeRequest)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_INPUT, where)
    assert "a secret" not in str(caught.value)


def test_document_reads_back_as_it_was_written(tmp_path: Path) -> None:
    for made in (paperwork.request(), paperwork.decision(), paperwork.order(), paperwork.report()):
        assert document.read(written(tmp_path, document.as_object(made)), type(made)) == made


@pytest.mark.parametrize("content", [b"", b"{", b'{"grounds": "a", "grounds": "b"}', b"\xff"])
def test_file_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    for broken in (path, tmp_path / "missing.json"):
        with pytest.raises(Refusal) as caught:
            document.read(broken, certificates.FreezeRequest)
        assert caught.value.code is ErrorCode.BAD_INPUT


# Steps

OF_OTHERS = [
    ("ee/central-authority", ["draft", "FILE", *ADDRESSED, *LAW]),
    ("ee/prosecutor", ["countersign", "0" * 8]),
    ("ee/court", ["return", "0" * 8, "--reason", "r"]),
    ("ee/exchange", ["request", "0" * 8]),
    ("de/court", ["referral", "0" * 8, "--court", "de/court", "--case", "DE-1"]),
    ("de/central-authority", ["decision", "0" * 8, "FILE"]),
    ("de/exchange", ["order", "0" * 8, "FILE", "--exchange", "de/exchange", "--case", "DE-1"]),
    ("de/court", ["report", "0" * 8, "FILE"]),
    ("de/operator", ["forward", "0" * 8, "--report", "0" * 8]),
    ("de/fiu", ["answer", "0" * 8, "--report", "0" * 8]),
    ("de/exchange", ["notify", "0" * 8, "--decision", "0" * 8]),
]


def test_step_of_another_role_is_refused_before_anything_is_read(fed: Summary) -> None:
    for who, step in OF_OTHERS:
        assert error_of(run(fed, who, "send", *step)) == (2, "NOT_PERMITTED", ""), step
    steps = {step[0] for _, step in OF_OTHERS}
    assert steps | {"again"} == set(send.command.commands)


def test_draft_tells_what_is_wrong_with_its_request(fed: Summary, tmp_path: Path) -> None:
    draft: list[str | Path] = ["send", "draft", written(tmp_path, paperwork.request(grounds="")), *ADDRESSED, *LAW]
    assert error_of(run(fed, "ee/prosecutor", *draft)) == (2, "BAD_INPUT", "grounds")
    again: list[str | Path] = [
        "send",
        "draft",
        written(tmp_path, paperwork.request()),
        *ADDRESSED,
        "--instrument",
        "no-such-treaty",
    ]
    assert error_of(run(fed, "ee/prosecutor", *again)) == (2, "NO_LEGAL_BASIS", "instrument")
    assert kept(fed, "ee/prosecutor") == []


def test_dry_run_of_a_draft_checks_everything_and_keeps_nothing(fed: Summary, tmp_path: Path) -> None:
    bare = paperwork.request(wallets=[], measures=[], data_classes=[], urgency=paperwork.URGENT)
    path = written(tmp_path, bare)
    wallets = tmp_path / "wallets.json"
    wallets.write_text(
        json.dumps(
            [
                {"chain": "bitcoin", "address": "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w"},
                {"chain": "no-such-chain", "address": "b"},
            ]
        )
    )
    named: list[str | Path] = [
        "--wallets",
        wallets,
        "--measure",
        "hold-incoming",
        "--data-class",
        "balance",
        "--data-class",
        "content",
    ]
    result = run(
        fed, "ee/prosecutor", "send", "draft", path, *ADDRESSED, *LAW, *named, "--expires-in-hours", "2.5",
        "--dry-run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["kind"], shown["dry_run"], shown["receipt"]) == ("draft", True, None)
    assert kept(fed, "ee/prosecutor") == []


def test_list_of_wallets_adds_nothing_to_those_of_the_request(fed: Summary, tmp_path: Path) -> None:
    wallets = tmp_path / "wallets.json"
    draft: list[str | Path] = [
        "send",
        "draft",
        written(tmp_path, paperwork.request()),
        *ADDRESSED,
        *LAW,
        "--wallets",
        wallets,
    ]
    assert error_of(run(fed, "ee/prosecutor", *draft)) == (2, "BAD_INPUT", "wallets")
    bare: list[str | Path] = [
        "send",
        "draft",
        written(tmp_path, paperwork.request(wallets=[])),
        *ADDRESSED,
        *LAW,
        "--wallets",
        wallets,
    ]
    wallets.write_text(
        json.dumps(
            [{"chain": "bitcoin", "address": "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w"}, {"chain": "bitcoin", "address": ""}]
        )
    )
    assert error_of(run(fed, "ee/prosecutor", *bare)) == (2, "BAD_INPUT", "wallets[1].address")


def test_after_a_failure_the_very_same_envelope_can_be_sent_again(fed: Summary, tmp_path: Path) -> None:
    draft: list[str | Path] = [
        "send",
        "draft",
        written(tmp_path, paperwork.request()),
        *ADDRESSED,
        *LAW,
        "--within",
        "0.2",
    ]
    result = run(fed, "ee/prosecutor", *draft)  # no node is running
    assert error_of(result) == (1, "UNAVAILABLE", "")
    again = json.loads(result.stdout)["error"]["detail"].rpartition(" ")[2]
    result = run(fed, "ee/prosecutor", "send", "again", again, "--dry-run")
    assert (result.exit_code, json.loads(result.stdout)["id"]) == (0, again)


# Ids


def put(at: Home, folder: Folder, *ids_: str) -> None:
    for each in ids_:
        made = world.send(ids.KIND_DOMESTIC_ORDER, world.COURT, world.EXCHANGE)
        header = made.header
        header.id = each
        raw = made.envelope
        raw.header = header.SerializeToString(deterministic=True)
        at.participant.maildir.put([Arrival(raw, envelope.ref_of(header), envelope.fingerprint(raw), folder)])


FIRST, SECOND, THIRD = (f"019a3f5c-1d2e-7000-8000-{n:012x}" for n in (0x10, 0x11, 0x200))


@pytest.mark.parametrize(
    ("beginning", "code"),
    [
        (FIRST[:8], "NOT_FOUND"),  # three begin so
        (SECOND[:-1], "NOT_FOUND"),  # two
        (FIRST[:7], "BAD_INPUT"),
        (FIRST + "0", "BAD_INPUT"),
        ("../../../x", "BAD_INPUT"),
        ("*" * 8, "BAD_INPUT"),
        ("0" * 8, "NOT_FOUND"),
        (THIRD, "NOT_FOUND"),  # dealt with before
    ],
)
def test_id_that_names_not_exactly_one_envelope_is_refused(fed: Summary, beginning: str, code: str) -> None:
    at = Home(fed.config("ee/exchange"))
    put(at, Folder.NEW, FIRST, SECOND)
    put(at, Folder.DONE, THIRD)
    if beginning == THIRD:
        assert error_of(run(fed, "ee/exchange", "inbox", "--done", beginning)) == (2, code, "id")
        return
    for arguments in (["inbox", "--open", beginning], ["send", "report", beginning, "FILE"]):
        result = run(fed, "ee/exchange", *arguments)
        # The file is read first, and there is none.
        expected = (2, "BAD_INPUT", "file") if "report" in arguments else (2, code, "id")
        assert error_of(result) == expected


def test_envelope_is_listed_until_it_is_dealt_with(fed: Summary) -> None:
    put(Home(fed.config("ee/exchange")), Folder.NEW, FIRST, THIRD)
    result = run(fed, "ee/exchange", "inbox", "--done", FIRST)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"done": FIRST})
    result = run(fed, "ee/exchange", "inbox", "--no-collect")
    (left,) = json.loads(result.stdout)["unhandled"]
    assert (left["id"], left["kind"], left["sender"]) == (THIRD, "domestic-order", world.COURT)


def test_central_authority_can_read_the_request_that_it_is_to_countersign(fed: Summary, tmp_path: Path) -> None:
    path = written(tmp_path, paperwork.request(grounds="moved\u009bto here"))
    draft: list[str | Path] = ["send", "draft", path, *ADDRESSED, *LAW, "--within", "0.2"]
    assert error_of(run(fed, "ee/prosecutor", *draft))[1] == "UNAVAILABLE"  # no node is running
    (sent,) = (raw for raw in kept(fed, "ee/prosecutor") if raw.parent.name == "sent")
    raw = pb.SignedEnvelope.FromString(sent.read_bytes())
    ref = envelope.ref_of(envelope.parse_header(raw))
    at = Home(fed.config("ee/central-authority"))
    at.participant.maildir.put([Arrival(raw, ref, envelope.fingerprint(raw), Folder.NEW)])
    shown = json.loads(run(fed, "ee/central-authority", "inbox", "--open", ref.id).stdout)
    assert (shown["kind"], shown["signers"]) == ("draft", ["ee/prosecutor"])
    assert (shown["carries"]["kind"], shown["carries"]["document"]["offence"]["facts"]) == ("freeze-request", "fraud")
    settings = ["--config", str(fed.config("ee/central-authority"))]
    text = CliRunner().invoke(cli.commands, ["inbox", "--open", ref.id, *settings]).stdout
    assert "\u009b" not in text
    assert "moved" in text
    listed = CliRunner().invoke(cli.commands, ["inbox", "--no-collect", *settings]).stdout
    assert ref.id in listed
    assert "moved" not in listed
    signed = CliRunner().invoke(cli.commands, ["send", "countersign", ref.id[:12], "--dry-run", *settings]).stdout
    assert "composed and checked, not sent" in signed


@pytest.mark.parametrize("both", [["--no-collect", "--wait", "1"], ["--open", FIRST, "--done", FIRST]])
def test_inbox_does_one_thing_at_a_time(fed: Summary, both: list[str]) -> None:
    assert CliRunner().invoke(cli.commands, ["inbox", *both, "--config", "x"]).exit_code == 2


def test_words_of_enums_are_those_of_the_contract() -> None:
    assert home.words(ids.Measure.DESCRIPTOR) == {
        "block-withdrawal": 1,
        "block-conversion": 2,
        "hold-incoming": 3,
        "confiscate": 4,
        "transfer": 5,
        "take-down": 6,
    }
    assert home.word(ids.Outcome.DESCRIPTOR, 0) == ""


# Reports of several exchanges


def received(report: orders.ExecutionReport) -> Received:
    made = world.send(
        ids.KIND_EXECUTION_REPORT,
        world.EXCHANGE,
        world.COURT,
        body=documents.encode(report),
        outcome=report.outcome,
        ground=ids.GROUND_IMPOSSIBLE if report.outcome == ids.OUTCOME_REFUSED else ids.GROUND_UNSPECIFIED,
    )
    opened = envelope.open_envelope(made.envelope, world.COURT, [world.sealing_key(world.COURT)])
    return Received(made.envelope, opened, report)


def nothing(*wallets: evidence.WalletIdentifier, **changes: Any) -> orders.ExecutionReport:
    results = [paperwork.result(orders.FREEZE_STATUS_NOT_FOUND, each) for each in wallets]
    fields = {
        "outcome": ids.OUTCOME_REFUSED,
        "results": results,
        "measures": [],
        "data_classes": [],
        "transactions": [],
    }
    return paperwork.report(**fields | changes)


def test_one_report_is_passed_on_as_it_is_without_its_remarks() -> None:
    report, ground = send.merge([received(nothing(paperwork.wallet(), remarks="for the court alone"))])
    assert (report, ground) == (nothing(paperwork.wallet()), ids.GROUND_IMPOSSIBLE)


def test_what_one_exchange_found_outweighs_that_another_has_no_such_customer() -> None:
    empty, full = received(nothing(paperwork.wallet())), received(paperwork.report())
    for reports in ([empty, full], [full, empty], [full, full]):
        report, ground = send.merge(reports)
        assert (report, ground) == (paperwork.report(), ids.GROUND_UNSPECIFIED)


def test_reports_on_several_wallets_come_to_a_part() -> None:
    other = paperwork.wallet("12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx")
    report, ground = send.merge([received(paperwork.report()), received(nothing(other))])
    assert (report.outcome, ground) == (ids.OUTCOME_PARTLY_GRANTED, ids.GROUND_UNSPECIFIED)
    assert [result.wallet for result in report.results] == [paperwork.wallet(), other]
    report, ground = send.merge([received(nothing(other)), received(nothing(paperwork.wallet()))])
    assert (report.outcome, ground) == (ids.OUTCOME_REFUSED, ids.GROUND_IMPOSSIBLE)


def test_what_several_exchanges_recovered_is_told_together_unless_it_may_be_the_same() -> None:
    here, other = paperwork.wallet(), paperwork.wallet("12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx")
    ten = {"property": "ether", "estimated_value": evidence.Money(currency="EUR", amount="10.10")}
    many = "9" * 29 + "." + "0" * 17 + "1"
    one = {"property": "bitcoin", "estimated_value": evidence.Money(currency="EUR", amount=many)}
    report, _ = send.merge([received(nothing(here, **ten)), received(nothing(other, **one))])
    assert report.estimated_value == evidence.Money(currency="EUR", amount="1" + "0" * 27 + "09.1" + "0" * 16 + "1")
    assert report.property == "ether; bitcoin"
    francs = {"property": "bitcoin", "estimated_value": evidence.Money(currency="CHF", amount="1")}
    for second in (nothing(here, **ten), nothing(other, **francs)):
        report, _ = send.merge([received(nothing(here, **ten)), received(second)])
        assert not report.HasField("estimated_value")


def test_reports_that_contradict_each_other_are_not_merged() -> None:
    other = paperwork.report(results=[paperwork.result(frozen=[paperwork.bitcoin("6")])])
    with pytest.raises(Refusal) as caught:
        send.merge([received(paperwork.report()), received(other)])
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_INPUT, "report")
