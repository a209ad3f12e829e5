"""The sample documents are what they say: one a kind, valid, complete."""

from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices

from gateway import codec
from gateway.formats import wallets
from tests import samples
from tests.samples.__main__ import FOLDER, examples

EXCLUDED = {
    "Attachment.sealed": "its file would have to be there wherever a sample is sent; see test_manifest.py",
    "SignedEnvelope.attachments": "as above",
    "SharingStatement.wallet": "it is paid to an account",
    "Countersignature.reason": "it is countersigned",
    "ReviewReferral.confiscation": "it refers a freeze request",
    "ReviewReferral.evidence": "it refers a freeze request",
    "ReviewReferral.preservation": "it refers a freeze request",
    "ReviewReferral.provisional_freeze": "it refers a freeze request",
    "ReviewReferral.takedown": "it refers a freeze request",
    "ReviewReferral.restitution": "it refers a freeze request",
    "ReviewReferral.enforcement": "it refers a freeze request",
    "Claim.outcome": "it is pending; the decision on it has one",
    # A notice says only what its step needs; see `test_every_field_of_a_notice_is_filled_at_some_step`.
    "Notice.outcome": "",
    "Notice.ground": "",
    "Notice.measures": "",
    "Notice.data_classes": "",
    "Notice.clocks": "",
    "Notice.competent_authority": "",
    "Objection.clarification_asked": "one objection has a question, another a conflict of laws",
    "Objection.conflict": "one objection has a question, another a conflict of laws",
    "ConfiscationPlan.certificate_attached": "it stays frozen until then",
    "ConfiscationPlan.reference": "it stays frozen until then",
    "FreezeScope.amounts": "it is frozen up to a sum of money",
    "NationalIdentification.registration_authority": "only a firm has one, not every document a firm",
    "Person.legal": "the claimant is a human being",
    # Provider-facing documents name wallets without these, and none that is quoted.
    "WalletIdentifier.source": "",
    "WalletIdentifier.attributions": "",
    "WalletIdentifier.quoted_because": "",
    "WalletIdentifier.chain_name": "",
    "WalletIdentifier.tag": "",
    "WalletIdentifier.provider_lei": "",
    "WalletIdentifier.account_reference": "",
    # Not every amount is worth telling in money.
    "AssetAmount.valuation": "",
    # A clock may still run.
    "Clock.met_at_us": "",
}
"""Fields that one sample at least leaves out, with the reason."""


def messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from messages(one)


def test_there_is_one_of_every_kind() -> None:
    assert set(samples.every()) == {kind for kind in ids.Kind.values() if kind}


@pytest.mark.parametrize(
    "message", [*samples.named().values(), *samples.alone().values()], ids=[*samples.named(), *samples.alone()]
)
def test_each_keeps_the_rules_of_its_format(message: Message) -> None:
    codec.check(message)


@pytest.mark.parametrize("message", samples.named().values(), ids=samples.named())
def test_every_field_is_filled_somewhere_in_the_document(message: Message) -> None:
    wanted, filled = set(), set()
    for each in messages(message):
        wanted |= {field.full_name for field in each.DESCRIPTOR.fields}
        filled |= {field.full_name for field, _ in each.ListFields()}
    missing = {name.removeprefix("rogatory.v1.") for name in wanted - filled}
    assert missing - EXCLUDED.keys() == set()


def test_every_field_of_a_notice_is_filled_at_some_step() -> None:
    every = [each for document in samples.every().values() for each in messages(document)]
    for kind in (notices.Notice, notices.Objection, followups.Claim):
        filled = {field.name for each in every if isinstance(each, kind) for field, _ in each.ListFields()}
        assert filled == set(kind.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("message", samples.named().values(), ids=samples.named())
def test_every_wallet_is_what_it_says_of_itself(message: Message) -> None:
    for each in messages(message):
        if isinstance(each, evidence.WalletIdentifier):
            wallets.check(each)


def test_they_are_made_alike_each_time() -> None:
    assert samples.every() == samples.every()


def test_examples_are_the_samples() -> None:
    """If this fails: `make examples`."""
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert found == examples()
