"""`rogatory case CASE`: where a case stands for a participant, whose turn it is, and what it may lawfully do next.

In: a participant's settings, a case id. Out: by headers and proven statements on its own disk alone, the matters of the
case and the steps that the law allows; without a case id, the cases known here. Nothing is collected, no node is asked
and no payload is read. Refuses with NOT_FOUND.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks

from clients.cases import Case, Event, Limit, Matter
from clients.known_cases import KnownCases
from clients.next_steps import Allowed, Next, lawful_next
from gateway.cli import home, output
from gateway.cli.home import Home
from gateway.clock import system_clock
from gateway.printable import printable
from gateway.rules import Link

_UNKNOWN: Final = "unknown"
_FEW: Final = 3
"""So many recipients are named."""


@click.command(epilog="\b\nExample:\n  rogatory case EE-2026-1 --config fed/ee/prosecutor/participant.toml")
@click.argument("case_id", metavar="[CASE]", required=False)
@home.config_option
@output.json_option
def command(case_id: str | None, path: Path, as_json: bool) -> None:
    """Show where a case stands, whose turn it is, and what may be done next.

    CASE is its id, ours or another's; what is connected with it is shown too. Without it, the cases known here are
    listed. What has not been collected is not known here: see `rogatory inbox`.
    """
    participant = Home(path).participant
    known = KnownCases(participant.maildir, participant.directory, participant.address)
    if case_id is None:
        cases = known.cases()
        output.emit_json({"cases": [_summary(case) for case in cases]}) if as_json else _list(cases)
        return
    case = known.case(case_id)
    steps = lawful_next(case, system_clock())
    if as_json:
        output.emit_json(_as_object(case, steps))
    else:
        _show(case, steps)


def _summary(case: Case) -> dict[str, object]:
    open_matters = [matter for matter in case.matters if matter.is_open]
    due = _first_due(open_matters)
    return {
        "case_ids": case.case_ids,
        "open": len(open_matters),
        "ours": sum(matter.turn == case.me for matter in open_matters),
        "turn": [*dict.fromkeys(matter.turn for matter in open_matters if matter.turn)],
        "due": None if due is None else _limit(due),
        "last_at": home.time_of(case.last_us),
    }


def _list(cases: Sequence[Case]) -> None:
    if not cases:
        click.echo("nothing")
        return
    rows = []
    for case in cases:
        open_matters = [matter for matter in case.matters if matter.is_open]
        turn = ", ".join(dict.fromkeys(_turn(case, matter) for matter in open_matters))
        due = _first_due(open_matters)
        rows.append((", ".join(case.case_ids), len(open_matters), turn, _due(due), home.time_of(case.last_us)))
    output.emit_table(("case", "open", "turn", "due", "last"), rows)


def _first_due(matters: Iterable[Matter]) -> Limit | None:
    limits = [matter.due for matter in matters if matter.due is not None]
    return min(limits, key=lambda limit: limit.due_us, default=None)


def _show(case: Case, steps: Sequence[Next]) -> None:
    click.echo(printable(f"case {', '.join(case.case_ids)}"))
    rows = [
        (
            _name(matter),
            matter.ref.id,
            f"{matter.sender} -> {matter.recipient}",
            _state(matter),
            _turn(case, matter),
            _due(matter.due),
        )
        for matter in case.matters
    ]
    if rows:
        output.emit_table(("matter", "id", "between", "state", "turn", "due"), rows)
    for lines in (_rivals(case), _unsure(case), _next(case, steps), _at_any_time(steps), _waiting(case)):
        for line in lines:
            click.echo(printable(line))


def _rivals(case: Case) -> Iterator[str]:
    for matter in case.matters:
        if matter.rivals and matter.is_open:
            others = ", ".join(f"{ref.id} of {ref.sender}" for ref in matter.rivals)
            yield f"The same target as {_name(matter)} {matter.ref.id}: {others}"


def _unsure(case: Case) -> Iterator[str]:
    for header in case.unsure:
        yield f"Not known to be accepted: {home.kind_of(header)} {header.id}; hand in the same once more."


def _next(case: Case, steps: Sequence[Next]) -> Iterator[str]:
    about = [step for step in steps if _is_about(step)]
    # What moves our own turn on comes first; `sorted` keeps the order of the table.
    about.sort(key=lambda step: (step.matter is None or step.matter.turn != case.me, step.matter is None))
    yield "Next for you:" if about or case.unsent else "Next for you: nothing"
    for header in case.unsent:
        to = ", ".join(header.recipients)
        yield f"  {home.kind_of(header)} {header.id} to {to}: it is countersigned, hand it in"
    for step in about:
        on = f", on {_kind_cited(case, step)} {step.cites.id}" if step.cites is not None else ""
        yield f"  {home.word(ids.Kind.DESCRIPTOR, step.kind)} to {_to(step)}{on} ({step.step.law})"
        yield from (f"    {line}" for line in _conditions(step))


def _is_about(step: Next) -> bool:
    """Whether it goes on with something; the rest is possible at any time."""
    return step.cites is not None and step.step.link is not Link.COMPLAINS


def _to(step: Next) -> str:
    if len(step.to) > _FEW:
        return f"a {step.step.rule.recipient.value} {step.step.rule.where.value}"
    return " or ".join(step.to)


def _kind_cited(case: Case, step: Next) -> str:
    paper = None if step.cites is None else case.papers.get((step.cites.sender, step.cites.id))
    return _UNKNOWN if paper is None else home.kind_of(paper.header)


def _conditions(step: Next) -> Iterator[str]:
    outcomes = [home.word(ids.Outcome.DESCRIPTOR, outcome) for outcome in step.outcomes]
    if any(outcomes):
        yield " or ".join(each or "no outcome" for each in outcomes)
    named = dict.fromkeys(
        [home.word(ids.Measure.DESCRIPTOR, each) for allowed in step.allowed for each in allowed.measures]
        + [home.word(ids.DataClass.DESCRIPTOR, each) for allowed in step.allowed for each in allowed.data_classes]
    )
    if named:
        yield f"at most: {', '.join(named)}"
    rests_on = dict.fromkeys(ref.id for allowed in step.allowed for ref in allowed.rests_on)
    if rests_on:
        yield f"resting on {', '.join(rests_on)}"
    if step.step.countersigned_by is not None:
        unless = home.word(ids.Urgency.DESCRIPTOR, step.step.countersigned_unless or 0)
        by = f"countersigned by a {step.step.countersigned_by.value} at home"
        yield f"{by}, unless it is an {unless}" if unless else by
    yield from (f"if {proviso.value}" for proviso in step.provisos)


def _at_any_time(steps: Sequence[Next]) -> Iterator[str]:
    kinds = dict.fromkeys(home.word(ids.Kind.DESCRIPTOR, step.kind) for step in steps if not _is_about(step))
    if kinds:
        yield f"At any time: {', '.join(kinds)}"


def _waiting(case: Case) -> Iterator[str]:
    for matter in case.matters:
        if matter.turn not in ("", case.me):
            due = f", {_due(matter.due)}" if matter.due is not None else ""
            yield f"Waiting for: {matter.turn}, on {_name(matter)} {matter.ref.id}{due}"


def _name(matter: Matter) -> str:
    return _UNKNOWN if matter.header is None else home.kind_of(matter.header)


def _state(matter: Matter) -> str:
    return _UNKNOWN if matter.state is None else matter.state.value


def _turn(case: Case, matter: Matter) -> str:
    if matter.state is None:
        return _UNKNOWN
    return "you" if matter.turn == case.me else matter.turn or "nobody"


def _due(limit: Limit | None) -> str:
    if limit is None:
        return ""
    word = home.word(pb.Milestone.DESCRIPTOR, limit.milestone).replace("-", " ")
    return f"{home.word(clocks.ClockRule.DESCRIPTOR, limit.rule)} {word} {home.time_of(limit.due_us)}"


def _as_object(case: Case, steps: Sequence[Next]) -> dict[str, object]:
    return {
        "case_ids": case.case_ids,
        "matters": [_matter(case, matter) for matter in case.matters],
        "unsure": [{"kind": home.kind_of(header), "id": header.id} for header in case.unsure],
        "unsent": [{"kind": home.kind_of(header), "id": header.id} for header in case.unsent],
        "next": [_step(step) for step in steps],
        "waiting": [
            {"for": matter.turn, "matter": matter.ref.id} for matter in case.matters if matter.turn not in ("", case.me)
        ],
    }


def _matter(case: Case, matter: Matter) -> dict[str, object]:
    request = case.request(matter)
    return {
        "id": matter.ref.id,
        "kind": "" if matter.header is None else home.kind_of(matter.header),
        "case_id": "" if matter.header is None else matter.header.case_id,
        "sender": matter.sender,
        "recipient": matter.recipient,
        "state": "" if matter.state is None else matter.state.value,
        "turn": matter.turn,
        "drafted": "" if request is None else home.kind_of(request),
        "limits": [_limit(limit) for limit in matter.limits.values()],
        "rivals": [{"sender": ref.sender, "id": ref.id} for ref in matter.rivals],
        "history": [_event(event) for event in matter.history],
    }


def _limit(limit: Limit) -> dict[str, object]:
    return {
        "rule": home.word(clocks.ClockRule.DESCRIPTOR, limit.rule),
        "milestone": home.word(pb.Milestone.DESCRIPTOR, limit.milestone),
        "due_at": home.time_of(limit.due_us),
    }


def _event(event: Event) -> dict[str, object]:
    what = event.what
    if isinstance(what, pb.Header):
        said = {"kind": home.kind_of(what), "id": what.id, "by": what.sender}
    else:
        said = {
            "milestone": home.word(pb.Milestone.DESCRIPTOR, what.milestone),
            "id": what.envelope.id,
            "by": what.issuer,
        }
    outcome = home.word(ids.Outcome.DESCRIPTOR, what.outcome)
    state = "" if event.state is None else event.state.value
    return {"at": home.time_of(event.at_us), **said, "outcome": outcome, "state": state}


def _step(step: Next) -> dict[str, object]:
    row = step.step
    return {
        "kind": home.word(ids.Kind.DESCRIPTOR, step.kind),
        "to": [*step.to],
        "cites": None if step.cites is None else {"sender": step.cites.sender, "id": step.cites.id},
        "case_id": step.case_id,
        "instruments": [*step.instruments],
        "allowed": [_allowed(allowed) for allowed in step.allowed],
        "countersigned_by": "" if row.countersigned_by is None else row.countersigned_by.value,
        "countersigned_unless": home.word(ids.Urgency.DESCRIPTOR, row.countersigned_unless or 0),
        "provisos": [proviso.value for proviso in step.provisos],
        "matter": None if step.matter is None else step.matter.ref.id,
        "law": row.law,
    }


def _allowed(allowed: Allowed) -> dict[str, object]:
    return {
        "outcome": home.word(ids.Outcome.DESCRIPTOR, allowed.outcome),
        "measures": [home.word(ids.Measure.DESCRIPTOR, each) for each in allowed.measures],
        "data_classes": [home.word(ids.DataClass.DESCRIPTOR, each) for each in allowed.data_classes],
        "rests_on": [{"sender": ref.sender, "id": ref.id} for ref in allowed.rests_on],
    }
