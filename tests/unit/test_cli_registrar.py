"""A registrar sees and signs the very bytes that the applicant sent; its command line refuses what makes no sense."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import grpc.aio
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from rogatory.v1 import enrolment_pb2 as pb

from certs.pki import DevelopmentPki
from clients.invitation import Invitation
from clients.participant import Participant, Parts
from clients.registrar import MAX_APPLICATIONS, MAX_DECISIONS, Registrar
from gateway import signature
from gateway.cli import commands
from gateway.cli.development import Summary, init_federation
from gateway.cli.registrar import _fingerprint as fingerprint_of
from gateway.clock import system_clock, to_micros
from gateway.errors import ErrorCode, GatewayError
from gateway.identity import Address, Role
from gateway.registry import proofs
from gateway.signature import Domain
from gateway.transport import TlsIdentity
from tests import world
from tests.errors import raises

REGISTRAR = "ee/registrar"
OTHER = "ee/registrar-2"
LHV = Address("ee", "exchange-lhv")
CODE = "ABCD-EFGH"


class FakeChannel:
    """A channel to a node that answers by script, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Any] = []

    def unary_unary(self, path: str, *_: object, **__: object) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, timeout: float) -> Any:  # noqa: ASYNC109  as gRPC has it
            self.asked.append(request)
            answer = self.answers[path.rpartition("/")[2]]
            return answer(request) if callable(answer) else answer

        return call


class Detached(Participant):
    """A participant whose node is a script."""

    def __init__(self, parts: Parts, line: FakeChannel) -> None:
        super().__init__(parts)
        self._line = line

    @contextmanager
    def channel(self) -> Iterator[grpc.aio.Channel]:
        yield cast("grpc.aio.Channel", self._line)


@pytest.fixture
def line() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def registrar(tmp_path: Path, line: FakeChannel) -> Registrar:
    parts = Parts(
        directory=world.DIRECTORY,
        address=Address.parse(REGISTRAR),
        tls=TlsIdentity(b"", b""),
        home=tmp_path,
        signing_keys=(world.signing_key(REGISTRAR),),
        clock=lambda: world.NOW,
    )
    return Registrar(Detached(parts, line))


def application(address: Address = LHV, **changes: Any) -> pb.Application:
    key = ec.generate_private_key(ec.SECP256R1())
    fields: dict[str, Any] = {
        "federation": "rogatory.test",
        "address": str(address),
        "roles": ["exchange"],
        "legal_name": "AS LHV Pank",
        "lei": "529900T8BM49AURSDO55",
        "signing_key": bytes(32),
        "sealing_key": bytes(32),
        "certificate_request": proofs.certificate_request(key, address, "rogatory.test"),
        "code_digest": bytes(32),
        "made_at_us": 1,
    }
    return pb.Application(**fields | changes)


def entry(made: pb.Application | None = None, **changes: Any) -> pb.ApplicationEntry:
    raw = (made or application()).SerializeToString(deterministic=True)
    fields: dict[str, Any] = {
        "application_id": sha256(raw).digest(),
        "application": raw,
        "state": pb.APPLICATION_STATE_PENDING,
        "approvals_needed": 2,
        "received_at_us": to_micros(world.NOW),
    }
    return pb.ApplicationEntry(**fields | changes)


def decision(
    about: bytes, by: str = OTHER, signer: str = "", key_of: str = "", at_us: int = to_micros(world.NOW)
) -> pb.SignedDecision:
    said = pb.Decision(application_id=about, registrar=by, approved=True, at_us=at_us)
    raw = said.SerializeToString(deterministic=True)
    signed = signature.sign(Domain.DECISION, raw, signer or by, world.signing_key(key_of or by))
    return pb.SignedDecision(decision=raw, signature=signed)


def decided(times: int) -> pb.ApplicationEntry:
    made = application()
    return entry(made, decisions=[decision(entry(made).application_id)] * times)


def listing(line: FakeChannel, entries: Sequence[pb.ApplicationEntry]) -> None:
    line.answers["ListApplications"] = pb.ListApplicationsResponse(applications=entries)


async def refused(work: Awaitable[object]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        await work
    return caught.value.code


async def test_an_application_is_shown_as_its_bytes_say(registrar: Registrar, line: FakeChannel) -> None:
    made = application()
    raw = entry(made)
    listing(line, [entry(made, decisions=[decision(raw.application_id)])])
    (found,) = await registrar.applications()
    assert found.application == made
    assert [(each.registrar, each.approved) for each in found.verdicts] == [(OTHER, True)]
    assert found.key_ids["signing"] == signature.key_id(bytes(32)).hex()


WRONG: dict[str, Callable[[], pb.ApplicationEntry]] = {
    "received at a time that no calendar has": lambda: entry(received_at_us=1 << 62),
    "decided at a time that no calendar has": lambda: entry(decisions=[decision(bytes(32), at_us=1 << 62)]),
    "the id of other bytes": lambda: entry(application_id=bytes(32)),
    "another federation": lambda: entry(application(federation="other.test")),
    "another country": lambda: entry(application(Address.parse("de/exchange-lhv"))),
    "a certificate request of another name": lambda: entry(
        application(certificate_request=application(Address.parse("ee/another")).certificate_request)
    ),
    "no certificate request": lambda: entry(application(certificate_request=b"none")),
    "no roles": lambda: entry(application(roles=[])),
    "a decision on another application": lambda: entry(decisions=[decision(bytes(32))]),
    "more decisions than are ever made": lambda: decided(MAX_DECISIONS + 1),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_application_that_is_not_what_the_node_says_is_refused(
    registrar: Registrar, line: FakeChannel, wrong: str
) -> None:
    listing(line, [WRONG[wrong]()])
    assert await refused(registrar.applications()) is ErrorCode.BAD_PROOF


@pytest.mark.parametrize(
    ("forgery", "code"),
    [
        ({"signer": REGISTRAR}, ErrorCode.BAD_PROOF),
        ({"key_of": REGISTRAR}, ErrorCode.BAD_SIGNATURE),
    ],
)
async def test_an_approval_that_a_node_made_up_is_not_shown(
    registrar: Registrar, line: FakeChannel, forgery: dict[str, Any], code: ErrorCode
) -> None:
    made = application()
    listing(line, [entry(made, decisions=[decision(entry(made).application_id, **forgery)])])
    assert await refused(registrar.applications()) is code


async def test_what_was_said_with_a_key_that_is_put_out_does_not_count(registrar: Registrar, line: FakeChannel) -> None:
    made = application()
    out = {"not_trusted_after": world.NOW}
    entries = [
        each.model_copy(update={"signing_keys": (world.signing_entry(OTHER, **out),)})
        if str(each.address) == OTHER
        else each
        for each in world.DIRECTORY.participants
    ]
    registrar._me.parts = replace(registrar._me.parts, directory=world.make_directory(entries))
    listing(line, [entry(made, decisions=[decision(entry(made).application_id)])])
    (found,) = await registrar.applications()
    assert found.verdicts == ()


async def test_a_decision_is_over_the_digest_of_the_bytes_that_were_shown(
    registrar: Registrar, line: FakeChannel
) -> None:
    made = entry()
    listing(line, [made])
    line.answers["Decide"] = pb.DecideResponse(state=pb.APPLICATION_STATE_PENDING, approvals=1, approvals_needed=2)
    applied = await registrar.find(made.application_id.hex()[:8])
    progress = await registrar.decide(applied, approved=True)
    signed = line.asked[-1].decision
    said = pb.Decision.FromString(signed.decision)
    assert (said.application_id, said.registrar, said.approved) == (made.application_id, REGISTRAR, True)
    signature.verify(Domain.DECISION, signed.decision, signed.signature, bytes(world.signing_key(REGISTRAR).verify_key))
    assert (progress.approvals, progress.approvals_needed) == (1, 2)


async def test_the_same_decision_again_is_the_same_bytes(registrar: Registrar, line: FakeChannel) -> None:
    made = application()
    before = decision(entry(made).application_id, by=REGISTRAR)
    listing(line, [entry(made, decisions=[before])])
    line.answers["Decide"] = pb.DecideResponse()
    (applied,) = await registrar.applications()
    await registrar.decide(applied, approved=True)
    assert line.asked[-1].decision == before


async def test_the_beginning_of_an_id_must_name_one_application(registrar: Registrar, line: FakeChannel) -> None:
    listing(line, [entry(), entry()])
    assert await refused(registrar.find("")) is ErrorCode.NOT_FOUND
    assert await refused(registrar.find("nothing")) is ErrorCode.NOT_FOUND


async def test_what_has_waited_longer_than_all_that_a_node_shows_of_the_decided_is_found(
    registrar: Registrar, line: FakeChannel
) -> None:
    waiting, decided = entry(), entry(state=pb.APPLICATION_STATE_APPROVED)
    line.answers["ListApplications"] = lambda request: pb.ListApplicationsResponse(
        applications=[decided] if request.all else [waiting]
    )
    for each in (waiting, decided):
        assert (await registrar.find(each.application_id.hex()[:8])).application_id == each.application_id


async def test_a_node_that_lists_without_end_is_read_no_further(registrar: Registrar, line: FakeChannel) -> None:
    listing(line, [entry()] * (MAX_APPLICATIONS + 5))
    assert len(await registrar.applications()) == MAX_APPLICATIONS


async def test_a_revocation_names_who_what_why_and_is_signed(registrar: Registrar, line: FakeChannel) -> None:
    line.answers["Revoke"] = pb.RevokeResponse(list_version=7)
    assert await registrar.revoke_key(LHV, bytes(16), "stolen", world.NOW) == 7
    request = line.asked[-1]
    said = pb.Revocation.FromString(request.revocation)
    assert (said.address, said.key_id, said.not_trusted_after_us, said.reason) == (
        str(LHV),
        bytes(16),
        to_micros(world.NOW),
        "stolen",
    )
    assert (said.registrar, said.at_us) == (REGISTRAR, to_micros(world.NOW))
    public = bytes(world.signing_key(REGISTRAR).verify_key)
    signature.verify(Domain.REVOCATION, request.revocation, request.signature, public)


@pytest.mark.parametrize("since", [datetime(1970, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)])
async def test_a_key_that_is_never_to_be_trusted_is_not_trusted_until_now(
    registrar: Registrar, line: FakeChannel, since: datetime
) -> None:
    line.answers["Revoke"] = pb.RevokeResponse(list_version=7)
    assert await refused(registrar.revoke_key(LHV, bytes(16), "stolen", since)) is ErrorCode.BAD_INPUT
    assert line.asked == []


async def test_a_revocation_without_a_reason_is_not_made(registrar: Registrar, line: FakeChannel) -> None:
    assert await refused(registrar.revoke_participant(LHV, "")) is ErrorCode.BAD_INPUT
    assert line.asked == []


async def invited(registrar: Registrar, line: FakeChannel, **changes: Any) -> Invitation:
    ca = DevelopmentPki("rogatory.test", world.NOW).node_ca("ee").pem.decode()
    nodes = [each.model_copy(update={"ca": ca}) for each in world.DIRECTORY.nodes]
    registrar._me.parts = replace(registrar._me.parts, directory=world.make_directory(nodes=nodes))
    fields: dict[str, Any] = {"code": CODE, "expires_at_us": 1, "endpoint": "localhost:2", "proof_key": bytes(32)}
    line.answers["Invite"] = pb.InviteResponse(**fields | changes)
    return await registrar.invite(LHV, [Role.EXCHANGE], root="{}", repository="fed")


async def test_an_invitation_names_the_node_of_the_registrars_own_directory(
    registrar: Registrar, line: FakeChannel
) -> None:
    made = await invited(registrar, line)
    assert (made.code, made.endpoint, made.node) == (CODE, "localhost:2", "localhost:1")


@pytest.mark.parametrize("wrong", [{"endpoint": ""}, {"proof_key": b"short"}, {"code": ""}, {"expires_at_us": 1 << 62}])
async def test_an_answer_that_is_no_invitation_is_refused_without_a_word_of_its_code(
    registrar: Registrar, line: FakeChannel, wrong: dict[str, Any]
) -> None:
    with pytest.raises(GatewayError) as caught:
        await invited(registrar, line, **wrong)
    assert caught.value.code is ErrorCode.BAD_PROOF
    assert CODE not in str(caught.value)


# The command line


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return init_federation(tmp_path_factory.mktemp("registrars") / "fed", ["ee"], [7440], system_clock())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["approve", "xyz"], "BAD_INPUT"),
        (["approve", "0123456"], "BAD_INPUT"),
        (["approve", "01234567"], "BAD_INPUT"),  # with --json nobody is asked
        (["revoke", "ee/court", "--reason", "r"], "BAD_INPUT"),  # nobody can be asked
        (["revoke", "ee/court", "--reason", "r", "--key", "00000000", "--yes"], "NOT_FOUND"),
        (["revoke", "ee/court", "--reason", "r", "--key", "0", "--yes"], "NOT_FOUND"),
        (["revoke", "ee/court", "--reason", "r", "--key", "00000000", "--certificate", "x"], "BAD_INPUT"),
        (["revoke", "ee/court", "--reason", "r", "--certificate", "missing.pem", "--yes"], "BAD_INPUT"),
        (["revoke", "ee/court", "--reason", "r", "--not-trusted-after", "2026-01-01T00:00:00Z"], "BAD_INPUT"),
        (["revoke", "ee/court", "--reason", "r", "--key", "0", "--not-trusted-after", "yesterday"], "BAD_INPUT"),
        (["revoke", "ee/court", "--reason", "r", "--key", "0", "--not-trusted-after", "2026-01-01T00:00"], "BAD_INPUT"),
        (["revoke", "nobody", "--reason", "r"], "MALFORMED"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_node_is_asked(fed: Summary, arguments: list[str], code: str) -> None:
    config = str(fed.config(REGISTRAR))
    result = CliRunner().invoke(commands, ["registrar", *arguments, "--config", config, "--json"])
    assert result.exit_code == 2, result.output
    assert json.loads(result.stdout)["error"]["code"] == code


def test_an_invitation_does_not_overwrite_a_file(fed: Summary, tmp_path: Path) -> None:
    out = tmp_path / "invitation"
    out.write_text("something")
    arguments = ["invite", str(LHV), "--role", "exchange", "--out", str(out), "--config", str(fed.config(REGISTRAR))]
    result = CliRunner().invoke(commands, ["registrar", *arguments, "--json"])
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (2, "BAD_INPUT")
    assert out.read_text() == "something"


def test_a_node_that_is_away_is_a_failure(fed: Summary) -> None:
    result = CliRunner().invoke(commands, ["registrar", "list", "--config", str(fed.config(REGISTRAR)), "--json"])
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "UNAVAILABLE")


@pytest.mark.parametrize(
    "shown",
    ["ab" * 32, "AB" * 32, ":".join(["AB"] * 32), f"sha256 Fingerprint={':'.join(['AB'] * 32)}"],
)
def test_fingerprint_is_taken_as_openssl_prints_it(shown: str) -> None:
    assert fingerprint_of(shown) == b"\xab" * 32


@pytest.mark.parametrize("shown", ["ab" * 31, "zz" * 32])
def test_what_is_no_fingerprint_is_looked_for_as_a_file(shown: str) -> None:
    with raises(ErrorCode.BAD_INPUT):
        fingerprint_of(shown)
