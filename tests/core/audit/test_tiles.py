from __future__ import annotations

from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.audit import merkle
from taskbound.core.audit.errors import TileMissingError
from taskbound.core.audit.merkle import EMPTY_FRONTIER, Tile, TileNodes, grow, restore_frontier
from tests.core.audit import model_merkle as model


class Shelf:
    """Tiles as a store keeps them: the newest of each level and index, reads counted."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.reads = 0

    def keep(self, tiles: tuple[Tile, ...]) -> None:
        for one in tiles:
            before = self.tiles.get((one.level, one.index), b"")
            assert one.hashes.startswith(before), "a tile only ever grows by appending"
            self.tiles[one.level, one.index] = one.hashes

    def __call__(self, level: int, index: int) -> bytes:
        self.reads += 1
        return self.tiles.get((level, index), b"")


def leaves_of(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(count)]


def shelf_of(leaves: list[bytes]) -> Shelf:
    shelf = Shelf()
    shelf.keep(grow(EMPTY_FRONTIER, leaves).tiles)
    return shelf


def test_for_every_size_to_300_roots_and_proofs_from_tiles_equal_the_recursion() -> None:
    leaves, shelf, frontier = leaves_of(300), Shelf(), EMPTY_FRONTIER
    for size in range(301):
        assert frontier.size == size
        assert frontier.root == model.root(leaves[:size])
        assert restore_frontier(size, shelf) == frontier
        nodes = TileNodes(shelf)
        assert merkle.root(size, nodes) == frontier.root
        for at in {0, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
            assert list(merkle.prove_inclusion(at, size, nodes)) == model.path(at, leaves[:size])
            assert list(merkle.prove_consistency(at + 1, size, nodes)) == model.proof(at + 1, leaves[:size])
        if size < 300:
            grown = grow(frontier, leaves[size : size + 1])
            shelf.keep(grown.tiles)
            frontier = grown.frontier


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 300])
def test_every_proof_of_a_size_equals_the_recursion_and_verifies(size: int) -> None:
    leaves = leaves_of(size)
    nodes, whole = TileNodes(shelf_of(leaves)), model.root(leaves)
    for at in range(size):
        path = merkle.prove_inclusion(at, size, nodes)
        merkle.verify_inclusion(leaves[at], at, size, path, whole)
        if size <= 257:
            assert list(path) == model.path(at, leaves)
        grew = merkle.prove_consistency(at + 1, size, nodes)
        merkle.verify_consistency(at + 1, size, grew, model.root(leaves[: at + 1]), whole)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_at_random_sizes_to_5000_newer_tiles_prove_every_older_size(data: st.DataObject) -> None:
    leaves = leaves_of(data.draw(st.integers(301, 5000)))
    shelf, frontier, done = Shelf(), EMPTY_FRONTIER, 0
    while done < len(leaves):
        step = data.draw(st.integers(1, 2000))
        grown = grow(frontier, leaves[done : done + step])
        shelf.keep(grown.tiles)
        frontier, done = grown.frontier, min(done + step, len(leaves))
    assert frontier.root == model.root(leaves)
    assert restore_frontier(len(leaves), shelf) == frontier
    size = data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    nodes, before = TileNodes(shelf), shelf.reads
    path = merkle.prove_inclusion(index, size, nodes)
    assert list(path) == model.path(index, leaves[:size])
    assert list(merkle.prove_consistency(old, size, nodes)) == model.proof(old, leaves[:size])
    assert shelf.reads - before <= 4 * ceil(log2(size + 1))
    assert restore_frontier(size, shelf).root == model.root(leaves[:size])


def test_a_tree_of_70000_leaves_is_laid_out_in_tiles_as_c2sp_says() -> None:
    shelf = shelf_of(leaves_of(70_000))
    widths = {where: len(hashes) // 32 for where, hashes in shelf.tiles.items()}
    level0 = {index: width for (level, index), width in widths.items() if level == 0}
    assert len(level0) == 274
    assert all(level0[index] == 256 for index in range(273))
    assert level0[273] == 112
    assert (widths[1, 0], widths[1, 1], widths[2, 0]) == (256, 17, 1)
    assert len(widths) == 274 + 3


def test_a_proof_at_70000_leaves_reads_at_most_seven_tiles() -> None:
    leaves = leaves_of(70_000)
    shelf = shelf_of(leaves)
    whole = restore_frontier(70_000, shelf).root
    for index in (0, 1, 255, 256, 35_000, 65_535, 65_536, 69_999):
        shelf.reads = 0
        path = merkle.prove_inclusion(index, 70_000, TileNodes(shelf))
        assert shelf.reads <= 7
        merkle.verify_inclusion(leaves[index], index, 70_000, path, whole)


def test_growing_at_once_or_leaf_by_leaf_gives_the_same_tiles() -> None:
    leaves = leaves_of(1030)
    one_by_one, frontier = Shelf(), EMPTY_FRONTIER
    for leaf in leaves:
        grown = grow(frontier, [leaf])
        one_by_one.keep(grown.tiles)
        frontier = grown.frontier
    assert one_by_one.tiles == shelf_of(leaves).tiles


def test_growing_by_nothing_changes_nothing() -> None:
    grown = grow(grow(EMPTY_FRONTIER, leaves_of(5)).frontier, [])
    assert grown.tiles == ()
    assert grown.frontier == grow(EMPTY_FRONTIER, leaves_of(5)).frontier


def test_a_tile_that_is_missing_or_short_is_an_error_and_never_another_proof() -> None:
    leaves = leaves_of(600)
    whole = model.root(leaves)
    for where in list(shelf_of(leaves).tiles):
        for cut in (slice(0), slice(-32)):
            shelf, missed = shelf_of(leaves), 0
            shelf.tiles[where] = shelf.tiles[where][cut]
            for index in range(0, 600, 3):
                try:
                    path = merkle.prove_inclusion(index, 600, TileNodes(shelf))
                except TileMissingError:
                    missed += 1
                else:
                    merkle.verify_inclusion(leaves[index], index, 600, path, whole)
            assert missed
