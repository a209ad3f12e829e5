"""What `rogatory operate` shows of what a node says."""

import json
from typing import Any

import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import operations_pb2 as pb
from rogatory.v1 import trace_pb2 as trace

from gateway.cli import operate
from gateway.errors import ErrorCode, Refusal


@pytest.mark.parametrize("as_json", [True, False])
def test_action_of_a_node_of_a_newer_version_is_shown(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    unknown = pb.Action(reason="why")
    unknown.MergeFromString(b"\xfa\x3e\x00")  # field 1007, of which this version knows nothing
    recorded = pb.RecordedAction(number=7, action=unknown, asked_by="ee/operator", state=99)  # type: ignore[arg-type]
    recorded.error.code = 9999  # type: ignore[assignment]  # as above
    recorded.error.detail = "it could not"
    operate._show_one(recorded, as_json=as_json)
    shown = capsys.readouterr().out
    assert "it could not" in shown
    if as_json:
        told = json.loads(shown)
        assert (told["number"], told["about"], told["code"], told["state"]) == (7, {}, "9999", "99")


def test_approver_is_shown_whose_envelope_and_which_interval(capsys: pytest.CaptureFixture[str]) -> None:
    ref = ids.EnvelopeRef(sender="ee/prosecutor", id="0190")
    expire = pb.Action(expire=pb.ExpireCopy(envelope=ref, destination="de/node"))
    resend = pb.Action(resend=pb.ResendCopies(destination="de/node", from_us=1, until_us=2_000_000))
    waiting = pb.ACTION_STATE_WAITING
    operate._show([pb.RecordedAction(number=n, action=each, state=waiting) for n, each in enumerate((expire, resend))])
    shown = capsys.readouterr().out
    assert "ee/prosecutor 0190 de/node" in shown
    assert "de/node from 1970-01-01T00:00:00.000001Z until 1970-01-01T00:00:02.000000Z" in shown


async def test_case_named_like_an_envelope_keeps_no_operator_from_that_envelope(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = ids.EnvelopeRef(sender="ee/prosecutor", id="0190")
    others = [ids.EnvelopeRef(sender="de/court", id=each) for each in ("0191", "0192")]
    told = [trace.EnvelopeTrace(envelope=each) for each in (wanted, *others)]

    async def fetch(_: Any, key: str, *, ask_others: bool) -> trace.GetTraceResponse:
        assert not ask_others
        return trace.GetTraceResponse(traces=told)

    monkeypatch.setattr(operate, "fetch", fetch)
    loaded: Any = None
    assert await operate._named(loaded, "0190") == wanted
    with pytest.raises(Refusal) as caught:
        await operate._named(loaded, "a-case")
    assert caught.value.code is ErrorCode.BAD_INPUT
