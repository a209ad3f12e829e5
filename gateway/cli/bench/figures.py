"""Figures of one run: many rounds, each of which measures everything once, in turn.

In: values by name, round by round. Out: medians, and why a figure is missing. Machines are noisy, and what else runs on
them comes and goes: a median over interleaved rounds is what can be told, and a ratio within one run what can be
compared.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

from gateway.errors import Failure

Values: TypeAlias = Mapping[str, float]

MICROSECONDS: Final = 1e6
MEBI: Final = 1 << 20
IN_FLIGHT: Final = (1, 32, 256)
USUAL_IN_FLIGHT: Final = 32
"""At which figures are told that do not say another."""

WARM_SECONDS: Final = 0.3
WARM_SHARE: Final = 0.2
"""At the start of a measurement, not counted: the connection's window opens, caches fill. So long, or this share."""


def named(name: str, in_flight: int) -> str:
    """Return the name of a figure at so many calls in flight: `accept_unary_rate`, `accept_unary_rate_at_256`."""
    return name if in_flight == USUAL_IN_FLIGHT else f"{name}_at_{in_flight}"


class NotMeasured(Exception):
    """A figure cannot be had here, and why. The bench goes on."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is measured once a round.

    Args:
        gives: names of the figures.
        take: measures; the argument is the number of the round, from 0.
    """

    gives: tuple[str, ...]
    take: Callable[[int], Values]


class Series:
    """The figures of a run, round by round."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = defaultdict(list)
        self._missing: dict[str, str] = {}

    def run(self, measures: Sequence[Measure], rounds: int, tell: Callable[[str], None]) -> None:
        """Measure everything, so many times, in turn. What cannot be had is not tried again.

        Args:
            measures: what.
            rounds: how many.
            tell: told how far it has come.

        Raises:
            Failure: one of them failed; it says which.
        """
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for measure in measures:
                if self._missing.keys() & set(measure.gives):
                    continue
                try:
                    self.add(measure.take(number))
                except NotMeasured as reason:
                    self.miss(measure.gives, str(reason))
                    tell(f"  not measured: {', '.join(measure.gives)}: {reason}")
                except Failure as error:
                    raise Failure(error.code, f"{measure.gives[0]}: {error.detail}") from error

    def add(self, values: Values) -> None:
        """Take the figures of one round."""
        for name, value in values.items():
            self._taken[name].append(value)

    def miss(self, names: Sequence[str], reason: str) -> None:
        """Note that figures are not to be had."""
        self._missing |= dict.fromkeys(names, reason)

    def median(self, name: str) -> float | None:
        """Return the median of a figure; None if it was not measured, be it in one round alone."""
        values = self._taken.get(name) if name not in self._missing else None
        return median(values) if values else None

    def ratio(self, name: str, to: str) -> float | None:
        """Return the ratio of two medians of this run; None if one of them was not measured.

        Of medians, not a median of ratios: one slow reference would flatter a whole round.
        """
        above, below = self.median(name), self.median(to)
        return None if above is None or not below else above / below

    @property
    def per_round(self) -> dict[str, list[float]]:
        """Every figure of every round."""
        return {name: [*values] for name, values in self._taken.items()}

    @property
    def medians(self) -> dict[str, float | None]:
        """All medians; None for what could not be measured."""
        found: dict[str, float | None] = {name: median(values) for name, values in self._taken.items()}
        return found | dict.fromkeys(self._missing, None)

    @property
    def missing(self) -> dict[str, str]:
        """What could not be measured, and why."""
        return dict(self._missing)


def warm(begin: float, until: float) -> float:
    """Return from when on a measurement counts."""
    return begin + min(WARM_SECONDS, (until - begin) * WARM_SHARE)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least such a share of all does not exceed (nearest rank).

    Args:
        values: at least one; in any order.
        share: above 0, at most 1.

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("there are no values")
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(0, int(rank) - 1)]
