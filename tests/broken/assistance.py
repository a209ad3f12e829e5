"""Requests for assistance with one fault each."""

from typing import Final

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.codes import Code
from tests.broken.case import Case
from tests.samples import parts

EVIDENCE: Final = ids.KIND_EVIDENCE_REQUEST
PRESERVATION: Final = ids.KIND_PRESERVATION_REQUEST
INFORMATION: Final = ids.KIND_SPONTANEOUS_INFORMATION
TAKEDOWN: Final = ids.KIND_TAKEDOWN_NOTICE
PROVISIONAL: Final = ids.KIND_PROVISIONAL_FREEZE
WATCHLIST: Final = ids.KIND_WATCHLIST_NOTICE

NOON: Final = parts.at(3, 1, 12)

CASES: Final = (
    Case("a State asks itself", EVIDENCE, {"requested_state": "EE"}, Code.STATES_SAME, "requested_state"),
    Case(
        "a State asks itself to preserve", PRESERVATION, {"requested_state": "EE"}, Code.STATES_SAME, "requested_state"
    ),
    Case(
        "an authority that is no court asks, and nobody validated it",
        PRESERVATION,
        {"requesting_authority.type": parties.AUTHORITY_TYPE_OTHER_COMPETENT, "validating_authority": None},
        Code.VALIDATION_MISSING,
        "validating_authority",
    ),
    Case(
        "another authority validated it",
        PRESERVATION,
        {"validating_authority.type": parties.AUTHORITY_TYPE_OTHER_COMPETENT},
        Code.VALIDATION_NOT_JUDICIAL,
        "validating_authority.type",
    ),
    Case(
        "the validating court is of another State",
        EVIDENCE,
        {"validating_authority.country": "DE"},
        Code.AUTHORITY_OF_OTHER_STATE,
        "validating_authority.country",
    ),
    Case(
        "the central authority is of another State",
        EVIDENCE,
        {"central_authority.country": "DE"},
        Code.AUTHORITY_OF_OTHER_STATE,
        "central_authority.country",
    ),
    Case(
        "a prosecutor alone asks for traffic data",
        EVIDENCE,
        {"validating_authority": None},
        Code.DATA_WITHOUT_COURT,
        "data_classes",
    ),
    Case(
        "traffic data for an offence of two years",
        EVIDENCE,
        {"offence.maximum_sentence_months": 24},
        Code.DATA_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
    ),
    Case(
        "data of nobody",
        EVIDENCE,
        {"wallets": None, "identifiers": None, "persons": None},
        Code.DATA_OF_NOBODY,
        "data_classes",
    ),
    Case("preserve nothing", PRESERVATION, {"wallets": None, "identifiers": None}, Code.DATA_OF_NOBODY, "data_classes"),
    Case(
        "a window for data that nobody asks for",
        EVIDENCE,
        {"windows[0].data_class": parts.CONTENT},
        Code.WINDOW_OF_OTHER_CLASS,
        "windows[0].data_class",
    ),
    Case(
        "two windows for one class",
        PRESERVATION,
        {"windows[0].data_class": parts.TRANSACTIONAL},
        Code.WINDOW_TWICE,
        "windows[1].data_class",
    ),
    Case(
        "secret for no reason",
        EVIDENCE,
        {"confidentiality_reasons": ""},
        Code.SECRECY_WITHOUT_REASONS,
        "confidentiality_reasons",
    ),
    Case(
        "translated into its own language",
        EVIDENCE,
        {"translations": ["de", "EN"]},
        Code.TRANSLATED_INTO_ORIGINAL,
        "translations",
    ),
    Case("the value of nothing", EVIDENCE, {"property": ""}, Code.VALUE_WITHOUT_PROPERTY, "property"),
    Case(
        "an emergency, and not a word on it",
        EVIDENCE,
        {"urgency_grounds": ""},
        Code.EMERGENCY_UNEXPLAINED,
        "urgency_grounds",
    ),
    Case(
        "eight hours without a threat",
        EVIDENCE,
        {
            "emergency": assistance.EMERGENCY_THREAT_UNSPECIFIED,
            "deadline": parts.clock(measures.CLOCK_RULE_EMERGENCY_PRODUCTION, NOON, parts.at(3, 1, 20)),
        },
        Code.EMERGENCY_WITHOUT_THREAT,
        "emergency",
    ),
    Case(
        "a request for evidence with the clock of a freeze",
        EVIDENCE,
        {"deadline": parts.clock(measures.CLOCK_RULE_URGENT_DECISION, NOON, parts.at(3, 3, 12))},
        Code.CLOCK_MISPLACED,
        "deadline.rule",
    ),
    Case(
        "no request will follow",
        PRESERVATION,
        {"request_will_follow": False},
        Code.REQUEST_WILL_NOT_FOLLOW,
        "request_will_follow",
    ),
    Case(
        "59 days of preservation",
        PRESERVATION,
        {"period": parts.clock(measures.CLOCK_RULE_EXPEDITED_PRESERVATION, parts.at(3, 1), parts.at(4, 29))},
        Code.PRESERVATION_UNDER_60_DAYS,
        "period.due_us",
    ),
    Case(
        "preservation by the clock of a limitation",
        PRESERVATION,
        {"period": parts.clock(measures.CLOCK_RULE_LIMITATION_ANSWER, parts.at(3, 1), parts.at(4, 20))},
        Code.CLOCK_MISPLACED,
        "period.rule",
    ),
    Case(
        "from a financial intelligence unit, for use as evidence",
        INFORMATION,
        {
            "channel": assistance.INFORMATION_CHANNEL_FIU,
            "use": assistance.PERMITTED_USE_EVIDENCE,
            "conditions": "",
        },
        Code.FIU_USE_WITHOUT_CONSENT,
        "use",
    ),
    Case("a State asks itself to hold", PROVISIONAL, {"requested_state": "EE"}, Code.STATES_SAME, "requested_state"),
    Case(
        "hold at once for an offence of two years, as a listed one",
        PROVISIONAL,
        {"offence.maximum_sentence_months": 24},
        Code.LISTED_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
    ),
    Case(
        "confiscate at once",
        PROVISIONAL,
        {"measures": [ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_CONFISCATE]},
        Code.PROVISIONAL_BEYOND_HOLDING,
        "measures",
    ),
    Case(
        "hold at once, from police to police",
        PROVISIONAL,
        {"channel": assistance.INFORMATION_CHANNEL_POLICE},
        Code.CHANNEL_OF_OTHERS,
        "channel",
    ),
    Case(
        "hold at once, and nothing will follow",
        PROVISIONAL,
        {"request_will_follow": False},
        Code.REQUEST_WILL_NOT_FOLLOW,
        "request_will_follow",
    ),
    Case(
        "wallets to look out for, as evidence",
        WATCHLIST,
        {"channel": assistance.INFORMATION_CHANNEL_POLICE, "use": assistance.PERMITTED_USE_EVIDENCE},
        Code.WATCHLIST_NOT_INTELLIGENCE,
        "use",
    ),
    Case("no wallet to look out for", WATCHLIST, {"wallets": None}, Code.WATCHLIST_EMPTY, "wallets"),
    Case(
        "a place that is not on the web",
        TAKEDOWN,
        {"urls": ["https://balticyield.example/join", "ftp://balticyield.example/join"]},
        Code.URL_NOT_OF_THE_WEB,
        "urls[1]",
    ),
    Case(
        "a place with half an address", TAKEDOWN, {"urls": ["http://[2001:db8::1"]}, Code.URL_NOT_OF_THE_WEB, "urls[0]"
    ),
    Case("a place without a host", TAKEDOWN, {"urls": ["https:///join"]}, Code.URL_NOT_OF_THE_WEB, "urls[0]"),
    Case(
        "a place with a password",
        TAKEDOWN,
        {"urls": ["https://admin:secret@balticyield.example/join"]},
        Code.URL_WITH_CREDENTIALS,
        "urls[0]",
    ),
    Case(
        "terrorist content in two days",
        TAKEDOWN,
        {"subject": assistance.TAKEDOWN_SUBJECT_TERRORIST_CONTENT},
        Code.TERRORIST_CONTENT_WITHOUT_HOUR,
        "deadline.rule",
    ),
    Case(
        "one hour for what is no terrorist content",
        TAKEDOWN,
        {"deadline": parts.clock(measures.CLOCK_RULE_TERRORIST_CONTENT, NOON, parts.at(3, 1, 13))},
        Code.CLOCK_MISPLACED,
        "deadline.rule",
    ),
)
