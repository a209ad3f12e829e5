"""The console in a browser, before a real node: who is asked where an answer is finds it, and mends it, here alone."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from certs.pki import Holder
from gateway.cli.development import Summary, init_federation
from gateway.clock import system_clock
from gateway.config import Delivery
from tests.federation import Federation, ports, ref
from tests.javascript import program
from tests.processes import ROOT, environment

PLAIN: Final = b"the wallets of Kaspar Hauser, and of nobody else"
PAGES: Final = ("/", "/messages", "/trace?key=EE-1", "/destinations", "/participants", "/log", "/actions", "/nowhere")
SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
# One attempt, and the next in half a minute at the earliest: what goes before that, an operator sent.
DELIVERY: Final = Delivery(backoff_first_seconds=60, backoff_max_seconds=3600, attempt_timeout_seconds=2)


def localhost() -> Holder:
    """Return a certificate for this machine's own name, as a web server's: signed by nobody that a node knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = system_clock()
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return Holder(made.sign(key, SHA256()), key)


@contextmanager
def rogatory(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run the command line; it ends with the block."""
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(), cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0


@dataclass
class Setting:
    """A node that runs, one that does not, a console, and a browser."""

    summary: Summary
    console: subprocess.Popen[str]
    browser: Browser
    sent: list[pb.SignedEnvelope] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    heard: list[bytes] = field(default_factory=list)
    base: str = ""

    def links(self) -> dict[str, str]:
        """Press Enter where the console runs, and read whom each new link is for."""
        assert self.console.stdin is not None
        self.console.stdin.write("\n")
        self.console.stdin.flush()
        return self.read_links()

    def read_links(self) -> dict[str, str]:
        assert self.console.stdout is not None
        lines = [self.console.stdout.readline().split() for _ in ("operator", "operator-2", "auditor")]
        self.base = lines[0][-1].partition("/sign-in")[0]
        return {words[0]: words[-1] for words in lines}

    @contextmanager
    def tab(self, *, script: bool = True, dark: bool = False, width: int = 1360) -> Iterator[Page]:
        """Open a window of its own, with its own cookies; whatever it asks for and hears is kept."""
        context = self.browser.new_context(
            java_script_enabled=script,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
        )
        context.set_default_timeout(SECONDS * 1000)
        context.on("request", lambda request: self.asked.add(request.url))
        page = context.new_page()
        page.on("response", self._hear)
        try:
            yield page
        finally:
            context.close()

    @contextmanager
    def signed_in(self, who: str = "ee/operator", *, script: bool = True, width: int = 1360) -> Iterator[Page]:
        with self.tab(script=script, width=width) as page:
            page.goto(self.links()[who])
            page.get_by_role("button", name=f"Sign in as {who}").click()
            expect(page).to_have_title("Overview · ee · Rogatory")
            yield page

    def send(self, case: str) -> str:
        """Send a request abroad, as the prosecutor; return its id."""

        async def submit() -> pb.SignedEnvelope:
            made = Federation(self.summary, system_clock, {}, {})
            signed = made.actor("ee/prosecutor").compose(
                ids.KIND_FREEZE_REQUEST,
                "de/central-authority",
                PLAIN,
                instrument="eu-2018-1805",
                measures=(ids.MEASURE_BLOCK_WITHDRAWAL,),
                case_id=case,
            )
            signed = made.countersigned(signed)
            await made.actor("ee/prosecutor").submit(signed)
            for actor in made.actors.values():
                await actor.channel.close()
            return signed

        # The browser's library has a loop of its own in this thread.
        with ThreadPoolExecutor(1) as pool:
            signed = pool.submit(lambda: asyncio.run(submit())).result(SECONDS)
        self.sent.append(signed)
        return ref(signed).id

    def _hear(self, response: Response) -> None:
        if response.headers.get("content-type", "").startswith("text/html") and response.status != 303:
            self.heard.append(response.body())


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    chromium = program("chromium", "chromium-browser", "google-chrome")
    made_at = system_clock() - timedelta(hours=1)
    summary = init_federation(tmp_path_factory.mktemp("fed"), ["ee", "de"], ports(2), made_at, delivery=DELIVERY)
    watchers = [f"--config={summary.config(f'ee/{name}')}" for name in ("operator", "operator-2", "auditor")]
    with ExitStack() as stack:
        stack.enter_context(rogatory("serve", "--config", summary.config("ee/node")))
        console = stack.enter_context(rogatory("console", *watchers))
        playwright = stack.enter_context(sync_playwright())
        expect.set_options(timeout=SECONDS * 1000)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        stack.callback(browser.close)
        made = Setting(summary, console, browser)
        made.read_links()
        made.send("EE-1")  # for the page that traces it
        yield made


def overview_until(page: Page, text: str) -> None:
    """Wait until a page that is not asked for again says something: what changes comes by itself."""
    expect(page.get_by_role("main")).to_contain_text(text, timeout=SECONDS * 1000)


def until(page: Page, done: Callable[[], bool]) -> None:
    """Ask for a page again and again, as without script a person would."""
    for _ in range(int(SECONDS * 5)):
        page.reload()
        if done():
            return
        page.wait_for_timeout(200)
    raise AssertionError(page.content())


def test_sign_in_is_refused_and_granted(setting: Setting) -> None:
    with setting.tab() as page:
        page.goto(f"{setting.base}/messages")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto(f"{setting.base}/sign-in?link=guessed")
        expect(page.get_by_role("button")).to_have_count(0)
        link = setting.links()["ee/operator"]
        page.goto(link)
        page.get_by_role("button", name="Sign in as ee/operator").click()
        expect(page.get_by_role("heading", name="Overview of node ee")).to_be_visible()
        page.goto(link)
        expect(page.get_by_role("button", name="Sign in as")).to_have_count(0)
        page.goto(setting.base)
        page.get_by_role("button", name="Sign out").click()
        page.goto(setting.base)
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_certificate_of_who_it_was_started_for_signs_in_and_no_other(setting: Setting, tmp_path: Path) -> None:
    of = {name: setting.summary.config(f"ee/{name}").parent for name in ("operator", "auditor")}
    tls = ("--tls-certificate", tmp_path / "console.pem", "--tls-key", tmp_path / "console.key")
    localhost().write(tmp_path, "console")
    (port,) = ports(1)
    with rogatory("console", f"--config={of['operator']}/participant.toml", f"--listen=127.0.0.1:{port}", *tls):
        base = f"https://localhost:{port}"
        seen = {}
        for name, folder in of.items():
            context = setting.browser.new_context(
                ignore_https_errors=True,
                client_certificates=[
                    {"origin": base, "certPath": folder / "tls.pem", "keyPath": folder / "tls.key"},
                ],
            )
            page = context.new_page()
            page.goto(base)
            seen[name] = page.locator("main").inner_text()
            context.close()
    assert "Overview of node ee" in seen["operator"]
    assert "NOT_PERMITTED" in seen["auditor"]
    assert "Overview" not in seen["auditor"]


def test_what_is_stuck_is_found_and_mended_by_clicks_alone(setting: Setting) -> None:
    with setting.signed_in() as page:
        stuck = setting.send("EE-7")
        # It comes without a click: live.
        overview_until(page, "de/node")
        expect(page.get_by_role("row", name="de/node")).to_contain_text("UNAVAILABLE")
        # What fails is not called well, though a warning comes only when it has lasted.
        expect(page.get_by_role("main")).not_to_contain_text("Nothing wants attention")
        # One waits, or more, as other tests came before or not.
        page.get_by_role("row", name="ee de").get_by_role("link").click()
        page.get_by_role("link", name=stuck).click()
        expect(page.locator(".situation")).to_contain_text("at node ee for de/node")
        expect(page.get_by_role("main")).to_contain_text("Node de does not answer")
        expect(page.get_by_role("main")).to_contain_text("✓ signed by ee/node")

        page.get_by_role("button", name="Test the connection").click()
        expect(page.get_by_role("status")).to_contain_text("The way to de breaks at tcp")
        page.get_by_role("link", name="Back to the trace").click()
        with rogatory("serve", "--config", setting.summary.config("de/node")):
            page.get_by_text("Resend now").click()
            page.get_by_label("Why it is sent again").fill("their node is back")
            page.get_by_role("button", name="Resend to de/node").click()
            expect(page.get_by_role("status").first).to_contain_text("is done; 1 copy touched")
            # The other node tells that it holds it a moment before its answer is recorded here.
            until(page, lambda: page.get_by_role("heading", name="What can be done").count() == 0)
            expect(page.get_by_role("main")).to_contain_text("✓ signed by de/node")
        page.get_by_role("link", name="Actions").click()
        row = page.get_by_role("row", name=stuck)
        expect(row).to_contain_text("their node is back")
        expect(row).to_contain_text("ee/operator")


def test_page_stands_still_for_who_pauses_it(setting: Setting) -> None:
    with setting.signed_in() as page:
        as_of = page.locator(".asof time").first
        expect(page.locator("[data-live-note]")).to_contain_text("live")
        pause = page.get_by_role("button", name="Pause")
        pause.click()
        told = as_of.inner_text()
        with page.expect_event("console", lambda message: message.text == "told"):
            # A stream of its own hears the next two, so the page was told, too.
            page.evaluate(
                "let heard = 0; const also = new EventSource('/live/overview');"
                "also.onmessage = () => { if (++heard === 3) { also.close(); console.log('told'); } }"
            )
        assert as_of.inner_text() == told
        pause.click()
        expect(as_of).not_to_have_text(told)


def test_page_keeps_what_it_showed_while_the_node_is_silent(setting: Setting) -> None:
    with setting.signed_in() as page:
        said = "retry: 100\n\nevent: silent\ndata: <p>it is silent</p>\n\n"
        page.route("**/live/overview", lambda route: route.fulfill(content_type="text/event-stream", body=said))
        page.reload()
        overview_until(page, "it is silent")
        expect(page.get_by_role("heading", name="Between countries")).to_be_visible()
        expect(page.locator("[data-live-note]")).to_contain_text("not live")
        page.unroute("**/live/overview")
        expect(page.get_by_text("it is silent")).to_have_count(0)
        expect(page.locator("[data-live-note] span")).to_have_text("live")


def test_search_has_its_filters_in_the_address(setting: Setting) -> None:
    with setting.signed_in() as page:
        sent = setting.send("EE-2")
        page.get_by_role("link", name="Messages").click()
        page.get_by_label("Case", exact=True).fill("EE-2")
        page.locator("select[name=kind]").select_option("freeze-request")
        page.get_by_role("button", name="Find").click()
        assert "case=EE-2" in page.url
        assert "kind=freeze-request" in page.url
        expect(page.get_by_role("link", name=sent)).to_be_visible()
        page.locator("select[name=state]").select_option("refused")
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_role("main")).to_contain_text("No envelope fits.")
        # The box at the top takes an id or a case.
        page.keyboard.press("Alt+s")
        page.get_by_role("searchbox").fill("EE-2")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=f"freeze-request {sent}")).to_be_visible()


def test_four_eyes_with_two_browsers_and_without_script(setting: Setting) -> None:
    with setting.signed_in(script=False) as one, setting.signed_in("ee/operator-2", script=False) as two:
        setting.send("EE-3")
        one.get_by_role("link", name="Destinations").click()
        card = one.locator("#de-node")
        until(one, lambda: card.get_by_text("Resend all").count() > 0)  # offered once something waits
        card.get_by_text("Resend all").first.click()
        card.get_by_label("Why all of them").fill("after the repair")
        card.get_by_role("button", name="Resend all").click()
        expect(one.get_by_role("status")).to_contain_text("waits for a second operator")
        one.get_by_role("link", name="Actions").click()
        waiting = one.get_by_role("row", name="after the repair")
        expect(waiting).to_contain_text("Another operator has to approve it")
        expect(waiting.get_by_role("button", name="Approve")).to_have_count(0)

        # The other finds it on the first page: nobody had to tell her.
        asked = two.get_by_role("listitem").filter(has_text="asked for by ee/operator, waits for a second operator")
        until(two, lambda: asked.count() > 0)  # others may wait besides, of tests before this one
        asked.first.get_by_role("link", name="Approve or reject").click()
        two.get_by_role("row", name="after the repair").get_by_role("button", name="Approve").click()
        expect(two.get_by_role("status")).to_contain_text("is done")
        one.reload()
        expect(one.get_by_role("row", name="after the repair")).to_contain_text("ee/operator-2")

        # Hold and release, each with a reason.
        one.get_by_role("link", name="Destinations").click()
        for verb, then in (("Hold", "Release"), ("Release", "Hold")):
            card.locator("summary", has_text=verb).click()
            card.get_by_label("Why").first.fill("they asked for it")
            card.get_by_role("button", name=f"{verb} de/node").click()
            expect(one.get_by_role("status")).to_contain_text("is done")
            # A node looks anew every two seconds, and this page has no script that would tell.
            until(one, lambda then=then: card.locator("summary", has_text=then).count() == 1)  # type: ignore[misc]
            two.goto(setting.base)
            # Whoever comes next has to know: of what is held nobody is warned.
            expect(two.get_by_text("Held, so that nothing goes there")).to_have_count(1 if verb == "Hold" else 0)


def test_everybody_can_use_every_page_light_and_dark_wide_and_narrow(setting: Setting) -> None:
    axe = Axe()
    with setting.signed_in() as page:
        # With an action that waits, so that its buttons are there, too.
        setting.send("EE-4")
        page.goto(f"{setting.base}/destinations")
        card = page.locator("#de-node")
        until(page, lambda: card.get_by_text("Resend all").count() > 0)
        card.get_by_text("Resend all").first.click()
        card.get_by_label("Why all of them").fill("to be looked at")
        card.get_by_role("button", name="Resend all").click()
        expect(page.get_by_role("status").first).to_contain_text("waits for a second operator")
        for path in (*PAGES, "/sign-in"):
            page.goto(setting.base + path)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                found = axe.run(page).response["violations"]
                bad = [
                    (each["id"], node["html"], node["failureSummary"])
                    for each in found
                    if each["impact"] in {"serious", "critical"}
                    for node in each["nodes"]
                ]
                assert bad == [], (path, scheme)
            page.set_viewport_size({"width": 360, "height": 780})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            page.set_viewport_size({"width": 1360, "height": 900})
        page.goto(setting.base)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_auditor_sees_and_is_offered_nothing(setting: Setting) -> None:
    with setting.signed_in("ee/auditor") as page:
        for path in PAGES:
            answer = page.goto(setting.base + path)
            assert answer is not None
            assert answer.status == (404 if path == "/nowhere" else 200)
            expect(page.locator("main form[method=post]")).to_have_count(0)


def test_no_page_has_a_payload_and_none_asks_elsewhere(setting: Setting) -> None:
    """Behind all the others: of all that they were shown."""
    sent = setting.send("EE-4")
    with setting.signed_in() as page:
        for path in (*PAGES, f"/trace?key={sent}", "/messages?case=EE-4"):
            page.goto(setting.base + path)
        # What came live was never a response of its own.
        page.goto(setting.base)
        setting.heard.append(page.content().encode())
    assert len(setting.heard) > len(PAGES)
    assert any(sent.encode() in page for page in setting.heard)
    for signed in setting.sent:
        for secret in (PLAIN, signed.sealed_payload, signed.sealed_payload[:48], signed.sealed_payload[-48:]):
            for form in (
                secret,
                base64.b64encode(secret)[:-4],
                base64.urlsafe_b64encode(secret)[:-4],
                secret.hex().encode(),
            ):
                assert not any(form in page for page in setting.heard)
    assert {url for url in setting.asked if not url.startswith(f"{setting.base}/")} == set()
