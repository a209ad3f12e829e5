"""What is done with each thing that the node hands out, before anything is acknowledged.

In: items of a Collect response. Out: acknowledgements, and what the participant's program gets to see: `Received`,
`Told` or `Faulty`. No network: disk and keys only.

An envelope goes through these steps:
1. It has a readable header. Without one it has no name, nothing can be signed about it, and it is not acknowledged.
2. If the very same is held already, it is acknowledged again with the same signed word, and not shown again. If it was
   rejected and the power went before we said so, it is judged anew.
   Other bytes under the same name are rejected with ID_CONFLICT, and both are kept; unless the sender signed but one of
   them: of a forgery that a node hands out first, nothing is said against the sender.
3. Its signatures hold, by our own directory; it opens; its document is well-formed and fits its header; the files that
   travel with it are those that the document names; what the header is aimed at is what the document names, as far as
   we hold the target key (`gateway.targets`).
4. It is on our disk: in new/, or in rejected/ if step 3 refused.
5. We sign OPENED, or REJECTED with the code, and that is on our disk too.
6. It is acknowledged with that word.

A receipt is kept if its signature holds and it is about an envelope of ours, or our own node tells us of a time limit
on, or a rival of, what we were sent; where this memory still has that envelope, about these very bytes. Any other
receipt is shown as `Faulty` and not acknowledged: we cannot say that we hold a proof which proves nothing. The node
offers it again in a later stream, when our directory may know a key that is new today.
A probe is answered by what is on the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from nacl.public import PrivateKey
from nacl.signing import SigningKey
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox

from clients.maildir import Arrival, Collector, Folder, Maildir
from gateway import codec, envelope, manifest, statement, targets
from gateway.clock import Clock, to_micros
from gateway.codec import MAX_DETAIL_CHARS, MAX_FIELD_CHARS
from gateway.directory import Directory
from gateway.envelope import Opened
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.formats.documents import Document
from gateway.identity import Address
from gateway.target_keys import TargetKey


@dataclass(frozen=True, slots=True)
class Received:
    """An envelope that opened and is what its header says. It is on our disk, and the sender will hear OPENED."""

    envelope: pb.SignedEnvelope = field(repr=False)
    opened: Opened
    document: Document = field(repr=False)

    @property
    def header(self) -> pb.Header:
        """Its header, signed."""
        return self.opened.header

    @property
    def ref(self) -> ids.EnvelopeRef:
        """Its name."""
        return self.opened.ref


@dataclass(frozen=True, slots=True)
class Told:
    """A proven statement about an envelope of ours. It is on our disk."""

    receipt: pb.Receipt = field(repr=False)
    statement: pb.Statement


@dataclass(frozen=True, slots=True)
class Faulty:
    """What could not be taken as it came.

    Args:
        content: the thing itself; None for an acknowledgement that the node refused.
        error: the rule that said no. About an envelope, the sender will hear REJECTED with its code.
    """

    content: pb.SignedEnvelope | pb.Receipt | None = field(repr=False)
    error: Refusal


Item: TypeAlias = Received | Told | Faulty


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a participant opens and answers with.

    Args:
        address: who it is.
        signing_key: signs its statements.
        sealing_keys: open what is sealed to it, old ones too.
        target_keys: of an authority, tell what a header is aimed at.
    """

    address: Address
    signing_key: SigningKey = field(repr=False)
    sealing_keys: tuple[PrivateKey, ...] = field(repr=False)
    target_keys: tuple[TargetKey, ...] = field(default=(), repr=False)

    def open(self, raw: pb.SignedEnvelope) -> Received:
        """Return an envelope with its document, whose signatures are checked elsewhere.

        Raises:
            Refusal: CANNOT_OPEN or CONTENT_MISMATCH.
        """
        opened = envelope.open_envelope(raw, str(self.address), self.sealing_keys)
        document = documents.decode_for(opened.header, opened.body)
        manifest.check_document(raw.attachments, document)
        return Received(raw, opened, document)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One envelope of a response, between the steps."""

    delivery_id: int
    raw: pb.SignedEnvelope
    ref: ids.EnvelopeRef
    fingerprint: bytes
    arrival: Arrival | None  # None: it is held already
    error: Refusal | None = None


class Intake:
    """Takes in what one participant is handed."""

    def __init__(
        self, secrets: Secrets, directory: Directory, clock: Clock, maildir: Maildir, collector: Collector
    ) -> None:
        self._secrets = secrets
        self._me = str(secrets.address)
        self._directory = directory
        self._clock = clock
        self._maildir = maildir
        self._collector = collector

    def take_in(self, items: Sequence[mailbox.Item]) -> tuple[list[mailbox.Acknowledgement], list[Item]]:
        """Take in the items of one response; everything is on the disk when this returns.

        Raises:
            Failure: STORE; nothing may be acknowledged.
        """
        shown: list[Item] = []
        acks = self._take_envelopes([item for item in items if item.HasField("envelope")], shown)
        acks += self._take_receipts([item for item in items if item.HasField("receipt")], shown)
        acks += [self._answer_probe(item, shown) for item in items if item.HasField("probe")]
        return acks, shown

    def _take_envelopes(self, items: Sequence[mailbox.Item], shown: list[Item]) -> list[mailbox.Acknowledgement]:
        judged: list[_Judged] = []
        for item in items:
            try:
                header = envelope.parse_header(item.envelope)  # (1)
            except Refusal as error:
                shown.append(Faulty(item.envelope, error))
                continue
            judged.append(self._judge(item.delivery_id, item.envelope, header, judged, shown))
        self._collector.put([each.arrival for each in judged if each.arrival is not None])  # (4)
        words = self._words(judged)  # (5)
        return [  # (6)
            mailbox.Acknowledgement(delivery_id=each.delivery_id, held=True, statement=words[each.fingerprint])
            for each in judged
        ]

    def _judge(
        self,
        delivery_id: int,
        raw: pb.SignedEnvelope,
        header: pb.Header,
        before: Sequence[_Judged],
        shown: list[Item],
    ) -> _Judged:
        ref, fingerprint = envelope.ref_of(header), envelope.fingerprint(raw)
        judged = _Judged(delivery_id, raw, ref, fingerprint, arrival=None)
        if any(each.fingerprint == fingerprint for each in before):  # (2)
            return judged
        if self._collector.held(fingerprint) is not None and not self._is_unsaid(judged):
            return judged
        try:
            shown.append(self._open(judged, header, before))
        except Refusal as error:
            shown.append(Faulty(raw, error))
            return replace(judged, arrival=Arrival(raw, ref, fingerprint, Folder.REJECTED), error=error)
        return replace(judged, arrival=Arrival(raw, ref, fingerprint, Folder.NEW))

    def _is_unsaid(self, each: _Judged) -> bool:
        """Whether it was rejected, and the power went between steps 4 and 5: why, nobody knows any more.

        Then it is judged as if it came now; should it open, it goes to new/ as well, which counts before rejected/.
        What lies in new/ or done/ without our word did open, and a program may have dealt with it.
        """
        return self._collector.is_rejected(each.fingerprint) and self._said_before(each) is None

    def _is_used(self, judged: _Judged, before: Sequence[_Judged]) -> bool:
        """Whether the sender has used that name for other bytes."""
        ref, fingerprint = judged.ref, judged.fingerprint
        # What came earlier in this very response is as good as held.
        others = [each.raw for each in before if each.ref == ref]
        held = self._collector.fingerprint(ref)
        if held not in (None, fingerprint):
            if not self._collector.is_rejected(held):
                return True
            others += self._maildir.rejected(ref, but=fingerprint)
        return any(map(self._is_by_its_sender, others))

    def _is_by_its_sender(self, raw: pb.SignedEnvelope) -> bool:
        try:
            envelope.verify(raw, envelope.parse_header(raw), self._directory.signing_key)
        except Refusal:
            return False
        return True

    def _open(self, judged: _Judged, header: pb.Header, before: Sequence[_Judged]) -> Received:
        """Steps 2 and 3."""
        raw = judged.raw
        if self._is_used(judged, before):
            raise Refusal(ErrorCode.ID_CONFLICT, "the sender used this id for other bytes", "id")
        codec.parse(pb.SignedEnvelope, raw.SerializeToString())
        envelope.verify(raw, header, self._directory.signing_key)
        received = self._secrets.open(raw)
        # Not each time that it is opened: later, one of the keys that it was made with may be gone.
        targets.check(received.header, received.document, self._secrets.target_keys)
        return received

    def _words(self, judged: Sequence[_Judged]) -> dict[bytes, pb.Receipt]:
        words: dict[bytes, pb.Receipt] = {}
        unsaid: dict[bytes, _Judged] = {}
        for each in judged:
            word = self._said_before(each) if each.arrival is None else None
            if word is not None:
                words[each.fingerprint] = word
            else:
                unsaid.setdefault(each.fingerprint, each)
        if unsaid:
            statements = [self._statement(each) for each in unsaid.values()]
            receipts = statement.issue(statements, self._secrets.address, self._secrets.signing_key)
            self._maildir.keep_receipts(
                [(each.ref, word) for each, word in zip(unsaid.values(), receipts, strict=True)]
            )
            words.update(zip(unsaid, receipts, strict=True))
        return words

    def _said_before(self, each: _Judged) -> pb.Receipt | None:
        for receipt in self._maildir.receipts(each.ref):
            said = codec.parse(pb.Statement, receipt.statement, ErrorCode.BAD_RECEIPT)
            if (said.issuer, said.fingerprint) == (self._me, each.fingerprint):
                return receipt
        return None

    def _statement(self, each: _Judged) -> pb.Statement:
        error = each.error
        made = pb.Statement(
            envelope=each.ref,
            fingerprint=each.fingerprint,
            milestone=pb.MILESTONE_OPENED if error is None else pb.MILESTONE_REJECTED,
            issuer=self._me,
            at_us=to_micros(self._clock()),
            recipient=self._me,
        )
        if error is not None:
            made.code = errors_pb2.ErrorCode.ValueType(error.code)
            made.detail, made.field = error.detail[:MAX_DETAIL_CHARS], error.field[:MAX_FIELD_CHARS]
            made.rule = error.rule
        return made

    def _take_receipts(self, items: Sequence[mailbox.Item], shown: list[Item]) -> list[mailbox.Acknowledgement]:
        proven: list[tuple[int, Told]] = []
        for item in items:
            try:
                proven.append((item.delivery_id, Told(item.receipt, self._prove(item.receipt))))
            except Refusal as error:
                shown.append(Faulty(item.receipt, error))
        fresh = self._maildir.keep_receipts([(told.statement.envelope, told.receipt) for _, told in proven])
        shown.extend(told for (_, told), new in zip(proven, fresh, strict=True) if new)
        return [mailbox.Acknowledgement(delivery_id=delivery_id, held=True) for delivery_id, _ in proven]

    def _prove(self, receipt: pb.Receipt) -> pb.Statement:
        said = statement.verify(receipt, self._directory.signing_key)
        if said.envelope.sender == self._me:
            about = self._maildir.sent(said.envelope)
        elif said.milestone in statement.TO_RECIPIENT and said.recipient == self._me:
            about = self._collected(said)
        else:
            raise Refusal(ErrorCode.BAD_RECEIPT, "it is about an envelope of somebody else", "envelope")
        if about is not None:
            statement.check_subject(said, envelope.parse_header(about), envelope.fingerprint(about))
        return said

    def _collected(self, said: pb.Statement) -> pb.SignedEnvelope | None:
        """Return what we were sent and are told of; it may be on its way still, but then our own node must say so."""
        if said.issuer != str(Address.of_node(self._secrets.address.node)):
            raise Refusal(ErrorCode.BAD_RECEIPT, "what was sent to us our own node tells us about", "issuer")
        if self._collector.fingerprint(said.envelope) is None:
            return None
        return self._maildir.any_collected(said.envelope, said.fingerprint)

    def _answer_probe(self, item: mailbox.Item, shown: list[Item]) -> mailbox.Acknowledgement:
        ref = self._collector.held(item.probe.fingerprint)
        made = mailbox.Acknowledgement(delivery_id=item.delivery_id, held=ref is not None)
        if ref is not None:
            raw = self._maildir.any_collected(ref, item.probe.fingerprint)
            judged = self._judge(item.delivery_id, raw, envelope.parse_header(raw), (), shown)
            self._collector.put([judged.arrival] if judged.arrival is not None else [])
            (word,) = self._words([judged]).values()
            made.statement.CopyFrom(word)
        return made
