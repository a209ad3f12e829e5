"""Attacks on enrolment, renewal and revocation, by name. After each the registry keeps what it kept before.

The wire's own bounds are asked at the real doors: tests/integration/test_enrolment_door.py.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey
from rogatory.v1 import enrolment_pb2 as pb
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Targets

from gateway import codec, signature
from gateway.authenticate import authenticate
from gateway.clock import to_micros
from gateway.errors import ErrorCode, GatewayError
from gateway.formats.codes import Code
from gateway.identity import Address, certificate_fingerprint, spiffe_id
from gateway.registry import applying, proofs, revoking, roll
from gateway.registry.codes import code_digest
from gateway.registry.keys import RegistryKeys
from gateway.registry.office import Office
from gateway.signature import Domain, key_id
from gateway.store.registry import StoredDecision, StoredInvitation, StoredList, StoredRevocation
from gateway.trust.lists import MAX_VERSION, SignedList
from gateway.trust.problem import Problem, Reason
from tests import office, stores, world
from tests.office import (
    FEDERATION,
    FOREIGN_REGISTRAR,
    NEWCOMER,
    PUBLISHED_VERSION,
    REGISTRAR,
    SECOND,
    Applicant,
    Bench,
    application_id,
    decision,
    revocation,
)
from tests.world import NOW

THIEF = Applicant(name="thief")
LOW_ORDER = bytes(32)
Builder = x509.CertificateSigningRequestBuilder


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with office.office(tmp_path) as made:
        yield made


async def refused(bench: Bench, attack: Any, code: ErrorCode, field: str) -> GatewayError:
    """Attack; it is refused with that code, and nothing of it stays."""
    before = bench.rows()
    with pytest.raises(GatewayError) as caught:
        await attack
    assert (caught.value.code, caught.value.field) == (code, field)
    assert bench.rows() == before
    return caught.value


# Certificate requests


def csr(
    *names: x509.GeneralName, subject: str = NEWCOMER, key: Any = None, digest: Any = None, **more: x509.ExtensionType
) -> bytes:
    builder = Builder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in more.values():
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key or office.tls_key("newcomer"), digest or SHA256()).public_bytes(Encoding.DER)


def uri(address: str = NEWCOMER, federation: str = FEDERATION) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(spiffe_id(Address.parse(address), federation))


OWN = uri()
RIGHTLY = csr(OWN)
USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def two_subjects() -> bytes:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in (NEWCOMER, world.COURT)]
    builder = Builder().subject_name(x509.Name(names))
    made = builder.add_extension(x509.SubjectAlternativeName([OWN]), critical=False)
    return made.sign(office.tls_key("newcomer"), SHA256()).public_bytes(Encoding.DER)


def with_attribute() -> bytes:
    builder = Builder().subject_name(x509.Name([])).add_attribute(x509.ObjectIdentifier("1.2.840.113549.1.9.7"), b"x")
    made = builder.add_extension(x509.SubjectAlternativeName([OWN]), critical=False)
    return made.sign(office.tls_key("newcomer"), SHA256()).public_bytes(Encoding.DER)


REQUESTS: dict[str, Callable[[], bytes]] = {
    "another's name": lambda: csr(uri(world.COURT)),
    "another country's name": lambda: csr(uri("de/exchange-lhv")),
    "another federation's name": lambda: csr(uri(federation="rogatory.evil")),
    "the name of the node": lambda: csr(x509.UniformResourceIdentifier(f"spiffe://ee.{FEDERATION}/node")),
    "two names": lambda: csr(OWN, uri(world.COURT)),
    "its own name twice": lambda: csr(OWN, OWN),
    "a host name beside": lambda: csr(OWN, x509.DNSName(f"node.ee.{FEDERATION}")),
    "an address beside": lambda: csr(OWN, x509.RFC822Name("a@b.example")),
    "no name": csr,
    "another's name as subject": lambda: csr(OWN, subject=world.COURT),
    "two subjects": two_subjects,
    "a CA's constraints": lambda: csr(OWN, basic=x509.BasicConstraints(ca=True, path_length=None)),
    "a CA's key usage": lambda: csr(OWN, usage=USAGE),
    "a server's key usage": lambda: csr(OWN, usage=x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH])),
    "name constraints": lambda: csr(OWN, names=x509.NameConstraints([OWN], None)),
    "another attribute": with_attribute,
    "an RSA key": lambda: csr(OWN, key=rsa.generate_private_key(65537, 2048)),
    "a P-384 key": lambda: csr(OWN, key=ec.generate_private_key(ec.SECP384R1())),
    "a secp256k1 key": lambda: csr(OWN, key=ec.generate_private_key(ec.SECP256K1())),
    "another digest": lambda: csr(OWN, digest=SHA384()),
    "a broken signature": lambda: RIGHTLY[:-1] + bytes([RIGHTLY[-1] ^ 1]),
    "somebody else's key in it": lambda: RIGHTLY.replace(_point("newcomer"), _point("thief")),
    "something after it": lambda: RIGHTLY + b"\0",
    "PEM": lambda: x509.load_der_x509_csr(RIGHTLY).public_bytes(Encoding.PEM),
    "nothing of the kind": lambda: b"\x30\x80 certificate",
    "four kilobytes of names": lambda: csr(*[OWN] * 100)[: proofs.MAX_REQUEST_BYTES],
}


def _point(name: str) -> bytes:
    numbers = office.tls_key(name).public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@pytest.mark.parametrize("attack", REQUESTS.values(), ids=REQUESTS)
async def test_certificate_request_with(bench: Bench, attack: Callable[[], bytes]) -> None:
    applicant = Applicant()
    code = await bench.code(applicant)
    request = applicant.request(code, certificate_request=attack())
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "certificate_request")
    await bench.office.apply(applicant.request(code))  # and the code is still good


def test_certificate_request_that_is_huge_is_not_even_read() -> None:
    with pytest.raises(GatewayError) as caught:
        proofs.check_request(bytes(1 << 20), Address.parse(NEWCOMER), FEDERATION)
    assert caught.value.code is ErrorCode.BAD_PROOF


# Codes


async def test_code_that_nobody_made(bench: Bench) -> None:
    request = Applicant().request("AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA")
    await refused(bench, bench.office.apply(request), ErrorCode.ENROLMENT_CODE, "code")


async def test_code_in_other_letters(bench: Bench) -> None:
    code = (await bench.code(Applicant())).lower()
    await refused(bench, bench.office.apply(Applicant().request(code)), ErrorCode.ENROLMENT_CODE, "code")


async def test_digest_of_a_code_that_was_read_in_the_store(bench: Bench) -> None:
    await bench.code(Applicant())
    digest = bench.rows()["invitations"][0][0]
    request = Applicant().request(digest.hex(), code_digest=digest)
    await refused(bench, bench.office.apply(request), ErrorCode.ENROLMENT_CODE, "code")


async def test_reused_enrolment_code_with_other_keys(bench: Bench) -> None:
    code = await bench.code(Applicant())
    await bench.office.apply(Applicant().request(code))
    await refused(bench, bench.office.apply(THIEF.request(code)), ErrorCode.ENROLMENT_CODE, "code")


async def test_code_of_a_rejected_application_reused(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    await bench.office.apply(request)
    await bench.decide(application_id(request), approved=False)
    await refused(bench, bench.office.apply(THIEF.request(code)), ErrorCode.ENROLMENT_CODE, "code")


async def test_expired_code(bench: Bench) -> None:
    code = await bench.code(Applicant())
    bench.pass_time(hours=72)
    late = Applicant().request(code, now=bench.now)
    await refused(bench, bench.office.apply(late), ErrorCode.ENROLMENT_CODE, "code")


async def test_two_applications_race_for_one_code(bench: Bench) -> None:
    code = await bench.code(Applicant())
    first, second = Applicant().request(code), THIEF.request(code)
    before = applying.look  # both have looked before either is kept

    def job(txn: Any) -> bool:
        return before(txn.registry, second, to_micros(NOW))

    assert await bench.writer.write(job) is False
    await bench.office.apply(first)
    checked = applying.check(second, "ee", FEDERATION, office.keys().proof)
    take = bench.office._change(lambda desk: applying.take(desk, checked, second))
    await refused(bench, take, ErrorCode.ENROLMENT_CODE, "code")


async def test_code_of_a_registrar_who_was_put_out_since(bench: Bench) -> None:
    code = await bench.code(Applicant(), SECOND)
    await bench.revoke(address=SECOND, participant=True)
    await refused(bench, bench.office.apply(Applicant().request(code)), ErrorCode.ENROLMENT_CODE, "code")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"address": "ee/exchange-other"}, "address"),
        ({"roles": ("court",), "lei": ""}, "roles"),
        ({"roles": ("investigator",)}, "roles"),
    ],
)
async def test_code_for_another_address_or_role(bench: Bench, changes: dict[str, Any], field: str) -> None:
    code = await bench.code(Applicant())
    attack = bench.office.apply(Applicant(**changes).request(code))
    await refused(bench, attack, ErrorCode.ENROLMENT_CODE, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"code_digest": bytes(32)}, ErrorCode.ENROLMENT_CODE, "code_digest"),
        ({"federation": "rogatory.evil"}, ErrorCode.ENROLMENT_CODE, "federation"),
        ({"address": "de/exchange-lhv"}, ErrorCode.NOT_PERMITTED, "address"),
        ({"address": "ee/node"}, ErrorCode.MALFORMED, "address"),
        ({"address": "EE/exchange-lhv"}, ErrorCode.MALFORMED, "address"),
        ({"roles": ("exchange", "court")}, ErrorCode.MALFORMED, "roles"),
        ({"roles": ("court", "central-authority", "investigator"), "lei": ""}, ErrorCode.MALFORMED, "roles"),
        ({"roles": ("operator", "auditor")}, ErrorCode.MALFORMED, "roles"),
        ({"roles": ("node",)}, ErrorCode.MALFORMED, "roles[0]"),
        ({"roles": ("exchange", "exchange")}, ErrorCode.MALFORMED, "roles[1]"),
        ({"roles": ("emperor",)}, ErrorCode.MALFORMED, "roles[0]"),
        ({"legal_name": "LHV\x1b[2J"}, ErrorCode.MALFORMED, "legal_name"),
        ({"legal_name": "\u3164"}, ErrorCode.MALFORMED, "legal_name"),
        ({"legal_name": "LHV \u202eknaP"}, ErrorCode.MALFORMED, "legal_name"),
        ({"legal_name": " LHV"}, ErrorCode.MALFORMED, "legal_name"),
        ({"made_at_us": to_micros(NOW + timedelta(minutes=6))}, ErrorCode.STALE, "made_at_us"),
        ({"made_at_us": to_micros(NOW - timedelta(minutes=6))}, ErrorCode.STALE, "made_at_us"),
        ({"made_at_us": (1 << 63) - 1}, ErrorCode.STALE, "made_at_us"),
        ({"signing_key": b""}, ErrorCode.MALFORMED, "signing_key"),
        ({"sealing_key": b""}, ErrorCode.MALFORMED, "sealing_key"),
        ({"sealing_key": bytes(31)}, ErrorCode.MALFORMED, "sealing_key"),
    ],
)
async def test_application_that_says_something_else(
    bench: Bench, changes: dict[str, Any], code: ErrorCode, field: str
) -> None:
    secret = await bench.code(Applicant())
    await refused(bench, bench.office.apply(Applicant().request(secret, **changes)), code, field)


@pytest.mark.parametrize(
    ("lei", "rule"),
    [
        ("", Code.LEI_FORMAT),
        ("529900T8BM49AURSDO56", Code.LEI_CHECK_DIGITS),
        ("529900t8bm49aursdo55", Code.LEI_FORMAT),
        ("529900T8BM49AURSDO5", Code.LEI_FORMAT),
    ],
)
async def test_exchange_with_a_wrong_lei(bench: Bench, lei: str, rule: Code) -> None:
    code = await bench.code(Applicant())
    refusal = await refused(bench, bench.office.apply(Applicant(lei=lei).request(code)), ErrorCode.MALFORMED, "lei")
    assert refusal.rule == rule


async def test_authority_with_a_wrong_lei(bench: Bench) -> None:
    authority = Applicant("ee/fiu-new", ("fiu",), lei="529900T8BM49AURSDO56")
    code = await bench.code(authority)
    await refused(bench, bench.office.apply(authority.request(code)), ErrorCode.MALFORMED, "lei")


# Possession


async def test_application_altered_after_it_was_signed(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    request.application = Applicant().application(code, legal_name="AS LHV Bank")
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signature")


async def test_sealing_proof_of_another_application(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    request.sealing_proof = Applicant().request(code, legal_name="AS LHV Bank").sealing_proof
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "sealing_proof")


async def test_signing_key_of_somebody_else(bench: Bench) -> None:
    code = await bench.code(Applicant())
    other = bytes(office.signing_key("somebody").verify_key)
    request = Applicant().request(code, signing_key=other)
    request.signature.key_id = key_id(other)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signature")


async def test_sealing_key_of_somebody_else(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code, sealing_key=bytes(office.sealing_key("somebody").public_key))
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "sealing_proof")


SEALING_PROOFS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda _: b"",
    "cut short": lambda raw: proofs.prove_sealing(THIEF.sealing, office.proof_public(), raw)[:-1],
    "of a key of nobody": lambda raw: proofs.prove_sealing(PrivateKey.generate(), office.proof_public(), raw),
    "to another node": lambda raw: proofs.prove_sealing(
        Applicant().sealing, bytes(proofs.proof_key(SigningKey(bytes(32))).public_key), raw
    ),
    "of the bytes, not of their digest": lambda raw: bytes(
        Box(Applicant().sealing, PublicKey(office.proof_public())).encrypt(raw[:32])
    ),
}


@pytest.mark.parametrize("attack", SEALING_PROOFS.values(), ids=SEALING_PROOFS)
async def test_sealing_proof(bench: Bench, attack: Callable[[bytes], bytes]) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    request.sealing_proof = attack(request.application)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "sealing_proof")


@pytest.mark.parametrize("public", [LOW_ORDER, bytes([1, *bytes(31)])])
async def test_sealing_key_of_low_order_that_everybody_can_open(bench: Bench, public: bytes) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code, sealing_key=public)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "sealing_proof")


async def test_signing_key_of_low_order_that_fits_any_signature(bench: Bench) -> None:
    code = await bench.code(Applicant())
    identity = bytes([1, *bytes(31)])
    request = Applicant().request(code, signing_key=identity)
    request.signature.key_id = key_id(identity)
    request.signature.signature = identity + bytes(32)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signing_key")


async def test_signature_of_another_kind_of_thing(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    signed = signature.sign(Domain.ENVELOPE, request.application, NEWCOMER, Applicant().signing)
    request.signature.CopyFrom(signed)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signature")


async def test_signature_as_one_of_a_batch(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    (signed,) = signature.sign_batch(Domain.APPLICATION, [request.application], NEWCOMER, Applicant().signing)
    request.signature.CopyFrom(signed)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signature")


async def test_signature_in_another_name(bench: Bench) -> None:
    code = await bench.code(Applicant())
    request = Applicant().request(code)
    request.signature.signer = world.COURT
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signature")


async def test_one_key_for_signing_and_sealing(bench: Bench) -> None:
    applicant = Applicant()
    both = applicant.signing.to_curve25519_private_key()
    code = await bench.code(applicant)
    request = applicant.request(code, sealing_key=bytes(both.public_key))
    request.sealing_proof = proofs.prove_sealing(both, office.proof_public(), request.application)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "sealing_key")


async def test_operator_that_brings_keys(bench: Bench) -> None:
    operator = Applicant("ee/operator-new", ("operator",), lei="")
    code = await bench.code(operator)
    await refused(bench, bench.office.apply(operator.request(code)), ErrorCode.MALFORMED, "signing_key")


@pytest.mark.parametrize("brought", ["signing_key", "sealing_key"])
async def test_operator_that_brings_one_key(bench: Bench, brought: str) -> None:
    operator = Applicant("ee/operator-new", ("operator",), lei="", has_keys=False)
    request = operator.request(await bench.code(operator), **{brought: bytes(32)})
    await refused(bench, bench.office.apply(request), ErrorCode.MALFORMED, "signing_key")


@pytest.mark.parametrize("brought", ["signature", "sealing_proof"])
async def test_operator_that_brings_a_proof_of_no_key(bench: Bench, brought: str) -> None:
    operator = Applicant("ee/operator-new", ("operator",), lei="", has_keys=False)
    code = await bench.code(operator)
    proven = replace(operator, has_keys=True).proven(operator.application(code), code)
    proven.ClearField("sealing_proof" if brought == "signature" else "signature")
    await refused(bench, bench.office.apply(proven), ErrorCode.MALFORMED, "signing_key")


async def test_address_that_came_into_use_since_its_code_was_made(bench: Bench) -> None:
    code = await bench.code(THIEF)
    second = await bench.applied(THIEF)
    await bench.decide(second)
    await bench.enrolled(Applicant())
    await refused(bench, bench.code(THIEF), ErrorCode.NOT_PERMITTED, "address")
    await refused(bench, bench.office.apply(THIEF.request(code)), ErrorCode.NOT_PERMITTED, "address")
    await refused(bench, bench.decide(second, SECOND), ErrorCode.NOT_PERMITTED, "address")


@pytest.mark.parametrize("owner", [world.COURT, world.FOREIGN_COURT, "de/node"])
async def test_signing_key_that_is_listed_for_somebody_else(bench: Bench, owner: str) -> None:
    """Even by its own holder: one key is one participant's."""
    key = world.signing_key(owner)
    code = await bench.code(Applicant())
    request = Applicant().request(code, signing_key=bytes(key.verify_key))
    request.signature.CopyFrom(signature.sign(Domain.APPLICATION, request.application, NEWCOMER, key))
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "signing_key")


async def test_sealing_key_that_is_listed_for_somebody_else(bench: Bench) -> None:
    key = world.sealing_key(world.FOREIGN_COURT)
    code = await bench.code(Applicant())
    request = Applicant().request(code, sealing_key=bytes(key.public_key))
    request.sealing_proof = proofs.prove_sealing(key, office.proof_public(), request.application)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "sealing_key")


async def test_same_key_for_signing_of_two_participants(bench: Bench) -> None:
    """Both apply before either is in."""
    authority = Applicant("ee/fiu-new", ("fiu",), "fiu", lei="")
    twin = Applicant("ee/fiu-twin", ("fiu",), "twin", lei="")
    code = await bench.code(twin)
    request = twin.request(code, signing_key=bytes(authority.signing.verify_key))
    request.signature.CopyFrom(signature.sign(Domain.APPLICATION, request.application, twin.address, authority.signing))
    first = await bench.applied(authority)
    await bench.office.apply(request)
    for about in (first, application_id(request)):
        await bench.decide(about)
    await bench.decide(first, SECOND)
    await refused(bench, bench.decide(application_id(request), SECOND), ErrorCode.BAD_PROOF, "signing_key")


async def test_same_tls_key_for_two_participants(bench: Bench) -> None:
    await bench.enrolled(Applicant("ee/fiu-new", ("fiu",), "fiu", lei=""))
    code = await bench.code(Applicant())
    shared = csr(OWN, key=office.tls_key("fiu"))
    request = Applicant().request(code, certificate_request=shared)
    await refused(bench, bench.office.apply(request), ErrorCode.BAD_PROOF, "certificate_request")


async def test_revoked_participant_comes_back_with_its_stolen_keys(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    await bench.revoke(address=NEWCOMER, participant=True)
    code = await bench.code(Applicant())
    await refused(bench, bench.office.apply(Applicant().request(code)), ErrorCode.BAD_PROOF, "signing_key")
    fresh = Applicant(name="fresh").request(code, certificate_request=Applicant().csr())
    await refused(bench, bench.office.apply(fresh), ErrorCode.BAD_PROOF, "certificate_request")


async def test_revoked_participant_whose_certificates_were_issued_elsewhere_stays_out(bench: Bench) -> None:
    await bench.revoke(address=world.EXCHANGE, participant=True)
    await refused(bench, bench.code(Applicant(world.EXCHANGE)), ErrorCode.NOT_PERMITTED, "address")


# Invitations


@pytest.mark.parametrize(
    "peer", [world.COURT, world.EXCHANGE, "ee/operator", "ee/auditor", FOREIGN_REGISTRAR, "de/node", "ee/node"]
)
async def test_non_registrar_invites(bench: Bench, peer: str) -> None:
    await refused(bench, bench.code(Applicant(), peer), ErrorCode.NOT_PERMITTED, "")
    with pytest.raises(GatewayError) as caught:
        await bench.office.applications(bench.peer(peer), pb.ListApplicationsRequest())
    assert caught.value.code is ErrorCode.NOT_PERMITTED


async def test_registrar_who_was_put_out_a_moment_ago_invites(bench: Bench) -> None:
    """Its call was let in by the directory of before."""
    peer = bench.peer(SECOND)
    await bench.revoke(address=SECOND, participant=True)
    request = pb.InviteRequest(address=NEWCOMER, roles=["exchange"])
    await refused(bench, bench.office.invite(peer, request), ErrorCode.REVOKED, "address")


@pytest.mark.parametrize(
    ("address", "roles", "code"),
    [
        (world.COURT, ("court",), ErrorCode.NOT_PERMITTED),
        ("de/court-new", ("court",), ErrorCode.NOT_PERMITTED),
        ("ee/node", ("court",), ErrorCode.MALFORMED),
        ("ee/new", ("node",), ErrorCode.MALFORMED),
        ("ee/new", ("exchange", "court"), ErrorCode.MALFORMED),
        ("ee/new", ("court", "central-authority", "investigator"), ErrorCode.MALFORMED),
    ],
)
async def test_invitation_for_what_no_registrar_gives(
    bench: Bench, address: str, roles: tuple[str, ...], code: ErrorCode
) -> None:
    before = bench.rows()
    with pytest.raises(GatewayError) as caught:
        await bench.code(Applicant(address, roles))
    assert caught.value.code is code
    assert bench.rows() == before


# Decisions


async def test_one_registrar_approves_twice(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    await bench.decide(about)
    again = bench.decide(about, reason="once more")
    await refused(bench, again, ErrorCode.FOUR_EYES, "registrar")


async def test_one_registrar_approves_in_anothers_name(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    await bench.decide(about)
    forged = decision(about, SECOND)
    by_first = signature.sign(Domain.DECISION, forged.decision.decision, SECOND, world.signing_key(REGISTRAR))
    forged.decision.signature.CopyFrom(by_first)
    bringing = bench.office.decide(bench.peer(REGISTRAR), forged)
    await refused(bench, bringing, ErrorCode.NOT_PERMITTED, "registrar")
    # And with the other's certificate, but without its key.
    bringing = bench.office.decide(bench.peer(SECOND), forged)
    await refused(bench, bringing, ErrorCode.BAD_SIGNATURE, "signature.key_id")


async def test_registrar_of_another_node_approves(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    attack = bench.decide(about, FOREIGN_REGISTRAR)
    await refused(bench, attack, ErrorCode.NOT_PERMITTED, "")


async def test_court_approves(bench: Bench) -> None:
    await refused(bench, bench.decide(await bench.applied(Applicant()), world.COURT), ErrorCode.NOT_PERMITTED, "")


async def test_registrar_approves_itself(bench: Bench) -> None:
    """Two invitations for one address; by the first it became a registrar, and now it decides on the second."""
    own = Applicant(SECOND, ("registrar",), "second", lei="")
    request = own.request("AAAA")
    about = application_id(request)

    def invite(txn: Any) -> None:
        roles, now_us = frozenset({"registrar"}), to_micros(NOW)
        digest = code_digest("AAAA")
        txn.registry.add_invitation(StoredInvitation(digest, SECOND, roles, REGISTRAR, now_us, now_us + 1))
        txn.registry.add_application(about, SECOND, request.application, b"")
        txn.registry.use_invitation(digest, about)

    await bench.writer.write(invite)
    await refused(bench, bench.decide(about, SECOND), ErrorCode.FOUR_EYES, "registrar")


async def test_approval_replayed_for_another_application(bench: Bench) -> None:
    mine, other = await bench.applied(Applicant()), await bench.applied(Applicant("ee/exchange-other", name="other"))
    approval = decision(mine, SECOND)
    await bench.office.decide(bench.peer(SECOND), approval)
    bent = pb.Decision.FromString(approval.decision.decision)
    bent.application_id = other
    approval.decision.decision = bent.SerializeToString(deterministic=True)
    replay = bench.office.decide(bench.peer(SECOND), approval)
    refusal = await refused(bench, replay, ErrorCode.BAD_SIGNATURE, "")
    assert refusal.code is ErrorCode.BAD_SIGNATURE


async def test_approval_held_back_and_brought_when_it_suits(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    approval = decision(about)
    bench.pass_time(minutes=6)
    attack = bench.office.decide(bench.peer(REGISTRAR), approval)
    await refused(bench, attack, ErrorCode.STALE, "at_us")


async def test_rejection_turned_into_an_approval(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    request = decision(about, approved=False)
    bent = pb.Decision.FromString(request.decision.decision)
    bent.approved = True
    request.decision.decision = bent.SerializeToString(deterministic=True)
    await refused(bench, bench.office.decide(bench.peer(REGISTRAR), request), ErrorCode.BAD_SIGNATURE, "")


async def test_revocation_passed_off_as_an_approval(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    request = decision(about)
    signed = signature.sign(Domain.REVOCATION, request.decision.decision, REGISTRAR, world.signing_key(REGISTRAR))
    request.decision.signature.CopyFrom(signed)
    await refused(bench, bench.office.decide(bench.peer(REGISTRAR), request), ErrorCode.BAD_SIGNATURE, "")


async def test_decision_signed_as_one_of_a_batch(bench: Bench) -> None:
    """A batch says that its signer signed many things at once; a registrar looks at each."""
    request = decision(await bench.applied(Applicant()))
    raw = request.decision.decision
    (signed,) = signature.sign_batch(Domain.DECISION, [raw], REGISTRAR, world.signing_key(REGISTRAR))
    request.decision.signature.CopyFrom(signed)
    attack = bench.office.decide(bench.peer(REGISTRAR), request)
    await refused(bench, attack, ErrorCode.BAD_SIGNATURE, "signature")


async def test_decision_whose_signature_is_in_anothers_name(bench: Bench) -> None:
    request = decision(await bench.applied(Applicant()))
    request.decision.signature.signer = SECOND
    attack = bench.office.decide(bench.peer(REGISTRAR), request)
    await refused(bench, attack, ErrorCode.BAD_SIGNATURE, "signature")


async def test_decision_with_something_hidden_in_it(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    raw = decision(about).decision.decision + b"\x7a\x01x"  # field 15, unknown
    signed = signature.sign(Domain.DECISION, raw, REGISTRAR, world.signing_key(REGISTRAR))
    request = pb.DecideRequest(decision=pb.SignedDecision(decision=raw, signature=signed))
    await refused(bench, bench.office.decide(bench.peer(REGISTRAR), request), ErrorCode.MALFORMED, "")


async def test_decision_signed_by_a_revoked_registrar_key(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    key = bench.entry(SECOND).signing_keys[0]
    await bench.revoke(address=SECOND, key_id=key_id(key.public))
    await refused(bench, bench.decide(about, SECOND), ErrorCode.KEY_REVOKED, "signature.key_id")


@pytest.mark.parametrize("what", ["participant", "key"])
async def test_approval_of_a_registrar_who_was_found_to_be_a_thief_does_not_count(bench: Bench, what: str) -> None:
    about = await bench.applied(Applicant())
    await bench.decide(about, SECOND)
    moment = to_micros(NOW)
    key = bench.entry(SECOND).signing_keys[0]
    if what == "participant":
        await bench.revoke(address=SECOND, participant=True)
    else:
        await bench.revoke(address=SECOND, key_id=key_id(key.public), not_trusted_after_us=moment)
    answer = await bench.decide(about)
    assert (answer.state, answer.approvals) == (pb.APPLICATION_STATE_PENDING, 1)


# A registrar who was put out, and who came after him

THIRD = Applicant("ee/registrar-3", ("registrar",), "third", lei="")
SUCCESSOR = Applicant("ee/registrar-3", ("registrar",), "successor", lei="")


async def succeeded(bench: Bench) -> None:
    """Put the third registrar out, and take somebody in at his address."""
    bench.pass_time(minutes=10)
    await bench.revoke(address=THIRD.address, participant=True)
    bench.pass_time(hours=1)
    await bench.enrolled(SUCCESSOR)


async def test_approval_of_a_bribed_registrar_comes_back_with_his_successor(bench: Bench) -> None:
    await bench.enrolled(THIRD)
    about = await bench.applied(Applicant())
    assert (await bench.decide(about, THIRD.address, key=THIRD.signing)).approvals == 1
    await succeeded(bench)
    assert (await bench.office.outcome(about)).approvals == 0
    answer = await bench.decide(about)
    assert (answer.state, answer.approvals) == (pb.APPLICATION_STATE_PENDING, 1)


@pytest.mark.parametrize("approved", [True, False])
async def test_successor_of_a_bribed_registrar_decides_anew_and_both_words_are_kept(
    bench: Bench, approved: bool
) -> None:
    await bench.enrolled(THIRD)
    about = await bench.applied(Applicant())
    await bench.decide(about, THIRD.address, key=THIRD.signing)
    await succeeded(bench)
    answer = await bench.decide(about, THIRD.address, key=SUCCESSOR.signing, approved=approved)
    assert answer.state == (pb.APPLICATION_STATE_PENDING if approved else pb.APPLICATION_STATE_REJECTED)
    assert answer.approvals == approved
    by = {row[1:3] for row in bench.rows()["decisions"] if row[0] == about}
    assert by == {(THIRD.address, key_id(bytes(each.signing.verify_key))) for each in (SUCCESSOR, THIRD)}
    again = bench.decide(about, THIRD.address, key=SUCCESSOR.signing, reason="once more")
    await refused(bench, again, ErrorCode.FOUR_EYES, "registrar")


async def test_rotation_of_a_registrars_key_takes_no_approval_back_and_gives_no_second_one(bench: Bench) -> None:
    await bench.enrolled(THIRD)
    about = await bench.applied(Applicant())
    await bench.decide(about, THIRD.address, key=THIRD.signing)
    new = Applicant(THIRD.address, ("registrar",), "third, next")
    await bench.office.renew(bench.peer(THIRD.address), THIRD.renew(new))
    bench.pass_time(days=2)  # the first key has ended
    assert (await bench.office.outcome(about)).approvals == 1
    again = bench.decide(about, THIRD.address, key=new.signing)
    await refused(bench, again, ErrorCode.FOUR_EYES, "registrar")
    assert (await bench.decide(about)).state == pb.APPLICATION_STATE_APPROVED


async def test_code_of_a_bribed_registrar_comes_back_with_his_successor(bench: Bench) -> None:
    await bench.enrolled(THIRD)
    code = await bench.code(Applicant(), THIRD.address)
    await succeeded(bench)
    attack = bench.office.apply(Applicant().request(code, now=bench.now))
    await refused(bench, attack, ErrorCode.ENROLMENT_CODE, "code")
    code = await bench.code(Applicant(), THIRD.address)
    await bench.office.apply(Applicant().request(code, now=bench.now))


async def test_bribed_registrar_uses_up_the_invitations_of_all(bench: Bench) -> None:
    await bench.enrolled(THIRD)
    for number in range(applying.MAX_OPEN_INVITATIONS):
        await bench.code(Applicant(f"ee/shop-{number}"), THIRD.address)
    attack = bench.code(Applicant("ee/exchange-more"), THIRD.address)
    await refused(bench, attack, ErrorCode.OVERLOADED, "MAX_OPEN_INVITATIONS")
    await bench.code(Applicant())
    await succeeded(bench)
    await bench.code(Applicant("ee/exchange-more"), THIRD.address)


async def test_stolen_certificate_that_was_revoked_a_moment_ago_is_used_on_an_open_connection(bench: Bench) -> None:
    certificate = await bench.enrolled(THIRD)
    about = await bench.applied(Applicant())
    peer, key = bench.peer(THIRD.address, certificate), THIRD.signing
    await bench.revoke(address=THIRD.address, certificate=certificate_fingerprint(certificate))
    bench.pass_time(minutes=1)
    own = decision(about, THIRD.address, now=bench.now, key=key)
    out = revocation(THIRD.address, bench.now, key, address=world.COURT, participant=True)
    attacks: list[Any] = [
        bench.office.invite(peer, pb.InviteRequest(address="ee/new", roles=["fiu"])),
        bench.office.decide(peer, own),
        bench.office.revoke(peer, out),
        bench.office.renew(peer, THIRD.renew(THIEF, now=bench.now)),
        bench.office.applications(peer, pb.ListApplicationsRequest()),
    ]
    for attack in attacks:
        await refused(bench, attack, ErrorCode.REVOKED, "certificate")
    await bench.office.decide(bench.peer(THIRD.address), own)  # with another certificate it may


async def test_approval_after_a_rejection(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    await bench.decide(about, approved=False)
    await refused(bench, bench.decide(about, SECOND), ErrorCode.ILLEGAL_TRANSITION, "application_id")


async def test_decision_on_what_nobody_asked_for(bench: Bench) -> None:
    await refused(bench, bench.decide(bytes(32)), ErrorCode.NOT_FOUND, "application_id")


@pytest.mark.parametrize("reason", ["", "   ", "\u3164\u3164\u3164", "\u2800"])
async def test_rejection_whose_reason_nobody_can_see(bench: Bench, reason: str) -> None:
    about = await bench.applied(Applicant())
    await refused(bench, bench.decide(about, approved=False, reason=reason), ErrorCode.MALFORMED, "reason")


@pytest.mark.parametrize("approved", [True, False])
async def test_reason_that_draws_on_the_applicants_screen(bench: Bench, approved: bool) -> None:
    about = await bench.applied(Applicant())
    attack = bench.decide(about, approved=approved, reason="\x1b[2Japproved")
    await refused(bench, attack, ErrorCode.MALFORMED, "reason")


# Renewals


@pytest.fixture
async def enrolled(bench: Bench) -> Bench:
    await bench.enrolled(Applicant())
    return bench


async def test_renewal_signed_by_the_thiefs_own_new_key_only(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF)
    del request.signatures[0]
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_SIGNATURE, "signatures")


async def test_renewal_signed_twice_by_the_thiefs_own_new_key(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF)
    request.signatures[0].CopyFrom(request.signatures[1])
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_SIGNATURE, "signatures")


async def test_renewal_signed_by_two_new_keys_of_the_thief(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF)
    other = office.signing_key("other")
    request.signatures[0].CopyFrom(signature.sign(Domain.RENEWAL, request.renewal, NEWCOMER, other))
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_SIGNATURE, "signature.key_id")


async def test_renewal_of_the_certificate_alone_by_who_stole_the_tls_key(enrolled: Bench) -> None:
    renewal = Applicant().renewal(certificate_request=THIEF.csr())
    for signatures in ([], [signature.sign(Domain.RENEWAL, renewal, NEWCOMER, THIEF.signing)]):
        request = pb.RenewRequest(renewal=renewal, signatures=signatures)
        attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
        field = "signature.key_id" if signatures else "signatures"
        await refused(enrolled, attack, ErrorCode.BAD_SIGNATURE, field)


async def test_renewal_for_another_address(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF)
    attack = enrolled.office.renew(enrolled.peer(world.COURT), request)
    await refused(enrolled, attack, ErrorCode.NOT_PERMITTED, "address")


@pytest.mark.parametrize("peer", ["ee/node", "de/node", world.FOREIGN_COURT])
async def test_renewal_by_a_node_or_a_foreigner(enrolled: Bench, peer: str) -> None:
    request = Applicant(peer).renewal(certificate_request=b"x")
    attack = enrolled.office.renew(enrolled.peer(peer), pb.RenewRequest(renewal=request))
    await refused(enrolled, attack, ErrorCode.NOT_PERMITTED, "address")


async def test_renewal_with_the_certificate_of_another_name(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF, certificate_request=csr(uri(world.COURT), key=THIEF.tls))
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "certificate_request")


async def test_renewal_with_a_new_key_that_nobody_holds(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF)
    request.signatures[1].signature = bytes(64)
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "signature")


async def test_renewal_with_the_sealing_key_of_somebody_else(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF, sealing_key=bytes(world.sealing_key(world.COURT).public_key))
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "sealing_proof")


async def test_renewal_with_a_key_that_is_listed_for_somebody_else(enrolled: Bench) -> None:
    key = world.signing_key(world.COURT)
    renewal = Applicant().renewal(signing_key=bytes(key.verify_key))
    signatures = [signature.sign(Domain.RENEWAL, renewal, NEWCOMER, each) for each in (Applicant().signing, key)]
    request = pb.RenewRequest(renewal=renewal, signatures=signatures)
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "signing_key")


async def test_renewal_with_the_sealing_key_that_is_the_signing_key(enrolled: Bench) -> None:
    both = Applicant().signing.to_curve25519_private_key()
    renewal = Applicant().renewal(sealing_key=bytes(both.public_key))
    request = pb.RenewRequest(
        renewal=renewal,
        signatures=[signature.sign(Domain.RENEWAL, renewal, NEWCOMER, Applicant().signing)],
        sealing_proof=proofs.prove_sealing(both, office.proof_public(), renewal),
    )
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "sealing_key")


async def test_renewal_with_the_signing_key_that_is_its_sealing_key(enrolled: Bench) -> None:
    key = office.signing_key("both")
    both = key.to_curve25519_private_key()
    renewal = Applicant().renewal(sealing_key=bytes(both.public_key))
    signed = signature.sign(Domain.RENEWAL, renewal, NEWCOMER, Applicant().signing)
    proof = proofs.prove_sealing(both, office.proof_public(), renewal)
    first = pb.RenewRequest(renewal=renewal, signatures=[signed], sealing_proof=proof)
    await enrolled.office.renew(enrolled.peer(NEWCOMER), first)
    renewal = Applicant().renewal(signing_key=bytes(key.verify_key))
    signatures = [signature.sign(Domain.RENEWAL, renewal, NEWCOMER, each) for each in (Applicant().signing, key)]
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), pb.RenewRequest(renewal=renewal, signatures=signatures))
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "sealing_key")


async def test_renewal_with_the_tls_key_of_somebody_else(enrolled: Bench) -> None:
    await enrolled.enrolled(Applicant("ee/fiu-new", ("fiu",), "fiu", lei=""))
    renewal = Applicant().renewal(certificate_request=csr(OWN, key=office.tls_key("fiu")))
    signed = signature.sign(Domain.RENEWAL, renewal, NEWCOMER, Applicant().signing)
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), pb.RenewRequest(renewal=renewal, signatures=[signed]))
    await refused(enrolled, attack, ErrorCode.BAD_PROOF, "certificate_request")


@pytest.mark.parametrize("count", [1, 3])
async def test_renewal_of_a_signing_key_with_fewer_or_more_than_two_signatures(enrolled: Bench, count: int) -> None:
    request = Applicant().renew(THIEF)
    by_old, by_new = request.signatures
    del request.signatures[:]
    request.signatures.extend([by_old, by_new, by_new][:count])
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_SIGNATURE, "signatures")


async def test_renewal_by_a_stolen_key_that_is_revoked(enrolled: Bench) -> None:
    key = enrolled.entry(NEWCOMER).signing_keys[0]
    await enrolled.revoke(address=NEWCOMER, key_id=key_id(key.public))
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), Applicant().renew(THIEF))
    await refused(enrolled, attack, ErrorCode.KEY_REVOKED, "signature.key_id")


async def test_renewal_by_who_was_put_out_a_moment_ago(enrolled: Bench) -> None:
    peer = enrolled.peer(NEWCOMER)
    await enrolled.revoke(address=NEWCOMER, participant=True)
    await refused(enrolled, enrolled.office.renew(peer, Applicant().renew(THIEF)), ErrorCode.REVOKED, "address")


async def test_renewal_replayed_later(enrolled: Bench) -> None:
    request = Applicant().renew(Applicant(name="next"))
    await enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    enrolled.pass_time(minutes=6)
    replay = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, replay, ErrorCode.STALE, "made_at_us")


async def test_application_passed_off_as_a_renewal(enrolled: Bench) -> None:
    request = Applicant().renew(THIEF)
    signed = signature.sign(Domain.APPLICATION, request.renewal, NEWCOMER, Applicant().signing)
    request.signatures[0].CopyFrom(signed)
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.BAD_SIGNATURE, "")


@pytest.mark.parametrize("changes", [{"signing_key": bytes(31)}, {"sealing_key": bytes(31)}])
async def test_renewal_with_a_key_of_another_length(enrolled: Bench, changes: dict[str, Any]) -> None:
    request = Applicant().renew(THIEF, **changes)
    if "signing_key" in changes:
        request.signatures[1].key_id = key_id(changes["signing_key"])
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.MALFORMED, next(iter(changes)))


async def test_renewal_with_a_proof_of_a_key_that_it_does_not_bring(enrolled: Bench) -> None:
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), Applicant().renew(THIEF, sealing_key=b""))
    await refused(enrolled, attack, ErrorCode.MALFORMED, "sealing_proof")


async def test_retired_key_of_its_own_listed_again(enrolled: Bench) -> None:
    await enrolled.office.renew(enrolled.peer(NEWCOMER), Applicant().renew(THIEF))
    enrolled.pass_time(days=2)  # the first keys have ended
    back = THIEF.renew(Applicant(), now=enrolled.now)
    await refused(enrolled, enrolled.office.renew(enrolled.peer(NEWCOMER), back), ErrorCode.BAD_PROOF, "signing_key")


async def test_revoked_key_of_its_own_listed_again(enrolled: Bench) -> None:
    key = enrolled.entry(NEWCOMER).signing_keys[0]
    await enrolled.office.renew(enrolled.peer(NEWCOMER), Applicant().renew(Applicant(name="next")))
    enrolled.pass_time(minutes=2)  # the next is valid, and the first one still
    await enrolled.revoke(address=NEWCOMER, key_id=key_id(key.public))
    back = Applicant(name="next").renew(Applicant(), now=enrolled.now)
    await refused(enrolled, enrolled.office.renew(enrolled.peer(NEWCOMER), back), ErrorCode.BAD_PROOF, "signing_key")


async def test_renewal_of_nothing(enrolled: Bench) -> None:
    request = pb.RenewRequest(renewal=Applicant().renewal())
    attack = enrolled.office.renew(enrolled.peer(NEWCOMER), request)
    await refused(enrolled, attack, ErrorCode.MALFORMED, "certificate_request")


async def test_operator_takes_keys_at_its_renewal(bench: Bench) -> None:
    operator = Applicant("ee/operator-new", ("operator",), "operator", lei="", has_keys=False)
    await bench.enrolled(operator)
    attack = bench.office.renew(bench.peer(operator.address), operator.renew(THIEF, certificate_request=b""))
    await refused(bench, attack, ErrorCode.MALFORMED, "signing_key")


@pytest.mark.parametrize("brought", ["signing_key", "sealing_key", "signatures", "sealing_proof"])
async def test_operator_brings_something_of_keys_at_its_renewal(bench: Bench, brought: str) -> None:
    operator = Applicant("ee/operator-new", ("operator",), "operator", lei="", has_keys=False)
    await bench.enrolled(operator)
    proofs_of_keys = {"signatures": [operator.renew(THIEF).signatures[0]], "sealing_proof": bytes(72)}
    proof: dict[str, Any] = {name: value for name, value in proofs_of_keys.items() if name == brought}
    key: dict[str, Any] = {} if proof else {brought: bytes(32)}
    request = pb.RenewRequest(renewal=operator.renewal(certificate_request=THIEF.csr(), **key), **proof)
    attack = bench.office.renew(bench.peer(operator.address), request)
    await refused(bench, attack, ErrorCode.MALFORMED, "signing_key")


# Revocations


async def test_revocation_replayed_later(enrolled: Bench) -> None:
    """The participant has been taken in again since; the old word must not put it out."""
    old = revocation(address=NEWCOMER, participant=True)
    await enrolled.office.revoke(enrolled.peer(REGISTRAR), old)
    await enrolled.enrolled(Applicant(name="again"))
    before = enrolled.rows()
    await enrolled.office.revoke(enrolled.peer(REGISTRAR), old)  # a retry, as far as anybody can tell: no effect
    assert enrolled.rows() == before
    enrolled.pass_time(minutes=6)
    replay = enrolled.office.revoke(enrolled.peer(REGISTRAR), old)
    await refused(enrolled, replay, ErrorCode.STALE, "at_us")


@pytest.mark.parametrize("peer", [world.COURT, world.EXCHANGE, FOREIGN_REGISTRAR, "de/node", "ee/operator"])
async def test_revocation_by_who_is_no_registrar_of_this_node(bench: Bench, peer: str) -> None:
    attack = bench.office.revoke(bench.peer(peer), revocation(peer, address=world.COURT, participant=True))
    await refused(bench, attack, ErrorCode.NOT_PERMITTED, "")


async def test_revocation_of_another_countrys_participant(bench: Bench) -> None:
    attack = bench.revoke(address=world.FOREIGN_COURT, participant=True)
    await refused(bench, attack, ErrorCode.NOT_PERMITTED, "address")


async def test_revocation_signed_by_another_registrar_than_brings_it(bench: Bench) -> None:
    request = revocation(SECOND, address=world.COURT, participant=True)
    attack = bench.office.revoke(bench.peer(REGISTRAR), request)
    await refused(bench, attack, ErrorCode.NOT_PERMITTED, "registrar")


async def test_revocation_bent_to_another_address(bench: Bench) -> None:
    request = revocation(address=world.EXCHANGE, participant=True)
    bent = pb.Revocation.FromString(request.revocation)
    bent.address = world.COURT
    request.revocation = bent.SerializeToString(deterministic=True)
    await refused(bench, bench.office.revoke(bench.peer(REGISTRAR), request), ErrorCode.BAD_SIGNATURE, "")


async def test_registrar_revokes_what_it_acts_with(bench: Bench) -> None:
    peer = bench.peer(REGISTRAR)
    own = bench.entry(REGISTRAR).signing_keys[0]
    whats: list[dict[str, Any]] = [
        {"participant": True},
        {"key_id": key_id(own.public)},
        {"certificate": peer.certificate_fingerprint},
    ]
    for what in whats:
        await refused(bench, bench.revoke(address=REGISTRAR, **what), ErrorCode.NOT_PERMITTED, "address")


async def test_registrar_revokes_another_certificate_of_the_key_that_it_acts_with(bench: Bench) -> None:
    """The one that it acts with would go, too."""
    third = Applicant("ee/registrar-3", ("registrar",), "third", lei="")
    older = await bench.enrolled(third)
    request = third.renew(Applicant(name="next"), certificate_request=third.csr())
    renewed = await bench.office.renew(bench.peer(third.address), request)
    acting = bench.peer(third.address, office.leaf(renewed.certificate_chain))
    what = {"address": third.address, "certificate": certificate_fingerprint(older)}
    signed = office.revocation(third.address, bench.now, key=third.signing, **what)
    await refused(bench, bench.office.revoke(acting, signed), ErrorCode.NOT_PERMITTED, "address")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"address": "ee/nobody", "participant": True}, ErrorCode.NOT_FOUND, "address"),
        ({"address": world.COURT, "key_id": bytes(16)}, ErrorCode.NOT_FOUND, "key_id"),
        ({"address": world.COURT}, ErrorCode.MALFORMED, "what"),
        ({"address": world.COURT, "participant": False}, ErrorCode.MALFORMED, "what"),
        ({"address": "Court", "participant": True}, ErrorCode.MALFORMED, "address"),
        (
            {"address": world.COURT, "participant": True, "not_trusted_after_us": 1},
            ErrorCode.MALFORMED,
            "not_trusted_after_us",
        ),
        (
            {"address": world.COURT, "key_id": bytes(16), "not_trusted_after_us": to_micros(NOW) + 1},
            ErrorCode.MALFORMED,
            "not_trusted_after_us",
        ),
        (
            {"address": world.COURT, "key_id": bytes(16), "not_trusted_after_us": -1},
            ErrorCode.MALFORMED,
            "not_trusted_after_us",
        ),
        ({"address": world.COURT, "participant": True, "reason": "\x1b[2J"}, ErrorCode.MALFORMED, "reason"),
        ({"address": world.COURT, "participant": True, "reason": "\u3164"}, ErrorCode.MALFORMED, "reason"),
    ],
)
async def test_revocation_that_makes_no_sense(
    bench: Bench, changes: dict[str, Any], code: ErrorCode, field: str
) -> None:
    await refused(bench, bench.revoke(**changes), code, field)


async def distrust(bench: Bench, moment: datetime, registrar: str = REGISTRAR, **changes: Any) -> ErrorCode | None:
    """Have what the court signed from a moment on count for nothing; return how it was refused."""
    own = key_id(bytes(world.signing_key(world.COURT).verify_key))
    fields: dict[str, Any] = {"address": world.COURT, "key_id": own, "not_trusted_after_us": to_micros(moment)}
    try:
        await bench.revoke(registrar, **fields | changes)
    except GatewayError as error:
        return error.code
    return None


def verifies(bench: Bench, signer: str, then: datetime) -> bool:
    try:
        bench.material.directory.signing_key(signer, key_id(bytes(world.signing_key(signer).verify_key)), then)
    except GatewayError:
        return False
    return True


REACH = revoking.LONE_REACH
MOMENT = timedelta(microseconds=1)
LONG_AGO = NOW - timedelta(days=30)


async def test_lone_registrar_voids_what_a_court_signed_long_ago(bench: Bench) -> None:
    assert await distrust(bench, LONG_AGO) is ErrorCode.FOUR_EYES
    assert verifies(bench, world.COURT, NOW - REACH - MOMENT)
    assert not verifies(bench, world.COURT, NOW - REACH)  # so far one word reaches, and at once
    assert bench.offered
    for _ in range(3):  # saying it again adds nothing, and time that passes gives nothing more
        bench.pass_time(minutes=1)
        assert await distrust(bench, LONG_AGO) is ErrorCode.FOUR_EYES
    assert verifies(bench, world.COURT, NOW - REACH - MOMENT)


async def test_lone_registrar_voids_the_receipts_of_the_node(bench: Bench) -> None:
    await bench.office.add_node_key(bytes(office.signing_key("node").verify_key))
    bench.pass_time(minutes=2)
    own: dict[str, Any] = {"address": "ee/node", "key_id": key_id(bytes(world.signing_key("ee/node").verify_key))}
    assert await distrust(bench, LONG_AGO, **own) is ErrorCode.FOUR_EYES
    assert verifies(bench, "ee/node", bench.now - REACH - MOMENT)
    assert await distrust(bench, LONG_AGO, SECOND, **own) is None
    assert not verifies(bench, "ee/node", LONG_AGO)


async def test_two_registrars_who_say_the_same_are_believed_whole(bench: Bench) -> None:
    request = revocation(
        address=world.COURT,
        key_id=key_id(bytes(world.signing_key(world.COURT).verify_key)),
        not_trusted_after_us=to_micros(LONG_AGO),
    )
    for _ in range(2):  # a retry
        with pytest.raises(GatewayError) as caught:
            await bench.office.revoke(bench.peer(REGISTRAR), request)
        assert caught.value.code is ErrorCode.FOUR_EYES
    assert await distrust(bench, LONG_AGO, SECOND) is None
    assert verifies(bench, world.COURT, LONG_AGO - MOMENT)
    assert not verifies(bench, world.COURT, LONG_AGO)
    await bench.office.revoke(bench.peer(REGISTRAR), request)  # and a retry now says that all of it is in force


async def test_registrars_who_say_different_things_are_not_believed_whole(bench: Bench) -> None:
    sealing = key_id(bytes(world.sealing_key(world.COURT).public_key))
    assert await distrust(bench, LONG_AGO) is ErrorCode.FOUR_EYES
    assert await distrust(bench, LONG_AGO, SECOND, key_id=sealing) is ErrorCode.FOUR_EYES
    assert await distrust(bench, LONG_AGO - MOMENT, SECOND) is ErrorCode.FOUR_EYES
    assert verifies(bench, world.COURT, NOW - REACH - MOMENT)


@pytest.mark.parametrize("passed", [REACH, REACH + MOMENT])
async def test_word_of_a_registrar_waits_for_another_for_a_time(bench: Bench, passed: timedelta) -> None:
    assert await distrust(bench, LONG_AGO) is ErrorCode.FOUR_EYES
    bench.now += passed
    assert (await distrust(bench, LONG_AGO, SECOND) is None) is (passed == REACH)


@pytest.mark.parametrize("what", ["participant", "key"])
async def test_word_of_a_registrar_who_was_put_out_since_is_no_second_one(bench: Bench, what: str) -> None:
    assert await distrust(bench, LONG_AGO) is ErrorCode.FOUR_EYES
    key = key_id(bytes(world.signing_key(REGISTRAR).verify_key))
    await bench.revoke(
        SECOND, address=REGISTRAR, **({"participant": True} if what == "participant" else {"key_id": key})
    )
    assert await distrust(bench, LONG_AGO, SECOND) is ErrorCode.FOUR_EYES
    assert verifies(bench, world.COURT, NOW - REACH - MOMENT)


async def test_certificate_that_nobody_issued_is_revoked(enrolled: Bench) -> None:
    """It would put nobody out, and the registrar would believe that it did."""
    attack = enrolled.revoke(address=NEWCOMER, certificate=bytes(32))
    assert "revoke all of it" in (await refused(enrolled, attack, ErrorCode.NOT_FOUND, "certificate")).detail


async def test_thief_of_an_operators_certificate_has_renewed_before_that_one_is_revoked(bench: Bench) -> None:
    operator = Applicant("ee/operator-new", ("operator",), "operator", lei="", has_keys=False)
    stolen = await bench.enrolled(operator)
    renewal = operator.renewal(certificate_request=csr(uri(operator.address), subject="", key=THIEF.tls))
    thiefs = await bench.office.renew(bench.peer(operator.address), pb.RenewRequest(renewal=renewal))
    attack = bench.revoke(address=operator.address, certificate=certificate_fingerprint(stolen))
    assert "revoke all of it" in (await refused(bench, attack, ErrorCode.NOT_PERMITTED, "certificate")).detail
    await bench.revoke(address=operator.address, participant=True)
    assert not let_in(bench, office.leaf(thiefs.certificate_chain))


def let_in(bench: Bench, certificate: x509.Certificate) -> bool:
    try:
        authenticate(certificate.public_bytes(Encoding.PEM), bench.material.directory, bench.now)
    except GatewayError as error:
        return error.code is not ErrorCode.REVOKED
    return True


async def test_certificate_that_a_restored_store_does_not_know_outlives_a_revocation(enrolled: Bench) -> None:
    """A thief renewed after the backup was made; the store that is read now never heard of it."""
    lifetime = timedelta(days=30)
    unknown = office.keys().authority.issue(
        THIEF.tls.public_key(), Address.parse(NEWCOMER), FEDERATION, enrolled.now, lifetime
    )
    assert let_in(enrolled, unknown)
    enrolled.pass_time(days=1)
    await enrolled.revoke(address=NEWCOMER, participant=True)
    fresh = await enrolled.enrolled(Applicant(name="clean machine"))
    assert let_in(enrolled, fresh)
    assert not let_in(enrolled, unknown)


async def test_certificate_revoked_under_anothers_name(enrolled: Bench) -> None:
    fingerprint = enrolled.rows()["certificates"][0][0]
    attack = enrolled.revoke(address=world.COURT, certificate=fingerprint)
    await refused(enrolled, attack, ErrorCode.MALFORMED, "certificate")


# Somebody with the node's database, and no key


def _as_signed(raw: bytes, key: SigningKey, registrar: str, signer: SigningKey) -> bytes:
    """Return a signature that names a registrar's key and is somebody else's."""
    signed = signature.sign(Domain.DECISION, raw, registrar, signer)
    signed.key_id = key_id(bytes(key.verify_key))
    return signed.SerializeToString(deterministic=True)


@pytest.mark.parametrize("forged", ["by a stranger's key", "of another application"])
async def test_approval_that_somebody_wrote_into_the_store_lets_nobody_in(bench: Bench, forged: str) -> None:
    about, key = await bench.applied(Applicant()), world.signing_key(SECOND)
    if forged == "of another application":
        said = decision(bytes(32), SECOND).decision
        raw, proof = said.decision, said.signature.SerializeToString(deterministic=True)
    else:
        raw = decision(about, SECOND).decision.decision
        proof = _as_signed(raw, key, SECOND, THIEF.signing)
    made = StoredDecision(SECOND, key_id(bytes(key.verify_key)), raw, proof, to_micros(NOW))
    await bench.writer.write(lambda txn: txn.registry.add_decision(about, made))
    found = await bench.decide(about)
    assert (found.state, found.approvals) == (pb.APPLICATION_STATE_PENDING, 1)


async def test_application_that_somebody_exchanged_in_the_store_is_not_approved(bench: Bench) -> None:
    """Registrars sign the digest of what they saw; what is let in is what the store has under it."""
    about = await bench.applied(Applicant())
    await bench.decide(about)
    thiefs = Applicant(name="thief").application(await bench.code(Applicant()))
    with closing(stores.connect(bench.material.config.store)) as opened:
        opened.execute("UPDATE applications SET application = ?", (thiefs,))
        opened.commit()
    await refused(bench, bench.decide(about, SECOND), ErrorCode.STORE, "")


async def test_second_registrars_word_that_somebody_wrote_into_the_store_seconds_nothing(bench: Bench) -> None:
    key = world.signing_key(world.COURT)
    request = revocation(
        SECOND, address=world.COURT, key_id=key_id(bytes(key.verify_key)), not_trusted_after_us=to_micros(LONG_AGO)
    )
    proof = _as_signed(request.revocation, world.signing_key(SECOND), SECOND, THIEF.signing)
    made = StoredRevocation(bytes(32), world.COURT, request.revocation, proof, PUBLISHED_VERSION)
    await bench.writer.write(lambda txn: txn.registry.add_revocation(made))
    assert await distrust(bench, LONG_AGO) is ErrorCode.FOUR_EYES
    assert verifies(bench, world.COURT, NOW - REACH - MOMENT)


def with_a_stranger(bench: Bench, version: int, key: SigningKey) -> SignedList:
    """Return the node's list with one participant more, signed with a key."""
    (own,) = (each for each in bench.trusted.lists if each.node == "ee")
    stranger = bench.entry(world.COURT).model_copy(update={"address": Address.parse("ee/stranger")})
    return SignedList.sign(key, own.model_copy(update={"participants": (*own.participants, stranger)}), version, NOW)


async def written(bench: Bench, made: SignedList) -> None:
    stored = StoredList(made.version, made.metadata, made.content, to_micros(NOW))
    await bench.writer.write(lambda txn: txn.registry.add_list(stored))


async def test_list_that_somebody_wrote_into_the_store_is_never_continued(bench: Bench) -> None:
    """The next change, or the half of its life, would have it signed with the node's own key."""
    await written(bench, with_a_stranger(bench, PUBLISHED_VERSION + 1, THIEF.signing))
    attack = bench.revoke(address=world.COURT, participant=True)
    assert "not signed" in (await refused(bench, attack, ErrorCode.UNAVAILABLE, "directory")).detail
    await refused(bench, bench.office.keep_list(), ErrorCode.UNAVAILABLE, "directory")
    assert bench.offered == []


async def test_published_list_that_somebody_numbered_higher_in_the_store_is_never_continued(bench: Bench) -> None:
    """Numbers are never given back: with the last of them the node could say nothing more."""
    (own,) = (each for each in bench.trusted.lists if each.node == "ee")
    await written(bench, SignedList.sign(THIEF.signing, own, MAX_VERSION - 1, NOW))
    attack = bench.revoke(address=world.COURT, participant=True)
    await refused(bench, attack, ErrorCode.UNAVAILABLE, "directory")


async def test_list_that_somebody_wrote_into_the_store_in_the_place_of_the_published_one_says_nothing(
    bench: Bench,
) -> None:
    await written(bench, with_a_stranger(bench, PUBLISHED_VERSION, THIEF.signing))
    await bench.office.keep_list()
    assert bench.offered == []
    await bench.revoke(address=world.COURT, participant=True)
    (signed,) = bench.offered
    assert signed.version == PUBLISHED_VERSION + 1
    assert "ee/stranger" not in {str(each.address) for each in signed.participants.participants}


async def test_list_that_was_published_is_continued_though_the_founders_gave_another_key_since(bench: Bench) -> None:
    await bench.revoke(address=world.COURT, participant=True)
    (first,) = bench.offered
    bench.publish(first)
    problem = Problem(Reason.UNSIGNED, "signed with the key of before")
    bench.trusted = replace(bench.trusted, delegating=office.delegating(THIEF.signing), list_problems={"ee": problem})
    bench._take(bench.trusted)
    await bench.revoke(address=world.INVESTIGATOR, participant=True)
    assert [each.version for each in bench.offered] == [first.version, first.version + 1]


# The list


async def test_list_signed_by_another_key_is_not_the_nodes(bench: Bench) -> None:
    """A registry that holds a wrong key makes lists that nobody else takes: the others ask whom the founders named."""
    await bench.revoke(address=world.COURT, participant=True)
    (signed,) = bench.offered
    metadata = Metadata[Targets].from_bytes(signed.metadata)
    office.delegating(office.PROOF_KEYS_OF).verify_delegate("node-ee", metadata.signed_bytes, metadata.signatures)
    with pytest.raises(UnsignedMetadataError):
        office.delegating(THIEF.signing).verify_delegate("node-ee", metadata.signed_bytes, metadata.signatures)


async def test_change_that_would_lose_a_key_is_not_signed(bench: Bench) -> None:
    def lose(desk: Any) -> None:
        desk.change(desk.listed.model_copy(update={"participants": desk.listed.participants[1:]}))

    await refused(bench, bench.office._change(lose), ErrorCode.BAD_DIRECTORY, "participants")


async def test_change_that_lists_a_foreigner_is_not_signed(bench: Bench) -> None:
    newcomer = roll.Newcomer(Address.parse("de/mole"), frozenset(), "", "", b"", b"")

    def smuggle(desk: Any) -> None:
        desk.change(roll.admit(desk.listed, newcomer, NOW, frozenset()))

    await refused(bench, bench.office._change(smuggle), ErrorCode.BAD_DIRECTORY, "")


async def test_directory_that_two_would_share_a_name_in_is_not_signed(bench: Bench) -> None:
    def twice(desk: Any) -> None:
        first = desk.listed.participants[0]
        desk.change(desk.listed.model_copy(update={"participants": (*desk.listed.participants, first)}))

    await refused(bench, bench.office._change(twice), ErrorCode.BAD_DIRECTORY, "")


def test_no_key_of_a_registry_is_in_any_text_of_it() -> None:
    keys = office.keys()
    told = f"{keys!r} {keys}"
    assert bytes(keys.directory).hex() not in told
    assert bytes(keys.proof).hex() not in told
    assert repr(bytes(keys.proof)) not in told
    assert isinstance(keys, RegistryKeys)


def test_node_without_a_registry_has_no_office(tmp_path: Path) -> None:
    settings = office.config(tmp_path).model_copy(update={"registry": None})
    with pytest.raises(ValueError, match="registry"):
        Office(settings, office.keys(), *[None] * 6)  # type: ignore[arg-type]  # never looked at


def test_message_of_the_registry_is_read_in_its_one_encoding_alone() -> None:
    raw = Applicant().application("code")
    assert codec.parse(pb.Application, raw).address == NEWCOMER
    with pytest.raises(GatewayError) as caught:
        codec.parse(pb.Application, raw + raw)
    assert caught.value.code is ErrorCode.MALFORMED
