"""Certificates with one fault each."""

from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.codes import Code
from tests.broken.case import Case
from tests.samples import parts

FREEZE: Final = ids.KIND_FREEZE_REQUEST
CONFISCATION: Final = ids.KIND_CONFISCATION_REQUEST

OTHER: Final = parties.AUTHORITY_TYPE_OTHER_COMPETENT
NO: Final = parties.YES_OR_NO_NO

# Good documents of another make, to be broken by one change more.
UNVALIDATED: Final = {
    "issuing_authority.type": parties.AUTHORITY_TYPE_COURT,
    "validating_authority": None,
    "main_contact": certificates.INFORMING_AUTHORITY_UNSPECIFIED,
}
OF_MONEY: Final = {"property.kind": certificates.PROPERTY_KIND_MONEY, "property.items": None}
OF_ITEMS: Final = {
    "property.kind": certificates.PROPERTY_KIND_ITEM,
    "property.amount": None,
    "property.total": None,
    "several_states.reason": certificates.SEVERAL_STATES_REASON_ITEMS_IN_SEVERAL,
}
NO_DECISION: Final = {
    "restitution.decision": NO,
    "restitution.authority": "",
    "restitution.decided_on": "",
    "restitution.property": "",
    "restitution.victim": None,
}
FULL: Final = {
    "scope.extent": measures.FREEZE_EXTENT_FULL,
    "scope.value_cap": None,
}
PER_ASSET: Final = {
    "scope.extent": measures.FREEZE_EXTENT_PER_ASSET,
    "scope.value_cap": None,
}

_VALIDATION: Final = (
    Case(
        "an authority that is no court asks, and nobody validated it",
        FREEZE,
        UNVALIDATED | {"issuing_authority.type": OTHER, "data_classes": [parts.SUBSCRIBER], "windows": None},
        Code.VALIDATION_MISSING,
        "validating_authority",
    ),
    Case(
        "a ministry validated it",
        FREEZE,
        {
            "issuing_authority.type": parties.AUTHORITY_TYPE_JUDGE,
            "validating_authority.type": parties.AUTHORITY_TYPE_CENTRAL,
        },
        Code.VALIDATION_NOT_JUDICIAL,
        "validating_authority.type",
    ),
    Case(
        "a prosecutor alone asks for traffic data",
        FREEZE,
        UNVALIDATED | {"issuing_authority.type": parties.AUTHORITY_TYPE_PROSECUTOR},
        Code.DATA_WITHOUT_COURT,
        "data_classes",
    ),
    Case(
        "a prosecutor validated a request for content",
        FREEZE,
        {
            "issuing_authority.type": OTHER,
            "validating_authority.type": parties.AUTHORITY_TYPE_PROSECUTOR,
            "data_classes": [parts.CONTENT],
            "windows": None,
        },
        Code.DATA_WITHOUT_COURT,
        "data_classes",
    ),
    Case(
        "traffic data for an offence of two years",
        FREEZE,
        {"offence.listed": None, "offence.maximum_sentence_months": 24},
        Code.DATA_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
    ),
    Case(
        "a listed offence of 35 months",
        FREEZE,
        {"offence.maximum_sentence_months": 35, "data_classes": [parts.SUBSCRIBER], "windows": None},
        Code.LISTED_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
    ),
    Case(
        "a listed offence of 35 months, to confiscate",
        CONFISCATION,
        {"offence.maximum_sentence_months": 35},
        Code.LISTED_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
    ),
    Case(
        "a central authority issues the order",
        FREEZE,
        {"issuing_authority.type": parties.AUTHORITY_TYPE_CENTRAL},
        Code.ISSUED_BY_CENTRAL_AUTHORITY,
        "issuing_authority.type",
    ),
    *(
        Case(
            f"the {authority.replace('_', ' ')} is of another State",
            kind,
            {f"{authority}.country": "LV"},
            Code.AUTHORITY_OF_OTHER_STATE,
            f"{authority}.country",
        )
        for authority in ("issuing_authority", "central_authority")
        for kind in (FREEZE, CONFISCATION)
    ),
    Case(
        "the validating court is of another State",
        FREEZE,
        {"validating_authority.country": "DE"},
        Code.AUTHORITY_OF_OTHER_STATE,
        "validating_authority.country",
    ),
    Case("a State asks itself", FREEZE, {"executing_state": "EE"}, Code.STATES_SAME, "executing_state"),
    Case(
        "a State asks itself to confiscate",
        CONFISCATION,
        {"executing_state": "EE"},
        Code.STATES_SAME,
        "executing_state",
    ),
    Case(
        "nobody certified the content",
        FREEZE,
        {"issuing_authority.official": ""},
        Code.NOT_CERTIFIED,
        "issuing_authority.official",
    ),
    Case(
        "the validation has no day",
        FREEZE,
        {"validating_authority.signed_on": ""},
        Code.NOT_CERTIFIED,
        "validating_authority.signed_on",
    ),
    Case(
        "the certificate is older than its order",
        CONFISCATION,
        {"issuing_authority.signed_on": "2027-02-01"},
        Code.SIGNED_BEFORE_ORDER,
        "issuing_authority.signed_on",
    ),
)

_CONTACTS: Final = (
    Case(
        "a validating authority tells of remedies, and there is none",
        FREEZE,
        UNVALIDATED | {"remedies.who": certificates.INFORMING_AUTHORITY_VALIDATING},
        Code.NO_VALIDATING_AUTHORITY,
        "remedies.who",
    ),
    Case(
        "a validating authority is the main contact, and there is none",
        FREEZE,
        UNVALIDATED | {"main_contact": certificates.INFORMING_AUTHORITY_VALIDATING},
        Code.NO_VALIDATING_AUTHORITY,
        "main_contact",
    ),
    Case(
        "two authorities, and neither is the main contact",
        FREEZE,
        {"main_contact": certificates.INFORMING_AUTHORITY_UNSPECIFIED},
        Code.MAIN_CONTACT_MISSING,
        "main_contact",
    ),
    Case(
        "a third authority is the main contact",
        FREEZE,
        {"main_contact": certificates.INFORMING_AUTHORITY_OTHER},
        Code.MAIN_CONTACT_OTHER,
        "main_contact",
    ),
    Case(
        "another authority tells of remedies, unnamed",
        FREEZE,
        {"remedies.other": ""},
        Code.REMEDIES_NOT_NAMED,
        "remedies.other",
    ),
    Case(
        "a contact without telephone or e-mail",
        FREEZE,
        {"issuing_authority.practical_contact.telephone": "", "issuing_authority.practical_contact.email": ""},
        Code.CONTACT_UNREACHABLE,
        "issuing_authority.practical_contact.telephone",
    ),
)

_TIMES: Final = (
    Case(
        "urgent on no ground",
        FREEZE,
        {"urgency.grounds": None, "urgency.requested_on": "", "urgency.coordination_needed": False},
        Code.URGENT_WITHOUT_GROUND,
        "urgency.grounds",
    ),
    Case(
        "urgent, and not a word why",
        FREEZE,
        {"urgency.explanation": ""},
        Code.URGENCY_UNEXPLAINED,
        "urgency.explanation",
    ),
    Case(
        "to be executed on a day before the order",
        FREEZE,
        {"urgency.requested_on": "2026-02-26"},
        Code.EXECUTION_BEFORE_ORDER,
        "urgency.requested_on",
    ),
    Case(
        "a confiscation certificate expected before the order",
        FREEZE,
        {"confiscation.expected_on": "2026-02-26"},
        Code.EXPECTED_BEFORE_ORDER,
        "confiscation.expected_on",
    ),
    Case(
        "a freeze that ends before it is ordered",
        FREEZE,
        {"expires_at_us": parts.at(2, 26, 9)},
        Code.EXPIRES_BEFORE_ORDER,
        "expires_at_us",
    ),
    Case(
        "an earlier order that is later",
        FREEZE,
        {"earlier_orders[0].date": "2026-03-02"},
        Code.EARLIER_ORDER_LATER,
        "earlier_orders[0].date",
    ),
    Case(
        "a related freezing order that is later",
        CONFISCATION,
        {"freezing_orders[0].date": "2027-03-10"},
        Code.EARLIER_ORDER_LATER,
        "freezing_orders[0].date",
    ),
    Case("final before it was made", CONFISCATION, {"final_on": "2027-02-01"}, Code.FINAL_BEFORE_ORDER, "final_on"),
)

_PERSONS: Final = (
    Case(
        "a victim among those the order is against",
        FREEZE,
        {"persons[1].position": parties.POSITION_VICTIM},
        Code.PERSON_MISPLACED,
        "persons[1].position",
    ),
    Case(
        "an owner among the third parties",
        FREEZE,
        {"third_parties[0].position": parties.POSITION_OWNER},
        Code.PERSON_MISPLACED,
        "third_parties[0].position",
    ),
    Case(
        "restitution to somebody who is no victim",
        FREEZE,
        {"restitution.victim.position": parties.POSITION_OWNER},
        Code.PERSON_MISPLACED,
        "restitution.victim.position",
    ),
    Case(
        "compensation to somebody who is no victim",
        CONFISCATION,
        {"victims[0].victim.position": parties.POSITION_OWNER},
        Code.PERSON_MISPLACED,
        "victims[0].victim.position",
    ),
    Case(
        "a third party without a right",
        FREEZE,
        {"third_parties[0].grounds": ""},
        Code.THIRD_PARTY_WITHOUT_GROUNDS,
        "third_parties[0].grounds",
    ),
    *(
        Case(
            f"a human being with a {field.replace('_', ' ')}",
            FREEZE,
            {f"persons[0].{field}": value},
            Code.FIELD_OF_OTHER_PERSON,
            f"persons[0].{field}",
        )
        for field, value in (("legal_form", "osaühing"), ("representative", "Mari Maasikas"))
    ),
    *(
        Case(
            f"a firm with {field}",
            FREEZE,
            {f"persons[1].{field}": value},
            Code.FIELD_OF_OTHER_PERSON,
            f"persons[1].{field}",
        )
        for field, value in (
            ("nationalities", ["EE"]),
            ("documents", [parties.IdentityDocument(type="passport", number="KE0155721", country="EE")]),
        )
    ),
    Case(
        "an account without any number",
        CONFISCATION,
        {"payment.iban": "", "payment.other": ""},
        Code.ACCOUNT_WITHOUT_NUMBER,
        "payment.iban",
    ),
)

_PROPERTY: Final = (
    Case(
        "an order about money without a total",
        FREEZE,
        OF_MONEY | {"property.total": None},
        Code.MONEY_WITHOUT_AMOUNT,
        "property.total",
    ),
    Case(
        "an order about money without an amount",
        CONFISCATION,
        OF_MONEY | {"property.amount": None},
        Code.MONEY_WITHOUT_AMOUNT,
        "property.amount",
    ),
    Case(
        "an amount in figures only",
        FREEZE,
        {"property.amount_in_words": ""},
        Code.MONEY_WITHOUT_WORDS,
        "property.amount_in_words",
    ),
    Case(
        "no ground to believe that property is there",
        FREEZE,
        {"property.grounds": ""},
        Code.MONEY_WITHOUT_GROUNDS,
        "property.grounds",
    ),
    Case(
        "an order about items without one",
        FREEZE,
        OF_ITEMS | {"property.items": None},
        Code.ITEMS_MISSING,
        "property.items",
    ),
    Case(
        "an order about money with an item",
        FREEZE,
        {"property.kind": certificates.PROPERTY_KIND_MONEY},
        Code.PROPERTY_OF_OTHER_KIND,
        "property.items",
    ),
    Case(
        "an order about items with an amount",
        FREEZE,
        OF_ITEMS | {"property.amount": parts.euros("5000000")},
        Code.PROPERTY_OF_OTHER_KIND,
        "property.amount",
    ),
    Case(
        "a total in another currency",
        FREEZE,
        {"property.total.currency": "CHF"},
        Code.TOTAL_IN_OTHER_CURRENCY,
        "property.total.currency",
    ),
    Case(
        "a total one cent below the amount",
        FREEZE,
        {"property.total.amount": "1015431.24"},
        Code.TOTAL_BELOW_AMOUNT,
        "property.total.amount",
    ),
    Case(
        "an item believed to be there, and not why",
        FREEZE,
        {"property.items[0].grounds": ""},
        Code.BELIEF_WITHOUT_GROUNDS,
        "property.items[0].grounds",
    ),
    Case(
        "more to be frozen than the order covers",
        FREEZE,
        {"scope.value_cap": parts.euros("1015431.26")},
        Code.CAP_ABOVE_AMOUNT,
        "scope.value_cap",
    ),
    Case(
        "a freezing certificate that asks to confiscate",
        FREEZE,
        {"measures": [*parts.FREEZE, ids.MEASURE_CONFISCATE]},
        Code.FREEZE_CONFISCATES,
        "measures",
    ),
    Case(
        "a confiscation certificate that asks to freeze",
        CONFISCATION,
        {"measures": [ids.MEASURE_BLOCK_WITHDRAWAL]},
        Code.CONFISCATION_NOT_ASKED,
        "measures",
    ),
)

_STATES: Final = (
    Case(
        "sent to others, unnamed",
        FREEZE,
        {"several_states.states": None},
        Code.SEVERAL_STATES_NOT_NAMED,
        "several_states.states",
    ),
    Case(
        "sent to others for no reason",
        CONFISCATION,
        {"several_states.reason": certificates.SEVERAL_STATES_REASON_UNSPECIFIED},
        Code.SEVERAL_STATES_WITHOUT_REASON,
        "several_states.reason",
    ),
    Case(
        "sent to nobody else, and to Finland",
        FREEZE,
        {"several_states.sent": NO},
        Code.SEVERAL_STATES_DENIED,
        "several_states.sent",
    ),
    Case(
        "sent to others for a need that nobody explains",
        FREEZE,
        {"several_states.reason": certificates.SEVERAL_STATES_REASON_OTHER, "several_states.explanation": ""},
        Code.SEVERAL_STATES_UNEXPLAINED,
        "several_states.explanation",
    ),
    *(
        Case(
            f"sent to others, who are {whose} itself",
            kind,
            {"several_states.states[0].state": state},
            Code.OTHER_STATE_IS_PARTY,
            "several_states.states[0].state",
        )
        for whose, state in (("the issuing State", "EE"), ("the executing State", "DE"))
        for kind in (FREEZE, CONFISCATION)
    ),
    Case(
        "a freeze sent to several because it was not frozen",
        FREEZE,
        {"several_states.reason": certificates.SEVERAL_STATES_REASON_NOT_FROZEN},
        Code.REASON_OF_CONFISCATION,
        "several_states.reason",
    ),
    Case(
        "money sent to several because of its items",
        CONFISCATION,
        OF_MONEY | {"several_states.reason": certificates.SEVERAL_STATES_REASON_ITEMS_IN_SEVERAL},
        Code.REASON_OF_OTHER_PROPERTY,
        "several_states.reason",
    ),
    Case(
        "items sent to several because the value is too small",
        FREEZE,
        OF_ITEMS | {"several_states.reason": certificates.SEVERAL_STATES_REASON_VALUE_INSUFFICIENT},
        Code.REASON_OF_OTHER_PROPERTY,
        "several_states.reason",
    ),
)

_AFTERWARDS: Final = (
    Case(
        "alternatives allowed, unnamed",
        FREEZE,
        {"alternatives.description": ""},
        Code.ALTERNATIVES_NOT_NAMED,
        "alternatives.description",
    ),
    Case(
        "alternatives not allowed, and named",
        CONFISCATION,
        {"alternatives.allowed": NO},
        Code.ALTERNATIVES_DENIED,
        "alternatives.allowed",
    ),
    Case(
        "no confiscation certificate, and no word to keep it frozen",
        FREEZE,
        {"confiscation.stay_frozen": False},
        Code.NOT_TO_STAY_FROZEN,
        "confiscation.stay_frozen",
    ),
    Case(
        "a confiscation certificate without reference",
        FREEZE,
        {"confiscation": certificates.ConfiscationPlan(certificate_attached=True)},
        Code.CONFISCATION_WITHOUT_REFERENCE,
        "confiscation.reference",
    ),
    Case(
        "a confiscation certificate is here and is waited for",
        FREEZE,
        {"confiscation.certificate_attached": True, "confiscation.reference": "1-26-1882/31"},
        Code.CONFISCATION_PLAN_CONTRADICTS,
        "confiscation.stay_frozen",
    ),
    *(
        Case(
            f"a restitution without {field}",
            FREEZE,
            {f"restitution.{field}": None},
            Code.RESTITUTION_INCOMPLETE,
            f"restitution.{field}",
        )
        for field in ("authority", "decided_on", "property", "victim")
    ),
    *(
        Case(
            f"no restitution, with {field}",
            FREEZE,
            NO_DECISION | {f"restitution.{field}": value},
            Code.RESTITUTION_DENIED,
            f"restitution.{field}",
        )
        for field, value in (
            ("authority", "Harju Maakohus"),
            ("decided_on", "2026-02-02"),
            ("property", "0.5 BTC"),
        )
    ),
    *(
        Case(
            f"a restitution that leaves {condition} open",
            FREEZE,
            {f"restitution.{condition}": parties.YES_OR_NO_UNSPECIFIED},
            Code.RESTITUTION_CONDITION_UNANSWERED,
            f"restitution.{condition}",
        )
        for condition in ("title_contested", "needed_as_evidence", "rights_prejudiced")
    ),
    Case(
        "a contested title, and nobody contests it",
        FREEZE,
        {"restitution.contests": None},
        Code.AFFECTED_RIGHT_UNNAMED,
        "restitution.contests",
    ),
    Case(
        "prejudiced rights, and nobody's",
        FREEZE,
        {"restitution.affected": None},
        Code.AFFECTED_RIGHT_UNNAMED,
        "restitution.affected",
    ),
    *(
        Case(
            f"{what} for no reason",
            FREEZE,
            {f"restitution.{who}[0].reasons": ""},
            Code.AFFECTED_RIGHT_UNNAMED,
            f"restitution.{who}[0].reasons",
        )
        for what, who in (("a title contested", "contests"), ("rights prejudiced", "affected"))
    ),
    Case(
        "a decision for a victim that is pending",
        CONFISCATION,
        {"victims[0].pending": True, "victims[0].final_on": ""},
        Code.VICTIM_DECISION_OR_PENDING,
        "victims[0].decision",
    ),
    Case(
        "a decision for nobody", CONFISCATION, {"victims[0].victim": None}, Code.VICTIM_NOT_NAMED, "victims[0].victim"
    ),
    Case(
        "a victim who is owed nothing",
        CONFISCATION,
        {"victims[0].amount": None, "victims[0].property": ""},
        Code.VICTIM_OWED_NOTHING,
        "victims[0].amount",
    ),
    Case(
        "pending, and final",
        CONFISCATION,
        {"victims[1].final_on": "2027-03-05"},
        Code.FINAL_WHILE_PENDING,
        "victims[1].final_on",
    ),
    Case(
        "absent without a safeguard",
        CONFISCATION,
        {"trial.safeguard": certificates.TRIAL_SAFEGUARD_UNSPECIFIED},
        Code.TRIAL_SAFEGUARD_MISSING,
        "trial.safeguard",
    ),
    Case(
        "present, with a safeguard for the absent",
        CONFISCATION,
        {"trial.presence": certificates.TRIAL_PRESENCE_PRESENT},
        Code.TRIAL_SAFEGUARD_UNASKED,
        "trial.safeguard",
    ),
    Case("summoned on no day", CONFISCATION, {"trial.date": ""}, Code.TRIAL_DATE_MISSING, "trial.date"),
    Case(
        "served on no day",
        CONFISCATION,
        {"trial.safeguard": certificates.TRIAL_SAFEGUARD_SERVED_AFTERWARDS, "trial.date": ""},
        Code.TRIAL_DATE_MISSING,
        "trial.date",
    ),
    Case(
        "defended by a lawyer, and not how",
        CONFISCATION,
        {"trial.safeguard": certificates.TRIAL_SAFEGUARD_DEFENDED_BY_LAWYER, "trial.explanation": ""},
        Code.TRIAL_UNEXPLAINED,
        "trial.explanation",
    ),
    Case(
        "summoned after the order",
        CONFISCATION,
        {"trial.date": "2027-02-03"},
        Code.TRIAL_DATE_CONTRADICTS,
        "trial.date",
    ),
    Case(
        "served before the order",
        CONFISCATION,
        {"trial.safeguard": certificates.TRIAL_SAFEGUARD_SERVED_AFTERWARDS},
        Code.TRIAL_DATE_CONTRADICTS,
        "trial.date",
    ),
)

_SCOPES: Final = (
    Case("asset by asset, and no asset", FREEZE, PER_ASSET, Code.SCOPE_AMOUNTS_MISSING, "scope.amounts"),
    Case(
        "everything, and so much of one asset",
        FREEZE,
        FULL | {"scope.amounts": [parts.bitcoin("1")]},
        Code.SCOPE_AMOUNTS_UNASKED,
        "scope.amounts",
    ),
    Case("up to a sum, and no sum", FREEZE, {"scope.value_cap": None}, Code.SCOPE_CAP_MISSING, "scope.value_cap"),
    Case(
        "up to a sum, at no price",
        FREEZE,
        {"scope.valuation_method": evidence.VALUATION_METHOD_UNSPECIFIED},
        Code.SCOPE_CAP_MISSING,
        "scope.valuation_method",
    ),
    Case(
        "everything, up to a sum",
        FREEZE,
        {"scope.extent": measures.FREEZE_EXTENT_FULL},
        Code.SCOPE_CAP_UNASKED,
        "scope.value_cap",
    ),
    Case(
        "a part of an address in a token's contract",
        FREEZE,
        {"scope.target": measures.FREEZE_TARGET_TOKEN_CONTRACT_ADDRESS},
        Code.TOKEN_ADDRESS_NOT_WHOLE,
        "scope.extent",
    ),
    Case(
        "blocked and allowed",
        FREEZE,
        {"scope.allowed": [measures.ACCOUNT_ACTION_CLOSE]},
        Code.BLOCKED_AND_ALLOWED,
        "scope.allowed",
    ),
    Case(
        "a measure blocks withdrawals, the scope allows them",
        FREEZE,
        {"scope.blocked": None, "scope.allowed": [measures.ACCOUNT_ACTION_WITHDRAW]},
        Code.SCOPE_ALLOWS_WHAT_IS_BLOCKED,
        "scope.allowed",
    ),
    Case(
        "to hold what comes in, without that measure",
        FREEZE,
        {"scope.extent": measures.FREEZE_EXTENT_INCOMING_UP_TO_CAP, "measures": [ids.MEASURE_BLOCK_WITHDRAWAL]},
        Code.INCOMING_NOT_HELD,
        "scope.extent",
    ),
    Case(
        "how to freeze, and no measure",
        ids.KIND_DOMESTIC_ORDER,
        {"measures": None},
        Code.SCOPE_WITHOUT_MEASURE,
        "scope",
    ),
    Case(
        "a window for data that nobody asks for",
        FREEZE,
        {"windows[1].data_class": parts.CONTENT},
        Code.WINDOW_OF_OTHER_CLASS,
        "windows[1].data_class",
    ),
    Case(
        "two windows for one class",
        FREEZE,
        {"windows[1].data_class": parts.SUBSCRIBER},
        Code.WINDOW_TWICE,
        "windows[1].data_class",
    ),
    Case(
        "a window that ends before it begins",
        FREEZE,
        {"windows[0].until_us": parts.at(8, 31, year=2025)},
        Code.WINDOW_EMPTY,
        "windows[0].until_us",
    ),
    Case(
        "an identifier used until before it was used",
        ids.KIND_DOMESTIC_ORDER,
        {"identifiers[0].until_us": parts.at(8, 31, year=2025)},
        Code.WINDOW_EMPTY,
        "identifiers[0].until_us",
    ),
)

CASES: Final = (
    *_VALIDATION,
    *_CONTACTS,
    *_TIMES,
    *_PERSONS,
    *_PROPERTY,
    *_STATES,
    *_AFTERWARDS,
    *_SCOPES,
)
