"""`rogatory enrol`: becomes a participant of a node.

In: an invitation from a registrar, an empty folder, names. Out: keys, certificate and settings in that folder, once
the registrars have agreed; the id of the application meanwhile, for them to compare. Run again with the same folder, it
goes on where it was. Private keys and the code are never shown.
"""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import enrolment_pb2 as pb

from clients.connection import Pauses
from clients.enrolment import APPLICATION, Applicant, Outcome
from clients.invitation import Invitation
from gateway import material, signature
from gateway.cli import output, passphrases
from gateway.cli.home import word
from gateway.cli.ranges import Span
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.material import ParticipantMaterial
from gateway.printable import printable

WITHIN_SECONDS: Final = 3600.0
MAX_WITHIN_SECONDS: Final = 30 * 86400.0
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0


@click.command(
    epilog="\b\nExample:\n  rogatory enrol lhv.invitation lhv --legal-name 'AS LHV Pank' --lei 529900T8BM49AURSDO55"
)
@click.argument("invitation", metavar="INVITATION", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--legal-name", default="", help="Of the future participant; once said, DIR knows it.")
@click.option("--lei", default="", help="Its ISO 17442 code; an exchange has one.")
@passphrases.file_option
@click.option(
    "--plain-keys", is_flag=True, help="Leave the keys unencrypted; anybody who reads the disk has them then."
)
@click.option("--no-wait", is_flag=True, help="Apply, and do not wait for the registrars; run it again later.")
@click.option(
    "--within",
    type=Span(0, MAX_WITHIN_SECONDS, min_open=True),
    default=WITHIN_SECONDS,
    show_default=True,
    help="Seconds to wait for the registrars.",
)
@output.json_option
def command(
    invitation: Path,
    folder: Path,
    legal_name: str,
    lei: str,
    passphrase_file: Path | None,
    plain_keys: bool,
    no_wait: bool,
    within: float,
    as_json: bool,
) -> None:
    """Make keys in DIR and apply with the one-time code of INVITATION; then wait for certificate and settings."""
    invited = Invitation.read(invitation)
    phrase = _phrase(folder, passphrase_file, plain_keys)
    applicant = Applicant(invited, folder, phrase)
    if applicant.settings.exists():
        _report_done(_checked(applicant.settings, phrase), applicant.settings, as_json)
        return
    application = applicant.prepare(legal_name, lei)
    # One loop for all of it: gRPC serves no second one well.
    outcome = asyncio.run(_apply(applicant, application, within=None if no_wait else within, as_json=as_json))
    if outcome.state == pb.APPLICATION_STATE_REJECTED:
        raise Refusal(ErrorCode.NOT_PERMITTED, f"the application was rejected: {outcome.reason or 'no reason given'}")
    if outcome.state == pb.APPLICATION_STATE_APPROVED:
        settings = applicant.finish(outcome, passphrase_file)
        _report_done(_listed(settings, phrase, within), settings, as_json)
    elif as_json:
        output.emit_json({"application": _as_object(application, outcome), "settings": None})


async def _apply(applicant: Applicant, application: pb.Application, *, within: float | None, as_json: bool) -> Outcome:
    outcome = await applicant.apply()
    if not as_json:
        _show(application, outcome)
    if within is None:
        return await applicant.outcome()
    return await applicant.wait(within, _ignore if as_json else _tell)


def _ignore(_: Outcome) -> None:
    """Say nothing before the end."""


def _tell(outcome: Outcome) -> None:
    click.echo(f"{outcome.approvals} of {outcome.approvals_needed} registrars have approved it; waiting")


def _phrase(folder: Path, file: Path | None, plain: bool) -> Passphrase | None:
    if plain:
        if file is not None:
            raise Refusal(ErrorCode.BAD_INPUT, "keys are plain, or under a passphrase, not both", "plain_keys")
        return None
    # Asked for twice only where it is new.
    return passphrases.of_keys(file) if (folder / APPLICATION).exists() else passphrases.new(file)


def _checked(settings: Path, phrase: Passphrase | None) -> ParticipantMaterial:
    """Load what the settings name as every start does; nobody is asked for the passphrase once more."""
    return material.load_participant(settings, ask=None if phrase is None else lambda: phrase)


def _listed(settings: Path, phrase: Passphrase | None, within: float) -> ParticipantMaterial:
    """Load it as soon as the directory lists us: it follows the yes by seconds."""
    deadline = time.monotonic() + within
    pauses = Pauses(random.random, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return _checked(settings, phrase)
        except GatewayError as error:
            pause = pauses.next()
            if error.code not in _PASSING or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)


_PASSING: Final = frozenset({ErrorCode.BAD_CONFIG, ErrorCode.REVOKED, ErrorCode.UNAVAILABLE})
"""What a directory causes that does not list us yet, or, when somebody comes back, lists us as revoked still."""


def _as_object(application: pb.Application, outcome: Outcome) -> dict[str, object]:
    return {
        "id": outcome.application_id.hex(),
        "address": application.address,
        "roles": [*application.roles],
        "legal_name": application.legal_name,
        "lei": application.lei,
        "signing_key_id": _key_id(application.signing_key),
        "sealing_key_id": _key_id(application.sealing_key),
        "state": word(pb.ApplicationState.DESCRIPTOR, outcome.state),
        "approvals": outcome.approvals,
        "approvals_needed": outcome.approvals_needed,
    }


def _key_id(public: bytes) -> str:
    return signature.key_id(public).hex() if public else ""


def _show(application: pb.Application, outcome: Outcome) -> None:
    rows = [
        ("application", outcome.application_id.hex()),
        ("address", application.address),
        ("roles", ", ".join(application.roles)),
        ("legal name", application.legal_name),
        ("LEI", application.lei),
        ("signing key", _key_id(application.signing_key)),
        ("sealing key", _key_id(application.sealing_key)),
        ("registrars needed", outcome.approvals_needed),
    ]
    output.emit_table(("what", "value"), [row for row in rows if row[1]])
    click.echo("\nRead the id of the application out to the registrars: they see the same one, or it is not yours.")


def _report_done(found: ParticipantMaterial, settings: Path, as_json: bool) -> None:
    if as_json:
        done = {"address": str(found.address), "settings": str(settings), "certificate_ends": found.expires.isoformat()}
        output.emit_json(done)
    else:
        click.echo(f"{found.address} is enrolled. Next:\n  rogatory inbox --config {settings}")
    for warning in found.warnings:
        click.echo(f"warning {printable(warning)}", err=True)
