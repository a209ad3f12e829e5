"""`rogatory federation add-node|sign|publish|status`, as two founders and a publisher would type them."""

import errno
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from nacl.signing import SigningKey

from gateway import cli, config, keys, locked, material
from gateway.cli import changes, folders
from gateway.cli.development import CAST, Summary, free_ports, init_federation
from gateway.config import DirectorySource
from gateway.directory import KeyEntry
from gateway.errors import ErrorCode, Refusal
from gateway.note import Algorithm, Verifier
from gateway.registry.keys import load_registry_keys
from gateway.trust import client, development
from gateway.trust.lists import SignedList
from gateway.trust.repository import Repository
from gateway.trust.signing import key_of


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return init_federation(tmp_path_factory.mktemp("made") / "fed", ["ee", "de"], free_ports(2), datetime.now(UTC))


@pytest.fixture
def fed(template: Summary, tmp_path: Path) -> Path:
    return shutil.copytree(template.folder, tmp_path / "fed")


def run(*arguments: str | Path, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli.commands, ["federation", *(str(each) for each in arguments)], input=typed)


def founder(fed: Path, number: int) -> Path:
    return development.founder_key(fed, number)


def roles(result: Result) -> dict[tuple[str, bool], dict[str, object]]:
    assert result.exit_code == 0, result.output
    return {(each["role"], each["pending"]): each for each in json.loads(result.stdout)["roles"]}


def error_of(result: Result) -> str:
    assert result.exit_code == 2, result.output
    code: str = json.loads(result.stdout)["error"]["code"]
    return code


def test_two_founders_of_three_and_the_publisher_take_in_a_node(fed: Path) -> None:
    added = json.loads(run("add-node", fed, "fi", "--json").stdout)
    assert added["node"] == "fi"
    assert material.load_node(fed / "ee/node.toml").directory.version == 2
    signed = roles(run("sign", fed, "--key", founder(fed, 1), "--yes", "--json"))
    assert signed["targets", True]["missing"] == 1
    signed = roles(run("sign", fed, "--key", founder(fed, 3), "--yes", "--json"))
    assert signed["targets", True]["missing"] == 0
    done = roles(run("publish", fed, "--node", "fi", "--participants", fed / "fi/participants.json", "--json"))
    assert ("node-fi", False) in done
    for path in (fed / "fi").rglob("participant.toml"):
        assert material.load_participant(path).warnings == ()
    directory = material.load_node(fed / "fi/node.toml").directory
    assert [node.code for node in directory.nodes] == ["ee", "de", "fi"]
    assert len(directory.participants) == 3 * len(CAST)
    assert directory.in_force("eu-2018-1805", frozenset({"ee", "fi"}), "freeze-request", datetime.now(UTC))
    seen = material.load_node(fed / "ee/node.toml").directory
    assert (seen.nodes, seen.participants) == (directory.nodes, directory.participants)


def test_next_steps_of_a_new_node_are_enough_for_it_to_be_in(tmp_path: Path) -> None:
    assert run("init", tmp_path / "fed", "--founders", "4", "--threshold", "3").exit_code == 0
    steps = json.loads(run("add-node", tmp_path / "fed", "fi", "--json").stdout)["next"]
    for step in steps[:-1]:
        assert run(*step[1:], *(["--yes"] if step[1] == "sign" else [])).exit_code == 0
    assert [node.code for node in material.load_node(tmp_path / "fed/fi/node.toml").directory.nodes] == [
        "ee",
        "de",
        "fi",
    ]


def test_one_founder_alone_takes_in_nobody(fed: Path) -> None:
    run("add-node", fed, "fi")
    run("sign", fed, "--key", founder(fed, 1), "--yes")
    result = run("publish", fed, "--node", "fi", "--participants", fed / "fi/participants.json", "--json")
    assert error_of(result) == "BAD_INPUT"
    assert [node.code for node in material.load_node(fed / "ee/node.toml").directory.nodes] == ["ee", "de"]


def test_founder_is_shown_what_he_signs_and_may_decline(fed: Path) -> None:
    run("add-node", fed, "fi")
    declined = run("sign", fed, "--key", founder(fed, 1), typed="n\n")
    assert declined.exit_code == 2
    for word in ("targets version 2", "node-fi key", "new node fi", "changed instrument eu-2018-1805"):
        assert word in declined.stderr
    assert roles(run("status", fed, "--json"))["targets", True]["missing"] == 2
    assert run("sign", fed, "--key", founder(fed, 1), typed="y\n").exit_code == 0


@pytest.mark.parametrize("typed", ["n\n", "", "maybe"])
def test_whoever_does_not_say_yes_is_told_so_in_json(fed: Path, typed: str) -> None:
    run("add-node", fed, "fi")
    assert error_of(run("sign", fed, "--key", founder(fed, 1), "--json", typed=typed)) == "BAD_INPUT"
    assert roles(run("status", fed, "--json"))["targets", True]["missing"] == 2


def taken_in(fed: Path, *codes: str) -> list[str]:
    """Sign and publish what is proposed; return who is in then."""
    for number in (1, 2):
        run("sign", fed, "--key", founder(fed, number), "--yes")
    for code in codes:
        run("publish", fed, "--node", code, "--participants", fed / code / "participants.json")
    assert all(material.load_node(fed / code / "node.toml").warnings == () for code in codes)
    return [node.code for node in material.load_node(fed / "ee/node.toml").directory.nodes]


def test_second_proposal_keeps_the_first(fed: Path) -> None:
    for code in ("fi", "se"):
        assert run("add-node", fed, code).exit_code == 0
    assert taken_in(fed, "fi", "se") == ["ee", "de", "fi", "se"]


def test_status_shows_every_role_to_people_and_machines(fed: Path) -> None:
    shown = run("status", fed)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert [line.split()[0] for line in shown.stdout.splitlines()[:7]] == [
        *("ROLE", "root", "targets", "snapshot", "timestamp", "node-ee", "node-de")
    ]
    root = (fed / "repository/metadata/1.root.json").read_bytes()
    assert sha256(root).hexdigest() in shown.stdout
    assert roles(run("status", fed / "repository", "--json"))["root", False]["threshold"] == 2


def test_folder_that_was_in_other_hands_moves_nobody_s_cursor(fed: Path) -> None:
    metadata = fed / "repository/metadata"
    role = "node-\x9b1A\u202e"
    targets, unsigned = metadata / "1.targets.json", metadata / "1.node-ee.json"
    said, listed = json.loads(targets.read_bytes()), json.loads(unsigned.read_bytes())
    said["signed"]["delegations"]["roles"][0]["name"] = role
    targets.write_text(json.dumps(said))
    (metadata / f"1.{role}.json").write_text(json.dumps(listed | {"signatures": []}))
    shown = run("status", fed)
    assert r"warning node-\x9b1A\u202e" in shown.stderr
    assert all(line.isprintable() for line in shown.output.splitlines())


def test_status_warns_of_what_ends(template: Summary, tmp_path: Path) -> None:
    fed = tmp_path / "old"
    init_federation(fed, ["ee"], [7440], datetime(2020, 1, 1, tzinfo=UTC))
    result = run("status", fed)
    assert result.exit_code == 0
    assert result.stderr.count("warning ") == 5
    assert len(json.loads(run("status", fed, "--json").stdout)["warnings"]) == 5


def test_node_renews_its_own_list(fed: Path) -> None:
    before = material.load_node(fed / "ee/node.toml").directory
    assert roles(run("publish", fed, "--node", "ee", "--json"))["node-ee", False]["version"] == 2
    assert material.load_node(fed / "ee/node.toml").directory.participants == before.participants


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(
            ["sign", "FED", "--key", "FED/founders/1/founder.key", "--yes"], "BAD_INPUT", id="nothing pending"
        ),
        pytest.param(["publish", "FED", "--key", "FED/founders/1/founder.key"], "BAD_INPUT", id="no publisher's key"),
        pytest.param(["publish", "FED", "--node-key", "FED/ee/directory.key"], "BAD_INPUT", id="whose list"),
        pytest.param(["publish", "FED", "--node", "ee", "--node-key", "FED/de/directory.key"], "BAD_INPUT", id="key"),
        pytest.param(["publish", "FED", "--node", "ee", "--participants", "FED/none"], "BAD_INPUT", id="no file"),
        pytest.param(["publish", "FED", "--node", "ee", "--participants", "FED/root.json"], "BAD_DIRECTORY", id="file"),
        pytest.param(["publish", "FED", "--node", "xx"], "NOT_FOUND", id="no such node"),
        pytest.param(["publish", "FED", "--key", "FED/none"], "KEY_FILE", id="no key file"),
        pytest.param(["status", "FED/ee"], "BAD_INPUT", id="no repository"),
        pytest.param(["add-node", "FED", "ee"], "BAD_INPUT", id="node twice"),
        pytest.param(["add-node", "FED", "EE"], "BAD_INPUT", id="no code"),
    ],
)
def test_what_cannot_be_done_is_refused(fed: Path, arguments: list[str], code: str) -> None:
    assert error_of(run(*(each.replace("FED", str(fed)) for each in arguments), "--json")) == code


def test_node_without_the_development_root_cannot_be_added(fed: Path) -> None:
    (fed / "pki/root.pem").unlink()
    assert error_of(run("add-node", fed, "fi", "--json")) == "BAD_INPUT"
    assert not (fed / "fi").exists()


@pytest.mark.parametrize("name", ["1.root.json", "1.targets.json", "timestamp.json"])
@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_broken_metadata_is_a_refusal_not_a_crash(fed: Path, name: str, content: str) -> None:
    (fed / "repository/metadata" / name).write_text(content)
    assert error_of(run("status", fed, "--json")) == "BAD_DIRECTORY"


@pytest.mark.parametrize("threshold", ["0", "4", "-1"])
def test_threshold_that_no_number_of_founders_can_meet_is_refused(tmp_path: Path, threshold: str) -> None:
    result = run("init", tmp_path / "fed", "--founders", "3", "--threshold", threshold, "--json")
    assert error_of(result) == "BAD_INPUT"
    assert not (tmp_path / "fed").exists()


@pytest.mark.parametrize(
    "name", ["add-node", "make-key", "make-node", "propose", "sign", "publish", "sign-list", "status"]
)
def test_every_help_has_an_example(name: str) -> None:
    assert f"rogatory federation {name}" in run(name, "--help").stdout


# docs/ceremony.md


GUIDE = Path(__file__).parents[2] / "docs" / "ceremony.md"
ASK_FOR_A_PASSPHRASE = {"make-key", "sign", "publish", "sign-list"}


def commands_of_the_guide() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def example_of_the_guide(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return str(found)


class Table:
    """Everybody's machine in one folder, and everybody's passphrase in one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passphrase = folder / "passphrase"
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text("of all of them, for this test\n")
        (folder / "eu-2018-1805.json").write_text(example_of_the_guide("json"))

    def type(self, command: list[str]) -> Result:
        """Type a command of the guide; the directory is served from the folder, and passphrases come from the file."""
        known = {
            "https://directory.rogatory.example": str(self.folder / "dir"),
            "/etc/rogatory/ee.passphrase": str(self.passphrase),
        }
        words = [known.get(word) or self._key_id(word) for word in command]
        if words[0] != "rogatory":
            subprocess.run(words, check=True, capture_output=True)
            return Result(CliRunner(), b"", b"", b"", None, 0, None)
        if words[2] in ASK_FOR_A_PASSPHRASE:
            words += ["--passphrase-file", str(self.passphrase)]
        return CliRunner().invoke(cli.commands, words[1:], input="y\n")

    def _key_id(self, word: str) -> str:
        if not word.startswith("KEYID-"):
            return word
        return changes.public_key(f"{word.removeprefix('KEYID-').lower()}-founder.pub", (), "").keyid[:12]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Table, list[tuple[list[str], Result]]]]:
    """The whole guide, command by command, as its readers type it."""
    table, before = Table(tmp_path_factory.mktemp("table")), Path.cwd()
    os.chdir(table.folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(folders, "COST", locked.LEAST)
            typed = [(command, table.type(command)) for command in commands_of_the_guide()]
        yield table, typed
    finally:
        os.chdir(before)


def test_two_people_can_follow_the_guide_from_the_first_command_to_the_last(followed: Any) -> None:
    table, typed = followed
    assert len(typed) > 30
    for command, result in typed:
        assert result.exit_code == 0, (command, result.output)
    repository = Repository(table.folder / "dir")
    states = {(each.role, each.pending): each for each in repository.status()}
    assert (states["root", False].version, states["root", False].threshold) == (5, 3)
    assert states["targets", True].missing == 3  # the last proposal, to put the node out
    assert repository.federation().publisher == "ee"
    source = {"root": table.folder / "root.json", "repository": str(table.folder / "dir"), "cache": table.folder / "c"}
    trusted = client.load(DirectorySource.model_validate(source), datetime.now(UTC))
    assert (trusted.problem, trusted.list_problems, trusted.version("root")) == (None, {}, 5)
    assert {str(each.address) for each in trusted.directory.participants} == {"ee/registrar", "ee/registrar-2"}


def test_settings_that_the_guide_shows_are_settings(followed: Any) -> None:
    table, _ = followed
    settings = table.folder / "ee-node" / "node.toml"
    settings.write_text(settings.read_text() + example_of_the_guide("toml"))
    loaded = config.load(config.NodeConfig, settings)
    assert loaded.publisher is not None
    assert loaded.registry is not None
    assert loaded.registry.endpoint == "node.ee.example:7540"


def test_all_who_sign_see_the_same_proposal(followed: Any) -> None:
    _, typed = followed
    spoken: dict[str, set[str]] = {}
    run_number = 0
    for command, result in typed:
        if command[:3] == ["rogatory", "federation", "propose"]:
            run_number += 1
        for line in (result.stderr + result.stdout).splitlines():
            if line.startswith("proposal "):
                spoken.setdefault(str(run_number), set()).add(line)
    assert len(spoken) == run_number
    assert {len(lines) for lines in spoken.values()} == {1}


def test_keys_of_a_node_s_folder_are_private_and_under_the_passphrase(followed: Any) -> None:
    table, _ = followed
    private = [*(table.folder / "ee-node").rglob("*.key")]
    assert len(private) == 4 + 2 * 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert all(keys.inspect(path).encrypted for path in private)
    for name in ("registrar", "registrar-2"):  # they go to another machine, where somebody types the passphrase
        settings = config.load(config.ParticipantConfig, table.folder / "ee-node" / name / "participant.toml")
        assert (settings.encrypted_keys, settings.passphrase_file) == (True, None)
        assert settings.directory.repository == "grpcs://node.ee.example:7440"


# Wrong hands

WITNESS = str(Verifier("w.test/w1", bytes(32), Algorithm.COSIGNATURE))
TWIN = str(Verifier("w.test/w2", bytes(32), Algorithm.COSIGNATURE))
LOG = str(Verifier("w.test/log", bytes(32)))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three founders with plain keys have founded a federation in `dir`."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c", "publisher"):
        assert run("make-key", "--out", f"{name}.key", "--public", f"{name}.pub", "--plain").exit_code == 0
    found = [*("--federation", "x.test", "--threshold", "2", "--publisher", "publisher.pub")]
    assert run("propose", "dir", *found, *founders("a", "b", "c")).exit_code == 0
    for name in ("a", "b"):
        assert run("sign", "dir", "--key", f"{name}.key", "--yes").exit_code == 0
    assert run("publish", "dir", "--key", "publisher.key").exit_code == 0
    return tmp_path


def founders(*names: str) -> list[str]:
    return [word for name in names for word in ("--founder", f"{name}.pub")]


def brought(table: Path, code: str = "ee") -> Path:
    (table / "root.json").write_bytes((table / "dir/metadata/1.root.json").read_bytes())
    made = run(
        *("make-node", f"{code}-node", code, "--federation", "x.test", "--endpoint", "localhost:7440"),
        *("--root", "root.json", "--repository", str(table / "dir"), "--plain"),
    )
    assert made.exit_code == 0, made.output
    return table / f"{code}-node"


def test_founder_does_not_sign_a_proposal_that_was_changed_after_it_was_shown(table: Path) -> None:
    brought(table)
    run("propose", "dir", "--node", "ee-node/node.json")
    seen = {each.digest for each in Repository(table / "dir").signatures() if each.pending}
    run("propose", "dir", "--node", "ee-node/node.json", "--publishing-node", "ee")
    with pytest.raises(Refusal) as caught:
        Repository(table / "dir").sign(keys.load_signing_key(table / "a.key"), seen)
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_founder_is_not_shown_other_words_than_he_signs(table: Path) -> None:
    """The folder was in other hands: `federation.json` is not the one whose digest is to be signed."""
    brought(table)
    run("propose", "dir", "--node", "ee-node/node.json")
    pending = table / "dir/pending/federation.json"
    pending.write_bytes(pending.read_bytes().replace(b"localhost", b"localhosu"))
    for answer in (["--yes"], []):
        result = run("sign", "dir", "--key", "a.key", "--json", *answer, typed="y\n")
        assert error_of(result) == "BAD_DIRECTORY"


def another_key_under_a_known_id(signed: dict[str, Any]) -> None:
    """The keys that founders and nodes are known by, and under their ids somebody else's."""
    for key in signed.get("keys", signed.get("delegations", {}).get("keys")).values():
        key["keyval"]["public"] = bytes(SigningKey.generate().verify_key).hex()


def one_founder_under_two_ids(signed: dict[str, Any]) -> None:
    first, second, *_ = signed["roles"]["root"]["keyids"]
    signed["keys"][second] = signed["keys"][first]


def a_node_for_the_list_of_another(signed: dict[str, Any]) -> None:
    signed["delegations"]["roles"][0]["paths"].append("participants/de.json")


def a_node_that_others_are_asked_after(signed: dict[str, Any]) -> None:
    signed["delegations"]["roles"][0]["terminating"] = False


def a_list_of_the_founders_own(signed: dict[str, Any]) -> None:
    signed["targets"]["participants/de.json"] = signed["targets"]["federation.json"]


def names_that_tell_nothing(signed: dict[str, Any]) -> None:
    signed["delegations"]["roles"][0]["path_hash_prefixes"] = [""]
    del signed["delegations"]["roles"][0]["paths"]


def roles_in_bins(signed: dict[str, Any]) -> None:
    (keyid,) = signed["delegations"]["roles"][0]["keyids"]
    del signed["delegations"]["roles"]
    bins = {"keyids": [keyid], "threshold": 1, "bit_length": 1, "name_prefix": "node-"}
    signed["delegations"]["succinct_roles"] = bins


def a_node_for_the_lists_of_all(signed: dict[str, Any]) -> None:
    """A path of TUF may be a pattern, and whoever comes first and ends the search is the only one who is asked."""
    role = signed["delegations"]["roles"][0]
    signed["delegations"]["roles"].insert(0, {**role, "name": "node-*", "paths": ["participants/*.json"]})


def a_file_that_no_reader_finds(signed: dict[str, Any]) -> None:
    hashes = signed["targets"]["federation.json"]["hashes"]
    hashes["sha512"] = hashes.pop("sha256") * 2


def a_field_that_nobody_knows(signed: dict[str, Any]) -> None:
    signed["x-from-a-later-version"] = True


def a_role_with_a_field_that_nobody_knows(signed: dict[str, Any]) -> None:
    signed["roles"]["root"]["x-from-a-later-version"] = True


def delegations_with_a_field_that_nobody_knows(signed: dict[str, Any]) -> None:
    signed["delegations"]["x-from-a-later-version"] = True


def a_file_with_a_field_that_nobody_knows(signed: dict[str, Any]) -> None:
    signed["targets"]["federation.json"]["x-from-a-later-version"] = True


def a_node_whose_list_nobody_signs(signed: dict[str, Any]) -> None:
    signed["delegations"]["roles"][0]["keyids"] = []


def a_directory_whose_files_replace_each_other(signed: dict[str, Any]) -> None:
    """Readers that come between two files of one version would see half of it."""
    signed["consistent_snapshot"] = False


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ("root", a_directory_whose_files_replace_each_other),
        ("targets", delegations_with_a_field_that_nobody_knows),
        ("targets", a_file_with_a_field_that_nobody_knows),
        ("targets", a_node_whose_list_nobody_signs),
        ("root", a_field_that_nobody_knows),
        ("root", a_role_with_a_field_that_nobody_knows),
        ("targets", a_field_that_nobody_knows),
        ("targets", a_node_for_the_lists_of_all),
        ("root", another_key_under_a_known_id),
        ("root", one_founder_under_two_ids),
        ("targets", another_key_under_a_known_id),
        ("targets", a_node_for_the_list_of_another),
        ("targets", a_node_that_others_are_asked_after),
        ("targets", a_list_of_the_founders_own),
        ("targets", names_that_tell_nothing),
        ("targets", roles_in_bins),
        ("targets", a_file_that_no_reader_finds),
    ],
)
def test_founder_signs_nothing_that_he_is_not_shown(
    table: Path, role: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """The folder was in other hands, and in every line that he is shown the proposal is still the one that was made."""
    brought(table)
    assert run("propose", "dir", "--node", "ee-node/node.json", "--renew-root").exit_code == 0
    path = table / f"dir/pending/{role}.json"
    content = json.loads(path.read_text())
    change(content["signed"])
    path.write_text(json.dumps(content))
    for answer in (["--yes"], []):
        result = run("sign", "dir", "--key", "a.key", "--json", *answer, typed="y\n")
        assert error_of(result) == "BAD_DIRECTORY"


def test_founder_does_not_sign_on_what_founders_never_said(table: Path) -> None:
    """Else the changes that he is shown would be those from a lie."""
    path = table / "dir/metadata/1.targets.json"
    content = json.loads(path.read_text())
    content["signatures"] = content["signatures"][:1]
    path.write_text(json.dumps(content))
    run("propose", "dir")
    assert error_of(run("sign", "dir", "--key", "a.key", "--yes", "--json")) == "BAD_DIRECTORY"


def test_list_of_a_node_that_the_founders_have_not_admitted_is_not_published(table: Path) -> None:
    node = brought(table)
    result = run("publish", "dir", "--key", "publisher.key", "--list", node / "list.json", "--json")
    assert error_of(result) == "BAD_DIRECTORY"


def test_changed_node_keeps_the_keys_that_it_had(table: Path) -> None:
    brought(table)
    run("propose", "dir", "--node", "ee-node/node.json")
    first = Repository(table / "dir").pending_federation()
    assert first is not None
    shutil.rmtree(table / "ee-node")
    brought(table)
    for more, cas in (([], 1), (["--keep-ca"], 2)):
        run("propose", "dir", "--node", "ee-node/node.json", *more)
        second = Repository(table / "dir").pending_federation()
        assert second is not None
        assert {key.public for key in first.nodes[0].signing_keys} < {k.public for k in second.nodes[0].signing_keys}
        assert second.nodes[0].ca.count("BEGIN CERTIFICATE") in {cas, 1}


def test_key_of_a_node_that_the_founders_have_ended_stays_so_though_the_node_brings_its_first_file_again(
    table: Path,
) -> None:
    brought(table)
    path = table / "ee-node/node.json"
    first = changes.NodeProposal.model_validate_json(path.read_bytes())
    (key,) = first.entry.signing_keys
    stolen = key.not_before + timedelta(days=1)
    out = key.model_copy(update={"not_trusted_after": stolen, "not_after": stolen + timedelta(days=1)})

    def published(*keys: KeyEntry) -> tuple[KeyEntry, ...]:
        entry = first.entry.model_copy(update={"signing_keys": keys})
        path.write_text(first.model_copy(update={"entry": entry}).model_dump_json())
        assert run("propose", "dir", "--node", "ee-node/node.json").exit_code == 0
        assert signed_by_founders().exit_code == 0
        return Repository(table / "dir").federation().nodes[0].signing_keys

    assert published(key) == (key,)
    assert published(out) == (out,)
    assert published(key) == (out,)
    assert published(key.model_copy(update={"not_before": stolen})) == (out,)
    # What was proposed and not published can be put right.
    earlier = out.model_copy(update={"not_trusted_after": key.not_before})
    path.write_text(path.read_text().replace("null", f'"{key.not_before.isoformat()}"'))
    assert run("propose", "dir", "--node", "ee-node/node.json").exit_code == 0
    pending = Repository(table / "dir").pending_federation()
    assert pending is not None
    assert pending.nodes[0].signing_keys == (earlier,)
    assert published(key) == (out,)


def signed_by_founders(*more: str) -> Result:
    for name in ("a", "b"):
        assert run("sign", "dir", "--key", f"{name}.key", "--yes").exit_code == 0
    return run("publish", "dir", "--key", "publisher.key", *more)


def test_new_ca_of_a_node_puts_nobody_out(table: Path) -> None:
    brought(table)
    assert run("propose", "dir", "--node", "ee-node/node.json").exit_code == 0
    assert signed_by_founders("--list", "ee-node/list.json").exit_code == 0
    (table / "root.json").write_bytes(Repository(table / "dir").root())
    shutil.copy(table / "root.json", table / "ee-node/root.json")
    before = Repository(table / "dir").federation().nodes[0]
    shutil.move(table / "ee-node", table / "kept")
    brought(table)
    shutil.move(table / "ee-node", table / "other")
    shutil.move(table / "kept", table / "ee-node")
    for more, cas in ((["--keep-ca"], 2), ([], 1)):
        assert run("propose", "dir", "--node", "other/node.json", "--only-ca", *more).exit_code == 0
        published = signed_by_founders()
        assert (published.exit_code, published.stderr) == (0, "")
        after = Repository(table / "dir").federation().nodes[0]
        assert after.ca.count("BEGIN CERTIFICATE") == cas
        assert after == before.model_copy(update={"ca": after.ca})
        for name in ("ca.pem", "ca.key"):
            shutil.copy(table / "other" / name, table / "ee-node" / name)
        loaded = material.load_node(table / "ee-node/node.toml")
        assert loaded.config.registry is not None
        load_registry_keys(loaded.config.registry, loaded, None)
        assert len(loaded.directory.participants) == 2
        # As the node does by itself within a month.
        renewed = CliRunner().invoke(cli.commands, ["keys", "rotate", "--tls", "--config", "ee-node/node.toml"])
        assert renewed.exit_code == 0


def test_only_the_ca_of_a_node_that_is_not_listed_cannot_change(table: Path) -> None:
    brought(table)
    assert error_of(run("propose", "dir", "--node", "ee-node/node.json", "--only-ca", "--json")) == "BAD_INPUT"


def test_founders_say_who_witnesses_and_how_many_must(table: Path) -> None:
    brought(table)
    shown = run(
        *("propose", "dir", "--node", "ee-node/node.json"),
        *("--witness", WITNESS, "https://w.test/x", "--cosignatures", "1"),
    )
    assert "checkpoints want 1 cosignatures, 0 before" in shown.stderr
    assert "new witness w.test/w1 at https://w.test/x, key 0000" in shown.stderr
    said = Repository(table / "dir").pending_federation()
    assert said is not None
    assert (said.cosignatures, [each.name for each in said.witnesses]) == (1, ["w.test/w1"])
    # One that is not needed for as many goes; a node that is put out goes in any case.
    assert error_of(run("propose", "dir", "--drop-witness", "w.test/w1", "--json")) == "BAD_INPUT"
    assert run("propose", "dir", "--drop-witness", "w.test/w1", "--cosignatures", "0").exit_code == 0
    said = Repository(table / "dir").pending_federation()
    assert said is not None
    assert (said.cosignatures, said.witnesses) == (0, ())


def test_node_that_is_put_out_need_not_wait_for_other_witnesses(table: Path) -> None:
    nodes = [brought(table, code) / "node.json" for code in ("ee", "de")]
    both = [word for node in nodes for word in ("--node", str(node))]
    assert run("propose", "dir", *both, "--cosignatures", "1").exit_code == 0
    shown = run("propose", "dir", "--revoke-node", "de")
    assert shown.exit_code == 0
    assert "no checkpoint can have 1 cosignatures: there are 0 witnesses" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["propose", "new", "--federation", "x.test"], "BAD_INPUT", id="founded by nobody"),
        pytest.param(["propose", "dir", "--federation", "x.test", "--threshold", "1"], "BAD_INPUT", id="no publisher"),
        pytest.param(["propose", "nowhere"], "BAD_INPUT", id="nothing to change"),
        pytest.param(["propose", "dir", "--threshold", "4"], "BAD_INPUT", id="threshold above the founders"),
        pytest.param(["propose", "dir", "--publisher", "a.pub"], "BAD_INPUT", id="founder as publisher"),
        pytest.param(["propose", "dir", "--founder", "a.pub", "--founder", "a.pub"], "BAD_INPUT", id="founder twice"),
        pytest.param(["propose", "dir", "--founder", "a.key"], "BAD_INPUT", id="a private key"),
        pytest.param(["propose", "dir", "--founder", "ab" * 32], "BAD_INPUT", id="key id of nobody"),
        pytest.param(["propose", "dir", "--revoke-node", "ee"], "BAD_INPUT", id="put out who is not in"),
        pytest.param(["propose", "dir", "--list-key", "ee=a.pub"], "BAD_INPUT", id="key of no node"),
        pytest.param(["propose", "dir", "--publishing-node", "ee"], "BAD_INPUT", id="no such publisher"),
        pytest.param(["propose", "dir", "--drop-instrument", "none"], "BAD_INPUT", id="no such instrument"),
        pytest.param(["propose", "dir", "--cosignatures", "1"], "BAD_INPUT", id="more cosignatures than witnesses"),
        pytest.param(["propose", "dir", "--drop-witness", "w.test"], "BAD_INPUT", id="no such witness"),
        pytest.param(["propose", "dir", "--witness", "key", "https://w.test"], "BAD_INPUT", id="no key of a witness"),
        pytest.param(["propose", "dir", "--witness", WITNESS, "http://w.test"], "BAD_INPUT", id="no https"),
        pytest.param(["propose", "dir", "--witness", LOG, "https://w.test"], "BAD_INPUT", id="key of a log"),
        pytest.param(
            ["propose", "dir", "--witness", WITNESS, "https://a.test", "--witness", TWIN, "https://b.test"],
            "BAD_INPUT",
            id="one key as two witnesses",
        ),
        pytest.param(["propose", "dir", "--node", "root.json"], "BAD_INPUT", id="no node file"),
        pytest.param(["propose", "dir", "--instrument", "a.pub"], "BAD_INPUT", id="no instrument file"),
        pytest.param(["make-key", "--out", "a.key", "--public", "new.pub", "--plain"], "KEY_FILE", id="key twice"),
        pytest.param(["make-key", "--out", "new.key", "--public", "a.pub", "--plain"], "BAD_INPUT", id="public twice"),
        pytest.param(["make-key", "--out", "new.key", "--public", "new.pub"], "BAD_INPUT", id="nobody to ask"),
        pytest.param(["sign-list", "dir", "ee", "--key", "a.key", "--out", "l.json"], "NOT_FOUND", id="no list yet"),
        pytest.param(["publish", "dir", "--key", "publisher.key", "--list", "none"], "BAD_INPUT", id="no list file"),
        pytest.param(["publish", "dir", "--key", "publisher.key", "--list", "a.pub"], "BAD_DIRECTORY", id="no list"),
    ],
)
def test_what_makes_no_sense_at_the_table_is_refused(table: Path, arguments: list[str], code: str) -> None:
    assert error_of(run(*arguments, "--json")) == code


LAW = {"id": "x", "title": "X", "between": ["ee", "de"], "kinds": ["freeze-request"]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({}, "in_force_from", id="no beginning"),
        pytest.param({"in_force_from": "2026"}, "in_force_from", id="a year is no number of seconds"),
        pytest.param({"in_force_from": 20261219}, "in_force_from", id="a day is no number of seconds"),
        pytest.param({"in_force_from": "2026-12-19"}, "in_force_from", id="no zone"),
        pytest.param({"kinds": ["freeze-reqest"]}, "kinds", id="no such kind"),
        pytest.param({"kinds": []}, "kinds", id="nothing may be asked"),
        pytest.param({"between": ["EE", "de"]}, "between", id="no such code"),
        pytest.param({"between": []}, "between", id="nobody is bound"),
        pytest.param({"in_force_to": "2019-12-19T00:00:00Z"}, "in_force_to", id="over before it begins"),
        pytest.param({"titel": "X"}, "titel", id="no such field"),
    ],
)
def test_treaty_that_would_not_bind_as_it_was_meant_is_refused_with_its_field(
    table: Path, changes: dict[str, Any], field: str
) -> None:
    begins = {"in_force_from": "2020-12-19T00:00:00Z"} if changes else {}
    (table / "law.json").write_text(json.dumps(LAW | begins | changes))
    told = json.loads(run("propose", "dir", "--instrument", "law.json", "--json").stdout)["error"]
    assert (told["code"], told["field"]) == ("BAD_INPUT", f"instrument.{field}")


@pytest.mark.parametrize(
    ("out", "public", "code"),
    [
        pytest.param("new.key", "none/new.pub", "BAD_INPUT", id="public half nowhere"),
        pytest.param("new.key", "new.key", "KEY_FILE", id="both in one file"),
        pytest.param("none/new.key", "new.pub", "KEY_FILE", id="key nowhere"),
    ],
)
def test_key_that_cannot_be_written_whole_leaves_no_half(table: Path, out: str, public: str, code: str) -> None:
    before = {*table.iterdir()}
    assert error_of(run("make-key", "--out", out, "--public", public, "--plain", "--json")) == code
    assert {*table.iterdir()} == before


def test_signed_list_takes_the_place_of_no_key(fed: Path) -> None:
    key = development.node_key(fed, "ee")
    before = key.read_bytes()
    assert error_of(run("sign-list", fed, "ee", "--key", key, "--out", key, "--json")) == "BAD_INPUT"
    (fed / "link").symlink_to(key)
    assert error_of(run("sign-list", fed, "ee", "--key", key, "--out", fed / "link", "--json")) == "BAD_INPUT"
    assert key.read_bytes() == before


def test_federation_is_founded_only_in_a_folder_that_can_be_made(table: Path) -> None:
    words = ["--federation", "x.test", *founders("a", "b", "c"), "--threshold", "2", "--publisher", "publisher.pub"]
    assert error_of(run("propose", "none/dir", *words, "--json")) == "BAD_INPUT"


@pytest.mark.parametrize(
    "changes",
    [
        {"--repository": "http://directory.example"},
        {"--repository": "grpcs://localhost:1"},
        {"--federation": "X"},
        {"--root": "none"},
        {"--passphrase-file": "a.key"},
        {"--endpoint": "h"},
        {"--endpoint": "node.ee.example", "--listen": "0.0.0.0:7440"},
        {"--endpoint": "0.0.0.0:7440"},
        {"--endpoint": "h:0"},
        {"--endpoint": "h:99999"},
        {"--listen": "h:1\nh:2"},
        {"--enrolment": "h"},
        {"--enrolment": "0.0.0.0:1"},
    ],
)
def test_node_that_could_not_run_is_not_made(table: Path, changes: dict[str, str]) -> None:
    (table / "root.json").write_bytes(b"{}")
    options = {"--federation": "x.test", "--endpoint": "h:1", "--root": "root.json", "--repository": "dir"} | changes
    words = [word for pair in options.items() for word in pair]
    assert error_of(run("make-node", "new", "ee", *words, "--plain", "--json")) == "BAD_INPUT"
    assert not (table / "new").exists()


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


MAKING = ("pathlib.Path.write_text", "pathlib.Path.write_bytes", "os.link", "os.replace", "os.fsync")
"""What writes a node's folder, one after the other."""


@pytest.mark.parametrize("full", [*MAKING, "pathlib.Path.rename"])
def test_disk_that_is_full_leaves_no_half_of_a_node(table: Path, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (table / "root.json").write_bytes(b"{}")
    words = ["--federation", "x.test", "--endpoint", "h:1", "--root", "root.json", "--repository", "dir", "--plain"]
    there = sorted(table.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(full, refuse)
        assert run("make-node", "new", "ee", *words).exit_code == 2
    assert sorted(table.iterdir()) == there
    assert run("make-node", "new", "ee", *words).exit_code == 0
    assert stat.S_IMODE((table / "new").stat().st_mode) == 0o700


def test_node_is_made_in_no_folder_that_is_not_empty_nor_the_one_at_hand(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table / "root.json").write_bytes(b"{}")
    root = str(table / "root.json")
    words = ["--federation", "x.test", "--endpoint", "h:1", "--root", root, "--repository", "dir", "--plain"]
    (table / "new").mkdir()
    (table / "new/.kept").touch()
    for folder in ("new", "root.json", "."):
        assert error_of(run("make-node", folder, "ee", *words, "--json")) == "BAD_INPUT"
    assert [each.name for each in (table / "new").iterdir()] == [".kept"]
    (table / "empty").mkdir()
    monkeypatch.chdir(table / "empty")
    assert error_of(run("make-node", ".", "ee", *words, "--json")) == "BAD_INPUT"
    assert run("make-node", table / "empty", "ee", *words).exit_code == 2
    monkeypatch.chdir(table)
    assert run("make-node", "empty", "ee", *words).exit_code == 0


@pytest.mark.parametrize("full", [*MAKING, "pathlib.Path.mkdir", "pathlib.Path.replace", "pathlib.Path.rename"])
@pytest.mark.parametrize("ends", [refuse, kill])
def test_federation_that_was_not_made_to_its_end_is_not_there(
    tmp_path: Path, full: str, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str | Path] = ["init", tmp_path / "fed", "--nodes", "ee", "--free-ports"]
    with monkeypatch.context() as patched:
        patched.setattr(full, ends)
        assert run(*words).exit_code in {1, 2}
    assert [*tmp_path.iterdir()] == []
    assert run(*words).exit_code == 0
    assert run("status", tmp_path / "fed").exit_code == 0


@pytest.mark.parametrize("full", [*MAKING, "pathlib.Path.mkdir", "pathlib.Path.replace", "pathlib.Path.rename"])
@pytest.mark.parametrize("ends", [refuse, kill])
def test_further_node_that_was_not_made_to_its_end_can_be_made_again(
    fed: Path, full: str, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    besides = {fed / "repository/pending/targets.json", *fed.rglob(".lock")}
    there = {*fed.rglob("*")} - besides
    with monkeypatch.context() as patched:
        patched.setattr(full, ends)
        assert run("add-node", fed, "fi").exit_code in {1, 2}
    assert {*fed.rglob("*")} - besides == there
    steps = json.loads(run("add-node", fed, "fi", "--json").stdout)["next"]
    for step in steps[:-1]:
        assert run(*step[1:], *(["--yes"] if step[1] == "sign" else [])).exit_code == 0
    assert [n.code for n in material.load_node(fed / "fi/node.toml").directory.nodes] == ["ee", "de", "fi"]
    assert error_of(run("add-node", fed, "fi", "--json")) == "BAD_INPUT"


@pytest.mark.parametrize("written", range(4))
@pytest.mark.parametrize("ends", [refuse, kill])
def test_proposal_that_was_broken_off_between_its_files_stands_in_the_way_of_none(
    fed: Path, written: int, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("add-node", fed, "se").exit_code == 0
    replace, left = Path.replace, [None] * written

    def broken(self: Path, target: Path) -> Path:
        if self.parent == fed / "repository/pending":
            left.pop() if left else ends()
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", broken)
        assert run("add-node", fed, "fi").exit_code == (0 if written > 2 else 1 if ends is kill else 2)
    shutil.rmtree(fed / "fi", ignore_errors=True)
    assert run("add-node", fed, "fi").exit_code == 0
    assert taken_in(fed, "fi", "se") == ["ee", "de", "se", "fi"]


def test_further_node_whose_making_was_killed_can_be_made_again(fed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cleans up, and it is proposed to the founders already."""
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        patched.setattr("pathlib.Path.rename", kill)
        run("add-node", fed, "fi")
    assert roles(run("status", fed, "--json"))["targets", True]["missing"] == 2
    test_two_founders_of_three_and_the_publisher_take_in_a_node(fed)


def test_node_tells_machines_what_it_tells_people(table: Path) -> None:
    (table / "root.json").write_bytes(b"{}")
    options = ["--federation", "x.test", "--endpoint", "h:1", "--root", "root.json", "--repository", "dir", "--plain"]
    told = json.loads(run("make-node", "new", "ee", *options, "--json").stdout)
    proposal = changes.NodeProposal.model_validate_json(Path(told["proposal"]).read_bytes())
    assert SignedList.load(Path(told["list"])).participants.node == proposal.entry.code == told["node"] == "ee"
    assert told["list_key_id"] == key_of(proposal.directory_key).keyid
    assert len(told["registrars"]) == 2
    again = run("make-node", "new", "ee", *options, "--json")
    assert error_of(again) == "BAD_INPUT"


def test_founders_can_take_back_a_treaty_and_who_publishes(table: Path) -> None:
    brought(table)
    law = example_of_the_guide("json")
    (table / "law.json").write_text(law)
    run("propose", "dir", "--node", "ee-node/node.json", "--instrument", "law.json", "--publishing-node", "ee")
    first = Repository(table / "dir").pending_federation()
    assert first is not None
    assert ([each.id for each in first.instruments], first.publisher) == (["eu-2018-1805"], "ee")
    shown = run("propose", "dir", "--drop-instrument", "eu-2018-1805", "--publishing-node", "-")
    assert shown.exit_code == 0
    second = Repository(table / "dir").pending_federation()
    assert second is not None
    assert (second.instruments, second.publisher) == ((), "")


def test_public_key_is_taken_in_hexadecimal_too(table: Path) -> None:
    public = bytes(keys.load_signing_key(table / "c.key").verify_key)
    (table / "hex.pub").write_text(public.hex() + "\n")
    named = changes.public_key("hex.pub", (), "")
    assert named.keyid == changes.public_key("c.pub", (), "").keyid


def test_published_by_hand_counts_as_long_as_it_is_told_to(table: Path) -> None:
    run("publish", "dir", "--key", "publisher.key", "--timestamp-hours", "2")
    ends = roles(run("status", "dir", "--json"))["timestamp", False]["expires"]
    left = datetime.fromisoformat(str(ends)) - datetime.now(UTC)
    assert timedelta(hours=1.9) < left <= timedelta(hours=2)
