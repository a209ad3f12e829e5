"""Keys of real settings: under a passphrase, as a start and the command line `keys` meet them."""

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from nacl.signing import SigningKey

from gateway import cli, keys, locked, material
from gateway.cli import keys as commands
from gateway.cli import output, passphrases
from gateway.cli.development import init_federation
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from tests.errors import raises

NOW = datetime.now(UTC)  # commands ask the clock of this machine
PHRASE = "correct horse battery staple"
OTHER = "another horse altogether"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COST", locked.LEAST)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init_federation(tmp_path_factory.mktemp("made") / "fed", ["ee"], [7440], NOW).folder


@pytest.fixture
def fed(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "fed")


def secret(folder: Path, text: str = PHRASE, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def config_of(fed: Path, who: str) -> Path:
    return fed / "ee/node.toml" if who == "node" else fed / "ee" / who / "participant.toml"


def key_files(fed: Path, who: str) -> list[Path]:
    folder = config_of(fed, who).parent
    names = ("sealing.key", "signing.key", "tls.key", "target.key")  # all that the settings name
    return [folder / name for name in names if (folder / name).exists()]


def say(fed: Path, who: str, *lines: str, instead_of: str = "encrypted_keys") -> Path:
    """Replace one setting."""
    path = config_of(fed, who)
    old = path.read_text().splitlines()
    assert sum(each.startswith(f"{instead_of} = ") for each in old) == 1
    kept = [each for each in old if not each.startswith(f"{instead_of} = ")]
    path.write_text("\n".join([*lines, *kept]))
    return path


def load(path: Path) -> Any:
    return material.load_node(path) if path.name == "node.toml" else material.load_participant(path)


def refused(path: Path) -> tuple[ErrorCode, str]:
    with pytest.raises(Refusal) as caught:
        load(path)
    return caught.value.code, caught.value.field


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["keys", *(str(each) for each in arguments)])


def encrypted(fed: Path, who: str) -> Path:
    """Encrypt all keys of somebody, and say so in the settings."""
    path = say(fed, who, 'passphrase_file = "secret"')
    assert run("encrypt", *key_files(fed, who), "--passphrase-file", secret(path.parent)).exit_code == 0
    return path


EVERYBODY = pytest.mark.parametrize("who", ["node", "prosecutor", "operator"])


def test_no_key_is_encrypted_where_one_of_the_files_cannot_be(fed: Path) -> None:
    files = key_files(fed, "prosecutor")
    result = run("encrypt", *files, fed / "root.json", "--passphrase-file", secret(fed), "--json")
    assert json.loads(result.stdout)["error"]["code"] == "KEY_FILE"
    assert not [path for path in files if keys.inspect(path).encrypted]
    load(config_of(fed, "prosecutor"))


# A start


@EVERYBODY
def test_a_start_opens_its_keys_with_the_passphrase_of_the_file(fed: Path, who: str) -> None:
    plain = load(config_of(fed, who))
    sealed = load(encrypted(fed, who))
    assert sealed.identity == plain.identity
    if who == "prosecutor":
        assert (sealed.signing_keys, sealed.sealing_keys) == (plain.signing_keys, plain.sealing_keys)
    elif who == "node":
        assert sealed.signing_key.public_key == plain.signing_key.public_key


@EVERYBODY
def test_settings_that_say_nothing_demand_encrypted_keys(fed: Path, who: str) -> None:
    assert refused(say(fed, who)) == (ErrorCode.BAD_CONFIG, "passphrase_file")


@EVERYBODY
def test_a_plain_key_among_encrypted_ones_is_refused(fed: Path, who: str) -> None:
    plain = {path: path.read_bytes() for path in key_files(fed, who)}
    config = encrypted(fed, who)
    for path, content in plain.items():
        kept = path.read_bytes()
        path.write_bytes(content)
        assert refused(config) == (ErrorCode.KEY_FILE, str(path.resolve()))
        path.write_bytes(kept)
    load(config)


@EVERYBODY
def test_encrypted_keys_are_refused_where_the_settings_say_plain(fed: Path, who: str) -> None:
    encrypted(fed, who)
    assert refused(say(fed, who, "encrypted_keys = false", instead_of="passphrase_file"))[0] is ErrorCode.KEY_FILE


def test_plain_keys_and_a_passphrase_contradict_each_other(fed: Path) -> None:
    secret(fed / "ee")
    path = say(fed, "node", "encrypted_keys = false", 'passphrase_file = "secret"')
    assert refused(path) == (ErrorCode.BAD_CONFIG, "encrypted_keys")


@EVERYBODY
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_passphrase_file_that_others_may_read_stops_a_start(fed: Path, who: str, mode: int) -> None:
    path = encrypted(fed, who)
    (path.parent / "secret").chmod(mode)
    assert refused(path) == (ErrorCode.KEY_FILE, str(path.resolve().parent / "secret"))


@EVERYBODY
def test_a_wrong_passphrase_stops_a_start(fed: Path, who: str) -> None:
    path = encrypted(fed, who)
    secret(path.parent, OTHER)
    assert refused(path)[0] is ErrorCode.KEY_FILE


def test_a_person_is_asked_where_the_settings_name_no_file(fed: Path) -> None:
    path = encrypted(fed, "prosecutor")
    say(fed, "prosecutor", instead_of="passphrase_file")
    assert refused(path) == (ErrorCode.BAD_CONFIG, "passphrase_file")
    assert material.load_participant(path, ask=lambda: Passphrase(PHRASE)).signing_keys
    with raises(ErrorCode.KEY_FILE):
        material.load_participant(path, ask=lambda: Passphrase(OTHER))


def test_a_node_has_a_signing_key_in_a_file_or_in_a_token(fed: Path) -> None:
    assert refused(say(fed, "node", instead_of="signing_keys")) == (ErrorCode.BAD_CONFIG, "signing_keys")


# The command


def results(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [each["result"] for each in json.loads(result.stdout)["files"]]


def error_of(result: Result) -> tuple[int, str]:
    return result.exit_code, json.loads(result.stdout)["error"]["code"]


def test_a_service_with_a_wrong_passphrase_ends_so_that_it_is_not_started_again(fed: Path) -> None:
    node = encrypted(fed, "node")
    secret(node.parent, OTHER)
    ended = CliRunner().invoke(cli.commands, ["serve", "--config", str(node)])
    assert (ended.exit_code, "KEY_FILE" in ended.stderr) == (output.WRONG_SECRET, True)
    # A person who looks meets a refusal as of any other key; and a key that is not there may come with its disk.
    assert CliRunner().invoke(cli.commands, ["check-config", str(node)]).exit_code == output.REFUSED
    (node.parent / "signing.key").unlink()
    assert CliRunner().invoke(cli.commands, ["serve", "--config", str(node)]).exit_code == output.REFUSED


def test_encrypting_again_changes_nothing(fed: Path) -> None:
    arguments = ["encrypt", *map(str, key_files(fed, "node")), "--passphrase-file", str(secret(fed)), "--json"]
    assert results(run(*arguments)) == ["encrypted", "encrypted"]
    before = [path.read_bytes() for path in key_files(fed, "node")]
    assert results(run(*arguments)) == ["unchanged", "unchanged"]
    assert [path.read_bytes() for path in key_files(fed, "node")] == before


def test_encrypting_what_has_another_passphrase_is_refused(fed: Path) -> None:
    encrypted(fed, "node")
    secret(fed, OTHER)
    result = run("encrypt", *key_files(fed, "node"), "--passphrase-file", fed / "secret", "--json")
    assert error_of(result) == (2, "KEY_FILE")


def test_a_changed_passphrase_opens_all_files_and_the_old_one_none(fed: Path) -> None:
    path = encrypted(fed, "prosecutor")
    shutil.copy2(secret(fed, OTHER), path.parent / "new")
    files = key_files(fed, "prosecutor")
    old_and_new = ("--passphrase-file", path.parent / "secret", "--new-passphrase-file", path.parent / "new", "--json")
    assert results(run("change-passphrase", *files, *old_and_new)) == ["encrypted"] * 4
    assert refused(path)[0] is ErrorCode.KEY_FILE
    secret(path.parent, OTHER)
    load(path)


def test_an_interrupted_change_is_finished_by_running_it_again(fed: Path) -> None:
    path = encrypted(fed, "prosecutor")
    shutil.copy2(secret(fed, OTHER), path.parent / "new")
    files = key_files(fed, "prosecutor")
    keys.change_passphrase(files[1], Passphrase(PHRASE), Passphrase(OTHER), locked.LEAST)
    old_and_new = ("--passphrase-file", path.parent / "secret", "--new-passphrase-file", path.parent / "new", "--json")
    assert results(run("change-passphrase", *files, *old_and_new)) == [
        "encrypted",
        "unchanged",
        "encrypted",
        "encrypted",
    ]
    for file in files:
        keys.check(file, Passphrase(OTHER))


def test_no_file_is_changed_if_one_of_them_cannot_be(fed: Path) -> None:
    path = encrypted(fed, "prosecutor")
    shutil.copy2(secret(fed, OTHER), path.parent / "new")
    files = key_files(fed, "prosecutor")
    keys.save_signing_key(
        path.parent / "third", SigningKey.generate(), Passphrase("a third horse of them"), locked.LEAST
    )
    old_and_new = ("--passphrase-file", path.parent / "secret", "--new-passphrase-file", path.parent / "new", "--json")
    result = run("change-passphrase", *files, path.parent / "third", *old_and_new)
    assert error_of(result) == (2, "KEY_FILE")
    load(path)


@pytest.mark.parametrize("command", ["encrypt", "change-passphrase"])
def test_where_nobody_can_be_asked_a_file_is_wanted(fed: Path, command: str) -> None:
    assert error_of(run(command, *key_files(fed, "node"), "--json")) == (2, "BAD_INPUT")


def test_no_option_takes_a_passphrase_itself() -> None:
    for command in (commands.encrypt, commands.change_passphrase):
        taken = {each.name: each.type for each in command.params if "passphrase" in str(each.name)}
        assert taken
        assert all(isinstance(each, click.Path) for each in taken.values())


def typing(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    answers = iter(typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "prompt", lambda *arguments, **more: next(answers))


@pytest.mark.parametrize(
    ("typed", "code"), [((PHRASE, OTHER), ErrorCode.BAD_INPUT), (("short",) * 2, ErrorCode.KEY_FILE)]
)
def test_a_mistyped_or_short_new_passphrase_is_refused(
    monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], code: ErrorCode
) -> None:
    typing(monkeypatch, *typed)
    with pytest.raises(Refusal) as caught:
        passphrases.ask_new()
    assert caught.value.code is code


def test_typed_bytes_that_are_no_text_are_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_arguments: object, **_more: object) -> str:
        return b"a secret that a terminal of another encoding sends \xe4".decode()

    typing(monkeypatch)
    monkeypatch.setattr(click, "prompt", unreadable)
    with pytest.raises(Refusal) as caught:
        passphrases.ask()
    assert caught.value.code is ErrorCode.KEY_FILE
    assert caught.value.__suppress_context__


def test_half_a_letter_that_a_terminal_could_not_read_is_no_part_of_a_passphrase() -> None:
    with pytest.raises(Refusal) as caught:
        Passphrase("long enough, but \udce4")
    assert caught.value.code is ErrorCode.KEY_FILE


def status(path: Path) -> tuple[int, list[dict[str, Any]]]:
    result = run("status", "--config", path, "--json")
    found: list[dict[str, Any]] = json.loads(result.stdout)["keys"]
    return result.exit_code, found


def test_the_status_shows_every_key_by_id_and_mode_without_a_passphrase(fed: Path) -> None:
    path = config_of(fed, "prosecutor")
    code, plain = status(path)
    assert code == 0
    assert [(each["setting"], each["algorithm"]) for each in plain] == [
        ("signing_keys[0]", "Ed25519"),
        ("sealing_keys[0]", "X25519"),
        ("target_keys[0]", "HMAC-SHA-256"),
        ("tls_key", "P-256"),
    ]
    assert {(each["encrypted"], each["mode"]) for each in plain} == {(False, "0600")}
    encrypted(fed, "prosecutor")
    code, sealed = status(path)
    assert code == 0
    assert [each["key_id"] for each in sealed[:4]] == [each["key_id"] for each in plain]
    assert all(each["encrypted"] for each in sealed[:4])
    assert sealed[4]["setting"] == "passphrase_file"


def test_the_status_tells_of_each_file_that_a_start_would_refuse(fed: Path) -> None:
    path = encrypted(fed, "prosecutor")
    sealing, signing, tls, target = key_files(fed, "prosecutor")
    signing.chmod(0o644)
    sealing.unlink()
    tls.write_bytes(b"none")
    target.write_bytes(b"none")
    (path.parent / "secret").chmod(0o640)
    code, found = status(path)
    assert code == 2
    assert [each["error"]["code"] for each in found] == ["KEY_FILE"] * 5
    assert [each["mode"] for each in found] == ["0644", "", "0600", "0600", "0640"]


def test_the_status_tells_of_plain_keys_where_encrypted_ones_are_demanded(fed: Path) -> None:
    path = say(fed, "node", 'passphrase_file = "secret"')
    secret(path.parent)
    code, found = status(path)
    assert code == 2
    assert [each["error"] and each["error"]["code"] for each in found] == ["KEY_FILE", "KEY_FILE", None]


def test_the_status_for_people_ends_with_what_is_wrong(fed: Path) -> None:
    path = config_of(fed, "node")
    key_files(fed, "node")[0].chmod(0o644)
    result = run("status", "--config", path)
    assert (result.exit_code, "error KEY_FILE" in result.output, "0644" in result.output) == (2, True, True)


def test_the_status_names_a_token_and_does_not_log_in_to_it(fed: Path) -> None:
    path = say(fed, "node", instead_of="signing_keys")
    path.write_text(path.read_text() + '\n[hsm]\nmodule = "/none.so"\ntoken = "t"\nkey = "k"\npin_file = "secret"\n')
    secret(path.parent, "1234")
    code, found = status(path)
    assert code == 0
    assert [(each["setting"], each["algorithm"]) for each in found][:2] == [("hsm", "PKCS#11"), ("hsm.pin_file", "")]


def test_the_status_for_people_shows_no_key_and_no_passphrase(fed: Path) -> None:
    plain = [path.read_text().splitlines()[1] for path in key_files(fed, "prosecutor")]
    shown = run("status", "--config", config_of(fed, "prosecutor")).output
    path = encrypted(fed, "prosecutor")
    shown += run("status", "--config", path).output
    assert "signing_keys[0]" in shown
    assert not any(each in shown for each in (*plain, PHRASE))
