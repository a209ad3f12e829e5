"""What the fault suite has counted: printed at the end of a run, summed over its tests and processes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PROPERTY = "faults"


@dataclass
class Tally:
    """Counts of one test.

    Args:
        sent: envelopes handed in.
        acknowledged: those of them that the sender's node signed for.
        lost: acknowledged, and their sender does not know the one end of them, or it is not true.
        doubled: what an application was shown more than once.
        faults: by kind.
    """

    sent: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def to_property(self) -> dict[str, Any]:
        """Return it as a test report carries it from process to process."""
        counts = {"sent": self.sent, "acknowledged": self.acknowledged, "lost": self.lost, "doubled": self.doubled}
        return {**counts, "faults": dict(self.faults)}


def told(properties: Iterable[dict[str, Any]]) -> str:
    """Return the sum of tallies in a line; empty, if there are none."""
    total, some = Tally(), False
    for each in properties:
        some = True
        for name in ("sent", "acknowledged", "lost", "doubled"):
            setattr(total, name, getattr(total, name) + each[name])
        total.faults.update(each["faults"])
    if not some:
        return ""
    kinds = ", ".join(f"{kind} {count}" for kind, count in total.faults.most_common())
    return (
        f"envelopes: {total.sent} sent, {total.acknowledged} acknowledged, {total.lost} lost, {total.doubled} doubled; "
        f"faults injected: {total.faults.total()} ({kinds})"
    )
