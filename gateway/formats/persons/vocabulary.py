"""The words and sizes of IVMS101.

In: nothing. Out: which code of the standard is which value of ours, and how much fits where. Refuses nothing.

Source: IVMS101.2023, section 5, Datatypes and Components; where the edition of 2020 differs, it is said.
"""

from types import MappingProxyType
from typing import Final

from rogatory.v1 import persons_pb2 as pb

MAX_ITEMS: Final = 20
MAX_ACCOUNTS: Final = 100
MAX_LINES: Final = 7
"""Address: addressLine [0..7]."""

NAME_CHARS: Final = 100
IDENTIFIER_CHARS: Final = 35
CUSTOMER_CHARS: Final = 50
PLACE_CHARS: Final = 70
ACCOUNT_CHARS: Final = 512
"""Max512Text of 2023; the edition of 2020 has 100."""
CODE_CHARS: Final = 64
"""Longer than any code with TRISA's prefix."""

NATURAL_NAMES: Final = MappingProxyType(
    {
        "ALIA": pb.NATURAL_PERSON_NAME_TYPE_ALIAS,
        "BIRT": pb.NATURAL_PERSON_NAME_TYPE_BIRTH,
        "MAID": pb.NATURAL_PERSON_NAME_TYPE_MAIDEN,
        "LEGL": pb.NATURAL_PERSON_NAME_TYPE_LEGAL,
        "MISC": pb.NATURAL_PERSON_NAME_TYPE_MISC,
    }
)
LEGAL_NAMES: Final = MappingProxyType(
    {
        "LEGL": pb.LEGAL_PERSON_NAME_TYPE_LEGAL,
        "SHRT": pb.LEGAL_PERSON_NAME_TYPE_SHORT,
        "TRAD": pb.LEGAL_PERSON_NAME_TYPE_TRADING,
    }
)
ADDRESSES: Final = MappingProxyType(
    {
        "HOME": pb.ADDRESS_TYPE_HOME,
        "BIZZ": pb.ADDRESS_TYPE_BUSINESS,
        "GEOG": pb.ADDRESS_TYPE_GEOGRAPHIC,
    }
)
IDENTIFIERS: Final = MappingProxyType(
    {
        "ARNU": pb.NATIONAL_IDENTIFIER_TYPE_ALIEN_REGISTRATION,
        "CCPT": pb.NATIONAL_IDENTIFIER_TYPE_PASSPORT,
        "RAID": pb.NATIONAL_IDENTIFIER_TYPE_REGISTRATION_AUTHORITY,
        "DRLC": pb.NATIONAL_IDENTIFIER_TYPE_DRIVING_LICENCE,
        "FIIN": pb.NATIONAL_IDENTIFIER_TYPE_FOREIGN_INVESTMENT,
        "TXID": pb.NATIONAL_IDENTIFIER_TYPE_TAX,
        "SOCS": pb.NATIONAL_IDENTIFIER_TYPE_SOCIAL_SECURITY,
        "IDCD": pb.NATIONAL_IDENTIFIER_TYPE_IDENTITY_CARD,
        "LEIX": pb.NATIONAL_IDENTIFIER_TYPE_LEI,
        "MISC": pb.NATIONAL_IDENTIFIER_TYPE_MISC,
    }
)
FIRM_IDENTIFIERS: Final = frozenset(IDENTIFIERS[code] for code in ("RAID", "MISC", "LEIX", "TXID"))
"""C7."""

VERSIONS: Final = MappingProxyType(
    {
        "101": pb.IVMS_VERSION_2020,
        "101.2023": pb.IVMS_VERSION_2023,
        # As the standard itself writes it in its examples, section 8.
        "IVMS101": pb.IVMS_VERSION_2020,
        "IVMS101.2023": pb.IVMS_VERSION_2023,
    }
)
SCRIPTS: Final = frozenset(
    {"arab", "aran", "armn", "cyrl", "deva", "geor", "grek", "hani", "hebr", "kana", "kore", "thai", "othr"}
)

PARTS: Final = MappingProxyType(
    {
        "department": 50,
        "sub_department": 70,
        "street_name": 70,
        "building_number": 16,
        "building_name": 35,
        "floor": 70,
        "post_box": 16,
        "room": 70,
        "post_code": 16,
        "town_name": 35,
        "town_location_name": 35,
        "district_name": 35,
        "country_sub_division": 35,
    }
)
"""Parts of an address and how many characters each may have. townName is [1..1] in the table of the standard and [0..1]
in its text; it is not demanded."""

PAYLOAD_TYPE: Final = "ivms101.IdentityPayload"
