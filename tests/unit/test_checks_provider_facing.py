"""What a court sends to an exchange has no place for a foreign authority, a State or a case."""

from collections.abc import Iterable, Iterator
from typing import Final

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties
from rogatory.v1 import persons_pb2 as persons

from gateway.formats.checks import PROVIDER_FACING
from gateway.formats.documents import BODIES

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

OWN_COURTS: Final = {
    assistance.TakedownNotice.DESCRIPTOR.full_name: {"authority", "authority.country", "territories"},
}
"""What the law makes an order say (2022/2065 Art. 9(2)(a), (b)), and what is the court's own: who orders it, and where
it is to have effect. That the authority is of the sender's own country, `headers.check` sees to; a type cannot."""

OWN_DATA: Final = frozenset({persons.Person.DESCRIPTOR.full_name})
"""A customer's country is the customer's own, and known to the exchange."""


def leaks(kind: Descriptor) -> tuple[str, ...]:
    """Return the path of every field, in a message or in what it can hold, that could tell of a foreign case."""
    own = OWN_COURTS.get(kind.full_name, set())
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


@pytest.mark.parametrize("kind", [kind.DESCRIPTOR for kind in PROVIDER_FACING], ids=lambda kind: kind.name)
def test_nothing_that_a_document_for_an_exchange_can_hold_tells_of_a_foreign_case(kind: Descriptor) -> None:
    assert leaks(kind) == ()


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (certificates.FreezeRequest.DESCRIPTOR, "issuing_authority"),
        (certificates.FreezeRequest.DESCRIPTOR, "offence"),
        (certificates.FreezeRequest.DESCRIPTOR, "persons"),
        (certificates.FreezeRequest.DESCRIPTOR, "several_states.states.state"),
        (assistance.EvidenceRequest.DESCRIPTOR, "requested_state"),
        (orders.ReviewReferral.DESCRIPTOR, "freeze.offence.facts"),
        (followups.SharingStatement.DESCRIPTOR, "issuing_state"),
        (parties.IdentityDocument.DESCRIPTOR, "country"),
    ],
)
def test_the_search_finds_what_would_tell(kind: Descriptor, field: str) -> None:
    assert field in leaks(kind)


def test_a_takedown_notice_has_what_is_let_through_of_it() -> None:
    kind = assistance.TakedownNotice.DESCRIPTOR
    assert OWN_COURTS[kind.full_name] <= {*_through(kind.fields, "", frozenset({kind.full_name}))}


def test_every_document_that_a_court_may_send_to_an_exchange_is_among_them() -> None:
    kinds = (
        ids.KIND_DOMESTIC_ORDER,
        ids.KIND_PROVISIONAL_ORDER,
        ids.KIND_CLARIFICATION,
        ids.KIND_OBJECTION_DECISION,
        ids.KIND_CONFIRMATION,
        ids.KIND_PRODUCTION_NOTICE,
        ids.KIND_RELEASE,
        ids.KIND_EXTENSION,
        ids.KIND_LIMITATION,
        ids.KIND_TRANSFER_ORDER,
        ids.KIND_TAKEDOWN_NOTICE,
    )
    assert {BODIES[kind] for kind in kinds} == set(PROVIDER_FACING)


def test_a_customers_own_country_is_no_leak() -> None:
    assert leaks(orders.SubscriberRecord.DESCRIPTOR) == ()
