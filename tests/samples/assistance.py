"""Assistance beside freezing in the sample case: evidence, preservation, spontaneous information, takedown."""

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties

from tests.samples import certificates, parts


def evidence_request() -> assistance.EvidenceRequest:
    """Return the request for evidence."""
    return assistance.EvidenceRequest(
        requesting_authority=parts.prosecutor(),
        validating_authority=parts.validating_court(),
        central_authority=parts.ministry(),
        requested_state="DE",
        proceeding="Pre-trial criminal proceedings 26-1-204 for fraud and laundering",
        conducting_authority="Põhja Ringkonnaprokuratuur, which leads pre-trial proceedings",
        offence=certificates.offence(),
        assistance=[
            assistance.Assistance(
                type=assistance.ASSISTANCE_TYPE_FINANCIAL_RECORDS,
                description="All records of account HDX-4410927 of the classes named.",
                procedure="With a certificate of the custodian of the records.",
            )
        ],
        persons=[
            parts.person_concerned(parties.POSITION_SUBJECT),
            parts.firm_concerned(parties.POSITION_OWNER),
        ],
        purpose="To show who controlled the account and where the takings went.",
        treaty_basis="UNCAC Art. 46; European Convention on Mutual Assistance in Criminal Matters (ETS 30)",
        law_text="Section 209: fraud is punishable by up to five years' imprisonment.",
        belief="The exchange that gave the deposit address has its seat in Hamburg.",
        wallets=parts.authorities_wallets(),
        identifiers=[parts.other_identifier()],
        data_classes=[parts.SUBSCRIBER, parts.IDENTIFICATION, parts.TRANSACTIONAL],
        windows=[parts.window(parts.SUBSCRIBER), parts.window(parts.TRANSACTIONAL)],
        confidentiality=parts.confidentiality(),
        confidentiality_reasons="Others are still at large.",
        emergency=assistance.EMERGENCY_THREAT_PHYSICAL_INTEGRITY,
        urgency_grounds="A witness who wants to leave the group has been threatened with violence.",
        deadline=parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, parts.at(3, 1, 12), parts.at(3, 15, 12)),
        use_limits="For these proceedings only.",
        data_protection="To be deleted when the proceedings have ended.",
        cost_contact=parts.contact(),
        language="en",
        translations=["de"],
        prior_contacts=["CARIN contact point Hamburg, 24 February 2026"],
        property="12.5 bitcoins at Hanse Digital Exchange AG",
        estimated_value=parts.euros("1015431.25"),
        attachments=[parts.attachment("Order of the judge of 27 February 2026")],
    )


def preservation_request() -> assistance.PreservationRequest:
    """Return the request for preservation."""
    return assistance.PreservationRequest(
        requesting_authority=parts.prosecutor(),
        validating_authority=parts.validating_court(),
        requested_state="DE",
        offence=certificates.offence(),
        data="Log-ins and withdrawals of account HDX-4410927; the takings passed through it.",
        custodian="Hanse Digital Exchange AG, Am Sandtorkai 12a, 20457 Hamburg",
        necessity="The exchange deletes log-ins after 30 days.",
        request_will_follow=True,
        wallets=parts.authorities_wallets(),
        identifiers=[parts.other_identifier()],
        data_classes=[parts.IDENTIFICATION, parts.TRANSACTIONAL],
        windows=[parts.window(parts.IDENTIFICATION), parts.window(parts.TRANSACTIONAL)],
        period=parts.clock(
            measures.CLOCK_RULE_EXPEDITED_PRESERVATION, parts.at(3, 1), parts.at(5, 30), parts.at(3, 2, 8)
        ),
        emergency=assistance.EMERGENCY_THREAT_SAFETY,
    )


def provisional_freeze() -> assistance.ProvisionalFreeze:
    """Return what one financial intelligence unit asks another at once."""
    asking = parts.prosecutor(signed_on="2026-02-27")
    asking.name, asking.type = "Rahapesu Andmebüroo", parties.AUTHORITY_TYPE_OTHER_COMPETENT
    return assistance.ProvisionalFreeze(
        requesting_authority=asking,
        requested_state="DE",
        offence=certificates.offence(),
        wallets=parts.authorities_wallets(),
        measures=parts.FREEZE,
        urgency_grounds="A withdrawal of 12.5 bitcoins was asked for on 26 February 2026 and is held till night.",
        channel=assistance.INFORMATION_CHANNEL_FIU,
        request_will_follow=True,
    )


def watchlist_notice() -> assistance.SpontaneousInformation:
    """Return wallets to look out for."""
    told = spontaneous_information()
    told.channel, told.use = assistance.INFORMATION_CHANNEL_FIU, assistance.PERMITTED_USE_INTELLIGENCE_ONLY
    told.information = "Wallets of the same group; takings pass through them before they reach an exchange."
    return told


def spontaneous_information() -> assistance.SpontaneousInformation:
    """Return what one State tells another unasked."""
    return assistance.SpontaneousInformation(
        authority=parts.prosecutor(),
        channel=assistance.INFORMATION_CHANNEL_ASSET_RECOVERY,
        use=assistance.PERMITTED_USE_INVESTIGATION,
        conditions="No onward transmission without asking first.",
        information="Four of the victims of BalticYield live in Bremen and seem not to know of the proceedings.",
        wallets=parts.authorities_wallets(),
        transactions=parts.transactions(),
        persons=[parts.victim(), parts.firm_concerned(parties.POSITION_OWNER)],
        prior_contact="Telephone call with the asset recovery office in Wiesbaden, 20 February 2026",
    )


def takedown_notice() -> assistance.TakedownNotice:
    """Return the order to act against illegal content."""
    start = parts.at(3, 1, 12)
    return assistance.TakedownNotice(
        authority=parts.prosecutor(),
        subject=assistance.TAKEDOWN_SUBJECT_SCAM_LISTING,
        legal_basis="Section 126 of the Code of Criminal Procedure; (EU) 2022/2065 Art. 9",
        reasons="The page offers the fraudulent investment to the public.",
        urls=["https://balticyield.example/join", "https://balticyield.example/app?lang=de"],
        redress="Complaint to Tallinna Ringkonnakohus within ten days.",
        territories=["EE", "DE", "FI"],
        language="en",
        inform=parts.contact(),
        deadline=parts.clock(measures.CLOCK_RULE_SET_BY_ORDER, start, parts.at(3, 3, 12), parts.at(3, 2, 9, 15)),
    )
