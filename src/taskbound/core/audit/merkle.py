"""The Merkle tree of RFC 9162 section 2.1, its proofs and its tiles (C2SP tlog-tiles).

Leaves are hashed with prefix 0x00, nodes with 0x01. A verifier returns None or raises. A tile holds up to
256 hashes of one level: level 0 leaf hashes, level n + 1 the roots of full tiles of level n; a partial
tile is never hashed upward. Tiles only grow, so the newest state of a tile serves all older tree sizes. A
proof reads O(log n) tiles; a missing or short tile is an error.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.audit.errors import ConsistencyWrongError, InclusionWrongError, TileMissingError
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


HASH_SIZE = 32
"""Bytes in a hash."""

MAX_PROOF = 63
"""Hashes in the longest proof that is read: trees have fewer than 2^63 leaves."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""


class Nodes(Protocol):
    """Supplies the hash of a complete subtree."""

    def __call__(self, height: int, index: int) -> bytes:
        """The root of leaves ``index << height`` to ``(index + 1) << height``.

        MUST answer for every complete subtree of the proven tree; any error means "unavailable".
        """


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of decreasing height, left to right."""
    if not peaks:
        return EMPTY_ROOT
    above = peaks[-1]
    for peak in reversed(peaks[:-1]):
        above = node_hash(peak, above)
    return above


def root(size: int, nodes: Nodes) -> bytes:
    return _over(0, size, nodes)


def prove_inclusion(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """PATH(index, D_size) of RFC 9162 §2.1.3.1; raises InclusionWrongError for an index beyond the size."""
    if not 0 <= index < size:
        raise InclusionWrongError(f"record {index} is not in a log of {size}")
    beside: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            beside.append(_over(middle, end, nodes))
            end = middle
        else:
            beside.append(_over(start, middle, nodes))
            start = middle
    return tuple(reversed(beside))


def prove_consistency(old: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """PROOF(old, D_size) of RFC 9162 §2.1.4.1; raises ConsistencyWrongError for an impossible size."""
    if not 0 <= old <= size:
        raise ConsistencyWrongError(f"a log of {size} can't have grown from one of {old}")
    if old in (0, size):
        return ()
    beside: list[bytes] = []
    start, end, whole = 0, size, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            beside.append(_over(middle, end, nodes))
            end = middle
        else:
            beside.append(_over(start, middle, nodes))
            start, whole = middle, False
    if not whole:
        beside.append(_over(start, end, nodes))
    return tuple(reversed(beside))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], want: bytes) -> None:
    """Raises InclusionWrongError unless the proof is valid (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        raise InclusionWrongError(f"record {index} is not in a log of {size}")
    _require_hashes(proof, (leaf, want), InclusionWrongError)
    left, last, above = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            raise InclusionWrongError("the proof has more hashes than the log has levels")
        if left & 1 or left == last:
            above = node_hash(beside, above)
            left, last = _up_to_right(left, last)
        else:
            above = node_hash(above, beside)
        left, last = left >> 1, last >> 1
    if last != 0:
        raise InclusionWrongError("the proof has fewer hashes than the log has levels")
    if above != want:
        raise InclusionWrongError(f"the proof for record {index} leads to another root")


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises ConsistencyWrongError unless the newer tree only appends to the older (RFC 9162 §2.1.4.2).

    Equal sizes need equal roots and no proof; size 0 is the empty root.
    """
    if not 0 <= old <= size:
        raise ConsistencyWrongError(f"a log of {size} can't have grown from one of {old}")
    _require_hashes(proof, (old_root, new_root), ConsistencyWrongError)
    if old in (0, size):
        same = old_root == (new_root if old == size else EMPTY_ROOT)
        if proof or not same or (size == 0 and new_root != EMPTY_ROOT):
            raise ConsistencyWrongError(f"the roots of sizes {old} and {size} contradict each other")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not proof:
        raise ConsistencyWrongError("the proof is empty")
    left, last = old - 1, size - 1
    while left & 1:
        left, last = left >> 1, last >> 1
    older = newer = path[0]
    for beside in path[1:]:
        if last == 0:
            raise ConsistencyWrongError("the proof has more hashes than the log has levels")
        if left & 1 or left == last:
            older, newer = node_hash(beside, older), node_hash(beside, newer)
            left, last = _up_to_right(left, last)
        else:
            newer = node_hash(newer, beside)
        left, last = left >> 1, last >> 1
    if last != 0:
        raise ConsistencyWrongError("the proof has fewer hashes than the log has levels")
    if older != old_root:
        raise ConsistencyWrongError(f"the log was changed below size {old}")
    if newer != new_root:
        raise ConsistencyWrongError(f"the proof leads to another root of size {size}")


def _up_to_right(left: int, last: int) -> tuple[int, int]:
    while not left & 1 and left:
        left, last = left >> 1, last >> 1
    return left, last


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _over(start: int, end: int, nodes: Nodes) -> bytes:
    return fold([nodes(height, index) for height, index in _complete(start, end)])


def _complete(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        height = (end - start).bit_length() - 1
        yield height, start >> height
        start += 1 << height


def _require_hashes(
    proof: Sequence[bytes],
    roots: tuple[bytes, bytes],
    error: type[InclusionWrongError | ConsistencyWrongError],
) -> None:
    if len(proof) > MAX_PROOF:
        raise error(f"the proof has {len(proof)} hashes, more than {MAX_PROOF}")
    if any(len(one) != HASH_SIZE for one in (*proof, *roots)):
        raise error(f"a hash is not {HASH_SIZE} bytes long")


TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
_TILE_BYTES: Final = TILE_WIDTH * HASH_SIZE


class TileReader(Protocol):
    """Fetches a stored tile."""

    def __call__(self, level: int, index: int) -> bytes:
        """The concatenated hashes of a tile; ``b""`` for a tile that is not stored.

        MUST return at least the hashes that a tree of that size has there; more are allowed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile to store; it replaces the stored tile with its level and index."""

    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The right edge of a tree, sufficient to append to it and to compute its root."""

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
    """Appends these leaf hashes in order."""
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
    """Supplies complete subtrees from stored tiles, and reads each tile once."""

    def __init__(self, read: TileReader) -> None:
        self._read = read
        self._seen: dict[tuple[int, int], bytes] = {}

    def __call__(self, height: int, index: int) -> bytes:
        level, within = divmod(height, TILE_HEIGHT)
        tile, first = divmod(index << within, TILE_WIDTH)
        last = first + (1 << within)
        hashes = self.tile(level, tile, last)
        row = [hashes[at * HASH_SIZE : (at + 1) * HASH_SIZE] for at in range(first, last)]
        while len(row) > 1:
            row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    def tile(self, level: int, index: int, width: int) -> bytes:
        found = self._seen.get((level, index))
        if found is None:
            found = self._seen[level, index] = self._read(level, index)
        if len(found) < width * HASH_SIZE:
            held = len(found) // HASH_SIZE
            raise TileMissingError(f"tile {level}/{index} holds {held} hashes of {width} that are needed")
        return found[: width * HASH_SIZE]


class _Edges:
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
