"""Alerts are told once, whoever looks, and get through: signed, retried, bounded in time."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import trace_pb2 as trace

from gateway import alerting
from gateway.alerting import Alerting, MailChannel, WebhookChannel
from gateway.clock import to_micros
from gateway.config import Alerts, Delivery, Mail, NodeConfig, Webhook, load
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.store import Transaction, Writer, open_store
from gateway.store.alerts import AlertRow
from gateway.store.matters import Stage
from tests import stores
from tests.errors import raises
from tests.federation import ports
from tests.unit.test_trust_fetch import certificate

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = bytes(range(32))
HURRY = Delivery(backoff_first_seconds=0.01, backoff_max_seconds=0.05)
DEAD = trace.Warning(name="destination.dead", subject="de/node", detail="3 copies wait for de/node", urgent=True)


def row(seq: int, word: str = "alert.raised", raised_at_us: int = 7_000_000) -> AlertRow:
    return AlertRow(seq, 1_000_000 * seq, word, "destination.dead", "de/node", "3 copies wait", raised_at_us, True)


# Who looks


class Looks:
    """Overviews by hand."""

    def __init__(self) -> None:
        self.warnings: list[trace.Warning] = []

    async def get(self) -> trace.GetOverviewResponse:
        return trace.GetOverviewResponse(node="ee", warnings=self.warnings)


class Told:
    """A channel that may be down."""

    name = "webhook"

    def __init__(self) -> None:
        self.down = False
        self.rows: list[AlertRow] = []

    def send(self, rows: Sequence[AlertRow]) -> None:
        if self.down:
            raise Failure(ErrorCode.UNAVAILABLE, "down")
        self.rows += rows


class Time:
    """A clock that may be in doubt, as a `SteadyClock`."""

    def __init__(self) -> None:
        self.at = NOW
        self.doubted = False

    def __call__(self) -> datetime:
        if self.doubted:
            raise Failure(ErrorCode.UNAVAILABLE, "set")
        return self.at


@pytest.fixture(params=stores.ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Place]:
    with stores.using(request.param):
        yield stores.place(tmp_path / "store.db")


@asynccontextmanager
async def process(place: stores.Place, time: Time, looks: Looks, *ways: Told) -> AsyncIterator[Alerting]:
    """One of several processes of a node."""
    connect, engine = open_store(place)
    engine.dispose()
    writer = Writer(
        connect,
        lambda: lambda _: (),
        issuer="ee/node",
        clock=time,
        max_waiting=64,
        on_commit=lambda _: None,
        watch=lambda _: None,
    )
    writer.start()
    try:
        yield Alerting(looks, writer, Alerts, ways, time, lambda: 0.5, HURRY)  # type: ignore[arg-type]  # by hand
    finally:
        await writer.close()


async def test_two_processes_and_the_next_start_tell_each_alert_once_in_all(place: stores.Place) -> None:
    time, looks, way = Time(), Looks(), Told()
    async with process(place, time, looks, way) as one, process(place, time, looks, way) as other:
        await one.look()
        looks.warnings = [DEAD]
        await asyncio.gather(one.look(), other.look(), one.look(), other.look())
        assert sorted([await one.tell(way), await other.tell(way)]) == [False, True]
    async with process(place, time, looks, way) as again:
        await again.look()
        assert not await again.tell(way)
        assert [(each.word, each.subject) for each in way.rows] == [("alert.raised", "de/node")]
        looks.warnings = []
        await again.look()
        time.at += timedelta(minutes=6)
        await again.look()
        assert await again.tell(way)
        assert [each.word for each in way.rows] == ["alert.raised", "alert.cleared"]
        assert way.rows[1].raised_at_us == way.rows[0].at_us
    assert stores.rows(place, "SELECT count(*) FROM standing") == [(0,)]


class Slow(Told):
    """A channel that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def send(self, rows: Sequence[AlertRow]) -> None:
        self.begun.set()
        self.go.wait(60)
        super().send(rows)


async def test_alert_that_one_process_is_telling_is_told_by_no_other_meanwhile(place: stores.Place) -> None:
    time, looks, slow, way = Time(), Looks(), Slow(), Told()
    async with process(place, time, looks, slow) as one, process(place, time, looks, way) as other:
        await one.look()
        looks.warnings = [DEAD]
        await one.look()
        telling = asyncio.create_task(one.tell(slow))
        try:
            assert await asyncio.to_thread(slow.begun.wait, 60)
            assert not await other.tell(way)
        finally:
            slow.go.set()
        assert await telling
    assert (len(slow.rows), way.rows) == (1, [])


@pytest.mark.parametrize(("stage", "name"), [(None, "clock.due-soon"), (Stage.OVERDUE, "clock.overdue")])
async def test_limit_that_others_push_out_of_the_overview_is_not_told_as_over(
    place: stores.Place, stage: Stage | None, name: str
) -> None:
    time, looks, way = Time(), Looks(), Told()
    ref = ids.EnvelopeRef(sender="ee/prosecutor", id="0123")
    rule = measures.CLOCK_RULE_URGENT_DECISION
    now_us, hour_us = to_micros(NOW), 3_600_000_000

    def begin(txn: Transaction) -> None:
        header = pb.Header(sender=ref.sender, id=ref.id, recipients=["de/central-authority"])
        txn.add_envelope(pb.SignedEnvelope(), header, bytes(32))
        txn.matters.start_clock(ref, rule, now_us - 40 * hour_us, now_us + hour_us, now_us + hour_us)
        if stage is not None:
            (clock,) = txn.matters.clocks(ref)
            txn.matters.set_clock(clock.seq, stage, None)

    listed = trace.Warning(name=name, subject=f"urgent-decision {ref.sender} {ref.id}", since_us=1)
    async with process(place, time, looks, way) as one:
        writer = one._writer
        await writer.write(begin)
        await one.look()
        looks.warnings = [listed]
        for minutes in (0, 2):
            time.at = NOW + timedelta(minutes=minutes)
            await one.look()
        looks.warnings = []
        for minutes in (3, 20):
            time.at = NOW + timedelta(minutes=minutes)
            await one.look()
        await one.tell(way)
        assert [each.word for each in way.rows] == ["alert.raised"]
        await writer.write(lambda txn: txn.matters.end_clocks(ref, (rule,), Stage.STOPPED))
        for minutes in (21, 30):
            time.at = NOW + timedelta(minutes=minutes)
            await one.look()
        await one.tell(way)
        assert [each.word for each in way.rows] == ["alert.raised", "alert.cleared"]


async def test_nothing_is_told_while_the_clock_is_in_doubt(tmp_path: Path) -> None:
    time, looks = Time(), Looks()
    place = stores.place(tmp_path / "store.db")
    async with process(place, time, looks) as one:
        looks.warnings, time.doubted = [DEAD], True
        with pytest.raises(Failure) as caught:
            await one.look()
        assert caught.value.code is ErrorCode.UNAVAILABLE
    assert stores.rows(place, "SELECT count(*) FROM alerts") == [(0,)]


async def test_what_did_not_get_through_is_sent_later_in_order_and_what_is_too_old_is_not(place: stores.Place) -> None:
    time, looks, way = Time(), Looks(), Told()
    async with process(place, time, looks, way) as one:
        await one.look()
        looks.warnings, way.down = [DEAD], True
        await one.look()
        assert not await one.tell(way)
        way.down = False
        assert not await one.tell(way)  # not at once
        time.at += timedelta(seconds=1)
        looks.warnings = [DEAD, trace.Warning(name="log.alarm", subject="fr.rogatory.test/log", urgent=True)]
        await one.look()
        assert await one.tell(way)
        assert [each.name for each in way.rows] == ["destination.dead", "log.alarm"]
        looks.warnings = [*looks.warnings, trace.Warning(name="clock.overdue", subject="late", urgent=True)]
        way.down = True
        await one.look()
        assert not await one.tell(way)
        way.down = False
        time.at += timedelta(hours=25)
        await one.look()  # what lasts is told again, and is new
        assert await one.tell(way)
        assert [each.word for each in way.rows[2:]] == ["alert.lasting"] * 3


async def test_alerts_run_by_themselves_and_get_through_when_the_channel_is_back(place: stores.Place) -> None:
    looks, way, time = Looks(), Told(), Time()
    async with process(place, time, looks, way) as one:
        await one.look()
        looks.warnings, way.down = [DEAD], True
        running = asyncio.create_task(one.run())
        try:
            async with asyncio.timeout(20):
                while not stores.rows(place, "SELECT 1 FROM channels WHERE failures > 0"):
                    await asyncio.sleep(0.02)
                way.down, time.at = False, time.at + timedelta(minutes=1)
                one._channels["webhook"][1].set()
                while not way.rows:
                    await asyncio.sleep(0.02)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert [each.word for each in way.rows] == ["alert.raised"]


# Webhook


class Receiver(BaseHTTPRequestHandler):
    """Takes what is posted, and answers as it is told."""

    answers: ClassVar[list[int]] = []
    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    drips: ClassVar[threading.Event] = threading.Event()
    over: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((dict(self.headers.items()), content))
        if self.drips.is_set():
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not self.over.wait(0.02):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
            return
        self.send_response(self.answers.pop(0) if self.answers else 204)
        self.send_header("Content-Length", "0")
        self.send_header("Location", "https://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "webhook.key"
    file.write_text(f"whsec_{base64.b64encode(KEY).decode()}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return certificate(tmp_path)


def context(ca: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(ca, ca.with_suffix(".key"))
    return made


@contextmanager
def receiving(ca: Path) -> Iterator[str]:
    Receiver.answers.clear()
    Receiver.got.clear()
    Receiver.drips.clear()
    Receiver.over.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.socket = context(ca).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/alerts?node=ee"
    finally:
        Receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def hook(url: str, key_file: Path, ca: Path) -> WebhookChannel:
    return WebhookChannel("ee", Webhook(url=url, key_file=key_file, ca=ca), lambda: NOW)


def test_webhook_is_signed_as_anybody_can_verify(key_file: Path, ca: Path) -> None:
    with receiving(ca) as url:
        hook(url, key_file, ca).send([row(7), row(8, "alert.cleared")])
    ((headers, content),) = Receiver.got
    # As Standard Webhooks says it, and not as we compute it.
    said = b".".join([headers["Webhook-Id"].encode(), headers["Webhook-Timestamp"].encode(), content])
    expected = base64.b64encode(hmac.new(KEY, said, hashlib.sha256).digest()).decode()
    assert headers["Webhook-Signature"] == f"v1,{expected}"
    assert headers["Webhook-Timestamp"] == str(int(NOW.timestamp()))
    assert headers["Webhook-Id"] == "ee-7-8"
    assert json.loads(content) == {
        "node": "ee",
        "alerts": [
            {
                "number": number,
                "type": word,
                "timestamp": f"1970-01-01T00:00:0{number}+00:00",
                "name": "destination.dead",
                "subject": "de/node",
                "detail": "3 copies wait",
                "raised": "1970-01-01T00:00:07+00:00",
                "urgent": True,
            }
            for number, word in ((7, "alert.raised"), (8, "alert.cleared"))
        ],
    }


async def test_webhook_is_sent_again_after_500_a_redirect_and_a_dead_server_with_the_same_id(
    tmp_path: Path, key_file: Path, ca: Path
) -> None:
    time, looks = Time(), Looks()
    place = stores.place(tmp_path / "store.db")
    with receiving(ca) as url:
        way = hook(url, key_file, ca)
        async with process(place, time, looks, way) as one:  # type: ignore[arg-type]  # the real one
            await one.look()
            looks.warnings = [DEAD]
            await one.look()
            Receiver.answers += [500, 302, 200]
            told = []
            for _ in range(4):
                told.append(await one.tell(way))
                time.at += timedelta(seconds=1)
            assert told == [False, False, True, False]
            assert [headers["Webhook-Id"] for headers, _ in Receiver.got] == ["ee-1-1"] * 3
    with pytest.raises(Failure) as caught:
        way.send([row(1)])
    assert caught.value.code is ErrorCode.UNAVAILABLE


def test_webhook_that_drips_is_cut_off(key_file: Path, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerting, "SEND_SECONDS", 0.3)
    with receiving(ca) as url:
        Receiver.drips.set()
        with pytest.raises(Failure) as caught:
            hook(url, key_file, ca).send([row(1)])
    assert caught.value.code is ErrorCode.UNAVAILABLE


def test_webhook_does_not_speak_to_a_server_that_its_ca_does_not_know(tmp_path: Path, key_file: Path, ca: Path) -> None:
    (tmp_path / "other").mkdir()
    with receiving(ca) as url, raises(ErrorCode.UNAVAILABLE):
        hook(url, key_file, certificate(tmp_path / "other")).send([row(1)])
    assert Receiver.got == []


SPOILS: dict[str, Callable[[Path], object]] = {
    "open to others": lambda file: file.chmod(0o644),
    "missing": lambda file: file.unlink(),
    "short": lambda file: file.write_text("whsec_" + base64.b64encode(KEY[:23]).decode()),
    "no base64": lambda file: file.write_text("whsec_" + "!" * 40),
    "no ASCII": lambda file: file.write_text("\ufeff" + file.read_text()),
    "not named": lambda file: file.write_text(base64.b64encode(KEY).decode()),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_key_of_a_webhook_that_could_not_be_used_is_found_before_anything_starts(
    key_file: Path, ca: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(key_file)
    with pytest.raises(Refusal) as caught:
        hook("https://127.0.0.1:1/", key_file, ca)
    assert caught.value.code is ErrorCode.KEY_FILE


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "ftp://example.org/", "https://user:word@example.org/", "https://example.org/\r\nX: y"],
)
def test_webhook_goes_over_tls_or_stays_on_the_machine(url: str, key_file: Path) -> None:
    with pytest.raises(ValidationError):
        Webhook(url=url, key_file=key_file)


# E-mail


class Box:
    """Keeps what a mail server is given."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 taken"


@contextmanager
def mail_server(ca: Path, security: str) -> Iterator[tuple[Box, int]]:
    box, tls, (port,) = Box(), context(ca), ports(1)

    def who(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"rogatory", b"a long password"))

    ways: dict[str, Any] = {
        "starttls": {"tls_context": tls, "require_starttls": True, "auth_required": True},
        "tls": {"ssl_context": tls, "server_hostname": "127.0.0.1", "auth_require_tls": False},
    }
    controller = Controller(box, hostname="127.0.0.1", port=port, authenticator=who, **ways[security], ready_timeout=10)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


@pytest.fixture
def mail(tmp_path: Path, ca: Path) -> Callable[..., MailChannel]:
    password = tmp_path / "mail.password"
    password.write_text("a long password\n")
    password.chmod(0o600)

    def make(port: int, security: str = "starttls", **others: Any) -> MailChannel:
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "security": security,
            "sender": "ee-node@rogatory.example",
            "to": ("night@rogatory.example", "day@rogatory.example"),
            "user": "rogatory",
            "password_file": password,
            "ca": ca,
        }
        return MailChannel("ee", "rogatory.test", Mail(**fields | others))

    return make


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mails_about_one_warning_are_one_thread(ca: Path, mail: Callable[..., MailChannel], security: str) -> None:
    with mail_server(ca, security) as (box, port):
        mail(port, security).send([row(7), row(8, "alert.lasting"), row(9, "alert.cleared")])
    assert [(sender, to) for sender, to, _ in box.mails] == [
        ("ee-node@rogatory.example", ["night@rogatory.example", "day@rogatory.example"])
    ] * 3
    first, lasting, over = (message_from_bytes(content) for _, _, content in box.mails)
    assert first["Subject"] == "[rogatory ee] destination.dead de/node"
    assert over["Subject"] == "[rogatory ee] over: destination.dead de/node"
    assert first["References"] is None
    assert [each["References"] for each in (lasting, over)] == [first["Message-ID"]] * 2
    assert len({each["Message-ID"] for each in (first, lasting, over)}) == 3
    text = first.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"3 copies wait" in text
    assert b"docs/runbook.md#destination-dead" in text


def test_many_alerts_are_one_mail(ca: Path, mail: Callable[..., MailChannel]) -> None:
    with mail_server(ca, "starttls") as (box, port):
        mail(port).send([row(number) for number in range(1, 65)])
    ((_, _, content),) = box.mails
    assert message_from_bytes(content)["Subject"] == "[rogatory ee] 64 alerts"
    assert content.count(b"destination.dead de/node") == 64


@contextmanager
def one_that_drips() -> Iterator[int]:
    """A mail server that greets for ever."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"220-")
                while not over.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join()


def test_mail_server_that_drips_lies_or_is_dead_is_a_failure(
    tmp_path: Path, ca: Path, mail: Callable[..., MailChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "SEND_SECONDS", 0.5)
    with one_that_drips() as port, raises(ErrorCode.UNAVAILABLE):
        mail(port).send([row(1)])
    with raises(ErrorCode.UNAVAILABLE):
        mail(port).send([row(1)])  # by now, nobody is there
    monkeypatch.undo()
    (tmp_path / "other").mkdir()
    with mail_server(ca, "starttls") as (box, port), raises(ErrorCode.UNAVAILABLE):
        mail(port, ca=certificate(tmp_path / "other")).send([row(1)])
    assert box.mails == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"security": "none", "host": "mail.example.org"},
        {"password_file": None},
        {"user": ""},
        {"user": "nöde"},
        {"to": ()},
        {"to": ("a@b\r\nBcc: c@d",)},
        {"sender": "nobody"},
    ],
)
def test_mail_settings_that_could_not_work_are_refused(mail: Callable[..., MailChannel], wrong: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, GatewayError)):
        mail(25, **wrong)


def test_password_that_could_never_be_sent_is_found_before_anything_starts(
    tmp_path: Path, mail: Callable[..., MailChannel]
) -> None:
    password = tmp_path / "other.password"
    password.write_text("ein langes Paßwort")
    password.chmod(0o600)
    with pytest.raises(Refusal) as caught:
        mail(25, password_file=password)
    assert caught.value.code is ErrorCode.KEY_FILE
    assert "Pa" not in str(caught.value).replace(str(password), "")


def test_settings_name_files_from_their_own_folder_and_what_could_never_be_sent_is_found_by_a_start(
    tmp_path: Path, key_file: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text("""
        node = "ee"
        listen = "127.0.0.1:7440"
        store = "node.db"
        certificate = "tls.pem"
        tls_key = "tls.key"

        [directory]
        root = "root.json"
        repository = "repository"
        cache = "cache"

        [alerts.webhook]
        url = "https://pager.example/rogatory"
        key_file = "webhook.key"

        [alerts.mail]
        host = "mail.example"
        sender = "node@ee.example"
        to = ["night@ee.example"]
    """)
    settings = load(NodeConfig, file).alerts
    assert settings.webhook is not None
    assert settings.webhook.key_file == key_file
    ways = alerting.channels("ee", "rogatory.test", settings, lambda: NOW)
    assert [way.name for way in ways] == ["webhook", "mail"]
    key_file.unlink()
    with pytest.raises(Refusal) as caught:
        alerting.channels("ee", "rogatory.test", settings, lambda: NOW)
    assert caught.value.code is ErrorCode.KEY_FILE
