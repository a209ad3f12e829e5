"""Finding envelopes through the Trace door of a real node: by whom, by what, page by page, and who may not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace
from rogatory.v1.trace_pb2_grpc import TraceStub

from gateway import material, statement, transport
from gateway.errors import ErrorCode, GatewayError
from tests.federation import UNTIL_SECONDS, Federation, federation, ref
from tests.processes import finished

pytestmark = pytest.mark.integration


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with federation(tmp_path / "fed", start=["ee"]) as made:
        yield made


async def found(fed: Federation, who: str = "ee/operator", **wanted: Any) -> trace.FindEnvelopesResponse:
    loaded = material.load_participant(fed.summary.config(who))
    async with transport.channel_to(fed.directory.node("ee"), fed.directory.federation, loaded.identity) as channel:
        request = trace.FindEnvelopesRequest(**wanted)
        response: trace.FindEnvelopesResponse = await TraceStub(channel).FindEnvelopes(request, timeout=UNTIL_SECONDS)
        return response


async def refused(fed: Federation, who: str = "ee/operator", **wanted: Any) -> GatewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await found(fed, who, **wanted)
    return transport.error_of(caught.value)


def names(response: trace.FindEnvelopesResponse) -> list[str]:
    return [each.envelope.id for each in response.envelopes]


async def test_what_waits_for_a_stopped_node_is_found_with_what_is_refused_and_page_by_page(fed: Federation) -> None:
    prosecutor = fed.actor("ee/prosecutor")
    waiting = [fed.request(case_id=f"EE-{number}") for number in range(3)]
    for made in waiting:
        await prosecutor.submit(made)
    newest = [ref(made).id for made in reversed(waiting)]
    told = await found(fed, state="waiting")
    assert (names(told), told.next) == (newest, "")
    one = told.envelopes[0]
    assert (one.recipient, one.kind, one.case_id) == ("de/central-authority", ids.KIND_FREEZE_REQUEST, "EE-2")
    assert (one.delivery.destination, one.delivery.acts_next) == ("de/node", "the node itself")
    assert one.recorded_at_us > 0
    by_others: list[dict[str, Any]] = [
        {"node": "de"},
        {"participant": "de/central-authority"},
        {"kind": ids.KIND_FREEZE_REQUEST},
        {"destination": "de/node"},
    ]
    for wanted in by_others:
        assert names(await found(fed, "ee/auditor", **wanted)) == newest
    assert names(await found(fed, case_id="EE-1", state="waiting")) == [newest[1]]
    first = await found(fed, participant="ee/prosecutor", kind=ids.KIND_FREEZE_REQUEST, limit=2)
    assert names(first) == newest[:2]
    rest = await found(fed, participant="ee/prosecutor", kind=ids.KIND_FREEZE_REQUEST, limit=2, after=first.next)
    assert names(rest) == newest[2:]
    # Without its second signature: it was never recorded, and is found by its id and by why.
    alone = prosecutor.compose(
        ids.KIND_FREEZE_REQUEST,
        "de/central-authority",
        b"request",
        instrument="eu-2018-1805",
        measures=(ids.MEASURE_BLOCK_WITHDRAWAL,),
    )
    answer = await prosecutor.answer(alone)
    code = statement.verify(answer.receipt, fed.directory.signing_key).code
    by_id, by_code = await found(fed, id=ref(alone).id), await found(fed, code=code)
    for response in (by_id, by_code):
        (only,) = response.envelopes
        assert (only.envelope.id, only.kind) == (ref(alone).id, ids.KIND_UNSPECIFIED)
        assert only.code == code != errors_pb2.ERROR_CODE_UNSPECIFIED
        assert not only.HasField("delivery")


async def test_nonsense_is_refused_with_its_field_and_nobody_else_may_ask(fed: Federation) -> None:
    nonsense: list[tuple[str, dict[str, Any]]] = [
        ("state", {"state": "lost"}),
        ("participant", {"participant": "EE/prosecutor"}),
        ("node", {"node": "E1"}),
        ("destination", {"destination": "nobody"}),
        ("until_us", {"from_us": 5, "until_us": 5}),
        ("after", {"after": "e5' OR 1"}),
        ("after", {"after": "e5", "state": "waiting"}),
        ("limit", {"limit": 257}),
        ("from_us", {"from_us": -1}),
        ("id", {"id": "a\0"}),
        ("case_id", {"case_id": "\0"}),
    ]
    for field, wanted in nonsense:
        error = await refused(fed, **wanted)
        assert (error.code, error.field) == (ErrorCode.MALFORMED, field)
    for who in ("ee/exchange", "ee/prosecutor", "de/operator", "de/auditor"):
        assert (await refused(fed, who)).code is ErrorCode.NOT_PERMITTED


async def test_command_lists_what_is_found_over_pages_and_refuses_what_cannot_be_asked(fed: Federation) -> None:
    made = [fed.request(case_id="EE-7") for _ in range(3)]
    for each in made:
        await fed.actor("ee/prosecutor").submit(each)
    config = ("--config", str(fed.summary.config("ee/operator")), "--json")
    wanted = (
        "--case",
        "EE-7",
        "--node",
        "de",
        "--kind",
        "freeze-request",
        "--from",
        "2020-01-01",
        "--state",
        "waiting",
    )
    status, out, err = await finished("trace", *wanted, "--limit", "2", *config)
    assert (status, err) == (0, "")
    shown = json.loads(out)
    assert [each["id"] for each in shown["envelopes"]] == [ref(each).id for each in reversed(made[1:])]
    assert shown["envelopes"][0]["delivery"]["destination"] == "de/node"
    status, out, err = await finished("trace", *wanted, "--after", shown["next"], *config)
    assert [each["id"] for each in json.loads(out)["envelopes"]] == [ref(made[0]).id]
    for nonsense in (
        ("--kind", "love-letter"),
        ("--code", "LOVE"),
        ("--node", "Germany"),
        ("EE-7", "--node", "de"),
        ("EE-7", "--overdue"),
        (),
    ):
        status, out, err = await finished("trace", *nonsense, *config)
        assert (status, json.loads(out)["error"]["code"]) == (2, "BAD_INPUT")
