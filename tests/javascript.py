"""Runs the page `clients/verify.html`: its script in Node.js, all of it in Chromium, from disk and without network.

Chromium is spoken to over two pipes (Chrome DevTools Protocol, `--remote-debugging-pipe`): no port, no library.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

import pytest

PAGE: Final = Path(__file__).parents[1] / "clients" / "verify.html"
SECONDS: Final = 100.0
"""For one process; below the time limit of a test."""

# Binary values travel as hexadecimal text; what JSON has no type for, as text.
_RUN: Final = r"""
(async (work) => {
  const fs = require("fs");
  const [page] = process.argv.slice(1);
  const script = /<script id="verifier">([^]*?)<\/script>/.exec(fs.readFileSync(page, "utf8"))[1];
  const caseFile = require("vm").runInThisContext(`${script};caseFile`);
  const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));
  const told = await work(caseFile, bytes, JSON.parse(fs.readFileSync(0, "utf8")));
  process.stdout.write(JSON.stringify(told, (name, value) => (typeof value === "bigint" ? String(value) : value)));
})(async (caseFile, bytes, given) => { WORK });
"""


def script(name: str) -> str:
    """Return one of the page's two scripts, or its style, as the browser hashes it."""
    tag = f'<script id="{name}">' if name != "style" else "<style>"
    found = re.search(f"{re.escape(tag)}(.*?)</(script|style)>", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def program(*names: str) -> str:
    """Return the path of the first of some programs, or skip: a red section at the end of the run says so."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"{' or '.join(names)} is not installed")
    return found


def node(work: str, given: object) -> Any:
    """Return what a JavaScript function body returns that knows `caseFile`, `bytes` and `given`, in one process."""
    done = subprocess.run(
        [program("node", "nodejs"), "-e", _RUN.replace("WORK", work), str(PAGE)],
        input=json.dumps(given).encode(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@dataclass
class Tab:
    """A page that is open in a browser."""

    _to: IO[bytes]
    _from: IO[bytes]
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _asked: int = 0

    def ask(self, method: str, **parameters: Any) -> Any:
        """Return the answer to a command of the protocol; what else is heard meanwhile goes to `events`."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            heard = self._hear()
            if heard.get("id") == self._asked:
                assert "error" not in heard, heard["error"]
                return heard["result"]
            self.events.append(heard)

    def wait_for(self, event: str) -> None:
        """Wait until the browser says so."""
        while not any(each["method"] == event for each in self.events):
            self.events.append(self._hear())

    def run(self, code: str) -> Any:
        """Return the value of an expression in the page, once it is settled."""
        done = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def choose(self, selector: str, path: Path) -> None:
        """Let the reader pick a file."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        input_ = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=input_, files=[str(path)])

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **named)

    def _hear(self) -> dict[str, Any]:
        raw = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "the browser is gone"
            raw += byte
        heard: dict[str, Any] = json.loads(raw)
        return heard


def _command(profile: str) -> Sequence[str]:
    return (
        program("chromium", "chromium-browser", "google-chrome"),
        "--headless=new",
        "--no-sandbox",  # a container has none to give
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
        "about:blank",
    )


@contextmanager
def tab(address: str) -> Iterator[Tab]:
    """Open a page in a browser of its own."""
    with ExitStack() as stack:
        # It writes until it is gone, and then some.
        profile = stack.enter_context(TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True))
        command = _command(profile)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        moved = f'exec "$0" "$@" 3</dev/fd/{theirs_in} 4>/dev/fd/{theirs_out}'
        browser = subprocess.Popen(
            ["/bin/sh", "-c", moved, *command], pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL
        )
        stack.callback(browser.wait, SECONDS)
        stack.callback(browser.kill)
        os.close(theirs_in)
        os.close(theirs_out)
        to, from_ = stack.enter_context(os.fdopen(ours_out, "wb")), stack.enter_context(os.fdopen(ours_in, "rb"))
        opened = Tab(to, from_)
        target = opened.ask("Target.createTarget", url="about:blank")["targetId"]
        opened.session = opened.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            opened.ask(f"{domain}.enable")
        opened.ask("Page.navigate", url=address)
        opened.wait_for("Page.loadEventFired")
        yield opened
