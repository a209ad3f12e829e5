"""What a court sends to an exchange says nothing of any foreign case.

In: wallets in a document. An exchange sees a domestic order, under its own law, of its own court: no foreign authority,
no country, no facts (a house rule; compare Regulation (EU) 2023/1543 Annex I section M, which is never sent to the
provider). That is a matter of types first: a test looks through all that such a document can hold, and demands that
nothing there could tell. What no type can rule out, `check_wallet` does: where a wallet was named.

Missing on purpose: free texts. No machine can tell whether a sentence speaks of another State; the judge who signs can.
"""

from typing import Final

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

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


def check_wallet(sheet: Sheet, wallet: evidence.WalletIdentifier) -> None:
    """A wallet in a document for an exchange does not say where it was named, or by whom."""
    for field, silent in (("source", not wallet.source), ("attributions", not wallet.attributions)):
        sheet.need(Code.ORIGIN_TOLD, field, silent, "an exchange is not told where a wallet comes from (house rule)")
