import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.secret import Aead
from nacl.signing import SigningKey, VerifyKey
from rogatory.v1 import envelope_pb2 as pb

from gateway import signature
from gateway.errors import ErrorCode, Refusal
from gateway.signature import Domain

KEY = SigningKey(bytes(range(32)))
PUBLIC = bytes(KEY.verify_key)
SIGNER = "ee/prosecutor"
MESSAGES = [b"one", b"two", b"three"]
VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "crypto_vectors.json").read_text())


def valid(domain: Domain, message: bytes, signed: pb.Signature, public: bytes = PUBLIC) -> bool:
    try:
        signature.verify(domain, message, signed, public)
    except Refusal as error:
        if error.code is not ErrorCode.BAD_SIGNATURE:
            raise
        return False
    return True


def direct() -> pb.Signature:
    return signature.sign(Domain.ENVELOPE, b"one", SIGNER, KEY)


def batch() -> list[pb.Signature]:
    return signature.sign_batch(Domain.ENVELOPE, MESSAGES, SIGNER, KEY)


def altered(signed: pb.Signature, change: Callable[[pb.Signature], object]) -> pb.Signature:
    copy = pb.Signature()
    copy.CopyFrom(signed)
    change(copy)
    return copy


def vectors(*algs: str) -> pytest.MarkDecorator:
    found = [vector for vector in VECTORS if vector["alg"] in algs]
    assert found
    return pytest.mark.parametrize("v", found, ids=[f"{v['alg']} {v['id']}" for v in found])


def unhex(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


def test_direct_signature_is_valid_for_its_own_bytes_only() -> None:
    assert valid(Domain.ENVELOPE, b"one", direct())
    assert not valid(Domain.ENVELOPE, b"two", direct())
    assert not valid(Domain.ENVELOPE, b"one", direct(), bytes(SigningKey(bytes(32)).verify_key))


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40))
def test_each_signature_of_a_batch_verifies_alone(messages: list[bytes]) -> None:
    signed = signature.sign_batch(Domain.STATEMENT, messages, SIGNER, KEY)
    assert len({one.signature for one in signed}) == 1
    for message, one in zip(messages, signed, strict=True):
        assert valid(Domain.STATEMENT, message, one)
        assert not valid(Domain.STATEMENT, message + b"!", one)


@pytest.mark.parametrize("signed", [direct(), batch()[0]], ids=["direct", "batch"])
def test_signature_of_an_envelope_is_none_of_a_statement(signed: pb.Signature) -> None:
    assert valid(Domain.ENVELOPE, b"one", signed)
    assert not valid(Domain.STATEMENT, b"one", signed)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(altered(batch()[0], lambda s: s.ClearField("batch")), id="batch passed off as direct"),
        pytest.param(
            altered(direct(), lambda s: s.batch.MergeFrom(pb.BatchPath(size=1))), id="direct as a batch of one"
        ),
        pytest.param(altered(batch()[0], lambda s: setattr(s.batch, "index", 1)), id="another index"),
        pytest.param(altered(batch()[0], lambda s: setattr(s.batch, "index", 3)), id="index outside"),
        pytest.param(altered(batch()[0], lambda s: setattr(s.batch, "size", 4)), id="larger tree of the same height"),
        pytest.param(altered(batch()[0], lambda s: setattr(s.batch, "size", 2)), id="smaller tree"),
        pytest.param(altered(batch()[0], lambda s: setattr(s.batch, "size", 0)), id="empty tree"),
        pytest.param(altered(batch()[0], lambda s: s.batch.path.pop()), id="path cut short"),
        pytest.param(altered(batch()[0], lambda s: s.batch.path.append(bytes(32))), id="path too long"),
        pytest.param(altered(batch()[0], lambda s: s.batch.path.reverse()), id="path upside down"),
        pytest.param(altered(batch()[0], lambda s: s.batch.path.__setitem__(0, bytes(32))), id="another sibling"),
        pytest.param(altered(batch()[0], lambda s: s.batch.CopyFrom(batch()[1].batch)), id="path of another leaf"),
        pytest.param(altered(direct(), lambda s: setattr(s, "signature", bytes(64))), id="signature of zeros"),
        pytest.param(altered(direct(), lambda s: setattr(s, "signature", s.signature[:63])), id="signature cut short"),
        pytest.param(altered(direct(), lambda s: s.ClearField("signature")), id="no signature"),
    ],
)
def test_forged_signature_is_refused(forged: pb.Signature) -> None:
    assert not valid(Domain.ENVELOPE, b"one", forged)


def test_last_leaf_is_not_passed_off_as_one_of_a_smaller_tree() -> None:
    # Leaf 2 of 3 has the path of leaf 1 of 2: the root is the same, so the signature must bind the size.
    moved = altered(batch()[2], lambda s: s.batch.MergeFrom(pb.BatchPath(index=1, size=2)))
    assert valid(Domain.ENVELOPE, b"three", batch()[2])
    assert not valid(Domain.ENVELOPE, b"three", moved)


def test_root_of_a_batch_is_not_passed_off_as_a_message() -> None:
    signed_bytes = signature.signed_bytes(Domain.ENVELOPE, b"one", batch()[0])
    unframed = altered(batch()[0], lambda s: s.ClearField("batch"))
    assert not valid(Domain.ENVELOPE, signed_bytes, unframed)
    assert signature.signed_bytes(Domain.ENVELOPE, b"one", direct()) != signed_bytes


def test_public_key_of_the_wrong_length_is_refused() -> None:
    assert not valid(Domain.ENVELOPE, b"one", direct(), PUBLIC[:31])


@given(st.lists(st.binary(max_size=9), max_size=4), st.lists(st.binary(max_size=9), max_size=4))
def test_different_parts_never_frame_to_the_same_bytes(some: list[bytes], others: list[bytes]) -> None:
    assert (signature.frame(*some) == signature.frame(*others)) is (some == others)


def test_domains_are_no_prefixes_of_each_other() -> None:
    names = [domain.value for domain in Domain]
    assert not [a for a in names for b in names if a is not b and b.startswith(a)]


# Published vectors against the primitives that we use. Not against our own framing, which nobody has published.


@vectors("ed25519-verify")
def test_ed25519_verifies_as_published(v: dict[str, Any]) -> None:
    public, message, signed = unhex(v, "pk", "msg", "sig")
    if v["result"] == "valid":
        VerifyKey(public).verify(message, signed)
    else:
        with pytest.raises((BadSignatureError, ValueError)):
            VerifyKey(public).verify(message, signed)


@vectors("ed25519-verify-edge")
def test_ed25519_takes_no_small_order_or_non_canonical_signature_but_the_one_known(v: dict[str, Any]) -> None:
    public, message, signed = unhex(v, "pk", "msg", "sig")
    if v["pynacl"] == "accepts":
        VerifyKey(public).verify(message, signed)
    else:
        with pytest.raises(BadSignatureError):
            VerifyKey(public).verify(message, signed)


@vectors("ed25519-sign")
def test_ed25519_signs_as_published(v: dict[str, Any]) -> None:
    seed, public, message, signed = unhex(v, "sk_seed", "pk", "msg", "sig")
    key = SigningKey(seed)
    assert bytes(key.verify_key) == public
    assert key.sign(message).signature == signed


@vectors("x25519")
def test_x25519_agrees_as_published_and_refuses_low_order_points(v: dict[str, Any]) -> None:
    public, private, shared = unhex(v, "public", "private", "shared")
    if v["pynacl"] == "refused":
        with pytest.raises(CryptoError):
            crypto_scalarmult(private, public)
    else:
        assert crypto_scalarmult(private, public) == shared


@vectors("nacl-sealed-box")
def test_sealed_box_opens_as_published(v: dict[str, Any]) -> None:
    secret, public, message, sealed = unhex(v, "sk", "pk", "msg", "ct")
    key = PrivateKey(secret)
    assert bytes(key.public_key) == public
    assert SealedBox(key).decrypt(sealed) == message
    with pytest.raises(CryptoError):
        SealedBox(key).decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]))


@vectors("xchacha20poly1305")
def test_xchacha20_poly1305_opens_as_published(v: dict[str, Any]) -> None:
    key, nonce, aad, message, sealed, tag = unhex(v, "key", "iv", "aad", "msg", "ct", "tag")
    if v["result"] == "valid":
        assert Aead(key).decrypt(sealed + tag, aad, nonce) == message
        assert Aead(key).encrypt(message, aad, nonce).ciphertext == sealed + tag
    else:
        with pytest.raises((CryptoError, ValueError)):
            Aead(key).decrypt(sealed + tag, aad, nonce)
