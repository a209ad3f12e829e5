"""Who had what of a case, and what was done with it.

In: a `CaseFile`. Out: the custody record, as data. It follows ISO/IEC 27037:2012: for each item a name, digests of two
families, who collected it, when and where, what was done with it and by which right, and whether that altered it.
No I/O.
"""

from collections.abc import Iterator
from hashlib import sha3_256, sha256

from clients.casefile.contents import Envelope
from clients.casefile.reading import CaseFile
from gateway import manifest
from gateway.formats.page import words


def record(case: CaseFile) -> dict[str, object]:
    """Return the record of a case file."""
    said = case.manifest
    return {
        "standard": "ISO/IEC 27037:2012",
        "handed_out": {
            "at": words.moment(said.exported_us),
            "by": said.exporter,
            "person": said.by,
            "purpose": said.purpose,
            "authority": said.authority,
            "tool": said.software,
        },
        "items": [_item(case, each) for each in case.listed],
    }


def _item(case: CaseFile, each: Envelope) -> dict[str, object]:
    raw, header = case.envelopes.get(each.ref.key), case.headers.get(each.ref.key)
    item: dict[str, object] = {
        "item": {"sender": each.ref.sender, "id": each.ref.id},
        "fingerprint": each.fingerprint,
        "state": each.state.value,
        "reason": each.reason,
        "collected": {
            "by": case.manifest.exporter,
            "at": when(each),
            "how": how(case, each),
        },
        "done": [*done(each)],
        "altered": "not: the bytes are those that were signed",
    }
    if raw is not None and header is not None:
        content = raw.SerializeToString(deterministic=True)
        item["sha256"], item["sha3_256"] = sha256(content).hexdigest(), sha3_256(content).hexdigest()
        item["made"] = {
            "at": words.moment(header.created_at_us),
            "by": header.sender,
            "signed_by": [signed.signer for signed in raw.signatures],
        }
        item["files"] = [{"sha256": ref.sha256.hex(), "size": ref.size} for ref in manifest.parse(raw.attachments)]
    return item


def when(each: Envelope) -> str | None:
    """Return about when an item was collected, if it was."""
    return None if each.recorded_us is None else words.moment(each.recorded_us)


def how(case: CaseFile, each: Envelope) -> str:
    """Return how an item was collected."""
    return "handed in by it" if each.ref.sender == case.manifest.exporter else "handed out to it by its node"


def done(each: Envelope) -> Iterator[str]:
    """Yield what was done with an item."""
    yield "kept as it came, in the memory of the exporter"
    if each.state.value == "opened":
        yield "opened with a key of the exporter; its text is in this file"
    if each.state.value == "redacted":
        yield "its text left out of this file by the exporter"
    if each.state.value == "withheld":
        yield "left out of this file by the exporter"
