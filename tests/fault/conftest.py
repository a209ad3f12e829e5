"""For all tests of faults."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls as _tls  # noqa: F401  # isort: skip

from collections.abc import Iterator

import pytest

from tests.fault.tally import PROPERTY, Tally


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts; they are printed at the end of the run, also those of a test that fails."""
    made = Tally()
    yield made
    request.node.user_properties.append((PROPERTY, made.to_property()))
