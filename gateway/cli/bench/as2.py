"""The other side: AS2 (RFC 4130), as most authorities' partners in trade have it: `python -m gateway.cli.bench.as2`.

In: a payload's size. Out: messages a second on one core: signed and encrypted by the sender, decrypted and verified by
the recipient, whose signed receipt (MDN) the sender verifies. Nothing is sent and nothing is kept: what is measured is
what AS2 costs before any disk or network. RSA of 2048 bits, SHA-256 and AES-256, as partners agree on today.
"""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.cli.bench.figures import Measure, NotMeasured, Values
from gateway.cli.bench.nodes import say
from gateway.cli.bench.pool import PAYLOAD_BYTES
from gateway.cli.children import last_line

WITHIN_SECONDS: Final = 60.0
_OPENSSL: Final = re.compile(r"(\d+\.\d+\.\d)")


def measures(seconds: float) -> list[Measure]:
    """Return what is measured of AS2."""
    return [Measure(("as2_rate",), lambda _: _measure(seconds))]


def _measure(seconds: float) -> Values:
    if find_spec("pyas2lib") is None:
        raise NotMeasured("not installed: pyas2lib, of the extra `bench`")
    # In a process of its own, because of `_library`.
    within = WITHIN_SECONDS + seconds
    try:
        done = subprocess.run(  # noqa: S603  our own words
            [sys.executable, "-m", __name__, str(seconds)], check=False, capture_output=True, timeout=within
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"pyas2lib does not end within {within:g} seconds") from error
    if done.returncode:
        raise NotMeasured(f"pyas2lib does not work here: {last_line(done.stderr.decode(errors='replace'))}")
    return {"as2_rate": float(json.loads(done.stdout))}


def rate(seconds: float) -> float:
    """Return how many messages a second one core takes through all of AS2.

    Raises:
        RuntimeError: a message or a receipt does not prove what it must.
    """
    as2 = _library()
    ours, theirs = _Party(as2, "sender"), _Party(as2, "recipient")
    begin, done = perf_counter(), 0
    while (now := perf_counter()) - begin < seconds:
        sent = as2.Message(ours.own, theirs.partner)
        sent.build(bytes(PAYLOAD_BYTES), filename="order.bin", content_type="application/octet-stream")
        came = as2.Message()
        status, problem, receipt = came.parse(
            sent.headers_str + b"\r\n" + sent.content,
            find_org_cb=lambda _: theirs.own,
            find_partner_cb=lambda _: ours.partner,
        )
        if status != "processed":
            raise RuntimeError(f"the message was not taken: {problem}")
        status, detail = as2.Mdn().parse(receipt.headers_str + b"\r\n" + receipt.content, lambda _id, _to: sent)  # noqa: B023  at once
        if status != "processed":
            raise RuntimeError(f"the receipt was not taken: {detail}")
        done += 1
    return done / (now - begin)


class _Party:
    """One side: its keys, and what the other side knows of it."""

    def __init__(self, as2: Any, name: str) -> None:  # noqa: ANN401  pyas2lib has no types
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate
        self.own = as2.Organization(as2_name=name, sign_key=pem, decrypt_key=pem)
        self.partner = as2.Partner(
            as2_name=name,
            verify_cert=certificate,
            encrypt_cert=certificate,
            validate_certs=False,
            sign=True,
            encrypt=True,
            enc_alg="aes_256_cbc",
            digest_alg="sha256",
            mdn_mode="SYNC",
            mdn_digest_alg="sha256",
        )


def _library() -> Any:  # noqa: ANN401  pyas2lib has no types
    """Import pyas2lib.

    The library below it, oscrypto 1.3, takes no OpenSSL whose third number has two digits. While it is imported, it is
    told the first of them; nothing that it does depends on that number.
    """
    search = re.search

    def forgiving(pattern: Any, text: Any, flags: int = 0) -> Any:  # noqa: ANN401  as re.search
        found = search(pattern, text, flags)
        return found or (_OPENSSL.search(text) if isinstance(text, str) and text.startswith("OpenSSL ") else None)

    re.search = forgiving  # type: ignore[assignment]  # it takes what that takes
    try:
        from pyas2lib import as2  # noqa: PLC0415  of the extra `bench`
    finally:
        re.search = search
    return as2


if __name__ == "__main__":
    say(json.dumps(rate(float(sys.argv[1]))))
