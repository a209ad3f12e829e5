"""Links of pages that are read in the repository, too, made to lead somewhere on the site.

In: the text of a page, where it lies in the repository, where it comes to lie on the site. Out: the text, whose links
to files of the repository lead to the page made of them; or, where there is none, are the name of the file alone.
Refuses a link to a file that is not there.
"""

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.exceptions import PluginError

ROOT: Final = Path(__file__).parents[2]

PROJECT: Final = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "DECISIONS.md": "project/decisions.md",
    "SECURITY.md": "project/security.md",
    "tests/fault/README.md": "project/faults.md",
}
"""Pages of the repository that lie outside docs/, and where they come to lie."""
VERIFIER: Final = "clients/verify.html"
"""The second verifier of case files: one page that needs nothing else."""
_ELSEWHERE: Final = PROJECT | {"README.md": "index.md", VERIFIER: VERIFIER}
_CONTRACT: Final = re.compile(r"proto/rogatory/v1/(\w+)\.proto")
_FENCED: Final = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[([^\]\[]+)\]\(([^()\s#]+)(#[^()\s]+)?\)")


def rewritten(text: str, source: str, uri: str) -> str:
    """Return the text of a page of the repository as the site wants it.

    Args:
        text: Markdown.
        source: where it lies, from the root of the repository.
        uri: where it comes to lie, from the root of the site's pages.

    Raises:
        PluginError: a link leads to a file that is not there.
    """

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found.groups()
        if ":" in target:
            return found.group(0)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = _place(path)
        if place is None:
            if not (ROOT / path).exists():
                raise PluginError(f"{source}: there is no {path}")
            return f"{words} (`{path}`)" if path not in words else f"`{path}`"
        return f"[{words}]({posixpath.relpath(place, posixpath.dirname(uri) or '.')}{anchor or ''})"

    parts = _FENCED.split(text)
    return "".join(part if at % 2 else _LINK.sub(link, part) for at, part in enumerate(parts))


def _place(path: str) -> str | None:
    """Return where a file of the repository is on the site, or None if it is not there."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if contract := _CONTRACT.fullmatch(path):
        return f"reference/contract/{contract.group(1)}.md"
    return _ELSEWHERE.get(path)
