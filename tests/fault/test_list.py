"""The list of faults is complete: whoever reads it knows what is tried."""

import re
from pathlib import Path

import pytest

from tests.fault.test_crashes import STAGES

pytestmark = pytest.mark.fault

HERE = Path(__file__).parent
LIST = (HERE / "README.md").read_text()


def test_list_of_faults_names_every_test_and_no_other() -> None:
    files = [each for each in HERE.glob("test_*.py") if each != Path(__file__)]
    tests = {
        name for each in files for name in re.findall(r"^(?:async )?def (test_\w+)", each.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"`(test_\w+)`", LIST)) == tests


def test_list_of_faults_names_every_point_at_which_a_node_is_killed() -> None:
    assert not {point for point in STAGES if f"`{point}`" not in LIST}
