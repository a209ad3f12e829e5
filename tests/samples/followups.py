"""What follows the freeze of the sample case."""

from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties

from tests.samples import parts


def extension() -> followups.Extension:
    """Return the decision that the freeze goes on."""
    return followups.Extension(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        decision_reference="511 Gs 12/27",
        decided_on="2027-02-22",
        expires_at_us=parts.at(3, 3, 17, year=2027),
        extended_to_us=parts.at(3, 3, 17, year=2028),
        reasons="The main proceedings have not ended.",
    )


def limitation_request() -> followups.LimitationRequest:
    """Return a request to limit the freeze."""
    return followups.LimitationRequest(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        limited_to_us=parts.at(9, 3, 17),
        amounts=[parts.bitcoin("1000000000")],
        reasons="A year of a frozen account weighs heavily where nothing has been heard for half of it.",
        clock=parts.clock(measures.CLOCK_RULE_LIMITATION_ANSWER, parts.at(6, 1), parts.at(7, 13), parts.at(6, 20, 10)),
    )


def limitation() -> followups.Limitation:
    """Return the limitation of the freeze, as the exchange is served with it."""
    return followups.Limitation(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        step=followups.LIMITATION_STEP_LIMITED,
        limited_to_us=parts.at(9, 3, 17),
        amounts=[parts.bitcoin("1000000000")],
        reasons="The court limits its order.",
        clock=parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(7, 14), parts.at(7, 16), parts.at(7, 15, 9)),
    )


def withdrawal() -> followups.Withdrawal:
    """Return the withdrawal of a part of the request."""
    return followups.Withdrawal(
        authority=parties.Authority(
            name="Põhja Ringkonnaprokuratuur", file_number=parts.FILE_NUMBER, official="Kadri Laanes"
        ),
        order_number="26-1-204/7",
        reason=followups.WITHDRAWAL_REASON_EXECUTED_ELSEWHERE,
        explanation="The takings on this wallet were recovered in Finland.",
        wallets=parts.authorities_wallets(),
    )


def release() -> followups.Release:
    """Return the release of a part of the freeze."""
    return followups.Release(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        reason=followups.RELEASE_REASON_REMEDY_UPHELD,
        wallets=[parts.DEPOSIT_WALLET, parts.TAGGED_WALLET],
        amounts=[parts.bitcoin("100000000")],
        effective_at_us=parts.at(6, 1, 12),
        confidentiality_released=True,
    )


def claim() -> followups.Claim:
    """Return a victim's claim."""
    return followups.Claim(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        claimant=parts.natural_person("Helga", "Brandt", "none"),
        capacity=followups.CLAIM_CAPACITY_VICTIM,
        amounts=[parts.bitcoin("410000000")],
        basis="She paid 4.1 bitcoins to the platform on 3 December 2025.",
        evidence=[parts.attachment("Confirmation of the transfer of 3 December 2025")],
        filed_on="2026-05-04",
        court="Landgericht Hamburg",
        suspensive=True,
        loss_txids=[parts.txid("loss")],
        tracing_method=followups.TRACING_METHOD_PRO_RATA,
    )


def claim_decision() -> followups.Claim:
    """Return what became of it."""
    decided = claim()
    decided.outcome = followups.CLAIM_OUTCOME_PARTLY_ALLOWED
    return decided


def restitution_decision() -> followups.RestitutionDecision:
    """Return the decision to give back."""
    return followups.RestitutionDecision(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        decision_reference="1-26-1882/40",
        decided_on="2027-03-20",
        final=True,
        victim=parts.natural_person("Helga", "Brandt", "none"),
        amounts=[parts.bitcoin("410000000")],
        title_contested=parties.YES_OR_NO_NO,
        needed_as_evidence=parties.YES_OR_NO_NO,
        rights_prejudiced=parties.YES_OR_NO_NO,
        return_now=True,
    )


def transfer_order() -> followups.TransferOrder:
    """Return the order to move what is frozen to a wallet of the State."""
    return followups.TransferOrder(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        sources=[parts.DEPOSIT_WALLET],
        amounts=[parts.bitcoin("1100000000")],
        destination=parts.STATE_WALLET,
        proof=followups.ProofOfControl(
            challenge="Amtsgericht Hamburg 511 Gs 87/26 2027-03-22 7f3a9c51",
            signature="IJ3x1oYHjV0mZ8Kc0bq1fVbW3lJ0mT2pP4a6dY5rS9eHk7uQ1wE2rT3yU4iO5pA6sD7fG8hJ9kL0zX1cV2bN3mM=",
            checked_by="Bundeskriminalamt, crypto-assets desk",
            checked_at_us=parts.at(3, 22, 9, year=2027),
        ),
        approvals=[
            followups.Approval(name="Dr. Ute Sander", post="judge", at_us=parts.at(3, 22, 11, year=2027)),
            followups.Approval(name="Holger Petersen", post="senior prosecutor", at_us=parts.at(3, 22, 12, year=2027)),
        ],
        read_back=followups.Approval(name="Anke Voss", post="registrar", at_us=parts.at(3, 22, 13, year=2027)),
        cooling_until_us=parts.at(3, 24, 13, year=2027),
        test_amount=parts.bitcoin("100000"),
        fee_payer=followups.FEE_PAYER_FROM_AMOUNT,
        minimum_confirmations=6,
        not_before_us=parts.at(3, 24, 14, year=2027),
    )


def sharing_statement() -> followups.SharingStatement:
    """Return how what was recovered is divided: by an agreement, in halves, to an account."""
    return followups.SharingStatement(
        authority=parts.court(),
        order_number=parts.ORDER_NUMBER,
        basis=followups.SHARING_BASIS_AGREEMENT,
        agreement_reference="Exchange of letters EE-DE of 12 April 2027",
        gross=parts.euros("893579.50"),
        expenses=[followups.LineItem(description="Custody and sale", amount=parts.euros("3579.50"))],
        victims=[followups.LineItem(description="Helga Brandt", amount=parts.euros("90000.00"))],
        net=parts.euros("800000.00"),
        shares=[
            followups.Share(state="EE", basis_points=5000),
            followups.Share(state="DE", basis_points=5000),
        ],
        issuing_state="EE",
        executing_state="DE",
        rate_source="ECB reference rate",
        rate_date="2027-04-09",
        bank_account=parts.bank_account(),
        settlement="SEPA transfer 2027-04-14/00118",
    )


def custody_event() -> followups.CustodyEvent:
    """Return one event in the custody of a hardware wallet."""
    return followups.CustodyEvent(
        item_id="HH-2026-0311-07",
        exhibit_number="A-7",
        root_exhibit_number="A-2",
        action=followups.CUSTODY_ACTION_ALTERED,
        actor="Kriminalkommissarin Anke Voss",
        from_holder="Landeskriminalamt Hamburg, LKA 54",
        to_holder="Bundeskriminalamt, crypto-assets desk",
        at_us=parts.at(3, 11, 10, 20),
        place="Landeskriminalamt Hamburg, evidence room 2",
        authority_reference=parts.ORDER_NUMBER,
        purpose="To read out the addresses of the device.",
        hashes=[
            followups.EvidenceHash(algorithm=followups.HASH_ALGORITHM_SHA256, digest=parts.digest("image")),
            followups.EvidenceHash(algorithm=followups.HASH_ALGORITHM_BLAKE3, digest=parts.digest("image, BLAKE3")),
        ],
        alteration="The device counted one more failed attempt; A. Voss, because it cannot be read otherwise.",
    )
