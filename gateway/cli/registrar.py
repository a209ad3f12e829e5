"""`rogatory registrar`: who is invited, who becomes a participant, and who or what is out.

In: a registrar's settings, an address or the beginning of an id. Out: an invitation in a file of its own, and signed
decisions and revocations at the registrar's own node. An application is shown as its very bytes say, before a person
is asked; what is signed is their digest. The code is in the invitation's file alone and never shown. Refuses with
BAD_INPUT to ask where nobody can answer.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import click
from cryptography import x509
from rogatory.v1 import enrolment_pb2 as pb

from clients.invitation import Invitation
from clients.registrar import Applied, Progress, Registrar
from gateway import signature
from gateway.cli import files, output, self_test
from gateway.cli.home import Home, config_option, word
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE, Address, Role, certificate_fingerprint
from gateway.printable import printable
from gateway.tls import MAX_LEAF_PEM_BYTES

T = TypeVar("T")

ROLES: Final = tuple(role.value for role in Role if role is not Role.NODE)
_REMOTE: Final = ("https://", "grpcs://")
_BEGINNING: Final = re.compile(r"[0-9a-f]{8,64}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_MAX_FILE_BYTES: Final = 256 << 10

_id = click.argument("beginning", metavar="ID")
_address = click.argument("address", metavar="ADDRESS")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(epilog="\b\nExample:\n  rogatory registrar list --config fed/ee/registrar-1/participant.toml")
def command() -> None:
    """Invite, approve, reject and revoke participants of one's own node."""


@command.command(
    epilog="\b\nExample:\n  rogatory registrar invite ee/lhv --role exchange --config reg.toml --out lhv.invitation"
)
@_address
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it is to be: one thing, and no other.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="New file, mode 0600; it is a secret."
)
@click.option(
    "--repository", default="", help="Where it finds the directory: https://..., grpcs://HOST:PORT or a folder."
)
@config_option
@output.json_option
def invite(address: str, role: str, out: Path, repository: str, path: Path, as_json: bool) -> None:
    """Make a one-time code for ADDRESS, and write all that it needs to apply into a file.

    Hand the file over so that nobody else reads it: until it is used, whoever has it can apply. What is applied for is
    still for registrars to approve. Without --repository, the directory is had from this node.
    """
    home, who = Home(path), Address.parse(address)
    files.check_new(out)
    source = home.loaded.config.directory
    remote = source.repository.startswith(_REMOTE)
    chosen = repository or (source.repository if remote else f"grpcs://{home.loaded.node.endpoint}")
    trusted_ca = source.ca if chosen == source.repository and chosen.startswith("https://") else None

    async def work(registrar: Registrar) -> Invitation:
        return await registrar.invite(
            who,
            [Role(role)],
            root=_text(source.root, "directory.root"),
            repository=chosen,
            repository_ca="" if trusted_ca is None else _text(trusted_ca, "directory.ca"),
        )

    made = _run(home, work)
    made.write(out)
    if as_json:
        output.emit_json({"address": address, "role": role, "file": str(out), "expires": made.expires.isoformat()})
    else:
        click.echo(f"{out}: {address} may apply until {made.expires:%Y-%m-%d %H:%M %Z}. There:")
        click.echo(f"  rogatory enrol {out.name} DIR --legal-name NAME")


@command.command("list", epilog="\b\nExample:\n  rogatory registrar list --all --config reg.toml")
@click.option("--all", "decided", is_flag=True, help="Those decided too.")
@config_option
@output.json_option
def list_(decided: bool, path: Path, as_json: bool) -> None:
    """Show the applications that wait for registrars."""
    found = _run(Home(path), lambda registrar: registrar.applications(decided=decided))
    if as_json:
        output.emit_json({"applications": [_as_object(each) for each in found]})
        return
    rows = [
        (
            each.application_id.hex()[:16],
            each.application.address,
            ", ".join(each.application.roles),
            each.application.legal_name,
            word(pb.ApplicationState.DESCRIPTOR, each.state),
            f"{sum(verdict.approved for verdict in each.verdicts)} of {each.approvals_needed}",
        )
        for each in found
    ]
    output.emit_table(("id", "address", "roles", "legal name", "state", "approved by"), rows)


@command.command(epilog="\b\nExample:\n  rogatory registrar approve 3f9a0c11 --config reg.toml")
@_id
@click.option("--reason", default="", help="Kept with the decision.")
@_yes
@config_option
@output.json_option
def approve(beginning: str, reason: str, yes: bool, path: Path, as_json: bool) -> None:
    """Approve the application whose id begins with ID, after it was shown.

    Compare id and keys with what the applicant reads out: then nobody in between has exchanged them.
    """
    _decide(beginning, reason, path, approved=True, yes=yes, as_json=as_json)


@command.command(epilog="\b\nExample:\n  rogatory registrar reject 3f9a0c11 --reason 'no such firm' --config reg.toml")
@_id
@click.option("--reason", required=True, help="The applicant gets to see it.")
@config_option
@output.json_option
def reject(beginning: str, reason: str, path: Path, as_json: bool) -> None:
    """Reject the application whose id begins with ID: one registrar is enough."""
    _decide(beginning, reason, path, approved=False, yes=True, as_json=as_json)


@command.command(
    epilog="\b\nExample:\n  rogatory registrar revoke ee/exchange-lhv --reason 'key stolen' --config reg.toml"
)
@_address
@click.option("--reason", required=True, help="Kept with the revocation.")
@click.option("--key", default="", help="Only this key: its id, or the first 8 digits or more.")
@click.option(
    "--not-trusted-after",
    default="",
    help="With --key: what it signed from then on does not count; a time as 2026-11-21T10:00:00Z. Default: now.",
)
@click.option(
    "--certificate", default="", help="Only this certificate: a PEM file, or the SHA-256 of what its CA signed."
)
@_yes
@config_option
@output.json_option
def revoke(
    address: str,
    reason: str,
    key: str,
    not_trusted_after: str,
    certificate: str,
    yes: bool,
    path: Path,
    as_json: bool,
) -> None:
    """Put a participant out, or one of its keys or certificates. It takes effect at once, on open streams too.

    ADDRESS may be the node's own (`ee/node`), for one of its keys or certificates.
    """
    who, since = Address.parse(address, allow_node=True), _time(not_trusted_after)
    if (key and certificate) or (since is not None and not key):
        raise Refusal(ErrorCode.BAD_INPUT, "one key or one certificate; --not-trusted-after goes with --key", "key")
    home = Home(path)
    key_id = _key_id(home.participant.directory, who, key) if key else b""
    fingerprint = _fingerprint(certificate) if certificate else b""
    what = (
        f"key {key_id.hex()} of {who}"
        if key
        else f"certificate {fingerprint.hex()} of {who}"
        if certificate
        else address
    )
    if not yes:
        _ask(f"Revoke {what}?")

    async def work(registrar: Registrar) -> int:
        if key_id:
            return await registrar.revoke_key(who, key_id, reason, since)
        if fingerprint:
            return await registrar.revoke_certificate(who, fingerprint, reason)
        return await registrar.revoke_participant(who, reason)

    version = _run(home, work)
    if as_json:
        output.emit_json({"address": address, "revoked": what, "list_version": version})
    else:
        click.echo(f"{what} is out; version {version} of the node's list says so to all others")


def _run(home: Home, work: Callable[[Registrar], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with home.participant as participant:
            return await work(Registrar(participant))

    return asyncio.run(inside())


def _decide(beginning: str, reason: str, path: Path, *, approved: bool, yes: bool, as_json: bool) -> None:
    if not _BEGINNING.fullmatch(beginning):
        raise Refusal(ErrorCode.BAD_INPUT, "the id of an application is wanted, or its first 8 digits or more", "id")
    if as_json and not yes:
        raise Refusal(ErrorCode.BAD_INPUT, "with --json nobody is asked: say --yes", "yes")
    home = Home(path)

    async def work(registrar: Registrar) -> tuple[Applied, Progress]:
        applied = await registrar.find(beginning)
        if not as_json:
            _show(applied)
        if not yes:
            await asyncio.to_thread(_ask, f"Approve this application of {applied.application.address}?")
        return applied, await registrar.decide(applied, approved=approved, reason=reason)

    applied, progress = _run(home, work)
    state = word(pb.ApplicationState.DESCRIPTOR, progress.state)
    if as_json:
        done = {"state": state, "approvals": progress.approvals, "approvals_needed": progress.approvals_needed}
        output.emit_json({**_as_object(applied), **done})
    else:
        click.echo(f"\n{state}: {progress.approvals} of {progress.approvals_needed} registrars have approved it")


def _ask(question: str) -> None:
    """Ask a person; refuses with BAD_INPUT if the answer is no, or nobody can be asked."""
    if not sys.stdin.isatty():
        raise Refusal(ErrorCode.BAD_INPUT, "nobody can be asked: say --yes", "yes")
    if not click.confirm(printable(question), err=True):
        raise Refusal(ErrorCode.BAD_INPUT, "it was not confirmed; nothing was done", "yes")


def _as_object(applied: Applied) -> dict[str, object]:
    application = applied.application
    return {
        "id": applied.application_id.hex(),
        "address": application.address,
        "roles": [*application.roles],
        "legal_name": application.legal_name,
        "lei": application.lei,
        "key_ids": applied.key_ids,
        "state": word(pb.ApplicationState.DESCRIPTOR, applied.state),
        "approvals_needed": applied.approvals_needed,
        "received": applied.received.isoformat(),
        "decisions": [
            {"registrar": each.registrar, "approved": each.approved, "reason": each.reason, "at": each.at.isoformat()}
            for each in applied.verdicts
        ],
    }


def _show(applied: Applied) -> None:
    application = applied.application
    rows = [
        ("application", applied.application_id.hex()),
        ("address", application.address),
        ("roles", ", ".join(application.roles)),
        ("legal name", application.legal_name),
        ("LEI", application.lei),
        *((f"{name} key", key_id) for name, key_id in applied.key_ids.items()),
        ("received", f"{applied.received:%Y-%m-%d %H:%M:%S %Z}"),
        ("state", word(pb.ApplicationState.DESCRIPTOR, applied.state)),
        *(
            (each.registrar, f"{'approved' if each.approved else 'rejected'} {each.at:%Y-%m-%d %H:%M} {each.reason}")
            for each in applied.verdicts
        ),
    ]
    output.emit_table(("what", "value"), [row for row in rows if row[1]])


def _key_id(directory: Directory, address: Address, beginning: str) -> bytes:
    if address.is_node:
        listed = [*directory.node(address.node).signing_keys]
    else:
        entry = directory.participant(address)
        listed = [*entry.signing_keys, *entry.sealing_keys] if entry is not None else []
    found = {signature.key_id(key.public) for key in listed if signature.key_id(key.public).hex().startswith(beginning)}
    if len(beginning) < 8 or len(found) != 1:  # noqa: PLR2004  as long as the help says
        detail = f"{len(found) or 'no'} keys of {address} have an id that begins so; 8 digits or more are wanted"
        raise Refusal(ErrorCode.NOT_FOUND, detail, "key")
    return found.pop()


def _fingerprint(given: str) -> bytes:
    digits = given.rpartition("=")[2].replace(":", "").lower()  # as OpenSSL prints it, too
    if _FINGERPRINT.fullmatch(digits):
        return bytes.fromhex(digits)
    content = _text(Path(given), "certificate").encode()
    try:
        leaf = x509.load_pem_x509_certificate(content[:MAX_LEAF_PEM_BYTES])
    except UNREADABLE_CERTIFICATE as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{given} holds no certificate", "certificate") from error
    return certificate_fingerprint(leaf)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refusal(
            ErrorCode.BAD_INPUT, "a time with its zone is wanted, e.g. 2026-11-21T10:00:00Z", "not_trusted_after"
        )
    return moment


def _text(path: Path, field: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", field) from error
    except UnicodeDecodeError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"{path} is no UTF-8 text", field) from error


command.add_command(self_test.registrar_command)
