"""What must not work, tried on the wire, with real keys and certificates.

Each attack goes to a real node, and what is noted is the code that the node signed or answered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nacl.utils import random
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import relay_pb2 as relay
from rogatory.v1.mailbox_pb2_grpc import MailboxStub
from rogatory.v1.relay_pb2_grpc import RelayStub

from gateway import codec, envelope, material, signature, statement, transport
from gateway.cli.demo import papers
from gateway.cli.demo.desks import Desk
from gateway.cli.development import INSTRUMENT, Summary
from gateway.directory import Directory
from gateway.envelope import Letter
from gateway.errors import ErrorCode, Refusal
from gateway.signature import Domain

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Refused:
    """An attack, and the code that answered it."""

    attack: str
    code: ErrorCode
    by: str


@dataclass(frozen=True, slots=True)
class Loot:
    """Real envelopes that the attacks abuse."""

    accepted: pb.SignedEnvelope  # the freeze request, countersigned, accepted before
    draft: pb.SignedEnvelope  # another request, without countersignature


Note: TypeAlias = Callable[[Refused, ErrorCode], object]
"""Is told of a refusal, and which code it must have."""


class Succeeded(Exception):
    """An attack was not refused."""


def forge(desk: Desk, kind: ids.Kind.ValueType, to: str, body: bytes = b"\x00", **fields: object) -> pb.SignedEnvelope:
    """Compose what the library would not: any kind to anybody, signed and sealed with the desk's real keys."""
    participant = desk.participant
    now = participant.parts.clock()
    settings: dict[str, object] = {"sender": desk.address, "case_id": "forged", "measures": papers.MEASURES, **fields}
    letter = Letter(kind=kind, recipients=(to,), **settings)  # type: ignore[arg-type]  # as of Letter
    keys = participant.directory.sealing_keys(to, now)
    made = envelope.compose(letter, body, signing_key=participant.signing_key, reader_keys=keys, now=now, random=random)
    return made.envelope


def composed(attack: str, desk: Desk, compose: Callable[[], object]) -> Refused:
    """Try to compose it with the library, which refuses before anything is signed.

    Raises:
        Succeeded: it did not.
    """
    try:
        compose()
    except Refusal as error:
        return Refused(f"{attack}, with our library", error.code, desk.address)
    raise Succeeded(attack)


async def mount_all(desks: Mapping[str, Desk], loot: Loot, summary: Summary, note: Note) -> None:
    """Try every attack.

    Args:
        desks: by address.
        loot: what they abuse.
        summary: of the federation.
        note: told of each refusal, and of the code that it must have: a node that only fails has refused nothing.

    Raises:
        Succeeded: one was accepted.
    """
    prosecutor, court, exchange = desks["ee/prosecutor"], desks["de/court"], desks["de/exchange"]
    ministry = desks["de/central-authority"]
    request_by_exchange = forge(exchange, ids.KIND_FREEZE_REQUEST, "ee/central-authority", instrument=INSTRUMENT)
    foreign_order = forge(desks["ee/court"], ids.KIND_DOMESTIC_ORDER, "de/exchange")
    invented = ids.EnvelopeRef(sender="de/court", id="0193b7a0-0000-7000-8000-000000000000")
    in_name_of_ministry = forge(prosecutor, ids.KIND_COUNTERSIGNATURE, "ee/prosecutor", sender="ee/central-authority")
    second_answer = forge(
        ministry,
        ids.KIND_EXECUTION_REPORT,
        "ee/prosecutor",
        case_id=envelope.parse_header(loot.draft).case_id,
        outcome=ids.OUTCOME_GRANTED,
        instrument=INSTRUMENT,
        cites=(envelope.ref_of(envelope.parse_header(loot.draft)),),
    )
    own, rogue = "foreign order straight to an exchange", "foreign order straight to an exchange, through a rogue node"
    note(await submitted("exchange starting a request", exchange, request_by_exchange), ErrorCode.NOT_PERMITTED)
    note(await submitted(own, desks["ee/court"], foreign_order), ErrorCode.NOT_PERMITTED)
    note(await relayed(rogue, summary, foreign_order), ErrorCode.NOT_PERMITTED)
    unfounded = forge(court, ids.KIND_DOMESTIC_ORDER, "de/exchange", cites=(invented,), case_id="forged-2")
    note(await submitted("order citing what does not exist", court, unfounded), ErrorCode.UNKNOWN_CITATION)
    note(await submitted("missing countersignature", prosecutor, loot.draft), ErrorCode.NOT_COUNTERSIGNED)
    note(await submitted("altered header", prosecutor, altered(loot.accepted)), ErrorCode.BAD_SIGNATURE)
    again = replayed(loot.accepted, prosecutor, desks)
    note(await submitted("replay with other bytes", prosecutor, again), ErrorCode.ID_CONFLICT)
    note(await submitted("forged sender", prosecutor, in_name_of_ministry), ErrorCode.NOT_PERMITTED)
    answer = await submitted("answer to a request that never came", ministry, second_answer)
    note(answer, ErrorCode.UNKNOWN_CITATION)
    note(await contradicting(prosecutor, ministry, desks["ee/central-authority"]), ErrorCode.CONTENT_MISMATCH)


async def submitted(attack: str, desk: Desk, forged: pb.SignedEnvelope) -> Refused:
    """Hand in to the own node, past the library, which would not send such a thing."""
    parts = desk.participant.parts
    node, federation = parts.directory.node(parts.address.node), parts.directory.federation
    async with transport.calling(node, federation, parts.tls) as channel:
        response = await MailboxStub(channel).Submit(mailbox.SubmitRequest(envelope=forged), timeout=TIMEOUT_SECONDS)
    return answered(attack, response.answer, parts.directory, parts.address.node)


def answered(attack: str, answer: mailbox.Answer, directory: Directory, node: str) -> Refused:
    """Read the refusal out of an answer: signed, about an envelope of the caller's; an error, about anybody else's.

    Raises:
        Succeeded: it is no refusal.
    """
    if answer.WhichOneof("result") == "error":
        return Refused(attack, codec.error_from(answer.error).code, f"{node}/node")
    said = statement.verify(answer.receipt, directory.signing_key)
    if said.milestone != pb.MILESTONE_REFUSED:
        raise Succeeded(attack)
    return Refused(attack, ErrorCode(said.code), said.issuer)


async def relayed(attack: str, summary: Summary, forged: pb.SignedEnvelope) -> Refused:
    """Bring it to node de as a rogue node ee would, past ee's own checks, with ee's real certificate."""
    loaded = material.load_node(summary.config("ee/node"))
    directory = loaded.directory
    async with transport.calling(directory.node("de"), directory.federation, loaded.identity) as channel:
        call = RelayStub(channel).Relay(timeout=TIMEOUT_SECONDS)
        await call.write(relay.RelayRequest(frame=1, envelopes=[forged]))
        response = await call.read()
        call.cancel()
    if not isinstance(response, relay.RelayResponse):
        raise Succeeded(attack)
    return answered(attack, response.answers[0], directory, "de")


def altered(signed: pb.SignedEnvelope) -> pb.SignedEnvelope:
    """Return an envelope whose header asks for one measure more than was signed."""
    copy, header = pb.SignedEnvelope(), envelope.parse_header(signed)
    copy.CopyFrom(signed)
    header.measures.append(ids.MEASURE_HOLD_INCOMING)
    copy.header = header.SerializeToString()
    return copy


def replayed(signed: pb.SignedEnvelope, sender: Desk, desks: Mapping[str, Desk]) -> pb.SignedEnvelope:
    """Return other bytes under the same name, rightly signed and countersigned."""
    ministry = desks["ee/central-authority"]
    copy = altered(signed)
    signers: Sequence[Desk] = (sender, ministry)
    del copy.signatures[:]
    for signer in signers:
        key = signer.participant.signing_key
        copy.signatures.append(signature.sign(Domain.ENVELOPE, copy.header, signer.address, key))
    return copy


async def contradicting(sender: Desk, recipient: Desk, ministry: Desk) -> Refused:
    """Send a header that asks for less than the sealed document; no node can see it, the recipient's library does."""
    asked = papers.request(papers.read_wallets(None)[:1])
    asked.measures.extend((*papers.MEASURES, ids.MEASURE_HOLD_INCOMING))
    forged = forge(
        sender,
        ids.KIND_FREEZE_REQUEST,
        recipient.address,
        asked.SerializeToString(deterministic=True),
        instrument=INSTRUMENT,
        case_id="EE-FORGED",
    )
    key = ministry.participant.signing_key
    signed = envelope.with_signature(forged, envelope.countersign(forged, ministry.address, key))
    await sender.participant.submit(signed)
    said = await sender.told(envelope.ref_of(envelope.parse_header(signed)), pb.MILESTONE_REJECTED)
    return Refused("content that contradicts its header", ErrorCode(said.code), said.issuer)
