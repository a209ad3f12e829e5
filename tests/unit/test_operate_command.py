"""What `rogatory operate` shows of what a node says."""

import json

import pytest
from rogatory.v1 import operations_pb2 as pb

from gateway.cli import operate


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
