"""docs/deployment.md, Backup and restore: its commands, typed as they stand, on either engine."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from rogatory.v1 import envelope_pb2 as pb

from gateway import config
from gateway.cli import commands
from gateway.cli.bench.postgres import programs
from gateway.clock import to_micros
from gateway.config import NodeConfig
from gateway.errors import ErrorCode, Refusal
from gateway.store import backup, open_store, restored
from tests import stores
from tests.federation import Federation, federation, ref

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0


def commands_of(title: str) -> list[str]:
    """Return the fences of a section of the guide."""
    section = (ROOT / "docs/deployment.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


class Machine:
    """Where the guide's commands run: its folders are below one of ours, and nothing else is changed in them."""

    def __init__(self, folder: Path, node: Path, **environment: str) -> None:
        self.folder = folder
        own = folder / "bin"
        own.mkdir()
        (own / "rogatory").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway.cli "$@"\n')
        # Whose processes a test starts and stops itself.
        (own / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> "{folder}/systemctl"\n')
        for each in own.iterdir():
            each.chmod(0o755)
        self._places = {"/var/lib/rogatory/node": str(node), "/var/lib/rogatory": str(folder), "/backup/": f"{folder}/"}
        self._environment = os.environ | environment
        self._environment["PATH"] = f"{own}{os.pathsep}{os.environ['PATH']}"
        self._environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "proto")])

    def type(self, script: str, until: str | None = None) -> str:
        """Run a script to its end; or until it says that word, and then press Ctrl-C. Return what it said."""
        for place, ours in self._places.items():
            script = script.replace(place, ours)
        running = subprocess.Popen(
            ["/bin/sh", "-euc", script],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = ""
        try:
            if until is not None:
                assert running.stdout is not None
                deadline = time.monotonic() + READY_SECONDS
                while until not in said.split() and time.monotonic() < deadline and (line := running.stdout.readline()):
                    said += line
                assert until in said.split(), said
                os.killpg(running.pid, signal.SIGINT)
            said += running.communicate(timeout=READY_SECONDS)[0]
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
        assert running.returncode in ({0} if until is None else {0, 130, -signal.SIGINT}), said
        return said


async def send(fed: Federation, case: str) -> str:
    made = fed.request(case_id=case)
    assert (await fed.actor("ee/prosecutor").submit(made)).milestone == pb.MILESTONE_ACCEPTED
    return ref(made).id


@pytest.mark.file
async def test_lost_file_is_put_back_as_the_guide_says(tmp_path: Path) -> None:
    saving, putting_back = commands_of("Backup and restore")[:2]
    async with federation(tmp_path / "fed") as fed:
        node = fed.summary.config("ee/node").parent
        machine = Machine(tmp_path, node)
        kept = await send(fed, "EE-1")
        said = await asyncio.to_thread(machine.type, saving)
        assert " failed" not in said
        forgotten = await send(fed, "EE-2")
    said = await asyncio.to_thread(machine.type, putting_back, "ready")
    assert "checks passed" in said
    assert (tmp_path / "systemctl").read_text().startswith("stop rogatory.service")
    found = {row[0] for row in stores.rows(fed.store("ee"), "SELECT id FROM envelopes")}
    assert kept in found
    assert forgotten not in found
    lost = tmp_path / "store-that-was-lost/node.db"
    assert {kept, forgotten} <= {row[0] for row in stores.rows(lost, "SELECT id FROM envelopes")}
    (taken_up,) = stores.rows(fed.store("ee"), "SELECT taken_up_at_us IS NOT NULL FROM restorations")
    assert taken_up == (1,)


async def test_database_put_back_by_its_server_is_known_to_have_forgotten(tmp_path: Path) -> None:
    if not stores.is_postgres():
        # What says so is for databases alone.
        async with federation(tmp_path / "fed") as fed:
            assert restore(fed, "2026-01-01T00:00:00") == "BAD_CONFIG"
        return
    async with federation(tmp_path / "fed") as fed:
        kept = await send(fed, "EE-1")
        dumped = await asyncio.to_thread(dump, fed, tmp_path)
        await send(fed, "EE-2")
    settings = fed.summary.config("ee/node")
    database = str(stores.fresh(tmp_path / "unused"))
    settings.write_text(settings.read_text().replace(str(fed.store("ee")), database))
    machine = Machine(tmp_path, settings.parent, DATABASE=database, PATH_TO_PROGRAMS=str(programs()))
    load, note, serve = commands_of("Backup and restore")[2].splitlines()
    machine.type(f"PATH=$PATH_TO_PROGRAMS:$PATH; {load.replace('node-20261122T023000Z.dump', dumped.name)}")
    assert restore(fed, "2999-01-01T00:00:00") == "BAD_INPUT"  # nothing is of that moment yet
    assert stores.rows(database, "SELECT count(*) FROM restorations") == [(0,)]
    moment = datetime.strptime(dumped.name, "node-%Y%m%dT%H%M%SZ.dump").replace(tzinfo=UTC)
    said = machine.type(note.replace("2026-11-22T02:30:00", f"{moment:%Y-%m-%dT%H:%M:%S}"))
    assert "checks passed" in said
    connect, engine = open_store(database)
    engine.dispose()
    with pytest.raises(Refusal) as caught:  # what a node asks when it starts
        restored.take_up(connect, to_micros(fed.clock()), told=False)
    assert caught.value.code is ErrorCode.BAD_CONFIG
    await asyncio.to_thread(machine.type, serve, "ready")
    assert stores.rows(database, "SELECT taken_up_at_us IS NOT NULL FROM restorations") == [(True,)]
    assert [row[0] for row in stores.rows(database, "SELECT id FROM envelopes")] == [kept]


def restore(fed: Federation, moment: str) -> str:
    """Say that the database is of a moment; return the code of the refusal."""
    settings = str(fed.summary.config("ee/node"))
    told = CliRunner().invoke(commands, ["restore", "--config", settings, "--database-of", moment, "--json"])
    assert told.exit_code == 2
    return str(json.loads(told.stdout)["error"]["code"])


def dump(fed: Federation, folder: Path) -> Path:
    """Dump the database of ee as the cluster does each night."""
    made = yaml.safe_load_all((ROOT / "deploy/kubernetes/backup.yaml").read_text())
    (job,) = (each for each in made if each["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    shell, option, script = container["command"]
    environment = os.environ | {
        "DATABASE": str(config.load(NodeConfig, fed.summary.config("ee/node")).store),
        "PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [shell, option, script.replace("/backup", str(folder))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (dumped,) = folder.glob("node-*.dump")
    return dumped


def test_backups_of_a_folder_are_thinned_and_nothing_else_is(tmp_path: Path) -> None:
    def make(name: str, *, whole: bool = True) -> Path:
        (tmp_path / name).mkdir()
        if whole:
            (tmp_path / name / backup.MANIFEST).touch()
        return tmp_path / name

    days = [make(backup.name("ee", datetime(2026, 11, day, 2, 30, tzinfo=UTC))) for day in range(1, 6)]
    broken_off = make("ee-20261102T033000Z", whole=False)
    being_made = make("ee-20261106T023000Z", whole=False)
    others = [make("de-20261101T023000Z"), make("ee-20261101T023000Z.old"), make("ee-of-grandmother")]
    assert backup.thin(tmp_path, "ee", 3) == [days[0], days[1], broken_off]
    assert {*tmp_path.iterdir()} == {*days[2:], being_made, *others}
    assert backup.thin(tmp_path, "ee", 0) == days[2:4]
    assert {*tmp_path.iterdir()} == {days[4], being_made, *others}
