"""Steps of the trace page: what is still to come, and what never comes."""

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace

from gateway.cli.console.stages import steps
from gateway.story import Proven, Story

SENDER, RECIPIENT = "ee/prosecutor", "ee/central-authority"


def story(kind: ids.Kind.ValueType, acts_next: str, *milestones: pb.Milestone.ValueType) -> Story:
    header = pb.Header(id="1", sender=SENDER, recipients=[RECIPIENT], kind=kind)
    told = trace.EnvelopeTrace(node="ee", header=b"h", fingerprint=b"f", state="any", acts_next_in_matter=acts_next)
    said = [
        Proven(pb.Statement(milestone=each, issuer="ee/node", fingerprint=b"f", at_us=1), ("ee",), "")
        for each in milestones
    ]
    return Story(ids.EnvelopeRef(sender=SENDER, id="1"), header, (told,), tuple(said))


@pytest.mark.parametrize(
    ("kind", "acts_next"),
    [
        (ids.KIND_DRAFT, "nobody"),
        (ids.KIND_DRAFT, RECIPIENT),
        (ids.KIND_FREEZE_REQUEST, "nobody"),  # e.g. refused by the court
    ],
)
def test_nothing_is_said_to_wait_for_what_never_comes(kind: ids.Kind.ValueType, acts_next: str) -> None:
    found = steps(story(kind, acts_next, pb.MILESTONE_ACCEPTED, pb.MILESTONE_DECIDED))
    assert [(each.name, each.state) for each in found][-1] == ("decided", "done")


def test_what_is_decided_and_open_waits_to_be_executed() -> None:
    found = steps(story(ids.KIND_FREEZE_REQUEST, RECIPIENT, pb.MILESTONE_ACCEPTED, pb.MILESTONE_DECIDED))
    assert [(each.name, each.state) for each in found][-1] == ("executed", "now")
