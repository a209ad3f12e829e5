import copy
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rogatory.v1 import persons_pb2 as pb

from gateway import codec
from gateway.errors import Refusal
from gateway.formats import persons
from gateway.formats.codes import Code
from gateway.formats.persons import vocabulary

TODAY = date(2026, 11, 21)
CASES = json.loads((Path(__file__).parents[1] / "data" / "ivms101.json").read_bytes())

WRONG = {
    "trisa/trisa/envelope/testdata/payload.json": (
        Code.COUNTRY,
        ".identity.beneficiary.beneficiary_persons[0].natural_person.geographic_addresses[0].country",
    ),
    "trisa/trisa/envelope/testdata/pending_payload.json": (
        Code.COUNTRY,
        ".identity.beneficiary.beneficiary_persons[0].natural_person.geographic_addresses[0].country",
    ),
}
"""Published as examples, and against the standard: `United Kingdom` is no CountryCode (C3); their providers also have
an LEI with a countryOfIssue and a registrationAuthority (C9)."""

WITHOUT = {
    "envoy/cmd/fsi/fixtures/crypto_addresses/btc.json",
    "envoy/cmd/fsi/fixtures/persons/de/daniela_gersten.json",
    "envoy/cmd/fsi/fixtures/persons/us/alice_murray.json",
    "envoy/cmd/fsi/fixtures/persons/us/vicky_scott.json",
    "envoy/pkg/postman/testdata/pending.pb.json",
    "envoy/pkg/postman/testdata/transaction.pb.json",
    "envoy/pkg/trisa/testdata/fixtures/payloads/pending.pb.json",
    "envoy/pkg/trisa/testdata/fixtures/secenv_pending.pb.json",
    "envoy/pkg/trisa/testdata/fixtures/secenv_transaction.pb.json",
    "trisa/openvasp/client/testdata/approved.json",
    "trisa/openvasp/client/testdata/canceled.json",
    "trisa/openvasp/client/testdata/extensions.json",
    "trisa/openvasp/client/testdata/identity.json",
    "trisa/openvasp/client/testdata/version.json",
    "trisa/openvasp/testdata/sealed_envelope.json",
    "trisa/openvasp/testdata/transaction.json",
    "trisa/openvasp/testdata/unsealed_envelope.json",
    "trisa/trisa/envelope/testdata/payload/transaction.json",
    "trisa/trisa/envelope/testdata/sealed_envelope.json",
}
"""Documents of exchanges that hold no IVMS101: forms of their own, transactions, what is sealed."""

ADDRESS = {"addressType": "GEOG", "streetName": "Hlavna", "buildingNumber": "1", "country": "SK"}
LINES = {"addressType": "HOME", "addressLine": ["Hlavna 1"], "country": "SK"}
OWN = {"primaryIdentifier": "\u5434", "secondaryIdentifier": "\u4fe1\u5229", "nameIdentifierType": "LEGL"}
HUMAN: dict[str, Any] = {
    "name": {"nameIdentifier": [{"primaryIdentifier": "Novak", "naturalPersonNameIdentifierType": "LEGL"}]},
    "customerIdentification": "7",
}
FIRM: dict[str, Any] = {
    "name": {"nameIdentifier": [{"legalPersonName": "Burza", "legalPersonNameIdentifierType": "LEGL"}]},
    "nationalIdentification": {"nationalIdentifier": "5493004QRTOY0WERIJ41", "nationalIdentifierType": "LEIX"},
}
PAYLOAD: dict[str, Any] = {
    "originator": {"originatorPerson": [{"naturalPerson": HUMAN}]},
    "beneficiary": {"beneficiaryPerson": [{"legalPerson": FIRM, "accountNumber": ["1x"]}]},
    "originatingVASP": {"originatingVASP": {"legalPerson": FIRM}},
    "transferPath": [
        {"intermediaryVASP": {"legalPerson": FIRM}, "sequence": 1},
        {"intermediaryVASP": {"legalPerson": FIRM}, "sequence": 0},
    ],
    "payloadMetadata": {"transliterationMethod": ["cyrl"], "payloadVersion": "101.2023"},
}


def changed(value: dict[str, Any], path: str, new: object) -> dict[str, Any]:
    made = copy.deepcopy(value)
    at: Any = made
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    at[int(last) if isinstance(at, list) else last] = new
    return made


def refused(read: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        read()
    return caught.value.rule, caught.value.field


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_published_document_gets_its_label_or_is_listed_here(case: dict[str, Any]) -> None:
    name = case["name"]

    def read() -> object:
        return persons.document(case["content"], TODAY)

    if name in WITHOUT:
        assert refused(read) == (Code.NO_IVMS101, "")
    elif name in WRONG:
        assert refused(read) == WRONG[name]
    elif case["valid"]:
        for part, message in persons.document(case["content"], TODAY):
            assert part.read(TODAY) == message
            codec.check(message)
    else:
        # Max70Text has at least one character; an item of a list is not left out by being empty.
        assert refused(read) == (Code.MISSING, ".entity.geographic_addresses[0].address_line[1]")


def test_what_is_odd_is_remarked_on_and_keeps_nobody_out() -> None:
    found = {
        case["name"]: {
            remark.rule
            for part, message in persons.document(case["content"], TODAY)
            for remark in persons.remarks(message, part.where)
        }
        for case in CASES
        if case["valid"] and case["name"] not in WRONG.keys() | WITHOUT
    }
    assert {name: rules for name, rules in found.items() if rules} == {
        "testnet/pkg/rvasp/fixtures/wallets.json": {Code.NOT_LATIN},  # streets of Krasnoyarsk, in Cyrillic
        "trisa/ivms101/testdata/person_legal_person.json": {Code.LEI_CHECK_DIGITS},  # a made-up LEI
    }


def test_accents_are_latin_and_other_scripts_are_remarked_on_with_their_place() -> None:
    human = persons.Reader(TODAY).natural(
        changed(HUMAN, "name.nameIdentifier.0.secondaryIdentifier", "\u017dofia O\u2019Neill \u00bd"), ""
    )
    assert persons.remarks(human) == ()
    human.names[0].secondary = "\u0416ofia"
    human.local_names.add(primary="\u041d\u043e\u0432\u0430\u043a", type=pb.NATURAL_PERSON_NAME_TYPE_LEGAL)
    human.place_of_birth = "\u0661"
    assert [(remark.rule, remark.where) for remark in persons.remarks(human, "[0]")] == [
        (Code.NOT_LATIN, "[0].names[0].secondary"),
        (Code.NOT_LATIN, "[0].place_of_birth"),
    ]


def test_both_editions_and_both_spellings_read_alike() -> None:
    old = {
        "Originator": {
            "originator_persons": [
                {
                    "natural_person": {
                        "name": [
                            {
                                "name_identifiers": [
                                    {
                                        "primary_identifier": "Novak",
                                        "secondary_identifier": "",
                                        "name_identifier_type": "NATURAL_PERSON_NAME_TYPE_CODE_LEGL",
                                    }
                                ],
                                "local_name_identifiers": [],
                            }
                        ],
                        "customer_number": "7",
                        "national_identification": None,
                    }
                }
            ]
        },
        "beneficiary": {
            "beneficiaryPersons": {
                "legalPerson": {
                    "name": {"nameIdentifier": {"legalPersonName": "Burza", "legalPersonNameIdentifierType": "legl"}},
                    "nationalIdentification": {
                        "nationalIdentifier": "5493004QRTOY0WERIJ41",
                        "nationalIdentifierType": "NATIONAL_IDENTIFIER_TYPE_CODE_LEIX",
                        "countryOfIssue": "",
                    },
                },
                "accountNumbers": "1x",
            }
        },
        "originatingVASP": {"legalPerson": FIRM},
        "transfer_path": {
            "transfer_path": [
                {"intermediary_vasp": {"legal_person": FIRM}, "sequence": "0"},
                {"intermediary_vasp": {"legal_person": FIRM}, "sequence": "1"},
            ]
        },
        "payload_metadata": {
            "transliteration_method": ["TRANSLITERATION_METHOD_CODE_CYRL"],
            "payload_version": "IVMS101.2023",
        },
    }
    assert persons.identity_payload(old, "", TODAY) == persons.identity_payload(PAYLOAD, "", TODAY)


def test_intermediaries_stand_in_the_order_of_their_sequence() -> None:
    payload = persons.identity_payload(PAYLOAD, "", TODAY)
    assert [each.sequence for each in payload.transfer_path] == [0, 1]
    nobody = persons.identity_payload(changed(PAYLOAD, "transferPath", {"transferPath": []}), "", TODAY)
    assert not nobody.transfer_path


N = ".originator.originatorPerson[0].naturalPerson"
L = ".beneficiary.beneficiaryPerson[0].legalPerson"
n = "originator.originatorPerson.0.naturalPerson"
f = "beneficiary.beneficiaryPerson.0.legalPerson"
BIRTH = {"dateOfBirth": "1990-02-28", "placeOfBirth": "Nitra"}
TAX = {"nationalIdentifier": "1", "nationalIdentifierType": "TXID", "registrationAuthority": "RA000526"}


@pytest.mark.parametrize(
    ("path", "new", "rule", "field"),
    [
        pytest.param(f"{n}.customerIdentification", None, Code.ORIGINATOR_NATURAL, N[:-14], id="C1"),
        pytest.param(
            f"{n}.dateAndPlaceOfBirth", BIRTH | {"dateOfBirth": "2026-11-21"}, Code.BIRTH_NOT_PAST,
            f"{N}.dateAndPlaceOfBirth.dateOfBirth", id="C2, born today",
        ),
        pytest.param(
            f"{n}.dateAndPlaceOfBirth", BIRTH | {"dateOfBirth": "1990-02-30"}, Code.DATE,
            f"{N}.dateAndPlaceOfBirth.dateOfBirth", id="no day",
        ),
        pytest.param(
            f"{n}.dateAndPlaceOfBirth", {"dateOfBirth": "1990-02-28"}, Code.MISSING, f"{N}.dateAndPlaceOfBirth",
            id="birth without place",
        ),
        pytest.param(f"{n}.countryOfResidence", "Slovakia", Code.COUNTRY, f"{N}.countryOfResidence", id="C3, a name"),
        pytest.param(f"{n}.countryOfResidence", "ZZ", Code.COUNTRY, f"{N}.countryOfResidence", id="C3, no country"),
        pytest.param(
            "originator.originatorPerson.0", {"legalPerson": FIRM | {"nationalIdentification": None}},
            Code.ORIGINATOR_LEGAL, N[:-14], id="C4",
        ),
        pytest.param(
            "originator.originatorPerson.0",
            {"legalPerson": FIRM | {"nationalIdentification": None,
                                    "geographicAddress": [ADDRESS | {"addressType": "BIZZ"}]}},
            Code.ORIGINATOR_LEGAL, N[:-14], id="C4, an address that is not GEOG",
        ),
        pytest.param(
            f"{f}.name.nameIdentifier.0.legalPersonNameIdentifierType", "TRAD", Code.LEGAL_NAME,
            f"{L}.name.nameIdentifier", id="C5",
        ),
        pytest.param(
            f"{n}.name.nameIdentifier.0.naturalPersonNameIdentifierType", "ALIA", Code.LEGAL_NAME,
            f"{N}.name.nameIdentifier", id="C6",
        ),
        pytest.param(
            f"{f}.nationalIdentification", TAX | {"nationalIdentifierType": "CCPT"}, Code.FIRM_IDENTIFIER,
            f"{L}.nationalIdentification", id="C7",
        ),
        pytest.param(
            f"{n}.geographicAddress", [ADDRESS | {"buildingNumber": ""}], Code.ADDRESS_INCOMPLETE,
            f"{N}.geographicAddress[0]", id="C8",
        ),
        pytest.param(
            f"{n}.geographicAddress", [ADDRESS | {"country": None}], Code.MISSING, f"{N}.geographicAddress[0]",
            id="address without country",
        ),
        pytest.param(
            f"{f}.nationalIdentification.countryOfIssue", "SK", Code.FIRM_IDENTIFIER_SOURCE,
            f"{L}.nationalIdentification", id="C9, country",
        ),
        pytest.param(
            f"{f}.nationalIdentification.registrationAuthority", "RA000526", Code.FIRM_IDENTIFIER_SOURCE,
            f"{L}.nationalIdentification", id="C9, LEI with an authority",
        ),
        pytest.param(
            f"{f}.nationalIdentification", TAX | {"registrationAuthority": ""}, Code.FIRM_IDENTIFIER_SOURCE,
            f"{L}.nationalIdentification", id="C9, another without",
        ),
        pytest.param(
            f"{f}.nationalIdentification", TAX | {"registrationAuthority": "RA526"}, Code.REGISTRATION_AUTHORITY,
            f"{L}.nationalIdentification.registrationAuthority", id="C10",
        ),
        pytest.param(
            f"{f}.nationalIdentification.nationalIdentifier", "5493004QRTOY", Code.LEI_FORMAT,
            f"{L}.nationalIdentification", id="C11",
        ),
        pytest.param("transferPath.0.sequence", 2, Code.SEQUENCE, ".transferPath", id="C12, a gap"),
        pytest.param("transferPath.0.sequence", 0, Code.SEQUENCE, ".transferPath", id="C12, one twice"),
        pytest.param("transferPath.0.sequence", 20, Code.SEQUENCE, ".transferPath[0].sequence", id="C12, far off"),
        pytest.param("transferPath.0.sequence", True, Code.WRONG_TYPE, ".transferPath[0].sequence", id="true"),
        pytest.param("transferPath.0.sequence", 1.0, Code.WRONG_TYPE, ".transferPath[0].sequence", id="float"),
        pytest.param("transferPath.0.sequence", None, Code.MISSING, ".transferPath[0]", id="no sequence"),
        pytest.param("transferPath", [{}] * 21, Code.TOO_MANY, ".transferPath", id="a long way"),
        pytest.param("transferPath", 7, Code.WRONG_TYPE, ".transferPath", id="no list"),
        pytest.param(f"{n}.nickname", "x", Code.UNKNOWN_FIELD, f"{N}.nickname", id="field of nobody"),
        pytest.param(f"{n}.nick name", "x", Code.UNKNOWN_FIELD, f"{N}.?", id="field that is no name"),
        pytest.param(f"{n}.customerNumber", "8", Code.FIELD_TWICE, f"{N}.customerNumber", id="two spellings"),
        pytest.param(f"{n}.name", None, Code.MISSING, N, id="no name"),
        pytest.param(f"{n}.name", [HUMAN["name"]] * 2, Code.WRONG_TYPE, f"{N}.name", id="two names"),
        pytest.param(f"{n}.name.nameIdentifier", [], Code.MISSING, f"{N}.name", id="empty name"),
        pytest.param(
            f"{n}.name.nameIdentifier.0.primaryIdentifier", "x" * 101, Code.TOO_LONG,
            f"{N}.name.nameIdentifier[0].primaryIdentifier", id="long name",
        ),
        pytest.param(
            f"{n}.name.nameIdentifier.0.primaryIdentifier", "x\u202ey", Code.NOT_PRINTABLE,
            f"{N}.name.nameIdentifier[0].primaryIdentifier", id="turned around",
        ),
        pytest.param(
            f"{n}.name.nameIdentifier.0.primaryIdentifier", 7, Code.WRONG_TYPE,
            f"{N}.name.nameIdentifier[0].primaryIdentifier", id="name is a number",
        ),
        pytest.param(
            f"{n}.name.nameIdentifier.0.naturalPersonNameIdentifierType", "SHRT", Code.UNKNOWN_CODE,
            f"{N}.name.nameIdentifier[0].naturalPersonNameIdentifierType", id="code of a firm",
        ),
        pytest.param(f"{n}.geographicAddress", [ADDRESS] * 21, Code.TOO_MANY, f"{N}.geographicAddress", id="many"),
        pytest.param("originator.originatorPerson.0.legalPerson", FIRM, Code.PERSON_KIND, N[:-14], id="both"),
        pytest.param("originator.originatorPerson.0", {}, Code.PERSON_KIND, N[:-14], id="neither"),
        pytest.param("originator.originatorPerson", [], Code.MISSING, ".originator", id="nobody sent"),
        pytest.param("originatingVASP.originatingVASP.naturalPerson", HUMAN, Code.PERSON_KIND,
                     ".originatingVASP.originatingVASP", id="provider is both"),
        pytest.param("payloadMetadata.payloadVersion", "102", Code.UNKNOWN_CODE, ".payloadMetadata.payloadVersion",
                     id="version"),
        pytest.param("payloadMetadata.transliterationMethod", ["latn"], Code.UNKNOWN_CODE,
                     ".payloadMetadata.transliterationMethod[0]", id="script"),
        pytest.param("@type", "type.googleapis.com/trisa.Pending", Code.UNKNOWN_CODE, ".@type", id="another type"),
        pytest.param("amount", "1", Code.UNKNOWN_FIELD, ".amount", id="field of another format"),
    ],
)  # fmt: skip
def test_broken_constraint_is_refused_with_rule_and_place(path: str, new: object, rule: Code, field: str) -> None:
    broken = changed(PAYLOAD, path, new)
    assert refused(lambda: persons.identity_payload(broken, "", TODAY)) == (rule, field)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        pytest.param(f"{n}.dateAndPlaceOfBirth", BIRTH, id="birth"),
        pytest.param(f"{n}.countryOfResidence", "XX", id="unknown State"),
        pytest.param(f"{n}.countryOfResidence", "el", id="Greece, as the EU writes it"),
        pytest.param(f"{n}.geographicAddress", [ADDRESS, LINES], id="addresses"),
        # The standard's own example 2 has a natural person with a RAID.
        pytest.param(f"{n}.nationalIdentification", TAX | {"nationalIdentifierType": "RAID"}, id="sole trader"),
        pytest.param(f"{f}.nationalIdentification", TAX, id="firm known by its tax number"),
        pytest.param(f"{f}.nationalIdentification", None, id="beneficiary of whom little is known"),
        pytest.param(f"{f}.customerIdentification", "9", id="customer"),
        pytest.param(f"{n}.name.localNameIdentifier", [OWN], id="own script"),
        pytest.param(f"{f}.name.phoneticNameIdentifier",
                     [{"legalPersonName": "boor-za", "legalPersonNameIdentifierType": "TRAD"}], id="as it sounds"),
        pytest.param("payloadMetadata", None, id="no metadata"),
        pytest.param("transferPath", None, id="no path"),
        pytest.param("originator", None, id="no originator"),
        pytest.param("originator.originatorPerson.0", {"legalPerson": FIRM}, id="originator that is a firm"),
        pytest.param("beneficiaryVASP", {"beneficiaryVASP": {"legalPerson": FIRM}}, id="both providers"),
        pytest.param("@type", "type.googleapis.com/ivms101.IdentityPayload", id="type"),
        pytest.param("originator.accountNumber", ["A", "a"], id="accounts of 2020, case counts"),
    ],
)  # fmt: skip
def test_payload_is_read_and_written_as_2023_without_loss(path: str, new: object) -> None:
    payload = persons.identity_payload(changed(PAYLOAD, path, new), "", TODAY)
    written = persons.payload_to_ivms101(payload, TODAY)
    payload.version = pb.IVMS_VERSION_2023
    assert persons.identity_payload(json.loads(json.dumps(written)), "", TODAY) == payload
    for each in (*payload.originator.persons, *payload.beneficiary.persons):
        assert persons.person(persons.person_to_ivms101(each, TODAY), "", TODAY) == each


def test_published_payloads_are_written_and_read_without_loss() -> None:
    for case in CASES:
        if not case["valid"] or case["name"] in WRONG.keys() | WITHOUT:
            continue
        for _, message in persons.document(case["content"], TODAY):
            if isinstance(message, pb.IdentityPayload):
                written = persons.payload_to_ivms101(message, TODAY)
                message.version = pb.IVMS_VERSION_2023
                assert persons.identity_payload(written, "", TODAY) == message
            elif isinstance(message, pb.Person):
                assert persons.person(persons.person_to_ivms101(message, TODAY), "", TODAY) == message


def test_2023_is_written_in_the_names_of_2023() -> None:
    written = json.dumps(persons.payload_to_ivms101(persons.identity_payload(PAYLOAD, "", TODAY), TODAY))
    for name in ("originatorPerson", "naturalPersonNameIdentifierType", "customerIdentification", "101.2023"):
        assert f'"{name}"' in written
    for name in ("originatorPersons", "customerNumber", "nameIdentifierType"):
        assert f'"{name}"' not in written


def test_person_that_breaks_the_standard_is_not_written() -> None:
    nobody = pb.Person(natural=pb.NaturalPerson())
    assert refused(lambda: persons.person_to_ivms101(nobody, TODAY))[0] == Code.PERSON_KIND
    nameless = pb.Person(natural=pb.NaturalPerson(customer_identification="7"))
    assert refused(lambda: persons.person_to_ivms101(nameless, TODAY))[0] == Code.MISSING
    firm = persons.person({"legalPerson": FIRM}, "", TODAY)
    firm.legal.country_of_registration = "EL"  # a country to the contract, none to ISO; reading makes it GR
    assert refused(lambda: persons.person_to_ivms101(firm, TODAY))[0] == Code.CONTRACT


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"IVMS101": PAYLOAD}, [("IdentityPayload", ".IVMS101")]),
        ({"identity": PAYLOAD | {"@type": "x/ivms101.IdentityPayload"}, "x": 1}, [("IdentityPayload", ".identity")]),
        ({"@type": "x/ivms101.IdentityPayload"}, [("IdentityPayload", "")]),
        (PAYLOAD["originator"], [("Originator", "")]),
        (PAYLOAD["beneficiary"], [("Beneficiary", "")]),
        ([["x", 1, {"naturalPerson": HUMAN}], {"legal_person": FIRM}], [("Person", "[0][2]"), ("Person", "[1]")]),
        ({"entity": FIRM, "name": "x"}, [("LegalPerson", ".entity")]),
        ({"firm": "x", "legal_person": FIRM}, [("LegalPerson", ".legal_person")]),
        ({"a": HUMAN}, [("NaturalPerson", ".a")]),
        ({"alice@example.org": HUMAN}, [("NaturalPerson", ".?")]),
        ({"name": {"x": 1}, "countryOfResidence": "SK", "customerNumber": "1"}, [("NaturalPerson", "")]),
        ({"name": {"x": 1}, "countryOfRegistration": "SK", "customerNumber": "1"}, [("LegalPerson", "")]),
        ({"a": [ADDRESS, ADDRESS]}, [("Address", ".a[0]"), ("Address", ".a[1]")]),
        (TAX, [("NationalIdentification", "")]),
        ({"originator": "1x", "beneficiary": "1y"}, []),
        ({"name": "x", "country": "SK"}, []),
        ("x", []),
        (None, []),
    ],
    ids=range(18),
)
def test_parts_are_found_wherever_they_stand(document: object, found: list[tuple[str, str]]) -> None:
    assert [(part.kind.value, part.where) for part in persons.find(document)] == found


def test_search_ends_in_a_document_of_any_depth() -> None:
    deep: object = {"naturalPerson": HUMAN}
    for _ in range(100_000):
        deep = [deep]
    assert persons.find(deep) == ()


def test_every_code_of_the_standard_has_a_value_and_the_other_way_round() -> None:
    for codes, enum in (
        (vocabulary.NATURAL_NAMES, pb.NaturalPersonNameType),
        (vocabulary.LEGAL_NAMES, pb.LegalPersonNameType),
        (vocabulary.ADDRESSES, pb.AddressType),
        (vocabulary.IDENTIFIERS, pb.NationalIdentifierType),
    ):
        assert sorted(codes.values()) == sorted(set(enum.values()) - {0})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "originator",
                    "beneficiaryVASP",
                    "originatorPersons",
                    "naturalPerson",
                    "legal_person",
                    "name",
                    "nameIdentifier",
                    "primaryIdentifier",
                    "legalPersonName",
                    "nameIdentifierType",
                    "addressType",
                    "country",
                    "nationalIdentifier",
                    "transferPath",
                    "sequence",
                    "payloadMetadata",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def answer(read: Callable[[], object]) -> str:
    try:
        return str(type(read()))
    except Refusal as error:
        return error.rule


@given(JSON)
def test_any_json_gets_an_answer(value: object) -> None:
    for read in (
        lambda: persons.document(value, TODAY),
        lambda: persons.person(value, "", TODAY),
        lambda: persons.identity_payload(value, "", TODAY),
    ):
        assert answer(read)


@given(st.data())
def test_any_damage_to_a_payload_gets_an_answer(data: st.DataObject) -> None:
    value = copy.deepcopy(PAYLOAD)
    at: Any = value
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            at[key] = data.draw(JSON)
            break
        at = at[key]
    assert answer(lambda: persons.document(value, TODAY))
