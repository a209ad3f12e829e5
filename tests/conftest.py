"""For all tests."""

# First, before anything can import grpc: it shuts TLS 1.2 out through the environment.
from gateway import tls as _tls  # noqa: F401  # isort: skip

import gc
import os
import shutil
import tempfile
from collections.abc import Generator
from itertools import chain

import pytest
from hypothesis import HealthCheck, settings

from tests.fault.tally import PROPERTY, told
from tests.postgres import MEMORY

# A busy machine draws slowly; that says nothing of the code.
settings.register_profile("rogatory", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rogatory")

# Thousands of stores and federations are made, each with its hundreds of files that are synced. No test pulls the plug
# of the machine, so none can tell memory from a disk; but a run on a busy disk takes twice as long.
WANTED_BYTES = 2 << 30
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= WANTED_BYTES:
    # Test processes, and whatever they start, look here.
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

UNMET = {
    "browser": (
        "TESTS OF THE SECOND VERIFIER AND THE CONSOLE",
        "need Node.js and Chromium: apt-get install nodejs chromium",
    ),
    "hsm": ("TESTS OF HARDWARE TOKENS", "need SoftHSM 2: apt-get install softhsm2"),
    "fault": ("FAULTS OF DISK AND NETWORK", "need root, mount and `ip`: become root"),
}
"""By tier: what a machine can lack for it, and what to do."""
REQUIRABLE = ("browser", "hsm")


def pytest_addoption(parser: pytest.Parser) -> None:
    for tier in REQUIRABLE:
        wanted = UNMET[tier][1].removeprefix("need ").partition(":")[0]
        parser.addoption(
            f"--require-{tier}", action="store_true", help=f"fail, not skip, the tests of tests/{tier} without {wanted}"
        )


LONGEST = ("test_demo_trust", "test_bench", "test_demo")
"""Modules of which one test takes a minute."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what is longest, whatever the order of chance: at the end all others would wait for it."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_collection_finish() -> None:
    """Look for garbage no more in what is there until the end: thousands of tests, and all that they import."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for tier in REQUIRABLE:
        if report.skipped and f"/{tier}/" in item.nodeid and item.config.getoption(f"--require-{tier}"):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} could not run, and --require-{tier} demands it"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where nobody overlooks it: a tier that did not run proves nothing. And what the faults came to."""
    reports = chain.from_iterable(terminalreporter.stats.values())
    properties = [value for each in reports for name, value in getattr(each, "user_properties", ()) if name == PROPERTY]
    if counts := told(properties):
        terminalreporter.section("faults")
        terminalreporter.line(counts)
    left = list(terminalreporter.getreports("skipped"))
    for folder, (what, wanted) in UNMET.items():
        skipped = [each for each in left if f"/{folder}/" in each.nodeid]
        left = [each for each in left if each not in skipped]
        if skipped:
            terminalreporter.section(f"{what} DID NOT RUN", red=True, bold=True)
            terminalreporter.line(f"{len(skipped)} of tests/{folder} {wanted}, then again.")
    if left:
        terminalreporter.section("SOME TESTS DID NOT RUN", red=True, bold=True)
        for each in left:
            terminalreporter.line(f"{each.nodeid}: {each.longrepr[2] if isinstance(each.longrepr, tuple) else ''}")
