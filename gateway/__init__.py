"""The gateway: one national node of the Rogatory federation."""

# Before anything imports grpc: TLS 1.2 is shut out through the environment of the process.
from gateway import tls as tls
