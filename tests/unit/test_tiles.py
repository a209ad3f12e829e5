from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import merkle, tiles
from gateway.errors import ErrorCode, Refusal
from gateway.tiles import MAX_LEVEL, WIDTH, Tile

LEAVES = [merkle.leaf_hash(b"%d" % i) for i in range(70_000)]
LEVELS = [LEAVES]
while len(LEVELS[-1]) >= WIDTH:
    below = LEVELS[-1]
    LEVELS.append([merkle.root(below[at : at + WIDTH]) for at in range(0, len(below) - WIDTH + 1, WIDTH)])
SIZES = st.one_of(st.integers(1, len(LEAVES)), st.sampled_from([1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537]))


def of(size: int) -> tiles.Hashes:
    """Return what reads a log of that size, and no more: what is not whole by then is not there."""

    def hashes(level: int, start: int, stop: int) -> Sequence[bytes]:
        assert start // WIDTH == (stop - 1) // WIDTH, "of one tile"
        assert stop <= size >> 8 * level, "not there yet"
        return LEVELS[level][start:stop]

    return hashes


@given(SIZES)
def test_root_from_tiles_is_that_of_all_leaves(size: int) -> None:
    assert tiles.root(of(size), size) == merkle.root(LEAVES[:size])


def test_root_of_no_tile_is_that_of_nothing() -> None:
    assert tiles.root(of(0), 0) == merkle.root([])


@given(SIZES, st.data())
def test_proofs_from_tiles_hold(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root = merkle.root(LEAVES[:size])
    merkle.check_inclusion(LEAVES[index], index, size, tiles.inclusion(of(size), index, size), root)
    proof = tiles.consistency(of(size), old, size)
    merkle.check_consistency(old, merkle.root(LEAVES[:old]), size, root, proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0)])
def test_there_is_no_proof_of_what_is_not_in_the_log(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="entry"):
        tiles.inclusion(of(size), index, size)


@pytest.mark.parametrize(("old", "size"), [(0, 1), (2, 1), (0, 0)])
def test_there_is_no_proof_from_nothing_or_from_later(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="from"):
        tiles.consistency(of(size), old, size)


@given(SIZES, st.data())
def test_tiles_since_a_size_are_those_that_a_reader_of_it_lacks(size: int, data: st.DataObject) -> None:
    since = data.draw(st.integers(0, size))
    known = {tile.path for tile in tiles.of_size(since)}
    new = {tile.path for tile in tiles.of_size(size, since)}
    whole = {tile.path for tile in tiles.of_size(size)}
    assert whole - known <= new <= whole
    for level in range(3):
        widths = [tile.width for tile in tiles.of_size(size) if tile.level == level]
        assert sum(widths) == size >> 8 * level


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(3, 999, 1), "tile/3/999.p/1"),
        (Tile(1, 1000, 255), "tile/1/x001/000.p/255"),
        # C2SP tlog-tiles has this number.
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
    ],
)
def test_path_is_that_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(st.integers(0, MAX_LEVEL), st.integers(0, 1 << 55), st.integers(1, WIDTH))
def test_any_tile_has_one_path(level: int, number: int, width: int) -> None:
    try:
        tile = Tile(level, number, width)
    except Refusal as error:
        if error.code is not ErrorCode.MALFORMED:
            raise
        assert number * WIDTH + width > merkle.MAX_SIZE >> 8 * level
    else:
        assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/00/000",
        "tile/8/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/../000",
        "tile/entries/000",
        "tile/7/001",
        "tile/6/128",
        "tile/0/" + "x999/" * 40 + "999",
        "tile/0/\N{ARABIC-INDIC DIGIT ONE}00",
    ],
)
def test_what_is_the_path_of_no_tile_is_refused(path: str) -> None:
    with pytest.raises(Refusal) as caught:
        Tile.parse(path)
    assert caught.value.code is ErrorCode.MALFORMED


@given(st.text("tile/x0123456789.p", max_size=40))
def test_any_path_is_a_tiles_or_malformed(path: str) -> None:
    try:
        assert Tile.parse(path).path == path
    except Refusal as error:
        if error.code is not ErrorCode.MALFORMED:
            raise


def test_content_of_a_tile_is_its_hashes() -> None:
    tile = Tile(0, 0, 3)
    assert tile.hashes(b"".join(LEAVES[:3])) == LEAVES[:3]
    for content in (b"", bytes(32), bytes(97), bytes(95), bytes(128)):
        with pytest.raises(Refusal) as caught:
            tile.hashes(content)
        assert caught.value.code is ErrorCode.MALFORMED
