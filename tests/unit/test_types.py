"""Each stage's proof is made by that stage alone: whoever could make one elsewhere could leave the stage out."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROOFS = {
    "Claimed": "gateway/receive.py",
    "Peer": "gateway/authenticate.py",
    "Permit": "gateway/authorise.py",
    "VerifiedEnvelope": "gateway/verify.py",
    "LawfulStep": "gateway/procedure.py",
    "Recorded": "gateway/record.py",
    "Route": "gateway/dispatch.py",
    "Opened": "gateway/envelope.py",
}
# What makes or changes an object without naming its type.
BACK_DOORS = {"replace", "__new__", "__setattr__", "__replace__", "__reduce__", "__setstate__"}


@cache
def trees() -> dict[str, ast.Module]:
    """Return all modules; when a test asks, for to parse them takes seconds that every collection would take."""
    paths = (path for folder in ("gateway", "clients") for path in sorted((ROOT / folder).rglob("*.py")))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def constructed(tree: ast.Module, name: str) -> bool:
    """Whether a module calls a type of that name, or takes it by a name of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == name:
                return True
            if isinstance(called, ast.Attribute) and called.attr == name:
                return True
        if isinstance(node, ast.alias) and node.name == name and node.asname not in (None, name):
            return True
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id == name:
            return True
    return False


def opens_back_door(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        taken = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        if isinstance(node, ast.ImportFrom) and node.module in ("dataclasses", "copy") and taken & BACK_DOORS:
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in BACK_DOORS:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in ("object", "dataclasses", "copy"):
                return True
    return False


@pytest.mark.parametrize(("name", "home"), PROOFS.items())
def test_proof_is_made_in_its_own_stage_and_nowhere_else(name: str, home: str) -> None:
    assert [module for module, tree in trees().items() if constructed(tree, name)] == [home]


@pytest.mark.parametrize(("name", "home"), PROOFS.items())
def test_proof_is_frozen(name: str, home: str) -> None:
    (found,) = [node for node in ast.walk(trees()[home]) if isinstance(node, ast.ClassDef) and node.name == name]
    assert "dataclass(frozen=True, slots=True)" in [ast.unparse(decorator) for decorator in found.decorator_list]


def test_no_module_of_the_gateway_copies_or_changes_anything_by_a_back_door() -> None:
    # Clients and the command line hold `Opened` alone, from which nobody decides anything. What lies below the stages
    # can name no proof; nor can what a process starts from, by a contract of its own in pyproject.toml.
    below = ("gateway/formats", "gateway/conditions.py", "gateway/story.py")
    apart = ("gateway/cli", *below, "gateway/material.py", "gateway/trust", "gateway/upkeep.py")
    stages = [name for name in trees() if name.startswith("gateway") and not name.startswith(apart)]
    assert [name for name in stages if opens_back_door(trees()[name])] == []


@pytest.mark.parametrize(
    "source",
    ["Permit(1)", "authorise.Permit(1)", "from gateway.authorise import Permit as P", "Alias = Permit"],
)
def test_every_way_to_make_a_proof_is_seen(source: str) -> None:
    assert constructed(ast.parse(source), "Permit")


@pytest.mark.parametrize(
    "source", ["from dataclasses import replace", "object.__new__(Permit)", "object.__setattr__(permit, 'rule', 1)"]
)
def test_every_back_door_is_seen(source: str) -> None:
    assert opens_back_door(ast.parse(source))
