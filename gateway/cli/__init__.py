"""The command line: `rogatory …`, one module a command group.

In: arguments. Out: tables for people, JSON for machines, an exit code. A refusal ends with 2, a failure with 1, each
with one line on standard error, or with `--json` one object on standard output. Each module of this package that
`COMMANDS` names holds a click command called `command`; it is imported when it is used and not before, so that
`rogatory --help` waits neither for gRPC nor for SQL.
"""

import errno
import importlib
import os
import sys
from collections.abc import Mapping
from typing import ClassVar, Final, NoReturn

import click

from gateway import dumps
from gateway.cli import garbage, output
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal, WrongSecret

COMMANDS: Final = {
    "demo": "Run two nodes and a case between them.",
    "demo-trust": "Run a federation: who comes, with which keys, and how they go.",
    "check": "Judge wallets, transactions, persons or an order before they are sent.",
    "federation": "Found a federation and sign its directory, or make one for development.",
    "enrol": "Become a participant: keys, application, certificate.",
    "registrar": "Invite, approve, reject and revoke participants.",
    "keys": "Encrypt key files, change their passphrase, rotate keys, show what they are.",
    "serve": "Run a gateway process of a node.",
    "serve-log": "Serve a node's log over HTTP, for everybody to follow.",
    "send": "Send an envelope as a participant.",
    "inbox": "Collect what has come for a participant.",
    "case": "Show where a case stands and what may be done next; hand it out as one file.",
    "verify": "Check a case file, offline, with the root keys alone.",
    "audit": "Follow a node's log, and catch what was changed in it.",
    "self-test": "Show that an exchange can answer an order, and do nothing else.",
    "show": "Show a document as a readable page.",
    "tables": "Write transactions as tables, Parquet or CSV.",
    "overview": "Show how a node does: what to worry about, what waits, what ends.",
    "trace": "Show the way of an envelope, stage by stage, or what is overdue.",
    "operate": "Resend, hold, release, expire, drain, test a connection; each with a reason.",
    "console": "See in a browser how a node does, and act on it.",
    "witness": "Cosign logs without being a node; show what logs have to answer for.",
    "happenings": "Show an ombudsperson that something happened, and when.",
    "procedure": "Show who may send what to whom, resting on what.",
    "report": "Publish what a node's records add up to, so that no case can be told from it.",
    "health": "Ask a process of a node whether it takes calls.",
    "check-config": "Check configuration files as a start would.",
    "backup": "Copy a node's store while it serves.",
    "restore": "Put a node's store back from a backup.",
    "move": "Move a node's store from a file to a database, or back.",
    "compact": "Rewrite a store so that what was purged gives its space back.",
    "fsck": "Check every promise of a node against its store.",
    "bench": "Measure speed, latency and cost, as ratios; or soak two nodes.",
}
"""Commands in the order of the help, each with its line there."""


_HALVES: Final = "surrogates not allowed"
SERVICES: Final = frozenset({"serve", "console", "witness"})
"""Commands that open keys and are started again when they end: deploy/systemd."""


class LazyGroup(click.Group):
    """Commands, each imported when it is used; the one place that turns a `GatewayError` into an exit code."""

    package: ClassVar[str] = __name__
    """Whose modules the commands are."""
    lines: ClassVar[Mapping[str, str]] = COMMANDS
    """The commands in the order of the help, each with its line there."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names, in the order of the help."""
        return [*self.lines]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import the command, or return None if there is no such one."""
        if cmd_name not in self.lines:
            return None
        name = f"{self.package}.{cmd_name.replace('-', '_')}"
        try:
            with garbage.put_off():
                command = importlib.import_module(name).command
        except ModuleNotFoundError as error:
            # What a module of ours imports and lacks is a broken installation, not an unknown command.
            if error.name != name:
                raise
            return None
        if not isinstance(command, click.Command):
            raise TypeError(f"{name}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([*self.lines.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, of which the first names the command."""
        output.expect_json(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except GatewayError as error:
            _fail(ctx, error)
        except click.Abort:
            _fail(ctx, Refusal(ErrorCode.BAD_INPUT, "a question was not answered, or with no; that ended it"))
        except UnicodeEncodeError as error:
            # The system hands on as halves of characters what was no UTF-8, as in a terminal of another encoding.
            if error.reason != _HALVES:
                raise
            _fail(ctx, Refusal(ErrorCode.BAD_INPUT, "an argument is no UTF-8 text"))
        except click.UsageError as error:
            if not output.wants_json(ctx):
                raise
            _fail(ctx, Refusal(ErrorCode.BAD_INPUT, error.format_message(), _field(error)))


def _field(error: click.UsageError) -> str:
    match error:
        case click.BadParameter(param=click.Option() as option):
            return option.opts[0].lstrip("-")
        case click.BadParameter(param=click.Argument() as argument):
            return argument.human_readable_name
        case click.NoSuchOption() | click.BadOptionUsage():
            return error.option_name.lstrip("-")
        case _:
            return ""


def _fail(ctx: click.Context, error: GatewayError) -> NoReturn:
    if output.wants_json(ctx):
        output.emit_json({"error": output.error_object(error)})
    else:
        output.emit_error(error)
    if isinstance(error, WrongSecret) and ctx.invoked_subcommand in SERVICES:
        ctx.exit(output.WRONG_SECRET)
    ctx.exit(output.exit_code(error))


@click.group(
    cls=LazyGroup,
    epilog="\b\nExample:\n  rogatory demo\n  rogatory federation init fed --nodes ee,de",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def commands() -> None:
    """Carry sealed, signed requests on crypto-assets between national authorities."""


def _open_streams() -> None:
    """Open what whoever started us has closed of the three standard streams, on nothing.

    Else the next file that is opened, of keys or of records, is the one that C libraries write their messages into.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def main() -> None:
    """Run `rogatory`."""
    _open_streams()
    # Nearly every command loads a private key; `federation` makes all of them.
    dumps.forbid()
    try:
        commands(prog_name="rogatory")
    except OSError as error:
        # What is printed, help too, may go into a file on a full disk; click knows of a closed pipe alone.
        if error.errno != errno.ENOSPC:
            raise
        output.emit_error(Failure(ErrorCode.STORE, f"cannot write: {error.strerror}"))
        sys.exit(output.FAILED)
