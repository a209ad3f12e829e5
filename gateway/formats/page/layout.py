"""Which field of a document stands in which section, under which heading.

In: the name of a message. Out: its `Layout`. A test demands that every field stands in exactly one section, so that a
new one cannot be forgotten. A path names a field, or one within a single message: `issuing_authority.name`.

Sources: Regulation (EU) 2018/1805, Annex I and II, for the sections of the certificates, in our words; UNCAC Art.
46(15) for the letters of the request for evidence; Budapest Convention Art. 29(2) for those of the request to preserve.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Part:
    """One section.

    Args:
        letter: as the form has it; empty if it has none.
        heading: in our words, close to the form's.
        fields: paths of the fields that stand there.
        again: paths that the form shows here a second time.
    """

    letter: str
    heading: str
    fields: tuple[str, ...]
    again: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """One document.

    Args:
        title: what it is.
        source: the form or article that it follows.
        parts: its sections, in order.
        form: whether it is a form, of which also what is not filled is shown.
    """

    title: str
    source: str
    parts: tuple[Part, ...]
    form: bool = False


def _of_authority(field: str) -> tuple[str, ...]:
    """All of a CompetentAuthority but its name, which section A has."""
    rest = (
        "type file_number official post country address_lines telephone fax email languages practical_contact signed_on"
    )
    return tuple(f"{field}.{each}" for each in rest.split())


_FREEZE: Final = Layout(
    "Freezing certificate",
    "Regulation (EU) 2018/1805, Annex I",
    (
        Part(
            "A",
            "issuing and executing States and authorities",
            (
                "issuing_state",
                "issuing_authority.name",
                "validating_authority.name",
                "executing_state",
                "executing_authority",
            ),
        ),
        Part("B", "urgency and requested date of execution", ("urgency",)),
        Part(
            "C",
            "persons affected by the freezing order",
            ("persons", "place_of_execution", "third_parties", "further_information"),
        ),
        Part("D", "property to which the order relates", ("property", "wallets", "measures", "scope")),
        Part("E", "grounds for issuing the freezing order", ("offence", "grounds")),
        Part("F", "confidentiality of the order and formalities", ("confidentiality", "formalities")),
        Part("G", "transmission to more than one executing State", ("several_states",)),
        Part("H", "relation to earlier freezing orders or other requests", ("earlier_orders",)),
        Part("I", "confiscation", ("confiscation",)),
        Part("J", "alternative measures", ("alternatives",)),
        Part("K", "restitution of frozen property", ("restitution",)),
        Part("L", "legal remedies", ("remedies",)),
        Part("M", "issuing authority", _of_authority("issuing_authority"), ("issuing_authority.name",)),
        Part(
            "N",
            "validating authority",
            (*_of_authority("validating_authority"), "main_contact"),
            ("validating_authority.name",),
        ),
        Part("O", "central authority", ("central_authority",)),
        Part("P", "attachments", ("attachments",)),
        Part(
            "",
            "Beside the form: the order itself, and the data asked for",
            ("order_reference", "order_date", "expires_at_us", "data_classes", "windows"),
        ),
    ),
    form=True,
)

_CONFISCATION: Final = Layout(
    "Confiscation certificate",
    "Regulation (EU) 2018/1805, Annex II",
    (
        Part(
            "A",
            "issuing and executing States and authorities",
            ("issuing_state", "issuing_authority.name", "executing_state"),
        ),
        Part("B", "confiscation order", ("court", "order_reference", "order_date", "final_on")),
        Part("C", "persons affected by the confiscation order", ("persons", "third_parties")),
        Part(
            "D",
            "property to which the order relates",
            ("nature", "property", "conversion_allowed", "wallets", "measures"),
        ),
        Part("E", "related freezing orders", ("freezing_orders",)),
        Part("F", "grounds for issuing the confiscation order", ("offence", "grounds")),
        Part("G", "transmission to more than one executing State", ("several_states",)),
        Part("H", "proceedings that led to the confiscation order: presence at the trial", ("trial",)),
        Part("I", "alternative measures, including custodial sanctions", ("alternatives",)),
        Part("J", "compensation or restitution to victims", ("victims",)),
        Part("K", "issuing authority", _of_authority("issuing_authority"), ("issuing_authority.name",)),
        Part("L", "central authority", ("central_authority",)),
        Part("M", "account for the payment of confiscated money", ("payment",)),
        Part("N", "attachments", ("attachments",)),
        Part("", "Beside the form: the data asked for", ("data_classes",)),
    ),
    form=True,
)

_EVIDENCE: Final = Layout(
    "Request for evidence",
    "Mutual legal assistance: UNCAC Art. 46(15)",
    (
        Part(
            "(a)", "Authority making the request", ("requesting_authority", "validating_authority", "central_authority")
        ),
        Part("(b)", "Subject and nature of the proceeding", ("proceeding", "conducting_authority")),
        Part("(c)", "Facts and offence", ("offence", "law_text")),
        Part("(d)", "Assistance sought", ("assistance", "data_classes", "windows", "wallets", "identifiers")),
        Part("(e)", "Persons concerned", ("persons",)),
        Part("(f)", "Purpose for which the evidence is sought", ("purpose", "belief", "use_limits", "data_protection")),
        Part("", "Legal basis and language", ("requested_state", "treaty_basis", "language", "translations")),
        Part(
            "",
            "Confidentiality, urgency and deadline",
            ("confidentiality", "confidentiality_reasons", "emergency", "urgency_grounds", "deadline"),
        ),
        Part("", "Property (UNCAC Art. 55(3))", ("property", "estimated_value")),
        Part("", "Contacts and attachments", ("cost_contact", "prior_contacts", "attachments")),
    ),
)

_PRESERVATION: Final = Layout(
    "Request for expedited preservation of data",
    "Budapest Convention Art. 29(2)",
    (
        Part(
            "(a)", "Authority seeking preservation", ("requesting_authority", "validating_authority", "requested_state")
        ),
        Part("(b)", "Offence and facts", ("offence",)),
        Part("(c)", "Data to be preserved", ("data", "data_classes", "windows", "wallets", "identifiers")),
        Part("(d)", "Custodian or location", ("custodian",)),
        Part("(e)", "Necessity", ("necessity", "emergency")),
        Part("(f)", "Request that will follow", ("request_will_follow", "period")),
    ),
)

_CERTIFICATES: Final = {
    "FreezeRequest": _FREEZE,
    "ConfiscationRequest": _CONFISCATION,
    "EvidenceRequest": _EVIDENCE,
    "PreservationRequest": _PRESERVATION,
}

_ORDERS: Final = {
    "Draft": Layout(
        "Draft for countersignature",
        "",
        (Part("", "The sealed request", ("envelope", "salt")), Part("", "The request", ("body",))),
    ),
    "Countersignature": Layout(
        "Answer to a draft", "", (Part("", "Signature, or reason of the return", ("signature", "reason")),)
    ),
    "ReviewReferral": Layout(
        "Referral to the court",
        "",
        (
            Part("", "Remarks of the central authority", ("remarks",)),
            Part(
                "",
                "The request as it came",
                (
                    "freeze",
                    "confiscation",
                    "evidence",
                    "preservation",
                    "provisional_freeze",
                    "takedown",
                    "restitution",
                    "enforcement",
                ),
            ),
        ),
    ),
    "ReviewDecision": Layout(
        "Decision on a request",
        "Regulation (EU) 2018/1805, Art. 3, 7, 8, 18 and 19",
        (
            Part("", "Court", ("court",)),
            Part("", "Decision", ("outcome", "ground", "measures", "data_classes")),
            Part("", "Reasons", ("reasons", "proportionality", "considered", "consultation")),
            Part(
                "",
                "Dual criminality",
                ("dual_criminality", "listed_offence", "maximum_sentence_months", "conduct", "domestic_provision"),
            ),
            Part("", "Time limits", ("clocks",)),
        ),
    ),
    "DomesticOrder": Layout(
        "Order to a provider",
        "Domestic law",
        (
            Part("", "Court and legal basis", ("court", "legal_basis")),
            Part("", "What is ordered", ("measures", "scope", "data_classes", "windows")),
            Part("", "What it is about", ("wallets", "identifiers", "customers")),
            Part("", "Time", ("effective_at_us", "expires_at_us", "lapses_by_itself", "review_at_us", "clocks")),
            Part("", "Confidentiality", ("confidentiality",)),
            Part("", "Remedies", ("remedies",)),
        ),
    ),
    "ExecutionReport": Layout(
        "Report on execution",
        "Regulation (EU) 2018/1805, Art. 7(2)",
        (
            Part("", "Outcome", ("outcome", "measures", "data_classes", "remarks")),
            Part("", "Property frozen", ("property", "estimated_value")),
            Part("", "Results, one a wallet", ("results",)),
            Part("", "What stands in the way", ("objections",)),
            Part("", "Time limits", ("clocks",)),
            Part("", "Transactions", ("transactions",)),
        ),
    ),
    "Disclosure": Layout(
        "Disclosure of data",
        "Data classes after Regulation (EU) 2023/1543, Art. 3(9)-(12)",
        (
            Part("", "Order and extent", ("order_number", "data_classes", "windows", "fields")),
            Part("", "Subscriber", ("subscribers",)),
            Part("", "Identification of the user", ("accesses",)),
            Part("", "Transactions", ("transactions", "ledger", "deposit_addresses", "withdrawal_addresses")),
            Part("", "Balances", ("balances",)),
            Part("", "Content", ("contents",)),
            Part("", "Attachments", ("attachments",)),
        ),
    ),
}

_ORDER: Final = ("authority", "order_number")
_FOLLOWUPS: Final = {
    "Extension": Layout(
        "Extension of a freeze",
        "",
        (
            Part("", "Order", _ORDER),
            Part("", "Decision", ("decision_reference", "decided_on", "expires_at_us", "extended_to_us", "reasons")),
        ),
    ),
    "LimitationRequest": Layout(
        "Request to limit a freeze",
        "Regulation (EU) 2018/1805, Art. 12(2)",
        (
            Part("", "Order", _ORDER),
            Part("", "Limitation asked for", ("limited_to_us", "amounts", "reasons")),
            Part("", "Time to answer", ("clock",)),
        ),
    ),
    "Limitation": Layout(
        "Limitation of a freeze",
        "Regulation (EU) 2018/1805, Art. 12(2)",
        (
            Part("", "Order", _ORDER),
            Part("", "Limitation", ("step", "limited_to_us", "amounts", "reasons")),
            Part("", "Time limit", ("clock",)),
        ),
    ),
    "Withdrawal": Layout(
        "Withdrawal",
        "Regulation (EU) 2018/1805, Art. 27",
        (Part("", "Order", _ORDER), Part("", "Withdrawal", ("reason", "explanation", "wallets"))),
    ),
    "Release": Layout(
        "Release of a freeze",
        "",
        (
            Part("", "Order", _ORDER),
            Part("", "Release", ("reason", "effective_at_us", "confidentiality_released", "amounts", "wallets")),
        ),
    ),
    "Claim": Layout(
        "Claim to frozen assets",
        "",
        (
            Part("", "Order", _ORDER),
            Part("", "Claimant", ("claimant", "capacity")),
            Part("", "Claim", ("amounts", "basis", "loss_txids", "tracing_method", "evidence")),
            Part("", "Proceedings", ("court", "filed_on", "suspensive", "outcome")),
        ),
    ),
    "RestitutionDecision": Layout(
        "Decision on restitution",
        "Regulation (EU) 2018/1805, Art. 29 and 30",
        (
            Part("", "Order", _ORDER),
            Part("", "Decision", ("decision_reference", "decided_on", "final", "amounts", "return_now")),
            Part("", "Victim", ("victim",)),
            Part("", "Conditions (Art. 29(2))", ("title_contested", "needed_as_evidence", "rights_prejudiced")),
        ),
    ),
    "TransferOrder": Layout(
        "Order to transfer frozen assets",
        "",
        (
            Part("", "Order", _ORDER),
            Part("", "What moves", ("sources", "amounts", "test_amount", "fee_payer")),
            Part("", "Destination", ("destination", "proof", "read_back")),
            Part("", "Approvals", ("approvals",)),
            Part("", "Time", ("cooling_until_us", "not_before_us", "minimum_confirmations")),
        ),
    ),
    "SharingStatement": Layout(
        "Statement of sharing",
        "Regulation (EU) 2018/1805, Art. 30(7) and 31",
        (
            Part("", "Order", (*_ORDER, "issuing_state", "executing_state")),
            Part("", "Basis", ("basis", "agreement_reference")),
            Part("", "Account", ("gross", "expenses", "victims", "net", "rate_source", "rate_date")),
            Part("", "Shares", ("shares",)),
            Part("", "Payment", ("bank_account", "wallet", "settlement")),
        ),
    ),
    "CustodyEvent": Layout(
        "Event in the custody of evidence",
        "ISO/IEC 27037",
        (
            Part("", "Item", ("item_id", "exhibit_number", "root_exhibit_number")),
            Part("", "Event", ("action", "at_us", "place", "actor", "from_holder", "to_holder")),
            Part("", "Authority and purpose", ("authority_reference", "purpose", "alteration")),
            Part("", "Digests", ("hashes",)),
        ),
    ),
}

_ASSISTANCE: Final = {
    "TakedownNotice": Layout(
        "Order to act against illegal content",
        "Regulation (EU) 2022/2065, Art. 9(2)",
        (
            Part("", "Authority", ("authority", "inform")),
            Part("", "Content", ("subject", "urls", "reasons", "legal_basis")),
            Part("", "Effect", ("territories", "language", "deadline")),
            Part("", "Redress", ("redress",)),
        ),
    ),
    "ProvisionalFreeze": Layout(
        "Request to hold provisionally",
        "Directive (EU) 2024/1260; FATF Recommendation 4",
        (
            Part("", "Authority and channel", ("requesting_authority", "requested_state", "channel")),
            Part("", "Offence and facts", ("offence",)),
            Part("", "What is to be held", ("measures", "wallets")),
            Part("", "Urgency", ("urgency_grounds",)),
            Part("", "Request that will follow", ("request_will_follow",)),
        ),
    ),
    "SpontaneousInformation": Layout(
        "Spontaneous information",
        "Budapest Convention Art. 26; UNCAC Art. 46(4)",
        (
            Part("", "Authority", ("authority", "channel", "prior_contact")),
            Part("", "Use", ("use", "conditions")),
            Part("", "Information", ("information", "persons", "wallets", "transactions")),
        ),
    ),
}

_NOTICES: Final = {
    "Notice": Layout(
        "Notice of a step in the procedure",
        "",
        (
            Part("", "Authority and reference", ("authority", "reference", "competent_authority")),
            Part("", "Notice", ("text",)),
            Part("", "What was decided", ("outcome", "ground", "measures", "data_classes")),
            Part("", "Time limits", ("clocks",)),
        ),
    ),
    "ObjectionNotice": Layout(
        "Objection",
        "Regulation (EU) 2023/1543, Art. 12(1) and Annex III",
        (Part("", "Order", ("order_number",)), Part("", "What stands in the way", ("objections",))),
    ),
    "PriorityDecision": Layout(
        "Decision on which order goes first",
        "Regulation (EU) 2018/1805, Art. 26",
        (
            Part("", "Order", _ORDER),
            Part("", "Decision", ("outcome", "ground", "criteria", "reasons")),
        ),
    ),
    "FinalReport": Layout(
        "Final report on what was recovered",
        "Regulation (EU) 2018/1805, Art. 30",
        (
            Part("", "Order", _ORDER),
            Part("", "Recovered", ("recovered", "remarks")),
            Part("", "Where it went", ("dispositions",)),
        ),
    ),
}

# Whoever prints one of these must see at a glance that it is no order.
_TESTS: Final = {
    "TestOrder": Layout(
        "TEST: nothing is ordered",
        "",
        (Part("", "Test of an exchange's access", ("text", "challenge")),),
    ),
    "TestReport": Layout(
        "TEST: nothing is reported",
        "",
        (
            Part("", "Test order that was opened", ("challenge", "salt")),
            Part("", "Envelopes that it tried to hand in", ("attempts",)),
            Part("", "Procedures that it tried to call", ("calls",)),
        ),
    ),
}

_ALONE: Final = {
    "WalletIdentifier": Layout(
        "Wallet",
        "CAIP-2",
        (
            Part("", "Wallet", ("chain", "chain_name", "address", "canonical", "checksum_state", "tag")),
            Part("", "Standing", ("quoted_because",)),
            Part("", "Custody", ("custody", "provider_lei", "account_reference")),
            Part("", "Where it comes from", ("source", "attributions")),
        ),
    ),
    "AssetAmount": Layout(
        "Amount of an asset", "CAIP-19", (Part("", "Amount", ("asset", "base_units", "decimals", "dti", "valuation")),)
    ),
    "TransactionRecord": Layout(
        "Transaction",
        "",
        (
            Part("", "Transaction", ("chain", "txid", "kind", "log_index", "trace_address", "nonce")),
            Part("", "Block", ("block_height", "block_hash", "block_time_us", "block_index", "slot", "confirmations")),
            Part("", "What moved", ("status", "status_as_told", "inputs", "outputs", "balance_changes")),
            Part("", "Fee", ("fee", "fee_payer")),
            Part("", "Observation", ("source", "observed_at_us", "raw_hash")),
        ),
    ),
    "Person": Layout("Person", "IVMS101", (Part("", "Person", ("natural", "legal", "account_numbers")),)),
    "IdentityPayload": Layout(
        "Travel rule data",
        "IVMS101; Regulation (EU) 2023/1113",
        (
            Part("", "Originator", ("originator", "originating_provider")),
            Part("", "Beneficiary", ("beneficiary", "beneficiary_provider")),
            Part("", "Way", ("transfer_path", "transliteration_methods", "version")),
        ),
    ),
}

LAYOUTS: Final = MappingProxyType(_CERTIFICATES | _ORDERS | _FOLLOWUPS | _ASSISTANCE | _NOTICES | _TESTS | _ALONE)
"""Layouts by the name of the message."""

COLUMNS: Final[MappingProxyType[str, tuple[tuple[str, tuple[str, ...]], ...]]] = MappingProxyType(
    {
        "WalletIdentifier": (
            ("Chain", ("chain", "chain_name")),
            ("Address", ("address", "canonical", "tag")),
            ("Checksum", ("checksum_state",)),
            ("Held by", ("custody", "provider_lei", "account_reference")),
            ("Told by", ("source", "attributions")),
            ("Standing", ("quoted_because",)),
        ),
        "TransactionRecord": (
            ("Transaction", ("chain", "txid", "kind", "log_index", "trace_address", "nonce")),
            ("Block", ("block_height", "block_hash", "block_time_us", "block_index", "slot", "confirmations")),
            ("Status", ("status", "status_as_told")),
            ("From", ("inputs",)),
            ("To", ("outputs",)),
            ("Changes of balance", ("balance_changes",)),
            ("Fee", ("fee", "fee_payer")),
            ("Told by", ("source", "observed_at_us", "raw_hash")),
        ),
    }
)
"""Columns of the messages that stand in tables of their own, with their fields."""
