"""Where the matters of a case stand, as far as one participant can tell from its own disk.

In: the headers of what it sent and what came, what was proven about them, and the directory. Out: the matters of a
case: the state, whose turn it is, which time limits were told of, and how it came so. No I/O, no node is asked, no
payload is read.

The table of steps.py is replayed in the order in which our node recorded things. A participant is a party to every
step of its own matters, and sees no other: an exchange sees its order and not the decision above it. Whatever came was
lawful at our node; where it is not by what is known here, something is missing (another machine, a lost disk), and what
came is believed as far as it tells a state.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, takewhile
from types import MappingProxyType
from typing import Final, TypeAlias

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway import row_checks, statement
from gateway.directory import Directory
from gateway.envelope import ref_of
from gateway.identity import Address, Role
from gateway.rules import ACTS_NEXT, DONE, FINAL, ClockRule, Effect, Kind, Move, State, Step, Turn, Where
from gateway.standing import COUNTS, Happened, Left
from gateway.steps import CLAIMABLE, INHERITED, RUNS_OUT, STEPS, WATCHES, WATCHING, runs_out

Key: TypeAlias = tuple[str, str]
"""Sender and id of an envelope."""

NOT_TAKEN: Final = frozenset({pb.MILESTONE_REFUSED, pb.MILESTONE_EXPIRED, pb.MILESTONE_REJECTED})
"""What an envelope asks for is asked no more if one of these is said of it."""


def key_of(ref: ids.EnvelopeRef | pb.Header) -> Key:
    """Return the name of an envelope."""
    return ref.sender, ref.id


@dataclass(frozen=True, slots=True)
class Paper:
    """An envelope that our node has recorded, by its header.

    Args:
        header: signed.
        at_us: about when our node recorded it; microseconds.
    """

    header: pb.Header
    at_us: int

    @property
    def key(self) -> Key:
        """Its name."""
        return key_of(self.header)


@dataclass(frozen=True, slots=True)
class Said:
    """A proven statement.

    Args:
        statement: what was said.
        at_us: about when our node heard it; microseconds.
    """

    statement: pb.Statement
    at_us: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A time limit, as we were told of it last."""

    rule: ClockRule
    due_us: int
    milestone: pb.Milestone.ValueType


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a matter, and where it stood then."""

    at_us: int
    what: pb.Header | pb.Statement
    state: State | None


@dataclass(slots=True, eq=False)
class Matter:
    """What asks for something and therefore has a state. `Case` alone makes and changes it.

    Args:
        ref: its envelope's name.
        sender: who asks.
        recipient: who is asked.
        header: of its envelope; None if that does not lie here.
        limits: the time limits that we were told of and that have not ended, by rule.
        running: those that run as far as can be told, the others too.
        history: oldest first.
        rivals: what asks for the same target.
        happened: what may have moved it, oldest first.
    """

    ref: ids.EnvelopeRef
    sender: str
    recipient: str
    header: pb.Header | None = None
    limits: dict[ClockRule, Limit] = field(default_factory=dict)
    running: set[ClockRule] = field(default_factory=set)
    history: list[Event] = field(default_factory=list)
    rivals: list[ids.EnvelopeRef] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    _moves: list[tuple[State, Key | None]] = field(default_factory=list)
    _limits_before: dict[Key, tuple[dict[ClockRule, Limit], set[ClockRule]]] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What it is; KIND_UNSPECIFIED if its envelope does not lie here."""
        return self.header.kind if self.header is not None else ids.KIND_UNSPECIFIED

    @property
    def state(self) -> State | None:
        """Where it stands; None if that cannot be told."""
        return self._moves[-1][0] if self._moves else None

    @property
    def states(self) -> frozenset[State]:
        """Every state in which it has been."""
        return frozenset(state for state, _ in self._moves)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended, as far as can be told."""
        return self.state not in FINAL

    @property
    def turn(self) -> str:
        """Who acts next; empty if nobody does, or that cannot be told."""
        turn = Turn.NOBODY if self.state is None else ACTS_NEXT[self.state]
        return {Turn.SENDER: self.sender, Turn.RECIPIENT: self.recipient, Turn.NOBODY: ""}[turn]

    @property
    def holds(self) -> bool:
        """Whether it asks that assets be held or taken."""
        return self.header is not None and row_checks.holds_assets(self.header)

    @property
    def due(self) -> Limit | None:
        """The limit that runs out first, of those that we were told of."""
        return min(self.limits.values(), key=lambda limit: limit.due_us, default=None)

    def move(self, state: State, cause: Key | None) -> None:
        """Let it stand there; a limit does not outlive its matter."""
        self._moves.append((state, cause))
        self._watch()

    def _watch(self) -> None:
        """Let that limit alone watch it which belongs to where it stands."""
        if self.state in FINAL:
            self.limits.clear()
            self.running.clear()
        own = None if self.state is None else WATCHES.get(self.state)
        for rule in WATCHING - {own}:
            self.limits.pop(rule, None)
            self.running.discard(rule)
        if own is not None:
            self.running.add(own)

    def inherit(self) -> None:
        """Let it have the limit of the matter above; until when, its node says."""
        for rule in INHERITED:
            self.limits.pop(rule, None)

    def change(self, effect: Effect, header: pb.Header) -> None:
        """Note which time limits end and begin. One that rests will be due later than we were told."""
        self._meet(effect, header)
        for rule in effect.pauses if header.outcome in effect.pauses_on else ():
            self.limits.pop(rule, None)
        for start in effect.starts:
            if (start.again and start.rule not in self.running) or (start.of and self.kind not in start.of):
                continue
            if start.first and start.rule in self.running:
                continue
            if (not start.urgency or header.urgency in start.urgency) and (not start.on or header.outcome in start.on):
                self.running.add(start.rule)
                self.limits.pop(start.rule, None)

    def revive(self, rule: ClockRule | None) -> None:
        """Let a limit run again that a grant had met; until when, its node says."""
        if rule is not None and self.state is not None and runs_out(rule, self.kind, self.state) is not None:
            self.running.add(rule)

    def _meet(self, effect: Effect, header: pb.Header) -> None:
        if header.outcome in effect.stops_on:
            for rule in effect.stops:
                self.limits.pop(rule, None)
            self.running -= effect.stops

    def remember(self, cause: Key) -> None:
        """Keep the time limits as they are before an envelope does something to them."""
        self._limits_before.setdefault(cause, (dict(self.limits), set(self.running)))

    def restore(self, cause: Key) -> None:
        """Let time limits be as they were before an envelope did something to them."""
        if cause in self._limits_before and self.is_open:
            self.limits, self.running = self._limits_before.pop(cause)

    def leave_out(self, lost: Collection[Key], cause: Key) -> bool:
        """Undo what an envelope did that never arrived, as others did not; return whether it stands elsewhere now."""
        stood, now, since = self.state, self._before(cause), list[tuple[Effect, pb.Header]]()
        if self.header is not None:
            left = Left(self.header, self._moves[0][0], lambda sent: key_of(sent) in lost)
            for each in self.happened:
                row = left.take(each)
                if row is not None and each.header is not None:
                    since.append((row.clocks, each.header))
            now = left.state
        if now is not None and stood not in (now, State.UNDELIVERED):
            self._moves.append((now, None))
        self.restore(cause)
        for effect, header in since:
            self._meet(effect, header)
        self._watch()
        return self.state is not stood

    def _before(self, cause: Key) -> State | None:
        """Return where it stood before an envelope moved it, if that moved it last; else where it stands."""
        return next((state for state, by in self._moves[::-1] if by != cause), None)


class Case:
    """A case, with all that is connected with it by citations.

    Args:
        papers: what our node recorded and we were a party to.
        said: what was proven about that.
        directory: who has which role.
        me: our address.
        unsure: what we handed in and heard nothing of; the same may be handed in again.
        drafted: the requests that our drafts carried, by the draft.
    """

    def __init__(
        self,
        papers: Iterable[Paper],
        said: Iterable[Said],
        directory: Directory,
        me: str,
        *,
        unsure: Iterable[pb.Header] = (),
        drafted: Mapping[Key, pb.Header] = MappingProxyType({}),
    ) -> None:
        self.me = me
        self.directory = directory
        self.unsure = tuple(unsure)
        self.papers = {paper.key: paper for paper in papers}
        self._node = Address.parse(me).node
        self._drafted = drafted
        self._matters: dict[Key, Matter] = {}
        self._taken: set[Key] = set()
        self._about: dict[Key, Matter] = {}  # by an envelope: the matter that it may have moved
        self._lost: set[Key] = set()  # what never reached its recipient's node
        self._case_ids: dict[str, None] = {}
        order: list[tuple[int, int, Paper | Said]] = [(paper.at_us, 0, paper) for paper in self.papers.values()]
        order += [(each.at_us, 1, each) for each in said]
        for _, _, what in sorted(order, key=lambda each: each[:2]):
            if isinstance(what, Paper):
                self._take(what)
            else:
                self._hear(what)

    @property
    def matters(self) -> list[Matter]:
        """Every matter that is known here, oldest first."""
        return [*self._matters.values()]

    @property
    def case_ids(self) -> list[str]:
        """The case ids that it goes by, ours and others', in the order in which they came."""
        return [*self._case_ids]

    @property
    def is_open(self) -> bool:
        """Whether a matter has not ended."""
        return any(matter.is_open for matter in self._matters.values())

    @property
    def last_us(self) -> int:
        """When something of it came last; microseconds."""
        return max((event.at_us for matter in self._matters.values() for event in matter.history), default=0)

    @property
    def unsent(self) -> list[pb.Header]:
        """The requests that were countersigned and have not been handed in."""
        signed = [key for key, matter in self._matters.items() if matter.state is State.COUNTERSIGNED]
        waiting = [self._drafted[key] for key in signed if key in self._drafted]
        unsure = {key_of(header) for header in self.unsure}
        return [header for header in waiting if key_of(header) not in self.papers.keys() | unsure]

    @cached_property
    def _below(self) -> dict[Key, list[Paper]]:
        below = defaultdict(list)
        for paper in sorted(self.papers.values(), key=_at):
            if paper.header.cites:
                below[key_of(paper.header.cites[0])].append(paper)
        return below

    def citing(self, key: Key) -> list[Paper]:
        """Return what cites an envelope, oldest first."""
        return self._below.get(key, [])

    def above(self, paper: Paper) -> Iterator[Paper]:
        """Yield what an envelope cites, what that cites and so on, as far as it lies here."""
        # Two from abroad may cite each other: our node knew neither when it took the first.
        seen = {paper.key}
        while paper.header.cites:
            cited = self.papers.get(key_of(paper.header.cites[0]))
            if cited is None or cited.key in seen:
                return
            seen.add(cited.key)
            yield cited
            paper = cited

    def matter(self, key: Key) -> Matter | None:
        """Return a matter by its envelope's name; None if that is none."""
        return self._matters.get(key)

    def request(self, matter: Matter) -> pb.Header | None:
        """Return the request that a draft of ours carries."""
        return self._drafted.get(key_of(matter.ref))

    # Replaying.

    def _take(self, paper: Paper) -> None:
        """Take an envelope, and before it what it cites, in whatever order they lie."""
        # Not by recursion: who makes envelopes abroad, or a case file, decides how long the chain is.
        waiting = [*takewhile(lambda each: each.key not in self._taken, chain((paper,), self.above(paper)))]
        self._taken.update(each.key for each in waiting)
        for each in reversed(waiting):
            self._replay(each)

    def _replay(self, paper: Paper) -> None:
        """Let an envelope do to matters what its row says."""
        header = paper.header
        self._case_ids[header.case_id] = None
        rows = self._rows(header)
        opens = rows[0].opens if rows and all(row.opens is rows[0].opens for row in rows) else None
        matters = (each for up in self.above(paper) if (each := self._matters.get(up.key)) is not None)
        above = [*islice(matters, 2)]  # it does nothing to those that are higher
        about = above[0] if above else self._unknown(paper) if header.cites and opens is None else None
        late = False
        for each in above:
            each.remember(paper.key)
        if about is not None and rows:
            after, late = self._after(rows, about, header)
            if after is not None:
                about.move(after, paper.key)
            about.happened.append(Happened(after, header))
            self._about[paper.key] = about
            about.history.append(Event(paper.at_us, header, about.state))
        if opens is not None:
            matter = Matter(ref_of(header), header.sender, header.recipients[0], header)
            matter.move(opens, paper.key)
            matter.history.append(Event(paper.at_us, header, opens))
            self._matters[paper.key] = about = matter
        if len(rows) == 1 and about is not None and about.is_open and not late:
            about.change(rows[0].clocks, header)
            if rows[0].inherits:
                about.inherit()
        if len(rows) == 1 and not late and (higher := above if opens is not None else above[1:]):
            higher[0].change(rows[0].above, header)
            if about is not None and not about.is_open:
                higher[0].revive(rows[0].revives)

    def _rows(self, header: pb.Header) -> Sequence[Step]:
        """Return the row of an envelope; several, if what it cites does not lie here."""
        cited = self.papers.get(key_of(header.cites[0])) if header.cites else None
        where = row_checks.where_of(header.sender, header.recipients[0])
        sender, recipient = (self._roles(each) for each in (header.sender, header.recipients[0]))
        rows = [
            row
            for row in _BY_KIND.get(header.kind, ())
            if row.rule.where is where
            and bool(row.cites) == bool(header.cites)
            and (cited is None or cited.header.kind in row.cites)
        ]
        # Who has lost a role since had it then.
        fitting = [row for row in rows if row.rule.sender in sender and row.rule.recipient in recipient]
        found = fitting or rows
        return found if cited is None and header.cites else found[:1]

    def _roles(self, address: str) -> frozenset[Role]:
        entry = self.directory.participant(Address.parse(address))
        return frozenset() if entry is None else entry.roles

    def _unknown(self, paper: Paper) -> Matter | None:
        """Return the matter that an envelope is about, which does not lie here; None if it leads to none."""
        top = [paper, *self.above(paper)][-1].header
        if not top.cites:
            return None
        ref = top.cites[0]
        other = next((each for each in (top.sender, *top.recipients) if each != ref.sender), "")
        return self._matters.setdefault(key_of(ref), Matter(ref, ref.sender, other))

    def _after(self, rows: Sequence[Step], about: Matter, header: pb.Header) -> tuple[State | None, bool]:
        """Return what follows, None if nothing does, and whether it crossed with what led there."""
        outcome, ground, state, ours = header.outcome, header.ground, about.state, header.sender == self.me
        if state is not None and about.header is not None and len(rows) == 1:
            (row,) = rows
            after = row.then(state, outcome, ground, holds=about.holds)
            if row.resumes and after in DONE:
                after = self._resumed(header, about, after)
            if after is not None:
                return (None if after is state else after), False
            if row.rule.where is Where.ABROAD and not ours:
                after = row.late(state, outcome, ground, holds=about.holds)
            # It was at our node before something that we have seen already.
            elif not ours and any(row.then(each, outcome, ground, holds=about.holds) for each in about.states):
                after = state
            if after is not None:
                return (None if after is state else after), True
        if state in FINAL and not ours:
            return None, False
        # Something is missing here: whatever led to it, there is one state only in which such a step ends.
        ends = {move.to for row in rows for move in row.moves if move.to is not None and _fits(move, header)}
        return (ends.pop() if len(ends) == 1 else None), False

    def _resumed(self, header: pb.Header, about: Matter, after: State) -> State:
        """Return where what is done stands: as last reported, or suspended."""
        above = [*self.above(Paper(header, 0))]
        up_to_it = above[: next((at for at, each in enumerate(above) if each.key == key_of(about.ref)), -1) + 1]
        claimed = next((each for each in up_to_it if each.header.kind in CLAIMABLE), None)
        if claimed is None:
            return after
        if header.kind != ids.KIND_EXECUTION_REPORT:
            return self._as_arrived(after, claimed.key, key_of(header.cites[0]))
        return self._or_suspended(after, claimed.key, key_of(header.cites[0]))

    def _as_arrived(self, state: State, claimed: Key, but: Key | None = None) -> State:
        then = row_checks.reported(self.arrived(claimed, ids.KIND_EXECUTION_REPORT), state)
        return self._or_suspended(then, claimed, but)

    def _or_suspended(self, then: State, claimed: Key, but: Key | None = None) -> State:
        return State.SUSPENDED if then in DONE and self.is_suspended(claimed, but) else then

    def is_suspended(self, claimed: Key, but: Key | None = None) -> bool:
        """Whether a suspensive claim on a request or decision is undecided, as far as can be told; without one."""
        return any(
            claim.outcome == ids.OUTCOME_POSTPONED
            and key_of(claim) != but
            and not self.arrived(key_of(claim), ids.KIND_CLAIM_DECISION)
            for claim in self.arrived(claimed, ids.KIND_CLAIM)
        )

    def arrived(self, key: Key, kind: Kind) -> list[pb.Header]:
        """Return what was recorded so far of a kind and cites an envelope, but for what never arrived."""
        below = [each for each in self.citing(key) if each.header.kind == kind]
        return [each.header for each in below if each.key in self._taken and each.key not in self._lost]

    def _hear(self, each: Said) -> None:
        said, key = each.statement, key_of(each.statement.envelope)
        paper = self.papers.get(key)
        if paper is not None:
            self._take(paper)
            if said.milestone in NOT_TAKEN:
                self._not_taken(paper, each)
        own = self._matters.get(key)
        if own is None:
            return
        if said.milestone == pb.MILESTONE_COMPETING:
            own.rivals = [*said.others]
        elif said.milestone == pb.MILESTONE_LAPSED:
            self._lapse(own, said.clock_rule)
        elif said.milestone in statement.OF_TIME and own.is_open:
            own.limits[said.clock_rule] = Limit(said.clock_rule, said.due_us, said.milestone)
        own.history.append(Event(each.at_us, said, own.state))

    def _not_taken(self, paper: Paper, each: Said) -> None:
        """Let what an envelope asks for be asked no more; what it did elsewhere is undone if it never arrived."""
        own, said = self._matters.get(paper.key), each.statement
        if own is not None and own.state is not State.UNDELIVERED:
            own.move(State.UNDELIVERED, None)
        its_node = Address.parse(paper.header.recipients[0]).node
        arrived = said.milestone == pb.MILESTONE_REJECTED or (
            said.milestone == pb.MILESTONE_EXPIRED and Address.parse(said.issuer, allow_node=True).node == its_node
        )
        if arrived:
            return
        self._lost.add(paper.key)
        about = self._about.get(paper.key)
        if about is not None and paper.header.kind in COUNTS and about.leave_out(self._lost, paper.key):
            about.history.append(Event(each.at_us, said, about.state))
        for matter in self._matters.values():
            matter.restore(paper.key)

    def _lapse(self, matter: Matter, rule: ClockRule) -> None:
        """Take the word of the node that keeps the clock."""
        state = matter.state
        if state is State.CLOSED:
            matter.happened.append(Happened(state, rule=rule))  # it counts if what closed it is not taken
        if matter.header is None or state is None or state in FINAL:
            return
        elsewhere = Address.parse(matter.recipient).node != self._node
        row = runs_out(rule, matter.kind, state, elsewhere=elsewhere)
        if row is None and not elsewhere:
            row = next((each for each in RUNS_OUT if each.rule == rule and matter.kind in each.kinds), None)
        if row is not None:
            matter.move(row.to, None)
            matter.happened.append(Happened(row.to, rule=rule))
        for each in {rule} if row is None else row.stops | {rule}:
            matter.limits.pop(each, None)
            matter.running.discard(each)


def _at(paper: Paper) -> int:
    return paper.at_us


def _by_kind() -> Mapping[Kind, list[Step]]:
    found: dict[Kind, list[Step]] = defaultdict(list)
    for step in STEPS:
        found[step.rule.kind].append(step)
    return MappingProxyType(found)


_BY_KIND: Final = _by_kind()


def _fits(move: Move, header: pb.Header) -> bool:
    return header.outcome in move.on and (not move.grounds or header.ground in move.grounds)
