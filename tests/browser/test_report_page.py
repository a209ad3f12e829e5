"""Reports as a browser shows them: to everybody, on anything, and to nobody's knowledge."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from gateway.reporting import folder, page
from tests import reports
from tests.javascript import program

PAGES: Final = ("2026-Q1.html", page.INDEX)
NARROWEST: Final = 320
"""CSS pixels, WCAG 2.2 criterion 1.4.10."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=chromium, args=options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reports")
    reports.realistic(place, (1,))
    reports.sign_log(place / "de.db", "de")
    folder.publish(reports.made(place / "de.db", "de", "2026-Q1"), place / "public")
    return place / "public"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_for_everybody_and_asks_nobody(browser: Browser, public: Path, scheme: str) -> None:
    with browser.new_context(color_scheme=scheme, viewport={"width": NARROWEST, "height": 800}) as context:  # type: ignore[arg-type]  # one of the words
        opened = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("console", lambda message: said.append(message.text))
        for name in PAGES:
            opened.goto((public / name).as_uri())
            assert opened.evaluate("document.documentElement.scrollWidth") <= NARROWEST
            # The style is let in by its hash, and holds in the dark as well.
            dark = opened.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
            assert dark == (scheme == "dark")
        assert asked == [(public / name).as_uri() for name in PAGES]
        assert said == []  # a policy that is broken is said there
    # A tool of another's may only look where that policy lets it in.
    with browser.new_context(color_scheme=scheme, bypass_csp=True) as context:  # type: ignore[arg-type]  # as above
        opened = context.new_page()
        for name in PAGES:
            opened.goto((public / name).as_uri())
            found = Axe().run(opened).response["violations"]
            assert [each["id"] for each in found] == []


def test_page_is_printed_on_a4(browser: Browser, public: Path) -> None:
    with browser.new_context() as context:
        opened = context.new_page()
        opened.goto((public / PAGES[0]).as_uri())
        printed = opened.pdf(prefer_css_page_size=True)
        opened.emulate_media(media="print")
        assert printed.startswith(b"%PDF-")
        assert b"/MediaBox [0 0 594.95" in printed or b"/MediaBox [0 0 595" in printed
        assert not opened.get_by_role("navigation").is_visible()
