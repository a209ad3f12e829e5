"""Wallets: from the JSON form of a list to `WalletIdentifier`, and the rules that each one keeps.

In: entries `{chain, address, network?, tag?, source?, custody?, provider?, account?, quoted?}`; other fields are the
list's own and stay there. Out: identifiers, the address exactly as the list wrote it beside its canonical form. Refuses
with BAD_INPUT, the position and the rule.

An identifier is *executable* if its address keeps every rule of its chain. Otherwise it is refused, unless it is
*quoted*: then it names the rule that it breaks and travels as it stands, and nobody can execute it. A wallet on a
chain that is not known here is quoted by itself, for not supported is not wrong; any other only if the list says
`"quoted": true`, as whoever copies a bad identifier from a foreign order must. A private key is never quoted.
Each end computes canonical form and checksum state anew (`check`): otherwise a sender could show one address to a
person and another to a machine.
"""

from typing import Final

from google.protobuf.message import Message
from rogatory.v1 import evidence_pb2 as evidence

from gateway.errors import ErrorCode, Refusal
from gateway.formats import addresses, chains, lei, reading, tags
from gateway.formats.addresses import Address, Checksum
from gateway.formats.chains import Chain
from gateway.formats.codes import Code, refuse
from gateway.formats.reading import Reading

MAX_ADDRESS_CHARS: Final = 512
"""As in evidence.proto: Zcash unified addresses run to 509."""

MAX_SOURCE_CHARS: Final = 200
MAX_TAG_CHARS: Final = 128
MAX_NAME_CHARS: Final = 64

QUOTABLE: Final = frozenset(
    {
        Code.CHAIN_NOT_SUPPORTED,
        Code.ADDRESS_LENGTH,
        Code.ADDRESS_CHARACTER,
        Code.ADDRESS_FORMAT,
        Code.ADDRESS_CHECKSUM,
        Code.ADDRESS_VERSION,
        Code.ADDRESS_OTHER_CHAIN,
        Code.ADDRESS_OTHER_NETWORK,
        Code.NETWORK_NOT_SUPPORTED,
        Code.TAG_NOT_ALLOWED,
        Code.TAG_FORMAT,
        Code.TAG_CONTRADICTS,
    }
)
"""Rules that a quoted identifier may break."""

_STATES: Final = {
    Checksum.VALID: evidence.CHECKSUM_STATE_VALID,
    Checksum.NONE: evidence.CHECKSUM_STATE_NONE,
    Checksum.UNCHECKED: evidence.CHECKSUM_STATE_UNCHECKED,
}
_CUSTODY: Final = {
    "custodial": evidence.CUSTODY_CUSTODIAL,
    "self-hosted": evidence.CUSTODY_SELF_HOSTED,
    "contract": evidence.CUSTODY_CONTRACT,
    "unknown": evidence.CUSTODY_UNKNOWN,
}


def identifiers(entries: object) -> Reading[evidence.WalletIdentifier]:
    """Read a list; each entry is an identifier or a refusal with its position.

    Raises:
        Refusal: BAD_INPUT, it is no list.
    """
    return reading.read_list(entries, identifier)


def identifier(value: object, where: str = "") -> evidence.WalletIdentifier:
    """Read one entry.

    Args:
        value: the entry.
        where: its position, for the refusal.

    Raises:
        Refusal: BAD_INPUT, with the field and the rule.
    """
    entry = reading.entry(value, where)
    name = reading.text(entry.get("chain"), f"{where}.chain", MAX_NAME_CHARS)
    chain = chains.known(name)
    made = evidence.WalletIdentifier(
        chain=chain.caip2 if chain is not None else "",
        chain_name=name if chain is None else "",
        address=_address(entry.get("address"), f"{where}.address"),
        source=_optional(entry.get("source"), f"{where}.source", MAX_SOURCE_CHARS),
        tag=_optional(entry.get("tag"), f"{where}.tag", MAX_TAG_CHARS),
        custody=_custody(entry.get("custody"), f"{where}.custody"),
        provider_lei=_optional(entry.get("provider"), f"{where}.provider", 20),
        account_reference=_optional(entry.get("account"), f"{where}.account", MAX_TAG_CHARS),
    )
    try:
        _fill(made, chain, _optional(entry.get("network"), f"{where}.network", MAX_NAME_CHARS), where)
    except Refusal as error:
        if error.rule not in QUOTABLE or not (entry.get("quoted") is True or error.rule == Code.CHAIN_NOT_SUPPORTED):
            raise
        made.quoted_because = error.rule
    if made.provider_lei:
        lei.lei(made.provider_lei, f"{where}.provider")
    reading.check(made, where)
    return made


def make(chain_name: str, address: str, **fields: str) -> evidence.WalletIdentifier:
    """Return the executable identifier of one address; `fields` are those of an entry.

    Raises:
        Refusal: BAD_INPUT, with the field and the rule.
    """
    return identifier({"chain": chain_name, "address": address} | fields)


def complete(wallet: evidence.WalletIdentifier, where: str = "") -> None:
    """Add canonical form, tag and checksum state to an identifier that has neither these nor a reason to be quoted.

    Raises:
        Refusal: BAD_INPUT, with the field and the rule.
    """
    if not (wallet.canonical or wallet.checksum_state or wallet.quoted_because):
        _fill(wallet, chains.known(wallet.chain or wallet.chain_name), "", where)


def complete_all(message: Message, where: str = "") -> None:
    """Do so for every identifier within a message.

    Raises:
        Refusal: as `complete`.
    """
    if isinstance(message, evidence.WalletIdentifier):
        complete(message, where)
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            at = f"{where}.{field.name}" if where else field.name
            for position, each in enumerate(value if field.is_repeated else [value]):
                complete_all(each, f"{at}[{position}]" if field.is_repeated else at)


def check(wallet: evidence.WalletIdentifier, where: str = "", code: ErrorCode = ErrorCode.CONTENT_MISMATCH) -> None:
    """Check an identifier that somebody else made, by making what it says anew.

    1. An executable one has the canonical form, the tag and the checksum state that its chain's rules give.
    2. A quoted one breaks a rule that may be quoted.
    3. The provider's LEI has right check digits (ISO 17442).

    Raises:
        Refusal: `code`, with the field and the rule.
    """
    anew = evidence.WalletIdentifier(
        chain=wallet.chain, chain_name=wallet.chain_name, address=wallet.address, tag=wallet.tag
    )
    before = f"{where}." if where else ""
    try:
        if wallet.provider_lei:
            lei.lei(wallet.provider_lei, f"{before}provider_lei")  # (3)
        _fill(anew, chains.known(wallet.chain or wallet.chain_name), "", where)
    except Refusal as error:
        if wallet.quoted_because and error.rule in QUOTABLE:  # (2)
            return
        raise refuse(Code(error.rule), error.detail, error.field.lstrip("."), code) from error
    if wallet.quoted_because:
        raise refuse(Code.QUOTED_WITHOUT_REASON, "it is quoted, and breaks no rule", f"{before}quoted_because", code)
    if wallet.canonical != anew.canonical:  # (1)
        detail = "not the canonical form of the address beside it"
        raise refuse(Code.CANONICAL_CONTRADICTS, detail, f"{before}canonical", code)
    if wallet.tag != anew.tag:
        detail = "not the tag that the address itself carries, or not as it is written: hex digits in small letters"
        raise refuse(Code.TAG_CONTRADICTS, detail, f"{before}tag", code)
    if wallet.checksum_state != anew.checksum_state:
        detail = "not what the checksum says"
        raise refuse(Code.CHECKSUM_STATE_CONTRADICTS, detail, f"{before}checksum_state", code)


def key(wallet: evidence.WalletIdentifier) -> tuple[str, ...]:
    """Return what makes a wallet that wallet, however it is written and whatever else is said of it."""
    chain = chains.known(wallet.chain)
    address = addresses.plain(chain, wallet.canonical) if chain is not None else wallet.canonical
    return (wallet.chain, wallet.chain_name, address or wallet.address, wallet.tag)


def without_origin(wallet: evidence.WalletIdentifier) -> evidence.WalletIdentifier:
    """Return the identifier without what tells where it comes from, for a provider's eyes."""
    copy = evidence.WalletIdentifier()
    copy.CopyFrom(wallet)
    copy.ClearField("source")
    copy.ClearField("attributions")
    return copy


def is_executable(wallet: evidence.WalletIdentifier) -> bool:
    """Whether something can be done to it, rather than only said of it."""
    return not wallet.quoted_because


def chain(value: object, where: str) -> Chain:
    """Return the chain of that name or CAIP-2 id.

    Raises:
        Refusal: BAD_INPUT, not supported.
    """
    name = reading.text(value, where, MAX_NAME_CHARS)
    try:
        return chains.find(name)
    except Refusal as error:
        raise refuse(Code.CHAIN_NOT_SUPPORTED, error.detail, where) from error


def _fill(made: evidence.WalletIdentifier, chain: Chain | None, network: str, where: str) -> None:
    """Add what the chain's rules make of the address."""
    if chain is None:
        # What is refused for another reason than its address could travel as a quotation; a key must not.
        addresses.refuse_key(made.address, f"{where}.address")
        raise refuse(Code.CHAIN_NOT_SUPPORTED, "this chain is not supported", f"{where}.chain")
    if network and network not in (chains.MAIN, "any"):
        addresses.refuse_key(made.address, f"{where}.address")
        detail = f"only {chains.MAIN} is supported: elsewhere there is nothing to freeze"
        raise refuse(Code.NETWORK_NOT_SUPPORTED, detail, f"{where}.network")
    found: Address = addresses.check(chain, made.address, chains.MAIN, f"{where}.address")
    made.tag = tags.check(chain, made.tag, found.tag, f"{where}.tag")
    made.canonical, made.checksum_state = found.canonical, _STATES[found.checksum]


def _address(value: object, where: str) -> str:
    """Return the text of an address that can travel at all: visible ASCII, within the contract's length."""
    found = reading.text(value, where, MAX_ADDRESS_CHARS)
    if not (found.isascii() and found.isprintable() and " " not in found):
        addresses.check(chains.find("bitcoin"), found, where=where)  # tells why, with the position
    return reading.visible_ascii(found, where, MAX_ADDRESS_CHARS)


def _optional(value: object, where: str, most: int) -> str:
    return "" if value in (None, "") else reading.text(value, where, most)


def _custody(value: object, where: str) -> evidence.Custody.ValueType:
    # A list tells where an address is, hardly ever who holds its keys.
    if value is None:
        return evidence.CUSTODY_UNKNOWN
    if not isinstance(value, str) or value not in _CUSTODY:
        raise refuse(Code.WRONG_TYPE, f"one of these is wanted: {', '.join(_CUSTODY)}", where)
    return _CUSTODY[value]
