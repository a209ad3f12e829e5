import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from nacl.signing import SigningKey

from gateway import cli, config, keys, locked, material
from gateway.cli import bench, folders, output
from gateway.cli.development import CAST, INSTRUMENT, Summary, free_ports, init_federation
from gateway.config import Delivery, Limits, NodeConfig, ParticipantConfig
from gateway.directory import KeyEntry
from gateway.errors import ErrorCode, Failure, GatewayError, Refusal
from gateway.identity import Address, Role
from gateway.printable import printable
from gateway.publisher import Publisher
from gateway.target_keys import HOLDERS
from gateway.trust import development
from gateway.trust.repository import Repository
from tests.errors import raises
from tests.federation import directory_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return init_federation(tmp_path_factory.mktemp("made") / "new" / "fed", ["ee", "de", "fi"], [7440, 7441, 7442], NOW)


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """As `made`, but of today, for commands that ask the clock of this machine."""
    return init_federation(tmp_path_factory.mktemp("made") / "fed", ["ee"], [7440], datetime.now(UTC))


@pytest.fixture
def fed(current: Summary, tmp_path: Path) -> Path:
    return shutil.copytree(current.folder, tmp_path / "fed")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, [str(each) for each in arguments])


def error_of(result: Result) -> tuple[str, str]:
    error = json.loads(result.stdout)["error"]
    return error["code"], error["field"]


def refused(folder: Path, nodes: list[str], ports: list[int], federation: str = "rogatory.test") -> str:
    with pytest.raises(Refusal) as caught:
        init_federation(folder, nodes, ports, NOW, federation=federation)
    assert caught.value.code is ErrorCode.BAD_INPUT
    return caught.value.field


# What is made


@pytest.mark.parametrize("name", ["\U00020bb7\u91ce \U0001f511", 'a "b" \\ \x7f', "cafe\u0301"])
def test_settings_name_a_passphrase_wherever_it_lies(tmp_path: Path, name: str) -> None:
    settings = folders.AtRest(tmp_path / name / "phrase").settings()
    assert name in str(settings["passphrase_file"])
    assert tomllib.loads(folders.toml(settings, {"more": settings})) == settings | {"more": settings}


def test_every_member_can_start_from_what_was_made(made: Summary) -> None:
    assert [str(each.address) for each in made.nodes] == ["ee/node", "de/node", "fi/node"]
    for node in made.nodes:
        assert material.load_node(node.config, lambda: NOW).warnings == ()
    assert len(made.participants) == 3 * len(CAST)
    for participant in made.participants:
        loaded = material.load_participant(participant.config, lambda: NOW)
        assert (loaded.address, loaded.roles) == (participant.address, frozenset({participant.role}))
        assert loaded.warnings == ()
        assert loaded.node.endpoint == participant.endpoint


def test_every_role_of_a_participant_is_played_at_every_node(made: Summary) -> None:
    for code in ("ee", "de", "fi"):
        roles = {each.role for each in made.participants if each.address.node == code}
        assert roles == {*Role} - {Role.NODE}


def test_keys_are_valid_for_clocks_five_minutes_behind(made: Summary) -> None:
    early = NOW - timedelta(minutes=5)
    for participant in made.participants:
        assert material.load_participant(participant.config, lambda: early).address == participant.address
    with raises(ErrorCode.BAD_CONFIG):
        material.load_node(made.nodes[0].config, lambda: early - timedelta(seconds=1))


def test_the_instrument_binds_all_nodes_for_all_that_may_cross_a_border(made: Summary) -> None:
    directory = directory_of(made.folder, NOW)
    start = datetime(2020, 12, 19, tzinfo=UTC)
    for pair in ({"ee", "de"}, {"de", "fi"}, {"ee", "fi"}):
        assert directory.in_force(INSTRUMENT, frozenset(pair), "freeze-request", start)
        assert not directory.in_force(INSTRUMENT, frozenset(pair), "freeze-request", start - timedelta(seconds=1))
    (instrument,) = directory.instruments
    assert {"freeze-request", "evidence-request", "provisional-freeze", "watchlist-notice"} <= instrument.kinds
    assert "review-decision" not in instrument.kinds  # an answer is owed under the instrument of the question


def test_only_the_owner_can_enter_a_folder_or_read_a_key_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        init_federation(tmp_path / "fed", ["ee"], [7440], NOW)
    finally:
        os.umask(before)
    everything = [tmp_path / "fed", *(tmp_path / "fed").rglob("*")]
    assert {stat.S_IMODE(each.stat().st_mode) for each in everything if each.is_dir()} == {0o700}
    private = [each for each in everything if each.suffix == ".key"]
    # Three founders, the publisher; root, CA; the node's three; a certificate's key for each participant, two more for
    # who signs and opens, and the one of targets for each authority.
    envelopes, targets = (
        sum(part.has_envelope_keys for part in CAST),
        sum(part.role in HOLDERS for part in CAST),
    )
    assert len(private) == 3 + 1 + 2 + 3 + len(CAST) + 2 * envelopes + targets
    assert {stat.S_IMODE(each.stat().st_mode) for each in private} == {0o600}
    public = [each for each in everything if each.is_file() and each not in private]
    assert not any(b"PRIVATE" in each.read_bytes() for each in public)


def test_no_two_keys_are_the_same_but_the_one_that_authorities_share(made: Summary) -> None:
    private = [each.read_bytes() for each in made.folder.rglob("*.key") if each.name != folders.TARGET_KEY]
    assert len(set(private)) == len(private)


def test_a_federation_can_be_moved(made: Summary, tmp_path: Path) -> None:
    moved = shutil.copytree(made.folder, tmp_path / "elsewhere")
    assert str(made.folder) not in "".join(each.read_text() for each in moved.rglob("*.[tj]*"))
    assert material.load_node(moved / "ee/node.toml", lambda: NOW).config.store == moved.resolve() / "ee/store/node.db"


def test_delivery_and_limits_are_written_as_far_as_they_were_set(tmp_path: Path) -> None:
    delivery, limits = Delivery(lease_seconds=1.5), Limits(max_waiting_jobs=16)
    summary = init_federation(tmp_path / "fed", ["ee"], [7440], NOW, delivery=delivery, limits=limits)
    settings = config.load(NodeConfig, summary.config("ee/node"))
    assert (settings.delivery, settings.limits) == (delivery, limits)
    text = summary.config("ee/node").read_text()
    assert "lease_seconds" in text
    assert "sweep_seconds" not in text


def test_nodes_register_participants_and_the_first_publishes_for_all(tmp_path: Path) -> None:
    summary = init_federation(
        tmp_path / "fed",
        ["ee", "de"],
        [7440, 7441],
        NOW,
        enrolment_ports=[7540, 7541],
        registry={"notice_seconds": 0.5, "approvals": 2},
        timestamp_hours=12,
        refresh_seconds=0.25,
    )
    nodes = [material.load_node(each.config, lambda: NOW) for each in summary.nodes]
    for code, port, loaded in zip(("ee", "de"), (7540, 7541), nodes, strict=True):
        found = loaded.config.registry
        assert found is not None
        assert (found.listen, found.notice_seconds, found.approvals) == (f"127.0.0.1:{port}", 0.5, 2)
        assert found.ca_certificate.samefile(tmp_path / "fed/pki" / code / "ca.pem")
        assert keys.inspect(found.ca_key).algorithm == "P-256"
        assert keys.inspect(found.directory_key).algorithm == "Ed25519"
        assert loaded.config.directory.refresh_seconds == 0.25
    publisher = nodes[0].config.publisher
    assert publisher is not None
    assert publisher.timestamp_hours == 12
    assert Publisher(publisher, None, lambda: NOW).renew(NOW) <= NOW + timedelta(hours=6)
    assert nodes[1].config.publisher is None
    assert nodes[0].trusted.federation.publisher == "ee"
    assert config.load(ParticipantConfig, summary.config("de/court")).directory.refresh_seconds == 0.25


def test_nodes_register_nobody_and_nobody_publishes_unless_asked_for(made: Summary) -> None:
    for node in made.nodes:
        loaded = material.load_node(node.config, lambda: NOW)
        assert (loaded.config.registry, loaded.config.publisher, loaded.trusted.federation.publisher) == (
            None,
            None,
            "",
        )


@pytest.mark.parametrize("enrolment", [[7540], [7440, 7541], [7540, 7540], [7540, 0]])
def test_enrolment_ports_that_do_not_fit_are_refused(tmp_path: Path, enrolment: list[int]) -> None:
    with pytest.raises(Refusal) as caught:
        init_federation(tmp_path / "fed", ["ee", "de"], [7440, 7441], NOW, enrolment_ports=enrolment)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_INPUT, "ports")


def test_there_are_two_registrars_at_every_node(made: Summary) -> None:
    """Four eyes: no exchange gets in by one of them alone."""
    found = [str(each.address) for each in made.participants if each.role is Role.REGISTRAR]
    assert found == [f"{code}/registrar{twin}" for code in ("ee", "de", "fi") for twin in ("", "-2")]


def test_a_changed_directory_is_signed_anew_without_losing_what_nodes_say_of_themselves(tmp_path: Path) -> None:
    fed = init_federation(tmp_path / "fed", ["ee", "de"], [7440, 7441], NOW, publisher=True).folder
    repository = Repository(fed / development.REPOSITORY)
    own = KeyEntry(public=bytes(SigningKey.generate().verify_key), not_before=NOW)
    entries = repository.list_of("de").model_copy(update={"signing_keys": (own,), "endpoint": "elsewhere.example:1"})
    repository.put_list("de", keys.load_signing_key(development.node_key(fed, "de")), entries, NOW)
    repository.publish(keys.load_signing_key(development.publisher_key(fed)), NOW)
    before = directory_of(fed, NOW)
    development.sign_anew(fed, before, NOW)
    after = directory_of(fed, NOW)
    assert (after.nodes, after.participants) == (before.nodes, before.participants)
    assert repository.list_of("de").signing_keys == (own,)
    assert repository.federation().publisher == "ee"


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20


# What is refused


@pytest.mark.parametrize("code", ["", "e", "EE", "eee", "e1", "..", "e/", "èé", "ee\n", " e"])
def test_a_bad_node_code_is_refused_and_nothing_is_made(tmp_path: Path, code: str) -> None:
    assert refused(tmp_path / "fed", ["de", code], [1, 2]) == "nodes[1]"
    assert not (tmp_path / "fed").exists()


def test_a_node_named_twice_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "fed", ["ee", "ee"], [1, 2]) == "nodes[1]"


def test_no_node_at_all_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "fed", [], []) == "nodes"


@pytest.mark.parametrize("ports", [[7440], [7440, 7440], [0, 7440], [65535, 65536], [-1, 7440]])
def test_ports_that_do_not_fit_are_refused(tmp_path: Path, ports: list[int]) -> None:
    assert refused(tmp_path / "fed", ["ee", "de"], ports) == "ports"


@pytest.mark.parametrize(
    "federation", ["", "Rogatory.test", "a..b", ".a", "a.", "-a", "a-", "a b", "a/b", "a:1", "é.test", "a\n", "a" * 48]
)
def test_a_bad_domain_is_refused_and_nothing_is_made(tmp_path: Path, federation: str) -> None:
    assert refused(tmp_path / "fed", ["ee"], [7440], federation) == "federation"
    assert not (tmp_path / "fed").exists()


def test_the_longest_domain_fits_into_its_certificates(tmp_path: Path) -> None:
    summary = init_federation(tmp_path / "fed", ["ee"], [7440], NOW, federation="a" * 47)
    assert material.load_node(summary.config("ee/node"), lambda: NOW).directory.federation == "a" * 47


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    assert refused(tmp_path, ["ee"], [7440]) == "folder"
    assert [each.name for each in tmp_path.iterdir()] == [".hidden"]


def test_a_second_federation_does_not_overwrite_the_first(made: Summary) -> None:
    before = made.root.read_bytes()
    assert refused(made.folder, ["ee"], [7440]) == "folder"
    assert made.root.read_bytes() == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert init_federation(tmp_path, ["ee"], [7440], NOW).root.exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file", ["ee"], [7440]) == "folder"
    assert refused(tmp_path / "file" / "fed", ["ee"], [7440]) == "folder"


# rogatory federation init


def test_init_prints_what_it_made_and_what_to_do_next(tmp_path: Path) -> None:
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee, de", "--free-ports")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["ADDRESS", "ROLE", "NODE", "AT", "SETTINGS"]
    assert [line.split()[0] for line in lines[1 : len(CAST) + 3]] == [
        "ee/node",
        *(f"ee/{part.name}" for part in CAST),
        "de/node",
    ]
    assert f"rogatory serve --config {tmp_path}/fed/ee/node.toml" in result.stdout


def test_init_prints_json_with_ports_from_the_base_on(tmp_path: Path) -> None:
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee,de", "--base-port", "7500", "--json")
    printed = json.loads(result.stdout)
    assert [(each["node"], each["endpoint"]) for each in printed["nodes"]] == [
        ("ee", "127.0.0.1:7500"),
        ("de", "127.0.0.1:7501"),
    ]
    assert len(printed["participants"]) == 2 * len(CAST)


def test_init_puts_every_key_under_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "COST", locked.LEAST)
    phrase = tmp_path / "phrase"
    phrase.touch(mode=0o600)
    phrase.write_text("of a whole federation\n")
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee", "--free-ports", "--passphrase-file", phrase)
    assert result.exit_code == 0, result.output
    assert "plain" not in result.stdout
    private = [*(tmp_path / "fed").rglob("*.key")]
    assert len(private) > 20
    assert all(keys.inspect(path).encrypted for path in private)
    settings = [*(tmp_path / "fed").rglob("*.toml")]
    checked = run("check-config", *settings)
    assert (checked.exit_code, checked.stderr) == (0, "")
    added = run("federation", "add-node", tmp_path / "fed", "fi", "--passphrase-file", phrase, "--json")
    for step in json.loads(added.stdout)["next"][:-1]:
        done = run(*step, *(["--yes"] if step[1] == "sign" else []))
        assert done.exit_code == 0, done.output
    checked = run("check-config", *(tmp_path / "fed/fi").rglob("*.toml"))
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_init_says_that_keys_are_plain(tmp_path: Path) -> None:
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee", "--free-ports", "--no-registry")
    assert "encrypted_keys = false" in result.stdout
    assert config.load(NodeConfig, tmp_path / "fed/ee/node.toml").registry is None


def test_init_gives_every_node_a_door_for_enrolment(tmp_path: Path) -> None:
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee,de", "--base-port", "7500", "--json")
    assert [each["enrolment"] for each in json.loads(result.stdout)["nodes"]] == ["127.0.0.1:7600", "127.0.0.1:7601"]
    added = json.loads(run("federation", "add-node", tmp_path / "fed", "fi", "--json").stdout)
    assert config.load(NodeConfig, Path(added["config"])).registry is not None


def test_a_refusal_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee,\x1b[2J")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error BAD_INPUT: ")
    assert result.stderr.endswith(" (at nodes[1])\n")
    assert result.stderr.count("\n") == 1


def test_a_refusal_with_json_is_one_object_on_standard_output(tmp_path: Path) -> None:
    result = run("federation", "init", tmp_path / "fed", "--nodes", "ee,de", "--base-port", "65535", "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    assert error_of(result) == ("BAD_INPUT", "ports")


# rogatory check-config


def test_check_config_passes_what_init_made_and_leaves_nothing_behind(fed: Path) -> None:
    before = sorted(fed.rglob("*"))
    files = [*fed.rglob("*.toml")]
    result = run("check-config", *files)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count(" ok\n") == len(files) == 1 + len(CAST)
    assert sorted(fed.rglob("*")) == before


def test_check_config_reports_every_file_and_ends_with_2_if_one_is_wrong(fed: Path) -> None:
    (fed / "ee/fiu/signing.key").chmod(0o644)
    shutil.copy(fed / "ee/court/signing.key", fed / "ee/prosecutor/signing.key")
    files = [fed / "ee/fiu/participant.toml", fed / "ee/node.toml", fed / "ee/prosecutor/participant.toml"]
    result = run("check-config", *files)
    assert result.exit_code == 2
    assert result.stdout.count(" ok\n") == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["error KEY_FILE", "error BAD_CONFIG"]
    printed = json.loads(run("check-config", "--json", *files).stdout)
    assert [each["ok"] for each in printed["files"]] == [False, True, False]
    assert printed["error"] == printed["files"][0]["error"]
    assert printed["files"][2]["error"]["field"] == "signing_keys"


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """Return the settings of a node that registers and publishes."""
    made = init_federation(
        tmp_path / "office", ["ee"], [7440], datetime.now(UTC), enrolment_ports=[7540], publisher=True
    )
    return made.config("ee/node")


@pytest.mark.parametrize(
    ("said", "instead", "code", "field"),
    [
        ('ca_certificate = "../pki/ee/ca.pem"', 'ca_certificate = "tls.pem"', "BAD_CONFIG", "registry.ca_certificate"),
        ('ca_key = "../pki/ee/ca.key"', 'ca_key = "none.key"', "KEY_FILE", "none.key"),
        ('directory_key = "directory.key"', 'directory_key = "signing.key"', "BAD_CONFIG", "registry.directory_key"),
        ('key = "../publisher/publisher.key"', 'key = "none.key"', "KEY_FILE", "none.key"),
        ("[publisher]", '[attachments]\nfolder = "tls.pem"\n[publisher]', "BAD_CONFIG", "attachments.folder"),
        ("[publisher]", '[attachments]\nfolder = "tls.pem/x"\n[publisher]', "BAD_CONFIG", "attachments.folder"),
    ],
)
def test_check_config_finds_what_a_registry_a_publisher_and_sealed_files_lack(
    office: Path, said: str, instead: str, code: str, field: str
) -> None:
    assert run("check-config", office).stderr == ""
    text = office.read_text()
    assert said in text
    office.write_text(text.replace(said, instead))
    result = run("check-config", "--json", office)
    assert result.exit_code == 2
    found, where = error_of(result)
    assert (found, Path(where).name) == (code, field)


@pytest.mark.parametrize("name", ["key", "repository"])
def test_check_config_warns_of_a_publisher_that_cannot_publish(office: Path, name: str) -> None:
    head, publisher = office.read_text().split("[publisher]")
    wrong = {"key": 'key = "signing.key"', "repository": 'repository = "store"'}[name]
    office.write_text(head + "[publisher]" + re.sub(rf"^{name} = .*$", wrong, publisher, flags=re.MULTILINE))
    result = run("check-config", office)
    assert result.exit_code == 0
    assert "cannot publish" in result.stderr


def test_check_config_tells_warnings_from_errors(fed: Path) -> None:
    (fed / "ee/store").chmod(0o755)
    result = run("check-config", fed / "ee/node.toml")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning ")


def test_check_config_shows_when_the_directory_ends_and_warns_of_it(tmp_path: Path) -> None:
    made = init_federation(tmp_path / "fed", ["ee"], [7440], datetime.now(UTC) - timedelta(days=25))
    result = run("check-config", made.config("ee/node"))
    assert result.exit_code == 0
    assert "the directory's role timestamp expires on" in result.stderr
    (file,) = json.loads(run("check-config", "--json", made.config("ee/node")).stdout)["files"]
    assert datetime.fromisoformat(file["directory_ends"]) < datetime.now(UTC) + timedelta(days=6)


def test_check_config_refuses_a_directory_that_has_expired(fed: Path) -> None:
    node = fed / "ee/node.toml"
    material.load_node(node)
    repository, now = Repository(fed / development.REPOSITORY), datetime.now(UTC)
    publisher = keys.load_signing_key(development.publisher_key(fed))
    repository.publish(publisher, now - timedelta(days=31))
    shutil.rmtree(fed / "ee/directory")
    assert error_of(run("check-config", "--json", node))[0] == "BAD_DIRECTORY"


def test_check_config_passes_a_publisher_that_was_off_for_longer_than_what_it_published_counts(office: Path) -> None:
    fed = office.parent.parent
    metadata = fed / development.REPOSITORY / "metadata"
    publisher = keys.load_signing_key(development.publisher_key(fed))
    Repository(fed / development.REPOSITORY).publish(publisher, datetime.now(UTC) - timedelta(days=40))
    published = {each: each.read_bytes() for each in metadata.iterdir()}
    result = run("check-config", office)
    assert (result.exit_code, "a start signs the directory anew" in result.stderr) == (0, True)
    assert {each: each.read_bytes() for each in metadata.iterdir()} == published
    (metadata / "timestamp.json").write_text("no longer what was signed")
    assert error_of(run("check-config", "--json", office))[0] == "BAD_DIRECTORY"
    head, _ = office.read_text().split("[publisher]")
    for each, content in published.items():
        each.write_bytes(content)
    office.write_text(head)
    assert error_of(run("check-config", "--json", office))[0] == "BAD_DIRECTORY"


def test_check_config_refuses_a_cache_that_cannot_be_used(fed: Path) -> None:
    (fed / "ee/directory").write_text("in the way")
    assert error_of(run("check-config", "--json", fed / "ee/node.toml")) == ("BAD_CONFIG", "directory.cache")


@pytest.mark.parametrize(
    "content",
    [
        "",
        'node = "ee"\naddress = "ee/prosecutor"',
        "node = ",
        b"\xff\xfe",
        'node = "ee"\nmax_paylaod_bytes = 1',
        'address = "EE/prosecutor"',
    ],
)
def test_check_config_refuses_a_file_of_neither_kind(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "some.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run("check-config", "--json", path)
    assert (result.exit_code, error_of(result)[0]) == (2, "BAD_CONFIG")


def test_check_config_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = run("check-config", "--json", tmp_path / "none.toml")
    assert (result.exit_code, error_of(result)[0]) == (2, "BAD_CONFIG")


def test_check_config_refuses_an_unsafe_sqlite(fed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.sqlite.SAFE_SQLITE", (99, 0, 0))
    result = run("check-config", "--json", fed / "ee/node.toml")
    assert (result.exit_code, error_of(result)[0]) == (2, "BAD_CONFIG")


def test_check_config_does_not_touch_the_store(fed: Path) -> None:
    (fed / "ee/store/node.db").write_bytes(b"of an older version")
    assert run("check-config", fed / "ee/node.toml").exit_code == 0
    assert (fed / "ee/store/node.db").read_bytes() == b"of an older version"


# The entry


@pytest.mark.parametrize(("group", "lines"), [([], cli.COMMANDS), (["bench"], bench.PARTS)], ids=["rogatory", "bench"])
def test_help_is_shown_without_loading_what_it_does_not_need(group: list[str], lines: Mapping[str, str]) -> None:
    code = (
        f"import sys; from gateway.cli import commands; commands([*{group}, '--help'], standalone_mode=False); "
        "print({'grpc', 'pydantic', 'sqlalchemy', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert all(name in done.stdout for name in lines)


def test_a_command_that_is_not_there_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.LazyGroup, "lines", {"absent": "Is not installed.", **cli.COMMANDS})
    assert run("--help").exit_code == 0
    assert run("federation", "--help").exit_code == 0
    assert run("absent").exit_code == 2
    assert run("nonsense").exit_code == 2


@pytest.mark.parametrize("arguments", [["federation"], ["federation", "init"], ["check-config"], ["trace"], ["serve"]])
def test_every_help_has_an_example(arguments: list[str]) -> None:
    assert f"Example:\n    rogatory {arguments[0]}" in run(*arguments, "--help").stdout


def test_the_program_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway.cli", "-h"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: rogatory ")


@pytest.mark.parametrize(
    ("error", "code"), [(Refusal(ErrorCode.STALE, "old"), 2), (Failure(ErrorCode.UNAVAILABLE, "away"), 1)]
)
def test_a_refusal_ends_with_2_and_a_failure_with_1(error: GatewayError, code: int) -> None:
    assert output.exit_code(error) == code


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["trace", "--from", "2026-13-01"], "from"),
        (["trace", "--config", "."], "config"),
        (["trace", "EE-2026-1"], "config"),
        (["check", "lei"], "FILE"),
        (["trace", "one", "two", "--config", "none.toml"], ""),
    ],
)
def test_arguments_that_are_wrong_come_as_json_where_json_is_asked_for(arguments: list[str], field: str) -> None:
    done = run(*arguments, "--json")
    told = json.loads(done.stdout)["error"]
    assert (done.exit_code, told["code"], told["field"]) == (2, "BAD_INPUT", field)
    assert run(*arguments).stdout == ""


def test_what_a_peer_says_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\r\n\u202eé\x9b") == r"a\x1b[2J\r\n\u202eé\x9b"


def test_a_table_on_a_terminal_shows_values_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.emit_table(["name"], [["[red]x[/red]\x1b[2J"]])
    assert r"[red]x[/red]\x1b[2J" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_to_the_end_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str, **_: str) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert refused(tmp_path / "fed", ["ee"], [7440]) == "folder"
    assert not (tmp_path / "fed/root.json").exists()


def test_check_config_reports_a_failure_with_1(fed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(path: Path) -> None:
        raise Failure(ErrorCode.STORE, "the disk is busy")

    monkeypatch.setattr("gateway.cli.check_config.open_store", away)
    result = run("check-config", "--json", fed / "ee/node.toml")
    assert (result.exit_code, error_of(result)[0]) == (1, "STORE")


def test_an_address_is_found_in_a_summary(made: Summary) -> None:
    assert made.config("de/court") == made.folder / "de/court/participant.toml"
    with pytest.raises(KeyError):
        made.config(str(Address("se", "court")))


@pytest.mark.parametrize("words", [["witness", "alarms"], ["serve-log", "--listen", "127.0.0.1:0"]])
def test_store_that_is_not_there_is_not_one_without_alarms(fed: Path, words: list[str]) -> None:
    result = run(*words, "--config", fed / "ee/node.toml")
    assert (result.exit_code, result.stdout, result.stderr.split(":")[0]) == (2, "", "error BAD_CONFIG")
    assert not [*(fed / "ee/store").iterdir()]
