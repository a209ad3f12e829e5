"""A test of the exchange's access, and its answer."""

from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import selftest_pb2 as selftest

from tests.samples import parts

EXCHANGE = "de/exchange"


def order() -> selftest.TestOrder:
    """Return a registrar's test order."""
    return selftest.TestOrder(challenge=parts.digest("challenge"), text="This is a test. Nothing is ordered.")


def report() -> selftest.TestReport:
    """Return the exchange's answer: two of its attempts, two of its calls."""
    # Whole envelopes would need keys that are the same each time; what a page shows of one is its length and digest.
    tried = pb.SignedEnvelope(sealed_payload=parts.digest("payload")).SerializeToString()
    told = pb.Receipt(statement=parts.digest("statement")).SerializeToString()
    refused = errors_pb2.ERROR_CODE_NOT_PERMITTED
    return selftest.TestReport(
        challenge=parts.digest("challenge"),
        salt=parts.digest("salt"),
        attempts=[
            selftest.TestAttempt(
                kind=ids.KIND_FREEZE_REQUEST,
                sender=EXCHANGE,
                recipient="ee/central-authority",
                code=refused,
                envelope=tried,
                receipt=told,
            ),
            selftest.TestAttempt(
                kind=ids.KIND_DOMESTIC_ORDER, sender="de/court", recipient=EXCHANGE, code=refused, envelope=tried
            ),
        ],
        calls=[
            selftest.TestCall(method="rogatory.v1.Trace/GetTrace", code=refused),
            selftest.TestCall(method="rogatory.v1.Registry/Invite", not_served=True),
        ],
    )
