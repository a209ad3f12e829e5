import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from clients.maildir import Arrival, Folder, Maildir
from gateway import cli, statement
from gateway.cli.development import Summary, free_ports, init_federation
from gateway.clock import to_micros
from gateway.identity import Address
from tests import world
from tests.world import Sent

PROSECUTOR, CENTRAL, THEIR_CENTRAL, THEIR_COURT = (
    "ee/prosecutor",
    "ee/central-authority",
    "de/central-authority",
    "de/court",
)
NOW = datetime.now(UTC)
DUE = NOW + timedelta(hours=12)
SCOPE: dict[str, Any] = {
    "measures": (ids.MEASURE_BLOCK_WITHDRAWAL,),
    "data_classes": (ids.DATA_CLASS_SUBSCRIBER,),
}


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A federation with one request: Estonia asks, Germany's court was asked, and a limit will soon run out."""
    fed = init_federation(tmp_path_factory.mktemp("fed"), ["ee", "de"], free_ports(2), NOW)
    request = world.send(
        ids.KIND_FREEZE_REQUEST, PROSECUTOR, THEIR_CENTRAL, now=NOW, instrument="eu-2018-1805", **SCOPE
    )
    referral = world.send(
        ids.KIND_REVIEW_REFERRAL, THEIR_CENTRAL, THEIR_COURT, cites=[request.ref], case_id="DE-7", now=NOW, **SCOPE
    )
    unsure = world.send(ids.KIND_WITHDRAWAL, PROSECUTOR, THEIR_CENTRAL, cites=[request.ref], now=NOW)
    ours, theirs, court = (maildir(fed, who) for who in (PROSECUTOR, THEIR_CENTRAL, THEIR_COURT))
    ours.keep_sent([request.envelope, unsure.envelope])
    say(ours, request, pb.MILESTONE_ACCEPTED, "ee/node")
    soon = {"clock_rule": clocks.CLOCK_RULE_ORDINARY_DECISION, "due_us": to_micros(DUE)}
    rival = ids.EnvelopeRef(sender="fr/prosecutor", id=request.ref.id)
    collect(theirs, request)
    for home in (ours, theirs):
        say(home, request, pb.MILESTONE_DUE_SOON, "de/node", **soon)
    say(theirs, request, pb.MILESTONE_COMPETING, "de/node", others=[rival])
    theirs.keep_sent([referral.envelope])
    say(theirs, referral, pb.MILESTONE_ACCEPTED, "de/node")
    collect(court, referral)
    return fed


def maildir(fed: Summary, who: str) -> Maildir:
    return Maildir(fed.config(who).parent / "home")


def say(home: Maildir, sent: Sent, milestone: pb.Milestone.ValueType, issuer: str, **fields: Any) -> None:
    said = world.say(milestone, sent, issuer, at_us=to_micros(NOW), **fields)
    (receipt,) = statement.issue([said], Address.parse(issuer, allow_node=True), world.signing_key(issuer))
    home.keep_receipts([(sent.ref, receipt)])


def collect(home: Maildir, sent: Sent) -> None:
    with home.collecting() as collector:
        collector.put([Arrival(sent.envelope, sent.ref, sent.fingerprint, Folder.NEW)])


def run(fed: Summary, who: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli.commands, ["case", *arguments, "--config", str(fed.config(who))])


def shown(fed: Summary, who: str, *arguments: str) -> Any:
    result = run(fed, who, *arguments, "--json")
    assert result.exit_code == 0, result.stdout
    return json.loads(result.stdout)


def test_state_turn_and_limit_of_a_matter_are_shown(fed: Summary) -> None:
    (matter,) = shown(fed, PROSECUTOR, "EE-1")["matters"]
    assert (matter["kind"], matter["state"], matter["turn"]) == ("freeze-request", "asked", THEIR_CENTRAL)
    (limit,) = matter["limits"]
    assert (limit["rule"], limit["milestone"]) == ("ordinary-decision", "due-soon")
    assert limit["due_at"] == DUE.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert [event.get("milestone", event.get("kind")) for event in matter["history"]] == [
        "freeze-request",
        "accepted",
        "due-soon",
    ]


def test_what_may_be_done_next_is_shown_with_what_it_may_say(fed: Summary) -> None:
    case = shown(fed, THEIR_COURT, "DE-7")
    referral = case["matters"][0]["id"]
    (decision,) = [step for step in case["next"] if step["kind"] == "review-decision"]
    assert (decision["to"], decision["cites"]) == ([THEIR_CENTRAL], {"sender": THEIR_CENTRAL, "id": referral})
    assert {each["outcome"] for each in decision["allowed"]} == {"granted", "partly-granted", "refused", "postponed"}
    granted = next(each for each in decision["allowed"] if each["outcome"] == "granted")
    assert (granted["measures"], granted["data_classes"]) == (["block-withdrawal"], ["subscriber"])
    assert decision["law"].startswith("2018/1805 Art. 3")
    assert case["waiting"] == []


def test_people_read_whose_turn_it_is_and_what_they_wait_for(fed: Summary) -> None:
    result = run(fed, PROSECUTOR, "EE-1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    request = shown(fed, PROSECUTOR, "EE-1")["matters"][0]["id"]
    assert lines[0] == "case EE-1"
    assert f"  withdrawal to {THEIR_CENTRAL}, on freeze-request {request} (2018/1805 Art. 27(1)-(2))" in lines
    (waiting,) = [line for line in lines if line.startswith("Waiting for")]
    assert waiting.startswith(f"Waiting for: {THEIR_CENTRAL}, on freeze-request {request}, ordinary-decision due soon")
    assert any(line.startswith("Not known to be accepted: withdrawal") for line in lines)
    ours = run(fed, THEIR_COURT, "DE-7").stdout.splitlines()
    assert any("review-referral" in line and "  you" in line for line in ours)
    assert not any(line.startswith("Waiting for") for line in ours)


def test_rivals_are_told_to_whoever_was_asked_and_to_nobody_else(fed: Summary) -> None:
    assert "The same target as freeze-request" in run(fed, THEIR_CENTRAL, "EE-1").stdout
    assert "The same target" not in run(fed, PROSECUTOR, "EE-1").stdout


def test_case_is_found_under_the_ids_of_both_sides(fed: Summary) -> None:
    assert shown(fed, THEIR_CENTRAL, "EE-1") == shown(fed, THEIR_CENTRAL, "DE-7")
    (listed,) = shown(fed, THEIR_CENTRAL)["cases"]
    assert (listed["case_ids"], listed["open"], listed["ours"]) == (["EE-1", "DE-7"], 2, 1)
    assert listed["turn"] == [THEIR_CENTRAL, THEIR_COURT]
    assert "EE-1, DE-7" in run(fed, THEIR_CENTRAL).stdout


def test_without_anything_there_is_nothing_to_show(fed: Summary) -> None:
    assert run(fed, CENTRAL).stdout == "nothing\n"
    assert shown(fed, CENTRAL) == {"cases": []}


def test_case_of_which_nothing_is_here_is_refused(fed: Summary) -> None:
    result = run(fed, THEIR_COURT, "EE-1", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (2, "NOT_FOUND")
    assert run(fed, THEIR_COURT, "EE-1").stderr.startswith("error NOT_FOUND")
