"""What the path does with a frame as a whole."""

from gateway.config import Limits
from gateway.directory import not_known_yet
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.path import Journey, _keep_order
from gateway.receive import receive
from tests import world


def journey(case_id: str) -> Journey:
    raw = world.freeze_request(case_id=case_id).envelope
    return Journey(raw, claimed=receive(raw, Limits()))


def test_what_follows_in_its_case_on_something_that_nobody_can_judge_now_waits_with_it() -> None:
    before, put_off, after, other, last = (journey(case) for case in ("A", "A", "A", "B", "A"))
    put_off.error = not_known_yet()
    _keep_order([before, put_off, after, other, last])
    assert [each.error is None for each in (before, other)] == [True, True]
    for each in (after, last):
        assert isinstance(each.error, Failure)
        assert each.error.code is ErrorCode.UNAVAILABLE
        assert each.verified is None


def test_what_follows_on_a_refusal_does_not_wait_and_a_refusal_stays_one() -> None:
    refused, after, put_off, wrong = (journey("A") for _ in range(4))
    refused.error = wrong.error = Refusal(ErrorCode.STALE, "too old")
    put_off.error = not_known_yet()
    nameless = Journey(put_off.raw, error=Refusal(ErrorCode.MALFORMED, "no header"))
    _keep_order([refused, after, nameless, put_off, wrong])
    assert after.error is None
    assert isinstance(wrong.error, Refusal)
