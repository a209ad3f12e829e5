"""Makes a case file of what lies in a participant's memory.

In: a participant, a case id, the signed directory as files, what is to be left out, whom to ask about the log, and what
has the manifest timestamped. Out: the file. Refuses with NOT_FOUND a case or envelope of which nothing lies here;
BAD_INPUT, if what is to be left out stands in another text that is not left out, or no manifest can say what this one
shall. Whether the file holds, `checks` says: what somebody signed may not hold any more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError
from rogatory.v1 import orders_pb2 as orders

from clients.casefile import archive, contents, derived, logged
from clients.casefile.contents import (
    DIRECTORY,
    MANIFEST,
    NO_LOG,
    NO_TIMESTAMP,
    SIGNATURE,
    TIMESTAMP,
    Envelope,
    Manifest,
    Prove,
    Receipt,
    Ref,
    State,
)
from clients.casefile.found import Found, held, named, read
from clients.casefile.logged import AskNode
from clients.casefile.reading import CaseFile
from clients.casefile.timestamp import Stamp
from clients.cases import Key, key_of
from clients.participant import Participant
from gateway import envelope, signature
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.formats.page import pdf
from gateway.signature import Domain

FIRST_ROOT: Final = "metadata/1.root.json"
"""Nobody needs it: who verifies has this root or a later one, and reads those that follow."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a case is handed out.

    Args:
        withhold: ids of envelopes, or their beginnings, of which only name and digest are shown.
        redact: the same of those of which the text is not shown.
        by: the person who hands it out.
        purpose: what for.
        authority: by which order or law.
    """

    withhold: Sequence[str] = ()
    redact: Sequence[str] = ()
    by: str = ""
    purpose: str = ""
    authority: str = ""


def export(
    me: Participant,
    case_id: str,
    terms: Terms,
    files: Mapping[str, bytes],
    prove: Prove,
    ask_node: AskNode | None = None,
    stamp: Stamp | None = None,
) -> bytes:
    """Return the file of a case.

    Args:
        me: whose memory is read, and who signs.
        case_id: one of the ids of the case.
        terms: how it is handed out.
        files: the signed directory, as a repository serves it.
        prove: proves it.
        ask_node: asks our node about its log; None: the file holds nothing of it.
        stamp: has the manifest timestamped; None: there is no timestamp in the file, and the manifest says so.

    Raises:
        Refusal: NOT_FOUND, BAD_INPUT or TOO_LARGE; BAD_DIRECTORY; KEY_REVOKED, we have no signing key.
        DiskFailure: something cannot be read.
        GatewayError: what `stamp` raises.
    """
    now = me.parts.clock()
    lying = held(me, case_id)
    found = [read(me, each) for each in lying if each.counts]
    texts = _texts(me, found)
    states = _states(found, texts, terms)
    _check_hidden(texts, states)
    members: dict[str, bytes] = {archive.MIMETYPE: archive.MEDIA_TYPE}
    members |= {f"{DIRECTORY}{name}": content for name, content in files.items() if name != FIRST_ROOT}
    listed = [_entry(each, *states[each.key]) for each in found]
    receipts = {one.name: (one, content) for each in found for one, content in _receipts(each)}
    members |= {name: content for name, (_, content) in receipts.items()}
    for each, entry in zip(found, listed, strict=True):
        members |= _members(each, entry, texts.get(each.key))
    here = {each.key for each in found}
    with _stated():
        said = Manifest(
            format=contents.FORMAT,
            software=derived.software(),
            tables=derived.table_library(),
            typesetter=pdf.typesetter(),
            federation=me.directory.federation,
            exporter=me.address,
            exported_us=to_micros(now),
            by=terms.by,
            purpose=terms.purpose,
            authority=terms.authority,
            case_ids=sorted(
                {case_id, *(each.header.case_id for each in found if states[each.key][0] is not State.WITHHELD)}
            ),
            envelopes=listed,
            receipts=[receipts[name][0] for name in sorted(receipts)],
            cited=[Ref(sender=sender, id=id_) for sender, id_ in sorted(_cited(found, states) - here)],
            left_out=sorted(
                each.fingerprint.hex() for each in lying if each.fingerprint is not None and not each.counts
            ),
            absent=[],
            members=[],
        )
    case = CaseFile.read(said, members, prove(files, now))
    wanted = logged.subjects(said, case.receipts, case.statements)
    of_log, no_log = ({}, NO_LOG) if ask_node is None else logged.members(wanted, ask_node)
    absent = [*filter(None, (no_log, NO_TIMESTAMP if stamp is None else None))]
    case = replace(case, manifest=said.model_copy(update={"absent": absent}))
    members |= of_log | derived.members(case)
    said = case.manifest.model_copy(update={"members": contents.members_of(members)})
    signed = signature.sign(Domain.CASE_FILE, said.raw, me.address, me.signing_key_at(now))
    members[MANIFEST] = said.raw
    members[SIGNATURE] = contents.signature_text(signed)
    members[contents.ASIC] = contents.asic(said.members, said.raw)
    if stamp is not None:
        members[TIMESTAMP] = stamp(said.raw)
    return archive.pack(members)


@contextmanager
def _stated() -> Iterator[None]:
    """Refuse what a manifest cannot say, as whoever reads it would."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refusal(ErrorCode.BAD_INPUT, first["msg"], ".".join(map(str, first["loc"]))) from error


def _texts(me: Participant, found: Iterable[Found]) -> dict[Key, tuple[bytes, bytes]]:
    """Return salt and body of what we can open, or have from a draft that carried it."""
    texts: dict[Key, tuple[bytes, bytes]] = {}
    carried: dict[Key, tuple[bytes, bytes]] = {}
    for each in found:
        try:
            if each.header.sender == me.address:
                opened = envelope.open_own(each.raw, me.address, me.parts.sealing_keys)
            else:
                opened = envelope.open_envelope(each.raw, me.address, me.parts.sealing_keys)
            document = documents.decode(each.header.kind, opened.body)
        except Refusal:
            continue  # sealed to others, or rejected for this
        texts[each.key] = opened.salt, opened.body
        if isinstance(document, orders.Draft):
            request = envelope.parse_header(document.envelope)
            carried[key_of(request)] = document.salt, document.body
    for each in found:
        if each.key in carried and each.key not in texts:
            envelope.check_commitment(each.header, *carried[each.key])
            texts[each.key] = carried[each.key]
    return texts


def _states(found: Sequence[Found], texts: Mapping[Key, object], terms: Terms) -> dict[Key, tuple[State, str]]:
    here = [each.held for each in found]
    withheld = {key_of(named(here, each, "withhold").ref) for each in terms.withhold}
    redacted = {key_of(named(here, each, "redact").ref) for each in terms.redact}
    states = {}
    for each in found:
        if each.key in withheld:
            states[each.key] = State.WITHHELD, "left out by who handed this out"
        elif each.key in redacted:
            states[each.key] = State.REDACTED, "the text left out by who handed this out"
        elif each.key in texts:
            states[each.key] = State.OPENED, ""
        else:
            states[each.key] = State.SEALED, "sealed to others, or no document that can be read"
    return states


def _check_hidden(texts: Mapping[Key, tuple[bytes, bytes]], states: Mapping[Key, tuple[State, str]]) -> None:
    """Refuse to hide a text that stands word for word in another one, as a request does in its draft and referral."""
    shown = [key for key in texts if states[key][0] is State.OPENED]
    for key, (_, body) in texts.items():
        if states[key][0] is State.OPENED or not body:
            continue
        for other in shown:
            if body in texts[other][1]:
                detail = f"the text of {key[1]} stands in {other[1]} of {other[0]} too: leave that out as well"
                raise Refusal(ErrorCode.BAD_INPUT, detail, "redact")


def _members(each: Found, entry: Envelope, text: tuple[bytes, bytes] | None) -> dict[str, bytes]:
    members = {}
    if entry.state is not State.WITHHELD:
        members[entry.name] = each.raw.SerializeToString(deterministic=True)
    if entry.state is State.OPENED and text is not None:
        members[entry.salt], members[entry.body] = text
    return members


def _receipts(each: Found) -> Iterator[tuple[Receipt, bytes]]:
    """Yield receipts as the manifest names them, and their bytes."""
    counted = {said.statement.SerializeToString(deterministic=True): said.at_us for said in each.held.said}
    for receipt, _ in each.receipts:
        heard = None if each.held.paper is None else counted.get(receipt.statement)
        content = receipt.SerializeToString(deterministic=True)
        yield Receipt(envelope=Ref.of(each.held.ref), sha256=contents.digest(content), heard_us=heard), content


def _entry(each: Found, state: State, reason: str) -> Envelope:
    return Envelope(
        ref=Ref.of(each.held.ref),
        fingerprint=each.fingerprint.hex(),
        state=state,
        recorded_us=None if each.held.paper is None else each.held.paper.at_us,
        reason=reason,
    )


def _cited(found: Iterable[Found], states: Mapping[Key, tuple[State, str]]) -> set[Key]:
    """Return what is cited by what is here."""
    return {key_of(ref) for each in found if states[each.key][0] is not State.WITHHELD for ref in each.header.cites}
