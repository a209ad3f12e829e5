"""`rogatory audit`: whether a node's log is still the one that it was, and what is new in it.

In: a log, whom to believe, a file that remembers the last look. Out: what has changed since. Exit code 0 if all holds;
2 if the log was caught (LOG_VIOLATED, with the rule), is not the one that is meant, or what was given cannot be used;
1 if it cannot be had now, or too few witnesses have cosigned yet, if that is required.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Final

import click

from clients.auditing import memory, places
from clients.auditing.audit import Auditor, Stopped
from clients.auditing.memory import Store
from clients.auditing.places import MAX_STATE_BYTES, Place
from clients.auditing.report import MAX_ENTRIES, Claim, Report, Wish, claim
from clients.auditing.signed import Trust
from gateway import config as configuration
from gateway.cli import output, passphrases
from gateway.cli.ranges import Span
from gateway.clock import system_clock
from gateway.config import DirectorySource, ParticipantConfig
from gateway.directory import FOREVER
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import NODE, trust_domain
from gateway.note import Algorithm, Verifier
from gateway.printable import printable
from gateway.trust import client

LEAST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 86_400.0
_HASH_CHARS: Final = 64


@click.command(
    epilog="\b\nExample:\n"
    "  rogatory audit https://log.example.eu/ee --state ee.audit --key ee.rogatory.eu/log+33d7b496+AeHTu4Q3hEIM...\n"
    "  rogatory audit /srv/ee-log --state ee.audit --node ee --root root.json --directory https://dir.example.eu"
)
@click.argument("log")
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), help="Remembers the last look. Keep it safe.")
@click.option("--key", "keys", multiple=True, help="A verifier key of the log; also one of the past.")
@click.option("--node", help="Code of the node whose log it is, to find its keys.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="A participant's settings: directory.")
@click.option("--root", type=click.Path(path_type=Path, dir_okay=False), help="The federation's root metadata.")
@click.option("--directory", help="Where the signed directory is: a folder or https:// address; with --root.")
@click.option("--witness", "witnesses", multiple=True, help="A verifier key of somebody else who cosigns.")
@click.option("--require-cosigned", is_flag=True, help="Exit code 1 if fewer have cosigned than the federation wants.")
@click.option("--against", multiple=True, help="What others have: a log's address or folder, a checkpoint, a state.")
@click.option("--follow", type=Span(LEAST_SECONDS, MOST_SECONDS), help="Look again every so many seconds.")
@click.option("--accept-restoration", is_flag=True, help="The operator has said why it was put back from a backup.")
@click.option("--whole", is_flag=True, help="Read every entry again, not the new ones alone.")
@click.option("--contains", multiple=True, help="A leaf hash (hexadecimal) to look for among all entries.")
@click.option("--most", type=click.IntRange(1), default=MAX_ENTRIES, show_default=True, help="Entries in a look.")
@output.json_option
def command(
    log: str,
    state: Path | None,
    keys: tuple[str, ...],
    node: str | None,
    config: Path | None,
    root: Path | None,
    directory: str | None,
    witnesses: tuple[str, ...],
    require_cosigned: bool,
    against: tuple[str, ...],
    follow: float | None,
    accept_restoration: bool,
    whole: bool,
    contains: tuple[str, ...],
    most: int,
    as_json: bool,
) -> None:
    """Check the log LOG from public keys alone: an https:// or http:// address, a folder, or a node's code.

    Exit code 0 if all holds, 2 if the log was caught or something else is refused, 1 if it cannot be had now.
    """
    believed = tuple(map(_cosigner, witnesses))
    if NODE.fullmatch(log) and not keys and node is None:
        node = log
    if keys:
        if node or config or root or directory or require_cosigned:
            # Of a key alone nobody knows how many the founders want.
            raise _unfit("either --key, or --node and where its keys and witnesses are listed")
        trust = partial(_given, Trust.of(tuple(map(Verifier.parse, keys)), believed))
    else:
        trust = partial(_listed, _source(config, root, directory, state), node, believed, set[str]())
    if follow is not None and state is None:
        raise _unfit("--state, for --follow to remember what it has seen")
    looked_for = tuple(map(_hash, contains))
    wish = partial(Wish, whole=whole, contains=looked_for, most=most)
    with closing(_place(log, node, config)) as place, _rivals(against) as claims, output.bar() as told:
        stop = threading.Event()
        auditor = Auditor(place, Store(state), trust, system_clock, stop.is_set, told)

        def once(accept: bool) -> Report:
            return auditor.look(wish(claims=claims(), accept_restoration=accept))

        if follow is None:
            report = once(accept_restoration)
            left = _left(auditor.store, report, require_cosigned)
            _tell(report, left, as_json, state)
            _end(left, as_json)
            return
        with _until_told(stop):
            left_of = partial(_left, auditor.store, require=require_cosigned)
            _follow(once, left_of, stop, follow, accept_restoration, as_json)


def _place(log: str, node: str | None, config: Path | None) -> Place:
    """Return where a log is read; with a participant's settings, a node is asked for its own."""
    if log != node or config is None:
        return places.of(log)
    # Imported here: who reads files needs no gRPC.
    from clients.auditing.node import NodePlace  # noqa: PLC0415
    from gateway import material  # noqa: PLC0415

    me = material.load_participant(config, ask=cache(passphrases.ask))
    return NodePlace(me.directory.node(node), me.directory.federation, me.identity)


def _follow(
    once: Callable[[bool], Report],
    left_of: Callable[[Report], GatewayError | None],
    stop: threading.Event,
    seconds: float,
    accept: bool,
    as_json: bool,
) -> None:
    """Look again and again, a line for each change, until somebody says stop or the log is caught."""
    said = ""
    while not stop.is_set():
        try:
            report = once(accept)
        except Stopped:
            return
        except Failure as error:
            # Told once, not with every try.
            if str(error) != said:
                said = str(error)
                _tell_error(error, as_json)
        except Refusal as error:
            if not as_json:
                raise
            _tell_error(error, as_json)
            raise click.exceptions.Exit(output.exit_code(error)) from error
        else:
            accept = False  # one restoration was meant, not the next
            left = left_of(report)
            if report.changed or str(left or "") != said:
                _tell_line(report, left, as_json)
            said = str(left or "")
            if not isinstance(left, Failure):  # what may pass does not end it
                _end(left, as_json)
        stop.wait(seconds)


@contextmanager
def _until_told(stop: threading.Event) -> Iterator[None]:
    """Have SIGINT and SIGTERM end the following, in the middle of a look too, of which nothing is then remembered."""

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _rivals(names: Sequence[str]) -> Iterator[Callable[[], list[Claim]]]:
    """Yield what asks others for what they have."""
    opened = list[Place]()

    def reader(name: str) -> Callable[[], Iterable[bytes]]:
        if "://" in name or Path(name).is_dir():
            place = places.of(name)
            opened.append(place)
            return lambda: [place.checkpoint()]
        return lambda: memory.notes(_read(Path(name)))

    readers = [(name, reader(name)) for name in names]
    for name, read in readers:
        if not name.startswith(("http://", "https://")) and not Path(name).is_dir():
            read()  # a file that is not there is a mistake, not news
    try:
        yield lambda: [claim(name, read) for name, read in readers]
    finally:
        for place in opened:
            place.close()


def _read(path: Path) -> bytes:
    try:
        return places.read_file(path, MAX_STATE_BYTES)
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {path}: {error.strerror}", "against") from error


def _source(config: Path | None, root: Path | None, directory: str | None, state: Path | None) -> DirectorySource:
    if config is not None and root is None and directory is None:
        return configuration.load(ParticipantConfig, config).directory
    if config is not None or root is None or directory is None or state is None:
        raise _unfit("--key; or --node, with --config, or with --root, --directory and --state")
    # What may never be rolled back lies beside what else is remembered.
    cache = state.with_name(f"{state.name}.directory")
    return DirectorySource(root=root, repository=directory, cache=cache)


def _given(trust: Trust, _now: datetime) -> Trust:
    return trust


def _listed(
    source: DirectorySource, node: str | None, witnesses: tuple[Verifier, ...], warned: set[str], now: datetime
) -> Trust:
    """Return whose keys the directory, or its last good copy, has count; what is wrong with it is told once."""
    if node is None:
        raise _unfit("--node says whose keys are meant")
    trusted = client.load_for_verification(source, now)
    # Who judges by an old copy does not know what was revoked since.
    for warning in trusted.warnings(now):
        if warning not in warned:
            warned.add(warning)
            click.echo(f"warning {printable(warning)}", err=True)
    found = trusted.directory
    first, keys = f"{trust_domain(node, found.federation)}/log", found.node(node).signing_keys
    return Trust(first, keys, witnesses, found, node)


def _cosigner(spelled: str) -> Verifier:
    found = Verifier.parse(spelled)
    if found.algorithm is not Algorithm.COSIGNATURE:
        raise Refusal(ErrorCode.BAD_INPUT, "a key that cosigns is of algorithm 4", "witness")
    return found


def _hash(text: str) -> bytes:
    # `bytes.fromhex` passes blanks over: what a blank stands for a digit in would be looked for as a shorter hash.
    try:
        found = bytes.fromhex(text) if len(text) == _HASH_CHARS else b""
    except ValueError:
        found = b""
    if 2 * len(found) != _HASH_CHARS:
        raise Refusal(ErrorCode.BAD_INPUT, f"a leaf hash has {_HASH_CHARS} hexadecimal digits", "contains")
    return found


def _unfit(wanted: str) -> Refusal:
    return Refusal(ErrorCode.BAD_INPUT, f"wanted: {wanted}", "key")


def _left(store: Store, report: Report, require: bool) -> GatewayError | None:
    """Return what is wrong though all that was looked at holds.

    The log was caught before, or an entry is not there; or, if that is required, too few witnesses have cosigned.
    """
    kept = store.kept()
    if kept:
        rule = kept[0].name.partition("-")[0]
        detail = (
            f"the log was caught before: {len(kept)} in {store.evidence}, to be moved away by who has dealt with it"
        )
        return Refusal(ErrorCode.LOG_VIOLATED, detail, "state", rule=rule)
    missing = [hash_.hex() for hash_, index in report.found if index is None]
    if missing:
        return Refusal(ErrorCode.NOT_FOUND, f"{len(missing)} entries are not in the log: {missing[0]}", "contains")
    counted = report.seen.counted
    if require and counted is not None and not counted.is_enough:
        detail = f"too few witnesses yet: {counted}"
        return Failure(ErrorCode.UNAVAILABLE, detail, "cosigned", retry_after=places.RETRY_SECONDS)
    return None


def _end(left: GatewayError | None, as_json: bool) -> None:
    if left is not None:
        if as_json:  # it stands in the one object that was printed
            raise click.exceptions.Exit(output.exit_code(left))
        raise left


def _tell(report: Report, left: GatewayError | None, as_json: bool, state: Path | None) -> None:
    if as_json:
        output.emit_json(_as_object(report, left))
        return
    for line in _lines(report):
        click.echo(printable(line))
    if state is None:
        click.echo("nothing is remembered of this look: give --state to have the next one held against it")


def _tell_line(report: Report, left: GatewayError | None, as_json: bool) -> None:
    if as_json:
        click.echo(output.json_text(_as_object(report, left)))
    else:
        click.echo(printable(f"{report.looked_at:%Y-%m-%d %H:%M:%S} {'; '.join(_lines(report))}"))


def _tell_error(error: GatewayError, as_json: bool) -> None:
    if as_json:
        click.echo(output.json_text({"error": output.error_object(error)}))
    else:
        output.emit_error(error)


def _lines(report: Report) -> Iterator[str]:
    seen, before = report.seen, report.before
    if report.restoration is not None and before is not None:
        yield (
            f"RESTORED from a backup: {before.origin} with {before.size} entries goes on as {seen.origin};"
            f" {report.restoration.common} entries or more are in both, what came after may be gone"
        )
    if before is None:
        yield f"first look: {seen}; all entries were read"
    elif not report.changed:
        yield f"nothing new since {_time(report.changed_at)}: {seen}"
    else:
        yield f"{report.new} new entries since {_time(report.last_look or report.looked_at)}: {seen}"
    policy = seen.counted if seen.counted is not None and seen.counted.wanted else None
    if seen.cosigned or policy is not None:
        named = [f"{each.by.name} ({_time(_second(each.at))})" for each in seen.cosigned]
        count = "" if policy is None else f": {len(policy.by)} of {policy.wanted} wanted"
        yield f"cosigned by {', '.join(named) or 'nobody'}{count}"
    for other in report.others:
        yield f"{other.name}: {other.relation.value}, {other.detail}"
    for hash_, index in report.found:
        yield f"{hash_.hex()}: {'not in the log' if index is None else f'entry {index}'}"


def _second(at: int) -> datetime:
    """Return the moment that a witness names, which may be after all that a calendar has."""
    return datetime.fromtimestamp(min(at, int(FOREVER.timestamp())), UTC)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _as_object(report: Report, left: GatewayError | None) -> dict[str, object]:
    seen, before, restored = report.seen, report.before, report.restoration
    return {
        **({} if left is None else {"error": output.error_object(left)}),
        "origin": str(seen.origin),
        "size": seen.size,
        "root": seen.root.hex(),
        "changed": report.changed,
        "new": report.new,
        "before": None if before is None else {"origin": str(before.origin), "size": before.size},
        "last_look": report.last_look and report.last_look.isoformat(),
        "looked_at": report.looked_at.isoformat(),
        "stands_since": report.changed_at.isoformat(),
        "cosigned": [{"name": each.by.name, "at": each.at} for each in seen.cosigned],
        "counted": None if seen.counted is None else [*seen.counted.by],
        "wanted": None if seen.counted is None else seen.counted.wanted,
        "against": [{"name": e.name, "relation": e.relation.value, "detail": e.detail} for e in report.others],
        "restored": None if restored is None else {"common": restored.common},
        "contains": [{"leaf_hash": hash_.hex(), "index": index} for hash_, index in report.found],
    }
