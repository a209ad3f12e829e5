"""That whoever asks for a key to be listed holds its private half.

In: keys, signatures, certificate requests. Out: nothing, or the public key of a request. Refuses with BAD_PROOF and the
field: no possession, a key that is used for two things, a request for another name or for more than a name.

A signing key signs. A sealing key cannot: its holder seals the digest of the message to the node's *proof key*, which
nobody can do who holds neither of the two private keys. A TLS key signs its certificate request. Every proof is over
all of the message, so none can be taken over into another one.

Sources: RFC 2986 (PKCS#10), X.509-SVID section 2, RFC 5869 (HKDF). Pure: the clients make here what nodes check here.
"""

from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID
from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey
from rogatory.v1 import envelope_pb2 as pb

from gateway import signature
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import HiddenSealingKey
from gateway.identity import Address, spiffe_id
from gateway.signature import Domain

MAX_REQUEST_BYTES: Final = 4096
"""A request of ours has about 250 bytes."""

SEALING_PROOF_BYTES: Final = Box.NONCE_SIZE + 16 + 32
"""Nonce, authenticator (Poly1305), digest."""

_PROOF_KEY_INFO: Final = b"rogatory/v1/proof-key"
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""All that the parser raises on bytes that are not one well-formed request."""


# Sealing keys


def proof_key(directory_key: SigningKey) -> PrivateKey:
    """Return the key to which sealing keys are proven: one more that nobody has to keep (RFC 5869)."""
    seed = HKDF(SHA256(), length=PrivateKey.SIZE, salt=None, info=_PROOF_KEY_INFO).derive(bytes(directory_key))
    return HiddenSealingKey(seed)


def prove_sealing(sealing: PrivateKey, proof_public: bytes, message: bytes) -> bytes:
    """Return the proof that its maker holds a sealing key.

    Args:
        sealing: the key.
        proof_public: the node's proof key.
        message: the serialised application or renewal that names the public half.

    Raises:
        Refusal: BAD_PROOF, the node's proof key is none.
    """
    try:
        return bytes(Box(sealing, PublicKey(proof_public)).encrypt(sha256(message).digest()))
    except (CryptoError, ValueError, TypeError, RuntimeError) as error:  # as below
        raise _bad("proof_key", "the node's answer is no key to which anything can be proven") from error


def check_sealing_proof(proof: bytes, sealing_public: bytes, proof_private: PrivateKey, message: bytes) -> None:
    """Check what `prove_sealing` made.

    Raises:
        Refusal: BAD_PROOF.
    """
    try:
        if len(proof) != SEALING_PROOF_BYTES:
            raise ValueError("not so long")  # noqa: TRY301  as any other proof that is none
        opened = Box(proof_private, PublicKey(sealing_public)).decrypt(proof)
    except (CryptoError, ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a point of low order
        raise _bad("sealing_proof", "it does not show possession of the sealing key") from error
    if opened != sha256(message).digest():
        raise _bad("sealing_proof", "it was made for another message")


# Signing keys


def check_signing_proof(domain: Domain, message: bytes, signed: pb.Signature, address: Address, public: bytes) -> None:
    """Check that a message is signed with the very key that it brings.

    Raises:
        Refusal: BAD_PROOF.
    """
    if signed.signer != str(address) or signed.key_id != signature.key_id(public) or signed.HasField("batch"):
        raise _bad("signature", f"a direct signature of {address} with the key that is brought is wanted")
    try:
        signature.verify(domain, message, signed, public)
    except Refusal as error:
        raise _bad("signature", "it does not show possession of the signing key") from error


def check_for_one_use(signing: bytes, sealing: bytes) -> None:
    """Check that a signing key and a sealing key are not one key in two forms.

    Raises:
        Refusal: BAD_PROOF.
    """
    if not signing or not sealing:
        return
    try:
        as_sealing = bytes(VerifyKey(signing).to_curve25519_public_key())
    except (CryptoError, ValueError, RuntimeError) as error:
        raise _bad("signing_key", "not an Ed25519 public key") from error
    if sealing in (signing, as_sealing):
        raise _bad("sealing_key", "it is the signing key; each use has a key of its own")


# TLS keys


def certificate_request(key: EllipticCurvePrivateKey, address: Address, federation: str) -> bytes:
    """Return a PKCS#10 request, DER, for a participant's certificate (RFC 2986 section 4)."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id(address, federation))])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def check_request(request: bytes, address: Address, federation: str) -> EllipticCurvePublicKey:
    """Return the public key of a certificate request that asks for one name, in the one form, and nothing else.

    The certificate takes nothing from it but this key. What else it asks for is refused all the same: whoever asks for
    a CA's rights or a second name is in error, or worse, and has to know.

    Args:
        request: PKCS#10, DER.
        address: whose.
        federation: the federation's domain.

    Raises:
        Refusal: BAD_PROOF.
    """
    if len(request) > MAX_REQUEST_BYTES:
        raise _bad_request(f"it is above {MAX_REQUEST_BYTES} bytes")
    try:
        parsed = x509.load_der_x509_csr(request)
        key = parsed.public_key()
        extensions = list(parsed.extensions)
        attributes = [attribute.oid for attribute in parsed.attributes]
        subject = [(each.oid, each.value) for each in parsed.subject]
        signed = parsed.is_signature_valid
    except _UNREADABLE as error:
        raise _bad_request("it is not a readable PKCS#10 request") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise _bad_request("its key is not of P-256")
    if not signed or parsed.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise _bad_request("it is not signed with its own key, ECDSA with SHA-256")
    if subject not in ([], [(NameOID.COMMON_NAME, str(address))]):
        raise _bad_request(f"its subject is not {address}, nor empty")
    if [each.oid for each in extensions] != [ExtensionOID.SUBJECT_ALTERNATIVE_NAME] or len(attributes) != 1:
        raise _bad_request("it asks for something else than a subject alternative name")
    if extensions[0].value != x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(spiffe_id(address, federation))]
    ):
        raise _bad_request(f"its one name is not the SPIFFE ID of {address}")
    return key


def _bad_request(detail: str) -> Refusal:
    return _bad("certificate_request", detail)


def _bad(field: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.BAD_PROOF, detail, field)
