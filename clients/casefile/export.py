"""Makes a case file of what lies in a participant's memory.

In: a participant, a case id, the signed directory as files, what is to be left out. Out: the file. Nothing is asked of
a node. Refuses with NOT_FOUND a case or envelope of which nothing lies here; BAD_INPUT, if what is to be left out
stands in another text that is not left out; and whatever `checks` finds wrong with the result, before anybody gets it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import orders_pb2 as orders

from clients.casefile import archive, contents, derived
from clients.casefile.contents import (
    ABSENT,
    DIRECTORY,
    MANIFEST,
    SIGNATURE,
    Envelope,
    Manifest,
    Prove,
    Receipt,
    Ref,
    State,
)
from clients.casefile.reading import BODY, SALT, CaseFile
from clients.cases import Key, key_of
from clients.known_cases import Held, KnownCases
from clients.participant import Participant
from gateway import codec, envelope, signature
from gateway.clock import to_micros
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.signature import Domain

FIRST_ROOT: Final = "metadata/1.root.json"
"""Nobody needs it: who verifies has this root or a later one, and reads those that follow."""
BEGINNING: Final = 8
"""Characters of an id that must be given."""


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


@dataclass(frozen=True, slots=True)
class _Found:
    """An envelope of the case, and its text if we can open it."""

    held: Held
    raw: pb.SignedEnvelope
    header: pb.Header
    receipts: tuple[tuple[pb.Receipt, int | None], ...]

    @property
    def key(self) -> Key:
        return key_of(self.header)


def export(me: Participant, case_id: str, terms: Terms, files: Mapping[str, bytes], prove: Prove) -> bytes:
    """Return the file of a case.

    Args:
        me: whose memory is read, and who signs.
        case_id: one of the ids of the case.
        terms: how it is handed out.
        files: the signed directory, as a repository serves it.
        prove: proves it.

    Raises:
        Refusal: NOT_FOUND, BAD_INPUT or TOO_LARGE; BAD_DIRECTORY; KEY_REVOKED, we have no signing key.
        DiskFailure: something cannot be read.
    """
    now = me.parts.clock()
    held = KnownCases(me.maildir, me.directory, me.address).held(case_id)
    found = [_found(me, each) for each in held if each.paper is not None or each.fingerprint is None]
    texts = _texts(me, found)
    states = _states(found, texts, terms)
    _check_hidden(texts, states)
    members: dict[str, bytes] = {archive.MIMETYPE: archive.MEDIA_TYPE}
    members |= {f"{DIRECTORY}{name}": content for name, content in files.items() if name != FIRST_ROOT}
    for each in found:
        members |= _members(each, states[each.key][0], texts.get(each.key))
    here = {each.key for each in found}
    said = Manifest(
        format=contents.FORMAT,
        software=derived.software(),
        tables=derived.table_library(),
        federation=me.directory.federation,
        exporter=me.address,
        exported_us=to_micros(now),
        by=terms.by,
        purpose=terms.purpose,
        authority=terms.authority,
        case_ids=sorted(
            {case_id, *(each.header.case_id for each in found if states[each.key][0] is not State.WITHHELD)}
        ),
        envelopes=[_entry(each, *states[each.key]) for each in found],
        receipts=sorted((one for each in found for one, _ in _receipts(each)), key=lambda one: one.name),
        cited=[Ref(sender=sender, id=id_) for sender, id_ in sorted(_cited(found, states) - here)],
        left_out=sorted(each.fingerprint.hex() for each in held if each.fingerprint is not None and each.paper is None),
        absent=[*ABSENT],
        members=[],
    )
    members |= derived.members(CaseFile.read(said, members, prove(files, now)))
    said = said.model_copy(update={"members": contents.members_of(members)})
    signed = signature.sign(Domain.CASE_FILE, said.raw, me.address, me.signing_key_at(now))
    members[MANIFEST] = said.raw
    members[SIGNATURE] = contents.signature_text(signed)
    members[contents.ASIC] = contents.asic(said.members, said.raw)
    return archive.pack(members)


def _found(me: Participant, held: Held) -> _Found:
    ref, print_ = held.ref, held.fingerprint
    raw = me.sent(ref) if print_ is None else me.maildir.any_collected(ref, print_)
    fingerprint = envelope.fingerprint(raw)
    counted = {each.statement.SerializeToString(deterministic=True): each.at_us for each in held.said}
    receipts = []
    for receipt in me.maildir.receipts(ref):
        said = codec.parse(pb.Statement, receipt.statement, ErrorCode.BAD_RECEIPT)
        if said.fingerprint == fingerprint:
            heard = None if held.paper is None else counted.get(receipt.statement)
            receipts.append((receipt, heard))
    return _Found(held, raw, envelope.parse_header(raw), tuple(receipts))


def _texts(me: Participant, found: Iterable[_Found]) -> dict[Key, tuple[bytes, bytes]]:
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


def _states(found: Sequence[_Found], texts: Mapping[Key, object], terms: Terms) -> dict[Key, tuple[State, str]]:
    withheld = {_named(found, each, "withhold") for each in terms.withhold}
    redacted = {_named(found, each, "redact") for each in terms.redact}
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


def _named(found: Iterable[_Found], beginning: str, field: str) -> Key:
    keys = [each.key for each in found if len(beginning) >= BEGINNING and each.header.id.startswith(beginning)]
    if len(keys) != 1:
        detail = f"{len(keys)} envelopes of this case have an id that begins so; give {BEGINNING} characters or more"
        raise Refusal(ErrorCode.NOT_FOUND, detail, field)
    return keys[0]


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


def _members(each: _Found, state: State, text: tuple[bytes, bytes] | None) -> dict[str, bytes]:
    stem = Ref.of(each.held.ref).stem
    members = {entry.name: raw for entry, raw in _receipts(each)}
    if state is not State.WITHHELD:
        members[f"envelopes/{stem}.pb"] = each.raw.SerializeToString(deterministic=True)
    if state is State.OPENED and text is not None:
        members[f"opened/{stem}{SALT}"], members[f"opened/{stem}{BODY}"] = text
    return members


def _receipts(each: _Found) -> list[tuple[Receipt, bytes]]:
    made = []
    for receipt, heard in each.receipts:
        raw = receipt.SerializeToString(deterministic=True)
        made.append((Receipt(envelope=Ref.of(each.held.ref), sha256=contents.digest(raw), heard_us=heard), raw))
    return made


def _entry(each: _Found, state: State, reason: str) -> Envelope:
    return Envelope(
        ref=Ref.of(each.held.ref),
        fingerprint=envelope.fingerprint(each.raw).hex(),
        state=state,
        recorded_us=None if each.held.paper is None else each.held.paper.at_us,
        reason=reason,
    )


def _cited(found: Iterable[_Found], states: Mapping[Key, tuple[State, str]]) -> set[Key]:
    """Return what is cited by what is here."""
    return {key_of(ref) for each in found if states[each.key][0] is not State.WITHHELD for ref in each.header.cites}
