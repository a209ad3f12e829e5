"""The demo, as a newcomer runs it: real processes, and nothing in its output that must not be there."""

import base64
import json
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from clients.casefile import archive
from clients.casefile.contents import PRINT, REPORT
from gateway import cli, target_keys
from gateway.cli.demo import offline

SECONDS = 300

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SECONDS)]

OFAC = Path(__file__).parents[1] / "data" / "ofac_addresses.json"
MUST_BE_REFUSED = {
    "request whose draft was returned, with our library": "NOT_COUNTERSIGNED",
    "disclosure beyond the grant, with our library": "EXCEEDS_GRANT",
    "disclosure beyond the grant": "EXCEEDS_GRANT",
    "report beyond the order": "EXCEEDS_GRANT",
    "release confirmed while assets are held": "OUT_OF_ORDER",
    "order without a granted decision, with our library": "OUT_OF_ORDER",
    "emergency for more than identities, with our library": "EXCEEDS_GRANT",
    "confirmation of what has lapsed": "OUT_OF_ORDER",
    "exchange starting a request": "NOT_PERMITTED",
    "foreign order straight to an exchange": "NOT_PERMITTED",
    "order without a granted decision": "OUT_OF_ORDER",
    "missing countersignature": "NOT_COUNTERSIGNED",
    "altered header": "BAD_SIGNATURE",
    "replay with other bytes": "ID_CONFLICT",
}


INVESTIGATOR, AUTHORITY = "ee/prosecutor", "de/central-authority"


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "demo", *arguments]
    path = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(  # noqa: PLW1510  the status is what is tested
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=SECONDS
    )


def standing(state: str, *parties: str) -> dict[str, str]:
    """The same state, by the word of each party's node and of each party."""
    nodes = [f"{party[:2]}/node" for party in parties]
    return dict.fromkeys([*dict.fromkeys(nodes), *parties], state)


def test_all_of_due_process_happens_between_two_countries_and_no_output_has_a_payload_or_a_key(tmp_path: Path) -> None:
    done = demo("--keep", "--wallets", str(OFAC), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    folder = Path(summary["folder"])
    try:
        check_what_is_kept(folder, done.stdout + done.stderr)
    finally:
        for process in summary["processes"].values():
            os.kill(process, signal.SIGTERM)
        subprocess.run(["rm", "-rf", str(folder.parent)], check=True)
    check_what_happened(summary, tmp_path)


def check_what_happened(summary: dict[str, Any], folder: Path) -> None:
    assert summary["ok"]
    assert summary["problems"] == []
    check_what_was_carried(summary)
    check_what_was_handed_over(summary, folder)
    scenes = summary["scenes"]
    check_freeze(scenes["freeze"])
    assert scenes["refusal"] == {
        "consulted_on": "no-dual-criminality",
        "ground": "no-dual-criminality",
        "order": ["OUT_OF_ORDER", "OUT_OF_ORDER"],
        "request": standing("refused", INVESTIGATOR, AUTHORITY),
    }
    assert scenes["emergency"] == {
        "more_than_identities": "EXCEEDS_GRANT",
        "disclosed": ["subscriber"],
        "limits_ended": ["ex-post-validation"],
        "request": standing("granted", INVESTIGATOR, AUTHORITY),
    }
    heard = ["due-soon", "lapsed"]
    assert scenes["lapse"] == {
        # The German unit is a party to both: it was asked, and it ordered.
        "told": {"ee/fiu": heard, "de/fiu": sorted(heard * 2), "de/exchange": heard},
        "request": standing("lapsed", "ee/fiu", "de/fiu"),
        "order": standing("lapsed", "de/fiu", "de/exchange"),
        "confirmed_too_late": "OUT_OF_ORDER",
    }
    assert scenes["confirmation"] == {
        "told": [],
        "request": standing("confirmed", "ee/fiu", "de/fiu"),
        "order": standing("confirmed", "de/fiu", "de/exchange"),
    }


def check_what_was_handed_over(summary: dict[str, Any], folder: Path) -> None:
    """The files are there when the demo has gone, and hold for whoever has the root keys alone."""
    case_file, report, printed = (Path(summary[name]) for name in ("case_file", "report", "report_pdf"))
    assert case_file.parent == report.parent == printed.parent == folder / "build" / "demo"
    assert {each["name"]: each["status"] for each in summary["checks"]}.items() >= {
        "report": "passed",
        "log": "passed",
    }.items()
    done = CliRunner().invoke(cli.commands, ["verify", str(case_file), "--root", summary["root"], "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["holds"], told["checks"]) == (0, True, summary["checks"])
    members = archive.unpack(case_file.read_bytes())
    assert report.read_bytes() == members[REPORT]
    assert printed.read_bytes() == members[PRINT]
    page = report.read_text()
    for part in ("EE-2026-1", "Cover sheet", "Timeline", "Flow of funds, picture 1", "main hearing"):
        assert part in page


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_demo_that_is_told_to_end_ends_its_nodes(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "gateway.cli", "demo"]
    path = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said = iter(running.stdout.readline, "")
        nodes = [int(line.rpartition(" ")[2]) for line in islice((each for each in said if "is up" in each), 2)]
        running.send_signal(number)
        running.stdout.read()
        assert running.wait() == 128 + number
    assert len(nodes) == 2
    for node in nodes:
        with pytest.raises(ProcessLookupError):
            os.kill(node, 0)


def test_process_that_verifies_offline_ends_when_it_wants_a_socket() -> None:
    script = (
        "import sys, socket; from gateway.cli.demo import offline; sys.addaudithook(offline.refuse_sockets);"
        "socket.create_connection(('127.0.0.1', 1))"
    )
    env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)  # noqa: PLW1510  as above
    assert done.returncode == offline.CUT_OFF
    assert "offline" in done.stderr


def check_freeze(freeze: dict[str, Any]) -> None:
    assert freeze["returned"] == standing("returned", INVESTIGATOR, "ee/central-authority")
    assert (freeze["outcome"], freeze["dual_criminality"]) == ("partly-granted", "listed-offence")
    assert freeze["objection"] == "refused"
    assert freeze["executed"] == standing("partly executed", INVESTIGATOR, AUTHORITY)
    assert freeze["beyond_the_grant"] == ["EXCEEDS_GRANT", "EXCEEDS_GRANT"]
    assert freeze["disclosed"] == ["transactional"]
    assert freeze["case"]["state"] == "partly executed"
    assert "withdrawal" in freeze["case"]["next"]
    assert freeze["confirmed_too_early"] == "OUT_OF_ORDER"
    assert freeze["order"] == standing("released", "de/court", "de/exchange")
    assert freeze["request"] == standing("released", INVESTIGATOR, AUTHORITY)


def check_what_was_carried(summary: dict[str, Any]) -> None:
    wallets = len(json.loads(OFAC.read_bytes()))
    assert [summary["wallets"][key] for key in ("asked", "carried", "verified")] == [wallets] * 3
    refused = {each["attack"]: each["code"] for each in summary["refusals"]}
    assert MUST_BE_REFUSED.items() <= refused.items()
    assert summary["nodes_killed"] == 1
    assert {"accepted", "delivered", "opened", "decided", "executed"} <= summary["milestones"].keys()
    # Two matters, two parties each.
    assert (summary["milestones"]["due_soon"], summary["milestones"]["lapsed"]) == (4, 4)
    assert "overdue" not in summary["milestones"]
    assert summary["receipts_verified"] == sum(summary["milestones"].values())


def test_list_longer_than_one_request_of_which_nothing_can_be_frozen_goes_the_whole_way_too(tmp_path: Path) -> None:
    entries = [{"chain": "Beam", "address": f"3b1c7f0a9de24cb78f6d{number:04x}"} for number in range(501)]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    done = demo("--wallets", "list.json", "--json", cwd=tmp_path)
    summary = json.loads(done.stdout)
    assert (summary["problems"], done.returncode) == ([], 0)
    assert summary["wallets"]["carried"] == len(entries)
    assert summary["scenes"]["freeze"]["executed"] == standing("unavailable", INVESTIGATOR, AUTHORITY)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '[{"chain": "bitcoin"}]', "no json", '[{"chain": "bitcoin", "address": "\\u0430"}]']
)
def test_unusable_list_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "list.json").write_text(content)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.commands, ["demo", "--wallets", "list.json", "--json"])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["code"] == "BAD_INPUT"
    assert [each.name for each in tmp_path.iterdir()] == ["list.json"]


def check_what_is_kept(folder: Path, said: str) -> None:
    said += "".join(log.read_text() for log in folder.glob("*/node.log"))
    assert not [each["address"] for each in json.loads(OFAC.read_bytes()) if each["address"] in said]
    assert "pensioners" not in said, "the facts of the case were printed"
    keys = list(folder.rglob("*.key"))
    assert len(keys) > 20
    assert not [key for key in keys for form in forms(key) if form in said]
    assert not [key for key in keys if key.stat().st_mode & 0o077]


def forms(path: Path) -> list[str]:
    """How a key might be printed."""
    content = path.read_bytes()
    if target_keys.is_target_key(content):
        secret = target_keys.read(content).reveal()
    else:
        key = load_pem_private_key(content, None)
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        secret = der[-32:]  # RFC 8410 section 7: the last 32 bytes, for Ed25519 and X25519
    body = "".join(path.read_text().splitlines()[1:-1])
    return [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], body[-40:]]
