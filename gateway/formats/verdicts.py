"""Verdicts on lists: one answer for each entry, in the order of the list, and never an exception.

In: an entry of a list as others keep them. Out: a `Verdict`. What the entry says of itself beyond the identifier (its
source, a label, `valid`) is not looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final, TypeAlias

from gateway.errors import Refusal
from gateway.formats import addresses, assets, chains, lei, persons, reading, tags
from gateway.formats.codes import Code, refuse

MAX_NAME_CHARS: Final = 64
MAX_NETWORK_CHARS: Final = 200
MAX_TEXT_CHARS: Final = 4096
"""Longer than any address, tag or identifier; what is longer gets a verdict like any other."""

NOT_SUPPORTED: Final = frozenset({Code.CHAIN_NOT_SUPPORTED, Code.NO_IVMS101})
"""Rules by which an entry is neither good nor bad: nothing here can judge it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one entry.

    Args:
        valid: true, false, or None for not supported.
        code: the rule that was broken; empty if none was.
        reason: one sentence for a clerk; never content.
        canonical: the one spelling of a valid identifier; None where there is none.
        field: position within the list of what was wrong, e.g. `[3].address`.
    """

    valid: bool | None
    code: str = ""
    reason: str = ""
    canonical: str | None = None
    field: str = ""


Judge: TypeAlias = Callable[[object, str], Verdict]


def wallet(value: object, where: str = "") -> Verdict:
    """Judge a wallet: `{chain, address, network?, tag?}`; without `network`, the main one is meant."""
    entry = reading.entry(value, where)
    name = reading.text(entry.get("chain"), f"{where}.chain", MAX_NAME_CHARS)
    address = entry.get("address")
    if not isinstance(address, str):
        raise refuse(Code.WRONG_TYPE, "a text is wanted", f"{where}.address")
    network = entry.get("network")
    network = chains.MAIN if network is None else reading.text(network, f"{where}.network", MAX_NETWORK_CHARS)
    chain = chains.checkable(name)
    if chain is None:
        addresses.refuse_key(address[:MAX_TEXT_CHARS], f"{where}.address")
        raise refuse(Code.CHAIN_NOT_SUPPORTED, "this chain is not supported", f"{where}.chain")
    found = addresses.check(chain, address, network, f"{where}.address")
    tag = entry.get("tag")
    tag = "" if tag in (None, "") else reading.text(tag, f"{where}.tag", MAX_TEXT_CHARS)
    tags.check(chain, tag, found.tag, f"{where}.tag")
    note = _CHECKSUMS[found.checksum]
    # Only what was unpacked, which nobody could read before; what a list wrote as memo is free text and stays there.
    reason = f"{note}; tag {found.tag}" if found.tag else note
    return Verdict(valid=True, reason=reason, canonical=found.canonical)


_CHECKSUMS: Final = MappingProxyType(
    {
        addresses.Checksum.VALID: "its checksum is right",
        addresses.Checksum.NONE: "such addresses have no checksum: a typing error would not be seen",
        addresses.Checksum.UNCHECKED: "written without its checksum: a typing error would not be seen",
    }
)


def asset(value: object, where: str = "") -> Verdict:
    """Judge an asset, account or chain: `{id}` or a text, in CAIP-2, CAIP-10, CAIP-19 or as a DTI."""
    found = assets.identify(value, where)
    reason = "" if found.checked else "well-formed; of this chain or token nothing more is known here"
    return Verdict(valid=True, reason=reason, canonical=found.text)


def legal_entity(value: object, where: str = "") -> Verdict:
    """Judge an LEI: `{lei}` or a text."""
    text = value if isinstance(value, str) else reading.entry(value, where).get("lei")
    if not isinstance(text, str):
        raise refuse(Code.WRONG_TYPE, "a text is wanted", f"{where}.lei")
    return Verdict(valid=True, canonical=lei.lei(text, where if isinstance(value, str) else f"{where}.lei"))


def person(today: date) -> Judge:
    """Return the judge of IVMS101: an entry is a part of the standard, or holds some, wrapped as people wrap it.

    Args:
        today: the day before which everybody was born.
    """

    def judge(value: object, where: str = "") -> Verdict:
        found = persons.document(value, today, where)
        notes = [remark for part, message in found for remark in persons.remarks(message, part.where)]
        parts = "1 part" if len(found) == 1 else f"{len(found)} parts"
        reason = f"{parts} of IVMS101" + "".join(f"; {note.detail} (at {note.where})" for note in notes)
        return Verdict(valid=True, reason=reason)

    return judge


def judged(judge: Judge, value: object, where: str) -> Verdict:
    """Return the verdict on an entry, whatever it is."""
    try:
        return judge(value, where)
    except Refusal as error:
        valid = None if error.rule in NOT_SUPPORTED else False
        return Verdict(valid, error.rule, error.detail, field=error.field)
