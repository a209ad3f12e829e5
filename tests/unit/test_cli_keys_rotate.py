"""`rogatory keys rotate`: every step may be the last one, and what is left works."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from nacl.public import PrivateKey
from nacl.signing import SigningKey
from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import RegistryStub

from certs.pki import DevelopmentPki, Holder
from clients import renewal
from clients.renewal import Renewed, Wanted
from gateway import config, keys, locked, material, settings_file
from gateway.cli import commands
from gateway.cli.development import Summary, init_federation
from gateway.clock import system_clock, to_micros
from gateway.config import ParticipantConfig
from gateway.directory import KeyEntry, Status
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Address
from gateway.registry import own_certificate, proofs
from gateway.signature import Domain
from gateway.trust import development
from tests.errors import raises
from tests.federation import authority_of, directory_of

EXCHANGE = "ee/exchange"
OPERATOR = "ee/operator"
STEPS = ("made", "named", "asked", "written", "done")
ALL = Wanted(signing=True, sealing=True, tls=True)
NOTICE = timedelta(seconds=60)
OVERLAP = timedelta(hours=24)
PHRASE = "correct horse battery staple"


class Killed(BaseException):
    """What a process does not survive."""


class FakeRegistry:
    """A node's registry as the contract has it: checks proofs, lists keys, issues certificates."""

    def __init__(self, summary: Summary) -> None:
        self.folder = summary.folder
        self.proof = PrivateKey.generate()
        self.seen: list[pb.Renewal] = []
        self.loses_answers = False
        self.says: GatewayError | None = None
        self.key, self.valid_from_us = bytes(self.proof.public_key), 0

    async def GetProofKey(self, _: pb.GetProofKeyRequest, timeout: float) -> pb.GetProofKeyResponse:  # noqa: N802, ASYNC109
        if self.says is not None:
            raise self.says
        return pb.GetProofKeyResponse(proof_key=self.key)

    async def Renew(self, request: pb.RenewRequest, timeout: float) -> pb.RenewResponse:  # noqa: N802, ASYNC109
        if self.valid_from_us:
            return pb.RenewResponse(keys_valid_from_us=self.valid_from_us)
        said = pb.Renewal.FromString(request.renewal)
        address = Address.parse(said.address)
        directory = directory_of(self.folder, system_clock())
        (entry,) = (each for each in directory.participants if each.address == address)
        now = system_clock()
        start = now + NOTICE
        for signature, public in zip(request.signatures[1:], [said.signing_key], strict=False):
            proofs.check_signing_proof(Domain.RENEWAL, request.renewal, signature, address, public)
        if said.sealing_key:
            proofs.check_sealing_proof(request.sealing_proof, said.sealing_key, self.proof, request.renewal)
        self.seen.append(said)
        for key in (*entry.signing_keys, *entry.sealing_keys):
            if key.public in {said.signing_key, said.sealing_key}:
                return pb.RenewResponse(keys_valid_from_us=to_micros(key.not_before))
        changed = entry.model_copy(
            update={
                "signing_keys": listed(entry.signing_keys, said.signing_key, start),
                "sealing_keys": listed(entry.sealing_keys, said.sealing_key, start),
            }
        )
        others = (each for each in directory.participants if each.address != address)
        development.sign_anew(self.folder, directory.model_copy(update={"participants": (*others, changed)}), now)
        chain = b""
        if said.certificate_request:
            tls_key = proofs.check_request(said.certificate_request, address, directory.federation)
            authority = authority_of(self.folder, address.node)
            leaf = authority.issue(tls_key, address, directory.federation, now, timedelta(days=30))
            chain = leaf.public_bytes(Encoding.PEM) + authority.pem
        if self.loses_answers:
            raise Killed
        valid_from = to_micros(start) if said.signing_key or said.sealing_key else 0
        return pb.RenewResponse(certificate_chain=chain, keys_valid_from_us=valid_from)


def listed(before: tuple[KeyEntry, ...], public: bytes, start: datetime) -> tuple[KeyEntry, ...]:
    if not public:
        return before
    ended = (key.model_copy(update={"not_after": min(key.not_after, start + OVERLAP)}) for key in before)
    return (*ended, KeyEntry(public=public, not_before=start))


@pytest.fixture
def fed(tmp_path: Path) -> Summary:
    return init_federation(tmp_path / "fed", ["ee"], [7440], system_clock())


@pytest.fixture
def registry(fed: Summary) -> FakeRegistry:
    return FakeRegistry(fed)


async def rotate(
    fed: Summary,
    registry: FakeRegistry,
    wanted: Wanted = ALL,
    who: str = EXCHANGE,
    watch: Callable[[str], None] = renewal.unwatched,
    phrase: Passphrase | None = None,
) -> Renewed:
    path = fed.config(who)
    stub = cast("RegistryStub", registry)
    load = partial(material.load_participant, path)
    return await renewal.renew(stub, load, wanted, phrase, path=path, watch=watch)


def dying_at(step: str) -> Callable[[str], None]:
    def watch(taken: str) -> None:
        if taken == step:
            raise Killed

    return watch


def key_files(fed: Summary, who: str = EXCHANGE) -> set[str]:
    return {path.name for path in fed.config(who).parent.glob("*.key")}


NONSENSE: dict[str, dict[str, Any]] = {
    "no key": {"key": b""},
    "a key of low order": {"key": bytes(32)},
    "a time that no calendar has": {"valid_from_us": 1 << 62},
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_node_that_answers_nonsense_is_refused_and_the_next_renewal_goes_on(
    fed: Summary, registry: FakeRegistry, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        for name, value in NONSENSE[what].items():
            patched.setattr(registry, name, value)
        with pytest.raises(Refusal) as caught:
            await rotate(fed, registry, Wanted(signing=True, sealing=True))
    assert caught.value.code is ErrorCode.BAD_PROOF
    assert (await rotate(fed, registry)).keys_valid_from is not None


class Unwilling(FakeRegistry):
    """Has too many certificates in force, or a CA that nobody knows."""

    chain = b""

    async def Renew(self, request: pb.RenewRequest, timeout: float) -> pb.RenewResponse:  # noqa: N802, ASYNC109
        if not self.chain:
            raise Failure(ErrorCode.OVERLOADED, "as many certificates are valid as MAX_LIVE_CERTIFICATES allows")
        return pb.RenewResponse(certificate_chain=self.chain)


@pytest.mark.parametrize("answers", [False, True])
async def test_a_renewal_that_the_node_does_not_grant_leaves_no_key_behind(fed: Summary, answers: bool) -> None:
    """A program tries again for days: private keys would pile up on its disk."""
    folder = fed.config(EXCHANGE).parent
    before = {*folder.glob("*.key"), *folder.glob("*.pem")}
    registry = Unwilling(fed)
    if answers:
        registry.chain = (folder / "tls.pem").read_bytes()
    for _ in range(2):
        with raises(ErrorCode.BAD_PROOF if answers else ErrorCode.OVERLOADED):
            await rotate(fed, registry, Wanted(tls=True))
    assert {*folder.glob("*.key"), *folder.glob("*.pem")} == before
    assert (await rotate(fed, FakeRegistry(fed), Wanted(tls=True))).certificate is not None


async def test_new_keys_stand_beside_the_old_and_the_directory_says_from_when(
    fed: Summary, registry: FakeRegistry
) -> None:
    before = material.load_participant(fed.config(EXCHANGE))
    made = await rotate(fed, registry)
    after = material.load_participant(fed.config(EXCHANGE))
    assert after.signing_keys[:1] == before.signing_keys
    assert after.sealing_keys[:1] == before.sealing_keys
    assert (len(after.signing_keys), len(after.sealing_keys)) == (2, 2)
    assert after.identity != before.identity
    entry = after.directory.participant(after.address)
    assert entry is not None
    assert [key.not_before for key in entry.signing_keys[1:]] == [made.keys_valid_from]
    # Until then the old key signs, and then the new one.
    held = [bytes(key.verify_key) for key in after.signing_keys]
    assert made.keys_valid_from is not None
    assert after.directory.newest_key(EXCHANGE, held, system_clock()) == held[0]
    assert after.directory.newest_key(EXCHANGE, held, made.keys_valid_from) == held[1]
    assert {path.stat().st_mode & 0o777 for path in fed.config(EXCHANGE).parent.glob("*.key")} == {0o600}


@pytest.mark.parametrize("step", STEPS)
async def test_killed_after_any_step_the_participant_starts_and_the_next_rotation_succeeds(
    fed: Summary, registry: FakeRegistry, step: str
) -> None:
    with pytest.raises(Killed):
        await rotate(fed, registry, watch=dying_at(step))
    left = material.load_participant(fed.config(EXCHANGE))
    # Whatever the directory lists as ours, we hold: nothing can be sealed to a key that nobody has.
    entry = left.directory.participant(left.address)
    assert entry is not None
    assert {key.public for key in entry.sealing_keys} <= {bytes(key.public_key) for key in left.sealing_keys}
    assert {key.public for key in entry.signing_keys} <= {bytes(key.verify_key) for key in left.signing_keys}
    await rotate(fed, registry)
    after = material.load_participant(fed.config(EXCHANGE))
    entry = after.directory.participant(after.address)
    assert entry is not None
    assert {key.public for key in entry.signing_keys} == {bytes(key.verify_key) for key in after.signing_keys}
    assert {key.public for key in entry.sealing_keys} == {bytes(key.public_key) for key in after.sealing_keys}


async def test_a_rotation_that_died_before_it_asked_is_finished_with_the_keys_that_it_made(
    fed: Summary, registry: FakeRegistry
) -> None:
    wanted = Wanted(signing=True, sealing=True)
    with pytest.raises(Killed):
        await rotate(fed, registry, wanted, watch=dying_at("named"))
    made = key_files(fed)
    await rotate(fed, registry, wanted)
    assert key_files(fed) == made


async def test_a_lost_answer_leaves_the_keys_listed_and_named(fed: Summary, registry: FakeRegistry) -> None:
    registry.loses_answers = True
    with pytest.raises(Killed):
        await rotate(fed, registry)
    left = material.load_participant(fed.config(EXCHANGE))
    entry = left.directory.participant(left.address)
    assert entry is not None
    assert [key.public for key in entry.sealing_keys] == [bytes(key.public_key) for key in left.sealing_keys]
    assert left.config.certificate.name == "tls.pem"


async def test_a_key_that_the_node_has_listed_already_is_taken_as_it_is_listed(
    fed: Summary, registry: FakeRegistry
) -> None:
    """Our directory may be older than the answer that was lost."""
    path = fed.config(EXCHANGE)
    old = material.load_participant(path)
    registry.loses_answers = True
    with pytest.raises(Killed):
        await rotate(fed, registry, Wanted(signing=True))
    registry.loses_answers = False
    stale = replace(material.load_participant(path), directory=old.directory)
    made = await renewal.renew(cast("RegistryStub", registry), lambda: stale, Wanted(signing=True), None, path=path)
    entry = material.load_participant(path).directory.participant(old.address)
    assert entry is not None
    assert made.keys_valid_from == entry.signing_keys[-1].not_before
    assert len(entry.signing_keys) == 2


async def test_a_node_that_does_not_answer_leaves_nothing_behind(fed: Summary, registry: FakeRegistry) -> None:
    registry.says = Failure(ErrorCode.UNAVAILABLE, "gone")
    folder = fed.config(EXCHANGE).parent
    material.load_participant(fed.config(EXCHANGE))
    before = sorted(path.name for path in folder.iterdir())
    with raises(ErrorCode.UNAVAILABLE):
        await rotate(fed, registry)
    assert sorted({path.name for path in folder.iterdir()} - {".participant.toml.lock"}) == before


async def test_a_certificate_of_another_key_is_never_named(fed: Summary, registry: FakeRegistry) -> None:
    class Swapping(FakeRegistry):
        async def Renew(self, request: pb.RenewRequest, timeout: float) -> pb.RenewResponse:  # noqa: N802, ASYNC109
            other = fed.config("ee/court").with_name("tls.pem").read_bytes()
            return pb.RenewResponse(certificate_chain=other)

    before = fed.config(EXCHANGE).read_text()
    with pytest.raises(Refusal) as caught:
        await rotate(fed, Swapping(fed), Wanted(tls=True))
    assert (caught.value.code, fed.config(EXCHANGE).read_text()) == (ErrorCode.BAD_PROOF, before)


async def test_an_operator_has_a_certificate_to_renew_and_no_keys(fed: Summary, registry: FakeRegistry) -> None:
    made = await rotate(fed, registry, Wanted(tls=True), OPERATOR)
    assert made.certificate is not None
    assert material.load_participant(fed.config(OPERATOR)).config.certificate == made.certificate
    for wanted in (Wanted(signing=True), Wanted(sealing=True), Wanted()):
        with pytest.raises(Refusal) as caught:
            await rotate(fed, registry, wanted, OPERATOR)
        assert caught.value.code is ErrorCode.BAD_INPUT


async def test_new_key_files_are_under_the_passphrase_of_the_old(
    fed: Summary, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked, "DEFAULT", locked.LEAST)
    folder = fed.config(EXCHANGE).parent
    for path in folder.glob("*.key"):
        keys.encrypt(path, Passphrase(PHRASE), locked.LEAST)
    (folder / "phrase").write_text(PHRASE)
    (folder / "phrase").chmod(0o600)
    settings = fed.config(EXCHANGE)
    settings.write_text(settings.read_text().replace("encrypted_keys = false", 'passphrase_file = "phrase"'))
    await rotate(fed, registry, phrase=Passphrase(PHRASE))
    assert all(keys.inspect(path).encrypted for path in folder.glob("*.key"))
    assert len(material.load_participant(settings).signing_keys) == 2


# The node's own


def with_registry(fed: Summary) -> Path:
    path = fed.config("ee/node")
    if "[registry]" not in path.read_text():
        with path.open("a") as file:
            file.write(
                '\n[registry]\nca_certificate = "../pki/ee/ca.pem"\nca_key = "../pki/ee/ca.key"\n'
                'directory_key = "directory.key"\n'
            )
    return path


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(commands, [*arguments, "--json"], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def test_a_node_gets_a_new_certificate_of_its_own_ca_and_starts_with_it(fed: Summary) -> None:
    path = with_registry(fed)
    before = material.load_node(path)
    status, said = run("keys", "rotate", "--config", str(path), "--tls")
    assert status == 0, said
    after = material.load_node(path)
    assert after.identity != before.identity
    assert str(after.config.certificate) == said["certificate"]
    assert after.config.tls_key != before.config.tls_key


def test_a_node_that_was_off_until_its_certificate_ended_gets_another(fed: Summary) -> None:
    path = with_registry(fed)
    held = material.load_node(path)
    issuer = DevelopmentPki("rogatory.test", system_clock() - timedelta(minutes=4))
    authority = authority_of(fed.folder, "ee")
    signer = Holder(authority.certificate, authority.key)
    holder = issuer.leaf(held.address, signer=signer, lifetime=timedelta(minutes=3))
    for file in (held.config.certificate, held.config.tls_key):
        file.unlink()
    holder.write(held.config.certificate.parent, held.config.certificate.stem)
    with pytest.raises(Refusal) as caught:
        material.load_node(path)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "certificate")
    status, said = run("keys", "rotate", "--config", str(path), "--tls")
    assert status == 0, said
    assert material.load_node(path).expires > system_clock()


def ended(fed: Summary, who: str, ca: Holder | None = None, minutes: float = 3) -> Path:
    """Give somebody a certificate that ended a minute ago, or ends when it is told."""
    found = config.load(ParticipantConfig, fed.config(who))
    authority = authority_of(fed.folder, "ee")
    holder = DevelopmentPki("rogatory.test", system_clock() - timedelta(minutes=4)).leaf(
        Address.parse(who),
        signer=ca or Holder(authority.certificate, authority.key),
        lifetime=timedelta(minutes=minutes),
    )
    for file in (found.certificate, found.tls_key):
        file.unlink()
    holder.write(found.certificate.parent, found.certificate.stem)
    return found.certificate


def test_registrars_who_were_away_until_their_certificates_ended_are_let_in_by_the_ca(fed: Summary) -> None:
    path, out = with_registry(fed), fed.folder / "new.pem"
    certificate = ended(fed, "ee/registrar")
    with pytest.raises(Refusal) as caught:
        material.load_participant(fed.config("ee/registrar"))
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "certificate")
    status, said = run("keys", "certify", str(certificate), "--config", str(path), "--out", str(out))
    assert status == 0, said
    out.replace(certificate)
    again = material.load_participant(fed.config("ee/registrar"))
    assert said["certificate_ends"] == again.expires.isoformat()
    assert again.expires > system_clock() + timedelta(days=1)
    # It counts again, so no other one is made.
    status, said = run("keys", "certify", str(certificate), "--config", str(path), "--out", str(out))
    assert (status, said["error"]["code"], out.exists()) == (2, "NOT_PERMITTED", False)


@pytest.mark.parametrize(
    ("who", "changes", "code"),
    [
        ("ee/exchange", lambda _: {}, "NOT_PERMITTED"),  # registrars take it in again
        ("ee/registrar", lambda _: {"status": Status.REVOKED}, "REVOKED"),
        ("ee/registrar", lambda now: {"certificates_not_before": now}, "REVOKED"),
    ],
    ids=["no registrar", "out", "taken in again since"],
)
def test_whoever_is_out_or_is_no_registrar_is_let_in_by_no_ca(
    fed: Summary, who: str, changes: Callable[[datetime], dict[str, Any]], code: str
) -> None:
    path, certificate, now = with_registry(fed), ended(fed, who), system_clock()
    directory = directory_of(fed.folder, now)
    entries = tuple(
        each.model_copy(update=changes(now)) if str(each.address) == who else each for each in directory.participants
    )
    development.sign_anew(fed.folder, directory.model_copy(update={"participants": entries}), now)
    out = fed.folder / "new.pem"
    status, said = run("keys", "certify", str(certificate), "--config", str(path), "--out", str(out))
    assert (status, said["error"]["code"], out.exists()) == (2, code, False)


def test_certificate_that_the_ca_of_the_node_did_not_issue_lets_nobody_in(fed: Summary) -> None:
    path, out = with_registry(fed), fed.folder / "new.pem"
    other = DevelopmentPki("rogatory.test", system_clock() - timedelta(minutes=4))
    certificate = ended(fed, "ee/registrar", other.node_ca("ee"))
    command = ["keys", "certify", str(certificate), "--config", str(path), "--out"]
    status, said = run(*command, str(out))
    assert (status, said["error"]["code"]) == (2, "NOT_PERMITTED")
    status, said = run(*command, str(path))
    assert (status, said["error"]["code"]) == (2, "BAD_INPUT")
    path.write_text(path.read_text().split("\n[registry]")[0])
    status, said = run(*command, str(out))
    assert (status, said["error"]["code"], out.exists()) == (2, "BAD_INPUT", False)


def test_a_certificate_of_another_ca_is_never_named_and_leaves_nothing_behind(fed: Summary, tmp_path: Path) -> None:
    path = with_registry(fed)
    held, text, files = material.load_node(path), path.read_text(), sorted(path.parent.iterdir())
    assert held.config.registry is not None
    other = authority_of(init_federation(tmp_path / "other", ["ee"], [7441], system_clock()).folder, "ee")
    with pytest.raises(Refusal) as caught:
        own_certificate.renew(path, held, held.config.registry, other, None, system_clock())
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert (path.read_text(), sorted(path.parent.iterdir())) == (text, files)


def test_a_certificate_that_the_settings_cannot_name_leaves_nothing_behind(
    fed: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node tries again every few seconds: private keys would fill its disk."""
    path = with_registry(fed)
    held, text, files = material.load_node(path), path.read_text(), sorted(path.parent.iterdir())
    assert held.config.registry is not None

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(settings_file, "swap", fail)
    with pytest.raises(Refusal) as caught:
        own_certificate.renew(path, held, held.config.registry, authority_of(fed.folder, "ee"), None, system_clock())
    assert caught.value.code is ErrorCode.BAD_CONFIG
    assert (path.read_text(), sorted(path.parent.iterdir())) == (text, files)


def test_a_certificate_that_the_settings_name_stays_though_the_disk_failed_after(
    fed: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_registry(fed)
    held = material.load_node(path)
    assert held.config.registry is not None

    def fail(file: Path, content: bytes, *_: object) -> None:
        file.write_bytes(content)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(settings_file, "swap", fail)
    with raises(ErrorCode.BAD_CONFIG):
        own_certificate.renew(path, held, held.config.registry, authority_of(fed.folder, "ee"), None, system_clock())
    assert material.load_node(path).identity != held.identity


@pytest.mark.parametrize(("days", "due"), [(19.9, False), (20.1, True)])
def test_a_node_renews_its_certificate_in_the_last_third_of_its_life(fed: Summary, days: float, due: bool) -> None:
    held = material.load_node(with_registry(fed))
    now = held.expires - timedelta(days=30) + timedelta(days=days)
    assert own_certificate.is_due(held, authority_of(fed.folder, "ee"), now) is due


def test_a_node_does_not_renew_its_certificate_for_one_that_ends_no_later(fed: Summary) -> None:
    """Near the end of its CA it would renew again and again."""
    held, authority = material.load_node(with_registry(fed)), authority_of(fed.folder, "ee")
    end = authority.certificate.not_valid_after_utc
    assert not own_certificate.is_due(replace(held, expires=end), authority, end - timedelta(days=1))


def test_a_node_names_a_new_signing_key_and_signs_with_the_old_until_it_is_listed(fed: Summary) -> None:
    path = with_registry(fed)
    before = material.load_node(path)
    status, said = run("keys", "rotate", "--config", str(path), "--signing")
    assert status == 0, said
    after = material.load_node(path)
    assert [str(each) for each in after.config.signing_keys[1:]] == [said["signing"]]
    assert after.signing_key.public_key == before.signing_key.public_key


@pytest.mark.parametrize("arguments", [["--sealing"], []])
def test_what_a_node_does_not_have_is_not_rotated(fed: Summary, arguments: list[str]) -> None:
    status, said = run("keys", "rotate", "--config", str(with_registry(fed)), *arguments)
    assert (status, said["error"]["code"]) == (2, "BAD_INPUT")


def test_a_node_without_a_registry_cannot_rotate_by_itself(tmp_path: Path, fed: Summary) -> None:
    path = fed.config("ee/node")
    path.write_text(path.read_text().split("\n[registry]")[0])
    status, said = run("keys", "rotate", "--config", str(path), "--tls")
    assert (status, said["error"]["code"]) == (2, "BAD_INPUT")


def test_a_participant_whose_node_is_away_keeps_what_it_has(fed: Summary) -> None:
    before = fed.config(EXCHANGE).read_text()
    status, said = run("keys", "rotate", "--config", str(fed.config(EXCHANGE)), "--signing")
    assert (status, said["error"]["code"]) == (1, "UNAVAILABLE")
    assert fed.config(EXCHANGE).read_text() == before


# Status


async def test_status_says_from_when_each_key_counts_and_which_is_in_use(fed: Summary, registry: FakeRegistry) -> None:
    await rotate(fed, registry, Wanted(signing=True, sealing=True))
    status, said = run("keys", "status", "--config", str(fed.config(EXCHANGE)))
    assert status == 0
    rows = {each["setting"]: each for each in said["keys"]}
    assert [rows[f"signing_keys[{n}]"]["in_use"] for n in (0, 1)] == [True, False]
    assert [rows[f"sealing_keys[{n}]"]["in_use"] for n in (0, 1)] == [True, False]
    assert (
        rows["signing_keys[0]"]["valid_until"]
        == (datetime.fromisoformat(rows["signing_keys[1]"]["valid_from"]) + OVERLAP).isoformat()
    )
    assert rows["tls_key"]["valid_from"] is None


def test_status_shows_what_it_can_without_a_directory(fed: Summary) -> None:
    shutil.rmtree(fed.folder / development.REPOSITORY)
    status, said = run("keys", "status", "--config", str(fed.config("ee/node")))
    assert status == 0
    assert said["keys"][0]["in_use"] is None
    assert said["keys"][0]["key_id"]


def test_no_output_shows_a_byte_of_a_key(fed: Summary) -> None:
    path = with_registry(fed)
    runner = CliRunner()
    texts = [
        runner.invoke(commands, ["keys", *arguments, "--config", str(path), *form]).output
        for arguments in (["rotate", "--signing", "--tls"], ["status"])
        for form in ([], ["--json"])
    ]
    for file in path.parent.glob("*.key"):
        secret = file.read_bytes().splitlines()[1]
        assert all(secret.decode() not in text for text in texts)
    for key in (keys.load_signing_key(each) for each in path.parent.glob("signing*.key")):
        assert isinstance(key, SigningKey)
        assert all(bytes(key).hex() not in text for text in texts)
