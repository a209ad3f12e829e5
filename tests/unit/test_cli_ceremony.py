"""`rogatory federation add-node|sign|publish|status`, as two founders and a publisher would type them."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import cli, material
from gateway.cli.federation import CAST, Summary, free_ports, init_federation
from gateway.trust import development


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
    assert material.load_node(fed / "ee/node.toml").directory == directory


def test_one_founder_alone_takes_in_nobody(fed: Path) -> None:
    run("add-node", fed, "fi")
    run("sign", fed, "--key", founder(fed, 1), "--yes")
    result = run("publish", fed, "--node", "fi", "--participants", fed / "fi/participants.json", "--json")
    assert error_of(result) == "BAD_INPUT"
    assert [node.code for node in material.load_node(fed / "ee/node.toml").directory.nodes] == ["ee", "de"]


def test_founder_is_shown_what_he_signs_and_may_decline(fed: Path) -> None:
    run("add-node", fed, "fi")
    declined = run("sign", fed, "--key", founder(fed, 1), typed="n\n")
    assert declined.exit_code == 1
    for word in ("targets version 2", "node-fi key", "new node fi", "changed instrument eu-2018-1805"):
        assert word in declined.stderr
    assert roles(run("status", fed, "--json"))["targets", True]["missing"] == 2
    assert run("sign", fed, "--key", founder(fed, 1), typed="y\n").exit_code == 0


def test_second_proposal_keeps_the_first(fed: Path) -> None:
    for code in ("fi", "se"):
        assert run("add-node", fed, code).exit_code == 0
    for number in (1, 2):
        run("sign", fed, "--key", founder(fed, number), "--yes")
    for code in ("fi", "se"):
        run("publish", fed, "--node", code, "--participants", fed / code / "participants.json")
    assert [n.code for n in material.load_node(fed / "se/node.toml").directory.nodes] == ["ee", "de", "fi", "se"]
    assert material.load_node(fed / "fi/node.toml").warnings == ()


def test_status_shows_every_role_to_people_and_machines(fed: Path) -> None:
    shown = run("status", fed)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [
        *("ROLE", "root", "targets", "snapshot", "timestamp", "node-ee", "node-de")
    ]
    assert roles(run("status", fed / "repository", "--json"))["root", False]["threshold"] == 2


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


@pytest.mark.parametrize("name", ["add-node", "sign", "publish", "status"])
def test_every_help_has_an_example(name: str) -> None:
    assert f"rogatory federation {name}" in run(name, "--help").stdout
