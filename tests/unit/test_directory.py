import json
from datetime import timedelta
from typing import Any

import pytest

from gateway.directory import FOREVER, Directory, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.signature import key_id
from tests import world
from tests.world import DIRECTORY, INVESTIGATOR, NOW, TREATY

MOMENT = timedelta(microseconds=1)
HEX = "ab" * 32


def as_json() -> dict[str, Any]:
    return json.loads(world.make_directory().model_dump_json())  # type: ignore[no-any-return]


def load(content: object) -> Directory:
    return Directory.parse(content if isinstance(content, bytes) else json.dumps(content).encode(), "directory.json")


def refused(content: object) -> str:
    with pytest.raises(Refusal) as caught:
        load(content)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY
    return caught.value.field


def test_directory_written_out_is_read_as_it_was() -> None:
    assert load(as_json()) == DIRECTORY


def _set(*path: str | int, value: object) -> Any:
    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        content[path[-1]] = value

    return change


def _append(*path: str | int, copy: int) -> Any:
    def change(content: Any) -> None:
        for part in path:
            content = content[part]
        content.append(content[copy])

    return change


def _same_key_other_validity(content: Any) -> None:
    keys = content["participants"][0]["signing_keys"]
    keys[0]["not_trusted_after"] = NOW.isoformat()
    keys.append({**keys[0], "not_trusted_after": None})


KEY = ("participants", 0, "signing_keys", 0, "public")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param(_append("nodes", copy=0), "", id="node twice"),
        pytest.param(_append("participants", copy=0), "", id="participant twice"),
        pytest.param(_append("instruments", copy=0), "", id="instrument twice"),
        pytest.param(_same_key_other_validity, "", id="revoked key once more, not revoked"),
        pytest.param(_set("participants", 0, "address", value="xx/court"), "", id="participant of an unknown node"),
        pytest.param(
            _set("participants", 0, "address", value="EE/court"), "participants.0.address", id="address in capitals"
        ),
        pytest.param(
            _set("participants", 0, "address", value="ee/node"), "participants.0.address", id="participant named node"
        ),
        pytest.param(_set("participants", 0, "address", value=7), "participants.0.address", id="number for an address"),
        pytest.param(
            _set("participants", 0, "roles", value=["judge"]), "participants.0.roles.0", id="role that nobody knows"
        ),
        pytest.param(_set(*KEY, value=HEX[2:]), ".".join(map(str, KEY)), id="key too short"),
        pytest.param(_set(*KEY, value=HEX + "00"), ".".join(map(str, KEY)), id="key too long"),
        pytest.param(_set(*KEY, value="x" * 64), ".".join(map(str, KEY)), id="key not in hex"),
        pytest.param(
            _set("participants", 0, "signing_keys", 0, "not_before", value="2026-01-01T00:00:00"),
            "participants.0.signing_keys.0.not_before",
            id="time without a zone",
        ),
        pytest.param(_set("participants", 0, "rolse", value=[]), "participants.0.rolse", id="unknown field"),
        pytest.param(_set("extra", value=1), "extra", id="unknown field on top"),
        pytest.param(_set("nodes", 0, "code", value="EE"), "nodes.0.code", id="node in capitals"),
        pytest.param(_set("version", value=0), "version", id="no version"),
        pytest.param(_set("federation", value="spiffe://x"), "federation", id="federation is no domain"),
        pytest.param(_set("nodes", 0, "status", value="gone"), "nodes.0.status", id="status that is none"),
    ],
)
def test_wrong_directory_is_refused_with_its_field(change: Any, field: str) -> None:
    content = as_json()
    change(content)
    assert refused(content) == field


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
def test_file_that_is_no_directory_is_refused(content: bytes) -> None:
    assert refused(content) == ""


def test_lookups_find_whom_the_directory_lists_and_nobody_else() -> None:
    assert DIRECTORY.node("ee").code == "ee"
    with pytest.raises(Refusal) as caught:
        DIRECTORY.node("xx")
    assert caught.value.code is ErrorCode.UNKNOWN_PEER
    assert DIRECTORY.participant(Address.parse("ee/nobody")) is None
    assert DIRECTORY.roles(INVESTIGATOR) == {Role.INVESTIGATOR}
    assert DIRECTORY.roles("ee/nobody") == frozenset()
    assert DIRECTORY.roles("ee/node") == frozenset()


def test_revoked_participant_has_no_role() -> None:
    revoked = world.participant(INVESTIGATOR, Role.INVESTIGATOR, status=Status.REVOKED)
    assert world.make_directory([revoked]).roles(INVESTIGATOR) == frozenset()


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        pytest.param({}, True, id="for ever"),
        pytest.param({"not_before": NOW}, True, id="from now"),
        pytest.param({"not_before": NOW + MOMENT}, False, id="not yet"),
        pytest.param({"not_after": NOW + MOMENT}, True, id="still"),
        pytest.param({"not_after": NOW}, False, id="no more"),
        pytest.param({"not_trusted_after": NOW + MOMENT}, True, id="to be revoked"),
        pytest.param({"not_trusted_after": NOW}, False, id="revoked now"),
        pytest.param({"not_trusted_after": FOREVER, "not_after": NOW}, False, id="expired before it is revoked"),
    ],
)
def test_key_is_found_only_while_it_is_valid(changes: dict[str, Any], valid: bool) -> None:
    entry = world.signing_entry(INVESTIGATOR, **changes)
    known = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
    directory = world.make_directory([known.model_copy(update={"signing_keys": (entry,), "sealing_keys": (entry,)})])
    name = key_id(entry.public)
    if valid:
        assert directory.signing_key(INVESTIGATOR, name, NOW) == entry.public
        assert directory.sealing_keys(INVESTIGATOR, NOW) == (entry.public,)
        return
    with pytest.raises(Refusal) as caught:
        directory.signing_key(INVESTIGATOR, name, NOW)
    assert caught.value.code is ErrorCode.KEY_REVOKED
    with pytest.raises(Refusal) as caught:
        directory.sealing_keys(INVESTIGATOR, NOW)
    assert caught.value.code is ErrorCode.NO_ROUTE


def test_key_of_another_or_of_nobody_is_not_found() -> None:
    mine = key_id(bytes(world.signing_key(INVESTIGATOR).verify_key))
    for signer, name in ((world.COURT, mine), ("ee/nobody", mine), (INVESTIGATOR, bytes(16)), ("ee/node", mine)):
        with pytest.raises(Refusal) as caught:
            DIRECTORY.signing_key(signer, name, NOW)
        assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_sealing_key_does_not_serve_to_verify() -> None:
    sealing = key_id(bytes(world.sealing_key(INVESTIGATOR).public_key))
    with pytest.raises(Refusal) as caught:
        DIRECTORY.signing_key(INVESTIGATOR, sealing, NOW)
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_nobody_can_seal_to_who_is_not_there() -> None:
    with pytest.raises(Refusal) as caught:
        DIRECTORY.sealing_keys("ee/nobody", NOW)
    assert caught.value.code is ErrorCode.NO_ROUTE


@pytest.mark.parametrize(
    ("name", "states", "kind", "after", "binds"),
    [
        pytest.param(TREATY, {"ee", "de"}, "freeze-request", timedelta(), True, id="in force"),
        pytest.param(TREATY, {"ee", "fr"}, "freeze-request", timedelta(), False, id="between other States"),
        pytest.param(TREATY, {"ee", "de"}, "evidence-request", timedelta(), False, id="for another kind"),
        pytest.param("", {"ee", "de"}, "freeze-request", timedelta(), False, id="none named"),
        pytest.param("nothing", {"ee", "de"}, "freeze-request", timedelta(), False, id="unknown"),
        pytest.param("ended", {"ee", "de"}, "freeze-request", timedelta(days=-1), False, id="ended this moment"),
        pytest.param("ended", {"ee", "de"}, "freeze-request", timedelta(days=-1) - MOMENT, True, id="its last moment"),
        pytest.param("not-yet", {"ee", "de"}, "freeze-request", timedelta(days=1), True, id="its first moment"),
        pytest.param("not-yet", {"ee", "de"}, "freeze-request", timedelta(days=1) - MOMENT, False, id="not yet"),
    ],
)
def test_instrument_binds_these_states_for_this_kind_while_it_is_in_force(
    name: str, states: set[str], kind: str, after: timedelta, binds: bool
) -> None:
    assert DIRECTORY.in_force(name, frozenset(states), kind, NOW + after) is binds
