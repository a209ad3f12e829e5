"""What a court sends to an exchange has no place for a foreign authority, a State or a case."""

import pytest
from google.protobuf.descriptor import Descriptor
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks import PROVIDER_FACING
from gateway.formats.checks.provider_facing import OWN_COURTS, leaks
from gateway.formats.documents import BODIES


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


def test_a_takedown_notice_tells_of_the_courts_own_country_alone() -> None:
    own = OWN_COURTS[assistance.TakedownNotice.DESCRIPTOR.full_name]
    assert own == {"authority", "authority.country", "territories"}
    # Each of them is there, and nothing else of its kind is let through.
    assert own <= {*_all(assistance.TakedownNotice.DESCRIPTOR)}


def _all(kind: Descriptor) -> list[str]:
    return [
        path
        for field in kind.fields
        for path in (
            field.name,
            *(f"{field.name}.{each.name}" for each in (field.message_type.fields if field.message_type else ())),
        )
    ]


def test_every_document_that_a_court_may_send_to_an_exchange_is_among_them() -> None:
    kinds = (
        ids.KIND_DOMESTIC_ORDER,
        ids.KIND_PROVISIONAL_ORDER,
        ids.KIND_CLARIFICATION,
        ids.KIND_OBJECTION_DECISION,
        ids.KIND_CONFIRMATION,
        ids.KIND_RELEASE,
        ids.KIND_EXTENSION,
        ids.KIND_LIMITATION,
        ids.KIND_TRANSFER_ORDER,
        ids.KIND_TAKEDOWN_NOTICE,
    )
    assert {BODIES[kind] for kind in kinds} == set(PROVIDER_FACING)


def test_a_customers_own_country_is_no_leak() -> None:
    assert leaks(orders.SubscriberRecord.DESCRIPTOR) == ()
