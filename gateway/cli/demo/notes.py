"""The small papers of the demo: notices, objection, disclosure, withdrawal, release; and what cannot wait.

As invented as the facts of the case in `papers`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1 import persons_pb2 as persons

from gateway.cli.demo import papers
from gateway.clock import to_micros
from gateway.formats import wallets

LAPSE_HOURS: Final = 8
"""In Germany's policy file: what an FIU orders there lapses after eight hours, where the table has seven days."""
POLICY: Final = f"""\
# The stricter law of Germany, as far as this demo has one: see docs/policy.md.
country = "de"

[provisional]
orders_by = ["fiu"]
lapse_hours = {LAPSE_HOURS}
law = "demo: by the FIU alone, and for {LAPSE_HOURS} hours"
"""
HELD: Final = (ids.MEASURE_BLOCK_WITHDRAWAL,)

RETURNED: Final = f"Section C names the order {papers.MISTAKEN_ORDER}; the order in the file is another."
PROSECUTOR: Final = parties.Authority(name="Riigiprokuratuur", file_number="KrMS-1")
MINISTRY: Final = parties.Authority(name="Bundesamt für Justiz", file_number="III 3 - 26/1044")
EXCHANGE: Final = parties.Authority(name="Hanse Digital Exchange AG", file_number="LE-2026-118")
UNIT: Final = parties.Authority(name="Zentralstelle für Finanztransaktionsuntersuchungen", file_number="FIU-26-77")

_SUSPECT: Final = "HDX-4410927"


def notice(by: parties.Authority, text: str, **more: object) -> notices.Notice:
    """Return a notice of somebody, with the fields named."""
    return notices.Notice(authority=by, reference=by.file_number, text=text, **more)  # type: ignore[arg-type]


def consultation() -> notices.Notice:
    """Return the question before a refusal (2018/1805 Art. 8(2))."""
    text = "The conduct seems to be no offence here. Is there more to it than late statements?"
    return notice(MINISTRY, text, ground=ids.GROUND_NO_DUAL_CRIMINALITY)


def objection() -> notices.ObjectionNotice:
    """Return what the exchange objects: another country's law."""
    return notices.ObjectionNotice(
        order_number=papers.ORDERING.file_number,
        objections=[
            notices.Objection(
                reason=notices.OBJECTION_REASON_THIRD_COUNTRY_CONFLICT,
                explanation="Some of the accounts are kept by a subsidiary in Switzerland.",
                preserved=True,
                conflict=notices.ConflictOfLaws(
                    law="Federal Act on Data Protection, Art. 16",
                    interest="Personal data of customers",
                    application="The subsidiary answers for the accounts.",
                    link="It has its seat there.",
                    consequences="A fine of up to 250 000 francs.",
                ),
            )
        ],
    )


def disclosure(data_classes: Sequence[ids.DataClass.ValueType], at: datetime) -> orders.Disclosure:
    """Return what the exchange hands over of these classes; the books are invented, the transactions real."""
    found = orders.Disclosure(order_number=papers.ORDERING.file_number, data_classes=data_classes)
    if ids.DATA_CLASS_TRANSACTIONAL in data_classes:
        found.transactions.extend(papers.read_transactions())
    if ids.DATA_CLASS_BALANCE in data_classes:
        found.balances.add(
            account_reference=_SUSPECT,
            at_us=to_micros(at),
            fiat=[evidence.Money(currency="EUR", amount="412.07")],
        )
    if ids.DATA_CLASS_SUBSCRIBER in data_classes:
        found.subscribers.add(customer=_customer(), account_reference=_SUSPECT)
    for data_class in data_classes:
        found.fields.add(data_class=data_class, name="all records", answer=orders.FIELD_ANSWER_SUPPLIED)
    return found


def withdrawal() -> followups.Withdrawal:
    """Return that the prosecutor asks no more."""
    return followups.Withdrawal(
        authority=PROSECUTOR,
        order_number=papers.ORDER_REFERENCE,
        reason=followups.WITHDRAWAL_REASON_NOT_ENFORCEABLE,
        explanation="The proceedings were discontinued.",
    )


def taken_back() -> followups.Withdrawal:
    """Return that the ministry asks its court no more."""
    return followups.Withdrawal(
        authority=MINISTRY,
        order_number=papers.COURT.file_number,
        reason=followups.WITHDRAWAL_REASON_NOT_ENFORCEABLE,
    )


def release(by: parties.Authority) -> followups.Release:
    """Return that a freeze ends as a whole."""
    return followups.Release(
        authority=by,
        order_number=papers.ORDERING.file_number,
        reason=followups.RELEASE_REASON_WITHDRAWN,
        confidentiality_released=True,
    )


def released(results: int) -> orders.ExecutionReport:
    """Return the exchange's word that so many wallets are free again."""
    return orders.ExecutionReport(outcome=ids.OUTCOME_GRANTED, remarks=f"{results} wallets are free again.")


def provisional_freeze(asked: Sequence[evidence.WalletIdentifier]) -> assistance.ProvisionalFreeze:
    """Return what one financial intelligence unit asks another at once."""
    asking = parties.CompetentAuthority()
    asking.CopyFrom(papers.PROSECUTOR)
    asking.name, asking.post = "Rahapesu Andmebüroo", "analyst"
    asking.type = parties.AUTHORITY_TYPE_OTHER_COMPETENT
    return assistance.ProvisionalFreeze(
        requesting_authority=asking,
        requested_state="DE",
        offence=papers.OFFENCE,
        wallets=asked,
        measures=HELD,
        urgency_grounds="A withdrawal has been asked for and is held back till the evening.",
        channel=assistance.INFORMATION_CHANNEL_FIU,
        request_will_follow=True,
    )


def provisional_order(asked: Sequence[evidence.WalletIdentifier], now: datetime) -> orders.DomesticOrder:
    """Return the unit's order to an exchange, which lapses by itself."""
    # The hour that has begun is not counted (Reg. 1182/71 Art. 3(1)); the node ends it by its own clock in any case.
    ends = now + timedelta(hours=LAPSE_HOURS + 1)
    return orders.DomesticOrder(
        court=UNIT,
        legal_basis="§ 40 GwG",
        wallets=[wallets.without_origin(wallet) for wallet in asked],
        measures=HELD,
        remedies="Objection to this unit.",
        expires_at_us=to_micros(ends),
        lapses_by_itself=True,
    )


def emergency() -> assistance.EvidenceRequest:
    """Return what is asked while somebody's life is in danger: who somebody is, and nothing else."""
    return assistance.EvidenceRequest(
        requesting_authority=papers.PROSECUTOR,
        central_authority=papers.MINISTRY,
        requested_state="DE",
        proceeding="Pre-trial criminal proceedings KrMS-2 for extortion",
        conducting_authority="Riigiprokuratuur",
        offence=papers.OFFENCE,
        assistance=[
            assistance.Assistance(
                type=assistance.ASSISTANCE_TYPE_STORED_DATA, description="Who opened the account of the wallet named."
            )
        ],
        purpose="To find the victim.",
        treaty_basis="Reciprocity.",
        belief="The exchange gave the address to its customer.",
        wallets=papers.read_wallets(None)[:1],
        data_classes=[ids.DATA_CLASS_SUBSCRIBER],
        emergency=assistance.EMERGENCY_THREAT_LIFE,
        urgency_grounds="A ransom is asked for with the threat to kill the victim.",
        language="en",
    )


def production_order() -> orders.DomesticOrder:
    """Return the court's order to hand over who a customer is."""
    return orders.DomesticOrder(
        court=papers.ORDERING,
        legal_basis="§ 100j StPO",
        wallets=[wallets.without_origin(wallet) for wallet in papers.read_wallets(None)[:1]],
        data_classes=[ids.DATA_CLASS_SUBSCRIBER],
        remedies="Beschwerde to this court, § 304 StPO.",
    )


def _customer() -> persons.Person:
    name = persons.NaturalPersonName(primary="Muster", secondary="Max", type=persons.NATURAL_PERSON_NAME_TYPE_LEGAL)
    return persons.Person(
        natural=persons.NaturalPerson(
            names=[name],
            customer_identification=_SUSPECT,
            date_of_birth="1980-01-08",
            place_of_birth="Hamburg",
        )
    )
