"""`rogatory happenings`: an ombudsperson is shown that something happened, and when, and not what.

In: an ombudsperson's settings and the id of a grievance that it collected. Out: of each envelope of the matter, the
milestones in the order of time. Envelopes are named by letters: what they are called is not told.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import count, product
from pathlib import Path
from string import ascii_uppercase

import click
from rogatory.v1 import envelope_pb2 as pb

from clients.happenings import Seen, happenings
from gateway.cli import output
from gateway.cli.home import Home, config_option, time_of, word
from gateway.clock import to_micros
from gateway.errors import ErrorCode


@click.command(epilog="\b\nExample:\n  rogatory happenings 019a3f5c-1d2e --config fed/ee/ombudsperson/participant.toml")
@click.argument("beginning", metavar="ID")
@config_option
@output.json_option
def command(beginning: str, path: Path, as_json: bool) -> None:
    """Show what became of the matter of which the grievance ID complains: that something happened, and when."""
    home = Home(path)
    grievance = home.collected(beginning).ref

    async def ask() -> Sequence[Seen]:
        async with home.participant as participant:
            return await happenings(participant, grievance)

    seen = asyncio.run(ask())
    if as_json:
        output.emit_json({"envelopes": [_as_object(each) for each in seen]})
        return
    rows = [
        (one["at"], f"{letter}{' (cited)' if each.cited else ''}", one["milestone"], one["code"])
        for letter, each in zip(letters(), seen, strict=False)
        for one in _happenings(each)
    ]
    output.emit_table(("at", "envelope", "what happened", "code"), sorted(rows))


def letters() -> Iterable[str]:
    """Yield A to Z, then AA and so on."""
    return ("".join(each) for length in count(1) for each in product(ascii_uppercase, repeat=length))


def _as_object(seen: Seen) -> dict[str, object]:
    return {"handle": seen.handle.hex(), "cited": seen.cited, "happenings": _happenings(seen)}


def _happenings(seen: Seen) -> list[dict[str, str]]:
    return [
        {
            "at": time_of(to_micros(one.at)),
            "milestone": word(pb.Milestone.DESCRIPTOR, one.milestone),
            "code": _code(one.code),
        }
        for one in seen.happenings
    ]


def _code(code: int) -> str:
    try:
        return ErrorCode(code).name if code else ""
    except ValueError:
        return str(code)  # the node may be of a newer version
