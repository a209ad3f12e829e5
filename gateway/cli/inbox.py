"""`rogatory inbox`: what has come for a participant.

In: a participant's settings. Out: by header alone, the envelopes that nobody has dealt with; the receipts that came
just now; what was rejected, and why. What is collected is on the participant's disk, proven and acknowledged, before
it is shown. Content is printed for `--open` only, and to nobody but the one to whom it was sealed. With `--fetch`, the
files that an envelope names: each appears whole and proven, under a name made here, and replaces nothing.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import orders_pb2 as orders

from clients.intake import Faulty, Item, Received, Told
from clients.maildir import Folder
from gateway import envelope, manifest
from gateway.cli import document, home, output
from gateway.cli.home import Home
from gateway.cli.ranges import Span
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents

MAX_WAIT_SECONDS: Final = 24 * 3600.0
MAX_NAME_BYTES: Final = 200
"""Of the 255 that file systems take."""
MAX_SUFFIX_BYTES: Final = 16


@dataclass(slots=True)
class Inbox:
    """What is shown: facts, no content.

    Args:
        unhandled: headers of the envelopes on the disk that nobody has dealt with, oldest arrival first.
        receipts: statements that came just now.
        rejected: what came just now and was turned down; if nothing was collected, all that ever was.
    """

    unhandled: list[pb.Header] = field(default_factory=list)
    receipts: list[pb.Statement] = field(default_factory=list)
    rejected: list[dict[str, object]] = field(default_factory=list)


@click.command(epilog="\b\nExample:\n  rogatory inbox --config fed/de/court/participant.toml --wait 60")
@home.config_option
@click.option("--no-collect", is_flag=True, help="Only look at what is on the disk.")
@click.option(
    "--wait",
    "wait",
    metavar="SECONDS",
    type=Span(0, MAX_WAIT_SECONDS),
    default=0.0,
    help="If nothing is there, wait so long for something to come.",
)
@click.option("--open", "to_open", metavar="ID", help="Show the collected document ID, content and all.")
@click.option("--done", "to_do", metavar="ID", help="Note that the envelope ID has been dealt with.")
@click.option("--fetch", "to_fetch", metavar="ID", help="Fetch the files that go with the collected envelope ID.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="With --fetch: the folder to put them into; by default the current one.",
)
@home.within_option
@output.json_option
def command(
    path: Path,
    no_collect: bool,
    wait: float,
    to_open: str | None,
    to_do: str | None,
    to_fetch: str | None,
    folder: Path,
    within: float,
    as_json: bool,
) -> None:
    """Collect what has come for a participant, and list what is to be dealt with."""
    wishes = (no_collect or wait > 0, *(each is not None for each in (to_open, to_do, to_fetch)))
    if sum(wishes) > 1 or (no_collect and wait):
        raise click.UsageError("only one of --no-collect, --wait, --open, --done and --fetch at a time")
    at = Home(path)
    if to_open is not None:
        _show_document(at.collected(to_open), as_json)
    elif to_fetch is not None:
        _show_fetched(asyncio.run(_fetch(at, at.collected(to_fetch), folder, within)), as_json)
    elif to_do is not None:
        ref, fingerprint = at.waiting(to_do)
        at.participant.maildir.done(ref, fingerprint)
        output.emit_json({"done": ref.id}) if as_json else click.echo(f"{ref.id} has been dealt with")
    else:
        found = _on_disk(at) if no_collect else _sort(asyncio.run(collect(at, wait, within)))
        found.unhandled = [envelope.parse_header(kept.envelope) for kept in at.participant.maildir.take()]
        output.emit_json(_as_object(found)) if as_json else _show(found)


async def collect(at: Home, wait: float, within: float) -> list[Item]:
    """Take what is there; if that is nothing, stay on the line until something comes.

    Args:
        at: whose.
        wait: seconds to stay on the line.
        within: seconds to try for, while the node does not answer.

    Raises:
        GatewayError: as `Participant.collect_available`.
    """
    async with at.participant as participant:
        found = await participant.collect_available(within=within)
        if found or not wait:
            return found
        # `stop` ends the collection once what was taken in is settled; leaving the loop would not wait for that.
        asyncio.get_running_loop().call_later(wait, participant.stop)
        async with aclosing(participant.collect()) as items:
            async for item in items:
                found.append(item)
                participant.stop()
        return found


async def _fetch(at: Home, received: Received, folder: Path, within: float) -> list[dict[str, object]]:
    document = received.document
    if isinstance(document, orders.Draft):
        _, document = documents.carried(document)
    named = [each for each in manifest.attachments_of(document) if each.HasField("sealed")]
    if not named:
        raise Refusal(ErrorCode.NOT_FOUND, "no files travel with this envelope", "fetch")
    fetched: list[dict[str, object]] = []
    refused: Refusal | None = None
    async with at.participant as participant:
        with output.progress() as participant.files.watch:
            for number, attachment in enumerate(named, 1):
                target = folder / file_name(number, attachment.title)
                try:
                    await participant.fetch(attachment, target, within)
                except Refusal as error:
                    # Whatever a sender has made of one file keeps none of the others from its reader.
                    refused = refused or Refusal(error.code, f"{target.name}: {error.detail}", error.field)
                else:
                    fetched.append({"file": str(target), "title": attachment.title, "size": attachment.size})
    if refused is not None:
        raise refused
    return fetched


def file_name(number: int, title: str) -> str:
    """Return a name for the file of that title: one name, no path, nothing hidden, whatever a sender wrote."""
    kept = "".join(each if each.isalnum() or each in "-_." else "_" for each in title)
    stem, dot, suffix = kept.rpartition(".")
    ending = f"{dot}{suffix}" if stem and len(suffix.encode()) <= MAX_SUFFIX_BYTES else ""
    room = MAX_NAME_BYTES - len(ending.encode())
    body = kept.removesuffix(ending).encode()[:room].decode(errors="ignore")
    return f"{number:02d}-{body}{ending}"


def _show_fetched(fetched: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        output.emit_json({"fetched": fetched})
    else:
        output.emit_table(("file", "title", "bytes"), [tuple(each.values()) for each in fetched])


def _sort(items: list[Item]) -> Inbox:
    found = Inbox()
    for item in items:
        match item:
            case Told():
                found.receipts.append(item.statement)
            case Faulty():
                found.rejected.append(_rejected(item))
            case Received():
                pass  # it is on the disk, and is read from there
    return found


def _rejected(item: Faulty) -> dict[str, object]:
    what, sender, name = "acknowledgement", "", ""
    if isinstance(item.content, pb.Receipt):
        what = "receipt"
    elif item.content is not None:
        what = "envelope"
        try:
            header = envelope.parse_header(item.content)
            what, sender, name = home.kind_of(header), header.sender, header.id
        except Refusal:
            pass  # without a readable header it has no name
    error = item.error
    return {"kind": what, "sender": sender, "id": name, **output.error_object(error)}


def _on_disk(at: Home) -> Inbox:
    """Read what was rejected and our own signed word on it."""
    maildir, me = at.participant.maildir, at.participant.address
    found = Inbox()
    for ref, fingerprint in maildir.names(Folder.REJECTED):
        header = envelope.parse_header(maildir.any_collected(ref, fingerprint))
        said = (pb.Statement.FromString(receipt.statement) for receipt in maildir.receipts(ref))
        words = [each for each in said if (each.issuer, each.fingerprint) == (me, fingerprint)]
        why = home.statement_facts(words[0]) if words else {"code": "", "detail": ""}
        found.rejected.append(
            {
                "kind": home.kind_of(header),
                "sender": ref.sender,
                "id": ref.id,
                "code": why["code"],
                "detail": why["detail"],
                "field": words[0].field if words else "",
            }
        )
    return found


def _as_object(found: Inbox) -> dict[str, object]:
    return {
        "unhandled": [home.facts(header) for header in found.unhandled],
        "receipts": [home.statement_facts(said) for said in found.receipts],
        "rejected": found.rejected,
    }


def _show(found: Inbox) -> None:
    if not (found.unhandled or found.receipts or found.rejected):
        click.echo("nothing")
    if found.unhandled:
        rows = [
            (
                home.kind_of(header),
                header.sender,
                header.case_id,
                header.id,
                home.time_of(header.created_at_us),
                " ".join(ref.id for ref in header.cites),
            )
            for header in found.unhandled
        ]
        output.emit_table(("unhandled", "from", "case", "id", "made at", "cites"), rows)
    if found.receipts:
        told = [home.statement_facts(said) for said in found.receipts]
        names = ("milestone", "envelope", "issuer", "code", "at")
        output.emit_table(
            ("receipt", "of", "signed by", "code", "at"), [[each[name] for name in names] for each in told]
        )
    if found.rejected:
        names = ("kind", "sender", "id", "code", "detail")
        output.emit_table(
            ("rejected", "from", "id", "code", "why"), [[each[name] for name in names] for each in found.rejected]
        )


def _show_document(received: Received, as_json: bool) -> None:
    signers = [signed.signer for signed in received.envelope.signatures]
    shown = home.facts(received.header) | {"signers": signers, "document": document.as_object(received.document)}
    if isinstance(received.document, orders.Draft):
        # What is asked to be countersigned is the request within, which `find` has compared with its header.
        request, asked = documents.carried(received.document)
        shown["carries"] = home.facts(request) | {"document": document.as_object(asked)}
    if as_json:
        output.emit_json(shown)
        return
    inner = shown.pop("carries", None)
    if inner is not None:
        shown["document"] = inner
    output.emit_json(shown)
