"""`rogatory case`: a case on a participant's own disk, shown, proven or handed out.

In: a participant's settings, a case id. Out: where the case stands (`show`, which need not be said), which checkpoint
of the node's log covers it (`prove`), or the case as one file (`export`).
"""

from collections.abc import Mapping
from typing import ClassVar, Final

import click

from gateway.cli import LazyGroup

PARTS: Final[Mapping[str, str]] = {
    "show": "Show where a case stands, whose turn it is, and what may be done next.",
    "prove": "Prove that your node's log holds a case, under a checkpoint that witnesses have cosigned.",
    "export": "Hand a case out as one file that anybody can check offline.",
}
"""Sub-commands, each with its line in the help."""


class Parts(LazyGroup):
    """The sub-commands of `PARTS`; without the name of one, a case is shown."""

    package: ClassVar[str] = __name__
    lines: ClassVar[Mapping[str, str]] = PARTS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        if not args or args[0] not in {*self.lines, *ctx.help_option_names}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=Parts,
    epilog="\b\nExample:\n  rogatory case EE-2026-1 --config fed/ee/prosecutor/participant.toml\n"
    "  rogatory case export EE-2026-1 --out EE-2026-1.rogatory.zip --config fed/ee/prosecutor/participant.toml",
)
def command() -> None:
    """Show where a case stands, whose turn it is, and what may be done next; or prove it, or hand it out.

    `rogatory case CASE` is `rogatory case show CASE`. What has not been collected is not known here: see
    `rogatory inbox`.
    """
