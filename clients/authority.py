"""The authorities of a freeze by one name; each has a module of its own."""

from clients.central_authority import CentralAuthority
from clients.court import Court
from clients.drafting import Drafted
from clients.investigator import Investigator

__all__ = ["CentralAuthority", "Court", "Drafted", "Investigator"]
