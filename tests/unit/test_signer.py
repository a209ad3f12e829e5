import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from rogatory.v1 import envelope_pb2 as pb

from gateway import signature
from gateway.errors import ErrorCode, Failure
from gateway.signature import Domain
from gateway.signer import KeySigner, signer_of

KEY = SigningKey(bytes(range(32)))
MESSAGES = [b"one", b"two", b"three"]


class Unreachable:
    """A token that was pulled out."""

    public_key = bytes(KEY.verify_key)

    def sign(self, message: bytes) -> bytes:
        raise Failure(ErrorCode.UNAVAILABLE, "pulled out", retry_after=1.0)


def test_a_signer_and_its_key_give_the_same_signatures() -> None:
    signer = KeySigner(KEY)
    assert signer.public_key == bytes(KEY.verify_key)
    assert signer.sign(b"message") == KEY.sign(b"message").signature
    for key in (KEY, signer):
        (direct,) = [signature.sign(Domain.STATEMENT, b"one", "ee/node", key)]
        signature.verify(Domain.STATEMENT, b"one", direct, signer.public_key)
        assert direct == signature.sign(Domain.STATEMENT, b"one", "ee/node", KEY)
        batch = signature.sign_batch(Domain.STATEMENT, MESSAGES, "ee/node", key)
        assert batch == signature.sign_batch(Domain.STATEMENT, MESSAGES, "ee/node", KEY)


def test_a_signature_is_over_the_message_alone() -> None:
    made = KeySigner(KEY).sign(b"one")
    assert len(made) == 64
    with pytest.raises(BadSignatureError):
        VerifyKey(bytes(KEY.verify_key)).verify(b"two", made)


def test_the_key_id_is_that_of_the_public_half() -> None:
    made: pb.Signature = signature.sign(Domain.STATEMENT, b"one", "ee/node", KeySigner(KEY))
    assert made.key_id == signature.key_id(bytes(KEY.verify_key))


def test_a_signer_is_its_own_signer() -> None:
    signer = KeySigner(KEY)
    assert signer_of(signer) is signer


def test_a_token_that_cannot_be_reached_is_a_failure_to_whoever_asks_for_a_signature() -> None:
    with pytest.raises(Failure) as caught:
        signature.sign_batch(Domain.STATEMENT, MESSAGES, "ee/node", Unreachable())
    assert caught.value.code is ErrorCode.UNAVAILABLE
