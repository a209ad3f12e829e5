"""RFC 3161: that a timestamp authority saw the manifest of a case file, and when.

In: an authority's answer, the bytes that it is about, the roots that the reader trusts. Out: the moment that it states.
Refuses with MALFORMED what is no answer, in its one form; with CONTENT_MISMATCH one about other bytes; with
BAD_SIGNATURE one that is not signed under a certificate for timestamping that those roots vouch for. No I/O.

An answer is kept as status "granted" and token, and nothing more: whatever else an authority says beside its token is
not signed. What the token itself carries unsigned (certificates that the chain does not need) is not looked at. The
certificates must have been valid at the moment that the token states; whether one was revoked, no file can tell.

Sources: RFC 3161, sections 2.3, 2.4; RFC 5816.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, TypeAlias

import rfc3161_client
from cryptography import x509
from rfc3161_client import TimeStampRequest, TimeStampResponse

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import UNREADABLE_CERTIFICATE

Stamp: TypeAlias = Callable[[bytes], bytes]
"""Has bytes timestamped; returns the answer in its one form."""
Roots: TypeAlias = Sequence[x509.Certificate]

MAX_BYTES: Final = 64 << 10
"""Of an answer: one with four certificates has some 8 KiB."""

_SHA256: Final = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_GRANTED: Final = bytes.fromhex("3003020100")  # PKIStatusInfo: status 0
_LONG: Final = 0x80


def read_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates in a PEM file.

    Raises:
        Refusal: BAD_INPUT, there is none, or one that cannot be read.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except UNREADABLE_CERTIFICATE as error:
        raise Refusal(ErrorCode.BAD_INPUT, "no PEM certificates that can be read", "tsa_root") from error


def question(content: bytes) -> TimeStampRequest:
    """Return what an authority is asked: a token over the SHA-256 of some bytes, with its certificates."""
    builder = rfc3161_client.TimestampRequestBuilder().data(content)
    return (
        builder.hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )


def accept(answer: bytes, asked: TimeStampRequest, content: bytes, roots: Roots) -> bytes:
    """Return an authority's answer in its one form.

    Raises:
        Refusal: MALFORMED, CONTENT_MISMATCH or BAD_SIGNATURE.
        Failure: UNAVAILABLE, it grants nothing.
    """
    found = _decoded(answer)
    if found.status != rfc3161_client.PKIStatus.GRANTED:
        detail = f"the timestamp authority does not grant it: status {found.status}"
        raise Failure(ErrorCode.UNAVAILABLE, detail, "timestamp")
    kept = _one_form(_token(found))
    verify(kept, content, roots)
    if found.tst_info.nonce != asked.nonce:
        raise Refusal(ErrorCode.CONTENT_MISMATCH, "it is the answer to another question", "timestamp")
    return kept


def stated(raw: bytes, content: bytes) -> datetime:
    """Return the moment that an answer states, whoever signed it.

    Raises:
        Refusal: MALFORMED or CONTENT_MISMATCH.
    """
    found = _decoded(raw)
    if _one_form(_token(found)) != raw:
        raise _malformed("it is not in its one form")
    try:
        imprint, at = found.tst_info.message_imprint, found.tst_info.gen_time
        about = (imprint.hash_algorithm, imprint.message)
    except ValueError as error:
        raise _malformed("it states no time") from error
    if about != (_SHA256, sha256(content).digest()):
        raise Refusal(ErrorCode.CONTENT_MISMATCH, "it is about other bytes", "timestamp")
    return at.astimezone(UTC)


def verify(raw: bytes, content: bytes, roots: Roots) -> datetime:
    """Return the moment at which an authority that the roots vouch for saw some bytes.

    Raises:
        Refusal: MALFORMED, CONTENT_MISMATCH or BAD_SIGNATURE.
    """
    at = stated(raw, content)
    # Not by its methods, which add to a list that all builders share.
    verifier = rfc3161_client.VerifierBuilder(roots=[*roots]).build()
    try:
        verifier.verify_message(_decoded(raw), content)
    except (rfc3161_client.VerificationError, *UNREADABLE_CERTIFICATE) as error:
        detail = "no authority for timestamps that the given roots vouch for signed it"
        raise Refusal(ErrorCode.BAD_SIGNATURE, detail, "timestamp") from error
    return at


def _decoded(raw: bytes) -> TimeStampResponse:
    if len(raw) > MAX_BYTES:
        raise Refusal(ErrorCode.TOO_LARGE, f"a timestamp is over max_bytes = {MAX_BYTES}", "timestamp")
    try:
        return rfc3161_client.decode_timestamp_response(raw)
    except ValueError as error:
        raise _malformed("it is no answer of a timestamp authority") from error


def _token(found: TimeStampResponse) -> bytes:
    try:
        return found.time_stamp_token()
    except ValueError as error:
        raise _malformed("there is no token in it") from error


def _one_form(token: bytes) -> bytes:
    """Return a granting answer with a token (TimeStampResp, RFC 3161, 2.4.2), in DER."""
    content = _GRANTED + token
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    head = length if size < _LONG else bytes([_LONG | len(length)]) + length
    return b"\x30" + head + content


def _malformed(detail: str) -> Refusal:
    return Refusal(ErrorCode.MALFORMED, detail, "timestamp")
