"""`rogatory case export`: a case as one file, for a court, a defence lawyer or an auditor.

In: a participant's settings, a case id. Out: a file that verifies offline (`rogatory verify`) and reads like a case
file. Nothing is collected; the own node alone is asked, for proofs that its log holds all this under a checkpoint that
enough witnesses have cosigned, and a timestamp authority, if the settings name one. Refuses with NOT_FOUND, BAD_INPUT,
BAD_DIRECTORY, and what that authority answers wrongly; fails with UNAVAILABLE.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import log_pb2

from clients import logs
from clients.casefile import checks
from clients.casefile.checks import Check, Status
from clients.casefile.export import Terms, export
from clients.participant import Participant
from clients.timestamping import authority as timestamp_authority
from gateway.cli import home, output
from gateway.cli.home import Home
from gateway.cli.verify import prover, tsa_roots
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.printable import printable
from gateway.private_files import swap
from gateway.trust.copy import GoodCopy

SUFFIX: Final = ".rogatory.zip"


@click.command(
    epilog="\b\nExample:\n  rogatory case export EE-2026-1 --out EE-2026-1.rogatory.zip --redact 019a2f3b-7c1d \\\n"
    '    --purpose "main hearing" --authority "order 26-1 of 3 November 2026" --config ee/prosecutor/participant.toml'
)
@click.argument("case_id", metavar="CASE")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help=f"The file to write, *{SUFFIX}."
)
@click.option("--withhold", multiple=True, metavar="ID", help="Leave out this envelope; its name and digest stay.")
@click.option("--redact", multiple=True, metavar="ID", help="Leave out the text of this envelope; its header stays.")
@click.option("--by", default="", metavar="NAME", help="The person who hands it out, for the custody record.")
@click.option("--purpose", default="", help="What for, for the custody record.")
@click.option("--authority", default="", help="By which order or law, for the custody record.")
@click.option("--offline", is_flag=True, help="Ask nobody: the file then proves nothing about the node's log.")
@click.option("--no-timestamp", is_flag=True, help="Ask no timestamp authority, though the settings name one.")
@home.config_option
@output.json_option
def command(
    case_id: str,
    out: Path,
    withhold: tuple[str, ...],
    redact: tuple[str, ...],
    by: str,
    purpose: str,
    authority: str,
    offline: bool,
    no_timestamp: bool,
    path: Path,
    as_json: bool,
) -> None:
    """Write CASE, and all that is connected with it, to one file.

    It holds what lies here: envelopes as they were signed, receipts, the texts that you can open with what proves them,
    the signed directory, tables and a report; and your node's proofs that its log holds them. ID is an envelope's id,
    or its first 8 characters or more; where two senders have used one id, SENDER/ID. Before anything is written, the
    file is checked as its reader will check it.
    """
    if not out.name.endswith(SUFFIX):
        raise Refusal(ErrorCode.BAD_INPUT, f"the file's name must end with {SUFFIX}", "out")
    at = Home(path)
    source = at.loaded.config.directory
    copy = GoodCopy.read(source.cache)
    if copy is None:
        raise Refusal(ErrorCode.BAD_DIRECTORY, "there is no good copy of the directory", "directory.cache")
    prove = prover(source.root)
    terms = Terms(withhold, redact, by, purpose, authority)
    settings = None if offline or no_timestamp else at.loaded.config.timestamp
    roots = None if settings is None else tsa_roots(settings.roots)
    stamp = None if settings is None or roots is None else timestamp_authority(settings.url, roots, settings.ca)
    ask_node = None if offline else partial(_ask_node, at.participant)
    raw = export(at.participant, case_id, terms, copy.served(), prove, ask_node, stamp)
    found = checks.check(raw, prove, roots)
    if not checks.holds(found):
        # What somebody signed does not hold any more, e.g. by a key that was revoked from before on: who gets the file
        # shall see that, and whoever hands it out must know.
        output.emit_error(Refusal(ErrorCode.BAD_SIGNATURE, f"the file does not verify: {_first(found)}"))
    try:
        swap(out, raw)
    except OSError as error:
        raise Failure(ErrorCode.STORE, f"cannot write {out}: {error.strerror}") from error
    absent = {each.name: each.detail for each in found if each.status is Status.NOT_THERE}
    if as_json:
        output.emit_json({"case_file": str(out), "bytes": len(raw), "holds": checks.holds(found), "not_there": absent})
    else:
        click.echo(f"{printable(str(out))}: {len(raw)} bytes; the report in it is report.html")
        for name, why in absent.items():
            click.echo(f"not there: {name}: {why}")
    if not checks.holds(found):
        raise click.exceptions.Exit(output.FAILED)


def _ask_node(me: Participant, entries: Sequence[log_pb2.LogEntry]) -> tuple[bytes, Sequence[log_pb2.InclusionProof]]:
    try:
        return logs.of_own_node(me, entries)
    except Failure as error:
        detail = f"{error.detail}; with --offline the file is made without what the node's log proves"
        raise Failure(error.code, detail, error.field) from error


def _first(found: list[Check]) -> str:
    wrong = next(each for each in found if each.status is Status.FAILED)
    return f"check {wrong.number}, {wrong.name}: {wrong.detail}"
