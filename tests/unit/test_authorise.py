from itertools import product

import pytest
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids

from gateway.authorise import Permit, authorise
from gateway.config import Limits
from gateway.directory import Directory, Status
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Role
from gateway.receive import Claimed, receive
from gateway.row_checks import permitted
from gateway.rules import Rule, Where
from gateway.steps import RULES
from tests import world
from tests.world import DIRECTORY, EXCHANGE, FOREIGN_CENTRAL, FOREIGN_EXCHANGE, INVESTIGATOR, ROLES

KINDS = tuple(kind for kind in ids.Kind.values() if kind)
TEMPLATE = world.send(ids.KIND_DRAFT, INVESTIGATOR, "ee/central-authority")


def claim(kind: ids.Kind.ValueType, sender: str, *recipients: str) -> Claimed:
    """Return a well-formed claim; nobody signed it, for authorise comes before verify."""
    header = pb.Header()
    header.CopyFrom(TEMPLATE.header)
    header.kind, header.sender = kind, sender
    del header.recipients[:]
    header.recipients.extend(recipients)
    forged = pb.SignedEnvelope()
    forged.CopyFrom(TEMPLATE.envelope)
    forged.header = header.SerializeToString()
    return receive(forged, Limits())


def bring(by: str, claimed: Claimed, here: str = "ee", directory: Directory = DIRECTORY) -> Permit:
    return authorise(world.peer(by, directory), claimed, directory, here)


def refused(by: str, claimed: Claimed, here: str = "ee", directory: Directory = DIRECTORY) -> str:
    with pytest.raises(Refusal) as caught:
        bring(by, claimed, here, directory)
    assert caught.value.code is ErrorCode.NOT_PERMITTED
    return caught.value.field


@pytest.mark.parametrize("where", Where)
@pytest.mark.parametrize("kind", KINDS, ids=ids.Kind.Name)
def test_exactly_the_rules_are_permitted(kind: ids.Kind.ValueType, where: Where) -> None:
    for sender, recipient in product(ROLES, ROLES):
        node = "ee" if where is Where.HOME else "de"
        claimed = claim(kind, f"ee/{sender.value}", f"{node}/{recipient.value}-2")
        rule = Rule(kind, sender, recipient, where)
        if rule in RULES:
            assert bring(f"ee/{sender.value}", claimed).rules == (rule,)
            if where is Where.ABROAD:
                # The other node decides by the same table.
                assert bring("ee/node", claimed, here="de").rules == (rule,)
        else:
            assert refused(f"ee/{sender.value}", claimed) == "kind"


def test_permit_is_for_the_very_claim_and_peer_that_came() -> None:
    claimed = claim(ids.KIND_DRAFT, INVESTIGATOR, "ee/central-authority")
    given = bring(INVESTIGATOR, claimed)
    assert given.claimed is claimed
    assert str(given.peer.address) == INVESTIGATOR


FREEZE = claim(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, FOREIGN_CENTRAL)


@pytest.mark.parametrize(
    ("by", "claimed", "here", "field"),
    [
        pytest.param("ee/investigator-2", FREEZE, "ee", "sender", id="a colleague in the sender's name"),
        pytest.param("ee/operator", FREEZE, "ee", "sender", id="the operator in the sender's name"),
        pytest.param("de/investigator", FREEZE, "ee", "sender", id="a foreigner in the sender's name"),
        pytest.param(INVESTIGATOR, FREEZE, "de", "sender", id="the sender at a foreign node"),
        pytest.param(FOREIGN_CENTRAL, FREEZE, "de", "sender", id="the recipient brings it back"),
        pytest.param("ee/node", FREEZE, "ee", "sender", id="a node to itself"),
        pytest.param("fr/node", FREEZE, "de", "sender", id="a third country's node"),
        pytest.param("de/node", FREEZE, "ee", "sender", id="the recipient's node to the sender's"),
        pytest.param("de/node", FREEZE, "de", "sender", id="the recipient's node to itself"),
        pytest.param("ee/node", FREEZE, "fr", "recipients[0]", id="to a node that is not the recipient's"),
        pytest.param(
            "ee/node",
            claim(ids.KIND_DOMESTIC_ORDER, "ee/court", EXCHANGE),
            "de",
            "recipients[0]",
            id="what is domestic elsewhere",
        ),
        pytest.param(
            "ee/node",
            claim(ids.KIND_DOMESTIC_ORDER, "ee/court", FOREIGN_EXCHANGE),
            "de",
            "kind",
            id="a foreign court's order to an exchange",
        ),
        pytest.param(
            "ee/node",
            claim(ids.KIND_DOMESTIC_ORDER, "de/court", FOREIGN_EXCHANGE),
            "de",
            "sender",
            id="a foreign node in the name of a court of ours",
        ),
        pytest.param(
            INVESTIGATOR,
            claim(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, FOREIGN_CENTRAL, "fr/central-authority"),
            "ee",
            "recipients",
            id="two recipients, so that each learns of the other",
        ),
    ],
)
def test_attack_on_who_may_bring_what_is_not_permitted(by: str, claimed: Claimed, here: str, field: str) -> None:
    assert refused(by, claimed, here) == field


BY_COURTS = frozenset({
    ids.KIND_CLARIFICATION, ids.KIND_CLOSURE, ids.KIND_DOMESTIC_ORDER, ids.KIND_EXTENSION, ids.KIND_LIMITATION,
    ids.KIND_OBJECTION_DECISION, ids.KIND_RELEASE, ids.KIND_TAKEDOWN_NOTICE, ids.KIND_TRANSFER_ORDER,
})  # fmt: skip
AT_ONCE = frozenset({
    ids.KIND_CLARIFICATION, ids.KIND_CONFIRMATION, ids.KIND_EXTENSION, ids.KIND_OBJECTION_DECISION,
    ids.KIND_PRODUCTION_NOTICE, ids.KIND_PROVISIONAL_ORDER, ids.KIND_RELEASE,
})  # fmt: skip
TO_EXCHANGES = {
    Role.COURT: BY_COURTS,
    Role.FIU: AT_ONCE,
    Role.CONTACT_POINT: AT_ONCE,
    Role.REGISTRAR: frozenset({ids.KIND_TEST_ORDER}),
    Role.OMBUDSPERSON: frozenset({ids.KIND_GRIEVANCE_ANSWER}),
}
ANSWERS = frozenset({
    ids.KIND_ACKNOWLEDGEMENT, ids.KIND_CLARIFICATION_REQUEST, ids.KIND_EXECUTION_REPORT, ids.KIND_OBJECTION,
})  # fmt: skip
BY_EXCHANGES = {
    Role.COURT: ANSWERS | {ids.KIND_CUSTODY_EVENT, ids.KIND_DISCLOSURE},
    Role.FIU: ANSWERS,
    Role.CONTACT_POINT: ANSWERS,
    Role.REGISTRAR: frozenset({ids.KIND_TEST_REPORT}),
    Role.OMBUDSPERSON: frozenset({ids.KIND_GRIEVANCE}),
}


def role_of(address: str) -> Role:
    return Role(address[3:].removesuffix("-2"))


@pytest.mark.parametrize("here", world.NODES)
@pytest.mark.parametrize("kind", KINDS, ids=ids.Kind.Name)
def test_nothing_reaches_an_exchange_but_from_those_who_may_order_it_at_home(
    kind: ids.Kind.ValueType, here: str
) -> None:
    for sender in world.everybody():
        claimed = claim(kind, sender, FOREIGN_EXCHANGE)
        by = sender if sender.startswith(here) else f"{sender[:2]}/node"
        if sender.startswith("de/") and here == "de" and kind in TO_EXCHANGES.get(role_of(sender), ()):
            assert [rule.sender for rule in bring(by, claimed, here).rules] == [role_of(sender)]
        else:
            refused(by, claimed, here)


@pytest.mark.parametrize("kind", KINDS, ids=ids.Kind.Name)
def test_exchange_sends_nothing_but_answers_to_authorities_of_its_own_country(
    kind: ids.Kind.ValueType,
) -> None:
    for recipient in world.everybody():
        claimed = claim(kind, EXCHANGE, recipient)
        if recipient.startswith("ee/") and kind in BY_EXCHANGES.get(role_of(recipient), ()):
            assert [rule.sender for rule in bring(EXCHANGE, claimed).rules] == [Role.EXCHANGE]
        else:
            refused(EXCHANGE, claimed)


@pytest.mark.parametrize("kind", KINDS, ids=ids.Kind.Name)
def test_registrar_sends_nothing_but_tests_to_exchanges_of_its_own_country(kind: ids.Kind.ValueType) -> None:
    for recipient in world.everybody():
        claimed = claim(kind, "ee/registrar", recipient)
        if kind == ids.KIND_TEST_ORDER and recipient in ("ee/exchange", "ee/exchange-2"):
            assert [rule.recipient for rule in bring("ee/registrar", claimed).rules] == [Role.EXCHANGE]
        else:
            refused("ee/registrar", claimed)


@pytest.mark.parametrize("revoked", [INVESTIGATOR, FOREIGN_CENTRAL])
def test_revoked_participant_neither_sends_nor_receives(revoked: str) -> None:
    known = world.everybody()
    known[revoked] = known[revoked].model_copy(update={"status": Status.REVOKED})
    directory = world.make_directory(known.values())
    assert refused(INVESTIGATOR, FREEZE, "ee", directory) == "kind"
    assert refused("ee/node", FREEZE, "de", directory) == "kind"


def test_stranger_neither_sends_nor_receives() -> None:
    assert refused("ee/node", claim(ids.KIND_FREEZE_REQUEST, "ee/nobody", FOREIGN_CENTRAL), "de") == "kind"
    assert refused(INVESTIGATOR, claim(ids.KIND_FREEZE_REQUEST, INVESTIGATOR, "de/nobody")) == "kind"


def test_one_of_several_roles_is_enough() -> None:
    both = world.participant("ee/both", Role.FIU, Role.INVESTIGATOR)
    directory = world.make_directory([*world.everybody().values(), both])
    claimed = claim(ids.KIND_FREEZE_REQUEST, "ee/both", FOREIGN_CENTRAL)
    assert [rule.sender for rule in bring("ee/both", claimed, "ee", directory).rules] == [Role.INVESTIGATOR]


def test_no_rule_permits_what_no_directory_knows() -> None:
    assert permitted(FREEZE.header, world.make_directory([])) == ()


@pytest.mark.parametrize(("sender", "recipient"), [("ee/node", "ee/court"), (INVESTIGATOR, "de/node")])
def test_node_is_neither_sender_nor_recipient(sender: str, recipient: str) -> None:
    with pytest.raises(Refusal) as caught:
        bring("ee/node", claim(ids.KIND_FREEZE_REQUEST, sender, recipient), "de")
    assert caught.value.code is ErrorCode.MALFORMED
