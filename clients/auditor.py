"""Offline checks with public keys alone: no node, no network, no key of one's own.

In: envelopes and receipts as bytes or files, and a directory. Out: what is proven by them. Refuses with MALFORMED,
BAD_SIGNATURE, KEY_REVOKED, BAD_RECEIPT or CONTENT_MISMATCH. An auditor reads no payload; a party that wants a court to
read one shows it body and salt, and `disclosed` proves that the sender signed that text.
"""

from dataclasses import dataclass
from pathlib import Path

from rogatory.v1 import envelope_pb2 as pb

from gateway import codec, envelope, statement
from gateway.directory import Directory
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents
from gateway.formats.documents import Document


@dataclass(frozen=True, slots=True)
class Proven:
    """An envelope whose signatures all hold. Made by `Auditor.envelope` alone."""

    header: pb.Header
    fingerprint: bytes
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Auditor:
    """Checks by what one directory says.

    Args:
        directory: who had which keys when.
    """

    directory: Directory

    def envelope(self, source: bytes | Path) -> Proven:
        """Prove who signed an envelope, and that its payload and slots are those that were signed.

        Raises:
            Refusal: MALFORMED, BAD_SIGNATURE or KEY_REVOKED; BAD_INPUT, the file cannot be read.
        """
        found = codec.parse(pb.SignedEnvelope, _read(source))
        header = envelope.parse_header(found)
        envelope.verify(found, header, self.directory.signing_key)
        return Proven(header, envelope.fingerprint(found), tuple(signed.signer for signed in found.signatures))

    def receipt(self, source: bytes | Path, about: Proven) -> pb.Statement:
        """Prove who said what about an envelope.

        Raises:
            Refusal: BAD_RECEIPT; BAD_INPUT, the file cannot be read.
        """
        found = codec.parse(pb.Receipt, _read(source), ErrorCode.BAD_RECEIPT)
        said = statement.verify(found, self.directory.signing_key)
        statement.check_subject(said, about.header, about.fingerprint)
        return said

    def disclosed(self, about: Proven, salt: bytes, body: bytes) -> Document:
        """Prove that a text, shown by a party, is the one that the sender signed; return it as a document.

        Raises:
            Refusal: CONTENT_MISMATCH.
        """
        envelope.check_commitment(about.header, salt, body)
        return documents.decode_for(about.header, body)


def _read(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise Refusal(ErrorCode.BAD_INPUT, f"cannot read {source}: {error.strerror}") from error
