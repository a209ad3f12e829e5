"""In processes of their own: what is set here cannot be taken back."""

import resource
import subprocess
import sys

import pytest

from tests.processes import environment

# `PR_GET_DUMPABLE` is 3. A core file would land in the folder that the process runs in.
FORBID = """
import ctypes, os, resource, sys
from pathlib import Path
from gateway import dumps
if sys.argv[1] == "forbid":
    dumps.forbid()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
child = os.fork()
if child == 0:
    os.abort()
print(os.WCOREDUMP(os.waitpid(child, 0)[1]))
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")


def run(what: str, folder: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FORBID, what], cwd=folder, env=environment(), check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


@linux
def test_a_process_that_forbids_core_dumps_leaves_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("core")
    assert run("forbid", str(folder)) == ["0 0 0", "False"]
    assert [*folder.iterdir()] == []


@linux
def test_without_it_a_process_could_be_dumped(tmp_path_factory: pytest.TempPathFactory) -> None:
    flag, _, most = run("leave", str(tmp_path_factory.mktemp("core")))[0].split()
    assert flag == "1"
    assert int(most) == resource.getrlimit(resource.RLIMIT_CORE)[1]


@linux
def test_the_command_line_forbids_them_before_anything_else() -> None:
    probe = (
        "import resource, sys, ctypes\nfrom gateway import cli\n"
        "def look():\n    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))\n"
        "cli.commands = lambda prog_name: look()\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], env=environment(), check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "0", "0"]
