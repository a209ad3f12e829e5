"""Alerts: what an operator has to know is told while nobody looks: in the node's log, by webhook, by e-mail.

In: overviews, one after the other; the store, which remembers what was told. Out: each alert once (`alert.raised`), now
and then again while it lasts (`alert.lasting`), and its end (`alert.cleared`); on each channel in order, retried until
it gets through or is too old. A channel that is down holds up nobody. What is told has ids, addresses and counts, and
never what envelopes hold: nor could it, for the node cannot read that.

A webhook is signed as Standard Webhooks 1.0 has it: HMAC-SHA256 over id, timestamp and body. An e-mail goes over TLS,
and is one of a thread. Refuses at the start, with BAD_CONFIG and KEY_FILE, what could never be sent.
"""

import asyncio
import base64
import hmac
import json
import logging
import os
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from gateway import conditions, deliver, passphrase, private_files, timed
from gateway.clock import Clock, from_micros, in_micros, to_micros
from gateway.config import Alerts, Delivery, Mail, Webhook
from gateway.deliver import Chance
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.overview import Overview
from gateway.store import Transaction, Writer
from gateway.store.alerts import CLEARED, RAISED, Alert, AlertRow, Decided, Standing
from gateway.timed import Timed, Unanswered
from gateway.upkeep import survived

SEND_SECONDS: Final = 8.0
"""For one attempt, however the other end drips; below a drain: a stopping node waits for its threads."""

LEASE_SECONDS: Final = 60.0
"""So long nobody else takes what one process is about to send."""

LOOK_SECONDS: Final = 15.0
"""How often a channel looks for what another process has raised."""

PATIENCE: Final = Delivery(backoff_first_seconds=2.0, backoff_max_seconds=300.0)
MAX_ANSWER_BYTES: Final = 4 << 10
SINGLE_MAILS: Final = 8
"""More alerts at once than these go in one e-mail."""

KEY_PREFIX: Final = "whsec_"
LEAST_KEY_BYTES: Final = 24
MOST_KEY_BYTES: Final = 64
_READY: Final = 220  # RFC 5321 section 4.2

diagnostics = logging.getLogger("gateway.alerts")


class Channel(Protocol):
    """A way to operators."""

    name: str

    def send(self, rows: Sequence[AlertRow]) -> None:
        """Send alerts; called in a thread.

        Raises:
            GatewayError: they may not have arrived.
        """
        ...


class Alerting:
    """Watches one node, and tells."""

    def __init__(
        self,
        overview: Overview,
        writer: Writer,
        settings: Callable[[], Alerts],
        channels: Iterable[Channel],
        clock: Clock,
        chance: Chance,
        patience: Delivery = PATIENCE,
    ) -> None:
        """Prepare it.

        Args:
            overview: how the node does.
            writer: of its store.
            settings: gives thresholds and times.
            channels: where to tell, beside the log.
            clock: time, or a Failure while it is in doubt.
            chance: numbers in [0, 1).
            patience: how long to wait after failures.
        """
        self._overview = overview
        self._writer = writer
        self._settings = settings
        self._channels = {each.name: (each, asyncio.Event()) for each in channels}
        self._clock = clock
        self._chance = chance
        self._patience = patience

    async def run(self) -> None:
        """Watch and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            for channel, wake in self._channels.values():
                group.create_task(self._serve(channel, wake))
            group.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            with survived("the alerts"):
                await self.look()
            await asyncio.sleep(self._settings().every_seconds)

    async def look(self) -> None:
        """Look once, and keep what is to be told.

        Raises:
            Failure: STORE, it cannot be read or written now; UNAVAILABLE, the clock was set a moment ago.
        """
        self._clock()  # by a wrong time everything would have run out
        found, settings = (await self._overview.get()).warnings, self._settings()
        channels = list(self._channels)

        def job(txn: Transaction) -> list[Alert]:
            for name in channels:
                txn.alerts.open(name)

            def decide(standing: list[Standing]) -> Decided:
                listed = {(each.name, each.subject) for each in found}
                unlisted = [each for each in standing if (each.name, each.subject) not in listed]
                still = conditions.lasting(unlisted, txn.matters.clocks, txn.now_us, settings)
                return conditions.alerts(standing, [*found, *still], txn.now_us, settings)

            return txn.alerts.look(decide)

        for alert in await self._writer.write(job, weight=0):
            about = {"alert": alert.about.name, "subject": alert.about.subject, "detail": alert.detail}
            level = logging.INFO if alert.word == CLEARED else logging.ERROR if alert.urgent else logging.WARNING
            diagnostics.log(level, alert.word, extra=about)
            for _, wake in self._channels.values():
                wake.set()

    async def _serve(self, channel: Channel, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            told = False
            with survived(channel.name):
                told = await self.tell(channel)
            if not told:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(LOOK_SECONDS, self._settings().every_seconds)):
                        await wake.wait()

    async def tell(self, channel: Channel) -> bool:
        """Send what a channel has to tell, if it is time; return whether something got through.

        Raises:
            Failure: STORE, it cannot be written now.
        """
        settings, now_us = self._settings(), to_micros(self._clock())
        oldest_us = now_us - in_micros(timedelta(hours=settings.give_up_hours))
        until_us = now_us + in_micros(timedelta(seconds=LEASE_SECONDS))
        batch = await self._writer.write(lambda txn: txn.alerts.take(channel.name, until_us, oldest_us), weight=0)
        if batch.given_up:
            diagnostics.error("alert.given-up", extra={"channel": channel.name, "count": batch.given_up})
        if not batch.rows:
            return False
        last = batch.rows[-1].seq
        try:
            await asyncio.to_thread(channel.send, batch.rows)
        except GatewayError as error:
            pause = timedelta(seconds=deliver.backoff(batch.failures + 1, self._patience, self._chance))
            next_us = to_micros(self._clock()) + in_micros(pause)
            extra = {"channel": channel.name, "code": error.code.name, "detail": error.detail}
            diagnostics.log(logging.INFO if batch.failures else logging.WARNING, "alert.unsent", extra=extra)
            await self._writer.write(lambda txn: txn.alerts.failed(channel.name, next_us), weight=0)
            return False
        await self._writer.write(lambda txn: txn.alerts.told(channel.name, last), weight=0)
        return True


def channels(node: str, federation: str, settings: Alerts, clock: Clock) -> list[Channel]:
    """Return the channels of a node, by its settings; refuses with BAD_CONFIG and KEY_FILE what could never be sent."""
    made: list[Channel] = []
    if settings.webhook is not None:
        made.append(WebhookChannel(node, settings.webhook, clock))
    if settings.mail is not None:
        made.append(MailChannel(node, federation, settings.mail))
    return made


# Webhook


class WebhookChannel:
    """Posts alerts as JSON, signed; see `Channel`."""

    name = "webhook"

    def __init__(self, node: str, settings: Webhook, clock: Clock) -> None:
        """Prepare it; refuses with BAD_CONFIG and KEY_FILE."""
        self._node = node
        self._settings = settings
        self._clock = clock
        self._tls = timed.believing(settings.ca, "alerts")
        secret(settings.key_file)

    def send(self, rows: Sequence[AlertRow]) -> None:
        """See `Channel`."""
        content = json.dumps(self._content(rows), separators=(",", ":")).encode()
        # The same alerts have the same id, so that who gets them twice knows.
        name = f"{self._node}-{rows[0].seq}-{rows[-1].seq}"
        # Read again each time: the file may hold a new one.
        headers = signed(secret(self._settings.key_file), name, int(self._clock().timestamp()), content)
        try:
            answer = timed.ask(self._settings.url, SEND_SECONDS, MAX_ANSWER_BYTES, content, headers, tls=self._tls)
        except Unanswered as error:
            raise _unsent(f"the webhook does not answer: {error}") from error
        if len(answer.content) > MAX_ANSWER_BYTES:
            raise _unsent(f"the webhook answers more than {MAX_ANSWER_BYTES} bytes")
        if answer.status not in timed.SUCCESS:
            raise _unsent(f"the webhook answers {answer.status}")

    def _content(self, rows: Iterable[AlertRow]) -> dict[str, Any]:
        return {
            "node": self._node,
            "alerts": [
                {
                    "number": row.seq,
                    "type": row.word,
                    "timestamp": from_micros(row.at_us).isoformat(),
                    "name": row.name,
                    "subject": row.subject,
                    "detail": row.detail,
                    "raised": from_micros(row.raised_at_us).isoformat(),
                    "urgent": row.urgent,
                }
                for row in rows
            ],
        }


def secret(path: Path) -> bytes:
    """Return the key of a webhook.

    Raises:
        Refusal: KEY_FILE, the file is missing or open to others, or holds no such key.
    """
    text = private_files.read(path, 256).decode("ascii", "replace").partition("\n")[0].strip()
    try:
        found = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except ValueError:  # no base64, or no ASCII
        # `from None`: the error may tell of the content.
        raise private_files.refusal(path, "no whsec_ and base64") from None
    if not text.startswith(KEY_PREFIX) or not LEAST_KEY_BYTES <= len(found) <= MOST_KEY_BYTES:
        detail = f"{KEY_PREFIX} and base64 of {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes are wanted"
        raise private_files.refusal(path, detail)
    return found


def signed(key: bytes, name: str, seconds: int, content: bytes) -> dict[str, str]:
    """Return the headers of a webhook. Source: Standard Webhooks 1.0.0, "Webhook Headers" and "Symmetric"."""
    mac = hmac.digest(key, f"{name}.{seconds}.".encode() + content, "sha256")
    return {
        "Content-Type": "application/json",
        "Webhook-Id": name,
        "Webhook-Timestamp": str(seconds),
        "Webhook-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }


# E-mail


class MailChannel:
    """Sends alerts by e-mail, each in the thread of its warning; see `Channel`."""

    name = "mail"

    def __init__(self, node: str, federation: str, settings: Mail) -> None:
        """Prepare it; refuses with BAD_CONFIG and KEY_FILE."""
        self._node = node
        self._federation = federation
        self._settings = settings
        self._tls = timed.believing(settings.ca, "alerts")
        if settings.password_file is not None:
            _password(settings.password_file)

    def send(self, rows: Sequence[AlertRow]) -> None:
        """See `Channel`."""
        settings = self._settings
        mails = [self._one(row) for row in rows] if len(rows) <= SINGLE_MAILS else [self._many(rows)]
        server = _Server(settings, self._tls)
        try:
            with closing(server), Timed(_Line(server), SEND_SECONDS) as bounded:
                if settings.security == "starttls":
                    server.starttls(context=self._tls)
                if settings.password_file is not None:
                    server.login(settings.user, _password(settings.password_file))
                for mail in mails:
                    if refused := server.send_message(mail, settings.sender, settings.to):
                        # The others have it; whom it names is nobody's to read in a log.
                        diagnostics.warning("alert.recipients-refused", extra={"count": len(refused)})
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()  # all is said
        # What a connection raises that is cut in the middle of TLS is a ValueError; what a server answers may name
        # people, and is not told.
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise _unsent(f"the mail server did not take it: {type(error).__name__}") from error
        if bounded.over.is_set():
            raise _unsent(f"the mail server took longer than {SEND_SECONDS:g} seconds")

    def _one(self, row: AlertRow) -> EmailMessage:
        mail = self._mail(_title(row), [row])
        # By it the mails about one warning are one thread, with its beginning on top.
        thread = self._id("alert", row.name, row.subject, str(row.raised_at_us))
        if row.word == RAISED:
            mail["Message-ID"] = thread
        else:
            mail["Message-ID"] = self._id("alert", row.name, row.subject, str(row.raised_at_us), str(row.seq))
            mail["In-Reply-To"] = mail["References"] = thread
        return mail

    def _many(self, rows: Sequence[AlertRow]) -> EmailMessage:
        mail = self._mail(f"{len(rows)} alerts", rows)
        mail["Message-ID"] = self._id("alerts", str(rows[0].seq), str(rows[-1].seq))
        return mail

    def _mail(self, subject: str, rows: Sequence[AlertRow]) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._settings.to)
        mail["Subject"] = f"[rogatory {self._node}] {subject}"
        mail["Date"] = format_datetime(from_micros(rows[-1].at_us))
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is an answer
        mail.set_content("\n".join(_text(row) for row in rows), cte="quoted-printable")
        return mail

    def _id(self, *words: str) -> str:
        return f"<{sha256('/'.join(words).encode()).hexdigest()[:32]}@{self._node}.{self._federation}>"


def _password(path: Path) -> str:
    """Return the password of the mail account; refuses with KEY_FILE one that `smtplib` could not send."""
    found = passphrase.read(path, 1).reveal()
    if not found.isascii():
        raise private_files.refusal(path, "a mail account's password has ASCII characters alone")
    return found.decode()


class _Server(smtplib.SMTP):
    """A mail server, whose connection can be cut in whatever state its TLS is; see `timed.Connectable`."""

    def __init__(self, settings: Mail, tls: ssl.SSLContext) -> None:
        super().__init__(timeout=SEND_SECONDS)
        self._host = settings.host  # by which `starttls` checks the certificate
        self._port = settings.port
        self._wrap = tls if settings.security == "tls" else None
        self.held: socket.socket | None = None

    def open(self) -> None:
        """Connect; refuses with an SMTPException a server that takes nothing."""
        code, said = self.connect(self._host, self._port)
        if code != _READY:
            raise smtplib.SMTPConnectError(code, said)

    def close(self) -> None:
        """Hang up."""
        super().close()
        if self.held is not None:
            self.held.close()

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:  # noqa: ANN401  smtplib's own
        raw = socket.create_connection((host, port), timeout)
        # STARTTLS takes the socket apart; this one is the same connection, and stays.
        self.held = socket.socket(fileno=os.dup(raw.fileno()))
        return raw if self._wrap is None else self._wrap.wrap_socket(raw, server_hostname=host)


class _Line:
    """What `Timed` connects and cuts."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    @property
    def sock(self) -> socket.socket | None:
        return self._server.held

    def connect(self) -> None:
        self._server.open()


def _title(row: AlertRow) -> str:
    words = {RAISED: "", CLEARED: "over: "}
    return f"{words.get(row.word, 'still: ')}{row.name} {row.subject}"


def _text(row: AlertRow) -> str:
    lines = [
        f"{row.name} {row.subject}",
        f"  {row.detail}",
        f"  {row.word}, {from_micros(row.at_us):%Y-%m-%d %H:%M:%S} UTC, number {row.seq}",
        f"  what to do: docs/runbook.md#{row.name.replace('.', '-')}",
    ]
    return "\n".join([*lines, ""])


def _unsent(detail: str) -> Failure:
    return Failure(ErrorCode.UNAVAILABLE, detail)
