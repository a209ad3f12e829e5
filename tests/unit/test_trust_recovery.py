"""A repository that was lost, or put back from a backup: readers take it again, and nothing that nobody signed."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import keys
from gateway.cli import commands
from gateway.cli.development import init_federation
from gateway.config import DirectorySource
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.trust import client, development
from gateway.trust.copy import NAME, GoodCopy
from gateway.trust.problem import Reason
from gateway.trust.recovery import recover
from gateway.trust.repository import Repository
from gateway.trust.roles import node_role

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Table:
    """A federation that publishes, what a node has seen of it, and an old backup of the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder / "fed", NOW
        init_federation(self.folder, ["ee", "de"], [7440, 7441], NOW)
        self.place, self.backup = self.folder / "repository", folder / "backup"
        self.key = keys.load_signing_key(development.publisher_key(self.folder))
        self.source = DirectorySource(
            root=self.folder / "root.json", repository=str(self.place), cache=folder / "cache"
        )
        shutil.copytree(self.place, self.backup)

    @property
    def repository(self) -> Repository:
        return Repository(self.place)

    @property
    def root(self) -> bytes:
        return self.source.root.read_bytes()

    def year(self) -> client.Trusted:
        """Have founders and nodes sign anew, and the publisher go on; return what the node sees."""
        self.now += DAY
        found, repository = self.repository, self.repository
        repository.propose_root(found.keys(), self.now)
        for number in (1, 2):
            repository.sign(keys.load_signing_key(development.founder_key(self.folder, number)))
        repository.publish(self.key, self.now)
        for code in ("ee", "de"):
            signer = keys.load_signing_key(development.node_key(self.folder, code))
            repository.put_list(code, signer, repository.list_of(code), self.now)
        return self.publish()

    def publish(self) -> client.Trusted:
        self.repository.publish(self.key, self.now)
        return client.load(self.source, self.now)

    def copy(self) -> GoodCopy:
        found = GoodCopy.read(self.source.cache)
        assert found is not None
        return found

    def lose(self, to: Path | None = None) -> None:
        shutil.rmtree(self.place)
        if to is not None:
            shutil.copytree(to, self.place)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


@pytest.mark.parametrize("put_back", [True, False])
def test_readers_take_what_is_published_after_a_repository_was_lost_or_put_back(table: Table, put_back: bool) -> None:
    table.year()
    seen = table.year()
    assert seen.problem is None
    table.lose(table.backup if put_back else None)
    if put_back:
        # As it is, nobody takes anything of it any more, however often it is published.
        for _ in range(2):
            problem = table.publish().problem
            assert problem is not None
            assert problem.reason is Reason.WRONG_VERSION
        table.lose(table.backup)
    held = recover(table.place, table.copy(), table.root)
    assert (held.root, held.timestamp) == (3, seen.version("timestamp"))
    after = table.publish()
    assert after.problem is None
    assert after.lists == seen.lists
    assert after.version("timestamp") == seen.version("timestamp") + 1
    assert not [each for each in table.repository.status() if each.missing]
    # And founders, nodes and publisher go on from there.
    later = table.year()
    assert (later.problem, later.version("root")) == (None, 4)
    assert later.version(node_role("ee")) == seen.version(node_role("ee")) + 1


def test_repository_that_is_not_behind_is_left_alone(table: Table) -> None:
    table.year()
    before = {path: path.read_bytes() for path in table.place.rglob("*.json")}
    with pytest.raises(Refusal) as caught:
        recover(table.place, table.copy(), table.root)
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert {path: path.read_bytes() for path in table.place.rglob("*.json")} == before


def planted(said: dict[str, Any]) -> None:
    said["files"]["metadata/99.root.json"] = said["files"]["metadata/2.root.json"]
    said["files"]["metadata/../../evil.json"] = "{}"


def altered(said: dict[str, Any]) -> None:
    said["files"] = {name: text.replace("ee", "xx") for name, text in said["files"].items()}


@pytest.mark.parametrize(("spoil", "code"), [(planted, None), (altered, ErrorCode.BAD_DIRECTORY)])
def test_what_nobody_has_signed_in_the_copy_does_not_get_into_the_repository(
    table: Table, spoil: Callable[[dict[str, Any]], None], code: ErrorCode | None
) -> None:
    table.year()
    path = table.source.cache / NAME
    said = json.loads(path.read_bytes())
    spoil(said)
    path.write_text(json.dumps(said))
    table.lose()
    if code is not None:
        with pytest.raises(Refusal) as caught:
            recover(table.place, table.copy(), table.root)
        assert (caught.value.code, table.place.exists()) == (code, False)
        return
    recover(table.place, table.copy(), table.root)
    assert table.repository.status()[0].version == 2
    assert not [*table.folder.rglob("evil.json"), *table.folder.rglob("99.root.json")]


def test_full_disk_is_told_as_that(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    table.year()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with pytest.raises(Failure) as caught:
        recover(table.place, table.copy(), table.root)
    assert caught.value.code is ErrorCode.STORE


def test_command_takes_the_copy_of_a_node(table: Table) -> None:
    node = table.folder / "ee/node.toml"
    command = ["federation", "recover", str(table.folder), "--config", str(node), "--json"]
    result = CliRunner().invoke(commands, command)
    assert json.loads(result.stdout)["error"]["code"] == "BAD_DIRECTORY"
    seen = table.year()
    shutil.copytree(table.source.cache, table.folder / "ee/directory")
    table.lose(table.backup)
    result = CliRunner().invoke(commands, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["timestamp"] == seen.version("timestamp")
    assert table.publish().problem is None
