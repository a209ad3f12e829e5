"""Keys and certificates change while traffic flows: what is sent comes once, and none of it is refused."""

# First of all: gRPC's C core reads its cipher list when grpc is imported, see gateway.tls.
from gateway import tls  # isort: skip  # noqa: F401

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from certs import profiles
from certs.profiles import Profile
from clients.auditing.signed import ALWAYS, Trust
from clients.central_authority import CentralAuthority
from clients.intake import Faulty, Received
from clients.investigator import Investigator
from clients.participant import Participant
from clients.registrar import Registrar
from clients.upkeep import is_due
from gateway import keys, material, witness
from gateway.clock import system_clock
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.publisher import Publisher
from gateway.registry import keeping
from gateway.signature import key_id
from gateway.store.log import LogView
from gateway.transport import TlsIdentity
from gateway.trust.lists import SignedList
from tests import paperwork
from tests.enrolling import REFRESH_SECONDS, REGISTRARS, entered, registering
from tests.federation import Federation, authority_of, code_of, ports, until
from tests.files import cast_of, random_file, receive
from tests.integration.test_attachments import files_of
from tests.integration.test_witnesses import asked, cosigned_by, told
from tests.processes import finished
from tests.witnessed import ORIGIN

pytestmark = pytest.mark.integration

SECONDS = 60.0
PROSECUTOR, HOME, ABROAD = "ee/prosecutor", "ee/central-authority", "de/central-authority"
ROUNDS_IN_FLIGHT = 4


@pytest_asyncio.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Federation]:
    async with registering(tmp_path / "fed") as made:
        yield made


async def rotate(fed: Federation, address: str, *what: str) -> dict[str, str]:
    """Rotate as a person does: by a process of its own, while others run."""
    status, out, err = await finished("keys", "rotate", "--config", str(fed.summary.config(address)), *what, "--json")
    assert status == 0, (out, err)
    found: dict[str, str] = json.loads(out)
    return found


def draft(prosecutor: Participant, case_id: str) -> pb.SignedEnvelope:
    """Draft a freeze request, for the own central authority to countersign."""
    made = Investigator(prosecutor).draft_freeze(
        paperwork.request(),
        to=ABROAD,
        via=HOME,
        case_id=case_id,
        instrument="eu-2018-1805",
        measures=[paperwork.BLOCK],
        data_classes=[paperwork.TRANSACTIONAL],
    )
    return made.draft.envelope


@dataclass
class Traffic:
    """Freeze requests, drafted, countersigned and sent abroad, again and again; each step by whom it belongs to."""

    prosecutor: Participant
    home: Participant
    abroad: Participant
    sent: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    faults: list[object] = field(default_factory=list)
    stopping: bool = False

    async def draft(self) -> None:
        while not self.stopping:
            self.sent += 1
            await self.submit(self.prosecutor, draft(self.prosecutor, f"EE-{self.sent}"))
            await until(lambda: self.sent - len(self.arrived) < ROUNDS_IN_FLIGHT or bool(self.faults))

    async def countersign(self) -> None:
        async for received in self.collected(self.home):
            await self.submit(self.home, CentralAuthority(self.home).countersign(received).envelope)

    async def add(self) -> None:
        async for word in self.collected(self.prosecutor):
            await self.submit(self.prosecutor, Investigator(self.prosecutor).add_countersignature(word))

    async def arrive(self) -> None:
        async for request in self.collected(self.abroad):
            self.arrived[request.header.case_id] += 1

    async def submit(self, who: Participant, raw: pb.SignedEnvelope) -> None:
        try:
            await who.submit(raw)
        except Refusal as error:
            self.faults.append(error)

    async def collected(self, who: Participant) -> AsyncIterator[Received]:
        async with aclosing(who.collect()) as items:
            async for item in items:
                if isinstance(item, Faulty):
                    self.faults.append(item.error)
                elif isinstance(item, Received):
                    who.done(item)
                    yield item

    async def told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  whatever it is, nothing must have gone wrong
            self.faults.append(error)

    async def more(self, rounds: int = 3) -> None:
        """Return once so many more rounds are complete that began after now."""
        goal = self.sent + rounds
        await until(lambda: len(self.arrived) >= goal or bool(self.faults))


@asynccontextmanager
async def traffic(fed: Federation) -> AsyncIterator[Traffic]:
    """Let traffic flow; at its end, all that was sent has come, once, and nothing was refused."""
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(entered(fed, each)) for each in (PROSECUTOR, HOME, ABROAD)]
        prosecutor, home, abroad = people
        made = Traffic(prosecutor, home, abroad)
        drafting = asyncio.create_task(made.told(made.draft()))
        work = (made.countersign(), made.add(), made.arrive())
        tasks = [asyncio.create_task(made.told(each)) for each in work]
        await made.more(1)
        yield made
        made.stopping = True
        await drafting
        await until(lambda: len(made.arrived) == made.sent or bool(made.faults))
        for each in people:
            each.stop()
        await asyncio.gather(*tasks)
        assert made.faults == []
        assert made.arrived == Counter({f"EE-{number}": 1 for number in range(1, made.sent + 1)})


@pytest.mark.parametrize("who", [PROSECUTOR, HOME, ABROAD])
async def test_a_participant_gets_new_keys_and_certificate_under_load_and_nothing_is_lost(
    fed: Federation, who: str
) -> None:
    async with traffic(fed) as flowing:
        running = {PROSECUTOR: flowing.prosecutor, HOME: flowing.home, ABROAD: flowing.abroad}[who]
        old, identity = running.signing_key, running.parts.tls
        made = await rotate(fed, who, "--signing", "--sealing", "--tls")
        await until(lambda: running.signing_key != old and running.parts.tls != identity)
        await flowing.more()
        loaded = await asyncio.to_thread(material.load_participant, fed.summary.config(who))
        assert str(loaded.config.certificate) == made["certificate"]
        assert (len(running.parts.signing_keys), len(running.parts.sealing_keys)) == (2, 2)
        assert running.signing_key == loaded.signing_keys[1]


@pytest.mark.parametrize("code", ["ee", "de"])
async def test_a_node_gets_a_new_certificate_and_signing_key_under_load_and_nothing_is_lost(
    fed: Federation, code: str
) -> None:
    async with traffic(fed) as flowing:
        node = fed.nodes[code]
        old, identity = node.upkeep.material.signing_key.public_key, node.upkeep.material.identity
        await rotate(fed, f"{code}/node", "--signing", "--tls")
        await until(
            lambda: node.upkeep.material.signing_key.public_key != old and node.upkeep.material.identity != identity
        )
        await flowing.more()


async def test_a_node_moves_and_the_others_follow_it_without_a_restart_also_if_the_new_place_was_mistyped(
    fed: Federation, tmp_path: Path
) -> None:
    """Couriers, witnesses and freight."""
    settings, old = fed.summary.config("de/node"), fed.directory.node("de").endpoint
    new, mistyped = (f"127.0.0.1:{port}" for port in ports(2))
    async with traffic(fed) as flowing:
        await fed.stop("de")
        text = settings.read_text().replace(f'listen = "{old}"', f'listen = "{new}"\nendpoint = "{mistyped}"')
        settings.write_text(text)
        await fed.start("de")
        ee = fed.nodes["ee"]
        await until(lambda: ee.upkeep.directory().node("de").endpoint == mistyped)
        settings.write_text(text.replace(mistyped, new))
        await until(lambda: ee.upkeep.directory().node("de").endpoint == new)
        await flowing.more()
        newest = await asked(ee, LogView.newest)
        await flowing.more()
        assert (await cosigned_by(fed, 1, newest.checkpoint.size + 1))[1].by == ("de.rogatory.test",)
    async with cast_of(fed) as cast:
        file = cast.prosecutor.attach(random_file(tmp_path, 100_000))
        await cast.prosecutor.submit(await cast.request([file]))
        await cast.abroad.fetch(files_of(await receive(cast.abroad))[0], tmp_path / "arrived")


async def test_the_old_machine_of_a_node_that_moves_does_not_contradict_the_new_one(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, ee = fed.summary.config("ee/node"), fed.nodes["ee"]
    old, new = (f"127.0.0.1:{port}" for port in ports(2))
    settings.write_text(f'endpoint = "{old}"\n' + settings.read_text())
    await until(lambda: ee.upkeep.directory().node("ee").endpoint == old)
    office = ee._office
    assert office is not None
    await office.move_node(new)
    keep_list, rounds = office.keep_list, 0

    async def counted() -> None:
        nonlocal rounds
        rounds += 1
        await keep_list()

    monkeypatch.setattr(office, "keep_list", counted)
    await until(lambda: rounds >= 3)
    assert ee.upkeep.directory().node("ee").endpoint == new


async def test_log_that_rests_is_signed_anew_once_the_key_of_its_last_checkpoint_is_found_stolen(
    tmp_path: Path,
) -> None:
    async with registering(tmp_path / "fed", registry={"notice_seconds": 0.5}) as fed:
        ee, de, node = fed.nodes["ee"], fed.nodes["de"], Address.of_node("ee")
        async with entered(fed, PROSECUTOR) as prosecutor:
            await prosecutor.submit(draft(prosecutor, "EE-1"))
        size = await asked(ee, LogView.size)
        await cosigned_by(fed, 1, size)
        stolen = ee.upkeep.material.signing_key.public_key
        await rotate(fed, "ee/node", "--signing")
        await until(lambda: ee.upkeep.material.signing_key.public_key != stolen)
        async with entered(fed, REGISTRARS[0]) as registrar:
            await Registrar(registrar).revoke_key(node, key_id(stolen), "stolen")
        await until(lambda: any(key.not_trusted_after for key in de.upkeep.directory().node("ee").signing_keys))

        trust = Trust(ORIGIN, de.upkeep.directory().node("ee").signing_keys)

        def counting(raw: bytes) -> bytes | None:
            """Return a checkpoint of which somebody who comes new believes that the log has signed it."""
            with suppress(Refusal):
                trust.check_still_counts(trust.read(raw), ALWAYS, system_clock())
                return raw
            return None

        def newest(view: LogView) -> bytes:
            row = view.newest()
            assert row is not None
            return view.cosigned(row)

        def held(view: LogView) -> bytes:
            last = view.last_witnessed(ORIGIN)
            assert last is not None
            return last.note

        raw = await told(ee, lambda view: counting(newest(view)))
        read, cosigned = witness.read_checkpoint(de.upkeep.directory(), "ee", raw, system_clock())
        assert (read.size, cosigned.by) == (size, ("de.rogatory.test",))
        # And its witness can show it to others.
        await told(de, lambda view: counting(held(view)))
        assert await asked(ee, LogView.size) == size, "the log did not rest"


async def test_an_envelope_sealed_to_a_retired_key_is_still_opened_by_its_owner(tmp_path: Path) -> None:
    async with registering(tmp_path / "fed", registry={"notice_seconds": 0.5, "overlap_seconds": 0}) as fed:
        async with entered(fed, PROSECUTOR) as prosecutor:
            await prosecutor.submit(draft(prosecutor, "EE-1"))
            before = prosecutor.directory.sealing_keys(HOME, system_clock())
            await rotate(fed, HOME, "--sealing")
            await until(lambda: before != prosecutor.directory.sealing_keys(HOME, system_clock()))
            assert set(before).isdisjoint(prosecutor.directory.sealing_keys(HOME, system_clock()))
        async with entered(fed, HOME) as home:
            (received,) = await home.collect_available()
            assert isinstance(received, Received)
            assert received.header.kind == ids.KIND_DRAFT


async def test_what_is_signed_with_a_key_that_is_newer_than_our_directory_is_not_refused_for_good(
    tmp_path: Path,
) -> None:
    async with registering(tmp_path / "fed", start=["ee"], registry={"notice_seconds": 0}) as fed:
        path, node = fed.summary.config(PROSECUTOR), fed.nodes["ee"]
        path.write_text(path.read_text().replace(f"refresh_seconds = {REFRESH_SECONDS}", "refresh_seconds = 3600"))
        async with entered(fed, PROSECUTOR) as prosecutor:
            known, old = prosecutor.directory, node.upkeep.material.signing_key.public_key
            await rotate(fed, "ee/node", "--signing")
            await until(lambda: node.upkeep.material.signing_key.public_key != old)
            new = node.upkeep.material.signing_key.public_key
            await until(lambda: any(key.public == new for key in fed.directory.node("ee").signing_keys))
            assert prosecutor.directory is known
            receipt = await prosecutor.submit(draft(prosecutor, "EE-1"))
            assert receipt.signature.key_id == key_id(new)


@pytest.mark.parametrize("code", ["ee", "de"])
async def test_a_node_signs_with_the_key_that_others_know_until_its_new_one_is_published(
    fed: Federation, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the node that publishes: what it alone knows proves nothing to others."""
    accept, down = Publisher.accept, list[SignedList]()

    def unavailable(self: Publisher, signed: SignedList, now: datetime) -> int:
        down.append(signed)
        raise Failure(ErrorCode.UNAVAILABLE, "no disk to write on", retry_after=0.05)

    monkeypatch.setattr(Publisher, "accept", unavailable)
    upkeep = fed.nodes[code].upkeep
    address, old = f"{code}/node", upkeep.material.signing_key.public_key

    def newest() -> bytes | None:
        held = [signer.public_key for signer in upkeep.material.holdings.signers]
        return upkeep.directory().newest_key(address, held, system_clock())

    await rotate(fed, address, "--signing")
    await until(lambda: newest() != old and bool(down))
    new = newest()
    assert new is not None
    # The notice is over and the node's own list in force: nothing but the others' not knowing it is in the way.
    await upkeep.look()
    assert upkeep.material.signing_key.public_key == old
    assert not fed.directory.lists((address, key_id(new)))
    prosecutor = fed.actor(f"{code}/prosecutor")
    told = await prosecutor.answer(prosecutor.compose(ids.KIND_DRAFT, f"{code}/central-authority"))
    assert told.receipt.signature.key_id == key_id(old)
    monkeypatch.setattr(Publisher, "accept", accept)
    await until(lambda: upkeep.material.signing_key.public_key == new)
    assert fed.directory.lists((address, key_id(new)))


# Certificates that renew themselves


def near_its_end(fed: Federation, address: str, profile: Profile = profiles.PARTICIPANT) -> None:
    """Give somebody a certificate of which less than a third remains."""
    who, config = Address.parse(address, allow_node=True), fed.summary.config(address)
    authority = authority_of(fed.summary.folder, who.node)
    key = keys.load_tls_key(config.with_name("tls.key"))
    # It begins five minutes ago, for clocks that are behind; so two of seven minutes remain.
    life, now = timedelta(minutes=2), system_clock()
    leaf = authority.issue(key.public_key(), who, fed.directory.federation, now, life, profile)
    config.with_name("tls.pem").write_bytes(leaf.public_bytes(Encoding.PEM) + authority.pem)


def new_certificates(fed: Federation, address: str) -> list[str]:
    return sorted(path.name for path in fed.summary.config(address).parent.glob("tls-*.pem"))


@pytest.mark.parametrize(("days", "due"), [(0, False), (19.9, False), (20.1, True), (31, True)])
def test_a_certificate_is_renewed_in_the_last_third_of_its_life(days: float, due: bool) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime(2026, 3, 1, tzinfo=UTC)
    name = x509.Name([])
    leaf = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=30))
    )
    chain = leaf.sign(key, SHA256()).public_bytes(Encoding.PEM)
    assert is_due(TlsIdentity(b"", chain), now + timedelta(days=days)) is due


async def test_a_certificate_renews_itself_and_an_open_stream_goes_on_over_the_new_connection(
    fed: Federation,
) -> None:
    near_its_end(fed, HOME)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(entered(fed, HOME))
        prosecutor = await stack.enter_async_context(entered(fed, PROSECUTOR))
        identity = material.load_participant(fed.summary.config(HOME)).identity
        seen: list[str] = []

        async def collect() -> None:
            async with aclosing(home.collect()) as items:
                async for item in items:
                    assert isinstance(item, Received)
                    seen.append(item.header.case_id)

        collecting = asyncio.create_task(collect())
        for number in range(3):
            await prosecutor.submit(draft(prosecutor, f"EE-{number}"))
            await until(lambda: len(seen) == number + 1 or collecting.done())  # noqa: B023  awaited in the loop
            await until(lambda: home.parts.tls != identity)
            # Nothing goes over the old connection any more.
            await until(lambda: [each.connection for each in home._streams] == [home._connection])
        home.stop()
        await collecting
    assert seen == ["EE-0", "EE-1", "EE-2"]
    loaded = material.load_participant(fed.summary.config(HOME))
    assert loaded.config.certificate.name in new_certificates(fed, HOME)


async def test_of_two_processes_of_one_participant_one_renews_and_both_take_it(fed: Federation) -> None:
    near_its_end(fed, "ee/operator")
    identity = material.load_participant(fed.summary.config("ee/operator")).identity
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(entered(fed, "ee/operator")) for _ in range(2)]
        await until(lambda: all(each.parts.tls != identity for each in both))
        assert both[0].parts.tls == both[1].parts.tls
    assert len(new_certificates(fed, "ee/operator")) == 1


@pytest.mark.parametrize("code", ["ee", "de"])
async def test_a_running_node_renews_its_own_certificate_under_load_and_ends_no_stream(
    fed: Federation, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with traffic(fed) as flowing:
        node = fed.nodes[code]
        near_its_end(fed, f"{code}/node", profiles.NODE)
        await until(lambda: node.upkeep.material.config.certificate.name != "tls.pem")
        await flowing.more()
    assert new_certificates(fed, f"{code}/node") == [node.upkeep.material.config.certificate.name]
    restarted = await asyncio.to_thread(material.load_node, fed.summary.config(f"{code}/node"))
    assert restarted.identity == node.upkeep.material.identity
    assert "collect.interrupted" not in {each.getMessage() for each in caplog.records}


async def test_a_node_whose_certificate_another_process_has_just_renewed_renews_it_not_again(fed: Federation) -> None:
    node, path = fed.nodes["ee"], fed.summary.config("ee/node")
    held = node.upkeep.material
    assert held.config.registry is not None
    made = await rotate(fed, "ee/node", "--tls")
    authority = authority_of(fed.summary.folder, "ee")
    await asyncio.to_thread(keeping.renew_certificate, path, held, held.config.registry, authority, fed.clock)
    assert new_certificates(fed, "ee/node") == [Path(made["certificate"]).name]


async def test_a_node_that_cannot_change_its_settings_says_so_and_renews_once_it_can(
    fed: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    node, path = fed.nodes["ee"], fed.summary.config("ee/node")
    blocked = path.with_name(f".{path.name}.lock")
    blocked.mkdir()
    near_its_end(fed, "ee/node", profiles.NODE)
    await until(lambda: "BAD_CONFIG" in {getattr(each, "code", "") for each in caplog.records})
    assert new_certificates(fed, "ee/node") == []
    blocked.rmdir()
    await until(lambda: node.upkeep.material.config.certificate.name != "tls.pem")
    assert len(new_certificates(fed, "ee/node")) == 1


# When something goes wrong


async def test_settings_that_do_not_fit_change_nothing_and_are_told_without_a_secret(
    fed: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    path = fed.summary.config(PROSECUTOR)
    right = path.read_text()
    with caplog.at_level(logging.INFO):
        async with entered(fed, PROSECUTOR) as prosecutor:
            before = prosecutor.parts
            path.write_text("address = ")
            await until(lambda: any(each.name == "clients.upkeep" for each in caplog.records))
            assert await prosecutor.collect_available() == []
            assert prosecutor.parts.tls == before.tls
            path.write_text(right)
            await rotate(fed, PROSECUTOR, "--signing")
            await until(lambda: len(prosecutor.parts.signing_keys) == 2)
    secrets = [each.read_text().splitlines()[1] for each in fed.summary.folder.rglob("*.key")] + [
        bytes(key).hex() for key in prosecutor.parts.signing_keys
    ]
    told = "\n".join(f"{each.getMessage()} {each.__dict__}" for each in caplog.records)
    assert {getattr(each, "code", "") for each in caplog.records if each.name == "clients.upkeep"} == {"BAD_CONFIG"}
    assert all(secret not in told for secret in secrets)


async def test_whoever_is_revoked_while_it_collects_is_told(fed: Federation) -> None:
    async with entered(fed, "ee/exchange") as exchange:

        async def collect() -> None:
            async with aclosing(exchange.collect()) as items:
                async for _ in items:
                    pass

        collecting = asyncio.create_task(collect())
        async with entered(fed, REGISTRARS[0]) as registrar:
            await Registrar(registrar).revoke_participant(Address.parse("ee/exchange"), "stolen")
        with pytest.raises(Refusal) as caught:
            async with asyncio.timeout(SECONDS):
                await collecting
        assert caught.value.code is ErrorCode.REVOKED


async def test_a_key_that_is_not_trusted_any_more_signs_nothing_and_another_one_does(fed: Federation) -> None:
    """The thief has the old signing key; its owner rotates, and the registrar puts the old one out."""
    thief = fed.actor(PROSECUTOR)
    await rotate(fed, PROSECUTOR, "--signing")
    async with entered(fed, PROSECUTOR) as prosecutor:
        await until(lambda: prosecutor.signing_key != thief.key)
        async with entered(fed, REGISTRARS[0]) as registrar:
            stolen = key_id(bytes(thief.key.verify_key))
            await Registrar(registrar).revoke_key(Address.parse(PROSECUTOR), stolen, "stolen", system_clock())
        said = await thief.submit(thief.compose(ids.KIND_DRAFT, HOME, b"forged"))
        assert code_of(said) is ErrorCode.KEY_REVOKED
        await prosecutor.submit(draft(prosecutor, "EE-1"))
