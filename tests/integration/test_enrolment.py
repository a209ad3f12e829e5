"""Becoming a participant, with real nodes: invitation, application, four eyes, certificate, directory entry."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from nacl.signing import SigningKey
from rogatory.v1 import enrolment_pb2 as pb

from clients.enrolment import Applicant
from clients.invitation import Invitation
from clients.participant import Participant
from clients.registrar import Registrar
from gateway import keys, material
from gateway.clock import system_clock
from gateway.directory import Status
from gateway.errors import ErrorCode, GatewayError
from gateway.identity import Address, Role
from gateway.store.registry import StoredList
from gateway.trust import development
from gateway.trust.lists import SignedList
from tests import world
from tests.enrolling import (
    LEI,
    REGISTRARS,
    applied,
    approved,
    decided,
    enrolled,
    entered,
    invited,
    listed,
    registering,
)
from tests.federation import UNTIL_SECONDS, Federation, beside, until
from tests.processes import finished

pytestmark = pytest.mark.integration

LHV = "ee/exchange-lhv"


@pytest_asyncio.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with registering(tmp_path / "fed", start=["ee"]) as made:
        yield made


async def refused(work: Callable[[], Awaitable[object]]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        await work()
    return caught.value.code


async def test_an_exchange_is_enrolled_by_two_registrars_and_can_speak_to_its_node(
    fed: Federation, tmp_path: Path
) -> None:
    settings = await enrolled(fed, LHV, Role.EXCHANGE, folder=tmp_path / "lhv")
    loaded = material.load_participant(settings)
    entry = loaded.directory.participant(loaded.address)
    assert entry is not None
    assert (entry.roles, entry.legal_name, entry.lei) == (frozenset({Role.EXCHANGE}), "AS LHV Pank", LEI)
    async with Participant.of(loaded) as participant:
        assert await participant.collect_available() == []


async def test_one_registrar_is_not_enough_for_an_exchange_nor_for_a_court(fed: Federation, tmp_path: Path) -> None:
    exchange = await applied(await invited(fed, LHV, Role.EXCHANGE), tmp_path / "lhv")
    court = await applied(await invited(fed, "ee/court-2", Role.COURT), tmp_path / "court", "Harju Maakohus", "")
    for applicant in (exchange, court):
        about = (await applicant.outcome()).application_id
        assert await decided(fed, about, REGISTRARS[:1]) == pb.APPLICATION_STATE_PENDING
        outcome = await applicant.outcome()
        assert (outcome.approvals, outcome.approvals_needed, outcome.chain) == (1, 2, b"")
    assert await decided(fed, about, REGISTRARS[1:]) == pb.APPLICATION_STATE_APPROVED


async def test_one_registrar_does_not_decide_twice(fed: Federation, tmp_path: Path) -> None:
    applicant = await applied(await invited(fed, LHV, Role.EXCHANGE), tmp_path / "lhv")
    application_id = (await applicant.outcome()).application_id
    for _ in range(2):  # the same again is the same answer
        assert await decided(fed, application_id, REGISTRARS[:1]) == pb.APPLICATION_STATE_PENDING
    code = await refused(lambda: decided(fed, application_id, REGISTRARS[:1], approved=False, reason="second thoughts"))
    assert code is ErrorCode.FOUR_EYES
    assert (await applicant.outcome()).approvals == 1


async def test_a_single_rejection_rejects_and_says_why(fed: Federation, tmp_path: Path) -> None:
    applicant = await applied(await invited(fed, LHV, Role.EXCHANGE), tmp_path / "lhv")
    application_id = (await applicant.outcome()).application_id
    await decided(fed, application_id, REGISTRARS[:1])
    assert (
        await decided(fed, application_id, REGISTRARS[1:], approved=False, reason="unknown firm")
        == pb.APPLICATION_STATE_REJECTED
    )
    outcome = await applicant.wait(5.0)
    assert (outcome.state, outcome.reason) == (pb.APPLICATION_STATE_REJECTED, "unknown firm")


async def test_the_same_application_again_is_the_same_application(fed: Federation, tmp_path: Path) -> None:
    applicant = await applied(await invited(fed, LHV, Role.EXCHANGE), tmp_path / "lhv")
    assert await applicant.apply() == await applicant.apply()


async def test_a_reused_enrolment_code_is_refused(fed: Federation, tmp_path: Path) -> None:
    invitation = await invited(fed, LHV, Role.EXCHANGE)
    await applied(invitation, tmp_path / "lhv")
    assert await refused(lambda: applied(invitation, tmp_path / "again")) is ErrorCode.ENROLMENT_CODE


async def test_a_code_for_one_address_does_not_let_another_one_in(fed: Federation, tmp_path: Path) -> None:
    invitation = await invited(fed, LHV, Role.EXCHANGE)
    for changes in ({"address": Address.parse("ee/other")}, {"roles": (Role.COURT,)}):
        other = invitation.model_copy(update=changes)
        folder = tmp_path / f"{other.address.name}-{other.roles[0].value}"
        code = await refused(partial(applied, other, folder))
        assert code is ErrorCode.ENROLMENT_CODE
    await applied(invitation, tmp_path / "lhv")  # and is not used up by that


async def test_nobody_but_the_node_of_the_invitation_is_told_the_code(fed: Federation, tmp_path: Path) -> None:
    """Whoever sits at the address of the door has to be the node, by the CA of the invitation."""
    invitation = await invited(fed, LHV, Role.EXCHANGE)
    foreign = fed.summary.folder / "pki" / "de" / "ca.pem"
    wrong = invitation.model_copy(update={"node_ca": foreign.read_text()})
    assert await refused(lambda: applied(wrong, tmp_path / "lhv")) is ErrorCode.UNAVAILABLE
    await applied(invitation, tmp_path / "second")


async def test_who_is_no_registrar_invites_nobody(fed: Federation) -> None:
    assert await refused(lambda: invited(fed, LHV, Role.EXCHANGE, by="ee/court")) is ErrorCode.NOT_PERMITTED


async def test_nobody_is_invited_to_another_country(fed: Federation) -> None:
    assert await refused(lambda: invited(fed, "de/exchange-2", Role.EXCHANGE)) is ErrorCode.NOT_PERMITTED


async def test_whoever_is_interrupted_goes_on_with_the_same_application(fed: Federation, tmp_path: Path) -> None:
    """The process may end after every step; a new one knows nothing but the folder and the invitation."""
    invitation, folder = await invited(fed, LHV, Role.EXCHANGE), tmp_path / "lhv"
    Applicant(invitation, folder, None).prepare("AS LHV Pank", LEI)
    first = Applicant(invitation, folder, None)
    first.prepare()
    application_id = (await first.apply()).application_id
    await decided(fed, application_id)
    second = Applicant(invitation, folder, None)
    second.prepare()
    assert (await second.apply()).application_id == application_id
    outcome = await approved(second)
    settings = second.finish(outcome)
    assert Applicant(invitation, folder, None).finish(outcome) == settings
    await listed(settings)


async def test_a_participant_that_was_put_out_comes_in_again_with_new_keys(fed: Federation, tmp_path: Path) -> None:
    settings = await enrolled(fed, LHV, Role.EXCHANGE, folder=tmp_path / "lhv")
    async with entered(fed, REGISTRARS[0]) as participant:
        await Registrar(participant).revoke_participant(Address.parse(LHV), "key stolen")
    gone = Address.parse(LHV)
    async with asyncio.timeout(UNTIL_SECONDS):
        while (entry := fed.directory.participant(gone)) is None or entry.status is Status.ACTIVE:
            await asyncio.sleep(0.05)
    assert await refused(lambda: asyncio.to_thread(material.load_participant, settings)) is ErrorCode.REVOKED
    again = await enrolled(fed, LHV, Role.EXCHANGE, folder=tmp_path / "again")
    loaded = material.load_participant(again)
    entry = loaded.directory.participant(gone)
    assert entry is not None
    assert len(entry.signing_keys) == 2  # what the first one signed stays verifiable
    assert [key.not_after < entry.signing_keys[1].not_after for key in entry.signing_keys[:1]] == [True]


async def test_who_is_put_out_is_out_at_the_other_processes_of_the_node_before_anything_is_published(
    fed: Federation,
) -> None:
    fiu = Address.parse("ee/fiu")
    async with beside(fed) as (second, _), entered(fed, REGISTRARS[0]) as participant:
        assert second.upkeep.directory().roles(str(fiu))
        await Registrar(participant).revoke_participant(fiu, "key stolen")
        await until(lambda: not second.upkeep.directory().roles(str(fiu)))


async def test_a_list_in_the_store_that_the_key_of_the_list_did_not_sign_lets_nobody_in(fed: Federation) -> None:
    trusted = fed.nodes["ee"].upkeep.material.trusted
    listed = next(each for each in trusted.lists if each.node == "ee")
    thief = world.participant("ee/thief", Role.COURT)
    forged = listed.model_copy(update={"participants": (*listed.participants, thief)})
    right = keys.load_signing_key(development.node_key(fed.summary.folder, "ee"), None)
    # Its own process is not asked: what it has signed it goes on from.
    await fed.stop("ee")
    for version, key in ((1000, SigningKey.generate()), (1001, right)):
        made = SignedList.sign(key, forged, version, system_clock())
        await stored(fed, StoredList(version, made.metadata, made.content, 0))
        async with beside(fed) as (other, _):
            assert bool(other.upkeep.directory().roles("ee/thief")) is (key is right)


async def stored(fed: Federation, made: StoredList) -> None:
    """Write a list into the store as whoever can write there."""
    async with beside(fed) as (node, _):
        assert node._writer is not None
        await node._writer.write(lambda txn: txn.registry.add_list(made))


async def test_a_participant_can_have_the_directory_from_its_own_node(fed: Federation, tmp_path: Path) -> None:
    node = next(each for each in fed.summary.nodes if each.address.node == "ee")
    invitation = await invited(fed, LHV, Role.EXCHANGE, repository=f"grpcs://{node.endpoint}")
    applicant = await applied(invitation, tmp_path / "lhv")
    await decided(fed, (await applicant.outcome()).application_id)
    found = await listed(applicant.finish(await approved(applicant)))
    assert found.address == LHV


# The command line, each command a process of its own


def config(fed: Federation, address: str) -> str:
    return str(fed.summary.config(address))


async def run(*arguments: str, status: int = 0) -> dict[str, object]:
    code, out, err = await finished(*arguments, "--json")
    assert code == status, (out, err)
    assert "Traceback" not in err
    found: dict[str, object] = json.loads(out)
    return found


async def test_the_command_line_enrols_from_invitation_to_inbox_and_shows_no_secret(
    fed: Federation, tmp_path: Path
) -> None:
    path, folder = tmp_path / "lhv.invitation", tmp_path / "lhv"
    shown = []
    first, second = (config(fed, each) for each in REGISTRARS)
    made = await run("registrar", "invite", LHV, "--role", "exchange", "--config", first, "--out", str(path))
    shown.append(made)
    enrol = ["enrol", str(path), str(folder), "--plain-keys"]
    names = ["--legal-name", "AS LHV Pank", "--lei", LEI]
    applied_ = await run(*enrol, *names, "--no-wait")
    shown.append(applied_)
    application = applied_["application"]
    assert isinstance(application, dict)
    assert (application["state"], applied_["settings"]) == ("pending", None)
    waiting = await run("registrar", "list", "--config", second)
    shown.append(waiting)
    assert [each["id"] for each in waiting["applications"]] == [application["id"]]  # type: ignore[attr-defined]
    beginning = application["id"][:8]
    refused_ = await run("registrar", "approve", beginning, "--config", first, status=2)
    assert refused_["error"]["code"] == "BAD_INPUT"  # type: ignore[index]  # nobody can be asked
    shown += [await run("registrar", "approve", beginning, "--yes", "--config", each) for each in (first, second)]
    assert (shown[-1]["state"], shown[-1]["approvals"]) == ("approved", 2)
    done = await run(*enrol)
    shown.append(done)
    assert done["settings"] == str(folder / "participant.toml")
    shown.append(await run("inbox", "--config", str(folder / "participant.toml")))
    assert await run(*enrol) == done
    assert (await run("registrar", "list", "--config", first))["applications"] == []
    secrets = [Invitation.read(path).code, *(each.read_text().splitlines()[1] for each in folder.glob("*.key"))]
    text = json.dumps(shown)
    assert len(secrets) == 4
    assert all(secret not in text for secret in secrets)
    revoked = await run("registrar", "revoke", LHV, "--reason", "test", "--yes", "--config", second)
    assert revoked["address"] == LHV
    gone = await run("inbox", "--config", str(folder / "participant.toml"), status=2)
    assert gone["error"]["code"] == "REVOKED"  # type: ignore[index]
