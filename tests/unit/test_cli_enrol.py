"""`rogatory enrol` and what it stands on: invitations, applications, settings; the code and the keys stay hidden."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from nacl.public import PrivateKey
from rogatory.v1 import enrolment_pb2 as pb

from certs.pki import DevelopmentPki
from clients.enrolment import Applicant, Outcome
from clients.invitation import Invitation
from gateway import config, keys, locked
from gateway.cli import commands
from gateway.config import ParticipantConfig
from gateway.errors import ErrorCode, GatewayError, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Address, Role
from gateway.registry import proofs
from gateway.registry.certify import Authority
from tests.federation import ports

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEI = "529900T8BM49AURSDO55"
CODE = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ23-4567"
PKI = DevelopmentPki("rogatory.test", datetime.now(UTC))
PHRASE = Passphrase("correct horse battery staple")


def invitation(*roles: Role, **changes: Any) -> Invitation:
    fields: dict[str, Any] = {
        "federation": "rogatory.test",
        "address": Address("ee", "exchange-lhv"),
        "roles": roles or (Role.EXCHANGE,),
        "code": CODE,
        "expires": NOW + timedelta(hours=72),
        "endpoint": f"127.0.0.1:{ports(1)[0]}",
        "node": "127.0.0.1:2",
        "node_ca": PKI.node_ca("ee").pem.decode(),
        "proof_key": bytes(PrivateKey.generate().public_key),
        "root": "{}",
        "repository": "https://example.org/directory",
    }
    return Invitation(**fields | changes)


def applicant(folder: Path, *, phrase: Passphrase | None = None, **changes: Any) -> Applicant:
    return Applicant(changes.pop("invited", None) or invitation(**changes), folder, phrase, clock=lambda: NOW)


def refused(work: Callable[[], object]) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        work()
    assert CODE not in str(caught.value)
    return caught.value.code


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@dataclass
class Approved:
    """What comes back when registrars agree."""

    applicant: Applicant

    def outcome(self, request: bytes = b"") -> Outcome:
        application = self.applicant.prepare()
        ca = PKI.node_ca("ee")
        address = self.applicant.invitation.address
        key = proofs.check_request(request or application.certificate_request, address, "rogatory.test")
        authority = Authority(ca.certificate, ca.key)
        leaf = authority.issue(key, address, "rogatory.test", datetime.now(UTC), timedelta(days=30))
        chain = leaf.public_bytes(Encoding.PEM) + authority.pem
        return Outcome(bytes(32), pb.APPLICATION_STATE_APPROVED, 2, 2, chain=chain)


# Invitations


def test_an_invitation_is_its_owners_alone_and_reads_as_it_was_written(tmp_path: Path) -> None:
    path, made = tmp_path / "invitation", invitation(Role.COURT, Role.FIU)
    made.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Invitation.read(path) == made


def test_an_invitation_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "invitation"
    invitation().write(path)
    path.chmod(0o644)
    assert refused(lambda: Invitation.read(path)) is ErrorCode.KEY_FILE


def test_an_invitation_never_shows_its_code() -> None:
    made = invitation()
    assert all(CODE not in text for text in (repr(made), str(made), f"{made}"))


@pytest.mark.parametrize(
    "changes",
    [
        {"code": ""},
        {"code": [CODE]},
        {"address": "ee/node"},
        {"roles": []},
        {"roles": ["king"]},
        {"proof_key": "00"},
        {"proof_key": "not hexadecimal"},
        {"node_ca": "no certificate"},
        {"endpoint": "nowhere"},
        {"surplus": CODE},
        {"expires": "2026-03-01T12:00:00"},
    ],
)
def test_what_is_no_invitation_is_refused_without_a_word_of_its_code(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "invitation"
    invitation().write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert refused(lambda: Invitation.read(path)) is ErrorCode.BAD_INPUT


# The application


def test_an_application_is_on_the_disk_with_keys_of_its_own_machine(tmp_path: Path) -> None:
    made = applicant(tmp_path / "lhv")
    application = made.prepare("AS LHV Pank", LEI)
    folder = tmp_path / "lhv"
    assert pb.Application.FromString((folder / "application.bin").read_bytes()) == application
    assert application.signing_key == bytes(keys.load_signing_key(folder / "signing.key").verify_key)
    assert application.sealing_key == bytes(keys.load_sealing_key(folder / "sealing.key").public_key)
    key = proofs.check_request(application.certificate_request, made.invitation.address, "rogatory.test")
    assert key == keys.load_tls_key(folder / "tls.key").public_key()
    assert application.code_digest == sha256(CODE.encode()).digest()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in contents(folder))


def test_prepared_again_it_is_the_same_to_the_byte(tmp_path: Path) -> None:
    invited = invitation()
    applicant(tmp_path, invited=invited).prepare("AS LHV Pank", LEI)
    before = contents(tmp_path)
    for names in (("AS LHV Pank", LEI), ("", "")):
        Applicant(invited, tmp_path, None).prepare(*names)  # at another time
        assert contents(tmp_path) == before


@pytest.mark.parametrize("missing", ["application.bin", "tls.key"])
def test_interrupted_while_it_made_keys_it_goes_on_with_those_there_are(tmp_path: Path, missing: str) -> None:
    invited = invitation()
    applicant(tmp_path, invited=invited).prepare("AS LHV Pank", LEI)
    signing = (tmp_path / "signing.key").read_bytes()
    for name in {missing, "application.bin"}:
        (tmp_path / name).unlink()
    application = applicant(tmp_path, invited=invited).prepare("AS LHV Pank", LEI)
    assert (tmp_path / "signing.key").read_bytes() == signing
    proofs.check_request(application.certificate_request, invited.address, "rogatory.test")


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (("Another name", LEI), {}),
        (("AS LHV Pank", "529900W18LQJJN6SJ336"), {}),
        (("AS LHV Pank", LEI), {"code": CODE[::-1]}),
        (("AS LHV Pank", LEI), {"address": Address("ee", "exchange-2")}),
        (("AS LHV Pank", LEI), {"federation": "other.test"}),
    ],
)
def test_a_folder_of_another_application_is_not_taken(
    tmp_path: Path, names: tuple[str, str], changes: dict[str, Any]
) -> None:
    applicant(tmp_path).prepare("AS LHV Pank", LEI)
    before = contents(tmp_path)
    code = refused(lambda: applicant(tmp_path, **changes).prepare(*names))
    assert code in {ErrorCode.BAD_INPUT, ErrorCode.BAD_PROOF}
    assert contents(tmp_path) == before


def test_a_key_exchanged_after_the_application_was_made_is_found(tmp_path: Path) -> None:
    applicant(tmp_path).prepare("AS LHV Pank", LEI)
    (tmp_path / "tls.key").unlink()
    assert refused(lambda: applicant(tmp_path).prepare()) is ErrorCode.BAD_INPUT


@pytest.mark.parametrize("lei", ["", "529900T8BM49AURSDO56", "529900t8bm49aursdo55"])
def test_an_exchange_without_a_right_lei_makes_no_keys(tmp_path: Path, lei: str) -> None:
    assert refused(lambda: applicant(tmp_path).prepare("AS LHV Pank", lei)) is ErrorCode.BAD_INPUT
    assert contents(tmp_path) == {}


def test_an_operator_has_a_tls_key_alone(tmp_path: Path) -> None:
    made = Applicant(invitation(Role.OPERATOR), tmp_path, None)
    application = made.prepare("Operations")
    assert (application.signing_key, application.sealing_key, application.lei) == (b"", b"", "")
    assert {path.name for path in tmp_path.glob("*.key")} == {"tls.key"}


# What the yes brings


@pytest.mark.parametrize("phrase", [None, PHRASE])
def test_the_settings_are_what_a_start_reads(
    tmp_path: Path, phrase: Passphrase | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("save_signing_key", "save_sealing_key", "save_tls_key"):
        save = getattr(keys, name)
        monkeypatch.setattr(keys, name, lambda *given, save=save: save(*given, locked.LEAST))
    made = applicant(tmp_path, phrase=phrase)
    made.prepare("AS LHV Pank", LEI)
    path = made.finish(Approved(made).outcome(), tmp_path / "phrase" if phrase else None)
    settings = config.load(ParticipantConfig, path)
    assert settings.address == made.invitation.address
    assert settings.signing_keys == (tmp_path / "signing.key",)
    assert settings.encrypted_keys is (phrase is not None)
    assert settings.passphrase_file == (tmp_path / "phrase" if phrase else None)
    assert keys.inspect(settings.tls_key).encrypted is (phrase is not None)
    assert (settings.directory.repository, settings.directory.ca) == ("https://example.org/directory", None)
    assert settings.directory.root.read_text() == "{}"
    assert settings.home.stat().st_mode & 0o777 == 0o700


def test_a_private_server_is_believed_by_the_certificate_that_came_with_the_invitation(tmp_path: Path) -> None:
    made = applicant(tmp_path, repository_ca=PKI.root.pem.decode())
    made.prepare("AS LHV Pank", LEI)
    settings = config.load(ParticipantConfig, made.finish(Approved(made).outcome()))
    assert settings.directory.ca is not None
    assert settings.directory.ca.read_bytes() == PKI.root.pem


def test_interrupted_while_it_wrote_it_writes_again(tmp_path: Path) -> None:
    made = applicant(tmp_path)
    made.prepare("AS LHV Pank", LEI)
    outcome = Approved(made).outcome()
    made.finish(outcome).unlink()
    assert made.finish(outcome).exists()


def test_a_certificate_of_another_key_is_not_taken(tmp_path: Path) -> None:
    made, other = applicant(tmp_path / "a"), applicant(tmp_path / "b")
    made.prepare("AS LHV Pank", LEI)
    request = other.prepare("AS LHV Pank", LEI).certificate_request
    with pytest.raises(Refusal) as caught:
        made.finish(Approved(made).outcome(request))
    assert caught.value.code is ErrorCode.BAD_PROOF
    assert not made.settings.exists()


# The command


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["enrol", *arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_a_node_that_is_away_leaves_an_application_to_go_on_with(tmp_path: Path) -> None:
    path, folder = tmp_path / "invitation", tmp_path / "lhv"
    invitation().write(path)
    arguments = [str(path), str(folder), "--legal-name", "AS LHV Pank", "--lei", LEI, "--plain-keys"]
    assert run(*arguments)[0] == 1
    before = contents(folder)
    status, said = run(*arguments, "--json")
    assert (status, json.loads(said)["error"]["code"]) == (1, "UNAVAILABLE")
    assert contents(folder) == before


def test_no_output_shows_the_code_or_a_key(tmp_path: Path) -> None:
    path, folder = tmp_path / "invitation", tmp_path / "lhv"
    invitation().write(path)
    arguments = [str(path), str(folder), "--legal-name", "AS LHV Pank", "--lei", LEI, "--plain-keys"]
    said = [run(*arguments, *form)[1] for form in ([], ["--json"])]
    secrets = [CODE, *(file.read_text().splitlines()[1] for file in folder.glob("*.key"))]
    assert len(secrets) == 4
    assert all(secret not in text for secret in secrets for text in said)


def test_keys_are_encrypted_unless_told_otherwise_and_nobody_is_asked_without_a_terminal(tmp_path: Path) -> None:
    path, folder = tmp_path / "invitation", tmp_path / "lhv"
    invitation().write(path)
    status, said = run(str(path), str(folder), "--legal-name", "AS LHV Pank", "--lei", LEI, "--json")
    assert (status, json.loads(said)["error"]["code"]) == (2, "BAD_INPUT")
    assert not folder.exists()


def test_plain_keys_under_a_passphrase_are_a_contradiction(tmp_path: Path) -> None:
    path = tmp_path / "invitation"
    invitation().write(path)
    status, said = run(str(path), str(tmp_path / "lhv"), "--plain-keys", "--passphrase-file", "x", "--json")
    assert (status, json.loads(said)["error"]["code"]) == (2, "BAD_INPUT")
