"""What a court sends to an exchange says nothing of any foreign case.

In: types of messages; wallets in a document. An exchange sees a domestic order, under its own law, of its own court: no
foreign authority, no country, no facts (a house rule; compare Regulation (EU) 2023/1543 Annex I section M, which is
never sent to the provider). That is a matter of types first: `leaks` looks through all that such a document can hold,
and a test demands that it finds nothing. What no type can rule out, `check_wallets` does: where a wallet was named.

Missing on purpose: free texts. No machine can tell whether a sentence speaks of another State; the judge who signs can.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1 import persons_pb2 as persons

from gateway.formats.checks.sheet import Sheet
from gateway.formats.codes import Code

PROVIDER_FACING: Final = (
    orders.DomesticOrder,
    followups.Extension,
    followups.Limitation,
    followups.Release,
    followups.TransferOrder,
    notices.Notice,
    assistance.TakedownNotice,
)

FORBIDDEN_TYPES: Final = frozenset(
    kind.DESCRIPTOR.full_name
    for kind in (
        parties.CompetentAuthority,
        parties.PersonConcerned,
        certificates.Offence,
        certificates.EarlierOrder,
        certificates.OtherState,
        ids.EnvelopeRef,
    )
)

FORBIDDEN_WORDS: Final = frozenset(
    {
        "case",
        "countries",
        "country",
        "facts",
        "foreign",
        "instrument",
        "issuing",
        "nationalities",
        "offence",
        "requesting",
        "state",
        "states",
        "summary",
        "territories",
        "treaty",
    }
)
"""Words that no name of a field may have in it."""

HARMLESS: Final = frozenset({"checksum_state"})
"""A state that is no State."""

OWN_COURTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        assistance.TakedownNotice.DESCRIPTOR.full_name: frozenset({"authority", "authority.country", "territories"}),
    }
)
"""What the law makes an order say (2022/2065 Art. 9(2)(a), (b)), and what is the court's own: who orders it, and where
it is to have effect. That the authority is of the sender's own country, `headers.check` sees to; a type cannot."""

OWN_DATA: Final = frozenset({persons.Person.DESCRIPTOR.full_name})
"""A customer's country is the customer's own, and known to the exchange."""


def leaks(kind: Descriptor) -> tuple[str, ...]:
    """Return the path of every field, in a message or in what it can hold, that could tell of a foreign case."""
    own = OWN_COURTS.get(kind.full_name, frozenset())
    return tuple(path for path in _through(kind.fields, "", frozenset({kind.full_name})) if path not in own)


def _through(fields: Iterable[FieldDescriptor], path: str, within: frozenset[str]) -> Iterator[str]:
    for field in fields:
        at = f"{path}.{field.name}" if path else field.name
        held = field.message_type
        telling = field.name not in HARMLESS and FORBIDDEN_WORDS & set(field.name.split("_"))
        if telling or (held is not None and held.full_name in FORBIDDEN_TYPES):
            yield at
        if held is not None and held.full_name not in within | OWN_DATA:
            yield from _through(held.fields, at, within | {held.full_name})


def check_wallet(sheet: Sheet, wallet: evidence.WalletIdentifier) -> None:
    """A wallet in a document for an exchange does not say where it was named, or by whom."""
    for field, silent in (("source", not wallet.source), ("attributions", not wallet.attributions)):
        sheet.need(Code.ORIGIN_TOLD, field, silent, "an exchange is not told where a wallet comes from (house rule)")
