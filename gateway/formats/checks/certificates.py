"""The two certificates of Regulation (EU) 2018/1805 as wholes: what one section says of another.

In: a `FreezeRequest` (Annex I) or a `ConfiscationRequest` (Annex II). The rules within one section are in `sought`
and `consequences`, those on authorities and persons in `parties`.
"""

from collections.abc import Iterable
from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks import consequences, days, money, scope, sought
from gateway.formats.checks import parties as persons
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code


def check_states(sheet: Sheet, issuing: str, executing: str) -> None:
    """One State asks another (2018/1805 Art. 2(6) and (7))."""
    sheet.need(
        Code.STATES_SAME,
        "executing_state",
        issuing != executing,
        "a State does not ask itself (2018/1805 Art. 2(6), (7))",
    )


def check_freeze(sheet: Sheet, request: certificates.FreezeRequest) -> None:
    """Annex I as a whole."""
    check_states(sheet, request.issuing_state, request.executing_state)
    _check_authorities(sheet, request)
    _check_contacts(sheet, request)
    _check_times(sheet, request)
    persons.check_persons(sheet, request.persons, request.third_parties)
    persons.check_listed(sheet, request.offence)
    sought.check_several_of(
        sheet,
        request.several_states,
        request.property,
        frozenset({request.issuing_state, request.executing_state}),
        confiscation=False,
    )
    _check_earlier(sheet, "earlier_orders", request.earlier_orders, request.issuing_authority)
    sheet.need(
        Code.FREEZE_CONFISCATES,
        "measures",
        ids.MEASURE_CONFISCATE not in request.measures,
        "a freezing certificate does not ask to confiscate: that is another certificate (2018/1805 Art. 2(1), (2))",
    )
    scope.check_windows(sheet, request.windows, request.data_classes)
    if request.HasField("scope"):
        scope.check_against_measures(sheet, request.scope, request.measures)
        _check_cap(sheet, request.scope, request.property)


def _check_authorities(sheet: Sheet, request: certificates.FreezeRequest) -> None:
    """Sections A, M, N and O."""
    issuer = request.issuing_authority
    validator = request.validating_authority if request.HasField("validating_authority") else None
    sheet.need(
        Code.ISSUED_BY_CENTRAL_AUTHORITY,
        "issuing_authority.type",
        issuer.type != parties.AUTHORITY_TYPE_CENTRAL,
        "a central authority transmits and receives, it does not issue (2018/1805 Art. 2(8)(a), 24(2))",
    )
    persons.check_validation(sheet, issuer, validator)
    persons.check_data(sheet, request.data_classes, request.offence, issuer, validator)
    persons.check_certified(sheet, "issuing_authority", issuer, request.order_date)
    if validator is not None:
        persons.check_certified(sheet, "validating_authority", validator, request.order_date)
    for field, authority in (
        ("issuing_authority", issuer),
        ("validating_authority", request.validating_authority),
        ("central_authority", request.central_authority),
    ):
        persons.check_state(sheet, field, authority, request.issuing_state)


def _check_contacts(sheet: Sheet, request: certificates.FreezeRequest) -> None:
    """Sections L and N: whoever is named as a contact is there."""
    validated = request.HasField("validating_authority")
    sheet.when(request.remedies.who == certificates.INFORMING_AUTHORITY_VALIDATING).need(
        Code.NO_VALIDATING_AUTHORITY, "remedies.who", validated, "there is no validating authority (Annex I section L)"
    )
    sheet.when(request.main_contact == certificates.INFORMING_AUTHORITY_VALIDATING).need(
        Code.NO_VALIDATING_AUTHORITY, "main_contact", validated, "there is no validating authority (Annex I section N)"
    )
    sheet.when(validated).need(
        Code.MAIN_CONTACT_MISSING,
        "main_contact",
        request.main_contact,
        "say which of the two authorities is the main contact (Annex I section N)",
    )
    sheet.need(
        Code.MAIN_CONTACT_OTHER,
        "main_contact",
        request.main_contact != certificates.INFORMING_AUTHORITY_OTHER,
        "the main contact is the issuing or the validating authority, no other (Annex I section N)",
    )


def _check_times(sheet: Sheet, request: certificates.FreezeRequest) -> None:
    """Sections B and I, and the end of the order: none of them comes before the order."""
    sheet.need(
        Code.EXECUTION_BEFORE_ORDER,
        "urgency.requested_on",
        days.in_order(request.order_date, request.urgency.requested_on),
        "the day to execute comes after the order (Annex I section B2)",
    )
    sheet.need(
        Code.EXPECTED_BEFORE_ORDER,
        "confiscation.expected_on",
        days.in_order(request.order_date, request.confiscation.expected_on),
        "the confiscation certificate is expected after the freezing order (Annex I section I)",
    )
    sheet.when(request.HasField("expires_at_us")).need(
        Code.EXPIRES_BEFORE_ORDER,
        "expires_at_us",
        days.after_day(request.expires_at_us, request.order_date),
        "a freeze ends after it is ordered (2018/1805 Art. 12)",
    )


def check_urgency(sheet: Sheet, urgency: certificates.UrgencyRequest) -> None:
    """Section B: something is asked for, and explained."""
    sheet.need(
        Code.URGENT_WITHOUT_GROUND,
        "grounds",
        urgency.grounds or urgency.requested_on or urgency.coordination_needed,
        "name a ground of urgency, a day, or the need of coordination (Annex I section B, 2018/1805 Art. 9(3))",
    )
    sheet.need(
        Code.URGENCY_UNEXPLAINED,
        "explanation",
        urgency.explanation,
        "state the grounds of urgency in words (Annex I section B)",
    )


def check_remedies(sheet: Sheet, remedies: certificates.RemedyInformation) -> None:
    """Section L."""
    sheet.when(remedies.who == certificates.INFORMING_AUTHORITY_OTHER).need(
        Code.REMEDIES_NOT_NAMED, "other", remedies.other, "name the other authority (Annex I section L)"
    )


def _check_earlier(
    sheet: Sheet, field: str, earlier: Iterable[certificates.EarlierOrder], issuer: parties.CompetentAuthority
) -> None:
    """Annex I section H, Annex II section E: an earlier order is earlier than the certificate."""
    for each, order in sheet.each(field, earlier):
        each.need(
            Code.EARLIER_ORDER_LATER,
            "date",
            days.in_order(order.date, issuer.signed_on),
            "an earlier order is not later than the certificate (Annex I section H)",
        )


def _check_cap(sheet: Sheet, freeze: measures.FreezeScope, asked: certificates.PropertySought) -> None:
    """Nobody is asked to freeze more than the order covers (section D2)."""
    capped = freeze.HasField("value_cap") and asked.HasField("amount")
    sheet.when(capped).need(
        Code.CAP_ABOVE_AMOUNT,
        "scope.value_cap",
        (money.compare(freeze.value_cap, asked.amount) or 0) <= 0,
        "no more is to be frozen than the amount for this State (Annex I section D2)",
    )


def check_confiscation(sheet: Sheet, request: certificates.ConfiscationRequest) -> None:
    """Annex II as a whole."""
    check_states(sheet, request.issuing_state, request.executing_state)
    for field, authority in (
        ("issuing_authority", request.issuing_authority),
        ("central_authority", request.central_authority),
    ):
        persons.check_state(sheet, field, authority, request.issuing_state)
    persons.check_certified(sheet, "issuing_authority", request.issuing_authority, request.order_date)
    persons.check_persons(sheet, request.persons, request.third_parties)
    persons.check_listed(sheet, request.offence)
    sheet.need(
        Code.FINAL_BEFORE_ORDER,
        "final_on",
        days.in_order(request.order_date, request.final_on),
        "an order becomes final after it is made (Annex II section B)",
    )
    sought.check_several_of(
        sheet,
        request.several_states,
        request.property,
        frozenset({request.issuing_state, request.executing_state}),
        confiscation=True,
    )
    _check_earlier(sheet, "freezing_orders", request.freezing_orders, request.issuing_authority)
    consequences.check_trial_date(sheet, request.trial, request.order_date)
    sheet.need(
        Code.CONFISCATION_NOT_ASKED,
        "measures",
        ids.MEASURE_CONFISCATE in request.measures,
        "a confiscation certificate asks to confiscate (2018/1805 Art. 2(2), 14(1))",
    )


RULES: Final = (
    on(certificates.FreezeRequest, check_freeze),
    on(certificates.ConfiscationRequest, check_confiscation),
    on(certificates.UrgencyRequest, check_urgency),
    on(certificates.RemedyInformation, check_remedies),
)
