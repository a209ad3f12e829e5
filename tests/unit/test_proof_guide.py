"""Pages that name tests name tests that there are: no promise, threat or attack goes untried unseen."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
GUIDES = {name: (DOCS / f"{name}.md").read_text() for name in ("proof", "explanation/promises", "explanation/threats")}
ROWS = [(name, line) for name, text in GUIDES.items() for line in text.splitlines() if re.match(r"\| .*`test_", line)]


@cache
def defined() -> set[str]:
    return {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("text", GUIDES.values(), ids=GUIDES.keys())
def test_every_test_that_is_named_is_there(text: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named
    assert named - defined() == set()


@pytest.mark.parametrize(("guide", "row"), ROWS, ids=[f"{guide}: {row.split('|')[1].strip()}" for guide, row in ROWS])
def test_every_attack_has_a_promise_and_a_test(guide: str, row: str) -> None:
    attack, *promise, tests = row.strip("| ").split(" | ")
    assert attack
    assert guide == "explanation/promises" or all(promise)
    assert re.fullmatch(r"(`test_\w+` ?)+", tests)


@pytest.mark.parametrize("text", GUIDES.values(), ids=GUIDES.keys())
def test_no_row_of_a_table_with_tests_is_without_one(text: str) -> None:
    tables = [table for table in re.split(r"\n\n+", text) if table.partition("\n")[0].endswith("| tests |")]
    assert tables
    assert [line for table in tables for line in table.splitlines()[2:] if "`test_" not in line] == []
