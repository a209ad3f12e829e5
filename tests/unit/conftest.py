"""For unit tests: a signed directory that each test may spoil, and a store in a file."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import registry, stores
from tests.registry import Registry


@pytest.fixture(scope="session")
def template_registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return registry.make(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def made(template_registry: Registry, tmp_path: Path) -> Registry:
    return Registry(shutil.copytree(template_registry.folder, tmp_path / "fed"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store is or may be made."""
    return tmp_path / "store.db"


@pytest.fixture
def sql(path: Path) -> Iterator[Any]:
    with stores.opened(path) as opened:
        yield opened
