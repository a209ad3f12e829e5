import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gateway.directory import FOREVER, MAX_PARTICIPANTS, Directory, KeyEntry, ParticipantEntry, ParticipantList, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address, Role
from gateway.signature import key_id
from gateway.trust.roles import MAX_LIST_BYTES
from tests import world
from tests.world import DIRECTORY, INVESTIGATOR, NOW, TREATY

MOMENT, DAY = timedelta(microseconds=1), timedelta(days=1)
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


# History


def test_what_was_signed_with_a_key_while_it_was_valid_stays_verifiable_for_ever() -> None:
    """The key was retired years ago; the directory lists it still, and with it every old signature verifies."""
    retired = world.signing_entry(INVESTIGATOR, not_before=NOW - 3650 * DAY, not_after=NOW - 1825 * DAY)
    newer = KeyEntry(public=bytes(world.signing_key("its next key").verify_key), not_before=NOW - 1825 * DAY)
    directory = with_keys(retired, newer)
    old = key_id(retired.public)
    for then in (NOW - 3650 * DAY, NOW - 2000 * DAY, NOW - 1825 * DAY - MOMENT):
        assert directory.signing_key(INVESTIGATOR, old, then) == retired.public
    for other in (NOW, NOW - 1825 * DAY, NOW - 3650 * DAY - MOMENT):
        assert code_of(partial(directory.signing_key, INVESTIGATOR, old, other)) is ErrorCode.KEY_REVOKED
    directory.check_not_revoked(INVESTIGATOR, old, NOW)  # retired is not revoked


def test_nothing_counts_that_a_compromised_key_is_said_to_have_signed_from_that_instant_on() -> None:
    """Also what was accepted before the theft was known: a thief can put any date behind it."""
    stolen = NOW - 30 * DAY
    directory = with_keys(world.signing_entry(INVESTIGATOR, not_trusted_after=stolen))
    name = key_id(world.signing_entry(INVESTIGATOR).public)
    assert directory.signing_key(INVESTIGATOR, name, stolen - MOMENT)
    for then in (stolen, stolen + DAY, NOW):
        assert code_of(partial(directory.signing_key, INVESTIGATOR, name, then)) is ErrorCode.KEY_REVOKED
    assert code_of(lambda: directory.check_not_revoked(INVESTIGATOR, name, NOW)) is ErrorCode.KEY_REVOKED
    directory.check_not_revoked(INVESTIGATOR, name, stolen - MOMENT)


def with_keys(*entries: KeyEntry) -> Directory:
    known = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
    return world.make_directory([known.model_copy(update={"signing_keys": entries})])


def code_of(ask: Callable[[], object]) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        ask()
    return caught.value.code


@pytest.mark.parametrize(
    ("held", "after", "wanted"),
    [
        pytest.param(["old", "new"], timedelta(), "new", id="the newest that is valid"),
        pytest.param(["new", "old"], timedelta(), "new", id="in whatever order they are held"),
        pytest.param(["old"], timedelta(), "old", id="the one that is held"),
        pytest.param(["old", "new"], -100 * DAY, "old", id="before the new one begins"),
        pytest.param(["old", "coming"], timedelta(), "old", id="not the one that is to come"),
        pytest.param(["old", "coming"], 100 * DAY, "coming", id="once that has begun"),
        pytest.param(["stolen", "old"], timedelta(), "old", id="not the stolen one"),
        pytest.param(["stolen"], timedelta(), None, id="none but the stolen one"),
        pytest.param(["unlisted"], timedelta(), None, id="none that is listed"),
        pytest.param([], timedelta(), None, id="none at all"),
    ],
)
def test_signer_signs_with_the_newest_of_its_keys_that_is_valid(
    held: list[str], after: timedelta, wanted: str | None
) -> None:
    def entry(name: str, **changes: Any) -> KeyEntry:
        return KeyEntry(public=bytes(world.signing_key(name).verify_key), **changes)

    directory = with_keys(
        entry("old", not_before=NOW - 200 * DAY),
        entry("new", not_before=NOW - 10 * DAY),
        entry("coming", not_before=NOW + 10 * DAY),
        entry("stolen", not_before=NOW - DAY, not_trusted_after=NOW - DAY / 2),
    )
    public = {
        name: bytes(world.signing_key(name).verify_key) for name in ("old", "new", "coming", "stolen", "unlisted")
    }
    found = directory.newest_key(INVESTIGATOR, [public[name] for name in held], NOW + after)
    assert found == (None if wanted is None else public[wanted])


# What a node says of itself


OWN = KeyEntry(public=bytes(world.signing_key("ee/node, its next").verify_key), not_before=NOW)


def own_list(**changes: Any) -> ParticipantList:
    return ParticipantList(node="ee", participants=(), **changes)


def test_node_adds_signing_keys_of_its_own_to_that_of_the_founders() -> None:
    node = world.node_entry("ee")
    assert own_list(signing_keys=(OWN,)).applied_to(node).signing_keys == (*node.signing_keys, OWN)
    assert own_list().applied_to(node) == node


@pytest.mark.parametrize(
    ("founders", "own", "valid"),
    [
        pytest.param({}, {"not_after": NOW}, False, id="ended by the node"),
        pytest.param({"not_after": NOW}, {}, False, id="ended by the founders"),
        pytest.param({"not_trusted_after": NOW}, {}, False, id="put out by the founders"),
        pytest.param({}, {"not_trusted_after": NOW}, False, id="put out by the node"),
        pytest.param({"not_trusted_after": NOW}, {"not_trusted_after": FOREVER}, False, id="put out by the earlier"),
        pytest.param({"not_before": NOW + MOMENT}, {}, False, id="begun before the founders let it"),
        pytest.param({}, {"not_before": NOW + MOMENT}, False, id="begun later by the node"),
        pytest.param({"not_after": NOW + MOMENT}, {"not_after": NOW + 2 * MOMENT}, True, id="within both"),
    ],
)
def test_key_that_founders_and_node_name_is_valid_when_both_say_so(
    founders: dict[str, Any], own: dict[str, Any], valid: bool
) -> None:
    node = world.node_entry("ee").model_copy(update={"signing_keys": (world.signing_entry("ee/node", **founders),)})
    (key,) = own_list(signing_keys=(world.signing_entry("ee/node", **own),)).applied_to(node).signing_keys
    assert key.valid_at(NOW) is valid


def test_node_may_move_and_put_its_own_certificates_out() -> None:
    node = world.node_entry("ee").model_copy(update={"revoked_certificates": frozenset({"a" * 64})})
    moved = own_list(endpoint="elsewhere.example:7440", revoked_certificates=frozenset({"b" * 64})).applied_to(node)
    assert moved.endpoint == "elsewhere.example:7440"
    assert moved.revoked_certificates == {"a" * 64, "b" * 64}
    assert own_list().applied_to(node).endpoint == node.endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        *("node.ee.example:7440", "NODE.ee.example:1", "192.0.2.1:65535", "10.1.2.3:7440", "[2001:db8::1]:7440"),
        *("127.0.0.1:7440", "localhost:7440", "[::1]:7440", ""),
    ],
)
def test_node_says_where_it_is_reached(endpoint: str) -> None:
    listed = own_list(endpoint=endpoint)
    assert ParticipantList.parse(listed.to_json(), "list").endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        *(
            "unix:/run/postgresql/.s.PGSQL.5432",
            "unix:7440",
            "unix-abstract:7440",
            "dns:7440",
            "ipv4:7440",
            "vsock:1:2",
        ),
        *("dns://192.0.2.1/node.ee.example:7440", "ipv4:192.0.2.1:1,192.0.2.2:1", "https://node.ee.example:7440"),
        *("node.ee.example", "node.ee.example:", ":7440", "node.ee.example:0", "node.ee.example:65536"),
        *("node.ee.example:\uff17440", "node.ee.example:7440 ", " node.ee.example:7440", "node.ee.example:7440\n"),
        *("node ee.example:7440", "node.ee.example/x:7440", "user@node.ee.example:7440", "node..example:7440"),
        *("2001:db8::1:7440", "[192.0.2.1]:7440", "[node.ee.example]:7440", "[2001:db8::1%eth0]:7440", "[]:7440"),
        *("127.1:7440", "0x7f.1:7440", "0.0.0.0:7440", "[::]:7440", "224.0.0.1:7440", "255.255.255.255:7440"),
        *(
            "169.254.169.254:80",
            "[fe80::1]:7440",
            "[::ffff:127.0.0.1]:7440",
            f"{'a.' * 127}example:7440",
            "x" * 400_000,
        ),
    ],
)
def test_list_whose_node_is_reached_nowhere_is_refused(endpoint: str) -> None:
    """What gRPC would take for a file of the reader's machine, or for somebody else's name server, among it."""
    content = own_list().to_json().replace(b'"endpoint": ""', b'"endpoint": ' + json.dumps(endpoint).encode())
    with pytest.raises(Refusal) as caught:
        ParticipantList.parse(content, "list")
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_DIRECTORY, "endpoint")


@pytest.mark.parametrize("own", ["127.0.0.1:5432", "localhost:5432", "LOCALHOST:5432", "[::1]:5432"])
def test_node_sends_others_to_their_own_machine_only_if_founders_did(own: str) -> None:
    at = {each: world.node_entry("ee").model_copy(update={"endpoint": each}) for each in ("node.ee:1", "127.0.0.1:1")}
    listed = own_list(endpoint=own)
    assert [listed.applied_to(node).endpoint for node in at.values()] == ["node.ee:1", own]


def test_node_s_word_of_itself_changes_no_other_node() -> None:
    federation, lists = DIRECTORY.split()
    mine = lists[0].model_copy(update={"endpoint": "elsewhere.example:7440", "signing_keys": (OWN,)})
    merged = Directory.merge(federation, (mine, *lists[1:]), 2)
    assert merged.node("ee").endpoint == "elsewhere.example:7440"
    assert merged.node("de") == DIRECTORY.node("de")
    assert merged.signing_key("ee/node", key_id(OWN.public), NOW) == OWN.public


def test_node_that_is_not_among_the_nodes_adds_none() -> None:
    federation, lists = DIRECTORY.split()
    alone = federation.model_copy(update={"nodes": federation.nodes[:1]})
    merged = Directory.merge(alone, (lists[0], ParticipantList(node="xx", participants=(), signing_keys=(OWN,))), 1)
    assert [node.code for node in merged.nodes] == ["ee"]


# What a list may not unsay


def _without(entry: ParticipantEntry) -> ParticipantEntry | None:
    return None


def _keys(field: str, **changes: Any) -> Any:
    def change(entry: ParticipantEntry) -> ParticipantEntry:
        keys = tuple(key.model_copy(update=changes) for key in getattr(entry, field))
        return entry.model_copy(update={field: keys})

    return change


def _no_keys(field: str) -> Any:
    return lambda entry: entry.model_copy(update={field: ()})


@pytest.mark.parametrize("field", ["signing_keys", "sealing_keys"])
@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        pytest.param({}, {}, True, id="the same"),
        pytest.param({}, {"not_after": NOW}, True, id="a key ends"),
        pytest.param({}, {"not_trusted_after": NOW}, True, id="a key is put out"),
        pytest.param({"not_trusted_after": NOW}, {"not_trusted_after": NOW - DAY}, True, id="earlier than was thought"),
        pytest.param({"not_trusted_after": NOW}, {"not_trusted_after": NOW + DAY}, False, id="a bit longer"),
        pytest.param({"not_trusted_after": NOW}, {"not_trusted_after": None}, False, id="trusted again"),
        pytest.param({"not_after": NOW}, {"not_after": NOW - DAY}, True, id="a key ends earlier"),
        pytest.param({"not_after": NOW}, {"not_after": NOW + MOMENT}, False, id="a key lasts longer"),
        pytest.param({"not_after": NOW}, {}, False, id="a key lasts for ever again"),
        pytest.param({}, {"not_before": NOW}, False, id="begins later"),
        pytest.param({}, {"not_before": NOW - 3650 * DAY}, False, id="begins earlier"),
    ],
)
def test_list_continues_the_one_before(field: str, before: dict[str, Any], after: dict[str, Any], right: bool) -> None:
    known = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
    old, new = _keys(field, **before)(known), _keys(field, **after)(known)
    lists = [ParticipantList(node="ee", participants=(each,)) for each in (old, new)]
    check_continues(lists, right)


@pytest.mark.parametrize(
    "change",
    [_without, _no_keys("signing_keys"), _no_keys("sealing_keys")],
    ids=["participant", "signing key", "sealing key"],
)
def test_participant_or_key_that_was_listed_stays_listed(change: Any) -> None:
    known = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
    left = change(known)
    lists = [ParticipantList(node="ee", participants=tuple(filter(None, each))) for each in ((known,), (left,))]
    check_continues(lists, right=False)


def test_own_key_of_a_node_that_was_listed_stays_listed() -> None:
    check_continues([own_list(signing_keys=(OWN,)), own_list()], right=False)
    check_continues([own_list(), own_list(signing_keys=(OWN,))], right=True)


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        pytest.param({HEX}, {HEX}, True, id="the same"),
        pytest.param(set(), {HEX}, True, id="put out"),
        pytest.param({HEX}, set(), False, id="let in again"),
        pytest.param({HEX}, {HEX[::-1]}, False, id="another in its place"),
    ],
)
@pytest.mark.parametrize("whose", ["participant", "node"])
def test_certificate_that_was_out_stays_out(whose: str, before: set[str], after: set[str], right: bool) -> None:
    def listing(fingerprints: set[str]) -> ParticipantList:
        out = frozenset(fingerprints)
        if whose == "node":
            return own_list(revoked_certificates=out)
        known = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
        entry = known.model_copy(update={"revoked_certificates": out})
        return ParticipantList(node="ee", participants=(entry,))

    check_continues([listing(before), listing(after)], right)


STILL = {"not_trusted_after": None}
OUT = {"not_trusted_after": NOW}


@pytest.mark.parametrize(
    ("signing", "sealing", "certificates", "right"),
    [
        pytest.param(OUT, OUT, NOW, True, id="with nothing of before"),
        pytest.param(STILL, OUT, NOW, False, id="with its signing key"),
        pytest.param(OUT, STILL, NOW, False, id="with its sealing key"),
        pytest.param(OUT, OUT, None, False, id="with its certificates"),
    ],
)
def test_participant_that_was_out_is_in_again_with_nothing_of_before(
    signing: dict[str, Any], sealing: dict[str, Any], certificates: datetime | None, right: bool
) -> None:
    out = world.participant(INVESTIGATOR, Role.INVESTIGATOR, status=Status.REVOKED)
    again = _keys("sealing_keys", **sealing)(_keys("signing_keys", **signing)(out))
    fresh = KeyEntry(public=bytes(world.signing_key("fresh").verify_key), not_before=NOW)
    update = {
        "status": Status.ACTIVE,
        "signing_keys": (*again.signing_keys, fresh),
        "certificates_not_before": certificates,
    }
    lists = [ParticipantList(node="ee", participants=(each,)) for each in (out, again.model_copy(update=update))]
    check_continues(lists, right)


def test_operator_that_was_out_does_not_come_in_again_by_the_list_of_yesterday() -> None:
    """It has no keys by which anybody could tell that it is yesterday's."""
    for before in (None, NOW - DAY):
        entry = ParticipantEntry(
            address=Address("ee", "operator"), roles=frozenset({Role.OPERATOR}), certificates_not_before=before
        )
        yesterday = ParticipantList(node="ee", participants=(entry,))
        out = entry.model_copy(update={"status": Status.REVOKED})
        today = ParticipantList(node="ee", participants=(out,))
        check_continues([yesterday, today], right=True)
        check_continues([today, yesterday], right=False)
        anew = entry.model_copy(update={"certificates_not_before": NOW})
        check_continues([today, ParticipantList(node="ee", participants=(anew,))], right=True)


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        pytest.param(None, NOW, True, id="taken in again"),
        pytest.param(NOW, NOW, True, id="the same"),
        pytest.param(NOW, NOW + DAY, True, id="and once more"),
        pytest.param(NOW, NOW - MOMENT, False, id="earlier"),
        pytest.param(NOW, None, False, id="forgotten"),
    ],
)
def test_certificates_of_before_a_participant_was_taken_in_again_stay_out(
    before: datetime | None, after: datetime | None, right: bool
) -> None:
    known = world.participant(INVESTIGATOR, Role.INVESTIGATOR)
    entries = [known.model_copy(update={"certificates_not_before": each}) for each in (before, after)]
    check_continues([ParticipantList(node="ee", participants=(each,)) for each in entries], right)


def check_continues(lists: list[ParticipantList], right: bool) -> None:
    before, after = lists
    if right:
        after.check_continues(before)
        return
    assert code_of(lambda: after.check_continues(before)) is ErrorCode.BAD_DIRECTORY


def test_list_of_more_participants_than_anybody_has_is_refused_and_no_list_of_ours_can_be_so_long() -> None:
    """Written as shortly as can be, they would take a hundred MiB of every node that reads them."""
    short = ",".join(f'{{"address":"de/a{number:x}","roles":["fiu"]}}' for number in range(MAX_PARTICIPANTS + 1))
    content = f'{{"node":"de","participants":[{short}]}}'.encode()
    assert len(content) < MAX_LIST_BYTES
    assert code_of(lambda: ParticipantList.parse(content, "list")) is ErrorCode.BAD_DIRECTORY
    fewer = content.replace(b'{"address":"de/a0","roles":["fiu"]},', b"")
    assert len(ParticipantList.parse(fewer, "list").to_json()) > MAX_LIST_BYTES
