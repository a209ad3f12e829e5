"""The console without a browser: who gets in, whose forms count, what a page may do, and what a node's word may do."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rogatory.v1 import operations_pb2 as operations

from certs.pki import DevelopmentPki
from gateway import material
from gateway.cli import console, web
from gateway.cli.console import app, forms, server
from gateway.cli.console.app import PEER, Console
from gateway.cli.console.desk import Desk
from gateway.cli.console.live import MOST_OF_A_SESSION, Live
from gateway.cli.console.signin import (
    IDLE_SECONDS,
    LINK_SECONDS,
    MOST_OF_ONE,
    MOST_SESSIONS,
    SESSION_SECONDS,
    SignIn,
)
from gateway.cli.development import Summary, init_federation
from gateway.clock import system_clock
from gateway.directory import Status
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.trust import development
from tests.fakeconsole import CASE, DONE, NASTY, SENDER, STUCK, Told, serving
from tests.federation import directory_of, ports
from tests.processes import rogatory

# The console knows no store; so once, not on each engine.
pytestmark = [pytest.mark.integration, pytest.mark.file]

HOST = "127.0.0.1:8080"
NAME = "node.ee.rogatory.test"  # in the certificate of node ee, which the console borrows here
PAGES = ("/", "/messages", f"/trace?key={CASE}", "/destinations", "/participants", "/log", "/actions")


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    text: str

    def __getitem__(self, name: str) -> str:
        return next(value for key, value in self.headers if key == name)


@dataclass
class Browser:
    """Asks an application as a browser would: with its cookies, and the token that it read in the page before."""

    app: Any
    host: str = HOST
    scheme: str = "http"
    state: dict[str, Any] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, b"", headers)

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> Answer:
        content = urlencode({"token": self.token, **form}).encode()
        return await self._ask("POST", path, content, {"content_type": "application/x-www-form-urlencoded", **headers})

    async def _ask(self, method: str, target: str, content: bytes, more: Mapping[str, str]) -> Answer:
        path, _, query = target.partition("?")
        headers = {"host": self.host, "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **more}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": self.scheme,
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "server": ("127.0.0.1", 8080),
            "state": dict(self.state),
        }
        sent: list[dict[str, Any]] = []

        parts = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not parts:
                await asyncio.Event().wait()  # until it is cancelled: this browser does not go away
            return parts.pop()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        text = b"".join(each.get("body", b"") for each in sent[1:]).decode()
        answer = Answer(sent[0]["status"], [(k.decode(), v.decode()) for k, v in sent[0]["headers"]], text)
        for name, value in answer.headers:
            if name == "set-cookie":
                cookie, _, kept = value.partition(";")[0].partition("=")
                self.cookies[cookie] = kept
        if found := re.search(r'name="token" value="([^"]+)"', text):
            self.token = found[1]
        return answer


@dataclass
class Stage:
    """A console before a node that is not real."""

    summary: Summary
    told: Told
    console: Console
    now: list[float]

    def browser(self, **changes: Any) -> Browser:
        return Browser(self.console.app, **changes)

    def link(self, name: str = "operator") -> str:
        desk = next(each for each in self.console.desks.values() if each.address.name == name)
        return self.console.link("", desk)

    async def signed_in(self, name: str = "operator") -> Browser:
        browser = self.browser()
        assert (await self.sign_in(browser, self.link(name))).status == 303
        await browser.get("/")
        return browser

    async def sign_in(self, browser: Browser, link: str) -> Answer:
        return await browser.post("/sign-in", {"link": link.partition("link=")[2]})


def federation(folder: Path) -> Summary:
    return init_federation(folder, ["ee", "de"], ports(2), system_clock() - timedelta(hours=3))


def der(summary: Summary, name: str) -> bytes:
    chain = (summary.config(name).parent / "tls.pem").read_bytes()
    return x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return federation(tmp_path_factory.mktemp("fed"))


@asynccontextmanager
async def staged(summary: Summary, *names: str, **changes: Any) -> AsyncIterator[Stage]:
    now = [0.0]
    loaded = [material.load_participant(summary.config(f"ee/{name}")) for name in names]
    desks = [Desk(each, system_clock, elapsed=lambda: now[0]) for each in loaded]
    hosts = changes.pop("hosts", server.LOOPBACK)
    console = Console(desks, hosts, system_clock, sign_in=SignIn(lambda: now[0]), **changes)
    async with serving(summary.config("ee/node")) as told:
        try:
            yield Stage(summary, told, console, now)
        finally:
            for desk in desks:
                await desk.close()


@pytest.fixture
async def stage(summary: Summary) -> AsyncIterator[Stage]:
    async with staged(summary, "operator", "operator-2", "auditor") as made:
        yield made


# Who gets in


async def test_nobody_sees_a_page_without_signing_in(stage: Stage) -> None:
    browser = stage.browser(cookies={"rogatory-8080": "guessed"})
    for path in PAGES:
        answer = await browser.get(path)
        assert (answer.status, answer["location"]) == (303, "/sign-in")
    assert (await browser.get("/live/overview")).status == 204
    assert (await browser.post("/act", {"what": "hold", "destination": "de/node", "reason": "because"})).status == 403
    assert stage.told.overviews == 0


async def test_link_is_good_once_and_not_by_looking(stage: Stage) -> None:
    link = stage.link()
    browser = stage.browser()
    looked = await browser.get(link)
    assert looked.status == 200
    assert "ee/operator" in looked.text
    assert not browser.cookies  # a browser that looks ahead has used nothing up
    done = await stage.sign_in(browser, link)
    assert (done.status, done["location"]) == (303, "/")
    cookie = done["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await browser.get("/")).status == 200

    thief = stage.browser()
    assert (await stage.sign_in(thief, link)).status == 403
    assert (await thief.get("/")).status == 303
    assert (await thief.get(link)).status == 403


async def test_link_is_too_old_or_replaced(stage: Stage) -> None:
    old = stage.link()
    stage.now[0] += LINK_SECONDS
    assert (await stage.sign_in(stage.browser(), old)).status == 403
    first, second = stage.link(), stage.link()
    assert (await stage.sign_in(stage.browser(), first)).status == 403
    assert (await stage.sign_in(stage.browser(), second)).status == 303


async def test_session_ends_idle_or_old_or_by_its_owner(stage: Stage) -> None:
    browser = await stage.signed_in()
    stage.now[0] += IDLE_SECONDS - 1
    assert (await browser.get("/")).status == 200
    stage.now[0] += IDLE_SECONDS
    assert (await browser.get("/")).status == 303

    browser = await stage.signed_in()
    for _ in range(int(SESSION_SECONDS // (IDLE_SECONDS - 1))):
        stage.now[0] += IDLE_SECONDS - 1
        assert (await browser.get("/messages")).status == 200
    stage.now[0] += IDLE_SECONDS - 1
    assert (await browser.get("/messages")).status == 303

    browser = await stage.signed_in()
    kept = dict(browser.cookies)
    assert (await browser.post("/sign-out", {})).status == 303
    browser.cookies = kept
    assert (await browser.get("/")).status == 303


@pytest.mark.parametrize("by_certificate", [False, True])
async def test_who_was_put_out_while_nobody_was_here_sees_no_page(tmp_path: Path, by_certificate: bool) -> None:
    summary = federation(tmp_path)
    async with staged(summary, "operator", by_certificate=by_certificate) as stage:
        if by_certificate:
            browser = stage.browser(scheme="https", state={PEER: der(summary, "ee/operator")})
        else:
            browser = await stage.signed_in()
        assert (await browser.get("/")).status == 200
        now = system_clock()
        directory = directory_of(summary.folder, now)
        left = tuple(
            each.model_copy(update={"status": Status.REVOKED}) if each.address.name == "operator" else each
            for each in directory.participants
        )
        development.sign_anew(summary.folder, directory.model_copy(update={"participants": left}), now)
        # The node in front of this console has not heard of it, either.
        stage.now[0] += IDLE_SECONDS - 1
        answer = await browser.get("/")
        assert (answer.status, ErrorCode.REVOKED.name in answer.text) == (403, True)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080", ":8080", "console.example:80"])
def test_nothing_is_said_in_the_clear_beyond_this_machine(listen: str) -> None:
    with pytest.raises(Refusal) as caught:
        server.check_listen(listen, secure=False)
    assert caught.value.code is ErrorCode.BAD_CONFIG
    server.check_listen(listen, secure=True)


async def test_whoever_signs_in_without_end_signs_out_nobody_else(stage: Stage) -> None:
    operator = await stage.signed_in("operator")
    auditors = [await stage.signed_in("auditor") for _ in range(2 * MOST_SESSIONS)]
    assert (await operator.get("/")).status == 200
    assert (await auditors[-1].get("/")).status == 200
    assert (await auditors[0].get("/")).status == 303


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]"])
async def test_link_leads_to_where_the_console_listens(summary: Summary, host: str) -> None:
    settings = str(summary.config("ee/operator"))
    process = await rogatory("console", "--config", settings, "--listen", f"{host}:0")
    try:
        ready, told = [(await process.stdout.readline()).decode() for _ in range(2)]
        assert ready.startswith(f"ready console {host}:")
        where = urlsplit(told.split()[-1])
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(f"GET {where.path}?{where.query} HTTP/1.0\r\nHost: {where.netloc}\r\n\r\n".encode())
        assert b" 200 " in await reader.readline()
        writer.close()
    finally:
        process.terminate()
        await process.communicate()


def test_console_is_started_for_nobody_twice(summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "serve", lambda *_: None)
    both = [f"--config={each.config('ee/operator')}" for each in (summary, federation(tmp_path))]
    assert CliRunner().invoke(console.command, both[:1]).exception is None
    # Of two federations one would be served in the other's name.
    caught = CliRunner().invoke(console.command, both).exception
    assert isinstance(caught, Refusal)
    assert (caught.code, caught.field) == (ErrorCode.BAD_INPUT, "config")


def test_nobody_but_those_who_watch_has_a_console(summary: Summary) -> None:
    with pytest.raises(Refusal) as caught:
        Desk(material.load_participant(summary.config("ee/prosecutor")), system_clock)
    assert caught.value.code is ErrorCode.BAD_CONFIG


# Whose forms count


@pytest.mark.parametrize("token", ["", "x", None])
async def test_form_without_the_token_of_its_session_does_nothing(stage: Stage, token: str | None) -> None:
    browser = await stage.signed_in()
    other = await stage.signed_in("operator-2")
    form = {"what": "hold", "destination": "de/node", "reason": "because"}
    given = other.token if token is None else token
    assert (await browser.post("/act", {**form, "token": given})).status == 403
    assert not stage.told.acted


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"sec_fetch_site": "cross-site"},
    ],
)
async def test_form_of_another_site_does_nothing(stage: Stage, headers: dict[str, str]) -> None:
    browser = await stage.signed_in()
    form = {"what": "hold", "destination": "de/node", "reason": "because"}
    assert (await browser.post("/act", form, **headers)).status == 403
    assert not stage.told.acted
    assert (await browser.post("/act", form, origin=f"http://{HOST}", sec_fetch_site="same-origin")).status == 303
    assert stage.told.acted[0].asked_by == "ee/operator"


STRANGE_HOSTS = ["[::1", "127.0.0.1:x", "127.0.0.1:99999", "evil.test@127.0.0.1", "127.0.0.1/..", "127.0.0.1#evil.test"]


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:8080", "127.0.0.1.evil.test", "", "127.0.0.2", "[::2]", *STRANGE_HOSTS]
)
async def test_console_has_no_other_name(stage: Stage, host: str) -> None:
    browser = await stage.signed_in()
    browser.host = host
    for path in ("/", "/sign-in", "/static/console.css"):
        assert (await browser.get(path)).status == 421


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_nothing_of_the_console_is_within_pages_of_another_site(stage: Stage, site: str) -> None:
    browser = await stage.signed_in()
    asked = stage.told.overviews
    for dest in ("image", "iframe", "empty"):
        for path in ("/", "/live/overview", "/static/console.css"):
            assert (await browser.get(path, sec_fetch_site=site, sec_fetch_dest=dest)).status == 403
    assert stage.told.overviews == asked
    # It may lead here.
    assert (await browser.get("/", sec_fetch_site=site, sec_fetch_dest="document")).status == 200


async def test_auditor_sees_all_and_does_nothing(stage: Stage) -> None:
    browser = await stage.signed_in("auditor")
    for path in PAGES:
        answer = await browser.get(path)
        assert answer.status == 200
        assert not re.search(r'action="/(act|test|decide)', answer.text)
    for path, form in (
        ("/act", {"what": "hold", "destination": "de/node", "reason": "because"}),
        ("/test", {"node": "de"}),
        ("/decide/1", {"decision": "approve"}),
    ):
        assert (await browser.post(path, form)).status == 403
    assert not stage.told.acted


async def test_forms_are_bounded_and_say_what_is_wrong(stage: Stage) -> None:
    browser = await stage.signed_in()
    assert (await browser.post("/act", {"reason": "x" * forms.MOST_BYTES})).status == 413
    assert (await browser.post("/act", {str(n): "" for n in range(forms.MOST_FIELDS)})).status == 400
    assert (await browser.post("/act", {}, content_type="text/plain")).status == 400
    assert (await browser.post("/act", {"what": "hold", "destination": "de/node", "reason": " a "})).status == 303
    assert "BAD_INPUT" in (await browser.get("/")).text  # told on the next page, once
    assert "BAD_INPUT" not in (await browser.get("/")).text
    assert not stage.told.acted
    assert (await browser.post(f"/decide/{10**30}", {"decision": "reject", "reason": "because"})).status == 303
    for query in ("from=yesterday", "kind=nothing", "state=lost", "code=x", f"id={'x' * 65}"):
        assert (await browser.get(f"/messages?{query}")).status == 400


@pytest.mark.parametrize("name", ["from", "until"])
@pytest.mark.parametrize("when", ["0026-11-22T03:00", "1970-01-01T00:00", "1970-01-01T02:00+03:00"])
async def test_time_that_nothing_has_is_not_taken_for_any_time(stage: Stage, name: str, when: str) -> None:
    browser = await stage.signed_in()
    answer = await browser.get("/messages?" + urlencode({name: when}))
    assert (answer.status, ErrorCode.BAD_INPUT.name in answer.text) == (400, True)
    await browser.post("/act", {"what": "resend", "destination": "de/node", "reason": "because", name: when})
    assert ErrorCode.BAD_INPUT.name in (await browser.get("/actions")).text
    assert (stage.told.found, stage.told.acted) == ([], [])


async def test_number_of_any_length_in_an_address_ends_in_an_answer_of_the_console(stage: Stage) -> None:
    path = f"/decide/{'9' * 5000}"
    stranger = await stage.browser().get(path)
    assert stranger.status == 405
    assert stranger["content-security-policy"]
    browser = await stage.signed_in()
    assert (await browser.post(path, {"decision": "approve"})).status == 303
    assert "BAD_INPUT" in (await browser.get("/")).text
    assert not stage.told.acted


async def test_form_leads_back_into_the_console_and_nowhere_else(stage: Stage) -> None:
    browser = await stage.signed_in()
    form = {"what": "release", "destination": "de/node", "reason": "because"}
    for back in ("https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", "/act"):
        assert (await browser.post("/act", {**form, "back": back}))["location"] == "/"
    # What has been done is not told as a failure.
    assert (await browser.post("/act", {**form, "back": "//["})).status == 303
    assert (await browser.post("/act", {**form, "back": f"/trace?key={STUCK}"}))["location"] == f"/trace?key={STUCK}"


# What a page may do, and what a node's word may do in it


async def test_page_runs_nothing_of_others_and_is_kept_by_nobody(stage: Stage) -> None:
    browser = await stage.signed_in()
    for path in (*PAGES, "/static/console.js", "/nowhere", "/sign-in", f"{PAGES[1]}?kind=x"):
        answer = await browser.get(path)
        policy = dict(each.strip().partition(" ")[::2] for each in answer["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src", "form-action")} == {
            "'self'"
        }
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in answer["content-security-policy"]
        assert (answer["cache-control"], answer["x-content-type-options"]) == ("no-store", "nosniff")
        # What the policy forbids is not there in the first place.
        assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=|(?:src|href|action)=\"(?:https?:)?//", answer.text)


async def test_what_a_node_says_is_shown_and_never_obeyed(stage: Stage) -> None:
    browser = await stage.signed_in()
    for path in (PAGES[0], PAGES[2]):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x1b[31m" in text
        assert not {"\u202e", "\x1b"} & set(text)
    assert NASTY not in (await browser.get(f"/trace?{urlencode({'key': NASTY})}")).text


async def test_trace_believes_what_is_signed_and_says_what_is_not(stage: Stage) -> None:
    browser = await stage.signed_in()
    text = (await browser.get(f"/trace?key={DONE}")).text
    assert (text.count("✓ signed by ee/node"), text.count("✓ signed by de/node")) == (1, 2)
    assert text.count("✕ does not hold") == 2  # one is forged, one is nonsense
    assert stage.told.traced[-1].ask_others
    await browser.get(f"/trace?key={DONE}&here=1")
    assert not stage.told.traced[-1].ask_others


async def test_what_is_held_is_said_to_be_and_offered_for_release_where_it_waits(stage: Stage) -> None:
    browser = await stage.signed_in()
    for path in (f"/trace?key={STUCK}", "/destinations"):
        text = (await browser.get(path)).text
        assert ("Hold de/node" in text, "Resend " in text, "Release de/node" in text) == (True, True, False)
    await browser.post("/act", {"what": "hold", "destination": "de/node", "reason": "its key is lost"})
    for path in (f"/trace?key={STUCK}", "/destinations"):
        text = (await browser.get(path)).text
        assert "its key is lost" in text
        # A node refuses both while it is held.
        assert ("Hold de/node" in text, "Resend " in text, "Release de/node" in text) == (False, False, True)


async def test_trace_of_a_long_case_says_that_it_is_not_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await stage.signed_in()
    assert "oldest" not in (await browser.get(f"/trace?key={CASE}")).text
    monkeypatch.setattr(app, "MAX_TOLD", 2)
    assert f'href="/messages?case={CASE}">all of them' in (await browser.get(f"/trace?key={CASE}")).text


async def test_number_that_waits_for_a_destination_leads_to_what_goes_there(stage: Stage) -> None:
    browser = await stage.signed_in()
    for path in ("/", "/destinations"):
        links = re.findall(r'href="(/messages\?[^"]*state=waiting[^"]*)"', (await browser.get(path)).text)
        assert links, path
        for link in links:
            await browser.get(link.replace("&amp;", "&"))
            asked = stage.told.found[-1]
            assert (asked.state, asked.destination != "") == ("waiting", True), link
            # Of an older node, which knows no destination, the list is as near to it as it was.
            assert asked.destination in {f"{asked.node}/node", asked.participant}, link


async def test_filters_live_in_the_address_and_pages_keep_them(stage: Stage) -> None:
    browser = await stage.signed_in()
    query = "state=waiting&kind=freeze-request&code=UNAVAILABLE&node=DE&from=2026-01-02T03:04&participant=ee/prosecutor"
    text = (await browser.get(f"/messages?{query}")).text
    asked = stage.told.found[-1]
    assert (asked.state, asked.node, asked.participant, asked.limit) == ("waiting", "de", "ee/prosecutor", forms.PAGE)
    assert (int(asked.code), asked.from_us) == (ErrorCode.UNAVAILABLE, 1767323040_000_000)
    assert STUCK in text
    assert DONE not in text
    older = re.search(r'href="([^"]+)" rel="next"', text)
    assert older is not None
    await browser.get(older[1].replace("&amp;", "&"))
    again = stage.told.found[-1]
    assert again.after == "older+&"
    again.after = ""
    assert again == asked


async def test_four_eyes(stage: Stage) -> None:
    one, two = await stage.signed_in(), await stage.signed_in("operator-2")
    await one.post("/act", {"what": "resend", "destination": "de/node", "reason": "the line is mended"})
    assert "waits for a second operator" in (await one.get("/actions")).text
    await one.post("/decide/1", {"decision": "approve", "back": "/actions"})
    assert ErrorCode.FOUR_EYES.name in (await one.get("/actions")).text
    await two.post("/decide/1", {"decision": "approve", "back": "/actions"})
    assert "Action 1 is done" in (await two.get("/actions")).text
    assert (stage.told.acted[0].asked_by, stage.told.acted[0].decided_by) == ("ee/operator", "ee/operator-2")


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_form_that_was_opened_before_a_restoration_decides_on_no_other_action(
    stage: Stage, decision: str
) -> None:
    one, two = await stage.signed_in(), await stage.signed_in("operator-2")
    await one.post("/act", {"what": "resend", "destination": "de/node", "reason": "the line is mended"})
    shown = re.findall(r'name="digest" value="([0-9a-f]+)"', (await two.get("/actions")).text)
    assert shown == ["01" * 8] * 2
    stage.told.acted[0].digest = bytes(8)  # another one has its number
    form = {"decision": decision, "digest": shown[0], "reason": "as agreed", "back": "/actions"}
    await two.post("/decide/1", form)
    assert ErrorCode.NOT_FOUND.name in (await two.get("/actions")).text
    await two.post("/decide/1", form | {"digest": "no digest"})
    assert ErrorCode.BAD_INPUT.name in (await two.get("/actions")).text
    assert stage.told.acted[0].state == operations.ACTION_STATE_WAITING


async def test_approver_is_shown_whose_envelope_it_is(stage: Stage) -> None:
    one, two = await stage.signed_in(), await stage.signed_in("operator-2")
    for what in ("expire", "resend"):
        form = {"what": what, "sender": SENDER, "id": STUCK, "destination": "de/node", "reason": "because"}
        await one.post("/act", form)
    shown = (await two.get("/actions")).text
    assert shown.count(f"{STUCK}</a> of {SENDER} ") == 2


async def test_node_that_is_silent_is_said_to_be(stage: Stage) -> None:
    browser = await stage.signed_in()
    stage.told.failing.append(Failure(ErrorCode.OVERLOADED, "busy", retry_after=1))
    answer = await browser.get("/")
    assert (answer.status, ErrorCode.OVERLOADED.name in answer.text) == (503, True)
    stage.told.failing.append(Refusal(ErrorCode.NOT_PERMITTED, "not yours"))
    assert (await browser.get("/log")).status == 403


# Live


async def test_one_poller_feeds_all_streams_of_a_session_and_ends_with_them(summary: Summary) -> None:
    live = Live(poll_seconds=0.01, stream_seconds=0.5)
    async with staged(summary, "operator", live=live) as stage:
        browser = await stage.signed_in()
        waiting = [asyncio.create_task(browser.get(f"/live/{page}")) for page in ("overview", "destinations")]
        async with asyncio.timeout(10):
            while not stage.told.overviews > 3:
                await asyncio.sleep(0)
        assert live.pollers == 1
        stage.told.waiting = 4711
        overview, destinations = await asyncio.gather(*waiting)
        assert live.pollers == 0
        for answer in (overview, destinations):
            assert answer["content-type"].startswith("text/event-stream")
            assert answer.text.count("\n\n") > 1
            assert "4,711" in answer.text
        await live.close()
        assert (await browser.get("/live/overview")).status == 204


@pytest.mark.parametrize(
    ("error", "is_silent"),
    [(Failure(ErrorCode.OVERLOADED, "busy"), True), (Refusal(ErrorCode.NOT_PERMITTED, "not yours"), False)],
)
async def test_what_was_told_stays_while_the_node_cannot_tell_and_goes_when_it_will_not(
    summary: Summary, error: GatewayError, is_silent: bool
) -> None:
    live = Live(poll_seconds=0.01, stream_seconds=0.5)
    async with staged(summary, "operator", live=live) as stage:
        browser = await stage.signed_in()
        stage.told.failing.append(error)
        _, first, second, *_ = (await browser.get("/live/overview")).text.split("\n\n")
        assert first.startswith("event: silent\ndata: ") is is_silent
        assert error.code.name in first
        assert second.startswith("data: ")
        assert ("may be old" in first, "Between countries" in first) == (is_silent, False)


async def test_streams_that_are_opened_all_at_once_are_bounded_too(summary: Summary) -> None:
    live = Live(poll_seconds=0.01, stream_seconds=0.5)
    async with staged(summary, "operator", live=live) as stage:
        browser = await stage.signed_in()
        answers = await asyncio.gather(*(browser.get("/live/overview") for _ in range(4 * MOST_OF_A_SESSION)))
        assert sum("data:" in answer.text for answer in answers) <= MOST_OF_A_SESSION
        assert live.pollers == 0


# With TLS


@asynccontextmanager
async def secured(stage: Stage) -> AsyncIterator[int]:
    """Serve the console with the certificate of its node; yield the port."""
    node = stage.summary.config("ee/node").parent
    desks = list(stage.console.desks.values())
    tls = server.context(node / "tls.pem", node / "tls.key", {desk.ca_pem for desk in desks})
    listening = web._listening("127.0.0.1:0")
    made = partial(server.Server, console=stage.console, tls=tls)(stage.console.app, "ready")
    task = asyncio.create_task(made.serve([listening]))
    try:
        async with asyncio.timeout(10):
            while not made.started:
                await asyncio.sleep(0.01)
        yield listening.getsockname()[1]
    finally:
        made.should_exit = True
        await task


def client(folder: Path, anchor: bytes, shown: Path | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=anchor.decode())
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if shown is not None:
        made.load_cert_chain(shown / "tls.pem", shown / "tls.key")
    return made


async def fetched(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_certificate_of_who_it_was_started_for_signs_in_and_no_other(summary: Summary, tmp_path: Path) -> None:
    hosts = server.names(summary.config("ee/node").parent / "tls.pem")
    assert NAME in hosts
    async with staged(summary, "operator", by_certificate=True, hosts=hosts) as stage, secured(stage) as port:
        anchor = next(iter(stage.console.desks.values())).ca_pem
        folder = {name: summary.config(name).parent for name in ("ee/operator", "ee/auditor", "de/operator")}
        own = await fetched(port, client(tmp_path, anchor, folder["ee/operator"]))
        assert own.startswith(b"HTTP/1.1 200")
        assert b"__Host-rogatory=" in own
        assert b"Secure" in own
        # Of the same country, but nobody whom this console was started for.
        other = await fetched(port, client(tmp_path, anchor, folder["ee/auditor"]))
        assert other.startswith(b"HTTP/1.1 403")
        assert b"Overview of node" not in other
        # Of another country, and with none at all: the handshake fails.
        for stranger in (folder["de/operator"], None):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                raise_if_empty(await fetched(port, client(tmp_path, anchor, stranger)))


async def test_strangers_who_shake_no_hands_keep_nobody_out(summary: Summary, tmp_path: Path) -> None:
    hosts = server.names(summary.config("ee/node").parent / "tls.pem")
    async with staged(summary, "operator", by_certificate=True, hosts=hosts) as stage, secured(stage) as port:
        flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(web.CONNECTIONS + 20)]
        async with asyncio.timeout(10):
            for reader, _ in flood[:20]:
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            anchor = next(iter(stage.console.desks.values())).ca_pem
            own = await fetched(port, client(tmp_path, anchor, summary.config("ee/operator").parent))
        assert own.startswith(b"HTTP/1.1 200")
        for _, writer in flood:
            writer.close()


def raise_if_empty(answer: bytes) -> None:
    """A refused certificate of TLS 1.3 is told after the handshake: the client reads an alert, or the end."""
    if not answer:
        raise ConnectionError


async def test_certificate_is_judged_by_the_directory_of_its_own_desk(summary: Summary, tmp_path: Path) -> None:
    elsewhere = federation(tmp_path)
    async with staged(elsewhere, "auditor", by_certificate=True) as stage:
        # The first one's directory knows nothing of the second one's CA: it may be older, or another federation's.
        first = Desk(material.load_participant(summary.config("ee/operator")), system_clock)
        stage.console.desks = {first.address: first} | stage.console.desks
        auditor = stage.browser(scheme="https", state={PEER: der(elsewhere, "ee/auditor")})
        assert "ee/auditor" in (await auditor.get("/")).text
        operator = stage.browser(scheme="https", state={PEER: der(elsewhere, "ee/operator")})
        assert (await operator.get("/")).status == 403


async def test_another_site_that_leads_here_ends_nobodys_session(summary: Summary) -> None:
    async with staged(summary, "operator", by_certificate=True) as stage:
        operator = stage.browser(scheme="https", state={PEER: der(summary, "ee/operator")})
        await operator.get("/destinations")
        led = {"sec_fetch_site": "cross-site", "sec_fetch_dest": "document"}
        for _ in range(MOST_OF_ONE):
            # The browser keeps the cookie to itself: it is `SameSite=Strict`.
            elsewhere = stage.browser(scheme="https", state=operator.state)
            answer = await elsewhere.get("/", **led)
            assert (answer.status, answer["location"], elsewhere.cookies) == (303, "/sign-in", {})
            assert 'href="/">go on' in (await elsewhere.get("/sign-in", **led)).text
        form = {"what": "hold", "destination": "de/node", "reason": "because"}
        assert (await operator.post("/act", form)).status == 303


async def test_cookie_of_a_session_is_worth_nothing_with_another_certificate(summary: Summary) -> None:
    async with staged(summary, "operator", "auditor", by_certificate=True) as stage:
        operator = stage.browser(scheme="https", state={PEER: der(summary, "ee/operator")})
        assert "ee/operator" in (await operator.get("/destinations")).text
        assert operator.token
        auditor = stage.browser(
            scheme="https", state={PEER: der(summary, "ee/auditor")}, cookies=dict(operator.cookies)
        )
        auditor.token = operator.token
        assert "ee/auditor" in (await auditor.get("/")).text
        form = {"what": "hold", "destination": "de/node", "reason": "because", "token": operator.token}
        assert (await auditor.post("/act", form)).status == 403
        stranger = DevelopmentPki("rogatory.test", system_clock())
        issued = stranger.leaf(next(iter(stage.console.desks)))
        forged = x509.load_pem_x509_certificate(issued.chain_pem).public_bytes(Encoding.DER)
        answer = await stage.browser(scheme="https", state={PEER: forged}).get("/")
        assert (answer.status, ErrorCode.UNKNOWN_PEER.name in answer.text) == (403, True)
        assert (await stage.browser(scheme="https").get("/")).status == 403
        # A link is no way in here.
        assert (await stage.sign_in(stage.browser(scheme="https"), stage.link())).status == 403
