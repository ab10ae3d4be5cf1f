"""The growing tree: a frontier that takes leaves, and tiles of 256 hashes from which any proof is read.

1. A tile holds up to 256 hashes of one level (C2SP tlog-tiles): level 0 the leaf hashes, level n + 1 the
   roots of the full tiles of level n. A partial tile is never hashed upward.
2. A tile only ever grows by appending, so the newest state of a tile serves every older size of the tree.
3. A proof reads O(log n) tiles; a tile that is missing or short is an error, never a shorter proof.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.audit.errors import TileMissingError
from taskbound.core.audit.merkle import HASH_SIZE, fold, node_hash
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
_TILE_BYTES: Final = TILE_WIDTH * HASH_SIZE


class TileReader(Protocol):
    """Fetches a stored tile."""

    def __call__(self, level: int, index: int) -> bytes:
        """The tile's hashes, one after the other.

        MUST hold at least the hashes that a tree of the size in question has there; more do no harm (rule 2).
        A tile that isn't stored is ``b""``.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile to store: it replaces what is stored under its level and index."""

    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The right edge of a tree: all that is needed to append to it and to know its root."""

    size: int
    peaks: tuple[bytes, ...]
    """Roots of the complete subtrees that make up the tree, the largest first."""
    edges: tuple[bytes, ...]
    """The hashes of the partial tile of each level, from level 0 up; empty where the last tile is full."""

    @property
    def root(self) -> bytes:
        """The root of the tree (RFC 9162 §2.1.1)."""
        return fold(self.peaks)


EMPTY_FRONTIER: Final = Frontier(size=0, peaks=(), edges=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A tree after it grew, and the tiles that must be stored with it."""

    frontier: Frontier
    tiles: tuple[Tile, ...]


def grow(frontier: Frontier, leaves: Iterable[bytes]) -> Growth:
    """The tree with these leaf hashes appended, in order."""
    size, peaks = frontier.size, list(frontier.peaks)
    edges = _Edges(frontier)
    for leaf in leaves:
        edges.append(0, size, leaf)
        above, height = leaf, 0
        while size >> height & 1:
            above = sha256(b"\x01" + peaks.pop() + above).digest()
            height += 1
            if height % TILE_HEIGHT == 0:
                edges.append(height // TILE_HEIGHT, size >> height, above)
        peaks.append(above)
        size += 1
    grown = Frontier(size=size, peaks=tuple(peaks), edges=tuple(bytes(one) for one in edges.levels))
    return Growth(frontier=grown, tiles=edges.tiles(size))


def restore_frontier(size: int, read: TileReader) -> Frontier:
    """The right edge of a stored tree of this size.

    Raises:
        TileMissingError: The stored tiles don't reach that far.
    """
    nodes = TileNodes(read)
    edges = []
    entries, level = size, 0
    while entries:
        tile, width = divmod(entries, TILE_WIDTH)
        edges.append(nodes.tile(level, tile, width) if width else b"")
        entries, level = tile, level + 1
    heights = [height for height in reversed(range(size.bit_length())) if size >> height & 1]
    peaks = tuple(nodes(height, (size >> height) - 1) for height in heights)
    return Frontier(size=size, peaks=peaks, edges=tuple(edges))


class TileNodes:
    """Finds complete subtrees in stored tiles, and reads each tile once."""

    def __init__(self, read: TileReader) -> None:
        """Read through this reader."""
        self._read = read
        self._seen: dict[tuple[int, int], bytes] = {}

    def __call__(self, height: int, index: int) -> bytes:
        """The root of the leaves ``index << height`` up to ``(index + 1) << height``.

        Raises:
            TileMissingError: The stored tiles don't reach that far.
        """
        level, within = divmod(height, TILE_HEIGHT)
        tile, first = divmod(index << within, TILE_WIDTH)
        last = first + (1 << within)
        hashes = self.tile(level, tile, last)
        row = [hashes[at * HASH_SIZE : (at + 1) * HASH_SIZE] for at in range(first, last)]
        while len(row) > 1:
            row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The first ``width`` hashes of a tile (rule 3).

        Raises:
            TileMissingError: It is missing or shorter.
        """
        found = self._seen.get((level, index))
        if found is None:
            found = self._seen[level, index] = self._read(level, index)
        if len(found) < width * HASH_SIZE:
            held = len(found) // HASH_SIZE
            raise TileMissingError(f"tile {level}/{index} holds {held} hashes of {width} that are needed")
        return found[: width * HASH_SIZE]


class _Edges:
    """The partial tiles while a tree grows, and the tiles that were completed."""

    def __init__(self, frontier: Frontier) -> None:
        self.levels = [bytearray(one) for one in frontier.edges]
        self._full: list[Tile] = []
        self._touched: set[int] = set()

    def append(self, level: int, entry: int, value: bytes) -> None:
        if level == len(self.levels):
            self.levels.append(bytearray())
        edge = self.levels[level]
        edge += value
        self._touched.add(level)
        if len(edge) == _TILE_BYTES:
            self._full.append(Tile(level=level, index=entry // TILE_WIDTH, hashes=bytes(edge)))
            edge.clear()

    def tiles(self, size: int) -> tuple[Tile, ...]:
        partial = [
            Tile(level=level, index=size >> (TILE_HEIGHT * (level + 1)), hashes=bytes(self.levels[level]))
            for level in sorted(self._touched)
            if self.levels[level]
        ]
        return (*self._full, *partial)
