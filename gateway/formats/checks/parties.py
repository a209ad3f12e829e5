"""Who may ask, who must have validated it, and which persons may stand where.

In: authorities, persons and the offence of one request. Notes what breaks Regulation (EU) 2018/1805 Art. 2(8) and 3(1),
Regulation (EU) 2023/1543 Art. 4 and 5(4), or the sections of the certificates on persons.
"""

from collections.abc import Iterable
from typing import Final

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks import days
from gateway.formats.checks.sheet import Sheet, on
from gateway.formats.codes import Code

COURTS: Final = frozenset(
    {parties.AUTHORITY_TYPE_JUDGE, parties.AUTHORITY_TYPE_COURT, parties.AUTHORITY_TYPE_INVESTIGATING_JUDGE}
)
VALIDATORS: Final = COURTS | {parties.AUTHORITY_TYPE_PROSECUTOR}

COURTS_DATA: Final = frozenset({ids.DATA_CLASS_TRANSACTIONAL, ids.DATA_CLASS_CONTENT})
"""Traffic and content: a prosecutor cannot order them (2023/1543 Art. 4(2))."""

THRESHOLD_MONTHS: Final = 36
"""2018/1805 Art. 3(1), 2023/1543 Art. 5(4)(a): a maximum of at least three years."""

DIRECTIVES: Final = frozenset(
    {
        certificates.LISTED_OFFENCE_TERRORISM,  # Directive (EU) 2017/541
        certificates.LISTED_OFFENCE_SEXUAL_EXPLOITATION_OF_CHILDREN,  # Directive 2011/93/EU
        certificates.LISTED_OFFENCE_FRAUD,  # Directive (EU) 2019/713, where it is fraud with means of payment
        certificates.LISTED_OFFENCE_COMPUTER_CRIME,  # Directive 2013/40/EU
        certificates.LISTED_OFFENCE_FORGERY_OF_PAYMENT_MEANS,  # Directive (EU) 2019/713
    }
)
"""Categories with offences of 2023/1543 Art. 5(4)(b) to (d), for which no threshold counts."""

AFFECTED: Final = frozenset({parties.POSITION_SUBJECT, parties.POSITION_OWNER})
THIRD: Final = frozenset({parties.POSITION_THIRD_PARTY})
VICTIM: Final = frozenset({parties.POSITION_VICTIM})


def check_state(sheet: Sheet, field: str, authority: parties.CompetentAuthority, state: str) -> None:
    """An authority belongs to the State that it acts for (2018/1805 Art. 2(8), 24(2))."""
    sheet.when(authority.country).need(
        Code.AUTHORITY_OF_OTHER_STATE,
        f"{field}.country",
        authority.country == state,
        "this authority is not of the State that asks (2018/1805 Art. 2(8), 24(2))",
    )


def check_validation(
    sheet: Sheet, issuer: parties.CompetentAuthority, validator: parties.CompetentAuthority | None
) -> None:
    """Who asks may ask, or somebody who may has validated it (2018/1805 Art. 2(8)(a); 2023/1543 Art. 4(1) to (3))."""
    other = issuer.type == parties.AUTHORITY_TYPE_OTHER_COMPETENT
    sheet.when(other).need(
        Code.VALIDATION_MISSING,
        "validating_authority",
        validator is not None,
        "a judge, court or prosecutor must have validated it (2018/1805 Art. 2(8)(a)(ii); 2023/1543 Art. 4)",
    )
    sheet.when(validator is not None).need(
        Code.VALIDATION_NOT_JUDICIAL,
        "validating_authority.type",
        validator is not None and validator.type in VALIDATORS,
        "only a judge, court or prosecutor validates (2018/1805 Art. 2(8)(a)(ii); 2023/1543 Art. 4)",
    )


def check_data(
    sheet: Sheet,
    classes: Iterable[int],
    offence: certificates.Offence,
    issuer: parties.CompetentAuthority,
    validator: parties.CompetentAuthority | None,
) -> None:
    """Traffic and content take a court, and an offence of some weight (2023/1543 Art. 4(2), 5(4))."""
    asked = sheet.when(COURTS_DATA & set(classes))
    asked.need(
        Code.DATA_WITHOUT_COURT,
        "data_classes",
        issuer.type in COURTS or (validator is not None and validator.type in COURTS),
        "a judge or court must order or validate traffic and content data; a prosecutor cannot (2023/1543 Art. 4(2))",
    )
    asked.need(
        Code.DATA_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
        offence.maximum_sentence_months >= THRESHOLD_MONTHS or DIRECTIVES & set(offence.listed),
        "traffic and content data take a maximum of three years, or an offence named there (2023/1543 Art. 5(4))",
    )


def check_listed(sheet: Sheet, offence: certificates.Offence) -> None:
    """A category is ticked only for an offence with a maximum of three years (2018/1805 Art. 3(1))."""
    sheet.when(offence.listed).need(
        Code.LISTED_OFFENCE_UNDER_36_MONTHS,
        "offence.maximum_sentence_months",
        offence.maximum_sentence_months >= THRESHOLD_MONTHS,
        "a listed offence carries a maximum of at least three years (2018/1805 Art. 3(1))",
    )


def check_certified(sheet: Sheet, field: str, authority: parties.CompetentAuthority, order_date: str) -> None:
    """A certificate is signed by name, with the day, after its order (2018/1805 Art. 6 and 17; Annex I section M)."""
    for name, given in (("official", authority.official), ("signed_on", authority.signed_on)):
        sheet.need(
            Code.NOT_CERTIFIED,
            f"{field}.{name}",
            given,
            "who certifies the content gives name and day (2018/1805 Art. 6)",
        )
    sheet.need(
        Code.SIGNED_BEFORE_ORDER,
        f"{field}.signed_on",
        days.in_order(order_date, authority.signed_on),
        "a certificate cannot be older than its order (2018/1805 Art. 6, Annex I section M)",
    )


def check_position(sheet: Sheet, field: str, person: parties.PersonConcerned, allowed: frozenset[int]) -> None:
    """A person stands where the certificate has a place for such persons (Annex I sections C1, C3, K)."""
    sheet.need(
        Code.PERSON_MISPLACED,
        f"{field}.position",
        person.position in allowed,
        "this section is not for persons of this position (Annex I sections C1, C3 and K)",
    )


def check_persons(
    sheet: Sheet, persons: Iterable[parties.PersonConcerned], third: Iterable[parties.PersonConcerned]
) -> None:
    """Sections C1 and C3: whom the order is against or who owns it; and third parties, with their grounds."""
    for position, person in enumerate(persons):
        check_position(sheet, f"persons[{position}]", person, AFFECTED)
    for position, person in enumerate(third):
        check_position(sheet, f"third_parties[{position}]", person, THIRD)
        sheet.need(
            Code.THIRD_PARTY_WITHOUT_GROUNDS,
            f"third_parties[{position}].grounds",
            person.grounds,
            "a third party stands here with the right that is prejudiced (Annex I section C3)",
        )


def check_person(sheet: Sheet, concerned: parties.PersonConcerned) -> None:
    """A human being has a sex and papers, a firm a legal form and a representative (Annex I section C1)."""
    human = concerned.person.HasField("natural")
    for field in ("legal_form", "representative"):
        _only(sheet.when(human), field, concerned)
    for field in ("sex", "nationalities", "documents"):
        _only(sheet.when(concerned.person.HasField("legal")), field, concerned)


def _only(sheet: Sheet, field: str, concerned: parties.PersonConcerned) -> None:
    given = any(found.name == field for found, _ in concerned.ListFields())
    sheet.need(
        Code.FIELD_OF_OTHER_PERSON,
        field,
        not given,
        "human beings and firms have fields of their own (Annex I section C1)",
    )


def check_account(sheet: Sheet, account: parties.BankAccount) -> None:
    """An account can be found (Annex I section D2, Annex II section M)."""
    sheet.need(
        Code.ACCOUNT_WITHOUT_NUMBER,
        "iban",
        account.iban or account.other,
        "an account has an IBAN or another number (Annex I section D2, Annex II section M)",
    )


def check_contact(sheet: Sheet, contact: parties.Contact) -> None:
    """A contact can be reached (Annex I section M; house rule elsewhere)."""
    sheet.need(
        Code.CONTACT_UNREACHABLE,
        "telephone",
        contact.telephone or contact.email,
        "a contact has a telephone or e-mail (Annex I section M)",
    )


RULES: Final = (
    on(parties.PersonConcerned, check_person),
    on(parties.BankAccount, check_account),
    on(parties.Contact, check_contact),
)
