"""The freezing and the confiscation certificate of the sample case, every section filled."""

from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import parties_pb2 as parties

from tests.samples import parts


def offence() -> certificates.Offence:
    """Return the offence of the case."""
    return certificates.Offence(
        facts=(
            "Between 1 September 2025 and 12 February 2026 the subject ran the platform BalticYield, which promised 4 %"
            " a week on crypto-assets. 61 persons in Estonia and Finland paid in 31.2 bitcoins. None was invested. On"
            " 12 February 2026 12.5 bitcoins went to a deposit address of an exchange in Hamburg."
        ),
        provisions="Sections 209(2) p 3 and 394(2) p 3 of the Penal Code (Karistusseadustik)",
        maximum_sentence_months=60,
        listed=[certificates.LISTED_OFFENCE_LAUNDERING, certificates.LISTED_OFFENCE_SWINDLING],
        stage="Pre-trial proceedings; the subject was questioned as a suspect on 24 February 2026.",
        further_information="Chain analysis report KA-26-77 follows the takings to the deposit address in two steps.",
    )


def property_sought() -> certificates.PropertySought:
    """Return section D of either certificate."""
    return certificates.PropertySought(
        kind=certificates.PROPERTY_KIND_EQUIVALENT_VALUE,
        amount=parts.euros("1015431.25"),
        amount_in_words="one million fifteen thousand four hundred and thirty-one euros and twenty-five cents",
        total=parts.euros("2534516.40"),
        grounds="The takings were paid to a deposit address that the exchange gave to the subject.",
        description="12.5 bitcoins in account HDX-4410927 of Hanse Digital Exchange AG, Hamburg",
        bank_accounts=[
            parties.BankAccount(
                iban="DE89370400440532013000", bic="COBADEFFXXX", holder="Viktor Orlov", other="current account"
            )
        ],
        items=[
            certificates.PropertyItem(
                ground=certificates.LOCATION_GROUND_BELIEVED,
                grounds="The invoice was in his e-mail.",
                description="Hardware wallet, make Trezor, serial number 2207-V03-1188",
                location="Am Sandtorkai 12a, 20457 Hamburg",
                further_information="No judicial administrator is needed.",
            )
        ],
    )


def several_states() -> certificates.SeveralStates:
    """Return section G of either certificate."""
    return certificates.SeveralStates(
        sent=parties.YES_OR_NO_YES,
        states=[
            certificates.OtherState(
                state="FI",
                authority="Helsingin käräjäoikeus",
                value=parts.euros("220000"),
                action="To freeze a current account in Helsinki.",
            )
        ],
        reason=certificates.SEVERAL_STATES_REASON_VALUE_INSUFFICIENT,
        explanation="What is in Germany does not cover the total.",
    )


def earlier_order() -> certificates.EarlierOrder:
    """Return section H of the freezing, section E of the confiscation certificate."""
    return certificates.EarlierOrder(
        type="freezing order",
        date="2026-01-19",
        sent_to="Helsingin käräjäoikeus",
        issuing_reference="26-1-204/1",
        executing_references=["PK 26/1120"],
    )


def freeze_request() -> certificates.FreezeRequest:
    """Return the freezing certificate."""
    return certificates.FreezeRequest(
        issuing_authority=parts.prosecutor(),
        validating_authority=parts.validating_court(),
        offence=offence(),
        grounds="Without a freeze the account would be emptied; the subject has tried to withdraw on 26 February 2026.",
        wallets=parts.authorities_wallets(),
        measures=parts.FREEZE,
        data_classes=[parts.SUBSCRIBER, parts.TRANSACTIONAL],
        issuing_state="EE",
        executing_state="DE",
        executing_authority="Staatsanwaltschaft Hamburg",
        urgency=certificates.UrgencyRequest(
            grounds=[
                certificates.URGENCY_GROUND_REMOVAL_OR_DESTRUCTION,
                certificates.URGENCY_GROUND_INVESTIGATIVE_NEED,
            ],
            explanation="A withdrawal of 12.5 bitcoins was asked for on 26 February 2026 and is held for review.",
            requested_on="2026-03-03",
            coordination_needed=True,
        ),
        persons=[
            parts.person_concerned(parties.POSITION_SUBJECT),
            parts.firm_concerned(parties.POSITION_OWNER),
        ],
        place_of_execution="Seat of the exchange, Am Sandtorkai 12a, 20457 Hamburg",
        third_parties=[parts.firm_concerned(parties.POSITION_THIRD_PARTY)],
        further_information="The exchange answers law enforcement on working days from 8 to 18 hours.",
        property=property_sought(),
        confidentiality="That the investigation also concerns others, until 1 June 2026: they are still at large.",
        formalities="A record of the balance at the moment of the freeze, signed by two officers of the exchange.",
        several_states=several_states(),
        earlier_orders=[earlier_order()],
        confiscation=certificates.ConfiscationPlan(stay_frozen=True, expected_on="2027-03-01"),
        alternatives=certificates.Alternatives(
            allowed=parties.YES_OR_NO_YES, description="Security in money, up to the amount in D2."
        ),
        restitution=certificates.RestitutionClaim(
            decision=parties.YES_OR_NO_YES,
            authority="Harju Maakohus",
            decided_on="2026-02-25",
            reference="1-26-1882/4",
            property="4.1 bitcoins",
            victim=parts.victim(),
            title_contested=parties.YES_OR_NO_YES,
            contests=[
                certificates.AffectedRight(
                    person=parts.firm_concerned(parties.POSITION_THIRD_PARTY),
                    right="co-ownership of the balance",
                    reasons="It says that a half of the balance is its own money.",
                )
            ],
            needed_as_evidence=parties.YES_OR_NO_NO,
            rights_prejudiced=parties.YES_OR_NO_YES,
            affected=[
                certificates.AffectedRight(
                    person=parts.firm_concerned(parties.POSITION_THIRD_PARTY),
                    right="co-ownership of the balance",
                    reasons="A return before the claim is decided would take it away.",
                )
            ],
            demand_pending=parties.YES_OR_NO_NO,
        ),
        remedies=certificates.RemedyInformation(
            who=certificates.INFORMING_AUTHORITY_OTHER, other="Tallinna Ringkonnakohus, Pärnu mnt 7, 10148 Tallinn"
        ),
        main_contact=certificates.INFORMING_AUTHORITY_ISSUING,
        central_authority=parts.ministry(),
        attachments=[parts.attachment(), parts.attachment("Chain analysis report KA-26-77")],
        scope=parts.scope(),
        windows=[parts.window(parts.SUBSCRIBER), parts.window(parts.TRANSACTIONAL)],
        order_reference="26-1-204/7",
        order_date="2026-02-27",
        expires_at_us=parts.at(3, 1, year=2028),
    )


def confiscation_request() -> certificates.ConfiscationRequest:
    """Return the confiscation certificate."""
    return certificates.ConfiscationRequest(
        issuing_state="EE",
        executing_state="DE",
        issuing_authority=parts.prosecutor(signed_on="2027-03-09"),
        court="Harju Maakohus",
        order_reference="1-26-1882/31",
        order_date="2027-02-02",
        final_on="2027-03-05",
        persons=[
            parts.person_concerned(parties.POSITION_SUBJECT),
            parts.firm_concerned(parties.POSITION_OWNER),
        ],
        third_parties=[parts.firm_concerned(parties.POSITION_THIRD_PARTY)],
        nature=certificates.CONFISCATION_NATURE_PROCEEDS,
        property=property_sought(),
        conversion_allowed=parties.YES_OR_NO_YES,
        wallets=parts.authorities_wallets(),
        freezing_orders=[earlier_order()],
        offence=offence(),
        grounds="The court found that the assets are proceeds of the fraud.",
        several_states=several_states(),
        trial=certificates.Trial(
            presence=certificates.TRIAL_PRESENCE_ABSENT,
            safeguard=certificates.TRIAL_SAFEGUARD_SUMMONED_IN_PERSON,
            date="2026-12-14",
            explanation="He was told the day and that a decision may be given in his absence.",
        ),
        alternatives=certificates.Alternatives(
            allowed=parties.YES_OR_NO_YES, description="Community service, at most 240 hours; no custody."
        ),
        victims=[
            certificates.VictimDecision(
                amount=parts.euros("333061.45"),
                property="4.1 bitcoins",
                decision="Harju Maakohus, 1-26-1882/31",
                final_on="2027-03-05",
                victim=parts.victim(),
            ),
            certificates.VictimDecision(pending=True, victim=parts.firm_concerned(parties.POSITION_VICTIM)),
        ],
        central_authority=parts.ministry(),
        payment=parts.bank_account(),
        attachments=[parts.attachment("Confiscation order of 2 February 2027")],
        measures=[ids.MEASURE_CONFISCATE],
        data_classes=[parts.BALANCE],
    )
