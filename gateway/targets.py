"""Targets of a request: what it is aimed at, said so that nodes can compare and not read.

In: target keys, the executing State, wallets. Out: one token a wallet; or a header and its document, checked against
each other. Pure. Refuses with CONTENT_MISMATCH a header whose tokens are not exactly those of its document's wallets.

A token is derived in two steps, each HMAC-SHA-256 (RFC 2104) over length-framed parts that begin with a domain:

    key of a State   HMAC(key of the epoch, "rogatory/v1/target-key", epoch, State)
    token            HMAC(key of the State, "rogatory/v1/target", chain, chain name, canonical address, tag)

So equal tokens are equal targets of one executing State in one epoch, and across States or epochs they have nothing in
common: competition arises where something is executed (2018/1805 Art. 26), and there alone it is to be seen. Addresses
are public, so without a key anybody could try them all: that nodes, exchanges and outsiders do not hold it is all that
the secrecy rests on. Who learns what is told in docs/targets.md.

What makes a wallet that wallet is told by `wallets.key`: a spelling does not, a tag does. A quoted wallet, which nobody
can execute, has no canonical address; it gets its token by what was quoted.
"""

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from gateway import target_keys
from gateway.clock import from_micros
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents, wallets
from gateway.identity import Address
from gateway.signature import frame
from gateway.target_keys import TargetKey

Targeted: TypeAlias = certificates.FreezeRequest | certificates.ConfiscationRequest | assistance.ProvisionalFreeze

CARRIERS: Final = frozenset(
    {ids.KIND_FREEZE_REQUEST, ids.KIND_CONFISCATION_REQUEST, ids.KIND_PROVISIONAL_FREEZE},
)
"""What carries tokens: the requests between States that lay hands on something. No order to an exchange ever does."""

_STATE: Final = b"rogatory/v1/target-key"
_TARGET: Final = b"rogatory/v1/target"


def token(key: TargetKey, state: str, wallet: evidence.WalletIdentifier) -> bytes:
    """Return what one wallet is called in one State's and one epoch's headers: 32 bytes.

    Args:
        key: of the epoch.
        state: code of the executing State's node, e.g. `de`.
        wallet: checked by `wallets.check`, or made by `wallets.identifier`.
    """
    of_state = hmac.digest(key.reveal(), frame(_STATE, str(key.epoch).encode(), state.encode()), sha256)
    return hmac.digest(of_state, frame(_TARGET, *(part.encode() for part in wallets.key(wallet))), sha256)


def tokens(
    keys: Iterable[TargetKey], recipients: Sequence[str], found: Iterable[evidence.WalletIdentifier]
) -> tuple[bytes, ...]:
    """Return the tokens of some wallets by each of the keys.

    They are sorted, so that they tell neither which of them belong together nor in which order the document names them.

    Args:
        keys: those in force when the request is made: in an overlap, of both epochs.
        recipients: addresses, all of the executing State.
        found: the wallets; one that is named twice is one target.

    Raises:
        Refusal: CONTENT_MISMATCH, the recipients are of several States.
    """
    states = {Address.parse(each).node for each in recipients}
    if len(states) != 1:
        detail = "a target is executed in one State, and this goes to several"
        raise Refusal(ErrorCode.CONTENT_MISMATCH, detail, "recipients")
    (state,) = states
    named = {wallets.key(wallet): wallet for wallet in found}.values()
    return tuple(sorted(token(key, state, wallet) for key in keys for wallet in named))


def wallets_of(document: object) -> Sequence[evidence.WalletIdentifier]:
    """Return what a document is aimed at; nothing if it lays hands on nothing."""
    return document.wallets if isinstance(document, Targeted) else ()


def check(header: pb.Header, document: object, keys: Sequence[TargetKey]) -> None:
    """Check that a header is aimed at exactly what its document names: no target hidden, none feigned.

    1. Nothing but a request between States that lays hands on something carries tokens.
    2. The tokens of such a request are those that its wallets have by the keys in force when it was made, in order.
    3. A draft is checked in what it carries: the request is signed already, and its tokens stay as they are.

    Whoever holds no key in force then can check the first alone.

    Raises:
        Refusal: CONTENT_MISMATCH.
    """
    if isinstance(document, orders.Draft):  # (3)
        check(*documents.carried(document), keys)
    if header.kind not in CARRIERS:  # (1)
        if header.target_tokens:
            detail = "only a request to freeze or confiscate says what it is aimed at"
            raise Refusal(ErrorCode.CONTENT_MISMATCH, detail, "target_tokens")
        return
    used = target_keys.in_force(keys, from_micros(header.created_at_us))
    if used and tuple(header.target_tokens) != tokens(used, header.recipients, wallets_of(document)):  # (2)
        detail = "the header is aimed at something else than the document, or by a target key that is not held here"
        raise Refusal(ErrorCode.CONTENT_MISMATCH, detail, "target_tokens")
