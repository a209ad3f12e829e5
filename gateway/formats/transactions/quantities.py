"""Values as Ethereum's JSON-RPC writes them: quantities, hashes, addresses, data.

In: JSON values. Out: integers and texts, exactly. Refuses a quantity with leading zeros, in decimal or as a JSON number
(TX_QUANTITY): then it is not what a node wrote, and somebody's float may have been in between.

Source: Ethereum execution-apis, schemas base-types: uint `^0x(0|[1-9a-f][0-9a-f]*)$`, hash32, address, bytes.
"""

import re
from typing import Final

from gateway.formats.codes import Code, refuse
from gateway.formats.transactions.common import told

_QUANTITY: Final = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,63})")
_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_WORDS: Final = re.compile(r"0x([0-9a-fA-F]{2})*")

WORD_CHARS: Final = 64
ADDRESS_CHARS: Final = 40


def quantity(value: object, where: str, bits: int = 256) -> int:
    """Return a quantity of at most so many bits.

    Raises:
        Refusal: MISSING, TX_QUANTITY.
    """
    if not isinstance(told(value, where), str) or not _QUANTITY.fullmatch(str(value)) or int(str(value), 16) >> bits:
        detail = f"a quantity is 0x and hexadecimal digits without leading zero, up to {bits} bits"
        raise refuse(Code.TX_QUANTITY, detail, where)
    return int(str(value), 16)


def hash32(value: object, where: str) -> str:
    """Return a hash.

    Raises:
        Refusal: MISSING, TX_HASH_FORMAT.
    """
    if not isinstance(told(value, where), str) or not _HASH.fullmatch(str(value)):
        raise refuse(Code.TX_HASH_FORMAT, "a hash is 0x and 64 hexadecimal digits in lower case", where)
    return str(value)


def address(value: object, where: str) -> str:
    """Return an address as it is written; EIP-55 case is not looked at, for nodes write lower case.

    Raises:
        Refusal: MISSING, TX_ADDRESS_FORMAT.
    """
    if not isinstance(told(value, where), str) or not _ADDRESS.fullmatch(str(value)):
        raise refuse(Code.TX_ADDRESS_FORMAT, "an address is 0x and 40 hexadecimal digits", where)
    return str(value)


def words(value: object, where: str) -> tuple[str, ...]:
    """Return data in words of 32 bytes, of 64 digits each; the last may be shorter.

    Raises:
        Refusal: MISSING, WRONG_TYPE.
    """
    if not isinstance(told(value, where), str) or not _WORDS.fullmatch(str(value)):
        raise refuse(Code.WRONG_TYPE, "data is 0x and hexadecimal digits, two a byte", where)
    digits = str(value)[2:]
    return tuple(digits[at : at + WORD_CHARS] for at in range(0, len(digits), WORD_CHARS))
