"""Figures of real nodes, scraped over HTTP as Prometheus does it; and who else comes to that door."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import metrics, node, overview
from gateway.doors import scrape
from gateway.doors.scrape import ScrapeDoor
from gateway.errors import ErrorCode, Refusal
from tests.federation import Federation, federation

pytestmark = [pytest.mark.integration, pytest.mark.file]
SETTINGS = '\n[telemetry]\nprometheus = "127.0.0.1:0"\n'
GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"


async def asked(port: int, request: bytes = GET) -> tuple[int, dict[str, str], str]:
    """Ask once; return status, fields and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = (await asyncio.wait_for(reader.read(), 20.0)).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split(" ")[1]), fields, body


async def told_nothing(reader: asyncio.StreamReader) -> bool:
    """Whether a connection ends, or is cut, without an answer."""
    with suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 10.0) == b""
    return True


def figures(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


async def scraped(fed: Federation, code: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    status, fields, body = await asked(fed.nodes[code].scraped_at)
    assert (status, fields["content-type"]) == (200, scrape.CONTENT_TYPE)
    assert int(fields["content-length"]) == len(body.encode())
    return figures(body)


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """Sum what has these labels."""
    return sum(one for (each, has), one in found.items() if each == name and labels.items() <= has)


async def test_real_nodes_show_what_came_went_and_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((node, "LOOK_SECONDS"), (overview, "FRESH_SECONDS"), (scrape, "FRESH_SECONDS")):
        monkeypatch.setattr(module, name, 0.05)
    async with federation(tmp_path / "fed", settings=SETTINGS) as fed:
        sender, recipient = fed.actor("ee/prosecutor"), fed.actor("de/central-authority")
        broken = fed.request(case_id="EE-SECRET-CASE")
        broken.sealed_payload += b"x"
        await sender.submit_frame([*(fed.request(case_id=f"EE-{number}") for number in range(3)), broken])
        await recipient.collect(3)
        await sender.collect(3)
        ee, de = await scraped(fed, "ee"), await scraped(fed, "de")
        # What rests on the store is a moment older than the rest.
        to = {"rogatory_destination": "de/node"}
        while value(ee, "rogatory_log_size") < 3 or value(ee, "rogatory_copies_waiting", **to) > 0:
            ee = await scraped(fed, "ee")
        _, _, text = await asked(fed.nodes["ee"].scraped_at)
    assert value(ee, "rogatory_envelopes_total", rogatory_outcome="accepted", rogatory_from="ee") == 3
    assert value(ee, "rogatory_envelopes_total", rogatory_outcome="refused", error_type="BAD_SIGNATURE") == 1
    assert value(de, "rogatory_envelopes_total", rogatory_outcome="accepted", rogatory_from="ee") == 3
    assert value(ee, "messaging_client_sent_messages_total", messaging_destination_name="de/node") >= 3
    assert value(ee, "rogatory_relay_attempts_total", rogatory_outcome="answered") >= 1
    assert value(de, "rogatory_mailbox_items_total", rogatory_outcome="acknowledged") == 3
    method = "rogatory.v1.Mailbox/SubmitFrames"
    assert value(ee, "rpc_server_call_duration_seconds_count", rpc_method=method, rpc_response_status_code="OK") == 1
    assert value(ee, "rogatory_store_commit_duration_seconds_count") >= 1
    assert value(ee, "rogatory_store_batch_size_sum") >= 4
    assert value(ee, "target_info", service_name="rogatory-node-ee") == 1
    for name in metrics.WARNINGS:
        assert ("rogatory_warnings", frozenset({("rogatory_warning", name)})) in ee
    assert value(ee, "rogatory_expiry_remaining_seconds", rogatory_expiring="TLS certificate") > 0
    assert ("rogatory_copies_waiting", frozenset(to.items())) in ee
    assert "SECRET" not in text
    assert "prosecutor" not in text


@pytest.fixture
async def door() -> AsyncIterator[ScrapeDoor]:
    made = ScrapeDoor(lambda: b"figures 1\n")
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /metrics?name[]=x HTTP/1.0\r\n\r\n", 200),
    ],
)
async def test_door_serves_one_page_and_nothing_else(door: ScrapeDoor, request_: bytes, status: int) -> None:
    assert (await asked(await door.open("127.0.0.1:0"), request_))[0] == status


async def test_who_sends_too_much_or_nothing_is_hung_up_on(door: ScrapeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "SECONDS", 0.2)
    port = await door.open("127.0.0.1:0")
    for sent in (b"", b"GET /metrics HTTP/1.1\r\n", b"GET /" + b"x" * 4 * scrape.REQUEST_BYTES):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await told_nothing(reader)
        writer.close()
    assert (await asked(port))[0] == 200


async def test_many_who_wait_keep_no_more_than_so_many_places_and_figures_are_made_once_for_all(
    door: ScrapeDoor,
) -> None:
    made = 0

    def count() -> bytes:
        nonlocal made
        made += 1
        return b"figures 1\n"

    door._figures = count
    port = await door.open("127.0.0.1:0")
    assert {status for status, *_ in await asyncio.gather(*(asked(port) for _ in range(scrape.AT_ONCE)))} == {200}
    assert made == 1
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(scrape.AT_ONCE)]
    idle.append(await asyncio.open_connection("127.0.0.1", port))
    assert await told_nothing(idle[-1][0])
    for _, writer in idle:
        writer.close()


async def test_address_that_cannot_be_used_stops_the_start(door: ScrapeDoor) -> None:
    port = await door.open("127.0.0.1:0")
    with pytest.raises(Refusal) as caught:
        await ScrapeDoor(bytes).open(f"127.0.0.1:{port}")
    assert caught.value.code is ErrorCode.BAD_CONFIG
