"""Our schemes against bip-utils, which writes addresses from keys and was not written here.

Used where it is right. It is not asked about 32-byte SegWit programs as P2WPKH, Solana off the curve, Cardano other
than base addresses, bech32m without limit (Zcash), and lower-case hex: there it errs, see the specifications.
"""

import hashlib
import sys

import pytest

if sys.version_info >= (3, 14):
    pytest.skip("bip-utils cannot be installed on Python 3.14: coincurve has no wheel", allow_module_level=True)

import bip_utils as oracle
from bip_utils.bip.bip39.bip39_mnemonic_utils import Bip39WordsListGetter
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.formats import chains
from gateway.formats.addresses import Checksum, check, private_keys

# Hashed, for a seed of zeros is no key of Monero.
SEED = st.binary(max_size=32).map(lambda raw: hashlib.sha256(raw).digest())
Coins = oracle.Bip44Coins

BY_BIP44 = [
    ("akash", Coins.AKASH_NETWORK, "mainnet"),
    ("axelar", Coins.AXELAR, "mainnet"),
    ("bitcoin", Coins.BITCOIN, "mainnet"),
    ("bitcoin", Coins.BITCOIN_TESTNET, "testnet"),
    ("bitcoin-cash", Coins.BITCOIN_CASH, "mainnet"),
    ("bitcoin-cash", Coins.BITCOIN_CASH_TESTNET, "testnet"),
    ("bitcoin-sv", Coins.BITCOIN_SV, "mainnet"),
    ("cardano", Coins.CARDANO_BYRON_ICARUS, "mainnet"),
    ("celestia", Coins.CELESTIA, "mainnet"),
    ("cosmos", Coins.COSMOS, "mainnet"),
    ("dash", Coins.DASH, "mainnet"),
    ("dash", Coins.DASH_TESTNET, "testnet"),
    ("dogecoin", Coins.DOGECOIN, "mainnet"),
    ("dogecoin", Coins.DOGECOIN_TESTNET, "testnet"),
    ("dydx", Coins.DYDX, "mainnet"),
    ("ethereum", Coins.ETHEREUM, "mainnet"),
    ("injective", Coins.INJECTIVE, "mainnet"),
    ("kusama", Coins.KUSAMA_ED25519_SLIP, "mainnet"),
    ("litecoin", Coins.LITECOIN, "mainnet"),
    ("neutron", Coins.NEUTRON, "mainnet"),
    ("osmosis", Coins.OSMOSIS, "mainnet"),
    ("polkadot", Coins.POLKADOT_ED25519_SLIP, "mainnet"),
    ("ripple", Coins.RIPPLE, "mainnet"),
    ("secret", Coins.SECRET_NETWORK_NEW, "mainnet"),
    ("solana", Coins.SOLANA, "mainnet"),
    ("stellar", Coins.STELLAR, "mainnet"),
    ("terra", Coins.TERRA, "mainnet"),
    ("tezos", Coins.TEZOS, "mainnet"),
    ("ton", Coins.TON, "mainnet"),
    ("tron", Coins.TRON, "mainnet"),
    ("verge", Coins.VERGE, "mainnet"),
    ("zcash", Coins.ZCASH, "mainnet"),
    ("zcash", Coins.ZCASH_TESTNET, "testnet"),
]


@pytest.mark.parametrize(("chain", "coin", "network"), BY_BIP44, ids=[coin.name for _, coin, _ in BY_BIP44])
@given(seed=SEED)
@settings(max_examples=8, deadline=None)
def test_address_of_any_key_is_good_on_its_chain(
    chain: str, coin: "oracle.Bip44Coins", network: str, seed: bytes
) -> None:
    key = oracle.Bip44.FromSeed(seed, coin).DeriveDefaultPath()
    text = key.PublicKey().ToAddress()
    found = check(chains.find(chain), text, network)
    assert found.checksum is (Checksum.NONE if chain == "solana" else Checksum.VALID)
    assert private_keys.recognise(text) == ""
    assert private_keys.recognise(key.PrivateKey().Raw().ToHex())
    assert private_keys.recognise(key.PrivateKey().ToExtended())
    with pytest.raises(Refusal) as caught:
        check(chains.find(chain), key.PublicKey().ToExtended())
    assert caught.value.rule == "ADDRESS_FORMAT"


@given(seed=SEED)
@settings(max_examples=10, deadline=None)
def test_segwit_of_any_key_is_good(seed: bytes) -> None:
    for maker, coin, kind in (
        (oracle.Bip84, oracle.Bip84Coins.BITCOIN, "p2wpkh"),
        (oracle.Bip84, oracle.Bip84Coins.LITECOIN, "p2wpkh"),
        (oracle.Bip86, oracle.Bip86Coins.BITCOIN, "p2tr"),
        (oracle.Bip49, oracle.Bip49Coins.BITCOIN, "p2sh"),
        (oracle.Bip49, oracle.Bip49Coins.LITECOIN, "p2sh"),
    ):
        key = maker.FromSeed(seed, coin).DeriveDefaultPath()
        found = check(chains.find(coin.name.lower()), key.PublicKey().ToAddress())
        assert (found.kind, found.network) == (kind, "mainnet")
        assert private_keys.recognise(key.PrivateKey().ToWif())


@given(seed=SEED)
@settings(max_examples=10, deadline=None)
def test_shelley_of_any_key_is_good(seed: bytes) -> None:
    wallet = oracle.CardanoShelley.FromCip1852Object(
        oracle.Cip1852.FromSeed(seed, oracle.Cip1852Coins.CARDANO_ICARUS).Purpose().Coin().Account(0)
    )
    key = wallet.Change(oracle.Bip44Changes.CHAIN_EXT).AddressIndex(0)
    assert check(chains.find("cardano"), key.PublicKeys().ToAddress()).kind == "base"
    assert check(chains.find("cardano"), wallet.StakingObject().PublicKey().ToAddress()).kind == "stake"


@given(seed=SEED, payment_id=st.binary(min_size=8, max_size=8))
@settings(max_examples=10, deadline=None)
def test_monero_of_any_key_is_good_and_integrated_comes_apart(seed: bytes, payment_id: bytes) -> None:
    for coin, network in (
        (oracle.MoneroCoins.MONERO_MAINNET, "mainnet"),
        (oracle.MoneroCoins.MONERO_TESTNET, "testnet"),
        (oracle.MoneroCoins.MONERO_STAGENET, "stagenet"),
    ):
        wallet = oracle.Monero.FromSeed(seed, coin)
        primary = wallet.PrimaryAddress()
        chain = chains.find("monero")
        assert check(chain, primary, network).kind == "standard"
        assert check(chain, wallet.Subaddress(7), network).kind == "subaddress"
        found = check(chain, wallet.IntegratedAddress(payment_id), network)
        assert (found.canonical, found.tag) == (primary, payment_id.hex())


@given(seed=SEED)
@settings(max_examples=10, deadline=None)
def test_hex_and_base58_of_tron_come_to_one(seed: bytes) -> None:
    key = oracle.Bip44.FromSeed(seed, Coins.TRON).DeriveDefaultPath().PublicKey()
    text = key.ToAddress()
    raw = oracle.Base58Decoder.CheckDecode(text)
    assert check(chains.find("tron"), raw.hex()).canonical == text


PHRASES = [
    (language, count)
    for language in (
        oracle.Bip39Languages.ENGLISH,
        oracle.Bip39Languages.FRENCH,
        oracle.Bip39Languages.CHINESE_SIMPLIFIED,
        oracle.Bip39Languages.KOREAN,
        oracle.Bip39Languages.CZECH,
        oracle.Bip39Languages.SPANISH,
    )
    for count in (12, 15, 18, 21, 24)
]


@pytest.mark.parametrize(("language", "count"), PHRASES, ids=[f"{each.name} {count}" for each, count in PHRASES])
def test_seed_words_of_every_language_are_refused_and_the_refusal_shares_no_six_letters_with_a_word(
    language: "oracle.Bip39Languages", count: int
) -> None:
    phrase = str(oracle.Bip39MnemonicGenerator(language).FromWordsNumber(count))
    with pytest.raises(Refusal) as caught:
        check(chains.find("bitcoin"), phrase)
    assert caught.value.rule == "ADDRESS_SECRET"
    said = caught.value.detail
    runs = {said[at : at + 6] for at in range(len(said) - 5)}
    words = Bip39WordsListGetter().GetByLanguage(language)
    for at in range(words.Length()):
        assert not [run for run in runs if run in words.GetWordAtIdx(at)]
