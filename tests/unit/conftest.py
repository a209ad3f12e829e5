"""For unit tests: a signed directory that each test may spoil."""

import shutil
from pathlib import Path

import pytest

from tests import registry
from tests.registry import Registry


@pytest.fixture(scope="session")
def template_registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return registry.make(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def made(template_registry: Registry, tmp_path: Path) -> Registry:
    return Registry(shutil.copytree(template_registry.folder, tmp_path / "fed"))
