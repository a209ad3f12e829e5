"""Every test of this tier runs on both engines, unless no node keeps anything in it."""

from collections.abc import Iterator
from inspect import signature

import pytest

from tests import stores

# They start no node, or one whose store nothing is asked of; or what is shown on the embedded default.
NO_STORE = {
    "test_audit_command",
    "test_audit_node_place",
    "test_bench",
    "test_certificate_attacks",
    "test_cli_keys",
    "test_demo",
    "test_demo_trust",
    "test_depot",
    "test_directory_door",
    "test_tls",
    "test_tutorials",
    "test_weather",
    "test_witness_http",
}
# A fixture that stands in for a node, and keeps nothing.
FAKE = "node"
# They are about stores in files: how these are copied, rewritten, and broken byte by byte.
FILES = {"test_backup", "test_backup_files", "test_fsck"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    about_a_file = metafunc.definition.get_closest_marker("file") is not None
    module = metafunc.module.__name__.rpartition(".")[2]
    # Who is not given so much as a folder keeps nothing.
    no_store = module in NO_STORE or FAKE in metafunc.fixturenames or not signature(metafunc.function).parameters
    one = about_a_file or module in FILES or no_store
    metafunc.parametrize("engine", stores.ENGINES[:1] if one else stores.ENGINES, indirect=True)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with stores.using(request.param):
        yield request.param
