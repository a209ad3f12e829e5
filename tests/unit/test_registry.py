"""How participants come into the list of a node, stay there, and go; all of it in one transaction each."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rogatory.v1 import enrolment_pb2 as pb

from certs import profiles
from gateway import signature
from gateway.authenticate import authenticate
from gateway.clock import from_micros, to_micros
from gateway.directory import KeyEntry, Status
from gateway.errors import ErrorCode, Failure, GatewayError
from gateway.identity import Address, Role, certificate_fingerprint, spiffe_id, uri_names
from gateway.registry import applying, desk, proofs, renewing
from gateway.registry.codes import code_digest, new_code
from gateway.signature import Domain, key_id
from gateway.trust.lists import SignedList
from gateway.trust.problem import Problem, Reason
from tests import office, world
from tests.office import FEDERATION, NEWCOMER, PUBLISHED_VERSION, REGISTRAR, SECOND, Applicant, Bench
from tests.world import NOW

AUTHORITY = Applicant("ee/fiu-new", ("fiu",), "fiu", lei="")
OPERATOR = Applicant("ee/operator-new", ("operator",), "operator", lei="", has_keys=False)
NEW = Applicant(name="next")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with office.office(tmp_path) as made:
        yield made


async def refused(awaited: Any, code: ErrorCode, field: str = "") -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await awaited
    assert (caught.value.code, caught.value.field) == (code, field or caught.value.field)
    return caught.value


# Coming in


async def test_exchange_that_two_registrars_approve_has_its_certificate_and_its_entry(bench: Bench) -> None:
    applicant = Applicant()
    about = await bench.applied(applicant)
    waiting = await bench.office.outcome(about)
    assert (waiting.state, waiting.approvals, waiting.approvals_needed) == (pb.APPLICATION_STATE_PENDING, 0, 2)
    first = await bench.decide(about)
    assert (first.state, first.approvals) == (pb.APPLICATION_STATE_PENDING, 1)
    assert bench.material.directory.participant(Address.parse(NEWCOMER)) is None
    second = await bench.decide(about, SECOND)
    assert (second.state, second.approvals) == (pb.APPLICATION_STATE_APPROVED, 2)
    entry = bench.entry(NEWCOMER)
    assert (entry.roles, entry.legal_name, entry.lei) == (frozenset({Role.EXCHANGE}), "AS LHV Pank", office.LEI)
    assert [key.public for key in entry.signing_keys] == [bytes(applicant.signing.verify_key)]
    assert [key.public for key in entry.sealing_keys] == [bytes(applicant.sealing.public_key)]
    assert entry.signing_keys[0].valid_at(NOW)
    assert entry.signing_keys[0].not_before == NOW - profiles.BACKDATED
    outcome = await bench.office.outcome(about)
    assert office.leaf(outcome.certificate_chain).public_key() == applicant.tls.public_key()
    assert bench.offered[-1].version == PUBLISHED_VERSION + 1


async def test_certificate_lets_its_holder_in_and_says_what_the_profile_says(bench: Bench) -> None:
    certificate = await bench.enrolled(Applicant())
    assert uri_names(certificate) == (spiffe_id(Address.parse(NEWCOMER), FEDERATION),)
    assert certificate.not_valid_after_utc == (NOW + timedelta(days=30)).replace(microsecond=0)
    model = office.pki().leaf(Address.parse(NEWCOMER)).certificate
    kinds = (x509.KeyUsage, x509.BasicConstraints, x509.ExtendedKeyUsage, x509.AuthorityKeyIdentifier)
    for kind in kinds:
        mine, its = (each.extensions.get_extension_for_class(kind) for each in (certificate, model))
        assert (mine.value, mine.critical) == (its.value, its.critical)
    assert len(certificate.extensions) == len(model.extensions)
    peer = authenticate(certificate.public_bytes(Encoding.PEM), bench.material.directory, NOW)
    assert (str(peer.address), peer.roles) == (NEWCOMER, frozenset({Role.EXCHANGE}))


async def test_certificate_never_outlives_the_ca(tmp_path: Path) -> None:
    async with office.office(tmp_path, certificate_days=398) as bench:
        ca = office.pki().node_ca("ee").certificate
        bench.now = ca.not_valid_after_utc - timedelta(days=30)
        assert (await bench.enrolled(Applicant())).not_valid_after_utc == ca.not_valid_after_utc


async def test_ca_that_has_ended_certifies_nobody_and_nothing_is_kept(bench: Bench) -> None:
    about = await bench.applied(AUTHORITY)
    await bench.decide(about)
    bench.now = office.pki().node_ca("ee").certificate.not_valid_after_utc
    before = bench.rows()
    await refused(bench.decide(about, SECOND), ErrorCode.UNAVAILABLE, "ca_certificate")
    assert bench.rows() == before


@pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.NODE])
async def test_nobody_of_any_role_is_let_in_by_one_registrar(bench: Bench, role: str) -> None:
    has_keys = role not in ("operator", "auditor")
    about = await bench.applied(Applicant("ee/new", (role,), role, has_keys=has_keys))
    first = await bench.decide(about)
    assert (first.state, first.approvals, first.approvals_needed) == (pb.APPLICATION_STATE_PENDING, 1, 2)
    assert (await bench.decide(about, SECOND)).state == pb.APPLICATION_STATE_APPROVED


async def test_node_may_say_that_one_registrar_is_enough_but_not_for_an_exchange_or_a_registrar(tmp_path: Path) -> None:
    registrar = Applicant("ee/registrar-new", ("registrar",), "r", lei="")
    async with office.office(tmp_path, approvals=1) as bench:
        assert (await bench.decide(await bench.applied(AUTHORITY))).state == pb.APPLICATION_STATE_APPROVED
        for applicant in (registrar, Applicant()):
            assert (await bench.decide(await bench.applied(applicant))).state == pb.APPLICATION_STATE_PENDING


async def test_operator_has_a_certificate_and_no_keys(bench: Bench) -> None:
    certificate = await bench.enrolled(OPERATOR)
    assert certificate.public_key() == OPERATOR.tls.public_key()
    assert (bench.entry(OPERATOR.address).signing_keys, bench.entry(OPERATOR.address).sealing_keys) == ((), ())


async def test_one_rejection_rejects_and_says_why(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    await bench.decide(about)
    assert (await bench.decide(about, SECOND, approved=False)).state == pb.APPLICATION_STATE_REJECTED
    outcome = await bench.office.outcome(about)
    assert (outcome.state, outcome.reason) == (pb.APPLICATION_STATE_REJECTED, "no licence")
    assert bench.rows()["node_lists"] == []
    third = bench.decide(about, "ee/registrar", approved=True, reason="after all")
    await refused(third, ErrorCode.FOUR_EYES)


async def test_identical_application_again_is_answered_as_the_first_time(bench: Bench) -> None:
    applicant = Applicant()
    request = applicant.request(await bench.code(applicant))
    first = await bench.office.apply(request)
    before = bench.rows()
    bench.pass_time(days=10)  # the code has expired meanwhile
    assert await bench.office.apply(request) == first
    assert bench.rows() == before


async def test_same_application_twice_at_once_is_one(bench: Bench) -> None:
    applicant = Applicant()
    request = applicant.request(await bench.code(applicant))
    first, second = await asyncio.gather(bench.office.apply(request), bench.office.apply(request))
    assert first == second
    assert len(bench.rows()["applications"]) == 1


async def test_identical_decision_again_is_answered_with_where_it_stands_now(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    request = office.decision(about)
    await bench.office.decide(bench.peer(REGISTRAR), request)
    await bench.decide(about, SECOND)
    before = bench.rows()
    again = await bench.office.decide(bench.peer(REGISTRAR), request)
    assert again.state == pb.APPLICATION_STATE_APPROVED
    assert bench.rows() == before


async def test_registrar_sees_what_waits_with_what_was_said_of_it(bench: Bench) -> None:
    about = await bench.applied(Applicant())
    await bench.decide(about)
    await bench.enrolled(AUTHORITY)
    peer = bench.peer(SECOND)
    (waiting,) = (await bench.office.applications(peer, pb.ListApplicationsRequest())).applications
    assert (waiting.application_id, waiting.approvals_needed) == (about, 2)
    said = waiting.decisions[0]
    key = bytes(world.signing_key(REGISTRAR).verify_key)
    signature.verify(Domain.DECISION, said.decision, said.signature, key)
    every = (await bench.office.applications(peer, pb.ListApplicationsRequest(all=True))).applications
    assert [each.state for each in every] == [pb.APPLICATION_STATE_APPROVED, pb.APPLICATION_STATE_PENDING]


async def test_unknown_application_has_no_outcome(bench: Bench) -> None:
    await refused(bench.office.outcome(bytes(32)), ErrorCode.NOT_FOUND, "application_id")


async def test_invitation_names_all_that_an_applicant_needs(bench: Bench) -> None:
    request = pb.InviteRequest(address=NEWCOMER, roles=["exchange"])
    made = await bench.office.invite(bench.peer(REGISTRAR), request)
    assert (made.endpoint, made.proof_key) == ("127.0.0.1:2", office.proof_public())
    assert from_micros(made.expires_at_us) == NOW + timedelta(hours=72)


async def test_node_that_nobody_can_apply_to_invites_nobody(tmp_path: Path) -> None:
    async with office.office(tmp_path, listen=None) as bench:
        await refused(bench.code(Applicant()), ErrorCode.UNAVAILABLE, "endpoint")


async def test_store_holds_no_code(bench: Bench) -> None:
    code = await bench.code(Applicant())
    await bench.office.apply(Applicant().request(code))
    content = b"".join(path.read_bytes() for path in bench.folder.glob("node.db*"))
    assert code_digest(code) in content
    assert code.encode() not in content


def test_code_has_160_bits_and_is_read_out_easily() -> None:
    code = new_code(lambda count: bytes(range(count)))
    assert code == "AAAQ-EAYE-AUDA-OCAJ-BIFQ-YDIO-B4IB-CEQT"
    assert code_digest(code) != code_digest(code.lower())


# What ends in the middle


class Crash(Exception):
    """Power is gone."""


async def test_crash_while_the_list_is_signed_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    about = await bench.applied(AUTHORITY)
    await bench.decide(about)
    before = bench.rows()

    def crash(*args: Any) -> SignedList:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(SignedList, "sign", crash)
        with pytest.raises(Crash):
            await bench.decide(about, SECOND)
    assert bench.rows() == before
    assert bench.offered == []
    assert (await bench.decide(about, SECOND)).state == pb.APPLICATION_STATE_APPROVED


async def test_crash_between_application_and_code_leaves_the_code_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = AUTHORITY.request(await bench.code(AUTHORITY))
    before = bench.rows()

    def crash(*args: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr("gateway.store.registry.RegistryRecord.use_invitation", crash)
        with pytest.raises(Crash):
            await bench.office.apply(request)
    assert bench.rows() == before
    await bench.office.apply(request)


async def test_who_goes_away_after_the_commit_does_not_keep_the_news_back(bench: Bench) -> None:
    looking, go = asyncio.Event(), asyncio.Event()
    look = bench.look

    async def slow() -> None:
        looking.set()
        await go.wait()
        await look()

    bench.office._look = slow
    asking = asyncio.create_task(bench.revoke(address=world.COURT, participant=True))
    await asyncio.wait_for(looking.wait(), 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go.set()
    await bench.office.close()
    assert bench.entry(world.COURT).status is Status.REVOKED
    assert bench.offered


async def test_look_that_fails_after_the_commit_is_no_failure_of_what_was_asked(bench: Bench) -> None:
    async def fail() -> None:
        raise Failure(ErrorCode.UNAVAILABLE, "not now")

    bench.office._look = fail
    assert (await bench.revoke(address=world.COURT, participant=True)).list_version == PUBLISHED_VERSION + 1
    assert bench.offered


# Bounds


async def test_open_invitations_are_bounded_and_expired_ones_do_not_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "MAX_OPEN_INVITATIONS", 2)
    for number in range(2):
        await bench.code(Applicant(f"ee/exchange-{number}"))
    failure = await refused(bench.code(Applicant()), ErrorCode.OVERLOADED, "MAX_OPEN_INVITATIONS")
    assert failure.retry_after is not None
    await bench.code(Applicant(), SECOND)  # each registrar's own are counted
    bench.pass_time(hours=72)
    await bench.code(Applicant())


async def test_pending_applications_are_bounded_and_the_code_stays_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "MAX_PENDING_APPLICATIONS", 1)
    first = await bench.applied(AUTHORITY)
    request = Applicant().request(await bench.code(Applicant()))
    await refused(bench.office.apply(request), ErrorCode.OVERLOADED, "MAX_PENDING_APPLICATIONS")
    await bench.decide(first, approved=False)
    await bench.office.apply(request)


async def test_keys_in_force_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "MAX_KEYS_IN_FORCE", 2)
    await bench.enrolled(Applicant())
    peer = bench.peer(NEWCOMER)
    await bench.office.renew(peer, Applicant().renew(NEW))
    third = Applicant().renew(Applicant(name="third"))
    await refused(bench.office.renew(peer, third), ErrorCode.OVERLOADED, "MAX_KEYS_IN_FORCE")


async def test_certificates_in_force_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.registry.desk.MAX_LIVE_CERTIFICATES", 1)
    await bench.enrolled(OPERATOR)
    request = pb.RenewRequest(renewal=OPERATOR.renewal(certificate_request=OPERATOR.csr()))
    await refused(bench.office.renew(bench.peer(OPERATOR.address), request), ErrorCode.OVERLOADED)


async def test_certificates_that_are_out_keep_nobody_from_coming_in_again_or_renewing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief who had as many issued as he could must not keep their victim out for as long as they would last."""
    monkeypatch.setattr("gateway.registry.desk.MAX_LIVE_CERTIFICATES", 2)
    await bench.enrolled(Applicant())
    peer = bench.peer(NEWCOMER)
    request = Applicant().renew(NEW)
    stolen = x509.load_pem_x509_certificate((await bench.office.renew(peer, request)).certificate_chain)
    another = Applicant().renew(Applicant(name="third"))
    await refused(bench.office.renew(peer, another), ErrorCode.OVERLOADED, "MAX_LIVE_CERTIFICATES")
    await bench.revoke(address=NEWCOMER, certificate=certificate_fingerprint(stolen))
    await bench.office.renew(peer, another)
    await bench.revoke(address=NEWCOMER, participant=True)
    bench.pass_time(hours=1)
    await bench.enrolled(Applicant(name="fourth"))
    assert bench.entry(NEWCOMER).status is Status.ACTIVE


# Renewal


async def test_new_keys_are_valid_after_a_notice_and_the_old_ones_for_an_overlap(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    made = await bench.office.renew(bench.peer(NEWCOMER), Applicant().renew(NEW))
    start = NOW + timedelta(seconds=60)
    assert from_micros(made.keys_valid_from_us) == start
    assert office.leaf(made.certificate_chain).public_key() == NEW.tls.public_key()
    for keys in (bench.entry(NEWCOMER).signing_keys, bench.entry(NEWCOMER).sealing_keys):
        old, new = keys
        assert (old.not_after, new.not_before) == (start + timedelta(days=1), start)


async def test_operator_renews_its_certificate_by_its_certificate(bench: Bench) -> None:
    await bench.enrolled(OPERATOR)
    versions = len(bench.offered)
    new = office.tls_key("another")
    request = proofs.certificate_request(new, Address.parse(OPERATOR.address), FEDERATION)
    renewal = pb.RenewRequest(renewal=OPERATOR.renewal(certificate_request=request))
    made = await bench.office.renew(bench.peer(OPERATOR.address), renewal)
    assert office.leaf(made.certificate_chain).public_key() == new.public_key()
    assert made.keys_valid_from_us == 0
    assert len(bench.offered) == versions  # the list says nothing of certificates that are good


async def test_identical_renewal_again_is_answered_as_the_first_time(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    request = Applicant().renew(NEW)
    first = await bench.office.renew(bench.peer(NEWCOMER), request)
    before = bench.rows()
    assert await bench.office.renew(bench.peer(NEWCOMER), request) == first
    assert bench.rows() == before


async def test_keys_that_were_listed_by_an_answer_that_got_lost_are_not_listed_twice(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    first = await bench.office.renew(bench.peer(NEWCOMER), Applicant().renew(NEW))
    bench.pass_time(minutes=10)
    again = await bench.office.renew(bench.peer(NEWCOMER), Applicant().renew(NEW, now=bench.now))
    assert again.keys_valid_from_us == first.keys_valid_from_us
    assert len(bench.entry(NEWCOMER).signing_keys) == 2


async def test_new_key_signs_the_renewal_after_next(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    await bench.office.renew(bench.peer(NEWCOMER), Applicant().renew(NEW))
    third = Applicant(name="third")
    await refused(bench.office.renew(bench.peer(NEWCOMER), NEW.renew(third)), ErrorCode.KEY_REVOKED)
    bench.pass_time(minutes=2)
    await bench.office.renew(bench.peer(NEWCOMER), NEW.renew(third, now=bench.now))


# Going


async def test_revoked_participant_is_out_before_the_registrar_has_its_answer(bench: Bench) -> None:
    looks = bench.looks
    answer = await bench.revoke(address=world.EXCHANGE, participant=True)
    entry = bench.entry(world.EXCHANGE)
    assert entry.status is Status.REVOKED
    assert not any(key.valid_at(NOW) for key in (*entry.signing_keys, *entry.sealing_keys))
    assert (bench.looks, bench.offered[-1].version) == (looks + 1, answer.list_version)


async def test_revoked_key_counts_for_nothing_from_the_moment_that_it_was_stolen(bench: Bench) -> None:
    stolen = NOW - timedelta(days=2)
    key = bench.entry(world.COURT).signing_keys[0]
    await bench.revoke(address=world.COURT, key_id=key_id(key.public), not_trusted_after_us=to_micros(stolen))
    (listed,) = bench.entry(world.COURT).signing_keys
    assert listed.valid_at(stolen - timedelta(seconds=1))
    assert not listed.valid_at(stolen)
    assert bench.entry(world.COURT).status is Status.ACTIVE


async def test_second_revocation_of_a_key_moves_its_end_to_earlier_alone(bench: Bench) -> None:
    about: dict[str, Any] = {"address": world.COURT, "key_id": key_id(bench.entry(world.COURT).sealing_keys[0].public)}
    for days in (2, 1, 3):
        await bench.revoke(**about, not_trusted_after_us=to_micros(NOW - timedelta(days=days)))
    assert bench.entry(world.COURT).sealing_keys[0].not_trusted_after == NOW - timedelta(days=3)


async def test_revoked_certificate_is_named_in_the_list_and_cannot_be_replaced_by_its_key(bench: Bench) -> None:
    fingerprint = certificate_fingerprint(await bench.enrolled(Applicant()))
    await bench.revoke(address=NEWCOMER, certificate=fingerprint)
    assert bench.entry(NEWCOMER).revoked_certificates == {fingerprint.hex()}
    same = Applicant().renew(NEW, certificate_request=Applicant().csr())
    await refused(bench.office.renew(bench.peer(NEWCOMER), same), ErrorCode.BAD_PROOF, "certificate_request")


async def test_every_certificate_of_a_stolen_key_is_out_with_the_one_that_is_named(bench: Bench) -> None:
    """Who renews with the key that it has, as programs of others do, has two certificates of it for some time."""
    certificates = [await bench.enrolled(Applicant())]
    for number, csr in enumerate((Applicant().csr(), NEW.csr()), 1):
        request = Applicant().renew(Applicant(name=f"key-{number}"), certificate_request=csr)
        renewed = await bench.office.renew(bench.peer(NEWCOMER), request)
        certificates.append(x509.load_pem_x509_certificate(renewed.certificate_chain))
    first, second, other = map(certificate_fingerprint, certificates)
    await bench.revoke(address=NEWCOMER, certificate=second)
    assert bench.entry(NEWCOMER).revoked_certificates == {first.hex(), second.hex()}
    assert other.hex() not in bench.entry(NEWCOMER).revoked_certificates


async def test_certificate_is_revoked_by_the_digest_that_other_programs_show_too(bench: Bench) -> None:
    """`openssl x509 -fingerprint -sha256` digests the whole certificate."""
    certificate = await bench.enrolled(Applicant())
    await bench.revoke(address=NEWCOMER, certificate=sha256(certificate.public_bytes(Encoding.DER)).digest())
    assert bench.entry(NEWCOMER).revoked_certificates == {certificate_fingerprint(certificate).hex()}
    with pytest.raises(GatewayError) as caught:
        authenticate(certificate.public_bytes(Encoding.PEM), bench.material.directory, NOW)
    assert caught.value.code is ErrorCode.REVOKED


async def test_who_was_revoked_comes_in_again_with_new_keys_and_nothing_of_the_old_ones(bench: Bench) -> None:
    old = await bench.enrolled(Applicant())
    await bench.revoke(address=NEWCOMER, participant=True)
    bench.pass_time(hours=1)
    await bench.enrolled(NEW)
    entry = bench.entry(NEWCOMER)
    assert entry.status is Status.ACTIVE
    assert entry.revoked_certificates == {certificate_fingerprint(old).hex()}
    start = (bench.now - profiles.BACKDATED).replace(microsecond=0)
    assert entry.certificates_not_before == start  # those that nobody knows of are out too
    before, now = entry.signing_keys
    assert now.public == bytes(NEW.signing.verify_key)
    assert before.valid_at(NOW - timedelta(minutes=1))  # what it signed then is verifiable for ever
    assert before.not_trusted_after == bench.now  # and nothing signed with it is taken any more


# The list


async def test_every_version_of_the_list_continues_the_one_before(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    await bench.office.renew(bench.peer(NEWCOMER), Applicant().renew(NEW))
    await bench.revoke(address=NEWCOMER, participant=True)
    bench.pass_time(hours=1)
    await bench.enrolled(Applicant(name="third"))
    await bench.revoke(address=world.COURT, participant=True)
    published = next(each for each in bench.trusted.lists if each.node == "ee")
    said = [published, *(each.participants for each in bench.offered)]
    assert [each.version for each in bench.offered] == [*range(4, 4 + len(bench.offered))]
    for before, after in pairwise(said):
        after.check_continues(before)
    assert len(bench.rows()["node_lists"]) == len(bench.offered)


async def test_list_is_signed_with_the_directory_key(bench: Bench) -> None:
    await bench.revoke(address=world.COURT, participant=True)
    kept = bench.newest_list()
    assert kept is not None
    assert kept == bench.offered[-1]
    assert SignedList.read("ee", kept.metadata, kept.content) == kept
    signed = SignedList.sign(office.PROOF_KEYS_OF, kept.participants, kept.version, NOW)
    assert signed == kept  # Ed25519 is deterministic


async def test_node_without_changes_has_no_list_of_its_own(bench: Bench) -> None:
    assert bench.newest_list() is None
    await bench.office.keep_list()
    assert bench.offered == []


async def test_list_that_is_not_published_yet_is_offered_again(bench: Bench) -> None:
    await bench.revoke(address=world.COURT, participant=True)
    await bench.office.keep_list()
    assert len(bench.offered) == 2
    bench.publish(bench.offered[0])
    await bench.office.keep_list()
    assert len(bench.offered) == 2


async def test_list_is_signed_anew_when_half_of_its_life_is_over(bench: Bench) -> None:
    await bench.revoke(address=world.COURT, participant=True)
    bench.publish(bench.offered[-1])
    bench.pass_time(days=44)
    await bench.office.keep_list()
    assert [each.version for each in bench.offered] == [4]
    bench.pass_time(days=2)
    await bench.office.keep_list()
    assert [each.version for each in bench.offered] == [4, 5]
    assert bench.offered[0].content == bench.offered[1].content


async def test_revocation_survives_a_list_that_was_signed_by_hand_meanwhile(bench: Bench) -> None:
    by_hand = next(each for each in bench.trusted.lists if each.node == "ee")
    await bench.revoke(address=world.COURT, participant=True)
    for version in (4, 5):  # as new as the node's own, and newer
        bench.publish(SignedList.sign(office.PROOF_KEYS_OF, by_hand, version, NOW))
        assert bench.entry(world.COURT).status is Status.ACTIVE
        await bench.office.keep_list()
        assert bench.offered[-1].version == version + 1
        assert bench.entry(world.COURT).status is Status.REVOKED


def expire(bench: Bench) -> None:
    """Let the node's published list have expired: it is read as one of people who are out."""
    out = [entry.model_copy(update={"status": Status.REVOKED}) for entry in world.DIRECTORY.participants]
    gone = world.make_directory(out).split()[1]
    problem = Problem(Reason.EXPIRED, "since yesterday")
    bench.trusted = replace(bench.trusted, lists=gone, list_problems={"ee": problem})
    bench.material = office.node_material(bench.material.config, bench.trusted)


async def test_expired_list_does_not_become_what_the_node_says(bench: Bench) -> None:
    expire(bench)
    await refused(bench.code(Applicant()), ErrorCode.UNAVAILABLE, "directory")


async def test_list_that_was_signed_here_outlives_its_published_copy(bench: Bench) -> None:
    await bench.enrolled(Applicant())
    bench.publish(bench.offered[-1])
    expire(bench)
    await bench.revoke(address=world.COURT, participant=True)
    said = {str(entry.address): entry.status for entry in bench.offered[-1].participants.participants}
    assert (said[NEWCOMER], said[world.COURT]) == (Status.ACTIVE, Status.REVOKED)


async def test_older_list_of_its_own_does_not_stand_in_for_a_newer_one_that_expired(bench: Bench) -> None:
    by_hand = next(each for each in bench.trusted.lists if each.node == "ee")
    await bench.enrolled(Applicant())
    bench.publish(SignedList.sign(office.PROOF_KEYS_OF, by_hand, bench.offered[-1].version + 1, NOW))
    expire(bench)
    attack = bench.revoke(address=world.COURT, participant=True)
    await refused(attack, ErrorCode.UNAVAILABLE, "directory")


async def test_node_that_never_said_anything_begins_with_an_empty_list(bench: Bench) -> None:
    others = tuple(each for each in bench.trusted.lists if each.node != "ee")
    bench.trusted = replace(bench.trusted, lists=others, ages=())
    bench.material = office.node_material(bench.material.config, bench.trusted)
    await bench.office.keep_list()
    assert bench.offered == []
    start = await bench.office.add_node_key(bytes(office.signing_key("node").verify_key))
    assert start > NOW
    assert (bench.offered[-1].version, bench.offered[-1].participants.participants) == (1, ())


async def test_list_above_what_others_read_is_not_signed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MAX_LIST_BYTES", 1000)
    await refused(bench.revoke(address=world.COURT, participant=True), ErrorCode.TOO_LARGE, "participants")
    assert bench.rows()["node_lists"] == []


async def test_newcomers_and_new_keys_leave_room_in_the_list_for_revocations(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.enrolled(Applicant())
    waiting = await bench.applied(AUTHORITY)
    await bench.decide(waiting)
    most = len(bench.offered[-1].content)
    limit = most * 4 // 3
    monkeypatch.setattr(desk, "MAX_LIST_BYTES", limit)
    monkeypatch.setattr(desk, "MOST_GROWN_BYTES", most)
    growing = (bench.decide(waiting, SECOND), bench.office.renew(bench.peer(NEWCOMER), Applicant().renew(NEW)))
    for each in growing:
        failure = await refused(each, ErrorCode.TOO_LARGE, "participants")
        assert "MAX_LIST_BYTES" in failure.detail
    await bench.revoke(address=world.COURT, participant=True)  # longer than `most`
    await refused(bench.code(OPERATOR), ErrorCode.TOO_LARGE, "participants")
    await bench.revoke(address=NEWCOMER, participant=True)
    assert most < len(bench.offered[-1].content) <= limit


async def test_further_key_of_the_node_is_listed_with_notice_and_the_founders_key_gets_an_end(bench: Bench) -> None:
    new = bytes(office.signing_key("node").verify_key)
    start = await bench.office.add_node_key(new)
    assert start == NOW + timedelta(seconds=60)
    old, added = bench.material.directory.node("ee").signing_keys
    assert (old.not_after, added) == (start + timedelta(days=1), KeyEntry(public=new, not_before=start))
    bench.pass_time(hours=1)
    assert await bench.office.add_node_key(new) == start
    assert len(bench.offered) == 1


async def test_key_of_a_participant_does_not_become_the_nodes(bench: Bench) -> None:
    public = bench.entry(world.COURT).signing_keys[0].public
    await refused(bench.office.add_node_key(public), ErrorCode.BAD_PROOF, "signing_keys")


async def test_key_of_the_node_does_not_become_a_participants(bench: Bench) -> None:
    key = office.signing_key(AUTHORITY.name)
    await bench.office.add_node_key(bytes(key.verify_key))
    await refused(bench.applied(AUTHORITY), ErrorCode.BAD_PROOF, "signing_key")


async def test_stolen_key_of_the_node_is_revoked_once_there_is_another(bench: Bench) -> None:
    about: dict[str, Any] = {"address": "ee/node", "key_id": key_id(bytes(world.signing_key("ee/node").verify_key))}
    await refused(bench.revoke(**about), ErrorCode.NOT_PERMITTED, "key_id")
    await refused(bench.revoke(**about | {"key_id": bytes(16)}), ErrorCode.NOT_FOUND, "key_id")
    await bench.office.add_node_key(bytes(office.signing_key("node").verify_key))
    bench.pass_time(minutes=2)
    await bench.revoke(**about)
    old, added = bench.material.directory.node("ee").signing_keys
    assert (old.valid_at(bench.now), added.valid_at(bench.now)) == (False, True)


async def test_lost_certificate_of_the_node_is_revoked_but_not_the_one_it_serves_with(bench: Bench) -> None:
    await bench.revoke(address="ee/node", certificate=bytes(32))
    assert bench.material.directory.node("ee").revoked_certificates == {bytes(32).hex()}
    serving = certificate_fingerprint(office.leaf(bench.material.identity.chain_pem))
    await refused(bench.revoke(address="ee/node", certificate=serving), ErrorCode.NOT_PERMITTED, "certificate")


async def test_the_node_itself_is_for_the_founders_to_put_out(bench: Bench) -> None:
    await refused(bench.revoke(address="ee/node", participant=True), ErrorCode.NOT_PERMITTED, "address")
