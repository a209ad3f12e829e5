"""From draft to disclosure in the sample case."""

from hashlib import sha256

from nacl.signing import SigningKey
from rogatory.v1 import certificates_pb2 as certificates_pb
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import persons_pb2 as persons

from gateway import envelope
from gateway.signature import Domain, key_id, sign_batch
from tests.samples import certificates, parts

INVESTIGATOR = "ee/prosecutor"
CENTRAL = "ee/central-authority"
FOREIGN_CENTRAL = "de/central-authority"


def draft() -> orders.Draft:
    """Return a draft of the freeze request. It commits to the request; its ciphertext is none, for nobody reads it."""
    body = certificates.freeze_request().SerializeToString(deterministic=True)
    salt = parts.digest("salt")
    payload = parts.digest("nonce and") + parts.digest("ciphertext")
    slots = [pb.Slot(key_id=parts.digest(FOREIGN_CENTRAL)[:16], sealed=parts.digest("slot") * 3)]
    header = pb.Header(
        version=1,
        id="0195517c-6c00-7abc-8def-0123456789ab",
        kind=ids.KIND_FREEZE_REQUEST,
        sender=INVESTIGATOR,
        recipients=[FOREIGN_CENTRAL],
        case_id="EE-26-1-204",
        instrument="eu-2018-1805",
        measures=parts.FREEZE,
        data_classes=[parts.SUBSCRIBER, parts.TRANSACTIONAL],
        urgency=ids.URGENCY_URGENT,
        created_at_us=parts.at(3, 1, 12),
        sender_key_id=key_id(bytes(_key(INVESTIGATOR).verify_key)),
        payload_digest=sha256(payload).digest(),
        slots_digest=envelope.slots_digest(slots),
        commitment=envelope.commitment(salt, body),
    ).SerializeToString(deterministic=True)
    return orders.Draft(
        envelope=pb.SignedEnvelope(
            header=header, signatures=[_sign(header, INVESTIGATOR)], sealed_payload=payload, slots=slots
        ),
        salt=salt,
        body=body,
    )


def countersignature() -> orders.Countersignature:
    """Return the central authority's signature under the draft."""
    return orders.Countersignature(signature=_sign(draft().envelope.header, CENTRAL))


def review_referral() -> orders.ReviewReferral:
    """Return the freeze request as it is put before the court."""
    return orders.ReviewReferral(
        freeze=certificates.freeze_request(),
        remarks="The certificate is complete. The translation into German is attached.",
    )


def review_decision() -> orders.ReviewDecision:
    """Return the court's decision: the freeze is granted, data only in part."""
    return orders.ReviewDecision(
        outcome=ids.OUTCOME_PARTLY_GRANTED,
        ground=ids.GROUND_PRIVILEGE_OR_IMMUNITY,
        court=parts.court(),
        dual_criminality=ids.DUAL_CRIMINALITY_LISTED_OFFENCE,
        domestic_provision="Sections 263 and 261 of the Criminal Code (StGB)",
        reasons="All conditions are met. Messages to the subject's lawyer are privileged and stay out.",
        measures=parts.FREEZE,
        data_classes=[parts.SUBSCRIBER],
        listed_offence=certificates_pb.LISTED_OFFENCE_SWINDLING,
        maximum_sentence_months=60,
        conduct="Taking money for investments that were never meant to be made.",
        considered=[
            orders.GroundConsidered(
                ground=ids.GROUND_PRIVILEGE_OR_IMMUNITY,
                applies=True,
                reasons="The account was also used for retainers.",
            ),
            orders.GroundConsidered(
                ground=ids.GROUND_NE_BIS_IN_IDEM, applies=False, reasons="No proceedings are known here."
            ),
        ],
        proportionality="The sum is far below the damage; trading stays allowed within the account.",
        consultation="The issuing authority was asked by telephone on 3 March 2026 and agreed.",
        clocks=[
            parts.clock(
                measures.CLOCK_RULE_URGENT_DECISION, parts.at(3, 2, 8), parts.at(3, 4, 8), parts.at(3, 3, 16, 30)
            ),
            parts.clock(measures.CLOCK_RULE_URGENT_EXECUTION, parts.at(3, 3, 17), parts.at(3, 5, 17)),
        ],
    )


def domestic_order() -> orders.DomesticOrder:
    """Return the court's order to the exchange. Its wallets are executable, and nobody says whose they are."""
    return orders.DomesticOrder(
        court=parts.court(),
        legal_basis="Sections 111b, 111e and 95 of the Code of Criminal Procedure (StPO)",
        wallets=[parts.DEPOSIT_WALLET, parts.TAGGED_WALLET],
        measures=parts.FREEZE,
        data_classes=[parts.SUBSCRIBER, parts.TRANSACTIONAL],
        remedies="Complaint to this court, without time limit (section 304 StPO).",
        confidentiality=parts.confidentiality(),
        scope=parts.scope(),
        windows=[parts.window(parts.SUBSCRIBER), parts.window(parts.TRANSACTIONAL)],
        identifiers=[parts.other_identifier()],
        customers=[parts.natural_person(), parts.legal_person()],
        effective_at_us=parts.at(3, 3, 17),
        expires_at_us=parts.at(3, 3, 17, year=2027),
        review_at_us=parts.at(9, 3, 17),
        lapses_by_itself=True,
        clocks=[
            parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(3, 3, 17), parts.at(3, 5, 17), parts.at(3, 4, 9))
        ],
    )


def provisional_order() -> orders.DomesticOrder:
    """Return the order of the financial intelligence unit, four days before the court's."""
    order = domestic_order()
    order.court.name, order.court.file_number = "Zentralstelle für Finanztransaktionsuntersuchungen", "FIU-26-4471"
    order.legal_basis = "Section 40 of the Money Laundering Act (GwG)"
    order.effective_at_us, order.expires_at_us = parts.at(2, 27, 17), parts.at(3, 6, 17)
    order.review_at_us = parts.at(3, 5, 17)
    return order


def execution_report() -> orders.ExecutionReport:
    """Return what was executed: one account frozen in part, one empty since long."""
    return orders.ExecutionReport(
        outcome=ids.OUTCOME_PARTLY_GRANTED,
        results=[_frozen_in_part(), _gone()],
        measures=parts.FREEZE,
        data_classes=[parts.TRANSACTIONAL],
        transactions=parts.transactions(),
        remarks="The customer has not been told.",
        objections=[
            notices.Objection(
                reason=notices.OBJECTION_REASON_DATA_NOT_HELD,
                explanation="The copy of the passport is with the provider of the identity check.",
                clarification_asked="Whether a certified copy from there will do.",
                preserved=True,
            )
        ],
        property="11 bitcoins in account HDX-4410927",
        estimated_value=parts.euros("893579.50"),
        clocks=[
            parts.clock(measures.CLOCK_RULE_URGENT_EXECUTION, parts.at(3, 3, 17), parts.at(3, 5, 17), parts.at(3, 4, 9))
        ],
    )


def _frozen_in_part() -> orders.FreezeResult:
    return orders.FreezeResult(
        wallet=parts.DEPOSIT_WALLET,
        status=orders.FREEZE_STATUS_PARTIALLY_FROZEN,
        frozen=[parts.bitcoin("1100000000")],
        frozen_at_us=parts.at(3, 4, 9),
        available=[parts.bitcoin("1100000000"), parts.ether("40000000000000000")],
        shortfall=[parts.bitcoin("150000000")],
        steps=[
            orders.StatusStep(
                status=orders.FREEZE_STATUS_RECEIVED, at_us=parts.at(3, 3, 17, 2), reason="by the gateway"
            ),
            orders.StatusStep(status=orders.FREEZE_STATUS_ACKNOWLEDGED, at_us=parts.at(3, 3, 17, 5)),
            orders.StatusStep(status=orders.FREEZE_STATUS_LEGAL_CHECK, at_us=parts.at(3, 4, 8)),
            orders.StatusStep(
                status=orders.FREEZE_STATUS_PARTIALLY_FROZEN, at_us=parts.at(3, 4, 9), reason="1.5 bitcoins had left"
            ),
        ],
        bonded_until_us=parts.at(3, 25),
    )


def _gone() -> orders.FreezeResult:
    return orders.FreezeResult(
        wallet=parts.TAGGED_WALLET,
        status=orders.FREEZE_STATUS_ALREADY_MOVED,
        moved_in=[parts.txid("moved away").upper()],
        steps=[
            orders.StatusStep(status=orders.FREEZE_STATUS_RECEIVED, at_us=parts.at(3, 3, 17, 2)),
            orders.StatusStep(status=orders.FREEZE_STATUS_ALREADY_MOVED, at_us=parts.at(3, 4, 9)),
        ],
    )


def disclosure() -> orders.Disclosure:
    """Return what the exchange hands over, of every class."""
    classes = (parts.SUBSCRIBER, parts.IDENTIFICATION, parts.TRANSACTIONAL, parts.BALANCE, parts.CONTENT)
    account = "HDX-4410927"
    return orders.Disclosure(
        order_number=parts.ORDER_NUMBER,
        data_classes=classes,
        windows=[parts.window(each) for each in classes],
        subscribers=[_subscriber(account)],
        accesses=[
            orders.AccessRecord(
                account_reference=account,
                at_us=parts.at(2, 26, 21, 7),
                ip="2001:db8:85a3::8a2e:370:7334",
                port=51_422,
                device="Firefox 135 on Windows 11",
            )
        ],
        transactions=parts.transactions(),
        ledger=[_withdrawal(account)],
        deposit_addresses=[parts.DEPOSIT_WALLET, parts.TAGGED_WALLET],
        withdrawal_addresses=[parts.OWN_WALLET],
        balances=[
            orders.BalanceRecord(
                account_reference=account,
                at_us=parts.at(2, 28, 23),
                balances=[parts.bitcoin("1100000000"), parts.ether("40000000000000000")],
                fiat=[parts.euros("412.07")],
            )
        ],
        contents=[
            orders.ContentRecord(
                account_reference=account, at_us=parts.at(2, 26, 21, 15), text="Why is my withdrawal still pending?"
            )
        ],
        fields=[
            orders.FieldReport(data_class=parts.SUBSCRIBER, name="identity", answer=orders.FIELD_ANSWER_SUPPLIED),
            orders.FieldReport(
                data_class=parts.SUBSCRIBER,
                name="copy of the passport",
                answer=orders.FIELD_ANSWER_WITHHELD,
                reason="It is with the provider of the identity check.",
            ),
        ],
        attachments=[parts.attachment("Statement of account 2025-09 to 2026-02")],
    )


def _subscriber(account: str) -> orders.SubscriberRecord:
    return orders.SubscriberRecord(
        customer=parts.natural_person(),
        account_reference=account,
        verification_method="video identification and selfie",
        registered_at_us=parts.at(8, 30, 15, year=2025),
        registration_ip="203.0.113.40",
        telephones=["+372 5550 1122"],
        emails=["v.orlov@mail.example"],
        beneficial_owners=[parts.natural_person("Irina", "Orlova", "HDX-4410928"), parts.legal_person()],
        bank_accounts=[parts.bank_account()],
        cards=["4417"],
        documents=[parts.attachment("Copy of the residence permit")],
    )


def _withdrawal(account: str) -> orders.LedgerEntry:
    return orders.LedgerEntry(
        account_reference=account,
        type=orders.LEDGER_ENTRY_TYPE_TRADE,
        at_us=parts.at(2, 26, 20, 58),
        credited=parts.ether("40000000000000000"),
        debited=parts.bitcoin("150000"),
        fiat=parts.euros("121.85"),
        wallet=parts.OWN_WALLET,
        txid=parts.txid("withdrawal"),
        travel_rule=identity_payload(),
    )


def identity_payload() -> persons.IdentityPayload:
    """Return who sent what to whom through which providers."""
    exchange = parts.legal_person(parts.EXCHANGE)
    return persons.IdentityPayload(
        originator=persons.TransferParty(
            persons=[parts.natural_person()], account_numbers=[parts.DEPOSIT_WALLET.address]
        ),
        beneficiary=persons.TransferParty(persons=[parts.legal_person()], account_numbers=[parts.OWN_WALLET.canonical]),
        originating_provider=exchange,
        beneficiary_provider=parts.legal_person("Tallinn Custody AS"),
        transfer_path=[
            persons.Intermediary(provider=exchange, sequence=0),
            persons.Intermediary(provider=parts.legal_person("Gateway Pay UAB"), sequence=1),
        ],
        transliteration_methods=["cyrl"],
        version=persons.IVMS_VERSION_2023,
    )


def _sign(header: bytes, signer: str) -> pb.Signature:
    """Sign in a batch with something else, so that the signature has a path."""
    return sign_batch(Domain.ENVELOPE, [b"another envelope", header], signer, _key(signer))[1]


def _key(signer: str) -> SigningKey:
    return SigningKey(parts.digest("sample " + signer))
