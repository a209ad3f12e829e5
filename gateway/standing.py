"""Where a matter stands without what never arrived.

In: what one State asked of another, and what happened to it here, oldest first. Out: its state, as if nothing had been
sent that the other node never had. Until the first such envelope counts what was done; from there on the table says
where that leads which did arrive, for so the other node has read it: also what moved nothing here, as it found what it
leads to, or had crossed with an end that never arrived. Pure, no I/O: nodes and participants tell alike.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway import row_checks
from gateway.identity import Role
from gateway.rules import DONE, ClockRule, Kind, Named, State, Step, Where
from gateway.steps import FREEZES, PROVISIONAL, STEPS, runs_out

Name: TypeAlias = tuple[str, str]
"""Of an envelope: its sender and its id."""

# Which of several roles of one kind of authority has sent it makes no difference to where it leads.
_ROWS: Final = MappingProxyType(
    {
        (step.rule.kind, cited, step.rule.sender in (Role.FIU, Role.CONTACT_POINT)): step
        for step in STEPS
        if step.rule.where is Where.ABROAD
        for cited in step.cites
    }
)
COUNTS: Final[frozenset[Kind]] = frozenset(
    row.rule.kind for row in _ROWS.values() if row.clocks.stops or any(move.to is not None for move in row.moves)
)
"""What can move a matter, or end one of its time limits."""


class Happened(NamedTuple):
    """What happened to a matter.

    Args:
        moved: where it stood from then on; None: as before.
        header: of the envelope that was recorded; None: a time limit ran out.
        rule: of that limit.
    """

    moved: State | None
    header: pb.Header | None = None
    rule: ClockRule = measures.CLOCK_RULE_UNSPECIFIED


class Left:
    """What is left of a matter without what never arrived; `take` is told of it in order.

    Args:
        matter: header of what was asked.
        begun: where it stood at first.
        was_lost: whether an envelope never arrived.
    """

    def __init__(self, matter: pb.Header, begun: State, was_lost: Callable[[pb.Header], bool]) -> None:
        self.state = begun
        self._matter = matter
        self._holds = row_checks.holds_assets(matter)
        self._was_lost = was_lost
        self._kinds: dict[Name, Kind] = {_name(matter): matter.kind}
        self._lost = set[Name]()
        self._reports: list[pb.Header] = []
        self._claims = set[Name]()  # suspensive ones that are open
        self._is_asked = False  # whether it may be limited

    def take(self, each: Happened) -> Step | None:
        """Let something happen; return the row of an envelope that arrived after one that did not."""
        header = each.header
        if header is not None and self._is_lost(header):
            return None
        row = None if header is None else self._row(header)
        if not self._lost:
            self.state = each.moved or self.state
        elif header is None:
            self.state = self._lapsed(each.rule)
        elif row is not None:
            self.state = self._after(row, header)
        return row if self._lost else None

    def _is_lost(self, header: pb.Header) -> bool:
        """Whether it never arrived, or rests on what did not: nobody there knows what it cites."""
        name = _name(header)
        self._kinds[name] = header.kind
        if _name(header.cites[0]) in self._lost or self._was_lost(header):
            self._lost.add(name)
        return name in self._lost

    def _row(self, header: pb.Header) -> Step | None:
        """Return the row of what crossed the border, and take note of reports and claims."""
        cited = _name(header.cites[0])
        if row_checks.where_of(header.sender, header.recipients[0]) is not Where.ABROAD:
            return None
        if header.kind == ids.KIND_EXECUTION_REPORT:
            self._reports.append(header)
        elif header.kind == ids.KIND_CLAIM and header.outcome == ids.OUTCOME_POSTPONED:
            self._claims.add(_name(header))
        elif header.kind == ids.KIND_CLAIM_DECISION:
            self._claims.discard(cited)
        elif header.kind == ids.KIND_LIMITATION_REQUEST:
            self._is_asked = True
        return _ROWS.get((header.kind, self._kinds.get(cited, ids.KIND_UNSPECIFIED), self._matter.kind in PROVISIONAL))

    def _lapsed(self, rule: ClockRule) -> State:
        """As the node that hears of it has it; see `afterwards.lapsed_elsewhere`."""
        ending = runs_out(rule, self._matter.kind, self.state, elsewhere=True)
        if ending is None or (rule == measures.CLOCK_RULE_LIMITATION_ANSWER and not self._is_asked):
            return self.state
        return ending.to

    def _after(self, row: Step, header: pb.Header) -> State:
        said = header.outcome, header.ground
        then = row.then(self.state, *said, holds=self._holds)
        if then is None:
            return row.late(self.state, *said, holds=self._holds) or self.state
        if row.resumes and then in DONE and self._matter.kind in FREEZES:
            then = row_checks.reported(self._reports, then)
            return State.SUSPENDED if then in DONE and self._claims else then
        return then


def _name(named: Named) -> Name:
    return named.sender, named.id
