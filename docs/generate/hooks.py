"""What MkDocs calls while it builds the site: pages that no hand writes are made here, from the program itself.

In: the configuration, the files of docs/. Out: the same, with the reference (contract, commands, settings, errors,
law) and the project's own pages; links that lead somewhere. Refuses, by its parts, what has no words: then nothing is
built.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import commands
import contract
import errors
import law
import settings
from diagrams import as_tables
from links import PROJECT, ROOT, VERIFIER, rewritten
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_TITLES: Final = {
    "project/changelog.md": "Changes",
    "project/contributing.md": "Contributing",
    "project/decisions.md": "Decisions",
    "project/security.md": "Security",
    "project/faults.md": "Faults that are tried",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made to what is written, and put it into the navigation."""
    made = {**contract.pages(), **commands.pages()}
    single = {
        "reference/settings.md": settings.page(),
        "reference/errors.md": errors.page(),
        "explanation/law.md": law.page(),
    }
    for uri, text in {**made, **single, **dict(_project())}.items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, VERIFIER, abs_src_path=str(ROOT / VERIFIER)))
    sections = {next(iter(each)): each for each in config.nav or () if isinstance(each, dict)}
    sections["Reference"]["Reference"] += [
        {"Contract": [*contract.pages()]},
        {"Commands": [*commands.pages()]},
        "reference/settings.md",
        "reference/errors.md",
    ]
    sections["Explanation"]["Explanation"].insert(3, "explanation/law.md")
    if config.nav is not None:
        config.nav.append({"Project": [{title: uri} for uri, title in _TITLES.items()]})
    return files


def _project() -> Iterator[tuple[str, str]]:
    for path, uri in PROJECT.items():
        yield uri, rewritten((ROOT / path).read_text(encoding="utf-8"), path, uri)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  MkDocs' names
    """Let links that leave docs/ lead to what is made of their files; show diagrams without a script."""
    if page.file.generated_by:
        return markdown
    return as_tables(rewritten(markdown, f"docs/{page.file.src_uri}", page.file.src_uri))


def on_post_build(config: MkDocsConfig) -> None:
    """Remove the page for addresses that lead nowhere: its links suit a site at the root of a server alone."""
    Path(config.site_dir, "404.html").unlink()
