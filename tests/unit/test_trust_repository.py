"""What founders, nodes and the publisher may do, and what they are refused before any node would have to."""

import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.directory import FederationList, ParticipantList
from gateway.errors import ErrorCode, Refusal
from gateway.trust import client, development
from gateway.trust.repository import Repository
from tests import registry, world
from tests.registry import FOUNDERS, LATER, NEW_FOUNDERS, PUBLISHER, Registry, key, public
from tests.world import NOW


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return registry.make(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def made(template: Registry, tmp_path: Path) -> Registry:
    return Registry(shutil.copytree(template.folder, tmp_path / "fed"))


def pending(repository: Repository) -> dict[str, int]:
    """Return how many signatures are missing, by role."""
    return {each.role: each.missing for each in repository.signatures() if each.pending}


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
    repository.found(public(FOUNDERS), 2, publisher, FederationList(federation="x.test", nodes=()), {}, NOW)
    repository.sign(FOUNDERS[0])
    with pytest.raises(Refusal) as caught:
        repository.publish(PUBLISHER, NOW)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_INPUT, "founders")
    assert {each.role: each.missing for each in repository.status()} == {"root": 1, "targets": 1}


def test_new_founders_alone_cannot_take_over(made: Registry) -> None:
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(public(NEW_FOUNDERS), 2, publisher, NOW)
    made.sign(*NEW_FOUNDERS)
    assert pending(made.repository)["root"] == 2
    made.publish()
    assert next(age.version for age in made.load().ages if age.role == "root") == 1


def test_new_founders_have_to_sign_what_the_old_ones_said(made: Registry) -> None:
    """Else the new root would be published, and no node would take the old targets any more."""
    (publisher,) = public([PUBLISHER])
    made.repository.propose_root(public(NEW_FOUNDERS), 2, publisher, NOW)
    made.sign(*FOUNDERS[:2], NEW_FOUNDERS[0])
    (made.folder / "repository/pending/targets.json").unlink()
    made.sign(NEW_FOUNDERS[1])
    with pytest.raises(Refusal) as caught:
        made.publish()
    assert caught.value.field == "founders"
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


# For development


def test_development_keys_are_private_and_each_founder_has_his_own_folder(tmp_path: Path) -> None:
    (tmp_path / "ee").mkdir()
    (tmp_path / "de").mkdir()
    (tmp_path / "fr").mkdir()
    development.found(tmp_path, world.DIRECTORY, NOW, founders=5, threshold=3)
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
