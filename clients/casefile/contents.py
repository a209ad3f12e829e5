"""What a case file holds, and the manifest that says so and is signed.

In: members by name. Out: `Manifest`, in one JSON text (RFC 8785), and the names under which things lie:

    mimetype                      what the file is
    META-INF/manifest.json        the manifest: every other member with size and SHA-256, and what the exporter says
    META-INF/signature.json       the exporter's signature over the manifest, in a domain of its own
    META-INF/ASiCManifest.xml     the same digests as ETSI EN 319 162-1 (ASiC-E) writes them, for other people's tools
    META-INF/timestamp.tsr        what a timestamp authority says of the manifest (RFC 3161), if one was asked
    directory/                    the signed directory: what proves every key from the federation's root keys alone
    envelopes/                    as they were sent: sealed, signed
    receipts/                     signed statements about them, a folder an envelope
    opened/                       text and salt of what the exporter may open and shows
    documents/                    those texts as canonical JSON
    records/                      transactions of the documents, as Parquet and CSV
    custody.json, timeline.json   who had what, and what happened
    case.jsonld                   the case in the words of CASE and UCO, for other people's tools
    report.html, report.pdf       all that for people
    log/                          a checkpoint of the exporter's node, and proofs that its log has all this

Refuses with MALFORMED what is not its own one text. No I/O.
"""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from hashlib import sha256
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from clients.casefile.archive import MAX_MEMBERS, MIMETYPE
from gateway.clock import from_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.formats import json_form

FORMAT: Final = 1
MANIFEST: Final = "META-INF/manifest.json"
SIGNATURE: Final = "META-INF/signature.json"
ASIC: Final = "META-INF/ASiCManifest.xml"
TIMESTAMP: Final = "META-INF/timestamp.tsr"
UNLISTED: Final = frozenset({MIMETYPE, MANIFEST, SIGNATURE, ASIC, TIMESTAMP})
"""What the manifest cannot name, or need not: the ASiC manifest is made of it."""
OPTIONAL: Final = frozenset({TIMESTAMP})
"""Which of them need not be there: what the manifest says of it is looked at by the check of its own."""
DIRECTORY: Final = "directory/"
SALT: Final = ".salt"
BODY: Final = ".body"
LOG: Final = "log/"
REPORT: Final = "report.html"
PRINT: Final = "report.pdf"
CUSTODY: Final = "custody.json"
TIMELINE: Final = "timeline.json"
LINKED: Final = "case.jsonld"
_METADATA: Final = re.compile(
    r"directory/metadata/(timestamp|[1-9][0-9]{0,8}\.(root|snapshot|targets|node-[a-z]{2}))\.json"
)
_TARGET: Final = re.compile(
    r"directory/targets/((?P<federation>[0-9a-f]{64})\.federation|participants/(?P<list>[0-9a-f]{64})\.[a-z]{2})\.json"
)
MAX_MANIFEST_BYTES: Final = 32 << 20
MAX_SIGNATURE_BYTES: Final = 1 << 10
"""Of the exporter's: it is read before anybody's signature was checked."""
MAX_NAMED: Final = MAX_MEMBERS
"""Of what a manifest lists, of each sort."""
MAX_ABSENT: Final = 16

Prove: TypeAlias = Callable[[Mapping[str, bytes], datetime], Directory]
"""Proves a directory from its files, as it counted at a moment; refuses with BAD_DIRECTORY, fails with STORE."""

Digest: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Micros: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 53)]
Text: TypeAlias = Annotated[str, Field(max_length=500)]
Address: TypeAlias = Annotated[str, Field(pattern=r"^[a-z]{2}/[a-z0-9][a-z0-9-]{0,62}$")]
EnvelopeId: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]


_NAMED: Final = Field(max_length=MAX_NAMED)


class State(Enum):
    """How much of an envelope the file shows."""

    OPENED = "opened"  # all of it: the text, and the salt that proves it
    SEALED = "sealed"  # header and signatures; the exporter cannot open it
    REDACTED = "redacted"  # the same; the exporter could, and does not
    WITHHELD = "withheld"  # its name and digest alone


class _Part(BaseModel):
    # Strict: a number is no text, and one text has one reading.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ref(_Part):
    """The name of an envelope."""

    sender: Address
    id: EnvelopeId

    @classmethod
    def of(cls, ref: ids.EnvelopeRef) -> Self:
        """Return that of an envelope."""
        return cls(sender=ref.sender, id=ref.id)

    @property
    def key(self) -> tuple[str, str]:
        """Sender and id."""
        return self.sender, self.id

    @property
    def stem(self) -> str:
        """Its name in the file."""
        return f"{self.sender.replace('/', '.')}.{self.id}"


class Member(_Part):
    """A member of the file."""

    name: str
    size: int
    sha256: Digest


class Envelope(_Part):
    """An envelope of the case.

    Args:
        ref: its name.
        fingerprint: SHA-256 over all of it, as receipts name it.
        state: how much of it is here.
        recorded_us: about when the exporter's node recorded it, by what the exporter knows; None if it did not.
        reason: why something of it is not here.
    """

    ref: Ref
    fingerprint: Digest
    state: State
    recorded_us: Micros | None
    reason: Text

    @property
    def name(self) -> str:
        """Its name in the file."""
        return f"envelopes/{self.ref.stem}.pb"

    @property
    def opened(self) -> str:
        """What the names of its text and salt begin with."""
        return f"opened/{self.ref.stem}"

    @property
    def document(self) -> str:
        """The name of its text as canonical JSON."""
        return f"documents/{self.ref.stem}.json"

    @property
    def salt(self) -> str:
        """The name of its salt."""
        return f"{self.opened}{SALT}"

    @property
    def body(self) -> str:
        """The name of its text."""
        return f"{self.opened}{BODY}"


class Receipt(_Part):
    """A signed statement of the file.

    Args:
        envelope: what it is about.
        sha256: of its bytes; its name, too.
        heard_us: about when the exporter's node heard it; None if it counts for nothing in the case.
    """

    envelope: Ref
    sha256: Digest
    heard_us: Micros | None

    @property
    def name(self) -> str:
        """Its name in the file."""
        return f"receipts/{self.envelope.stem}/{self.sha256}.pb"


class Absent(_Part):
    """What a file of this kind may hold, and this one does not."""

    what: str
    why: str


class Manifest(_Part):
    """What a case file says of itself; its exporter signs this.

    Args:
        format: of the file.
        software: that made it.
        tables: the library that wrote the Parquet files, with its version.
        typesetter: what set the PDF, with its version and the kind of machine.
        federation: whose directory is in it.
        exporter: who made it, from its own disk.
        exported_us: when, by the exporter's clock.
        by: the person, if one is named.
        purpose: what for.
        authority: by which order or law it is handed out.
        case_ids: all that the case goes by.
        envelopes: all that the exporter holds of it, by name.
        receipts: all that it holds about those, by name.
        cited: envelopes that are cited, and were never here.
        left_out: what came and proved nothing, by digest.
        absent: what is not there yet, or was not asked for.
        members: every member but those of `UNLISTED`.
    """

    format: Literal[1]
    software: Text
    tables: Text
    typesetter: Text
    federation: Text
    exporter: Address
    exported_us: Micros
    by: Text
    purpose: Text
    authority: Text
    case_ids: Annotated[list[Text], _NAMED]
    envelopes: Annotated[list[Envelope], _NAMED]
    receipts: Annotated[list[Receipt], _NAMED]
    cited: Annotated[list[Ref], _NAMED]
    left_out: Annotated[list[Digest], _NAMED]
    absent: Annotated[list[Absent], Field(max_length=MAX_ABSENT)]
    members: Annotated[list[Member], _NAMED]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Read one.

        Raises:
            Refusal: MALFORMED, it is no manifest, or not in its one text.
        """
        if len(raw) > MAX_MANIFEST_BYTES:
            raise Refusal(
                ErrorCode.TOO_LARGE, f"a manifest is over max_manifest_bytes = {MAX_MANIFEST_BYTES}", "manifest"
            )
        try:
            found = cls.model_validate_json(raw)
        except (ValidationError, RecursionError) as error:
            raise Refusal(ErrorCode.MALFORMED, "it is no manifest of a case file", "manifest") from error
        if found.raw != raw:
            raise Refusal(ErrorCode.MALFORMED, "the manifest is not in its one text", "manifest")
        refs, names = [each.ref.key for each in found.envelopes], [each.name for each in found.receipts]
        for named, ordered in ((refs, sorted(set(refs))), (names, sorted(set(names)))):
            if named != ordered:
                raise Refusal(ErrorCode.MALFORMED, "the manifest names something twice, or out of order", "manifest")
        return found

    @property
    def raw(self) -> bytes:
        """Its one text."""
        return json_form.canonical(self.model_dump(mode="json"))

    def absence(self, what: str) -> str:
        """Return why something is not in the file; empty if the exporter says nothing of it."""
        return next((each.why for each in self.absent if each.what == what), "")

    @property
    def exported_at(self) -> datetime:
        """When it was made."""
        return from_micros(self.exported_us)


NO_LOG: Final = Absent(
    what="log",
    why="no checkpoint and no inclusion proof of a node's log is in this file: it does not show by itself that the"
    " nodes' logs hold these envelopes and receipts",
)
NO_TIMESTAMP: Final = Absent(
    what="timestamp",
    why="no RFC 3161 timestamp is in this file: when it was made is the word of its exporter",
)


def digest(content: bytes) -> str:
    """Return the SHA-256 of a member."""
    return sha256(content).hexdigest()


def is_of_directory(name: str, content: bytes) -> bool:
    """Whether a member can be a file of the signed directory: nothing else may hide among those."""
    if _METADATA.fullmatch(name):
        return True
    found = _TARGET.fullmatch(name)
    return found is not None and digest(content) in (found["federation"], found["list"])


def signature_text(signed: pb.Signature) -> bytes:
    """Return a direct signature as a case file has it."""
    return json_form.canonical(
        {"signer": signed.signer, "key_id": signed.key_id.hex(), "signature": signed.signature.hex()}
    )


def read_signature(raw: bytes) -> pb.Signature:
    """Return the signature that `signature_text` wrote.

    Raises:
        Refusal: MALFORMED, TOO_LARGE.
    """
    if len(raw) > MAX_SIGNATURE_BYTES:
        detail = f"the signature is over max_signature_bytes = {MAX_SIGNATURE_BYTES}"
        raise Refusal(ErrorCode.TOO_LARGE, detail, SIGNATURE)
    try:
        said = json.loads(raw)
        key, signed = bytes.fromhex(said["key_id"]), bytes.fromhex(said["signature"])
        made = pb.Signature(signer=said["signer"], key_id=key, signature=signed)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refusal(ErrorCode.MALFORMED, "it is no signature", SIGNATURE) from error
    if signature_text(made) != raw:
        raise Refusal(ErrorCode.MALFORMED, "the signature is not in its one text", SIGNATURE)
    return made


def members_of(members: Mapping[str, bytes]) -> list[Member]:
    """Return what a manifest says of members."""
    return [
        Member(name=name, size=len(members[name]), sha256=digest(members[name]))
        for name in sorted(members)
        if name not in UNLISTED
    ]


def asic(members: Iterable[Member], manifest: bytes) -> bytes:
    """Return the digests as an ASiC manifest (ETSI EN 319 162-1, A.4). The signature that it refers to is our own."""
    listed = [*members, Member(name=MANIFEST, size=len(manifest), sha256=digest(manifest))]
    return "".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            '<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#"',
            ' xmlns:ds="http://www.w3.org/2000/09/xmldsig#">\n',
            f'<asic:SigReference URI="{SIGNATURE}" MimeType="application/json"/>\n',
            *(_reference(each) for each in sorted(listed, key=lambda each: each.name)),
            "</asic:ASiCManifest>\n",
        )
    ).encode()


def _reference(member: Member) -> str:
    # Names hold nothing that XML would escape: see `archive`.
    digest = bytes.fromhex(member.sha256)
    return (
        f'<asic:DataObjectReference URI="{member.name}">'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f"<ds:DigestValue>{b64encode(digest).decode()}</ds:DigestValue></asic:DataObjectReference>\n"
    )
