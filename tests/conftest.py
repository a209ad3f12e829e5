"""For all tests."""

# First, before anything can import grpc: it shuts TLS 1.2 out through the environment.
from gateway import tls as _tls  # noqa: F401  # isort: skip

from hypothesis import HealthCheck, settings

# A busy machine draws slowly; that says nothing of the code.
settings.register_profile("rogatory", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rogatory")
