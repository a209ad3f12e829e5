"""The time of the demo, by which its nodes and its people live: behind the machine's until it is put forward.

Hours cannot be waited for. So the demo begins in the past and ends in the present: nothing of it ever lies in the
future, and a federation that is kept goes on by the machine's own time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.clock import system_clock


@dataclass(slots=True)
class DemoClock:
    """A clock of the demo.

    Args:
        behind: the machine's clock, by so much.
    """

    behind: timedelta = timedelta()

    def __call__(self) -> datetime:
        """Return the time now, in UTC."""
        return system_clock() - self.behind
