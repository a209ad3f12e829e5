"""What several documents of the sample case have in common: authorities, persons, wallets, amounts, times.

The case: an Estonian prosecutor follows the takings of an investment fraud to an exchange in Germany. All names of
people and firms are made up; addresses, LEI, IBAN and DTI are ones whose check digits are right.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import measures_pb2 as measures
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1 import persons_pb2 as persons

from gateway.clock import to_micros

BITCOIN: Final = "bip122:000000000019d6689c085ae165831e93"
ETHEREUM: Final = "eip155:1"
XRPL: Final = "xrpl:0"
SOLANA: Final = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"

ORDER_NUMBER: Final = "511 Gs 87/26"
FILE_NUMBER: Final = "26-1-204"
EXCHANGE_LEI: Final = "529900T8BM49AURSDO55"
EXCHANGE: Final = "Hanse Digital Exchange AG"

FREEZE: Final = (ids.MEASURE_BLOCK_WITHDRAWAL, ids.MEASURE_BLOCK_CONVERSION, ids.MEASURE_HOLD_INCOMING)
SUBSCRIBER: Final = ids.DATA_CLASS_SUBSCRIBER
IDENTIFICATION: Final = ids.DATA_CLASS_IDENTIFICATION
TRANSACTIONAL: Final = ids.DATA_CLASS_TRANSACTIONAL
BALANCE: Final = ids.DATA_CLASS_BALANCE
CONTENT: Final = ids.DATA_CLASS_CONTENT


def at(month: int, day: int, hour: int = 0, minute: int = 0, year: int = 2026) -> int:
    """Return a moment as microseconds since 1970, 2026 if no other year is named."""
    return to_micros(datetime(year, month, day, hour, minute, tzinfo=UTC))


def digest(name: str) -> bytes:
    """Return 32 bytes that are made from a name."""
    return sha256(name.encode()).digest()


def txid(name: str) -> str:
    """Return a transaction hash that is made from a name."""
    return digest(name).hex()


def euros(amount: str) -> evidence.Money:
    """Return a sum in euros."""
    return evidence.Money(currency="EUR", amount=amount)


def bitcoin(base_units: str, value: evidence.Valuation | None = None) -> evidence.AssetAmount:
    """Return an amount of bitcoin."""
    return evidence.AssetAmount(
        asset=f"{BITCOIN}/slip44:0", base_units=base_units, decimals=8, dti="4H95J0R2X", valuation=value
    )


def ether(base_units: str) -> evidence.AssetAmount:
    """Return an amount of ether."""
    return evidence.AssetAmount(asset=f"{ETHEREUM}/slip44:60", base_units=base_units, decimals=18, dti="X9J9K872S")


def tether(base_units: str) -> evidence.AssetAmount:
    """Return an amount of USDT on Ethereum, without a word of its decimals."""
    return evidence.AssetAmount(
        asset=f"{ETHEREUM}/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7", base_units=base_units
    )


TAKINGS: Final = bitcoin(
    "1250000000",
    evidence.Valuation(
        value=euros("1015431.25"),
        source="ECB reference rate and Kraken XBT/EUR",
        method=evidence.VALUATION_METHOD_SPOT_AT_ORDER,
        at_us=at(2, 27, 9),
        rate="81234.5",
    ),
)
"""12.5 bitcoins, with what they were worth."""

DEPOSIT_WALLET: Final = evidence.WalletIdentifier(
    chain=BITCOIN,
    address="1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w",
    canonical="1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w",
    checksum_state=evidence.CHECKSUM_STATE_VALID,
    custody=evidence.CUSTODY_CUSTODIAL,
    provider_lei=EXCHANGE_LEI,
    account_reference="HDX-4410927",
)
"""Known to the exchange by its own name of the account; it says nothing of any source."""

OWN_WALLET: Final = evidence.WalletIdentifier(
    chain=ETHEREUM,
    address="0x742d35cc6634c0532925a3b844bc454e4438f44e",
    canonical="0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
    checksum_state=evidence.CHECKSUM_STATE_UNCHECKED,
    custody=evidence.CUSTODY_SELF_HOSTED,
)
TAGGED_WALLET: Final = evidence.WalletIdentifier(
    chain=XRPL,
    address="rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh",
    canonical="rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh",
    checksum_state=evidence.CHECKSUM_STATE_VALID,
    tag="330417",
    custody=evidence.CUSTODY_CUSTODIAL,
    provider_lei=EXCHANGE_LEI,
    account_reference="HDX-4410927",
)
STATE_WALLET: Final = evidence.WalletIdentifier(
    chain=BITCOIN,
    address="bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    canonical="bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    checksum_state=evidence.CHECKSUM_STATE_VALID,
    custody=evidence.CUSTODY_SELF_HOSTED,
)
MISSPELT_WALLET: Final = evidence.WalletIdentifier(
    chain=BITCOIN,
    address="1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9x",
    custody=evidence.CUSTODY_UNKNOWN,
    source="letter of the victim, 2026-02-14",
    quoted_because="ADDRESS_CHECKSUM",
)
FOREIGN_CHAIN_WALLET: Final = evidence.WalletIdentifier(
    chain_name="Beam",
    address="3b1c7f0a9de24cb78f6d5e2a1c0b9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d",
    custody=evidence.CUSTODY_UNKNOWN,
    source="seized notebook, page 12",
    quoted_because="CHAIN_NOT_SUPPORTED",
)


def attributed(wallet: evidence.WalletIdentifier) -> evidence.WalletIdentifier:
    """Return a wallet with its source, and with what an analyst says of it, as authorities tell it each other."""
    told = evidence.WalletIdentifier(
        source="chain analysis report KA-26-77",
        attributions=[
            evidence.Attribution(
                source="Keskkriminaalpolitsei, crypto unit",
                confidence=90,
                at_us=at(2, 20, 14),
                label="takings of the fraud",
            )
        ],
    )
    told.MergeFrom(wallet)
    return told


def authorities_wallets() -> list[evidence.WalletIdentifier]:
    """Return the wallets of the case as authorities name them: three executable, two quoted."""
    return [*map(attributed, (DEPOSIT_WALLET, OWN_WALLET, TAGGED_WALLET)), MISSPELT_WALLET, FOREIGN_CHAIN_WALLET]


def court() -> parties.Authority:
    """Return the German court, by name alone."""
    return parties.Authority(name="Amtsgericht Hamburg", file_number=ORDER_NUMBER, official="Dr. Ute Sander")


def prosecutor(signed_on: str = "2026-03-01") -> parties.CompetentAuthority:
    """Return the Estonian prosecutor who asks."""
    return parties.CompetentAuthority(
        name="Põhja Ringkonnaprokuratuur",
        file_number=FILE_NUMBER,
        official="Kadri Laanes",
        post="Specialised prosecutor",
        country="EE",
        type=parties.AUTHORITY_TYPE_PROSECUTOR,
        address_lines=["Lubja 4", "10115 Tallinn", "Estonia"],
        telephone="+372 613 9400",
        fax="+372 613 9402",
        email="pohja@prokuratuur.example",
        languages=["et", "en"],
        practical_contact=contact(),
        signed_on=signed_on,
    )


def validating_court() -> parties.CompetentAuthority:
    """Return the Estonian court that validated."""
    return parties.CompetentAuthority(
        name="Harju Maakohus",
        file_number="1-26-1882",
        official="Mart Soosaar",
        post="Judge",
        country="EE",
        type=parties.AUTHORITY_TYPE_COURT,
        address_lines=["Lubja 4", "10115 Tallinn", "Estonia"],
        telephone="+372 628 2600",
        fax="+372 628 2601",
        email="harju@kohus.example",
        languages=["et", "en", "de"],
        practical_contact=contact(),
        signed_on="2026-03-01",
    )


def ministry() -> parties.CompetentAuthority:
    """Return the Estonian central authority that transmits."""
    return parties.CompetentAuthority(
        name="Justiitsministeerium",
        file_number="RO-26-118",
        official="Liis Tamm",
        post="Head of international judicial cooperation",
        country="EE",
        type=parties.AUTHORITY_TYPE_CENTRAL,
        address_lines=["Suur-Ameerika 1", "10122 Tallinn", "Estonia"],
        telephone="+372 620 8100",
        fax="+372 620 8109",
        email="central.authority@just.example",
        languages=["et", "en"],
        practical_contact=contact(),
        signed_on="2026-03-01",
    )


def contact() -> parties.Contact:
    """Return an official to speak with."""
    return parties.Contact(
        name="Jaan Rebane",
        post="Assistant prosecutor",
        telephone="+372 613 9411",
        email="jaan.rebane@prokuratuur.example",
        languages=["et", "en"],
    )


def postal_address(kind: persons.AddressType.ValueType, street: str, country: str) -> persons.PostalAddress:
    """Return an address by all its parts."""
    return persons.PostalAddress(
        type=kind,
        department="Compliance",
        sub_department="Law enforcement desk",
        street_name=street,
        building_number="12a",
        building_name="Hansahaus",
        floor="3",
        post_box="PF 1107",
        room="304",
        post_code="20457",
        town_name="Hamburg",
        town_location_name="HafenCity",
        district_name="Hamburg-Mitte",
        country_sub_division="Hamburg",
        address_lines=["c/o Hansahaus", "Am Sandtorkai 12a", "20457 Hamburg"],
        country=country,
    )


def natural_person(given: str = "Viktor", family: str = "Orlov", customer: str = "HDX-4410927") -> persons.Person:
    """Return a human being with all that IVMS101 has room for."""
    kind = persons.NATURAL_PERSON_NAME_TYPE_LEGAL
    return persons.Person(
        natural=persons.NaturalPerson(
            names=[
                persons.NaturalPersonName(primary=family, secondary=given, type=kind),
                persons.NaturalPersonName(primary="Orel", type=persons.NATURAL_PERSON_NAME_TYPE_ALIAS),
            ],
            local_names=[persons.NaturalPersonName(primary="Орлов", secondary="Виктор", type=kind)],
            phonetic_names=[persons.NaturalPersonName(primary="or-LOF", secondary="VIK-tor", type=kind)],
            addresses=[postal_address(persons.ADDRESS_TYPE_HOME, "Am Sandtorkai", "DE")],
            national_identification=persons.NationalIdentification(
                identifier="38001085718", type=persons.NATIONAL_IDENTIFIER_TYPE_SOCIAL_SECURITY, country_of_issue="EE"
            ),
            customer_identification=customer,
            date_of_birth="1980-01-08",
            place_of_birth="Narva, Estonia",
            country_of_residence="DE",
        ),
        account_numbers=[customer],
    )


def legal_person(name: str = "Baltic Yield OÜ") -> persons.Person:
    """Return a firm with all that IVMS101 has room for."""
    kind = persons.LEGAL_PERSON_NAME_TYPE_LEGAL
    return persons.Person(
        legal=persons.LegalPerson(
            names=[
                persons.LegalPersonName(name=name, type=kind),
                persons.LegalPersonName(name="BalticYield", type=persons.LEGAL_PERSON_NAME_TYPE_TRADING),
            ],
            local_names=[persons.LegalPersonName(name="Балтик Йилд", type=kind)],
            phonetic_names=[persons.LegalPersonName(name="BAL-tik yeeld", type=kind)],
            addresses=[postal_address(persons.ADDRESS_TYPE_BUSINESS, "Narva mnt", "EE")],
            national_identification=persons.NationalIdentification(
                identifier="14532901",
                type=persons.NATIONAL_IDENTIFIER_TYPE_REGISTRATION_AUTHORITY,
                registration_authority="RA000181",
            ),
            customer_identification="HDX-5500112",
            country_of_registration="EE",
        )
    )


def person_concerned(position: parties.Position.ValueType) -> parties.PersonConcerned:
    """Return a human being whom a certificate concerns."""
    return parties.PersonConcerned(
        person=natural_person(),
        position=position,
        sex=parties.SEX_MALE,
        nationalities=["EE", "UA"],
        documents=[parties.IdentityDocument(type="passport", number="KE0155721", country="EE")],
        languages=["ru", "et"],
        grounds="His account received the takings.",
    )


def firm_concerned(position: parties.Position.ValueType) -> parties.PersonConcerned:
    """Return a firm whom a certificate concerns."""
    return parties.PersonConcerned(
        person=legal_person(),
        position=position,
        languages=["et", "en"],
        legal_form="osaühing (private limited company)",
        representative="Viktor Orlov, member of the management board",
        grounds="It holds the account together with the subject and says that it is entitled to a half of the balance.",
    )


def victim() -> parties.PersonConcerned:
    """Return the victim."""
    concerned = person_concerned(parties.POSITION_VICTIM)
    concerned.person.CopyFrom(natural_person("Helga", "Brandt", "none"))
    concerned.sex = parties.SEX_FEMALE
    concerned.grounds = "She paid 4.1 bitcoins to the platform."
    return concerned


def bank_account() -> parties.BankAccount:
    """Return an account with an IBAN."""
    return parties.BankAccount(
        iban="EE382200221020145685", bic="HABAEE2X", holder="Rahandusministeerium", other="reference 2800049777"
    )


def attachment(title: str = "Freezing order of 27 February 2026") -> parties.Attachment:
    """Return a file that goes with a document."""
    return parties.Attachment(
        title=title, media_type="application/pdf", size=184_320, sha256=digest(title), language="et"
    )


def clock(rule: measures.ClockRule.ValueType, start: int, due: int, met: int | None = None) -> measures.Clock:
    """Return one time limit."""
    return measures.Clock(rule=rule, start_us=start, due_us=due, met_at_us=met)


def window(data_class: ids.DataClass.ValueType) -> measures.DataWindow:
    """Return the time of the fraud, for one class of data."""
    return measures.DataWindow(data_class=data_class, from_us=at(9, 1, year=2025), until_us=at(3, 1))


def other_identifier() -> measures.DataIdentifier:
    """Return an identifier that is no wallet."""
    return measures.DataIdentifier(
        type=measures.IDENTIFIER_TYPE_EMAIL,
        value="v.orlov@mail.example",
        from_us=at(9, 1, year=2025),
        until_us=at(3, 1),
    )


def confidentiality() -> measures.Confidentiality:
    """Return the secrecy of an order."""
    return measures.Confidentiality(
        level=measures.CONFIDENTIALITY_LEVEL_RESTRICTED,
        until_us=at(6, 1),
        may_be_told=["the head of compliance", "outside counsel under a duty of secrecy"],
    )


def scope() -> measures.FreezeScope:
    """Return how a freeze is carried out: up to a sum of money."""
    return measures.FreezeScope(
        target=measures.FREEZE_TARGET_CUSTODIAL_ACCOUNT,
        extent=measures.FREEZE_EXTENT_VALUE_CAP,
        amounts=[],
        value_cap=euros("1015431.25"),
        valuation_method=evidence.VALUATION_METHOD_SPOT_AT_EXECUTION,
        valuation_source="ECB reference rate and Kraken XBT/EUR",
        tolerance_basis_points=500,
        blocked=[
            measures.ACCOUNT_ACTION_WITHDRAW,
            measures.ACCOUNT_ACTION_CONVERT,
            measures.ACCOUNT_ACTION_INTERNAL_TRANSFER,
            measures.ACCOUNT_ACTION_CLOSE,
        ],
        allowed=[measures.ACCOUNT_ACTION_DEPOSIT, measures.ACCOUNT_ACTION_MARGIN_CLOSE_OUT],
        cancel_open_orders=True,
        stop_pending_withdrawals=True,
        include_accruals=True,
        include_linked_accounts=True,
        include_fiat=True,
    )


def transactions() -> list[evidence.TransactionRecord]:
    """Return one record of each make: outputs, a token's log, a movement within, and changes of balances."""
    return [_of_outputs(), _of_a_token(), _within(), _of_balances()]


def _of_outputs() -> evidence.TransactionRecord:
    return evidence.TransactionRecord(
        chain=BITCOIN,
        txid=txid("deposit"),
        block_height=938_112,
        block_hash="00000000000000000001" + txid("block")[20:],
        block_time_us=at(2, 12, 10, 41),
        inputs=[
            evidence.TransferEnd(
                address="3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
                amount=bitcoin("1250002210"),
                index=0,
                spent=f"{txid('earlier')}:1",
                output_type="scripthash",
            )
        ],
        outputs=[
            evidence.TransferEnd(
                address=DEPOSIT_WALLET.address, amount=bitcoin("1250000000"), index=0, output_type="pubkeyhash"
            )
        ],
        source="bitcoind 29.0 of the crypto unit",
        status=evidence.TRANSACTION_STATUS_APPLIED,
        fee=bitcoin("2210"),
        block_index=17,
        confirmations=2412,
        observed_at_us=at(2, 27, 8),
        raw_hash=digest("deposit as told"),
        status_as_told="confirmed",
    )


def _of_a_token() -> evidence.TransactionRecord:
    return evidence.TransactionRecord(
        chain=ETHEREUM,
        txid="0x" + txid("token"),
        block_height=24_551_200,
        block_hash="0x" + txid("token's block"),
        block_time_us=at(2, 13, 6, 2),
        inputs=[evidence.TransferEnd(address=OWN_WALLET.canonical, amount=tether("88000000000"))],
        outputs=[
            evidence.TransferEnd(address="0x1111111254EEB25477B68fb85Ed929f73A960582", amount=tether("88000000000"))
        ],
        log_index=141,
        source="own archive node",
        status=evidence.TRANSACTION_STATUS_APPLIED,
        kind=evidence.TRANSACTION_KIND_TOKEN_TRANSFER,
        nonce=8,
    )


def _within() -> evidence.TransactionRecord:
    return evidence.TransactionRecord(
        chain=ETHEREUM,
        txid="0x" + txid("token"),
        block_height=24_551_200,
        block_hash="0x" + txid("token's block"),
        block_time_us=at(2, 13, 6, 2),
        inputs=[
            evidence.TransferEnd(
                address="0x1111111254EEB25477B68fb85Ed929f73A960582", amount=ether("1500000000000000000")
            )
        ],
        outputs=[evidence.TransferEnd(address=OWN_WALLET.canonical, amount=ether("1500000000000000000"))],
        source="own archive node",
        status=evidence.TRANSACTION_STATUS_APPLIED,
        kind=evidence.TRANSACTION_KIND_INTERNAL_TRANSFER,
        trace_address="0_1",
    )


def _of_balances() -> evidence.TransactionRecord:
    asset = f"{SOLANA}/slip44:501"
    payer = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
    return evidence.TransactionRecord(
        chain=SOLANA,
        txid="5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW",
        block_height=391_120_004,
        slot=391_120_377,
        block_hash="EkSnNWid2cvwEVnVx9aBqawnmiCNiDgp3gUdkDPTKN1N",
        block_time_us=at(2, 14, 19, 30),
        source="own archive node",
        status=evidence.TRANSACTION_STATUS_APPLIED,
        fee_payer=payer,
        fee=evidence.AssetAmount(asset=asset, base_units="5000", decimals=9),
        balance_changes=[
            evidence.BalanceChange(address=payer, asset=asset, delta="-2000005000", decimals=9),
            evidence.BalanceChange(
                address="7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU", asset=asset, delta="2000000000", decimals=9
            ),
        ],
    )
