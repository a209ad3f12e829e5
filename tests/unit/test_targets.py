"""Tokens of targets: who can compare, who can test a guess, and what a sender can hide or feign."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from nacl.utils import random
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import errors_pb2
from rogatory.v1 import evidence_pb2 as evidence
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import mailbox_pb2 as mailbox
from rogatory.v1 import notices_pb2 as notices
from rogatory.v1 import orders_pb2 as orders

from clients.central_authority import CentralAuthority
from clients.intake import Faulty, Intake, Item, Received
from clients.investigator import Investigator
from clients.participant import Participant, Parts
from gateway import cli, codec, envelope, keys, locked, material, priority, target_keys, targets
from gateway.cli import target_keys as commands
from gateway.cli.development import CAST, Summary, init_federation
from gateway.clock import to_micros
from gateway.config import Limits, NodeConfig, ParticipantConfig, load
from gateway.envelope import Letter
from gateway.errors import ErrorCode, Refusal
from gateway.formats import documents, wallets
from gateway.hidden import Passphrase
from gateway.identity import Address, Role
from gateway.priority import Candidate, DecidedBy
from gateway.signature import frame
from gateway.target_keys import HOLDERS, LEAST_OVERLAP, TargetKey
from gateway.transport import TlsIdentity
from tests import paperwork, world

NOW = world.NOW.replace(microsecond=0)
YEAR = timedelta(days=365)
FIRST = TargetKey(1, NOW - YEAR, NOW + timedelta(days=40), bytes(range(32)))
SECOND = TargetKey(2, NOW, NOW + 2 * YEAR, bytes(range(1, 33)))
LATER = NOW + timedelta(days=41)
"""When the first epoch has ended."""

ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # EIP-55
X_ADDRESS = "X7AcgcsBL6XDcUb289X4mJ8djcdyKaGZMhc9YTE92ehJ2Fu"  # XLS-5d
XRP = "rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf"
BITCOIN = "1ND5TQ2AnQatxqmHrdMT8utb3aWgLKsc9w"
OTHER = "12HQDsicffSBaYdJ6BhnE22sfjTESmmzKx"
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # BIP-173


def token(chain: str, address: str, key: TargetKey = FIRST, state: str = "de", **fields: str) -> bytes:
    return targets.token(key, state, wallets.make(chain, address, **fields))


# What a token is of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("ethereum", ETHEREUM), ("ethereum", ETHEREUM.lower()), id="without checksum"),
        pytest.param(("ethereum", ETHEREUM), ("eip155:1", ETHEREUM), id="chain by CAIP-2"),
        pytest.param(("bitcoin", SEGWIT), ("bitcoin", SEGWIT.upper()), id="bech32 in capitals"),
        pytest.param(("xrp", XRP), ("ripple", XRP), id="chain by another name"),
    ],
)
def test_a_wallet_has_one_token_however_it_is_written(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert token(*one) == token(*other)


def test_a_tag_within_an_address_is_the_tag_beside_it() -> None:
    within = wallets.make("xrp", X_ADDRESS)
    assert within.tag
    assert targets.token(FIRST, "de", within) == token("xrp", within.canonical, tag=within.tag)
    assert targets.token(FIRST, "de", within) != token("xrp", within.canonical)


def test_what_else_is_said_of_a_wallet_changes_nothing() -> None:
    assert token("bitcoin", BITCOIN) == token("bitcoin", BITCOIN, source="OFAC SDN", custody="custodial", account="7")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(token("bitcoin", OTHER), id="address"),
        pytest.param(token("bitcoin-sv", BITCOIN), id="chain"),
        pytest.param(token("bitcoin", BITCOIN, state="fr"), id="State"),
        pytest.param(token("bitcoin", BITCOIN, SECOND), id="epoch"),
        pytest.param(
            token("bitcoin", BITCOIN, TargetKey(2, FIRST.not_before, FIRST.not_after, FIRST.reveal())),
            id="epoch of the same secret",
        ),
    ],
)
def test_another_target_state_or_epoch_has_another_token(other: bytes) -> None:
    assert token("bitcoin", BITCOIN) != other


def test_an_account_behind_one_address_is_told_from_another_by_its_tag() -> None:
    assert len({token("xrp", XRP), token("xrp", XRP, tag="1"), token("xrp", XRP, tag="2")}) == 3


def test_a_quoted_wallet_has_the_token_of_what_was_quoted() -> None:
    def quoted(name: str, address: str) -> bytes:
        return targets.token(FIRST, "de", wallets.identifier({"chain": name, "address": address, "quoted": True}))

    assert quoted("nowhere", "a1") == quoted("nowhere", "a1")
    assert len({quoted("nowhere", "a1"), quoted("nowhere", "A1"), quoted("elsewhere", "a1")}) == 3


def test_the_derivation_is_the_one_that_is_written_down() -> None:
    """So that two States' own programs come to the same token. By HMAC as RFC 2104 defines it, and by hand."""

    def hmac_sha256(key: bytes, message: bytes) -> bytes:
        inner, outer = (bytes(each ^ pad for each in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
        return sha256(outer + sha256(inner + message).digest()).digest()

    of_state = hmac_sha256(bytes(range(32)), frame(b"rogatory/v1/target-key", b"1", b"de"))
    parts = (b"bip122:000000000019d6689c085ae165831e93", b"", BITCOIN.encode(), b"")
    assert token("bitcoin", BITCOIN) == hmac_sha256(of_state, frame(b"rogatory/v1/target", *parts))


texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
any_wallet = st.builds(
    lambda chain, name, address, tag: evidence.WalletIdentifier(
        chain=chain, chain_name=name, canonical=address, tag=tag
    ),
    texts,
    texts,
    texts.filter(bool),
    texts,
)


@given(any_wallet, any_wallet)
def test_no_two_targets_run_into_one_token(one: evidence.WalletIdentifier, other: evidence.WalletIdentifier) -> None:
    """Also where the end of one part could be read as the beginning of the next."""
    same = wallets.key(one) == wallets.key(other)
    assert (targets.token(FIRST, "de", one) == targets.token(FIRST, "de", other)) is same


def test_the_end_of_one_part_is_not_the_beginning_of_the_next() -> None:
    one = evidence.WalletIdentifier(chain="xrpl:0", canonical="ab", tag="c")
    other = evidence.WalletIdentifier(chain="xrpl:0", canonical="a", tag="bc")
    assert targets.token(FIRST, "de", one) != targets.token(FIRST, "de", other)


def tokens_of(
    *addresses: str, ring: Sequence[TargetKey] = (FIRST,), to: Sequence[str] = ("de/central-authority",)
) -> tuple[bytes, ...]:
    return targets.tokens(ring, to, [paperwork.wallet(each) for each in addresses])


def test_tokens_do_not_tell_in_which_order_or_how_often_wallets_are_named() -> None:
    assert tokens_of(BITCOIN, OTHER, BITCOIN) == tokens_of(OTHER, BITCOIN)
    assert len(tokens_of(OTHER, BITCOIN)) == 2


def test_a_request_to_several_states_has_no_tokens() -> None:
    with pytest.raises(Refusal) as caught:
        tokens_of(BITCOIN, to=("de/court", "fr/court"))
    assert (caught.value.code, caught.value.field) == (ErrorCode.CONTENT_MISMATCH, "recipients")
    assert tokens_of(BITCOIN, to=("de/court", "de/fiu")) == tokens_of(BITCOIN)


# Attacks


@given(st.binary(min_size=32, max_size=32).filter(lambda guess: guess != FIRST.reveal()))
def test_a_node_cannot_test_guesses(guessed: bytes) -> None:
    """It has the header, the right address, the source of this program and any key but that one; and learns nothing."""
    seen = tokens_of(BITCOIN)
    right, wrong = paperwork.wallet(BITCOIN), paperwork.wallet(OTHER)
    key = TargetKey(1, FIRST.not_before, FIRST.not_after, guessed)
    assert targets.token(key, "de", right) not in seen
    assert targets.token(key, "de", wrong) not in seen


def test_no_hash_without_the_key_gives_the_token() -> None:
    """By whatever is public: the parts of a target, the key's id, the keys of the node, the envelope's own fields."""
    seen = set(tokens_of(BITCOIN))
    parts = [part.encode() for part in wallets.key(paperwork.wallet(BITCOIN))]
    known = [b"", FIRST.id, bytes(32), bytes(world.signing_key("de/node")), b"rogatory/v1/target-key", b"1", b"de"]
    texts_ = [frame(b"rogatory/v1/target", *parts), frame(*parts), b"".join(parts), BITCOIN.encode()]
    for text in texts_:
        for key in known:
            state_key = TargetKey(1, FIRST.not_before, FIRST.not_after, key.ljust(32, b"\0")[:32])
            found = {sha256(key + text).digest(), blake2b(text, digest_size=32, key=key[:64]).digest()}
            assert seen.isdisjoint(found | {targets.token(state_key, "de", paperwork.wallet(BITCOIN))})


def test_headers_to_two_states_or_of_two_epochs_share_no_token() -> None:
    of_germany = set(tokens_of(BITCOIN, OTHER))
    assert of_germany.isdisjoint(tokens_of(BITCOIN, OTHER, to=("fr/court",)))
    assert of_germany.isdisjoint(tokens_of(BITCOIN, OTHER, ring=(SECOND,)))


def test_a_node_cannot_be_given_a_target_key(tmp_path: Path) -> None:
    made = init_federation(tmp_path / "fed", ["ee"], [7440], NOW)
    path = made.config("ee/node")
    path.write_text('target_keys = ["prosecutor/target.key"]\n' + path.read_text())
    with pytest.raises(Refusal) as caught:
        load(NodeConfig, path)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "target_keys")


# Rotation


def test_requests_on_both_sides_of_an_overlap_are_compared_with_those_within() -> None:
    def made_at(moment: datetime) -> set[bytes]:
        return set(tokens_of(BITCOIN, ring=target_keys.in_force((FIRST, SECOND), moment)))

    before, within, after = (made_at(each) for each in (NOW - timedelta(days=1), NOW, LATER))
    assert (len(before), len(within), len(after)) == (1, 2, 1)
    assert before & within
    assert within & after
    assert not before & after


def test_no_request_dates_back_behind_an_overlap() -> None:
    """What is dated back as far as a node allows still carries a token of whatever is made now."""
    assert timedelta(days=Limits().max_age_days) < LEAST_OVERLAP
    edge = FIRST.not_after - LEAST_OVERLAP
    next_key = TargetKey(2, edge, edge + YEAR, bytes(32))
    first_without_old = FIRST.not_after
    dated_back = first_without_old - timedelta(days=Limits().max_age_days)
    ring = (FIRST, next_key)
    assert {1, 2} == {key.epoch for key in target_keys.in_force(ring, dated_back)}


# What a recipient checks


def header_of(found: Sequence[bytes], at: datetime = NOW, kind: ids.Kind.ValueType = ids.KIND_FREEZE_REQUEST) -> Any:
    return pb.Header(kind=kind, recipients=["de/central-authority"], created_at_us=to_micros(at), target_tokens=found)


ASKED = paperwork.request(wallets=[paperwork.wallet(BITCOIN), paperwork.wallet(OTHER)])
TRUE = tokens_of(BITCOIN, OTHER)
FOREIGN = token("ethereum", ETHEREUM)


def refused(header: pb.Header, document: object, ring: Sequence[TargetKey]) -> tuple[ErrorCode, str]:
    with pytest.raises(Refusal) as caught:
        targets.check(header, document, ring)
    return caught.value.code, caught.value.field


MISMATCH = (ErrorCode.CONTENT_MISMATCH, "target_tokens")


def test_the_tokens_of_a_document_are_accepted() -> None:
    targets.check(header_of(TRUE), ASKED, [FIRST])


@pytest.mark.parametrize(
    "told",
    [
        pytest.param((), id="hides all"),
        pytest.param(TRUE[:1], id="hides one"),
        pytest.param(tuple(sorted((*TRUE, FOREIGN))), id="feigns one"),
        pytest.param((TRUE[0], FOREIGN), id="exchanges one"),
        pytest.param(TRUE[::-1], id="in another order"),
        pytest.param(tokens_of(BITCOIN, OTHER, to=("fr/court",)), id="of another State"),
        pytest.param(tokens_of(BITCOIN, OTHER, ring=(SECOND,)), id="of an epoch to come"),
        pytest.param((bytes(32), bytes([1] * 32)), id="of no key"),
    ],
)
def test_a_header_that_hides_or_feigns_a_target_is_refused(told: tuple[bytes, ...]) -> None:
    assert refused(header_of(told), ASKED, [FIRST]) == MISMATCH


def test_within_an_overlap_tokens_of_both_epochs_are_wanted() -> None:
    ring = (SECOND, FIRST)
    both = tokens_of(BITCOIN, OTHER, ring=ring)
    targets.check(header_of(both), ASKED, ring)
    for part in (TRUE, tokens_of(BITCOIN, OTHER, ring=(SECOND,))):
        assert refused(header_of(part), ASKED, ring) == MISMATCH
    targets.check(header_of(tokens_of(BITCOIN, OTHER, ring=(SECOND,)), LATER), ASKED, ring)
    assert refused(header_of(both, LATER), ASKED, ring) == MISMATCH


@pytest.mark.parametrize("ring", [(), (SECOND,)])
def test_who_holds_no_key_of_that_time_takes_the_header_at_its_word(ring: tuple[TargetKey, ...]) -> None:
    targets.check(header_of(TRUE, NOW - timedelta(days=1)), ASKED, ring)


@pytest.mark.parametrize("ring", [(), (FIRST,)])
def test_no_order_to_an_exchange_carries_a_token(ring: tuple[TargetKey, ...]) -> None:
    header = header_of(TRUE, kind=ids.KIND_DOMESTIC_ORDER)
    assert refused(header, paperwork.order(), ring) == MISMATCH
    targets.check(header_of((), kind=ids.KIND_DOMESTIC_ORDER), paperwork.order(), ring)


# Participants


class Cast:
    """Participants who hand each other envelopes without a node; authorities hold target keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ring: dict[str, tuple[TargetKey, ...]] = {}
        self.now = NOW

    def __getitem__(self, address: str) -> Participant:
        role = Address.parse(address).name
        usual = (FIRST,) if role in {each.value for each in HOLDERS} else ()
        return Participant(
            Parts(
                directory=world.DIRECTORY,
                address=Address.parse(address),
                tls=TlsIdentity(b"", b""),
                home=self.folder / address,
                signing_keys=(world.signing_key(address),),
                sealing_keys=(world.sealing_key(address),),
                target_keys=self.ring.get(address, usual),
                clock=lambda: self.now,
            )
        )

    def request(self, *addresses: str) -> pb.SignedEnvelope:
        investigator = Investigator(self[world.INVESTIGATOR])
        drafted = investigator.draft_freeze(
            paperwork.request(wallets=[paperwork.wallet(each) for each in addresses]),
            to=world.FOREIGN_CENTRAL,
            via=world.CENTRAL,
            case_id="EE-1",
            instrument=world.TREATY,
            measures=[paperwork.BLOCK],
            data_classes=[paperwork.TRANSACTIONAL],
        )
        (draft,) = self.take_in(world.CENTRAL, drafted.draft.envelope)
        assert isinstance(draft, Received)
        answer = CentralAuthority(self[world.CENTRAL]).countersign(draft)
        (answered,) = self.take_in(world.INVESTIGATOR, answer.envelope)
        assert isinstance(answered, Received)
        return investigator.add_countersignature(answered)

    def take_in(self, address: str, *raws: pb.SignedEnvelope) -> list[Item]:
        me = self[address]
        with me.maildir.collecting() as collector:
            intake = Intake(me.secrets, me.directory, me.parts.clock, me.maildir, collector)
            acks, shown = intake.take_in(
                [mailbox.Item(delivery_id=number, envelope=raw) for number, raw in enumerate(raws, 1)]
            )
        said = [codec.parse(pb.Statement, ack.statement.statement) for ack in acks]
        for item, word in zip(shown, said, strict=True):
            rejected = word.milestone == pb.MILESTONE_REJECTED
            assert rejected is isinstance(item, Faulty)
            assert not rejected or word.code == errors_pb2.ERROR_CODE_CONTENT_MISMATCH
        return shown


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return Cast(tmp_path)


def test_a_request_says_by_itself_what_it_is_aimed_at_and_its_recipient_opens_it(cast: Cast) -> None:
    request = cast.request(BITCOIN, OTHER)
    header = envelope.parse_header(request)
    assert tuple(header.target_tokens) == TRUE
    (received,) = cast.take_in(world.FOREIGN_CENTRAL, request)
    assert isinstance(received, Received)


def test_two_states_requests_for_one_wallet_meet_in_the_headers_alone(cast: Cast) -> None:
    one, other = (
        set(envelope.parse_header(cast.request(*each)).target_tokens) for each in ([BITCOIN], [OTHER, BITCOIN])
    )
    assert len(one & other) == 1


def lying(*told: bytes, document: Any = ASKED) -> tuple[pb.SignedEnvelope, bytes, bytes]:
    """A request whose header says so, as a sender's own program may make it."""
    body = documents.encode(document)
    made = envelope.compose(
        Letter(
            ids.KIND_FREEZE_REQUEST,
            world.INVESTIGATOR,
            (world.FOREIGN_CENTRAL,),
            "EE-1",
            instrument=world.TREATY,
            measures=(paperwork.BLOCK,),
            data_classes=(paperwork.TRANSACTIONAL,),
            target_tokens=told,
        ),
        body,
        signing_key=world.signing_key(world.INVESTIGATOR),
        reader_keys=[bytes(world.sealing_key(world.FOREIGN_CENTRAL).public_key)],
        now=NOW,
        random=random,
    )
    return made.envelope, made.salt, body


@pytest.mark.parametrize("told", [(), TRUE[:1], tuple(sorted((*TRUE, FOREIGN)))], ids=["all", "one", "feigned"])
def test_the_foreign_authority_rejects_a_lying_header(cast: Cast, told: tuple[bytes, ...]) -> None:
    (item,) = cast.take_in(world.FOREIGN_CENTRAL, lying(*told)[0])
    assert isinstance(item, Faulty)
    assert (item.error.code, item.error.field) == MISMATCH


def test_the_own_central_authority_rejects_it_already_in_the_draft(cast: Cast) -> None:
    request, salt, body = lying(*TRUE[:1])
    letter = Letter(
        ids.KIND_DRAFT,
        world.INVESTIGATOR,
        (world.CENTRAL,),
        "EE-1",
        measures=(paperwork.BLOCK,),
        data_classes=(paperwork.TRANSACTIONAL,),
    )
    draft = cast[world.INVESTIGATOR].compose(letter, orders.Draft(envelope=request, salt=salt, body=body))
    (item,) = cast.take_in(world.CENTRAL, draft.envelope)
    assert isinstance(item, Faulty)
    assert (item.error.code, item.error.field) == MISMATCH


def test_what_was_opened_once_opens_again_when_a_key_of_then_is_gone(cast: Cast) -> None:
    for address in (world.INVESTIGATOR, world.CENTRAL, world.FOREIGN_CENTRAL):
        cast.ring[address] = (FIRST, SECOND)
    (received,) = cast.take_in(world.FOREIGN_CENTRAL, cast.request(BITCOIN))
    assert isinstance(received, Received)
    assert len(received.header.target_tokens) == 2
    cast.ring[world.FOREIGN_CENTRAL] = (SECOND,)
    assert [each.ref for each in cast[world.FOREIGN_CENTRAL].unhandled()] == [received.ref]


def test_a_federation_without_target_keys_goes_on_as_before(cast: Cast) -> None:
    for address in (world.INVESTIGATOR, world.CENTRAL, world.FOREIGN_CENTRAL):
        cast.ring[address] = ()
    request = cast.request(BITCOIN)
    assert not envelope.parse_header(request).target_tokens
    (received,) = cast.take_in(world.FOREIGN_CENTRAL, request)
    assert isinstance(received, Received)


def test_no_participant_shows_its_target_keys(cast: Cast) -> None:
    me = cast[world.COURT]
    assert me.secrets.target_keys == (FIRST,)
    for shown in (repr(me.parts), repr(me.secrets), repr(FIRST), f"{FIRST}"):
        assert repr(FIRST.reveal())[2:-1] not in shown
        assert "TargetKey" not in shown or shown == "<TargetKey>"


# Key files


def private_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


PHRASE = Passphrase("correct horse battery")


@pytest.mark.parametrize("phrase", [None, PHRASE])
def test_a_saved_target_key_is_the_key_that_is_loaded(tmp_path: Path, phrase: Passphrase | None) -> None:
    path = tmp_path / "target.key"
    keys.save_target_key(path, FIRST, phrase, locked.LEAST)
    found = keys.load_target_key(path, phrase)
    assert found == FIRST
    assert (found.epoch, found.not_before, found.not_after) == (1, FIRST.not_before, FIRST.not_after)
    assert path.stat().st_mode & 0o777 == 0o600
    listed = keys.inspect(path)
    assert (listed.algorithm, listed.public, listed.encrypted) == ("HMAC-SHA-256", FIRST.id, phrase is not None)


def key_file_refused(action: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(Refusal) as caught:
        action(*arguments)
    assert caught.value.code is ErrorCode.KEY_FILE


def test_a_target_key_is_taken_for_no_other_key_and_no_other_for_it(tmp_path: Path) -> None:
    keys.save_target_key(tmp_path / "target", FIRST)
    keys.save_signing_key(tmp_path / "sign", world.signing_key(world.COURT))
    keys.save_sealing_key(tmp_path / "seal", world.sealing_key(world.COURT))
    for path in (tmp_path / "sign", tmp_path / "seal"):
        key_file_refused(keys.load_target_key, path)
    for load_other in (keys.load_signing_key, keys.load_sealing_key, keys.load_tls_key):
        key_file_refused(load_other, tmp_path / "target")


def test_a_plain_target_key_is_refused_where_an_encrypted_one_is_demanded(tmp_path: Path) -> None:
    keys.save_target_key(tmp_path / "target", FIRST)
    key_file_refused(keys.load_target_key, tmp_path / "target", PHRASE)
    keys.encrypt(tmp_path / "target", PHRASE, locked.LEAST)
    assert keys.load_target_key(tmp_path / "target", PHRASE) == FIRST


GOOD = FIRST.dump()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(GOOD[:-1], id="cut short"),
        pytest.param(GOOD + b"\n", id="a line more"),
        pytest.param(GOOD.replace(b"\n", b"\r\n"), id="other line ends"),
        pytest.param(b"".join(GOOD.splitlines(keepends=True)[::2]), id="a line less"),
        pytest.param(GOOD.replace(b"AAAAA", b"AAAA!", 1), id="not base64"),
        pytest.param(GOOD[:39] + b"\xff" + GOOD[40:], id="not ASCII"),
    ],
)
def test_a_file_that_is_not_exactly_a_target_key_is_refused(tmp_path: Path, content: bytes) -> None:
    assert content != GOOD
    key_file_refused(keys.load_target_key, private_file(tmp_path / "target", content))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_target_key_passes_for_the_same_key(position: int, change: int) -> None:
    changed = bytearray(GOOD)
    changed[position] ^= change
    found = None
    with suppress(Refusal):
        found = target_keys.read(bytes(changed))
    assert found is None or (found != FIRST and found.id != FIRST.id)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"epoch": 0}, id="epoch 0"),
        pytest.param({"epoch": 1 << 32}, id="epoch too large"),
        pytest.param({"secret": bytes(31)}, id="short"),
        pytest.param({"not_after": NOW}, id="ends as it begins"),
        pytest.param({"not_before": NOW + timedelta(microseconds=1)}, id="begins within a second"),
        pytest.param({"not_after": LATER + timedelta(microseconds=1)}, id="ends within a second"),
        pytest.param({"not_before": datetime(1969, 12, 31, tzinfo=UTC)}, id="before time"),
    ],
)
def test_a_target_key_out_of_bounds_is_refused(fields: dict[str, Any]) -> None:
    right: dict[str, Any] = {"epoch": 1, "not_before": NOW, "not_after": LATER, "secret": bytes(32)}
    TargetKey(**right)
    key_file_refused(lambda: TargetKey(**right | fields))


# A federation


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return init_federation(
        tmp_path_factory.mktemp("made") / "fed", ["ee", "de"], [7440, 7441], datetime.now(UTC).replace(microsecond=0)
    )


@pytest.fixture
def fed(made: Summary, tmp_path: Path) -> Path:
    return shutil.copytree(made.folder, tmp_path / "fed")


def test_every_authority_holds_the_same_key_and_nobody_else_any(made: Summary) -> None:
    rings = {
        each.address: (each.role, material.load_participant(each.config).target_keys) for each in made.participants
    }
    held = {key for _, ring in rings.values() for key in ring}
    assert len(held) == 1
    for role, ring in rings.values():
        assert (role in HOLDERS) is (len(ring) == 1)
    holders = [part for part in CAST if part.role in HOLDERS]
    assert len([*made.folder.rglob("target*.key")]) == 2 * len(holders)


def test_the_secret_lies_in_no_file_of_anybody_else(made: Summary) -> None:
    secret = (made.config("ee/court").parent / "target.key").read_bytes().splitlines()[1]
    found = {each.parent.name for each in made.folder.rglob("*") if each.is_file() and secret in each.read_bytes()}
    assert found == {part.name for part in CAST if part.role in HOLDERS}


def test_holders_are_authorities_alone() -> None:
    without = {Role.EXCHANGE, Role.OPERATOR, Role.AUDITOR, Role.REGISTRAR, Role.OMBUDSPERSON, Role.NODE}
    assert {*Role} - without == HOLDERS


@pytest.mark.parametrize("who", ["exchange", "operator", "auditor", "registrar"])
def test_who_is_no_authority_does_not_start_with_a_target_key(fed: Path, who: str) -> None:
    path = fed / "ee" / who / "participant.toml"
    path.write_text('target_keys = ["../court/target.key"]\n' + path.read_text())
    with pytest.raises(Refusal) as caught:
        material.load_participant(path)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_CONFIG, "target_keys")


def test_who_is_an_authority_and_an_exchange_too_holds_none() -> None:
    with pytest.raises(Refusal) as caught:
        target_keys.check_ring([FIRST], frozenset({Role.COURT, Role.EXCHANGE}))
    assert caught.value.code is ErrorCode.BAD_CONFIG
    target_keys.check_ring([], frozenset({Role.EXCHANGE}))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(TargetKey(1, NOW, LATER, bytes(32)), id="another key of the epoch"),
        pytest.param(TargetKey(2, FIRST.not_after, FIRST.not_after + YEAR, bytes(32)), id="no overlap"),
        pytest.param(
            TargetKey(2, FIRST.not_after - LEAST_OVERLAP + timedelta(seconds=1), FIRST.not_after + YEAR, bytes(32)),
            id="a second too little",
        ),
    ],
)
def test_epochs_that_do_not_overlap_or_contradict_each_other_are_refused(other: TargetKey) -> None:
    with pytest.raises(Refusal) as caught:
        target_keys.check_ring([other, FIRST], frozenset({Role.COURT}))
    assert caught.value.code is ErrorCode.BAD_CONFIG


def test_epochs_that_overlap_for_long_enough_are_taken() -> None:
    edge = FIRST.not_after - LEAST_OVERLAP
    target_keys.check_ring([FIRST, TargetKey(2, edge, edge + YEAR, bytes(32))], frozenset({Role.COURT}))


def test_an_authority_is_warned_while_the_next_epoch_can_still_overlap(made: Summary) -> None:
    path = made.config("ee/court")
    (key,) = material.load_participant(path).target_keys
    assert not material.load_participant(path).warnings
    assert material._ring_warnings((key,), key.not_after - LEAST_OVERLAP - timedelta(days=1))
    assert material._ring_warnings((key,), key.not_after)
    assert not material._ring_warnings((), key.not_after)


# Handing a key on


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["keys", "target", *(str(each) for each in arguments)])


def shown(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["target_key"]
    return found


def error_of(result: Result) -> tuple[str, str]:
    error = json.loads(result.stdout)["error"]
    return error["code"], error["field"]


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(commands, "COST", locked.LEAST)
    return private_file(tmp_path / "secret", PHRASE.reveal())


def new(tmp_path: Path, secret: Path, fed: Path, *more: str) -> tuple[Path, Path, Result]:
    """The next epoch's key, after the one of the federation, which is put under the same passphrase first."""
    (first,) = material.load_participant(fed / "ee/court/participant.toml").target_keys
    before, after = tmp_path / "epoch-1.key", tmp_path / "epoch-2.key"
    keys.save_target_key(before, first, PHRASE, locked.LEAST)
    return before, after, run("new", after, "--after", before, "--passphrase-file", secret, "--json", *more)


def test_a_new_epoch_is_made_shown_and_given_to_an_authority(tmp_path: Path, secret: Path, fed: Path) -> None:
    _, file, result = new(tmp_path, secret, fed)
    made = shown(result)
    assert made["epoch"] == 2
    assert keys.inspect(file).encrypted
    assert shown(run("show", file, "--passphrase-file", secret, "--json")) == made
    path = fed / "ee/court/participant.toml"
    added = shown(run("add", file, "--config", path, "--passphrase-file", secret, "--json"))
    assert (added["id"], Path(added["file"])) == (made["id"], path.resolve().parent / "target-2.key")
    assert load(ParticipantConfig, path).target_keys == tuple(
        path.resolve().parent / name for name in ("target.key", "target-2.key")
    )
    assert [key.epoch for key in material.load_participant(path).target_keys] == [1, 2]


def test_the_same_key_is_not_added_twice(tmp_path: Path, secret: Path, fed: Path) -> None:
    before, _, _ = new(tmp_path, secret, fed)
    path = fed / "ee/court/participant.toml"
    text = path.read_text()
    result = run("add", before, "--config", path, "--passphrase-file", secret, "--json")
    assert error_of(result) == ("BAD_CONFIG", "target_keys")
    assert path.read_text() == text


def test_an_exchange_is_given_no_target_key(tmp_path: Path, secret: Path, fed: Path) -> None:
    _, file, _ = new(tmp_path, secret, fed)
    path = fed / "ee/exchange/participant.toml"
    result = run("add", file, "--config", path, "--passphrase-file", secret, "--json")
    assert error_of(result) == ("BAD_CONFIG", "target_keys")
    assert not [*path.parent.glob("target*")]


def test_an_epoch_that_begins_too_late_to_overlap_is_not_made(tmp_path: Path, secret: Path, fed: Path) -> None:
    (first,) = material.load_participant(fed / "ee/court/participant.toml").target_keys
    late = (first.not_after - LEAST_OVERLAP + timedelta(days=1)).date().isoformat()
    _, file, result = new(tmp_path, secret, fed, "--from", late)
    assert error_of(result) == ("BAD_INPUT", "from")
    assert not file.exists()


def test_a_first_epoch_is_made_for_a_federation_that_has_none(tmp_path: Path, secret: Path) -> None:
    made = shown(run("new", tmp_path / "one.key", "--days", "365", "--passphrase-file", secret, "--json"))
    start, end = (datetime.fromisoformat(made[name]) for name in ("from", "until"))
    assert (made["epoch"], end - start) == (1, YEAR)
    assert start > datetime.now(UTC) + timedelta(days=13)


# Ranking


def candidate(name: str, *, made: int = 0, recorded: int = 0, frozen: bool = False) -> Candidate:
    ref = ids.EnvelopeRef(sender=name, id="")
    return Candidate(ref, frozen, NOW + timedelta(hours=made), NOW + timedelta(hours=recorded))


def ranking(*candidates: Candidate) -> list[tuple[str, int, DecidedBy | None]]:
    return [(each.candidate.ref.sender, each.place, each.decided_by) for each in priority.rank(candidates)]


def test_what_is_frozen_already_goes_before_what_was_made_earlier() -> None:
    early, frozen = candidate("ee/a", made=1, recorded=1), candidate("fr/b", made=2, recorded=2, frozen=True)
    assert ranking(early, frozen) == [("fr/b", 1, None), ("ee/a", 2, DecidedBy.ALREADY_FROZEN)]


def test_then_the_dates_decide() -> None:
    one, two, three = (
        candidate("c/c", made=1, recorded=3),
        candidate("b/b", made=2, recorded=4),
        candidate("a/a", made=2, recorded=5),
    )
    assert ranking(three, two, one) == [("c/c", 1, None), ("b/b", 2, DecidedBy.DATES), ("a/a", 3, DecidedBy.DATES)]


def test_a_request_that_is_dated_back_does_not_win_unnoticed() -> None:
    honest, dated_back = candidate("ee/a", made=2, recorded=2), candidate("fr/b", made=1, recorded=9)
    assert ranking(honest, dated_back) == [("fr/b", 1, None), ("ee/a", 2, DecidedBy.CONTESTED_DATES)]


def test_equals_share_their_place_and_their_names_decide_nothing() -> None:
    found = ranking(candidate("b/b"), candidate("a/a"), candidate("c/c", made=1, recorded=1))
    assert found == [("a/a", 1, None), ("b/b", 1, DecidedBy.NOTHING), ("c/c", 3, DecidedBy.DATES)]


def test_every_criterion_of_the_law_is_weighed_or_left_to_a_person() -> None:
    (only,) = priority.rank([candidate("a/a")])
    weighed = {each.value for each in (DecidedBy.ALREADY_FROZEN, DecidedBy.DATES)}
    assert weighed.isdisjoint(only.left_to_a_person)
    everything = {*notices.PriorityCriterion.values()} - {notices.PRIORITY_CRITERION_UNSPECIFIED}
    assert weighed | {*only.left_to_a_person} == everything


def test_nothing_competes_with_nothing() -> None:
    assert priority.rank([]) == ()


hours = st.integers(0, 3)
some = st.lists(st.tuples(hours, hours, st.booleans()), max_size=6)


@given(some, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_arrival(found: list[tuple[int, int, bool]], chance: Any) -> None:
    candidates = [
        candidate(f"a/{number}", made=made, recorded=recorded, frozen=frozen)
        for number, (made, recorded, frozen) in enumerate(found)
    ]
    straight = ranking(*candidates)
    chance.shuffle(candidates)
    assert ranking(*candidates) == straight
    assert all(place <= position for position, (_, place, _) in enumerate(straight, 1))


@given(some)
def test_a_later_rival_never_overtakes_what_was_frozen(found: list[tuple[int, int, bool]]) -> None:
    held = candidate("z/z", made=9, recorded=9, frozen=True)
    rivals = [candidate(f"a/{n}", made=made, recorded=recorded) for n, (made, recorded, _) in enumerate(found)]
    assert ranking(*rivals, held)[0][0] == "z/z"
