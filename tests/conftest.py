"""For all tests."""

# First, before anything can import grpc: it shuts TLS 1.2 out through the environment.
from gateway import tls as _tls  # noqa: F401
