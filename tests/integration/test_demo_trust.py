"""The story of trust, as a newcomer runs it: three real nodes, and the commands that operators use."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment, said, started_by, still_there

SECONDS = 300

pytestmark = [pytest.mark.integration, pytest.mark.timeout(SECONDS)]


def test_federation_is_founded_takes_an_exchange_in_changes_every_key_and_puts_it_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "demo-trust", "--json"]
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(  # noqa: PLW1510  the status is what is tested
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told.get("problems") == [], told
    assert (done.returncode, told["ok"]) == (0, True)
    assert told["requests_carried_while_keys_changed"] > 0
    assert {each.split()[1] for each in told["keys_rotated"]} == {"signing", "sealing", "tls"}
    assert {each.split()[0] for each in told["keys_rotated"]} >= {"ee/prosecutor", "ee/node", "de/node"}
    assert told["self_test_checks"] > 0
    assert told["refused"] == {
        "one registrar approves twice": "FOUR_EYES",
        "enrolment code used again": "ENROLMENT_CODE",
        "revoked exchange with an open stream": "REVOKED",
        "a participant, by an expired directory": "DIRECTORY_EXPIRED",
    }
    assert list(tmp_path.iterdir()) == []


WITHOUT_FINLAND = """
from gateway.cli import main
from gateway.cli.demo import trust

async def grow(stage):
    stage.tell("nobody joins")

trust.grow = grow
main()
"""


async def test_story_of_trust_that_is_told_to_end_ends_its_nodes_and_whoever_waits_to_be_let_in() -> None:
    # The second act takes as long as all that is looked at here.
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_FINLAND, "demo-trust"), stdout=asyncio.subprocess.PIPE, env=environment()
    )
    assert demo.stdout is not None
    await said(demo.stdout, b"waits for the registrars")
    started = started_by(demo.pid)
    assert len(started) >= 3  # two nodes, and whoever waits
    demo.terminate()
    assert await asyncio.wait_for(demo.wait(), 60) == 128 + signal.SIGTERM
    assert still_there(started) == []
