"""The cases of which something lies in a participant's memory on its own disk.

In: a `Maildir` and the directory. Out: a `Case`, or all of them; headers and statements are read, payloads are not.
Refuses with NOT_FOUND a case of which nothing lies here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids

from clients.cases import Case, Key, Paper, Said, key_of
from clients.maildir import Folder, Glimpse, Maildir
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address

_PROVEN: Final = frozenset({errors_pb2.ERROR_CODE_CANNOT_OPEN, errors_pb2.ERROR_CODE_CONTENT_MISMATCH})
"""With these we rejected what was signed by its sender and recorded by our node; with any other, perhaps not."""


@dataclass(frozen=True, slots=True)
class Held:
    """An envelope that lies here, and what it counts for.

    Args:
        ref: its name.
        fingerprint: under which it was collected; None if we sent it.
        paper: what it is in its case; None if our node did not record it, or it proves nothing.
        said: what is proven about it, as far as it counts.
        unsure: whether we sent it and heard nothing of it.
    """

    ref: ids.EnvelopeRef
    fingerprint: bytes | None
    paper: Paper | None
    said: tuple[Said, ...]
    unsure: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is of the case: what others sent and nothing proves is none of it."""
        return self.paper is not None or self.fingerprint is None


class KnownCases:
    """All cases of which something lies in a participant's memory.

    Args:
        maildir: the memory.
        directory: who has which role.
        me: whose it is.

    Raises:
        DiskFailure: a file cannot be read.
    """

    def __init__(self, maildir: Maildir, directory: Directory, me: str) -> None:
        self._maildir, self._directory, self._me = maildir, directory, me
        self._node = str(Address.of_node(Address.parse(me).node))
        self._collected: dict[Key, tuple[Glimpse, Folder]] = {}
        # In the order of Folder: it may move from NEW to DONE meanwhile; the losers of an ID_CONFLICT are rejected.
        for folder in Folder:
            for each in maildir.glimpses(folder):
                self._collected.setdefault(key_of(each.name), (each, folder))
        self._sent = {key_of(each.name): each for each in maildir.glimpses_of_sent()}
        self._drafted = {key_of(each.name): each.header for each in maildir.glimpses_of_drafts()}

    def case(self, case_id: str) -> Case:
        """Return a case and what is connected with it.

        Raises:
            Refusal: NOT_FOUND, nothing that lies here names it.
        """
        return self._read(self._named(case_id))

    def held(self, case_id: str) -> list[Held]:
        """Return all that lies here of a case and what is connected with it, by name; refuses as `case` does."""
        return sorted(self._held(self._named(case_id)), key=lambda each: key_of(each.ref))

    def cases(self) -> list[Case]:
        """Return all cases, those first that are open, the newest first; what is connected is one."""
        threads = {id(thread): thread for thread in self._threads.values()}
        found = [self._read(thread) for thread in threads.values()]
        return sorted(found, key=lambda case: (not case.is_open, -case.last_us))

    @cached_property
    def _headers(self) -> dict[Key, pb.Header]:
        found = {key: each.header for key, (each, _) in self._collected.items()}
        return found | {key: each.header for key, each in self._sent.items()}

    @cached_property
    def _threads(self) -> dict[Key, set[Key]]:
        """What is connected by citations, by each of its envelopes; what does not lie here connects too."""
        threads: dict[Key, set[Key]] = {}
        for key, header in self._headers.items():
            for other in (key, *map(key_of, header.cites)):
                one, two = threads.setdefault(key, {key}), threads.setdefault(other, {other})
                if one is not two:
                    small, large = sorted((one, two), key=len)
                    large |= small
                    threads.update(dict.fromkeys(small, large))
        return threads

    def _named(self, case_id: str) -> set[Key]:
        named = [key for key, header in self._headers.items() if header.case_id == case_id]
        if not named:
            raise Refusal(ErrorCode.NOT_FOUND, "nothing that lies here names this case", "case")
        return {key for each in named for key in self._threads[each]}

    def _read(self, keys: Iterable[Key]) -> Case:
        papers: list[Paper] = []
        words: list[Said] = []
        unsure: list[pb.Header] = []
        for each in self._held(keys):
            if each.unsure:
                unsure.append(self._sent[key_of(each.ref)].header)
            if each.paper is not None:
                papers.append(each.paper)
                words += each.said
        return Case(papers, words, self._directory, self._me, unsure=unsure, drafted=self._drafted)

    def _held(self, keys: Iterable[Key]) -> Iterator[Held]:
        for key in keys:
            ref = ids.EnvelopeRef(sender=key[0], id=key[1])
            if key in self._sent:
                paper, said = self._sent_paper(self._sent[key].header, self._said(key))
                refused = any(each.statement.milestone == pb.MILESTONE_REFUSED for each in said)
                yield Held(ref, None, paper, tuple(said), unsure=paper is None and not refused)
            elif key in self._collected:
                glimpse, folder = self._collected[key]
                paper, said = self._collected_paper(glimpse, folder, self._said(key))
                yield Held(ref, glimpse.fingerprint, paper, tuple(said))

    def _sent_paper(self, header: pb.Header, said: list[Said]) -> tuple[Paper | None, list[Said]]:
        """Return what our node accepted, and what was said of it since: it may have refused the same before."""
        ours = [each.statement for each in said if each.statement.issuer == self._node]
        accepted = next((each for each in ours if each.milestone == pb.MILESTONE_ACCEPTED), None)
        if accepted is None:
            return None, said
        refusals = [each for each in ours if each.milestone == pb.MILESTONE_REFUSED and each.at_us < accepted.at_us]
        return Paper(header, accepted.at_us), [each for each in said if each.statement not in refusals]

    def _collected_paper(self, glimpse: Glimpse, folder: Folder, said: list[Said]) -> tuple[Paper | None, list[Said]]:
        about = [each for each in said if each.statement.fingerprint == glimpse.fingerprint]
        if folder is Folder.REJECTED and not any(each.statement.code in _PROVEN for each in about):
            return None, []
        header = glimpse.header
        # Our own signed word is as old as the file, and a copy of the folder does not make it younger.
        came_us = min([glimpse.at_us, *(each.at_us for each in about if each.statement.issuer == self._me)])
        return Paper(header, self._about_when(header.sender, header.created_at_us, came_us)), about

    def _said(self, key: Key) -> list[Said]:
        told = self._maildir.statements(ids.EnvelopeRef(sender=key[0], id=key[1]))
        return [Said(said, self._about_when(said.issuer, said.at_us, came_us)) for came_us, said in told]

    def _about_when(self, author: str, made_us: int, came_us: int) -> int:
        """Return when our node had something: from home at once, however late we fetched it; from abroad, later."""
        home = Address.parse(author, allow_node=True).node == Address.parse(self._me).node
        return min(made_us, came_us) if home else came_us
