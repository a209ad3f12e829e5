"""What is read from another node: how much of it, and what becomes of it. The wire itself: test_directory_door.py."""

import itertools
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rogatory.v1 import directory_pb2 as pb

from certs.pki import DevelopmentPki
from gateway import mirror
from gateway.config import DirectorySource
from gateway.directory import NodeEntry
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address
from gateway.transport import TlsIdentity
from gateway.trust.copy import NAME as COPY
from gateway.trust.copy import NOTHING, GoodCopy, Held
from gateway.trust.problem import Reason
from gateway.trust.repository import RootKeys
from tests.errors import raises
from tests.registry import FOUNDERS, LATER, PUBLISHER, Registry, key, public
from tests.world import NOW

PKI = DevelopmentPki("rogatory.test", NOW)


def pieces(*sent: tuple[str, bytes]) -> Iterable[pb.GetDirectoryResponse]:
    return (pb.GetDirectoryResponse(path=path, piece=piece) for path, piece in sent)


# How much


def test_files_come_in_pieces() -> None:
    sent = pieces(
        ("metadata/timestamp.json", b"ab"), ("metadata/timestamp.json", b"c"), ("targets/participants/1.ee.json", b"")
    )
    assert mirror._gather(sent) == {"metadata/timestamp.json": b"abc", "targets/participants/1.ee.json": b""}


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "metadata/../root.json", "metadata/.hidden", "metadata/", "metadata", "other/x.json"),
        *("metadata/a/b/c.json", "metadata/x y", "metadata//x", "metadata/x\n", "targets/é", "metadata/" + "a" * 200),
    ],
)
def test_answer_with_a_name_that_no_directory_has_is_refused(path: str) -> None:
    with pytest.raises(Refusal) as caught:
        mirror._gather(pieces((path, b"x")))
    assert caught.value.code is ErrorCode.MALFORMED


def test_answer_that_comes_back_to_a_file_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        mirror._gather(pieces(("metadata/a", b"x"), ("metadata/b", b"x"), ("metadata/a", b"x")))
    assert caught.value.code is ErrorCode.MALFORMED


def test_answer_without_end_is_read_to_the_limit_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MAX_BYTES", 10_000)
    read = itertools.count()
    endless = (pb.GetDirectoryResponse(path="metadata/a", piece=b"x" * 1000) for _ in read)
    with pytest.raises(Refusal) as caught:
        mirror._gather(endless)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert next(read) == 11


def test_answer_of_endless_empty_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MAX_FILES", 10)
    endless = (pb.GetDirectoryResponse(path=f"metadata/{number}", piece=b"") for number in itertools.count())
    with pytest.raises(Refusal) as caught:
        mirror._gather(endless)
    assert caught.value.code is ErrorCode.TOO_LARGE


# Of one's own node


class Node:
    """In the place of the wire: hands out what is published, or what it is told to."""

    def __init__(self, made: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = made
        self.error: Exception | None = None
        self.asked: list[tuple[NodeEntry, str, Held]] = []
        monkeypatch.setattr(mirror, "fetch", self.fetch)

    def fetch(self, node: NodeEntry, federation: str, identity: TlsIdentity, held: Held) -> dict[str, bytes] | None:
        self.asked.append((node, federation, held))
        if self.error is not None:
            raise self.error
        self.made.load()
        copy = GoodCopy.read(self.made.folder / "cache")
        assert copy is not None
        return copy.served() if copy.held > held else None


@pytest.fixture
def node(made: Registry, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(made, monkeypatch)


def source(made: Registry, **changes: Any) -> DirectorySource:
    ca = made.folder / "node-ca.pem"
    ca.write_bytes(PKI.node_ca("ee").pem)
    return made.source("own", **{"repository": "grpcs://localhost:7440", "ca": ca, **changes})


def identity_of(address: str, **changes: Any) -> TlsIdentity:
    leaf = PKI.leaf(Address.parse(address, allow_node=True), **changes)
    return TlsIdentity(leaf.key_pem, leaf.chain_pem)


OWN = identity_of("ee/prosecutor")


def test_directory_is_read_from_the_node_that_the_settings_name(made: Registry, node: Node) -> None:
    found = mirror.find(source(made), OWN, LATER)
    assert (found.problem, found.checked) == (None, LATER)
    assert found.directory.participants == made.load().directory.participants
    ((asked, federation, known),) = node.asked
    assert (asked.code, asked.endpoint, asked.ca_pem) == ("ee", "localhost:7440", PKI.node_ca("ee").pem)
    assert (federation, known) == ("rogatory.test", NOTHING)


def test_node_whose_ca_the_founders_have_replaced_is_known_by_the_new_one(made: Registry, node: Node) -> None:
    pinned = PKI.node_ca("ee").pem.decode()
    listed = mirror.find(source(made), OWN, LATER).directory.node("ee").ca
    assert listed not in pinned
    mirror.find(source(made), OWN, LATER)
    (made.folder / "own" / COPY).write_bytes(b"somebody was at it")
    mirror.find(source(made), OWN, LATER)
    assert [asked.ca for asked, _, _ in node.asked] == [pinned, f"{pinned}\n{listed}", pinned]


def test_node_that_has_nothing_newer_confirms_what_is_here(made: Registry, node: Node) -> None:
    first = mirror.find(source(made), OWN, LATER)
    again = mirror.find(source(made), OWN, LATER + timedelta(hours=1))
    assert (again.problem, again.checked) == (None, LATER + timedelta(hours=1))
    assert again.directory.participants == first.directory.participants
    made.newer()
    assert mirror.find(source(made), OWN, LATER).version("targets") == 2
    assert [known for _, _, known in node.asked] == [(0, 0), (1, 2), (1, 2)]


def test_thief_of_the_publisher_s_key_who_numbers_on_without_end_holds_nobody_back_after_a_new_root(
    made: Registry, node: Node
) -> None:
    """By timestamps alone his would be the newest for ever, and whoever asks his node would be told so."""
    rightly = made.newest("timestamp").read_bytes()
    made.forge(
        "timestamp", lambda signed: setattr(signed, "expires", LATER + timedelta(days=3650)), PUBLISHER, version=9
    )
    assert mirror.find(source(made), OWN, LATER).version("timestamp") == 11
    made.newest("timestamp").write_bytes(rightly)
    (publisher,) = public([key("new-publisher")])
    made.repository.propose_root(RootKeys(tuple(public(FOUNDERS)), 2, publisher), NOW)
    made.sign(*FOUNDERS)
    made.repository.publish(key("new-publisher"), NOW)
    found = mirror.find(source(made), OWN, LATER)
    assert (found.problem, found.version("root"), found.version("timestamp")) == (None, 2, 3)


def test_copy_that_names_no_timestamp_is_asked_for_whole(made: Registry, node: Node) -> None:
    before = mirror.find(source(made), OWN, LATER)
    copy = GoodCopy.read(made.folder / "own")
    assert copy is not None
    copy.model_copy(update={"files": {}}).write(made.folder / "own")
    assert mirror.find(source(made), OWN, LATER).directory == before.directory
    assert node.asked[-1][2] == NOTHING


@pytest.mark.parametrize(
    "error",
    [Failure(ErrorCode.UNAVAILABLE, "away"), Refusal(ErrorCode.REVOKED, "out"), Refusal(ErrorCode.TOO_LARGE, "x")],
)
def test_node_that_does_not_answer_leaves_the_last_good_copy(
    made: Registry, node: Node, error: Failure | Refusal
) -> None:
    before = mirror.find(source(made), OWN, LATER)
    node.error = error
    after = mirror.find(source(made), OWN, LATER)
    assert after.problem is not None
    assert after.problem.reason is Reason.UNREACHABLE
    assert error.detail in after.problem.detail
    assert after.directory.participants == before.directory.participants


def test_node_that_has_moved_is_asked_where_its_own_list_says_if_nobody_answers_at_the_old_place(
    made: Registry, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = made.list_of("ee").model_copy(update={"endpoint": "localhost:7441"})
    made.repository.put_list("ee", key("ee"), there, NOW)
    made.publish()
    mirror.find(source(made), OWN, LATER)

    def fetch(asked: NodeEntry, *rest: Any) -> dict[str, bytes] | None:
        found = node.fetch(asked, *rest)
        if asked.endpoint == "localhost:7440":
            raise Failure(ErrorCode.UNAVAILABLE, "moved")
        return found

    monkeypatch.setattr(mirror, "fetch", fetch)
    made.newer()
    after = mirror.find(source(made), OWN, LATER)
    assert (after.problem, after.version("targets")) == (None, 2)
    assert [asked.endpoint for asked, _, _ in node.asked] == ["localhost:7440", "localhost:7440", "localhost:7441"]
    node.error = Failure(ErrorCode.UNAVAILABLE, "away")
    assert mirror.find(source(made), OWN, LATER).problem is not None


def test_without_node_and_copy_there_is_nothing_yet(made: Registry, node: Node) -> None:
    node.error = Failure(ErrorCode.UNAVAILABLE, "away")
    with pytest.raises(Failure) as caught:
        mirror.find(source(made), OWN, LATER)
    assert caught.value.code is ErrorCode.UNAVAILABLE


def test_node_that_has_no_directory_gives_none(made: Registry, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "fetch", lambda *_: None)
    with raises(ErrorCode.UNAVAILABLE):
        mirror.find(source(made), OWN, LATER)


def test_node_that_lies_is_not_believed(made: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    made.load()
    copy = GoodCopy.read(made.folder / "cache")
    assert copy is not None
    lies = {name: content.replace(b"localhost", b"localhosu") for name, content in copy.served().items()}
    monkeypatch.setattr(mirror, "fetch", lambda *_: lies)
    with pytest.raises(Refusal) as caught:
        mirror.find(source(made), OWN, LATER)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


def test_any_other_source_is_read_as_ever(made: Registry, node: Node) -> None:
    assert mirror.find(made.source(), OWN, LATER).problem is None
    assert node.asked == []


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://ee.rogatory.test/a", "spiffe://ee.rogatory.test/b"],
        ["https://x.test/a"],
        ["spiffe://ee.rogatory.test/A"],
    ],
)
def test_certificate_that_names_nobody_finds_no_node(made: Registry, node: Node, uris: list[str]) -> None:
    with pytest.raises(Refusal) as caught:
        mirror.find(source(made), identity_of("ee/prosecutor", uris=uris), LATER)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "certificate")
    assert node.asked == []


def test_missing_ca_of_the_node_is_refused(made: Registry, node: Node) -> None:
    settings = source(made, ca=made.folder / "none.pem")
    with pytest.raises(Refusal) as caught:
        mirror.find(settings, OWN, LATER)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "directory.ca")


@pytest.mark.parametrize(
    "changes",
    [
        {"ca": None},
        {"repository": "grpcs://localhost"},
        {"repository": "grpcs://localhost:1/path"},
        {"repository": "grpcs://"},
        {"repository": "grpc://localhost:1"},
        {"repository": "http://localhost:1"},
    ],
)
def test_source_that_names_no_node_rightly_is_no_setting(made: Registry, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        source(made, **changes)


def test_node_is_named_by_no_path(made: Registry) -> None:
    assert source(made).at(Path("/elsewhere")).repository == "grpcs://localhost:7440"
