"""Whether a case file is what it says: numbered checks, offline, with the federation's root keys alone.

In: the file, and what proves a directory. Out: `Check`s in a fixed order, each passed, failed, or about what is not
there; a file holds if none failed. Whatever is wrong with a file is the answer; it fails if our own machine cannot do
it now, which is no fault of a file.

 1. archive     it is bounded, and in the one form of its contents: nothing hidden, nothing compressed, safe names
 2. manifest    every member is named with its size and digest, and no other is there
 3. directory   it is proven by the root, as it counted when the file was made
 4. exporter    who made the file signed the manifest, with a key valid then
 5. envelopes   each is signed by whom it says, in all its signatures, with keys valid when it was made
 6. whole       every envelope that one of them cites is here, or named as withheld or never held
 7. texts       each text that is shown is the one to which its sender committed in the signed header
 8. receipts    each statement is signed by whom it says, who may say it, about these very bytes
 9. derived     documents, tables, custody and timeline are what envelopes and texts make
10. report      so is the report, on screen and on paper
11. log         each envelope and receipt is in the log of the exporter's node, under a checkpoint that it signed and
                as many witnesses have cosigned as the federation wants
12. timestamp   a timestamp authority that the reader's own roots vouch for saw the manifest, when the exporter says
                that it was made, and not before what is in the file (RFC 3161)
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from clients.casefile import archive, contents, derived, logged, timestamp
from clients.casefile.contents import (
    ASIC,
    CUSTODY,
    DIRECTORY,
    LINKED,
    MANIFEST,
    OPTIONAL,
    PRINT,
    REPORT,
    SIGNATURE,
    TIMELINE,
    TIMESTAMP,
    UNLISTED,
    Manifest,
    Prove,
    State,
)
from clients.casefile.reading import CaseFile
from clients.casefile.timestamp import Roots
from clients.cases import key_of
from gateway import envelope, signature, statement
from gateway.clock import to_micros
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.formats.page import pdf
from gateway.signature import Domain

MAX_SKEW_US: Final = 300_000_000
"""The clocks of others may be ahead of the exporter's by five minutes, as between nodes."""


class Status(Enum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_THERE = "not-there"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Args:
        number: from 1.
        name: for machines.
        status: what came of it.
        detail: in words.
    """

    number: int
    name: str
    status: Status
    detail: str


class _Nothing(Exception):
    """What would be checked is not there."""


@dataclass(slots=True)
class _Work:
    """What is known of a file so far."""

    raw: bytes
    prove: Prove
    tsa_roots: Roots | None
    members: dict[str, bytes] = field(default_factory=dict)
    _manifest: Manifest | None = None
    _directory: Directory | None = None
    _case: CaseFile | None = None
    _made: dict[str, bytes] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            raise Refusal(ErrorCode.NOT_FOUND, "the manifest did not pass")
        return self._manifest

    @property
    def directory(self) -> Directory:
        if self._directory is None:
            raise Refusal(ErrorCode.NOT_FOUND, "the directory did not pass")
        return self._directory

    @property
    def case(self) -> CaseFile:
        if self._case is None:
            self._case = CaseFile.read(self.manifest, self.members, self.directory)
        return self._case

    @property
    def made(self) -> Mapping[str, bytes]:
        if not self._made:
            self._made = derived.members(self.case)
        return self._made

    def archive(self) -> str:
        self.members = archive.unpack(self.raw)
        return f"{len(self.members)} members, {len(self.raw)} bytes"

    def read_manifest(self) -> str:
        """Check form, members and digests."""
        if UNLISTED - OPTIONAL - self.members.keys():
            raise _wrong("manifest, signature or ASiC manifest is not there")
        said = Manifest.read(self.members[MANIFEST])
        here = contents.members_of(self.members)
        if [each.name for each in said.members] != [each.name for each in here]:
            raise _wrong("the members are not those that the manifest names")
        for each, found in zip(said.members, here, strict=True):
            if each != found:
                raise _wrong("it is not what the manifest names", each.name)
        if self.members[ASIC] != contents.asic(said.members, said.raw):
            raise _wrong("the ASiC manifest names something else", ASIC)
        self._manifest = said
        return f"{len(said.members)} members are as it names them"

    def read_directory(self) -> str:
        said = self.manifest
        files = {
            name.removeprefix(DIRECTORY): content
            for name, content in self.members.items()
            if name.startswith(DIRECTORY)
        }
        proven = self.prove(files, said.exported_at)
        if proven.federation != said.federation:
            raise _wrong("it is the directory of another federation")
        self._directory = proven
        return (
            f"version {proven.version} of {proven.federation}, as it counted on {said.exported_at:%Y-%m-%d %H:%M} UTC"
        )

    def exporter(self) -> str:
        said, signed = self.manifest, contents.read_signature(self.members[SIGNATURE])
        if signed.signer != said.exporter:
            raise _wrong("somebody else signed it than the manifest says", SIGNATURE)
        key = self.directory.signing_key(signed.signer, signed.key_id, said.exported_at)
        signature.verify(Domain.CASE_FILE, said.raw, signed, key)
        return f"{said.exporter} signed it"

    def envelopes(self) -> str:
        case, signed = self.case, 0
        for entry in self.manifest.envelopes:
            raw, header = case.envelopes.get(entry.ref.key), case.headers.get(entry.ref.key)
            if raw is None or header is None:
                continue
            where = entry.name
            if key_of(header) != entry.ref.key or envelope.fingerprint(raw).hex() != entry.fingerprint:
                raise _wrong("it is another envelope than the manifest names", where)
            if self.manifest.exporter not in (header.sender, *header.recipients):
                raise _wrong("who made the file was no party to it", where)
            with _at(where):
                envelope.verify(raw, header, self.directory.signing_key)
            self._check_not_after(header.created_at_us, where)
            signed += len(raw.signatures)
        hidden = sum(each.state is State.WITHHELD for each in self.manifest.envelopes)
        return f"{len(case.envelopes)} envelopes, {signed} signatures; {hidden} withheld"

    def whole(self) -> str:
        said, case = self.manifest, self.case
        here = {each.ref.key for each in said.envelopes}
        cited = {key_of(ref) for header in case.headers.values() for ref in header.cites} - here
        if [each.key for each in said.cited] != sorted(cited):
            raise _wrong("what is cited and not here is not what the manifest says")
        if not {header.case_id for header in case.headers.values()} <= set(said.case_ids):
            raise _wrong("it goes by more case ids than the manifest says")
        expected = _expected(said)
        if not derived.RECORDS.isdisjoint(self.members):
            expected |= derived.RECORDS
        known = expected | OPTIONAL
        stray = [
            name for name, raw in self.members.items() if name not in known and not contents.is_of_directory(name, raw)
        ]
        if stray or not expected <= self.members.keys():
            raise _wrong("a member is there that nothing accounts for, or one is missing", *stray[:1])
        return (
            f"{len(cited)} cited envelopes were never held by {said.exporter}" if cited else "all that is cited is here"
        )

    def texts(self) -> str:
        for key, text in self.case.shown.items():
            with _at(key[1]):
                envelope.check_commitment(self.case.headers[key], text.salt, text.body)
        counts = Counter(each.state for each in self.manifest.envelopes)
        told = ", ".join(f"{counts[state]} {state.value}" for state in State)
        return f"{told}; each text that is shown is the one that was signed"

    def receipts(self) -> str:
        case = self.case
        entries = {each.ref.key: each for each in self.manifest.envelopes}
        for listed, receipt in zip(self.manifest.receipts, case.receipts, strict=True):
            entry = entries.get(listed.envelope.key)
            if contents.digest(self.members[listed.name]) != listed.sha256:
                raise _wrong("it is another statement than the manifest names", listed.name)
            with _at(listed.name):
                said = statement.verify(receipt, self.directory.signing_key)
                if entry is None or (key_of(said.envelope), said.fingerprint.hex()) != (
                    entry.ref.key,
                    entry.fingerprint,
                ):
                    raise _wrong("it is about another envelope")
                header = case.headers.get(entry.ref.key)
                if header is not None:  # of one that is withheld, name and fingerprint are all that can be compared
                    statement.check_subject(said, header, said.fingerprint)
            self._check_not_after(said.at_us, listed.name)
        return f"{len(case.receipts)} statements"

    def derived(self) -> str:
        made, other = {name: raw for name, raw in self.made.items() if name not in {REPORT, PRINT}}, 0
        self._same_software()
        for name, content in made.items():
            if self.members.get(name) == content:
                continue
            if name not in derived.PARQUET or self.manifest.tables == derived.table_library():
                raise _wrong("it is not what envelopes and texts make", name)
            other += 1
        if stray := derived.RECORDS & self.members.keys() - made.keys():
            raise _wrong("no text tells of a transaction", min(stray))
        said = f"{len(made) - other} members are what envelopes and texts make"
        if other:
            raise _Nothing(f"{said}; {other} of another version of {self.manifest.tables} not compared")
        return said

    def report(self) -> str:
        self._same_software()
        comparable = self.manifest.typesetter == pdf.typesetter()
        for name in (REPORT, PRINT) if comparable else (REPORT,):
            if self.members.get(name) != self.made[name]:
                raise _wrong("it is not what envelopes and texts make", name)
        said = "it is what envelopes and texts make"
        if not comparable:
            # By its exporter's own word alone: else any PDF would pass under the name of a typesetter that nobody has.
            raise _Nothing(f"{said}; {PRINT} by {self.manifest.typesetter} not compared")
        return said

    def log(self) -> str:
        if self.members.keys().isdisjoint(logged.MEMBERS):
            raise _Nothing(self.manifest.absence("log") or "the manifest says nothing of a log")
        if not self.members.keys() >= logged.MEMBERS:
            raise _wrong("checkpoint or proofs are not there", contents.LOG)
        wanted = logged.subjects(self.manifest, self.case.receipts, self.case.statements)
        found = logged.check(self.members, self.manifest, wanted, self.directory)
        count = len(wanted) - len(found.refused)
        said = f"all {count} envelopes and receipts are in {found.log}, {found.cosigned}"
        if found.refused:
            said = f"{said}; {len(found.refused)} that the node refused are in none"
        if found.unproven:
            some = ", ".join(found.unproven[:3])
            said = f"{len(found.unproven)} of {count} are not proven to be in {found.log}: {some}"
        elif not found.cosigned.is_enough:
            said = f"too few witnesses: {said}"
        if found.unproven or not found.cosigned.is_enough:
            raise _Nothing(said)
        return said

    def timestamp(self) -> str:
        raw, why = self.members.get(TIMESTAMP), self.manifest.absence("timestamp")
        if raw is None and why:
            raise _Nothing(why)
        if raw is None or why:
            raise _wrong("the manifest says the contrary of whether there is one", TIMESTAMP)
        if self.tsa_roots is None:
            at = timestamp.stated(raw, self.manifest.raw)
            detail = f"one is there, and says {at:%Y-%m-%d %H:%M:%S} UTC; it is not checked, for no root of a timestamp"
            raise _Nothing(f"{detail} authority was given")
        at = timestamp.verify(raw, self.manifest.raw, self.tsa_roots)
        self._check_moment(to_micros(at))
        return f"an authority for timestamps saw the manifest on {at:%Y-%m-%d %H:%M:%S} UTC"

    def _check_not_after(self, made_us: int, where: str) -> None:
        if made_us > self.manifest.exported_us + MAX_SKEW_US:
            raise _wrong("it is from after the file that holds it", where)

    def _check_moment(self, seen_us: int) -> None:
        """Check when a file was seen, by a clock that is not the exporter's."""
        headers, statements = self.case.headers.values(), self.case.statements
        made = [*(each.created_at_us for each in headers), *(each.at_us for each in statements)]
        if abs(seen_us - self.manifest.exported_us) > MAX_SKEW_US:
            raise _wrong("it was not seen when its exporter says that it was made", TIMESTAMP)
        if max(made, default=0) > seen_us + MAX_SKEW_US:
            raise _wrong("it was seen before something was made that is in it", TIMESTAMP)

    def _same_software(self) -> None:
        if self.manifest.software != derived.software():
            detail = f"made by {self.manifest.software}, and this is {derived.software()}: not made again to compare;"
            raise _Nothing(f"{detail} the exporter's signature alone speaks for it")


STEPS: Final[tuple[tuple[str, Callable[[_Work], str]], ...]] = (
    ("archive", _Work.archive),
    ("manifest", _Work.read_manifest),
    ("directory", _Work.read_directory),
    ("exporter", _Work.exporter),
    ("envelopes", _Work.envelopes),
    ("whole", _Work.whole),
    ("texts", _Work.texts),
    ("receipts", _Work.receipts),
    ("derived", _Work.derived),
    ("report", _Work.report),
    ("log", _Work.log),
    ("timestamp", _Work.timestamp),
)


_GROUND: Final = 4
"""The number of the last step on which all that follow are built."""


def check(raw: bytes, prove: Prove, tsa_roots: Roots | None = None) -> list[Check]:
    """Judge a case file.

    Args:
        raw: all of it.
        prove: proves a directory from its files, by a root that did not come with them.
        tsa_roots: of timestamp authorities that the reader trusts; None: no timestamp is checked.

    Raises:
        Failure: STORE, our own disk is full.
    """
    work, made = _Work(raw, prove, tsa_roots), []
    for number, (name, step) in enumerate(STEPS, start=1):
        try:
            found = Check(number, name, Status.PASSED, step(work))
        except _Nothing as nothing:
            found = Check(number, name, Status.NOT_THERE, str(nothing))
        except Refusal as error:
            at = f" (at {error.field})" if error.field else ""
            found = Check(number, name, Status.FAILED, f"{error.code.name}: {error.detail}{at}")
        made.append(found)
        if found.status is Status.FAILED and number <= _GROUND:
            # On what did not pass, nothing is built.
            why = f"not checked, for check {number} failed"
            made += [Check(at, each, Status.FAILED, why) for at, (each, _) in enumerate(STEPS[number:], number + 1)]
            break
    return made


def holds(checks: list[Check]) -> bool:
    """Whether nothing is wrong with a file."""
    return len(checks) == len(STEPS) and all(each.status is not Status.FAILED for each in checks)


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Say of a refusal which member it is about."""
    try:
        yield
    except Refusal as error:
        raise Refusal(error.code, error.detail, where) from error


def _expected(said: Manifest) -> set[str]:
    """Return the members that a manifest accounts for, but the directory's and the tables of transactions."""
    names = {*UNLISTED - OPTIONAL, CUSTODY, TIMELINE, LINKED, REPORT, PRINT, *(each.name for each in said.receipts)}
    names |= logged.MEMBERS & {each.name for each in said.members}
    for each in said.envelopes:
        if each.state is not State.WITHHELD:
            names.add(each.name)
        if each.state is State.OPENED:
            names |= {each.salt, each.body, each.document}
    return names


def _wrong(detail: str, where: str = "") -> Refusal:
    return Refusal(ErrorCode.CONTENT_MISMATCH, detail, where)
