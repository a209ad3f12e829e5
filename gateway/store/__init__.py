"""The store: what is recorded, and what is on its way. Only this package knows SQL."""

from gateway.store.connection import open_store, open_there, probe
from gateway.store.deliveries import Leased
from gateway.store.reader import Reader
from gateway.store.transaction import Pending, Transaction
from gateway.store.writer import Writer

__all__ = ["Leased", "Pending", "Reader", "Transaction", "Writer", "open_store", "open_there", "probe"]
