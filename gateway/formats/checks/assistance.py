"""Mutual legal assistance beside freezing: evidence, preservation, spontaneous information, takedown.

In: documents of assistance.proto. Source: UNCAC Art. 46; Budapest Convention Art. 29 and 35; Directive (EU) 2024/1260;
Regulations (EU) 2023/1543, 2022/2065 Art. 9 and 2021/784; the practice of treaties; house rules, where they are marked
so.
"""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures

from gateway.formats.checks import clocks, days, parties, scope
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

_PRODUCTION: Final = frozenset(
    {
        measures.CLOCK_RULE_PRODUCTION,
        measures.CLOCK_RULE_EMERGENCY_PRODUCTION,
        measures.CLOCK_RULE_SET_BY_ORDER,
    }
)
_PRESERVATION: Final = frozenset(
    {
        measures.CLOCK_RULE_PRESERVATION,
        measures.CLOCK_RULE_PRESERVATION_EXTENSION,
        measures.CLOCK_RULE_EXPEDITED_PRESERVATION,
        measures.CLOCK_RULE_SET_BY_ORDER,
    }
)

PRESERVED_AT_LEAST_US: Final = 60 * days.DAY_US - clocks.SUMMER_TIME_US
"""Budapest Convention Art. 29(7): sixty days, to let the request come."""

_QUICK: Final = frozenset(
    {
        assistance.INFORMATION_CHANNEL_FIU,
        assistance.INFORMATION_CHANNEL_ASSET_RECOVERY,
        assistance.INFORMATION_CHANNEL_CONTACT_POINT,
    }
)
_HOLDING: Final = frozenset({ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING})

_SET_BY_ORDER: Final = frozenset({measures.CLOCK_RULE_SET_BY_ORDER})
_WEB: Final = frozenset({"http", "https"})


def check_evidence(sheet: Sheet, request: assistance.EvidenceRequest) -> None:
    """A request for evidence as a whole."""
    _check_asker(sheet, request)
    validator = request.validating_authority if request.HasField("validating_authority") else None
    parties.check_data(sheet, request.data_classes, request.offence, request.requesting_authority, validator)
    sheet.when(request.data_classes).need(
        Code.DATA_OF_NOBODY,
        "data_classes",
        request.wallets or request.identifiers or request.persons,
        "whose data? a wallet, an identifier or a person (2023/1543 Annex I section E)",
    )
    scope.check_windows(sheet, request.windows, request.data_classes)
    sheet.when(request.HasField("confidentiality")).need(
        Code.SECRECY_WITHOUT_REASONS,
        "confidentiality_reasons",
        request.confidentiality_reasons,
        "say why secrecy is needed (UNCAC Art. 46(20); practice of treaties)",
    )
    _check_emergency(sheet, request)
    sheet.need(
        Code.TRANSLATED_INTO_ORIGINAL,
        "translations",
        request.language.lower() not in (tag.lower() for tag in request.translations),
        "a translation is into another language than that of the request (house rule)",
    )
    sheet.when(request.HasField("estimated_value")).need(
        Code.VALUE_WITHOUT_PROPERTY, "property", request.property, "of what is this the value? (UNCAC Art. 55(3)(a))"
    )


def _check_asker(sheet: Sheet, request: assistance.EvidenceRequest | assistance.PreservationRequest) -> None:
    """Who asks may ask, of a State that is another."""
    asker = request.requesting_authority
    sheet.need(
        Code.STATES_SAME,
        "requested_state",
        request.requested_state != asker.country,
        "a State does not ask itself (UNCAC Art. 46(1))",
    )
    parties.check_validation(
        sheet, asker, request.validating_authority if request.HasField("validating_authority") else None
    )
    parties.check_state(sheet, "validating_authority", request.validating_authority, asker.country)
    if isinstance(request, assistance.EvidenceRequest):
        parties.check_state(sheet, "central_authority", request.central_authority, asker.country)


def _check_emergency(sheet: Sheet, request: assistance.EvidenceRequest) -> None:
    """An emergency is explained, and only an emergency has eight hours (2023/1543 Art. 3(18), 10(4))."""
    sheet.when(request.emergency).need(
        Code.EMERGENCY_UNEXPLAINED,
        "urgency_grounds",
        request.urgency_grounds,
        "say how the threat arises; that assets may be moved is none (2023/1543 Art. 3(18))",
    )
    if request.HasField("deadline"):
        clocks.check_place(sheet, "deadline", request.deadline, _PRODUCTION)
        sheet.when(request.deadline.rule == measures.CLOCK_RULE_EMERGENCY_PRODUCTION).need(
            Code.EMERGENCY_WITHOUT_THREAT,
            "emergency",
            request.emergency,
            "eight hours are for an emergency, and no threat is named (2023/1543 Art. 10(4))",
        )


def check_preservation(sheet: Sheet, request: assistance.PreservationRequest) -> None:
    """A request to preserve as a whole."""
    _check_asker(sheet, request)
    sheet.need(
        Code.REQUEST_WILL_NOT_FOLLOW,
        "request_will_follow",
        request.request_will_follow,
        "it says that a request for the data will follow (Budapest Convention Art. 29(2)(f))",
    )
    sheet.need(
        Code.DATA_OF_NOBODY,
        "data_classes",
        request.wallets or request.identifiers,
        "whose data? a wallet or another identifier (Budapest Convention Art. 29(2)(c))",
    )
    scope.check_windows(sheet, request.windows, request.data_classes)
    clocks.check_place(sheet, "period", request.period, _PRESERVATION)
    # What is prolonged by thirty days has had its sixty.
    first = request.period.rule in _PRESERVATION - {measures.CLOCK_RULE_PRESERVATION_EXTENSION}
    sheet.when(first).need(
        Code.PRESERVATION_UNDER_60_DAYS,
        "period.due_us",
        request.period.due_us - request.period.start_us >= PRESERVED_AT_LEAST_US,
        "data are preserved for at least sixty days (Budapest Convention Art. 29(7))",
    )


def check_provisional(sheet: Sheet, request: assistance.ProvisionalFreeze) -> None:
    """A request to hold at once, before one in due form. Nobody has to have validated it: that is what follows."""
    asker = request.requesting_authority
    sheet.need(
        Code.STATES_SAME,
        "requested_state",
        request.requested_state != asker.country,
        "a State does not ask itself (UNCAC Art. 46(1))",
    )
    parties.check_listed(sheet, request.offence)
    sheet.need(
        Code.PROVISIONAL_BEYOND_HOLDING,
        "measures",
        _HOLDING.issuperset(request.measures),
        "what is provisional holds, and takes nothing (2024/1260; FATF Recommendation 4)",
    )
    sheet.need(
        Code.CHANNEL_OF_OTHERS,
        "channel",
        request.channel in _QUICK,
        "units, asset recovery offices and contact points ask so, nobody else (2024/1260; Budapest Convention Art. 35)",
    )
    sheet.need(
        Code.REQUEST_WILL_NOT_FOLLOW,
        "request_will_follow",
        request.request_will_follow,
        "it says that a request in due form will follow (2024/1260)",
    )


def check_information(sheet: Sheet, told: assistance.SpontaneousInformation) -> None:
    """What comes from a financial intelligence unit is for analysis, unless it consents (Egmont principles)."""
    sheet.when(told.channel == assistance.INFORMATION_CHANNEL_FIU).need(
        Code.FIU_USE_WITHOUT_CONSENT,
        "use",
        told.use == assistance.PERMITTED_USE_INTELLIGENCE_ONLY or told.conditions,
        "more than analysis takes the consent of the unit that tells it: state it in the conditions (Egmont)",
    )


def check_takedown(sheet: Sheet, notice: assistance.TakedownNotice) -> None:
    """Exact places on the web, and one hour for terrorist content (2022/2065 Art. 9(2)(a); 2021/784 Art. 3(3))."""
    for position, url in enumerate(notice.urls):
        place = _split(url)
        sheet.need(
            Code.URL_NOT_OF_THE_WEB,
            f"urls[{position}]",
            place is not None and place.scheme.lower() in _WEB and place.hostname,
            "an absolute URL of http or https, with a host (2022/2065 Art. 9(2)(a))",
        )
        sheet.need(
            Code.URL_WITH_CREDENTIALS,
            f"urls[{position}]",
            place is None or "@" not in place.netloc,
            "no user name or password in a URL (house rule)",
        )
    terror = notice.subject == assistance.TAKEDOWN_SUBJECT_TERRORIST_CONTENT
    hour = notice.deadline.rule == measures.CLOCK_RULE_TERRORIST_CONTENT
    sheet.when(terror).need(
        Code.TERRORIST_CONTENT_WITHOUT_HOUR, "deadline.rule", hour, "terrorist content: one hour (2021/784 Art. 3(3))"
    )
    clocks.check_place(sheet.when(not terror), "deadline", notice.deadline, _SET_BY_ORDER)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


RULES: Final = (
    on(assistance.EvidenceRequest, check_evidence),
    on(assistance.PreservationRequest, check_preservation),
    on(assistance.ProvisionalFreeze, check_provisional),
    on(assistance.SpontaneousInformation, check_information),
    on(assistance.TakedownNotice, check_takedown),
)
