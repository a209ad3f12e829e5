"""What founders are shown of a proposal: all that they sign, and nothing that is the same for two proposals."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from certs.pki import DevelopmentPki
from gateway.cli.proposal import changes_of, node_lines
from gateway.directory import FederationList, Instrument, KeyEntry, NodeEntry, Status, WitnessEntry
from gateway.errors import ErrorCode, Refusal
from tests import world
from tests.world import NOW

LATER, OTHER_KEY = NOW + timedelta(days=1), bytes([7]) * 32
WITNESS = WitnessEntry(name="w.test/w1", public=bytes(32), url="https://w.test")
SAID = world.DIRECTORY.split()[0].model_copy(update={"witnesses": (WITNESS,)})
NODE, LAW = SAID.nodes[0], SAID.instruments[0]

KEY_CHANGES: dict[str, Any] = {
    "public": OTHER_KEY,
    "not_before": LATER,
    "not_after": LATER,
    "not_trusted_after": LATER,
}
CHANGES: dict[type[BaseModel], dict[str, Any]] = {
    NodeEntry: {
        "endpoint": "elsewhere.test:7440",
        "ca": NODE.ca + "\nsomething beside it\n",
        "signing_keys": (),
        "status": Status.REVOKED,
        "revoked_certificates": frozenset({"ab" * 32}),
    },
    KeyEntry: KEY_CHANGES,
    Instrument: {
        "title": "Another",
        "between": frozenset({"ee", "fr"}),
        "kinds": frozenset({"review-decision"}),
        "in_force_from": LATER,
        "in_force_to": LATER,
        "no_dual_criminality": frozenset({"fraud"}),
    },
    WitnessEntry: {"public": OTHER_KEY, "url": "https://elsewhere.test"},
    FederationList: {"instruments": (), "cosignatures": 1, "witnesses": (), "publisher": "de", "nodes": SAID.nodes[1:]},
}
NAMES = {NodeEntry: {"code"}, Instrument: {"id"}, WitnessEntry: {"name"}, FederationList: {"federation"}}
"""By these an entry is found: another name is another entry. The federation's own is shown always."""


def changed(kind: type[BaseModel], field: str) -> FederationList:
    """Return what the federation says with one field changed."""
    entry = {KeyEntry: NODE.signing_keys[0], NodeEntry: NODE, Instrument: LAW, WitnessEntry: WITNESS}.get(kind, SAID)
    other: Any = entry.model_copy(update={field: CHANGES[kind][field]})
    if kind is FederationList:
        return other  # type: ignore[no-any-return]
    if kind is KeyEntry:
        kind, other = NodeEntry, NODE.model_copy(update={"signing_keys": (other, *NODE.signing_keys[1:])})
    where = {NodeEntry: "nodes", Instrument: "instruments", WitnessEntry: "witnesses"}[kind]
    return SAID.model_copy(update={where: (other, *getattr(SAID, where)[1:])})


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.__name__)
def test_no_field_is_left_out_of_what_is_tried_here(kind: type[BaseModel]) -> None:
    assert set(CHANGES[kind]) == set(kind.model_fields) - NAMES.get(kind, set())


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind in CHANGES for field in CHANGES[kind]])
def test_founder_sees_every_change_and_what_it_is(kind: type[BaseModel], field: str) -> None:
    """Also on the way back: that a key is trusted again, or a certificate not revoked any more, is a change."""
    other = changed(kind, field)
    assert other != SAID
    there, back = changes_of(SAID, other), changes_of(other, SAID)
    # Not only that something has changed: two proposals that say two things look different.
    assert there != changes_of(SAID, SAID) != back
    assert there != back
    assert all(there != changes_of(SAID, changed(kind, each)) for each in CHANGES[kind] if each != field)


def test_founders_who_put_out_the_node_that_publishes_for_all_are_told_so() -> None:
    publishes = SAID.model_copy(update={"publisher": NODE.code})
    out = NODE.model_copy(update={"status": Status.REVOKED})
    gone, stays = (each.model_copy(update={"nodes": (out, *SAID.nodes[1:])}) for each in (publishes, SAID))
    told = f"node {NODE.code} publishes for all, and is out: without another, there is no more news"
    assert told in changes_of(publishes, gone)
    assert told in changes_of(gone, gone)
    assert told not in [*changes_of(SAID, stays), *changes_of(publishes, publishes)]


@pytest.mark.parametrize("more", ["# another reader may find more\n", "-----BEGIN TRUSTED CERTIFICATE-----\n"])
def test_text_beside_the_certificates_of_a_node_is_not_hidden(more: str) -> None:
    made = DevelopmentPki("x.test", NOW).root.pem.decode()
    plain, odd = (NODE.model_copy(update={"ca": ca}) for ca in (made, made + more))
    assert len(node_lines(odd)) == len(node_lines(plain)) + 1


def test_two_entries_of_one_name_are_no_list_of_a_federation() -> None:
    """A founder would be shown one of them, and readers could go by the other."""
    key = NODE.signing_keys[0]
    twins: list[dict[str, Any]] = [
        {"nodes": (*SAID.nodes, NODE.model_copy(update={"endpoint": "elsewhere.test:1"}))},
        {"instruments": (*SAID.instruments, LAW.model_copy(update={"title": "Another"}))},
        {"nodes": (NODE.model_copy(update={"signing_keys": (key, key)}), *SAID.nodes[1:])},
    ]
    for twin in twins:
        with pytest.raises(Refusal) as caught:
            FederationList.parse(SAID.model_copy(update=twin).to_json(), "federation.json")
        assert caught.value.code is ErrorCode.BAD_DIRECTORY
