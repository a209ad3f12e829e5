"""README is typed as it stands by whoever tries the program: what it names must be there."""

import re
from pathlib import Path

from gateway.cli.development import CAST

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_participant_that_the_readme_works_as_is_made_by_federation_init() -> None:
    named = set(re.findall(r"fed/[a-z]{2}/([^/\s]+)/participant\.toml", README))
    assert {"prosecutor", "court", "operator"} <= named <= {part.name for part in CAST}
