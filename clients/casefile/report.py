"""A case file for people: one page, from the cover to the annexes.

In: a `CaseFile`. Out: a `Page`, for the screen (`gateway.formats.page.html`) and for paper (`.pdf`). All of it is made
of signed envelopes and statements; what is the exporter's own word (when something came, what it withholds and why) is
said to be. No I/O.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as clocks
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from clients.casefile import contents, custody
from clients.casefile.contents import Envelope, State
from clients.casefile.reading import CaseFile, within
from clients.cases import Matter, key_of
from gateway import manifest
from gateway.errors import ErrorCode
from gateway.formats import page
from gateway.formats.flow import svg
from gateway.formats.flow.graph import End, Sort, flow_of
from gateway.formats.page import Block, Figure, Line, Page, Row, Rows, Section, Table, words
from gateway.identity import Address

MAX_TRANSFERS: Final = 3000
"""Lines of a table; the files in records/ have all."""

_FRAMES: Final = (
    "Time runs from left to right; a line to the left is money that went back. A thick frame is an address that the"
    " documents name; a dashed one goes on in another picture; a round one is no single address. The wider a line, the"
    " larger the sum among those of its asset here: each step is ten times the one before."
    " 3\N{MULTIPLICATION SIGN} is: in three transactions. Patterns: "
)


def page_of(case: CaseFile) -> Page:
    """Return the report."""
    said = case.manifest
    title = f"Case file {', '.join(said.case_ids)}"
    source = f"Handed out by {said.exporter} at {words.moment(said.exported_us)}"
    return Page(title, source, tuple(_sections(case)))


def _sections(case: CaseFile) -> Iterator[Section]:
    yield Section("", "Cover sheet", (_cover(case), _contents(case), _absent(case)))
    yield Section("", "Parties", (_parties(case),))
    yield Section("", "Where the matters stand", (_matters(case),))
    yield Section("", "Timeline", (_timeline(case),))
    yield Section("", "Requests, orders and answers", (_acts(case),))
    if results := _results(case):
        yield Section("", "Amounts", (results,))
    if drawn := _flow(case):
        yield Section("", "Flow of funds", drawn)
    if files := _files(case):
        yield Section("", "Files that travelled with them", (files,))
    yield Section("", "Receipts", (_receipts(case),))
    yield Section("", "Custody", (_custody(case),))
    if missing := tuple(_missing(case)):
        yield Section("", "What is not in this file", missing)
    for number, (each, document) in enumerate(case.documents(), start=1):
        made = page.of(document)
        name = f"Annex {number}: {made.title}, {each.ref.id} of {each.ref.sender}"
        yield from (Section(one.letter, one.heading, one.blocks, name) for one in made.sections)


def _cover(case: CaseFile) -> Rows:
    said = case.manifest
    return Rows(
        "",
        (
            Row("Case", ", ".join(said.case_ids)),
            Row("Federation", said.federation),
            Row("Handed out by", _named(case, said.exporter), "it signed this file"),
            Row("Person", said.by or page.NOT_STATED),
            Row("When", words.moment(said.exported_us), "by the clock of who handed it out"),
            Row("Purpose", said.purpose or page.NOT_STATED),
            Row("By which right", said.authority or page.NOT_STATED),
            Row("Made with", said.software),
            Row(
                "How to check it",
                "rogatory verify FILE --root ROOT",
                "without network; ROOT is the root metadata of the federation, which you have from elsewhere",
            ),
            *(() if said.absence("timestamp") else (_TIMESTAMP,)),
        ),
    )


_TIMESTAMP: Final = Row(
    "Timestamp",
    "by a timestamp authority, RFC 3161",
    "add --tsa-root PEM; PEM is the certificate of that authority's root, which you have from elsewhere",
)


def _contents(case: CaseFile) -> Table:
    counts = Counter(each.state for each in case.manifest.envelopes)
    meaning = {
        State.OPENED: "the text is here, and proven to be the one that was signed",
        State.SEALED: "who handed this out cannot open it; header and signatures are here",
        State.REDACTED: "the text was left out on purpose; header and signatures are here",
        State.WITHHELD: "left out on purpose; its name and digest are here",
    }
    lines = [Line((state.value, str(counts[state]), meaning[state])) for state in State if counts[state]]
    lines.append(Line(("receipts", str(len(case.statements)), "signed statements about them")))
    return Table("What is in this file", ("Envelopes", "Number", "Meaning"), tuple(lines))


def _absent(case: CaseFile) -> Rows:
    return Rows("Not in this file", tuple(Row(each.what, each.why, loud=True) for each in case.manifest.absent))


def _parties(case: CaseFile) -> Table:
    sent = Counter(header.sender for header in case.headers.values())
    got = Counter(to for header in case.headers.values() for to in header.recipients)
    said = Counter(each.issuer for each in case.statements)
    people = sorted({*sent, *got, *said, case.manifest.exporter})
    names = [_legal_name(case, who) for who in people]
    lines = [
        Line((who, *((name,) if any(names) else ()), _roles(case, who), str(sent[who]), str(got[who]), str(said[who])))
        for who, name in zip(people, names, strict=True)
    ]
    named = ("Name",) if any(names) else ()
    return Table("", ("Address", *named, "Role", "Sent", "Received", "Stated"), tuple(lines))


def _matters(case: CaseFile) -> Table:
    lines = [
        Line(
            (
                _kind(matter.header) if matter.header is not None else "not in this file",
                matter.ref.id,
                f"{matter.sender} to {matter.recipient}",
                "not known" if matter.state is None else matter.state.value,
                matter.turn or "nobody",
                _due(matter),
            )
        )
        for matter in case.case.matters
    ]
    note = f"As {case.manifest.exporter} saw them"
    return Table(note, ("Matter", "Envelope", "Between", "Stands at", "Who acts next", "Due"), tuple(lines))


def _due(matter: Matter) -> str:
    limit = matter.due
    if limit is None:
        return ""
    return f"{words.word(clocks.ClockRule.DESCRIPTOR, limit.rule)}\n{words.moment(limit.due_us)}"


def _timeline(case: CaseFile) -> Table:
    states = {
        key_of(event.what): event.state.value
        for matter in case.case.matters
        for event in matter.history
        if isinstance(event.what, pb.Header) and event.state is not None
    }
    happened: list[tuple[int, str, Line]] = []
    for header in case.headers.values():
        outcome = words.word(ids.Outcome.DESCRIPTOR, header.outcome)
        to = ", ".join(header.recipients)
        what = f"{_kind(header)}: {outcome}" if outcome else _kind(header)
        cells = (words.moment(header.created_at_us), what, header.sender, to, states.get(key_of(header), ""), header.id)
        happened.append((header.created_at_us, header.id, Line(cells)))
    for entry, said in case.told:
        about = case.headers.get(entry.envelope.key)
        name = "" if about is None else f" of {_kind(about)}"
        what = f"{words.word(pb.Milestone.DESCRIPTOR, said.milestone)}{name}"
        cells = (words.moment(said.at_us), what, said.issuer, said.recipient, "", said.envelope.id)
        happened.append((said.at_us, entry.sha256, Line(cells)))
    happened.sort(key=lambda each: each[:2])
    headings = ("When, as its signer says", "What", "By", "To or about", "Then stands at", "Envelope")
    return Table("", headings, tuple(line for _, _, line in happened))


def _acts(case: CaseFile) -> Table:
    lines = []
    for each in case.listed:
        header = case.headers.get(each.ref.key)
        if header is None:
            continue
        lines.append(
            Line(
                (
                    words.moment(header.created_at_us),
                    _kind(header),
                    f"{header.sender}\nto {', '.join(header.recipients)}",
                    "\n".join(_asked(header)),
                    "\n".join(_sums(header)),
                    "\n".join(signed.signer for signed in case.envelopes[each.ref.key].signatures),
                    each.state.value,
                )
            )
        )
    headings = ("Made", "Kind", "Between", "Outcome, measures, data", "Sums", "Signed by", "Text")
    return Table("As their signed headers say", headings, tuple(lines))


def _asked(header: pb.Header) -> Iterator[str]:
    if header.outcome:
        ground = f", on {words.word(ids.Ground.DESCRIPTOR, header.ground)}" if header.ground else ""
        yield f"{words.word(ids.Outcome.DESCRIPTOR, header.outcome)}{ground}"
    yield from (words.word(ids.Measure.DESCRIPTOR, each) for each in header.measures)
    yield from (words.word(ids.DataClass.DESCRIPTOR, each) for each in header.data_classes)
    if header.HasField("in_force_until_us"):
        yield f"in force until {words.moment(header.in_force_until_us)}"


def _sums(header: pb.Header) -> Iterator[str]:
    if header.HasField("amount"):
        yield words.money(header.amount)
    if header.HasField("order_total"):
        yield f"of {words.money(header.order_total)} in all"


def _results(case: CaseFile) -> Table | None:
    lines = []
    for each, document in case.documents():
        for result in within(document, orders.FreezeResult):
            amounts = ("\n".join(map(words.amount, found)) for found in (result.frozen, result.shortfall))
            at = words.moment(result.frozen_at_us) if result.HasField("frozen_at_us") else ""
            status = words.word(orders.FreezeStatus.DESCRIPTOR, result.status)
            lines.append(Line((result.wallet.address, status, *amounts, at, f"{each.ref.sender}\n{each.ref.id}")))
    headings = ("Wallet", "Result", "Frozen", "Short of what was asked", "Frozen at", "Reported by")
    return Table("As the reports say", headings, tuple(lines)) if lines else None


def _flow(case: CaseFile) -> tuple[Block, ...]:
    flow = flow_of(case.transactions())
    if not flow.transfers:
        return ()
    pictures, left = svg.pictures(flow, case.wallets())
    figures = [
        Figure(f"Flow of funds, picture {number} of {len(pictures)}", each.svg, _FRAMES + each.legend + ".")
        for number, each in enumerate(pictures, start=1)
    ]
    told = (
        Row("Transactions", str(flow.transactions), "each counted once, however many reports repeat it"),
        Row("Failed", str(flow.failed), "nothing but a fee moved, and no picture shows them"),
        Row("Ends in no picture", str(left), "those that deal with few others; the table has them"),
    )
    lines = tuple(
        Line(
            (
                _end(each.source),
                _end(each.target),
                svg.exactly(each.amount),
                str(each.count),
                "not told" if each.first_us is None else words.moment(each.first_us),
                "" if each.last_us in {None, each.first_us} else words.moment(each.last_us or 0),
            )
        )
        for each in flow.transfers[:MAX_TRANSFERS]
    )
    more = len(flow.transfers) - len(lines)
    title = f"All transfers, by pairs{f'; {more} more are in records/' if more else ''}"
    headings = ("From", "To", "Sum", "Transactions", "First", "Last")
    return (Rows("", told), *figures, Table(title, headings, lines))


def _end(end: End) -> str:
    match end.sort:
        case Sort.ADDRESS:
            return end.name
        case Sort.JOINT:
            return f"several together, in {end.name}"
        case Sort.NEW:
            return "new coins"
        case _:
            return "no address told"


def _files(case: CaseFile) -> Table | None:
    said: dict[bytes, parties.Attachment] = {}
    for _, document in case.documents():
        said |= {each.sealed.sha256: each for each in manifest.attachments_of(document) if each.HasField("sealed")}
    lines = []
    for each, ref in case.attachments():
        known = said.get(ref.sha256)
        title, own = ("not shown", "") if known is None else (known.title, known.sha256.hex())
        lines.append(Line((title, own, ref.sha256.hex(), f"{ref.size} bytes", f"{each.ref.sender}\n{each.ref.id}")))
    headings = ("Title", "SHA-256", "SHA-256 encrypted", "Size encrypted", "Envelope")
    return Table("Not in this file; their digests are", headings, tuple(lines)) if lines else None


def _receipts(case: CaseFile) -> Table:
    lines = []
    for entry, said in case.told:
        code = ErrorCode(said.code).name if said.code else ""
        detail = "\n".join(filter(None, (code, said.detail)))
        milestone = words.word(pb.Milestone.DESCRIPTOR, said.milestone)
        lines.append(
            Line((words.moment(said.at_us), milestone, said.issuer, said.recipient, detail, entry.envelope.id))
        )
    return Table("", ("When", "Statement", "By", "About", "Detail", "Envelope"), tuple(lines))


def _custody(case: CaseFile) -> Table:
    lines = tuple(
        Line(
            (
                f"{each.ref.sender}\n{each.ref.id}",
                custody.when(each) or "not told",
                custody.how(case, each),
                "\n".join(custody.done(each)),
                each.fingerprint,
            )
        )
        for each in case.listed
    )
    title = f"Collected by {case.manifest.exporter}, in its own words; more is in {contents.CUSTODY}"
    return Table(title, ("Envelope", "Collected", "How", "What was done with it", "Fingerprint"), lines)


def _missing(case: CaseFile) -> Iterator[Block]:
    held_back = [each for each in case.manifest.envelopes if each.state in {State.REDACTED, State.WITHHELD}]
    if held_back:
        yield Table("Left out on purpose", _LEFT_OUT, tuple(map(_line, held_back)))
    sealed = [each for each in case.manifest.envelopes if each.state is State.SEALED]
    if sealed:
        yield Table("Sealed to others", _LEFT_OUT, tuple(map(_line, sealed)))
    if case.manifest.cited:
        lines = tuple(Line((each.sender, each.id)) for each in case.manifest.cited)
        yield Table("Cited, and never held by who handed this out", ("Sender", "Envelope"), lines)
    if case.manifest.left_out:
        lines = tuple(Line((each,)) for each in case.manifest.left_out)
        yield Table("Came, and proved nothing", ("SHA-256",), lines)


_LEFT_OUT: Final = ("Sender", "Envelope", "Fingerprint", "How much", "Why")


def _line(each: Envelope) -> Line:
    return Line((each.ref.sender, each.ref.id, each.fingerprint, each.state.value, each.reason or page.NOT_STATED))


def _kind(header: pb.Header) -> str:
    return words.word(ids.Kind.DESCRIPTOR, header.kind)


def _named(case: CaseFile, who: str) -> str:
    name = _legal_name(case, who)
    return f"{who} ({name})" if name else who


def _legal_name(case: CaseFile, who: str) -> str:
    entry = case.directory.participant(Address.parse(who, allow_node=True))
    return "" if entry is None else entry.legal_name


def _roles(case: CaseFile, who: str) -> str:
    address = Address.parse(who, allow_node=True)
    if address.is_node:
        return "node"
    entry = case.directory.participant(address)
    return "not in the directory" if entry is None else ", ".join(sorted(role.value for role in entry.roles))
