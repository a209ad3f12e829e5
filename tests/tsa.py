"""A timestamp authority, with a root of its own, that says whatever it is told to.

It shares nothing with the library that reads its answers: ASN.1 by asn1crypto, keys by cryptography.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gateway import keys
from gateway.clock import Clock, system_clock

Answer = Callable[[bytes], bytes]


@dataclass
class Authority:
    """A timestamp authority.

    Args:
        clock: what time it states.
        purpose: what its certificate is for.
        valid: for how long before and after now its certificates are.
        status: what it answers.
        name: of its root.
    """

    clock: Clock = system_clock
    purpose: ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING
    valid: tuple[timedelta, timedelta] = (timedelta(days=1), timedelta(days=1))
    status: str = "granted"
    name: str = "Root of time"
    _root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @cached_property
    def root(self) -> x509.Certificate:
        ours = self._named(self.name, self._root_key.public_key())
        return ours.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._root_key, hashes.SHA256()
        )

    @cached_property
    def certificate(self) -> x509.Certificate:
        ours = self._named("Time", self._key.public_key())
        return ours.add_extension(x509.ExtendedKeyUsage([self.purpose]), critical=True).sign(
            self._root_key, hashes.SHA256()
        )

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def answer(self, raw: bytes) -> bytes:
        """Answer a question."""
        if self.status != "granted":
            said = tsp.PKIStatusInfo({"status": self.status}).dump()
            return b"\x30" + bytes([len(said)]) + bytes(said)  # asn1crypto has no answer without a token
        asked = tsp.TimeStampReq.load(raw)
        said = {
            "version": "v1",
            "policy": "1.2.3.4.1",
            "message_imprint": asked["message_imprint"],
            "serial_number": 1,
            "gen_time": self.clock().replace(microsecond=0),
            "nonce": asked["nonce"].native,
        }
        content = cms.ContentInfo({"content_type": "signed_data", "content": self._signed(tsp.TSTInfo(said).dump())})
        response = {"status": {"status": "granted", "status_string": ["with our compliments"]}}
        return bytes(tsp.TimeStampResp(response | {"time_stamp_token": content}).dump())

    def _signed(self, info: bytes) -> cms.SignedData:
        certificate = asn1.Certificate.load(self.certificate.public_bytes(Encoding.DER))
        digest = {"algorithm": "sha256"}
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "message_digest", "values": [sha256(info).digest()]},
                {
                    "type": "signing_certificate_v2",
                    "values": [{"certs": [{"cert_hash": sha256(certificate.dump()).digest()}]}],
                },
            ]
        )
        signer = {
            "version": "v1",
            "sid": {
                "issuer_and_serial_number": {
                    "issuer": certificate.issuer,
                    "serial_number": certificate.serial_number,
                }
            },
            "digest_algorithm": digest,
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": self._key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
        }
        return cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [digest],
                "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(info)},
                "certificates": [certificate],
                "signer_infos": [signer],
            }
        )

    def _named(self, name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = system_clock()
        before, after = self.valid
        return x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - before,
            not_valid_after=now + after,
        )


def tls_certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    now = system_clock()
    ours = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    ours = ours.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=1))
    ours = ours.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    ours = ours.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    path = folder / "server.pem"
    path.write_bytes(ours.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    keys.save_tls_key(path.with_suffix(".key"), key)
    return path


@contextmanager
def served(
    answer: Answer,
    status: int = 200,
    kind: str = "application/timestamp-reply",
    tls: Path | None = None,
    drips: bool = False,
) -> Iterator[str]:
    """Yield the address of a server that answers questions.

    Args:
        answer: to one.
        status: of HTTP.
        kind: what it says that its answers are.
        tls: its certificate, for HTTPS.
        drips: whether it goes on for ever after its answer, a byte now and then.
    """
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if not drips:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            with suppress(OSError):
                while drips and not over.wait(0.05):
                    self.wfile.write(b"0")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls, tls.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}/tsa"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
