import io
import json
import tarfile
from base64 import b64encode
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from gateway import checkpoint, merkle, note, tiles
from gateway.checkpoint import Checkpoint
from gateway.errors import ErrorCode, Refusal
from gateway.note import Algorithm, Note, Verifier
from gateway.signer import KeySigner

DATA = Path(__file__).parent.parent / "data" / "merkle_tlog"
PUBLISHED = json.loads((DATA / "checkpoints.json").read_text())
KEY = KeySigner(SigningKey(bytes(range(32))))
ORIGIN = "ee.rogatory.test/log"
ROOT = b64encode(bytes(32)).decode()


def tessera() -> dict[str, bytes]:
    """Return the files of the published log, by path."""
    with tarfile.open(fileobj=io.BytesIO((DATA / "tessera_log.tar.gz").read_bytes())) as archive:
        files = {each.name: archive.extractfile(each) for each in archive.getmembers()}
        return {name.removeprefix("testdata/log/"): file.read() for name, file in files.items() if file is not None}


def reading(leaf_hashes: Sequence[bytes]) -> tiles.Hashes:
    return lambda level, start, stop: leaf_hashes[start:stop] if level == 0 else []


@pytest.mark.parametrize("case", PUBLISHED, ids=[case["name"] for case in PUBLISHED])
def test_published_checkpoint_is_its_logs(case: dict[str, Any]) -> None:
    key = Verifier.parse(case["vkey"])
    found, raw = checkpoint.read(case["note"].encode(), key.name, [key.public_key])
    assert case["valid"]
    assert found.size == case["size"]
    assert (str(found), bytes(raw)) == (raw.text, case["note"].encode())


def test_checkpoint_of_another_log_is_not_taken_for_this_ones_though_its_key_signed_it() -> None:
    text = f"de.rogatory.test/log\n1\n{ROOT}\n"
    raw = bytes(Note(text, (note.sign(text, ORIGIN, KEY),)))
    with pytest.raises(Refusal) as caught:
        checkpoint.read(raw, ORIGIN, [KEY.public_key])
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_published_tiles_are_the_tree_of_the_published_checkpoints() -> None:
    files, key = tessera(), Verifier.parse(PUBLISHED[0]["vkey"])
    roots: dict[int, bytes] = {}
    for size in range(16):
        found, _ = checkpoint.read(files[f"checkpoint.{size}"], key.name, [key.public_key])
        assert found.size == size
        roots[size] = found.root
        if size == 0:
            continue
        (tile,) = tiles.of_size(size)
        hashes = tile.hashes(files[tile.path])
        assert tiles.root(reading(hashes), size) == found.root
        bundle = io.BytesIO(files[tile.path.replace("tile/0/", "tile/entries/")])
        entries = [bundle.read(int.from_bytes(bundle.read(2), "big")) for _ in hashes]
        assert [merkle.leaf_hash(entry) for entry in entries] == hashes
    for old, size in combinations(range(1, 16), 2):
        proof = tiles.consistency(reading(hashes), old, size)
        merkle.check_consistency(old, roots[old], size, roots[size], proof)


def test_what_a_log_signs_is_read_and_cosigned() -> None:
    made = Checkpoint(ORIGIN, 7, bytes(32))
    signed = made.sign(KEY)
    assert checkpoint.read(bytes(signed), ORIGIN, [bytes(32), KEY.public_key]) == (made, signed)
    witness = Verifier("lv.rogatory.test/witness", KEY.public_key, Algorithm.COSIGNATURE)
    both = Note(signed.text, (*signed.signatures, made.cosign(witness.name, KEY, 12)))
    assert note.verify(note.parse(bytes(both)), [witness]) == (note.Signed(witness, 12),)


@pytest.mark.parametrize(
    ("origin", "keys"), [("lv.rogatory.test/log", [KEY.public_key]), (ORIGIN, [bytes(32)]), (ORIGIN, [])]
)
def test_checkpoint_of_another_log_or_key_is_refused(origin: str, keys: list[bytes]) -> None:
    with pytest.raises(Refusal) as caught:
        checkpoint.read(bytes(Checkpoint(ORIGIN, 7, bytes(32)).sign(KEY)), origin, keys)
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{ORIGIN}\n7\n",
        f"{ORIGIN}\n7\n{ROOT}",
        f"{ORIGIN}\n7\n{ROOT}\nan extension\n",
        f"{ORIGIN}\n7\n{ROOT}\n\n",
        f"\n7\n{ROOT}\n",
        f"two words\n7\n{ROOT}\n",
        f"{ORIGIN}\n07\n{ROOT}\n",
        f"{ORIGIN}\n-7\n{ROOT}\n",
        f"{ORIGIN}\n+7\n{ROOT}\n",
        f"{ORIGIN}\n\N{ARABIC-INDIC DIGIT SEVEN}\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n{1 << 63}\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 4000}\n{ROOT}\n",
        f"{ORIGIN}\n0\n{ROOT}\n",
        f"{ORIGIN}\n7\n{ROOT[4:]}\n",
        f"{ORIGIN}\n7\n{ROOT[:-2]}B=\n",
        # What a witness signs is no checkpoint.
        f"cosignature/v1\ntime 12\n{ORIGIN}\n7\n{ROOT}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Checkpoint.parse(text)
    assert caught.value.code is ErrorCode.MALFORMED


@given(st.text(max_size=120))
def test_any_text_is_a_checkpoint_or_malformed(text: str) -> None:
    try:
        found = Checkpoint.parse(text)
    except Refusal as error:
        if error.code is not ErrorCode.MALFORMED:
            raise
    else:
        assert str(found) == text


@given(st.integers(1, merkle.MAX_SIZE), st.binary(min_size=32, max_size=32))
def test_any_checkpoint_is_read_as_it_was_written(size: int, root: bytes) -> None:
    assert Checkpoint.parse(str(Checkpoint(ORIGIN, size, root))) == Checkpoint(ORIGIN, size, root)
