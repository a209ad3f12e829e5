"""What founders, nodes and the publisher may do, and what they are refused before any node would have to."""

import errno
import hashlib
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Delegations, Metadata, TargetFile, Targets, Timestamp

from gateway import private_files
from gateway.directory import FederationList, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.trust import client, development
from gateway.trust.files import Files, write
from gateway.trust.lists import SignedList
from gateway.trust.releases import KEPT
from gateway.trust.repository import Repository, RootKeys
from gateway.trust.roles import LIFE_FIELD, NODE_LIFETIME, life_of
from gateway.trust.signing import signer_of
from tests import durable, registry, world
from tests.registry import FOUNDERS, LATER, NEW_FOUNDERS, PUBLISHER, Registry, key, public
from tests.world import NOW


def pending(repository: Repository) -> dict[str, int]:
    """Return how many signatures are missing, by role."""
    return {each.role: each.missing for each in repository.signatures() if each.pending}


def test_what_is_published_is_on_the_disk_before_it_has_its_name_and_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = durable.watched(monkeypatch, "replace")
    write(tmp_path / "1.root.json", b"{}")
    assert steps == ["file", "replace", "folder"]


def test_repository_is_one_writer_s_at_a_time(tmp_path: Path) -> None:
    with Files(tmp_path).alone():
        assert registry.is_held(tmp_path)
    assert not registry.is_held(tmp_path)


def test_proposal_stays_pending_until_the_threshold_is_reached_and_changes_nothing_before(made: Registry) -> None:
    before = made.load().directory
    fewer = world.make_directory(nodes=before.nodes).model_copy(update={"instruments": ()})
    made.propose(fewer)
    assert pending(made.repository) == {"targets": 2}
    made.sign(FOUNDERS[2])
    assert pending(made.repository) == {"targets": 1}
    made.publish()
    assert made.load().directory.instruments == before.instruments
    made.sign(FOUNDERS[2])  # again: still one founder
    assert pending(made.repository) == {"targets": 1}
    made.sign(FOUNDERS[0])
    made.publish()
    assert pending(made.repository) == {}
    assert made.load().directory.instruments == ()


def test_new_proposal_needs_new_signatures(made: Registry) -> None:
    made.propose()
    made.sign(FOUNDERS[0])
    made.propose(world.DIRECTORY.model_copy(update={"instruments": ()}))
    assert pending(made.repository) == {"targets": 2}


@pytest.mark.parametrize("name", ["nobody", "publisher", "ee"])
def test_key_of_no_founder_has_nothing_to_sign(made: Registry, name: str) -> None:
    made.propose()
    with pytest.raises(Refusal) as caught:
        made.sign(key(name))
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert pending(made.repository) == {"targets": 2}


@pytest.mark.parametrize("name", ["nobody", "founder-1", "ee"])
def test_only_the_publisher_publishes(made: Registry, name: str) -> None:
    before = (made.metadata / "timestamp.json").read_bytes()
    with pytest.raises(Refusal) as caught:
        made.repository.publish(key(name), NOW)
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert (made.metadata / "timestamp.json").read_bytes() == before


@pytest.mark.parametrize("name", ["nobody", "founder-1", "de", "publisher"])
def test_only_the_node_signs_its_list(made: Registry, name: str) -> None:
    with pytest.raises(Refusal) as caught:
        made.repository.put_list("ee", key(name), made.list_of("ee"), NOW)
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_node_cannot_sign_the_list_of_another(made: Registry) -> None:
    with pytest.raises(Refusal) as caught:
        made.repository.put_list("ee", key("ee"), made.list_of("de"), NOW)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


def test_list_with_a_foreign_participant_cannot_even_be_made(made: Registry) -> None:
    foreign = made.list_of("de").to_json().replace(b'"node": "de"', b'"node": "ee"')
    with pytest.raises(Refusal) as caught:
        ParticipantList.parse(foreign, "ee.json")
    assert caught.value.code is ErrorCode.BAD_DIRECTORY


def test_federation_that_nobody_has_signed_is_not_published(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    (publisher,) = public([PUBLISHER])
    repository.found(
        RootKeys(tuple(public(FOUNDERS)), 2, publisher), FederationList(federation="x.test", nodes=()), {}, NOW
    )
    repository.sign(FOUNDERS[0])
    with pytest.raises(Refusal) as caught:
        repository.publish(PUBLISHER, NOW)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_INPUT, "founders")
    assert {each.role: each.missing for each in repository.status()} == {"root": 1, "targets": 1}


def test_new_founders_alone_cannot_take_over(made: Registry) -> None:
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(RootKeys(tuple(public(NEW_FOUNDERS)), 2, publisher), NOW)
    made.sign(*NEW_FOUNDERS)
    assert pending(made.repository)["root"] == 2
    made.publish()
    assert next(age.version for age in made.load().ages if age.role == "root") == 1


def test_new_founders_have_to_sign_what_the_old_ones_said(made: Registry) -> None:
    """Else the new root would be published, and no node would take the old targets any more."""
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(RootKeys(tuple(public(NEW_FOUNDERS)), 2, publisher), NOW)
    made.sign(*FOUNDERS[:2], NEW_FOUNDERS[0])
    (made.folder / "repository/pending/targets.json").unlink()
    made.sign(NEW_FOUNDERS[1])
    with pytest.raises(Refusal) as caught:
        made.publish()
    assert caught.value.field == "founders"
    assert made.load_as_newcomer().problem is None


def proposed_over_the_first_state(made: Registry, role: str, work: Path) -> None:
    """Propose and sign in a copy of the folder what there takes the place of the first version of a role."""
    shutil.copytree(made.folder / "repository", work)
    other = Repository(work)
    (publisher,) = public([PUBLISHER])
    if role == "root":
        other.propose_root(RootKeys(tuple(public(FOUNDERS)), 1, publisher), NOW)
    else:
        said = other.federation()
        other.propose_federation(said.model_copy(update={"nodes": said.nodes[:2]}), {}, NOW)
    for each in FOUNDERS[:2]:
        other.sign(each)


@pytest.mark.parametrize("role", ["root", "targets"])
def test_proposal_that_was_signed_over_an_earlier_state_takes_back_nothing_that_is_published(
    made: Registry, role: str, tmp_path: Path
) -> None:
    """Two folders went about. What was signed in one would undo the other, under the same number."""
    proposed_over_the_first_state(made, role, tmp_path / "other")
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(RootKeys(tuple(public(FOUNDERS)), 2, publisher), NOW)
    made.sign(*FOUNDERS)
    made.publish()
    before = {path.name: path.read_bytes() for path in made.metadata.iterdir()}
    for path in (tmp_path / "other/pending").iterdir():
        shutil.copy(path, made.folder / "repository/pending")
    if role == "root":
        (made.folder / "repository/pending/targets.json").unlink()
    with pytest.raises(Refusal) as caught:
        made.publish()
    assert caught.value.code is ErrorCode.BAD_DIRECTORY
    with pytest.raises(Refusal) as caught:
        made.sign(FOUNDERS[0])
    assert caught.value.code is ErrorCode.BAD_DIRECTORY
    assert {path.name: path.read_bytes() for path in made.metadata.iterdir()} == before
    assert made.load_as_newcomer().problem is None


def test_proposal_stays_until_what_is_published_of_it_outlives_a_power_cut(
    made: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else both names could be gone, and with them the signatures of people who had to meet."""
    synced = private_files.sync_folder

    def cut(folder: Path) -> None:
        if folder == made.metadata:
            raise OSError(errno.EIO, "the disk is gone")
        synced(folder)

    made.propose()
    made.sign(*FOUNDERS[:2])
    monkeypatch.setattr(private_files, "sync_folder", cut)
    with pytest.raises(Refusal) as caught:
        made.publish()
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert pending(made.repository) == {"targets": 0}
    monkeypatch.undo()
    made.publish()
    assert pending(made.repository) == {}
    assert made.load_as_newcomer().version("targets") == 2


@pytest.mark.parametrize("role", ["root", "targets"])
def test_crash_after_a_proposal_was_taken_over_is_mended_by_the_next_publication(made: Registry, role: str) -> None:
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(RootKeys(tuple(public(FOUNDERS)), 2, publisher), NOW)
    made.sign(*FOUNDERS[:2])
    pending_file = made.folder / f"repository/pending/{role}.json"
    signed = pending_file.read_bytes()
    made.publish()
    pending_file.write_bytes(signed)  # it was still to be removed
    made.publish()
    assert not pending_file.exists()
    assert made.load_as_newcomer().problem is None


def test_node_that_the_founders_drop_is_gone_and_the_others_see_no_attack(made: Registry) -> None:
    made.load()
    federation = made.repository.federation()
    fewer = tuple(node for node in federation.nodes if node.code != "fr")
    made.repository.propose_federation(federation.model_copy(update={"nodes": fewer}), {}, NOW)
    made.sign(*FOUNDERS[:2])
    made.publish()
    after = made.load()
    assert after.problem is None
    assert [node.code for node in after.directory.nodes] == ["ee", "de"]
    assert {p.address.node for p in after.directory.participants} == {"ee", "de"}


def test_status_names_every_role_and_warns_of_what_ends(made: Registry) -> None:
    states = {each.role: each for each in made.repository.status()}
    assert set(states) == {"root", "targets", "snapshot", "timestamp", "node-ee", "node-de", "node-fr"}
    assert (states["root"].threshold, len(states["root"].signed), states["root"].missing) == (2, 2, 0)
    assert states["timestamp"].warning(NOW) is None
    assert states["timestamp"].warning(states["timestamp"].expires - timedelta(days=9))
    made.propose()
    assert next(each for each in made.repository.status() if each.pending).warning(NOW)


def test_participant_list_is_renewed_by_its_node_without_the_founders(made: Registry) -> None:
    far = LATER + timedelta(days=20)
    made.put_list("ee", made.list_of("ee").participants, far)
    made.publish(far)
    ages = {age.role: age for age in made.load(far).ages}
    assert ages["node-ee"].version == 2
    assert ages["node-ee"].expires > ages["node-de"].expires


@pytest.mark.parametrize(("code", "wanted"), [("xx", ErrorCode.NOT_FOUND), ("ee", None)])
def test_list_is_read_back_as_it_was_signed(made: Registry, code: str, wanted: ErrorCode | None) -> None:
    if wanted is None:
        assert made.list_of(code) == world.DIRECTORY.split()[1][0]
        return
    with pytest.raises(Refusal) as caught:
        made.list_of(code)
    assert caught.value.code is wanted


# Lists that nodes sign where their keys are


def signed_list(
    made: Registry, signer: str = "ee", version: int = 2, now: datetime = NOW, **changes: Any
) -> SignedList:
    newcomer = world.participant("ee/new-court", Role.COURT)
    entries = made.list_of("ee").model_copy(update={"participants": (*made.list_of("ee").participants, newcomer)})
    return SignedList.sign(key(signer), entries.model_copy(update=changes), version, now)


def test_list_is_published_by_who_has_not_the_node_s_key(made: Registry) -> None:
    made.repository.accept_list(signed_list(made), NOW)
    made.publish()
    after = made.load()
    assert after.list_problems == {}
    assert after.directory.roles("ee/new-court") == {Role.COURT}
    assert made.repository.list_version("ee") == 2


def test_same_list_again_changes_nothing(made: Registry) -> None:
    signed = signed_list(made)
    made.repository.accept_list(signed, NOW)
    before = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    made.repository.accept_list(signed, NOW)
    assert {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()} == before


def more_than_the_list(made: Registry) -> SignedList:
    signed = signed_list(made)
    metadata: Metadata[Targets] = Metadata.from_bytes(signed.metadata)
    metadata.signed.targets["federation.json"] = metadata.signed.targets[registry.path_of("ee")]
    metadata.sign(signer_of(key("ee")))
    return replace(signed, metadata=metadata.to_bytes())


def delegated_on(made: Registry) -> SignedList:
    signed = signed_list(made)
    metadata: Metadata[Targets] = Metadata.from_bytes(signed.metadata)
    metadata.signed.delegations = Delegations({}, {})
    metadata.sign(signer_of(key("ee")))
    return replace(signed, metadata=metadata.to_bytes())


def altered_content(made: Registry) -> SignedList:
    signed = signed_list(made)
    return replace(signed, content=signed.content.replace(b"new-court", b"old-court"))


def named_by(*algorithms: str) -> Callable[[Registry], SignedList]:
    """Return how a node signs its list under these hashes, in this order; each of them is right."""

    def make_list(made: Registry) -> SignedList:
        signed, path = signed_list(made), registry.path_of("ee")
        metadata: Metadata[Targets] = Metadata.from_bytes(signed.metadata)
        hashes = {name: hashlib.new(name, signed.content).hexdigest() for name in algorithms}
        metadata.signed.targets[path] = TargetFile(len(signed.content), hashes, path)
        metadata.sign(signer_of(key("ee")))
        return replace(signed, metadata=metadata.to_bytes())

    return make_list


def of_a_node_that_is_none(made: Registry) -> SignedList:
    return SignedList.sign(key("ee"), ParticipantList(node="xx", participants=()), 1, NOW)


def same_version_other_words(made: Registry) -> SignedList:
    made.repository.accept_list(signed_list(made), NOW)
    return signed_list(made, now=NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    "make_list",
    [
        pytest.param(lambda made: signed_list(made, "de"), id="by another node"),
        pytest.param(lambda made: signed_list(made, "publisher"), id="by the publisher"),
        pytest.param(lambda made: signed_list(made, "nobody"), id="by nobody"),
        pytest.param(lambda made: signed_list(made, now=NOW - NODE_LIFETIME), id="expired"),
        pytest.param(lambda made: signed_list(made, version=1), id="as old as the published one"),
        pytest.param(lambda made: signed_list(made, version=0 + 2**53), id="version beyond all"),
        pytest.param(lambda made: signed_list(made, version=2 + 2**20), id="version far ahead"),
        pytest.param(lambda made: signed_list(made, participants=()), id="unsays"),
        pytest.param(same_version_other_words, id="same version, other words"),
        pytest.param(more_than_the_list, id="names more than its list"),
        pytest.param(delegated_on, id="passes its right on"),
        pytest.param(altered_content, id="not what the metadata names"),
        pytest.param(named_by("sha224", "sha256"), id="another hash before the one that files are named by"),
        pytest.param(named_by("sha256", "sha224"), id="another hash after it"),
        pytest.param(named_by("sha512"), id="another hash in its place"),
        pytest.param(of_a_node_that_is_none, id="of a node that is none"),
        pytest.param(lambda made: replace(signed_list(made), code="de"), id="under another node's name"),
        pytest.param(lambda made: replace(signed_list(made), metadata=b"{}"), id="no metadata"),
        pytest.param(lambda made: replace(signed_list(made), metadata=b" " * (1 << 21)), id="too large"),
    ],
)
def test_list_that_no_reader_would_take_is_not_published(
    made: Registry, make_list: Callable[[Registry], SignedList]
) -> None:
    signed = make_list(made)
    before = made.repository.list_version("ee"), made.repository.list_version("de")
    with pytest.raises(Refusal) as caught:
        made.repository.accept_list(signed, NOW)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY
    assert (made.repository.list_version("ee"), made.repository.list_version("de")) == before


@pytest.mark.parametrize("hashes", [("sha224", "sha256"), ("sha256", "sha224"), ("sha512",)], ids=" ".join)
def test_list_under_other_hashes_is_refused_by_whoever_reads_it_and_for_its_metadata(
    made: Registry, hashes: tuple[str, ...]
) -> None:
    """A file is asked for by the first hash that its metadata gives, and filed under SHA-256: nobody would find it."""
    signed = named_by(*hashes)(made)
    with pytest.raises(Refusal) as caught:
        SignedList.read("ee", signed.metadata, signed.content)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_DIRECTORY, "metadata")


def test_list_travels_in_one_file(made: Registry, tmp_path: Path) -> None:
    signed = signed_list(made)
    signed.save(tmp_path / "list.json")
    assert SignedList.load(tmp_path / "list.json") == signed
    assert made.repository.signed_list("ee").participants == made.list_of("ee")


# Renewal


def test_what_is_published_is_renewed_halfway_through_its_life_and_no_sooner(made: Registry) -> None:
    life = timedelta(hours=24)
    made.repository.publish(PUBLISHER, NOW, life)
    version = made.load(NOW).version("timestamp")
    half = NOW.replace(microsecond=0) + life / 2
    for moment, wanted in ((NOW, 0), (half - timedelta(seconds=1), 0), (half, 1), (half, 1)):
        due = made.repository.renew(PUBLISHER, moment, life)
        assert made.load(moment).version("timestamp") == version + wanted
        assert due == half + wanted * life / 2


def test_what_was_published_by_hand_for_long_is_renewed_at_once_for_a_day(made: Registry) -> None:
    """So long could news be held back."""
    made.repository.renew(PUBLISHER, NOW, timedelta(hours=24))
    ages = {age.role: age for age in made.load().ages}
    assert ages["timestamp"].expires == NOW.replace(microsecond=0) + timedelta(hours=24)


def test_snapshot_is_signed_anew_when_it_is_half_over_or_something_is_new(made: Registry) -> None:
    life = timedelta(hours=24)
    made.put_list("ee", made.list_of("ee").participants)
    made.repository.renew(PUBLISHER, NOW, life)
    version = made.load(NOW).directory.version
    for days in range(1, 8):
        made.repository.renew(PUBLISHER, NOW + timedelta(days=days), life)
    assert made.load(NOW + timedelta(days=7)).directory.version in {version + 1, version + 2}
    made.put_list("ee", made.list_of("ee").participants, NOW + timedelta(days=7))
    made.repository.renew(PUBLISHER, NOW + timedelta(days=7), life)
    assert made.load(NOW + timedelta(days=7)).version("node-ee") == 3


def test_repository_does_not_grow_for_ever(made: Registry) -> None:
    for hours in range(1, 3 * KEPT):
        now = NOW + timedelta(hours=hours)
        endpoint = f"elsewhere.example:{min(hours, 2 * KEPT)}"
        entries = made.list_of("ee").model_copy(update={"endpoint": endpoint})
        made.repository.put_list("ee", key("ee"), entries, now)
        made.repository.publish(PUBLISHER, now, timedelta(hours=24))
    for role in ("snapshot", "node-ee"):
        assert KEPT <= len([*made.metadata.glob(f"*.{role}.json")]) <= 2 * KEPT
    # The last thirty-two say the same.
    assert 1 <= len([*(made.targets / "participants").glob("*.ee.json")]) <= KEPT
    assert len([*made.metadata.glob("*.targets.json")]) == len([*made.metadata.glob("*.root.json")]) == 1
    after = made.load_as_newcomer(now)
    assert (after.problem, after.list_problems, after.version("node-ee")) == (None, {}, 3 * KEPT)


def test_half_signed_root_does_not_keep_the_rest_from_being_renewed(made: Registry) -> None:
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(RootKeys(tuple(public(NEW_FOUNDERS)), 2, publisher), NOW)
    made.sign(*FOUNDERS[:2], NEW_FOUNDERS[0], NEW_FOUNDERS[1])
    (made.folder / "repository/pending/targets.json").unlink()
    made.put_list("ee", made.list_of("ee").participants)
    made.repository.renew(PUBLISHER, NOW, timedelta(hours=24))
    assert (made.load().version("node-ee"), made.load().version("root")) == (2, 1)


@pytest.mark.parametrize("name", ["nobody", "founder-1", "ee"])
def test_only_the_publisher_renews(made: Registry, name: str) -> None:
    with pytest.raises(Refusal) as caught:
        made.repository.renew(key(name), NOW, timedelta(hours=24))
    assert caught.value.code is ErrorCode.BAD_INPUT


def test_crash_between_snapshot_and_timestamp_is_mended_by_the_next_renewal(made: Registry) -> None:
    life = timedelta(hours=24)
    made.repository.publish(PUBLISHER, NOW, life)
    before = (made.metadata / "timestamp.json").read_bytes()
    made.put_list("ee", made.list_of("ee").participants)
    made.repository.renew(PUBLISHER, NOW, life)
    (made.metadata / "timestamp.json").write_bytes(before)
    made.repository.renew(PUBLISHER, NOW, life)
    assert made.load_as_newcomer().version("node-ee") == 2


def test_two_writers_at_once_lose_nothing(made: Registry) -> None:
    """The command line and a node that publishes share the folder."""
    life = timedelta(days=30)

    def put(code: str) -> None:
        for _ in range(5):
            made.put_list(code, made.list_of(code).participants)
            made.repository.publish(PUBLISHER, NOW, life)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(put, code) for code in world.NODES]:
            done.result()
    after = made.load_as_newcomer()
    assert after.list_problems == {}
    assert {code: after.version(f"node-{code}") for code in world.NODES} == dict.fromkeys(world.NODES, 6)
    assert after.version("timestamp") == 2 + 15


@pytest.mark.parametrize(
    ("life", "before"),
    [
        pytest.param(timedelta(days=30), timedelta(days=10), id="a month: ten days before"),
        pytest.param(timedelta(hours=24), timedelta(hours=8), id="a day: eight hours before"),
        pytest.param(timedelta(seconds=12), timedelta(seconds=4), id="twelve seconds: four before"),
    ],
)
def test_operator_is_warned_when_a_third_of_a_short_life_is_left(
    made: Registry, life: timedelta, before: timedelta
) -> None:
    made.repository.publish(PUBLISHER, NOW, life)
    trusted = made.load(NOW)
    moment = trusted.expires - before
    assert not [each for each in trusted.warnings(moment) if "timestamp" in each]
    assert [each for each in trusted.warnings(moment + timedelta(seconds=1)) if "timestamp" in each]
    (state,) = [each for each in made.repository.status() if each.role == "timestamp"]
    assert state.warning(moment) is None
    assert state.warning(moment + timedelta(seconds=1))


@pytest.mark.parametrize("life", ["long", -1, 0, 1.5, None, 10**18])
def test_life_that_makes_no_sense_is_not_gone_by(life: object) -> None:
    assert life_of(Timestamp(unrecognized_fields={LIFE_FIELD: life})) is None


# For development


def test_development_keys_are_private_and_each_founder_has_his_own_folder(tmp_path: Path) -> None:
    (tmp_path / "ee").mkdir()
    (tmp_path / "de").mkdir()
    (tmp_path / "fr").mkdir()
    development.found(tmp_path, world.DIRECTORY, NOW, development.Makers(founders=5, threshold=3))
    private = [*tmp_path.rglob("*.key")]
    assert len(private) == 5 + 1 + 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert len({path.parent for path in private}) == len(private)
    root = next(each for each in Repository(tmp_path / development.REPOSITORY).status() if each.role == "root")
    assert (root.threshold, len(root.signed)) == (3, 3)
    changed = world.DIRECTORY.model_copy(update={"instruments": ()})
    development.sign_anew(tmp_path, changed, LATER)
    made = Registry(tmp_path)
    assert client.load(made.source(), LATER).directory.instruments == ()
