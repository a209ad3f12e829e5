"""A case in the words of CASE and UCO, as JSON-LD, for other people's tools.

In: a `CaseFile`, and its texts as canonical JSON. Out: one JSON text (RFC 8785) with its context inside: nothing has to
be fetched to read it. It says what the rest of the file says and no more: of what is withheld, the name and the
fingerprint; of what is redacted or sealed, the header. No I/O.

Investigation, Authorization, InvestigativeAction, ProvenanceRecord, Organization, Tool, File and DigitalAddress are
CASE's and UCO's. For what these have no word (chains, sums, procedure) there are terms of our own, prefix `rogatory`: a
reader of CASE alone loses them and nothing else. Sums are texts of decimal digits: a float would change them. The same
thing has the same id in every case file: a UUID of version 5, made of its name.

Sources: CASE 1.5.0 and the UCO in it (https://caseontology.org, https://unifiedcyberontology.org); JSON-LD 1.1.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final, TypeAlias
from uuid import UUID, uuid5

from google.protobuf.message import Message
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from clients.casefile.contents import Envelope, Receipt
from clients.casefile.reading import CaseFile, within
from clients.cases import Key, key_of
from gateway import manifest
from gateway.errors import ErrorCode
from gateway.formats import json_form
from gateway.formats.documents import Document
from gateway.formats.page import words
from gateway.identity import Address

Node: TypeAlias = dict[str, object]

OURS: Final = UUID("2eb7bd37-56b6-4ca2-9a97-831a02367daa")
"""Of our terms and our ids; never to be changed."""

CONTEXT: Final[Node] = {
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "rogatory": f"urn:uuid:{OURS}#",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-identity": "https://ontology.unifiedcyberontology.org/uco/identity/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}

_AUTHORISING: Final = frozenset(
    {ids.KIND_DOMESTIC_ORDER, ids.KIND_PROVISIONAL_ORDER, ids.KIND_TRANSFER_ORDER, ids.KIND_REVIEW_DECISION}
    | {ids.KIND_CONFIRMATION, ids.KIND_VALIDATION, ids.KIND_EXTENSION, ids.KIND_RESTITUTION_DECISION}
)
"""What lets somebody do something, unless it refuses or postpones."""
_GRANTS: Final = frozenset({ids.OUTCOME_UNSPECIFIED, ids.OUTCOME_GRANTED, ids.OUTCOME_PARTLY_GRANTED})


def render(case: CaseFile, texts: Mapping[str, bytes]) -> bytes:
    """Return the case as JSON-LD.

    Args:
        case: what it is made of.
        texts: the texts that are shown, as canonical JSON, by their names in the file.
    """
    things = [
        *(_party(who, case) for who in _addresses(case)),
        _tool(case),
        *_authorizations(case),
        *_actions(case),
        *_exhibits(case, texts),
        *_wallets(case),
        *_transactions(case),
    ]
    return json_form.canonical({"@context": CONTEXT, "@graph": [_investigation(case, things), *things]})


def _investigation(case: CaseFile, things: Iterable[Node]) -> Node:
    said, made = case.manifest, [header.created_at_us for header in case.headers.values()]
    orders_ = [each["@id"] for each in things if each["@type"] == "case-investigation:Authorization"]
    return _told(
        {
            "@id": _id("investigation", said.federation, *said.case_ids),
            "@type": "case-investigation:Investigation",
            "uco-core:name": ", ".join(said.case_ids),
            "case-investigation:investigationForm": "case",
            "uco-core:startTime": _moment(min(made)) if made else None,
            "case-investigation:relevantAuthorization": [{"@id": each} for each in orders_],
            "uco-core:object": [{"@id": each["@id"]} for each in things],
            "rogatory:federation": said.federation,
            "rogatory:caseId": said.case_ids,
        }
    )


# Who.


def _addresses(case: CaseFile) -> list[str]:
    """Return everybody whom the file names as a party, a signer or an issuer."""
    found = {case.manifest.exporter, *(each.ref.sender for each in case.listed)}
    for key, header in case.headers.items():
        found |= {header.sender, *header.recipients, *(each.signer for each in case.envelopes[key].signatures)}
    for each in case.statements:
        found |= {each.issuer, each.envelope.sender, *filter(None, [each.recipient])}
    return sorted(found)


def _party(who: str, case: CaseFile) -> Node:
    address = Address.parse(who, allow_node=True)
    entry = None if address.is_node else case.directory.participant(address)
    roles = [] if entry is None else sorted(role.value for role in entry.roles)
    facet = {"rogatory:address": who, "rogatory:role": ["node"] if address.is_node else roles}
    return {
        # A node is a machine of its State, and acts by itself.
        "@type": "uco-tool:Tool" if address.is_node else "uco-identity:Organization",
        "@id": _id("party", who),
        "uco-core:name": who if entry is None or not entry.legal_name else entry.legal_name,
        "uco-core:hasFacet": [_facet("ParticipantFacet", ("party", who), facet)],
    }


def _tool(case: CaseFile) -> Node:
    name, _, version = case.manifest.software.partition(" ")
    tool = {"@id": _id("tool", case.manifest.software), "@type": "uco-tool:Tool", "uco-core:name": name}
    return _told(tool | {"uco-tool:version": version})


# By which right.


def _authorizations(case: CaseFile) -> Iterator[Node]:
    texts = {each.ref.key: document for each, document in case.documents()}
    for each in case.listed:
        header = case.headers.get(each.ref.key)
        if header is not None:
            yield from _authorizations_of(header, texts.get(each.ref.key))
    said = case.manifest
    if said.authority:
        yield {
            "@id": _id("authorization", said.exporter, said.exported_us),
            "@type": "case-investigation:Authorization",
            "case-investigation:authorizationType": "handing out of the case file",
            "case-investigation:authorizationIdentifier": said.authority,
        }


def _authorizations_of(header: pb.Header, document: Document | None) -> Iterator[Node]:
    """Yield the order that an envelope is, and the one that its text names."""
    kind = words.enum(ids.Kind.DESCRIPTOR, header.kind)[0]
    if header.kind in _AUTHORISING and header.outcome in _GRANTS:
        court = _authority(document)
        yield _told(
            {
                "@id": _order_id(header),
                "@type": "case-investigation:Authorization",
                "uco-core:name": "" if court is None else court.name,
                "case-investigation:authorizationType": kind,
                "case-investigation:authorizationIdentifier": [header.id]
                + ([] if court is None else [court.file_number]),
                "uco-core:startTime": _moment(header.created_at_us),
                "uco-core:endTime": _moment(header.in_force_until_us) if header.HasField("in_force_until_us") else None,
            }
        )
    reference = getattr(document, "order_reference", "")
    if reference:
        yield {
            "@id": _id("order", *key_of(header)),
            "@type": "case-investigation:Authorization",
            "uco-core:name": document.issuing_authority.name,  # type: ignore[union-attr]  # who names an order names who asks
            "case-investigation:authorizationType": f"order behind the {kind}",
            "case-investigation:authorizationIdentifier": [reference],
            "rogatory:orderDate": document.order_date,  # type: ignore[union-attr]  # and when it was made
        }


def _order_id(header: pb.Header) -> str:
    return _id("authorization", *key_of(header))


def _authority(document: Document | None) -> parties.Authority | None:
    for field, value in [] if document is None else document.ListFields():
        if field.message_type is parties.Authority.DESCRIPTOR and not field.is_repeated:
            assert isinstance(value, parties.Authority)  # noqa: S101  what the descriptor says
            return value
    return None


# What was done.


def _actions(case: CaseFile) -> Iterator[Node]:
    texts = {each.ref.key: document for each, document in case.documents()}
    for each in case.listed:
        header = case.headers.get(each.ref.key)
        if header is not None:
            yield _sent(case, each, header, texts.get(each.ref.key))
    for entry, said in case.told:
        yield _stated(case, entry, said)
    yield _handed_out(case)


def _sent(case: CaseFile, each: Envelope, header: pb.Header, document: Document | None) -> Node:
    signers = [signed.signer for signed in case.envelopes[each.ref.key].signatures]
    others = dict.fromkeys(who for who in (*header.recipients, *signers) if who != header.sender)
    order = header.kind in _AUTHORISING and header.outcome in _GRANTS
    wallets = [] if document is None else within(document, evidence.WalletIdentifier)
    results = [] if document is None else within(document, orders.FreezeResult)
    return _told(
        {
            "@id": _action_id(each.ref.key),
            "@type": "case-investigation:InvestigativeAction",
            "uco-core:name": words.enum(ids.Kind.DESCRIPTOR, header.kind)[0],
            "uco-action:performer": {"@id": _id("party", header.sender)},
            "uco-action:participant": [{"@id": _id("party", who)} for who in others],
            "uco-action:startTime": _moment(header.created_at_us),
            "uco-action:endTime": _moment(header.created_at_us),
            "uco-action:object": [{"@id": one} for one in dict.fromkeys(map(_wallet_id, wallets))],
            "uco-action:result": [
                {"@id": _exhibit_id(each.ref.key)},
                *([{"@id": _order_id(header)}] if order else []),
            ],
            "case-investigation:wasInformedBy": [
                {"@id": _action_id(key)} for key in map(key_of, header.cites) if key in case.headers
            ],
            "rogatory:envelope": header.id,
            "rogatory:caseId": header.case_id,
            "rogatory:signedBy": [{"@id": _id("party", who)} for who in signers],
            "rogatory:instrument": header.instrument,
            "rogatory:urgency": words.word(ids.Urgency.DESCRIPTOR, header.urgency),
            "rogatory:outcome": words.word(ids.Outcome.DESCRIPTOR, header.outcome),
            "rogatory:ground": words.word(ids.Ground.DESCRIPTOR, header.ground),
            "rogatory:measure": [words.word(ids.Measure.DESCRIPTOR, one) for one in header.measures],
            "rogatory:dataClass": [words.word(ids.DataClass.DESCRIPTOR, one) for one in header.data_classes],
            "rogatory:amount": _money(header.amount) if header.HasField("amount") else None,
            "rogatory:orderTotal": _money(header.order_total) if header.HasField("order_total") else None,
            "rogatory:freezeResult": [*map(_freeze_result, results)],
        }
    )


def _stated(case: CaseFile, entry: Receipt, said: pb.Statement) -> Node:
    key = entry.envelope.key
    return _told(
        {
            "@id": _id("statement", entry.sha256),
            "@type": "case-investigation:InvestigativeAction",
            "uco-core:name": words.word(pb.Milestone.DESCRIPTOR, said.milestone),
            "uco-action:performer": {"@id": _id("party", said.issuer)},
            "uco-action:participant": {"@id": _id("party", said.recipient)} if said.recipient else None,
            "uco-action:startTime": _moment(said.at_us),
            "uco-action:endTime": _moment(said.at_us),
            "uco-action:object": {"@id": _exhibit_id(key)},
            "uco-action:result": {"@id": _file_id(entry.sha256)},
            "case-investigation:wasInformedBy": {"@id": _action_id(key)} if key in case.headers else None,
            "uco-core:description": said.detail,
            "rogatory:envelope": key[1],
            "rogatory:code": ErrorCode(said.code).name if said.code else "",
            "rogatory:outcome": words.word(ids.Outcome.DESCRIPTOR, said.outcome),
            "rogatory:ground": words.word(ids.Ground.DESCRIPTOR, said.ground),
        }
    )


def _handed_out(case: CaseFile) -> Node:
    said = case.manifest
    return _told(
        {
            "@id": _id("handed out", said.exporter, said.exported_us),
            "@type": "case-investigation:InvestigativeAction",
            "uco-core:name": "case file handed out",
            "uco-core:description": said.purpose,
            "uco-action:performer": {"@id": _id("party", said.exporter)},
            "uco-action:instrument": {"@id": _id("tool", said.software)},
            "uco-action:startTime": _moment(said.exported_us),
            "uco-action:endTime": _moment(said.exported_us),
            "uco-action:object": [{"@id": _exhibit_id(each.ref.key)} for each in case.listed],
            "rogatory:person": said.by,
        }
    )


def _freeze_result(result: orders.FreezeResult) -> Node:
    return _told(
        {
            "@type": "rogatory:FreezeResult",
            "rogatory:wallet": {"@id": _wallet_id(result.wallet)},
            "rogatory:status": words.word(orders.FreezeStatus.DESCRIPTOR, result.status),
            "rogatory:frozen": [*map(_amount, result.frozen)],
            "rogatory:shortfall": [*map(_amount, result.shortfall)],
            "rogatory:frozenAt": _moment(result.frozen_at_us) if result.HasField("frozen_at_us") else None,
            "rogatory:movedIn": [*result.moved_in],
        }
    )


# What proves it.


def _exhibits(case: CaseFile, texts: Mapping[str, bytes]) -> Iterator[Node]:
    """Yield a record for every envelope, withheld ones too, and what the file holds of it."""
    receipts: dict[Key, list[Node]] = {}
    for entry, receipt in zip(case.manifest.receipts, case.receipts, strict=True):
        made = _file(entry.name, receipt.SerializeToString(deterministic=True))
        receipts.setdefault(entry.envelope.key, []).append(made)
    titles = {
        each.sealed.sha256: each.title
        for _, document in case.documents()
        for each in manifest.attachments_of(document)
        if each.HasField("sealed")
    }
    files: dict[Key, list[Node]] = {}
    for each, ref in case.attachments():
        files.setdefault(each.ref.key, []).append(_attachment(ref, titles.get(ref.sha256, "")))
    for number, each in enumerate(case.listed, start=1):
        held = [*_members(case, each, texts), *files.get(each.ref.key, ()), *receipts.get(each.ref.key, ())]
        yield _told(
            {
                "@id": _exhibit_id(each.ref.key),
                "@type": "case-investigation:ProvenanceRecord",
                "case-investigation:exhibitNumber": str(number),
                "uco-core:name": f"envelope {each.ref.id} of {each.ref.sender}",
                "uco-core:description": each.reason,
                "uco-core:createdBy": {"@id": _id("party", case.manifest.exporter)},
                "uco-core:object": [{"@id": one["@id"]} for one in held],
                "rogatory:fingerprint": _hex(each.fingerprint),
                "rogatory:state": each.state.value,
                "rogatory:recordedAt": None if each.recorded_us is None else _moment(each.recorded_us),
            }
        )
        yield from held


def _members(case: CaseFile, each: Envelope, texts: Mapping[str, bytes]) -> Iterator[Node]:
    raw, shown = case.envelopes.get(each.ref.key), case.shown.get(each.ref.key)
    if raw is None:
        return
    whole = _file(each.name, raw.SerializeToString(deterministic=True))
    yield whole
    if shown is None:
        return
    body = _file(each.body, shown.body, whole)
    yield body
    yield _file(each.salt, shown.salt, whole)
    yield _file(each.document, texts[each.document], body)


def _file(name: str, content: bytes, source: Node | None = None) -> Node:
    digest = sha256(content).hexdigest()
    # Two members may have the same bytes, but for receipts, which are named by them.
    id_ = _file_id(digest) if name.startswith("receipts/") else _id("file", name, digest)
    node = _content(id_, digest, len(content), {})
    named = {"uco-observable:fileName": name.rpartition("/")[2], "uco-observable:filePath": name}
    facet = {"@id": _id("FileFacet", id_), "@type": "uco-observable:FileFacet", **named}
    return node | _told(
        {
            "uco-core:hasFacet": [*node["uco-core:hasFacet"], facet],  # type: ignore[misc]  # a list, as made below
            "case-investigation:wasDerivedFrom": None if source is None else {"@id": source["@id"]},
        }
    )


def _attachment(ref: pb.AttachmentRef, title: str) -> Node:
    """Return a file that travelled with an envelope: its ciphertext, which is not in the case file."""
    digest = ref.sha256.hex()
    made = _content(_id("attachment", digest), digest, ref.size, {"uco-observable:isEncrypted": True})
    return made | _told({"uco-core:name": title})


def _content(id_: str, digest: str, size: int, said: Node) -> Node:
    method = {"uco-types:hashMethod": "SHA256", "uco-types:hashValue": _hex(digest)}
    facet = {
        "@id": _id("ContentDataFacet", id_),
        "@type": "uco-observable:ContentDataFacet",
        "uco-observable:hash": {"@id": _id("Hash", id_), "@type": "uco-types:Hash", **method},
        "uco-observable:sizeInBytes": _number(size),
        **said,
    }
    return {"@id": id_, "@type": "uco-observable:File", "uco-core:hasFacet": [facet]}


# Wallets and transactions.


def _wallets(case: CaseFile) -> Iterator[Node]:
    """Yield every address that a text names, once, with all that is said of it."""
    named: dict[str, list[evidence.WalletIdentifier]] = {}
    ends: dict[str, tuple[str, str]] = {}
    for _, document in case.documents():
        for wallet in within(document, evidence.WalletIdentifier):
            end = _wallet_end(wallet)
            id_ = _address_id(*end)
            ends.setdefault(id_, end)
            named.setdefault(id_, []).append(wallet)
    for record in case.transactions():
        for address in _addresses_in(record):
            ends.setdefault(_address_id(record.chain, address), (record.chain, address))
    for id_, (chain, address) in ends.items():
        yield _wallet(id_, chain, address, named.get(id_, []))


def _wallet(id_: str, chain: str, address: str, told: list[evidence.WalletIdentifier]) -> Node:
    types = ["uco-observable:DigitalAddress"]
    known: Node = {"rogatory:chain": chain}
    for name, field, kind in (
        ("tag", "tag", None),
        ("custody", "custody", evidence.Custody.DESCRIPTOR),
        ("checksum", "checksum_state", evidence.ChecksumState.DESCRIPTOR),
        ("quotedBecause", "quoted_because", None),
        ("providerLei", "provider_lei", None),
        ("source", "source", None),
    ):
        values = {getattr(each, field) for each in told} - {"", 0}
        known[f"rogatory:{name}"] = sorted(each if kind is None else words.word(kind, each) for each in values)
    facets: list[Node] = [
        {
            "@id": _id("DigitalAddressFacet", id_),
            "@type": "uco-observable:DigitalAddressFacet",
            "uco-observable:addressValue": address,
        },
        _facet("WalletFacet", (id_,), known),
    ]
    for account in sorted({each.account_reference for each in told} - {""}):
        types = ["uco-observable:DigitalAddress", "uco-observable:DigitalAccount"]
        facets.append(
            {
                "@id": _id("AccountFacet", id_, account),
                "@type": "uco-observable:AccountFacet",
                "uco-observable:accountIdentifier": account,
            }
        )
    return {"@id": id_, "@type": types, "uco-core:hasFacet": facets}


def _addresses_in(record: evidence.TransactionRecord) -> Iterator[str]:
    ends = (each.address for each in (*record.inputs, *record.outputs))
    changed = (each.address for each in record.balance_changes)
    yield from filter(None, (*ends, *changed, record.fee_payer))


def _transactions(case: CaseFile) -> Iterator[Node]:
    sources: dict[str, dict[str, None]] = {}
    for each, document in case.documents():
        body = _id("file", each.body, sha256(case.shown[each.ref.key].body).hexdigest())
        for record in within(document, evidence.TransactionRecord):
            sources.setdefault(_record_id(record), {})[body] = None
    for record in case.transactions():
        id_ = _record_id(record)
        yield {
            "@id": id_,
            "@type": ["uco-observable:ObservableObject", "rogatory:TransactionRecord"],
            "uco-core:name": record.txid,
            "case-investigation:wasDerivedFrom": [{"@id": each} for each in sources[id_]],
            "uco-core:hasFacet": [_facet("TransactionFacet", (id_,), _record(record))],
        }


def _record(record: evidence.TransactionRecord) -> Node:
    def number(name: str) -> Node | None:
        return _number(getattr(record, name)) if record.HasField(name) else None  # type: ignore[arg-type]  # names of its fields

    def when(name: str) -> Node | None:
        return _moment(getattr(record, name)) if record.HasField(name) else None  # type: ignore[arg-type]  # as above

    return {
        "rogatory:chain": record.chain,
        "rogatory:txid": record.txid,
        "rogatory:transactionKind": words.word(evidence.TransactionKind.DESCRIPTOR, record.kind),
        "rogatory:logIndex": number("log_index"),
        "rogatory:traceAddress": record.trace_address,
        "rogatory:status": words.word(evidence.TransactionStatus.DESCRIPTOR, record.status),
        "rogatory:blockHeight": number("block_height"),
        "rogatory:blockHash": record.block_hash,
        "rogatory:blockTime": when("block_time_us"),
        "rogatory:slot": number("slot"),
        "rogatory:observedAt": when("observed_at_us"),
        "rogatory:source": record.source,
        "rogatory:fee": _amount(record.fee) if record.HasField("fee") else None,
        "rogatory:feePayer": _end(record.chain, record.fee_payer),
        "rogatory:input": [_moved(record.chain, at, each) for at, each in enumerate(record.inputs)],
        "rogatory:output": [_moved(record.chain, at, each) for at, each in enumerate(record.outputs)],
        "rogatory:balanceChange": [
            _told(
                {
                    "@type": "rogatory:BalanceChange",
                    "rogatory:wallet": _end(record.chain, each.address),
                    "rogatory:asset": each.asset,
                    "rogatory:baseUnits": each.delta,
                    "rogatory:decimals": each.decimals if each.HasField("decimals") else None,
                }
            )
            for each in record.balance_changes
        ],
    }


def _moved(chain: str, at: int, end: evidence.TransferEnd) -> Node:
    return _told(
        {
            "@type": "rogatory:TransferEnd",
            # A graph keeps no order.
            "rogatory:position": at,
            "rogatory:wallet": _end(chain, end.address),
            "rogatory:amount": _amount(end.amount) if end.HasField("amount") else None,
            "rogatory:spent": end.spent,
        }
    )


def _end(chain: str, address: str) -> Node | None:
    return {"@id": _address_id(chain, address)} if address else None


def _amount(quantity: evidence.AssetAmount) -> Node:
    return _told(
        {
            "@type": "rogatory:AssetAmount",
            "rogatory:asset": quantity.asset,
            "rogatory:baseUnits": quantity.base_units,
            "rogatory:decimals": quantity.decimals if quantity.HasField("decimals") else None,
            "rogatory:dti": quantity.dti,
            "rogatory:worth": _money(quantity.valuation.value) if quantity.HasField("valuation") else None,
        }
    )


def _money(sum_: evidence.Money) -> Node:
    return {"@type": "rogatory:Money", "rogatory:currency": sum_.currency, "rogatory:decimalAmount": sum_.amount}


# Names and values.


def _id(*name: str | int) -> str:
    return f"urn:uuid:{uuid5(OURS, json_form.canonical([*name]).decode())}"


def _action_id(key: Key) -> str:
    return _id("action", *key)


def _exhibit_id(key: Key) -> str:
    return _id("exhibit", *key)


def _file_id(digest: str) -> str:
    return _id("receipt", digest)


def _address_id(chain: str, address: str) -> str:
    return _id("address", chain, address)


def _wallet_end(wallet: evidence.WalletIdentifier) -> tuple[str, str]:
    """Return its chain and its address there."""
    return wallet.chain or wallet.chain_name, wallet.canonical or wallet.address


def _wallet_id(wallet: evidence.WalletIdentifier) -> str:
    return _address_id(*_wallet_end(wallet))


def _record_id(record: Message) -> str:
    return _id("transaction", sha256(record.SerializeToString(deterministic=True)).hexdigest())


def _facet(name: str, of: Iterable[str], said: Mapping[str, object]) -> Node:
    return _told({"@id": _id(name, *of), "@type": ["uco-core:Facet", f"rogatory:{name}"], **said})


def _told(node: Mapping[str, object]) -> Node:
    """Leave out what is not told."""
    return {name: value for name, value in node.items() if value is not None and value not in ("", [])}


def _moment(micros: int) -> Node:
    return {"@type": "xsd:dateTime", "@value": words.moment(micros)}


def _number(value: int) -> Node:
    # A reader of JSON may hold numbers as floats.
    return {"@type": "xsd:integer", "@value": str(value)}


def _hex(value: str) -> Node:
    return {"@type": "xsd:hexBinary", "@value": value}
