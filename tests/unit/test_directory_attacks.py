"""Attacks on the signed directory: each changes one thing, and is known by the reason for which it is refused."""

import gc
import hashlib
import json
import shutil
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from gateway.directory import Directory, ParticipantList, Status
from gateway.errors import ErrorCode, Failure, Refusal
from gateway.identity import Address, Role
from gateway.signature import key_id
from gateway.trust import client, copy
from gateway.trust.copy import GoodCopy, KeptList
from gateway.trust.lists import SignedList
from gateway.trust.problem import Reason
from gateway.trust.repository import RootKeys
from gateway.trust.signing import signer_of
from tests import world
from tests.errors import raises
from tests.registry import (
    FOUNDERS,
    LATER,
    NEW_FOUNDERS,
    PUBLISHER,
    Registry,
    expire,
    is_held,
    key,
    nothing,
    path_of,
    public,
)
from tests.world import NOW

# Whole: nothing of it is taken


def rolled_back_timestamp(made: Registry) -> None:
    old = (made.metadata / "timestamp.json").read_bytes()
    made.newer()
    made.load()
    (made.metadata / "timestamp.json").write_bytes(old)


def rolled_back_snapshot(made: Registry) -> None:
    made.newer()
    made.load()

    def change(signed: Timestamp) -> None:
        signed.snapshot_meta.version = 1

    made.forge("timestamp", change, PUBLISHER)


def rolled_back(role: str) -> Callable[[Registry], None]:
    def attack(made: Registry) -> None:
        made.newer()
        made.load()

        def change(signed: Snapshot) -> None:
            signed.meta[f"{role}.json"].version = 1

        made.forge_snapshot(change)

    return attack


def node_left_out_of_the_snapshot(made: Registry) -> None:
    def change(signed: Snapshot) -> None:
        del signed.meta["node-ee.json"]

    made.forge_snapshot(change)


def mixed_snapshot(made: Registry) -> None:
    """The timestamp of today with the snapshot of yesterday under today's name."""
    old = made.newest("snapshot").read_bytes()
    made.newer()
    made.newest("snapshot").write_bytes(old)


def mixed_targets(made: Registry) -> None:
    old = made.newest("targets").read_bytes()
    made.newer()
    made.newest("targets").write_bytes(old)


def mixed_list(made: Registry) -> None:
    """One node's list of yesterday, which does not know a revocation, among the others of today."""
    old = made.newest("node-ee").read_bytes()
    made.newer()
    made.newest("node-ee").write_bytes(old)


def expired_timestamp(made: Registry) -> None:
    made.forge("timestamp", expire, PUBLISHER)


def expired_snapshot(made: Registry) -> None:
    made.forge_snapshot(expire)


def expired_targets(made: Registry) -> None:
    made.forge("targets", expire, *FOUNDERS)
    made.publish_unseen()


def expired_root(made: Registry) -> None:
    made.forge("root", expire, *FOUNDERS)


def root_one_signature_short(made: Registry) -> None:
    made.forge("root", nothing, FOUNDERS[0])


def targets_one_signature_short(made: Registry) -> None:
    made.forge("targets", nothing, FOUNDERS[0])
    made.publish_unseen()


def targets_signed_twice_by_one_founder(made: Registry) -> None:
    made.forge("targets", nothing, FOUNDERS[0])
    path = made.newest("targets")
    content = json.loads(path.read_bytes())
    content["signatures"] *= 2
    path.write_text(json.dumps(content))
    made.publish_unseen()


def targets_signed_by_nodes(made: Registry) -> None:
    made.forge("targets", nothing, key("ee"), key("de"), key("fr"))
    made.publish_unseen()


def take_over(signed: Root) -> None:
    new = public(NEW_FOUNDERS)
    signed.keys |= {each.keyid: each for each in new}
    for role in ("root", "targets"):
        signed.roles[role].keyids = [each.keyid for each in new]


def root_signed_by_its_new_keys_alone(made: Registry) -> None:
    made.forge("root", take_over, *NEW_FOUNDERS)


def root_signed_by_its_old_keys_alone(made: Registry) -> None:
    made.forge("root", take_over, *FOUNDERS)


def root_that_skips_a_version(made: Registry) -> None:
    made.forge("root", nothing, *FOUNDERS, version=2)
    (made.metadata / "3.root.json").rename(made.metadata / "2.root.json")


def lower_the_threshold(signed: Root) -> None:
    for role in ("root", "targets"):
        signed.roles[role].threshold = 1


def threshold_lowered_by_one_founder(made: Registry) -> None:
    made.forge("root", lower_the_threshold, FOUNDERS[0])


def timestamp_by_an_unknown_key(made: Registry) -> None:
    made.forge("timestamp", nothing, key("nobody"))


def snapshot_by_an_unknown_key(made: Registry) -> None:
    made.forge_snapshot(nothing, key("nobody"))


def snapshot_by_a_founder(made: Registry) -> None:
    made.forge_snapshot(nothing, FOUNDERS[0])


def oversized_timestamp(made: Registry) -> None:
    with (made.metadata / "timestamp.json").open("ab") as file:
        file.write(b" " * (17 << 10))


def oversized_root(made: Registry) -> None:
    made.forge("root", nothing, *FOUNDERS)
    with (made.metadata / "2.root.json").open("ab") as file:
        file.write(b" " * (257 << 10))


def oversized_list(made: Registry) -> None:
    made.newer()
    with made.newest("node-ee").open("ab") as file:
        file.write(b" ")


def altered(made: Registry, name: str) -> None:
    made.newer()
    for path in made.targets.rglob(f"*.{name}"):
        content = path.read_bytes()
        # The published key of somebody, exchanged for another: same length, still valid.
        path.write_bytes(
            content.replace(b'"2025-', b'"2024-').replace(b"https", b"httpx").replace(b"localhost", b"localhosu")
        )
    shutil.rmtree(made.folder / "cache" / "targets")  # what was fetched before needs no fetching


def altered_federation(made: Registry) -> None:
    altered(made, "federation.json")


def altered_list(made: Registry) -> None:
    altered(made, "ee.json")


def hidden_list(made: Registry) -> None:
    """The server keeps back what would revoke somebody."""
    made.newer()
    made.newest("node-ee").unlink()


def hidden_snapshot(made: Registry) -> None:
    made.newer()
    made.newest("snapshot").unlink()


def no_metadata(made: Registry) -> None:
    (made.metadata / "timestamp.json").write_text("{")


def nested_without_end(made: Registry) -> None:
    (made.metadata / "timestamp.json").write_text("[" * 16000)


def one_role_for_another(made: Registry) -> None:
    (made.metadata / "timestamp.json").write_bytes(made.newest("snapshot").read_bytes())


def federation_list_signed_by_a_node(made: Registry) -> None:
    """The founders' own metadata lacks it, and a node offers one."""

    def change(signed: Targets) -> None:
        del signed.targets["federation.json"]

    content = next(made.targets.glob("*.federation.json")).read_bytes()
    made.forge("targets", change, *FOUNDERS)
    made.sign_list_of_anything("ee", "federation.json", content)


def list_of_a_node_signed_by_the_founders(made: Registry) -> None:
    """Only the node's own role may name it: no other key speaks for its participants."""
    named = Metadata[Targets].from_bytes(made.newest("node-ee").read_bytes()).signed.targets

    def change(signed: Targets) -> None:
        signed.targets.update(named)

    made.forge("targets", change, *FOUNDERS)
    made.publish_unseen()


def node_twice(made: Registry) -> None:
    """Properly signed nonsense: which of the two CAs would count?"""
    federation = made.repository.federation()
    made.repository.propose_federation(federation.model_copy(update={"nodes": federation.nodes * 2}), {}, NOW)
    made.sign(*FOUNDERS)
    made.publish()


def key_of_a_node_twice(made: Registry) -> None:
    """Properly signed nonsense, once more: trusted for how long? The node's own list names that key, too."""
    federation = made.repository.federation()
    node, *others = federation.nodes
    (listed,) = node.signing_keys
    stolen = listed.model_copy(update={"not_trusted_after": NOW})
    twice = node.model_copy(update={"signing_keys": (stolen, listed)})
    said = federation.model_copy(update={"nodes": (twice, *others)})
    made.repository.propose_federation(said, {}, NOW)
    made.sign(*FOUNDERS)
    own = made.list_of(node.code).model_copy(update={"signing_keys": (listed,)})
    made.repository.put_list(node.code, key(node.code), own, NOW)
    made.publish()


@pytest.mark.parametrize(
    ("attack", "reason", "newcomer_is_safe"),
    [
        # A newcomer cannot know what was there before; the timestamp's expiry bounds what he can be shown.
        pytest.param(rolled_back_timestamp, Reason.WRONG_VERSION, False, id="rolled-back timestamp"),
        pytest.param(rolled_back_snapshot, Reason.WRONG_VERSION, True, id="rolled-back snapshot"),
        pytest.param(rolled_back("targets"), Reason.WRONG_VERSION, True, id="rolled-back targets"),
        pytest.param(rolled_back("node-ee"), Reason.WRONG_VERSION, True, id="rolled-back list of a node"),
        pytest.param(node_left_out_of_the_snapshot, Reason.MALFORMED, False, id="node left out of the snapshot"),
        pytest.param(mixed_snapshot, Reason.ALTERED, True, id="old snapshot with a new timestamp"),
        pytest.param(mixed_targets, Reason.ALTERED, True, id="old targets with a new snapshot"),
        pytest.param(mixed_list, Reason.ALTERED, True, id="old list with a new snapshot"),
        pytest.param(expired_timestamp, Reason.EXPIRED, True, id="expired timestamp"),
        pytest.param(expired_snapshot, Reason.EXPIRED, True, id="expired snapshot"),
        pytest.param(expired_targets, Reason.EXPIRED, True, id="expired targets"),
        pytest.param(expired_root, Reason.EXPIRED, True, id="expired root"),
        pytest.param(root_one_signature_short, Reason.UNSIGNED, True, id="one signature short on root"),
        pytest.param(targets_one_signature_short, Reason.UNSIGNED, True, id="one signature short on targets"),
        pytest.param(targets_signed_twice_by_one_founder, Reason.MALFORMED, True, id="one founder signs twice"),
        pytest.param(targets_signed_by_nodes, Reason.UNSIGNED, True, id="targets signed by nodes"),
        pytest.param(root_signed_by_its_new_keys_alone, Reason.UNSIGNED, True, id="root signed by its new keys alone"),
        pytest.param(root_signed_by_its_old_keys_alone, Reason.UNSIGNED, True, id="root signed by its old keys alone"),
        pytest.param(root_that_skips_a_version, Reason.WRONG_VERSION, True, id="root that skips a version"),
        pytest.param(threshold_lowered_by_one_founder, Reason.UNSIGNED, True, id="threshold lowered by one founder"),
        pytest.param(timestamp_by_an_unknown_key, Reason.UNSIGNED, True, id="timestamp by an unknown key"),
        pytest.param(snapshot_by_an_unknown_key, Reason.UNSIGNED, True, id="snapshot by an unknown key"),
        pytest.param(snapshot_by_a_founder, Reason.UNSIGNED, True, id="snapshot by a founder"),
        pytest.param(oversized_timestamp, Reason.TOO_LARGE, True, id="oversized timestamp"),
        pytest.param(oversized_root, Reason.TOO_LARGE, True, id="oversized root"),
        pytest.param(oversized_list, Reason.TOO_LARGE, True, id="list above its signed length"),
        pytest.param(altered_federation, Reason.ALTERED, True, id="altered federation.json"),
        pytest.param(altered_list, Reason.ALTERED, True, id="altered list"),
        pytest.param(hidden_list, Reason.UNREACHABLE, True, id="hidden list"),
        pytest.param(hidden_snapshot, Reason.UNREACHABLE, True, id="hidden snapshot"),
        pytest.param(no_metadata, Reason.MALFORMED, True, id="timestamp is no metadata"),
        pytest.param(nested_without_end, Reason.MALFORMED, True, id="timestamp nested without end"),
        pytest.param(one_role_for_another, Reason.MALFORMED, True, id="snapshot as timestamp"),
        pytest.param(federation_list_signed_by_a_node, Reason.MALFORMED, True, id="federation.json signed by a node"),
        pytest.param(
            list_of_a_node_signed_by_the_founders, Reason.MALFORMED, True, id="list of a node signed by founders"
        ),
        pytest.param(node_twice, Reason.BAD_CONTENT, True, id="node listed twice"),
        pytest.param(key_of_a_node_twice, Reason.BAD_CONTENT, True, id="key of a node listed twice"),
    ],
)
def test_attacked_directory_is_not_taken_and_the_last_good_copy_stays(
    made: Registry, attack: Callable[[Registry], None], reason: Reason, newcomer_is_safe: bool
) -> None:
    before = made.load()
    assert (before.problem, before.list_problems) == (None, {})
    attack(made)
    after = made.load()
    assert after.problem is not None
    assert after.problem.reason is reason
    assert after.directory.nodes == before.directory.nodes
    assert after.directory.participants == before.directory.participants
    assert after.warnings(LATER)
    if newcomer_is_safe:
        with pytest.raises(Refusal) as caught:
            made.load_as_newcomer()
        local = reason is Reason.UNREACHABLE
        assert caught.value.code is (ErrorCode.BAD_CONFIG if local else ErrorCode.BAD_DIRECTORY)


# Time


def test_frozen_directory_is_refused_once_its_timestamp_has_expired(made: Registry) -> None:
    """The server goes on serving what was right once; nobody can tell it from quiet times before it expires."""
    end = made.load().expires
    assert made.load(end - timedelta(seconds=1)).problem is None
    with pytest.raises(Refusal) as caught:
        made.load(end)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY
    assert "still works" in caught.value.detail


def test_expiry_is_judged_by_the_clock_that_is_passed_in(made: Registry) -> None:
    """Holds python-tuf to the attribute through which it is told the time."""
    assert made.load_as_newcomer(NOW).problem is None
    with raises(ErrorCode.BAD_DIRECTORY):
        made.load_as_newcomer(NOW + timedelta(days=3650))


def test_operator_is_warned_long_before_the_directory_expires(made: Registry) -> None:
    trusted = made.load()
    assert trusted.warnings(trusted.expires - timedelta(days=10, seconds=1)) == ()
    assert len(trusted.warnings(trusted.expires - timedelta(days=9))) == 2  # snapshot and timestamp
    root = next(age for age in trusted.ages if age.role == "root")
    assert root.warning(root.expires - timedelta(days=90)) is None
    assert root.warning(root.expires - timedelta(days=89))


def test_old_signatures_can_be_verified_after_the_directory_has_expired_and_nobody_starts(made: Registry) -> None:
    trusted = made.load()
    past = trusted.expires + timedelta(days=400)
    with raises(ErrorCode.BAD_DIRECTORY):
        made.load(past)
    looking_back = client.load_for_verification(made.source(), past)
    assert looking_back.directory == trusted.directory
    assert looking_back.problem is not None
    with raises(ErrorCode.BAD_DIRECTORY):  # there is nothing to look back to
        client.load_for_verification(made.source("other"), past)


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_several_lists_of_a_node_the_newest_is_kept_under_its_own_name_alone(newest_first: bool) -> None:
    listed = next(each for each in world.DIRECTORY.split()[1] if each.node == "ee")
    signed = [SignedList.sign(key("ee"), listed, version, NOW) for version in (1, 2)]
    kept = [KeptList(metadata=each.metadata, content=each.content) for each in signed]
    ways = reversed(kept) if newest_first else kept
    files = {name: content for each in ways for name, content in copy.served_list("ee", each).items()}
    of_others = {"metadata/3.node-ee.json": kept[0].metadata, "metadata/x.node-ee.json": kept[0].metadata}
    assert copy.kept_in(files | of_others) == {"ee": kept[1]}


def test_folder_of_the_copy_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with client._alone(cache):
        assert is_held(cache)
    assert not is_held(cache)


def test_copy_tampered_with_serves_nobody_to_look_back(made: Registry) -> None:
    past = made.load().expires
    path = made.folder / "cache" / copy.NAME
    path.write_text(path.read_text().replace("localhost:1", "localhost:2"))
    with pytest.raises(Refusal) as caught:
        client.load_for_verification(made.source(), past)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


def test_file_above_our_own_limit_is_refused_whatever_was_signed(
    made: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.trust.collect.MAX_FILE_BYTES", 100)
    with pytest.raises(Refusal) as caught:
        made.load()
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


def test_cache_in_the_place_of_a_file_is_refused(made: Registry) -> None:
    (made.folder / "cache").write_text("in the way")
    with pytest.raises(Refusal) as caught:
        made.load()
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "directory.cache")


def test_who_can_still_start_also_looks_at_the_newest(made: Registry) -> None:
    assert client.load_for_verification(made.source(), LATER).problem is None


# The copy


def test_unreachable_directory_leaves_the_last_good_copy_in_use_until_it_expires(made: Registry) -> None:
    trusted = made.load()
    shutil.rmtree(made.folder / "repository")
    again = made.load(LATER + timedelta(hours=1))
    assert again.problem is not None
    assert again.problem.reason is Reason.UNREACHABLE
    assert (again.directory, again.checked, again.expires) == (trusted.directory, LATER, trusted.expires)
    with pytest.raises(Refusal) as caught:
        made.load(trusted.expires)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


@pytest.mark.parametrize("part", ["files", "lists"])
def test_copy_tampered_with_on_disk_is_verified_like_any_other(made: Registry, part: str) -> None:
    good = made.load().directory
    shutil.rmtree(made.folder / "repository")
    path = made.folder / "cache" / copy.NAME
    content = path.read_text()
    assert "localhost:1" in content
    assert "2025-03-01" in content
    path.write_text(content.replace("localhost:1", "localhost:2") if part == "files" else content)
    if part == "files":
        with pytest.raises(Refusal) as caught:
            made.load()
        assert caught.value.code is ErrorCode.BAD_DIRECTORY
        return
    changed = json.loads(content)
    changed["lists"]["ee"]["content"] = changed["lists"]["ee"]["content"].replace("investigator", "court")
    path.write_text(json.dumps(changed))
    after = made.load()
    assert set(after.list_problems) == {"ee"}
    assert [p for p in after.directory.participants if p.address.node == "ee"] == []
    assert set(after.directory.participants) <= set(good.participants)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_unreadable_copy_is_no_copy(made: Registry, content: bytes) -> None:
    made.load()
    (made.folder / "cache" / copy.NAME).write_bytes(content)
    assert made.load().problem is None  # what is published still serves
    (made.folder / "cache" / copy.NAME).write_bytes(content)
    shutil.rmtree(made.folder / "repository")
    with pytest.raises(Refusal) as caught:
        made.load()
    assert caught.value.code is ErrorCode.BAD_CONFIG


def test_crash_between_metadata_and_copy_does_not_hurt(made: Registry) -> None:
    """The updater wrote newer metadata, then the process was killed: the copy still serves, and then the news."""
    made.load()
    before = (made.folder / "cache" / copy.NAME).read_bytes()
    made.newer()
    version = made.load().directory.version
    (made.folder / "cache" / copy.NAME).write_bytes(before)
    assert made.load().directory.version == version


# One node's list


def entries(made: Registry, code: str) -> tuple[object, ...]:
    return tuple(p for p in made.load().directory.participants if p.address.node == code)


def list_by_an_unknown_key(made: Registry) -> None:
    made.sign_list_of_anything("ee", path_of("ee"), made.list_of("ee").to_json(), key("nobody"))


def list_by_another_node(made: Registry) -> None:
    made.sign_list_of_anything("ee", path_of("ee"), made.list_of("ee").to_json(), key("de"))


def foreign_participant(made: Registry) -> None:
    own = json.loads(made.list_of("ee").to_json())
    foreign = json.loads(made.list_of("de").to_json())
    own["participants"].append(foreign["participants"][0])
    made.sign_list_of_anything("ee", path_of("ee"), json.dumps(own).encode())


def list_of_another_node(made: Registry) -> None:
    made.sign_list_of_anything("ee", path_of("ee"), made.list_of("de").to_json())


def participant_twice(made: Registry) -> None:
    own = json.loads(made.list_of("ee").to_json())
    own["participants"] *= 2
    made.sign_list_of_anything("ee", path_of("ee"), json.dumps(own).encode())


def expired_list(made: Registry) -> None:
    made.forge("node-ee", expire, key("ee"))
    made.publish_unseen()


def list_passed_on(made: Registry) -> None:
    """The node's role has no list any more, but lets somebody else's key sign it."""
    (other,) = public([key("nobody")])

    def delegate(signed: Targets) -> None:
        signed.targets.clear()
        role = DelegatedRole("other", [other.keyid], 1, terminating=True, paths=[path_of("ee")])
        signed.delegations = Delegations({other.keyid: other}, {"other": role})

    made.forge("node-ee", delegate, key("ee"))
    made.publish_unseen()


def list_named_by(*algorithms: str) -> Callable[[Registry], None]:
    """The node gives these hashes of its list, all right; it lies where a repository puts it, by SHA-256."""

    def attack(made: Registry) -> None:
        content = made.list_of("ee").to_json() + b" "
        hashes = {name: hashlib.new(name, content).hexdigest() for name in algorithms}
        made.sign_list_of_anything("ee", path_of("ee"), content)

        def change(signed: Targets) -> None:
            signed.targets[path_of("ee")] = TargetFile(len(content), hashes, path_of("ee"))

        made.forge("node-ee", change, key("ee"))
        made.publish_unseen()

    return attack


def unsaid(change: Callable[[Any], None]) -> Callable[[Registry], None]:
    """The node signs properly, and its publisher does not look."""

    @wraps(change)
    def attack(made: Registry) -> None:
        content = json.loads(made.list_of("ee").to_json())
        change(content["participants"])
        made.sign_list_of_anything("ee", path_of("ee"), json.dumps(content).encode())

    return attack


@unsaid
def participant_unlisted(participants: Any) -> None:
    """What he signed could be verified no more."""
    del participants[0]


@unsaid
def key_unlisted(participants: Any) -> None:
    participants[0]["signing_keys"].clear()


@unsaid
def key_begins_later(participants: Any) -> None:
    """An old signature would become one from before the key."""
    participants[0]["signing_keys"][0]["not_before"] = LATER.isoformat()


@unsaid
def key_begins_earlier(participants: Any) -> None:
    participants[0]["signing_keys"][0]["not_before"] = "1970-01-01T00:00:00Z"


def key_trusted_again(made: Registry) -> None:
    """It was put out, everybody heard it, and now it shall have been nothing."""
    entries = list(made.list_of("ee").participants)
    known = entries[0].signing_keys[0].model_copy(update={"not_trusted_after": NOW})
    entries[0] = entries[0].model_copy(update={"signing_keys": (known,)})
    made.put_list("ee", entries)
    made.publish()
    made.load()

    @unsaid
    def again(participants: Any) -> None:
        participants[0]["signing_keys"][0]["not_trusted_after"] = None

    again(made)


@pytest.mark.parametrize(
    "attack", [participant_unlisted, key_unlisted, key_begins_later, key_begins_earlier, key_trusted_again]
)
def test_list_that_unsays_what_its_node_said_is_not_taken(made: Registry, attack: Callable[[Registry], None]) -> None:
    made.load()
    before = made.load_as_newcomer().directory
    attack(made)
    after = made.load()
    assert after.problem is None
    assert {code: problem.reason for code, problem in after.list_problems.items()} == {"ee": Reason.BAD_CONTENT}
    if attack is key_trusted_again:
        entry = world.signing_entry(str(before.participants[0].address))
        with pytest.raises(Refusal) as caught:
            after.directory.check_not_revoked(str(before.participants[0].address), key_id(entry.public), LATER)
        assert caught.value.code is ErrorCode.KEY_REVOKED
    else:
        assert after.directory.participants == before.participants
    for again in (made.load(), made.load(LATER + timedelta(hours=1))):
        assert set(again.list_problems) == {"ee"}  # however often it is looked at


def test_certificate_that_a_node_lets_in_again_is_still_out(made: Registry) -> None:
    entries = list(made.list_of("ee").participants)
    entries[0] = entries[0].model_copy(update={"revoked_certificates": frozenset({"ab" * 32})})
    made.put_list("ee", entries)
    made.publish()
    made.load()

    @unsaid
    def again(participants: Any) -> None:
        participants[0]["revoked_certificates"].clear()

    again(made)
    after = made.load()
    assert {code: problem.reason for code, problem in after.list_problems.items()} == {"ee": Reason.BAD_CONTENT}
    assert after.directory.participant(entries[0].address) == entries[0]


def test_node_that_unsaid_something_is_heard_again_once_it_says_it(made: Registry) -> None:
    made.load()
    right = made.list_of("ee")
    participant_unlisted(made)
    assert set(made.load().list_problems) == {"ee"}
    newcomer = world.participant("ee/new-court", Role.COURT)
    content = right.model_copy(update={"participants": (*right.participants, newcomer)}).to_json()
    made.sign_list_of_anything("ee", path_of("ee"), content)
    after = made.load()
    assert after.list_problems == {}
    assert newcomer in after.directory.participants


def test_who_stole_a_node_s_key_binds_the_node_by_nothing_once_the_founders_have_replaced_it(made: Registry) -> None:
    """He put somebody on the list, and a key out: the node may unsay both, under its new key."""
    right = made.list_of("ee")
    entries = list(right.participants)
    stolen = entries[0].signing_keys[0].model_copy(update={"not_trusted_after": NOW})
    entries[0] = entries[0].model_copy(update={"signing_keys": (stolen,)})
    made.put_list("ee", [*entries, world.participant("ee/mole", Role.COURT)])
    made.publish()
    assert made.load().directory.roles("ee/mole") == {Role.COURT}
    (new,) = public([key("ee-new")])
    made.repository.propose_federation(world.DIRECTORY.split()[0], {"ee": new}, NOW)
    made.sign(*FOUNDERS[:2])
    made.publish()
    made.repository.put_list("ee", key("ee-new"), right, NOW)
    made.publish()
    after = made.load()
    assert (after.problem, after.list_problems) == (None, {})
    assert after.directory.participants == world.DIRECTORY.participants


# The node's own news


@pytest.mark.parametrize(("version", "in_force"), [(1, False), (2, True), (7, True)])
def test_node_goes_by_its_own_list_before_it_is_published_and_by_no_older_one(
    made: Registry, version: int, in_force: bool
) -> None:
    entries = list(made.list_of("ee").participants)
    entries[0] = entries[0].model_copy(update={"status": Status.REVOKED})
    content = ParticipantList(node="ee", participants=tuple(entries))
    trusted = made.load()
    own = trusted.with_own(SignedList.sign(key("ee"), content, version, NOW))
    address = str(entries[0].address)
    assert (own.directory.roles(address) == frozenset()) is in_force
    assert own.version("node-ee") == trusted.version("node-ee") == 1  # what is published
    assert own.directory.roles("de/court") == trusted.directory.roles("de/court")


# Passed on


def served(made: Registry, cache: str = "cache") -> dict[str, bytes]:
    copy_of = copy.GoodCopy.read(made.folder / cache)
    assert copy_of is not None
    return copy_of.served()


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        pytest.param(list_by_an_unknown_key, Reason.UNSIGNED, id="signed by an unknown key"),
        pytest.param(foreign_participant, Reason.BAD_CONTENT, id="participant under another country"),
        pytest.param(participant_unlisted, Reason.BAD_CONTENT, id="participant unlisted"),
        pytest.param(expired_list, Reason.EXPIRED, id="expired"),
        pytest.param(list_passed_on, Reason.MALFORMED, id="passed on to another key"),
        pytest.param(list_named_by("sha224", "sha256"), Reason.MALFORMED, id="another hash first"),
        pytest.param(list_named_by("sha256", "sha224"), Reason.MALFORMED, id="another hash last"),
        pytest.param(list_named_by("sha512"), Reason.MALFORMED, id="another hash alone"),
    ],
)
def test_directory_with_one_node_s_wrong_list_can_be_passed_on(
    made: Registry, attack: Callable[[Registry], None], reason: Reason
) -> None:
    """Else one node could keep all others from hearing the news of each other."""
    made.load()
    client.load(made.source("other"), LATER)
    attack(made)
    newcomer = world.participant("de/new-court", Role.COURT)
    made.put_list("de", [*made.list_of("de").participants, newcomer])
    made.publish()
    made.load()
    mirrored = served(made)
    for _ in range(2):
        there = client.load(made.source("other"), LATER, mirrored)
        assert there.problem is None
        assert {code: problem.reason for code, problem in there.list_problems.items()} == {"ee": reason}
        assert newcomer in there.directory.participants
        assert there.directory.participants == made.load().directory.participants
        mirrored = served(made, "other")  # and on, by who got it so


def test_copy_that_is_passed_on_is_believed_for_its_signatures_alone(made: Registry) -> None:
    made.load()
    made.newer()
    made.load()
    mirrored = served(made)
    for name in mirrored:
        client.load(made.source("other"), LATER, mirrored)
        content = mirrored[name].replace(b'"version": 2', b'"version": 9').replace(b"localhost", b"localhosu")
        changed = mirrored | {name: content if content != mirrored[name] else mirrored[name][:-2] + b" }"}
        seen = client.load(made.source("other"), LATER, changed).directory
        assert (seen.nodes, seen.participants) == (made.load().directory.nodes, made.load().directory.participants)


def test_older_copy_that_is_passed_on_rolls_nobody_back(made: Registry) -> None:
    made.load()
    old = served(made)
    made.newer()
    version = made.load().version("timestamp")
    after = client.load(made.source(), LATER, old)
    assert after.problem is not None
    assert after.problem.reason is Reason.WRONG_VERSION
    assert after.version("timestamp") == version
    found = copy.GoodCopy.read(made.folder / "cache")
    assert found is not None
    assert found.held.timestamp == version


def test_copy_is_not_written_anew_each_time_that_nothing_has_changed(made: Registry) -> None:
    made.load(LATER)
    path = made.folder / "cache" / copy.NAME
    before = path.stat().st_ino, path.read_bytes()
    made.load(LATER + timedelta(seconds=59))
    assert (path.stat().st_ino, path.read_bytes()) == before
    made.load(LATER + timedelta(seconds=60))
    assert path.read_bytes() != before[1]


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        pytest.param(list_by_an_unknown_key, Reason.UNSIGNED, id="signed by an unknown key"),
        pytest.param(list_by_another_node, Reason.UNSIGNED, id="signed by another node"),
        pytest.param(foreign_participant, Reason.BAD_CONTENT, id="participant under another country"),
        pytest.param(list_of_another_node, Reason.MALFORMED, id="list of another country"),
        pytest.param(participant_twice, Reason.BAD_CONTENT, id="participant twice"),
        pytest.param(expired_list, Reason.EXPIRED, id="expired"),
        pytest.param(list_passed_on, Reason.MALFORMED, id="passed on to another key"),
        pytest.param(list_named_by("sha224", "sha256"), Reason.MALFORMED, id="another hash first"),
        pytest.param(list_named_by("sha256", "sha224"), Reason.MALFORMED, id="another hash last"),
        pytest.param(list_named_by("sha512"), Reason.MALFORMED, id="another hash alone"),
    ],
)
def test_wrong_list_of_one_node_leaves_its_last_good_one_and_all_others(
    made: Registry, attack: Callable[[Registry], None], reason: Reason
) -> None:
    before = made.load()
    attack(made)
    newcomer = world.participant("de/new-court", Role.COURT)
    made.put_list("de", [*made.list_of("de").participants, newcomer])
    made.publish()
    after = made.load()
    assert after.problem is None
    assert {code: problem.reason for code, problem in after.list_problems.items()} == {"ee": reason}
    assert entries(made, "ee") == tuple(p for p in before.directory.participants if p.address.node == "ee")
    assert newcomer in entries(made, "de")
    shutil.rmtree(made.folder / "repository")
    assert made.load().directory == after.directory  # the same from the copy
    assert set(made.load().list_problems) == {"ee"}


@pytest.mark.parametrize(
    "attack",
    [foreign_participant, list_named_by("sha224", "sha256"), list_named_by("sha512")],
    ids=["foreign participant", "another hash first", "another hash alone"],
)
def test_newcomer_sees_nobody_of_a_node_whose_list_is_wrong(made: Registry, attack: Callable[[Registry], None]) -> None:
    attack(made)
    seen = made.load_as_newcomer().directory
    assert {p.address.node for p in seen.participants} == {"de", "fr"}


def distrusted(made: Registry) -> ParticipantList:
    """Distrust a key in a next list, and publish that; return the list."""
    first, *rest = made.list_of("ee").participants
    keys = tuple(each.model_copy(update={"not_trusted_after": NOW}) for each in first.signing_keys)
    made.put_list("ee", [first.model_copy(update={"signing_keys": keys}), *rest])
    made.publish()
    return made.list_of("ee")


def newest_list_left_out(made: Registry) -> None:
    distrusted(made)
    made.newest("node-ee").unlink()


def newest_list_spoiled(made: Registry) -> None:
    distrusted(made)
    made.newest("node-ee").write_bytes(b"{}")


def older_list_under_the_name_of_the_newest(made: Registry) -> None:
    before = made.newest("node-ee").read_bytes()
    distrusted(made)
    made.newest("node-ee").write_bytes(before)


def what_the_newest_list_says_left_out(made: Registry) -> None:
    said = distrusted(made).to_json()
    for path in made.targets.rglob("*.ee.json"):
        if path.read_bytes() == said:
            path.unlink()


def older_list_under_a_later_name_beside_one_that_expired(made: Registry) -> None:
    before = made.newest("node-ee").read_bytes()
    distrusted(made)
    (made.metadata / "99.node-ee.json").write_bytes(before)


ROLLING_BACK = (
    newest_list_left_out,
    newest_list_spoiled,
    older_list_under_the_name_of_the_newest,
    what_the_newest_list_says_left_out,
    older_list_under_a_later_name_beside_one_that_expired,
)


def handed_out(made: Registry, at: datetime) -> Directory:
    """Return what is proven by the files that somebody hands out."""
    folder = made.folder / "repository"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}
    return client.prove(files, (made.folder / "root.json").read_bytes(), at).directory


def trusted_keys(directory: Directory, address: Address) -> list[bytes]:
    entry = directory.participant(address)
    return [key.public for key in entry.signing_keys if key.not_trusted_after is None] if entry else []


@pytest.mark.parametrize("attack", ROLLING_BACK)
def test_who_hands_out_a_directory_cannot_bring_back_what_its_newest_list_revokes(
    made: Registry, attack: Callable[[Registry], None]
) -> None:
    first = made.list_of("ee").participants[0].address
    assert trusted_keys(handed_out(made, LATER), first)
    attack(made)
    seen = handed_out(made, LATER)
    assert trusted_keys(seen, first) == []
    assert {each.address.node for each in seen.participants} >= {"de", "fr"}  # one node's list costs no other's


def test_older_list_under_a_later_name_is_no_newer_one_when_both_have_expired(made: Registry) -> None:
    first = made.list_of("ee").participants[0].address
    older_list_under_a_later_name_beside_one_that_expired(made)
    past = LATER + timedelta(days=100)
    made.propose(now=past)
    made.sign(*FOUNDERS[:2])
    made.repository.publish(PUBLISHER, past)
    assert trusted_keys(handed_out(made, past), first) == []


def test_list_that_is_refused_for_its_hashes_is_no_last_good_one(made: Registry) -> None:
    list_named_by("sha256", "sha224")(made)
    folder = made.folder / "repository"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}
    seen = client.prove(files, (made.folder / "root.json").read_bytes(), LATER)
    assert seen.version("node-ee") == 2  # of three


def test_participants_of_a_node_that_lets_its_list_expire_are_out_but_verifiable(made: Registry) -> None:
    made.load()
    past = LATER + timedelta(days=100)
    made.propose(now=past)
    made.sign(*FOUNDERS[:2])
    made.put_list("de", made.list_of("de").participants, past)
    made.publish(past)
    after = made.load(past)
    assert set(after.list_problems) == {"ee", "fr"}
    states = {p.address.node: p.status for p in after.directory.participants}
    assert states == {"de": Status.ACTIVE, "ee": Status.REVOKED, "fr": Status.REVOKED}
    assert after.directory.roles(world.INVESTIGATOR) == frozenset()
    entry = world.signing_entry(world.INVESTIGATOR)
    assert after.directory.signing_key(world.INVESTIGATOR, key_id(entry.public), NOW) == entry.public


@pytest.mark.parametrize("path", [path_of("de"), "federation.json", "participants/xx.json"])
def test_what_a_node_signs_beside_its_own_list_is_not_looked_at(made: Registry, path: str) -> None:
    forged = ParticipantList(node="de", participants=(world.participant("de/mole", Role.COURT),))
    before = made.load().directory
    made.sign_list_of_anything("ee", path, forged.to_json())
    for after in (made.load(), made.load_as_newcomer()):
        assert (after.problem, after.list_problems) == (None, {})
        assert after.directory.participants == before.participants


def test_old_list_does_not_count_any_more_once_the_founders_replaced_the_node_s_key(made: Registry) -> None:
    """Whoever stole the node's old key, and whatever it signed, is out with the founders' word."""
    made.load()
    (new,) = public([key("ee-new")])
    made.repository.propose_federation(world.DIRECTORY.split()[0], {"ee": new}, NOW)
    made.sign(*FOUNDERS[:2])
    made.publish()
    after = made.load()
    assert {code: problem.reason for code, problem in after.list_problems.items()} == {"ee": Reason.UNSIGNED}
    assert {p.address.node for p in after.directory.participants} == {"de", "fr"}
    made.repository.put_list("ee", key("ee-new"), world.DIRECTORY.split()[1][0], NOW)
    made.publish()
    assert made.load().list_problems == {}


# What is right


def test_founders_can_hand_over_to_others(made: Registry) -> None:
    made.load()
    (publisher,) = public([key("new-publisher")])
    made.repository.propose_root(RootKeys(tuple(public(NEW_FOUNDERS)), 3, publisher), NOW)
    made.sign(*FOUNDERS[:2], *NEW_FOUNDERS)
    made.repository.publish(key("new-publisher"), NOW)
    after = made.load()
    assert after.problem is None
    assert next(age.version for age in after.ages if age.role == "root") == 2
    assert made.load_as_newcomer().directory == after.directory


def hand_over_twice(made: Registry) -> bytes:
    """Let founders and publisher hand over to others, and these hand back; return the first root."""
    first = (made.folder / "root.json").read_bytes()
    (publisher,) = public([key("new-publisher")])
    made.repository.propose_root(RootKeys(tuple(public(NEW_FOUNDERS)), 3, publisher), NOW)
    made.sign(*FOUNDERS[:2], *NEW_FOUNDERS)
    made.repository.publish(key("new-publisher"), NOW)
    (third,) = public([key("third-publisher")])
    made.repository.propose_root(RootKeys(tuple(public(FOUNDERS)), 2, third), NOW)
    made.sign(*NEW_FOUNDERS, *FOUNDERS)
    made.repository.publish(key("third-publisher"), NOW)
    (made.folder / "root.json").write_bytes(made.repository.root())
    return first


def copy_of(made: Registry) -> dict[str, bytes]:
    copy = GoodCopy.read(made.folder / "cache")
    assert copy is not None
    return copy.served()


def test_what_somebody_hands_on_who_joined_late_is_proven_by_the_first_root_too(made: Registry) -> None:
    first = hand_over_twice(made)
    directory = made.load().directory
    assert client.prove(copy_of(made), first, LATER).directory.participants == directory.participants


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="not there"),
        pytest.param(lambda path: path.write_bytes(b"{}"), id="no metadata"),
        pytest.param(
            lambda path: path.write_bytes(path.with_name("timestamp.json").read_bytes()), id="of another role"
        ),
        pytest.param(
            lambda path: path.write_bytes(path.with_name("1.root.json").read_bytes()), id="of another version"
        ),
        pytest.param(lambda path: path.write_bytes(b" " * (1 << 19)), id="too large"),
    ],
)
def test_older_root_that_a_server_spoils_is_not_handed_on_and_keeps_no_news_out(
    made: Registry, spoil: Callable[[Path], object]
) -> None:
    hand_over_twice(made)
    spoil(made.metadata / "2.root.json")
    assert made.load().problem is None
    assert "metadata/2.root.json" not in copy_of(made)


def test_older_root_that_somebody_made_up_is_not_handed_on(made: Registry) -> None:
    hand_over_twice(made)
    path = made.metadata / "2.root.json"
    forged: Metadata[Root] = Metadata.from_bytes(path.read_bytes())
    forged.signed.version, forged.signatures = 2, {}
    take_over(forged.signed)
    forged.sign(signer_of(NEW_FOUNDERS[0]))
    path.write_bytes(forged.to_bytes())
    assert made.load().problem is None
    assert "metadata/2.root.json" not in copy_of(made)


def test_unreachable_server_without_a_copy_is_a_failure_to_be_tried_again(made: Registry) -> None:
    with pytest.raises(Failure) as caught:
        client.load(made.source(repository="https://127.0.0.1:1/directory"), NOW)
    assert caught.value.code is ErrorCode.UNAVAILABLE


def test_missing_root_is_refused(made: Registry) -> None:
    (made.folder / "root.json").unlink()
    with pytest.raises(Refusal) as caught:
        made.load()
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "directory.root")


def test_root_of_another_federation_believes_nothing(made: Registry, tmp_path: Path) -> None:
    root = made.folder / "root.json"
    made.forge("root", take_over, *NEW_FOUNDERS)
    root.write_bytes((made.metadata / "2.root.json").read_bytes())
    with pytest.raises(Refusal) as caught:
        made.load()
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


def test_node_that_signs_one_long_list_after_the_other_does_not_fill_the_memory_of_all_others(made: Registry) -> None:
    """Each takes a hundred MiB once it is read; what has been followed by another one is not kept."""
    read: list[weakref.ref[ParticipantList]] = []
    for number in range(6):
        entry = world.participant("de/exchange", Role.EXCHANGE).model_copy(update={"legal_name": f"Bank {number}"})
        before = [each for each in made.list_of("de").participants if each.address != entry.address]
        made.put_list("de", (*before, entry), NOW)
        made.publish()
        (said,) = (each for each in made.load().lists if each.node == "de")
        read.append(weakref.ref(said))
        del said
    gc.collect()
    assert sum(each() is not None for each in read) <= 2
    assert read[-1]() is not None
