"""A case file in the words of CASE and UCO, judged by the published ontology."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from case_utils import case_validate
from case_utils.case_validate.validate_types import ValidationResult
from case_utils.case_validate.validate_utils import get_ontology_graph
from rdflib import Graph
from rdflib.plugins.sparql import processor
from rdflib.plugins.sparql.algebra import translateQuery
from rdflib.plugins.sparql.parser import parseQuery
from rdflib.plugins.sparql.sparql import Query
from rdflib.query import ResultRow
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids

from clients.casefile import archive, checks, contents
from clients.casefile.case_uco import CONTEXT, render
from clients.casefile.checks import Status
from clients.casefile.contents import LINKED, MANIFEST, SIGNATURE, Manifest, Ref
from clients.casefile.export import Terms
from clients.casefile.reading import CaseFile
from gateway import signature
from gateway.clock import system_clock
from gateway.envelope import ref_of
from gateway.formats import json_form
from gateway.signature import Domain
from tests import casefiles, paperwork, samples
from tests.casefiles import CENTRAL, PROSECUTOR, THEIR_CENTRAL, Made, manifest_of

# Of libraries that nobody runs but this.
pytestmark = pytest.mark.filterwarnings(
    "ignore:ConjunctiveGraph is deprecated:DeprecationWarning", r"ignore:.*Use files\(\):DeprecationWarning"
)

PREFIXES = "".join(f"PREFIX {name}: <{iri}>\n" for name, iri in CONTEXT.items())
ACTION = "case-investigation:InvestigativeAction"

ontology = cache(get_ontology_graph)


@cache
def query_of(text: str, base: str | None, names: frozenset[tuple[str, str]]) -> Query:
    return translateQuery(parseQuery(text), base, dict(names))


def validate(path: Path) -> ValidationResult:
    """Judge a graph; the ontology, and each of its dozen questions, is read once and not a thousand times."""

    def translated(text: str, base: str | None = None, names: Mapping[str, str] | None = None) -> Query:
        return query_of(text, base, frozenset((names or {}).items()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case_validate, "get_ontology_graph", ontology)
        patch.setattr(processor, "parseQuery", str)
        patch.setattr(processor, "translateQuery", translated)
        return case_validate.validate(str(path))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return casefiles.freeze(tmp_path_factory.mktemp("fed"), system_clock() - timedelta(hours=1))


@pytest.fixture(scope="module")
def raw(made: Made) -> bytes:
    return made.export(terms=Terms(authority="order 26-9", purpose="main hearing"))


def linked(raw: bytes) -> Any:
    return json.loads(archive.unpack(raw)[LINKED])


def of_type(said: Any, kind: str) -> list[Any]:
    return [each for each in said["@graph"] if kind in each["@type"]]


def asked(raw: bytes, query: str) -> list[tuple[str, ...]]:
    """Return the answer of a graph that somebody else's program has read."""
    graph = Graph().parse(data=archive.unpack(raw)[LINKED], format="json-ld")
    return sorted(tuple(map(str, row)) for row in graph.query(PREFIXES + query) if isinstance(row, ResultRow))


def values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for each in value.values():
            yield from values(each)
    elif isinstance(value, list):
        for each in value:
            yield from values(each)
    else:
        yield value


def test_case_conforms_to_the_published_ontology(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / LINKED
    path.write_bytes(archive.unpack(raw)[LINKED])
    found = validate(path)
    assert (found.conforms, found.undefined_concepts) == (True, set()), found.text


def rendered(made: Made, raw: bytes, kinds: Iterable[ids.Kind.ValueType]) -> bytes:
    """Return a case of one document of each kind, with all its fields."""
    said, members, entries = manifest_of(raw), {}, []
    for kind in kinds:
        sealed = pb.SignedEnvelope.FromString(made.sent["decision"].SerializeToString())
        header = pb.Header.FromString(sealed.header)
        header.kind, header.id = kind, f"{header.id[:-2]}{kind:02x}"
        header.amount.CopyFrom(evidence.Money(currency="EUR", amount="12.50"))
        header.in_force_until_us = header.created_at_us
        sealed.header = header.SerializeToString(deterministic=True)
        entry = said.envelopes[0].model_copy(update={"ref": Ref(sender=header.sender, id=header.id)})
        entries.append(entry)
        members[entry.name] = sealed.SerializeToString(deterministic=True)
        body = samples.complete(kind).SerializeToString(deterministic=True)
        members |= {entry.salt: b"salt", entry.body: body}
    said = said.model_copy(update={"envelopes": entries, "receipts": []})
    case = CaseFile.read(said, members, made.person(PROSECUTOR).directory)
    texts = {f"documents/{each.ref.stem}.json": json_form.to_json(document) for each, document in case.documents()}
    assert len(texts) == len(entries)
    return render(case, texts)


def test_documents_with_all_their_fields_conform(made: Made, raw: bytes, tmp_path: Path) -> None:
    """Those that tell of orders, wallets, accounts, sums, transactions and files: the ontology judges slowly."""
    kinds = (ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST, ids.KIND_DOMESTIC_ORDER)
    path = tmp_path / LINKED
    path.write_bytes(rendered(made, raw, (*kinds, ids.KIND_EXECUTION_REPORT, ids.KIND_DISCLOSURE)))
    found = validate(path)
    assert (found.conforms, found.undefined_concepts) == (True, set()), found.text


def test_every_document_there_is_can_be_told(made: Made, raw: bytes) -> None:
    said = json.loads(rendered(made, raw, samples.every()))
    assert len(of_type(said, "ProvenanceRecord")) == len(samples.every())
    assert not any(isinstance(each, float) for each in values(said))
    named = [each["@id"] for each in said["@graph"]]
    assert len(named) == len(set(named))
    linked_to = {each for each in values(said) if isinstance(each, str) and each.startswith("urn:uuid:")}
    facets = {each["@id"] for node in said["@graph"] for each in node.get("uco-core:hasFacet", ())}
    hashes = {each for each in linked_to if each not in facets and each not in named}
    assert hashes == {
        each["uco-observable:hash"]["@id"]
        for node in of_type(said, "uco-observable:File")
        for each in node["uco-core:hasFacet"]
        if "uco-observable:hash" in each
    } | {CONTEXT["rogatory"]}


@pytest.mark.filterwarnings("ignore")  # a wrong name is told as a warning too
def test_published_ontology_tells_what_is_wrong(raw: bytes, tmp_path: Path) -> None:
    said = linked(raw)
    wrong = {kind: of_type(said, f"case-investigation:{kind}")[0] for kind in ("Investigation", "ProvenanceRecord")}
    wrong |= {"action": of_type(said, ACTION)[0], "file": of_type(said, "uco-observable:File")[0]}
    wrong["Investigation"]["uco-core:startTime"] = "yesterday"
    wrong["ProvenanceRecord"]["case-investigation:exhibitNumber"] = ["1", "2"]
    wrong["action"]["uco-action:performer"] = "ee/prosecutor"
    wrong["action"]["uco-action:preformer"] = "a word that there is not"
    digest = next(
        each["uco-observable:hash"] for each in wrong["file"]["uco-core:hasFacet"] if "FileFacet" not in each["@type"]
    )
    del digest["uco-types:hashValue"]
    path = tmp_path / LINKED
    path.write_text(json.dumps(said))
    found = validate(path)
    assert not found.conforms
    assert len(found.undefined_concepts) == 1
    for each in (wrong["Investigation"], wrong["ProvenanceRecord"], wrong["action"], digest):
        assert each["@id"] in found.text


def test_nothing_has_to_be_fetched_to_read_it(raw: bytes) -> None:
    said = linked(raw)
    assert said["@context"] == CONTEXT
    assert all(isinstance(each, str) for each in CONTEXT.values())
    assert not any("@context" in each for each in said["@graph"])


def test_same_case_gives_the_same_bytes(made: Made, raw: bytes) -> None:
    again = made.export(terms=Terms(authority="order 26-9", purpose="main hearing"))
    assert archive.unpack(again)[LINKED] == archive.unpack(raw)[LINKED]


def test_sums_are_texts_and_those_of_the_documents(made: Made, raw: bytes) -> None:
    assert not any(isinstance(each, float) for each in values(linked(raw)))
    told = asked(
        raw,
        "SELECT ?tx ?units WHERE { ?t uco-core:hasFacet ?f . ?f rogatory:txid ?tx ; rogatory:output ?o ."
        " ?o rogatory:amount/rogatory:baseUnits ?units }",
    )
    assert told == sorted(
        (record.txid, end.amount.base_units)
        for record in casefiles.records(5)
        for end in record.outputs
        if end.HasField("amount")
    )
    assert len(told) >= 5
    frozen = asked(raw, "SELECT ?u WHERE { ?r a rogatory:FreezeResult ; rogatory:frozen/rogatory:baseUnits ?u }")
    assert frozen == [("5",)]


def test_hashes_are_those_of_the_members(raw: bytes) -> None:
    members = archive.unpack(raw)
    told = asked(
        raw,
        "SELECT ?path ?value WHERE { ?f uco-core:hasFacet ?a, ?b . ?a uco-observable:filePath ?path ."
        " ?b uco-observable:hash ?h . ?h uco-types:hashMethod 'SHA256' ; uco-types:hashValue ?value }",
    )
    proofs = [name for name in members if name.startswith(("envelopes/", "opened/", "receipts/", "documents/"))]
    assert [(name, value.lower()) for name, value in told] == [
        (name, sha256(members[name]).hexdigest()) for name in sorted(proofs)
    ]


def test_who_did_what_because_of_what(made: Made, raw: bytes) -> None:
    told = asked(
        raw,
        "SELECT ?id ?kind ?who ?because WHERE { ?a rogatory:envelope ?id ; uco-core:name ?kind ;"
        " uco-action:performer ?p ; rogatory:signedBy ?p . ?p uco-core:hasFacet/rogatory:address ?who"
        " OPTIONAL { ?a case-investigation:wasInformedBy/rogatory:envelope ?because } }",
    )
    request = made.id_of("request")
    expected = {
        ("draft", PROSECUTOR, "None"),
        ("countersignature", CENTRAL, made.id_of("draft")),
        ("request", PROSECUTOR, "None"),
        ("decision", THEIR_CENTRAL, request),
        ("report", THEIR_CENTRAL, request),
    }
    assert {(id_, who, because) for id_, _, who, because in told} == {
        (made.id_of(called), who, because) for called, who, because in expected
    }
    assert {kind for _, kind, _, _ in told} >= {"freeze request", "review decision", "execution report"}


def test_orders_are_its_authorizations(raw: bytes) -> None:
    told = asked(
        raw,
        "SELECT ?type ?id WHERE { ?i a case-investigation:Investigation ; case-investigation:relevantAuthorization ?a ."
        " ?a case-investigation:authorizationType ?type ; case-investigation:authorizationIdentifier ?id }",
    )
    assert ("order behind the freeze request", "26-1-A") in told
    assert ("review decision", "26-1") in told
    assert ("handing out of the case file", "order 26-9") in told


def authorizations(raw: bytes, kind: str) -> list[Any]:
    said = of_type(linked(raw), "case-investigation:Authorization")
    return [each for each in said if each["case-investigation:authorizationType"] == kind]


def test_of_a_decision_that_is_not_shown_its_header_alone_is_told(made: Made) -> None:
    raw = made.export(terms=Terms(redact=(made.id_of("decision"),)))
    (decision,) = authorizations(raw, "review decision")
    assert decision["case-investigation:authorizationIdentifier"] == [made.id_of("decision")]


def test_refusal_authorizes_nothing(tmp_path: Path) -> None:
    made = casefiles.freeze(tmp_path, system_clock() - timedelta(hours=1))
    refusal = {"outcome": ids.OUTCOME_REFUSED, "ground": ids.GROUND_PRIVILEGE_OR_IMMUNITY}
    document = paperwork.decision(**refusal, measures=[], data_classes=[])
    about = {"cites": (ref_of(pb.Header.FromString(made.sent["request"].header)),), "instrument": "eu-2018-1805"}
    said = {**about, **refusal, "dual_criminality": document.dual_criminality}
    made.compose("refused", ids.KIND_REVIEW_DECISION, THEIR_CENTRAL, PROSECUTOR, document, **said)
    made.deliver("refused")
    raw = made.export()
    assert len(authorizations(raw, "review decision")) == 1
    assert archive.unpack(raw)[LINKED].count(b'"refused"') == 1


def test_every_address_is_there_once_with_its_chain(raw: bytes) -> None:
    told = asked(
        raw,
        "SELECT ?address ?chain WHERE { ?w a uco-observable:DigitalAddress ; uco-core:hasFacet ?a, ?b ."
        " ?a uco-observable:addressValue ?address . ?b rogatory:chain ?chain }",
    )
    named = {
        (end.address, record.chain) for record in casefiles.records(5) for end in (*record.inputs, *record.outputs)
    }
    assert len(told) == len(set(told))
    assert set(told) == {each for each in named if each[0]} | {(paperwork.wallet().address, paperwork.BITCOIN)}


def test_what_is_withheld_or_redacted_is_not_in_it(made: Made, raw: bytes) -> None:
    report, decision = made.id_of("report"), made.id_of("decision")
    less = made.export(terms=Terms(redact=(report,), withhold=(decision,)))
    said, text = linked(less), archive.unpack(less)[LINKED].decode()
    assert "TransactionRecord" not in text
    assert all(record.txid not in text for record in casefiles.records(5))
    acts = {each["rogatory:envelope"] for each in of_type(said, ACTION) if "rogatory:signedBy" in each}
    assert acts == {made.id_of(each) for each in ("draft", "countersignature", "request", "report")}
    (exhibit,) = (each for each in of_type(said, "ProvenanceRecord") if each["rogatory:state"] == "withheld")
    paths = {each["@id"]: str(each) for each in of_type(said, "uco-observable:File")}
    assert all("receipts/" in paths[each["@id"]] for each in exhibit["uco-core:object"])
    assert checks.holds(checks.check(less, made.prove))


def test_case_of_ones_own_making_is_refused(made: Made, raw: bytes) -> None:
    members = archive.unpack(raw)
    members[LINKED] = members[LINKED].replace(b"ee/prosecutor", b"ee/court")
    listed = contents.members_of(members)
    said = Manifest.read(members[MANIFEST]).model_copy(update={"members": listed})
    signed = signature.sign(Domain.CASE_FILE, said.raw, PROSECUTOR, made.person(PROSECUTOR).signing_key)
    members |= {MANIFEST: said.raw, SIGNATURE: contents.signature_text(signed)}
    members[contents.ASIC] = contents.asic(listed, said.raw)
    found = checks.check(archive.pack(members), made.prove)
    assert [each.name for each in found if each.status is Status.FAILED] == ["derived"]
