"""The Makefile on a machine that has nothing yet, or too little; Python is played by a script."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Makes what `python -m venv` makes, in its order; FAILS: as on a Debian without python3-venv, before it has pip.
PYTHON = """#!/bin/sh
case "$*" in
*sys.version_info*) exit "${OLD:-0}" ;;
"-m venv .venv")
    echo venv >> calls
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python
    [ -z "$FAILS" ] || exit 1
    cp "$0" .venv/bin/pip
    printf '#!/bin/sh\\necho "rogatory $*" >> calls\\n' > .venv/bin/rogatory
    chmod +x .venv/bin/rogatory ;;
"-m pip"*) echo pip >> calls ;;
*) exit 1 ;;
esac
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder, with a blank in its name, as cloned."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def make(folder: Path, **more: str) -> tuple[int, list[str]]:
    """Run `make demo`; return its status, and what was called meanwhile."""
    calls = folder / "calls"
    calls.write_text("")
    # Not the make that may run these tests: its options and jobs are its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "demo", "PYTHON=./python"]
    done = subprocess.run(command, cwd=folder, env=env | more, capture_output=True, check=False)
    return done.returncode, calls.read_text().splitlines()


def test_a_first_run_makes_the_environment_and_a_second_one_finds_it(fresh: Path) -> None:
    assert make(fresh) == (0, ["venv", "pip", "pip", "rogatory demo"])
    assert make(fresh) == (0, ["rogatory demo"])


def test_an_environment_that_was_begun_and_has_no_pip_is_made_again(fresh: Path) -> None:
    status, calls = make(fresh, FAILS="1")
    assert status != 0
    assert calls == ["venv"]
    assert make(fresh) == (0, ["venv", "pip", "pip", "rogatory demo"])


def test_a_python_that_is_too_old_makes_nothing(fresh: Path) -> None:
    status, calls = make(fresh, OLD="1")
    assert status != 0
    assert calls == []
    assert not (fresh / ".venv").exists()
