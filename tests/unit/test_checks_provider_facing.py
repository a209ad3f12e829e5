"""What a court sends to an exchange has no place for a foreign authority, a State or a case."""

import pytest
from google.protobuf.descriptor import Descriptor
from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import orders_pb2 as orders
from rogatory.v1 import parties_pb2 as parties

from gateway.formats.checks import PROVIDER_FACING
from gateway.formats.checks.provider_facing import leaks


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


def test_a_customers_own_country_is_no_leak() -> None:
    assert leaks(orders.SubscriberRecord.DESCRIPTOR) == ()
