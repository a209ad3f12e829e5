"""The demo, as a newcomer runs it: real processes, and nothing in its output that must not be there."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

pytestmark = pytest.mark.integration

OFAC = Path(__file__).parents[1] / "data" / "ofac_addresses.json"
MUST_BE_REFUSED = {
    "exchange starting a request": "NOT_PERMITTED",
    "foreign order straight to an exchange": "NOT_PERMITTED",
    "order without a granted decision": "OUT_OF_ORDER",
    "missing countersignature": "NOT_COUNTERSIGNED",
    "altered header": "BAD_SIGNATURE",
    "replay with other bytes": "ID_CONFLICT",
}


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "demo", *arguments]
    path = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(  # noqa: PLW1510  the status is what is tested
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=110
    )


def test_freeze_of_a_real_sanctions_list_crosses_two_countries(tmp_path: Path) -> None:
    done = demo("--wallets", str(OFAC), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["ok"]
    wallets = len(json.loads(OFAC.read_bytes()))
    assert [summary["wallets"][key] for key in ("asked", "carried", "verified")] == [wallets] * 3
    refused = {each["attack"]: each["code"] for each in summary["refusals"]}
    assert MUST_BE_REFUSED.items() <= refused.items()
    assert summary["nodes_killed"] == 1
    assert {"accepted", "delivered", "opened", "decided", "executed"} <= summary["milestones"].keys()
    assert summary["receipts_verified"] == sum(summary["milestones"].values())


def test_list_longer_than_one_request_is_carried_whole(tmp_path: Path) -> None:
    entries = [{"chain": "ethereum", "address": f"0x{number:040x}"} for number in range(501)]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    done = demo("--wallets", "list.json", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["wallets"]["verified"] == len(entries)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '[{"chain": "bitcoin"}]', "no json", '[{"chain": "bitcoin", "address": "\\u0430"}]']
)
def test_unusable_list_is_refused_before_anything_starts(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.json").write_text(content)
    done = demo("--wallets", "list.json", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "BAD_INPUT"


def test_no_payload_and_no_key_is_in_any_output_and_what_is_kept_can_be_stopped(tmp_path: Path) -> None:
    done = demo("--keep", "--wallets", str(OFAC), "--json", cwd=tmp_path)
    summary = json.loads(done.stdout)
    folder = Path(summary["folder"])
    try:
        said = done.stdout + done.stderr + "".join(log.read_text() for log in folder.glob("*/node.log"))
        assert not [each["address"] for each in json.loads(OFAC.read_bytes()) if each["address"] in said]
        assert "pensioners" not in said, "the facts of the case were printed"
        keys = list(folder.rglob("*.key"))
        assert len(keys) > 20
        assert not [key for key in keys for form in forms(key) if form in said]
        assert not [key for key in keys if key.stat().st_mode & 0o077]
    finally:
        for process in summary["processes"].values():
            os.kill(process, signal.SIGTERM)
        subprocess.run(["rm", "-rf", str(folder.parent)], check=True)


def forms(path: Path) -> list[str]:
    """How a key might be printed."""
    key = load_pem_private_key(path.read_bytes(), None)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    secret = der[-32:]  # RFC 8410 section 7: the last 32 bytes, for Ed25519 and X25519
    body = "".join(path.read_text().splitlines()[1:-1])
    return [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], body[-40:]]
