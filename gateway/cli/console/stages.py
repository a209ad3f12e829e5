"""How far an envelope has come, as steps from its sender to its end.

In: a story. Out: what the trace page shows. A step is done if a signed statement says so that holds and is about this
envelope; what a node says of itself stands in the lines, as its word. No I/O.
"""

from dataclasses import dataclass
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace

from gateway.identity import NODE_NAME
from gateway.lifecycle import State
from gateway.rules import Turn
from gateway.story import Story

_ENDED: Final = {
    pb.MILESTONE_REFUSED: "refused",
    pb.MILESTONE_EXPIRED: "expired",
    pb.MILESTONE_REJECTED: "rejected",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Args:
        name: what is done in it.
        who: by whom.
        at_us: when, in microseconds since 1970; 0 if it is not done.
        state: "done", "failed", "now" or "open".
    """

    name: str
    who: str
    at_us: int
    state: str


def waiting(story: Story, node: str) -> list[trace.DeliveryState]:
    """Return the copies that wait at a node: what its operators can do something about."""
    return [wait.copy for wait in story.waits if wait.node == node]


def is_queued(copy: trace.DeliveryState) -> bool:
    """Whether a copy never left, so that it can be ended here."""
    return copy.state == State.QUEUED.value


def leads_abroad(destination: str) -> bool:
    """Whether a destination is another node, which can be tried; a participant collects by itself."""
    return destination.endswith(f"/{NODE_NAME}")


def steps(story: Story) -> list[Step]:
    """Return what has to be done from the sender to the end, and how far it is."""
    if story.header is None:
        return []
    sender, recipient = story.header.sender, story.header.recipients[0]
    homes = dict.fromkeys(address.partition("/")[0] for address in (sender, recipient))
    wanted = [("recorded", pb.MILESTONE_ACCEPTED, f"{home}/{NODE_NAME}") for home in homes]
    wanted += [("delivered", pb.MILESTONE_DELIVERED, recipient), ("opened", pb.MILESTONE_OPENED, recipient)]
    holding = [proof.said for proof in story.proofs if not proof.error and proof.said.fingerprint == story.subject]
    said = {each.milestone for each in holding}
    if story.matter is not None or said & {pb.MILESTONE_DECIDED, pb.MILESTONE_EXECUTED}:
        wanted.append(("decided", pb.MILESTONE_DECIDED, ""))
        # What has ended otherwise, or was only to be read, is never executed.
        is_over = story.matter is not None and story.matter.acts_next_in_matter == Turn.NOBODY.value
        if pb.MILESTONE_EXECUTED in said or not (is_over or story.header.kind == ids.KIND_DRAFT):
            wanted.append(("executed", pb.MILESTONE_EXECUTED, ""))
    done = [_step(name, milestone, who, holding) for name, milestone, who in wanted]
    # What came later was done though nobody here holds the statement of what came before.
    last = max((number for number, step in enumerate(done) if step.at_us), default=-1)
    ended = next((each for each in holding if each.milestone in _ENDED), None)
    if ended is not None:
        return [*done[: last + 1], Step(_ENDED[ended.milestone], ended.issuer, ended.at_us, "failed")]
    return [
        Step(step.name, step.who, step.at_us, "done" if number <= last else "now" if number == last + 1 else "open")
        for number, step in enumerate(done)
    ]


def _step(name: str, milestone: pb.Milestone.ValueType, who: str, holding: list[pb.Statement]) -> Step:
    found = next(
        (said for said in holding if said.milestone == milestone and (name != "recorded" or said.issuer == who)),
        None,
    )
    return Step(name, who, 0, "open") if found is None else Step(name, who or found.issuer, found.at_us, "done")
